/* SPDX-License-Identifier: MIT */
#include "negotiation.h"
#include "attempt.h"
#include "base/mptcp.h"
#include "ownaddr.h"
#include "worker.h"
#include <errno.h>
#include <openssl/crypto.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

/* Who still sends this much does not wait for our answer. */
enum { DRAIN_MAX = 4 * 1024 * 1024 };

static bool users_wanted(const struct session *s)
{
    return s->config->users != NULL;
}

struct negotiation *negotiation_new(const struct session *s)
{
    const struct config *c = s->config;
    struct negotiation *n = calloc(1, sizeof *n);

    if (n == NULL)
        return NULL;
    handshake_init(&n->handshake);
    n->policy = (struct handshake_policy){
        .protocols = s->listener->protocols,
        .users_configured = users_wanted(s),
        .none_allowed = !users_wanted(s) || worker_source_in(&c->auth.exempt, &s->client_addr),
        .empty_fields = c->auth.empty_fields,
        .strict_reserved = c->socks5.strict_reserved,
        .resolve = c->socks5.resolve,
        .m_bit = (enum mpconvert_m_bit)c->mp_convert.m_bit,
        .cookies = c->cookies,
        .client = s->client_addr,
        .local_port = s->local_port,
        .exact = s->listener->exact,
    };
    return n;
}

void negotiation_free(struct negotiation *n)
{
    if (n == NULL)
        return;
    ASSERT(n->work == NULL);
    if (n->connector != NULL)
        connector_cancel(n->connector);
    if (n->via != NULL)
        via_cancel(n->via);
    if (n->lookup != NULL)
        resolver_cancel(n->resolver, n->lookup);
    if (n->input != NULL)
        OPENSSL_cleanse(n->input, n->input_len); /* may hold a password */
    free(n->input);
    free(n->out);
    free(n);
}

/* Replaces what is kept of the input. False: out of memory. */
bool negotiation_keep(struct negotiation *n, struct span left)
{
    uint8_t *copy = NULL;

    if (left.len > 0) {
        copy = malloc(left.len);
        if (copy == NULL)
            return false;
        memcpy(copy, left.ptr, left.len);
    }
    if (n->input != NULL)
        OPENSSL_cleanse(n->input, n->input_len);
    free(n->input);
    n->input = copy;
    n->input_len = left.len;
    return true;
}

/* Appends to what waits for the kernel. */
static bool keep_out(struct negotiation *n, const uint8_t *data, size_t len)
{
    uint8_t *out = realloc(n->out, n->out_len + len);

    if (out == NULL)
        return false;
    memcpy(out + n->out_len, data, len);
    n->out = out;
    n->out_len += len;
    return true;
}

/* Sends what waits. 0: all of it; -EAGAIN: some waits; else -errno. */
static int flush_out(struct session *s)
{
    struct negotiation *n = s->negotiation;

    while (n->out_len > 0) {
        if (!s->client.writable)
            return -EAGAIN;
        ssize_t sent = leg_send(&s->client, n->out, n->out_len);
        if (sent < 0 && sent != -EAGAIN)
            return (int)sent;
        if (sent > 0) {
            n->out_len -= (size_t)sent;
            memmove(n->out, n->out + sent, n->out_len);
        }
    }
    return 0;
}

/* An answer, in order behind what waits already. False: the session was stopped. */
bool negotiation_answer(struct session *s, const struct wr *reply)
{
    struct negotiation *n = s->negotiation;
    size_t done = 0;

    ASSERT(!reply->overflow);
    if (reply->pos > 0) /* octets can only follow the SYN-ACK */
        synack_release(&s->worker->synack, &s->hold);
    if (n->out_len == 0 && reply->pos > 0 && s->client.writable) {
        ssize_t sent = leg_send(&s->client, reply->buf, reply->pos);
        if (sent < 0 && sent != -EAGAIN) {
            session_stop(s, OUTCOME_CLIENT_RESET);
            return false;
        }
        done = sent > 0 ? (size_t)sent : 0;
    }
    if (done == reply->pos || keep_out(n, reply->buf + done, reply->pos - done))
        return true;
    session_stop(s, OUTCOME_NO_RESOURCES);
    return false;
}

/* LINGER. */

void negotiation_end(struct session *s, struct failure f)
{
    s->failure = f;
    session_move(s, SESSION_LINGER);
    session_deadline(s, worker_now_ms(s->worker) + s->config->timeouts.linger_ms);
    negotiation_linger(s);
}

