/* SPDX-License-Identifier: MIT */
/* Replies as they come off the wire, whole, cut and damaged: always from an exact-size copy, so
 * that a sanitizer sees over-reads. */
#include "dnsd.h"
#include "resolver_reply.h"
#include "runner.h"
#include <ares.h>
#include <string.h>

static uint8_t buf[4096];
static const struct dnsd_question A = {.name = "www.example.net", .type = DNSD_A};
static const struct dnsd_question AAAA = {.name = "www.example.net", .type = DNSD_AAAA};

/* RFC 1035 s4.1: two A records whose names point at the question (s4.1.4), TTL 300 and 60;
 * checked octet by octet by hand. */
/* clang-format off */
static const uint8_t golden[] = {
    0x12, 0x34, 0x81, 0x80, 0,   1,   0, 2, 0,    0,    0, 0, /* header */
    1,    'a',  3,    'n',  'e', 't', 0, 0, 1,    0,    1,    /* question: a.net A IN */
    0xC0, 12,   0,    1,    0,   1,   0, 0, 0x01, 0x2C, 0, 4, 192, 0,  2,   1,  /* 300 s */
    0xC0, 12,   0,    1,    0,   1,   0, 0, 0x00, 0x3C, 0, 4, 198, 51, 100, 2}; /* 60 s */

/* RFC 2308 s2.1: NXDOMAIN, SOA in the authority section, every name a pointer or ending in one; TTL 3600, MINIMUM 77. */
static const uint8_t golden_negative[] = {
    0x12, 0x34, 0x81, 0x83, 0, 1, 0, 1, 0, 1, 0, 0,                    /* header */
    1, 'a', 3, 'n', 'e', 't', 0, 0, 1, 0, 1,                           /* question: a.net A IN */
    0xC0, 12, 0, 5, 0, 1, 0, 0, 0, 9, 0, 4, 1, 'b', 0xC0, 14,          /* a.net CNAME b.net */
    0xC0, 14, 0, 6, 0, 1, 0, 0, 0x0E, 0x10, 0, 27,                     /* net SOA, 3600 s */
    2, 'n', 's', 0xC0, 14, 0xC0, 12,                                   /* ns.net, a.net */
    0, 0, 0, 1, 0, 0, 0, 2, 0, 0, 0, 3, 0, 0, 0, 4, 0, 0, 0, 77};
/* clang-format on */

static void begin(struct dnsd_reply *r, const struct dnsd_question *q)
{
    dnsd_begin(r, buf, sizeof buf, 1, q);
}

static struct resolver_reply read_copy(int status, const void *msg, size_t len,
                                       enum addr_family family)
{
    uint8_t *copy = malloc(len == 0 ? 1 : len);
    struct resolver_reply out;

    ck_assert_ptr_nonnull(copy);
    memset(&out, 0xA5, sizeof out);
    if (len > 0)
        memcpy(copy, msg, len);
    resolver_reply_addrs(status, span_of(copy, len), family, &out);
    free(copy);
    return out;
}

static struct resolver_reply read_reply(int status, const struct dnsd_reply *r,
                                        enum addr_family family)
{
    return read_copy(status, r->w.buf, r->w.pos, family);
}

START_TEST(golden_message)
{
    struct resolver_reply out = read_copy(ARES_SUCCESS, golden, sizeof golden, ADDR_IPV4);

    ck_assert_int_eq(out.answer.why, OUTCOME_OK);
    ck_assert_uint_eq(out.answer.count, 2);
    ck_assert_mem_eq(out.answer.addr[0].ip, ((const uint8_t[4]){192, 0, 2, 1}), 4);
    ck_assert_mem_eq(out.answer.addr[1].ip, ((const uint8_t[4]){198, 51, 100, 2}), 4);
    ck_assert_uint_eq(out.answer.addr[1].port, 0);
    ck_assert(out.has_ttl);
    ck_assert_uint_eq(out.ttl_s, 60); /* the least */
}
END_TEST

