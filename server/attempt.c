/* SPDX-License-Identifier: MIT */
#include "attempt.h"
#include "base/mptcp.h"
#include "egress_socket.h"
#include "stats.h"
#include <errno.h>
#include <linux/errqueue.h>
#include <netinet/tcp.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

enum { ERROR_QUEUE_READS = 4 };

uint64_t attempt_clock_us(void)
{
    return uv_hrtime() / 1000;
}

bool attempt_has_ended(const struct attempt *a)
{
    int state = a->mptcp ? mptcp_tcp_state(a->watch.fd) : TCP_ESTABLISHED;

    return state == TCP_CLOSE_WAIT || state == TCP_CLOSE || state < 0;
}

static struct failure failed(enum outcome why)
{
    return (struct failure){.why = why};
}

void attempt_close(struct attempt *a, struct poller *poller)
{
    int fd = a->watch.fd;

    if (fd < 0)
        return;
    poller_remove(poller, &a->watch);
    (void)close(fd); /* nothing of ours is lost */
}

void attempt_abort(struct attempt *a, struct poller *poller)
{
    static const struct linger now = {.l_onoff = 1, .l_linger = 0};

    if (a->watch.fd >= 0) /* refused: it ends like any other */
        (void)setsockopt(a->watch.fd, SOL_SOCKET, SO_LINGER, &now, sizeof now);
    attempt_close(a, poller);
}

void attempt_count_denied(struct stats *stats, enum acl_cause cause)
{
    static const enum stat_id counter[ACL_CAUSE_COUNT] = {
        [ACL_CAUSE_DEFAULT] = STAT_ACL_DEFAULT,
        [ACL_CAUSE_RULE] = STAT_ACL_RULE,
        [ACL_CAUSE_DEFAULT_PRIVATE] = STAT_ACL_DEFAULT_PRIVATE,
        [ACL_CAUSE_SELF] = STAT_ACL_SELF,
    };

    stats_add(stats, counter[cause], 1);
}

/* The last gate before connect(): asked for the very address the kernel will be given. */
static bool allowed(struct attempt *a, struct stats *stats, const struct attempt_client *client)
{
    struct acl_verdict v =
        acl_check(client->acl, client->source, client->user, &a->remote, client->name);

    if (v.action == ACL_ALLOW)
        return true;
    a->denied_by = v.cause;
    attempt_count_denied(stats, v.cause);
    return false;
}

/* An IPv6 address may be "not available" because this host has no address to speak from at all
 * (a container without IPv6): that is no route, not a lack of ports. A datagram socket needs
 * the former and has plenty of the latter. */
static bool has_source_address(const struct sockaddr *sa, socklen_t len)
{
    int fd = socket(sa->sa_family, SOCK_DGRAM | SOCK_CLOEXEC, 0);

    if (fd < 0)
        return true;
    bool found = connect(fd, sa, len) == 0; /* sends nothing */
    (void)close(fd);
    return found;
}

static struct failure local_failure(int err, struct stats *stats, const struct sockaddr *sa,
                                    socklen_t len)
{
    bool ipv6 = sa->sa_family == AF_INET6;

    if (err == EADDRNOTAVAIL && ipv6 && !has_source_address(sa, len))
        return failed(OUTCOME_NO_ROUTE);
    if (err == EADDRNOTAVAIL)
        stats_add(stats, STAT_PORTS_EXHAUSTED, 1);
    if (err == EMFILE || err == ENFILE)
        stats_add(stats, STAT_EMFILE, 1);
    return failure_from_connect(err, true, -1, 0, ipv6);
}

static enum outcome bind_source(int fd, struct stats *stats,
                                const struct attempt_client *client, const struct addr *to)
{
    static const struct addr none = {.family = ADDR_NONE};
    struct addr source = addr_unmap(*client->source), target = addr_unmap(*to);
    struct egress_question q = {.client = &source,
                                .told = client->told != NULL ? client->told : &none,
                                .target = &target};
    struct egress_choice choice;
    enum outcome o = egress_choose(client->egress, &q, &choice);

    if (o != OUTCOME_OK) {
        stats_add(stats,
                  o == OUTCOME_SOURCE_DENIED ? STAT_EGRESS_SOURCE_DENIED : STAT_EGRESS_DENIED,
                  1);
        return o;
    }
    if (choice.source.family == ADDR_NONE)
        return OUTCOME_OK;
    int rc = egress_bind(fd, &choice);
    if (rc == 0)
        return OUTCOME_OK;
    if (rc == -EADDRINUSE) { /* a port that was to be kept */
        stats_add(stats, STAT_PORTS_EXHAUSTED, 1);
        return OUTCOME_NO_RESOURCES;
    }
    stats_add(stats, STAT_EGRESS_FAILED, 1);
    return OUTCOME_EGRESS_FAILED;
}

