/* SPDX-License-Identifier: MIT */
/* attempt - one connect() on one socket under the worker's poller, and why it failed.
 * connector.c's inner part. Loop thread only. Happy path, 3 system calls: socket, connect,
 * registration; then the edge tells. Failure path: an address the ACL refuses gets no socket.
 * What the kernel and ICMP said is read from the error queue (TCP only: an MPTCP socket queues
 * nothing) and SO_ERROR. */
#ifndef SERVER_ATTEMPT_H
#define SERVER_ATTEMPT_H
#include "acl.h"
#include "egress.h"
#include "leg.h"
#include "policy.h"
#include "poller.h"
#include "wire/bytes.h"
#include "wire/outcome.h"

struct stats;

/* On whose behalf; borrowed during attempt_start(). */
struct attempt_client {
    const struct acl *acl;
    const struct addr *source;
    const char *user;  /* may be NULL */
    const char *name;  /* the host name that led to the address, or NULL */
    bool concentrator; /* of ours: `acl` is not asked, and data goes in the SYN without a cookie
                        */
    const struct egress_policy *egress; /* NULL: the kernel chooses the source address */
    const struct addr *told; /* of a D=1 element, for `egress`; may be NULL */
    const struct policy_leg *policy;  /* of the socket, before the SYN; NULL: none */
    struct leg_buffer receive_buffer; /* SO_RCVBUF of MPTCP, set before the SYN (trap T2) */
};

struct attempt {
    struct watch watch; /* watch.fd is -1 while nothing runs */
    struct addr remote;
    uint64_t start_us;
    size_t early_sent;        /* octets the kernel took with the SYN */
    bool mptcp;               /* opened as MPTCP */
    enum acl_cause denied_by; /* ACL_CAUSE_COUNT: not denied */
};

/* `a` needs no initialisation. `mptcp`: offer MP_CAPABLE. `early` may be empty; it goes into
 * the SYN where the kernel lets us and is emptied by the attempt that tries: two servers must
 * not both get the request. Counts in `stats` (may be NULL). OK: under way, `ready` will run
 * for a->watch. Anything else: nothing is left. */
struct failure attempt_start(struct attempt *a, struct poller *poller, struct stats *stats,
                             const struct attempt_client *client, const struct addr *to,
                             bool mptcp, struct span *early, poller_ready_fn *ready);
/* Counts an address that the ACL refused, by why; `stats` may be NULL. */
void attempt_count_denied(struct stats *stats, enum acl_cause cause);
/* What an edge with EPOLLERR or EPOLLHUP means; OK when it is no failure after all. */
struct failure attempt_failure(const struct attempt *a, uint32_t events);
/* The same, and its errno, 0 for none, in *error. */
struct failure attempt_failure_errno(const struct attempt *a, uint32_t events, int *error);
/* It is connected: counts it. True: as Multipath TCP; asks the kernel only when that was
 * offered. */
bool attempt_connected(const struct attempt *a, struct stats *stats);
/* Linux 6.18: of an MPTCP connection whose SYN brought data, the end of the stream is sometimes
 * lost when it comes at once: nothing to read, no edge, but the subflow is over. Then true. */
bool attempt_has_ended(const struct attempt *a);
void attempt_close(struct attempt *a, struct poller *poller); /* harmless when nothing runs */
/* The same with a reset (MP_FASTCLOSE): who was asked for something is to stop trying. */
void attempt_abort(struct attempt *a, struct poller *poller);
/* Microseconds on the clock that start_us was taken from. */
uint64_t attempt_clock_us(void);

#endif
