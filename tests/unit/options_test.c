/* SPDX-License-Identifier: MIT */
/* With an argument: --reference prints the tables of docs/operations.md, --defaults prints
 * conf/mpconvertd.json. */
#include "acl.h"
#include "auth.h"
#include "base/check.h"
#include "cookie.h"
#include "options.h"
#include "policy_conf.h"
#include "reference.h"
#include "runner.h"
#include "tempfile.h"
#include <openssl/evp.h>
#include <string.h>

static struct config *load(const char *text)
{
    struct conf_error err = {""};
    struct config *c = options_load_text(text, "test.json", &err);

    ck_assert_msg(c != NULL, "%s", err.text);
    return c;
}

static void check_error(const char *text, const char *wanted)
{
    struct conf_error err = {""};

    ck_assert_msg(options_load_text(text, "test.json", &err) == NULL, "%s", text);
    ck_assert_str_eq(err.text, wanted);
}

static struct addr addr_of(const char *text)
{
    struct addr a;

    ck_assert(addr_parse(text, &a));
    return a;
}

static bool contains(const struct conf_prefixes *list, const char *ip)
{
    struct addr a;

    ck_assert(addr_parse_ip(ip, strlen(ip), &a));
    for (size_t i = 0; i < list->count; i++)
        if (prefix_contains(&list->item[i], &a))
            return true;
    return false;
}

static struct acl_verdict verdict(const struct config *c, const char *to)
{
    struct addr source = addr_of("127.0.0.1:5000"), target = addr_of(to);

    return acl_check(c->acl, &source, NULL, &target, NULL);
}

/* ---- defaults ---- */

START_TEST(default_listener_speaks_three_dialects_on_every_address)
{
    struct config *c = load("{}");
    const struct listener_options *l = c->listeners.item;
    struct addr wanted = addr_of("[::]:1080");

    ck_assert_uint_eq(c->listeners.count, 1);
    ck_assert_str_eq(l->name, "main");
    ck_assert(addr_equal(&l->address, &wanted));
    ck_assert_uint_eq(l->protocols, PROTOCOL_BIT(PROTOCOL_SOCKS5) |
                                        PROTOCOL_BIT(PROTOCOL_MP_CONVERT) |
                                        PROTOCOL_BIT(PROTOCOL_CONVERT));
    ck_assert(l->mptcp && l->fastopen);
    ck_assert_uint_eq(l->backlog, 4096);
    config_unref(c);
}
END_TEST

START_TEST(default_is_no_open_proxy)
{
    static const char *const customers[] = {"127.0.0.1",   "::1",         "10.1.2.3",
                                            "172.31.0.1",  "192.168.9.9", "100.127.0.1",
                                            "169.254.1.1", "fd00::1",     "fe80::1"};
    static const char *const others[] = {"192.0.2.1",   "198.51.100.1", "203.0.113.1",
                                         "2001:db8::1", "172.32.0.1",   "100.128.0.1",
                                         "11.0.0.1"};
    struct config *c = load("{}");

    for (size_t i = 0; i < ARRAY_LEN(customers); i++)
        ck_assert_msg(contains(&c->clients.allow, customers[i]) &&
                          contains(&c->clients.trusted, customers[i]),
                      "%s", customers[i]);
    for (size_t i = 0; i < ARRAY_LEN(others); i++)
        ck_assert_msg(!contains(&c->clients.allow, others[i]) &&
                          !contains(&c->clients.trusted, others[i]),
                      "%s", others[i]);
    config_unref(c);
}
END_TEST

START_TEST(default_denies_loopback_and_private_targets)
{
    struct config *c = load("{}");

    ck_assert_int_eq(verdict(c, "192.0.2.1:443").action, ACL_ALLOW);
    ck_assert_int_eq(verdict(c, "127.0.0.1:443").action, ACL_DENY);
    ck_assert_int_eq(verdict(c, "10.0.0.1:443").action, ACL_DENY);
    config_unref(c);
}
END_TEST

START_TEST(default_values_are_those_of_the_design)
{
    struct config *c = load("{}");
    struct addr stats = addr_of("127.0.0.1:9180");

    ck_assert_uint_gt(strlen(c->node), 0);
    ck_assert_uint_eq(c->workers, 0);
    ck_assert(addr_equal(&c->stats.address, &stats));
    ck_assert_uint_eq(c->limits.sessions, 50000);
    ck_assert_uint_eq(c->limits.sessions_per_source, 4096);
    ck_assert_uint_eq(c->limits.connects_per_source, 256);
    ck_assert_uint_eq(c->limits.errors_per_second, 50);
    ck_assert_uint_eq(c->limits.source_prefix6, 64);
    ck_assert_uint_eq(c->timeouts.header_ms, 5000);
    ck_assert_uint_eq(c->timeouts.socks_header_ms, 10000);
    ck_assert_uint_eq(c->timeouts.connect_ms, 30000);
    ck_assert_uint_eq(c->timeouts.attempt_delay_ms, 250);
    ck_assert_uint_eq(c->timeouts.resolution_delay_ms, 50);
    ck_assert_uint_eq(c->timeouts.idle_ms, 7440000);
    ck_assert_uint_eq(c->timeouts.half_closed_ms, 240000);
    ck_assert_uint_eq(c->timeouts.linger_ms, 10000);
    ck_assert_uint_eq(c->timeouts.drain_ms, 30000);
    ck_assert_uint_eq(c->timeouts.keepalive_ms, 300000);
    ck_assert_int_eq(c->mp_convert.m_bit, MPCONVERT_M_DRAFT);
    ck_assert(!c->mp_convert.require_syn_data && !c->mp_convert.require_mptcp);
    ck_assert(!c->socks5.strict_reserved && !c->socks5.resolve);
    ck_assert_int_eq(c->upstream.offer.mode, OFFER_MODE_OFF);
    ck_assert(!c->upstream.fastopen && c->upstream.hairpin);
    ck_assert_int_eq(c->upstream.prefer, PREFER_IPV6);
    ck_assert_uint_eq(c->relay.early_max, 65536);
    ck_assert_uint_eq(c->relay.receive_buffer, 4194304);
    ck_assert(c->relay.tfo_wait && c->relay.tfo_window && c->relay.splice);
    ck_assert_int_eq(c->log.format, LOG_FORMAT_LOGFMT);
    ck_assert_int_eq(c->log.level, LOG_LEVEL_INFO);
    ck_assert_int_eq(c->log.destination, LOG_DESTINATION_NONE);
    ck_assert_ptr_null(c->users);
    ck_assert_ptr_null(c->cookies);
    ck_assert_ptr_nonnull(c->acl);
    config_unref(c);
}
END_TEST

