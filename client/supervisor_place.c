/* SPDX-License-Identifier: MIT */
/* Order matters. The truth is written before the program can see the socket. The new file takes
 * the number while a duplicate of ours keeps the old one, and so its epoll registrations,
 * alive: what is registered until then is found under the old file, what comes later is
 * registered with the new one. Then the new file is registered in each place, and only then the
 * old one leaves.
 *
 * An epoll key is (file, number), and epoll_ctl() takes both from the caller's table: this
 * thread's own table lets the new file have the program's number here, too. */
#include "sockopts.h"
#include "supervisor_call.h"
#include "sys.h"
#include <errno.h>
#include <fcntl.h>
#include <sys/ioctl.h>
#include <unistd.h>

static void move_from(int *held, int number)
{
    if (*held != number)
        return;
    int fd = fcntl(number, F_DUPFD_CLOEXEC, number + 1);
    if (fd < 0)
        fd = fcntl(number, F_DUPFD_CLOEXEC, 0);
    if (fd >= 0)
        *held = fd; /* the former number is overwritten, or closed, by who wanted it */
}

static void each(const struct supervisor_call *c, int op, struct tracee_registration *r, int n,
                 unsigned *moved)
{
    for (int i = 0; i < n; i++) {
        int ep = tracee_fd(&c->who, r[i].epoll);

        if (ep < 0)
            continue; /* closed meanwhile, and its registrations with it */
        if (sys_epoll_ctl(ep, op, c->fd, &r[i].event) == 0)
            ++*moved;
        (void)sys_close(ep);
    }
}

/* Registers `with` wherever the former socket is registered. */
static void rearm(struct supervisor_call *c, int with)
{
    struct tracee_registration found[TRACEE_EPOLLS_MAX];
    uint64_t inode = 0;
    unsigned moved = 0, gone = 0;
    int held = with;

    if (sys_inode(c->socket, &inode) != 0)
        return;
    int n = tracee_registrations(&c->who, &c->epolls, c->fd, inode, found, TRACEE_EPOLLS_MAX);
    if (n <= 0)
        return;
    move_from(&c->desk->listener, c->fd);
    move_from(&c->desk->stop, c->fd);
    move_from(&c->desk->done, c->fd);
    move_from(&c->who.pidfd, c->fd);
    move_from(&c->socket, c->fd);
    if (held == c->fd || sys_dup3(held, c->fd, O_CLOEXEC) >= 0) {
        each(c, EPOLL_CTL_ADD, found, n, &moved);
        shared_add(c->desk->env->shared, SHARED_EPOLL_MOVED, moved);
    }
    if (held == c->fd && (held = fcntl(with, F_DUPFD_CLOEXEC, 0)) < 0)
        return;
    if (sys_dup3(c->socket, c->fd, O_CLOEXEC) >= 0)
        each(c, EPOLL_CTL_DEL, found, n, &gone);
    if (held != with) {
        (void)sys_dup3(held, with, O_CLOEXEC); /* the caller's number again */
        (void)sys_close(held);
    } else {
        (void)sys_close(c->fd);
    }
}

/* The number may name another socket by now, or none: another thread of the program was at it.
 */
static bool still_there(const struct supervisor_call *c)
{
    int fd = tracee_fd(&c->who, c->fd);
    bool same = fd >= 0 && sys_cookie(fd) == sys_cookie(c->socket);

    if (fd >= 0)
        (void)sys_close(fd);
    return same;
}

/* A socket that was connected without waiting says 0 to one more connect(). That one is ours:
 * the program's own has its answer, and its next is to see EISCONN. */
static void settle(int fd)
{
    struct sockaddr_storage peer;
    socklen_t len = sizeof peer;

    if (sys_getpeername(fd, (struct sockaddr *)&peer, &len) == 0)
        (void)sys_connect(fd, (const struct sockaddr *)&peer, len);
}

int64_t supervisor_place(struct supervisor_call *c, int with, const struct plan *p,
                         enum truth_state state)
{
    struct shared *shared = c->desk->env->shared;
    uint64_t cookie = sys_cookie(with);
    int cloexec = tracee_cloexec(&c->who, c->fd);
    struct truth t = {.state = state, .peer = p->peer, .family = (uint8_t)p->family};

    if (!supervisor_waits(c))
        return SUPERVISOR_GONE;
    if (cloexec < 0 || !still_there(c))
        return -EBADF;
    if (state == TRUTH_CONNECTED)
        settle(with);
    sockopts_copy_flags(c->socket, with);
    truth_set(shared, cookie, &t);
    struct seccomp_notif_addfd add = {.id = c->id,
                                      .flags = SECCOMP_ADDFD_FLAG_SETFD,
                                      .srcfd = (uint32_t)with,
                                      .newfd = (uint32_t)c->fd,
                                      .newfd_flags = cloexec != 0 ? O_CLOEXEC : 0};
    if (ioctl(c->desk->listener, SECCOMP_IOCTL_NOTIF_ADDFD, &add) < 0) {
        int error = errno;

        truth_forget(shared, cookie);
        return error == ENOENT ? SUPERVISOR_GONE : -error;
    }
    rearm(c, with);
    return 0;
}
