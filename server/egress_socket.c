/* SPDX-License-Identifier: MIT */
#include "egress_socket.h"
#include <errno.h>
#include <linux/rtnetlink.h>
#include <netinet/in.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

static int set(int fd, int level, int name)
{
    static const int on = 1;

    return setsockopt(fd, level, name, &on, sizeof on) != 0 ? -errno : 0;
}

static int set_transparent(int fd, unsigned family)
{
    return family == ADDR_IPV6 ? set(fd, IPPROTO_IPV6, IPV6_TRANSPARENT)
                               : set(fd, IPPROTO_IP, IP_TRANSPARENT);
}

int egress_bind(int fd, const struct egress_choice *c)
{
    struct sockaddr_storage sa;
    socklen_t len = addr_to_sockaddr(&c->source, &sa);
    int rc = 0;

    if (c->transparent)
        rc = set_transparent(fd, c->source.family);
    else if (c->freebind)
        rc = set(fd, IPPROTO_IPV6, IPV6_FREEBIND);
    if (rc == 0)
        rc = c->source.port == 0 ? set(fd, IPPROTO_IP, IP_BIND_ADDRESS_NO_PORT)
                                 : set(fd, SOL_SOCKET, SO_REUSEADDR);
    if (rc != 0)
        return rc;
    return bind(fd, (struct sockaddr *)&sa, len) != 0 ? -errno : 0;
}

int egress_may_be_transparent(void)
{
    int fd = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);

    if (fd < 0)
        return -errno;
    int rc = set_transparent(fd, ADDR_IPV4);
    (void)close(fd); /* nothing of ours is lost */
    return rc;
}

struct route_question {
    struct nlmsghdr head;
    struct rtmsg route;
    struct rtattr mark_head;
    uint32_t mark; /* 0: as any other packet */
    struct rtattr to;
    uint8_t ip[16];
};

static size_t put_question(struct route_question *q, const struct addr *a, uint32_t mark)
{
    size_t bytes = a->family == ADDR_IPV4 ? 4 : 16;
    size_t len = sizeof *q - sizeof q->ip + bytes;

    *q = (struct route_question){
        .head = {.nlmsg_len = (uint32_t)len,
                 .nlmsg_type = RTM_GETROUTE,
                 .nlmsg_flags = NLM_F_REQUEST},
        .route = {.rtm_family = a->family == ADDR_IPV4 ? AF_INET : AF_INET6,
                  .rtm_dst_len = (uint8_t)(8 * bytes)},
        .mark_head = {.rta_len = (uint16_t)RTA_LENGTH(sizeof q->mark), .rta_type = RTA_MARK},
        .mark = mark,
        .to = {.rta_len = (uint16_t)RTA_LENGTH(bytes), .rta_type = RTA_DST},
    };
    memcpy(q->ip, a->ip, bytes);
    return len;
}

static bool ends_here(const struct addr *a, uint32_t mark)
{
    struct route_question q;
    size_t len = put_question(&q, a, mark);
    union {
        struct nlmsghdr head;
        uint8_t octets[4096];
    } answer;
    struct rtmsg route;
    bool local = true;
    int fd = socket(AF_NETLINK, SOCK_RAW | SOCK_CLOEXEC, NETLINK_ROUTE);

    if (fd < 0)
        return true;
    if (send(fd, &q, len, 0) == (ssize_t)len) {
        ssize_t got = recv(fd, &answer, sizeof answer, 0);
        if (got >= (ssize_t)NLMSG_LENGTH(sizeof(struct nlmsgerr)) &&
            answer.head.nlmsg_type == NLMSG_ERROR)
            local = false; /* there is no route to it at all */
        if (got >= (ssize_t)NLMSG_LENGTH(sizeof route) &&
            answer.head.nlmsg_type == RTM_NEWROUTE) {
            memcpy(&route, answer.octets + NLMSG_HDRLEN, sizeof route);
            local = route.rtm_type == RTN_LOCAL;
        }
    }
    (void)close(fd); /* nothing of ours is lost */
    return local;
}

bool egress_is_local(const struct addr *a)
{
    return ends_here(a, 0);
}

bool egress_mark_is_local(uint32_t mark, unsigned family)
{
    /* Documentation's (RFC 5737, RFC 3849): nobody's own. */
    static const struct addr any4 = {.family = ADDR_IPV4, .ip = {192, 0, 2, 1}};
    static const struct addr any6 = {.family = ADDR_IPV6,
                                     .ip = {0x20, 0x01, 0x0d, 0xb8, [15] = 0xfe}};

    return ends_here(family == ADDR_IPV4 ? &any4 : &any6, mark);
}

const struct prefix *egress_not_local(const struct egress_policy *e, size_t *at,
                                      const char **key)
{
    bool shares =
        e->ipv4 == EGRESS_SHARE || e->ipv6 == EGRESS_SHARE || e->otherwise == EGRESS_OR_SHARE;
    bool maps = e->ipv4 == EGRESS_ONE_TO_ONE || e->ipv6 == EGRESS_ONE_TO_ONE;

    while (*at < e->pool.count + e->map.count) {
        size_t i = (*at)++;
        bool pool = i < e->pool.count;
        const struct prefix *p =
            pool ? &e->pool.item[i] : &e->map.item[i - e->pool.count].egress;

        *key = pool ? "pool" : "map";
        if ((pool ? shares : maps) && !egress_is_local(&p->base))
            return p;
    }
    return NULL;
}
