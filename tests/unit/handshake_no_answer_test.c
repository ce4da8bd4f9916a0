/* SPDX-License-Identifier: MIT */
/* The server's side of "No answer wanted" (docs/protocol.md): the private element F3 of
 * MP_CONVERT and the private TLV C0 of RFC 8803. Whole conversations, each cut at every octet.
 */
#include "interview_check.h"
#include "runner.h"
#include "vectors.h"

#define TARGET_V4 "faa8faa8 000a0001 c000020a 01bb0000"
#define NO_ANSWER "faa8faa8 f3040000 "
#define EMPTY "faa8faa8 00040001"
#define CONNECT_V4 "0a0501bb 00000000 00000000 0000ffff c000020a"
#define SUPPORTED "15020000 1e220408"

static const struct failure unreachable = {.why = OUTCOME_UNREACHABLE, .detail = 1};
static const struct handshake_success success = {.synack = {.mss = 1460}};

/* The listener is exact when _i is not 0. */
static struct handshake_policy policy_of(int i)
{
    struct handshake_policy p = policy_open();

    p.exact = i != 0;
    return p;
}

static void ck_silent_request(struct interview *v, const char *target)
{
    ck_requested(v, HANDSHAKE_CONNECT, target, "");
    ck_assert(v->h.no_answer);
    ck_assert(!handshake_wants_bound(&v->h) && !handshake_wants_synack(&v->h));
}

static const struct {
    const char *octets, *target, *early;
} silent[] = {
    {NO_ANSWER TARGET_V4, "192.0.2.10:443", ""},
    {"faa8faa8 000a0000 c000020a 01bb0000 faa8faa8 f3040001 4745", "192.0.2.10:443", "4745"},
    {NO_ANSWER "faa8faa8 00080000 c000020a faa8faa8 00080003 c6336407 47", "192.0.2.10:1080",
     "47"},
    {"01072263 c0010000" CONNECT_V4 "4745", "192.0.2.10:443", "4745"},
    {"01072263" CONNECT_V4 "c0010000", "192.0.2.10:443", ""},
    {"01082263 01010000" CONNECT_V4 "c0010000", "192.0.2.10:443", ""},
};
enum { SILENT = sizeof silent / sizeof silent[0] };

START_TEST(success_is_silent_whatever_the_listener_is)
{
    struct handshake_policy p = policy_of(_i % 2);
    struct interview v;

    ck_talk(&v, &p, silent[_i / 2].octets);
    ck_silent_request(&v, silent[_i / 2].target);
    ck_early(&v, silent[_i / 2].early);
    ck_succeed(&v, &success, "");
}
END_TEST

START_TEST(a_failed_dial_is_a_silent_abort)
{
    struct handshake_policy p = policy_of(_i % 2);
    struct interview v;

    ck_talk(&v, &p, silent[_i / 2].octets);
    ck_silent_request(&v, silent[_i / 2].target);
    ck_fail(&v, unreachable, HANDSHAKE_ABORT, "");
}
END_TEST

/* Drafts' and RFC's peers get what they expect, from exact listeners too. */
START_TEST(who_did_not_ask_for_silence_is_answered)
{
    struct handshake_policy p = policy_of(_i);
    struct interview v;

    ck_talk(&v, &p, TARGET_V4);
    ck_assert(!v.h.no_answer);
    ck_succeed(&v, &success, TARGET_V4);
    ck_talk(&v, &p, "01062263" CONNECT_V4);
    ck_assert(!v.h.no_answer && handshake_wants_synack(&v.h));
    ck_succeed(&v, &success, "01032263 14020000 020405b4");
    ck_talk(&v, &p, "01062263" CONNECT_V4);
    ck_fail(&v, unreachable, HANDSHAKE_LINGER, "01022263 1e016101");
    ck_talk(&v, &p, EMPTY);
    ck_assert_int_eq(v.step.action, HANDSHAKE_ANSWERED);
    ck_answers(&v, EMPTY);
    ck_talk(&v, &p, "01022263 01010000");
    ck_assert_int_eq(v.step.action, HANDSHAKE_ANSWERED);
    ck_answers(&v, "01032263" SUPPORTED);
}
END_TEST

/* Octet for octet, reserved bits included; a D=1 element comes back as it always does. */
static const struct {
    const char *probe, *exact, *plain;
} probes[] = {
    {NO_ANSWER EMPTY, NO_ANSWER EMPTY, EMPTY},
    {"faa8faa8 f304a5a4 faa8faa8 00045a59", "faa8faa8 f304a5a4 faa8faa8 00045a59",
     "faa8faa8 00045a59"},
    {"faa8faa8 00040000 faa8faa8 f3040001", "faa8faa8 00040000 faa8faa8 f3040001",
     "faa8faa8 00040000"},
    {"faa8faa8 00040000 faa8faa8 f3040000 faa8faa8 00080003 c6336407",
     "faa8faa8 00040000 faa8faa8 f3040000 faa8faa8 00080003 c6336407",
     "faa8faa8 00040000 faa8faa8 00080003 c6336407"},
    {"01032263 c0010000 01010000", "01042263" SUPPORTED "c0010000", "01032263" SUPPORTED},
    {"01032263 01010000 c0010000", "01042263" SUPPORTED "c0010000", "01032263" SUPPORTED},
};

