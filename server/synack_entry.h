/* SPDX-License-Identifier: MIT */
/* synack_entry - the entries of synack_table, in their chains and lists. For synack_table.c
 * only. No uv.h.
 *
 * Entries lie in chained hash tables, one per shard, and in FIFO lists by what ends their wait.
 * Every list has one length of wait, so that its head is always the next one due. An entry is
 * in at most two lists: its packet's (`hold`), and its own (`wait`). */
#ifndef SERVER_SYNACK_ENTRY_H
#define SERVER_SYNACK_ENTRY_H
#include "base/list.h"
#include "synack_table.h"
#include <pthread.h>
#include <stdatomic.h>

enum {
    SYNACK_SHARDS = 64,   /* power of two */
    SYNACK_KEY_WORDS = 5, /* two addresses of 16 octets, two ports, padding */
};

enum synack_state {
    SYNACK_STATE_EXPECTED,
    SYNACK_STATE_HELD,
    SYNACK_STATE_ORPHAN,
    SYNACK_STATE_PASSED,
    SYNACK_STATE_REFUSED,
    SYNACK_STATE_STALE, /* replaced, and no longer in the hash table */
};

/* In the order in which expiry looks at them. */
enum synack_wait {
    SYNACK_WAIT_STALE,  /* hold: due at once */
    SYNACK_WAIT_TCP,    /* hold */
    SYNACK_WAIT_MPTCP,  /* hold */
    SYNACK_WAIT_ORPHAN, /* wait: for its claim */
    SYNACK_WAIT_LATE,   /* wait: passed unclaimed, or buried */
    SYNACK_WAIT_COUNT
};

struct synack_packed_key {
    uint64_t word[SYNACK_KEY_WORDS];
};

struct synack_entry {
    struct synack_entry *next; /* in its bucket */
    struct list hold, wait;
    struct synack_packed_key key;
    uint64_t held_ms, wait_ms; /* when it entered the list of that name */
    uint32_t claim;            /* 0: unclaimed */
    uint32_t ack;              /* of its SYN-ACK, when `seen` */
    enum synack_state state;
    bool seen;
    bool decided, expired, buried;
    struct synack_owner owner;
    struct synack_held held;
};

struct synack_shard {
    _Alignas(64) pthread_mutex_t mutex;
    struct synack_entry **bucket; /* [bucket_mask + 1] */
    struct list waiting[SYNACK_WAIT_COUNT];
    uint32_t claims;
    atomic_size_t queued; /* in lists: without a lock, whether there is anything to look at */
};

struct synack_table {
    _Alignas(64) atomic_size_t count;
    atomic_size_t held;
    size_t max, bucket_mask;
    uint64_t key[2];
    _Atomic uint64_t wait_ms[SYNACK_WAIT_COUNT];
    struct synack_shard shard[SYNACK_SHARDS];
};

/* Where a key belongs, with its shard locked. */
struct synack_place {
    struct synack_table *table;
    struct synack_shard *shard;
    struct synack_entry **link; /* that points to its entry, or is the end of the chain */
    struct synack_packed_key key;
};

struct synack_place synack_entry_lock(struct synack_table *t, const struct synack_key *k);
void synack_entry_unlock(const struct synack_place *p);

/* A new, empty entry at the end of the chain; NULL: the table is full, or memory is short. */
struct synack_entry *synack_entry_add(const struct synack_place *p) MUST_CHECK;
/* The one at `link`; no packet may be held by it. `link` is the next one's then. */
void synack_entry_remove_at(const struct synack_place *p);
/* Out of its chain, if only the entry is known, and the shard is locked; no packet either. */
void synack_entry_remove(struct synack_table *t, struct synack_shard *sh,
                         struct synack_entry *e);
/* The 4-tuple belongs to a new connection: the old entry goes, but for the packet it holds,
 * which is due at once. `link` is the end of the chain then. */
void synack_entry_replace(struct synack_place *p);
/* One that is in no chain. */
void synack_entry_free(struct synack_table *t, struct synack_shard *sh, struct synack_entry *e);

bool synack_entry_holds(const struct synack_entry *e); /* a packet */
void synack_entry_keep(struct synack_table *t, struct synack_shard *sh, struct synack_entry *e,
                       const struct synack_held *held, uint64_t now_ms);
void synack_entry_take(struct synack_table *t, struct synack_shard *sh, struct synack_entry *e,
                       struct synack_held *out);

/* It waits from now on for what the list is for; it must not wait for anything else. */
void synack_entry_wait(struct synack_shard *sh, struct synack_entry *e, enum synack_wait w,
                       uint64_t now_ms);
void synack_entry_wait_no_more(struct synack_shard *sh, struct synack_entry *e);

#endif
