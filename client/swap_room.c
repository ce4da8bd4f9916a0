/* SPDX-License-Identifier: MIT */
#include "swap_room.h"
#include "install.h"
#include "sys.h"
#include <errno.h>
#include <fcntl.h>
#include <sys/resource.h>
#include <sys/syscall.h>

struct limits { /* the kernel's, on every machine */
    uint64_t soft, hard;
};

static bool limits(const struct limits *set, struct limits *was)
{
    return sys_call(SYS_prlimit64, 0, RLIMIT_NOFILE, (long)set, (long)was, 0, 0) == 0;
}

static bool widen(struct limits *was)
{
    *was = (struct limits){0};
    if (!limits(NULL, was) || was->soft >= was->hard)
        return false;
    const struct limits wide = {was->hard, was->hard};

    return limits(&wide, NULL);
}

static void narrow(const struct limits *was)
{
    struct limits now = {0};

    if (limits(NULL, &now) && now.soft == was->hard && now.hard == was->hard)
        (void)limits(was, NULL);
}

/* EBADF: the number is open, but too high to be given (dup2(2)); EINVAL: so is every number. */
static bool lacks_room(int rc)
{
    return rc == -EMFILE || rc == -EBADF || rc == -EINVAL;
}

int swap_room_dup(int fd)
{
    struct limits was;
    int rc = sys_fcntl(fd, F_DUPFD_CLOEXEC, 0);

    if ((rc == -EMFILE || rc == -EINVAL) && widen(&was)) {
        rc = sys_fcntl(fd, F_DUPFD_CLOEXEC, 0);
        narrow(&was);
    }
    return rc == -EINVAL ? -EMFILE : rc;
}

int swap_room_install(int fd, uint64_t cookie, int with, int *old)
{
    struct limits was;
    int rc = install_at(fd, cookie, with, old);

    if (lacks_room(rc) && widen(&was)) {
        rc = install_at(fd, cookie, with, old);
        narrow(&was);
    }
    return lacks_room(rc) ? -EMFILE : rc;
}
