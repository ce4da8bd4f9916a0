/* SPDX-License-Identifier: MIT */
#include "session.h"
#include "embryo.h"
#include "negotiation.h"
#include "worker.h"
#include <netinet/tcp.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

#define BIT(s) (1u << (s))

enum {
    FIRST_LOOK_MS = 5000, /* a relay that lives longer gets keepalive */
    WINDOW_TURNS_MAX = 128,
};

static const char *const state_names[SESSION_STATE_COUNT] = {
    "negotiating", "verifying", "gated",    "resolving", "connecting",
    "accepting",   "relaying",  "refusing", "closing",
};

/* From each state, where may it go? */
static const unsigned allowed[SESSION_STATE_COUNT] = {
    [SESSION_NEGOTIATE] = BIT(SESSION_VERIFY) | BIT(SESSION_GATE) | BIT(SESSION_RESOLVE) |
                          BIT(SESSION_CONNECT) | BIT(SESSION_LINGER) | BIT(SESSION_CLOSING),
    [SESSION_VERIFY] = BIT(SESSION_NEGOTIATE) | BIT(SESSION_LINGER) | BIT(SESSION_CLOSING),
    [SESSION_GATE] = BIT(SESSION_NEGOTIATE) | BIT(SESSION_RESOLVE) | BIT(SESSION_CONNECT) |
                     BIT(SESSION_LINGER) | BIT(SESSION_CLOSING),
    [SESSION_RESOLVE] = BIT(SESSION_LINGER) | BIT(SESSION_CLOSING),
    [SESSION_CONNECT] =
        BIT(SESSION_ACCEPT) | BIT(SESSION_RELAY) | BIT(SESSION_LINGER) | BIT(SESSION_CLOSING),
    [SESSION_ACCEPT] = BIT(SESSION_RELAY) | BIT(SESSION_CLOSING),
    [SESSION_RELAY] = BIT(SESSION_LINGER) | BIT(SESSION_CLOSING),
    [SESSION_LINGER] = BIT(SESSION_CLOSING),
};

const char *session_state_name(enum session_state s)
{
    return state_names[s];
}

/* The gauge a state is counted under; STAT_COUNT: none. */
static enum stat_id gauge(enum session_state s)
{
    switch (s) {
    case SESSION_NEGOTIATE:
    case SESSION_VERIFY:
    case SESSION_GATE:
        return STAT_HANDSHAKING;
    case SESSION_RESOLVE:
    case SESSION_CONNECT:
    case SESSION_ACCEPT:
        return STAT_CONNECTING;
    case SESSION_LINGER:
        return STAT_DRAINING;
    case SESSION_RELAY:
    case SESSION_CLOSING:
    case SESSION_STATE_COUNT:
        break;
    }
    return STAT_COUNT;
}

static void count_state(struct session *s, bool enter)
{
    enum stat_id g = gauge(s->state);
    if (g == STAT_COUNT)
        return;
    stats_add(s->worker->stats, g, enter ? 1 : (uint64_t)0 - 1);
}

void session_move(struct session *s, enum session_state next)
{
    ASSERT((allowed[s->state] & BIT(next)) != 0);
    if (log_enabled(s->worker->shared->log, LOG_LEVEL_DEBUG))
        log_message(s->worker->shared->log, LOG_LEVEL_DEBUG, "session_move",
                    "session %llu: %s -> %s", (unsigned long long)s->id, state_names[s->state],
                    state_names[next]);
    count_state(s, false);
    s->state = next;
    count_state(s, true);
}

void session_free(struct session *s)
{
    ASSERT(s->state == SESSION_CLOSING && !s->pinned);
    negotiation_free(s->negotiation);
    config_unref(s->config);
    free(s->user);
    free(s->host);
    free(s);
}

void session_deadline(struct session *s, uint64_t at_ms)
{
    deadline_set(&s->worker->deadlines, &s->deadline, at_ms);
}

/* Time. */

