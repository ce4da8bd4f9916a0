/* SPDX-License-Identifier: MIT */
/* Server role. The client's messages and the datagram headers are in socks5_client_test.c,
 * golden messages in vectors_socks_test.c. */
#include "decoders.h"
#include "runner.h"
#include "vectors.h"
#include "verdict_check.h"
#include "wire/socks5.h"

static struct vectors golden;

static void load(void)
{
    vectors_load("socks5.hex", &golden);
}

static const struct {
    const char *id;
    verdict_decode_fn *decode;
} messages[] = {
    {"S501", decoder_socks5_greeting}, {"S502", decoder_socks5_greeting},
    {"S504", decoder_socks5_userpass}, {"S506", decoder_socks5_request},
    {"S507", decoder_socks5_request},  {"S508", decoder_socks5_request},
    {"S50C", decoder_socks5_request},  {"S50F", decoder_socks5_greeting},
    {"S510", decoder_socks5_greeting}, {"S511", decoder_socks5_request},
    {"S512", decoder_socks5_request},
};

START_TEST(messages_are_prefix_stable)
{
    const struct vector *v = vectors_find(&golden, messages[_i].id);

    ck_assert_ptr_eq(verdict_message_flaw(messages[_i].decode, vector_span(v), v->message),
                     NULL);
}
END_TEST

START_TEST(mutated_messages_keep_the_rules)
{
    const struct vector *v = vectors_find(&golden, messages[_i].id);

    ck_assert_ptr_eq(verdict_mutation_flaw(messages[_i].decode, vector_span(v)), NULL);
}
END_TEST

START_TEST(a_wrong_version_is_bad_from_the_first_octet)
{
    for (unsigned v = 0; v <= 0xFF; v++) {
        struct span in = span_of((const uint8_t[]){(uint8_t)v}, 1);

        ck_assert_int_eq(decoder_socks5_greeting(in).status, v == 5 ? DECODE_MORE : DECODE_BAD);
        ck_assert_int_eq(decoder_socks5_request(in).status, v == 5 ? DECODE_MORE : DECODE_BAD);
        ck_assert_int_eq(decoder_socks5_userpass(in).status, v == 1 ? DECODE_MORE : DECODE_BAD);
        if (v != 5)
            ck_verdict(decoder_socks5_request(in), DECODE_BAD, 0, REJECT_VERSION);
    }
}
END_TEST

/* --- greeting
 * -------------------------------------------------------------------------------------------------------
 */

START_TEST(methods_are_a_view_into_the_input)
{
    static const uint8_t in[] = {5, 2, 0, 2, 'x'};
    struct socks5_greeting g;

    ck_verdict(socks5_decode_greeting(span_of(in, sizeof in), &g), DECODE_DONE, 4, REJECT_NONE);
    ck_assert_ptr_eq(g.methods.ptr, in + 2);
    ck_assert_uint_eq(g.methods.len, 2);
    ck_assert(socks5_offers(&g, SOCKS5_METHOD_NONE));
    ck_assert(socks5_offers(&g, SOCKS5_METHOD_USERPASS));
    ck_assert(!socks5_offers(&g, SOCKS5_METHOD_GSSAPI));
}
END_TEST

START_TEST(a_greeting_without_methods_offers_nothing)
{
    struct socks5_greeting g;

    ck_verdict(socks5_decode_greeting(span_of((const uint8_t[]){5, 0}, 2), &g), DECODE_DONE, 2,
               REJECT_NONE);
    ck_assert_uint_eq(g.methods.len, 0);
    ck_assert(!socks5_offers(&g, SOCKS5_METHOD_NONE));
}
END_TEST

