/* SPDX-License-Identifier: MIT */
#include "reply.h"
#include "stats_json.h"
#include <string.h>

static const char problem_type[] = "application/problem+json";

static const char policy_name[] = "Content-Security-Policy";

/* Every answer has these. A page brings a policy of its own. */
static const struct {
    const char *name, *value;
} always[] = {
    {"Connection", "close"},
    {"X-Content-Type-Options", "nosniff"},
    {policy_name,
     "default-src 'none'; connect-src 'self'; style-src 'self'; script-src 'self'"},
};

static bool add(struct MHD_Response *r, const char *name, const char *value)
{
    return MHD_add_response_header(r, name, value) == MHD_YES;
}

/* `r` NULL: out of memory. `policy` NULL: the usual one. */
static struct reply finish_with(unsigned status, struct MHD_Response *r, const char *type,
                                const char *etag, const char *policy)
{
    if (r == NULL)
        return (struct reply){status, NULL};
    bool ok = add(r, "Cache-Control", etag != NULL ? "no-cache" : "no-store");
    for (size_t i = 0; i < ARRAY_LEN(always); i++)
        ok = ok &&
             add(r, always[i].name,
                 policy != NULL && always[i].name == policy_name ? policy : always[i].value);
    ok = ok && (type == NULL || add(r, "Content-Type", type));
    ok = ok && (etag == NULL || add(r, "ETag", etag));
    if (!ok) {
        MHD_destroy_response(r);
        r = NULL;
    }
    return (struct reply){status, r};
}

static struct reply finish(unsigned status, struct MHD_Response *r, const char *type,
                           const char *etag)
{
    return finish_with(status, r, type, etag, NULL);
}

/* Takes `text`; NULL: out of memory. */
static struct MHD_Response *from_text(char *text, size_t len)
{
    if (text == NULL)
        return NULL;
    struct MHD_Response *r = MHD_create_response_from_buffer(len, text, MHD_RESPMEM_MUST_FREE);
    if (r == NULL)
        free(text);
    return r;
}

struct reply reply_page(char *html, size_t len, const char *policy)
{
    return finish_with(MHD_HTTP_OK, from_text(html, len), "text/html; charset=utf-8", NULL,
                       policy);
}

struct reply reply_text(unsigned status, char *text, size_t len, const char *type,
                        const char *etag)
{
    return finish(status, from_text(text, len), type, etag);
}

/* libmicrohttpd's parameter is not const; what is persistent it only reads. */
static struct MHD_Response *persistent(const void *octets, size_t len)
{
    void *p;

    memcpy(&p, &octets, sizeof p);
    return MHD_create_response_from_buffer(len, p, MHD_RESPMEM_PERSISTENT);
}

struct reply reply_fixed(const void *octets, size_t len, const char *type, const char *etag)
{
    return finish(MHD_HTTP_OK, persistent(octets, len), type, etag);
}

static struct reply reply_typed(unsigned status, json_t *doc, const char *type,
                                const char *etag)
{
    char *text = doc != NULL ? json_dumps(doc, JSON_COMPACT | JSON_REAL_PRECISION(15)) : NULL;

    json_decref(doc);
    return reply_text(status, text, text != NULL ? strlen(text) : 0, type, etag);
}

struct reply reply_json(unsigned status, json_t *doc, const char *etag)
{
    return reply_typed(status, doc, "application/json", etag);
}

struct reply reply_unchanged(const char *etag)
{
    return finish(MHD_HTTP_NOT_MODIFIED, persistent("", 0), NULL, etag);
}

struct reply reply_problem(unsigned status, const char *detail, const char *reason)
{
    json_t *doc = problem_json((int)status, MHD_get_reason_phrase_for(status), detail);

    if (doc != NULL && reason != NULL &&
        json_object_set_new(doc, "reason", json_string(reason)) != 0) {
        json_decref(doc);
        doc = NULL;
    }
    return reply_typed(status, doc, problem_type, NULL);
}

static size_t append(char *out, size_t cap, size_t len, const char *name, const char *value)
{
    int n = snprintf(out + len, cap - len, "%s: %s\r\n", name, value);

    return n > 0 && (size_t)n < cap - len ? len + (size_t)n : len; /* our own texts: they fit */
}

size_t reply_problem_text(unsigned status, const char *detail, bool has_body, char *out,
                          size_t cap)
{
    json_t *doc = problem_json((int)status, MHD_get_reason_phrase_for(status), detail);
    char *body = doc != NULL ? json_dumps(doc, JSON_COMPACT) : NULL;
    char length[24];
    size_t len;

    json_decref(doc);
    if (body == NULL)
        return 0;
    (void)snprintf(length, sizeof length, "%zu", strlen(body)); /* fits */
    len = (size_t)snprintf(out, cap, "HTTP/1.1 %u %s\r\n", status,
                           MHD_get_reason_phrase_for(status));
    for (size_t i = 0; i < ARRAY_LEN(always); i++)
        len = append(out, cap, len, always[i].name, always[i].value);
    if (status == MHD_HTTP_METHOD_NOT_ALLOWED)
        len = append(out, cap, len, "Allow", "GET, HEAD");
    len = append(out, cap, len, "Cache-Control", "no-store");
    len = append(out, cap, len, "Content-Type", problem_type);
    len = append(out, cap, len, "Content-Length", length);
    int n = snprintf(out + len, cap - len, "\r\n%s", has_body ? body : "");
    free(body);
    return n > 0 && (size_t)n < cap - len ? len + (size_t)n : len;
}
