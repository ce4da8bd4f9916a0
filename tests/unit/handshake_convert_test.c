/* SPDX-License-Identifier: MIT */
/* The server's side of RFC 8803. Whole conversations, each cut at every octet. */
#include "interview_check.h"
#include "runner.h"
#include "tempfile.h"
#include "vectors.h"

#define TARGET_V4 "00000000 00000000 0000ffff c000020a"
#define CONNECT_V4 "0a0501bb" TARGET_V4
#define BASE_CONNECT "01062263" CONNECT_V4
#define SYNACK_TLV "14060000 020405b4 0402080a 00000000 00000000 0103030a"

/* What CV11 says, in the order Linux writes it. */
static struct handshake_success accepted(void)
{
    return (struct handshake_success){
        .bound = addr_text("203.0.113.5:40000"),
        .synack = {
            .mss = 1460, .sack = true, .timestamps = true, .wscale = true, .wscale_value = 10}};
}

START_TEST(a_connect_names_its_target)
{
    static const struct {
        const char *id, *target;
    } c[] = {
        {"CV01", "192.0.2.10:443"}, {"CV02", "[2001:db8::1:2]:8443"},
        {"CV03", "192.0.2.10:443"}, /* a cookie where none is wanted is not looked at */
        {"CV05", "192.0.2.10:443"}, {"CV06", "192.0.2.10:443"},
        {"CV07", "192.0.2.10:80"},
    };
    struct handshake_policy p = policy_open();
    struct vectors all;

    vectors_load("convert.hex", &all);
    for (size_t i = 0; i < sizeof c / sizeof c[0]; i++) {
        const struct vector *cv = vectors_find(&all, c[i].id);
        struct interview v;

        ck_interview(&v, &p, true, vector_span(cv));
        ck_requested(&v, HANDSHAKE_CONNECT, c[i].target, "");
        ck_assert_int_eq(v.h.protocol, PROTOCOL_CONVERT);
        ck_assert_uint_eq(v.consumed, cv->message);
        ck_assert(span_equal(span_of(v.pending, v.pending_len),
                             span_skip(vector_span(cv), cv->message)));
        ck_assert(handshake_wants_synack(&v.h) && !handshake_wants_bound(&v.h));
        ck_assert_ptr_null(v.h.cookie_name);
        ck_assert(!v.h.address_proven);
    }
}
END_TEST

/* s6.2.6. Extended TCP Header, after the server accepted; kinds only to those who asked. */
START_TEST(success_shows_the_servers_options)
{
    struct handshake_policy p = policy_open();
    const struct handshake_success ok = accepted();
    struct handshake_success mptcp = accepted();
    struct interview v;

    ck_talk(&v, &p, BASE_CONNECT "4142");
    ck_succeed(&v, &ok, "01072263 14060000 020405b4 0402080a 00000000 00000000 0103030a");
    ck_early(&v, "4142");
    ck_talk(&v, &p, "01072263 01010000" CONNECT_V4);
    ck_succeed(&v, &ok,
               "01092263 15020000 1e220408"
               "14060000 020405b4 0402080a 00000000 00000000 0103030a");
    mptcp.synack = (struct convert_synack){.mss = 1400, .mptcp = true};
    ck_talk(&v, &p, BASE_CONNECT);
    ck_succeed(&v, &mptcp, "01062263 14050000 02040578 1e0c0101 00000000 00000000");
}
END_TEST

/* s6.2.6: due after an Extended Connect, whatever is known of the server's SYN+ACK. */
START_TEST(success_without_known_options_says_nothing_untrue)
{
    const struct handshake_success unknown = {.bound = {.family = ADDR_NONE}};
    struct handshake_policy p = policy_open();
    struct interview v;

    ck_talk(&v, &p, BASE_CONNECT);
    ck_succeed(&v, &unknown, "01032263 14020000 01010101");
    ck_talk(&v, &p, "01072263 01010000" CONNECT_V4);
    ck_succeed(&v, &unknown, "01052263 15020000 1e220408 14020000 01010101");
}
END_TEST

