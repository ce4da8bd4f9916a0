/* SPDX-License-Identifier: MIT */
#include "runner.h"
#include "via_known.h"
#include "via_shared.h"
#include <check.h>
#include <string.h>

enum { NOW = 1000000, RELEARN = 600000 };

static struct via_shared shared;
static struct via_health *health = &shared.health;
static struct via_concentrator it;
static struct target target[8];

static void setup(void)
{
    memset(&shared, 0, sizeof shared);
    it = (struct via_concentrator){
        .address = addr_ipv4((const uint8_t[]){198, 51, 100, 1}, 1080), .fastopen = true};
    for (uint8_t i = 0; i < 8; i++)
        target[i] = (struct target){.addr = addr_ipv4((const uint8_t[]){203, 0, 113, i}, 0),
                                    .port = 80};
}

static bool listed(uint64_t now_ms)
{
    return via_known_look(health, &it, now_ms).listed;
}

static unsigned usable(uint64_t now_ms)
{
    struct via_list list = {.item = &it, .count = 1};
    uint8_t order[VIA_CONCENTRATORS_MAX];

    return via_health_order(health, &list, &target[0].addr, NULL, now_ms, order);
}

/* K4 (a), K6, K5. */
START_TEST(a_foreign_answer_lists_it_until_the_time_is_over)
{
    via_known_foreign(health, &it, RELEARN, NOW);
    ck_assert(listed(NOW) && listed(NOW + RELEARN - 1));
    ck_assert_uint_eq(usable(NOW + RELEARN - 1), 0);
    ck_assert_uint_eq(usable(NOW + RELEARN), 1);
}
END_TEST

/* K4 (b) */
START_TEST(one_that_has_answered_is_not_listed_for_silence)
{
    via_known_answered(health, &it, NOW);
    ck_assert(via_known_proven(health, &it));
    for (size_t i = 0; i < 8; i++)
        ck_assert(!via_known_mute(health, &it, &target[i], RELEARN, NOW));
    ck_assert(!listed(NOW));
}
END_TEST

/* K4 (c) */
START_TEST(three_different_targets_in_a_row_list_one_that_never_answered)
{
    ck_assert(!via_known_mute(health, &it, &target[0], RELEARN, NOW));
    ck_assert(!via_known_mute(health, &it, &target[1], RELEARN, NOW));
    ck_assert(!via_known_mute(health, &it, &target[0], RELEARN, NOW)); /* again */
    ck_assert(!via_known_mute(health, &it, &target[1], RELEARN, NOW));
    ck_assert(!listed(NOW));
    ck_assert(via_known_mute(health, &it, &target[2], RELEARN, NOW));
    ck_assert(listed(NOW));
}
END_TEST

START_TEST(an_answer_ends_the_row)
{
    (void)via_known_mute(health, &it, &target[0], RELEARN, NOW);
    (void)via_known_mute(health, &it, &target[1], RELEARN, NOW);
    via_known_answered(health, &it, NOW);
    via_known_flush(health);
    ck_assert(!via_known_mute(health, &it, &target[2], RELEARN, NOW));
}
END_TEST

START_TEST(names_are_different_targets_too)
{
    struct target name[3] = {0};

    for (size_t i = 0; i < 3; i++) {
        memcpy(name[i].name, i == 0 ? "a.example" : i == 1 ? "b.example" : "c.example", 10);
        name[i].name_len = 9;
        name[i].port = 80;
        ck_assert_int_eq(via_known_mute(health, &it, &name[i], RELEARN, NOW), i == 2);
    }
}
END_TEST

/* K5 */
START_TEST(a_flush_forgets_all_but_who_is_down)
{
    via_known_foreign(health, &it, RELEARN, NOW);
    via_known_exact_learn(health, &it, VIA_KNOWN_EXACT_YES, RELEARN, NOW);
    via_health_failed(health, &it, VIA_FAILURE_CERTAIN, NOW, NOW);
    via_known_flush(health);
    ck_assert(!listed(NOW));
    ck_assert_int_eq(via_known_exact(health, &it, NOW), VIA_KNOWN_EXACT_UNKNOWN);
    ck_assert(via_health_is_down(health, &it, NOW));
}
END_TEST

