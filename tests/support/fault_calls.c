/* SPDX-License-Identifier: MIT */
#include "fault_calls.h"
#include <errno.h>
#include <stdarg.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/socket.h>
#include <sys/uio.h>
#include <uv.h>

static struct {
    unsigned count, countdown;
    int error;
    bool always, hit;
} fault[FAULT_CALL_COUNT];

static void set(enum fault_call c, unsigned n, int error, bool always)
{
    memset(&fault[c], 0, sizeof fault[c]);
    fault[c].countdown = n;
    fault[c].error = error;
    fault[c].always = always;
}

void fault_call_after(enum fault_call c, unsigned n, int error)
{
    set(c, n, error, false);
}

void fault_call_always(enum fault_call c, int error)
{
    set(c, 0, error, true);
}

bool fault_call_hit(enum fault_call c)
{
    return fault[c].hit;
}

unsigned fault_call_count(enum fault_call c)
{
    return fault[c].count;
}

void fault_calls_reset(void)
{
    memset(fault, 0, sizeof fault);
}

const char *fault_call_name(enum fault_call c)
{
    static const char *const name[FAULT_CALL_COUNT] = {
#define X(call) #call,
        FAULT_CALL_MAP(X)
#undef X
    };
    return name[c];
}

static bool fails(enum fault_call c)
{
    fault[c].count++;
    if (!fault[c].always && (fault[c].countdown == 0 || --fault[c].countdown > 0))
        return false;
    fault[c].hit = true;
    return true;
}

static int sys_failure(enum fault_call c)
{
    errno = fault[c].error;
    return -1;
}

/* The names are the linker's: --wrap=read calls __wrap_read for read, and read for __real_read.
 */
