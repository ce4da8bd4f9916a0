/* SPDX-License-Identifier: MIT */
/* forger - a TCP peer made of raw packets on loopback, from an address nobody has
 * (203.0.113.99): it can send data in its SYN and leave out the third ACK, as a forged SYN or a
 * slow path does. Needs CAP_NET_RAW in the network namespace of rawnet_own_namespace(). */
#ifndef SUPPORT_FORGER_H
#define SUPPORT_FORGER_H
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

struct forger {
    int raw, tap; /* sends; sees what the server sends */
    uint16_t port, server_port;
    uint32_t seq, server_seq; /* next octet of ours; next of the server's */
    bool mptcp;
    uint8_t server_key[8];
    size_t heard; /* octets of payload the server sent */
    bool fin, rst;
};

bool forger_open(struct forger *f, uint16_t server_port, bool mptcp); /* false: not permitted */
/* The SYN, with `data` in it; MP_CAPABLE when mptcp (RFC 8684 s3.1). */
void forger_syn(struct forger *f, const void *data, size_t len);
/* Takes note of what the server sent so far. False: its SYN-ACK has not come. */
bool forger_hear(struct forger *f);
void forger_ack(struct forger *f); /* the third ACK */
void forger_reset(struct forger *f);
void forger_close(struct forger *f);

#endif
