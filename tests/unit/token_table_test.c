/* SPDX-License-Identifier: MIT */
#include "fault.h"
#include "runner.h"
#include "token_table.h"
#include <string.h>

static struct token_table t;
static struct token_changes c;

static void set_up(void)
{
    token_table_init(&t);
}

static void tear_down(void)
{
    token_table_done(&t);
}

static void ck_take(size_t add, size_t del)
{
    ck_assert(token_table_take(&t, &c) == (add + del > 0));
    ck_assert_uint_eq(c.add_count, add);
    ck_assert_uint_eq(c.del_count, del);
}

static void settle(void)
{
    token_table_settle(&t, c.add, c.add_count, true);
    token_table_settle(&t, c.del, c.del_count, false);
}

START_TEST(a_token_is_added_and_removed_once)
{
    ck_assert(token_table_add(&t, 7));
    ck_assert(token_table_add(&t, 7));
    ck_take(1, 0);
    ck_assert_uint_eq(c.add[0], 7);
    settle();
    ck_take(0, 0);
    token_table_remove(&t, 7);
    token_table_remove(&t, 7);
    ck_take(0, 1);
    ck_assert_uint_eq(c.del[0], 7);
    settle();
    ck_take(0, 0);
    ck_assert_uint_eq(t.used, 0);
}
END_TEST

START_TEST(what_is_not_there_is_removed_without_a_word)
{
    token_table_remove(&t, 7);
    ck_take(0, 0);
    ck_assert(token_table_add(&t, 8));
    token_table_remove(&t, 7);
    ck_take(1, 0);
}
END_TEST

START_TEST(what_came_and_went_meanwhile_is_no_change)
{
    ck_assert(token_table_add(&t, 7));
    token_table_remove(&t, 7);
    ck_take(0, 0);
    ck_assert_uint_eq(t.used, 0);
    ck_assert(token_table_add(&t, 7));
    ck_take(1, 0);
    settle();
    token_table_remove(&t, 7); /* the kernel may give the next connection this very token */
    ck_assert(token_table_add(&t, 7));
    ck_take(0, 0);
    ck_assert_uint_eq(t.used, 1);
}
END_TEST

/* Workers go on while a request is under way. */
START_TEST(a_change_during_the_request_is_not_lost)
{
    ck_assert(token_table_add(&t, 7));
    ck_take(1, 0);
    token_table_remove(&t, 7);
    settle();
    ck_take(0, 1);
    ck_assert(token_table_add(&t, 7));
    settle();
    ck_take(1, 0);
    token_table_remove(&t, 7);
    ck_assert(token_table_add(&t, 7));
    settle();
    ck_take(0, 0);
}
END_TEST

START_TEST(what_failed_is_due_again)
{
    ck_assert(token_table_add(&t, 7));
    ck_take(1, 0);
    token_table_again(&t, c.add, 1);
    ck_take(1, 0);
    token_table_again(&t, c.add, 1);
    token_table_remove(&t, 7); /* nobody wants it any more */
    ck_take(0, 0);
    ck_assert_uint_eq(t.used, 0);
}
END_TEST

START_TEST(a_forgotten_set_is_filled_anew)
{
    for (uint32_t i = 1; i <= 10; i++)
        ck_assert(token_table_add(&t, i));
    ck_take(10, 0);
    settle();
    for (uint32_t i = 1; i <= 4; i++)
        token_table_remove(&t, i);
    ck_assert(token_table_add(&t, 11));
    token_table_forget(&t);
    ck_take(7, 0);
    settle();
    ck_take(0, 0);
    ck_assert_uint_eq(t.used, 7);
    token_table_forget(&t);
    ck_take(7, 0);
}
END_TEST

START_TEST(a_probe_is_one_that_is_there_and_another_each_time)
{
    uint32_t token, seen = 0;

    ck_assert(!token_table_probe(&t, &token));
    ck_assert(token_table_add(&t, 1));
    ck_assert(!token_table_probe(&t, &token)); /* not told yet */
    ck_assert(token_table_add(&t, 2));
    ck_assert(token_table_add(&t, 3));
    ck_take(3, 0);
    settle();
    token_table_remove(&t, 3);
    for (int i = 0; i < 4; i++) {
        ck_assert(token_table_probe(&t, &token));
        seen |= 1u << token;
    }
    ck_assert_uint_eq(seen, 1u << 1 | 1u << 2);
}
END_TEST