static uint64_t relay_deadline(const struct session *s)
{
    return s->last_active_ms +
           (s->half_closed ? s->config->timeouts.half_closed_ms : s->config->timeouts.idle_ms);
}

uint64_t session_expires_ms(const struct session *s)
{
    return s->state == SESSION_RELAY ? relay_deadline(s) : s->deadline.at_ms;
}

static void keep_leg_alive(const struct leg *l, int idle_s)
{
    int on = 1, count = 4, interval_s = 30;
    int fd = l->watch.fd;

    /* Advice to the kernel: a socket that refuses it works without. */
    (void)setsockopt(fd, SOL_SOCKET, SO_KEEPALIVE, &on, sizeof on);
    (void)setsockopt(fd, IPPROTO_TCP, TCP_KEEPIDLE, &idle_s, sizeof idle_s);
    (void)setsockopt(fd, IPPROTO_TCP, TCP_KEEPINTVL, &interval_s, sizeof interval_s);
    (void)setsockopt(fd, IPPROTO_TCP, TCP_KEEPCNT, &count, sizeof count);
}

/* Most sessions are over before keepalive is worth its system calls and kernel timers; those
 * that live get it at the first look. */
static void keep_alive(struct session *s)
{
    int idle_s = (int)(s->config->timeouts.keepalive_ms / 1000);

    if (s->keepalive_set || idle_s == 0)
        return;
    s->keepalive_set = true;
    keep_leg_alive(&s->client, idle_s);
    keep_leg_alive(&s->upstream, idle_s);
}

void session_expired(struct deadline *d)
{
    struct session *s = CONTAINER_OF(d, struct session, deadline);
    uint64_t now = worker_now_ms(s->worker);

    if (s->state == SESSION_RELAY) {
        keep_alive(s);
        uint64_t ends = relay_deadline(s);
        if (now < ends) {
            session_deadline(s, ends);
            return;
        }
    }
    switch (s->state) {
    case SESSION_NEGOTIATE:
    case SESSION_VERIFY:
    case SESSION_GATE:
        session_stop(s, s->shed ? s->failure.why : OUTCOME_HANDSHAKE_TIMEOUT);
        break;
    case SESSION_RESOLVE:
    case SESSION_CONNECT:
        negotiation_refuse(s, (struct failure){.why = OUTCOME_CONNECT_TIMEOUT});
        break;
    case SESSION_ACCEPT:
        embryo_expired(s);
        break;
    case SESSION_RELAY:
        session_stop(s, s->half_closed ? OUTCOME_HALF_CLOSED_TIMEOUT : OUTCOME_IDLE_TIMEOUT);
        break;
    case SESSION_LINGER:
        session_stop(s, s->failure.why);
        break;
    case SESSION_CLOSING:
    case SESSION_STATE_COUNT:
        break;
    }
}

/* The end. */

/* How many subflows the client leg had over its life; asked only where the answer can be other
 * than one. */
static uint32_t subflows_total(const struct session *s)
{
    uint32_t now = 0, total = 0;

    if (!s->client.mptcp || !leg_open(&s->client) ||
        mptcp_subflow_count(s->client.watch.fd, &now, &total) != 0)
        return s->subflows != 0 ? s->subflows : 1;
    return total;
}

static void move_subflows(struct session *s, uint16_t to)
{
    struct worker *w = s->worker;

    if (to > MPTCP_SUBFLOWS_MAX)
        to = MPTCP_SUBFLOWS_MAX;
    if (s->subflows != 0)
        atomic_fetch_sub_explicit(&w->subflows[s->subflows], 1, memory_order_relaxed);
    if (to != 0)
        atomic_fetch_add_explicit(&w->subflows[to], 1, memory_order_relaxed);
    s->subflows = to;
}