/* ---- the table ---- */

START_TEST(table_is_complete_and_in_order)
{
    for (const struct conf_key *k = options_keys(); k->path != NULL; k++) {
        json_t *fallback = json_loads(k->fallback, JSON_DECODE_ANY, NULL);
        const char *dot = strchr(k->path, '.');

        ck_assert_msg(fallback != NULL, "%s: %s", k->path, k->fallback);
        json_decref(fallback);
        ck_assert_msg(k->help != NULL && k->help[strlen(k->help) - 1] == '.', "%s", k->path);
        ck_assert_msg((k->type == CONF_ENUM) == (k->choices != NULL), "%s", k->path);
        for (const struct conf_key *j = options_keys(); j < k; j++) {
            bool same_group =
                dot != NULL && strncmp(j->path, k->path, (size_t)(dot - k->path) + 1) == 0;

            ck_assert_str_ne(j->path, k->path);
            ck_assert_uint_ne(j->offset, k->offset);
            ck_assert_msg(!same_group ||
                              strncmp(k[-1].path, k->path, (size_t)(dot - k->path) + 1) == 0,
                          "%s is not with its group", k->path);
        }
    }
}
END_TEST

START_TEST(what_threads_and_sockets_were_made_with_needs_a_restart)
{
    static const char *const fixed[] = {
        "workers",    "stats.address",        "exact.queue",          "exact.held_max",
        "exact.mark", "relay.send_queue_max", "upstream.servers_max", "control.path"};

    for (const struct conf_key *k = options_keys(); k->path != NULL; k++) {
        bool is_fixed = false;
        for (size_t i = 0; i < ARRAY_LEN(fixed); i++)
            is_fixed |= strcmp(k->path, fixed[i]) == 0;
        ck_assert_msg(k->reloadable == !is_fixed, "%s", k->path);
    }
}
END_TEST

START_TEST(a_listener_that_stays_keeps_what_its_socket_was_opened_with)
{
    static const char *const change[] = {"\"mptcp\": false", "\"fastopen\": false",
                                         "\"backlog\": 7", "\"transparent\": true"};
    struct config *now =
        load("{\"listeners\": [{\"name\": \"a\", \"address\": \"127.0.0.2:1080\"}]}");

    for (size_t i = 0; i < ARRAY_LEN(change); i++) {
        struct conf_error err;
        char text[256];

        for (int port = 1080; port <= 1081; port++) { /* the same address; a new one */
            (void)snprintf(
                text, sizeof text,
                "{\"listeners\": [{\"name\": \"a\", \"address\": \"127.0.0.2:%d\", %s}]}", port,
                change[i]);
            struct config *next = load(text);
            ck_assert(options_reloadable(now, next, &err) == (port == 1081));
            ck_assert(port == 1081 || strstr(err.text, "listeners: ") != NULL);
            config_unref(next);
        }
    }
    config_unref(now);
}
END_TEST

START_TEST(every_choice_of_every_word_is_accepted)
{
    for (const struct conf_key *k = options_keys(); k->path != NULL; k++)
        for (int i = 0; k->type == CONF_ENUM && k->choices[i] != NULL; i++) {
            const char *dot = strchr(k->path, '.');
            char text[256];
            struct config *c;

            if (strcmp(k->path, "cookie.mode") == 0 && (i == COOKIE_STATIC || i == COOKIE_BOTH))
                continue; /* needs a file; has its own test */
            (void)snprintf(text, sizeof text, "{\"%.*s\": {\"%s\": \"%s\"}}",
                           (int)(dot - k->path), k->path, dot + 1, k->choices[i]);
            c = load(text);
            ck_assert_int_eq(*(const int *)(const void *)((const char *)c + k->offset), i);
            config_unref(c);
        }
}
END_TEST

/* ---- listeners ---- */

START_TEST(listener_keys_are_read)
{
    struct config *c = load("{\"listeners\": [{\"name\": \"a-B_9\", \"address\": "
                            "\"192.0.2.1:1\", \"protocols\": [\"pm08\", \"socks4\"],"
                            "\"mptcp\": false, \"fastopen\": false, \"backlog\": 1}, "
                            "{\"name\": \"b\", \"address\": \"192.0.2.1:2\"}]}");
    const struct listener_options *l = c->listeners.item;

    ck_assert_uint_eq(c->listeners.count, 2);
    ck_assert_uint_eq(l[0].protocols,
                      PROTOCOL_BIT(PROTOCOL_SOCKS4) | PROTOCOL_BIT(PROTOCOL_PM08));
    ck_assert(!l[0].mptcp && !l[0].fastopen);
    ck_assert_uint_eq(l[0].backlog, 1);
    ck_assert(l[1].mptcp);
    config_unref(c);
}
END_TEST

