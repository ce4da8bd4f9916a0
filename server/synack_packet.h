/* SPDX-License-Identifier: MIT */
/* synack_packet - the SYN-ACK of an exact listener as the netfilter queue shows it: an IP
 * packet, read and answered. Pure functions of octets; the packet may be anything, also cut
 * short or forged. No uv.h. RFC 9293, RFC 8684 s3.1 and s3.2, RFC 792, RFC 4443. */
#ifndef SERVER_SYNACK_PACKET_H
#define SERVER_SYNACK_PACKET_H
#include "base/check.h"
#include "wire/addr.h"
#include "wire/bytes.h"
#include "wire/outcome.h"

enum {
    SYNACK_PACKET_MAX = 128, /* IPv4 with options and TCP with options: 120; IPv6: 100 */
    SYNACK_REFUSAL_MAX =
        108, /* ICMPv6 with the IPv6 and TCP headers it is about: 40 + 8 + 40 + 20 */
};

enum synack_kind {
    SYNACK_FOREIGN, /* not a TCP SYN-ACK without FIN and RST, not IPv4 or IPv6, headers cut
                       short or with lengths that contradict each other */
    SYNACK_JOIN,    /* of a further subflow: MP_JOIN (RFC 8684 s3.2) */
    SYNACK_FIRST,   /* of a new connection, TCP or MPTCP */
};

struct synack_packet {
    struct addr local, peer; /* source and destination, with ports */
    uint32_t ack;            /* acknowledgment number */
    bool mptcp;              /* carries MP_CAPABLE */
};

/* *out is written unless the kind is FOREIGN. Fragments and IPv6 extension headers are FOREIGN,
 * and what is shorter than its header says, unless it is SYNACK_PACKET_MAX octets long: cut by
 * the queue. A malformed list of TCP options counts up to where it is malformed. Checksums are
 * not looked at: the network card may be the one to write them. */
enum synack_kind synack_parse(struct span packet, struct synack_packet *out);

/* How a connect() that the SYN-ACK would have confirmed is refused. */
struct synack_refusal {
    bool icmp; /* else a RST */
    uint8_t type, code;
};
/* What tells the client most precisely why: RST (the client's connect() says ECONNREFUSED), or
 * an ICMP (`ipv6`: ICMPv6) destination unreachable: network (ENETUNREACH), host (EHOSTUNREACH),
 * administratively prohibited (EHOSTUNREACH, over IPv6 EACCES). An UNREACHABLE is passed on
 * with the ICMP code it has (what is no refusal, or unknown: host), or by meaning when it comes
 * from the other family; port unreachable becomes a RST. */
struct synack_refusal synack_refusal(struct failure f, bool ipv6);

/* The packet that takes the place of the SYN-ACK `packet`: from and to the same addresses,
 * checksums complete, hop limit of the original. A RST acknowledges what the SYN-ACK does; an
 * ICMP message is about the client's SYN (addresses, ports, a sequence number within it), as
 * far as that can be told from its answer. `out` latches overflow when less than
 * SYNACK_REFUSAL_MAX is left in it, or when synack_parse() says FOREIGN. */
void synack_refuse_packet(struct span packet, struct synack_refusal how, struct wr *out);

#endif
