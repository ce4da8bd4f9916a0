/* SPDX-License-Identifier: MIT */
/* synack_queue - one netfilter queue (nfnetlink_queue) with SYN-ACKs in it, and the socket to
 * ask whose they are (synack_diag.h). The netlink dialogue only; what becomes of a packet is synack.c's.
 * Needs CAP_NET_ADMIN. Reading: one thread. Verdicts: any thread (one datagram each, on a
 * socket that lives until close). No uv.h. */
#ifndef SERVER_SYNACK_QUEUE_H
#define SERVER_SYNACK_QUEUE_H
#include "base/check.h"
#include "wire/bytes.h"
#include <stdbool.h>
#include <stdint.h>

struct synack_queue {
    int fd;      /* netlink, non-blocking; -1: closed */
    int diag_fd; /* sock_diag; blocking: the kernel answers in the call */
    uint16_t number;
};

/* Binds queue `number`: packets are copied up to SYNACK_PACKET_MAX octets, `length` of them may
 * wait, and what does not fit passes (fail-open). 0; -EPERM: no CAP_NET_ADMIN, or another
 * process has this queue; else -errno, and nothing is left behind. */
int synack_queue_open(struct synack_queue *q, uint16_t number, uint32_t length) MUST_CHECK;
/* What the kernel still keeps is dropped by it. */
void synack_queue_close(struct synack_queue *q);

struct synack_arrival {
    uint32_t id;   /* the kernel's, for the verdict */
    uint32_t mark; /* of the packet: the one of its socket (SO_MARK); 0: none */
};
/* Called per packet. `packet` may be cut to SYNACK_PACKET_MAX, and dies with the call. */
typedef void synack_packet_fn(void *arg, struct synack_arrival a, struct span packet);
/* Reads what is there, at most `budget` datagrams. 0: nothing is left; 1: budget used up;
 * -ENOBUFS: the kernel lost some (they passed, or were dropped and will be sent again), told
 * once: read on; else -errno. Datagrams that are not the kernel's or not packets are skipped
 * and counted in *foreign. */
int synack_queue_read(struct synack_queue *q, unsigned budget, synack_packet_fn *fn, void *arg,
                      uint64_t *foreign) MUST_CHECK;

/* Let go, drop, or (`len` > 0) let `packet` go in its place, which is SYNACK_PACKET_MAX octets
 * at most (-EMSGSIZE). 0 or -errno. That the kernel does not know the packet any more is told
 * as one datagram in *foreign. */
int synack_queue_accept(const struct synack_queue *q, uint32_t id);
int synack_queue_replace(const struct synack_queue *q, uint32_t id, struct span packet);
int synack_queue_drop(const struct synack_queue *q, uint32_t id);

#endif
