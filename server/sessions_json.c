/* SPDX-License-Identifier: MIT */
/* The session documents of stats_json.h: one for a page of many, one with everything known
 * about a single one. */
#include "doc.h"
#include "stats_json.h"
#include <netinet/tcp.h>
#include <string.h>

static json_t *endpoint(const struct addr *a)
{
    char text[ADDR_TEXT_MAX];

    if (a->family == ADDR_NONE)
        return json_null();
    struct doc d = doc_new();
    doc_put(&d, "address", json_string(addr_print_ip(a, text, sizeof text)));
    doc_put(&d, "port", json_integer(a->port));
    return doc_finish(&d);
}

static json_t *endpoint_text(const struct addr *a)
{
    char text[ADDR_TEXT_MAX];

    return a->family == ADDR_NONE ? json_null() : json_string(addr_print(a, text, sizeof text));
}

static json_t *destination(const struct session_view *s)
{
    char text[ADDR_TEXT_MAX];
    struct doc d = doc_new();

    doc_put(&d, "host", doc_text(s->host));
    if (s->remote.family == ADDR_NONE)
        doc_put(&d, "address", json_null());
    else
        doc_put(&d, "address", json_string(addr_print_ip(&s->remote, text, sizeof text)));
    doc_put(&d, "port", json_integer(s->port));
    return doc_finish(&d);
}

/* TCP states as the kernel numbers them (include/net/tcp_states.h); an MPTCP subflow has one of
 * its own. */
static const char *tcp_state_word(uint8_t state)
{
    static const char *const word[] = {
        [TCP_ESTABLISHED] = "established",
        [TCP_SYN_SENT] = "syn_sent",
        [TCP_SYN_RECV] = "syn_recv",
        [TCP_FIN_WAIT1] = "fin_wait1",
        [TCP_FIN_WAIT2] = "fin_wait2",
        [TCP_TIME_WAIT] = "time_wait",
        [TCP_CLOSE] = "close",
        [TCP_CLOSE_WAIT] = "close_wait",
        [TCP_LAST_ACK] = "last_ack",
        [TCP_LISTEN] = "listen",
        [TCP_CLOSING] = "closing",
    };

    return state < ARRAY_LEN(word) && word[state] != NULL ? word[state] : "unknown";
}

static json_t *subflow_json(const struct mptcp_subflow *f)
{
    struct doc d = doc_new();

    doc_put(&d, "id", json_integer(f->id));
    doc_put(&d, "local", endpoint_text(&f->local));
    doc_put(&d, "remote", endpoint_text(&f->remote));
    doc_put(&d, "backup", json_boolean(f->backup));
    doc_put(&d, "state", json_string(tcp_state_word(f->tcp_state)));
    doc_put(&d, "rtt_seconds", doc_seconds(f->rtt_us));
    doc_put(&d, "rttvar_seconds", doc_seconds(f->rttvar_us));
    doc_put(&d, "cwnd_segments", json_integer(f->cwnd_segments));
    doc_put(&d, "bytes_acked", doc_number(f->bytes_acked));
    doc_put(&d, "bytes_received", doc_number(f->bytes_received));
    doc_put(&d, "retransmits", json_integer(f->retransmits));
    doc_put(&d, "delivery_rate_bytes_per_second", doc_number(f->delivery_rate));
    return doc_finish(&d);
}

static json_t *subflow_list(const struct mptcp_snapshot *m)
{
    json_t *list = json_array();

    for (uint32_t i = 0; list != NULL && i < m->listed && i < MPTCP_SUBFLOWS_MAX; i++) {
        if (json_array_append_new(list, subflow_json(&m->list[i])) != 0) {
            json_decref(list);
            list = NULL;
        }
    }
    return list;
}

static json_t *token_json(uint32_t token, bool known)
{
    char text[16];

    (void)snprintf(text, sizeof text, "%08x", token); /* fits */
    return known ? json_string(text) : json_null();
}

