/* SPDX-License-Identifier: MIT */
/* negotiation - the part of a session before its relay: input that is not yet a whole request,
 * answers not yet taken by the kernel, the dial. Exists from accept to RELAY (or to the end).
 * Worker thread only; session.c owns it. */
#ifndef SERVER_NEGOTIATION_H
#define SERVER_NEGOTIATION_H
#include "auth.h"
#include "connector.h"
#include "handshake.h"
#include "session.h"
#include "via.h"

/* A password being hashed; owned by the loop's thread pool meanwhile. */
struct password_work {
    uv_work_t req;
    struct session *session;
    struct auth_users *users; /* a reference */
    enum auth_verdict verdict;
    size_t user_len, pass_len;
    uint8_t text[2 * 255]; /* user, then password; wiped */
};

struct negotiation {
    struct handshake handshake;
    struct handshake_policy policy;
    struct connector *connector;
    struct via *via;
    struct resolver *resolver; /* the one `lookup` was given to */
    struct lookup *lookup;
    enum addr_family lookup_family; /* RESOLVE: which one is being asked */
    struct password_work *work;
    uint8_t *input; /* unconsumed octets; after the request: early data */
    size_t input_len;
    uint8_t *out; /* answers the kernel has not taken */
    size_t out_len;
    struct policy_leg upstream_policy; /* what the sockets towards the target are given */
    enum handshake_action gated; /* GATE: what to do then */
    uint64_t accept_until_ms;    /* ACCEPT */
};

struct negotiation *
negotiation_new(const struct session *s) MUST_CHECK; /* NULL: out of memory */
void negotiation_free(struct negotiation *n);        /* cancels; NULL is fine */

/* The client became readable or writable (or both) while the session is before RELAY. May stop
 * the session. */
void negotiation_ready(struct session *s);
/* A diverted client: instead of a request there is the address it connected to. May stop the
 * session. */
void negotiation_transparent(struct session *s);
/* A diverted client that asks: the element without address means the one it connected to. May stop the session. */
void negotiation_implicit(struct session *s);
/* The same, when the address is known but the client's socket is not there yet. */
void negotiation_divert(struct session *s, const struct addr *target);
/* The client's third ACK came (GATE). */
void negotiation_proven(struct session *s);
/* Answer with `f` in the dialect, then LINGER or abort. */
void negotiation_refuse(struct session *s, struct failure f);
/* LINGER: half-close once everything is written, then drain. */
void negotiation_linger(struct session *s);

/* Between negotiation.c, negotiation_dial.c and negotiation_password.c. Each may stop the
 * session. */
/* An answer, in order behind what waits already. False: the session was stopped. */
bool negotiation_answer(struct session *s, const struct wr *reply) MUST_CHECK;
/* The last answer, then LINGER or reset as `close` says. Convert errors are rate-limited here
 * (RFC 8803 s6.2.5). */
void negotiation_finish(struct session *s, struct failure f, enum handshake_close close,
                        struct wr *reply);
void negotiation_end(struct session *s, struct failure f); /* LINGER with this outcome */
/* Replaces the octets kept for later by a copy of `left`. False: out of memory. */
bool negotiation_keep(struct negotiation *n, struct span left) MUST_CHECK;
void negotiation_feed_kept(struct session *s);
void negotiation_dial(struct session *s);
/* Both legs are there, and the answer is given: relay. `early_sent`: octets of the input that
 * went out with the upstream's SYN. */
void negotiation_relay(struct session *s, size_t early_sent);
void negotiation_resolve(struct session *s, bool ptr);
/* True: the handshake goes on with *step (authenticated at once, or refused); false: the
 * verdict comes later, or the session is gone. `left`: what lies behind the credentials. */
bool negotiation_authenticate(struct session *s, struct span left, struct handshake_step *step,
                              struct wr *reply) MUST_CHECK;

/* session.c, for these files only. */
void session_move(struct session *s, enum session_state next);
/* The one line that says who, why, how long, how much. */
void session_log_end(const struct session *s, uint64_t duration_us, uint32_t subflows);
void session_relay_start(struct session *s);
void session_deadline(struct session *s, uint64_t at_ms);
/* When it ends if nothing happens, on worker_now_ms()'s clock. */
uint64_t session_expires_ms(const struct session *s);
void session_finish(struct session *s, enum outcome why, bool abort_client,
                    bool abort_upstream);
poller_ready_fn session_upstream_ready, session_client_ready;
/* A session in NEGOTIATE, without a leg. NULL: out of memory, and `source` is given back. */
struct session *session_begin(struct listener *l, const struct addr *client,
                              struct limits_source *source, enum outcome shed) MUST_CHECK;
void session_note_transport(struct session *s); /* counts what kind of client leg there is */

#endif
