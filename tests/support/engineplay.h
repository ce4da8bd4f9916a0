/* SPDX-License-Identifier: MIT */
/* engineplay - a whole session in one dialect, both its ends, octet by octet, a step per turn
 * of an enginebench. Takes every failure as it comes: then it is over, but not complete. */
#ifndef SUPPORT_ENGINEPLAY_H
#define SUPPORT_ENGINEPLAY_H
#include "enginebench.h"

/* clang-format off */
#define ENGINEPLAY_MAP(X)                                                                     \
    X(SOCKS5,      "socks5, in three steps")                                                  \
    X(PIPELINED,   "socks5, all at once, with early data")                                    \
    X(NAME,        "socks5 to a name")                                                        \
    X(PASSWORD,    "socks5 with a password")                                                  \
    X(SOCKS4,      "socks4")                                                                  \
    X(MP_CONVERT,  "mp_convert with early data, over MPTCP")                                  \
    X(CONVERT,     "convert with early data, over MPTCP")                                     \
    X(CONVERT_TCP, "convert over TCP")                                                        \
    X(BULK,        "socks5, enough octets for a pipe")                                        \
    X(RESOLVE,     "socks5, resolve")                                                         \
    X(RESOLVE_PTR, "socks5, resolve backwards")                                               \
    X(PROBE,       "mp_convert, capability probe")                                            \
    X(REFUSED,     "socks5, to a port nobody listens on")                                     \
    X(MALFORMED,   "convert, a malformed message")
/* clang-format on */
enum engineplay_kind {
#define X(name, text) ENGINEPLAY_##name,
    ENGINEPLAY_MAP(X)
#undef X
        ENGINEPLAY_COUNT
};
const char *engineplay_name(enum engineplay_kind k);
enum outcome
engineplay_outcome(enum engineplay_kind k);    /* how it ends when nothing goes wrong */
bool engineplay_mptcp(enum engineplay_kind k); /* is its client's socket? */
/* A bench that serves such a session. PASSWORD: who offers a password is asked for it. */
void engineplay_start(struct enginebench *b, enum engineplay_kind k);

struct engineplay {
    struct enginebench *bench;
    enum engineplay_kind kind;
    int client, listener, origin; /* -1: not open */
    uint8_t flight[3][128];
    size_t flight_len[3], reply[3]; /* what is sent; how much answer is waited for then */
    unsigned flights, flown;
    size_t early; /* octets of the last flight that are for the origin */
    bool dials;   /* or the answer is all */
    unsigned act; /* of the relay */
    size_t heard, answers, arrived;
    size_t bulk, sent;
    uint8_t in[256];
    bool over, complete;
};

void engineplay_begin(struct engineplay *p, struct enginebench *b, enum engineplay_kind k);
void engineplay_step(struct engineplay *p); /* what the peers do before the next turn */
void engineplay_end(struct engineplay *p);  /* closes what is open */
/* All of it, ENGINEBENCH_TURNS turns at most. True: complete. */
bool engineplay_run(struct enginebench *b, enum engineplay_kind k);

#endif
