/* SPDX-License-Identifier: MIT */
#include "negotiation.h"
#include "base/mptcp.h"
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
    if (n->lookup != NULL)
        resolver_cancel(n->resolver, n->lookup);
    if (n->input != NULL)
        OPENSSL_cleanse(n->input, n->input_len); /* may hold a password */
    free(n->input);
    free(n->out);
    free(n);
}

/* Replaces what is kept of the input. False: out of memory. */
static bool keep_input(struct negotiation *n, struct span left)
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
static bool answer(struct session *s, const struct wr *reply)
{
    struct negotiation *n = s->negotiation;
    size_t done = 0;

    ASSERT(!reply->overflow);
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

static void linger(struct session *s, struct failure f)
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

static void finish(struct session *s, struct failure f, enum handshake_close close,
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
        session_finish(s, f.why, true, true);
        return;
    }
    if (answer(s, reply))
        linger(s, f);
}

void negotiation_refuse(struct session *s, struct failure f)
{
    uint8_t buf[HANDSHAKE_REPLY_MAX];
    struct wr reply = {.buf = buf, .cap = sizeof buf};
    struct negotiation *n = s->negotiation;

    if (n->connector != NULL)
        connector_cancel(n->connector);
    n->connector = NULL;
    if (s->connect_counted)
        limits_connect_end(s->worker->shared->limits, s->source);
    s->connect_counted = false;
    if (n->lookup != NULL)
        resolver_cancel(n->resolver, n->lookup);
    n->lookup = NULL;
    enum handshake_close close = handshake_failure(&n->handshake, f, &reply);
    finish(s, f, close, &reply);
}

/* CONNECT. */

static void fill_success(struct session *s, struct handshake_success *ok)
{
    const struct handshake *h = &s->negotiation->handshake;
    struct sockaddr_storage sa;
    socklen_t len = sizeof sa;

    memset(ok, 0, sizeof *ok);
    if (handshake_wants_bound(h) &&
        getsockname(s->upstream.watch.fd, (struct sockaddr *)&sa, &len) == 0 &&
        addr_from_sockaddr((struct sockaddr *)&sa, len, &ok->bound))
        s->egress_addr = ok->bound;
    if (handshake_wants_synack(h) && mptcp_synack(s->upstream.watch.fd, &ok->synack) != 0)
        memset(&ok->synack, 0, sizeof ok->synack); /* the answer is then a bare header */
}

/* Early data goes first, and what is left of it before anything that comes later. */
static bool send_early(struct session *s, size_t already)
{
    struct negotiation *n = s->negotiation;
    struct span left = span_skip(span_of(n->input, n->input_len), already);
    struct relay_env *env = &s->worker->relay_env;

    s->relay.up.bytes += already;
    stats_add(env->stats, STAT_UP_BYTES, already);
    if (left.len > 0) {
        ssize_t sent = leg_send(&s->upstream, left.ptr, left.len);
        if (sent > 0) { /* an error shows again in the relay */
            s->relay.up.bytes += (uint64_t)sent;
            stats_add(env->stats, STAT_UP_BYTES, (uint64_t)sent);
            left = span_skip(left, (size_t)sent);
        }
    }
    return relay_preload(&s->relay.up, left, true, env);
}

static void on_connected(void *arg, struct connection *c, struct failure why)
{
    struct session *s = arg;
    struct worker *w = s->worker;
    struct negotiation *n = s->negotiation;
    uint8_t buf[HANDSHAKE_REPLY_MAX];
    struct wr reply = {.buf = buf, .cap = sizeof buf};
    struct handshake_success ok;

    n->connector = NULL; /* it frees itself */
    if (s->connect_counted)
        limits_connect_end(w->shared->limits, s->source);
    s->connect_counted = false;
    if (c == NULL) {
        negotiation_refuse(s, why);
        return;
    }
    leg_adopt(&s->upstream, &w->poller, c->from, c->events, c->mptcp,
              c->remote.family == ADDR_IPV6, session_upstream_ready);
    s->remote_addr = c->remote;
    s->connect_us = c->connect_us;
    fill_success(s, &ok);
    handshake_success(&n->handshake, &ok, &reply);
    if (!answer(s, &reply))
        return;
    relay_init(&s->relay, &s->client, &s->upstream, s->config->relay.splice);
    if (!send_early(s, c->early_sent) ||
        !relay_preload(&s->relay.down, span_of(n->out, n->out_len), false, &w->relay_env)) {
        session_stop(s, OUTCOME_NO_RESOURCES);
        return;
    }
    session_relay_start(s);
}

