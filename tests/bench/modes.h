/* SPDX-License-Identifier: MIT */
/* modes - what the load generator does with its flows once they stand. */
#ifndef BENCH_MODES_H
#define BENCH_MODES_H
#include "flow.h"

/* Opens all flows, some at a time. False when one failed or the time is up. Not for MODE_RATE.
 */
bool modes_set_up(struct load *l);

/* Runs for l->seconds and fills l's counters; returns the seconds it took, with what it took to
 * drain. */
double modes_run(struct load *l);

#endif
