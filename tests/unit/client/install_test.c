/* SPDX-License-Identifier: MIT */
/* The former socket is one that polls nothing (a TCP socket with a connect() under way would
 * do; here one end of a pair whose buffer is full), the new one is ready to write. */
#include "fds.h"
#include "install.h"
#include "runner.h"
#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <pthread.h>
#include <sched.h>
#include <signal.h>
#include <stdatomic.h>
#include <stdio.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/select.h>
#include <sys/socket.h>
#include <sys/wait.h>
#include <unistd.h>

enum { LONG_MS = 10000, ROUNDS = 2000, WORKERS = 4 };

struct ends {
    int mine, other;
};

static struct ends pair(void)
{
    int fd[2];

    ck_assert_int_eq(socketpair(AF_UNIX, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0, fd), 0);
    return (struct ends){fd[0], fd[1]};
}

/* Neither readable nor writable. */
static struct ends quiet(void)
{
    struct ends e = pair();
    char fill[4096] = "";
    int small = 1;

    ck_assert_int_eq(setsockopt(e.mine, SOL_SOCKET, SO_SNDBUF, &small, sizeof small), 0);
    while (send(e.mine, fill, sizeof fill, MSG_NOSIGNAL) > 0)
        ;
    ck_assert_int_eq(errno, EAGAIN);
    return e;
}

static uint64_t cookie_of(int fd)
{
    uint64_t c = 0;
    socklen_t len = sizeof c;

    ck_assert_int_eq(getsockopt(fd, SOL_SOCKET, SO_COOKIE, &c, &len), 0);
    return c;
}

static int instance(void)
{
    int ep = epoll_create1(EPOLL_CLOEXEC);

    ck_assert_int_ge(ep, 0);
    return ep;
}

static int control(int ep, int op, int fd, uint32_t events, uint64_t data)
{
    struct epoll_event ev = {.events = events, .data.u64 = data};

    return install_epoll_ctl(ep, op, fd, &ev);
}

static void watch(int ep, int fd, uint32_t events, uint64_t data)
{
    ck_assert_int_eq(control(ep, EPOLL_CTL_ADD, fd, events, data), 0);
}

static int events_of(int ep, int wait_ms, struct epoll_event *out)
{
    return epoll_wait(ep, out, 4, wait_ms);
}

/* ---- one registration ---- */

static const struct {
    uint32_t events;
    int reported; /* times, of two waits */
} kinds[] = {
    {EPOLLIN | EPOLLOUT, 2},
    {EPOLLOUT | EPOLLET | EPOLLRDHUP, 1},
    {EPOLLOUT | EPOLLONESHOT, 1},
    {EPOLLOUT | EPOLLEXCLUSIVE, 2},
    {EPOLLIN, 0},
};

START_TEST(a_registration_moves_with_its_events_and_data)
{
    const uint64_t data = UINT64_C(0xfedcba9876543210);
    struct epoll_event got[4];
    struct ends was = quiet(), new = pair();
    int ep = instance(), ep2 = instance(), old = -1, reported = 0;

    watch(ep, was.mine, kinds[_i].events, data);
    watch(ep2, was.mine, EPOLLOUT, 7);
    ck_assert_int_eq(events_of(ep, 0, got), 0);
    ck_assert_int_eq(install_at(was.mine, cookie_of(was.mine), new.mine, &old), 2);
    ck_assert_int_ge(old, 0);
    ck_assert_int_eq(shutdown(old, SHUT_RDWR), 0); /* no event by that */
    for (int i = 0; i < 2; i++)
        if (events_of(ep, 0, got) == 1) {
            reported++;
            ck_assert_uint_eq(got[0].events, EPOLLOUT);
            ck_assert(got[0].data.u64 == data);
        }
    ck_assert_int_eq(reported, kinds[_i].reported);
    ck_assert_int_eq(events_of(ep2, 0, got), 1);
    ck_assert_uint_eq(got[0].data.u64, 7);
    ck_assert_int_eq(control(ep, EPOLL_CTL_DEL, was.mine, 0, 0), 0);
}
END_TEST

