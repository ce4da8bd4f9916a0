/* SPDX-License-Identifier: MIT */
/* routes - which document a path and its query string mean. Main thread. No uv.h.
 * Happy path: route_find() gives the answer at once, or a question for the workers whose answer route_sessions() turns into one. */
#ifndef SERVER_ROUTES_H
#define SERVER_ROUTES_H
#include "http.h"
#include "reply.h"
#include "stats_json.h"

/* What a document may need; borrowed for the call. */
struct route_facts {
    const struct stats_snapshot *sum;
    const struct server_view *view;
    enum server_state state;
    uint64_t loop_age_ms;
};

struct route {
    bool ask;                   /* true: put `query` to the workers; false: `reply` is the answer */
    struct session_query query;
    struct reply reply;
};
struct route route_find(struct MHD_Connection *c, const char *path, const struct route_facts *facts) MUST_CHECK;
/* The answer of the workers to `q`; see admin_sessions_fn. */
struct reply route_sessions(const struct session_query *q, const struct session_view *list, size_t n,
                            bool truncated) MUST_CHECK;

#endif
