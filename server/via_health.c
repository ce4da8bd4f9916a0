/* SPDX-License-Identifier: MIT */
#include "via_health.h"
#include "base/check.h"
#include "keyed_hash.h"
#include <string.h>

enum { RETRY_FIRST_MS = 1000, RETRY_MOST_MS = 60000 };

/* Not secret: every machine of a site must choose alike. */
static const uint64_t key[2] = {UINT64_C(0x6d70636f6e766572), UINT64_C(0x742d766961000001)};

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

/* The state of an address; the first free one becomes its. NULL: all taken by others, who were
 * configured once. */
static struct via_state *state_of(struct via_health *h, const struct addr *concentrator)
{
    uint64_t print = hash2(concentrator, true, NULL) | 1;

    for (size_t i = 0; i < ARRAY_LEN(h->state); i++) {
        uint64_t found = atomic_load_explicit(&h->state[i].address, memory_order_relaxed);
        if (found == 0 && atomic_compare_exchange_strong(&h->state[i].address, &found, print))
            found = print;
        if (found == print)
            return &h->state[i];
    }
    return NULL;
}

bool via_health_is_down(struct via_health *h, const struct addr *concentrator, uint64_t now_ms)
{
    struct via_state *s = state_of(h, concentrator);

    return s != NULL && now_ms < atomic_load_explicit(&s->retry_ms, memory_order_relaxed);
}

/* In back-off; when that has ended, for all but the one who is told otherwise and tries. */
static bool is_avoided(struct via_health *h, const struct addr *concentrator, uint64_t now_ms)
{
    struct via_state *s = state_of(h, concentrator);

    if (s == NULL || atomic_load_explicit(&s->failures, memory_order_relaxed) == 0)
        return false;
    uint64_t retry = atomic_load_explicit(&s->retry_ms, memory_order_relaxed);
    return now_ms < retry ||
           !atomic_compare_exchange_strong(&s->retry_ms, &retry, now_ms + RETRY_FIRST_MS);
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
                          const struct addr *client, uint64_t now_ms,
                          uint8_t order[VIA_CONCENTRATORS_MAX])
{
    struct rank rank[VIA_CONCENTRATORS_MAX];
    size_t n = list->count;

    for (size_t i = 0; i < n; i++) { /* insertion sort: a handful */
        struct rank r = {.score = hash2(client, false, &list->item[i].address),
                         .priority = list->item[i].priority,
                         .index = (uint8_t)i,
                         .down = is_avoided(h, &list->item[i].address, now_ms)};
        size_t at = i;
        for (; at > 0 && before(&r, &rank[at - 1]); at--)
            rank[at] = rank[at - 1];
        rank[at] = r;
    }
    for (size_t i = 0; i < n; i++)
        order[i] = rank[i].index;
    return (unsigned)n;
}

void via_health_failed(struct via_health *h, const struct addr *concentrator, uint64_t now_ms)
{
    struct via_state *s = state_of(h, concentrator);

    if (s == NULL)
        return;
    uint32_t failures = atomic_fetch_add_explicit(&s->failures, 1, memory_order_relaxed);
    uint64_t wait = failures < 6 ? (uint64_t)RETRY_FIRST_MS << failures : RETRY_MOST_MS;
    atomic_store_explicit(&s->retry_ms, now_ms + (wait < RETRY_MOST_MS ? wait : RETRY_MOST_MS),
                          memory_order_relaxed);
}

void via_health_good(struct via_health *h, const struct addr *concentrator)
{
    struct via_state *s = state_of(h, concentrator);

    if (s == NULL || atomic_load_explicit(&s->failures, memory_order_relaxed) == 0)
        return;
    atomic_store_explicit(&s->failures, 0, memory_order_relaxed);
    atomic_store_explicit(&s->retry_ms, 0, memory_order_relaxed);
}
