/* SPDX-License-Identifier: MIT */
/* interview_check - interview with the check library: a broken rule fails the test. Octets are
 * given in hexadecimal, spaces as you like. */
#ifndef SUPPORT_INTERVIEW_CHECK_H
#define SUPPORT_INTERVIEW_CHECK_H
#include "interview.h"
#include <check.h>

enum { OCTETS_MAX = 4096 };
struct octets {
    size_t len;
    uint8_t o[OCTETS_MAX];
};

static inline unsigned hex_nibble(char c)
{
    ck_assert_msg((c >= '0' && c <= '9') || (c >= 'a' && c <= 'f'), "not hex: %c", c);
    return (unsigned)(c <= '9' ? c - '0' : c - 'a' + 10);
}

static inline struct octets octets_of(const char *hex)
{
    struct octets s = {.len = 0};

    for (; *hex != 0; hex++) {
        if (*hex == ' ')
            continue;
        ck_assert(s.len < OCTETS_MAX && hex[1] != 0);
        s.o[s.len++] = (uint8_t)(hex_nibble(hex[0]) << 4 | hex_nibble(hex[1]));
        hex++;
    }
    return s;
}

/* Every dialect, no credentials needed. */
static inline struct handshake_policy policy_open(void)
{
    static const uint8_t client[4] = {192, 0, 2, 77};

    return (struct handshake_policy){
        .protocols = PROTOCOL_BIT(PROTOCOL_SOCKS5) | PROTOCOL_BIT(PROTOCOL_SOCKS4) |
                     PROTOCOL_BIT(PROTOCOL_MP_CONVERT) | PROTOCOL_BIT(PROTOCOL_PM08) |
                     PROTOCOL_BIT(PROTOCOL_CONVERT),
        .none_allowed = true,
        .client = addr_ipv4(client, 40000),
        .local_port = 1080,
    };
}

/* Users are configured, and this source has to be one. */
static inline struct handshake_policy policy_users(void)
{
    struct handshake_policy p = policy_open();

    p.users_configured = true;
    p.none_allowed = false;
    return p;
}

static inline void ck_same(const struct interview *v, const struct interview *w,
                           const char *how, size_t n)
{
    const char *differ = interview_differ(v, w);

    ck_assert_msg(differ == NULL, "%s %zu: %s", how, n, differ);
}

/* Plays the stream in one piece, cut in two at every octet, and octet by octet: *v is what all
 * agree on. */
static inline void ck_interview(struct interview *v, const struct handshake_policy *p,
                                bool accept, struct span stream)
{
    struct interview w;
    const char *flaw = interview_run(v, p, accept, stream, 0);

    ck_assert_msg(flaw == NULL, "%s", flaw);
    for (size_t piece = 1; piece <= 3 && piece < stream.len; piece++) {
        flaw = interview_run(&w, p, accept, stream, piece);
        ck_assert_msg(flaw == NULL, "pieces of %zu: %s", piece, flaw);
        ck_same(v, &w, "pieces of", piece);
    }
    for (size_t cut = 1; cut < stream.len; cut++) {
        interview_begin(&w, p, accept);
        flaw = interview_hear(&w, span_of(stream.ptr, cut));
        if (flaw == NULL)
            flaw = interview_hear(&w, span_skip(stream, cut));
        ck_assert_msg(flaw == NULL, "cut at %zu: %s", cut, flaw);
        ck_same(v, &w, "cut at", cut);
    }
}

/* Right credentials. */
static inline void ck_talk(struct interview *v, const struct handshake_policy *p,
                           const char *hex)
{
    struct octets s = octets_of(hex);

    ck_interview(v, p, true, span_of(s.o, s.len));
}

static inline void ck_octets(const uint8_t *got, size_t got_len, const char *hex)
{
    struct octets want = octets_of(hex);

    ck_assert_uint_eq(got_len, want.len);
    ck_assert_mem_eq(got, want.o, want.len);
}

/* All answers so far. */
static inline void ck_answers(const struct interview *v, const char *hex)
{
    ck_octets(v->reply, v->reply_len, hex);
}

static inline void ck_early(const struct interview *v, const char *hex)
{
    ck_octets(v->pending, v->pending_len, hex);
}

static inline void ck_refused(const struct interview *v, enum outcome why, enum reject reject,
                              enum handshake_close close, const char *answers)
{
    ck_assert_int_eq(v->step.action, HANDSHAKE_REFUSE);
    ck_assert_str_eq(outcome_name(v->step.failure.why), outcome_name(why));
    ck_assert_str_eq(reject_text(v->step.why), reject_text(reject));
    ck_assert_int_eq(v->step.close, close);
    ck_answers(v, answers);
}

/* CONNECT (or another request) for `target`, nothing but `answers` said so far. */
static inline void ck_requested(const struct interview *v, enum handshake_action action,
                                const char *target, const char *answers)
{
    char text[TARGET_TEXT_MAX];

    ck_assert_int_eq(v->step.action, action);
    ck_assert_str_eq(target_print(&v->h.target, text, sizeof text), target);
    ck_answers(v, answers);
}

static inline void ck_succeed(struct interview *v, const struct handshake_success *s,
                              const char *answer)
{
    size_t before = v->reply_len;
    const char *flaw = interview_succeed(v, s);

    ck_assert_msg(flaw == NULL, "%s", flaw);
    ck_octets(v->reply + before, v->reply_len - before, answer);
}

static inline void ck_resolve(struct interview *v, const struct addr *a, const char *name,
                              const char *answer)
{
    size_t before = v->reply_len;
    const char *flaw = interview_resolve(v, a, name);

    ck_assert_msg(flaw == NULL, "%s", flaw);
    ck_octets(v->reply + before, v->reply_len - before, answer);
}

static inline void ck_fail(struct interview *v, struct failure f, enum handshake_close close,
                           const char *answer)
{
    size_t before = v->reply_len;
    enum handshake_close got;
    const char *flaw = interview_fail(v, f, &got);

    ck_assert_msg(flaw == NULL, "%s", flaw);
    ck_assert_int_eq(got, close);
    ck_octets(v->reply + before, v->reply_len - before, answer);
}

static inline struct addr addr_text(const char *text)
{
    struct addr a;

    ck_assert_msg(addr_parse(text, &a), "%s", text);
    return a;
}

#endif
