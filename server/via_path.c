/* SPDX-License-Identifier: MIT */
#include "via_path.h"

static struct via_path_family *family_of(struct via_path *p, unsigned family)
{
    return &p->family[family == ADDR_IPV6];
}

enum via_path_use via_path_use(struct via_path *p, const struct addr *target, uint64_t now_ms)
{
    struct via_path_family *f = family_of(p, target->family);
    uint64_t trial = atomic_load(&f->trial_until_ms);

    if (now_ms < atomic_load(&f->absent_until_ms) ||
        via_memory_has(&p->servers, target, now_ms))
        return VIA_PATH_NOT;
    if (atomic_load(&f->proven))
        return VIA_PATH_PROVEN;
    bool mine = now_ms >= trial && atomic_compare_exchange_strong(&f->trial_until_ms, &trial,
                                                                  now_ms + VIA_PATH_TRIAL_MS);
    return mine ? VIA_PATH_TRIAL : VIA_PATH_NOT;
}

void via_path_taken(struct via_path *p, const struct addr *target)
{
    struct via_path_family *f = family_of(p, target->family);

    atomic_store(&f->misses, 0);
    atomic_store(&f->proven, true);
    atomic_store(&f->trial_until_ms, 0);
}

void via_path_absent(struct via_path *p, const struct addr *target, uint32_t relearn_ms,
                     uint64_t now_ms)
{
    struct via_path_family *f = family_of(p, target->family);
    uint32_t most = atomic_load(&f->proven) ? VIA_PATH_PROVEN_MAX : VIA_PATH_UNPROVEN_MAX;

    if (!via_memory_has(&p->servers, target, now_ms) &&
        atomic_fetch_add(&f->misses, 1) + 1 >= most) {
        atomic_store(&f->absent_until_ms, now_ms + relearn_ms);
        atomic_store(&f->misses, 0);
        atomic_store(&f->proven, false);
    }
    via_memory_put(&p->servers, target, now_ms + relearn_ms);
    atomic_store(&f->trial_until_ms, 0);
}

void via_path_undecided(struct via_path *p, const struct addr *target)
{
    atomic_store(&family_of(p, target->family)->trial_until_ms, 0);
}

void via_path_flush(struct via_path *p)
{
    for (size_t i = 0; i < 2; i++) {
        atomic_store(&p->family[i].proven, false);
        atomic_store(&p->family[i].misses, 0);
        atomic_store(&p->family[i].absent_until_ms, 0);
    }
    via_memory_flush(&p->servers);
}

bool via_path_is_proven(struct via_path *p, enum addr_family family)
{
    return atomic_load(&family_of(p, family)->proven);
}
