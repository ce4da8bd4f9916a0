/* SPDX-License-Identifier: MIT */
/* An option is carried when the new socket tells another value than the program's, so nothing
 * is spent on the many that nobody touched. Where the new socket cannot tell (MPTCP lacks the
 * option), a pristine socket of the program's kind, made when first needed, says whether the
 * program changed it at all: what was changed and cannot be carried is counted as lost.
 *
 * TCP_FASTOPEN_CONNECT and its relatives are left out: SYN data is the dialect's business here.
 * TCP_ULP is left out: it needs a connection. Numbers newer than the oldest headers we build
 * with are declared here, under our own names. */
#include "sockopts.h"
#include "sockopts_bind.h"
#include "sockopts_buffer.h"
#include "sys.h"
#include <errno.h>
#include <fcntl.h>
#include <linux/tcp.h>
#include <netinet/in.h>
#include <signal.h>
#include <stddef.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/time.h>

enum {
    OPT_PREFER_BUSY_POLL = 69,
    OPT_BUSY_POLL_BUDGET = 70,
    OPT_BUF_LOCK = 72, /* 5.15 */
    OPT_TXREHASH = 74,
    OPT_RCVMARK = 75,
    OPT_RTO_MAX_MS = 44,
    OPT_LOCAL_PORT_RANGE = 51,
    OPT_V6_MINHOPCOUNT = 73,
    OPT_V6_TRANSPARENT = 75,
    OPT_V6_FREEBIND = 78,
    SNDBUF_LOCKED = 1,
    RCVBUF_LOCKED = 2,
    VALUE_MAX = 64,
};

/* When an option is carried. */
enum when {
    ANY = 0,
    UNBOUND = 1, /* only before bind() */
    CLOSED = 2,  /* on a socket that is connecting it tells something else */
    TUNING = 4,  /* benign: only speed, memory or errors' timing change without it */
};

