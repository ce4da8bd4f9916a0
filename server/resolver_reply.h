/* SPDX-License-Identifier: MIT */
/* resolver_reply - what c-ares brought back, as an answer and its time to live. Pure: no I/O, no clock; the message is a peer's. */
#ifndef SERVER_RESOLVER_REPLY_H
#define SERVER_RESOLVER_REPLY_H
#include "resolver_name.h"
#include "wire/bytes.h"

struct resolver_reply {
    struct resolver_answer answer;
    bool has_ttl; /* false: the message does not say (a failure, or a negative answer without SOA) */
    uint32_t ttl_s; /* the least along the chain; of negative answers RFC 2308 s5: least of SOA TTL and MINIMUM */
};

/* `status` is an ARES_*; `msg` is empty where c-ares has none. */
void resolver_reply_addrs(int status, struct span msg, enum addr_family family, struct resolver_reply *out);
/* A PTR record for `a`: OK and a host name (RFC 1123 letters only, no trailing dot), or why there is none
 * (*name is then untouched). */
enum outcome resolver_reply_name(int status, struct span msg, const struct addr *a, struct resolver_name *name);

#endif
