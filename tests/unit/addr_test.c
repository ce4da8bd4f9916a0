/* SPDX-License-Identifier: MIT */
#include "runner.h"
#include "wire/addr.h"
#include <arpa/inet.h>
#include <string.h>

static struct addr ip(const char *text)
{
    struct addr a;

    ck_assert_msg(addr_parse_ip(text, strlen(text), &a), "%s", text);
    return a;
}

static struct addr endpoint(const char *text)
{
    struct addr a;

    ck_assert_msg(addr_parse(text, &a), "%s", text);
    return a;
}

static struct prefix prefix(const char *text)
{
    struct prefix p;

    ck_assert_msg(prefix_parse(text, &p), "%s", text);
    return p;
}

/* An address no parser writes, to see that failures leave *out alone. */
static const struct addr untouched = {.family = 77, .ip = {1, 2, 3}, .port = 4, .scope = 5};

static void ck_untouched(const struct addr *a)
{
    ck_assert_uint_eq(a->family, untouched.family);
    ck_assert_mem_eq(a->ip, untouched.ip, sizeof a->ip);
    ck_assert_uint_eq(a->port, untouched.port);
    ck_assert_uint_eq(a->scope, untouched.scope);
}

/* --- sockaddr
 * -------------------------------------------------------------------------------------------------------
 */

START_TEST(sockaddr_ipv4_round_trip)
{
    struct addr a = endpoint("192.0.2.1:8080"), back;
    struct sockaddr_storage ss;
    socklen_t len = addr_to_sockaddr(&a, &ss);
    const struct sockaddr_in *in4 = (const struct sockaddr_in *)(const void *)&ss;

    ck_assert_uint_eq(len, sizeof(struct sockaddr_in));
    ck_assert_int_eq(in4->sin_family, AF_INET);
    ck_assert_uint_eq(ntohs(in4->sin_port), 8080);
    ck_assert_uint_eq(ntohl(in4->sin_addr.s_addr), 0xC0000201);
    ck_assert(addr_from_sockaddr((const struct sockaddr *)&ss, len, &back));
    ck_assert(addr_equal(&a, &back));
}
END_TEST

START_TEST(sockaddr_ipv6_round_trip_keeps_the_scope)
{
    struct addr a = endpoint("[fe80::1%7]:443"), back;
    struct sockaddr_storage ss;
    socklen_t len = addr_to_sockaddr(&a, &ss);
    const struct sockaddr_in6 *in6 = (const struct sockaddr_in6 *)(const void *)&ss;

    ck_assert_uint_eq(len, sizeof(struct sockaddr_in6));
    ck_assert_int_eq(in6->sin6_family, AF_INET6);
    ck_assert_uint_eq(ntohs(in6->sin6_port), 443);
    ck_assert_uint_eq(in6->sin6_scope_id, 7);
    ck_assert(addr_from_sockaddr((const struct sockaddr *)&ss, len, &back));
    ck_assert(addr_equal(&a, &back));
}
END_TEST

START_TEST(other_families_and_short_sockaddrs_are_refused)
{
    struct sockaddr_storage ss = {.ss_family = AF_UNIX};
    const struct sockaddr *sa = (const struct sockaddr *)&ss;
    struct addr a = untouched;
    struct addr none = {.family = ADDR_NONE};

    ck_assert(!addr_from_sockaddr(sa, sizeof ss, &a));
    ss.ss_family = AF_INET;
    ck_assert(!addr_from_sockaddr(sa, sizeof(struct sockaddr_in) - 1, &a));
    ss.ss_family = AF_INET6;
    ck_assert(!addr_from_sockaddr(sa, sizeof(struct sockaddr_in), &a));
    ck_assert(!addr_from_sockaddr(sa, 0, &a));
    ck_untouched(&a);
    ck_assert_uint_eq(addr_to_sockaddr(&none, &ss), 0);
}
END_TEST

START_TEST(ipv4_leaves_the_rest_of_ip_zero)
{
    static const uint8_t zero[12];
    struct addr a = addr_ipv4((const uint8_t[]){192, 0, 2, 1}, 80);

    ck_assert_uint_eq(a.family, ADDR_IPV4);
    ck_assert_mem_eq(a.ip + 4, zero, sizeof zero);
    ck_assert_uint_eq(a.port, 80);
    ck_assert_uint_eq(a.scope, 0);
}
END_TEST

/* --- text
 * -----------------------------------------------------------------------------------------------------------
 */

