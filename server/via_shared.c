/* SPDX-License-Identifier: MIT */
#include "via_shared.h"

static struct addr address_of(const struct target *t)
{
    struct addr a = t->addr;

    a.port = t->port;
    return a;
}

void via_forget(struct via_shared *s)
{
    via_known_flush(&s->health);
    via_path_flush(&s->path);
    via_memory_flush(&s->native);
}

bool via_bypass(const struct via_options *o, struct via_shared *s, const struct target *t,
                uint64_t now_ms, bool *learned)
{
    struct addr a = address_of(t);

    *learned = false;
    if (target_is_name(t))
        return false;
    for (size_t i = 0; i < o->native.count; i++)
        if (prefix_contains(&o->native.item[i], &a))
            return true;
    *learned = o->bypass == VIA_BYPASS_LEARNED && via_memory_has(&s->native, &a, now_ms);
    return *learned;
}

void via_bypass_learn(const struct via_options *o, struct via_shared *s, const struct target *t,
                      uint64_t now_ms)
{
    struct addr a = address_of(t);

    if (o->bypass == VIA_BYPASS_LEARNED && !target_is_name(t))
        via_memory_put(&s->native, &a, now_ms + VIA_NATIVE_MS);
}

void via_bypass_failed(struct via_shared *s, const struct target *t)
{
    struct addr a = address_of(t);

    via_memory_forget(&s->native, &a);
}
