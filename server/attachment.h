/* SPDX-License-Identifier: MIT */
/* attachment - tells when this host's addresses or default routes have changed: it may be in
 * another network, and what was learnt of the old one is void (draft -10 s5.2, K5). Loop thread
 * only.
 *
 * Happy path: the kernel's route netlink speaks of an address or a default route; half a second
 * later, when it is quiet, the addresses are compared with those before: an IPv6 router that
 * renews a lifetime changes nothing. Failure path: no such socket (a sandbox): nothing is ever
 * told. Needs no privilege. */
#ifndef SERVER_ATTACHMENT_H
#define SERVER_ATTACHMENT_H
#include "base/check.h"
#include <stdbool.h>
#include <stdint.h>
#include <uv.h>

typedef void attachment_fn(void *arg);

struct attachment {
    uv_poll_t poll;
    uv_timer_t settle;
    int fd;
    uint64_t addresses; /* a hash of all, in any order */
    bool open, route;   /* a default route came or went */
    attachment_fn *changed;
    void *arg;
};

/* 0, or -errno or UV_E*: nothing is open. `a` is embedded in what outlives the loop. */
int attachment_open(struct attachment *a, uv_loop_t *loop, attachment_fn *changed,
                    void *arg) MUST_CHECK;
void attachment_close(struct attachment *a); /* harmless when nothing is open */

/* Does this datagram of the kernel's tell of a default route (*route), or of an address? Of
 * anything that is cut short: false. */
bool attachment_concerns(const void *message, size_t len, bool *route);

#endif
