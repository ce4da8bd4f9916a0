/* SPDX-License-Identifier: MIT */
/* via_probe - asks a concentrator what it is; nothing is dialled for it. Loop thread only.
 *
 * Happy path: the question of wire/initiator.h (is your listener exact?) in the SYN, its
 * answer, `done`. An MP_CONVERT peer that ends without an octet may be one that knows no
 * private elements: it is asked once more, by an element without address. SOCKS5, which has no
 * such question, is greeted. Failure path: `done` with what it was instead. It takes no time of
 * its own: the owner stops it, and calls via_probe_look() now and then.
 *
 * What it learns (via_known.h) is noted before `done` runs. */
#ifndef SERVER_VIA_PROBE_H
#define SERVER_VIA_PROBE_H
#include "attempt.h"
#include "connector.h"
#include "via_known.h"
#include "wire/initiator.h"

enum via_probe_end {
    VIA_PROBE_ALIVE,     /* it answered in its dialect */
    VIA_PROBE_FOREIGN,   /* it said something else */
    VIA_PROBE_MUTE,      /* it was reached, and ended without an octet */
    VIA_PROBE_UNREACHED, /* it was not */
};
struct via_probe;
typedef void via_probe_done_fn(struct via_probe *p, enum via_probe_end end);

struct via_probe_how {
    const struct connector_env *env;
    struct via_health *health;
    const struct via_options *options;
    const struct via_concentrator *to;
    const struct policy_leg *policy; /* of the sockets; NULL: none */
};
struct via_probe {
    struct via_probe_how how;
    via_probe_done_fn *done;
    void *arg;           /* the owner's */
    uint64_t started_ms; /* by the loop's clock */
    bool running;
    bool connected, plain; /* private: `plain`, asked the second time */
    struct attempt attempt;
    struct initiator initiator;
    uint8_t cookie[VIA_COOKIE_MAX];
};

/* Everything in `how` is borrowed until `done` or via_probe_stop(). `done` runs once, never
 * from inside; not after via_probe_stop(). False: it could not even begin. */
bool via_probe_start(struct via_probe *p, const struct via_probe_how *how,
                     via_probe_done_fn *done, void *arg) MUST_CHECK;
void via_probe_look(struct via_probe *p); /* for an end that raised no edge; may run `done` */
void via_probe_stop(struct via_probe *p); /* harmless when nothing runs */

#endif
