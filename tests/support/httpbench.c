/* SPDX-License-Identifier: MIT */
#include "httpbench.h"
#include <arpa/inet.h>
#include <check.h>
#include <errno.h>
#include <fcntl.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

static void source_snapshot(void *arg, struct stats_snapshot *sum, struct server_view *view)
{
    struct bench *b = arg;

    *sum = b->sum;
    *view = b->view;
}

static bool source_sessions(void *arg, const struct session_query *q, admin_sessions_fn *done,
                            void *done_arg)
{
    struct bench *b = arg;

    switch (b->mode) {
    case BENCH_REFUSE:
        return false;
    case BENCH_NOW:
        b->ask[0].query = *q;
        done(done_arg, b->views, b->view_count, b->truncated);
        return true;
    case BENCH_LATER:
        break;
    }
    ck_assert_uint_lt(b->ask_count, BENCH_ASKS);
    b->ask[b->ask_count++] = (struct bench_ask){done, done_arg, *q};
    return true;
}

static enum server_state source_state(void *arg)
{
    return ((struct bench *)arg)->state;
}

static uint64_t source_loop_age_ms(void *arg)
{
    return ((struct bench *)arg)->loop_age_ms;
}

static void on_guard(uv_timer_t *t)
{
    (void)t;
    ck_abort_msg("nothing happened for 20 s");
}

static int listen_loopback(struct addr *out)
{
    struct sockaddr_in sin = {.sin_family = AF_INET, .sin_addr.s_addr = htonl(INADDR_LOOPBACK)};
    struct sockaddr_storage bound;
    socklen_t len = sizeof bound;
    int fd = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);

    ck_assert_int_ge(fd, 0);
    ck_assert_int_eq(bind(fd, (const struct sockaddr *)&sin, sizeof sin), 0);
    ck_assert_int_eq(listen(fd, 128), 0);
    ck_assert_int_eq(getsockname(fd, (struct sockaddr *)&bound, &len), 0);
    ck_assert(addr_from_sockaddr((const struct sockaddr *)&bound, len, out));
    return fd;
}

void bench_start(struct bench *b, const struct admin_timing *timing)
{
    static char node[] = "node-1";
    struct admin_source source = {b, source_snapshot, source_sessions, source_state,
                                  source_loop_age_ms};

    memset(b, 0, sizeof *b);
    ck_assert_int_eq(uv_loop_init(&b->loop), 0);
    ck_assert_int_eq(uv_timer_init(&b->loop, &b->guard), 0);
    ck_assert_int_eq(uv_timer_start(&b->guard, on_guard, 20000, 0), 0);
    uv_unref((uv_handle_t *)&b->guard);
    b->timing = timing != NULL ? *timing : (struct admin_timing){15000, 15000, 15000, 200};
    b->config.node = node;
    memset(b->config.sha256, 'a', 64);
    b->view.config = &b->config;
    b->state = SERVER_SERVING;
    b->views = calloc(BENCH_VIEWS, sizeof *b->views);
    ck_assert_ptr_nonnull(b->views);
    b->listen_fd = listen_loopback(&b->address);
    ck_assert_int_eq(admin_start_timed(&b->loop, b->listen_fd, &source, &b->timing, &b->admin),
                     0);
}

void bench_answer(struct bench *b, size_t i)
{
    admin_sessions_fn *done = b->ask[i].done;

    ck_assert_uint_lt(i, b->ask_count);
    ck_assert_ptr_nonnull(done);
    b->ask[i].done = NULL;
    done(b->ask[i].arg, b->views, b->view_count, b->truncated);
}

void bench_end(struct bench *b)
{
    if (b->admin != NULL)
        admin_stop(b->admin);
    b->admin = NULL;
    for (size_t i = 0; i < b->ask_count; i++) {
        if (b->ask[i].done != NULL)
            bench_answer(b, i);
    }
    uv_close((uv_handle_t *)&b->guard, NULL);
    ck_assert_int_eq(uv_run(&b->loop, UV_RUN_DEFAULT), 0);
    ck_assert_int_eq(uv_loop_close(&b->loop), 0);
    free(b->views);
}

static void on_peer_closed(uv_handle_t *h)
{
    ((struct peer *)h->data)->closed = true;
}

static void peer_take(struct peer *p)
{
    char buf[65536];
    ssize_t n = recv(p->fd, buf, sizeof buf, MSG_DONTWAIT);

    if (n < 0 && (errno == EAGAIN || errno == EINTR))
        return;
    if (n <= 0) {
        int err = 0;
        socklen_t len = sizeof err;

        /* A reset behind the end of the stream is not told by recv(). */
        ck_assert_int_eq(getsockopt(p->fd, SOL_SOCKET, SO_ERROR, &err, &len), 0);
        p->reset = n < 0 || err != 0;
        p->eof = true;
        peer_pause(p);
        return;
    }
    p->got = realloc(p->got, p->len + (size_t)n + 1);
    ck_assert_ptr_nonnull(p->got);
    memcpy(p->got + p->len, buf, (size_t)n);
    p->len += (size_t)n;
    p->got[p->len] = '\0';
}

