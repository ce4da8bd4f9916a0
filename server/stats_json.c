/* SPDX-License-Identifier: MIT */
/* STAT_MAP and HISTOGRAM_MAP carry the paths of their figures, so that a new counter shows up
 * in the document by itself. What each member means, and which of them are derived:
 * docs/stats.md. */
#include "stats_json.h"
#include "auth.h"
#include "doc.h"
#include "procfs.h"
#include "via_json.h"
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <string.h>
#include <sys/utsname.h>
#include <unistd.h>

#ifndef MPCONVERT_VERSION
#define MPCONVERT_VERSION "unknown"
#endif

const char *server_state_name(enum server_state s)
{
    switch (s) {
    case SERVER_STARTING:
        return "starting";
    case SERVER_SERVING:
        return "serving";
    case SERVER_OVERLOADED:
        return "overloaded";
    case SERVER_DRAINING:
        return "draining";
    case SERVER_STOPPING:
        break;
    }
    return "stopping";
}

void time_text(uint64_t wall_us, char out[32])
{
    doc_time_text(wall_us, out);
}

/* The documents' word for a protocol: "plain" is the draft's own name for what the
 * configuration calls mp_convert. */
static const char *protocol_word(enum protocol p)
{
    static const char *const word[PROTOCOL_COUNT] = {
        [PROTOCOL_UNKNOWN] = "unknown", [PROTOCOL_SOCKS5] = "socks5",
        [PROTOCOL_SOCKS4] = "socks4",   [PROTOCOL_MP_CONVERT] = "plain",
        [PROTOCOL_PM08] = "plain08",    [PROTOCOL_CONVERT] = "convert",
        [PROTOCOL_HTTP] = "http",       [PROTOCOL_TRANSPARENT] = "transparent",
    };

    return word[p];
}

bool stats_json_protocol(const char *text, enum protocol *out)
{
    for (unsigned p = 0; p < PROTOCOL_COUNT; p++) {
        if (strcmp(text, protocol_word((enum protocol)p)) == 0 ||
            strcmp(text, protocol_name((enum protocol)p)) == 0) {
            *out = (enum protocol)p;
            return true;
        }
    }
    return false;
}

const char *stats_json_protocol_word(const char *name)
{
    enum protocol p = PROTOCOL_UNKNOWN;

    if (name != NULL)
        (void)stats_json_protocol(name, &p); /* else: unknown */
    return protocol_word(p);
}

static json_t *text_or_empty(const char *s)
{
    return s == NULL || *s == '\0' ? json_string("") : doc_text(s);
}

/* `prefix` and the name in lower case: "sessions.outcome_total." "REFUSED". */
static void put_lower(struct doc *d, const char *prefix, const char *name, uint64_t value)
{
    char path[DOC_PATH_MAX];
    size_t len = (size_t)snprintf(path, sizeof path, "%s", prefix); /* our own literals */

    for (; *name != '\0' && len < sizeof path - 1; name++)
        path[len++] = (char)(*name >= 'A' && *name <= 'Z' ? *name - 'A' + 'a' : *name);
    path[len] = '\0';
    doc_put(d, path, doc_number(value));
}

static void put_counters(struct doc *d, const struct stats_snapshot *s)
{
    enum { C, G }; /* the kinds of STAT_MAP */
    static const bool is_gauge[STAT_COUNT] = {
#define X(name, kind, path) [STAT_##name] = (kind) == G,
        STAT_MAP(X)
#undef X
    };

    for (unsigned i = 0; i < STAT_COUNT; i++)
        doc_put(d, stat_path((enum stat_id)i),
                is_gauge[i] ? doc_gauge(s->value[i]) : doc_number(s->value[i]));
    for (unsigned r = 0; r < REASON_COUNT; r++)
        put_lower(d, "sessions.closed_total.", reason_name((enum reason)r), s->closed[r]);
    for (unsigned o = 0; o < OUTCOME_COUNT; o++)
        put_lower(d, "sessions.outcome_total.", outcome_name((enum outcome)o), s->outcome[o]);
}

