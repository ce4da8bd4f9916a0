/* SPDX-License-Identifier: MIT */
/* deadlines - a timing wheel for the one deadline each session has. Loop thread only; time is
 * the caller's, in milliseconds. No uv.h. Setting, moving and cancelling cost a few stores and
 * no allocation; a deadline that is put off is not even moved: it is looked at when its old
 * slot comes up. It expires no earlier than asked and at most DEADLINES_TICK_MS (plus the
 * caller's own lateness) later. */
#ifndef SERVER_DEADLINES_H
#define SERVER_DEADLINES_H
#include "base/list.h"
#include <stdint.h>

enum { DEADLINES_TICK_MS = 50, DEADLINES_SLOTS = 512 };

struct deadline {
    struct list link;
    uint64_t at_ms;   /* when it expires */
    uint64_t look_ms; /* private: when its slot comes up */
};
struct deadlines {
    uint64_t tick; /* private: the next slot to look at, in ticks since 0 */
    struct list slot[DEADLINES_SLOTS];
};
/* May set or cancel any deadline, its own included. `d` is not set any more. */
typedef void deadlines_expired_fn(struct deadline *d);

void deadlines_init(struct deadlines *all, uint64_t now_ms);
void deadline_init(struct deadline *d); /* not set */
void deadline_set(struct deadlines *all, struct deadline *d, uint64_t at_ms);
void deadline_cancel(struct deadline *d); /* harmless when not set */
/* Calls `expired` for each that is due. To be called every DEADLINES_TICK_MS or so. */
void deadlines_expire(struct deadlines *all, uint64_t now_ms, deadlines_expired_fn *expired);

#endif
