/* SPDX-License-Identifier: MIT */
/* Four octets choose what is configured, how the stream is cut and how the dial ends; the rest
 * is what a client sends. However it is cut, answers, verdict, consumed octets and early data
 * are the same; a decision needs exactly what was consumed, and what was answered by then is
 * only added to. Every answer is one the client's decoders read. interview.c checks each step.
 */
#include "interview.h"
#include "property.h"
#include <stdlib.h>
#include <unistd.h>

enum {
    CHOICES = 4,
    STREAM_MAX = 3400, /* what fills HANDSHAKE_REPLY_MAX if every 3 octets got an answer */
    OCTET_BY_OCTET_MAX = 16, /* longer streams only when there is time */
    USERS = 0x01,
    NONE_REFUSED = 0x02,
    EMPTY_FIELDS = 0x04,
    STRICT = 0x08,
    RESOLVE = 0x10,
    INVERTED = 0x20,
    COOKIES = 0x40,
    WRONG_PASSWORD = 0x80,
};

static void write_file(char *path, const char *text)
{
    int fd = mkstemp(path);

    ASSERT(fd >= 0 && write(fd, text, strlen(text)) == (ssize_t)strlen(text));
    (void)close(fd); /* written */
}

/* The same keys in every run: a finding has to come back. */
static const struct cookie_keys *keys(void)
{
    static const struct cookie_keys *loaded;
    char subscribers[] = "/tmp/fuzz-subscribers-XXXXXX", secrets[] = "/tmp/fuzz-keys-XXXXXX";
    struct conf_error err;

    if (loaded != NULL)
        return loaded;
    write_file(subscribers, "alice hex:a0a1a2a3a4a5a6a7a8a9aaabacadaeaf\nbob secret\n");
    write_file(secrets, "1 000102030405060708090a0b0c0d0e0f101112131415161718191a1b1c1d1e1f\n");
    loaded = cookie_keys_load(COOKIE_BOTH, subscribers, secrets, false, &err);
    (void)unlink(subscribers); /* read */
    (void)unlink(secrets);
    ASSERT(loaded != NULL);
    return loaded;
}

/* Protocols: one bit each, from the lowest, in the order of enum protocol; none: all. Above
 * them: is the listener exact? */
static struct handshake_policy choose(uint8_t protocols, uint8_t bits)
{
    static const uint8_t client[4] = {192, 0, 2, 77};
    unsigned some = ((unsigned)protocols & 0x1F) << 1;

    return (struct handshake_policy){
        .protocols = some != 0 ? some : 0x1F << 1,
        .users_configured = (bits & USERS) != 0,
        .none_allowed = (bits & NONE_REFUSED) == 0,
        .empty_fields = (bits & EMPTY_FIELDS) != 0,
        .strict_reserved = (bits & STRICT) != 0,
        .resolve = (bits & RESOLVE) != 0,
        .m_bit = (bits & INVERTED) != 0 ? MPCONVERT_M_INVERTED : MPCONVERT_M_DRAFT,
        .cookies = (bits & COOKIES) != 0 ? keys() : NULL,
        .client = addr_ipv4(client, 40000),
        .wall_s = UINT64_C(7) * COOKIE_EPOCH_SECONDS,
        .local_port = 1080,
        .exact = (protocols & 0x20) != 0,
    };
}

static void holds(const char *flaw)
{
    if (flaw == NULL)
        return;
    (void)fprintf(stderr, "%s\n", flaw);
    abort();
}

static void same(const struct interview *a, const struct interview *b)
{
    const char *differ = interview_differ(a, b);

    if (differ == NULL)
        return;
    (void)fprintf(stderr, "cut otherwise, it differs in %s\n", differ);
    abort();
}

/* What is known after `n` octets is not taken back by the others. */
static void grows(const struct interview *whole, bool accept, struct span stream, size_t n)
{
    struct interview part;

    holds(interview_run(&part, whole->policy, accept, span_of(stream.ptr, n), 0));
    ASSERT(part.consumed <= whole->consumed && part.reply_len <= whole->reply_len);
    ASSERT(memcmp(part.reply, whole->reply, part.reply_len) == 0);
    if (part.over)
        ASSERT(part.step.action == whole->step.action && part.reply_len == whole->reply_len);
    else if (part.h.protocol != PROTOCOL_UNKNOWN)
        ASSERT(part.h.protocol == whole->h.protocol);
}

static void needs_what_it_consumed(const struct interview *whole, bool accept,
                                   struct span stream)
{
    struct interview part;

    ASSERT(whole->consumed > 0);
    ASSERT(span_equal(span_of(whole->pending, whole->pending_len),
                      span_skip(stream, whole->consumed)));
    holds(interview_run(&part, whole->policy, accept, span_of(stream.ptr, whole->consumed), 0));
    ASSERT(part.over && part.step.action == whole->step.action && part.pending_len == 0);
    holds(interview_run(&part, whole->policy, accept, span_of(stream.ptr, whole->consumed - 1),
                        0));
    ASSERT(!part.over && part.step.action == HANDSHAKE_MORE);
}

