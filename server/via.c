/* SPDX-License-Identifier: MIT */
/* One attempt at a time. Its socket is edge-triggered: everything that is there is read, to the
 * last octet of the answer and not one further, by looking before taking. A timer ends an
 * attempt that stays silent while others wait their turn. */
#include "via.h"
#include "attempt.h"
#include "base/mptcp.h"
#include "stats.h"
#include "wire/forbidden.h"
#include "wire/initiator.h"
#include <errno.h>
#include <netinet/tcp.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>

enum {
    SILENCE_MS = 3000, /* before the next one is tried */
    LOOK_MS = 100,     /* the kernel may keep an end to itself, see has_ended() */
    COOKIE_MAX = 255,
};

struct via {
    const struct connector_env *env;
    connector_done_fn *done;
    void *arg;
    struct via_request req; /* `target`, `source` point into this */
    struct target target;
    struct addr source;
    struct attempt attempt;
    struct initiator initiator;
    struct failure verdict; /* when there is no concentrator left to ask */
    uint8_t order[VIA_CONCENTRATORS_MAX], next, count;
    uint8_t cookie[COOKIE_MAX];
    uint32_t events;   /* seen on the attempt's socket */
    uint64_t until_ms; /* silent until then: the next one's turn; UINT64_MAX: there is none */
    bool connected, over;
    uv_timer_t timer; /* outlives `over` until it is closed */
};

static struct failure failed(enum outcome why)
{
    return (struct failure){.why = why};
}

static uint64_t now_ms(const struct via *v)
{
    return uv_now(v->env->loop);
}

static const struct via_concentrator *current(const struct via *v)
{
    return &v->req.list->item[v->order[v->next - 1]];
}

/* ---- The end ---- */

static void on_closed(uv_handle_t *h)
{
    free(h->data);
}

static void release(struct via *v)
{
    v->over = true;
    attempt_abort(&v->attempt, v->env->poller);
    uv_close((uv_handle_t *)&v->timer, on_closed);
}

static void finish(struct via *v, struct failure why)
{
    attempt_close(&v->attempt, v->env->poller);
    v->done(v->arg, NULL, why);
    release(v);
}

static void hand_over(struct via *v)
{
    struct attempt *a = &v->attempt;
    uint64_t us = attempt_clock_us() - a->start_us;
    struct connection up = {
        .fd = a->watch.fd,
        .from = &a->watch,
        .events =
            v->events | EPOLLIN | EPOLLOUT, /* what lies behind the answer raises no edge */
        .remote = a->remote,
        .mptcp = a->mptcp,
        .via = true,
        .server_mptcp = v->initiator.server_mptcp,
        .connect_us = us > UINT32_MAX ? UINT32_MAX : (uint32_t)us,
    };

    via_health_good(v->req.health, &a->remote);
    (void)attempt_connected(a, v->env->stats);
    v->done(v->arg, &up, failed(OUTCOME_OK));
    poller_remove(v->env->poller, &a->watch); /* the fd is theirs */
    release(v);
}

/* ---- One attempt ---- */

static void try_next(struct via *v);

/* This concentrator is of no use now. */
static void give_up(struct via *v)
{
    via_health_failed(v->req.health, &current(v)->address, now_ms(v));
    stats_add(v->env->stats, STAT_VIA_FAILED, 1);
    attempt_abort(&v->attempt, v->env->poller);
    try_next(v);
}

static struct span cookie_of(struct via *v, const struct via_concentrator *c)
{
    size_t n = c->cookie == NULL ? 0 : strlen(c->cookie) / 2;

    for (size_t i = 0; i < n; i++) {
        const char pair[3] = {c->cookie[2 * i], c->cookie[2 * i + 1], '\0'};
        v->cookie[i] = (uint8_t)strtoul(pair, NULL, 16); /* checked when it was read */
    }
    return span_of(v->cookie, n);
}

static bool prepare(struct via *v, const struct via_concentrator *c)
{
    int error;
    struct initiator_options o = {.dialect = via_protocol((enum via_dialect)c->dialect),
                                  .cookie = cookie_of(v, c),
                                  .pipeline = true,
                                  .m_bit = MPCONVERT_M_DRAFT};

    if (c->user != NULL)
        o.user = span_of(c->user, strlen(c->user));
    if (c->password != NULL)
        o.pass = span_of(c->password, strlen(c->password));
    if (c->tell_source && !forbidden_target(&v->source)) /* such a one would be refused */
        o.source = addr_unmap(v->source);
    return initiator_init(&v->initiator, &o, &v->target, &error);
}

