/* SPDX-License-Identifier: MIT */
/* egress_socket - what the kernel is told about a source address, and asked. System calls; any
 * thread. No uv.h. */
#ifndef SERVER_EGRESS_SOCKET_H
#define SERVER_EGRESS_SOCKET_H
#include "egress.h"

/* Binds `fd`, a new TCP or MPTCP socket of the address's family. A port of the kernel's is
 * chosen when it connects, so that one address has as many per target
 * (IP_BIND_ADDRESS_NO_PORT); a kept one may be shared with connections to other targets. 0 or
 * -errno: -EADDRNOTAVAIL the address is not this host's, -EPERM no CAP_NET_ADMIN, -EADDRINUSE a
 * kept port is taken. */
int egress_bind(int fd, const struct egress_choice *c) MUST_CHECK;

/* May this thread take addresses of others? 0, or -errno (-EPERM: CAP_NET_ADMIN is missing). */
int egress_may_be_transparent(void) MUST_CHECK;

/* The next address or prefix that a mode of `e` uses and that packets do not come to, from *at
 * on (begin with 0); *key is the member it is in. NULL: no more. Asks the kernel for each. */
const struct prefix *egress_not_local(const struct egress_policy *e, size_t *at,
                                      const char **key);

/* Do packets with `mark` end here, wherever they are for? What conf/nft/preserve.nft needs of
 * the routing tables. True when the kernel cannot be asked. */
bool egress_mark_is_local(uint32_t mark, unsigned family);

/* Do packets to `a` end here, as the routing tables have it? A prefix that was routed here as a
 * whole counts (`ip route add local ...`). True when the kernel cannot be asked. */
bool egress_is_local(const struct addr *a);

#endif
