/* SPDX-License-Identifier: MIT */
/* RFC 8305 by sections 3 (resolution), 4 (sorting), 5 (attempts) and 8 (values). Time is a
 * number; nothing sleeps. */
#include "eyeballs.h"
#include "runner.h"
#include <string.h>

enum { START_MS = 1000000, ATTEMPT_MS = 250, RESOLUTION_MS = 50 };

static const struct failure NOT_FOUND = {.why = OUTCOME_NAME_NOT_FOUND};
static const struct failure REFUSED = {.why = OUTCOME_REFUSED};
static const struct failure OK = {.why = OUTCOME_OK};

static struct addr address(enum addr_family family, uint8_t last)
{
    uint8_t ip4[4] = {192, 0, 2, last};
    uint8_t ip6[16] = {0x20, 0x01, 0x0d, 0xb8, [15] = last};

    return family == ADDR_IPV6 ? addr_ipv6(ip6, 443) : addr_ipv4(ip4, 443);
}

static void init(struct eyeballs *e, enum addr_family prefer)
{
    struct eyeballs_config cfg = {
        .attempt_delay_ms = ATTEMPT_MS, .resolution_delay_ms = RESOLUTION_MS, .prefer = prefer};

    memset(e, 0xA5, sizeof *e);
    eyeballs_init(e, &cfg);
}

static void init_name(struct eyeballs *e, enum addr_family prefer)
{
    init(e, prefer);
    eyeballs_expect(e, ADDR_IPV6);
    eyeballs_expect(e, ADDR_IPV4);
}

/* Addresses .1 to .n of the family. */
static void resolved(struct eyeballs *e, enum addr_family family, uint8_t n, uint64_t now_ms)
{
    struct addr a[EYEBALLS_ADDRS_MAX];

    for (uint8_t i = 0; i < n; i++)
        a[i] = address(family, (uint8_t)(i + 1));
    eyeballs_resolved(e, family, a, n, n == 0 ? NOT_FOUND : OK, now_ms);
}

static void expect_wait(struct eyeballs *e, uint64_t now_ms, uint64_t at_ms)
{
    struct eyeballs_step s = eyeballs_next(e, now_ms);

    ck_assert_int_eq(s.action, EYEBALLS_WAIT);
    ck_assert_uint_eq(s.at_ms, at_ms);
}

static void expect_connect(struct eyeballs *e, uint64_t now_ms, enum addr_family family,
                           uint8_t last)
{
    struct eyeballs_step s = eyeballs_next(e, now_ms);
    struct addr want = address(family, last);

    ck_assert_int_eq(s.action, EYEBALLS_CONNECT);
    ck_assert(addr_equal(&e->addr[s.index], &want));
}

static void expect_failed(struct eyeballs *e, uint64_t now_ms, enum outcome why)
{
    struct eyeballs_step s = eyeballs_next(e, now_ms);

    ck_assert_int_eq(s.action, EYEBALLS_FAILED);
    ck_assert_int_eq(s.failure.why, why);
}

START_TEST(an_address_is_tried_at_once_without_expecting_lookups)
{
    struct eyeballs e;

    init(&e, ADDR_IPV6);
    resolved(&e, ADDR_IPV4, 1, START_MS);
    expect_connect(&e, START_MS, ADDR_IPV4, 1);
    expect_wait(&e, START_MS, UINT64_MAX);
    eyeballs_failed(&e, 0, REFUSED, START_MS + 1);
    expect_failed(&e, START_MS + 1, OUTCOME_REFUSED);
}
END_TEST

START_TEST(it_waits_for_an_event_while_lookups_run)
{
    struct eyeballs e;

    init_name(&e, ADDR_IPV6);
    expect_wait(&e, START_MS, UINT64_MAX);
    resolved(&e, ADDR_IPV6, 0, START_MS);
    expect_wait(&e, START_MS, UINT64_MAX);
    resolved(&e, ADDR_IPV4, 0, START_MS);
    expect_failed(&e, START_MS, OUTCOME_NAME_NOT_FOUND);
    expect_failed(&e, START_MS + 1, OUTCOME_NAME_NOT_FOUND);
}
END_TEST

START_TEST(the_preferred_familys_answer_starts_at_once) /* s3 */
{
    struct eyeballs e;

    init_name(&e, ADDR_IPV6);
    resolved(&e, ADDR_IPV6, 1, START_MS);
    expect_connect(&e, START_MS, ADDR_IPV6, 1);

    init_name(&e, ADDR_IPV4);
    resolved(&e, ADDR_IPV4, 1, START_MS);
    expect_connect(&e, START_MS, ADDR_IPV4, 1);
}
END_TEST