/* What the SYN did not take. False: the attempt is over. */
static bool send_rest(struct via *v)
{
    struct span out = initiator_output(&v->initiator);

    while (out.len > 0) {
        ssize_t n = send(v->attempt.watch.fd, out.ptr, out.len, MSG_NOSIGNAL);
        if (n < 0 && errno == EAGAIN)
            return true; /* the next edge */
        if (n < 0 && errno != EINTR) {
            give_up(v);
            return false;
        }
        if (n > 0)
            initiator_sent(&v->initiator, (size_t)n);
        out = initiator_output(&v->initiator);
    }
    return true;
}

/* The stream ended before the answer did. MP_CONVERT says no like that (draft -10 s6.2). */
static void ended(struct via *v, int error)
{
    (void)initiator_closed(&v->initiator, error == ENOTCONN ? ECONNRESET : error);
    if (v->initiator.failure.why == OUTCOME_REFUSED) {
        via_health_good(v->req.health, &v->attempt.remote);
        finish(v, v->initiator.failure);
    } else {
        give_up(v);
    }
}

/* True: look again. */
static bool take_answer(struct via *v)
{
    uint8_t buf[CONVERT_MESSAGE_MAX];
    size_t consumed = 0;
    int fd = v->attempt.watch.fd;
    ssize_t n = recv(fd, buf, sizeof buf, MSG_PEEK);

    if (n < 0 && (errno == EAGAIN || errno == EINTR))
        return errno == EINTR;
    if (n <= 0) {
        ended(v, n < 0 ? errno : 0);
        return false;
    }
    enum initiator_step step =
        initiator_input(&v->initiator, span_of(buf, (size_t)n), &consumed);
    if (consumed > 0 && recv(fd, buf, consumed, 0) != (ssize_t)consumed) {
        give_up(v);
        return false;
    }
    switch (step) {
    case INITIATOR_READY:
        hand_over(v);
        return false;
    case INITIATOR_REFUSED:
        via_health_good(v->req.health, &v->attempt.remote);
        finish(v, v->initiator.failure);
        return false;
    case INITIATOR_BROKEN:
        give_up(v);
        return false;
    case INITIATOR_SEND:
        return send_rest(v);
    case INITIATOR_WAIT:
        break;
    }
    return consumed > 0;
}

/* A reset before the SYN-ACK is ECONNREFUSED, one after it ECONNRESET or EPIPE: there was a
 * connection, and its end may be the answer. */
static bool was_unreached(int fd)
{
    int error = 0;
    socklen_t len = sizeof error;

    if (getsockopt(fd, SOL_SOCKET, SO_ERROR, &error, &len) != 0)
        error = errno;
    return error != 0 && error != ECONNRESET && error != EPIPE;
}

static void on_edge(struct watch *w, uint32_t events)
{
    struct via *v = CONTAINER_OF(w, struct via, attempt.watch);

    v->events |= events;
    if (!v->connected && (events & EPOLLERR) != 0 && was_unreached(v->attempt.watch.fd)) {
        give_up(v);
        return;
    }
    if ((events & (EPOLLOUT | EPOLLHUP)) != 0)
        v->connected = true; /* and perhaps over again */
    if (!v->connected || !send_rest(v))
        return;
    while (take_answer(v))
        ;
}

/* Linux 6.18: of an MPTCP connection whose SYN brought data, the end of the stream is sometimes
 * lost when it comes at once: nothing to read, no edge, but the subflow is over. */
static bool has_ended(const struct via *v)
{
    int state = v->attempt.mptcp ? mptcp_tcp_state(v->attempt.watch.fd) : TCP_ESTABLISHED;

    return state == TCP_CLOSE_WAIT || state == TCP_CLOSE || state < 0;
}

static void on_timer(uv_timer_t *t)
{
    struct via *v = t->data;

    if (v->attempt.watch.fd < 0)
        finish(v, v->verdict);
    else if (has_ended(v))
        ended(v, ECONNRESET);
    else if (now_ms(v) >= v->until_ms)
        give_up(v);
}

