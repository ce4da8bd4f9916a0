/* SPDX-License-Identifier: MIT */
/* The whole resolver against a DNS server in the same loop. Parsing, cache and hosts file have
 * tests of their own. */
#include "dnsd.h"
#include "fakeclock.h"
#include "fault.h"
#include "fault_calls.h"
#include "resolver.h"
#include "runner.h"
#include "stats.h"
#include <stdio.h>
#include <string.h>

enum { ASKERS_MAX = 8, TTL_S = 100, SOA_S = 30 };

struct asker {
    struct lookup *lookup;
    unsigned calls;
    struct resolver_answer answer;
    char name[256]; /* PTR */
};

static struct {
    uv_loop_t loop;
    struct dnsd dnsd, next;
    struct resolver *resolver;
    struct stats *stats;
    char server[64];
    char *servers[2];
    struct conf_strings list;
    struct resolver_config cfg;
    struct asker asker[ASKERS_MAX];
    bool inside_start; /* no callback may run now */
} t;

/* ---- The server: what a name's first label says ---- */

static void answer_addresses(const struct dnsd_question *q, struct dnsd_reply *r,
                             const char *owner, unsigned n)
{
    for (unsigned i = 1; i <= n; i++) {
        if (q->type == DNSD_A)
            dnsd_a(r, owner, TTL_S, (uint8_t)i);
        else if (q->type == DNSD_AAAA)
            dnsd_aaaa(r, owner, TTL_S, (uint8_t)i);
    }
}

static void answer_negative(const struct dnsd_question *q, struct dnsd_reply *r)
{
    if (strstr(q->name, "nxdomain") != NULL || strstr(q->name, "nosoa") != NULL)
        dnsd_rcode(r, DNSD_NXDOMAIN);
    if (strstr(q->name, "nosoa") == NULL)
        dnsd_soa(r, "example.net", SOA_S, SOA_S);
}

static bool starts(const struct dnsd_question *q, const char *label)
{
    return strncmp(q->name, label, strlen(label)) == 0;
}

static void on_question(void *arg, const struct dnsd_question *q, struct dnsd_reply *r)
{
    (void)arg;
    if (q->type == DNSD_PTR) {
        if (strstr(q->name, ".7.") != NULL || q->name[0] == '7') /* 192.0.2.7, 2001:db8::7 */
            dnsd_name(r, q->name, DNSD_PTR, TTL_S, "Seven.example.net");
        else if (q->name[0] == '8')
            dnsd_name(r, q->name, DNSD_PTR, TTL_S, "not a host name");
        else
            dnsd_rcode(r, DNSD_NXDOMAIN);
    } else if (starts(q, "silent")) {
        r->drop = true;
    } else if (starts(q, "servfail")) {
        dnsd_rcode(r, DNSD_SERVFAIL);
    } else if (starts(q, "nxdomain") || starts(q, "nodata") || starts(q, "nosoa")) {
        answer_negative(q, r);
    } else if (starts(q, "alias")) {
        dnsd_name(r, q->name, DNSD_CNAME, TTL_S / 2, "canonical.example.net");
        answer_addresses(q, r, "canonical.example.net", 1);
    } else if (starts(q, "many")) {
        answer_addresses(q, r, q->name, RESOLVER_ADDRS_MAX + 4);
    } else if (starts(q, "big") && !q->tcp) {
        dnsd_truncated(r);
    } else if (starts(q, "garbage")) {
        r->w.pos = 5; /* not even a header */
    } else if (starts(q, "badrecord")) {
        answer_addresses(q, r, q->name, 1);
        r->w.pos -= 3; /* the record claims more than there is */
    } else if (starts(q, "stranger")) {
        r->w.buf[14] ^= 1; /* another question than was asked */
        answer_addresses(q, r, q->name, 1);
    } else {
        answer_addresses(q, r, q->name, starts(q, "two") ? 2 : 1);
    }
}