START_TEST(what_is_known_of_exactness_ends)
{
    ck_assert_int_eq(via_known_exact(health, &it, NOW), VIA_KNOWN_EXACT_UNKNOWN);
    via_known_exact_learn(health, &it, VIA_KNOWN_EXACT_YES, RELEARN, NOW);
    ck_assert_int_eq(via_known_exact(health, &it, NOW + RELEARN - 1), VIA_KNOWN_EXACT_YES);
    ck_assert_int_eq(via_known_exact(health, &it, NOW + RELEARN), VIA_KNOWN_EXACT_UNKNOWN);
}
END_TEST

START_TEST(configuration_decides_over_probes)
{
    it.exact = VIA_EXACT_ON;
    ck_assert_int_eq(via_known_exact(health, &it, NOW), VIA_KNOWN_EXACT_YES);
    it.exact = VIA_EXACT_OFF;
    via_known_exact_learn(health, &it, VIA_KNOWN_EXACT_YES, RELEARN, NOW);
    ck_assert_int_eq(via_known_exact(health, &it, NOW), VIA_KNOWN_EXACT_NO);
    it.exact = VIA_EXACT_AUTO;
    it.fastopen = false;
    ck_assert_int_eq(via_known_exact(health, &it, NOW), VIA_KNOWN_EXACT_NO);
}
END_TEST

START_TEST(a_probe_is_due_when_something_is_not_known_and_not_too_often)
{
    ck_assert(via_known_probe_due(health, &it, NOW));
    ck_assert(!via_known_probe_due(health, &it, NOW + VIA_KNOWN_PROBE_PAUSE_MS - 1));
    ck_assert(via_known_probe_due(health, &it, NOW + VIA_KNOWN_PROBE_PAUSE_MS));
    uint64_t then = NOW + 100000;
    via_known_answered(health, &it, then);
    via_known_exact_learn(health, &it, VIA_KNOWN_EXACT_NO, RELEARN, then);
    ck_assert(!via_known_probe_due(health, &it, then));
    ck_assert(!via_known_probe_due(health, &it, then + RELEARN - VIA_KNOWN_LATE_MS - 1));
    ck_assert(via_known_probe_due(health, &it, then + RELEARN - VIA_KNOWN_LATE_MS));
    via_known_foreign(health, &it, RELEARN, then);
    ck_assert(!via_known_probe_due(health, &it, then + RELEARN - 1));
}
END_TEST

START_TEST(one_that_was_down_is_asked_by_a_probe_before_a_client)
{
    via_known_answered(health, &it, NOW);
    via_known_exact_learn(health, &it, VIA_KNOWN_EXACT_NO, RELEARN, NOW);
    via_health_failed(health, &it, VIA_FAILURE_CERTAIN, NOW, NOW);
    ck_assert(!via_known_probe_due(health, &it, NOW + 999));
    ck_assert(via_known_probe_due(health, &it, NOW + 1000));
    ck_assert(!via_known_probe_due(health, &it, NOW + 1000));
    ck_assert(via_health_is_down(health, &it, NOW + 1000)); /* to clients, still */
}
END_TEST

/* K9 */
START_TEST(three_lost_syns_in_a_row_end_fast_open_for_a_time)
{
    for (unsigned i = 0; i < 2; i++)
        via_known_tfo_result(health, &it, false, RELEARN, NOW);
    via_known_tfo_result(health, &it, true, RELEARN, NOW);
    for (unsigned i = 0; i < 2; i++)
        via_known_tfo_result(health, &it, false, RELEARN, NOW);
    ck_assert(via_known_tfo(health, &it, NOW));
    via_known_tfo_result(health, &it, false, RELEARN, NOW);
    ck_assert(!via_known_tfo(health, &it, NOW + RELEARN - 1));
    ck_assert(via_known_tfo(health, &it, NOW + RELEARN));
    it.fastopen = false;
    ck_assert(!via_known_tfo(health, &it, NOW + RELEARN));
}
END_TEST

