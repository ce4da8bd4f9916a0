/* SPDX-License-Identifier: MIT */
/* READY: the new socket's truth is published, then it is put at the program's descriptor under
 * the lock, then the placeholder is shut down, which wakes everybody who sleeps on it. FAILED:
 * the truth, then the placeholder itself fails. Before either, the descriptor must still be the
 * placeholder, told by its cookie; a program may close or replace it at any time, and then
 * there is nobody to tell. Descriptors of our own are verified in the same way. */
#include "swap_step.h"
#include "install.h"
#include "room.h"
#include "sockopts.h"
#include "sys.h"
#include <errno.h>
#include <fcntl.h>
#include <linux/futex.h>
#include <netinet/in.h>
#include <sys/syscall.h>

enum { OPTION_LOCAL_PORT_RANGE = 51 }; /* Linux 6.3 */

static void close_ours(int fd, uint64_t cookie)
{
    bool locked = install_lock();

    if (fd >= 0 && sys_cookie(fd) == cookie)
        (void)sys_close(fd);
    if (locked)
        install_unlock();
}

static void drop_model(struct pending *p)
{
    if (p->model >= 0)
        close_ours(p->model, p->model_cookie);
    p->model = -1;
}

static void drop_reach(struct pending *p)
{
    if (p->reach.dial.fd >= 0 && sys_cookie(p->reach.dial.fd) != p->socket_cookie)
        p->reach.dial.fd = -1; /* the program closed it, and may have another there */
    reach_drop(&p->reach);
}

/* The verdict is final: nothing but waiters may look at `p` from here. */
static void finish(struct pending *p, int verdict)
{
    drop_model(p);
    p->verdict = verdict;
    install_expect(-1);
    atomic_store(&p->done, 1);
    if (atomic_load(&p->refs) > 1)
        (void)sys_call(SYS_futex, (long)&p->done, FUTEX_WAKE_PRIVATE, INT32_MAX, 0, 0, 0);
    pending_release(p);
}

static void unpin(const struct pending *p, int fd)
{
    if (fd >= 0 && fd != p->fd)
        (void)sys_close(fd);
}

/* A descriptor of our own for the placeholder, which keeps it; where there is none to be had,
 * the program's: the lock is held. -1: the program has let go. */
static int pin(struct pending *p)
{
    drop_model(p); /* its number may be the last */
    int fd = room_dup(p->fd);

    if (fd == -EMFILE)
        fd = p->fd;
    if (fd < 0)
        return -1;
    if (sys_cookie(fd) == atomic_load(&p->cookie)) {
        if (placeholder_waits(fd))
            return fd;
        placeholder_restore(fd, &p->was); /* shut down, or timed out by the kernel */
    }
    unpin(p, fd);
    return -1;
}

static void fail_pinned(struct pending *p, int fd, int error)
{
    struct truth t = {.state = TRUTH_FAILED,
                      .peer = p->plan.peer,
                      .family = (uint8_t)p->plan.family,
                      .unreported = true,
                      .error = error};
    uint64_t cookie = atomic_load(&p->cookie);

    if (fd < 0) { /* what the kernel says of it is all there is */
        truth_forget(p->reach.env->shared, cookie);
        return;
    }
    truth_set(p->reach.env->shared, cookie, &t);
    placeholder_fail(fd, &p->was);
}

void swap_step_fail(struct pending *p, int error)
{
    bool locked = install_lock();
    int fd = pin(p);

    fail_pinned(p, fd, error);
    unpin(p, fd);
    if (locked)
        install_unlock();
    finish(p, -error);
}

/* The lock is held. 0 or -errno; `fd` is no longer ours on success. `*old` is what pin() gave,
 * and stays a descriptor of the placeholder. */