/* ---- Set-up ---- */

static void point_at(uint16_t port)
{
    (void)snprintf(t.server, sizeof t.server, "127.0.0.1:%u", port);
    t.servers[0] = t.server;
    t.list = (struct conf_strings){.item = t.servers, .count = 1};
}

static void begin(void)
{
    ck_assert_int_eq(uv_loop_init(&t.loop), 0);
    dnsd_start(&t.dnsd, &t.loop, on_question, NULL);
    t.stats = stats_new();
    ck_assert_ptr_nonnull(t.stats);
    point_at(t.dnsd.port);
    t.cfg = (struct resolver_config){
        .servers = &t.list,
        .timeout_ms = 5000,
        .tries = 1,
        .cache_entries = 100,
        .ttl_min_ms = 0,
        .ttl_max_ms = 86400000,
        .negative_ttl_ms = 20000,
        .inflight_max = 8,
    };
}

static void open_resolver(void)
{
    ck_assert_int_eq(resolver_open(&t.loop, &t.cfg, t.stats, &t.resolver), 0);
}

static void setup(void)
{
    begin();
    open_resolver();
}

static void end(void)
{
    fault_reset();
    fault_calls_reset();
    dnsd_stop(&t.dnsd);
    ck_assert_int_eq(uv_run(&t.loop, UV_RUN_DEFAULT), 0);
    ck_assert_int_eq(uv_loop_close(&t.loop), 0);
    stats_free(t.stats);
}

static void teardown(void)
{
    resolver_close(t.resolver);
    end();
}

/* ---- Asking ---- */

static void on_answer(void *arg, const struct resolver_answer *a)
{
    struct asker *k = arg;

    ck_assert(!t.inside_start);
    k->calls++;
    k->answer = *a;
    k->lookup = NULL;
}

static void on_name(void *arg, enum outcome why, const char *name)
{
    struct asker *k = arg;

    ck_assert(!t.inside_start);
    ck_assert_int_eq(name != NULL, why == OUTCOME_OK);
    k->calls++;
    k->answer.why = why;
    (void)snprintf(k->name, sizeof k->name, "%s", name == NULL ? "" : name);
    k->lookup = NULL;
}

/* Waits for an event; there must be one to wait for. */
static void turn(void)
{
    ck_assert(uv_loop_alive(&t.loop));
    (void)uv_run(&t.loop, UV_RUN_ONCE);
}

static bool ask(struct asker *k, const char *name, enum addr_family family)
{
    *k = (struct asker){0};
    t.inside_start = true;
    k->lookup = resolver_start(t.resolver, name, family, on_answer, k);
    t.inside_start = false;
    return k->lookup != NULL;
}

static bool ask_ptr(struct asker *k, const char *text)
{
    struct addr a;

    *k = (struct asker){0};
    ck_assert(addr_parse_ip(text, strlen(text), &a));
    t.inside_start = true;
    k->lookup = resolver_start_ptr(t.resolver, &a, on_name, k);
    t.inside_start = false;
    return k->lookup != NULL;
}

static void wait_for(const struct asker *k)
{
    while (k->calls == 0)
        turn();
    ck_assert_uint_eq(k->calls, 1);
}

static const struct resolver_answer *resolve(const char *name, enum addr_family family)
{
    struct asker *k = &t.asker[ASKERS_MAX - 1];

    ck_assert(ask(k, name, family));
    wait_for(k);
    return &k->answer;
}

static bool known(const char *name, enum addr_family family)
{
    struct resolver_answer a;

    return resolver_cached(t.resolver, name, family, &a);
}

static uint64_t count(enum stat_id which)
{
    return atomic_load(&t.stats->value[which]);
}

static void expect_addr(const struct addr *a, const char *text)
{
    struct addr want;

    ck_assert(addr_parse_ip(text, strlen(text), &want));
    ck_assert(addr_equal(a, &want)); /* ports are 0 */
}

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

