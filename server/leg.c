/* SPDX-License-Identifier: MIT */
#include "leg.h"
#include "base/mptcp.h"
#include <errno.h>
#include <fcntl.h>
#include <linux/sockios.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/socket.h>
#include <unistd.h>

#ifndef TCPI_OPT_SYN_DATA
#define TCPI_OPT_SYN_DATA 32
#endif

enum {
    BUFFER_LEAST =
        4 * 1024 * 1024, /* below it a fixed buffer throttles long paths more than it cures */
    TFO_FREE_BYTES =
        64240, /* the window every Linux client opens with: nothing to ask below it */
};

void leg_init(struct leg *l)
{
    memset(l, 0, sizeof *l);
    l->watch.fd = -1;
    list_init(&l->watch.again);
}

/* Is the third ACK here, did the SYN bring data, and (T2) until how many octets does the kernel
 * believe in a wrong window: it takes the unscaled window of the SYN and shifts it by the
 * client's window scale. */
static void ask_handshake(struct leg *l, int fd, bool window_rule)
{
    struct tcp_info info;
    socklen_t len = sizeof info;

    memset(&info, 0, sizeof info);
    if (getsockopt(fd, IPPROTO_TCP, TCP_INFO, &info, &len) != 0)
        return; /* as if it were complete: what else could be done */
    l->unproven = info.tcpi_state == TCP_SYN_RECV;
    l->syn_data = (info.tcpi_options & TCPI_OPT_SYN_DATA) != 0;
    if (l->mptcp && l->syn_data && window_rule)
        l->tfo_rule = (uint64_t)UINT16_MAX << info.tcpi_snd_wscale;
}

int leg_accept(struct leg *l, struct poller *p, int fd, struct leg_accept how,
               poller_ready_fn *ready)
{
    leg_init(l);
    l->mptcp = how.mptcp && mptcp_accepted(fd);
    if (l->mptcp || how.untrusted)
        ask_handshake(l, fd, how.window_rule);
    int rc = poller_add(p, &l->watch, fd, ready);
    if (rc != 0) {
        leg_init(l);
        return rc;
    }
    /* The ACK may have come between the two looks; then no edge tells. */
    if (l->unproven && mptcp_tcp_state(fd) != TCP_SYN_RECV)
        l->unproven = false;
    l->no_delay = true; /* inherited from the listener */
    l->hold = l->mptcp && l->unproven && how.hold;
    l->writable = !l->hold; /* what is there to read raises the first edge */
    return 0;
}

static void note(struct leg *l, uint32_t events)
{
    if ((events & EPOLLERR) != 0) {
        int error = 0;
        socklen_t len = sizeof error;
        if (getsockopt(l->watch.fd, SOL_SOCKET, SO_ERROR, &error, &len) != 0)
            error = errno;
        if (error != 0) /* a second look finds nothing: the first has cleared it */
            l->error = error;
    }
    if ((events & EPOLLPRI) != 0 && !l->urgent) {
        int on = 1;
        l->urgent = true;
        (void)setsockopt(l->watch.fd, SOL_SOCKET, SO_OOBINLINE, &on,
                         sizeof on); /* TCP: cannot fail */
    }
    if ((events & (EPOLLIN | EPOLLPRI | EPOLLRDHUP | EPOLLHUP | EPOLLERR)) != 0)
        l->readable = true;
    if ((events & (EPOLLOUT | EPOLLERR)) != 0)
        l->writable = true; /* leg_ready() may know better */
    if ((events & (EPOLLRDHUP | EPOLLHUP)) != 0)
        l->hup = true;
    /* Both directions are shut, and not by us: the peer is gone. */
    if (l->error != 0 || ((events & EPOLLHUP) != 0 && !l->fin_sent))
        l->failed = true;
}

struct leg_buffer leg_buffer_allowed(uint64_t bytes)
{
    struct leg_buffer b = {.bytes = bytes > INT32_MAX ? INT32_MAX : (int)bytes};
    int fd = bytes == 0 ? -1 : socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0), got = 0;
    socklen_t len = sizeof got;

    if (fd < 0)
        return (struct leg_buffer){.bytes = 0};
    b.force = setsockopt(fd, SOL_SOCKET, SO_RCVBUFFORCE, &b.bytes, sizeof b.bytes) == 0;
    if (!b.force) {
        (void)setsockopt(fd, SOL_SOCKET, SO_RCVBUF, &b.bytes,
                         sizeof b.bytes); /* cut, not refused */
        if (getsockopt(fd, SOL_SOCKET, SO_RCVBUF, &got, &len) != 0 ||
            (got / 2 < BUFFER_LEAST &&
             got / 2 < b.bytes)) /* the kernel doubles what it is told */
            b.bytes = 0;
    }
    (void)close(fd);
    return b;
}

void leg_buffer(const struct leg *l, struct leg_buffer b)
{
    if (l->mptcp && b.bytes != 0)
        (void)setsockopt(l->watch.fd, SOL_SOCKET, b.force ? SO_RCVBUFFORCE : SO_RCVBUF,
                         &b.bytes, sizeof b.bytes); /* without: slower under back-pressure */
}

void leg_adopt(struct leg *l, struct poller *p, struct watch *from, uint32_t events, bool mptcp,
               bool ipv6, poller_ready_fn *ready)
{
    int off = 0;

    leg_init(l);
    poller_move(p, from, &l->watch, ready);
    l->mptcp = mptcp;
    l->writable = true;
    if (ipv6 && !mptcp)
        (void)setsockopt(l->watch.fd, IPPROTO_IPV6, IPV6_RECVERR, &off,
                         sizeof off); /* was set: cannot fail */
    note(l, events);
}

