/* SPDX-License-Identifier: MIT */
/* via_try - one target asked of one concentrator. via.c's inner part, which decides how many
 * run. Loop thread only; no timer of its own: the owner calls via_try_look() now and then.
 *
 * Happy path: the request in the SYN, the answer, READY. Of an exact listener no answer is
 * wanted: its SYN-ACK is the answer. Failure path: REFUSED, the target's fault, or FAILED, the
 * concentrator's, which is noted (via_health.h, via_known.h). Where the two look alike (a SYN
 * refused by what may be an exact listener; an end without an octet by one that has never
 * answered) a probe tells, before anybody is told.
 *
 * Implicit mode: the target itself is dialled, and an element without address asks whoever is
 * on the way. An echo is READY; anything else is FAILED, the connection is reset, and the path
 * is noted (via_path.h). Only where the echo came before may REFUSED be the target's. */
#ifndef SERVER_VIA_TRY_H
#define SERVER_VIA_TRY_H
#include "leg.h"
#include "via_path.h"
#include "via_probe.h"

enum {
    VIA_TRY_RACE_MS = 300, /* a SYN without answer: another may be tried beside it; more on a
                              path with a longer round trip */
    VIA_TRY_SILENCE_MS = 3000, /* the same for a request, by then a probe has failed as well */
    VIA_TRY_PROBE_MS = 500,    /* for a probe's answer, likewise */
};

enum via_try_end { VIA_TRY_READY, VIA_TRY_REFUSED, VIA_TRY_FAILED };
struct via_try;
typedef void via_try_done_fn(struct via_try *t, enum via_try_end end);

struct via_try_how {
    struct via_probe_how base; /* `to` is NULL in implicit mode */
    struct via_path *path;
    bool implicit, proven; /* dial the target; the path is proven */
    const struct target *target;
    const struct addr *source;
    struct leg_buffer buffer;
};
struct via_try {
    struct via_try_how how;
    via_try_done_fn *done;
    void *arg;
    struct failure failure; /* REFUSED */
    struct attempt attempt; /* READY: whose fd is handed over */
    struct initiator initiator;
    struct via_concentrator target; /* private: in implicit mode, the target as one */
    struct via_probe *probe;        /* private; NULL until one was needed */
    uint64_t started_ms, connected_ms, alive_ms;
    uint32_t events; /* seen on the attempt's socket */
    uint8_t cookie[VIA_COOKIE_MAX];
    bool connected, no_answer, over;
    bool verifying, aborted, alive, dead; /* private: what the probe is for, what it said */
    bool slow;                            /* the owner's */
};

/* Everything in `how` is borrowed until `done` or via_try_stop(). `done` runs once, never from
 * inside. False: it could not begin, which was noted; via_try_free() all the same. NULL fields
 * of *t are not looked at. */
bool via_try_start(struct via_try *t, const struct via_try_how *how, via_try_done_fn *done,
                   void *arg) MUST_CHECK;
/* True: it is silent, somebody else may be tried beside it; nobody was dialled by it. May run
 * `done`. `alternative`: there is somebody else. */
bool via_try_look(struct via_try *t, bool alternative);
/* Its time is over: a request without answer counts (K4 d). Then via_try_stop(). */
void via_try_timed_out(struct via_try *t);
void via_try_stop(struct via_try *t);
void via_try_free(struct via_try *t); /* what it allocated, not *t; it has stopped */

#endif
