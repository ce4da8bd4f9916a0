/* SPDX-License-Identifier: MIT */
#include "enginebench.h"
#include <check.h>
#include <errno.h>
#include <jansson.h>
#include <signal.h>
#include <stdlib.h>
#include <string.h>

/* Everything on one port; loopback may be dialled. */
static const char defaults[] =
    "{\"workers\": 1,"
    " \"listeners\": [{\"name\": \"bench\", \"address\": \"127.0.0.1:0\", \"fastopen\": true,"
    "   \"protocols\": [\"socks5\", \"socks4\", \"mp_convert\", \"convert\"]}],"
    " \"stats\": {\"address\": null},"
    " \"acl\": {\"rules\": [{\"action\": \"allow\", \"target\": [\"127.0.0.0/8\"]}]},"
    " \"socks5\": {\"resolve\": true},"
    " \"dns\": {\"servers\": [\"192.0.2.53\"]}}";

/* ---- Names ---- */

struct lookup {
    struct list link;
    enum addr_family family;
    resolver_done_fn *done;
    void (*named)(void *arg, enum outcome why, const char *name);
    void *arg;
};

static struct lookup *ask(struct resolver *r, const struct lookup *what)
{
    struct enginebench *b = CONTAINER_OF(r, struct enginebench, names);
    struct lookup *l = malloc(sizeof *l);

    if (l == NULL)
        return NULL;
    *l = *what;
    list_append(&b->asked, &l->link);
    return l;
}

static struct lookup *start(struct resolver *r, const char *name, enum addr_family family,
                            resolver_done_fn *done, void *arg)
{
    (void)name;
    return ask(r, &(struct lookup){.family = family, .done = done, .arg = arg});
}

static struct lookup *start_ptr(struct resolver *r, const struct addr *a,
                                void (*done)(void *arg, enum outcome why, const char *name),
                                void *arg)
{
    (void)a;
    return ask(r, &(struct lookup){.named = done, .arg = arg});
}

static void cancel(struct resolver *r, struct lookup *l)
{
    (void)r;
    list_remove(&l->link);
    free(l);
}

static bool cached(struct resolver *r, const char *name, enum addr_family family,
                   struct resolver_answer *out)
{
    (void)r;
    (void)name;
    (void)family;
    (void)out;
    return false;
}

static void tell(const struct lookup *l, enum outcome why, const char *text)
{
    struct resolver_answer a = {.why = text != NULL ? OUTCOME_NAME_NOT_FOUND : why};

    if (l->named != NULL) {
        l->named(l->arg, text != NULL ? OUTCOME_OK : why, text != NULL ? "host.example" : NULL);
        return;
    }
    if (text != NULL) {
        ck_assert(addr_parse_ip(text, strlen(text), &a.addr[0]));
        if (a.addr[0].family == l->family) {
            a.why = OUTCOME_OK;
            a.count = 1;
        }
    }
    l->done(l->arg, &a);
}

void enginebench_tell(struct enginebench *b, enum outcome why, const char *text)
{
    struct list now;

    list_init(&now);
    list_splice(&now, &b->asked); /* what is asked meanwhile is for the next time */
    while (!list_empty(&now)) {
        struct lookup *l = CONTAINER_OF(now.next, struct lookup, link);
        struct lookup asker = *l;
        list_remove(&l->link);
        free(l);
        tell(&asker, why, text);
    }
}

/* ---- Life ---- */

struct config *enginebench_config(const char *changes)
{
    json_t *doc = json_loads(defaults, 0, NULL);
    struct conf_error err;

    ck_assert_ptr_nonnull(doc);
    if (changes != NULL) {
        json_t *over = json_loads(changes, 0, NULL);
        ck_assert_msg(over != NULL, "%s", changes);
        ck_assert_int_eq(json_object_update_recursive(doc, over), 0);
        json_decref(over);
    }
    char *text = json_dumps(doc, 0);
    json_decref(doc);
    struct config *c = options_load_text(text, "bench", &err);
    ck_assert_msg(c != NULL, "%s", err.text);
    free(text);
    return c;
}

/* libuv, c-ares and OpenSSL open and allocate some things once per process. */
static void warm_up(void)
{
    uv_loop_t loop;

    ck_assert_int_eq(uv_loop_init(&loop), 0);
    ck_assert_int_eq(uv_loop_close(&loop), 0);
}

static void open_limits(struct enginebench *b)
{
    const struct config *c = b->config;
    struct limits_config cfg = {
        .sessions = c->limits.sessions,
        .sessions_per_source = c->limits.sessions_per_source,
        .connects_per_source = c->limits.connects_per_source,
        .errors_per_second = c->limits.errors_per_second,
        .auth_failures_per_minute = c->auth.failures_max,
        .source_prefix6 = c->limits.source_prefix6,
    };

    b->shared.limits = limits_new(&cfg);
    ck_assert_ptr_nonnull(b->shared.limits);
}

