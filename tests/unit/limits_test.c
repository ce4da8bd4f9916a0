/* SPDX-License-Identifier: MIT */
#include "limits.h"
#include "runner.h"
#include <pthread.h>
#include <stdatomic.h>
#include <string.h>

enum { THREADS = 4, ROUNDS = 20000, MANY = 100000 };

static const struct limits_config defaults = {
    .sessions = 100,
    .sessions_per_source = 50,
    .connects_per_source = 3,
    .errors_per_second = 5,
    .auth_failures_per_minute = 4,
    .source_prefix6 = 64,
};

static struct addr ip(const char *text)
{
    struct addr a;

    ck_assert_msg(addr_parse_ip(text, strlen(text), &a), "%s", text);
    return a;
}

/* The i-th of many sources. */
static struct addr nth(uint32_t i)
{
    uint8_t octets[16] = {
        0x20,      0x01, 0x0d, 0xb8, (uint8_t)(i >> 24), (uint8_t)(i >> 16), (uint8_t)(i >> 8),
        (uint8_t)i};

    return addr_ipv6(octets, 0);
}

static struct limits *make(struct limits_config cfg)
{
    struct limits *l = limits_new(&cfg);

    ck_assert_ptr_nonnull(l);
    return l;
}

static struct limits_source *admit(struct limits *l, struct addr a)
{
    struct limits_source *s = NULL;

    ck_assert_int_eq(limits_admit(l, &a, &s), OUTCOME_OK);
    ck_assert_ptr_nonnull(s);
    return s;
}

static void refused(struct limits *l, struct addr a, enum outcome why)
{
    struct limits_source *untouched = (struct limits_source *)(void *)&a, *s = untouched;
    uint32_t before = limits_sessions(l);

    ck_assert_int_eq(limits_admit(l, &a, &s), why);
    ck_assert_ptr_eq(s, untouched);
    ck_assert_uint_eq(limits_sessions(l), before);
}

START_TEST(free_of_null_is_fine)
{
    limits_free(NULL);
}
END_TEST

START_TEST(admitted_sessions_are_counted_until_released)
{
    struct limits *l = make(defaults);
    struct limits_source *a = admit(l, ip("192.0.2.1")), *b = admit(l, ip("192.0.2.2"));

    ck_assert_ptr_ne(a, b);
    ck_assert_uint_eq(limits_sessions(l), 2);
    limits_release(l, a);
    ck_assert_uint_eq(limits_sessions(l), 1);
    limits_release(l, b);
    ck_assert_uint_eq(limits_sessions(l), 0);
    limits_free(l);
}
END_TEST

START_TEST(global_limit_is_exact_and_frees_up)
{
    struct limits *l = make(
        (struct limits_config){.sessions = 2, .sessions_per_source = 9, .source_prefix6 = 64});
    struct limits_source *a = admit(l, ip("192.0.2.1")), *b = admit(l, ip("192.0.2.2"));

    refused(l, ip("192.0.2.3"), OUTCOME_LIMIT_GLOBAL);
    refused(l, ip("192.0.2.1"), OUTCOME_LIMIT_GLOBAL);
    limits_release(l, a);
    a = admit(l, ip("192.0.2.3"));
    limits_release(l, a);
    limits_release(l, b);
    limits_free(l);
}
END_TEST

START_TEST(source_limit_is_exact_and_concerns_that_source_only)
{
    struct limits *l = make(
        (struct limits_config){.sessions = 9, .sessions_per_source = 2, .source_prefix6 = 64});
    struct limits_source *held[3] = {admit(l, ip("192.0.2.1")), admit(l, ip("192.0.2.1")),
                                     admit(l, ip("192.0.2.2"))};

    ck_assert_ptr_eq(held[0], held[1]);
    refused(l, ip("192.0.2.1"), OUTCOME_LIMIT_SOURCE);
    limits_release(l, held[0]);
    held[0] = admit(l, ip("192.0.2.1"));
    for (size_t i = 0; i < ARRAY_LEN(held); i++)
        limits_release(l, held[i]);
    limits_free(l);
}
END_TEST

