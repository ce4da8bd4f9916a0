/* SPDX-License-Identifier: MIT */
/* mptcp - MPTCP sockets: open, find out whether a connection is (still) MPTCP, snapshot
 * MPTCP_INFO and its subflows (RFC 8684, Linux uAPI up to 6.18; declares what Debian 12's
 * headers lack). System calls on the caller's fd; any thread. */
#ifndef BASE_MPTCP_H
#define BASE_MPTCP_H
#include "base/check.h"
#include "wire/addr.h"
#include "wire/convert.h"
#include <stdbool.h>
#include <stdint.h>

#ifndef IPPROTO_MPTCP
#define IPPROTO_MPTCP 262
#endif
#ifndef TCP_FASTOPEN_NO_COOKIE
#define TCP_FASTOPEN_NO_COOKIE 34
#endif

enum { MPTCP_SUBFLOWS_MAX = 8 };

/* A non-blocking, close-on-exec stream socket; MPTCP when wanted and the kernel can, else TCP
 * (*is_mptcp tells; may be NULL). Returns the fd or -errno. */
int mptcp_socket(int family, bool want_mptcp, bool *is_mptcp) MUST_CHECK;

/* net.mptcp.enabled in this network namespace; false too when the kernel has no MPTCP. */
bool mptcp_enabled(void);

/* Accepted sockets: a plain TCP client gives a real TCP socket, SO_PROTOCOL tells (one system
 * call). */
bool mptcp_accepted(int fd);
/* Any socket: MPTCP_INFO works (false after a fallback). */
bool mptcp_active(int fd);
/* The token an MP_JOIN to this connection carries (RFC 8684 s3.2); there from accept on. False: not MPTCP. */
bool mptcp_token(int fd, uint32_t *token) MUST_CHECK;

/* tcpi_state (TCP_SYN_RECV, TCP_ESTABLISHED, ...) of the socket or its first subflow; -errno on
 * failure. */
int mptcp_tcp_state(int fd);
/* The SYN carried data and it was taken (TCPI_OPT_SYN_DATA). */
bool mptcp_syn_data(int fd);
/* Octets of the peer's last advertised receive window (tcpi_snd_wnd, 5.4+); -errno on failure.
 */
int64_t mptcp_send_window(int fd);
/* What TCP_INFO tells of the options the peer agreed to; for RFC 8803's Extended TCP Header. 0
 * or -errno. */
int mptcp_synack(int fd, struct convert_synack *out) MUST_CHECK;

struct mptcp_subflow {
    uint32_t id; /* the kernel's subflow id where known (6.5+), else 0 */
    struct addr local, remote;
    uint8_t tcp_state; /* TCP_ESTABLISHED, ... */
    bool backup;       /* not told by any socket option up to 6.18: server/subflow_diag.h */
    uint32_t rtt_us, rttvar_us, cwnd_segments, retransmits;
    uint64_t bytes_acked, bytes_received, delivery_rate; /* octets, octets, octets per second */
};
struct mptcp_snapshot {
    bool active; /* false: plain TCP or fallen back; then one "subflow" describes the TCP
                    connection */
    uint32_t token;
    uint32_t remote_token; /* likewise; 0: not known */
    uint32_t flags;                    /* MPTCP_INFO_FLAG_* */
    uint32_t subflows, subflows_total; /* as mptcp_subflow_count() */
    uint64_t bytes_sent, bytes_received, bytes_retransmitted, retransmits;
    uint32_t listed; /* entries of list[]; may be less than subflows */
    struct mptcp_subflow list[MPTCP_SUBFLOWS_MAX];
};
/* MPTCP_FULL_INFO where the kernel has it, else MPTCP_INFO + MPTCP_SUBFLOW_ADDRS +
 * MPTCP_TCPINFO, else TCP_INFO. 0 or -errno; *out is zeroed first. */
int mptcp_snapshot(int fd, struct mptcp_snapshot *out) MUST_CHECK;
/* Only the number of subflows (1 for TCP) and the total over the connection's life; one system
 * call where the kernel has MPTCP_FULL_INFO. The kernel keeps no total: it is the highest
 * number among the subflows alive now, so that a caller who asks repeatedly keeps the maximum.
 */
int mptcp_subflow_count(int fd, uint32_t *now, uint32_t *total) MUST_CHECK;

#endif
