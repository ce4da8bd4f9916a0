/* SPDX-License-Identifier: MIT */
#include "decoders.h"
#include "runner.h"
#include "vectors.h"
#include "verdict_check.h"
#include "wire/socks4.h"

static struct vectors golden;

static void load(void)
{
    vectors_load("socks4.hex", &golden);
}

static const char *const ids[] = {"S401", "S402"};

START_TEST(requests_are_prefix_stable)
{
    struct span in = vector_span(vectors_find(&golden, ids[_i]));
    uint8_t buf[64];
    struct wr with_data = {.buf = buf, .cap = sizeof buf};

    ck_assert_ptr_eq(verdict_message_flaw(decoder_socks4_request, in, in.len), NULL);
    wr_bytes(&with_data, in.ptr, in.len);
    wr_bytes(&with_data, "data", 4);
    ck_assert_ptr_eq(verdict_message_flaw(decoder_socks4_request, wr_done(&with_data), in.len),
                     NULL);
}
END_TEST

START_TEST(mutated_requests_keep_the_rules)
{
    struct span in = vector_span(vectors_find(&golden, ids[_i]));

    ck_assert_ptr_eq(verdict_mutation_flaw(decoder_socks4_request, in), NULL);
}
END_TEST

START_TEST(a_wrong_version_is_bad_from_the_first_octet)
{
    for (unsigned v = 0; v <= 0xFF; v++) {
        const uint8_t in[] = {(uint8_t)v};

        if (v == 4)
            ck_assert_int_eq(decoder_socks4_request(span_of(in, 1)).status, DECODE_MORE);
        else
            ck_verdict(decoder_socks4_request(span_of(in, 1)), DECODE_BAD, 0, REJECT_VERSION);
    }
}
END_TEST

START_TEST(a_request_tells_command_user_and_target)
{
    struct socks4_request req;
    struct span in = vector_span(vectors_find(&golden, "S401"));
    char text[TARGET_TEXT_MAX];

    ck_verdict(socks4_decode_request(in, &req), DECODE_DONE, 13, REJECT_NONE);
    ck_assert_uint_eq(req.command, SOCKS4_CONNECT);
    ck_assert(span_equal(req.user, span_of("fred", 4)));
    ck_assert_ptr_eq(req.user.ptr, in.ptr + 8);
    ck_assert_str_eq(target_print(&req.target, text, sizeof text), "192.0.2.10:80");
}
END_TEST

START_TEST(a_4a_request_names_its_target)
{
    struct socks4_request req;
    char text[TARGET_TEXT_MAX];

    ck_verdict(socks4_decode_request(vector_span(vectors_find(&golden, "S402")), &req),
               DECODE_DONE, 21, REJECT_NONE);
    ck_assert_uint_eq(req.user.len, 0);
    ck_assert_str_eq(target_print(&req.target, text, sizeof text), "example.com:80");
    /* a literal is an address here too */
    ck_verdict(socks4_decode_request(span_of("\4\1\0\120\0\0\0\377u\000192.0.2.1\0", 20), &req),
               DECODE_DONE, 20, REJECT_NONE);
    ck_assert(span_equal(req.user, span_of("u", 1)));
    ck_assert_str_eq(target_print(&req.target, text, sizeof text), "192.0.2.1:80");
}
END_TEST

START_TEST(unknown_commands_and_address_0_are_the_callers)
{
    struct socks4_request req;

    ck_verdict(socks4_decode_request(span_of("\4\x99\0\0\0\0\0\0\0", 9), &req), DECODE_DONE, 9,
               REJECT_NONE);
    ck_assert_uint_eq(req.command, 0x99);
    ck_assert_uint_eq(req.target.addr.family, ADDR_IPV4); /* 0.0.0.0 is not the 4a mark */
    ck_assert_uint_eq(req.target.port, 0);
}
END_TEST

static const struct {
    const char *name;
    size_t len;
} bad_names[] = {{"\0", 1}, {".\0", 2}, {"a b\0", 4}, {"a..b\0", 5}, {"\xff\0", 2}};