START_TEST(bad_listener_is_named)
{
    char name[OPTIONS_NAME_MAX + 2], text[256];

    check_error("{\"listeners\": []}",
                "test.json:1: listeners: expected an array of at least one listener");
    check_error("{\"listeners\": {}}",
                "test.json:1: listeners: expected an array of at least one listener");
    check_error("{\"listeners\": [\n{\"address\": \"[::]:1\"}]}",
                "test.json:2: listeners[0].name: is required");
    check_error("{\"listeners\": [\n{\"name\": \"a\"}]}",
                "test.json:2: listeners[0].address: is required");
    check_error("{\"listeners\": [{\"name\": \"a\",\n\"address\": null}]}",
                "test.json:2: listeners[0].address: is required");
    check_error("{\"listeners\": [{\"name\": \"a b\", \"address\": \"[::]:1\"}]}",
                "test.json:1: listeners[0].name: expected 1 to 64 letters, digits, '-' or '_'");
    check_error("{\"listeners\": [{\"name\": \"\", \"address\": \"[::]:1\"}]}",
                "test.json:1: listeners[0].name: expected 1 to 64 letters, digits, '-' or '_'");
    check_error("{\"listeners\": [{\"name\": \"a\", \"address\": \"[::]:1\", \"backlog\": 0}]}",
                "test.json:1: listeners[0].backlog: must be 1 to 65535 connections");
    memset(name, 'x', sizeof name);
    name[sizeof name - 1] = '\0';
    (void)snprintf(text, sizeof text,
                   "{\"listeners\": [{\"name\": \"%s\", \"address\": \"[::]:1\"}]}", name);
    check_error(text,
                "test.json:1: listeners[0].name: expected 1 to 64 letters, digits, '-' or '_'");
}
END_TEST

START_TEST(bad_protocols_are_named)
{
    static const char *const cases[][2] = {
        {"[]", "protocols: expected an array of protocols"},
        {"\"socks5\"", "protocols: expected an array of protocols"},
        {"[\"socks5\", \"http\"]", "protocols[1]: must be one of \"socks5\", \"socks4\", "
                                   "\"mp_convert\", \"pm08\", \"convert\""},
        {"[5]", "protocols[0]: must be one of \"socks5\", \"socks4\", \"mp_convert\", "
                "\"pm08\", \"convert\""},
        {"[\"socks5\", \"socks5\"]", "protocols[1]: is there twice"},
    };

    for (size_t i = 0; i < ARRAY_LEN(cases); i++) {
        char text[256], wanted[256];

        (void)snprintf(
            text, sizeof text,
            "{\"listeners\": [{\"name\": \"a\", \"address\": \"[::]:1\", \"protocols\": %s}]}",
            cases[i][0]);
        (void)snprintf(wanted, sizeof wanted, "test.json:1: listeners[0].%s", cases[i][1]);
        check_error(text, wanted);
    }
}
END_TEST

START_TEST(listeners_have_a_maximum)
{
    char text[8192] = "{\"listeners\": [";
    struct config *c;

    for (int i = 0; i < OPTIONS_LISTENERS_MAX; i++)
        (void)snprintf(text + strlen(text), sizeof text - strlen(text),
                       "%s{\"name\": \"l%d\", \"address\": \"127.0.0.1:%d\"}",
                       i == 0 ? "" : ", ", i, 2000 + i);
    (void)snprintf(text + strlen(text), sizeof text - strlen(text), "]}");
    c = load(text);
    ck_assert_uint_eq(c->listeners.count, OPTIONS_LISTENERS_MAX);
    config_unref(c);
    (void)snprintf(text + strlen(text) - 2, 64,
                   ", {\"name\": \"more\", \"address\": \"127.0.0.1:1\"}]}");
    check_error(text, "test.json:1: listeners: has more than 32 listeners");
}
END_TEST

/* ---- checks across keys ---- */

START_TEST(listeners_do_not_share_address_or_name)
{
    check_error("{\"listeners\": [{\"name\": \"a\", \"address\": \"[::]:1\"},\n{\"name\": "
                "\"b\", \"address\": \"[::]:1\"}]}",
                "test.json:2: listeners[1].address: \"a\" has the same address");
    check_error("{\"listeners\": [{\"name\": \"a\", \"address\": \"[::]:1\"},\n{\"name\": "
                "\"a\", \"address\": \"[::]:2\"}]}",
                "test.json:2: listeners[1].name: listener 0 has the same name");
    check_error("{\"listeners\": [{\"name\": \"a\", \"address\": "
                "\"127.0.0.1:9180\"}],\n\"stats\": {\"address\": \"127.0.0.1:9180\"}}",
                "test.json:2: stats.address: listener \"a\" has the same address");
    config_unref(load("{\"listeners\": [{\"name\": \"a\", \"address\": \"[::1]:0\"}, "
                      "{\"name\": \"b\", \"address\": \"[::1]:0\"}]}"));
}
END_TEST

