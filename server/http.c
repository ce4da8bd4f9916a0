/* SPDX-License-Identifier: MIT */
#include "http.h"
#include <string.h>
#include <strings.h>

static bool is_alnum(uint8_t c)
{
    return (c >= '0' && c <= '9') || (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z');
}

/* RFC 9110 s5.6.2 tchar. */
static bool is_token(struct span s)
{
    for (size_t i = 0; i < s.len; i++) {
        if (!is_alnum(s.ptr[i]) &&
            (s.ptr[i] == '\0' || strchr("!#$%&'*+-.^_`|~", s.ptr[i]) == NULL))
            return false;
    }
    return s.len > 0;
}

/* RFC 9110 s5.5: no control octet but HTAB. A CR in here came without its LF. */
static bool is_field_value(struct span s)
{
    for (size_t i = 0; i < s.len; i++) {
        if ((s.ptr[i] < 0x20 && s.ptr[i] != '\t') || s.ptr[i] == 0x7f)
            return false;
    }
    return true;
}

static bool equals(struct span s, const char *text)
{
    return s.len == strlen(text) &&
           (s.len == 0 || strncasecmp((const char *)s.ptr, text, s.len) == 0);
}

static void wrong(struct http_head *h, unsigned status, const char *detail)
{
    if (h->first.status == 0 ||
        (h->first.status == 404 && status == 400)) /* malformed comes first */
        h->first = (struct http_verdict){status, detail};
}

void http_target(struct http_head *h, const char *target)
{
    size_t path_len = strcspn(target, "?");

    h->target_len = strlen(target);
    if (target[0] != '/') /* absolute-form and asterisk-form, RFC 9112 s3.2 */
        wrong(h, 400, "the request target must be a path");
    for (size_t i = 0; i < h->target_len; i++) {
        unsigned char c = (unsigned char)target[i];
        if (c <= 0x20 || c >= 0x7f || c == '#')
            wrong(h, 400, "the request target has an octet that must be escaped");
    }
    if (memchr(target, '%', path_len) !=
        NULL) /* no path of ours has one: not a second name for it */
        wrong(h, 404, "no such document");
}

void http_field(struct http_head *h, struct span name, struct span value)
{
    uint64_t length;

    h->fields++;
    h->field_octets += name.len + value.len + 4; /* ": " and CRLF */
    if (!is_token(name) || !is_field_value(value))
        wrong(h, 400, "malformed header field");
    if (equals(name, "host"))
        h->hosts++;
    if (equals(name, "transfer-encoding"))
        h->encodings++;
    if (equals(name, "content-length")) {
        h->lengths++;
        if (!http_number(value, UINT64_MAX, &length))
            wrong(h, 400, "malformed Content-Length");
        else if (length > 0)
            h->has_body = true;
    }
}

static struct http_verdict judge_syntax(const struct http_head *h, size_t line_len, bool http11)
{
    if (line_len > HTTP_LINE_MAX)
        return (struct http_verdict){414, "the request line is longer than 4096 octets"};
    if (h->fields > HTTP_FIELDS_MAX)
        return (struct http_verdict){431, "more than 64 header fields"};
    if (line_len + h->field_octets > HTTP_HEAD_MAX)
        return (struct http_verdict){431, "the head is longer than 8192 octets"};
    if (h->first.status == 400)
        return h->first;
    if (h->encodings > 0)
        return (struct http_verdict){400, "Transfer-Encoding is not accepted"};
    if (h->lengths > 1)
        return (struct http_verdict){400, "more than one Content-Length"};
    if (h->hosts > 1 || (http11 && h->hosts == 0))
        return (struct http_verdict){400, "exactly one Host is required"};
    return (struct http_verdict){0, NULL};
}

struct http_verdict http_judge(const struct http_head *h, const char *method,
                               const char *version)
{
    bool http11 = strcmp(version, "HTTP/1.1") == 0;
    size_t line_len = strlen(method) + h->target_len + strlen(version) + 4;

    if (!http11 && strcmp(version, "HTTP/1.0") != 0)
        return (struct http_verdict){505, "HTTP/1.1 only"};
    struct http_verdict v = judge_syntax(h, line_len, http11);
    if (v.status != 0)
        return v;
    if (strcmp(method, "GET") != 0 && strcmp(method, "HEAD") != 0)
        return (struct http_verdict){405, "GET and HEAD only: nothing can be changed here"};
    if (h->has_body)
        return (struct http_verdict){400, "a request body is not accepted"};
    return h->first;
}

/* The part before the port; RFC 3986 s3.2.2: an IPv6 address stands in brackets. False:
 * malformed. */
static bool host_part(struct span in, struct span *host)
{
    size_t len = 0;
    uint64_t port;

    if (in.len > 0 && in.ptr[0] == '[') {
        const uint8_t *end = memchr(in.ptr, ']', in.len);
        if (end == NULL)
            return false;
        len = (size_t)(end - in.ptr) + 1;
    } else {
        while (len < in.len && in.ptr[len] != ':')
            len++;
    }
    struct span rest = span_skip(in, len);
    if (rest.len > 0 && (rest.ptr[0] != ':' ||
                         (rest.len > 1 && !http_number(span_skip(rest, 1), 65535, &port))))
        return false;
    *host = (struct span){.ptr = in.ptr, .len = len};
    return len > 0;
}

bool http_host_allowed(struct span host, const struct addr *bound,
                       const struct conf_strings *names)
{
    struct span name;
    struct addr literal;

    if (!host_part(host, &name))
        return false;
    if (equals(name, "localhost") || equals(name, "127.0.0.1") || equals(name, "[::1]"))
        return true;
    if (addr_class(bound) != ADDR_CLASS_UNSPECIFIED && bound->family != ADDR_NONE &&
        addr_parse_ip((const char *)name.ptr, name.len, &literal) &&
        addr_equal_ip(&literal, bound))
        return true;
    for (size_t i = 0; i < names->count; i++) {
        if (equals(name, names->item[i]))
            return true;
    }
    return false;
}

bool http_etag_listed(const char *field, const char *etag)
{
    size_t len = strlen(etag);

    while (*field != '\0') {
        field += strspn(field, " \t,");
        if (*field == '*')
            return true;
        if (strncmp(field, "W/", 2) == 0) /* the comparison is the weak one */
            field += 2;
        if (strncmp(field, etag, len) == 0 &&
            (field[len] == '\0' || strchr(" \t,", field[len]) != NULL))
            return true;
        /* An entity-tag may have commas between its quotes. */
        if (*field == '"') {
            field += 1 + strcspn(field + 1, "\"");
            field += *field == '"';
        } else {
            field += strcspn(field, ",");
        }
    }
    return false;
}

bool http_number(struct span text, uint64_t max, uint64_t *out)
{
    uint64_t v = 0;

    if (text.len == 0)
        return false;
    for (size_t i = 0; i < text.len; i++) {
        if (text.ptr[i] < '0' || text.ptr[i] > '9')
            return false;
        uint64_t digit = (uint64_t)text.ptr[i] - '0';
        if (v > (max - digit) / 10 || digit > max)
            return false;
        v = v * 10 + digit;
    }
    *out = v;
    return true;
}

bool http_seconds(struct span text, uint64_t *out_us)
{
    const uint8_t *dot = text.len > 0 ? memchr(text.ptr, '.', text.len) : NULL;
    size_t whole_len = dot != NULL ? (size_t)(dot - text.ptr) : text.len;
    struct span fraction = dot != NULL ? span_skip(text, whole_len + 1) : (struct span){0};
    uint64_t whole, us = 0;

    if (!http_number((struct span){text.ptr, whole_len}, 1000000000, &whole))
        return false;
    if (dot != NULL) {
        if (fraction.len > 6 || !http_number(fraction, 999999, &us))
            return false;
        for (size_t i = fraction.len; i < 6; i++)
            us *= 10;
    }
    *out_us = whole * 1000000 + us;
    return true;
}
