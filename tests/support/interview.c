/* SPDX-License-Identifier: MIT */
#include "interview.h"
#include <stdlib.h>

void interview_begin(struct interview *v, const struct handshake_policy *p, bool accept)
{
    memset(v, 0, sizeof *v);
    v->policy = p;
    v->accept = accept;
    handshake_init(&v->h);
}

/* Answers go to a buffer of exactly the size the contract promises to be enough. */
static struct wr reply_begin(void)
{
    struct wr w = {.buf = malloc(HANDSHAKE_REPLY_MAX), .cap = HANDSHAKE_REPLY_MAX};

    if (w.buf == NULL)
        abort();
    return w;
}

static const char *reply_end(struct interview *v, struct wr *w)
{
    const char *flaw = NULL;

    if (w->overflow)
        flaw = "the answers overflow HANDSHAKE_REPLY_MAX";
    else if (w->pos > sizeof v->reply - v->reply_len)
        flaw = "answers without end";
    if (flaw == NULL) {
        memcpy(v->reply + v->reply_len, w->buf, w->pos);
        v->reply_len += w->pos;
    }
    free(w->buf);
    return flaw;
}

static bool is_request(enum handshake_action action)
{
    return action == HANDSHAKE_CONNECT || action == HANDSHAKE_RESOLVE ||
           action == HANDSHAKE_RESOLVE_PTR;
}

static const char *target_flaw(const struct handshake *h, enum handshake_action action)
{
    const struct target *t = &h->target;

    if (target_is_name(t) == (t->addr.family != ADDR_NONE))
        return "a target that is neither an address nor a name";
    if (action == HANDSHAKE_CONNECT && t->port == 0)
        return "CONNECT to port 0";
    if (action == HANDSHAKE_RESOLVE_PTR && target_is_name(t))
        return "RESOLVE_PTR of a name";
    if (action != HANDSHAKE_CONNECT && h->protocol != PROTOCOL_SOCKS5)
        return "RESOLVE in a dialect that has none";
    return NULL;
}

/* `given` octets of input led to `step` and `answered` octets of answers in the same call. */
static const char *step_flaw(const struct interview *v, const struct handshake_step *step,
                             size_t given, size_t answered)
{
    bool refused = step->action == HANDSHAKE_REFUSE;
    enum protocol p = v->h.protocol;

    if (step->consumed > given)
        return "consumed more than was given";
    if (answered > 0 && step->consumed == 0 && !refused)
        return "an answer to a message that is not complete";
    if (refused != (step->failure.why != OUTCOME_OK))
        return "a failure without REFUSE, or the reverse";
    if (!refused && (step->why != REJECT_NONE || step->close != HANDSHAKE_LINGER))
        return "a reason to refuse without REFUSE";
    if (refused && answered > 0 && step->close != HANDSHAKE_LINGER)
        return "an answer that is cut off by a reset";
    if (refused && (p == PROTOCOL_MP_CONVERT || p == PROTOCOL_PM08) &&
        (answered > 0 || step->close != HANDSHAKE_ABORT))
        return "MP_CONVERT is refused in silence (draft -10 s5.2)";
    if (step->action == HANDSHAKE_CONNECT && p != PROTOCOL_SOCKS5 && answered > 0)
        return "an answer before the server accepted";
    if (p != PROTOCOL_SOCKS5 && step->action == HANDSHAKE_AUTH)
        return "credentials in a dialect that has none";
    return is_request(step->action) ? target_flaw(&v->h, step->action) : NULL;
}

static const char *judge_step(struct interview *v, const struct handshake_step *step,
                              size_t given, struct wr *w)
{
    size_t answered = w->pos;
    const char *flaw = reply_end(v, w);

    if (flaw == NULL)
        flaw = step_flaw(v, step, given, answered);
    v->step = *step;
    v->over = step->action != HANDSHAKE_MORE && step->action != HANDSHAKE_AUTH;
    return flaw;
}

static const char *authenticate(struct interview *v, const struct handshake_step *asked)
{
    struct wr w = reply_begin();

    v->asked++;
    v->user_len = asked->user.len;
    v->pass_len = asked->pass.len;
    if (asked->user.len > 0)
        memcpy(v->user, asked->user.ptr, asked->user.len);
    if (asked->pass.len > 0)
        memcpy(v->pass, asked->pass.ptr, asked->pass.len);
    struct handshake_step step = handshake_authenticated(&v->h, v->accept, &w);
    if (step.action != (v->accept ? HANDSHAKE_MORE : HANDSHAKE_REFUSE) || step.consumed != 0) {
        free(w.buf);
        return "the credentials' verdict was not heard";
    }
    if (w.pos != 2) {
        free(w.buf);
        return "credentials are not answered";
    }
    v->step = step;
    v->over = !v->accept;
    return reply_end(v, &w);
}

