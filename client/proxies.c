/* SPDX-License-Identifier: MIT */
/* A table of 64 concentrators, found by a hash of address and port with short linear probing.
 * Each fact is one 64-bit word that also carries a part of the key, so that a slot which was
 * given to another concentrator in the middle of an update shows nothing of the former one:
 *
 *   fact: fingerprint of the key (13) | count (8) | until (43, CLOCK_MONOTONIC milliseconds)
 *
 * A file on a real disk survives a reboot, the clock does not: a time further away than any we
 * set is over. */
#include "proxies.h"
#include "mapfile.h"
#include "sys.h"
#include <errno.h>
#include <fcntl.h>
#include <stdatomic.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/syscall.h>

#define PROXIES_MAGIC UINT64_C(0x4d50435650520001)

enum {
    SLOTS = 127,
    PROBES = 8,
    COUNT_MAX = 0xff,
    UNTIL_BITS = 43,
    COUNT_SHIFT = UNTIL_BITS,
    FINGER_SHIFT = COUNT_SHIFT + 8,
    TFO_BAD_MAX_MS = 24 * 60 * 60 * 1000,
    TFO_GOOD = COUNT_MAX, /* the count of `tfo`: so many misses in a row, or this */
    ATTEMPTS = 4,         /* an update that loses so often is dropped: it is advice */
};

struct slot {
    _Atomic uint64_t key, tfo, reach;
    _Atomic uint64_t exact; /* in slots of (concentrator, dialect), with nothing else */
};

struct proxies {
    _Atomic uint64_t magic;
    uint64_t reserved[3];
    struct slot slot[SLOTS];
};

_Static_assert(sizeof(struct proxies) == 4096, "one page");
_Static_assert(ATOMIC_LLONG_LOCK_FREE == 2, "shared between processes");

static struct proxies *map_file(const char *path)
{
    void *at = NULL;
    uint64_t none = 0;

    if (mapfile_open(path, sizeof(struct proxies), MAPFILE_ANY, &at) < 0)
        return NULL;
    struct proxies *p = at;
    if (atomic_compare_exchange_strong(&p->magic, &none, PROXIES_MAGIC) ||
        none == PROXIES_MAGIC)
        return p;
    sys_unmap(at, sizeof *p);
    return NULL;
}

struct proxies *proxies_map(const char *path)
{
    struct proxies *p = NULL;

    if (path != NULL && *path != '\0')
        p = map_file(path);
    return p != NULL ? p : mapfile_anonymous(sizeof *p);
}

/* Ours, a directory and no link to one, and nobody else can put another in its place. */
static bool own_directory(const char *path)
{
    struct stat st = {.st_mode = 0};
    long rc =
        sys_call(SYS_newfstatat, AT_FDCWD, (long)path, (long)&st, AT_SYMLINK_NOFOLLOW, 0, 0);

    return rc == 0 && S_ISDIR(st.st_mode) &&
           st.st_uid == (uid_t)sys_call(SYS_geteuid, 0, 0, 0, 0, 0, 0) &&
           (st.st_mode & (S_IWGRP | S_IWOTH)) == 0;
}

bool proxies_path(char *out, size_t cap, const char *runtime_dir)
{
    static const char sub[] = "/mpconvert", file[] = "/proxies";
    char path[512];

    if (runtime_dir == NULL || *runtime_dir != '/')
        return false; /* XDG Base Directory: a relative path is invalid */
    size_t len = strlen(runtime_dir);
    if (len + sizeof sub + sizeof file > sizeof path || !own_directory(runtime_dir))
        return false;
    memcpy(path, runtime_dir, len + 1);
    memcpy(path + len, sub, sizeof sub);
    long rc = sys_call(SYS_mkdirat, AT_FDCWD, (long)path, 0700, 0, 0, 0);
    if ((rc < 0 && rc != -EEXIST) || !own_directory(path))
        return false;
    len += sizeof sub - 1;
    if (len + sizeof file > cap)
        return false;
    memcpy(path + len, file, sizeof file);
    memcpy(out, path, len + sizeof file);
    return true;
}

const char *proxies_file(const struct settings *s, const char *runtime_dir, char *text,
                         size_t cap)
{
    if (strcmp(s->cache, "none") == 0)
        return NULL;
    if (s->cache[0] != '\0' && strcmp(s->cache, "auto") != 0)
        return s->cache;
    return proxies_path(text, cap, runtime_dir) ? text : NULL;
}

struct proxies *proxies_within(void *page)
{
    return page;
}

static uint64_t key_of(const struct addr *a)
{
    struct addr u = addr_unmap(*a);
    uint64_t h = UINT64_C(0xcbf29ce484222325) ^ u.family;

    for (size_t i = 0; i < sizeof u.ip; i++)
        h = (h ^ u.ip[i]) * UINT64_C(0x100000001b3);
    h = (h ^ u.port) * UINT64_C(0x100000001b3);
    h = (h ^ u.scope) * UINT64_C(0x9e3779b97f4a7c15);
    h ^= h >> 31;
    return h != 0 ? h : 1;
}

