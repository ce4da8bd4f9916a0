/* SPDX-License-Identifier: MIT */
/* poller - edge-triggered readiness for many sockets, and the loop that waits for them and for
 * libuv at once. Loop thread only.
 *
 * Why not one uv_poll_t per socket: in libuv 1.44 it costs five epoll_ctl and an ioctl per
 * socket's life and two more for each change of interest, and being level-triggered it never
 * sees the edge at which an MPTCP connection accepted by TCP Fast Open becomes writable for
 * real (docs/architecture.md, "Poller"). Here a socket costs one epoll_ctl, for everything, for
 * life. The poller's own epoll set is what the thread sleeps in; libuv's backend fd is one
 * member of it, and uv_run() is called only when libuv has something to do. All of libuv
 * (timers, async, thread pool, DNS sockets) works as ever.
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
    uv_loop_t *loop; /* borrowed */
    int epfd;
    struct list again;
    struct poller_slot *slots; /* by fd */
    size_t slot_count;
    void (*after)(void *arg); /* runs at the end of every turn; may be NULL. The place to free
                                 what callbacks still used */
    void *arg;
};

/* 0 or -errno; nothing is left behind on failure. `loop` outlives the poller. */
int poller_init(struct poller *p, uv_loop_t *loop, void (*after)(void *arg),
                void *arg) MUST_CHECK;
/* Every watch must have been removed. */
void poller_done(struct poller *p);

/* To be used in place of uv_run(), with its modes: UV_RUN_DEFAULT runs until libuv has no
 * active handle or request left (watches do not count), ONCE waits for and does one turn,
 * NOWAIT does one turn without waiting. */
void poller_run(struct poller *p, uv_run_mode mode);

/* Registers `fd` for EPOLLIN, PRI, OUT, RDHUP, ET (and, always, ERR and HUP). 0 or -errno. */
int poller_add(struct poller *p, struct watch *w, int fd, poller_ready_fn *ready) MUST_CHECK;
/* The same, level-triggered and for EPOLLIN only: listening sockets. */
int poller_add_listener(struct poller *p, struct watch *w, int fd,
                        poller_ready_fn *ready) MUST_CHECK;
/* Listeners only: stop and go on reporting. */
void poller_pause(struct poller *p, struct watch *w, bool paused);
/* Connections only: no more edges for what arrives (resets, the peer's FIN and room to write
 * still raise them), or again; then one comes at once if something is there to read. */
void poller_mute(struct poller *p, struct watch *w, bool muted);
/* Hands the registration of `from` over to `to` (uninitialised) without a system call. No edge
 * is lost or repeated. */
void poller_move(struct poller *p, struct watch *from, struct watch *to,
                 poller_ready_fn *ready);
void poller_remove(struct poller *p, struct watch *w); /* harmless when not registered */
void poller_again(struct poller *p, struct watch *w);  /* idempotent */

#endif