START_TEST(golden_negative_message)
{
    struct resolver_reply out =
        read_copy(ARES_ENOTFOUND, golden_negative, sizeof golden_negative, ADDR_IPV4);

    ck_assert_int_eq(out.answer.why, OUTCOME_NAME_NOT_FOUND);
    ck_assert(out.has_ttl);
    ck_assert_uint_eq(out.ttl_s, 77);
}
END_TEST

START_TEST(a_soa_among_the_answers_says_nothing)
{
    struct dnsd_reply r;

    begin(&r, &A);
    dnsd_soa(&r, "example.net", 30, 30);
    buf[7] = 1; /* one answer, */
    buf[9] = 0; /* no authority */
    ck_assert(!read_reply(ARES_ENOTFOUND, &r, ADDR_IPV4).has_ttl);
}
END_TEST

START_TEST(an_alias_shortens_the_ttl_of_what_it_leads_to)
{
    struct dnsd_reply r;

    begin(&r, &AAAA);
    dnsd_name(&r, AAAA.name, DNSD_CNAME, 7, "cdn.example.net");
    dnsd_aaaa(&r, "cdn.example.net", 300, 5);
    struct resolver_reply out = read_reply(ARES_SUCCESS, &r, ADDR_IPV6);
    ck_assert_uint_eq(out.answer.count, 1);
    ck_assert_uint_eq(out.answer.addr[0].ip[15], 5);
    ck_assert_uint_eq(out.ttl_s, 7);
}
END_TEST

START_TEST(no_more_addresses_than_fit)
{
    struct dnsd_reply r;

    begin(&r, &A);
    for (unsigned i = 0; i < RESOLVER_ADDRS_MAX + 9; i++)
        dnsd_a(&r, A.name, 300, (uint8_t)i);
    ck_assert_uint_eq(read_reply(ARES_SUCCESS, &r, ADDR_IPV4).answer.count, RESOLVER_ADDRS_MAX);
}
END_TEST

START_TEST(an_alias_alone_is_no_address)
{
    struct dnsd_reply r;

    begin(&r, &A);
    dnsd_name(&r, A.name, DNSD_CNAME, 7, "cdn.example.net");
    struct resolver_reply out = read_reply(ARES_SUCCESS, &r, ADDR_IPV4);
    ck_assert_int_eq(out.answer.why, OUTCOME_NAME_NOT_FOUND);
    ck_assert_uint_eq(out.answer.count, 0);
}
END_TEST

START_TEST(a_ttl_with_the_top_bit_is_zero) /* RFC 2181 s8 */
{
    struct dnsd_reply r;

    begin(&r, &A);
    dnsd_a(&r, A.name, 0x80000000u, 1);
    struct resolver_reply out = read_reply(ARES_SUCCESS, &r, ADDR_IPV4);
    ck_assert(out.has_ttl);
    ck_assert_uint_eq(out.ttl_s, 0);
    begin(&r, &A);
    dnsd_soa(&r, "example.net", 0xFFFFFFFFu, 100);
    out = read_reply(ARES_ENOTFOUND, &r, ADDR_IPV4);
    ck_assert(out.has_ttl);
    ck_assert_uint_eq(out.ttl_s, 0);
}
END_TEST

START_TEST(a_negative_ttl_is_the_least_of_the_soas) /* RFC 2308 s5 */
{
    static const struct {
        uint32_t ttl_s, minimum_s, want_s;
    } row[] = {{100, 30, 30}, {20, 300, 20}, {0, 9, 0}, {9, 0, 0}};
    struct dnsd_reply r;

    for (size_t i = 0; i < ARRAY_LEN(row); i++) {
        begin(&r, &A);
        dnsd_name(&r, A.name, DNSD_CNAME, 1,
                  "gone.example.net"); /* an answer section to step over */
        dnsd_soa(&r, "example.net", row[i].ttl_s, row[i].minimum_s);
        struct resolver_reply out = read_reply(ARES_ENOTFOUND, &r, ADDR_IPV4);
        ck_assert_int_eq(out.answer.why, OUTCOME_NAME_NOT_FOUND);
        ck_assert(out.has_ttl);
        ck_assert_uint_eq(out.ttl_s, row[i].want_s);
    }
}
END_TEST

