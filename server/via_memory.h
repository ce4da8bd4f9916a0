/* SPDX-License-Identifier: MIT */
/* via_memory - a bounded set of addresses with an end to each. When it is full the one that
 * would go first goes. Shared by all workers; any thread; lock-free; a lost update is forgotten
 * knowledge. No uv.h. */
#ifndef SERVER_VIA_MEMORY_H
#define SERVER_VIA_MEMORY_H
#include "wire/addr.h"
#include <stdatomic.h>

enum { VIA_MEMORY_SETS = 256, VIA_MEMORY_WAYS = 4 };

struct via_memory { /* zeroed: empty */
    struct via_memory_slot {
        _Atomic uint64_t print, until_ms;
    } slot[VIA_MEMORY_SETS][VIA_MEMORY_WAYS];
};

/* Address and port. */
void via_memory_put(struct via_memory *m, const struct addr *a, uint64_t until_ms);
bool via_memory_has(struct via_memory *m, const struct addr *a, uint64_t now_ms);
void via_memory_forget(struct via_memory *m, const struct addr *a);
void via_memory_flush(struct via_memory *m);
uint32_t via_memory_count(struct via_memory *m, uint64_t now_ms);

#endif
