/* SPDX-License-Identifier: MIT */
/* stats - counters, gauges and histograms. One `struct stats` per worker: its owner writes with relaxed atomics and no lock; any
 * thread may read. Readers sum the workers into a snapshot. Counters only rise. No uv.h. */
#ifndef SERVER_STATS_H
#define SERVER_STATS_H
#include "base/check.h"
#include "wire/detect.h"
#include "wire/outcome.h"
#include <stdatomic.h>
#include <stdbool.h>
#include <stdint.h>

/* Counters (C) only rise; gauges (G) move both ways. name: where it stands in the stats document. */
/* clang-format off */
#define STAT_MAP(X)                                                     \
    X(ACCEPTED,            C, "sessions.accepted_total")                \
    X(REFUSED,             C, "sessions.refused_total")                 \
    X(REFUSED_UNSERVED,    C, "sessions.dropped_total")                 \
    X(CURRENT,             G, "sessions.current")                       \
    X(HANDSHAKING,         G, "sessions.handshaking")                   \
    X(CONNECTING,          G, "sessions.connecting")                    \
    X(DRAINING,            G, "sessions.draining")                      \
    X(UP_BYTES,            C, "traffic.up_bytes_total")                 \
    X(DOWN_BYTES,          C, "traffic.down_bytes_total")               \
    X(BUFFERED_BYTES,      G, "traffic.buffered_bytes")                 \
    X(SPLICED_BYTES,       C, "traffic.spliced_bytes_total")            \
    X(PIPES,               G, "traffic.pipes")                          \
    X(PIPES_EXHAUSTED,     C, "traffic.pipes_exhausted_total")          \
    X(MPTCP_CURRENT,       G, "mptcp.sessions_current")                 \
    X(MPTCP_TOTAL,         C, "mptcp.sessions_total")                   \
    X(MPTCP_FALLBACK,      C, "mptcp.sessions_fallback_tcp_total")      \
    X(SYN_DATA,            C, "mptcp.syn_data_total")                   \
    X(TFO_WAITS,           C, "mptcp.tfo_waits_total")                  \
    X(TFO_WINDOW_WAITS,    C, "mptcp.tfo_window_waits_total")           \
    X(SEND_QUEUE_WAITS,    C, "mptcp.send_queue_waits_total")           \
    X(GATE_WAITS,          C, "mptcp.syn_data_gate_waits_total")        \
    X(EXACT_CLAIMED,       C, "exact.connections_total")                \
    X(EXACT_CONFIRMED,     C, "exact.confirmed_total")                  \
    X(EXACT_REFUSED_RESET, C, "exact.refused_total.reset")              \
    X(EXACT_REFUSED_ICMP,  C, "exact.refused_total.icmp")               \
    X(EXACT_REFUSED_SILENT,C, "exact.refused_total.silent")             \
    X(EXACT_EXPIRED,       C, "exact.expired_total")                    \
    X(EXACT_NO_DATA,       C, "exact.inexact_total.no_syn_data")        \
    X(EXACT_UNTRUSTED,     C, "exact.inexact_total.untrusted")          \
    X(EXACT_TABLE_FULL,    C, "exact.inexact_total.table_full")         \
    X(EXACT_UNHELD,        C, "exact.inexact_total.not_queued")         \
    X(EXACT_HELD,          C, "exact.packets_total.held")               \
    X(EXACT_PLAIN,         C, "exact.packets_total.plain")              \
    X(EXACT_JOINS,         C, "exact.packets_total.join")               \
    X(EXACT_DUPLICATES,    C, "exact.packets_total.duplicate")          \
    X(EXACT_FOREIGN,       C, "exact.packets_total.foreign")            \
    X(EXACT_LOOKUPS,       C, "exact.lookups_total")                    \
    X(EXACT_OVERRUNS,      C, "exact.overruns_total")                   \
    X(EXACT_VERDICT_ERRORS,C, "exact.verdict_errors_total")             \
    X(EXACT_ORPHANED,      C, "exact.orphaned_total")                   \
    X(EXACT_CANCEL_ERRORS, C, "exact.cancel_errors_total")              \
    X(VIA,                 C, "via.connections_total")                  \
    X(VIA_FAILED,          C, "via.concentrator_failures_total")        \
    X(VIA_DIRECT,          C, "via.direct_total")                       \
    X(VIA_LOOPS,           C, "via.loops_total")                        \
    X(NFT_TOKENS,          G, "nft.tokens")                             \
    X(NFT_ADDED,           C, "nft.tokens_added_total")                 \
    X(NFT_REMOVED,         C, "nft.tokens_removed_total")               \
    X(NFT_DROPPED,         C, "nft.tokens_dropped_total")               \
    X(NFT_REFILLS,         C, "nft.refills_total")                      \
    X(NFT_RENEWALS,        C, "nft.alive_renewals_total")               \
    X(NFT_ERRORS,          C, "nft.errors_total")                       \
    X(VIA_RACED,           C, "via.raced_total")                        \
    X(VIA_EXACT,           C, "via.exact_total")                        \
    X(VIA_TFO_LOST,        C, "via.fastopen_lost_total")                \
    X(VIA_LISTED,          C, "via.listed_total")                       \
    X(VIA_PROBES,          C, "via.probes_total")                       \
    X(VIA_IMPLICIT,        C, "via.implicit_total.taken")               \
    X(VIA_IMPLICIT_ABSENT, C, "via.implicit_total.absent")              \
    X(VIA_NATIVE,          C, "via.native_total")                       \
    X(VIA_BYPASSED,        C, "via.bypassed_total")                     \
    X(CONNECT_ATTEMPTS,    C, "upstream.connect_attempts_total")        \
    X(CONNECT_SUCCESS,     C, "upstream.connect_success_total")         \
    X(UPSTREAM_IPV4,       C, "upstream.family.ipv4_total")             \
    X(UPSTREAM_IPV6,       C, "upstream.family.ipv6_total")             \
    X(UPSTREAM_MPTCP,      C, "upstream.mptcp_total")                   \
    X(MPTCP_OFFERED,       C, "upstream.mptcp_offered_total")           \
    X(MPTCP_DECLINED,      C, "upstream.mptcp_declined_total")          \
    X(WITHHELD_SLOW,       C, "upstream.mptcp_withheld_total.slow")     \
    X(WITHHELD_PLAIN,      C, "upstream.mptcp_withheld_total.plain")    \
    X(SECOND_ATTEMPTS,     C, "upstream.second_attempts_total")         \
    X(SLOW_ADDED,          C, "upstream.slow_added_total")              \
    X(PORTS_EXHAUSTED,     C, "upstream.port_exhausted_total")          \
    X(EGRESS_DENIED,       C, "egress.denied_total.no_address")         \
    X(EGRESS_SOURCE_DENIED,C, "egress.denied_total.source")             \
    X(EGRESS_FAILED,       C, "egress.unavailable_total")               \
    X(DNS_QUERIES,         C, "dns.queries_total")                      \
    X(DNS_CACHE_HITS,      C, "dns.cache_hits_total")                   \
    X(DNS_FAILURES,        C, "dns.failures_total")                     \
    X(DNS_TIMEOUTS,        C, "dns.timeouts_total")                     \
    X(DNS_INFLIGHT,        G, "dns.inflight")                           \
    X(AUTH_SUCCESS,        C, "auth.success_total")                     \
    X(AUTH_BAD_CREDENTIALS,C, "auth.failure_total.bad_credentials")     \
    X(AUTH_UNKNOWN_USER,   C, "auth.failure_total.unknown_user")        \
    X(AUTH_DISABLED,       C, "auth.failure_total.disabled")            \
    X(AUTH_SOURCE,         C, "auth.failure_total.source_not_allowed")  \
    X(AUTH_BAD_COOKIE,     C, "auth.failure_total.bad_cookie")          \
    X(AUTH_THROTTLED,      C, "auth.failure_total.throttled")           \
    X(ACL_DEFAULT,         C, "acl.denied_total.default")               \
    X(ACL_RULE,            C, "acl.denied_total.rule")                  \
    X(ACL_DEFAULT_PRIVATE, C, "acl.denied_total.default_private")       \
    X(ACL_SELF,            C, "acl.denied_total.self")                  \
    X(ERRORS_SUPPRESSED,   C, "convert.errors_suppressed_total")        \
    X(EMFILE,              C, "process.fd_limit_hits_total")            \
    X(NOMEM,               C, "process.out_of_memory_total")
