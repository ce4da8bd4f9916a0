/* SPDX-License-Identifier: MIT */
#include "runner.h"
#include "wire/target.h"

/* From an exact-size heap copy, so that a read past the end is seen. */
static bool from_host(const char *text, size_t len, uint16_t port, struct target *out)
{
    uint8_t *copy = malloc(len == 0 ? 1 : len);

    ck_assert_ptr_nonnull(copy);
    memcpy(copy, text, len);
    bool ok = target_from_host(span_of(copy, len), port, out);
    free(copy);
    return ok;
}

static struct target host(const char *text, uint16_t port)
{
    struct target t;

    ck_assert_msg(from_host(text, strlen(text), port, &t), "%s", text);
    return t;
}

static const struct {
    const char *text, *printed;
    bool is_name;
} hosts[] = {
    {"example.com", "example.com:443", true},
    {"example.com.", "example.com:443", true}, /* trailing dot */
    {"EXAMPLE.com", "EXAMPLE.com:443", true},
    {"_dmarc.xn--bcher-kva.example", "_dmarc.xn--bcher-kva.example:443", true},
    {"localhost", "localhost:443", true},
    {"a", "a:443", true},
    {"1.2.3", "1.2.3:443", true}, /* not a literal, so a name */
    {"192.0.2.1", "192.0.2.1:443", false},
    {"192.0.2.1.", "192.0.2.1:443", false},
    {"2001:db8::1", "[2001:db8::1]:443", false},
    {"[2001:db8::1]", "[2001:db8::1]:443", false},
    {"::ffff:192.0.2.1", "192.0.2.1:443", false}, /* v4-mapped */
    {"[fe80::1%2]", "[fe80::1%2]:443", false},
};

START_TEST(hosts_become_addresses_or_names)
{
    char text[TARGET_TEXT_MAX];
    struct target t = host(hosts[_i].text, 443);

    ck_assert_str_eq(target_print(&t, text, sizeof text), hosts[_i].printed);
    ck_assert(target_is_name(&t) == hosts[_i].is_name);
    ck_assert_uint_eq(t.port, 443);
    ck_assert_uint_eq(t.addr.port, 0);
    if (hosts[_i].is_name) {
        ck_assert_uint_eq(t.addr.family, ADDR_NONE);
        ck_assert_uint_eq(t.name_len, strlen(t.name));
    } else {
        ck_assert_uint_eq(t.name_len, 0);
    }
}
END_TEST

static const struct {
    const char *text;
    size_t len;
} bad_hosts[] = {
    {"", 0},
    {".", 1},
    {"..", 2},
    {".example", 8},
    {"a..b", 4},
    {"example..", 9},
    {"exa\0mple", 8},
    {"example\0", 8},
    {"exa mple", 8},
    {"exa:mple", 8},
    {"exa/mple", 8},
    {"exa%mple", 8},
    {"ex\xC3\xA4mple", 8},
    {"example\n", 8},
    {"[example]", 9},
    {"[192.0.2.1]", 11},
    {"*.example", 9},
    {"user@example", 12},
};

START_TEST(bad_hosts_are_refused)
{
    struct target t = {.port = 7};

    ck_assert_msg(!from_host(bad_hosts[_i].text, bad_hosts[_i].len, 443, &t), "%s",
                  bad_hosts[_i].text);
    ck_assert_uint_eq(t.port, 7);
    ck_assert_uint_eq(t.name_len, 0);
}
END_TEST

/* Every octet alone: exactly the letters, digits, '-' and '_' are a name. */
START_TEST(only_host_name_octets_pass)
{
    static const char good[] =
        "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789-_";

    for (unsigned c = 0; c <= 0xFF; c++) {
        char text[3] = {'a', (char)c, 'b'};
        struct target t;
        bool want = c != 0 && (strchr(good, (int)c) != NULL || c == '.');

        ck_assert_msg(from_host(text, 3, 1, &t) == want, "octet %u", c);
    }
}
END_TEST

START_TEST(labels_have_at_most_63_octets)
{
    char text[80];
    struct target t;

    memset(text, 'a', sizeof text);
    ck_assert(from_host(text, 63, 1, &t));
    ck_assert(!from_host(text, 64, 1, &t));
    text[63] = '.';
    ck_assert(from_host(text, 80, 1, &t));
    text[63] = 'a';
    text[64] = '.';
    ck_assert(!from_host(text, 80, 1, &t));
    text[64] = 'a';
    text[10] = '.';
    ck_assert(from_host(text, 74, 1, &t));
    ck_assert(!from_host(text, 75, 1, &t));
}
END_TEST

