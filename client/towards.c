/* SPDX-License-Identifier: MIT */
#include "towards.h"
#include "mapped.h"
#include "room.h"
#include "sockopts.h"
#include "sys.h"
#include <errno.h>

/* The program's own family where it leads to the concentrator, so that getsockname() tells an
 * address of that family. */
static int family_for(const struct plan *p, struct addr *proxy)
{
    *proxy = addr_unmap(*proxy);
    if (proxy->family == ADDR_IPV6)
        return AF_INET6;
    if (p->family != AF_INET6 || p->v6only)
        return AF_INET;

    *proxy = mapped_for(*proxy, AF_INET6);
    return AF_INET6;
}

bool towards_may_be_exact(const struct settings *s)
{
    return s->exact == SETTINGS_EXACT_AUTO && s->on_failure == SETTINGS_FAIL &&
           s->tfo != SETTINGS_TFO_OFF &&
           (s->dialect == PROTOCOL_MP_CONVERT || s->dialect == PROTOCOL_CONVERT);
}

struct initiator_options towards_request(const struct settings *s)
{
    return (struct initiator_options){
        .dialect = s->dialect,
        .user = span_of(s->user, s->user_len),
        .pass = span_of(s->password, s->password_len),
        .cookie = span_of(s->cookie, s->cookie_len),
    };
}

/* A program at its limit of descriptors expects connect() to need none. */
int towards_open(struct towards *out, const struct settings *s, const struct plan *p,
                 const struct addr *proxy, int model, bool tfo)
{
    /* Trap T2 needs SYN data and MPTCP; without, autotuning does better. */
    uint32_t buffer = tfo && s->mptcp ? s->receive_buffer : 0;
    struct sockopts_report lost = {0};
    struct room was;

    *out = (struct towards){.fd = -1, .proxy = *proxy};
    int family = family_for(p, &out->proxy);
    int fd = sockopts_socket_like(model, family, s->mptcp, buffer, &out->is_mptcp, &lost);

    if (fd == -EMFILE && room_widen(&was)) {
        lost = (struct sockopts_report){0};
        fd = sockopts_socket_like(model, family, s->mptcp, buffer, &out->is_mptcp, &lost);
        room_narrow(&was);
    }
    if (fd < 0)
        return fd;
    out->fd = fd;
    out->lost = lost.lost;
    return 0;
}
