/* SPDX-License-Identifier: MIT */
/* embedded - documents of the endpoint that are files of the repository, built in
 * (embed.cmake). Each ends in a NUL that its length does not count. */
#ifndef SERVER_EMBEDDED_H
#define SERVER_EMBEDDED_H
#include <stddef.h>

extern const unsigned char stats_schema[]; /* docs/stats-v1.schema.json */
extern const size_t stats_schema_len;
extern const unsigned char status_html[]; /* server/page/status.html */
extern const size_t status_html_len;

#endif