START_TEST(bad_concentrators_are_named)
{
    static const struct {
        const char *entry, *wanted;
    } c[] = {
        {"{}", "address: is required"},
        {"{\"address\": \"192.0.2.1:0\"}", "address: needs an address and a port"},
        {"{\"address\": \"192.0.2.1:1\", \"user\": \"a\", \"password\": \"b\"}",
         "user: only socks5 has users"},
        {"{\"address\": \"192.0.2.1:1\", \"dialect\": \"socks5\", \"user\": \"a\"}",
         "password: user and password go together"},
        {"{\"address\": \"192.0.2.1:1\", \"dialect\": \"convert\", \"cookie\": \"abc\"}",
         "cookie: an even number of hexadecimal digits, 510 at most, for convert only"},
        {"{\"address\": \"192.0.2.1:1\", \"cookie\": \"ab\"}",
         "cookie: an even number of hexadecimal digits, 510 at most, for convert only"},
        {"{\"address\": \"192.0.2.1:1\", \"dialect\": \"convert\", \"tell_source\": true}",
         "tell_source: only mp_convert can"},
        {"{\"address\": \"192.0.2.1:1\", \"dialect\": \"socks5\", \"exact\": \"on\"}",
         "exact: needs mp_convert or convert, and fastopen"},
        {"{\"address\": \"192.0.2.1:1\", \"fastopen\": false, \"exact\": \"on\"}",
         "exact: needs mp_convert or convert, and fastopen"},
        {"{\"address\": \"192.0.2.1:1\", \"ports\": [\"90-80\"]}",
         "ports: expected a port such as 25, or a range such as \"6000-6100\""},
        {"{\"address\": \"192.0.2.1:1\", \"ports\": 80}",
         "ports: expected an array of ports and port ranges"},
    };
    char text[256], wanted[256];

    for (size_t i = 0; i < ARRAY_LEN(c); i++) {
        (void)snprintf(text, sizeof text, "{\"via\": {\"concentrators\": [%s]}}", c[i].entry);
        (void)snprintf(wanted, sizeof wanted, "test.json:1: via.concentrators[0].%s",
                       c[i].wanted);
        check_error(text, wanted);
    }
    check_error("{\"listeners\": [{\"name\": \"a\", \"address\": \"[::]:1\", \"via\": true}]}",
                "test.json:1: listeners[0].via: needs via.concentrators");
}
END_TEST

START_TEST(a_transparent_listener_is_on_loopback)
{
    check_error(
        "{\"listeners\": [{\"name\": \"a\", \"address\": \"[::]:1\", \"transparent\": true}]}",
        "test.json:1: listeners[0].transparent: needs a loopback address: on any other "
        "it would take native traffic to its port");
    config_unref(load("{\"listeners\": [{\"name\": \"a\", \"address\": \"127.0.0.2:1\", "
                      "\"transparent\": true}]}"));
}
END_TEST

START_TEST(an_implicit_listener_is_transparent_and_speaks_mp_convert_only)
{
    check_error(
        "{\"listeners\": [{\"name\": \"a\", \"address\": \"[::1]:1\", \"implicit\": true, "
        "\"protocols\": [\"mp_convert\"]}]}",
        "test.json:1: listeners[0].implicit: needs transparent and fastopen: the request "
        "is in a diverted SYN");
    check_error(
        "{\"listeners\": [{\"name\": \"a\", \"address\": \"[::1]:1\", \"implicit\": true, "
        "\"transparent\": true}]}",
        "test.json:1: listeners[0].implicit: needs the protocol mp_convert and no other");
    check_error(
        "{\"listeners\": [{\"name\": \"a\", \"address\": \"[::1]:1\", \"implicit\": true, "
        "\"transparent\": true, \"exact\": true, \"protocols\": [\"mp_convert\"]}]}",
        "test.json:1: listeners[0].implicit: cannot be exact");
    config_unref(load("{\"listeners\": [{\"name\": \"a\", \"address\": \"[::1]:1\", "
                      "\"implicit\": true, \"transparent\": true, \"protocols\": "
                      "[\"mp_convert\"]}]}"));
}
END_TEST

START_TEST(a_transparent_exact_listener_needs_no_request_but_a_mark_with_room)
{
    static const char listener[] =
        "{\"listeners\": [{\"name\": \"a\", \"address\": \"[::1]:1\", \"transparent\": true, "
        "\"exact\": true, \"fastopen\": false, \"protocols\": [\"socks5\"]}]%s}";
    char text[512];

    (void)snprintf(text, sizeof text, listener, "");
    struct config *c = load(text);
    ck_assert_uint_eq(c->exact.mark, 0x6d710000);
    config_unref(c);
    (void)snprintf(text, sizeof text, listener, ", \"exact\": {\"mark\": 512}");
    config_unref(load(text));
    (void)snprintf(text, sizeof text, listener, ", \"exact\": {\"mark\": 513}");
    check_error(text, "test.json:1: exact.mark: must be a multiple of 256");
}
END_TEST

#define DIVERTED \
    "{\"listeners\": [{\"name\": \"a\", \"address\": \"[::1]:1\", \"transparent\": true, "
#define IMPLICIT DIVERTED "\"implicit\": true, \"protocols\": [\"mp_convert\"], "

