/* SPDX-License-Identifier: MIT */
/* A target that is an address has one attempt, built into the connector, and nothing else. A
 * name adds a `race`: the schedule, the lookups and a timer; further attempts are allocated one
 * by one. A failure known inside connector_start() also gets a race, for its timer: `done` must
 * come from the loop.
 *
 * Happy path: the first edge without ERR and HUP is success, without asking the kernel again;
 * everything else is closed, then `done` runs. Failure path: an attempt's failure goes to the
 * schedule, the last one's to `done`. */
#include "connector.h"
#include "attempt.h"
#include "base/mptcp.h"
#include "stats.h"

enum { FAMILIES = 2 };
static const enum addr_family family_of[FAMILIES] = {ADDR_IPV6, ADDR_IPV4};

struct runner {
    struct attempt attempt;
    struct connector *owner;
    struct runner *next; /* of connector.more */
    uint8_t index;       /* in the schedule */
};

/* Outlives its connector until the timer is closed. */
struct race {
    struct connector *owner;
    uv_timer_t timer;
    struct eyeballs schedule;
    struct lookup *lookup[FAMILIES]; /* NULL: none under way */
    struct target target;            /* name_len is 0 when it only tells a failure */
};

struct connector {
    const struct connector_env *env;
    connector_done_fn *done;
    void *arg;
    const char *user;
    const struct acl *acl;
    struct span early; /* emptied when an attempt has tried to send it */
    struct race *race; /* NULL: the target is an address, and nothing has failed yet */
    struct runner *more;
    struct runner first;
    struct addr source;
    struct failure verdict; /* known before connector_start() returned: the timer tells it */
    enum acl_cause denied_by;
    bool mptcp;
    bool starting; /* inside connector_start() */
};

static void advance(struct connector *c);
static void on_edge(struct watch *w, uint32_t events);

static struct failure failed(enum outcome why)
{
    return (struct failure){.why = why};
}

static struct failure start_attempt(struct connector *c, struct runner *run,
                                    const struct addr *to)
{
    struct attempt_client client = {.acl = c->acl, .source = &c->source, .user = c->user};

    if (c->race != NULL)
        client.name = c->race->target.name;
    run->owner = c;
    struct failure why = attempt_start(&run->attempt, c->env->poller, c->env->stats, &client,
                                       to, c->mptcp, &c->early, on_edge);
    if (run->attempt.denied_by != ACL_CAUSE_COUNT)
        c->denied_by = run->attempt.denied_by;
    return why;
}

/* ---- The race ---- */

static void on_race_closed(uv_handle_t *h)
{
    free(h->data);
}

static struct race *race_new(struct connector *c)
{
    struct race *r = calloc(1, sizeof *r);

    if (r == NULL)
        return NULL;
    if (uv_timer_init(c->env->loop, &r->timer) != 0) {
        free(r);
        return NULL;
    }
    r->timer.data = r;
    r->owner = c;
    return r;
}

/* Ends everything that runs but `winner`. */
static void stop_all(struct connector *c, const struct runner *winner)
{
    struct race *r = c->race;

    if (&c->first != winner)
        attempt_close(&c->first.attempt, c->env->poller);
    for (struct runner *run = c->more; run != NULL; run = run->next) {
        if (run != winner)
            attempt_close(&run->attempt, c->env->poller);
    }
    if (r == NULL)
        return;
    for (int i = 0; i < FAMILIES; i++) {
        if (r->lookup[i] != NULL)
            resolver_cancel(c->env->resolver, r->lookup[i]);
    }
    c->race = NULL;
    r->owner = NULL;
    uv_close((uv_handle_t *)&r->timer, on_race_closed);
}

static void release(struct connector *c)
{
    while (c->more != NULL) {
        struct runner *run = c->more;
        c->more = run->next;
        free(run);
    }
    free(c);
}

static void on_timer(uv_timer_t *t)
{
    struct race *r = t->data;

    advance(r->owner);
}

