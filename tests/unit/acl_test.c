/* SPDX-License-Identifier: MIT */
#include "acl_fixture.h"
#include "runner.h"
#include <stdio.h>
#include <string.h>

static struct addr at(const char *text)
{
    struct addr a;

    ck_assert_msg(addr_parse(text, &a), "%s", text);
    return a;
}

static void parse(const char *rules, struct holder *h)
{
    struct conf_error err = {""};
    char text[2048];

    (void)snprintf(text, sizeof text, "{\"rules\": %s}", rules);
    ck_assert_msg(conf_load_text(text, "test", keys, h, sizeof *h, &err), "%s", err.text);
}

static bool is_own(const struct addr *a)
{
    const struct addr own[] = {at("203.0.113.1:0"), at("203.0.113.2:0"),
                               at("[2001:db8:f::1]:0")};

    for (size_t i = 0; i < ARRAY_LEN(own); i++) {
        if (addr_equal_ip(a, &own[i]))
            return true;
    }
    return false;
}

/* The host under test: a listener on one address, one on every address, the stats port on
 * loopback; two interfaces. */
static struct acl *make(const char *rules, enum acl_action fallback)
{
    const struct addr self[] = {
        at("203.0.113.1:5124"), at("[::]:1080"), at("127.0.0.1:9180"), {0}};
    struct holder h;

    parse(rules, &h);
    struct acl *a = acl_new(&h.rules, fallback, self, ARRAY_LEN(self), is_own);
    ck_assert_ptr_nonnull(a);
    conf_clear(keys, &h); /* whatever it needs it has copied */
    return a;
}

static void expect(const struct acl *a, const char *source, const char *user, const char *to,
                   const char *name, enum acl_action action, enum acl_cause cause, int rule)
{
    struct addr s = at(source), t = at(to);
    struct acl_verdict v = acl_check(a, &s, user, &t, name);

    ck_assert_msg(v.action == action && v.cause == cause && v.rule == rule,
                  "%s -> %s (%s): %s by %s, rule %d", source, to, name != NULL ? name : "-",
                  v.action == ACL_ALLOW ? "allowed" : "denied", acl_cause_name(v.cause),
                  v.rule);
}

#define CLIENT "192.0.2.9:40000"

static void allowed(const struct acl *a, const char *to, enum acl_cause cause, int rule)
{
    expect(a, CLIENT, NULL, to, NULL, ACL_ALLOW, cause, rule);
}

static void denied(const struct acl *a, const char *to, enum acl_cause cause, int rule)
{
    expect(a, CLIENT, NULL, to, NULL, ACL_DENY, cause, rule);
}

START_TEST(causes_have_the_names_of_the_stats)
{
    ck_assert_str_eq(acl_cause_name(ACL_CAUSE_DEFAULT), "default");
    ck_assert_str_eq(acl_cause_name(ACL_CAUSE_RULE), "rule");
    ck_assert_str_eq(acl_cause_name(ACL_CAUSE_DEFAULT_PRIVATE), "default_private");
    ck_assert_str_eq(acl_cause_name(ACL_CAUSE_SELF), "self");
}
END_TEST

START_TEST(without_rules_the_default_action_decides)
{
    struct acl *yes = make("[]", ACL_ALLOW), *no = make("[]", ACL_DENY);

    allowed(yes, "198.51.100.1:80", ACL_CAUSE_DEFAULT, -1);
    allowed(yes, "[2001:db8::1]:80", ACL_CAUSE_DEFAULT, -1);
    denied(no, "198.51.100.1:80", ACL_CAUSE_DEFAULT, -1);
    denied(no, "[2001:db8::1]:80", ACL_CAUSE_DEFAULT, -1);
    acl_free(yes);
    acl_free(no);
    acl_free(NULL);
}
END_TEST

