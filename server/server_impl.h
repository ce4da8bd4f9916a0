/* SPDX-License-Identifier: MIT */
/* server_impl - the root object's inside, shared by server.c (life, reload, drain) and
 * server_view.c (what the stats endpoint asks). Main thread only unless a member says
 * otherwise. */
#ifndef SERVER_SERVER_IMPL_H
#define SERVER_SERVER_IMPL_H
#include "admin.h"
#include "attachment.h"
#include "control.h"
#include "native.h"
#include "notify.h"
#include "server.h"
#include "worker.h"

/* One listening address over the process's life: counters outlive reloads, each worker has its
 * own socket. */
struct listener_stats {
    struct list link;
    struct addr address;
    struct listener_slot {
        _Alignas(64) _Atomic uint64_t accepted; /* its worker writes */
        int fd;                                 /* main thread; -1: not open */
    } slot[];
};

struct server {
    uv_loop_t *loop;
    struct config *config;
    struct log *log;
    struct notify notify;
    struct shared shared;
    struct worker **workers;
    uint32_t worker_count, made, running; /* wanted, built, with a thread */
    struct worker_message
        *stop_message;     /* one per worker, made at start: stopping cannot fail */
    struct list listeners; /* struct listener_stats */
    struct admin *admin;
    struct control *control; /* NULL: none */
    struct native *native;
    struct admin_source source;
    struct attachment attachment; /* open when there are concentrators */
    uv_async_t wake;
    uv_timer_t tick;
    uv_mutex_t lock;      /* guards returned and gone */
    struct list returned; /* messages the workers have carried out */
    uint32_t gone;        /* workers whose loop has ended */
    enum server_state state;
    uint64_t drain_deadline_ms;
    uint64_t start_wall_us, start_us, loaded_wall_us;
    uint64_t reload_success, reload_failure;
    uint32_t reload_orders,
        reloads_sent; /* orders not yet carried out; reloads they belong to */
    bool last_reload_ok, reload_latest_ok, handles_open;
    uint32_t sessions_max; /* what is really enforced: the limit, or what the fds allow */
    uint64_t ticks;
    uint64_t rate_up, rate_down; /* octets at the last whole second */
    struct stats_snapshot scratch_snapshot;
    double up_per_second, down_per_second;
    struct listener_view views[OPTIONS_LISTENERS_MAX];
    int *view_fds; /* OPTIONS_LISTENERS_MAX * worker_count, for views[].fds */
};

/* Fills *err; returns -1. */
int server_fail(struct conf_error *err, const char *what, const char *name, int rc);
/* What the process's fds allow `c`: sets sessions_max and the workers' shares. */
void server_budget(struct server *s, const struct config *c);
struct limits_config server_limits(const struct server *s, const struct config *c);

/* fds[worker * listeners + i]: a worker's socket for listener i; -1 where `running` (may be
 * NULL) has it already. 0, or -1 with *err filled and nothing open. */
int server_open_listeners(struct server *s, const struct config *c,
                          const struct config *running, int *fds,
                          struct conf_error *err) MUST_CHECK;
/* The netfilter queues, if `c` has an exact listener. At the start; at a reload they are there,
 * or it is an error. 0, or -1 with *err filled. */
int server_open_synack(struct server *s, const struct config *c,
                       struct conf_error *err) MUST_CHECK;
/* What is remembered of servers, if `c` wants that. 0, or -1 with *err filled. */
int server_open_offers(struct server *s, const struct config *c,
                       struct conf_error *err) MUST_CHECK;
/* Whether the source addresses of `c` can be used here; before its listeners are opened. 0, or
 * -1 with *err filled. */
int server_check_egress(const struct config *c, struct conf_error *err) MUST_CHECK;
/* Warns of those that no packet comes back to. */
void server_warn_egress(const struct server *s, const struct config *c);
/* server_nft.c: the sets that `c`'s listeners name. 0, or -1 with *err filled. */
int server_open_nft(struct server *s, const struct config *c,
                    struct conf_error *err) MUST_CHECK;
void server_use_nft(struct server *s);   /* s->config has taken over */
void server_alive_nft(struct server *s); /* once a second */
void server_leave_nft(struct server *s); /* no more connections are wanted */
bool server_has_exact(const struct config *c);
void server_close_fds(int *fds, size_t n);
void server_note_fds(struct server *s, const struct config *c,
                     const int *fds);                                /* they are in use now */
void server_forget_closed(struct server *s, const struct config *c); /* `c` has taken over */
/* The counters each listener of `c` writes to, in its order. */
void server_point_counters(struct server *s, const struct config *c, uint32_t worker,
                           _Atomic uint64_t **out);
void server_message_free(struct worker_message *m);

struct listener_stats *server_listener_stats(const struct server *s,
                                             const struct addr *address);
/* How long ago the slowest worker turned its loop last. */
uint64_t server_loop_age_ms(const struct server *s);
/* Watches for other networks once `c` has concentrators; that it cannot is logged. */
void server_watch_attachment(struct server *s, const struct config *c);
uint64_t server_wall_us(void); /* microseconds since 1970 */
void server_sum(const struct server *s, struct stats_snapshot *sum);
/* A worker has carried out RELOAD. A reload counts, and is told, when all have. */
void server_reload_carried_out(struct server *s);
/* A QUERY came back. */
void server_query_returned(struct worker_message *m);
void server_kill_returned(struct worker_message *m); /* a KILL did */
void server_message_done(
    struct worker_message *m);             /* worker's thread: hands it to the main loop */
void server_fill_source(struct server *s); /* server_view.c */
/* Ends the sessions that `q` wants. `done`, with their number, runs exactly once, later; false: it
 * cannot be done now, and then not at all. */
typedef void server_killed_fn(void *arg, uint64_t count);
bool server_kill(struct server *s, const struct session_query *q, server_killed_fn *done,
                 void *arg) MUST_CHECK;

#endif
