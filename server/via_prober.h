/* SPDX-License-Identifier: MIT */
/* via_prober - asks each concentrator what it is, when that is not known or no longer certain,
 * and whether it is back: beside the connections of clients, which never wait for it. One
 * worker's; its loop thread only. At most VIA_PROBES_MAX at a time, each for VIA_PROBE_MAX_MS
 * at most; how often: via_known.h. */
#ifndef SERVER_VIA_PROBER_H
#define SERVER_VIA_PROBER_H
#include "via.h"
#include "via_probe.h"

enum { VIA_PROBES_MAX = 4, VIA_PROBE_MAX_MS = 3000 };

struct config;

struct via_prober { /* zeroed: nothing runs */
    struct via_probing {
        struct via_probe probe;
        struct config *config; /* a reference while it runs */
    } probing[VIA_PROBES_MAX];
};

/* From time to time. `env` and `shared` outlive the prober. */
void via_prober_tick(struct via_prober *p, const struct connector_env *env,
                     struct via_shared *shared, struct config *config);
void via_prober_stop(struct via_prober *p);

#endif
