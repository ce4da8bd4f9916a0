/* SPDX-License-Identifier: MIT */
#include "metrics.h"
#include "procfs.h"
#include <ares.h>
#include <inttypes.h>
#include <openssl/crypto.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#ifndef MPCONVERT_VERSION
#define MPCONVERT_VERSION "unknown"
#endif

enum { NAME_MAX_LEN = 128 };
enum type { COUNTER, GAUGE, HISTOGRAM };

struct text {
    FILE *out; /* ferror() says in the end whether all of it fitted into memory */
    bool openmetrics;
};

/* ---- Lines ---- */

/* OpenMetrics calls a counter's family by its name without "_total". */
static void family(struct text *t, const char *name, enum type type, const char *help)
{
    static const char *const word[] = {"counter", "gauge", "histogram"};
    size_t len = strlen(name), suffix = strlen("_total");

    if (t->openmetrics && type == COUNTER)
        len -= suffix;
    (void)fprintf(t->out, "# HELP %.*s %s\n# TYPE %.*s %s\n", (int)len, name, help, (int)len,
                  name, word[type]);
}

/* name{label="value" or nothing, for label NULL. Its end is `close_labels`. */
static void open_labels(struct text *t, const char *name, const char *label, const char *value)
{
    (void)fputs(name, t->out);
    if (label == NULL)
        return;
    (void)fprintf(t->out, "{%s=\"", label);
    for (; *value != '\0'; value++) {
        if (*value == '\\' || *value == '"')
            (void)fputc('\\', t->out);
        if (*value == '\n')
            (void)fputs("\\n", t->out);
        else
            (void)fputc(*value, t->out);
    }
    (void)fputc('"', t->out);
}

static void sample(struct text *t, const char *name, const char *label, const char *value,
                   uint64_t n)
{
    open_labels(t, name, label, value);
    (void)fprintf(t->out, "%s %" PRIu64 "\n", label != NULL ? "}" : "", n);
}

static void real_sample(struct text *t, const char *name, double n)
{
    (void)fprintf(t->out, "%s %.15g\n", name, n);
}

static void counter(struct text *t, const char *name, const char *help, uint64_t n)
{
    family(t, name, COUNTER, help);
    sample(t, name, NULL, NULL, n);
}

static void gauge(struct text *t, const char *name, const char *help, uint64_t n)
{
    family(t, name, GAUGE, help);
    sample(t, name, NULL, NULL, n);
}

static void real_gauge(struct text *t, const char *name, const char *help, double n)
{
    family(t, name, GAUGE, help);
    real_sample(t, name, n);
}

/* A sum that is read while it moves. */
static uint64_t not_below_zero(uint64_t n)
{
    return n > INT64_MAX ? 0 : n;
}

/* ---- The counters of STAT_MAP ---- */

static const struct naming {
    const char *name, *label, *value, *help;
} naming[STAT_COUNT] = {
    [STAT_CURRENT] = {"", NULL, NULL, NULL}, /* told by protocol */
    [STAT_UP_BYTES] = {"mpconv_relayed_bytes_total", "direction", "up",
                       "Payload octets relayed."},
    [STAT_DOWN_BYTES] = {"mpconv_relayed_bytes_total", "direction", "down", NULL},
    [STAT_AUTH_SUCCESS] = {"mpconv_auth_attempts_total", "result", "ok",
                           "Authentication attempts."},
    [STAT_AUTH_BAD_CREDENTIALS] = {"mpconv_auth_attempts_total", "result", "bad_credentials",
                                   NULL},
    [STAT_AUTH_UNKNOWN_USER] = {"mpconv_auth_attempts_total", "result", "unknown_user", NULL},
    [STAT_AUTH_DISABLED] = {"mpconv_auth_attempts_total", "result", "disabled", NULL},
    [STAT_AUTH_SOURCE] = {"mpconv_auth_attempts_total", "result", "source_not_allowed", NULL},
    [STAT_AUTH_BAD_COOKIE] = {"mpconv_auth_attempts_total", "result", "bad_cookie", NULL},
    [STAT_AUTH_THROTTLED] = {"mpconv_auth_attempts_total", "result", "throttled", NULL},
    [STAT_MPTCP_FALLBACK] = {"mpconv_mptcp_fallback_total", NULL, NULL,
                             "Connections to MPTCP listeners that were plain TCP."},
};

struct named {
    char name[NAME_MAX_LEN];
    const char *label, *value, *help;
};

/* "exact.refused_total.icmp": mpconv_exact_refused_total{kind="icmp"}. */
static struct named name_of(enum stat_id id)
{
    const char *path = stat_path(id), *last = strrchr(path, '.');
    struct named n = {
        .label = naming[id].label, .value = naming[id].value, .help = naming[id].help};

