/* SPDX-License-Identifier: MIT */
/* The program's socket still holds its address, so for the moment of bind() both sockets get
 * SO_REUSEADDR. Where the port cannot be had (privileges dropped since, another program), the
 * address alone is bound: it decides the path, while the port is never seen by the target
 * behind a concentrator. */
#include "sockopts_bind.h"
#include "sys.h"
#include <errno.h>
#include <linux/tcp.h> /* not netinet/tcp.h: the two clash */
#include <netinet/in.h>
#include <stdbool.h>
#include <stddef.h>
#include <string.h>

union any {
    struct sockaddr sa;
    struct sockaddr_in v4;
    struct sockaddr_in6 v6;
};

static in_port_t port_of(const union any *a)
{
    return a->sa.sa_family == AF_INET6 ? a->v6.sin6_port : a->v4.sin_port;
}

static bool any_address(const union any *a)
{
    return a->sa.sa_family == AF_INET6 ? IN6_IS_ADDR_UNSPECIFIED(&a->v6.sin6_addr)
                                       : a->v4.sin_addr.s_addr == htonl(INADDR_ANY);
}

static socklen_t length(const union any *a)
{
    return a->sa.sa_family == AF_INET6 ? sizeof a->v6 : sizeof a->v4;
}

/* True: the address could be kept. A v4-mapped one is an IPv4 one; no other IPv6 address is. */
static bool convert(union any *a, int family)
{
    union any out;

    memset(&out, 0, sizeof out);
    out.sa.sa_family = (sa_family_t)family;
    if (a->sa.sa_family == family)
        return true;
    if (family == AF_INET) {
        bool mapped = IN6_IS_ADDR_V4MAPPED(&a->v6.sin6_addr), kept = mapped || any_address(a);

        out.v4.sin_port = a->v6.sin6_port;
        if (mapped)
            memcpy(&out.v4.sin_addr, a->v6.sin6_addr.s6_addr + 12, 4);
        *a = out;
        return kept;
    }
    bool kept = any_address(a);
    out.v6.sin6_port = a->v4.sin_port;
    *a = out;
    return kept;
}

static int bind_both_reusing(int model, int to, const union any *a)
{
    int model_had = 0, to_had = 0;

    (void)sys_get_int(model, SOL_SOCKET, SO_REUSEADDR, &model_had);
    (void)sys_get_int(to, SOL_SOCKET, SO_REUSEADDR, &to_had);
    if (model_had == 0)
        (void)sys_set_int(model, SOL_SOCKET, SO_REUSEADDR, 1);
    if (to_had == 0)
        (void)sys_set_int(to, SOL_SOCKET, SO_REUSEADDR, 1);
    int rc = sys_bind(to, &a->sa, length(a));
    if (to_had == 0)
        (void)sys_set_int(to, SOL_SOCKET, SO_REUSEADDR, 0);
    if (model_had == 0)
        (void)sys_set_int(model, SOL_SOCKET, SO_REUSEADDR, 0);
    return rc;
}

/* Without a port: chosen by connect(), with regard to the destination, where the kernel can. */
static int bind_address_only(int to, union any *a)
{
    if (a->sa.sa_family == AF_INET6)
        a->v6.sin6_port = 0;
    else
        a->v4.sin_port = 0;
    (void)sys_set_int(to, IPPROTO_IP, IP_BIND_ADDRESS_NO_PORT, 1);
    return sys_bind(to, &a->sa, length(a));
}

/* After a failed connect() getsockname() goes on telling the port it had, bound or not. So what
 * we connect in place bears two marks that no program is likely to set together. */
void sockopts_bind_mark(int fd)
{
    union any a;
    socklen_t len = sizeof a;

    memset(&a, 0, sizeof a);
    if (sys_getsockname(fd, &a.sa, &len) == 0 && port_of(&a) == 0 && any_address(&a))
        (void)sys_set_int(fd, IPPROTO_IP, IP_BIND_ADDRESS_NO_PORT, 1);
}

static bool is_marked(int fd)
{
    int no_cookie = 0, no_port = 0;

    return sys_get_int(fd, IPPROTO_TCP, TCP_FASTOPEN_NO_COOKIE, &no_cookie) == 0 &&
           no_cookie == 1 &&
           sys_get_int(fd, IPPROTO_IP, IP_BIND_ADDRESS_NO_PORT, &no_port) == 0 && no_port == 1;
}

int sockopts_bind_like(int model, int to, int family)
{
    union any a;
    socklen_t len = sizeof a;

    memset(&a, 0, sizeof a);
    if (sys_getsockname(model, &a.sa, &len) != 0 ||
        (a.sa.sa_family != AF_INET && a.sa.sa_family != AF_INET6))
        return 0;
    if ((port_of(&a) == 0 && any_address(&a)) || is_marked(model))
        return 0;
    bool kept = convert(&a, family);
    if (port_of(&a) == 0)
        return any_address(&a) ? 1 : bind_address_only(to, &a);
    if (bind_both_reusing(model, to, &a) == 0)
        return kept ? 0 : 1;
    if (any_address(&a))
        return 1;
    int rc = bind_address_only(to, &a);
    return rc < 0 ? rc : 1;
}
