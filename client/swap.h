/* SPDX-License-Identifier: MIT */
/* swap - connect() on a non-blocking socket whose answer must be awaited. The program's
 * descriptor becomes a placeholder: a TCP socket that stays in SYN_SENT, so that poll, select,
 * epoll, SO_ERROR, a second connect(), send and recv tell what they tell of a connect under
 * way. One thread, made with the first, all signals blocked, drives the requests; when the
 * answer came the real socket takes the placeholder's place (install.h), or one with a pending
 * error does.
 *
 * Process-wide state; any thread may call. After fork() the child keeps its placeholders, which
 * nobody will replace: they time out (docs/client.md). No errno. */
#ifndef CLIENT_SWAP_H
#define CLIENT_SWAP_H
#include "reach.h"

/* Before the first of the others, and in no child of vfork(). */
void swap_init(void);
/* Places the placeholder at `fd` and begins. -EINPROGRESS, or an errno (no memory, no
 * descriptors; EAGAIN: no helper thread, as in a child of vfork(), or of a fork() that libc was
 * not asked for), and nothing changed. */
int swap_begin(const struct reach_env *env, const struct plan *p, int fd);
/* Goes on with a reach that is under way (a blocking connect() interrupted by a signal): takes
 * it over. Then as above. */
int swap_adopt(struct reach *r, int fd);
/* connect() again on a pending socket that was made blocking: the verdict, 0 or -errno.
 * -EALREADY: there is none yet after `limit_ms` (0: no limit), or the socket is not one that is
 * pending in this process. -EINTR as with connect(). */
int swap_again(uint64_t cookie, uint64_t limit_ms);
/* connect() with AF_UNSPEC on a pending socket: the request is dropped, and the socket as it
 * was before connect(). */
void swap_forget(uint64_t cookie);
/* Descriptors of the program's were closed or replaced: requests that nobody waits for any more
 * are dropped. Cheap while none are pending. */
void swap_closed(int first, int last);
void swap_forked(void); /* in the child of fork(), after install_forked() */
unsigned swap_pending(void);

#endif
