/* SPDX-License-Identifier: MIT */
#include "procfs.h"
#include "runner.h"
#include "stats_json.h"
#include <arpa/inet.h>
#include <netinet/tcp.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

/* ---- a server to tell of ---- */

struct world {
    struct config config;
    struct stats *stats;
    struct stats_snapshot sum;
    struct listener_view listener;
    struct server_view view;
};

static struct addr ip(const char *text)
{
    struct addr a;

    ck_assert_msg(addr_parse(text, &a), "%s", text);
    return a;
}

/* Five accepted, three closed, two live: one by Convert, one that has not said anything yet. */
static void world_make(struct world *w)
{
    static char node[] = "node-1", path[] = "/etc/mpconvert/mpconvertd.json";

    memset(w, 0, sizeof *w);
    w->config.node = node;
    w->config.path = path;
    memset(w->config.sha256, 'b', 64);
    w->stats = stats_new();
    ck_assert_ptr_nonnull(w->stats);
    stats_add(w->stats, STAT_ACCEPTED, 5);
    stats_add(w->stats, STAT_CURRENT, 2);
    stats_protocol(w->stats, PROTOCOL_CONVERT, true);
    stats_protocol(w->stats, PROTOCOL_SOCKS5, true);
    stats_protocol(w->stats, PROTOCOL_SOCKS5, false);
    stats_closed(w->stats, OUTCOME_OK, 1500000);
    stats_closed(w->stats, OUTCOME_REFUSED, 20000);
    stats_closed(w->stats, OUTCOME_DENIED, 10);
    stats_sum(&w->sum, w->stats);
    w->listener = (struct listener_view){
        .name = "main",
        .address = ip("[2001:db8::10]:1080"),
        .protocols = PROTOCOL_BIT(PROTOCOL_SOCKS5) | PROTOCOL_BIT(PROTOCOL_CONVERT) |
                     PROTOCOL_BIT(PROTOCOL_MP_CONVERT),
        .mptcp = true,
        .state = "accepting",
        .accepted = 5,
        .backlog = 4096,
    };
    w->view = (struct server_view){
        .config = &w->config,
        .state = SERVER_SERVING,
        .now_wall_us = UINT64_C(1795372803512311),
        .start_wall_us = UINT64_C(1795154400101000),
        .uptime_us = 218403411000,
        .workers = 2,
        .sessions_max = 50000,
        .listeners = &w->listener,
        .listener_count = 1,
        .up_per_second = 1.5,
        .subflows_current = 7,
        .subflows_per_session = {0, 1, 3},
    };
}

static void world_done(struct world *w)
{
    stats_free(w->stats);
}

static json_t *document(const struct world *w)
{
    json_t *doc = stats_json(&w->sum, &w->view);

    ck_assert_ptr_nonnull(doc);
    return doc;
}

/* Dotted path; NULL when any part is missing. */
static json_t *at(json_t *doc, const char *path)
{
    char key[128];

    while (doc != NULL && *path != '\0') {
        size_t len = strcspn(path, ".");

        ck_assert_uint_lt(len, sizeof key);
        memcpy(key, path, len);
        key[len] = '\0';
        doc = json_object_get(doc, key);
        path += len + (path[len] == '.');
    }
    return doc;
}

static int64_t integer(json_t *doc, const char *path)
{
    json_t *v = at(doc, path);

    ck_assert_msg(json_is_integer(v), "%s", path);
    return json_integer_value(v);
}

/* ---- /v1/stats ---- */

/* stats-v1: "integer", "number", "string", "boolean", "object", "array", as i, n, s, b, o, a.
 */
