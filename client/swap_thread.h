/* SPDX-License-Identifier: MIT */
/* swap_thread - the helper thread that drives pending connects. Made on demand, all signals
 * blocked; it ends when it had nothing to do for a while. */
#ifndef CLIENT_SWAP_THREAD_H
#define CLIENT_SWAP_THREAD_H
#include "pending.h"

bool swap_thread_submit(
    struct pending *p);        /* false: no thread can be made; `p` is the caller's */
void swap_thread_look(void);   /* some program descriptor was closed: look which */
void swap_thread_forked(void); /* in the child of fork() */

#endif
