/* SPDX-License-Identifier: MIT */
/* The server's side of SOCKS5 as whole conversations, each cut at every octet. RFC 1928, RFC
 * 1929, Tor's socks-extensions. */
#include "interview_check.h"
#include "runner.h"
#include "vectors.h"

#define CONNECT_V4 "05010001 c000020a 01bb" /* 192.0.2.10:443 */
#define ZERO_REPLY(rep) "05" rep "0001 00000000 0000"

/* RFC 1928 s3: the method is told when the greeting is complete, not before. */
START_TEST(a_greeting_is_answered_with_the_method)
{
    struct handshake_policy p = policy_open();
    struct interview v;

    ck_talk(&v, &p, "050100");
    ck_assert_int_eq(v.step.action, HANDSHAKE_MORE);
    ck_assert_uint_eq(v.consumed, 3);
    ck_assert_int_eq(v.h.protocol, PROTOCOL_SOCKS5);
    ck_answers(&v, "0500");
    ck_talk(&v, &p, "0503000102");
    ck_answers(&v, "0500");
    ck_talk(&v, &p, "05020100");
    ck_answers(&v, "0500");
    ck_talk(&v, &p, "0502");
    ck_assert_uint_eq(v.consumed, 0);
    ck_answers(&v, "");
}
END_TEST

START_TEST(password_is_preferred_where_users_are_configured)
{
    struct handshake_policy p = policy_open();
    struct interview v;

    p.users_configured = true; /* and this source is exempt */
    ck_talk(&v, &p, "05020002");
    ck_answers(&v, "0502");
    ck_talk(&v, &p, "050100");
    ck_answers(&v, "0500");
    p.none_allowed = false;
    ck_talk(&v, &p, "05020002");
    ck_answers(&v, "0502");
}
END_TEST

/* RFC 1928 s3: FF; what follows is not looked at. NMETHODS 0 offers nothing. GSSAPI alone is
 * not enough for us. */
START_TEST(no_acceptable_method_is_ff)
{
    static const struct {
        bool users;
        const char *octets;
    } c[] = {
        {true, "050100"},
        {false, "050102"},
        {false, "0500"},
        {false, "050101"},
        {true, "0500"},
        {false, "0505 0102030580"},
        {true, "050100" CONNECT_V4 "4142"},
        {false, "0500" CONNECT_V4},
    };

    for (size_t i = 0; i < sizeof c / sizeof c[0]; i++) {
        struct handshake_policy p = c[i].users ? policy_users() : policy_open();
        struct interview v;

        ck_talk(&v, &p, c[i].octets);
        ck_refused(&v, OUTCOME_NO_METHOD, REJECT_NONE, HANDSHAKE_LINGER, "05ff");
    }
}
END_TEST

/* RFC 1929 s2. */
START_TEST(credentials_are_asked_for_and_answered)
{
    struct handshake_policy p = policy_users();
    struct interview v;
    struct octets s = octets_of("05020002 01047573657204 70617373");

    ck_interview(&v, &p, true, span_of(s.o, s.len));
    ck_assert_int_eq(v.step.action, HANDSHAKE_MORE);
    ck_assert_uint_eq(v.asked, 1);
    ck_assert(span_equal(span_of(v.user, v.user_len), span_of("user", 4)));
    ck_assert(span_equal(span_of(v.pass, v.pass_len), span_of("pass", 4)));
    ck_answers(&v, "0502 0100");
    ck_assert_uint_eq(v.consumed, s.len);
    ck_interview(&v, &p, false, span_of(s.o, s.len));
    ck_refused(&v, OUTCOME_AUTH_FAILED, REJECT_NONE, HANDSHAKE_LINGER, "0502 0101");
}
END_TEST

/* A session that cannot verify yet gives the same octets again. */
START_TEST(credentials_can_be_asked_for_again)
{
    struct handshake_policy p = policy_users();
    struct handshake h;
    struct octets s = octets_of("050102 01017501 70");
    uint8_t buf[HANDSHAKE_REPLY_MAX];
    struct wr reply = {.buf = buf, .cap = sizeof buf};

    handshake_init(&h);
    struct handshake_step step = handshake_input(&h, &p, span_of(s.o, s.len), &reply);
    ck_assert_int_eq(step.action, HANDSHAKE_AUTH);
    ck_assert_uint_eq(step.consumed, s.len);
    for (int i = 0; i < 2; i++) {
        step = handshake_input(&h, &p, span_of(s.o + 3, s.len - 3), &reply);
        ck_assert_int_eq(step.action, HANDSHAKE_AUTH);
        ck_assert_uint_eq(step.consumed, s.len - 3);
        ck_assert(span_equal(step.user, span_of("u", 1)));
    }
    step = handshake_authenticated(&h, true, &reply);
    ck_assert_int_eq(step.action, HANDSHAKE_MORE);
    ck_octets(buf, reply.pos, "0502 0100");
}
END_TEST