START_TEST(the_other_familys_answer_waits_for_the_resolution_delay) /* s3 */
{
    struct eyeballs e;

    init_name(&e, ADDR_IPV6);
    resolved(&e, ADDR_IPV4, 1, START_MS);
    expect_wait(&e, START_MS, START_MS + RESOLUTION_MS);
    expect_wait(&e, START_MS + RESOLUTION_MS - 1, START_MS + RESOLUTION_MS);
    expect_connect(&e, START_MS + RESOLUTION_MS, ADDR_IPV4, 1);

    init_name(&e, ADDR_IPV4);
    resolved(&e, ADDR_IPV6, 1, START_MS);
    expect_wait(&e, START_MS, START_MS + RESOLUTION_MS);
    expect_connect(&e, START_MS + RESOLUTION_MS, ADDR_IPV6, 1);
}
END_TEST

START_TEST(a_preferred_answer_within_the_delay_goes_first) /* s3 */
{
    struct eyeballs e;

    init_name(&e, ADDR_IPV6);
    resolved(&e, ADDR_IPV4, 2, START_MS);
    expect_wait(&e, START_MS, START_MS + RESOLUTION_MS);
    resolved(&e, ADDR_IPV6, 1, START_MS + 20);
    expect_connect(&e, START_MS + 20, ADDR_IPV6, 1);
    expect_connect(&e, START_MS + 20 + ATTEMPT_MS, ADDR_IPV4, 1);
}
END_TEST

START_TEST(a_negative_preferred_answer_ends_the_delay) /* s3 */
{
    struct eyeballs e;

    init_name(&e, ADDR_IPV6);
    resolved(&e, ADDR_IPV4, 1, START_MS);
    expect_wait(&e, START_MS, START_MS + RESOLUTION_MS);
    resolved(&e, ADDR_IPV6, 0, START_MS + 5);
    expect_connect(&e, START_MS + 5, ADDR_IPV4, 1);
}
END_TEST

START_TEST(the_delay_counts_from_the_first_addresses)
{
    struct eyeballs e;

    init_name(&e, ADDR_IPV6);
    resolved(&e, ADDR_IPV4, 0, START_MS); /* nothing: starts no delay */
    resolved(&e, ADDR_IPV6, 1, START_MS + 9);
    expect_connect(&e, START_MS + 9, ADDR_IPV6, 1);
}
END_TEST

START_TEST(families_take_turns_beginning_with_the_preferred) /* s4 */
{
    static const enum addr_family prefer[] = {ADDR_IPV6, ADDR_IPV4};

    for (size_t p = 0; p < ARRAY_LEN(prefer); p++) {
        enum addr_family first = prefer[p], second = prefer[1 - p];
        struct eyeballs e;
        uint64_t now = START_MS;

        init_name(&e, first);
        resolved(&e, second, 2, now);
        resolved(&e, first, 4, now);
        expect_connect(&e, now, first, 1);
        expect_connect(&e, now += ATTEMPT_MS, second, 1);
        expect_connect(&e, now += ATTEMPT_MS, first, 2);
        expect_connect(&e, now += ATTEMPT_MS, second, 2);
        expect_connect(&e, now += ATTEMPT_MS, first, 3); /* the other family has no more */
        expect_connect(&e, now + ATTEMPT_MS, first, 4);
    }
}
END_TEST

START_TEST(an_unset_preference_is_ipv6) /* s3 */
{
    struct eyeballs e;

    init_name(&e, ADDR_NONE);
    resolved(&e, ADDR_IPV4, 1, START_MS);
    resolved(&e, ADDR_IPV6, 1, START_MS);
    expect_connect(&e, START_MS, ADDR_IPV6, 1);
}
END_TEST

START_TEST(attempts_are_one_attempt_delay_apart) /* s5 */
{
    struct eyeballs e;

    init_name(&e, ADDR_IPV6);
    resolved(&e, ADDR_IPV6, 3, START_MS);
    expect_connect(&e, START_MS, ADDR_IPV6, 1);
    expect_wait(&e, START_MS, START_MS + ATTEMPT_MS);
    expect_wait(&e, START_MS + ATTEMPT_MS - 1, START_MS + ATTEMPT_MS);
    expect_connect(&e, START_MS + ATTEMPT_MS + 3, ADDR_IPV6, 2);
    expect_wait(&e, START_MS + ATTEMPT_MS + 3, START_MS + 2 * ATTEMPT_MS + 3);
}
END_TEST

