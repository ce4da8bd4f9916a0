/* SPDX-License-Identifier: MIT */
/* poller - edge-triggered readiness for many sockets, hung into a libuv loop as one handle.
 * Loop thread only.
 *
 * Why not one uv_poll_t per socket: in libuv 1.44 it costs five epoll_ctl and an ioctl per
 * socket's life and two more for each change of interest, and being level-triggered it never
 * sees the edge at which an MPTCP connection accepted by TCP Fast Open becomes writable for
 * real (docs/architecture.md, "Poller"). Here a socket costs one epoll_ctl, for everything, for
 * life.
 *
 * Happy path: poller_add(), then `ready` runs once per edge with the EPOLL* bits seen; the
 * owner does I/O until EAGAIN (or a short count) and keeps its own "may read / may write"
 * flags. An owner that stops early because of its budget calls poller_again() and runs once
 * more in the next turn, after everybody else had theirs. Failure path: poller_add() returns an
 * error and nothing is registered. poller_remove() forgets a watch at once: `ready` never runs
 * after it, not even for an edge already fetched. The caller closes the fd; that takes it out
 * of the kernel's set. */
#ifndef SERVER_POLLER_H
#define SERVER_POLLER_H
#include "base/check.h"
#include "base/list.h"
#include <stdbool.h>
#include <stdint.h>
#include <sys/epoll.h>
#include <uv.h>

struct watch;
/* `events` are EPOLL* bits; 0 when the run was asked for by poller_again(). May remove any
 * watch, its own included. */
typedef void poller_ready_fn(struct watch *w, uint32_t events);

struct watch {
    poller_ready_fn *ready;
    int fd;            /* -1: not registered */
    struct list again; /* in poller.again while a further run is due */
};

struct poller_slot {
    struct watch *watch;
    uint32_t generation; /* an edge fetched for an earlier owner of this fd number is dropped */
};

struct poller {
    int epfd;
    uv_poll_t handle; /* on epfd */
    uv_idle_t spin;   /* active while `again` holds something: the loop must not block */
    struct list again;
    struct poller_slot *slots; /* by fd */
    size_t slot_count;
    unsigned open; /* handles not yet closed */
};

/* 0 or -errno / UV_E*; nothing is left behind on failure except handles that poller_close()
 * need not be called for. */
int poller_init(struct poller *p, uv_loop_t *loop) MUST_CHECK;
/* Every watch must have been removed. The handles close in the next turns of the loop; then
 * poller_done() frees the rest. */
void poller_close(struct poller *p);
void poller_done(struct poller *p);

/* Registers `fd` for EPOLLIN, OUT, RDHUP, ET (and, always, ERR and HUP). 0 or -errno. */
int poller_add(struct poller *p, struct watch *w, int fd, poller_ready_fn *ready) MUST_CHECK;
/* The same, level-triggered and for EPOLLIN only: listening sockets. */
int poller_add_listener(struct poller *p, struct watch *w, int fd,
                        poller_ready_fn *ready) MUST_CHECK;
/* Level-triggered sockets only: stop and go on reporting. */
void poller_pause(struct poller *p, struct watch *w, bool paused);
/* Hands the registration of `from` over to `to` (uninitialised) without a system call. No edge
 * is lost or repeated. */
void poller_move(struct poller *p, struct watch *from, struct watch *to,
                 poller_ready_fn *ready);
void poller_remove(struct poller *p, struct watch *w); /* harmless when not registered */
void poller_again(struct poller *p, struct watch *w);  /* idempotent */

#endif
