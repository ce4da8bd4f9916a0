/* SPDX-License-Identifier: MIT */
/* What is remembered of servers, on a clock of the test's. */
#include "fault.h"
#include "offer.h"
#include "runner.h"
#include <check.h>
#include <pthread.h>
#include <string.h>

enum {
    NOW = 5000000,
    SLOW_TTL = 86400000,
    ANSWER_TTL = 3600000,
    ENTRIES = 256,
    THREADS = 4,
};

static struct offer_table *table;
static struct prefix native[2];
static struct offer_policy policy;

static void setup(void)
{
    policy = (struct offer_policy){
        .mode = OFFER_MODE_AUTO,
        .native = {.item = native, .count = 0},
        .slow_after_ms = 300,
        .slow_ttl_ms = SLOW_TTL,
        .answer_ttl_ms = ANSWER_TTL,
        .slow_prefix4 = 24,
        .slow_prefix6 = 56,
    };
    table = offer_new(ENTRIES);
    ck_assert_ptr_nonnull(table);
}

static void teardown(void)
{
    offer_free(table);
}

static struct addr server(const char *text)
{
    struct addr a;

    ck_assert(addr_parse(text, &a));
    return a;
}

static enum offer decide_at(const char *text, uint64_t now_ms)
{
    struct addr a = server(text);

    return offer_decide(table, &policy, &a, false, now_ms);
}

static enum offer decide(const char *text)
{
    return decide_at(text, NOW);
}

static bool unanswered(const char *text, uint64_t now_ms)
{
    struct addr a = server(text);

    return offer_unanswered(table, &policy, &a, now_ms);
}

static void answered(const char *text, bool mptcp)
{
    struct addr a = server(text);

    offer_answered(table, &policy, &a, mptcp, NOW);
}

START_TEST(the_mode_decides)
{
    policy.mode = OFFER_MODE_OFF;
    ck_assert_int_eq(decide("192.0.2.1:80"), OFFER_NONE);
    policy.mode = OFFER_MODE_ON;
    ck_assert_int_eq(decide("192.0.2.1:80"), OFFER_ALWAYS);
    policy.mode = OFFER_MODE_AUTO;
    ck_assert_int_eq(decide("192.0.2.1:80"), OFFER_WATCHED);
}
END_TEST

START_TEST(a_wish_counts_except_against_silence)
{
    struct addr a = server("192.0.2.1:80");

    policy.mode = OFFER_MODE_OFF;
    ck_assert_int_eq(offer_decide(NULL, &policy, &a, true, NOW), OFFER_ALWAYS);
    policy.mode = OFFER_MODE_AUTO;
    answered("192.0.2.1:80", false);
    ck_assert_int_eq(offer_decide(table, &policy, &a, false, NOW), OFFER_PLAIN);
    ck_assert_int_eq(offer_decide(table, &policy, &a, true, NOW), OFFER_PROVEN);
    offer_forget(table);
    ck_assert(unanswered("192.0.2.1:80", NOW));
    ck_assert_int_eq(offer_decide(table, &policy, &a, true, NOW), OFFER_SLOW);
}
END_TEST

START_TEST(native_servers_are_always_offered_it)
{
    ck_assert(prefix_parse("192.0.2.0/24", &native[0]));
    ck_assert(prefix_parse("2001:db8:5::/48", &native[1]));
    policy.native.count = 2;
    ck_assert(unanswered("192.0.2.1:80", NOW));
    for (policy.mode = OFFER_MODE_OFF; policy.mode <= OFFER_MODE_AUTO; policy.mode++) {
        ck_assert_int_eq(decide("192.0.2.1:80"), OFFER_ALWAYS);
        ck_assert_int_eq(decide("[2001:db8:5::1]:80"), OFFER_ALWAYS);
    }
    policy.mode = OFFER_MODE_OFF;
    ck_assert_int_eq(decide("198.51.100.1:80"), OFFER_NONE);
}
END_TEST

START_TEST(a_slow_network_is_spared_until_its_time_is_over)
{
    ck_assert(unanswered("192.0.2.1:80", NOW));
    ck_assert_int_eq(decide_at("192.0.2.254:443", NOW + SLOW_TTL - 1), OFFER_SLOW);
    ck_assert_int_eq(decide_at("192.0.2.254:443", NOW + SLOW_TTL), OFFER_WATCHED);
    ck_assert_int_eq(decide("192.0.3.1:80"), OFFER_WATCHED);
}
END_TEST

START_TEST(a_network_is_as_long_as_configured)
{
    policy.slow_prefix4 = 16;
    ck_assert(unanswered("198.51.100.1:80", NOW));
    ck_assert_int_eq(decide("198.51.7.1:80"), OFFER_SLOW);
    ck_assert_int_eq(decide("198.50.100.1:80"), OFFER_WATCHED);
    ck_assert(unanswered("[2001:db8:0:1200::1]:80", NOW));
    ck_assert_int_eq(decide("[2001:db8:0:12ff::9]:80"), OFFER_SLOW);
    ck_assert_int_eq(decide("[2001:db8:0:1300::1]:80"), OFFER_WATCHED);
    policy.slow_prefix6 = 128;
    ck_assert_int_eq(decide("[2001:db8:0:12ff::9]:80"), OFFER_WATCHED);
}
END_TEST