static bool same_source(uint32_t prefix6, const char *a, const char *b)
{
    struct limits_config cfg = defaults;

    cfg.source_prefix6 = prefix6;
    struct limits *l = make(cfg);
    struct limits_source *first = admit(l, ip(a)), *second = admit(l, ip(b));
    bool same = first == second;

    limits_release(l, first);
    limits_release(l, second);
    limits_free(l);
    return same;
}

START_TEST(an_ipv6_source_is_a_prefix)
{
    ck_assert(same_source(64, "2001:db8::1", "2001:db8::ffff:0:1"));
    ck_assert(!same_source(64, "2001:db8:0:1::1", "2001:db8:0:2::1"));
    ck_assert(same_source(56, "2001:db8:0:1::1", "2001:db8:0:2::1"));
    ck_assert(!same_source(128, "2001:db8::1", "2001:db8::2"));
    ck_assert(same_source(128, "2001:db8::1", "2001:db8::1"));
    ck_assert(same_source(0, "2001:db8::1", "3fff::1"));
}
END_TEST

START_TEST(an_ipv4_source_is_one_address_mapped_or_not)
{
    ck_assert(same_source(0, "192.0.2.1", "::ffff:192.0.2.1"));
    ck_assert(!same_source(0, "192.0.2.1", "192.0.2.2"));
    ck_assert(!same_source(64, "::ffff:192.0.2.1", "::ffff:192.0.2.2"));
}
END_TEST

START_TEST(sessions_over_a_new_limit_stay)
{
    struct limits_config cfg = defaults;
    struct limits *l = make(cfg);
    struct limits_source *held[3];

    for (size_t i = 0; i < ARRAY_LEN(held); i++)
        held[i] = admit(l, ip("192.0.2.1"));
    cfg.sessions = 1;
    limits_configure(l, &cfg);
    ck_assert_uint_eq(limits_sessions(l), 3);
    limits_release(l, held[0]);
    refused(l, ip("192.0.2.1"), OUTCOME_LIMIT_GLOBAL);
    cfg.sessions = 9;
    cfg.sessions_per_source = 2;
    limits_configure(l, &cfg);
    refused(l, ip("192.0.2.1"), OUTCOME_LIMIT_SOURCE);
    held[0] = admit(l, ip("192.0.2.2"));
    for (size_t i = 0; i < ARRAY_LEN(held); i++)
        limits_release(l, held[i]);
    limits_free(l);
}
END_TEST

START_TEST(a_limit_of_zero_allows_none)
{
    struct limits *l = make(
        (struct limits_config){.sessions = 1, .sessions_per_source = 1, .source_prefix6 = 64});
    struct limits_source *s = admit(l, ip("192.0.2.1"));

    ck_assert_int_eq(limits_connect_begin(l, s), OUTCOME_LIMIT_SOURCE);
    ck_assert(!limits_error_allowed(l, s, 1000000));
    ck_assert(!limits_auth_allowed(l, s, 1000000));
    limits_release(l, s);
    limits_configure(l, &(struct limits_config){.sessions = 0, .sessions_per_source = 1});
    refused(l, ip("192.0.2.1"), OUTCOME_LIMIT_GLOBAL);
    limits_configure(l, &(struct limits_config){.sessions = 1, .sessions_per_source = 0});
    refused(l, ip("192.0.2.1"), OUTCOME_LIMIT_SOURCE);
    limits_free(l);
}
END_TEST