START_TEST(nothing_follows_wrong_credentials)
{
    struct handshake_policy p = policy_users();
    struct interview v;
    struct octets s = octets_of("050102 01017501 70" CONNECT_V4 "4142");

    ck_interview(&v, &p, false, span_of(s.o, s.len));
    ck_refused(&v, OUTCOME_AUTH_FAILED, REJECT_NONE, HANDSHAKE_LINGER, "0502 0101");
}
END_TEST

START_TEST(credentials_of_another_version_are_refused)
{
    struct handshake_policy p = policy_users();
    struct interview v;

    ck_talk(&v, &p, "050102 05017501 70");
    ck_refused(&v, OUTCOME_MALFORMED, REJECT_VERSION, HANDSHAKE_LINGER, "0502 0101");
    ck_assert_uint_eq(v.asked, 0);
}
END_TEST

START_TEST(empty_fields_are_refused_unless_configured)
{
    static const char *const c[] = {"050102 010001 70", "050102 01017500", "050102 010000"};

    for (size_t i = 0; i < sizeof c / sizeof c[0]; i++) {
        struct handshake_policy p = policy_users();
        struct interview v;

        ck_talk(&v, &p, c[i]);
        ck_refused(&v, OUTCOME_AUTH_FAILED, REJECT_NONE, HANDSHAKE_LINGER, "0502 0101");
        ck_assert_uint_eq(v.asked, 0);
        p.empty_fields = true;
        ck_talk(&v, &p, c[i]);
        ck_assert_uint_eq(v.asked, 1);
        ck_answers(&v, "0502 0100");
    }
}
END_TEST

START_TEST(the_longest_credentials_fit)
{
    struct handshake_policy p = policy_users();
    struct interview v;
    struct octets s = octets_of("050102 01ff");

    memset(s.o + s.len, 'u', 255);
    s.o[s.len + 255] = 255;
    memset(s.o + s.len + 256, 'p', 255);
    s.len += 511;
    ck_interview(&v, &p, true, span_of(s.o, s.len));
    ck_assert_uint_eq(v.asked, 1);
    ck_assert_uint_eq(v.user_len, 255);
    ck_assert_uint_eq(v.pass_len, 255);
    ck_answers(&v, "0502 0100");
}
END_TEST

/* A client that pipelines writes them before it knows that none are wanted; right or wrong does
 * not matter, nobody is asked. */
START_TEST(unasked_credentials_are_taken_once)
{
    struct handshake_policy p = policy_open();
    struct interview v;
    struct octets s = octets_of("05020002 0103626164 03626164" CONNECT_V4 "4142");

    ck_interview(&v, &p, false, span_of(s.o, s.len));
    ck_requested(&v, HANDSHAKE_CONNECT, "192.0.2.10:443", "0500 0100");
    ck_assert_uint_eq(v.asked, 0);
    ck_early(&v, "4142");
    ck_talk(&v, &p, "050100 010000" CONNECT_V4);
    ck_requested(&v, HANDSHAKE_CONNECT, "192.0.2.10:443", "0500 0100");
    ck_talk(&v, &p, "050100 010000 010000");
    ck_refused(&v, OUTCOME_MALFORMED, REJECT_VERSION, HANDSHAKE_LINGER,
               "0500 0100" ZERO_REPLY("01"));
    ck_assert_uint_eq(v.consumed, 6);
}
END_TEST

/* Each needs 3 octets of input and 2 of answer: unbounded, they would fill any buffer. */
START_TEST(a_flood_of_credentials_does_not_fill_the_reply)
{
    struct handshake_policy p = policy_open();
    struct interview v;
    struct octets s = octets_of("050100");

    while (s.len + 3 <= OCTETS_MAX) {
        memcpy(s.o + s.len, (const uint8_t[]){1, 0, 0}, 3);
        s.len += 3;
    }
    const char *flaw = interview_run(&v, &p, true, span_of(s.o, s.len), 0);
    ck_assert_msg(flaw == NULL, "%s", flaw);
    ck_refused(&v, OUTCOME_MALFORMED, REJECT_VERSION, HANDSHAKE_LINGER,
               "0500 0100" ZERO_REPLY("01"));
}
END_TEST

