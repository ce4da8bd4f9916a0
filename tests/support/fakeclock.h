/* SPDX-License-Identifier: MIT */
/* fakeclock - lets uv_now() jump ahead for the code under test; libuv's own timers do not
 * notice. Link fakeclock.c and pass @tests/support/fakeclock.wrap when linking. */
#ifndef SUPPORT_FAKECLOCK_H
#define SUPPORT_FAKECLOCK_H
#include <stdint.h>

void fakeclock_advance(uint64_t ms);

#endif
