/* SPDX-License-Identifier: MIT */
/* Client role and datagrams. */
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
    {"S503", decoder_socks5_method}, {"S505", decoder_socks5_status},
    {"S509", decoder_socks5_reply},  {"S50A", decoder_socks5_reply},
    {"S50B", decoder_socks5_reply},  {"S50D", decoder_socks5_udp},
    {"S50E", decoder_socks5_udp},    {"S513", decoder_socks5_fwd_udp},
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

static void ck_written(const struct wr *w, const void *want, size_t len)
{
    ck_assert(!w->overflow);
    ck_assert(span_equal(wr_done(w), span_of(want, len)));
}

static struct target host(const char *text, uint16_t port)
{
    struct target t;

    ck_assert(target_from_host(span_of(text, strlen(text)), port, &t));
    return t;
}

/* --- what a client sends
 * --------------------------------------------------------------------------------------------
 */

START_TEST(credentials_need_1_to_255_octets_each)
{
    uint8_t buf[600], word[256];

    memset(word, 'w', sizeof word);
    for (size_t user = 0; user <= 256; user += 1) {
        for (size_t pass = 0; pass <= 256; pass += user % 255 == 0 ? 1 : 64) {
            struct wr w = {.buf = buf, .cap = sizeof buf};
            bool fits = user >= 1 && user <= 255 && pass >= 1 && pass <= 255;

            socks5_encode_userpass(&w, span_of(word, user), span_of(word, pass));
            ck_assert(w.overflow == !fits);
            ck_assert_uint_eq(wr_done(&w).len, fits ? 3 + user + pass : 0);
        }
    }
}
END_TEST

START_TEST(a_request_names_the_target_as_it_is)
{
    uint8_t buf[64];
    struct wr w = {.buf = buf, .cap = sizeof buf};
    struct target t = host("a.example", 80);

    socks5_encode_request(&w, SOCKS5_CONNECT, &t);
    ck_written(&w, "\5\1\0\3\11a.example\0\120", 16);
    w = (struct wr){.buf = buf, .cap = sizeof buf};
    t = host("2001:db8::1", 80);
    socks5_encode_request(&w, SOCKS5_UDP_ASSOCIATE, &t);
    ck_written(&w, "\5\3\0\4\x20\1\xd\xb8\0\0\0\0\0\0\0\0\0\0\0\1\0\120", 22);
}
END_TEST

START_TEST(no_target_is_sent_as_zeros) /* RFC 1928 s7: source not known yet */
{
    uint8_t buf[64];
    struct wr w = {.buf = buf, .cap = sizeof buf};
    const struct target unknown = {.port = 0};

    socks5_encode_request(&w, SOCKS5_UDP_ASSOCIATE, &unknown);
    ck_assert(span_equal(wr_done(&w), vector_span(vectors_find(&golden, "S50C"))));
}
END_TEST

/* --- what a proxy answers
 * -------------------------------------------------------------------------------------------
 */

START_TEST(method_answer_is_taken_as_sent)
{
    uint8_t chosen = 7;

    for (unsigned m = 0; m <= 0xFF; m++) {
        const uint8_t in[] = {5, (uint8_t)m};

        ck_verdict(socks5_decode_method(span_of(in, 2), &chosen), DECODE_DONE, 2, REJECT_NONE);
        ck_assert_uint_eq(chosen, m);
    }
    chosen = 7;
    ck_verdict(socks5_decode_method(span_of("\4", 1), &chosen), DECODE_BAD, 0, REJECT_VERSION);
    ck_assert_uint_eq(chosen, 7);
}
END_TEST

START_TEST(credential_status_may_have_version_1_or_5)
{
    for (unsigned v = 0; v <= 0xFF; v++) {
        const uint8_t good[] = {(uint8_t)v, 0}, bad[] = {(uint8_t)v, 0xFF};
        bool known = v == 1 || v == 5, ok = false;

        ck_assert_int_eq(decoder_socks5_status(span_of(good, 1)).status,
                         known ? DECODE_MORE : DECODE_BAD);
        if (!known)
            continue;
        ck_verdict(socks5_decode_userpass_status(span_of(good, 2), &ok), DECODE_DONE, 2,
                   REJECT_NONE);
        ck_assert(ok);
        (void)socks5_decode_userpass_status(span_of(bad, 2), &ok);
        ck_assert(!ok);
    }
}
END_TEST

