/* SPDX-License-Identifier: MIT */
/* What the resolver answers, and for how long. Parsing, cache and hosts file have tests of
 * their own; sharing, cancelling, reload and faults are in resolver_life_test.c. */
#include "fakeclock.h"
#include "fault.h"
#include "fault_calls.h"
#include "resolver_fixture.h"
#include "runner.h"

/* ---- Answers ---- */

START_TEST(a_name_has_addresses_of_the_family_asked_for)
{
    const struct resolver_answer *a = resolve("two.example.net", ADDR_IPV4);

    ck_assert_int_eq(a->why, OUTCOME_OK);
    ck_assert_uint_eq(a->count, 2);
    expect_addr(&a->addr[0], "192.0.2.1");
    expect_addr(&a->addr[1], "192.0.2.2");
    a = resolve("two.example.net", ADDR_IPV6);
    ck_assert_uint_eq(a->count, 2);
    expect_addr(&a->addr[0], "2001:db8::1");
    ck_assert_uint_eq(count(STAT_DNS_QUERIES), 2);
    ck_assert_uint_eq(count(STAT_DNS_INFLIGHT), 0);
    ck_assert_uint_eq(atomic_load(&t.stats->histogram[HISTOGRAM_DNS].count), 2);
}
END_TEST

START_TEST(an_alias_is_followed_and_its_ttl_counts)
{
    expect_addr(&resolve("alias.example.net", ADDR_IPV4)->addr[0], "192.0.2.1");
    fakeclock_advance(TTL_S / 2 * 1000 - 1000);
    ck_assert(known("alias.example.net", ADDR_IPV4));
    fakeclock_advance(1000);
    ck_assert(!known("alias.example.net", ADDR_IPV4));
}
END_TEST

START_TEST(an_answer_has_no_more_addresses_than_fit)
{
    ck_assert_uint_eq(resolve("many.example.net", ADDR_IPV4)->count, RESOLVER_ADDRS_MAX);
}
END_TEST

START_TEST(a_truncated_answer_is_asked_for_again_over_tcp)
{
    expect_addr(&resolve("big.example.net", ADDR_IPV4)->addr[0], "192.0.2.1");
    ck_assert(t.dnsd.last.tcp);
    ck_assert_uint_eq(t.dnsd.asked, 2);
}
END_TEST

START_TEST(a_name_goes_out_as_it_is)
{
    ck_assert_int_eq(resolve("nxdomain", ADDR_IPV4)->why, OUTCOME_NAME_NOT_FOUND);
    ck_assert_uint_eq(t.dnsd.asked, 1); /* LOCALDOMAIN is not appended */
    ck_assert_str_eq(t.dnsd.last.name, "nxdomain");
    ck_assert_int_eq(resolve("nxdomain.a.b", ADDR_IPV4)->why, OUTCOME_NAME_NOT_FOUND);
    ck_assert_uint_eq(t.dnsd.asked, 2);
    ck_assert_int_eq(resolve("127.1", ADDR_IPV4)->why, OUTCOME_OK); /* a name, not 127.0.0.1 */
    ck_assert_str_eq(t.dnsd.last.name, "127.1");
}
END_TEST

START_TEST(some_names_are_never_asked_for)
{
    static const char label64[] =
        "aaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaa.example.net";
    static const char *const none[] = {"",        ".",     "a..b",      "a b",
                                       "a\\032b", label64, "x.invalid", "x.onion"};
    char longest[255];

    memset(longest, 'a', sizeof longest);
    for (size_t i = 60; i < sizeof longest; i += 61)
        longest[i] = '.';
    longest[254] = 0; /* 254 octets: one too many */
    for (size_t i = 0; i < ARRAY_LEN(none); i++)
        ck_assert_int_eq(resolve(none[i], ADDR_IPV4)->why, OUTCOME_NAME_NOT_FOUND);
    ck_assert_int_eq(resolve(longest, ADDR_IPV4)->why, OUTCOME_NAME_NOT_FOUND);
    expect_addr(&resolve("LOCALHOST", ADDR_IPV4)->addr[0], "127.0.0.1");
    expect_addr(&resolve("x.localhost", ADDR_IPV6)->addr[0], "::1");
    expect_addr(&resolve("192.0.2.9", ADDR_IPV4)->addr[0], "192.0.2.9");
    ck_assert_int_eq(resolve("192.0.2.9", ADDR_IPV6)->why, OUTCOME_NAME_NOT_FOUND);
    ck_assert_uint_eq(t.dnsd.asked, 0);
    ck_assert(known("localhost", ADDR_IPV4));
}
END_TEST

/* ---- Failures ---- */

START_TEST(a_server_failure_is_no_missing_name)
{
    ck_assert_int_eq(resolve("servfail.example.net", ADDR_IPV4)->why, OUTCOME_RESOLVER_FAILED);
    ck_assert_uint_eq(count(STAT_DNS_FAILURES), 1);
    ck_assert_uint_eq(count(STAT_DNS_TIMEOUTS), 0);
    ck_assert(known("servfail.example.net", ADDR_IPV4)); /* RFC 9520 s3.2: for a moment */
    fakeclock_advance(1000);
    ck_assert(!known("servfail.example.net", ADDR_IPV4));
}
END_TEST

