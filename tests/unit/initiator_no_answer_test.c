/* SPDX-License-Identifier: MIT */
/* The client's side of "No answer wanted" (docs/protocol.md): requests that want none, and the
 * probe that tells where they may be used. */
#include "dialogue_check.h"
#include "runner.h"
#include <errno.h>

#define MAGIC 0xfa, 0xa8, 0xfa, 0xa8
#define HEAD(words) 1, words, 0x22, 0x63
#define V4 192, 0, 2, 10
#define MAPPED 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0xff, 0xff

enum { DATA = 3 }; /* octets that follow an answer */

static struct initiator_options silent(enum protocol dialect)
{
    return (struct initiator_options){.dialect = dialect, .no_answer = true};
}

static void ck_begin_probe(struct dialogue *d, enum protocol dialect, struct span cookie)
{
    int error = 0;

    memset(d, 0, sizeof *d);
    ck_assert(initiator_init_probe(&d->in, dialect, cookie, &error));
    ck_assert_int_eq(error, 0);
    ck_assert_int_eq(d->in.step, INITIATOR_SEND);
}

/* Sends octet by octet: ready with the last one, and not earlier. */
static void ck_ready_when_sent(const struct initiator_options *opt, const uint8_t *want,
                               size_t len)
{
    static const uint8_t data[] = "the target's";
    struct target t = target_of("192.0.2.10:443");
    struct initiator in;
    size_t consumed = 99;
    int error = 0;

    ck_assert(initiator_init(&in, opt, &t, &error));
    for (size_t i = 0; i < len; i++) {
        ck_assert_int_eq(in.step, INITIATOR_SEND);
        ck_assert_uint_eq(initiator_output(&in).len, len - i);
        ck_assert_uint_eq(initiator_output(&in).ptr[0], want[i]);
        initiator_sent(&in, 1);
    }
    ck_assert_int_eq(in.step, INITIATOR_READY);
    ck_assert(in.error == 0 && !in.server_mptcp && !in.exact);
    ck_assert_int_eq(initiator_input(&in, span_of(data, sizeof data), &consumed),
                     INITIATOR_READY);
    ck_assert_uint_eq(consumed, 0);
    ck_assert_int_eq(initiator_closed(&in, ECONNRESET), INITIATOR_READY);
}

START_TEST(mp_convert_is_ready_with_the_last_octet_sent)
{
    static const uint8_t want[] = {MAGIC, 0xf3, 4, 0, 0, MAGIC, 0, 10, 0, 1, V4, 1, 0xbb, 0, 0};
    static const uint8_t both[] = {MAGIC, 0xf3, 4, 0,     0, MAGIC, 0, 10, 0,   0,  V4,  1,
                                   0xbb,  0,    0, MAGIC, 0, 8,     0, 3,  198, 51, 100, 7};
    struct initiator_options opt = silent(PROTOCOL_MP_CONVERT);

    ck_ready_when_sent(&opt, want, sizeof want);
    opt.source = addr_ipv4((const uint8_t[]){198, 51, 100, 7}, 0);
    ck_ready_when_sent(&opt, both, sizeof both);
}
END_TEST

START_TEST(mp_convert_writes_the_m_bit_of_no_answer_as_configured)
{
    static const uint8_t want[] = {MAGIC, 0xf3, 4, 0, 1, MAGIC, 0, 10, 0, 0, V4, 1, 0xbb, 0, 0};
    struct initiator_options opt = silent(PROTOCOL_MP_CONVERT);

    opt.m_bit = MPCONVERT_M_INVERTED;
    ck_ready_when_sent(&opt, want, sizeof want);
}
END_TEST