static void put_histograms(struct doc *d, const struct stats_snapshot *s)
{
    static const char *const path[HISTOGRAM_COUNT] = {
#define X(name, text) [HISTOGRAM_##name] = (text),
        HISTOGRAM_MAP(X)
#undef X
    };

    for (unsigned i = 0; i < HISTOGRAM_COUNT; i++) {
        const struct histogram_snapshot *h = &s->histogram[i];

        doc_put_in(d, path[i], "count", doc_number(h->count));
        doc_put_in(d, path[i], "sum", doc_seconds(h->sum_us));
        doc_put_in(d, path[i], "p50", doc_seconds(histogram_percentile_us(h, 0.5)));
        doc_put_in(d, path[i], "p90", doc_seconds(histogram_percentile_us(h, 0.9)));
        doc_put_in(d, path[i], "p99", doc_seconds(histogram_percentile_us(h, 0.99)));
        doc_put_in(d, path[i], "max", doc_seconds(h->max_us));
    }
}

/* What no protocol claims yet (or never said anything we know) is "unknown": so the parts
 * always add up to the whole. */
static void put_protocols(struct doc *d, const struct stats_snapshot *s)
{
    uint64_t current = s->value[STAT_CURRENT], total = s->value[STAT_ACCEPTED];

    for (unsigned p = 0; p < PROTOCOL_COUNT; p++) {
        char path[DOC_PATH_MAX / 2];

        if (p == PROTOCOL_UNKNOWN)
            continue;
        (void)snprintf(path, sizeof path, "sessions.by_protocol.%s",
                       protocol_word((enum protocol)p));
        doc_put_in(d, path, "current", doc_gauge(s->protocol_current[p]));
        doc_put_in(d, path, "total", doc_number(s->protocol_total[p]));
        current -= s->protocol_current[p];
        total -= s->protocol_total[p];
    }
    doc_put(d, "sessions.by_protocol.unknown.current", doc_gauge(current));
    doc_put(d, "sessions.by_protocol.unknown.total", doc_gauge(total));
}

static void put_server(struct doc *d, const struct server_view *v)
{
    struct utsname host;

    doc_put(d, "schema", json_string("https://example.invalid/schema/stats-v1.json"));
    doc_put(d, "schema_version", json_string("1.0"));
    doc_put(d, "node", text_or_empty(v->config->node));
    doc_put(d, "version", json_string(MPCONVERT_VERSION));
    doc_put(d, "build", json_string("cc " __VERSION__ ", jansson " JANSSON_VERSION));
    if (uname(&host) == 0)
        doc_put(d, "kernel", text_or_empty(host.release));
    doc_put(d, "pid", json_integer(getpid()));
    doc_put(d, "generation", doc_number(v->generation));
    doc_put(d, "state", json_string(server_state_name(v->state)));
    doc_put(d, "time", doc_time(v->now_wall_us));
    doc_put(d, "start_time", doc_time(v->start_wall_us));
    doc_put(d, "uptime_seconds", doc_seconds(v->uptime_us));
    doc_put(d, "config.path", text_or_empty(v->config->path));
    doc_put(d, "config.sha256", json_string(v->config->sha256));
    doc_put(d, "config.loaded_time", doc_time(v->loaded_wall_us));
    doc_put(d, "config.reload_success_total", doc_number(v->reload_success));
    doc_put(d, "config.reload_failure_total", doc_number(v->reload_failure));
    doc_put(d, "config.last_reload_ok", json_boolean(v->last_reload_ok));
    doc_put(d, "sessions.max", json_integer(v->sessions_max));
    doc_put(d, "sessions.peak", doc_number(v->sessions_peak));
    doc_put(d, "traffic.up_bytes_per_second", doc_real(v->up_per_second));
    doc_put(d, "traffic.down_bytes_per_second", doc_real(v->down_per_second));
    doc_put(d, "auth.backend", json_string(v->config->users != NULL ? "file" : "none"));
    doc_put(d, "auth.users_configured",
            doc_number(v->config->users != NULL ? auth_users_count(v->config->users) : 0));
    doc_put(d, "auth.users_active", json_integer(v->users_active));
    doc_put(d, "auth.throttled_sources", json_integer(v->throttled_sources));
    doc_put(d, "logs.written_total", doc_number(v->log.written));
    doc_put(d, "logs.dropped_total", doc_number(v->log.dropped));
    doc_put(d, "logs.queue_bytes", doc_number(v->log.queued_bytes));
}

