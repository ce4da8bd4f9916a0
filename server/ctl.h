/* SPDX-License-Identifier: MIT */
/* ctl - `mpconvertd --ctl`, which `mpconvert ctl` becomes: one command to a running daemon by
 * its control socket, the answer as text for people or as JSON. A program of its own: one
 * thread, blocking. */
#ifndef SERVER_CTL_H
#define SERVER_CTL_H
#include <jansson.h>
#include <stdbool.h>
#include <stdio.h>

enum {
    CTL_EXIT_NO = 1,     /* the daemon says no, and why */
    CTL_EXIT_USAGE = 2,  /* wrong command line */
    CTL_EXIT_NOBODY = 3, /* no daemon answers at the socket */
    CTL_ANSWER_MAX = 16 << 20,
};

/* argv[0] is "--ctl". Returns the exit status. */
int ctl_main(int argc, char **argv);

/* ctl_show.c: the answer to `command` for people. False: could not be written. */
bool ctl_show(FILE *to, const char *command, json_t *result);

#endif
