/* SPDX-License-Identifier: MIT */
/* Listening sockets: opened here, by the main thread, and handed to the workers; counters that
 * outlive them. */
#include "server_impl.h"
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

struct listener_stats *server_listener_stats(const struct server *s, const struct addr *address)
{
    for (struct list *at = s->listeners.next; at != &s->listeners; at = at->next) {
        struct listener_stats *ls = CONTAINER_OF(at, struct listener_stats, link);
        if (addr_equal(&ls->address, address))
            return ls;
    }
    return NULL;
}

static struct listener_stats *remember(struct server *s, const struct addr *address)
{
    struct listener_stats *ls = server_listener_stats(s, address);

    if (ls != NULL)
        return ls;
    size_t size = sizeof *ls + s->worker_count * sizeof ls->slot[0];
    ls = aligned_alloc(64, (size + 63) / 64 * 64);
    if (ls == NULL)
        return NULL;
    memset(ls, 0, size);
    ls->address = *address;
    for (uint32_t w = 0; w < s->worker_count; w++)
        ls->slot[w].fd = -1;
    list_append(&s->listeners, &ls->link);
    return ls;
}

void server_close_fds(int *fds, size_t n)
{
    for (size_t i = 0; i < n; i++)
        if (fds[i] >= 0)
            (void)close(fds[i]);
}

/* Nothing fails where the kernel sets no DSCP, so somebody has to say it. */
static void warn_of_dscp(const struct server *s, const struct config *c)
{
    for (size_t i = 0; i < c->policies.count; i++) {
        const struct policy *p = &c->policies.item[i];

        if ((!p->client.dscp.set && !p->upstream.dscp.set) || policy_ipv6_dscp_works())
            continue;
        log_message(s->log, LOG_LEVEL_WARNING, "policy",
                    "the kernel gives Multipath TCP over IPv6 no DSCP, so policy %s does not; "
                    "a mark and a rule of the packet filter do",
                    p->name);
        return; /* one says it for all */
    }
}

/* fds[w * listeners + i]: worker w's socket for listener i; -1 where `running` has it already.
 */
int server_open_listeners(struct server *s, const struct config *c,
                          const struct config *running, int *fds, struct conf_error *err)
{
    size_t count = c->listeners.count;

    for (size_t i = 0; i < count * s->worker_count; i++)
        fds[i] = -1;
    for (size_t i = 0; i < count; i++) {
        const struct listener_options *o = &c->listeners.item[i];
        bool kept = false;
        for (size_t k = 0; running != NULL && k < running->listeners.count; k++)
            kept |= addr_equal(&running->listeners.item[k].address, &o->address);
        if (remember(s, &o->address) == NULL) {
            server_close_fds(fds, count * s->worker_count);
            return server_fail(err, "listener", o->name, UV_ENOMEM);
        }
        for (uint32_t w = 0; w < s->worker_count && !kept; w++) {
            int fd = listener_open(o, c);
            if (fd < 0) {
                server_close_fds(fds, count * s->worker_count);
                return server_fail(err, "cannot listen:", o->name, fd);
            }
            fds[w * count + i] = fd;
        }
    }
    warn_of_dscp(s, c);
    return 0;
}

void server_note_fds(struct server *s, const struct config *c, const int *fds)
{
    for (size_t i = 0; i < c->listeners.count; i++) {
        struct listener_stats *ls = server_listener_stats(s, &c->listeners.item[i].address);
        for (uint32_t w = 0; w < s->worker_count; w++)
            if (fds[w * c->listeners.count + i] >= 0)
                ls->slot[w].fd = fds[w * c->listeners.count + i];
    }
}

void server_forget_closed(struct server *s, const struct config *c)
{
    for (struct list *at = s->listeners.next; at != &s->listeners; at = at->next) {
        struct listener_stats *ls = CONTAINER_OF(at, struct listener_stats, link);
        bool open = false;
        for (size_t i = 0; i < c->listeners.count; i++)
            open |= addr_equal(&c->listeners.item[i].address, &ls->address);
        for (uint32_t w = 0; w < s->worker_count && !open; w++)
            ls->slot[w].fd = -1;
    }
}

/* The counters each listener of `c` writes to, in its order. */
void server_point_counters(struct server *s, const struct config *c, uint32_t worker,
                           _Atomic uint64_t **out)
{
    for (size_t i = 0; i < c->listeners.count; i++)
        out[i] =
            &server_listener_stats(s, &c->listeners.item[i].address)->slot[worker].accepted;
}

bool server_has_exact(const struct config *c)
{
    for (size_t i = 0; i < c->listeners.count; i++)
        if (c->listeners.item[i].exact)
            return true;
    return false;
}

/* Once open they stay: SYN-ACKs may be held, and the firewall's rule goes on sending some. */
int server_open_synack(struct server *s, const struct config *c, struct conf_error *err)
{
    if (s->shared.synack != NULL || !server_has_exact(c))
        return 0;
    if (s->running > 0) { /* the workers have no queue to watch */
        (void)snprintf(err->text, sizeof err->text,
                       "the first exact listener needs a restart: CAP_NET_ADMIN was given up");
        return -1;
    }
    s->shared.synack = synack_new(c, s->worker_count, err);
    return s->shared.synack == NULL ? -1 : 0;
}

int server_open_offers(struct server *s, const struct config *c, struct conf_error *err)
{
    if (atomic_load(&s->shared.offers) != NULL || c->upstream.offer.mode != OFFER_MODE_AUTO)
        return 0;
    struct offer_table *t = offer_new(c->upstream.servers_max);
    if (t == NULL)
        return server_fail(err, "upstream.mptcp", "auto", UV_ENOMEM);
    atomic_store(&s->shared.offers, t);
    return 0;
}