START_TEST(families_are_not_mixed_up)
{
    ck_assert(unanswered("0.0.0.0:80", NOW));
    ck_assert_int_eq(decide("[::1]:80"), OFFER_WATCHED);
}
END_TEST

START_TEST(being_slow_again_starts_the_time_anew_and_is_no_news)
{
    ck_assert(unanswered("192.0.2.1:80", NOW));
    ck_assert(!unanswered("192.0.2.2:80", NOW + 1000));
    ck_assert_int_eq(decide_at("192.0.2.1:80", NOW + SLOW_TTL + 999), OFFER_SLOW);
}
END_TEST

START_TEST(who_has_answered_before_is_slow_at_the_second_time_in_a_row)
{
    answered("192.0.2.1:80", true);
    ck_assert_int_eq(decide("192.0.2.7:80"), OFFER_PROVEN);
    ck_assert(!unanswered("192.0.2.7:80", NOW));
    ck_assert_int_eq(decide("192.0.2.7:80"), OFFER_PROVEN);
    answered("192.0.2.9:80", false); /* in between one came through */
    ck_assert(!unanswered("192.0.2.7:80", NOW));
    ck_assert(unanswered("192.0.2.7:80", NOW));
    ck_assert_int_eq(decide("192.0.2.7:80"), OFFER_SLOW);
}
END_TEST

START_TEST(an_answer_is_remembered_by_server_and_for_its_time)
{
    answered("192.0.2.1:80", false);
    ck_assert_int_eq(decide("192.0.2.1:80"), OFFER_PLAIN);
    ck_assert_int_eq(decide("192.0.2.1:443"), OFFER_PROVEN);
    ck_assert_int_eq(decide("192.0.2.2:80"), OFFER_PROVEN);
    ck_assert_int_eq(decide_at("192.0.2.1:80", NOW + ANSWER_TTL - 1), OFFER_PLAIN);
    ck_assert_int_eq(decide_at("192.0.2.1:80", NOW + ANSWER_TTL), OFFER_WATCHED);
    answered("192.0.2.1:80", true);
    ck_assert_int_eq(decide("192.0.2.1:80"), OFFER_PROVEN);
}
END_TEST

START_TEST(answers_need_not_be_remembered)
{
    policy.answer_ttl_ms = 0;
    answered("192.0.2.1:80", false);
    ck_assert_int_eq(decide("192.0.2.1:80"), OFFER_WATCHED);
    ck_assert(unanswered("192.0.2.1:80", NOW));
}
END_TEST

START_TEST(what_holds_is_counted_and_can_be_forgotten)
{
    answered("192.0.2.1:80", false);
    answered("192.0.2.2:80", true);
    answered("192.0.2.3:80", true);
    ck_assert(unanswered("198.51.100.1:80", NOW));
    struct offer_counts n = offer_count(table, NOW);
    ck_assert_uint_eq(n.slow, 1);
    ck_assert_uint_eq(n.plain, 1);
    ck_assert_uint_eq(n.mptcp, 2);
    n = offer_count(table, NOW + ANSWER_TTL);
    ck_assert_uint_eq(n.slow, 1);
    ck_assert_uint_eq(n.plain + n.mptcp, 0);
    offer_forget(table);
    offer_forget(NULL);
    ck_assert_uint_eq(offer_count(table, NOW).slow, 0);
    ck_assert_uint_eq(offer_count(NULL, NOW).slow, 0);
    ck_assert_int_eq(decide("198.51.100.1:80"), OFFER_WATCHED);
}
END_TEST

static struct addr numbered(uint32_t n)
{
    const uint8_t ip[16] = {0x20,      0x01, 0x0d, 0xb8, (uint8_t)(n >> 16), (uint8_t)(n >> 8),
                            (uint8_t)n};

    return addr_ipv6(ip, 443);
}

START_TEST(the_table_is_bounded_and_slow_networks_go_last)
{
    struct addr slow = server("192.0.2.1:80");

    ck_assert(offer_unanswered(table, &policy, &slow, NOW));
    for (uint32_t i = 0; i < 100 * ENTRIES; i++) {
        struct addr a = numbered(i);
        offer_answered(table, &policy, &a, i % 2 == 0, NOW + i);
    }
    struct offer_counts n = offer_count(table, NOW + 100 * ENTRIES);
    ck_assert_uint_eq(n.slow, 1);
    ck_assert_uint_le(n.plain + n.mptcp, ENTRIES);
    ck_assert_uint_gt(n.plain + n.mptcp, ENTRIES / 4);
    ck_assert_int_eq(decide_at("192.0.2.1:80", NOW + 100 * ENTRIES), OFFER_SLOW);
    for (uint32_t i = 0; i < 100 * ENTRIES; i++) {
        struct addr a = numbered(i);
        (void)offer_unanswered(table, &policy, &a, NOW + i);
        (void)offer_unanswered(table, &policy, &a, NOW + i);
    }
    ck_assert_uint_le(offer_count(table, NOW).slow, ENTRIES);
}
END_TEST

