/* SPDX-License-Identifier: MIT */
/* connect - how long connect() itself takes on a non-blocking socket: what an event loop cannot
 * do anything else in. One after the other; what happens after the call is waited for and not
 * counted.
 *
 *   connect ADDRESS PORT COUNT [OPEN]   one line: p50, p90 and p99 in nanoseconds; with OPEN
 * more descriptors in the program, which have no part in it */
#include <arpa/inet.h>
#include <errno.h>
#include <poll.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/socket.h>
#include <time.h>
#include <unistd.h>

enum { COUNT_MAX = 1000000, OPEN_MAX_MORE = 100000, WARM_UP = 20 };

static uint64_t now_ns(void)
{
    struct timespec t;

    (void)clock_gettime(CLOCK_MONOTONIC, &t); /* cannot fail with this clock */
    return (uint64_t)t.tv_sec * 1000000000U + (uint64_t)t.tv_nsec;
}

static int by_size(const void *a, const void *b)
{
    const uint64_t *x = a, *y = b;

    return (*x > *y) - (*x < *y);
}

static uint64_t once(const struct sockaddr_in *to)
{
    int fd = socket(AF_INET, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0), error = 0;
    struct pollfd ready = {.fd = fd, .events = POLLOUT};
    socklen_t len = sizeof error;
    uint64_t began = now_ns();
    int rc = connect(fd, (const struct sockaddr *)to, sizeof *to);
    uint64_t took = now_ns() - began;

    if (rc != 0 && errno == EINPROGRESS && poll(&ready, 1, 10000) == 1)
        rc = getsockopt(fd, SOL_SOCKET, SO_ERROR, &error, &len);
    if (rc != 0 || error != 0) {
        (void)fprintf(stderr, "connect: %s\n", strerror(error != 0 ? error : errno));
        exit(EXIT_FAILURE);
    }
    (void)close(fd);
    return took;
}

/* As in a server: sockets, and one epoll instance that watches them. */
static void open_more(unsigned long more)
{
    int epoll = more > 0 ? epoll_create1(EPOLL_CLOEXEC) : -1;

    for (unsigned long i = 0; i < more; i++) {
        int fd = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
        struct epoll_event e = {.events = EPOLLIN, .data = {.fd = fd}};

        if (fd < 0 || epoll_ctl(epoll, EPOLL_CTL_ADD, fd, &e) != 0) {
            (void)fprintf(stderr, "connect: %s\n", strerror(errno));
            exit(EXIT_FAILURE);
        }
    }
}

int main(int argc, char **argv)
{
    struct sockaddr_in to = {.sin_family = AF_INET};
    unsigned long port = argc >= 4 ? strtoul(argv[2], NULL, 10) : 0;
    unsigned long count = argc >= 4 ? strtoul(argv[3], NULL, 10) : 0;
    unsigned long more = argc == 5 ? strtoul(argv[4], NULL, 10) : 0;

    if (port == 0 || port > UINT16_MAX || count == 0 || count > COUNT_MAX || argc > 5 ||
        more > OPEN_MAX_MORE || inet_pton(AF_INET, argv[1], &to.sin_addr) != 1) {
        (void)fprintf(stderr, "usage: connect ADDRESS PORT COUNT [OPEN]\n");
        return 2;
    }
    to.sin_port = htons((uint16_t)port);
    uint64_t *took = calloc(count, sizeof *took);

    if (took == NULL)
        return EXIT_FAILURE;
    open_more(more);
    for (unsigned i = 0; i < WARM_UP; i++)
        (void)once(&to);
    for (unsigned long i = 0; i < count; i++)
        took[i] = once(&to);
    qsort(took, count, sizeof *took, by_size);
    (void)printf("%llu %llu %llu\n", (unsigned long long)took[count / 2],
                 (unsigned long long)took[count - count / 10 - 1],
                 (unsigned long long)took[count - count / 100 - 1]);
    free(took);
    return EXIT_SUCCESS;
}
