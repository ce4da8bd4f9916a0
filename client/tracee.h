/* SPDX-License-Identifier: MIT */
/* tracee - a thread of another process, stopped in a system call: its memory, its descriptors,
 * what its epoll instances know. Used by the supervisor, which checks with the kernel that the
 * thread still waits after it looked: until then what is found here may be a stranger's who got
 * the same id. No shared state; one thread per value.
 *
 * Every function returns 0, or what it says, or -errno; -EPERM and -EACCES say that the process
 * must not be inspected by us (another user's, or not dumpable). */
#ifndef CLIENT_TRACEE_H
#define CLIENT_TRACEE_H
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <sys/epoll.h>
#include <sys/types.h>

enum { TRACEE_EPOLLS_MAX = 64 };

struct tracee {
    pid_t tid;
    int pidfd; /* the thread's where the kernel can (6.9), else its process's; readable when
                  that has ended */
};

int tracee_open(struct tracee *t, pid_t tid);
void tracee_close(struct tracee *t);

/* All or nothing; -EFAULT as the kernel itself would say it. */
int tracee_read(const struct tracee *t, uint64_t at, void *out, size_t len);
int tracee_write(const struct tracee *t, uint64_t at, const void *in, size_t len);
/* How many octets of a piece that may end in nothing could be read; -EFAULT for none. */
ssize_t tracee_read_some(const struct tracee *t, uint64_t at, void *out, size_t len);

/* A duplicate of its descriptor `fd`, close-on-exec. */
int tracee_fd(const struct tracee *t, int fd);
/* FD_CLOEXEC of its descriptor: 1 or 0. */
int tracee_cloexec(const struct tracee *t, int fd);

/* True when a signal waits for this very thread to leave its system call and run a handler.
 * What the kernel may give to another thread of the process does not count. */
bool tracee_signalled(const struct tracee *t);

/* Which of its descriptors are epoll instances, taken down at a time when nothing is in a
 * hurry. Holds as long as the thread does not leave its system call. */
struct tracee_epolls {
    bool known; /* false: others may change its descriptors meanwhile, or there are too many */
    uint64_t open; /* descriptors in all; always 0 before 6.2 */
    int count;
    int fd[TRACEE_EPOLLS_MAX];
};
void tracee_epolls(const struct tracee *t, struct tracee_epolls *out);

/* Registrations of the file with `inode` under the number `fd` in the epoll instances it has.
 */
struct tracee_registration {
    int epoll; /* its descriptor of the instance */
    struct epoll_event event;
};
/* The number found, at most `cap`. Where `seen` holds only those are looked at, else every
 * descriptor. */
int tracee_registrations(const struct tracee *t, const struct tracee_epolls *seen, int fd,
                         uint64_t inode, struct tracee_registration *out, int cap);

#endif
