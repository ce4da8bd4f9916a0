/* SPDX-License-Identifier: MIT */
/* detect - which protocol is this, from the first octets of the stream. Pure; see mp_convert section 12 in docs/protocol.md. */
#ifndef WIRE_DETECT_H
#define WIRE_DETECT_H
#include "wire/decode.h"

enum protocol {
    PROTOCOL_UNKNOWN,
    PROTOCOL_SOCKS5,
    PROTOCOL_SOCKS4,
    PROTOCOL_MP_CONVERT, /* draft -10 information elements */
    PROTOCOL_PM08,       /* draft -08/-09 option bytes */
    PROTOCOL_CONVERT,    /* RFC 8803 */
    PROTOCOL_HTTP,       /* an HTTP method: answered with a short 501, never served */
    PROTOCOL_TRANSPARENT, /* no protocol: the address the client connected to is its target */
    PROTOCOL_COUNT
};
#define PROTOCOL_BIT(p) (1u << (p))

const char *protocol_name(enum protocol p); /* "socks5", "mp_convert", ... */

/* DONE: *out is the only protocol of `allowed` (PROTOCOL_BITs) that these octets can begin; bytes is how many were looked
 * at, nothing is consumed. MORE: `bytes` octets are needed to tell. BAD MAGIC: none fits; *out is then the best guess for the
 * log (e.g. PROTOCOL_HTTP, or a protocol that is not allowed here), else PROTOCOL_UNKNOWN. */
struct decode protocol_detect(struct span in, unsigned allowed, enum protocol *out);

#endif
