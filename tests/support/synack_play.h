/* SPDX-License-Identifier: MIT */
/* synack_play - moves of synack_table's tests, with the check library: a broken promise fails
 * the test. */
#ifndef SUPPORT_SYNACK_PLAY_H
#define SUPPORT_SYNACK_PLAY_H
#include "synack_table.h"
#include <check.h>
#include <string.h>

enum { TCP_MS = 1000, MPTCP_MS = 250, ORPHAN_MS = 100, LATE_MS = 700, NOW = 5000 };

static const struct synack_times times = {
    .tcp_ms = TCP_MS, .mptcp_ms = MPTCP_MS, .orphan_ms = ORPHAN_MS, .late_ms = LATE_MS};

static inline struct synack_table *make(size_t max)
{
    struct synack_table *t = synack_table_new(max, times);

    ck_assert_ptr_nonnull(t);
    return t;
}

static inline struct addr at(const char *text)
{
    struct addr a;

    ck_assert_msg(addr_parse(text, &a), "%s", text);
    return a;
}

/* The n-th client's connection. */
static inline struct synack_key nth(uint32_t n)
{
    struct synack_key k = {.local = at("[2001:db8::1]:1080"),
                           .peer = at("[2001:db8:1::]:4000")};

    memcpy(k.peer.ip + 12, &n, sizeof n);
    return k;
}

/* A SYN-ACK that acknowledges `ack`; otherwise all zero. */
static inline struct synack_held packet_of(uint32_t id, bool mptcp, uint8_t ack)
{
    struct synack_held h = {.id = id, .queue = 1, .len = 40, .mptcp = mptcp};

    h.packet[0] = 0x45;
    h.packet[3] = 40;
    h.packet[9] = 6;
    h.packet[31] = ack;
    h.packet[32] = 0x50;
    h.packet[33] = 0x12;
    return h;
}

static inline struct synack_held packet(uint32_t id, bool mptcp)
{
    return packet_of(id, mptcp, 1);
}

static inline enum synack_verdict arrive_at(struct synack_table *t, struct synack_key k,
                                            struct synack_held h, uint64_t now_ms)
{
    return synack_table_packet(t, &k, &h, now_ms);
}

static inline enum synack_verdict arrive(struct synack_table *t, struct synack_key k,
                                         uint32_t id)
{
    return arrive_at(t, k, packet(id, false), NOW);
}

static inline enum synack_verdict orphan_at(struct synack_table *t, struct synack_key k,
                                            struct synack_held h, uint64_t now_ms)
{
    return synack_table_orphan(t, &k, &h, now_ms);
}

static inline enum synack_verdict orphan(struct synack_table *t, struct synack_key k,
                                         uint32_t id)
{
    return orphan_at(t, k, packet(id, false), NOW);
}

static inline struct synack_key claimed(struct synack_table *t, struct synack_key k)
{
    ck_assert(synack_table_claim(t, &k, NOW));
    ck_assert_uint_ne(k.claim, 0);
    return k;
}

/* decide() hands out packet `id`. */
static inline void owes(struct synack_table *t, struct synack_key k, enum synack_decision d,
                        uint32_t id)
{
    struct synack_held want = packet(id, false), out = {.id = 0};
    bool expired = true;

    ck_assert_int_eq(synack_table_decide(t, &k, d, &out, &expired), SYNACK_OWED_VERDICT);
    ck_assert_uint_eq(out.id, id);
    ck_assert_uint_eq(out.queue, want.queue);
    ck_assert_uint_eq(out.len, want.len);
    ck_assert_int_eq(memcmp(out.packet, want.packet, want.len), 0);
    ck_assert(!expired && !out.stale);
}

static inline void owes_nothing(struct synack_table *t, struct synack_key k,
                                enum synack_decision d, bool want_expired)
{
    struct synack_held out = {.id = 77};
    bool expired = !want_expired;

    ck_assert_int_eq(synack_table_decide(t, &k, d, &out, &expired), SYNACK_OWED_NOTHING);
    ck_assert_uint_eq(out.id, 77);
    ck_assert_int_eq(expired, want_expired);
}

static inline void forget(struct synack_table *t, struct synack_key k)
{
    struct synack_held out = {.id = 77};

    ck_assert(!synack_table_forget(t, &k, &out));
    ck_assert_uint_eq(out.id, 77);
}

/* expire() hands out packet `id` and nothing else; 0: nothing at all. */
static inline void expires(struct synack_table *t, uint64_t now_ms, uint32_t id, bool stale)
{
    struct synack_held out = {.id = 77};

    if (id != 0) {
        ck_assert(synack_table_expire(t, 0, 1, now_ms, &out));
        ck_assert_uint_eq(out.id, id);
        ck_assert_int_eq(out.stale, stale);
        out.id = 77;
    }
    ck_assert(!synack_table_expire(t, 0, 1, now_ms, &out));
    ck_assert_uint_eq(out.id, 77);
}

static inline void counts(const struct synack_table *t, size_t entries, size_t held)
{
    ck_assert_uint_eq(synack_table_count(t), entries);
    ck_assert_uint_eq(synack_table_held(t), held);
}

static inline void done(struct synack_table *t)
{
    counts(t, 0, 0);
    synack_table_free(t);
}

#endif
