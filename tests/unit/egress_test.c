/* SPDX-License-Identifier: MIT */
/* Policies as the file has them, asked about made-up clients: no socket is opened. */
#include "egress.h"
#include "options.h"
#include "runner.h"
#include <check.h>
#include <math.h>
#include <stdio.h>
#include <string.h>

enum { CLIENTS = 4000 };

static struct config *config;

/* The members of a policy called "default". */
static const struct egress_policy *policy(const char *members)
{
    struct conf_error err = {.text = ""};
    char text[2048];

    config_unref(config);
    (void)snprintf(text, sizeof text, "{\"egress\": [{\"name\": \"default\", %s}]}", members);
    config = options_load_text(text, "test.json", &err);
    ck_assert_msg(config != NULL, "%s", err.text);
    const struct egress_policy *p = config->listeners.item[0].egress;
    ck_assert_ptr_nonnull(p);
    return p;
}

static void forget(void)
{
    config_unref(config);
    config = NULL;
}

static struct addr address(const char *text)
{
    struct addr a = {.family = ADDR_NONE};

    if (text[0] != '\0' && !addr_parse(text, &a))
        ck_assert_msg(addr_parse_ip(text, strlen(text), &a), "%s", text);
    return a;
}

static enum outcome choose(const struct egress_policy *p, const char *client, const char *told,
                           const char *target, struct egress_choice *out)
{
    struct addr c = address(client), s = address(told), t = address(target);
    struct egress_question q = {.client = &c, .told = &s, .target = &t};

    return egress_choose(p, &q, out);
}

static const char *text_of(const struct egress_choice *c)
{
    static char text[ADDR_TEXT_MAX];

    return addr_print(&c->source, text, sizeof text);
}

static struct addr shared(const struct egress_policy *p, const char *client, const char *target)
{
    struct egress_choice c;

    ck_assert_int_eq(choose(p, client, "", target, &c), OUTCOME_OK);
    ck_assert(!c.transparent);
    return c.source;
}

static bool is_in(const char *prefix, const struct addr *a)
{
    struct prefix p;

    ck_assert(prefix_parse(prefix, &p));
    return prefix_contains(&p, a);
}

/* ---- every mode and family ---- */