START_TEST(convert_is_ready_with_the_last_octet_sent)
{
    static const uint8_t want[] = {HEAD(7), 0xc0, 1, 0, 0, 10, 5, 1, 0xbb, MAPPED, V4};
    static const uint8_t cookie[] = {HEAD(9), 0xc0, 1, 0, 0, 10,  5,   1,   0xbb, MAPPED,
                                     V4,      0x16, 2, 0, 0, 'a', 'b', 'c', 0};
    struct initiator_options opt = silent(PROTOCOL_CONVERT);

    ck_ready_when_sent(&opt, want, sizeof want);
    opt.want_info = true; /* moot: nobody would be told */
    ck_ready_when_sent(&opt, want, sizeof want);
    opt.cookie = SPAN("abc");
    ck_ready_when_sent(&opt, cookie, sizeof cookie);
}
END_TEST

START_TEST(the_longest_cookie_still_fits)
{
    static const uint8_t cookie[CONVERT_COOKIE_MAX];
    struct initiator_options opt = silent(PROTOCOL_CONVERT);
    struct target t = target_of("192.0.2.10:443");
    struct initiator in;
    size_t len = 0;
    int error = 0;

    opt.want_info = true;
    do
        opt.cookie = span_of(cookie, ++len);
    while (initiator_init(&in, &opt, &t, &error) && initiator_output(&in).len > 0);
    ck_assert_int_eq(error, EINVAL);
    opt.cookie.len = len - 1;
    ck_assert(initiator_init(&in, &opt, &t, &error));
    ck_assert_uint_eq(initiator_output(&in).len, CONVERT_MESSAGE_MAX);
    ck_assert(initiator_init_probe(&in, PROTOCOL_CONVERT, opt.cookie, &error));
    ck_assert_uint_gt(initiator_output(&in).len, 0);
}
END_TEST

START_TEST(the_other_dialects_do_not_know_it)
{
    struct dialogue with, without;
    static const enum protocol others[] = {PROTOCOL_SOCKS5, PROTOCOL_PM08};

    for (size_t i = 0; i < 2; i++) {
        ck_begin(&with, silent(others[i]), "192.0.2.10:443");
        ck_begin(&without, (struct initiator_options){.dialect = others[i]}, "192.0.2.10:443");
        ck_assert(span_equal(initiator_output(&with.in), initiator_output(&without.in)));
        initiator_sent(&with.in, 999);
        initiator_sent(&without.in, 999);
        ck_assert_int_eq(with.in.step, without.in.step);
    }
}
END_TEST

/* --- the probe */

static const uint8_t probe_mp_convert[] = {MAGIC, 0xf3, 4, 0, 0, MAGIC, 0, 4, 0, 1};
static const uint8_t probe_convert[] = {HEAD(3), 0xc0, 1, 0, 0, 1, 1, 0, 0};

struct verdict_of {
    const char *what;
    enum protocol dialect;
    enum initiator_step step;
    bool exact;
    size_t len; /* of the answer */
    uint8_t octets[24];
};

static const struct verdict_of verdicts[] = {
    {"both elements",
     PROTOCOL_MP_CONVERT,
     INITIATOR_READY,
     true,
     16,
     {MAGIC, 0xf3, 4, 0, 0, MAGIC, 0, 4, 0, 1}},
    {"one element", PROTOCOL_MP_CONVERT, INITIATOR_READY, false, 8, {MAGIC, 0, 4, 0, 1}},
    {"reserved bits",
     PROTOCOL_MP_CONVERT,
     INITIATOR_READY,
     true,
     16,
     {MAGIC, 0xf3, 4, 9, 8, MAGIC, 0, 4, 7, 9}},
    {"C0",
     PROTOCOL_CONVERT,
     INITIATOR_READY,
     true,
     16,
     {HEAD(4), 0x15, 2, 0, 0, 30, 34, 4, 8, 0xc0, 1, 0, 0}},
    {"no C0",
     PROTOCOL_CONVERT,
     INITIATOR_READY,
     false,
     12,
     {HEAD(3), 0x15, 2, 0, 0, 30, 34, 4, 8}},
    {"Error 2", PROTOCOL_CONVERT, INITIATOR_READY, false, 8, {HEAD(2), 0x1e, 1, 2, 0}},
    {"Error 2 and C0",
     PROTOCOL_CONVERT,
     INITIATOR_READY,
     false,
     12,
     {HEAD(3), 0x1e, 1, 2, 0, 0xc0, 1, 0, 0}},
    {"Error 32", PROTOCOL_CONVERT, INITIATOR_REFUSED, false, 8, {HEAD(2), 0x1e, 1, 32, 0}},
};