START_TEST(credentials_after_credentials_are_no_request)
{
    struct handshake_policy p = policy_users();
    struct interview v;

    ck_talk(&v, &p, "050102 01017501 70 01017501 70");
    ck_refused(&v, OUTCOME_MALFORMED, REJECT_VERSION, HANDSHAKE_LINGER,
               "0502 0100" ZERO_REPLY("01"));
    ck_assert_uint_eq(v.asked, 1);
}
END_TEST

START_TEST(requests_name_their_target)
{
    static const struct {
        const char *octets, *target;
    } c[] = {
        {CONNECT_V4, "192.0.2.10:443"},
        {"05010003 0b 6578616d706c652e636f6d 01bb", "example.com:443"},
        {"05010003 0c 6578616d706c652e636f6d2e 01bb", "example.com:443"},
        {"05010004 20010db8000000000000000000010002 01bb", "[2001:db8::1:2]:443"},
        {"05010004 00000000000000000000ffffc000020a 01bb", "192.0.2.10:443"},
        {"05010003 0a 3139322e302e322e3130 01bb", "192.0.2.10:443"},
        {"05010003 0d 323030313a6462383a3a313a32 01bb", "[2001:db8::1:2]:443"},
        {"05010003 0f 5b323030313a6462383a3a313a325d 01bb", "[2001:db8::1:2]:443"},
    };
    struct handshake_policy p = policy_open();

    for (size_t i = 0; i < sizeof c / sizeof c[0]; i++) {
        char hex[128];
        struct interview v;

        (void)snprintf(hex, sizeof hex, "050100%s4142", c[i].octets);
        ck_talk(&v, &p, hex);
        ck_requested(&v, HANDSHAKE_CONNECT, c[i].target, "0500");
        ck_early(&v, "4142");
        ck_assert(!v.h.want_mptcp && !v.h.want_fastopen && v.h.source.family == ADDR_NONE);
    }
}
END_TEST

START_TEST(a_name_of_255_octets_is_a_target)
{
    struct handshake_policy p = policy_open();
    struct interview v;
    struct octets s = octets_of("050100 05010003 ff");

    memset(s.o + s.len, 'a', 255);
    for (size_t i = 63; i < 255; i += 64)
        s.o[s.len + i] = '.';
    s.len += 255;
    s.o[s.len++] = 0;
    s.o[s.len++] = 80;
    ck_interview(&v, &p, true, span_of(s.o, s.len));
    ck_assert_int_eq(v.step.action, HANDSHAKE_CONNECT);
    ck_assert_uint_eq(v.h.target.name_len, 255);
    ck_assert_uint_eq(v.h.target.port, 80);
    ck_assert_uint_eq(v.consumed, s.len);
}
END_TEST

