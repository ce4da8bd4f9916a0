/* SPDX-License-Identifier: MIT */
/* The new socket, connecting, is placed at once. On a non-blocking one that is all; for a
 * blocking one the kernel's own wait is done here, since nobody can make another's thread wait
 * in the kernel for a socket it did not name. A signal ends it as it would end that wait: a
 * call that is made again finds its socket connecting, or connected, and goes on. */
#include "inplace.h"
#include "supervisor_call.h"
#include "sys.h"
#include <errno.h>
#include <fcntl.h>
#include <sys/time.h>

enum { TICK_MS = 100 };

/* What became of former ones, where their processes still are. */
static void look_at_former(struct supervisor_call *c)
{
    struct inplace_watch *w = c->desk->watch;
    struct inplace_seen s;

    for (unsigned i = 0; i < INPLACE_WATCHED; i++) {
        struct tracee who;

        if (!inplace_watch_get(w, i, &s) || !inplace_watch_take(w, i, s.cookie) ||
            tracee_open(&who, s.pid) != 0)
            continue;
        int fd = tracee_fd(&who, s.fd);
        if (fd >= 0 && sys_cookie(fd) == s.cookie && inplace_judge(c->desk->env, &s, fd, 0))
            inplace_watch_put(w, i, &s);
        if (fd >= 0)
            (void)sys_close(fd);
        tracee_close(&who);
    }
}

static void told(struct supervisor_call *c, int fd, uint64_t cookie, int error)
{
    struct inplace_watch *w = c->desk->watch;
    struct inplace_seen s;

    for (unsigned i = 0; i < INPLACE_WATCHED; i++)
        if (inplace_watch_get(w, i, &s) && s.cookie == cookie &&
            inplace_watch_take(w, i, cookie)) {
            if (inplace_judge(c->desk->env, &s, fd, error))
                inplace_watch_put(w, i, &s);
            return;
        }
}

/* 0: ready; or what the call returns. `limit_ms`: SO_SNDTIMEO, 0 for none. */
static int64_t wait_for(struct supervisor_call *c, int fd, uint64_t limit_ms, int late)
{
    uint64_t began_ms = sys_now_ms();

    for (;;) {
        struct pollfd p[] = {{.fd = fd, .events = POLLOUT},
                             {.fd = c->who.pidfd, .events = POLLIN},
                             {.fd = c->desk->stop, .events = POLLIN}};
        uint64_t gone = sys_now_ms() - began_ms;
        uint64_t left = limit_ms > gone ? limit_ms - gone : 0;

        if (limit_ms != 0 && left == 0)
            return late;
        int n = sys_poll(p, 3, limit_ms != 0 && left < TICK_MS ? (int)left : TICK_MS);
        if (p[2].revents != 0)
            return -ECONNABORTED;
        if (p[1].revents != 0)
            return SUPERVISOR_GONE;
        if (p[0].revents != 0)
            return 0;
        if (n == 0 && !supervisor_waits(c))
            return SUPERVISOR_GONE;
        if (n == 0 && tracee_signalled(&c->who))
            return limit_ms != 0 ? -EINTR : SUPERVISOR_RESTART; /* signal(7) */
    }
}

static uint64_t send_timeout_ms(int fd)
{
    struct timeval t = {0};
    socklen_t len = sizeof t;

    if (sys_getsockopt(fd, SOL_SOCKET, SO_SNDTIMEO, &t, &len) != 0)
        return 0;
    return (uint64_t)t.tv_sec * 1000 + ((uint64_t)t.tv_usec + 999) / 1000;
}

static int64_t verdict(struct supervisor_call *c, int fd, uint64_t cookie, int late)
{
    bool waits = (sys_fcntl(fd, F_GETFL, 0) & O_NONBLOCK) == 0;
    int64_t rc = waits ? wait_for(c, fd, send_timeout_ms(fd), late) : 0;

    if (rc != 0)
        return rc;
    rc = inplace_ask(fd); /* does not wait any more */
    if (rc == -EALREADY || rc == -EISCONN || rc == -EINTR || rc == -EINPROGRESS)
        return rc;
    if (rc == -EAFNOSUPPORT) {
        for (unsigned i = 0; i < INPLACE_WATCHED; i++)
            (void)inplace_watch_take(c->desk->watch, i, cookie);
        truth_forget(c->desk->env->shared, cookie);
        return INPLACE_NOT;
    }
    told(c, fd, cookie, (int)-rc);
    if (rc != 0)
        truth_forget(c->desk->env->shared, cookie);
    return rc;
}

/* The send that came with it, on a connection that stands. */
static int64_t send_too(struct supervisor_call *c, int fd)
{
    struct supervisor_payload payload;
    int64_t rc = supervisor_payload(c, &payload);

    return rc != 0 ? rc
                   : supervisor_send(c, &payload, fd,
                                     (sys_fcntl(fd, F_GETFL, 0) & O_NONBLOCK) == 0);
}

int64_t supervisor_inplace_again(struct supervisor_call *c, int fd, uint64_t cookie)
{
    int64_t rc = verdict(c, fd, cookie, -EALREADY);

    if (c->kind != FILTER_CONNECT && (rc == 0 || rc == -EISCONN))
        return send_too(c, fd);
    return rc;
}

int64_t supervisor_inplace(struct supervisor_call *c, const struct plan *p)
{
    struct inplace_seen s;
    int64_t rc;

    look_at_former(c);
    if (inplace_start(&s, c->desk->env, p, c->socket) != 0)
        return INPLACE_NOT;
    int fd = s.fd;
    rc = supervisor_place(c, fd, p, TRUTH_KERNEL);
    if (rc == 0) {
        s.fd = c->fd;
        s.pid = (int)c->who.tid;
        inplace_watch_add(c->desk->watch, &s);
        rc = (p->flags & O_NONBLOCK) != 0 ? -EINPROGRESS
                                          : verdict(c, fd, s.cookie, -EINPROGRESS);
    }
    if (rc == 0 && c->kind != FILTER_CONNECT)
        rc = send_too(c, fd);
    (void)sys_close(fd);
    return rc;
}
