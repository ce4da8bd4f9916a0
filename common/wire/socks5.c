/* SPDX-License-Identifier: MIT */
#include "wire/socks5.h"

enum {
    IPV4_LEN = 4,
    IPV6_LEN = 16,
    UP_TO_ATYP = 4,           /* VER, CMD or REP, RSV, ATYP */
    FWD_UDP_PREFIX_LEN = 3,   /* data length, header length */
    FWD_UDP_HEADER_MIN = 5,   /* what hev-socks5 refuses to go below */
    USERPASS_VERSION_SEEN = 5 /* some servers answer RFC 1929 with the version of RFC 1928 */
};

static struct decode more(const struct rd *r)
{
    return decode_more(r->want);
}

/* --- address and port as every message carries them, RFC 1928 s4..s7
 * ------------------------------------------------- */

static bool is_known_atyp(uint8_t atyp)
{
    return atyp == SOCKS5_ATYP_IPV4 || atyp == SOCKS5_ATYP_NAME || atyp == SOCKS5_ATYP_IPV6;
}

/* Address octets behind a known ATYP; a name has its length in front (RFC 1928 s5: no
 * terminating NUL). */
static size_t read_host_len(struct rd *r, uint8_t atyp)
{
    if (atyp == SOCKS5_ATYP_IPV4)
        return IPV4_LEN;
    return atyp == SOCKS5_ATYP_IPV6 ? IPV6_LEN : rd_u8(r);
}

static struct span read_host(struct rd *r, uint8_t atyp)
{
    return rd_span(r, read_host_len(r, atyp));
}

static bool host_to_target(uint8_t atyp, struct span host, uint16_t port, struct target *out)
{
    struct addr a;

    if (atyp == SOCKS5_ATYP_NAME)
        return target_from_host(host, port, out);
    if (atyp == SOCKS5_ATYP_IPV4 && host.len == IPV4_LEN)
        a = addr_ipv4(host.ptr, port);
    else if (atyp == SOCKS5_ATYP_IPV6 && host.len == IPV6_LEN)
        a = addr_ipv6(host.ptr, port);
    else
        return false;
    *out = target_from_addr(&a);
    return true;
}

static void write_name(struct wr *w, const char *name, size_t len, uint16_t port)
{
    if (len == 0 || len > UINT8_MAX) {
        w->overflow = true;
        return;
    }
    wr_u8(w, SOCKS5_ATYP_NAME);
    wr_u8(w, (uint8_t)len);
    wr_bytes(w, name, len);
    wr_be16(w, port);
}

/* No address: IPv4 and zeros. */
static void write_addr(struct wr *w, const struct addr *a, uint16_t port)
{
    bool is_ipv6 = a->family == ADDR_IPV6;

    wr_u8(w, is_ipv6 ? SOCKS5_ATYP_IPV6 : SOCKS5_ATYP_IPV4);
    wr_bytes(w, a->ip, is_ipv6 ? IPV6_LEN : IPV4_LEN);
    wr_be16(w, port);
}

static void write_target(struct wr *w, const struct target *t)
{
    struct addr plain = addr_unmap(t->addr);

    if (target_is_name(t))
        write_name(w, t->name, t->name_len, t->port);
    else
        write_addr(w, &plain, t->port);
}

/* --- server role
 * ----------------------------------------------------------------------------------------------------
 */

bool socks5_offers(const struct socks5_greeting *g, enum socks5_method m)
{
    return g->methods.len > 0 && memchr(g->methods.ptr, (int)m, g->methods.len) != NULL;
}

struct decode socks5_decode_greeting(struct span in, struct socks5_greeting *out)
{
    struct rd r = {.in = in};
    uint8_t version = rd_u8(&r);
    struct span methods;

    if (in.len > 0 && version != SOCKS5_VERSION)
        return decode_bad(REJECT_VERSION);
    methods = rd_span(&r, rd_u8(&r));
    if (r.want != 0)
        return more(&r);
    *out = (struct socks5_greeting){.methods = methods};
    return decode_done(r.pos);
}

struct decode socks5_decode_userpass(struct span in, struct socks5_userpass *out)
{
    struct rd r = {.in = in};
    uint8_t version = rd_u8(&r);
    struct span user, pass;