static void put_process(struct doc *d, const struct server_view *v)
{
    struct procfs_process p;

    procfs_process(&p);
    doc_put(d, "process.workers", json_integer(v->workers));
    doc_put(d, "process.open_fds", doc_number(p.open_fds));
    doc_put(d, "process.max_fds", doc_number(p.max_fds));
    doc_put(d, "process.resident_memory_bytes", doc_number(p.resident_bytes));
    doc_put(d, "process.cpu_seconds_total", doc_real(p.cpu_seconds));
}

static void put_mptcp(struct doc *d, const struct server_view *v, const struct procfs_mptcp *k)
{
    bool listening = false;

    for (size_t i = 0; i < v->listener_count; i++)
        listening = listening || v->listeners[i].mptcp;
    doc_put(d, "mptcp.enabled", json_boolean(mptcp_enabled()));
    doc_put(d, "mptcp.listener_mptcp", json_boolean(listening));
    doc_put(d, "mptcp.sysctl", procfs_mptcp_sysctls());
    doc_put(d, "mptcp.subflows_current", doc_number(v->subflows_current));
    doc_put(d, "mptcp.subflows_per_session", json_object());
    for (unsigned k_subflows = 1; k_subflows <= MPTCP_SUBFLOWS_MAX; k_subflows++) {
        char key[16];

        (void)snprintf(key, sizeof key, "%u", k_subflows); /* fits */
        if (v->subflows_per_session[k_subflows] > 0)
            doc_put_in(d, "mptcp.subflows_per_session", key,
                       doc_number(v->subflows_per_session[k_subflows]));
    }
    doc_put(d, "mptcp.join_total", doc_number(k->joins));
    doc_put(d, "mptcp.join_rejected_total", doc_number(k->joins_rejected));
    doc_put(d, "mptcp.join_no_token_total", doc_number(k->joins_no_token));
    doc_put(d, "mptcp.add_addr_sent_total", doc_number(k->add_addr_sent));
    doc_put(d, "mptcp.retransmits_total", doc_number(k->retransmits));
    doc_put(d, "mptcp.bytes_retransmitted_total",
            json_integer(0)); /* the kernel has no such counter */
}

/* ---- listeners ---- */

/* A listening socket's TCP_INFO: tcpi_unacked is the length of its accept queue. */
static uint64_t accept_queue(const struct view_fds *fds)
{
    uint64_t sum = 0;

    for (uint32_t i = 0; i < fds->count; i++) {
        struct tcp_info info = {0};
        socklen_t len = sizeof info;

        if (getsockopt(fds->fd[i], IPPROTO_TCP, TCP_INFO, &info, &len) == 0)
            sum += info.tcpi_unacked;
    }
    return sum;
}

/* The schema knows four words and one per listener; "protocols" has them all. */
static const char *first_protocol(unsigned bits)
{
    if (bits & (PROTOCOL_BIT(PROTOCOL_SOCKS5) | PROTOCOL_BIT(PROTOCOL_SOCKS4)))
        return "socks5";
    if (bits & (PROTOCOL_BIT(PROTOCOL_MP_CONVERT) | PROTOCOL_BIT(PROTOCOL_PM08)))
        return "plain";
    return bits & PROTOCOL_BIT(PROTOCOL_CONVERT) ? "convert" : "stats";
}

