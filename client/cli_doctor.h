/* SPDX-License-Identifier: MIT */
/* cli_doctor - `mpconvert doctor`: the daemon's own checks of the machine it is to run on. */
#ifndef CLIENT_CLI_DOCTOR_H
#define CLIENT_CLI_DOCTOR_H

/* Becomes `mpconvertd --doctor` with `options` (NULL-terminated): the mpconvertd beside this
 * program, in the sbin beside its folder, or in PATH. Returns an exit status, with a message on
 * standard error, only when there is none or it cannot be run. */
int cli_doctor(char *const *options);

#endif