START_TEST(names_have_at_most_255_octets_and_print_whole)
{
    char name[256], text[TARGET_TEXT_MAX], want[TARGET_TEXT_MAX];
    struct target t;

    for (size_t i = 0; i < sizeof name; i++)
        name[i] = i % 64 == 63 ? '.' : 'a';
    ck_assert(!from_host(name, 256, 1, &t)); /* even though the last one is a dot */
    ck_assert(from_host(name, 255, 65535, &t));
    ck_assert_uint_eq(t.name_len, 255);
    memcpy(want, name, 255);
    memcpy(want + 255, ":65535", 7);
    ck_assert_str_eq(target_print(&t, text, sizeof text), want);
}
END_TEST

START_TEST(addresses_become_targets_without_mapping)
{
    struct addr a;
    char text[TARGET_TEXT_MAX];

    ck_assert(addr_parse("[::ffff:192.0.2.1]:80", &a));
    struct target t = target_from_addr(&a);
    ck_assert_str_eq(target_print(&t, text, sizeof text), "192.0.2.1:80");
    ck_assert_uint_eq(t.addr.port, 0);
    ck_assert_uint_eq(t.addr.family, ADDR_IPV4);
    ck_assert(addr_parse("[fe80::1%3]:80", &a));
    t = target_from_addr(&a);
    ck_assert_uint_eq(t.addr.scope, 3);
    ck_assert(!target_is_name(&t));
}
END_TEST

START_TEST(names_compare_without_case)
{
    struct target a = host("Example.COM.", 80), b = host("eXAMPLE.com", 80);

    ck_assert(target_equal(&a, &b));
    b.port = 81;
    ck_assert(!target_equal(&a, &b));
    b = host("example.org", 80);
    ck_assert(!target_equal(&a, &b));
    b = host("example.co", 80);
    ck_assert(!target_equal(&a, &b));
    a = host("a_", 80);
    b = host("a-", 80);
    ck_assert(!target_equal(&a, &b));
}
END_TEST

START_TEST(addresses_compare_with_port_and_scope)
{
    struct target a = host("fe80::1%1", 80), b = host("fe80::1%1", 80);

    ck_assert(target_equal(&a, &b));
    b.port = 81;
    ck_assert(!target_equal(&a, &b));
    b = host("fe80::1%2", 80);
    ck_assert(!target_equal(&a, &b));
    b = host("fe80::2%1", 80);
    ck_assert(!target_equal(&a, &b));
    b = host("example.com", 80);
    ck_assert(!target_equal(&a, &b));
    ck_assert(!target_equal(&b, &a));
}
END_TEST

START_TEST(printing_always_terminates)
{
    struct target t = host("example.com", 443);
    static const char whole[] = "example.com:443";
    char text[32];

    for (size_t cap = 1; cap < sizeof text; cap++) {
        memset(text, 'x', sizeof text);
        ck_assert_ptr_eq(target_print(&t, text, cap), text);
        size_t want = cap - 1 < sizeof whole - 1 ? cap - 1 : sizeof whole - 1;
        ck_assert_uint_eq(strlen(text), want);
        ck_assert_mem_eq(text, whole, want);
        ck_assert_int_eq(text[cap], 'x');
    }
    text[0] = 'x';
    (void)target_print(&t, text, 0);
    ck_assert_int_eq(text[0], 'x');
}
END_TEST

START_TEST(port_0_and_no_target_print)
{
    struct target t = host("a", 0), none = {.port = 0};
    char text[TARGET_TEXT_MAX];

    ck_assert_str_eq(target_print(&t, text, sizeof text), "a:0");
    ck_assert_str_eq(target_print(&none, text, sizeof text), "-");
    ck_assert(!target_is_name(&none));
}
END_TEST

int main(void)
{
    Suite *s = suite_create("target");
    TCase *tc = tcase_create("target");

    tcase_add_loop_test(tc, hosts_become_addresses_or_names, 0, sizeof hosts / sizeof hosts[0]);
    tcase_add_loop_test(tc, bad_hosts_are_refused, 0, sizeof bad_hosts / sizeof bad_hosts[0]);
    tcase_add_test(tc, only_host_name_octets_pass);
    tcase_add_test(tc, labels_have_at_most_63_octets);
    tcase_add_test(tc, names_have_at_most_255_octets_and_print_whole);
    tcase_add_test(tc, addresses_become_targets_without_mapping);
    tcase_add_test(tc, names_compare_without_case);
    tcase_add_test(tc, addresses_compare_with_port_and_scope);
    tcase_add_test(tc, printing_always_terminates);
    tcase_add_test(tc, port_0_and_no_target_print);
    suite_add_tcase(s, tc);
    return runner_main(s);
}
