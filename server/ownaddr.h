/* SPDX-License-Identifier: MIT */
/* ownaddr - is this an address of one of this host's interfaces, now? Asked of the kernel's
 * routing table through a datagram socket that sends nothing: an address that appeared a moment
 * ago counts, and nothing has to be read again. Three system calls that do not block; any
 * thread. */
#ifndef SERVER_OWNADDR_H
#define SERVER_OWNADDR_H
#include "wire/addr.h"
#include <stdbool.h>

/* The port does not matter. False too when the kernel cannot tell (no fds, no route), and for
 * addresses that are ours by a route only (127.0.0.2, `ip route add local`). */
bool ownaddr_is(const struct addr *a);

#endif
