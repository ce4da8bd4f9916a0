/* SPDX-License-Identifier: MIT */
#include "options.h"
#include "policy.h"
#include "policy_conf.h"
#include "runner.h"
#include <errno.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

static struct config *load(const char *text)
{
    struct conf_error err = {""};
    struct config *c = options_load_text(text, "test.json", &err);

    ck_assert_msg(c != NULL, "%s", err.text);
    return c;
}

static void check_error(const char *policies, const char *wanted)
{
    struct conf_error err = {""};
    char text[512], message[512];

    (void)snprintf(text, sizeof text, "{\"policies\": %s}", policies);
    (void)snprintf(message, sizeof message, "test.json:1: policies%s", wanted);
    ck_assert_msg(options_load_text(text, "test.json", &err) == NULL, "%s", text);
    ck_assert_str_eq(err.text, message);
}

static struct addr ip(const char *text)
{
    struct addr a;

    ck_assert(addr_parse_ip(text, strlen(text), &a));
    return a;
}

/* ---- values ---- */

START_TEST(dscp_names_and_numbers)
{
    static const struct {
        const char *text;
        int value;
    } c[] = {
        {"EF", 46},         {"ef", 46},   {"Va", 44},  {"LE", 1},    {"DF", 0},
        {"CS0", 0},         {"CS1", 8},   {"cs7", 56}, {"AF11", 10}, {"AF23", 22},
        {"AF41", 34},       {"AF43", 38}, {"0", 0},    {"9", 9},     {"63", 63},
        {"07", 7},          {"64", -1},   {"063", -1}, {"", -1},     {"CS8", -1},
        {"AF44", -1},       {"AF1", -1},  {"EF ", -1}, {"-1", -1},   {"0x2e", -1},
        {"4294967342", -1},
    };

    for (size_t i = 0; i < ARRAY_LEN(c); i++) {
        uint8_t out = 99;

        ck_assert_msg(policy_dscp_parse(c[i].text, &out) == (c[i].value >= 0), "%s", c[i].text);
        ck_assert_int_eq(out, c[i].value >= 0 ? c[i].value : 99);
    }
}
END_TEST

START_TEST(a_policy_is_read_and_dumped)
{
    struct config *c = load(
        "{\"policies\": [{\"name\": \"gold\", \"users\": [\"zoe\", \"al\"], \"sources\": "
        "[\"192.0.2.0/24\"], \"client\": {\"congestion_control\": \"reno\", \"dscp\": "
        "\"AF41\"}, \"upstream\": {\"dscp\": 0, \"mss\": 88}}, {\"name\": \"_\", \"client\": "
        "{\"mss\": 1400}}]}");
    const struct policy *p = &c->policies.item[0];

    ck_assert_uint_eq(c->policies.count, 2);
    ck_assert_str_eq(p->client.congestion_control, "reno");
    ck_assert(p->client.dscp.set && p->client.dscp.value == 34);
    ck_assert(!p->client.mark.set && p->client.mss == 0);
    ck_assert(p->upstream.dscp.set && p->upstream.dscp.value == 0 && p->upstream.mss == 88);
    ck_assert(!policy_leg_empty(&p->upstream) &&
              policy_leg_empty(&c->policies.item[1].upstream));
    char *text = options_dump_text(c, false);
    struct config *again = load(text);
    ck_assert_str_eq(c->sha256, again->sha256);
    ck_assert_ptr_nonnull(policy_of_user(&again->policies, "zoe"));
    config_unref(again);
    config_unref(c);
    free(text);
}
END_TEST

START_TEST(marks_are_numbers_of_32_bits)
{
    static const struct {
        const char *text;
        uint32_t value;
    } good[] = {{"0", 0},
                {"1", 1},
                {"4294967295", UINT32_MAX},
                {"\"0x0\"", 0},
                {"\"0x6d70\"", 0x6d70},
                {"\"0xFFFFFFFF\"", UINT32_MAX}};
    static const char *const bad[] = {"-1",     "4294967296", "1.5",      "true",
                                      "\"\"",   "\"0x\"",     "\"0x1g\"", "\"0x100000000\"",
                                      "\"17\"", "\"0x-1\"",   "[1]"};
    const struct conf_key *key = policy_keys();

    while (strcmp(key->path, "client.mark") != 0)
        key++;
    for (size_t i = 0; i < ARRAY_LEN(bad); i++) {
        char text[128];

        (void)snprintf(text, sizeof text, "[{\"name\": \"x\", \"client\": {\"mark\": %s}}]",
                       bad[i]);
        check_error(text, "[0].client.mark: expected a number of 32 bits, or one such as "
                          "\"0x6d70\"");
    }
    for (size_t i = 0; i < ARRAY_LEN(good); i++) {
        json_t *value = json_loads(good[i].text, JSON_DECODE_ANY, NULL);
        struct policy_mark mark = {.set = false};

        ck_assert(key->parse(NULL, value, &mark)); /* nothing to report: no place is needed */
        ck_assert(mark.set && mark.value == good[i].value);
        json_decref(value);
    }
}
END_TEST