static const struct {
    const char *text, *printed;
} literals[] = {
    {"192.0.2.1", "192.0.2.1"},
    {"0.0.0.0", "0.0.0.0"},
    {"255.255.255.255", "255.255.255.255"},
    {"2001:db8::1", "2001:db8::1"},
    {"[2001:db8::1]", "2001:db8::1"},
    {"2001:0DB8:0:0:0:0:0:1", "2001:db8::1"},
    {"::", "::"},
    {"fe80::1%2", "fe80::1%2"},
    {"[fe80::1%4294967295]", "fe80::1%4294967295"},
    {"::ffff:192.0.2.1", "::ffff:192.0.2.1"},
    {"ffff:ffff:ffff:ffff:ffff:ffff:255.255.255.255",
     "ffff:ffff:ffff:ffff:ffff:ffff:ffff:ffff"},
};

START_TEST(literals_parse_and_print)
{
    char text[ADDR_TEXT_MAX];
    struct addr a = ip(literals[_i].text);

    ck_assert_uint_eq(a.port, 0);
    ck_assert_str_eq(addr_print_ip(&a, text, sizeof text), literals[_i].printed);
}
END_TEST

static const char *const not_literals[] = {
    "",
    "192.0.2",
    "192.0.2.1.",
    "192.0.2.256",
    "192.0.2.01",
    " 192.0.2.1",
    "192.0.2.1 ",
    "0x7f.1",
    "2130706433",
    "[192.0.2.1]",
    "[2001:db8::1",
    "2001:db8::1]",
    "[]",
    "[:]",
    "[[::1]]",
    ":",
    "1:2:3:4:5:6:7",
    "1::2::3",
    "fe80::1%",
    "fe80::1%eth0",
    "fe80::1%-1",
    "fe80::1%4294967296",
    "192.0.2.1%1",
    "fe80::%1%1",
    "example.com",
    "2001:db8::g",
    "fe80::1%00000000001",
    "ffff:ffff:ffff:ffff:ffff:ffff:255.255.255.2555",
};

START_TEST(anything_else_is_not_a_literal)
{
    struct addr a = untouched;

    ck_assert_msg(!addr_parse_ip(not_literals[_i], strlen(not_literals[_i]), &a), "%s",
                  not_literals[_i]);
    ck_untouched(&a);
}
END_TEST

START_TEST(literals_need_no_terminator_and_hold_no_nul)
{
    char *exact = malloc(9); /* AddressSanitizer sees a read of exact[9] */
    struct addr a;

    ck_assert_ptr_nonnull(exact);
    memcpy(exact, "192.0.2.1", 9);
    ck_assert(addr_parse_ip(exact, 9, &a));
    ck_assert(addr_parse_ip(exact, 8, &a) == false);
    memcpy(exact, "::1\0abcde", 9);
    ck_assert(!addr_parse_ip(exact, 9, &a));
    memcpy(exact, "192.0.2.1", 9);
    ck_assert(!addr_parse_ip(exact, 0, &a));
    free(exact);
}
END_TEST

static const char *const endpoints[] = {
    "192.0.2.1:80",     "192.0.2.1:0", "255.255.255.255:65535",
    "[2001:db8::1]:80", "[::]:0",      "[fe80::1%2]:65535",
};

START_TEST(endpoints_print_as_they_were_parsed)
{
    char text[ADDR_TEXT_MAX];
    struct addr a = endpoint(endpoints[_i]);

    ck_assert_str_eq(addr_print(&a, text, sizeof text), endpoints[_i]);
}
END_TEST

static const char *const not_endpoints[] = {
    "",
    "192.0.2.1",
    "192.0.2.1:",
    "192.0.2.1:65536",
    "192.0.2.1:+80",
    ":80",
    "192.0.2.1:80 ",
    "192.0.2.1:000080",
    "2001:db8::1",
    "[2001:db8::1]",
    "2001:db8::80",
    "[2001:db8::1]80",
    "example.com:80",
    "192.0.2.1:-1",
};

START_TEST(endpoints_need_address_and_port)
{
    struct addr a = untouched;

    ck_assert_msg(!addr_parse(not_endpoints[_i], &a), "%s", not_endpoints[_i]);
    ck_untouched(&a);
}
END_TEST

