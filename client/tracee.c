/* SPDX-License-Identifier: MIT */
#include "tracee.h"
#include "sys.h"
#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <linux/kcmp.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <sys/uio.h>
#include <unistd.h>

enum {
    CALL_PIDFD_OPEN = 434,
    CALL_PIDFD_GETFD = 438,
    THREAD = O_EXCL, /* PIDFD_THREAD, 6.9 */
    SPARSE = 64,     /* numbers that are not open, beside one for each that is */
    TASK_LINKS = 2,  /* of /proc/PID/task, and one more for each thread */
    PROC_PATH_MAX = 64,
    PROC_LINE_MAX = 256,
};

/* Octets as the kernel's address of them: the interfaces take pointers and write to none. */
static long as_long(const void *p)
{
    return (long)(uintptr_t)p;
}

int tracee_open(struct tracee *t, pid_t tid)
{
    char path[PROC_PATH_MAX];
    long fd = sys_call(CALL_PIDFD_OPEN, tid, THREAD, 0, 0, 0, 0);

    if (tid <= 0)
        return -EPERM; /* of a pid namespace that we cannot see into */
    if (fd == -EINVAL) {
        /* Older: processes only. The thread's is the one that /proc has its directory in. */
        FILE *f = NULL;
        long tgid = 0;
        char line[PROC_LINE_MAX];

        (void)snprintf(path, sizeof path, "/proc/%d/status", (int)tid);
        if ((f = fopen(path, "re")) == NULL)
            return -errno;
        while (tgid == 0 && fgets(line, sizeof line, f) != NULL) {
            if (strncmp(line, "Tgid:", 5) == 0)
                tgid = strtol(line + 5, NULL, 10);
        }
        (void)fclose(f);
        fd = tgid > 0 ? sys_call(CALL_PIDFD_OPEN, tgid, 0, 0, 0, 0, 0) : -ESRCH;
    }
    if (fd < 0)
        return (int)fd;
    *t = (struct tracee){tid, (int)fd};
    return 0;
}

void tracee_close(struct tracee *t)
{
    if (t->pidfd >= 0)
        (void)sys_close(t->pidfd);
    t->pidfd = -1;
}

static ssize_t move(long call, const struct tracee *t, uint64_t at, const void *mine,
                    size_t len)
{
    /* Raw numbers, because `at` may be an address that no pointer of ours could be. */
    struct {
        uint64_t base, len;
    } here = {(uint64_t)(uintptr_t)mine, len}, there = {at, len};

    return sys_call(call, t->tid, as_long(&here), 1, as_long(&there), 1, 0);
}

ssize_t tracee_read_some(const struct tracee *t, uint64_t at, void *out, size_t len)
{
    return len == 0 ? 0 : move(SYS_process_vm_readv, t, at, out, len);
}

int tracee_read(const struct tracee *t, uint64_t at, void *out, size_t len)
{
    ssize_t n = tracee_read_some(t, at, out, len);

    if (n < 0)
        return (int)n;
    return (size_t)n == len ? 0 : -EFAULT;
}

int tracee_write(const struct tracee *t, uint64_t at, const void *in, size_t len)
{
    ssize_t n = len == 0 ? 0 : move(SYS_process_vm_writev, t, at, in, len);

    if (n < 0)
        return (int)n;
    return (size_t)n == len ? 0 : -EFAULT;
}

int tracee_fd(const struct tracee *t, int fd)
{
    return (int)sys_call(CALL_PIDFD_GETFD, t->pidfd, fd, 0, 0, 0, 0);
}

static FILE *open_fdinfo(const struct tracee *t, int fd)
{
    char path[PROC_PATH_MAX];

    (void)snprintf(path, sizeof path, "/proc/%d/fdinfo/%d", (int)t->tid, fd);
    return fopen(path, "re");
}

