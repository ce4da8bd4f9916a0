/* SPDX-License-Identifier: MIT */
/* Real children under the filter. Each guest runs in a process of its own, with plain libc. */
#include "runner.h"
#include "supervised.h"
#include "sys.h"
#include <arpa/inet.h>
#include <errno.h>
#include <fcntl.h>
#include <netinet/tcp.h>
#include <poll.h>
#include <pthread.h>
#include <signal.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/prctl.h>
#include <sys/time.h>
#include <sys/un.h>
#include <sys/wait.h>
#include <unistd.h>

enum { PLAIN_USER = 65534 };

static bool echoes(int fd)
{
    char back[4] = "";
    struct pollfd p = {.fd = fd, .events = POLLIN};

    return send(fd, "ping", 4, 0) == 4 && poll(&p, 1, SOON) == 1 && recv(fd, back, 4, 0) == 4 &&
           memcmp(back, "ping", 4) == 0;
}

static int guest_blocking(void)
{
    int fd = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0), one = 1;
    struct sockaddr_in peer = {0}, want = ipv4(PORT_ECHO);
    socklen_t len = sizeof peer, four = sizeof one;

    GUEST(setsockopt(fd, IPPROTO_TCP, TCP_NODELAY, &one, sizeof one) == 0);
    GUEST(connect_port(fd, PORT_ECHO) == 0);
    GUEST(says_hi(fd) && echoes(fd));
    GUEST(getpeername(fd, (struct sockaddr *)&peer, &len) == 0 && len == sizeof peer);
    GUEST(peer.sin_addr.s_addr == want.sin_addr.s_addr && peer.sin_port == want.sin_port);
    GUEST(fcntl(fd, F_GETFD) == FD_CLOEXEC);
    GUEST((fcntl(fd, F_GETFL) & O_NONBLOCK) == 0);
    one = 0;
    GUEST(getsockopt(fd, IPPROTO_TCP, TCP_NODELAY, &one, &four) == 0 && one == 1);
    GUEST(connect_port(fd, PORT_ECHO) == -1 && errno == EISCONN);
    return 0;
}

START_TEST(a_blocking_connect_goes_through_the_concentrator)
{
    supervised_run(guest_blocking);
}
END_TEST

static int guest_not_cloexec(void)
{
    int fd = socket(AF_INET, SOCK_STREAM | SOCK_NONBLOCK, 0);

    GUEST(connect_port(fd, PORT_ECHO) == 0 || errno == EINPROGRESS);
    GUEST(fcntl(fd, F_GETFD) == 0);
    GUEST((fcntl(fd, F_GETFL) & O_NONBLOCK) != 0);
    GUEST(says_hi(fd) && echoes(fd));
    return 0;
}

START_TEST(flags_of_descriptor_and_file_stay)
{
    supervised_run(guest_not_cloexec);
}
END_TEST

static int try_epoll(int number, uint32_t mode)
{
    int ep = epoll_create1(EPOLL_CLOEXEC), second = epoll_create1(0);
    int fd = socket(AF_INET, SOCK_STREAM | SOCK_NONBLOCK, 0);
    struct epoll_event e = {.events = EPOLLIN | EPOLLOUT | mode, .data = {.u64 = 0x1234567890}};
    struct epoll_event got[4];

    if (number != fd) {
        GUEST(dup3(fd, number, 0) == number && close(fd) == 0);
        fd = number;
    }
    GUEST(epoll_ctl(ep, EPOLL_CTL_ADD, fd, &e) == 0);
    GUEST(epoll_ctl(second, EPOLL_CTL_ADD, fd, &e) == 0);
    GUEST(connect_port(fd, PORT_ECHO) == 0 || errno == EINPROGRESS);
    GUEST(epoll_wait(ep, got, 4, SOON) == 1);
    GUEST(got[0].data.u64 == 0x1234567890 && (got[0].events & EPOLLOUT) != 0);
    GUEST((got[0].events & (EPOLLHUP | EPOLLERR)) == 0);
    e.events = EPOLLIN | mode;
    GUEST(epoll_ctl(ep, EPOLL_CTL_MOD, fd, &e) == 0);
    GUEST(epoll_wait(ep, got, 4, SOON) == 1 && (got[0].events & EPOLLIN) != 0);
    GUEST(epoll_ctl(ep, EPOLL_CTL_DEL, fd, NULL) == 0);
    GUEST(epoll_wait(ep, got, 4, 0) == 0);
    GUEST(epoll_ctl(second, EPOLL_CTL_DEL, fd, NULL) == 0);
    GUEST(says_hi(fd));
    return close(fd) | close(ep) | close(second);
}