START_TEST(exactly_the_answer_is_read)
{
    const struct verdict_of *v = &verdicts[_i];
    uint8_t stream[sizeof v->octets + DATA];

    memset(stream, 'x', sizeof stream);
    memcpy(stream, v->octets, v->len);
    for (size_t piece = 0; piece <= v->len + DATA; piece++) {
        struct dialogue d;

        ck_begin_probe(&d, v->dialect, SPAN(""));
        ck_play(&d, span_of(stream, v->len + DATA), piece);
        ck_assert_msg(d.in.step == v->step, "%s", v->what);
        ck_assert_msg(d.in.exact == v->exact, "%s", v->what);
        ck_assert_uint_eq(d.consumed, v->len);
        if (v->dialect == PROTOCOL_MP_CONVERT)
            ck_sent(&d, probe_mp_convert, sizeof probe_mp_convert);
        else
            ck_sent(&d, probe_convert, sizeof probe_convert);
    }
}
END_TEST

START_TEST(every_prefix_of_the_answer_is_waited_out)
{
    const struct verdict_of *v = &verdicts[_i];

    for (size_t n = 0; n < v->len; n++) {
        struct dialogue d;

        ck_begin_probe(&d, v->dialect, SPAN(""));
        ck_play(&d, span_of(v->octets, n), 1);
        ck_assert_int_eq(d.in.step, INITIATOR_WAIT);
        ck_assert_uint_eq(d.consumed, 0);
    }
}
END_TEST

static const struct {
    enum protocol dialect;
    uint8_t octets[16];
} foreign[] = {
    {PROTOCOL_MP_CONVERT, {'H', 'T', 'T', 'P'}},
    {PROTOCOL_MP_CONVERT, {MAGIC, 1, 4, 0, 1}},
    {PROTOCOL_MP_CONVERT, {MAGIC, 0, 4, 0, 0, MAGIC, 0xf3, 4}}, /* another order */
    {PROTOCOL_MP_CONVERT, {MAGIC, 0xf3, 4, 0, 0, MAGIC, 0xf3, 4, 0, 1}},
    {PROTOCOL_CONVERT, {'H', 'T', 'T', 'P'}},
    {PROTOCOL_CONVERT, {MAGIC, 0, 4, 0, 1}},
};

START_TEST(foreign_octets_are_no_answer)
{
    struct dialogue d;

    ck_begin_probe(&d, foreign[_i].dialect, SPAN(""));
    ck_play(&d, span_of(foreign[_i].octets, sizeof foreign[_i].octets), 1);
    ck_assert_int_eq(d.in.step, INITIATOR_BROKEN);
    ck_assert(!d.in.exact);
}
END_TEST

/* Foreign MP_CONVERT peers abort (draft -10 s5.2 leaves them nothing else). */
START_TEST(an_abort_says_no)
{
    struct dialogue d;

    ck_begin_probe(&d, PROTOCOL_MP_CONVERT, SPAN(""));
    ck_play(&d, SPAN(""), 0);
    ck_assert_int_eq(initiator_closed(&d.in, ECONNRESET), INITIATOR_REFUSED);
    ck_assert_int_eq(d.in.error, ECONNREFUSED);
    ck_assert(!d.in.exact);
}
END_TEST

/* RFC 8803 s6.2.7: Error 3 hands one out, the next probe carries it. */
START_TEST(a_probe_is_handed_a_cookie_and_carries_it)
{
    static const uint8_t error3[] = {HEAD(3), 0x1e, 2, 3, 0, 'a', 'b', 'c', 'd'};
    static const uint8_t want[] = {HEAD(5), 0xc0, 1, 0, 0,   1,   1,   0,  0,
                                   0x16,    2,    0, 0, 'a', 'b', 'c', 'd'};
    struct dialogue d, again;

    ck_begin_probe(&d, PROTOCOL_CONVERT, SPAN(""));
    ck_play(&d, span_of(error3, sizeof error3), 1);
    ck_assert_int_eq(d.in.step, INITIATOR_REFUSED);
    ck_assert_int_eq(d.in.failure.why, OUTCOME_MISSING_COOKIE);
    ck_begin_probe(&again, PROTOCOL_CONVERT, span_of(d.in.cookie, d.in.cookie_len));
    ck_play(&again, SPAN(""), 0);
    ck_sent(&again, want, sizeof want);
}
END_TEST

