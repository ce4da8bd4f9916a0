/* SPDX-License-Identifier: MIT */
#include "runner.h"
#include "shared.h"
#include <pthread.h>
#include <signal.h>
#include <stdio.h>
#include <string.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

static struct addr ip(const char *text)
{
    struct addr a;

    ck_assert(addr_parse_ip(text, strlen(text), &a));
    return a;
}

static bool give(struct shared *s, const char *name, uint8_t family, struct addr *out)
{
    return name_to_addr(s, name, strlen(name), family, out);
}

static const uint8_t families[] = {ADDR_IPV4, ADDR_IPV6};
static const char *const pools[] = {"198.18.0.0/15", "fd6d:7063:6e76::/64"};

START_TEST(an_address_of_the_pool_stands_for_a_name)
{
    struct shared *s = shared_map(NULL);
    struct prefix pool;
    struct addr a;
    char got[256];

    ck_assert(prefix_parse(pools[_i], &pool));
    ck_assert(give(s, "www.example.net", families[_i], &a));
    ck_assert(prefix_contains(&pool, &a));
    ck_assert(name_is_addr(&a));
    ck_assert_uint_eq(a.port, 0);
    a.port = 443; /* as connect() is asked */
    ck_assert(name_from_addr(s, &a, got));
    ck_assert_str_eq(got, "www.example.net");
}
END_TEST

START_TEST(one_number_serves_both_families)
{
    struct shared *s = shared_map(NULL);
    struct addr four, six;

    ck_assert(give(s, "www.example.net", ADDR_IPV4, &four));
    ck_assert(give(s, "www.example.net", ADDR_IPV6, &six));
    ck_assert_mem_eq(&four.ip[2], &six.ip[14], 2);
    ck_assert_uint_eq(four.ip[1] - 18u, six.ip[13]);
}
END_TEST

START_TEST(the_same_name_has_the_same_address_in_any_spelling)
{
    static const char *const spelled[] = {"www.example.net", "WWW.Example.NET",
                                          "www.example.net."};
    struct shared *s = shared_map(NULL);
    struct addr first, again;
    char got[256];

    ck_assert(give(s, spelled[0], ADDR_IPV4, &first));
    for (size_t i = 0; i < 3; i++) {
        ck_assert(give(s, spelled[i], ADDR_IPV4, &again));
        ck_assert(addr_equal(&first, &again));
    }
    ck_assert(name_from_addr(s, &first, got));
    ck_assert_str_eq(got, spelled[0]);
}
END_TEST

START_TEST(a_mapped_address_is_of_the_pool_too)
{
    struct shared *s = shared_map(NULL);
    struct addr a, mapped;
    char got[256];

    ck_assert(give(s, "www.example.net", ADDR_IPV4, &a));
    uint8_t octets[16] = {[10] = 0xff, [11] = 0xff};
    memcpy(&octets[12], a.ip, 4);
    mapped = addr_ipv6(octets, 80);
    ck_assert(name_is_addr(&mapped));
    ck_assert(name_from_addr(s, &mapped, got));
    ck_assert_str_eq(got, "www.example.net");
}
END_TEST

START_TEST(the_borders_of_the_pool_are_exact)
{
    static const char *const in[] = {"198.18.0.0", "198.19.255.255", "fd6d:7063:6e76::",
                                     "fd6d:7063:6e76:0:ffff:ffff:ffff:ffff"};
    static const char *const out[] = {"198.17.255.255", "198.20.0.0", "fd6d:7063:6e76:1::",
                                      "fd6d:7063:6e75:ffff:ffff:ffff:ffff:ffff", "::"};
    struct addr a, none = {.family = ADDR_NONE};

    for (size_t i = 0; i < 4; i++) {
        a = ip(in[i]);
        ck_assert_msg(name_is_addr(&a), "%s", in[i]);
    }
    for (size_t i = 0; i < 5; i++) {
        a = ip(out[i]);
        ck_assert_msg(!name_is_addr(&a), "%s", out[i]);
    }
    ck_assert(!name_is_addr(&none));
}
END_TEST