START_TEST(a_probe_is_told_whether_the_listener_is_exact)
{
    struct handshake_policy p = policy_of(_i % 2);
    struct interview v;

    ck_talk(&v, &p, probes[_i / 2].probe);
    ck_assert_int_eq(v.step.action, HANDSHAKE_ANSWERED);
    ck_answers(&v, p.exact ? probes[_i / 2].exact : probes[_i / 2].plain);
    ck_early(&v, "");
}
END_TEST

/* The client takes the first octet for the target's. */
static const struct {
    const char *octets;
    enum outcome why;
    enum reject reject;
} bad[] = {
    {"faa8faa8 f3040001", OUTCOME_MALFORMED, REJECT_TYPE},
    {NO_ANSWER NO_ANSWER, OUTCOME_MALFORMED, REJECT_DUPLICATE},
    {NO_ANSWER "faa8faa8 000a0003 c633644d 9c410000", OUTCOME_MALFORMED, REJECT_PORT},
    {NO_ANSWER "faa8faa8 00080001 7f000001", OUTCOME_FORBIDDEN_ADDRESS, REJECT_FORBIDDEN},
    {"01022263 c0010000", OUTCOME_MALFORMED, REJECT_CONNECT_LENGTH},
    {"01072263 c0010000 0a0501bb 00000000 00000000 0000ffff 7f000001",
     OUTCOME_FORBIDDEN_ADDRESS, REJECT_FORBIDDEN},
    {"01072263 c0010000 0a050000 00000000 00000000 0000ffff c000020a", OUTCOME_MALFORMED,
     REJECT_PORT},
    {"01082263 c0010000 0a0601bb 00000000 00000000 0000ffff c000020a 1d040000",
     OUTCOME_UNSUPPORTED_OPTION, REJECT_NONE},
    {"01082263 c0010000 0a0601bb 00000000 00000000 0000ffff c000020a 1d010000",
     OUTCOME_MALFORMED, REJECT_FRAMING},
    {"01032263 c0010000 c0010000", OUTCOME_MALFORMED, REJECT_DUPLICATE},
    {"01032263 c0010000 17010000", OUTCOME_UNSUPPORTED_MESSAGE, REJECT_TYPE},
};

START_TEST(a_bad_request_that_wants_no_answer_is_reset)
{
    struct handshake_policy p = policy_of(0);
    struct interview v;

    ck_talk(&v, &p, bad[_i].octets);
    ck_refused(&v, bad[_i].why, bad[_i].reject, HANDSHAKE_ABORT, "");
}
END_TEST

/* RFC 8803 s6.2.7: Error 3 and Error 32 have octets, which a probe may get and a Connect not.
 */
START_TEST(a_missing_cookie_is_a_reset_but_an_error_for_a_probe)
{
    struct handshake_policy p = policy_users();
    struct interview v;

    ck_talk(&v, &p, "01072263 c0010000" CONNECT_V4);
    ck_refused(&v, OUTCOME_NO_METHOD, REJECT_NONE, HANDSHAKE_ABORT, "");
    ck_talk(&v, &p, "01032263 c0010000 01010000");
    ck_refused(&v, OUTCOME_NO_METHOD, REJECT_NONE, HANDSHAKE_LINGER, "01022263 1e012000");
    ck_talk(&v, &p, NO_ANSWER TARGET_V4);
    ck_refused(&v, OUTCOME_NO_METHOD, REJECT_NONE, HANDSHAKE_ABORT, "");
}
END_TEST

START_TEST(the_golden_messages_say_so)
{
    static const char *const ids[] = {"MC10", "MC11", "MC12"};
    struct handshake_policy p = policy_of(1);
    struct vectors all;

    vectors_load("mp_convert.hex", &all);
    for (size_t i = 0; i < sizeof ids / sizeof ids[0]; i++) {
        struct interview v;

        ck_interview(&v, &p, true, vector_span(vectors_find(&all, ids[i])));
        ck_assert_int_eq(v.step.action, HANDSHAKE_CONNECT);
        ck_assert(v.h.no_answer);
    }
}
END_TEST

int main(void)
{
    Suite *s = suite_create("handshake_no_answer");
    TCase *t = tcase_create("server");

    tcase_add_loop_test(t, success_is_silent_whatever_the_listener_is, 0, 2 * SILENT);
    tcase_add_loop_test(t, a_failed_dial_is_a_silent_abort, 0, 2 * SILENT);
    tcase_add_loop_test(t, who_did_not_ask_for_silence_is_answered, 0, 2);
    tcase_add_loop_test(t, a_probe_is_told_whether_the_listener_is_exact, 0,
                        2 * (int)(sizeof probes / sizeof probes[0]));
    tcase_add_loop_test(t, a_bad_request_that_wants_no_answer_is_reset, 0,
                        (int)(sizeof bad / sizeof bad[0]));
    tcase_add_test(t, a_missing_cookie_is_a_reset_but_an_error_for_a_probe);
    tcase_add_test(t, the_golden_messages_say_so);
    suite_add_tcase(s, t);
    return runner_main(s);
}
