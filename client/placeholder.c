/* SPDX-License-Identifier: MIT */
#include "placeholder.h"
#include "sys.h"
#include <arpa/inet.h>
#include <errno.h>
#include <fcntl.h>
#include <linux/filter.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <string.h>

#ifndef IP_MINTTL
#define IP_MINTTL 21
#endif
#ifndef IPV6_MINHOPCOUNT
#define IPV6_MINHOPCOUNT 73
#endif
enum { HIGHEST_TTL = 255 };

static int nowhere(int fd, int family)
{
    if (family == AF_INET) {
        struct sockaddr_in to = {.sin_family = AF_INET,
                                 .sin_addr.s_addr = htonl(INADDR_LOOPBACK)};
        return sys_connect(fd, (const struct sockaddr *)&to, sizeof to);
    }
    struct sockaddr_in6 to = {.sin6_family = AF_INET6, .sin6_addr = IN6ADDR_LOOPBACK_INIT};
    int rc = sys_connect(fd, (const struct sockaddr *)&to, sizeof to);

    if (rc == 0 || rc == -EINPROGRESS)
        return rc;
    /* IPv6 may be off on the loopback. Not the first choice: a socket that was connected to a
     * v4-mapped address stays an IPv4 socket inside. */
    to.sin6_addr =
        (struct in6_addr){.s6_addr = {[10] = 0xff, [11] = 0xff, [12] = 127, [15] = 1}};
    return sys_connect(fd, (const struct sockaddr *)&to, sizeof to);
}

static void disconnect(int fd)
{
    struct sockaddr unspec = {.sa_family = AF_UNSPEC};

    (void)sys_connect(fd, &unspec, sizeof unspec); /* nothing is to be done when it fails */
}

static void swallow_error(int fd)
{
    int error;

    (void)sys_get_int(fd, SOL_SOCKET, SO_ERROR, &error); /* reading it is clearing it */
}

/* One file, many threads: O_NONBLOCK is set only where it was not, for a moment. */
static int make_nonblocking(int fd)
{
    int flags = sys_fcntl(fd, F_GETFL, 0);

    if (flags >= 0 && (flags & O_NONBLOCK) == 0)
        (void)sys_fcntl(fd, F_SETFL, flags | O_NONBLOCK);
    return flags;
}

static void give_back_blocking(int fd, int flags)
{
    if (flags >= 0 && (flags & O_NONBLOCK) == 0)
        (void)sys_fcntl(fd, F_SETFL, flags);
}

static int set_ttl(int fd, const struct placeholder *p, int ttl, int hops)
{
    int rc = sys_set_int(fd, IPPROTO_IP, IP_MINTTL, ttl);

    if (p->family == AF_INET6 && (rc == 0 || rc == -ENOPROTOOPT))
        rc = sys_set_int(fd, IPPROTO_IPV6, IPV6_MINHOPCOUNT, hops);
    return rc;
}

static int drop_all(int fd)
{
    struct sock_filter nothing = BPF_STMT(BPF_RET | BPF_K, 0);
    struct sock_fprog program = {.len = 1, .filter = &nothing};

    return sys_setsockopt(fd, SOL_SOCKET, SO_ATTACH_FILTER, &program, sizeof program);
}

bool placeholder_waits(int fd)
{
    uint8_t info[8] = {0}; /* tcpi_state is the first octet */
    socklen_t len = sizeof info;

    return sys_getsockopt(fd, IPPROTO_TCP, TCP_INFO, info, &len) == 0 &&
           info[0] == TCP_SYN_SENT;
}

static int try_to_wait(int fd, const struct placeholder *p)
{
    int rc = nowhere(fd, p->family);

    if (rc == -ECONNABORTED) /* the rest of an earlier failure, told once */
        rc = nowhere(fd, p->family);
    if (rc == 0) { /* TCP_FASTOPEN_CONNECT is set: the SYN would wait for data */
        disconnect(fd);
        swallow_error(fd);
        rc = sys_set_int(fd, IPPROTO_TCP, TCP_FASTOPEN_CONNECT, 0);
        if (rc == 0)
            rc = nowhere(fd, p->family);
    }
    if (rc == -EINPROGRESS && placeholder_waits(fd))
        return 0;
    disconnect(fd);
    swallow_error(fd);
    return rc == 0 || rc == -EINPROGRESS ? -EOPNOTSUPP : rc;
}

int placeholder_park(int fd, int family, struct placeholder *p)
{
    *p = (struct placeholder){.family = family};
    if (sys_get_int(fd, IPPROTO_IP, IP_MINTTL, &p->ttl) != 0)
        p->ttl = 0;
    if (family == AF_INET6 && sys_get_int(fd, IPPROTO_IPV6, IPV6_MINHOPCOUNT, &p->hops) != 0)
        p->hops = 0;
    int flags = make_nonblocking(fd);
    int rc = set_ttl(fd, p, HIGHEST_TTL, HIGHEST_TTL);

    if (rc == 0)
        rc = try_to_wait(fd, p);
    if (rc == -EOPNOTSUPP && drop_all(fd) == 0) { /* packets here have the highest TTL */
        p->filter = true;
        rc = try_to_wait(fd, p);
    }
    if (rc != 0)
        placeholder_restore(fd, p);
    give_back_blocking(fd, flags);
    return rc;
}

void placeholder_restore(int fd, const struct placeholder *p)
{
    (void)set_ttl(fd, p, p->ttl, p->hops); /* what could be set can be set back */
    if (p->filter)
        (void)sys_set_int(fd, SOL_SOCKET, SO_DETACH_FILTER, 0);
}

void placeholder_seal(int fd, struct placeholder *p)
{
    p->filter = p->filter || drop_all(fd) == 0;
    (void)set_ttl(fd, p, p->ttl, p->hops);
}

void placeholder_undo(int fd, const struct placeholder *p)
{
    placeholder_restore(fd, p);
    disconnect(fd);
    swallow_error(fd);
}

void placeholder_fail(int fd, const struct placeholder *p)
{
    int flags = make_nonblocking(fd);

    placeholder_restore(fd, p);
    disconnect(fd);
    swallow_error(fd); /* or EPOLLERR alone would be seen while it connects */
    if (nowhere(fd, p->family) != -EINPROGRESS)
        (void)sys_shutdown(fd, SHUT_RDWR); /* no port left: HUP has to do */
    give_back_blocking(fd, flags);
}
