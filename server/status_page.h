/* SPDX-License-Identifier: MIT */
/* status_page - the page for people: server/page/status.html with the figures of /v1/stats in
 * it as a table, for browsers without JavaScript; with it the page asks for them itself. No
 * request goes anywhere else. Main thread. No uv.h. */
#ifndef SERVER_STATUS_PAGE_H
#define SERVER_STATUS_PAGE_H
#include "stats_json.h"

enum { STATUS_PAGE_POLICY_MAX = 256 };

/* HTML from malloc, the caller's, *len octets; NULL: out of memory. */
char *status_page(const struct stats_snapshot *s, const struct server_view *v,
                  size_t *len) MUST_CHECK;
/* Its Content-Security-Policy: no script and no style but the page's own, by their hashes.
 * False: out of memory. */
bool status_page_policy(char out[STATUS_PAGE_POLICY_MAX]) MUST_CHECK;

#endif
