/* SPDX-License-Identifier: MIT */
/* decode - the verdict every decoder of this folder returns.
 * A decoder is a stateless function of a prefix of the stream: call it again from the start when more has arrived. A verdict
 * DONE or BAD never changes when more octets follow. Outputs are written on DONE only (unless the decoder's header says
 * otherwise for BAD); views in them die with the input. */
#ifndef WIRE_DECODE_H
#define WIRE_DECODE_H
#include "wire/bytes.h"

enum decode_status {
    DECODE_DONE, /* a whole message */
    DECODE_MORE, /* a proper prefix of a message */
    DECODE_BAD,  /* no continuation can make this a message */
};

/* Why a message is BAD: one row -> constant, text for the log. */
/* clang-format off */
#define REJECT_MAP(X)                                  \
    X(NONE,              "none")                       \
    X(MAGIC,             "bad magic")                  \
    X(VERSION,           "version")                    \
    X(LENGTH,            "bad length")                 \
    X(TYPE,              "unknown type")               \
    X(TYPE_ZERO,         "type 0")                     \
    X(DUPLICATE,         "duplicate")                  \
    X(SAME_D,            "same D twice")               \
    X(TOO_MANY,          "too many elements")          \
    X(FRAMING,           "tlv framing")                \
    X(TOTAL_LENGTH_ZERO, "total length 0")             \
    X(CONNECT_LENGTH,    "connect length")             \
    X(INFO_LENGTH,       "info length")                \
    X(FORBIDDEN,         "forbidden address")          \
    X(RESERVED,          "reserved octet not zero")    \
    X(COMMAND,           "unknown command")            \
    X(ADDRESS_TYPE,      "unknown address type")       \
    X(NAME,              "bad host name")              \
    X(PORT,              "port 0")                     \
    X(PROTOCOL,          "unsupported protocol")       \
    X(MISMATCH,          "answer does not match")      \
    X(UNTERMINATED,      "missing terminator")
/* clang-format on */

enum reject {
#define X(name, text) REJECT_##name,
    REJECT_MAP(X)
#undef X
    REJECT_COUNT
};

struct decode {
    enum decode_status status;
    size_t bytes;    /* DONE: this message's length. MORE: input length to wait for (> what was given). BAD: 0. */
    enum reject why; /* BAD only, else REJECT_NONE */
};

static inline struct decode decode_done(size_t bytes)
{
    return (struct decode){DECODE_DONE, bytes, REJECT_NONE};
}

static inline struct decode decode_more(size_t want)
{
    return (struct decode){DECODE_MORE, want, REJECT_NONE};
}

static inline struct decode decode_bad(enum reject why)
{
    return (struct decode){DECODE_BAD, 0, why};
}

/* Never NULL. Defined in outcome.c, beside the other tables of words. */
const char *reject_text(enum reject why);

#endif
