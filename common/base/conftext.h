/* SPDX-License-Identifier: MIT */
/* conftext - what makes a configuration error easy to find: the line of a key, and the name
 * that was meant. Part of conffile. Pure functions. */
#ifndef BASE_CONFTEXT_H
#define BASE_CONFTEXT_H
#include <stdbool.h>
#include <stddef.h>

/* The line (from 1) of the key or element `path` ("listeners[1].address") in JSON text that a
 * parser has accepted; of the innermost part of the path that is there; 0 when not even its
 * first part is. An empty path is line 1. */
unsigned conftext_line(const char *text, size_t len, const char *path);

/* Letters to insert, delete or exchange, at most `limit` + 1; case does not count. Names over
 * 63 octets are far from all. */
size_t conftext_distance(const char *a, const char *b, size_t limit);

#endif