START_TEST(an_address_not_given_out_has_no_name)
{
    struct shared *s = shared_map(NULL);
    struct addr a;
    char got[256] = "kept";

    ck_assert(give(s, "www.example.net", ADDR_IPV6, &a));
    for (unsigned i = 8; i < 16; i++) { /* any other number, however large */
        struct addr b = a;
        b.ip[i] ^= 0x40;
        ck_assert(name_is_addr(&b));
        ck_assert(!name_from_addr(s, &b, got));
    }
    a = ip("192.0.2.1");
    ck_assert(!name_from_addr(s, &a, got));
    ck_assert(!name_from_addr(NULL, &a, got));
    ck_assert_str_eq(got, "kept");
}
END_TEST

START_TEST(what_is_not_a_name_gets_no_address)
{
    static const char *const bad[] = {"",         ".",         "a..b",        "two words",
                                      "\xc3\xa4", "192.0.2.1", "2001:db8::1", "a/b"};
    struct shared *s = shared_map(NULL);
    struct addr a = {.family = 99};
    char long_one[258];

    for (size_t i = 0; i < sizeof bad / sizeof bad[0]; i++)
        ck_assert_msg(!give(s, bad[i], ADDR_IPV4, &a), "%s", bad[i]);
    memset(long_one, 'a', sizeof long_one);
    for (size_t i = 63; i < sizeof long_one; i += 64)
        long_one[i] = '.';
    ck_assert(!name_to_addr(s, long_one, 256, ADDR_IPV4, &a));
    ck_assert(!name_to_addr(s, "a\0b", 3, ADDR_IPV4, &a));
    ck_assert(!give(s, "www.example.net", ADDR_NONE, &a));
    ck_assert(!give(s, "www.example.net", AF_INET6, &a));
    ck_assert(!give(NULL, "www.example.net", ADDR_IPV4, &a));
    ck_assert_uint_eq(a.family, 99);
}
END_TEST

START_TEST(names_of_every_length_are_kept)
{
    struct shared *s = shared_map(NULL);
    char name[256], got[256];
    struct addr a;

    for (size_t len = 1; len <= 255; len++) {
        for (size_t i = 0; i < len; i++)
            name[i] = i % 60 == 59 && i + 1 < len ? '.' : 'x';
        ck_assert(name_to_addr(s, name, len, ADDR_IPV4, &a));
        ck_assert(name_from_addr(s, &a, got));
        ck_assert_uint_eq(strlen(got), len);
        ck_assert_mem_eq(got, name, len);
    }
}
END_TEST

/* Until it is full: every name has an address of its own, none looks like a network or a
 * broadcast, and then it says so, for ever, while what is known stays known. */
START_TEST(a_full_pool_is_a_clean_false)
{
    enum { MOST = 131072 };
    struct shared *s = shared_map(NULL);
    struct addr a = {.family = 99};
    char name[64], got[256];
    unsigned n;
    uint8_t *seen = calloc(1, MOST);

    for (n = 0; n < MOST; n++) {
        int len = snprintf(name, sizeof name, "host-%u.some.example.net", n);
        if (!name_to_addr(s, name, (size_t)len, ADDR_IPV4, &a))
            break;
        unsigned number = (a.ip[1] & 1u) << 16 | (unsigned)a.ip[2] << 8 | a.ip[3];
        ck_assert_uint_eq(seen[number], 0);
        ck_assert(a.ip[3] != 0 && a.ip[3] != 255);
        seen[number] = 1;
    }
    free(seen);
    ck_assert_uint_gt(n, 20000);
    ck_assert_uint_lt(n, MOST);
    a.family = 99;
    for (int i = 0; i < 3; i++)
        ck_assert(!give(s, name, ADDR_IPV4, &a));
    ck_assert_uint_eq(a.family, 99);
    for (unsigned i = 0; i < n; i += 97) {
        (void)snprintf(name, sizeof name, "host-%u.some.example.net", i);
        ck_assert(give(s, name, ADDR_IPV4, &a));
        ck_assert(name_from_addr(s, &a, got));
        ck_assert_str_eq(got, name);
    }
}
END_TEST

enum { RACED = 2000, RACERS = 4 };

/* All racers give the same names; what each was told is in `told`. */
static void race(struct shared *s, struct addr *told)
{
    char name[32], got[256];

    for (unsigned i = 0; i < RACED; i++) {
        int len = snprintf(name, sizeof name, "race-%u.test", i);
        if (!name_to_addr(s, name, (size_t)len, ADDR_IPV4, &told[i]) ||
            !name_from_addr(s, &told[i], got) || strcmp(got, name) != 0)
            told[i].family = 99;
    }
}

