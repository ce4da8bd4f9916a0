/* SPDX-License-Identifier: MIT */
/* Happy path: a connect looks for its server's network and for the server, and after the
 * answer writes both. A network has one entry that is either ANSWERED or SLOW, a server one
 * that is PLAIN or CAPABLE; the kind goes into the hash. What has expired is no entry, and the
 * first to make way. */
#include "offer.h"
#include "keyed_hash.h"
#include <pthread.h>
#include <stdlib.h>
#include <string.h>
#include <sys/random.h>

enum { WAYS = 8 };

enum kind { KIND_NETWORK = 1, KIND_SERVER = 2 };

enum state {
    STATE_FREE, /* must be 0 */
    STATE_ANSWERED,
    STATE_DOUBTED, /* ANSWERED, but for the last one */
    STATE_SLOW,
    STATE_PLAIN,
    STATE_CAPABLE,
};

struct entry {
    uint64_t tag; /* the keyed hash of what it is about: 64 bits are as good as the thing */
    uint64_t until_ms, used_ms;
    uint8_t state;
};

struct set {
    _Alignas(64) pthread_mutex_t mutex;
    struct entry entry[WAYS];
};

struct offer_table {
    uint64_t key[2];
    size_t mask; /* of the number of sets, a power of two */
    struct set set[];
};

struct offer_table *offer_new(uint32_t entries)
{
    size_t sets = 1;

    while (sets * WAYS < entries)
        sets *= 2;
    size_t size = sizeof(struct offer_table) + sets * sizeof(struct set);
    size = (size + 63) / 64 * 64;
    struct offer_table *t = aligned_alloc(_Alignof(struct offer_table), size);
    if (t == NULL)
        return NULL;
    memset(t, 0, size);
    t->mask = sets - 1;
    if (getrandom(t->key, sizeof t->key, 0) != (ssize_t)sizeof t->key) {
        free(t);
        return NULL;
    }
    for (size_t i = 0; i < sets; i++)
        (void)pthread_mutex_init(&t->set[i].mutex, NULL); /* cannot fail for this kind */
    return t;
}

void offer_free(struct offer_table *t)
{
    if (t == NULL)
        return;
    for (size_t i = 0; i <= t->mask; i++)
        (void)pthread_mutex_destroy(&t->set[i].mutex); /* nobody holds it */
    free(t);
}

static uint64_t tag_of(const struct offer_table *t, enum kind kind, const struct addr *a)
{
    uint64_t word[3];

    memcpy(word, a->ip, sizeof a->ip);
    word[2] = (uint64_t)kind << 32 | (uint64_t)a->family << 16 | a->port;
    return keyed_hash(t->key, word, ARRAY_LEN(word));
}

static uint64_t network_tag(const struct offer_table *t, const struct offer_policy *p,
                            const struct addr *server)
{
    unsigned bits = server->family == ADDR_IPV4 ? p->slow_prefix4 : p->slow_prefix6;
    struct addr network = addr_mask(server, bits);

    return tag_of(t, KIND_NETWORK, &network);
}

static struct set *locked(struct offer_table *t, uint64_t tag)
{
    struct set *s = &t->set[tag & t->mask];

    (void)pthread_mutex_lock(&s->mutex); /* cannot fail for this kind */
    return s;
}

static void unlock(struct set *s)
{
    (void)pthread_mutex_unlock(&s->mutex); /* as above */
}

static bool holds(const struct entry *e, uint64_t now_ms)
{
    return e->state != STATE_FREE && now_ms < e->until_ms;
}

static struct entry *find(struct set *s, uint64_t tag, uint64_t now_ms)
{
    for (size_t i = 0; i < WAYS; i++) {
        struct entry *e = &s->entry[i];
        if (e->tag == tag && holds(e, now_ms))
            return e;
    }
    return NULL;
}

static bool is_less_needed(const struct entry *a, const struct entry *b, uint64_t now_ms)
{
    bool a_holds = holds(a, now_ms), b_holds = holds(b, now_ms);

    if (a_holds != b_holds)
        return b_holds;
    if ((a->state == STATE_SLOW) != (b->state == STATE_SLOW))
        return b->state == STATE_SLOW;
    return a->used_ms < b->used_ms;
}

