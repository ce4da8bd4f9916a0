/* SPDX-License-Identifier: MIT */
#include "fault.h"
#include <errno.h>
#include <stdatomic.h>
#include <stddef.h>

/* Atomic, because code under test may have threads; then which of them meets the fault is
 * chance. */
static atomic_uint countdown, allocations;
static atomic_bool hit;
static _Thread_local unsigned ours; /* depth of libcheck's own allocations */

void fault_after(unsigned n)
{
    countdown = n;
    allocations = 0;
    hit = false;
}

bool fault_hit(void)
{
    return hit;
}

void fault_reset(void)
{
    fault_after(0);
}

unsigned fault_allocations(void)
{
    return allocations;
}

static bool fails(void)
{
    if (ours > 0)
        return false;
    atomic_fetch_add(&allocations, 1);
    unsigned left = atomic_load(&countdown);
    while (left > 0 && !atomic_compare_exchange_weak(&countdown, &left, left - 1))
        ;
    if (left != 1)
        return false;
    hit = true;
    errno = ENOMEM;
    return true;
}

/* The names are the linker's: --wrap=malloc calls __wrap_malloc for malloc, and malloc for
 * __real_malloc. */
#define WRAP(name, failure, params, args)                \
    void *__real_##name params;                          \
    void *__wrap_##name params;                          \
    void *__wrap_##name params                           \
    {                                                    \
        return fails() ? (failure) : __real_##name args; \
    }
#define NOTHING ((void *)0)

WRAP(malloc, NOTHING, (size_t n), (n))
WRAP(calloc, NOTHING, (size_t count, size_t n), (count, n))
WRAP(realloc, NOTHING, (void *p, size_t n), (p, n))
WRAP(reallocarray, NOTHING, (void *p, size_t count, size_t n), (p, count, n))
WRAP(aligned_alloc, NOTHING, (size_t alignment, size_t n), (alignment, n))
WRAP(strdup, NOTHING, (const char *s), (s))
WRAP(strndup, NOTHING, (const char *s, size_t n), (s, n))
/* Its node comes from a malloc inside libc. */
WRAP(tsearch, NOTHING,
     (const void *key, void **root, int (*compare)(const void *, const void *)),
     (key, root, compare))

int __real_posix_memalign(void **out, size_t alignment, size_t n);
int __wrap_posix_memalign(void **out, size_t alignment, size_t n);
int __wrap_posix_memalign(void **out, size_t alignment, size_t n)
{
    return fails() ? ENOMEM : __real_posix_memalign(out, alignment, n);
}

/* libcheck's allocators (absent where it is a shared library: then nothing calls these). */
#define WRAP_CHECK(name, params, args)                \
    __attribute__((weak)) void *__real_##name params; \
    void *__wrap_##name params;                       \
    void *__wrap_##name params                        \
    {                                                 \
        ours++;                                       \
        void *fresh = __real_##name args;             \
        ours--;                                       \
        return fresh;                                 \
    }

WRAP_CHECK(emalloc, (size_t n), (n))
WRAP_CHECK(erealloc, (void *p, size_t n), (p, n))

/* What every assertion that holds calls. */
__attribute__((weak)) void __real__mark_point(const char *file, int line);
void __wrap__mark_point(const char *file, int line);
void __wrap__mark_point(const char *file, int line)
{
    ours++;
    __real__mark_point(file, line);
    ours--;
}