/* s6.2.4: kind 30 is listed, 0, 1, 2, 3, 5 and 29 never. */
START_TEST(info_is_answered_and_nobody_dialled)
{
    struct handshake_policy p = policy_open();
    struct interview v;

    ck_talk(&v, &p, "01022263 01010000 4142");
    ck_assert_int_eq(v.step.action, HANDSHAKE_ANSWERED);
    ck_assert_int_eq(v.step.close, HANDSHAKE_LINGER);
    ck_assert_uint_eq(v.consumed, 8);
    ck_answers(&v, "01032263 15020000 1e220408");
    ck_fail(&v, (struct failure){.why = OUTCOME_KILLED}, HANDSHAKE_LINGER,
            ""); /* all is said */
}
END_TEST

/* s6.2.5 and s7.1 to s7.7. */
START_TEST(extended_connect_asks_for_options)
{
    static const struct {
        const char *octets;
        bool mptcp, fastopen;
    } c[] = {
        {"01072263 0a0601bb" TARGET_V4 "1e022202", true, true},
        {"01072263 0a0601bb" TARGET_V4 "1e020101", true, false},
        {"01072263 0a0601bb" TARGET_V4 "22020000", false, true},
        {"01072263 0a0601bb" TARGET_V4 "04020802", false, false},
        {"01072263 0a0601bb" TARGET_V4 "020405b4", false, false},
        {"01072263 0a0601bb" TARGET_V4 "03030a00", false, false},
        {"01072263 0a0601bb" TARGET_V4 "00000000", false, false},
        {"01082263 0a0701bb" TARGET_V4 "01010506 00000000", false, false},
    };
    struct handshake_policy p = policy_open();

    for (size_t i = 0; i < sizeof c / sizeof c[0]; i++) {
        struct interview v;
        const struct handshake_success ok = accepted();

        ck_talk(&v, &p, c[i].octets);
        ck_requested(&v, HANDSHAKE_CONNECT, "192.0.2.10:443", "");
        ck_assert(v.h.want_mptcp == c[i].mptcp && v.h.want_fastopen == c[i].fastopen);
        ck_succeed(&v, &ok, "01072263" SYNACK_TLV);
    }
}
END_TEST

/* s6.2.8: Error 33 with the kinds; what sockets cannot put into a SYN is refused too. */
START_TEST(options_that_cannot_be_honoured_are_error_33)
{
    static const struct {
        const char *octets, *answer;
        uint8_t kind;
    } c[] = {
        {"01072263 0a0601bb" TARGET_V4 "1d040102", "01022263 1e01211d", 29},
        {"01072263 0a0601bb" TARGET_V4 "22040102", "01022263 1e012122", 34},
        {"01072263 0a0601bb" TARGET_V4 "1e040102", "01022263 1e01211e", 30},
        {"01072263 0a0601bb" TARGET_V4 "fe020000", "01022263 1e0121fe", 254},
        {"01082263 0a0701bb" TARGET_V4 "1d021302 fd020000", "01032263 1e02211d 13fd0000", 29},
    };
    struct handshake_policy p = policy_open();

    for (size_t i = 0; i < sizeof c / sizeof c[0]; i++) {
        struct interview v;

        ck_talk(&v, &p, c[i].octets);
        ck_refused(&v, OUTCOME_UNSUPPORTED_OPTION, REJECT_NONE, HANDSHAKE_LINGER, c[i].answer);
        ck_assert_uint_eq(v.step.failure.detail, c[i].kind);
    }
}
END_TEST

