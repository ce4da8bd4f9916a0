/* SPDX-License-Identifier: MIT */
#include "handshake.h"
#include "base/check.h"
#include <string.h>

enum state {
    START,
    SOCKS5_USERPASS, /* RFC 1929 is due */
    SOCKS5_UNASKED,  /* the request is due; credentials nobody asked for may come before it */
    SOCKS5_REQUEST,  /* nothing but the request is due */
    REQUESTED,       /* the request is complete; the answer is not written */
    FINISHED,
};

static const char http_answer[] = "HTTP/1.1 501 Not Implemented\r\n"
                                  "Content-Type: text/plain\r\n"
                                  "Content-Length: 42\r\n"
                                  "Connection: close\r\n"
                                  "\r\n"
                                  "This is a SOCKS5 and RFC 8803 proxy port.\n";

void handshake_init(struct handshake *h)
{
    memset(h, 0, sizeof *h);
}

static struct handshake_step more(size_t consumed)
{
    return (struct handshake_step){.action = HANDSHAKE_MORE, .consumed = consumed};
}

static struct handshake_step refuse(struct handshake *h, enum outcome why, uint8_t detail,
                                    enum reject reject, enum handshake_close close)
{
    h->state = FINISHED;
    return (struct handshake_step){.action = HANDSHAKE_REFUSE,
                                   .failure = {.why = why, .detail = detail},
                                   .why = reject,
                                   .close = close};
}

static struct handshake_step requested(struct handshake *h, enum handshake_action action,
                                       size_t consumed)
{
    h->state = REQUESTED;
    return (struct handshake_step){.action = action, .consumed = consumed};
}

static struct handshake_step answered(struct handshake *h, size_t consumed)
{
    h->state = FINISHED;
    return (struct handshake_step){.action = HANDSHAKE_ANSWERED, .consumed = consumed};
}

/* SOCKS5, RFC 1928 and 1929. */

static struct handshake_step socks5_refuse(struct handshake *h, enum outcome why,
                                           enum reject reject, struct wr *reply)
{
    socks5_encode_reply(reply, failure_socks5_rep((struct failure){.why = why}), NULL);
    return refuse(h, why, 0, reject, HANDSHAKE_LINGER);
}

static struct handshake_step socks5_greeting(struct handshake *h,
                                             const struct handshake_policy *p, struct span in,
                                             struct wr *reply)
{
    struct socks5_greeting greeting;
    struct decode d = socks5_decode_greeting(in, &greeting);

    if (d.status == DECODE_MORE)
        return more(0);
    if (d.status == DECODE_BAD)
        return refuse(h, OUTCOME_MALFORMED, 0, d.why, HANDSHAKE_ABORT);
    enum socks5_method method = SOCKS5_METHOD_UNACCEPTABLE;
    if (p->users_configured && socks5_offers(&greeting, SOCKS5_METHOD_USERPASS))
        method = SOCKS5_METHOD_USERPASS;
    else if (p->none_allowed && socks5_offers(&greeting, SOCKS5_METHOD_NONE))
        method = SOCKS5_METHOD_NONE;
    socks5_encode_method(reply, method);
    if (method == SOCKS5_METHOD_UNACCEPTABLE)
        return refuse(h, OUTCOME_NO_METHOD, 0, REJECT_NONE, HANDSHAKE_LINGER);
    h->state = method == SOCKS5_METHOD_USERPASS ? SOCKS5_USERPASS : SOCKS5_UNASKED;
    return more(d.bytes);
}

static struct handshake_step socks5_userpass(struct handshake *h,
                                             const struct handshake_policy *p, struct span in,
                                             struct wr *reply)
{
    struct socks5_userpass up;
    struct decode d = socks5_decode_userpass(in, &up);

    if (d.status == DECODE_MORE)
        return more(0);
    if (d.status == DECODE_BAD ||
        (!p->empty_fields && (up.user.len == 0 || up.pass.len == 0))) {
        socks5_encode_userpass_status(reply, false);
        return refuse(h, d.status == DECODE_BAD ? OUTCOME_MALFORMED : OUTCOME_AUTH_FAILED, 0,
                      d.why, HANDSHAKE_LINGER);
    }
    return (struct handshake_step){
        .action = HANDSHAKE_AUTH, .consumed = d.bytes, .user = up.user, .pass = up.pass};
}