void enginebench_start_logged(struct enginebench *b, const char *changes, struct log *log)
{
    static const struct resolver_ops ops = {
        .cached = cached, .start = start, .cancel = cancel, .start_ptr = start_ptr};
    _Atomic uint64_t *counter = &b->accepted;
    int rc;

    memset(b, 0, sizeof *b);
    (void)signal(SIGPIPE, SIG_IGN); /* as the daemon: splice() has no MSG_NOSIGNAL */
    warm_up();
    b->fds = rawnet_fds();
    list_init(&b->asked);
    b->names.ops = &ops;
    b->config = enginebench_config(changes);
    b->shared.log = log;
    b->shared.worker_count = 1;
    atomic_store(&b->shared.shed_max, 4);
    atomic_store(&b->shared.pipes_max, b->config->relay.pipes_max);
    open_limits(b);
    int fd = listener_open(&b->config->listeners.item[0], b->config);
    ck_assert_int_ge(fd, 0);
    b->worker = worker_new(0, &b->shared, b->config, &fd, &counter, NULL, NULL, &rc);
    ck_assert_msg(b->worker != NULL, "%s", strerror(-rc));
    b->port = b->worker->listeners[0].port;
    b->c_ares = b->worker->resolver;
    b->worker->resolver = &b->names;
    b->worker->connector_env.resolver = &b->names;
}

void enginebench_start(struct enginebench *b, const char *changes)
{
    enginebench_start_logged(b, changes, NULL);
}

static void on_stopped(struct worker_message *m)
{
    struct enginebench *b = m->arg;
    b->told_stop = true;
}

void enginebench_stop(struct enginebench *b)
{
    b->worker->resolver = b->c_ares; /* the one it closes */
    b->stop = (struct worker_message){.order = WORKER_STOP, .done = on_stopped, .arg = b};
    worker_post(b->worker, &b->stop);
    poller_run(&b->worker->poller, UV_RUN_DEFAULT);
    ck_assert(b->told_stop);
}

void enginebench_end(struct enginebench *b)
{
    if (!b->told_stop)
        enginebench_stop(b);
    enginebench_idle(b);
    ck_assert(list_empty(&b->asked));
    worker_free(b->worker);
    limits_free(b->shared.limits);
    config_unref(b->config);
    ck_assert_uint_eq(rawnet_fds(), b->fds);
}

/* ---- The loop ---- */

void enginebench_turn(struct enginebench *b)
{
    if (b->answer != NULL)
        enginebench_tell(b, OUTCOME_OK, b->answer);
    poller_run(&b->worker->poller, UV_RUN_ONCE);
}

void enginebench_until(struct enginebench *b, enginebench_condition *holds, void *arg)
{
    for (int i = 0; i < ENGINEBENCH_TURNS; i++) {
        if (holds(arg))
            return;
        enginebench_turn(b);
    }
    ck_abort_msg("what was waited for did not come");
}

static bool has_none(void *arg)
{
    const struct enginebench *b = arg;
    return list_empty(&b->worker->sessions) && list_empty(&b->worker->dead);
}

void enginebench_until_idle(struct enginebench *b)
{
    enginebench_until(b, has_none, b);
    enginebench_idle(b);
}

static bool is_gauge(size_t id)
{
    static const char kind[STAT_COUNT] = {
#define C 'c'
#define G 'g'
#define X(name, type, path) [STAT_##name] = (type),
        STAT_MAP(X)
#undef X
#undef C
#undef G
    };
    return kind[id] == 'g';
}

void enginebench_idle(const struct enginebench *b)
{
    const struct worker *w = b->worker;
    struct stats_snapshot sum;
    uint64_t closed = 0;

    ck_assert(list_empty(&w->sessions));
    ck_assert(list_empty(&w->dead));
    ck_assert(list_empty(&w->windows));
    memset(&sum, 0, sizeof sum);
    stats_sum(&sum, w->stats);
    for (size_t i = 0; i < STAT_COUNT; i++) {
        uint64_t want = i == STAT_PIPES ? w->pipes.made : 0; /* the pool keeps them */
        if (is_gauge(i))
            ck_assert_msg(sum.value[i] == want, "%s is %llu", stat_path((enum stat_id)i),
                          (unsigned long long)sum.value[i]);
    }
    for (size_t i = 0; i < PROTOCOL_COUNT; i++)
        ck_assert_uint_eq(sum.protocol_current[i], 0);
    for (size_t i = 0; i < REASON_COUNT; i++)
        closed += sum.closed[i];
    ck_assert_uint_eq(closed, sum.value[STAT_ACCEPTED]);
    for (size_t i = 0; i <= MPTCP_SUBFLOWS_MAX; i++)
        ck_assert_uint_eq(atomic_load(&w->subflows[i]), 0);
    ck_assert_uint_eq(w->shed, 0);
    ck_assert_uint_eq(w->pipes.free_count, w->pipes.made);
    ck_assert_uint_eq(limits_sessions(b->shared.limits), 0);
}

