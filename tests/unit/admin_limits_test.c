/* SPDX-License-Identifier: MIT */
/* The endpoint under load, malice and shutdown; documents are in admin_test.c. */
#include "http.h"
#include "httpbench.h"
#include "runner.h"
#include <errno.h>
#include <fcntl.h>
#include <string.h>
#include <sys/resource.h>
#include <unistd.h>

#define GOOD "GET /healthz HTTP/1.1\r\nHost: localhost\r\n"
#define ASK "GET /v1/sessions HTTP/1.1\r\nHost: localhost\r\n\r\n"

/* Everybody patient but one. */
static const struct admin_timing quick_head = {60, 15000, 15000, 200};
static const struct admin_timing quick_answer = {15000, 30, 15000, 200};
static const struct admin_timing quick_send = {15000, 15000, 60, 200};

/* ---- malformed requests ---- */

struct probe {
    const char *name, *text;
    size_t len;
    int status;
};
#define PROBE(name, status, text)            \
    {                                        \
        name, text, sizeof(text) - 1, status \
    }

START_TEST(malformed_requests_are_refused_by_us)
{
    static const struct probe probes[] = {
        PROBE("folded line", 400, GOOD "A: b\r\n c\r\n\r\n"),
        PROBE("folded line with a tab", 400, GOOD "A: b\r\n\tc\r\n\r\n"),
        PROBE("fold before the first field", 400,
              "GET /healthz HTTP/1.1\r\n A: b\r\nHost: localhost\r\n\r\n"),
        PROBE("bare LF", 400, "GET /healthz HTTP/1.1\nHost: localhost\n\n"),
        PROBE("one bare LF", 400, "GET /healthz HTTP/1.1\r\nHost: localhost\nA: b\r\n\r\n"),
        PROBE("bare CR in a value", 400, GOOD "A: b\rc\r\n\r\n"),
        PROBE("bare CR between lines", 400, GOOD "A: b\rC: d\r\n\r\n"),
        PROBE("NUL in a value", 400, GOOD "A: b\0c\r\n\r\n"),
        PROBE("NUL in a name", 400, GOOD "A\0b: c\r\n\r\n"),
        PROBE("NUL in the target", 400, "GET /heal\0thz HTTP/1.1\r\nHost: localhost\r\n\r\n"),
        PROBE("control octet", 400, GOOD "A: b\001c\r\n\r\n"),
        PROBE("empty name", 400, GOOD ": b\r\n\r\n"),
        PROBE("no colon", 400, GOOD "abc\r\n\r\n"),
        PROBE("space before colon", 400, GOOD "A : b\r\n\r\n"),
        PROBE("space in a name", 400, GOOD "A b: b\r\n\r\n"),
        PROBE("same length twice", 400, GOOD "Content-Length: 0\r\nContent-Length: 0\r\n\r\n"),
        PROBE("two lengths", 400, GOOD "Content-Length: 0\r\nContent-Length: 5\r\n\r\nhello"),
        PROBE("list of lengths", 400, GOOD "Content-Length: 0, 0\r\n\r\n"),
        PROBE("signed length", 400, GOOD "Content-Length: +0\r\n\r\n"),
        PROBE("negative length", 400, GOOD "Content-Length: -1\r\n\r\n"),
        PROBE("hexadecimal length", 400, GOOD "Content-Length: 0x0\r\n\r\n"),
        PROBE("empty length", 400, GOOD "Content-Length:\r\n\r\n"),
        PROBE("immense length", 400, GOOD "Content-Length: 99999999999999999999999\r\n\r\n"),
        PROBE("length and encoding", 400,
              GOOD "Transfer-Encoding: chunked\r\nContent-Length: 0\r\n\r\n0\r\n\r\n"),
        PROBE("unknown encoding", 400, GOOD "Transfer-Encoding: xchunked\r\n\r\n"),
        PROBE("absolute form", 400,
              "GET http://localhost/healthz HTTP/1.1\r\nHost: localhost\r\n\r\n"),
        PROBE("asterisk form", 400, "OPTIONS * HTTP/1.1\r\nHost: localhost\r\n\r\n"),
        PROBE("authority form", 400,
              "CONNECT localhost:80 HTTP/1.1\r\nHost: localhost\r\n\r\n"),
        PROBE("fragment", 400, "GET /healthz#x HTTP/1.1\r\nHost: localhost\r\n\r\n"),
        PROBE("raw octets in the target", 400,
              "GET /healthz\xff HTTP/1.1\r\nHost: localhost\r\n\r\n"),
        PROBE("space in the target", 400, "GET /hea lthz HTTP/1.1\r\nHost: localhost\r\n\r\n"),
        PROBE("two spaces", 400, "GET  /healthz HTTP/1.1\r\nHost: localhost\r\n\r\n"),
        PROBE("space behind the version", 400,
              "GET /healthz HTTP/1.1 \r\nHost: localhost\r\n\r\n"),
        PROBE("tabs", 400, "GET\t/healthz\tHTTP/1.1\r\nHost: localhost\r\n\r\n"),
        PROBE("leading space", 400, " GET /healthz HTTP/1.1\r\nHost: localhost\r\n\r\n"),
        PROBE("empty line first", 400, "\r\n" GOOD "\r\n"),
        PROBE("method only", 400, "GET\r\n\r\n"),
        PROBE("HTTP/0.9", 400, "GET /healthz\r\n\r\n"),
        PROBE("HTTP/1.2", 505, "GET /healthz HTTP/1.2\r\nHost: localhost\r\n\r\n"),
        PROBE("HTTP/2.0", 505, "GET /healthz HTTP/2.0\r\nHost: localhost\r\n\r\n"),
        PROBE("HTTP/2 preface", 505, "PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n"),
        PROBE("lower-case version", 400, "GET /healthz http/1.1\r\nHost: localhost\r\n\r\n"),
        /* judged by their first octet, long before a line or a deadline ends */
        PROBE("SOCKS5", 400, "\x05\x01"),
        PROBE("TLS", 400, "\x16\x03\x01\x02"),
    };
    struct bench b;

    bench_start(&b, NULL);
    for (size_t i = 0; i < ARRAY_LEN(probes); i++) {
        const struct probe *p = &probes[i];
        struct peer peer;

        peer_open(&peer, &b);
        peer_write(&peer, p->text, p->len);
        peer_until_eof(&peer);
        ck_assert_msg(http_status(peer.got) == p->status, "%s gave %.300s", p->name, peer.got);
        ck_assert(!peer.reset); /* which could have destroyed the answer on its way */
        ck_assert(http_has(peer.got, "Content-Type: application/problem+json"));
        ck_assert(http_has(peer.got, "Connection: close"));
        ck_assert(http_has(peer.got, "X-Content-Type-Options: nosniff"));
        json_t *doc = json_loads(http_body(peer.got), 0, NULL);
        ck_assert_int_eq(json_integer_value(json_object_get(doc, "status")), p->status);
        json_decref(doc);
        peer_close(&peer);
    }
    bench_end(&b);
}
END_TEST