int tracee_cloexec(const struct tracee *t, int fd)
{
    FILE *f = open_fdinfo(t, fd);
    char line[PROC_LINE_MAX];
    int found = -ENODATA;

    if (f == NULL)
        return -errno;
    while (found < 0 && fgets(line, sizeof line, f) != NULL) {
        if (strncmp(line, "flags:", 6) == 0)
            found = (strtoul(line + 6, NULL, 8) & O_CLOEXEC) != 0;
    }
    (void)fclose(f);
    return found;
}

/* A signal to the process wakes its first thread if that one does not block it, so for that
 * thread those count, too. */
bool tracee_signalled(const struct tracee *t)
{
    char path[PROC_PATH_MAX], line[PROC_LINE_MAX];
    uint64_t own = 0, shared = 0, blocked = 0, caught = 0;
    bool first = false;
    FILE *f = NULL;

    (void)snprintf(path, sizeof path, "/proc/%d/status", (int)t->tid);
    if ((f = fopen(path, "re")) == NULL)
        return false;
    while (fgets(line, sizeof line, f) != NULL) {
        if (strncmp(line, "Tgid:", 5) == 0)
            first = strtol(line + 5, NULL, 10) == t->tid;
        else if (strncmp(line, "SigPnd:", 7) == 0)
            own = strtoull(line + 7, NULL, 16);
        else if (strncmp(line, "ShdPnd:", 7) == 0)
            shared = strtoull(line + 7, NULL, 16);
        else if (strncmp(line, "SigBlk:", 7) == 0)
            blocked = strtoull(line + 7, NULL, 16);
        else if (strncmp(line, "SigCgt:", 7) == 0)
            caught = strtoull(line + 7, NULL, 16);
    }
    (void)fclose(f);
    return ((own | (first ? shared : 0)) & ~blocked & caught) != 0;
}

/* "tfd: 7 events: 19 data: 7f00 pos:0 ino:1234 sdev:8" with blanks as the kernel likes. */
static bool field(const char *line, const char *key, int base, uint64_t *out)
{
    const char *at = strstr(line, key);
    char *end = NULL;

    if (at == NULL)
        return false;
    at += strlen(key);
    *out = strtoull(at, &end, base);
    return end != at;
}

static int registrations_in(FILE *f, int epoll, int fd, uint64_t inode,
                            struct tracee_registration *out, int cap)
{
    char line[PROC_LINE_MAX];
    uint64_t tfd = 0, events = 0, data = 0, ino = 0;
    int n = 0;

    while (n < cap && fgets(line, sizeof line, f) != NULL) {
        if (!field(line, "tfd:", 10, &tfd) || tfd != (uint64_t)fd ||
            !field(line, "ino:", 16, &ino) || ino != inode ||
            !field(line, "events:", 16, &events) || !field(line, "data:", 16, &data))
            continue;
        out[n++] = (struct tracee_registration){
            epoll, {.events = (uint32_t)events, .data = {.u64 = data}}};
    }
    return n;
}

/* What kcmp(2) says of a number's registration with a descriptor: it compares with a file of
 * ours, any, and the answer is in the errors. -ENOENT: an epoll instance without it; at least
 * 0: with it; -EINVAL: another file; -EBADF: not open. */
static long ask_epoll(const struct tracee *t, int fd, int number)
{
    struct kcmp_epoll_slot slot = {.efd = (uint32_t)fd, .tfd = (uint32_t)number};

    return sys_call(SYS_kcmp, sys_tid(), t->tid, KCMP_EPOLL_TFD, t->pidfd, as_long(&slot), 0);
}

/* kcmp() needs half the time of readlink(), which is for kernels and containers without. */
static bool is_epoll(const struct tracee *t, int fd)
{
    static const char kind[] = "anon_inode:[eventpoll]";
    char path[PROC_PATH_MAX], what[sizeof kind];
    long rc = ask_epoll(t, fd, 0);

    if (rc >= 0 || rc == -ENOENT)
        return true;
    if (rc == -EINVAL || rc == -EBADF)
        return false;
    (void)snprintf(path, sizeof path, "/proc/%d/fd/%d", (int)t->tid, fd);
    return readlink(path, what, sizeof what) == (ssize_t)sizeof kind - 1 &&
           memcmp(what, kind, sizeof kind - 1) == 0;
}

