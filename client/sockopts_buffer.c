/* SPDX-License-Identifier: MIT */
/* A buffer that was set stays as it is: autotuning ends, and on MPTCP nothing gives it back
 * (SO_BUF_LOCK). Cut to the stock rmem_max it would throttle every long path, which is worse
 * than the trap. So a socket of its own, which is then closed, says once for each size how much
 * there may be. */
#include "sockopts_buffer.h"
#include "sys.h"
#include <stdatomic.h>
#include <stdbool.h>
#include <stddef.h>
#include <sys/socket.h>

enum way { UNKNOWN, NONE, PLAIN, FORCE };

/* size << 2 | way: what was found for the last size; a process has one. */
static _Atomic uint64_t found;

static enum way try_size(int octets)
{
    int fd = sys_socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0), got = 0;
    enum way way = NONE;

    if (fd < 0)
        return UNKNOWN;
    if (sys_set_int(fd, SOL_SOCKET, SO_RCVBUFFORCE, octets) == 0)
        way = FORCE;
    else if (sys_set_int(fd, SOL_SOCKET, SO_RCVBUF, octets) == 0 &&
             sys_get_int(fd, SOL_SOCKET, SO_RCVBUF, &got) == 0 && got / 2 >= octets)
        way = PLAIN; /* the kernel doubles what it is told */
    (void)sys_close(fd);
    return way;
}

static enum way way_for(uint32_t octets)
{
    uint64_t is = atomic_load(&found);

    if (is >> 2 == octets && (is & 3) != UNKNOWN)
        return (enum way)(is & 3);
    enum way way = try_size((int)octets);

    atomic_store(&found, (uint64_t)octets << 2 | way);
    return way;
}

void sockopts_buffer_raise(int fd, uint32_t octets)
{
    int before = 0;

    if (octets == 0 || octets > INT32_MAX / 2 ||
        sys_get_int(fd, SOL_SOCKET, SO_RCVBUF, &before) != 0 || before >= (int)octets * 2)
        return;
    enum way way = way_for(octets);

    if (way == PLAIN || way == FORCE)
        (void)sys_set_int(fd, SOL_SOCKET, way == FORCE ? SO_RCVBUFFORCE : SO_RCVBUF,
                          (int)octets); /* without: slower behind an old concentrator */
}