START_TEST(a_fired_oneshot_stays_disarmed_and_can_be_armed)
{
    struct epoll_event got[4];
    struct ends was = pair(), new = pair();
    int ep = instance();

    watch(ep, was.mine, EPOLLOUT | EPOLLONESHOT, 1);
    ck_assert_int_eq(events_of(ep, 0, got), 1);
    ck_assert_int_eq(install_at(was.mine, cookie_of(was.mine), new.mine, NULL), 1);
    ck_assert_int_eq(events_of(ep, 0, got), 0);
    ck_assert_int_eq(control(ep, EPOLL_CTL_MOD, was.mine, EPOLLOUT | EPOLLONESHOT, 2), 0);
    ck_assert_int_eq(events_of(ep, 0, got), 1);
    ck_assert_uint_eq(got[0].data.u64, 2);
}
END_TEST

START_TEST(a_registration_is_found_among_thousands)
{
    struct epoll_event got[4];
    struct ends was = quiet(), new = pair(), many = quiet();
    int ep = instance();

    for (int i = 0; i < 700; i++)
        watch(ep, dup(many.mine), EPOLLOUT, 9);
    watch(ep, was.mine, EPOLLOUT, 1);
    for (int i = 0; i < 200; i++)
        watch(ep, dup(many.mine), EPOLLOUT, 9);
    ck_assert_int_eq(install_at(was.mine, cookie_of(was.mine), new.mine, NULL), 1);
    ck_assert_int_eq(events_of(ep, 0, got), 1);
    ck_assert_uint_eq(got[0].data.u64, 1);
}
END_TEST

START_TEST(more_instances_than_can_be_told_apart_are_all_read)
{
    struct epoll_event got[4];
    struct ends was = quiet(), new = pair(), any = quiet();
    int ep = -1;

    for (int i = 0; i < 80; i++) {
        ep = instance();
        watch(ep, any.mine, EPOLLOUT, 9);
    }
    watch(ep, was.mine, EPOLLOUT, 1);
    ck_assert_int_eq(install_at(was.mine, cookie_of(was.mine), new.mine, NULL), 1);
    ck_assert_int_eq(events_of(ep, 0, got), 1);
}
END_TEST

START_TEST(an_instance_that_lives_on_under_another_number_is_found)
{
    struct epoll_event got[4];
    struct ends was = quiet(), new = pair();
    int ep = instance(), ep2;

    watch(ep, was.mine, EPOLLOUT, 1);
    ep2 = dup(ep);
    (void)close(ep);
    ck_assert_int_eq(install_at(was.mine, cookie_of(was.mine), new.mine, NULL), 1);
    ck_assert_int_eq(events_of(ep2, 0, got), 1);
}
END_TEST

START_TEST(what_was_taken_out_or_closed_is_not_moved)
{
    struct epoll_event got[4];
    struct ends was = quiet(), new = pair(), newer = pair();
    int ep = instance();

    watch(ep, was.mine, EPOLLOUT, 1);
    install_saw_epoll_del(ep, was.mine);
    ck_assert_int_eq(epoll_ctl(ep, EPOLL_CTL_DEL, was.mine, NULL), 0);
    ck_assert_int_eq(install_at(was.mine, cookie_of(was.mine), new.mine, NULL), 0);
    ck_assert_int_eq(events_of(ep, 0, got), 0);
    install_saw_close(was.mine);
    ck_assert_int_eq(install_at(was.mine, cookie_of(was.mine), newer.mine, NULL), 0);
    watch(ep, was.mine, EPOLLOUT, 3); /* afterwards: the kernel's business */
    ck_assert_int_eq(events_of(ep, 0, got), 1);
}
END_TEST

static int close_in_child(void *arg)
{
    install_saw_close(*(int *)arg);
    return 0;
}