struct session *enginebench_session(const struct enginebench *b)
{
    const struct worker *w = b->worker;

    if (list_empty(&w->sessions))
        return NULL;
    return CONTAINER_OF(w->sessions.next, struct session, link);
}

unsigned enginebench_sessions(const struct enginebench *b)
{
    unsigned n = 0;

    for (const struct list *at = b->worker->sessions.next; at != &b->worker->sessions;
         at = at->next)
        n++;
    return n;
}

struct state_wait {
    const struct enginebench *b;
    enum session_state state;
};

static bool in_state(void *arg)
{
    const struct state_wait *w = arg;
    const struct session *s = enginebench_session(w->b);
    return s != NULL && s->state == w->state;
}

void enginebench_until_state(struct enginebench *b, enum session_state state)
{
    enginebench_until(b, in_state, &(struct state_wait){b, state});
}

uint64_t enginebench_stat(const struct enginebench *b, enum stat_id id)
{
    return atomic_load(&b->worker->stats->value[id]);
}

uint64_t enginebench_outcome(const struct enginebench *b, enum outcome why)
{
    return atomic_load(&b->worker->stats->outcome[why]);
}

/* ---- Sockets ---- */

struct stream_wait {
    int fd;
    uint8_t *buf;
    size_t got, len;
    ssize_t end; /* of the last recv: 0, or -errno */
    bool ended;
};

static bool came(void *arg)
{
    struct stream_wait *w = arg;

    while (!w->ended && w->got < w->len) {
        ssize_t n = rawnet_recv(w->fd, w->buf + w->got, w->len - w->got);
        if (n == -EAGAIN)
            return false;
        w->ended = n <= 0;
        w->end = n;
        w->got += n > 0 ? (size_t)n : 0;
    }
    return true;
}

size_t enginebench_recv(struct enginebench *b, int fd, void *buf, size_t len)
{
    struct stream_wait w = {.fd = fd, .buf = buf, .len = len};

    enginebench_until(b, came, &w);
    return w.got;
}

void enginebench_until_end(struct enginebench *b, int fd, int want)
{
    uint8_t octet;
    struct stream_wait w = {.fd = fd, .buf = &octet, .len = 1};

    enginebench_until(b, came, &w);
    ck_assert_msg(w.ended, "an octet came instead of the end");
    ck_assert_int_eq(w.end, want);
}

void enginebench_request(uint8_t out[ENGINEBENCH_REQUEST_LEN], uint16_t port)
{
    const uint8_t request[ENGINEBENCH_REQUEST_LEN] = {
        5, 1, 0, 1, 127, 0, 0, 1, (uint8_t)(port >> 8), (uint8_t)port};
    memcpy(out, request, sizeof request);
}

struct accept_wait {
    int listener, fd;
};

static bool accepted(void *arg)
{
    struct accept_wait *w = arg;

    w->fd = rawnet_accept(w->listener);
    return w->fd >= 0;
}

void enginebench_pair(struct enginebench *b, struct enginepair *p, bool mptcp)
{
    uint8_t opening[3 + ENGINEBENCH_REQUEST_LEN] = {5, 1, 0}, answer[2 + 10];
    struct accept_wait w = {.fd = -1};
    uint16_t port = 0;

    w.listener = rawnet_listen(&port, false);
    enginebench_request(opening + 3, port);
    p->client = rawnet_connect(b->port, mptcp);
    rawnet_send_all(p->client, opening, sizeof opening);
    enginebench_until(b, accepted, &w);
    p->origin = w.fd;
    rawnet_close(w.listener);
    ck_assert_uint_eq(enginebench_recv(b, p->client, answer, sizeof answer), sizeof answer);
    ck_assert_uint_eq(answer[1], 0);
    ck_assert_uint_eq(answer[3], SOCKS5_REP_OK);
}

void enginebench_ping(struct enginebench *b, const struct enginepair *p)
{
    uint8_t octet = 0;

    rawnet_send_all(p->client, "u", 1);
    ck_assert_uint_eq(enginebench_recv(b, p->origin, &octet, 1), 1);
    ck_assert_uint_eq(octet, 'u');
    rawnet_send_all(p->origin, "d", 1);
    ck_assert_uint_eq(enginebench_recv(b, p->client, &octet, 1), 1);
    ck_assert_uint_eq(octet, 'd');
}
