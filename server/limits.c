/* SPDX-License-Identifier: MIT */
/* limits - who may still open a session, start a connect, be told about an error, try a
 * password.
 *
 * Sources live in a hash table that is cut into shards, each with its own mutex, so that
 * workers rarely meet. A shard owns a fixed array of nodes; a node is in use while sessions
 * hold it, and stays behind (idle, with its budgets) until its place is needed. What concerns
 * only one held source (connects, error and password budgets) is a single atomic and takes no
 * lock.
 *
 * Refusal paths: the global limit is read before the table is touched, so a flood beyond it
 * neither locks nor evicts; a full shard without idle nodes refuses the new source; every
 * refusal leaves the counters as they were.
 *
 * Idle sources with failed passwords are evicted last: a flood of spoofed SYNs with data (RFC
 * 8803 s9.3) must not be a way to make us forget who was guessing. The hash is keyed, so a peer
 * cannot aim at one bucket or one shard. */
#include "limits.h"
#include "base/list.h"
#include "keyed_hash.h"
#include <pthread.h>
#include <stdatomic.h>
#include <string.h>
#include <sys/random.h>

enum {
    SHARDS = 64,      /* power of two */
    SHARD_SPARE = 64, /* nodes beyond 1.5 times the even share; the odds of a lopsided hash
                         needing more are below 1e-9 */
    SESSIONS_MAX =
        1 << 22, /* sizes the table; more sessions are possible, more sources are not */
    NONE = 0,    /* a link to no node: links are index + 1 */
};
static const uint64_t SECOND_NS = 1000000000;
static const uint64_t MS_NS = 1000000;

struct limits_source {
    struct list idle;  /* in one of the shard's idle lists while sessions == 0 */
    uint8_t ip[16];    /* masked; IPv4 as v4-mapped */
    uint32_t next;     /* link: same bucket */
    uint32_t sessions; /* under the shard's mutex, like the fields above */
    uint16_t shard;
    atomic_uint connects;
    atomic_uint_fast64_t error_ns, auth_ns; /* see budget_take() */
};

struct shard {
    _Alignas(64) pthread_mutex_t mutex;
    struct limits_source *node; /* [node_max]; those below node_used were in use at some time */
    uint32_t *bucket;           /* [bucket_mask + 1] links */
    uint32_t node_used;
    struct list idle_clean, idle_failed; /* oldest first; the latter have had wrong passwords */
};

struct limits {
    /* One cache line: what every admission reads and writes. */
    _Alignas(64) atomic_uint sessions;
    uint32_t node_max, bucket_mask; /* of each shard */
    atomic_uint sessions_max, sessions_per_source, connects_per_source, source_prefix6;
    uint64_t key[2];
    atomic_uint errors_per_second, auth_failures_per_minute;
    struct shard shard[SHARDS];
};

/* --- counters and budgets --- */

/* One more, unless that would exceed `max`. Exact under concurrency: nobody is refused because
 * of a neighbour's attempt. */
static bool count_up(atomic_uint *count, uint32_t max)
{
    unsigned seen = atomic_load_explicit(count, memory_order_relaxed);

    do {
        if (seen >= max)
            return false;
    } while (!atomic_compare_exchange_weak_explicit(
        count, &seen, seen + 1, memory_order_acq_rel, memory_order_relaxed));
    return true;
}

static void count_down(atomic_uint *count)
{
    unsigned before = atomic_fetch_sub_explicit(count, 1, memory_order_acq_rel);

    ASSERT(before > 0);
}

/* A token bucket in one word (the "generic cell rate algorithm"): the time at which the bucket
 * will be full again. It holds `rate` tokens, one comes back every `slot`; a token may be taken
 * while the bucket would then be full within rate * slot. */
struct budget {
    uint64_t slot, window; /* ns */
};

static struct budget budget_of(uint32_t rate, uint64_t window_ns)
{
    if (rate == 0)
        return (struct budget){.slot = 1, .window = 0};
    uint64_t slot = (window_ns + rate - 1) / rate;

