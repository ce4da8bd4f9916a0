/* SPDX-License-Identifier: MIT */
/* property - how a fuzzer says that something does not hold: a line on stderr, then abort(). */
#ifndef FUZZ_PROPERTY_H
#define FUZZ_PROPERTY_H
#include "base/check.h"
#include "verdict.h"

/* What libFuzzer, or replay_main.c, calls. */
int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

/* replay_main.c defines it and sets it while a whole file of the corpus is played; where
 * libFuzzer has the main() there is none, and its address is NULL. */
extern bool property_exhaustive __attribute__((weak));

/* Is there time for everything that can be tried, or only for a sample? A fuzzer comes back
 * millions of times. */
static inline bool property_try_all(void)
{
    return &property_exhaustive != NULL && property_exhaustive;
}

/* The rules all decoders share; see verdict.h. */
static inline void property_verdict(verdict_decode_fn *decode, struct span in)
{
    const char *flaw =
        property_try_all() ? verdict_flaw(decode, in) : verdict_sample_flaw(decode, in);

    if (flaw != NULL) {
        (void)fprintf(stderr, "%s\n", flaw);
        abort();
    }
}

#endif