START_TEST(a_refused_head_request_gets_no_body)
{
    struct bench b;

    bench_start(&b, NULL);
    char *r = bench_ask_text(&b, "HEAD /healthz HTTP/1.1\r\nHost: localhost\r\nA : b\r\n\r\n");
    ck_assert_int_eq(http_status(r), 400);
    ck_assert_str_eq(http_body(r), "");
    free(r);
    bench_end(&b);
}
END_TEST

START_TEST(a_half_closed_client_is_answered_and_half_a_request_is_not)
{
    struct bench b;
    struct peer p;

    bench_start(&b, NULL);
    peer_open(&p, &b);
    peer_text(&p, GOOD "\r\n");
    ck_assert_int_eq(shutdown(p.fd, SHUT_WR), 0);
    peer_until_eof(&p);
    ck_assert_int_eq(http_status(p.got), 200);
    peer_close(&p);
    peer_open(&p, &b);
    peer_text(&p, GOOD);
    bench_turns(&b, 5);
    ck_assert_int_eq(shutdown(p.fd, SHUT_WR), 0);
    peer_until_eof(&p);
    ck_assert_str_eq(p.got, "");
    peer_close(&p);
    bench_end(&b);
}
END_TEST

/* `n` octets of 'a' between two texts, as one request. */
static int status_of_long(struct bench *b, const char *before, size_t n, const char *after)
{
    size_t cap = strlen(before) + n + strlen(after) + 1;
    char *request = malloc(cap);
    struct peer p;

    ck_assert_ptr_nonnull(request);
    (void)snprintf(request, cap, "%s%*s%s", before, (int)n, "", after);
    memset(request + strlen(before), 'a', n);
    peer_open(&p, b);
    peer_write(&p, request, cap - 1);
    peer_until_eof(&p);
    int status = http_status(p.got);
    peer_close(&p);
    free(request);
    return status;
}