    if (in.len > 0 && version != SOCKS5_USERPASS_VERSION)
        return decode_bad(REJECT_VERSION);
    user = rd_span(&r, rd_u8(&r));
    pass = rd_span(&r, rd_u8(&r));
    if (r.want != 0)
        return more(&r);
    *out = (struct socks5_userpass){.user = user, .pass = pass};
    return decode_done(r.pos);
}

struct decode socks5_decode_request(struct span in, struct socks5_request *out)
{
    struct rd r = {.in = in};
    uint8_t version = rd_u8(&r);
    struct socks5_request req = {.command = rd_u8(&r)};

    if (in.len > 0 && version != SOCKS5_VERSION)
        return decode_bad(REJECT_VERSION);
    req.reserved = rd_u8(&r);
    req.atyp = rd_u8(&r);
    if (r.want != 0)
        return more(&r);
    req.known_atyp = is_known_atyp(req.atyp);
    if (req.known_atyp) {
        req.host = read_host(&r, req.atyp);
        req.port = rd_be16(&r);
        if (r.want != 0)
            return more(&r);
    }
    *out = req;
    return decode_done(r.pos);
}

bool socks5_request_target(const struct socks5_request *req, struct target *out)
{
    return req->known_atyp && host_to_target(req->atyp, req->host, req->port, out);
}

void socks5_encode_method(struct wr *w, enum socks5_method m)
{
    wr_u8(w, SOCKS5_VERSION);
    wr_u8(w, (uint8_t)m);
}

void socks5_encode_userpass_status(struct wr *w, bool ok)
{
    wr_u8(w, SOCKS5_USERPASS_VERSION);
    wr_u8(w, ok ? 0 : 1);
}

static void write_reply_start(struct wr *w, enum socks5_rep rep)
{
    wr_u8(w, SOCKS5_VERSION);
    wr_u8(w, (uint8_t)rep);
    wr_u8(w, 0);
}

void socks5_encode_reply(struct wr *w, enum socks5_rep rep, const struct addr *bound)
{
    struct addr plain = {.family = ADDR_NONE};

    if (bound != NULL && bound->family != ADDR_NONE)
        plain = addr_unmap(*bound);
    write_reply_start(w, rep);
    write_addr(w, &plain, plain.port);
}

void socks5_encode_reply_name(struct wr *w, enum socks5_rep rep, const char *name)
{
    write_reply_start(w, rep);
    write_name(w, name, strlen(name), 0);
}

/* --- client role
 * ----------------------------------------------------------------------------------------------------
 */

void socks5_encode_greeting(struct wr *w, const uint8_t *methods, uint8_t count)
{
    wr_u8(w, SOCKS5_VERSION);
    wr_u8(w, count);
    wr_bytes(w, methods, count);
}

void socks5_encode_userpass(struct wr *w, struct span user, struct span pass)
{
    if (user.len == 0 || user.len > UINT8_MAX || pass.len == 0 || pass.len > UINT8_MAX) {
        w->overflow = true; /* RFC 1929 s2: 1 to 255 octets each */
        return;
    }
    wr_u8(w, SOCKS5_USERPASS_VERSION);
    wr_u8(w, (uint8_t)user.len);
    wr_bytes(w, user.ptr, user.len);
    wr_u8(w, (uint8_t)pass.len);
    wr_bytes(w, pass.ptr, pass.len);
}

void socks5_encode_request(struct wr *w, uint8_t command, const struct target *t)
{
    wr_u8(w, SOCKS5_VERSION);
    wr_u8(w, command);
    wr_u8(w, 0);
    write_target(w, t);
}

struct decode socks5_decode_method(struct span in, uint8_t *method)
{
    struct rd r = {.in = in};
    uint8_t version = rd_u8(&r);
    uint8_t chosen = rd_u8(&r);

    if (in.len > 0 && version != SOCKS5_VERSION)
        return decode_bad(REJECT_VERSION);
    if (r.want != 0)
        return more(&r);
    *method = chosen;
    return decode_done(r.pos);
}

