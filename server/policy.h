/* SPDX-License-Identifier: MIT */
/* policy - what a connection's two sockets are given beyond the ordinary: congestion control,
 * DSCP, mark, segment size. A listener names a policy; a client's source, or better the user it
 * shows to be, may bring one of its own, which is laid over the listener's member by member.
 * System calls on the caller's fd only; any thread. No uv.h.
 *
 * What Linux 6.18 does with each on Multipath TCP sockets: congestion control, mark and IPv4
 * DSCP reach every subflow, also those that join later, whether set on the listening socket
 * (inherited, so that nothing is asked for per connection) or on the connection. IPV6_TCLASS is
 * refused: policy_ipv6_dscp_works() tells. */
#ifndef SERVER_POLICY_H
#define SERVER_POLICY_H
#include "base/check.h"
#include "base/conffile.h"
#include <stdbool.h>
#include <stdint.h>

enum { POLICIES_MAX = 64, POLICY_USERS_MAX = 4096, POLICY_CONGESTION_MAX = 15 };

/* For one socket; all zeroes: nothing. */
struct policy_leg {
    char *congestion_control; /* owned by the configuration; NULL: the system's */
    struct policy_dscp {
        bool set;
        uint8_t value; /* 0..63 */
    } dscp;
    struct policy_mark {
        bool set;
        uint32_t value;
    } mark;       /* SO_MARK */
    uint32_t mss; /* octets, TCP_MAXSEG; 0: the path's. Only before the handshake */
};

struct policy {
    char *name;
    struct conf_strings users;
    struct conf_prefixes sources;
    struct policy_leg client, upstream;
};

/* A user and the policy that names him. */
struct policy_user {
    const char *name;
    const struct policy *policy;
};

struct policy_list {
    struct policy *item;
    size_t count;
    struct policy_user *user; /* of all policies, sorted; policy_conf.c builds it */
    size_t user_count;
};

/* "EF", "AF41", "cs1" (RFC 2474, 2597, 3246, 5865, 8622), or a decimal number to 63. False:
 * *out untouched. */
bool policy_dscp_parse(const char *text, uint8_t *out) MUST_CHECK;

const struct policy *policy_named(const struct policy_list *all, const char *name);
/* NULL: no policy names them. A source belongs to the first policy that has it. */
const struct policy *policy_of_user(const struct policy_list *all, const char *user);
const struct policy *policy_of_source(const struct policy_list *all, const struct addr *source);

bool policy_leg_empty(const struct policy_leg *leg);
/* `over` laid over `base`; either may be NULL. Borrows the strings. */
struct policy_leg policy_leg_merge(const struct policy_leg *base,
                                   const struct policy_leg *over);

/* Which IP versions the socket may speak; a listener on "[::]" both. */
struct policy_families {
    bool ipv4, ipv6;
};
/* Sets what `leg` has. 0 or -errno: a mark that is not set could mean the wrong route. A DSCP
 * the socket cannot have is no failure. */
int policy_apply(int fd, struct policy_families f, const struct policy_leg *leg) MUST_CHECK;
/* The same on a socket that was given `before`: what `leg` has not goes back to the system's
 * value. Either may be NULL. No system call where nothing differs. */
int policy_replace(int fd, struct policy_families f, const struct policy_leg *before,
                   const struct policy_leg *leg) MUST_CHECK;

/* Whether IPv6 Multipath TCP sockets take a DSCP here. */
bool policy_ipv6_dscp_works(void);

#endif