/* One or more of each class, and how the same address looks through every tunnel. */
static const char *const special[] = {
    "127.0.0.1:80",
    "127.255.255.255:80",
    "[::1]:80",
    "10.0.0.1:80",
    "172.16.0.1:80",
    "172.31.255.255:80",
    "192.168.1.1:80",
    "[fc00::1]:80",
    "[fd12:3456::1]:80",
    "[fec0::1]:80",
    "100.64.0.1:80",
    "100.127.255.255:80",
    "169.254.1.1:80",
    "[fe80::1]:80",
    "169.254.169.254:80",
    "[fd00:ec2::254]:80",
    "224.0.0.1:80",
    "239.255.255.255:80",
    "[ff02::1]:80",
    "255.255.255.255:80",
    "240.0.0.1:80",
    "0.0.0.0:80",
    "0.1.2.3:80",
    "[::]:80",
    "[::ffff:127.0.0.1]:80",
    "[::ffff:10.0.0.1]:80",
    "[::ffff:169.254.169.254]:80",
    "[::ffff:0.0.0.0]:80",
    "[::ffff:224.0.0.1]:80",
    "[::127.0.0.1]:80",
    "[2002:7f00:1::]:80",
    "[2002:a00:1::1]:80",
    "[2002:a9fe:a9fe::]:80",
    "[2002:e000:1::]:80",
    "[64:ff9b::127.0.0.1]:80",
    "[64:ff9b::10.0.0.1]:80",
    "[64:ff9b:1::10.0.0.1]:80",
    "[64:ff9b::169.254.169.254]:80",
    "[2001:0:7f00:1:0:0:34ff:8ef6]:80",    /* Teredo: server 127.0.0.1 */
    "[2001:0:c633:6401:0:0:80ff:fffe]:80", /* Teredo: client 127.0.0.1, stored inverted */
    "[2001:0:c633:6401::f5ff:fffe]:80",    /* Teredo: client 10.0.0.1 */
};

START_TEST(special_addresses_are_refused_by_default)
{
    struct acl *a = make("[]", ACL_ALLOW);

    for (size_t i = 0; i < ARRAY_LEN(special); i++)
        denied(a, special[i], ACL_CAUSE_DEFAULT_PRIVATE, -1);
    acl_free(a);
}
END_TEST

START_TEST(sweeping_allow_rules_do_not_open_them)
{
    static const char *const sweeping[] = {
        "[{\"action\": \"allow\"}]",
        "[{\"action\": \"allow\", \"target\": [\"0.0.0.0/0\", \"::/0\"]}]",
        "[{\"action\": \"allow\", \"port\": [80], \"source\": [\"192.0.2.0/24\"]}]",
        "[{\"action\": \"allow\", \"target\": [\"example.net\"]}]",
        "[{\"action\": \"allow\", \"target\": [\"126.0.0.0/7\", \"8.0.0.0/6\", "
        "\"172.0.0.0/8\", \"192.0.0.0/8\"]}]",
        "[{\"action\": \"allow\", \"target\": [\"100.0.0.0/8\", \"169.0.0.0/8\", "
        "\"169.254.0.0/15\", \"fc00::/6\"]}]",
        "[{\"action\": \"allow\", \"target\": [\"fe00::/7\", \"fe80::/9\", \"::/127\", "
        "\"::ffff:0:0/96\"]}]",
        "[{\"action\": \"allow\", \"target\": [\"2002::/16\", \"64:ff9b::/96\", "
        "\"64:ff9b:1::/48\", \"2001::/32\"]}]",
    };

    for (size_t r = 0; r < ARRAY_LEN(sweeping); r++) {
        struct acl *a = make(sweeping[r], ACL_ALLOW);

        for (size_t i = 0; i < ARRAY_LEN(special); i++)
            expect(a, CLIENT, NULL, special[i], "example.net", ACL_DENY,
                   ACL_CAUSE_DEFAULT_PRIVATE, -1);
        acl_free(a);
    }
}
END_TEST

