/* SPDX-License-Identifier: MIT */
#include "proxies.h"
#include "runner.h"
#include <fcntl.h>
#include <stdio.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>

#define NOW UINT64_C(1000000)

enum { BAD = PROXIES_TFO_BAD_MS, DAY = 24 * 60 * 60 * 1000 };

static char dir[64], path[128];

static void setup(void)
{
    memcpy(dir, "/tmp/mpconvert-proxies-XXXXXX", sizeof "/tmp/mpconvert-proxies-XXXXXX");
    ck_assert_ptr_nonnull(mkdtemp(dir));
    ck_assert_int_gt(snprintf(path, sizeof path, "%s/mpconvert/proxies", dir), 0);
}

static void teardown(void)
{
    char sub[96];

    (void)unlink(path);
    (void)snprintf(sub, sizeof sub, "%s/mpconvert", dir);
    if (rmdir(sub) != 0)
        (void)unlink(sub);
    (void)chmod(dir, 0700);
    ck_assert_int_eq(rmdir(dir), 0);
}

static struct addr proxy(unsigned i)
{
    return addr_ipv4((const uint8_t[]){192, 0, 2, 1}, (uint16_t)(1000 + i));
}

static const struct proxies_report unreached = {.reached = false};
static const struct proxies_report plain = {.reached = true};
static const struct proxies_report taken = {
    .reached = true, .tfo_asked = true, .tfo_taken = true, .mptcp_asked = true, .mptcp = true};
static const struct proxies_report not_taken = {
    .reached = true, .tfo_asked = true, .mptcp_asked = true};
static const struct proxies_report taken_without_mptcp = {
    .reached = true, .tfo_asked = true, .tfo_taken = true, .mptcp_asked = true};
static const struct proxies_report taken_by_tcp = {
    .reached = true, .tfo_asked = true, .tfo_taken = true};

static struct proxies_known known_at(const struct proxies *p, uint64_t now_ms)
{
    struct proxies_known k = {.failures = 99};
    struct addr a = proxy(0);

    if (!proxies_look(p, &a, now_ms, &k))
        ck_assert_uint_eq(k.failures, 99); /* untouched */
    return k;
}

static void learn(struct proxies *p, const struct proxies_report *r, uint64_t now_ms)
{
    struct addr a = proxy(0);

    proxies_learn(p, &a, r, now_ms);
}

static bool tfo(const struct proxies *p, enum settings_tfo policy, uint64_t now_ms)
{
    struct addr a = proxy(0);

    return proxies_tfo(p, &a, policy, now_ms);
}

START_TEST(one_that_is_not_known_gets_syn_data)
{
    struct proxies *p = proxies_map(NULL);
    struct proxies_known k;
    struct addr a = proxy(0);

    ck_assert(!proxies_look(p, &a, NOW, &k));
    ck_assert(tfo(p, SETTINGS_TFO_AUTO, NOW));
    ck_assert(tfo(NULL, SETTINGS_TFO_AUTO, NOW));
}
END_TEST

START_TEST(the_policy_is_above_what_is_known)
{
    struct proxies *p = proxies_map(NULL);

    learn(p, &not_taken, NOW);
    ck_assert(tfo(p, SETTINGS_TFO_ON, NOW));
    learn(p, &taken, NOW);
    ck_assert(!tfo(p, SETTINGS_TFO_OFF, NOW));
}
END_TEST

static const struct proxies_report *const bad[] = {&not_taken, &taken_without_mptcp};

START_TEST(one_that_did_not_take_it_gets_none_until_that_expires)
{
    struct proxies *p = proxies_map(NULL);

    learn(p, bad[_i], NOW);
    ck_assert(!tfo(p, SETTINGS_TFO_AUTO, NOW));
    ck_assert(!tfo(p, SETTINGS_TFO_AUTO, NOW + BAD - 1));
    ck_assert(known_at(p, NOW + 1).tfo_bad);
    ck_assert(!known_at(p, NOW + 1).tfo_good);
    ck_assert_uint_eq(known_at(p, NOW + 1).tfo_bad_left_ms, BAD - 1);
    ck_assert(tfo(p, SETTINGS_TFO_AUTO, NOW + BAD));
    ck_assert(!known_at(p, NOW + BAD).tfo_bad);
}
END_TEST