/* ---- Sharing and cancelling ---- */

START_TEST(equal_questions_share_one_query)
{
    ck_assert(ask(&t.asker[0], "one.example.net", ADDR_IPV4));
    ck_assert(ask(&t.asker[1], "ONE.Example.net", ADDR_IPV4));
    ck_assert(ask(&t.asker[2], "one.example.net", ADDR_IPV6));
    ck_assert_uint_eq(count(STAT_DNS_INFLIGHT), 2);
    for (int i = 0; i < 3; i++)
        wait_for(&t.asker[i]);
    ck_assert_uint_eq(t.dnsd.asked, 2);
    ck_assert_int_eq(t.asker[1].answer.why, OUTCOME_OK);
}
END_TEST

START_TEST(one_cancels_and_the_others_are_told) /* each of three in turn */
{
    for (int i = 0; i < 3; i++)
        ck_assert(ask(&t.asker[i], "one.example.net", ADDR_IPV4));
    resolver_cancel(t.resolver, t.asker[_i].lookup);
    for (int i = 0; i < 3; i++) {
        if (i != _i)
            wait_for(&t.asker[i]);
    }
    ck_assert_uint_eq(t.asker[_i].calls, 0);
}
END_TEST

START_TEST(a_cancelled_question_still_fills_the_cache)
{
    ck_assert(ask(&t.asker[0], "one.example.net", ADDR_IPV4));
    resolver_cancel(t.resolver, t.asker[0].lookup);
    while (!known("one.example.net", ADDR_IPV4))
        turn();
    ck_assert_uint_eq(t.asker[0].calls, 0);
}
END_TEST

START_TEST(a_settled_answer_can_be_cancelled)
{
    ck_assert(ask(&t.asker[0], "localhost", ADDR_IPV4));
    ck_assert(ask(&t.asker[1], "localhost", ADDR_IPV4));
    resolver_cancel(t.resolver, t.asker[0].lookup);
    wait_for(&t.asker[1]);
    ck_assert_uint_eq(t.asker[0].calls, 0);
}
END_TEST

START_TEST(queries_in_flight_are_bounded)
{
    char name[64];

    for (unsigned i = 0; i < t.cfg.inflight_max; i++) {
        (void)snprintf(name, sizeof name, "silent%u.example.net", i);
        ck_assert(ask(&t.asker[0], name, ADDR_IPV4));
        resolver_cancel(t.resolver, t.asker[0].lookup); /* takes nothing off the wire */
    }
    ck_assert(!ask(&t.asker[0], "one.example.net", ADDR_IPV4));
    ck_assert(!ask_ptr(&t.asker[0], "192.0.2.7"));
    ck_assert(ask(&t.asker[1], name, ADDR_IPV4)); /* shares one */
    resolver_cancel(t.resolver, t.asker[1].lookup);
    ck_assert_int_eq(resolve("localhost", ADDR_IPV4)->why, OUTCOME_OK); /* needs none */
    ck_assert_uint_eq(count(STAT_DNS_INFLIGHT), t.cfg.inflight_max);
}
END_TEST

static void on_answer_then(void *arg, const struct resolver_answer *a)
{
    on_answer(arg, a);
    resolver_cancel(t.resolver, t.asker[1].lookup);                   /* of the same query */
    t.asker[2].lookup = resolver_start(t.resolver, "one.example.net", /* known by now */
                                       ADDR_IPV4, on_answer, &t.asker[2]);
    t.asker[3].lookup =
        resolver_start(t.resolver, "two.example.net", ADDR_IPV4, on_answer, &t.asker[3]);
}

START_TEST(a_callback_may_cancel_and_start_others)
{
    ck_assert(ask(&t.asker[1], "one.example.net", ADDR_IPV4));
    t.asker[0].lookup =
        resolver_start(t.resolver, "one.example.net", ADDR_IPV4, on_answer_then, &t.asker[0]);
    wait_for(&t.asker[0]);
    wait_for(&t.asker[2]);
    wait_for(&t.asker[3]);
    ck_assert_uint_eq(t.asker[1].calls, 0);
    ck_assert_uint_eq(t.dnsd.asked, 2);
}
END_TEST