START_TEST(what_is_wrong_is_said_of_its_key)
{
    check_error("{}", ": expected an array of policies");
    check_error("[{}]", "[0].name: is required");
    check_error("[{\"name\": \"a b\"}]",
                "[0].name: expected 1 to 64 letters, digits, '-' or '_'");
    check_error("[{\"name\": \"a\"}, {\"name\": \"a\"}]",
                "[1].name: another policy has the same name");
    check_error("[{\"name\": \"a\", \"client\": {\"dscp\": 64}}]",
                "[0].client.dscp: expected a number to 63, or a name such as \"EF\", \"AF41\" "
                "or \"CS1\"");
    check_error("[{\"name\": \"a\", \"upstream\": {\"dscp\": \"best\"}}]",
                "[0].upstream.dscp: expected a number to 63, or a name such as \"EF\", "
                "\"AF41\" or \"CS1\"");
    check_error("[{\"name\": \"a\", \"upstream\": {\"mss\": 87}}]",
                "[0].upstream.mss: must be 0, or 88 to 32767 octets");
    check_error("[{\"name\": \"a\", \"client\": {\"congestion_control\": \"../x\"}}]",
                "[0].client.congestion_control: is no name of a congestion control");
    check_error(
        "[{\"name\": \"a\", \"client\": {\"congestion_control\": \"sixteen_letters_\"}}]",
        "[0].client.congestion_control: is no name of a congestion control");
    check_error("[{\"name\": \"a\", \"users\": [\"u\"], \"client\": {\"mss\": 1400}}]",
                "[0].client.mss: cannot be a user's or source's: the SYN-ACK has told the "
                "client its size before anybody knows who that is");
    check_error("[{\"name\": \"a\", \"users\": [\"u\", \"v\"]}, {\"name\": \"b\", \"users\": "
                "[\"u\"]}]",
                ": user \"u\" is named twice, in \"a\" and \"b\"");
}
END_TEST

START_TEST(a_listeners_policy_must_be_there)
{
    struct conf_error err = {""};
    struct config *c =
        load("{\"policies\": [{\"name\": \"p\"}], \"listeners\": [{\"name\": \"a\", "
             "\"address\": \"[::]:1\", \"policy\": \"p\"}]}");

    ck_assert_ptr_eq(c->listeners.item[0].applied, &c->policies.item[0]);
    config_unref(c);
    c = options_load_text("{\"listeners\": [{\"name\": \"a\", \"address\": \"[::]:1\", "
                          "\"policy\": \"p\"}]}",
                          "t", &err);
    ck_assert_ptr_null(c);
    ck_assert_str_eq(err.text, "t:1: listeners[0].policy: there is no policy \"p\"");
}
END_TEST

START_TEST(an_unknown_congestion_control_is_an_error_that_lists_the_known)
{
    struct conf_error err = {""};

    ck_assert_ptr_null(options_load_text("{\"policies\": [{\"name\": \"a\", \"upstream\": "
                                         "{\"congestion_control\": \"nonesuch\"}}]}",
                                         "t", &err));
    ck_assert_ptr_nonnull(strstr(err.text,
                                 "policies[0].upstream.congestion_control: the kernel "
                                 "has no \"nonesuch\"; net.ipv4.tcp_available_"
                                 "congestion_control: "));
    ck_assert_ptr_nonnull(strstr(err.text, "reno"));
}
END_TEST

/* ---- whose ---- */

START_TEST(users_and_sources_are_found)
{
    struct config *c =
        load("{\"policies\": [{\"name\": \"a\", \"users\": [\"m\", \"b\"], \"sources\": "
             "[\"192.0.2.0/25\"]}, {\"name\": \"b\", \"users\": [\"a\", \"z\"], \"sources\": "
             "[\"192.0.2.0/24\", \"2001:db8::/32\"]}]}");
    const struct policy_list *all = &c->policies;
    struct addr low = ip("192.0.2.1"), high = ip("192.0.2.200"), other = ip("198.51.100.1"),
                ipv6 = ip("2001:db8::1");

    ck_assert_str_eq(policy_of_user(all, "m")->name, "a");
    ck_assert_str_eq(policy_of_user(all, "b")->name, "a");
    ck_assert_str_eq(policy_of_user(all, "a")->name, "b");
    ck_assert_str_eq(policy_of_user(all, "z")->name, "b");
    ck_assert_ptr_null(policy_of_user(all, "c"));
    ck_assert_ptr_null(policy_of_user(all, NULL));
    ck_assert_str_eq(policy_of_source(all, &low)->name, "a");
    ck_assert_str_eq(policy_of_source(all, &high)->name, "b");
    ck_assert_str_eq(policy_of_source(all, &ipv6)->name, "b");
    ck_assert_ptr_null(policy_of_source(all, &other));
    ck_assert_ptr_null(policy_named(all, "c"));
    config_unref(c);
}
END_TEST