static void give_back(struct session *s)
{
    struct worker *w = s->worker;

    if (s->connect_counted)
        limits_connect_end(w->shared->limits, s->source);
    s->connect_counted = false;
    if (s->source != NULL)
        limits_release(w->shared->limits, s->source);
    s->source = NULL;
    if (s->shed)
        w->shed--;
    if (s->client.mptcp) {
        stats_sub(w->stats, STAT_MPTCP_CURRENT, 1);
        move_subflows(s, 0);
    }
    if (s->protocol != PROTOCOL_UNKNOWN)
        stats_protocol(w->stats, s->protocol, false);
    stats_sub(w->stats, STAT_CURRENT, 1);
}

void session_finish(struct session *s, enum outcome why, bool abort_client, bool abort_upstream)
{
    struct worker *w = s->worker;

    if (s->state == SESSION_CLOSING)
        return;
    session_move(s, SESSION_CLOSING);
    s->outcome = why;
    uint64_t duration_us = uv_hrtime() / 1000 - s->start_us;
    bool logged = log_enabled(w->shared->log, LOG_LEVEL_INFO);
    uint32_t subflows = logged ? subflows_total(s) : 0;
    if (s->negotiation != NULL && s->negotiation->work == NULL) {
        negotiation_free(s->negotiation);
        s->negotiation = NULL;
    } else if (s->negotiation != NULL) {
        (void)uv_cancel((uv_req_t *)&s->negotiation->work
                            ->req); /* too late: its callback unpins all the same */
    }
    relay_done(&s->relay, &w->relay_env);
    synack_forget(&w->synack, &s->hold);
    if (s->tokens != NULL) /* before the close: then the kernel may give it to another */
        nft_tokens_remove(s->tokens, s->token);
    leg_close(&s->client, &w->poller, abort_client);
    leg_close(&s->upstream, &w->poller, abort_upstream);
    list_remove(&s->window_link);
    deadline_cancel(&s->deadline);
    if (w->sample_next == &s->link)
        w->sample_next = s->link.next;
    list_remove(&s->link);
    list_append(&w->dead, &s->link);
    stats_closed(w->stats, why, duration_us);
    if (logged)
        session_log_end(s, duration_us, subflows);
    give_back(s);
}

void session_stop(struct session *s, enum outcome why)
{
    /* Only an orderly end may look like one on the wire. */
    bool orderly = why == OUTCOME_OK || (s->state == SESSION_LINGER && !s->client.failed);
    session_finish(s, why, !orderly, !orderly);
}

/* The relay. */

static void run(struct session *s)
{
    struct worker *w = s->worker;
    uint64_t before = s->relay.up.bytes + s->relay.down.bytes;
    enum relay_verdict v = relay_run(&s->relay, &w->relay_env);

    /* A reset counts at once, even while its leg has nothing to do in either direction: what
     * was queued before it and could be moved has been, but for the share of the next turn. */
    if (v != RELAY_AGAIN && s->client.error != 0)
        v = RELAY_CLIENT_FAILED;
    else if (v != RELAY_AGAIN && s->upstream.error != 0)
        v = RELAY_UPSTREAM_FAILED;
    if (s->relay.up.bytes + s->relay.down.bytes != before) {
        s->last_active_ms = worker_now_ms(w);
        s->window_turns = 0;
    }
    if (!s->half_closed && s->relay.down.finished && !s->relay.up.finished)
        s->upstream_first = true;
    if (!s->half_closed && (s->relay.up.finished || s->relay.down.finished) &&
        v != RELAY_DONE) {
        s->half_closed = true;
        s->last_active_ms = worker_now_ms(w);
        session_deadline(s, relay_deadline(s));
    }
    switch (v) {
    case RELAY_OPEN:
        break;
    case RELAY_AGAIN:
        poller_again(&w->poller, &s->client.watch);
        break;
    case RELAY_WAIT_WINDOW:
        worker_wait_window(w, &s->window_link);
        break;
    case RELAY_DONE:
        s->failure.why = s->upstream_first ? OUTCOME_UPSTREAM_EOF : OUTCOME_OK;
        if (!leg_must_wait(&s->client)) {
            session_finish(s, s->failure.why, false, false);
            break;
        }
        leg_close(&s->upstream, &w->poller, false);
        session_move(s, SESSION_LINGER);
        session_deadline(s, worker_now_ms(w) + s->config->timeouts.linger_ms);
        leg_shutdown(&s->client);
        break;
    case RELAY_CLIENT_FAILED:
        session_finish(s, OUTCOME_CLIENT_RESET, true, true);
        break;
    case RELAY_UPSTREAM_FAILED:
        session_finish(s, OUTCOME_UPSTREAM_RESET, true, true);
        break;
    case RELAY_NO_MEMORY:
        session_finish(s, OUTCOME_NO_RESOURCES, true, true);
        break;
    }
}

