/* SPDX-License-Identifier: MIT */
/* A table of targets, found by a hash of address and port with short linear probing. The hash
 * is keyed with a number of the file's own, so that no server chooses its place, or another's
 * name. What is known is one word that also carries a part of the key: a slot that was given to
 * another target in the middle of an update shows nothing of the former one.
 *
 *   fact: part of the key (19) | enum natives_is (2) | until (43, CLOCK_MONOTONIC ms)
 *
 * The file may outlive the clock: a time further away than any we set is over. */
#include "natives.h"
#include "mapfile.h"
#include "sys.h"
#include <stdatomic.h>
#include <string.h>
#include <sys/syscall.h>

#define NATIVES_MAGIC UINT64_C(0x4d50435641540001)

enum {
    SLOTS = 1020,
    PROBES = 8,
    UNTIL_BITS = 43,
    IS_SHIFT = UNTIL_BITS,
    PART_SHIFT = IS_SHIFT + 2,
};
#define TTL_MAX_MS                                                            \
    (UINT64_C(7) * 24 * 60 * 60 * 1000) /* learned_seconds has the same bound \
                                         */

struct slot {
    _Atomic uint64_t key, fact;
};

struct natives {
    _Atomic uint64_t magic;
    _Atomic uint64_t seed; /* 0: nobody has needed it */
    uint64_t reserved[6];
    struct slot slot[SLOTS];
};

_Static_assert(sizeof(struct natives) == NATIVES_SIZE, "whole pages");
_Static_assert(ATOMIC_LLONG_LOCK_FREE == 2, "shared between processes");

static bool needed(const struct settings *s)
{
    return s->mptcp && (s->native.count > 0 || s->bypass_learned == SETTINGS_LEARNED_AUTO);
}

/* False: too long. */
static bool path_beside(const char *cache, char path[NATIVES_PATH_MAX])
{
    static const char suffix[] = ".natives";
    size_t len = strlen(cache);

    if (len + sizeof suffix > NATIVES_PATH_MAX)
        return false;
    memcpy(path, cache, len + 1);
    memcpy(path + len, suffix, sizeof suffix);
    return true;
}

struct natives *natives_open(const struct settings *s, const char *cache, void *memory)
{
    char path[NATIVES_PATH_MAX];
    void *at = NULL;
    uint64_t none = 0;

    if (!needed(s))
        return NULL;
    if (cache == NULL || !path_beside(cache, path) ||
        mapfile_open(path, NATIVES_SIZE, MAPFILE_ANY, &at) < 0)
        return memory;
    struct natives *n = at;
    if (atomic_compare_exchange_strong(&n->magic, &none, NATIVES_MAGIC) ||
        none == NATIVES_MAGIC)
        return n;
    sys_unmap(at, NATIVES_SIZE);
    return memory;
}

static uint64_t mix(uint64_t h)
{
    h = (h ^ h >> 32) * UINT64_C(0xd6e8feb86659fd93);
    h = (h ^ h >> 32) * UINT64_C(0xd6e8feb86659fd93);
    return h ^ h >> 32;
}

static uint64_t key_of(uint64_t seed, const struct addr *target)
{
    struct addr a = addr_unmap(*target);
    uint64_t word[2];

    memcpy(word, a.ip, sizeof word);
    uint64_t h = mix(seed ^ word[0]);
    h = mix(h + word[1]);
    h = mix(h + ((uint64_t)a.family << 16 | a.port)) ^ mix(seed + h);
    return h != 0 ? h : 1;
}

/* 0: there are no random numbers, and nothing will be kept. */
static uint64_t seed_of(struct natives *n)
{
    uint64_t there = atomic_load_explicit(&n->seed, memory_order_relaxed), mine = 0;

    if (there != 0)
        return there;
    if (sys_call(SYS_getrandom, (long)&mine, sizeof mine, 0, 0, 0, 0) != sizeof mine ||
        mine == 0)
        return 0;
    return atomic_compare_exchange_strong(&n->seed, &there, mine) ? mine : there;
}

static enum natives_is unpack(uint64_t fact, uint64_t key, uint64_t now_ms)
{
    uint64_t until_ms = fact & ((UINT64_C(1) << UNTIL_BITS) - 1);
    unsigned is = (unsigned)(fact >> IS_SHIFT) & 3;

    if (fact >> PART_SHIFT != key >> PART_SHIFT || until_ms <= now_ms ||
        until_ms - now_ms > TTL_MAX_MS || is > NATIVES_YES)
        return NATIVES_UNKNOWN;
    return (enum natives_is)is;
}

enum natives_is natives_look(const struct natives *n, const struct addr *target,
                             uint64_t now_ms)
{
    uint64_t seed = n != NULL ? atomic_load_explicit(&n->seed, memory_order_relaxed) : 0;

    if (seed == 0)
        return NATIVES_UNKNOWN;
    uint64_t key = key_of(seed, target);
    for (unsigned i = 0; i < PROBES; i++) {
        const struct slot *s = &n->slot[(key + i) % SLOTS];
        if (atomic_load_explicit(&s->key, memory_order_relaxed) == key)
            return unpack(atomic_load_explicit(&s->fact, memory_order_relaxed), key, now_ms);
    }
    return NATIVES_UNKNOWN;
}

/* The target's, a free one, or the one that is over first. */
static struct slot *claim(struct natives *n, uint64_t key)
{
    struct slot *oldest = NULL;
    uint64_t oldest_until = UINT64_MAX;

    for (unsigned i = 0; i < PROBES; i++) {
        struct slot *s = &n->slot[(key + i) % SLOTS];
        uint64_t there = atomic_load_explicit(&s->key, memory_order_relaxed);
        if (there == key)
            return s;
        uint64_t until = atomic_load_explicit(&s->fact, memory_order_relaxed) &
                         ((UINT64_C(1) << UNTIL_BITS) - 1);
        if (oldest == NULL || until < oldest_until) { /* 0: never used */
            oldest = s;
            oldest_until = until;
        }
    }
    return oldest;
}

void natives_learn(struct natives *n, const struct addr *target, enum natives_is is,
                   uint64_t ttl_ms, uint64_t now_ms)
{
    uint64_t seed = n != NULL ? seed_of(n) : 0;

    if (seed == 0)
        return;
    uint64_t key = key_of(seed, target);
    struct slot *s = claim(n, key);
    uint64_t until_ms = now_ms + (ttl_ms < TTL_MAX_MS ? ttl_ms : TTL_MAX_MS);
    uint64_t fact = key >> PART_SHIFT << PART_SHIFT | (uint64_t)is << IS_SHIFT |
                    (until_ms & ((UINT64_C(1) << UNTIL_BITS) - 1));

    atomic_store_explicit(&s->key, key, memory_order_relaxed);
    atomic_store_explicit(&s->fact, fact, memory_order_relaxed);
}

enum natives_way natives_way(const struct natives *n, const struct settings *s,
                             const struct target *target, uint64_t now_ms)
{
    if (!needed(s) || target_is_name(target))
        return NATIVES_ASK;
    struct addr a = target->addr;
    a.port = target->port;
    enum natives_is is = natives_look(n, &a, now_ms);
    bool learned = s->bypass_learned == SETTINGS_LEARNED_AUTO;

    if (is == NATIVES_NO)
        return NATIVES_ASK;
    if (bypass_has(&s->native, &a) || (learned && is == NATIVES_YES))
        return NATIVES_DIRECT;
    return learned && s->dialect == PROTOCOL_CONVERT ? NATIVES_LEARN : NATIVES_ASK;
}
