/* SPDX-License-Identifier: MIT */
/* native - connections that bring Multipath TCP of their own and pass us by (deployment I6).
 * The firewall's rules let them pass and count them in named counters; here these are read for
 * the statistics. Main thread. No uv.h. */
#ifndef SERVER_NATIVE_H
#define SERVER_NATIVE_H
#include "base/conffile.h"
#include "base/log.h"
#include <stdbool.h>
#include <stdint.h>

enum { NATIVE_COUNTERS_MAX = 16, NATIVE_NAME_MAX = 4 + 2 * 64 + 1 };

/* One counter as it was last read. */
struct native_counter {
    char name[NATIVE_NAME_MAX + 1]; /* as configured: "inet TABLE COUNTER" */
    bool known;                     /* else there is none, or it cannot be read */
    uint64_t connections;           /* SYNs it has counted, repeated ones included */
    int error;                      /* of the last reading; told once */
};

struct native;

struct native *native_new(struct log *log) MUST_CHECK; /* NULL: out of memory */
void native_free(struct native *n);                    /* NULL is fine */
/* *count counters, in the order of `names`; valid until the next call. Asks the kernel once a
 * second at most, one short question for each. What cannot be read is logged once, and again
 * when it comes back. `n` NULL: none. */
const struct native_counter *native_look(struct native *n, const struct conf_strings *names,
                                         uint64_t now_ms, size_t *count);

#endif
