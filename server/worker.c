/* SPDX-License-Identifier: MIT */
#include "worker.h"
#include "embryo.h"
#include "session.h"
#include <errno.h>
#include <fcntl.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

enum {
    TICK_MS = DEADLINES_TICK_MS,
    SAMPLES_PER_TICK = 200, /* sessions whose subflows are counted */
    WINDOW_POLL_MS = 1,     /* T2: no edge tells when a window opens */
    LISTENER_PAUSE_TICKS = 2,
};

uint64_t worker_now_ms(const struct worker *w)
{
    return uv_now(&w->loop);
}

uint64_t worker_wall_us(const struct worker *w, uint64_t hrtime_us)
{
    return hrtime_us + w->wall_offset_us;
}

bool worker_source_in(const struct conf_prefixes *set, const struct addr *a)
{
    for (size_t i = 0; i < set->count; i++)
        if (prefix_contains(&set->item[i], a))
            return true;
    return false;
}

/* Ticks: lag, liveness, subflow samples. */

static void sample(struct worker *w)
{
    struct list *at = w->sample_next;

    for (int i = 0; i < SAMPLES_PER_TICK; i++) {
        if (at == NULL || at == &w->sessions) {
            at = w->sessions.next; /* from the start in the next tick */
            break;
        }
        struct list *next = at->next;
        session_sample(CONTAINER_OF(at, struct session, link));
        at = next;
    }
    w->sample_next = at;
}

static void pause_listeners(struct worker *w, bool paused)
{
    for (size_t i = 0; i < w->listener_count; i++)
        if (w->listeners[i].watch.fd >= 0)
            poller_pause(&w->poller, &w->listeners[i].watch, paused);
    w->paused_ticks = paused ? LISTENER_PAUSE_TICKS + 1 : 0;
}

void worker_pause_listeners(struct worker *w)
{
    if (w->paused_ticks == 0)
        pause_listeners(w, true);
}

static void on_tick(uv_timer_t *timer)
{
    struct worker *w = timer->data;
    uint64_t now = uv_hrtime() / 1000;

    if (now > w->tick_due_us)
        stats_duration(w->stats, HISTOGRAM_LOOP_LAG, now - w->tick_due_us);
    w->tick_due_us = now + (uint64_t)TICK_MS * 1000;
    atomic_store_explicit(&w->turned_ms, now / 1000, memory_order_relaxed);
    if (w->reserve_fd < 0)
        w->reserve_fd = open("/dev/null", O_RDONLY | O_CLOEXEC);
    if (w->paused_ticks > 0 && --w->paused_ticks == 0)
        pause_listeners(w, false);
    deadlines_expire(&w->deadlines, worker_now_ms(w), session_expired);
    synack_tick(&w->synack);
    if (w->index == 0 && !w->stopping)
        via_prober_tick(&w->prober, &w->connector_env, &w->shared->via, w->config);
    sample(w);
}

/* The kernel queues a SYN-ACK a moment before its connection can be accepted, so with a burst
 * the queue would be read ahead of the listeners, which take one connection a turn: whose the
 * SYN-ACKs are is known for nothing when their connections are accepted first. */
static void read_synacks(struct worker *w)
{
    if (!w->synack.due)
        return;
    for (size_t i = 0; i < w->listener_count && w->paused_ticks == 0; i++)
        if (w->listeners[i].watch.fd >= 0 && w->listeners[i].options->exact)
            listener_drain(&w->listeners[i]);
    synack_turn(&w->synack);
}

/* The end of every turn of the loop: no callback is on the stack. A session whose password is
 * still being hashed stays. */
static void bury(void *arg)
{
    struct worker *w = arg;

    read_synacks(w);
    for (struct list *at = w->dead.next; at != &w->dead;) {
        struct session *s = CONTAINER_OF(at, struct session, link);
        at = at->next;
        if (s->pinned)
            continue;
        list_remove(&s->link);
        session_free(s);
    }
}

static void on_window(uv_timer_t *timer)
{
    struct worker *w = timer->data;
    struct list due;

    list_init(&due);
    list_splice(&due, &w->windows);
    while (!list_empty(&due)) {
        struct session *s = CONTAINER_OF(due.next, struct session, window_link);
        list_remove(&s->window_link);
        if (session_window_due(s))
            session_window_opened(s);
        else
            list_append(&w->windows, &s->window_link);
    }
    if (list_empty(&w->windows))
        (void)uv_timer_stop(timer); /* cannot fail */
}

void worker_wait_window(struct worker *w, struct list *link)
{
    if (!list_empty(link))
        return;
    if (list_empty(&w->windows) && uv_is_active((uv_handle_t *)&w->window_timer) == 0)
        (void)uv_timer_start(&w->window_timer, on_window, WINDOW_POLL_MS,
                             WINDOW_POLL_MS); /* cannot fail */
    list_append(&w->windows, link);
}

