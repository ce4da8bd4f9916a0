/* SPDX-License-Identifier: MIT */
#include "server_impl.h"
#include <stdlib.h>
#include <string.h>
#include <time.h>

uint64_t server_wall_us(void)
{
    struct timespec now;

    (void)clock_gettime(CLOCK_REALTIME, &now); /* cannot fail on this clock */
    return (uint64_t)now.tv_sec * 1000000 + (uint64_t)now.tv_nsec / 1000;
}

void server_sum(const struct server *s, struct stats_snapshot *sum)
{
    memset(sum, 0, sizeof *sum);
    for (uint32_t i = 0; i < s->worker_count; i++)
        stats_sum(sum, s->workers[i]->stats);
    if (s->shared.keeper != NULL)
        stats_sum(sum, nft_keeper_stats(s->shared.keeper));
}

static enum server_state state(void *arg)
{
    const struct server *s = arg;

    if (s->state == SERVER_SERVING && limits_sessions(s->shared.limits) >= s->sessions_max)
        return SERVER_OVERLOADED;
    return s->state;
}

uint64_t server_loop_age_ms(const struct server *s)
{
    uint64_t now = uv_hrtime() / 1000000, oldest = 0;

    for (uint32_t i = 0; i < s->worker_count; i++) {
        uint64_t turned = atomic_load_explicit(&s->workers[i]->turned_ms, memory_order_relaxed);
        if (now > turned && now - turned > oldest)
            oldest = now - turned;
    }
    return oldest;
}

static uint64_t loop_age_ms(void *arg)
{
    return server_loop_age_ms(arg);
}

static void view_listener(struct server *s, size_t i)
{
    const struct listener_options *o = &s->config->listeners.item[i];
    const struct listener_stats *ls = server_listener_stats(s, &o->address);
    struct listener_view *v = &s->views[i];
    int *fds = s->view_fds + i * s->worker_count;

    *v = (struct listener_view){
        .address = o->address,
        .protocols = o->protocols,
        .mptcp = o->mptcp,
        .exact = o->exact,
        .backlog = o->backlog,
        .fds = {.fd = fds, .count = s->worker_count},
    };
    (void)snprintf(v->name, sizeof v->name, "%s", o->name);
    v->state = "accepting";
    if (s->state >= SERVER_DRAINING)
        v->state = "draining";
    else if (state(s) == SERVER_OVERLOADED)
        v->state = "shedding";
    for (uint32_t w = 0; w < s->worker_count; w++) {
        v->accepted += atomic_load_explicit(&ls->slot[w].accepted, memory_order_relaxed);
        fds[w] = ls->slot[w].fd;
    }
}

static void snapshot(void *arg, struct stats_snapshot *sum, struct server_view *v)
{
    struct server *s = arg;
    uint64_t now = server_wall_us();

    server_sum(s, sum);
    for (size_t i = 0; i < s->config->listeners.count; i++)
        view_listener(s, i);
    *v = (struct server_view){
        .config = s->config,
        .state = state(s),
        .start_wall_us = s->start_wall_us,
        .now_wall_us = now,
        .uptime_us = uv_hrtime() / 1000 - s->start_us,
        .loaded_wall_us = s->loaded_wall_us,
        .generation = 1 + s->reload_success,
        .reload_success = s->reload_success,
        .reload_failure = s->reload_failure,
        .last_reload_ok = s->last_reload_ok,
        .workers = s->worker_count,
        .sessions_max = s->sessions_max,
        .sessions_peak = atomic_load_explicit(&s->shared.peak, memory_order_relaxed),
        .throttled_sources = limits_throttled(s->shared.limits, uv_now(s->loop)),
        .listeners = s->views,
        .listener_count = s->config->listeners.count,
        .log = log_counts(s->log),
        .via = &s->shared.via,
        .now_ms = uv_hrtime() / 1000000,
        .up_per_second = s->up_per_second,
        .down_per_second = s->down_per_second,
    };
    v->offers = offer_count(atomic_load(&s->shared.offers), uv_now(s->loop));
    v->native =
        native_look(s->native, &s->config->native.counters, uv_now(s->loop), &v->native_count);
    synack_look(s->shared.synack, &v->syn_acks_held, &v->syn_acks_tracked);
    for (uint32_t w = 0; w < s->worker_count; w++)
        for (unsigned k = 1; k <= MPTCP_SUBFLOWS_MAX; k++)
            v->subflows_per_session[k] +=
                atomic_load_explicit(&s->workers[w]->subflows[k], memory_order_relaxed);
    for (unsigned k = 1; k <= MPTCP_SUBFLOWS_MAX; k++)
        v->subflows_current += k * v->subflows_per_session[k];
}