/* The next epoll instance of the list; -1: no more. */
static int next_epoll(const struct tracee *t, DIR *d)
{
    struct dirent *e = NULL;

    while ((e = readdir(d)) != NULL) {
        int fd = (int)strtol(e->d_name, NULL, 10);

        if (e->d_name[0] != '.' && is_epoll(t, fd))
            return fd;
    }
    return -1;
}

static DIR *open_fds(const struct tracee *t)
{
    char path[PROC_PATH_MAX];

    (void)snprintf(path, sizeof path, "/proc/%d/fd", (int)t->tid);
    return opendir(path);
}

/* How many descriptors are open; 0: the kernel does not tell. */
static uint64_t count_open(const struct tracee *t)
{
    char path[PROC_PATH_MAX];
    struct stat s;

    (void)snprintf(path, sizeof path, "/proc/%d/fd", (int)t->tid);
    return stat(path, &s) == 0 ? (uint64_t)s.st_size : 0;
}

static bool is_alone(const struct tracee *t)
{
    char path[PROC_PATH_MAX];
    struct stat s;

    (void)snprintf(path, sizeof path, "/proc/%d/task", (int)t->tid);
    return stat(path, &s) == 0 && s.st_nlink == TASK_LINKS + 1;
}

static bool note(struct tracee_epolls *out, int fd)
{
    if (out->count == TRACEE_EPOLLS_MAX)
        return false;
    out->fd[out->count++] = fd;
    return true;
}

/* By number until all that are open were met, which needs no list of names. False: they lie too
 * far apart, or there are too many. */
static bool note_by_number(const struct tracee *t, struct tracee_epolls *out)
{
    uint64_t end = 2 * out->open + SPARSE, met = 0;

    for (int fd = 0; met < out->open; fd++) {
        long rc = (uint64_t)fd < end ? ask_epoll(t, fd, 0) : -ERANGE;

        if (rc == -EBADF)
            continue;
        met++;
        if (rc != -EINVAL && ((rc < 0 && rc != -ENOENT) || !note(out, fd)))
            return false;
    }
    return out->open > 0;
}

static bool note_by_name(const struct tracee *t, struct tracee_epolls *out)
{
    DIR *d = open_fds(t);
    bool room = d != NULL;

    out->count = 0;
    for (int fd; room && (fd = next_epoll(t, d)) >= 0;)
        room = note(out, fd);
    if (d != NULL)
        (void)closedir(d);
    return room;
}

void tracee_epolls(const struct tracee *t, struct tracee_epolls *out)
{
    out->count = 0;
    out->open = count_open(t);
    out->known = is_alone(t) && (note_by_number(t, out) || note_by_name(t, out));
}

static int registrations_at(const struct tracee *t, int epoll, int fd, uint64_t inode,
                            struct tracee_registration *out, int cap)
{
    /* The list is as long as there are registrations: only where it is worth it. */
    FILE *f = ask_epoll(t, epoll, fd) == -ENOENT ? NULL : open_fdinfo(t, epoll);

    if (f == NULL)
        return 0; /* or closed meanwhile */
    int n = registrations_in(f, epoll, fd, inode, out, cap);
    (void)fclose(f);
    return n;
}

int tracee_registrations(const struct tracee *t, const struct tracee_epolls *seen, int fd,
                         uint64_t inode, struct tracee_registration *out, int cap)
{
    int n = 0;

    /* A process that shares the descriptors without being a thread (CLONE_FILES) would show in
     * the count. */
    if (seen->known && seen->open == count_open(t)) {
        for (int i = 0; i < seen->count && n < cap; i++)
            n += registrations_at(t, seen->fd[i], fd, inode, out + n, cap - n);
        return n;
    }
    DIR *d = open_fds(t);
    if (d == NULL)
        return -errno;
    for (int epoll; n < cap && (epoll = next_epoll(t, d)) >= 0;)
        n += registrations_at(t, epoll, fd, inode, out + n, cap - n);
    (void)closedir(d);
    return n;
}
