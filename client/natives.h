/* SPDX-License-Identifier: MIT */
/* natives - which targets speak Multipath TCP themselves, so that a connection to them needs no
 * concentrator: as configured, and as learned from a converter's answers (RFC 8803 s5.1). Kept
 * in a mapped file beside that of proxies.h, or in the run's memory. Bounded, lock-free; any
 * thread, any process, signal handlers; no errno. Knowledge is advice: a direct connection that
 * does not become Multipath TCP is given up, and made through a concentrator. */
#ifndef CLIENT_NATIVES_H
#define CLIENT_NATIVES_H
#include "settings.h"
#include "wire/target.h"
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

enum {
    NATIVES_SIZE = 16384,
    NATIVES_PATH_MAX = SETTINGS_NAMES_MAX + 16,
    NATIVES_FELL_BACK_MS = 60 * 60 * 1000, /* it answered, without Multipath TCP */
    NATIVES_FAILED_MS = 10 * 60 * 1000,    /* it did not answer, or refused */
};

enum natives_is { NATIVES_UNKNOWN, NATIVES_NO, NATIVES_YES };

enum natives_way {
    NATIVES_ASK,    /* a concentrator, in whatever way */
    NATIVES_LEARN,  /* a concentrator, in a way that has an answer: it may tell */
    NATIVES_DIRECT, /* the target itself */
};

struct natives; /* the mapping */

/* Where the settings have a use for it: in the file beside `cache`, that of proxies.h; without
 * one (NULL), or where it is not ours or of another kind, in `memory`: NATIVES_SIZE octets,
 * zeroed at first, that others may hold, too. NULL: no use. Never unmapped. */
struct natives *natives_open(const struct settings *s, const char *cache, void *memory);

/* `n` NULL: nothing is known, nothing is kept. `target`: address and port. Times are
 * sys_now_ms()'s. */
enum natives_is natives_look(const struct natives *n, const struct addr *target,
                             uint64_t now_ms);
void natives_learn(struct natives *n, const struct addr *target, enum natives_is is,
                   uint64_t ttl_ms, uint64_t now_ms);
enum natives_way natives_way(const struct natives *n, const struct settings *s,
                             const struct target *target, uint64_t now_ms);

#endif
