/* SPDX-License-Identifier: MIT */
/* inplace_watch - what becomes of sockets that were connected in place, for as long as somebody
 * looks: did the concentrator take the request in the SYN, is it still exact. A few places,
 * lock-free; what is lost is a piece of advice. */
#ifndef CLIENT_INPLACE_WATCH_H
#define CLIENT_INPLACE_WATCH_H
#include "reach.h"
#include <stdatomic.h>

enum { INPLACE_WATCHED = 16 };

struct inplace_seen {
    uint64_t cookie;   /* of the socket; 0: none */
    int fd;            /* where it is, or was: the cookie tells */
    int pid;           /* of the process with that descriptor; 0: this one */
    uint8_t proxy;     /* settings.proxy[] */
    bool stood;        /* it was seen connected, and that is counted */
    uint64_t began_ms; /* private */
};

struct inplace_watch { /* all zeroes: nothing is watched */
    struct {
        _Atomic uint64_t cookie, what, began_ms;
    } place[INPLACE_WATCHED];
    atomic_uint next;
};

/* The oldest makes way. */
void inplace_watch_add(struct inplace_watch *w, const struct inplace_seen *s);
/* False: place `i` is empty. */
bool inplace_watch_get(const struct inplace_watch *w, unsigned i, struct inplace_seen *out);
/* True once: whoever takes it may judge it. */
bool inplace_watch_take(struct inplace_watch *w, unsigned i, uint64_t cookie);
/* Puts it back, unless there is another one by now. */
void inplace_watch_put(struct inplace_watch *w, unsigned i, const struct inplace_seen *s);
void inplace_watch_clear(struct inplace_watch *w);

/* `s` was taken, `fd` is our descriptor of it, `error` what SO_ERROR or connect() told of it, 0
 * if nothing. Counts SUCCEEDED, MPTCP, FALLBACK, TFO, TFO_MISSED, ANSWER_MS or REFUSED, and
 * teaches proxies.h. True: *s is to be watched on. */
bool inplace_judge(const struct reach_env *env, struct inplace_seen *s, int fd, int error);

#endif
