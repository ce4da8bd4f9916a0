/* SPDX-License-Identifier: MIT */
/* leg - one side of a session: a connected, non-blocking socket under the worker's poller, with
 * what must be known to use it well. Everything that is particular to MPTCP sockets lives here.
 * Loop thread only.
 *
 * Readiness is edge-triggered: `readable` and `writable` are true until a call says EAGAIN (or
 * a read comes back short).
 *
 * MPTCP legs accepted by TCP Fast Open have two traps (docs/architecture.md, "Kernel traps").
 *
 * T1: octets written before the client's third ACK stay in the socket, sometimes for ever. The
 * leg is not `writable` until the edge that this ACK causes; nothing is lost by waiting,
 * because a subflow in SYN_RECV cannot send anyway. leg_shutdown() and closing wait for it too,
 * see leg_must_wait().
 *
 * T2: such a leg starts with a send window that is far too large, so with two subflows it
 * overruns the client. leg_allowance() keeps the unacknowledged octets below the window the
 * client really advertised until the kernel knows better. */
#ifndef SERVER_LEG_H
#define SERVER_LEG_H
#include "poller.h"
#include "stats.h"
#include <stdbool.h>
#include <stdint.h>
#include <sys/types.h>

/* What the listener knows of an accepted socket. */
struct leg_accept {
    bool mptcp;       /* the listener is MPTCP: the socket may be */
    bool untrusted;   /* the caller must know whether that ACK came, for plain TCP too: it
                         does not trust the address, or the SYN-ACK waits for it */
    bool hold;        /* T1's cure; off only for a kernel that is cured */
    bool window_rule; /* T2's cure; off only for a kernel that is cured */
};

struct leg {
    struct watch watch; /* fd is here; -1 when there is no socket */
    uint64_t tfo_rule; /* T2: the rule holds until this many octets were sent; 0: it is over, or
                          never applied */
    uint64_t tfo_sent; /* T2: octets sent under the rule */
    bool readable, writable;
    bool hup;      /* the peer's FIN was seen: read until it shows */
    bool urgent;   /* urgent data was seen: reads stop at it, and splice would for ever */
    bool no_delay; /* TCP_NODELAY is set, or not needed yet: see leg_send() */
    bool sent;     /* something was handed to the kernel */
    bool failed;   /* reset, or its kernel gave up */
    int error;     /* errno of that, where the kernel told; else 0 */
    bool mptcp;
    bool syn_data; /* accepted: the SYN brought data, and it was taken */
    bool unproven; /* the handshake's third ACK is still to come: T1, and nobody has shown to be
                      at that address */
    bool hold;     /* T1: not to be written to, shut down or closed yet */
    bool fin_asked;
    bool fin_sent;    /* our direction is shut down */
    bool window_wait; /* T2: the allowance was used up; try again in a moment */
};

/* No socket yet. */
void leg_init(struct leg *l);
/* Takes `fd`. Asks only what can be: whether it is MPTCP (one system call on an MPTCP
 * listener), whether the handshake is complete and whether the SYN brought data. 0 or -errno;
 * on failure the fd is still the caller's. */
int leg_accept(struct leg *l, struct poller *p, int fd, struct leg_accept how,
               poller_ready_fn *ready) MUST_CHECK;
/* T5: an MPTCP receiver that is slower than its sender stalls unless its buffer is large from
 * the start. A fixed buffer ends autotuning, and net.core.rmem_max may cap it at a size that
 * throttles a long path: only a large one is better than none. */
struct leg_buffer {
    int bytes; /* 0: leave the kernel its way */
    bool force;
};
struct leg_buffer leg_buffer_allowed(uint64_t bytes); /* what the system lets us have of it */
void leg_buffer(const struct leg *l,
                struct leg_buffer b); /* MPTCP legs only; one system call */
/* Takes over a connector's registration. `ipv6` TCP sockets lose IPV6_RECVERR: on a connection
 * it would turn soft ICMP errors into hard ones. */
void leg_adopt(struct leg *l, struct poller *p, struct watch *from, uint32_t events, bool mptcp,
               bool ipv6, poller_ready_fn *ready);
/* To be called first from the ready function: notes the edge, ends `unproven` (T1). True: the
 * third ACK came just now. */
bool leg_ready(struct leg *l, uint32_t events, struct stats *stats);

/* recv() and send() that keep the flags. The second leg_send() on an adopted leg sets
 * TCP_NODELAY: Nagle's algorithm cannot hold back the first, and many sessions have no second.
 * Return octets, 0 (recv: end of stream), or -errno
 * (-EAGAIN clears the flag). */
ssize_t leg_recv(struct leg *l, void *buf, size_t len);
ssize_t leg_send(struct leg *l, const void *buf, size_t len);
/* From or to a pipe. `moved` as above. */
ssize_t leg_splice_in(struct leg *l, int pipe_in, size_t len);
ssize_t leg_splice_out(struct leg *l, int pipe_out, size_t len);

/* How many octets may be handed to the kernel now (T2); SIZE_MAX: any number. 0: `window_wait`
 * is set, ask again in a moment: no edge tells when the window opens. Two system calls while
 * the rule holds, none otherwise. */
size_t leg_allowance(struct leg *l, struct stats *stats);

/* Half-close. Under T1 it is only noted, and carried out at the third ACK. */
void leg_shutdown(struct leg *l);
/* Closing now might lose what the client is owed (T1). */
bool leg_must_wait(const struct leg *l);
/* `abort`: RST, and MP_FASTCLOSE on MPTCP (SO_LINGER 0). Idempotent. */
void leg_close(struct leg *l, struct poller *p, bool abort);

static inline bool leg_open(const struct leg *l)
{
    return l->watch.fd >= 0;
}

#endif
