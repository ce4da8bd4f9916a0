/* SPDX-License-Identifier: MIT */
/* synack_table - which SYN-ACK is held, which may pass: the state of every exact connection
 * between its SYN and its third ACK. No I/O and no clock: who asks sends the verdicts. Any
 * thread; sharded, a lock per shard, held for a few stores. No uv.h.
 *
 * The kernel tells of one connection in three places that run on different threads and in any
 * order: the SYN-ACK (netfilter queue), the accepted socket (listener), the outcome of the dial
 * (session). Per connection:
 *
 *     state      made by                                             a SYN-ACK now
 *     EXPECTED   claim(): accepted, its SYN-ACK is still to come     is kept: HELD
 *     HELD       packet() of a claimed connection                    is dropped (sent again)
 *     ORPHAN     orphan() before claim(); claim() makes it HELD      is dropped
 *     PASSED     decide(PASS) or expire(): connection confirmed      passes (sent again)
 *     REFUSED    decide(REFUSE)                                      is dropped
 *
 * Every entry ends with forget(), or, as long as nobody claimed it, when its time is up. HELD
 * and ORPHAN entries whose time is up are PASSED by expire(): a client's kernel gives MPTCP up
 * for an hour when it sent its MP_CAPABLE SYN three times in vain (docs/exact-connect.md), and
 * a program's socket should not wait for ever. All holds are counted from the SYN-ACK's
 * arrival, whenever it was claimed. An ORPHAN that has passed is remembered for another
 * late_ms: a SYN-ACK sent again passes, and a late claim() learns in decide() that it was too
 * late.
 *
 * The SYN-ACK of a request (no socket yet: embryo.h) is claimed before its connection can be
 * accepted: own() says who waits for it, and find(), when it is accepted, tells. bury() is
 * forget() for one that was not accepted: what the entry was is remembered for late_ms.
 *
 * A SYN-ACK that acknowledges something else than the one before is of a new connection that
 * uses the same addresses and ports: the table forgets the old one, as with a second claim().
 * What is held of the old one comes out of expire(), to be dropped. */
#ifndef SERVER_SYNACK_TABLE_H
#define SERVER_SYNACK_TABLE_H
#include "base/check.h"
#include "synack_packet.h"
#include <stdint.h>

struct synack_table;

struct synack_key {
    struct addr local, peer; /* with ports; v4-mapped addresses count as IPv4, scopes as 0 */
    uint32_t claim; /* written by claim(), to tell claims of one 4-tuple apart: decide()
                       and forget() with that of an earlier one do nothing. 0:
                       whichever there is. Nobody else looks at it */
};

/* A packet the kernel keeps for us. */
struct synack_held {
    uint32_t id;    /* the kernel's, network order not applied */
    uint16_t queue; /* index of the queue it is in, from 0 */
    uint16_t len;   /* of `packet` */
    bool mptcp;
    bool stale; /* written by expire(): of a connection that is gone; drop it */
    uint8_t packet[SYNACK_PACKET_MAX];
};

struct synack_times {   /* milliseconds */
    uint32_t tcp_ms;    /* longest hold of a TCP SYN-ACK */
    uint32_t mptcp_ms;  /* of an MPTCP one */
    uint32_t orphan_ms; /* until claimed */
    uint32_t late_ms;   /* an orphan that has passed */
};

enum synack_verdict {
    SYNACK_PASS, /* let it go now */
    SYNACK_DROP,
    SYNACK_HOLD, /* the table has a copy; say nothing to the kernel yet */
    SYNACK_ASK,  /* unknown connection: is there an accepted-to-be Fast Open child for it? Then
                    synack_table_orphan(), else PASS */
};

enum synack_decision { SYNACK_DECIDE_PASS, SYNACK_DECIDE_REFUSE };

