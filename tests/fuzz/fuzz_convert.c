/* SPDX-License-Identifier: MIT */
/* The input as a request, as an answer, as a list of TCP options and as facts about a SYN+ACK.
 * What decodes is encoded and decodes to the same. */
#include "decoders.h"
#include "property.h"
#include "wire/convert.h"

enum { INPUT_MAX = CONVERT_MESSAGE_MAX + 8 };

static bool within(struct span inner, struct span outer)
{
    return inner.len == 0 || (inner.ptr >= outer.ptr && inner.len <= outer.len &&
                              inner.ptr - outer.ptr <= (ptrdiff_t)(outer.len - inner.len));
}

static void judge_failure(struct span in, enum reject why)
{
    bool reset;
    struct failure f = convert_failure(why, &reset);

    ASSERT(f.why != OUTCOME_OK);
    /* what must be echoed is whole */
    ASSERT(reset || why == REJECT_VERSION || in.len >= 4 * (size_t)in.ptr[1]);
}

static bool same_request(const struct convert_request *a, const struct convert_request *b)
{
    return a->connect == b->connect && a->info == b->info && a->no_answer == b->no_answer &&
           addr_equal(&a->target, &b->target) && span_equal(a->options, b->options) &&
           span_equal(a->cookie, b->cookie);
}

static void request_again(struct span in)
{
    uint8_t buf[CONVERT_MESSAGE_MAX];
    struct wr w = {.buf = buf, .cap = sizeof buf};
    struct convert_request req, req2;
    struct decode d = convert_decode_request(in, &req);

    if (d.status == DECODE_BAD)
        judge_failure(in, d.why);
    if (d.status != DECODE_DONE)
        return;
    struct span message = span_of(in.ptr, d.bytes);
    ASSERT(within(req.options, message) && within(req.cookie, message));
    ASSERT(req.connect == (req.target.family != ADDR_NONE));
    convert_encode_request(&w, &req);
    ASSERT(!w.overflow && w.pos <= d.bytes); /* an empty cookie goes */
    d = convert_decode_request(wr_done(&w), &req2);
    ASSERT(d.status == DECODE_DONE && d.bytes == w.pos && same_request(&req, &req2));
}

static void error_again(const struct convert_answer *a)
{
    uint8_t buf[CONVERT_MESSAGE_MAX];
    struct wr w = {.buf = buf, .cap = sizeof buf};
    bool zero_first = a->error_code >= CONVERT_ERROR_MALFORMED &&
                      a->error_code <= CONVERT_ERROR_MISSING_COOKIE;
    struct span value = a->error_value;
    struct convert_answer a2;

    ASSERT(value.len >= 1);
    if (zero_first && value.ptr[0] != 0)
        return; /* not ours: RFC 8803 s6.2.8 wants a zero octet there */
    convert_encode_error(&w, (enum convert_error)a->error_code,
                         zero_first ? span_skip(value, 1) : value);
    ASSERT(!w.overflow);
    struct decode d = convert_decode_answer(wr_done(&w), &a2);
    ASSERT(d.status == DECODE_DONE && d.bytes == w.pos && a2.is_error);
    ASSERT(a->error_code == a2.error_code && span_equal(value, a2.error_value));
}

static void answer_again(struct span in)
{
    uint8_t buf[CONVERT_MESSAGE_MAX];
    struct wr w = {.buf = buf, .cap = sizeof buf};
    struct convert_answer a, a2;
    struct decode d = convert_decode_answer(in, &a);

    if (d.status != DECODE_DONE)
        return;
    struct span message = span_of(in.ptr, d.bytes);
    ASSERT(within(a.options, message) && within(a.error_value, message));
    ASSERT(within(a.supported, message));
    if (a.is_error)
        error_again(&a);
    convert_encode_answer(&w, a.options, a.supported);
    ASSERT(!w.overflow);
    d = convert_decode_answer(wr_done(&w), &a2);
    ASSERT(d.status == DECODE_DONE && d.bytes == w.pos && !a2.is_error);
    ASSERT(span_equal(a.options, a2.options) && span_equal(a.supported, a2.supported));
    ASSERT(a.server_mptcp == a2.server_mptcp);
}

/* Zero padding changes nothing; refused kinds are named, each once. */
static void options(struct span in)
{
    uint8_t padded[INPUT_MAX + 4] = {0};
    struct convert_options o, o2;

    if (in.len > 0)
        memcpy(padded, in.ptr, in.len);
    if (!convert_judge_options(in, &o))
        return;
    ASSERT(convert_judge_options(span_of(padded, in.len + 4), &o2));
    ASSERT(o.mptcp == o2.mptcp && o.fastopen == o2.fastopen && o.refused == o2.refused);
    ASSERT(o.kinds_len <= CONVERT_OPTIONS_MAX && o.refused == (o.kinds_len > 0));
    ASSERT(span_equal(span_of(o.kinds, o.kinds_len), span_of(o2.kinds, o2.kinds_len)));
    for (size_t i = 0; i < o.kinds_len; i++)
        ASSERT(i == 0 || memchr(o.kinds, o.kinds[i], i) == NULL);
}

static void synack(struct span in)
{
    uint8_t buf[CONVERT_OPTIONS_MAX];
    struct wr w = {.buf = buf, .cap = sizeof buf};
    struct rd r = {.in = in};
    uint8_t bits = rd_u8(&r);
    struct convert_synack s = {.mss = rd_be16(&r),
                               .sack = (bits & 1) != 0,
                               .timestamps = (bits & 2) != 0,
                               .wscale = (bits & 4) != 0,
                               .mptcp = (bits & 8) != 0,
                               .wscale_value = rd_u8(&r)};
    struct convert_options o;

    convert_encode_synack_options(&w, &s);
    ASSERT(!w.overflow && w.pos % 4 == 0);
    ASSERT(convert_judge_options(wr_done(&w), &o));
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    struct span in = span_of(data, size < INPUT_MAX ? size : INPUT_MAX);

    property_verdict(decoder_convert_request, in);
    property_verdict(decoder_convert_answer, in);
    request_again(in);
    answer_again(in);
    options(in);
    synack(in);
    return 0;
}
