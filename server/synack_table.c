/* SPDX-License-Identifier: MIT */
/* Happy path: claim() and packet(), or orphan() and claim(), lead to HELD; decide() takes the
 * packet out; forget() removes the entry. Whatever ends a hold takes the packet out of its
 * entry, under the shard's lock, so a packet is handed out once. Expiry looks at the heads of
 * the lists only. */
#include "synack_entry.h"
#include <string.h>
#include <sys/random.h>

enum { BUCKETS_MAX = 1 << 16 }; /* of each shard */

/* --- packets --- */

static uint32_t ack_of(const struct synack_held *held)
{
    struct synack_packet p = {.ack = 0};

    ASSERT(held->len <= SYNACK_PACKET_MAX);
    (void)synack_parse(span_of(held->packet, held->len), &p); /* FOREIGN: they are all alike */
    return p.ack;
}

/* The entry the SYN-ACK is of; NULL: it is the first of its connection. */
static struct synack_entry *entry_of(struct synack_place *p, uint32_t ack)
{
    struct synack_entry *e = *p->link;

    if (e == NULL)
        return NULL;
    if (!e->seen || e->ack == ack) {
        e->seen = true;
        e->ack = ack;
        return e;
    }
    synack_entry_replace(p);
    return NULL;
}

static enum synack_verdict known(struct synack_table *t, struct synack_shard *sh,
                                 struct synack_entry *e, const struct synack_held *held,
                                 uint64_t now_ms)
{
    switch (e->state) {
    case SYNACK_STATE_EXPECTED:
        synack_entry_keep(t, sh, e, held, now_ms);
        e->state = SYNACK_STATE_HELD;
        return SYNACK_HOLD;
    case SYNACK_STATE_PASSED:
        return SYNACK_PASS;
    case SYNACK_STATE_HELD:
    case SYNACK_STATE_ORPHAN:
    case SYNACK_STATE_REFUSED:
    case SYNACK_STATE_STALE: /* not in the hash table */
        break;
    }
    return SYNACK_DROP;
}

enum synack_verdict synack_table_packet(struct synack_table *t, const struct synack_key *k,
                                        const struct synack_held *held, uint64_t now_ms)
{
    const uint32_t ack = ack_of(held);
    struct synack_place p = synack_entry_lock(t, k);
    struct synack_entry *e = entry_of(&p, ack);
    enum synack_verdict v = SYNACK_ASK;

    if (e != NULL)
        v = known(t, p.shard, e, held, now_ms);
    else if (synack_table_count(t) >= t->max)
        v = SYNACK_PASS;
    synack_entry_unlock(&p);
    return v;
}

enum synack_verdict synack_table_orphan(struct synack_table *t, const struct synack_key *k,
                                        const struct synack_held *held, uint64_t now_ms)
{
    const uint32_t ack = ack_of(held);
    struct synack_place p = synack_entry_lock(t, k);
    struct synack_entry *e = entry_of(&p, ack);
    enum synack_verdict v = SYNACK_PASS;

    if (e != NULL) {
        v = known(t, p.shard, e, held, now_ms);
    } else if ((e = synack_entry_add(&p)) != NULL) {
        e->state = SYNACK_STATE_ORPHAN;
        e->seen = true;
        e->ack = ack;
        synack_entry_wait(p.shard, e, SYNACK_WAIT_ORPHAN, now_ms);
        synack_entry_keep(t, p.shard, e, held, now_ms);
        v = SYNACK_HOLD;
    }
    synack_entry_unlock(&p);
    return v;
}

/* --- claims --- */

static bool is_claimable(const struct synack_entry *e)
{
    return e->claim == 0 && !e->buried &&
           (e->state == SYNACK_STATE_ORPHAN || e->state == SYNACK_STATE_PASSED);
}

bool synack_table_claim(struct synack_table *t, struct synack_key *k, uint64_t now_ms)
{
    struct synack_place p = synack_entry_lock(t, k);
    struct synack_entry *e = *p.link;

    (void)now_ms; /* holds are counted from the SYN-ACK's arrival */
    if (e != NULL && !is_claimable(e)) {
        synack_entry_replace(&p);
        e = NULL;
    }
    if (e == NULL)
        e = synack_entry_add(&p);
    if (e != NULL) {
        synack_entry_wait_no_more(p.shard, e);
        if (e->state == SYNACK_STATE_ORPHAN)
            e->state = SYNACK_STATE_HELD;
        if (++p.shard->claims == 0)
            p.shard->claims = 1;
        k->claim = e->claim = p.shard->claims;
    }
    synack_entry_unlock(&p);
    return e != NULL;
}

