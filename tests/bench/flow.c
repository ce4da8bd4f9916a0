/* SPDX-License-Identifier: MIT */
#include "flow.h"

#include <errno.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

static const uint8_t GREETING[] = {5, 1, 0};
static const uint8_t FIRST = 'x', HELLO = '!';

void flow_watch(const struct load *l, struct flow *f, int op, uint32_t events)
{
    struct epoll_event e = {.events = events, .data.ptr = f};

    if (epoll_ctl(l->ep, op, f->fd, &e) < 0)
        net_die("epoll_ctl");
}

void flow_close(struct flow *f)
{
    if (f->stage != FLOW_NONE)
        close(f->fd);
    f->stage = FLOW_NONE;
}

void flow_fail(struct load *l, struct flow *f, const char *why)
{
    l->failures++;
    if (l->why == NULL)
        l->why = why;
    flow_close(f);
}

bool flow_open(struct load *l, struct flow *f)
{
    *f = (struct flow){.began = net_now_ns()};
    f->fd = net_dial(&l->proxy, l->mptcp, l->rcvbuf);
    if (f->fd < 0) {
        flow_fail(l, f, strerror(errno));
        return false;
    }
    f->stage = FLOW_CONNECT;
    flow_watch(l, f, EPOLL_CTL_ADD, EPOLLIN | EPOLLOUT | EPOLLET);
    return true;
}

static enum flow_verdict failed(struct load *l, struct flow *f, const char *why)
{
    flow_fail(l, f, why);
    return FLOW_FAILED;
}

/* Fills `answer` up to `want` octets. */
static enum flow_verdict collect(struct load *l, struct flow *f, size_t want, const char *what)
{
    while (f->got < want) {
        ssize_t n = recv(f->fd, f->answer + f->got, want - f->got, 0);

        if (n < 0 && errno == EAGAIN)
            return FLOW_WAIT;
        if (n <= 0)
            return failed(l, f, what);
        f->got += (size_t)n;
    }
    return FLOW_DONE;
}

/* Small messages on an empty queue: the kernel takes all or the connection is no use. */
static bool say(const struct flow *f, const void *octets, size_t len)
{
    return send(f->fd, octets, len, MSG_NOSIGNAL) == (ssize_t)len;
}

static bool say_first(const struct load *l, struct flow *f)
{
    f->stage = FLOW_FIRST;
    f->got = 0;
    return l->mode == MODE_DOWN || l->mode == MODE_UP ||
           say(f, &FIRST, 1); /* bulk services speak first */
}

static enum flow_verdict on_connected(struct load *l, struct flow *f)
{
    int error = 0;
    socklen_t len = sizeof error;

    if (getsockopt(f->fd, SOL_SOCKET, SO_ERROR, &error, &len) < 0 || error != 0)
        return failed(l, f, "connect failed");
    if (!l->socks)
        return say_first(l, f) ? FLOW_WAIT : failed(l, f, "first octet not sent");
    f->stage = FLOW_METHOD;
    return say(f, GREETING, sizeof GREETING) ? FLOW_WAIT : failed(l, f, "greeting not sent");
}

static enum flow_verdict on_method(struct load *l, struct flow *f)
{
    uint8_t request[10] = {5, 1, 0, 1};
    enum flow_verdict v = collect(l, f, 2, "closed instead of a method");

    if (v != FLOW_DONE)
        return v;
    if (f->answer[0] != 5 || f->answer[1] != 0)
        return failed(l, f, "method refused");
    memcpy(request + 4, &l->target.sin_addr, 4);
    memcpy(request + 8, &l->target.sin_port, 2);
    f->stage = FLOW_REPLY;
    f->got = 0;
    return say(f, request, sizeof request) ? FLOW_WAIT : failed(l, f, "request not sent");
}

static enum flow_verdict on_reply(struct load *l, struct flow *f)
{
    enum flow_verdict v = collect(l, f, 4, "closed instead of a reply");

    if (v == FLOW_DONE)
        v = collect(l, f, f->answer[3] == 4 ? 22 : 10, "reply cut short");
    if (v != FLOW_DONE)
        return v;
    if (f->answer[1] != 0)
        return failed(l, f, "CONNECT refused");
    return say_first(l, f) ? FLOW_WAIT : failed(l, f, "first octet not sent");
}

static enum flow_verdict on_first(struct load *l, struct flow *f)
{
    enum flow_verdict v = collect(l, f, 1, "closed before the first octet came back");
    bool bulk = l->mode == MODE_DOWN || l->mode == MODE_UP;

    if (v != FLOW_DONE)
        return v;
    if (f->answer[0] != (bulk ? HELLO : FIRST))
        return failed(l, f, "wrong first octet");
    f->stage = FLOW_READY;
    f->got = 0;
    return FLOW_DONE;
}

enum flow_verdict flow_advance(struct load *l, struct flow *f)
{
    enum flow_stage before;
    enum flow_verdict v = FLOW_WAIT;

    do { /* an edge may cover more than one step */
        before = f->stage;
        switch (f->stage) {
        case FLOW_CONNECT:
            v = on_connected(l, f);
            break;
        case FLOW_METHOD:
            v = on_method(l, f);
            break;
        case FLOW_REPLY:
            v = on_reply(l, f);
            break;
        case FLOW_FIRST:
            v = on_first(l, f);
            break;
        case FLOW_NONE:
        case FLOW_READY:
            return FLOW_WAIT;
        }
    } while (v == FLOW_WAIT && f->stage != before && f->stage == FLOW_FIRST);
    return v;
}
