/* SPDX-License-Identifier: MIT */
/* supervisor_call - one notification, from its receipt to its answer, on a thread of the
 * supervisor's that has a descriptor table to itself. Internal to the supervisor. */
#ifndef CLIENT_SUPERVISOR_CALL_H
#define CLIENT_SUPERVISOR_CALL_H
#include "filter.h"
#include "inplace_watch.h"
#include "reach.h"
#include "tracee.h"
#include <linux/seccomp.h>
#include <pthread.h>

enum { SUPERVISOR_THREADS_MAX = 64 };

/* Calls that a signal handler interrupted, and that the program may make again: one place for
 * each thread. The thread that began goes on with what it has; whoever receives the call made
 * again leaves the notification here for it. */
struct supervisor_parking {
    pthread_mutex_t lock;
    struct {
        uint64_t cookie; /* of the program's socket; 0: free */
        bool taken;      /* then these are the new notification's: */
        uint64_t id, arg[6];
        enum filter_call kind;
        bool narrow;
        pid_t tid;
        int fd; /* the program's number */
        struct addr peer;
    } place[SUPERVISOR_THREADS_MAX];
};

struct supervisor_desk {
    const struct reach_env *env;
    struct supervisor_parking *parking;
    struct inplace_watch *watch;
    unsigned number;          /* the thread's place */
    int listener, stop, done; /* in the thread's own descriptor table; numbers may change */
};

/* What a system call is to return: a value, -errno, or one of these. */
enum {
    SUPERVISOR_RESTART = -512,        /* ERESTARTSYS: run the handler, then perhaps once more */
    SUPERVISOR_RESTART_ALWAYS = -513, /* ERESTARTNOINTR: the call is made again in any case */
};
#define SUPERVISOR_PASS INT64_MIN       /* the kernel is to carry the call out */
#define SUPERVISOR_GONE (INT64_MIN + 1) /* nobody waits any more, or another thread answers */

struct supervisor_call {
    struct supervisor_desk *desk;
    uint64_t id;
    struct tracee who;
    struct tracee_epolls epolls; /* of `who`, while it has not run */
    enum filter_call kind;
    bool narrow;
    uint64_t arg[6];
    int fd;     /* the program's number */
    int socket; /* ours for it, or -1 */
    struct sockaddr_storage peer;
    socklen_t peer_len;
};

/* Serves it to the end. */
void supervisor_serve(struct supervisor_desk *d, const struct seccomp_notif *n);
/* Whether the call still waits. */
bool supervisor_waits(const struct supervisor_call *c);

/* supervisor_park.c: the call is answered, its thread waits for it to be made again. */
void supervisor_park(const struct supervisor_call *c, uint64_t cookie);
/* Gives up the place; true when a call was left there: *c is that call from now on. */
bool supervisor_unpark(struct supervisor_call *c, bool only_if_taken);
/* The same call made again: true when it was left to the thread that began it. */
bool supervisor_resume(const struct supervisor_call *c, uint64_t cookie);

/* supervisor_place.c: puts `with` at the program's descriptor: number, FD_CLOEXEC, epoll
 * registrations. Its truth becomes `state`: CONNECTED or KERNEL. 0, -errno or GONE; takes
 * nothing. */
int64_t supervisor_place(struct supervisor_call *c, int with, const struct plan *p,
                         enum truth_state state);

/* supervisor_inplace.c: the call through an exact concentrator (inplace.h); INPLACE_NOT, or its
 * result. */
int64_t supervisor_inplace(struct supervisor_call *c, const struct plan *p);
/* The same on a socket, ours as `fd`, that was connected in this way. */
int64_t supervisor_inplace_again(struct supervisor_call *c, int fd, uint64_t cookie);

/* supervisor_send.c: what rides on a connecting send. */
struct supervisor_payload {
    uint64_t iov, length_at; /* in the program: the array (0: `piece` says all), msg_len or 0 */
    struct {
        uint64_t at, len;
    } piece[64];
    unsigned pieces;
    int flags; /* of the call, without MSG_FASTOPEN */
};
/* Fills peer, peer_len and *out for the three calls; 0 or a result of the call. */
int64_t supervisor_payload(struct supervisor_call *c, struct supervisor_payload *out);
/* Sends it through `fd`, connected; waits when `block`. The call's result. */
int64_t supervisor_send(struct supervisor_call *c, const struct supervisor_payload *p, int fd,
                        bool block);

#endif