/* s6.1, s6.2.1, s6.2.2, s6.2.5, s6.2.8 and s9: which error, or none, answers what. */
START_TEST(what_must_be_rejected_is_answered_by_class)
{
    static const struct {
        const char *id;
        enum outcome why;
        enum handshake_close close;
        const char *answer;
    } c[] = {
        {"CVX1", OUTCOME_MALFORMED, HANDSHAKE_ABORT, ""},
        {"CVX2", OUTCOME_UNSUPPORTED_VERSION, HANDSHAKE_LINGER, "01022263 1e010001"},
        {"CVX4", OUTCOME_MALFORMED, HANDSHAKE_LINGER, "01042263 1e030100 01022263 0a0501bb"},
        {"CVX5", OUTCOME_FORBIDDEN_ADDRESS, HANDSHAKE_LINGER,
         "01082263 1e070100 01062263 0a050016 00000000 00000000 0000ffff 7f000001"},
        {"CVX6", OUTCOME_MALFORMED, HANDSHAKE_LINGER,
         "01052263 1e040100 01032263 01010000 01010000"},
        {"CVX7", OUTCOME_UNSUPPORTED_MESSAGE, HANDSHAKE_LINGER,
         "01042263 1e030200 01022263 00010000"},
        {"CVX8", OUTCOME_MALFORMED, HANDSHAKE_LINGER, "01042263 1e030100 01022263 01000000"},
        {"CVX9", OUTCOME_MALFORMED, HANDSHAKE_LINGER,
         "01072263 1e060100 01052263 0a0401bb 00000000 00000000 00000000"},
        {"CVXA", OUTCOME_MALFORMED, HANDSHAKE_ABORT, ""}, /* it wants no answer */
    };
    struct handshake_policy p = policy_open();
    struct vectors all;

    vectors_load("convert.hex", &all);
    for (size_t i = 0; i < sizeof c / sizeof c[0]; i++) {
        const struct vector *cv = vectors_find(&all, c[i].id);
        struct interview v;

        ck_interview(&v, &p, true, vector_span(cv));
        ck_refused(&v, c[i].why, cv->why, c[i].close, c[i].answer);
    }
    for (size_t i = 0, rejected = 0; i < all.count; i++) { /* CVX3 is in handshake_test.c */
        rejected += all.v[i].rejected;
        ck_assert(i + 1 < all.count || rejected == sizeof c / sizeof c[0] + 1);
    }
}
END_TEST

START_TEST(other_bad_messages_are_answered_too)
{
    static const struct {
        const char *octets;
        enum outcome why;
        enum reject reject;
        const char *answer;
    } c[] = {
        {"01072263 0a0600500000000000000000 0000ffff c000020a 05010000", OUTCOME_MALFORMED,
         REJECT_FRAMING,
         "01092263 1e080100 01072263 0a0600500000000000000000 0000ffff c000020a 05010000"},
        {"01032263 01020000 00000000", OUTCOME_MALFORMED, REJECT_INFO_LENGTH,
         "01052263 1e040100 01032263 01020000 00000000"},
        {"01022263 80010000", OUTCOME_UNSUPPORTED_MESSAGE, REJECT_TYPE,
         "01042263 1e030200 01022263 80010000"},
        {"01022263 1e016000", OUTCOME_UNSUPPORTED_MESSAGE, REJECT_TYPE,
         "01042263 1e030200 01022263 1e016000"},
        {"01062263 0a050000" TARGET_V4, OUTCOME_MALFORMED, REJECT_PORT,
         "01082263 1e070100 01062263 0a050000" TARGET_V4},
        {"01062263 0a050050 00000000 00000000 00000000 00000000", OUTCOME_FORBIDDEN_ADDRESS,
         REJECT_FORBIDDEN,
         "01082263 1e070100 01062263 0a050050 00000000 00000000 00000000 00000000"},
        {"01062263 0a050050 ff020000 00000000 00000000 00000001", OUTCOME_FORBIDDEN_ADDRESS,
         REJECT_FORBIDDEN,
         "01082263 1e070100 01062263 0a050050 ff020000 00000000 00000000 00000001"},
        {"01012263", OUTCOME_MALFORMED, REJECT_CONNECT_LENGTH, "01032263 1e020100 01012263"},
        {"01032263 16020000 a0a1a2a3", OUTCOME_MALFORMED, REJECT_CONNECT_LENGTH,
         "01052263 1e040100 01032263 16020000 a0a1a2a3"},
        {"00062263 0a0501bb", OUTCOME_UNSUPPORTED_VERSION, REJECT_VERSION, "01022263 1e010001"},
        {"ff062263", OUTCOME_UNSUPPORTED_VERSION, REJECT_VERSION, "01022263 1e010001"},
        {"01022263 01000000 4142", OUTCOME_MALFORMED, REJECT_FRAMING,
         "01042263 1e030100 01022263 01000000"}, /* what follows is no part of the message */
    };
    struct handshake_policy p = policy_open();

    for (size_t i = 0; i < sizeof c / sizeof c[0]; i++) {
        struct interview v;

        ck_talk(&v, &p, c[i].octets);
        ck_refused(&v, c[i].why, c[i].reject, HANDSHAKE_LINGER, c[i].answer);
    }
}
END_TEST

