/* SPDX-License-Identifier: MIT */
/* reply - HTTP responses of the endpoint, with the header fields all of them carry. Main thread. No uv.h. */
#ifndef SERVER_REPLY_H
#define SERVER_REPLY_H
#include "base/check.h"
#include <jansson.h>
#include <microhttpd.h>
#include <stdbool.h>

struct reply {
    unsigned status;
    struct MHD_Response *response; /* owned; NULL: out of memory */
};

/* Steals `doc` (NULL: out of memory). With `etag` it may be kept and asked for again, without it is live: no-store. */
struct reply reply_json(unsigned status, json_t *doc, const char *etag) MUST_CHECK;
/* The same with a text from malloc, which it takes (NULL: out of memory). */
struct reply reply_text(unsigned status, char *text, size_t len, const char *type, const char *etag) MUST_CHECK;
/* Octets that outlive it, with their ETag. */
struct reply reply_fixed(const void *octets, size_t len, const char *type, const char *etag) MUST_CHECK;
/* A page for a browser, with a Content-Security-Policy of its own. Takes `html` (NULL: out of memory). */
struct reply reply_page(char *html, size_t len, const char *policy) MUST_CHECK;
struct reply reply_unchanged(const char *etag) MUST_CHECK;
/* RFC 9457. `reason` (a member of its own) may be NULL. */
struct reply reply_problem(unsigned status, const char *detail, const char *reason) MUST_CHECK;


/* A problem as octets, for a connection that libmicrohttpd never gets: writes at most `cap`, returns how many; 0: out of memory.
 * `has_body` false: the header alone. */
size_t reply_problem_text(unsigned status, const char *detail, bool has_body, char *out, size_t cap) MUST_CHECK;

#endif
