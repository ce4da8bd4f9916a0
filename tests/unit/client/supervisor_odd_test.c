/* SPDX-License-Identifier: MIT */
/* Calls made in unusual ways, and at unusual times. */
#include "runner.h"
#include "supervised.h"
#include "sys.h"
#include "under_tsan.h"
#include <errno.h>
#include <poll.h>
#include <pthread.h>
#include <signal.h>
#include <string.h>
#include <sys/syscall.h>
#include <sys/time.h>
#include <unistd.h>

enum { FASTOPEN = 0x20000000, MUCH = 64 << 20 };

static bool hears(int fd, const char *what)
{
    char heard[8] = "";
    size_t n = strlen(what);

    return recv(fd, heard, n, MSG_WAITALL) == (ssize_t)n && memcmp(heard, what, n) == 0;
}

static int guest_long_name(void)
{
    union {
        struct sockaddr_in to;
        char room[1000];
    } u = {.to = ipv4(PORT_ECHO)};
    struct iovec v = {"abc", 3};
    struct msghdr m = {.msg_name = &u, .msg_namelen = sizeof u, .msg_iov = &v, .msg_iovlen = 1};
    int fd = socket(AF_INET, SOCK_STREAM, 0);

    GUEST(sendmsg(fd, &m, FASTOPEN) == 3 && hears(fd, "hiabc"));
    m.msg_namelen = UINT32_MAX;
    GUEST(sendmsg(socket(AF_INET, SOCK_STREAM, 0), &m, FASTOPEN) == -1 && errno == EINVAL);
    return 0;
}

START_TEST(a_name_longer_than_any_address_is_cut_as_sendmsg_does)
{
    struct supervised s;

    supervised_start(&s, guest_long_name);
    supervised_go(&s);
    ck_assert_int_eq(supervised_wait(&s), 0);
    ck_assert_int_eq(atomic_load(&s.concentrator.requests), 1);
    supervised_end(&s);
}
END_TEST

static int guest_is_reset(void)
{
    int fd = socket(AF_INET, SOCK_STREAM, 0);
    struct sockaddr_in peer = {0};
    socklen_t len = sizeof peer;
    struct pollfd p = {.fd = fd};

    GUEST(connect_port(fd, PORT_RESET) == 0);
    GUEST(getpeername(fd, (struct sockaddr *)&peer, &len) == 0 &&
          peer.sin_port == htons(PORT_RESET));
    GUEST(poll(&p, 1, SOON) == 1 && (p.revents & POLLHUP) != 0);
    GUEST(getpeername(fd, (struct sockaddr *)&peer, &len) == -1 && errno == ENOTCONN);
    return 0;
}

START_TEST(a_connection_that_is_over_has_no_peer)
{
    supervised_run(guest_is_reset);
}
END_TEST

static volatile sig_atomic_t handled;

static void on_signal(int number)
{
    (void)number;
    handled++;
}

static int timer(int flags, long first_us, long every_us)
{
    struct sigaction a = {.sa_handler = on_signal, .sa_flags = flags};
    struct itimerval t = {{0, every_us}, {0, first_us}};

    return sigaction(SIGALRM, &a, NULL) | setitimer(ITIMER_REAL, &t, NULL);
}

static int guest_send_restarts(void)
{
    struct sockaddr_in to = ipv4(PORT_LATE);
    int fd = socket(AF_INET, SOCK_STREAM, 0);

    GUEST(timer(SA_RESTART, 20000, 7000) == 0);
    GUEST(sendto(fd, "abc", 3, FASTOPEN, (struct sockaddr *)&to, sizeof to) == 3);
    GUEST(handled > 0 && timer(SA_RESTART, 0, 0) == 0 && hears(fd, "hiabc"));
    return 0;
}