void negotiation_linger(struct session *s)
{
    if (s->client.failed) {
        session_stop(s, s->failure.why);
        return;
    }
    int rc = s->negotiation != NULL ? flush_out(s) : 0;
    if (rc == -EAGAIN)
        return;
    if (rc != 0) {
        session_stop(s, s->failure.why);
        return;
    }
    leg_shutdown(&s->client);
    for (int reads = 0; s->client.readable; reads++) {
        if (reads == 4) { /* others first */
            poller_again(&s->worker->poller, &s->client.watch);
            return;
        }
        ssize_t n = leg_recv(&s->client, s->worker->relay_env.scratch, RELAY_SCRATCH_BYTES);
        if (n == -EAGAIN)
            break;
        if (n > 0 && (s->drained += (uint32_t)n) > DRAIN_MAX) {
            session_stop(s, s->failure.why);
            return;
        }
        if (n <= 0 && !leg_must_wait(&s->client)) {
            session_stop(s, s->failure.why);
            return;
        }
        if (n <= 0)
            break; /* the answer leaves at the third ACK */
    }
}

void negotiation_finish(struct session *s, struct failure f, enum handshake_close close,
                        struct wr *reply)
{
    struct limits *limits = s->worker->shared->limits;
    bool convert_error =
        s->protocol == PROTOCOL_CONVERT && reply->pos > 0 && f.why != OUTCOME_OK;

    if (convert_error && s->source != NULL &&
        !limits_error_allowed(limits, s->source, worker_now_ms(s->worker))) {
        stats_add(s->worker->stats, STAT_ERRORS_SUPPRESSED,
                  1); /* RFC 8803 s6.2.5: when in excess, just reset */
        close = HANDSHAKE_ABORT;
    }
    if (close == HANDSHAKE_ABORT) {
        (void)synack_refuse(&s->worker->synack, &s->hold, f); /* else the socket's reset does */
        session_finish(s, f.why, true, true);
        return;
    }
    if (negotiation_answer(s, reply))
        negotiation_end(s, f);
}

void negotiation_refuse(struct session *s, struct failure f)
{
    uint8_t buf[HANDSHAKE_REPLY_MAX];
    struct wr reply = {.buf = buf, .cap = sizeof buf};
    struct negotiation *n = s->negotiation;

    if (n->connector != NULL)
        connector_cancel(n->connector);
    n->connector = NULL;
    if (n->via != NULL)
        via_cancel(n->via);
    n->via = NULL;
    if (s->connect_counted)
        limits_connect_end(s->worker->shared->limits, s->source);
    s->connect_counted = false;
    if (n->lookup != NULL)
        resolver_cancel(n->resolver, n->lookup);
    n->lookup = NULL;
    if (synack_refuse(&s->worker->synack, &s->hold, f)) {
        session_finish(s, f.why, true, true);
        return;
    }
    enum handshake_close close = handshake_failure(&n->handshake, f, &reply);
    negotiation_finish(s, f, close, &reply);
}

/* NEGOTIATE. */

static bool remember_names(struct session *s)
{
    const struct negotiation *n = s->negotiation;

    s->target_port = n->handshake.target.port;
    s->told_source = n->handshake.source;
    if (target_is_name(&n->handshake.target) && s->host == NULL) {
        s->host = strdup(n->handshake.target.name);
        if (s->host == NULL)
            return false;
    }
    if (n->handshake.cookie_name != NULL && s->user == NULL) {
        s->user = strdup(n->handshake.cookie_name);
        if (s->user == NULL)
            return false;
    }
    return true;
}

/* The strict reading of draft -10 s5.2, for operators who want it. */
static bool strict_ok(const struct session *s)
{
    if (s->protocol != PROTOCOL_MP_CONVERT && s->protocol != PROTOCOL_PM08)
        return true;
    return (!s->config->mp_convert.require_mptcp || s->client.mptcp) &&
           (!s->config->mp_convert.require_syn_data || mptcp_syn_data(s->client.watch.fd));
}

static void dispatch(struct session *s, enum handshake_action action)
{
    if (s->shed) {
        negotiation_refuse(s, s->failure);
        return;
    }
    if (!strict_ok(s)) {
        negotiation_refuse(s, (struct failure){.why = OUTCOME_DENIED});
        return;
    }
    if (!remember_names(s)) {
        negotiation_refuse(s, (struct failure){.why = OUTCOME_NO_RESOURCES});
        return;
    }
    if (action == HANDSHAKE_CONNECT)
        negotiation_dial(s);
    else
        negotiation_resolve(s, action == HANDSHAKE_RESOLVE_PTR);
}

