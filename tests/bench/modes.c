/* SPDX-License-Identifier: MIT */
#include "modes.h"

#include <errno.h>
#include <netinet/tcp.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

enum { EVENTS = 256, SETUP_PARALLEL = 64, SETUP_MS = 60000, DRAIN_MS = 5000, CHECK_EVERY = 8 };
#define NS_PER_MS 1000000U

static int wait_events(const struct load *l, struct epoll_event *ev, uint64_t until)
{
    uint64_t now = net_now_ns();

    return now >= until ? 0
                        : epoll_wait(l->ep, ev, EVENTS, (int)((until - now) / NS_PER_MS) + 1);
}

static bool is_mptcp(int fd)
{
    int yes = 0;
    socklen_t len = sizeof yes;

    return getsockopt(fd, IPPROTO_TCP, TCP_IS_MPTCP, &yes, &len) == 0 && yes;
}

bool modes_set_up(struct load *l)
{
    uint64_t until = net_now_ns() + (uint64_t)SETUP_MS * NS_PER_MS;
    struct epoll_event ev[EVENTS];

    while (l->ready < l->flows && l->failures == 0) {
        while (l->started < l->flows && l->started - l->ready < SETUP_PARALLEL)
            if (!flow_open(l, &l->flow[l->started++]))
                return false;
        int n = wait_events(l, ev, until);

        if (n == 0 && net_now_ns() >= until) {
            l->failures++;
            l->why = "set-up takes too long";
        }
        for (int i = 0; i < n; i++) {
            struct flow *f = ev[i].data.ptr;

            if (flow_advance(l, f) != FLOW_DONE)
                continue;
            l->ready++;
            l->mptcp_flows += is_mptcp(f->fd);
        }
    }
    return l->failures == 0;
}

/* ---- connection rate ---- */

static void rate_event(struct load *l, struct flow *f)
{
    switch (flow_advance(l, f)) {
    case FLOW_WAIT:
        return;
    case FLOW_DONE:
        l->ops++;
        samples_add(&l->latency, net_now_ns() - f->began);
        if (l->mptcp && l->ops % 64 == 1)
            l->mptcp_flows += is_mptcp(f->fd);
        flow_close(f);
        break;
    case FLOW_FAILED:
        break;
    }
    l->ready--;
    if (!l->stopping && l->failures < 1000)
        l->ready += flow_open(l, f);
}

static void run_rate(struct load *l, uint64_t until)
{
    struct epoll_event ev[EVENTS];

    for (size_t i = 0; i < l->flows; i++)
        l->ready += flow_open(l, &l->flow[i]); /* `ready` counts flows on their way */
    while (l->ready > 0) {
        int n = wait_events(l, ev, until);

        if (n == 0 && net_now_ns() >= until) {
            if (l->stopping)
                break;
            l->stopping = true;
            until += (uint64_t)DRAIN_MS * NS_PER_MS;
        }
        for (int i = 0; i < n; i++)
            rate_event(l, ev[i].data.ptr);
    }
    for (size_t i = 0; i < l->flows; i++)
        if (l->flow[i].stage != FLOW_NONE)
            flow_fail(l, &l->flow[i], "connection hangs");
}

/* ---- ping-pong, and the sign of life of idle sessions ---- */

static void ping(struct load *l, struct flow *f)
{
    uint8_t message[MESSAGE_MAX];

    memcpy(message, l->pattern, l->message);
    f->serial++;
    memcpy(message, &f->serial, l->message < sizeof f->serial ? l->message : sizeof f->serial);
    f->got = 0;
    f->began = net_now_ns();
    if (send(f->fd, message, l->message, MSG_NOSIGNAL) != (ssize_t)l->message) {
        flow_fail(l, f, "message not sent");
        l->ready--;
    }
}

static void pong(struct load *l, struct flow *f, bool again)
{
    uint8_t head[sizeof f->serial];
    size_t head_len = l->message < sizeof head ? l->message : sizeof head;

    while (f->stage == FLOW_READY) {
        ssize_t n = recv(f->fd, l->scratch + f->got, l->message - f->got, 0);

        if (n < 0 && errno == EAGAIN)
            return;
        if (n <= 0) {
            flow_fail(l, f, "closed in ping-pong");
            l->ready--;
            return;
        }
        if ((size_t)n == l->message - f->got) {
            break;
        }
        /* A message in pieces: too rare to keep them per flow; only its length is checked. */
        f->got += (size_t)n;
    }
    if (f->stage != FLOW_READY)
        return;
    memcpy(head, &f->serial, head_len);
    if (f->got == 0 &&
        (memcmp(l->scratch, head, head_len) != 0 ||
         memcmp(l->scratch + head_len, l->pattern + head_len, l->message - head_len) != 0)) {
        flow_fail(l, f, "echo differs");
        l->ready--;
        return;
    }
    samples_add(&l->latency, net_now_ns() - f->began);
    l->ops++;
    l->octets += 2 * l->message;
    if (again)
        ping(l, f);
    else
        l->ready--;
}

/* MODE_IDLE: one message each. `ready` counts the flows whose answer is due. */
static void run_pingpong(struct load *l, uint64_t until)
{
    struct epoll_event ev[EVENTS];

    for (size_t i = 0; i < l->flows; i++)
        ping(l, &l->flow[i]);
    if (l->mode == MODE_IDLE) {
        l->stopping = true;
        until = net_now_ns() + (uint64_t)DRAIN_MS * NS_PER_MS;
    }
    while (l->ready > 0) {
        int n = wait_events(l, ev, until);

        if (net_now_ns() >= until) {
            if (l->stopping)
                break;
            l->stopping = true;
            until += (uint64_t)DRAIN_MS * NS_PER_MS;
        }
        for (int i = 0; i < n; i++)
            pong(l, ev[i].data.ptr, !l->stopping);
    }
    if (l->ready > 0) {
        l->failures += l->ready;
        l->why = "no answer";
    }
}