/* The table is made for one session; then the limit is raised far beyond it. */
START_TEST(a_table_full_of_live_sources_refuses_new_ones)
{
    static struct limits_source *held[MANY];
    struct limits_config cfg = {.sessions = 1, .sessions_per_source = 2, .source_prefix6 = 64};
    struct limits *l = make(cfg);
    uint32_t admitted = 0, no_room = 0, last = 0;

    cfg.sessions = 2 * MANY;
    limits_configure(l, &cfg);
    for (uint32_t i = 0; i < MANY; i++) {
        struct addr a = nth(i);
        enum outcome why = limits_admit(l, &a, &held[admitted]);

        ck_assert(why == OUTCOME_OK || why == OUTCOME_NO_RESOURCES);
        last = why == OUTCOME_OK ? i : last;
        *(why == OUTCOME_OK ? &admitted : &no_room) += 1;
        ck_assert_uint_eq(limits_sessions(l), admitted);
    }
    ck_assert_uint_ge(admitted, 64);
    ck_assert_uint_lt(admitted, 10000);
    ck_assert_uint_eq(admitted + no_room, MANY);
    limits_release(l, admit(l, nth(last))); /* a known source still gets in */
    while (admitted > 0)
        limits_release(l, held[--admitted]);
    for (uint32_t i = MANY; i < 2 * MANY; i++) /* idle ones make room */
        limits_release(l, admit(l, nth(i)));
    ck_assert_uint_eq(limits_sessions(l), 0);
    limits_free(l);
}
END_TEST

START_TEST(the_table_holds_as_many_sources_as_sessions)
{
    static struct limits_source *held[MANY];
    struct limits *l = make((struct limits_config){
        .sessions = MANY, .sessions_per_source = 1, .source_prefix6 = 64});

    for (uint32_t i = 0; i < MANY; i++)
        held[i] = admit(l, nth(i));
    refused(l, nth(MANY), OUTCOME_LIMIT_GLOBAL);
    for (uint32_t i = 0; i < MANY; i++)
        limits_release(l, held[i]);
    limits_free(l);
}
END_TEST

START_TEST(connects_under_way_are_limited_per_source)
{
    struct limits *l = make(defaults);
    struct limits_source *a = admit(l, ip("192.0.2.1")), *b = admit(l, ip("192.0.2.2"));

    for (int i = 0; i < 3; i++)
        ck_assert_int_eq(limits_connect_begin(l, a), OUTCOME_OK);
    ck_assert_int_eq(limits_connect_begin(l, a), OUTCOME_LIMIT_SOURCE);
    ck_assert_int_eq(limits_connect_begin(l, b), OUTCOME_OK);
    limits_connect_end(l, b);
    limits_connect_end(l, a);
    ck_assert_int_eq(limits_connect_begin(l, a), OUTCOME_OK);
    for (int i = 0; i < 3; i++)
        limits_connect_end(l, a);
    limits_release(l, a);
    limits_release(l, b);
    limits_free(l);
}
END_TEST

static unsigned errors_at(struct limits *l, struct limits_source *s, uint64_t now_ms)
{
    unsigned n = 0;

    while (limits_error_allowed(l, s, now_ms))
        ck_assert_uint_lt(++n, 1000);
    return n;
}

START_TEST(errors_are_limited_per_source_and_second)
{
    struct limits *l = make(defaults);
    struct limits_source *a = admit(l, ip("192.0.2.1")), *b = admit(l, ip("192.0.2.2"));
    const uint64_t now = 86400000;

    ck_assert_uint_eq(errors_at(l, a, now), 5);
    ck_assert_uint_eq(errors_at(l, b, now), 5);
    ck_assert_uint_eq(errors_at(l, a, now + 199), 0);
    ck_assert_uint_eq(errors_at(l, a, now + 200),
                      1); /* one comes back every fifth of a second */
    ck_assert_uint_eq(errors_at(l, a, now + 600), 2);
    ck_assert_uint_eq(errors_at(l, a, now + 3600000),
                      5); /* never more than a second's worth at once */
    ck_assert_uint_eq(errors_at(l, b, now - 5), 0); /* a worker's clock may lag */
    limits_release(l, a);
    limits_release(l, b);
    limits_free(l);
}
END_TEST

