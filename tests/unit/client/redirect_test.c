/* SPDX-License-Identifier: MIT */
#include "redirect.h"
#include "runner.h"
#include "socksd.h"
#include "swap.h"
#include "sys.h"
#include "under_tsan.h"
#include <errno.h>
#include <fcntl.h>
#include <netinet/tcp.h>
#include <pthread.h>
#include <signal.h>
#include <stdio.h>
#include <string.h>
#include <sys/syscall.h>
#include <sys/time.h>
#include <sys/wait.h>
#include <unistd.h>

#define VFORK_IS_FORK UNDER_TSAN

static struct socksd socksd;
static const struct sockaddr_in target = {.sin_family = AF_INET,
                                          .sin_port = 0x5000, /* 80 */
                                          .sin_addr.s_addr = 0x010200c0 /* 192.0.2.1 */};

static void set(const char *name, const char *value)
{
    ck_assert_int_eq(setenv(name, value, 1), 0);
}

static void setup(void)
{
    char proxy[32];

    socksd = socksd_open();
    (void)snprintf(proxy, sizeof proxy, "127.0.0.1:%u", socksd.port);
    set("MPCONVERT_PROXY", proxy);
    set("MPCONVERT_DIALECT", "socks5");
    set("MPCONVERT_CACHE", "none");
    set("MPCONVERT_MPTCP", "0");
    set("MPCONVERT_TFO", "off");
}

static void init(void)
{
    redirect_init();
    ck_assert(redirect_on());
}

static int new_socket(int family, int flags)
{
    int fd = socket(family, SOCK_STREAM | flags, 0);

    ck_assert_int_ge(fd, 0);
    return fd;
}

static int connect_to_target(int fd)
{
    return redirect_connect(fd, (const struct sockaddr *)&target, sizeof target);
}

struct script { /* what the concentrator does in another thread */
    uint8_t code;
    int client;
    pthread_t id;
};

static void *play(void *arg)
{
    struct script *s = arg;

    s->client = socksd_accept(&socksd);
    socksd_answer(s->client, s->code);
    return NULL;
}

static void script_begin(struct script *s, uint8_t code)
{
    *s = (struct script){.code = code, .client = -1};
    ck_assert_int_eq(pthread_create(&s->id, NULL, play, s), 0);
}

static void script_end(const struct script *s)
{
    ck_assert_int_eq(pthread_join(s->id, NULL), 0);
}

static int connected_blocking(struct script *s)
{
    int fd = new_socket(AF_INET, 0);

    script_begin(s, 0);
    ck_assert_int_eq(connect_to_target(fd), 0);
    script_end(s);
    return fd;
}

static int so_error(int fd)
{
    int error = -1;
    socklen_t len = sizeof error;

    ck_assert_int_eq(redirect_getsockopt(fd, SOL_SOCKET, SO_ERROR, &error, &len), 0);
    return error;
}

static int failed_nonblocking(void)
{
    int fd = new_socket(AF_INET, SOCK_NONBLOCK);
    int rc = connect_to_target(fd);

    ck_assert_int_eq(rc, -EINPROGRESS);
    socksd_answer(socksd_accept(&socksd), SOCKSD_UNREACHABLE);
    socksd_wait(fd, POLLOUT);
    while (swap_pending() > 0)
        (void)poll(NULL, 0, 1);
    return fd;
}

START_TEST(without_a_concentrator_everything_passes)
{
    int fd = new_socket(AF_INET, SOCK_NONBLOCK), value = 0;
    socklen_t len = sizeof value;
    struct msghdr m = {0};

    if (_i == 0)
        ck_assert_int_eq(unsetenv("MPCONVERT_PROXY"), 0);
    else
        set("MPCONVERT_TFO", "perhaps");
    redirect_init();
    ck_assert(!redirect_on());
    ck_assert_int_eq(connect_to_target(fd), REDIRECT_PASS);
    ck_assert_int_eq(redirect_sendmsg(fd, &m, 0), REDIRECT_PASS);
    ck_assert_int_eq(redirect_getsockopt(fd, SOL_SOCKET, SO_ERROR, &value, &len),
                     REDIRECT_PASS);
    ck_assert_int_eq(redirect_setsockopt(fd, IPPROTO_TCP, TCP_NODELAY, &value, len),
                     REDIRECT_PASS);
}
END_TEST