/* The answer's own Total Length is at most 255 words. */
START_TEST(a_long_message_is_echoed_as_far_as_it_fits)
{
    struct handshake_policy p = policy_open();
    struct interview v;
    struct octets s = octets_of("01ff2263 80fe0000");

    while (s.len < CONVERT_MESSAGE_MAX + 16)
        s.o[s.len++] = 0x55;
    const char *flaw = interview_run(&v, &p, true, span_of(s.o, s.len), 0);
    ck_assert_msg(flaw == NULL, "%s", flaw);
    ck_assert_int_eq(v.step.action, HANDSHAKE_REFUSE);
    ck_assert_uint_eq(v.reply_len, 4 + 4 + 1012);
    ck_assert_mem_eq(v.reply, ((const uint8_t[]){1, 255, 0x22, 0x63, 0x1e, 254, 2, 0}), 8);
    ck_assert_mem_eq(v.reply + 8, s.o, 1012);
}
END_TEST

START_TEST(nothing_is_said_before_the_message_is_complete)
{
    const struct failure f = {.why = OUTCOME_LIMIT_GLOBAL, .detail = 30};
    struct handshake_policy p = policy_open();
    struct octets s = octets_of(BASE_CONNECT);

    for (size_t n = 1; n < s.len; n++) {
        struct interview v;
        const char *flaw = interview_run(&v, &p, true, span_of(s.o, n), 0);

        ck_assert_msg(flaw == NULL, "%s", flaw);
        ck_assert_int_eq(v.step.action, HANDSHAKE_MORE);
        ck_assert_uint_eq(v.consumed, 0);
        ck_assert_uint_eq(v.reply_len, 0);
        ck_fail(&v, f, n < 4 ? HANDSHAKE_ABORT : HANDSHAKE_LINGER, "");
    }
}
END_TEST

/* s6.2.8: an Error TLV with the class's value, then the end. */
START_TEST(failures_are_error_tlvs)
{
    static const struct {
        struct failure f;
        const char *answer;
    } c[] = {
        {{.why = OUTCOME_DENIED}, "01022263 1e012000"},
        {{.why = OUTCOME_LIMIT_GLOBAL, .detail = 60}, "01022263 1e01403c"},
        {{.why = OUTCOME_RATE_LIMITED}, "01022263 1e014000"},
        {{.why = OUTCOME_NO_RESOURCES, .detail = 5}, "01022263 1e014005"},
        {{.why = OUTCOME_NO_ROUTE}, "01022263 1e014100"},
        {{.why = OUTCOME_CONNECT_TIMEOUT}, "01022263 1e014100"},
        {{.why = OUTCOME_REFUSED}, "01022263 1e016000"},
        {{.why = OUTCOME_UNREACHABLE, .detail = 13}, "01022263 1e01610d"},
        {{.why = OUTCOME_UNREACHABLE, .detail = 1, .icmp6 = true}, "01022263 1e016101"},
        /* A well-formed message is not called malformed because we cannot serve it. */
        {{.why = OUTCOME_UNSUPPORTED_ADDRESS}, "01022263 1e014100"},
        {{.why = OUTCOME_FORBIDDEN_ADDRESS}, "01022263 1e012000"},
    };
    struct handshake_policy p = policy_open();

    for (size_t i = 0; i < sizeof c / sizeof c[0]; i++) {
        struct interview v;

        ck_talk(&v, &p, BASE_CONNECT "4142");
        ck_fail(&v, c[i].f, HANDSHAKE_LINGER, c[i].answer);
        ck_fail(&v, c[i].f, HANDSHAKE_LINGER, ""); /* once */
    }
}
END_TEST