START_TEST(a_failed_attempt_starts_the_next_at_once)
{
    struct eyeballs e;

    init_name(&e, ADDR_IPV6);
    resolved(&e, ADDR_IPV6, 3, START_MS);
    expect_connect(&e, START_MS, ADDR_IPV6, 1);
    expect_connect(&e, START_MS + ATTEMPT_MS, ADDR_IPV6, 2);
    eyeballs_failed(&e, 0, REFUSED,
                    START_MS + ATTEMPT_MS + 1); /* while the second still runs */
    expect_connect(&e, START_MS + ATTEMPT_MS + 1, ADDR_IPV6, 3);
    expect_wait(&e, START_MS + ATTEMPT_MS + 1, UINT64_MAX);
}
END_TEST

START_TEST(late_addresses_join_what_is_not_tried_yet) /* s3, s5 */
{
    struct eyeballs e;

    init_name(&e, ADDR_IPV6);
    resolved(&e, ADDR_IPV4, 3, START_MS);
    expect_connect(&e, START_MS + RESOLUTION_MS, ADDR_IPV4, 1);
    resolved(&e, ADDR_IPV6, 2, START_MS + 100);
    expect_wait(&e, START_MS + 100, START_MS + RESOLUTION_MS + ATTEMPT_MS);
    struct addr tried = address(ADDR_IPV4, 1);
    ck_assert(addr_equal(&e.addr[0], &tried)); /* keeps its index */
    uint64_t now = START_MS + RESOLUTION_MS + ATTEMPT_MS;
    expect_connect(&e, now, ADDR_IPV6, 1);
    expect_connect(&e, now + ATTEMPT_MS, ADDR_IPV4, 2);
    expect_connect(&e, now + ATTEMPT_MS * UINT64_C(2), ADDR_IPV6, 2);
    expect_connect(&e, now + ATTEMPT_MS * UINT64_C(3), ADDR_IPV4, 3);
}
END_TEST

START_TEST(late_addresses_start_at_once_when_nothing_runs)
{
    struct eyeballs e;

    init_name(&e, ADDR_IPV6);
    resolved(&e, ADDR_IPV4, 1, START_MS);
    expect_connect(&e, START_MS + RESOLUTION_MS, ADDR_IPV4, 1);
    eyeballs_failed(&e, 0, REFUSED, START_MS + RESOLUTION_MS + 1);
    expect_wait(&e, START_MS + RESOLUTION_MS + 1, UINT64_MAX); /* IPv6 may still come */
    resolved(&e, ADDR_IPV6, 1, START_MS + RESOLUTION_MS + 2);
    expect_connect(&e, START_MS + RESOLUTION_MS + 2, ADDR_IPV6, 1);
}
END_TEST

START_TEST(a_duplicate_is_dropped_and_the_first_port_wins)
{
    struct addr twice[3] = {address(ADDR_IPV4, 1), address(ADDR_IPV4, 1),
                            address(ADDR_IPV4, 2)};
    struct eyeballs e;

    twice[1].port = 80;
    init_name(&e, ADDR_IPV4);
    eyeballs_resolved(&e, ADDR_IPV4, twice, 3, OK, START_MS);
    ck_assert_uint_eq(e.count, 2);
    expect_connect(&e, START_MS, ADDR_IPV4, 1);
    eyeballs_failed(&e, 0, REFUSED, START_MS);
    eyeballs_resolved(&e, ADDR_IPV6, twice, 1, OK,
                      START_MS); /* a tried one does not come again */
    expect_connect(&e, START_MS, ADDR_IPV4, 2);
    ck_assert_uint_eq(e.count, 2);
}
END_TEST

START_TEST(addresses_beyond_the_bound_are_dropped)
{
    struct addr many[EYEBALLS_ADDRS_MAX + 5];
    struct eyeballs e;

    for (size_t i = 0; i < ARRAY_LEN(many); i++)
        many[i] = address(ADDR_IPV4, (uint8_t)i);
    init_name(&e, ADDR_IPV4);
    eyeballs_resolved(&e, ADDR_IPV4, many, ARRAY_LEN(many), OK, START_MS);
    ck_assert_uint_eq(e.count, EYEBALLS_ADDRS_MAX);
    resolved(&e, ADDR_IPV6, 2, START_MS);
    ck_assert_uint_eq(e.count, EYEBALLS_ADDRS_MAX);
    for (unsigned i = 0; i < EYEBALLS_ADDRS_MAX; i++)
        expect_connect(&e, START_MS + (uint64_t)i * ATTEMPT_MS, ADDR_IPV4, (uint8_t)i);
}
END_TEST

