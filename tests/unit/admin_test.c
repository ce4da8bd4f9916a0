/* SPDX-License-Identifier: MIT */
#include "httpbench.h"
#include "runner.h"
#include <string.h>

static void expect(struct bench *b, const char *request, int status)
{
    char *r = bench_ask_text(b, request);

    ck_assert_msg(http_status(r) == status, "%s gave %.400s", request, r);
    free(r);
}

static void expect_get(struct bench *b, const char *target, int status)
{
    char *r = bench_get(b, target);

    ck_assert_msg(http_status(r) == status, "%s gave %.400s", target, r);
    free(r);
}

static json_t *body_of(const char *response)
{
    json_error_t err;
    json_t *doc = json_loads(http_body(response), 0, &err);

    ck_assert_msg(doc != NULL, "%s in %s", err.text, response);
    return doc;
}

START_TEST(stats_come_as_json_with_every_promised_field)
{
    struct bench b;

    bench_start(&b, NULL);
    b.sum.value[STAT_ACCEPTED] = 7;
    char *r = bench_get(&b, "/v1/stats");
    ck_assert_int_eq(http_status(r), 200);
    ck_assert(http_has(r, "Content-Type: application/json"));
    ck_assert(http_has(r, "Cache-Control: no-store"));
    ck_assert(http_has(r, "X-Content-Type-Options: nosniff"));
    ck_assert(http_has(r, "Connection: close"));
    ck_assert(http_has(
        r, "Content-Security-Policy: default-src 'none'; connect-src 'self'; style-src 'self'; "
           "script-src 'self'"));
    ck_assert_ptr_null(strstr(r, "ETag"));
    json_t *doc = body_of(r);
    json_t *accepted = json_object_get(json_object_get(doc, "sessions"), "accepted_total");
    ck_assert_int_eq(json_integer_value(accepted), 7);
    json_decref(doc);
    free(r);
    bench_end(&b);
}
END_TEST

START_TEST(head_is_get_without_the_body)
{
    static const char *const targets[] = {"/v1/stats", "/v1/sessions", "/v1/config",
                                          "/healthz",  "/readyz",      "/nothing"};
    struct bench b;

    bench_start(&b, NULL);
    for (size_t i = 0; i < ARRAY_LEN(targets); i++) {
        char request[128];
        char *get = bench_get(&b, targets[i]);

        (void)snprintf(request, sizeof request, "HEAD %s HTTP/1.1\r\nHost: localhost\r\n\r\n",
                       targets[i]);
        char *head = bench_ask_text(&b, request);
        ck_assert_int_eq(http_status(get), http_status(head));
        ck_assert_uint_gt(strlen(http_body(get)), 0);
        ck_assert_str_eq(http_body(head), "");
        ck_assert_ptr_nonnull(strstr(head, "Content-Length: "));
        free(get);
        free(head);
    }
    bench_end(&b);
}
END_TEST

START_TEST(what_is_not_a_document_is_not_found)
{
    static const char *const targets[] = {"/v1/users",
                                          "/v1/users/a",
                                          "/v1",
                                          "/v1/stats/",
                                          "/v1/Stats",
                                          "//v1/stats",
                                          "/v1/sessions/",
                                          "/v1/sessions/x",
                                          "/v1/sessions/0",
                                          "/v1/sessions/007",
                                          "/v1/sessions/-1",
                                          "/v1/sessions/1/",
                                          "/v1/sessions/18446744073709551616",
                                          "/v1/%73tats",
                                          "/v1/stats%00",
                                          "/v1/sessions/%31",
                                          "/v1/./stats"};
    struct bench b;

    bench_start(&b, NULL);
    for (size_t i = 0; i < ARRAY_LEN(targets); i++) {
        char *r = bench_get(&b, targets[i]);
        ck_assert_msg(http_status(r) == 404, "%s gave %.300s", targets[i], r);
        ck_assert(http_has(r, "Content-Type: application/problem+json"));
        json_t *doc = body_of(r);
        ck_assert_int_eq(json_integer_value(json_object_get(doc, "status")), 404);
        ck_assert_ptr_nonnull(json_object_get(doc, "title"));
        json_decref(doc);
        free(r);
    }
    bench_end(&b);
}
END_TEST

