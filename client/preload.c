/* SPDX-License-Identifier: MIT */
/* libmpconvert_preload.so: the interposed symbols. Each gives the call to redirect.h and, where
 * that has nothing to say, to the kernel, with libc's manners: -1 and errno, and errno is left
 * alone otherwise. Not through libc's own functions: those are what another preloaded library
 * may interpose, and finding them (dlsym) allocates. So these calls are no cancellation points.
 *
 * Calls that change the descriptor table or an epoll set take turns with a swap while one may
 * come (install.h). */
#include "install.h"
#include "redirect.h"
#include "swap.h"
#include "sys.h"
#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <stdarg.h>
#include <string.h>
#include <sys/resource.h>
#include <sys/syscall.h>
#include <unistd.h>

/* libc's headers name their parameters __fd; nobody else may.
 * NOLINTBEGIN(readability-inconsistent-declaration-parameter-name) */
#define EXPORT __attribute__((visibility("default")))

static long told(long rc)
{
    if (rc >= 0)
        return rc;
    errno = (int)-rc;
    return -1;
}

/* ---- connections ---- */

static long do_connect(int fd, const struct sockaddr *to, socklen_t len)
{
    int rc = redirect_connect(fd, to, len);

    return rc == REDIRECT_PASS ? sys_connect(fd, to, len) : rc;
}

EXPORT int connect(int fd, const struct sockaddr *to, socklen_t len)
{
    return (int)told(do_connect(fd, to, len));
}

static long do_sendmsg(int fd, const struct msghdr *m, int flags)
{
    ssize_t rc = redirect_sendmsg(fd, m, flags);

    return rc == REDIRECT_PASS ? sys_sendmsg(fd, m, flags) : rc;
}

EXPORT ssize_t sendmsg(int fd, const struct msghdr *m, int flags)
{
    return told(do_sendmsg(fd, m, flags));
}

static long do_sendto(int fd, const void *data, size_t n, int flags, const struct sockaddr *to,
                      socklen_t len)
{
    if (to != NULL && redirect_on()) {
        union { /* struct msghdr has no const */
            const void *in;
            void *out;
        } address = {.in = to}, octets = {.in = data};
        struct iovec part = {.iov_base = octets.out, .iov_len = n};
        struct msghdr m = {
            .msg_name = address.out, .msg_namelen = len, .msg_iov = &part, .msg_iovlen = 1};
        ssize_t rc = redirect_sendmsg(fd, &m, flags);

        if (rc != REDIRECT_PASS)
            return rc;
    }
    return sys_call(SYS_sendto, fd, (long)data, (long)n, flags, (long)to, (long)len);
}

EXPORT ssize_t sendto(int fd, const void *data, size_t n, int flags, const struct sockaddr *to,
                      socklen_t len)
{
    return told(do_sendto(fd, data, n, flags, to, len));
}

/* Message by message only where the first one is ours to judge: they all go the same way. */
static long do_sendmmsg(int fd, struct mmsghdr *m, unsigned n, int flags)
{
    if (n == 0 || m == NULL || !redirect_on())
        return sys_call(SYS_sendmmsg, fd, (long)m, (long)n, flags, 0, 0);
    ssize_t rc = redirect_sendmsg(fd, &m[0].msg_hdr, flags);

    if (rc == REDIRECT_PASS)
        return sys_call(SYS_sendmmsg, fd, (long)m, (long)n, flags, 0, 0);
    if (rc < 0)
        return rc;
    m[0].msg_len = (unsigned)rc;
    return 1;
}

EXPORT int sendmmsg(int fd, struct mmsghdr *m, unsigned n, int flags)
{
    return (int)told(do_sendmmsg(fd, m, n, flags));
}

/* ---- what a socket says of itself ---- */

static long do_getpeername(int fd, struct sockaddr *out, socklen_t *len)
{
    int rc = redirect_getpeername(fd, out, len);

    return rc == REDIRECT_PASS ? sys_getpeername(fd, out, len) : rc;
}