START_TEST(each_mode_gives_what_it_promises)
{
    static const char share[] = "\"pool\": [\"198.51.100.9\", \"2001:db8:9::9\"]";
    static const char map[] =
        "\"ipv4\": \"one_to_one\", \"ipv6\": \"one_to_one\", \"map\": ["
        "{\"client\": \"192.0.2.0/26\", \"egress\": \"198.51.100.64/26\"},"
        "{\"client\": \"192.0.2.1\", \"egress\": \"198.51.100.1\"},"
        "{\"client\": \"192.0.2.0/26\", \"egress\": \"2001:db8:7::7\"},"
        "{\"client\": \"2001:db8::/48\", \"egress\": \"2001:db8:f::/48\"},"
        "{\"client\": \"2001:db8::/56\", \"egress\": \"198.51.100.2\"}]";
    static const char own[] = "\"ipv4\": \"preserve\", \"ipv6\": \"preserve\"";
    static const char keep[] =
        "\"ipv4\": \"preserve\", \"ipv6\": \"preserve\", \"keep_port\": true";
    static const char host[] =
        "\"ipv4\": \"preserve\", \"ipv6\": \"preserve_address\", \"assigned\": ["
        "{\"client\": \"2001:db8::/64\", \"prefixes\": [\"2001:db8:a::/56\"]},"
        "{\"client\": \"192.0.2.0/24\", \"prefixes\": [\"2001:db8:b::/56\"]}]";
    static const char host_port[] =
        "\"ipv6\": \"preserve_address\", \"keep_port\": true, \"assigned_prefix6\": 56";
    static const struct {
        const char *policy, *client, *told, *target;
        enum outcome outcome;
        const char *source; /* "-": the kernel's */
        bool transparent, freebind;
    } row[] = {
        {"\"ipv4\": \"share\"", "192.0.2.1:5", "", "203.0.113.1:80", OUTCOME_OK, "-", 0, 0},
        {share, "192.0.2.1:5", "", "203.0.113.1:80", OUTCOME_OK, "198.51.100.9:0", 0, 0},
        {share, "2001:db8::1", "", "203.0.113.1:80", OUTCOME_OK, "198.51.100.9:0", 0, 0},
        {share, "192.0.2.1:5", "", "[2001:db8:5::1]:80", OUTCOME_OK, "[2001:db8:9::9]:0", 0, 0},
        {share, "2001:db8::1", "2001:db8:66::1", "[2001:db8:5::1]:80", OUTCOME_OK,
         "[2001:db8:9::9]:0", 0, 0},
        {map, "192.0.2.5:5", "", "203.0.113.1:80", OUTCOME_OK, "198.51.100.69:0", 0, 0},
        {map, "192.0.2.1:5", "", "203.0.113.1:80", OUTCOME_OK, "198.51.100.1:0", 0, 0},
        {map, "192.0.2.1:5", "", "[2001:db8:5::1]:80", OUTCOME_OK, "[2001:db8:7::7]:0", 0, 0},
        {map, "2001:db8:0:1::5", "", "[2001:db8:5::1]:80", OUTCOME_OK, "[2001:db8:f:1::5]:0", 0,
         true},
        {map, "2001:db8:0:1::5", "", "203.0.113.1:80", OUTCOME_OK, "198.51.100.2:0", 0, 0},
        {map, "192.0.2.65:5", "", "203.0.113.1:80", OUTCOME_EGRESS_DENIED, "", 0, 0},
        {map, "2001:db8:1::5", "", "[2001:db8:5::1]:80", OUTCOME_EGRESS_DENIED, "", 0, 0},
        {own, "192.0.2.1:5", "", "203.0.113.1:80", OUTCOME_OK, "192.0.2.1:0", true, 0},
        {own, "[2001:db8::1]:5", "", "[2001:db8:5::1]:80", OUTCOME_OK, "[2001:db8::1]:0", true,
         0},
        {own, "[2001:db8::1]:5", "[2001:db8::2]:7", "[2001:db8:5::1]:80", OUTCOME_OK,
         "[2001:db8::1]:0", true, 0},
        {own, "192.0.2.1:5", "", "[2001:db8:5::1]:80", OUTCOME_EGRESS_DENIED, "", 0, 0},
        {own, "[2001:db8::1]:5", "", "203.0.113.1:80", OUTCOME_EGRESS_DENIED, "", 0, 0},
        {own, "127.0.0.1:5", "", "203.0.113.1:80", OUTCOME_EGRESS_DENIED, "", 0, 0},
        {own, "169.254.0.1:5", "", "203.0.113.1:80", OUTCOME_EGRESS_DENIED, "", 0, 0},
        {own, "[fe80::1]:5", "", "[2001:db8:5::1]:80", OUTCOME_EGRESS_DENIED, "", 0, 0},
        {own, "203.0.113.1:5", "", "203.0.113.1:80", OUTCOME_SOURCE_DENIED, "", 0, 0},
        {keep, "192.0.2.1:5", "", "203.0.113.1:80", OUTCOME_OK, "192.0.2.1:5", true, 0},
        {keep, "[2001:db8::1]:5", "", "[2001:db8:5::1]:80", OUTCOME_OK, "[2001:db8::1]:5", true,
         0},
        {host, "192.0.2.1:5", "", "203.0.113.1:80", OUTCOME_OK, "192.0.2.1:0", true, 0},
        {host, "2001:db8::1", "", "[2001:db8:5::1]:80", OUTCOME_OK, "[2001:db8::1]:0", true, 0},
        {host, "2001:db8::1", "[2001:db8:a:42::9]:7", "[2001:db8:5::1]:80", OUTCOME_OK,
         "[2001:db8:a:42::9]:0", true, 0},
        {host, "192.0.2.1:5", "2001:db8:b::9", "[2001:db8:5::1]:80", OUTCOME_OK,
         "[2001:db8:b::9]:0", true, 0},
        {host, "2001:db8::1", "2001:db8:b::9", "[2001:db8:5::1]:80", OUTCOME_SOURCE_DENIED, "",
         0, 0},
        {host, "2001:db8::1", "2001:db8::1", "[2001:db8:5::1]:80", OUTCOME_SOURCE_DENIED, "", 0,
         0},
        {host, "2001:db8::1", "192.0.2.1", "[2001:db8:5::1]:80", OUTCOME_SOURCE_DENIED, "", 0,
         0},
        {host, "2001:db8::1", "2001:db8:a::1", "[2001:db8:a::1]:80", OUTCOME_SOURCE_DENIED, "",
         0, 0},
        {host_port, "[2001:db8::1]:5", "[2001:db8:0:7::9]:7", "[2001:db8:5::1]:80", OUTCOME_OK,
         "[2001:db8:0:7::9]:7", true, 0},
        {host_port, "[2001:db8::1]:5", "[2001:db8:0:7::9]:0", "[2001:db8:5::1]:80", OUTCOME_OK,
         "[2001:db8:0:7::9]:0", true, 0},
        {host_port, "[2001:db8::1]:5", "[2001:db8:0:100::9]:7", "[2001:db8:5::1]:80",
         OUTCOME_SOURCE_DENIED, "", 0, 0},
        {host_port, "192.0.2.1:5", "[2001:db8:0:7::9]:7", "[2001:db8:5::1]:80",
         OUTCOME_SOURCE_DENIED, "", 0, 0},
    };

    for (size_t i = 0; i < ARRAY_LEN(row); i++) {
        struct egress_choice c = {.source = {.family = ADDR_NONE}};
        enum outcome o =
            choose(policy(row[i].policy), row[i].client, row[i].told, row[i].target, &c);

        ck_assert_msg(o == row[i].outcome, "row %zu: %s", i, outcome_name(o));
        if (o != OUTCOME_OK)
            continue;
        ck_assert_msg(strcmp(text_of(&c), row[i].source) == 0, "row %zu: %s", i, text_of(&c));
        ck_assert_msg(c.transparent == row[i].transparent && c.freebind == row[i].freebind,
                      "row %zu", i);
    }
    forget();
}
END_TEST

