/* SPDX-License-Identifier: MIT */
/* Happy path of the caller: the program's own socket becomes the placeholder, without another
 * socket or a change of the descriptor table; the helper thread does the rest (swap_step.h).
 * A socket that is bound, tied to a device or not plain TCP cannot be one, because the loopback
 * is not where it may go: then a new socket takes its place, and it stays with the helper as
 * the model of what is made. */
#include "swap.h"
#include "install.h"
#include "pending.h"
#include "room.h"
#include "sockopts.h"
#include "swap_thread.h"
#include "sys.h"
#include <errno.h>
#include <linux/futex.h>
#include <netinet/in.h>
#include <string.h>
#include <sys/syscall.h>
#include <time.h>

#ifndef SO_BINDTOIFINDEX
#define SO_BINDTOIFINDEX 62
#endif

static _Atomic int owner; /* the process whose helper it is; 0: not known */

static bool tied_to_device(int fd)
{
    int index = 0;

    return sys_get_int(fd, SOL_SOCKET, SO_BINDTOIFINDEX, &index) == 0 && index != 0;
}

static bool bound(int fd)
{
    struct sockaddr_storage at;
    struct addr a;
    socklen_t len = sizeof at;

    if (sys_getsockname(fd, (struct sockaddr *)&at, &len) != 0 ||
        !addr_from_sockaddr((const struct sockaddr *)&at, len, &a))
        return true;
    return a.port != 0 || addr_class(&a) != ADDR_CLASS_UNSPECIFIED;
}

static bool plain_tcp(int fd)
{
    int protocol = 0;

    return sys_get_int(fd, SOL_SOCKET, SO_PROTOCOL, &protocol) == 0 && protocol == IPPROTO_TCP;
}

static void publish(const struct pending *p, uint64_t cookie)
{
    struct truth t = {
        .state = TRUTH_PENDING, .peer = p->plan.peer, .family = (uint8_t)p->plan.family};

    truth_set(p->reach.env->shared, cookie, &t);
}

static int park_itself(struct pending *p)
{
    publish(p, p->plan.cookie);
    int rc = placeholder_park(p->fd, p->plan.family, &p->was);

    if (rc != 0) {
        truth_forget(p->reach.env->shared, p->plan.cookie);
        return rc;
    }
    atomic_store(&p->cookie, p->plan.cookie);
    return 0;
}

static int replacement(const struct pending *p)
{
    struct sockopts_report ignored = {0};
    int fd = room_socket(p->plan.family);

    if (fd < 0 || tied_to_device(p->fd))
        return fd;
    sockopts_copy(p->fd, fd, &ignored);
    return fd;
}

static int park_another(struct pending *p)
{
    int fd = replacement(p), old = -1;

    if (fd < 0)
        return fd;
    uint64_t cookie = sys_cookie(fd);
    int rc = placeholder_park(fd, p->plan.family, &p->was);

    if (rc == 0) {
        publish(p, cookie);
        sockopts_copy_flags(p->fd, fd);
        bool locked = install_lock();

        rc = install_at(p->fd, p->plan.cookie, fd, &old);
        if (locked)
            install_unlock();
    }
    if (rc < 0) {
        truth_forget(p->reach.env->shared, cookie);
        (void)sys_close(fd);
        return rc;
    }
    p->model = old;
    p->model_cookie = p->plan.cookie;
    p->reach.model = old;
    atomic_store(&p->cookie, cookie);
    return 0;
}

static int park(struct pending *p)
{
    int rc = -EOPNOTSUPP;

    if (plain_tcp(p->fd) && !tied_to_device(p->fd) && !bound(p->fd))
        rc = park_itself(p);
    return rc == 0 ? 0 : park_another(p);
}

/* No thread can be had: as if nothing had happened. */
static void undo(struct pending *p)
{
    uint64_t cookie = atomic_load(&p->cookie);

    placeholder_undo(p->fd, &p->was);
    if (p->model >= 0 && install_at(p->fd, cookie, p->model, NULL) < 0)
        (void)sys_close(p->model);
    truth_forget(p->reach.env->shared, cookie);
}