static void arm(struct connector *c, uint64_t delay_ms)
{
    (void)uv_timer_start(&c->race->timer, on_timer, delay_ms,
                         0); /* an open timer: cannot fail */
}

static void finish_failed(struct connector *c, struct failure why)
{
    c->verdict = why;
    if (c->starting) {
        arm(c, 0);
        return;
    }
    stop_all(c, NULL);
    c->done(c->arg, NULL, why);
    release(c);
}

static void finish_connected(struct connector *c, struct runner *run, uint32_t events)
{
    struct attempt *a = &run->attempt;
    struct stats *stats = c->env->stats;
    uint64_t us = attempt_clock_us() - a->start_us;
    struct connection up = {
        .fd = a->watch.fd,
        .from = &a->watch,
        .events = events,
        .remote = a->remote,
        .mptcp = a->mptcp,
        .early_sent = a->early_sent,
        .connect_us = us > UINT32_MAX ? UINT32_MAX : (uint32_t)us,
    };

    stop_all(c, run);
    stats_add(stats, STAT_CONNECT_SUCCESS, 1);
    stats_add(stats, a->remote.family == ADDR_IPV6 ? STAT_UPSTREAM_IPV6 : STAT_UPSTREAM_IPV4,
              1);
    if (a->mptcp && stats != NULL && mptcp_active(up.fd))
        stats_add(stats, STAT_UPSTREAM_MPTCP, 1);
    if (stats != NULL)
        stats_duration(stats, HISTOGRAM_CONNECT, us);
    c->done(c->arg, &up, failed(OUTCOME_OK));
    poller_remove(c->env->poller, &a->watch); /* the fd is theirs, this memory is not */
    release(c);
}

static struct runner *runner_for(struct connector *c, unsigned index)
{
    struct runner *run = &c->first;

    if (index > 0) {
        run = calloc(1, sizeof *run);
        if (run == NULL)
            return NULL;
        run->next = c->more;
        c->more = run;
    }
    run->index = (uint8_t)index;
    return run;
}

static struct failure try_address(struct connector *c, unsigned index)
{
    struct runner *run = runner_for(c, index);

    if (run == NULL)
        return failed(OUTCOME_NO_RESOURCES);
    return start_attempt(c, run, &c->race->schedule.addr[index]);
}

/* Asks the schedule until it has nothing to do. May end the connector. */
static void advance(struct connector *c)
{
    struct race *r = c->race;

    if (c->verdict.why != OUTCOME_OK) {
        finish_failed(c, c->verdict);
        return;
    }
    for (;;) {
        uint64_t now_ms = uv_now(c->env->loop);
        struct eyeballs_step step = eyeballs_next(&r->schedule, now_ms);

        switch (step.action) {
        case EYEBALLS_CONNECT: {
            struct failure why = try_address(c, step.index);
            if (why.why != OUTCOME_OK)
                eyeballs_failed(&r->schedule, step.index, why, now_ms);
            break;
        }
        case EYEBALLS_WAIT:
            if (step.at_ms == UINT64_MAX)
                (void)uv_timer_stop(&r->timer); /* cannot fail */
            else
                arm(c, step.at_ms - now_ms);
            return;
        case EYEBALLS_FAILED:
            finish_failed(c, step.failure);
            return;
        }
    }
}

static void on_edge(struct watch *w, uint32_t events)
{
    struct runner *run = CONTAINER_OF(w, struct runner, attempt.watch);
    struct connector *c = run->owner;
    struct failure why = failed(OUTCOME_OK);

    if ((events & (EPOLLERR | EPOLLHUP)) != 0)
        why = attempt_failure(&run->attempt, events);
    if (why.why == OUTCOME_OK) {
        if ((events & EPOLLOUT) != 0)
            finish_connected(c, run, events);
        return; /* else an edge that says nothing: the one that counts is still to come */
    }
    attempt_close(&run->attempt, c->env->poller);
    if (c->race == NULL) {
        finish_failed(c, why);
        return;
    }
    eyeballs_failed(&c->race->schedule, run->index, why, uv_now(c->env->loop));
    advance(c);
}