START_TEST(only_get_and_head_are_allowed)
{
    static const char *const methods[] = {"POST",  "PUT",     "DELETE", "PATCH", "OPTIONS",
                                          "TRACE", "CONNECT", "get",    "FOO"};
    struct bench b;

    bench_start(&b, NULL);
    for (size_t i = 0; i < ARRAY_LEN(methods); i++) {
        char request[128];

        (void)snprintf(request, sizeof request,
                       "%s /v1/stats HTTP/1.1\r\nHost: localhost\r\n\r\n", methods[i]);
        char *r = bench_ask_text(&b, request);
        ck_assert_msg(http_status(r) == 405, "%s gave %.300s", methods[i], r);
        ck_assert(http_has(r, "Allow: GET, HEAD"));
        free(r);
    }
    bench_end(&b);
}
END_TEST

#define GOOD "GET /healthz HTTP/1.1\r\nHost: localhost\r\n"

START_TEST(a_request_body_is_refused)
{
    struct bench b;

    bench_start(&b, NULL);
    expect(&b, GOOD "\r\n", 200);
    expect(&b, GOOD "Content-Length: 0\r\n\r\n", 200);
    expect(&b, GOOD "Content-Length: 1\r\n\r\nx", 400);
    expect(&b, GOOD "Content-Length: 1\r\n\r\n", 400);
    expect(&b, GOOD "Transfer-Encoding: chunked\r\n\r\n0\r\n\r\n", 400);
    expect(&b, GOOD "Transfer-Encoding: identity\r\n\r\n", 400);
    expect(&b, "POST /healthz HTTP/1.1\r\nHost: localhost\r\nContent-Length: 2\r\n\r\nhi", 405);
    bench_end(&b);
}
END_TEST

START_TEST(host_must_be_one_of_ours)
{
    static const struct {
        const char *host;
        int status;
    } cases[] = {
        {"localhost", 200},
        {"LocalHost", 200},
        {"localhost:9180", 200},
        {"127.0.0.1", 200},
        {"127.0.0.1:1", 200},
        {"[::1]", 200},
        {"[::1]:80", 200},
        {"stats.example.net", 200},
        {"STATS.example.net:443", 200},
        {"example.net", 400},
        {"evil.stats.example.net", 400},
        {"localhost.example.net", 400},
        {"127.0.0.2", 400},
        {"localhost:x", 400},
        {"localhost:99999", 400},
        {"localhost:80:80", 400},
        {"[::1", 400},
        {"[::1]x", 400},
        {":80", 400},
        {"", 400},
        {"localhost,example.net", 400},
        {"user@localhost", 400},
        {"192.0.2.1", 400},
    };
    static char name[] = "stats.example.net";
    char *names[] = {name};
    struct bench b;

    bench_start(&b, NULL);
    b.config.stats.hosts.item = names;
    b.config.stats.hosts.count = 1;
    for (size_t i = 0; i < ARRAY_LEN(cases); i++) {
        char request[256];

        (void)snprintf(request, sizeof request, "GET /healthz HTTP/1.1\r\nHost: %s\r\n\r\n",
                       cases[i].host);
        char *r = bench_ask_text(&b, request);
        ck_assert_msg(http_status(r) == cases[i].status, "%s gave %.200s", cases[i].host, r);
        free(r);
    }
    expect(&b, "GET /healthz HTTP/1.1\r\n\r\n", 400);
    expect(&b, "GET /healthz HTTP/1.0\r\n\r\n", 200);
    expect(&b, "GET /healthz HTTP/1.0\r\nHost: example.net\r\n\r\n", 400);
    expect(&b, "GET /healthz HTTP/1.1\r\nHost: localhost\r\nHost: localhost\r\n\r\n", 400);
    bench_end(&b);
}
END_TEST

