/* SPDX-License-Identifier: MIT */
/* Tries run until one has an answer. Each is allocated when its turn comes, and freed with the
 * rest. A timer looks after those that stay silent. */
#include "via.h"
#include "stats.h"
#include "via_try.h"
#include <stdlib.h>
#include <string.h>

enum { LOOK_MS = 100, TRIES_MAX = VIA_CONCENTRATORS_MAX + 1 };

struct via {
    const struct connector_env *env;
    connector_done_fn *done;
    void *arg;
    struct via_request req; /* `target`, `source` point into this */
    struct target target;
    struct addr source;
    struct failure verdict; /* when there is no concentrator left to ask */
    struct via_try *tries[TRIES_MAX];
    unsigned try_count;
    uint8_t order[VIA_CONCENTRATORS_MAX], next, count;
    uint64_t started_ms;
    bool over;
    uv_timer_t timer; /* outlives `over` until it is closed */
};

static struct failure failed(enum outcome why)
{
    return (struct failure){.why = why};
}

static uint64_t now_ms(const struct via *v)
{
    return uv_now(v->env->loop);
}

static struct addr target_addr(const struct target *t)
{
    struct addr a = t->addr;

    a.port = t->port;
    return a;
}

/* ---- The end ---- */

static void on_closed(uv_handle_t *h)
{
    struct via *v = h->data;

    for (unsigned i = 0; i < v->try_count; i++) {
        via_try_free(v->tries[i]);
        free(v->tries[i]);
    }
    free(v);
}

static void release(struct via *v)
{
    v->over = true;
    for (unsigned i = 0; i < v->try_count; i++)
        via_try_stop(v->tries[i]);
    uv_close((uv_handle_t *)&v->timer, on_closed);
}

static void finish(struct via *v, struct failure why)
{
    for (unsigned i = 0; i < v->try_count; i++)
        via_try_stop(v->tries[i]);
    v->done(v->arg, NULL, why);
    release(v);
}

static void hand_over(struct via *v, struct via_try *t)
{
    struct attempt *a = &t->attempt;
    uint64_t us = attempt_clock_us() - a->start_us;
    struct connection up = {
        .fd = a->watch.fd,
        .from = &a->watch,
        .events =
            t->events | EPOLLIN | EPOLLOUT, /* what lies behind the answer raises no edge */
        .remote = a->remote,
        .mptcp = a->mptcp,
        .via = true,
        .server_mptcp = t->initiator.server_mptcp,
        .connect_us = us > UINT32_MAX ? UINT32_MAX : (uint32_t)us,
    };
    if (t->initiator.server_mptcp)
        via_bypass_learn(v->req.options, v->req.shared, &v->target, now_ms(v));
    (void)attempt_connected(a, v->env->stats);
    v->done(v->arg, &up, failed(OUTCOME_OK));
    poller_remove(v->env->poller, &a->watch); /* the fd is theirs */
    release(v);
}

/* ---- Tries ---- */

/* Of them, one that is not silent; or any. */
static bool is_running(const struct via *v, bool or_slow)
{
    for (unsigned i = 0; i < v->try_count; i++)
        if (!v->tries[i]->over && (or_slow || !v->tries[i]->slow || v->tries[i]->connected))
            return true;
    return false;
}

static void on_try(struct via_try *t, enum via_try_end end);

static bool start_try(struct via *v, const struct via_concentrator *c, bool proven)
{
    struct via_try *t = v->try_count < TRIES_MAX ? malloc(sizeof *t) : NULL;
    struct via_try_how how = {.base = {.env = v->env,
                                       .health = &v->req.shared->health,
                                       .options = v->req.options,
                                       .to = c,
                                       .policy = v->req.policy},
                              .path = &v->req.shared->path,
                              .implicit = c == NULL,
                              .proven = proven,
                              .target = &v->target,
                              .source = &v->source,
                              .buffer = v->req.buffer};

    if (t == NULL)
        return false;
    v->tries[v->try_count++] = t;
    return via_try_start(t, &how, on_try, v);
}

static bool start_next(struct via *v)
{
    const struct via_list *list = &v->req.options->concentrators;

    while (v->next < v->count)
        if (start_try(v, &list->item[v->order[v->next++]], false))
            return true;
    return false;
}

/* Somebody else to turn to than those that were asked. */
static bool has_alternative(const struct via *v)
{
    return v->next < v->count || v->req.options->direct == VIA_DIRECT_LAST ||
           v->req.options->concentrators.count == 0;
}

static void on_try(struct via_try *t, enum via_try_end end)
{
    struct via *v = t->arg;

    if (end == VIA_TRY_READY)
        hand_over(v, t);
    else if (end == VIA_TRY_REFUSED)
        finish(v, t->failure);
    else if (!is_running(v, false) && !start_next(v) && !is_running(v, true))
        finish(v, v->verdict);
}

