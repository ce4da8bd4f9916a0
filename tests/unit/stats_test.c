/* SPDX-License-Identifier: MIT */
#include "runner.h"
#include "stats.h"
#include <pthread.h>
#include <string.h>

static struct stats *make(void)
{
    struct stats *s = stats_new();

    ck_assert_ptr_nonnull(s);
    return s;
}

static struct stats_snapshot sum_of(const struct stats *s)
{
    struct stats_snapshot sum = {0};

    stats_sum(&sum, s);
    return sum;
}

START_TEST(new_stats_are_zero_and_on_a_cache_line_of_their_own)
{
    static const struct stats_snapshot zero;
    struct stats *s = make();
    struct stats_snapshot sum = sum_of(s);

    ck_assert_uint_eq((uintptr_t)s % 64, 0);
    ck_assert_mem_eq(&sum, &zero, sizeof zero);
    stats_free(s);
    stats_free(NULL);
}
END_TEST

START_TEST(every_counter_counts_itself_only)
{
    struct stats *s = make();

    for (unsigned i = 0; i < STAT_COUNT; i++)
        stats_add(s, (enum stat_id)i, i + 1);
    struct stats_snapshot sum = sum_of(s);
    for (unsigned i = 0; i < STAT_COUNT; i++)
        ck_assert_uint_eq(sum.value[i], i + 1);
    stats_free(s);
}
END_TEST

START_TEST(gauges_go_down_and_wrap_over_workers)
{
    struct stats *one = make(), *other = make();
    struct stats_snapshot sum = {0};

    stats_add(one, STAT_PIPES, 5);
    stats_sub(one, STAT_PIPES, 2);
    stats_sub(other, STAT_PIPES, 1); /* ended on another worker than it began */
    stats_sum(&sum, one);
    stats_sum(&sum, other);
    ck_assert_uint_eq(sum.value[STAT_PIPES], 2);
    stats_free(one);
    stats_free(other);
}
END_TEST

START_TEST(nothing_happens_without_stats)
{
    stats_add(NULL, STAT_ACCEPTED, 1);
    stats_sub(NULL, STAT_CURRENT, 1);
    stats_protocol(NULL, PROTOCOL_SOCKS5, true);
    stats_closed(NULL, OUTCOME_OK, 1);
    stats_duration(NULL, HISTOGRAM_DNS, 1);
}
END_TEST

START_TEST(a_closed_session_counts_by_reason_outcome_and_duration)
{
    struct stats *s = make();

    for (unsigned o = 0; o < OUTCOME_COUNT; o++)
        stats_closed(s, (enum outcome)o, 1000);
    struct stats_snapshot sum = sum_of(s);
    uint64_t closed = 0;
    for (unsigned r = 0; r < REASON_COUNT; r++) {
        uint64_t expected = 0;
        for (unsigned o = 0; o < OUTCOME_COUNT; o++)
            expected += outcome_reason((enum outcome)o) == r;
        ck_assert_uint_eq(sum.closed[r], expected);
        closed += sum.closed[r];
    }
    for (unsigned o = 0; o < OUTCOME_COUNT; o++)
        ck_assert_uint_eq(sum.outcome[o], 1);
    ck_assert_uint_eq(closed, sum.histogram[HISTOGRAM_SESSION].count);
    ck_assert_uint_eq(sum.histogram[HISTOGRAM_SESSION].sum_us, UINT64_C(1000) * OUTCOME_COUNT);
    stats_free(s);
}
END_TEST

START_TEST(protocols_count_current_and_total)
{
    struct stats *s = make();

    stats_protocol(s, PROTOCOL_CONVERT, true);
    stats_protocol(s, PROTOCOL_CONVERT, true);
    stats_protocol(s, PROTOCOL_CONVERT, false);
    struct stats_snapshot sum = sum_of(s);
    ck_assert_uint_eq(sum.protocol_current[PROTOCOL_CONVERT], 1);
    ck_assert_uint_eq(sum.protocol_total[PROTOCOL_CONVERT], 2);
    ck_assert_uint_eq(sum.protocol_total[PROTOCOL_SOCKS5], 0);
    stats_free(s);
}
END_TEST