/* RFC 1928 s6: a reply, then the end. */
START_TEST(bad_requests_are_told_why)
{
    static const struct {
        const char *request, *reply;
        enum outcome why;
        enum reject reject;
    } c[] = {
        {"04010001 c000020a 01bb", ZERO_REPLY("01"), OUTCOME_MALFORMED, REJECT_VERSION},
        {"47", ZERO_REPLY("01"), OUTCOME_MALFORMED, REJECT_VERSION},
        {"05020001 c000020a 01bb", ZERO_REPLY("07"), OUTCOME_UNSUPPORTED_COMMAND,
         REJECT_COMMAND},
        {"05030001 00000000 0000", ZERO_REPLY("07"), OUTCOME_UNSUPPORTED_COMMAND,
         REJECT_COMMAND},
        {"05050001 00000000 0000", ZERO_REPLY("07"), OUTCOME_UNSUPPORTED_COMMAND,
         REJECT_COMMAND},
        {"05f00003 0161 0000", ZERO_REPLY("07"), OUTCOME_UNSUPPORTED_COMMAND, REJECT_COMMAND},
        {"05f10001 c000020a 0000", ZERO_REPLY("07"), OUTCOME_UNSUPPORTED_COMMAND,
         REJECT_COMMAND},
        {"05000002", ZERO_REPLY("07"), OUTCOME_UNSUPPORTED_COMMAND, REJECT_COMMAND},
        {"05010002", ZERO_REPLY("08"), OUTCOME_UNSUPPORTED_ADDRESS, REJECT_ADDRESS_TYPE},
        {"05010000", ZERO_REPLY("08"), OUTCOME_UNSUPPORTED_ADDRESS, REJECT_ADDRESS_TYPE},
        {"05010005 c000020a 01bb", ZERO_REPLY("08"), OUTCOME_UNSUPPORTED_ADDRESS,
         REJECT_ADDRESS_TYPE},
        {"05010003 00 01bb", ZERO_REPLY("01"), OUTCOME_MALFORMED, REJECT_NAME},
        {"05010003 03 610062 01bb", ZERO_REPLY("01"), OUTCOME_MALFORMED, REJECT_NAME},
        {"05010003 01 2e 01bb", ZERO_REPLY("01"), OUTCOME_MALFORMED, REJECT_NAME},
        {"05010003 02 2f61 01bb", ZERO_REPLY("01"), OUTCOME_MALFORMED, REJECT_NAME},
        {"05010001 c000020a 0000", ZERO_REPLY("01"), OUTCOME_MALFORMED, REJECT_PORT},
        {"05010003 0161 0000", ZERO_REPLY("01"), OUTCOME_MALFORMED, REJECT_PORT},
    };
    struct handshake_policy p = policy_open();

    for (size_t i = 0; i < sizeof c / sizeof c[0]; i++) {
        char hex[128], answers[64];
        struct interview v;

        (void)snprintf(hex, sizeof hex, "050100%s4142", c[i].request);
        (void)snprintf(answers, sizeof answers, "0500%s", c[i].reply);
        ck_talk(&v, &p, hex);
        ck_refused(&v, c[i].why, c[i].reject, HANDSHAKE_LINGER, answers);
    }
}
END_TEST

START_TEST(a_reserved_octet_matters_only_to_the_strict)
{
    struct handshake_policy p = policy_open();
    struct interview v;

    ck_talk(&v, &p, "050100 0501ff01 c000020a 01bb");
    ck_requested(&v, HANDSHAKE_CONNECT, "192.0.2.10:443", "0500");
    p.strict_reserved = true;
    ck_talk(&v, &p, "050100 0501ff01 c000020a 01bb");
    ck_refused(&v, OUTCOME_MALFORMED, REJECT_RESERVED, HANDSHAKE_LINGER,
               "0500" ZERO_REPLY("01"));
    ck_talk(&v, &p, "050100" CONNECT_V4);
    ck_requested(&v, HANDSHAKE_CONNECT, "192.0.2.10:443", "0500");
}
END_TEST

/* RFC 1928 s6: BND is our address towards the server. */
START_TEST(success_tells_the_bound_address)
{
    static const struct {
        const char *bound, *reply;
    } c[] = {
        {"203.0.113.5:40000", "05000001 cb007105 9c40"},
        {"[2001:db8:ff::5]:40000", "05000004 20010db800ff00000000000000000005 9c40"},
        {"[::ffff:203.0.113.5]:40000", "05000001 cb007105 9c40"},
    };
    struct handshake_policy p = policy_open();
    struct interview v;
    struct handshake_success none = {.bound = {.family = ADDR_NONE}};

    for (size_t i = 0; i < sizeof c / sizeof c[0]; i++) {
        struct handshake_success s = {.bound = addr_text(c[i].bound)};

        ck_talk(&v, &p, "050100" CONNECT_V4 "4142");
        ck_assert(handshake_wants_bound(&v.h) && !handshake_wants_synack(&v.h));
        ck_succeed(&v, &s, c[i].reply);
    }
    ck_talk(&v, &p, "050100" CONNECT_V4);
    ck_succeed(&v, &none, ZERO_REPLY("00"));
}
END_TEST

/* Ten octets whatever happened: some clients read exactly ten. */
START_TEST(failures_are_replies_of_ten_octets)
{
    struct handshake_policy p = policy_open();

    for (unsigned why = OUTCOME_OK + 1; why < OUTCOME_COUNT; why++) {
        struct failure f = {.why = (enum outcome)why, .detail = 1};
        char reply[64];
        struct interview v;

        (void)snprintf(reply, sizeof reply, "05%02x000100000000 0000",
                       (unsigned)failure_socks5_rep(f));
        ck_talk(&v, &p, "050100" CONNECT_V4);
        ck_fail(&v, f, HANDSHAKE_LINGER, reply);
        ck_fail(&v, f, HANDSHAKE_LINGER, ""); /* once */
    }
}
END_TEST

