/* SPDX-License-Identifier: MIT */
/* keeper_fds - the keeper's descriptors: which of them it keeps, and how one goes from the
 * program's side to it. */
#ifndef CLIENT_KEEPER_FDS_H
#define CLIENT_KEEPER_FDS_H
#include <stdbool.h>
#include <stddef.h>

/* Standard input, output and error that are closed become /dev/null, and closed again for the
 * program: no descriptor of ours may have their numbers. Before any is opened. */
void keeper_fds_reserve(void);
/* Closes all descriptors but those of `keep` (-1: none), so that a pipe or a file of the
 * program's is held by the program alone. Standard input and output, and standard error unless
 * `keep_stderr`, become /dev/null. */
void keeper_fds_drop(const int *keep, size_t count, bool keep_stderr);
void keeper_fds_quiet(bool keep_stderr); /* only the latter */

/* Over a SOCK_SEQPACKET pair: a descriptor, or a -errno in its place. */
bool keeper_fds_send(int pair, int fd_or_error);
/* 0 and *fd (close-on-exec), or the -errno; -EPIPE when the other side is gone. */
int keeper_fds_receive(int pair, int *fd);

#endif
