/* SPDX-License-Identifier: MIT */
#include "bypass.h"
#include "runner.h"
#include <arpa/inet.h>
#include <errno.h>
#include <ifaddrs.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/resource.h>

static bool add(struct bypass *b, const char *text)
{
    /* Exactly as long as it is, so that reading on is seen. */
    size_t len = strlen(text);
    char *copy = malloc(len > 0 ? len : 1);

    ck_assert_ptr_nonnull(copy);
    memcpy(copy, text, len); /* NOLINT(bugprone-not-null-terminated-result): that is the test */
    bool good = bypass_add(b, copy, len);
    free(copy);
    return good;
}

static bool has(const struct bypass *b, const char *text)
{
    struct addr a;

    ck_assert_msg(addr_parse(text, &a), "%s", text);
    return bypass_has(b, &a);
}

static const char *print(const struct bypass *b)
{
    static char text[8192];

    return bypass_print(b, text, sizeof text);
}

START_TEST(the_default_is_this_host_and_its_links)
{
    struct bypass b;
    static const char *const in[] = {"127.0.0.1:1",
                                     "127.255.255.255:9",
                                     "[::1]:80",
                                     "169.254.1.1:80",
                                     "[fe80::1%2]:80",
                                     "[febf::1]:80",
                                     "0.0.0.0:1",
                                     "0.1.2.3:4",
                                     "[::]:80",
                                     "[::ffff:127.0.0.1]:80",
                                     "[::ffff:169.254.3.4]:80"};
    static const char *const out[] = {
        "192.0.2.1:80", "[2001:db8::1]:80", "128.0.0.1:80",         "[fec0::1]:80",
        "[::2]:80",     "1.0.0.0:80",       "[::ffff:192.0.2.1]:80"};

    bypass_default(&b);
    for (size_t i = 0; i < sizeof in / sizeof in[0]; i++)
        ck_assert_msg(has(&b, in[i]), "%s", in[i]);
    for (size_t i = 0; i < sizeof out / sizeof out[0]; i++)
        ck_assert_msg(!has(&b, out[i]), "%s", out[i]);
    ck_assert_str_eq(print(&b), "127.0.0.0/8,::1,169.254.0.0/16,fe80::/10,0.0.0.0/8,::");
}
END_TEST

START_TEST(every_form_prints_as_it_was_read)
{
    static const char *const good[] = {"192.0.2.0/24",    "192.0.2.0/24:443",
                                       "192.0.2.1",       "192.0.2.1:65535",
                                       "0.0.0.0/0",       "2001:db8::/32",
                                       "2001:db8::1",     "[2001:db8::/32]:443",
                                       "[2001:db8::1]:1", "::/0"};

    for (size_t i = 0; i < sizeof good / sizeof good[0]; i++) {
        struct bypass b = {.count = 0};

        ck_assert_msg(add(&b, good[i]), "%s", good[i]);
        ck_assert_str_eq(print(&b), good[i]);
    }
}
END_TEST

START_TEST(what_is_none_changes_nothing)
{
    static const char *const bad[] = {
        "",
        ":",
        "[",
        "[]",
        "[]:1",
        "x",
        "192.0.2.1/24",
        "192.0.2.0/33",
        "192.0.2.0/",
        "192.0.2.0/24:",
        "192.0.2.0/24:0",
        "192.0.2.0/24:65536",
        "192.0.2.0/24:x",
        "192.0.2.0/24:+1",
        "192.0.2.1:000080",
        "192.0.2.1 ",
        " 192.0.2.1",
        "192.0.2",
        "2001:db8::/129",
        "2001:db8::1/32",
        "[2001:db8::/32]",
        "[2001:db8::/32]:",
        "[2001:db8::/32]:0",
        "[2001:db8::/32]443",
        "[2001:db8::/32",
        "2001:db8::/32]:443",
        "[192.0.2.0/24]:80",
        "[2001:db8::]/32",
        "fe80::1%2",
        "host:80",
        "[[2001:db8::1]]:80",
        "ffff:ffff:ffff:ffff:ffff:ffff:255.255.255.255/128ffff:ffff:ffff:ffff:ffff:ffff:255."};
    struct bypass b, before;

    bypass_default(&b);
    before = b;
    for (size_t i = 0; i < sizeof bad / sizeof bad[0]; i++) {
        ck_assert_msg(!add(&b, bad[i]), "'%s'", bad[i]);
        ck_assert_mem_eq(&b, &before, sizeof b);
    }
    ck_assert(!bypass_add(&b,
                          "192.0.2.1\0"
                          "2",
                          11));
    ck_assert_mem_eq(&b, &before, sizeof b);
}
END_TEST

