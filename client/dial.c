/* SPDX-License-Identifier: MIT */
/* Happy path: the SYN carries the request (or is followed by it), the SYN-ACK is seen by
 * poll(), what the SYN did not take is sent, the answer is looked at with MSG_PEEK and exactly
 * its octets are taken. A part of an answer is taken whole: it is ours in any case, and left in
 * the socket it would keep poll() awake.
 *
 * Failure paths: an errno of the connect itself (not reached), the concentrator's refusal, a
 * peer that does not speak the dialect or goes away without a verdict (broken). The caller owns
 * deadlines and the descriptor.
 *
 * SYN data that is not taken is resent by the kernel: what sendmsg() accepted is never sent
 * again by us. What it did not accept (EINPROGRESS: the kernel had no cookie and dropped the
 * payload) goes out after the SYN-ACK. */
#include "dial.h"
#include "sys.h"
#include <errno.h>
#include <linux/tcp.h> /* not netinet/tcp.h: the two clash */
#include <string.h>

enum {
    STATE_SYN_SENT = 2, /* tcpi_state */
    STATE_SYN_RECV = 3,
    STATE_CLOSE = 7,
    STATE_CLOSE_WAIT = 8,
    LEVEL_MPTCP = 284, /* SOL_MPTCP */
    OPTION_MPTCP_INFO = 1,
    MPTCP_FALLBACK = 1, /* MPTCP_INFO_FLAG_FALLBACK */
};

struct mptcp_head {   /* the beginning of struct mptcp_info */
    uint8_t subflows; /* without the first one */
    uint8_t unused[5];
    uint32_t flags, token;
};

static bool mptcp_look(int fd, struct mptcp_head *out)
{
    socklen_t len = sizeof *out;

    memset(out, 0, sizeof *out);
    return sys_getsockopt(fd, LEVEL_MPTCP, OPTION_MPTCP_INFO, out, &len) == 0 &&
           (out->flags & MPTCP_FALLBACK) == 0;
}

static bool tcp_look(int fd, struct tcp_info *out)
{
    socklen_t len = sizeof *out;

    memset(out, 0, sizeof *out);
    return sys_getsockopt(fd, IPPROTO_TCP, TCP_INFO, out, &len) == 0;
}

static bool wait_for(struct dial *d, short events)
{
    d->events = events;
    return false;
}

/* The end of the stream (`err` 0) or an errno: whatever the initiator makes of it. MP_CONVERT
 * says no by closing (draft -10 s6.2); anything else that ends without a verdict is broken. */
static bool closed(struct dial *d, int err)
{
    (void)initiator_closed(&d->initiator, err == ENOTCONN ? ECONNRESET : err);
    d->broken = d->reached && d->initiator.failure.why != OUTCOME_REFUSED;
    d->error = d->initiator.error;
    d->step = DIAL_FAILED;
    return false;
}

static bool is_over(const struct tcp_info *info)
{
    return info->tcpi_state == 0 || info->tcpi_state == STATE_CLOSE;
}

/* What the kernel knows of the handshake. A concentrator that says no by a reset takes that
 * with it, perhaps between two of these questions. */
static void note_reached(struct dial *d, const struct tcp_info *info)
{
    struct mptcp_head head;
    struct tcp_info now;

    d->connecting = false;
    d->reached = true;
    d->reached_ms = sys_now_ms();
    d->tfo_taken = d->tfo_asked && (info->tcpi_options & TCPI_OPT_SYN_DATA) != 0;
    d->mptcp = d->mptcp_asked && mptcp_look(d->fd, &head);
    d->gone = is_over(info);
    if (d->mptcp_asked && !d->mptcp && !d->gone)
        d->gone = !tcp_look(d->fd, &now) || is_over(&now);
}

/* True: there is a connection, or there was one and what it brought may still be read. A reset
 * before the SYN-ACK is ECONNREFUSED, one after it ECONNRESET or EPIPE. */
