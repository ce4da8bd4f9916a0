/* SPDX-License-Identifier: MIT */
#include "runner.h"
#include "shared.h"
#include <errno.h>
#include <pthread.h>
#include <signal.h>
#include <string.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

/* Every field follows from one number, so that a mix of two is seen. */
static struct truth made_of(uint32_t seed)
{
    struct truth t = {
        .state = (enum truth_state)(seed % 3),
        .family = seed % 2 == 0 ? AF_INET : AF_INET6,
        .unreported = (seed / 2) % 2 != 0,
        .error = (int)(seed % 4096),
    };
    uint8_t ip[16];

    for (unsigned i = 0; i < sizeof ip; i++)
        ip[i] = (uint8_t)((seed >> (i % 4 * 8)) + i);
    t.peer = addr_ipv6(ip, (uint16_t)(seed * 40503u));
    t.peer.scope = seed;
    return t;
}

static bool same(const struct truth *a, const struct truth *b)
{
    return a->state == b->state && addr_equal(&a->peer, &b->peer) && a->family == b->family &&
           a->unreported == b->unreported && a->error == b->error;
}

static bool whole(const struct truth *t)
{
    struct truth want = made_of(t->peer.scope);

    return same(t, &want);
}

START_TEST(what_was_set_is_got_and_replaced)
{
    struct shared *s = shared_map(NULL);
    struct truth got;

    for (uint32_t seed = 0; seed < 5000; seed++) {
        struct truth t = made_of(seed);
        truth_set(s, 77, &t);
        ck_assert(truth_get(s, 77, &got));
        ck_assert(same(&t, &got));
    }
}
END_TEST

START_TEST(an_ipv4_peer_is_kept_as_it_is)
{
    struct shared *s = shared_map(NULL);
    struct truth t = {.state = TRUTH_CONNECTED, .family = AF_INET}, got;

    t.peer = addr_ipv4((const uint8_t[]){192, 0, 2, 7}, 65535);
    truth_set(s, UINT64_MAX, &t);
    ck_assert(truth_get(s, UINT64_MAX, &got));
    ck_assert(same(&t, &got));
}
END_TEST

START_TEST(what_is_not_known_leaves_the_answer_alone)
{
    struct shared *s = shared_map(NULL);
    struct truth t = made_of(9), got = made_of(5), want = got;
    int error = 4711;

    truth_set(s, 1, &t);
    ck_assert(!truth_get(s, 2, &got));
    ck_assert(!truth_report(s, 2, &error));
    truth_forget(s, 2);
    ck_assert(!truth_get(NULL, 1, &got));
    ck_assert(same(&got, &want));
    ck_assert_int_eq(error, 4711);
    ck_assert(truth_get(s, 1, &got));
}
END_TEST

START_TEST(no_socket_has_no_truth)
{
    struct shared *s = shared_map(NULL);
    struct truth t = made_of(1), got;
    int error;

    truth_set(s, 0, &t);
    truth_set(NULL, 1, &t);
    ck_assert(!truth_get(s, 0, &got));
    ck_assert(!truth_report(s, 0, &error));
    ck_assert(!truth_report(NULL, 1, &error));
    truth_forget(s, 0);
    truth_forget(NULL, 1);
}
END_TEST

START_TEST(forgotten_is_forgotten)
{
    struct shared *s = shared_map(NULL);
    struct truth t = made_of(3), got;
    int error;

    for (int i = 0; i < 100; i++) {
        truth_set(s, 5, &t);
        truth_set(s, 6, &t);
        truth_forget(s, 5);
        ck_assert(!truth_get(s, 5, &got));
        ck_assert(!truth_report(s, 5, &error));
        ck_assert(truth_get(s, 6, &got));
    }
}
END_TEST

START_TEST(a_failure_is_reported_once)
{
    struct shared *s = shared_map(NULL);
    struct truth t = {.state = TRUTH_FAILED, .family = AF_INET, .error = ECONNREFUSED}, got;
    int error = 0;

    truth_set(s, 8, &t);
    ck_assert(!truth_report(s, 8, &error)); /* somebody was told before */
    t.unreported = true;
    truth_set(s, 8, &t);
    ck_assert(truth_report(s, 8, &error));
    ck_assert_int_eq(error, ECONNREFUSED);
    ck_assert(!truth_report(s, 8, &error));
    ck_assert(truth_get(s, 8, &got));
    t.unreported = false;
    ck_assert(same(&t, &got));
}
END_TEST

START_TEST(a_success_is_reported_once_without_an_error)
{
    struct shared *s = shared_map(NULL);
    struct truth t = {
        .state = TRUTH_CONNECTED, .family = AF_INET6, .unreported = true, .error = EPIPE};
    int error = 99;

    truth_set(s, 8, &t);
    ck_assert(truth_report(s, 8, &error));
    ck_assert_int_eq(error, 0);
    ck_assert(!truth_report(s, 8, &error));
}
END_TEST

