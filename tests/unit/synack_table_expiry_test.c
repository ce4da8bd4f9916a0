/* SPDX-License-Identifier: MIT */
#include "runner.h"
#include "synack_play.h"

START_TEST(held_packets_pass_when_their_class_of_time_is_up)
{
    struct synack_table *t = make(4);
    struct synack_key tcp = claimed(t, nth(1)), mptcp = claimed(t, nth(2));

    ck_assert_int_eq(arrive_at(t, tcp, packet(1, false), NOW), SYNACK_HOLD);
    ck_assert_int_eq(arrive_at(t, mptcp, packet(2, true), NOW), SYNACK_HOLD);
    expires(t, NOW + MPTCP_MS - 1, 0, false);
    expires(t, NOW + MPTCP_MS, 2, false);
    counts(t, 2, 1);
    expires(t, NOW + TCP_MS - 1, 0, false);
    expires(t, NOW + TCP_MS, 1, false);
    ck_assert_int_eq(arrive(t, tcp, 3), SYNACK_PASS);
    owes_nothing(t, tcp, SYNACK_DECIDE_REFUSE, true);
    ck_assert_int_eq(arrive(t, tcp, 4), SYNACK_PASS); /* it is confirmed, whatever was wanted */
    owes_nothing(t, tcp, SYNACK_DECIDE_REFUSE, false); /* said once */
    owes_nothing(t, mptcp, SYNACK_DECIDE_PASS, true);
    forget(t, tcp);
    forget(t, mptcp);
    done(t);
}
END_TEST

START_TEST(time_counts_from_the_packet_not_from_the_claim)
{
    struct synack_table *t = make(4);

    ck_assert_int_eq(orphan_at(t, nth(1), packet(1, true), NOW), SYNACK_HOLD);
    struct synack_key k = nth(1);
    ck_assert(synack_table_claim(t, &k, NOW + ORPHAN_MS - 1));
    expires(t, NOW + MPTCP_MS - 1, 0, false);
    expires(t, NOW + MPTCP_MS, 1, false);
    forget(t, k);
    done(t);
}
END_TEST

START_TEST(orphans_pass_when_nobody_claims_them)
{
    struct synack_table *t = make(4);

    ck_assert_int_eq(orphan(t, nth(1), 1), SYNACK_HOLD);
    expires(t, NOW + ORPHAN_MS - 1, 0, false);
    expires(t, NOW + ORPHAN_MS, 1, false);
    counts(t, 1, 0);
    ck_assert_int_eq(arrive(t, nth(1), 2), SYNACK_PASS);
    ck_assert_int_eq(orphan(t, nth(1), 2), SYNACK_PASS);
    expires(t, NOW + ORPHAN_MS + LATE_MS - 1, 0, false);
    counts(t, 1, 0);
    expires(t, NOW + ORPHAN_MS + LATE_MS, 0, false);
    done(t);
}
END_TEST

START_TEST(a_claim_after_an_orphan_passed_learns_so)
{
    struct synack_table *t = make(4);

    ck_assert_int_eq(orphan(t, nth(1), 1), SYNACK_HOLD);
    expires(t, NOW + ORPHAN_MS, 1, false);
    struct synack_key k = claimed(t, nth(1));
    expires(t, NOW + 10 * TCP_MS, 0, false); /* claimed: it ends with forget() only */
    counts(t, 1, 0);
    owes_nothing(t, k, SYNACK_DECIDE_REFUSE, true);
    forget(t, k);
    done(t);
}
END_TEST

START_TEST(a_clock_that_lags_behind_expires_nothing)
{
    struct synack_table *t = make(4);

    ck_assert_int_eq(orphan(t, nth(1), 1), SYNACK_HOLD);
    expires(t, NOW - 1, 0, false);
    expires(t, 0, 0, false);
    counts(t, 1, 1);
    synack_table_free(t); /* entries too */
}
END_TEST

START_TEST(expiry_is_in_order_and_complete)
{
    enum { COUNT = 500 };
    struct synack_table *t = make(COUNT);
    struct synack_held out;
    unsigned seen = 0;

    for (uint32_t i = 0; i < COUNT; i++)
        ck_assert_int_eq(orphan_at(t, nth(i), packet(i, false), NOW + i), SYNACK_HOLD);
    for (uint32_t i = 0; i < COUNT; i++) {
        ck_assert(synack_table_expire(t, 0, 1, NOW + i + ORPHAN_MS, &out));
        ck_assert_uint_eq(out.id, i);
        ck_assert(!synack_table_expire(t, 0, 1, NOW + i + ORPHAN_MS, &out));
        seen++;
    }
    ck_assert_uint_eq(seen, COUNT);
    counts(t, COUNT, 0);
    expires(t, NOW + COUNT + ORPHAN_MS + LATE_MS, 0, false);
    done(t);
}
END_TEST

START_TEST(expiry_may_be_shared_by_shards)
{
    enum { COUNT = 1000, WORKERS = 3 };
    struct synack_table *t = make(COUNT);
    struct synack_held out;
    bool seen[COUNT] = {false};
    unsigned of[WORKERS] = {0};

    for (uint32_t i = 0; i < COUNT; i++)
        ck_assert_int_eq(orphan(t, nth(i), i), SYNACK_HOLD);
    for (unsigned w = 0; w < WORKERS; w++) {
        while (synack_table_expire(t, w, WORKERS, NOW + ORPHAN_MS, &out)) {
            ck_assert(!seen[out.id]);
            seen[out.id] = true;
            of[w]++;
        }
        ck_assert_uint_gt(of[w], 0);
    }
    ck_assert_uint_eq(of[0] + of[1] + of[2], COUNT);
    ck_assert(!synack_table_expire(t, 100000, 1, NOW + ORPHAN_MS, &out)); /* no such shard */
    expires(t, NOW + ORPHAN_MS + LATE_MS, 0, false);
    ck_assert(!synack_table_expire(t, 0, 0, NOW, &out)); /* a step of 0 ends, too */
    done(t);
}
END_TEST

int main(void)
{
    Suite *s = suite_create("synack_table_expiry");
    TCase *c = tcase_create("synack_table_expiry");

    tcase_add_test(c, held_packets_pass_when_their_class_of_time_is_up);
    tcase_add_test(c, time_counts_from_the_packet_not_from_the_claim);
    tcase_add_test(c, orphans_pass_when_nobody_claims_them);
    tcase_add_test(c, a_claim_after_an_orphan_passed_learns_so);
    tcase_add_test(c, a_clock_that_lags_behind_expires_nothing);
    tcase_add_test(c, expiry_is_in_order_and_complete);
    tcase_add_test(c, expiry_may_be_shared_by_shards);
    suite_add_tcase(s, c);
    return runner_main(s);
}