static int put(struct pending *p, int *old, int fd)
{
    struct sockopts_report lost = {0};
    uint64_t cookie = atomic_load(&p->cookie);
    int former = -1;

    placeholder_seal(*old, &p->was); /* or the answer to its own SYN may come just now */
    sockopts_copy(*old, fd, &lost);
    sockopts_copy_flags(*old, fd);
    int moved = room_install(p->fd, cookie, fd, &former);

    if (moved == -EMFILE && *old != p->fd) { /* with the number of `*old` there is one more */
        unpin(p, *old);
        *old = p->fd;
        moved = room_install(p->fd, cookie, fd, &former);
    }
    if (moved < 0)
        return moved;
    unpin(p, *old);
    *old = former;
    shared_add(p->reach.env->shared, SHARED_EPOLL_MOVED, (uint64_t)moved);
    if (lost.lost > p->reach.lost) /* only those set meanwhile: the reach counted its own */
        shared_add(p->reach.env->shared, SHARED_OPTION_LOST, lost.lost - p->reach.lost);
    truth_forget(p->reach.env->shared, atomic_load(&p->cookie));
    return 0;
}

/* `fd` is connected. `redirected`: by a concentrator, so the kernel does not know the peer. */
static void succeed(struct pending *p, int fd, bool redirected)
{
    struct shared *shared = p->reach.env->shared;
    struct truth t = {.state = TRUTH_CONNECTED,
                      .peer = p->plan.peer,
                      .family = (uint8_t)p->plan.family,
                      .unreported = true};
    uint64_t cookie = sys_cookie(fd);

    if (redirected)
        truth_set(shared, cookie, &t);
    bool locked = install_lock();
    int old = pin(p);
    int rc = old < 0 ? -ECONNABORTED : put(p, &old, fd);

    if (rc != 0) {
        truth_forget(shared, cookie);
        (void)sys_close(fd);
        fail_pinned(p, old, -rc);
    } else {
        (void)sys_shutdown(old, SHUT_RDWR); /* whoever polls the old file looks again */
    }
    unpin(p, old);
    if (locked)
        install_unlock();
    finish(p, rc);
}

/* What sockopts_copy() leaves to those who bind. */
static void copy_before_bind(const struct pending *p, int to)
{
    static const struct {
        int level, name;
    } option[] = {{SOL_SOCKET, SO_REUSEADDR},
                  {SOL_SOCKET, SO_REUSEPORT},
                  {IPPROTO_IP, IP_FREEBIND},
                  {IPPROTO_IP, IP_TRANSPARENT},
                  {IPPROTO_IP, IP_BIND_ADDRESS_NO_PORT},
                  {IPPROTO_IP, OPTION_LOCAL_PORT_RANGE},
                  {IPPROTO_IPV6, IPV6_V6ONLY}};
    size_t count = sizeof option / sizeof option[0] - (p->plan.family == AF_INET6 ? 0 : 1);

    for (size_t i = 0; i < count; i++) {
        int is = 0, was = 0;

        if (sys_get_int(p->fd, option[i].level, option[i].name, &is) == 0 &&
            sys_get_int(to, option[i].level, option[i].name, &was) == 0 && is != was)
            (void)sys_set_int(to, option[i].level, option[i].name, is);
    }
}

/* The placeholder itself cannot be the model: it has an address that nobody asked for. */
static int make_model(struct pending *p)
{
    struct sockopts_report ignored = {0};
    int fd = room_socket(p->plan.family);

    if (fd < 0)
        return fd;
    copy_before_bind(p, fd);
    sockopts_copy(p->fd, fd, &ignored);
    placeholder_restore(fd, &p->was);
    p->model = fd;
    p->model_cookie = sys_cookie(fd);
    p->reach.model = fd;
    return 0;
}

