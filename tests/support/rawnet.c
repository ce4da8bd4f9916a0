/* SPDX-License-Identifier: MIT */
#include "rawnet.h"
#include "base/mptcp.h"
#include <arpa/inet.h>
#include <check.h>
#include <errno.h>
#include <fcntl.h>
#include <net/if.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <poll.h>
#include <sched.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/socket.h>
#include <sys/syscall.h>
#include <unistd.h>

static void must(long rc, const char *what)
{
    if (rc < 0)
        ck_abort_msg("%s: %s", what, strerror(errno));
}

static void set(int fd, int level, int name, int value)
{
    must(syscall(SYS_setsockopt, fd, level, name, &value, sizeof value), "setsockopt");
}

static int stream_socket(bool mptcp)
{
    long fd = syscall(SYS_socket, AF_INET, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK,
                      mptcp ? IPPROTO_MPTCP : 0);
    must(fd, "socket");
    set((int)fd, IPPROTO_TCP, TCP_NODELAY, 1);
    return (int)fd;
}

static struct sockaddr_in loopback(uint16_t port)
{
    return (struct sockaddr_in){.sin_family = AF_INET,
                                .sin_port = htons(port),
                                .sin_addr.s_addr = htonl(INADDR_LOOPBACK)};
}

int rawnet_listen(uint16_t *port, bool mptcp)
{
    struct sockaddr_in sa = {.sin_family = AF_INET, .sin_port = htons(*port)};
    socklen_t len = sizeof sa;
    int fd = stream_socket(mptcp);

    must(syscall(SYS_bind, fd, &sa, sizeof sa), "bind");
    must(syscall(SYS_listen, fd, 64), "listen");
    must(syscall(SYS_getsockname, fd, &sa, &len), "getsockname");
    *port = ntohs(sa.sin_port);
    return fd;
}

int rawnet_listen_full(uint16_t *port, int *filler)
{
    *port = 0;
    int fd = rawnet_listen(port, false);

    must(syscall(SYS_listen, fd, 0), "listen");
    *filler = rawnet_connect(*port, false);
    return fd;
}

int rawnet_accept(int listener)
{
    return (int)syscall(SYS_accept4, listener, NULL, NULL, SOCK_CLOEXEC | SOCK_NONBLOCK);
}

int rawnet_connecting(uint16_t port, bool mptcp)
{
    struct sockaddr_in sa = loopback(port);
    int fd = stream_socket(mptcp);

    if (syscall(SYS_connect, fd, &sa, sizeof sa) != 0 && errno != EINPROGRESS)
        must(-1, "connect");
    return fd;
}

int rawnet_connect(uint16_t port, bool mptcp)
{
    int fd = rawnet_connecting(port, mptcp);
    struct pollfd p = {.fd = fd, .events = POLLOUT};
    struct timespec limit = {.tv_sec = 5};

    /* aarch64 has no poll */
    ck_assert_int_eq(syscall(SYS_ppoll, &p, 1, &limit, NULL, 0), 1);
    return fd;
}

int rawnet_connect_with(uint16_t port, bool mptcp, const void *data, size_t len)
{
    struct sockaddr_in sa = loopback(port);
    int fd = stream_socket(mptcp);

    set(fd, IPPROTO_TCP, TCP_FASTOPEN_NO_COOKIE, 1);
    long n = syscall(SYS_sendto, fd, data, len, MSG_FASTOPEN | MSG_NOSIGNAL, &sa, sizeof sa);
    must(n, "sendto");
    ck_assert_int_eq(n, (long)len);
    return fd;
}

ssize_t rawnet_send(int fd, const void *data, size_t len)
{
    long n = syscall(SYS_sendto, fd, data, len, MSG_NOSIGNAL | MSG_DONTWAIT, NULL, 0);
    return n < 0 ? -errno : n;
}

ssize_t rawnet_recv(int fd, void *buf, size_t len)
{
    long n = syscall(SYS_recvfrom, fd, buf, len, MSG_DONTWAIT, NULL, NULL);
    return n < 0 ? -errno : n;
}

void rawnet_send_all(int fd, const void *data, size_t len)
{
    ck_assert_int_eq(rawnet_send(fd, data, len), (ssize_t)len);
}

void rawnet_buffers(int fd, int bytes)
{
    set(fd, SOL_SOCKET, SO_SNDBUF, bytes);
    set(fd, SOL_SOCKET, SO_RCVBUF, bytes);
}

void rawnet_shutdown(int fd)
{
    (void)syscall(SYS_shutdown, fd, SHUT_WR); /* fails when the peer has reset */
}

void rawnet_reset(int fd)
{
    struct linger now = {.l_onoff = 1, .l_linger = 0};

    must(syscall(SYS_setsockopt, fd, SOL_SOCKET, SO_LINGER, &now, sizeof now), "SO_LINGER");
    rawnet_close(fd);
}

void rawnet_close(int fd)
{
    must(syscall(SYS_close, fd), "close");
}

unsigned rawnet_fds(void)
{
    unsigned n = 0;

    for (int fd = 0; fd < 4096; fd++)
        n += syscall(SYS_fcntl, fd, F_GETFD) >= 0;
    return n;
}

/* Before any test: no assertion may be used. */
static bool write_file(const char *path, const char *text)
{
    int fd = open(path, O_WRONLY | O_CLOEXEC);
    bool ok = fd >= 0 && write(fd, text, strlen(text)) == (ssize_t)strlen(text);

    if (fd >= 0)
        (void)close(fd);
    return ok;
}

/* By a user namespace where this process has no privilege. */
static bool leave(void)
{
    return unshare(CLONE_NEWNET) == 0 || unshare(CLONE_NEWUSER | CLONE_NEWNET) == 0;
}

bool rawnet_own_namespace(void)
{
    struct ifreq lo = {.ifr_name = "lo", .ifr_flags = IFF_UP | IFF_RUNNING};
    struct ifreq own = {.ifr_name = "lo:1"};
    struct sockaddr_in sa = {.sin_family = AF_INET};

    if (!leave() || inet_pton(AF_INET, RAWNET_OWN, &sa.sin_addr) != 1)
        return false;
    memcpy(&own.ifr_addr, &sa, sizeof sa);
    int fd = socket(AF_INET, SOCK_DGRAM | SOCK_CLOEXEC, 0);
    bool ok = fd >= 0 && ioctl(fd, SIOCSIFFLAGS, &lo) == 0 && ioctl(fd, SIOCSIFADDR, &own) == 0;
    if (fd >= 0)
        (void)close(fd);
    return ok && write_file("/proc/sys/net/ipv4/tcp_fastopen", "3");
}
