/* SPDX-License-Identifier: MIT */
/* The SOCKS dialects: version 5 (RFC 1928, RFC 1929, Tor's RESOLVE) and 4, 4a. */
#include "base/check.h"
#include "handshake_impl.h"

/* SOCKS5, RFC 1928 and 1929. */

static struct handshake_step socks5_refuse(struct handshake *h, enum outcome why,
                                           enum reject reject, struct wr *reply)
{
    socks5_encode_reply(reply, failure_socks5_rep((struct failure){.why = why}), NULL);
    return handshake_refuse(h, why, 0, reject, HANDSHAKE_LINGER);
}

struct handshake_step handshake_socks5_greeting(struct handshake *h,
                                                const struct handshake_policy *p,
                                                struct span in, struct wr *reply)
{
    struct socks5_greeting greeting;
    struct decode d = socks5_decode_greeting(in, &greeting);

    if (d.status == DECODE_MORE)
        return handshake_more(0);
    if (d.status == DECODE_BAD)
        return handshake_refuse(h, OUTCOME_MALFORMED, 0, d.why, HANDSHAKE_ABORT);
    enum socks5_method method = SOCKS5_METHOD_UNACCEPTABLE;
    if (p->users_configured && socks5_offers(&greeting, SOCKS5_METHOD_USERPASS))
        method = SOCKS5_METHOD_USERPASS;
    else if (p->none_allowed && socks5_offers(&greeting, SOCKS5_METHOD_NONE))
        method = SOCKS5_METHOD_NONE;
    socks5_encode_method(reply, method);
    if (method == SOCKS5_METHOD_UNACCEPTABLE)
        return handshake_refuse(h, OUTCOME_NO_METHOD, 0, REJECT_NONE, HANDSHAKE_LINGER);
    h->state = method == SOCKS5_METHOD_USERPASS ? SOCKS5_USERPASS : SOCKS5_UNASKED;
    return handshake_more(d.bytes);
}

struct handshake_step handshake_socks5_userpass(struct handshake *h,
                                                const struct handshake_policy *p,
                                                struct span in, struct wr *reply)
{
    struct socks5_userpass up;
    struct decode d = socks5_decode_userpass(in, &up);

    if (d.status == DECODE_MORE)
        return handshake_more(0);
    if (d.status == DECODE_BAD ||
        (!p->empty_fields && (up.user.len == 0 || up.pass.len == 0))) {
        socks5_encode_userpass_status(reply, false);
        return handshake_refuse(
            h, d.status == DECODE_BAD ? OUTCOME_MALFORMED : OUTCOME_AUTH_FAILED, 0, d.why,
            HANDSHAKE_LINGER);
    }
    return (struct handshake_step){
        .action = HANDSHAKE_AUTH, .consumed = d.bytes, .user = up.user, .pass = up.pass};
}

struct handshake_step handshake_authenticated(struct handshake *h, bool ok, struct wr *reply)
{
    ASSERT(h->state == SOCKS5_USERPASS);
    socks5_encode_userpass_status(reply, ok);
    if (!ok)
        return handshake_refuse(h, OUTCOME_AUTH_FAILED, 0, REJECT_NONE, HANDSHAKE_LINGER);
    h->state = SOCKS5_REQUEST;
    return handshake_more(0);
}

/* A client that pipelines sends credentials before it knows that none are wanted: take them,
 * answer, go on. They prove nothing and are not looked at, because this source needs none. Once
 * only: every answer takes room in `reply`. */
static struct handshake_step socks5_unasked_userpass(struct handshake *h, struct span in,
                                                     struct wr *reply)
{
    struct socks5_userpass up;
    struct decode d = socks5_decode_userpass(in, &up);

    if (d.status != DECODE_DONE)
        return handshake_more(0); /* the first octet was the version: it cannot be BAD */
    socks5_encode_userpass_status(reply, true);
    h->state = SOCKS5_REQUEST;
    return handshake_more(d.bytes);
}

static enum handshake_action socks5_action(const struct handshake_policy *p, uint8_t command)
{
    if (command == SOCKS5_CONNECT)
        return HANDSHAKE_CONNECT;
    if (p->resolve && command == SOCKS5_RESOLVE)
        return HANDSHAKE_RESOLVE;
    if (p->resolve && command == SOCKS5_RESOLVE_PTR)
        return HANDSHAKE_RESOLVE_PTR;
    return HANDSHAKE_REFUSE;
}

struct handshake_step handshake_socks5_request(struct handshake *h,
                                               const struct handshake_policy *p, struct span in,
                                               struct wr *reply)
{
    struct socks5_request req;

    if (h->state == SOCKS5_UNASKED && in.ptr[0] == SOCKS5_USERPASS_VERSION)
        return socks5_unasked_userpass(h, in, reply);
    struct decode d = socks5_decode_request(in, &req);
    if (d.status == DECODE_MORE)
        return handshake_more(0);
    if (d.status == DECODE_BAD)
        return socks5_refuse(h, OUTCOME_MALFORMED, d.why, reply);
    if (p->strict_reserved && req.reserved != 0)
        return socks5_refuse(h, OUTCOME_MALFORMED, REJECT_RESERVED, reply);
    enum handshake_action action = socks5_action(p, req.command);
    if (action == HANDSHAKE_REFUSE)
        return socks5_refuse(h, OUTCOME_UNSUPPORTED_COMMAND, REJECT_COMMAND, reply);
    if (!req.known_atyp)
        return socks5_refuse(h, OUTCOME_UNSUPPORTED_ADDRESS, REJECT_ADDRESS_TYPE, reply);
    if (!socks5_request_target(&req, &h->target))
        return socks5_refuse(h, OUTCOME_MALFORMED, REJECT_NAME, reply);
    if (action == HANDSHAKE_CONNECT && h->target.port == 0)
        return socks5_refuse(h, OUTCOME_MALFORMED, REJECT_PORT, reply);
    if (action == HANDSHAKE_RESOLVE_PTR && target_is_name(&h->target))
        return socks5_refuse(h, OUTCOME_UNSUPPORTED_ADDRESS, REJECT_ADDRESS_TYPE, reply);
    return handshake_requested(h, action, d.bytes);
}

/* SOCKS4 and 4a. */

static struct handshake_step socks4_refuse(struct handshake *h, enum outcome why,
                                           enum reject reject, struct wr *reply)
{
    socks4_encode_reply(reply, SOCKS4_REJECTED);
    return handshake_refuse(h, why, 0, reject, HANDSHAKE_LINGER);
}

struct handshake_step handshake_socks4(struct handshake *h, const struct handshake_policy *p,
                                       struct span in, struct wr *reply)
{
    struct socks4_request req = {.command = 0};
    struct decode d = socks4_decode_request(in, &req);

    if (d.status == DECODE_MORE)
        return handshake_more(0);
    if (d.status == DECODE_BAD)
        return socks4_refuse(h, OUTCOME_MALFORMED, d.why, reply);
    if (req.command != SOCKS4_CONNECT)
        return socks4_refuse(h, OUTCOME_UNSUPPORTED_COMMAND, REJECT_COMMAND, reply);
    if (!p->none_allowed)
        return socks4_refuse(h, OUTCOME_NO_METHOD, REJECT_NONE, reply);
    if (req.target.port == 0)
        return socks4_refuse(h, OUTCOME_MALFORMED, REJECT_PORT, reply);
    h->target = req.target;
    return handshake_requested(h, HANDSHAKE_CONNECT, d.bytes);
}