static const struct proxies_report *const good[] = {&taken, &taken_by_tcp};

START_TEST(one_that_took_it_is_good)
{
    struct proxies *p = proxies_map(NULL);

    learn(p, good[_i], NOW);
    ck_assert(known_at(p, NOW).tfo_good);
    ck_assert(tfo(p, SETTINGS_TFO_AUTO, NOW + DAY));
    learn(p, &not_taken, NOW);
    ck_assert(!known_at(p, NOW).tfo_good);
    ck_assert_uint_eq(known_at(p, NOW).tfo_bad_left_ms, BAD);
    learn(p, good[_i], NOW); /* and back: a list of tries begins anew */
    learn(p, &not_taken, NOW);
    ck_assert_uint_eq(known_at(p, NOW).tfo_bad_left_ms, BAD);
}
END_TEST

START_TEST(the_time_without_syn_data_doubles_up_to_a_day)
{
    struct proxies *p = proxies_map(NULL);
    uint64_t now = NOW, want = BAD;

    for (int i = 0; i < 300; i++) {
        learn(p, &not_taken, now);
        ck_assert_uint_eq(known_at(p, now).tfo_bad_left_ms, want);
        now += want;
        want = want * 2 < DAY ? want * 2 : DAY;
    }
}
END_TEST

START_TEST(connections_that_were_on_their_way_together_count_once)
{
    struct proxies *p = proxies_map(NULL);

    for (unsigned i = 0; i < 20; i++) {
        learn(p, &not_taken, NOW + i);
        learn(p, &unreached, NOW + i);
    }
    ck_assert_uint_eq(known_at(p, NOW).tfo_bad_left_ms, BAD);
    ck_assert_uint_eq(known_at(p, NOW + 19).failures, 1);
}
END_TEST

START_TEST(what_says_nothing_of_syn_data_changes_nothing)
{
    struct proxies *p = proxies_map(NULL);
    struct proxies_report silent = {.tfo_asked = true, .mptcp_asked = true};

    learn(p, &plain, NOW);
    learn(p, &silent, NOW);
    ck_assert(tfo(p, SETTINGS_TFO_AUTO, NOW));
    learn(p, &not_taken, NOW);
    learn(p, &plain, NOW + 1);
    ck_assert(!tfo(p, SETTINGS_TFO_AUTO, NOW + 1));
}
END_TEST

START_TEST(the_back_off_doubles_and_ends_with_the_first_success)
{
    struct proxies *p = proxies_map(NULL);
    uint64_t now = NOW, want = PROXIES_BACKOFF_MIN_MS;

    for (uint32_t i = 1; i <= 300; i++) {
        learn(p, &unreached, now);
        struct proxies_known k = known_at(p, now);
        ck_assert_uint_eq(k.backoff_left_ms, want);
        ck_assert_uint_eq(k.failures, i < 255 ? i : 255);
        now += want;
        ck_assert_uint_eq(known_at(p, now).backoff_left_ms, 0);
        want = want * 2 < PROXIES_BACKOFF_MAX_MS ? want * 2 : PROXIES_BACKOFF_MAX_MS;
    }
    learn(p, &plain, now);
    learn(p, &unreached, now);
    ck_assert_uint_eq(known_at(p, now).backoff_left_ms, PROXIES_BACKOFF_MIN_MS);
}
END_TEST

/* A file that outlived a reboot. */
START_TEST(a_time_too_far_away_is_over)
{
    struct proxies *p = proxies_map(NULL);

    learn(p, &not_taken, NOW + 2 * (uint64_t)DAY);
    learn(p, &unreached, NOW + 2 * (uint64_t)DAY);
    ck_assert(tfo(p, SETTINGS_TFO_AUTO, NOW));
    ck_assert_uint_eq(known_at(p, NOW).backoff_left_ms, 0);
}
END_TEST

