/* SPDX-License-Identifier: MIT */
/* httpbench - the stats endpoint on a real loop before a fake source, and raw loopback clients
 * in the same loop. Nothing sleeps: bench_until() turns the loop until a condition holds, and
 * fails the test after 20 s. */
#ifndef SUPPORT_HTTPBENCH_H
#define SUPPORT_HTTPBENCH_H
#include "admin.h"
#include <stdbool.h>
#include <stddef.h>

enum bench_mode { BENCH_NOW, BENCH_LATER, BENCH_REFUSE };
enum { BENCH_ASKS = 80, BENCH_VIEWS = 1000 };

struct bench_ask {
    admin_sessions_fn *done;
    void *arg;
    struct session_query query;
};

struct bench {
    uv_loop_t loop;
    uv_timer_t guard;
    struct admin *admin;
    struct admin_timing timing;
    struct addr address; /* where the endpoint listens */
    int listen_fd;
    /* the source */
    struct config config;
    struct stats_snapshot sum;
    struct server_view view;
    enum server_state state;
    uint64_t loop_age_ms;
    enum bench_mode mode;
    struct session_view *views; /* what BENCH_NOW answers */
    size_t view_count;
    bool truncated;
    struct bench_ask ask[BENCH_ASKS]; /* BENCH_LATER */
    size_t ask_count;
};

struct peer {
    struct bench *bench;
    int fd;
    uv_poll_t poll;
    char *got; /* NUL-terminated */
    size_t len;
    bool eof;   /* end of stream or reset */
    bool reset; /* the end was a reset */
    bool closed, reading;
};

void bench_start(struct bench *b,
                 const struct admin_timing *timing); /* NULL: patient deadlines */
void bench_answer(struct bench *b, size_t i);        /* ask i, with view_count views */
/* Stops the endpoint if it runs, answers what was asked, turns the loop until it is empty:
 * uv_loop_close must be 0. */
void bench_end(struct bench *b);

void peer_open(struct peer *p, struct bench *b);
void peer_pause(struct peer *p); /* does not read any more */
void peer_resume(struct peer *p);
void peer_write(struct peer *p, const void *data, size_t len);
void peer_text(struct peer *p, const char *text);
void peer_close(struct peer *p);

typedef bool bench_condition_fn(void *arg);
void bench_until(struct bench *b, bench_condition_fn *done, void *arg);
void bench_turns(struct bench *b, int n); /* n turns that do not wait */
void peer_until_eof(struct peer *p);
/* A whole exchange: request in, everything up to the end of the stream out (to be freed). */
char *bench_ask_text(struct bench *b, const char *request);
char *bench_get(struct bench *b, const char *target); /* "GET target" with a good Host */

int http_status(const char *response); /* 0: none */
const char *http_body(const char *response);
bool http_has(const char *response,
              const char *field); /* "Name: value" among the header lines, exactly */

#endif
