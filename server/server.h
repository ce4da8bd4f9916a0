/* SPDX-License-Identifier: MIT */
/* server - the root object: configuration, workers, the stats endpoint; start, reload, drain,
 * stop. Main thread only.
 *
 * Happy path: server_start() -> the main loop runs -> SIGTERM -> server_drain() -> no session
 * left, or the deadline -> stop -> the main loop returns -> server_free(). Reload: everything
 * that can fail is done first (parse, files, sockets); only then do the workers hear of it. A
 * listener that stays keeps its socket. Failure leaves the running configuration untouched. */
#ifndef SERVER_SERVER_H
#define SERVER_SERVER_H
#include "options.h"
#include <uv.h>

struct server;

/* Takes `config` (also on failure). Binds, starts threads. NULL with *err filled. */
struct server *server_start(uv_loop_t *loop, struct config *config, struct log *log,
                            struct conf_error *err) MUST_CHECK;
/* 0, or -1 with *err filled and nothing changed. On 0 the workers have been told; the reload
 * counts (stats, log) when the last of them has carried it out. */
int server_reload(struct server *s, struct conf_error *err) MUST_CHECK;
/* New clients are refused in their dialect; listeners stay open (MP_JOINs of live sessions need
 * them); ends when the last session has, or timeouts.drain_seconds later. The second call ends
 * at once. */
void server_drain(struct server *s);
/* server_drain() with a deadline of its own. */
void server_drain_within(struct server *s, uint32_t milliseconds);
/* Serves new clients again. 0; -1: it is not draining. */
int server_undrain(struct server *s) MUST_CHECK;
/* After the loop returned. */
void server_free(struct server *s);

/* How many worker threads serve `c`. */
uint32_t server_workers(const struct config *c);

#endif