static void dial(struct session *s)
{
    struct worker *w = s->worker;
    const struct config *c = s->config;
    struct negotiation *n = s->negotiation;

    session_move(s, SESSION_CONNECT);
    if (s->source != NULL) {
        enum outcome o = limits_connect_begin(w->shared->limits, s->source);
        if (o != OUTCOME_OK) {
            negotiation_refuse(s, (struct failure){.why = o});
            return;
        }
        s->connect_counted = true;
    }
    session_deadline(s, worker_now_ms(w) + c->timeouts.connect_ms);
    struct connector_request req = {
        .target = &n->handshake.target,
        .source = &s->client_addr,
        .user = s->user,
        .acl = c->acl,
        .eyeballs = {.attempt_delay_ms = c->timeouts.attempt_delay_ms,
                     .resolution_delay_ms = c->timeouts.resolution_delay_ms,
                     .prefer = c->upstream.prefer == PREFER_IPV4 ? ADDR_IPV4 : ADDR_IPV6},
        .mptcp = c->upstream.mptcp == UPSTREAM_MPTCP_ON || n->handshake.want_mptcp,
        .fastopen = c->upstream.fastopen || n->handshake.want_fastopen,
        .early = span_of(n->input, n->input_len),
    };
    n->connector = connector_start(&w->connector_env, &req, on_connected, s);
    if (n->connector == NULL) {
        stats_add(w->stats, STAT_NOMEM, 1);
        negotiation_refuse(s, (struct failure){.why = OUTCOME_NO_RESOURCES});
    }
}

/* RESOLVE, RESOLVE_PTR: the Tor extension. */

static void resolved(struct session *s, const struct addr *a, const char *name)
{
    uint8_t buf[HANDSHAKE_REPLY_MAX];
    struct wr reply = {.buf = buf, .cap = sizeof buf};

    handshake_resolved(&s->negotiation->handshake, a, name, &reply);
    if (answer(s, &reply))
        linger(s, (struct failure){.why = OUTCOME_OK});
}

static void lookup_family(struct session *s, enum addr_family family);

/* The names that exist only behind the proxy are not to be told: the same rules as for
 * connecting. */
static bool may_tell(const struct session *s, const struct addr *a)
{
    return acl_check(s->config->acl, &s->client_addr, s->user, a, s->host).action == ACL_ALLOW;
}

static void on_resolved(void *arg, const struct resolver_answer *a)
{
    struct session *s = arg;
    struct negotiation *n = s->negotiation;

    n->lookup = NULL;
    for (size_t i = 0; a->why == OUTCOME_OK && i < a->count; i++) {
        if (may_tell(s, &a->addr[i])) {
            resolved(s, &a->addr[i], NULL);
            return;
        }
    }
    if (a->why == OUTCOME_OK)
        negotiation_refuse(s, (struct failure){.why = OUTCOME_DENIED});
    else if (n->lookup_family == ADDR_IPV4)
        lookup_family(s, ADDR_IPV6);
    else
        negotiation_refuse(s, (struct failure){.why = a->why});
}

static void lookup_family(struct session *s, enum addr_family family)
{
    struct negotiation *n = s->negotiation;
    struct resolver_answer cached;

    n->lookup_family = family;
    if (resolver_cached(n->resolver, n->handshake.target.name, family, &cached)) {
        on_resolved(s, &cached);
        return;
    }
    n->lookup = resolver_start(n->resolver, n->handshake.target.name, family, on_resolved, s);
    if (n->lookup == NULL)
        negotiation_refuse(s, (struct failure){.why = OUTCOME_NO_RESOURCES});
}

