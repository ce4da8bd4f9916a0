/* SPDX-License-Identifier: MIT */
#include "server.h"
#include "server_control.h"
#include "server_impl.h"
#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <sys/resource.h>
#include <sys/socket.h>
#include <time.h>
#include <unistd.h>

enum {
    TICK_MS = 50,
    TICKS_PER_SECOND = 1000 / TICK_MS,
    WORKERS_MAX = 256,
    FASTOPEN_SERVER = 2, /* bit of net.ipv4.tcp_fastopen */
    PROCESS_FDS = 25,    /* log, stats endpoint and a few clients, signals, /proc, nftables */
    WORKER_FDS = 10,     /* loop, poller, wake-up, DNS sockets, reserve */
    SYNACK_FDS = 2,      /* of each worker: netfilter queue, sock_diag */
};

int server_fail(struct conf_error *err, const char *what, const char *name, int rc)
{
    (void)snprintf(err->text, sizeof err->text, "%s %s: %s", what, name, uv_strerror(rc));
    return -1;
}

/* What the process's fds allow. Refusing in the dialect needs fds too, so the session limit
 * ends before they do. */
void server_budget(struct server *s, const struct config *c)
{
    struct rlimit lim = {.rlim_cur = 1024};

    ASSERT(s->worker_count > 0);
    size_t per_worker = WORKER_FDS + c->listeners.count;
    if (s->shared.synack != NULL || server_has_exact(c))
        per_worker += SYNACK_FDS;
    uint64_t fixed = PROCESS_FDS + s->worker_count * per_worker;

    (void)getrlimit(RLIMIT_NOFILE, &lim);
    uint64_t free_fds = lim.rlim_cur > fixed + 16 ? lim.rlim_cur - fixed : 16;
    uint64_t shed = free_fds / 16 / s->worker_count;
    shed = shed < 1 ? 1 : shed > WORKER_SHED_MAX ? WORKER_SHED_MAX : shed;
    uint64_t pipes = c->relay.splice ? c->relay.pipes_max : 0;
    if (pipes > free_fds / 16)
        pipes = free_fds / 16;
    atomic_store(&s->shared.shed_max, (uint32_t)shed);
    atomic_store(&s->shared.pipes_max, (uint32_t)pipes);
    uint64_t reserved = shed * s->worker_count + 2 * pipes;
    uint64_t sessions = (free_fds - (reserved < free_fds / 2 ? reserved : free_fds / 2)) / 2;
    s->sessions_max = sessions < c->limits.sessions ? (uint32_t)sessions : c->limits.sessions;
}

struct limits_config server_limits(const struct server *s, const struct config *c)
{
    return (struct limits_config){
        .sessions = s->sessions_max,
        .sessions_per_source = c->limits.sessions_per_source,
        .connects_per_source = c->limits.connects_per_source,
        .errors_per_second = c->limits.errors_per_second,
        .auth_failures_per_minute = c->auth.failures_max,
        .source_prefix6 = c->limits.source_prefix6,
    };
}

/* Messages. */

void server_message_done(struct worker_message *m)
{
    struct server *s = m->server;

    uv_mutex_lock(&s->lock);
    list_append(&s->returned, &m->link);
    uv_mutex_unlock(&s->lock);
    (void)uv_async_send(&s->wake); /* open until every worker is gone */
}

static int post_order(struct server *s, struct worker *w, enum worker_order order)
{
    struct worker_message *m = calloc(1, sizeof *m);

    if (m == NULL)
        return UV_ENOMEM;
    m->order = order;
    m->done = server_message_done;
    m->server = s;
    worker_post(w, m);
    return 0;
}

void server_message_free(struct worker_message *m)
{
    free(m->fds);
    free(m->counters);
    free(m);
}

static void stop_now(struct server *s)
{
    if (s->state == SERVER_STOPPING)
        return;
    s->state = SERVER_STOPPING;
    for (uint32_t w = 0; w < s->running; w++) {
        s->stop_message[w].order = WORKER_STOP; /* allocated at start: stopping cannot fail */
        s->stop_message[w].done = server_message_done;
        s->stop_message[w].server = s;
        worker_post(s->workers[w], &s->stop_message[w]);
    }
}

