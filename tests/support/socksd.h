/* SPDX-License-Identifier: MIT */
/* socksd - a SOCKS5 concentrator in the hands of a test: each step when the test says so. On a
 * loopback port of its own; nothing waits longer than SOCKSD_PATIENCE_MS. */
#ifndef SUPPORT_SOCKSD_H
#define SUPPORT_SOCKSD_H
#include <check.h>
#include <netinet/in.h>
#include <poll.h>
#include <stdint.h>
#include <sys/socket.h>
#include <unistd.h>

enum { SOCKSD_PATIENCE_MS = 10000, SOCKSD_REFUSED = 5, SOCKSD_UNREACHABLE = 4 };

struct socksd {
    int listener;
    uint16_t port;
};

static inline struct socksd socksd_open(void)
{
    struct sockaddr_in at = {.sin_family = AF_INET, .sin_addr.s_addr = htonl(INADDR_LOOPBACK)};
    socklen_t len = sizeof at;
    struct socksd s = {.listener = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0)};

    ck_assert_int_ge(s.listener, 0);
    ck_assert_int_eq(bind(s.listener, (const struct sockaddr *)&at, len), 0);
    ck_assert_int_eq(listen(s.listener, 64), 0);
    ck_assert_int_eq(getsockname(s.listener, (struct sockaddr *)&at, &len), 0);
    s.port = ntohs(at.sin_port);
    return s;
}

static inline void socksd_wait(int fd, short events)
{
    struct pollfd p = {.fd = fd, .events = events};

    ck_assert_int_eq(poll(&p, 1, SOCKSD_PATIENCE_MS), 1);
}

static inline void socksd_read(int fd, uint8_t *out, size_t len)
{
    for (size_t have = 0; have < len;) {
        socksd_wait(fd, POLLIN);
        ssize_t n = recv(fd, out + have, len - have, 0);

        ck_assert_int_gt(n, 0);
        have += (size_t)n;
    }
}

/* The next client, up to and with its request for an IPv4 address. */
static inline int socksd_accept(const struct socksd *s)
{
    uint8_t in[10];

    socksd_wait(s->listener, POLLIN);
    int fd = accept(s->listener, NULL, NULL);

    ck_assert_int_ge(fd, 0);
    socksd_read(fd, in, 3);
    ck_assert_int_eq(in[0], 5);
    ck_assert_int_eq(send(fd, "\x05\x00", 2, MSG_NOSIGNAL), 2);
    socksd_read(fd, in, sizeof in);
    ck_assert_int_eq(in[1], 1);
    return fd;
}

/* `code` 0: the target accepted. */
static inline void socksd_answer(int fd, uint8_t code)
{
    uint8_t out[10] = {5, code, 0, 1};

    ck_assert_int_eq(send(fd, out, sizeof out, MSG_NOSIGNAL), (ssize_t)sizeof out);
}

/* The client has let go of it. */
static inline void socksd_gone(int fd)
{
    uint8_t octet;

    socksd_wait(fd, POLLIN);
    ck_assert_int_le(recv(fd, &octet, 1, 0), 0);
}

#endif
