/* SPDX-License-Identifier: MIT */
/* signals - TERM and INT drain (a second one ends at once), HUP reloads. SIGPIPE is ignored.
 * Main thread only. */
#ifndef SERVER_SIGNALS_H
#define SERVER_SIGNALS_H
#include "server.h"

struct signals {
    uv_signal_t handle[3];
    struct server *server;
    struct log *log;
};

/* 0 or UV_E*; signals_stop() is owed in both cases. The handles do not keep the
 * loop alive. */
int signals_start(struct signals *s, uv_loop_t *loop, struct server *server,
                  struct log *log) MUST_CHECK;
void signals_stop(struct signals *s);

#endif