START_TEST(the_most_telling_failure_is_the_verdict)
{
    static const enum outcome why[] = {OUTCOME_NO_ROUTE, OUTCOME_DENIED, OUTCOME_REFUSED};
    struct eyeballs e;

    init_name(&e, ADDR_IPV4);
    resolved(&e, ADDR_IPV6, 0, START_MS);
    resolved(&e, ADDR_IPV4, 3, START_MS);
    for (uint8_t i = 0; i < 3; i++) {
        expect_connect(&e, START_MS, ADDR_IPV4, (uint8_t)(i + 1));
        eyeballs_failed(&e, i, (struct failure){.why = why[i], .detail = i}, START_MS);
    }
    struct eyeballs_step s = eyeballs_next(&e, START_MS);
    ck_assert_int_eq(s.action, EYEBALLS_FAILED);
    ck_assert_int_eq(s.failure.why, OUTCOME_DENIED);
    ck_assert_uint_eq(s.failure.detail, 1); /* whole, with what is beside the outcome */
}
END_TEST

START_TEST(a_failed_lookup_is_not_hidden_by_the_other_familys_not_found)
{
    const struct failure broken = {.why = OUTCOME_RESOLVER_FAILED};

    for (int swap = 0; swap < 2; swap++) {
        struct eyeballs e;
        init_name(&e, ADDR_IPV6);
        eyeballs_resolved(&e, ADDR_IPV6, NULL, 0, swap ? broken : NOT_FOUND, START_MS);
        eyeballs_resolved(&e, ADDR_IPV4, NULL, 0, swap ? NOT_FOUND : broken, START_MS);
        expect_failed(&e, START_MS, OUTCOME_RESOLVER_FAILED);
    }
}
END_TEST

START_TEST(a_schedule_without_any_event_has_failed)
{
    struct eyeballs e;

    init(&e, ADDR_IPV6);
    expect_failed(&e, START_MS, OUTCOME_INTERNAL);
}
END_TEST

/* ---- All orders of events ---- */

