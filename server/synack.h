/* SPDX-License-Identifier: MIT */
/* synack - exact listeners: the client's SYN is answered when the target has accepted (RFC 8803
 * s4, draft -10 s6.2). Joins queues, table and sessions; docs/exact-connect.md has the
 * sequences.
 *
 * Happy path: a firewall rule sends the SYN-ACKs of exact listeners to our queues. The SYN's
 * data makes the kernel give us the connection at once; the session claims it, dials, and
 * releases the SYN-ACK: the client's connect() returns. Failure path: the session refuses, and
 * the SYN-ACK leaves as a RST or an ICMP message. Whatever cannot be exact (no data in the SYN,
 * or not taken; the rule is missing; the table is full; an untrusted source; too slow a target)
 * goes on as on any other listener, and is counted.
 *
 * The hosts of a transparent exact listener send no request: their SYN-ACK itself says whom
 * they want, and a session is begun for it before there is a socket (embryo.h).
 *
 * The object is the process's, one queue per worker. Each worker attaches its own and reads it
 * on its own thread; the session calls are made on the session's worker. */
#ifndef SERVER_SYNACK_H
#define SERVER_SYNACK_H
#include "base/log.h"
#include "options.h"
#include "poller.h"
#include "stats.h"
#include "synack_diag.h"
#include "synack_queue.h"
#include "synack_table.h"

struct synack;

/* Binds `workers` queues from c->exact.queue on. NULL with *err filled: which queue, and what
 * is missing. Main thread. */
struct synack *synack_new(const struct config *c, unsigned workers,
                          struct conf_error *err) MUST_CHECK;
/* Main thread; at start and at reload: how long a SYN-ACK is held. */
void synack_configure(struct synack *s, const struct config *c);
/* Any thread: SYN-ACKs held now; connections between claim and forget. Zero for NULL. */
void synack_look(const struct synack *s, uint64_t *held, uint64_t *tracked);
void synack_free(struct synack *s); /* after the workers; NULL is fine */

/* The mark (SO_MARK) of a transparent exact listener's socket, by which its SYN-ACKs are told
 * from all others: exact.mark and, in the low octet, its index in the configuration. 0: none.
 */
enum { SYNACK_MARK_INDEX = 0xff };
uint32_t synack_mark(const struct config *c, const struct listener_options *o);

/* What begins sessions for SYN-ACKs whose connections are no sockets yet. `o` is of the
 * configuration in use; `key->local` is what the host asked for. */
struct synack_embryos {
    /* Is it to be held? Has no effect. */
    bool (*wanted)(void *arg, const struct listener_options *o, const struct synack_key *key);
    /* It is held: synack_conceive() follows. */
    void (*start)(void *arg, const struct listener_options *o, const struct synack_key *key,
                  uint64_t cookie);
    void *arg;
};

/* A worker's end of it. */
struct synack_port {
    struct watch watch;
    struct synack *synack; /* NULL: not attached, and every call is harmless */
    struct stats *stats;
    struct poller *poller;
    struct log *log;
    const struct config *config;
    unsigned index;
    struct synack_embryos embryos; /* set by the worker; all zero: there are none */
    bool due;                      /* packets wait for synack_turn() */
};

int synack_attach(struct synack_port *p, struct synack *s, unsigned index,
                  struct poller *poller, struct stats *stats, struct log *log) MUST_CHECK;
void synack_detach(struct synack_port *p);
/* Which listeners are exact, until the next call or the detachment: `c` must live as long. */
void synack_use(struct synack_port *p, const struct config *c);
/* At the end of a turn: by then the turn's connections are accepted and have claimed their
 * SYN-ACKs, which saves asking the kernel whose they are. */
void synack_turn(struct synack_port *p);
void synack_tick(struct synack_port *p); /* every 50 ms: what is held too long passes */

/* Of one session. */
struct synack_hold {
    struct synack_key key;
    const char *listener; /* its name; lives as long as the session */
    bool claimed;         /* between synack_claim() and synack_forget() */
    bool decided;
    bool missed;     /* counted and told once */
    bool embryo;     /* its connection is not accepted yet */
    bool cancelled;  /* the kernel was told to forget its request */
    uint64_t cookie; /* of an embryo: its request's, in the kernel */
};

/* Not claimed when the table is full: the connection goes on as on any other listener. */
void synack_claim(struct synack_port *p, struct synack_hold *h, const struct addr *local,
                  const struct addr *peer);
/* The SYN-ACK did not come to the queues: counts, and says so in the log, not often. */
void synack_missed(struct synack_port *p, struct synack_hold *h);
/* Let the SYN-ACK go, now or when it comes. Idempotent. */
void synack_release(struct synack_port *p, struct synack_hold *h);
/* True: the client was told in the handshake, and nothing more is to be sent to it. False: its
 * SYN-ACK has gone already, or never came to the queue. */
bool synack_refuse(struct synack_port *p, struct synack_hold *h, struct failure f);
/* The third ACK came: the SYN-ACK has been in a queue, or is missed. Then as forget(). */
void synack_proven(struct synack_port *p, struct synack_hold *h);
/* The session ends: what is still held is dropped. Idempotent. */
void synack_forget(struct synack_port *p, struct synack_hold *h);

/* Embryos, see embryo.h. */

/* For `start`: as synack_claim(), and `session` waits for the connection to be accepted. Then
 * all of the above is for it as well, but a target that does not answer is not told: the
 * SYN-ACK is dropped, and the host waits as long as it wants to. False: not claimed. */
bool synack_conceive(struct synack_port *p, struct synack_hold *h, const struct synack_key *key,
                     uint64_t cookie, void *session) MUST_CHECK;
/* A connection was accepted: whose is it? As synack_table_find(). */
enum synack_found synack_meet(const struct synack_port *p, struct synack_key *key,
                              struct synack_owner *owner) MUST_CHECK;
/* More connections than exact.held_max: the next is not exact. */
bool synack_full(const struct synack_port *p) MUST_CHECK;
/* The session has its connection. Then as forget(). */
void synack_born(struct synack_port *p, struct synack_hold *h);
/* Released: may the connection still come? Two system calls. */
bool synack_waits(const struct synack_port *p, const struct synack_hold *h) MUST_CHECK;

#endif