START_TEST(sets_for_the_firewall_are_named_and_have_a_listener_that_needs_them)
{
    static const char *const bad[] = {"", "tokens", "inet tokens", "inet a b c", "inet a b;"};
    char text[512];

    check_error(DIVERTED "\"join_tokens\": \"inet t s\"}]}",
                "test.json:1: listeners[0].join_tokens: needs implicit and mptcp");
    check_error(IMPLICIT "\"mptcp\": false, \"join_tokens\": \"inet t s\"}]}",
                "test.json:1: listeners[0].join_tokens: needs implicit and mptcp");
    check_error("{\"listeners\": [{\"name\": \"a\", \"address\": \"[::1]:1\", "
                "\"alive_set\": \"inet t s\"}]}",
                "test.json:1: listeners[0].alive_set: needs transparent");
    for (size_t i = 0; i < ARRAY_LEN(bad); i++) {
        (void)snprintf(text, sizeof text, IMPLICIT "\"join_tokens\": \"%s\"}]}", bad[i]);
        check_error(text,
                    "test.json:1: listeners[0].join_tokens: expected an nftables set such "
                    "as \"inet mpconvert_onpath tokens\"");
        (void)snprintf(text, sizeof text, DIVERTED "\"alive_set\": \"%s\"}]}", bad[i]);
        check_error(text,
                    "test.json:1: listeners[0].alive_set: expected an nftables set such as "
                    "\"inet mpconvert_onpath tokens\"");
    }
    config_unref(load(IMPLICIT "\"join_tokens\": \"inet t s\", \"alive_set\": \"ip t s\"}]}"));
}
END_TEST

START_TEST(an_exact_listener_needs_what_makes_it_exact)
{
    check_error("{\"listeners\": [{\"name\": \"a\", \"address\": \"[::]:1\", \"exact\": true,\n"
                "\"fastopen\": false}]}",
                "test.json:1: listeners[0].exact: needs fastopen: the request must come in the "
                "SYN");
    check_error(
        "{\"listeners\": [{\"name\": \"a\", \"address\": \"[::]:0\", \"exact\": true}]}",
        "test.json:1: listeners[0].exact: needs a port of its own");
    check_error("{\"listeners\": [{\"name\": \"a\", \"address\": \"[::]:1\", \"exact\": true, "
                "\"protocols\": [\"socks5\"]}]}",
                "test.json:1: listeners[0].exact: needs the protocol mp_convert or convert");
    config_unref(
        load("{\"listeners\": [{\"name\": \"a\", \"address\": \"[::]:1\", \"exact\": true, "
             "\"protocols\": [\"convert\"]}]}"));
}
END_TEST

START_TEST(endpoint_is_on_loopback_or_off)
{
    static const char wanted[] = "test.json:1: stats.address: must be a loopback address: the "
                                 "endpoint has no access control of its own";
    struct config *c;

    check_error("{\"stats\": {\"address\": \"192.0.2.1:9180\"}}", wanted);
    check_error("{\"stats\": {\"address\": \"0.0.0.0:9180\"}}", wanted);
    check_error("{\"stats\": {\"address\": \"[::]:9180\"}}", wanted);
    config_unref(load("{\"stats\": {\"address\": \"[::1]:9180\"}}"));
    config_unref(load("{\"stats\": {\"address\": \"127.9.9.9:0\"}}"));
    c = load("{\"stats\": {\"address\": null}}");
    ck_assert_uint_eq(c->stats.address.family, ADDR_NONE);
    config_unref(c);
}
END_TEST

START_TEST(static_cookies_need_their_file)
{
    check_error("{\"cookie\":\n{\"mode\": \"static\"}}",
                "test.json:1: cookie.static_file: is required by cookie.mode \"static\"");
    check_error("{\"cookie\":\n{\"mode\": \"both\"}}",
                "test.json:1: cookie.static_file: is required by cookie.mode \"both\"");
}
END_TEST

START_TEST(name_servers_are_addresses)
{
    static const char *const bad[] = {"localhost", "192.0.2.53:0", "192.0.2.53:", "",
                                      "2001:db8::53:x"};

    for (size_t i = 0; i < ARRAY_LEN(bad); i++) {
        char text[128];

        (void)snprintf(text, sizeof text, "{\"dns\": {\"servers\": [\"192.0.2.1\",\n\"%s\"]}}",
                       bad[i]);
        check_error(text, "test.json:2: dns.servers[1]: expected an address, with or without "
                          "port, such as \"192.0.2.53\" or \"[2001:db8::53]:5353\"");
    }
    config_unref(load("{\"dns\": {\"servers\": [\"192.0.2.53\", \"192.0.2.53:5353\", "
                      "\"2001:db8::53\", \"[2001:db8::53]\", \"[2001:db8::53]:53\"]}}"));
}
END_TEST

START_TEST(shortest_ttl_is_not_above_the_longest)
{
    check_error("{\"dns\": {\"ttl_min_seconds\": 10, \"ttl_max_seconds\": 9}}",
                "test.json:1: dns.ttl_min_seconds: must not be above dns.ttl_max_seconds");
    config_unref(load("{\"dns\": {\"ttl_min_seconds\": 10, \"ttl_max_seconds\": 10}}"));
}
END_TEST

START_TEST(typing_error_is_explained)
{
    check_error("{\n\"timeouts\": {\"conect_seconds\": 1}}",
                "test.json:2: timeouts.conect_seconds: unknown key; did you mean "
                "\"timeouts.connect_seconds\"?");
}
END_TEST

/* ---- what is built ---- */

