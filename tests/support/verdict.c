/* SPDX-License-Identifier: MIT */
#include "verdict.h"
#include <stdlib.h>

struct decode verdict_prefix(verdict_decode_fn *decode, struct span in, size_t n)
{
    if (n == 0) /* an empty view may have no address at all */
        return decode((struct span){.ptr = NULL, .len = 0});

    uint8_t *copy = malloc(n);
    if (copy == NULL)
        abort();
    memcpy(copy, in.ptr, n);
    struct decode d = decode(span_of(copy, n));
    free(copy);
    return d;
}

static const char *shape_flaw(struct decode d, size_t given)
{
    switch (d.status) {
    case DECODE_MORE:
        if (d.why != REJECT_NONE)
            return "MORE with a reason";
        return d.bytes > given ? NULL : "MORE asks for no more than was given";
    case DECODE_DONE:
        if (d.why != REJECT_NONE)
            return "DONE with a reason";
        return d.bytes >= 1 && d.bytes <= given ? NULL : "DONE with bytes out of range";
    case DECODE_BAD:
        if (d.bytes != 0)
            return "BAD with bytes";
        return d.why > REJECT_NONE && d.why < REJECT_COUNT ? NULL : "BAD without a reason";
    }
    return "no such status";
}

static bool same(struct decode a, struct decode b)
{
    return a.status == b.status && a.bytes == b.bytes && a.why == b.why;
}

const char *verdict_flaw(verdict_decode_fn *decode, struct span in)
{
    struct decode last = decode_more(1);

    for (size_t n = 0; n <= in.len; n++) {
        struct decode d = verdict_prefix(decode, in, n);
        const char *flaw = shape_flaw(d, n);

        if (flaw != NULL)
            return flaw;
        if (last.status != DECODE_MORE && !same(d, last))
            return "the verdict changed with more input";
        if (last.status == DECODE_MORE && d.status == DECODE_DONE && n < last.bytes)
            return "DONE before what MORE asked for";
        if (last.status != DECODE_MORE || d.status != DECODE_MORE || d.bytes > last.bytes)
            last = d; /* else keep the farthest promise */
    }
    return NULL;
}

const char *verdict_message_flaw(verdict_decode_fn *decode, struct span in, size_t message)
{
    for (size_t n = 0; n < message; n++) {
        struct decode d = verdict_prefix(decode, in, n);

        if (d.status != DECODE_MORE)
            return "a proper prefix of the message is not MORE";
        if (d.bytes > message)
            return "MORE asks for more than the message has";
    }
    struct decode d = verdict_prefix(decode, in, in.len);
    if (d.status != DECODE_DONE || d.bytes != message)
        return "the message is not DONE with its length";
    return verdict_flaw(decode, in);
}

const char *verdict_mutation_flaw(verdict_decode_fn *decode, struct span in)
{
    uint8_t copy[128];

    if (in.len > sizeof copy)
        return "too long to be mutated";
    for (size_t i = 0; i < in.len; i++) {
        memcpy(copy, in.ptr, in.len);
        for (unsigned flip = 1; flip <= 0xFF; flip++) {
            copy[i] = (uint8_t)(in.ptr[i] ^ flip);
            const char *flaw = verdict_flaw(decode, span_of(copy, in.len));
            if (flaw != NULL)
                return flaw;
        }
    }
    return NULL;
}
