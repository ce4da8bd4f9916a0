/* SPDX-License-Identifier: MIT */
/* stats_json - snapshots to the documents of the stats endpoint (docs/stats.md). Pure but for reading /proc and the accept queues; no uv.h.
 * Session ids are decimal text, as in the log. */
#ifndef SERVER_STATS_JSON_H
#define SERVER_STATS_JSON_H
#include "offer.h"
#include "native.h"
#include "options.h"
#include "stats.h"
#include "view.h"
#include <jansson.h>

enum server_state { SERVER_STARTING, SERVER_SERVING, SERVER_OVERLOADED, SERVER_DRAINING, SERVER_STOPPING };
const char *server_state_name(enum server_state s);

struct via_shared;

/* Everything /v1/stats tells that is not a summed counter. Borrowed for the call. */
struct server_view {
    const struct config *config;
    enum server_state state;
    uint64_t start_wall_us, now_wall_us, uptime_us, loaded_wall_us;
    uint64_t generation, reload_success, reload_failure;
    bool last_reload_ok;
    uint32_t workers, sessions_max;
    uint64_t sessions_peak;
    uint32_t throttled_sources, users_active;
    const struct listener_view *listeners;
    size_t listener_count;
    const struct native_counter *native; /* connections that pass us by */
    size_t native_count;
    struct log_counts log;
    struct via_shared *via; /* what is known of the concentrators; NULL: nothing is to be told */
    uint64_t now_ms;        /* clock of the loops */
    double up_per_second, down_per_second; /* over the last seconds */
    uint64_t syn_acks_held, syn_acks_tracked; /* of exact listeners */
    struct offer_counts offers;
    uint64_t subflows_current;             /* on client legs */
    uint64_t subflows_per_session[MPTCP_SUBFLOWS_MAX + 1]; /* [k]: sessions with k subflows; [0] unused */
};

/* New references; NULL: out of memory. */
json_t *stats_json(const struct stats_snapshot *s, const struct server_view *v);   /* schema stats-v1 */
json_t *sessions_json(const struct session_view *list, size_t n, uint64_t next_cursor); /* cursor 0: last page */
json_t *session_json(const struct session_view *s);                                /* with mptcp.subflow_list */
json_t *problem_json(int status, const char *title, const char *detail);           /* RFC 9457 */
/* The documents say "plain" for mp_convert and "plain08" for pm08. `text` may be either word; false: unknown, *out untouched. */
bool stats_json_protocol(const char *text, enum protocol *out);
const char *stats_json_protocol_word(const char *name); /* "unknown" for anything else, NULL too */
/* RFC 3339 UTC with microseconds. */
void time_text(uint64_t wall_us, char out[32]);

#endif