/* ---- Names ---- */

static void learn(struct connector *c, int family, const struct resolver_answer *answer)
{
    struct race *r = c->race;
    struct addr found[RESOLVER_ADDRS_MAX];
    size_t n = answer->why == OUTCOME_OK ? answer->count : 0;

    for (size_t i = 0; i < n; i++) {
        found[i] =
            addr_unmap(answer->addr[i]); /* an AAAA record can hold a mapped IPv4 address */
        found[i].port = r->target.port;
    }
    eyeballs_resolved(&r->schedule, family_of[family], found, n, failed(answer->why),
                      uv_now(c->env->loop));
}

static void on_resolved(struct race *r, int family, const struct resolver_answer *answer)
{
    r->lookup[family] = NULL;
    learn(r->owner, family, answer);
    advance(r->owner);
}

static void on_ipv6(void *arg, const struct resolver_answer *answer)
{
    on_resolved(arg, 0, answer);
}

static void on_ipv4(void *arg, const struct resolver_answer *answer)
{
    on_resolved(arg, 1, answer);
}

static void look_up(struct connector *c, int family)
{
    static resolver_done_fn *const done[FAMILIES] = {on_ipv6, on_ipv4};
    struct race *r = c->race;
    struct resolver *resolver = c->env->resolver;
    struct resolver_answer answer;

    if (!resolver_cached(resolver, r->target.name, family_of[family], &answer)) {
        r->lookup[family] =
            resolver_start(resolver, r->target.name, family_of[family], done[family], r);
        if (r->lookup[family] != NULL)
            return;
        answer.why = OUTCOME_NO_RESOURCES;
    }
    learn(c, family, &answer);
}

/* RFC 8305 s3: both questions at once, the preferred family's first; no waiting for either. */
static bool start_name(struct connector *c, const struct connector_request *req)
{
    int preferred = req->eyeballs.prefer == ADDR_IPV4 ? 1 : 0;

    c->race = race_new(c);
    if (c->race == NULL)
        return false;
    c->race->target = *req->target;
    eyeballs_init(&c->race->schedule, &req->eyeballs);
    for (int i = 0; i < FAMILIES; i++)
        eyeballs_expect(&c->race->schedule, family_of[i]);
    look_up(c, preferred);
    look_up(c, 1 - preferred);
    advance(c);
    return true;
}

static bool start_address(struct connector *c, const struct connector_request *req)
{
    struct addr to = req->target->addr;

    to.port = req->target->port;
    struct failure why = start_attempt(c, &c->first, &to);
    if (why.why == OUTCOME_OK)
        return true;
    c->race = race_new(c);
    if (c->race == NULL)
        return false;
    finish_failed(c, why);
    return true;
}

struct connector *connector_start(const struct connector_env *env,
                                  const struct connector_request *req, connector_done_fn *done,
                                  void *arg)
{
    struct connector *c = calloc(1, sizeof *c);

    if (c == NULL)
        return NULL;
    c->env = env;
    c->done = done;
    c->arg = arg;
    c->user = req->user;
    c->acl = req->acl;
    c->source = *req->source;
    c->mptcp = req->mptcp;
    if (req->fastopen)
        c->early = req->early;
    c->denied_by = ACL_CAUSE_COUNT;
    c->first.attempt.watch.fd = -1;
    c->starting = true;
    if (!(target_is_name(req->target) ? start_name(c, req) : start_address(c, req))) {
        release(c);
        return NULL;
    }
    c->starting = false;
    return c;
}

void connector_cancel(struct connector *c)
{
    stop_all(c, NULL);
    release(c);
}

enum acl_cause connector_denied_by(const struct connector *c)
{
    return c->denied_by;
}