struct handshake_step handshake_authenticated(struct handshake *h, bool ok, struct wr *reply)
{
    ASSERT(h->state == SOCKS5_USERPASS);
    socks5_encode_userpass_status(reply, ok);
    if (!ok)
        return refuse(h, OUTCOME_AUTH_FAILED, 0, REJECT_NONE, HANDSHAKE_LINGER);
    h->state = SOCKS5_REQUEST;
    return more(0);
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
        return more(0); /* the first octet was the version: it cannot be BAD */
    socks5_encode_userpass_status(reply, true);
    h->state = SOCKS5_REQUEST;
    return more(d.bytes);
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

static struct handshake_step socks5_request(struct handshake *h,
                                            const struct handshake_policy *p, struct span in,
                                            struct wr *reply)
{
    struct socks5_request req;

    if (h->state == SOCKS5_UNASKED && in.ptr[0] == SOCKS5_USERPASS_VERSION)
        return socks5_unasked_userpass(h, in, reply);
    struct decode d = socks5_decode_request(in, &req);
    if (d.status == DECODE_MORE)
        return more(0);
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
    return requested(h, action, d.bytes);
}

/* SOCKS4 and 4a. */

static struct handshake_step socks4_refuse(struct handshake *h, enum outcome why,
                                           enum reject reject, struct wr *reply)
{
    socks4_encode_reply(reply, SOCKS4_REJECTED);
    return refuse(h, why, 0, reject, HANDSHAKE_LINGER);
}

static struct handshake_step socks4_request(struct handshake *h,
                                            const struct handshake_policy *p, struct span in,
                                            struct wr *reply)
{
    struct socks4_request req = {.command = 0};
    struct decode d = socks4_decode_request(in, &req);

    if (d.status == DECODE_MORE)
        return more(0);
    if (d.status == DECODE_BAD)
        return socks4_refuse(h, OUTCOME_MALFORMED, d.why, reply);
    if (req.command != SOCKS4_CONNECT)
        return socks4_refuse(h, OUTCOME_UNSUPPORTED_COMMAND, REJECT_COMMAND, reply);
    if (!p->none_allowed)
        return socks4_refuse(h, OUTCOME_NO_METHOD, REJECT_NONE, reply);
    if (req.target.port == 0)
        return socks4_refuse(h, OUTCOME_MALFORMED, REJECT_PORT, reply);
    h->target = req.target;
    return requested(h, HANDSHAKE_CONNECT, d.bytes);
}

/* MP_CONVERT, drafts -10 and -08/-09. Every refusal is silent and abortive (draft -10 s5.2,
 * s6.2). */

static struct handshake_step mpconvert_request(struct handshake *h,
                                               const struct handshake_policy *p, struct span in,
                                               struct wr *reply)
{
    struct mpconvert_request req;
    bool legacy = h->protocol == PROTOCOL_PM08;
    struct decode d = legacy ? pm08_decode(in, &req) : mpconvert_decode(in, p->m_bit, &req);

