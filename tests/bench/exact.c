/* SPDX-License-Identifier: MIT */
/* exact - connects with an MP_CONVERT request in the SYN, as a program on an event loop makes
 * them, and how long connect() takes to tell the truth.
 *
 *     exact direct|through|bare PROXY:PORT TARGET:PORT -n COUNT [-c AT_A_TIME] [-r PER_SECOND]
 *           [-m] [-x] [-e] [-w ERRNO] [-s SECONDS]
 *
 * Prints "p50_us p99_us max_us wrong seconds call_max_us late early": how long until a connect
 * told its outcome; how many told a wrong one, or none; how long connect() itself took at most;
 * how many connects of an open loop began a millisecond late or more; how many sockets were
 * said to be ready a moment before SO_ERROR could tell why. The client's kernel does that when
 * the error comes as an ICMP message on another core; the socket is looked at again then.
 * direct: plain connect() to the target; bare: to the proxy, without a request. -m: MPTCP. -x:
 * no answer wanted. -e: then one octet there and back. -w: every connect is to end with this
 * errno (default 0). -r: open loop: connects begin when they are due, whatever the others do.
 * -s: after the last connect begun, wait so long for those still under way. */
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
enum { IDLE_NS = 10000000, LATE_NS = 1000000, SECOND_NS = 1000000000 };
enum { LOOKS_MAX = 1000 };

struct flow {
    uint64_t began;
    int fd;
    unsigned echo; /* octets of answer and echo still to come; 0: connecting */
};

struct run {
    bool through, mptcp, no_answer, echo;
    struct sockaddr_in proxy, target;
    unsigned long count, at_a_time, begun, ended, wrong, late, early;
    uint64_t call_max;
    double rate, patience;
    int expected, ep;
    uint8_t request[NO_ANSWER + ELEMENT];
    size_t request_len;
    struct samples samples;
    struct flow *flow; /* one per connect */
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

    if (error != r->expected && r->wrong++ == 0)
        (void)fprintf(stderr, "exact: a connect ended with \"%s\" after %.3f s\n",
                      strerror(error), (double)(net_now_ns() - f->began) / SECOND_NS);
    (void)setsockopt(f->fd, SOL_SOCKET, SO_LINGER, &now, sizeof now);
    (void)close(f->fd);
    r->ended++;
}

static void begin(struct run *r)
{
    struct flow *f = &r->flow[r->begun];
    int on = 1;
    ssize_t rc;

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
    uint64_t took = net_now_ns() - f->began;
    if (took > r->call_max)
        r->call_max = took;
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

/* What SO_ERROR says of a socket that is ready; ENOTCONN: it is neither connected nor refused.
 */
static int outcome(struct run *r, int fd)
{
    struct sockaddr_in peer;

    for (int look = 0; look < LOOKS_MAX; look++) {
        int error = 0;
        socklen_t error_len = sizeof error, peer_len = sizeof peer;
        (void)getsockopt(fd, SOL_SOCKET, SO_ERROR, &error, &error_len);
        if (error != 0 || getpeername(fd, (struct sockaddr *)&peer, &peer_len) == 0) {
            r->early += look > 0;
            return error;
        }
    }
    return ENOTCONN;
}

static void on_event(struct run *r, struct flow *f)
{
    struct pollfd ready = {.fd = f->fd, .events = POLLOUT};

    if (f->echo > 0) {
        read_echo(r, f);
        return;
    }
    if (poll(&ready, 1, 0) <= 0)
        return;
    int error = outcome(r, f->fd);
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

/* When the next connect is due; far away when none is. */
static uint64_t next_due(const struct run *r, uint64_t start)
{
    if (r->begun == r->count || r->begun - r->ended >= r->at_a_time)
        return UINT64_MAX;
    return r->rate <= 0 ? start : start + (uint64_t)((double)r->begun / r->rate * 1e9);
}

/* Sleeps between connects: on a few cores a spinning client takes the time of those it
 * measures.
 */
static void turn(struct run *r, uint64_t due)
{
    struct epoll_event events[EVENTS];
    uint64_t now = net_now_ns(), wait = due <= now ? 0 : due - now;

    if (wait > IDLE_NS)
        wait = IDLE_NS;
    struct timespec t = {.tv_sec = 0, .tv_nsec = (long)wait};
    int n = epoll_pwait2(r->ep, events, EVENTS, &t, NULL);
    for (int i = 0; i < n; i++)
        on_event(r, events[i].data.ptr);
}

static void run(struct run *r)
{
    uint64_t start = net_now_ns(), last = 0;

    while (r->ended < r->count) {
        uint64_t due, now = net_now_ns();
        for (; (due = next_due(r, start)) <= now; now = net_now_ns()) {
            r->late += r->rate > 0 && now - due >= LATE_NS;
            begin(r);
        }
        if (r->begun == r->count && last == 0)
            last = now;
        if (last != 0 && (double)(now - last) / SECOND_NS > r->patience)
            break;
        turn(r, due);
    }
    r->wrong += r->begun - r->ended;
    double seconds = (double)(net_now_ns() - start) / SECOND_NS;
    double p50 = samples_us(&r->samples, 0.5), p99 = samples_us(&r->samples, 0.99);
    (void)printf("%.1f %.1f %.1f %lu %.3f %.1f %lu %lu\n", p50, p99, samples_us(&r->samples, 1),
                 r->wrong, seconds, (double)r->call_max / 1000, r->late, r->early);
}

static _Noreturn void usage(void)
{
    (void)fputs("usage: exact direct|through|bare PROXY:PORT TARGET:PORT -n COUNT "
                "[-c AT_A_TIME] [-r PER_SECOND] [-m] [-x] [-e] [-w ERRNO] [-s SECONDS]\n",
                stderr);
    exit(EXIT_FAILURE);
}

int main(int argc, char **argv)
{
    struct run r = {.at_a_time = 1, .patience = 10};

    if (argc < 4 || !net_endpoint(argv[2], &r.proxy) || !net_endpoint(argv[3], &r.target))
        usage();
    r.through = strcmp(argv[1], "through") == 0;
    if (strcmp(argv[1], "bare") == 0)
        r.target = r.proxy;
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
    r.flow = calloc(r.count + 1, sizeof *r.flow);
    if (r.flow == NULL)
        net_die("calloc");
    net_raise_nofile();
    fill_request(&r);
    r.ep = epoll_create1(EPOLL_CLOEXEC);
    if (r.ep < 0)
        net_die("epoll_create1");
    run(&r);
    return EXIT_SUCCESS;
}