/* clang-format on */
enum stat_id {
#define X(name, kind, path) STAT_##name,
    STAT_MAP(X)
#undef X
    STAT_COUNT
};

/* Histograms of durations, in microseconds: log-linear buckets, 4 per octave, 1 us .. 2^36 us. A percentile is the middle of its
 * bucket: at most 12.5 % off in either direction, exact up to 7 us; what lies beyond the last bucket (2^37 us, 38 h) counts in it. */
/* clang-format off */
#define HISTOGRAM_MAP(X)                          \
    X(SESSION,  "sessions.duration_seconds")      \
    X(CONNECT,  "upstream.connect_duration_seconds") \
    X(DNS,      "dns.duration_seconds")           \
    X(LOOP_LAG, "process.loop_lag_seconds")
/* clang-format on */
enum histogram {
#define X(name, path) HISTOGRAM_##name,
    HISTOGRAM_MAP(X)
#undef X
    HISTOGRAM_COUNT
};
enum { HISTOGRAM_BUCKETS = 4 * 37 };

struct stats_histogram {
    _Atomic uint64_t count, sum_us, max_us;
    _Atomic uint64_t bucket[HISTOGRAM_BUCKETS];
};

struct stats {
    _Atomic uint64_t value[STAT_COUNT];
    _Atomic uint64_t closed[REASON_COUNT];       /* by reason */
    _Atomic uint64_t outcome[OUTCOME_COUNT];     /* by outcome: finer than the reasons */
    _Atomic uint64_t protocol_current[PROTOCOL_COUNT], protocol_total[PROTOCOL_COUNT];
    struct stats_histogram histogram[HISTOGRAM_COUNT];
};