/* At a limit the session may have to end anywhere. */
START_TEST(failure_says_what_is_due)
{
    const struct failure f = {.why = OUTCOME_LIMIT_GLOBAL};
    struct handshake_policy open = policy_open(), users = policy_users();
    struct interview v;

    ck_talk(&v, &open, "05");
    ck_fail(&v, f, HANDSHAKE_LINGER, "");
    ck_talk(&v, &users, "050102");
    ck_fail(&v, f, HANDSHAKE_LINGER, "0101");
    ck_talk(&v, &users, "050102 01017501 70");
    ck_fail(&v, f, HANDSHAKE_LINGER, ZERO_REPLY("01"));
    ck_talk(&v, &open, "050100");
    ck_fail(&v, f, HANDSHAKE_LINGER, ZERO_REPLY("01"));
    ck_talk(&v, &open, "050100 050100");
    ck_fail(&v, f, HANDSHAKE_LINGER, ZERO_REPLY("01"));
    ck_talk(&v, &open, "050101");
    ck_fail(&v, f, HANDSHAKE_LINGER, "");
}
END_TEST

START_TEST(nothing_follows_an_answer_that_ended_it)
{
    const struct failure f = {.why = OUTCOME_KILLED};
    const struct handshake_success ok = {.bound = addr_text("203.0.113.5:40000")};
    struct handshake_policy p = policy_open();
    struct interview v;

    ck_talk(&v, &p, "050100 05010002");
    ck_fail(&v, f, HANDSHAKE_LINGER, "");
    ck_talk(&v, &p, "050100" CONNECT_V4);
    ck_succeed(&v, &ok, "05000001 cb007105 9c40");
    ck_fail(&v, f, HANDSHAKE_LINGER, "");
    p.resolve = true;
    ck_talk(&v, &p, "050100 05f00001 c000020a 0000");
    ck_resolve(&v, &ok.bound, NULL, "05000001 cb007105 9c40");
    ck_fail(&v, f, HANDSHAKE_LINGER, "");
}
END_TEST

/* Nothing in RFC 1928 forbids to write everything at once; answers come in the order of the
 * messages. */
START_TEST(a_pipelined_flight_loses_nothing)
{
    struct vectors all;
    struct handshake_policy open = policy_open(), users = policy_users();
    struct interview v;

    vectors_load("socks5.hex", &all);
    const struct vector *s50f = vectors_find(&all, "S50F"), *s510 = vectors_find(&all, "S510");

    ck_interview(&v, &open, true, vector_span(s50f));
    ck_requested(&v, HANDSHAKE_CONNECT, "192.0.2.10:80", "0500");
    ck_assert_uint_eq(v.consumed, 13);
    ck_assert(span_equal(span_of(v.pending, v.pending_len), span_skip(vector_span(s50f), 13)));
    ck_assert(v.pending_len > 0);
    ck_interview(&v, &users, true, vector_span(s510));
    ck_assert_int_eq(v.step.action, HANDSHAKE_CONNECT);
    ck_answers(&v, "0502 0100");
    ck_assert_uint_eq(v.asked, 1);
    ck_interview(&v, &users, false, vector_span(s510));
    ck_refused(&v, OUTCOME_AUTH_FAILED, REJECT_NONE, HANDSHAKE_LINGER, "0502 0101");
}
END_TEST

START_TEST(early_data_that_looks_like_a_message_is_data)
{
    struct handshake_policy p = policy_open();
    struct interview v;

    ck_talk(&v, &p, "050100" CONNECT_V4 "050100" CONNECT_V4);
    ck_requested(&v, HANDSHAKE_CONNECT, "192.0.2.10:443", "0500");
    ck_early(&v, "050100" CONNECT_V4);
}
END_TEST