START_TEST(a_rule_that_means_the_class_opens_it)
{
    static const struct {
        const char *prefix, *inside, *outside; /* outside: same class, not in the prefix */
    } row[] = {
        {"127.0.0.0/8", "127.0.0.1:80", "[::1]:80"},
        {"127.0.0.1", "127.0.0.1:80", "127.0.0.2:80"},
        {"::1", "[::1]:80", "127.0.0.1:80"},
        {"10.0.0.0/8", "10.255.0.1:80", "192.168.0.1:80"},
        {"10.1.0.0/16", "10.1.2.3:80", "10.2.2.3:80"},
        {"172.16.0.0/12", "172.20.0.1:80", "10.0.0.1:80"},
        {"192.168.0.0/16", "192.168.0.1:80", "172.16.0.1:80"},
        {"fc00::/7", "[fd00::1]:80", "[fec0::1]:80"},
        {"fec0::/10", "[fec0::1]:80", "[fd00::1]:80"},
        {"100.64.0.0/10", "100.64.0.1:80", "10.0.0.1:80"},
        {"169.254.0.0/16", "169.254.1.1:80", "[fe80::1]:80"},
        {"fe80::/10", "[fe80::1]:80", "169.254.1.1:80"},
        {"169.254.169.254/32", "169.254.169.254:80", "169.254.1.1:80"},
        {"fd00:ec2::254", "[fd00:ec2::254]:80", "[fd00::1]:80"},
    };

    for (size_t i = 0; i < ARRAY_LEN(row); i++) {
        char rule[128];

        (void)snprintf(rule, sizeof rule, "[{\"action\": \"allow\", \"target\": [\"%s\"]}]",
                       row[i].prefix);
        struct acl *a = make(rule, ACL_ALLOW);
        allowed(a, row[i].inside, ACL_CAUSE_RULE, 0);
        denied(a, row[i].outside, ACL_CAUSE_DEFAULT_PRIVATE, -1);
        acl_free(a);
    }
}
END_TEST

START_TEST(metadata_opens_only_when_named_itself)
{
    struct acl *a = make("[{\"action\": \"allow\", \"target\": [\"169.254.0.0/16\", "
                         "\"169.254.169.254/31\", \"fd00::/8\"]}]",
                         ACL_ALLOW);

    allowed(a, "169.254.1.1:80", ACL_CAUSE_RULE, 0);
    allowed(a, "[fd00::1]:80", ACL_CAUSE_RULE, 0);
    denied(a, "169.254.169.254:80", ACL_CAUSE_DEFAULT_PRIVATE, -1);
    denied(a, "[fd00:ec2::254]:80", ACL_CAUSE_DEFAULT_PRIVATE, -1);
    acl_free(a);
}
END_TEST

START_TEST(multicast_broadcast_and_unspecified_never_open)
{
    static const char *const never[] = {"224.0.0.1", "255.255.255.255", "240.0.0.1", "0.0.0.0",
                                        "0.1.2.3"};
    static const char *const never6[] = {"ff02::1", "::"};
    char rule[128], to[64];

    for (size_t i = 0; i < ARRAY_LEN(never) + ARRAY_LEN(never6); i++) {
        bool v4 = i < ARRAY_LEN(never);
        const char *text = v4 ? never[i] : never6[i - ARRAY_LEN(never)];

        (void)snprintf(rule, sizeof rule, "[{\"action\": \"allow\", \"target\": [\"%s\"]}]",
                       text);
        (void)snprintf(to, sizeof to, v4 ? "%s:80" : "[%s]:80", text);
        struct acl *a = make(rule, ACL_ALLOW);
        denied(a, to, ACL_CAUSE_DEFAULT_PRIVATE, -1);
        acl_free(a);
    }
}
END_TEST

