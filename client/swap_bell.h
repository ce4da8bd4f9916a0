/* SPDX-License-Identifier: MIT */
/* swap_bell - wakes the helper thread out of poll(). Its descriptor lies in the program's
 * table, where anything may happen to it: nothing here reads from, writes to, or closes what
 * became somebody else's. No allocation, no errno; any thread, signal handlers included. */
#ifndef CLIENT_SWAP_BELL_H
#define CLIENT_SWAP_BELL_H
#include <stdbool.h>

/* The helper's: a descriptor to poll for POLLIN, made when there is none; -1: there is none to
 * be had. */
int swap_bell_fd(void);
bool swap_bell_ring(void);    /* false: there is none */
void swap_bell_silence(void); /* the helper's; a later ring is heard */
void swap_bell_drop(void);    /* the helper's; in the child of fork() */

#endif
