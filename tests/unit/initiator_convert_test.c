/* SPDX-License-Identifier: MIT */
/* The initiator's CONVERT dialect, RFC 8803. */
#include "dialogue_check.h"
#include "runner.h"
#include <errno.h>

#define V4 192, 0, 2, 10
#define MAPPED 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0xff, 0xff

static const struct initiator_options convert = {.dialect = PROTOCOL_CONVERT};

START_TEST(convert_asks_with_connect_info_and_cookie)
{
    static const uint8_t want[] = {1, 6, 0x22, 0x63, 10, 5, 1, 0xbb, MAPPED, V4};
    static const uint8_t all[] = {1,    9,      0x22, 0x63, 1, 1, 0, 0,   10,  5,   1,
                                  0xbb, MAPPED, V4,   0x16, 2, 0, 0, 'a', 'b', 'c', 0};
    struct initiator_options opt = convert;
    struct dialogue d;

    ck_begin(&d, opt, "192.0.2.10:443");
    ck_play(&d, SPAN(""), 0);
    ck_sent(&d, want, sizeof want);
    opt.want_info = true;
    opt.cookie = SPAN("abc");
    ck_begin(&d, opt, "192.0.2.10:443");
    ck_play(&d, SPAN(""), 5);
    ck_sent(&d, all, sizeof all);
}
END_TEST

struct answer {
    const char *what;
    size_t len; /* without the server's data */
    uint8_t octets[48];
    bool server_mptcp;
};

static const struct answer good[] = {
    {"bare header, L3", 4, {1, 1, 0x22, 0x63}, false},
    {"Extended TCP Header", 12, {1, 3, 0x22, 0x63, 0x14, 2, 0, 0, 2, 4, 5, 0xb4}, false},
    {"a server that speaks MPTCP, s5.1",
     20,
     {1, 5, 0x22, 0x63, 0x14, 4, 0, 0, 30, 12, 1, 1},
     true},
    {"Supported TCP Extensions", 12, {1, 3, 0x22, 0x63, 0x15, 2, 0, 0, 30, 34, 4, 8}, false},
    {"an unknown TLV", 8, {1, 2, 0x22, 0x63, 0xc8, 1, 0, 0}, false},
};

START_TEST(convert_is_ready_after_the_answer_and_not_an_octet_later)
{
    const struct answer *a = &good[_i];
    uint8_t stream[sizeof a->octets + 5];

    memcpy(stream, a->octets, a->len);
    memset(stream + a->len, 'x', 5); /* the server's */
    for (size_t piece = 0; piece <= a->len + 5; piece++) {
        struct dialogue d;

        ck_begin(&d, convert, "192.0.2.10:443");
        ck_play(&d, span_of(stream, a->len + 5), piece);
        ck_assert_msg(d.in.step == INITIATOR_READY, "%s", a->what);
        ck_assert_uint_eq(d.consumed, a->len);
        ck_assert(d.in.server_mptcp == a->server_mptcp);
    }
}
END_TEST

struct refusal {
    const char *target; /* NULL: the IPv4 one */
    uint8_t code, value, detail, retry_after;
    enum outcome why;
    int error;
};

