/* SPDX-License-Identifier: MIT */
/* epolls - in which epoll instances a descriptor number may be registered, and with what.
 * Behind install.h only. Any thread; no allocation, no errno.
 *
 * What was noted is a hint of where to look and may be stale; /proc tells what is. A number
 * that was never noted costs no look at /proc, however many descriptors an instance watches. */
#ifndef CLIENT_EPOLLS_H
#define CLIENT_EPOLLS_H
#include <stdbool.h>
#include <stdint.h>
#include <sys/epoll.h>

enum {
    EPOLLS_FOUND_MAX = 64,   /* instances one descriptor may be moved in */
    EPOLLS_KNOWN_MAX = 63,   /* instances told apart; with more, all of the process are read */
    EPOLLS_FDS_MAX = 1 << 16 /* descriptors told apart; those above share one note */
};

struct epolls_found {
    unsigned count;
    struct {
        int ep;
        struct epoll_event event; /* as EPOLL_CTL_ADD takes it */
    } entry[EPOLLS_FOUND_MAX];
};

void epolls_saw(int ep, int fd);     /* may be registered there from now on */
void epolls_saw_del(int ep, int fd); /* is about to be taken out */
void epolls_saw_close(int fd);       /* the number is about to be closed */
void epolls_forked(void);            /* in the child of fork(): its notes are its own */
void epolls_saw_io_uring(void);      /* from now on every instance is read */

/* False: `fd` is registered nowhere. Looks for io_uring instances now and then. */
bool epolls_may(int fd);
/* Adds to `out` the registrations of number `fd` whose file has `inode`. 0 or -errno: /proc
 * cannot be read (`out` is then incomplete), or -ENOBUFS: more than fit. */
int epolls_find(int fd, uint64_t inode, struct epolls_found *out);

#endif
