/* SPDX-License-Identifier: MIT */
/* The server's side of MP_CONVERT: draft-boucadair-mptcp-plain-mode-10 ("mc10") and the option
 * bytes of -08 and -09 ("pm08"). Whole conversations, each cut at every octet. */
#include "interview_check.h"
#include "runner.h"
#include "vectors.h"

#define ELEMENT_V4 "faa8faa8 000a0001 c000020a 01bb0000"
#define OPTION_V4 "1e0ae006 c000020a 01bb"

static struct handshake_success accepted(void)
{
    return (struct handshake_success){.bound = addr_text("203.0.113.5:40000")};
}

struct bad {
    const char *octets;
    enum outcome why;
    enum reject reject;
};

static void ck_all_reset(const struct bad *c, size_t count)
{
    struct handshake_policy p = policy_open();

    for (size_t i = 0; i < count; i++) {
        struct interview v;

        ck_talk(&v, &p, c[i].octets);
        ck_refused(&v, c[i].why, c[i].reject, HANDSHAKE_ABORT, "");
    }
}

/* draft -10 s5.2, s6.2: the element comes back octet for octet, after the server accepted. */
START_TEST(success_is_the_echo)
{
    static const struct {
        const char *id, *target;
    } c[] = {
        {"MC01", "192.0.2.10:443"},
        {"MC02", "192.0.2.10:1080"}, /* no port: the one the client connected to, s6.2 */
        {"MC03", "[2001:db8::1:2]:8443"},
        {"MC04", "[2001:db8::1:2]:1080"},
        {"MC06", "[2001:db8::1:2]:443"},
        {"MC07", "192.0.2.10:80"},
        {"MC09", "192.0.2.10:443"}, /* reserved bits are copied as received */
    };
    struct handshake_policy p = policy_open();
    const struct handshake_success ok = accepted();
    struct vectors all;

    vectors_load("mp_convert.hex", &all);
    for (size_t i = 0; i < sizeof c / sizeof c[0]; i++) {
        const struct vector *mc = vectors_find(&all, c[i].id);
        struct interview v;

        ck_interview(&v, &p, true, vector_span(mc));
        ck_requested(&v, HANDSHAKE_CONNECT, c[i].target, "");
        ck_assert_int_eq(v.h.protocol, PROTOCOL_MP_CONVERT);
        ck_assert_uint_eq(v.consumed, mc->message);
        ck_assert(span_equal(span_of(v.pending, v.pending_len),
                             span_skip(vector_span(mc), mc->message)));
        ck_assert(!handshake_wants_bound(&v.h) && !handshake_wants_synack(&v.h));
        ck_assert_ptr_null(interview_succeed(&v, &ok));
        ck_assert(span_equal(span_of(v.reply, v.reply_len), span_of(mc->octets, mc->message)));
    }
}
END_TEST

/* Reserved bits and padding are not ours to read. */
START_TEST(the_echo_is_verbatim)
{
    static const char *const c[] = {
        "faa8faa8 000afffd c000020a 01bbffff",
        "faa8faa8 000a5a58 c000020a 01bb1234 faa8faa8 000a0003 c6336409 9c40beef",
        "faa8faa8 00080002 c6336409 faa8faa8 00081235 c000020a",
    };
    struct handshake_policy p = policy_open();
    const struct handshake_success ok = accepted();

    for (size_t i = 0; i < sizeof c / sizeof c[0]; i++) {
        struct interview v;
        char data[256];

        (void)snprintf(data, sizeof data, "%s faa8faa8 000a0001", c[i]);
        ck_talk(&v, &p,
                data); /* what follows the last element is data, whatever it looks like */
        ck_assert_int_eq(v.step.action, HANDSHAKE_CONNECT);
        ck_early(&v, "faa8faa8 000a0001");
        ck_answers(&v, "");
        ck_succeed(&v, &ok, c[i]);
    }
}
END_TEST

