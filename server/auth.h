/* SPDX-License-Identifier: MIT */
/* auth - RFC 1929 users: a file of "name:crypt(3) hash" lines, and a cache of verified answers. No uv.h.
 * crypt(3) takes milliseconds by design, so the caller asks the cache first and runs auth_verify() off the loop. */
#ifndef SERVER_AUTH_H
#define SERVER_AUTH_H
#include "base/check.h"
#include "base/conffile.h"
#include "wire/bytes.h"
#include <stdbool.h>
#include <stdint.h>

struct auth_users; /* immutable after loading; any thread */
struct auth_cache; /* one per worker; loop thread only */

enum auth_verdict { AUTH_OK, AUTH_BAD_CREDENTIALS, AUTH_UNKNOWN_USER, AUTH_DISABLED, AUTH_ASK, AUTH_VERDICT_COUNT };
const char *auth_verdict_name(enum auth_verdict v); /* keys of auth.failure_total: "bad_credentials", ... */

/* "name:hash" per line; '#' comments; "name:!hash" or "name:*" is a disabled user. Errors name file and line; a hash whose
 * method crypt(3) does not know is an error, so is a traditional DES one (it could be a password in clear), a user named twice,
 * and a file that other users may write. NULL: *err is filled. */
struct auth_users *auth_users_load(const char *path, struct conf_error *err) MUST_CHECK;
struct auth_users *auth_users_ref(struct auth_users *u);
void auth_users_free(struct auth_users *u); /* drops one reference; NULL is fine */
size_t auth_users_count(const struct auth_users *u);

/* Slow and thread-safe: hashes also for unknown and disabled users (like the file's first hash), so that time does not tell them
 * apart. A password with a NUL, over 255 octets, or that cannot be hashed is wrong. Never AUTH_ASK. */
enum auth_verdict auth_verify(const struct auth_users *u, struct span user, struct span pass);

/* Bounded (least recently used goes first); keyed by HMAC-SHA-256 under a random key, so no password is kept in memory.
 * An answer is good for `ttl_ms` and for the very `users` it was given for. NULL: out of memory or no randomness. */
struct auth_cache *auth_cache_new(size_t entries, uint32_t ttl_ms) MUST_CHECK;
void auth_cache_free(struct auth_cache *c);
/* AUTH_ASK: not known. */
enum auth_verdict auth_cache_find(struct auth_cache *c, const struct auth_users *u, struct span user, struct span pass,
                                  uint64_t now_ms);
void auth_cache_store(struct auth_cache *c, const struct auth_users *u, struct span user, struct span pass,
                      enum auth_verdict v, uint64_t now_ms); /* only AUTH_OK is kept */

#endif
