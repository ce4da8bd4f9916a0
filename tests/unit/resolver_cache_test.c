/* SPDX-License-Identifier: MIT */
#include "fault.h"
#include "resolver_cache.h"
#include "runner.h"
#include <stdio.h>
#include <string.h>

enum { NOW = 5000 };

static struct resolver_answer answer(size_t n)
{
    struct resolver_answer a = {.why = n > 0 ? OUTCOME_OK : OUTCOME_NAME_NOT_FOUND, .count = n};

    for (size_t i = 0; i < n; i++)
        a.addr[i] = addr_ipv4((const uint8_t[4]){192, 0, 2, (uint8_t)(i + 1)}, 0);
    return a;
}

static void store(struct resolver_cache *c, const char *name, size_t n, uint64_t ttl_ms)
{
    struct resolver_answer a = answer(n);

    resolver_cache_store(c, name, ADDR_IPV4, &a, ttl_ms, NOW);
}

static bool has(struct resolver_cache *c, const char *name, uint64_t now_ms)
{
    struct resolver_answer a;

    return resolver_cache_find(c, name, ADDR_IPV4, now_ms, &a);
}

START_TEST(an_answer_lives_for_its_ttl)
{
    struct resolver_cache *c = resolver_cache_new(4);

    store(c, "a", 1, 100);
    ck_assert(has(c, "a", NOW));
    ck_assert(has(c, "a", NOW + 99));
    ck_assert(!has(c, "a", NOW + 100));
    ck_assert_uint_eq(resolver_cache_count(c), 0); /* and takes no room after it */
    resolver_cache_free(c);
}
END_TEST

START_TEST(a_miss_leaves_the_output_alone)
{
    struct resolver_cache *c = resolver_cache_new(4);
    struct resolver_answer a, before;

    memset(&a, 0x5A, sizeof a);
    before = a;
    store(c, "a", 2, 100);
    ck_assert(!resolver_cache_find(c, "b", ADDR_IPV4, NOW, &a));
    ck_assert(!resolver_cache_find(c, "a", ADDR_IPV6, NOW, &a));
    ck_assert(!resolver_cache_find(c, "a", ADDR_IPV4, NOW + 100, &a));
    ck_assert_mem_eq(&a, &before, sizeof a);
    resolver_cache_free(c);
}
END_TEST

START_TEST(negative_answers_are_answers)
{
    struct resolver_cache *c = resolver_cache_new(4);
    struct resolver_answer a;

    store(c, "a", 0, 100);
    ck_assert(resolver_cache_find(c, "a", ADDR_IPV4, NOW, &a));
    ck_assert_int_eq(a.why, OUTCOME_NAME_NOT_FOUND);
    ck_assert_uint_eq(a.count, 0);
    resolver_cache_free(c);
}
END_TEST

START_TEST(a_new_answer_replaces_the_old)
{
    struct resolver_cache *c = resolver_cache_new(4);
    struct resolver_answer a;

    store(c, "a", 1, 100);
    store(c, "a", 3, 200);
    ck_assert(resolver_cache_find(c, "a", ADDR_IPV4, NOW + 150, &a));
    ck_assert_uint_eq(a.count, 3);
    ck_assert_uint_eq(resolver_cache_count(c), 1);
    store(c, "a", 1, 0); /* not to be kept: the old one is wrong by now */
    ck_assert(!has(c, "a", NOW));
    resolver_cache_free(c);
}
END_TEST

START_TEST(the_least_recently_used_goes_first)
{
    struct resolver_cache *c = resolver_cache_new(3);

    store(c, "a", 1, 100);
    store(c, "b", 1, 100);
    store(c, "c", 1, 100);
    ck_assert(has(c, "a", NOW));
    store(c, "d", 1, 100);
    ck_assert_uint_eq(resolver_cache_count(c), 3);
    ck_assert(!has(c, "b", NOW));
    ck_assert(has(c, "a", NOW) && has(c, "c", NOW) && has(c, "d", NOW));
    resolver_cache_free(c);
}
END_TEST

START_TEST(every_address_comes_first_in_its_turn)
{
    struct resolver_cache *c = resolver_cache_new(3);
    struct resolver_answer a;

    store(c, "a", 3, 100); /* who stored it has used .1 */
    for (unsigned i = 0; i < 7; i++) {
        ck_assert(resolver_cache_find(c, "a", ADDR_IPV4, NOW, &a));
        for (unsigned k = 0; k < 3; k++)
            ck_assert_uint_eq(a.addr[k].ip[3], (i + 1 + k) % 3 + 1);
    }
    resolver_cache_free(c);
}
END_TEST

START_TEST(a_cache_of_size_zero_keeps_nothing)
{
    struct resolver_cache *c = resolver_cache_new(0);

    store(c, "a", 1, 100);
    ck_assert(!has(c, "a", NOW));
    resolver_cache_free(c);
    resolver_cache_free(NULL);
}
END_TEST

START_TEST(many_names_stay_within_the_bound)
{
    struct resolver_cache *c = resolver_cache_new(100);
    char name[32];

    for (int i = 0; i < 1000; i++) {
        (void)snprintf(name, sizeof name, "host%d", i);
        store(c, name, RESOLVER_ADDRS_MAX, 100);
    }
    ck_assert_uint_eq(resolver_cache_count(c), 100);
    for (int i = 0; i < 1000; i++) {
        (void)snprintf(name, sizeof name, "host%d", i);
        ck_assert_int_eq(has(c, name, NOW), i >= 900);
    }
    resolver_cache_free(c);
}
END_TEST

START_TEST(without_memory_nothing_is_kept_and_nothing_lost)
{
    fault_after(1);
    ck_assert_ptr_null(resolver_cache_new(4));
    fault_reset();
    struct resolver_cache *c = resolver_cache_new(4);
    store(c, "b", 1, 100);
    for (unsigned n = 1; n <= 2; n++) {
        fault_after(n);
        store(c, "a", 1, 100);
        ck_assert(fault_hit());
        ck_assert(!has(c, "a", NOW));
    }
    fault_reset();
    ck_assert(has(c, "b", NOW));
    ck_assert_uint_eq(resolver_cache_count(c), 1);
    resolver_cache_free(c);
}
END_TEST

int main(void)
{
    Suite *s = suite_create("resolver_cache");
    TCase *t = tcase_create("cache");

    tcase_add_test(t, an_answer_lives_for_its_ttl);
    tcase_add_test(t, a_miss_leaves_the_output_alone);
    tcase_add_test(t, negative_answers_are_answers);
    tcase_add_test(t, a_new_answer_replaces_the_old);
    tcase_add_test(t, the_least_recently_used_goes_first);
    tcase_add_test(t, every_address_comes_first_in_its_turn);
    tcase_add_test(t, a_cache_of_size_zero_keeps_nothing);
    tcase_add_test(t, many_names_stay_within_the_bound);
    tcase_add_test(t, without_memory_nothing_is_kept_and_nothing_lost);
    suite_add_tcase(s, t);
    return runner_main(s);
}