START_TEST(sums_add_workers_and_keep_the_greatest_maximum)
{
    struct stats *one = make(), *other = make();
    struct stats_snapshot sum = {0};

    stats_duration(one, HISTOGRAM_DNS, 10);
    stats_duration(other, HISTOGRAM_DNS, 30);
    stats_duration(other, HISTOGRAM_DNS, 20);
    stats_closed(one, OUTCOME_REFUSED, 1);
    stats_closed(other, OUTCOME_REFUSED, 1);
    stats_sum(&sum, other);
    stats_sum(&sum, one);
    ck_assert_uint_eq(sum.histogram[HISTOGRAM_DNS].count, 3);
    ck_assert_uint_eq(sum.histogram[HISTOGRAM_DNS].sum_us, 60);
    ck_assert_uint_eq(sum.histogram[HISTOGRAM_DNS].max_us, 30);
    ck_assert_uint_eq(sum.outcome[OUTCOME_REFUSED], 2);
    stats_free(one);
    stats_free(other);
}
END_TEST

/* ---- percentiles ---- */

static uint64_t percentile_between(uint64_t low, uint64_t value, uint64_t high)
{
    struct stats *s = make();

    stats_duration(s, HISTOGRAM_DNS, low);
    stats_duration(s, HISTOGRAM_DNS, value);
    stats_duration(s, HISTOGRAM_DNS, high);
    struct stats_snapshot sum = sum_of(s);
    stats_free(s);
    return histogram_percentile_us(&sum.histogram[HISTOGRAM_DNS], 0.5);
}

static void check_bound(uint64_t v)
{
    /* The greatest is far away, so that it does not help. */
    uint64_t p = percentile_between(0, v, UINT64_C(1) << 40), off = p > v ? p - v : v - p;

    ck_assert_msg(off * 8 <= v, "%llu came out as %llu", (unsigned long long)v,
                  (unsigned long long)p);
    if (v > 0 && v <= 7)
        ck_assert_uint_eq(p, v);
}

START_TEST(a_percentile_is_at_most_an_eighth_off)
{
    for (uint64_t v = 1; v < 3000; v++)
        check_bound(v);
    for (unsigned e = 11; e <= 36; e++) {
        for (unsigned sub = 0; sub < 8; sub++) {
            uint64_t v = (UINT64_C(1) << e) + sub * (UINT64_C(1) << (e - 3));
            check_bound(v);
            check_bound(v - 1);
            check_bound(v + 1);
        }
    }
    check_bound((UINT64_C(1) << 37) - 1);
}
END_TEST

START_TEST(zero_counts_and_longer_than_the_last_bucket_saturates)
{
    struct stats *s = make();

    stats_duration(s, HISTOGRAM_DNS, 0);
    struct stats_snapshot sum = sum_of(s);
    ck_assert_uint_eq(sum.histogram[HISTOGRAM_DNS].count, 1);
    ck_assert_uint_eq(histogram_percentile_us(&sum.histogram[HISTOGRAM_DNS], 0.5), 0);
    stats_free(s);

    uint64_t p = percentile_between(0, UINT64_MAX, UINT64_MAX);
    ck_assert_uint_ge(p, UINT64_C(7) << 34);
    ck_assert_uint_lt(p, UINT64_C(1) << 37);
}
END_TEST

START_TEST(ranks_are_the_textbook_ones)
{
    struct histogram_snapshot h = {0};
    struct stats *s = make();

    ck_assert_uint_eq(histogram_percentile_us(&h, 0.5), 0);
    for (uint64_t v = 1; v <= 4; v++)
        stats_duration(s, HISTOGRAM_DNS, v);
    h = sum_of(s).histogram[HISTOGRAM_DNS];
    ck_assert_uint_eq(histogram_percentile_us(&h, 0.001), 1);
    ck_assert_uint_eq(histogram_percentile_us(&h, 0.25), 1);
    ck_assert_uint_eq(histogram_percentile_us(&h, 0.26), 2);
    ck_assert_uint_eq(histogram_percentile_us(&h, 0.5), 2);
    ck_assert_uint_eq(histogram_percentile_us(&h, 0.75), 3);
    ck_assert_uint_eq(histogram_percentile_us(&h, 0.99), 4);
    stats_duration(s, HISTOGRAM_DNS, 1000003);
    h = sum_of(s).histogram[HISTOGRAM_DNS];
    ck_assert_uint_eq(histogram_percentile_us(&h, 1.0), 1000003); /* the maximum is exact */
    stats_free(s);
}
END_TEST

