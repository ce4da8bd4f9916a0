/* SPDX-License-Identifier: MIT */
/* fault - makes the n-th allocation of the code under test fail. Link fault.c and pass
 * @tests/support/fault.wrap to the compiler when linking (a response file of --wrap options).
 * Allocations made inside shared libraries (libuv, c-ares, jansson) are out of reach, those of
 * libcheck itself never fail and are not counted: ck_assert is safe while a fault is set.
 *
 *     for (unsigned n = 1;; n++) {
 *         fault_after(n);
 *         ... run everything, taking failures as they come, and tear down ...
 *         if (!fault_hit())
 *             break;             // n is more than there are: all have failed once
 *     }
 *     fault_reset();
 *
 * Any thread; each test begins with no fault set, because check forks. */
#ifndef SUPPORT_FAULT_H
#define SUPPORT_FAULT_H
#include <stdbool.h>

void fault_after(unsigned n); /* 1: the next one. 0: none. Forgets an earlier hit. */
bool fault_hit(void);         /* since fault_after() */
void fault_reset(void);
/* Allocations since fault_after(), failed ones included: what something costs. */
unsigned fault_allocations(void);

#endif