START_TEST(one_is_laid_over_the_other)
{
    char reno[] = "reno", cubic[] = "cubic";
    struct policy_leg base = {.congestion_control = reno, .mark = {true, 1}, .mss = 1000};
    struct policy_leg over = {.congestion_control = cubic, .dscp = {true, 0}};
    struct policy_leg both = policy_leg_merge(&base, &over),
                      none = policy_leg_merge(NULL, NULL);

    ck_assert_str_eq(both.congestion_control, "cubic");
    ck_assert(both.dscp.set && both.dscp.value == 0);
    ck_assert(both.mark.set && both.mark.value == 1 && both.mss == 1000);
    ck_assert(policy_leg_empty(&none));
    over = (struct policy_leg){.mark = {true, 0}, .mss = 88};
    both = policy_leg_merge(&base, &over);
    ck_assert(both.mark.value == 0 && both.mss == 88 && !both.dscp.set);
}
END_TEST

/* ---- sockets ---- */

static const struct policy_families ipv6 = {.ipv4 = true, .ipv6 = true};

static int number(int fd, int level, int name)
{
    int value = -1;
    socklen_t len = sizeof value;

    ck_assert_int_eq(getsockopt(fd, level, name, &value, &len), 0);
    return value;
}

static void check_congestion(int fd, const char *wanted)
{
    char name[16] = "";
    socklen_t len = sizeof name;

    ck_assert_int_eq(getsockopt(fd, IPPROTO_TCP, TCP_CONGESTION, name, &len), 0);
    ck_assert_str_eq(name, wanted);
}

START_TEST(a_socket_gets_what_is_said_and_loses_it_again)
{
    int fd = socket(AF_INET6, SOCK_STREAM | SOCK_CLOEXEC, 0);
    char reno[] = "reno", usual[16] = "";
    socklen_t len = sizeof usual;
    struct policy_leg leg = {.congestion_control = reno, .dscp = {true, 46}, .mss = 1000};

    ck_assert_int_ge(fd, 0);
    ck_assert_int_eq(getsockopt(fd, IPPROTO_TCP, TCP_CONGESTION, usual, &len), 0);
    ck_assert_int_eq(policy_replace(fd, ipv6, NULL, NULL), 0);
    ck_assert_int_eq(policy_replace(fd, ipv6, NULL, &leg), 0);
    check_congestion(fd, "reno");
    ck_assert_int_eq(number(fd, IPPROTO_IP, IP_TOS), 46 << 2);
    ck_assert_int_eq(number(fd, IPPROTO_IPV6, IPV6_TCLASS), 46 << 2);
    ck_assert_int_eq(number(fd, IPPROTO_TCP, TCP_MAXSEG), 1000);
    ck_assert_int_eq(policy_replace(fd, ipv6, &leg, NULL), 0);
    check_congestion(fd, usual);
    ck_assert_int_eq(number(fd, IPPROTO_IP, IP_TOS), 0);
    ck_assert_int_eq(number(fd, IPPROTO_IPV6, IPV6_TCLASS), 0);
    ck_assert_int_eq(close(fd), 0);
}
END_TEST

START_TEST(what_the_kernel_refuses_is_told)
{
    char nonesuch[] = "nonesuch";
    int fd = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);

    ck_assert_int_eq(
        policy_apply(fd, ipv6, &(struct policy_leg){.congestion_control = nonesuch}), -ENOENT);
    ck_assert_int_eq(policy_apply(fd, ipv6, &(struct policy_leg){.mss = 1}), -EINVAL);
    ck_assert_int_eq(close(fd), 0);
    ck_assert_int_eq(policy_apply(-1, ipv6, &(struct policy_leg){.mark = {true, 1}}), -EBADF);
    ck_assert_int_eq(policy_apply(-1, ipv6, &(struct policy_leg){.dscp = {true, 1}}), 0);
}
END_TEST

START_TEST(an_empty_leg_asks_for_nothing)
{
    struct policy_leg none = {.mss = 0};

    ck_assert_int_eq(policy_apply(-1, ipv6, &none), 0);
    ck_assert_int_eq(policy_replace(-1, ipv6, &none, &none), 0);
    ck_assert_int_eq(policy_replace(-1, ipv6, &(struct policy_leg){.mss = 9},
                                    &(struct policy_leg){.mss = 9}),
                     0);
}
END_TEST

static Suite *policy_suite(void)
{
    Suite *s = suite_create("policy");
    TCase *tc = tcase_create("policy");

    tcase_add_test(tc, dscp_names_and_numbers);
    tcase_add_test(tc, a_policy_is_read_and_dumped);
    tcase_add_test(tc, marks_are_numbers_of_32_bits);
    tcase_add_test(tc, what_is_wrong_is_said_of_its_key);
    tcase_add_test(tc, a_listeners_policy_must_be_there);
    tcase_add_test(tc, an_unknown_congestion_control_is_an_error_that_lists_the_known);
    tcase_add_test(tc, users_and_sources_are_found);
    tcase_add_test(tc, one_is_laid_over_the_other);
    tcase_add_test(tc, a_socket_gets_what_is_said_and_loses_it_again);
    tcase_add_test(tc, what_the_kernel_refuses_is_told);
    tcase_add_test(tc, an_empty_leg_asks_for_nothing);
    suite_add_tcase(s, tc);
    return s;
}

int main(void)
{
    return runner_main(policy_suite());
}
