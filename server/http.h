/* SPDX-License-Identifier: MIT */
/* http - what a request to the endpoint may look like, beyond what libmicrohttpd refuses by itself (docs/stats.md, "HTTP rules").
 * Pure; no uv.h. `name` and `value` are not NUL-terminated. */
#ifndef SERVER_HTTP_H
#define SERVER_HTTP_H
#include "base/check.h"
#include "base/conffile.h"
#include "wire/addr.h"
#include "wire/bytes.h"
#include <stdbool.h>
#include <stdint.h>

enum { HTTP_LINE_MAX = 4096, HTTP_HEAD_MAX = 8192, HTTP_FIELDS_MAX = 64 };

struct http_verdict {
    unsigned status;    /* 0: fine, else the answer's */
    const char *detail; /* a literal */
};

/* The head of one request, as far as it was seen. Zero is the start. */
struct http_head {
    size_t target_len, field_octets;
    unsigned fields, hosts, lengths, encodings;
    bool has_body;
    struct http_verdict first; /* the first thing wrong with it */
};
void http_target(struct http_head *h, const char *target); /* as it came, before anything is unescaped */
void http_field(struct http_head *h, struct span name, struct span value);
struct http_verdict http_judge(const struct http_head *h, const char *method, const char *version);

/* `host` is the field's value. Allowed: localhost, 127.0.0.1, [::1], `bound` (unless a wildcard), `names`; any port. RFC 9110 s7.2. */
bool http_host_allowed(struct span host, const struct addr *bound, const struct conf_strings *names);

/* If-None-Match (RFC 9110 s13.1.2) names `etag`, which has its quotes. */
bool http_etag_listed(const char *field, const char *etag);

/* Digits only, at most `max`; false: *out untouched. */
bool http_number(struct span text, uint64_t max, uint64_t *out);
/* "1.5" seconds as microseconds; at most six decimals, at most 10^9 s. */
bool http_seconds(struct span text, uint64_t *out_us);

#endif