static void on_answer_close(void *arg, const struct resolver_answer *a)
{
    on_answer(arg, a);
    resolver_close(t.resolver);
}

START_TEST(a_callback_may_close)
{
    struct asker *k = &t.asker[0];

    begin();
    open_resolver();
    k->lookup = resolver_start(t.resolver, _i == 0 ? "one.example.net" : "localhost", ADDR_IPV4,
                               on_answer_close, k);
    wait_for(k);
    end();
}
END_TEST

START_TEST(closing_forgets_what_nobody_waits_for)
{
    begin();
    open_resolver();
    ck_assert(ask(&t.asker[0], "silent.example.net", ADDR_IPV4));
    ck_assert(ask(&t.asker[1], "localhost", ADDR_IPV4));
    resolver_cancel(t.resolver, t.asker[0].lookup);
    resolver_cancel(t.resolver, t.asker[1].lookup);
    for (int i = 0; i < _i; i++)
        (void)uv_run(&t.loop, UV_RUN_NOWAIT);
    resolver_close(t.resolver);
    end();
    ck_assert_uint_eq(t.asker[0].calls + t.asker[1].calls, 0);
}
END_TEST

/* ---- Reload ---- */

static void on_new_question(void *arg, const struct dnsd_question *q, struct dnsd_reply *r)
{
    (void)arg;
    dnsd_a(r, q->name, TTL_S, 99);
}

