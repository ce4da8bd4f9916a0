/* SPDX-License-Identifier: MIT */
#include "natives.h"
#include "runner.h"
#include <fcntl.h>
#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>

#define NOW UINT64_C(1000000)

enum { TTL = 60000, MANY = 5000 };

static char dir[64], cache[96], file[128];
static _Alignas(64) unsigned char memory[NATIVES_SIZE];
static struct settings settings;

static void setup(void)
{
    memcpy(dir, "/tmp/mpconvert-natives-XXXXXX", sizeof "/tmp/mpconvert-natives-XXXXXX");
    ck_assert_ptr_nonnull(mkdtemp(dir));
    ck_assert_int_gt(snprintf(cache, sizeof cache, "%s/proxies", dir), 0);
    ck_assert_int_gt(snprintf(file, sizeof file, "%s/proxies.natives", dir), 0);
    memset(memory, 0, sizeof memory);
    settings_default(&settings);
    settings.bypass_learned = SETTINGS_LEARNED_AUTO;
    settings.dialect = PROTOCOL_CONVERT;
}

static void teardown(void)
{
    (void)unlink(file);
    ck_assert_int_eq(rmdir(dir), 0);
}

static struct natives *in_memory(void)
{
    struct natives *n = natives_open(&settings, NULL, memory);

    ck_assert_ptr_nonnull(n);
    return n;
}

static struct addr server(const char *text)
{
    struct addr a;

    ck_assert(addr_parse(text, &a));
    return a;
}

static enum natives_is look(const struct natives *n, const char *text, uint64_t now_ms)
{
    struct addr a = server(text);

    return natives_look(n, &a, now_ms);
}

static void learn(struct natives *n, const char *text, enum natives_is is)
{
    struct addr a = server(text);

    natives_learn(n, &a, is, TTL, NOW);
}

START_TEST(what_is_learned_holds_for_its_time)
{
    struct natives *n = in_memory();

    ck_assert_int_eq(look(n, "192.0.2.1:80", NOW), NATIVES_UNKNOWN);
    learn(n, "192.0.2.1:80", NATIVES_YES);
    learn(n, "[2001:db8::1]:80", NATIVES_NO);
    ck_assert_int_eq(look(n, "192.0.2.1:80", NOW + TTL - 1), NATIVES_YES);
    ck_assert_int_eq(look(n, "[2001:db8::1]:80", NOW), NATIVES_NO);
    ck_assert_int_eq(look(n, "192.0.2.1:80", NOW + TTL), NATIVES_UNKNOWN);
    ck_assert_int_eq(look(n, "192.0.2.1:81", NOW), NATIVES_UNKNOWN);
    ck_assert_int_eq(look(n, "192.0.2.2:80", NOW), NATIVES_UNKNOWN);
    ck_assert_int_eq(look(n, "[::ffff:192.0.2.1]:80", NOW), NATIVES_YES);
}
END_TEST

START_TEST(the_latest_counts)
{
    struct natives *n = in_memory();

    learn(n, "192.0.2.1:80", NATIVES_YES);
    learn(n, "192.0.2.1:80", NATIVES_NO);
    ck_assert_int_eq(look(n, "192.0.2.1:80", NOW), NATIVES_NO);
}
END_TEST

START_TEST(a_time_of_another_boot_is_over)
{
    struct natives *n = in_memory();

    learn(n, "192.0.2.1:80", NATIVES_YES);
    ck_assert_int_eq(look(n, "192.0.2.1:80", 1), NATIVES_YES); /* a little too far ahead */
    struct addr a = server("192.0.2.1:80");
    natives_learn(n, &a, NATIVES_YES, UINT64_MAX, UINT64_C(8) * 86400000);
    ck_assert_int_eq(natives_look(n, &a, 1), NATIVES_UNKNOWN);
}
END_TEST

START_TEST(the_table_is_bounded_and_never_invents)
{
    struct natives *n = in_memory();
    unsigned known = 0;

    for (unsigned i = 0; i < MANY; i++) {
        struct addr a =
            addr_ipv4((const uint8_t[]){198, 51, 100, (uint8_t)i}, (uint16_t)(i + 1));
        natives_learn(n, &a, NATIVES_YES, TTL, NOW + i);
    }
    for (unsigned i = 0; i < MANY; i++) {
        struct addr a =
            addr_ipv4((const uint8_t[]){198, 51, 100, (uint8_t)i}, (uint16_t)(i + 1));
        struct addr other =
            addr_ipv4((const uint8_t[]){203, 0, 113, (uint8_t)i}, (uint16_t)(i + 1));
        known += natives_look(n, &a, NOW + MANY) == NATIVES_YES;
        ck_assert_int_eq(natives_look(n, &other, NOW + MANY), NATIVES_UNKNOWN);
    }
    ck_assert_uint_gt(known, 500);
    ck_assert_uint_le(known, NATIVES_SIZE / 16);
}
END_TEST

START_TEST(a_file_outlives_the_run)
{
    pid_t child = fork();

    ck_assert_int_ge(child, 0);
    if (child == 0) {
        struct natives *n = natives_open(&settings, cache, memory);
        learn(n, "192.0.2.1:80", NATIVES_YES);
        _exit(0);
    }
    int status;
    ck_assert_int_eq(waitpid(child, &status, 0), child);
    ck_assert_int_eq(status, 0);
    struct natives *n = natives_open(&settings, cache, NULL);
    ck_assert_ptr_nonnull(n);
    ck_assert_int_eq(look(n, "192.0.2.1:80", NOW), NATIVES_YES);
    struct stat st;
    ck_assert_int_eq(stat(file, &st), 0);
    ck_assert_uint_eq(st.st_mode & 0777, 0600);
}
END_TEST

