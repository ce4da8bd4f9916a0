/* SPDX-License-Identifier: MIT */
/* via - a connection to a target through a concentrator: over Multipath TCP, the request in the
 * SYN, its answer taken before the connection is anybody's. Beside connector.h and with its
 * manners: `done` runs exactly once, never from inside via_start(), never after via_cancel().
 * Loop thread only. RFC 8803, draft -10, RFC 1928 by wire/initiator.h.
 *
 * Happy path: the best concentrator (via_health.h), SYN with the request, answer, `done`.
 * Failure path: one that cannot be reached, or breaks its dialect, is noted and the next is
 * tried; beside one that is silent the next is tried as well, and the first answer wins
 * (via_try.h); one that answers no ends it, with its reason. A target the ACL refuses is never
 * asked for, nor a loop: a concentrator as the target, or as the one who asks, from its own
 * address. The overall deadline is the caller's: it cancels. */
#ifndef SERVER_VIA_H
#define SERVER_VIA_H
#include "connector.h"
#include "leg.h"
#include "via_shared.h"

enum { VIA_DIRECT_MS = 1000 }; /* via.direct: all are silent for so long */

struct via_request {
    const struct via_options *options; /* borrowed until done or cancel */
    struct via_shared *shared;
    const struct target *target; /* copied */
    const struct addr *source;   /* the client; copied */
    const char *user;            /* for the ACL; borrowed during the call; may be NULL */
    const struct acl *acl;       /* borrowed during the call */
    const struct policy_leg
        *policy;                 /* of the sockets; borrowed until done or cancel; NULL: none */
    struct leg_buffer buffer;    /* SO_RCVBUF before the SYN (trap T2) */
};

struct via;
/* NULL: out of memory; then `done` does not run. `c` in `done`: as connector.h; c->remote is
 * the concentrator. */
struct via *via_start(const struct connector_env *env, const struct via_request *req,
                      connector_done_fn *done, void *arg) MUST_CHECK;
void via_cancel(struct via *v);

#endif
