/* SPDX-License-Identifier: MIT */
/* cookie - RFC 8803 s6.2.7 Cookie TLV: static per-subscriber cookies and computed ones. Immutable after loading; any thread.
 * No uv.h. Computed format, 16 octets (docs/protocol.md): key id, 0, epoch (2), first 12 octets of HMAC-SHA-256(key,
 * "mcp-convert-cookie-v1" 00 || those 4 octets || client address as 16 octets). */
#ifndef SERVER_COOKIE_H
#define SERVER_COOKIE_H
#include "base/check.h"
#include "base/conffile.h"
#include "wire/addr.h"
#include "wire/bytes.h"
#include <stdbool.h>
#include <stdint.h>

enum { COOKIE_LEN = 16, COOKIE_EPOCH_SECONDS = 6 * 3600 };
enum cookie_mode { COOKIE_OFF, COOKIE_STATIC, COOKIE_COMPUTED, COOKIE_BOTH };
enum cookie_verdict {
    COOKIE_VALID_STATIC,
    COOKIE_VALID_COMPUTED, /* also proves that the client receives at its address */
    COOKIE_INVALID,
};

struct cookie_keys;

/* static_file: one cookie per line, hex ("hex:a0a1") or text, optionally "name " before it; keys_file: "id hex-key" lines (id
 * 0..255, key 16..64 octets), the first makes, the first two verify. mode COMPUTED without keys_file: one random key.
 * Mode OFF: no cookie is made or valid. Empty lines and '#' comments are skipped. Files that other users may read or write are
 * refused. NULL: *err is filled. */
struct cookie_keys *cookie_keys_load(enum cookie_mode mode, const char *static_file, const char *keys_file, bool bind_prefix64,
                                     struct conf_error *err) MUST_CHECK;
void cookie_keys_free(struct cookie_keys *k); /* wipes; NULL is fine */

bool cookie_computes(const struct cookie_keys *k);
/* Only when cookie_computes(). `wall_s`: seconds since 1970. Out of memory: zeros, which no check accepts. */
void cookie_make(const struct cookie_keys *k, const struct addr *client, uint64_t wall_s, uint8_t out[COOKIE_LEN]);
/* Current and previous epoch, both keys; constant-time compare; zero padding to 4 octets does not count: the wire cannot show
 * it. `name` (may be NULL) gets the subscriber's name of a static cookie, or NULL; it lives as long as `k`. */
enum cookie_verdict cookie_check(const struct cookie_keys *k, const struct addr *client, struct span cookie, uint64_t wall_s,
                                 const char **name);

#endif
