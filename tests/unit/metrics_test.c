/* SPDX-License-Identifier: MIT */
#include "metrics.h"
#include "runner.h"
#include <stdlib.h>
#include <string.h>

static struct config config;
static struct listener_view listener;
static struct server_view view;
static struct stats *stats;
static char *text;
static size_t len;

static void setup(void)
{
    listener = (struct listener_view){.name = "main", .mptcp = true, .accepted = 5};
    view = (struct server_view){.config = &config,
                                .state = SERVER_DRAINING,
                                .listeners = &listener,
                                .listener_count = 1,
                                .sessions_max = 50000};
    stats = stats_new();
    ck_assert_ptr_nonnull(stats);
}

static void teardown(void)
{
    stats_free(stats);
    free(text);
    text = NULL;
}

static void render(bool openmetrics)
{
    struct stats_snapshot sum = {0};

    stats_sum(&sum, stats);
    free(text);
    text = metrics_text(&sum, &view, openmetrics, &len);
    ck_assert_ptr_nonnull(text);
    ck_assert_uint_eq(strlen(text), len);
}

/* Whether `line` stands there, whole. */
static bool has(const char *line)
{
    size_t size = strlen(line);

    for (const char *at = text; (at = strstr(at, line)) != NULL; at++)
        if ((at == text || at[-1] == '\n') && at[size] == '\n')
            return true;
    return false;
}

static unsigned times(const char *what)
{
    unsigned n = 0;

    for (const char *at = text; (at = strstr(at, what)) != NULL; at++)
        n++;
    return n;
}

START_TEST(each_counter_is_told_once)
{
    for (unsigned i = 0; i < STAT_COUNT; i++)
        stats_add(stats, (enum stat_id)i, 1000000 + i);
    render(false);
    for (unsigned i = 0; i < STAT_COUNT; i++) {
        char value[32];

        (void)snprintf(value, sizeof value, " %u\n", 1000000 + i);
        ck_assert_msg(times(value) == 1, "%s: %u times", stat_path((enum stat_id)i),
                      times(value)); /* the sessions as those of an unknown protocol */
    }
    ck_assert(has("mpconv_sessions{protocol=\"unknown\"} 1000003"));
}
END_TEST

START_TEST(families_stand_together_and_have_help_and_type)
{
    render(false);
    const char *family = NULL;
    size_t size = 0;
    unsigned families = 0;

    for (const char *line = text; *line != '\0'; line = strchr(line, '\n') + 1) {
        if (strncmp(line, "# HELP ", 7) == 0) {
            family = line + 7;
            size = strcspn(family, " ");
            families++;
            char type[160];
            (void)snprintf(type, sizeof type, "\n# TYPE %.*s ", (int)size, family);
            ck_assert_uint_eq(times(type), 1);
        } else if (line[0] != '#') {
            ck_assert_msg(family != NULL && strncmp(line, family, size) == 0, "%.80s", line);
        }
    }
    ck_assert_uint_gt(families, 50);
}
END_TEST

START_TEST(names_come_from_the_table_or_from_the_path)
{
    stats_add(stats, STAT_UP_BYTES, 11);
    stats_add(stats, STAT_DOWN_BYTES, 22);
    stats_add(stats, STAT_EXACT_REFUSED_ICMP, 33);
    stats_add(stats, STAT_UPSTREAM_IPV4, 44);
    render(false);
    ck_assert(has("mpconv_relayed_bytes_total{direction=\"up\"} 11"));
    ck_assert(has("mpconv_relayed_bytes_total{direction=\"down\"} 22"));
    ck_assert(has("mpconv_exact_refused_total{kind=\"icmp\"} 33"));
    ck_assert(has("mpconv_upstream_family_ipv4_total 44"));
    ck_assert(has("# HELP mpconv_upstream_family_ipv4_total upstream.family.ipv4_total of "
                  "/v1/stats."));
}
END_TEST

START_TEST(the_state_is_one_of_all)
{
    render(false);
    ck_assert(has("mpconv_state{state=\"draining\"} 1"));
    ck_assert(has("mpconv_state{state=\"serving\"} 0"));
    ck_assert(has("mpconv_sessions_limit 50000"));
}
END_TEST

START_TEST(bounds_of_histograms_are_exact)
{
    static const uint64_t us[] = {0, 3, 4, 1023, 1024, UINT64_C(1) << 50};

    for (size_t i = 0; i < sizeof us / sizeof *us; i++)
        stats_duration(stats, HISTOGRAM_CONNECT, us[i]);
    render(false);
    ck_assert(has("mpconv_upstream_connect_duration_seconds_bucket{le=\"4e-06\"} 2"));
    ck_assert(has("mpconv_upstream_connect_duration_seconds_bucket{le=\"1.6e-05\"} 3"));
    ck_assert(has("mpconv_upstream_connect_duration_seconds_bucket{le=\"0.001024\"} 4"));
    ck_assert(has("mpconv_upstream_connect_duration_seconds_bucket{le=\"0.004096\"} 5"));
    ck_assert(has("mpconv_upstream_connect_duration_seconds_bucket{le=\"+Inf\"} 6"));
    ck_assert(has("mpconv_upstream_connect_duration_seconds_count 6"));
}
END_TEST

START_TEST(a_gauge_read_while_it_moves_is_never_negative)
{
    stats_sub(stats, STAT_CONNECTING, 1);
    stats_protocol(stats, PROTOCOL_CONVERT, true);
    render(false);
    ck_assert(has("mpconv_sessions_connecting 0"));
    ck_assert(has("mpconv_sessions{protocol=\"convert\"} 1"));
    ck_assert(has("mpconv_sessions{protocol=\"unknown\"} 0"));
}
END_TEST

START_TEST(labels_are_escaped)
{
    (void)snprintf(listener.name, sizeof listener.name, "a\"b\\c\nd");
    render(false);
    ck_assert(has("mpconv_connections_accepted_total{listener=\"a\\\"b\\\\c\\nd\","
                  "transport=\"mptcp\"} 5"));
}
END_TEST

START_TEST(openmetrics_names_families_without_total_and_ends)
{
    render(true);
    ck_assert(has("# TYPE mpconv_relayed_bytes counter"));
    ck_assert_uint_eq(times("# TYPE mpconv_relayed_bytes_total"), 0);
    ck_assert(has("mpconv_relayed_bytes_total{direction=\"up\"} 0"));
    ck_assert_str_eq(text + len - 6, "# EOF\n");
    render(false);
    ck_assert_uint_eq(times("# EOF"), 0);
}
END_TEST

int main(void)
{
    Suite *s = suite_create("metrics");
    TCase *c = tcase_create("metrics");

    tcase_add_checked_fixture(c, setup, teardown);
    tcase_add_test(c, each_counter_is_told_once);
    tcase_add_test(c, families_stand_together_and_have_help_and_type);
    tcase_add_test(c, names_come_from_the_table_or_from_the_path);
    tcase_add_test(c, the_state_is_one_of_all);
    tcase_add_test(c, bounds_of_histograms_are_exact);
    tcase_add_test(c, a_gauge_read_while_it_moves_is_never_negative);
    tcase_add_test(c, labels_are_escaped);
    tcase_add_test(c, openmetrics_names_families_without_total_and_ends);
    suite_add_tcase(s, c);
    return runner_main(s);
}
