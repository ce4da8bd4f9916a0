/* SPDX-License-Identifier: MIT */
/* A worker writes its counters without a lock, one relaxed store each; a reader copies them
 * while they move. What belongs together (a session's end touches three numbers) can be caught
 * half done: stats_sum() then looks again, a bounded number of times, so that the sums of the
 * document add up. It only reads: a lasting difference stays visible. */
#include "stats.h"
#include <string.h>

enum { CACHE_LINE = 64, SUM_ATTEMPTS = 16, SUB_BITS = 2, SUBS = 1 << SUB_BITS };

static void bump(_Atomic uint64_t *v, uint64_t n)
{
    uint64_t old = atomic_load_explicit(v, memory_order_relaxed);
    atomic_store_explicit(v, old + n, memory_order_relaxed);
}

static uint64_t look(const _Atomic uint64_t *v)
{
    return atomic_load_explicit(v, memory_order_relaxed);
}

struct stats *stats_new(void)
{
    size_t size = (sizeof(struct stats) + CACHE_LINE - 1) / CACHE_LINE * CACHE_LINE;
    struct stats *s = aligned_alloc(CACHE_LINE, size);

    if (s != NULL)
        memset(s, 0, size);
    return s;
}

void stats_free(struct stats *s)
{
    free(s);
}

void stats_protocol(struct stats *s, enum protocol p, bool begin)
{
    ASSERT(p < PROTOCOL_COUNT);
    if (s == NULL)
        return;
    if (begin) {
        bump(&s->protocol_current[p], 1);
        bump(&s->protocol_total[p], 1);
    } else {
        bump(&s->protocol_current[p], (uint64_t)0 - 1);
    }
}

void stats_closed(struct stats *s, enum outcome why, uint64_t duration_us)
{
    ASSERT(why < OUTCOME_COUNT);
    if (s == NULL)
        return;
    bump(&s->closed[outcome_reason(why)], 1);
    bump(&s->outcome[why], 1);
    stats_duration(s, HISTOGRAM_SESSION, duration_us);
}

/* Four buckets per octave: the exponent and the two bits behind the leading one. 0 counts as 1.
 */
static unsigned bucket_of(uint64_t us)
{
    if (us == 0)
        us = 1;
    unsigned exponent = 63 - (unsigned)__builtin_clzll(us);
    uint64_t sub =
        exponent >= SUB_BITS ? us >> (exponent - SUB_BITS) : us << (SUB_BITS - exponent);
    uint64_t index = (uint64_t)exponent * SUBS + (sub & (SUBS - 1));

    return index < HISTOGRAM_BUCKETS ? (unsigned)index : HISTOGRAM_BUCKETS - 1;
}

/* The smallest value of bucket `i`; i == HISTOGRAM_BUCKETS gives the end of the last one. */
static uint64_t bucket_start(unsigned i)
{
    unsigned exponent = i / SUBS;
    uint64_t quarter = SUBS + i % SUBS;

    /* The first two octaves have fewer values than buckets: round up, so that an unused bucket
     * is empty. */
    return exponent >= SUB_BITS
               ? quarter << (exponent - SUB_BITS)
               : (quarter + (1U << (SUB_BITS - exponent)) - 1) >> (SUB_BITS - exponent);
}

void stats_duration(struct stats *s, enum histogram h, uint64_t us)
{
    ASSERT(h < HISTOGRAM_COUNT);
    if (s == NULL)
        return;
    struct stats_histogram *to = &s->histogram[h];

    bump(&to->bucket[bucket_of(us)], 1);
    bump(&to->sum_us, us);
    if (us > look(&to->max_us))
        atomic_store_explicit(&to->max_us, us, memory_order_relaxed);
    bump(&to->count, 1);
}

static void copy_histogram(struct histogram_snapshot *to, const struct stats_histogram *from)
{
    to->count = look(&from->count);
    to->sum_us = look(&from->sum_us);
    to->max_us = look(&from->max_us);
    for (size_t i = 0; i < HISTOGRAM_BUCKETS; i++)
        to->bucket[i] = look(&from->bucket[i]);
}

