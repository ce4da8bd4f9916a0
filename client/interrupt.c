/* SPDX-License-Identifier: MIT */
/* ppoll() ends with EINTR whatever handler ran, and which one it was is not told. Where the
 * program has handlers of both kinds, those with SA_RESTART are held back by ppoll()'s own mask
 * and announced by a signalfd: then EINTR is one of the others, and they run when ppoll()
 * returns and its mask goes, at once. Should there be no descriptor for that, they run after
 * SLICE_MS.
 *
 * Held back like that, a signal sent to the process may be taken by another thread that does
 * not block it, as POSIX allows at any time; those that interrupt stay where they were. What is
 * not seen: handlers that another thread changes in the middle of a wait. */
#include "interrupt.h"
#include "sys.h"
#include <errno.h>
#include <signal.h>
#include <sys/signalfd.h>
#include <sys/syscall.h>

enum {
    SIGNALS = 64,
    LIBC_FIRST =
        32, /* libc's own, for cancelling and set-user-ID: never the program's matter */
    LIBC_LAST = 33,
    SLICE_MS = 20,
};

struct kernel_sigaction { /* what rt_sigaction fills, on x86-64 and aarch64 */
    uintptr_t handler;    /* 0: default, 1: ignored */
    unsigned long flags;
    uintptr_t restorer;
    uint64_t mask;
};

struct caught { /* signals with handlers, one bit each, as in the kernel */
    uint64_t blocked, restart, interrupt;
};

static struct caught look(void)
{
    struct caught c = {0};

    (void)sys_call(SYS_rt_sigprocmask, SIG_BLOCK, 0, (long)&c.blocked, sizeof c.blocked, 0, 0);
    for (int sig = 1; sig <= SIGNALS; sig++) {
        struct kernel_sigaction a = {0};
        uint64_t bit = UINT64_C(1) << (sig - 1);

        if ((c.blocked & bit) != 0 ||
            sys_call(SYS_rt_sigaction, sig, 0, (long)&a, sizeof a.mask, 0, 0) != 0 ||
            a.handler <= 1)
            continue;
        if ((a.flags & SA_RESTART) != 0 || (sig >= LIBC_FIRST && sig <= LIBC_LAST))
            c.restart |= bit;
        else
            c.interrupt |= bit;
    }
    return c;
}

static int announce(int fd, const uint64_t *signals)
{
    return (int)sys_call(SYS_signalfd4, fd, (long)signals, sizeof *signals,
                         SFD_CLOEXEC | SFD_NONBLOCK, 0, 0);
}

static int poll_masked(struct pollfd *fds, unsigned count, int timeout_ms, uint64_t mask)
{
    struct timespec left = {.tv_sec = timeout_ms / 1000,
                            .tv_nsec = (long)(timeout_ms % 1000) * 1000000L};

    return (int)sys_call(SYS_ppoll, (long)fds, (long)count, (long)&left, (long)&mask,
                         sizeof mask, 0);
}

static int poll_apart(struct pollfd *fd, int timeout_ms, const struct caught *c)
{
    struct pollfd both[2] = {*fd, {.fd = announce(-1, &c->restart), .events = POLLIN}};
    int bell = both[1].fd;

    if (bell < 0 && timeout_ms > SLICE_MS)
        timeout_ms = SLICE_MS;
    int rc = poll_masked(both, bell < 0 ? 1 : 2, timeout_ms, c->blocked | c->restart);

    /* Another thread may have closed it: this call fails with what is no signalfd. */
    if (bell >= 0 && announce(bell, &c->restart) == bell)
        (void)sys_close(bell);
    fd->revents = both[0].revents;
    return rc <= 0 ? rc : fd->revents != 0;
}

int interrupt_poll(struct pollfd *fd, int timeout_ms)
{
    struct caught c = look();

    if (c.interrupt != 0 && c.restart != 0)
        return poll_apart(fd, timeout_ms, &c);
    int rc = sys_poll(fd, 1, timeout_ms);

    return rc == -EINTR && c.interrupt == 0 ? 0 : rc;
}
