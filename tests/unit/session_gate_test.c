/* SPDX-License-Identifier: MIT */
/* Requests in a SYN whose sender has not shown to be there: nothing is dialled for a stranger
 * (RFC 8803 s9.3), and nothing is written to an MPTCP socket (trap T1), before the third ACK.
 */
#include "enginebench.h"
#include "fakeclock.h"
#include "forger.h"
#include "runner.h"
#include <string.h>

#define STRANGER "{\"clients\": {\"allow\": [\"203.0.113.0/24\"], \"trusted\": []}}"
#define FRIEND \
    "{\"clients\": {\"allow\": [\"203.0.113.0/24\"], \"trusted\": [\"203.0.113.0/24\"]}}"

static struct enginebench b;
static struct forger f;
static int listener;

static void request_in_syn(const char *changes, bool mptcp)
{
    uint8_t opening[3 + ENGINEBENCH_REQUEST_LEN] = {5, 1, 0};
    uint16_t port = 0;

    enginebench_start(&b, changes);
    listener = rawnet_listen(&port, false);
    enginebench_request(opening + 3, port);
    ck_assert(forger_open(&f, b.port, mptcp));
    forger_syn(&f, opening, sizeof opening);
}

static void end(void)
{
    enginebench_until_idle(&b);
    forger_close(&f);
    rawnet_close(listener);
    enginebench_end(&b);
}

static bool answered(void *arg)
{
    (void)arg;
    (void)forger_hear(&f);
    return f.heard >= 12;
}

/* An MPTCP socket outlives the reset of its only subflow for a while: it is not waited for. */
static void stop_and_end(void)
{
    session_stop(enginebench_session(&b), OUTCOME_DRAINED);
    end();
}

START_TEST(a_strangers_request_waits_for_the_third_ack)
{
    request_in_syn(STRANGER, _i != 0);
    enginebench_until_state(&b, SESSION_GATE);
    for (int i = 0; i < 3; i++)
        enginebench_turn(&b);
    ck_assert_int_eq(rawnet_accept(listener), -1); /* nobody was dialled */
    ck_assert_uint_eq(enginebench_stat(&b, STAT_CONNECT_ATTEMPTS), 0);
    ck_assert_uint_eq(enginebench_stat(&b, STAT_GATE_WAITS), 1);
    ck_assert_uint_eq(enginebench_stat(&b, STAT_SYN_DATA), 1);
    ck_assert(forger_hear(&f));
    forger_ack(&f);
    enginebench_until(&b, answered, NULL);
    ck_assert_int_eq(enginebench_session(&b)->state, SESSION_RELAY);
    int origin = rawnet_accept(listener);
    ck_assert_int_ge(origin, 0);
    rawnet_close(origin);
    stop_and_end();
}
END_TEST

START_TEST(a_friends_request_is_dialled_at_once_and_answered_when_it_may_be)
{
    bool mptcp = _i != 0;

    request_in_syn(FRIEND, mptcp);
    enginebench_until_state(&b, SESSION_RELAY);
    for (int i = 0; i < 3; i++)
        enginebench_turn(&b);
    ck_assert(forger_hear(&f));
    struct session *s = enginebench_session(&b);
    ck_assert_int_eq(s->client.mptcp, mptcp);
    ck_assert_int_eq(s->client.hold, mptcp);
    if (mptcp) {
        ck_assert_uint_eq(f.heard, 0);
        ck_assert(!s->client.writable);
    }
    forger_ack(&f);
    enginebench_until(&b, answered, NULL);
    ck_assert(!s->client.hold);
    ck_assert_uint_eq(enginebench_stat(&b, STAT_TFO_WAITS), mptcp ? 1 : 0);
    int origin = rawnet_accept(listener);
    rawnet_close(origin);
    stop_and_end();
}
END_TEST

START_TEST(a_gated_session_can_be_stopped)
{
    request_in_syn(STRANGER, _i != 0);
    enginebench_until_state(&b, SESSION_GATE);
    session_stop(enginebench_session(&b), OUTCOME_DRAINED);
    end();
}
END_TEST

START_TEST(a_gated_session_ends_with_a_reset)
{
    request_in_syn(STRANGER, _i != 0);
    enginebench_until_state(&b, SESSION_GATE);
    ck_assert(forger_hear(&f));
    forger_reset(&f);
    enginebench_until_idle(&b);
    ck_assert_uint_eq(enginebench_outcome(&b, OUTCOME_CLIENT_RESET), 1);
    end();
}
END_TEST

START_TEST(a_gated_session_has_a_deadline)
{
    request_in_syn(STRANGER, _i != 0);
    enginebench_until_state(&b, SESSION_GATE);
    fakeclock_advance(UINT64_C(60) * 1000);
    enginebench_until_idle(&b);
    ck_assert_uint_eq(enginebench_outcome(&b, OUTCOME_HANDSHAKE_TIMEOUT), 1);
    end();
}
END_TEST

START_TEST(the_worker_stops_with_a_gated_session)
{
    request_in_syn(STRANGER, _i != 0);
    enginebench_until_state(&b, SESSION_GATE);
    enginebench_stop(&b);
    forger_close(&f);
    rawnet_close(listener);
    enginebench_end(&b);
}
END_TEST

/* The end comes before the third ACK: the leg waits, or the client would never hear of it. */
START_TEST(an_end_is_held_until_the_third_ack)
{
    request_in_syn(FRIEND, true);
    enginebench_until_state(&b, SESSION_RELAY);
    int origin = rawnet_accept(listener);
    ck_assert_int_ge(origin, 0);
    rawnet_send_all(origin, "bye", 3);
    rawnet_shutdown(origin);
    for (int i = 0; i < 3; i++)
        enginebench_turn(&b);
    ck_assert(forger_hear(&f));
    ck_assert_uint_eq(f.heard, 0);
    ck_assert(!f.fin && !f.rst);
    forger_ack(&f);
    enginebench_until(&b, answered, NULL);
    rawnet_close(origin);
    stop_and_end();
}
END_TEST

static bool possible(void)
{
    struct forger probe;
    bool ok = rawnet_own_namespace() && forger_open(&probe, 9, false);

    if (ok)
        forger_close(&probe);
    return ok;
}

int main(void)
{
    if (!possible()) {
        (void)fprintf(stderr, "session_gate: skipped, no raw sockets can be had here\n");
        return 77;
    }
    Suite *s = suite_create("session_gate");
    TCase *c = tcase_create("session_gate");

    tcase_set_timeout(c, 60);
    tcase_add_loop_test(c, a_strangers_request_waits_for_the_third_ack, 0, 2);
    tcase_add_loop_test(c, a_friends_request_is_dialled_at_once_and_answered_when_it_may_be, 0,
                        2);
    tcase_add_loop_test(c, a_gated_session_can_be_stopped, 0, 2);
    tcase_add_loop_test(c, a_gated_session_ends_with_a_reset, 0, 2);
    tcase_add_loop_test(c, a_gated_session_has_a_deadline, 0, 2);
    tcase_add_loop_test(c, the_worker_stops_with_a_gated_session, 0, 2);
    tcase_add_test(c, an_end_is_held_until_the_third_ack);
    suite_add_tcase(s, c);
    return runner_main(s);
}
