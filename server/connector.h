/* SPDX-License-Identifier: MIT */
/* connector - open one connection to a target: resolve, check each address against the ACL, race attempts by RFC 8305. Loop
 * thread only; time is the loop's. TCP or MPTCP towards the server; ICMP codes come from the error queue (TCP only).
 *
 * Happy path for an address target: socket, connect, one registration, one edge, `done`. No timer, no lookup.
 * Failure path: `done` with the most telling failure of all attempts (policy > connect > name). A denied address is never
 * contacted. The overall deadline is the caller's: it cancels. */
#ifndef SERVER_CONNECTOR_H
#define SERVER_CONNECTOR_H
#include "acl.h"
#include "eyeballs.h"
#include "offer.h"
#include "poller.h"
#include "resolver.h"
#include "wire/target.h"

struct stats;

/* What the connector needs of its worker; borrowed, outlives every connector. */
struct connector_env {
    uv_loop_t *loop;
    struct poller *poller;
    struct resolver *resolver;
    struct stats *stats; /* may be NULL */
};

struct connector_request {
    const struct target *target;  /* copied; port > 0 */
    const struct addr *source;    /* the client, for the ACL; copied */
    const char *user;             /* for the ACL; borrowed until done or cancel; may be NULL */
    const struct acl *acl;        /* borrowed until done or cancel */
    const struct egress_policy *egress; /* borrowed until done or cancel; NULL: the kernel chooses the source address */
    const struct addr *told;      /* of a D=1 element, for `egress`; copied; may be NULL */
    struct eyeballs_config eyeballs;
    const struct offer_policy *offer; /* of Multipath TCP; borrowed until done or cancel */
    struct offer_table *offers;   /* what is remembered of servers; may be NULL unless the mode is auto; outlives the connector */
    bool want_mptcp;              /* the client asks for it */
    bool fastopen;                /* put `early` into the SYN where the kernel lets us (first attempt only) */
    struct span early;            /* borrowed until done or cancel */
    const struct policy_leg *policy; /* of the sockets; borrowed until done or cancel; NULL: none */
};

struct connection {
    int fd;             /* connected, non-blocking; now yours. IPv6 TCP sockets still have IPV6_RECVERR on */
    struct watch *from; /* its registration: take it with poller_move() before `done` returns */
    uint32_t events;    /* EPOLL* bits seen so far on it; edges after these will still come */
    struct addr remote; /* what was connected to, with port */
    bool mptcp;         /* opened as MPTCP (may have fallen back) */
    bool via;           /* `remote` is a concentrator, */
    bool server_mptcp;  /* and it said that the server speaks MPTCP (RFC 8803 s5.1) */
    size_t early_sent;  /* octets of `early` the kernel took with the SYN */
    uint32_t connect_us;
};

/* `c` is NULL unless why.why == OUTCOME_OK. Runs exactly once, never from inside connector_start(), and never after
 * connector_cancel(). The connector is freed right after it returns. */
typedef void connector_done_fn(void *arg, struct connection *c, struct failure why);

struct connector;
/* NULL: out of memory; then `done` does not run. A failure known at once (denied address, no fds) is still told by `done`, from
 * the loop. */
struct connector *connector_start(const struct connector_env *env, const struct connector_request *req, connector_done_fn *done,
                                  void *arg) MUST_CHECK;
void connector_cancel(struct connector *c); /* closes attempts, frees (its timer closes in the loop's next turns) */
/* Which ACL cause refused an address, if any did; valid inside `done`. */
enum acl_cause connector_denied_by(const struct connector *c);

#endif
