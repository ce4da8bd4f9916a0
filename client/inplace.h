/* SPDX-License-Identifier: MIT */
/* inplace - connect() through a concentrator that is known to be exact (docs/exact-connect.md):
 * it answers the SYN when the target has accepted, so nothing is awaited or read here. The new
 * socket, its SYN with the request on its way, takes the program's place at once, and
 * whoever waits for it, in whatever way, waits in the kernel.
 *
 * Only where all of the request rides in the SYN. Everything else (no such concentrator, a
 * kernel without Fast Open, no memory) goes the ordinary way (reach.h), which can try others.
 *
 * An end that may also mean that the concentrator is gone makes its knowledge doubtful
 * (proxies.h), and the ordinary way, or a probe, finds out. Any thread; no allocation, no
 * errno. */
#ifndef CLIENT_INPLACE_H
#define CLIENT_INPLACE_H
#include "inplace_watch.h"
#include "reach.h"

enum { INPLACE_NOT = -4096 }; /* the ordinary way, please */

/* 0: *out is a socket in SYN_SENT (or further), which is the caller's to put in place.
 * INPLACE_NOT: nothing happened. `model`: the program's socket. Counts CONNECTS, EXACT and
 * OPTION_LOST. */
int inplace_start(struct inplace_seen *out, const struct reach_env *env, const struct plan *p,
                  int model);

/* The whole connect() of the process we are in, at its descriptor `fd`: 0, -errno, -EINPROGRESS
 * on a non-blocking socket, INPLACE_NOT. A blocking one waits in the kernel, which restarts it,
 * or ends it with EINTR or by SO_SNDTIMEO, as it does with any other. */
int inplace_connect(const struct reach_env *env, const struct plan *p, int fd);
/* connect() once more on such a socket, for the kernel to answer. INPLACE_NOT: it is as new, by
 * a shutdown() for example. */
int inplace_again(const struct reach_env *env, int fd, uint64_t cookie);
/* What the kernel says to one more connect(): nothing is ever connected by it. -EAFNOSUPPORT:
 * it would begin anew. */
int inplace_ask(int fd);
/* SO_ERROR was read: `error`. */
void inplace_told(const struct reach_env *env, int fd, uint64_t cookie, int error);
/* Looks at what became of former ones. */
void inplace_look(const struct reach_env *env);
/* The program gave it up (connect() with AF_UNSPEC). */
void inplace_forget(uint64_t cookie);
void inplace_forked(void);

#endif
