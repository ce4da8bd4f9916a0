/* SPDX-License-Identifier: MIT */
/* What the main thread asks of a worker: a new configuration, copies of sessions. */
#include "session.h"
#include "worker.h"
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

static struct listener *find_running(struct worker *w, const struct listener_options *o)
{
    for (size_t i = 0; i < w->listener_count; i++)
        if (w->listeners[i].watch.fd >= 0 &&
            addr_equal(&w->listeners[i].options->address, &o->address))
            return &w->listeners[i];
    return NULL;
}

struct resolver_config worker_dns_config(const struct config *c)
{
    return (struct resolver_config){
        .servers = &c->dns.servers,
        .timeout_ms = c->dns.timeout_ms,
        .tries = c->dns.tries,
        .cache_entries = c->dns.cache_entries,
        .ttl_min_ms = c->dns.ttl_min_ms,
        .ttl_max_ms = c->dns.ttl_max_ms,
        .negative_ttl_ms = c->dns.negative_ttl_ms,
        .inflight_max = c->dns.inflight_max,
    };
}

static void use_config(struct worker *w, struct config *c)
{
    struct config *old = w->config;
    struct resolver_config dns = worker_dns_config(c);

    struct auth_cache *cache = NULL;

    if (old != NULL && old->auth.cache_ttl_ms != c->auth.cache_ttl_ms)
        cache = auth_cache_new(WORKER_AUTH_CACHE_ENTRIES, c->auth.cache_ttl_ms);
    if (cache !=
        NULL) { /* else the old one keeps its term: out of memory, or nothing changed */
        auth_cache_free(w->auth_cache);
        w->auth_cache = cache;
    }
    w->config = c;
    synack_use(&w->synack, c);
    if (old == NULL || old->relay.receive_buffer != c->relay.receive_buffer)
        w->receive_buffer = leg_buffer_allowed(c->relay.receive_buffer);
    w->pipes.max = atomic_load(&w->shared->pipes_max) / w->shared->worker_count;
    if (old != NULL && resolver_configure(w->resolver, &dns) != 0)
        log_message(w->shared->log, LOG_LEVEL_ERROR, "resolver",
                    "worker %u keeps its old DNS settings", w->index);
    config_unref(old);
}

/* The new set is built beside the old one: a listener that stays is moved over with its socket,
 * and never closed. */
void worker_reload(struct worker *w, struct worker_message *m)
{
    struct config *c = m->config;
    struct listener *next = calloc(c->listeners.count, sizeof *next);

    if (next == NULL) {
        log_message(w->shared->log, LOG_LEVEL_ERROR, "reload",
                    "worker %u is out of memory and keeps its listeners", w->index);
        for (size_t i = 0; i < c->listeners.count; i++)
            if (m->fds[i] >= 0)
                (void)close(m->fds[i]);
        use_config(w, c);
        return;
    }
    for (size_t i = 0; i < c->listeners.count; i++) {
        const struct listener_options *o = &c->listeners.item[i];
        struct listener *running = find_running(w, o);
        next[i].watch.fd = -1;
        if (running != NULL) {
            next[i].worker = w;
            next[i].config = running->config;
            next[i].options = running->options;
            next[i].port = running->port;
            next[i].mptcp = running->mptcp;
            next[i].accepted = running->accepted;
            next[i].quota = 1;
            poller_move(&w->poller, &running->watch, &next[i].watch, running->watch.ready);
            running->config = NULL;
            listener_configure(&next[i], c, o);
        } else if (m->fds[i] < 0) {
            log_message(w->shared->log, LOG_LEVEL_ERROR, "reload",
                        "worker %u has lost listener %s", w->index, o->name);
        } else if (listener_start(&next[i], w, c, o, m->fds[i], m->counters[i]) != 0) {
            log_message(w->shared->log, LOG_LEVEL_ERROR, "reload",
                        "worker %u cannot watch listener %s", w->index, o->name);
            (void)close(m->fds[i]);
        }
    }
    for (size_t i = 0; i < w->listener_count; i++)
        listener_stop(&w->listeners[i]);
    free(w->listeners);
    w->listeners = next;
    w->listener_count = c->listeners.count;
    use_config(w, c);
}

static bool wanted(const struct session *s, const struct session_query *q)
{
    if (q->id != 0)
        return s->id == q->id;
    if (s->id <= q->after || (q->protocol >= 0 && (int)s->protocol != q->protocol))
        return false;
    if (q->user[0] != '\0' && (s->user == NULL || strcmp(s->user, q->user) != 0))
        return false;
    if (q->by_source && !prefix_contains(&q->source, &s->client_addr))
        return false;
    return uv_hrtime() / 1000 - s->start_us >= q->min_age_us;
}

/* The list is in order of ids but for sessions accepted by other workers in between: the first
 * `limit` are the lowest. */
void worker_query(struct worker *w, struct worker_message *m)
{
    m->view_count = 0;
    for (struct list *at = w->sessions.next;
         at != &w->sessions && m->view_count < m->query.limit; at = at->next) {
        const struct session *s = CONTAINER_OF(at, struct session, link);
        if (wanted(s, &m->query))
            session_look(s, &m->views[m->view_count++], m->query.id != 0);
    }
}

void worker_kill(struct worker *w, struct worker_message *m)
{
    m->view_count = 0;
    for (struct list *at = w->sessions.next; at != &w->sessions;) {
        struct session *s = CONTAINER_OF(at, struct session, link);
        at = at->next;
        if (s->state == SESSION_CLOSING || !wanted(s, &m->query))
            continue;
        session_stop(s, OUTCOME_KILLED);
        m->view_count++;
    }
}
