/* SPDX-License-Identifier: MIT */
#include "verdict.h"
#include <stdlib.h>

struct decode verdict_prefix(verdict_decode_fn *decode, struct span in, size_t n)
{
    uint8_t *copy = n > 0 ? malloc(n) : NULL; /* an empty view may have no address at all */

    if (n > 0 && copy == NULL)
        abort();
    if (n > 0)
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

/* The verdict on n octets, behind what was said of fewer: *last, which it becomes. */
static const char *next_flaw(struct decode *last, struct decode d, size_t n)
{
    const char *flaw = shape_flaw(d, n);

    if (flaw != NULL)
        return flaw;
    if (last->status != DECODE_MORE && !same(d, *last))
        return "the verdict changed with more input";
    if (last->status == DECODE_MORE && d.status == DECODE_DONE && n < last->bytes)
        return "DONE before what MORE asked for";
    if (last->status != DECODE_MORE || d.status != DECODE_MORE || d.bytes > last->bytes)
        *last = d; /* else keep the farthest promise */
    return NULL;
}

const char *verdict_flaw(verdict_decode_fn *decode, struct span in)
{
    struct decode last = decode_more(1);
    const char *flaw = NULL;

    for (size_t n = 0; n <= in.len && flaw == NULL; n++)
        flaw = next_flaw(&last, verdict_prefix(decode, in, n), n);
    return flaw;
}

/* FNV-1a; the first octets of a message say most about it. */
static uint32_t hash(struct span in)
{
    uint32_t h = 2166136261u ^ (uint32_t)in.len;

    for (size_t i = 0; i < in.len && i < 64; i++)
        h = (h ^ in.ptr[i]) * 16777619u;
    return h;
}

const char *verdict_sample_flaw(verdict_decode_fn *decode, struct span in)
{
    struct decode last = decode_more(1), whole = verdict_prefix(decode, in, in.len);
    uint32_t h = hash(in);
    size_t edge = whole.status == DECODE_DONE && whole.bytes <= in.len ? whole.bytes : in.len;
    size_t low = h % (edge + 1), near = edge > 0 ? edge - 1 : 0;
    size_t high = edge + (h >> 16) % (in.len - edge + 1);
    const size_t cuts[] = {low < near ? low : near, near, edge, high};
    const char *flaw = NULL;
    size_t least = 0; /* what was tried is not tried again */

    for (size_t i = 0; i < sizeof cuts / sizeof cuts[0] && flaw == NULL; i++) {
        if (cuts[i] < least || cuts[i] >= in.len)
            continue;
        flaw = next_flaw(&last, verdict_prefix(decode, in, cuts[i]), cuts[i]);
        least = cuts[i] + 1;
    }
    return flaw != NULL ? flaw : next_flaw(&last, whole, in.len);
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
