/* SPDX-License-Identifier: MIT */
/* The table of truths: buckets of eight slots by cookie; a slot is a head and eight words.
 *
 * head:  version (32) | fingerprint of the cookie (15) | error (12) | unreported | state (2) |
 * status (2) word:  version (32) | 32 bits of cookie, address, scope, port and families
 *
 * A set takes a fresh version from one counter, claims a slot (free, else the oldest), writes
 * its words, publishes the head, and frees the entries the cookie had before: a reader finds
 * the old truth or the new one, never nothing. A reader takes a slot for true when all eight
 * words carry the version of the head, and that makes a mix of two writes impossible whoever is
 * interrupted, wherever, for how long:
 *  - versions in a slot only rise: a claim replaces a head of an older version only;
 *  - a word is written by compare-and-swap, never over a newer version. So a writer whose slot
 *    was taken from it while it slept cannot spoil what is there now; its publishing fails.
 * There is no lock, hence nothing a dead writer could hold: its claimed slot grows old and
 * makes way. Versions wrap after 2^32 writes; to be fooled, a writer would have to sleep for
 * exactly so many between two instructions.
 *
 * Not found is a claim about all slots at one time, while an entry may move from one that was
 * not looked at yet to one that was: it is believed when two looks at the heads agree. */
#include "shared.h"
#include "shared_layout.h"
#include <string.h>

enum { STATUS_FREE, STATUS_CLAIMED, STATUS_VALID };

enum {
    STATE_SHIFT = 2,
    UNREPORTED_SHIFT = 4,
    ERROR_SHIFT = 5,
    FINGER_SHIFT = 17,
    VERSION_SHIFT = 32,
    ERROR_MAX = 0xfff,
    /* A placeholder's truth is needed by somebody who waits: it ages so many times slower. */
    PENDING_AGES_SHIFT = 6,
};

static uint32_t version_of(uint64_t head_or_word)
{
    return (uint32_t)(head_or_word >> VERSION_SHIFT);
}

static unsigned status_of(uint64_t head)
{
    return (unsigned)(head & 3);
}

static enum truth_state state_of(uint64_t head)
{
    return (enum truth_state)((head >> STATE_SHIFT) & 3);
}

static bool newer(uint32_t a, uint32_t b)
{
    return (int32_t)(a - b) > 0;
}

static uint64_t mix(uint64_t x)
{
    x ^= x >> 32;
    x *= UINT64_C(0x9e3779b97f4a7c15);
    return x ^ (x >> 29);
}

static struct truth_bucket *bucket_of(struct shared *s, uint64_t cookie)
{
    return &s->truth[mix(cookie) % TRUTH_BUCKETS];
}

/* status, state, unreported, error, fingerprint; no version */
static uint64_t head_of(uint64_t cookie, const struct truth *t)
{
    uint64_t error = t->error < 0 || t->error > ERROR_MAX ? ERROR_MAX : (uint64_t)t->error;

    return STATUS_VALID | (uint64_t)t->state << STATE_SHIFT |
           (uint64_t)t->unreported << UNREPORTED_SHIFT | error << ERROR_SHIFT |
           (mix(cookie) >> 49) << FINGER_SHIFT;
}

static bool finger_matches(uint64_t head, uint64_t cookie)
{
    return ((head >> FINGER_SHIFT) & 0x7fff) == mix(cookie) >> 49;
}

static void pack(uint64_t cookie, const struct truth *t, uint32_t out[TRUTH_WORDS])
{
    out[0] = (uint32_t)cookie;
    out[1] = (uint32_t)(cookie >> 32);
    memcpy(&out[2], t->peer.ip, 16);
    out[6] = t->peer.scope;
    out[7] = (uint32_t)t->peer.port << 16 | (uint32_t)t->peer.family << 8 | t->family;
}