struct racer {
    struct shared *s;
    struct addr told[RACED];
};

static void *racer(void *arg)
{
    struct racer *r = arg;

    race(r->s, r->told);
    return NULL;
}

START_TEST(threads_agree_on_the_address)
{
    struct shared *s = shared_map(NULL);
    struct racer *r = calloc(RACERS, sizeof *r);
    pthread_t thread[RACERS];

    for (unsigned i = 0; i < RACERS; i++) {
        r[i].s = s;
        ck_assert_int_eq(pthread_create(&thread[i], NULL, racer, &r[i]), 0);
    }
    for (unsigned i = 0; i < RACERS; i++)
        ck_assert_int_eq(pthread_join(thread[i], NULL), 0);
    for (unsigned i = 0; i < RACED; i++) {
        ck_assert_uint_eq(r[0].told[i].family, ADDR_IPV4);
        for (unsigned k = 1; k < RACERS; k++)
            ck_assert(addr_equal(&r[0].told[i], &r[k].told[i]));
    }
    free(r);
}
END_TEST

START_TEST(processes_agree_even_when_some_are_killed)
{
    struct shared *s = shared_map(NULL);
    struct addr *told = calloc(RACED, sizeof *told);

    for (unsigned i = 0; i < 40; i++) {
        struct timespec a_little = {.tv_nsec = (long)i * 20000};
        pid_t child = fork();
        if (child == 0) {
            race(s, told);
            _exit(0);
        }
        (void)nanosleep(&a_little, NULL);
        ck_assert_int_eq(kill(child, SIGKILL), 0);
        ck_assert_int_eq(waitpid(child, NULL, 0), child);
    }
    pid_t child = fork();
    if (child == 0) {
        struct addr *mine = calloc(RACED, sizeof *mine);
        race(s, mine);
        for (unsigned i = 0; i < RACED; i++) {
            char name[256], want[32];
            (void)snprintf(want, sizeof want, "race-%u.test", i);
            if (!name_from_addr(s, &mine[i], name) || strcmp(name, want) != 0)
                _exit(1);
        }
        free(mine);
        _exit(0);
    }
    race(s, told);
    int status;
    ck_assert_int_eq(waitpid(child, &status, 0), child);
    ck_assert_int_eq(status, 0);
    for (unsigned i = 0; i < RACED; i++)
        ck_assert_uint_eq(told[i].family, ADDR_IPV4);
    free(told);
}
END_TEST

START_TEST(another_mapping_of_the_file_knows_the_names)
{
    char path[64], got[256];
    struct addr a, b;

    ck_assert_int_gt(snprintf(path, sizeof path, "/tmp/mpconvert-names-%d", getpid()), 0);
    ck_assert_int_eq(shared_create(path), 0);
    struct shared *s = shared_map(path), *t = shared_map(path);
    ck_assert_int_eq(unlink(path), 0);
    ck_assert(give(s, "www.example.net", ADDR_IPV4, &a));
    ck_assert(name_from_addr(t, &a, got));
    ck_assert_str_eq(got, "www.example.net");
    ck_assert(give(t, "www.example.net", ADDR_IPV4, &b));
    ck_assert(addr_equal(&a, &b));
}
END_TEST

int main(void)
{
    Suite *s = suite_create("names");
    TCase *tc = tcase_create("names");

    tcase_set_timeout(tc, 60);
    tcase_add_loop_test(tc, an_address_of_the_pool_stands_for_a_name, 0, 2);
    tcase_add_test(tc, one_number_serves_both_families);
    tcase_add_test(tc, the_same_name_has_the_same_address_in_any_spelling);
    tcase_add_test(tc, a_mapped_address_is_of_the_pool_too);
    tcase_add_test(tc, the_borders_of_the_pool_are_exact);
    tcase_add_test(tc, an_address_not_given_out_has_no_name);
    tcase_add_test(tc, what_is_not_a_name_gets_no_address);
    tcase_add_test(tc, names_of_every_length_are_kept);
    tcase_add_test(tc, a_full_pool_is_a_clean_false);
    tcase_add_test(tc, threads_agree_on_the_address);
    tcase_add_test(tc, processes_agree_even_when_some_are_killed);
    tcase_add_test(tc, another_mapping_of_the_file_knows_the_names);
    suite_add_tcase(s, tc);
    return runner_main(s);
}
