/* SPDX-License-Identifier: MIT */
#include "routes.h"
#include "embedded.h"
#include "metrics.h"
#include "status_page.h"
#include <openssl/evp.h>
#include <string.h>

enum { PAGE_DEFAULT = 100, CURSOR_LEN = 16 };
static const char sessions_path[] = "/v1/sessions";

/* The keys of /v1/sessions; each at most once. */
enum key { KEY_USER, KEY_PROTOCOL, KEY_MIN_AGE, KEY_LIMIT, KEY_CURSOR, KEY_CLIENT, KEY_COUNT };
static const char *const key_name[KEY_COUNT] = {"user",  "protocol", "min_age_seconds",
                                                "limit", "cursor",   "client"};

struct query_reading {
    struct session_query *out; /* NULL: this path takes no query string */
    bool seen[KEY_COUNT];
    const char *wrong; /* NULL: fine so far */
};

static bool read_cursor(struct span v, uint64_t *out)
{
    uint64_t id = 0;

    if (v.len != CURSOR_LEN)
        return false;
    for (size_t i = 0; i < v.len; i++) {
        uint8_t c = v.ptr[i];
        if (c >= '0' && c <= '9')
            id = id << 4 | (uint64_t)(c - '0');
        else if (c >= 'a' && c <= 'f')
            id = id << 4 | (uint64_t)(c - 'a' + 10);
        else
            return false;
    }
    *out = id;
    return id != 0;
}

static bool read_text(struct span v, char *out, size_t cap)
{
    if (v.len == 0 || v.len >= cap || memchr(v.ptr, '\0', v.len) != NULL)
        return false;
    memcpy(out, v.ptr, v.len);
    out[v.len] = '\0';
    return true;
}

static const char *read_value(enum key k, struct span v, struct session_query *q)
{
    char word[16], prefix[ADDR_TEXT_MAX + 4];
    enum protocol p;
    uint64_t n;

    switch (k) {
    case KEY_USER:
        return read_text(v, q->user, sizeof q->user) ? NULL : "user: 1 to 255 octets, no NUL";
    case KEY_PROTOCOL:
        if (!read_text(v, word, sizeof word) || !stats_json_protocol(word, &p))
            return "protocol: unknown";
        q->protocol = (int)p;
        return NULL;
    case KEY_MIN_AGE:
        return http_seconds(v, &q->min_age_us)
                   ? NULL
                   : "min_age_seconds: a number, at most six decimals";
    case KEY_LIMIT:
        if (!http_number(v, VIEW_SESSIONS_MAX, &n) || n == 0)
            return "limit: 1 to 1000";
        q->limit = (uint32_t)n;
        return NULL;
    case KEY_CURSOR:
        return read_cursor(v, &q->after) ? NULL : "cursor: not one of ours";
    case KEY_CLIENT:
        q->by_source = read_text(v, prefix, sizeof prefix) && prefix_parse(prefix, &q->source);
        return q->by_source ? NULL : "client: an address, or a prefix without host bits";
    case KEY_COUNT:
        break;
    }
    return "unknown query parameter";
}

static enum MHD_Result on_argument(void *arg, enum MHD_ValueKind kind, const char *name,
                                   size_t name_len, const char *value, size_t value_len)
{
    struct query_reading *r = arg;
    unsigned k = 0;

    (void)kind;
    while (k < KEY_COUNT &&
           (strlen(key_name[k]) != name_len || memcmp(key_name[k], name, name_len) != 0))
        k++;
    if (r->out == NULL || k == KEY_COUNT)
        r->wrong = "unknown query parameter";
    else if (r->seen[k])
        r->wrong = "a query parameter came twice";
    else
        r->wrong =
            read_value((enum key)k, span_of(value, value != NULL ? value_len : 0), r->out);
    if (k < KEY_COUNT)
        r->seen[k] = true;
    return r->wrong == NULL ? MHD_YES : MHD_NO;
}

/* NULL, or what is wrong with it. */
static const char *read_query(struct MHD_Connection *c, struct session_query *out)
{
    struct query_reading r = {.out = out};

    (void)MHD_get_connection_values_n(c, MHD_GET_ARGUMENT_KIND, on_argument,
                                      &r); /* the count is of no use */
    return r.wrong;
}

static struct reply ready(struct MHD_Connection *c, const struct route_facts *facts)
{
    const char *reason = NULL;

    (void)c;
    switch (facts->state) {
    case SERVER_SERVING:
        return reply_json(MHD_HTTP_OK, json_pack("{s:s}", "status", "ready"), NULL);
    case SERVER_STARTING:
        reason = "starting";
        break;
    case SERVER_OVERLOADED:
        reason = "overloaded";
        break;
    case SERVER_DRAINING:
    case SERVER_STOPPING:
        reason = "draining";
        break;
    }
    return reply_problem(MHD_HTTP_SERVICE_UNAVAILABLE, "not ready for new sessions", reason);
}

static struct reply healthy(struct MHD_Connection *c, const struct route_facts *facts)
{
    (void)c;
    if (facts->loop_age_ms >= VIEW_STUCK_MS)
        return reply_problem(MHD_HTTP_SERVICE_UNAVAILABLE,
                             "a worker has not turned its loop for 5 seconds", "stuck");
    return reply_json(MHD_HTTP_OK,
                      json_pack("{s:s, s:f}", "status", "ok", "loop_age_seconds",
                                (double)facts->loop_age_ms / 1000),
                      NULL);
}

