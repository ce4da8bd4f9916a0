/* SPDX-License-Identifier: MIT */
/* via_path - is there a concentrator on the path (implicit mode, draft -10 s4 and docs/
 * protocol.md, "No target address")? The path is the same for all targets of a family, but not
 * every target may be taken, so both are remembered. Shared by all workers; any thread;
 * lock-free. No I/O, no clock, no uv.h.
 *
 * Nothing is known at first: one connection at a time asks. An echo proves the path, and all
 * ask. Two servers in a row that did not echo before one did, three after: there is none, until
 * `relearn_ms` is over. A server that did not echo is not asked for so long. */
#ifndef SERVER_VIA_PATH_H
#define SERVER_VIA_PATH_H
#include "via_memory.h"

enum {
    VIA_PATH_TRIAL_MS = 5000, /* the most that one connection keeps others from asking */
    VIA_PATH_UNPROVEN_MAX = 2,
    VIA_PATH_PROVEN_MAX = 3,
};

struct via_path { /* zeroed: nothing is known */
    struct via_path_family {
        _Atomic bool proven;
        _Atomic uint32_t misses;
        _Atomic uint64_t absent_until_ms, trial_until_ms;
    } family[2];
    struct via_memory servers;
};

enum via_path_use {
    VIA_PATH_NOT,   /* dial without */
    VIA_PATH_TRIAL, /* ask; via_path_taken() or _absent() or _undecided() must follow */
    VIA_PATH_PROVEN,
};
enum via_path_use via_path_use(struct via_path *p, const struct addr *target, uint64_t now_ms);
void via_path_taken(struct via_path *p, const struct addr *target);
void via_path_absent(struct via_path *p, const struct addr *target, uint32_t relearn_ms,
                     uint64_t now_ms);
void via_path_undecided(struct via_path *p, const struct addr *target);
void via_path_flush(struct via_path *p);
bool via_path_is_proven(struct via_path *p, enum addr_family family);

#endif
