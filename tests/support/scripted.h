/* SPDX-License-Identifier: MIT */
/* scripted - a concentrator for tests of the client: its listener, its requests, its answers,
 * in a network namespace of the test's own, where Fast Open can be switched on. Aborts the test
 * on failure. */
#ifndef SUPPORT_SCRIPTED_H
#define SUPPORT_SCRIPTED_H
#include "wire/convert.h"
#include "wire/detect.h"
#include "wire/socks5.h"
#include <check.h>
#include <errno.h>
#include <fcntl.h>
#include <net/if.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <poll.h>
#include <sched.h>
#include <stdio.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/socket.h>
#include <unistd.h>

#ifndef TCP_FASTOPEN_NO_COOKIE
#define TCP_FASTOPEN_NO_COOKIE 34
#endif
#ifndef IPPROTO_MPTCP
#define IPPROTO_MPTCP 262
#endif

enum { SCRIPTED_PATIENCE_MS = 5000 };

static inline bool scripted_write(const char *path, const char *text)
{
    int fd = open(path, O_WRONLY | O_CLOEXEC);
    bool ok = fd >= 0 && write(fd, text, strlen(text)) == (ssize_t)strlen(text);

    if (fd >= 0)
        (void)close(fd); /* nothing was buffered */
    return ok;
}

static inline bool scripted_tfo(const char *value)
{
    return scripted_write("/proc/sys/net/ipv4/tcp_fastopen", value);
}

/* A namespace with loopback only, where both sides of Fast Open are on. False: the kernel does
 * not let us, or has no MPTCP. */
static inline bool scripted_enter(void)
{
    struct ifreq lo = {.ifr_name = "lo"};
    int fd;

    if (unshare(CLONE_NEWNET) != 0 && unshare(CLONE_NEWUSER | CLONE_NEWNET) != 0)
        return false;
    fd = socket(AF_INET, SOCK_DGRAM | SOCK_CLOEXEC, 0);
    if (fd < 0)
        return false;
    lo.ifr_flags = IFF_UP | IFF_RUNNING;
    bool up = ioctl(fd, SIOCSIFFLAGS, &lo) == 0;
    (void)close(fd); /* never connected */
    fd = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, IPPROTO_MPTCP);
    if (!up || fd < 0)
        return false;
    (void)close(fd); /* never connected */
    return scripted_tfo("3");
}

static inline int scripted_socket(int family, bool mptcp)
{
    int fd = socket(family, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK,
                    mptcp ? IPPROTO_MPTCP : IPPROTO_TCP);

    ck_assert_int_ge(fd, 0);
    return fd;
}

/* Listens at loopback, at a port the kernel chose: *at. */
static inline int scripted_listen(int family, bool mptcp, bool tfo, struct addr *at)
{
    static const uint8_t loopback4[4] = {127, 0, 0, 1}, loopback6[16] = {[15] = 1};
    struct addr a = family == AF_INET ? addr_ipv4(loopback4, 0) : addr_ipv6(loopback6, 0);
    struct sockaddr_storage ss;
    socklen_t len = addr_to_sockaddr(&a, &ss);
    int fd = scripted_socket(family, mptcp), queue = 64, one = 1;

    if (tfo) {
        ck_assert_int_eq(setsockopt(fd, IPPROTO_TCP, TCP_FASTOPEN_NO_COOKIE, &one, sizeof one),
                         0);
        ck_assert_int_eq(setsockopt(fd, IPPROTO_TCP, TCP_FASTOPEN, &queue, sizeof queue), 0);
    }
    ck_assert_int_eq(bind(fd, (struct sockaddr *)&ss, len), 0);
    ck_assert_int_eq(listen(fd, 64), 0);
    len = sizeof ss;
    ck_assert_int_eq(getsockname(fd, (struct sockaddr *)&ss, &len), 0);
    ck_assert(addr_from_sockaddr((struct sockaddr *)&ss, len, at));
    return fd;
}

/* Whether it becomes ready for `events` within the test's patience. */
static inline bool scripted_ready(int fd, short events, int timeout_ms)
{
    struct pollfd p = {.fd = fd, .events = events};

    return poll(&p, 1, timeout_ms) == 1;
}

static inline int scripted_accept(int listener)
{
    ck_assert(scripted_ready(listener, POLLIN, SCRIPTED_PATIENCE_MS));
    int fd = accept4(listener, NULL, NULL, SOCK_CLOEXEC);
    ck_assert_int_ge(fd, 0);
    return fd;
}

/* Reads exactly `len` octets. */
static inline void scripted_read(int fd, void *out, size_t len)
{
    for (size_t have = 0; have < len;) {
        ck_assert(scripted_ready(fd, POLLIN, SCRIPTED_PATIENCE_MS));
        ssize_t n = recv(fd, (char *)out + have, len - have, 0);
        ck_assert_int_gt(n, 0);
        have += (size_t)n;
    }
}

static inline void scripted_send(int fd, const void *data, size_t len)
{
    ck_assert_int_eq(send(fd, data, len, MSG_NOSIGNAL), (ssize_t)len);
}

/* Closes with a reset, on MPTCP with MP_FASTCLOSE. */
static inline void scripted_reset(int fd)
{
    struct linger now = {.l_onoff = 1, .l_linger = 0};

    ck_assert_int_eq(setsockopt(fd, SOL_SOCKET, SO_LINGER, &now, sizeof now), 0);
    ck_assert_int_eq(close(fd), 0);
}

/* A request that came in full: `want` octets and none more so far. */
static inline void scripted_request(int fd, uint8_t *out, size_t want)
{
    scripted_read(fd, out, want);
    ck_assert(!scripted_ready(fd, POLLIN, 0));
}

#endif
