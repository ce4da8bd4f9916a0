/* SPDX-License-Identifier: MIT */
#include "http.h"
#include "runner.h"
#include <string.h>

static struct span text(const char *s)
{
    return span_of(s, strlen(s));
}

/* From a copy of exactly that size, so that the sanitizer sees reads past the end. */
static struct http_verdict read_copy(const void *octets, size_t len, bool *whole, bool *is_head)
{
    uint8_t *copy = malloc(len > 0 ? len : 1);

    ck_assert_ptr_nonnull(copy);
    memcpy(copy, octets, len);
    struct http_verdict v = http_read(span_of(copy, len), whole, is_head);
    free(copy);
    return v;
}

static unsigned status_of(const char *request)
{
    bool whole, is_head;
    struct http_verdict v = read_copy(request, strlen(request), &whole, &is_head);

    ck_assert_msg(whole || v.status != 0, "%s", request);
    return v.status;
}

static const char good[] =
    "HEAD /v1/sessions?user=a%20b HTTP/1.1\r\nHost: localhost\r\nAccept: */*\r\n"
    "Content-Length: 0\r\nX-Empty:\r\nX-Tab: a\tb \r\n\r\n";

START_TEST(a_good_head_is_whole_at_its_last_octet_and_not_before)
{
    for (size_t n = 0; n < sizeof good; n++) {
        bool whole, is_head;
        struct http_verdict v = read_copy(good, n, &whole, &is_head);

        ck_assert_uint_eq(v.status, 0);
        ck_assert_int_eq(whole, n == sizeof good - 1);
        ck_assert(!whole || is_head);
    }
}
END_TEST

START_TEST(what_follows_the_head_does_not_matter)
{
    static const char tail[] = {'\0', '\n', ' ', '\xff', '\r'};
    bool whole, is_head;
    char more[sizeof good + sizeof tail];

    memcpy(more, good, sizeof good);
    memcpy(more + sizeof good - 1, tail, sizeof tail);
    ck_assert_uint_eq(read_copy(more, sizeof good - 1 + sizeof tail, &whole, &is_head).status,
                      0);
    ck_assert(whole);
}
END_TEST

START_TEST(no_mutation_makes_it_read_elsewhere_and_every_verdict_stays)
{
    const size_t len = sizeof good - 1;
    char mutant[sizeof good];

    for (size_t i = 0; i < sizeof good - 1; i++) {
        for (unsigned c = 0; c < 256; c++) {
            unsigned status = 0;

            memcpy(mutant, good, sizeof good);
            mutant[i] = (char)c;
            /* Some prefixes behind the mutation and, always, the whole. */
            for (size_t n = i + 1; n <= len; n = n + 11 < len || n == len ? n + 11 : len) {
                bool whole, is_head;
                struct http_verdict v = http_read(span_of(mutant, n), &whole, &is_head);

                ck_assert(status == 0 || v.status == status);
                ck_assert(v.status == 0 || v.detail != NULL);
                status = v.status;
            }
        }
    }
}
END_TEST

START_TEST(every_verdict_on_a_long_head_stays)
{
    static const struct {
        const char *start;
        char fill;
        unsigned status;
    } cases[] = {{"GET /", 'a', 414},
                 {"GET /", '\1', 400},
                 {"GET / HTTP/1.1\r\nA: ", 'a', 431},
                 {"GET / HTTP/1.1\r\nA: ", '\1', 400}};
    static char buf[HTTP_HEAD_MAX + 200];

    for (size_t k = 0; k < ARRAY_LEN(cases); k++) {
        size_t len = strlen(cases[k].start);
        unsigned status = 0;

        memset(buf, cases[k].fill, sizeof buf);
        memcpy(buf, cases[k].start, len);
        buf[HTTP_HEAD_MAX + 100] = '\n'; /* wrong as well, but later */
        for (size_t n = len; n <= sizeof buf; n++) {
            bool whole, is_head;
            struct http_verdict v = http_read(span_of(buf, n), &whole, &is_head);

            ck_assert(!whole);
            ck_assert(status == 0 || v.status == status);
            status = v.status;
        }
        ck_assert_uint_eq(status, cases[k].status);
    }
}
END_TEST

