/* SPDX-License-Identifier: MIT */
/* report - what the launcher prints: the counters of a run, the results of a probe. */
#ifndef CLIENT_REPORT_H
#define CLIENT_REPORT_H
#include "probe.h"
#include "shared.h"
#include "wire/addr.h"
#include <stdbool.h>
#include <stdio.h>

/* A table of the counters that are not zero, and the mean time of a connect. */
void report_stats(const struct shared *s, FILE *to);

struct report_probe { /* one line of a probe */
    struct addr proxy;
    enum protocol dialect;
    struct probe_result result;
};
void report_probes(const struct report_probe *rows, size_t count, bool json, FILE *to);
const char *report_verdict(enum probe_verdict v); /* "works", "unreached", ... */

#endif
