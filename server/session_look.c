/* SPDX-License-Identifier: MIT */
/* What is told of a session: its one line in the log, and its copy for the stats endpoint. */
#include "negotiation.h"
#include "session.h"
#include "subflow_diag.h"
#include "worker.h"
#include <stdio.h>
#include <string.h>
#include <sys/socket.h>

static void log_target(const struct session *s, struct log_line *line)
{
    char text[ADDR_TEXT_MAX];

    if (s->config->log.destination == LOG_DESTINATION_NONE)
        return;
    if (s->remote_addr.family != ADDR_NONE)
        log_str(line, "destination", addr_print(&s->remote_addr, text, sizeof text));
    if (s->config->log.destination == LOG_DESTINATION_HOST && s->host != NULL)
        log_str(line, "destination_host", s->host);
}

void session_log_end(const struct session *s, uint64_t duration_us, uint32_t subflows)
{
    struct log_line line;
    char text[ADDR_TEXT_MAX];

    log_begin(&line, s->worker->shared->log, LOG_LEVEL_INFO, "session_end");
    if (line.log == NULL)
        return;
    log_u64(&line, "session", s->id);
    log_str(&line, "client", addr_print(&s->client_addr, text, sizeof text));
    if (s->told_source.family != ADDR_NONE)
        log_str(&line, "told_source", addr_print(&s->told_source, text, sizeof text));
    log_str(&line, "protocol", protocol_name(s->protocol));
    log_str(&line, "listener", s->listener->name);
    log_str(&line, "transport", s->client.mptcp ? "mptcp" : "tcp");
    log_str(&line, "user", s->user);
    log_target(s, &line);
    if (s->egress_addr.family != ADDR_NONE)
        log_str(&line, "egress", addr_print(&s->egress_addr, text, sizeof text));
    if (s->concentrator.family != ADDR_NONE)
        log_str(&line, "concentrator", addr_print(&s->concentrator, text, sizeof text));
    log_str(&line, "outcome", outcome_name(s->outcome));
    log_str(&line, "reason", reason_name(outcome_reason(s->outcome)));
    log_u64(&line, "up_bytes", s->relay.up.bytes);
    log_u64(&line, "down_bytes", s->relay.down.bytes);
    log_seconds(&line, "duration_seconds", duration_us);
    log_seconds(&line, "connect_seconds", s->connect_us);
    log_u64(&line, "subflows", subflows);
    log_end(&line);
}

/* True: *m is filled. */
static bool look_mptcp(const struct leg *l, struct mptcp_snapshot *m, bool with_subflows)
{
    if (!leg_open(l))
        return false;
    if (with_subflows) {
        bool told = mptcp_snapshot(l->watch.fd, m) == 0;
        if (told)
            subflow_diag(m);
        return told;
    }
    if (!l->mptcp)
        return false;
    m->active = mptcp_subflow_count(l->watch.fd, &m->subflows, &m->subflows_total) == 0;
    return true;
}

/* Ours. An IPv6 socket may speak IPv4. */
static struct addr own_address(const struct leg *l)
{
    struct addr a = {.family = ADDR_NONE};
    struct sockaddr_storage sa;
    socklen_t len = sizeof sa;

    if (leg_open(l) && getsockname(l->watch.fd, (struct sockaddr *)&sa, &len) == 0)
        (void)addr_from_sockaddr((struct sockaddr *)&sa, len, &a); /* else it stays */
    return addr_unmap(a);
}

/* How the client came to us: by our address, or by its target's. */
static const char *ingress(const struct listener_options *o)
{
    if (o->implicit)
        return "implicit";
    return o->transparent ? "transparent" : "explicit";
}

/* The one that decides first. */
static const struct policy *policy_of(const struct session *s)
{
    return s->own_policy != NULL ? s->own_policy : s->listener->applied;
}

void session_look(const struct session *s, struct session_view *v, bool with_subflows)
{
    uint64_t now_us = uv_hrtime() / 1000;
    uint64_t now_ms = worker_now_ms(s->worker), expires_ms = session_expires_ms(s);
    uint64_t idle_ms = now_ms - s->last_active_ms;

    memset(v, 0, sizeof *v);
    v->id = s->id;
    (void)snprintf(v->user, sizeof v->user, "%s", s->user != NULL ? s->user : "");
    (void)snprintf(v->host, sizeof v->host, "%s", s->host != NULL ? s->host : "");
    (void)snprintf(v->listener, sizeof v->listener, "%s", s->listener->name);
    if (policy_of(s) != NULL)
        (void)snprintf(v->policy, sizeof v->policy, "%s", policy_of(s)->name);
    v->protocol = protocol_name(s->protocol);
    v->state = session_state_name(s->state);
    v->start_wall_us = worker_wall_us(s->worker, s->start_us);
    v->age_us = now_us - s->start_us;
    v->idle_us = s->last_active_ms == 0 ? v->age_us : idle_ms * 1000;
    v->expires_us = expires_ms > now_ms ? (expires_ms - now_ms) * 1000 : 0;
    v->ingress = ingress(s->listener);
    v->client = s->client_addr;
    v->told_source = s->told_source;
    v->local = own_address(&s->client);
    v->egress = s->egress_addr.family != ADDR_NONE ? s->egress_addr : own_address(&s->upstream);
    v->remote = s->remote_addr;
    v->concentrator = s->concentrator;
    if (s->concentrator.family != ADDR_NONE)
        v->route = "via";
    else if (s->remote_addr.family != ADDR_NONE)
        v->route = "direct";
    v->port = s->target_port;
    v->up_bytes = s->relay.up.bytes;
    v->down_bytes = s->relay.down.bytes;
    v->buffered_up_bytes = relay_buffered(&s->relay.up);
    v->buffered_down_bytes = relay_buffered(&s->relay.down);
    v->client_mptcp = s->client.mptcp;
    v->has_mptcp = look_mptcp(&s->client, &v->mptcp, with_subflows);
    v->upstream_mptcp = s->upstream.mptcp;
    if (v->upstream_mptcp)
        v->has_upstream = look_mptcp(&s->upstream, &v->upstream, with_subflows);
}
