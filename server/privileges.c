/* SPDX-License-Identifier: MIT */
#include "privileges.h"
#include "policy_conf.h"
#include <errno.h>
#include <linux/capability.h>
#include <stdio.h>
#include <sys/prctl.h>
#include <sys/syscall.h>
#include <unistd.h>

enum { LOW_PORTS = 1024, WORDS = _LINUX_CAPABILITY_U32S_3, CAPABILITIES_MAX = 32 * WORDS };

static bool is_low(const struct addr *a, uint32_t low_ports)
{
    return a->port != 0 && a->port < low_ports;
}

struct privileges privileges_needed(const struct config *c, uint32_t low_ports)
{
    struct privileges p = {.net_admin = policy_needs_net_admin(&c->policies) ||
                                        c->native.counters.count > 0,
                           .mark = policy_needs_mark(&c->policies),
                           .net_bind_service = is_low(&c->stats.address, low_ports)};

    for (size_t i = 0; i < c->listeners.count; i++) {
        const struct listener_options *o = &c->listeners.item[i];
        p.net_admin |= o->exact || o->transparent || egress_is_transparent(o->egress);
        p.net_bind_service |= is_low(&o->address, low_ports);
    }
    return p;
}

uint32_t privileges_low_ports(void)
{
    FILE *f = fopen("/proc/sys/net/ipv4/ip_unprivileged_port_start", "re");
    char text[16] = "";
    char *end = text;
    unsigned long value = LOW_PORTS;

    if (f == NULL)
        return LOW_PORTS;
    if (fgets(text, sizeof text, f) != NULL)
        value = strtoul(text, &end, 10);
    (void)fclose(f); /* only read */
    return end == text || value > 65536 ? LOW_PORTS : (uint32_t)value;
}

/* Of this thread. */
static int get(struct __user_cap_data_struct data[WORDS])
{
    struct __user_cap_header_struct head = {.version = _LINUX_CAPABILITY_VERSION_3};

    return syscall(SYS_capget, &head, data) != 0 ? -errno : 0;
}

bool privileges_have_net_admin(void)
{
    struct __user_cap_data_struct data[WORDS];

    return get(data) == 0 && (data[CAP_TO_INDEX(CAP_NET_ADMIN)].effective &
                              (uint32_t)CAP_TO_MASK(CAP_NET_ADMIN)) != 0;
}

/* The narrower one only where it is all there is: before Linux 5.17 it does not mark. */
static int marking_capability(const struct __user_cap_data_struct data[WORDS])
{
    bool admin = (data[CAP_TO_INDEX(CAP_NET_ADMIN)].permitted &
                  (uint32_t)CAP_TO_MASK(CAP_NET_ADMIN)) != 0;

    return admin ? CAP_NET_ADMIN : CAP_NET_RAW;
}

/* Without CAP_SETPCAP the bounding set stays as it is, and no_new_privs must do. */
static void empty_bounding_set(void)
{
    for (int cap = 0; cap < CAPABILITIES_MAX; cap++)
        if (prctl(PR_CAPBSET_DROP, cap, 0, 0, 0) != 0)
            return; /* not allowed, or the kernel has no more of them */
}

int privileges_drop(struct privileges keep)
{
    struct __user_cap_header_struct head = {.version = _LINUX_CAPABILITY_VERSION_3};
    struct __user_cap_data_struct data[WORDS];
    uint32_t mask[WORDS] = {0};
    int rc;

    if (keep.net_admin)
        mask[CAP_TO_INDEX(CAP_NET_ADMIN)] |= (uint32_t)CAP_TO_MASK(CAP_NET_ADMIN);
    if (keep.net_bind_service)
        mask[CAP_TO_INDEX(CAP_NET_BIND_SERVICE)] |= (uint32_t)CAP_TO_MASK(CAP_NET_BIND_SERVICE);
    rc = get(data);
    if (rc != 0)
        return rc;
    if (keep.mark) {
        int cap = marking_capability(data);
        mask[CAP_TO_INDEX(cap)] |= (uint32_t)CAP_TO_MASK(cap);
    }
    empty_bounding_set();
    if (prctl(PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0) != 0 ||
        prctl(PR_CAP_AMBIENT, PR_CAP_AMBIENT_CLEAR_ALL, 0, 0, 0) != 0)
        return -errno;
    for (size_t i = 0; i < WORDS; i++) {
        data[i].permitted &= mask[i];
        data[i].effective = data[i].permitted;
        data[i].inheritable = 0;
    }
    return syscall(SYS_capset, &head, data) != 0 ? -errno : 0;
}
