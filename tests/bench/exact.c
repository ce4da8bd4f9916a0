/* SPDX-License-Identifier: MIT */
/* exact - connects with an MP_CONVERT request in the SYN, as a program on an event loop makes
 * them, and how long connect() takes to tell the truth.
 *
 *     exact direct|through PROXY:PORT TARGET:PORT -n COUNT [-c AT_A_TIME] [-r PER_SECOND] [-m]
 *           [-x] [-e] [-w ERRNO] [-s SECONDS]
 *
 * Prints "p50_us p99_us max_us wrong seconds". direct: plain connect() to the target. -m:
 * MPTCP. -x: no answer wanted. -e: then one octet there and back. -w: every connect is to end
 * with this errno (default 0). -r: open loop. -s: after the last connect begun, wait so long
 * for those still under way. */
#include "net.h"

#include <errno.h>
#include <poll.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/socket.h>
#include <unistd.h>

#ifndef TCP_FASTOPEN_NO_COOKIE
#define TCP_FASTOPEN_NO_COOKIE 34
#endif
enum { ELEMENT = 16, NO_ANSWER = 8, EVENTS = 256, LEVEL_TCP = 6 };

struct flow {
    uint64_t began;
    int fd;
    unsigned echo; /* octets of answer and echo still to come; 0: connecting */
};

struct run {
    bool through, mptcp, no_answer, echo;
    struct sockaddr_in proxy, target;
    unsigned long count, at_a_time, begun, ended, wrong;
    double rate, patience;
    int expected, ep;
    uint8_t request[NO_ANSWER + ELEMENT];
    size_t request_len;
    struct samples samples;
};

static void fill_request(struct run *r)
{
    static const uint8_t head[ELEMENT] = {0xFA, 0xA8, 0xFA, 0xA8, 0, 10, 0, 1};
    static const uint8_t silent[NO_ANSWER] = {0xFA, 0xA8, 0xFA, 0xA8, 0xF3, 4, 0, 0};
    uint8_t *at = r->request;

    if (r->no_answer) {
        memcpy(at, silent, sizeof silent);
        at += sizeof silent;
    }
    memcpy(at, head, sizeof head);
    memcpy(at + 8, &r->target.sin_addr, 4);
    memcpy(at + 12, &r->target.sin_port, 2);
    r->request_len = (size_t)(at - r->request) + ELEMENT;
}

static void end(struct run *r, struct flow *f, int error)
{
    struct linger now = {.l_onoff = 1, .l_linger = 0};

    if (error != r->expected)
        r->wrong++;
    (void)setsockopt(f->fd, SOL_SOCKET, SO_LINGER, &now, sizeof now);
    (void)close(f->fd);
    free(f);
    r->ended++;
}

static void begin(struct run *r)
{
    struct flow *f = calloc(1, sizeof *f);
    int on = 1;
    ssize_t rc;

    if (f == NULL)
        net_die("calloc");
    f->fd = socket(AF_INET, SOCK_STREAM | SOCK_NONBLOCK, r->mptcp ? IPPROTO_MPTCP : 0);
    if (f->fd < 0)
        net_die("socket");
    r->begun++;
    f->began = net_now_ns();
    if (r->through) {
        (void)setsockopt(f->fd, LEVEL_TCP, TCP_FASTOPEN_NO_COOKIE, &on, sizeof on);
        rc = sendto(f->fd, r->request, r->request_len, MSG_FASTOPEN,
                    (struct sockaddr *)&r->proxy, sizeof r->proxy);
    } else {
        rc = connect(f->fd, (struct sockaddr *)&r->target, sizeof r->target);
    }
    if (rc < 0 && errno != EINPROGRESS) {
        end(r, f, errno);
        return;
    }
    struct epoll_event e = {.events = EPOLLIN | EPOLLOUT | EPOLLET, .data.ptr = f};
    if (epoll_ctl(r->ep, EPOLL_CTL_ADD, f->fd, &e) != 0)
        net_die("epoll_ctl");
}

