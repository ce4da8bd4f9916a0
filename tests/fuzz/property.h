/* SPDX-License-Identifier: MIT */
/* property - how a fuzzer says that something does not hold: a line on stderr, then abort(). */
#ifndef FUZZ_PROPERTY_H
#define FUZZ_PROPERTY_H
#include "base/check.h"
#include "verdict.h"

/* What libFuzzer, or replay_main.c, calls. */
int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

/* The rules all decoders share; see verdict.h. */
static inline void property_verdict(verdict_decode_fn *decode, struct span in)
{
    const char *flaw = verdict_flaw(decode, in);

    if (flaw != NULL) {
        (void)fprintf(stderr, "%s\n", flaw);
        abort();
    }
}

#endif