START_TEST(the_longest_greeting_fits_its_maximum)
{
    uint8_t buf[SOCKS5_GREETING_MAX + 1], methods[255];
    struct wr w = {.buf = buf, .cap = sizeof buf};

    memset(methods, 0x80, sizeof methods);
    methods[254] = SOCKS5_METHOD_UNACCEPTABLE;
    socks5_encode_greeting(&w, methods, 255);
    ck_assert_uint_eq(wr_done(&w).len, SOCKS5_GREETING_MAX);
    ck_assert_ptr_eq(
        verdict_message_flaw(decoder_socks5_greeting, wr_done(&w), SOCKS5_GREETING_MAX), NULL);

    struct socks5_greeting g;
    (void)socks5_decode_greeting(wr_done(&w), &g);
    ck_assert(socks5_offers(&g, SOCKS5_METHOD_UNACCEPTABLE));
    ck_assert(!socks5_offers(&g, SOCKS5_METHOD_NONE));
}
END_TEST

/* --- RFC 1929
 * -------------------------------------------------------------------------------------------------------
 */

START_TEST(credentials_may_be_empty_and_hold_any_octet)
{
    static const uint8_t empty[] = {1, 0, 0};
    static const uint8_t odd[] = {1, 2, 0, 0xFF, 1, 0};
    struct socks5_userpass up;

    ck_verdict(socks5_decode_userpass(span_of(empty, 3), &up), DECODE_DONE, 3, REJECT_NONE);
    ck_assert_uint_eq(up.user.len + up.pass.len, 0);
    ck_verdict(socks5_decode_userpass(span_of(odd, 6), &up), DECODE_DONE, 6, REJECT_NONE);
    ck_assert_ptr_eq(up.user.ptr, odd + 2);
    ck_assert_uint_eq(up.user.len, 2);
    ck_assert_ptr_eq(up.pass.ptr, odd + 5);
    ck_assert_uint_eq(up.pass.len, 1);
}
END_TEST

START_TEST(the_longest_credentials_fit_their_maximum)
{
    uint8_t buf[SOCKS5_USERPASS_MAX], word[255];
    struct wr w = {.buf = buf, .cap = sizeof buf};

    memset(word, 'w', sizeof word);
    socks5_encode_userpass(&w, span_of(word, 255), span_of(word, 255));
    ck_assert_uint_eq(wr_done(&w).len, SOCKS5_USERPASS_MAX);
    ck_assert_uint_eq(SOCKS5_USERPASS_MAX, 513);
    ck_assert_ptr_eq(
        verdict_message_flaw(decoder_socks5_userpass, wr_done(&w), SOCKS5_USERPASS_MAX), NULL);
}
END_TEST

/* --- request
 * --------------------------------------------------------------------------------------------------------
 */

START_TEST(a_request_is_taken_as_sent)
{
    static const uint8_t in[] = {5, 0x99, 7, 1, 192, 0, 2, 10, 0, 0};
    struct socks5_request req;

    ck_verdict(socks5_decode_request(span_of(in, sizeof in), &req), DECODE_DONE, 10,
               REJECT_NONE);
    ck_assert_uint_eq(req.command, 0x99); /* the caller judges: RFC 1928 s6 wants a reply */
    ck_assert_uint_eq(req.reserved, 7);
    ck_assert_uint_eq(req.atyp, 1);
    ck_assert(req.known_atyp);
    ck_assert_ptr_eq(req.host.ptr, in + 4);
    ck_assert_uint_eq(req.host.len, 4);
    ck_assert_uint_eq(req.port, 0);
}
END_TEST

START_TEST(an_unknown_address_type_ends_the_request_after_it)
{
    for (unsigned atyp = 0; atyp <= 0xFF; atyp++) {
        const uint8_t in[] = {5, 1, 0, (uint8_t)atyp, 1, 'a', 0, 80};
        struct socks5_request req;
        struct target t;
        struct decode d = socks5_decode_request(span_of(in, sizeof in), &req);

        if (atyp == 1 || atyp == 3 || atyp == 4) {
            ck_assert_int_eq(d.status, atyp == 3 ? DECODE_DONE : DECODE_MORE); /* name "a" */
            continue;
        }
        ck_verdict(d, DECODE_DONE, 4, REJECT_NONE);
        ck_assert(!req.known_atyp);
        ck_assert_uint_eq(req.atyp, atyp);
        ck_assert_uint_eq(req.host.len, 0);
        ck_assert(!socks5_request_target(&req, &t));
    }
}
END_TEST

