/* SPDX-License-Identifier: MIT */
/* The happy path of a connect(): read the address, borrow the socket, see that the thread still
 * waits (so that what was read was its own), plan, reach, place the new socket, answer 0. The
 * address is read once; the kernel never reads it again for a call that is ours.
 *
 * A process that must not be inspected gets EACCES: letting the call pass would be a connection
 * past the concentrator that nobody asked for. A call that ends while we work (the process was
 * killed) shows in the pidfd, or, at the latest a tick later, in the notification's id. */
#include "supervisor_call.h"
#include "inplace.h"
#include "journal.h"
#include "mapped.h"
#include "redirect_names.h"
#include "sys.h"
#include <errno.h>
#include <fcntl.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/time.h>

enum {
    TICK_MS = 100,      /* how soon a caught signal or an end without pidfd event is seen */
    PARKED_TICK_MS = 5, /* how soon a call made again goes on */
    PARKED_MS = 3000,   /* how long it is waited for */
    NARROW = 4,         /* octets of a long in a 32-bit ABI */
};

bool supervisor_waits(const struct supervisor_call *c)
{
    uint64_t id = c->id;

    return ioctl(c->desk->listener, SECCOMP_IOCTL_NOTIF_ID_VALID, &id) == 0;
}

static void answer(const struct supervisor_call *c, int64_t result)
{
    union {
        struct seccomp_notif_resp r;
        uint8_t room[256]; /* a later kernel's may be longer */
    } u;

    if (result == SUPERVISOR_GONE)
        return;
    memset(&u, 0, sizeof u);
    u.r.id = c->id;
    if (result == SUPERVISOR_PASS)
        u.r.flags = SECCOMP_USER_NOTIF_FLAG_CONTINUE;
    else if (result < 0)
        u.r.error = (int32_t)result;
    else
        u.r.val = result;
    /* ENOENT: killed meanwhile. Nobody is left who could be told of anything else. */
    (void)ioctl(c->desk->listener, SECCOMP_IOCTL_NOTIF_SEND, &u.r);
}

static bool forbidden(int64_t rc)
{
    return rc == -EPERM || rc == -EACCES;
}

static int64_t refuse_stranger(const struct supervisor_call *c)
{
    struct journal j;

    journal_begin(&j, "uninspectable");
    journal_number(&j, "thread", c->who.tid);
    journal_end(&j, c->desk->env->settings->log);
    return -EACCES;
}

/* What is to become of a call whose arguments could not be read: only what the kernel refuses
 * in any case may pass. */
static int64_t unread(const struct supervisor_call *c, int rc)
{
    if (rc == -EFAULT)
        return SUPERVISOR_PASS;
    if (rc == -ESRCH)
        return SUPERVISOR_GONE;
    return forbidden(rc) ? refuse_stranger(c) : rc;
}

/* Registers, or for socketcall a block of 32-bit words, as the call's arguments. */
static int64_t decode(struct supervisor_call *c, const struct seccomp_data *d)
{
    uint32_t words[6] = {0};

    c->kind = filter_call(d->arch, d->nr, &c->narrow);
    if (c->kind == FILTER_SOCKETCALL) {
        c->kind = filter_socketcall(d->args[0]);
        size_t n = c->kind == FILTER_SENDTO ? 6 : c->kind == FILTER_SENDMMSG ? 4 : 3;
        int rc = tracee_read(&c->who, (uint32_t)d->args[1], words, n * NARROW);
        if (rc != 0)
            return unread(c, rc);
        for (size_t i = 0; i < 6; i++)
            c->arg[i] = words[i];
    } else {
        for (size_t i = 0; i < 6; i++)
            c->arg[i] = c->narrow ? (uint32_t)d->args[i] : d->args[i];
    }
    c->fd = (int)(uint32_t)c->arg[0];
    return c->kind == FILTER_NONE ? SUPERVISOR_PASS : 0;
}

