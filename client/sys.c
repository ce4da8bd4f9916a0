/* SPDX-License-Identifier: MIT */
#include "sys.h"
#include <errno.h>
#include <fcntl.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <time.h>

/* MAP_FAILED and the error range of the system call convention: -4095 .. -1. */
enum { SYS_ERRNO_MAX = 4095 };

static long pointer(const void *p)
{
    return (long)(uintptr_t)p;
}

int sys_socket(int family, int type, int protocol)
{
    return (int)sys_call(SYS_socket, family, type, protocol, 0, 0, 0);
}

int sys_connect(int fd, const struct sockaddr *to, socklen_t len)
{
    return (int)sys_call(SYS_connect, fd, pointer(to), (long)len, SYS_CLAIMED, 0, 0);
}

int sys_bind(int fd, const struct sockaddr *at, socklen_t len)
{
    return (int)sys_call(SYS_bind, fd, pointer(at), (long)len, 0, 0, 0);
}

int sys_listen(int fd, int backlog)
{
    return (int)sys_call(SYS_listen, fd, backlog, 0, 0, 0, 0);
}

int sys_accept(int fd, int flags)
{
    return (int)sys_call(SYS_accept4, fd, 0, 0, flags, 0, 0);
}

int sys_shutdown(int fd, int how)
{
    return (int)sys_call(SYS_shutdown, fd, how, 0, 0, 0, 0);
}

int sys_getsockname(int fd, struct sockaddr *out, socklen_t *len)
{
    return (int)sys_call(SYS_getsockname, fd, pointer(out), pointer(len), 0, 0, 0);
}

int sys_getpeername(int fd, struct sockaddr *out, socklen_t *len)
{
    return (int)sys_call(SYS_getpeername, fd, pointer(out), pointer(len), SYS_CLAIMED, 0, 0);
}

int sys_getsockopt(int fd, int level, int name, void *out, socklen_t *len)
{
    return (int)sys_call(SYS_getsockopt, fd, level, name, pointer(out), pointer(len), 0);
}

int sys_setsockopt(int fd, int level, int name, const void *in, socklen_t len)
{
    return (int)sys_call(SYS_setsockopt, fd, level, name, pointer(in), (long)len, 0);
}

int sys_get_int(int fd, int level, int name, int *out)
{
    int value = 0;
    socklen_t len = sizeof value;
    int rc = sys_getsockopt(fd, level, name, &value, &len);

    if (rc < 0)
        return rc;
    /* A few options answer with one octet (IP_TTL on request); that is not a whole int. */
    if (len != sizeof value)
        return -EINVAL;
    *out = value;
    return 0;
}

int sys_set_int(int fd, int level, int name, int value)
{
    return sys_setsockopt(fd, level, name, &value, sizeof value);
}

uint64_t sys_cookie(int fd)
{
#ifndef SO_COOKIE
    enum { SO_COOKIE = 57 };
#endif
    uint64_t cookie = 0;
    socklen_t len = sizeof cookie;

    if (sys_getsockopt(fd, SOL_SOCKET, SO_COOKIE, &cookie, &len) < 0 || len != sizeof cookie)
        return 0;
    return cookie;
}

ssize_t sys_recv(int fd, void *out, size_t len, int flags)
{
    return sys_call(SYS_recvfrom, fd, pointer(out), (long)len, flags, 0, 0);
}

ssize_t sys_send(int fd, const void *in, size_t len, int flags)
{
    return sys_call(SYS_sendto, fd, pointer(in), (long)len, flags, 0, 0);
}

ssize_t sys_sendmsg(int fd, const struct msghdr *m, int flags)
{
    return sys_call(SYS_sendmsg, fd, pointer(m), flags, SYS_CLAIMED, 0, 0);
}

ssize_t sys_read(int fd, void *out, size_t len)
{
    return sys_call(SYS_read, fd, pointer(out), (long)len, 0, 0, 0);
}

ssize_t sys_write(int fd, const void *in, size_t len)
{
    return sys_call(SYS_write, fd, pointer(in), (long)len, 0, 0, 0);
}

ssize_t sys_readlink(const char *path, char *out, size_t len)
{
    return sys_call(SYS_readlinkat, AT_FDCWD, pointer(path), pointer(out), (long)len, 0, 0);
}

int sys_open(const char *path, int flags, int mode)
{
    return (int)sys_call(SYS_openat, AT_FDCWD, pointer(path), flags, mode, 0, 0);
}

int sys_close(int fd)
{
    return (int)sys_call(SYS_close, fd, 0, 0, 0, 0, 0);
}

int sys_dup3(int from, int to, int flags)
{
    return (int)sys_call(SYS_dup3, from, to, flags, 0, 0, 0);
}

int sys_fcntl(int fd, int command, long arg)
{
    return (int)sys_call(SYS_fcntl, fd, command, arg, 0, 0, 0);
}

int sys_poll(struct pollfd *fds, unsigned count, int timeout_ms)
{
    /* ppoll, because aarch64 has no poll. The signal mask stays as it is. */
    struct timespec left = {.tv_sec = timeout_ms / 1000,
                            .tv_nsec = (long)(timeout_ms % 1000) * 1000000L};
    const struct timespec *limit = timeout_ms < 0 ? NULL : &left;

    return (int)sys_call(SYS_ppoll, pointer(fds), (long)count, pointer(limit), 0, 0, 0);
}

int sys_epoll_ctl(int ep, int op, int fd, const struct epoll_event *ev)
{
    return (int)sys_call(SYS_epoll_ctl, ep, op, fd, pointer(ev), 0, 0);
}

int sys_inode(int fd, uint64_t *inode)
{
    /* fstat on both machines fills the layout that libc's struct stat has there. */
    struct stat st = {0};
    int rc = (int)sys_call(SYS_fstat, fd, pointer(&st), 0, 0, 0, 0);

    if (rc < 0)
        return rc;
    *inode = st.st_ino;
    return 0;
}

void *sys_map(size_t len, int fd)
{
    long flags = MAP_SHARED | (fd < 0 ? MAP_ANONYMOUS : 0);
    long rc = sys_call(SYS_mmap, 0, (long)len, PROT_READ | PROT_WRITE, flags, fd, 0);

    if (rc < 0 && rc >= -SYS_ERRNO_MAX)
        return NULL;
    return (void *)(uintptr_t)rc; /* NOLINT(performance-no-int-to-ptr): the kernel's answer */
}

void sys_unmap(void *at, size_t len)
{
    if (at != NULL)
        (void)sys_call(SYS_munmap, pointer(at), (long)len, 0, 0, 0, 0);
}

uint64_t sys_now_ms(void)
{
    struct timespec now = {0, 0};

    /* The call itself, not libc's vDSO: this runs a few times per connect and inside filters.
     */
    (void)sys_call(SYS_clock_gettime, CLOCK_MONOTONIC, pointer(&now), 0, 0, 0, 0);
    return (uint64_t)now.tv_sec * 1000U + (uint64_t)now.tv_nsec / 1000000U;
}

int sys_pid(void)
{
    return (int)sys_call(SYS_getpid, 0, 0, 0, 0, 0, 0);
}

int sys_tid(void)
{
    return (int)sys_call(SYS_gettid, 0, 0, 0, 0, 0, 0);
}