/* RFC 8803 s6.2.8, L7, L9 */
static const struct refusal refusals[] = {
    {NULL, 0, 1, 0, 0, OUTCOME_UNSUPPORTED_VERSION, EPROTO},
    {NULL, 1, 0, 0, 0, OUTCOME_MALFORMED, EPROTO},
    {NULL, 2, 0, 0, 0, OUTCOME_UNSUPPORTED_MESSAGE, EPROTO},
    {NULL, 3, 0, 0, 0, OUTCOME_MISSING_COOKIE, EACCES},
    {NULL, 32, 0, 0, 0, OUTCOME_DENIED, EACCES},
    {NULL, 33, 29, 29, 0, OUTCOME_UNSUPPORTED_OPTION, EOPNOTSUPP},
    {NULL, 64, 60, 60, 60, OUTCOME_NO_RESOURCES, EAGAIN},
    {NULL, 64, 0, 0, 30, OUTCOME_NO_RESOURCES, EAGAIN},
    {NULL, 65, 0, 0, 30, OUTCOME_NO_ROUTE, ENETUNREACH},
    {NULL, 65, 255, 0, 255, OUTCOME_NO_ROUTE, ENETUNREACH},
    {NULL, 96, 0, 0, 0, OUTCOME_REFUSED, ECONNREFUSED},
    {NULL, 97, 0, 0, 0, OUTCOME_UNREACHABLE, ENETUNREACH},
    {NULL, 97, 1, 1, 0, OUTCOME_UNREACHABLE, EHOSTUNREACH},
    {NULL, 97, 3, 3, 0, OUTCOME_UNREACHABLE, ECONNREFUSED},
    {NULL, 97, 13, 13, 0, OUTCOME_UNREACHABLE, EHOSTUNREACH},
    {"[2001:db8::1]:443", 97, 3, 3, 0, OUTCOME_UNREACHABLE, EHOSTUNREACH},
    {"[2001:db8::1]:443", 97, 4, 4, 0, OUTCOME_UNREACHABLE, ECONNREFUSED},
    {NULL, 4, 0, 0, 0, OUTCOME_MALFORMED, EPROTO},   /* unassigned */
    {NULL, 200, 0, 0, 0, OUTCOME_MALFORMED, EPROTO}, /* private use */
};

START_TEST(convert_maps_every_error)
{
    const struct refusal *r = &refusals[_i];
    const uint8_t stream[] = {1, 2, 0x22, 0x63, 0x1e, 1, r->code, r->value};
    struct dialogue d;

    for (size_t piece = 0; piece <= sizeof stream; piece++) {
        ck_begin(&d, convert, r->target != NULL ? r->target : "192.0.2.10:443");
        ck_play(&d, span_of(stream, sizeof stream), piece);
        ck_assert_int_eq(d.in.step, INITIATOR_REFUSED);
        ck_assert_int_eq(d.in.failure.why, r->why);
        ck_assert_uint_eq(d.in.failure.detail, r->detail);
        ck_assert(d.in.failure.icmp6 == (r->code == 97 && r->target != NULL));
        ck_assert_int_eq(d.in.error, r->error);
        ck_assert_uint_eq(d.in.retry_after, r->retry_after);
        ck_assert_uint_eq(d.in.cookie_len, 0);
    }
}
END_TEST

/* Y4, RFC 8803 s6.2.7: stored, and good for the next attempt. */
START_TEST(convert_keeps_the_cookie_it_is_handed)
{
    static const uint8_t stream[] = {1, 4, 0x22, 0x63, 0x1e, 3,  3,  0,
                                     1, 0, 0,    7,    0x43, 46, 48, 0};
    struct initiator_options opt = convert;
    struct dialogue d, again;

    ck_begin(&d, opt, "192.0.2.10:443");
    ck_play(&d, span_of(stream, sizeof stream), 1);
    ck_assert_int_eq(d.in.step, INITIATOR_REFUSED);
    ck_assert_uint_eq(d.in.cookie_len, 8);
    ck_assert_mem_eq(d.in.cookie, stream + 8, 8);
    opt.cookie = span_of(d.in.cookie, d.in.cookie_len);
    ck_begin(&again, opt, "192.0.2.10:443");
    ck_play(&again, SPAN(""), 0);
    ck_assert_uint_eq(again.sent_len, 24 + 4 + 8);
    ck_assert_mem_eq(again.sent + 28, stream + 8, 8);
}
END_TEST