START_TEST(every_prefix_and_every_octet_is_safe)
{
    static const char *const whole[] = {"[2001:db8::/32]:443", "192.0.2.0/24:443",
                                        "2001:db8:1:2:3:4:192.0.2.1/128"};

    for (size_t t = 0; t < sizeof whole / sizeof whole[0]; t++) {
        for (size_t n = 0; n <= strlen(whole[t]); n++) {
            for (unsigned c = 0; c < 256; c++) {
                struct bypass b = {.count = 0};
                char *copy = malloc(n + 1);

                ck_assert_ptr_nonnull(copy);
                memcpy(copy, whole[t], n);
                copy[n] = (char)c;
                bool good = bypass_add(&b, copy, n + 1);
                free(copy);
                ck_assert_uint_eq(b.count, good ? 1 : 0);
            }
        }
    }
}
END_TEST

START_TEST(a_port_limits_an_entry)
{
    struct bypass b = {.count = 0};

    ck_assert(add(&b, "192.0.2.0/24:443"));
    ck_assert(add(&b, "[2001:db8::/32]:22"));
    ck_assert(has(&b, "192.0.2.9:443"));
    ck_assert(has(&b, "[::ffff:192.0.2.9]:443"));
    ck_assert(!has(&b, "192.0.2.9:80"));
    ck_assert(!has(&b, "[::ffff:192.0.2.9]:80"));
    ck_assert(has(&b, "[2001:db8::9]:22"));
    ck_assert(!has(&b, "[2001:db8::9]:443"));
}
END_TEST

START_TEST(an_address_is_added_with_its_port)
{
    struct bypass b = {.count = 0};
    struct addr a, none = {0};

    ck_assert(addr_parse("[::ffff:192.0.2.1]:1080", &a));
    ck_assert(bypass_add_address(&b, &a));
    ck_assert(addr_parse("[2001:db8::1]:1080", &a));
    ck_assert(bypass_add_address(&b, &a));
    ck_assert(!bypass_add_address(&b, &none));
    ck_assert_str_eq(print(&b), "192.0.2.1:1080,[2001:db8::1]:1080");
    ck_assert(has(&b, "192.0.2.1:1080"));
    ck_assert(!has(&b, "192.0.2.1:1081"));
    ck_assert(!has(&b, "192.0.2.2:1080"));
}
END_TEST

/* The longest text of all: BYPASS_MAX entries. */
static void fill(struct bypass *b)
{
    b->count = 0;
    for (unsigned i = 0; i < BYPASS_MAX; i++) {
        char text[80];

        (void)snprintf(text, sizeof text, "[2001:db8:ffff:ffff:ffff:ffff:ffff:ff00/120]:%u",
                       65535 - i);
        ck_assert(add(b, text));
    }
}

START_TEST(a_full_list_takes_no_more_but_knows_its_own)
{
    static struct bypass b, before;
    struct addr a;

    fill(&b);
    before = b;
    ck_assert(!add(&b, "192.0.2.1"));
    ck_assert(addr_parse("192.0.2.1:1", &a));
    ck_assert(!bypass_add_address(&b, &a));
    ck_assert(add(&b, "[2001:db8:ffff:ffff:ffff:ffff:ffff:ff00/120]:65535"));
    ck_assert_mem_eq(&b, &before, sizeof b);
}
END_TEST

