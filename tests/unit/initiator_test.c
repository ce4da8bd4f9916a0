/* SPDX-License-Identifier: MIT */
/* MP_CONVERT, PM08 and CONVERT, and what holds for every dialect. SOCKS5 is in
 * initiator_socks5_test.c. */
#include "dialogue_check.h"
#include "runner.h"
#include <errno.h>

#define MAGIC 0xfa, 0xa8, 0xfa, 0xa8
#define V4 192, 0, 2, 10

static struct target name_of(const char *host, uint16_t port)
{
    struct target t;

    ck_assert(target_from_host(span_of(host, strlen(host)), port, &t));
    return t;
}

/* --- MP_CONVERT */

static const struct initiator_options mp_convert = {.dialect = PROTOCOL_MP_CONVERT};
static const uint8_t element[] = {MAGIC, 0, 10, 0, 1, V4, 1, 0xbb, 0, 0};

START_TEST(mp_convert_is_ready_after_its_echo_and_not_an_octet_later)
{
    uint8_t stream[sizeof element + 5];

    memset(stream, 'x', sizeof stream); /* the server's */
    memcpy(stream, element, sizeof element);
    for (size_t piece = 0; piece <= sizeof stream; piece++) {
        struct dialogue d;

        ck_begin(&d, mp_convert, "192.0.2.10:443");
        ck_play(&d, span_of(stream, sizeof stream), piece);
        ck_assert_int_eq(d.in.step, INITIATOR_READY);
        ck_assert_uint_eq(d.consumed, sizeof element);
        ck_assert_int_eq(d.in.error, 0);
        ck_sent(&d, element, sizeof element);
    }
}
END_TEST

START_TEST(mp_convert_waits_for_the_whole_echo)
{
    for (size_t n = 0; n < sizeof element; n++) {
        struct dialogue d;

        ck_begin(&d, mp_convert, "192.0.2.10:443");
        ck_play(&d, span_of(element, n), 1);
        ck_assert_int_eq(d.in.step, INITIATOR_WAIT);
        ck_assert_uint_eq(d.consumed, 0);
    }
}
END_TEST

/* -10 s5.2: the D=1 element; the port of the source only when it has one */
START_TEST(mp_convert_sends_the_source_behind_the_target)
{
    static const uint8_t want[] = {MAGIC, 0, 10, 0, 0, V4,  1,  0xbb, 0, 0,
                                   MAGIC, 0, 8,  0, 3, 198, 51, 100,  7};
    struct initiator_options opt = mp_convert;
    struct dialogue d;

    opt.source = addr_ipv4((const uint8_t[]){198, 51, 100, 7}, 0);
    ck_begin(&d, opt, "192.0.2.10:443");
    ck_play(&d, span_of(want, sizeof want), 3);
    ck_sent(&d, want, sizeof want);
    ck_assert_int_eq(d.in.step, INITIATOR_READY);
    ck_assert_uint_eq(d.consumed, sizeof want);
}
END_TEST

START_TEST(mp_convert_writes_the_m_bit_as_configured)
{
    struct initiator_options opt = mp_convert;
    struct dialogue d;

    opt.m_bit = MPCONVERT_M_INVERTED;
    ck_begin(&d, opt, "192.0.2.10:443");
    ck_play(&d, SPAN(""), 0);
    ck_assert_uint_eq(d.sent_len, sizeof element);
    ck_assert_uint_eq(d.sent[7], 0);
}
END_TEST

/* K4(a) */
START_TEST(mp_convert_is_broken_by_the_first_octet_that_is_no_echo)
{
    uint8_t stream[sizeof element];
    struct dialogue d;

    memcpy(stream, element, sizeof element);
    stream[11] ^= 1;
    ck_begin(&d, mp_convert, "192.0.2.10:443");
    ck_play(&d, span_of(stream, 12), 1);
    ck_assert_int_eq(d.in.step, INITIATOR_BROKEN);
    ck_assert_int_eq(d.in.error, EPROTO);
    ck_assert_int_eq(d.in.failure.why, OUTCOME_UNKNOWN_PROTOCOL);
    ck_assert_uint_eq(d.consumed, 0);
}
END_TEST

/* K4(b), S10 */
START_TEST(mp_convert_closed_without_an_octet_is_a_refusal)
{
    static const int errors[] = {0, ECONNRESET, EPIPE};
    struct dialogue d;

    ck_begin(&d, mp_convert, "192.0.2.10:443");
    ck_play(&d, SPAN(""), 0);
    ck_assert_int_eq(initiator_closed(&d.in, errors[_i]), INITIATOR_REFUSED);
    ck_assert_int_eq(d.in.failure.why, OUTCOME_REFUSED);
    ck_assert_int_eq(d.in.error, ECONNREFUSED);
}
END_TEST