START_TEST(heads_are_judged)
{
    static const struct {
        const char *request;
        unsigned status;
    } cases[] = {
        {"GET / HTTP/1.0\r\n\r\n", 0},
        {"GET / HTTP/1.1\r\n\r\n", 400},
        {"GET / HTTP/1.1\r\nhOsT:x\r\n\r\n", 0},
        {"GET / HTTP/1.1\r\nHost: x\r\nHost: x\r\n\r\n", 400},
        {"GET / HTTP/1.1\r\nHostx: x\r\n\r\n", 400},
        {"POST / HTTP/1.1\r\nHost: x\r\n\r\n", 405},
        {"GETT / HTTP/1.1\r\nHost: x\r\n\r\n", 405},
        {"G@T / HTTP/1.1\r\nHost: x\r\n\r\n", 400},
        {"GET x HTTP/1.1\r\nHost: x\r\n\r\n", 400},
        {"GET /%61 HTTP/1.1\r\nHost: x\r\n\r\n", 404},
        {"GET /?%61 HTTP/1.1\r\nHost: x\r\n\r\n", 0},
        {"GET / HTTP/1.1\r\nHost: x\r\nContent-Length: 0\r\n\r\n", 0},
        {"GET / HTTP/1.1\r\nHost: x\r\nContent-Length: 00\r\n\r\n", 0},
        {"GET / HTTP/1.1\r\nHost: x\r\nContent-Length: 1\r\n\r\n", 400},
        {"GET / HTTP/1.1\r\nHost: x\r\nContent-Length: 18446744073709551616\r\n\r\n", 400},
        {"GET / HTTP/1.1\r\nHost: x\r\nTransfer-Encoding: x\r\n\r\n", 400},
        {"GET / HTTP/1.1\r\nHost: x\r\nA: \xc3\xa9\r\n\r\n", 0}, /* obs-text */
        {"GET / HTTP/1.1\r\nHost: x\r\nA: \x7f\r\n\r\n", 400},
        {"GET / HTTP/1.1\r\nHost: x\r\n A: b\r\n\r\n", 400},
    };

    for (size_t i = 0; i < ARRAY_LEN(cases); i++)
        ck_assert_msg(status_of(cases[i].request) == cases[i].status, "%s", cases[i].request);
}
END_TEST

START_TEST(hosts_are_compared_without_port_and_case)
{
    static char own[] = "Stats.example.net";
    char *items[] = {own};
    const struct conf_strings names = {items, 1}, none = {0};
    struct addr bound, wildcard, v6;

    ck_assert(addr_parse("192.0.2.1:9180", &bound) && addr_parse("[::]:9180", &wildcard));
    ck_assert(addr_parse("[2001:db8::1]:9180", &v6));
    ck_assert(http_host_allowed(text("192.0.2.1:80"), &bound, &none));
    ck_assert(http_host_allowed(text("[2001:DB8:0::1]:80"), &v6, &none));
    ck_assert(!http_host_allowed(text("2001:db8::1"), &v6,
                                 &none)); /* no brackets: "2001" with a port */
    ck_assert(!http_host_allowed(text("192.0.2.2"), &bound, &none));
    ck_assert(!http_host_allowed(text("[::]"), &wildcard, &none));
    ck_assert(!http_host_allowed(text("stats.example.net"), &bound, &none));
    ck_assert(http_host_allowed(text("sTATS.example.net:1"), &bound, &names));
    ck_assert(http_host_allowed(text("localhost:"), &bound,
                                &names)); /* RFC 3986 s3.2.3: an empty port */
    ck_assert(!http_host_allowed(text("stats.example.net."), &bound, &names));
    ck_assert(!http_host_allowed(text(""), &bound, &names));
}
END_TEST

