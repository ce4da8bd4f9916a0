/* SPDX-License-Identifier: MIT */
#include "dialogue.h"
#include <stdlib.h>

const char *dialogue_take(struct dialogue *d, size_t piece)
{
    while (d->in.step == INITIATOR_SEND) {
        struct span out = initiator_output(&d->in);
        size_t n = piece == 0 || piece > out.len ? out.len : piece;

        if (out.len == 0)
            return "SEND without output";
        if (n > sizeof d->sent - d->sent_len)
            return "sends without end";
        memcpy(d->sent + d->sent_len, out.ptr, n);
        d->sent_len += n;
        initiator_sent(&d->in, n);
    }
    return initiator_output(&d->in).len == 0 ? NULL : "output without SEND";
}

static bool is_verdict(enum initiator_step step)
{
    return step == INITIATOR_READY || step == INITIATOR_REFUSED || step == INITIATOR_BROKEN;
}

/* The state of an initiator that has just returned `step`. */
static const char *step_flaw(const struct initiator *in, enum initiator_step step)
{
    bool failed = step == INITIATOR_REFUSED || step == INITIATOR_BROKEN;

    if (step != in->step)
        return "the step returned is not the step";
    if (failed != (in->error != 0))
        return "an error without a failure, or the reverse";
    if (failed != (in->failure.why != OUTCOME_OK))
        return "an outcome without a failure, or the reverse";
    if (in->cookie_len > 0 && step != INITIATOR_REFUSED)
        return "a cookie without a refusal";
    return NULL;
}

/* What arrived and was not consumed, from an exact-size copy. */
static const char *deliver(struct dialogue *d, struct span rest)
{
    uint8_t *copy = rest.len > 0 ? malloc(rest.len) : NULL;
    size_t used = SIZE_MAX;

    if (rest.len > 0 && copy == NULL)
        abort();
    if (rest.len > 0)
        memcpy(copy, rest.ptr, rest.len);
    enum initiator_step before = d->in.step;
    enum initiator_step step = initiator_input(&d->in, span_of(copy, rest.len), &used);
    free(copy);
    if (used > rest.len)
        return "consumed more than was given";
    if (used > 0 && before != INITIATOR_WAIT)
        return "consumed without waiting for anything";
    d->consumed += used;
    return step_flaw(&d->in, step);
}

const char *dialogue_play(struct dialogue *d, struct span stream, size_t piece)
{
    const char *flaw = dialogue_take(d, piece);
    size_t arrived = 0;

    while (flaw == NULL && !is_verdict(d->in.step)) {
        enum initiator_step before = d->in.step;

        flaw = deliver(d, span_of(stream.ptr + d->consumed, arrived - d->consumed));
        if (flaw != NULL || is_verdict(d->in.step))
            break;
        if (before != INITIATOR_SEND && d->in.step == INITIATOR_SEND) {
            flaw = dialogue_take(d, piece);
            continue; /* what is there already may be the answer */
        }
        if (arrived == stream.len)
            break;
        size_t left = stream.len - arrived;
        arrived += piece == 0 || piece > left ? left : piece;
    }
    if (flaw == NULL && is_verdict(d->in.step)) { /* it is final */
        struct initiator verdict = d->in;

        flaw = deliver(d, span_of(stream.ptr + d->consumed, arrived - d->consumed));
        if (flaw == NULL && (d->in.step != verdict.step || d->in.error != verdict.error ||
                             initiator_closed(&d->in, 0) != verdict.step))
            flaw = "the verdict changed";
    }
    return flaw;
}
