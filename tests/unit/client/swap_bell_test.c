/* SPDX-License-Identifier: MIT */
#include "install.h"
#include "runner.h"
#include "swap_bell.h"
#include "sys.h"
#include <errno.h>
#include <fcntl.h>
#include <pthread.h>
#include <stdatomic.h>
#include <sys/eventfd.h>
#include <sys/timerfd.h>
#include <unistd.h>

enum { PATIENCE_MS = 20000, RINGS = 200000 };

static bool rings(int fd, int ms)
{
    struct pollfd p = {.fd = fd, .events = POLLIN};

    ck_assert_int_ge(poll(&p, 1, ms), 0);
    return p.revents == POLLIN;
}

START_TEST(a_ring_is_heard_until_it_is_silenced)
{
    int fd = swap_bell_fd();

    ck_assert_int_ge(fd, 0);
    ck_assert_int_eq(fcntl(fd, F_GETFD), FD_CLOEXEC);
    ck_assert(!rings(fd, 0));
    for (int i = 0; i < 3; i++) {
        ck_assert(swap_bell_ring());
        ck_assert(swap_bell_ring());
        ck_assert(rings(fd, PATIENCE_MS));
        ck_assert_int_eq(swap_bell_fd(), fd);
        swap_bell_silence();
        ck_assert(!rings(fd, 0));
    }
    ck_assert(!install_busy());
    swap_bell_drop();
    ck_assert_int_eq(fcntl(fd, F_GETFD), -1);
    swap_bell_drop();
}
END_TEST

START_TEST(without_one_nothing_rings)
{
    ck_assert(!swap_bell_ring());
    swap_bell_silence();
    int fd = swap_bell_fd();

    ck_assert_int_eq(close(fd), 0);
    ck_assert(!swap_bell_ring());
    ck_assert_int_eq(swap_bell_fd(), fd); /* made again */
    ck_assert(swap_bell_ring());
}
END_TEST

static int stranger(int kind, int *peer)
{
    struct itimerspec t = {.it_value = {3600, 0}, .it_interval = {60, 0}};
    int ends[2] = {-1, -1};

    switch (kind) {
    case 0:
        ck_assert_int_eq(socketpair(AF_UNIX, SOCK_DGRAM, 0, ends), 0);
        break;
    case 1:
        ck_assert_int_eq(socketpair(AF_UNIX, SOCK_STREAM, 0, ends), 0);
        break;
    case 2:
        ck_assert_int_eq(pipe(ends), 0);
        *peer = ends[0];
        return ends[1];
    case 3:
        *peer = ends[0] = eventfd(0, 0);
        return ends[0];
    default:
        *peer = ends[0] = timerfd_create(CLOCK_MONOTONIC, 0);
        ck_assert_int_eq(timerfd_settime(ends[0], 0, &t, NULL), 0);
        return ends[0];
    }
    *peer = ends[0];
    return ends[1];
}

START_TEST(who_has_the_number_is_left_alone)
{
    int peer, fd = swap_bell_fd(), other = stranger(_i, &peer);

    ck_assert_int_eq(dup2(other, fd), fd);
    ck_assert(!swap_bell_ring());
    ck_assert(!rings(peer, 0));
    swap_bell_silence();
    if (_i == 4) {
        struct itimerspec t;

        ck_assert_int_eq(timerfd_gettime(fd, &t), 0);
        ck_assert_int_gt(t.it_value.tv_sec, 3000);
    }
    swap_bell_drop();
    ck_assert_int_eq(fcntl(fd, F_GETFD), 0);
}
END_TEST

struct thief {
    int bell, spare, other;
    _Atomic bool over;
};

/* Without close() of libc: the lock is not asked. */
static void *take_it_and_give_it_back(void *arg)
{
    const struct thief *t = arg;

    while (!atomic_load(&t->over)) {
        (void)sys_dup3(t->other, t->bell, 0);
        (void)sys_dup3(t->spare, t->bell, 0);
    }
    return NULL;
}

START_TEST(who_gets_the_number_in_the_middle_of_it_is_left_alone)
{
    int peer, fd = swap_bell_fd();
    struct thief t = {.bell = fd, .spare = fcntl(fd, F_DUPFD, 100)};
    pthread_t id;
    unsigned heard = 0;

    t.other = stranger(_i, &peer);
    ck_assert_int_eq(pthread_create(&id, NULL, take_it_and_give_it_back, &t), 0);
    for (int i = 0; i < RINGS; i++)
        heard += swap_bell_ring();
    atomic_store(&t.over, true);
    ck_assert_int_eq(pthread_join(id, NULL), 0);
    ck_assert_uint_ne(heard, 0);
    ck_assert_uint_ne(heard, RINGS); /* it was away now and then, or this shows nothing */
    ck_assert(!rings(peer, 0));
}
END_TEST

int main(void)
{
    Suite *s = suite_create("swap_bell");
    TCase *c = tcase_create("swap_bell");

    tcase_set_timeout(c, 60);
    tcase_add_test(c, a_ring_is_heard_until_it_is_silenced);
    tcase_add_test(c, without_one_nothing_rings);
    tcase_add_loop_test(c, who_has_the_number_is_left_alone, 0, 5);
    tcase_add_loop_test(c, who_gets_the_number_in_the_middle_of_it_is_left_alone, 0, 4);
    suite_add_tcase(s, c);
    return runner_main(s);
}