struct stats *stats_new(void) MUST_CHECK; /* zeroed, on a cache line of its own; NULL: out of memory */
void stats_free(struct stats *s);

/* Owner only. `s` may be NULL. */
static inline void stats_add(struct stats *s, enum stat_id which, uint64_t n)
{
    if (s == NULL)
        return;
    uint64_t v = atomic_load_explicit(&s->value[which], memory_order_relaxed);
    atomic_store_explicit(&s->value[which], v + n, memory_order_relaxed);
}
static inline void stats_sub(struct stats *s, enum stat_id which, uint64_t n) /* gauges */
{
    stats_add(s, which, (uint64_t)0 - n);
}
void stats_protocol(struct stats *s, enum protocol p, bool begin); /* a session's protocol became known / it ended */
void stats_closed(struct stats *s, enum outcome why, uint64_t duration_us);
void stats_duration(struct stats *s, enum histogram h, uint64_t us);

/* A plain copy, summed over workers. */
struct histogram_snapshot {
    uint64_t count, sum_us, max_us, bucket[HISTOGRAM_BUCKETS];
};
struct stats_snapshot {
    uint64_t value[STAT_COUNT];
    uint64_t closed[REASON_COUNT], outcome[OUTCOME_COUNT];
    uint64_t protocol_current[PROTOCOL_COUNT], protocol_total[PROTOCOL_COUNT];
    struct histogram_snapshot histogram[HISTOGRAM_COUNT];
};
/* Adds `from` to *to, which starts zeroed. Any thread. Looks again, a bounded number of times, while a session is just being
 * counted, so that closed + current == accepted and the durations' count hold in the copy. */
void stats_sum(struct stats_snapshot *to, const struct stats *from);
uint64_t histogram_percentile_us(const struct histogram_snapshot *h, double q); /* 0 < q <= 1; 0 when empty */

const char *stat_path(enum stat_id which);

#endif
