/* SPDX-License-Identifier: MIT */
/* redirect_names - the addresses a program sees of a redirected socket. Behind redirect.h. */
#ifndef CLIENT_REDIRECT_NAMES_H
#define CLIENT_REDIRECT_NAMES_H
#include "shared.h"
#include <sys/socket.h>

/* As getpeername() and getsockname() give them: cut to *len, which becomes the whole length; 0
 * or -EFAULT's like. */
int redirect_name_peer(const struct truth *t, struct sockaddr *out, socklen_t *len);
/* An address of this host in the program's family: the one it would use towards the peer, with
 * the port the kernel's socket has. */
int redirect_name_own(const struct truth *t, const struct sockaddr_storage *real,
                      socklen_t real_len, struct sockaddr *out, socklen_t *len);
/* A socket whose failure was told: unconnected again, as after connect() told it. */
void redirect_reset(int fd);

#endif
