/* SPDX-License-Identifier: MIT */
/* egress - which address and port a connection to a target leaves from, or why it must not.
 * Pure: addresses in, a choice out; immutable policies, any thread. No uv.h, no I/O.
 * nam-01 s5.4 (modes), draft -10 s5.1 (the D bit), -08 s4.2, RFC 4787 REQ-2 and RFC 8803 s4.3
 * (paired pooling), RFC 6296 (prefix translation, here without its checksum rule: TCP's own
 * checksum is the kernel's).
 *
 * Each policy has a mode per family of the *target*; no family is ever translated:
 *   share             an address of the pool, the same one for all connections of a subscriber
 *                     in every worker and process, by rendezvous hashing; without a pool of the
 *                     family the kernel chooses
 *   one_to_one        the row of the map around the client's address
 *   preserve          the client's own address, as the connection to us shows it
 *   preserve_address  the address of the D=1 element if it was assigned to this client, and
 *                     never another one; without the element as preserve. Only IPv6, and only
 *                     MP_CONVERT and pm08 have such an element: RFC 8803 does not.
 * Where the mode has no address for the client (no row, another family) `otherwise` decides. */
#ifndef SERVER_EGRESS_H
#define SERVER_EGRESS_H
#include "base/check.h"
#include "base/conffile.h"
#include "prefix_table.h"
#include "wire/outcome.h"

enum egress_mode {
    EGRESS_SHARE,
    EGRESS_ONE_TO_ONE,
    EGRESS_PRESERVE,
    EGRESS_PRESERVE_ADDRESS,
};
enum egress_otherwise { EGRESS_REFUSE, EGRESS_OR_SHARE };

/* `egress` is an address for all of `client`, or a prefix of the same family and length. */
struct egress_row {
    struct prefix client, egress;
};
struct egress_rows {
    struct egress_row *item;
    size_t count;
};
/* What the operator gave to a client, beside the address it comes from. */
struct egress_assignment {
    struct prefix client;
    struct conf_prefixes prefixes;
};
struct egress_assignments {
    struct egress_assignment *item;
    size_t count;
};

struct egress_policy {
    char *name;
    int ipv4, ipv6; /* enum egress_mode */
    int otherwise;  /* enum egress_otherwise */
    bool keep_port; /* preserving: the port as well */
    struct conf_prefixes pool;
    uint32_t subscriber_prefix4, subscriber_prefix6; /* bits of a client that make one */
    struct egress_rows map;
    struct egress_assignments assigned;
    uint32_t assigned_prefix6; /* bits; without a row in `assigned`: what shares that many with
                                  the client is the client's; 0: nothing is */

    /* Built from the above by egress_build(). */
    struct prefix_table *map4, *map6; /* rows by client, for targets of that family */
    struct prefix_table *assignment;  /* `assigned` by client */
};

/* Who asks for what. All addresses unmapped. */
struct egress_question {
    const struct addr *client; /* the far end of the client's connection */
    const struct addr *told;   /* of a D=1 element; ADDR_NONE: there was none */
    const struct addr *target;
};
struct egress_choice {
    struct addr source; /* ADDR_NONE: the kernel's choice. Port 0: a port of the kernel's */
    bool transparent;   /* not an address of this host: needs IP_TRANSPARENT */
    bool freebind; /* routed here as a prefix; the kernel does not know the single address */
};

/* Makes the tables. False: out of memory; egress_unbuild() in any case. */
bool egress_build(struct egress_policy *p) MUST_CHECK;
void egress_unbuild(struct egress_policy *p); /* idempotent */

/* OK with *out filled; else EGRESS_DENIED (no address for this client) or SOURCE_DENIED (the
 * address told is not the client's, or is the target's), *out untouched. */
enum outcome egress_choose(const struct egress_policy *p, const struct egress_question *q,
                           struct egress_choice *out) MUST_CHECK;

/* Does a mode of it use addresses of others (CAP_NET_ADMIN)? NULL: no. */
bool egress_is_transparent(const struct egress_policy *p);
/* May connections leave from it at all? Not from loopback, link-local, multicast, ... */
bool egress_usable(const struct addr *a);

#endif
