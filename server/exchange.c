/* SPDX-License-Identifier: MIT */
/* A question to the workers outlives whoever asked: it is freed when they answer, and knows
 * whether somebody still waits. */
#include "exchange.h"
#include "routes.h"
#include <errno.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

enum {
    ASKS_MAX = 64, /* more unanswered questions mean that the workers are stuck */
    ANSWER_MAX = 1024,
    DRAIN_TURNS = 64,
};

struct exchange_ask {
    struct list link;          /* in exchange_env.asks */
    struct exchange_env *env;  /* NULL: the endpoint has ended */
    struct exchange *exchange; /* NULL: nobody waits any more */
    struct session_query query;
};

static void set_phase(struct exchange *x, enum exchange_phase next, uint32_t allowance_ms)
{
    x->phase = next;
    x->deadline_ms = next == EXCHANGE_CUT ? UINT64_MAX : uv_now(x->env->loop) + allowance_ms;
}

void exchange_begin(struct exchange *x, struct exchange_env *env, int fd)
{
    *x = (struct exchange){.env = env, .fd = fd};
    set_phase(x, EXCHANGE_HEAD, env->timing.head_ms);
}

/* Takes the reply. MHD_NO makes libmicrohttpd close the connection: out of memory. */
static enum MHD_Result send_reply(struct exchange *x, struct reply r)
{
    if (r.response == NULL)
        return MHD_NO;
    enum MHD_Result queued = MHD_queue_response(x->connection, r.status, r.response);
    MHD_destroy_response(r.response);
    set_phase(x, EXCHANGE_SENDING, x->env->timing.send_ms);
    return queued;
}

/* Nobody is told any more when the answer comes. */
static void forget(struct exchange *x)
{
    if (x->ask != NULL)
        x->ask->exchange = NULL;
    x->ask = NULL;
}

static void ask_free(struct exchange_ask *q)
{
    if (q->env != NULL) {
        list_remove(&q->link);
        q->env->ask_count--;
    }
    free(q);
}

/* Leaves `reply` to on_request; if the connection is suspended, wakes it. */
static void answer(struct exchange *x, struct reply r)
{
    bool suspended = x->phase == EXCHANGE_ASKED;

    forget(x);
    x->reply = r;
    set_phase(x, EXCHANGE_ANSWERED, x->env->timing.send_ms);
    if (suspended) {
        MHD_resume_connection(x->connection);
        x->env->wake(x->env);
    }
}

/* admin_sessions_fn: from the main loop, perhaps from inside ask(). */
static void on_sessions(void *arg, const struct session_view *list, size_t n, bool truncated)
{
    struct exchange_ask *q = arg;

    if (q->exchange != NULL)
        answer(q->exchange, route_sessions(&q->query, list, n, truncated));
    ask_free(q);
}

static enum MHD_Result ask(struct exchange *x, const struct session_query *query)
{
    struct exchange_env *env = x->env;
    struct exchange_ask *q = env->ask_count < ASKS_MAX ? calloc(1, sizeof *q) : NULL;

    if (q == NULL)
        return send_reply(
            x, reply_problem(MHD_HTTP_SERVICE_UNAVAILABLE, "too many questions", NULL));
    q->env = env;
    q->exchange = x;
    q->query = *query;
    list_append(&env->asks, &q->link);
    env->ask_count++;
    x->ask = q;
    env->in_source = true;
    bool asked = env->source.sessions(env->source.arg, &q->query, on_sessions, q);
    env->in_source = false;
    if (!asked) {
        forget(x);
        ask_free(q);
        return send_reply(x, reply_problem(MHD_HTTP_SERVICE_UNAVAILABLE,
                                           "the workers cannot be asked now", NULL));
    }
    if (x->phase == EXCHANGE_ANSWERED)
        return send_reply(x, x->reply);
    MHD_suspend_connection(x->connection);
    set_phase(x, EXCHANGE_ASKED, env->timing.answer_ms);
    return MHD_YES;
}

static enum MHD_Result serve(struct exchange *x, const char *path)
{
    struct exchange_env *env = x->env;
    struct stats_snapshot sum = {0};
    struct server_view view = {0};
    const char *host = MHD_lookup_connection_value(x->connection, MHD_HEADER_KIND, "Host");

    env->in_source = true;
    env->source.snapshot(env->source.arg, &sum, &view);
    struct route_facts facts = {&sum, &view, env->source.state(env->source.arg),
                                env->source.loop_age_ms(env->source.arg)};
    env->in_source = false;