START_TEST(those_in_back_off_come_last_and_in_order)
{
    static const uint8_t want[] = {0, 2, 4, 1, 3};
    struct proxies *p = proxies_map(NULL);
    struct settings *s = calloc(1, sizeof *s);
    uint8_t order[SETTINGS_PROXIES_MAX];

    s->proxies = 5;
    for (unsigned i = 0; i < 5; i++)
        s->proxy[i] = proxy(i);
    for (unsigned i = 1; i < 5; i += 2)
        proxies_learn(p, &s->proxy[i], &unreached, NOW);
    ck_assert_uint_eq(proxies_order(p, s, NOW, order), 5);
    ck_assert_mem_eq(order, want, 5);
    ck_assert_uint_eq(proxies_order(p, s, NOW + PROXIES_BACKOFF_MIN_MS, order), 5);
    for (uint8_t i = 0; i < 5; i++)
        ck_assert_uint_eq(order[i], i);
    ck_assert_uint_eq(proxies_order(NULL, s, NOW, order), 5);
    s->proxies = 0;
    ck_assert_uint_eq(proxies_order(p, s, NOW, order), 0);
    free(s);
}
END_TEST

/* More than fit: some are forgotten, none is taken for another. */
START_TEST(a_full_table_mistakes_none_for_another)
{
    struct proxies *p = proxies_map(NULL);
    struct proxies_known k;
    unsigned known = 0;

    for (unsigned i = 0; i < 5000; i++) {
        struct addr a = proxy(i);
        ck_assert_msg(!proxies_look(p, &a, NOW, &k), "%u", i);
        proxies_learn(p, &a, &unreached, NOW);
        ck_assert(proxies_look(p, &a, NOW, &k));
        ck_assert_uint_eq(k.failures, 1);
    }
    for (unsigned i = 0; i < 5000; i++) {
        struct addr a = proxy(i);
        known += proxies_look(p, &a, NOW, &k);
    }
    ck_assert_uint_ge(known, 64);
    ck_assert_uint_le(known, 128);
}
END_TEST

START_TEST(the_path_is_made_privately)
{
    char out[128];
    struct stat st;

    mode_t was = umask(0);
    ck_assert(proxies_path(out, sizeof out, dir));
    (void)umask(was);
    ck_assert_str_eq(out, path);
    ck_assert(proxies_path(out, strlen(path) + 1, dir));
    ck_assert(!proxies_path(out, strlen(path), dir));
    *strrchr(out, '/') = '\0';
    ck_assert_int_eq(stat(out, &st), 0);
    ck_assert_uint_eq(st.st_mode & 07777, 0700);
}
END_TEST

START_TEST(no_such_directory_is_no_path)
{
    char out[600] = "kept", deep[600];

    memset(deep, '/', sizeof deep);
    deep[sizeof deep - 1] = '\0';
    ck_assert(!proxies_path(out, sizeof out, NULL));
    ck_assert(!proxies_path(out, sizeof out, ""));
    ck_assert(!proxies_path(out, sizeof out, "tmp"));
    ck_assert(!proxies_path(out, sizeof out, "/nonexistent/mpconvert"));
    ck_assert(!proxies_path(out, sizeof out, deep));
    ck_assert(!proxies_path(out, sizeof out, "/dev/null"));
    ck_assert_str_eq(out, "kept");
}
END_TEST

START_TEST(a_directory_that_others_command_is_no_path)
{
    char out[128], sub[96];

    ck_assert(!proxies_path(out, sizeof out, "/tmp")); /* anybody's */
    ck_assert_int_eq(chmod(dir, 0722), 0);
    ck_assert(!proxies_path(out, sizeof out, dir));
    ck_assert_int_eq(chmod(dir, 0700), 0);
    (void)snprintf(sub, sizeof sub, "%s/mpconvert", dir);
    ck_assert_int_eq(symlink("/tmp", sub), 0);
    ck_assert(!proxies_path(out, sizeof out, dir));
    ck_assert_int_eq(unlink(sub), 0);
    if (geteuid() == 0) {
        ck_assert_int_eq(mkdir(sub, 0700), 0);
        ck_assert_int_eq(chown(sub, 65534, 65534), 0);
        ck_assert(!proxies_path(out, sizeof out, dir));
        ck_assert_int_eq(chown(sub, 0, 0), 0);
    }
    ck_assert(proxies_path(out, sizeof out, dir));
}
END_TEST

static struct proxies *map_here(void)
{
    char out[128];

    ck_assert(proxies_path(out, sizeof out, dir));
    struct proxies *p = proxies_map(out);
    ck_assert_ptr_nonnull(p);
    return p;
}

