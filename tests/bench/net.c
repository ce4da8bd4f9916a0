/* SPDX-License-Identifier: MIT */
#include "net.h"

#include <arpa/inet.h>
#include <errno.h>
#include <netinet/tcp.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/resource.h>
#include <sys/socket.h>
#include <time.h>
#include <unistd.h>

bool net_endpoint(const char *text, struct sockaddr_in *out)
{
    char host[INET_ADDRSTRLEN];
    const char *colon = strchr(text, ':');
    char *end;

    if (colon == NULL || (size_t)(colon - text) >= sizeof host)
        return false;
    memcpy(host, text, (size_t)(colon - text));
    host[colon - text] = '\0';
    unsigned long port = strtoul(colon + 1, &end, 10);
    if (*end != '\0' || end == colon + 1 || port == 0 || port > 65535)
        return false;
    *out = (struct sockaddr_in){.sin_family = AF_INET, .sin_port = htons((uint16_t)port)};
    return inet_pton(AF_INET, host, &out->sin_addr) == 1;
}

uint8_t *net_pattern(void)
{
    uint8_t *p = malloc(PATTERN_LEN);
    uint32_t x =
        2463534242U; /* xorshift32: any fixed seed will do, both ends compute the same */

    if (p == NULL)
        net_die("malloc");
    for (size_t i = 0; i < PATTERN_LEN; i++) {
        if (i >= PATTERN_PERIOD) {
            p[i] = p[i - PATTERN_PERIOD];
            continue;
        }
        x ^= x << 13;
        x ^= x >> 17;
        x ^= x << 5;
        p[i] = (uint8_t)x;
    }
    return p;
}

static int open_socket(bool mptcp, int rcvbuf)
{
    int fd = socket(AF_INET, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC,
                    mptcp ? IPPROTO_MPTCP : IPPROTO_TCP);

    if (fd >= 0 && rcvbuf > 0 &&
        setsockopt(fd, SOL_SOCKET, SO_RCVBUF, &rcvbuf, sizeof rcvbuf) < 0) {
        close(fd);
        return -1;
    }
    return fd;
}

int net_listen(const struct sockaddr_in *at, bool mptcp, int rcvbuf)
{
    int one = 1, fd = open_socket(mptcp, rcvbuf);

    if (fd < 0)
        return -1;
    if (setsockopt(fd, SOL_SOCKET, SO_REUSEADDR, &one, sizeof one) < 0 ||
        setsockopt(fd, IPPROTO_TCP, TCP_NODELAY, &one, sizeof one) < 0 ||
        bind(fd, (const struct sockaddr *)at, sizeof *at) < 0 || listen(fd, 4096) < 0) {
        close(fd);
        return -1;
    }
    return fd;
}

int net_dial(const struct sockaddr_in *to, bool mptcp, int rcvbuf)
{
    int fd = open_socket(mptcp, rcvbuf);

    if (fd >= 0 && connect(fd, (const struct sockaddr *)to, sizeof *to) < 0 &&
        errno != EINPROGRESS) {
        close(fd);
        return -1;
    }
    return fd;
}

uint64_t net_now_ns(void)
{
    struct timespec t;

    (void)clock_gettime(CLOCK_MONOTONIC,
                        &t); /* cannot fail: the clock exists, the pointer is good */
    return (uint64_t)t.tv_sec * 1000000000U + (uint64_t)t.tv_nsec;
}

void net_raise_nofile(void)
{
    struct rlimit r;

    if (getrlimit(RLIMIT_NOFILE, &r) == 0) {
        r.rlim_cur = r.rlim_max;
        (void)setrlimit(RLIMIT_NOFILE, &r); /* what is missing shows as EMFILE later */
    }
}

void net_die(const char *what)
{
    perror(what);
    exit(EXIT_FAILURE);
}

void samples_add(struct samples *s, uint64_t ns)
{
    if (s->count == s->room) {
        size_t room = s->room == 0 ? 65536 : 2 * s->room;
        uint32_t *more = realloc(s->ns, room * sizeof *more);

        if (more == NULL)
            return;
        s->ns = more;
        s->room = room;
    }
    s->ns[s->count++] = ns > UINT32_MAX ? UINT32_MAX : (uint32_t)ns;
}

static int by_value(const void *a, const void *b)
{
    const uint32_t *x = a, *y = b;

    return (*x > *y) - (*x < *y);
}

double samples_us(struct samples *s, double quantile)
{
    if (s->count == 0)
        return -1;
    qsort(s->ns, s->count, sizeof *s->ns, by_value);
    return (double)s->ns[(size_t)(quantile * (double)(s->count - 1))] / 1000.0;
}
