/* SPDX-License-Identifier: MIT */
#include "poller.h"
#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

enum {
    EVENTS_PER_TURN = 256,
    SLOTS_MIN = 64,
    CONNECTED_EVENTS = EPOLLIN | EPOLLOUT | EPOLLRDHUP,
};

static void on_edges(uv_poll_t *handle, int status, int events)
{
    struct poller *p = handle->data;
    struct epoll_event ev[EVENTS_PER_TURN];

    (void)status; /* an error on epfd would be our bug, and epoll_wait() says so below */
    (void)events;
    int n = epoll_wait(p->epfd, ev, EVENTS_PER_TURN, 0);
    for (int i = 0; i < n; i++) {
        uint64_t key = ev[i].data.u64;
        const struct poller_slot *slot = &p->slots[(uint32_t)key];
        if (slot->watch != NULL && slot->generation == (uint32_t)(key >> 32))
            slot->watch->ready(slot->watch, ev[i].events);
    }
}

static void on_spin(uv_idle_t *handle)
{
    struct poller *p = handle->data;
    struct list due;

    list_init(&due);
    list_splice(&due, &p->again);
    while (!list_empty(&due)) {
        struct watch *w = CONTAINER_OF(due.next, struct watch, again);
        list_remove(&w->again);
        w->ready(w, 0);
    }
    if (list_empty(&p->again))
        (void)uv_idle_stop(handle); /* cannot fail */
}

int poller_init(struct poller *p, uv_loop_t *loop)
{
    memset(p, 0, sizeof *p);
    list_init(&p->again);
    p->epfd = epoll_create1(EPOLL_CLOEXEC);
    if (p->epfd < 0)
        return -errno;
    int rc = uv_poll_init(loop, &p->handle, p->epfd);
    if (rc != 0) {
        (void)close(p->epfd);
        p->epfd = -1;
        return rc;
    }
    (void)uv_idle_init(loop, &p->spin); /* cannot fail */
    p->handle.data = p->spin.data = p;
    p->open = 2;
    rc = uv_poll_start(&p->handle, UV_READABLE, on_edges);
    if (rc != 0)
        poller_close(p);
    return rc;
}

static void on_closed(uv_handle_t *handle)
{
    struct poller *p = handle->data;
    if (--p->open == 0) {
        (void)close(p->epfd); /* nothing was written to it */
        p->epfd = -1;
    }
}

void poller_close(struct poller *p)
{
    uv_close((uv_handle_t *)&p->handle, on_closed);
    uv_close((uv_handle_t *)&p->spin, on_closed);
}

void poller_done(struct poller *p)
{
    ASSERT(p->open == 0);
    free(p->slots);
    p->slots = NULL;
    p->slot_count = 0;
}

static int grow(struct poller *p, size_t fd)
{
    size_t count = p->slot_count < SLOTS_MIN ? SLOTS_MIN : p->slot_count;

    while (count <= fd)
        count *= 2; /* fd < RLIMIT_NOFILE: no overflow */
    struct poller_slot *slots = realloc(p->slots, count * sizeof *slots);
    if (slots == NULL)
        return -ENOMEM;
    memset(slots + p->slot_count, 0, (count - p->slot_count) * sizeof *slots);
    p->slots = slots;
    p->slot_count = count;
    return 0;
}

static int add(struct poller *p, struct watch *w, int fd, poller_ready_fn *ready,
               uint32_t events)
{
    ASSERT(fd >= 0);
    if ((size_t)fd >= p->slot_count) {
        int rc = grow(p, (size_t)fd);
        if (rc != 0)
            return rc;
    }
    struct poller_slot *slot = &p->slots[fd];
    ASSERT(slot->watch == NULL);
    uint32_t generation = slot->generation + 1;
    struct epoll_event ev = {.events = events,
                             .data.u64 = (uint64_t)generation << 32 | (uint32_t)fd};
    if (epoll_ctl(p->epfd, EPOLL_CTL_ADD, fd, &ev) != 0)
        return -errno;
    *slot = (struct poller_slot){.watch = w, .generation = generation};
    *w = (struct watch){.ready = ready, .fd = fd};
    list_init(&w->again);
    return 0;
}

int poller_add(struct poller *p, struct watch *w, int fd, poller_ready_fn *ready)
{
    return add(p, w, fd, ready, CONNECTED_EVENTS | EPOLLET);
}

int poller_add_listener(struct poller *p, struct watch *w, int fd, poller_ready_fn *ready)
{
    return add(p, w, fd, ready, EPOLLIN);
}

void poller_pause(struct poller *p, struct watch *w, bool paused)
{
    const struct poller_slot *slot = &p->slots[w->fd];
    struct epoll_event ev = {.events = paused ? 0 : EPOLLIN,
                             .data.u64 = (uint64_t)slot->generation << 32 | (uint32_t)w->fd};
    (void)epoll_ctl(p->epfd, EPOLL_CTL_MOD, w->fd, &ev); /* a registered fd: cannot fail */
}

void poller_move(struct poller *p, struct watch *from, struct watch *to, poller_ready_fn *ready)
{
    bool again = !list_empty(&from->again);

    *to = (struct watch){.ready = ready, .fd = from->fd};
    list_init(&to->again);
    p->slots[to->fd].watch = to;
    if (again) {
        list_remove(&from->again);
        poller_again(p, to);
    }
    from->fd = -1;
}

void poller_remove(struct poller *p, struct watch *w)
{
    if (w->fd < 0)
        return;
    list_remove(&w->again);
    p->slots[w->fd].watch = NULL;
    w->fd = -1;
}

void poller_again(struct poller *p, struct watch *w)
{
    if (!list_empty(&w->again))
        return;
    list_append(&p->again, &w->again);
    (void)uv_idle_start(&p->spin, on_spin); /* a no-op while active; cannot fail */
}