START_TEST(own_listeners_are_refused_whatever_the_rules_say)
{
    struct acl *a = make(
        "[{\"action\": \"allow\", \"target\": [\"203.0.113.0/24\", \"127.0.0.0/8\", \"::1\","
        " \"2001:db8:f::/48\"]}, {\"action\": \"allow\"}]",
        ACL_ALLOW);
    static const char *const self[] = {
        "203.0.113.1:5124", "[::ffff:203.0.113.1]:5124",
        "127.0.0.1:9180",   "203.0.113.1:1080",
        "203.0.113.2:1080", "[2001:db8:f::1]:1080", /* the wildcard listener */
        "127.0.0.1:1080",   "127.9.9.9:1080",
        "[::1]:1080",       "[::ffff:127.0.0.1]:1080",
        "0.0.0.0:1080",     "[::]:1080",
    };
    static const char *const tunnelled[] = {
        "[2002:cb00:7101::]:5124", "[64:ff9b::203.0.113.2]:1080", "[::203.0.113.1]:5124"};

    for (size_t i = 0; i < ARRAY_LEN(self); i++)
        denied(a, self[i], ACL_CAUSE_SELF, -1);
    for (size_t i = 0; i < ARRAY_LEN(tunnelled); i++)
        denied(a, tunnelled[i], ACL_CAUSE_SELF, -1);
    allowed(a, "203.0.113.2:5124", ACL_CAUSE_RULE, 0); /* that listener has one address */
    allowed(a, "203.0.113.1:80", ACL_CAUSE_RULE, 0);
    allowed(a, "203.0.113.3:1080", ACL_CAUSE_RULE, 0); /* not an address of this host */
    allowed(a, "127.0.0.1:80", ACL_CAUSE_RULE, 0);
    allowed(a, "127.0.0.2:9180", ACL_CAUSE_RULE, 0);
    allowed(a, "198.51.100.1:1080", ACL_CAUSE_RULE, 1);
    acl_free(a);
}
END_TEST

START_TEST(a_matching_deny_rule_is_named_before_self_and_class)
{
    struct acl *a = make("[{\"action\": \"deny\", \"target\": [\"127.0.0.0/8\"]}]", ACL_ALLOW);

    denied(a, "127.0.0.1:9180", ACL_CAUSE_RULE, 0);
    denied(a, "127.0.0.1:80", ACL_CAUSE_RULE, 0);
    denied(a, "10.0.0.1:80", ACL_CAUSE_DEFAULT_PRIVATE, -1);
    acl_free(a);
}
END_TEST

START_TEST(the_first_rule_that_applies_decides)
{
    struct acl *a =
        make("[{\"action\": \"deny\", \"target\": [\"198.51.100.7\"]},"
             " {\"action\": \"allow\", \"target\": [\"198.51.100.0/24\"]},"
             " {\"action\": \"deny\", \"target\": [\"198.51.0.0/16\", \"10.1.0.0/16\"]},"
             " {\"action\": \"allow\"},"
             " {\"action\": \"allow\", \"target\": [\"10.0.0.0/8\"]}]",
             ACL_DENY);

    denied(a, "198.51.100.7:80", ACL_CAUSE_RULE, 0);
    allowed(a, "198.51.100.8:80", ACL_CAUSE_RULE, 1);
    denied(a, "198.51.101.1:80", ACL_CAUSE_RULE, 2);
    allowed(a, "203.0.113.9:80", ACL_CAUSE_RULE, 3);
    allowed(a, "10.0.0.1:80", ACL_CAUSE_RULE,
            4); /* rule 3 does not mean private addresses: passed over */
    denied(a, "10.1.0.1:80", ACL_CAUSE_RULE, 2);
    denied(a, "192.168.0.1:80", ACL_CAUSE_DEFAULT_PRIVATE, -1);
    acl_free(a);
}
END_TEST