/* ---- servers that need no concentrator ---- */

START_TEST(a_server_is_bypassed_for_a_day)
{
    struct via_options o = {.bypass = VIA_BYPASS_LEARNED};
    bool learned;

    via_bypass_learn(&o, &shared, &target[1], NOW);
    ck_assert(via_bypass(&o, &shared, &target[1], NOW + VIA_NATIVE_MS - 1, &learned));
    ck_assert(learned);
    ck_assert(!via_bypass(&o, &shared, &target[1], NOW + VIA_NATIVE_MS, &learned));
    ck_assert(!via_bypass(&o, &shared, &target[2], NOW, &learned));
    via_bypass_learn(&o, &shared, &target[1], NOW);
    via_bypass_failed(&shared, &target[1]);
    ck_assert(!via_bypass(&o, &shared, &target[1], NOW, &learned));
}
END_TEST

START_TEST(nothing_is_bypassed_unless_configured)
{
    struct via_options o = {.bypass = VIA_BYPASS_NEVER};
    struct prefix prefix = {.base = target[3].addr, .bits = 32};
    bool learned;

    via_bypass_learn(&o, &shared, &target[1], NOW);
    o.bypass = VIA_BYPASS_LEARNED;
    ck_assert(!via_bypass(&o, &shared, &target[1], NOW, &learned));
    via_bypass_learn(&o, &shared, &target[1], NOW);
    o.bypass = VIA_BYPASS_NEVER;
    o.native = (struct conf_prefixes){.item = &prefix, .count = 1};
    ck_assert(!via_bypass(&o, &shared, &target[1], NOW, &learned));
    ck_assert(via_bypass(&o, &shared, &target[3], NOW, &learned));
    ck_assert(!learned);
}
END_TEST

START_TEST(memory_is_bounded_and_keeps_what_lasts_longest)
{
    struct addr keep = addr_ipv4((const uint8_t[]){192, 0, 2, 1}, 443);

    via_memory_put(&shared.native, &keep, NOW + 1000000);
    for (uint32_t i = 0; i < 10000; i++) {
        struct addr a = addr_ipv4((const uint8_t[]){198, 51, (uint8_t)(i >> 8), (uint8_t)i}, 1);
        via_memory_put(&shared.native, &a, NOW + 1000);
    }
    ck_assert(via_memory_has(&shared.native, &keep, NOW));
    ck_assert_uint_le(via_memory_count(&shared.native, NOW), VIA_MEMORY_SETS * VIA_MEMORY_WAYS);
    ck_assert_uint_eq(via_memory_count(&shared.native, NOW + 1000), 1);
    via_memory_flush(&shared.native);
    ck_assert_uint_eq(via_memory_count(&shared.native, NOW), 0);
}
END_TEST

/* ---- the path ---- */

static enum via_path_use use(size_t i, uint64_t now_ms)
{
    return via_path_use(&shared.path, &target[i].addr, now_ms);
}

START_TEST(one_asks_the_path_and_an_echo_lets_all_ask)
{
    ck_assert_int_eq(use(0, NOW), VIA_PATH_TRIAL);
    ck_assert_int_eq(use(1, NOW), VIA_PATH_NOT);
    ck_assert_int_eq(use(1, NOW + VIA_PATH_TRIAL_MS), VIA_PATH_TRIAL);
    via_path_taken(&shared.path, &target[1].addr);
    ck_assert_int_eq(use(2, NOW), VIA_PATH_PROVEN);
    ck_assert(via_path_is_proven(&shared.path, ADDR_IPV4));
    ck_assert(!via_path_is_proven(&shared.path, ADDR_IPV6));
}
END_TEST

