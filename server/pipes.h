/* SPDX-License-Identifier: MIT */
/* pipes - a bounded pool of 256 KiB pipes to splice through. Loop thread only; one pool per
 * worker, one budget per process. A pipe is borrowed only while a bulk flow needs it and must
 * come back dry, or be given up. The bound stays below the size at which the kernel shrinks an
 * unprivileged user's pipes (pipe-user-pages-soft). */
#ifndef SERVER_PIPES_H
#define SERVER_PIPES_H
#include "base/list.h"
#include "stats.h"
#include <stdatomic.h>
#include <stdint.h>

enum { PIPE_BYTES = 256 * 1024 };

struct pipe {
    struct list link; /* in the pool while free */
    int in, out;      /* write end, read end */
};
struct pipes {
    struct list free;
    uint32_t free_count, made;
    uint32_t max;        /* this pool's share of the process's bound */
    struct stats *stats; /* borrowed */
};

void pipes_init(struct pipes *p, uint32_t max, struct stats *stats);
void pipes_done(struct pipes *p); /* all borrowed pipes are back */
/* NULL: the bound is reached, or no fds or memory; the caller copies instead. Counted. */
struct pipe *pipes_borrow(struct pipes *p);
/* `dry`: nothing is left in it; else it is closed, so that no octet can reach another session.
 */
void pipes_return(struct pipes *p, struct pipe *pipe, bool dry);

#endif
