/* SPDX-License-Identifier: MIT */
/* What is printed about an answer is worded here: no octet of it gets to a terminal. */
#include "probe_dialogue.h"
#include "wire/convert.h"
#include "wire/mpconvert.h"
#include "wire/socks5.h"
#include <errno.h>
#include <stdio.h>
#include <string.h>

static void say(struct probe_result *r, const char *text)
{
    (void)snprintf(r->detail, sizeof r->detail, "%s", text); /* ours: fits */
}

static bool begin_whole(struct probe_dialogue *d, const struct settings *s,
                        const struct target *target, struct probe_result *r)
{
    struct initiator_options o = {
        .dialect = d->dialect,
        .user = span_of(s->user, s->user_len),
        .pass = span_of(s->password, s->password_len),
        .cookie = span_of(s->cookie, s->cookie_len),
        .pipeline = s->user_len == 0,
        .source = {.family = ADDR_NONE},
        .m_bit = MPCONVERT_M_DRAFT,
    };

    if (initiator_init(&d->initiator, &o, target, &r->error))
        return true;
    r->verdict = PROBE_REFUSED;
    say(r, "the dialect cannot ask for this target");
    return false;
}

static void encode_greeting(struct wr *w, const struct settings *s)
{
    static const uint8_t methods[] = {SOCKS5_METHOD_NONE, SOCKS5_METHOD_USERPASS};

    socks5_encode_greeting(w, methods, s->user_len > 0 ? 2 : 1);
}

bool probe_begin(struct probe_dialogue *d, const struct settings *s, enum protocol dialect,
                 const struct target *target, struct probe_result *r)
{
    struct wr w = {.buf = d->out, .cap = sizeof d->out};
    static const struct addr none = {.family = ADDR_NONE};

    d->dialect = dialect;
    d->whole = target != NULL;
    d->out_len = d->out_sent = 0;
    if (d->whole)
        return begin_whole(d, s, target, r);
    if (dialect == PROTOCOL_SOCKS5)
        encode_greeting(&w, s);
    else if (dialect == PROTOCOL_CONVERT)
        convert_encode_info(&w);
    else /* draft -10 gives it no meaning here; ours takes it as this question */
        mpconvert_encode(&w, &none, false, false, true, MPCONVERT_M_DRAFT);
    d->out_len = wr_done(&w).len;
    return true;
}

bool probe_begin_exact(struct probe_dialogue *d, const struct settings *s,
                       enum protocol dialect, struct probe_result *r)
{
    d->dialect = dialect;
    d->whole = true;
    if (initiator_init_probe(&d->initiator, dialect, span_of(s->cookie, s->cookie_len),
                             &r->error))
        return true;
    r->verdict = PROBE_REFUSED;
    return false;
}

struct span probe_output(const struct probe_dialogue *d)
{
    if (d->whole)
        return initiator_output(&d->initiator);
    return span_of(d->out + d->out_sent, d->out_len - d->out_sent);
}

void probe_sent(struct probe_dialogue *d, size_t n)
{
    if (d->whole)
        initiator_sent(&d->initiator, n);
    else
        d->out_sent += n;
}

static enum probe_step over(struct probe_result *r, enum probe_verdict verdict, int error)
{
    r->verdict = verdict;
    r->error = error;
    return PROBE_OVER;
}

static enum probe_step judge_whole(struct probe_dialogue *d, enum initiator_step step,
                                   struct probe_result *r)
{
    switch (step) {
    case INITIATOR_SEND:
        return PROBE_SEND;
    case INITIATOR_WAIT:
        return PROBE_WAIT;
    case INITIATOR_READY:
        if (d->initiator.server_mptcp)
            say(r, "the server speaks MPTCP");
        return over(r, PROBE_WORKS, 0);
    case INITIATOR_REFUSED:
        return over(r, PROBE_REFUSED, d->initiator.error);
    case INITIATOR_BROKEN:
        break;
    }
    return over(r, PROBE_FOREIGN, 0);
}

static enum probe_step judge_method(uint8_t method, struct probe_result *r)
{
    if (method == SOCKS5_METHOD_UNACCEPTABLE) {
        say(r, "no method of ours is acceptable");
        return over(r, PROBE_REFUSED, EACCES);
    }
    say(r, method == SOCKS5_METHOD_USERPASS ? "asks for a password" : "");
    return over(r, PROBE_WORKS, 0);
}

static enum probe_step judge_info(const struct convert_answer *a, struct probe_result *r)
{
    if (a->is_error) {
        (void)snprintf(r->detail, sizeof r->detail, "Convert error %u", a->error_code);
        return over(r, PROBE_REFUSED, EACCES);
    }
    for (size_t i = 0; i < a->supported.len; i++)
        if (a->supported.ptr[i] == TCP_OPTION_MPTCP)
            say(r, "supports MPTCP");
    return over(r, PROBE_WORKS, 0);
}

static enum probe_step judge_question(struct probe_dialogue *d, struct span data,
                                      struct probe_result *r)
{
    struct convert_answer answer = {.is_error = false};
    struct decode verdict;
    uint8_t method = 0;

    if (d->dialect == PROTOCOL_SOCKS5)
        verdict = socks5_decode_method(data, &method);
    else if (d->dialect == PROTOCOL_CONVERT)
        verdict = convert_decode_answer(data, &answer);
    else
        verdict = mpconvert_match_echo(data, span_of(d->out, d->out_len));
    if (verdict.status == DECODE_MORE)
        return d->out_sent < d->out_len ? PROBE_SEND : PROBE_WAIT;
    if (verdict.status != DECODE_DONE)
        return over(r, PROBE_FOREIGN, 0);
    if (d->dialect == PROTOCOL_SOCKS5)
        return judge_method(method, r);
    if (d->dialect == PROTOCOL_CONVERT)
        return judge_info(&answer, r);
    return over(r, PROBE_WORKS, 0);
}

enum probe_step probe_input(struct probe_dialogue *d, struct span data, size_t *consumed,
                            struct probe_result *r)
{
    *consumed = 0;
    if (d->whole)
        return judge_whole(d, initiator_input(&d->initiator, data, consumed), r);
    return judge_question(d, data, r);
}

void probe_closed(struct probe_dialogue *d, int error, struct probe_result *r)
{
    /* Only MP_CONVERT says no by closing (draft -10 s6.2). */
    if (d->whole && initiator_closed(&d->initiator, error) == INITIATOR_REFUSED &&
        d->initiator.failure.why == OUTCOME_REFUSED) {
        (void)over(r, PROBE_REFUSED, d->initiator.error);
    } else {
        say(r, "closed without an answer");
        (void)over(r, PROBE_SILENT, error);
    }
}