static void close_handles(struct server *s)
{
    if (!s->handles_open)
        return;
    s->handles_open = false;
    if (s->admin != NULL)
        admin_stop(s->admin);
    s->admin = NULL;
    if (s->control != NULL)
        control_stop(s->control);
    s->control = NULL;
    attachment_close(&s->attachment);
    uv_close((uv_handle_t *)&s->wake, NULL);
    uv_close((uv_handle_t *)&s->tick, NULL);
}

static void on_wake(uv_async_t *async)
{
    struct server *s = async->data;
    struct list mine;

    list_init(&mine);
    uv_mutex_lock(&s->lock);
    list_splice(&mine, &s->returned);
    bool all_gone = s->gone == s->running;
    uv_mutex_unlock(&s->lock);
    for (struct list *at = mine.next; at != &mine;) {
        struct worker_message *m = CONTAINER_OF(at, struct worker_message, link);
        at = at->next;
        if (m->order == WORKER_RELOAD)
            server_reload_carried_out(s);
        if (m->order == WORKER_QUERY)
            server_query_returned(m);
        else if (m->order == WORKER_KILL)
            server_kill_returned(m);
        else if (m->order != WORKER_STOP)
            server_message_free(m);
    }
    if (all_gone)
        close_handles(s);
}

static void on_gone(void *arg, struct worker *w)
{
    struct server *s = arg;

    (void)w;
    uv_mutex_lock(&s->lock);
    s->gone++;
    (void)uv_async_send(
        &s->wake); /* under the lock: the main thread closes it only after it saw the count */
    uv_mutex_unlock(&s->lock);
}

static void on_tick(uv_timer_t *timer)
{
    struct server *s = timer->data;

    if (s->state == SERVER_DRAINING &&
        (limits_sessions(s->shared.limits) == 0 || uv_now(s->loop) >= s->drain_deadline_ms))
        stop_now(s);
    if (server_loop_age_ms(s) < VIEW_STUCK_MS)
        notify_alive(&s->notify, uv_hrtime() / 1000);
    if (++s->ticks % TICKS_PER_SECOND != 0)
        return;
    server_alive_nft(s);
    struct stats_snapshot *sum = &s->scratch_snapshot;
    server_sum(s, sum);
    uint64_t up = sum->value[STAT_UP_BYTES], down = sum->value[STAT_DOWN_BYTES];
    s->up_per_second = (double)(up - s->rate_up);
    s->down_per_second = (double)(down - s->rate_down);
    s->rate_up = up;
    s->rate_down = down;
}

/* The end. */

static void release(struct server *s)
{
    for (uint32_t w = 0; w < s->running; w++)
        worker_join(s->workers[w]);
    for (uint32_t w = 0; w < s->made; w++)
        worker_free(s->workers[w]);
    for (struct list *at = s->listeners.next; at != &s->listeners;) {
        struct listener_stats *ls = CONTAINER_OF(at, struct listener_stats, link);
        at = at->next;
        free(ls);
    }
    notify_close(&s->notify);
    nft_keeper_free(s->shared.keeper);
    native_free(s->native);
    synack_free(s->shared.synack);
    offer_free(atomic_load(&s->shared.offers));
    limits_free(s->shared.limits);
    config_unref(s->config);
    uv_mutex_destroy(&s->lock);
    free(s->workers);
    free(s->view_fds);
    free(s->stop_message);
    free(s);
}

void server_free(struct server *s)
{
    ASSERT(!s->handles_open);
    release(s);
}

/* A start that failed half-way: some workers may have threads, some not. */
static void abandon(struct server *s)
{
    for (uint32_t w = s->running; w < s->made; w++)
        worker_abandon(s->workers[w]);
    if (s->running > 0)
        stop_now(s);
    else
        close_handles(s);
    (void)uv_run(s->loop, UV_RUN_DEFAULT);
    release(s);
}

void server_drain(struct server *s)
{
    server_drain_within(s, s->config->timeouts.drain_ms);
}

int server_undrain(struct server *s)
{
    if (s->state != SERVER_DRAINING)
        return -1;
    for (uint32_t w = 0; w < s->worker_count; w++)
        if (post_order(s, s->workers[w], WORKER_UNDRAIN) != 0)
            return -1; /* out of memory: those that heard of it serve, the deadline stays */
    s->state = SERVER_SERVING;
    server_use_nft(s);
    log_message(s->log, LOG_LEVEL_INFO, "undrained", "%u sessions",
                limits_sessions(s->shared.limits));
    notify_ready(&s->notify);
    return 0;
}