/* In this order: IP_TOS sets SO_PRIORITY too. */
/* clang-format off */
static const struct option {
    int level, name;
    uint16_t size; /* 0: text or of variable length, up to VALUE_MAX */
    uint16_t when;
} options[] = {
    {SOL_SOCKET, SO_REUSEADDR, 4, UNBOUND},
    {SOL_SOCKET, SO_REUSEPORT, 4, UNBOUND},
    {SOL_SOCKET, SO_BINDTOIFINDEX, 4, UNBOUND}, /* SO_BINDTODEVICE, without the name's race */
    {IPPROTO_IP, IP_FREEBIND, 4, UNBOUND},
    {IPPROTO_IP, IP_TRANSPARENT, 4, UNBOUND},
    {IPPROTO_IP, IP_BIND_ADDRESS_NO_PORT, 4, UNBOUND},
    {IPPROTO_IP, OPT_LOCAL_PORT_RANGE, 4, UNBOUND},
    {IPPROTO_IPV6, IPV6_V6ONLY, 4, UNBOUND},
    {IPPROTO_IPV6, OPT_V6_TRANSPARENT, 4, UNBOUND},
    {IPPROTO_IPV6, OPT_V6_FREEBIND, 4, UNBOUND},
    {IPPROTO_IP, IP_TOS, 4, TUNING},
    {IPPROTO_IP, IP_TTL, 4, TUNING},
    {IPPROTO_IP, IP_MTU_DISCOVER, 4, TUNING},
    {IPPROTO_IP, IP_RECVERR, 4, TUNING},
    {IPPROTO_IP, IP_MINTTL, 4, ANY},
    {IPPROTO_IP, IP_UNICAST_IF, 4, ANY},
    {IPPROTO_IP, IP_OPTIONS, 0, ANY},
    {IPPROTO_IPV6, IPV6_TCLASS, 4, TUNING},
    {IPPROTO_IPV6, IPV6_UNICAST_HOPS, 4, TUNING},
    {IPPROTO_IPV6, IPV6_MTU_DISCOVER, 4, TUNING},
    {IPPROTO_IPV6, IPV6_RECVERR, 4, TUNING},
    {IPPROTO_IPV6, IPV6_AUTOFLOWLABEL, 4, TUNING},
    {IPPROTO_IPV6, IPV6_DONTFRAG, 4, TUNING},
    {IPPROTO_IPV6, IPV6_ADDR_PREFERENCES, 4, TUNING},
    {IPPROTO_IPV6, IPV6_UNICAST_IF, 4, ANY},
    {IPPROTO_IPV6, OPT_V6_MINHOPCOUNT, 4, ANY},
    {SOL_SOCKET, SO_PRIORITY, 4, TUNING},
    {SOL_SOCKET, SO_KEEPALIVE, 4, TUNING},
    {SOL_SOCKET, SO_LINGER, sizeof(struct linger), ANY},
    {SOL_SOCKET, SO_OOBINLINE, 4, TUNING}, /* MPTCP has no urgent data at all */
    {SOL_SOCKET, SO_DONTROUTE, 4, ANY},
    {SOL_SOCKET, SO_RCVLOWAT, 4, ANY},
    {SOL_SOCKET, SO_RCVTIMEO, sizeof(struct timeval), ANY},
    {SOL_SOCKET, SO_SNDTIMEO, sizeof(struct timeval), ANY},
    {SOL_SOCKET, SO_MARK, 4, ANY},
    {SOL_SOCKET, SO_TIMESTAMP, 4, ANY},
    {SOL_SOCKET, SO_TIMESTAMPNS, 4, ANY},
    {SOL_SOCKET, SO_TIMESTAMPING, 4, ANY},
    {SOL_SOCKET, SO_BUSY_POLL, 4, TUNING},
    {SOL_SOCKET, OPT_PREFER_BUSY_POLL, 4, TUNING},
    {SOL_SOCKET, OPT_BUSY_POLL_BUDGET, 4, TUNING},
    {SOL_SOCKET, SO_MAX_PACING_RATE, 8, TUNING},
    {SOL_SOCKET, SO_ZEROCOPY, 4, ANY}, /* not benign: its completions are waited for */
    {SOL_SOCKET, SO_TXTIME, 8, ANY},
    {SOL_SOCKET, SO_PEEK_OFF, 4, ANY},
    {SOL_SOCKET, OPT_TXREHASH, 4, TUNING},
    {SOL_SOCKET, OPT_RCVMARK, 4, ANY},
    {IPPROTO_TCP, TCP_CONGESTION, 0, TUNING},
    {IPPROTO_TCP, TCP_NODELAY, 4, TUNING},
    {IPPROTO_TCP, TCP_CORK, 4, TUNING},
    {IPPROTO_TCP, TCP_MAXSEG, 4, CLOSED | TUNING},
    {IPPROTO_TCP, TCP_KEEPIDLE, 4, TUNING},
    {IPPROTO_TCP, TCP_KEEPINTVL, 4, TUNING},
    {IPPROTO_TCP, TCP_KEEPCNT, 4, TUNING},
    {IPPROTO_TCP, TCP_SYNCNT, 4, TUNING},
    {IPPROTO_TCP, TCP_LINGER2, 4, TUNING},
    {IPPROTO_TCP, TCP_WINDOW_CLAMP, 4, CLOSED | TUNING},
    {IPPROTO_TCP, TCP_USER_TIMEOUT, 4, TUNING},
    {IPPROTO_TCP, TCP_QUICKACK, 4, CLOSED | TUNING},
    {IPPROTO_TCP, TCP_THIN_LINEAR_TIMEOUTS, 4, TUNING},
    {IPPROTO_TCP, TCP_THIN_DUPACK, 4, TUNING},
    {IPPROTO_TCP, TCP_NOTSENT_LOWAT, 4, TUNING},
    {IPPROTO_TCP, TCP_INQ, 4, ANY},
    {IPPROTO_TCP, TCP_TX_DELAY, 4, TUNING},
    {IPPROTO_TCP, TCP_SAVE_SYN, 4, ANY},
    {IPPROTO_TCP, OPT_RTO_MAX_MS, 4, TUNING},
};
/* clang-format on */

struct value {
    socklen_t len;
    unsigned char octets[VALUE_MAX];
};

struct copy {
    int from, to;
    int from_family;
    bool closed;  /* `from` is not even connecting */
    int pristine; /* -1: none yet, -2: there is none to be had */
    struct sockopts_report *report;
};

static bool read_value(int fd, const struct option *o, struct value *v)
{
    memset(v, 0, sizeof *v);
    v->len = o->size == 0 ? VALUE_MAX : o->size;
    return sys_getsockopt(fd, o->level, o->name, v->octets, &v->len) == 0 &&
           v->len <= VALUE_MAX;
}