    if (naming[id].name != NULL) {
        (void)snprintf(n.name, sizeof n.name, "%s", naming[id].name);
        return n;
    }
    size_t len = strlen(path);
    if (last != NULL && last - path > 6 && strncmp(last - 6, "_total", 6) == 0) {
        n.label = "kind";
        n.value = last + 1;
        len = (size_t)(last - path);
    }
    (void)snprintf(n.name, sizeof n.name, "mpconv_%.*s", (int)len, path);
    for (char *c = n.name; *c != '\0'; c++)
        if (*c == '.')
            *c = '_';
    return n;
}

/* All samples of a family stand together, wherever the counters stand in STAT_MAP. */
static void put_counters(struct text *t, const struct stats_snapshot *s)
{
    enum { C, G }; /* the kinds of STAT_MAP */
    static const bool is_gauge[STAT_COUNT] = {
#define X(name, kind, path) [STAT_##name] = (kind) == G,
        STAT_MAP(X)
#undef X
    };
    bool done[STAT_COUNT] = {false};

    for (unsigned i = 0; i < STAT_COUNT; i++) {
        struct named first = name_of((enum stat_id)i);
        char help[2 * NAME_MAX_LEN];

        if (done[i] || first.name[0] == '\0')
            continue;
        (void)snprintf(help, sizeof help, "%s of /v1/stats.", stat_path((enum stat_id)i));
        family(t, first.name, is_gauge[i] ? GAUGE : COUNTER,
               first.help != NULL ? first.help : help);
        for (unsigned k = i; k < STAT_COUNT; k++) {
            struct named n = name_of((enum stat_id)k);

            if (strcmp(n.name, first.name) != 0)
                continue;
            done[k] = true;
            sample(t, n.name, n.label, n.value,
                   is_gauge[k] ? not_below_zero(s->value[k]) : s->value[k]);
        }
    }
}

/* ---- What has its own shape ---- */

static void put_sessions(struct text *t, const struct stats_snapshot *s,
                         const struct server_view *v)
{
    uint64_t unknown = s->value[STAT_CURRENT];

    family(t, "mpconv_sessions", GAUGE, "Live sessions.");
    for (unsigned p = 0; p < PROTOCOL_COUNT; p++) {
        if (p == PROTOCOL_UNKNOWN)
            continue;
        sample(t, "mpconv_sessions", "protocol",
               stats_json_protocol_word(protocol_name((enum protocol)p)),
               not_below_zero(s->protocol_current[p]));
        unknown -= s->protocol_current[p];
    }
    sample(t, "mpconv_sessions", "protocol", "unknown", not_below_zero(unknown));
    gauge(t, "mpconv_sessions_limit", "Sessions admitted at a time.", v->sessions_max);
    family(t, "mpconv_sessions_closed_total", COUNTER, "Sessions that ended, by reason.");
    for (unsigned r = 0; r < REASON_COUNT; r++)
        sample(t, "mpconv_sessions_closed_total", "reason", reason_name((enum reason)r),
               s->closed[r]);
    family(t, "mpconv_sessions_outcome_total", COUNTER, "Sessions that ended, by outcome.");
    for (unsigned o = 0; o < OUTCOME_COUNT; o++)
        sample(t, "mpconv_sessions_outcome_total", "outcome", outcome_name((enum outcome)o),
               s->outcome[o]);
}

/* Buckets of stats.h end at every power of two, four to the octave. h->count was read at
 * another moment: the sum of the buckets is what they add up to. */
static void put_histogram(struct text *t, const char *name, const char *help,
                          const struct histogram_snapshot *h)
{
    uint64_t below = 0;

    family(t, name, HISTOGRAM, help);
    for (unsigned i = 0; i < HISTOGRAM_BUCKETS; i++) {
        below += h->bucket[i];
        if ((i + 1) % 8 != 0) /* two octaves */
            continue;
        double bound_us = (double)(UINT64_C(1) << (i + 1) / 4);
        (void)fprintf(t->out, "%s_bucket{le=\"%.15g\"} %" PRIu64 "\n", name, bound_us / 1e6,
                      below);
    }
    (void)fprintf(t->out, "%s_bucket{le=\"+Inf\"} %" PRIu64 "\n", name, below);
    (void)fprintf(t->out, "%s_sum %.15g\n", name, (double)h->sum_us / 1e6);
    (void)fprintf(t->out, "%s_count %" PRIu64 "\n", name, below);
}

static void put_histograms(struct text *t, const struct stats_snapshot *s)
{
    put_histogram(t, "mpconv_session_duration_seconds", "Lives of sessions.",
                  &s->histogram[HISTOGRAM_SESSION]);
    put_histogram(t, "mpconv_upstream_connect_duration_seconds",
                  "Successful connects to servers and concentrators.",
                  &s->histogram[HISTOGRAM_CONNECT]);
    put_histogram(t, "mpconv_dns_duration_seconds", "DNS questions.",
                  &s->histogram[HISTOGRAM_DNS]);
    put_histogram(t, "mpconv_loop_lag_seconds", "How late loops came to their timers.",
                  &s->histogram[HISTOGRAM_LOOP_LAG]);
}