START_TEST(bad_4a_names_are_refused)
{
    uint8_t msg[32] = {4, 1, 0, 80, 0, 0, 0, 1, 0};
    struct socks4_request req = {.command = 77};

    memcpy(msg + 9, bad_names[_i].name, bad_names[_i].len);
    ck_verdict(socks4_decode_request(span_of(msg, 9 + bad_names[_i].len), &req), DECODE_BAD, 0,
               REJECT_NAME);
    ck_assert_uint_eq(req.command, 77);
}
END_TEST

/* A request with fields of these lengths, NUL-terminated. */
static struct span compose(struct wr *w, bool is_4a, size_t user, size_t name)
{
    w->pos = 0;
    wr_bytes(w, "\4\1\0\120\0\0\0", 7);
    wr_u8(w, is_4a ? 1 : 0);
    for (size_t i = 0; i < user; i++)
        wr_u8(w, 'u');
    wr_u8(w, 0);
    for (size_t i = 0; is_4a && i < name; i++)
        wr_u8(w, i % 64 == 63 ? '.' : 'n');
    if (is_4a)
        wr_u8(w, 0);
    ck_assert(!w->overflow);
    return wr_done(w);
}

START_TEST(fields_have_at_most_255_octets)
{
    uint8_t buf[SOCKS4_REQUEST_MAX + 8];
    struct wr w = {.buf = buf, .cap = sizeof buf};
    struct span msg = compose(&w, true, 255, 255);

    ck_assert_uint_eq(msg.len, SOCKS4_REQUEST_MAX);
    ck_assert_ptr_eq(verdict_message_flaw(decoder_socks4_request, msg, msg.len), NULL);

    msg = compose(&w, false, 256, 0);
    ck_verdict(decoder_socks4_request(msg), DECODE_BAD, 0, REJECT_UNTERMINATED);
    ck_assert_int_eq(decoder_socks4_request(span_of(buf, 8 + 255)).status, DECODE_MORE);
    ck_verdict(decoder_socks4_request(span_of(buf, 8 + 256)), DECODE_BAD, 0,
               REJECT_UNTERMINATED); /* no NUL seen */

    msg = compose(&w, true, 3, 256);
    ck_verdict(decoder_socks4_request(msg), DECODE_BAD, 0, REJECT_UNTERMINATED);
    ck_assert_ptr_eq(verdict_flaw(decoder_socks4_request, msg), NULL);
}
END_TEST

START_TEST(a_reply_has_version_0_and_8_octets)
{
    static const enum socks4_code codes[] = {SOCKS4_GRANTED, SOCKS4_REJECTED, SOCKS4_NO_IDENTD,
                                             SOCKS4_USER_MISMATCH};

    for (size_t i = 0; i < sizeof codes / sizeof codes[0]; i++) {
        uint8_t buf[SOCKS4_REPLY_LEN], want[SOCKS4_REPLY_LEN] = {0, (uint8_t)(0x5A + i)};
        struct wr w = {.buf = buf, .cap = sizeof buf};
        struct wr small = {.buf = buf, .cap = sizeof buf - 1};

        socks4_encode_reply(&w, codes[i]);
        ck_assert(span_equal(wr_done(&w), span_of(want, sizeof want)));
        socks4_encode_reply(&small, codes[i]);
        ck_assert(small.overflow);
    }
}
END_TEST

int main(void)
{
    Suite *s = suite_create("socks4");
    TCase *tc = tcase_create("socks4");

    tcase_add_unchecked_fixture(tc, load, NULL);
    tcase_add_loop_test(tc, requests_are_prefix_stable, 0, 2);
    tcase_add_loop_test(tc, mutated_requests_keep_the_rules, 0, 2);
    tcase_add_test(tc, a_wrong_version_is_bad_from_the_first_octet);
    tcase_add_test(tc, a_request_tells_command_user_and_target);
    tcase_add_test(tc, a_4a_request_names_its_target);
    tcase_add_test(tc, unknown_commands_and_address_0_are_the_callers);
    tcase_add_loop_test(tc, bad_4a_names_are_refused, 0,
                        sizeof bad_names / sizeof bad_names[0]);
    tcase_add_test(tc, fields_have_at_most_255_octets);
    tcase_add_test(tc, a_reply_has_version_0_and_8_octets);
    suite_add_tcase(s, tc);
    return runner_main(s);
}