/* Is what one mapping learns known to another of the same path? */
static bool is_shared(void)
{
    struct proxies *p = map_here();

    learn(p, &not_taken, NOW);
    return known_at(map_here(), NOW).tfo_bad;
}

START_TEST(all_programs_know_what_one_learned)
{
    pid_t child = fork();
    int status;

    if (child == 0) {
        learn(map_here(), &not_taken, NOW);
        _exit(0);
    }
    ck_assert_int_eq(waitpid(child, &status, 0), child);
    ck_assert(known_at(map_here(), NOW).tfo_bad);
}
END_TEST

START_TEST(an_empty_file_that_a_dead_creator_left_is_taken)
{
    struct proxies *p = map_here();

    (void)p;
    ck_assert_int_eq(truncate(path, 0), 0);
    ck_assert(is_shared());
}
END_TEST

START_TEST(a_file_that_is_not_ours_counts_as_none)
{
    ck_assert(is_shared());
    ck_assert_int_eq(chmod(path, 0622), 0);
    ck_assert(!is_shared());
    ck_assert_int_eq(chmod(path, 0600), 0);
    if (geteuid() == 0) {
        ck_assert_int_eq(chown(path, 65534, 65534), 0);
        ck_assert(!is_shared());
        ck_assert_int_eq(chown(path, 0, 0), 0);
    }
    ck_assert(is_shared());
}
END_TEST

START_TEST(a_file_of_another_size_or_version_counts_as_none)
{
    uint8_t octet = 1;

    ck_assert(is_shared());
    ck_assert_int_eq(truncate(path, 4097), 0);
    ck_assert(!is_shared());
    ck_assert_int_eq(truncate(path, 4096), 0);
    ck_assert(is_shared());
    int fd = open(path, O_WRONLY);
    ck_assert_int_eq(pwrite(fd, &octet, 1, 3), 1);
    ck_assert_int_eq(close(fd), 0);
    ck_assert(!is_shared());
}
END_TEST

START_TEST(a_link_in_its_place_is_not_followed)
{
    char elsewhere[128];

    ck_assert(is_shared());
    (void)snprintf(elsewhere, sizeof elsewhere, "%s/elsewhere", dir);
    ck_assert_int_eq(rename(path, elsewhere), 0);
    ck_assert_int_eq(symlink(elsewhere, path), 0);
    ck_assert(!is_shared());
    ck_assert_int_eq(unlink(elsewhere), 0);
    ck_assert(!is_shared()); /* nor made through it */
    ck_assert_int_eq(access(elsewhere, F_OK), -1);
}
END_TEST

START_TEST(without_a_file_children_share_it)
{
    struct proxies *p = proxies_map(_i == 0 ? NULL : "");
    pid_t child = fork();

    if (child == 0) {
        learn(p, &taken, NOW);
        _exit(0);
    }
    ck_assert_int_eq(waitpid(child, NULL, 0), child);
    ck_assert(known_at(p, NOW).tfo_good);
    ck_assert_uint_eq(known_at(proxies_map(NULL), NOW).failures, 99);
}
END_TEST

START_TEST(whether_it_is_exact_is_known_for_a_time_and_by_dialect)
{
    struct proxies *p = proxies_map(NULL);
    struct addr a = proxy(0);
    uint64_t left = 1;
    const enum protocol d = PROTOCOL_MP_CONVERT;

    ck_assert_int_eq(proxies_exact(p, &a, d, NOW, &left), PROXIES_EXACT_UNKNOWN);
    ck_assert_uint_eq(left, 0);
    for (int is = PROXIES_EXACT_NO; is <= PROXIES_EXACT_YES; is++) {
        proxies_exact_learn(p, &a, d, (enum proxies_exact)is, NOW);
        ck_assert_int_eq(proxies_exact(p, &a, d, NOW, &left), is);
        ck_assert_uint_eq(left, PROXIES_EXACT_MS);
        ck_assert_int_eq(proxies_exact(p, &a, d, NOW + PROXIES_EXACT_MS - 1, NULL), is);
        ck_assert_int_eq(proxies_exact(p, &a, d, NOW + PROXIES_EXACT_MS, NULL),
                         PROXIES_EXACT_UNKNOWN);
    }
    ck_assert_int_eq(proxies_exact(p, &a, PROTOCOL_CONVERT, NOW, NULL), PROXIES_EXACT_UNKNOWN);
    ck_assert_int_eq(known_at(p, NOW).tfo_good, false); /* nothing else was learnt */
    proxies_exact_learn(p, &a, d, PROXIES_EXACT_UNKNOWN, NOW);
    ck_assert_int_eq(proxies_exact(p, &a, d, NOW, NULL), PROXIES_EXACT_UNKNOWN);
    ck_assert_int_eq(proxies_exact(NULL, &a, d, NOW, NULL), PROXIES_EXACT_UNKNOWN);
}
END_TEST

