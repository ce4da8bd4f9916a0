/* SPDX-License-Identifier: MIT */
/* The resolver's questions in flight: shared, cancelled, closed, carried over a reload, failing
 * at every step. */
#include "fakeclock.h"
#include "fault.h"
#include "fault_calls.h"
#include "resolver_fixture.h"
#include "runner.h"

/* ---- Sharing and cancelling ---- */

START_TEST(equal_questions_share_one_query)
{
    ck_assert(ask(&t.asker[0], "one.example.net", ADDR_IPV4));
    ck_assert(ask(&t.asker[1], "ONE.Example.net", ADDR_IPV4));
    ck_assert(ask(&t.asker[2], "one.example.net", ADDR_IPV6));
    ck_assert_uint_eq(count(STAT_DNS_INFLIGHT), 2);
    for (int i = 0; i < 3; i++)
        wait_for(&t.asker[i]);
    ck_assert_uint_eq(t.dnsd.asked, 2);
    ck_assert_int_eq(t.asker[1].answer.why, OUTCOME_OK);
}
END_TEST

START_TEST(one_cancels_and_the_others_are_told) /* each of three in turn */
{
    for (int i = 0; i < 3; i++)
        ck_assert(ask(&t.asker[i], "one.example.net", ADDR_IPV4));
    resolver_cancel(t.resolver, t.asker[_i].lookup);
    for (int i = 0; i < 3; i++) {
        if (i != _i)
            wait_for(&t.asker[i]);
    }
    ck_assert_uint_eq(t.asker[_i].calls, 0);
}
END_TEST

START_TEST(a_cancelled_question_still_fills_the_cache)
{
    ck_assert(ask(&t.asker[0], "one.example.net", ADDR_IPV4));
    resolver_cancel(t.resolver, t.asker[0].lookup);
    while (!known("one.example.net", ADDR_IPV4))
        turn();
    ck_assert_uint_eq(t.asker[0].calls, 0);
}
END_TEST

START_TEST(a_settled_answer_can_be_cancelled)
{
    ck_assert(ask(&t.asker[0], "localhost", ADDR_IPV4));
    ck_assert(ask(&t.asker[1], "localhost", ADDR_IPV4));
    resolver_cancel(t.resolver, t.asker[0].lookup);
    wait_for(&t.asker[1]);
    ck_assert_uint_eq(t.asker[0].calls, 0);
}
END_TEST

START_TEST(queries_in_flight_are_bounded)
{
    char name[64];

    for (unsigned i = 0; i < t.cfg.inflight_max; i++) {
        (void)snprintf(name, sizeof name, "silent%u.example.net", i);
        ck_assert(ask(&t.asker[0], name, ADDR_IPV4));
        resolver_cancel(t.resolver, t.asker[0].lookup); /* takes nothing off the wire */
    }
    ck_assert(!ask(&t.asker[0], "one.example.net", ADDR_IPV4));
    ck_assert(!ask_ptr(&t.asker[0], "192.0.2.7"));
    ck_assert(ask(&t.asker[1], name, ADDR_IPV4)); /* shares one */
    resolver_cancel(t.resolver, t.asker[1].lookup);
    ck_assert_int_eq(resolve("localhost", ADDR_IPV4)->why, OUTCOME_OK); /* needs none */
    ck_assert_uint_eq(count(STAT_DNS_INFLIGHT), t.cfg.inflight_max);
}
END_TEST

static void on_answer_then(void *arg, const struct resolver_answer *a)
{
    on_answer(arg, a);
    resolver_cancel(t.resolver, t.asker[1].lookup);                   /* of the same query */
    t.asker[2].lookup = resolver_start(t.resolver, "one.example.net", /* known by now */
                                       ADDR_IPV4, on_answer, &t.asker[2]);
    t.asker[3].lookup =
        resolver_start(t.resolver, "two.example.net", ADDR_IPV4, on_answer, &t.asker[3]);
}