static bool target_of(const void *msg, size_t len, struct target *t)
{
    struct socks5_request req;

    ck_verdict(socks5_decode_request(span_of(msg, len), &req), DECODE_DONE, len, REJECT_NONE);
    return socks5_request_target(&req, t);
}

static const struct {
    const char *msg;
    size_t len;
    const char *target; /* NULL: bad name */
} targets[] = {
    {"\5\1\0\1\300\0\2\12\1\273", 10, "192.0.2.10:443"},
    {"\5\1\0\1\300\0\2\12\0\0", 10, "192.0.2.10:0"},
    {"\5\1\0\4\x20\1\xd\xb8\0\0\0\0\0\0\0\0\0\1\0\2\1\273", 22, "[2001:db8::1:2]:443"},
    {"\5\1\0\4\0\0\0\0\0\0\0\0\0\0\xff\xff\300\0\2\12\1\273", 22,
     "192.0.2.10:443"}, /* mapped */
    {"\5\1\0\3\4name\0\120", 11, "name:80"},
    {"\5\1\0\3\5name.\0\120", 12, "name:80"},
    {"\5\1\0\3\011192.0.2.1\0\120", 16, "192.0.2.1:80"},
    {"\5\1\0\3\15[2001:db8::1]\0\120", 20, "[2001:db8::1]:80"},
    {"\5\1\0\3\0\0\120", 7, NULL},
    {"\5\1\0\3\4na\0e\0\120", 11, NULL},
    {"\5\1\0\3\4na e\0\120", 11, NULL},
};

START_TEST(requests_have_their_target)
{
    char text[TARGET_TEXT_MAX];
    struct target t = {.port = 7};

    ck_assert(target_of(targets[_i].msg, targets[_i].len, &t) == (targets[_i].target != NULL));
    if (targets[_i].target != NULL)
        ck_assert_str_eq(target_print(&t, text, sizeof text), targets[_i].target);
    else
        ck_assert_uint_eq(t.port, 7);
}
END_TEST

START_TEST(the_longest_request_fits_its_maximum)
{
    uint8_t buf[SOCKS5_REQUEST_MAX];
    struct wr w = {.buf = buf, .cap = sizeof buf};
    struct target t = {.port = 443, .name_len = 255}, back;
    struct socks5_request req;

    for (size_t i = 0; i < 255; i++)
        t.name[i] = i % 64 == 63 ? '.' : 'a';
    socks5_encode_request(&w, SOCKS5_CONNECT, &t);
    ck_assert_uint_eq(wr_done(&w).len, SOCKS5_REQUEST_MAX);
    ck_assert_ptr_eq(
        verdict_message_flaw(decoder_socks5_request, wr_done(&w), SOCKS5_REQUEST_MAX), NULL);
    (void)socks5_decode_request(wr_done(&w), &req);
    ck_assert(socks5_request_target(&req, &back));
    ck_assert(target_equal(&t, &back));
}
END_TEST

/* --- answers
 * --------------------------------------------------------------------------------------------------------
 */

static void ck_written(const struct wr *w, const void *want, size_t len)
{
    ck_assert(!w->overflow);
    ck_assert(span_equal(wr_done(w), span_of(want, len)));
}

START_TEST(method_and_status_are_two_octets)
{
    uint8_t buf[8];
    struct wr w = {.buf = buf, .cap = sizeof buf};

    socks5_encode_method(&w, SOCKS5_METHOD_UNACCEPTABLE);
    socks5_encode_userpass_status(&w, true);
    socks5_encode_userpass_status(&w, false);
    ck_written(&w, "\5\xff\1\0\1\1", 6);
}
END_TEST

START_TEST(a_reply_without_address_is_ten_octets_with_zeros)
{
    const struct addr nowhere = {.family = ADDR_NONE, .port = 9, .ip = {1}};
    uint8_t buf[20];
    struct wr w = {.buf = buf, .cap = sizeof buf};

    socks5_encode_reply(&w, SOCKS5_REP_REFUSED, NULL);
    socks5_encode_reply(&w, SOCKS5_REP_OK, &nowhere);
    ck_written(&w, "\5\5\0\1\0\0\0\0\0\0\5\0\0\1\0\0\0\0\0\0", 20);
}
END_TEST

