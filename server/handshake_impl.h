/* SPDX-License-Identifier: MIT */
/* handshake_impl - between handshake.c and its dialects. No uv.h. */
#ifndef SERVER_HANDSHAKE_IMPL_H
#define SERVER_HANDSHAKE_IMPL_H
#include "handshake.h"

enum { HANDSHAKE_KINDS = 4 };
extern const uint8_t
    handshake_kinds[HANDSHAKE_KINDS]; /* TCP options offered to Info, RFC 8803 s6.2.4 */

/* struct handshake.state */
enum handshake_state {
    START,
    SOCKS5_USERPASS, /* RFC 1929 is due */
    SOCKS5_UNASKED,  /* the request is due; credentials nobody asked for may come before it */
    SOCKS5_REQUEST,  /* nothing but the request is due */
    REQUESTED,       /* the request is complete; the answer is not written */
    FINISHED,
};

/* The steps; `handshake_refuse` ends the handshake. */
struct handshake_step handshake_more(size_t consumed);
struct handshake_step handshake_refuse(struct handshake *h, enum outcome why, uint8_t detail,
                                       enum reject reject, enum handshake_close close);
struct handshake_step handshake_requested(struct handshake *h, enum handshake_action action,
                                          size_t consumed);
struct handshake_step handshake_answered(struct handshake *h, size_t consumed);

/* One message of a dialect, at the start of `in`. */
struct handshake_step handshake_socks5_greeting(struct handshake *h,
                                                const struct handshake_policy *p,
                                                struct span in, struct wr *reply);
struct handshake_step handshake_socks5_userpass(struct handshake *h,
                                                const struct handshake_policy *p,
                                                struct span in, struct wr *reply);
struct handshake_step handshake_socks5_request(struct handshake *h,
                                               const struct handshake_policy *p, struct span in,
                                               struct wr *reply);
struct handshake_step handshake_socks4(struct handshake *h, const struct handshake_policy *p,
                                       struct span in, struct wr *reply);
struct handshake_step handshake_mpconvert(struct handshake *h, const struct handshake_policy *p,
                                          struct span in, struct wr *reply);
struct handshake_step handshake_convert(struct handshake *h, const struct handshake_policy *p,
                                        struct span in, struct wr *reply);

#endif