static int guest_send_is_made_again(void)
{
    struct sockaddr_in to = ipv4(PORT_LATE);
    int fd = socket(AF_INET, SOCK_STREAM, 0);

    GUEST(timer(0, 20000, 0) == 0);
    GUEST(sendto(fd, "abc", 3, FASTOPEN, (struct sockaddr *)&to, sizeof to) == -1 &&
          errno == EINTR && handled == 1);
    GUEST(sendto(fd, "de", 2, FASTOPEN, (struct sockaddr *)&to, sizeof to) == 2);
    GUEST(hears(fd, "hide"));
    return 0;
}

START_TEST(an_interrupted_send_made_again_goes_on)
{
    struct supervised s;

    supervised_start(&s, _i == 0 ? guest_send_restarts : guest_send_is_made_again);
    supervised_go(&s);
    ck_assert_int_eq(supervised_wait(&s), 0);
    ck_assert_int_eq(atomic_load(&s.concentrator.requests), 1);
    supervised_end(&s);
}
END_TEST

static int guest_sends_to_the_deaf(void)
{
    static char much[MUCH];
    struct sockaddr_in to = ipv4(PORT_DEAF);
    int fd = socket(AF_INET, SOCK_STREAM, 0);

    GUEST(timer(0, 300000, 0) == 0);
    ssize_t n = sendto(fd, much, sizeof much, FASTOPEN, (struct sockaddr *)&to, sizeof to);
    GUEST(n > 0 && n < MUCH && handled == 1);
    return 0;
}

START_TEST(a_signal_ends_a_send_that_waits_for_room)
{
    supervised_run(guest_sends_to_the_deaf);
}
END_TEST

static pthread_t first;

static void *outlives(void *arg)
{
    int fd = socket(AF_INET, SOCK_STREAM, 0);

    GUEST(pthread_join(first, NULL) == 0);
    GUEST(connect_port(fd, PORT_ECHO) == 0 && hears(fd, "hi"));
    _exit(0);
    return arg;
}

static int guest_first_thread_ends(void)
{
    pthread_t t;

    first = pthread_self();
    GUEST(pthread_create(&t, NULL, outlives, NULL) == 0);
    pthread_exit(NULL);
}

START_TEST(threads_are_served_when_the_first_has_ended)
{
    supervised_run(guest_first_thread_ends);
}
END_TEST

static void *sleeps(void *arg)
{
    GUEST(connect_port(*(int *)arg, PORT_SILENT) != 0);
    return NULL;
}

static int guest_executes_meanwhile(void)
{
    int fd = socket(AF_INET, SOCK_STREAM, 0);
    pthread_t t;

    GUEST(pthread_create(&t, NULL, sleeps, &fd) == 0);
    GUEST(poll(NULL, 0, LATE_MS) == 0);
    GUEST(execl("/bin/true", "true", (char *)NULL) == 0);
    return 1;
}

START_TEST(exec_ends_the_calls_of_other_threads)
{
    struct supervised s;

    supervised_start(&s, guest_executes_meanwhile);
    supervised_go(&s);
    ck_assert_int_eq(supervised_wait(&s), 0);
    for (int i = 0; i < 100 && atomic_load(&s.concentrator.open) != 0; i++)
        supervised_sleep_ms(10); /* long before the deadline of the connect */
    ck_assert_int_eq(atomic_load(&s.concentrator.open), 0);
    supervised_end(&s);
}
END_TEST

int main(void)
{
    Suite *s = suite_create("supervisor_odd");
    TCase *t = tcase_create("supervisor_odd");

    tcase_set_timeout(t, 30);
    tcase_add_test(t, a_name_longer_than_any_address_is_cut_as_sendmsg_does);
    tcase_add_test(t, a_connection_that_is_over_has_no_peer);
    tcase_add_loop_test(t, an_interrupted_send_made_again_goes_on, 0, 2);
    tcase_add_test(t, a_signal_ends_a_send_that_waits_for_room);
    if (!UNDER_TSAN)
        tcase_add_test(t, threads_are_served_when_the_first_has_ended);
    tcase_add_test(t, exec_ends_the_calls_of_other_threads);
    suite_add_tcase(s, t);
    return runner_main(s);
}