START_TEST(line_head_and_fields_have_limits)
{
    struct bench b;
    const char *end = " HTTP/1.1\r\nHost: localhost\r\n\r\n";
    size_t rest = strlen("GET /") + strlen(" HTTP/1.1\r\n");

    bench_start(&b, NULL);
    ck_assert_int_eq(status_of_long(&b, "GET /", HTTP_LINE_MAX - rest, end), 404);
    ck_assert_int_eq(status_of_long(&b, "GET /", HTTP_LINE_MAX - rest + 1, end), 414);
    size_t head = strlen(GOOD "A: \r\n\r\n");
    ck_assert_int_eq(status_of_long(&b, GOOD "A: ", HTTP_HEAD_MAX - head, "\r\n\r\n"), 200);
    ck_assert_int_eq(status_of_long(&b, GOOD "A: ", HTTP_HEAD_MAX - head + 1, "\r\n\r\n"), 431);
    ck_assert_int_eq(status_of_long(&b, GOOD "A: ", 200000, "\r\n\r\n"), 431);
    ck_assert_int_eq(status_of_long(&b, "GET /", 200000, end), 414);

    char request[4096];
    for (int extra = 63; extra <= 64; extra++) {
        size_t len = (size_t)snprintf(request, sizeof request, GOOD);
        for (int i = 0; i < extra; i++)
            len += (size_t)snprintf(request + len, sizeof request - len, "A%d: b\r\n", i);
        (void)snprintf(request + len, sizeof request - len, "\r\n");
        char *r = bench_ask_text(&b, request);
        ck_assert_int_eq(http_status(r), extra == 63 ? 200 : 431);
        free(r);
    }
    bench_end(&b);
}
END_TEST

START_TEST(a_request_may_come_octet_by_octet)
{
    static const char text[] = GOOD "\r\n";
    struct bench b;
    struct peer p;

    bench_start(&b, NULL);
    peer_open(&p, &b);
    for (size_t i = 0; i < sizeof text - 1; i++) {
        peer_write(&p, &text[i], 1);
        bench_turns(&b, 4);
    }
    peer_until_eof(&p);
    ck_assert_int_eq(http_status(p.got), 200);
    peer_close(&p);
    bench_end(&b);
}
END_TEST

START_TEST(a_pipelined_second_request_is_not_answered)
{
    struct bench b;

    bench_start(&b, NULL);
    char *r = bench_ask_text(&b, GOOD "Connection: keep-alive\r\n\r\n" GOOD "\r\n");
    ck_assert_int_eq(http_status(r), 200);
    ck_assert_ptr_null(strstr(r + 1, "HTTP/1.1 "));
    free(r);
    bench_end(&b);
}
END_TEST

/* ---- deadlines ---- */

struct drip {
    struct peer *p;
    uv_timer_t timer;
};

static void on_drip(uv_timer_t *t)
{
    peer_text(((struct drip *)t->data)->p, "a");
}