bool session_window_due(struct session *s)
{
    unsigned turns = ++s->window_turns;

    if (turns < WINDOW_TURNS_MAX)
        return (turns & (turns - 1)) == 0;
    s->window_turns = WINDOW_TURNS_MAX / 2; /* so that the next power of two is this far away */
    return true;
}

void session_window_opened(struct session *s)
{
    if (s->state == SESSION_RELAY)
        run(s);
}

void session_upstream_ready(struct watch *watch, uint32_t events)
{
    struct session *s = CONTAINER_OF(watch, struct session, upstream.watch);

    (void)leg_ready(&s->upstream, events, s->worker->stats);
    if (s->state == SESSION_RELAY)
        run(s);
}

void session_relay_start(struct session *s)
{
    session_move(s, SESSION_RELAY);
    negotiation_free(s->negotiation);
    s->negotiation = NULL;
    leg_buffer(&s->client,
               s->worker->receive_buffer); /* not before: nobody pins memory while we dial */
    s->last_active_ms = worker_now_ms(s->worker);
    uint64_t ends = relay_deadline(s);
    uint64_t look = s->last_active_ms + FIRST_LOOK_MS;
    session_deadline(s, look < ends ? look : ends);
    run(s);
}

void session_client_ready(struct watch *watch, uint32_t events)
{
    struct session *s = CONTAINER_OF(watch, struct session, client.watch);
    bool proven = leg_ready(&s->client, events, s->worker->stats);

    if (proven)
        synack_proven(&s->worker->synack, &s->hold);

    switch (s->state) {
    case SESSION_RELAY:
        run(s);
        break;
    case SESSION_GATE:
        if (s->client.failed)
            session_stop(s, OUTCOME_CLIENT_RESET);
        else if (proven)
            negotiation_proven(s);
        break;
    case SESSION_VERIFY:
    case SESSION_RESOLVE:
    case SESSION_ACCEPT:
    case SESSION_CONNECT: /* what the client sends now waits in the kernel */
        if (s->client.failed)
            session_stop(s, OUTCOME_CLIENT_RESET);
        break;
    case SESSION_NEGOTIATE:
        negotiation_ready(s);
        break;
    case SESSION_LINGER:
        negotiation_linger(s);
        break;
    case SESSION_CLOSING:
    case SESSION_STATE_COUNT:
        break;
    }
}

/* The beginning. */

struct session *session_begin(struct listener *l, const struct addr *client,
                              struct limits_source *source, enum outcome shed)
{
    struct worker *w = l->worker;
    struct session *s = calloc(1, sizeof *s);

    if (s == NULL) {
        stats_add(w->stats, STAT_NOMEM, 1);
        if (source != NULL)
            limits_release(w->shared->limits, source);
        return NULL;
    }
    s->worker = w;
    s->source = source;
    s->config = config_ref(l->config);
    s->listener = l->options;
    s->id = atomic_fetch_add_explicit(&w->shared->next_id, 1, memory_order_relaxed) + 1;
    s->start_us = uv_hrtime() / 1000;
    s->client_addr = *client;
    s->accepted_ms = worker_now_ms(w);
    s->local_port = l->port;
    s->state = SESSION_NEGOTIATE;
    s->shed = shed != OUTCOME_OK;
    s->failure.why = shed;
    list_init(&s->window_link);
    leg_init(&s->client);
    leg_init(&s->upstream);
    deadline_init(&s->deadline);
    list_append(&w->sessions, &s->link);
    stats_add(w->stats, STAT_ACCEPTED, 1);
    stats_add(w->stats, STAT_CURRENT, 1);
    if (s->shed) {
        w->shed++;
        stats_add(w->stats, STAT_REFUSED, 1);
    }
    count_state(s, true);
    return s;
}

