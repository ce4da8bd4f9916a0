/* SPDX-License-Identifier: MIT */
/* admin - the read-only HTTP endpoint for stats (libmicrohttpd on the main loop). Main thread only. GET and HEAD, nothing changes
 * anything; a Host allow-list stops DNS rebinding; no answer waits for a slow reader. Documents: stats_json.h.
 * Happy path: request -> check -> ask the source -> JSON. /v1/sessions asks every worker by message, so its answer comes later
 * (the connection is suspended meanwhile, at most 2 s, then 503).
 * Failure path: RFC 9457 problem documents; see docs/stats.md. */
#ifndef SERVER_ADMIN_H
#define SERVER_ADMIN_H
#include "stats_json.h"
#include <uv.h>

/* `n` views, sorted by id; valid during the call. `truncated`: there is more behind the last id. */
typedef void admin_sessions_fn(void *arg, const struct session_view *list, size_t n, bool truncated);

/* What the endpoint shows; implemented by the server object, and by tests. `arg` is passed through. */
struct admin_source {
    void *arg;
    void (*snapshot)(void *arg, struct stats_snapshot *sum, struct server_view *view); /* view is valid until the next call */
    /* Calls `done` exactly once, from the main loop, perhaps before it returns. False: cannot be asked now (then not at all). */
    bool (*sessions)(void *arg, const struct session_query *q, admin_sessions_fn *done, void *done_arg);
    enum server_state (*state)(void *arg);
    uint64_t (*loop_age_ms)(void *arg); /* the longest any worker has not turned its loop: healthz fails from 5000 on */
};

struct admin;
/* 0 or negative UV_E*. `listen_fd` is a bound, listening TCP socket; it becomes the endpoint's, unless this fails. `config` for the
 * allow-list and /v1/config is asked through `source->snapshot`. `source` is copied. */
int admin_start(uv_loop_t *loop, int listen_fd, const struct admin_source *source, struct admin **out) MUST_CHECK;
/* Not from inside a call of the source. Ends connections; handles close in the next turns of the loop, then memory goes. A sessions
 * answer may still come: it is ignored. */
void admin_stop(struct admin *a);

/* Deadlines, all absolute, so that slow peers hold none of the ADMIN_CONNECTIONS for long; tests shorten them. */
enum { ADMIN_CONNECTIONS = 32 };
struct admin_timing {
    uint32_t head_ms;   /* from accept to the end of the head */
    uint32_t answer_ms; /* what the workers have for /v1/sessions; then 503 */
    uint32_t send_ms;   /* for a reader to take the answer */
    uint32_t accept_ms; /* pause after accept() ran out of fds or memory */
};
int admin_start_timed(uv_loop_t *loop, int listen_fd, const struct admin_source *source,
                      const struct admin_timing *timing, struct admin **out) MUST_CHECK;

#endif