START_TEST(every_late_failure_is_one_well_formed_error)
{
    struct handshake_policy p = policy_open();

    for (unsigned why = OUTCOME_OK + 1; why < OUTCOME_COUNT; why++) {
        struct interview v;
        struct convert_answer a;
        enum handshake_close close;

        ck_talk(&v, &p, BASE_CONNECT);
        ck_assert_ptr_null(
            interview_fail(&v, (struct failure){.why = (enum outcome)why}, &close));
        struct decode d = convert_decode_answer(span_of(v.reply, v.reply_len), &a);
        ck_assert_int_eq(d.status, DECODE_DONE);
        ck_assert_uint_eq(d.bytes, v.reply_len);
        ck_assert(a.is_error && a.error_code >= CONVERT_ERROR_NOT_AUTHORIZED);
        ck_assert_int_eq(close, HANDSHAKE_LINGER);
    }
}
END_TEST

/* Cookies, s6.2.7. */

#define COOKIE_ALICE "16050000 a0a1a2a3 a4a5a6a7 a8a9aaab acadaeaf"
#define COOKIE_OURS "16050000 01000007 432ef8da b098acb0 dcf1917e" /* CV40 */

static struct cookie_keys *keys_of(enum cookie_mode mode)
{
    struct conf_error err;
    struct tempfile subscribers =
        tempfile_text("alice hex:a0a1a2a3a4a5a6a7a8a9aaabacadaeaf\nbob secret\n");
    struct tempfile keys =
        tempfile_text("1 000102030405060708090a0b0c0d0e0f101112131415161718191a1b1c1d1e1f\n");
    struct cookie_keys *k =
        cookie_keys_load(mode, mode == COOKIE_COMPUTED ? NULL : subscribers.path,
                         mode == COOKIE_STATIC ? NULL : keys.path, false, &err);

    ck_assert_ptr_nonnull(k);
    tempfile_done(&subscribers);
    tempfile_done(&keys);
    return k;
}

static struct handshake_policy policy_cookies(const struct cookie_keys *k)
{
    struct handshake_policy p = policy_open();

    p.cookies = k;
    p.wall_s = UINT64_C(7) * COOKIE_EPOCH_SECONDS + 5;
    return p;
}

START_TEST(a_missing_cookie_is_handed_out)
{
    struct cookie_keys *k = keys_of(COOKIE_BOTH);
    struct handshake_policy p = policy_cookies(k);
    struct interview v;

    ck_talk(&v, &p, BASE_CONNECT "4142");
    ck_refused(&v, OUTCOME_MISSING_COOKIE, REJECT_NONE, HANDSHAKE_LINGER,
               "01062263 1e050300 01000007 432ef8da b098acb0 dcf1917e");
    ck_talk(&v, &p, "01022263 01010000"); /* whatever the first message asks for */
    ck_refused(&v, OUTCOME_MISSING_COOKIE, REJECT_NONE, HANDSHAKE_LINGER,
               "01062263 1e050300 01000007 432ef8da b098acb0 dcf1917e");
    cookie_keys_free(k);
}
END_TEST

START_TEST(a_missing_cookie_that_cannot_be_computed_is_error_32)
{
    struct cookie_keys *k = keys_of(COOKIE_STATIC);
    struct handshake_policy p = policy_cookies(k);
    struct interview v;

    ck_talk(&v, &p, BASE_CONNECT);
    ck_refused(&v, OUTCOME_BAD_COOKIE, REJECT_NONE, HANDSHAKE_LINGER, "01022263 1e012000");
    cookie_keys_free(k);
}
END_TEST