static const struct {
    const char *path;
    char type;
} required[] = {
    {"schema", 's'},
    {"schema_version", 's'},
    {"node", 's'},
    {"version", 's'},
    {"pid", 'i'},
    {"generation", 'i'},
    {"state", 's'},
    {"time", 's'},
    {"start_time", 's'},
    {"uptime_seconds", 'n'},
    {"config.path", 's'},
    {"config.sha256", 's'},
    {"config.loaded_time", 's'},
    {"config.reload_success_total", 'i'},
    {"config.reload_failure_total", 'i'},
    {"config.last_reload_ok", 'b'},
    {"process.workers", 'i'},
    {"process.open_fds", 'i'},
    {"process.max_fds", 'i'},
    {"process.resident_memory_bytes", 'i'},
    {"process.cpu_seconds_total", 'n'},
    {"process.loop_lag_seconds.p50", 'n'},
    {"process.loop_lag_seconds.p99", 'n'},
    {"process.loop_lag_seconds.max", 'n'},
    {"mptcp.enabled", 'b'},
    {"mptcp.listener_mptcp", 'b'},
    {"mptcp.sysctl", 'o'},
    {"mptcp.sessions_current", 'i'},
    {"mptcp.sessions_fallback_tcp_total", 'i'},
    {"mptcp.subflows_current", 'i'},
    {"mptcp.subflows_per_session", 'o'},
    {"mptcp.join_total", 'i'},
    {"mptcp.join_rejected_total", 'i'},
    {"mptcp.join_no_token_total", 'i'},
    {"mptcp.add_addr_sent_total", 'i'},
    {"mptcp.retransmits_total", 'i'},
    {"mptcp.bytes_retransmitted_total", 'i'},
    {"sessions.current", 'i'},
    {"sessions.max", 'i'},
    {"sessions.peak", 'i'},
    {"sessions.handshaking", 'i'},
    {"sessions.connecting", 'i'},
    {"sessions.draining", 'i'},
    {"sessions.accepted_total", 'i'},
    {"sessions.refused_total", 'i'},
    {"sessions.by_protocol", 'o'},
    {"sessions.closed_total", 'o'},
    {"sessions.duration_seconds.count", 'i'},
    {"sessions.duration_seconds.sum", 'n'},
    {"traffic.up_bytes_total", 'i'},
    {"traffic.down_bytes_total", 'i'},
    {"traffic.up_bytes_per_second", 'n'},
    {"traffic.down_bytes_per_second", 'n'},
    {"traffic.buffered_bytes", 'i'},
    {"upstream.connect_attempts_total", 'i'},
    {"upstream.connect_success_total", 'i'},
    {"upstream.connect_duration_seconds.count", 'i'},
    {"upstream.connect_duration_seconds.sum", 'n'},
    {"upstream.family.ipv4_total", 'i'},
    {"upstream.family.ipv6_total", 'i'},
    {"upstream.mptcp_total", 'i'},
    {"upstream.mptcp_offered_total", 'i'},
    {"upstream.mptcp_declined_total", 'i'},
    {"upstream.mptcp_withheld_total", 'o'},
    {"upstream.second_attempts_total", 'i'},
    {"upstream.slow_added_total", 'i'},
    {"upstream.remembered.slow_networks", 'i'},
    {"upstream.remembered.plain_servers", 'i'},
    {"upstream.remembered.mptcp_servers", 'i'},
    {"upstream.port_exhausted_total", 'i'},
    {"dns.queries_total", 'i'},
    {"dns.cache_hits_total", 'i'},
    {"dns.failures_total", 'i'},
    {"dns.timeouts_total", 'i'},
    {"dns.inflight", 'i'},
    {"dns.duration_seconds.count", 'i'},
    {"dns.duration_seconds.sum", 'n'},
    {"auth.success_total", 'i'},
    {"auth.failure_total", 'o'},
    {"auth.backend", 's'},
    {"auth.users_configured", 'i'},
    {"auth.users_active", 'i'},
    {"auth.throttled_sources", 'i'},
    {"acl.denied_total", 'o'},
    {"listeners", 'a'},
    {"logs.written_total", 'i'},
    {"logs.dropped_total", 'i'},
    {"logs.queue_bytes", 'i'},
};

static bool has_type(const json_t *v, char type)
{
    switch (type) {
    case 'i':
        return json_is_integer(v) && json_integer_value(v) >= 0;
    case 'n':
        return json_is_number(v) && json_number_value(v) >= 0;
    case 's':
        return json_is_string(v);
    case 'b':
        return json_is_boolean(v);
    case 'a':
        return json_is_array(v);
    default:
        return json_is_object(v);
    }
}

