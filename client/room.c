/* SPDX-License-Identifier: MIT */
#include "room.h"
#include "install.h"
#include "sys.h"
#include <errno.h>
#include <fcntl.h>
#include <netinet/in.h>
#include <sys/resource.h>
#include <sys/syscall.h>

/* struct room is what the kernel takes on every machine. */
static bool limits(const struct room *set, struct room *was)
{
    return sys_call(SYS_prlimit64, 0, RLIMIT_NOFILE, (long)set, (long)was, 0, 0) == 0;
}

bool room_widen(struct room *was)
{
    *was = (struct room){0};
    if (!limits(NULL, was) || was->soft >= was->hard)
        return false;
    const struct room wide = {was->hard, was->hard};

    return limits(&wide, NULL);
}

void room_narrow(const struct room *was)
{
    struct room now = {0};

    if (limits(NULL, &now) && now.soft == was->hard && now.hard == was->hard)
        (void)limits(was, NULL);
}

/* EBADF: the number is open, but too high to be given (dup2(2)); EINVAL: so is every number. */
static bool lacks_room(int rc)
{
    return rc == -EMFILE || rc == -EBADF || rc == -EINVAL;
}

int room_socket(int family)
{
    const int type = SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK;
    struct room was;
    int rc = sys_socket(family, type, IPPROTO_TCP);

    if (rc == -EMFILE && room_widen(&was)) {
        rc = sys_socket(family, type, IPPROTO_TCP);
        room_narrow(&was);
    }
    return rc;
}

int room_dup(int fd)
{
    struct room was;
    int rc = sys_fcntl(fd, F_DUPFD_CLOEXEC, 0);

    if ((rc == -EMFILE || rc == -EINVAL) && room_widen(&was)) {
        rc = sys_fcntl(fd, F_DUPFD_CLOEXEC, 0);
        room_narrow(&was);
    }
    return rc == -EINVAL ? -EMFILE : rc;
}

int room_install(int fd, uint64_t cookie, int with, int *old)
{
    struct room was;
    int rc = install_at(fd, cookie, with, old);

    if (lacks_room(rc) && room_widen(&was)) {
        rc = install_at(fd, cookie, with, old);
        room_narrow(&was);
    }
    return lacks_room(rc) ? -EMFILE : rc;
}