    /* HTTP/1.0 need not say it; what a browser sends does: that is who DNS rebinding uses. */
    if (host != NULL &&
        !http_host_allowed(span_of(host, strlen(host)), &env->bound, &view.config->stats.hosts))
        return send_reply(
            x, reply_problem(MHD_HTTP_BAD_REQUEST, "this Host is not served here", NULL));
    struct route r = route_find(x->connection, path, &facts);
    return r.ask ? ask(x, &r.query) : send_reply(x, r.reply);
}

enum MHD_Result exchange_request(struct exchange *x, const char *path)
{
    switch (x->phase) {
    case EXCHANGE_PASSED:
        set_phase(x, EXCHANGE_JUDGED, x->env->timing.send_ms);
        return MHD_YES;
    case EXCHANGE_JUDGED:
        return serve(x, path);
    case EXCHANGE_ANSWERED:
        return send_reply(x, x->reply);
    case EXCHANGE_ASKED:
        return MHD_YES;
    case EXCHANGE_FREE:
    case EXCHANGE_HEAD:
    case EXCHANGE_SENDING:
    case EXCHANGE_CUT:
        break;
    }
    return MHD_NO;
}

/* An answer that was not handed to libmicrohttpd. */
static void drop_reply(struct exchange *x)
{
    if (x->phase == EXCHANGE_ANSWERED && x->reply.response != NULL)
        MHD_destroy_response(x->reply.response);
    x->reply = (struct reply){0};
}

void exchange_end(struct exchange *x)
{
    forget(x);
    drop_reply(x);
    *x = (struct exchange){.phase = EXCHANGE_FREE};
}

/* Before libmicrohttpd has the connection. */
static void close_head(struct exchange *x)
{
    (void)close(x->fd); /* nothing to do about a failure */
    exchange_end(x);
}

/* Closing with octets unread sends a reset, which may destroy the answer on its way: take what
 * is there. */
static void refuse(struct exchange *x, const struct http_verdict *v, bool is_head)
{
    char text[ANSWER_MAX];
    size_t len = reply_problem_text(v->status, v->detail, !is_head, text, sizeof text);

    if (len > 0)
        (void)send(x->fd, text, len,
                   MSG_NOSIGNAL |
                       MSG_DONTWAIT); /* an empty send buffer takes it, or nobody reads */
    (void)shutdown(x->fd, SHUT_WR);
    int turns = 0;
    while (turns < DRAIN_TURNS && recv(x->fd, text, sizeof text, MSG_DONTWAIT) > 0)
        turns++;
    close_head(x);
}

bool exchange_peek(struct exchange *x, bool ended)
{
    uint8_t head[HTTP_HEAD_MAX + 1];
    bool whole = false, is_head = false;
    ssize_t n = recv(x->fd, head, sizeof head, MSG_PEEK | MSG_DONTWAIT);

    if (n < 0 && errno == EAGAIN && !ended)
        return false;
    if (n <= 0) {
        close_head(x);
        return false;
    }
    struct http_verdict v = http_read(span_of(head, (size_t)n), &whole, &is_head);
    if (v.status != 0) {
        refuse(x, &v, is_head);
        return false;
    }
    if (!whole && ended)
        close_head(x);
    return whole;
}

void exchange_pass(struct exchange *x)
{
    set_phase(x, EXCHANGE_PASSED, x->env->timing.send_ms);
}

void exchange_expire(struct exchange *x)
{
    switch (x->phase) {
    case EXCHANGE_HEAD:
        close_head(x);
        break;
    case EXCHANGE_PASSED:
    case EXCHANGE_JUDGED:
    case EXCHANGE_ANSWERED:
    case EXCHANGE_SENDING:
        (void)shutdown(x->fd, SHUT_RDWR); /* ENOTCONN: libmicrohttpd sees that as well */
        drop_reply(x);
        set_phase(x, EXCHANGE_CUT, 0);
        break;
    case EXCHANGE_ASKED:
        answer(x, reply_problem(MHD_HTTP_SERVICE_UNAVAILABLE,
                                "the workers did not answer in time", NULL));
        break;
    case EXCHANGE_FREE:
    case EXCHANGE_CUT:
        break;
    }
}

void exchange_stop(struct exchange *x)
{
    if (x->phase == EXCHANGE_HEAD) {
        close_head(x);
    } else if (x->phase == EXCHANGE_ASKED) {
        set_phase(x, EXCHANGE_CUT, 0);
        MHD_resume_connection(x->connection);
    }
    forget(x);
}

void exchange_disown(struct exchange_env *env)
{
    while (!list_empty(&env->asks)) {
        struct exchange_ask *q = CONTAINER_OF(env->asks.next, struct exchange_ask, link);

        list_remove(&q->link);
        q->env = NULL;
    }
}