/* The call's socket as a descriptor of ours. */
static int64_t borrow(struct supervisor_call *c)
{
    int fd = tracee_fd(&c->who, c->fd);

    if (fd >= 0) {
        c->socket = fd;
        return 0;
    }
    if (fd == -EBADF)
        return SUPERVISOR_PASS; /* the kernel says so, too */
    if (fd != -ESRCH)
        return forbidden(fd) ? refuse_stranger(c) : fd;
    /* Its process's first thread has ended, and before 6.9 we see the descriptors through it.
     */
    return supervisor_waits(c) ? refuse_stranger(c) : SUPERVISOR_GONE;
}

enum look { LOOK_ON, LOOK_STOP, LOOK_INTERRUPTED, LOOK_DEAD };

/* Waits for the reach, the thread and the end, for `most_ms` or a tick. */
static enum look look(struct supervisor_call *c, const struct reach *r, bool parked)
{
    uint64_t now = sys_now_ms(), wake = now + (parked ? PARKED_TICK_MS : TICK_MS);
    bool first = !parked && r->wake_ms < wake;
    struct pollfd p[] = {{.fd = parked ? -1 : r->dial.fd, .events = r->dial.events},
                         {.fd = c->who.pidfd, .events = POLLIN},
                         {.fd = c->desk->stop, .events = POLLIN}};

    if (first)
        wake = r->wake_ms > now ? r->wake_ms : now;
    int n = sys_poll(p, 3, (int)(wake - now));
    if (p[2].revents != 0)
        return LOOK_STOP;
    if (p[1].revents != 0)
        return LOOK_DEAD;
    if (n > 0 || first || parked)
        return LOOK_ON;
    if (!supervisor_waits(c)) /* before 6.0 a handler ends the wait by itself */
        return LOOK_INTERRUPTED;
    return tracee_signalled(&c->who) ? LOOK_INTERRUPTED : LOOK_ON;
}

/* A handler wants to run. The kernel would go on connecting meanwhile, and a call made again,
 * by the program or by SA_RESTART, would find it so: we do the same for a while. False: not
 * made again in time, or the end. */
static bool park(struct supervisor_call *c, const struct reach *r, uint64_t cookie)
{
    uint64_t until = sys_now_ms() + PARKED_MS;
    enum look seen = LOOK_ON;

    /* On a non-blocking socket connect() is never interrupted: no program expects EINTR. */
    bool always = (r->plan.flags & O_NONBLOCK) != 0;

    c->epolls.known = false; /* the handler may make new ones */
    supervisor_park(c, cookie);
    answer(c, always ? SUPERVISOR_RESTART_ALWAYS : SUPERVISOR_RESTART);
    while (seen == LOOK_ON && sys_now_ms() < until) {
        if (supervisor_unpark(c, true))
            return true;
        seen = look(c, r, true);
    }
    if (!supervisor_unpark(c, false))
        return false;
    if (seen == LOOK_ON)
        return true;
    answer(c, -ECONNABORTED);
    return false;
}

/* The verdict; on 0 the reach is READY. */
static int64_t attend(struct supervisor_call *c, struct reach *r, enum dial_step step)
{
    while (step == DIAL_WAIT) {
        enum look seen = look(c, r, false);

        if (seen == LOOK_INTERRUPTED && !park(c, r, sys_cookie(c->socket)))
            seen = LOOK_DEAD;
        if (seen == LOOK_STOP || seen == LOOK_DEAD) {
            reach_drop(r);
            return seen == LOOK_STOP ? -ECONNABORTED : SUPERVISOR_GONE;
        }
        step = reach_run(r, sys_now_ms());
    }
    if (step == DIAL_READY)
        return 0;
    reach_drop(r);
    /* on_failure = direct: the user wants the program's own call, to wherever it leads. */
    return r->direct ? SUPERVISOR_PASS : -r->error;
}

static uint64_t send_timeout_ms(const struct supervisor_call *c, const struct plan *p)
{
    struct timeval t = {0};
    socklen_t len = sizeof t;

    if ((p->flags & O_NONBLOCK) != 0 ||
        sys_getsockopt(c->socket, SOL_SOCKET, SO_SNDTIMEO, &t, &len) != 0 ||
        (t.tv_sec == 0 && t.tv_usec == 0))
        return 0;
    return (uint64_t)t.tv_sec * 1000 + ((uint64_t)t.tv_usec + 999) / 1000;
}

