/* SPDX-License-Identifier: MIT */
/* resolver_name - what can be said of a host name without asking anybody. Pure. */
#ifndef SERVER_RESOLVER_NAME_H
#define SERVER_RESOLVER_NAME_H
#include "resolver.h"

enum { RESOLVER_NAME_MAX = 253 }; /* RFC 1035 s2.3.4: 255 octets on the wire */

struct resolver_name {
    char text[RESOLVER_NAME_MAX + 1]; /* lower case, no trailing dot */
};

/* False: to be asked for, under the name in *out. True: *answer is final. That holds for what is no host name (no such name),
 * for address literals, and for names that must not be asked for: localhost, invalid (RFC 6761 s6.3, s6.4), onion (RFC 7686). */
bool resolver_name_settled(const char *name, enum addr_family family, struct resolver_name *out, struct resolver_answer *answer);
/* The name whose PTR record names `a`: RFC 1035 s3.5, RFC 3596 s2.5. */
void resolver_name_reverse(const struct addr *a, struct resolver_name *out);

#endif
