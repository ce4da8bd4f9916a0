/* SPDX-License-Identifier: MIT */
/* reach - one connection through the first concentrator that can be reached: sockets like the
 * program's, TFO policy, back-off, one deadline, verdict. Never blocks by itself; no
 * allocation; no errno. One thread at a time; a value of the caller's, about 4 KiB. */
#ifndef CLIENT_REACH_H
#define CLIENT_REACH_H
#include "dial.h"
#include "natives.h"
#include "plan.h"
#include "proxies.h"
#include "settings.h"
#include "shared.h"

struct reach_env { /* lives as long as the process */
    const struct settings *settings;
    struct proxies *proxies;
    struct shared *shared;
    struct natives *natives; /* may be NULL */
};

struct reach {
    const struct reach_env *env; /* private, but for these: */
    struct dial dial;            /* WAIT: poll dial.fd for dial.events */
    uint64_t wake_ms;            /* WAIT: but no longer than until then */
    int fd;                      /* READY: connected, the caller's; non-blocking */
    int error;                   /* FAILED: errno for the program */
    bool direct;                 /* FAILED: no concentrator could be reached and on_failure is
                                    direct: the program's own connect() may be tried */
    struct plan plan;
    int model;
    uint64_t began_ms, deadline_ms;
    uint8_t order[SETTINGS_PROXIES_MAX], next, count;
    bool reached_one;
    bool limited, learned;
    bool native; /* the dial under way, or READY, leads to the target itself */
    unsigned lost; /* READY: options of the model that the socket lacks, counted already */
    uint64_t socket_cookie, attempt_ms, attempt_until_ms;
    enum dial_step step;
};

/* Counts CONNECTS, SUCCEEDED, REFUSED, FAILED, DIRECT (left to the program), NATIVE, MPTCP, FALLBACK,
 * TFO, TFO_MISSED, OPTION_LOST and ANSWER_MS; callers count the others. */

/* `model`: the program's socket (or its placeholder), borrowed until READY or FAILED.
 * `limit_ms`: SO_SNDTIMEO of a blocking socket, 0 for none; the shorter of it and
 * connect_seconds counts. */
enum dial_step reach_start(struct reach *r, const struct reach_env *env, const struct plan *p,
                           int model, uint64_t limit_ms);
enum dial_step reach_run(struct reach *r, uint64_t now_ms);
/* Runs to the end, waiting. 0: READY; -errno: FAILED; -EINTR: a signal handler ran whose
 * restart the program did not ask for (SA_RESTART), or, with `limit_ms`, any: the reach is
 * still under way. */
int reach_wait(struct reach *r);
/* Gives up: closes what is open. Idempotent; not for a READY fd. */
void reach_drop(struct reach *r);
/* The deadline's error is ETIMEDOUT, or, with `limit_ms` run out, EINPROGRESS (socket(7),
 * SO_SNDTIMEO). */

#endif