START_TEST(a_callback_may_cancel_and_start_others)
{
    ck_assert(ask(&t.asker[1], "one.example.net", ADDR_IPV4));
    t.asker[0].lookup =
        resolver_start(t.resolver, "one.example.net", ADDR_IPV4, on_answer_then, &t.asker[0]);
    wait_for(&t.asker[0]);
    wait_for(&t.asker[2]);
    wait_for(&t.asker[3]);
    ck_assert_uint_eq(t.asker[1].calls, 0);
    ck_assert_uint_eq(t.dnsd.asked, 2);
}
END_TEST

static void on_answer_close(void *arg, const struct resolver_answer *a)
{
    on_answer(arg, a);
    resolver_close(t.resolver);
}

START_TEST(a_callback_may_close)
{
    struct asker *k = &t.asker[0];

    begin();
    open_resolver();
    k->lookup = resolver_start(t.resolver, _i == 0 ? "one.example.net" : "localhost", ADDR_IPV4,
                               on_answer_close, k);
    wait_for(k);
    end();
}
END_TEST

START_TEST(closing_forgets_what_nobody_waits_for)
{
    begin();
    open_resolver();
    ck_assert(ask(&t.asker[0], "silent.example.net", ADDR_IPV4));
    ck_assert(ask(&t.asker[1], "localhost", ADDR_IPV4));
    resolver_cancel(t.resolver, t.asker[0].lookup);
    resolver_cancel(t.resolver, t.asker[1].lookup);
    for (int i = 0; i < _i; i++)
        (void)uv_run(&t.loop, UV_RUN_NOWAIT);
    resolver_close(t.resolver);
    end();
    ck_assert_uint_eq(t.asker[0].calls + t.asker[1].calls, 0);
}
END_TEST

START_TEST(a_question_for_a_name_can_be_cancelled)
{
    ck_assert(ask_ptr(&t.asker[0], "192.0.2.7"));
    ck_assert(ask_ptr(&t.asker[1], "192.0.2.7"));
    resolver_cancel(t.resolver, t.asker[0].lookup);
    wait_for(&t.asker[1]);
    ck_assert_uint_eq(t.asker[0].calls, 0);
    ck_assert_uint_eq(t.dnsd.asked, 1);
}
END_TEST

/* ---- Reload ---- */

static void on_handle(uv_handle_t *h, void *arg)
{
    (void)h;
    (*(unsigned *)arg)++;
}

static unsigned handles(void)
{
    unsigned n = 0;

    uv_walk(&t.loop, on_handle, &n);
    return n;
}

static void on_new_question(void *arg, const struct dnsd_question *q, struct dnsd_reply *r)
{
    (void)arg;
    dnsd_a(r, q->name, TTL_S, 99);
}

START_TEST(a_reload_asks_the_new_servers_and_lets_the_old_finish)
{
    dnsd_start(&t.next, &t.loop, on_new_question, NULL);
    unsigned before = handles();
    (void)resolve("two.example.net", ADDR_IPV4);
    ck_assert(ask(&t.asker[0], "one.example.net", ADDR_IPV4));
    point_at(t.next.port);
    ck_assert_int_eq(resolver_configure(t.resolver, &t.cfg), 0);
    ck_assert(!known("two.example.net", ADDR_IPV4)); /* other servers, other answers */
    expect_addr(&resolve("two.example.net", ADDR_IPV4)->addr[0], "192.0.2.99");
    wait_for(&t.asker[0]);
    expect_addr(&t.asker[0].answer.addr[0], "192.0.2.1");
    ck_assert(!known("one.example.net", ADDR_IPV4)); /* an old server's answer is not kept */
    while (uv_loop_alive(&t.loop))
        turn();
    ck_assert_uint_eq(handles(), before); /* the old channel has gone, not only at the end */
    dnsd_stop(&t.next);
}
END_TEST

/* ---- Faults ---- */

/* Everything once, taking failures as they come: whoever was told "started" is told an answer.
 */
