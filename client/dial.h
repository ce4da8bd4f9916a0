/* SPDX-License-Identifier: MIT */
/* dial - one request to one concentrator over one socket: the request in the SYN where TFO is
 * used, the answer read to its last octet and not one further, so that what follows is the
 * program's. Never blocks; no allocation; no errno. One thread at a time. RFC 8803, draft -10,
 * RFC 1928 by wire/initiator.h. */
#ifndef CLIENT_DIAL_H
#define CLIENT_DIAL_H
#include "wire/initiator.h"
#include <stdbool.h>
#include <stdint.h>

struct dial_options {
    struct initiator_options request;
    struct addr proxy; /* as the socket's family needs it: v4-mapped for an AF_INET6 socket */
    bool tfo;
    bool mptcp;  /* asked for: to tell a fallback */
    bool native; /* `proxy` is the target itself, which is asked for nothing: READY when it is
                    connected and Multipath TCP, else broken */
};

enum dial_step {
    DIAL_WAIT,   /* poll `fd` for `events`, then dial_run() */
    DIAL_READY,  /* connected through: the stream is the program's */
    DIAL_FAILED, /* see `error` and `reached` */
};

struct dial {
    int fd;       /* the caller's, non-blocking, unconnected; may be bound */
    short events; /* POLLIN, POLLOUT */
    enum dial_step step;
    int error;    /* FAILED: errno for the program */
    bool reached; /* the concentrator's SYN-ACK came: another concentrator would not help,
                     except when `broken` */
    bool broken;  /* it does not speak the dialect, or closed without a word */
    bool tfo_asked, tfo_taken, mptcp_asked, mptcp; /* valid once reached */
    bool gone; /* the connection was over when it was first looked at: mptcp false and tfo_taken
                  false then say nothing */
    uint64_t reached_ms;        /* sys_now_ms() when that was seen */
    struct initiator initiator; /* private from here */
    bool connecting, native;
    int lowat; /* the program's SO_RCVLOWAT, put aside until READY; 0: nothing was changed */
    uint16_t have; /* octets of `answer`: taken from the socket, but not judged yet */
    uint8_t answer[CONVERT_MESSAGE_MAX];
};

/* Sends the SYN. Then as dial_run(). DIAL_FAILED at once is possible. */
enum dial_step dial_start(struct dial *d, int fd, const struct dial_options *o,
                          const struct target *t);
/* Call when the socket is ready, or at any time. */
enum dial_step dial_run(struct dial *d);

/* Is this connection of ours Multipath TCP (still)? */
bool dial_is_mptcp(int fd);

#endif
