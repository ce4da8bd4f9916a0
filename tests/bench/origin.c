/* SPDX-License-Identifier: MIT */
/* bench_origin - the server behind the proxies: echo, sink and source on three neighbouring
 * ports, control on a fourth.
 *
 *     bench_origin ADDRESS:BASEPORT
 *
 * One thread, level-triggered epoll. Sink and source greet with one octet, so that a client
 * behind a relay that accepts early knows the path is whole. A source sends the pattern while
 * it is told to ('g' on the control port) and stops at once when told to ('s'), so that octets
 * sourced and octets received can be compared to the last one; a sink drops what it gets
 * (MSG_TRUNC: no copy) and checks 64 octets of it now and then. Every control octet is answered
 * with struct origin_totals. Ends on SIGTERM. */
#include "net.h"

#include <arpa/inet.h>
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/socket.h>
#include <unistd.h>

enum { EVENTS = 256, ECHO_MAX = 65536, CHECK_EVERY = 8 };

struct origin_conn {
    int fd;
    enum origin_service service;
    bool listener;
    unsigned turns;
    uint64_t pos;  /* octets sunk or sourced */
    uint8_t *kept; /* echo the kernel did not take; NULL: nothing */
    size_t kept_len, kept_off;
    struct origin_conn *prev, *next; /* all that are open */
};

struct origin {
    int ep;
    bool go;
    struct origin_conn open; /* list head */
    struct origin_totals totals;
    uint8_t *pattern;
    uint8_t scratch[ECHO_MAX];
};

static void watch(struct origin *o, struct origin_conn *c, int op, uint32_t events)
{
    struct epoll_event e = {.events = events, .data.ptr = c};

    if (epoll_ctl(o->ep, op, c->fd, &e) < 0)
        net_die("epoll_ctl");
}

static void drop(struct origin_conn *c)
{
    c->prev->next = c->next;
    c->next->prev = c->prev;
    close(c->fd);
    free(c->kept);
    free(c);
}

static void admit(struct origin *o, const struct origin_conn *l)
{
    for (int n = 0; n < 16; n++) {
        int fd = accept4(l->fd, NULL, NULL, SOCK_NONBLOCK | SOCK_CLOEXEC);
        struct origin_conn *c;

        if (fd < 0)
            return;
        c = calloc(1, sizeof *c);
        if (c == NULL) {
            close(fd);
            return;
        }
        c->fd = fd;
        c->service = l->service;
        o->totals.accepted++;
        c->next = &o->open;
        c->prev = o->open.prev;
        c->prev->next = c;
        o->open.prev = c;
        watch(o, c, EPOLL_CTL_ADD,
              EPOLLIN | (c->service == ORIGIN_SOURCE && o->go ? EPOLLOUT : 0U));
        if ((c->service == ORIGIN_SINK || c->service == ORIGIN_SOURCE) &&
            send(fd, "!", 1, MSG_NOSIGNAL) != 1)
            drop(c);
    }
}

/* False: the connection is over. */
static bool echo(struct origin *o, struct origin_conn *c)
{
    ssize_t n = recv(c->fd, o->scratch, sizeof o->scratch, 0), sent;

    if (n <= 0)
        return n < 0 && errno == EAGAIN;
    sent = send(c->fd, o->scratch, (size_t)n, MSG_NOSIGNAL);
    if (sent < 0 && errno != EAGAIN)
        return false;
    if (sent < 0)
        sent = 0;
    if (sent == n)
        return true;
    c->kept_len = (size_t)(n - sent);
    c->kept_off = 0;
    c->kept = malloc(c->kept_len);
    if (c->kept == NULL)
        return false;
    memcpy(c->kept, o->scratch + sent, c->kept_len);
    watch(o, c, EPOLL_CTL_MOD, EPOLLOUT);
    return true;
}

static bool echo_rest(struct origin *o, struct origin_conn *c)
{
    ssize_t n = send(c->fd, c->kept + c->kept_off, c->kept_len - c->kept_off, MSG_NOSIGNAL);

    if (n < 0)
        return errno == EAGAIN;
    c->kept_off += (size_t)n;
    if (c->kept_off == c->kept_len) {
        free(c->kept);
        c->kept = NULL;
        watch(o, c, EPOLL_CTL_MOD, EPOLLIN);
    }
    return true;
}

