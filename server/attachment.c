/* SPDX-License-Identifier: MIT */
#include "attachment.h"
#include "via_health.h"
#include <errno.h>
#include <ifaddrs.h>
#include <linux/rtnetlink.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

enum { SETTLE_MS = 500, READS_MAX = 64, MESSAGE_MAX = 8192 };

/* Loopback and link-local ones say nothing of where we are. */
static uint64_t hash_addresses(void)
{
    struct ifaddrs *list;
    uint64_t sum = 0;

    if (getifaddrs(&list) != 0)
        return 0;
    for (const struct ifaddrs *i = list; i != NULL; i = i->ifa_next) {
        struct addr a;
        bool is_ip = i->ifa_addr != NULL &&
                     (i->ifa_addr->sa_family == AF_INET || i->ifa_addr->sa_family == AF_INET6);
        if (!is_ip || !addr_from_sockaddr(i->ifa_addr, sizeof(struct sockaddr_in6), &a))
            continue;
        if (addr_class(&a) != ADDR_CLASS_LOOPBACK && addr_class(&a) != ADDR_CLASS_LINK_LOCAL)
            sum += via_health_print(&a);
    }
    freeifaddrs(list);
    return sum;
}

static bool is_default_route(const struct nlmsghdr *h)
{
    struct rtmsg r;

    if (h->nlmsg_len < NLMSG_LENGTH(sizeof r))
        return false;
    memcpy(&r, (const uint8_t *)h + NLMSG_HDRLEN, sizeof r);
    return r.rtm_dst_len == 0 && r.rtm_type == RTN_UNICAST;
}

bool attachment_concerns(const void *message, size_t len, bool *route)
{
    bool found = false;

    while (len >= sizeof(struct nlmsghdr)) {
        struct nlmsghdr h;
        memcpy(&h, message, sizeof h);
        if (h.nlmsg_len < sizeof h || h.nlmsg_len > len)
            break;
        if (h.nlmsg_type == RTM_NEWADDR || h.nlmsg_type == RTM_DELADDR)
            found = true;
        if ((h.nlmsg_type == RTM_NEWROUTE || h.nlmsg_type == RTM_DELROUTE) &&
            is_default_route(message))
            found = *route = true;
        size_t whole = NLMSG_ALIGN(h.nlmsg_len);
        if (whole > len)
            break;
        message = (const uint8_t *)message + whole;
        len -= whole;
    }
    return found;
}

static void on_settled(uv_timer_t *timer)
{
    struct attachment *a = timer->data;
    uint64_t now = hash_addresses();
    bool changed = a->route || now != a->addresses;

    a->route = false;
    a->addresses = now;
    if (changed)
        a->changed(a->arg);
}

static void on_readable(uv_poll_t *poll, int status, int events)
{
    struct attachment *a = poll->data;
    _Alignas(struct nlmsghdr) uint8_t buf[MESSAGE_MAX];
    bool due = status < 0; /* it has lost some: look */

    (void)events;
    for (unsigned i = 0; i < READS_MAX; i++) { /* the rest: in the next turn */
        ssize_t n = recv(a->fd, buf, sizeof buf, MSG_DONTWAIT);
        bool lost = n < 0 && errno == ENOBUFS;
        if (n <= 0 && !lost)
            break;
        if (lost || attachment_concerns(buf, (size_t)n, &a->route))
            due = true;
    }
    if (due)
        (void)uv_timer_start(&a->settle, on_settled, SETTLE_MS, 0); /* an open timer */
}

static void on_closed(uv_handle_t *h)
{
    struct attachment *a = h->data;

    (void)close(a->fd);
    a->fd = -1;
}

int attachment_open(struct attachment *a, uv_loop_t *loop, attachment_fn *changed, void *arg)
{
    struct sockaddr_nl self = {.nl_family = AF_NETLINK,
                               .nl_groups = RTMGRP_IPV4_IFADDR | RTMGRP_IPV6_IFADDR |
                                            RTMGRP_IPV4_ROUTE | RTMGRP_IPV6_ROUTE};
    int fd = socket(AF_NETLINK, SOCK_RAW | SOCK_CLOEXEC | SOCK_NONBLOCK, NETLINK_ROUTE);

    if (fd < 0)
        return -errno;
    int rc = bind(fd, (struct sockaddr *)&self, sizeof self) != 0 ? -errno : 0;
    if (rc == 0)
        rc = uv_poll_init(loop, &a->poll, fd);
    if (rc != 0) {
        (void)close(fd);
        return rc;
    }
    (void)uv_timer_init(loop, &a->settle); /* cannot fail */
    a->fd = fd;
    a->changed = changed;
    a->arg = arg;
    a->poll.data = a->settle.data = a;
    a->addresses = hash_addresses();
    a->route = false;
    a->open = true;
    rc = uv_poll_start(&a->poll, UV_READABLE, on_readable);
    if (rc != 0)
        attachment_close(a);
    return rc;
}

void attachment_close(struct attachment *a)
{
    if (!a->open)
        return;
    a->open = false;
    uv_close((uv_handle_t *)&a->settle, NULL);
    uv_close((uv_handle_t *)&a->poll, on_closed);
}