START_TEST(query_strings_are_read_exactly)
{
    static const struct {
        const char *target;
        int status;
    } cases[] = {
        {"/v1/sessions", 200},
        {"/v1/sessions?limit=1", 200},
        {"/v1/sessions?limit=1000", 200},
        {"/v1/sessions?limit=0", 400},
        {"/v1/sessions?limit=1001", 400},
        {"/v1/sessions?limit=", 400},
        {"/v1/sessions?limit", 400},
        {"/v1/sessions?limit=%2b5", 400},
        {"/v1/sessions?limit=5&limit=5", 400},
        {"/v1/sessions?limit=99999999999999999999999", 400},
        {"/v1/sessions?Limit=5", 400},
        {"/v1/sessions?x=1", 400},
        {"/v1/sessions?user=", 400},
        {"/v1/sessions?user=cpe-1", 200},
        {"/v1/sessions?user=a%00b", 400},
        {"/v1/sessions?protocol=socks5", 200},
        {"/v1/sessions?protocol=plain", 200},
        {"/v1/sessions?protocol=mp_convert", 200},
        {"/v1/sessions?protocol=convert", 200},
        {"/v1/sessions?protocol=gopher", 400},
        {"/v1/sessions?min_age_seconds=1.5", 200},
        {"/v1/sessions?min_age_seconds=0", 200},
        {"/v1/sessions?min_age_seconds=-1", 400},
        {"/v1/sessions?min_age_seconds=1e3", 400},
        {"/v1/sessions?min_age_seconds=1.", 400},
        {"/v1/sessions?min_age_seconds=.5", 400},
        {"/v1/sessions?min_age_seconds=1.1234567", 400},
        {"/v1/sessions?cursor=0000000000000011", 200},
        {"/v1/sessions?cursor=0000000000000000", 400},
        {"/v1/sessions?cursor=11", 400},
        {"/v1/sessions?cursor=000000000000001G", 400},
        {"/v1/sessions/17?limit=1", 400},
        {"/v1/stats?pretty=1", 400},
        {"/healthz?a", 400},
    };
    struct bench b;

    bench_start(&b, NULL);
    for (size_t i = 0; i < ARRAY_LEN(cases); i++)
        expect_get(&b, cases[i].target, cases[i].status);
    bench_end(&b);
}
END_TEST

START_TEST(the_query_reaches_the_workers_as_asked)
{
    struct bench b;
    const struct session_query *q = &b.ask[0].query;

    bench_start(&b, NULL);
    expect_get(&b,
               "/v1/"
               "sessions?user=a+b%2Fc&protocol=convert&min_age_seconds=1.25&limit=7&cursor="
               "00000000000000ff",
               200);
    ck_assert_str_eq(q->user, "a b/c");
    ck_assert_int_eq(q->protocol, PROTOCOL_CONVERT);
    ck_assert_uint_eq(q->min_age_us, 1250000);
    ck_assert_uint_eq(q->limit, 7);
    ck_assert_uint_eq(q->after, 255);
    ck_assert_uint_eq(q->id, 0);
    expect_get(&b, "/v1/sessions", 200);
    ck_assert_str_eq(q->user, "");
    ck_assert_int_eq(q->protocol, -1);
    ck_assert_uint_eq(q->min_age_us, 0);
    ck_assert_uint_eq(q->limit, 100);
    ck_assert_uint_eq(q->after, 0);
    expect_get(&b, "/v1/sessions/18446744073709551615", 404);
    ck_assert_uint_eq(q->id, UINT64_MAX);
    bench_end(&b);
}
END_TEST

static void fill_views(struct bench *b, size_t n)
{
    for (size_t i = 0; i < n; i++) {
        b->views[i] =
            (struct session_view){.id = 100 + i, .protocol = "socks5", .state = "relay"};
        (void)snprintf(b->views[i].user, sizeof b->views[i].user, "u%zu", i);
    }
    b->view_count = n;
}