/* As the child of vfork(): its own descriptors, our memory. */
START_TEST(what_a_child_of_vfork_closes_is_moved_all_the_same)
{
    static char stack[16384] __attribute__((aligned(16)));
    struct epoll_event got[4];
    struct ends was = quiet(), new = pair();
    int ep = instance();

    watch(ep, was.mine, EPOLLOUT, 1);
    int child = clone(close_in_child, stack + sizeof stack, CLONE_VM | CLONE_VFORK | SIGCHLD,
                      &was.mine);
    ck_assert_int_gt(child, 0);
    ck_assert_int_eq(waitpid(child, NULL, 0), child);
    ck_assert_int_eq(install_at(was.mine, cookie_of(was.mine), new.mine, NULL), 1);
    ck_assert_int_eq(events_of(ep, 0, got), 1);
}
END_TEST

/* ---- descriptors ---- */

START_TEST(number_and_close_on_exec_are_kept_and_nothing_is_left)
{
    struct ends was = quiet(), new = pair();
    uint64_t cookie = cookie_of(new.mine);
    unsigned before = open_fds();
    int old = -1;

    ck_assert_int_eq(fcntl(was.mine, F_SETFD, _i == 0 ? 0 : FD_CLOEXEC), 0);
    errno = 12345;
    ck_assert_int_eq(install_at(was.mine, cookie_of(was.mine), new.mine, &old), 0);
    ck_assert_int_eq(errno, 12345);
    ck_assert(cookie_of(was.mine) == cookie);
    ck_assert_int_eq(fcntl(was.mine, F_GETFD), _i == 0 ? 0 : FD_CLOEXEC);
    ck_assert_int_eq(fcntl(old, F_GETFD), FD_CLOEXEC);
    (void)close(old);
    ck_assert_uint_eq(open_fds(), before - 1);
}
END_TEST

START_TEST(a_stale_cookie_changes_nothing)
{
    struct epoll_event got[4];
    struct ends was = quiet(), new = pair();
    int ep = instance(), old = -5;
    unsigned before = open_fds();
    uint64_t is = cookie_of(was.mine);

    watch(ep, was.mine, EPOLLOUT, 1);
    ck_assert_int_eq(install_at(was.mine, is + 1, new.mine, &old), -ESTALE);
    ck_assert_int_eq(install_at(was.mine, 0, new.mine, &old), -ESTALE);
    ck_assert_int_eq(install_at(ep, is, new.mine, &old), -ESTALE);
    ck_assert_int_eq(install_at(1000, is, new.mine, &old), -ESTALE);
    ck_assert_int_eq(old, -5);
    ck_assert_uint_eq(open_fds(), before);
    ck_assert(cookie_of(was.mine) == is);
    ck_assert_int_eq(events_of(ep, 0, got), 0);
}
END_TEST

/* ---- the lock ---- */

static void on_usr1(int sig)
{
    (void)sig;
}

static void *take_lock(void *arg)
{
    atomic_int *got = arg;

    ck_assert(install_lock());
    atomic_store(got, 1);
    install_unlock();
    return NULL;
}

START_TEST(the_lock_excludes_threads_and_knows_its_own)
{
    atomic_int got = 0;
    pthread_t t;
    sigset_t pending;

    (void)signal(SIGUSR1, on_usr1);
    ck_assert(install_lock());
    ck_assert(!install_lock());
    ck_assert_int_eq(pthread_create(&t, NULL, take_lock, &got), 0);
    ck_assert_int_eq(raise(SIGUSR1), 0); /* held back */
    ck_assert_int_eq(sigpending(&pending), 0);
    ck_assert_int_eq(sigismember(&pending, SIGUSR1), 1);
    ck_assert_int_eq(atomic_load(&got), 0);
    pid_t child = fork();
    if (child == 0) {
        install_forked();
        _exit(install_lock() && !install_busy() ? 0 : 1);
    }
    int status = -1;
    ck_assert_int_eq(waitpid(child, &status, 0), child);
    ck_assert_int_eq(status, 0);
    install_unlock();
    ck_assert_int_eq(sigpending(&pending), 0);
    ck_assert_int_eq(sigismember(&pending, SIGUSR1), 0);
    ck_assert_int_eq(pthread_join(t, NULL), 0);
    ck_assert_int_eq(atomic_load(&got), 1);
}
END_TEST