/* What a session's life touches; the other counters stand alone. */
static void copy_sessions(struct stats_snapshot *to, const struct stats *from)
{
    to->value[STAT_ACCEPTED] = look(&from->value[STAT_ACCEPTED]);
    to->value[STAT_CURRENT] = look(&from->value[STAT_CURRENT]);
    for (size_t i = 0; i < REASON_COUNT; i++)
        to->closed[i] = look(&from->closed[i]);
    for (size_t i = 0; i < OUTCOME_COUNT; i++)
        to->outcome[i] = look(&from->outcome[i]);
    for (size_t i = 0; i < PROTOCOL_COUNT; i++) {
        to->protocol_current[i] = look(&from->protocol_current[i]);
        to->protocol_total[i] = look(&from->protocol_total[i]);
    }
    copy_histogram(&to->histogram[HISTOGRAM_SESSION], &from->histogram[HISTOGRAM_SESSION]);
}

static uint64_t sum_of(const uint64_t *v, size_t n)
{
    uint64_t sum = 0;

    for (size_t i = 0; i < n; i++)
        sum += v[i];
    return sum;
}

static bool consistent(const struct stats_snapshot *s)
{
    uint64_t closed = sum_of(s->closed, REASON_COUNT);

    return closed + s->value[STAT_CURRENT] == s->value[STAT_ACCEPTED] &&
           closed == sum_of(s->outcome, OUTCOME_COUNT) &&
           closed == s->histogram[HISTOGRAM_SESSION].count &&
           closed == sum_of(s->histogram[HISTOGRAM_SESSION].bucket, HISTOGRAM_BUCKETS) &&
           sum_of(s->protocol_current, PROTOCOL_COUNT) <= s->value[STAT_CURRENT] &&
           sum_of(s->protocol_total, PROTOCOL_COUNT) <= s->value[STAT_ACCEPTED];
}

static void add_array(uint64_t *to, const uint64_t *from, size_t n)
{
    for (size_t i = 0; i < n; i++)
        to[i] += from[i];
}

static void add_snapshot(struct stats_snapshot *to, const struct stats_snapshot *from)
{
    add_array(to->value, from->value, STAT_COUNT);
    add_array(to->closed, from->closed, REASON_COUNT);
    add_array(to->outcome, from->outcome, OUTCOME_COUNT);
    add_array(to->protocol_current, from->protocol_current, PROTOCOL_COUNT);
    add_array(to->protocol_total, from->protocol_total, PROTOCOL_COUNT);
    for (size_t h = 0; h < HISTOGRAM_COUNT; h++) {
        struct histogram_snapshot *sum = &to->histogram[h];
        const struct histogram_snapshot *one = &from->histogram[h];

        sum->count += one->count;
        sum->sum_us += one->sum_us;
        if (one->max_us > sum->max_us)
            sum->max_us = one->max_us;
        add_array(sum->bucket, one->bucket, HISTOGRAM_BUCKETS);
    }
}

void stats_sum(struct stats_snapshot *to, const struct stats *from)
{
    struct stats_snapshot one;

    for (size_t i = 0; i < STAT_COUNT; i++)
        one.value[i] = look(&from->value[i]);
    for (size_t h = 0; h < HISTOGRAM_COUNT; h++)
        copy_histogram(&one.histogram[h], &from->histogram[h]);
    for (int attempt = 0; attempt < SUM_ATTEMPTS; attempt++) {
        copy_sessions(&one, from);
        if (consistent(&one))
            break;
    }
    add_snapshot(to, &one);
}

uint64_t histogram_percentile_us(const struct histogram_snapshot *h, double q)
{
    /* Not h->count: it may have been read a moment after the buckets. */
    uint64_t total = sum_of(h->bucket, HISTOGRAM_BUCKETS);

    if (total == 0)
        return 0;
    double exact = q * (double)total;
    uint64_t rank = exact >= (double)total ? total : exact <= 1.0 ? 1 : (uint64_t)exact;
    if ((double)rank < exact)
        rank++;
    if (rank >= total && q >= 1.0)
        return h->max_us;

    unsigned i = 0;
    for (uint64_t seen = h->bucket[0]; seen < rank && i < HISTOGRAM_BUCKETS - 1;
         seen += h->bucket[i])
        i++;
    uint64_t start = bucket_start(i), last = bucket_start(i + 1) - 1;
    uint64_t middle = start + (last - start) / 2;
    return middle < h->max_us ? middle : h->max_us;
}

const char *stat_path(enum stat_id which)
{
    static const char *const path[STAT_COUNT] = {
#define X(name, kind, text) [STAT_##name] = (text),
        STAT_MAP(X)
#undef X
    };

    ASSERT(which < STAT_COUNT);
    return path[which];
}
