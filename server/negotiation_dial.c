/* SPDX-License-Identifier: MIT */
/* The dial: CONNECT to a target through the connector, and the lookups of the Tor extension
 * (RESOLVE, RESOLVE_PTR). */
#include "base/mptcp.h"
#include "embryo.h"
#include "negotiation.h"
#include "wire/proxy_header.h"
#include "worker.h"
#include <string.h>

static void fill_success(struct session *s, const struct connection *c,
                         struct handshake_success *ok)
{
    const struct handshake *h = &s->negotiation->handshake;
    struct sockaddr_storage sa;
    socklen_t len = sizeof sa;

    memset(ok, 0, sizeof *ok);
    if (getsockname(s->upstream.watch.fd, (struct sockaddr *)&sa, &len) == 0 &&
        addr_from_sockaddr((struct sockaddr *)&sa, len, &ok->bound))
        /* logged, whatever is of the target: RFC 6888 s4 */
        s->egress_addr = ok->bound = addr_unmap(ok->bound);
    if (handshake_wants_synack(h) && mptcp_synack(s->upstream.watch.fd, &ok->synack) != 0)
        memset(&ok->synack, 0, sizeof ok->synack); /* it then tells nothing of the server */
    if (c->via) /* MPTCP as far as the concentrator is no reason to bypass us */
        ok->synack.mptcp = c->server_mptcp;
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

/* The client's socket has inherited what its listener's policy says, so there is something to
 * do only for a user or a source with a policy of their own. */
static bool follow_policy(const struct session *s)
{
    bool ipv6 = s->client_addr.family == ADDR_IPV6;

    return s->own_policy == NULL ||
           policy_apply(s->client.watch.fd,
                        (struct policy_families){.ipv4 = true, .ipv6 = ipv6},
                        &s->own_policy->client) == 0;
}

/* A server of the operator's is told who the client is, before anything else. An empty send
 * buffer takes it whole. */
static bool send_header(struct session *s)
{
    const struct conf_prefixes *to = &s->config->upstream.proxy_header_to;
    struct proxy_header h = {.source = s->client_addr, .destination = s->remote_addr};
    uint8_t buf[PROXY_HEADER_SENT_MAX];
    struct wr w = {.buf = buf, .cap = sizeof buf};

    if (to->count == 0 || s->concentrator.family != ADDR_NONE ||
        !worker_source_in(to, &s->remote_addr))
        return true;
    proxy_header_encode(&w, (enum proxy_header_version)(s->config->upstream.proxy_header + 1),
                        &h);
    struct span out = wr_done(&w);
    return leg_send(&s->upstream, out.ptr, out.len) == (ssize_t)out.len;
}

void negotiation_relay(struct session *s, size_t early_sent)
{
    struct negotiation *n = s->negotiation;
    struct relay_env *env = &s->worker->relay_env;

    if (!send_header(s)) {
        session_stop(s, OUTCOME_UPSTREAM_RESET);
        return;
    }
    relay_init(&s->relay, &s->client, &s->upstream, s->config->relay.splice);
    if (!follow_policy(s) || !send_early(s, early_sent) ||
        !relay_preload(&s->relay.down, span_of(n->out, n->out_len), false, env)) {
        session_stop(s, OUTCOME_NO_RESOURCES);
        return;
    }
    session_relay_start(s);
}

/* The target is then known as far as it was asked for. */
static void note_concentrator(struct session *s, const struct addr *concentrator)
{
    const struct target *t = &s->negotiation->handshake.target;

    s->concentrator = *concentrator;
    if (!target_is_name(t)) {
        s->remote_addr = t->addr;
        s->remote_addr.port = t->port;
    }
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
    if (!c->via)
        s->remote_addr = c->remote;
    else
        note_concentrator(s, &c->remote);
    s->connect_us = c->connect_us;
    fill_success(s, c, &ok);
    if (s->hold.claimed && !s->hold.decided)
        stats_add(w->stats, STAT_EXACT_CONFIRMED, 1);
    if (!leg_open(&s->client)) {
        embryo_connected(s);
        return;
    }
    synack_release(&w->synack, &s->hold);
    handshake_success(&n->handshake, &ok, &reply);
    if (negotiation_answer(s, &reply))
        negotiation_relay(s, c->early_sent);
}

static void dial_directly(struct session *s, bool mptcp, connector_done_fn *done)
{
    struct worker *w = s->worker;
    const struct config *c = s->config;
    struct negotiation *n = s->negotiation;
    struct connector_request req = {
        .target = &n->handshake.target,
        .source = &s->client_addr,
        .user = s->user,
        .acl = c->acl,
        .egress = s->listener->egress,
        .told = &s->told_source,
        .eyeballs = {.attempt_delay_ms = c->timeouts.attempt_delay_ms,
                     .resolution_delay_ms = c->timeouts.resolution_delay_ms,
                     .prefer = c->upstream.prefer == PREFER_IPV4 ? ADDR_IPV4 : ADDR_IPV6},
        .offer = &c->upstream.offer,
        .offers = atomic_load_explicit(&w->shared->offers, memory_order_acquire),
        .want_mptcp = mptcp || n->handshake.want_mptcp,
        /* the header goes first, and whether there is one is known with the address only */
        .fastopen = (c->upstream.fastopen || n->handshake.want_fastopen) &&
                    c->upstream.proxy_header_to.count == 0,
        .early = span_of(n->input, n->input_len),
        .policy = policy_leg_empty(&n->upstream_policy) ? NULL : &n->upstream_policy,
    };
    n->connector = connector_start(&w->connector_env, &req, done, s);
    if (n->connector == NULL) {
        stats_add(w->stats, STAT_NOMEM, 1);
        negotiation_refuse(s, (struct failure){.why = OUTCOME_NO_RESOURCES});
    }
}

static void on_via(void *arg, struct connection *c, struct failure why)
{
    struct session *s = arg;
    const struct via_options *o = &s->config->via;

    s->negotiation->via = NULL; /* it frees itself */
    bool direct = o->direct == VIA_DIRECT_LAST || o->concentrators.count == 0; /* implicit */
    if (why.why != OUTCOME_NO_CONCENTRATOR || !direct) {
        on_connected(arg, c, why);
        return;
    }
    stats_add(s->worker->stats, STAT_VIA_DIRECT, 1);
    dial_directly(s, false, on_connected);
}

static void dial_via(struct session *s)
{
    struct worker *w = s->worker;
    struct negotiation *n = s->negotiation;
    struct via_request req = {
        .options = &s->config->via,
        .shared = &w->shared->via,
        .target = &n->handshake.target,
        .source = &s->client_addr,
        .user = s->user,
        .acl = s->config->acl,
        .policy = policy_leg_empty(&n->upstream_policy) ? NULL : &n->upstream_policy,
        .buffer = w->receive_buffer,
    };

    n->via = via_start(&w->connector_env, &req, on_via, s);
    if (n->via == NULL) {
        stats_add(w->stats, STAT_NOMEM, 1);
        negotiation_refuse(s, (struct failure){.why = OUTCOME_NO_RESOURCES});
    }
}

/* Now it is known whose session this is. */
static void choose_policy(struct session *s)
{
    const struct policy_list *all = &s->config->policies;
    const struct policy *base = s->listener->applied, *own;

    if (all->count == 0)
        return;
    own = policy_of_user(all, s->user);
    if (own == NULL)
        own = policy_of_source(all, &s->client_addr);
    s->own_policy = own;
    s->negotiation->upstream_policy = policy_leg_merge(base != NULL ? &base->upstream : NULL,
                                                       own != NULL ? &own->upstream : NULL);
}

/* A server that a concentrator found to speak MPTCP, dialled without one. */
static void on_bypassed(void *arg, struct connection *c, struct failure why)
{
    struct session *s = arg;
    struct via_shared *known = &s->worker->shared->via;
    const struct target *target = &s->negotiation->handshake.target;

    if (c == NULL || !c->mptcp || !mptcp_active(c->fd))
        via_bypass_failed(known, target);
    if (c != NULL) {
        on_connected(arg, c, why);
        return;
    }
    s->negotiation->connector = NULL; /* it frees itself */
    dial_via(s);
}

static void dial_by_route(struct session *s)
{
    struct worker *w = s->worker;
    bool learned = false;

    if (!s->listener->via) {
        dial_directly(s, false, on_connected);
    } else if (via_bypass(&s->config->via, &w->shared->via, &s->negotiation->handshake.target,
                          worker_now_ms(w), &learned)) {
        stats_add(w->stats, learned ? STAT_VIA_BYPASSED : STAT_VIA_NATIVE, 1);
        dial_directly(s, true, learned ? on_bypassed : on_connected);
    } else {
        dial_via(s);
    }
}

void negotiation_dial(struct session *s)
{
    struct worker *w = s->worker;
    const struct config *c = s->config;

    session_move(s, SESSION_CONNECT);
    choose_policy(s);
    if (s->source != NULL) {
        enum outcome o = limits_connect_begin(w->shared->limits, s->source);
        if (o != OUTCOME_OK) {
            negotiation_refuse(s, (struct failure){.why = o});
            return;
        }
        s->connect_counted = true;
    }
    session_deadline(s, worker_now_ms(w) + c->timeouts.connect_ms);
    dial_by_route(s);
}

/* RESOLVE, RESOLVE_PTR: the Tor extension. */

static void resolved(struct session *s, const struct addr *a, const char *name)
{
    uint8_t buf[HANDSHAKE_REPLY_MAX];
    struct wr reply = {.buf = buf, .cap = sizeof buf};

    handshake_resolved(&s->negotiation->handshake, a, name, &reply);
    if (negotiation_answer(s, &reply))
        negotiation_end(s, (struct failure){.why = OUTCOME_OK});
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

void negotiation_resolve(struct session *s, bool ptr)
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