/* `t` is silent: it goes on, and another one begins. */
static void race(struct via *v, struct via_try *t)
{
    t->slow = true;
    if (!t->how.implicit) {
        via_health_failed(&v->req.shared->health, t->how.base.to, VIA_FAILURE_SILENT,
                          t->started_ms, now_ms(v));
        stats_add(v->env->stats, STAT_VIA_FAILED, 1);
    }
    if (start_next(v))
        stats_add(v->env->stats, STAT_VIA_RACED, 1);
}

static void on_timer(uv_timer_t *timer)
{
    struct via *v = timer->data;
    bool implicit = false;

    for (unsigned i = 0; i < v->try_count && !v->over; i++) {
        struct via_try *t = v->tries[i];
        bool silent = via_try_look(t, has_alternative(v));
        if (v->over)
            return;
        if (silent && !t->slow)
            race(v, t);
        implicit = implicit || (t->how.implicit && !t->over);
    }
    bool exhausted = !is_running(v, false) && v->next >= v->count && has_alternative(v) &&
                     (implicit || now_ms(v) - v->started_ms >= VIA_DIRECT_MS);
    if (exhausted || !is_running(v, true))
        finish(v, v->verdict);
}

/* ---- Begin ---- */

static bool is_concentrator(const struct via *v, const struct addr *to)
{
    const struct via_list *list = &v->req.options->concentrators;

    for (size_t i = 0; i < list->count; i++)
        if (addr_equal(&list->item[i].address, to))
            return true;
    return false;
}

/* The rules of this daemon, before the concentrator applies its own. */
static bool allowed(const struct via *v, const struct addr *to)
{
    if (target_is_name(&v->target))
        return true;
    struct acl_verdict a = acl_check(v->req.acl, &v->source, v->req.user, to, NULL);
    if (a.action != ACL_ALLOW)
        attempt_count_denied(v->env->stats, a.cause);
    return a.action == ACL_ALLOW;
}

/* Nobody is asked on behalf of himself: two daemons that are each other's concentrator would
 * send a request to and fro until one of them is full. */
static uint8_t without_asker(struct via *v, unsigned count)
{
    const struct via_list *list = &v->req.options->concentrators;
    uint8_t kept = 0;

    for (unsigned i = 0; i < count; i++)
        if (!addr_equal_ip(&list->item[v->order[i]].address, &v->source))
            v->order[kept++] = v->order[i];
    return kept;
}

/* Whom to ask, in v->order; OUTCOME_DENIED: nobody. */
static enum outcome choose(struct via *v)
{
    struct addr to = target_addr(&v->target);

    if (is_concentrator(v, &to)) {
        stats_add(v->env->stats, STAT_VIA_LOOPS, 1);
        return OUTCOME_DENIED;
    }
    if (!allowed(v, &to))
        return OUTCOME_DENIED;
    unsigned count = via_health_order(&v->req.shared->health, &v->req.options->concentrators,
                                      &v->source, &v->target, now_ms(v), v->order);
    v->count = without_asker(v, count);
    if (v->count == 0 && count > 0) {
        stats_add(v->env->stats, STAT_VIA_LOOPS, 1);
        return OUTCOME_DENIED;
    }
    return OUTCOME_NO_CONCENTRATOR; /* unless one of them answers */
}

/* True: the target was dialled, with the question whether somebody on the way takes it. */
static bool start_implicit(struct via *v)
{
    struct addr to = target_addr(&v->target);

    if (!v->req.options->implicit || target_is_name(&v->target))
        return false;
    enum via_path_use use = via_path_use(&v->req.shared->path, &to, now_ms(v));
    return use != VIA_PATH_NOT && start_try(v, NULL, use == VIA_PATH_PROVEN);
}

struct via *via_start(const struct connector_env *env, const struct via_request *req,
                      connector_done_fn *done, void *arg)
{
    struct via *v = calloc(1, sizeof *v);

    if (v == NULL || uv_timer_init(env->loop, &v->timer) != 0) {
        free(v);
        return NULL;
    }
    v->timer.data = v;
    v->env = env;
    v->done = done;
    v->arg = arg;
    v->req = *req;
    v->target = *req->target;
    v->source = *req->source;
    v->started_ms = now_ms(v);
    stats_add(env->stats, STAT_VIA, 1);
    v->verdict = failed(choose(v));
    bool runs = v->verdict.why != OUTCOME_DENIED && (start_implicit(v) || start_next(v));
    (void)uv_timer_start(&v->timer, on_timer, runs ? LOOK_MS : 0,
                         LOOK_MS); /* an open timer: cannot fail; `done` comes from the loop */
    return v;
}

void via_cancel(struct via *v)
{
    if (v->over)
        return;
    for (unsigned i = 0; i < v->try_count; i++)
        via_try_timed_out(v->tries[i]);
    release(v);
}