START_TEST(own_addresses_stay_closed_whatever_the_rules_say)
{
    struct config *c =
        load("{\"listeners\": [{\"name\": \"a\", \"address\": \"[::]:1080\"}, {\"name\": "
             "\"b\", \"address\": \"127.0.0.2:1081\"}],"
             "\"acl\": {\"rules\": [{\"action\": \"allow\", \"target\": [\"127.0.0.0/8\"]}]}}");

    ck_assert_int_eq(verdict(c, "127.0.0.1:80").action, ACL_ALLOW);
    ck_assert_int_eq(verdict(c, "127.0.0.1:1080").cause,
                     ACL_CAUSE_SELF); /* an interface's address, found by looking */
    ck_assert_int_eq(verdict(c, "127.0.0.2:1081").cause, ACL_CAUSE_SELF);
    ck_assert_int_eq(verdict(c, "127.0.0.1:9180").cause, ACL_CAUSE_SELF); /* the endpoint */
    ck_assert_int_eq(verdict(c, "127.0.0.1:1081").action, ACL_ALLOW);
    config_unref(c);
}
END_TEST

START_TEST(default_action_is_the_configured_one)
{
    struct config *c = load("{\"acl\": {\"default\": \"deny\", \"rules\": [{\"action\": "
                            "\"allow\", \"target\": [\"192.0.2.0/24\"]}]}}");

    ck_assert_int_eq(verdict(c, "192.0.2.1:80").action, ACL_ALLOW);
    ck_assert_int_eq(verdict(c, "198.51.100.1:80").action, ACL_DENY);
    ck_assert_int_eq(verdict(c, "198.51.100.1:80").cause, ACL_CAUSE_DEFAULT);
    config_unref(c);
}
END_TEST

START_TEST(users_and_cookies_are_loaded)
{
    struct tempfile users = tempfile_text("alice:*\nbob:*\n"),
                    cookies = tempfile_text("hex:a0a1a2a3\n");
    struct config *c;
    char text[512];

    (void)snprintf(text, sizeof text,
                   "{\"auth\": {\"users_file\": \"%s\"}, \"cookie\": {\"mode\": \"both\", "
                   "\"static_file\": \"%s\"}}",
                   users.path, cookies.path);
    c = load(text);
    ck_assert_uint_eq(auth_users_count(c->users), 2);
    ck_assert(cookie_computes(c->cookies));
    config_unref(c);
    tempfile_done(&users);
    tempfile_done(&cookies);
}
END_TEST

START_TEST(file_that_is_missing_blames_the_key)
{
    check_error("{\"auth\":\n{\"users_file\": \"/nonexistent/u\"}}",
                "test.json:2: auth.users_file: /nonexistent/u: No such file or directory");
    check_error("{\"cookie\": {\"mode\": \"static\",\n\"static_file\": \"/nonexistent/c\"}}",
                "test.json:1: cookie.mode: /nonexistent/c: No such file or directory");
}
END_TEST

START_TEST(node_is_the_host_name_or_what_the_file_says)
{
    char host[256] = "";
    struct config *c = load("{}");

    ck_assert_int_eq(gethostname(host, sizeof host - 1), 0);
    ck_assert_str_eq(c->node, host);
    config_unref(c);
    c = load("{\"node\": \"conc-1\"}");
    ck_assert_str_eq(c->node, "conc-1");
    config_unref(c);
}
END_TEST

START_TEST(file_gives_its_name_and_its_values)
{
    struct tempfile f = tempfile_text("{\"workers\": 3}");
    struct conf_error err;
    struct config *c = options_load(f.path, &err);

    ck_assert_ptr_nonnull(c);
    ck_assert_str_eq(c->path, f.path);
    ck_assert_uint_eq(c->workers, 3);
    config_unref(c);
    tempfile_done(&f);
    ck_assert_ptr_null(options_load(f.path, &err));
    ck_assert_ptr_nonnull(strstr(err.text, "cannot be read: No such file or directory"));
}
END_TEST

START_TEST(no_file_means_defaults)
{
    struct conf_error err;
    struct config *a = options_load(NULL, &err), *b = load("{}");

    ck_assert_ptr_nonnull(a);
    ck_assert_str_eq(a->path, "defaults");
    ck_assert_str_eq(a->sha256, b->sha256);
    config_unref(a);
    config_unref(b);
}
END_TEST

START_TEST(hash_is_sha256_of_the_dump)
{
    struct config *a = load("{}"), *b = load("{\"workers\": 1}");
    char *text = options_dump_text(a, false), hex[65] = "";
    unsigned char digest[32];
    unsigned len = 0;

    ck_assert_int_eq(EVP_Digest(text, strlen(text), digest, &len, EVP_sha256(), NULL), 1);
    for (size_t i = 0; i < len; i++)
        (void)snprintf(hex + 2 * i, 3, "%02x", digest[i]);
    ck_assert_str_eq(a->sha256, hex);
    ck_assert_str_ne(a->sha256, b->sha256);
    free(text);
    config_unref(a);
    config_unref(b);
}
END_TEST

START_TEST(dump_is_a_configuration_with_the_same_hash)
{
    struct config
        *a = load(
            "{\"acl\": {\"rules\": [{\"action\": \"allow\", \"target\": [\"*.example.net\"], "
            "\"port\": [\"1-2\", 80]}]}, \"timeouts\": {\"attempt_delay_seconds\": 0.123}}"),
        *b;
    char *text = options_dump_text(a, false);

    ck_assert_ptr_nonnull(strstr(text, "0.123,"));
    b = load(text);
    ck_assert_str_eq(a->sha256, b->sha256);
    free(text);
    config_unref(a);
    config_unref(b);
}
END_TEST

