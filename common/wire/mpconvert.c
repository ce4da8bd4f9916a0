/* SPDX-License-Identifier: MIT */
/* Both dialects describe an endpoint the same way: a Length octet that alone tells address
 * family and presence of a port, then the address, then the port. They differ in what frames
 * it: mc10 puts a magic in front and pads to 4 octets, pm08 is a list of TCP options.
 *
 * Happy path: element after element is read whole, judged and taken until one says it is the
 * last (mc10) or EOL comes (pm08). Failure path: what garbage would get wrong first (magic,
 * type, length) is judged octet by octet, so that it cannot make us wait; the rest is judged
 * when its element is complete. */
#include "wire/mpconvert.h"
#include "wire/forbidden.h"
#include <netinet/in.h>

enum {
    MAGIC_LEN = 4,
    FIXED_LEN = 4, /* Type, Length and flags; or Kind, Length, subtype and protocol */
    FLAG_M = 0x01,
    FLAG_D = 0x02, /* -10 s5.1 */
    TYPE_ADDRESS = 0,
    PM08_EOL = 0x00,
    PM08_NOP = 0x01,
    PM08_SUBTYPE = 0xE0,
    PM08_FLAG_D = 0x08,
};

static const uint8_t magic_octets[MAGIC_LEN] = {0xFA, 0xA8, 0xFA, 0xA8};

struct element {
    struct addr addr;
    bool has_port;
    bool is_source;
    uint8_t type;     /* mc10 */
    uint8_t flags;    /* mc10: the second flag octet */
    uint8_t protocol; /* pm08 */
};

/* -10 s5.1, -08 s4.1: no address, IPv4, IPv4 and port, IPv6, IPv6 and port. Magic and padding
 * do not count. */
static bool length_is_legal(uint8_t length)
{
    return length == 4 || length == 8 || length == 10 || length == 20 || length == 22;
}

static size_t padded(size_t octets)
{
    return (octets + 3) / 4 * 4;
}

/* `length` is legal and `body` holds at least length - FIXED_LEN octets. */
static void read_endpoint(struct span body, uint8_t length, struct element *e)
{
    struct rd r = {.in = body};
    size_t address_len = length < 8 ? 0 : length < 20 ? 4 : 16;
    struct span ip = rd_span(&r, address_len);

    e->has_port = length == 10 || length == 22;
    uint16_t port = e->has_port ? rd_be16(&r) : 0;
    if (address_len == 0)
        e->addr = (struct addr){.family = ADDR_NONE};
    else if (address_len == 4)
        e->addr = addr_ipv4(ip.ptr, port);
    else
        e->addr = addr_unmap(addr_ipv6(ip.ptr, port));
}

/* REJECT_NONE: taken. -10 s5.2: at most one element per D. */
static enum reject take(struct mpconvert_request *req, const struct element *e)
{
    if (e->is_source ? req->has_source : req->has_destination)
        return REJECT_SAME_D;
    if (forbidden_target(&e->addr))
        return REJECT_FORBIDDEN;
    if (e->is_source) {
        req->has_source = true;
        req->source = e->addr;
        req->source_port = e->has_port;
    } else {
        req->has_destination = true;
        req->destination = e->addr;
        req->destination_port = e->has_port;
    }
    return REJECT_NONE;
}

/* May `req` have an element of this type besides what it has? Judged before the rest of it is
 * there: nobody must wait for an element that cannot be taken. */
static enum reject judge_type(const struct mpconvert_request *req, uint8_t type)
{
    if (type == MPCONVERT_TYPE_NO_ANSWER)
        return req->no_answer ? REJECT_DUPLICATE : REJECT_NONE;
    if (type != TYPE_ADDRESS) /* fail closed: it might change what the connection means */
        return REJECT_TYPE;
    return req->has_source && req->has_destination ? REJECT_TOO_MANY : REJECT_NONE;
}

static bool length_fits(uint8_t type, uint8_t length)
{
    return type == TYPE_ADDRESS ? length_is_legal(length) : length == FIXED_LEN;
}

static struct decode read_element(struct rd *r, const struct mpconvert_request *req,
                                  struct element *e)
{
    enum reject why = REJECT_NONE;
    struct span left = span_skip(r->in, r->pos);
    size_t known = left.len < MAGIC_LEN ? left.len : MAGIC_LEN;