START_TEST(every_required_member_is_there_with_its_type)
{
    struct world w;

    world_make(&w);
    json_t *doc = document(&w);
    for (size_t i = 0; i < ARRAY_LEN(required); i++)
        ck_assert_msg(has_type(at(doc, required[i].path), required[i].type), "%s",
                      required[i].path);
    ck_assert_str_eq(json_string_value(at(doc, "schema_version")), "1.0");
    ck_assert_str_eq(json_string_value(at(doc, "time")), "2026-11-22T18:40:03.512311Z");
    ck_assert_str_eq(json_string_value(at(doc, "state")), "serving");
    ck_assert_uint_eq(strlen(json_string_value(at(doc, "config.sha256"))), 64);
    json_decref(doc);
    world_done(&w);
}
END_TEST

START_TEST(every_counter_is_where_its_path_says)
{
    struct world w;

    world_make(&w);
    for (unsigned i = 0; i < STAT_COUNT; i++)
        w.sum.value[i] = 1000 + i;
    json_t *doc = document(&w);
    for (unsigned i = 0; i < STAT_COUNT; i++)
        ck_assert_int_eq(integer(doc, stat_path((enum stat_id)i)), 1000 + i);
    json_decref(doc);
    world_done(&w);
}
END_TEST

static int64_t total(json_t *object)
{
    const char *key;
    json_t *value;
    int64_t sum = 0;

    json_object_foreach(object, key, value) sum += json_integer_value(value);
    return sum;
}

START_TEST(the_sums_add_up)
{
    struct world w;
    const char *key;
    json_t *value;
    int64_t current = 0, all = 0, subflows = 0;

    world_make(&w);
    json_t *doc = document(&w);
    int64_t closed = total(at(doc, "sessions.closed_total"));
    ck_assert_int_eq(closed, 3);
    ck_assert_int_eq(closed + integer(doc, "sessions.current"),
                     integer(doc, "sessions.accepted_total"));
    ck_assert_int_eq(closed, integer(doc, "sessions.duration_seconds.count"));
    ck_assert_int_eq(closed, total(at(doc, "sessions.outcome_total")));
    json_object_foreach(at(doc, "sessions.by_protocol"), key, value)
    {
        current += integer(value, "current");
        all += integer(value, "total");
    }
    ck_assert_int_eq(current, integer(doc, "sessions.current"));
    ck_assert_int_eq(all, integer(doc, "sessions.accepted_total"));
    ck_assert_int_eq(integer(doc, "sessions.by_protocol.convert.current"), 1);
    ck_assert_int_eq(integer(doc, "sessions.by_protocol.unknown.current"), 1);
    ck_assert_int_eq(integer(doc, "sessions.by_protocol.unknown.total"), 3);
    json_object_foreach(at(doc, "mptcp.subflows_per_session"), key, value) subflows +=
        strtol(key, NULL, 10) * json_integer_value(value);
    ck_assert_int_eq(subflows, integer(doc, "mptcp.subflows_current"));
    json_decref(doc);
    world_done(&w);
}
END_TEST

START_TEST(every_reason_is_a_key_and_every_outcome_too)
{
    struct world w;

    world_make(&w);
    json_t *doc = document(&w);
    ck_assert_uint_eq(json_object_size(at(doc, "sessions.closed_total")), REASON_COUNT);
    ck_assert_uint_eq(json_object_size(at(doc, "sessions.outcome_total")), OUTCOME_COUNT);
    for (unsigned r = 0; r < REASON_COUNT; r++)
        ck_assert_ptr_nonnull(
            json_object_get(at(doc, "sessions.closed_total"), reason_name((enum reason)r)));
    ck_assert_int_eq(integer(doc, "sessions.closed_total.connect_failed"), 1);
    ck_assert_int_eq(integer(doc, "sessions.outcome_total.refused"), 1);
    json_decref(doc);
    world_done(&w);
}
END_TEST

START_TEST(numbers_that_cannot_be_are_made_possible)
{
    struct world w;

    world_make(&w);
    w.sum.value[STAT_UP_BYTES] = UINT64_MAX;
    w.sum.value[STAT_CONNECTING] =
        (uint64_t)0 - 2; /* two ended before they were seen to begin */
    w.view.up_per_second = -1;
    w.view.down_per_second = 0.0 / (w.view.up_per_second + 1);
    json_t *doc = document(&w);
    ck_assert_int_eq(integer(doc, "traffic.up_bytes_total"), INT64_MAX);
    ck_assert_int_eq(integer(doc, "sessions.connecting"), 0);
    ck_assert_double_eq(json_number_value(at(doc, "traffic.up_bytes_per_second")), 0);
    ck_assert_double_eq(json_number_value(at(doc, "traffic.down_bytes_per_second")), 0);
    json_decref(doc);
    world_done(&w);
}
END_TEST