    if (d.status == DECODE_MORE)
        return more(0);
    if (d.status == DECODE_BAD)
        return refuse(h,
                      d.why == REJECT_FORBIDDEN ? OUTCOME_FORBIDDEN_ADDRESS : OUTCOME_MALFORMED,
                      0, d.why, HANDSHAKE_ABORT);
    if (req.protocol != IPPROTO_TCP)
        return refuse(h, OUTCOME_UNSUPPORTED_COMMAND, 0, REJECT_PROTOCOL, HANDSHAKE_ABORT);
    if (!req.has_destination)
        return refuse(h, OUTCOME_MALFORMED, 0, REJECT_PORT, HANDSHAKE_ABORT);
    if (!p->none_allowed) /* the dialect has no credentials */
        return refuse(h, OUTCOME_NO_METHOD, 0, REJECT_NONE, HANDSHAKE_ABORT);
    if (!legacy) {
        ASSERT(d.bytes <= sizeof h->echo); /* two elements are the most that decode */
        memcpy(h->echo, in.ptr, d.bytes);
        h->echo_len = (uint8_t)d.bytes;
    }
    if (req.destination.family == ADDR_NONE) { /* Length 4: a capability probe */
        wr_bytes(reply, h->echo, h->echo_len);
        return answered(h, d.bytes);
    }
    if (!req.destination_port)
        req.destination.port = p->local_port;
    if (req.destination.port == 0)
        return refuse(h, OUTCOME_MALFORMED, 0, REJECT_PORT, HANDSHAKE_ABORT);
    if (req.has_source)
        h->source = req.source;
    h->target = target_from_addr(&req.destination);
    return requested(h, HANDSHAKE_CONNECT, d.bytes);
}

/* RFC 8803. */

static const uint8_t supported_kinds[] = {TCP_OPTION_MPTCP, TCP_OPTION_FASTOPEN,
                                          TCP_OPTION_SACK_PERMITTED, TCP_OPTION_TIMESTAMPS};

static struct handshake_step convert_refuse(struct handshake *h, enum outcome why,
                                            enum reject reject, struct span value,
                                            struct wr *reply)
{
    convert_encode_error(reply, failure_convert_code((struct failure){.why = why}), value);
    return refuse(h, why, 0, reject, HANDSHAKE_LINGER);
}

static struct handshake_step convert_bad(struct handshake *h, struct span in, enum reject why,
                                         struct wr *reply)
{
    bool reset;
    struct failure f = convert_failure(why, &reset);
    static const uint8_t versions[] = {CONVERT_VERSION};
    struct span value;

    if (reset)
        return refuse(h, f.why, 0, why, HANDSHAKE_ABORT);
    if (f.why == OUTCOME_UNSUPPORTED_VERSION) {
        value = span_of(versions, sizeof versions);
    } else {
        size_t total = (size_t)in.ptr[1] * 4;
        value = span_of(
            in.ptr, total < in.len ? total : in.len); /* the message, without what follows it */
    }
    return convert_refuse(h, f.why, why, value, reply);
}

/* RFC 8803 s6.2.7. True: go on; else *step is the answer. Where the source needs credentials
 * only a subscriber's static cookie will do: a computed one is handed to whoever asks. */
static bool convert_cookie(struct handshake *h, const struct handshake_policy *p,
                           const struct convert_request *req, struct handshake_step *step,
                           struct wr *reply)
{
    uint8_t cookie[COOKIE_LEN];
    struct span value = {.ptr = NULL, .len = 0};
    enum outcome why = OUTCOME_BAD_COOKIE;
    enum cookie_verdict v = COOKIE_INVALID;

    if (p->cookies == NULL && p->none_allowed)
        return true;
    if (p->cookies == NULL) {
        why = OUTCOME_NO_METHOD;
    } else if (req->has_cookie) {
        v = cookie_check(p->cookies, &p->client, req->cookie, p->wall_s, &h->cookie_name);
    } else if (p->none_allowed && cookie_computes(p->cookies)) {
        cookie_make(p->cookies, &p->client, p->wall_s, cookie);
        value = span_of(cookie, sizeof cookie);
        why = OUTCOME_MISSING_COOKIE;
    }
    h->address_proven = v == COOKIE_VALID_COMPUTED;
    if (v == COOKIE_VALID_STATIC || (v == COOKIE_VALID_COMPUTED && p->none_allowed))
        return true;
    *step = convert_refuse(h, why, REJECT_NONE, value, reply);
    return false;
}

static struct handshake_step convert_request(struct handshake *h,
                                             const struct handshake_policy *p, struct span in,
                                             struct wr *reply)
{
    struct convert_request req;
    struct convert_options options;
    struct handshake_step step;
    struct decode d = convert_decode_request(in, &req);