void session_note_transport(struct session *s)
{
    struct stats *stats = s->worker->stats;

    if (s->client.mptcp) {
        stats_add(stats, STAT_MPTCP_CURRENT, 1);
        stats_add(stats, STAT_MPTCP_TOTAL, 1);
        move_subflows(s, 1);
    } else if (s->listener->mptcp) {
        stats_add(stats, STAT_MPTCP_FALLBACK, 1);
    }
    if (s->client.syn_data)
        stats_add(stats, STAT_SYN_DATA, 1);
}

/* From now on MP_JOINs find the way here. */
static void note_token(struct session *s, struct nft_tokens *tokens)
{
    if (tokens == NULL || !s->client.mptcp || !mptcp_token(s->client.watch.fd, &s->token))
        return;
    if (nft_tokens_add(tokens, s->token))
        s->tokens = tokens;
    else
        stats_add(s->worker->stats, STAT_NFT_DROPPED, 1);
}

/* The answer to the client's SYN waits for us, if the kernel took the request from the SYN. */
static void claim_synack(struct session *s)
{
    struct worker *w = s->worker;
    struct sockaddr_storage sa;
    socklen_t len = sizeof sa;
    struct addr local;

    s->hold.listener = s->listener->name;
    if (!s->client.syn_data && s->listener->transparent)
        embryo_missing(s);
    else if (!s->client.syn_data)
        stats_add(w->stats, STAT_EXACT_NO_DATA, 1);
    else if (!s->client.unproven) /* the client has been answered: the rule is missing */
        synack_missed(&w->synack, &s->hold);
    else if (getsockname(s->client.watch.fd, (struct sockaddr *)&sa, &len) == 0 &&
             addr_from_sockaddr((struct sockaddr *)&sa, len, &local))
        synack_claim(&w->synack, &s->hold, &local, &s->client_addr);
}

void session_start(struct listener *l, int fd, const struct addr *client,
                   struct limits_source *source, enum outcome shed)
{
    struct worker *w = l->worker;
    struct session *s = session_begin(l, client, source, shed);

    if (s == NULL) {
        (void)close(fd);
        return;
    }
    bool trusted = worker_source_in(&s->config->clients.trusted, client);
    int rc = leg_accept(&s->client, &w->poller, fd,
                        (struct leg_accept){.mptcp = l->mptcp,
                                            .untrusted = !trusted || l->options->exact,
                                            .hold = s->config->relay.tfo_wait,
                                            .window_rule = s->config->relay.tfo_window},
                        session_client_ready);
    if (rc != 0) {
        (void)close(fd);
        session_stop(s, OUTCOME_NO_RESOURCES);
        return;
    }
    session_note_transport(s);
    note_token(s, l->tokens);
    if (l->options->exact)
        claim_synack(s);
    s->negotiation = negotiation_new(s);
    if (s->negotiation == NULL) {
        stats_add(w->stats, STAT_NOMEM, 1);
        session_stop(s, OUTCOME_NO_RESOURCES);
        return;
    }
    session_deadline(s, worker_now_ms(w) + s->config->timeouts.header_ms);
    if (l->options->implicit)
        negotiation_implicit(s);
    else if (l->options->transparent)
        negotiation_transparent(s);
    else
        negotiation_ready(s); /* with Fast Open the request is already here */
}

void session_sample(struct session *s)
{
    uint32_t now = 0, total = 0;

    if (s->client.mptcp && leg_open(&s->client) &&
        mptcp_subflow_count(s->client.watch.fd, &now, &total) == 0 && now > 0)
        move_subflows(s, now > UINT16_MAX ? UINT16_MAX : (uint16_t)now);
}