START_TEST(a_listener_names_its_protocols_in_the_schemas_order)
{
    static const struct {
        unsigned bits;
        const char *first;
        size_t count;
    } cases[] = {
        {PROTOCOL_BIT(PROTOCOL_CONVERT) | PROTOCOL_BIT(PROTOCOL_MP_CONVERT) |
             PROTOCOL_BIT(PROTOCOL_SOCKS5),
         "socks5", 3},
        {PROTOCOL_BIT(PROTOCOL_CONVERT) | PROTOCOL_BIT(PROTOCOL_MP_CONVERT), "plain", 2},
        {PROTOCOL_BIT(PROTOCOL_CONVERT), "convert", 1},
        {PROTOCOL_BIT(PROTOCOL_SOCKS4), "socks5", 1},
        {PROTOCOL_BIT(PROTOCOL_PM08), "plain", 1},
        {0, "stats", 0},
    };
    struct world w;

    world_make(&w);
    for (size_t i = 0; i < ARRAY_LEN(cases); i++) {
        w.listener.protocols = cases[i].bits;
        json_t *doc = document(&w);
        json_t *l = json_array_get(at(doc, "listeners"), 0);
        ck_assert_str_eq(json_string_value(json_object_get(l, "protocol")), cases[i].first);
        ck_assert_uint_eq(json_array_size(json_object_get(l, "protocols")), cases[i].count);
        ck_assert_str_eq(json_string_value(json_object_get(l, "address")),
                         "[2001:db8::10]:1080");
        ck_assert_str_eq(json_string_value(json_object_get(l, "transport")), "mptcp");
        json_decref(doc);
    }
    world_done(&w);
}
END_TEST

static void measure_backlog(int protocol)
{
    struct world w;
    struct sockaddr_in sin = {.sin_family = AF_INET, .sin_addr.s_addr = htonl(INADDR_LOOPBACK)};
    socklen_t len = sizeof sin;
    int fds[2], clients[2];

    fds[0] = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, protocol);
    if (fds[0] < 0)
        return;  /* a kernel without MPTCP */
    fds[1] = -1; /* not a socket: counts nothing */
    world_make(&w);
    ck_assert_int_eq(bind(fds[0], (const struct sockaddr *)&sin, len), 0);
    ck_assert_int_eq(listen(fds[0], 8), 0);
    ck_assert_int_eq(getsockname(fds[0], (struct sockaddr *)&sin, &len), 0);
    w.listener.fds = (struct view_fds){fds, 2};
    for (int64_t n = 0; n <= 2; n++) {
        json_t *doc = document(&w);
        ck_assert_int_eq(integer(json_array_get(at(doc, "listeners"), 0), "backlog_current"),
                         n);
        json_decref(doc);
        if (n < 2) {
            clients[n] = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
            ck_assert_int_eq(connect(clients[n], (const struct sockaddr *)&sin, len), 0);
        }
    }
    ck_assert_int_eq(close(clients[0]), 0);
    ck_assert_int_eq(close(clients[1]), 0);
    ck_assert_int_eq(close(fds[0]), 0);
    world_done(&w);
}

START_TEST(backlog_current_is_the_accept_queue)
{
    measure_backlog(0);
    measure_backlog(IPPROTO_MPTCP);
}
END_TEST

/* ---- times, words, problems ---- */

START_TEST(times_are_rfc3339_with_microseconds)
{
    static const struct {
        uint64_t us;
        const char *text;
    } cases[] = {
        {0, "1970-01-01T00:00:00.000000Z"},
        {1, "1970-01-01T00:00:00.000001Z"},
        {UINT64_C(951827696789012), "2000-02-29T12:34:56.789012Z"},
        {UINT64_C(253402300799999999), "9999-12-31T23:59:59.999999Z"},
        {UINT64_MAX, "9999-12-31T23:59:59.999999Z"},
    };

    for (size_t i = 0; i < ARRAY_LEN(cases); i++) {
        char text[32];
        time_text(cases[i].us, text);
        ck_assert_str_eq(text, cases[i].text);
    }
}
END_TEST

