/* SPDX-License-Identifier: MIT */
/* pending - the connects under way of this process: a lock-free pool of records. No allocation
 * but mapped memory that is kept; any thread, signal handlers included. */
#ifndef CLIENT_PENDING_H
#define CLIENT_PENDING_H
#include "placeholder.h"
#include "reach.h"
#include <stdatomic.h>

enum { PENDING_MAX = 32768 };

enum pending_stage {
    PENDING_NEW,     /* nothing was asked yet */
    PENDING_ADOPTED, /* a blocking connect() asked, the helper has not looked yet */
    PENDING_ASKS,    /* `reach` is under way */
    PENDING_DIALS,   /* `direct` is: the target itself, without a concentrator */
};

struct pending {
    _Atomic uint32_t refs;   /* one of the helper thread, one of each waiter */
    _Atomic uint32_t done;   /* futex word; the verdict is there */
    _Atomic uint64_t cookie; /* of the placeholder */
    int verdict;             /* 0 or -errno */
    int fd;                  /* where the placeholder is */
    int model;               /* the program's own socket, or one like it; -1: none yet */
    int direct;
    enum pending_stage stage;
    uint64_t model_cookie, socket_cookie; /* the latter of what the stage waits for */
    struct placeholder was;
    struct plan plan;
    struct reach reach;
    struct pending *next; /* the helper's inbox */
    unsigned index;       /* private */
};

struct pending *pending_take(void); /* one reference; NULL: no memory, or too many */
/* A further reference to the one whose placeholder has `cookie`; NULL: there is none. */
struct pending *pending_find(uint64_t cookie);
void pending_release(struct pending *p);
/* Those in use, one after the other: NULL first, NULL at the end. In the child of fork(). */
struct pending *pending_next(const struct pending *p);

#endif
