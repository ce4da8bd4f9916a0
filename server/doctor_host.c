/* SPDX-License-Identifier: MIT */
/* What the kernel is, and what this process may. */
#include "doctor_checks.h"
#include "privileges.h"
#include "synack_queue.h"
#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

enum { FASTOPEN_SERVER = 2 };

/* False: there is no such key, or it is not to be read. */
static bool sysctl_number(const char *path, unsigned long *out)
{
    FILE *f = fopen(path, "re");
    char text[32] = "";
    char *end = text;

    if (f == NULL)
        return false;
    if (fgets(text, sizeof text, f) != NULL)
        *out = strtoul(text, &end, 0);
    (void)fclose(f); /* only read */
    return end != text;
}

struct doctor_finding doctor_check_config(const struct doctor *d)
{
    unsigned exact = 0;

    if (d->config == NULL)
        return doctor_bad("put the file right; mpconvertd --check says the same", "%s",
                          d->error.text);
    for (size_t i = 0; i < d->config->listeners.count; i++)
        exact += d->config->listeners.item[i].exact;
    return doctor_good("%s: %zu listeners, %u of them exact",
                       d->path != NULL ? d->path : "defaults", d->config->listeners.count,
                       exact);
}

struct doctor_finding doctor_check_mptcp(const struct doctor *d)
{
    unsigned long enabled = 0;
    bool wanted = false;

    for (size_t i = 0; i < d->config->listeners.count; i++)
        wanted |= d->config->listeners.item[i].mptcp;
    if (!wanted)
        return doctor_skipped("no listener has Multipath TCP");
    if (!sysctl_number("/proc/sys/net/mptcp/enabled", &enabled))
        return doctor_bad("use a kernel with CONFIG_MPTCP",
                          "this kernel has no Multipath TCP: every client is served over TCP");
    if (enabled == 0)
        return doctor_bad("sysctl -w net.mptcp.enabled=1",
                          "net.mptcp.enabled is 0: every client is served over TCP");
    return doctor_good("net.mptcp.enabled is %lu", enabled);
}

struct doctor_finding doctor_check_fastopen(const struct doctor *d)
{
    unsigned long value = 0;
    bool wanted = false;

    for (size_t i = 0; i < d->config->listeners.count; i++)
        wanted |= d->config->listeners.item[i].fastopen || d->config->listeners.item[i].exact;
    if (!wanted)
        return doctor_skipped("no listener takes requests from SYNs");
    if (!sysctl_number("/proc/sys/net/ipv4/tcp_fastopen", &value))
        return doctor_bad("let it be read, or look by hand: it must have bit 2",
                          "net.ipv4.tcp_fastopen cannot be read");
    if ((value & FASTOPEN_SERVER) == 0) {
        char advice[64];
        (void)snprintf(advice, sizeof advice, "sysctl -w net.ipv4.tcp_fastopen=%lu",
                       value | FASTOPEN_SERVER);
        return doctor_bad(advice,
                          "net.ipv4.tcp_fastopen is %lu, without bit 2: requests in SYNs are "
                          "ignored, cost MPTCP, and no connection is exact",
                          value);
    }
    return doctor_good("net.ipv4.tcp_fastopen is %lu, with bit 2", value);
}

struct doctor_finding doctor_check_privilege(const struct doctor *d)
{
    (void)d;
    if (!privileges_have_net_admin())
        return doctor_bad("run this, and the daemon, as root or with CAP_NET_ADMIN",
                          "no CAP_NET_ADMIN: exact, transparent and preserving "
                          "listeners need it, and so do most checks");
    return doctor_good("CAP_NET_ADMIN is there");
}

static bool kernel_has_queues(void)
{
    return access("/proc/net/netfilter/nfnetlink_queue", F_OK) == 0;
}

/* The first to ask for a queue makes the kernel load the module. */
struct doctor_finding doctor_check_nfqueue(const struct doctor *d)
{
    struct synack_queue q;
    int rc = 0;

    if (!kernel_has_queues()) {
        rc = synack_queue_open(&q, (uint16_t)d->config->exact.queue, 1);
        if (rc == 0)
            synack_queue_close(&q);
    }
    if (!kernel_has_queues())
        return doctor_bad("modprobe nfnetlink_queue, or use a kernel with "
                          "CONFIG_NETFILTER_NETLINK_QUEUE",
                          "this kernel has no netfilter queues (%s)",
                          rc != 0 ? strerror(-rc) : "/proc/net/netfilter is not to be seen");
    return doctor_good("the kernel has netfilter queues");
}
