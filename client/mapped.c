/* SPDX-License-Identifier: MIT */
#include "mapped.h"
#include <string.h>

struct addr mapped_for(struct addr a, int family)
{
    uint8_t ip[16] = {[10] = 0xff, [11] = 0xff};

    if (family != AF_INET6)
        return addr_unmap(a);
    if (a.family != ADDR_IPV4)
        return a;
    memcpy(ip + 12, a.ip, 4);
    return addr_ipv6(ip, a.port);
}
