/* SPDX-License-Identifier: MIT */
/* vectors - reads the golden messages in tests/vectors/<family>.hex. A file that cannot be read
 * or parsed fails the test at once, with file and line. The folder is the compile-time macro
 * VECTORS_DIR. */
#ifndef SUPPORT_VECTORS_H
#define SUPPORT_VECTORS_H
#include "wire/decode.h"

enum {
    VECTOR_OCTETS_MAX = 256,
    VECTORS_MAX = 64,
};

struct vector {
    char id[8];     /* "MC07" */
    char title[64]; /* "v4+port+data" */
    uint8_t octets[VECTOR_OCTETS_MAX];
    size_t len;     /* octets; equals the file's `size` */
    size_t message; /* octets of the first message; what follows is data or the next message */
    unsigned field; /* MP_CONVERT `length`, Convert `total`; 0: not given */
    bool rejected;  /* must be BAD for this reason: */
    enum reject why;
};

struct vectors {
    struct vector v[VECTORS_MAX];
    size_t count; /* at least 1 */
};

/* `file` is a name inside the folder: "convert.hex". */
void vectors_load(const char *file, struct vectors *out);

/* Fails the test when there is no such vector. */
const struct vector *vectors_find(const struct vectors *all, const char *id);

struct span vector_span(const struct vector *v);

#endif
