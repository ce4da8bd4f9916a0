/* SPDX-License-Identifier: MIT */
/* Three octets choose dialect, options and how the stream is cut; the rest is what the peer
 * sends. However it is cut, the verdict, all that was sent and all that was consumed are the
 * same; and the verdict needs exactly what was consumed. */
#include "dialogue.h"
#include "property.h"
#include <errno.h>

enum {
    CHOICES = 3,
    STREAM_MAX = 300,
    OCTET_BY_OCTET_MAX = 16, /* longer streams only when there is time */
    WITH_USER = 0x01,
    PIPELINE = 0x02,
    WITH_COOKIE = 0x04,
    WANT_INFO = 0x08,
    WITH_SOURCE = 0x10,
    INVERTED = 0x20,
    IPV6 = 0x40,
    NAME = 0x80,
};
/* In the octet of the dialect. */
enum {
    NO_ANSWER = 0x10,
    PROBE = 0x20,
};

static struct target choose_target(uint8_t bits)
{
    static const uint8_t v4[] = {192, 0, 2, 10};
    static const uint8_t v6[] = {0x20, 0x01, 0x0d, 0xb8, 0, 0, 0, 0, 0, 0, 0, 0, 0, 1, 0, 2};
    struct addr a = (bits & IPV6) != 0 ? addr_ipv6(v6, 443) : addr_ipv4(v4, 443);
    struct target t = target_from_addr(&a);

    if ((bits & NAME) != 0)
        ASSERT(target_from_host(span_of("example.net", 11), 443, &t));
    return t;
}

static struct initiator_options choose(uint8_t dialect, uint8_t bits)
{
    static const enum protocol dialects[] = {PROTOCOL_SOCKS5, PROTOCOL_MP_CONVERT,
                                             PROTOCOL_PM08, PROTOCOL_CONVERT};
    static const uint8_t v4[] = {198, 51, 100, 7};
    struct initiator_options opt = {.dialect = dialects[dialect % ARRAY_LEN(dialects)]};

    if ((bits & WITH_USER) != 0) {
        opt.user = span_of("user", 4);
        opt.pass = span_of("pass", 4);
    }
    if ((bits & WITH_COOKIE) != 0)
        opt.cookie = span_of("cookie", 6);
    if ((bits & WITH_SOURCE) != 0)
        opt.source = addr_ipv4(v4, 50000);
    opt.pipeline = (bits & PIPELINE) != 0;
    opt.want_info = (bits & WANT_INFO) != 0;
    opt.no_answer = (dialect & NO_ANSWER) != 0;
    opt.m_bit = (bits & INVERTED) != 0 ? MPCONVERT_M_INVERTED : MPCONVERT_M_DRAFT;
    return opt;
}

static bool play(struct dialogue *d, const uint8_t *choices, struct span stream, size_t piece)
{
    struct initiator_options opt = choose(choices[0], choices[1]);
    struct target t = choose_target(choices[1]);
    int error = 0;

    memset(d, 0, sizeof *d);
    if ((choices[0] & PROBE) != 0) {
        if (!initiator_init_probe(&d->in, opt.dialect, opt.cookie, &error))
            return false;
    } else if (!initiator_init(&d->in, &opt, &t, &error)) {
        ASSERT(error == EAFNOSUPPORT && opt.dialect != PROTOCOL_SOCKS5);
        return false;
    }
    const char *flaw = dialogue_play(d, stream, piece);
    if (flaw != NULL) {
        (void)fprintf(stderr, "pieces of %zu: %s\n", piece, flaw);
        abort();
    }
    return true;
}

static void same(const struct dialogue *a, const struct dialogue *b)
{
    ASSERT(a->in.step == b->in.step && a->in.error == b->in.error);
    ASSERT(a->in.failure.why == b->in.failure.why);
    ASSERT(a->in.failure.detail == b->in.failure.detail);
    ASSERT(a->in.retry_after == b->in.retry_after && a->in.server_mptcp == b->in.server_mptcp);
    ASSERT(a->in.exact == b->in.exact && a->consumed == b->consumed);
    ASSERT(span_equal(span_of(a->in.cookie, a->in.cookie_len),
                      span_of(b->in.cookie, b->in.cookie_len)));
    ASSERT(span_equal(span_of(a->sent, a->sent_len), span_of(b->sent, b->sent_len)));
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    struct dialogue whole, cut;

    if (size < CHOICES)
        return 0;
    struct span stream =
        span_of(data + CHOICES, size - CHOICES < STREAM_MAX ? size - CHOICES : STREAM_MAX);
    if (!play(&whole, data, stream, 0))
        return 0;
    if (stream.len <= OCTET_BY_OCTET_MAX || property_try_all()) {
        (void)play(&cut, data, stream, 1); /* false as above */
        same(&whole, &cut);
    }
    (void)play(&cut, data, stream, (size_t)data[2] + 1);
    same(&whole, &cut);
    ASSERT(whole.consumed <= stream.len);
    if (whole.in.step == INITIATOR_READY || whole.in.step == INITIATOR_REFUSED) {
        (void)play(&cut, data, span_of(stream.ptr, whole.consumed), 0);
        same(&whole, &cut);
        if (whole.consumed > 0) {
            (void)play(&cut, data, span_of(stream.ptr, whole.consumed - 1), 0);
            ASSERT(cut.in.step == INITIATOR_WAIT);
        }
    }
    if (whole.in.step == INITIATOR_WAIT) {
        ASSERT(initiator_closed(&whole.in, data[2] % 2 == 0 ? 0 : ECONNRESET) ==
               INITIATOR_REFUSED);
        ASSERT(whole.in.error != 0 && whole.in.failure.why != OUTCOME_OK);
    }
    return 0;
}
