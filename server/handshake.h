/* SPDX-License-Identifier: MIT */
/* handshake - the server's side of every dialect, sans-IO: octets in, answers and decisions
 * out. No uv.h, no clock, no socket.
 *
 * Happy path: handshake_input() with everything received and not consumed, until it says
 * CONNECT; the caller dials step.target, then handshake_success() writes the answer. What lies
 * behind `consumed` is early data: the session's, untouched. On the way AUTH may be asked for
 * (SOCKS5 user and password): verify and call handshake_authenticated(). Failure path: REFUSE
 * with a failure; `reply` then holds the dialect's error answer (possibly nothing), and `close`
 * says how to end. ANSWERED: nothing to dial (a capability probe); `reply` holds the answer.
 * After CONNECT a failed dial is told by handshake_failure(). Messages are answered in the
 * order they came. */
#ifndef SERVER_HANDSHAKE_H
#define SERVER_HANDSHAKE_H
#include "cookie.h"
#include "wire/convert.h"
#include "wire/detect.h"
#include "wire/mpconvert.h"
#include "wire/socks4.h"
#include "wire/socks5.h"

enum {
    HANDSHAKE_INPUT_MAX = CONVERT_MESSAGE_MAX, /* no message of any dialect is longer */
    HANDSHAKE_REPLY_MAX = 2048,                /* several coalesced answers fit */
};

/* What the configuration and the accepted socket say. Borrowed; constant during the handshake.
 */
struct handshake_policy {
    unsigned protocols;    /* PROTOCOL_BITs of this listener */
    bool users_configured; /* offer user/password */
    bool none_allowed; /* this source needs no credentials; else a dialect without any serves
                          nobody, and RFC 8803 only holders of a static cookie */
    bool empty_fields; /* RFC 1929 fields may be empty */
    bool strict_reserved, resolve;
    enum mpconvert_m_bit m_bit;
    const struct cookie_keys
        *cookies; /* NULL: the Cookie TLV is neither wanted nor looked at */
    struct addr client;
    uint64_t wall_s;     /* seconds since 1970, for computed cookies */
    uint16_t local_port; /* what an element without port means (draft -10 s6.2) */
    bool exact;          /* the listener is: told to who asks with a probe */
    bool implicit;       /* MP_CONVERT: an element without address asks for `original`, and none may have one */
    struct addr original; /* where a diverted client connected to */
};

enum handshake_action {
    HANDSHAKE_MORE,
    HANDSHAKE_AUTH,
    HANDSHAKE_CONNECT,
    HANDSHAKE_RESOLVE,     /* Tor extension: name to address */
    HANDSHAKE_RESOLVE_PTR, /* Tor extension: address to name */
    HANDSHAKE_ANSWERED,
    HANDSHAKE_REFUSE,
};
enum handshake_close {
    HANDSHAKE_LINGER, /* flush, half-close, drain, close: the answer must arrive */
    HANDSHAKE_ABORT,  /* RST */
};

struct handshake_step {
    enum handshake_action action;
    size_t consumed;        /* octets of the input that are done with */
    struct span user, pass; /* AUTH: views into the input */
    struct failure failure; /* REFUSE */
    enum reject why;        /* REFUSE of a malformed message: for the log */
    enum handshake_close close;
};

struct handshake {
    uint8_t state;          /* private */
    enum protocol protocol; /* UNKNOWN until the first octets told */
    bool want_mptcp; /* CONNECT: the client asks for MPTCP towards the server (RFC 8803 s7) */
    bool want_fastopen;
    bool no_answer; /* CONNECT: the client wants no octet before the target's: success is not
                       answered, and every failure is an abort */
    bool address_proven;                 /* a computed cookie came back from this address */
    bool want_info;                      /* private */
    uint8_t echo_len;                    /* private */
    uint8_t echo[MPCONVERT_REQUEST_MAX]; /* private; draft -10 s5.2: verbatim */
    const char
        *cookie_name; /* subscriber of a static cookie, or NULL; lives as long as the keys */
    struct target target; /* CONNECT, RESOLVE, RESOLVE_PTR */
    struct addr source;   /* of a D=1 element, for the log; ADDR_NONE */
};

void handshake_init(struct handshake *h);
/* Instead of handshake_input(): nobody asks, the target is the address the client connected to.
 * The state is that after CONNECT; success and failure have no octets. */
void handshake_transparent(struct handshake *h, const struct addr *target);
/* `reply` gets answers appended; its cap is at least HANDSHAKE_REPLY_MAX. Call again with more
 * input on MORE, and again at once with what is left after AUTH was answered; until it is, the
 * same credentials given again are asked for again. */
struct handshake_step handshake_input(struct handshake *h, const struct handshake_policy *p,
                                      struct span in, struct wr *reply);
/* The answer to AUTH. Not ok: REFUSE (LINGER); ok: MORE, go on with what is left of the input.
 */
struct handshake_step handshake_authenticated(struct handshake *h, bool ok, struct wr *reply);

struct handshake_success {
    struct addr bound;            /* our address towards the server: SOCKS5 BND */
    struct convert_synack synack; /* RFC 8803 Extended TCP Header; all zero when unknown */
};
/* Writes nothing when no answer is wanted. */
void handshake_success(struct handshake *h, const struct handshake_success *s,
                       struct wr *reply);
/* RESOLVE's and RESOLVE_PTR's answers. */
void handshake_resolved(struct handshake *h, const struct addr *a, const char *name,
                        struct wr *reply);
/* Any time: refuse (limits, denied, failed dial). Writes what the dialect has for it at this
 * point, perhaps nothing; with `no_answer` always nothing, and ABORT. */
enum handshake_close handshake_failure(struct handshake *h, struct failure f, struct wr *reply);

/* Does the success answer want handshake_success.bound, .synack? (Each costs a system call.) */
bool handshake_wants_bound(const struct handshake *h);
bool handshake_wants_synack(const struct handshake *h);

#endif
