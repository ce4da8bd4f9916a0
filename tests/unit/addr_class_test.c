/* SPDX-License-Identifier: MIT */
/* Which addresses the access list must treat specially, and which IPv4 address hides in an IPv6
 * one. */
#include "runner.h"
#include "wire/addr.h"
#include <string.h>

static struct addr ip(const char *text)
{
    struct addr a;

    ck_assert_msg(addr_parse_ip(text, strlen(text), &a), "%s", text);
    return a;
}

/* Both ends of every range, and their neighbours outside. */
static const struct {
    const char *text;
    enum addr_class class;
} classes[] = {
    {"0.0.0.0", ADDR_CLASS_UNSPECIFIED},
    {"0.255.255.255", ADDR_CLASS_UNSPECIFIED},
    {"1.0.0.0", ADDR_CLASS_GLOBAL},
    {"9.255.255.255", ADDR_CLASS_GLOBAL},
    {"10.0.0.0", ADDR_CLASS_PRIVATE},
    {"10.255.255.255", ADDR_CLASS_PRIVATE},
    {"11.0.0.0", ADDR_CLASS_GLOBAL},
    {"100.63.255.255", ADDR_CLASS_GLOBAL},
    {"100.64.0.0", ADDR_CLASS_SHARED},
    {"100.127.255.255", ADDR_CLASS_SHARED},
    {"100.128.0.0", ADDR_CLASS_GLOBAL},
    {"126.255.255.255", ADDR_CLASS_GLOBAL},
    {"127.0.0.0", ADDR_CLASS_LOOPBACK},
    {"127.255.255.255", ADDR_CLASS_LOOPBACK},
    {"128.0.0.0", ADDR_CLASS_GLOBAL},
    {"169.253.255.255", ADDR_CLASS_GLOBAL},
    {"169.254.0.0", ADDR_CLASS_LINK_LOCAL},
    {"169.254.255.255", ADDR_CLASS_LINK_LOCAL},
    {"169.255.0.0", ADDR_CLASS_GLOBAL},
    {"169.254.169.254", ADDR_CLASS_METADATA},
    {"169.254.170.2", ADDR_CLASS_METADATA},
    {"100.100.100.200", ADDR_CLASS_METADATA},
    {"172.15.255.255", ADDR_CLASS_GLOBAL},
    {"172.16.0.0", ADDR_CLASS_PRIVATE},
    {"172.31.255.255", ADDR_CLASS_PRIVATE},
    {"172.32.0.0", ADDR_CLASS_GLOBAL},
    {"192.167.255.255", ADDR_CLASS_GLOBAL},
    {"192.168.0.0", ADDR_CLASS_PRIVATE},
    {"192.168.255.255", ADDR_CLASS_PRIVATE},
    {"192.169.0.0", ADDR_CLASS_GLOBAL},
    {"192.0.2.1", ADDR_CLASS_GLOBAL},
    {"223.255.255.255", ADDR_CLASS_GLOBAL},
    {"224.0.0.0", ADDR_CLASS_MULTICAST},
    {"239.255.255.255", ADDR_CLASS_MULTICAST},
    {"240.0.0.0", ADDR_CLASS_BROADCAST},
    {"255.255.255.255", ADDR_CLASS_BROADCAST},
    {"::", ADDR_CLASS_UNSPECIFIED},
    {"::1", ADDR_CLASS_LOOPBACK},
    {"::2", ADDR_CLASS_GLOBAL},
    {"2001:db8::1", ADDR_CLASS_GLOBAL},
    {"fbff::", ADDR_CLASS_GLOBAL},
    {"fc00::", ADDR_CLASS_PRIVATE},
    {"fdff:ffff::1", ADDR_CLASS_PRIVATE},
    {"fe00::", ADDR_CLASS_GLOBAL},
    {"fe7f:ffff::", ADDR_CLASS_GLOBAL},
    {"fe80::1", ADDR_CLASS_LINK_LOCAL},
    {"febf:ffff::1", ADDR_CLASS_LINK_LOCAL},
    {"fec0::", ADDR_CLASS_PRIVATE},
    {"feff:ffff::", ADDR_CLASS_PRIVATE},
    {"ff00::", ADDR_CLASS_MULTICAST},
    {"ff02::1", ADDR_CLASS_MULTICAST},
    {"fd00:ec2::254", ADDR_CLASS_METADATA},
    {"fd00:ec2::253", ADDR_CLASS_PRIVATE},
    {"::ffff:127.0.0.1", ADDR_CLASS_LOOPBACK},
    {"::ffff:169.254.169.254", ADDR_CLASS_METADATA},
    {"::ffff:192.0.2.1", ADDR_CLASS_GLOBAL},
    /* tunnels are not unwrapped here */
    {"2002:7f00:1::", ADDR_CLASS_GLOBAL},
    {"64:ff9b::127.0.0.1", ADDR_CLASS_GLOBAL},
};

