/* SPDX-License-Identifier: MIT */
/* via_shared - what all workers know together of concentrators, of the path, and of servers
 * that need none. Any thread; lock-free; lives as long as the process. No I/O, no clock, no
 * uv.h. */
#ifndef SERVER_VIA_SHARED_H
#define SERVER_VIA_SHARED_H
#include "via_known.h"
#include "via_path.h"

enum { VIA_NATIVE_MS = 24 * 3600 * 1000 }; /* for how long a server in `native` stays there */

struct via_shared { /* zeroed: nothing is known */
    struct via_health health;
    struct via_path path;
    struct via_memory native; /* servers that a concentrator found to speak MPTCP */
};

/* K5: new addresses, new routes, another list. */
void via_forget(struct via_shared *s);

/* Is this one dialled directly, with MPTCP? *learned: not by configuration, so that a failure
 * is no last word; then via_bypass_failed(). Names never are. */
bool via_bypass(const struct via_options *o, struct via_shared *s, const struct target *t,
                uint64_t now_ms, bool *learned);
/* A concentrator reached `t` with MPTCP. */
void via_bypass_learn(const struct via_options *o, struct via_shared *s, const struct target *t,
                      uint64_t now_ms);
void via_bypass_failed(struct via_shared *s, const struct target *t);

#endif
