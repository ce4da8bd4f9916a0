/* SPDX-License-Identifier: MIT */
/* via_health - which concentrator next: which can be reached, and the order in which a client's
 * connection tries them. What else is known of each is in via_known.h. Shared by all workers;
 * any thread; lock-free. No I/O, no clock, no uv.h.
 *
 * One that could not be reached is left alone for a second, doubling to a minute; then one
 * connection tries it again, and the others follow when that succeeded: a concentrator that
 * comes and goes does not take connections with it. The doubling goes on until it was well for
 * a minute on end, so one that is there every other second is used less and less. A SYN that
 * was not answered may just have been lost: after such a failure five seconds are enough, and
 * none counts while others are answered. */
#ifndef SERVER_VIA_HEALTH_H
#define SERVER_VIA_HEALTH_H
#include "via_conf.h"
#include <stdatomic.h>

enum {
    VIA_HEALTH_FIRST_MS = 1000,         /* back-off after a failure */
    VIA_HEALTH_MOST_MS = 60000,         /* its most */
    VIA_HEALTH_STEADY_MS = 60000,       /* well for so long: a failure is a first one again */
    VIA_HEALTH_STEADY_SILENT_MS = 5000, /* the same for silence */
};

struct via_health {
    struct via_state {
        _Atomic uint64_t print;         /* fingerprint of whose state this is; 0: nobody's */
        _Atomic uint64_t retry_ms;      /* not before; 0: healthy */
        _Atomic uint64_t good_since_ms; /* since its last failure; 0: not since */
        _Atomic uint64_t seen_ms;       /* when it last answered; 0: never */
        _Atomic uint32_t failures;      /* how often the wait was doubled */
        _Atomic uint64_t failures_total;
        /* Of via_known. */
        _Atomic bool proven;
        _Atomic uint32_t mute;         /* in a row, while not proven */
        _Atomic uint64_t mute_last[2]; /* fingerprints of the targets of the last ones */
        _Atomic uint64_t listed_until_ms;
        _Atomic uint64_t exact_until_ms, probe_due_ms, tfo_until_ms;
        _Atomic uint32_t exact, tfo_lost, rtt_us;
    } state[2 * VIA_CONCENTRATORS_MAX];
    _Atomic uint64_t flushes;
};

enum via_failure {
    VIA_FAILURE_CERTAIN, /* it said so, or somebody else did */
    VIA_FAILURE_SILENT,  /* no answer */
};

/* Indices into `list`, best first: by priority, among equals by rendezvous hashing on `client`,
 * so that all connections of one client meet the same one, and only its own move when one goes;
 * those in back-off last. Those not asked for `target` (NULL: whatever it is) and those listed
 * as no concentrators are left out. Returns how many remain. */
unsigned via_health_order(struct via_health *h, const struct via_list *list,
                          const struct addr *client, const struct target *target,
                          uint64_t now_ms, uint8_t order[VIA_CONCENTRATORS_MAX]);
/* `since_ms`: when what failed began. One that has answered somebody since is not silent. */
void via_health_failed(struct via_health *h, const struct via_concentrator *c,
                       enum via_failure how, uint64_t since_ms, uint64_t now_ms);
void via_health_good(struct via_health *h, const struct via_concentrator *c, uint64_t now_ms);
bool via_health_is_down(struct via_health *h, const struct via_concentrator *c,
                        uint64_t now_ms);
bool via_health_seen_since(struct via_health *h, const struct via_concentrator *c,
                           uint64_t since_ms);

/* The state of an address and dialect; the first free one becomes its. NULL: all taken by
 * others, who were configured once. For via_known. */
struct via_state *via_health_state(struct via_health *h, const struct via_concentrator *c);
/* Never 0. */
uint64_t via_health_print(const struct addr *a);

#endif
