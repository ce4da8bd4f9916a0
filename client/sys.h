/* SPDX-License-Identifier: MIT */
/* sys - system calls without libc's wrappers, for code that lives in other people's programs:
 * independent of who else interposes them, async-signal-safe, no errno, no cancellation point.
 * Every function returns the kernel's value or -errno. Any thread.
 *
 * connect(), sendmsg() and getpeername() carry SYS_CLAIMED in the fourth argument, which the
 * kernel ignores and the seccomp filter (filter.h) recognises: that call was looked at
 * already. */
#ifndef CLIENT_SYS_H
#define CLIENT_SYS_H
#include <poll.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <sys/epoll.h>
#include <sys/socket.h>
#include <sys/types.h>

enum { SYS_CLAIMED = 0x4d504356 };

#if defined(__x86_64__) && !defined(__ILP32__)
static inline long sys_call(long number, long a, long b, long c, long d, long e, long f)
{
    register long r10 __asm__("r10") = d;
    register long r8 __asm__("r8") = e;
    register long r9 __asm__("r9") = f;
    long rc;
    __asm__ volatile("syscall"
                     : "=a"(rc)
                     : "a"(number), "D"(a), "S"(b), "d"(c), "r"(r10), "r"(r8), "r"(r9)
                     : "rcx", "r11", "memory");
    return rc;
}
#elif defined(__aarch64__)
static inline long sys_call(long number, long a, long b, long c, long d, long e, long f)
{
    register long x8 __asm__("x8") = number;
    register long x0 __asm__("x0") = a;
    register long x1 __asm__("x1") = b;
    register long x2 __asm__("x2") = c;
    register long x3 __asm__("x3") = d;
    register long x4 __asm__("x4") = e;
    register long x5 __asm__("x5") = f;
    __asm__ volatile("svc #0"
                     : "+r"(x0)
                     : "r"(x8), "r"(x1), "r"(x2), "r"(x3), "r"(x4), "r"(x5)
                     : "memory");
    return x0;
}
#else
#error "the shim knows the system call conventions of x86-64 and aarch64"
#endif

int sys_socket(int family, int type, int protocol);
int sys_connect(int fd, const struct sockaddr *to, socklen_t len);
int sys_bind(int fd, const struct sockaddr *at, socklen_t len);
int sys_listen(int fd, int backlog);
int sys_accept(int fd, int flags);
int sys_shutdown(int fd, int how);
int sys_getsockname(int fd, struct sockaddr *out, socklen_t *len);
int sys_getpeername(int fd, struct sockaddr *out, socklen_t *len);
int sys_getsockopt(int fd, int level, int name, void *out, socklen_t *len);
int sys_setsockopt(int fd, int level, int name, const void *in, socklen_t len);
int sys_get_int(int fd, int level, int name, int *out); /* a whole int, or -errno */
int sys_set_int(int fd, int level, int name, int value);
uint64_t sys_cookie(int fd); /* SO_COOKIE; 0: not a socket */
ssize_t sys_recv(int fd, void *out, size_t len, int flags);
ssize_t sys_send(int fd, const void *in, size_t len, int flags);
ssize_t sys_sendmsg(int fd, const struct msghdr *m, int flags);
ssize_t sys_read(int fd, void *out, size_t len);
ssize_t sys_write(int fd, const void *in, size_t len);
ssize_t sys_readlink(const char *path, char *out, size_t len);
int sys_open(const char *path, int flags, int mode);
int sys_close(int fd);
int sys_dup3(int from, int to, int flags);
int sys_fcntl(int fd, int command, long arg);
int sys_poll(struct pollfd *fds, unsigned count, int timeout_ms); /* < 0: for ever */
int sys_epoll_ctl(int ep, int op, int fd, const struct epoll_event *ev);
int sys_inode(int fd, uint64_t *inode); /* st_ino of the open file; 0 or -errno */
void *sys_map(size_t len, int fd); /* fd < 0: anonymous; MAP_SHARED, zeroed; NULL on failure */
void sys_unmap(void *at, size_t len);
uint64_t sys_now_ms(void); /* CLOCK_MONOTONIC */
int sys_pid(void);
int sys_tid(void);

#endif