bool leg_ready(struct leg *l, uint32_t events, struct stats *stats)
{
    note(l, events);
    if (!l->unproven || (events & EPOLLOUT) == 0)
        return false;
    l->unproven = mptcp_tcp_state(l->watch.fd) == TCP_SYN_RECV;
    if (l->unproven) {
        l->writable = !l->hold;
        return false;
    }
    if (l->hold)
        stats_add(stats, STAT_TFO_WAITS, 1);
    l->hold = false;
    if (l->fin_asked)
        leg_shutdown(l);
    return true;
}

/* What was queued before a reset is the session's too: the error counts when the queue is
 * empty. note() has taken it from the kernel, which now shows an orderly end. */
static ssize_t received(struct leg *l, ssize_t n)
{
    if (n > 0)
        return n;
    if (l->error != 0)
        return -l->error;
    if (n == 0)
        return 0;
    if (errno != EAGAIN && errno != EINTR)
        return -errno;
    l->readable = errno == EINTR;
    return -EAGAIN;
}

ssize_t leg_recv(struct leg *l, void *buf, size_t len)
{
    ssize_t n = received(l, recv(l->watch.fd, buf, len, 0));

    /* A short read has emptied the queue, and what comes next raises an edge. Not so when a FIN
     * or a reset is still to be fetched, or when the kernel stopped at an urgent octet. */
    if (n > 0 && (size_t)n < len && !l->hup && !l->urgent && l->error == 0)
        l->readable = false;
    return n;
}

static void sent(struct leg *l, size_t n)
{
    l->sent = true;
    if (l->tfo_rule == 0)
        return;
    l->tfo_sent += n;
    if (l->tfo_sent >= l->tfo_rule)
        l->tfo_rule = 0;
}

ssize_t leg_send(struct leg *l, const void *buf, size_t len)
{
    if (l->sent && !l->no_delay) {
        int on = 1;
        l->no_delay = true;
        (void)setsockopt(l->watch.fd, IPPROTO_TCP, TCP_NODELAY, &on,
                         sizeof on); /* without: only slower */
    }
    ssize_t n = send(l->watch.fd, buf, len, MSG_NOSIGNAL);
    if (n < 0) {
        if (errno != EAGAIN && errno != EINTR)
            return -errno;
        l->writable = errno == EINTR;
        return -EAGAIN;
    }
    sent(l, (size_t)n);
    return n;
}

ssize_t leg_splice_in(struct leg *l, int pipe_in, size_t len)
{
    return received(
        l, splice(l->watch.fd, NULL, pipe_in, NULL, len, SPLICE_F_NONBLOCK | SPLICE_F_MOVE));
}

ssize_t leg_splice_out(struct leg *l, int pipe_out, size_t len)
{
    ssize_t n =
        splice(pipe_out, NULL, l->watch.fd, NULL, len, SPLICE_F_NONBLOCK | SPLICE_F_MOVE);
    if (n >= 0) {
        sent(l, (size_t)n);
        return n;
    }
    if (errno != EAGAIN && errno != EINTR)
        return -errno;
    l->writable = errno == EINTR;
    return -EAGAIN;
}

size_t leg_allowance(struct leg *l, struct stats *stats)
{
    l->window_wait = false;
    if (l->tfo_rule == 0)
        return SIZE_MAX;
    if (l->tfo_sent < TFO_FREE_BYTES)
        return (size_t)(TFO_FREE_BYTES - l->tfo_sent);
    /* In this order: what is acknowledged in between then counts for less, not for more. */
    int queued = 0, rc = ioctl(l->watch.fd, SIOCOUTQ, &queued);
    int64_t window = mptcp_send_window(l->watch.fd);
    if (window < 0 || rc != 0) {
        l->tfo_rule = 0; /* cannot be told: better fast than stuck */
        return SIZE_MAX;
    }
    /* Until the client has acknowledged data the kernel shows its wrong value: about the
     * largest that can be. A client may really have such a window: the acknowledgement of
     * everything has brought it. */
    bool known = queued == 0 ||
                 ((uint64_t)queued < l->tfo_sent && (uint64_t)window < l->tfo_rule / 8 * 7);
    if (known && queued < window)
        return (size_t)(window - queued);
    l->window_wait = true;
    stats_add(stats, STAT_TFO_WINDOW_WAITS, 1);
    return 0;
}

void leg_shutdown(struct leg *l)
{
    l->fin_asked = true;
    if (l->hold || l->fin_sent || !leg_open(l))
        return;
    l->fin_sent = true;
    (void)shutdown(l->watch.fd,
                   SHUT_WR); /* fails only when the peer has reset: reading tells */
}

bool leg_must_wait(const struct leg *l)
{
    return leg_open(l) && l->hold;
}

void leg_close(struct leg *l, struct poller *p, bool abort)
{
    if (!leg_open(l))
        return;
    int fd = l->watch.fd;
    poller_remove(p, &l->watch);
    if (abort) {
        struct linger now = {.l_onoff = 1, .l_linger = 0};
        (void)setsockopt(fd, SOL_SOCKET, SO_LINGER, &now,
                         sizeof now); /* worst case: FIN instead of RST */
    }
    (void)close(fd);
}
