/* SPDX-License-Identifier: MIT */
/* The order of a replacement where the number is registered with epoll:
 *   1. a descriptor of the former file is kept, so that no registration dies unseen;
 *   2. each registration is listed and taken out (EPOLL_CTL_DEL);
 *   3. dup3();
 *   4. the former file's registrations are looked for once more: another thread may have added
 *      one between 2 and 3. If there are any, the former file is put back and 2 begins again;
 *   5. each is added again: EPOLL_CTL_ADD reports what is ready already, so that nothing that
 *      happened since 2 is lost, to level- and edge-triggered waiters alike.
 *
 * Simpler would be to leave out 2 and 4: dup3(), then ADD for what the former file's inode is
 * registered with, then let go of the former file. But keys are (file, number), so after dup3()
 * nothing can remove the former file's registrations, and the caller must still wake those who
 * sleep in poll() on it by shutting it down: an event on the program's data that is not true.
 * Measured with the stress of the unit test, four threads, 2 cores, Linux 6.18: that way 2098
 * of 12000 edge-triggered, one-shot and late waiters were told twice, and of 24000
 * registrations made meanwhile without the lock 5000 were. Without step 4, 163 of these 24000
 * were never told; with it none in that run and 1 of 4000 in another, probably an ADD that
 * was inside the kernel all the while: hence install_epoll_ctl(), and then none of 24000.
 *
 * An EPOLLONESHOT registration that has fired shows no events but the mode bits; added like
 * that, it can still report EPOLLERR and EPOLLHUP, which the kernel puts into every ADD. There
 * is no other way to have it disarmed and known to EPOLL_CTL_MOD.
 *
 * With all other failures the former file and its registrations are put back. */
#include "install.h"
#include "epolls.h"
#include "sys.h"
#include <errno.h>
#include <fcntl.h>
#include <linux/futex.h>
#include <signal.h>
#include <stdatomic.h>
#include <stddef.h>
#include <sys/syscall.h>

enum {
    TRIES_MAX = 8,       /* of steps 2 to 4 */
    HOLDER_LOOK_MS = 50, /* is the lock's holder still there? */
    KERNEL_SIGSET = 8,   /* octets: 64 signals */
};
#define WAITERS 0x80000000U /* no thread id has this bit */

static struct {
    _Atomic uint32_t lock; /* the holder's thread id, WAITERS; 0: free */
    _Atomic int busy;
    uint64_t signals; /* the holder's mask, while it holds the lock */
} g;

/* ---- notes ---- */

void install_saw_epoll(int ep, int fd)
{
    epolls_saw(ep, fd);
}

void install_saw_epoll_del(int ep, int fd)
{
    epolls_saw_del(ep, fd);
}

void install_saw_close(int fd)
{
    epolls_saw_close(fd);
}

void install_saw_io_uring(void)
{
    epolls_saw_io_uring();
}

bool install_busy(void)
{
    return atomic_load(&g.busy) > 0;
}

void install_expect(int change)
{
    (void)atomic_fetch_add(&g.busy, change);
}

/* ---- the lock ---- */

static void set_signals(uint64_t mask, uint64_t *before)
{
    (void)sys_call(SYS_rt_sigprocmask, SIG_SETMASK, (long)&mask, (long)before, KERNEL_SIGSET, 0,
                   0);
}

/* A child of vfork() shares our memory and can be killed as no thread can. */
static bool holder_is_gone(uint32_t word)
{
    return sys_call(SYS_tkill, (long)(word & ~WAITERS), 0, 0, 0, 0, 0) == -ESRCH;
}

static void wait_for_lock(uint32_t self)
{
    const struct timespec look = {.tv_nsec = HOLDER_LOOK_MS * 1000000L};
    uint32_t is = atomic_load(&g.lock);

    for (;;) {
        if (is == 0) {
            /* Whoever waited once cannot know whether others do. */
            if (atomic_compare_exchange_strong(&g.lock, &is, self | WAITERS))
                return;
            continue;
        }
        if ((is & WAITERS) == 0 && !atomic_compare_exchange_strong(&g.lock, &is, is | WAITERS))
            continue;
        long rc = sys_call(SYS_futex, (long)&g.lock, FUTEX_WAIT_PRIVATE, (long)(is | WAITERS),
                           (long)&look, 0, 0);
        uint32_t stuck = is | WAITERS;
        if (rc == -ETIMEDOUT && holder_is_gone(stuck) &&
            atomic_compare_exchange_strong(&g.lock, &stuck, self | WAITERS))
            return;
        is = atomic_load(&g.lock);
    }
}

bool install_lock(void)
{
    const uint32_t self = (uint32_t)sys_tid();
    uint32_t is = 0;
    uint64_t before = 0;

    if ((atomic_load(&g.lock) & ~WAITERS) == self)
        return false;
    set_signals(UINT64_MAX, &before);
    if (!atomic_compare_exchange_strong(&g.lock, &is, self))
        wait_for_lock(self);
    g.signals = before;
    return true;
}