    if (known > 0 && memcmp(left.ptr, magic_octets, known) != 0)
        return decode_bad(REJECT_MAGIC);
    if (left.len > 4)
        why = judge_type(req, left.ptr[4]);
    if (why != REJECT_NONE)
        return decode_bad(why);
    if (left.len > 5 && !length_fits(left.ptr[4], left.ptr[5]))
        return decode_bad(REJECT_LENGTH);
    struct span head = rd_span(r, MAGIC_LEN + FIXED_LEN);
    if (r->want != 0)
        return decode_more(r->want);
    uint8_t length = head.ptr[5];
    struct span body = rd_span(r, padded(length) - FIXED_LEN);
    if (r->want != 0)
        return decode_more(r->want);
    e->type = head.ptr[4];
    e->flags = head.ptr[7];
    e->is_source = (e->flags & FLAG_D) != 0;
    read_endpoint(body, length, e);
    return decode_done(r->pos);
}

/* `start` is the element's. */
static enum reject take_no_answer(struct mpconvert_request *req, const struct element *e,
                                  size_t start)
{
    req->no_answer = true;
    req->no_answer_at = (uint8_t)start; /* below MPCONVERT_REQUEST_MAX */
    return e->is_source ? REJECT_RESERVED : REJECT_NONE;
}

/* Behind an element of `req`: is the request whole? BAD: it never will be. */
static struct decode judge_end(const struct mpconvert_request *req, bool last, size_t end)
{
    if (!last && req->no_answer && req->has_source && req->has_destination)
        return decode_bad(REJECT_TOO_MANY);
    if (!last)
        return decode_more(end + 1);
    if (!req->has_source && !req->has_destination)
        return decode_bad(REJECT_TYPE); /* No Answer, to what? */
    return decode_done(end);
}

struct decode mpconvert_decode(struct span in, enum mpconvert_m_bit m,
                               struct mpconvert_request *out)
{
    struct mpconvert_request req = {.protocol = IPPROTO_TCP};
    struct rd r = {.in = in};

    for (;;) { /* three times at most */
        struct element e = {.flags = 0};
        size_t start = r.pos;
        struct decode d = read_element(&r, &req, &e);

        if (d.status != DECODE_DONE)
            return d;
        enum reject why = e.type == MPCONVERT_TYPE_NO_ANSWER ? take_no_answer(&req, &e, start)
                                                             : take(&req, &e);
        if (why != REJECT_NONE)
            return decode_bad(why);
        d = judge_end(&req, ((e.flags & FLAG_M) != 0) == (m == MPCONVERT_M_DRAFT), d.bytes);
        if (d.status == DECODE_DONE)
            *out = req;
        if (d.status != DECODE_MORE)
            return d;
    }
}

/* Length octet for what the encoders are asked to write. */
static uint8_t length_of(const struct addr *a, bool with_port)
{
    unsigned port_len = with_port ? 2 : 0;

    if (a->family == ADDR_IPV4)
        return (uint8_t)(FIXED_LEN + 4 + port_len);
    if (a->family == ADDR_IPV6)
        return (uint8_t)(FIXED_LEN + 16 + port_len);
    return FIXED_LEN;
}

static void write_endpoint(struct wr *w, const struct addr *a, bool with_port)
{
    if (a->family == ADDR_NONE)
        return;
    wr_bytes(w, a->ip, a->family == ADDR_IPV4 ? 4 : 16);
    if (with_port)
        wr_be16(w, a->port);
}

static void write_head(struct wr *w, uint8_t type, uint8_t length, uint8_t d_bit, bool m_is_set)
{
    wr_bytes(w, magic_octets, sizeof magic_octets);
    wr_u8(w, type);
    wr_u8(w, length);
    wr_u8(w, 0);
    wr_u8(w, (uint8_t)(d_bit | (m_is_set ? FLAG_M : 0)));
}

void mpconvert_encode(struct wr *w, const struct addr *a, bool with_port, bool is_source,
                      bool last, enum mpconvert_m_bit m)
{
    uint8_t length = length_of(a, with_port);

    write_head(w, TYPE_ADDRESS, length, is_source ? FLAG_D : 0,
               last == (m == MPCONVERT_M_DRAFT));
    write_endpoint(w, a, with_port);
    wr_zero(w, padded(length) - length);
}

void mpconvert_encode_no_answer(struct wr *w, bool last, enum mpconvert_m_bit m)
{
    write_head(w, MPCONVERT_TYPE_NO_ANSWER, FIXED_LEN, 0, last == (m == MPCONVERT_M_DRAFT));
}

void mpconvert_encode_probe(struct wr *w, enum mpconvert_m_bit m)
{
    static const struct addr none = {.family = ADDR_NONE};

    mpconvert_encode_no_answer(w, false, m);
    mpconvert_encode(w, &none, false, false, true, m);
}

/* The bits of octet `at` of an element that its copy must repeat. */
static uint8_t echo_mask(size_t at, uint8_t length)
{
    if (at == 6)
        return 0; /* reserved */
    if (at == 7)
        return FLAG_D | FLAG_M;
    return at < (size_t)MAGIC_LEN + length ? 0xFF : 0; /* 0: padding */
}

