/* SPDX-License-Identifier: MIT */
/* The input is tried as every SOCKS5 message of either side. What decodes is encoded, decoded
 * again, and must be the same. */
#include "decoders.h"
#include "property.h"
#include "wire/socks5.h"

enum { INPUT_MAX = SOCKS5_MESSAGE_MAX + 8 }; /* longer inputs only repeat themselves */

static void greeting_again(struct span in)
{
    uint8_t buf[SOCKS5_GREETING_MAX];
    struct wr w = {.buf = buf, .cap = sizeof buf};
    struct socks5_greeting g;
    struct decode d = socks5_decode_greeting(in, &g);

    if (d.status != DECODE_DONE)
        return;
    socks5_encode_greeting(&w, g.methods.ptr, (uint8_t)g.methods.len);
    ASSERT(span_equal(wr_done(&w), span_of(in.ptr, d.bytes)));
}

static void userpass_again(struct span in)
{
    uint8_t buf[SOCKS5_USERPASS_MAX];
    struct wr w = {.buf = buf, .cap = sizeof buf};
    struct socks5_userpass up;
    struct decode d = socks5_decode_userpass(in, &up);

    if (d.status != DECODE_DONE)
        return;
    socks5_encode_userpass(&w, up.user, up.pass);
    ASSERT(w.overflow == (up.user.len == 0 || up.pass.len == 0));
    ASSERT(w.overflow || span_equal(wr_done(&w), span_of(in.ptr, d.bytes)));
}

/* Dots, brackets and mapped prefixes may go; only a short literal, "::2" sent as a name, grows
 * to an address of 16 octets. */
static bool no_longer(const struct wr *w, size_t bytes, const struct target *t)
{
    return w->pos <= bytes || t->addr.family == ADDR_IPV6;
}

static void request_again(struct span in)
{
    uint8_t buf[SOCKS5_REQUEST_MAX];
    struct wr w = {.buf = buf, .cap = sizeof buf};
    struct socks5_request req, req2;
    struct target t, t2;
    struct decode d = socks5_decode_request(in, &req);

    if (d.status != DECODE_DONE || !socks5_request_target(&req, &t))
        return;
    socks5_encode_request(&w, req.command, &t);
    ASSERT(!w.overflow && no_longer(&w, d.bytes, &t));
    d = socks5_decode_request(wr_done(&w), &req2);
    ASSERT(d.status == DECODE_DONE && d.bytes == w.pos && req2.command == req.command);
    ASSERT(socks5_request_target(&req2, &t2));
    ASSERT(target_equal(&t, &t2) || t.addr.scope != 0); /* a scope cannot be sent */
}

static void reply_again(struct span in)
{
    uint8_t buf[SOCKS5_REPLY_MAX];
    struct wr w = {.buf = buf, .cap = sizeof buf};
    struct socks5_reply r, r2;
    struct decode d = socks5_decode_reply(in, &r);

    if (d.status != DECODE_DONE)
        return;
    struct addr bound = r.bound.addr;
    bound.port = r.bound.port;
    if (target_is_name(&r.bound))
        socks5_encode_reply_name(&w, (enum socks5_rep)r.rep, r.bound.name);
    else
        socks5_encode_reply(&w, (enum socks5_rep)r.rep, &bound);
    ASSERT(!w.overflow);
    d = socks5_decode_reply(wr_done(&w), &r2);
    ASSERT(d.status == DECODE_DONE && d.bytes == w.pos && r2.rep == r.rep);
    if (target_is_name(&r.bound))
        r2.bound.port = r.bound.port; /* always sent as 0 */
    ASSERT(target_equal(&r.bound, &r2.bound) || r.bound.addr.family == ADDR_NONE ||
           r.bound.addr.scope != 0);
}

static void udp_again(struct span in)
{
    uint8_t buf[SOCKS5_UDP_HEADER_MAX];
    struct wr w = {.buf = buf, .cap = sizeof buf};
    struct socks5_udp u, u2;
    struct decode d = socks5_decode_udp(in, &u);

    if (d.status != DECODE_DONE)
        return;
    socks5_encode_udp(&w, &u.target);
    ASSERT(!w.overflow && no_longer(&w, d.bytes, &u.target));
    d = socks5_decode_udp(wr_done(&w), &u2);
    ASSERT(d.status == DECODE_DONE && d.bytes == w.pos && u2.frag == 0);
    ASSERT(target_equal(&u.target, &u2.target) || u.target.addr.scope != 0);
}

static void fwd_udp_again(struct span in)
{
    uint8_t buf[UINT8_MAX];
    struct wr w = {.buf = buf, .cap = sizeof buf};
    struct target t, t2;
    uint16_t data_len, data_len2;
    struct decode d = socks5_decode_fwd_udp(in, &t, &data_len);

    if (d.status != DECODE_DONE)
        return;
    socks5_encode_fwd_udp(&w, &t, data_len);
    ASSERT(!w.overflow && no_longer(&w, d.bytes, &t));
    d = socks5_decode_fwd_udp(wr_done(&w), &t2, &data_len2);
    ASSERT(d.status == DECODE_DONE && d.bytes == w.pos && data_len == data_len2);
    ASSERT(target_equal(&t, &t2) || t.addr.scope != 0);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    static verdict_decode_fn *const decoders[] = {
        decoder_socks5_greeting, decoder_socks5_userpass, decoder_socks5_request,
        decoder_socks5_method,   decoder_socks5_status,   decoder_socks5_reply,
        decoder_socks5_udp,      decoder_socks5_fwd_udp};
    struct span in = span_of(data, size < INPUT_MAX ? size : INPUT_MAX);

    for (size_t i = 0; i < ARRAY_LEN(decoders); i++)
        property_verdict(decoders[i], in);
    greeting_again(in);
    userpass_again(in);
    request_again(in);
    reply_again(in);
    udp_again(in);
    fwd_udp_again(in);
    return 0;
}
