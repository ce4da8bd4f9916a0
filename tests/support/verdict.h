/* SPDX-License-Identifier: MIT */
/* verdict - what every decoder owes its callers (wire/decode.h), checked by calling it. For
 * unit tests and fuzzers alike: no test library, malloc only for exact-size copies so that
 * AddressSanitizer sees a read past the end. */
#ifndef SUPPORT_VERDICT_H
#define SUPPORT_VERDICT_H
#include "wire/decode.h"

/* The decoder under test; it drops its output. */
typedef struct decode verdict_decode_fn(struct span in);

/* Decodes each prefix of `in` and `in` itself. NULL, or which rule was broken:
 * - MORE asks for more than was given; DONE's bytes are in 1..given; BAD has a reason and 0
 * bytes; others have none;
 * - a verdict DONE or BAD never changes when more octets follow;
 * - nobody waits in vain: no prefix shorter than what MORE asked for is DONE. */
const char *verdict_flaw(verdict_decode_fn *decode, struct span in);

/* As verdict_flaw, but only for `in` and at most four of its prefixes: where the verdict falls,
 * one octet before, and two that a hash of `in` chooses. For fuzzers, which come back. */
const char *verdict_sample_flaw(verdict_decode_fn *decode, struct span in);

/* As verdict_flaw, and: the first `message` octets are a message, every shorter prefix is MORE
 * and asks for no more than `message`. */
const char *verdict_message_flaw(verdict_decode_fn *decode, struct span in, size_t message);

/* As verdict_flaw for every change of one octet of `in` to any other value. At most 128 octets.
 */
const char *verdict_mutation_flaw(verdict_decode_fn *decode, struct span in);

/* Decodes an exact-size heap copy of the first n octets; outputs that point into it are dead
 * afterwards. */
struct decode verdict_prefix(verdict_decode_fn *decode, struct span in, size_t n);

#endif