static void whole_life(void)
{
    static const char *const name[] = {"one.example.net", "big.example.net", "localhost",
                                       "one.example.net"};
    bool started[ASKERS_MAX] = {false};
    struct resolver_answer a;

    if (resolver_open(&t.loop, &t.cfg, t.stats, &t.resolver) != 0)
        return;
    for (size_t i = 0; i < ARRAY_LEN(name); i++)
        started[i] = ask(&t.asker[i], name[i], ADDR_IPV4);
    started[4] = ask_ptr(&t.asker[4], "192.0.2.7");
    (void)!resolver_configure(t.resolver, &t.cfg); /* either way it goes on */
    started[5] = ask(&t.asker[5], "two.example.net", ADDR_IPV6);
    for (int i = 0; i < 6; i++) {
        while (started[i] && t.asker[i].calls == 0)
            turn();
        ck_assert_uint_eq(t.asker[i].calls, started[i]);
    }
    (void)resolver_cached(t.resolver, "one.example.net", ADDR_IPV4, &a);
    resolver_close(t.resolver);
}

START_TEST(any_allocation_may_fail)
{
    unsigned n = 1;

    for (;; n++) {
        begin();
        t.cfg.timeout_ms = 50;
        fault_after(n);
        whole_life();
        bool hit = fault_hit();
        end();
        if (!hit)
            break;
    }
    ck_assert_uint_gt(n, 15);
}
END_TEST

START_TEST(any_call_may_fail)
{
    static const enum fault_call call[] = {
        FAULT_socket,       FAULT_connect,       FAULT_setsockopt,
        FAULT_sendmsg,      FAULT_recvfrom,      FAULT_uv_timer_init,
        FAULT_uv_poll_init, FAULT_uv_poll_start, FAULT_open};

    for (size_t i = 0; i < ARRAY_LEN(call); i++) {
        for (unsigned n = 1;; n++) {
            begin();
            t.cfg.timeout_ms = 50;
            fault_call_after(call[i], n, call[i] == FAULT_recvfrom ? ECONNREFUSED : ENOMEM);
            whole_life();
            bool hit = fault_call_hit(call[i]);
            end();
            if (!hit)
                break;
        }
    }
}
END_TEST

START_TEST(no_fds_is_told_from_the_loop)
{
    fault_call_always(FAULT_socket, EMFILE);
    ck_assert_int_ne(resolve("one.example.net", ADDR_IPV4)->why, OUTCOME_OK);
    fault_calls_reset();
    fakeclock_advance(1000);
    ck_assert_int_eq(resolve("one.example.net", ADDR_IPV4)->why, OUTCOME_OK);
}
END_TEST

int main(void)
{
    Suite *s = suite_create("resolver_life");
    TCase *c = tcase_create("sharing"), *own = tcase_create("life");

    tcase_add_checked_fixture(c, setup, teardown);
    tcase_add_test(c, equal_questions_share_one_query);
    tcase_add_loop_test(c, one_cancels_and_the_others_are_told, 0, 3);
    tcase_add_test(c, a_cancelled_question_still_fills_the_cache);
    tcase_add_test(c, a_settled_answer_can_be_cancelled);
    tcase_add_test(c, queries_in_flight_are_bounded);
    tcase_add_test(c, a_callback_may_cancel_and_start_others);
    tcase_add_test(c, a_question_for_a_name_can_be_cancelled);
    tcase_add_test(c, a_reload_asks_the_new_servers_and_lets_the_old_finish);
    tcase_add_test(c, no_fds_is_told_from_the_loop);
    suite_add_tcase(s, c);
    tcase_set_timeout(own, 60);
    tcase_add_loop_test(own, a_callback_may_close, 0, 2);
    tcase_add_loop_test(own, closing_forgets_what_nobody_waits_for, 0, 3);
    tcase_add_test(own, any_allocation_may_fail);
    tcase_add_test(own, any_call_may_fail);
    suite_add_tcase(s, own);
    return runner_main(s);
}