static const struct slot *look(const struct proxies *p, uint64_t key)
{
    for (unsigned n = 0; n < PROBES; n++) {
        const struct slot *s = &p->slot[(key + n) % SLOTS];
        if (atomic_load_explicit(&s->key, memory_order_relaxed) == key)
            return s;
    }
    return NULL;
}

/* A full neighbourhood: the home slot is taken over, and what it held is forgotten. */
static struct slot *claim(struct proxies *p, uint64_t key)
{
    for (unsigned n = 0; n < PROBES; n++) {
        struct slot *s = &p->slot[(key + n) % SLOTS];
        uint64_t there = 0;
        if (atomic_compare_exchange_strong(&s->key, &there, key) || there == key)
            return s;
    }
    struct slot *home = &p->slot[key % SLOTS];
    atomic_store_explicit(&home->key, key, memory_order_relaxed);
    return home;
}

struct fact {
    unsigned count; /* 0: nothing is known */
    uint64_t until_ms;
};

static struct fact unpack(uint64_t word, uint64_t key)
{
    if (word >> FINGER_SHIFT != key >> FINGER_SHIFT)
        return (struct fact){0, 0};
    return (struct fact){(unsigned)(word >> COUNT_SHIFT) & COUNT_MAX,
                         word & ((UINT64_C(1) << UNTIL_BITS) - 1)};
}

static uint64_t pack(struct fact f, uint64_t key)
{
    if (f.count == 0)
        return 0;
    return (key >> FINGER_SHIFT) << FINGER_SHIFT | f.count * (UINT64_C(1) << COUNT_SHIFT) |
           (f.until_ms & ((UINT64_C(1) << UNTIL_BITS) - 1));
}

static struct fact fact_get(const _Atomic uint64_t *word, uint64_t key)
{
    return unpack(atomic_load_explicit(word, memory_order_relaxed), key);
}

static uint64_t left_ms(struct fact f, uint64_t now_ms, uint64_t most_ms)
{
    if (f.count == 0 || f.until_ms <= now_ms || f.until_ms - now_ms > most_ms)
        return 0;
    return f.until_ms - now_ms;
}

static uint64_t tfo_bad_left_ms(struct fact f, uint64_t now_ms)
{
    return f.count == TFO_GOOD ? 0 : left_ms(f, now_ms, TFO_BAD_MAX_MS);
}

/* first, twice, four times .. as long, up to `most_ms` */
static uint64_t doubled_ms(uint64_t first_ms, unsigned count, uint64_t most_ms)
{
    uint64_t ms = first_ms;

    for (unsigned i = 1; i < count && ms < most_ms; i++)
        ms *= 2;
    return ms < most_ms ? ms : most_ms;
}

/* One more in a row. Connections that were on their way together are one event: while the last
 * one's time runs, nothing is added. */
static struct fact worse(struct fact f, uint64_t left, unsigned count_max, uint64_t now_ms,
                         uint64_t first_ms, uint64_t most_ms)
{
    if (left > 0)
        return f;
    if (f.count < count_max)
        f.count++;
    f.until_ms = now_ms + doubled_ms(first_ms, f.count, most_ms);
    return f;
}

static struct fact learn_reach(struct fact f, const struct proxies_report *r, uint64_t now_ms)
{
    if (r->reached)
        return (struct fact){0, 0};
    return worse(f, left_ms(f, now_ms, PROXIES_BACKOFF_MAX_MS), COUNT_MAX, now_ms,
                 PROXIES_BACKOFF_MIN_MS, PROXIES_BACKOFF_MAX_MS);
}

/* Without a SYN-ACK nothing was said about SYN data: trap T4 looks the same. */
static struct fact learn_tfo(struct fact f, const struct proxies_report *r, uint64_t now_ms)
{
    if (!r->reached || !r->tfo_asked)
        return f;
    if (r->tfo_taken && (r->mptcp || !r->mptcp_asked))
        return (struct fact){TFO_GOOD, 0};
    if (f.count == TFO_GOOD)
        f = (struct fact){0, 0};
    return worse(f, tfo_bad_left_ms(f, now_ms), TFO_GOOD - 1, now_ms, PROXIES_TFO_BAD_MS,
                 TFO_BAD_MAX_MS);
}

typedef struct fact learn_fn(struct fact f, const struct proxies_report *r, uint64_t now_ms);

static void update(_Atomic uint64_t *word, uint64_t key, learn_fn *learn,
                   const struct proxies_report *r, uint64_t now_ms)
{
    uint64_t was = atomic_load_explicit(word, memory_order_relaxed);

    for (unsigned n = 0; n < ATTEMPTS; n++) {
        uint64_t now = pack(learn(unpack(was, key), r, now_ms), key);
        if (now == was || atomic_compare_exchange_strong_explicit(
                              word, &was, now, memory_order_relaxed, memory_order_relaxed))
            return;
    }
}