START_TEST(the_oldest_make_way)
{
    enum { MANY = 200000, LATEST = 4000 };
    struct shared *s = shared_map(NULL);
    struct truth got;
    unsigned known = 0;

    for (uint32_t i = 1; i <= MANY; i++) {
        struct truth t = made_of(i * 3 + 1); /* connected, all of them */
        truth_set(s, i, &t);
    }
    for (uint32_t i = 1; i <= MANY; i++)
        if (truth_get(s, i, &got)) {
            ck_assert_uint_eq(got.peer.scope, i * 3 + 1);
            known++;
        } else {
            ck_assert_uint_le(i, MANY - LATEST);
        }
    ck_assert_uint_gt(known, 20000); /* the table is used, and it is finite */
    ck_assert_uint_lt(known, 40000);
}
END_TEST

START_TEST(a_placeholder_outlives_many_that_are_connected)
{
    struct shared *s = shared_map(NULL);
    struct truth pending = made_of(0), got;

    truth_set(s, 1, &pending);
    for (uint32_t i = 2; i < 150000; i++) {
        struct truth t = made_of(i * 3 + 1);
        truth_set(s, i, &t);
    }
    ck_assert(truth_get(s, 1, &got));
    ck_assert(same(&pending, &got));
}
END_TEST

/* Writers, forgetters and readers of the same few cookies; a run lasts for so many reads. */
enum { COOKIES = 3, READS = 60000 };

static uint32_t step(uint32_t *state)
{
    *state = *state * 1664525u + 1013904223u;
    return *state >> 8;
}

static void write_some(struct shared *s, uint32_t seed, unsigned rounds, bool forget)
{
    for (unsigned n = 0; n < rounds; n++) {
        struct truth t = made_of(step(&seed));
        uint64_t cookie = 1 + n % COOKIES;
        truth_set(s, cookie, &t);
        if (forget && n % 7 == 0)
            truth_forget(s, cookie);
    }
}

struct crowd {
    struct shared *s;
    uint32_t seed;
    bool forget;
};

static void *writer(void *arg)
{
    const struct crowd *c = arg;

    write_some(c->s, c->seed, READS / 2, c->forget);
    return NULL;
}

/* "unreported" may have been cleared by nobody here; all fields must fit together. */
static unsigned read_some(const struct shared *s, unsigned *missing)
{
    unsigned torn = 0;

    for (unsigned n = 0; n < READS; n++) {
        struct truth got;
        if (!truth_get(s, 1 + n % COOKIES, &got))
            ++*missing;
        else if (!whole(&got))
            torn++;
    }
    return torn;
}

static void begin_with(struct shared *s)
{
    struct truth t = made_of(12345);

    for (uint64_t c = 1; c <= COOKIES; c++)
        truth_set(s, c, &t);
}

START_TEST(threads_see_no_mixture_and_no_gap)
{
    struct shared *s = shared_map(NULL);
    struct crowd crowd[4];
    pthread_t thread[4];
    unsigned missing = 0;

    begin_with(s);
    for (unsigned i = 0; i < 4; i++) {
        crowd[i] = (struct crowd){s, i + 1, false};
        ck_assert_int_eq(pthread_create(&thread[i], NULL, writer, &crowd[i]), 0);
    }
    ck_assert_uint_eq(read_some(s, &missing), 0);
    ck_assert_uint_eq(missing, 0); /* replaced, never absent */
    for (unsigned i = 0; i < 4; i++)
        ck_assert_int_eq(pthread_join(thread[i], NULL), 0);
}
END_TEST

START_TEST(processes_see_no_mixture)
{
    struct shared *s = shared_map(NULL);
    pid_t child[4];
    unsigned missing = 0;

    begin_with(s);
    for (unsigned i = 0; i < 4; i++) {
        child[i] = fork();
        if (child[i] == 0) {
            write_some(s, i + 1, READS / 2, true);
            _exit(read_some(s, &missing) == 0 ? 0 : 1);
        }
    }
    ck_assert_uint_eq(read_some(s, &missing), 0);
    for (unsigned i = 0; i < 4; i++) {
        int status;
        ck_assert_int_eq(waitpid(child[i], &status, 0), child[i]);
        ck_assert_int_eq(status, 0);
    }
}
END_TEST

/* Killed at arbitrary moments, many of them inside a write. */
START_TEST(a_writer_that_dies_leaves_nothing_locked)
{
    struct shared *s = shared_map(NULL);
    unsigned missing = 0;
    struct truth got;

    begin_with(s);
    for (uint32_t i = 0; i < 300; i++) {
        pid_t child = fork();
        if (child == 0)
            for (;;)
                write_some(s, i, 1000, false);
        struct timespec a_little = {.tv_nsec = (long)(i % 50) * 10000};
        (void)nanosleep(&a_little, NULL);
        ck_assert_int_eq(kill(child, SIGKILL), 0);
        ck_assert_int_eq(waitpid(child, NULL, 0), child);
        for (uint64_t c = 1; c <= COOKIES; c++)
            ck_assert(truth_get(s, c, &got) && whole(&got));
    }
    write_some(s, 1, 1000, false);
    ck_assert_uint_eq(read_some(s, &missing), 0);
    ck_assert_uint_eq(missing, 0);
}
END_TEST