START_TEST(convert_drops_a_cookie_it_cannot_keep)
{
    uint8_t longest[4 + 4 + 252] = {1, 1 + 64, 0x22, 0x63, 0x1e, 64, 3};
    uint8_t too_long[4 + 4 + 256] = {1, 1 + 65, 0x22, 0x63, 0x1e, 65, 3};
    struct dialogue d;

    ck_begin(&d, convert, "192.0.2.10:443");
    ck_play(&d, span_of(longest, sizeof longest), 0);
    ck_assert_int_eq(d.in.failure.why, OUTCOME_MISSING_COOKIE);
    ck_assert_uint_eq(d.in.cookie_len, 252);
    ck_begin(&d, convert, "192.0.2.10:443");
    ck_play(&d, span_of(too_long, sizeof too_long), 0);
    ck_assert_int_eq(d.in.failure.why, OUTCOME_MISSING_COOKIE);
    ck_assert_uint_eq(d.in.cookie_len, 0);
}
END_TEST

START_TEST(convert_is_broken_by_another_protocol)
{
    static const struct {
        size_t len;
        uint8_t octets[12];
        enum outcome why;
    } peers[] = {
        {8, {'H', 'T', 'T', 'P', '/', '1', '.', '1'}, OUTCOME_UNKNOWN_PROTOCOL},
        {4, {2, 1, 0x22, 0x63}, OUTCOME_UNKNOWN_PROTOCOL},
        {4, {1, 0, 0x22, 0x63}, OUTCOME_MALFORMED},
        {8, {1, 2, 0x22, 0x63, 0, 1, 0, 0}, OUTCOME_MALFORMED},                      /* L2 */
        {12, {1, 3, 0x22, 0x63, 0x1e, 1, 96, 0, 0x1e, 1, 96, 0}, OUTCOME_MALFORMED}, /* L2 */
    };
    struct dialogue d;

    for (size_t piece = 0; piece < 3; piece++) {
        ck_begin(&d, convert, "192.0.2.10:443");
        ck_play(&d, span_of(peers[_i].octets, peers[_i].len), piece);
        ck_assert_int_eq(d.in.step, INITIATOR_BROKEN);
        ck_assert_int_eq(d.in.failure.why, peers[_i].why);
        ck_assert_int_eq(d.in.error, EPROTO);
        ck_assert_uint_eq(d.consumed, 0);
    }
}
END_TEST

START_TEST(convert_closed_without_an_answer_tells_eof_from_reset)
{
    struct dialogue d;

    ck_begin(&d, convert, "192.0.2.10:443");
    ck_play(&d, SPAN(""), 0);
    ck_assert_int_eq(initiator_closed(&d.in, 0), INITIATOR_REFUSED);
    ck_assert_int_eq(d.in.failure.why, OUTCOME_UPSTREAM_EOF);
    ck_assert_int_eq(d.in.error, ECONNRESET);
    ck_begin(&d, convert, "192.0.2.10:443");
    ck_play(&d, SPAN("\1\2\x22"), 0);
    ck_assert_int_eq(initiator_closed(&d.in, ECONNRESET), INITIATOR_REFUSED);
    ck_assert_int_eq(d.in.failure.why, OUTCOME_UPSTREAM_RESET);
    ck_assert_int_eq(d.in.error, ECONNRESET);
}
END_TEST

#define COUNT(a) ((int)(sizeof(a) / sizeof((a)[0])))

int main(void)
{
    Suite *s = suite_create("initiator_convert");
    TCase *cv = tcase_create("convert");

    tcase_add_test(cv, convert_asks_with_connect_info_and_cookie);
    tcase_add_loop_test(cv, convert_is_ready_after_the_answer_and_not_an_octet_later, 0,
                        COUNT(good));
    tcase_add_loop_test(cv, convert_maps_every_error, 0, COUNT(refusals));
    tcase_add_test(cv, convert_keeps_the_cookie_it_is_handed);
    tcase_add_test(cv, convert_drops_a_cookie_it_cannot_keep);
    tcase_add_loop_test(cv, convert_is_broken_by_another_protocol, 0, 5);
    tcase_add_test(cv, convert_closed_without_an_answer_tells_eof_from_reset);
    suite_add_tcase(s, cv);
    return runner_main(s);
}
