/* SPDX-License-Identifier: MIT */
/* A target that is a name: lookups, several attempts, cancelling in every state, faults at
 * every step. */
#include "connector_fixture.h"
#include "fault.h"
#include "fault_calls.h"
#include "runner.h"

/* ---- Names ---- */

START_TEST(a_known_name_is_connected_to)
{
    static const char *const addr[] = {"127.0.0.1"};

    know(NULL, 0, addr, 1);
    ck_assert(start("Example.net"));
    expect_connected("127.0.0.1");
    ck_assert_str_eq(t.resolver.name, "Example.net");
    ck_assert_str_eq(t.checked_name, "Example.net");
    ck_assert_uint_eq(t.resolver.started, 0);
}
END_TEST

START_TEST(lookups_run_together_and_the_winner_cancels_the_rest)
{
    static const char *const addr[] = {"127.0.0.1"};
    struct resolver_answer a = fakeresolver_answer(OUTCOME_OK, addr, 1);

    ck_assert(start("example.net"));
    ck_assert_uint_eq(t.resolver.started, 2);
    ck_assert(fakeresolver_tell(&t.resolver, ADDR_IPV4, &a)); /* IPv6 stays silent */
    expect_connected("127.0.0.1");
    ck_assert_uint_eq(t.resolver.cancelled, 1);
}
END_TEST

START_TEST(a_mapped_address_counts_as_ipv4)
{
    static const char *const addr[] = {"::ffff:127.0.0.1"};
    struct resolver_answer a = fakeresolver_answer(OUTCOME_OK, addr, 1);

    a.addr[0] = addr_ipv6((const uint8_t[16]){[10] = 0xff, [11] = 0xff, 127, 0, 0, 1}, 0);
    fakeresolver_know(&t.resolver, ADDR_IPV6, &a);
    deny("127.0.0.1");
    a = fakeresolver_answer(OUTCOME_NAME_NOT_FOUND, NULL, 0);
    fakeresolver_know(&t.resolver, ADDR_IPV4, &a);
    ck_assert(start("example.net"));
    expect_failure(OUTCOME_DENIED);
    ck_assert(nothing_arrived(t.listener));
}
END_TEST

START_TEST(a_name_cannot_smuggle_a_denied_address_in)
{
    static const char *const addr[] = {"127.0.0.1"};

    deny("127.0.0.1");
    know(NULL, 0, addr, 1);
    ck_assert(start("example.net"));
    expect_failure(OUTCOME_DENIED);
    ck_assert(nothing_arrived(t.listener));
    ck_assert_int_eq(t.denied_by, ACL_CAUSE_DEFAULT_PRIVATE);
}
END_TEST

START_TEST(after_a_denied_address_the_next_is_tried)
{
    static const char *const addr[] = {"127.0.0.2", "127.0.0.1"};

    deny("127.0.0.2");
    know(NULL, 0, addr, 2);
    ck_assert(start("example.net"));
    expect_connected("127.0.0.1");
    ck_assert_uint_eq(count(STAT_ACL_DEFAULT_PRIVATE), 1);
    ck_assert_uint_eq(t.checks, 2);
}
END_TEST

START_TEST(a_silent_address_is_overtaken_and_closed)
{
    static const char *const addr[] = {"127.0.0.3", "127.0.0.1"};
    int filler[4], hole = black_hole(filler);
    size_t fds = open_fds();

    know(NULL, 0, addr, 2);
    ck_assert(start("example.net"));
    ck_assert_uint_eq(open_fds(), fds + 1);
    expect_connected("127.0.0.1");
    ck_assert_uint_eq(open_fds(), fds);
    ck_assert_uint_eq(count(STAT_CONNECT_ATTEMPTS), 2);
    ck_assert_uint_eq(count(STAT_CONNECT_SUCCESS), 1);
    fill_in(hole, filler);
}
END_TEST