START_TEST(source_user_and_port_must_all_match)
{
    struct acl *a =
        make("[{\"action\": \"allow\", \"source\": [\"192.0.2.0/25\", \"2001:db8:c::/48\"],"
             " \"user\": [\"alice\", \"bob\"], \"port\": [25, \"6000-6100\", \"443\"]}]",
             ACL_DENY);
    static const struct {
        const char *source, *user, *to;
        bool match;
    } row[] = {
        {"192.0.2.1:1", "alice", "198.51.100.1:25", true},
        {"192.0.2.1:1", "bob", "198.51.100.1:6000", true},
        {"192.0.2.1:1", "bob", "198.51.100.1:6100", true},
        {"192.0.2.1:1", "bob", "198.51.100.1:443", true},
        {"[2001:db8:c::1]:1", "bob", "[2001:db8::1]:6050", true},
        {"[::ffff:192.0.2.1]:1", "bob", "[::ffff:198.51.100.1]:6050", true},
        {"192.0.2.128:1", "alice", "198.51.100.1:25", false},
        {"[2001:db8:d::1]:1", "alice", "198.51.100.1:25", false},
        {"192.0.2.1:1", "Alice", "198.51.100.1:25", false},
        {"192.0.2.1:1", "alic", "198.51.100.1:25", false},
        {"192.0.2.1:1", "", "198.51.100.1:25", false},
        {"192.0.2.1:1", NULL, "198.51.100.1:25", false},
        {"192.0.2.1:1", "alice", "198.51.100.1:24", false},
        {"192.0.2.1:1", "alice", "198.51.100.1:26", false},
        {"192.0.2.1:1", "alice", "198.51.100.1:5999", false},
        {"192.0.2.1:1", "alice", "198.51.100.1:6101", false},
    };

    for (size_t i = 0; i < ARRAY_LEN(row); i++)
        expect(a, row[i].source, row[i].user, row[i].to, NULL,
               row[i].match ? ACL_ALLOW : ACL_DENY,
               row[i].match ? ACL_CAUSE_RULE : ACL_CAUSE_DEFAULT, row[i].match ? 0 : -1);
    acl_free(a);
}
END_TEST

START_TEST(names_match_exactly_or_below_a_star)
{
    struct acl *a = make("[{\"action\": \"deny\", \"target\": [\"Host.example.net\", "
                         "\"*.Example.org\", \"192.0.2.55\"]}]",
                         ACL_ALLOW);
    static const struct {
        const char *name;
        bool match;
    } row[] = {
        {"host.example.net", true},
        {"HOST.EXAMPLE.NET", true},
        {"www.example.org", true},
        {"a.b.c.EXAMPLE.org", true},
        {"example.net", false},
        {"a.host.example.net", false},
        {"example.org", false},
        {"badexample.org", false},
        {"www.example.org.evil.example", false},
        {"host.example.ne", false},
        {"xhost.example.net", false},
        {".example.org", false},
        {"", false},
        {NULL, false},
    };

    for (size_t i = 0; i < ARRAY_LEN(row); i++)
        expect(a, CLIENT, NULL, "198.51.100.1:80", row[i].name,
               row[i].match ? ACL_DENY : ACL_ALLOW,
               row[i].match ? ACL_CAUSE_RULE : ACL_CAUSE_DEFAULT, row[i].match ? 0 : -1);
    denied(a, "192.0.2.55:80", ACL_CAUSE_RULE, 0); /* either is enough */
    acl_free(a);
}
END_TEST

/* DNS rebinding: the name is allowed, what it resolves to is not. */
START_TEST(an_allowed_name_does_not_open_a_private_address)
{
    struct acl *a =
        make("[{\"action\": \"allow\", \"target\": [\"*.example.net\"]}]", ACL_DENY);

    expect(a, CLIENT, NULL, "198.51.100.1:80", "www.example.net", ACL_ALLOW, ACL_CAUSE_RULE, 0);
    expect(a, CLIENT, NULL, "10.0.0.1:80", "www.example.net", ACL_DENY,
           ACL_CAUSE_DEFAULT_PRIVATE, -1);
    expect(a, CLIENT, NULL, "[64:ff9b::10.0.0.1]:80", "www.example.net", ACL_DENY,
           ACL_CAUSE_DEFAULT_PRIVATE, -1);
    acl_free(a);
}
END_TEST