static json_t *protocol_list(unsigned bits)
{
    json_t *list = json_array();

    for (unsigned p = 0; list != NULL && p < PROTOCOL_COUNT; p++) {
        if ((bits & PROTOCOL_BIT(p)) != 0 &&
            json_array_append_new(list, json_string(protocol_word((enum protocol)p))) != 0) {
            json_decref(list);
            list = NULL;
        }
    }
    return list;
}

static json_t *address_text(const struct addr *a)
{
    char text[ADDR_TEXT_MAX];

    return json_string(addr_print(a, text, sizeof text));
}

static json_t *listener_json(const struct listener_view *l, uint64_t overflows)
{
    struct doc d = doc_new();

    doc_put(&d, "name", text_or_empty(l->name));
    doc_put(&d, "address", address_text(&l->address));
    doc_put(&d, "protocol", json_string(first_protocol(l->protocols)));
    doc_put(&d, "protocols", protocol_list(l->protocols));
    doc_put(&d, "transport", json_string(l->mptcp ? "mptcp" : "tcp"));
    doc_put(&d, "tls", json_boolean(l->tls));
    doc_put(&d, "exact", json_boolean(l->exact));
    doc_put(&d, "state", json_string(l->state));
    doc_put(&d, "accepted_total", doc_number(l->accepted));
    doc_put(&d, "backlog", json_integer(l->backlog));
    doc_put(&d, "backlog_current", doc_number(accept_queue(&l->fds)));
    doc_put(&d, "overflows_total", doc_number(overflows));
    doc_put(&d, "overflows_scope", json_string("network_namespace"));
    return doc_finish(&d);
}

static json_t *listeners_json(const struct server_view *v, uint64_t overflows)
{
    json_t *list = json_array();

    for (size_t i = 0; list != NULL && i < v->listener_count; i++) {
        if (json_array_append_new(list, listener_json(&v->listeners[i], overflows)) != 0) {
            json_decref(list);
            list = NULL;
        }
    }
    return list;
}

/* By counter, as the configuration names them. */
static json_t *native_json(const struct server_view *v)
{
    json_t *out = json_object();

    for (size_t i = 0; out != NULL && i < v->native_count; i++) {
        const struct native_counter *c = &v->native[i];

        if (json_object_set_new(out, c->name,
                                c->known ? doc_number(c->connections) : json_null()) == 0)
            continue;
        json_decref(out);
        out = NULL;
    }
    return out;
}

json_t *stats_json(const struct stats_snapshot *s, const struct server_view *v)
{
    struct doc d = doc_new();
    struct procfs_mptcp kernel;

    procfs_mptcp(&kernel);
    put_server(&d, v);
    put_process(&d, v);
    put_mptcp(&d, v, &kernel);
    put_counters(&d, s);
    doc_put(&d, "upstream.remembered.slow_networks", doc_number(v->offers.slow));
    doc_put(&d, "upstream.remembered.plain_servers", doc_number(v->offers.plain));
    doc_put(&d, "upstream.remembered.mptcp_servers", doc_number(v->offers.mptcp));
    doc_put(&d, "exact.held_current", doc_number(v->syn_acks_held));
    doc_put(&d, "exact.entries_current", doc_number(v->syn_acks_tracked));
    if (v->via != NULL)
        via_json(&d, &v->config->via, v->via, v->now_ms);
    put_protocols(&d, s);
    put_histograms(&d, s);
    doc_put(&d, "native.connections_total", native_json(v));
    doc_put(&d, "listeners", listeners_json(v, kernel.listen_overflows));
    return doc_finish(&d);
}

json_t *problem_json(int status, const char *title, const char *detail)
{
    struct doc d = doc_new();

    doc_put(&d, "type",
            json_string("about:blank")); /* RFC 9457 s4.2.1: the status code says it all */
    doc_put(&d, "title", json_string(title));
    doc_put(&d, "status", json_integer(status));
    doc_put(&d, "detail", json_string(detail));
    return doc_finish(&d);
}
