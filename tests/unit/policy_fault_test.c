/* SPDX-License-Identifier: MIT */
/* acl, auth, cookie, limits: each allocation fails once; the caller is told, and nothing leaks.
 * In a program of its own, because the injector is made for one thread and the modules' own
 * tests have several. */
#include "acl_fixture.h"
#include "auth.h"
#include "cookie.h"
#include "egress_conf.h"
#include "fault.h"
#include "limits.h"
#include "ownaddr.h"
#include "runner.h"
#include "tempfile.h"

static const struct limits_config generous = {.sessions = 10,
                                              .sessions_per_source = 10,
                                              .connects_per_source = 10,
                                              .errors_per_second = 10,
                                              .auth_failures_per_minute = 10,
                                              .source_prefix6 = 64};

START_TEST(limits_new_without_memory_is_null)
{
    for (unsigned n = 1;; n++) {
        fault_after(n);
        struct limits *l = limits_new(&generous);

        ck_assert((l == NULL) == fault_hit());
        limits_free(l);
        if (!fault_hit())
            break;
    }
    ck_assert_uint_gt(fault_allocations(), 2);
    fault_reset();
}
END_TEST

/* The hot path allocates nothing. */
START_TEST(admission_does_not_allocate)
{
    struct limits *l = limits_new(&generous);
    struct addr a = addr_ipv4((const uint8_t[]){192, 0, 2, 0}, 0);
    struct limits_source *s;

    ck_assert_ptr_nonnull(l);
    fault_after(1);
    for (unsigned i = 0; i < 1000; i++) {
        a.ip[3] = (uint8_t)i;
        ck_assert_int_eq(limits_admit(l, &a, &s), OUTCOME_OK);
        limits_release(l, s);
    }
    ck_assert_uint_eq(fault_allocations(), 0);
    fault_reset();
    limits_free(l);
}
END_TEST

static const char rules[] =
    "{\"rules\": [{\"action\": \"deny\", \"source\": [\"192.0.2.0/24\"], \"user\": [\"a\", "
    "\"b\"],"
    " \"target\": [\"203.0.113.0/24\", \"example.net\", \"*.example.org\"], \"port\": [25]},"
    " {\"action\": \"allow\"}]}";

START_TEST(acl_new_without_memory_is_null)
{
    const struct addr self = addr_ipv4((const uint8_t[]){203, 0, 113, 1}, 5124);
    struct conf_error err;
    struct holder h;

    ck_assert(conf_load_text(rules, "test", keys, &h, sizeof h, &err));
    for (unsigned n = 1;; n++) {
        fault_after(n);
        struct acl *a = acl_new(&h.rules, ACL_ALLOW, &self, 1, ownaddr_is);

        ck_assert((a == NULL) == fault_hit());
        acl_free(a);
        if (!fault_hit())
            break;
    }
    ck_assert_uint_gt(fault_allocations(), 12);
    fault_reset();
    conf_clear(keys, &h);
}
END_TEST

START_TEST(parsing_rules_without_memory_is_an_error)
{
    for (unsigned n = 1;; n++) {
        struct conf_error err = {""};
        struct holder h;

        fault_after(n);
        bool ok = conf_load_text(rules, "test", keys, &h, sizeof h, &err);
        ck_assert(ok != fault_hit());
        ck_assert(ok || strstr(err.text, "out of memory") != NULL);
        if (ok) {
            conf_clear(keys, &h);
            break;
        }
    }
    fault_reset();
}
END_TEST

static const struct conf_key egress_table[] = {
    {"egress", CONF_CUSTOM, 0, NULL, .parse = egress_parse, .clear = egress_clear},
    {.path = NULL},
};

START_TEST(parsing_egress_without_memory_is_an_error)
{
    static const char text[] =
        "{\"egress\": [{\"name\": \"a\", \"pool\": [\"198.51.100.0/28\"]}, {\"name\": "
        "\"b\", \"ipv4\": \"one_to_one\", \"map\": [{\"client\": \"192.0.2.1\", \"egress\": "
        "\"198.51.100.1\"}], \"assigned\": [{\"client\": \"192.0.2.1\", \"prefixes\": "
        "[\"2001:db8::/56\"]}]}]}";

    for (unsigned n = 1;; n++) {
        struct conf_error err = {""};
        struct egress_list list;

        fault_after(n);
        bool ok = conf_load_text(text, "test", egress_table, &list, sizeof list, &err);
        ck_assert(ok != fault_hit());
        ck_assert(ok || strstr(err.text, "out of memory") != NULL);
        if (ok) {
            ck_assert_uint_eq(list.count, 2);
            conf_clear(egress_table, &list);
            break;
        }
    }
    ck_assert_uint_gt(fault_allocations(), 20);
    fault_reset();
}
END_TEST

#define KEY "000102030405060708090a0b0c0d0e0f"
#define HASH "$5$rounds=1000$hSJr40AaNyATvimU$yOxH4g3J3eix1HePSlAUYfpkbFrB68VZlfWo2.Frun6"

START_TEST(loading_cookies_without_memory_is_an_error)
{
    struct tempfile s = tempfile_text("name abc\nother def\n"),
                    k = tempfile_text("1 " KEY "\n2 " KEY "\n");
    struct conf_error err;

    for (unsigned n = 1;; n++) {
        fault_after(n);
        err.text[0] = '\0';
        struct cookie_keys *c = cookie_keys_load(COOKIE_BOTH, s.path, k.path, false, &err);

        ck_assert((c == NULL) == fault_hit());
        ck_assert(c != NULL || strstr(err.text, "out of memory") != NULL);
        cookie_keys_free(c);
        if (!fault_hit())
            break;
    }
    ck_assert_uint_gt(fault_allocations(), 4);
    fault_reset();
    tempfile_done(&s);
    tempfile_done(&k);
}
END_TEST

START_TEST(loading_users_without_memory_is_an_error)
{
    struct tempfile f = tempfile_text("alice:" HASH "\nbob:!\n");

    for (unsigned n = 1;; n++) {
        struct conf_error err = {""};

        fault_after(n);
        struct auth_users *u = auth_users_load(f.path, &err);
        ck_assert((u == NULL) == fault_hit());
        ck_assert(u != NULL || strstr(err.text, "out of memory") != NULL);
        auth_users_free(u);
        if (!fault_hit())
            break;
    }
    ck_assert_uint_gt(fault_allocations(), 3);
    fault_reset();
    tempfile_done(&f);
}
END_TEST

START_TEST(a_cache_without_memory_is_null)
{
    for (unsigned n = 1;; n++) {
        fault_after(n);
        struct auth_cache *c = auth_cache_new(8, 1000);
        ck_assert((c == NULL) == fault_hit());
        auth_cache_free(c);
        if (!fault_hit())
            break;
    }
    fault_reset();
}
END_TEST

static Suite *policy_fault_suite(void)
{
    Suite *s = suite_create("policy_fault");
    TCase *t = tcase_create("all");

    tcase_add_test(t, limits_new_without_memory_is_null);
    tcase_add_test(t, admission_does_not_allocate);
    tcase_add_test(t, acl_new_without_memory_is_null);
    tcase_add_test(t, parsing_rules_without_memory_is_an_error);
    tcase_add_test(t, parsing_egress_without_memory_is_an_error);
    tcase_add_test(t, loading_cookies_without_memory_is_an_error);
    tcase_add_test(t, loading_users_without_memory_is_an_error);
    tcase_add_test(t, a_cache_without_memory_is_null);
    suite_add_tcase(s, t);
    return s;
}

int main(void)
{
    return runner_main(policy_fault_suite());
}