/* One question, asked of every worker. */
struct asked {
    struct server *server;
    admin_sessions_fn *done;
    void *arg;
    uint32_t limit, waiting;
    struct session_view *views; /* worker w has entries w * (limit + 1) .. */
    struct worker_message message[];
};

static int by_id(const void *a, const void *b)
{
    const struct session_view *x = a, *y = b;
    return x->id < y->id ? -1 : x->id > y->id;
}

void server_query_returned(struct worker_message *m)
{
    struct asked *q = m->arg;
    size_t total = 0;

    if (--q->waiting > 0)
        return;
    for (uint32_t w = 0; w < q->server->worker_count; w++) {
        struct worker_message *from = &q->message[w];
        memmove(q->views + total, from->views, from->view_count * sizeof *q->views);
        total += from->view_count;
    }
    qsort(q->views, total, sizeof *q->views, by_id);
    bool truncated = total > q->limit;
    q->done(q->arg, q->views, truncated ? q->limit : total, truncated);
    free(q->views);
    free(q);
}

/* One order to every worker, and how many sessions they ended. */
struct killing {
    server_killed_fn *done;
    void *arg;
    uint32_t waiting;
    uint64_t count;
    struct worker_message message[];
};

void server_kill_returned(struct worker_message *m)
{
    struct killing *k = m->arg;

    k->count += m->view_count;
    if (--k->waiting > 0)
        return;
    k->done(k->arg, k->count);
    free(k);
}

bool server_kill(struct server *s, const struct session_query *q, server_killed_fn *done,
                 void *arg)
{
    if (s->state == SERVER_STOPPING)
        return false;
    ASSERT(s->worker_count > 0);
    struct killing *k = calloc(1, sizeof *k + s->worker_count * sizeof k->message[0]);
    if (k == NULL)
        return false;
    k->done = done;
    k->arg = arg;
    k->waiting = s->worker_count;
    for (uint32_t w = 0; w < s->worker_count; w++) {
        k->message[w] = (struct worker_message){.order = WORKER_KILL,
                                                .query = *q,
                                                .done = server_message_done,
                                                .arg = k,
                                                .server = s};
        worker_post(s->workers[w], &k->message[w]);
    }
    return true;
}

static bool sessions(void *arg, const struct session_query *query, admin_sessions_fn *done,
                     void *done_arg)
{
    struct server *s = arg;
    uint32_t limit = query->limit < 1 ? 1 : query->limit;

    if (s->state == SERVER_STOPPING || limit > VIEW_SESSIONS_MAX)
        return false;
    struct asked *q = calloc(1, sizeof *q + s->worker_count * sizeof q->message[0]);
    if (q == NULL)
        return false;
    size_t each = (size_t)limit + 1; /* one more tells that there is more */
    q->views = malloc(each * s->worker_count * sizeof *q->views);
    if (q->views == NULL) {
        free(q);
        return false;
    }
    q->server = s;
    q->done = done;
    q->arg = done_arg;
    q->limit = limit;
    q->waiting = s->worker_count;
    for (uint32_t w = 0; w < s->worker_count; w++) {
        q->message[w] = (struct worker_message){
            .order = WORKER_QUERY, .query = *query, .done = server_message_done, .arg = q};
        q->message[w].query.limit = (uint32_t)each;
        q->message[w].views = q->views + w * each;
        q->message[w].server = s;
        worker_post(s->workers[w], &q->message[w]);
    }
    return true;
}

void server_fill_source(struct server *s)
{
    s->source = (struct admin_source){.arg = s,
                                      .snapshot = snapshot,
                                      .sessions = sessions,
                                      .state = state,
                                      .loop_age_ms = loop_age_ms};
}