static int64_t proxied(struct supervisor_call *c, const struct plan *p)
{
    struct supervisor_payload payload;
    struct reach r;

    shared_add(c->desk->env->shared, SHARED_SUPERVISED, 1);
    int64_t rc = supervisor_inplace(c, p);
    if (rc != INPLACE_NOT)
        return rc;
    enum dial_step step = reach_start(&r, c->desk->env, p, c->socket, send_timeout_ms(c, p));
    if (step == DIAL_WAIT)
        tracee_epolls(&c->who, &c->epolls); /* the concentrator has to answer first, anyway */
    rc = attend(c, &r, step);
    if (rc != 0)
        return rc;
    bool sends = c->kind != FILTER_CONNECT; /* the call as it waits now, perhaps made again */
    if (sends)
        rc = supervisor_payload(c, &payload);
    if (rc == 0)
        rc = supervisor_place(c, r.fd, p, TRUTH_CONNECTED);
    if (rc == 0 && sends)
        rc = supervisor_send(c, &payload, r.fd, (p->flags & O_NONBLOCK) == 0);
    (void)sys_close(r.fd);
    return rc;
}

/* A redirected socket is asked again. What the kernel says by itself is right, but for a
 * failure that only the shared memory knows, and the 0 that a connect() gets once. */
static int64_t again(const struct supervisor_call *c, const struct plan *p)
{
    int error = 0;

    if (!truth_report(c->desk->env->shared, p->cookie, &error))
        return SUPERVISOR_PASS;
    if (error != 0) {
        truth_forget(c->desk->env->shared, p->cookie);
        redirect_reset(c->socket);
    }
    return -error;
}

/* A placeholder that failed, which was told already, came to us from a program with the
 * library: it still has the loopback's address, and the kernel would call it aborted. */
static void begin_anew(const struct supervisor_call *c, const struct plan *p)
{
    struct truth t;

    if (!truth_get(c->desk->env->shared, p->cookie, &t))
        return;
    truth_forget(c->desk->env->shared, p->cookie);
    redirect_reset(c->socket);
}

/* What is to become of it: INPLACE_NOT and *p, or a result of the call. */
static int64_t plan(struct supervisor_call *c, struct plan *p)
{
    const struct reach_env *env = c->desk->env;
    const struct sockaddr *to = (const struct sockaddr *)&c->peer;
    struct truth t;

    *p = plan_connect(env->settings, env->shared, c->socket, to, c->peer_len);
    if (p->kind != PLAN_AGAIN || !truth_get(env->shared, p->cookie, &t) ||
        t.state != TRUTH_KERNEL)
        return INPLACE_NOT;
    int64_t rc = supervisor_inplace_again(c, c->socket, p->cookie);

    if (rc == INPLACE_NOT) /* as new */
        *p = plan_connect(env->settings, env->shared, c->socket, to, c->peer_len);
    return rc;
}

static int64_t connecting(struct supervisor_call *c)
{
    const struct reach_env *env = c->desk->env;
    int64_t rc = borrow(c);

    if (rc != 0)
        return rc;
    if (!supervisor_waits(c))
        return SUPERVISOR_GONE;
    if (supervisor_resume(c, sys_cookie(c->socket)))
        return SUPERVISOR_GONE;
    struct plan p;
    rc = plan(c, &p);
    if (rc != INPLACE_NOT)
        return rc;
    switch (p.kind) {
    case PLAN_PASS:
        if (c->peer.ss_family == AF_UNSPEC)
            truth_forget(env->shared, sys_cookie(c->socket)); /* dissolves the association */
        return SUPERVISOR_PASS;
    case PLAN_REFUSE:
        return -p.error;
    case PLAN_AGAIN:
        return again(c, &p);
    case PLAN_PROXY:
        begin_anew(c, &p);
        return proxied(c, &p);
    }
    return SUPERVISOR_PASS;
}

