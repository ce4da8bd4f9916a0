/* SPDX-License-Identifier: MIT */
#include "fakeclock.h"
#include <uv.h>

static uint64_t ahead_ms;

void fakeclock_advance(uint64_t ms)
{
    ahead_ms += ms;
}

uint64_t __real_uv_now(const uv_loop_t *loop);
uint64_t __wrap_uv_now(const uv_loop_t *loop);
uint64_t __wrap_uv_now(const uv_loop_t *loop)
{
    return __real_uv_now(loop) + ahead_ms;
}
