/* SPDX-License-Identifier: MIT */
/* Every allocation of loading, dumping and comparing a configuration fails once, jansson's
 * included. */
#include "base/check.h"
#include "fault.h"
#include "options.h"
#include "runner.h"
#include "tempfile.h"
#include <string.h>

/* jansson is a shared library, out of reach of the linker's wrapping: lend it allocators that
 * are not. */
static void *lend_malloc(size_t size)
{
    return malloc(size);
}

static void lend_free(void *ptr)
{
    free(ptr);
}

static void lend(void)
{
    json_set_alloc_funcs(lend_malloc, lend_free);
}

/* Something of every type, and a list of each kind. */
static void compose(char *text, size_t size, const char *users, const char *cookies)
{
    (void)snprintf(
        text, size,
        "{\"node\": \"n\", \"listeners\": [{\"name\": \"a\", \"address\": \"127.0.0.1:0\"},"
        "{\"name\": \"b\", \"address\": \"[::1]:0\", \"protocols\": [\"socks4\", \"pm08\"]}],"
        "\"stats\": {\"hosts\": [\"x.example\", \"y.example\"]}, \"auth\": {\"users_file\": "
        "\"%s\", \"exempt\": [\"192.0.2.0/24\"]},"
        "\"acl\": {\"rules\": [{\"action\": \"deny\", \"target\": [\"192.0.2.0/24\", "
        "\"*.example.net\"], \"port\": [1, \"2-3\"],"
        "\"user\": [\"u\"], \"source\": [\"2001:db8::/32\"]}]}, \"cookie\": {\"mode\": "
        "\"both\", \"static_file\": \"%s\"},"
        "\"dns\": {\"servers\": [\"192.0.2.53\"]}}",
        users, cookies);
}

START_TEST(load_fails_whole_when_memory_runs_out)
{
    struct tempfile users = tempfile_text("alice:*\n"),
                    cookies = tempfile_text("name hex:a0a1a2a3\n");
    unsigned n, failed = 0;
    char text[1024];

    compose(text, sizeof text, users.path, cookies.path);
    for (n = 1;; n++) {
        struct conf_error err = {""};
        struct config *c;

        fault_after(n);
        c = options_load_text(text, "test.json", &err);
        if (!fault_hit()) {
            fault_reset();
            ck_assert_msg(c != NULL, "%s", err.text);
            config_unref(c);
            break;
        }
        fault_reset();
        if (c == NULL) {
            failed++;
            ck_assert_msg(strlen(err.text) > 0, "allocation %u", n);
        }
        config_unref(c);
    }
    ck_assert_uint_gt(failed, 20);
    tempfile_done(&users);
    tempfile_done(&cookies);
}
END_TEST

START_TEST(file_fails_whole_when_memory_runs_out)
{
    struct tempfile f = tempfile_text("{\"node\": \"n\"}");

    for (unsigned n = 1;; n++) {
        struct conf_error err = {""};
        struct config *c;

        fault_after(n);
        c = options_load(f.path, &err);
        if (!fault_hit()) {
            fault_reset();
            config_unref(c);
            break;
        }
        fault_reset();
        ck_assert(c != NULL || strlen(err.text) > 0);
        config_unref(c);
    }
    tempfile_done(&f);
}
END_TEST

START_TEST(dump_is_whole_or_nothing_when_memory_runs_out)
{
    struct conf_error err = {""};
    struct config *c;
    char *whole, *text;

    lend();
    c = options_load_text("{\"acl\": {\"rules\": [{\"action\": \"allow\", \"target\": "
                          "[\"192.0.2.0/24\", \"a.example\"], \"port\": [1, \"2-3\"]}]}}",
                          "test.json", &err);
    ck_assert_msg(c != NULL, "%s", err.text);
    whole = options_dump_text(c, true);
    ck_assert_ptr_nonnull(whole);
    for (unsigned n = 1;; n++) {
        bool hit;

        fault_after(n);
        text = options_dump_text(c, true);
        hit = fault_hit();
        fault_reset();
        if (!hit)
            break;
        ck_assert_msg(text == NULL || strcmp(text, whole) == 0, "allocation %u: %s", n, text);
        free(text);
    }
    ck_assert_str_eq(text, whole);
    free(text);
    free(whole);
    config_unref(c);
}
END_TEST

START_TEST(comparison_never_mistakes_lack_of_memory_for_equality)
{
    struct conf_error err = {""};
    struct config *a, *b;

    lend();
    a = options_load_text("{}", "a.json", &err);
    b = options_load_text("{\"workers\": 9}", "b.json", &err);
    ck_assert(a != NULL && b != NULL);
    for (unsigned n = 1;; n++) {
        bool hit, good;

        fault_after(n);
        good = options_reloadable(a, b, &err);
        hit = fault_hit();
        fault_reset();
        ck_assert(!good);
        if (!hit)
            break;
    }
    ck_assert_str_eq(err.text, "b.json: workers: needs a restart to change");
    config_unref(a);
    config_unref(b);
}
END_TEST

int main(void)
{
    Suite *s = suite_create("conf_fault");
    TCase *tc = tcase_create("conf_fault");

    tcase_add_test(tc, load_fails_whole_when_memory_runs_out);
    tcase_add_test(tc, file_fails_whole_when_memory_runs_out);
    tcase_add_test(tc, dump_is_whole_or_nothing_when_memory_runs_out);
    tcase_add_test(tc, comparison_never_mistakes_lack_of_memory_for_equality);
    tcase_set_timeout(tc, 100);
    suite_add_tcase(s, tc);
    return runner_main(s);
}
