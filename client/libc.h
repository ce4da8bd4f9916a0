/* SPDX-License-Identifier: MIT */
/* libc - where glibc and musl differ. The preload libraries are linked with neither and use the
 * one the program has: what one of them lacks is weak here. Internal to front. */
#ifndef CLIENT_LIBC_H
#define CLIENT_LIBC_H

/* As secure_getenv(3); musl has none, and ignores LD_PRELOAD in programs for which it matters.
 */
const char *libc_variable(const char *name);
/* pthread_atfork(NULL, NULL, child). Without memory: children of fork() go without. */
void libc_at_fork(void (*child)(void));

#endif
