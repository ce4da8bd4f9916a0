/* SPDX-License-Identifier: MIT */
/* socks4 - SOCKS4 and 4a, server role (draft-vance-socks-v4, socks4a.protocol). Stateless prefix decoder; see decode.h. */
#ifndef WIRE_SOCKS4_H
#define WIRE_SOCKS4_H
#include "wire/decode.h"
#include "wire/target.h"

enum {
    SOCKS4_VERSION = 0x04,
    SOCKS4_FIELD_MAX = 255, /* our cap on USERID and on the 4a name, each without its NUL */
    SOCKS4_REQUEST_MAX = 8 + 2 * (SOCKS4_FIELD_MAX + 1),
    SOCKS4_REPLY_LEN = 8,
};
enum socks4_command {
    SOCKS4_CONNECT = 1,
    SOCKS4_BIND = 2,
};
enum socks4_code {
    SOCKS4_GRANTED = 0x5A,
    SOCKS4_REJECTED = 0x5B,
    SOCKS4_NO_IDENTD = 0x5C,
    SOCKS4_USER_MISMATCH = 0x5D,
};
struct socks4_request {
    uint8_t command; /* as sent; the caller judges */
    struct span user; /* view; may be empty */
    struct target target;
};

/* BAD: VERSION, NAME (bad or empty 4a name), UNTERMINATED (a field over SOCKS4_FIELD_MAX without NUL). */
struct decode socks4_decode_request(struct span in, struct socks4_request *out);
void socks4_encode_reply(struct wr *w, enum socks4_code code); /* version 0, port and address zero */

#endif