START_TEST(otherwise_share_takes_the_pool_or_the_kernels_choice)
{
    static const char *const mode[] = {
        "\"ipv4\": \"preserve\"",
        "\"ipv4\": \"one_to_one\", \"map\": [{\"client\": \"192.0.2.0/24\", "
        "\"egress\": \"198.51.100.0/24\"}]",
    };

    for (size_t i = 0; i < ARRAY_LEN(mode); i++) {
        char text[256];
        struct egress_choice c;

        (void)snprintf(text, sizeof text, "%s, \"otherwise\": \"share\", \"pool\": [\"%s\"]",
                       mode[i], "198.51.100.9");
        ck_assert_int_eq(choose(policy(text), "2001:db8::1", "", "203.0.113.1:80", &c),
                         OUTCOME_OK);
        ck_assert_str_eq(text_of(&c), "198.51.100.9:0");
        ck_assert(!c.transparent);
        (void)snprintf(text, sizeof text, "%s, \"otherwise\": \"share\"", mode[i]);
        ck_assert_int_eq(choose(policy(text), "2001:db8::1", "", "203.0.113.1:80", &c),
                         OUTCOME_OK);
        ck_assert_uint_eq(c.source.family, ADDR_NONE);
    }
    forget();
}
END_TEST

START_TEST(what_is_told_and_forged_is_never_shared)
{
    struct egress_choice c;
    const struct egress_policy *p =
        policy("\"ipv6\": \"preserve_address\", \"assigned_prefix6\": 56, \"otherwise\": "
               "\"share\", \"pool\": [\"2001:db8:9::9\"]");

    ck_assert_int_eq(choose(p, "2001:db8::1", "2001:db8:1::1", "[2001:db8:5::1]:80", &c),
                     OUTCOME_SOURCE_DENIED);
    ck_assert_int_eq(choose(p, "2001:db8::1", "192.0.2.1", "[2001:db8:5::1]:80", &c),
                     OUTCOME_SOURCE_DENIED);
    forget();
}
END_TEST