static int guest_epoll(void)
{
    static const uint32_t mode[] = {0, EPOLLET, EPOLLONESHOT, EPOLLET | EPOLLRDHUP};

    for (size_t m = 0; m < 4; m++) {
        for (int number = 4; number < 24; number++)
            GUEST(try_epoll(number + 6, mode[m]) == 0);
    }
    return 0;
}

START_TEST(epoll_registrations_made_before_live_on_at_every_number)
{
    supervised_run(guest_epoll);
}
END_TEST

static int guest_low_numbers(void)
{
    /* The supervisor's own descriptors have such numbers. */
    for (int n = 3; n < 20; n++) {
        int ep = 30 + n, fd = socket(AF_INET, SOCK_STREAM | SOCK_NONBLOCK, 0);
        struct epoll_event e = {.events = EPOLLIN, .data = {.fd = n}}, got;
        int made = epoll_create1(0);

        GUEST(dup2(made, ep) == ep && close(made) == 0);
        if (fd != n)
            GUEST(dup2(fd, n) == n && close(fd) == 0);
        GUEST(epoll_ctl(ep, EPOLL_CTL_ADD, n, &e) == 0);
        GUEST(connect_port(n, PORT_ECHO) == 0);
        GUEST(epoll_wait(ep, &got, 1, SOON) == 1 && got.data.fd == n &&
              (got.events & EPOLLIN) != 0);
        GUEST(says_hi(n) && echoes(n));
        GUEST(close(ep) == 0);
    }
    return 0;
}

START_TEST(numbers_the_supervisor_uses_itself_do_not_matter)
{
    supervised_run(guest_low_numbers);
}
END_TEST

static int guest_ipv6(void)
{
    struct sockaddr_in6 to = {.sin6_family = AF_INET6, .sin6_port = htons(PORT_ECHO)},
                        peer = {0};
    struct sockaddr_storage small;
    socklen_t len = sizeof peer;

    for (int mapped = 0; mapped < 2; mapped++) {
        int fd = socket(AF_INET6, SOCK_STREAM, 0);
        const char *text = mapped != 0 ? "::ffff:192.0.2.9" : "2001:db8::5";

        GUEST(inet_pton(AF_INET6, text, &to.sin6_addr) == 1);
        GUEST(connect(fd, (struct sockaddr *)&to, sizeof to) == 0);
        len = sizeof peer;
        GUEST(getpeername(fd, (struct sockaddr *)&peer, &len) == 0 && len == sizeof peer);
        GUEST(peer.sin6_family == AF_INET6 && peer.sin6_port == to.sin6_port &&
              memcmp(&peer.sin6_addr, &to.sin6_addr, 16) == 0);
        len = 4; /* cut, and told how long it is */
        memset(&small, 0xee, sizeof small);
        GUEST(getpeername(fd, (struct sockaddr *)&small, &len) == 0 && len == sizeof peer);
        GUEST(((const uint8_t *)&small)[4] == 0xee);
        GUEST(getpeername(fd, (struct sockaddr *)&peer, NULL) == -1 && errno == EFAULT);
        GUEST(says_hi(fd) && echoes(fd));
    }
    return 0;
}

START_TEST(ipv6_and_mapped_addresses_are_told_as_asked)
{
    supervised_run(guest_ipv6);
}
END_TEST