/* One leg. `opened`: as MPTCP; `asked`: *m is filled. */
static void put_mptcp(struct doc *d, const char *path, const struct mptcp_snapshot *m,
                      bool opened, bool asked, bool whole)
{
    if (!asked) {
        doc_put(d, path, json_null());
        return;
    }
    doc_put_in(d, path, "fallback", json_boolean(opened && !m->active));
    doc_put_in(d, path, "subflows", json_integer(m->subflows));
    doc_put_in(d, path, "subflows_total", json_integer(m->subflows_total));
    if (!whole)
        return;
    doc_put_in(d, path, "token", token_json(m->token, m->active));
    doc_put_in(d, path, "remote_token", token_json(m->remote_token, m->remote_token != 0));
    doc_put_in(d, path, "bytes_sent", doc_number(m->bytes_sent));
    doc_put_in(d, path, "bytes_received", doc_number(m->bytes_received));
    doc_put_in(d, path, "bytes_retransmitted", doc_number(m->bytes_retransmitted));
    doc_put_in(d, path, "retransmits", doc_number(m->retransmits));
    doc_put_in(d, path, "subflow_list", subflow_list(m));
}

static const char *transport(const struct session_view *s)
{
    bool mptcp = s->has_mptcp ? s->client_mptcp && s->mptcp.active : s->client_mptcp;

    return mptcp ? "mptcp" : "tcp";
}

static json_t *view_json(const struct session_view *s, bool whole)
{
    struct doc d = doc_new();
    char id[24];

    (void)snprintf(id, sizeof id, "%llu", (unsigned long long)s->id); /* as the log prints it */
    doc_put(&d, "id", json_string(id));
    doc_put(&d, "user", doc_text(s->user));
    doc_put(&d, "protocol", json_string(stats_json_protocol_word(s->protocol)));
    doc_put(&d, "transport", json_string(transport(s)));
    doc_put(&d, "listener", doc_text(s->listener));
    doc_put(&d, "policy", doc_text(s->policy));
    doc_put(&d, "state", doc_text(s->state));
    doc_put(&d, "start_time", doc_time(s->start_wall_us));
    doc_put(&d, "age_seconds", doc_seconds(s->age_us));
    doc_put(&d, "idle_seconds", doc_seconds(s->idle_us));
    doc_put(&d, "expires_seconds", doc_seconds(s->expires_us));
    doc_put(&d, "ingress", doc_text(s->ingress));
    doc_put(&d, "route", doc_text(s->route));
    doc_put(&d, "client", endpoint(&s->client));
    doc_put(&d, "told_source", endpoint(&s->told_source));
    doc_put(&d, "local", endpoint(&s->local));
    doc_put(&d, "egress", endpoint(&s->egress));
    doc_put(&d, "concentrator", endpoint(&s->concentrator));
    doc_put(&d, "destination", destination(s));
    doc_put(&d, "up_bytes", doc_number(s->up_bytes));
    doc_put(&d, "down_bytes", doc_number(s->down_bytes));
    doc_put(&d, "buffered_up_bytes", doc_number(s->buffered_up_bytes));
    doc_put(&d, "buffered_down_bytes", doc_number(s->buffered_down_bytes));
    put_mptcp(&d, "mptcp", &s->mptcp, s->client_mptcp, s->has_mptcp, whole);
    put_mptcp(&d, "upstream_mptcp", &s->upstream, s->upstream_mptcp, s->has_upstream, whole);
    return doc_finish(&d);
}

json_t *session_json(const struct session_view *s)
{
    return view_json(s, true);
}

json_t *sessions_json(const struct session_view *list, size_t n, uint64_t next_cursor)
{
    json_t *page = json_array();
    struct doc d = doc_new();
    char cursor[24];

    for (size_t i = 0; page != NULL && i < n; i++) {
        if (json_array_append_new(page, view_json(&list[i], false)) != 0) {
            json_decref(page);
            page = NULL;
        }
    }
    (void)snprintf(cursor, sizeof cursor, "%016llx",
                   (unsigned long long)next_cursor); /* fits */
    doc_put(&d, "sessions", page);
    doc_put(&d, "next_cursor", next_cursor != 0 ? json_string(cursor) : json_null());
    return doc_finish(&d);
}
