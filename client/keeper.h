/* SPDX-License-Identifier: MIT */
/* keeper - runs one program and stands between it and whoever started the launcher: the
 * program's exit status, death by signal and stops become the launcher's, signals sent to the
 * launcher become the program's.
 *
 *   launcher (whoever started us waits for it)
 *      `- keeper (serves connect() calls; ancestor of all that the program starts)
 *            `- program
 *
 * Two processes, because two things end at different times: the launcher with the program, the
 * keeper with the last of the program's descendants, whose connect() calls would fail without
 * it. The keeper is the program's parent and not its sibling, because the kernel may let only
 * ancestors look into a process (Yama). All are in one process group, as a shell's job control
 * wants it. When the launcher or the keeper is killed the program is killed, too. */
#ifndef CLIENT_KEEPER_H
#define CLIENT_KEEPER_H
#include "reach.h"
#include "runfile.h"
#include <stdbool.h>

struct keeper {
    char *const *program; /* argv */
    bool filter;          /* seccomp: install the filter, serve its notifications */
    bool filter_needed;   /* without it the program is not started; else a note in the log */
    bool keep_stderr;     /* the caller prints something at the end */
    struct reach_env env;
    struct runfile *run_file; /* removed when the last process that needs it has ended */
};

/* Takes over the process: standard input and output, and every descriptor but those of *k, are
 * closed (a pipe of the program's must end with the program), SIGCHLD and the signals that are
 * handed on are blocked and stay so. One thread. Returns the program's wait status once it has
 * ended; 125, 126 or 127 as its exit status when it could not be started, which was said on
 * standard error then. */
int keeper_run(struct keeper *k);

/* Ends this process as `wait_status` says: exits, or dies of the same signal (without another
 * core dump). */
_Noreturn void keeper_exit(int wait_status);

#endif