    if (d.status == DECODE_MORE)
        return more(0);
    if (d.status == DECODE_BAD)
        return convert_bad(h, in, d.why, reply);
    if (!convert_cookie(h, p, &req, &step, reply))
        return step;
    struct span message = span_of(in.ptr, d.bytes);
    if (!req.connect && !req.info)
        return convert_refuse(h, OUTCOME_MALFORMED, REJECT_CONNECT_LENGTH, message, reply);
    h->want_info = req.info;
    if (!req.connect) {
        convert_encode_answer(reply, (struct span){.ptr = NULL, .len = 0},
                              span_of(supported_kinds, sizeof supported_kinds));
        return answered(h, d.bytes);
    }
    if (req.target.port == 0)
        return convert_refuse(h, OUTCOME_MALFORMED, REJECT_PORT, message, reply);
    if (!convert_judge_options(req.options, &options))
        return convert_refuse(h, OUTCOME_MALFORMED, REJECT_FRAMING, message, reply);
    if (options.refused) {
        step = convert_refuse(h, OUTCOME_UNSUPPORTED_OPTION, REJECT_NONE,
                              span_of(options.kinds, options.kinds_len), reply);
        step.failure.detail = options.kinds[0];
        return step;
    }
    h->want_mptcp = options.mptcp;
    h->want_fastopen = options.fastopen;
    h->target = target_from_addr(&req.target);
    return requested(h, HANDSHAKE_CONNECT, d.bytes);
}

/* All dialects. */

/* Somebody took this port for an HTTP proxy: say so. Only when the whole method is there, so
 * that the answer does not depend on how the octets were cut into segments. */
static struct handshake_step unknown(struct handshake *h, const struct handshake_policy *p,
                                     enum protocol guess, struct span in, struct wr *reply)
{
    bool http = guess == PROTOCOL_HTTP && (p->protocols & PROTOCOL_BIT(PROTOCOL_SOCKS5)) != 0;

    if (http && protocol_detect(in, PROTOCOL_BIT(PROTOCOL_HTTP), &guess).status == DECODE_MORE)
        return more(0);
    if (http)
        wr_bytes(reply, http_answer, sizeof http_answer - 1);
    h->protocol = guess;
    return refuse(h, OUTCOME_UNKNOWN_PROTOCOL, 0, REJECT_MAGIC,
                  http ? HANDSHAKE_LINGER : HANDSHAKE_ABORT);
}

static struct handshake_step first(struct handshake *h, const struct handshake_policy *p,
                                   struct span in, struct wr *reply)
{
    if (h->protocol == PROTOCOL_UNKNOWN) {
        enum protocol guess = PROTOCOL_UNKNOWN;
        struct decode d = protocol_detect(in, p->protocols, &guess);
        if (d.status == DECODE_MORE)
            return more(0);
        if (d.status == DECODE_BAD)
            return unknown(h, p, guess, in, reply);
        h->protocol = guess;
    }
    switch (h->protocol) {
    case PROTOCOL_SOCKS5:
        return socks5_greeting(h, p, in, reply);
    case PROTOCOL_SOCKS4:
        return socks4_request(h, p, in, reply);
    case PROTOCOL_MP_CONVERT:
    case PROTOCOL_PM08:
        return mpconvert_request(h, p, in, reply);
    case PROTOCOL_CONVERT:
        return convert_request(h, p, in, reply);
    case PROTOCOL_UNKNOWN:
    case PROTOCOL_HTTP:
    case PROTOCOL_COUNT:
        break;
    }
    ASSERT(false);
    return more(0);
}

struct handshake_step handshake_input(struct handshake *h, const struct handshake_policy *p,
                                      struct span in, struct wr *reply)
{
    size_t consumed = 0;

