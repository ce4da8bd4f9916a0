/* SPDX-License-Identifier: MIT */
/* The cheap questions come first: what the address says needs no system call, and most of a
 * program's connects that are left alone are told by it. Then the socket: its kind, whether it
 * is one of ours asked again, whether it is still unconnected. In doubt the kernel decides. */
#include "plan.h"
#include "sys.h"
#include <errno.h>
#include <fcntl.h>
#include <linux/tcp.h> /* not netinet/tcp.h: the two clash */
#include <string.h>

#ifndef IPPROTO_MPTCP
#define IPPROTO_MPTCP 262
#endif

enum {
    STATE_CLOSE = 7, /* tcpi_state */
    QUIC_PORT = 443,
    SIN6_LEN_RFC2133 = 24, /* without sin6_scope_id: the kernel takes that, too */
};

static const struct plan pass = {.kind = PLAN_PASS};

static struct plan refuse(int error)
{
    return (struct plan){.kind = PLAN_REFUSE, .error = error};
}

/* False: the kernel is to say what is wrong with it. Any alignment. */
static bool read_address(const struct sockaddr *sa, socklen_t len, struct addr *out)
{
    struct sockaddr_storage copy;
    sa_family_t family;
    size_t most;

    if (sa == NULL || len < sizeof family)
        return false;
    memcpy(&family, sa, sizeof family);
    if (family == AF_INET && len >= sizeof(struct sockaddr_in))
        most = sizeof(struct sockaddr_in);
    else if (family == AF_INET6 && len >= SIN6_LEN_RFC2133)
        most = len < sizeof(struct sockaddr_in6) ? len : sizeof(struct sockaddr_in6);
    else
        return false;
    memset(&copy, 0, sizeof copy);
    memcpy(&copy, sa, most);
    return addr_from_sockaddr((const struct sockaddr *)&copy, sizeof copy, out);
}

static bool is_proxy(const struct settings *s, const struct addr *a)
{
    struct addr bare = addr_unmap(*a);

    for (unsigned i = 0; i < s->proxies; i++) {
        struct addr proxy = addr_unmap(s->proxy[i]);
        if (proxy.port == bare.port && addr_equal_ip(&proxy, &bare))
            return true;
    }
    return false;
}

/* What means something else, or nothing, seen from the concentrator; "this host" among it. */
static bool is_local_matter(const struct addr *a)
{
    enum addr_class c = addr_class(a);

    return a->port == 0 || c == ADDR_CLASS_UNSPECIFIED || c == ADDR_CLASS_MULTICAST ||
           c == ADDR_CLASS_BROADCAST || (c == ADDR_CLASS_LINK_LOCAL && a->family == ADDR_IPV6);
}

static bool is_left_alone(const struct settings *s, const struct addr *a)
{
    return is_local_matter(a) || is_proxy(s, a) || bypass_has(&s->bypass, a);
}

static bool is_option(int fd, int level, int name, int value)
{
    int is = -1;

    return sys_get_int(fd, level, name, &is) == 0 && is == value;
}

static bool is_udp(int fd)
{
    return is_option(fd, SOL_SOCKET, SO_PROTOCOL, IPPROTO_UDP);
}

static struct plan plan_udp(const struct settings *s, const struct addr *a)
{
    if (s->udp443 == SETTINGS_UDP443_REFUSE && a->port == QUIC_PORT && !is_left_alone(s, a))
        return refuse(ECONNREFUSED);
    return pass;
}

static bool is_tcp(int fd)
{
    int protocol = 0;

    return sys_get_int(fd, SOL_SOCKET, SO_PROTOCOL, &protocol) == 0 &&
           (protocol == IPPROTO_TCP || protocol == IPPROTO_MPTCP) &&
           is_option(fd, SOL_SOCKET, SO_TYPE, SOCK_STREAM);
}

/* Neither connecting, connected, nor listening. */
static bool is_idle(int fd)
{
    struct tcp_info info;
    socklen_t len = sizeof info;

    memset(&info, 0, sizeof info);
    return sys_getsockopt(fd, IPPROTO_TCP, TCP_INFO, &info, &len) == 0 &&
           info.tcpi_state == STATE_CLOSE;
}

/* After a failure that was told, the kernel lets a program try again with the same socket. */
static bool is_asked_again(const struct shared *shared, uint64_t cookie)
{
    struct truth t;

    return truth_get(shared, cookie, &t) && (t.state != TRUTH_FAILED || t.unreported);
}

/* Fills family and v6only. False: this socket cannot go to that address, the kernel says how.
 */
static bool look_at_family(struct plan *p, int fd, const struct addr *a)
{
    int only = 0;

    if (sys_get_int(fd, SOL_SOCKET, SO_DOMAIN, &p->family) < 0 ||
        p->family != (a->family == ADDR_IPV4 ? AF_INET : AF_INET6))
        return false;
    if (p->family == AF_INET)
        return true;
    if (sys_get_int(fd, IPPROTO_IPV6, IPV6_V6ONLY, &only) < 0)
        return false;
    p->v6only = only != 0;
    return !p->v6only || addr_unmap(*a).family == ADDR_IPV6;
}

/* False: an address of the pool that was not given out. */
static bool set_target(struct plan *p, const struct shared *shared, bool pooled)
{
    struct addr bare = addr_unmap(p->peer);
    char name[256];

    bare.scope = 0; /* the kernel ignores it, too, where the address does not need one */
    p->target = target_from_addr(&bare);
    if (!pooled)
        return true;
    return name_from_addr(shared, &bare, name) &&
           target_from_host(span_of(name, strlen(name)), bare.port, &p->target);
}

struct plan plan_connect(const struct settings *s, const struct shared *shared, int fd,
                         const struct sockaddr *sa, socklen_t len)
{
    struct plan p = {.kind = PLAN_PROXY};

    if (s->proxies == 0 || !read_address(sa, len, &p.peer))
        return pass;
    struct addr bare = addr_unmap(p.peer);
    bool pooled = s->remote_dns && name_is_addr(&bare);
    if (!pooled && is_left_alone(s, &p.peer))
        return pass;
    if (!is_tcp(fd))
        return bare.port == QUIC_PORT && is_udp(fd) ? plan_udp(s, &p.peer) : pass;
    p.cookie = sys_cookie(fd);
    if (is_asked_again(shared, p.cookie)) {
        p.kind = PLAN_AGAIN;
        return p;
    }
    p.flags = sys_fcntl(fd, F_GETFL, 0);
    if (p.flags < 0 || !look_at_family(&p, fd, &p.peer) || !is_idle(fd))
        return pass;
    if (!set_target(&p, shared, pooled))
        return refuse(EHOSTUNREACH); /* what an unknown name is to a concentrator */
    return p;
}

struct plan plan_datagram(const struct settings *s, int fd, const struct sockaddr *sa,
                          socklen_t len)
{
    struct addr to;

    if (s->proxies == 0 || s->udp443 != SETTINGS_UDP443_REFUSE || !read_address(sa, len, &to) ||
        to.port != QUIC_PORT || !is_udp(fd))
        return pass;
    return plan_udp(s, &to);
}
