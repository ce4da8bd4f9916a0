/* SPDX-License-Identifier: MIT */
#include "decoders.h"
#include "property.h"
#include "wire/proxy_header.h"

enum { INPUT_MAX = PROXY_HEADER_V2_MAX + 8 };

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    struct span in = span_of(data, size < INPUT_MAX ? size : INPUT_MAX);
    uint8_t buf[PROXY_HEADER_SENT_MAX];
    struct proxy_header h, again;

    property_verdict(decoder_proxy_header, in);
    struct decode d = proxy_header_decode(in, &h);
    if (d.status != DECODE_DONE)
        return 0;
    ASSERT(d.bytes <= PROXY_HEADER_V2_MAX);
    ASSERT((h.source.family == ADDR_NONE) == (h.destination.family == ADDR_NONE));
    for (unsigned v = PROXY_HEADER_V1; v <= PROXY_HEADER_V2; v++) {
        struct wr w = {.buf = buf, .cap = sizeof buf};
        proxy_header_encode(&w, (enum proxy_header_version)v, &h);
        ASSERT(!w.overflow);
        d = proxy_header_decode(wr_done(&w), &again);
        ASSERT(d.status == DECODE_DONE && d.bytes == w.pos);
        ASSERT(addr_equal(&h.source, &again.source) &&
               addr_equal(&h.destination, &again.destination));
    }
    return 0;
}