/* Sends the SYN. 0 or errno; EINPROGRESS is 0. */
static int open_connection(int fd, const struct sockaddr *sa, socklen_t len, struct span *early,
                           size_t *early_sent)
{
    struct span first = *early;

    early->len = 0;
    if (first.len > 0) {
        ssize_t n = sendto(fd, first.ptr, first.len, MSG_FASTOPEN | MSG_NOSIGNAL, sa, len);
        int err = errno;
        if (n >= 0) {
            *early_sent = (size_t)n;
            return 0;
        }
        if (err == EINPROGRESS) /* no cookie yet: a SYN asks for one, and nothing is queued */
            return 0;
        if (err != EOPNOTSUPP) /* that: switched off by net.ipv4.tcp_fastopen */
            return err;
    }
    if (connect(fd, sa, len) == 0)
        return 0;
    int err = errno;
    return err == EINPROGRESS ? 0 : err;
}

/* Advice both: without them there is a round trip more, or less throughput. */
static void prepare_concentrator(int fd, bool mptcp, struct leg_buffer b)
{
    static const int on = 1;

    (void)setsockopt(fd, IPPROTO_TCP, TCP_FASTOPEN_NO_COOKIE, &on, sizeof on);
    if (mptcp && b.bytes != 0)
        (void)setsockopt(fd, SOL_SOCKET, b.force ? SO_RCVBUFFORCE : SO_RCVBUF, &b.bytes,
                         sizeof b.bytes);
}

/* A socket for `to`, and its address as that socket wants it; -errno. To an IPv4 concentrator
 * an IPv6 socket: of an IPv4 one the kernel makes no IPv6 subflows (deployment A7). */
static int open_towards(struct attempt *a, bool concentrator, bool mptcp,
                        struct sockaddr_storage *ss, socklen_t *len)
{
    static const int off = 0;

    if (concentrator && mptcp && a->remote.family == ADDR_IPV4) {
        struct addr mapped = addr_map(a->remote);
        int fd = mptcp_socket(AF_INET6, true, &a->mptcp);

        *len = addr_to_sockaddr(&mapped, ss);
        if (fd >= 0 && setsockopt(fd, IPPROTO_IPV6, IPV6_V6ONLY, &off, sizeof off) == 0)
            return fd;
        if (fd >= 0)
            (void)close(fd); /* nothing was sent */
    }
    *len = addr_to_sockaddr(&a->remote, ss);
    return mptcp_socket(ss->ss_family, mptcp, &a->mptcp);
}

/* 0 or an errno: a connection without its mark might go where it must not. An IPv6 socket may
 * have IPv4 subflows. */
static int follow_policy(int fd, const struct sockaddr *sa, const struct policy_leg *policy)
{
    bool ipv6 = sa->sa_family == AF_INET6;

    if (policy == NULL)
        return 0;
    return -policy_apply(fd, (struct policy_families){.ipv4 = true, .ipv6 = ipv6}, policy);
}