/* ---- the pool ---- */

static void client_text(unsigned n, char text[32])
{
    (void)snprintf(text, 32, "10.%u.%u.1:%u", n >> 8, n & 255, 1 + n);
}

START_TEST(a_subscriber_has_one_address_whatever_its_port_and_target)
{
    const struct egress_policy *p =
        policy("\"pool\": [\"198.51.100.0/28\", \"2001:db8:9::/48\"], "
               "\"subscriber_prefix4\": 24, \"subscriber_prefix6\": 56");

    struct addr a = shared(p, "192.0.2.1:5", "203.0.113.1:80");
    struct addr b = shared(p, "192.0.2.254:6", "203.0.113.99:443");
    ck_assert(addr_equal(&a, &b));
    a = shared(p, "[2001:db8:0:1::1]:5", "[2001:db8:5::1]:80");
    b = shared(p, "[2001:db8:0:ff::2]:6", "[2001:db8:5::2]:81");
    ck_assert(addr_equal(&a, &b));
    b = shared(p, "[2001:db8:0:100::2]:6", "[2001:db8:5::2]:81");
    ck_assert(!addr_equal(&a, &b));
    ck_assert(is_in("2001:db8:9::/48", &a) && is_in("2001:db8:9::/48", &b));
    forget();
}
END_TEST

/* Other processes and later versions must agree: these are what the first one chose. */
START_TEST(the_choice_is_the_same_in_every_process)
{
    const struct egress_policy *p =
        policy("\"pool\": [\"198.51.100.0/28\", \"203.0.113.64/26\", \"2001:db8:9::/48\"]");
    struct addr a = shared(p, "192.0.2.1:5", "203.0.113.1:80");
    struct addr b = shared(p, "[2001:db8::1]:5", "[2001:db8:5::1]:80");
    char text[ADDR_TEXT_MAX];

    ck_assert_str_eq(addr_print_ip(&a, text, sizeof text), "203.0.113.110");
    ck_assert_str_eq(addr_print_ip(&b, text, sizeof text),
                     "2001:db8:9:ddba:d932:a0e4:f228:88a8");
    forget();
}
END_TEST

/* Within five standard deviations: by chance it fails once in a million, but chance is fixed.
 */
static void check_share(unsigned got, unsigned all, double fraction)
{
    double wanted = all * fraction, spread = 5 * sqrt(wanted * (1 - fraction));

    ck_assert_msg(fabs(got - wanted) < spread, "%u of %u, not about %f", got, all, wanted);
}

START_TEST(subscribers_are_spread_by_the_size_of_the_entries)
{
    const struct egress_policy *p =
        policy("\"pool\": [\"198.51.100.1\", \"198.51.100.4/30\", \"203.0.113.0/29\", "
               "\"2001:db8:9::/64\"]");
    unsigned single = 0, four = 0, eight = 0, each[256] = {0};

    for (unsigned n = 0; n < CLIENTS; n++) {
        char text[32];

        client_text(n, text);
        struct addr a = shared(p, text, "203.0.113.200:80");
        single += is_in("198.51.100.1", &a);
        four += is_in("198.51.100.4/30", &a);
        eight += is_in("203.0.113.0/29", &a);
        each[a.ip[3]] += a.ip[0] == 203;
    }
    ck_assert_uint_eq(single + four + eight, CLIENTS);
    check_share(single, CLIENTS, 1.0 / 13);
    check_share(four, CLIENTS, 4.0 / 13);
    for (size_t i = 0; i < 8; i++)
        check_share(each[i], CLIENTS, 1.0 / 13);
    forget();
}
END_TEST