START_TEST(a_computed_cookie_proves_the_address)
{
    struct cookie_keys *k = keys_of(COOKIE_BOTH);
    struct handshake_policy p = policy_cookies(k);
    struct interview v;

    ck_talk(&v, &p, "010b2263" CONNECT_V4 COOKIE_OURS "4142");
    ck_requested(&v, HANDSHAKE_CONNECT, "192.0.2.10:443", "");
    ck_assert(v.h.address_proven);
    ck_assert_ptr_null(v.h.cookie_name);
    ck_early(&v, "4142");
    ck_talk(&v, &p, "010b2263" COOKIE_OURS CONNECT_V4); /* in any order */
    ck_requested(&v, HANDSHAKE_CONNECT, "192.0.2.10:443", "");
    ck_talk(&v, &p, "01072263 01010000" COOKIE_OURS);
    ck_assert_int_eq(v.step.action, HANDSHAKE_ANSWERED);
    ck_answers(&v, "01032263 15020000 1e220408");
    p.client = addr_text("192.0.2.78:40000");
    ck_talk(&v, &p, "010b2263" CONNECT_V4 COOKIE_OURS);
    ck_refused(&v, OUTCOME_BAD_COOKIE, REJECT_NONE, HANDSHAKE_LINGER, "01022263 1e012000");
    ck_assert(!v.h.address_proven);
    p = policy_cookies(k);
    p.wall_s += UINT64_C(2) * COOKIE_EPOCH_SECONDS;
    ck_talk(&v, &p, "010b2263" CONNECT_V4 COOKIE_OURS);
    ck_refused(&v, OUTCOME_BAD_COOKIE, REJECT_NONE, HANDSHAKE_LINGER, "01022263 1e012000");
    cookie_keys_free(k);
}
END_TEST

/* Zero padding does not count: "secret" fills one word and a half. */
START_TEST(a_static_cookie_names_its_subscriber)
{
    struct cookie_keys *k = keys_of(COOKIE_BOTH);
    struct handshake_policy p = policy_cookies(k);
    struct interview v;

    ck_talk(&v, &p, "010b2263" CONNECT_V4 COOKIE_ALICE);
    ck_requested(&v, HANDSHAKE_CONNECT, "192.0.2.10:443", "");
    ck_assert_str_eq(v.h.cookie_name, "alice");
    ck_assert(!v.h.address_proven);
    ck_talk(&v, &p, "01092263" CONNECT_V4 "16030000 73656372 65740000");
    ck_requested(&v, HANDSHAKE_CONNECT, "192.0.2.10:443", "");
    ck_assert_str_eq(v.h.cookie_name, "bob");
    cookie_keys_free(k);
}
END_TEST

START_TEST(a_wrong_cookie_is_error_32)
{
    static const char *const c[] = {
        "010b2263" CONNECT_V4 "16050000 a0a1a2a3 a4a5a6a7 a8a9aaab acadaeae",
        "01072263" CONNECT_V4 "16010000",
        "010b2263" CONNECT_V4 "16050000 00000000 00000000 00000000 00000000",
    };
    struct cookie_keys *k = keys_of(COOKIE_BOTH);
    struct handshake_policy p = policy_cookies(k);

    for (size_t i = 0; i < sizeof c / sizeof c[0]; i++) {
        struct interview v;

        ck_talk(&v, &p, c[i]);
        ck_refused(&v, OUTCOME_BAD_COOKIE, REJECT_NONE, HANDSHAKE_LINGER, "01022263 1e012000");
        ck_assert_ptr_null(v.h.cookie_name);
    }
    cookie_keys_free(k);
}
END_TEST