START_TEST(tunnelled_addresses_must_pass_as_well)
{
    struct acl *a = make("[{\"action\": \"deny\", \"target\": [\"198.51.100.0/24\"]},"
                         " {\"action\": \"deny\", \"target\": [\"2002:cb00:7100::/40\"]}]",
                         ACL_ALLOW);
    struct acl *closed = make(
        "[{\"action\": \"allow\", \"target\": [\"2002::/16\", \"10.0.0.0/8\"]}]", ACL_DENY);

    denied(a, "198.51.100.1:80", ACL_CAUSE_RULE, 0);
    denied(a, "[::ffff:198.51.100.1]:80", ACL_CAUSE_RULE, 0);
    denied(a, "[::198.51.100.1]:80", ACL_CAUSE_RULE, 0);
    denied(a, "[2002:c633:6401::1]:80", ACL_CAUSE_RULE, 0);
    denied(a, "[64:ff9b::198.51.100.1]:80", ACL_CAUSE_RULE, 0);
    denied(a, "[64:ff9b:1::198.51.100.1]:80", ACL_CAUSE_RULE, 0);
    denied(a, "[2001:0:c633:6401::1]:80", ACL_CAUSE_RULE, 0);            /* Teredo server */
    denied(a, "[2001:0:cb00:7109:0:0:39cc:9bfe]:80", ACL_CAUSE_RULE, 0); /* Teredo client */
    denied(a, "[2002:cb00:7109::1]:80", ACL_CAUSE_RULE,
           1); /* the tunnel itself, not 203.0.113.9 */
    allowed(a, "203.0.113.9:80", ACL_CAUSE_DEFAULT, -1);
    allowed(a, "[2001:0:cb00:7109:0:0:34ff:8ef6]:80", ACL_CAUSE_DEFAULT, -1);
    denied(closed, "[2002:c633:6401::1]:80", ACL_CAUSE_DEFAULT,
           -1); /* 198.51.100.1 is not allowed */
    allowed(closed, "[2002:a00:1::1]:80", ACL_CAUSE_RULE, 0);
    acl_free(a);
    acl_free(closed);
}
END_TEST

/* --- configuration --- */

START_TEST(rules_survive_dump_and_parse)
{
    static const char rules[] =
        "[{\"action\": \"deny\", \"source\": [\"192.0.2.0/24\", \"2001:db8::/32\"], \"user\": "
        "[\"a b\"],"
        " \"target\": [\"203.0.113.0/24\", \"10.1.2.3/32\", \"Example.net\", "
        "\"*.example.org\"],"
        " \"port\": [25, \"6000-6100\"]},"
        " {\"action\": \"allow\", \"source\": [], \"user\": [], \"target\": [], \"port\": []}]";
    struct holder h;

    parse(rules, &h);
    ck_assert_uint_eq(h.rules.count, 2);
    json_t *dumped = acl_dump_rules(&h.rules), *wanted = json_loads(rules, 0, NULL);
    char *text = json_dumps(dumped, 0);
    ck_assert_msg(json_equal(dumped, wanted), "%s", text);
    free(text);
    json_decref(dumped);
    json_decref(wanted);
    acl_clear_rules(&h.rules);
    ck_assert_uint_eq(h.rules.count, 0);
    acl_clear_rules(&h.rules); /* idempotent */
}
END_TEST

