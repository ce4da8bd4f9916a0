/* SPDX-License-Identifier: MIT */
/* Happy path: open, look at what was opened (never at the path again), allocate when it is new,
 * map, close. Every failure closes the descriptor and tells which check it was; a file that
 * MAPFILE_NEW made and could not fill is removed again. */
#include "mapfile.h"
#include "sys.h"
#include <errno.h>
#include <fcntl.h>
#include <sys/stat.h>
#include <sys/syscall.h>

static long call3(long number, long a, long b, long c)
{
    return sys_call(number, a, b, c, 0, 0, 0);
}

static int check_owner(int fd, struct stat *st)
{
    long rc = call3(SYS_fstat, fd, (long)st, 0);

    if (rc < 0)
        return (int)rc;
    if (!S_ISREG(st->st_mode) || st->st_uid != (uid_t)call3(SYS_geteuid, 0, 0, 0))
        return -EPERM;
    return (st->st_mode & (S_IWGRP | S_IWOTH)) == 0 ? 0 : -EPERM;
}

/* Two processes may do this at once: both ask for the same. */
static int allocate(int fd, size_t size)
{
    long rc = call3(SYS_fchmod, fd, 0600, 0); /* whatever the program's umask made of it */

    if (rc < 0)
        return (int)rc;
    rc = sys_call(SYS_fallocate, fd, 0, 0, (long)size, 0, 0);
    if (rc == -EOPNOTSUPP || rc == -ENOSYS)
        rc = call3(SYS_ftruncate, fd, (long)size, 0);
    return (int)rc;
}

static int map(int fd, size_t size, enum mapfile_mode mode, void **out)
{
    struct stat st = {.st_mode = 0};
    int rc = check_owner(fd, &st);

    if (rc < 0)
        return rc;
    if (st.st_size == 0 && mode != MAPFILE_EXISTING) {
        rc = allocate(fd, size);
        if (rc < 0)
            return rc;
    } else if (st.st_size < 0 || (size_t)st.st_size != size) {
        return -EINVAL;
    }
    void *at = sys_map(size, fd);
    if (at == NULL)
        return -ENOMEM;
    *out = at;
    return 0;
}

int mapfile_open(const char *path, size_t size, enum mapfile_mode mode, void **out)
{
    /* O_NONBLOCK: a fifo or a device in its place must not hold us up */
    int flags = O_RDWR | O_NOFOLLOW | O_CLOEXEC | O_NONBLOCK | O_NOCTTY;

    if (mode == MAPFILE_ANY)
        flags |= O_CREAT;
    if (mode == MAPFILE_NEW)
        flags |= O_CREAT | O_EXCL;
    int fd = sys_open(path, flags, 0600);
    if (fd < 0)
        return fd;
    int rc = map(fd, size, mode, out);
    (void)sys_close(fd); /* the mapping holds the file */
    if (rc < 0 && mode == MAPFILE_NEW)
        (void)call3(SYS_unlinkat, AT_FDCWD, (long)path,
                    0); /* best effort: it is an error anyway */
    return rc;
}

void *mapfile_anonymous(size_t size)
{
    return sys_map(size, -1);
}