START_TEST(printing_always_terminates)
{
    struct addr a = endpoint("[2001:db8::1]:443");
    char text[ADDR_TEXT_MAX];

    for (size_t cap = 1; cap < sizeof text; cap++) {
        memset(text, 'x', sizeof text);
        ck_assert_ptr_eq(addr_print(&a, text, cap), text);
        ck_assert_uint_eq(strlen(text), cap - 1 < 17 ? cap - 1 : 17);
        ck_assert(strncmp(text, "[2001:db8::1]:443", strlen(text)) == 0);
        ck_assert_int_eq(text[cap], 'x');
    }
    text[0] = 'x';
    (void)addr_print(&a, text, 0);
    (void)addr_print_ip(&a, text, 0);
    ck_assert_int_eq(text[0], 'x');
}
END_TEST

START_TEST(longest_text_fits)
{
    struct addr a = endpoint("[2001:db8:ffff:ffff:ffff:ffff:ffff:ffff%4294967295]:65535");
    char text[ADDR_TEXT_MAX];

    (void)addr_print(&a, text, sizeof text);
    ck_assert_str_eq(text, "[2001:db8:ffff:ffff:ffff:ffff:ffff:ffff%4294967295]:65535");
}
END_TEST

START_TEST(no_address_prints_a_dash)
{
    struct addr none = {.family = ADDR_NONE};
    char text[ADDR_TEXT_MAX];

    ck_assert_str_eq(addr_print(&none, text, sizeof text), "-");
    ck_assert_str_eq(addr_print_ip(&none, text, sizeof text), "-");
}
END_TEST

/* --- comparing
 * ------------------------------------------------------------------------------------------------------
 */

START_TEST(equal_looks_at_address_port_and_scope)
{
    struct addr a = endpoint("[fe80::1%2]:80"), b = a;

    ck_assert(addr_equal(&a, &b) && addr_equal_ip(&a, &b));
    b.port = 81;
    ck_assert(!addr_equal(&a, &b) && addr_equal_ip(&a, &b));
    b = a;
    b.scope = 3;
    ck_assert(!addr_equal(&a, &b) && addr_equal_ip(&a, &b));
    b = a;
    b.ip[15] = 2;
    ck_assert(!addr_equal(&a, &b) && !addr_equal_ip(&a, &b));
    a = ip("0.0.0.0");
    b = ip("::");
    ck_assert(!addr_equal(&a, &b) && !addr_equal_ip(&a, &b));
}
END_TEST

START_TEST(unmap_turns_mapped_into_ipv4_and_nothing_else)
{
    struct addr want = endpoint("192.0.2.1:80");
    struct addr got = addr_unmap(endpoint("[::ffff:192.0.2.1]:80"));
    struct addr other = endpoint("[::fffe:192.0.2.1]:80");
    struct addr same = addr_unmap(other);

    ck_assert(addr_equal(&got, &want));
    ck_assert(addr_equal(&same, &other));
    same = addr_unmap(want);
    ck_assert(addr_equal(&same, &want));
}
END_TEST

START_TEST(map_is_the_reverse_of_unmap)
{
    struct addr ipv4 = endpoint("192.0.2.1:80"), ipv6 = endpoint("[2001:db8::1]:80");
    struct addr want = endpoint("[::ffff:192.0.2.1]:80");
    struct addr got = addr_map(ipv4);
    struct addr back = addr_unmap(got);
    struct addr same = addr_map(ipv6);

    ck_assert(addr_equal(&got, &want));
    ck_assert(addr_equal(&back, &ipv4));
    ck_assert(addr_equal(&same, &ipv6));
}
END_TEST

/* --- prefixes
 * -------------------------------------------------------------------------------------------------------
 */

static const struct {
    const char *prefix, *address;
    bool inside;
} members[] = {
    {"192.0.2.0/24", "192.0.2.255", true},
    {"192.0.2.0/24", "192.0.3.0", false},
    {"192.0.2.0/25", "192.0.2.127", true},
    {"192.0.2.0/25", "192.0.2.128", false},
    {"192.0.2.1", "192.0.2.1", true},
    {"192.0.2.1", "192.0.2.0", false},
    {"0.0.0.0/0", "203.0.113.9", true},
    {"0.0.0.0/0", "2001:db8::1", false},
    {"2001:db8::/32", "2001:db8:ffff::", true},
    {"2001:db8::/32", "2001:db9::", false},
    {"2001:db8::/33", "2001:db8:8000::", false},
    {"2001:db8::1/128", "2001:db8::1", true},
    {"::/0", "2001:db8::1", true},
    {"::/0", "192.0.2.1", false},
    {"192.0.2.0/24", "::ffff:192.0.2.9", true},
    {"192.0.2.0/24", "::ffff:192.0.3.9", false},
    {"::/0", "::ffff:192.0.2.1", false},
    {"::ffff:192.0.2.0/120", "192.0.2.9", true},
    {"::ffff:0:0/96", "203.0.113.1", true},
};