static void unpack(uint64_t head, const uint32_t in[TRUTH_WORDS], struct truth *out)
{
    *out = (struct truth){
        .state = state_of(head),
        .peer = {.family = (uint8_t)(in[7] >> 8),
                 .port = (uint16_t)(in[7] >> 16),
                 .scope = in[6]},
        .family = (uint8_t)in[7],
        .unreported = ((head >> UNREPORTED_SHIFT) & 1) != 0,
        .error = (int)((head >> ERROR_SHIFT) & ERROR_MAX),
    };
    memcpy(out->peer.ip, &in[2], 16);
}

/* Is the slot, whose head was read as `head`, an entry of this cookie? A word of another
 * version means that the head has changed meanwhile. */
static bool read_slot(const struct truth_bucket *b, unsigned i, uint64_t head, uint64_t cookie,
                      uint32_t words[TRUTH_WORDS])
{
    if (status_of(head) != STATUS_VALID || !finger_matches(head, cookie))
        return false;
    for (unsigned w = 0; w < TRUTH_WORDS; w++) {
        uint64_t word = atomic_load_explicit(&b->word[i][w], memory_order_acquire);
        if (version_of(word) != version_of(head))
            return false;
        words[w] = (uint32_t)word;
    }
    return words[0] == (uint32_t)cookie && words[1] == (uint32_t)(cookie >> 32);
}

static void look(const struct truth_bucket *b, uint64_t heads[TRUTH_SLOTS])
{
    for (unsigned i = 0; i < TRUTH_SLOTS; i++)
        heads[i] = atomic_load_explicit(&b->head[i], memory_order_seq_cst);
}

/* The newest entry of the cookie: its slot, its head, its words; -1 when there is none. */
static int find(const struct truth_bucket *b, uint64_t cookie, uint64_t *head,
                uint32_t words[TRUTH_WORDS])
{
    uint64_t heads[TRUTH_SLOTS], again[TRUTH_SLOTS];

    look(b, heads);
    for (;;) {
        int found = -1;
        for (unsigned i = 0; i < TRUTH_SLOTS; i++) {
            uint32_t got[TRUTH_WORDS];
            if (!read_slot(b, i, heads[i], cookie, got))
                continue;
            if (found >= 0 && !newer(version_of(heads[i]), version_of(*head)))
                continue;
            found = (int)i;
            *head = heads[i];
            memcpy(words, got, sizeof got);
        }
        if (found >= 0)
            return found;
        look(b, again);
        if (memcmp(heads, again, sizeof heads) == 0)
            return -1;
        memcpy(heads, again, sizeof heads); /* somebody got on; look once more */
    }
}

static uint32_t next_version(struct shared *s)
{
    return atomic_fetch_add_explicit(&s->truth_version, 1, memory_order_relaxed) + 1;
}

/* The slot that can best be spared, and its head. */
static unsigned spare(const struct truth_bucket *b, uint32_t now, uint64_t *head)
{
    uint64_t heads[TRUTH_SLOTS];
    uint32_t oldest = 0;
    unsigned best = 0;

    look(b, heads);
    for (unsigned i = 0; i < TRUTH_SLOTS; i++) {
        if (status_of(heads[i]) == STATUS_FREE) {
            best = i;
            break;
        }
        uint32_t age = newer(now, version_of(heads[i])) ? now - version_of(heads[i]) : 0;
        if (status_of(heads[i]) == STATUS_VALID && state_of(heads[i]) == TRUTH_PENDING)
            age >>= PENDING_AGES_SHIFT;
        if (age > oldest) {
            oldest = age;
            best = i;
        }
    }
    *head = heads[best];
    return best;
}

/* False: the slot was taken from us. */
static bool write_words(struct truth_bucket *b, unsigned i, uint32_t version,
                        const uint32_t words[TRUTH_WORDS])
{
    for (unsigned w = 0; w < TRUTH_WORDS; w++) {
        uint64_t want = (uint64_t)version << VERSION_SHIFT | words[w];
        uint64_t was = atomic_load_explicit(&b->word[i][w], memory_order_relaxed);
        do {
            if (newer(version_of(was), version))
                return false;
        } while (!atomic_compare_exchange_weak_explicit(
            &b->word[i][w], &was, want, memory_order_release, memory_order_relaxed));
    }
    return true;
}

