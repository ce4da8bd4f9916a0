/* SPDX-License-Identifier: MIT */
/* via_json - what is known of each configured concentrator, for /v1/stats (docs/stats.md). At
 * most VIA_CONCENTRATORS_MAX entries; nothing secret. Any thread. No
 * uv.h. */
#ifndef SERVER_VIA_JSON_H
#define SERVER_VIA_JSON_H
#include "doc.h"
#include "via_shared.h"

/* Members of "via". `now_ms`: the clock of the loops. */
void via_json(struct doc *d, const struct via_options *o, struct via_shared *s, uint64_t now_ms);

#endif