static struct reply configuration(struct MHD_Connection *c, const struct route_facts *facts)
{
    const struct config *config = facts->view->config;
    char etag[sizeof config->sha256 + 2];
    const char *known = MHD_lookup_connection_value(c, MHD_HEADER_KIND, "If-None-Match");

    (void)snprintf(etag, sizeof etag, "\"%s\"", config->sha256); /* fits */
    if (known != NULL && http_etag_listed(known, etag))
        return reply_unchanged(etag);
    return reply_json(MHD_HTTP_OK, options_dump(config, true), etag);
}

/* The schema is what it was when this was built. */
static struct reply schema(struct MHD_Connection *c, const struct route_facts *facts)
{
    const char *known = MHD_lookup_connection_value(c, MHD_HEADER_KIND, "If-None-Match");
    unsigned char digest[EVP_MAX_MD_SIZE];
    char etag[2 * EVP_MAX_MD_SIZE + 3] = "\"";
    size_t len = 0;

    (void)facts;
    if (EVP_Q_digest(NULL, "SHA256", NULL, stats_schema, stats_schema_len, digest, &len) != 1)
        return (struct reply){MHD_HTTP_OK, NULL}; /* out of memory */
    for (size_t i = 0; i < len; i++)
        (void)snprintf(etag + 1 + 2 * i, 3, "%02x", digest[i]); /* fits */
    memcpy(etag + 1 + 2 * len, "\"", 2);
    if (known != NULL && http_etag_listed(known, etag))
        return reply_unchanged(etag);
    return reply_fixed(stats_schema, stats_schema_len, "application/schema+json", etag);
}

static struct reply page(struct MHD_Connection *c, const struct route_facts *facts)
{
    char policy[STATUS_PAGE_POLICY_MAX];
    size_t len = 0;

    (void)c;
    if (!status_page_policy(policy))
        return (struct reply){MHD_HTTP_OK, NULL};
    char *html = status_page(facts->sum, facts->view, &len);
    return reply_page(html, len, policy);
}

static struct reply metrics(struct MHD_Connection *c, const struct route_facts *facts)
{
    const char *accept = MHD_lookup_connection_value(c, MHD_HEADER_KIND, "Accept");
    bool openmetrics = accept != NULL && strstr(accept, "application/openmetrics-text") != NULL;
    size_t len = 0;
    char *text = metrics_text(facts->sum, facts->view, openmetrics, &len);

    return reply_text(MHD_HTTP_OK, text, len,
                      openmetrics ? "application/openmetrics-text; version=1.0.0; charset=utf-8"
                                  : "text/plain; version=0.0.4; charset=utf-8",
                      NULL);
}

/* "/v1/sessions/17": a positive number without leading zeros, so that each session has one
 * path. */
static bool read_id(const char *path, uint64_t *id)
{
    if (strncmp(path, sessions_path, sizeof sessions_path - 1) != 0 ||
        path[sizeof sessions_path - 1] != '/')
        return false;
    path += sizeof sessions_path;
    return *path != '0' && http_number(span_of(path, strlen(path)), UINT64_MAX, id);
}

static struct reply statistics(struct MHD_Connection *c, const struct route_facts *facts)
{
    (void)c;
    return reply_json(MHD_HTTP_OK, stats_json(facts->sum, facts->view), NULL);
}

/* Documents that need nobody's answer. */
static const struct document {
    const char *path;
    struct reply (*make)(struct MHD_Connection *c, const struct route_facts *facts);
} documents[] = {
    {"/v1/stats", statistics},
    {"/v1/config", configuration},
    {"/v1/schema", schema},
    {"/metrics", metrics},
    {"/healthz", healthy},
    {"/readyz", ready},
    {"/", page},
};

static const struct document *find_document(const char *path, const struct route_facts *facts)
{
    for (size_t i = 0; i < ARRAY_LEN(documents); i++)
        if (strcmp(path, documents[i].path) == 0)
            return documents[i].make != page || facts->view->config->stats.status_page
                       ? &documents[i]
                       : NULL;
    return NULL;
}

struct route route_find(struct MHD_Connection *c, const char *path,
                        const struct route_facts *facts)
{
    struct route r = {.query = {.limit = PAGE_DEFAULT, .protocol = -1}};
    const struct document *d = find_document(path, facts);
    bool list = strcmp(path, sessions_path) == 0;

    if (d == NULL && !list && !read_id(path, &r.query.id)) {
        r.reply = reply_problem(MHD_HTTP_NOT_FOUND, "no such document", NULL);
        return r;
    }
    const char *wrong = read_query(c, list ? &r.query : NULL);
    if (wrong != NULL)
        r.reply = reply_problem(MHD_HTTP_BAD_REQUEST, wrong, NULL);
    else if (d == NULL)
        r.ask = true;
    else
        r.reply = d->make(c, facts);
    return r;
}

struct reply route_sessions(const struct session_query *q, const struct session_view *list,
                            size_t n, bool truncated)
{
    if (q->id != 0) {
        if (n == 0 || list[0].id != q->id)
            return reply_problem(MHD_HTTP_NOT_FOUND, "no such session (any more)", NULL);
        return reply_json(MHD_HTTP_OK, session_json(&list[0]), NULL);
    }
    if (n > q->limit) {
        n = q->limit;
        truncated = true;
    }
    /* A page that ends before its first session cannot say where the next one begins. */
    uint64_t next = truncated && n > 0 ? list[n - 1].id : 0;
    return reply_json(MHD_HTTP_OK, sessions_json(list, n, next), NULL);
}
