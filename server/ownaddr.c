/* SPDX-License-Identifier: MIT */
#include "ownaddr.h"
#include <sys/socket.h>
#include <unistd.h>

/* Towards an address of this host the kernel chooses that address as the source, towards any
 * other one it cannot. */
bool ownaddr_is(const struct addr *a)
{
    struct addr to = addr_unmap(*a), from;
    struct sockaddr_storage sa;
    socklen_t len;
    bool own = false;

    to.port = 9; /* discard; any but 0 will do */
    len = addr_to_sockaddr(&to, &sa);
    if (len == 0)
        return false;
    int fd = socket(sa.ss_family, SOCK_DGRAM | SOCK_CLOEXEC, 0);
    if (fd < 0)
        return false;
    if (connect(fd, (struct sockaddr *)&sa, len) == 0) {
        len = sizeof sa;
        own = getsockname(fd, (struct sockaddr *)&sa, &len) == 0 &&
              addr_from_sockaddr((struct sockaddr *)&sa, len, &from) &&
              addr_equal_ip(&from, &to);
    }
    (void)close(fd);
    return own;
}