/* Rates that do not divide a second, up to the largest: as many at once as the rate says. */
START_TEST(the_error_budget_is_the_rate)
{
    static const uint32_t rates[] = {1, 3, 7, 600, 999};

    for (size_t i = 0; i < ARRAY_LEN(rates); i++) {
        struct limits_config cfg = defaults;

        cfg.errors_per_second = rates[i];
        struct limits *l = make(cfg);
        struct limits_source *s = admit(l, ip("192.0.2.1"));

        ck_assert_uint_eq(errors_at(l, s, 0), rates[i]);
        ck_assert_uint_eq(errors_at(l, s, 1001), rates[i]);
        cfg.errors_per_second = UINT32_MAX;
        limits_configure(l, &cfg);
        ck_assert(limits_error_allowed(l, s, 1001));
        limits_release(l, s);
        limits_free(l);
    }
}
END_TEST

START_TEST(asking_for_auth_takes_nothing)
{
    struct limits *l = make(defaults);
    struct limits_source *s = admit(l, ip("192.0.2.1"));

    for (int i = 0; i < 100; i++)
        ck_assert(limits_auth_allowed(l, s, 5));
    ck_assert_uint_eq(limits_throttled(l, 5), 0);
    limits_release(l, s);
    limits_free(l);
}
END_TEST

START_TEST(failed_passwords_throttle_the_source_for_a_while)
{
    struct limits *l = make(defaults);
    struct limits_source *a = admit(l, ip("192.0.2.1")), *b = admit(l, ip("192.0.2.2"));
    const uint64_t now = 86400000;

    for (int i = 0; i < 4; i++) {
        ck_assert(limits_auth_allowed(l, a, now));
        limits_auth_failed(l, a, now);
    }
    ck_assert(!limits_auth_allowed(l, a, now));
    ck_assert(limits_auth_allowed(l, b, now));
    ck_assert_uint_eq(limits_throttled(l, now), 1);
    ck_assert(!limits_auth_allowed(l, a, now + 14999));
    ck_assert(limits_auth_allowed(l, a, now + 15000)); /* 4 per minute */
    ck_assert_uint_eq(limits_throttled(l, now + 15000), 0);
    limits_release(l, a);
    limits_release(l, b);
    limits_free(l);
}
END_TEST

/* Two guesses over the budget, made side by side: each costs its quarter of a minute. */
START_TEST(failures_beyond_the_budget_are_charged_too)
{
    struct limits *l = make(defaults);
    struct limits_source *s = admit(l, ip("192.0.2.1"));

    for (int i = 0; i < 6; i++)
        limits_auth_failed(l, s, 0);
    ck_assert(!limits_auth_allowed(l, s, 44999));
    ck_assert(limits_auth_allowed(l, s, 45000));
    limits_release(l, s);
    limits_free(l);
}
END_TEST

START_TEST(a_throttled_source_stays_so_across_sessions)
{
    struct limits *l = make(defaults);
    struct limits_source *s = admit(l, ip("192.0.2.1"));

    for (int i = 0; i < 4; i++)
        limits_auth_failed(l, s, 0);
    limits_release(l, s);
    ck_assert_uint_eq(limits_throttled(l, 0), 1);
    s = admit(l, ip("192.0.2.1"));
    ck_assert(!limits_auth_allowed(l, s, 0));
    limits_release(l, s);
    limits_free(l);
}
END_TEST

START_TEST(a_flood_of_other_sources_does_not_forgive)
{
    struct limits *l = make(defaults);
    struct limits_source *s = admit(l, ip("192.0.2.1"));

    for (int i = 0; i < 4; i++)
        limits_auth_failed(l, s, 0);
    limits_release(l, s);
    for (uint32_t i = 0; i < MANY; i++)
        limits_release(l, admit(l, nth(i)));
    s = admit(l, ip("192.0.2.1"));
    ck_assert(!limits_auth_allowed(l, s, 0));
    limits_release(l, s);
    limits_free(l);
}
END_TEST