    return (struct budget){.slot = slot, .window = slot * rate};
}

static uint64_t budget_after(struct budget b, uint64_t full_ns, uint64_t now_ns)
{
    return (full_ns > now_ns ? full_ns : now_ns) + b.slot;
}

static bool budget_left(struct budget b, uint64_t full_ns, uint64_t now_ns)
{
    return budget_after(b, full_ns, now_ns) - now_ns <= b.window;
}

/* `forced`: take it even when nothing is left; the debt has to be waited for. */
static bool budget_take(struct budget b, atomic_uint_fast64_t *full, uint64_t now_ns,
                        bool forced)
{
    uint64_t seen = atomic_load_explicit(full, memory_order_relaxed);
    uint64_t next;

    do {
        if (!forced && !budget_left(b, seen, now_ns))
            return false;
        next = budget_after(b, seen, now_ns);
    } while (!atomic_compare_exchange_weak_explicit(full, &seen, next, memory_order_relaxed,
                                                    memory_order_relaxed));
    return true;
}

/* --- table --- */

static uint64_t hash_of(const uint64_t key[2], const uint8_t ip[16])
{
    uint64_t word[2];

    memcpy(word, ip, 16);
    return keyed_hash(key, word, ARRAY_LEN(word));
}

static void source_key(const struct limits *l, const struct addr *client, uint8_t ip[16])
{
    static const uint8_t mapped[12] = {[10] = 0xff, [11] = 0xff};
    struct addr a = addr_unmap(*client);

    if (a.family == ADDR_IPV6) {
        a = addr_mask(&a, atomic_load_explicit(&l->source_prefix6, memory_order_relaxed));
        memcpy(ip, a.ip, 16);
        return;
    }
    memcpy(ip, mapped, sizeof mapped);
    memcpy(ip + sizeof mapped, a.ip, 4);
}

static struct limits_source *find(const struct shard *sh, uint32_t link, const uint8_t ip[16])
{
    while (link != NONE) {
        struct limits_source *s = &sh->node[link - 1];

        if (memcmp(s->ip, ip, 16) == 0)
            return s;
        link = s->next;
    }
    return NULL;
}

static void unchain(struct limits *l, struct shard *sh, const struct limits_source *s)
{
    uint32_t *link = &sh->bucket[(hash_of(l->key, s->ip) / SHARDS) & l->bucket_mask];

    while (&sh->node[*link - 1] != s)
        link = &sh->node[*link - 1].next;
    *link = s->next;
}

/* A node that was never used, else the longest idle one; NULL when all are live. */
static struct limits_source *take_node(struct limits *l, struct shard *sh)
{
    struct list *idle = !list_empty(&sh->idle_clean) ? &sh->idle_clean : &sh->idle_failed;
    struct limits_source *s;

    if (sh->node_used < l->node_max) {
        s = &sh->node[sh->node_used++];
        list_init(&s->idle);
        return s;
    }
    if (list_empty(idle))
        return NULL;
    s = CONTAINER_OF(idle->next, struct limits_source, idle);
    list_remove(&s->idle);
    unchain(l, sh, s);
    return s;
}

/* The source's node, off the idle lists; NULL when there is no room. */
static struct limits_source *obtain(struct limits *l, struct shard *sh, uint64_t hash,
                                    const uint8_t ip[16])
{
    uint32_t *bucket = &sh->bucket[(hash / SHARDS) & l->bucket_mask];
    struct limits_source *s = find(sh, *bucket, ip);

    if (s != NULL) {
        list_remove(&s->idle);
        return s;
    }
    s = take_node(l, sh);
    if (s == NULL)
        return NULL;
    memcpy(s->ip, ip, 16);
    s->sessions = 0;
    s->shard = (uint16_t)(hash % SHARDS);
    atomic_store_explicit(&s->connects, 0, memory_order_relaxed);
    atomic_store_explicit(&s->error_ns, 0, memory_order_relaxed);
    atomic_store_explicit(&s->auth_ns, 0, memory_order_relaxed);
    s->next = *bucket;
    *bucket = (uint32_t)(s - sh->node) + 1;
    return s;
}