START_TEST(two_servers_without_echo_and_there_is_no_concentrator_on_the_path)
{
    ck_assert_int_eq(use(0, NOW), VIA_PATH_TRIAL);
    via_path_absent(&shared.path, &target[0].addr, RELEARN, NOW);
    ck_assert_int_eq(use(0, NOW), VIA_PATH_NOT); /* this server */
    ck_assert_int_eq(use(1, NOW), VIA_PATH_TRIAL);
    via_path_absent(&shared.path, &target[1].addr, RELEARN, NOW);
    ck_assert_int_eq(use(2, NOW), VIA_PATH_NOT);
    ck_assert_int_eq(use(2, NOW + RELEARN), VIA_PATH_TRIAL);
}
END_TEST

START_TEST(a_proven_path_is_given_up_after_three_servers)
{
    via_path_taken(&shared.path, &target[0].addr);
    for (size_t i = 1; i < 4; i++) {
        ck_assert_int_eq(use(i, NOW), VIA_PATH_PROVEN);
        via_path_absent(&shared.path, &target[i].addr, RELEARN, NOW);
        via_path_absent(&shared.path, &target[i].addr, RELEARN, NOW); /* counts once */
    }
    ck_assert_int_eq(use(5, NOW), VIA_PATH_NOT);
    via_path_flush(&shared.path);
    ck_assert_int_eq(use(5, NOW + VIA_PATH_TRIAL_MS), VIA_PATH_TRIAL);
}
END_TEST

START_TEST(an_echo_between_them_ends_the_row)
{
    via_path_taken(&shared.path, &target[0].addr);
    via_path_absent(&shared.path, &target[1].addr, RELEARN, NOW);
    via_path_absent(&shared.path, &target[2].addr, RELEARN, NOW);
    via_path_taken(&shared.path, &target[0].addr);
    via_path_absent(&shared.path, &target[3].addr, RELEARN, NOW);
    ck_assert_int_eq(use(0, NOW), VIA_PATH_PROVEN);
    ck_assert_int_eq(use(3, NOW), VIA_PATH_NOT);
}
END_TEST

int main(void)
{
    Suite *s = suite_create("via_known");
    TCase *t = tcase_create("via_known");

    tcase_add_checked_fixture(t, setup, NULL);
    tcase_add_test(t, a_foreign_answer_lists_it_until_the_time_is_over);
    tcase_add_test(t, one_that_has_answered_is_not_listed_for_silence);
    tcase_add_test(t, three_different_targets_in_a_row_list_one_that_never_answered);
    tcase_add_test(t, an_answer_ends_the_row);
    tcase_add_test(t, names_are_different_targets_too);
    tcase_add_test(t, a_flush_forgets_all_but_who_is_down);
    tcase_add_test(t, what_is_known_of_exactness_ends);
    tcase_add_test(t, configuration_decides_over_probes);
    tcase_add_test(t, a_probe_is_due_when_something_is_not_known_and_not_too_often);
    tcase_add_test(t, one_that_was_down_is_asked_by_a_probe_before_a_client);
    tcase_add_test(t, three_lost_syns_in_a_row_end_fast_open_for_a_time);
    tcase_add_test(t, a_server_is_bypassed_for_a_day);
    tcase_add_test(t, nothing_is_bypassed_unless_configured);
    tcase_add_test(t, memory_is_bounded_and_keeps_what_lasts_longest);
    tcase_add_test(t, one_asks_the_path_and_an_echo_lets_all_ask);
    tcase_add_test(t, two_servers_without_echo_and_there_is_no_concentrator_on_the_path);
    tcase_add_test(t, a_proven_path_is_given_up_after_three_servers);
    tcase_add_test(t, an_echo_between_them_ends_the_row);
    suite_add_tcase(s, t);
    return runner_main(s);
}
