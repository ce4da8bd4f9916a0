/* SPDX-License-Identifier: MIT */
#include "fault.h"
#include "fault_calls.h"
#include "pipes.h"
#include "rawnet.h"
#include "runner.h"
#include <errno.h>
#include <fcntl.h>
#include <unistd.h>

enum { MAX = 3 };

static struct pipes pool;
static struct stats *stats;
static unsigned fds;

static void setup(void)
{
    fds = rawnet_fds();
    stats = stats_new();
    ck_assert_ptr_nonnull(stats);
    pipes_init(&pool, MAX, stats);
}

static void teardown(void)
{
    pipes_done(&pool);
    ck_assert_uint_eq(atomic_load(&stats->value[STAT_PIPES]), 0);
    stats_free(stats);
    ck_assert_uint_eq(rawnet_fds(), fds);
}

static uint64_t exhausted(void)
{
    return atomic_load(&stats->value[STAT_PIPES_EXHAUSTED]);
}

START_TEST(a_borrowed_pipe_is_empty_large_and_never_blocks)
{
    struct pipe *p = pipes_borrow(&pool);
    char octet;

    ck_assert_ptr_nonnull(p);
    ck_assert_int_ge(fcntl(p->in, F_GETPIPE_SZ), PIPE_BYTES);
    ck_assert_int_eq(read(p->out, &octet, 1), -1);
    ck_assert_int_eq(errno, EAGAIN);
    ck_assert_int_ne(fcntl(p->in, F_GETFD) & FD_CLOEXEC, 0);
    ck_assert_int_ne(fcntl(p->out, F_GETFD) & FD_CLOEXEC, 0);
    pipes_return(&pool, p, true);
}
END_TEST

START_TEST(a_dry_pipe_is_used_again_the_latest_first)
{
    struct pipe *a = pipes_borrow(&pool), *b = pipes_borrow(&pool);

    pipes_return(&pool, a, true);
    pipes_return(&pool, b, true);
    ck_assert_uint_eq(atomic_load(&stats->value[STAT_PIPES]), 2);
    ck_assert_ptr_eq(pipes_borrow(&pool), b);
    ck_assert_ptr_eq(pipes_borrow(&pool), a);
    pipes_return(&pool, a, true);
    pipes_return(&pool, b, true);
}
END_TEST

START_TEST(a_pipe_that_is_not_dry_is_closed)
{
    struct pipe *p = pipes_borrow(&pool);

    ck_assert_int_eq(write(p->in, "x", 1), 1);
    pipes_return(&pool, p, false);
    ck_assert_uint_eq(rawnet_fds(), fds);
    ck_assert_uint_eq(atomic_load(&stats->value[STAT_PIPES]), 0);
}
END_TEST

START_TEST(the_bound_holds_and_is_counted)
{
    struct pipe *p[MAX];

    for (int i = 0; i < MAX; i++) {
        p[i] = pipes_borrow(&pool);
        ck_assert_ptr_nonnull(p[i]);
    }
    ck_assert_uint_eq(exhausted(), 0);
    ck_assert_ptr_null(pipes_borrow(&pool));
    ck_assert_uint_eq(exhausted(), 1);
    pipes_return(&pool, p[0], false);
    p[0] = pipes_borrow(&pool); /* room again */
    ck_assert_ptr_nonnull(p[0]);
    for (int i = 0; i < MAX; i++)
        pipes_return(&pool, p[i], true);
}
END_TEST

START_TEST(a_bound_lowered_by_reload_makes_no_more_pipes)
{
    struct pipe *p = pipes_borrow(&pool);

    pool.max = 1;
    ck_assert_ptr_null(pipes_borrow(&pool));
    pipes_return(&pool, p, true);
    pool.max = 0; /* what there is may be used on */
    ck_assert_ptr_eq(pipes_borrow(&pool), p);
    pipes_return(&pool, p, true);
}
END_TEST

START_TEST(every_failure_leaves_nothing_and_is_counted)
{
    static const enum fault_call call[] = {FAULT_pipe2, FAULT_fcntl};

    fault_after(1);
    ck_assert_ptr_null(pipes_borrow(&pool));
    ck_assert(fault_hit());
    fault_reset();
    for (size_t i = 0; i < sizeof call / sizeof call[0]; i++) {
        fault_call_after(call[i], 1, EPERM);
        ck_assert_ptr_null(pipes_borrow(&pool));
        fault_calls_reset();
        ck_assert_uint_eq(rawnet_fds(), fds);
    }
    ck_assert_uint_eq(exhausted(), 3);
    ck_assert_uint_eq(atomic_load(&stats->value[STAT_PIPES]), 0);
}
END_TEST

int main(void)
{
    Suite *s = suite_create("pipes");
    TCase *c = tcase_create("pipes");

    tcase_add_checked_fixture(c, setup, teardown);
    tcase_add_test(c, a_borrowed_pipe_is_empty_large_and_never_blocks);
    tcase_add_test(c, a_dry_pipe_is_used_again_the_latest_first);
    tcase_add_test(c, a_pipe_that_is_not_dry_is_closed);
    tcase_add_test(c, the_bound_holds_and_is_counted);
    tcase_add_test(c, a_bound_lowered_by_reload_makes_no_more_pipes);
    tcase_add_test(c, every_failure_leaves_nothing_and_is_counted);
    suite_add_tcase(s, c);
    return runner_main(s);
}