START_TEST(protocols_are_found_by_either_word)
{
    enum protocol p = PROTOCOL_HTTP;

    ck_assert(!stats_json_protocol("gopher", &p));
    ck_assert(!stats_json_protocol("", &p));
    ck_assert_int_eq(p, PROTOCOL_HTTP);
    for (unsigned i = 0; i < PROTOCOL_COUNT; i++) {
        ck_assert(stats_json_protocol(protocol_name((enum protocol)i), &p));
        ck_assert_uint_eq(p, i);
        ck_assert(
            stats_json_protocol(stats_json_protocol_word(protocol_name((enum protocol)i)), &p));
        ck_assert_uint_eq(p, i);
    }
    ck_assert_str_eq(stats_json_protocol_word("mp_convert"), "plain");
    ck_assert_str_eq(stats_json_protocol_word(NULL), "unknown");
}
END_TEST

START_TEST(states_have_the_schemas_words)
{
    static const char *const words[] = {"starting", "serving", "overloaded", "draining",
                                        "stopping"};

    for (unsigned i = 0; i < ARRAY_LEN(words); i++)
        ck_assert_str_eq(server_state_name((enum server_state)i), words[i]);
}
END_TEST

START_TEST(problems_have_the_members_of_rfc9457)
{
    json_t *doc = problem_json(404, "Not Found", "no such session");

    ck_assert_int_eq(integer(doc, "status"), 404);
    ck_assert_str_eq(json_string_value(at(doc, "type")), "about:blank");
    ck_assert_str_eq(json_string_value(at(doc, "title")), "Not Found");
    ck_assert_str_eq(json_string_value(at(doc, "detail")), "no such session");
    json_decref(doc);
}
END_TEST

/* ---- sessions ---- */

static struct session_view a_session(void)
{
    struct session_view s = {
        .id = UINT64_MAX,
        .user = "cpe-1",
        .protocol = "mp_convert",
        .state = "relay",
        .listener = "main",
        .age_us = 1500000,
        .client = ip("198.51.100.7:41022"),
        .remote = ip("192.0.2.80:443"),
        .host = "video.example.net",
        .port = 443,
        .up_bytes = 7,
        .client_mptcp = true,
        .has_mptcp = true,
        .mptcp = {.active = true,
                  .token = 0x49037e7,
                  .subflows = 2,
                  .subflows_total = 3,
                  .listed = 2},
    };

    s.mptcp.list[1] = (struct mptcp_subflow){.id = 3,
                                             .local = ip("203.0.113.13:5124"),
                                             .remote = ip("[2001:db8::2]:33810"),
                                             .tcp_state = TCP_ESTABLISHED,
                                             .rtt_us = 58100};
    return s;
}

START_TEST(a_session_tells_who_where_and_over_which_paths)
{
    struct session_view s = a_session();
    json_t *doc = session_json(&s);

    ck_assert_str_eq(json_string_value(at(doc, "id")), "18446744073709551615");
    ck_assert_str_eq(json_string_value(at(doc, "user")), "cpe-1");
    ck_assert_str_eq(json_string_value(at(doc, "protocol")), "plain");
    ck_assert_str_eq(json_string_value(at(doc, "transport")), "mptcp");
    ck_assert_str_eq(json_string_value(at(doc, "client.address")), "198.51.100.7");
    ck_assert_int_eq(integer(doc, "client.port"), 41022);
    ck_assert(json_is_null(at(doc, "egress")));
    ck_assert_str_eq(json_string_value(at(doc, "destination.host")), "video.example.net");
    ck_assert_str_eq(json_string_value(at(doc, "destination.address")), "192.0.2.80");
    ck_assert_double_eq_tol(json_number_value(at(doc, "age_seconds")), 1.5, 1e-9);
    ck_assert_str_eq(json_string_value(at(doc, "mptcp.token")), "049037e7");
    json_t *f = json_array_get(at(doc, "mptcp.subflow_list"), 1);
    ck_assert_str_eq(json_string_value(at(f, "state")), "established");
    ck_assert_str_eq(json_string_value(at(f, "remote")), "[2001:db8::2]:33810");
    ck_assert_double_eq_tol(json_number_value(at(f, "rtt_seconds")), 0.0581, 1e-9);
    json_decref(doc);
}
END_TEST