START_TEST(a_reload_asks_the_new_servers_and_lets_the_old_finish)
{
    dnsd_start(&t.next, &t.loop, on_new_question, NULL);
    (void)resolve("two.example.net", ADDR_IPV4);
    ck_assert(ask(&t.asker[0], "one.example.net", ADDR_IPV4));
    point_at(t.next.port);
    ck_assert_int_eq(resolver_configure(t.resolver, &t.cfg), 0);
    ck_assert(!known("two.example.net", ADDR_IPV4)); /* other servers, other answers */
    expect_addr(&resolve("two.example.net", ADDR_IPV4)->addr[0], "192.0.2.99");
    wait_for(&t.asker[0]);
    expect_addr(&t.asker[0].answer.addr[0], "192.0.2.1");
    ck_assert(!known("one.example.net", ADDR_IPV4)); /* an old server's answer is not kept */
    dnsd_stop(&t.next);
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

START_TEST(a_question_for_a_name_can_be_cancelled)
{
    ck_assert(ask_ptr(&t.asker[0], "192.0.2.7"));
    ck_assert(ask_ptr(&t.asker[1], "192.0.2.7"));
    resolver_cancel(t.resolver, t.asker[0].lookup);
    wait_for(&t.asker[1]);
    ck_assert_uint_eq(t.asker[0].calls, 0);
    ck_assert_uint_eq(t.dnsd.asked, 1);
}
END_TEST

/* ---- Faults ---- */

/* Everything once, taking failures as they come: whoever was told "started" is told an answer.
 */
static void whole_life(void)
{
    static const char *const name[] = {"one.example.net", "big.example.net", "localhost",
                                       "one.example.net"};
    bool started[ASKERS_MAX] = {false};
    struct resolver_answer a;

    if (resolver_open(&t.loop, &t.cfg, t.stats, &t.resolver) != 0)
        return;
    for (size_t i = 0; i < ARRAY_LEN(name); i++)
        started[i] = ask(&t.asker[i], name[i], ADDR_IPV4);
    started[4] = ask_ptr(&t.asker[4], "192.0.2.7");
    (void)!resolver_configure(t.resolver, &t.cfg); /* either way it goes on */
    started[5] = ask(&t.asker[5], "two.example.net", ADDR_IPV6);
    for (int i = 0; i < 6; i++) {
        while (started[i] && t.asker[i].calls == 0)
            turn();
        ck_assert_uint_eq(t.asker[i].calls, started[i]);
    }
    (void)resolver_cached(t.resolver, "one.example.net", ADDR_IPV4, &a);
    resolver_close(t.resolver);
}

START_TEST(any_allocation_may_fail)
{
    unsigned n = 1;

    for (;; n++) {
        begin();
        t.cfg.timeout_ms = 50;
        fault_after(n);
        whole_life();
        bool hit = fault_hit();
        end();
        if (!hit)
            break;
    }
    ck_assert_uint_gt(n, 15);
}
END_TEST

START_TEST(any_call_may_fail)
{
    static const enum fault_call call[] = {
        FAULT_socket,       FAULT_connect,       FAULT_setsockopt,
        FAULT_sendmsg,      FAULT_recvfrom,      FAULT_uv_timer_init,
        FAULT_uv_poll_init, FAULT_uv_poll_start, FAULT_open};

    for (size_t i = 0; i < ARRAY_LEN(call); i++) {
        for (unsigned n = 1;; n++) {
            begin();
            t.cfg.timeout_ms = 50;
            fault_call_after(call[i], n, call[i] == FAULT_recvfrom ? ECONNREFUSED : ENOMEM);
            whole_life();
            bool hit = fault_call_hit(call[i]);
            end();
            if (!hit)
                break;
        }
    }
}
END_TEST

START_TEST(no_fds_is_told_from_the_loop)
{
    fault_call_always(FAULT_socket, EMFILE);
    ck_assert_int_ne(resolve("one.example.net", ADDR_IPV4)->why, OUTCOME_OK);
    fault_calls_reset();
    fakeclock_advance(1000);
    ck_assert_int_eq(resolve("one.example.net", ADDR_IPV4)->why, OUTCOME_OK);
}
END_TEST

static void add_answers(Suite *s)
{
    TCase *c = tcase_create("answers");

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
    suite_add_tcase(s, c);
}

static void add_rest(Suite *s)
{
    TCase *c = tcase_create("sharing"), *own = tcase_create("life");

    tcase_add_checked_fixture(c, setup, teardown);
    tcase_add_test(c, an_answer_is_kept_for_its_ttl);
    tcase_add_test(c, a_ttl_is_held_between_its_bounds);
    tcase_add_test(c, no_such_name_and_no_such_address_are_kept_too);
    tcase_add_test(c, without_soa_a_missing_name_is_kept_for_a_moment);
    tcase_add_test(c, equal_questions_share_one_query);
    tcase_add_loop_test(c, one_cancels_and_the_others_are_told, 0, 3);
    tcase_add_test(c, a_cancelled_question_still_fills_the_cache);
    tcase_add_test(c, a_settled_answer_can_be_cancelled);
    tcase_add_test(c, queries_in_flight_are_bounded);
    tcase_add_test(c, a_callback_may_cancel_and_start_others);
    tcase_add_test(c, a_reload_asks_the_new_servers_and_lets_the_old_finish);
    tcase_add_test(c, a_question_for_a_name_can_be_cancelled);
    tcase_add_test(c, no_fds_is_told_from_the_loop);
    suite_add_tcase(s, c);
    tcase_add_loop_test(own, a_callback_may_close, 0, 2);
    tcase_add_loop_test(own, closing_forgets_what_nobody_waits_for, 0, 3);
    tcase_set_timeout(own, 60);
    tcase_add_test(own, any_allocation_may_fail);
    tcase_add_test(own, any_call_may_fail);
    suite_add_tcase(s, own);
}

int main(void)
{
    Suite *s = suite_create("resolver");

    if (setenv("LOCALDOMAIN", "search.example.org", 1) != 0)
        return EXIT_FAILURE;
    add_answers(s);
    add_rest(s);
    return runner_main(s);
}
