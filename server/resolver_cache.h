/* SPDX-License-Identifier: MIT */
/* resolver_cache - answers by lower-case name and family until their time is over. Bounded: the least recently used goes first.
 * Owned by one resolver, its thread only. Time is the caller's. A balanced tree, so that no choice of names makes it slow. */
#ifndef SERVER_RESOLVER_CACHE_H
#define SERVER_RESOLVER_CACHE_H
#include "resolver.h"

struct resolver_cache;
/* `entries` 0: keeps nothing. NULL: out of memory. */
struct resolver_cache *resolver_cache_new(size_t entries) MUST_CHECK;
void resolver_cache_free(struct resolver_cache *c); /* NULL is fine */

/* False: not known or too old, *out untouched. Each hit begins with the next address, so that load spreads as with the server's
 * own rotation. */
bool resolver_cache_find(struct resolver_cache *c, const char *name, enum addr_family family, uint64_t now_ms,
                         struct resolver_answer *out);
/* Replaces what was known. `ttl_ms` 0 or no memory: nothing is kept. */
void resolver_cache_store(struct resolver_cache *c, const char *name, enum addr_family family, const struct resolver_answer *a,
                          uint64_t ttl_ms, uint64_t now_ms);
size_t resolver_cache_count(const struct resolver_cache *c);

#endif