START_TEST(mp_convert_closed_within_the_echo_is_no_refusal)
{
    struct dialogue d;

    ck_begin(&d, mp_convert, "192.0.2.10:443");
    ck_play(&d, span_of(element, 1), 0);
    ck_assert_int_eq(initiator_closed(&d.in, ECONNRESET), INITIATOR_REFUSED);
    ck_assert_int_eq(d.in.failure.why, OUTCOME_UPSTREAM_RESET);
    ck_assert_int_eq(d.in.error, ECONNRESET);
}
END_TEST

/* --- PM08 */

START_TEST(pm08_is_ready_when_all_is_sent)
{
    static const uint8_t want[] = {0x1e, 10,   0xe8, 6,    198, 51, 100, 7,    0,
                                   7,    0x1e, 10,   0xe0, 6,   V4, 1,   0xbb, 0};
    struct initiator_options opt = {.dialect = PROTOCOL_PM08};
    struct dialogue d;
    size_t used = 1;

    opt.source = addr_ipv4((const uint8_t[]){198, 51, 100, 7}, 7);
    ck_begin(&d, opt, "192.0.2.10:443");
    initiator_sent(&d.in, sizeof want - 1);
    ck_assert_int_eq(d.in.step, INITIATOR_SEND);
    ck_assert_uint_eq(initiator_output(&d.in).len, 1);
    initiator_sent(&d.in, 1);
    ck_assert_int_eq(d.in.step, INITIATOR_READY);
    ck_assert_int_eq(initiator_input(&d.in, SPAN("server data"), &used), INITIATOR_READY);
    ck_assert_uint_eq(used, 0);
    ck_begin(&d, opt, "192.0.2.10:443");
    ck_play(&d, SPAN("server data"), 1);
    ck_sent(&d, want, sizeof want);
    ck_assert_uint_eq(d.consumed, 0);
}
END_TEST

START_TEST(pm08_closed_before_all_was_sent_is_a_reset)
{
    struct initiator_options opt = {.dialect = PROTOCOL_PM08};
    struct dialogue d;

    ck_begin(&d, opt, "192.0.2.10:443");
    initiator_sent(&d.in, 1);
    ck_assert_int_eq(initiator_closed(&d.in, ECONNRESET), INITIATOR_REFUSED);
    ck_assert_int_eq(d.in.error, ECONNRESET);
}
END_TEST

/* --- every dialect */

static const enum protocol dialects[] = {PROTOCOL_SOCKS5, PROTOCOL_MP_CONVERT, PROTOCOL_PM08,
                                         PROTOCOL_CONVERT};

START_TEST(a_failed_leg_keeps_its_errno)
{
    struct initiator_options opt = {.dialect = dialects[_i]};
    struct dialogue d;

    ck_begin(&d, opt, "192.0.2.10:443");
    ck_assert_int_eq(initiator_closed(&d.in, ETIMEDOUT), INITIATOR_REFUSED);
    ck_assert_int_eq(d.in.failure.why, OUTCOME_CONNECT_TIMEOUT);
    ck_assert_int_eq(d.in.error, ETIMEDOUT);
    ck_assert_int_eq(initiator_closed(&d.in, ECONNRESET), INITIATOR_REFUSED);
    ck_assert_int_eq(d.in.error, ETIMEDOUT); /* the first one counts */
}
END_TEST

START_TEST(nothing_is_looked_at_while_output_waits)
{
    struct initiator_options opt = {.dialect = dialects[_i]};
    struct dialogue d;
    size_t used = 7, len;

    ck_begin(&d, opt, "192.0.2.10:443");
    len = initiator_output(&d.in).len;
    initiator_sent(&d.in, len - 1);
    ck_assert_int_eq(initiator_input(&d.in, SPAN("not my protocol"), &used), INITIATOR_SEND);
    ck_assert_uint_eq(used, 0);
    ck_assert_uint_eq(initiator_output(&d.in).len, 1);
    initiator_sent(&d.in, 1000); /* more than there is counts as all */
    ck_assert_uint_eq(initiator_output(&d.in).len, 0);
    ck_assert_int_ne(d.in.step, INITIATOR_SEND);
}
END_TEST