START_TEST(reply_tells_code_and_bound_address)
{
    struct socks5_reply r;
    char text[TARGET_TEXT_MAX];

    ck_verdict(socks5_decode_reply(vector_span(vectors_find(&golden, "S50A")), &r), DECODE_DONE,
               22, REJECT_NONE);
    ck_assert_uint_eq(r.rep, SOCKS5_REP_OK);
    ck_assert_str_eq(target_print(&r.bound, text, sizeof text), "[2001:db8:ff::5]:40000");
    ck_verdict(socks5_decode_reply(span_of("\5\0\0\3\11a.example\0\0", 16), &r), DECODE_DONE,
               16, REJECT_NONE);
    ck_assert_str_eq(target_print(&r.bound, text, sizeof text), "a.example:0");
}
END_TEST

START_TEST(a_reply_may_leave_the_bound_name_empty)
{
    struct socks5_reply r;

    ck_verdict(socks5_decode_reply(span_of("\5\1\7\3\0\0\120", 7), &r), DECODE_DONE, 7,
               REJECT_NONE);
    ck_assert_uint_eq(r.rep, SOCKS5_REP_GENERAL);
    ck_assert(!target_is_name(&r.bound));
    ck_assert_uint_eq(r.bound.addr.family, ADDR_NONE);
    ck_assert_uint_eq(r.bound.port, 80);
}
END_TEST

START_TEST(bad_replies_are_judged_early)
{
    struct socks5_reply r = {.rep = 77};

    ck_verdict(socks5_decode_reply(span_of("H", 1), &r), DECODE_BAD, 0, REJECT_VERSION);
    ck_verdict(socks5_decode_reply(span_of("\5\0\0\2", 4), &r), DECODE_BAD, 0,
               REJECT_ADDRESS_TYPE);
    ck_verdict(socks5_decode_reply(span_of("\5\0\0\3\2\0a\0\0", 9), &r), DECODE_BAD, 0,
               REJECT_NAME);
    ck_assert_uint_eq(r.rep, 77);
}
END_TEST

START_TEST(the_longest_reply_fits_its_maximum)
{
    uint8_t buf[SOCKS5_REPLY_MAX];
    char name[256] = "";
    struct wr w = {.buf = buf, .cap = sizeof buf};

    for (size_t i = 0; i < 255; i++)
        name[i] = i % 64 == 63 ? '.' : 'a';
    socks5_encode_reply_name(&w, SOCKS5_REP_OK, name);
    ck_assert_ptr_eq(verdict_message_flaw(decoder_socks5_reply, wr_done(&w), SOCKS5_REPLY_MAX),
                     NULL);
}
END_TEST

/* --- datagrams
 * ------------------------------------------------------------------------------------------------------
 */

START_TEST(udp_header_tells_fragment_and_target)
{
    static const uint8_t in[] = {0, 0, 0x81, 1, 192, 0, 2, 53, 0, 53, 'x'};
    struct socks5_udp u;
    char text[TARGET_TEXT_MAX];

    ck_verdict(socks5_decode_udp(span_of(in, sizeof in), &u), DECODE_DONE, 10, REJECT_NONE);
    ck_assert_uint_eq(u.frag, 0x81);
    ck_assert_str_eq(target_print(&u.target, text, sizeof text), "192.0.2.53:53");
}
END_TEST

START_TEST(bad_udp_headers_are_refused)
{
    struct socks5_udp u = {.frag = 77};

    ck_verdict(socks5_decode_udp(span_of("\0\0\0\2", 4), &u), DECODE_BAD, 0,
               REJECT_ADDRESS_TYPE);
    ck_verdict(socks5_decode_udp(span_of("\0\0\0\3\0\0\65", 7), &u), DECODE_BAD, 0,
               REJECT_NAME);
    ck_assert_uint_eq(u.frag, 77);
}
END_TEST

START_TEST(the_longest_udp_header_fits_its_maximum)
{
    uint8_t buf[SOCKS5_UDP_HEADER_MAX];
    struct wr w = {.buf = buf, .cap = sizeof buf};
    struct target t = {.port = 53, .name_len = 255};

    for (size_t i = 0; i < 255; i++)
        t.name[i] = i % 64 == 63 ? '.' : 'a';
    socks5_encode_udp(&w, &t);
    ck_assert_uint_eq(wr_done(&w).len, SOCKS5_UDP_HEADER_MAX);
    ck_assert_ptr_eq(
        verdict_message_flaw(decoder_socks5_udp, wr_done(&w), SOCKS5_UDP_HEADER_MAX), NULL);
}
END_TEST

START_TEST(a_frame_tells_target_and_data_length)
{
    struct target t;
    uint16_t data_len;
    char text[TARGET_TEXT_MAX];

    ck_verdict(socks5_decode_fwd_udp(span_of("\1\2\x0a\1\300\0\2\65\0\65", 10), &t, &data_len),
               DECODE_DONE, 10, REJECT_NONE);
    ck_assert_uint_eq(data_len, 0x0102);
    ck_assert_str_eq(target_print(&t, text, sizeof text), "192.0.2.53:53");
}
END_TEST