/* A signal handler that reads and writes in the middle of its own thread's read or write. */
static struct shared *in_handler;
static volatile sig_atomic_t handled, torn_in_handler;

static void on_alarm(int signal_number)
{
    struct truth got;

    (void)signal_number;
    for (uint64_t c = 1; c <= COOKIES; c++)
        if (!truth_get(in_handler, c, &got) || !whole(&got))
            torn_in_handler = 1;
    write_some(in_handler, (uint32_t)handled, COOKIES, false);
    handled++;
}

START_TEST(signal_handlers_may_come_at_any_time)
{
    struct sigaction act = {.sa_handler = on_alarm}, was;
    struct itimerspec once = {{0, 0}, {0, 0}};
    timer_t timer;
    unsigned missing = 0;

    in_handler = shared_map(NULL);
    begin_with(in_handler);
    ck_assert_int_eq(sigaction(SIGALRM, &act, &was), 0);
    ck_assert_int_eq(timer_create(CLOCK_MONOTONIC, NULL, &timer), 0);
    for (unsigned n = 0; n < 3000 || handled < 100; n++) {
        once.it_value.tv_nsec = 1 + (long)(n % 97) * 500; /* another place each time */
        ck_assert_int_eq(timer_settime(timer, 0, &once, NULL), 0);
        write_some(in_handler, n, 100, false);
        for (uint64_t c = 1; c <= COOKIES; c++) {
            struct truth got;
            ck_assert(truth_get(in_handler, c, &got) && whole(&got));
        }
    }
    ck_assert_int_eq(timer_delete(timer), 0);
    ck_assert_int_eq(sigaction(SIGALRM, &was, NULL), 0);
    ck_assert_int_eq(torn_in_handler, 0);
    ck_assert_uint_eq(read_some(in_handler, &missing), 0);
}
END_TEST

/* Of many who ask at once, one is told. */
enum { TOLD_ROUNDS = 3000 };

struct asker {
    struct shared *s;
    pthread_barrier_t *start;
    unsigned told;
};

static void *asker(void *arg)
{
    struct asker *a = arg;
    int error;

    (void)pthread_barrier_wait(a->start);
    for (uint64_t cookie = 1; cookie <= TOLD_ROUNDS; cookie++)
        if (truth_report(a->s, cookie, &error))
            a->told++;
    return NULL;
}

START_TEST(one_of_many_is_told)
{
    struct truth t = {.state = TRUTH_FAILED, .unreported = true, .error = ETIMEDOUT};
    struct shared *s = shared_map(NULL);
    pthread_barrier_t start;
    struct asker a[3];
    pthread_t thread[3];
    unsigned told = 0;

    for (uint64_t cookie = 1; cookie <= TOLD_ROUNDS; cookie++)
        truth_set(s, cookie, &t);
    ck_assert_int_eq(pthread_barrier_init(&start, NULL, 3), 0);
    for (unsigned i = 0; i < 3; i++) {
        a[i] = (struct asker){s, &start, 0};
        ck_assert_int_eq(pthread_create(&thread[i], NULL, asker, &a[i]), 0);
    }
    for (unsigned i = 0; i < 3; i++) {
        ck_assert_int_eq(pthread_join(thread[i], NULL), 0);
        told += a[i].told;
    }
    ck_assert_int_eq(pthread_barrier_destroy(&start), 0);
    ck_assert_uint_eq(told, TOLD_ROUNDS);
}
END_TEST

int main(void)
{
    Suite *s = suite_create("truth");
    TCase *tc = tcase_create("truth");

    tcase_set_timeout(tc, 60);
    tcase_add_test(tc, what_was_set_is_got_and_replaced);
    tcase_add_test(tc, an_ipv4_peer_is_kept_as_it_is);
    tcase_add_test(tc, what_is_not_known_leaves_the_answer_alone);
    tcase_add_test(tc, no_socket_has_no_truth);
    tcase_add_test(tc, forgotten_is_forgotten);
    tcase_add_test(tc, a_failure_is_reported_once);
    tcase_add_test(tc, a_success_is_reported_once_without_an_error);
    tcase_add_test(tc, the_oldest_make_way);
    tcase_add_test(tc, a_placeholder_outlives_many_that_are_connected);
    tcase_add_test(tc, threads_see_no_mixture_and_no_gap);
    tcase_add_test(tc, processes_see_no_mixture);
    tcase_add_test(tc, a_writer_that_dies_leaves_nothing_locked);
    tcase_add_test(tc, signal_handlers_may_come_at_any_time);
    tcase_add_test(tc, one_of_many_is_told);
    suite_add_tcase(s, tc);
    return runner_main(s);
}
