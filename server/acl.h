/* SPDX-License-Identifier: MIT */
/* acl - may this client reach this address? Ordered rules, then the built-in refusals, then the default action.
 * Immutable after acl_new; any thread. No uv.h, no I/O of its own.
 * acl_check() is asked for every socket address right before it is given to connect(): a name cannot smuggle one in. */
#ifndef SERVER_ACL_H
#define SERVER_ACL_H
#include "base/check.h"
#include "base/conffile.h"
#include "wire/addr.h"
#include "wire/target.h"

struct acl;
enum acl_action { ACL_ALLOW, ACL_DENY };

/* Which rule spoke; for counters and the log. */
enum acl_cause {
    ACL_CAUSE_DEFAULT,         /* the default action */
    ACL_CAUSE_RULE,            /* a configured rule */
    ACL_CAUSE_DEFAULT_PRIVATE, /* a built-in class: loopback, private, shared, link-local, metadata, multicast, ... */
    ACL_CAUSE_SELF,            /* one of our own listeners or the stats port */
    ACL_CAUSE_COUNT
};
const char *acl_cause_name(enum acl_cause c); /* "default", "rule", "default_private", "self" */

struct acl_verdict {
    enum acl_action action;
    enum acl_cause cause;
    int rule; /* index of the rule, or -1 */
};

/* One configured rule; empty lists match everything. `target` and `names` are one list in the file: either is enough. */
struct acl_rule {
    enum acl_action action;
    struct conf_prefixes source, target;
    struct conf_strings users, names; /* names: "example.net" (exact) or "*.example.net" (any depth below) */
    struct { uint16_t first, last; } *ports;
    size_t port_count;
};
struct acl_rules { /* the CONF_CUSTOM field "acl.rules" */
    struct acl_rule *item;
    size_t count;
};

/* Parsers for the configuration table; see base/conffile.h. */
bool acl_parse_rules(struct conf_parse *p, const json_t *value, void *field);
void acl_clear_rules(void *field);
json_t *acl_dump_rules(const void *field);
/* A port such as 25, or a range such as "6000-6100". False: neither; then what was written is of no use. */
bool acl_parse_range(const json_t *value, uint16_t *first, uint16_t *last);

/* Copies what it needs. `self`: our own listening addresses; a wildcard one means that port on any address that `is_own` (asked in
 * acl_check(), for such a port only; loopback is never asked about). ADDR_NONE entries are skipped. NULL: out of memory. */
typedef bool acl_own_fn(const struct addr *a);
struct acl *acl_new(const struct acl_rules *rules, enum acl_action fallback, const struct addr *self, size_t self_count,
                    acl_own_fn *is_own) MUST_CHECK;
void acl_free(struct acl *a);

/* `to` is the final address with port; `name` is the host name it came from, or NULL; `user` may be NULL.
 * Tunnelled IPv4 addresses (v4-mapped, 6to4, NAT64, Teredo) are checked like the address itself: both must pass.
 * The first rule that applies decides. To an address of a built-in class an allow rule applies only by a prefix in `target` that
 * lies inside the class's own range (10.0.0.0/8 or 10.1.2.3, not 0.0.0.0/0; a metadata service only as a full-length prefix);
 * else it is passed over. Multicast, broadcast, unspecified and self never open. */
struct acl_verdict acl_check(const struct acl *a, const struct addr *source, const char *user, const struct addr *to,
                             const char *name);

#endif
