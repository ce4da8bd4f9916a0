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

struct head {
    unsigned fields, hosts, lengths;
    bool http11, is_head;
};

static const struct http_verdict fine = {0, NULL};

static struct http_verdict refuse(unsigned status, const char *detail)
{
    return (struct http_verdict){status, detail};
}

enum line { LINE_WHOLE, LINE_PART, LINE_BAD };

/* The octets before the next CRLF; RFC 9112 s2.2 lets a bare LF pass, we do not. */
static enum line take_line(struct span in, size_t *pos, struct span *line)
{
    size_t end = *pos;

    while (end < in.len && in.ptr[end] != '\r' && in.ptr[end] != '\n' && in.ptr[end] != '\0')
        end++;
    *line = (struct span){in.ptr + *pos, end - *pos};
    if (end == in.len || (in.ptr[end] == '\r' && end + 1 == in.len))
        return LINE_PART;
    if (in.ptr[end] != '\r' || in.ptr[end + 1] != '\n')
        return LINE_BAD;
    *pos = end + 2;
    return LINE_WHOLE;
}

static bool is_printable(struct span s)
{
    for (size_t i = 0; i < s.len; i++) {
        if (s.ptr[i] < 0x20 || s.ptr[i] >= 0x7f)
            return false;
    }
    return true;
}

/* What stands before the next space, which is skipped; empty when there is none. */
static struct span take_word(struct span *s)
{
    const uint8_t *space = s->len > 0 ? memchr(s->ptr, ' ', s->len) : NULL;
    size_t len = space != NULL ? (size_t)(space - s->ptr) : 0;
    struct span word = {s->ptr, len};

    *s = span_skip(*s, len + 1);
    return word;
}

static struct http_verdict judge_request_line(struct span line, struct head *h)
{
    struct span rest = line, method = take_word(&rest), target = take_word(&rest);

    if (!is_token(method) || target.len == 0 || rest.len != 8 ||
        memcmp(rest.ptr, "HTTP/", 5) != 0)
        return refuse(400, "malformed request line");
    if (memcmp(rest.ptr, "HTTP/1.0", 8) != 0 && memcmp(rest.ptr, "HTTP/1.1", 8) != 0)
        return refuse(505, "HTTP/1.1 only");
    h->http11 = rest.ptr[7] == '1';
    h->is_head = span_equal(method, span_of("HEAD", 4));
    if (target.ptr[0] != '/' ||
        memchr(target.ptr, '#', target.len) != NULL) /* the other forms of RFC 9112 s3.2 */
        return refuse(400, "the request target must be a path");
    if (!h->is_head && !span_equal(method, span_of("GET", 3)))
        return refuse(405, "GET and HEAD only: nothing can be changed here");
    const uint8_t *query = memchr(target.ptr, '?', target.len);
    size_t path_len = query != NULL ? (size_t)(query - target.ptr) : target.len;
    if (memchr(target.ptr, '%', path_len) !=
        NULL) /* no path of ours has one: not a second name for it */
        return refuse(404, "no such document");
    return fine;
}

static struct span trim(struct span s)
{
    while (s.len > 0 && (s.ptr[0] == ' ' || s.ptr[0] == '\t'))
        s = span_skip(s, 1);
    while (s.len > 0 && (s.ptr[s.len - 1] == ' ' || s.ptr[s.len - 1] == '\t'))
        s.len--;
    return s;
}

static struct http_verdict judge_field(struct span line, struct head *h)
{
    const uint8_t *colon = memchr(line.ptr, ':', line.len);
    size_t name_len = colon != NULL ? (size_t)(colon - line.ptr) : 0;
    struct span name = {line.ptr, name_len}, value = trim(span_skip(line, name_len + 1));
    uint64_t length = 0;

    if (!is_token(name) ||
        !is_field_value(value)) /* a folded line begins with a space, so it has no name */
        return refuse(400, "malformed header field");
    if (++h->fields > HTTP_FIELDS_MAX)
        return refuse(431, "more than 64 header fields");
    if (equals(name, "host") && ++h->hosts > 1)
        return refuse(400, "more than one Host");
    if (equals(name, "transfer-encoding"))
        return refuse(400, "Transfer-Encoding is not accepted");
    if (equals(name, "content-length")) {
        if (++h->lengths > 1 || !http_number(value, UINT64_MAX, &length))
            return refuse(400, "malformed or repeated Content-Length");
        if (length > 0)
            return refuse(400, "a request body is not accepted");
    }
    return fine;
}

/* The limits, and octets that no line may have, in the order they come: so a status given for a
 * part of the line stays. `end` is where the line ends at the earliest. */
static struct http_verdict judge_octets(struct span line, size_t start, size_t end, bool first)
{
    size_t limit = first ? HTTP_LINE_MAX - 2 : HTTP_HEAD_MAX - start;
    struct span within = {line.ptr, line.len < limit ? line.len : limit};

    if (first ? !is_printable(within) : !is_field_value(within))
        return refuse(400, first ? "malformed request line" : "malformed header field");
    if (first && line.len > limit)
        return refuse(414, "the request line is longer than 4096 octets");
    if (end > HTTP_HEAD_MAX)
        return refuse(431, "the head is longer than 8192 octets");
    return fine;
}

struct http_verdict http_read(struct span in, bool *whole, bool *is_head)
{
    struct head h = {0};
    struct http_verdict v = fine;
    size_t pos = 0;

    *whole = false;
    for (bool first = true; v.status == 0 && !*whole; first = false) {
        struct span line;
        size_t start = pos;
        enum line got = take_line(in, &pos, &line);

        v = judge_octets(line, start, got == LINE_WHOLE ? pos : start + line.len + 1, first);
        if (v.status == 0 && got == LINE_BAD)
            v = refuse(400, "NUL, or a CR or LF alone");
        if (v.status != 0 || got == LINE_PART)
            break;
        if (first)
            v = judge_request_line(line, &h);
        else if (line.len > 0)
            v = judge_field(line, &h);
        else
            *whole = true;
    }
    if (*whole && h.http11 && h.hosts == 0)
        v = refuse(400, "Host is required");
    *is_head = h.is_head;
    return v;
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