struct decode socks5_decode_userpass_status(struct span in, bool *ok)
{
    struct rd r = {.in = in};
    uint8_t version = rd_u8(&r);
    uint8_t status = rd_u8(&r);

    if (in.len > 0 && version != SOCKS5_USERPASS_VERSION && version != USERPASS_VERSION_SEEN)
        return decode_bad(REJECT_VERSION);
    if (r.want != 0)
        return more(&r);
    *ok = status == 0;
    return decode_done(r.pos);
}

struct decode socks5_decode_reply(struct span in, struct socks5_reply *out)
{
    struct rd r = {.in = in};
    uint8_t version = rd_u8(&r);
    struct socks5_reply reply = {.rep = rd_u8(&r)};

    if (in.len > 0 && version != SOCKS5_VERSION)
        return decode_bad(REJECT_VERSION);
    (void)rd_u8(&r); /* RSV: be liberal */
    uint8_t atyp = rd_u8(&r);
    if (in.len >= UP_TO_ATYP && !is_known_atyp(atyp))
        return decode_bad(REJECT_ADDRESS_TYPE);
    struct span host = read_host(&r, atyp);
    uint16_t port = rd_be16(&r);
    if (r.want != 0)
        return more(&r);
    if (atyp == SOCKS5_ATYP_NAME && host.len == 0)
        reply.bound.port = port; /* "no address", as some proxies put it */
    else if (!host_to_target(atyp, host, port, &reply.bound))
        return decode_bad(REJECT_NAME);
    *out = reply;
    return decode_done(r.pos);
}

/* --- datagrams
 * ------------------------------------------------------------------------------------------------------
 */

struct decode socks5_decode_udp(struct span in, struct socks5_udp *out)
{
    struct rd r = {.in = in};
    struct socks5_udp udp = {.frag = 0};

    (void)rd_be16(&r); /* RSV: be liberal */
    udp.frag = rd_u8(&r);
    uint8_t atyp = rd_u8(&r);
    if (in.len >= UP_TO_ATYP && !is_known_atyp(atyp))
        return decode_bad(REJECT_ADDRESS_TYPE);
    struct span host = read_host(&r, atyp);
    uint16_t port = rd_be16(&r);
    if (r.want != 0)
        return more(&r);
    if (!host_to_target(atyp, host, port, &udp.target))
        return decode_bad(REJECT_NAME);
    *out = udp;
    return decode_done(r.pos);
}

void socks5_encode_udp(struct wr *w, const struct target *t)
{
    wr_zero(w, 3); /* RSV, FRAG */
    write_target(w, t);
}

struct decode socks5_decode_fwd_udp(struct span in, struct target *t, uint16_t *data_len)
{
    struct rd r = {.in = in};
    uint16_t data = rd_be16(&r);
    uint8_t header = rd_u8(&r);
    uint8_t atyp = rd_u8(&r);

    if (in.len >= FWD_UDP_PREFIX_LEN && header < FWD_UDP_HEADER_MIN)
        return decode_bad(REJECT_LENGTH);
    if (in.len > FWD_UDP_PREFIX_LEN && !is_known_atyp(atyp))
        return decode_bad(REJECT_ADDRESS_TYPE);
    size_t host_len = read_host_len(&r, atyp);
    if (r.want == 0 && r.pos + host_len + sizeof(uint16_t) != header)
        return decode_bad(REJECT_LENGTH);
    struct span host = rd_span(&r, host_len);
    uint16_t port = rd_be16(&r);
    if (r.want != 0)
        return more(&r);
    struct target read;
    if (!host_to_target(atyp, host, port, &read))
        return decode_bad(REJECT_NAME);
    *t = read;
    *data_len = data;
    return decode_done(r.pos);
}

void socks5_encode_fwd_udp(struct wr *w, const struct target *t, uint16_t data_len)
{
    size_t start = w->pos;

    wr_be16(w, data_len);
    wr_u8(w, 0); /* the header length, known below */
    write_target(w, t);
    if (w->pos - start > UINT8_MAX) /* one octet: the longest name it carries has 248 */
        w->overflow = true;
    if (!w->overflow)
        w->buf[start + 2] = (uint8_t)(w->pos - start);
}