static void reconfigure_timeout(uint32_t ms)
{
    t.cfg.timeout_ms = ms;
    ck_assert_int_eq(resolver_configure(t.resolver, &t.cfg), 0);
}

START_TEST(silence_ends_with_the_timeout)
{
    reconfigure_timeout(20);
    ck_assert_int_eq(resolve("silent.example.net", ADDR_IPV4)->why, OUTCOME_RESOLVER_FAILED);
    ck_assert_uint_eq(count(STAT_DNS_TIMEOUTS), 1);
    ck_assert_uint_eq(count(STAT_DNS_FAILURES), 1);
}
END_TEST

START_TEST(garbage_is_no_answer)
{
    static const char *const name[] = {"garbage.example.net", "stranger.example.net",
                                       "badrecord.example.net"};

    reconfigure_timeout(20);
    for (size_t i = 0; i < ARRAY_LEN(name); i++)
        ck_assert_int_eq(resolve(name[i], ADDR_IPV4)->why, OUTCOME_RESOLVER_FAILED);
}
END_TEST

START_TEST(a_server_that_is_not_there_fails_without_waiting)
{
    struct sockaddr_in at = {.sin_family = AF_INET};
    uv_udp_t spare;
    int len = sizeof at;

    ck_assert_int_eq(uv_udp_init(&t.loop, &spare), 0);
    ck_assert_int_eq(uv_udp_bind(&spare, (const struct sockaddr *)&at, 0), 0);
    ck_assert_int_eq(uv_udp_getsockname(&spare, (struct sockaddr *)&at, &len), 0);
    uv_close((uv_handle_t *)&spare, NULL);
    while (uv_loop_alive(&t.loop))
        (void)uv_run(&t.loop, UV_RUN_ONCE); /* the port is free again: nobody answers there */
    point_at(ntohs(at.sin_port));
    ck_assert_int_eq(resolver_configure(t.resolver, &t.cfg), 0);
    ck_assert_int_eq(resolve("one.example.net", ADDR_IPV4)->why, OUTCOME_RESOLVER_FAILED);
    ck_assert_uint_eq(count(STAT_DNS_TIMEOUTS), 0);

    char next[64]; /* and with a second server the first one's absence does no harm */
    (void)snprintf(next, sizeof next, "127.0.0.1:%u", t.dnsd.port);
    t.servers[1] = next;
    t.list.count = 2;
    ck_assert_int_eq(resolver_configure(t.resolver, &t.cfg), 0);
    ck_assert_int_eq(resolve("one.example.net", ADDR_IPV4)->why, OUTCOME_OK);
}
END_TEST

START_TEST(a_server_that_is_no_address_is_refused)
{
    char bad[] = "dns.example.net", *list[] = {bad};
    struct conf_strings servers = {.item = list, .count = 1};
    struct resolver_config cfg = t.cfg;
    struct resolver *other = NULL;

    cfg.servers = &servers;
    ck_assert_int_eq(resolver_open(&t.loop, &cfg, NULL, &other), UV_EINVAL);
    ck_assert_ptr_null(other);
    ck_assert_int_eq(resolver_configure(t.resolver, &cfg), UV_EINVAL);
    ck_assert_int_eq(resolve("one.example.net", ADDR_IPV4)->why, OUTCOME_OK); /* as before */
}
END_TEST

/* ---- Address to name ---- */

START_TEST(an_address_has_a_name)
{
    static const char *const text[] = {"192.0.2.7", "2001:db8::7", "::ffff:192.0.2.7"};
    static const char *const asked[] = {
        "7.2.0.192.in-addr.arpa",
        "7.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.8.b.d.0.1.0.0.2.ip6.arpa",
        "7.2.0.192.in-addr.arpa"};

    for (size_t i = 0; i < ARRAY_LEN(text); i++) {
        ck_assert(ask_ptr(&t.asker[0], text[i]));
        wait_for(&t.asker[0]);
        ck_assert_int_eq(t.asker[0].answer.why, OUTCOME_OK);
        ck_assert_str_eq(t.asker[0].name, "Seven.example.net");
        ck_assert_str_eq(t.dnsd.last.name, asked[i]);
    }
}
END_TEST

START_TEST(an_address_may_have_no_name)
{
    static const char *const text[] = {"192.0.2.9",
                                       "192.0.2.8"}; /* NXDOMAIN; not a host name */

    for (size_t i = 0; i < ARRAY_LEN(text); i++) {
        ck_assert(ask_ptr(&t.asker[0], text[i]));
        wait_for(&t.asker[0]);
        if (i == 0)
            ck_assert_int_eq(t.asker[0].answer.why, OUTCOME_NAME_NOT_FOUND);
        else /* c-ares itself calls it a bad reply, since 1.17.2 */
            ck_assert_int_ne(t.asker[0].answer.why, OUTCOME_OK);
    }
}
END_TEST

