/* SPDX-License-Identifier: MIT */
/* embryo - a session whose client is not there yet: the host of a transparent exact listener,
 * whose SYN-ACK waits for its target (synack.h). Worker thread only, unless a function says
 * otherwise.
 *
 * Happy path: the SYN-ACK in the queue begins the session, which dials like any other; the
 * target answers, the SYN-ACK goes, the session is ACCEPTING. The kernel hands the connection
 * to whichever worker it likes; this one finds the session by the addresses, and hands the
 * socket over to the session's worker: the relay begins. Failure paths: the target refuses, and
 * so does the packet that takes the place of the SYN-ACK. The host is gone, or its third ACK
 * does not come within timeouts.header_seconds: the session ends, its request is cancelled in
 * the kernel, and what is accepted nevertheless is reset, for a target is dialled once per
 * host's connect. A SYN-ACK that was held too long (MPTCP) has gone before the target answered:
 * the socket comes during CONNECT, and all goes on as on a listener that is not exact. */
#ifndef SERVER_EMBRYO_H
#define SERVER_EMBRYO_H
#include "base/list.h"
#include "synack.h"

struct listener;
struct session;
struct worker;

/* An accepted socket on its way to the worker of its session. */
struct embryo_arrival {
    struct list link;
    struct synack_key key;
    int fd;
};

struct synack_embryos embryo_calls(struct worker *w);
/* The upstream is connected, and there is no client. */
void embryo_connected(struct session *s);
/* The deadline of ACCEPTING. */
void embryo_expired(struct session *s);
/* A connection was accepted. True: `fd` is taken: its session has it, or will, or it was reset
 * because its session has ended. False: an ordinary connection. */
bool embryo_meet(struct listener *l, int fd, const struct addr *client) MUST_CHECK;
/* A transparent exact listener's session began when it was accepted: counts why. */
void embryo_missing(struct session *s);
/* Takes `a`, which another worker has sent. */
void embryo_arrived(struct worker *w, struct embryo_arrival *a);
void embryo_discard(struct embryo_arrival *a); /* resets it; any thread */

#endif