/* The entry, if it is the caller's. */
static struct synack_entry *claimed(const struct synack_place *p, const struct synack_key *k)
{
    struct synack_entry *e = *p->link;

    if (e == NULL || e->claim == 0 || (k->claim != 0 && k->claim != e->claim))
        return NULL;
    return e;
}

enum synack_owed synack_table_decide(struct synack_table *t, const struct synack_key *k,
                                     enum synack_decision d, struct synack_held *out,
                                     bool *expired)
{
    struct synack_place p = synack_entry_lock(t, k);
    struct synack_entry *e = claimed(&p, k);
    enum synack_owed owed = SYNACK_OWED_NOTHING;
    bool late = false;

    if (e != NULL && !e->decided) {
        e->decided = true;
        late = e->expired;
        if (!late)
            e->state = d == SYNACK_DECIDE_PASS ? SYNACK_STATE_PASSED : SYNACK_STATE_REFUSED;
        if (synack_entry_holds(e)) {
            synack_entry_take(t, p.shard, e, out);
            owed = SYNACK_OWED_VERDICT;
        }
    }
    synack_entry_unlock(&p);
    if (expired != NULL)
        *expired = late;
    return owed;
}

bool synack_table_seen(struct synack_table *t, const struct synack_key *k)
{
    struct synack_place p = synack_entry_lock(t, k);
    const struct synack_entry *e = claimed(&p, k);
    bool seen = e != NULL && e->seen;

    synack_entry_unlock(&p);
    return seen;
}

bool synack_table_forget(struct synack_table *t, const struct synack_key *k,
                         struct synack_held *out)
{
    struct synack_place p = synack_entry_lock(t, k);
    struct synack_entry *e = claimed(&p, k);
    bool undecided = e != NULL && synack_entry_holds(e);

    if (undecided)
        synack_entry_take(t, p.shard, e, out);
    if (e != NULL)
        synack_entry_remove_at(&p);
    synack_entry_unlock(&p);
    return undecided;
}

/* --- expiry --- */

static bool is_due(const struct synack_table *t, enum synack_wait w, uint64_t since_ms,
                   uint64_t now_ms)
{
    return now_ms >= since_ms && now_ms - since_ms >= t->wait_ms[w];
}

/* The first of a list, if its time is up. */
static struct synack_entry *due(const struct synack_table *t, const struct synack_shard *sh,
                                enum synack_wait w, uint64_t now_ms)
{
    const struct list *head = &sh->waiting[w];

    if (list_empty(head))
        return NULL;
    if (w <= SYNACK_WAIT_MPTCP) {
        struct synack_entry *e = CONTAINER_OF(head->next, struct synack_entry, hold);
        return is_due(t, w, e->held_ms, now_ms) ? e : NULL;
    }
    struct synack_entry *e = CONTAINER_OF(head->next, struct synack_entry, wait);
    return is_due(t, w, e->wait_ms, now_ms) ? e : NULL;
}

/* True: *out was written. */
static bool expire(struct synack_table *t, struct synack_shard *sh, struct synack_entry *e,
                   uint64_t now_ms, struct synack_held *out)
{
    if (synack_entry_holds(e)) {
        synack_entry_take(t, sh, e, out);
        if (e->state == SYNACK_STATE_STALE) {
            synack_entry_free(t, sh, e);
            return true;
        }
        e->state = SYNACK_STATE_PASSED;
        e->expired = true;
        if (e->claim == 0) {
            synack_entry_wait_no_more(sh, e);
            synack_entry_wait(sh, e, SYNACK_WAIT_LATE, now_ms);
        }
        return true;
    }
    synack_entry_remove(t, sh, e); /* a claimed one waits for nothing */
    return false;
}