EXPORT int getpeername(int fd, struct sockaddr *out, socklen_t *len)
{
    return (int)told(do_getpeername(fd, out, len));
}

static long do_getsockname(int fd, struct sockaddr *out, socklen_t *len)
{
    int rc = redirect_getsockname(fd, out, len);

    return rc == REDIRECT_PASS ? sys_getsockname(fd, out, len) : rc;
}

EXPORT int getsockname(int fd, struct sockaddr *out, socklen_t *len)
{
    return (int)told(do_getsockname(fd, out, len));
}

static long do_getsockopt(int fd, int level, int name, void *out, socklen_t *len)
{
    int rc = redirect_getsockopt(fd, level, name, out, len);

    return rc == REDIRECT_PASS ? sys_getsockopt(fd, level, name, out, len) : rc;
}

EXPORT int getsockopt(int fd, int level, int name, void *out, socklen_t *len)
{
    return (int)told(do_getsockopt(fd, level, name, out, len));
}

static long do_setsockopt(int fd, int level, int name, const void *in, socklen_t len)
{
    int rc = redirect_setsockopt(fd, level, name, in, len);

    return rc == REDIRECT_PASS ? sys_setsockopt(fd, level, name, in, len) : rc;
}

EXPORT int setsockopt(int fd, int level, int name, const void *in, socklen_t len)
{
    return (int)told(do_setsockopt(fd, level, name, in, len));
}

/* ---- the descriptor table ---- */

/* One call in turn with swaps. `first` to `last` are what it closes. */
static long in_turn(long number, long a, long b, long c, int first, int last)
{
    if (!install_busy())
        return sys_call(number, a, b, c, 0, 0, 0);
    bool locked = install_lock();
    long rc = sys_call(number, a, b, c, 0, 0, 0);

    if (locked)
        install_unlock();
    if (first <= last)
        swap_closed(first, last);
    return rc;
}

static long do_epoll_ctl(int ep, int op, int fd, const struct epoll_event *ev)
{
    return redirect_on() ? install_epoll_ctl(ep, op, fd, ev) : sys_epoll_ctl(ep, op, fd, ev);
}

EXPORT int epoll_ctl(int ep, int op, int fd, struct epoll_event *ev)
{
    return (int)told(do_epoll_ctl(ep, op, fd, ev));
}

static long do_close(int fd)
{
    if (redirect_on())
        install_saw_close(fd);
    return in_turn(SYS_close, fd, 0, 0, fd, fd);
}

EXPORT int close(int fd)
{
    return (int)told(do_close(fd));
}

static long do_dup3(int from, int to, int flags)
{
    /* Notes of `to` stay: should this fail, so does what is registered. */
    return in_turn(SYS_dup3, from, to, flags, to, to);
}

static long do_dup2(int from, int to)
{
    if (from != to)
        return do_dup3(from, to, 0);
    int rc = sys_fcntl(from, F_GETFD, 0); /* it must be open, and that is all */

    return rc < 0 ? rc : to;
}

EXPORT int dup2(int from, int to)
{
    return (int)told(do_dup2(from, to));
}

EXPORT int dup3(int from, int to, int flags)
{
    return (int)told(do_dup3(from, to, flags));
}

static long do_close_range(unsigned first, unsigned last, int flags)
{
    int low = first > INT_MAX ? INT_MAX : (int)first;
    int high = last > INT_MAX ? INT_MAX : (int)last;

    return in_turn(SYS_close_range, (long)first, (long)last, flags, low, high);
}

EXPORT int close_range(unsigned first, unsigned last, int flags)
{
    return (int)told(do_close_range(first, last, flags));
}