/* Messages. */

static void on_handle_closed(uv_handle_t *handle)
{
    (void)handle; /* memory belongs to the worker */
}

/* Closes whatever is open; the loop then runs dry. Serves the orderly stop and a start that
 * failed half-way. */
static void close_parts(struct worker *w)
{
    for (size_t i = 0; i < w->listener_count; i++)
        listener_stop(&w->listeners[i]);
    while (!list_empty(&w->sessions))
        session_stop(CONTAINER_OF(w->sessions.next, struct session, link), OUTCOME_DRAINED);
    synack_detach(&w->synack);
    via_prober_stop(&w->prober);
    if (w->resolver != NULL)
        resolver_close(w->resolver);
    if (w->timers_open) {
        uv_close((uv_handle_t *)&w->tick, on_handle_closed);
        uv_close((uv_handle_t *)&w->window_timer, on_handle_closed);
    }
    if (w->wake_open)
        uv_close((uv_handle_t *)&w->wake, on_handle_closed);
}

bool worker_hand(struct worker *w, struct list *link)
{
    uv_mutex_lock(&w->lock);
    bool open = !w->closed;
    if (open) {
        list_append(&w->arrivals, link);
        (void)uv_async_send(&w->wake); /* under the lock: it is closed after `closed` is set */
    }
    uv_mutex_unlock(&w->lock);
    return open;
}

/* `last`: there are to be no more. */
static void take_arrivals(struct worker *w, bool last)
{
    struct list mine;

    list_init(&mine);
    uv_mutex_lock(&w->lock);
    list_splice(&mine, &w->arrivals);
    w->closed |= last;
    uv_mutex_unlock(&w->lock);
    while (!list_empty(&mine)) {
        struct embryo_arrival *a = CONTAINER_OF(mine.next, struct embryo_arrival, link);
        list_remove(&a->link);
        embryo_arrived(w, a);
    }
}

static void stop(struct worker *w)
{
    if (w->stopping)
        return;
    w->stopping = true;
    take_arrivals(w, true);
    close_parts(w);
}

static void carry_out(struct worker *w, struct worker_message *m)
{
    switch (m->order) {
    case WORKER_RELOAD:
        worker_reload(w, m);
        break;
    case WORKER_DRAIN:
        w->draining = true;
        break;
    case WORKER_STOP:
        stop(w);
        break;
    case WORKER_UNDRAIN:
        w->draining = false;
        break;
    case WORKER_QUERY:
        worker_query(w, m);
        break;
    case WORKER_KILL:
        worker_kill(w, m);
        break;
    }
    m->done(m);
}

static void on_wake(uv_async_t *async)
{
    struct worker *w = async->data;
    struct list mine;

    take_arrivals(w, false);
    list_init(&mine);
    uv_mutex_lock(&w->lock);
    list_splice(&mine, &w->inbox);
    uv_mutex_unlock(&w->lock);
    while (!list_empty(&mine)) {
        struct worker_message *m = CONTAINER_OF(mine.next, struct worker_message, link);
        list_remove(&m->link);
        carry_out(w, m);
    }
}

void worker_post(struct worker *w, struct worker_message *m)
{
    uv_mutex_lock(&w->lock);
    list_append(&w->inbox, &m->link);
    uv_mutex_unlock(&w->lock);
    (void)uv_async_send(&w->wake); /* the handle lives until STOP, which is the last message */
}

/* Life. */

static uint64_t wall_offset(void)
{
    struct timespec now;

    (void)clock_gettime(CLOCK_REALTIME, &now); /* cannot fail on this clock */
    return (uint64_t)now.tv_sec * 1000000 + (uint64_t)now.tv_nsec / 1000 - uv_hrtime() / 1000;
}

static int open_parts(struct worker *w, const struct config *c)
{
    struct resolver_config dns = worker_dns_config(c);

    w->stats = stats_new();
    w->relay_env.scratch = malloc(RELAY_SCRATCH_BYTES);
    w->auth_cache = auth_cache_new(WORKER_AUTH_CACHE_ENTRIES, c->auth.cache_ttl_ms);
    w->reserve_fd = open("/dev/null", O_RDONLY | O_CLOEXEC);
    if (w->stats == NULL || w->relay_env.scratch == NULL || w->auth_cache == NULL ||
        w->reserve_fd < 0)
        return -ENOMEM;
    return resolver_open(&w->loop, &dns, w->stats, &w->resolver);
}