#define WRAP(type, name, failure, params, args)                      \
    type __real_##name params;                                       \
    type __wrap_##name params;                                       \
    type __wrap_##name params                                        \
    {                                                                \
        return fails(FAULT_##name) ? (failure) : __real_##name args; \
    }
#define WRAP_SYS(type, name, params, args) \
    WRAP(type, name, sys_failure(FAULT_##name), params, args)
#define WRAP_UV(name, params, args) WRAP(int, name, -fault[FAULT_##name].error, params, args)

WRAP_SYS(int, socket, (int family, int type, int protocol), (family, type, protocol))
WRAP_SYS(int, connect, (int fd, const struct sockaddr *to, socklen_t len), (fd, to, len))
WRAP_SYS(int, bind, (int fd, const struct sockaddr *to, socklen_t len), (fd, to, len))
WRAP_SYS(int, listen, (int fd, int backlog), (fd, backlog))
WRAP_SYS(int, accept4, (int fd, struct sockaddr *from, socklen_t *len, int flags),
         (fd, from, len, flags))
WRAP_SYS(int, setsockopt, (int fd, int level, int name, const void *value, socklen_t len),
         (fd, level, name, value, len))
WRAP_SYS(int, getsockopt, (int fd, int level, int name, void *value, socklen_t *len),
         (fd, level, name, value, len))
WRAP_SYS(int, shutdown, (int fd, int how), (fd, how))
WRAP_SYS(ssize_t, sendto,
         (int fd, const void *buf, size_t n, int flags, const struct sockaddr *to,
          socklen_t len),
         (fd, buf, n, flags, to, len))
WRAP_SYS(ssize_t, sendmsg, (int fd, const struct msghdr *msg, int flags), (fd, msg, flags))
WRAP_SYS(ssize_t, send, (int fd, const void *buf, size_t n, int flags), (fd, buf, n, flags))
WRAP_SYS(ssize_t, recv, (int fd, void *buf, size_t n, int flags), (fd, buf, n, flags))
WRAP_SYS(ssize_t, recvmsg, (int fd, struct msghdr *msg, int flags), (fd, msg, flags))
WRAP_SYS(ssize_t, recvfrom,
         (int fd, void *buf, size_t n, int flags, struct sockaddr *from, socklen_t *len),
         (fd, buf, n, flags, from, len))
WRAP_SYS(ssize_t, write, (int fd, const void *buf, size_t n), (fd, buf, n))
WRAP_SYS(ssize_t, writev, (int fd, const struct iovec *vec, int count), (fd, vec, count))
WRAP_SYS(ssize_t, read, (int fd, void *buf, size_t n), (fd, buf, n))
WRAP_SYS(int, pipe2, (int fds[2], int flags), (fds, flags))
WRAP_SYS(ssize_t, splice,
         (int in, off64_t *in_at, int out, off64_t *out_at, size_t n, unsigned flags),
         (in, in_at, out, out_at, n, flags))
WRAP_SYS(int, epoll_create1, (int flags), (flags))
WRAP_SYS(int, epoll_ctl, (int epfd, int op, int fd, struct epoll_event *event),
         (epfd, op, fd, event))
WRAP_SYS(int, epoll_wait, (int epfd, struct epoll_event *events, int n, int timeout_ms),
         (epfd, events, n, timeout_ms))
WRAP_SYS(int, eventfd, (unsigned initial, int flags), (initial, flags))
WRAP_SYS(ssize_t, getrandom, (void *buf, size_t n, unsigned flags), (buf, n, flags))

WRAP_UV(uv_loop_init, (uv_loop_t * loop), (loop))
WRAP_UV(uv_timer_init, (uv_loop_t * loop, uv_timer_t *h), (loop, h))
WRAP_UV(uv_timer_start,
        (uv_timer_t * h, uv_timer_cb cb, uint64_t timeout_ms, uint64_t repeat_ms),
        (h, cb, timeout_ms, repeat_ms))
WRAP_UV(uv_poll_init, (uv_loop_t * loop, uv_poll_t *h, int fd), (loop, h, fd))
WRAP_UV(uv_poll_start, (uv_poll_t * h, int events, uv_poll_cb cb), (h, events, cb))
WRAP_UV(uv_idle_init, (uv_loop_t * loop, uv_idle_t *h), (loop, h))
WRAP_UV(uv_idle_start, (uv_idle_t * h, uv_idle_cb cb), (h, cb))
WRAP_UV(uv_async_init, (uv_loop_t * loop, uv_async_t *h, uv_async_cb cb), (loop, h, cb))
WRAP_UV(uv_async_send, (uv_async_t * h), (h))
WRAP_UV(uv_signal_init, (uv_loop_t * loop, uv_signal_t *h), (loop, h))
WRAP_UV(uv_signal_start, (uv_signal_t * h, uv_signal_cb cb, int signum), (h, cb, signum))
WRAP_UV(uv_queue_work,
        (uv_loop_t * loop, uv_work_t *req, uv_work_cb work, uv_after_work_cb after),
        (loop, req, work, after))
WRAP_UV(uv_thread_create, (uv_thread_t * tid, uv_thread_cb entry, void *arg), (tid, entry, arg))

/* Variadic ones: every caller passes at most one more argument, an int or a pointer. */
int __real_fcntl(int fd, int command, ...);
int __wrap_fcntl(int fd, int command, ...);
int __wrap_fcntl(int fd, int command, ...)
{
    va_list ap;

    va_start(ap, command);
    void *argument = va_arg(ap, void *);
    va_end(ap);
    return fails(FAULT_fcntl) ? sys_failure(FAULT_fcntl) : __real_fcntl(fd, command, argument);
}

int __real_open(const char *path, int flags, ...);
int __wrap_open(const char *path, int flags, ...);
int __wrap_open(const char *path, int flags, ...)
{
    va_list ap;

    va_start(ap, flags);
    unsigned mode = va_arg(ap, unsigned);
    va_end(ap);
    return fails(FAULT_open) ? sys_failure(FAULT_open) : __real_open(path, flags, mode);
}
