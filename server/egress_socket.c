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
    struct rtattr to;
    uint8_t ip[16];
};

static size_t ask(struct route_question *q, const struct addr *a)
{
    size_t bytes = a->family == ADDR_IPV4 ? 4 : 16;
    size_t len = sizeof *q - sizeof q->ip + bytes;

    *q = (struct route_question){
        .head = {.nlmsg_len = (uint32_t)len,
                 .nlmsg_type = RTM_GETROUTE,
                 .nlmsg_flags = NLM_F_REQUEST},
        .route = {.rtm_family = a->family == ADDR_IPV4 ? AF_INET : AF_INET6,
                  .rtm_dst_len = (uint8_t)(8 * bytes)},
        .to = {.rta_len = (uint16_t)RTA_LENGTH(bytes), .rta_type = RTA_DST},
    };
    memcpy(q->ip, a->ip, bytes);
    return len;
}

bool egress_is_local(const struct addr *a)
{
    struct route_question q;
    size_t len = ask(&q, a);
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
