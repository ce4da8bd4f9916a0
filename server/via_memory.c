/* SPDX-License-Identifier: MIT */
#include "via_memory.h"
#include "via_health.h"

static uint64_t get(const _Atomic uint64_t *v)
{
    return atomic_load_explicit(v, memory_order_relaxed);
}

static void put(_Atomic uint64_t *v, uint64_t to)
{
    atomic_store_explicit(v, to, memory_order_relaxed);
}

static struct via_memory_slot *set_of(struct via_memory *m, uint64_t print)
{
    return m->slot[(print >> 32) % VIA_MEMORY_SETS];
}

static struct via_memory_slot *find(struct via_memory *m, uint64_t print)
{
    struct via_memory_slot *set = set_of(m, print);

    for (size_t i = 0; i < VIA_MEMORY_WAYS; i++)
        if (get(&set[i].print) == print)
            return &set[i];
    return NULL;
}

void via_memory_put(struct via_memory *m, const struct addr *a, uint64_t until_ms)
{
    uint64_t print = via_health_print(a);
    struct via_memory_slot *to = find(m, print), *set = set_of(m, print);

    if (to == NULL) { /* a free one ends first of all */
        to = &set[0];
        for (size_t i = 1; i < VIA_MEMORY_WAYS; i++)
            if (get(&set[i].until_ms) < get(&to->until_ms))
                to = &set[i];
    }
    put(&to->until_ms, until_ms);
    put(&to->print, print);
}

bool via_memory_has(struct via_memory *m, const struct addr *a, uint64_t now_ms)
{
    const struct via_memory_slot *s = find(m, via_health_print(a));

    return s != NULL && now_ms < get(&s->until_ms);
}

void via_memory_forget(struct via_memory *m, const struct addr *a)
{
    struct via_memory_slot *s = find(m, via_health_print(a));

    if (s != NULL)
        put(&s->until_ms, 0);
}

void via_memory_flush(struct via_memory *m)
{
    for (size_t i = 0; i < VIA_MEMORY_SETS; i++)
        for (size_t k = 0; k < VIA_MEMORY_WAYS; k++)
            put(&m->slot[i][k].until_ms, 0);
}

uint32_t via_memory_count(struct via_memory *m, uint64_t now_ms)
{
    uint32_t n = 0;

    for (size_t i = 0; i < VIA_MEMORY_SETS; i++)
        for (size_t k = 0; k < VIA_MEMORY_WAYS; k++)
            n += now_ms < get(&m->slot[i][k].until_ms);
    return n;
}