/* ---- bulk ---- */

static struct origin_totals tell_origin(struct load *l, char command)
{
    struct origin_totals t = {0};
    size_t got = 0;

    if (send(l->control_fd, &command, 1, MSG_NOSIGNAL) != 1)
        net_die("control");
    while (got < sizeof t) {
        ssize_t n = recv(l->control_fd, (char *)&t + got, sizeof t - got, 0);

        if (n <= 0)
            net_die("control");
        got += (size_t)n;
    }
    return t;
}

static void take(struct load *l, struct flow *f)
{
    ssize_t n = 0;

    if (f->turns++ % CHECK_EVERY == 0) {
        n = recv(f->fd, l->scratch, PATTERN_PROBE, 0);
        if (n > 0 && memcmp(l->scratch, l->pattern + f->pos % PATTERN_PERIOD, (size_t)n) != 0) {
            flow_fail(l, f, "octets differ");
            return;
        }
        if (n > 0) {
            f->pos += (uint64_t)n;
            l->octets += (uint64_t)n;
        }
    }
    if (n >= 0)
        n = recv(f->fd, NULL, 1 << 20,
                 MSG_TRUNC); /* drops without a copy: the proxy is to be the bottleneck */
    if (n > 0) {
        f->pos += (uint64_t)n;
        l->octets += (uint64_t)n;
    } else if (n == 0 || errno != EAGAIN) {
        flow_fail(l, f, "closed in bulk");
    }
}

static void give(struct load *l, struct flow *f)
{
    ssize_t n = send(f->fd, l->pattern + f->pos % PATTERN_PERIOD, PATTERN_CHUNK, MSG_NOSIGNAL);

    if (n > 0) {
        f->pos += (uint64_t)n;
        l->octets += (uint64_t)n;
    } else if (n < 0 && errno != EAGAIN) {
        flow_fail(l, f, "closed in bulk");
    }
}

static void bulk_events(struct load *l, uint64_t until)
{
    struct epoll_event ev[EVENTS];
    int n = wait_events(l, ev, until);

    for (int i = 0; i < n; i++) {
        struct flow *f = ev[i].data.ptr;

        if (f->stage == FLOW_READY)
            (l->mode == MODE_DOWN ? take : give)(l, f);
    }
}

/* Until every octet sourced has been received, or nothing comes any more. */
static void drain_down(struct load *l, uint64_t sourced)
{
    uint64_t seen = l->octets, progress = net_now_ns();

    while (l->octets < sourced && l->failures == 0) {
        uint64_t now = net_now_ns();

        if (l->octets != seen)
            progress = now;
        seen = l->octets;
        if (now > progress + (uint64_t)DRAIN_MS * NS_PER_MS)
            break;
        bulk_events(l, now + (uint64_t)20 * NS_PER_MS);
    }
    if (l->octets != sourced && l->failures++ == 0)
        l->why = l->octets < sourced ? "octets lost" : "octets invented";
}

static void drain_up(struct load *l, const struct origin_totals *before)
{
    struct origin_totals t = tell_origin(l, 'q');
    uint64_t seen = 0, progress = net_now_ns();

    while (t.sunk - before->sunk < l->octets &&
           net_now_ns() < progress + (uint64_t)DRAIN_MS * NS_PER_MS) {
        if (t.sunk != seen)
            progress = net_now_ns();
        seen = t.sunk;
        (void)usleep(1000); /* a poll that is cut short only asks again sooner */
        t = tell_origin(l, 'q');
    }
    if (t.sunk - before->sunk != l->octets && l->failures++ == 0)
        l->why = "octets lost";
    if (t.bad != before->bad && l->failures++ == 0)
        l->why = "octets differ";
}

static void run_bulk(struct load *l, uint64_t until)
{
    struct origin_totals before = tell_origin(l, 'q');

    for (size_t i = 0; i < l->flows; i++)
        flow_watch(l, &l->flow[i], EPOLL_CTL_MOD, l->mode == MODE_DOWN ? EPOLLIN : EPOLLOUT);
    if (l->mode == MODE_DOWN)
        (void)tell_origin(l, 'g');
    while (net_now_ns() < until && l->failures == 0)
        bulk_events(l, until);
    if (l->mode == MODE_DOWN)
        drain_down(l, tell_origin(l, 's').sourced - before.sourced);
    else
        drain_up(l, &before);
    for (size_t i = 0; i < l->flows;
         i++) /* one flow that starves is a finding; a failure only when nothing came at all */
        if (l->flow[i].stage == FLOW_READY && l->flow[i].pos == 0 && l->failures++ == 0)
            l->why = "a flow starved";
}

double modes_run(struct load *l)
{
    uint64_t began = net_now_ns(), until = began + (uint64_t)(l->seconds * 1e9);

    if (l->mode == MODE_RATE)
        run_rate(l, until);
    else if (l->mode == MODE_PINGPONG || l->mode == MODE_IDLE)
        run_pingpong(l, until);
    else
        run_bulk(l, until);
    return (double)(net_now_ns() - began) / 1e9;
}
