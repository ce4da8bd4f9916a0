/* SPDX-License-Identifier: MIT */
/* verdict_check - verdicts of decoders with the check library: a wrong one fails the test. */
#ifndef SUPPORT_VERDICT_CHECK_H
#define SUPPORT_VERDICT_CHECK_H
#include "verdict.h"
#include <check.h>

static inline void ck_verdict(struct decode d, enum decode_status status, size_t bytes,
                              enum reject why)
{
    ck_assert_int_eq(d.status, status);
    ck_assert_uint_eq(d.bytes, bytes);
    ck_assert_int_eq(d.why, why);
}

/* `flaw` is what a function of verdict.h returned. */
static inline void ck_flawless(const char *what, const char *flaw)
{
    ck_assert_msg(flaw == NULL, "%s: %s", what, flaw);
}

#endif
