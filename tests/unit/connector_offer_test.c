/* SPDX-License-Identifier: MIT */
/* Multipath TCP towards targets, offered and watched: over loopback. What drops MP_CAPABLE and
 * nothing else is in tests/integration/test_server_mptcp.py. */
#include "connector_fixture.h"
#include "fault.h"
#include "fault_calls.h"

enum { SKIPPED = 77 };

static void setup_auto(void)
{
    setup();
    t.offer = (struct offer_policy){.mode = OFFER_MODE_AUTO,
                                    .slow_after_ms = 60,
                                    .slow_ttl_ms = 60000,
                                    .answer_ttl_ms = 60000,
                                    .slow_prefix4 = 32,
                                    .slow_prefix6 = 128};
    t.offers = offer_new(64);
    ck_assert_ptr_nonnull(t.offers);
}

static struct offer_counts remembered(void)
{
    return offer_count(t.offers, uv_now(&t.loop));
}

START_TEST(a_server_that_takes_it_up_is_remembered)
{
    int plain = t.listener;

    t.port = 0;
    t.listener = listen_on("127.0.0.1", &t.port, 4, IPPROTO_MPTCP);
    for (unsigned i = 1; i <= 2; i++) {
        ck_assert(start("127.0.0.1"));
        expect_connected("127.0.0.1");
        ck_assert_uint_eq(count(STAT_UPSTREAM_MPTCP), i);
        ck_assert_uint_eq(count(STAT_MPTCP_OFFERED), i);
    }
    ck_assert_uint_eq(remembered().mptcp, 1);
    ck_assert_uint_eq(count(STAT_SECOND_ATTEMPTS), 0);
    (void)close(t.listener);
    t.listener = plain;
}
END_TEST

START_TEST(a_server_that_does_not_is_spared_it)
{
    for (int i = 0; i < 2; i++) {
        ck_assert(start("127.0.0.1"));
        wait_done();
        ck_assert_int_eq(option(t.up.fd, SOL_SOCKET, SO_PROTOCOL),
                         i == 0 ? IPPROTO_MPTCP : IPPROTO_TCP);
        drop_connection();
    }
    ck_assert_uint_eq(count(STAT_MPTCP_OFFERED), 1);
    ck_assert_uint_eq(count(STAT_MPTCP_DECLINED), 1);
    ck_assert_uint_eq(count(STAT_WITHHELD_PLAIN), 1);
    ck_assert_uint_eq(remembered().plain, 1);
}
END_TEST

START_TEST(a_slow_network_is_dialled_with_tcp)
{
    struct addr a = literal("127.0.0.1");

    a.port = t.port;
    uv_update_time(&t.loop);
    ck_assert(offer_unanswered(t.offers, &t.offer, &a, uv_now(&t.loop)));
    fault_calls_reset();
    ck_assert(start("127.0.0.1"));
    expect_connected("127.0.0.1");
    ck_assert_uint_eq(count(STAT_MPTCP_OFFERED), 0);
    ck_assert_uint_eq(count(STAT_WITHHELD_SLOW), 1);
    ck_assert_uint_eq(fault_call_count(FAULT_uv_timer_init), 0);
}
END_TEST

/* Nobody knows yet whether that was for MP_CAPABLE's sake. */
START_TEST(a_refusal_is_asked_for_twice_when_nothing_is_known)
{
    (void)shutdown(t.listener, SHUT_RDWR);
    ck_assert(start("127.0.0.1"));
    expect_failure(OUTCOME_REFUSED);
    ck_assert_uint_eq(count(STAT_CONNECT_ATTEMPTS), 2);
    ck_assert_uint_eq(count(STAT_SECOND_ATTEMPTS), 1);
    ck_assert_uint_eq(remembered().slow, 0);
}
END_TEST

START_TEST(a_refusal_of_who_has_answered_before_is_believed)
{
    ck_assert(start("127.0.0.1"));
    expect_connected("127.0.0.1");
    (void)shutdown(t.listener, SHUT_RDWR);
    t.port++; /* another port of that host */
    ck_assert(start("127.0.0.1"));
    expect_failure(OUTCOME_REFUSED);
    ck_assert_uint_eq(count(STAT_CONNECT_ATTEMPTS), 2);
    ck_assert_uint_eq(count(STAT_SECOND_ATTEMPTS), 0);
}
END_TEST