START_TEST(a_binding_tells_both_ends_of_both_connections)
{
    struct session_view s = a_session();

    s.ingress = "transparent";
    s.route = "via";
    s.expires_us = 7440000000;
    s.local = ip("192.0.2.80:443");
    s.concentrator = ip("[2001:db8::5]:1080");
    s.told_source = ip("10.0.0.7:0");
    s.upstream_mptcp = s.has_upstream = true;
    s.upstream = s.mptcp;
    s.upstream.remote_token = 0xab;
    s.upstream.list[1].backup = true;
    (void)snprintf(s.policy, sizeof s.policy, "gold");
    json_t *doc = session_json(&s);
    ck_assert_str_eq(json_string_value(at(doc, "ingress")), "transparent");
    ck_assert_str_eq(json_string_value(at(doc, "route")), "via");
    ck_assert_str_eq(json_string_value(at(doc, "policy")), "gold");
    ck_assert_str_eq(json_string_value(at(doc, "local.address")), "192.0.2.80");
    ck_assert_str_eq(json_string_value(at(doc, "concentrator.address")), "2001:db8::5");
    ck_assert_str_eq(json_string_value(at(doc, "told_source.address")), "10.0.0.7");
    ck_assert_double_eq_tol(json_number_value(at(doc, "expires_seconds")), 7440, 1e-9);
    ck_assert(json_is_null(at(doc, "mptcp.remote_token")));
    ck_assert_str_eq(json_string_value(at(doc, "upstream_mptcp.remote_token")), "000000ab");
    json_t *f = json_array_get(at(doc, "upstream_mptcp.subflow_list"), 1);
    ck_assert(json_is_true(at(f, "backup")));
    json_decref(doc);
    s = a_session();
    doc = session_json(&s);
    ck_assert(json_is_null(at(doc, "route")) && json_is_null(at(doc, "concentrator")));
    ck_assert(json_is_null(at(doc, "policy")) && json_is_null(at(doc, "upstream_mptcp")));
    json_decref(doc);
}
END_TEST

START_TEST(native_counters_have_their_names_or_null)
{
    static const struct native_counter counters[] = {
        {.name = "inet a.b native", .known = true, .connections = 5},
        {.name = "ip t c", .connections = 6}};
    struct world w;

    world_make(&w);
    w.view.native = counters;
    w.view.native_count = 2;
    json_t *doc = document(&w);
    json_t *native = at(doc, "native.connections_total");
    ck_assert_int_eq(json_integer_value(json_object_get(native, "inet a.b native")), 5);
    ck_assert(json_is_null(json_object_get(native, "ip t c")));
    json_decref(doc);
    w.view.native_count = 0;
    doc = document(&w);
    ck_assert_uint_eq(json_object_size(at(doc, "native.connections_total")), 0);
    ck_assert(json_is_object(at(doc, "native.connections_total")));
    json_decref(doc);
    world_done(&w);
}
END_TEST

START_TEST(a_fallback_is_told_and_so_is_plain_tcp)
{
    struct session_view s = a_session();

    s.mptcp.active = false;
    json_t *doc = session_json(&s);
    ck_assert_str_eq(json_string_value(at(doc, "transport")), "tcp");
    ck_assert(json_is_true(at(doc, "mptcp.fallback")));
    ck_assert(json_is_null(at(doc, "mptcp.token")));
    json_decref(doc);
    s.client_mptcp = false;
    doc = session_json(&s);
    ck_assert(json_is_false(at(doc, "mptcp.fallback")));
    json_decref(doc);
    s.has_mptcp = false;
    doc = session_json(&s);
    ck_assert(json_is_null(at(doc, "mptcp")));
    json_decref(doc);
}
END_TEST

START_TEST(a_page_has_counts_but_no_lists)
{
    struct session_view s[2] = {a_session(), a_session()};
    json_t *doc = sessions_json(s, 2, 0x1f);

    ck_assert_uint_eq(json_array_size(at(doc, "sessions")), 2);
    json_t *one = json_array_get(at(doc, "sessions"), 0);
    ck_assert_int_eq(integer(one, "mptcp.subflows"), 2);
    ck_assert_ptr_null(at(one, "mptcp.subflow_list"));
    ck_assert_str_eq(json_string_value(at(doc, "next_cursor")), "000000000000001f");
    json_decref(doc);
    doc = sessions_json(NULL, 0, 0);
    ck_assert_uint_eq(json_array_size(at(doc, "sessions")), 0);
    ck_assert(json_is_null(at(doc, "next_cursor")));
    json_decref(doc);
}
END_TEST