static void on_name(void *arg, enum outcome why, const char *name)
{
    struct session *s = arg;

    s->negotiation->lookup = NULL;
    if (why == OUTCOME_OK)
        resolved(s, NULL, name);
    else
        negotiation_refuse(s, (struct failure){.why = why});
}

static void resolve(struct session *s, bool ptr)
{
    struct negotiation *n = s->negotiation;
    const struct target *t = &n->handshake.target;

    session_move(s, SESSION_RESOLVE);
    session_deadline(s, worker_now_ms(s->worker) + s->config->timeouts.connect_ms);
    n->resolver = s->worker->resolver;
    if (!ptr && !target_is_name(t)) {
        resolved(s, &t->addr, NULL);
        return;
    }
    if (!ptr) {
        lookup_family(s, ADDR_IPV4);
        return;
    }
    if (!may_tell(s, &t->addr)) {
        negotiation_refuse(s, (struct failure){.why = OUTCOME_DENIED});
        return;
    }
    n->lookup = resolver_start_ptr(n->resolver, &t->addr, on_name, s);
    if (n->lookup == NULL)
        negotiation_refuse(s, (struct failure){.why = OUTCOME_NO_RESOURCES});
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
        dial(s);
    else
        resolve(s, action == HANDSHAKE_RESOLVE_PTR);
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
static void feed_kept(struct session *s)
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
    feed_kept(s);
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
    if (p == PROTOCOL_SOCKS5 || p == PROTOCOL_SOCKS4)
        session_deadline(s, s->accepted_ms + s->config->timeouts.socks_header_ms);
}

static void count_auth(struct session *s, enum auth_verdict v)
{
    struct worker *w = s->worker;
    enum stat_id id = STAT_AUTH_BAD_CREDENTIALS;

    if (v == AUTH_OK)
        id = STAT_AUTH_SUCCESS;
    else if (v == AUTH_UNKNOWN_USER)
        id = STAT_AUTH_UNKNOWN_USER;
    else if (v == AUTH_DISABLED)
        id = STAT_AUTH_DISABLED;
    stats_add(w->stats, id, 1);
    if (v != AUTH_OK)
        limits_auth_failed(w->shared->limits, s->source, worker_now_ms(w));
}

static void on_password(uv_work_t *req)
{
    struct password_work *work = CONTAINER_OF(req, struct password_work, req);

    work->verdict = auth_verify(work->users, span_of(work->text, work->user_len),
                                span_of(work->text + work->user_len, work->pass_len));
}

static void password_free(struct password_work *work)
{
    OPENSSL_cleanse(work->text, sizeof work->text);
    auth_users_free(work->users);
    free(work);
}

static void on_password_done(uv_work_t *req, int status)
{
    struct password_work *work = CONTAINER_OF(req, struct password_work, req);
    struct session *s = work->session;
    struct worker *w = s->worker;
    struct negotiation *n = s->negotiation;
    uint8_t buf[HANDSHAKE_REPLY_MAX];
    struct wr reply = {.buf = buf, .cap = sizeof buf};
    enum auth_verdict v = status == 0 ? work->verdict : AUTH_BAD_CREDENTIALS;

    n->work = NULL;
    s->pinned = false;
    if (s->state == SESSION_CLOSING) {
        password_free(work);
        return;
    }
    auth_cache_store(w->auth_cache, work->users, span_of(work->text, work->user_len),
                     span_of(work->text + work->user_len, work->pass_len), v, worker_now_ms(w));
    password_free(work);
    count_auth(s, v);
    session_move(s, SESSION_NEGOTIATE);
    struct handshake_step step = handshake_authenticated(&n->handshake, v == AUTH_OK, &reply);
    if (step.action == HANDSHAKE_REFUSE) {
        finish(s, step.failure, step.close, &reply);
        return;
    }
    if (!answer(s, &reply))
        return;
    feed_kept(s); /* pipelined behind the password */
}

