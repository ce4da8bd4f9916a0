/* SPDX-License-Identifier: MIT */
#include "via_known.h"
#include "base/check.h"

static uint64_t get(const _Atomic uint64_t *v)
{
    return atomic_load_explicit(v, memory_order_relaxed);
}

static void put(_Atomic uint64_t *v, uint64_t to)
{
    if (get(v) != to) /* most of the time nothing is new */
        atomic_store_explicit(v, to, memory_order_relaxed);
}

static uint32_t get32(const _Atomic uint32_t *v)
{
    return atomic_load_explicit(v, memory_order_relaxed);
}

static void put32(_Atomic uint32_t *v, uint32_t to)
{
    if (get32(v) != to)
        atomic_store_explicit(v, to, memory_order_relaxed);
}

static void forget_mute(struct via_state *s)
{
    put32(&s->mute, 0);
    put(&s->mute_last[0], 0);
    put(&s->mute_last[1], 0);
}

void via_known_answered(struct via_health *h, const struct via_concentrator *c, uint64_t now_ms)
{
    struct via_state *s = via_health_state(h, c);

    via_health_good(h, c, now_ms);
    if (s == NULL)
        return;
    if (atomic_load_explicit(&s->proven, memory_order_relaxed))
        return;
    atomic_store_explicit(&s->proven, true, memory_order_relaxed);
    put(&s->listed_until_ms, 0);
    forget_mute(s);
}

void via_known_foreign(struct via_health *h, const struct via_concentrator *c,
                       uint32_t relearn_ms, uint64_t now_ms)
{
    struct via_state *s = via_health_state(h, c);

    if (s == NULL)
        return;
    atomic_store_explicit(&s->proven, false, memory_order_relaxed);
    put32(&s->exact, VIA_KNOWN_EXACT_UNKNOWN);
    put(&s->listed_until_ms, now_ms + relearn_ms);
    forget_mute(s);
}

static uint64_t print_of(const struct target *t)
{
    struct addr a = t->addr;

    if (target_is_name(t)) { /* names are few here: any difference will do */
        a = (struct addr){.family = ADDR_IPV6};
        for (size_t i = 0; i < t->name_len; i++)
            a.ip[i % sizeof a.ip] = (uint8_t)(31 * a.ip[i % sizeof a.ip] + (uint8_t)t->name[i]);
    }
    a.port = t->port;
    return via_health_print(&a);
}

bool via_known_mute(struct via_health *h, const struct via_concentrator *c,
                    const struct target *target, uint32_t relearn_ms, uint64_t now_ms)
{
    struct via_state *s = via_health_state(h, c);
    uint64_t print = print_of(target);

    if (s == NULL || atomic_load_explicit(&s->proven, memory_order_relaxed) ||
        print == get(&s->mute_last[0]) || print == get(&s->mute_last[1]))
        return false;
    put(&s->mute_last[1], get(&s->mute_last[0]));
    put(&s->mute_last[0], print);
    if (atomic_fetch_add_explicit(&s->mute, 1, memory_order_relaxed) + 1 < VIA_KNOWN_MUTE_MAX)
        return false;
    via_known_foreign(h, c, relearn_ms, now_ms);
    return true;
}

bool via_known_proven(struct via_health *h, const struct via_concentrator *c)
{
    struct via_state *s = via_health_state(h, c);

    return s != NULL && atomic_load_explicit(&s->proven, memory_order_relaxed);
}

void via_known_flush(struct via_health *h)
{
    for (size_t i = 0; i < ARRAY_LEN(h->state); i++) {
        struct via_state *s = &h->state[i];
        atomic_store_explicit(&s->proven, false, memory_order_relaxed);
        put(&s->listed_until_ms, 0);
        put(&s->exact_until_ms, 0);
        put(&s->probe_due_ms, 0);
        put(&s->tfo_until_ms, 0);
        put32(&s->exact, VIA_KNOWN_EXACT_UNKNOWN);
        put32(&s->tfo_lost, 0);
        put32(&s->rtt_us, 0);
        forget_mute(s);
    }
    atomic_fetch_add_explicit(&h->flushes, 1, memory_order_relaxed);
}

/* ---- exact ---- */

static bool can_be_exact(const struct via_concentrator *c)
{
    return c->exact != VIA_EXACT_OFF && c->fastopen && c->dialect != VIA_SOCKS5;
}