void server_drain_within(struct server *s, uint32_t milliseconds)
{
    if (s->state == SERVER_DRAINING) {
        stop_now(s);
        return;
    }
    if (s->state != SERVER_SERVING)
        return;
    s->state = SERVER_DRAINING;
    server_leave_nft(s);
    s->drain_deadline_ms = uv_now(s->loop) + milliseconds;
    log_message(s->log, LOG_LEVEL_INFO, "draining", "%u sessions, at most %u ms",
                limits_sessions(s->shared.limits), milliseconds);
    notify_stopping(&s->notify, limits_sessions(s->shared.limits),
                    UINT64_C(1000) * milliseconds);
    for (uint32_t w = 0; w < s->worker_count; w++)
        if (post_order(s, s->workers[w], WORKER_DRAIN) != 0)
            s->drain_deadline_ms =
                0; /* out of memory: cannot refuse politely, so do not wait */
}

/* Start. */

uint32_t server_workers(const struct config *c)
{
    uint32_t n = c->workers != 0 ? c->workers : (uint32_t)uv_available_parallelism();
    return n < WORKERS_MAX ? n : WORKERS_MAX;
}

static int start_admin(struct server *s, struct conf_error *err)
{
    const struct addr *address = &s->config->stats.address;
    struct sockaddr_storage sa;
    char text[ADDR_TEXT_MAX];
    int on = 1;

    if (address->family == ADDR_NONE)
        return 0;
    socklen_t len = addr_to_sockaddr(address, &sa);
    (void)addr_print(address, text, sizeof text);
    int fd = socket(sa.ss_family, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);
    if (fd < 0)
        return server_fail(err, "stats endpoint", text, -errno);
    (void)setsockopt(fd, SOL_SOCKET, SO_REUSEADDR, &on,
                     sizeof on); /* bind says what is wrong */
    if (bind(fd, (struct sockaddr *)&sa, len) != 0 || listen(fd, 64) != 0) {
        int rc = -errno;
        (void)close(fd);
        return server_fail(err, "stats endpoint", text, rc);
    }
    int rc = admin_start(s->loop, fd, &s->source, &s->admin);
    if (rc != 0) {
        (void)close(fd);
        return server_fail(err, "stats endpoint", text, rc);
    }
    return 0;
}

static int start_control(struct server *s, struct conf_error *err)
{
    struct control_handler h = server_control_handler(s);

    if (s->config->control.path == NULL)
        return 0;
    return control_start(s->loop, s->config->control.path, &h, &s->control, err);
}

static int make_workers(struct server *s, struct conf_error *err)
{
    struct config *c = s->config;
    size_t count = c->listeners.count;
    int *fds = calloc(count * s->worker_count, sizeof *fds);
    _Atomic uint64_t **counters = calloc(count, sizeof(_Atomic uint64_t *));
    int rc = -1;

    if (fds == NULL || counters == NULL) {
        (void)server_fail(err, "start", "workers", UV_ENOMEM);
        goto done;
    }
    if (server_check_egress(c, err) != 0 || server_open_offers(s, c, err) != 0 ||
        server_open_synack(s, c, err) != 0 || server_open_nft(s, c, err) != 0 ||
        server_open_listeners(s, c, NULL, fds, err) != 0)
        goto done;
    server_note_fds(s, c, fds);
    for (uint32_t w = 0; w < s->worker_count; w++) {
        int made;
        server_point_counters(s, c, w, counters);
        s->workers[w] =
            worker_new(w, &s->shared, c, fds + w * count, counters, on_gone, s, &made);
        if (s->workers[w] == NULL) {
            server_close_fds(fds + w * count, (s->worker_count - w) * count);
            (void)server_fail(err, "start", "a worker", made);
            goto done;
        }
        s->made++;
    }
    rc = 0;
done:
    free(fds);
    free(counters);
    return rc;
}

static int start_threads(struct server *s, struct conf_error *err)
{
    for (uint32_t w = 0; w < s->worker_count; w++) {
        int rc = worker_start(s->workers[w]);
        if (rc != 0)
            return server_fail(err, "start", "a thread", rc);
        s->running++;
    }
    return 0;
}