START_TEST(what_is_bypassed_passes)
{
    struct sockaddr_in to = target;
    int fd = new_socket(AF_INET, 0);

    init();
    to.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
    ck_assert_int_eq(redirect_connect(fd, (struct sockaddr *)&to, sizeof to), REDIRECT_PASS);
    ck_assert_int_eq(redirect_connect(fd, NULL, 16), REDIRECT_PASS);
    ck_assert_int_eq(redirect_connect(fd, (const struct sockaddr *)&target, 3), REDIRECT_PASS);
    ck_assert_int_eq(redirect_connect(-1, (const struct sockaddr *)&target, sizeof target),
                     REDIRECT_PASS);
}
END_TEST

START_TEST(errno_is_left_alone)
{
    struct script s;

    init();
    errno = 4711;
    int fd = connected_blocking(&s);

    (void)so_error(fd);
    ck_assert_int_eq(errno, 4711);
}
END_TEST

START_TEST(a_blocking_connect_tells_the_truth)
{
    struct script s;
    uint8_t octets[2];

    init();
    int fd = connected_blocking(&s);

    ck_assert_int_eq(fcntl(fd, F_GETFL) & O_NONBLOCK, 0);
    ck_assert_int_eq(send(s.client, "ok", 2, 0), 2);
    socksd_read(fd, octets, 2);
    ck_assert_mem_eq(octets, "ok", 2);
    ck_assert_int_eq(connect_to_target(fd), -EISCONN);
}
END_TEST

START_TEST(after_a_refusal_the_socket_can_be_used_again)
{
    struct script s;
    int fd = new_socket(AF_INET, 0);

    init();
    script_begin(&s, SOCKSD_REFUSED);
    ck_assert_int_eq(connect_to_target(fd), -ECONNREFUSED);
    script_end(&s);
    script_begin(&s, 0);
    ck_assert_int_eq(connect_to_target(fd), 0);
    script_end(&s);
}
END_TEST

START_TEST(the_peer_is_the_programs_target)
{
    struct sockaddr_storage out;
    socklen_t len = sizeof out;
    struct script s;

    init();
    int fd = connected_blocking(&s);

    ck_assert_int_eq(redirect_getpeername(fd, (struct sockaddr *)&out, &len), 0);
    ck_assert_uint_eq(len, sizeof target);
    ck_assert_mem_eq(&out, &target, sizeof target);
    len = 4; /* cut, and the whole length told */
    memset(&out, 0, sizeof out);
    ck_assert_int_eq(redirect_getpeername(fd, (struct sockaddr *)&out, &len), 0);
    ck_assert_uint_eq(len, sizeof target);
    ck_assert_mem_eq(&out, &target, 4);
    ck_assert_int_eq(((const struct sockaddr_in *)&out)->sin_addr.s_addr, 0);
    len = (socklen_t)-1;
    ck_assert_int_eq(redirect_getpeername(fd, (struct sockaddr *)&out, &len), -EINVAL);
    len = sizeof out;
    ck_assert_int_eq(redirect_getsockname(fd, (struct sockaddr *)&out, &len), REDIRECT_PASS);
}
END_TEST

START_TEST(an_ipv6_program_sees_ipv6_addresses)
{
    struct sockaddr_in6 to = {.sin6_family = AF_INET6, .sin6_port = target.sin_port}, out;
    socklen_t len = sizeof out;
    struct script s;
    int fd = new_socket(AF_INET6, 0);

    init();
    memcpy(to.sin6_addr.s6_addr, (const uint8_t[]){[10] = 0xff, 0xff, 192, 0, 2, 1}, 16);
    script_begin(&s, 0);
    ck_assert_int_eq(redirect_connect(fd, (struct sockaddr *)&to, sizeof to), 0);
    script_end(&s);
    ck_assert_int_eq(redirect_getpeername(fd, (struct sockaddr *)&out, &len), 0);
    ck_assert_mem_eq(&out, &to, sizeof to);
    int rc = redirect_getsockname(fd, (struct sockaddr *)&out, &len);

    if (rc == REDIRECT_PASS)
        ck_assert_int_eq(getsockname(fd, (struct sockaddr *)&out, &len), 0);
    ck_assert_int_eq(out.sin6_family, AF_INET6);
    ck_assert_uint_ne(out.sin6_port, 0);
}
END_TEST