START_TEST(the_most_telling_failure_of_all_attempts_is_told)
{
    static const char *const addr[] = {"127.0.0.2", "127.0.0.4", "127.0.0.5"};

    know(NULL, 0, addr, 3); /* nobody listens there */
    fault_call_after(FAULT_connect, 1, ENETUNREACH);
    ck_assert(start("example.net"));
    expect_failure(OUTCOME_REFUSED);
    ck_assert_uint_eq(count(STAT_CONNECT_ATTEMPTS), 3);
}
END_TEST

START_TEST(a_name_without_addresses_is_told_from_the_loop)
{
    know(NULL, 0, NULL, 0);
    ck_assert(start("example.net"));
    expect_failure(OUTCOME_NAME_NOT_FOUND);
}
END_TEST

START_TEST(late_failures_of_lookups_are_told)
{
    struct resolver_answer none = fakeresolver_answer(OUTCOME_NAME_NOT_FOUND, NULL, 0);
    struct resolver_answer broken = fakeresolver_answer(OUTCOME_RESOLVER_FAILED, NULL, 0);

    ck_assert(start("example.net"));
    ck_assert(fakeresolver_tell(&t.resolver, ADDR_IPV6, &none));
    ck_assert_uint_eq(t.calls, 0);
    ck_assert(fakeresolver_tell(&t.resolver, ADDR_IPV4, &broken));
    expect_failure(OUTCOME_RESOLVER_FAILED);
}
END_TEST

START_TEST(a_resolver_that_is_full_is_lack_of_resources)
{
    t.resolver.full = true;
    ck_assert(start("example.net"));
    expect_failure(OUTCOME_NO_RESOURCES);
}
END_TEST

/* ---- Cancelling ---- */

/* Stops after _i turns of the loop, for every kind of wait there is. */
static void cancel_after(int turns)
{
    for (int i = 0; i < turns && t.calls == 0; i++)
        poller_run(&t.poller, UV_RUN_NOWAIT);
    if (t.calls == 0) {
        connector_cancel(t.connector);
        for (int i = 0; i < 3; i++)
            poller_run(&t.poller, UV_RUN_NOWAIT);
        ck_assert_uint_eq(t.calls, 0);
    } else if (t.why.why == OUTCOME_OK) {
        drop_connection();
    }
    ck_assert(!uv_loop_alive(&t.loop)); /* no timer is left */
}

START_TEST(an_address_can_be_cancelled)
{
    ck_assert(start("127.0.0.1"));
    cancel_after(_i);
}
END_TEST

START_TEST(a_failure_not_told_yet_can_be_cancelled)
{
    deny("127.0.0.1");
    ck_assert(start("127.0.0.1"));
    cancel_after(_i);
    know(NULL, 0, NULL, 0);
    ck_assert(start("example.net"));
    cancel_after(_i);
}
END_TEST

START_TEST(lookups_can_be_cancelled)
{
    struct resolver_answer none = fakeresolver_answer(OUTCOME_NAME_NOT_FOUND, NULL, 0);

    ck_assert(start("example.net"));
    cancel_after(_i);
    ck_assert_uint_eq(t.resolver.cancelled, 2);
    ck_assert(start("example.net"));
    ck_assert(fakeresolver_tell(&t.resolver, ADDR_IPV4, &none));
    cancel_after(_i);
    ck_assert_uint_eq(t.resolver.cancelled, 3);
}
END_TEST

START_TEST(the_resolution_delay_can_be_cancelled)
{
    static const char *const addr[] = {"127.0.0.1"};
    struct resolver_answer a = fakeresolver_answer(OUTCOME_OK, addr, 1);

    ck_assert(start("example.net"));
    ck_assert(fakeresolver_tell(&t.resolver, ADDR_IPV4, &a));
    cancel_after(_i);
}
END_TEST

START_TEST(running_attempts_can_be_cancelled)
{
    static const char *const addr[] = {"127.0.0.3", "::ffff:127.0.0.3", "127.0.0.1"};
    int filler[4], hole = black_hole(filler);
    struct target target = target_of("example.net", t.port);
    struct connector_request req = request_of(&target);

    req.eyeballs.attempt_delay_ms = (uint32_t)(_i % 2) * 1000; /* 0: all at once */
    know(NULL, 0, addr, 3);
    ck_assert(start_request(&req));
    cancel_after(_i / 2);
    fill_in(hole, filler);
}
END_TEST