START_TEST(a_peers_text_cannot_break_the_document)
{
    static const struct {
        const char *user, *printed;
    } cases[] = {{"", NULL},
                 {"a\"b\\c\n", "a\"b\\c\n"},
                 {"\xc3\xa9", "\xc3\xa9"},
                 {"a\xff\xc3", "a\\xff\\xc3"},
                 {"\xc3\xa9\xff", "\\xc3\\xa9\\xff"}};
    struct session_view s = a_session();

    for (size_t i = 0; i < ARRAY_LEN(cases); i++) {
        (void)snprintf(s.user, sizeof s.user, "%s", cases[i].user);
        json_t *doc = session_json(&s);
        char *text = json_dumps(doc, 0);
        ck_assert_ptr_nonnull(text);
        ck_assert_pstr_eq(json_string_value(at(doc, "user")), cases[i].printed);
        free(text);
        json_decref(doc);
    }
    memset(s.user, 0xff, VIEW_USER_MAX);
    json_t *doc = session_json(&s);
    ck_assert_uint_eq(strlen(json_string_value(at(doc, "user"))), (size_t)4 * VIEW_USER_MAX);
    json_decref(doc);
}
END_TEST

/* ---- /proc ---- */

START_TEST(kernel_counters_are_found_by_name)
{
    static const char text[] =
        "TcpExt: SyncookiesSent ListenOverflows ListenDrops\nTcpExt: 1 22 3\n"
        "IpExt: InNoRoutes\nIpExt: 5\n"
        "MPTcpExt: MPJoinNoTokenFound MPJoinAckRx MPJoinAckHMacFailure MPJoinRejected "
        "AddAddrTx "
        "MPTCPRetrans\nMPTcpExt: 1 2 4 8 16 18446744073709551615\n";
    struct procfs_mptcp k;

    procfs_mptcp_parse(text, &k);
    ck_assert_uint_eq(k.listen_overflows, 22);
    ck_assert_uint_eq(k.joins_no_token, 1);
    ck_assert_uint_eq(k.joins, 2);
    ck_assert_uint_eq(k.joins_rejected, 12);
    ck_assert_uint_eq(k.add_addr_sent, 16);
    ck_assert_uint_eq(k.retransmits, UINT64_MAX);
}
END_TEST

START_TEST(other_netstat_texts_are_survived)
{
    static const char *const texts[] = {
        "",
        "\n",
        "MPTcpExt",
        "MPTcpExt:",
        "MPTcpExt: MPJoinAckRx",
        "MPTcpExt: MPJoinAckRx\n",
        "MPTcpExt: MPJoinAckRx\nMPTcpExt:",
        "MPTcpExt: MPJoinAckRx\nMPTcpExt: \n",
        "MPTcpExt: MPJoinAckRx\nMPTcpExt: x\n",
        "MPTcpExt: MPJoinAckRx\nOther: 5\n",
        "MPTcpExt: MPJoinAckRx\nMPTcpExt: 99999999999999999999999\n",
        "MPTcpExt: MPJoinAckRxx\nMPTcpExt: 5\n",
        "TcpExt: MPJoinAckRx\nTcpExt: 5\n",
        "MPTcpExt: A\n\nMPTcpExt: MPJoinAckRx\n"};
    static const char good[] =
        "X: A MPJoinAckRx\nX: -1 5\nMPTcpExt: B MPJoinAckRx\nMPTcpExt: -1 6\n";
    struct procfs_mptcp k;

    for (size_t i = 0; i < ARRAY_LEN(texts); i++) {
        procfs_mptcp_parse(texts[i], &k);
        ck_assert_msg(k.joins == 0, "%s", texts[i]);
    }
    procfs_mptcp_parse(good, &k);
    ck_assert_uint_eq(k.joins, 6);
    for (size_t len = 0; len < sizeof good;
         len++) { /* every prefix, exact-size for the sanitizer */
        char *copy = strndup(good, len);
        ck_assert_ptr_nonnull(copy);
        procfs_mptcp_parse(copy, &k);
        ck_assert(k.joins == 0 || k.joins == 6);
        free(copy);
    }
}
END_TEST

