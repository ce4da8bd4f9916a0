/* SPDX-License-Identifier: MIT */
#include "redirect_names.h"
#include "mapped.h"
#include "sys.h"
#include <errno.h>
#include <netinet/in.h>
#include <string.h>

static int give(const struct addr *a, struct sockaddr *out, socklen_t *len)
{
    struct sockaddr_storage whole;
    socklen_t n = addr_to_sockaddr(a, &whole);

    if ((int)*len < 0)
        return -EINVAL;
    if (out == NULL && *len > 0)
        return -EFAULT;
    if (*len > 0)
        memcpy(out, &whole, *len < n ? *len : n);
    *len = n;
    return 0;
}

int redirect_name_peer(const struct truth *t, struct sockaddr *out, socklen_t *len)
{
    struct addr a = mapped_for(t->peer, t->family);

    return give(&a, out, len);
}

/* connect() of a datagram socket sends nothing, but looks up the route. */
static bool towards(const struct addr *peer, struct addr *own)
{
    struct sockaddr_storage sa;
    socklen_t len = addr_to_sockaddr(peer, &sa);
    int fd = sys_socket(sa.ss_family, SOCK_DGRAM | SOCK_CLOEXEC, 0);

    if (fd < 0)
        return false;
    bool ok = sys_connect(fd, (const struct sockaddr *)&sa, len) == 0;

    len = sizeof sa;
    ok = ok && sys_getsockname(fd, (struct sockaddr *)&sa, &len) == 0 &&
         addr_from_sockaddr((const struct sockaddr *)&sa, len, own);
    (void)sys_close(fd);
    return ok;
}

static struct addr nobody(uint8_t family)
{
    static const uint8_t zero[16];

    return family == AF_INET6 ? addr_ipv6(zero, 0) : addr_ipv4(zero, 0);
}

int redirect_name_own(const struct truth *t, const struct sockaddr_storage *real,
                      socklen_t real_len, struct sockaddr *out, socklen_t *len)
{
    struct addr now, own, peer = addr_unmap(t->peer);
    bool have = addr_from_sockaddr((const struct sockaddr *)real, real_len, &now);
    uint16_t port = have ? now.port : 0;

    if ((t->state == TRUTH_CONNECTED || t->state == TRUTH_KERNEL) && have) {
        own = mapped_for(now, t->family);
        have = t->family == AF_INET6 || own.family == ADDR_IPV4;
    } else {
        have = false; /* a placeholder is on the loopback */
    }
    if (!have && towards(&peer, &own)) {
        own = mapped_for(own, t->family);
        have = true;
    }
    if (!have)
        own = nobody(t->family);
    own.port = port;
    return give(&own, out, len);
}

void redirect_reset(int fd)
{
    struct sockaddr unspec = {.sa_family = AF_UNSPEC};
    int error;

    (void)sys_connect(fd, &unspec, sizeof unspec);
    (void)sys_get_int(fd, SOL_SOCKET, SO_ERROR, &error);
}