/* One call of handshake_input() with all that is pending. */
static const char *ask(struct interview *v)
{
    size_t given = v->pending_len;
    struct wr w = reply_begin();
    uint8_t *copy = malloc(given == 0 ? 1 : given);

    if (copy == NULL)
        abort();
    memcpy(copy, v->pending, given);
    struct handshake_step step = handshake_input(&v->h, v->policy, span_of(copy, given), &w);
    const char *flaw = judge_step(v, &step, given, &w);
    if (flaw == NULL && step.action == HANDSHAKE_AUTH)
        flaw = authenticate(v, &step);
    free(copy);
    if (flaw != NULL)
        return flaw;
    v->consumed += step.consumed;
    v->pending_len -= step.consumed;
    memmove(v->pending, v->pending + step.consumed, v->pending_len);
    return NULL;
}

const char *interview_hear(struct interview *v, struct span octets)
{
    const char *flaw = NULL;
    unsigned asked;

    if (octets.len > sizeof v->pending - v->pending_len)
        return "too much for this interview";
    if (octets.len > 0)
        memcpy(v->pending + v->pending_len, octets.ptr, octets.len);
    v->pending_len += octets.len;
    if (v->over)
        return NULL;
    do { /* again at once after AUTH was answered */
        asked = v->asked;
        flaw = ask(v);
    } while (flaw == NULL && !v->over && v->asked != asked);
    return flaw;
}

const char *interview_run(struct interview *v, const struct handshake_policy *p, bool accept,
                          struct span stream, size_t piece)
{
    const char *flaw = NULL;

    interview_begin(v, p, accept);
    for (size_t at = 0; at < stream.len && flaw == NULL;) {
        size_t left = stream.len - at;
        size_t n = piece == 0 || piece > left ? left : piece;

        flaw = interview_hear(v, span_of(stream.ptr + at, n));
        at += n;
    }
    return flaw;
}

static const char *step_differ(const struct interview *a, const struct interview *b)
{
    const struct handshake_step *s = &a->step, *t = &b->step;

    if (a->over != b->over || s->action != t->action)
        return "the action";
    if (s->failure.why != t->failure.why || s->failure.detail != t->failure.detail ||
        s->close != t->close)
        return "the failure";
    if (s->failure.why == OUTCOME_UNKNOWN_PROTOCOL)
        return NULL;
    return s->why == t->why && a->h.protocol == b->h.protocol ? NULL : "the protocol or reason";
}

const char *interview_differ(const struct interview *a, const struct interview *b)
{
    const char *step = step_differ(a, b);

    if (step != NULL)
        return step;
    if (!span_equal(span_of(a->reply, a->reply_len), span_of(b->reply, b->reply_len)))
        return "the answers";
    if (a->consumed != b->consumed)
        return "the octets consumed";
    if (!span_equal(span_of(a->pending, a->pending_len), span_of(b->pending, b->pending_len)))
        return "the early data";
    if (a->asked != b->asked ||
        !span_equal(span_of(a->user, a->user_len), span_of(b->user, b->user_len)) ||
        !span_equal(span_of(a->pass, a->pass_len), span_of(b->pass, b->pass_len)))
        return "the credentials";
    if (!target_equal(&a->h.target, &b->h.target) || !addr_equal(&a->h.source, &b->h.source))
        return "target or source";
    if (a->h.want_mptcp != b->h.want_mptcp || a->h.want_fastopen != b->h.want_fastopen ||
        a->h.address_proven != b->h.address_proven || a->h.cookie_name != b->h.cookie_name)
        return "what the client asked for or proved";
    return NULL;
}

const char *interview_succeed(struct interview *v, const struct handshake_success *s)
{
    struct wr w = reply_begin();

    handshake_success(&v->h, s, &w);
    return reply_end(v, &w);
}

const char *interview_resolve(struct interview *v, const struct addr *a, const char *name)
{
    struct wr w = reply_begin();

    handshake_resolved(&v->h, a, name, &w);
    return reply_end(v, &w);
}

const char *interview_fail(struct interview *v, struct failure f, enum handshake_close *close)
{
    struct wr w = reply_begin();

    *close = handshake_failure(&v->h, f, &w);
    if (w.pos > 0 && *close == HANDSHAKE_ABORT) {
        free(w.buf);
        return "an answer that is cut off by a reset";
    }
    return reply_end(v, &w);
}
