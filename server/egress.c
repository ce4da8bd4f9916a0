/* SPDX-License-Identifier: MIT */
#include "egress.h"
#include "keyed_hash.h"
#include <math.h>
#include <stdlib.h>
#include <string.h>

enum { BITS4 = 32, BITS6 = 128 };

static unsigned full(unsigned family)
{
    return family == ADDR_IPV4 ? BITS4 : BITS6;
}

/* ---- Tables ---- */

static struct prefix_table *table_of_map(const struct egress_rows *rows, unsigned family)
{
    struct prefix_entry *entry = calloc(rows->count + 1, sizeof *entry);
    size_t count = 0;

    if (entry == NULL)
        return NULL;
    for (size_t i = 0; i < rows->count; i++) {
        if (rows->item[i].egress.base.family == family)
            entry[count++] = (struct prefix_entry){rows->item[i].client, (uint32_t)i};
    }
    struct prefix_table *t = prefix_table_new(entry, count);
    free(entry);
    return t;
}

static struct prefix_table *table_of_assigned(const struct egress_assignments *list)
{
    struct prefix_entry *entry = calloc(list->count + 1, sizeof *entry);

    if (entry == NULL)
        return NULL;
    for (size_t i = 0; i < list->count; i++)
        entry[i] = (struct prefix_entry){list->item[i].client, (uint32_t)i};
    struct prefix_table *t = prefix_table_new(entry, list->count);
    free(entry);
    return t;
}

bool egress_build(struct egress_policy *p)
{
    p->map4 = table_of_map(&p->map, ADDR_IPV4);
    p->map6 = table_of_map(&p->map, ADDR_IPV6);
    p->assignment = table_of_assigned(&p->assigned);
    return p->map4 != NULL && p->map6 != NULL && p->assignment != NULL;
}

void egress_unbuild(struct egress_policy *p)
{
    prefix_table_free(p->map4);
    prefix_table_free(p->map6);
    prefix_table_free(p->assignment);
    p->map4 = p->map6 = p->assignment = NULL;
}

/* ---- Addresses ---- */

bool egress_usable(const struct addr *a)
{
    switch (addr_class(a)) {
    case ADDR_CLASS_GLOBAL:
    case ADDR_CLASS_PRIVATE:
    case ADDR_CLASS_SHARED:
        return a->family != ADDR_NONE;
    case ADDR_CLASS_UNSPECIFIED:
    case ADDR_CLASS_LOOPBACK:
    case ADDR_CLASS_LINK_LOCAL:
    case ADDR_CLASS_METADATA:
    case ADDR_CLASS_MULTICAST:
    case ADDR_CLASS_BROADCAST:
    case ADDR_CLASS_COUNT:
        break;
    }
    return false;
}

/* The first `bits` of `network`, the rest of `host`. */
static struct addr splice(const struct addr *network, const struct addr *host, unsigned bits)
{
    struct addr a = *network;

    for (unsigned i = 0; i < full(a.family) / 8; i++) {
        unsigned ours = bits <= 8 * i ? 0 : bits - 8 * i;
        uint8_t mask = (uint8_t)(ours >= 8 ? 0xff : 0xff00u >> ours);
        a.ip[i] = (uint8_t)((network->ip[i] & mask) | (host->ip[i] & (uint8_t)~mask));
    }
    a.port = 0;
    a.scope = 0;
    return a;
}

/* An IPv6 prefix is routed here as a whole; of IPv4 the kernel knows each address then. */
static struct egress_choice own(struct addr source, unsigned bits)
{
    return (struct egress_choice){.source = source,
                                  .freebind = source.family == ADDR_IPV6 && bits < BITS6};
}

/* ---- The pool ---- */

static uint64_t word_at(const uint8_t *p)
{
    uint64_t word = 0;

    for (int i = 0; i < 8; i++)
        word = word << 8 | p[i];
    return word;
}

enum { SALT_ENTRY, SALT_HIGH, SALT_LOW };

/* The key is a constant: workers, processes and restarts agree. Nobody gains by a collision. */
static uint64_t hash(const struct addr *subscriber, const struct prefix *entry, unsigned salt)
{
    static const uint64_t key[2] = {0x6d70636f6e766572, 0x7465677265737321};
    const uint64_t word[] = {
        word_at(subscriber->ip),
        word_at(subscriber->ip + 8),
        word_at(entry->base.ip),
        word_at(entry->base.ip + 8),
        (uint64_t)subscriber->family << 24 | (uint64_t)entry->base.family << 16 |
            (uint64_t)entry->bits << 8 | salt,
    };

    return keyed_hash(key, word, ARRAY_LEN(word));
}

/* Weighted rendezvous hashing: the entry with the smallest score wins; an entry has as many
 * chances as it has addresses, and one that comes or goes moves only its own subscribers. */
static double score(const struct addr *subscriber, const struct prefix *entry)
{
    uint64_t h = hash(subscriber, entry, SALT_ENTRY) >> 11; /* as many bits as a double has */
    double even = ((double)h + 1) / 0x1p53;                 /* above 0, at most 1 */

    return -log(even) / ldexp(1, (int)(full(entry->base.family) - entry->bits));
}