/* Frees the cookie's entries that are older than `version`; a head keeps its version, so that
 * no two times of a slot look alike. */
static void free_older(struct truth_bucket *b, uint64_t cookie, uint32_t version)
{
    uint32_t words[TRUTH_WORDS];

    for (unsigned i = 0; i < TRUTH_SLOTS; i++) {
        uint64_t head = atomic_load_explicit(&b->head[i], memory_order_acquire);
        while (newer(version, version_of(head)) && read_slot(b, i, head, cookie, words)) {
            uint64_t freed = (uint64_t)version_of(head) << VERSION_SHIFT | STATUS_FREE;
            if (atomic_compare_exchange_weak_explicit(
                    &b->head[i], &head, freed, memory_order_acq_rel, memory_order_acquire))
                break;
        }
    }
}

/* One attempt; false: another writer was in the way, and has got on. */
static bool try_set(struct shared *s, uint64_t cookie, const struct truth *t)
{
    struct truth_bucket *b = bucket_of(s, cookie);
    uint32_t version = next_version(s), words[TRUTH_WORDS];
    uint64_t tag = (uint64_t)version << VERSION_SHIFT, claim = tag | STATUS_CLAIMED, was;
    unsigned i = spare(b, version, &was);

    if (!newer(version, version_of(was)))
        return false; /* versions in a slot only rise */
    if (!atomic_compare_exchange_strong_explicit(&b->head[i], &was, claim, memory_order_acq_rel,
                                                 memory_order_relaxed))
        return false;
    pack(cookie, t, words);
    if (!write_words(b, i, version, words))
        return false;
    if (!atomic_compare_exchange_strong_explicit(&b->head[i], &claim, tag | head_of(cookie, t),
                                                 memory_order_seq_cst, memory_order_relaxed))
        return false;
    /* Of two at once the newer stays, whichever publishes first. */
    if (find(b, cookie, &was, words) >= 0)
        free_older(b, cookie, version_of(was));
    return true;
}

void truth_set(struct shared *s, uint64_t cookie, const struct truth *t)
{
    if (s == NULL || cookie == 0)
        return;
    while (!try_set(s, cookie, t)) {
    }
}

bool truth_get(const struct shared *s, uint64_t cookie, struct truth *out)
{
    uint32_t words[TRUTH_WORDS];
    uint64_t head;

    if (s == NULL || cookie == 0)
        return false;
    if (find(&s->truth[mix(cookie) % TRUTH_BUCKETS], cookie, &head, words) < 0)
        return false;
    unpack(head, words, out);
    return true;
}

bool truth_report(struct shared *s, uint64_t cookie, int *error)
{
    uint32_t words[TRUTH_WORDS];
    uint64_t head;

    if (s == NULL || cookie == 0)
        return false;
    struct truth_bucket *b = bucket_of(s, cookie);
    for (;;) {
        int i = find(b, cookie, &head, words);
        if (i < 0 || ((head >> UNREPORTED_SHIFT) & 1) == 0)
            return false;
        uint64_t told = head & ~(UINT64_C(1) << UNREPORTED_SHIFT);
        struct truth t;
        unpack(head, words, &t);
        if (!atomic_compare_exchange_strong_explicit(
                &b->head[i], &head, told, memory_order_acq_rel, memory_order_relaxed))
            continue;
        *error = t.state == TRUTH_FAILED ? t.error : 0;
        return true;
    }
}

void truth_forget(struct shared *s, uint64_t cookie)
{
    if (s == NULL || cookie == 0)
        return;
    free_older(bucket_of(s, cookie), cookie, next_version(s));
}
