/* SPDX-License-Identifier: MIT */
#include "resolver_cache.h"
#include "base/list.h"
#include <search.h>
#include <string.h>

/* What the tree compares; the first member of an entry. */
struct key {
    const char *name;
    enum addr_family family;
};

struct cached {
    struct key key;
    struct list lru; /* of cache.lru: the most recently used last */
    uint64_t expires_ms;
    enum outcome why;
    uint8_t count, turn; /* addresses; the one that comes first next time */
    struct addr addr[];  /* the name's octets lie behind them */
};

struct resolver_cache {
    void *tree;
    struct list lru;
    size_t count, max;
};

static int compare(const void *a, const void *b)
{
    const struct key *x = a, *y = b;

    if (x->family != y->family)
        return x->family < y->family ? -1 : 1;
    return strcmp(x->name, y->name);
}

struct resolver_cache *resolver_cache_new(size_t entries)
{
    struct resolver_cache *c = calloc(1, sizeof *c);

    if (c == NULL)
        return NULL;
    list_init(&c->lru);
    c->max = entries;
    return c;
}

static void forget(struct resolver_cache *c, struct cached *e)
{
    (void)tdelete(&e->key, &c->tree, compare); /* it is in there: it was in the list */
    list_remove(&e->lru);
    free(e);
    c->count--;
}

void resolver_cache_free(struct resolver_cache *c)
{
    if (c == NULL)
        return;
    while (!list_empty(&c->lru))
        forget(c, CONTAINER_OF(c->lru.next, struct cached, lru));
    free(c);
}

static struct cached *find(const struct resolver_cache *c, const char *name,
                           enum addr_family family)
{
    struct key key = {.name = name, .family = family};
    struct key *const *node = tfind(&key, &c->tree, compare);

    return node == NULL ? NULL : CONTAINER_OF(*node, struct cached, key);
}

bool resolver_cache_find(struct resolver_cache *c, const char *name, enum addr_family family,
                         uint64_t now_ms, struct resolver_answer *out)
{
    struct cached *e = find(c, name, family);

    if (e == NULL)
        return false;
    if (now_ms >= e->expires_ms) {
        forget(c, e);
        return false;
    }
    list_remove(&e->lru);
    list_append(&c->lru, &e->lru);
    out->why = e->why;
    out->count = e->count;
    for (size_t i = 0; i < e->count; i++)
        out->addr[i] = e->addr[(e->turn + i) % e->count];
    if (e->count > 0)
        e->turn = (uint8_t)((e->turn + 1u) % e->count);
    return true;
}

void resolver_cache_store(struct resolver_cache *c, const char *name, enum addr_family family,
                          const struct resolver_answer *a, uint64_t ttl_ms, uint64_t now_ms)
{
    size_t len = strlen(name) + 1, count = a->count;
    struct cached *old = find(c, name, family);

    ASSERT(count <= RESOLVER_ADDRS_MAX);
    if (old != NULL)
        forget(c, old);
    if (ttl_ms == 0 || c->max == 0)
        return;
    if (c->count >= c->max)
        forget(c, CONTAINER_OF(c->lru.next, struct cached, lru));
    struct cached *e = malloc(sizeof *e + count * sizeof e->addr[0] + len);
    if (e == NULL)
        return;
    char *copy = (char *)&e->addr[count];
    memcpy(copy, name, len);
    *e = (struct cached){
        .key = {.name = copy, .family = family},
        .expires_ms = now_ms + ttl_ms,
        .why = a->why,
        .count = (uint8_t)count,
    };
    if (count > 1)
        e->turn = 1; /* who asked first got the first one */
    memcpy(e->addr, a->addr, count * sizeof e->addr[0]);
    if (tsearch(&e->key, &c->tree, compare) == NULL) {
        free(e);
        return;
    }
    list_append(&c->lru, &e->lru);
    c->count++;
}

size_t resolver_cache_count(const struct resolver_cache *c)
{
    return c->count;
}