/* At most `max` entries (0: none). NULL: out of memory. The key of the hash is random. */
struct synack_table *synack_table_new(size_t max, struct synack_times times) MUST_CHECK;
void synack_table_free(struct synack_table *t); /* entries too; what the kernel keeps is the
                                                   caller's matter. NULL is fine */

/* A SYN-ACK of a first subflow arrived. Never SYNACK_HOLD without an entry of its own. PASS,
 * not ASK, of an unknown connection when the table is full. */
enum synack_verdict synack_table_packet(struct synack_table *t, const struct synack_key *k,
                                        const struct synack_held *held,
                                        uint64_t now_ms) MUST_CHECK;
/* After SYNACK_ASK was answered with yes. HOLD; what packet() would say when somebody claimed
 * it meanwhile; PASS when the table is full or memory is short. */
enum synack_verdict synack_table_orphan(struct synack_table *t, const struct synack_key *k,
                                        const struct synack_held *held,
                                        uint64_t now_ms) MUST_CHECK;

/* The connection was accepted while its SYN-ACK is (or will be) held. True: the caller owes a
 * decide() and a forget(). False: the table is full, or memory is short. A second
 * claim of a live entry (a 4-tuple used again before forget()) starts anew and is true. */
bool synack_table_claim(struct synack_table *t, struct synack_key *k,
                        uint64_t now_ms) MUST_CHECK;

enum synack_owed {
    SYNACK_OWED_NOTHING, /* no packet is held: it is still to come (EXPECTED), or was passed
                            when its time was up */
    SYNACK_OWED_VERDICT, /* *out is to be passed, or to be replaced by its refusal, by the
                            caller */
};
/* Once per claim; later calls change nothing and owe nothing. With REFUSE and nothing held the
 * SYN-ACK to come is dropped.
 * `*expired` (may be NULL): its time was up and it was passed before. */
enum synack_owed synack_table_decide(struct synack_table *t, const struct synack_key *k,
                                     enum synack_decision d, struct synack_held *out,
                                     bool *expired) MUST_CHECK;
/* Has the claimed connection's SYN-ACK come to the table? */
bool synack_table_seen(struct synack_table *t, const struct synack_key *k) MUST_CHECK;
/* Any thread; for what comes to be held, or is still held, from now on. */
void synack_table_configure(struct synack_table *t, struct synack_times times);
/* Third ACK seen, or the session ends. An undecided, held packet is handed out to be dropped:
 * true. */
bool synack_table_forget(struct synack_table *t, const struct synack_key *k,
                         struct synack_held *out) MUST_CHECK;

/* Who waits for the connection to be accepted. */
struct synack_owner {
    void *session; /* the worker's; NULL: nobody */
    unsigned worker;
};
void synack_table_own(struct synack_table *t, const struct synack_key *k,
                      struct synack_owner owner); /* after claim() */
enum synack_found {
    SYNACK_FOUND_NOTHING, /* an ordinary connection */
    SYNACK_FOUND_OWNER,   /* *owner and k->claim are written */
    SYNACK_FOUND_GONE,    /* buried; or the connection's addresses are a newer one's already */
};
/* A connection was accepted. With a claim in the key: is it still the owner's? */
enum synack_found synack_table_find(struct synack_table *t, struct synack_key *k,
                                    struct synack_owner *owner) MUST_CHECK;
bool synack_table_bury(struct synack_table *t, const struct synack_key *k, uint64_t now_ms,
                       struct synack_held *out) MUST_CHECK;

/* One entry whose time is up: handed out to be passed (out->stale: to be dropped), PASSED from
 * now on. False: no more. Call until false. `shard_from`, `shard_step`: callers that share the
 * work each look at shards from, from + step, ...; a step of 0 counts as 1. */
bool synack_table_expire(struct synack_table *t, unsigned shard_from, unsigned shard_step,
                         uint64_t now_ms, struct synack_held *out) MUST_CHECK;

size_t synack_table_held(const struct synack_table *t);  /* packets not handed out yet */
size_t synack_table_count(const struct synack_table *t); /* entries now */

#endif
