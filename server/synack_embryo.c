/* SPDX-License-Identifier: MIT */
/* Happy path: the SYN-ACK's mark names the listener, the host's connection waits as a request
 * in the kernel; the SYN-ACK is held, the embryo dials, the SYN-ACK goes, the connection is
 * accepted and meets its embryo by its addresses. Whatever ends otherwise takes the request
 * with it, so that no SYN-ACK comes again, and no late third ACK makes a connection nobody
 * waits for. */
#include "synack_impl.h"
#include <errno.h>

uint32_t synack_mark(const struct config *c, const struct listener_options *o)
{
    size_t i = 0;

    while (i < c->listeners.count && o != &c->listeners.item[i])
        i++;
    if (i == c->listeners.count || !o->exact || !o->transparent)
        return 0;
    return c->exact.mark | (uint32_t)i;
}

const struct listener_options *synack_embryo_listener(const struct config *c, uint32_t mark)
{
    uint32_t i = mark & SYNACK_MARK_INDEX;

    if ((mark & ~(uint32_t)SYNACK_MARK_INDEX) != c->exact.mark || i >= c->listeners.count)
        return NULL;
    const struct listener_options *o = &c->listeners.item[i];
    return o->exact && o->transparent ? o : NULL;
}

enum synack_verdict synack_embryo_judge(const struct synack_port *p,
                                        const struct listener_options *o,
                                        const struct synack_key *key, uint64_t cookie,
                                        const struct synack_held *held)
{
    const struct synack_embryos *e = &p->embryos;

    if (e->start == NULL || !e->wanted(e->arg, o, key))
        return SYNACK_PASS;
    enum synack_verdict v = synack_table_orphan(p->synack->table, key, held, synack_now_ms());
    if (v == SYNACK_HOLD)
        e->start(e->arg, o, key, cookie);
    return v;
}

bool synack_full(const struct synack_port *p)
{
    return p->synack != NULL &&
           synack_table_count(p->synack->table) >= p->config->exact.held_max;
}

bool synack_embryo_silent(const struct synack_hold *h, struct failure f)
{
    return h->embryo && f.why == OUTCOME_CONNECT_TIMEOUT;
}

bool synack_conceive(struct synack_port *p, struct synack_hold *h, const struct synack_key *key,
                     uint64_t cookie, void *session)
{
    struct addr local = key->local, peer = key->peer;

    synack_claim(p, h, &local, &peer);
    if (!h->claimed)
        return false;
    h->embryo = true;
    h->cookie = cookie;
    synack_table_own(p->synack->table, &h->key,
                     (struct synack_owner){.session = session, .worker = p->index});
    return true;
}

enum synack_found synack_meet(const struct synack_port *p, struct synack_key *key,
                              struct synack_owner *owner)
{
    if (p->synack == NULL)
        return SYNACK_FOUND_NOTHING;
    key->local = addr_unmap(key->local);
    key->peer = addr_unmap(key->peer);
    key->local.scope = key->peer.scope = 0;
    return synack_table_find(p->synack->table, key, owner);
}

void synack_born(struct synack_port *p, struct synack_hold *h)
{
    h->embryo = false;
    synack_forget(p, h);
}

bool synack_waits(const struct synack_port *p, const struct synack_hold *h)
{
    struct synack_key key = h->key;
    struct synack_owner owner;

    if (p->synack == NULL || !h->claimed ||
        synack_table_find(p->synack->table, &key, &owner) != SYNACK_FOUND_OWNER)
        return false;
    int whose = synack_diag_whose(synack_queue_of(p, p->index)->diag_fd, &key, NULL);
    return whose != SYNACK_WHOSE_NOBODY; /* what cannot be told is waited for */
}

void synack_embryo_cancel(const struct synack_port *p, struct synack_hold *h)
{
    if (!h->embryo || h->cancelled)
        return;
    h->cancelled = true;
    int rc = synack_diag_cancel(synack_queue_of(p, p->index)->diag_fd, &h->key, h->cookie);
    if (rc != 0 && rc != -ENOENT)
        stats_add(p->stats, STAT_EXACT_CANCEL_ERRORS, 1);
}

void synack_embryo_forget(struct synack_port *p, struct synack_hold *h)
{
    struct synack_held held;

    synack_embryo_cancel(p, h);
    if (synack_table_bury(p->synack->table, &h->key, synack_now_ms(), &held))
        synack_drop_packet(p, held.queue, held.id);
}