/* torspec socks-extensions s2, s3; the port is ignored. */
START_TEST(names_and_addresses_are_resolved_where_configured)
{
    struct handshake_policy p = policy_open();
    struct interview v;
    struct addr four = addr_text("192.0.2.10:0"), six = addr_text("[2001:db8::1:2]:0");

    p.resolve = true;
    ck_talk(&v, &p, "050100 05f00003 0b6578616d706c652e636f6d 0000");
    ck_requested(&v, HANDSHAKE_RESOLVE, "example.com:0", "0500");
    ck_resolve(&v, &four, NULL, "05000001 c000020a 0000");
    ck_talk(&v, &p, "050100 05f00003 0b6578616d706c652e636f6d 0050");
    ck_resolve(&v, &six, NULL, "05000004 20010db8000000000000000000010002 0000");
    ck_talk(&v, &p, "050100 05f00001 c000020a 0000");
    ck_requested(&v, HANDSHAKE_RESOLVE, "192.0.2.10:0", "0500");
    ck_talk(&v, &p, "050100 05f10001 c000020a 0000");
    ck_requested(&v, HANDSHAKE_RESOLVE_PTR, "192.0.2.10:0", "0500");
    ck_resolve(&v, NULL, "example.com", "05000003 0b6578616d706c652e636f6d 0000");
    ck_talk(&v, &p, "050100 05f10003 0b6578616d706c652e636f6d 0000");
    ck_refused(&v, OUTCOME_UNSUPPORTED_ADDRESS, REJECT_ADDRESS_TYPE, HANDSHAKE_LINGER,
               "0500" ZERO_REPLY("08"));
    ck_talk(&v, &p, "050100 05f00003 0161 0000");
    ck_fail(&v, (struct failure){.why = OUTCOME_NAME_NOT_FOUND}, HANDSHAKE_LINGER,
            ZERO_REPLY("04"));
    ck_talk(&v, &p, "050100 05030001 c000020a 0050");
    ck_refused(&v, OUTCOME_UNSUPPORTED_COMMAND, REJECT_COMMAND, HANDSHAKE_LINGER,
               "0500" ZERO_REPLY("07"));
}
END_TEST

/* What a name server answers is not ours to choose. */
START_TEST(a_name_that_no_reply_can_carry_is_a_failure)
{
    struct handshake_policy p = policy_open();
    struct interview v;
    char name[257];

    p.resolve = true;
    memset(name, 'a', 256);
    name[256] = 0;
    ck_talk(&v, &p, "050100 05f10001 c000020a 0000");
    ck_resolve(&v, NULL, name, ZERO_REPLY("01"));
    ck_talk(&v, &p, "050100 05f10001 c000020a 0000");
    ck_resolve(&v, NULL, "", ZERO_REPLY("01"));
    name[255] = 0;
    ck_talk(&v, &p, "050100 05f10001 c000020a 0000");
    ck_assert_ptr_null(interview_resolve(&v, NULL, name));
    ck_assert_uint_eq(v.reply_len, 2 + 7 + 255);
}
END_TEST

static Suite *suite(void)
{
    Suite *s = suite_create("handshake_socks5");
    TCase *methods = tcase_create("methods"), *requests = tcase_create("requests");

    tcase_add_test(methods, a_greeting_is_answered_with_the_method);
    tcase_add_test(methods, password_is_preferred_where_users_are_configured);
    tcase_add_test(methods, no_acceptable_method_is_ff);
    tcase_add_test(methods, credentials_are_asked_for_and_answered);
    tcase_add_test(methods, credentials_can_be_asked_for_again);
    tcase_add_test(methods, nothing_follows_wrong_credentials);
    tcase_add_test(methods, credentials_of_another_version_are_refused);
    tcase_add_test(methods, empty_fields_are_refused_unless_configured);
    tcase_add_test(methods, the_longest_credentials_fit);
    tcase_add_test(methods, unasked_credentials_are_taken_once);
    tcase_add_test(methods, a_flood_of_credentials_does_not_fill_the_reply);
    tcase_add_test(methods, credentials_after_credentials_are_no_request);
    suite_add_tcase(s, methods);
    tcase_add_test(requests, requests_name_their_target);
    tcase_add_test(requests, a_name_of_255_octets_is_a_target);
    tcase_add_test(requests, bad_requests_are_told_why);
    tcase_add_test(requests, a_reserved_octet_matters_only_to_the_strict);
    tcase_add_test(requests, success_tells_the_bound_address);
    tcase_add_test(requests, failures_are_replies_of_ten_octets);
    tcase_add_test(requests, failure_says_what_is_due);
    tcase_add_test(requests, nothing_follows_an_answer_that_ended_it);
    tcase_add_test(requests, a_pipelined_flight_loses_nothing);
    tcase_add_test(requests, early_data_that_looks_like_a_message_is_data);
    tcase_add_test(requests, names_and_addresses_are_resolved_where_configured);
    tcase_add_test(requests, a_name_that_no_reply_can_carry_is_a_failure);
    suite_add_tcase(s, requests);
    return s;
}

int main(void)
{
    return runner_main(suite());
}
