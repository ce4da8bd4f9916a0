/* SPDX-License-Identifier: MIT */
/* synack_diag - whose is a SYN-ACK? Asked of the kernel (sock_diag), by addresses and ports.
 * Two system calls each, on a socket that answers in the call. One thread at a time per socket.
 * No uv.h. */
#ifndef SERVER_SYNACK_DIAG_H
#define SERVER_SYNACK_DIAG_H
#include "base/check.h"
#include <stdint.h>

struct synack_key;

enum synack_whose {
    SYNACK_WHOSE_NOBODY,  /* no such connection: gone, or answered with a SYN cookie */
    SYNACK_WHOSE_REQUEST, /* it waits for its third ACK: there is no socket yet */
    SYNACK_WHOSE_CHILD,   /* a Fast Open child: a socket that has taken the SYN's data */
    SYNACK_WHOSE_SOCKET,  /* a socket past its handshake */
};

int synack_diag_open(void) MUST_CHECK; /* the fd, or -errno */
/* An enum synack_whose, or -errno. *cookie (may be NULL), of a REQUEST: which one, for
 * synack_diag_cancel(). */
int synack_diag_whose(int fd, const struct synack_key *k, uint64_t *cookie) MUST_CHECK;
/* The kernel forgets the request `cookie` of this 4-tuple: it sends no SYN-ACK again and takes
 * no third ACK. If it has become a socket meanwhile, this is reset. 0; -ENOENT: it was gone;
 * -EOPNOTSUPP: the kernel has no CONFIG_INET_DIAG_DESTROY; else -errno. */
int synack_diag_cancel(int fd, const struct synack_key *k, uint64_t cookie) MUST_CHECK;

#endif