START_TEST(a_source_element_is_noted)
{
    struct handshake_policy p = policy_open();
    struct interview v;
    char text[ADDR_TEXT_MAX];

    ck_talk(&v, &p,
            "faa8faa8 00160000 20010db8 00000000 00000000 00010002 01bb0000"
            "faa8faa8 00160003 20010db8 00050000 00000000 00000007 c3500000");
    ck_assert_str_eq(addr_print(&v.h.source, text, sizeof text), "[2001:db8:5::7]:50000");
    ck_talk(&v, &p, "faa8faa8 00080002 c6336409 faa8faa8 000a0001 c000020a 01bb0000");
    ck_requested(&v, HANDSHAKE_CONNECT, "192.0.2.10:443", "");
    ck_assert_str_eq(addr_print(&v.h.source, text, sizeof text), "198.51.100.9:0");
    ck_talk(&v, &p, ELEMENT_V4);
    ck_assert_int_eq(v.h.source.family, ADDR_NONE);
}
END_TEST

/* A Length-4 element asks whether we are here. */
START_TEST(a_probe_is_echoed_and_nobody_dialled)
{
    struct handshake_policy p = policy_open();
    struct interview v;

    ck_talk(&v, &p, "faa8faa8 00040001");
    ck_assert_int_eq(v.step.action, HANDSHAKE_ANSWERED);
    ck_assert_int_eq(v.step.close, HANDSHAKE_LINGER);
    ck_assert_uint_eq(v.consumed, 8);
    ck_answers(&v, "faa8faa8 00040001");
    ck_talk(&v, &p, "faa8faa8 0004fffd 4142");
    ck_assert_int_eq(v.step.action, HANDSHAKE_ANSWERED);
    ck_answers(&v, "faa8faa8 0004fffd");
    ck_early(&v, "4142");
    ck_talk(&v, &p, "faa8faa8 00080002 c6336409 faa8faa8 00040001");
    ck_assert_int_eq(v.step.action, HANDSHAKE_ANSWERED);
    ck_answers(&v, "faa8faa8 00080002 c6336409 faa8faa8 00040001");
}
END_TEST

/* An on-path concentrator: no address means the one the client connected to. */
START_TEST(an_implicit_listener_takes_the_original_destination)
{
    static const struct bad c[] = {
        {"faa8faa8 000a0001 c000020a 01bb0000", OUTCOME_FORBIDDEN_ADDRESS, REJECT_FORBIDDEN},
        {"faa8faa8 00080001 c000020a", OUTCOME_FORBIDDEN_ADDRESS, REJECT_FORBIDDEN},
        {"faa8faa8 000a0003 c633644d 9c410000", OUTCOME_MALFORMED, REJECT_PORT},
        {"050100", OUTCOME_UNKNOWN_PROTOCOL, REJECT_MAGIC},
    };
    struct handshake_policy p = policy_open();
    struct handshake_success ok = accepted();
    struct interview v;
    char text[ADDR_TEXT_MAX];

    p.implicit = true;
    p.protocols = PROTOCOL_BIT(PROTOCOL_MP_CONVERT);
    p.original = addr_text("[2001:db8::7]:443");
    ck_talk(&v, &p, "faa8faa8 00040001 4142");
    ck_requested(&v, HANDSHAKE_CONNECT, "[2001:db8::7]:443", "");
    ck_early(&v, "4142");
    ck_succeed(&v, &ok, "faa8faa8 00040001");
    ck_talk(&v, &p, "faa8faa8 00040000 faa8faa8 000a0003 c633644d 9c410000");
    ck_requested(&v, HANDSHAKE_CONNECT, "[2001:db8::7]:443", "");
    ck_assert_str_eq(addr_print(&v.h.source, text, sizeof text), "198.51.100.77:40001");
    for (size_t i = 0; i < sizeof c / sizeof c[0]; i++) {
        ck_talk(&v, &p, c[i].octets);
        ck_refused(&v, c[i].why, c[i].reject, HANDSHAKE_ABORT, "");
    }
}
END_TEST

/* draft -10 s5.2: silently torn down; MCX1 is no element at all. */
START_TEST(what_must_be_rejected_is_reset_in_silence)
{
    struct handshake_policy p = policy_open();
    struct vectors all;
    size_t rejected = 0;

    vectors_load("mp_convert.hex", &all);
    for (size_t i = 0; i < all.count; i++) {
        const struct vector *mc = &all.v[i];
        enum outcome why = mc->why == REJECT_MAGIC       ? OUTCOME_UNKNOWN_PROTOCOL
                           : mc->why == REJECT_FORBIDDEN ? OUTCOME_FORBIDDEN_ADDRESS
                                                         : OUTCOME_MALFORMED;
        struct interview v;

        if (!mc->rejected)
            continue;
        rejected++;
        ck_interview(&v, &p, true, vector_span(mc));
        ck_refused(&v, why, mc->why, HANDSHAKE_ABORT, "");
        ck_assert_uint_eq(v.consumed, 0);
    }
    ck_assert_uint_eq(rejected, 14);
}
END_TEST