static void park_if_idle(struct shard *sh, struct limits_source *s)
{
    bool failed = atomic_load_explicit(&s->auth_ns, memory_order_relaxed) != 0;

    if (s->sessions == 0)
        list_append(failed ? &sh->idle_failed : &sh->idle_clean, &s->idle);
}

/* --- life --- */

static bool shard_init(struct shard *sh, uint32_t node_max, uint32_t bucket_count)
{
    list_init(&sh->idle_clean);
    list_init(&sh->idle_failed);
    /* Zeroed by calloc and not touched before use: a large table costs memory only as sources
     * come. */
    sh->node = calloc(node_max, sizeof *sh->node);
    sh->bucket = calloc(bucket_count, sizeof *sh->bucket);
    if (sh->node == NULL || sh->bucket == NULL || pthread_mutex_init(&sh->mutex, NULL) != 0) {
        free(sh->node);
        free(sh->bucket);
        return false;
    }
    return true;
}

static void shards_done(struct limits *l, size_t count)
{
    for (size_t i = 0; i < count; i++) {
        (void)pthread_mutex_destroy(
            &l->shard[i].mutex); /* fails only when locked: nobody is left who could */
        free(l->shard[i].node);
        free(l->shard[i].bucket);
    }
}

struct limits *limits_new(const struct limits_config *cfg)
{
    uint32_t sessions = cfg->sessions < SESSIONS_MAX ? cfg->sessions : SESSIONS_MAX;
    uint32_t share = sessions / SHARDS;
    uint32_t buckets = 64;
    struct limits *l = aligned_alloc(_Alignof(struct limits), sizeof *l);

    if (l == NULL)
        return NULL;
    memset(l, 0, sizeof *l);
    l->node_max = share + share / 2 + SHARD_SPARE;
    while (buckets < l->node_max)
        buckets *= 2;
    l->bucket_mask = buckets - 1;
    if (getrandom(l->key, sizeof l->key, 0) != (ssize_t)sizeof l->key) {
        free(l);
        return NULL;
    }
    for (size_t i = 0; i < SHARDS; i++) {
        if (!shard_init(&l->shard[i], l->node_max, buckets)) {
            shards_done(l, i);
            free(l);
            return NULL;
        }
    }
    limits_configure(l, cfg);
    return l;
}

void limits_free(struct limits *l)
{
    if (l == NULL)
        return;
    ASSERT(limits_sessions(l) == 0);
    shards_done(l, SHARDS);
    free(l);
}

void limits_configure(struct limits *l, const struct limits_config *cfg)
{
    atomic_store_explicit(&l->sessions_max, cfg->sessions, memory_order_relaxed);
    atomic_store_explicit(&l->sessions_per_source, cfg->sessions_per_source,
                          memory_order_relaxed);
    atomic_store_explicit(&l->connects_per_source, cfg->connects_per_source,
                          memory_order_relaxed);
    atomic_store_explicit(&l->errors_per_second, cfg->errors_per_second, memory_order_relaxed);
    atomic_store_explicit(&l->auth_failures_per_minute, cfg->auth_failures_per_minute,
                          memory_order_relaxed);
    atomic_store_explicit(&l->source_prefix6, cfg->source_prefix6, memory_order_relaxed);
}

/* --- sessions --- */

static void lock(struct shard *sh)
{
    ASSERT(pthread_mutex_lock(&sh->mutex) == 0);
}

static void unlock(struct shard *sh)
{
    ASSERT(pthread_mutex_unlock(&sh->mutex) == 0);
}