enum via_known_exact via_known_exact(struct via_health *h, const struct via_concentrator *c,
                                     uint64_t now_ms)
{
    struct via_state *s = via_health_state(h, c);

    if (!can_be_exact(c))
        return VIA_KNOWN_EXACT_NO;
    if (c->exact == VIA_EXACT_ON)
        return VIA_KNOWN_EXACT_YES;
    if (s == NULL || now_ms >= get(&s->exact_until_ms))
        return VIA_KNOWN_EXACT_UNKNOWN;
    return (enum via_known_exact)get32(&s->exact);
}

void via_known_exact_learn(struct via_health *h, const struct via_concentrator *c,
                           enum via_known_exact is, uint32_t relearn_ms, uint64_t now_ms)
{
    struct via_state *s = via_health_state(h, c);

    if (s == NULL)
        return;
    put32(&s->exact, is);
    put(&s->exact_until_ms, is == VIA_KNOWN_EXACT_UNKNOWN ? 0 : now_ms + relearn_ms);
}

bool via_known_probe_due(struct via_health *h, const struct via_concentrator *c,
                         uint64_t now_ms)
{
    struct via_state *s = via_health_state(h, c);

    if (s == NULL || now_ms < get(&s->listed_until_ms))
        return false;
    uint64_t retry = get(&s->retry_ms);
    if (retry != 0) /* it may be back: no client needs to find out */
        return now_ms >= retry && atomic_compare_exchange_strong(&s->retry_ms, &retry,
                                                                 now_ms + VIA_HEALTH_FIRST_MS);
    if (c->dialect == VIA_SOCKS5)
        return false;
    bool settled = atomic_load_explicit(&s->proven, memory_order_relaxed) &&
                   (!can_be_exact(c) || c->exact == VIA_EXACT_ON ||
                    now_ms + VIA_KNOWN_LATE_MS < get(&s->exact_until_ms));
    uint64_t due = get(&s->probe_due_ms);
    return !settled && now_ms >= due &&
           atomic_compare_exchange_strong(&s->probe_due_ms, &due,
                                          now_ms + VIA_KNOWN_PROBE_PAUSE_MS);
}

/* ---- Fast Open ---- */

bool via_known_tfo(struct via_health *h, const struct via_concentrator *c, uint64_t now_ms)
{
    struct via_state *s = via_health_state(h, c);

    return c->fastopen && (s == NULL || now_ms >= get(&s->tfo_until_ms));
}

void via_known_tfo_result(struct via_health *h, const struct via_concentrator *c, bool taken,
                          uint32_t backoff_ms, uint64_t now_ms)
{
    struct via_state *s = via_health_state(h, c);

    if (s == NULL)
        return;
    if (taken) {
        put32(&s->tfo_lost, 0);
        return;
    }
    if (atomic_fetch_add_explicit(&s->tfo_lost, 1, memory_order_relaxed) + 1 <
        VIA_KNOWN_TFO_LOST_MAX)
        return;
    put32(&s->tfo_lost, 0);
    put(&s->tfo_until_ms, now_ms + backoff_ms);
}

void via_known_rtt_learn(struct via_health *h, const struct via_concentrator *c,
                         uint64_t rtt_us)
{
    struct via_state *s = via_health_state(h, c);

    if (s != NULL)
        put32(&s->rtt_us, rtt_us < UINT32_MAX ? (uint32_t)rtt_us : UINT32_MAX);
}

uint32_t via_known_rtt(struct via_health *h, const struct via_concentrator *c)
{
    struct via_state *s = via_health_state(h, c);

    return s == NULL ? 0 : get32(&s->rtt_us);
}

struct via_known via_known_look(struct via_health *h, const struct via_concentrator *c,
                                uint64_t now_ms)
{
    struct via_state *s = via_health_state(h, c);
    struct via_known k = {.exact = via_known_exact(h, c, now_ms), .seen_ago_ms = UINT64_MAX};

    if (s == NULL)
        return k;
    uint64_t seen = get(&s->seen_ms);
    k.proven = atomic_load_explicit(&s->proven, memory_order_relaxed);
    k.listed = now_ms < get(&s->listed_until_ms);
    k.down = now_ms < get(&s->retry_ms);
    k.tfo_off = now_ms < get(&s->tfo_until_ms);
    k.rtt_us = get32(&s->rtt_us);
    k.failures = get(&s->failures_total);
    if (seen != 0)
        k.seen_ago_ms = now_ms > seen ? now_ms - seen : 0;
    return k;
}