START_TEST(a_flood_of_guessing_sources_is_bounded)
{
    struct limits *l = make(defaults);

    for (uint32_t i = 0; i < MANY; i++) {
        struct limits_source *s = admit(l, nth(i));

        for (int k = 0; k < 4; k++)
            limits_auth_failed(l, s, 0);
        (void)errors_at(l, s, 0);
        limits_release(l, s);
    }
    ck_assert_uint_ge(limits_throttled(l, 0), 64);
    ck_assert_uint_lt(limits_throttled(l, 0), 10000);
    for (uint32_t i = MANY; i < 2 * MANY; i++) { /* who inherits a place inherits no debt */
        struct limits_source *s = admit(l, nth(i));

        ck_assert(limits_auth_allowed(l, s, 0));
        ck_assert(limits_error_allowed(l, s, 0));
        limits_release(l, s);
    }
    limits_free(l);
}
END_TEST

/* --- threads --- */

struct crowd {
    struct limits *l;
    struct limits_source *shared;
    atomic_uint held, held_max, allowed, connects, connects_max;
    struct addr client;
    bool one_source;
    atomic_uint wrong; /* assertions belong to the main thread */
    pthread_barrier_t start;
};

static void note_max(atomic_uint *max, unsigned seen)
{
    unsigned old = atomic_load(max);

    while (old < seen && !atomic_compare_exchange_weak(max, &old, seen)) {
    }
}

static void *sessions_thread(void *arg)
{
    struct crowd *c = arg;
    struct addr a = c->client;

    (void)pthread_barrier_wait(&c->start);
    for (uint32_t i = 0; i < ROUNDS; i++) {
        struct limits_source *s[2] = {NULL, NULL};

        for (size_t k = 0; k < ARRAY_LEN(s); k++) {
            a.ip[3] = c->one_source ? 1 : (uint8_t)i;
            if (limits_admit(c->l, &a, &s[k]) == OUTCOME_OK)
                note_max(&c->held_max, atomic_fetch_add(&c->held, 1) + 1);
        }
        for (size_t k = 0; k < ARRAY_LEN(s); k++) {
            if (s[k] == NULL)
                continue;
            atomic_fetch_sub(&c->held, 1);
            limits_release(c->l, s[k]);
        }
    }
    return NULL;
}

static void *budgets_thread(void *arg)
{
    struct crowd *c = arg;

    (void)pthread_barrier_wait(&c->start);
    for (uint32_t i = 0; i < ROUNDS; i++) {
        if (limits_error_allowed(c->l, c->shared, 1000))
            atomic_fetch_add(&c->allowed, 1);
        limits_auth_failed(c->l, c->shared, 1000);
        if (limits_connect_begin(c->l, c->shared) == OUTCOME_OK) {
            note_max(&c->connects_max, atomic_fetch_add(&c->connects, 1) + 1);
            atomic_fetch_sub(&c->connects, 1);
            limits_connect_end(c->l, c->shared);
        }
        if (i % 1024 == 0)
            c->wrong += limits_throttled(c->l, 1000) > 1;
    }
    return NULL;
}

static void run(struct crowd *c, void *(*body)(void *))
{
    pthread_t t[THREADS];

    c->client = ip("192.0.2.1");
    ck_assert_int_eq(pthread_barrier_init(&c->start, NULL, THREADS), 0);
    for (size_t i = 0; i < THREADS; i++)
        ck_assert_int_eq(pthread_create(&t[i], NULL, body, c), 0);
    for (size_t i = 0; i < THREADS; i++)
        ck_assert_int_eq(pthread_join(t[i], NULL), 0);
    ck_assert_int_eq(pthread_barrier_destroy(&c->start), 0);
    ck_assert_uint_eq(c->wrong, 0);
}