START_TEST(a_head_that_trickles_in_is_cut_at_its_deadline)
{
    struct bench b;
    struct peer p;
    struct drip d = {.p = &p};

    bench_start(&b, &quick_head);
    peer_open(&p, &b);
    peer_text(&p, "GET /");
    ck_assert_int_eq(uv_timer_init(&b.loop, &d.timer), 0);
    d.timer.data = &d;
    ck_assert_int_eq(uv_timer_start(&d.timer, on_drip, 5, 5), 0);
    peer_until_eof(&p);
    ck_assert_str_eq(p.got, "");
    uv_close((uv_handle_t *)&d.timer, NULL);
    peer_close(&p);
    bench_end(&b);
}
END_TEST

START_TEST(a_silent_connection_is_cut_at_its_deadline)
{
    struct bench b;
    struct peer p;

    bench_start(&b, &quick_head);
    peer_open(&p, &b);
    peer_until_eof(&p);
    ck_assert_str_eq(p.got, "");
    peer_close(&p);
    bench_end(&b);
}
END_TEST

static void fill_views(struct bench *b)
{
    for (size_t i = 0; i < BENCH_VIEWS; i++) {
        b->views[i] =
            (struct session_view){.id = 1 + i, .protocol = "socks5", .state = "relay"};
        memset(b->views[i].host, 'h', TARGET_NAME_MAX);
        memset(b->views[i].user, 'u', VIEW_USER_MAX);
    }
    b->view_count = BENCH_VIEWS;
}

/* More than the sockets between us take, so that the endpoint has to keep the rest. */
static void ask_for_much_and_stop_reading(struct peer *p, struct bench *b)
{
    int small = 16384; /* the connection inherits it */

    ck_assert_int_eq(setsockopt(b->listen_fd, SOL_SOCKET, SO_SNDBUF, &small, sizeof small), 0);
    peer_open(p, b);
    peer_pause(p);
    peer_text(p, "GET /v1/sessions?limit=1000 HTTP/1.1\r\nHost: localhost\r\n\r\n");
    bench_turns(b, 20);
}

static void on_late(uv_timer_t *t)
{
    peer_resume(((struct drip *)t->data)->p);
}

START_TEST(a_slow_reader_stops_nobody_and_is_cut_at_its_deadline)
{
    struct bench b;
    struct peer slow;
    struct drip late = {.p = &slow};

    bench_start(&b, &quick_send);
    fill_views(&b);
    ask_for_much_and_stop_reading(&slow, &b);
    char *r = bench_get(&b, "/healthz");
    ck_assert_int_eq(http_status(r), 200);
    free(r);
    /* It reads on only after its deadline: the answer is not whole. */
    ck_assert_int_eq(uv_timer_init(&b.loop, &late.timer), 0);
    late.timer.data = &late;
    ck_assert_int_eq(uv_timer_start(&late.timer, on_late, (uint64_t)3 * quick_send.send_ms, 0),
                     0);
    peer_until_eof(&slow);
    ck_assert_uint_gt(slow.len, 0);
    ck_assert_uint_lt(slow.len / BENCH_VIEWS, TARGET_NAME_MAX + VIEW_USER_MAX);
    uv_close((uv_handle_t *)&late.timer, NULL);
    peer_close(&slow);
    bench_end(&b);
}
END_TEST

START_TEST(a_large_answer_arrives_whole)
{
    struct bench b;

    bench_start(&b, NULL);
    fill_views(&b);
    char *r = bench_get(&b, "/v1/sessions?limit=1000");
    json_t *doc = json_loads(http_body(r), 0, NULL);
    ck_assert_uint_eq(json_array_size(json_object_get(doc, "sessions")), BENCH_VIEWS);
    json_decref(doc);
    free(r);
    bench_end(&b);
}
END_TEST

/* ---- connections ---- */