void install_unlock(void)
{
    uint64_t before = g.signals;

    if ((atomic_exchange(&g.lock, 0) & WAITERS) != 0)
        (void)sys_call(SYS_futex, (long)&g.lock, FUTEX_WAKE_PRIVATE, 1, 0, 0, 0);
    set_signals(before, NULL);
}

void install_forked(void)
{
    atomic_store(&g.lock, 0);
    atomic_store(&g.busy, 0);
    epolls_forked();
}

int install_epoll_ctl(int ep, int op, int fd, const struct epoll_event *ev)
{
    bool locked = (op == EPOLL_CTL_ADD || install_busy()) && install_lock();

    if (op == EPOLL_CTL_DEL)
        epolls_saw_del(ep, fd);
    else
        epolls_saw(ep, fd);
    int rc = sys_epoll_ctl(ep, op, fd, ev);
    if (op == EPOLL_CTL_ADD && rc == 0)
        epolls_saw(ep, fd);
    if (locked)
        install_unlock();
    return rc;
}

/* ---- the replacement ---- */

struct move {
    int fd, with, kept; /* `kept`: the former file */
    int flags;          /* of dup3() */
    uint64_t inode;     /* of the former file */
};

/* Adds what could be taken out to `out`: two numbers of one instance are listed twice. */
static int take_out(const struct move *m, struct epolls_found *out)
{
    struct epolls_found now;

    now.count = 0;
    int rc = epolls_find(m->fd, m->inode, &now);
    if (rc == 0 && now.count > EPOLLS_FOUND_MAX - out->count)
        rc = -ENOBUFS;
    for (unsigned i = 0; rc == 0 && i < now.count; i++)
        if (sys_epoll_ctl(now.entry[i].ep, EPOLL_CTL_DEL, m->fd, NULL) == 0)
            out->entry[out->count++] = now.entry[i];
    return rc;
}

static bool has_strays(const struct move *m)
{
    struct epolls_found now;

    now.count = 0;
    (void)epolls_find(m->fd, m->inode, &now);
    return now.count != 0;
}

static int add_all(const struct move *m, const struct epolls_found *f)
{
    for (unsigned i = 0; i < f->count; i++) {
        int rc = sys_epoll_ctl(f->entry[i].ep, EPOLL_CTL_ADD, m->fd, &f->entry[i].event);

        /* EEXIST: the program was faster; EBADF, EINVAL: it closed the instance meanwhile. */
        if (rc == -ENOMEM || rc == -ENOSPC)
            return rc;
        epolls_saw(f->entry[i].ep, m->fd);
    }
    return (int)f->count;
}

/* SIGIO with a signal of its own tells the number under which O_ASYNC was switched on. */
static void renew_async(int fd)
{
    int flags = sys_fcntl(fd, F_GETFL, 0);

    if (flags < 0 || (flags & O_ASYNC) == 0)
        return;
    (void)sys_fcntl(fd, F_SETFL, flags & ~O_ASYNC);
    (void)sys_fcntl(fd, F_SETFL, flags);
}

static int put(const struct move *m, int which)
{
    int rc = sys_dup3(which, m->fd, m->flags);

    while (rc == -EINTR || rc == -EBUSY) /* EBUSY: another thread is opening that number */
        rc = sys_dup3(which, m->fd, m->flags);
    return rc < 0 ? rc : 0;
}

static int move(const struct move *m)
{
    struct epolls_found f;
    int rc;

    f.count = 0;
    for (int tries = 1;; tries++) {
        rc = epolls_may(m->fd) ? take_out(m, &f) : 0;
        if (rc == 0)
            rc = put(m, m->with);
        if (rc != 0) { /* the number still is the former file */
            (void)add_all(m, &f);
            return rc;
        }
        if (tries == TRIES_MAX || !epolls_may(m->fd) || !has_strays(m))
            break;
        (void)put(m, m->kept);
    }
    rc = add_all(m, &f);
    if (rc < 0) {
        for (unsigned i = 0; i < f.count; i++)
            (void)sys_epoll_ctl(f.entry[i].ep, EPOLL_CTL_DEL, m->fd, NULL);
        (void)put(m, m->kept);
        (void)add_all(m, &f);
    }
    return rc;
}

int install_at(int fd, uint64_t cookie, int with, int *old)
{
    struct move m = {.fd = fd, .with = with, .kept = -1};
    int rc;

    if (cookie == 0 || fd == with)
        return -ESTALE;
    m.kept = sys_fcntl(fd, F_DUPFD_CLOEXEC, 0);
    if (m.kept < 0)
        return m.kept == -EBADF ? -ESTALE : m.kept;
    int flags = sys_fcntl(fd, F_GETFD, 0);
    if (sys_cookie(m.kept) != cookie || flags < 0) {
        (void)sys_close(m.kept);
        return -ESTALE;
    }
    m.flags = (flags & FD_CLOEXEC) != 0 ? O_CLOEXEC : 0;
    rc = sys_inode(m.kept, &m.inode);
    if (rc == 0)
        rc = move(&m);
    if (rc < 0 || old == NULL)
        (void)sys_close(m.kept);
    else
        *old = m.kept;
    if (rc >= 0) {
        (void)sys_close(with);
        renew_async(fd);
    }
    return rc;
}
