/* SPDX-License-Identifier: MIT */
#include "poller.h"
#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

enum {
    EVENTS_PER_TURN = 256,
    SLOTS_MIN = 64,
    CONNECTED_EVENTS = EPOLLIN | EPOLLPRI | EPOLLOUT | EPOLLRDHUP,
};

/* The key of libuv's own set; no watch has it, because generations begin with 1. */
static const uint64_t uv_key = 0;

int poller_init(struct poller *p, uv_loop_t *loop, void (*after)(void *arg), void *arg)
{
    struct epoll_event ev = {.events = EPOLLIN, .data.u64 = uv_key};

    *p = (struct poller){.loop = loop, .after = after, .arg = arg};
    list_init(&p->again);
    p->epfd = epoll_create1(EPOLL_CLOEXEC);
    if (p->epfd < 0)
        return -errno;
    if (epoll_ctl(p->epfd, EPOLL_CTL_ADD, uv_backend_fd(loop), &ev) != 0) {
        int rc = -errno;
        (void)close(p->epfd);
        p->epfd = -1;
        return rc;
    }
    return 0;
}

void poller_done(struct poller *p)
{
    ASSERT(list_empty(&p->again));
    for (size_t i = 0; i < p->slot_count; i++)
        ASSERT(p->slots[i].watch == NULL);
    (void)close(p->epfd); /* nothing was written to it */
    free(p->slots);
    p->epfd = -1;
    p->slots = NULL;
    p->slot_count = 0;
}

static void run_again(struct poller *p)
{
    struct list due;

    list_init(&due);
    list_splice(&due, &p->again);
    while (!list_empty(&due)) {
        struct watch *w = CONTAINER_OF(due.next, struct watch, again);
        list_remove(&w->again);
        w->ready(w, 0);
    }
}

/* uv_backend_timeout() is 0 when a timer is due, a handle is closing or a watcher of libuv is
 * not yet in its set: uv_run() it is then, and otherwise only when its set has an event. */
static void turn(struct poller *p, bool wait)
{
    struct epoll_event ev[EVENTS_PER_TURN];
    int timeout = uv_backend_timeout(p->loop);
    bool uv_due = timeout == 0;

    if (!wait || !list_empty(&p->again))
        timeout = 0;
    int n = epoll_wait(p->epfd, ev, EVENTS_PER_TURN, timeout);
    uv_update_time(p->loop);
    run_again(p);
    for (int i = 0; i < n; i++) {
        uint64_t key = ev[i].data.u64;
        if (key == uv_key) {
            uv_due = true;
            continue;
        }
        const struct poller_slot *slot = &p->slots[(uint32_t)key];
        if (slot->watch != NULL && slot->generation == (uint32_t)(key >> 32))
            slot->watch->ready(slot->watch, ev[i].events);
    }
    if (uv_due || uv_backend_timeout(p->loop) == 0)
        (void)uv_run(p->loop, UV_RUN_NOWAIT);
    if (p->after != NULL)
        p->after(p->arg);
}

void poller_run(struct poller *p, uv_run_mode mode)
{
    do
        turn(p, mode != UV_RUN_NOWAIT);
    while (mode == UV_RUN_DEFAULT && uv_loop_alive(p->loop) != 0);
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
    uint32_t generation = slot->generation + 1 == 0 ? 1 : slot->generation + 1;
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

static void change(struct poller *p, struct watch *w, uint32_t events)
{
    const struct poller_slot *slot = &p->slots[w->fd];
    struct epoll_event ev = {.events = events,
                             .data.u64 = (uint64_t)slot->generation << 32 | (uint32_t)w->fd};
    (void)epoll_ctl(p->epfd, EPOLL_CTL_MOD, w->fd, &ev); /* a registered fd: cannot fail */
}

void poller_pause(struct poller *p, struct watch *w, bool paused)
{
    change(p, w, paused ? 0 : EPOLLIN);
}

void poller_mute(struct poller *p, struct watch *w, bool muted)
{
    change(p, w, (muted ? CONNECTED_EVENTS & ~(uint32_t)EPOLLIN : CONNECTED_EVENTS) | EPOLLET);
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
}
