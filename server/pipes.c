/* SPDX-License-Identifier: MIT */
#include "pipes.h"
#include "base/check.h"
#include <fcntl.h>
#include <stdlib.h>
#include <unistd.h>

void pipes_init(struct pipes *p, uint32_t max, struct stats *stats)
{
    *p = (struct pipes){.max = max, .stats = stats};
    list_init(&p->free);
}

static void destroy(struct pipes *p, struct pipe *pipe)
{
    (void)close(pipe->in);
    (void)close(pipe->out);
    free(pipe);
    p->made--;
    stats_sub(p->stats, STAT_PIPES, 1);
}

void pipes_done(struct pipes *p)
{
    for (struct list *at = p->free.next; at != &p->free;) {
        struct pipe *pipe = CONTAINER_OF(at, struct pipe, link);
        at = at->next;
        destroy(p, pipe);
    }
    list_init(&p->free);
    ASSERT(p->made == 0);
}

static struct pipe *make(struct pipes *p)
{
    int fds[2];
    struct pipe *pipe = malloc(sizeof *pipe);

    if (pipe == NULL)
        return NULL;
    if (pipe2(fds, O_NONBLOCK | O_CLOEXEC) != 0)
        goto fail_pipe;
    /* A smaller pipe is worse than copying: give it up (pipe-user-pages-soft). */
    if (fcntl(fds[1], F_SETPIPE_SZ, PIPE_BYTES) < PIPE_BYTES)
        goto fail_size;
    pipe->in = fds[1];
    pipe->out = fds[0];
    list_init(&pipe->link);
    p->made++;
    stats_add(p->stats, STAT_PIPES, 1);
    return pipe;

fail_size:
    (void)close(fds[0]);
    (void)close(fds[1]);
fail_pipe:
    free(pipe);
    return NULL;
}

struct pipe *pipes_borrow(struct pipes *p)
{
    if (!list_empty(&p->free)) {
        /* The most recently used one: its pages are warm. */
        struct pipe *pipe = CONTAINER_OF(p->free.prev, struct pipe, link);
        list_remove(&pipe->link);
        p->free_count--;
        return pipe;
    }
    struct pipe *pipe = p->made < p->max ? make(p) : NULL;
    if (pipe == NULL)
        stats_add(p->stats, STAT_PIPES_EXHAUSTED, 1);
    return pipe;
}

void pipes_return(struct pipes *p, struct pipe *pipe, bool dry)
{
    if (!dry || p->made > p->max) { /* a reload may have lowered the bound */
        destroy(p, pipe);
        return;
    }
    list_append(&p->free, &pipe->link);
    p->free_count++;
}
