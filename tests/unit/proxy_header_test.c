/* SPDX-License-Identifier: MIT */
#include "decoders.h"
#include "runner.h"
#include "verdict_check.h"
#include "wire/proxy_header.h"
#include <stdio.h>

/* proxy-protocol.txt s2.1 and s2.2, with our addresses. */
#define LINE4 "PROXY TCP4 192.0.2.1 203.0.113.10 56324 443\r\n"
#define LINE6 "PROXY TCP6 2001:db8::1 2001:db8:0:5::10 56324 443\r\n"
#define SIGNATURE "\r\n\r\n\0\r\nQUIT\n"
#define BINARY4 SIGNATURE "\x21\x11\0\x0c\xc0\0\2\1\xcb\0\x71\x0a\xdc\x04\x01\xbb"
#define BINARY6                                          \
    SIGNATURE "\x21\x21\0\x24"                           \
              "\x20\x01\x0d\xb8\0\0\0\0\0\0\0\0\0\0\0\1" \
              "\x20\x01\x0d\xb8\0\0\0\5\0\0\0\0\0\0\0\x10\xdc\x04\x01\xbb"
#define TLVS SIGNATURE "\x21\x11\0\x13\xc0\0\2\1\xcb\0\x71\x0a\xdc\x04\x01\xbb\3\0\4\1\2\3\4"
#define LOCAL SIGNATURE "\x20\0\0\0"
#define OF(text) span_of(text, sizeof(text) - 1)

static struct span golden(int i)
{
    switch (i) {
    case 0:
        return OF(LINE4);
    case 1:
        return OF(LINE6);
    case 2:
        return OF(BINARY4);
    case 3:
        return OF(BINARY6);
    case 4:
        return OF(TLVS);
    case 5:
        return OF(LOCAL);
    default:
        return OF("PROXY UNKNOWN\r\n");
    }
}
enum { GOLDEN = 7 };

static const char *text_of(const struct proxy_header *h)
{
    static char text[2 * ADDR_TEXT_MAX + 2];
    char source[ADDR_TEXT_MAX], to[ADDR_TEXT_MAX];

    (void)snprintf(text, sizeof text, "%s %s", addr_print(&h->source, source, sizeof source),
                   addr_print(&h->destination, to, sizeof to));
    return text;
}

START_TEST(headers_are_prefix_stable)
{
    uint8_t buf[256];
    struct wr more = {.buf = buf, .cap = sizeof buf};
    struct span in = golden(_i);

    ck_flawless("alone", verdict_message_flaw(decoder_proxy_header, in, in.len));
    wr_bytes(&more, in.ptr, in.len);
    wr_bytes(&more, "data\r\n", 6);
    ck_flawless("with data",
                verdict_message_flaw(decoder_proxy_header, wr_done(&more), in.len));
}
END_TEST

START_TEST(mutated_headers_keep_the_rules)
{
    ck_flawless("mutated", verdict_mutation_flaw(decoder_proxy_header, golden(_i)));
}
END_TEST

START_TEST(both_versions_tell_the_same)
{
    static const char *const v4 = "192.0.2.1:56324 203.0.113.10:443",
                             *const v6 = "[2001:db8::1]:56324 [2001:db8:0:5::10]:443";
    const char *const wanted[GOLDEN] = {v4, v6, v4, v6, v4, "- -", "- -"};
    struct proxy_header h;
    struct span in = golden(_i);

    ck_verdict(proxy_header_decode(in, &h), DECODE_DONE, in.len, REJECT_NONE);
    ck_assert_str_eq(text_of(&h), wanted[_i]);
}
END_TEST

START_TEST(what_is_no_header_is_bad_from_the_octet_that_says_so)
{
    struct proxy_header h;

    ck_verdict(proxy_header_decode(OF("G"), &h), DECODE_BAD, 0, REJECT_MAGIC);
    ck_verdict(proxy_header_decode(OF("PROXX"), &h), DECODE_BAD, 0, REJECT_MAGIC);
    ck_verdict(proxy_header_decode(OF("\r\n\r\n\1"), &h), DECODE_BAD, 0, REJECT_MAGIC);
    ck_verdict(proxy_header_decode(OF(SIGNATURE "\x11"), &h), DECODE_BAD, 0, REJECT_VERSION);
    ck_verdict(proxy_header_decode(OF(SIGNATURE "\x22"), &h), DECODE_BAD, 0, REJECT_COMMAND);
    ck_verdict(proxy_header_decode(OF(SIGNATURE "\x21\x11\0\x0b"), &h), DECODE_BAD, 0,
               REJECT_LENGTH);
    ck_verdict(proxy_header_decode(OF(SIGNATURE "\x21\x21\0\x23"), &h), DECODE_BAD, 0,
               REJECT_LENGTH);
    ck_verdict(proxy_header_decode(OF(SIGNATURE "\x21\x31\xff\xff"), &h), DECODE_BAD, 0,
               REJECT_LENGTH);
}
END_TEST