START_TEST(an_entry_that_goes_moves_only_its_own_subscribers)
{
    struct addr before[500];
    const struct egress_policy *p =
        policy("\"pool\": [\"198.51.100.1\", \"198.51.100.8/29\", \"203.0.113.0/28\"]");

    for (unsigned n = 0; n < ARRAY_LEN(before); n++) {
        char text[32];
        client_text(n, text);
        before[n] = shared(p, text, "203.0.113.200:80");
    }
    p = policy("\"pool\": [\"203.0.113.0/28\", \"198.51.100.1\"]");
    for (unsigned n = 0; n < ARRAY_LEN(before); n++) {
        char text[32];
        client_text(n, text);
        struct addr a = shared(p, text, "203.0.113.200:80");
        if (!is_in("198.51.100.8/29", &before[n]))
            ck_assert(addr_equal(&a, &before[n]));
    }
    forget();
}
END_TEST

START_TEST(only_preserving_modes_are_transparent)
{
    ck_assert(!egress_is_transparent(NULL));
    ck_assert(!egress_is_transparent(policy("\"ipv4\": \"share\"")));
    ck_assert(!egress_is_transparent(
        policy("\"ipv6\": \"one_to_one\", \"map\": [{\"client\": \"192.0.2.0/24\", "
               "\"egress\": \"2001:db8::1\"}]")));
    ck_assert(egress_is_transparent(policy("\"ipv4\": \"preserve\"")));
    ck_assert(egress_is_transparent(
        policy("\"ipv6\": \"preserve_address\", \"assigned_prefix6\": 56")));
    forget();
}
END_TEST

/* ---- the file ---- */

static void check_error(const char *text, const char *wanted)
{
    struct conf_error err = {.text = ""};

    ck_assert_msg(options_load_text(text, "test.json", &err) == NULL, "%s", text);
    ck_assert_str_eq(err.text, wanted);
}

static void check_policy_error(const char *members, const char *wanted)
{
    char text[1024], whole[512];

    (void)snprintf(text, sizeof text, "{\"egress\": [{\"name\": \"a\"}, {%s}]}", members);
    (void)snprintf(whole, sizeof whole, "test.json:1: egress[1]%s", wanted);
    check_error(text, whole);
}

START_TEST(bad_policies_are_named)
{
    check_error("{\"egress\": {}}",
                "test.json:1: egress: expected an array of egress policies");
    check_policy_error("\"ipv4\": \"share\"", ".name: is required");
    check_policy_error("\"name\": \"\"", ".name: must not be empty");
    check_policy_error("\"name\": \"a\"", ".name: another policy has it");
    check_policy_error("\"name\": \"b\", \"ipv4\": \"preserve_address\"",
                       ".ipv4: must be one of \"share\", \"one_to_one\", \"preserve\"");
    check_policy_error("\"name\": \"b\", \"pool\": [\"192.0.2.1\", \"224.0.0.0/24\"]",
                       ".pool[1]: nothing can leave from multicast addresses");
    check_policy_error("\"name\": \"b\", \"pool\": [\"::/0\"]",
                       ".pool[0]: nothing can leave from unspecified addresses");
    check_policy_error("\"name\": \"b\", \"ipv4\": \"one_to_one\"",
                       ".map: one_to_one needs rows with an egress of its family");
    check_policy_error("\"name\": \"b\", \"ipv6\": \"preserve_address\"",
                       ".assigned: preserve_address needs rows here or assigned_prefix6");
    check_policy_error("\"name\": \"b\", \"keep_port\": true",
                       ".keep_port: needs a preserving mode");
    check_policy_error("\"name\": \"b\", \"subscriber_prefix4\": 33",
                       ".subscriber_prefix4: must be 1 to 32 bits");
}
END_TEST