EXPORT void closefrom(int low)
{
    struct rlimit limit = {.rlim_cur = 1024};
    int first = low < 0 ? 0 : low;

    if (do_close_range((unsigned)first, UINT_MAX, 0) == 0)
        return;
    /* Linux before 5.9. */
    (void)sys_call(SYS_prlimit64, 0, RLIMIT_NOFILE, 0, (long)&limit, 0, 0);
    for (int fd = first; (rlim_t)fd < limit.rlim_cur; fd++)
        (void)do_close(fd);
}

/* ---- syscall(3) ---- */

#define POINTER(type, i) \
    ((type)a[i]) /* NOLINT(performance-no-int-to-ptr): that is syscall(3) */

static bool is_hooked(const long a[6], long number, long *rc)
{
    switch (number) {
    case SYS_connect:
        *rc = do_connect((int)a[0], POINTER(const struct sockaddr *, 1), (socklen_t)a[2]);
        return true;
    case SYS_sendto:
        *rc = do_sendto((int)a[0], POINTER(const void *, 1), (size_t)a[2], (int)a[3],
                        POINTER(const struct sockaddr *, 4), (socklen_t)a[5]);
        return true;
    case SYS_sendmsg:
        *rc = do_sendmsg((int)a[0], POINTER(const struct msghdr *, 1), (int)a[2]);
        return true;
    case SYS_sendmmsg:
        *rc = do_sendmmsg((int)a[0], POINTER(struct mmsghdr *, 1), (unsigned)a[2], (int)a[3]);
        return true;
    case SYS_getpeername:
        *rc = do_getpeername((int)a[0], POINTER(struct sockaddr *, 1), POINTER(socklen_t *, 2));
        return true;
    case SYS_getsockname:
        *rc = do_getsockname((int)a[0], POINTER(struct sockaddr *, 1), POINTER(socklen_t *, 2));
        return true;
    case SYS_getsockopt:
        *rc = do_getsockopt((int)a[0], (int)a[1], (int)a[2], POINTER(void *, 3),
                            POINTER(socklen_t *, 4));
        return true;
    case SYS_setsockopt:
        *rc = do_setsockopt((int)a[0], (int)a[1], (int)a[2], POINTER(const void *, 3),
                            (socklen_t)a[4]);
        return true;
    default:
        return false;
    }
}

static bool is_serialised(const long a[6], long number, long *rc)
{
    switch (number) {
    case SYS_epoll_ctl:
        *rc = do_epoll_ctl((int)a[0], (int)a[1], (int)a[2], POINTER(struct epoll_event *, 3));
        return true;
    case SYS_close:
        *rc = do_close((int)a[0]);
        return true;
    case SYS_close_range:
        *rc = do_close_range((unsigned)a[0], (unsigned)a[1], (int)a[2]);
        return true;
#ifdef SYS_dup2
    case SYS_dup2:
        *rc = do_dup2((int)a[0], (int)a[1]);
        return true;
#endif
    case SYS_dup3:
        *rc = do_dup3((int)a[0], (int)a[1], (int)a[2]);
        return true;
    default:
        return false;
    }
}

EXPORT long syscall(long number, ...)
{
    long a[6], rc;
    va_list args;

    va_start(args, number);
    for (unsigned i = 0; i < 6; i++)
        a[i] = va_arg(args, long); /* more than were given, as libc's own does;
                                      NOLINT(clang-analyzer-valist.Uninitialized): it is not */
    va_end(args);
    if (!is_hooked(a, number, &rc) && !is_serialised(a, number, &rc)) {
        rc = sys_call(number, a[0], a[1], a[2], a[3], a[4], a[5]);
        if (number == SYS_io_uring_setup && rc >= 0 && redirect_on())
            install_saw_io_uring();
    }
    return rc < 0 && rc > -4096 ? told(rc) : rc;
}

__attribute__((constructor)) static void start(void)
{
    int before = errno;

    redirect_init();
    errno = before;
}
/* NOLINTEND(readability-inconsistent-declaration-parameter-name) */