START_TEST(the_33rd_connection_waits_until_one_of_the_others_ends)
{
    struct bench b;
    struct peer peers[ADMIN_CONNECTIONS + 1], *last = &peers[ADMIN_CONNECTIONS];

    bench_start(&b, NULL);
    for (size_t i = 0; i < ARRAY_LEN(peers); i++)
        peer_open(&peers[i], &b);
    peer_text(last, GOOD "\r\n");
    bench_turns(&b, 50);
    ck_assert_uint_eq(last->len, 0);
    ck_assert(!last->eof);
    peer_close(&peers[0]);
    peer_until_eof(last);
    ck_assert_int_eq(http_status(last->got), 200);
    for (size_t i = 1; i < ARRAY_LEN(peers); i++)
        peer_close(&peers[i]);
    char *r = bench_get(&b, "/healthz"); /* and all is as before */
    ck_assert_int_eq(http_status(r), 200);
    free(r);
    bench_end(&b);
}
END_TEST

START_TEST(many_connections_one_after_another_leave_nothing_behind)
{
    struct bench b;

    bench_start(&b, NULL);
    for (int i = 0; i < 200; i++) {
        struct peer p;
        peer_open(&p, &b);
        if (i % 3 != 0)
            peer_text(&p, i % 3 == 1 ? "GET /hea" : GOOD "\r\n");
        bench_turns(&b, i % 5);
        peer_close(&p);
    }
    char *r = bench_get(&b, "/healthz");
    ck_assert_int_eq(http_status(r), 200);
    free(r);
    bench_end(&b);
}
END_TEST

START_TEST(without_fds_it_pauses_instead_of_spinning_and_comes_back)
{
    struct bench b;
    struct peer p;
    struct rlimit old, none;
    int turns = 0;

    bench_start(&b, NULL);
    char *r = bench_get(&b, "/healthz"); /* whatever is opened once is open now */
    free(r);
    peer_open(&p, &b);
    ck_assert_int_eq(getrlimit(RLIMIT_NOFILE, &old), 0);
    none = old;
    none.rlim_cur = 3;
    ck_assert_int_eq(setrlimit(RLIMIT_NOFILE, &none), 0);
    peer_text(&p, GOOD "\r\n");
    uint64_t start = uv_now(&b.loop);
    uv_ref((uv_handle_t *)&b.guard);
    while (uv_now(&b.loop) - start < 500) {
        (void)uv_run(&b.loop, UV_RUN_ONCE);
        turns++;
    }
    uv_unref((uv_handle_t *)&b.guard);
    ck_assert_int_lt(turns, 20);
    ck_assert_uint_eq(p.len, 0);
    ck_assert_int_eq(setrlimit(RLIMIT_NOFILE, &old), 0);
    peer_until_eof(&p);
    ck_assert_int_eq(http_status(p.got), 200);
    peer_close(&p);
    bench_end(&b);
}
END_TEST

/* ---- questions to the workers ---- */

static bool was_asked(void *arg)
{
    return ((struct bench *)arg)->ask_count > 0;
}

static void open_and_ask(struct peer *p, struct bench *b)
{
    b->mode = BENCH_LATER;
    peer_open(p, b);
    peer_text(p, ASK);
    bench_until(b, was_asked, b);
}

START_TEST(an_answer_may_come_later)
{
    struct bench b;
    struct peer p;

    bench_start(&b, NULL);
    open_and_ask(&p, &b);
    bench_turns(&b, 10);
    ck_assert_uint_eq(p.len, 0);
    char *r = bench_get(&b, "/healthz"); /* others do not wait */
    ck_assert_int_eq(http_status(r), 200);
    free(r);
    bench_answer(&b, 0);
    peer_until_eof(&p);
    ck_assert_int_eq(http_status(p.got), 200);
    peer_close(&p);
    bench_end(&b);
}
END_TEST

START_TEST(no_answer_in_time_is_503_and_a_late_one_is_ignored)
{
    struct bench b;
    struct peer p;

    bench_start(&b, &quick_answer);
    open_and_ask(&p, &b);
    peer_until_eof(&p);
    ck_assert_int_eq(http_status(p.got), 503);
    peer_close(&p);
    bench_answer(&b, 0);
    bench_turns(&b, 5);
    bench_end(&b);
}
END_TEST

