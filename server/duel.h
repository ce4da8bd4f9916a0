/* SPDX-License-Identifier: MIT */
/* duel - one address, tried with MP_CAPABLE and, where the offer is watched, with plain TCP
 * beside it when that stays silent, or after it when that is refused. connector.c's inner part.
 * Loop thread only. What came of the offer is counted and remembered here.
 *
 * Happy path: duel_start(), an edge on `first`, duel_won(). Failure path: duel_lost() of one
 * attempt may leave the other; what ends both is the verdict. A server or a middlebox that
 * drops MP_CAPABLE costs slow_after_ms once. An unreachable server is told by plain TCP's ICMP
 * error, which an MPTCP socket would keep back for a second. */
#ifndef SERVER_DUEL_H
#define SERVER_DUEL_H
#include "attempt.h"
#include "offer.h"

/* Borrowed during each call. */
struct duel_env {
    struct poller *poller;
    struct stats *stats; /* may be NULL */
    const struct attempt_client *client;
    struct offer_table *offers; /* may be NULL unless the mode is auto */
    const struct offer_policy *policy;
    poller_ready_fn *first_ready, *second_ready;
    uint64_t now_ms;
};

struct duel {
    struct attempt first, second; /* watch.fd is -1 while it does not run */
    uint64_t due_ms;              /* the second's turn; UINT64_MAX: it has none */
    enum offer offer;
};

/* Before anything else. */
void duel_init(struct duel *d);
/* The first attempt, as attempt_start(). `wanted`: offer_decide()'s. */
struct failure duel_start(struct duel *d, const struct duel_env *e, const struct addr *to,
                          bool wanted, struct span *early);
/* Starts the second attempt if its time has come. Returns due_ms. */
uint64_t duel_tick(struct duel *d, const struct duel_env *e);
/* `a`, one of the two, failed. True: nothing runs any more, and its failure is the verdict. */
bool duel_lost(struct duel *d, const struct duel_env *e, struct attempt *a);
/* `a` is connected; ends the other one. */
void duel_won(struct duel *d, const struct duel_env *e, const struct attempt *a);
void duel_close(struct duel *d, struct poller *poller);

#endif
