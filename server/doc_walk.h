/* SPDX-License-Identifier: MIT */
/* doc_walk - the figures of a document, one by one, in its order. Any thread, no I/O. No uv.h.
 */
#ifndef SERVER_DOC_WALK_H
#define SERVER_DOC_WALK_H
#include <jansson.h>

/* `path`: "sessions.current", "listeners[0].name". `value`: no object and no array, unless it
 * lies deeper than DOC_WALK_DEPTH; borrowed. */
typedef void doc_walk_fn(void *arg, const char *path, const json_t *value);

enum { DOC_WALK_DEPTH = 8, DOC_WALK_PATH_MAX = 160 };

void doc_walk(json_t *doc, doc_walk_fn *each, void *arg);

#endif