START_TEST(bad_rows_are_named)
{
    check_policy_error("\"name\": \"b\", \"map\": {}", ".map: expected an array of objects");
    check_policy_error("\"name\": \"b\", \"map\": [{\"client\": \"192.0.2.0/24\"}]",
                       ".map[0].egress: is required");
    check_policy_error("\"name\": \"b\", \"map\": [{\"client\": \"192.0.2.1/24\", \"egress\": "
                       "\"198.51.100.1\"}]",
                       ".map[0].client: expected an address or a prefix without host bits, "
                       "such as \"192.0.2.0/24\"");
    check_policy_error("\"name\": \"b\", \"map\": [{\"client\": \"192.0.2.0/24\", \"egress\": "
                       "\"198.51.100.0/25\"}]",
                       ".map[0].egress: must be an address, or a prefix of the client's family "
                       "and length (/24)");
    check_policy_error("\"name\": \"b\", \"map\": [{\"client\": \"192.0.2.0/24\", \"egress\": "
                       "\"2001:db8::/24\"}]",
                       ".map[0].egress: expected an address or a prefix without host bits, "
                       "such as \"192.0.2.0/24\"");
    check_policy_error("\"name\": \"b\", \"map\": [{\"client\": \"192.0.2.0/24\", \"egress\": "
                       "\"127.0.0.1\"}]",
                       ".map[0].egress: nothing can leave from loopback addresses");
    check_policy_error("\"name\": \"b\", \"map\": [{\"client\": \"192.0.2.1\", \"egress\": "
                       "\"198.51.100.1\"}, {\"client\": \"192.0.2.1\", \"egress\": "
                       "\"2001:db8::1\"}, {\"client\": \"192.0.2.1\", \"egress\": "
                       "\"198.51.100.2\"}]",
                       ".map[2].client: has a row already");
    check_policy_error("\"name\": \"b\", \"assigned\": [{\"client\": \"192.0.2.1\", "
                       "\"prefixes\": [\"2001:db8::/56\"]}, {\"client\": \"192.0.2.1/32\", "
                       "\"prefixes\": [\"2001:db8::/56\"]}]",
                       ".assigned[1].client: has a row already");
}
END_TEST

START_TEST(a_listener_finds_its_policy)
{
    struct conf_error err = {.text = ""};

    check_error("{\"listeners\": [{\"name\": \"x\", \"address\": \"[::]:1\", \"egress\": "
                "\"gold\"}]}",
                "test.json:1: listeners[0].egress: there is no policy \"gold\" in egress");
    config = options_load_text("{\"egress\": [{\"name\": \"gold\"}], \"listeners\": ["
                               "{\"name\": \"x\", \"address\": \"[::]:1\", \"egress\": "
                               "\"gold\"}, {\"name\": \"y\", \"address\": \"[::]:2\"}]}",
                               "test.json", &err);
    ck_assert_msg(config != NULL, "%s", err.text);
    ck_assert_str_eq(config->listeners.item[0].egress->name, "gold");
    ck_assert_ptr_null(config->listeners.item[1].egress);
    forget();
}
END_TEST

static Suite *egress_suite(void)
{
    Suite *s = suite_create("egress");
    TCase *tc = tcase_create("egress");

    tcase_add_test(tc, each_mode_gives_what_it_promises);
    tcase_add_test(tc, otherwise_share_takes_the_pool_or_the_kernels_choice);
    tcase_add_test(tc, what_is_told_and_forged_is_never_shared);
    tcase_add_test(tc, a_subscriber_has_one_address_whatever_its_port_and_target);
    tcase_add_test(tc, the_choice_is_the_same_in_every_process);
    tcase_add_test(tc, subscribers_are_spread_by_the_size_of_the_entries);
    tcase_add_test(tc, an_entry_that_goes_moves_only_its_own_subscribers);
    tcase_add_test(tc, only_preserving_modes_are_transparent);
    tcase_add_test(tc, bad_policies_are_named);
    tcase_add_test(tc, bad_rows_are_named);
    tcase_add_test(tc, a_listener_finds_its_policy);
    suite_add_tcase(s, tc);
    return s;
}

int main(void)
{
    return runner_main(egress_suite());
}
