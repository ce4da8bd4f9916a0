/* SPDX-License-Identifier: MIT */
#include "tracee.h"
#include "sys.h"
#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/syscall.h>
#include <sys/uio.h>
#include <unistd.h>

enum {
    CALL_PIDFD_OPEN = 434,
    CALL_PIDFD_GETFD = 438,
    THREAD = O_EXCL, /* PIDFD_THREAD, 6.9 */
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

int tracee_registrations(const struct tracee *t, int fd, uint64_t inode,
                         struct tracee_registration *out, int cap)
{
    static const char kind[] = "anon_inode:[eventpoll]";
    char path[PROC_PATH_MAX], what[sizeof kind];
    struct dirent *e = NULL;
    DIR *d = NULL;
    int n = 0;

    (void)snprintf(path, sizeof path, "/proc/%d/fd", (int)t->tid);
    if ((d = opendir(path)) == NULL)
        return -errno;
    while (n < cap && (e = readdir(d)) != NULL) {
        ssize_t len = readlinkat(dirfd(d), e->d_name, what, sizeof what);

        if (len != (ssize_t)sizeof kind - 1 || memcmp(what, kind, sizeof kind - 1) != 0)
            continue;
        int epoll = (int)strtol(e->d_name, NULL, 10);
        FILE *f = open_fdinfo(t, epoll);
        if (f == NULL)
            continue; /* closed meanwhile */
        n += registrations_in(f, epoll, fd, inode, out + n, cap - n);
        (void)fclose(f);
    }
    (void)closedir(d);
    return n;
}