struct failure attempt_start(struct attempt *a, struct poller *poller, struct stats *stats,
                             const struct attempt_client *client, const struct addr *to,
                             bool mptcp, struct span *early, poller_ready_fn *ready)
{
    static const int on = 1;
    struct sockaddr_storage ss;

    *a = (struct attempt){.watch.fd = -1, .remote = *to, .denied_by = ACL_CAUSE_COUNT};
    if (!client->concentrator && !allowed(a, stats, client))
        return failed(OUTCOME_DENIED);
    socklen_t len;
    const struct sockaddr *sa = (const struct sockaddr *)&ss;
    int fd = open_towards(a, client->concentrator, mptcp, &ss, &len);
    if (fd < 0)
        return local_failure(-fd, stats, sa, len);
    if (sa->sa_family == AF_INET6 && !a->mptcp) /* without: ICMPv6 errors come a second late */
        (void)setsockopt(fd, IPPROTO_IPV6, IPV6_RECVERR, &on, sizeof on);
    if (client->concentrator)
        prepare_concentrator(fd, a->mptcp, client->receive_buffer);
    struct failure why = failed(OUTCOME_OK);
    int refused = follow_policy(fd, sa, client->policy);
    if (refused != 0)
        why = local_failure(refused, stats, sa, len);
    else if (client->egress != NULL)
        why = failed(bind_source(fd, stats, client, to));
    if (why.why != OUTCOME_OK) {
        (void)close(fd); /* it has sent nothing */
        return why;
    }
    stats_add(stats, STAT_CONNECT_ATTEMPTS, 1);
    stats_add(stats, STAT_MPTCP_OFFERED, a->mptcp);
    a->start_us = attempt_clock_us();
    int err = open_connection(fd, sa, len, early, &a->early_sent);
    if (err != 0)
        why = local_failure(err, stats, sa, len);
    else if (poller_add(poller, &a->watch, fd, ready) != 0)
        why = failed(OUTCOME_NO_RESOURCES);
    if (why.why != OUTCOME_OK)
        (void)close(fd); /* nothing of ours is lost */
    return why;
}

/* The ICMP message in one report from the error queue. */
static bool find_icmp(struct msghdr *msg, int *type, int *code)
{
    for (struct cmsghdr *h = CMSG_FIRSTHDR(msg); h != NULL; h = CMSG_NXTHDR(msg, h)) {
        struct sock_extended_err e;
        bool ours = (h->cmsg_level == SOL_IP && h->cmsg_type == IP_RECVERR) ||
                    (h->cmsg_level == SOL_IPV6 && h->cmsg_type == IPV6_RECVERR);

        if (!ours || h->cmsg_len < CMSG_LEN(sizeof e))
            continue;
        memcpy(&e, CMSG_DATA(h), sizeof e);
        if (e.ee_origin == SO_EE_ORIGIN_ICMP || e.ee_origin == SO_EE_ORIGIN_ICMP6) {
            *type = e.ee_type;
            *code = e.ee_code;
            return true;
        }
    }
    return false;
}

/* The queue must be read before SO_ERROR is. */
static bool read_icmp(int fd, int *type, int *code)
{
    union {
        char buf[CMSG_SPACE(sizeof(struct sock_extended_err) + sizeof(struct sockaddr_in6)) +
                 CMSG_SPACE(64)];
        struct cmsghdr align;
    } control;

    for (int i = 0; i < ERROR_QUEUE_READS; i++) {
        struct msghdr msg = {.msg_control = &control, .msg_controllen = sizeof control};
        if (recvmsg(fd, &msg, MSG_ERRQUEUE | MSG_DONTWAIT) < 0)
            return false;
        if (find_icmp(&msg, type, code))
            return true;
    }
    return false;
}

struct failure attempt_failure(const struct attempt *a, uint32_t events)
{
    int error;

    return attempt_failure_errno(a, events, &error);
}

struct failure attempt_failure_errno(const struct attempt *a, uint32_t events, int *error)
{
    int type = -1, code = 0, err = 0;
    socklen_t len = sizeof err;
    bool icmp = !a->mptcp && read_icmp(a->watch.fd, &type, &code);

    if (getsockopt(a->watch.fd, SOL_SOCKET, SO_ERROR, &err, &len) != 0)
        err = errno;
    if (err == 0 && icmp)
        err = EHOSTUNREACH; /* the kernel would try on; the next address is the better bet */
    if (err == 0 && (events & EPOLLHUP) != 0)
        err = ECONNRESET;
    *error = err;
    return failure_from_connect(err, false, type, code, a->remote.family == ADDR_IPV6);
}

bool attempt_connected(const struct attempt *a, struct stats *stats)
{
    bool mptcp = a->mptcp && mptcp_active(a->watch.fd);

    stats_add(stats, STAT_CONNECT_SUCCESS, 1);
    stats_add(stats, a->remote.family == ADDR_IPV6 ? STAT_UPSTREAM_IPV6 : STAT_UPSTREAM_IPV4,
              1);
    if (a->mptcp)
        stats_add(stats, mptcp ? STAT_UPSTREAM_MPTCP : STAT_MPTCP_DECLINED, 1);
    if (stats != NULL)
        stats_duration(stats, HISTOGRAM_CONNECT, attempt_clock_us() - a->start_us);
    return mptcp;
}
