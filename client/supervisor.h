/* SPDX-License-Identifier: MIT */
/* supervisor - connect() of programs that no library can be preloaded into (static, Go,
 * setuid-free musl): a seccomp filter hands the call to the launcher, which makes the
 * connection and puts it at the program's descriptor. In the launcher's process; an ordinary
 * program, libc allowed.
 *
 * A redirected call is never continued (the kernel would read the address again, which another
 * thread may have changed meanwhile); calls that are none of ours are. A connect() waits for
 * its verdict, on non-blocking sockets too: readiness of a socket that is replaced later cannot
 * be given back from outside the process. */
#ifndef CLIENT_SUPERVISOR_H
#define CLIENT_SUPERVISOR_H
#include "reach.h"

struct supervisor;

/* `listener`: what filter_install() gave (filter.h). Takes it. NULL with -errno in *rc. */
struct supervisor *supervisor_start(const struct reach_env *env, int listener, int *rc);
/* Serves until the last process under the filter has ended, from threads of its own. */
int supervisor_fd(const struct supervisor *s); /* readable: all of them have ended */
void supervisor_end(struct supervisor *s);     /* joins; calls still waiting get ECONNABORTED */

#endif