START_TEST(a_nonblocking_connect_is_told_as_by_the_kernel)
{
    int fd = new_socket(AF_INET, SOCK_NONBLOCK);
    struct sockaddr_in own;
    socklen_t len = sizeof own;

    init();
    ck_assert_int_eq(connect_to_target(fd), -EINPROGRESS);
    ck_assert_int_eq(connect_to_target(fd), -EALREADY);
    ck_assert_int_eq(redirect_getsockname(fd, (struct sockaddr *)&own, &len), 0);
    ck_assert_int_eq(own.sin_family, AF_INET);
    int client = socksd_accept(&socksd);

    socksd_answer(client, 0);
    socksd_wait(fd, POLLOUT);
    ck_assert_int_eq(so_error(fd), 0);
    ck_assert_int_eq(connect_to_target(fd), 0);
    ck_assert_int_eq(connect_to_target(fd), -EISCONN);
}
END_TEST

START_TEST(a_failure_is_told_once)
{
    init();
    int fd = failed_nonblocking();

    ck_assert_int_eq(so_error(fd), EHOSTUNREACH);
    ck_assert_int_eq(so_error(fd), 0);
    fd = failed_nonblocking();
    ck_assert_int_eq(connect_to_target(fd), -EHOSTUNREACH);
    /* and then the socket is a new one */
    ck_assert_int_eq(connect_to_target(fd), -EINPROGRESS);
    socksd_answer(socksd_accept(&socksd), 0);
    socksd_wait(fd, POLLOUT);
    ck_assert_int_eq(so_error(fd), 0);
}
END_TEST

START_TEST(a_told_failure_can_be_followed_by_a_blocking_connect)
{
    struct script s;

    init();
    int fd = failed_nonblocking();

    ck_assert_int_eq(so_error(fd), EHOSTUNREACH);
    ck_assert_int_eq(fcntl(fd, F_SETFL, 0), 0);
    script_begin(&s, 0);
    ck_assert_int_eq(connect_to_target(fd), 0);
    script_end(&s);
}
END_TEST

START_TEST(unspec_forgets)
{
    struct sockaddr unspec = {.sa_family = AF_UNSPEC};
    int fd = new_socket(AF_INET, SOCK_NONBLOCK);

    init();
    ck_assert_int_eq(connect_to_target(fd), -EINPROGRESS);
    int client = socksd_accept(&socksd);

    ck_assert_int_eq(redirect_connect(fd, &unspec, sizeof unspec), REDIRECT_PASS);
    socksd_gone(client);
    ck_assert_int_eq(connect_to_target(fd), -EINPROGRESS);
    socksd_answer(socksd_accept(&socksd), 0);
    socksd_wait(fd, POLLOUT);
    ck_assert_int_eq(so_error(fd), 0);
}
END_TEST

START_TEST(fast_open_connects_and_sends)
{
    struct sockaddr_in to = target;
    struct iovec part = {.iov_base = (char[]){"data"}, .iov_len = 4};
    struct msghdr m = {
        .msg_name = &to, .msg_namelen = sizeof to, .msg_iov = &part, .msg_iovlen = 1};
    uint8_t octets[4];
    struct script s;
    int fd = new_socket(AF_INET, 0);

    init();
    script_begin(&s, 0);
    ck_assert_int_eq(redirect_sendmsg(fd, &m, MSG_FASTOPEN), 4);
    script_end(&s);
    socksd_read(s.client, octets, 4);
    ck_assert_mem_eq(octets, "data", 4);
    fd = new_socket(AF_INET, SOCK_NONBLOCK);
    ck_assert_int_eq(redirect_sendmsg(fd, &m, MSG_FASTOPEN), -EINPROGRESS);
}
END_TEST

