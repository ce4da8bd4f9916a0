/* SPDX-License-Identifier: MIT */
/* seat - a redirected socket takes the place of the program's, in the process we are in. */
#ifndef CLIENT_SEAT_H
#define CLIENT_SEAT_H
#include "reach.h"

/* 0, or -errno (EBADF: another thread closed the program's socket meanwhile). `with` is the
 * program's from then on, or closed. Its truth becomes `state`; flags and registrations with
 * epoll are carried over. Counts EPOLL_MOVED. */
int seat_take(const struct reach_env *env, const struct plan *p, int fd, int with,
              enum truth_state state);

#endif