/* A forged SYN with a request in it must not make us dial anybody, nor hash a password or count
 * a failure against the forged address (draft -10 s10.2, RFC 8803 s9.3). */
static bool must_wait(const struct session *s)
{
    return s->client.unproven && !s->shed && !s->negotiation->handshake.address_proven &&
           !worker_source_in(&s->config->clients.trusted, &s->client_addr);
}

static void wait_for_ack(struct session *s, enum handshake_action then)
{
    s->negotiation->gated = then;
    if (s->hold.claimed && !s->hold.decided)
        stats_add(s->worker->stats, STAT_EXACT_UNTRUSTED, 1);
    synack_release(&s->worker->synack, &s->hold); /* the third ACK comes only after it */
    stats_add(s->worker->stats, STAT_GATE_WAITS, 1);
    session_move(s, SESSION_GATE);
}

static void requested(struct session *s, enum handshake_action action)
{
    if (must_wait(s))
        wait_for_ack(s, action);
    else
        dispatch(s, action);
}

static void feed(struct session *s, struct span in);

/* What is kept goes in front of what comes. */
void negotiation_feed_kept(struct session *s)
{
    const struct negotiation *n = s->negotiation;
    uint8_t *scratch = s->worker->relay_env.scratch;

    if (n->input_len > 0) {
        memcpy(scratch, n->input, n->input_len);
        feed(s, span_of(scratch, n->input_len));
    }
    if (s->state == SESSION_NEGOTIATE)
        negotiation_ready(s);
}

void negotiation_proven(struct session *s)
{
    enum handshake_action then = s->negotiation->gated;

    if (then != HANDSHAKE_AUTH) {
        dispatch(s, then);
        return;
    }
    session_move(s, SESSION_NEGOTIATE);
    negotiation_feed_kept(s);
}

static void log_malformed(struct session *s, const struct handshake_step *step)
{
    struct worker *w = s->worker;
    struct log_line line;
    char text[ADDR_TEXT_MAX];
    uint32_t suppressed;

    if (!log_enabled(w->shared->log, LOG_LEVEL_INFO) ||
        !log_limit_take(&w->log_limit, 20, worker_now_ms(w), &suppressed))
        return;
    log_begin(&line, w->shared->log, LOG_LEVEL_INFO, "bad_message");
    log_u64(&line, "session", s->id);
    log_str(&line, "client", addr_print(&s->client_addr, text, sizeof text));
    log_str(&line, "protocol", protocol_name(s->protocol));
    log_str(&line, "outcome", outcome_name(step->failure.why));
    log_str(&line, "why", reject_text(step->why));
    log_u64(&line, "suppressed", suppressed);
    log_end(&line);
}

static void note_protocol(struct session *s)
{
    enum protocol p = s->negotiation->handshake.protocol;

    if (s->protocol == p)
        return;
    s->protocol = p;
    stats_protocol(s->worker->stats, p, true);
    if (p != PROTOCOL_MP_CONVERT && p != PROTOCOL_CONVERT &&
        p != PROTOCOL_TRANSPARENT) /* a dialogue, not one request */
        synack_release(&s->worker->synack, &s->hold);
    if (p == PROTOCOL_SOCKS5 || p == PROTOCOL_SOCKS4)
        session_deadline(s, s->accepted_ms + s->config->timeouts.socks_header_ms);
}

static void refused(struct session *s, const struct handshake_step *step, struct wr *reply)
{
    if (outcome_reason(step->failure.why) == REASON_PROTOCOL_ERROR)
        log_malformed(s, step);
    if (step->failure.why == OUTCOME_BAD_COOKIE || step->failure.why == OUTCOME_MISSING_COOKIE)
        stats_add(s->worker->stats, STAT_AUTH_BAD_COOKIE, 1);
    negotiation_finish(s, step->failure, step->close, reply);
}