static bool connected(struct dial *d)
{
    struct pollfd ready = {.fd = d->fd, .events = POLLIN | POLLOUT};
    struct tcp_info info;
    int error = 0;

    if (sys_poll(&ready, 1, 0) <= 0)
        return wait_for(d, POLLOUT);
    int rc = sys_get_int(d->fd, SOL_SOCKET, SO_ERROR, &error);
    if (rc < 0)
        return closed(d, -rc);
    if (error != 0 && error != ECONNRESET && error != EPIPE)
        return closed(d, error);
    (void)tcp_look(d->fd, &info); /* all 0 when it is not known */
    if (error == 0 && (info.tcpi_state == STATE_SYN_SENT || info.tcpi_state == STATE_SYN_RECV))
        return wait_for(d, POLLOUT);
    note_reached(d, &info);
    return true;
}

static bool again(ssize_t rc)
{
    return rc == -EAGAIN || rc == -EINTR;
}

/* False: not all of it went. */
static bool flush(struct dial *d)
{
    while (d->initiator.step == INITIATOR_SEND) {
        struct span out = initiator_output(&d->initiator);
        ssize_t n = sys_send(d->fd, out.ptr, out.len, MSG_DONTWAIT | MSG_NOSIGNAL);

        if (again(n))
            return wait_for(d, POLLOUT);
        if (n < 0)
            return closed(d, (int)-n);
        initiator_sent(&d->initiator, (size_t)n);
    }
    return true;
}

/* The kernel has seen the end of the stream and will not tell: it loses one that comes with the
 * first packets of a connection whose SYN data was not taken and that fell back to TCP for it.
 * The second look is for what came since the first one. */
static bool end_was_lost(const struct dial *d)
{
    struct tcp_info info;
    uint8_t octet;

    return d->mptcp_asked && !d->mptcp && tcp_look(d->fd, &info) &&
           info.tcpi_state == STATE_CLOSE_WAIT &&
           again(sys_recv(d->fd, &octet, sizeof octet, MSG_PEEK | MSG_DONTWAIT));
}

/* The only subflow is gone: MPTCP would wait a minute for another one before it says so, and no
 * event tells. False, as the others. */
static bool still_there(struct dial *d)
{
    struct mptcp_head head;
    struct tcp_info info;

    if (end_was_lost(d))
        return closed(d, 0);
    if (!d->mptcp || !tcp_look(d->fd, &info) || info.tcpi_state != STATE_CLOSE ||
        !mptcp_look(d->fd, &head) || head.subflows > 0)
        return wait_for(d, POLLIN);
    (void)closed(d, ECONNRESET);
    d->broken = true; /* who says no ends the connection, not a subflow */
    return false;
}

/* Takes `want` octets, seen before, behind those we have. */
static bool take(struct dial *d, size_t want)
{
    uint8_t *to = d->answer + d->have;

    while (want > 0) {
        ssize_t n = sys_recv(d->fd, to, want, MSG_DONTWAIT);

        if (n <= 0)
            return closed(d, n < 0 ? (int)-n : 0);
        to += n;
        want -= (size_t)n;
    }
    return true;
}

/* Looks at what came and takes what belongs to the answer. False: nothing more for now. */
static bool listen_to(struct dial *d)
{
    ssize_t n = sys_recv(d->fd, d->answer + d->have, sizeof d->answer - d->have,
                         MSG_PEEK | MSG_DONTWAIT);

    if (again(n))
        return still_there(d);
    if (n <= 0)
        return closed(d, n < 0 ? (int)-n : 0);

    size_t used = 0, have = d->have, keep = have + (size_t)n;
    enum initiator_step step = initiator_input(&d->initiator, span_of(d->answer, keep), &used);

    if (step == INITIATOR_REFUSED || step == INITIATOR_BROKEN)
        return true; /* the socket is of no more use */
    if (step != INITIATOR_WAIT)
        keep = used > have ? used : have;
    if (!take(d, keep - have))
        return false;
    memmove(d->answer, d->answer + used, keep - used);
    d->have = (uint16_t)(keep - used);
    return true;
}

static enum dial_step conclude(struct dial *d)
{
    struct mptcp_head head;
    struct tcp_info info;

    if (d->initiator.step != INITIATOR_READY) {
        d->broken = d->initiator.step == INITIATOR_BROKEN;
        d->error = d->initiator.error;
        d->step = DIAL_FAILED;
        return d->step;
    }
    if (d->lowat != 0)
        (void)sys_set_int(d->fd, SOL_SOCKET, SO_RCVLOWAT, d->lowat);
    if (d->mptcp && !mptcp_look(d->fd, &head)) /* lost with the first data, or all is over */
        d->mptcp = !tcp_look(d->fd, &info) || is_over(&info);
    d->step = DIAL_READY;
    return d->step;
}