static void convert_answer_holds(struct span answer, bool is_error)
{
    struct convert_answer a;
    struct decode d = convert_decode_answer(answer, &a);

    ASSERT(d.status == DECODE_DONE && d.bytes == answer.len && a.is_error == is_error);
}

static void socks5_reply_holds(struct span answer, bool is_error)
{
    struct socks5_reply r;
    struct decode d = socks5_decode_reply(answer, &r);

    ASSERT(d.status == DECODE_DONE && d.bytes == answer.len);
    ASSERT((r.rep != SOCKS5_REP_OK) == is_error && (!is_error || answer.len == 10));
}

/* `answer` ends a request; `message` is the request. */
static void answer_holds(enum protocol p, struct span answer, struct span message,
                         bool is_error)
{
    switch (p) {
    case PROTOCOL_SOCKS5:
        socks5_reply_holds(answer, is_error);
        break;
    case PROTOCOL_SOCKS4:
        ASSERT(answer.len == SOCKS4_REPLY_LEN && answer.ptr[0] == 0);
        ASSERT(answer.ptr[1] == (is_error ? SOCKS4_REJECTED : SOCKS4_GRANTED));
        break;
    case PROTOCOL_MP_CONVERT:
        ASSERT(is_error ? answer.len == 0 : span_equal(answer, message));
        break;
    case PROTOCOL_PM08:
        ASSERT(answer.len == 0);
        break;
    case PROTOCOL_CONVERT:
        convert_answer_holds(answer, is_error);
        break;
    case PROTOCOL_UNKNOWN:
    case PROTOCOL_HTTP:
    case PROTOCOL_TRANSPARENT:
    case PROTOCOL_COUNT:
        ASSERT(false);
    }
}

static void dialled(const struct interview *v, struct span stream, uint8_t how)
{
    struct interview ok = *v, failed = *v;
    struct span message = span_of(stream.ptr, v->consumed);
    const struct failure f = {.why = (enum outcome)(1 + how % (OUTCOME_COUNT - 1)),
                              .detail = how};
    const struct handshake_success s = {
        .bound = v->policy->client,
        .synack = {.mss = (uint16_t)(how % 3 * 700), .sack = how % 2 == 0}};
    enum handshake_close close;

    if (v->step.action == HANDSHAKE_CONNECT)
        holds(interview_succeed(&ok, &s));
    else
        holds(interview_resolve(&ok, &s.bound, how % 2 == 0 ? "example.net" : NULL));
    holds(interview_fail(&failed, f, &close));
    if (v->h.no_answer) {
        ASSERT(ok.reply_len == 0 && failed.reply_len == 0 && close == HANDSHAKE_ABORT);
        return;
    }
    answer_holds(v->h.protocol, span_of(ok.reply + v->reply_len, ok.reply_len - v->reply_len),
                 message, false);
    answer_holds(v->h.protocol,
                 span_of(failed.reply + v->reply_len, failed.reply_len - v->reply_len), message,
                 true);
}

static void refused(const struct interview *v)
{
    struct span answer = span_of(v->reply, v->reply_len);
    enum outcome why = v->step.failure.why;

    if (why == OUTCOME_UNKNOWN_PROTOCOL) { /* nothing, or HTTP's answer on a SOCKS5 port */
        ASSERT(answer.len == 0 ||
               (v->h.protocol == PROTOCOL_HTTP &&
                (v->policy->protocols & PROTOCOL_BIT(PROTOCOL_SOCKS5)) != 0));
        return;
    }
    ASSERT((v->policy->protocols & PROTOCOL_BIT(v->h.protocol)) != 0);
    if (v->h.protocol == PROTOCOL_CONVERT && answer.len > 0)
        convert_answer_holds(answer, true);
    if (v->h.protocol == PROTOCOL_SOCKS5)
        ASSERT(answer.len >= 2 && v->step.close == HANDSHAKE_LINGER);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    struct interview whole, cut;

    if (size <= CHOICES)
        return 0;
    struct span stream =
        span_of(data + CHOICES, size - CHOICES < STREAM_MAX ? size - CHOICES : STREAM_MAX);
    struct handshake_policy p = choose(data[0], data[1]);
    bool accept = (data[1] & WRONG_PASSWORD) == 0;
    holds(interview_run(&whole, &p, accept, stream, 0));
    if (stream.len <= OCTET_BY_OCTET_MAX || property_try_all()) {
        holds(interview_run(&cut, &p, accept, stream, 1));
        same(&whole, &cut);
    }
    interview_begin(&cut, &p, accept);
    holds(interview_hear(&cut, span_of(stream.ptr, data[2] % (stream.len + 1))));
    holds(interview_hear(&cut, span_skip(stream, data[2] % (stream.len + 1))));
    same(&whole, &cut);
    grows(&whole, accept, stream, ((size_t)data[2] << 2 | data[3] % 4) % (stream.len + 1));
    if (whole.step.action == HANDSHAKE_REFUSE)
        refused(&whole);
    else if (whole.over)
        needs_what_it_consumed(&whole, accept, stream);
    if (whole.over && whole.step.action != HANDSHAKE_REFUSE &&
        whole.step.action != HANDSHAKE_ANSWERED)
        dialled(&whole, stream, data[3]);
    return 0;
}