START_TEST(bad_rules_are_named)
{
    static const struct {
        const char *rules, *path, *reason;
    } row[] = {
        {"{}", "rules: ", "array"},
        {"[1]", "rules[0]: ", "object"},
        {"[{}]", "rules[0].action: ", "required"},
        {"[{\"action\": \"maybe\"}]", "rules[0].action: ", "allow"},
        {"[{\"action\": \"deny\", \"targets\": []}]", "rules[0].targets: ", "unknown"},
        {"[{\"action\": \"deny\"}, {\"action\": \"deny\", \"source\": [\"192.0.2.1/24\"]}]",
         "rules[1].source[0]: ", "prefix"},
        {"[{\"action\": \"deny\", \"source\": [\"example.net\"]}]",
         "rules[0].source[0]: ", "prefix"},
        {"[{\"action\": \"deny\", \"user\": [7]}]", "rules[0].user[0]: ", "string"},
        {"[{\"action\": \"deny\", \"target\": \"192.0.2.1\"}]", "rules[0].target: ", "array"},
        {"[{\"action\": \"deny\", \"target\": [\"192.0.2.1\", 7]}]",
         "rules[0].target[1]: ", "host name"},
        {"[{\"action\": \"deny\", \"target\": [\"192.0.2.1/24\"]}]",
         "rules[0].target[0]: ", "host bits"},
        {"[{\"action\": \"deny\", \"target\": [\"192.0.2.0/33\"]}]",
         "rules[0].target[0]: ", "prefix"},
        {"[{\"action\": \"deny\", \"target\": [\"192.0.2\"]}]",
         "rules[0].target[0]: ", "prefix"},
        {"[{\"action\": \"deny\", \"target\": [\"192.0.2.256\"]}]",
         "rules[0].target[0]: ", "prefix"},
        {"[{\"action\": \"deny\", \"target\": [\"192.0.2.1:80\"]}]",
         "rules[0].target[0]: ", "prefix"},
        {"[{\"action\": \"deny\", \"target\": [\"\"]}]", "rules[0].target[0]: ", "host name"},
        {"[{\"action\": \"deny\", \"target\": [\"*\"]}]", "rules[0].target[0]: ", "host name"},
        {"[{\"action\": \"deny\", \"target\": [\"*.\"]}]", "rules[0].target[0]: ", "host name"},
        {"[{\"action\": \"deny\", \"target\": [\"*example.net\"]}]",
         "rules[0].target[0]: ", "host name"},
        {"[{\"action\": \"deny\", \"target\": [\"a.*.net\"]}]",
         "rules[0].target[0]: ", "host name"},
        {"[{\"action\": \"deny\", \"target\": [\"a..net\"]}]",
         "rules[0].target[0]: ", "host name"},
        {"[{\"action\": \"deny\", \"target\": [\"a.net.\"]}]",
         "rules[0].target[0]: ", "host name"},
        {"[{\"action\": \"deny\", \"target\": [\"*.192.0.2.1\"]}]",
         "rules[0].target[0]: ", "host name"},
        {"[{\"action\": \"deny\", \"port\": 25}]", "rules[0].port: ", "array"},
        {"[{\"action\": \"deny\", \"port\": [0]}]", "rules[0].port[0]: ", "port"},
        {"[{\"action\": \"deny\", \"port\": [25, 65536]}]", "rules[0].port[1]: ", "port"},
        {"[{\"action\": \"deny\", \"port\": [-1]}]", "rules[0].port[0]: ", "port"},
        {"[{\"action\": \"deny\", \"port\": [2.5]}]", "rules[0].port[0]: ", "port"},
        {"[{\"action\": \"deny\", \"port\": [\"\"]}]", "rules[0].port[0]: ", "port"},
        {"[{\"action\": \"deny\", \"port\": [\"65536\"]}]", "rules[0].port[0]: ", "port"},
        {"[{\"action\": \"deny\", \"port\": [\"4294967321\"]}]", "rules[0].port[0]: ", "port"},
        {"[{\"action\": \"deny\", \"port\": [\"0-5\"]}]", "rules[0].port[0]: ", "port"},
        {"[{\"action\": \"deny\", \"port\": [\"5-4\"]}]", "rules[0].port[0]: ", "port"},
        {"[{\"action\": \"deny\", \"port\": [\"5-\"]}]", "rules[0].port[0]: ", "port"},
        {"[{\"action\": \"deny\", \"port\": [\"5-6-7\"]}]", "rules[0].port[0]: ", "port"},
        {"[{\"action\": \"deny\", \"port\": [\" 5\"]}]", "rules[0].port[0]: ", "port"},
    };

    for (size_t i = 0; i < ARRAY_LEN(row); i++) {
        struct conf_error err = {""};
        struct holder h;
        char text[512], start[64];

        (void)snprintf(text, sizeof text, "{\"rules\": %s}", row[i].rules);
        (void)snprintf(start, sizeof start, "test:1: %s", row[i].path);
        ck_assert_msg(!conf_load_text(text, "test", keys, &h, sizeof h, &err), "%s", text);
        ck_assert_msg(strncmp(err.text, start, strlen(start)) == 0, "%s\n%s", text, err.text);
        ck_assert_msg(strstr(err.text, row[i].reason) != NULL, "%s\n%s", text, err.text);
    }
}
END_TEST