/* An assertion that costs nothing while it holds: there are millions. */
#define HOLDS(cond)                                   \
    do {                                              \
        if (!(cond))                                  \
            ck_abort_msg("does not hold: %s", #cond); \
    } while (0)

enum {
    MOVE_IPV6,
    MOVE_IPV4,
    MOVE_FAIL_OLDEST,
    MOVE_FAIL_NEWEST,
    MOVE_TIMER,
    MOVE_TICK,
    MOVES,
    STEPS = 6
};

struct model {
    struct eyeballs e;
    uint64_t now, wait_until, last_start;
    uint8_t answers[2]; /* how many addresses each family will have */
    bool answered[2];
    unsigned running, tried; /* bit per index */
    bool failed_since_start, over;
    unsigned rank; /* of the worst failure told */
    unsigned fails;
};

static void check_connect(struct model *m, struct eyeballs_step s)
{
    unsigned bit = 1u << s.index;
    int family = m->e.addr[s.index].family == ADDR_IPV6 ? 0 : 1;

    HOLDS(s.index < EYEBALLS_ADDRS_MAX);
    HOLDS(m->answered[family]);
    HOLDS((m->tried & bit) == 0); /* each address once */
    HOLDS(m->tried == bit - 1);   /* in order */
    if (m->running != 0 && !m->failed_since_start)
        HOLDS(m->now >= m->last_start + ATTEMPT_MS);
    if (m->tried == 0 && family == 1 && !m->answered[0])
        HOLDS(m->now >= m->e.resolution_ends_ms);
    m->tried |= bit;
    m->running |= bit;
    m->last_start = m->now;
    m->failed_since_start = false;
}

static void settle(struct model *m)
{
    for (;;) {
        struct eyeballs_step s = eyeballs_next(&m->e, m->now);
        if (s.action == EYEBALLS_CONNECT) {
            check_connect(m, s);
            continue;
        }
        bool all = m->answered[0] && m->answered[1];
        unsigned known =
            (m->answered[0] ? m->answers[0] : 0u) + (m->answered[1] ? m->answers[1] : 0u);
        bool untried = m->tried != (1u << known) - 1;
        if (s.action == EYEBALLS_FAILED) {
            HOLDS(all && m->running == 0 && !untried);
            HOLDS(outcome_rank(s.failure.why) == m->rank);
            m->over = true;
            return;
        }
        HOLDS(!all || m->running != 0 || untried);
        HOLDS(s.at_ms > m->now);
        HOLDS(untried ==
              (s.at_ms != UINT64_MAX)); /* nothing untried is forgotten, no timer for nothing */
        m->wait_until = s.at_ms;
        return;
    }
}

static void told(struct model *m, struct failure f)
{
    if (outcome_rank(f.why) > m->rank)
        m->rank = outcome_rank(f.why);
}

static void answer(struct model *m, int family)
{
    if (m->answered[family])
        return;
    m->answered[family] = true;
    resolved(&m->e, family == 0 ? ADDR_IPV6 : ADDR_IPV4, m->answers[family], m->now);
    if (m->answers[family] == 0)
        told(m, NOT_FOUND);
}

static void fail_one(struct model *m, bool oldest)
{
    static const struct failure why[] = {{.why = OUTCOME_NO_ROUTE},
                                         {.why = OUTCOME_REFUSED},
                                         {.why = OUTCOME_DENIED},
                                         {.why = OUTCOME_CONNECT_TIMEOUT}};

    if (m->running == 0)
        return;
    unsigned index = oldest ? (unsigned)__builtin_ctz(m->running)
                            : 31u - (unsigned)__builtin_clz(m->running);
    struct failure f = why[m->fails++ % ARRAY_LEN(why)];
    m->running &= ~(1u << index);
    m->failed_since_start = true;
    told(m, f);
    eyeballs_failed(&m->e, index, f, m->now);
}

static void move(struct model *m, unsigned what)
{
    switch (what) {
    case MOVE_IPV6:
        answer(m, 0);
        break;
    case MOVE_IPV4:
        answer(m, 1);
        break;
    case MOVE_FAIL_OLDEST:
    case MOVE_FAIL_NEWEST:
        fail_one(m, what == MOVE_FAIL_OLDEST);
        break;
    case MOVE_TIMER:
        if (m->wait_until != UINT64_MAX)
            m->now = m->wait_until;
        break;
    default:
        m->now += 7;
        break;
    }
    settle(m);
}

START_TEST(every_order_of_events_ends_in_a_right_verdict)
{
    uint8_t ipv6 = (uint8_t)(_i / 3), ipv4 = (uint8_t)(_i % 3);
    unsigned orders = 1;

    for (int i = 0; i < STEPS; i++)
        orders *= MOVES;
    for (unsigned order = 0; order < orders; order++) {
        struct model m = {.now = START_MS, .wait_until = UINT64_MAX, .answers = {ipv6, ipv4}};
        unsigned rest = order;
        init_name(&m.e, ADDR_IPV6);
        settle(&m);
        for (int i = 0; i < STEPS && !m.over; i++, rest /= MOVES)
            move(&m, rest % MOVES);
        /* Whatever came before: it ends once everything has been answered, tried and has
         * failed. */
        for (int i = 0; i < 16 && !m.over; i++)
            move(&m, i % 2 == 0 ? (i == 0 ? MOVE_IPV6 : MOVE_FAIL_OLDEST)
                                : (i == 1 ? MOVE_IPV4 : MOVE_TIMER));
        HOLDS(m.over);
        HOLDS(m.tried == (1u << (ipv6 + ipv4)) - 1);
    }
}
END_TEST

int main(void)
{
    Suite *s = suite_create("eyeballs");
    TCase *t = tcase_create("eyeballs");

    tcase_set_timeout(t, 60);
    tcase_add_test(t, an_address_is_tried_at_once_without_expecting_lookups);
    tcase_add_test(t, it_waits_for_an_event_while_lookups_run);
    tcase_add_test(t, the_preferred_familys_answer_starts_at_once);
    tcase_add_test(t, the_other_familys_answer_waits_for_the_resolution_delay);
    tcase_add_test(t, a_preferred_answer_within_the_delay_goes_first);
    tcase_add_test(t, a_negative_preferred_answer_ends_the_delay);
    tcase_add_test(t, the_delay_counts_from_the_first_addresses);
    tcase_add_test(t, families_take_turns_beginning_with_the_preferred);
    tcase_add_test(t, an_unset_preference_is_ipv6);
    tcase_add_test(t, attempts_are_one_attempt_delay_apart);
    tcase_add_test(t, a_failed_attempt_starts_the_next_at_once);
    tcase_add_test(t, late_addresses_join_what_is_not_tried_yet);
    tcase_add_test(t, late_addresses_start_at_once_when_nothing_runs);
    tcase_add_test(t, a_duplicate_is_dropped_and_the_first_port_wins);
    tcase_add_test(t, addresses_beyond_the_bound_are_dropped);
    tcase_add_test(t, the_most_telling_failure_is_the_verdict);
    tcase_add_test(t, a_failed_lookup_is_not_hidden_by_the_other_familys_not_found);
    tcase_add_test(t, a_schedule_without_any_event_has_failed);
    tcase_add_loop_test(t, every_order_of_events_ends_in_a_right_verdict, 0, 9);
    suite_add_tcase(s, t);
    return runner_main(s);
}
