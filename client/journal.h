/* SPDX-License-Identifier: MIT */
/* journal - the shim's log: silent without a file. One write() per line, so that lines of many
 * processes do not mix; no stdio, no allocation, no errno, async-signal-safe. The file is
 * opened for each line (no long-lived fd: programs close what they do not know). */
#ifndef CLIENT_JOURNAL_H
#define CLIENT_JOURNAL_H
#include "wire/addr.h"
#include <stdbool.h>
#include <stddef.h>

/* A line in the making; what does not fit is cut and marked. */
struct journal {
    char text[512];
    size_t len;
    bool cut; /* private: marked with cut=1, nothing more is taken */
};

void journal_begin(struct journal *j, const char *event); /* time, pid, comm, event= */
void journal_text(struct journal *j, const char *key, const char *value); /* escaped */
void journal_number(struct journal *j, const char *key, long value);
void journal_addr(struct journal *j, const char *key, const struct addr *a);
void journal_errno(struct journal *j, const char *key, int error); /* "ECONNREFUSED" */
void journal_end(struct journal *j, const char *path); /* path "": nothing happens */

#endif