START_TEST(only_two_dialects_can_be_probed)
{
    static const uint8_t cookie[CONVERT_COOKIE_MAX];
    struct initiator in, before;
    int error = 0;

    memset(&in, 0xA5, sizeof in);
    before = in;
    ck_assert(!initiator_init_probe(&in, PROTOCOL_SOCKS5, SPAN(""), &error));
    ck_assert_int_eq(error, EPROTONOSUPPORT);
    ck_assert(!initiator_init_probe(&in, PROTOCOL_PM08, SPAN(""), &error));
    ck_assert_int_eq(error, EPROTONOSUPPORT);
    ck_assert(
        !initiator_init_probe(&in, PROTOCOL_CONVERT, span_of(cookie, sizeof cookie), &error));
    ck_assert_int_eq(error, EINVAL);
    ck_assert_mem_eq(&in, &before, sizeof in);
}
END_TEST

/* S17: eight octets, their echo, and nothing of the target, be it a name. */
START_TEST(an_element_without_address_is_echoed_as_it_is)
{
    static const uint8_t want[] = {MAGIC, 0, 4, 0, 1};
    struct initiator_options opt = {.dialect = PROTOCOL_MP_CONVERT, .anonymous = true};
    struct target name = {.name = "example.net", .name_len = 11, .port = 80};
    struct initiator in;
    size_t consumed;
    int error = 0;

    ck_assert(initiator_init(&in, &opt, &name, &error));
    ck_assert_uint_eq(initiator_output(&in).len, sizeof want);
    ck_assert_mem_eq(initiator_output(&in).ptr, want, sizeof want);
    initiator_sent(&in, sizeof want);
    ck_assert_int_eq(initiator_input(&in, span_of(want, 7), &consumed), INITIATOR_WAIT);
    ck_assert_int_eq(initiator_input(&in, span_of(want, sizeof want), &consumed),
                     INITIATOR_READY);
    ck_assert_uint_eq(consumed, sizeof want);
    ck_assert(initiator_init(&in, &opt, &name, &error));
    initiator_sent(&in, sizeof want);
    ck_assert_int_eq(initiator_input(&in, SPAN("HTTP/1.1"), &consumed), INITIATOR_BROKEN);
}
END_TEST

int main(void)
{
    Suite *s = suite_create("initiator_no_answer");
    TCase *t = tcase_create("client");
    int n = (int)(sizeof verdicts / sizeof verdicts[0]);

    tcase_add_test(t, mp_convert_is_ready_with_the_last_octet_sent);
    tcase_add_test(t, mp_convert_writes_the_m_bit_of_no_answer_as_configured);
    tcase_add_test(t, convert_is_ready_with_the_last_octet_sent);
    tcase_add_test(t, the_longest_cookie_still_fits);
    tcase_add_test(t, the_other_dialects_do_not_know_it);
    tcase_add_loop_test(t, exactly_the_answer_is_read, 0, n);
    tcase_add_loop_test(t, every_prefix_of_the_answer_is_waited_out, 0, n);
    tcase_add_loop_test(t, foreign_octets_are_no_answer, 0,
                        (int)(sizeof foreign / sizeof foreign[0]));
    tcase_add_test(t, an_abort_says_no);
    tcase_add_test(t, a_probe_is_handed_a_cookie_and_carries_it);
    tcase_add_test(t, only_two_dialects_can_be_probed);
    tcase_add_test(t, an_element_without_address_is_echoed_as_it_is);
    suite_add_tcase(s, t);
    return runner_main(s);
}
