/* SPDX-License-Identifier: MIT */
/* The wheel against integer time; and, at random, against a model that only compares numbers.
 */
#include "base/check.h"
#include "deadlines.h"
#include "runner.h"
#include <string.h>

enum { MANY = 200, REACH_MS = DEADLINES_TICK_MS * DEADLINES_SLOTS };

struct item {
    struct deadline d;
    uint64_t at_ms;    /* the model: when it expires; 0: not set */
    uint64_t fired_ms; /* 0: not yet */
};

static struct deadlines wheel;
static struct item item[MANY];
static uint64_t now_ms;
static unsigned fired;

static void on_expired(struct deadline *d)
{
    struct item *i = CONTAINER_OF(d, struct item, d);

    ck_assert_uint_ne(i->at_ms, 0);
    ck_assert_uint_le(i->at_ms, now_ms); /* never early */
    i->at_ms = 0;
    i->fired_ms = now_ms;
    fired++;
}

static void begin(uint64_t at_ms)
{
    now_ms = at_ms;
    fired = 0;
    memset(item, 0, sizeof item);
    deadlines_init(&wheel, now_ms);
    for (int i = 0; i < MANY; i++)
        deadline_init(&item[i].d);
}

static void set(int i, uint64_t at_ms)
{
    item[i].at_ms = at_ms;
    item[i].fired_ms = 0;
    deadline_set(&wheel, &item[i].d, at_ms);
}

static void pass(uint64_t ms)
{
    now_ms += ms;
    deadlines_expire(&wheel, now_ms, on_expired);
}

/* In steps of a tick, as the worker does, until it fires. */
static void pass_ticks(uint64_t until_ms)
{
    while (now_ms < until_ms)
        pass(DEADLINES_TICK_MS);
}

static const uint64_t start_ms[] = {0, 1, 49, 50, 51, 12345, REACH_MS - 1, UINT32_MAX - 20ULL};
enum { STARTS = sizeof start_ms / sizeof start_ms[0] };

START_TEST(it_is_never_early_and_at_most_a_tick_late)
{
    for (uint64_t delay_ms = 0; delay_ms <= 3ULL * DEADLINES_TICK_MS; delay_ms++) {
        begin(start_ms[_i]);
        uint64_t at_ms = now_ms + delay_ms + 1;
        set(0, at_ms);
        while (item[0].fired_ms == 0) {
            ck_assert_uint_le(now_ms, at_ms + DEADLINES_TICK_MS);
            pass(1);
        }
        ck_assert_uint_ge(item[0].fired_ms, at_ms);
        ck_assert_uint_le(item[0].fired_ms, at_ms + DEADLINES_TICK_MS);
    }
}
END_TEST

START_TEST(a_late_caller_adds_only_its_own_lateness)
{
    begin(start_ms[_i]);
    uint64_t at_ms = now_ms + 75;
    set(0, at_ms);
    pass(10ULL * REACH_MS);
    ck_assert_uint_eq(fired, 1);
}
END_TEST

START_TEST(beyond_the_wheels_reach_it_is_as_exact)
{
    static const uint64_t delay_ms[] = {REACH_MS - 1, REACH_MS, REACH_MS + 1, 3 * REACH_MS + 7,
                                        7440 * 1000ULL};

    for (size_t i = 0; i < sizeof delay_ms / sizeof delay_ms[0]; i++) {
        begin(start_ms[_i]);
        uint64_t at_ms = now_ms + delay_ms[i];
        set(0, at_ms);
        pass_ticks(at_ms + 2ULL * DEADLINES_TICK_MS);
        ck_assert_uint_ge(item[0].fired_ms, at_ms);
        ck_assert_uint_le(item[0].fired_ms, at_ms + 2ULL * DEADLINES_TICK_MS);
    }
}
END_TEST

START_TEST(putting_it_off_does_not_move_it)
{
    begin(1000);
    set(0, 1500);
    uint64_t look_ms = item[0].d.look_ms;
    set(0, 9000);
    ck_assert_uint_eq(item[0].d.look_ms, look_ms);
    pass_ticks(8950);
    ck_assert_uint_eq(fired, 0);
    pass_ticks(9100);
    ck_assert_uint_eq(fired, 1);
}
END_TEST

START_TEST(it_can_be_brought_forward)
{
    begin(1000);
    set(0, 9000);
    set(0, 1100);
    pass_ticks(1200);
    ck_assert_uint_eq(fired, 1);
    pass_ticks(20000);
    ck_assert_uint_eq(fired, 1);
}
END_TEST

