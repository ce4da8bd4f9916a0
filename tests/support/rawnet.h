/* SPDX-License-Identifier: MIT */
/* rawnet - loopback sockets of a test's own clients and servers. By syscall(2), so that a fault
 * set for the code under test does not hit them, nor count them. All are non-blocking; what
 * cannot fail on a working machine aborts the test. */
#ifndef SUPPORT_RAWNET_H
#define SUPPORT_RAWNET_H
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <sys/types.h>

/* Listens on every address; *port 0: a free one, which is told. */
int rawnet_listen(uint16_t *port, bool mptcp);
/* Its queue is full, with *filler in it: who connects now waits. */
int rawnet_listen_full(uint16_t *port, int *filler);
int rawnet_accept(int listener);                  /* -1: nobody waits */
int rawnet_connect(uint16_t port, bool mptcp);    /* to 127.0.0.1; connected when it returns */
int rawnet_connecting(uint16_t port, bool mptcp); /* does not wait */
/* The first octets ride in the SYN (TCP Fast Open, no cookie). */
int rawnet_connect_with(uint16_t port, bool mptcp, const void *data, size_t len);
/* Octets, 0 (recv: end of stream), or -errno. */
ssize_t rawnet_send(int fd, const void *data, size_t len);
ssize_t rawnet_recv(int fd, void *buf, size_t len);
void rawnet_send_all(int fd, const void *data, size_t len); /* it must fit */
void rawnet_buffers(int fd, int bytes);                     /* SO_SNDBUF and SO_RCVBUF */
void rawnet_shutdown(int fd);                               /* our direction */
void rawnet_reset(int fd);                                  /* RST, and closed */
void rawnet_close(int fd);

unsigned rawnet_fds(void); /* open in this process */
/* An own network namespace for this process and its children, with loopback up, 192.0.2.7 on it
 * (RAWNET_OWN, because the converting dialects never dial loopback) and Fast Open on for
 * servers. False: not permitted here. One thread only; call it first in main(). */
bool rawnet_own_namespace(void);
#define RAWNET_OWN "192.0.2.7"

#endif