void proxies_learn(struct proxies *p, const struct addr *proxy, const struct proxies_report *r,
                   uint64_t now_ms)
{
    if (p == NULL)
        return;
    uint64_t key = key_of(proxy);
    struct slot *s = claim(p, key);
    update(&s->reach, key, learn_reach, r, now_ms);
    update(&s->tfo, key, learn_tfo, r, now_ms);
}

bool proxies_look(const struct proxies *p, const struct addr *proxy, uint64_t now_ms,
                  struct proxies_known *out)
{
    uint64_t key = key_of(proxy);
    const struct slot *s = p != NULL ? look(p, key) : NULL;

    if (s == NULL)
        return false;
    struct fact tfo = fact_get(&s->tfo, key), reach = fact_get(&s->reach, key);
    struct proxies_known known = {
        .tfo_good = tfo.count == TFO_GOOD,
        .tfo_bad = tfo_bad_left_ms(tfo, now_ms) > 0,
        .tfo_bad_left_ms = tfo_bad_left_ms(tfo, now_ms),
        .backoff_left_ms = left_ms(reach, now_ms, PROXIES_BACKOFF_MAX_MS),
        .failures = reach.count,
    };
    if (!known.tfo_good && !known.tfo_bad && known.failures == 0)
        return false;
    *out = known;
    return true;
}

bool proxies_tfo(const struct proxies *p, const struct addr *proxy, enum settings_tfo policy,
                 uint64_t now_ms)
{
    struct proxies_known known;

    if (policy != SETTINGS_TFO_AUTO)
        return policy == SETTINGS_TFO_ON;
    return !proxies_look(p, proxy, now_ms, &known) || !known.tfo_bad;
}

unsigned proxies_order(const struct proxies *p, const struct settings *s, uint64_t now_ms,
                       uint8_t order[SETTINGS_PROXIES_MAX])
{
    bool resting[SETTINGS_PROXIES_MAX];
    unsigned n = 0;

    for (uint8_t i = 0; i < s->proxies; i++) {
        struct proxies_known known;
        resting[i] = proxies_look(p, &s->proxy[i], now_ms, &known) && known.backoff_left_ms > 0;
        if (!resting[i])
            order[n++] = i;
    }
    for (uint8_t i = 0; i < s->proxies; i++)
        if (resting[i])
            order[n++] = i;
    return n;
}

/* ---- exact listeners: the count is an enum proxies_exact ---- */

static uint64_t exact_key(const struct addr *proxy, enum protocol dialect)
{
    uint64_t h = (key_of(proxy) ^ ((uint64_t)dialect + 1)) * UINT64_C(0x9e3779b97f4a7c15);

    h ^= h >> 31;
    return h != 0 ? h : 1;
}

enum proxies_exact proxies_exact(const struct proxies *p, const struct addr *proxy,
                                 enum protocol dialect, uint64_t now_ms, uint64_t *left)
{
    uint64_t key = exact_key(proxy, dialect), ms = 0;
    const struct slot *s = p != NULL ? look(p, key) : NULL;
    struct fact f = {0, 0};

    if (s != NULL) {
        f = fact_get(&s->exact, key);
        ms = left_ms(f, now_ms, PROXIES_EXACT_MS);
    }
    if (left != NULL)
        *left = ms;
    return ms == 0 || f.count > PROXIES_EXACT_DOUBTFUL ? PROXIES_EXACT_UNKNOWN
                                                       : (enum proxies_exact)f.count;
}

void proxies_exact_learn(struct proxies *p, const struct addr *proxy, enum protocol dialect,
                         enum proxies_exact is, uint64_t now_ms)
{
    uint64_t key = exact_key(proxy, dialect);

    if (p == NULL)
        return;
    atomic_store_explicit(&claim(p, key)->exact,
                          pack((struct fact){(unsigned)is, now_ms + PROXIES_EXACT_MS}, key),
                          memory_order_relaxed);
}

void proxies_exact_doubt(struct proxies *p, const struct addr *proxy, enum protocol dialect,
                         bool sure)
{
    uint64_t key = exact_key(proxy, dialect);
    unsigned from = sure ? PROXIES_EXACT_DOUBTFUL : PROXIES_EXACT_YES;

    if (p == NULL || look(p, key) == NULL)
        return;
    _Atomic uint64_t *word = &claim(p, key)->exact;
    uint64_t was = atomic_load_explicit(word, memory_order_relaxed);
    struct fact f = unpack(was, key);
    if (f.count != from)
        return;
    f.count = sure ? PROXIES_EXACT_YES : PROXIES_EXACT_DOUBTFUL;
    (void)atomic_compare_exchange_strong(word, &was, pack(f, key));
}