static void wire_up(struct worker *w)
{
    pipes_init(&w->pipes, atomic_load(&w->shared->pipes_max) / w->shared->worker_count,
               w->stats);
    w->receive_buffer = leg_buffer_allowed(w->config->relay.receive_buffer);
    w->relay_env.poller = &w->poller;
    w->relay_env.pipes = &w->pipes;
    w->relay_env.stats = w->stats;
    w->connector_env = (struct connector_env){
        .loop = &w->loop, .poller = &w->poller, .resolver = w->resolver, .stats = w->stats};
    w->wall_offset_us = wall_offset();
    w->tick.data = w->window_timer.data = w->wake.data = w;
    w->tick_due_us = uv_hrtime() / 1000 + (uint64_t)TICK_MS * 1000;
    atomic_store(&w->turned_ms, uv_hrtime() / 1000000);
}

static int attach_synack(struct worker *w)
{
    synack_use(&w->synack, w->config);
    w->synack.embryos = embryo_calls(w);
    if (w->shared->synack == NULL)
        return 0;
    return synack_attach(&w->synack, w->shared->synack, w->index, &w->poller, w->stats,
                         w->shared->log);
}

static int start_listeners(struct worker *w, struct config *c, const int *fds,
                           _Atomic uint64_t *const *counters)
{
    w->listeners = calloc(c->listeners.count, sizeof *w->listeners);
    if (w->listeners == NULL)
        return -ENOMEM;
    for (size_t i = 0; i < c->listeners.count; i++) {
        w->listeners[i].watch.fd = -1;
        int rc =
            listener_start(&w->listeners[i], w, c, &c->listeners.item[i], fds[i], counters[i]);
        if (rc != 0)
            return rc;
        w->listener_count++;
    }
    return 0;
}

static int build(struct worker *w, struct config *c, const int *fds,
                 _Atomic uint64_t *const *counters)
{
    int rc = open_parts(w, c);
    if (rc != 0)
        return rc;
    rc = poller_init(&w->poller, &w->loop, bury, w);
    if (rc != 0)
        return rc;
    w->poller_open = true;
    wire_up(w); /* before anything that can fail: worker_free() undoes it */
    (void)uv_timer_init(&w->loop, &w->tick);         /* cannot fail */
    (void)uv_timer_init(&w->loop, &w->window_timer); /* cannot fail */
    w->timers_open = true;
    rc = uv_async_init(&w->loop, &w->wake, on_wake);
    if (rc != 0)
        return rc;
    w->wake_open = true;
    (void)uv_timer_start(&w->tick, on_tick, TICK_MS, TICK_MS); /* cannot fail */
    rc = attach_synack(w);
    return rc != 0 ? rc : start_listeners(w, c, fds, counters);
}

struct worker *worker_new(unsigned index, struct shared *shared, struct config *config,
                          const int *fds, _Atomic uint64_t *const *counters,
                          void (*gone)(void *arg, struct worker *w), void *arg, int *rc)
{
    struct worker *w = calloc(1, sizeof *w);

    *rc = w == NULL ? -ENOMEM : uv_loop_init(&w->loop);
    if (*rc != 0) {
        free(w);
        return NULL;
    }
    w->index = index;
    w->shared = shared;
    w->gone = gone;
    w->gone_arg = arg;
    w->reserve_fd = -1;
    list_init(&w->sessions);
    list_init(&w->dead);
    list_init(&w->windows);
    list_init(&w->inbox);
    list_init(&w->arrivals);
    deadlines_init(&w->deadlines, uv_now(&w->loop));
    uv_mutex_init(&w->lock); /* aborts only when the kernel has no futex */
    w->config = config_ref(config);
    *rc = build(w, config, fds, counters);
    if (*rc != 0) {
        for (size_t i = 0; i < w->listener_count; i++) /* the fds stay the caller's */
            listener_release(&w->listeners[i]);
        worker_abandon(w);
        worker_free(w);
        return NULL;
    }
    return w;
}

void worker_abandon(struct worker *w)
{
    close_parts(w);
    if (w->poller_open)
        poller_run(&w->poller, UV_RUN_DEFAULT);
    else
        (void)uv_run(&w->loop, UV_RUN_DEFAULT);
}

static void run(void *arg)
{
    struct worker *w = arg;

    poller_run(&w->poller, UV_RUN_DEFAULT); /* returns when STOP has closed every handle */
    w->gone(w->gone_arg, w);
}

int worker_start(struct worker *w)
{
    return uv_thread_create(&w->thread, run, w);
}

void worker_join(struct worker *w)
{
    (void)uv_thread_join(&w->thread); /* started and not joined: cannot fail */
}

void worker_free(struct worker *w)
{
    if (w->poller_open) {
        poller_done(&w->poller);
        pipes_done(&w->pipes);
    }
    ASSERT(uv_loop_close(&w->loop) == 0);
    auth_cache_free(w->auth_cache);
    stats_free(w->stats);
    free(w->relay_env.scratch);
    free(w->listeners);
    if (w->reserve_fd >= 0)
        (void)close(w->reserve_fd);
    uv_mutex_destroy(&w->lock);
    config_unref(w->config);
    free(w);
}
