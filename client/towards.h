/* SPDX-License-Identifier: MIT */
/* towards - the socket that a connection to a concentrator is made with, as much like the
 * program's as can be. No allocation, no errno; any thread. */
#ifndef CLIENT_TOWARDS_H
#define CLIENT_TOWARDS_H
#include "plan.h"
#include "settings.h"
#include "wire/initiator.h"

struct towards {
    int fd;            /* non-blocking, close-on-exec; the caller's */
    struct addr proxy; /* as the socket's family needs it */
    bool is_mptcp;
    unsigned lost; /* options of the model that it lacks */
};

/* 0, or -errno: no socket, which another concentrator cannot mend. `model`: the program's
 * socket. `tfo`: the request is to ride in the SYN. A program at its limit of descriptors is
 * given room. */
int towards_open(struct towards *out, const struct settings *s, const struct plan *p,
                 const struct addr *proxy, int model, bool tfo);
/* Whether a concentrator that is exact (docs/exact-connect.md) is of use with these settings:
 * all of the request must ride in the SYN, and nothing else be tried. */
bool towards_may_be_exact(const struct settings *s);
/* What the settings say of the request; borrows them. */
struct initiator_options towards_request(const struct settings *s);

#endif