/* ---- Cache ---- */

START_TEST(an_answer_is_kept_for_its_ttl)
{
    ck_assert(!known("one.example.net", ADDR_IPV4));
    (void)resolve("one.example.net", ADDR_IPV4);
    ck_assert(known("ONE.example.NET.", ADDR_IPV4)); /* case and the root's dot do not matter */
    ck_assert(!known("one.example.net", ADDR_IPV6));
    ck_assert_uint_eq(count(STAT_DNS_CACHE_HITS), 1);
    ck_assert_int_eq(resolve("one.example.net", ADDR_IPV4)->why, OUTCOME_OK);
    ck_assert_uint_eq(t.dnsd.asked, 1);
    fakeclock_advance(TTL_S * 1000 - 1000);
    ck_assert(known("one.example.net", ADDR_IPV4));
    fakeclock_advance(1000);
    ck_assert(!known("one.example.net", ADDR_IPV4));
}
END_TEST

START_TEST(a_ttl_is_held_between_its_bounds)
{
    t.cfg.ttl_min_ms = 200000;
    t.cfg.ttl_max_ms = 300000;
    ck_assert_int_eq(resolver_configure(t.resolver, &t.cfg), 0);
    (void)resolve("one.example.net", ADDR_IPV4);
    fakeclock_advance(199000);
    ck_assert(known("one.example.net", ADDR_IPV4));
    t.cfg.ttl_min_ms = 0;
    t.cfg.ttl_max_ms = 5000;
    ck_assert_int_eq(resolver_configure(t.resolver, &t.cfg), 0);
    (void)resolve("one.example.net", ADDR_IPV4);
    fakeclock_advance(5000);
    ck_assert(!known("one.example.net", ADDR_IPV4));
}
END_TEST

START_TEST(no_such_name_and_no_such_address_are_kept_too)
{
    static const char *const name[] = {"nxdomain.example.net", "nodata.example.net"};

    for (size_t i = 0; i < ARRAY_LEN(name); i++) {
        ck_assert_int_eq(resolve(name[i], ADDR_IPV4)->why, OUTCOME_NAME_NOT_FOUND);
        ck_assert_int_eq(resolve(name[i], ADDR_IPV4)->why, OUTCOME_NAME_NOT_FOUND);
        ck_assert_uint_eq(t.dnsd.asked, i + 1);
    }
    fakeclock_advance(t.cfg.negative_ttl_ms - 1000); /* less than the SOA says */
    ck_assert(known(name[0], ADDR_IPV4));
    fakeclock_advance(1000);
    ck_assert(!known(name[0], ADDR_IPV4));
    ck_assert_uint_eq(count(STAT_DNS_FAILURES), 0);
}
END_TEST

START_TEST(without_soa_a_missing_name_is_kept_for_a_moment) /* RFC 2308 s5 */
{
    ck_assert_int_eq(resolve("nosoa.example.net", ADDR_IPV4)->why, OUTCOME_NAME_NOT_FOUND);
    ck_assert(known("nosoa.example.net", ADDR_IPV4));
    fakeclock_advance(1000);
    ck_assert(!known("nosoa.example.net", ADDR_IPV4));
}
END_TEST

int main(void)
{
    Suite *s = suite_create("resolver");
    TCase *c = tcase_create("answers");

    if (setenv("LOCALDOMAIN", "search.example.org", 1) != 0)
        return EXIT_FAILURE;
    tcase_add_checked_fixture(c, setup, teardown);
    tcase_add_test(c, a_name_has_addresses_of_the_family_asked_for);
    tcase_add_test(c, an_alias_is_followed_and_its_ttl_counts);
    tcase_add_test(c, an_answer_has_no_more_addresses_than_fit);
    tcase_add_test(c, a_truncated_answer_is_asked_for_again_over_tcp);
    tcase_add_test(c, a_name_goes_out_as_it_is);
    tcase_add_test(c, some_names_are_never_asked_for);
    tcase_add_test(c, a_server_failure_is_no_missing_name);
    tcase_add_test(c, silence_ends_with_the_timeout);
    tcase_add_test(c, garbage_is_no_answer);
    tcase_add_test(c, a_server_that_is_not_there_fails_without_waiting);
    tcase_add_test(c, a_server_that_is_no_address_is_refused);
    tcase_add_test(c, an_address_has_a_name);
    tcase_add_test(c, an_address_may_have_no_name);
    tcase_add_test(c, an_answer_is_kept_for_its_ttl);
    tcase_add_test(c, a_ttl_is_held_between_its_bounds);
    tcase_add_test(c, no_such_name_and_no_such_address_are_kept_too);
    tcase_add_test(c, without_soa_a_missing_name_is_kept_for_a_moment);
    suite_add_tcase(s, c);
    return runner_main(s);
}
