/* SPDX-License-Identifier: MIT */
#include "via_health.h"
#include "base/check.h"
#include "keyed_hash.h"
#include <string.h>

/* Not secret: every machine of a site must choose alike. */
static const uint64_t key[2] = {UINT64_C(0x6d70636f6e766572), UINT64_C(0x742d766961000001)};

static uint64_t get(const _Atomic uint64_t *v)
{
    return atomic_load_explicit(v, memory_order_relaxed);
}

static void put(_Atomic uint64_t *v, uint64_t to)
{
    atomic_store_explicit(v, to, memory_order_relaxed);
}

static uint64_t hash2(const struct addr *a, bool with_port, const struct addr *b)
{
    uint64_t word[6] = {0};

    memcpy(&word[0], a->ip, sizeof a->ip);
    word[2] = (uint64_t)a->family << 16 | (with_port ? a->port : 0);
    if (b != NULL) {
        memcpy(&word[3], b->ip, sizeof b->ip);
        word[5] = (uint64_t)b->family << 16 | b->port;
    }
    return keyed_hash(key, word, ARRAY_LEN(word));
}

uint64_t via_health_print(const struct addr *a)
{
    return hash2(a, true, NULL) | 1;
}

struct via_state *via_health_state(struct via_health *h, const struct via_concentrator *c)
{
    uint64_t print = (via_health_print(&c->address) & ~UINT64_C(6)) | (uint64_t)c->dialect << 1;

    for (size_t i = 0; i < ARRAY_LEN(h->state); i++) {
        uint64_t found = atomic_load_explicit(&h->state[i].print, memory_order_relaxed);
        if (found == 0 && atomic_compare_exchange_strong(&h->state[i].print, &found, print))
            found = print;
        if (found == print)
            return &h->state[i];
    }
    return NULL;
}

bool via_health_is_down(struct via_health *h, const struct via_concentrator *c, uint64_t now_ms)
{
    struct via_state *s = via_health_state(h, c);

    return s != NULL && now_ms < get(&s->retry_ms);
}

bool via_health_seen_since(struct via_health *h, const struct via_concentrator *c,
                           uint64_t since_ms)
{
    struct via_state *s = via_health_state(h, c);

    return s != NULL && get(&s->seen_ms) != 0 && get(&s->seen_ms) >= since_ms;
}

/* In back-off; when that has ended, for all but the one who is told otherwise and tries. */
static bool is_avoided(struct via_state *s, uint64_t now_ms)
{
    uint64_t retry = s == NULL ? 0 : get(&s->retry_ms);

    if (retry == 0)
        return false;
    return now_ms < retry ||
           !atomic_compare_exchange_strong(&s->retry_ms, &retry, now_ms + VIA_HEALTH_FIRST_MS);
}

static bool is_listed(const struct via_state *s, uint64_t now_ms)
{
    return s != NULL && now_ms < get(&s->listed_until_ms);
}

struct rank {
    uint64_t score;
    uint32_t priority;
    uint8_t index;
    bool down;
};

static bool before(const struct rank *a, const struct rank *b)
{
    if (a->down != b->down)
        return b->down;
    if (a->priority != b->priority)
        return a->priority < b->priority;
    return a->score > b->score;
}

unsigned via_health_order(struct via_health *h, const struct via_list *list,
                          const struct addr *client, const struct target *target,
                          uint64_t now_ms, uint8_t order[VIA_CONCENTRATORS_MAX])
{
    struct rank rank[VIA_CONCENTRATORS_MAX];
    unsigned n = 0;

    for (size_t i = 0; i < list->count; i++) { /* insertion sort: a handful */
        const struct via_concentrator *c = &list->item[i];
        struct via_state *s = via_health_state(h, c);
        if (is_listed(s, now_ms) || (target != NULL && !via_serves(c, target)))
            continue;
        struct rank r = {.score = hash2(client, false, &c->address),
                         .priority = c->priority,
                         .index = (uint8_t)i,
                         .down = is_avoided(s, now_ms)};
        size_t at = n++;
        for (; at > 0 && before(&r, &rank[at - 1]); at--)
            rank[at] = rank[at - 1];
        rank[at] = r;
    }
    for (size_t i = 0; i < n; i++)
        order[i] = rank[i].index;
    return n;
}

void via_health_failed(struct via_health *h, const struct via_concentrator *c,
                       enum via_failure how, uint64_t since_ms, uint64_t now_ms)
{
    struct via_state *s = via_health_state(h, c);

    if (s == NULL || (how == VIA_FAILURE_SILENT && via_health_seen_since(h, c, since_ms)))
        return;
    uint64_t steady =
        how == VIA_FAILURE_SILENT ? VIA_HEALTH_STEADY_SILENT_MS : VIA_HEALTH_STEADY_MS;
    uint64_t good = get(&s->good_since_ms);
    if (good != 0 && now_ms - good >= steady)
        atomic_store_explicit(&s->failures, 0, memory_order_relaxed);
    put(&s->good_since_ms, 0);
    atomic_fetch_add_explicit(&s->failures_total, 1, memory_order_relaxed);
    uint32_t failures = atomic_fetch_add_explicit(&s->failures, 1, memory_order_relaxed);
    uint64_t wait =
        failures < 6 ? (uint64_t)VIA_HEALTH_FIRST_MS << failures : VIA_HEALTH_MOST_MS;
    put(&s->retry_ms, now_ms + (wait < VIA_HEALTH_MOST_MS ? wait : VIA_HEALTH_MOST_MS));
}

void via_health_good(struct via_health *h, const struct via_concentrator *c, uint64_t now_ms)
{
    struct via_state *s = via_health_state(h, c);

    if (s == NULL)
        return;
    if (get(&s->seen_ms) != now_ms)
        put(&s->seen_ms, now_ms);
    if (get(&s->retry_ms) == 0)
        return;
    put(&s->good_since_ms, now_ms);
    put(&s->retry_ms, 0);
}