START_TEST(no_percentile_exceeds_the_maximum)
{
    for (uint64_t v = 1; v < 100000; v = v * 5 / 4 + 1) {
        struct stats *s = make();

        stats_duration(s, HISTOGRAM_DNS, v);
        struct stats_snapshot sum = sum_of(s);
        ck_assert_uint_le(histogram_percentile_us(&sum.histogram[HISTOGRAM_DNS], 0.99), v);
        stats_free(s);
    }
}
END_TEST

/* ---- reading while it moves ---- */

enum { SESSIONS = 300000 };

static void *live(void *arg)
{
    struct stats *s = arg;

    for (int i = 0; i < SESSIONS; i++) {
        stats_add(s, STAT_ACCEPTED, 1);
        stats_add(s, STAT_CURRENT, 1);
        stats_protocol(s, PROTOCOL_SOCKS5, true);
        stats_protocol(s, PROTOCOL_SOCKS5, false);
        stats_sub(s, STAT_CURRENT, 1);
        stats_closed(s, OUTCOME_OK, (uint64_t)i);
    }
    return NULL;
}

START_TEST(readers_see_counters_rise_and_all_of_them_in_the_end)
{
    struct stats *s = make();
    pthread_t writer;
    uint64_t last = 0;

    ck_assert_int_eq(pthread_create(&writer, NULL, live, s), 0);
    while (last < SESSIONS) {
        struct stats_snapshot sum = sum_of(s);

        ck_assert_uint_ge(sum.histogram[HISTOGRAM_SESSION].count, last);
        last = sum.histogram[HISTOGRAM_SESSION].count;
    }
    ck_assert_int_eq(pthread_join(writer, NULL), 0);
    struct stats_snapshot sum = sum_of(s);
    ck_assert_uint_eq(sum.value[STAT_ACCEPTED], SESSIONS);
    ck_assert_uint_eq(sum.value[STAT_CURRENT], 0);
    ck_assert_uint_eq(sum.closed[REASON_CLIENT_EOF], SESSIONS);
    ck_assert_uint_eq(sum.protocol_current[PROTOCOL_SOCKS5], 0);
    stats_free(s);
}
END_TEST

START_TEST(a_lasting_difference_stays_visible)
{
    struct stats *s = make();

    stats_add(s, STAT_ACCEPTED, 3);
    stats_closed(s, OUTCOME_OK, 1);
    struct stats_snapshot sum = sum_of(s);
    ck_assert_uint_eq(sum.value[STAT_ACCEPTED], 3);
    ck_assert_uint_eq(sum.value[STAT_CURRENT], 0);
    stats_free(s);
}
END_TEST

START_TEST(paths_are_distinct_and_speak_the_conventions)
{
    for (unsigned i = 0; i < STAT_COUNT; i++) {
        const char *path = stat_path((enum stat_id)i);

        ck_assert_ptr_nonnull(path);
        ck_assert_uint_eq(strspn(path, "abcdefghijklmnopqrstuvwxyz_.0123456789"), strlen(path));
        ck_assert_ptr_nonnull(strchr(path, '.'));
        for (unsigned j = 0; j < i; j++)
            ck_assert_str_ne(path, stat_path((enum stat_id)j));
    }
}
END_TEST

int main(void)
{
    Suite *s = suite_create("stats");
    TCase *t = tcase_create("stats");

    tcase_set_timeout(t, 60);
    tcase_add_test(t, new_stats_are_zero_and_on_a_cache_line_of_their_own);
    tcase_add_test(t, every_counter_counts_itself_only);
    tcase_add_test(t, gauges_go_down_and_wrap_over_workers);
    tcase_add_test(t, nothing_happens_without_stats);
    tcase_add_test(t, a_closed_session_counts_by_reason_outcome_and_duration);
    tcase_add_test(t, protocols_count_current_and_total);
    tcase_add_test(t, sums_add_workers_and_keep_the_greatest_maximum);
    tcase_add_test(t, a_percentile_is_at_most_an_eighth_off);
    tcase_add_test(t, zero_counts_and_longer_than_the_last_bucket_saturates);
    tcase_add_test(t, ranks_are_the_textbook_ones);
    tcase_add_test(t, no_percentile_exceeds_the_maximum);
    tcase_add_test(t, readers_see_counters_rise_and_all_of_them_in_the_end);
    tcase_add_test(t, a_lasting_difference_stays_visible);
    tcase_add_test(t, paths_are_distinct_and_speak_the_conventions);
    suite_add_tcase(s, t);
    return runner_main(s);
}