START_TEST(a_pending_socket_made_blocking_waits)
{
    struct script s;
    int fd = new_socket(AF_INET, SOCK_NONBLOCK);

    init();
    ck_assert_int_eq(connect_to_target(fd), -EINPROGRESS);
    ck_assert_int_eq(fcntl(fd, F_SETFL, 0), 0);
    script_begin(&s, 0);
    ck_assert_int_eq(connect_to_target(fd), 0);
    ck_assert_int_eq(connect_to_target(fd), -EISCONN);
    script_end(&s);
}
END_TEST

/* As the kernel: connect() tells the error, and the next one begins anew. */
START_TEST(a_failure_that_was_waited_for_is_told_once)
{
    struct script s;
    int fd = new_socket(AF_INET, SOCK_NONBLOCK);

    init();
    ck_assert_int_eq(connect_to_target(fd), -EINPROGRESS);
    ck_assert_int_eq(fcntl(fd, F_SETFL, 0), 0);
    script_begin(&s, SOCKSD_UNREACHABLE);
    ck_assert_int_eq(connect_to_target(fd), -EHOSTUNREACH);
    script_end(&s);
    ck_assert_int_eq(so_error(fd), 0);
    script_begin(&s, 0);
    ck_assert_int_eq(connect_to_target(fd), 0);
    script_end(&s);
}
END_TEST

/* No concentrator: it is not there, or it says nothing for a second. The kernel's own
 * connection is told once, and not by us and by the kernel. */
START_TEST(a_direct_connection_that_was_waited_for_is_told_once)
{
    struct socksd there = socksd_open();
    struct sockaddr_in to = {.sin_family = AF_INET,
                             .sin_port = htons(there.port),
                             .sin_addr.s_addr = htonl(INADDR_LOOPBACK)};
    struct sockaddr_in full = to;
    int fd = new_socket(AF_INET, SOCK_NONBLOCK), fill = new_socket(AF_INET, 0);

    set("MPCONVERT_BYPASS", "none");
    set("MPCONVERT_ON_FAILURE", "direct");
    set("MPCONVERT_CONNECT_SECONDS", "1");
    init();
    if (_i == 0) {
        ck_assert_int_eq(close(socksd.listener), 0);
    } else {
        full.sin_port = htons(socksd.port);
        ck_assert_int_eq(listen(socksd.listener, 0), 0);
        ck_assert_int_eq(connect(fill, (const struct sockaddr *)&full, sizeof full), 0);
    }
    ck_assert_int_eq(redirect_connect(fd, (const struct sockaddr *)&to, sizeof to),
                     -EINPROGRESS);
    ck_assert_int_eq(fcntl(fd, F_SETFL, 0), 0);
    int rc = redirect_connect(fd, (const struct sockaddr *)&to, sizeof to);

    if (rc == REDIRECT_PASS) /* the verdict came first */
        rc = sys_connect(fd, (const struct sockaddr *)&to, sizeof to);
    ck_assert_int_eq(rc, 0);
    ck_assert_int_eq(redirect_connect(fd, (const struct sockaddr *)&to, sizeof to),
                     REDIRECT_PASS);
    ck_assert_int_eq(sys_connect(fd, (const struct sockaddr *)&to, sizeof to), -EISCONN);
}
END_TEST

/* As the kernel: EALREADY, and the connect goes on. */
START_TEST(a_send_timeout_limits_the_wait_for_a_pending_one)
{
    struct timeval t = {.tv_usec = 50000};
    int fd = new_socket(AF_INET, SOCK_NONBLOCK);

    init();
    ck_assert_int_eq(connect_to_target(fd), -EINPROGRESS);
    ck_assert_int_eq(fcntl(fd, F_SETFL, 0), 0);
    ck_assert_int_eq(setsockopt(fd, SOL_SOCKET, SO_SNDTIMEO, &t, sizeof t), 0);
    ck_assert_int_eq(connect_to_target(fd), -EALREADY);
    socksd_answer(socksd_accept(&socksd), 0);
    socksd_wait(fd, POLLOUT);
    ck_assert_int_eq(connect_to_target(fd), 0);
}
END_TEST