enum outcome limits_admit(struct limits *l, const struct addr *client,
                          struct limits_source **out)
{
    const uint32_t global_max = atomic_load_explicit(&l->sessions_max, memory_order_relaxed);
    const uint32_t source_max =
        atomic_load_explicit(&l->sessions_per_source, memory_order_relaxed);
    enum outcome why = OUTCOME_OK;
    uint8_t ip[16];

    if (limits_sessions(l) >= global_max)
        return OUTCOME_LIMIT_GLOBAL;
    source_key(l, client, ip);
    uint64_t hash = hash_of(l->key, ip);
    struct shard *sh = &l->shard[hash % SHARDS];

    lock(sh);
    struct limits_source *s = obtain(l, sh, hash, ip);
    if (s == NULL)
        why = OUTCOME_NO_RESOURCES;
    else if (s->sessions >= source_max)
        why = OUTCOME_LIMIT_SOURCE;
    else if (!count_up(&l->sessions, global_max))
        why = OUTCOME_LIMIT_GLOBAL;
    if (why == OUTCOME_OK) {
        s->sessions++;
        *out = s;
    } else if (s != NULL) {
        park_if_idle(sh, s);
    }
    unlock(sh);
    return why;
}

void limits_release(struct limits *l, struct limits_source *s)
{
    struct shard *sh = &l->shard[s->shard];

    lock(sh);
    ASSERT(s->sessions > 0);
    s->sessions--;
    ASSERT(s->sessions > 0 || atomic_load_explicit(&s->connects, memory_order_relaxed) == 0);
    park_if_idle(sh, s);
    unlock(sh);
    count_down(&l->sessions);
}

uint32_t limits_sessions(const struct limits *l)
{
    return atomic_load_explicit(&l->sessions, memory_order_relaxed);
}

/* --- one held source --- */

enum outcome limits_connect_begin(struct limits *l, struct limits_source *s)
{
    uint32_t max = atomic_load_explicit(&l->connects_per_source, memory_order_relaxed);

    return count_up(&s->connects, max) ? OUTCOME_OK : OUTCOME_LIMIT_SOURCE;
}

void limits_connect_end(struct limits *l, struct limits_source *s)
{
    (void)l;
    count_down(&s->connects);
}

bool limits_error_allowed(struct limits *l, struct limits_source *s, uint64_t now_ms)
{
    uint32_t rate = atomic_load_explicit(&l->errors_per_second, memory_order_relaxed);

    return budget_take(budget_of(rate, SECOND_NS), &s->error_ns, now_ms * MS_NS, false);
}

static struct budget auth_budget(const struct limits *l)
{
    uint32_t rate = atomic_load_explicit(&l->auth_failures_per_minute, memory_order_relaxed);

    return budget_of(rate, 60 * SECOND_NS);
}

bool limits_auth_allowed(struct limits *l, struct limits_source *s, uint64_t now_ms)
{
    uint64_t full_ns = atomic_load_explicit(&s->auth_ns, memory_order_relaxed);

    return budget_left(auth_budget(l), full_ns, now_ms * MS_NS);
}

/* Sessions that were allowed side by side may all fail; each is charged, so that the rate holds
 * on average. */
void limits_auth_failed(struct limits *l, struct limits_source *s, uint64_t now_ms)
{
    (void)budget_take(auth_budget(l), &s->auth_ns, now_ms * MS_NS, true);
}

uint32_t limits_throttled(struct limits *l, uint64_t now_ms)
{
    const struct budget b = auth_budget(l);
    uint32_t count = 0;

    for (size_t i = 0; i < SHARDS; i++) {
        struct shard *sh = &l->shard[i];

        lock(sh);
        for (uint32_t n = 0; n < sh->node_used; n++) {
            uint64_t full_ns = atomic_load_explicit(&sh->node[n].auth_ns, memory_order_relaxed);
            count += !budget_left(b, full_ns, now_ms * MS_NS);
        }
        unlock(sh);
    }
    return count;
}