START_TEST(a_name_is_refused_where_the_dialect_has_none)
{
    struct initiator_options opt = {.dialect = dialects[_i]};
    struct target t = name_of("example.net", 443);
    struct initiator in, before;
    int error = 0;

    memset(&in, 0xA5, sizeof in);
    before = in;
    bool ok = initiator_init(&in, &opt, &t, &error);
    ck_assert(ok == (dialects[_i] == PROTOCOL_SOCKS5));
    if (ok)
        return;
    ck_assert_int_eq(error, EAFNOSUPPORT);
    ck_assert_mem_eq(&in, &before, sizeof in);
}
END_TEST

START_TEST(an_empty_target_is_refused)
{
    struct initiator_options opt = {.dialect = dialects[_i]};
    struct target t = {.port = 443};
    struct initiator in;
    int error = 0;

    ck_assert(!initiator_init(&in, &opt, &t, &error));
    ck_assert_int_eq(error, EINVAL);
}
END_TEST

START_TEST(other_protocols_are_no_dialects)
{
    static const enum protocol others[] = {PROTOCOL_UNKNOWN, PROTOCOL_SOCKS4, PROTOCOL_HTTP,
                                           PROTOCOL_COUNT};
    struct initiator_options opt = {.dialect = others[_i]};
    struct target t = target_of("192.0.2.10:443");
    struct initiator in;
    int error = 0;

    ck_assert(!initiator_init(&in, &opt, &t, &error));
    ck_assert_int_eq(error, EPROTONOSUPPORT);
}
END_TEST

START_TEST(a_cookie_too_long_for_the_message_is_refused)
{
    static const uint8_t cookie[1000];
    struct initiator_options opt = {.dialect = PROTOCOL_CONVERT, .want_info = true};
    struct target t = target_of("192.0.2.10:443");
    struct initiator in;
    int error = 0;

    opt.cookie = span_of(cookie, 988);
    ck_assert(initiator_init(&in, &opt, &t, &error));
    ck_assert_uint_eq(initiator_output(&in).len, CONVERT_MESSAGE_MAX);
    opt.cookie = span_of(cookie, 989);
    ck_assert(!initiator_init(&in, &opt, &t, &error));
    ck_assert_int_eq(error, EINVAL);
}
END_TEST

START_TEST(the_verdict_wipes_the_flight)
{
    static const uint8_t none[CONVERT_MESSAGE_MAX];
    struct initiator_options opt = {.dialect = PROTOCOL_CONVERT, .cookie = SPAN("secret")};
    struct dialogue d;

    ck_begin(&d, opt, "192.0.2.10:443");
    ck_play(&d, SPAN(""), 0);
    ck_assert_mem_ne(d.in.sent, none, sizeof none);
    (void)initiator_closed(&d.in, 0); /* REFUSED, tested above */
    ck_assert_mem_eq(d.in.sent, none, sizeof none);
}
END_TEST

#define COUNT(a) ((int)(sizeof(a) / sizeof((a)[0])))

int main(void)
{
    Suite *s = suite_create("initiator");
    TCase *mc = tcase_create("mp_convert");
    TCase *all = tcase_create("every dialect");

    tcase_add_test(mc, mp_convert_is_ready_after_its_echo_and_not_an_octet_later);
    tcase_add_test(mc, mp_convert_waits_for_the_whole_echo);
    tcase_add_test(mc, mp_convert_sends_the_source_behind_the_target);
    tcase_add_test(mc, mp_convert_writes_the_m_bit_as_configured);
    tcase_add_test(mc, mp_convert_is_broken_by_the_first_octet_that_is_no_echo);
    tcase_add_loop_test(mc, mp_convert_closed_without_an_octet_is_a_refusal, 0, 3);
    tcase_add_test(mc, mp_convert_closed_within_the_echo_is_no_refusal);
    tcase_add_test(mc, pm08_is_ready_when_all_is_sent);
    tcase_add_test(mc, pm08_closed_before_all_was_sent_is_a_reset);
    tcase_add_loop_test(all, a_failed_leg_keeps_its_errno, 0, COUNT(dialects));
    tcase_add_loop_test(all, nothing_is_looked_at_while_output_waits, 0, COUNT(dialects));
    tcase_add_loop_test(all, a_name_is_refused_where_the_dialect_has_none, 0, COUNT(dialects));
    tcase_add_loop_test(all, an_empty_target_is_refused, 0, COUNT(dialects));
    tcase_add_loop_test(all, other_protocols_are_no_dialects, 0, 4);
    tcase_add_test(all, a_cookie_too_long_for_the_message_is_refused);
    tcase_add_test(all, the_verdict_wipes_the_flight);
    suite_add_tcase(s, mc);
    suite_add_tcase(s, all);
    return runner_main(s);
}