static bool same(const struct value *a, const struct value *b)
{
    return a->len == b->len && memcmp(a->octets, b->octets, a->len) == 0;
}

/* Untouched by the program? Without a pristine socket nobody can tell: then, yes. */
static bool untouched(struct copy *c, const struct option *o, const struct value *v)
{
    struct value new;
    int protocol = 0;

    if (c->pristine == -1) {
        (void)sys_get_int(c->from, SOL_SOCKET, SO_PROTOCOL, &protocol);
        c->pristine = sys_socket(c->from_family, SOCK_STREAM | SOCK_CLOEXEC, protocol);
        if (c->pristine < 0)
            c->pristine = -2;
    }
    return c->pristine < 0 || !read_value(c->pristine, o, &new) || same(v, &new);
}

static void lose(struct sockopts_report *r, int level, int name)
{
    r->lost++;
    r->lost_level = level;
    r->lost_name = name;
}

static void copy_one(struct copy *c, const struct option *o)
{
    struct value from, to;

    if (!read_value(c->from, o, &from))
        return;
    bool told = read_value(c->to, o, &to);
    if (told && same(&from, &to))
        return;
    /* The kinds may differ in what they begin with, and so may connected and new. */
    if ((!told || (o->when & CLOSED) != 0) && untouched(c, o, &from))
        return;
    if (sys_setsockopt(c->to, o->level, o->name, from.octets, from.len) != 0)
        lose(c->report, o->level, o->name);
    else
        c->report->copied++;
}

/* ---- buffers ---- */

/* Which of them did the program choose? The kernel tells since 5.15; before, a size that a new
 * socket does not have is taken for chosen. */
static int locked_buffers(struct copy *c)
{
    static const struct option sizes[] = {{SOL_SOCKET, SO_SNDBUF, 4, ANY},
                                          {SOL_SOCKET, SO_RCVBUF, 4, ANY}};
    static const int bits[] = {SNDBUF_LOCKED, RCVBUF_LOCKED};
    struct value v;
    int locked = 0;

    if (sys_get_int(c->from, SOL_SOCKET, OPT_BUF_LOCK, &locked) == 0)
        return locked;
    for (unsigned i = 0; c->closed && i < 2; i++)
        if (read_value(c->from, &sizes[i], &v) && !untouched(c, &sizes[i], &v))
            locked |= bits[i];
    return locked;
}

/* The kernel doubles what it is given; more than the system's limit needs SO_*BUFFORCE, which
 * the program may have had the privilege for, and may have still. */
static void copy_buffer(struct copy *c, int name, int force)
{
    int from = 0, to = 0;

    if (sys_get_int(c->from, SOL_SOCKET, name, &from) != 0 ||
        (sys_get_int(c->to, SOL_SOCKET, name, &to) == 0 && from == to))
        return;
    if (sys_set_int(c->to, SOL_SOCKET, name, from / 2) == 0)
        (void)sys_get_int(c->to, SOL_SOCKET, name, &to);
    if (to < from && sys_set_int(c->to, SOL_SOCKET, force, from / 2) == 0)
        (void)sys_get_int(c->to, SOL_SOCKET, name, &to);
    if (to < from)
        lose(c->report, SOL_SOCKET, name);
    else
        c->report->copied++;
}

static void copy_buffers(struct copy *c)
{
    int locked = locked_buffers(c);

    if ((locked & SNDBUF_LOCKED) != 0)
        copy_buffer(c, SO_SNDBUF, SO_SNDBUFFORCE);
    if ((locked & RCVBUF_LOCKED) != 0)
        copy_buffer(c, SO_RCVBUF, SO_RCVBUFFORCE);
    c->report->buffer_locked = (locked & RCVBUF_LOCKED) != 0;
}

/* ---- all of them ---- */

static void copy_begin(struct copy *c, int from, int to, struct sockopts_report *r)
{
    struct tcp_info info;
    socklen_t len = sizeof info;
    int family = AF_INET;

    memset(&info, 0, sizeof info);
    (void)sys_get_int(from, SOL_SOCKET, SO_DOMAIN, &family);
    (void)sys_getsockopt(from, IPPROTO_TCP, TCP_INFO, &info, &len);
    *c = (struct copy){.from = from,
                       .to = to,
                       .from_family = family,
                       .closed = info.tcpi_state == 0 || info.tcpi_state == 7, /* TCP_CLOSE */
                       .pristine = -1,
                       .report = r};
}

