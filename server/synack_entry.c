/* SPDX-License-Identifier: MIT */
#include "synack_entry.h"
#include "keyed_hash.h"
#include <string.h>

/* --- places --- */

static void pack(uint8_t *at, const struct addr *a)
{
    if (a->family == ADDR_IPV6) {
        memcpy(at, a->ip, 16);
        return;
    }
    at[10] = at[11] = 0xff; /* IPv4 as v4-mapped */
    memcpy(at + 12, a->ip, 4);
}

static struct synack_packed_key packed(const struct synack_key *k)
{
    struct synack_packed_key out;
    uint8_t octets[sizeof out] = {0};

    pack(octets, &k->local);
    pack(octets + 16, &k->peer);
    memcpy(octets + 32, &k->local.port, 2);
    memcpy(octets + 34, &k->peer.port, 2);
    memcpy(&out, octets, sizeof out);
    return out;
}

static uint64_t hash_of(const struct synack_table *t, const struct synack_packed_key *key)
{
    return keyed_hash(t->key, key->word, SYNACK_KEY_WORDS);
}

static struct synack_entry **chain_of(const struct synack_table *t,
                                      const struct synack_shard *sh, uint64_t hash)
{
    return &sh->bucket[(hash / SYNACK_SHARDS) & t->bucket_mask];
}

struct synack_place synack_entry_lock(struct synack_table *t, const struct synack_key *k)
{
    struct synack_place p = {.table = t, .key = packed(k)};
    uint64_t hash = hash_of(t, &p.key);

    p.shard = &t->shard[hash % SYNACK_SHARDS];
    ASSERT(pthread_mutex_lock(&p.shard->mutex) == 0);
    p.link = chain_of(t, p.shard, hash);
    while (*p.link != NULL && memcmp(&(*p.link)->key, &p.key, sizeof p.key) != 0)
        p.link = &(*p.link)->next;
    return p;
}

void synack_entry_unlock(const struct synack_place *p)
{
    ASSERT(pthread_mutex_unlock(&p->shard->mutex) == 0);
}

/* --- lists --- */

static void enter(struct synack_shard *sh, enum synack_wait w, struct list *node)
{
    ASSERT(list_empty(node));
    list_append(&sh->waiting[w], node);
    atomic_fetch_add_explicit(&sh->queued, 1, memory_order_relaxed);
}

static void leave(struct synack_shard *sh, struct list *node)
{
    if (list_empty(node))
        return;
    list_remove(node);
    atomic_fetch_sub_explicit(&sh->queued, 1, memory_order_relaxed);
}

bool synack_entry_holds(const struct synack_entry *e)
{
    return !list_empty(&e->hold);
}

void synack_entry_keep(struct synack_table *t, struct synack_shard *sh, struct synack_entry *e,
                       const struct synack_held *held, uint64_t now_ms)
{
    e->held = *held;
    e->held.stale = false;
    e->held_ms = now_ms;
    enter(sh, held->mptcp ? SYNACK_WAIT_MPTCP : SYNACK_WAIT_TCP, &e->hold);
    atomic_fetch_add_explicit(&t->held, 1, memory_order_relaxed);
}

void synack_entry_take(struct synack_table *t, struct synack_shard *sh, struct synack_entry *e,
                       struct synack_held *out)
{
    ASSERT(synack_entry_holds(e));
    leave(sh, &e->hold);
    atomic_fetch_sub_explicit(&t->held, 1, memory_order_relaxed);
    *out = e->held;
}

void synack_entry_wait(struct synack_shard *sh, struct synack_entry *e, enum synack_wait w,
                       uint64_t now_ms)
{
    e->wait_ms = now_ms;
    enter(sh, w, &e->wait);
}

void synack_entry_wait_no_more(struct synack_shard *sh, struct synack_entry *e)
{
    leave(sh, &e->wait);
}

/* --- life --- */

struct synack_entry *synack_entry_add(const struct synack_place *p)
{
    struct synack_table *t = p->table;
    size_t seen = atomic_load_explicit(&t->count, memory_order_relaxed);

    ASSERT(*p->link == NULL);
    do {
        if (seen >= t->max)
            return NULL;
    } while (!atomic_compare_exchange_weak_explicit(
        &t->count, &seen, seen + 1, memory_order_relaxed, memory_order_relaxed));
    struct synack_entry *e = calloc(1, sizeof *e);
    if (e == NULL) {
        atomic_fetch_sub_explicit(&t->count, 1, memory_order_relaxed);
        return NULL;
    }
    list_init(&e->hold);
    list_init(&e->wait);
    e->key = p->key;
    *p->link = e;
    return e;
}

void synack_entry_free(struct synack_table *t, struct synack_shard *sh, struct synack_entry *e)
{
    ASSERT(!synack_entry_holds(e));
    leave(sh, &e->wait);
    free(e);
    atomic_fetch_sub_explicit(&t->count, 1, memory_order_relaxed);
}

void synack_entry_remove_at(const struct synack_place *p)
{
    struct synack_entry *e = *p->link;

    *p->link = e->next;
    synack_entry_free(p->table, p->shard, e);
}

void synack_entry_remove(struct synack_table *t, struct synack_shard *sh,
                         struct synack_entry *e)
{
    struct synack_entry **link = chain_of(t, sh, hash_of(t, &e->key));

    while (*link != e)
        link = &(*link)->next;
    *link = e->next;
    synack_entry_free(t, sh, e);
}

void synack_entry_replace(struct synack_place *p)
{
    struct synack_entry *e = *p->link;

    if (synack_entry_holds(e)) {
        *p->link = e->next;
        e->next = NULL;
        e->state = SYNACK_STATE_STALE;
        e->held.stale = true;
        leave(p->shard, &e->wait);
        leave(p->shard, &e->hold);
        enter(p->shard, SYNACK_WAIT_STALE, &e->hold);
    } else {
        synack_entry_remove_at(p);
    }
    while (*p->link != NULL)
        p->link = &(*p->link)->next;
}