START_TEST(lines_are_as_they_should_be)
{
    static const char *const wrong[] = {
        "PROXY TCP4 192.0.2.1 203.0.113.10 56324 443\n",
        "PROXY TCP4 192.0.2.1 203.0.113.10 56324\r\n",
        "PROXY TCP4 192.0.2.1 203.0.113.10 56324 443 \r\n",
        "PROXY TCP4  192.0.2.1 203.0.113.10 56324 443\r\n",
        "PROXY TCP4 192.0.2.1 203.0.113.10 056324 443\r\n",
        "PROXY TCP4 192.0.2.1 203.0.113.10 65536 443\r\n",
        "PROXY TCP4 192.0.2.1 203.0.113.10 -1 443\r\n",
        "PROXY TCP4 192.0.2.1 203.0.113.10 0x1 443\r\n",
        "PROXY TCP4 2001:db8::1 203.0.113.10 56324 443\r\n",
        "PROXY TCP6 192.0.2.1 2001:db8::1 56324 443\r\n",
        "PROXY TCP6 [2001:db8::1] 2001:db8::1 56324 443\r\n",
        "PROXY TCP6 fe80::1%2 2001:db8::1 56324 443\r\n",
        "PROXY TCP5 192.0.2.1 203.0.113.10 56324 443\r\n",
        "PROXY UDP4 192.0.2.1 203.0.113.10 56324 443\r\n",
        "PROXY \r\n",
        "PROXY\r\n",
    };
    struct proxy_header h;

    for (size_t i = 0; i < sizeof wrong / sizeof *wrong; i++) {
        struct decode d = proxy_header_decode(span_of(wrong[i], strlen(wrong[i])), &h);
        ck_assert_msg(d.status == DECODE_BAD, "%s", wrong[i]);
    }
}
END_TEST

START_TEST(a_line_is_no_longer_than_the_specification_says)
{
    uint8_t in[PROXY_HEADER_V1_MAX + 1];
    struct proxy_header h;

    memset(in, 'x', sizeof in);
    struct wr w = {.buf = in, .cap = sizeof in};
    wr_bytes(&w, "PROXY UNKNOWN ", 14);
    in[PROXY_HEADER_V1_MAX - 2] = 0x0D;
    in[PROXY_HEADER_V1_MAX - 1] = 0x0A;
    ck_verdict(proxy_header_decode(span_of(in, sizeof in), &h), DECODE_DONE,
               PROXY_HEADER_V1_MAX, REJECT_NONE);
    in[PROXY_HEADER_V1_MAX - 1] = 'x';
    ck_verdict(proxy_header_decode(span_of(in, PROXY_HEADER_V1_MAX), &h), DECODE_BAD, 0,
               REJECT_UNTERMINATED);
    ck_assert_int_eq(proxy_header_decode(span_of(in, PROXY_HEADER_V1_MAX - 1), &h).status,
                     DECODE_MORE);
}
END_TEST

START_TEST(a_foreign_family_says_nothing_and_is_skipped)
{
    struct proxy_header h;
    struct span in = OF(SIGNATURE "\x21\x31\0\4abcdrest");

    ck_verdict(proxy_header_decode(in, &h), DECODE_DONE, in.len - 4, REJECT_NONE);
    ck_assert_str_eq(text_of(&h), "- -");
}
END_TEST

START_TEST(what_is_encoded_is_decoded_again)
{
    for (unsigned version = PROXY_HEADER_V1; version <= PROXY_HEADER_V2; version++) {
        uint8_t buf[PROXY_HEADER_SENT_MAX];
        struct wr w = {.buf = buf, .cap = sizeof buf};
        struct proxy_header h, again;
        struct span in = golden(_i);

        ck_assert_int_eq(proxy_header_decode(in, &h).status, DECODE_DONE);
        proxy_header_encode(&w, (enum proxy_header_version)version, &h);
        ck_assert(!w.overflow);
        ck_verdict(proxy_header_decode(wr_done(&w), &again), DECODE_DONE, w.pos, REJECT_NONE);
        ck_assert(addr_equal(&h.source, &again.source));
        ck_assert(addr_equal(&h.destination, &again.destination));
        if ((version == PROXY_HEADER_V1) == (_i < 2) && _i < 4)
            ck_assert(span_equal(wr_done(&w), in));
    }
}
END_TEST

START_TEST(mixed_families_become_ipv6)
{
    uint8_t buf[PROXY_HEADER_SENT_MAX];
    struct wr w = {.buf = buf, .cap = sizeof buf};
    struct proxy_header h;

    ck_assert(addr_parse("192.0.2.1:1", &h.source));
    ck_assert(addr_parse("[2001:db8::1]:65535", &h.destination));
    proxy_header_encode(&w, PROXY_HEADER_V1, &h);
    ck_assert(
        span_equal(wr_done(&w), OF("PROXY TCP6 ::ffff:192.0.2.1 2001:db8::1 1 65535\r\n")));
}
END_TEST

START_TEST(the_longest_line_fits)
{
    uint8_t buf[PROXY_HEADER_SENT_MAX];
    struct wr w = {.buf = buf, .cap = sizeof buf};
    struct proxy_header h;

    ck_assert(addr_parse("[2001:db8:1111:2222:3333:4444:5555:6666]:65535", &h.source));
    h.destination = h.source;
    h.source.scope = 7; /* of the socket's address; not for others */
    proxy_header_encode(&w, PROXY_HEADER_V1, &h);
    ck_assert(!w.overflow && w.pos > 90);
}
END_TEST

int main(void)
{
    Suite *s = suite_create("proxy_header");
    TCase *c = tcase_create("proxy_header");

    tcase_add_loop_test(c, headers_are_prefix_stable, 0, GOLDEN);
    tcase_add_loop_test(c, mutated_headers_keep_the_rules, 0, GOLDEN);
    tcase_add_loop_test(c, both_versions_tell_the_same, 0, GOLDEN);
    tcase_add_test(c, what_is_no_header_is_bad_from_the_octet_that_says_so);
    tcase_add_test(c, lines_are_as_they_should_be);
    tcase_add_test(c, a_line_is_no_longer_than_the_specification_says);
    tcase_add_test(c, a_foreign_family_says_nothing_and_is_skipped);
    tcase_add_loop_test(c, what_is_encoded_is_decoded_again, 0, GOLDEN);
    tcase_add_test(c, mixed_families_become_ipv6);
    tcase_add_test(c, the_longest_line_fits);
    suite_add_tcase(s, c);
    return runner_main(s);
}