START_TEST(pages_follow_one_another_by_cursor)
{
    struct bench b;

    bench_start(&b, NULL);
    fill_views(&b, 3);
    b.truncated = true;
    char *r = bench_get(&b, "/v1/sessions?limit=3");
    json_t *doc = body_of(r);
    ck_assert_uint_eq(json_array_size(json_object_get(doc, "sessions")), 3);
    const char *cursor = json_string_value(json_object_get(doc, "next_cursor"));
    ck_assert_ptr_nonnull(cursor);
    char target[128];
    (void)snprintf(target, sizeof target, "/v1/sessions?limit=3&cursor=%s", cursor);
    json_decref(doc);
    free(r);

    b.truncated = false;
    r = bench_get(&b, target);
    ck_assert_uint_eq(b.ask[0].query.after, 102);
    doc = body_of(r);
    ck_assert(json_is_null(json_object_get(doc, "next_cursor")));
    json_decref(doc);
    free(r);

    /* A source that gives more than asked for does not make the page longer. */
    r = bench_get(&b, "/v1/sessions?limit=2");
    doc = body_of(r);
    ck_assert_uint_eq(json_array_size(json_object_get(doc, "sessions")), 2);
    ck_assert_str_eq(json_string_value(json_object_get(doc, "next_cursor")),
                     "0000000000000065");
    json_decref(doc);
    free(r);
    bench_end(&b);
}
END_TEST

START_TEST(one_session_has_its_subflows_and_a_gone_one_is_not_found)
{
    struct bench b;

    bench_start(&b, NULL);
    expect_get(&b, "/v1/sessions/100", 404);
    fill_views(&b, 1);
    b.views[0].has_mptcp = true;
    b.views[0].mptcp.listed = 2;
    char *r = bench_get(&b, "/v1/sessions/100");
    ck_assert_int_eq(http_status(r), 200);
    json_t *doc = body_of(r);
    ck_assert_uint_eq(
        json_array_size(json_object_get(json_object_get(doc, "mptcp"), "subflow_list")), 2);
    ck_assert_str_eq(json_string_value(json_object_get(doc, "id")), "100");
    json_decref(doc);
    free(r);
    expect_get(&b, "/v1/sessions/101", 404); /* the source spoke of another one */
    bench_end(&b);
}
END_TEST

START_TEST(config_is_kept_by_its_etag)
{
    struct bench b;
    char etag[80], request[256];

    bench_start(&b, NULL);
    char *r = bench_get(&b, "/v1/config");
    ck_assert_int_eq(http_status(r), 200);
    (void)snprintf(etag, sizeof etag, "ETag: \"%s\"", b.config.sha256);
    ck_assert(http_has(r, etag));
    ck_assert(http_has(r, "Cache-Control: no-cache"));
    ck_assert(http_has(r, "Content-Type: application/json"));
    json_decref(body_of(r));
    free(r);

    static const char *const same[] = {"\"%s\"", "*", "W/\"%s\"", "\"x\", \"%s\"",
                                       "\"a,b\" ,\"%s\""};
    for (size_t i = 0; i < ARRAY_LEN(same); i++) {
        char value[160], *hole;

        (void)snprintf(value, sizeof value, "%s", same[i]);
        hole = strstr(value, "%s");
        if (hole != NULL)
            (void)snprintf(hole, sizeof value - (size_t)(hole - value), "%s\"",
                           b.config.sha256);
        (void)snprintf(
            request, sizeof request,
            "GET /v1/config HTTP/1.1\r\nHost: localhost\r\nIf-None-Match: %s\r\n\r\n", value);
        r = bench_ask_text(&b, request);
        ck_assert_msg(http_status(r) == 304, "%s gave %s", value, r);
        ck_assert(http_has(r, etag));
        ck_assert_str_eq(http_body(r), "");
        free(r);
    }
    static const char *const other[] = {"\"x\"", "x", "\"aaaa\"", "\"a", ",", "W/"};
    for (size_t i = 0; i < ARRAY_LEN(other); i++) {
        (void)snprintf(
            request, sizeof request,
            "GET /v1/config HTTP/1.1\r\nHost: localhost\r\nIf-None-Match: %s\r\n\r\n",
            other[i]);
        expect(&b, request, 200);
    }
    bench_end(&b);
}
END_TEST

