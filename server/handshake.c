/* SPDX-License-Identifier: MIT */
#include "base/check.h"
#include "handshake_impl.h"
#include <string.h>

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

void handshake_transparent(struct handshake *h, const struct addr *target)
{
    ASSERT(h->state == START);
    h->protocol = PROTOCOL_TRANSPARENT;
    h->target = target_from_addr(target);
    h->state = REQUESTED;
}

struct handshake_step handshake_more(size_t consumed)
{
    return (struct handshake_step){.action = HANDSHAKE_MORE, .consumed = consumed};
}

struct handshake_step handshake_refuse(struct handshake *h, enum outcome why, uint8_t detail,
                                       enum reject reject, enum handshake_close close)
{
    h->state = FINISHED;
    return (struct handshake_step){.action = HANDSHAKE_REFUSE,
                                   .failure = {.why = why, .detail = detail},
                                   .why = reject,
                                   .close = close};
}

struct handshake_step handshake_requested(struct handshake *h, enum handshake_action action,
                                          size_t consumed)
{
    h->state = REQUESTED;
    return (struct handshake_step){.action = action, .consumed = consumed};
}

struct handshake_step handshake_answered(struct handshake *h, size_t consumed)
{
    h->state = FINISHED;
    return (struct handshake_step){.action = HANDSHAKE_ANSWERED, .consumed = consumed};
}

/* All dialects. */

/* Somebody took this port for an HTTP proxy: say so. Only when the whole method is there, so
 * that the answer does not depend on how the octets were cut into segments. */
static struct handshake_step unknown(struct handshake *h, const struct handshake_policy *p,
                                     enum protocol guess, struct span in, struct wr *reply)
{
    bool http = guess == PROTOCOL_HTTP && (p->protocols & PROTOCOL_BIT(PROTOCOL_SOCKS5)) != 0;

    if (http && protocol_detect(in, PROTOCOL_BIT(PROTOCOL_HTTP), &guess).status == DECODE_MORE)
        return handshake_more(0);
    if (http)
        wr_bytes(reply, http_answer, sizeof http_answer - 1);
    h->protocol = guess;
    return handshake_refuse(h, OUTCOME_UNKNOWN_PROTOCOL, 0, REJECT_MAGIC,
                            http ? HANDSHAKE_LINGER : HANDSHAKE_ABORT);
}

static struct handshake_step first(struct handshake *h, const struct handshake_policy *p,
                                   struct span in, struct wr *reply)
{
    if (h->protocol == PROTOCOL_UNKNOWN) {
        enum protocol guess = PROTOCOL_UNKNOWN;
        struct decode d = protocol_detect(in, p->protocols, &guess);
        if (d.status == DECODE_MORE)
            return handshake_more(0);
        if (d.status == DECODE_BAD)
            return unknown(h, p, guess, in, reply);
        h->protocol = guess;
    }
    switch (h->protocol) {
    case PROTOCOL_SOCKS5:
        return handshake_socks5_greeting(h, p, in, reply);
    case PROTOCOL_SOCKS4:
        return handshake_socks4(h, p, in, reply);
    case PROTOCOL_MP_CONVERT:
    case PROTOCOL_PM08:
        return handshake_mpconvert(h, p, in, reply);
    case PROTOCOL_CONVERT:
        return handshake_convert(h, p, in, reply);
    case PROTOCOL_UNKNOWN:
    case PROTOCOL_HTTP:
    case PROTOCOL_TRANSPARENT:
    case PROTOCOL_COUNT:
        break;
    }
    ASSERT(false);
    return handshake_more(0);
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
            return handshake_more(consumed);
        if (h->state == START)
            step = first(h, p, left, reply);
        else if (h->state == SOCKS5_USERPASS)
            step = handshake_socks5_userpass(h, p, left, reply);
        else
            step = handshake_socks5_request(h, p, left, reply);
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
    if (h->no_answer)
        return;
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
            kinds = span_of(handshake_kinds, sizeof handshake_kinds);
        convert_encode_answer(reply, wr_done(&w), kinds);
        break;
    case PROTOCOL_PM08: /* has no answer */
    case PROTOCOL_UNKNOWN:
    case PROTOCOL_HTTP:
    case PROTOCOL_TRANSPARENT:
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
    if (h->no_answer)
        return HANDSHAKE_ABORT;
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
    case PROTOCOL_TRANSPARENT:
    case PROTOCOL_COUNT:
        break;
    }
    return HANDSHAKE_ABORT;
}

bool handshake_wants_bound(const struct handshake *h)
{
    return h->protocol == PROTOCOL_SOCKS5 && !h->no_answer;
}

bool handshake_wants_synack(const struct handshake *h)
{
    return h->protocol == PROTOCOL_CONVERT && !h->no_answer;
}
