/* SPDX-License-Identifier: MIT */
/* doc - builds one JSON document member by member; out of memory is asked for once, at the end. Any thread, no I/O. No uv.h.
 * Happy path: doc_new, doc_put..., doc_finish. Failure path: the first failure latches, later puts only free their value, doc_finish
 * gives NULL. */
#ifndef SERVER_DOC_H
#define SERVER_DOC_H
#include "base/check.h"
#include <jansson.h>
#include <stdbool.h>
#include <stdint.h>

enum { DOC_PATH_MAX = 96, DOC_TIME_MAX = 32 };

struct doc {
    json_t *root;
    bool failed;
};

struct doc doc_new(void);
json_t *doc_finish(struct doc *d) MUST_CHECK; /* the root; NULL: something did not fit into memory */

/* Steals `value` (NULL: that failed). `path` is dotted, our own and shorter than DOC_PATH_MAX; objects on the way are made. */
void doc_put(struct doc *d, const char *path, json_t *value);

void doc_put_in(struct doc *d, const char *path, const char *member, json_t *value); /* "path.member" */

/* RFC 3339, UTC, microseconds; never past the year 9999. */
void doc_time_text(uint64_t wall_us, char out[DOC_TIME_MAX]);

/* Values; new references, NULL: out of memory. */
json_t *doc_number(uint64_t v);       /* above 2^63 - 1: that */
json_t *doc_gauge(uint64_t v);        /* a sum read while it moves: below zero is 0 */
json_t *doc_real(double v);           /* not finite or negative: 0 */
json_t *doc_seconds(uint64_t us);
json_t *doc_time(uint64_t wall_us);   /* RFC 3339 */
/* Foreign text; octets that are no UTF-8 become \xNN, as in the log. NULL and "": null. */
json_t *doc_text(const char *s);

#endif