START_TEST(a_file_that_is_not_ours_counts_as_none)
{
    char junk[NATIVES_SIZE];

    memset(junk, 'x', sizeof junk);
    for (size_t size = NATIVES_SIZE - 1; size <= NATIVES_SIZE; size++) {
        int fd = open(file, O_WRONLY | O_CREAT | O_TRUNC, 0600);
        ck_assert_int_ge(fd, 0);
        ck_assert_int_eq(write(fd, junk, size), (ssize_t)size);
        ck_assert_int_eq(close(fd), 0);
        ck_assert_ptr_eq(natives_open(&settings, cache, memory), memory);
    }
}
END_TEST

START_TEST(junk_in_the_table_is_no_knowledge)
{
    struct natives *n = in_memory();

    memset(memory, 0xff, sizeof memory);
    ck_assert_int_eq(look(n, "192.0.2.1:80", NOW), NATIVES_UNKNOWN);
    learn(n, "192.0.2.1:80", NATIVES_YES);
    ck_assert_int_eq(look(n, "192.0.2.1:80", NOW), NATIVES_YES);
}
END_TEST

START_TEST(without_a_use_there_is_none)
{
    settings.bypass_learned = SETTINGS_LEARNED_OFF;
    ck_assert_ptr_null(natives_open(&settings, cache, memory));
    ck_assert(bypass_add(&settings.native, "192.0.2.0/24", 12));
    ck_assert_ptr_nonnull(natives_open(&settings, NULL, memory));
    settings.mptcp = false;
    ck_assert_ptr_null(natives_open(&settings, NULL, memory));
    learn(NULL, "192.0.2.1:80", NATIVES_YES);
    ck_assert_int_eq(look(NULL, "192.0.2.1:80", NOW), NATIVES_UNKNOWN);
    ck_assert_int_ne(access(file, F_OK), 0);
}
END_TEST

static enum natives_way way(const struct natives *n, const char *text)
{
    struct addr a = server(text);
    struct target t = target_from_addr(&a);

    return natives_way(n, &settings, &t, NOW);
}

START_TEST(the_way_is_told_by_settings_and_knowledge)
{
    struct natives *n = in_memory();

    ck_assert_int_eq(way(n, "192.0.2.1:80"), NATIVES_LEARN);
    learn(n, "192.0.2.1:80", NATIVES_YES);
    ck_assert_int_eq(way(n, "192.0.2.1:80"), NATIVES_DIRECT);
    settings.dialect = PROTOCOL_SOCKS5;
    ck_assert_int_eq(way(n, "192.0.2.1:80"), NATIVES_DIRECT);
    ck_assert_int_eq(way(n, "192.0.2.2:80"), NATIVES_ASK); /* no answer of it would tell */
    settings.bypass_learned = SETTINGS_LEARNED_OFF;
    ck_assert_int_eq(way(n, "192.0.2.1:80"), NATIVES_ASK);
    ck_assert(bypass_add(&settings.native, "198.51.100.0/24:443", 19));
    ck_assert_int_eq(way(n, "198.51.100.9:443"), NATIVES_DIRECT);
    ck_assert_int_eq(way(n, "198.51.100.9:80"), NATIVES_ASK);
    learn(n, "198.51.100.9:443", NATIVES_NO);
    ck_assert_int_eq(way(n, "198.51.100.9:443"), NATIVES_ASK);
    settings.mptcp = false;
    ck_assert_int_eq(way(n, "198.51.100.8:443"), NATIVES_ASK);
}
END_TEST

START_TEST(names_are_the_concentrators_matter)
{
    struct natives *n = in_memory();
    struct target t;

    ck_assert(target_from_host(span_of("host.example", 12), 80, &t));
    ck_assert_int_eq(natives_way(n, &settings, &t, NOW), NATIVES_ASK);
}
END_TEST

static void *hammer(void *arg)
{
    struct natives *n = arg;

    for (unsigned i = 0; i < 20000; i++) {
        struct addr a = addr_ipv4((const uint8_t[]){192, 0, 2, (uint8_t)i}, 80);
        natives_learn(n, &a, i % 2 == 0 ? NATIVES_YES : NATIVES_NO, TTL, NOW);
        if (natives_look(n, &a, NOW) > NATIVES_YES)
            return n;
    }
    return NULL;
}

START_TEST(all_may_learn_at_once)
{
    struct natives *n = in_memory();
    pthread_t thread[3];

    for (size_t i = 0; i < 3; i++)
        ck_assert_int_eq(pthread_create(&thread[i], NULL, hammer, n), 0);
    for (size_t i = 0; i < 3; i++) {
        void *bad = n;
        ck_assert_int_eq(pthread_join(thread[i], &bad), 0);
        ck_assert_ptr_null(bad);
    }
}
END_TEST

int main(void)
{
    Suite *s = suite_create("natives");
    TCase *c = tcase_create("natives");

    tcase_add_checked_fixture(c, setup, teardown);
    tcase_add_test(c, what_is_learned_holds_for_its_time);
    tcase_add_test(c, the_latest_counts);
    tcase_add_test(c, a_time_of_another_boot_is_over);
    tcase_add_test(c, the_table_is_bounded_and_never_invents);
    tcase_add_test(c, a_file_outlives_the_run);
    tcase_add_test(c, a_file_that_is_not_ours_counts_as_none);
    tcase_add_test(c, junk_in_the_table_is_no_knowledge);
    tcase_add_test(c, without_a_use_there_is_none);
    tcase_add_test(c, the_way_is_told_by_settings_and_knowledge);
    tcase_add_test(c, names_are_the_concentrators_matter);
    tcase_add_test(c, all_may_learn_at_once);
    suite_add_tcase(s, c);
    return runner_main(s);
}
