/* SPDX-License-Identifier: MIT */
/* dialogue - plays the concentrator towards an initiator. For unit tests and fuzzers alike: no
 * test library; malloc only for exact-size copies, so that AddressSanitizer sees a read past
 * the end. */
#ifndef SUPPORT_DIALOGUE_H
#define SUPPORT_DIALOGUE_H
#include "wire/initiator.h"

enum { DIALOGUE_SENT_MAX = 2048 };

struct dialogue {
    struct initiator in;
    uint8_t sent[DIALOGUE_SENT_MAX]; /* all that the initiator sent */
    size_t sent_len;
    size_t consumed; /* octets of the peer's stream */
};

/* Takes what the initiator wants to send, `piece` octets at a time (0: all). NULL, or which
 * rule was broken. */
const char *dialogue_take(struct dialogue *d, size_t piece);

/* dialogue_take, then delivers `stream` in pieces of `piece` octets (0: all at once) until the
 * verdict or the end of the stream; sends whatever is asked for in between. Call it once after
 * initiator_init(). NULL, or which rule was broken. */
const char *dialogue_play(struct dialogue *d, struct span stream, size_t piece);

#endif
