/* SPDX-License-Identifier: MIT */
/* dialogue_check - dialogue with the check library: a broken rule fails the test. */
#ifndef SUPPORT_DIALOGUE_CHECK_H
#define SUPPORT_DIALOGUE_CHECK_H
#include "dialogue.h"
#include <check.h>

#define SPAN(text) span_of(text, sizeof(text) - 1)

/* "192.0.2.1:80" */
static inline struct target target_of(const char *text)
{
    struct addr a;

    ck_assert_msg(addr_parse(text, &a), "%s", text);
    return target_from_addr(&a);
}

static inline void ck_begin(struct dialogue *d, struct initiator_options opt,
                            const char *target)
{
    struct target t = target_of(target);
    int error = 0;

    memset(d, 0, sizeof *d);
    ck_assert(initiator_init(&d->in, &opt, &t, &error));
    ck_assert_int_eq(error, 0);
    ck_assert_int_eq(d->in.step, INITIATOR_SEND);
}

static inline void ck_play(struct dialogue *d, struct span stream, size_t piece)
{
    const char *flaw = dialogue_play(d, stream, piece);

    ck_assert_msg(flaw == NULL, "%s", flaw);
}

static inline void ck_sent(const struct dialogue *d, const uint8_t *want, size_t len)
{
    ck_assert(span_equal(span_of(d->sent, d->sent_len), span_of(want, len)));
}

#endif
