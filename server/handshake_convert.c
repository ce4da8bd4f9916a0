/* SPDX-License-Identifier: MIT */
/* The converter dialects: MP_CONVERT (drafts -10 and -08/-09) and RFC 8803. */
#include "base/check.h"
#include "handshake_impl.h"
#include <string.h>

/* MP_CONVERT, drafts -10 and -08/-09. Every refusal is silent and abortive (draft -10 s5.2,
 * s6.2). */

/* What comes back, draft -10 s5.2: every element, but No Answer only to say "exact". */
static void keep_echo(struct handshake *h, struct span message,
                      const struct mpconvert_request *req, bool exact)
{
    struct wr w = {.buf = h->echo, .cap = sizeof h->echo};
    bool leave_out = req->no_answer && !exact;
    size_t cut = leave_out ? req->no_answer_at : message.len;
    struct span rest = span_skip(message, leave_out ? cut + MPCONVERT_NO_ANSWER_LEN : cut);

    wr_bytes(&w, message.ptr, cut);
    wr_bytes(&w, rest.ptr, rest.len);
    ASSERT(!w.overflow); /* nothing longer decodes */
    h->echo_len = (uint8_t)w.pos;
}

/* No address: on an implicit listener "proxy me to where I connected to" (draft -09 s6.2.1);
 * elsewhere a capability probe. An address there is a request to another concentrator, which no
 * rule of ours diverts. True: go on. */
static bool choose_destination(const struct handshake_policy *p, struct mpconvert_request *req)
{
    if (!p->implicit)
        return true;
    if (req->destination.family != ADDR_NONE)
        return false;
    req->destination = p->original;
    req->destination_port = true;
    return true;
}

struct handshake_step handshake_mpconvert(struct handshake *h, const struct handshake_policy *p,
                                          struct span in, struct wr *reply)
{
    struct mpconvert_request req;
    bool legacy = h->protocol == PROTOCOL_PM08;
    struct decode d = legacy ? pm08_decode(in, &req) : mpconvert_decode(in, p->m_bit, &req);

    if (d.status == DECODE_MORE)
        return handshake_more(0);
    if (d.status == DECODE_BAD)
        return handshake_refuse(
            h, d.why == REJECT_FORBIDDEN ? OUTCOME_FORBIDDEN_ADDRESS : OUTCOME_MALFORMED, 0,
            d.why, HANDSHAKE_ABORT);
    if (req.protocol != IPPROTO_TCP)
        return handshake_refuse(h, OUTCOME_UNSUPPORTED_COMMAND, 0, REJECT_PROTOCOL,
                                HANDSHAKE_ABORT);
    if (!req.has_destination)
        return handshake_refuse(h, OUTCOME_MALFORMED, 0, REJECT_PORT, HANDSHAKE_ABORT);
    if (!p->none_allowed) /* the dialect has no credentials */
        return handshake_refuse(h, OUTCOME_NO_METHOD, 0, REJECT_NONE, HANDSHAKE_ABORT);
    if (!choose_destination(p, &req))
        return handshake_refuse(h, OUTCOME_FORBIDDEN_ADDRESS, 0, REJECT_FORBIDDEN,
                                HANDSHAKE_ABORT);
    if (!legacy)
        keep_echo(h, span_of(in.ptr, d.bytes), &req, p->exact);
    if (req.destination.family == ADDR_NONE) { /* Length 4: a capability probe */
        wr_bytes(reply, h->echo, h->echo_len);
        return handshake_answered(h, d.bytes);
    }
    if (!req.destination_port)
        req.destination.port = p->local_port;
    if (req.destination.port == 0)
        return handshake_refuse(h, OUTCOME_MALFORMED, 0, REJECT_PORT, HANDSHAKE_ABORT);
    if (req.has_source)
        h->source = req.source;
    h->no_answer = req.no_answer;
    h->target = target_from_addr(&req.destination);
    return handshake_requested(h, HANDSHAKE_CONNECT, d.bytes);
}

/* RFC 8803. */

const uint8_t handshake_kinds[HANDSHAKE_KINDS] = {
    TCP_OPTION_MPTCP, TCP_OPTION_FASTOPEN, TCP_OPTION_SACK_PERMITTED, TCP_OPTION_TIMESTAMPS};

static struct handshake_step convert_refuse(struct handshake *h, enum outcome why,
                                            enum reject reject, struct span value,
                                            struct wr *reply)
{
    if (h->no_answer) /* the client takes the first octet for the target's */
        return handshake_refuse(h, why, 0, reject, HANDSHAKE_ABORT);
    convert_encode_error(reply, failure_convert_code((struct failure){.why = why}), value);
    return handshake_refuse(h, why, 0, reject, HANDSHAKE_LINGER);
}

static struct handshake_step convert_bad(struct handshake *h, struct span in, enum reject why,
                                         struct wr *reply)
{
    bool reset;
    struct failure f = convert_failure(why, &reset);
    static const uint8_t versions[] = {CONVERT_VERSION};
    struct span value;

    h->no_answer = convert_is_unanswerable(in);
    if (reset)
        return handshake_refuse(h, f.why, 0, why, HANDSHAKE_ABORT);
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

struct handshake_step handshake_convert(struct handshake *h, const struct handshake_policy *p,
                                        struct span in, struct wr *reply)
{
    struct convert_request req;
    struct convert_options options;
    struct handshake_step step;
    struct decode d = convert_decode_request(in, &req);

    if (d.status == DECODE_MORE)
        return handshake_more(0);
    if (d.status == DECODE_BAD)
        return convert_bad(h, in, d.why, reply);
    /* With Info alone it is a question, which is answered, be it with an error. */
    h->no_answer = req.no_answer && (req.connect || !req.info);
    if (!convert_cookie(h, p, &req, &step, reply))
        return step;
    struct span message = span_of(in.ptr, d.bytes);
    if (!req.connect && !req.info)
        return convert_refuse(h, OUTCOME_MALFORMED, REJECT_CONNECT_LENGTH, message, reply);
    h->want_info = req.info;
    if (!req.connect) {
        convert_encode_info_answer(reply, span_of(handshake_kinds, sizeof handshake_kinds),
                                   req.no_answer && p->exact);
        return handshake_answered(h, d.bytes);
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
    return handshake_requested(h, HANDSHAKE_CONNECT, d.bytes);
}