static void put_listeners(struct text *t, const struct server_view *v)
{
    family(t, "mpconv_connections_accepted_total", COUNTER, "Connections, by listener.");
    for (size_t i = 0; i < v->listener_count; i++) {
        const struct listener_view *l = &v->listeners[i];

        open_labels(t, "mpconv_connections_accepted_total", "listener", l->name);
        (void)fprintf(t->out, ",transport=\"%s\"} %" PRIu64 "\n", l->mptcp ? "mptcp" : "tcp",
                      l->accepted);
    }
}

static void put_native(struct text *t, const struct server_view *v)
{
    static const char name[] = "mpconv_native_connections_total";

    family(t, name, COUNTER, "Connections that pass by, as the firewall counts them.");
    for (size_t i = 0; i < v->native_count; i++)
        if (v->native[i].known)
            sample(t, name, "counter", v->native[i].name, v->native[i].connections);
}

static void put_mptcp(struct text *t, const struct server_view *v)
{
    static const char join[] = "mpconv_mptcp_join_total";
    struct procfs_mptcp k;

    procfs_mptcp(&k);
    gauge(t, "mpconv_mptcp_subflows", "Subflows of client connections.", v->subflows_current);
    family(t, join, COUNTER, "MP_JOINs in this network namespace, by the kernel's counters.");
    sample(t, join, "result", "ok", k.joins);
    sample(t, join, "result", "no_token", k.joins_no_token);
    sample(t, join, "result", "rejected", k.joins_rejected);
    counter(t, "mpconv_mptcp_add_addr_sent_total", "ADD_ADDRs sent in this namespace.",
            k.add_addr_sent);
    counter(t, "mpconv_mptcp_retransmits_total", "Data sent again on another subflow, here.",
            k.retransmits);
    counter(t, "mpconv_listen_overflows_total", "Full accept queues in this namespace.",
            k.listen_overflows);
}

static void put_server(struct text *t, const struct server_view *v)
{
    family(t, "mpconv_build_info", GAUGE, "What is running.");
    (void)fprintf(t->out,
                  "mpconv_build_info{version=\"%s\",jansson=\"%s\",openssl=\"%s\","
                  "cares=\"%s\"} 1\n",
                  MPCONVERT_VERSION, jansson_version_str(),
                  OpenSSL_version(OPENSSL_VERSION_STRING), ares_version(NULL));
    real_gauge(t, "mpconv_start_time_seconds", "Start, in seconds since 1970.",
               (double)v->start_wall_us / 1e6);
    gauge(t, "mpconv_generation", "Binaries that took over from another.", v->generation);
    family(t, "mpconv_state", GAUGE, "1 for the state it is in.");
    for (unsigned s = SERVER_STARTING; s <= SERVER_STOPPING; s++)
        sample(t, "mpconv_state", "state", server_state_name((enum server_state)s),
               v->state == (enum server_state)s);
    gauge(t, "mpconv_config_last_reload_successful", "Whether the last reload was applied.",
          v->last_reload_ok);
    real_gauge(t, "mpconv_config_last_reload_success_timestamp_seconds",
               "The last applied reload, or the start, in seconds since 1970.",
               (double)v->loaded_wall_us / 1e6);
    gauge(t, "mpconv_workers", "Worker threads.", v->workers);
    gauge(t, "mpconv_throttled_sources", "Sources with too many failed passwords.",
          v->throttled_sources);
    gauge(t, "mpconv_exact_held", "SYN-ACKs held now.", v->syn_acks_held);
    counter(t, "mpconv_log_records_total", "Log lines.", v->log.written);
    counter(t, "mpconv_log_records_dropped_total", "Log lines that a blocked sink lost.",
            v->log.dropped);
}

static void put_process(struct text *t)
{
    struct procfs_process p;

    procfs_process(&p);
    gauge(t, "process_open_fds", "Open file descriptors.", p.open_fds);
    gauge(t, "process_max_fds", "File descriptors it may have.", p.max_fds);
    gauge(t, "process_resident_memory_bytes", "Resident memory.", p.resident_bytes);
    family(t, "process_cpu_seconds_total", COUNTER, "CPU time, user and system.");
    real_sample(t, "process_cpu_seconds_total", p.cpu_seconds);
}

char *metrics_text(const struct stats_snapshot *s, const struct server_view *v,
                   bool openmetrics, size_t *len)
{
    char *out = NULL;
    size_t size = 0;
    struct text t = {.out = open_memstream(&out, &size), .openmetrics = openmetrics};

    if (t.out == NULL)
        return NULL;
    put_server(&t, v);
    put_sessions(&t, s, v);
    put_counters(&t, s);
    put_histograms(&t, s);
    put_listeners(&t, v);
    put_native(&t, v);
    put_mptcp(&t, v);
    put_process(&t);
    if (openmetrics)
        (void)fputs("# EOF\n", t.out);
    bool failed = ferror(t.out) != 0;
    if (fclose(t.out) != 0 || failed) {
        free(out);
        return NULL;
    }
    *len = size;
    return out;
}
