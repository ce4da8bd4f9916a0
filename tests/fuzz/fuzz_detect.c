/* SPDX-License-Identifier: MIT */
/* First octet of the input: the allowed protocols. The rest: the stream. */
#include "property.h"
#include "wire/detect.h"

enum { INPUT_MAX = 16 }; /* no verdict needs more */

static unsigned allowed; /* verdict_decode_fn has no argument */

static struct decode detect(struct span in)
{
    enum protocol out = PROTOCOL_COUNT;
    struct decode d = protocol_detect(in, allowed, &out);

    switch (d.status) {
    case DECODE_DONE:
        ASSERT(out < PROTOCOL_COUNT && (allowed & PROTOCOL_BIT(out)) != 0);
        break;
    case DECODE_MORE:
        ASSERT(out == PROTOCOL_COUNT);
        break;
    case DECODE_BAD:
        ASSERT(out < PROTOCOL_COUNT && d.why == REJECT_MAGIC);
        break;
    }
    return d;
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    if (size == 0)
        return 0;
    struct span in = span_of(data + 1, size - 1 < INPUT_MAX ? size - 1 : INPUT_MAX);

    allowed = data[0];
    property_verdict(detect, in);
    ASSERT(in.len < 8 ||
           detect(in).status != DECODE_MORE); /* the longest method and its space */
    return 0;
}