static void feed(struct session *s, struct span in)
{
    uint8_t buf[HANDSHAKE_REPLY_MAX];
    struct wr reply = {.buf = buf, .cap = sizeof buf};
    struct negotiation *n = s->negotiation;
    struct handshake_step step;

    n->policy.wall_s = worker_wall_us(s->worker, uv_hrtime() / 1000) / 1000000;
    for (;;) {
        step = handshake_input(&n->handshake, &n->policy, in, &reply);
        struct span behind = span_skip(in, step.consumed);
        note_protocol(s);
        if (step.action == HANDSHAKE_AUTH && must_wait(s)) {
            /* The credentials stay in front: they are read again when the ACK is here. */
            size_t ours = step.user.len + step.pass.len + SOCKS5_USERPASS_MIN;
            if (!negotiation_answer(s, &reply))
                return;
            if (negotiation_keep(n, span_skip(in, step.consumed - ours)))
                wait_for_ack(s, HANDSHAKE_AUTH);
            else
                session_stop(s, OUTCOME_NO_RESOURCES);
            return;
        }
        in = behind;
        if (step.action != HANDSHAKE_AUTH)
            break;
        if (!negotiation_authenticate(s, in, &step, &reply))
            return;
        if (step.action == HANDSHAKE_REFUSE)
            break;
    }
    if (step.action == HANDSHAKE_REFUSE) {
        refused(s, &step, &reply);
        return;
    }
    if (step.action == HANDSHAKE_ANSWERED && !strict_ok(s)) {
        session_finish(s, OUTCOME_DENIED, true, true);
        return;
    }
    if (!negotiation_answer(s, &reply))
        return;
    if (!negotiation_keep(n, in)) {
        session_stop(s, OUTCOME_NO_RESOURCES);
        return;
    }
    if (step.action == HANDSHAKE_MORE) /* the rest can only follow the SYN-ACK */
        synack_release(&s->worker->synack, &s->hold);
    if (step.action == HANDSHAKE_ANSWERED)
        negotiation_end(s, (struct failure){.why = OUTCOME_OK});
    else if (step.action != HANDSHAKE_MORE)
        requested(s, step.action);
}

/* Where a diverted client connected to. False: the session was stopped. */
static bool original_destination(struct session *s, struct addr *out)
{
    struct sockaddr_storage sa;
    socklen_t len = sizeof sa;

    if (getsockname(s->client.watch.fd, (struct sockaddr *)&sa, &len) != 0 ||
        !addr_from_sockaddr((struct sockaddr *)&sa, len, out)) {
        session_stop(s, OUTCOME_INTERNAL);
        return false;
    }
    *out = addr_unmap(*out);
    return true;
}

/* Our own address is no destination: what goes there was not diverted, or by rules that should
 * not, and services would take us for the client. True: the session was refused. */
static bool refuse_ourselves(struct session *s, const struct addr *destination)
{
    if (!ownaddr_is(destination))
        return false;
    attempt_count_denied(s->worker->stats, ACL_CAUSE_SELF);
    negotiation_refuse(s, (struct failure){.why = OUTCOME_DENIED});
    return true;
}

void negotiation_implicit(struct session *s)
{
    struct handshake_policy *p = &s->negotiation->policy;

    p->implicit = true;
    if (original_destination(s, &p->original) && !refuse_ourselves(s, &p->original))
        negotiation_ready(s);
}

void negotiation_transparent(struct session *s)
{
    struct addr target;

    if (!original_destination(s, &target))
        return;
    negotiation_divert(s, &target);
}

void negotiation_divert(struct session *s, const struct addr *target)
{
    struct negotiation *n = s->negotiation;

    handshake_transparent(&n->handshake, target);
    note_protocol(s);
    if (refuse_ourselves(s, target))
        return;
    if (n->policy.none_allowed)
        requested(s, HANDSHAKE_CONNECT);
    else /* there is no way to show credentials */
        negotiation_refuse(s, (struct failure){.why = OUTCOME_AUTH_FAILED});
}

void negotiation_ready(struct session *s)
{
    struct negotiation *n = s->negotiation;
    uint8_t *scratch = s->worker->relay_env.scratch;
    size_t early = (size_t)s->config->relay.early_max;
    size_t room = RELAY_SCRATCH_BYTES - HANDSHAKE_INPUT_MAX;
    size_t cap = HANDSHAKE_INPUT_MAX + (early < room ? early : room);

    if (s->client.failed && !s->client.readable) {
        session_stop(s, OUTCOME_CLIENT_RESET);
        return;
    }
    int rc = flush_out(s);
    if (rc != 0 && rc != -EAGAIN) {
        session_stop(s, OUTCOME_CLIENT_RESET);
        return;
    }
    while (s->state == SESSION_NEGOTIATE && s->client.readable) {
        size_t kept = n->input_len;
        if (kept > 0)
            memcpy(scratch, n->input, kept);
        ssize_t got = leg_recv(&s->client, scratch + kept, cap - kept);
        if (got == -EAGAIN)
            return;
        if (got <= 0) {
            session_stop(s, got == 0 ? OUTCOME_CLIENT_EOF : OUTCOME_CLIENT_RESET);
            return;
        }
        feed(s, span_of(scratch, kept + (size_t)got));
        if (s->state == SESSION_CLOSING)
            return;
    }
}