static bool begin_direct(struct pending *p)
{
    struct sockaddr_storage to;
    socklen_t len = addr_to_sockaddr(&p->plan.peer, &to);
    struct sockopts_report ignored = {0};
    bool is_mptcp;
    int fd = sockopts_socket_like(p->model, p->plan.family, false, 0, &is_mptcp, &ignored);
    int rc = fd < 0 ? fd : sys_connect(fd, (const struct sockaddr *)&to, len);

    if (rc == -EINPROGRESS) {
        p->direct = fd;
        p->stage = PENDING_DIALS;
        p->socket_cookie = sys_cookie(fd);
        return false;
    }
    if (rc == 0) {
        succeed(p, fd, false);
        return true;
    }
    if (fd >= 0)
        (void)sys_close(fd);
    swap_step_fail(p, -rc);
    return true;
}

static bool run_direct(struct pending *p)
{
    struct pollfd w = {.fd = p->direct, .events = POLLOUT};
    int error = ECONNABORTED;

    if (sys_poll(&w, 1, 0) == 0)
        return false;
    (void)sys_get_int(p->direct, SOL_SOCKET, SO_ERROR, &error);
    if (error == 0) {
        succeed(p, p->direct, false);
        return true;
    }
    close_ours(p->direct, p->socket_cookie);
    swap_step_fail(p, error);
    return true;
}

static bool judge(struct pending *p, enum dial_step step)
{
    switch (step) {
    case DIAL_WAIT:
        p->socket_cookie = sys_cookie(p->reach.dial.fd);
        return false;
    case DIAL_READY:
        succeed(p, p->reach.fd, true);
        return true;
    case DIAL_FAILED:
        break;
    }
    if (p->reach.direct)
        return begin_direct(p);
    swap_step_fail(p, p->reach.error);
    return true;
}

static bool begin(struct pending *p, uint64_t now_ms)
{
    bool adopted = p->stage == PENDING_ADOPTED;
    int rc = p->model >= 0 ? 0 : make_model(p);

    p->stage = PENDING_ASKS;
    if (adopted)
        return judge(p, reach_run(&p->reach, now_ms));
    if (rc == 0)
        return judge(p, reach_start(&p->reach, p->reach.env, &p->plan, p->model, 0));
    swap_step_fail(p, -rc);
    return true;
}

/* The program closed its socket, or one of ours. */
static bool give_up(struct pending *p)
{
    if (p->stage == PENDING_DIALS)
        close_ours(p->direct, p->socket_cookie);
    else if (p->stage != PENDING_NEW)
        drop_reach(p);
    swap_step_fail(p, ECONNABORTED);
    return true;
}

bool swap_step(struct pending *p, uint64_t now_ms)
{
    if (sys_cookie(p->fd) != atomic_load(&p->cookie))
        return give_up(p);
    switch (p->stage) {
    case PENDING_NEW:
    case PENDING_ADOPTED:
        return begin(p, now_ms);
    case PENDING_ASKS:
        if (sys_cookie(p->reach.dial.fd) != p->socket_cookie)
            return give_up(p);
        return judge(p, reach_run(&p->reach, now_ms));
    case PENDING_DIALS:
        if (sys_cookie(p->direct) != p->socket_cookie)
            return give_up(p);
        return run_direct(p);
    }
    return true;
}

int swap_step_fd(const struct pending *p, short *events, uint64_t *until_ms)
{
    if (p->stage == PENDING_DIALS) {
        *events = POLLOUT;
        *until_ms = UINT64_MAX;
        return p->direct;
    }
    *events = p->reach.dial.events;
    *until_ms = p->reach.wake_ms;
    return p->reach.dial.fd;
}

/* Nobody else is here: no lock is needed, and the parent's truth is not ours to change. */
void swap_step_abandon(struct pending *p)
{
    int fd = p->stage == PENDING_DIALS ? p->direct : p->reach.dial.fd;

    if (p->stage != PENDING_NEW && sys_cookie(fd) == p->socket_cookie)
        (void)sys_close(fd);
    if (p->model >= 0 && sys_cookie(p->model) == p->model_cookie)
        (void)sys_close(p->model);
    atomic_store(&p->refs, 1); /* those who waited are gone */
    pending_release(p);
}