static void run_until(enum stat_id which, uint64_t value)
{
    while (count(which) < value)
        poller_run(&t.poller, UV_RUN_ONCE);
}

START_TEST(silence_starts_a_second_attempt)
{
    int filler[4], hole = black_hole(filler);

    ck_assert(start("127.0.0.3"));
    ck_assert_uint_eq(count(STAT_CONNECT_ATTEMPTS), 1);
    uint64_t before = uv_hrtime();
    run_until(STAT_CONNECT_ATTEMPTS, 2);
    ck_assert_uint_ge((uv_hrtime() - before) / 1000000, t.offer.slow_after_ms / 2);
    ck_assert_uint_eq(count(STAT_SECOND_ATTEMPTS), 1);
    ck_assert_uint_eq(t.calls, 0);
    connector_cancel(t.connector);
    ck_assert_uint_eq(remembered().slow, 0);
    fill_in(hole, filler);
}
END_TEST

START_TEST(without_means_for_a_second_the_first_goes_on)
{
    int filler[4], hole = black_hole(filler);

    ck_assert(start("127.0.0.3"));
    fault_call_after(FAULT_socket, 1, EMFILE);
    run_until(STAT_SECOND_ATTEMPTS, 1);
    ck_assert_uint_eq(count(STAT_CONNECT_ATTEMPTS), 1);
    ck_assert_uint_eq(t.calls, 0);
    connector_cancel(t.connector);
    fill_in(hole, filler);
}
END_TEST

START_TEST(a_name_s_addresses_each_have_their_two)
{
    static const char *const ipv4[] = {"127.0.0.3", "127.0.0.1"};
    int filler[4], hole = black_hole(filler);

    know(NULL, 0, ipv4, ARRAY_LEN(ipv4));
    ck_assert(start("host.example"));
    expect_connected("127.0.0.1"); /* after 20 ms; the hole's second would be due after 60 */
    ck_assert_uint_eq(count(STAT_CONNECT_ATTEMPTS), 2);
    ck_assert_uint_eq(count(STAT_MPTCP_OFFERED), 2);
    ck_assert_uint_eq(remembered().slow, 0);
    ck_assert_uint_eq(remembered().plain, 1);
    fill_in(hole, filler);
}
END_TEST

START_TEST(every_failed_allocation_is_survived)
{
    for (unsigned n = 1;; n++) {
        fault_after(n);
        bool started = start("127.0.0.1");
        bool hit = fault_hit();
        fault_reset();
        offer_forget(t.offers);
        if (started)
            wait_done();
        if (started && t.why.why == OUTCOME_OK)
            drop_connection();
        else if (started)
            ck_assert_int_eq(t.why.why, OUTCOME_NO_RESOURCES);
        if (!hit)
            break;
    }
}
END_TEST

int main(void)
{
    Suite *s = suite_create("connector_offer");
    TCase *c = tcase_create("connector_offer");

    if (!mptcp_enabled())
        return SKIPPED;
    tcase_add_checked_fixture(c, setup_auto, teardown);
    tcase_add_test(c, a_server_that_takes_it_up_is_remembered);
    tcase_add_test(c, a_server_that_does_not_is_spared_it);
    tcase_add_test(c, a_slow_network_is_dialled_with_tcp);
    tcase_add_test(c, a_refusal_is_asked_for_twice_when_nothing_is_known);
    tcase_add_test(c, a_refusal_of_who_has_answered_before_is_believed);
    tcase_add_test(c, silence_starts_a_second_attempt);
    tcase_add_test(c, without_means_for_a_second_the_first_goes_on);
    tcase_add_test(c, a_name_s_addresses_each_have_their_two);
    tcase_add_test(c, every_failed_allocation_is_survived);
    suite_add_tcase(s, c);
    return runner_main(s);
}
