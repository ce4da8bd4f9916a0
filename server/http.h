/* SPDX-License-Identifier: MIT */
/* http - what a request to the endpoint may look like (docs/stats.md, "HTTP rules"): stricter than libmicrohttpd, which lets folded
 * lines, bare LF and NUL pass. Pure; no uv.h. Spans are not NUL-terminated. */
#ifndef SERVER_HTTP_H
#define SERVER_HTTP_H
#include "base/check.h"
#include "base/conffile.h"
#include "wire/addr.h"
#include "wire/bytes.h"
#include <stdbool.h>
#include <stdint.h>

/* Octets with CRLF; the head with the empty line. */
enum { HTTP_LINE_MAX = 4096, HTTP_HEAD_MAX = 8192, HTTP_FIELDS_MAX = 64 };

struct http_verdict {
    unsigned status;    /* 0: fine, else the answer's */
    const char *detail; /* a literal */
};

/* Judges the start of a stream as one GET or HEAD without a body; stateless, from its first octet each time. status 0: nothing wrong
 * so far, and *whole tells whether the head is complete. A status once given does not change with more input. *is_head: the answer
 * must not have a body. */
struct http_verdict http_read(struct span in, bool *whole, bool *is_head);

/* `host` is the field's value. Allowed: localhost, 127.0.0.1, [::1], `bound` (unless a wildcard), `names`; any port. RFC 9110 s7.2. */
bool http_host_allowed(struct span host, const struct addr *bound, const struct conf_strings *names);

/* If-None-Match (RFC 9110 s13.1.2) names `etag`, which has its quotes. */
bool http_etag_listed(const char *field, const char *etag);

/* Digits only, at most `max`; false: *out untouched. */
bool http_number(struct span text, uint64_t max, uint64_t *out);
/* "1.5" seconds as microseconds; at most six decimals, at most 10^9 s. */
bool http_seconds(struct span text, uint64_t *out_us);

#endif
