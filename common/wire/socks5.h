/* SPDX-License-Identifier: MIT */
/* socks5 - RFC 1928 messages, RFC 1929 sub-negotiation, the UDP header and the UDP-in-TCP frame; both roles.
 * Stateless prefix decoders and bounded encoders; see decode.h. Encoders latch wr.overflow. */
#ifndef WIRE_SOCKS5_H
#define WIRE_SOCKS5_H
#include "wire/decode.h"
#include "wire/outcome.h"
#include "wire/target.h"

enum {
    SOCKS5_VERSION = 0x05,
    SOCKS5_USERPASS_VERSION = 0x01, /* RFC 1929 s2 */
    SOCKS5_GREETING_MAX = 2 + 255,
    SOCKS5_REQUEST_MAX = 7 + 255,
    SOCKS5_REPLY_MAX = 7 + 255,
    SOCKS5_USERPASS_MIN = 3, /* without the fields' octets */
    SOCKS5_USERPASS_MAX = SOCKS5_USERPASS_MIN + 255 + 255,
    SOCKS5_MESSAGE_MAX = SOCKS5_USERPASS_MAX, /* no message is longer */
    SOCKS5_UDP_HEADER_MAX = 7 + 255,
};
enum socks5_method {
    SOCKS5_METHOD_NONE = 0x00,
    SOCKS5_METHOD_GSSAPI = 0x01,
    SOCKS5_METHOD_USERPASS = 0x02,
    SOCKS5_METHOD_UNACCEPTABLE = 0xFF,
};
enum socks5_command {
    SOCKS5_CONNECT = 0x01,
    SOCKS5_BIND = 0x02,
    SOCKS5_UDP_ASSOCIATE = 0x03,
    SOCKS5_FWD_UDP = 0x05,     /* hev-socks5 extension */
    SOCKS5_RESOLVE = 0xF0,     /* Tor extension */
    SOCKS5_RESOLVE_PTR = 0xF1, /* Tor extension */
};
enum socks5_atyp {
    SOCKS5_ATYP_IPV4 = 1,
    SOCKS5_ATYP_NAME = 3,
    SOCKS5_ATYP_IPV6 = 4,
};

struct socks5_greeting {
    struct span methods; /* view into the input; may be empty */
};
struct socks5_userpass {
    struct span user, pass; /* views; may be empty: the caller decides */
};
struct socks5_request {
    uint8_t command; /* as sent */
    uint8_t reserved;
    uint8_t atyp;    /* as sent; when it is unknown, `known_atyp` is false and nothing after it was parsed */
    bool known_atyp;
    struct span host; /* the 4, 16 or n address octets; view */
    uint16_t port;
};
struct socks5_reply {
    uint8_t rep;
    struct target bound;
};
struct socks5_udp {
    uint8_t frag;
    struct target target;
};

bool socks5_offers(const struct socks5_greeting *g, enum socks5_method m);

/* Server role. VERSION is judged from the first octet. Unknown commands and reserved octets are the caller's to judge
 * (RFC 1928 s6 wants a reply for the former); an unknown ATYP is DONE with known_atyp false and bytes = 4. */
struct decode socks5_decode_greeting(struct span in, struct socks5_greeting *out);
struct decode socks5_decode_userpass(struct span in, struct socks5_userpass *out);
struct decode socks5_decode_request(struct span in, struct socks5_request *out);
/* The target of a request: literals in names become addresses; NAME for a bad name. Port 0 is the caller's to judge. */
bool socks5_request_target(const struct socks5_request *req, struct target *out);

void socks5_encode_method(struct wr *w, enum socks5_method m);
void socks5_encode_userpass_status(struct wr *w, bool ok);
/* `bound` NULL or ADDR_NONE: ATYP 1 and zeros (10 octets), as every failure must be. v4-mapped becomes ATYP 1. */
void socks5_encode_reply(struct wr *w, enum socks5_rep rep, const struct addr *bound);
void socks5_encode_reply_name(struct wr *w, enum socks5_rep rep, const char *name); /* RESOLVE_PTR's answer */

/* Client role. */
void socks5_encode_greeting(struct wr *w, const uint8_t *methods, uint8_t count);
void socks5_encode_userpass(struct wr *w, struct span user, struct span pass); /* each 1..255, else overflow */
void socks5_encode_request(struct wr *w, uint8_t command, const struct target *t);
struct decode socks5_decode_method(struct span in, uint8_t *method);
struct decode socks5_decode_userpass_status(struct span in, bool *ok); /* accepts version 1 and, as seen in the field, 5 */
struct decode socks5_decode_reply(struct span in, struct socks5_reply *out);

/* UDP request header, RFC 1928 s7 (10, 22 or 7+n octets, then data), and the FWD_UDP frame: data length (2), header length
 * (1), address, data. `bytes` is the header's length; *data_len the datagram's (FWD_UDP only). */
struct decode socks5_decode_udp(struct span in, struct socks5_udp *out);
void socks5_encode_udp(struct wr *w, const struct target *t);
struct decode socks5_decode_fwd_udp(struct span in, struct target *t, uint16_t *data_len);
void socks5_encode_fwd_udp(struct wr *w, const struct target *t, uint16_t data_len);

#endif