START_TEST(global_limit_holds_between_threads)
{
    struct crowd c = {.l = make((struct limits_config){
                          .sessions = 5, .sessions_per_source = 100, .source_prefix6 = 64})};

    run(&c, sessions_thread);
    ck_assert_uint_le(c.held_max, 5);
    ck_assert_uint_eq(limits_sessions(c.l), 0);
    for (int i = 0; i < 5; i++) /* and nothing leaked: all places are free again */
        c.shared = admit(c.l, ip("192.0.2.1"));
    refused(c.l, ip("192.0.2.1"), OUTCOME_LIMIT_GLOBAL);
    for (int i = 0; i < 5; i++)
        limits_release(c.l, c.shared);
    limits_free(c.l);
}
END_TEST

START_TEST(source_limit_holds_between_threads)
{
    struct crowd c = {.one_source = true,
                      .l = make((struct limits_config){
                          .sessions = 100, .sessions_per_source = 3, .source_prefix6 = 64})};

    run(&c, sessions_thread);
    ck_assert_uint_le(c.held_max, 3);
    ck_assert_uint_eq(limits_sessions(c.l), 0);
    for (int i = 0; i < 3; i++)
        c.shared = admit(c.l, ip("192.0.2.1"));
    refused(c.l, ip("192.0.2.1"), OUTCOME_LIMIT_SOURCE);
    for (int i = 0; i < 3; i++)
        limits_release(c.l, c.shared);
    limits_free(c.l);
}
END_TEST

START_TEST(budgets_are_exact_between_threads)
{
    struct limits_config cfg = defaults;

    cfg.errors_per_second = 777;
    struct crowd c = {.l = make(cfg)};

    c.shared = admit(c.l, ip("192.0.2.1"));
    run(&c, budgets_thread);
    ck_assert_uint_eq(c.allowed, 777);
    ck_assert_uint_le(c.connects_max, defaults.connects_per_source);
    /* Every failure was charged a quarter of a minute; four of them are the budget. */
    const uint64_t until = 1000 + ((uint64_t)THREADS * ROUNDS - 3) * 15000;

    ck_assert(!limits_auth_allowed(c.l, c.shared, until - 1));
    ck_assert(limits_auth_allowed(c.l, c.shared, until));
    limits_release(c.l, c.shared);
    limits_free(c.l);
}
END_TEST

static Suite *limits_suite(void)
{
    Suite *s = suite_create("limits");
    TCase *t = tcase_create("all");

    tcase_set_timeout(t, 60);
    tcase_add_test(t, free_of_null_is_fine);
    tcase_add_test(t, admitted_sessions_are_counted_until_released);
    tcase_add_test(t, global_limit_is_exact_and_frees_up);
    tcase_add_test(t, source_limit_is_exact_and_concerns_that_source_only);
    tcase_add_test(t, an_ipv6_source_is_a_prefix);
    tcase_add_test(t, an_ipv4_source_is_one_address_mapped_or_not);
    tcase_add_test(t, sessions_over_a_new_limit_stay);
    tcase_add_test(t, a_limit_of_zero_allows_none);
    tcase_add_test(t, a_table_full_of_live_sources_refuses_new_ones);
    tcase_add_test(t, the_table_holds_as_many_sources_as_sessions);
    tcase_add_test(t, connects_under_way_are_limited_per_source);
    tcase_add_test(t, errors_are_limited_per_source_and_second);
    tcase_add_test(t, the_error_budget_is_the_rate);
    tcase_add_test(t, asking_for_auth_takes_nothing);
    tcase_add_test(t, failed_passwords_throttle_the_source_for_a_while);
    tcase_add_test(t, failures_beyond_the_budget_are_charged_too);
    tcase_add_test(t, a_throttled_source_stays_so_across_sessions);
    tcase_add_test(t, a_flood_of_other_sources_does_not_forgive);
    tcase_add_test(t, a_flood_of_guessing_sources_is_bounded);
    tcase_add_test(t, global_limit_holds_between_threads);
    tcase_add_test(t, source_limit_holds_between_threads);
    tcase_add_test(t, budgets_are_exact_between_threads);
    suite_add_tcase(s, t);
    return s;
}

int main(void)
{
    return runner_main(limits_suite());
}