/* Eight in a set: with nine and more the one used longest ago goes. */
START_TEST(what_is_used_stays)
{
    struct offer_table *one_set = offer_new(1);
    struct addr kept = numbered(0);

    ck_assert_ptr_nonnull(one_set);
    policy.answer_ttl_ms = SLOW_TTL;
    ck_assert(offer_unanswered(one_set, &policy, &kept, NOW));
    for (uint32_t i = 1; i < 50; i++) {
        struct addr a = numbered(i);
        ck_assert_int_eq(offer_decide(one_set, &policy, &kept, false, NOW + 2 * i), OFFER_SLOW);
        ck_assert(offer_unanswered(one_set, &policy, &a, NOW + 2 * i + 1));
    }
    struct addr first = numbered(1), last = numbered(49);
    ck_assert_int_eq(offer_decide(one_set, &policy, &first, false, NOW + 200), OFFER_WATCHED);
    ck_assert_int_eq(offer_decide(one_set, &policy, &last, false, NOW + 200), OFFER_SLOW);
    offer_free(one_set);
}
END_TEST

/* No list of servers fills a set of another process: the same list spreads anew every time. */
START_TEST(the_hash_is_keyed)
{
    struct offer_table *other = offer_new(ENTRIES);
    unsigned differ = 0;

    ck_assert_ptr_nonnull(other);
    for (uint32_t i = 0; i < 4 * ENTRIES; i++) {
        struct addr a = numbered(i);
        offer_answered(table, &policy, &a, false, NOW + i);
        offer_answered(other, &policy, &a, false, NOW + i);
    }
    for (uint32_t i = 0; i < 4 * ENTRIES; i++) {
        struct addr a = numbered(i);
        enum offer x = offer_decide(table, &policy, &a, false, NOW + 4 * ENTRIES);
        differ += x != offer_decide(other, &policy, &a, false, NOW + 4 * ENTRIES);
    }
    ck_assert_uint_gt(differ, 0);
    offer_free(other);
}
END_TEST

static void *hammer(void *arg)
{
    uint32_t from = (uint32_t)(uintptr_t)arg;

    for (uint32_t i = 0; i < 20000; i++) {
        struct addr a = numbered((from + i) % 300);
        uint64_t now_ms = NOW + i;
        if (offer_decide(table, &policy, &a, false, now_ms) == OFFER_NONE)
            return arg;
        if (i % 3 == 0)
            (void)offer_unanswered(table, &policy, &a, now_ms);
        else
            offer_answered(table, &policy, &a, i % 2 == 0, now_ms);
    }
    return NULL;
}

START_TEST(all_workers_may_ask_at_once)
{
    pthread_t thread[THREADS];

    for (uintptr_t i = 0; i < THREADS; i++)
        ck_assert_int_eq(pthread_create(&thread[i], NULL, hammer, (void *)(i * 7)), 0);
    for (size_t i = 0; i < 50; i++)
        (void)offer_count(table, NOW + 1000 * i);
    for (size_t i = 0; i < THREADS; i++) {
        void *bad = table;
        ck_assert_int_eq(pthread_join(thread[i], &bad), 0);
        ck_assert_ptr_null(bad);
    }
}
END_TEST

START_TEST(out_of_memory_is_told)
{
    fault_after(1);
    struct offer_table *none = offer_new(ENTRIES);
    fault_reset();
    ck_assert_ptr_null(none);
    offer_free(NULL);
}
END_TEST

int main(void)
{
    Suite *s = suite_create("offer");
    TCase *c = tcase_create("offer");

    tcase_add_checked_fixture(c, setup, teardown);
    tcase_add_test(c, the_mode_decides);
    tcase_add_test(c, a_wish_counts_except_against_silence);
    tcase_add_test(c, native_servers_are_always_offered_it);
    tcase_add_test(c, a_slow_network_is_spared_until_its_time_is_over);
    tcase_add_test(c, a_network_is_as_long_as_configured);
    tcase_add_test(c, families_are_not_mixed_up);
    tcase_add_test(c, being_slow_again_starts_the_time_anew_and_is_no_news);
    tcase_add_test(c, who_has_answered_before_is_slow_at_the_second_time_in_a_row);
    tcase_add_test(c, an_answer_is_remembered_by_server_and_for_its_time);
    tcase_add_test(c, answers_need_not_be_remembered);
    tcase_add_test(c, what_holds_is_counted_and_can_be_forgotten);
    tcase_add_test(c, the_table_is_bounded_and_slow_networks_go_last);
    tcase_add_test(c, what_is_used_stays);
    tcase_add_test(c, the_hash_is_keyed);
    tcase_add_test(c, all_workers_may_ask_at_once);
    tcase_add_test(c, out_of_memory_is_told);
    suite_add_tcase(s, c);
    return runner_main(s);
}
