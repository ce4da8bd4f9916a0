/* SPDX-License-Identifier: MIT */
/* A timer: ringing is to set it, silencing is to stop it. With any other kind of descriptor
 * timerfd_settime() fails and does nothing, so it cannot matter that another thread may close
 * the number and use it for its own between the look and the call; an octet written to a socket
 * or an eventfd would be in somebody's data. Our timer is known by its period, so that one of
 * the program's that took the number is not taken for it. What is left is a timer of the
 * program that gets the number in the very moment between the two calls, without close(), which
 * takes turns (install.h): it would expire early. */
#include "swap_bell.h"
#include "install.h"
#include "room.h"
#include "sys.h"
#include <errno.h>
#include <stdatomic.h>
#include <sys/syscall.h>
#include <sys/timerfd.h>

enum { PERIOD_S = 0x4d504356 /* 41 years */, PERIOD_NS_MAX = 1000000000 };

static _Atomic int bell = -1;
static _Atomic long period_ns; /* not the same in any two processes, or after a fork() */

static long set(int fd, long first_ns)
{
    struct itimerspec t = {.it_interval = {PERIOD_S, atomic_load(&period_ns)},
                           .it_value = {0, first_ns}};

    return sys_call(SYS_timerfd_settime, fd, 0, (long)&t, 0, 0, 0);
}

static int ours(void)
{
    struct itimerspec t = {0};
    int fd = atomic_load(&bell);

    if (fd < 0 || sys_call(SYS_timerfd_gettime, fd, (long)&t, 0, 0, 0, 0) != 0 ||
        t.it_interval.tv_sec != PERIOD_S || t.it_interval.tv_nsec != atomic_load(&period_ns))
        return -1;
    return fd;
}

static int timer(void)
{
    return (int)sys_call(SYS_timerfd_create, CLOCK_MONOTONIC, TFD_CLOEXEC | TFD_NONBLOCK, 0, 0,
                         0, 0);
}

static void make(void)
{
    struct timespec now = {0};
    struct room was;
    int fd = timer();

    if (fd == -EMFILE && room_widen(&was)) {
        fd = timer();
        room_narrow(&was);
    }
    if (fd < 0)
        return;
    (void)sys_call(SYS_clock_gettime, CLOCK_MONOTONIC, (long)&now, 0, 0, 0, 0);
    atomic_store(&period_ns, (now.tv_nsec + sys_pid()) % PERIOD_NS_MAX);
    if (set(fd, 0) == 0)
        atomic_store(&bell, fd);
    else
        (void)sys_close(fd);
}

int swap_bell_fd(void)
{
    if (ours() < 0) {
        atomic_store(&bell, -1);
        make();
    }
    return ours();
}

static bool set_ours(long first_ns)
{
    bool locked = install_lock();
    int fd = ours();
    bool done = fd >= 0 && set(fd, first_ns) == 0;

    if (locked)
        install_unlock();
    return done;
}

bool swap_bell_ring(void)
{
    return set_ours(1);
}

void swap_bell_silence(void)
{
    (void)set_ours(0);
}

void swap_bell_drop(void)
{
    bool locked = install_lock();
    int fd = ours();

    if (fd >= 0)
        (void)sys_close(fd);
    atomic_store(&bell, -1);
    if (locked)
        install_unlock();
}