static enum dial_step conclude_native(struct dial *d)
{
    if (d->mptcp) {
        d->step = DIAL_READY;
        return d->step;
    }
    (void)closed(d, d->gone ? ECONNRESET : EPROTONOSUPPORT);
    d->broken = true;
    return d->step;
}

enum dial_step dial_run(struct dial *d)
{
    if (d->step != DIAL_WAIT || (d->connecting && !connected(d)))
        return d->step;
    if (d->native)
        return conclude_native(d);
    for (;;) {
        bool go_on;

        if (d->initiator.step == INITIATOR_SEND)
            go_on = flush(d);
        else if (d->initiator.step == INITIATOR_WAIT)
            go_on = listen_to(d);
        else
            return conclude(d);
        if (!go_on)
            return d->step;
    }
}

/* 0, or -errno; -EOPNOTSUPP: nothing happened, connect() may. Without NO_COOKIE the kernel asks
 * for a cookie and sends no data, and on MPTCP the SYN-ACK of a server that has no cookies
 * either would cost the second subflow. */
static int syn_with_request(struct dial *d, struct sockaddr_storage *to, socklen_t len)
{
    struct span out = initiator_output(&d->initiator);
    struct iovec piece = {.iov_len = out.len};
    struct msghdr m = {.msg_name = to, .msg_namelen = len, .msg_iov = &piece, .msg_iovlen = 1};

    memcpy(&piece.iov_base, &out.ptr, sizeof out.ptr); /* the kernel only reads */
    if (sys_set_int(d->fd, IPPROTO_TCP, TCP_FASTOPEN_NO_COOKIE, 1) < 0)
        return -EOPNOTSUPP;
    ssize_t n = sys_sendmsg(d->fd, &m, MSG_FASTOPEN | MSG_DONTWAIT | MSG_NOSIGNAL);
    if (n < 0)
        return (int)n;
    d->tfo_asked = n > 0;
    initiator_sent(&d->initiator, (size_t)n);
    return 0;
}

static int syn_alone(const struct dial *d, const struct sockaddr_storage *to, socklen_t len)
{
    /* With the program's TCP_FASTOPEN_CONNECT no SYN would leave before the first write. */
    (void)sys_set_int(d->fd, IPPROTO_TCP, TCP_FASTOPEN_CONNECT, 0);
    return sys_connect(d->fd, (const struct sockaddr *)to, len);
}

/* A program may have asked to be woken only by so many octets: more than the answer has. */
static void lower_lowat(struct dial *d)
{
    int lowat = 0;

    if (sys_get_int(d->fd, SOL_SOCKET, SO_RCVLOWAT, &lowat) == 0 && lowat > 1 &&
        sys_set_int(d->fd, SOL_SOCKET, SO_RCVLOWAT, 1) == 0)
        d->lowat = lowat;
}

enum dial_step dial_start(struct dial *d, int fd, const struct dial_options *o,
                          const struct target *t)
{
    struct sockaddr_storage to;
    socklen_t len = addr_to_sockaddr(&o->proxy, &to);

    memset(d, 0, sizeof *d);
    d->fd = fd;
    d->mptcp_asked = o->mptcp;
    d->connecting = true;
    d->native = o->native;
    d->step = DIAL_WAIT;
    if (!o->native && !initiator_init(&d->initiator, &o->request, t, &d->error)) {
        d->step = DIAL_FAILED;
        return d->step;
    }
    if (!o->native)
        lower_lowat(d);
    int rc = o->tfo ? syn_with_request(d, &to, len) : -EOPNOTSUPP;
    if (rc == -EOPNOTSUPP)
        rc = syn_alone(d, &to, len);
    if (rc < 0 && rc != -EINPROGRESS) {
        (void)closed(d, -rc);
        return d->step;
    }
    return dial_run(d);
}

bool dial_is_mptcp(int fd)
{
    struct mptcp_head head;

    return mptcp_look(fd, &head);
}