static bool set_user(struct session *s, struct span user)
{
    free(s->user);
    s->user = strndup((const char *)user.ptr, user.len);
    return s->user != NULL;
}

/* Hashing takes milliseconds: off the loop. False: refuse. */
static bool hash_password(struct session *s, const struct handshake_step *step)
{
    struct password_work *work = calloc(1, sizeof *work);

    if (work == NULL)
        return false;
    work->session = s;
    work->users = auth_users_ref(s->config->users);
    work->user_len = step->user.len;
    work->pass_len = step->pass.len;
    if (step->user.len > 0)
        memcpy(work->text, step->user.ptr, step->user.len);
    if (step->pass.len > 0)
        memcpy(work->text + step->user.len, step->pass.ptr, step->pass.len);
    if (uv_queue_work(&s->worker->loop, &work->req, on_password, on_password_done) != 0) {
        password_free(work);
        return false;
    }
    s->negotiation->work = work;
    s->pinned = true;
    session_move(s, SESSION_VERIFY);
    return true;
}

/* True: the handshake goes on with *step (authenticated at once, or refused); false: the
 * verdict comes later, or the session is gone. */
static bool authenticate(struct session *s, struct span left, struct handshake_step *step,
                         struct wr *reply)
{
    struct worker *w = s->worker;
    struct negotiation *n = s->negotiation;
    uint64_t now = worker_now_ms(w);

    if (s->shed) { /* will be refused whatever the password: nothing is told, hashed or counted
                    */
        *step = handshake_authenticated(&n->handshake, true, reply);
        return true;
    }
    if (!limits_auth_allowed(w->shared->limits, s->source, now)) {
        stats_add(w->stats, STAT_AUTH_THROTTLED, 1);
        *step = handshake_authenticated(&n->handshake, false, reply);
        return true;
    }
    enum auth_verdict v =
        auth_cache_find(w->auth_cache, s->config->users, step->user, step->pass, now);
    if (!set_user(s, step->user)) {
        session_stop(s, OUTCOME_NO_RESOURCES);
        return false;
    }
    if (v != AUTH_ASK) {
        count_auth(s, v);
        *step = handshake_authenticated(&n->handshake, v == AUTH_OK, reply);
        return true;
    }
    struct handshake_step asked = *step;
    if (!answer(s, reply))
        return false;
    reply->pos = 0;
    if (hash_password(s, &asked) && keep_input(n, left))
        return false;
    session_stop(s, OUTCOME_NO_RESOURCES);
    return false;
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
            if (!answer(s, &reply))
                return;
            if (keep_input(n, span_skip(in, step.consumed - ours)))
                wait_for_ack(s, HANDSHAKE_AUTH);
            else
                session_stop(s, OUTCOME_NO_RESOURCES);
            return;
        }
        in = behind;
        if (step.action != HANDSHAKE_AUTH)
            break;
        if (!authenticate(s, in, &step, &reply))
            return;
        if (step.action == HANDSHAKE_REFUSE)
            break;
    }
    if (step.action == HANDSHAKE_REFUSE) {
        if (outcome_reason(step.failure.why) == REASON_PROTOCOL_ERROR)
            log_malformed(s, &step);
        if (step.failure.why == OUTCOME_BAD_COOKIE ||
            step.failure.why == OUTCOME_MISSING_COOKIE)
            stats_add(s->worker->stats, STAT_AUTH_BAD_COOKIE, 1);
        finish(s, step.failure, step.close, &reply);
        return;
    }
    if (step.action == HANDSHAKE_ANSWERED && !strict_ok(s)) {
        session_finish(s, OUTCOME_DENIED, true, true);
        return;
    }
    if (!answer(s, &reply))
        return;
    if (!keep_input(n, in)) {
        session_stop(s, OUTCOME_NO_RESOURCES);
        return;
    }
    if (step.action == HANDSHAKE_ANSWERED)
        linger(s, (struct failure){.why = OUTCOME_OK});
    else if (step.action != HANDSHAKE_MORE)
        requested(s, step.action);
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
