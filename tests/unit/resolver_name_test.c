/* SPDX-License-Identifier: MIT */
#include "resolver_name.h"
#include "runner.h"
#include <string.h>

static bool settled(const char *name, enum addr_family family, struct resolver_name *out,
                    struct resolver_answer *a)
{
    memset(out, 'x', sizeof *out);
    memset(a, 0x5A, sizeof *a);
    return resolver_name_settled(name, family, out, a);
}

static void expect_asked(const char *name, const char *as)
{
    struct resolver_name n;
    struct resolver_answer a;

    ck_assert(!settled(name, ADDR_IPV4, &n, &a));
    ck_assert_str_eq(n.text, as);
}

/* `text` NULL: no such name. */
static void expect_settled(const char *name, enum addr_family family, const char *text)
{
    struct resolver_name n;
    struct resolver_answer a;
    struct addr want;

    ck_assert(settled(name, family, &n, &a));
    ck_assert_int_eq(a.why, text == NULL ? OUTCOME_NAME_NOT_FOUND : OUTCOME_OK);
    ck_assert_uint_eq(a.count, text != NULL);
    if (text != NULL) {
        ck_assert(addr_parse_ip(text, strlen(text), &want));
        ck_assert(addr_equal(&a.addr[0], &want));
    }
}

START_TEST(a_host_name_is_asked_for_in_lower_case_without_its_dot)
{
    expect_asked("example.net", "example.net");
    expect_asked("EXAMPLE.Net.", "example.net");
    expect_asked("a", "a");
    expect_asked("_x-1.example", "_x-1.example");
    expect_asked("127.1", "127.1"); /* no address by RFC 3986, whatever inet_aton() thinks */
    expect_asked("0x7f000001", "0x7f000001");
    expect_asked("notlocalhost", "notlocalhost");
    expect_asked("localhost.example.net", "localhost.example.net");
    expect_asked("invalid.example.net", "invalid.example.net");
}
END_TEST

START_TEST(special_names_are_never_asked_for) /* RFC 6761 s6.3, s6.4; RFC 7686 s2 */
{
    expect_settled("localhost", ADDR_IPV4, "127.0.0.1");
    expect_settled("LocalHost.", ADDR_IPV6, "::1");
    expect_settled("a.b.localhost", ADDR_IPV4, "127.0.0.1");
    expect_settled("invalid", ADDR_IPV4, NULL);
    expect_settled("x.INVALID", ADDR_IPV6, NULL);
    expect_settled("abc.onion", ADDR_IPV4, NULL);
}
END_TEST

START_TEST(literals_are_their_own_answer)
{
    expect_settled("192.0.2.1", ADDR_IPV4, "192.0.2.1");
    expect_settled("192.0.2.1", ADDR_IPV6, NULL);
    expect_settled("2001:db8::1", ADDR_IPV6, "2001:db8::1");
    expect_settled("[2001:db8::1]", ADDR_IPV4, NULL);
}
END_TEST

START_TEST(what_is_no_host_name_does_not_exist)
{
    static const char *const name[] = {"",    ".",    "..",  "a..b",    ".a",
                                       "a b", "a\nb", "a/b", "\xc3\xa4"};
    char longest[RESOLVER_NAME_MAX + 2];

    for (size_t i = 0; i < ARRAY_LEN(name); i++)
        expect_settled(name[i], ADDR_IPV4, NULL);
    memset(longest, 'a', sizeof longest);
    for (size_t i = 50; i < sizeof longest - 2; i += 51)
        longest[i] = '.';
    longest[RESOLVER_NAME_MAX + 1] = 0;
    expect_settled(longest, ADDR_IPV4, NULL);
    longest[RESOLVER_NAME_MAX] = 0;
    expect_asked(longest, longest);
}
END_TEST

START_TEST(reverse_names_are_those_of_the_rfcs) /* RFC 1035 s3.5; RFC 3596 s2.5 (its example) */
{
    struct resolver_name n;
    struct addr a;

    ck_assert(addr_parse_ip("192.0.2.10", 10, &a));
    resolver_name_reverse(&a, &n);
    ck_assert_str_eq(n.text, "10.2.0.192.in-addr.arpa");
    ck_assert(addr_parse_ip("4321:0:1:2:3:4:567:89ab", 23, &a));
    resolver_name_reverse(&a, &n);
    ck_assert_str_eq(
        n.text, "b.a.9.8.7.6.5.0.4.0.0.0.3.0.0.0.2.0.0.0.1.0.0.0.0.0.0.0.1.2.3.4.ip6.arpa");
}
END_TEST

int main(void)
{
    Suite *s = suite_create("resolver_name");
    TCase *t = tcase_create("name");

    tcase_add_test(t, a_host_name_is_asked_for_in_lower_case_without_its_dot);
    tcase_add_test(t, special_names_are_never_asked_for);
    tcase_add_test(t, literals_are_their_own_answer);
    tcase_add_test(t, what_is_no_host_name_does_not_exist);
    tcase_add_test(t, reverse_names_are_those_of_the_rfcs);
    suite_add_tcase(s, t);
    return runner_main(s);
}