    ASSERT(h->state < REQUESTED);
    for (;;) { /* at most three messages: greeting, credentials, request */
        struct span left = span_skip(in, consumed);
        struct handshake_step step;
        if (left.len == 0)
            return more(consumed);
        if (h->state == START)
            step = first(h, p, left, reply);
        else if (h->state == SOCKS5_USERPASS)
            step = socks5_userpass(h, p, left, reply);
        else
            step = socks5_request(h, p, left, reply);
        consumed += step.consumed;
        if (step.action != HANDSHAKE_MORE || step.consumed == 0) {
            step.consumed = consumed;
            return step;
        }
    }
}

static const uint8_t no_options[] = {TCP_OPTION_NOP, TCP_OPTION_NOP, TCP_OPTION_NOP,
                                     TCP_OPTION_NOP};

void handshake_success(struct handshake *h, const struct handshake_success *s, struct wr *reply)
{
    uint8_t options[CONVERT_OPTIONS_MAX];
    struct wr w = {.buf = options, .cap = sizeof options};
    struct span kinds = {.ptr = NULL, .len = 0};

    ASSERT(h->state == REQUESTED);
    h->state = FINISHED;
    switch (h->protocol) {
    case PROTOCOL_SOCKS5:
        socks5_encode_reply(reply, SOCKS5_REP_OK, &s->bound);
        break;
    case PROTOCOL_SOCKS4:
        socks4_encode_reply(reply, SOCKS4_GRANTED);
        break;
    case PROTOCOL_MP_CONVERT:
        wr_bytes(reply, h->echo, h->echo_len);
        break;
    case PROTOCOL_CONVERT: /* an Extended Connect is due the TLV even when it says nothing */
        if (s->synack.mss != 0)
            convert_encode_synack_options(&w, &s->synack);
        else
            wr_bytes(&w, no_options, sizeof no_options);
        if (h->want_info)
            kinds = span_of(supported_kinds, sizeof supported_kinds);
        convert_encode_answer(reply, wr_done(&w), kinds);
        break;
    case PROTOCOL_PM08: /* has no answer */
    case PROTOCOL_UNKNOWN:
    case PROTOCOL_HTTP:
    case PROTOCOL_COUNT:
        break;
    }
}

void handshake_resolved(struct handshake *h, const struct addr *a, const char *name,
                        struct wr *reply)
{
    ASSERT(h->state == REQUESTED);
    h->state = FINISHED;
    if (name != NULL && (name[0] == 0 || strlen(name) > UINT8_MAX))
        socks5_encode_reply(reply, SOCKS5_REP_GENERAL, NULL); /* RFC 1928 s5 cannot carry it */
    else if (name != NULL)
        socks5_encode_reply_name(reply, SOCKS5_REP_OK, name);
    else
        socks5_encode_reply(reply, SOCKS5_REP_OK, a);
}

/* The message was accepted: the codes of class "message" (RFC 8803 s6.2.8) would blame it. */
static enum convert_error late_code(struct failure f)
{
    enum convert_error code = failure_convert_code(f);
    enum reason reason = outcome_reason(f.why);

    if (code >= CONVERT_ERROR_NOT_AUTHORIZED)
        return code;
    return reason == REASON_ACL_DENIED || reason == REASON_AUTH_FAILED
               ? CONVERT_ERROR_NOT_AUTHORIZED
               : CONVERT_ERROR_NETWORK_FAILURE;
}

enum handshake_close handshake_failure(struct handshake *h, struct failure f, struct wr *reply)
{
    uint8_t state = h->state;

    h->state = FINISHED;
    switch (h->protocol) {
    case PROTOCOL_SOCKS5:
        if (state == REQUESTED || state == SOCKS5_REQUEST || state == SOCKS5_UNASKED)
            socks5_encode_reply(reply, failure_socks5_rep(f), NULL);
        else if (state == SOCKS5_USERPASS)
            socks5_encode_userpass_status(reply, false);
        return HANDSHAKE_LINGER;
    case PROTOCOL_SOCKS4:
        if (state == REQUESTED)
            socks4_encode_reply(reply, SOCKS4_REJECTED);
        return HANDSHAKE_LINGER;
    case PROTOCOL_CONVERT:
        if (state == REQUESTED)
            convert_encode_error(reply, late_code(f), span_of(&f.detail, 1));
        return HANDSHAKE_LINGER;
    case PROTOCOL_MP_CONVERT:
    case PROTOCOL_PM08:
    case PROTOCOL_UNKNOWN:
    case PROTOCOL_HTTP:
    case PROTOCOL_COUNT:
        break;
    }
    return HANDSHAKE_ABORT;
}

bool handshake_wants_bound(const struct handshake *h)
{
    return h->protocol == PROTOCOL_SOCKS5;
}

bool handshake_wants_synack(const struct handshake *h)
{
    return h->protocol == PROTOCOL_CONVERT;
}