/* What is read after the connection stands: the answer, then the echo. */
static void read_echo(struct run *r, struct flow *f)
{
    uint8_t buf[64];
    ssize_t n;

    while (f->echo > 0 && (n = recv(f->fd, buf, f->echo, 0)) != 0) {
        if (n < 0 && errno == EAGAIN)
            return;
        if (n < 0) {
            end(r, f, errno);
            return;
        }
        f->echo -= (unsigned)n;
    }
    end(r, f, f->echo == 0 ? 0 : EPIPE);
}

static void on_event(struct run *r, struct flow *f)
{
    struct pollfd ready = {.fd = f->fd, .events = POLLOUT};
    int error = 0;
    socklen_t len = sizeof error;

    if (f->echo > 0) {
        read_echo(r, f);
        return;
    }
    if (poll(&ready, 1, 0) <= 0)
        return;
    (void)getsockopt(f->fd, SOL_SOCKET, SO_ERROR, &error, &len);
    samples_add(&r->samples, net_now_ns() - f->began);
    if (error != 0 || !r->echo) {
        end(r, f, error);
        return;
    }
    f->echo = 1 + (r->through && !r->no_answer ? ELEMENT : 0);
    if (send(f->fd, "x", 1, MSG_NOSIGNAL) != 1)
        end(r, f, errno);
    else
        read_echo(r, f);
}

static void run(struct run *r)
{
    uint64_t start = net_now_ns(), last = 0;
    struct epoll_event events[EVENTS];

    while (r->ended < r->count) {
        uint64_t now = net_now_ns();
        while (r->begun < r->count && r->begun - r->ended < r->at_a_time &&
               (r->rate <= 0 || (double)r->begun < (double)(now - start) / 1e9 * r->rate))
            begin(r);
        if (r->begun == r->count && last == 0)
            last = now;
        if (last != 0 && (double)(now - last) / 1e9 > r->patience)
            break;
        int n = epoll_wait(r->ep, events, EVENTS, r->begun < r->count && r->rate > 0 ? 0 : 10);
        for (int i = 0; i < n; i++)
            on_event(r, events[i].data.ptr);
    }
    r->wrong += r->begun - r->ended;
    double seconds = (double)(net_now_ns() - start) / 1e9;
    double p50 = samples_us(&r->samples, 0.5), p99 = samples_us(&r->samples, 0.99);
    (void)printf("%.1f %.1f %.1f %lu %.3f\n", p50, p99, samples_us(&r->samples, 1), r->wrong,
                 seconds);
}

static _Noreturn void usage(void)
{
    (void)fputs("usage: exact direct|through PROXY:PORT TARGET:PORT -n COUNT [-c AT_A_TIME] "
                "[-r PER_SECOND] [-m] [-x] [-e] [-w ERRNO] [-s SECONDS]\n",
                stderr);
    exit(EXIT_FAILURE);
}

int main(int argc, char **argv)
{
    struct run r = {.at_a_time = 1, .patience = 10};

    if (argc < 4 || !net_endpoint(argv[2], &r.proxy) || !net_endpoint(argv[3], &r.target))
        usage();
    r.through = strcmp(argv[1], "through") == 0;
    optind = 4;
    for (int c; (c = getopt(argc, argv, "n:c:r:mxew:s:")) != -1;) {
        switch (c) {
        case 'n':
            r.count = strtoul(optarg, NULL, 10);
            break;
        case 'c':
            r.at_a_time = strtoul(optarg, NULL, 10);
            break;
        case 'r':
            r.rate = strtod(optarg, NULL);
            break;
        case 'm':
            r.mptcp = true;
            break;
        case 'x':
            r.no_answer = true;
            break;
        case 'e':
            r.echo = true;
            break;
        case 'w':
            r.expected = (int)strtol(optarg, NULL, 10);
            break;
        case 's':
            r.patience = strtod(optarg, NULL);
            break;
        default:
            usage();
        }
    }
    net_raise_nofile();
    fill_request(&r);
    r.ep = epoll_create1(EPOLL_CLOEXEC);
    if (r.ep < 0)
        net_die("epoll_create1");
    run(&r);
    return EXIT_SUCCESS;
}
