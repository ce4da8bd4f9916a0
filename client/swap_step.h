/* SPDX-License-Identifier: MIT */
/* swap_step - one pending connect, from its request to its verdict. One thread at a time. */
#ifndef CLIENT_SWAP_STEP_H
#define CLIENT_SWAP_STEP_H
#include "pending.h"

/* Goes on as far as it can without waiting. True: the verdict is there and told to everybody
 * who waits for it; `p` is not to be touched any more. */
bool swap_step(struct pending *p, uint64_t now_ms);
/* What to wait for, and no longer than until when. */
int swap_step_fd(const struct pending *p, short *events, uint64_t *until_ms);
/* Ends it with an errno, as if that were the answer. */
void swap_step_fail(struct pending *p, int error);
/* In the child of fork(): closes what belongs to it. */
void swap_step_abandon(struct pending *p);

#endif
