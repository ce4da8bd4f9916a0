/* SPDX-License-Identifier: MIT */
#include "runner.h"
#include "vectors.h"
#include "verdict.h"
#include "wire/detect.h"

enum {
    SOCKS5 = PROTOCOL_BIT(PROTOCOL_SOCKS5),
    SOCKS4 = PROTOCOL_BIT(PROTOCOL_SOCKS4),
    MP_CONVERT = PROTOCOL_BIT(PROTOCOL_MP_CONVERT),
    PM08 = PROTOCOL_BIT(PROTOCOL_PM08),
    CONVERT = PROTOCOL_BIT(PROTOCOL_CONVERT),
    HTTP = PROTOCOL_BIT(PROTOCOL_HTTP),
    ALL = SOCKS5 | SOCKS4 | MP_CONVERT | PM08 | CONVERT,
    ALL_BUT_CONVERT = ALL & ~CONVERT,
};

static const struct {
    const char *octets;
    size_t len;
    unsigned allowed;
    enum decode_status status;
    size_t bytes;
    enum protocol out; /* DONE and BAD */
} cases[] = {
    /* one octet tells SOCKS */
    {"\5", 1, ALL, DECODE_DONE, 1, PROTOCOL_SOCKS5},
    {"\4", 1, ALL, DECODE_DONE, 1, PROTOCOL_SOCKS4},
    {"\5\2\x22\x63", 4, ALL, DECODE_DONE, 1, PROTOCOL_SOCKS5}, /* methods 34 and 99 */
    {"\4\1\x22\x63", 4, ALL, DECODE_DONE, 1, PROTOCOL_SOCKS4}, /* port 8803 */
    /* the magic of -10 */
    {"\xfa", 1, ALL, DECODE_MORE, 4, PROTOCOL_UNKNOWN},
    {"\xfa\xa8\xfa", 3, ALL, DECODE_MORE, 4, PROTOCOL_UNKNOWN},
    {"\xfa\xa8\xfa\xa8", 4, ALL, DECODE_DONE, 4, PROTOCOL_MP_CONVERT},
    {"\xfa\xa8\xfa\xa9", 4, ALL, DECODE_BAD, 0, PROTOCOL_UNKNOWN},
    {"\xfa\xa9", 2, ALL_BUT_CONVERT, DECODE_BAD, 0, PROTOCOL_UNKNOWN},
    /* option bytes of -08: five lengths, subtype 0xE, any flags */
    {"\x1e", 1, ALL, DECODE_MORE, 3, PROTOCOL_UNKNOWN},
    {"\x1e\x0a", 2, ALL, DECODE_MORE, 3, PROTOCOL_UNKNOWN},
    {"\x1e\x0a\xe0", 3, ALL, DECODE_DONE, 3, PROTOCOL_PM08},
    {"\x1e\x04\xef", 3, ALL, DECODE_DONE, 3, PROTOCOL_PM08},
    {"\x1e\x08\xe8", 3, ALL, DECODE_DONE, 3, PROTOCOL_PM08},
    {"\x1e\x14\xe0", 3, ALL, DECODE_DONE, 3, PROTOCOL_PM08},
    {"\x1e\x16\xe0", 3, ALL, DECODE_DONE, 3, PROTOCOL_PM08},
    {"\x1e\x0a\xd0", 3, ALL, DECODE_BAD, 0, PROTOCOL_UNKNOWN},
    {"\x1e\x05", 2, ALL_BUT_CONVERT, DECODE_BAD, 0, PROTOCOL_UNKNOWN},
    {"\x1e\x05\xe0", 3, ALL, DECODE_BAD, 0, PROTOCOL_UNKNOWN},
    /* RFC 8803, version 1 and any other: octets 2 and 3 tell */
    {"\1", 1, ALL, DECODE_MORE, 4, PROTOCOL_UNKNOWN},
    {"\1\6\x22", 3, ALL, DECODE_MORE, 4, PROTOCOL_UNKNOWN},
    {"\1\6\x22\x63", 4, ALL, DECODE_DONE, 4, PROTOCOL_CONVERT},
    {"\2\6\x22\x63", 4, ALL, DECODE_DONE, 4, PROTOCOL_CONVERT},
    {"\0\0\x22\x63", 4, ALL, DECODE_DONE, 4, PROTOCOL_CONVERT},
    {"\x1e\x0a\x22\x63", 4, ALL, DECODE_DONE, 4, PROTOCOL_CONVERT},
    {"\5\2\x22\x63", 4, CONVERT, DECODE_DONE, 4, PROTOCOL_CONVERT},
    {"\1\6\x23", 3, ALL, DECODE_BAD, 0, PROTOCOL_UNKNOWN},
    {"\1\6\x22\x64", 4, ALL, DECODE_BAD, 0, PROTOCOL_UNKNOWN},
    /* garbage: at once, or where Convert of another version would show itself */
    {"\xff", 1, ALL_BUT_CONVERT, DECODE_BAD, 0, PROTOCOL_UNKNOWN},
    {"\xff", 1, ALL, DECODE_MORE, 4, PROTOCOL_UNKNOWN},
    {"\x16\3\1", 3, ALL, DECODE_BAD, 0, PROTOCOL_UNKNOWN}, /* TLS */
    /* HTTP is a guess for the log, unless it is allowed */
    {"GET / HTTP/1.0", 14, ALL, DECODE_BAD, 0, PROTOCOL_HTTP},
    {"GET", 3, ALL, DECODE_BAD, 0, PROTOCOL_HTTP},
    {"CONNECT a:1 HTTP/1.1", 20, ALL_BUT_CONVERT, DECODE_BAD, 0, PROTOCOL_HTTP},
    {"P", 1, ALL_BUT_CONVERT, DECODE_BAD, 0, PROTOCOL_HTTP},
    {"GARBAGE", 7, ALL, DECODE_BAD, 0, PROTOCOL_UNKNOWN},
    {"get / ", 6, ALL, DECODE_BAD, 0, PROTOCOL_UNKNOWN},
    {"GET", 3, ALL | HTTP, DECODE_MORE, 4, PROTOCOL_UNKNOWN},
    {"GET ", 4, ALL | HTTP, DECODE_DONE, 4, PROTOCOL_HTTP},
    {"P", 1, ALL | HTTP, DECODE_MORE, 4, PROTOCOL_UNKNOWN},
    {"P", 1, HTTP, DECODE_MORE, 4, PROTOCOL_UNKNOWN}, /* the shortest method first */
    {"PO", 2, HTTP, DECODE_MORE, 5, PROTOCOL_UNKNOWN},
    {"O", 1, HTTP, DECODE_MORE, 8, PROTOCOL_UNKNOWN},
    {"OPTIONS *", 9, ALL | HTTP, DECODE_DONE, 8, PROTOCOL_HTTP},
    {"GETS", 4, ALL | HTTP, DECODE_BAD, 0, PROTOCOL_UNKNOWN},
    /* a protocol that is not allowed is a guess too */
    {"\5\1\0", 3, MP_CONVERT, DECODE_BAD, 0, PROTOCOL_SOCKS5},
    {"\4\1\0\120", 4, SOCKS5, DECODE_BAD, 0, PROTOCOL_SOCKS4},
    {"\xfa\xa8\xfa\xa8", 4, SOCKS5, DECODE_BAD, 0, PROTOCOL_MP_CONVERT},
    {"\xfa", 1, SOCKS5, DECODE_BAD, 0, PROTOCOL_MP_CONVERT},
    {"\x1e\x0a\xe0", 3, SOCKS5, DECODE_BAD, 0, PROTOCOL_PM08},
    {"\1\6\x22\x63", 4, SOCKS5, DECODE_BAD, 0, PROTOCOL_CONVERT},
    {"\1", 1, SOCKS5, DECODE_BAD, 0, PROTOCOL_CONVERT},
    {"\5", 1, 0, DECODE_BAD, 0, PROTOCOL_SOCKS5},
};