static bool expire_in(struct synack_table *t, struct synack_shard *sh, uint64_t now_ms,
                      struct synack_held *out)
{
    for (enum synack_wait w = SYNACK_WAIT_STALE; w < SYNACK_WAIT_COUNT; w++) {
        struct synack_entry *e;

        while ((e = due(t, sh, w, now_ms)) != NULL) {
            if (expire(t, sh, e, now_ms, out))
                return true;
        }
    }
    return false;
}

bool synack_table_expire(struct synack_table *t, unsigned shard_from, unsigned shard_step,
                         uint64_t now_ms, struct synack_held *out)
{
    const size_t step = shard_step == 0 ? 1 : shard_step;
    bool found = false;

    for (size_t i = shard_from; i < SYNACK_SHARDS && !found; i += step) {
        struct synack_shard *sh = &t->shard[i];

        if (atomic_load_explicit(&sh->queued, memory_order_relaxed) == 0)
            continue;
        ASSERT(pthread_mutex_lock(&sh->mutex) == 0);
        found = expire_in(t, sh, now_ms, out);
        ASSERT(pthread_mutex_unlock(&sh->mutex) == 0);
    }
    return found;
}

size_t synack_table_held(const struct synack_table *t)
{
    return atomic_load_explicit(&t->held, memory_order_relaxed);
}

size_t synack_table_count(const struct synack_table *t)
{
    return atomic_load_explicit(&t->count, memory_order_relaxed);
}

/* --- life --- */

static bool shard_init(struct synack_shard *sh, size_t buckets)
{
    for (size_t w = 0; w < SYNACK_WAIT_COUNT; w++)
        list_init(&sh->waiting[w]);
    sh->bucket = (struct synack_entry **)calloc(buckets, sizeof(struct synack_entry *));
    if (sh->bucket == NULL || pthread_mutex_init(&sh->mutex, NULL) != 0) {
        free((void *)sh->bucket);
        return false;
    }
    return true;
}

static void shard_done(struct synack_shard *sh, size_t buckets)
{
    for (size_t i = 0; i < buckets; i++) {
        for (struct synack_entry *e = sh->bucket[i], *next; e != NULL; e = next) {
            next = e->next;
            free(e);
        }
    }
    const struct list *stale = &sh->waiting[SYNACK_WAIT_STALE]; /* these are in no chain */
    for (struct list *node = stale->next, *next; node != stale; node = next) {
        next = node->next;
        free(CONTAINER_OF(node, struct synack_entry, hold));
    }
    free((void *)sh->bucket);
    (void)pthread_mutex_destroy(&sh->mutex); /* fails only when locked: nobody is left */
}

void synack_table_configure(struct synack_table *t, struct synack_times times)
{
    const uint32_t ms[SYNACK_WAIT_COUNT] = {
        [SYNACK_WAIT_TCP] = times.tcp_ms,
        [SYNACK_WAIT_LATE] = times.late_ms,
        [SYNACK_WAIT_MPTCP] = times.mptcp_ms,
        [SYNACK_WAIT_ORPHAN] = times.orphan_ms,
    };

    for (size_t w = 0; w < SYNACK_WAIT_COUNT; w++)
        atomic_store_explicit(&t->wait_ms[w], ms[w], memory_order_relaxed);
}

struct synack_table *synack_table_new(size_t max, struct synack_times times)
{
    struct synack_table *t = aligned_alloc(_Alignof(struct synack_table), sizeof *t);
    size_t buckets = 1;

    if (t == NULL)
        return NULL;
    memset(t, 0, sizeof *t);
    while (buckets < BUCKETS_MAX && buckets < max / SYNACK_SHARDS)
        buckets *= 2;
    t->max = max;
    t->bucket_mask = buckets - 1;
    synack_table_configure(t, times);
    size_t ready = 0;
    if (getrandom(t->key, sizeof t->key, 0) == (ssize_t)sizeof t->key) {
        while (ready < SYNACK_SHARDS && shard_init(&t->shard[ready], buckets))
            ready++;
    }
    if (ready == SYNACK_SHARDS)
        return t;
    while (ready > 0)
        shard_done(&t->shard[--ready], buckets);
    free(t);
    return NULL;
}

void synack_table_free(struct synack_table *t)
{
    if (t == NULL)
        return;
    for (size_t i = 0; i < SYNACK_SHARDS; i++)
        shard_done(&t->shard[i], t->bucket_mask + 1);
    free(t);
}
