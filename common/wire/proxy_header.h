/* SPDX-License-Identifier: MIT */
/* proxy_header - the PROXY protocol, versions 1 and 2 (haproxy's proxy-protocol.txt): who is
 * behind a connection, in front of its octets. Both roles. Stateless prefix decoder; see
 * decode.h. */
#ifndef WIRE_PROXY_HEADER_H
#define WIRE_PROXY_HEADER_H
#include "wire/addr.h"
#include "wire/decode.h"

enum {
    PROXY_HEADER_V1_MAX = 107,      /* s2.1: the longest line, with its CRLF */
    PROXY_HEADER_V2_MAX = 16 + 520, /* ours: addresses (216 for AF_UNIX) and some TLVs */
    PROXY_HEADER_SENT_MAX = PROXY_HEADER_V1_MAX,
};
enum proxy_header_version { PROXY_HEADER_V1 = 1, PROXY_HEADER_V2 = 2 };

/* LOCAL, UNKNOWN, and families that are not IP over TCP say nothing: both are ADDR_NONE, and
 * the connection's own addresses count. */
struct proxy_header {
    struct addr source, destination;
};

/* BAD: MAGIC (no version's beginning), VERSION, COMMAND, LENGTH (too long, or too short for its
 * family), UNTERMINATED (no CRLF within 107 octets), FRAMING (a line that is not as it should
 * be). */
struct decode proxy_header_decode(struct span in, struct proxy_header *out);

/* Addresses of two families are both written as IPv6 (v4-mapped). Without a family: UNKNOWN
 * (1), LOCAL (2). At most PROXY_HEADER_SENT_MAX octets. */
void proxy_header_encode(struct wr *w, enum proxy_header_version version,
                         const struct proxy_header *h);

#endif
