/* SPDX-License-Identifier: MIT */
/* prefix_table - from prefixes to numbers; the longest prefix that contains an address decides.
 * Immutable after prefix_table_new(); any thread. No uv.h, no I/O. */
#ifndef SERVER_PREFIX_TABLE_H
#define SERVER_PREFIX_TABLE_H
#include "base/check.h"
#include "wire/addr.h"

struct prefix_entry {
    struct prefix prefix;
    uint32_t value; /* the caller's; below PREFIX_TABLE_NONE */
};

#define PREFIX_TABLE_NONE UINT32_MAX

struct prefix_table;
/* Copies. NULL: out of memory. Free with prefix_table_free(), NULL is fine. */
struct prefix_table *prefix_table_new(const struct prefix_entry *entry,
                                      size_t count) MUST_CHECK;
void prefix_table_free(struct prefix_table *t);

/* The value of the longest prefix around `a` (v4-mapped counts as IPv4), or PREFIX_TABLE_NONE.
 */
uint32_t prefix_table_find(const struct prefix_table *t, const struct addr *a);
/* Of the entries whose prefix is there already under a smaller value, the smallest value;
 * PREFIX_TABLE_NONE: all prefixes differ. */
uint32_t prefix_table_duplicate(const struct prefix_table *t);
size_t prefix_table_count(const struct prefix_table *t);

#endif