/* A computed cookie is handed to whoever asks: it says where one is, not who. */
START_TEST(where_credentials_are_needed_only_a_subscribers_cookie_will_do)
{
    struct cookie_keys *k = keys_of(COOKIE_BOTH);
    struct handshake_policy p = policy_cookies(k);
    struct interview v;

    p.users_configured = true;
    p.none_allowed = false;
    ck_talk(&v, &p, BASE_CONNECT);
    ck_refused(&v, OUTCOME_BAD_COOKIE, REJECT_NONE, HANDSHAKE_LINGER, "01022263 1e012000");
    ck_talk(&v, &p, "010b2263" CONNECT_V4 COOKIE_OURS);
    ck_refused(&v, OUTCOME_BAD_COOKIE, REJECT_NONE, HANDSHAKE_LINGER, "01022263 1e012000");
    ck_talk(&v, &p, "010b2263" CONNECT_V4 COOKIE_ALICE);
    ck_requested(&v, HANDSHAKE_CONNECT, "192.0.2.10:443", "");
    ck_assert_str_eq(v.h.cookie_name, "alice");
    p.cookies = NULL;
    ck_talk(&v, &p, "010b2263" CONNECT_V4 COOKIE_ALICE);
    ck_refused(&v, OUTCOME_NO_METHOD, REJECT_NONE, HANDSHAKE_LINGER, "01022263 1e012000");
    ck_talk(&v, &p, "01022263 01010000");
    ck_refused(&v, OUTCOME_NO_METHOD, REJECT_NONE, HANDSHAKE_LINGER, "01022263 1e012000");
    cookie_keys_free(k);
}
END_TEST

/* It is RFC 8803's alone. */
START_TEST(other_dialects_need_no_cookie)
{
    struct cookie_keys *k = keys_of(COOKIE_BOTH);
    struct handshake_policy p = policy_cookies(k);
    struct interview v;

    ck_talk(&v, &p, "faa8faa8 000a0001 c000020a 01bb0000");
    ck_requested(&v, HANDSHAKE_CONNECT, "192.0.2.10:443", "");
    ck_talk(&v, &p, "050100 05010001 c000020a 01bb");
    ck_requested(&v, HANDSHAKE_CONNECT, "192.0.2.10:443", "0500");
    cookie_keys_free(k);
}
END_TEST

static Suite *suite(void)
{
    Suite *s = suite_create("handshake_convert");
    TCase *requests = tcase_create("requests"), *refusals = tcase_create("refusals"),
          *cookies = tcase_create("cookies");

    tcase_add_test(requests, a_connect_names_its_target);
    tcase_add_test(requests, success_shows_the_servers_options);
    tcase_add_test(requests, success_without_known_options_says_nothing_untrue);
    tcase_add_test(requests, info_is_answered_and_nobody_dialled);
    tcase_add_test(requests, extended_connect_asks_for_options);
    suite_add_tcase(s, requests);
    tcase_add_test(refusals, options_that_cannot_be_honoured_are_error_33);
    tcase_add_test(refusals, what_must_be_rejected_is_answered_by_class);
    tcase_add_test(refusals, other_bad_messages_are_answered_too);
    tcase_add_test(refusals, a_long_message_is_echoed_as_far_as_it_fits);
    tcase_add_test(refusals, nothing_is_said_before_the_message_is_complete);
    tcase_add_test(refusals, failures_are_error_tlvs);
    tcase_add_test(refusals, every_late_failure_is_one_well_formed_error);
    suite_add_tcase(s, refusals);
    tcase_add_test(cookies, a_missing_cookie_is_handed_out);
    tcase_add_test(cookies, a_missing_cookie_that_cannot_be_computed_is_error_32);
    tcase_add_test(cookies, a_computed_cookie_proves_the_address);
    tcase_add_test(cookies, a_static_cookie_names_its_subscriber);
    tcase_add_test(cookies, a_wrong_cookie_is_error_32);
    tcase_add_test(cookies, where_credentials_are_needed_only_a_subscribers_cookie_will_do);
    tcase_add_test(cookies, other_dialects_need_no_cookie);
    suite_add_tcase(s, cookies);
    return s;
}

int main(void)
{
    return runner_main(suite());
}