START_TEST(without_soa_there_is_no_negative_ttl)
{
    struct dnsd_reply r;

    begin(&r, &A);
    ck_assert(!read_reply(ARES_ENODATA, &r, ADDR_IPV4).has_ttl);
    ck_assert(!read_copy(ARES_ENOTFOUND, NULL, 0, ADDR_IPV4).has_ttl);
}
END_TEST

START_TEST(every_status_has_its_outcome)
{
    static const struct {
        int status;
        enum outcome why;
    } row[] = {
        {ARES_ENODATA, OUTCOME_NAME_NOT_FOUND},    {ARES_ENOTFOUND, OUTCOME_NAME_NOT_FOUND},
        {ARES_EBADNAME, OUTCOME_NAME_NOT_FOUND},   {ARES_ENOMEM, OUTCOME_NO_RESOURCES},
        {ARES_ESERVFAIL, OUTCOME_RESOLVER_FAILED}, {ARES_EREFUSED, OUTCOME_RESOLVER_FAILED},
        {ARES_ETIMEOUT, OUTCOME_RESOLVER_FAILED},  {ARES_ECONNREFUSED, OUTCOME_RESOLVER_FAILED},
        {ARES_EBADRESP, OUTCOME_RESOLVER_FAILED},  {ARES_EFORMERR, OUTCOME_RESOLVER_FAILED},
    };

    for (size_t i = 0; i < ARRAY_LEN(row); i++) {
        struct resolver_reply out = read_copy(row[i].status, NULL, 0, ADDR_IPV4);
        ck_assert_int_eq(out.answer.why, row[i].why);
        ck_assert_uint_eq(out.answer.count, 0);
    }
}
END_TEST

/* What holds for whatever a peer sends. */
static void expect_sane(const struct resolver_reply *out)
{
    ck_assert_int_eq(out->answer.why == OUTCOME_OK, out->answer.count > 0);
    ck_assert_uint_le(out->answer.count, RESOLVER_ADDRS_MAX);
    ck_assert_uint_le(out->ttl_s, INT32_MAX);
    if (!out->has_ttl)
        ck_assert_uint_eq(out->ttl_s, 0);
}

START_TEST(every_prefix_is_a_failure)
{
    struct dnsd_reply r;

    for (size_t n = 0; n < sizeof golden; n++) {
        struct resolver_reply out = read_copy(ARES_SUCCESS, golden, n, ADDR_IPV4);
        ck_assert_int_ne(out.answer.why, OUTCOME_OK);
        expect_sane(&out);
    }
    begin(&r, &A);
    dnsd_soa(&r, "example.net", 30, 30);
    for (size_t n = 0; n < r.w.pos; n++)
        ck_assert(!read_copy(ARES_ENOTFOUND, buf, n, ADDR_IPV4).has_ttl);
    ck_assert(read_copy(ARES_ENOTFOUND, buf, r.w.pos, ADDR_IPV4).has_ttl);
}
END_TEST

static void mutate(const uint8_t *msg, size_t len, int status, enum addr_family family)
{
    uint8_t copy[1024];

    ck_assert_uint_le(len, sizeof copy);
    for (size_t at = 0; at < len; at++) {
        for (unsigned v = 0; v < 256; v++) {
            memcpy(copy, msg, len);
            copy[at] = (uint8_t)v;
            struct resolver_reply out = read_copy(status, copy, len, family);
            if (out.answer.count > RESOLVER_ADDRS_MAX || out.ttl_s > INT32_MAX ||
                (out.answer.why == OUTCOME_OK) != (out.answer.count > 0))
                expect_sane(&out); /* says which */
        }
    }
}