struct decode mpconvert_match_echo(struct span in, struct span sent)
{
    size_t known = in.len < sent.len ? in.len : sent.len;
    size_t start = 0, end = 0; /* of the element that octet i lies in */
    uint8_t length = 0;

    for (size_t i = 0; i < known; i++) {
        if (i == end) {
            if (sent.len - i < MAGIC_LEN + FIXED_LEN)
                return decode_bad(REJECT_MISMATCH); /* not what mpconvert_encode() wrote */
            start = i;
            length = sent.ptr[i + 5];
            end = start + MAGIC_LEN + padded(length < FIXED_LEN ? FIXED_LEN : length);
        }
        if (((in.ptr[i] ^ sent.ptr[i]) & echo_mask(i - start, length)) != 0)
            return decode_bad(REJECT_MISMATCH);
    }
    return in.len < sent.len ? decode_more(sent.len) : decode_done(sent.len);
}

struct decode mpconvert_match_probe(struct span in, struct span sent, bool *exact)
{
    bool both = in.len > MAGIC_LEN && in.ptr[MAGIC_LEN] == MPCONVERT_TYPE_NO_ANSWER;
    struct decode d =
        mpconvert_match_echo(in, both ? sent : span_skip(sent, MPCONVERT_NO_ANSWER_LEN));

    if (d.status == DECODE_DONE)
        *exact = both;
    return d;
}

/* `r` stands behind the Kind octet. */
static struct decode read_option(struct rd *r, struct element *e)
{
    struct span left = span_skip(r->in, r->pos);
    size_t start = r->pos - 1;

    /* Judged from the kind octet on: nobody must wait for what the cap does not admit. 1: EOL.
     */
    if (start > PM08_HEADER_MAX - 1 - FIXED_LEN)
        return decode_bad(REJECT_TOO_MANY);
    if (left.len > 0 && !length_is_legal(left.ptr[0]))
        return decode_bad(REJECT_LENGTH);
    if (left.len > 0 && left.ptr[0] > PM08_HEADER_MAX - 1 - start)
        return decode_bad(REJECT_TOO_MANY);
    if (left.len > 1 && (left.ptr[1] & 0xF0) != PM08_SUBTYPE)
        return decode_bad(REJECT_TYPE);
    if (left.len > 2 && left.ptr[2] != IPPROTO_TCP && left.ptr[2] != IPPROTO_UDP)
        return decode_bad(REJECT_PROTOCOL);
    struct span head = rd_span(r, FIXED_LEN - 1);
    if (r->want != 0)
        return decode_more(r->want);
    struct span body = rd_span(r, (size_t)head.ptr[0] - FIXED_LEN);
    if (r->want != 0)
        return decode_more(r->want);
    e->is_source = (head.ptr[1] & PM08_FLAG_D) != 0;
    e->protocol = head.ptr[2];
    read_endpoint(body, head.ptr[0], e);
    return decode_done(r->pos);
}

struct decode pm08_decode(struct span in, struct mpconvert_request *out)
{
    struct mpconvert_request req = {.protocol = 0};
    struct rd r = {.in = in};

    while (r.pos < PM08_HEADER_MAX) {
        uint8_t kind = rd_u8(&r);
        struct element e = {.flags = 0};

        if (r.want != 0)
            return decode_more(r.want);
        if (kind == PM08_NOP)
            continue;
        if (kind == PM08_EOL && req.protocol != 0) {
            *out = req;
            return decode_done(r.pos);
        }
        if (kind != PM08_KIND) /* an EOL without any option asks for nothing */
            return decode_bad(REJECT_TYPE);
        struct decode d = read_option(&r, &e);
        if (d.status != DECODE_DONE)
            return d;
        if (req.protocol != 0 && req.protocol != e.protocol)
            return decode_bad(REJECT_PROTOCOL); /* one connection cannot be both */
        enum reject why = take(&req, &e);
        if (why != REJECT_NONE)
            return decode_bad(why);
        req.protocol = e.protocol;
    }
    return decode_bad(REJECT_TOO_MANY);
}

void pm08_encode_option(struct wr *w, const struct addr *a, bool with_port, bool is_source,
                        uint8_t protocol)
{
    wr_u8(w, PM08_KIND);
    wr_u8(w, length_of(a, with_port));
    wr_u8(w, (uint8_t)(PM08_SUBTYPE | (is_source ? PM08_FLAG_D : 0)));
    wr_u8(w, protocol);
    write_endpoint(w, a, with_port);
}

void pm08_encode_end(struct wr *w)
{
    wr_u8(w, PM08_EOL);
}