START_TEST(workers_that_cannot_be_asked_are_503)
{
    struct bench b;

    bench_start(&b, NULL);
    b.mode = BENCH_REFUSE;
    char *r = bench_ask_text(&b, ASK);
    ck_assert_int_eq(http_status(r), 503);
    free(r);
    bench_end(&b);
}
END_TEST

START_TEST(a_client_that_left_before_the_answer_harms_nobody)
{
    struct bench b;
    struct peer p;

    bench_start(&b, NULL);
    open_and_ask(&p, &b);
    peer_close(&p);
    bench_turns(&b, 5);
    bench_answer(&b, 0);
    bench_turns(&b, 20);
    b.mode = BENCH_NOW;
    char *r = bench_ask_text(&b, ASK);
    ck_assert_int_eq(http_status(r), 200);
    free(r);
    bench_end(&b);
}
END_TEST

START_TEST(clients_that_leave_while_waiting_do_not_use_up_the_slots)
{
    struct bench b;

    bench_start(&b, &quick_answer);
    b.mode = BENCH_LATER;
    for (int i = 0; i < ADMIN_CONNECTIONS; i++) {
        struct peer p;
        size_t before = b.ask_count;

        peer_open(&p, &b);
        peer_text(&p, ASK);
        while (b.ask_count == before)
            bench_turns(&b, 1);
        peer_close(&p);
    }
    char *r = bench_get(&b, "/healthz");
    ck_assert_int_eq(http_status(r), 200);
    free(r);
    bench_end(&b);
}
END_TEST

START_TEST(questions_to_stuck_workers_are_bounded)
{
    struct bench b;

    bench_start(&b, &quick_answer);
    b.mode = BENCH_LATER;
    for (int i = 0; i < 70; i++) { /* the source fails the test beyond BENCH_ASKS */
        char *r = bench_ask_text(&b, ASK);
        ck_assert_int_eq(http_status(r), 503);
        free(r);
    }
    ck_assert_uint_eq(b.ask_count, 64);
    bench_answer(&b, 0);
    char *r = bench_ask_text(&b, ASK);
    free(r);
    ck_assert_uint_eq(b.ask_count, 65);
    bench_end(&b);
}
END_TEST

/* ---- stop ---- */

enum { STOP_STAGES = 9 };

/* Brings a peer to the given stage of an exchange. */
static void bring_to(struct peer *p, struct bench *b, int stage)
{
    switch (stage) {
    case 0: /* in the accept queue */
        peer_open(p, b);
        break;
    case 1: /* accepted */
        peer_open(p, b);
        bench_turns(b, 5);
        break;
    case 2: /* half a head */
        peer_open(p, b);
        peer_text(p, GOOD);
        bench_turns(b, 5);
        break;
    case 3: /* the workers are asked */
        open_and_ask(p, b);
        break;
    case 4: /* they have answered, nobody has taken it yet */
        open_and_ask(p, b);
        bench_answer(b, 0);
        break;
    case 5: /* gone while they were asked */
        open_and_ask(p, b);
        (void)shutdown(p->fd, SHUT_RDWR);
        bench_turns(b, 5);
        break;
    case 6: /* a large answer on its way to a slow reader */
        fill_views(b);
        ask_for_much_and_stop_reading(p, b);
        break;
    case 7: /* request sent, nothing done about it */
        peer_open(p, b);
        peer_text(p, GOOD "\r\n");
        break;
    default: /* all over */
        peer_open(p, b);
        peer_text(p, GOOD "\r\n");
        peer_until_eof(p);
        break;
    }
}

static bool all_ended(void *arg)
{
    struct peer *p = arg;

    return p->eof;
}

START_TEST(it_stops_in_every_state_at_every_turn)
{
    for (int turns = 0; turns < 6; turns++) {
        struct bench b;
        struct peer p;

        bench_start(&b, NULL);
        bring_to(&p, &b, _i);
        bench_turns(&b, turns);
        admin_stop(b.admin);
        b.admin = NULL;
        bench_turns(&b, turns);
        if (!p.eof && !p.reading)
            peer_resume(&p);
        bench_until(&b, all_ended, &p); /* the peer is told */
        peer_close(&p);
        ck_assert_int_eq(fcntl(b.listen_fd, F_GETFD), -1); /* ours no more, and closed */
        bench_end(&b);
    }
}
END_TEST