START_TEST(healthz_fails_when_a_loop_has_not_turned_for_five_seconds)
{
    struct bench b;

    bench_start(&b, NULL);
    b.loop_age_ms = 4999;
    expect_get(&b, "/healthz", 200);
    b.loop_age_ms = 5000;
    expect_get(&b, "/healthz", 503);
    bench_end(&b);
}
END_TEST

START_TEST(readyz_says_why_not)
{
    static const struct {
        enum server_state state;
        const char *reason;
    } cases[] = {{SERVER_STARTING, "starting"},
                 {SERVER_SERVING, NULL},
                 {SERVER_OVERLOADED, "overloaded"},
                 {SERVER_DRAINING, "draining"},
                 {SERVER_STOPPING, "draining"}};
    struct bench b;

    bench_start(&b, NULL);
    for (size_t i = 0; i < ARRAY_LEN(cases); i++) {
        b.state = cases[i].state;
        char *r = bench_get(&b, "/readyz");
        json_t *doc = body_of(r);
        ck_assert_int_eq(http_status(r), cases[i].reason != NULL ? 503 : 200);
        ck_assert_pstr_eq(json_string_value(json_object_get(doc, "reason")), cases[i].reason);
        json_decref(doc);
        free(r);
    }
    bench_end(&b);
}
END_TEST

START_TEST(it_answers_on_ipv6_and_knows_its_own_address)
{
    struct bench b;
    struct sockaddr_in6 sin6 = {.sin6_family = AF_INET6, .sin6_addr = IN6ADDR_LOOPBACK_INIT};
    struct sockaddr_storage bound;
    socklen_t len = sizeof bound;
    int fd = socket(AF_INET6, SOCK_STREAM | SOCK_CLOEXEC, 0);

    bench_start(&b, NULL);
    if (fd >= 0 && bind(fd, (const struct sockaddr *)&sin6, sizeof sin6) == 0) {
        struct admin *second;
        struct addr first = b.address;
        struct admin_source source = {&b, NULL, NULL, NULL, NULL};

        ck_assert_int_eq(listen(fd, 8), 0);
        ck_assert_int_eq(getsockname(fd, (struct sockaddr *)&bound, &len), 0);
        ck_assert(addr_from_sockaddr((const struct sockaddr *)&bound, len, &b.address));
        ck_assert_int_eq(admin_start(&b.loop, fd, &source, &second), 0);
        expect(&b, "GET /healthz HTTP/1.1\r\n\r\n",
               400); /* refused before the source is asked */
        admin_stop(second);
        b.address = first;
    }
    bench_end(&b);
}
END_TEST

int main(void)
{
    Suite *s = suite_create("admin");
    TCase *t = tcase_create("documents");

    tcase_set_timeout(t, 60);
    tcase_add_test(t, stats_come_as_json_with_every_promised_field);
    tcase_add_test(t, head_is_get_without_the_body);
    tcase_add_test(t, what_is_not_a_document_is_not_found);
    tcase_add_test(t, only_get_and_head_are_allowed);
    tcase_add_test(t, a_request_body_is_refused);
    tcase_add_test(t, host_must_be_one_of_ours);
    tcase_add_test(t, query_strings_are_read_exactly);
    tcase_add_test(t, the_query_reaches_the_workers_as_asked);
    tcase_add_test(t, pages_follow_one_another_by_cursor);
    tcase_add_test(t, one_session_has_its_subflows_and_a_gone_one_is_not_found);
    tcase_add_test(t, config_is_kept_by_its_etag);
    tcase_add_test(t, healthz_fails_when_a_loop_has_not_turned_for_five_seconds);
    tcase_add_test(t, readyz_says_why_not);
    tcase_add_test(t, it_answers_on_ipv6_and_knows_its_own_address);
    suite_add_tcase(s, t);
    return runner_main(s);
}
