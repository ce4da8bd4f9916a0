/* SPDX-License-Identifier: MIT */
/* reply - HTTP responses of the endpoint, with the header fields all of them carry. Main thread. No uv.h. */
#ifndef SERVER_REPLY_H
#define SERVER_REPLY_H
#include "base/check.h"
#include <jansson.h>
#include <microhttpd.h>

struct reply {
    unsigned status;
    struct MHD_Response *response; /* owned; NULL: out of memory */
};

/* Steals `doc` (NULL: out of memory). With `etag` it may be kept and asked for again, without it is live: no-store. */
struct reply reply_json(unsigned status, json_t *doc, const char *etag) MUST_CHECK;
struct reply reply_unchanged(const char *etag) MUST_CHECK;
/* RFC 9457. `reason` (a member of its own) may be NULL. 405 says what is allowed. */
struct reply reply_problem(unsigned status, const char *detail, const char *reason) MUST_CHECK;

#endif