/* bind() to an IPv6 address switches IPV6_V6ONLY on by itself, and the other IPv6 options for
 * bind() have IPv4 names for the same thing: nothing for an IPv4 socket. */
static bool applies(const struct copy *c, const struct option *o, int family, bool bind_too)
{
    bool unbound = (o->when & UNBOUND) != 0;

    if (o->level == IPPROTO_IPV6 &&
        (c->from_family != AF_INET6 || (unbound && family != AF_INET6)))
        return false;
    return (bind_too || !unbound) && (c->closed || (o->when & CLOSED) == 0);
}

static void copy_options(struct copy *c, bool bind_too)
{
    int family = c->from_family;

    (void)sys_get_int(c->to, SOL_SOCKET, SO_DOMAIN, &family);
    for (size_t i = 0; i < sizeof options / sizeof options[0]; i++) {
        if (applies(c, &options[i], family, bind_too))
            copy_one(c, &options[i]);
    }
    copy_buffers(c);
    if (c->pristine >= 0)
        (void)sys_close(c->pristine);
}

/* An IPv4 program's choice for a new socket that speaks IPv6, and the other way round. */
static void cross_tos(const struct copy *c, int family)
{
    int tos = 0;
    bool to_v6 = family == AF_INET6;

    if (family != c->from_family &&
        sys_get_int(c->from, to_v6 ? IPPROTO_IP : IPPROTO_IPV6, to_v6 ? IP_TOS : IPV6_TCLASS,
                    &tos) == 0 &&
        tos > 0)
        (void)sys_set_int(c->to, to_v6 ? IPPROTO_IPV6 : IPPROTO_IP,
                          to_v6 ? IPV6_TCLASS : IP_TOS, tos);
}

void sockopts_copy(int from, int to, struct sockopts_report *r)
{
    struct copy c;

    copy_begin(&c, from, to, r);
    copy_options(&c, false);
}

int sockopts_socket_like(int model, int family, bool mptcp, uint32_t receive_buffer,
                         bool *is_mptcp, struct sockopts_report *r)
{
    const int type = SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC;
    int fd = mptcp ? sys_socket(family, type, IPPROTO_MPTCP) : -EPROTONOSUPPORT;
    struct copy c;
    bool done = fd >= 0;

    /* Not there, not switched on, or forbidden by a security module: TCP will do. */
    if (fd < 0 && fd != -EMFILE && fd != -ENFILE && fd != -ENOBUFS && fd != -ENOMEM)
        fd = sys_socket(family, type, IPPROTO_TCP);
    if (fd < 0)
        return fd;
    copy_begin(&c, model, fd, r);
    copy_options(&c, true);
    cross_tos(&c, family);
    if (!r->buffer_locked)
        sockopts_buffer_raise(fd, receive_buffer);
    int rc = sockopts_bind_like(model, fd, family);
    if (rc < 0) {
        (void)sys_close(fd);
        return rc;
    }
    if (rc > 0)
        lose(r, SOL_SOCKET, 0);
    *is_mptcp = done;
    return fd;
}

void sockopts_copy_flags(int from, int to)
{
    const int settable = O_NONBLOCK | O_ASYNC;
    struct f_owner_ex owner = {F_OWNER_TID, 0};
    int now = sys_fcntl(to, F_GETFL, 0), flags = sys_fcntl(from, F_GETFL, 0),
        sig = sys_fcntl(from, F_GETSIG, 0);

    if (now < 0 || flags < 0)
        return;
    if (sys_fcntl(from, F_GETOWN_EX, (long)&owner) == 0 && owner.pid != 0)
        (void)sys_fcntl(to, F_SETOWN_EX, (long)&owner);
    if (sig > 0)
        (void)sys_fcntl(to, F_SETSIG, sig);
    if (((now ^ flags) & settable) != 0)
        (void)sys_fcntl(to, F_SETFL, (now & ~settable) | (flags & settable));
}

bool sockopts_benign(int level, int name, int error)
{
    if (error != ENOPROTOOPT && error != EOPNOTSUPP)
        return false;
    for (size_t i = 0; i < sizeof options / sizeof options[0]; i++)
        if (options[i].level == level && options[i].name == name)
            return (options[i].when & TUNING) != 0;
    return false;
}
