/* SPDX-License-Identifier: MIT */
#include "keeper_fds.h"
#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/syscall.h>
#include <unistd.h>

/* close_range(2) came with 5.9; before, what is open stays open. */
static void close_between(unsigned first, unsigned last)
{
    if (first <= last)
        (void)syscall(SYS_close_range, first, last, 0);
}

void keeper_fds_reserve(void)
{
    int fd;

    do
        fd = open("/dev/null", O_RDWR | O_CLOEXEC);
    while (fd >= 0 && fd <= 2);
    if (fd > 2)
        (void)close(fd); /* one too many */
}

void keeper_fds_quiet(bool keep_stderr)
{
    int null = open("/dev/null", O_RDWR | O_CLOEXEC);

    for (int fd = 0; null >= 0 && fd <= (keep_stderr ? 1 : 2); fd++)
        (void)dup2(null, fd); /* stays what it is, at worst */
    if (null > 2)
        (void)close(null); /* never written to */
}

void keeper_fds_drop(const int *keep, size_t count, bool keep_stderr)
{
    unsigned from = 3;

    for (;;) { /* the lowest of `keep` that is not below `from` */
        unsigned next = UINT_MAX;

        for (size_t i = 0; i < count; i++)
            if (keep[i] >= 0 && (unsigned)keep[i] >= from && (unsigned)keep[i] < next)
                next = (unsigned)keep[i];
        if (next == UINT_MAX)
            break;
        if (next > from)
            close_between(from, next - 1);
        from = next + 1;
    }
    close_between(from, UINT_MAX);
    keeper_fds_quiet(keep_stderr);
}

bool keeper_fds_send(int pair, int fd_or_error)
{
    union {
        struct cmsghdr header;
        char room[CMSG_SPACE(sizeof(int))];
    } control = {.room = {0}};
    int error = fd_or_error < 0 ? fd_or_error : 0;
    struct iovec iov = {.iov_base = &error, .iov_len = sizeof error};
    struct msghdr m = {.msg_iov = &iov, .msg_iovlen = 1};

    if (fd_or_error >= 0) {
        m.msg_control = &control;
        m.msg_controllen = sizeof control.room;
        control.header = (struct cmsghdr){.cmsg_len = CMSG_LEN(sizeof(int)),
                                          .cmsg_level = SOL_SOCKET,
                                          .cmsg_type = SCM_RIGHTS};
        memcpy(CMSG_DATA(&control.header), &fd_or_error, sizeof fd_or_error);
    }
    return sendmsg(pair, &m, MSG_NOSIGNAL) == (ssize_t)sizeof error;
}

int keeper_fds_receive(int pair, int *fd)
{
    union {
        struct cmsghdr header;
        char room[CMSG_SPACE(sizeof(int))];
    } control = {.room = {0}};
    int error = 0;
    struct iovec iov = {.iov_base = &error, .iov_len = sizeof error};
    struct msghdr m = {.msg_iov = &iov,
                       .msg_iovlen = 1,
                       .msg_control = &control,
                       .msg_controllen = sizeof control.room};
    ssize_t n;

    do
        n = recvmsg(pair, &m, MSG_CMSG_CLOEXEC);
    while (n < 0 && errno == EINTR);
    if (n != (ssize_t)sizeof error)
        return -EPIPE;
    if (error != 0)
        return error;
    if (m.msg_controllen < sizeof control.header ||
        control.header.cmsg_len != CMSG_LEN(sizeof(int)) ||
        control.header.cmsg_type != SCM_RIGHTS)
        return -EPROTO; /* the table was full */
    memcpy(fd, CMSG_DATA(&control.header), sizeof *fd);
    return 0;
}