START_TEST(it_stops_with_every_slot_waiting_and_more_in_the_queue)
{
    struct bench b;
    struct peer peers[ADMIN_CONNECTIONS + 3];

    bench_start(&b, NULL);
    b.mode = BENCH_LATER;
    for (size_t i = 0; i < ARRAY_LEN(peers); i++) {
        peer_open(&peers[i], &b);
        peer_text(&peers[i], ASK);
        bench_turns(&b, 3);
    }
    ck_assert_uint_eq(b.ask_count, ADMIN_CONNECTIONS);
    admin_stop(b.admin);
    b.admin = NULL;
    for (size_t i = 0; i < b.ask_count; i++)
        bench_answer(&b, i);
    for (size_t i = 0; i < ARRAY_LEN(peers); i++)
        peer_close(&peers[i]);
    bench_end(&b);
}
END_TEST

START_TEST(a_failed_start_leaves_the_fd_alone)
{
    uv_loop_t loop;
    struct admin *untouched = (struct admin *)(void *)&loop, *a = untouched;
    struct admin_source source = {0};
    int fds[2];

    ck_assert_int_eq(uv_loop_init(&loop), 0);
    ck_assert_int_eq(pipe2(fds, O_CLOEXEC), 0);
    ck_assert_int_lt(admin_start(&loop, fds[0], &source, &a), 0);
    ck_assert_ptr_eq(a, untouched);
    ck_assert_int_ge(fcntl(fds[0], F_GETFD), 0);
    ck_assert_int_eq(uv_run(&loop, UV_RUN_DEFAULT), 0);
    ck_assert_int_eq(uv_loop_close(&loop), 0);
    ck_assert_int_eq(close(fds[0]), 0);
    ck_assert_int_eq(close(fds[1]), 0);
}
END_TEST

int main(void)
{
    Suite *s = suite_create("admin_limits");
    TCase *t = tcase_create("limits");

    tcase_set_timeout(t, 60);
    tcase_add_test(t, malformed_requests_are_refused_by_us);
    tcase_add_test(t, a_refused_head_request_gets_no_body);
    tcase_add_test(t, a_half_closed_client_is_answered_and_half_a_request_is_not);
    tcase_add_test(t, line_head_and_fields_have_limits);
    tcase_add_test(t, a_request_may_come_octet_by_octet);
    tcase_add_test(t, a_pipelined_second_request_is_not_answered);
    tcase_add_test(t, a_head_that_trickles_in_is_cut_at_its_deadline);
    tcase_add_test(t, a_silent_connection_is_cut_at_its_deadline);
    tcase_add_test(t, a_slow_reader_stops_nobody_and_is_cut_at_its_deadline);
    tcase_add_test(t, a_large_answer_arrives_whole);
    tcase_add_test(t, the_33rd_connection_waits_until_one_of_the_others_ends);
    tcase_add_test(t, many_connections_one_after_another_leave_nothing_behind);
    tcase_add_test(t, without_fds_it_pauses_instead_of_spinning_and_comes_back);
    tcase_add_test(t, an_answer_may_come_later);
    tcase_add_test(t, no_answer_in_time_is_503_and_a_late_one_is_ignored);
    tcase_add_test(t, workers_that_cannot_be_asked_are_503);
    tcase_add_test(t, a_client_that_left_before_the_answer_harms_nobody);
    tcase_add_test(t, clients_that_leave_while_waiting_do_not_use_up_the_slots);
    tcase_add_test(t, questions_to_stuck_workers_are_bounded);
    tcase_add_loop_test(t, it_stops_in_every_state_at_every_turn, 0, STOP_STAGES);
    tcase_add_test(t, it_stops_with_every_slot_waiting_and_more_in_the_queue);
    tcase_add_test(t, a_failed_start_leaves_the_fd_alone);
    suite_add_tcase(s, t);
    return runner_main(s);
}
