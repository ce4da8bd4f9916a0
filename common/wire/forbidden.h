/* SPDX-License-Identifier: MIT */
/* forbidden - the targets no converter may serve, whatever its configuration says. The
 * operator's rules come on top. draft-boucadair-mptcp-plain-mode-10 s5.2 and RFC 8803 s6.2.5:
 * multicast, broadcast, loopback; we add unspecified, because connecting to it reaches the host
 * itself. */
#ifndef WIRE_FORBIDDEN_H
#define WIRE_FORBIDDEN_H
#include "wire/addr.h"

/* A v4-mapped address is judged as IPv4. ADDR_NONE is not forbidden. */
static inline bool forbidden_target(const struct addr *a)
{
    if (a->family == ADDR_NONE)
        return false;
    enum addr_class c = addr_class(a);
    return c == ADDR_CLASS_UNSPECIFIED || c == ADDR_CLASS_LOOPBACK ||
           c == ADDR_CLASS_MULTICAST || c == ADDR_CLASS_BROADCAST;
}

#endif
