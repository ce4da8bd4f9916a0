/* SPDX-License-Identifier: MIT */
/* plan - what is to become of one connect(): left alone, refused, or asked of a concentrator.
 * Looks at the socket and the settings; changes nothing. No allocation, no errno; any thread.
 */
#ifndef CLIENT_PLAN_H
#define CLIENT_PLAN_H
#include "settings.h"
#include "shared.h"
#include "wire/target.h"
#include <sys/socket.h>

enum plan_kind {
    PLAN_PASS,   /* the kernel's business: not TCP, not IP, bypassed, already connecting or
                    connected, AF_UNSPEC, malformed (the kernel says how) */
    PLAN_REFUSE, /* UDP to port 443 under udp443 = refuse, a name behind an unknown pool
                    address: `error` */
    PLAN_AGAIN,  /* a redirected socket is asked again: pending (EALREADY or wait), connected
                    (0 once, then EISCONN), failed (its error) - shared.h tells */
    PLAN_PROXY,
};

struct plan {
    enum plan_kind kind;
    int error;            /* REFUSE: errno */
    struct target target; /* PROXY: what to ask for */
    struct addr peer;     /* PROXY: as the program wrote it (v4-mapped stays mapped) */
    int family;           /* PROXY: of the program's socket */
    bool v6only;
    int flags;       /* PROXY: F_GETFL */
    uint64_t cookie; /* of the program's socket */
};

/* `fd` is the program's socket in our own descriptor table. `sa` may be anything a program
 * passes, but must be readable. `shared` may be NULL. */
struct plan plan_connect(const struct settings *s, const struct shared *shared, int fd,
                         const struct sockaddr *sa, socklen_t len);
/* A datagram with a destination: REFUSE or PASS. */
struct plan plan_datagram(const struct settings *s, int fd, const struct sockaddr *sa,
                          socklen_t len);

#endif