START_TEST(doubt_comes_and_goes_and_changes_nothing_else)
{
    struct proxies *p = proxies_map(NULL);
    struct addr a = proxy(0);
    uint64_t left;
    const enum protocol d = PROTOCOL_CONVERT;

    proxies_exact_doubt(p, &a, d, false);
    ck_assert_int_eq(proxies_exact(p, &a, d, NOW, NULL), PROXIES_EXACT_UNKNOWN);
    proxies_exact_learn(p, &a, d, PROXIES_EXACT_NO, NOW);
    proxies_exact_doubt(p, &a, d, false);
    proxies_exact_doubt(p, &a, d, true);
    ck_assert_int_eq(proxies_exact(p, &a, d, NOW, NULL), PROXIES_EXACT_NO);
    proxies_exact_learn(p, &a, d, PROXIES_EXACT_YES, NOW);
    proxies_exact_doubt(p, &a, d, false);
    ck_assert_int_eq(proxies_exact(p, &a, d, NOW + 5, &left), PROXIES_EXACT_DOUBTFUL);
    ck_assert_uint_eq(left, PROXIES_EXACT_MS - 5);
    proxies_exact_doubt(p, &a, d, true);
    ck_assert_int_eq(proxies_exact(p, &a, d, NOW + 5, &left), PROXIES_EXACT_YES);
    ck_assert_uint_eq(left, PROXIES_EXACT_MS - 5);
}
END_TEST

int main(void)
{
    Suite *s = suite_create("proxies");
    TCase *tc = tcase_create("proxies");

    tcase_add_checked_fixture(tc, setup, teardown);
    tcase_add_test(tc, one_that_is_not_known_gets_syn_data);
    tcase_add_test(tc, the_policy_is_above_what_is_known);
    tcase_add_loop_test(tc, one_that_did_not_take_it_gets_none_until_that_expires, 0, 2);
    tcase_add_loop_test(tc, one_that_took_it_is_good, 0, 2);
    tcase_add_test(tc, the_time_without_syn_data_doubles_up_to_a_day);
    tcase_add_test(tc, connections_that_were_on_their_way_together_count_once);
    tcase_add_test(tc, what_says_nothing_of_syn_data_changes_nothing);
    tcase_add_test(tc, the_back_off_doubles_and_ends_with_the_first_success);
    tcase_add_test(tc, a_time_too_far_away_is_over);
    tcase_add_test(tc, those_in_back_off_come_last_and_in_order);
    tcase_add_test(tc, a_full_table_mistakes_none_for_another);
    tcase_add_test(tc, the_path_is_made_privately);
    tcase_add_test(tc, no_such_directory_is_no_path);
    tcase_add_test(tc, a_directory_that_others_command_is_no_path);
    tcase_add_test(tc, all_programs_know_what_one_learned);
    tcase_add_test(tc, an_empty_file_that_a_dead_creator_left_is_taken);
    tcase_add_test(tc, a_file_that_is_not_ours_counts_as_none);
    tcase_add_test(tc, a_file_of_another_size_or_version_counts_as_none);
    tcase_add_test(tc, a_link_in_its_place_is_not_followed);
    tcase_add_loop_test(tc, without_a_file_children_share_it, 0, 2);
    tcase_add_test(tc, whether_it_is_exact_is_known_for_a_time_and_by_dialect);
    tcase_add_test(tc, doubt_comes_and_goes_and_changes_nothing_else);
    suite_add_tcase(s, tc);
    return runner_main(s);
}
