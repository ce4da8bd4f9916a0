/* SPDX-License-Identifier: MIT */
#include "wire/socks4.h"

/* A NUL-terminated field of at most SOCKS4_FIELD_MAX octets, returned without its NUL. DONE:
 * read. */
static struct decode read_field(struct rd *r, struct span *out)
{
    size_t left = rd_left(r);
    size_t look = left < SOCKS4_FIELD_MAX + 1 ? left : SOCKS4_FIELD_MAX + 1;
    const uint8_t *from = r->in.ptr + r->pos;
    const uint8_t *nul = look == 0 ? NULL : memchr(from, 0, look);

    if (nul == NULL)
        return look > SOCKS4_FIELD_MAX ? decode_bad(REJECT_UNTERMINATED)
                                       : decode_more(r->in.len + 1);
    *out = rd_span(r, (size_t)(nul - from));
    (void)rd_u8(r);
    return decode_done(r->pos);
}

/* socks4a.protocol: 0.0.0.x with x != 0 stands for "the name follows". */
static bool is_socks4a(const uint8_t ip[4])
{
    return ip[0] == 0 && ip[1] == 0 && ip[2] == 0 && ip[3] != 0;
}

struct decode socks4_decode_request(struct span in, struct socks4_request *out)
{
    struct rd r = {.in = in};
    uint8_t version = rd_u8(&r);
    struct socks4_request req = {.command = rd_u8(&r)};

    if (in.len > 0 && version != SOCKS4_VERSION)
        return decode_bad(REJECT_VERSION);
    uint16_t port = rd_be16(&r);
    struct span ip = rd_span(&r, 4);
    if (r.want != 0)
        return decode_more(r.want);

    struct decode d = read_field(&r, &req.user);
    if (d.status != DECODE_DONE)
        return d;
    if (is_socks4a(ip.ptr)) {
        struct span name;

        d = read_field(&r, &name);
        if (d.status != DECODE_DONE)
            return d;
        if (!target_from_host(name, port, &req.target))
            return decode_bad(REJECT_NAME);
    } else {
        struct addr a = addr_ipv4(ip.ptr, port);

        req.target = target_from_addr(&a);
    }
    *out = req;
    return decode_done(r.pos);
}

void socks4_encode_reply(struct wr *w, enum socks4_code code)
{
    wr_u8(w, 0); /* the version of the reply code, not of the protocol */
    wr_u8(w, (uint8_t)code);
    wr_zero(w, SOCKS4_REPLY_LEN - 2);
}