static int submit(struct pending *p)
{
    struct shared *shared = p->reach.env->shared;

    install_expect(1);
    int rc = park(p);

    if (rc == 0) {
        if (swap_thread_submit(p)) { /* which may have finished with `p` already */
            shared_add(shared, SHARED_PENDING, 1);
            return -EINPROGRESS;
        }
        undo(p);
        rc = -EAGAIN;
    }
    install_expect(-1);
    pending_release(p);
    return rc;
}

/* A child that shares or inherits our memory, unknown to us, has no helper. */
static bool has_helper(void)
{
    int is = atomic_load(&owner);

    return is == 0 || is == sys_pid();
}

static struct pending *take(int fd, enum pending_stage stage)
{
    struct pending *p = pending_take();

    if (p == NULL)
        return NULL;
    p->fd = fd;
    p->model = -1;
    p->direct = -1;
    p->stage = stage;
    return p;
}

int swap_begin(const struct reach_env *env, const struct plan *plan, int fd)
{
    struct pending *p = has_helper() ? take(fd, PENDING_NEW) : NULL;

    if (p == NULL)
        return has_helper() ? -ENOMEM : -EAGAIN;
    p->plan = *plan;
    p->reach.env = env;
    return submit(p);
}

int swap_adopt(struct reach *r, int fd)
{
    struct pending *p = has_helper() ? take(fd, PENDING_ADOPTED) : NULL;

    if (p == NULL)
        return has_helper() ? -ENOMEM : -EAGAIN;
    p->plan = r->plan;
    p->reach = *r;
    p->socket_cookie = sys_cookie(r->dial.fd);
    return submit(p);
}

static long wait_done(struct pending *p, uint64_t limit_ms, uint64_t began_ms)
{
    uint64_t gone = sys_now_ms() - began_ms, left = gone < limit_ms ? limit_ms - gone : 0;
    struct timespec limit = {.tv_sec = (time_t)(left / 1000),
                             .tv_nsec = (long)(left % 1000) * 1000000L};

    return sys_call(SYS_futex, (long)&p->done, FUTEX_WAIT_PRIVATE, 0,
                    limit_ms == 0 ? 0 : (long)&limit, 0, 0);
}

int swap_again(uint64_t cookie, uint64_t limit_ms)
{
    struct pending *p = pending_find(cookie);
    uint64_t began_ms = sys_now_ms();
    int verdict = -EALREADY;

    if (p == NULL)
        return verdict;
    while (atomic_load(&p->done) == 0 && verdict == -EALREADY) {
        long rc = wait_done(p, limit_ms, began_ms);

        if (rc == -ETIMEDOUT)
            break;
        if (rc == -EINTR)
            verdict = -EINTR;
    }
    if (atomic_load(&p->done) != 0)
        verdict = p->verdict;
    pending_release(p);
    return verdict;
}

void swap_forget(uint64_t cookie)
{
    struct pending *p = pending_find(cookie);

    if (p == NULL)
        return;
    bool locked = install_lock();

    if (atomic_load(&p->done) == 0 && atomic_exchange(&p->cookie, 0) == cookie &&
        sys_cookie(p->fd) == cookie)
        placeholder_undo(p->fd, &p->was);
    if (locked)
        install_unlock();
    pending_release(p);
    swap_thread_look();
}

void swap_closed(int first, int last)
{
    for (const struct pending *p = pending_next(NULL); p != NULL; p = pending_next(p))
        if (p->fd >= first && p->fd <= last) {
            swap_thread_look();
            return;
        }
}

void swap_init(void)
{
    atomic_store(&owner, sys_pid());
}

void swap_forked(void)
{
    swap_init();
    swap_thread_forked();
}

unsigned swap_pending(void)
{
    unsigned n = 0;

    for (const struct pending *p = pending_next(NULL); p != NULL; p = pending_next(p))
        n++;
    return n;
}
