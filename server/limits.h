/* SPDX-License-Identifier: MIT */
/* limits - global and per-source budgets, shared by all workers. Thread-safe; no uv.h. Time is the caller's, in milliseconds of
 * any monotonic clock. The table of sources is bounded: when it is full of live sources, new ones are refused. Its size comes from
 * the first configuration's `sessions`; raising that by reload allows more sessions, not more sources at once.
 * An IPv4 source is one address (v4-mapped counts as IPv4). A limit of 0 allows none. */
#ifndef SERVER_LIMITS_H
#define SERVER_LIMITS_H
#include "base/check.h"
#include "wire/addr.h"
#include "wire/outcome.h"

struct limits;
struct limits_source; /* one client address or prefix; referenced by each of its sessions */

struct limits_config {
    uint32_t sessions, sessions_per_source, connects_per_source, errors_per_second, auth_failures_per_minute;
    uint32_t source_prefix6; /* bits */
};

struct limits *limits_new(const struct limits_config *cfg) MUST_CHECK; /* NULL: out of memory */
void limits_free(struct limits *l); /* no session may be admitted any more; NULL is fine */
void limits_configure(struct limits *l, const struct limits_config *cfg); /* reload; sessions over a new limit stay */

/* OK: *out is to be given back with limits_release. LIMIT_GLOBAL, LIMIT_SOURCE, NO_RESOURCES: nothing is held. */
enum outcome limits_admit(struct limits *l, const struct addr *client, struct limits_source **out) MUST_CHECK;
void limits_release(struct limits *l, struct limits_source *s); /* its connects must have ended */
uint32_t limits_sessions(const struct limits *l); /* admitted now */

/* Connects under way of one source (RFC 8803 s9.3): LIMIT_SOURCE when there are too many. */
enum outcome limits_connect_begin(struct limits *l, struct limits_source *s) MUST_CHECK;
void limits_connect_end(struct limits *l, struct limits_source *s);

bool limits_error_allowed(struct limits *l, struct limits_source *s, uint64_t now_ms); /* RFC 8803 s6.2.5; takes one */
/* Passwords: ask before anything that can say yes, the cache of good answers included, or a throttled source could go on
 * guessing until it hits an entry. Asking takes nothing; each failure is charged, also of sessions allowed side by side. */
bool limits_auth_allowed(struct limits *l, struct limits_source *s, uint64_t now_ms);
void limits_auth_failed(struct limits *l, struct limits_source *s, uint64_t now_ms);
uint32_t limits_throttled(struct limits *l, uint64_t now_ms); /* sources limits_auth_allowed() refuses now */

#endif
