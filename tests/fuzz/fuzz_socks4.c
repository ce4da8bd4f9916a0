/* SPDX-License-Identifier: MIT */
#include "decoders.h"
#include "property.h"
#include "wire/socks4.h"

enum { INPUT_MAX = SOCKS4_REQUEST_MAX + 8 };

/* There is no SOCKS4 client: what it would have sent for this request. */
static void encode(struct wr *w, const struct socks4_request *req)
{
    static const uint8_t mark[4] = {0, 0, 0, 1};
    bool is_4a = target_is_name(&req->target);

    wr_u8(w, SOCKS4_VERSION);
    wr_u8(w, req->command);
    wr_be16(w, req->target.port);
    wr_bytes(w, is_4a ? mark : req->target.addr.ip, 4);
    wr_bytes(w, req->user.ptr, req->user.len);
    wr_u8(w, 0);
    if (is_4a)
        wr_bytes(w, req->target.name, (size_t)req->target.name_len + 1);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    struct span in = span_of(data, size < INPUT_MAX ? size : INPUT_MAX);
    uint8_t buf[SOCKS4_REQUEST_MAX];
    struct wr w = {.buf = buf, .cap = sizeof buf};
    struct socks4_request req, again;

    property_verdict(decoder_socks4_request, in);
    struct decode d = socks4_decode_request(in, &req);
    if (d.status != DECODE_DONE)
        return 0;
    ASSERT(d.bytes <= SOCKS4_REQUEST_MAX && req.user.len <= SOCKS4_FIELD_MAX);
    ASSERT(req.user.len == 0 || memchr(req.user.ptr, 0, req.user.len) == NULL);
    if (req.target.addr.family == ADDR_IPV6)
        return 0; /* a literal in a 4a name: there is no other way to send it */
    encode(&w, &req);
    ASSERT(!w.overflow && w.pos <= d.bytes);
    d = socks4_decode_request(wr_done(&w), &again);
    if (!target_is_name(&req.target) && req.target.addr.ip[0] == 0)
        return 0; /* a literal 0.0.0.x in a 4a name reads as the 4a mark when it is sent as
                     address */
    ASSERT(d.status == DECODE_DONE && d.bytes == w.pos && again.command == req.command);
    ASSERT(span_equal(req.user, again.user) && target_equal(&req.target, &again.target));
    return 0;
}
