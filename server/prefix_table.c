/* SPDX-License-Identifier: MIT */
/* Sorted by family, then length (longest first), then address: entries of one family and length
 * are neighbours, a `group`, and each group is searched by halving. */
#include "prefix_table.h"
#include <stdlib.h>
#include <string.h>

struct group {
    size_t first, end; /* of entry[] */
    uint8_t family, bits;
};
struct prefix_table {
    struct prefix_entry *entry;
    size_t count;
    struct group *group;
    size_t groups;
};

static int compare_keys(const struct prefix *a, const struct prefix *b)
{
    if (a->base.family != b->base.family)
        return a->base.family < b->base.family ? -1 : 1;
    if (a->bits != b->bits)
        return a->bits > b->bits ? -1 : 1;
    return memcmp(a->base.ip, b->base.ip, sizeof a->base.ip);
}

static int compare(const void *left, const void *right)
{
    const struct prefix_entry *a = left, *b = right;
    int order = compare_keys(&a->prefix, &b->prefix);

    if (order != 0)
        return order;
    return a->value < b->value ? -1 : a->value > b->value;
}

static bool same_group(const struct prefix *a, const struct prefix *b)
{
    return a->base.family == b->base.family && a->bits == b->bits;
}

static void find_groups(struct prefix_table *t)
{
    for (size_t i = 0; i < t->count; i++) {
        const struct prefix *p = &t->entry[i].prefix;

        if (i == 0 || !same_group(p, &t->entry[i - 1].prefix))
            t->group[t->groups++] =
                (struct group){.first = i, .family = p->base.family, .bits = p->bits};
        t->group[t->groups - 1].end = i + 1;
    }
}

struct prefix_table *prefix_table_new(const struct prefix_entry *entry, size_t count)
{
    struct prefix_table *t = calloc(1, sizeof *t);

    if (t == NULL)
        return NULL;
    t->entry = calloc(count > 0 ? count : 1, sizeof *t->entry);
    t->group = calloc(count > 0 ? count : 1, sizeof *t->group);
    if (t->entry == NULL || t->group == NULL) {
        prefix_table_free(t);
        return NULL;
    }
    t->count = count;
    if (count > 0) {
        memcpy(t->entry, entry, count * sizeof *entry);
        qsort(t->entry, count, sizeof *t->entry, compare);
    }
    find_groups(t);
    return t;
}

void prefix_table_free(struct prefix_table *t)
{
    if (t == NULL)
        return;
    free(t->entry);
    free(t->group);
    free(t);
}

static uint32_t find_in(const struct prefix_table *t, const struct group *g,
                        const struct addr *a)
{
    struct prefix wanted = {.base = addr_mask(a, g->bits), .bits = g->bits};
    size_t low = g->first, high = g->end;

    while (low < high) {
        size_t middle = low + (high - low) / 2;
        int order = compare_keys(&t->entry[middle].prefix, &wanted);

        if (order == 0)
            return t->entry[middle].value;
        if (order < 0)
            low = middle + 1;
        else
            high = middle;
    }
    return PREFIX_TABLE_NONE;
}

uint32_t prefix_table_find(const struct prefix_table *t, const struct addr *a)
{
    struct addr plain = addr_unmap(*a);
    uint32_t value = PREFIX_TABLE_NONE;

    for (size_t i = 0; value == PREFIX_TABLE_NONE && i < t->groups; i++) {
        if (t->group[i].family == plain.family)
            value = find_in(t, &t->group[i], &plain);
    }
    return value;
}

uint32_t prefix_table_duplicate(const struct prefix_table *t)
{
    uint32_t found = PREFIX_TABLE_NONE;

    for (size_t i = 1; i < t->count; i++) {
        if (compare_keys(&t->entry[i - 1].prefix, &t->entry[i].prefix) == 0 &&
            t->entry[i].value < found)
            found = t->entry[i].value;
    }
    return found;
}

size_t prefix_table_count(const struct prefix_table *t)
{
    return t->count;
}