START_TEST(printing_is_cut_between_entries)
{
    static struct bypass b, again;
    static char text[8192];

    fill(&b);
    const size_t whole = strlen(print(&b));
    ck_assert_uint_lt(whole, sizeof text);
    for (size_t cap = 0; cap <= whole + 1; cap += cap < 200 ? 1 : 7) {
        char *out = malloc(cap > 0 ? cap : 1);
        size_t at = 0;

        ck_assert_ptr_nonnull(out);
        ck_assert_ptr_eq(bypass_print(&b, out, cap), out);
        if (cap > 0) {
            ck_assert_uint_lt(strlen(out), cap);
            again.count = 0;
            while (out[at] != '\0') {
                size_t n = strcspn(out + at, ",");
                ck_assert(bypass_add(&again, out + at, n));
                at += n + (out[at + n] == ',');
            }
            for (size_t i = 0; i < again.count; i++)
                ck_assert_uint_eq(again.entry[i].port, b.entry[i].port);
        }
        free(out);
    }
}
END_TEST

START_TEST(the_networks_of_this_host_are_added)
{
    struct bypass b = {.count = 0};
    struct ifaddrs *list;

    errno = EXDEV;
    int added = bypass_add_local(&b);
    ck_assert_int_eq(errno, EXDEV);
    ck_assert_int_ge(added, 0);
    ck_assert_int_eq(added, b.count);
    ck_assert_int_eq(getifaddrs(&list), 0);
    for (const struct ifaddrs *i = list; i != NULL; i = i->ifa_next) {
        struct addr a;
        socklen_t len = sizeof(struct sockaddr_in6);

        if (i->ifa_addr != NULL && addr_from_sockaddr(i->ifa_addr, len, &a))
            ck_assert_msg(bypass_has(&b, &a), "%s", i->ifa_name);
    }
    freeifaddrs(list);
    ck_assert(!has(&b, "198.51.100.77:80"));
    ck_assert_int_eq(bypass_add_local(&b), 0); /* nothing new */
}
END_TEST

START_TEST(without_room_or_an_fd_the_networks_are_an_error)
{
    static struct bypass b;
    struct rlimit before, no = {.rlim_cur = 0};

    fill(&b);
    int full = bypass_add_local(&b);
    ck_assert_int_eq(b.count, BYPASS_MAX);
    ck_assert_int_eq(getrlimit(RLIMIT_NOFILE, &before), 0);
    no.rlim_max = before.rlim_max;
    ck_assert_int_eq(setrlimit(RLIMIT_NOFILE, &no), 0);
    b.count = 0;
    int closed = bypass_add_local(&b);
    ck_assert_int_eq(setrlimit(RLIMIT_NOFILE, &before), 0);
    ck_assert_int_eq(full, -ENOSPC);
    ck_assert_int_eq(closed, -EMFILE);
    ck_assert_uint_eq(b.count, 0);
}
END_TEST

int main(void)
{
    Suite *s = suite_create("bypass");
    TCase *t = tcase_create("bypass");

    tcase_add_test(t, the_default_is_this_host_and_its_links);
    tcase_add_test(t, every_form_prints_as_it_was_read);
    tcase_add_test(t, what_is_none_changes_nothing);
    tcase_add_test(t, every_prefix_and_every_octet_is_safe);
    tcase_add_test(t, a_port_limits_an_entry);
    tcase_add_test(t, an_address_is_added_with_its_port);
    tcase_add_test(t, a_full_list_takes_no_more_but_knows_its_own);
    tcase_add_test(t, printing_is_cut_between_entries);
    tcase_add_test(t, the_networks_of_this_host_are_added);
    tcase_add_test(t, without_room_or_an_fd_the_networks_are_an_error);
    suite_add_tcase(s, t);
    return runner_main(s);
}
