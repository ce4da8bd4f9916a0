/* SPDX-License-Identifier: MIT */
/* The injector itself: a fault that does not strike would make every test that relies on it
 * pass for nothing. */
#include "fault.h"
#include "fault_calls.h"
#include "runner.h"
#include <errno.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>
#include <uv.h>

/* 0: all three worked; else which one failed first. */
static int allocate_three(void)
{
    void *volatile a = malloc(1);
    void *volatile b = a == NULL ? NULL : calloc(1, 1);
    void *volatile c = b == NULL ? NULL : strdup("x");
    int failed = a == NULL ? 1 : b == NULL ? 2 : c == NULL ? 3 : 0;

    free(a);
    free(b);
    free(c);
    return failed;
}

START_TEST(the_nth_allocation_fails_once)
{
    for (int n = 1; n <= 3; n++) {
        fault_after((unsigned)n);
        ck_assert_int_eq(allocate_three(), n);
        ck_assert(fault_hit());
        ck_assert_int_eq(allocate_three(), 0);
    }
    fault_after(4);
    ck_assert_int_eq(allocate_three(), 0);
    ck_assert(!fault_hit());
    ck_assert_uint_eq(fault_allocations(), 3);
    fault_reset();
    ck_assert_int_eq(allocate_three(), 0);
}
END_TEST

START_TEST(assertions_do_not_count_as_allocations)
{
    fault_after(1);
    for (int i = 0; i < 100; i++)
        ck_assert_int_eq(i, i);
    ck_assert(!fault_hit());
    ck_assert_uint_eq(fault_allocations(), 0);
}
END_TEST

START_TEST(the_nth_call_fails_with_the_given_error)
{
    fault_call_after(FAULT_socket, 2, EMFILE);
    int first = socket(AF_INET, SOCK_STREAM, 0);
    ck_assert_int_ge(first, 0);
    ck_assert(!fault_call_hit(FAULT_socket));
    errno = 0;
    int second = socket(AF_INET, SOCK_STREAM, 0), err = errno;
    ck_assert_int_eq(second, -1);
    ck_assert_int_eq(err, EMFILE);
    ck_assert(fault_call_hit(FAULT_socket));
    int third = socket(AF_INET, SOCK_STREAM, 0);
    ck_assert_int_ge(third, 0);
    ck_assert_uint_eq(fault_call_count(FAULT_socket), 3);
    close(first);
    close(third);
}
END_TEST

START_TEST(a_libuv_call_fails_until_reset)
{
    uv_loop_t loop;
    uv_timer_t timer;

    ck_assert_int_eq(uv_loop_init(&loop), 0);
    fault_call_always(FAULT_uv_timer_init, ENOMEM);
    for (int i = 0; i < 3; i++)
        ck_assert_int_eq(uv_timer_init(&loop, &timer), UV_ENOMEM);
    ck_assert_uint_eq(fault_call_count(FAULT_uv_timer_init), 3);
    fault_calls_reset();
    ck_assert_int_eq(uv_timer_init(&loop, &timer), 0);
    uv_close((uv_handle_t *)&timer, NULL);
    ck_assert_int_eq(uv_run(&loop, UV_RUN_DEFAULT), 0);
    ck_assert_int_eq(uv_loop_close(&loop), 0);
    ck_assert_str_eq(fault_call_name(FAULT_uv_timer_init), "uv_timer_init");
}
END_TEST

int main(void)
{
    Suite *s = suite_create("fault");
    TCase *t = tcase_create("fault");

    tcase_add_test(t, the_nth_allocation_fails_once);
    tcase_add_test(t, assertions_do_not_count_as_allocations);
    tcase_add_test(t, the_nth_call_fails_with_the_given_error);
    tcase_add_test(t, a_libuv_call_fails_until_reset);
    suite_add_tcase(s, t);
    return runner_main(s);
}