static int open_main(struct server *s, struct conf_error *err)
{
    int rc = uv_async_init(s->loop, &s->wake, on_wake);
    if (rc != 0)
        return server_fail(err, "start", "main loop", rc);
    (void)uv_timer_init(s->loop, &s->tick); /* cannot fail */
    s->handles_open = true;
    s->wake.data = s->tick.data = s;
    (void)uv_timer_start(&s->tick, on_tick, TICK_MS, TICK_MS); /* cannot fail */
    return 0;
}

/* With the server bit off the kernel takes the socket options and ignores the data in SYNs. */
static void check_fastopen(const struct server *s)
{
    FILE *f = fopen("/proc/sys/net/ipv4/tcp_fastopen", "re");
    char text[16] = "";

    if (f == NULL)
        return; /* not to be told: no warning */
    bool off =
        fgets(text, sizeof text, f) != NULL && (strtoul(text, NULL, 10) & FASTOPEN_SERVER) == 0;
    (void)fclose(f); /* only read */
    for (size_t i = 0; off && i < s->config->listeners.count; i++)
        if (s->config->listeners.item[i].fastopen) {
            log_message(s->log, LOG_LEVEL_WARNING, "fastopen",
                        "net.ipv4.tcp_fastopen lacks bit 2: requests in SYNs are ignored and "
                        "cost MPTCP (set 0x602)");
            return;
        }
}

static void log_started(const struct server *s)
{
    char text[ADDR_TEXT_MAX];

    for (size_t i = 0; i < s->config->listeners.count; i++)
        log_message(s->log, LOG_LEVEL_INFO, "listening", "%s on %s",
                    s->config->listeners.item[i].name,
                    addr_print(&s->config->listeners.item[i].address, text, sizeof text));
    check_fastopen(s);
    server_warn_egress(s, s->config);
    if (s->sessions_max < s->config->limits.sessions)
        log_message(s->log, LOG_LEVEL_WARNING, "limits",
                    "RLIMIT_NOFILE allows %u sessions; limits.sessions asks for %u",
                    s->sessions_max, s->config->limits.sessions);
}

static bool allocate(struct server *s)
{
    s->worker_count = server_workers(s->config);
    server_budget(s, s->config);
    struct limits_config limits = server_limits(s, s->config);
    s->shared.log = s->log;
    s->shared.worker_count = s->worker_count;
    s->shared.limits = limits_new(&limits);
    s->workers = calloc(s->worker_count,
                        sizeof *s->workers); // NOLINT(bugprone-sizeof-expression): of pointers
    s->view_fds = calloc((size_t)OPTIONS_LISTENERS_MAX * s->worker_count, sizeof *s->view_fds);
    s->shared.worker = s->workers;
    s->stop_message = calloc(s->worker_count, sizeof *s->stop_message);
    s->native = native_new(s->log);
    return s->native != NULL && s->shared.limits != NULL && s->workers != NULL &&
           s->view_fds != NULL && s->stop_message != NULL;
}

struct server *server_start(uv_loop_t *loop, struct config *config, struct log *log,
                            struct conf_error *err)
{
    struct server *s = calloc(1, sizeof *s);

    if (s == NULL) {
        config_unref(config);
        (void)server_fail(err, "start", "server", UV_ENOMEM);
        return NULL;
    }
    s->loop = loop;
    s->config = config;
    s->log = log;
    s->last_reload_ok = true;
    notify_open(&s->notify);
    s->start_us = uv_hrtime() / 1000;
    s->start_wall_us = s->loaded_wall_us = server_wall_us();
    list_init(&s->listeners);
    list_init(&s->returned);
    uv_mutex_init(&s->lock); /* aborts only when the kernel has no futex */
    server_fill_source(s);
    if (!allocate(s)) {
        (void)server_fail(err, "start", "server", UV_ENOMEM);
        goto fail;
    }
    if (make_workers(s, err) != 0 || open_main(s, err) != 0 || start_admin(s, err) != 0 ||
        start_control(s, err) != 0 || start_threads(s, err) != 0)
        goto fail;
    s->state = SERVER_SERVING;
    server_watch_attachment(s, s->config);
    server_use_nft(s);
    log_started(s);
    notify_ready(&s->notify);
    return s;

fail:
    abandon(s);
    return NULL;
}
