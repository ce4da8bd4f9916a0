/* SPDX-License-Identifier: MIT */
/* check - assertions for our own bugs (never for input), on in every build; container lookup; small constants. */
#ifndef BASE_CHECK_H
#define BASE_CHECK_H
#include <stddef.h>
#include <stdio.h>
#include <stdlib.h>

#define ASSERT(cond)                                                                           \
    do {                                                                                       \
        if (!(cond)) {                                                                         \
            (void)fprintf(stderr, "%s:%d: assertion failed: %s\n", __FILE__, __LINE__, #cond); \
            abort();                                                                           \
        }                                                                                      \
    } while (0)

#define CONTAINER_OF(ptr, type, member) ((type *)(void *)((char *)(ptr)-offsetof(type, member)))
#define ARRAY_LEN(a) (sizeof(a) / sizeof((a)[0]))
#define MUST_CHECK __attribute__((warn_unused_result))

#endif