START_TEST(a_pending_socket_that_was_shut_down_connects_anew)
{
    int fd = new_socket(AF_INET, SOCK_NONBLOCK), ttl = -1;

    init();
    ck_assert_int_eq(connect_to_target(fd), -EINPROGRESS);
    int client = socksd_accept(&socksd);

    ck_assert_int_eq(shutdown(fd, SHUT_RDWR), 0);
    ck_assert_int_eq(connect_to_target(fd), -EINPROGRESS);
    socksd_gone(client); /* nobody waits for that one */
    socksd_answer(socksd_accept(&socksd), 0);
    socksd_wait(fd, POLLOUT);
    ck_assert_int_eq(so_error(fd), 0);
    ck_assert_int_eq(sys_get_int(fd, IPPROTO_IP, 21 /* IP_MINTTL */, &ttl), 0);
    ck_assert_int_eq(ttl, 0);
}
END_TEST

/* A child that libc does not know of has no helper thread, and its parent's is none of its
 * own. With vfork() the memory is the parent's, and the parent goes on as before. */
START_TEST(a_child_without_a_helper_waits)
{
    int fd = new_socket(AF_INET, SOCK_NONBLOCK), status = 0;
    struct script s;

    init();
    ck_assert_int_eq(connect_to_target(fd), -EINPROGRESS); /* the parent's helper is there */
    int client = socksd_accept(&socksd);

    script_begin(&s, 0);
    pid_t child = (pid_t)(_i == 0 ? sys_call(SYS_clone, SIGCHLD, 0, 0, 0, 0, 0) : vfork());

    ck_assert_int_ge(child, 0);
    if (child == 0)
        _exit(connect_to_target(new_socket(AF_INET, SOCK_NONBLOCK)) == 0 ? 0 : 1);
    ck_assert_int_eq(waitpid(child, &status, 0), child);
    ck_assert_int_eq(status, 0);
    script_end(&s);
    socksd_answer(client, 0);
    socksd_wait(fd, POLLOUT);
    ck_assert_int_eq(so_error(fd), 0);
    fd = new_socket(AF_INET, SOCK_NONBLOCK);
    ck_assert_int_eq(connect_to_target(fd), -EINPROGRESS);
}
END_TEST

START_TEST(nonblock_can_be_made_to_wait)
{
    struct script s;
    int fd = new_socket(AF_INET, SOCK_NONBLOCK);

    set("MPCONVERT_NONBLOCK", "block");
    init();
    script_begin(&s, 0);
    ck_assert_int_eq(connect_to_target(fd), 0);
    script_end(&s);
    ck_assert_int_ne(fcntl(fd, F_GETFL) & O_NONBLOCK, 0);
}
END_TEST

static volatile sig_atomic_t interrupted;

static void on_alarm(int number)
{
    (void)number;
    interrupted = 1;
}

START_TEST(an_interrupted_connect_goes_on)
{
    struct sigaction act = {.sa_handler = on_alarm};
    struct itimerval soon = {.it_value.tv_usec = 20000, .it_interval.tv_usec = 20000},
                     never = {0};
    int fd = new_socket(AF_INET, 0);

    init();
    ck_assert_int_eq(sigaction(SIGALRM, &act, NULL), 0);
    ck_assert_int_eq(setitimer(ITIMER_REAL, &soon, NULL), 0);
    ck_assert_int_eq(connect_to_target(fd), -EINTR);
    ck_assert_int_eq(setitimer(ITIMER_REAL, &never, NULL), 0);
    ck_assert_int_eq(interrupted, 1);
    socksd_answer(socksd_accept(&socksd), 0);
    socksd_wait(fd, POLLOUT);
    ck_assert_int_eq(so_error(fd), 0);
    ck_assert_int_eq(connect_to_target(fd), 0);
}
END_TEST

START_TEST(a_send_timeout_limits_the_wait)
{
    struct timeval t = {.tv_usec = 50000};
    int fd = new_socket(AF_INET, 0);

    init();
    ck_assert_int_eq(setsockopt(fd, SOL_SOCKET, SO_SNDTIMEO, &t, sizeof t), 0);
    ck_assert_int_eq(connect_to_target(fd), -EINPROGRESS);
}
END_TEST