static bool is_ip(const struct supervisor_call *c)
{
    sa_family_t f = c->peer.ss_family;

    return f == AF_INET || f == AF_INET6 || f == AF_UNSPEC;
}

/* `at`, `len` as the program passed them. What the kernel will refuse anyway passes. */
static int64_t read_peer(struct supervisor_call *c, uint64_t at, uint64_t len)
{
    if ((uint32_t)len > sizeof c->peer || (uint32_t)len < sizeof c->peer.ss_family)
        return SUPERVISOR_PASS;
    c->peer_len = (socklen_t)len;
    int rc = tracee_read(&c->who, at, &c->peer, c->peer_len);
    if (rc != 0)
        return unread(c, rc);
    return is_ip(c) ? 0 : SUPERVISOR_PASS;
}

static int64_t on_connect(struct supervisor_call *c)
{
    int64_t rc = read_peer(c, c->arg[1], c->arg[2]);

    return rc != 0 ? rc : connecting(c);
}

static int64_t on_send(struct supervisor_call *c)
{
    struct supervisor_payload p;
    int64_t rc = supervisor_payload(c, &p);

    if (rc == 0)
        rc = read_peer(c, c->arg[4], c->arg[5]);
    return rc != 0 ? rc : connecting(c);
}

static int64_t on_getpeername(struct supervisor_call *c)
{
    struct truth t;
    struct sockaddr_storage peer;
    socklen_t any = sizeof peer;
    int32_t room = 0;

    if ((c->socket = tracee_fd(&c->who, c->fd)) < 0)
        return SUPERVISOR_PASS;
    if (!truth_get(c->desk->env->shared, sys_cookie(c->socket), &t) ||
        (t.state != TRUTH_CONNECTED && t.state != TRUTH_KERNEL) || !supervisor_waits(c) ||
        sys_getpeername(c->socket, (struct sockaddr *)&peer, &any) != 0) /* ENOTCONN again */
        return SUPERVISOR_PASS;
    t.peer = mapped_for(t.peer, t.family);
    int32_t len = (int32_t)addr_to_sockaddr(&t.peer, &peer);
    if (tracee_read(&c->who, c->arg[2], &room, sizeof room) != 0)
        return SUPERVISOR_PASS; /* the kernel: EFAULT */
    if (room < 0)
        return -EINVAL;
    if (tracee_write(&c->who, c->arg[1], &peer, (size_t)(room < len ? room : len)) != 0 ||
        tracee_write(&c->who, c->arg[2], &len, sizeof len) != 0)
        return -EFAULT;
    return 0;
}

static int64_t dispatch(struct supervisor_call *c)
{
    switch (c->kind) {
    case FILTER_CONNECT:
        return on_connect(c);
    case FILTER_GETPEERNAME:
        return on_getpeername(c);
    case FILTER_SENDTO:
    case FILTER_SENDMSG:
    case FILTER_SENDMMSG:
        return on_send(c);
    case FILTER_NONE:
    case FILTER_SOCKETCALL:
        break;
    }
    return SUPERVISOR_PASS;
}

void supervisor_serve(struct supervisor_desk *d, const struct seccomp_notif *n)
{
    struct supervisor_call c = {.desk = d, .id = n->id, .who = {-1, -1}, .socket = -1};
    int64_t rc = tracee_open(&c.who, (pid_t)n->pid);

    if (rc != 0) {
        c.who = (struct tracee){(pid_t)n->pid, -1};
        rc = rc == -ESRCH && !supervisor_waits(&c) ? SUPERVISOR_GONE
             : forbidden(rc)                       ? refuse_stranger(&c)
                                                   : rc;
    } else {
        rc = decode(&c, &n->data);
        if (rc == 0)
            rc = dispatch(&c);
    }
    /* First: what is registered with epoll stays there as long as we have the file, and the
     * program may close it as soon as it runs. */
    if (c.socket >= 0)
        (void)sys_close(c.socket);
    answer(&c, rc);
    tracee_close(&c.who);
}
