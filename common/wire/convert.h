/* SPDX-License-Identifier: MIT */
/* convert - RFC 8803 0-RTT TCP Convert Protocol: fixed header and TLVs, both roles. Stateless prefix decoders; see decode.h. */
#ifndef WIRE_CONVERT_H
#define WIRE_CONVERT_H
#include "wire/decode.h"
#include "wire/outcome.h"
#include "wire/target.h"

enum {
    CONVERT_VERSION = 1,
    CONVERT_MAGIC = 0x2263,
    CONVERT_MESSAGE_MAX = 1020, /* 255 words, RFC 8803 s6.1 */
    CONVERT_HEADER_LEN = 4,
    CONVERT_OPTIONS_MAX = 40,   /* TCP option octets a SYN can carry */
    CONVERT_COOKIE_MAX = 1012,
};
enum convert_tlv {
    CONVERT_TLV_INFO = 0x01,
    CONVERT_TLV_CONNECT = 0x0A,
    CONVERT_TLV_EXTENDED_TCP_HEADER = 0x14,
    CONVERT_TLV_SUPPORTED = 0x15,
    CONVERT_TLV_COOKIE = 0x16,
    CONVERT_TLV_ERROR = 0x1E,
    CONVERT_TLV_NO_ANSWER = 0xC0, /* ours, RFC 8803 s10.2.2 private use: docs/protocol.md, "No answer wanted" */
};
enum tcp_option_kind {
    TCP_OPTION_END = 0,
    TCP_OPTION_NOP = 1,
    TCP_OPTION_MSS = 2,
    TCP_OPTION_WSCALE = 3,
    TCP_OPTION_SACK_PERMITTED = 4,
    TCP_OPTION_SACK = 5,
    TCP_OPTION_TIMESTAMPS = 8,
    TCP_OPTION_AO = 29,
    TCP_OPTION_MPTCP = 30,
    TCP_OPTION_FASTOPEN = 34,
};

/* What a client sent. Views die with the input. */
struct convert_request {
    bool info;
    bool connect;
    bool has_cookie;
    bool no_answer;      /* with a Connect: send nothing; with an Info alone: say whether you are exact */
    struct addr target;  /* v4-mapped becomes IPv4; port in it */
    struct span options; /* of an Extended Connect, RFC 8803 s6.2.5; empty for a Base Connect */
    struct span cookie;  /* without TLV header and the 2 zero octets; padding included, see Y6 */
};

/* The TCP options of an Extended Connect, judged by R13 and R14. */
struct convert_options {
    bool mptcp;        /* kind 30 without content: towards the server too */
    bool fastopen;     /* kind 34 without content */
    bool refused;      /* an option we cannot honour: answer Error 33 with `kinds` */
    uint8_t kinds[CONVERT_OPTIONS_MAX];
    uint8_t kinds_len;
};

/* What a converter answered. Views die with the input. */
struct convert_answer {
    bool is_error;
    uint8_t error_code;
    struct span error_value; /* after the code octet, padding included */
    struct span options;     /* of the Extended TCP Header TLV */
    bool server_mptcp;       /* kind 30 in it: L6 */
    struct span supported;   /* kinds of Supported TCP Extensions, zero padding included */
    bool exact;              /* No Answer TLV: of an Info's answer, the listener is exact */
};

/* Server role. BAD and what R3..R8 answer to it (see convert_failure): MAGIC and TOTAL_LENGTH_ZERO -> reset; VERSION ->
 * Error 0; TYPE, TYPE_ZERO -> Error 2; FRAMING, DUPLICATE, CONNECT_LENGTH, INFO_LENGTH, LENGTH (of No Answer), FORBIDDEN -> Error 1.
 * The verdict on the version needs 4 octets (the magic tells Convert from garbage); all other BADs with the magic and
 * version right need the whole message, so that it can be echoed: BAD is given only when in.len >= 4 * Total Length. */
struct decode convert_decode_request(struct span in, struct convert_request *out);

/* Of a message that is BAD: does a No Answer TLV stand before what cannot be read? Then not even an error may be sent. */
bool convert_is_unanswerable(struct span in);

/* OUTCOME_UNSUPPORTED_VERSION, _UNSUPPORTED_MESSAGE, _MALFORMED, _FORBIDDEN_ADDRESS; `reset` when no answer may be sent. */
struct failure convert_failure(enum reject why, bool *reset);

/* False: malformed option list (Error 1). */
bool convert_judge_options(struct span options, struct convert_options *out);

/* Encoders write whole messages: fixed header and TLVs. */
/* What `r` says, an empty cookie being none (has_cookie is not looked at). No Answer goes first, so that
 * convert_is_unanswerable() finds it whatever is wrong with the rest. */
void convert_encode_request(struct wr *w, const struct convert_request *r);
void convert_encode_connect(struct wr *w, const struct addr *target, struct span options, struct span cookie, bool info);
void convert_encode_info(struct wr *w);
/* Success answer: Extended TCP Header TLV with `options` (R16; may be empty: then a bare header when `kinds` is empty too),
 * Supported TCP Extensions with `kinds` first when not empty (R10, R11). */
void convert_encode_answer(struct wr *w, struct span options, struct span kinds);
/* Success answer to an Info without Connect: `kinds` as above, and No Answer when `exact`. */
void convert_encode_info_answer(struct wr *w, struct span kinds, bool exact);
/* Error TLV. For MALFORMED and UNSUPPORTED_MESSAGE `value` is the offending message (cut to 1012 octets and preceded by the
 * zero octet here); for MISSING_COOKIE the cookie (the zero octet is added here); for the others the value octets, at
 * least one is written. */
void convert_encode_error(struct wr *w, enum convert_error code, struct span value);

/* Client role. BAD: MAGIC, VERSION, TOTAL_LENGTH_ZERO, FRAMING, DUPLICATE, TYPE_ZERO. Unknown types are skipped. A bare
 * header is success (L3). */
struct decode convert_decode_answer(struct span in, struct convert_answer *out);

/* TCP options of a SYN+ACK synthesised from what TCP_INFO tells (R16): NOP padded to 4; at most 40 octets. */
struct convert_synack {
    uint16_t mss;
    bool sack, timestamps, wscale, mptcp;
    uint8_t wscale_value;
};
void convert_encode_synack_options(struct wr *w, const struct convert_synack *s);

#endif
