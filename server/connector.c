/* SPDX-License-Identifier: MIT */
/* A target that is an address has one duel (duel.h), built into the connector, and nothing
 * else. A name adds a `race`: the schedule, the lookups and a timer; further duels are
 * allocated one by one. A duel that may have a second attempt, and a failure known inside
 * connector_start(), get a race for its timer alone: `done` must come from the loop.
 *
 * Happy path: the first edge without ERR and HUP is success, without asking the kernel again;
 * everything else is closed, then `done` runs. Failure path: an attempt's failure goes to the
 * schedule, the last one's to `done`. */
#include "connector.h"
#include "duel.h"

enum { FAMILIES = 2 };
static const enum addr_family family_of[FAMILIES] = {ADDR_IPV6, ADDR_IPV4};

struct runner {
    struct duel duel;
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
    struct target target;
    bool scheduled; /* else only the timer is used */
};

struct connector {
    const struct connector_env *env;
    connector_done_fn *done;
    void *arg;
    const char *user;
    const struct acl *acl;
    const struct egress_policy *egress;
    const struct policy_leg *policy;
    struct span early; /* emptied when an attempt has tried to send it */
    struct race *race; /* NULL: the target is an address, and no timer is needed */
    struct runner *more;
    struct runner first;
    struct addr source, told;
    struct failure verdict; /* known before connector_start() returned: the timer tells it */
    enum acl_cause denied_by;
    const struct offer_policy *offer;
    struct offer_table *offers;
    bool want_mptcp;
    bool starting; /* inside connector_start() */
};

static void advance(struct connector *c);
static poller_ready_fn on_first, on_second;

static struct failure failed(enum outcome why)
{
    return (struct failure){.why = why};
}

static struct attempt_client client_of(const struct connector *c)
{
    bool named = c->race != NULL && target_is_name(&c->race->target);

    return (struct attempt_client){.acl = c->acl,
                                   .source = &c->source,
                                   .user = c->user,
                                   .egress = c->egress,
                                   .told = &c->told,
                                   .policy = c->policy,
                                   .name = named ? c->race->target.name : NULL};
}

static struct duel_env duel_env_of(const struct connector *c,
                                   const struct attempt_client *client)
{
    return (struct duel_env){.poller = c->env->poller,
                             .stats = c->env->stats,
                             .client = client,
                             .offers = c->offers,
                             .policy = c->offer,
                             .first_ready = on_first,
                             .second_ready = on_second,
                             .now_ms = uv_now(c->env->loop)};
}

static struct failure start_duel(struct connector *c, struct runner *run, const struct addr *to)
{
    struct attempt_client client = client_of(c);
    struct duel_env e = duel_env_of(c, &client);

    run->owner = c;
    duel_init(&run->duel);
    struct failure why = duel_start(&run->duel, &e, to, c->want_mptcp, &c->early);
    if (run->duel.first.denied_by != ACL_CAUSE_COUNT)
        c->denied_by = run->duel.first.denied_by;
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
        duel_close(&c->first.duel, c->env->poller);
    for (struct runner *run = c->more; run != NULL; run = run->next) {
        if (run != winner)
            duel_close(&run->duel, c->env->poller);
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

static void finish_connected(struct connector *c, struct runner *run, struct attempt *a,
                             uint32_t events)
{
    struct attempt_client client = client_of(c);
    struct duel_env e = duel_env_of(c, &client);
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

    duel_won(&run->duel, &e, a);
    stop_all(c, run);
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
    return start_duel(c, run, &c->race->schedule.addr[index]);
}

/* Starts the second attempts that are due. When the next one is. */
static uint64_t tick_duels(struct connector *c)
{
    struct attempt_client client = client_of(c);
    struct duel_env e = duel_env_of(c, &client);
    uint64_t due_ms = duel_tick(&c->first.duel, &e);

    for (struct runner *run = c->more; run != NULL; run = run->next) {
        uint64_t at_ms = duel_tick(&run->duel, &e);
        if (at_ms < due_ms)
            due_ms = at_ms;
    }
    return due_ms;
}

static void wait_until(struct connector *c, uint64_t at_ms, uint64_t now_ms)
{
    uint64_t due_ms = tick_duels(c);

    if (due_ms < at_ms)
        at_ms = due_ms;
    if (at_ms == UINT64_MAX)
        (void)uv_timer_stop(&c->race->timer); /* cannot fail */
    else
        arm(c, at_ms - now_ms);
}

/* Asks the schedule until it has nothing to do. May end the connector. */
static void advance(struct connector *c)
{
    struct race *r = c->race;

    if (c->verdict.why != OUTCOME_OK) {
        finish_failed(c, c->verdict);
        return;
    }
    if (!r->scheduled) {
        wait_until(c, UINT64_MAX, uv_now(c->env->loop));
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
            wait_until(c, step.at_ms, now_ms);
            return;
        case EYEBALLS_FAILED:
            finish_failed(c, step.failure);
            return;
        }
    }
}

static void on_edge(struct runner *run, struct attempt *a, uint32_t events)
{
    struct connector *c = run->owner;
    struct failure why = failed(OUTCOME_OK);

    if ((events & (EPOLLERR | EPOLLHUP)) != 0)
        why = attempt_failure(a, events);
    if (why.why == OUTCOME_OK) {
        if ((events & EPOLLOUT) != 0)
            finish_connected(c, run, a, events);
        return; /* else an edge that says nothing: the one that counts is still to come */
    }
    struct attempt_client client = client_of(c);
    struct duel_env e = duel_env_of(c, &client);
    bool over = duel_lost(&run->duel, &e, a);
    if (c->race == NULL || !c->race->scheduled) {
        if (over)
            finish_failed(c, why);
        return;
    }
    if (over)
        eyeballs_failed(&c->race->schedule, run->index, why, e.now_ms);
    advance(c);
}

static void on_first(struct watch *w, uint32_t events)
{
    struct runner *run = CONTAINER_OF(w, struct runner, duel.first.watch);

    on_edge(run, &run->duel.first, events);
}

static void on_second(struct watch *w, uint32_t events)
{
    struct runner *run = CONTAINER_OF(w, struct runner, duel.second.watch);

    on_edge(run, &run->duel.second, events);
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
    c->race->scheduled = true;
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
    struct failure why = start_duel(c, &c->first, &to);
    if (why.why == OUTCOME_OK && c->first.duel.due_ms == UINT64_MAX)
        return true;
    c->race = race_new(c);
    if (c->race == NULL) {
        stop_all(c, NULL);
        return false;
    }
    if (why.why == OUTCOME_OK)
        advance(c);
    else
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
    c->egress = req->egress;
    if (req->told != NULL)
        c->told = *req->told;
    c->offer = req->offer;
    c->offers = req->offers;
    c->want_mptcp = req->want_mptcp;
    c->policy = req->policy;
    if (req->fastopen)
        c->early = req->early;
    c->denied_by = ACL_CAUSE_COUNT;
    duel_init(&c->first.duel);
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
