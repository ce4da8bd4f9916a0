/* SPDX-License-Identifier: MIT */
/* via_health - which concentrator next: what is known of each, and the order in which a
 * client's connection tries them. Shared by all workers; any thread; lock-free. No I/O, no
 * clock, no uv.h.
 *
 * One that could not be reached is left alone for a second, doubling to a minute; then one
 * connection tries it again, and the others follow when that succeeded: a concentrator that
 * comes and goes does not take connections with it. */
#ifndef SERVER_VIA_HEALTH_H
#define SERVER_VIA_HEALTH_H
#include "via_conf.h"
#include <stdatomic.h>

struct via_health {
    struct via_state {
        _Atomic uint64_t address;  /* fingerprint of whose state this is; 0: nobody's */
        _Atomic uint64_t retry_ms; /* not before; 0: healthy */
        _Atomic uint32_t failures; /* in a row */
    } state[2 * VIA_CONCENTRATORS_MAX];
};

/* Indices into `list`, best first: by priority, among equals by rendezvous hashing on `client`,
 * so that all connections of one client meet the same one, and only its own move when one goes;
 * those in back-off last. Returns list->count. */
unsigned via_health_order(struct via_health *h, const struct via_list *list,
                          const struct addr *client, uint64_t now_ms,
                          uint8_t order[VIA_CONCENTRATORS_MAX]);
void via_health_failed(struct via_health *h, const struct addr *concentrator, uint64_t now_ms);
void via_health_good(struct via_health *h, const struct addr *concentrator);
bool via_health_is_down(struct via_health *h, const struct addr *concentrator, uint64_t now_ms);

#endif
