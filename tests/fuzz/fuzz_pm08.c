/* SPDX-License-Identifier: MIT */
/* The input as pm08 options. What decodes is encoded and decodes to the same. */
#include "property.h"
#include "wire/mpconvert.h"
#include <netinet/in.h>

enum { INPUT_MAX = PM08_HEADER_MAX + 16 };

static struct decode options(struct span in)
{
    struct mpconvert_request req;
    struct decode d = pm08_decode(in, &req);

    ASSERT(d.status != DECODE_MORE || d.bytes <= PM08_HEADER_MAX);
    return d;
}

static bool same(const struct mpconvert_request *a, const struct mpconvert_request *b)
{
    return a->has_source == b->has_source && a->source_port == b->source_port &&
           a->has_destination == b->has_destination &&
           a->destination_port == b->destination_port && a->protocol == b->protocol &&
           addr_equal(&a->source, &b->source) && addr_equal(&a->destination, &b->destination);
}

static void again(struct span in)
{
    uint8_t buf[PM08_HEADER_MAX];
    struct wr w = {.buf = buf, .cap = sizeof buf};
    struct mpconvert_request req, req2;
    struct decode d = pm08_decode(in, &req);

    if (d.status != DECODE_DONE)
        return;
    ASSERT(req.has_source || req.has_destination);
    ASSERT(req.protocol == IPPROTO_TCP || req.protocol == IPPROTO_UDP);
    if (req.has_source)
        pm08_encode_option(&w, &req.source, req.source_port, true, req.protocol);
    if (req.has_destination)
        pm08_encode_option(&w, &req.destination, req.destination_port, false, req.protocol);
    pm08_encode_end(&w);
    ASSERT(!w.overflow && w.pos <= d.bytes); /* NOPs and mapped prefixes go */
    d = pm08_decode(wr_done(&w), &req2);
    ASSERT(d.status == DECODE_DONE && d.bytes == w.pos);
    ASSERT(same(&req, &req2));
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    struct span in = span_of(data, size < INPUT_MAX ? size : INPUT_MAX);

    property_verdict(options, in);
    again(in);
    return 0;
}