static void on_peer(uv_poll_t *h, int status, int events)
{
    struct peer *p = h->data;

    (void)events;
    peer_take(p);
    /* A reset makes libuv stop the handle after this call: what came before it is still there.
     */
    while (status < 0 && !p->eof)
        peer_take(p);
}

void peer_open(struct peer *p, struct bench *b)
{
    struct sockaddr_storage to;
    socklen_t len = addr_to_sockaddr(&b->address, &to);

    *p = (struct peer){.bench = b, .got = calloc(1, 1), .reading = true};
    ck_assert_ptr_nonnull(p->got);
    p->fd = socket(to.ss_family, SOCK_STREAM | SOCK_CLOEXEC, 0);
    ck_assert_int_ge(p->fd, 0);
    ck_assert_int_eq(connect(p->fd, (const struct sockaddr *)&to, len),
                     0); /* the backlog takes it */
    ck_assert_int_eq(uv_poll_init(&b->loop, &p->poll, p->fd), 0);
    p->poll.data = p;
    ck_assert_int_eq(uv_poll_start(&p->poll, UV_READABLE, on_peer), 0);
}

void peer_pause(struct peer *p)
{
    p->reading = false;
    ck_assert_int_eq(uv_poll_stop(&p->poll), 0);
}

void peer_resume(struct peer *p)
{
    p->reading = true;
    ck_assert_int_eq(uv_poll_start(&p->poll, UV_READABLE, on_peer), 0);
}

/* Requests are far smaller than a socket's buffer, unless the endpoint has closed it. */
void peer_write(struct peer *p, const void *data, size_t len)
{
    ssize_t n = send(p->fd, data, len, MSG_NOSIGNAL);

    ck_assert(n == (ssize_t)len || (n < 0 && (errno == EPIPE || errno == ECONNRESET)));
}

void peer_text(struct peer *p, const char *text)
{
    peer_write(p, text, strlen(text));
}

static bool peer_is_closed(void *arg)
{
    return ((struct peer *)arg)->closed;
}

void peer_close(struct peer *p)
{
    uv_close((uv_handle_t *)&p->poll, on_peer_closed);
    ck_assert_int_eq(close(p->fd), 0);
    bench_until(p->bench, peer_is_closed, p);
    free(p->got);
}

void bench_until(struct bench *b, bench_condition_fn *done, void *arg)
{
    ck_assert_int_eq(uv_timer_start(&b->guard, on_guard, 20000, 0), 0);
    uv_ref((uv_handle_t *)&b->guard);
    while (!done(arg))
        (void)uv_run(&b->loop, UV_RUN_ONCE); /* whether handles remain is of no interest here */
    uv_unref((uv_handle_t *)&b->guard);
}

void bench_turns(struct bench *b, int n)
{
    for (int i = 0; i < n; i++)
        (void)uv_run(&b->loop, UV_RUN_NOWAIT);
}

static bool peer_has_eof(void *arg)
{
    return ((struct peer *)arg)->eof;
}

void peer_until_eof(struct peer *p)
{
    bench_until(p->bench, peer_has_eof, p);
}

char *bench_ask_text(struct bench *b, const char *request)
{
    struct peer p;

    peer_open(&p, b);
    peer_text(&p, request);
    peer_until_eof(&p);
    char *text = strdup(p.got);
    ck_assert_ptr_nonnull(text);
    peer_close(&p);
    return text;
}

char *bench_get(struct bench *b, const char *target)
{
    char request[2048];

    ck_assert_int_lt(
        snprintf(request, sizeof request, "GET %s HTTP/1.1\r\nHost: localhost\r\n\r\n", target),
        (int)sizeof request);
    return bench_ask_text(b, request);
}

int http_status(const char *response)
{
    return strncmp(response, "HTTP/1.", 7) == 0 && strlen(response) > 12
               ? (int)strtol(response + 9, NULL, 10)
               : 0;
}

const char *http_body(const char *response)
{
    const char *end = strstr(response, "\r\n\r\n");

    return end != NULL ? end + 4 : "";
}

bool http_has(const char *response, const char *field)
{
    size_t len = strlen(field);

    for (const char *line = strstr(response, "\r\n"); line != NULL;
         line = strstr(line + 2, "\r\n")) {
        if (strncmp(line + 2, "\r\n", 2) == 0)
            return false;
        if (strncmp(line + 2, field, len) == 0 && strncmp(line + 2 + len, "\r\n", 2) == 0)
            return true;
    }
    return false;
}
