/* SPDX-License-Identifier: MIT */
/* cli_daemon - subcommands that the daemon's program carries out: `mpconvert doctor`, its checks
 * of the machine it is to run on, and `mpconvert ctl`, which speaks to one that runs. */
#ifndef CLIENT_CLI_DAEMON_H
#define CLIENT_CLI_DAEMON_H

/* Becomes `mpconvertd` with `what` ("--doctor") and `options` (NULL-terminated): the mpconvertd beside this
 * program, in the sbin beside its folder, or in PATH. Returns an exit status, with a message on
 * standard error, only when there is none or it cannot be run. */
int cli_daemon(const char *what, char *const *options);

#endif
