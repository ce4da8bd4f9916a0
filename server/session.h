/* SPDX-License-Identifier: MIT */
/* session - one client, from accept to the last octet. Worker thread only.
 *
 * Happy path: NEGOTIATE (handshake.h) -> CONNECT (connector.h) -> RELAY (relay.h) -> CLOSING.
 * Beside it: VERIFY (a password is hashed off the loop), GATE (SYN data of an untrusted source
 * waits for the third ACK, so that a forged SYN makes us dial nobody), RESOLVE (Tor extension),
 * ACCEPT (embryo.h: the target is there, the client's connection is still to be accepted),
 * LINGER (an answer is flushed, our side half-closed, input drained, so that the answer
 * arrives). Failure paths all end in session_stop(): the only way out, from any callback,
 * idempotent. It closes both legs (abortively when octets may be missing), gives back limits,
 * pipes and lookups, and writes the one line that says who, why, how long, how much. Memory
 * goes when the last pin goes: the timer's close callback, and the password work if one is
 * under way. One deadline at a time; I/O only stamps last_active_ms and the timer re-arms
 * itself. */
#ifndef SERVER_SESSION_H
#define SERVER_SESSION_H
#include "deadlines.h"
#include "handshake.h"
#include "listener.h"
#include "relay.h"
#include "synack.h"
#include "view.h"
#include <uv.h>

struct worker;
struct limits_source;
struct negotiation;
struct nft_tokens;

enum session_state {
    SESSION_NEGOTIATE,
    SESSION_VERIFY,
    SESSION_GATE,
    SESSION_RESOLVE,
    SESSION_CONNECT,
    SESSION_ACCEPT,
    SESSION_RELAY,
    SESSION_LINGER,
    SESSION_CLOSING,
    SESSION_STATE_COUNT
};
const char *session_state_name(enum session_state s);

struct session {
    struct list link;        /* worker's sessions */
    struct list window_link; /* worker's windows, while waiting */
    struct worker *worker;
    struct config *config;                   /* the one it was born with; a reference */
    const struct listener_options *listener; /* into config */
    const struct policy *own_policy; /* the user's or the source's, over the listener's; into
                                        config; NULL: none */
    struct limits_source *source;            /* NULL: not admitted, being refused */
    struct negotiation *negotiation;         /* NULL from RELAY on */
    struct leg client, upstream;
    struct synack_hold hold; /* on an exact listener */
    struct relay relay;
    struct deadline deadline;
    uint64_t id, start_us; /* start: uv_hrtime, microseconds */
    uint64_t accepted_ms, last_active_ms;
    struct addr client_addr, egress_addr, remote_addr;
    struct addr concentrator; /* that the session goes through; ADDR_NONE: none */
    struct nft_tokens *tokens; /* where `token` is noted; NULL: nowhere */
    uint32_t token;
    struct addr told_source; /* of a D=1 element (draft -10 s5.1): for the log only */
    uint16_t target_port, local_port;
    uint16_t window_turns; /* milliseconds it has waited for the client's window in vain */
    uint16_t subflows;     /* last seen on the client leg */
    char *user, *host;     /* owned; NULL: none */
    uint32_t connect_us;
    enum protocol protocol;
    enum session_state state;
    enum outcome outcome;
    struct failure failure; /* of LINGER: what is being answered */
    bool pinned;            /* password work refers to it */
    bool shed;              /* refused for a limit or while draining: `failure` says which */
    bool keepalive_set, half_closed, connect_counted;
    bool upstream_first; /* the server ended its direction before the client did */
    uint32_t drained;    /* LINGER: octets thrown away */
};

/* Takes `fd` in every case. `shed` OK, or why it is to be refused. */
void session_start(struct listener *l, int fd, const struct addr *client,
                   struct limits_source *source, enum outcome shed);
void session_stop(struct session *s, enum outcome why);
deadlines_expired_fn session_expired;
void session_free(struct session *s); /* after session_stop, at the end of the turn */
/* A leg that waits for its window is asked 1, 2, 4 ... 64 ms after it last moved, then every 64
 * ms. */
bool session_window_due(struct session *s);
void session_window_opened(struct session *s);
/* Copies; `with_subflows` asks the kernel. */
void session_look(const struct session *s, struct session_view *v, bool with_subflows);
/* Once in a while: notes the number of subflows. */
void session_sample(struct session *s);

#endif