START_TEST(process_figures_move_with_the_process)
{
    struct procfs_process before, after;
    int fd = -1;

    procfs_process(&before);
    fd = dup(0);
    ck_assert_int_ge(fd, 0);
    procfs_process(&after);
    ck_assert_uint_eq(after.open_fds, before.open_fds + 1);
    ck_assert_uint_gt(after.resident_bytes, 100000);
    ck_assert_uint_ge(after.max_fds, after.open_fds);
    ck_assert_double_ge(after.cpu_seconds, before.cpu_seconds);
    ck_assert_int_eq(close(fd), 0);
}
END_TEST

START_TEST(sysctls_are_read_as_what_they_are)
{
    json_t *all = procfs_mptcp_sysctls();

    ck_assert(json_is_object(all));
    if (json_object_size(all) > 0) { /* a kernel with MPTCP */
        ck_assert(json_is_integer(json_object_get(all, "enabled")));
        ck_assert(json_is_integer(json_object_get(all, "checksum_enabled")));
        ck_assert(json_is_integer(json_object_get(all, "allow_join_initial_addr_port")));
    }
    json_decref(all);
}
END_TEST

/* ---- out of memory ---- */

static size_t allowed; /* allocations until one fails */

static void *failing_malloc(size_t size)
{
    if (allowed == 0)
        return NULL;
    allowed--;
    return malloc(size);
}

START_TEST(out_of_memory_at_any_point_gives_null_and_leaks_nothing)
{
    struct world w;
    struct session_view s = a_session();
    size_t whole = 0;

    world_make(&w);
    json_set_alloc_funcs(failing_malloc, free);
    for (unsigned kind = 0; kind < 4; kind++) {
        json_t *doc = NULL;

        for (size_t n = 0; doc == NULL; n++) {
            ck_assert_uint_lt(n, 100000);
            allowed = n;
            doc = kind == 0   ? stats_json(&w.sum, &w.view)
                  : kind == 1 ? session_json(&s)
                  : kind == 2 ? sessions_json(&s, 1, 0)
                              : problem_json(400, "Bad Request", "because");
            whole = n;
        }
        ck_assert_uint_gt(whole, 5);
        json_decref(doc);
    }
    world_done(&w);
}
END_TEST

int main(void)
{
    Suite *s = suite_create("stats_json");
    TCase *t = tcase_create("stats_json");

    tcase_set_timeout(t, 60);
    tcase_add_test(t, every_required_member_is_there_with_its_type);
    tcase_add_test(t, every_counter_is_where_its_path_says);
    tcase_add_test(t, the_sums_add_up);
    tcase_add_test(t, every_reason_is_a_key_and_every_outcome_too);
    tcase_add_test(t, numbers_that_cannot_be_are_made_possible);
    tcase_add_test(t, a_listener_names_its_protocols_in_the_schemas_order);
    tcase_add_test(t, backlog_current_is_the_accept_queue);
    tcase_add_test(t, times_are_rfc3339_with_microseconds);
    tcase_add_test(t, protocols_are_found_by_either_word);
    tcase_add_test(t, states_have_the_schemas_words);
    tcase_add_test(t, problems_have_the_members_of_rfc9457);
    tcase_add_test(t, a_session_tells_who_where_and_over_which_paths);
    tcase_add_test(t, a_binding_tells_both_ends_of_both_connections);
    tcase_add_test(t, native_counters_have_their_names_or_null);
    tcase_add_test(t, a_fallback_is_told_and_so_is_plain_tcp);
    tcase_add_test(t, a_page_has_counts_but_no_lists);
    tcase_add_test(t, a_peers_text_cannot_break_the_document);
    tcase_add_test(t, kernel_counters_are_found_by_name);
    tcase_add_test(t, other_netstat_texts_are_survived);
    tcase_add_test(t, process_figures_move_with_the_process);
    tcase_add_test(t, sysctls_are_read_as_what_they_are);
    tcase_add_test(t, out_of_memory_at_any_point_gives_null_and_leaks_nothing);
    suite_add_tcase(s, t);
    return runner_main(s);
}
