/* SPDX-License-Identifier: MIT */
#include "runner.h"
#include "status_page.h"
#include <string.h>

static struct config config;
static struct listener_view listeners[2];
static struct server_view view;
static struct stats *stats;
static char *html;
static size_t len;

static void setup(void)
{
    static char node[] = "a<b>&c";

    config.node = node;
    (void)snprintf(listeners[0].name, sizeof listeners[0].name, "first");
    (void)snprintf(listeners[1].name, sizeof listeners[1].name, "second");
    listeners[0].state = listeners[1].state = "accepting";
    view = (struct server_view){.config = &config,
                                .state = SERVER_SERVING,
                                .listeners = listeners,
                                .listener_count = 2,
                                .up_per_second = 1.5};
    stats = stats_new();
    ck_assert_ptr_nonnull(stats);
    stats_add(stats, STAT_UP_BYTES, 4711);
    struct stats_snapshot sum = {0};
    stats_sum(&sum, stats);
    html = status_page(&sum, &view, &len);
    ck_assert_ptr_nonnull(html);
}

static void teardown(void)
{
    stats_free(stats);
    free(html);
}

static bool has_row(const char *figure, const char *value)
{
    char row[256];

    (void)snprintf(row, sizeof row, "<tr><td>%s</td><td>%s</td></tr>\n", figure, value);
    return strstr(html, row) != NULL;
}

START_TEST(every_figure_is_a_row_at_any_depth)
{
    ck_assert(has_row("state", "serving"));
    ck_assert(has_row("traffic.up_bytes_total", "4711"));
    ck_assert(has_row("traffic.up_bytes_per_second", "1.5"));
    ck_assert(has_row("sessions.by_protocol.socks5.current", "0"));
    ck_assert(has_row("listeners[0].name", "first"));
    ck_assert(has_row("listeners[1].name", "second"));
    ck_assert(has_row("listeners[1].tls", "false"));
}
END_TEST

START_TEST(text_cannot_become_markup)
{
    ck_assert(has_row("node", "a&lt;b&gt;&amp;c"));
}
END_TEST

START_TEST(it_is_one_whole_page)
{
    ck_assert_uint_eq(strlen(html), len);
    ck_assert_int_eq(strncmp(html, "<!doctype html>", 15), 0);
    ck_assert_str_eq(html + len - 8, "</html>\n");
    ck_assert_ptr_null(strstr(html, "<!--FIGURES-->"));
}
END_TEST

START_TEST(its_policy_has_two_hashes)
{
    char policy[STATUS_PAGE_POLICY_MAX];

    ck_assert(status_page_policy(policy));
    const char *style = strstr(policy, "style-src 'sha256-");
    const char *script = strstr(policy, "script-src 'sha256-");
    ck_assert_ptr_nonnull(style);
    ck_assert_ptr_nonnull(script);
    ck_assert_int_ne(strncmp(style + 18, script + 19, 43), 0);
    ck_assert_str_eq(policy + strlen(policy) - 2, "='");
}
END_TEST

int main(void)
{
    Suite *s = suite_create("status_page");
    TCase *c = tcase_create("status_page");

    tcase_add_checked_fixture(c, setup, teardown);
    tcase_add_test(c, every_figure_is_a_row_at_any_depth);
    tcase_add_test(c, text_cannot_become_markup);
    tcase_add_test(c, it_is_one_whole_page);
    tcase_add_test(c, its_policy_has_two_hashes);
    suite_add_tcase(s, c);
    return runner_main(s);
}