START_TEST(every_single_octet_may_be_wrong)
{
    struct dnsd_reply r;

    mutate(golden, sizeof golden, ARES_SUCCESS, ADDR_IPV4);
    begin(&r, &AAAA);
    dnsd_name(&r, AAAA.name, DNSD_CNAME, 7, "cdn.example.net");
    dnsd_aaaa(&r, "cdn.example.net", 300, 5);
    mutate(buf, r.w.pos, ARES_SUCCESS, ADDR_IPV6);
    begin(&r, &A);
    dnsd_soa(&r, "example.net", 30, 30);
    mutate(buf, r.w.pos, ARES_ENOTFOUND, ADDR_IPV4);
    mutate(golden_negative, sizeof golden_negative, ARES_ENOTFOUND, ADDR_IPV4);
}
END_TEST

/* ---- PTR ---- */

static enum outcome name_of(const char *value, struct resolver_name *name)
{
    struct dnsd_question q = {.type = DNSD_PTR};
    struct addr a = addr_ipv4((const uint8_t[4]){192, 0, 2, 7}, 0);
    struct resolver_name reverse;
    struct dnsd_reply r;

    resolver_name_reverse(&a, &reverse);
    memcpy(q.name, reverse.text, sizeof reverse.text);
    begin(&r, &q);
    dnsd_name(&r, q.name, DNSD_PTR, 60, value);
    return resolver_reply_name(ARES_SUCCESS, span_of(buf, r.w.pos), &a, name);
}

START_TEST(a_ptr_record_is_a_host_name_or_nothing)
{
    struct resolver_name name;

    ck_assert_int_eq(name_of("Host.example.net", &name), OUTCOME_OK);
    ck_assert_str_eq(name.text, "Host.example.net");
    ck_assert_int_ne(name_of("a b.example.net", &name), OUTCOME_OK);
    ck_assert_int_ne(name_of("a\nb.example.net", &name), OUTCOME_OK);
    ck_assert_int_ne(name_of("192.0.2.1", &name), OUTCOME_OK); /* an address is no name */
    ck_assert_str_eq(name.text, "Host.example.net");           /* untouched */
}
END_TEST

START_TEST(a_missing_ptr_record_has_its_outcome)
{
    struct addr a = addr_ipv4((const uint8_t[4]){192, 0, 2, 7}, 0);
    struct resolver_name name;

    ck_assert_int_eq(resolver_reply_name(ARES_ENOTFOUND, span_of(NULL, 0), &a, &name),
                     OUTCOME_NAME_NOT_FOUND);
    ck_assert_int_eq(resolver_reply_name(ARES_ETIMEOUT, span_of(NULL, 0), &a, &name),
                     OUTCOME_RESOLVER_FAILED);
    for (size_t n = 0; n < sizeof golden; n++) {
        uint8_t *copy = malloc(n + 1);
        ck_assert_ptr_nonnull(copy);
        memcpy(copy, golden, n);
        ck_assert_int_ne(resolver_reply_name(ARES_SUCCESS, span_of(copy, n), &a, &name),
                         OUTCOME_OK);
        free(copy);
    }
}
END_TEST

int main(void)
{
    Suite *s = suite_create("resolver_reply");
    TCase *t = tcase_create("reply");

    tcase_set_timeout(t, 60);
    tcase_add_test(t, golden_message);
    tcase_add_test(t, golden_negative_message);
    tcase_add_test(t, a_soa_among_the_answers_says_nothing);
    tcase_add_test(t, an_alias_shortens_the_ttl_of_what_it_leads_to);
    tcase_add_test(t, no_more_addresses_than_fit);
    tcase_add_test(t, an_alias_alone_is_no_address);
    tcase_add_test(t, a_ttl_with_the_top_bit_is_zero);
    tcase_add_test(t, a_negative_ttl_is_the_least_of_the_soas);
    tcase_add_test(t, without_soa_there_is_no_negative_ttl);
    tcase_add_test(t, every_status_has_its_outcome);
    tcase_add_test(t, every_prefix_is_a_failure);
    tcase_add_test(t, every_single_octet_may_be_wrong);
    tcase_add_test(t, a_ptr_record_is_a_host_name_or_nothing);
    tcase_add_test(t, a_missing_ptr_record_has_its_outcome);
    suite_add_tcase(s, t);
    return runner_main(s);
}
