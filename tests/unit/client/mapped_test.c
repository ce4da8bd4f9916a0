/* SPDX-License-Identifier: MIT */
#include "mapped.h"
#include "runner.h"

/* a, family, result */
static const char *const rows[][3] = {
    {"192.0.2.1:80", "4", "192.0.2.1:80"},
    {"192.0.2.1:80", "6", "[::ffff:192.0.2.1]:80"},
    {"[::ffff:192.0.2.1]:80", "4", "192.0.2.1:80"},
    {"[::ffff:192.0.2.1]:80", "6", "[::ffff:192.0.2.1]:80"},
    {"[2001:db8::1]:80", "6", "[2001:db8::1]:80"},
    {"[2001:db8::1]:80", "4", "[2001:db8::1]:80"},
};

START_TEST(an_address_is_written_for_the_family)
{
    struct addr a, want;

    ck_assert(addr_parse(rows[_i][0], &a));
    ck_assert(addr_parse(rows[_i][2], &want));
    struct addr is = mapped_for(a, rows[_i][1][0] == '6' ? AF_INET6 : AF_INET);

    ck_assert(addr_equal(&is, &want));
    ck_assert_uint_eq(is.family, want.family);
}
END_TEST

START_TEST(a_scope_stays)
{
    struct addr a;

    ck_assert(addr_parse_ip("fe80::1%3", 9, &a));
    ck_assert_uint_eq(mapped_for(a, AF_INET6).scope, 3);
}
END_TEST

int main(void)
{
    Suite *s = suite_create("mapped");
    TCase *c = tcase_create("mapped");

    tcase_add_loop_test(c, an_address_is_written_for_the_family, 0, 6);
    tcase_add_test(c, a_scope_stays);
    suite_add_tcase(s, c);
    return runner_main(s);
}