/* ---- Faults ---- */

/* A name with a denied, a refusing and a good address, and an address: whoever was started is
 * told. */
static void whole_life(void)
{
    static const char *const addr[] = {"127.0.0.9", "127.0.0.2", "127.0.0.1"};
    static const char *const host[] = {"127.0.0.1", "::1", "127.0.0.9", "example.net"};
    struct resolver_answer a = fakeresolver_answer(OUTCOME_OK, addr, 3);
    struct resolver_answer none = fakeresolver_answer(OUTCOME_NAME_NOT_FOUND, NULL, 0);

    t.denied_count = 0;
    deny("127.0.0.9");
    fakeresolver_know(&t.resolver, ADDR_IPV6, &none);
    for (size_t i = 0; i < ARRAY_LEN(host); i++) {
        if (!start(host[i]))
            continue;
        (void)fakeresolver_tell(&t.resolver, ADDR_IPV4, &a);
        wait_done();
        if (t.why.why == OUTCOME_OK)
            drop_connection();
    }
    poller_run(&t.poller, UV_RUN_DEFAULT);
}

START_TEST(any_allocation_may_fail)
{
    unsigned n = 1;

    for (;; n++) {
        fault_after(n);
        whole_life();
        if (!fault_hit())
            break;
        fault_reset();
        ck_assert_uint_eq(open_fds(), t.fds);
    }
    ck_assert_uint_gt(n, 6);
}
END_TEST

START_TEST(any_call_may_fail)
{
    static const enum fault_call call[] = {
        FAULT_socket,  FAULT_setsockopt, FAULT_connect,      FAULT_epoll_ctl,
        FAULT_recvmsg, FAULT_getsockopt, FAULT_uv_timer_init};

    for (size_t i = 0; i < ARRAY_LEN(call); i++) {
        unsigned n = 1;
        for (;; n++) {
            fault_call_after(call[i], n, ENOMEM);
            whole_life();
            if (!fault_call_hit(call[i]))
                break;
            fault_calls_reset();
            ck_assert_uint_eq(open_fds(), t.fds);
        }
        ck_assert_uint_gt(n, 1);
    }
}
END_TEST

int main(void)
{
    Suite *s = suite_create("connector_names");
    TCase *c = tcase_create("connector_names");

    tcase_add_checked_fixture(c, setup, teardown);
    tcase_add_test(c, a_known_name_is_connected_to);
    tcase_add_test(c, lookups_run_together_and_the_winner_cancels_the_rest);
    tcase_add_test(c, a_mapped_address_counts_as_ipv4);
    tcase_add_test(c, a_name_cannot_smuggle_a_denied_address_in);
    tcase_add_test(c, after_a_denied_address_the_next_is_tried);
    tcase_add_test(c, a_silent_address_is_overtaken_and_closed);
    tcase_add_test(c, the_most_telling_failure_of_all_attempts_is_told);
    tcase_add_test(c, a_name_without_addresses_is_told_from_the_loop);
    tcase_add_test(c, late_failures_of_lookups_are_told);
    tcase_add_test(c, a_resolver_that_is_full_is_lack_of_resources);
    tcase_add_loop_test(c, an_address_can_be_cancelled, 0, 4);
    tcase_add_loop_test(c, a_failure_not_told_yet_can_be_cancelled, 0, 4);
    tcase_add_loop_test(c, lookups_can_be_cancelled, 0, 4);
    tcase_add_loop_test(c, the_resolution_delay_can_be_cancelled, 0, 4);
    tcase_add_loop_test(c, running_attempts_can_be_cancelled, 0, 8);
    tcase_add_test(c, any_allocation_may_fail);
    tcase_add_test(c, any_call_may_fail);
    suite_add_tcase(s, c);
    return runner_main(s);
}