START_TEST(a_take_is_bounded)
{
    size_t got = 0;

    for (uint32_t i = 0; i < 3 * TOKEN_TABLE_TAKE; i++)
        ck_assert(token_table_add(&t, i * 2654435761u));
    while (token_table_take(&t, &c)) {
        ck_assert_uint_le(c.add_count, TOKEN_TABLE_TAKE);
        got += c.add_count;
        settle();
    }
    ck_assert_uint_eq(got, 3 * TOKEN_TABLE_TAKE);
}
END_TEST

START_TEST(a_full_table_says_so_and_keeps_what_it_has)
{
    for (uint32_t i = 0; i < TOKEN_TABLE_MAX; i++)
        ck_assert(token_table_add(&t, i));
    ck_assert(!token_table_add(&t, TOKEN_TABLE_MAX));
    ck_assert(token_table_add(&t, 5)); /* it is there */
    while (token_table_take(&t, &c))
        settle();
    token_table_remove(&t, 5);
    ck_take(0, 1);
    settle();
    ck_assert(token_table_add(&t, TOKEN_TABLE_MAX));
}
END_TEST

START_TEST(without_memory_nothing_changes)
{
    for (unsigned n = 1; n <= 2; n++) {
        fault_after(n);
        ck_assert(!token_table_add(&t, 7));
        ck_assert(fault_hit());
    }
    fault_reset();
    for (uint32_t i = 0; t.used < 192; i++) /* three quarters of the first room */
        ck_assert(token_table_add(&t, i * 65537));
    fault_after(2);
    ck_assert(!token_table_add(&t, 999));
    fault_reset();
    ck_assert(token_table_add(&t, 999));
    ck_take(193, 0);
}
END_TEST

/* Against a plain array: tokens that collide, in every order. */
START_TEST(it_is_what_a_plain_list_would_be)
{
    enum { TOKENS = 400, STEPS = 200000 };
    static bool wanted[TOKENS], present[TOKENS];
    uint32_t random = 1;

    for (int step = 0; step < STEPS; step++) {
        random = random * 1664525u + 1013904223u;
        uint32_t i = (random >> 8) % TOKENS;
        if ((random >> 28) < 7) {
            ck_assert(token_table_add(&t, i / 4 << 10 | i % 4)); /* few homes */
            wanted[i] = true;
        } else if ((random >> 28) < 15) {
            token_table_remove(&t, i / 4 << 10 | i % 4);
            wanted[i] = false;
        } else if (token_table_take(&t, &c)) {
            for (size_t k = 0; k < c.add_count + c.del_count; k++) {
                bool add = k < c.add_count;
                uint32_t token = add ? c.add[k] : c.del[k - c.add_count];
                uint32_t at = (token >> 10) * 4 + (token & 3);
                ck_assert(wanted[at] == add && present[at] != add);
                present[at] = add;
            }
            ck_assert(memcmp(wanted, present, sizeof wanted) == 0);
            settle();
        }
    }
}
END_TEST

static Suite *suite(void)
{
    Suite *s = suite_create("token_table");
    TCase *tc = tcase_create("table");

    tcase_add_checked_fixture(tc, set_up, tear_down);
    tcase_add_test(tc, a_token_is_added_and_removed_once);
    tcase_add_test(tc, what_is_not_there_is_removed_without_a_word);
    tcase_add_test(tc, what_came_and_went_meanwhile_is_no_change);
    tcase_add_test(tc, a_change_during_the_request_is_not_lost);
    tcase_add_test(tc, what_failed_is_due_again);
    tcase_add_test(tc, a_forgotten_set_is_filled_anew);
    tcase_add_test(tc, a_probe_is_one_that_is_there_and_another_each_time);
    tcase_add_test(tc, a_take_is_bounded);
    tcase_add_test(tc, a_full_table_says_so_and_keeps_what_it_has);
    tcase_add_test(tc, without_memory_nothing_changes);
    tcase_add_test(tc, it_is_what_a_plain_list_would_be);
    tcase_set_timeout(tc, 60);
    suite_add_tcase(s, tc);
    return s;
}

int main(void)
{
    return runner_main(suite());
}
