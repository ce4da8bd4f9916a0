/* SPDX-License-Identifier: MIT */
/* Whole sessions on a real loop, in every dialect. */
#include "engineplay.h"
#include "runner.h"

/* How the sessions so far ended. */
static const char *told(const struct enginebench *b)
{
    for (int i = 0; i < OUTCOME_COUNT; i++)
        if (enginebench_outcome(b, (enum outcome)i) > 0)
            return outcome_name((enum outcome)i);
    return "not at all";
}

START_TEST(a_session_of_every_dialect_completes)
{
    enum engineplay_kind k = (enum engineplay_kind)_i;
    struct enginebench b;

    engineplay_start(&b, k);
    bool complete = engineplay_run(&b, k);
    enginebench_until_idle(&b);
    ck_assert_msg(complete && enginebench_outcome(&b, engineplay_outcome(k)) == 1, "%s: %s",
                  engineplay_name(k), told(&b));
    if (engineplay_mptcp(k))
        ck_assert_uint_eq(enginebench_stat(&b, STAT_MPTCP_TOTAL), 1);
    enginebench_end(&b);
}
END_TEST

START_TEST(stopping_at_any_turn_leaves_nothing)
{
    enum engineplay_kind k = (enum engineplay_kind)_i;
    bool over = false;

    for (unsigned turns = 0; !over; turns++) {
        struct enginebench b;
        struct engineplay p;

        engineplay_start(&b, k);
        engineplay_begin(&p, &b, k);
        for (unsigned i = 0; i < turns && !p.over; i++) {
            engineplay_step(&p);
            enginebench_turn(&b);
        }
        over = p.over;
        ck_assert_uint_lt(turns, ENGINEBENCH_TURNS);
        enginebench_stop(&b);
        engineplay_end(&p);
        enginebench_end(&b);
    }
}
END_TEST

int main(void)
{
    if (!rawnet_own_namespace()) {
        (void)fprintf(stderr, "session: skipped, no network namespace can be made here\n");
        return 77;
    }
    Suite *s = suite_create("session");
    TCase *c = tcase_create("session");

    tcase_set_timeout(c, 60);
    tcase_add_loop_test(c, a_session_of_every_dialect_completes, 0, ENGINEPLAY_COUNT);
    tcase_add_loop_test(c, stopping_at_any_turn_leaves_nothing, 0, ENGINEPLAY_COUNT);
    suite_add_tcase(s, c);
    return runner_main(s);
}