START_TEST(a_mapped_bound_address_is_sent_as_ipv4)
{
    uint8_t buf[SOCKS5_REPLY_MAX];
    struct wr w = {.buf = buf, .cap = sizeof buf};
    struct addr a;

    ck_assert(addr_parse("[::ffff:203.0.113.5]:40000", &a));
    socks5_encode_reply(&w, SOCKS5_REP_OK, &a);
    ck_written(&w, "\5\0\0\1\313\0\x71\5\x9c\x40", 10);
}
END_TEST

START_TEST(a_name_reply_carries_1_to_255_octets)
{
    uint8_t buf[SOCKS5_REPLY_MAX];
    char name[257] = "";
    struct wr w = {.buf = buf, .cap = sizeof buf};

    socks5_encode_reply_name(&w, SOCKS5_REP_OK, "a.example");
    ck_written(&w, "\5\0\0\3\11a.example\0\0", 16);

    w = (struct wr){.buf = buf, .cap = sizeof buf};
    socks5_encode_reply_name(&w, SOCKS5_REP_OK, "");
    ck_assert(w.overflow);

    memset(name, 'a', 255);
    w = (struct wr){.buf = buf, .cap = sizeof buf};
    socks5_encode_reply_name(&w, SOCKS5_REP_OK, name);
    ck_assert_uint_eq(wr_done(&w).len, SOCKS5_REPLY_MAX);

    name[255] = 'a';
    w = (struct wr){.buf = buf, .cap = sizeof buf};
    socks5_encode_reply_name(&w, SOCKS5_REP_OK, name);
    ck_assert(w.overflow);
}
END_TEST

START_TEST(a_small_buffer_latches_overflow)
{
    uint8_t buf[10];

    for (size_t cap = 0; cap < sizeof buf; cap++) {
        struct wr w = {.buf = buf, .cap = cap};

        socks5_encode_reply(&w, SOCKS5_REP_OK, NULL);
        ck_assert(w.overflow);
        ck_assert_uint_eq(wr_done(&w).len, 0);
    }
}
END_TEST

int main(void)
{
    Suite *s = suite_create("socks5");
    TCase *tc = tcase_create("server");
    const int count = sizeof messages / sizeof messages[0];

    tcase_add_unchecked_fixture(tc, load, NULL);
    tcase_add_loop_test(tc, messages_are_prefix_stable, 0, count);
    tcase_add_loop_test(tc, mutated_messages_keep_the_rules, 0, count);
    tcase_add_test(tc, a_wrong_version_is_bad_from_the_first_octet);
    tcase_add_test(tc, methods_are_a_view_into_the_input);
    tcase_add_test(tc, a_greeting_without_methods_offers_nothing);
    tcase_add_test(tc, the_longest_greeting_fits_its_maximum);
    tcase_add_test(tc, credentials_may_be_empty_and_hold_any_octet);
    tcase_add_test(tc, the_longest_credentials_fit_their_maximum);
    tcase_add_test(tc, a_request_is_taken_as_sent);
    tcase_add_test(tc, an_unknown_address_type_ends_the_request_after_it);
    tcase_add_loop_test(tc, requests_have_their_target, 0, sizeof targets / sizeof targets[0]);
    tcase_add_test(tc, the_longest_request_fits_its_maximum);
    tcase_add_test(tc, method_and_status_are_two_octets);
    tcase_add_test(tc, a_reply_without_address_is_ten_octets_with_zeros);
    tcase_add_test(tc, a_mapped_bound_address_is_sent_as_ipv4);
    tcase_add_test(tc, a_name_reply_carries_1_to_255_octets);
    tcase_add_test(tc, a_small_buffer_latches_overflow);
    suite_add_tcase(s, tc);
    return runner_main(s);
}
