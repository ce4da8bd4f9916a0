/* SPDX-License-Identifier: MIT */
/* doctor - is this machine fit for this configuration? A table of checks (doctor.c), each of
 * which says what it found and, where that is bad, what to do about it. Beside a running daemon
 * or before its start; it leaves everything as it was. Blocks: main thread, in a process of its
 * own. */
#ifndef SERVER_DOCTOR_H
#define SERVER_DOCTOR_H
#include <stdbool.h>
#include <stdio.h>

/* `path` NULL: the defaults. Prints a line or an object per check. The exit status: 0, or 1
 * when something is bad (or out of memory). */
int doctor_run(const char *path, bool json, FILE *to);

#endif