static void arm(struct via *v, uint64_t ms)
{
    (void)uv_timer_start(
        &v->timer, on_timer, ms,
        LOOK_MS); /* an open timer: cannot fail; it is closed before it runs dry */
}

static struct failure begin(struct via *v, const struct via_concentrator *c)
{
    struct attempt_client client = {.source = &v->source,
                                    .concentrator = true,
                                    .policy = v->req.policy,
                                    .receive_buffer = v->req.buffer};

    if (!prepare(v, c))
        return failed(OUTCOME_NO_RESOURCES); /* a name, which this dialect cannot carry */
    struct span out = initiator_output(&v->initiator);
    struct span early = c->fastopen ? out : span_of(NULL, 0);
    v->connected = false;
    v->events = 0;
    struct failure why = attempt_start(&v->attempt, v->env->poller, v->env->stats, &client,
                                       &c->address, true, &early, on_edge);
    if (why.why == OUTCOME_OK && v->attempt.early_sent > 0)
        initiator_sent(&v->initiator, v->attempt.early_sent);
    return why;
}

static void try_next(struct via *v)
{
    while (v->next < v->count) {
        v->next++;
        struct failure why = begin(v, current(v));
        if (why.why == OUTCOME_OK) {
            v->until_ms = v->next < v->count ? now_ms(v) + SILENCE_MS : UINT64_MAX;
            arm(v, LOOK_MS);
            return;
        }
        via_health_failed(v->req.health, &current(v)->address, now_ms(v));
    }
    arm(v, 0); /* `done` comes from the loop */
}

/* ---- Begin ---- */

static bool is_concentrator(const struct via *v, const struct addr *to)
{
    for (size_t i = 0; i < v->req.list->count; i++)
        if (addr_equal(&v->req.list->item[i].address, to))
            return true;
    return false;
}

/* The rules of this daemon, before the concentrator applies its own. */
static bool allowed(const struct via *v, const struct addr *to)
{
    if (target_is_name(&v->target))
        return true;
    struct acl_verdict a = acl_check(v->req.acl, &v->source, v->req.user, to, NULL);
    if (a.action != ACL_ALLOW)
        attempt_count_denied(v->env->stats, a.cause);
    return a.action == ACL_ALLOW;
}

/* Nobody is asked on behalf of himself: two daemons that are each other's concentrator would
 * send a request to and fro until one of them is full. */
static uint8_t without_asker(struct via *v, unsigned count)
{
    uint8_t kept = 0;

    for (unsigned i = 0; i < count; i++)
        if (!addr_equal_ip(&v->req.list->item[v->order[i]].address, &v->source))
            v->order[kept++] = v->order[i];
    return kept;
}

/* Whom to ask, in v->order; OUTCOME_DENIED: nobody. */
static enum outcome choose(struct via *v)
{
    struct addr to = v->target.addr;

    to.port = v->target.port;
    if (is_concentrator(v, &to)) {
        stats_add(v->env->stats, STAT_VIA_LOOPS, 1);
        return OUTCOME_DENIED;
    }
    if (!allowed(v, &to))
        return OUTCOME_DENIED;
    unsigned count =
        via_health_order(v->req.health, v->req.list, &v->source, now_ms(v), v->order);
    v->count = without_asker(v, count);
    if (v->count == 0 && count > 0) {
        stats_add(v->env->stats, STAT_VIA_LOOPS, 1);
        return OUTCOME_DENIED;
    }
    return OUTCOME_NO_CONCENTRATOR; /* unless one of them answers */
}

struct via *via_start(const struct connector_env *env, const struct via_request *req,
                      connector_done_fn *done, void *arg)
{
    struct via *v = calloc(1, sizeof *v);

    if (v == NULL || uv_timer_init(env->loop, &v->timer) != 0) {
        free(v);
        return NULL;
    }
    v->timer.data = v;
    v->env = env;
    v->done = done;
    v->arg = arg;
    v->req = *req;
    v->target = *req->target;
    v->source = *req->source;
    v->attempt.watch.fd = -1;
    stats_add(env->stats, STAT_VIA, 1);
    v->verdict = failed(choose(v));
    try_next(v);
    return v;
}

void via_cancel(struct via *v)
{
    if (!v->over)
        release(v);
}