static int guest_denied(void)
{
    static const struct {
        int code, error;
    } row[] = {
        {CODE_DENIED, EACCES}, {CODE_RESET, ECONNREFUSED}, {CODE_UNREACHABLE, EHOSTUNREACH}};

    for (size_t i = 0; i < 3; i++) {
        for (int flag = 0; flag <= SOCK_NONBLOCK; flag += SOCK_NONBLOCK) {
            int fd = socket(AF_INET, SOCK_STREAM | flag, 0);

            GUEST(connect_port(fd, PORT_ERROR + row[i].code) == -1 && errno == row[i].error);
            GUEST(connect_port(fd, PORT_ECHO) == 0); /* the socket is as it was */
            GUEST(says_hi(fd) && close(fd) == 0);
        }
    }
    return 0;
}

START_TEST(a_refusal_is_the_errno_of_connect)
{
    supervised_run(guest_denied);
}
END_TEST

static int guest_direct(void)
{
    struct sockaddr_in to = {.sin_family = AF_INET, .sin_addr = {htonl(INADDR_LOOPBACK)}};
    struct sockaddr_un un = {.sun_family = AF_UNIX, .sun_path = "/nonexistent/mpconvert"};
    socklen_t len = sizeof to;
    int listener = socket(AF_INET, SOCK_STREAM, 0), fd = socket(AF_INET, SOCK_STREAM, 0);
    int local = socket(AF_UNIX, SOCK_STREAM, 0), udp = socket(AF_INET, SOCK_DGRAM, 0);

    GUEST(bind(listener, (struct sockaddr *)&to, sizeof to) == 0 && listen(listener, 1) == 0);
    GUEST(getsockname(listener, (struct sockaddr *)&to, &len) == 0);
    GUEST(connect(fd, (struct sockaddr *)&to, sizeof to) == 0);
    GUEST(accept(listener, NULL, NULL) >= 0);
    GUEST(connect(local, (struct sockaddr *)&un, sizeof un) == -1 && errno == ENOENT);
    GUEST(connect(udp, (struct sockaddr *)&to, sizeof to) == 0);
    GUEST(connect(-1, (struct sockaddr *)&to, sizeof to) == -1 && errno == EBADF);
    GUEST(connect(fd, NULL, sizeof to) == -1 && errno == EFAULT);
    GUEST(connect(fd, (struct sockaddr *)&to, 1000) == -1 && errno == EINVAL);
    GUEST(connect(fd, (struct sockaddr *)&to, 0) == -1 && errno == EINVAL);
    GUEST(connect(0, (struct sockaddr *)&to, sizeof to) == -1 && errno == ENOTSOCK);
    return 0;
}

START_TEST(what_is_not_ours_is_left_to_the_kernel)
{
    struct supervised s;

    supervised_start(&s, guest_direct);
    supervised_go(&s);
    ck_assert_int_eq(supervised_wait(&s), 0);
    ck_assert_int_eq(atomic_load(&s.concentrator.requests), 0);
    supervised_end(&s);
}
END_TEST

START_TEST(a_plain_user_is_served)
{
    if (geteuid() == 0)
        ck_assert(setgid(PLAIN_USER) == 0 && setuid(PLAIN_USER) == 0 &&
                  prctl(PR_SET_DUMPABLE, 1, 0, 0, 0) == 0);
    supervised_run(_i == 0 ? guest_blocking : guest_epoll);
}
END_TEST

int main(void)
{
    Suite *s = suite_create("supervisor");
    TCase *t = tcase_create("supervisor");

    tcase_set_timeout(t, 60);
    tcase_add_test(t, a_blocking_connect_goes_through_the_concentrator);
    tcase_add_test(t, flags_of_descriptor_and_file_stay);
    tcase_add_test(t, epoll_registrations_made_before_live_on_at_every_number);
    tcase_add_test(t, numbers_the_supervisor_uses_itself_do_not_matter);
    tcase_add_test(t, ipv6_and_mapped_addresses_are_told_as_asked);
    tcase_add_test(t, a_refusal_is_the_errno_of_connect);
    tcase_add_test(t, what_is_not_ours_is_left_to_the_kernel);
    tcase_add_loop_test(t, a_plain_user_is_served, 0, 2);
    suite_add_tcase(s, t);
    return runner_main(s);
}
