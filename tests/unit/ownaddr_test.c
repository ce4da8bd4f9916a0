/* SPDX-License-Identifier: MIT */
#include "ownaddr.h"
#include "runner.h"
#include <check.h>
#include <stdlib.h>
#include <sys/resource.h>

static struct addr at(const char *text)
{
    struct addr a;

    ck_assert_msg(addr_parse(text, &a), "%s", text);
    return a;
}

START_TEST(an_address_of_an_interface_is_ours)
{
    struct addr a = at("127.0.0.1:80"), b = at("[::ffff:127.0.0.1]:80");

    ck_assert(ownaddr_is(&a));
    ck_assert(ownaddr_is(&b));
}
END_TEST

START_TEST(an_address_elsewhere_is_not)
{
    static const char *const other[] = {"192.0.2.77:80", "[2001:db8::77]:80", "203.0.113.9:9"};

    for (size_t i = 0; i < sizeof other / sizeof other[0]; i++) {
        struct addr a = at(other[i]);
        ck_assert_msg(!ownaddr_is(&a), "%s", other[i]);
    }
}
END_TEST

START_TEST(nothing_is_ours_without_an_address_or_an_fd)
{
    struct addr none = {0}, a = at("127.0.0.1:80");
    struct rlimit before, no = {.rlim_cur = 0};

    ck_assert(!ownaddr_is(&none));
    ck_assert_int_eq(getrlimit(RLIMIT_NOFILE, &before), 0);
    no.rlim_max = before.rlim_max;
    ck_assert_int_eq(setrlimit(RLIMIT_NOFILE, &no), 0);
    bool own = ownaddr_is(&a);
    ck_assert_int_eq(setrlimit(RLIMIT_NOFILE, &before), 0);
    ck_assert(!own);
}
END_TEST

int main(void)
{
    Suite *s = suite_create("ownaddr");
    TCase *t = tcase_create("ownaddr");

    tcase_add_test(t, an_address_of_an_interface_is_ours);
    tcase_add_test(t, an_address_elsewhere_is_not);
    tcase_add_test(t, nothing_is_ours_without_an_address_or_an_fd);
    suite_add_tcase(s, t);
    return runner_main(s);
}
