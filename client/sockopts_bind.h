/* SPDX-License-Identifier: MIT */
/* sockopts_bind - the local address of a program's socket for the one that takes its place.
 * Behind sockopts.h and inplace.h. No allocation, no errno; any thread. */
#ifndef CLIENT_SOCKOPTS_BIND_H
#define CLIENT_SOCKOPTS_BIND_H

/* Binds `to`, of `family`, where `model` is bound. 0: done, or `model` is not bound; 1: only in
 * part: the address without the port, or the port without an address of the other family;
 * -errno: the address cannot be had. SO_REUSEADDR of both is as before. */
int sockopts_bind_like(int model, int to, int family);
/* A new socket that is to be connected with TCP_FASTOPEN_NO_COOKIE set: if it is not bound, it
 * does not count as bound when it is a model later, whatever getsockname() tells then. */
void sockopts_bind_mark(int fd);

#endif