START_TEST(references_keep_a_config_alive)
{
    struct config *c = load("{\"node\": \"x\"}");

    ck_assert_ptr_eq(config_ref(c), c);
    config_unref(c);
    ck_assert_str_eq(c->node, "x"); /* ASan knows whether it is */
    config_unref(c);
    config_unref(NULL);
}
END_TEST

static void check_reload(const char *before, const char *after, const char *wanted)
{
    struct config *a = load(before), *b = load(after);
    struct conf_error err = {""};

    ck_assert_int_eq(options_reloadable(a, b, &err), wanted == NULL);
    ck_assert_str_eq(err.text, wanted == NULL ? "" : wanted);
    config_unref(a);
    config_unref(b);
}

START_TEST(reload_is_refused_for_keys_that_need_a_restart)
{
    check_reload("{}", "{}", NULL);
    check_reload("{}", "{\"workers\": 0, \"stats\": {\"address\": \"127.0.0.1:9180\"}}", NULL);
    check_reload("{}", "{\"workers\": 2}", "test.json: workers: needs a restart to change");
    check_reload("{}", "{\"stats\": {\"address\": null}}",
                 "test.json: stats.address: needs a restart to change");
    check_reload(
        "{}",
        "{\"node\": \"n\", \"listeners\": [{\"name\": \"x\", \"address\": \"[::1]:1\"}], "
        "\"stats\": {\"hosts\": [\"a\"]}, \"limits\": {\"sessions\": 1}}",
        NULL);
}
END_TEST

/* ---- files that come with the program ---- */

static char *read_text(const char *path)
{
    struct conf_error err = {""};
    char *text = conf_read(path, &err);

    ck_assert_msg(text != NULL, "%s", err.text);
    return text;
}

static struct config *load_file(const char *path)
{
    struct conf_error err = {""};
    struct config *c = options_load(path, &err);

    ck_assert_msg(c != NULL, "%s", err.text);
    return c;
}

/* What --defaults prints: the dump of the defaults, but for the name of the host it was made
 * on. */
static char *defaults_text(void)
{
    struct conf_error err = {""};
    struct config *c = options_load(NULL, &err);
    char *text;

    if (c == NULL)
        return NULL;
    free(c->node);
    c->node = NULL;
    text = options_dump_text(c, false);
    config_unref(c);
    return text;
}

START_TEST(shipped_configuration_has_every_key_at_its_default)
{
    char *shipped = read_text(CONF_DIR "/mpconvertd.json"), *defaults = defaults_text();
    struct config *a = load_file(CONF_DIR "/mpconvertd.json"), *b = load("{}");

    ck_assert_uint_eq(strlen(shipped), strlen(defaults) + 1);
    ck_assert_mem_eq(shipped, defaults, strlen(defaults)); /* and a newline */
    ck_assert_str_eq(a->sha256, b->sha256);
    config_unref(a);
    config_unref(b);
    free(shipped);
    free(defaults);
}
END_TEST

START_TEST(minimal_configuration_is_good)
{
    config_unref(load_file(CONF_DIR "/mpconvertd-minimal.json"));
}
END_TEST

START_TEST(quickstart_is_for_this_host_and_reaches_everything)
{
    static const char *const reached[] = {
        "127.0.0.1:80",  "[::1]:80",     "10.0.0.1:80",  "172.16.0.1:80",   "192.168.0.1:80",
        "100.64.0.1:80", "[fd00::1]:80", "192.0.2.1:80", "[2001:db8::1]:80"};
    static const char *const closed[] = {"127.0.0.1:1080", "127.0.0.1:9180", "224.0.0.1:80",
                                         "0.0.0.0:80"};
    struct config *c = load_file(CONF_DIR "/quickstart.json");
    struct addr v4 = addr_of("127.0.0.1:1080"), stats = addr_of("127.0.0.1:9180");

    ck_assert(addr_equal(&c->listeners.item[0].address, &v4));
    for (size_t i = 0; i < c->listeners.count; i++)
        ck_assert_int_eq(addr_class(&c->listeners.item[i].address), ADDR_CLASS_LOOPBACK);
    ck_assert(addr_equal(&c->stats.address, &stats));
    ck_assert(contains(&c->clients.allow, "127.0.0.1") && contains(&c->clients.allow, "::1"));
    ck_assert(!contains(&c->clients.allow, "10.0.0.1"));
    for (size_t i = 0; i < ARRAY_LEN(reached); i++)
        ck_assert_msg(verdict(c, reached[i]).action == ACL_ALLOW, "%s", reached[i]);
    for (size_t i = 0; i < ARRAY_LEN(closed); i++)
        ck_assert_msg(verdict(c, closed[i]).action == ACL_DENY, "%s", closed[i]);
    config_unref(c);
}
END_TEST

static void print_reference(FILE *to)
{
    (void)fprintf(to, "<!-- keys -->\n");
    reference_print(to, options_keys(), "", true);
    (void)fprintf(to, "<!-- listener keys -->\n");
    reference_print(to, options_listener_keys(), "listeners[].", false);
    (void)fprintf(to, "<!-- concentrator keys -->\n");
    reference_print(to, via_keys(), "via.concentrators[].", false);
    (void)fprintf(to, "<!-- egress keys -->\n");
    reference_print(to, egress_keys(), "egress[].", false);
    (void)fprintf(to, "<!-- egress row keys -->\n");
    reference_print(to, egress_row_keys(), "egress[].map[].", false);
    (void)fprintf(to, "<!-- assignment keys -->\n");
    reference_print(to, egress_assignment_keys(), "egress[].assigned[].", false);
    (void)fprintf(to, "<!-- policy keys -->\n");
    reference_print(to, policy_keys(), "policies[].", false);
    (void)fprintf(to, "<!-- end -->\n");
}

