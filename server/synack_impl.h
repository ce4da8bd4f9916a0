/* SPDX-License-Identifier: MIT */
/* synack_impl - synack's inside, shared by synack.c (queues, sessions of exact listeners) and
 * synack_embryo.c (hosts of transparent ones). */
#ifndef SERVER_SYNACK_IMPL_H
#define SERVER_SYNACK_IMPL_H
#include "synack.h"
#include <pthread.h>
#include <stdatomic.h>

/* Reading is one thread's at a time: its own worker's, or that of a session which wants to know
 * whether its SYN-ACK is here. */
struct reader {
    pthread_mutex_t lock;
    struct synack_queue queue;
};

struct synack {
    struct synack_table *table;
    _Atomic uint64_t warn_again_ms; /* when SYN-ACKs are missed */
    unsigned count, opened;
    unsigned rounds; /* of reading, which see the end of a full queue */
    uint16_t first;  /* queue number */
    struct reader reader[];
};

/* Of the queue of another worker, or of one's own. */
const struct synack_queue *synack_queue_of(const struct synack_port *p, unsigned index);
void synack_accept_packet(const struct synack_port *p, unsigned queue, uint32_t id);
void synack_drop_packet(const struct synack_port *p, unsigned queue, uint32_t id);
uint64_t synack_now_ms(void);

/* synack_embryo.c. */

/* Which transparent exact listener's socket sent it; NULL: none of ours. */
const struct listener_options *synack_embryo_listener(const struct config *c, uint32_t mark);
/* A SYN-ACK nobody knows, of a request at `o`: is held for an embryo that is begun here, or
 * passes. */
enum synack_verdict synack_embryo_judge(const struct synack_port *p,
                                        const struct listener_options *o,
                                        const struct synack_key *key, uint64_t cookie,
                                        const struct synack_held *held) MUST_CHECK;
/* Nobody was there: nothing is to be told either. */
bool synack_embryo_silent(const struct synack_hold *h, struct failure f);
/* The kernel forgets the host's request; before the refusal goes, or it would meet the host's
 * next SYN from the same port. Once; nothing for what is no embryo. */
void synack_embryo_cancel(const struct synack_port *p, struct synack_hold *h);
/* The session ends before its client was accepted. */
void synack_embryo_forget(struct synack_port *p, struct synack_hold *h);

#endif