START_TEST(addresses_have_their_class)
{
    struct addr a = ip(classes[_i].text);

    ck_assert_msg(addr_class(&a) == classes[_i].class, "%s is %s", classes[_i].text,
                  addr_class_name(addr_class(&a)));
}
END_TEST

START_TEST(no_address_is_unspecified)
{
    struct addr none = {.family = ADDR_NONE};

    ck_assert_int_eq(addr_class(&none), ADDR_CLASS_UNSPECIFIED);
}
END_TEST

START_TEST(class_names_are_the_words_of_the_configuration)
{
    ck_assert_str_eq(addr_class_name(ADDR_CLASS_GLOBAL), "global");
    ck_assert_str_eq(addr_class_name(ADDR_CLASS_LINK_LOCAL), "link_local");
    ck_assert_str_eq(addr_class_name(ADDR_CLASS_METADATA), "metadata");
    ck_assert_str_eq(addr_class_name(ADDR_CLASS_COUNT), "unknown");
    for (unsigned c = 0; c < ADDR_CLASS_COUNT; c++)
        ck_assert_ptr_nonnull(addr_class_name((enum addr_class)c));
}
END_TEST

static const struct {
    const char *text;
    unsigned n;
    const char *inside; /* NULL: there is none */
} tunnels[] = {
    {"::ffff:192.0.2.1", 0, "192.0.2.1"},
    {"::ffff:192.0.2.1", 1, NULL},
    {"::192.0.2.1", 0, "192.0.2.1"}, /* v4-compatible */
    {"::0.0.1.2", 0, "0.0.1.2"},
    {"::", 0, NULL},
    {"::1", 0, NULL},
    {"2002:c000:201::1", 0, "192.0.2.1"}, /* 6to4 */
    {"2002:c000:201::1", 1, NULL},
    {"2003:c000:201::1", 0, NULL},
    {"64:ff9b::192.0.2.1", 0, "192.0.2.1"}, /* NAT64 */
    {"64:ff9b::192.0.2.1", 1, NULL},
    {"64:ff9b:0:1::192.0.2.1", 0, NULL},
    {"64:ff9b:1::192.0.2.1", 0, "192.0.2.1"}, /* RFC 8215, /96 */
    {"64:ff9b:1::192.0.2.1", 1, NULL},
    {"64:ff9b:1:c000:2:100::", 1, "192.0.2.1"}, /* RFC 8215, /48: the "u" octet is between */
    {"64:ff9b:1:7f00:0:100::5", 1, "127.0.0.1"},
    {"64:ff9b:1:c000:2:100::", 2, NULL},
    {"64:ff9b:2::192.0.2.1", 0, NULL},
    {"2001:0:c000:201::", 0, "192.0.2.1"},          /* Teredo server */
    {"2001:0:c000:201::3fff:fdfe", 1, "192.0.2.1"}, /* Teredo client, inverted */
    {"2001:0:c000:201::", 2, NULL},
    {"2001:db8::1", 0, NULL},
    {"192.0.2.1", 0, NULL},
};

START_TEST(tunnels_show_the_ipv4_address_inside)
{
    struct addr a = ip(tunnels[_i].text);
    const struct addr before = {.family = 77};
    struct addr out = before;

    a.port = 80;
    ck_assert_msg(addr_embedded_ipv4(&a, tunnels[_i].n, &out) == (tunnels[_i].inside != NULL),
                  "%s", tunnels[_i].text);
    if (tunnels[_i].inside == NULL) {
        ck_assert_uint_eq(out.family, before.family);
        return;
    }
    struct addr want = ip(tunnels[_i].inside);
    want.port = 80;
    ck_assert_msg(addr_equal(&out, &want), "%s", tunnels[_i].text);
}
END_TEST

START_TEST(taking_one_after_the_other_ends)
{
    struct addr a = ip("64:ff9b:1:c000:2:100::"), out;
    unsigned n = 0;

    while (addr_embedded_ipv4(&a, n, &out))
        ck_assert_uint_lt(++n, 8); /* a caller that takes one after the other ends */
    ck_assert_uint_eq(n, 2);
}
END_TEST

int main(void)
{
    Suite *s = suite_create("addr_class");
    TCase *tc = tcase_create("addr_class");

    tcase_add_loop_test(tc, addresses_have_their_class, 0, sizeof classes / sizeof classes[0]);
    tcase_add_test(tc, no_address_is_unspecified);
    tcase_add_test(tc, class_names_are_the_words_of_the_configuration);
    tcase_add_loop_test(tc, tunnels_show_the_ipv4_address_inside, 0,
                        sizeof tunnels / sizeof tunnels[0]);
    tcase_add_test(tc, taking_one_after_the_other_ends);
    suite_add_tcase(s, tc);
    return runner_main(s);
}