/* The part of `text` from the line `from` up to the line `to`; in place. */
static char *section(char *text, const char *from, const char *to)
{
    char *start = strstr(text, from), *end = start == NULL ? NULL : strstr(start, to);

    ck_assert_msg(end != NULL, "%s is missing", start == NULL ? from : to);
    *end = '\0';
    return start + strlen(from);
}

static void check_section(const char *from, const struct conf_key *keys, const char *prefix,
                          bool reload)
{
    char *document = read_text(DOCS_DIR "/operations.md"), *wanted = NULL;
    size_t size;
    FILE *stream = open_memstream(&wanted, &size);

    ck_assert_ptr_nonnull(stream);
    reference_print(stream, keys, prefix, reload);
    ck_assert_int_eq(fclose(stream), 0);
    ck_assert_str_eq(section(document, from, "<!-- end -->\n"), wanted);
    free(wanted);
    free(document);
}

START_TEST(reference_in_the_documentation_is_that_of_the_table)
{
    check_section("<!-- keys -->\n", options_keys(), "", true);
    check_section("<!-- listener keys -->\n", options_listener_keys(), "listeners[].", false);
    check_section("<!-- concentrator keys -->\n", via_keys(), "via.concentrators[].", false);
    check_section("<!-- egress keys -->\n", egress_keys(), "egress[].", false);
    check_section("<!-- egress row keys -->\n", egress_row_keys(), "egress[].map[].", false);
    check_section("<!-- assignment keys -->\n", egress_assignment_keys(),
                  "egress[].assigned[].", false);
    check_section("<!-- policy keys -->\n", policy_keys(), "policies[].", false);
}
END_TEST

static Suite *options_suite(void)
{
    Suite *s = suite_create("options");
    TCase *tc = tcase_create("options");

    tcase_add_test(tc, default_listener_speaks_three_dialects_on_every_address);
    tcase_add_test(tc, default_is_no_open_proxy);
    tcase_add_test(tc, default_denies_loopback_and_private_targets);
    tcase_add_test(tc, default_values_are_those_of_the_design);
    tcase_add_test(tc, table_is_complete_and_in_order);
    tcase_add_test(tc, what_threads_and_sockets_were_made_with_needs_a_restart);
    tcase_add_test(tc, a_listener_that_stays_keeps_what_its_socket_was_opened_with);
    tcase_add_test(tc, every_choice_of_every_word_is_accepted);
    tcase_add_test(tc, listener_keys_are_read);
    tcase_add_test(tc, bad_listener_is_named);
    tcase_add_test(tc, bad_protocols_are_named);
    tcase_add_test(tc, listeners_have_a_maximum);
    tcase_add_test(tc, listeners_do_not_share_address_or_name);
    tcase_add_test(tc, bad_concentrators_are_named);
    tcase_add_test(tc, a_transparent_listener_is_on_loopback);
    tcase_add_test(tc, sets_for_the_firewall_are_named_and_have_a_listener_that_needs_them);
    tcase_add_test(tc, an_implicit_listener_is_transparent_and_speaks_mp_convert_only);
    tcase_add_test(tc, a_transparent_exact_listener_needs_no_request_but_a_mark_with_room);
    tcase_add_test(tc, an_exact_listener_needs_what_makes_it_exact);
    tcase_add_test(tc, endpoint_is_on_loopback_or_off);
    tcase_add_test(tc, static_cookies_need_their_file);
    tcase_add_test(tc, name_servers_are_addresses);
    tcase_add_test(tc, shortest_ttl_is_not_above_the_longest);
    tcase_add_test(tc, typing_error_is_explained);
    tcase_add_test(tc, own_addresses_stay_closed_whatever_the_rules_say);
    tcase_add_test(tc, default_action_is_the_configured_one);
    tcase_add_test(tc, users_and_cookies_are_loaded);
    tcase_add_test(tc, file_that_is_missing_blames_the_key);
    tcase_add_test(tc, node_is_the_host_name_or_what_the_file_says);
    tcase_add_test(tc, file_gives_its_name_and_its_values);
    tcase_add_test(tc, no_file_means_defaults);
    tcase_add_test(tc, hash_is_sha256_of_the_dump);
    tcase_add_test(tc, dump_is_a_configuration_with_the_same_hash);
    tcase_add_test(tc, references_keep_a_config_alive);
    tcase_add_test(tc, reload_is_refused_for_keys_that_need_a_restart);
    tcase_add_test(tc, shipped_configuration_has_every_key_at_its_default);
    tcase_add_test(tc, minimal_configuration_is_good);
    tcase_add_test(tc, quickstart_is_for_this_host_and_reaches_everything);
    tcase_add_test(tc, reference_in_the_documentation_is_that_of_the_table);
    suite_add_tcase(s, tc);
    return s;
}

static int print_defaults(void)
{
    char *text = defaults_text();
    int status = text == NULL || puts(text) < 0 ? EXIT_FAILURE : EXIT_SUCCESS;

    free(text);
    return status;
}

int main(int argc, char **argv)
{
    if (argc == 2 && strcmp(argv[1], "--defaults") == 0)
        return print_defaults();
    if (argc == 2 && strcmp(argv[1], "--reference") == 0) {
        print_reference(stdout);
        return EXIT_SUCCESS;
    }
    return runner_main(options_suite());
}
