/* SPDX-License-Identifier: MIT */
/* listener - one listening socket of one worker: accept, admission before allocation, polite
 * refusal. Worker thread only, but for listener_open. It never stops accepting: at a limit it
 * accepts and refuses in the client's dialect, and when fds run out it accepts with a reserve
 * fd and resets, so that neither the accept queue (and with it MP_JOIN) nor the CPU is blocked.
 */
#ifndef SERVER_LISTENER_H
#define SERVER_LISTENER_H
#include "options.h"
#include "poller.h"
#include <stdatomic.h>

struct worker;

struct listener {
    struct watch watch;
    struct worker *worker;
    struct config *config; /* a reference; `options` points into it */
    const struct listener_options *options;
    uint16_t port;              /* the real one, when 0 was configured */
    bool mptcp;                 /* the socket is MPTCP */
    struct nft_tokens *tokens;  /* what its sessions' tokens are noted in; NULL: none */
    uint8_t quota, full;        /* accepts per turn; turns in a row that used it up */
    _Atomic uint64_t *accepted; /* only this worker writes it; outlives the listener */
};

/* Any thread: a bound, listening socket with SO_REUSEPORT and everything that accepted sockets
 * inherit (TCP_NODELAY, buffer sizes, TCP_FASTOPEN). The fd or -errno. */
int listener_open(const struct listener_options *o, const struct config *c) MUST_CHECK;

/* 0 or -errno; takes `fd` on success. */
int listener_start(struct listener *l, struct worker *w, struct config *c,
                   const struct listener_options *o, int fd,
                   _Atomic uint64_t *accepted) MUST_CHECK;
void listener_configure(struct listener *l, struct config *c,
                        const struct listener_options *o); /* reload, same socket */
/* Takes the connections that wait now, without waiting for the next turn; a bounded number. */
void listener_drain(struct listener *l);
/* A client was admitted: the most there were at a time. Any thread. */
struct shared;
void listener_note_peak(struct shared *shared);
void listener_stop(struct listener *l); /* closes the socket */
void listener_release(
    struct listener *l); /* gives the socket back unclosed: a start that failed half-way */

#endif