START_TEST(what_is_past_when_it_is_set_expires_at_the_next_look)
{
    begin(5000);
    set(0, 10);
    set(1, 5000);
    pass(DEADLINES_TICK_MS);
    ck_assert_uint_eq(fired, 2);
}
END_TEST

START_TEST(a_cancelled_one_never_expires_and_cancelling_twice_is_harmless)
{
    begin(5000);
    deadline_cancel(&item[0].d); /* not set yet */
    set(0, 5100);
    deadline_cancel(&item[0].d);
    deadline_cancel(&item[0].d);
    item[0].at_ms = 0;
    pass_ticks(5000 + 2ULL * REACH_MS);
    ck_assert_uint_eq(fired, 0);
}
END_TEST

/* Sets itself again, and cancels its neighbours. */
static void on_busy(struct deadline *d)
{
    struct item *i = CONTAINER_OF(d, struct item, d);

    fired++;
    if (i == &item[0]) {
        deadline_cancel(&item[1].d);
        deadline_cancel(&item[2].d);
    }
    if (fired < 3)
        deadline_set(&wheel, d, now_ms);
}

START_TEST(expired_may_set_and_cancel_any)
{
    begin(1000);
    for (int i = 0; i < 3; i++)
        deadline_set(&wheel, &item[i].d, 1010);
    for (int i = 0; i < 5; i++) {
        now_ms += DEADLINES_TICK_MS;
        deadlines_expire(&wheel, now_ms, on_busy);
    }
    ck_assert_uint_eq(fired, 3); /* the first one three times, its neighbours never */
}
END_TEST

/* xorshift64*: the seed tells the whole run. */
static uint64_t draw(uint64_t *state, uint64_t below)
{
    *state ^= *state >> 12;
    *state ^= *state << 25;
    *state ^= *state >> 27;
    return (*state * UINT64_C(0x2545F4914F6CDD1D) >> 33) % below;
}

static void act(uint64_t *seed)
{
    static const uint64_t span[] = {1, 60, 3000, REACH_MS, 5ULL * REACH_MS};
    int i = (int)draw(seed, MANY);

    switch (draw(seed, 4)) {
    case 0:
        deadline_cancel(&item[i].d);
        item[i].at_ms = 0;
        break;
    default:
        set(i, now_ms + 1 + draw(seed, span[draw(seed, 5)]));
        break;
    }
}

/* Nothing that was due a tick before the last look is still set. */
static void judge(uint64_t looked_ms, uint64_t seed)
{
    for (int i = 0; i < MANY; i++) /* an assertion that holds costs a system call */
        if (item[i].at_ms != 0 && item[i].at_ms + DEADLINES_TICK_MS <= looked_ms)
            ck_abort_msg("item %d, seed %llu", i, (unsigned long long)seed);
}

START_TEST(any_history_agrees_with_the_model)
{
    uint64_t first = UINT64_C(0x9E3779B97F4A7C15) * ((unsigned)_i + 1U), seed = first;

    begin(draw(&seed, 1000000));
    for (int step = 0; step < 3000; step++) {
        for (uint64_t n = draw(&seed, 8); n > 0; n--)
            act(&seed);
        pass(draw(&seed, 10) == 0 ? draw(&seed, 4000) : draw(&seed, 2ULL * DEADLINES_TICK_MS));
        judge(now_ms, first);
    }
    pass(6ULL * REACH_MS);
    judge(now_ms, first);
    for (int i = 0; i < MANY; i++)
        ck_assert_uint_eq(item[i].at_ms, 0);
}
END_TEST

int main(void)
{
    Suite *s = suite_create("deadlines");
    TCase *c = tcase_create("deadlines");

    tcase_add_loop_test(c, it_is_never_early_and_at_most_a_tick_late, 0, STARTS);
    tcase_add_loop_test(c, a_late_caller_adds_only_its_own_lateness, 0, STARTS);
    tcase_add_loop_test(c, beyond_the_wheels_reach_it_is_as_exact, 0, STARTS);
    tcase_add_test(c, putting_it_off_does_not_move_it);
    tcase_add_test(c, it_can_be_brought_forward);
    tcase_add_test(c, what_is_past_when_it_is_set_expires_at_the_next_look);
    tcase_add_test(c, a_cancelled_one_never_expires_and_cancelling_twice_is_harmless);
    tcase_add_test(c, expired_may_set_and_cancel_any);
    tcase_add_loop_test(c, any_history_agrees_with_the_model, 0, 10);
    suite_add_tcase(s, c);
    return runner_main(s);
}