/* {"rules": [{"action": "deny", KEY: [ENTRY x count]}]} or, without a key, `count` rules. */
static bool loads_many(const char *key, const char *entry, size_t count)
{
    size_t cap = 128 + count * (strlen(entry) + 2), len = 0;
    char *text = malloc(cap);
    struct conf_error err;
    struct holder h;

    ck_assert_ptr_nonnull(text);
    len += (size_t)snprintf(
        text, cap,
        key == NULL ? "{\"rules\": [" : "{\"rules\": [{\"action\": \"deny\", \"%s\": [", key);
    for (size_t i = 0; i < count; i++)
        len += (size_t)snprintf(text + len, cap - len, "%s%s", i == 0 ? "" : ",", entry);
    (void)snprintf(text + len, cap - len, key == NULL ? "]}" : "]}]}");
    bool ok = conf_load_text(text, "test", keys, &h, sizeof h, &err);
    ck_assert_msg(ok || strstr(err.text, "more than") != NULL, "%s", err.text);
    if (ok)
        conf_clear(keys, &h);
    free(text);
    return ok;
}

START_TEST(lists_are_bounded)
{
    ck_assert(loads_many(NULL, "{\"action\": \"deny\"}", 1024));
    ck_assert(!loads_many(NULL, "{\"action\": \"deny\"}", 1025));
    ck_assert(loads_many("target", "\"192.0.2.1\"", 4096));
    ck_assert(!loads_many("target", "\"192.0.2.1\"", 4097));
    ck_assert(loads_many("port", "25", 256));
    ck_assert(!loads_many("port", "25", 257));
}
END_TEST

static Suite *acl_suite(void)
{
    Suite *s = suite_create("acl");
    TCase *t = tcase_create("all");

    tcase_add_test(t, causes_have_the_names_of_the_stats);
    tcase_add_test(t, without_rules_the_default_action_decides);
    tcase_add_test(t, special_addresses_are_refused_by_default);
    tcase_add_test(t, sweeping_allow_rules_do_not_open_them);
    tcase_add_test(t, a_rule_that_means_the_class_opens_it);
    tcase_add_test(t, metadata_opens_only_when_named_itself);
    tcase_add_test(t, multicast_broadcast_and_unspecified_never_open);
    tcase_add_test(t, own_listeners_are_refused_whatever_the_rules_say);
    tcase_add_test(t, a_matching_deny_rule_is_named_before_self_and_class);
    tcase_add_test(t, the_first_rule_that_applies_decides);
    tcase_add_test(t, source_user_and_port_must_all_match);
    tcase_add_test(t, names_match_exactly_or_below_a_star);
    tcase_add_test(t, an_allowed_name_does_not_open_a_private_address);
    tcase_add_test(t, tunnelled_addresses_must_pass_as_well);
    tcase_add_test(t, rules_survive_dump_and_parse);
    tcase_add_test(t, bad_rules_are_named);
    tcase_add_test(t, lists_are_bounded);
    suite_add_tcase(s, t);
    return s;
}

int main(void)
{
    return runner_main(acl_suite());
}