START_TEST(quic_is_refused_when_asked_for)
{
    struct sockaddr_in to = target;
    struct iovec part = {.iov_base = (char[]){"data"}, .iov_len = 4};
    struct msghdr m = {
        .msg_name = &to, .msg_namelen = sizeof to, .msg_iov = &part, .msg_iovlen = 1};
    int fd = socket(AF_INET, SOCK_DGRAM, 0);
    bool refuse = _i == 1;

    to.sin_port = htons(443);
    set("MPCONVERT_UDP443", refuse ? "refuse" : "pass");
    init();
    ck_assert_int_eq(redirect_connect(fd, (struct sockaddr *)&to, sizeof to),
                     refuse ? -ECONNREFUSED : REDIRECT_PASS);
    ck_assert_int_eq(redirect_sendmsg(fd, &m, 0), refuse ? -ECONNREFUSED : REDIRECT_PASS);
    to.sin_port = htons(53);
    ck_assert_int_eq(redirect_sendmsg(fd, &m, 0), REDIRECT_PASS);
}
END_TEST

START_TEST(options_mptcp_lacks_are_benign_when_lenient)
{
    bool strict = _i == 1;
    struct script s;
    int on = 1;

    set("MPCONVERT_MPTCP", "1");
    set("MPCONVERT_SOCKOPT", strict ? "strict" : "lenient");
    init();
    int plain = new_socket(AF_INET, 0), fd = connected_blocking(&s);
    /* Whatever this kernel's MPTCP says of it. */
    int kernel = sys_setsockopt(fd, IPPROTO_TCP, TCP_THIN_LINEAR_TIMEOUTS, &on, sizeof on);
    int rc = redirect_setsockopt(fd, IPPROTO_TCP, TCP_THIN_LINEAR_TIMEOUTS, &on, sizeof on);

    if (strict)
        ck_assert_int_eq(rc, REDIRECT_PASS);
    else
        ck_assert(rc == 0 || (rc == kernel && rc != -ENOPROTOOPT && rc != -EOPNOTSUPP));
    /* a wrong value of a socket that is not ours is wrong */
    if (!strict)
        ck_assert_int_eq(redirect_setsockopt(plain, IPPROTO_TCP, TCP_NODELAY, &on, 1), -EINVAL);
}
END_TEST

int main(void)
{
    Suite *s = suite_create("redirect");
    TCase *c = tcase_create("redirect");

    tcase_set_timeout(c, 60);
    tcase_add_checked_fixture(c, setup, NULL);
    tcase_add_loop_test(c, without_a_concentrator_everything_passes, 0, 2);
    tcase_add_test(c, what_is_bypassed_passes);
    tcase_add_test(c, errno_is_left_alone);
    tcase_add_test(c, a_blocking_connect_tells_the_truth);
    tcase_add_test(c, after_a_refusal_the_socket_can_be_used_again);
    tcase_add_test(c, the_peer_is_the_programs_target);
    tcase_add_test(c, an_ipv6_program_sees_ipv6_addresses);
    tcase_add_test(c, a_nonblocking_connect_is_told_as_by_the_kernel);
    tcase_add_test(c, a_failure_is_told_once);
    tcase_add_test(c, a_told_failure_can_be_followed_by_a_blocking_connect);
    tcase_add_test(c, unspec_forgets);
    tcase_add_test(c, fast_open_connects_and_sends);
    tcase_add_test(c, a_pending_socket_made_blocking_waits);
    tcase_add_test(c, a_failure_that_was_waited_for_is_told_once);
    tcase_add_loop_test(c, a_direct_connection_that_was_waited_for_is_told_once, 0, 2);
    tcase_add_test(c, a_send_timeout_limits_the_wait_for_a_pending_one);
    tcase_add_test(c, a_pending_socket_that_was_shut_down_connects_anew);
    tcase_add_loop_test(c, a_child_without_a_helper_waits, 0, VFORK_IS_FORK ? 1 : 2);
    tcase_add_test(c, nonblock_can_be_made_to_wait);
    tcase_add_test(c, an_interrupted_connect_goes_on);
    tcase_add_test(c, a_send_timeout_limits_the_wait);
    tcase_add_loop_test(c, quic_is_refused_when_asked_for, 0, 2);
    tcase_add_loop_test(c, options_mptcp_lacks_are_benign_when_lenient, 0, 2);
    suite_add_tcase(s, c);
    return runner_main(s);
}
