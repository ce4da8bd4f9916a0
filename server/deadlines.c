/* SPDX-License-Identifier: MIT */
#include "deadlines.h"
#include "base/check.h"

void deadlines_init(struct deadlines *all, uint64_t now_ms)
{
    all->tick = now_ms / DEADLINES_TICK_MS;
    for (size_t i = 0; i < DEADLINES_SLOTS; i++)
        list_init(&all->slot[i]);
}

void deadline_init(struct deadline *d)
{
    *d = (struct deadline){.at_ms = 0};
    list_init(&d->link);
}

/* Rounds up, and brings what is further away than the wheel reaches to its last slot: it is put
 * off again from there. */
static void insert(struct deadlines *all, struct deadline *d)
{
    uint64_t tick = d->at_ms / DEADLINES_TICK_MS + 1;

    if (tick < all->tick)
        tick = all->tick;
    if (tick - all->tick >= DEADLINES_SLOTS)
        tick = all->tick + DEADLINES_SLOTS - 1;
    d->look_ms = tick * DEADLINES_TICK_MS;
    list_append(&all->slot[tick % DEADLINES_SLOTS], &d->link);
}

void deadline_set(struct deadlines *all, struct deadline *d, uint64_t at_ms)
{
    d->at_ms = at_ms;
    if (!list_empty(&d->link)) {
        if (d->look_ms <= at_ms)
            return;
        list_remove(&d->link);
    }
    insert(all, d);
}

void deadline_cancel(struct deadline *d)
{
    list_remove(&d->link);
}

void deadlines_expire(struct deadlines *all, uint64_t now_ms, deadlines_expired_fn *expired)
{
    struct list due;

    list_init(&due);
    while (all->tick <= now_ms / DEADLINES_TICK_MS) {
        list_splice(&due, &all->slot[all->tick % DEADLINES_SLOTS]);
        all->tick++;
    }
    while (!list_empty(&due)) {
        struct deadline *d = CONTAINER_OF(due.next, struct deadline, link);
        list_remove(&d->link);
        if (d->at_ms > now_ms)
            insert(all, d);
        else
            expired(d);
    }
}
