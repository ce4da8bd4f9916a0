/* SPDX-License-Identifier: MIT */
/* placeholder - makes a TCP socket wait in SYN_SENT for as long as we like, and then fail as a
 * refused one does. No descriptor of ours stays open for it, so there is none that a program
 * could close.
 *
 * It connects to port 0 of the loopback address, where nobody can listen; the kernel's RST is
 * dropped on arrival because the socket asks for a TTL that no packet on the loopback has
 * (IP_MINTTL, RFC 5082), or, where that does not hold, by a socket filter. To fail, it connects
 * there once more and lets the RST in: what poll, epoll, read, write and SO_ERROR show is then
 * the kernel's own. */
#ifndef CLIENT_PLACEHOLDER_H
#define CLIENT_PLACEHOLDER_H
#include <stdbool.h>

struct placeholder { /* what to give back */
    int family, ttl, hops;
    bool filter;
};

/* `fd`: an unconnected TCP socket, not bound to an address or a device; non-blocking, or made
 * so for the call. 0: it is in SYN_SENT. -errno: it is as it was. */
int placeholder_park(int fd, int family, struct placeholder *p);
bool placeholder_waits(int fd); /* still in SYN_SENT: nobody shut it down, no timeout */
/* Options of the program as they were, to be copied; it still waits, and nothing reaches it any
 * more: another socket takes its place now, or placeholder_fail() ends it. */
void placeholder_seal(int fd, struct placeholder *p);
/* Options of the program as they were; what comes in counts. */
void placeholder_restore(int fd, const struct placeholder *p);
void placeholder_undo(int fd, const struct placeholder *p); /* as before placeholder_park() */
/* ECONNREFUSED becomes pending: IN, OUT, ERR, HUP, RDHUP. Everybody who waits is woken. */
void placeholder_fail(int fd, const struct placeholder *p);

#endif
