/* SPDX-License-Identifier: MIT */
/* redirect - the calls of a program that concern redirected sockets, as functions of the
 * kernel's kind: value or -errno, errno untouched. The preload library's hooks are these with
 * libc's manners. REDIRECT_PASS: not ours, make the call as it is. Any thread, signal handlers
 * included. */
#ifndef CLIENT_REDIRECT_H
#define CLIENT_REDIRECT_H
#include <stdbool.h>
#include <sys/socket.h>
#include <sys/types.h>

enum { REDIRECT_PASS = -4096 }; /* no errno has this value */

/* Reads the environment once (secure_getenv). Without MPCONVERT_PROXY, or with settings that do
 * not hold, everything passes; the latter is in the log, if there is one. */
void redirect_init(void);
bool redirect_on(void);

int redirect_connect(int fd, const struct sockaddr *to, socklen_t len);
/* MSG_FASTOPEN: connects, and then sends. */
ssize_t redirect_sendmsg(int fd, const struct msghdr *m, int flags);
int redirect_getpeername(int fd, struct sockaddr *out, socklen_t *len);
int redirect_getsockname(int fd, struct sockaddr *out, socklen_t *len);
int redirect_getsockopt(int fd, int level, int name, void *out, socklen_t *len);
int redirect_setsockopt(int fd, int level, int name, const void *in, socklen_t len);

#endif