START_TEST(prefixes_contain_their_addresses)
{
    struct prefix p = prefix(members[_i].prefix);
    struct addr a = ip(members[_i].address);

    ck_assert_msg(prefix_contains(&p, &a) == members[_i].inside, "%s %s", members[_i].prefix,
                  members[_i].address);
}
END_TEST

static const char *const not_prefixes[] = {
    "",
    "/24",
    "192.0.2.0/",
    "192.0.2.0/33",
    "192.0.2.1/24",
    "192.0.2.0/-1",
    "192.0.2.0/24 ",
    "192.0.2.0/24/24",
    "2001:db8::/129",
    "2001:db8::1/64",
    "[2001:db8::]/32",
    "fe80::%1/64",
    "192.0.2/24",
    "192.0.2.0/0x18",
    "11.0.0.0/7",
};

START_TEST(host_bits_and_bad_lengths_are_refused)
{
    struct prefix p = {.base = untouched, .bits = 99};

    ck_assert_msg(!prefix_parse(not_prefixes[_i], &p), "%s", not_prefixes[_i]);
    ck_untouched(&p.base);
    ck_assert_uint_eq(p.bits, 99);
}
END_TEST

START_TEST(no_address_is_in_no_prefix)
{
    struct prefix p = prefix("0.0.0.0/0");
    struct addr none = {.family = ADDR_NONE};

    ck_assert(!prefix_contains(&p, &none));
}
END_TEST

START_TEST(mask_cuts_to_the_prefix)
{
    struct addr v4 = endpoint("192.0.2.255:80"), v6 = endpoint("[2001:db8:ffff::1%3]:80");
    struct addr want = ip("192.0.2.224"), cut = addr_mask(&v4, 27);

    ck_assert(addr_equal(&cut, &want)); /* port and scope are zero */
    want = ip("2001:db8:e000::");
    cut = addr_mask(&v6, 35);
    ck_assert(addr_equal(&cut, &want));
    cut = addr_mask(&v4, 0);
    want = ip("0.0.0.0");
    ck_assert(addr_equal(&cut, &want));
    cut = addr_mask(&v4, 33);
    ck_assert(addr_equal_ip(&cut, &v4));
    cut = addr_mask(&v6, 1000);
    ck_assert(addr_equal_ip(&cut, &v6));
}
END_TEST

int main(void)
{
    Suite *s = suite_create("addr");
    TCase *tc = tcase_create("addr");

    tcase_add_test(tc, sockaddr_ipv4_round_trip);
    tcase_add_test(tc, sockaddr_ipv6_round_trip_keeps_the_scope);
    tcase_add_test(tc, other_families_and_short_sockaddrs_are_refused);
    tcase_add_test(tc, ipv4_leaves_the_rest_of_ip_zero);
    tcase_add_loop_test(tc, literals_parse_and_print, 0, sizeof literals / sizeof literals[0]);
    tcase_add_loop_test(tc, anything_else_is_not_a_literal, 0,
                        sizeof not_literals / sizeof not_literals[0]);
    tcase_add_test(tc, literals_need_no_terminator_and_hold_no_nul);
    tcase_add_loop_test(tc, endpoints_print_as_they_were_parsed, 0,
                        sizeof endpoints / sizeof endpoints[0]);
    tcase_add_loop_test(tc, endpoints_need_address_and_port, 0,
                        sizeof not_endpoints / sizeof not_endpoints[0]);
    tcase_add_test(tc, printing_always_terminates);
    tcase_add_test(tc, longest_text_fits);
    tcase_add_test(tc, no_address_prints_a_dash);
    tcase_add_test(tc, equal_looks_at_address_port_and_scope);
    tcase_add_test(tc, unmap_turns_mapped_into_ipv4_and_nothing_else);
    tcase_add_test(tc, map_is_the_reverse_of_unmap);
    tcase_add_loop_test(tc, prefixes_contain_their_addresses, 0,
                        sizeof members / sizeof members[0]);
    tcase_add_loop_test(tc, host_bits_and_bad_lengths_are_refused, 0,
                        sizeof not_prefixes / sizeof not_prefixes[0]);
    tcase_add_test(tc, no_address_is_in_no_prefix);
    tcase_add_test(tc, mask_cuts_to_the_prefix);
    suite_add_tcase(s, tc);
    return runner_main(s);
}