START_TEST(an_element_without_usable_target_is_reset)
{
    static const struct bad c[] = {
        {"faa8faa8 000a0003 c633644d 9c410000", OUTCOME_MALFORMED, REJECT_PORT}, /* MC08 */
        {"faa8faa8 000a0001 c000020a 00000000", OUTCOME_MALFORMED, REJECT_PORT},
        {"faa8faa8 000a0001 00000000 01bb0000", OUTCOME_FORBIDDEN_ADDRESS, REJECT_FORBIDDEN},
        {"faa8faa8 00140001 00000000 00000000 00000000 00000000", OUTCOME_FORBIDDEN_ADDRESS,
         REJECT_FORBIDDEN},
        {"faa8faa8 00140001 00000000 00000000 00000000 00000001", OUTCOME_FORBIDDEN_ADDRESS,
         REJECT_FORBIDDEN},
        {"faa8faa8 00080002 7f000001", OUTCOME_FORBIDDEN_ADDRESS, REJECT_FORBIDDEN},
        {"faa8faa8 00080000 c000020a faa8faa9", OUTCOME_MALFORMED, REJECT_MAGIC},
        {"faa8faa8 00080000 c000020a 4745", OUTCOME_MALFORMED, REJECT_MAGIC},
    };

    ck_all_reset(c, sizeof c / sizeof c[0]);
}
END_TEST

START_TEST(the_m_bit_can_be_read_the_other_way)
{
    struct handshake_policy p = policy_open();
    struct interview v;
    const struct handshake_success ok = accepted();

    ck_talk(&v, &p, "faa8faa8 000a0000 c000020a 01bb0000");
    ck_assert_int_eq(v.step.action, HANDSHAKE_MORE);
    p.m_bit = MPCONVERT_M_INVERTED;
    ck_talk(&v, &p, "faa8faa8 000a0000 c000020a 01bb0000 4142");
    ck_requested(&v, HANDSHAKE_CONNECT, "192.0.2.10:443", "");
    ck_early(&v, "4142");
    ck_succeed(&v, &ok, "faa8faa8 000a0000 c000020a 01bb0000");
    ck_talk(&v, &p, ELEMENT_V4);
    ck_assert_int_eq(v.step.action, HANDSHAKE_MORE);
}
END_TEST

/* draft -10 s6.2: no echo, no other octet; the client cannot learn the reason. */
START_TEST(every_failure_is_silent_and_abortive)
{
    static const char *const c[] = {"faa8",     "faa8faa8 000a0001 c000",
                                    ELEMENT_V4, "1e0ae006",
                                    OPTION_V4,  "1e0ae006 c000020a 01bb00"};
    struct handshake_policy p = policy_open();

    for (size_t i = 0; i < sizeof c / sizeof c[0]; i++) {
        for (unsigned why = OUTCOME_OK + 1; why < OUTCOME_COUNT; why++) {
            struct interview v;

            ck_talk(&v, &p, c[i]);
            ck_fail(&v, (struct failure){.why = (enum outcome)why}, HANDSHAKE_ABORT, "");
        }
    }
}
END_TEST

/* It has no way to prove who one is; refusing looks like any other failure. */
START_TEST(sources_that_need_credentials_are_not_served)
{
    static const char *const c[] = {ELEMENT_V4, "faa8faa8 00040001", OPTION_V4 "00",
                                    "1e04e006 00"};
    struct handshake_policy p = policy_users();

    for (size_t i = 0; i < sizeof c / sizeof c[0]; i++) {
        struct interview v;

        ck_talk(&v, &p, c[i]);
        ck_refused(&v, OUTCOME_NO_METHOD, REJECT_NONE, HANDSHAKE_ABORT, "");
    }
    p.none_allowed = true;
    for (size_t i = 0; i < sizeof c / sizeof c[0]; i++) {
        struct interview v;

        ck_talk(&v, &p, c[i]);
        ck_assert(v.step.action == HANDSHAKE_CONNECT || v.step.action == HANDSHAKE_ANSWERED);
    }
}
END_TEST