static struct entry *find_or_take(struct set *s, uint64_t tag, uint64_t now_ms)
{
    struct entry *e = find(s, tag, now_ms);

    if (e != NULL)
        return e;
    e = &s->entry[0];
    for (size_t i = 1; i < WAYS; i++) {
        if (is_less_needed(&s->entry[i], e, now_ms))
            e = &s->entry[i];
    }
    *e = (struct entry){.tag = tag};
    return e;
}

static void write_entry(struct entry *e, enum state state, uint64_t ttl_ms, uint64_t now_ms)
{
    e->state = (uint8_t)state;
    e->until_ms = now_ms + ttl_ms;
    e->used_ms = now_ms;
}

static enum state look(struct offer_table *t, uint64_t tag, uint64_t now_ms)
{
    struct set *s = locked(t, tag);
    struct entry *e = find(s, tag, now_ms);
    enum state state = STATE_FREE;

    if (e != NULL) {
        e->used_ms = now_ms;
        state = (enum state)e->state;
    }
    unlock(s);
    return state;
}

static bool is_native(const struct offer_policy *p, const struct addr *server)
{
    for (size_t i = 0; i < p->native.count; i++) {
        if (prefix_contains(&p->native.item[i], server))
            return true;
    }
    return false;
}

enum offer offer_decide(struct offer_table *t, const struct offer_policy *p,
                        const struct addr *server, bool wanted, uint64_t now_ms)
{
    if (p->mode == OFFER_MODE_ON || is_native(p, server))
        return OFFER_ALWAYS;
    if (p->mode != OFFER_MODE_AUTO)
        return wanted ? OFFER_ALWAYS : OFFER_NONE;
    enum state network = look(t, network_tag(t, p, server), now_ms);
    if (network == STATE_SLOW)
        return OFFER_SLOW;
    enum state known = look(t, tag_of(t, KIND_SERVER, server), now_ms);
    if (known == STATE_PLAIN && !wanted)
        return OFFER_PLAIN;
    return network == STATE_FREE && known == STATE_FREE ? OFFER_WATCHED : OFFER_PROVEN;
}

static void note(struct offer_table *t, uint64_t tag, enum state state, uint64_t ttl_ms,
                 uint64_t now_ms)
{
    struct set *s = locked(t, tag);

    write_entry(find_or_take(s, tag, now_ms), state, ttl_ms, now_ms);
    unlock(s);
}

void offer_answered(struct offer_table *t, const struct offer_policy *p,
                    const struct addr *server, bool mptcp, uint64_t now_ms)
{
    if (p->answer_ttl_ms == 0)
        return;
    note(t, network_tag(t, p, server), STATE_ANSWERED, p->answer_ttl_ms, now_ms);
    note(t, tag_of(t, KIND_SERVER, server), mptcp ? STATE_CAPABLE : STATE_PLAIN,
         p->answer_ttl_ms, now_ms);
}

bool offer_unanswered(struct offer_table *t, const struct offer_policy *p,
                      const struct addr *server, uint64_t now_ms)
{
    uint64_t tag = network_tag(t, p, server);
    struct set *s = locked(t, tag);
    struct entry *e = find_or_take(s, tag, now_ms);
    bool was_slow = e->state == STATE_SLOW, slow = e->state != STATE_ANSWERED;

    if (slow)
        write_entry(e, STATE_SLOW, p->slow_ttl_ms, now_ms);
    else
        e->state = STATE_DOUBTED;
    unlock(s);
    return slow && !was_slow;
}

void offer_forget(struct offer_table *t)
{
    for (size_t i = 0; t != NULL && i <= t->mask; i++) {
        struct set *s = locked(t, i);
        memset(s->entry, 0, sizeof s->entry);
        unlock(s);
    }
}

struct offer_counts offer_count(struct offer_table *t, uint64_t now_ms)
{
    struct offer_counts n = {0};

    for (size_t i = 0; t != NULL && i <= t->mask; i++) {
        struct set *s = locked(t, i);
        for (size_t k = 0; k < WAYS; k++) {
            const struct entry *e = &s->entry[k];
            if (!holds(e, now_ms))
                continue;
            n.slow += e->state == STATE_SLOW;
            n.plain += e->state == STATE_PLAIN;
            n.mptcp += e->state == STATE_CAPABLE;
        }
        unlock(s);
    }
    return n;
}
