/* SPDX-License-Identifier: MIT */
/* mapped - one address as sockets of either family write it (RFC 4291 s2.5.5.2). */
#ifndef CLIENT_MAPPED_H
#define CLIENT_MAPPED_H
#include "wire/addr.h"

/* AF_INET6: an IPv4 address becomes v4-mapped. AF_INET: a v4-mapped one IPv4; another IPv6 one
 * stays, such a socket cannot have it. */
struct addr mapped_for(struct addr a, int family);

#endif