START_TEST(etags_are_found_in_lists)
{
    ck_assert(http_etag_listed("\"a\"", "\"a\""));
    ck_assert(http_etag_listed("*", "\"a\""));
    ck_assert(http_etag_listed(" \"b\" , W/\"a\"", "\"a\""));
    ck_assert(http_etag_listed("\"b,\",\"a\"", "\"a\""));
    ck_assert(!http_etag_listed("", "\"a\""));
    ck_assert(!http_etag_listed("a", "\"a\""));
    ck_assert(!http_etag_listed("\"aa\"", "\"a\""));
    ck_assert(!http_etag_listed("\"a\"b", "\"a\""));
    ck_assert(!http_etag_listed("\",\"a", "\"a\""));
    ck_assert(!http_etag_listed("\"unclosed", "\"a\""));
}
END_TEST

START_TEST(numbers_are_digits_within_bounds)
{
    static const char *const bad[] = {"",
                                      "+1",
                                      "-1",
                                      " 1",
                                      "1 ",
                                      "0x1",
                                      "1.0",
                                      "18446744073709551616",
                                      "99999999999999999999999"};
    uint64_t n = 7;

    for (size_t i = 0; i < ARRAY_LEN(bad); i++)
        ck_assert_msg(!http_number(text(bad[i]), UINT64_MAX, &n), "%s", bad[i]);
    ck_assert(!http_number(text("11"), 10, &n));
    ck_assert(!http_number(text("5"), 4, &n));
    ck_assert_uint_eq(n, 7);
    ck_assert(http_number(text("10"), 10, &n));
    ck_assert_uint_eq(n, 10);
    ck_assert(http_number(text("0"), 0, &n));
    ck_assert(http_number(text("18446744073709551615"), UINT64_MAX, &n));
    ck_assert_uint_eq(n, UINT64_MAX);
}
END_TEST

START_TEST(seconds_become_microseconds)
{
    static const struct {
        const char *s;
        uint64_t us;
    } good_ones[] = {{"0", 0},
                     {"1", 1000000},
                     {"1.5", 1500000},
                     {"0.000001", 1},
                     {"1000000000", UINT64_C(1000000000000000)}};
    static const char *const bad[] = {"",    ".",         "1.",         ".5",   "-1",
                                      "1e3", "1.1234567", "1000000001", "1.5s", "1..5"};
    uint64_t us = 7;

    for (size_t i = 0; i < ARRAY_LEN(bad); i++)
        ck_assert_msg(!http_seconds(text(bad[i]), &us), "%s", bad[i]);
    ck_assert_uint_eq(us, 7);
    for (size_t i = 0; i < ARRAY_LEN(good_ones); i++) {
        ck_assert(http_seconds(text(good_ones[i].s), &us));
        ck_assert_uint_eq(us, good_ones[i].us);
    }
}
END_TEST

int main(void)
{
    Suite *s = suite_create("http");
    TCase *t = tcase_create("http");

    tcase_set_timeout(t, 60);
    tcase_add_test(t, a_good_head_is_whole_at_its_last_octet_and_not_before);
    tcase_add_test(t, what_follows_the_head_does_not_matter);
    tcase_add_test(t, no_mutation_makes_it_read_elsewhere_and_every_verdict_stays);
    tcase_add_test(t, every_verdict_on_a_long_head_stays);
    tcase_add_test(t, heads_are_judged);
    tcase_add_test(t, hosts_are_compared_without_port_and_case);
    tcase_add_test(t, etags_are_found_in_lists);
    tcase_add_test(t, numbers_are_digits_within_bounds);
    tcase_add_test(t, seconds_become_microseconds);
    suite_add_tcase(s, t);
    return runner_main(s);
}
