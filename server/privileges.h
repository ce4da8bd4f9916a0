/* SPDX-License-Identifier: MIT */
/* privileges - what the daemon may do once its configuration is read. Capabilities are a
 * thread's: drop before the first thread starts (the log's), which is also before anybody asks
 * what is allowed (leg_buffer_allowed()). What opening listeners and queues needs is kept. No
 * uv.h. */
#ifndef SERVER_PRIVILEGES_H
#define SERVER_PRIVILEGES_H
#include "options.h"

struct privileges {
    bool net_admin; /* CAP_NET_ADMIN: exact listeners' queues, and each verdict; transparent
                       listeners; source addresses that are preserved; nftables sets; some
                       congestion controls */
    bool mark;      /* CAP_NET_ADMIN, or CAP_NET_RAW where the former is not there: SO_MARK */
    bool net_bind_service; /* CAP_NET_BIND_SERVICE: low ports, at start and at a reload */
};

/* What serving `c` needs. Ports below `low_ports` are privileged. */
struct privileges privileges_needed(const struct config *c, uint32_t low_ports);
/* net.ipv4.ip_unprivileged_port_start; the kernel's default when it cannot be read. */
uint32_t privileges_low_ports(void);
/* Whether this thread has it now. */
bool privileges_have_net_admin(void);

/* Of what this thread has, only `keep` remains (effective and permitted); inheritable, ambient
 * and bounding set are empty, and no exec brings anything back. What it has not it does not
 * get. 0 or -errno. */
int privileges_drop(struct privileges keep) MUST_CHECK;

#endif