static const struct {
    const char *octets;
    size_t len; /* judged as soon as so many are there */
    enum reject why;
} bad_frames[] = {
    {"\0\2\0", 3, REJECT_LENGTH},
    {"\0\2\4", 3, REJECT_LENGTH},
    {"\0\2\x0a\2", 4, REJECT_ADDRESS_TYPE},
    {"\0\2\x09\1", 4, REJECT_LENGTH}, /* an IPv4 header has 10 */
    {"\0\2\x15\4", 4, REJECT_LENGTH}, /* an IPv6 header has 22 */
    {"\0\2\x0b\1", 4, REJECT_LENGTH},
    {"\0\2\x08\3\2", 5, REJECT_LENGTH}, /* a name of 2 needs 9 */
    {"\0\2\x07\3\0\0\65", 7, REJECT_NAME},
};

START_TEST(bad_frames_are_judged_early)
{
    struct target t = {.port = 77};
    uint16_t data_len = 77;
    struct span in = span_of(bad_frames[_i].octets, bad_frames[_i].len);

    ck_verdict(socks5_decode_fwd_udp(in, &t, &data_len), DECODE_BAD, 0, bad_frames[_i].why);
    ck_assert_int_eq(decoder_socks5_fwd_udp(span_of(in.ptr, in.len - 1)).status, DECODE_MORE);
    ck_assert_uint_eq(t.port, 77);
    ck_assert_uint_eq(data_len, 77);
}
END_TEST

START_TEST(a_frame_carries_names_up_to_248_octets)
{
    uint8_t buf[300];
    struct target t = {.port = 53}, back;
    uint16_t data_len;

    for (size_t len = 247; len <= 250; len++) {
        struct wr w = {.buf = buf, .cap = sizeof buf};

        t.name_len = (uint8_t)len;
        for (size_t i = 0; i < len; i++)
            t.name[i] = i % 50 == 49 ? '.' : 'a';
        if (len == 250)
            t.name[249] = 'a';
        socks5_encode_fwd_udp(&w, &t, 0xFFFF);
        ck_assert(w.overflow == (len > 248));
        if (w.overflow)
            continue;
        ck_assert_ptr_eq(verdict_message_flaw(decoder_socks5_fwd_udp, wr_done(&w), 7 + len),
                         NULL);
        (void)socks5_decode_fwd_udp(wr_done(&w), &back, &data_len);
        ck_assert(target_equal(&t, &back));
        ck_assert_uint_eq(data_len, 0xFFFF);
    }
}
END_TEST

START_TEST(a_frame_that_does_not_fit_writes_nothing_past_the_end)
{
    struct target t = host("192.0.2.1", 53);
    uint8_t buf[11];

    for (size_t cap = 0; cap < 10; cap++) {
        struct wr w = {.buf = buf, .cap = cap};

        memset(buf, 0xEE, sizeof buf);
        socks5_encode_fwd_udp(&w, &t, 1);
        ck_assert(w.overflow);
        ck_assert_uint_eq(buf[cap], 0xEE);
    }
}
END_TEST

int main(void)
{
    Suite *s = suite_create("socks5_client");
    TCase *tc = tcase_create("client");
    const int count = sizeof messages / sizeof messages[0];

    tcase_add_unchecked_fixture(tc, load, NULL);
    tcase_add_loop_test(tc, messages_are_prefix_stable, 0, count);
    tcase_add_loop_test(tc, mutated_messages_keep_the_rules, 0, count);
    tcase_add_test(tc, credentials_need_1_to_255_octets_each);
    tcase_add_test(tc, a_request_names_the_target_as_it_is);
    tcase_add_test(tc, no_target_is_sent_as_zeros);
    tcase_add_test(tc, method_answer_is_taken_as_sent);
    tcase_add_test(tc, credential_status_may_have_version_1_or_5);
    tcase_add_test(tc, reply_tells_code_and_bound_address);
    tcase_add_test(tc, a_reply_may_leave_the_bound_name_empty);
    tcase_add_test(tc, bad_replies_are_judged_early);
    tcase_add_test(tc, the_longest_reply_fits_its_maximum);
    tcase_add_test(tc, udp_header_tells_fragment_and_target);
    tcase_add_test(tc, bad_udp_headers_are_refused);
    tcase_add_test(tc, the_longest_udp_header_fits_its_maximum);
    tcase_add_test(tc, a_frame_tells_target_and_data_length);
    tcase_add_loop_test(tc, bad_frames_are_judged_early, 0,
                        sizeof bad_frames / sizeof bad_frames[0]);
    tcase_add_test(tc, a_frame_carries_names_up_to_248_octets);
    tcase_add_test(tc, a_frame_that_does_not_fit_writes_nothing_past_the_end);
    suite_add_tcase(s, tc);
    return runner_main(s);
}