START_TEST(first_octets_tell_the_protocol)
{
    enum protocol out = PROTOCOL_COUNT;
    struct decode d =
        protocol_detect(span_of(cases[_i].octets, cases[_i].len), cases[_i].allowed, &out);

    ck_assert_int_eq(d.status, cases[_i].status);
    ck_assert_uint_eq(d.bytes, cases[_i].bytes);
    ck_assert_int_eq(d.why, d.status == DECODE_BAD ? REJECT_MAGIC : REJECT_NONE);
    if (d.status == DECODE_MORE)
        ck_assert_int_eq(out, PROTOCOL_COUNT);
    else
        ck_assert_str_eq(protocol_name(out), protocol_name(cases[_i].out));
}
END_TEST

/* Without Convert (of any version) on the port the first octet alone rules garbage out. */
START_TEST(a_first_octet_that_fits_nothing_is_bad_at_once)
{
    for (unsigned c = 0; c <= 0xFF; c++) {
        const uint8_t in[] = {(uint8_t)c};
        enum protocol out;
        struct decode d = protocol_detect(span_of(in, 1), ALL_BUT_CONVERT, &out);
        bool fits = c == 4 || c == 5 || c == 0xFA || c == 0x1E;

        ck_assert((d.status == DECODE_BAD) == !fits);
    }
}
END_TEST