START_TEST(busy_counts)
{
    ck_assert(!install_busy());
    install_expect(1);
    install_expect(1);
    install_expect(-1);
    ck_assert(install_busy());
    install_expect(-1);
    ck_assert(!install_busy());
}
END_TEST

/* ---- sleepers, and many at once ---- */

enum how {
    BY_EPOLL_LT,
    BY_EPOLL_ET,
    BY_EPOLL_ONESHOT,
    BY_EPOLL_LATE,
    BY_POLL,
    BY_SELECT,
    HOWS
};

struct sleeper {
    enum how how;
    int fd, ep;
    atomic_int ready; /* about to sleep */
    int spin;         /* BY_EPOLL_LATE: so long before it adds */
    int events;       /* seen; must be one, POLLOUT */
};

static int sleep_in_select(int fd)
{
    fd_set w;
    struct timeval limit = {LONG_MS / 1000, 0};

    FD_ZERO(&w);
    FD_SET(fd, &w);
    return select(fd + 1, NULL, &w, NULL, &limit);
}

static void *sleep_on(void *arg)
{
    struct sleeper *s = arg;
    struct pollfd p = {.fd = s->fd, .events = POLLOUT};
    struct epoll_event got[4] = {{0}};

    atomic_store(&s->ready, 1);
    switch (s->how) {
    case BY_POLL:
        /* A poll() that had looked the former file up, and looks at it after the shutdown,
         * tells of a hang-up besides. */
        s->events = poll(&p, 1, LONG_MS) == 1 && (p.revents & POLLOUT) != 0;
        break;
    case BY_SELECT:
        s->events = sleep_in_select(s->fd);
        break;
    case BY_EPOLL_LATE: /* added while the replacement goes on */
        for (volatile int i = 0; i < s->spin; i = i + 1)
            ;
        if (control(s->ep, EPOLL_CTL_ADD, s->fd, EPOLLOUT | EPOLLET, 5) != 0)
            return NULL;
        /* fall through */
    case BY_EPOLL_LT:
    case BY_EPOLL_ET:
    case BY_EPOLL_ONESHOT:
    case HOWS:
        s->events = epoll_wait(s->ep, got, 4, LONG_MS) == 1 && got[0].events == EPOLLOUT &&
                    got[0].data.u64 == 5;
        /* one, and none by the shutdown of the former socket */
        if (s->how != BY_EPOLL_LT)
            s->events += epoll_wait(s->ep, got, 4, 1) * 100;
        break;
    }
    return NULL;
}

static bool one_round(enum how how, int spin)
{
    static const uint32_t events[] = {EPOLLOUT, EPOLLOUT | EPOLLET, EPOLLOUT | EPOLLONESHOT};
    struct ends was = quiet(), new = pair();
    struct sleeper s = {.how = how, .spin = spin, .fd = was.mine, .ep = instance()};
    pthread_t t;
    int old = -1;
    bool good;

    if (how < BY_EPOLL_LATE)
        watch(s.ep, was.mine, events[how], 5);
    ck_assert_int_eq(pthread_create(&t, NULL, sleep_on, &s), 0);
    while (atomic_load(&s.ready) == 0)
        (void)sched_yield();
    ck_assert(install_lock());
    int moved = install_at(was.mine, cookie_of(was.mine), new.mine, &old);
    install_unlock();
    ck_assert_int_ge(moved, 0);
    (void)shutdown(old, SHUT_RDWR);
    (void)close(old);
    ck_assert_int_eq(pthread_join(t, NULL), 0);
    good = s.events == 1;
    if (!good)
        (void)printf("how %d: events %d, moved %d\n", (int)how, s.events, moved);
    (void)close(s.ep);
    (void)close(was.mine);
    (void)close(was.other);
    (void)close(new.other);
    return good;
}