static bool sink(struct origin *o, struct origin_conn *c)
{
    ssize_t n;

    if (c->turns++ % CHECK_EVERY == 0) {
        n = recv(c->fd, o->scratch, PATTERN_PROBE, 0);
        if (n <= 0)
            return n < 0 && errno == EAGAIN;
        if (memcmp(o->scratch, o->pattern + c->pos % PATTERN_PERIOD, (size_t)n) != 0)
            o->totals.bad++;
        c->pos += (uint64_t)n;
        o->totals.sunk += (uint64_t)n;
    }
    n = recv(c->fd, NULL, 1 << 20, MSG_TRUNC);
    if (n <= 0)
        return n < 0 && errno == EAGAIN;
    c->pos += (uint64_t)n;
    o->totals.sunk += (uint64_t)n;
    return true;
}

static bool source(struct origin *o, struct origin_conn *c, uint32_t events)
{
    if (events & (EPOLLIN | EPOLLHUP | EPOLLERR)) {
        ssize_t n = recv(c->fd, o->scratch, sizeof o->scratch, 0);

        if (n == 0 || (n < 0 && errno != EAGAIN))
            return false;
    }
    if ((events & EPOLLOUT) && o->go) {
        ssize_t n =
            send(c->fd, o->pattern + c->pos % PATTERN_PERIOD, PATTERN_CHUNK, MSG_NOSIGNAL);

        if (n < 0)
            return errno == EAGAIN;
        c->pos += (uint64_t)n;
        o->totals.sourced += (uint64_t)n;
    }
    return true;
}

static bool control(struct origin *o, const struct origin_conn *c)
{
    char command;
    ssize_t n = recv(c->fd, &command, 1, 0);

    if (n <= 0)
        return n < 0 && errno == EAGAIN;
    if (command == 'g' || command == 's') {
        o->go = command == 'g';
        for (struct origin_conn *s = o->open.next; s != &o->open; s = s->next)
            if (s->service == ORIGIN_SOURCE)
                watch(o, s, EPOLL_CTL_MOD, EPOLLIN | (o->go ? EPOLLOUT : 0U));
    }
    return send(c->fd, &o->totals, sizeof o->totals, MSG_NOSIGNAL) == (ssize_t)sizeof o->totals;
}

static void serve(struct origin *o, struct origin_conn *c, uint32_t events)
{
    bool lives = false;

    if (c->listener) {
        admit(o, c);
        return;
    }
    switch (c->service) {
    case ORIGIN_ECHO:
        lives = c->kept != NULL ? echo_rest(o, c) : echo(o, c);
        break;
    case ORIGIN_SINK:
        lives = sink(o, c);
        break;
    case ORIGIN_SOURCE:
        lives = source(o, c, events);
        break;
    case ORIGIN_CONTROL:
        lives = control(o, c);
        break;
    case ORIGIN_SERVICES:
        break;
    }
    if (!lives)
        drop(c);
}

int main(int argc, char **argv)
{
    static struct origin o;
    static struct origin_conn listeners[ORIGIN_SERVICES];
    struct epoll_event ev[EVENTS];
    struct sockaddr_in at;

    if (argc != 2 || !net_endpoint(argv[1], &at)) {
        (void)fputs("usage: bench_origin ADDRESS:BASEPORT\n", stderr);
        return EXIT_FAILURE;
    }
    net_raise_nofile();
    o.open.next = o.open.prev = &o.open;
    o.pattern = net_pattern();
    o.ep = epoll_create1(EPOLL_CLOEXEC);
    if (o.ep < 0)
        net_die("epoll_create1");
    for (int i = 0; i < ORIGIN_SERVICES; i++) {
        listeners[i] = (struct origin_conn){.fd = net_listen(&at, false, 0),
                                            .service = (enum origin_service)i,
                                            .listener = true};
        if (listeners[i].fd < 0)
            net_die(argv[1]);
        watch(&o, &listeners[i], EPOLL_CTL_ADD, EPOLLIN);
        at.sin_port = htons((uint16_t)(ntohs(at.sin_port) + 1));
    }
    if (puts("ready") < 0 || fflush(stdout) != 0)
        return EXIT_FAILURE;
    for (;;) {
        int n = epoll_wait(o.ep, ev, EVENTS, -1);

        for (int i = 0; i < n; i++)
            serve(&o, ev[i].data.ptr, ev[i].events);
    }
}
