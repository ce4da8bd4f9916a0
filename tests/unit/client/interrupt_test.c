/* SPDX-License-Identifier: MIT */
/* The wait ends late (PATIENCE_MS) unless a signal or the descriptor ends it. */
#include "fds.h"
#include "interrupt.h"
#include "runner.h"
#include "sys.h"
#include "under_tsan.h"
#include <errno.h>
#include <pthread.h>
#include <signal.h>
#include <sys/resource.h>
#include <sys/time.h>
#include <unistd.h>

enum { SOON_MS = 20, PATIENCE_MS = 20000 };

static int ends[2];
static volatile sig_atomic_t seen;
static struct rlimit limit;

static void setup(void)
{
    static const int handled[] = {SIGALRM, SIGINT, SIGTERM}; /* by the test library */

    for (size_t i = 0; i < 3; i++)
        (void)signal(handled[i], SIG_DFL);
    ck_assert_int_eq(pipe(ends), 0);
    ck_assert_int_eq(getrlimit(RLIMIT_NOFILE, &limit), 0);
}

static void on_signal(int number)
{
    (void)number;
    seen++;
}

/* It also makes the descriptor ready, so that the wait need not last. */
static void on_signal_ready(int number)
{
    on_signal(number);
    (void)!write(ends[1], "", 1);
}

static void handle(int number, void (*handler)(int), int flags)
{
    struct sigaction a = {.sa_handler = handler, .sa_flags = flags};

    ck_assert_int_eq(sigaction(number, &a, NULL), 0);
}

static void ring(void)
{
    struct itimerval soon = {.it_value = {.tv_usec = SOON_MS * 1000L}};

    ck_assert_int_eq(setitimer(ITIMER_REAL, &soon, NULL), 0);
}

static void forbid_descriptors(void)
{
    struct rlimit low = limit;

    low.rlim_cur = (rlim_t)ends[1] + 1;
    ck_assert_int_eq(setrlimit(RLIMIT_NOFILE, &low), 0);
}

static int wait_for_it(void)
{
    struct pollfd p = {.fd = ends[0], .events = POLLIN};
    int rc;

    do
        rc = interrupt_poll(&p, PATIENCE_MS);
    while (rc == 0); /* the caller's part: it looks what time it is */
    ck_assert_int_eq(p.revents, rc > 0 ? POLLIN : 0);
    return rc;
}

/* With no other handler, one of the other kind, and one of the other kind without a descriptor
 * to be had. */
START_TEST(only_the_one_that_came_decides)
{
    bool restart = _i % 2 == 0;
    int flags = restart ? SA_RESTART : 0;

    handle(SIGALRM, restart ? on_signal_ready : on_signal, flags);
    if (_i >= 2)
        handle(SIGUSR1, on_signal, restart ? 0 : SA_RESTART);
    unsigned before = open_fds();

    if (_i >= 4)
        forbid_descriptors();
    ring();
    ck_assert_int_eq(wait_for_it(), restart ? 1 : -EINTR);
    ck_assert_int_eq(seen, 1);
    ck_assert_int_eq(setrlimit(RLIMIT_NOFILE, &limit), 0);
    ck_assert_uint_eq(open_fds(), before);
}
END_TEST

START_TEST(a_blocked_one_does_not_count)
{
    sigset_t usr1;

    (void)sigemptyset(&usr1);
    (void)sigaddset(&usr1, SIGUSR1);
    ck_assert_int_eq(pthread_sigmask(SIG_BLOCK, &usr1, NULL), 0);
    handle(SIGUSR1, on_signal, 0);
    handle(SIGUSR2, on_signal, _i == 0 ? SA_RESTART : 0);
    handle(SIGALRM, on_signal_ready, SA_RESTART);
    ck_assert_int_eq(raise(SIGUSR1), 0);
    ring();
    ck_assert_int_eq(wait_for_it(), 1);
    ck_assert_int_eq(seen, 1);

    sigset_t now;
    ck_assert_int_eq(pthread_sigmask(SIG_BLOCK, NULL, &now), 0); /* the mask is as it was */
    ck_assert_int_eq(sigismember(&now, SIGUSR1), 1);
    ck_assert_int_eq(sigismember(&now, SIGALRM), 0);
}
END_TEST

START_TEST(one_that_came_before_is_delivered)
{
    sigset_t set;

    handle(SIGUSR1, on_signal, 0);
    handle(SIGALRM, on_signal_ready, SA_RESTART);
    (void)sigemptyset(&set);
    (void)sigaddset(&set, SIGALRM);
    ck_assert_int_eq(pthread_sigmask(SIG_BLOCK, &set, NULL), 0);
    ck_assert_int_eq(raise(SIGALRM), 0);
    struct pollfd p = {.fd = ends[0], .events = POLLIN};
    ck_assert_int_eq(interrupt_poll(&p, 1), 0); /* still blocked: not the wait's matter */
    ck_assert_int_eq(seen, 0);
    ck_assert_int_eq(pthread_sigmask(SIG_UNBLOCK, &set, NULL), 0);
    ck_assert_int_eq(wait_for_it(), 1);
    ck_assert_int_eq(seen, 1);
}
END_TEST

START_TEST(time_and_readiness_are_told_as_by_poll)
{
    struct pollfd p = {.fd = ends[0], .events = POLLIN, .revents = POLLERR};

    if (_i == 1) { /* the two ways of waiting */
        handle(SIGUSR1, on_signal, 0);
        handle(SIGUSR2, on_signal, SA_RESTART);
    }
    errno = 4711;
    ck_assert_int_eq(interrupt_poll(&p, 1), 0);
    ck_assert_int_eq(p.revents, 0);
    ck_assert_int_eq((int)write(ends[1], "", 1), 1);
    ck_assert_int_eq(interrupt_poll(&p, PATIENCE_MS), 1);
    ck_assert_int_eq(p.revents, POLLIN);
    ck_assert_int_eq(errno, 4711);
}
END_TEST

int main(void)
{
    Suite *s = suite_create("interrupt");
    TCase *c = tcase_create("interrupt");

    tcase_set_timeout(c, 15); /* shorter than PATIENCE_MS */
    tcase_add_checked_fixture(c, setup, NULL);
    if (!UNDER_TSAN) {
        tcase_add_loop_test(c, only_the_one_that_came_decides, 0, 6);
        tcase_add_loop_test(c, a_blocked_one_does_not_count, 0, 2);
    }
    tcase_add_test(c, one_that_came_before_is_delivered);
    tcase_add_loop_test(c, time_and_readiness_are_told_as_by_poll, 0, 2);
    suite_add_tcase(s, c);
    return runner_main(s);
}