static void put_word(uint8_t *p, uint64_t word)
{
    for (int i = 7; i >= 0; i--, word >>= 8)
        p[i] = (uint8_t)word;
}

static struct addr address_in(const struct prefix *entry, const struct addr *subscriber)
{
    struct addr host = {.family = entry->base.family};
    uint64_t low = hash(subscriber, entry, SALT_LOW);

    if (host.family == ADDR_IPV4) {
        put_word(host.ip, low);
        memset(host.ip + 4, 0, sizeof host.ip - 4);
    } else {
        put_word(host.ip, hash(subscriber, entry, SALT_HIGH));
        put_word(host.ip + 8, low);
    }
    return splice(&entry->base, &host, entry->bits);
}

static struct egress_choice share(const struct egress_policy *p,
                                  const struct egress_question *q)
{
    unsigned family = q->target->family;
    struct addr subscriber =
        addr_mask(q->client, q->client->family == ADDR_IPV4 ? p->subscriber_prefix4
                                                            : p->subscriber_prefix6);
    const struct prefix *best = NULL;
    double lowest = 0;

    for (size_t i = 0; i < p->pool.count; i++) {
        const struct prefix *entry = &p->pool.item[i];

        if (entry->base.family != family)
            continue;
        double s = score(&subscriber, entry);
        if (best == NULL || s < lowest) {
            best = entry;
            lowest = s;
        }
    }
    if (best == NULL)
        return (struct egress_choice){.source = {.family = ADDR_NONE}};
    return own(address_in(best, &subscriber), best->bits);
}

/* ---- The other modes ---- */

/* What becomes of a client that the mode has no address for. */
static enum outcome otherwise(const struct egress_policy *p, const struct egress_question *q,
                              struct egress_choice *out)
{
    if (p->otherwise == EGRESS_REFUSE)
        return OUTCOME_EGRESS_DENIED;
    *out = share(p, q);
    return OUTCOME_OK;
}

static enum outcome one_to_one(const struct egress_policy *p, const struct egress_question *q,
                               struct egress_choice *out)
{
    const struct prefix_table *t = q->target->family == ADDR_IPV4 ? p->map4 : p->map6;
    uint32_t at = prefix_table_find(t, q->client);

    if (at == PREFIX_TABLE_NONE)
        return otherwise(p, q, out);
    const struct prefix *to = &p->map.item[at].egress;
    *out = own(to->bits == full(to->base.family) ? to->base
                                                 : splice(&to->base, q->client, to->bits),
               to->bits);
    return OUTCOME_OK;
}

static enum outcome preserve(const struct egress_policy *p, const struct egress_question *q,
                             const struct addr *source, struct egress_choice *out)
{
    struct addr a = *source;

    if (a.family != q->target->family || !egress_usable(&a))
        return otherwise(p, q, out);
    if (addr_equal_ip(&a, q->target)) /* a connection to itself: its answers stay there */
        return OUTCOME_SOURCE_DENIED;
    if (!p->keep_port)
        a.port = 0;
    a.scope = 0;
    *out = (struct egress_choice){.source = a, .transparent = true};
    return OUTCOME_OK;
}

static bool is_assigned(const struct egress_policy *p, const struct addr *client,
                        const struct addr *told)
{
    uint32_t at = prefix_table_find(p->assignment, client);

    if (at == PREFIX_TABLE_NONE) {
        struct prefix around = {.base = addr_mask(client, p->assigned_prefix6),
                                .bits = (uint8_t)p->assigned_prefix6};
        return p->assigned_prefix6 > 0 && client->family == ADDR_IPV6 &&
               prefix_contains(&around, told);
    }
    const struct conf_prefixes *list = &p->assigned.item[at].prefixes;
    for (size_t i = 0; i < list->count; i++) {
        if (prefix_contains(&list->item[i], told))
            return true;
    }
    return false;
}

/* Draft -10 s10.2: who may tell any source address may speak for anybody. */
static enum outcome preserve_address(const struct egress_policy *p,
                                     const struct egress_question *q, struct egress_choice *out)
{
    if (q->told->family == ADDR_NONE)
        return preserve(p, q, q->client, out);
    if (q->told->family != q->target->family || !egress_usable(q->told) ||
        !is_assigned(p, q->client, q->told))
        return OUTCOME_SOURCE_DENIED;
    return preserve(p, q, q->told, out);
}

enum outcome egress_choose(const struct egress_policy *p, const struct egress_question *q,
                           struct egress_choice *out)
{
    switch ((enum egress_mode)(q->target->family == ADDR_IPV4 ? p->ipv4 : p->ipv6)) {
    case EGRESS_ONE_TO_ONE:
        return one_to_one(p, q, out);
    case EGRESS_PRESERVE:
        return preserve(p, q, q->client, out);
    case EGRESS_PRESERVE_ADDRESS:
        return preserve_address(p, q, out);
    case EGRESS_SHARE:
        break;
    }
    *out = share(p, q);
    return OUTCOME_OK;
}

bool egress_is_transparent(const struct egress_policy *p)
{
    return p != NULL && (p->ipv4 >= EGRESS_PRESERVE || p->ipv6 >= EGRESS_PRESERVE);
}