static unsigned allowed_now; /* verdict_decode_fn has no argument */

static struct decode detect(struct span in)
{
    enum protocol out;

    return protocol_detect(in, allowed_now, &out);
}

/* Every set of protocols that have octets, and an even eleventh of the short inputs made of
 * octets that matter.
 */
START_TEST(verdicts_never_change)
{
    static const uint8_t octets[] = {0x00, 0x01, 0x04, 0x05, 0x0A, 0x1E, 0x22,
                                     0x63, 0xA8, 0xE0, 0xFA, 'G',  'E',  'T'};
    const unsigned n = sizeof octets;

    for (allowed_now = 0; allowed_now < PROTOCOL_BIT(PROTOCOL_TRANSPARENT); allowed_now += 2) {
        for (unsigned i = 0; i < n * n * n * n; i += 11) {
            const uint8_t in[] = {octets[i / (n * n * n)], octets[i / (n * n) % n],
                                  octets[i / n % n], octets[i % n]};

            ck_assert_ptr_eq(verdict_flaw(detect, span_of(in, 4)), NULL);
        }
    }
}
END_TEST

static const struct {
    const char *file;
    enum protocol protocol;
} families[] = {
    {"mp_convert.hex", PROTOCOL_MP_CONVERT},
    {"pm08.hex", PROTOCOL_PM08},
    {"convert.hex", PROTOCOL_CONVERT},
};

START_TEST(golden_messages_are_recognised)
{
    struct vectors golden;

    vectors_load(families[_i].file, &golden);
    for (size_t k = 0; k < golden.count; k++) {
        const struct vector *v = &golden.v[k];
        enum protocol out = PROTOCOL_UNKNOWN;
        struct decode d = protocol_detect(vector_span(v), ALL, &out);

        if (v->rejected && v->why == REJECT_MAGIC) {
            ck_assert_int_eq(d.status, DECODE_BAD);
            continue;
        }
        ck_assert_msg(d.status == DECODE_DONE && out == families[_i].protocol, "%s", v->id);
        allowed_now = ALL;
        ck_assert_ptr_eq(verdict_message_flaw(detect, vector_span(v), d.bytes), NULL);
        ck_assert_ptr_eq(verdict_mutation_flaw(detect, span_of(v->octets, d.bytes)), NULL);
    }
}
END_TEST

START_TEST(an_empty_input_needs_an_octet)
{
    enum protocol out;

    ck_assert_int_eq(protocol_detect(span_of(NULL, 0), ALL, &out).status, DECODE_MORE);
    ck_assert_int_eq(protocol_detect(span_of(NULL, 0), 0, &out).status, DECODE_BAD);
    ck_assert_int_eq(out, PROTOCOL_UNKNOWN);
}
END_TEST

START_TEST(protocols_have_names)
{
    ck_assert_str_eq(protocol_name(PROTOCOL_SOCKS5), "socks5");
    ck_assert_str_eq(protocol_name(PROTOCOL_SOCKS4), "socks4");
    ck_assert_str_eq(protocol_name(PROTOCOL_MP_CONVERT), "mp_convert");
    ck_assert_str_eq(protocol_name(PROTOCOL_PM08), "pm08");
    ck_assert_str_eq(protocol_name(PROTOCOL_CONVERT), "convert");
    ck_assert_str_eq(protocol_name(PROTOCOL_HTTP), "http");
    ck_assert_str_eq(protocol_name(PROTOCOL_UNKNOWN), "unknown");
    ck_assert_str_eq(protocol_name(PROTOCOL_COUNT), "unknown");
}
END_TEST

int main(void)
{
    Suite *s = suite_create("detect");
    TCase *tc = tcase_create("detect");

    tcase_add_loop_test(tc, first_octets_tell_the_protocol, 0, sizeof cases / sizeof cases[0]);
    tcase_set_timeout(tc, 60); /* under a sanitizer, beside other tests */
    tcase_add_test(tc, a_first_octet_that_fits_nothing_is_bad_at_once);
    tcase_add_test(tc, verdicts_never_change);
    tcase_add_loop_test(tc, golden_messages_are_recognised, 0,
                        sizeof families / sizeof families[0]);
    tcase_add_test(tc, an_empty_input_needs_an_octet);
    tcase_add_test(tc, protocols_have_names);
    suite_add_tcase(s, tc);
    return runner_main(s);
}