/* draft -08 s4.1, s4.2: these versions have no answer. */
START_TEST(options_name_a_target_and_get_no_answer)
{
    static const struct {
        const char *octets, *target;
    } c[] = {
        {OPTION_V4 "00", "192.0.2.10:443"}, /* LO01 */
        {"1e16e806 20010db8000500000000000000000007 c350"
         "1e16e006 20010db8000000000000000000010002 01bb 00", /* LO02 */
         "[2001:db8::1:2]:443"},
        {"1e08e006 c000020a 00", "192.0.2.10:1080"},
        {OPTION_V4 "01 01 00", "192.0.2.10:443"},
    };
    struct handshake_policy p = policy_open();
    const struct handshake_success ok = accepted();

    for (size_t i = 0; i < sizeof c / sizeof c[0]; i++) {
        struct interview v;
        struct octets s = octets_of(c[i].octets);

        s.o[s.len++] = 0x41;
        ck_interview(&v, &p, true, span_of(s.o, s.len));
        ck_requested(&v, HANDSHAKE_CONNECT, c[i].target, "");
        ck_assert_int_eq(v.h.protocol, PROTOCOL_PM08);
        ck_early(&v, "41");
        ck_succeed(&v, &ok, "");
    }
}
END_TEST

START_TEST(an_option_without_address_dials_nobody)
{
    struct handshake_policy p = policy_open();
    struct interview v;

    ck_talk(&v, &p, "1e04e006 00"); /* LO04 */
    ck_assert_int_eq(v.step.action, HANDSHAKE_ANSWERED);
    ck_assert_int_eq(v.step.close, HANDSHAKE_LINGER);
    ck_answers(&v, "");
}
END_TEST

START_TEST(bad_options_are_reset_in_silence)
{
    static const struct bad c[] = {
        {"1e0ae011 c0000235 0035 00", OUTCOME_UNSUPPORTED_COMMAND, REJECT_PROTOCOL}, /* LO03 */
        {"1e0ae001 c000020a 01bb 00", OUTCOME_MALFORMED, REJECT_PROTOCOL},
        {OPTION_V4 "02040000", OUTCOME_MALFORMED, REJECT_TYPE},
        {OPTION_V4 OPTION_V4, OUTCOME_MALFORMED, REJECT_SAME_D},
        {"1e0ae006 7f000001 0016 00", OUTCOME_FORBIDDEN_ADDRESS, REJECT_FORBIDDEN},
        {"1e0ae006 c000020a 0000 00", OUTCOME_MALFORMED, REJECT_PORT},
        {"1e0ae806 c000020a 01bb 00", OUTCOME_MALFORMED, REJECT_PORT},
    };

    ck_all_reset(c, sizeof c / sizeof c[0]);
}
END_TEST

static Suite *suite(void)
{
    Suite *s = suite_create("handshake_mpconvert");
    TCase *mc10 = tcase_create("mc10"), *pm08 = tcase_create("pm08");

    tcase_add_test(mc10, success_is_the_echo);
    tcase_add_test(mc10, the_echo_is_verbatim);
    tcase_add_test(mc10, a_source_element_is_noted);
    tcase_add_test(mc10, a_probe_is_echoed_and_nobody_dialled);
    tcase_add_test(mc10, an_implicit_listener_takes_the_original_destination);
    tcase_add_test(mc10, what_must_be_rejected_is_reset_in_silence);
    tcase_add_test(mc10, an_element_without_usable_target_is_reset);
    tcase_add_test(mc10, the_m_bit_can_be_read_the_other_way);
    tcase_add_test(mc10, every_failure_is_silent_and_abortive);
    tcase_add_test(mc10, sources_that_need_credentials_are_not_served);
    suite_add_tcase(s, mc10);
    tcase_add_test(pm08, options_name_a_target_and_get_no_answer);
    tcase_add_test(pm08, an_option_without_address_dials_nobody);
    tcase_add_test(pm08, bad_options_are_reset_in_silence);
    suite_add_tcase(s, pm08);
    return s;
}

int main(void)
{
    return runner_main(suite());
}