static void *many_rounds(void *arg)
{
    atomic_int *bad = arg;

    for (int i = 0; i < ROUNDS / WORKERS; i++)
        if (!one_round((enum how)(i % HOWS), i * 7919 % 20011))
            (void)atomic_fetch_add(bad, 1);
    return NULL;
}

START_TEST(nobody_who_sleeps_loses_an_event_or_gets_one_too_many)
{
    atomic_int bad = 0;
    pthread_t t[WORKERS];
    unsigned before = open_fds();

    for (int i = 0; i < WORKERS; i++)
        ck_assert_int_eq(pthread_create(&t[i], NULL, many_rounds, &bad), 0);
    for (int i = 0; i < WORKERS; i++)
        ck_assert_int_eq(pthread_join(t[i], NULL), 0);
    ck_assert_int_eq(atomic_load(&bad), 0);
    ck_assert_uint_eq(open_fds(), before);
}
END_TEST

/* The program closes, under the lock, while the replacement waits for it. */
static void *close_and_reuse(void *arg)
{
    int *fd = arg;

    ck_assert(install_lock());
    install_saw_close(*fd);
    (void)close(*fd);
    install_unlock();
    return NULL;
}

START_TEST(a_close_wins_or_comes_too_late)
{
    int stale = 0, done = 0;
    unsigned before = open_fds();

    for (int i = 0; i < ROUNDS; i++) {
        struct ends was = quiet(), new = pair();
        uint64_t cookie = cookie_of(was.mine);
        pthread_t t;

        ck_assert_int_eq(pthread_create(&t, NULL, close_and_reuse, &was.mine), 0);
        ck_assert(install_lock());
        int rc = install_at(was.mine, cookie, new.mine, NULL);
        install_unlock();
        ck_assert_int_eq(pthread_join(t, NULL), 0);
        ck_assert(rc == 0 || rc == -ESTALE);
        done += rc == 0;
        stale += rc != 0;
        if (rc != 0)
            (void)close(new.mine);
        ck_assert_int_eq(fcntl(was.mine, F_GETFD), -1);
        (void)close(was.other);
        (void)close(new.other);
    }
    ck_assert_int_eq(done + stale, ROUNDS);
    ck_assert_uint_eq(open_fds(), before);
}
END_TEST

int main(void)
{
    Suite *s = suite_create("install");
    TCase *t = tcase_create("install");

    tcase_set_timeout(t, 120);
    tcase_add_loop_test(t, a_registration_moves_with_its_events_and_data, 0,
                        sizeof kinds / sizeof kinds[0]);
    tcase_add_test(t, a_fired_oneshot_stays_disarmed_and_can_be_armed);
    tcase_add_test(t, a_registration_is_found_among_thousands);
    tcase_add_test(t, more_instances_than_can_be_told_apart_are_all_read);
    tcase_add_test(t, an_instance_that_lives_on_under_another_number_is_found);
    tcase_add_test(t, what_was_taken_out_or_closed_is_not_moved);
    tcase_add_test(t, what_a_child_of_vfork_closes_is_moved_all_the_same);
    tcase_add_loop_test(t, number_and_close_on_exec_are_kept_and_nothing_is_left, 0, 2);
    tcase_add_test(t, a_stale_cookie_changes_nothing);
    tcase_add_test(t, the_lock_excludes_threads_and_knows_its_own);
    tcase_add_test(t, busy_counts);
    tcase_add_test(t, nobody_who_sleeps_loses_an_event_or_gets_one_too_many);
    tcase_add_test(t, a_close_wins_or_comes_too_late);
    suite_add_tcase(s, t);
    return runner_main(s);
}
