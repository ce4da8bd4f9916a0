/* SPDX-License-Identifier: MIT */
/* The input as mc10 elements, for either sense of M, and as an echo. What decodes is encoded
 * again, decodes to the same, and is its own echo. */
#include "property.h"
#include "wire/mpconvert.h"

enum { INPUT_MAX = MPCONVERT_REQUEST_MAX + 8 }; /* longer ones only repeat themselves */

static const uint8_t sent[] = {0xfa, 0xa8, 0xfa, 0xa8, 0,   10, 0,    0,    192,  0,
                               2,    10,   1,    0xbb, 0,   0,  0xfa, 0xa8, 0xfa, 0xa8,
                               0,    8,    0,    3,    192, 0,  2,    1};

static struct decode draft(struct span in)
{
    struct mpconvert_request req;
    struct decode d = mpconvert_decode(in, MPCONVERT_M_DRAFT, &req);

    ASSERT(d.status != DECODE_MORE || d.bytes <= MPCONVERT_REQUEST_MAX);
    return d;
}

static struct decode inverted(struct span in)
{
    struct mpconvert_request req;

    return mpconvert_decode(in, MPCONVERT_M_INVERTED, &req);
}

static struct decode echo(struct span in)
{
    return mpconvert_match_echo(in, span_of(sent, sizeof sent));
}

static void encode(struct wr *w, const struct mpconvert_request *req, bool source, bool last,
                   enum mpconvert_m_bit m)
{
    if (source)
        mpconvert_encode(w, &req->source, req->source_port, true, last, m);
    else
        mpconvert_encode(w, &req->destination, req->destination_port, false, last, m);
}

static bool same(const struct mpconvert_request *a, const struct mpconvert_request *b)
{
    return a->has_source == b->has_source && a->source_port == b->source_port &&
           a->has_destination == b->has_destination &&
           a->destination_port == b->destination_port && a->protocol == b->protocol &&
           a->no_answer == b->no_answer && addr_equal(&a->source, &b->source) &&
           addr_equal(&a->destination, &b->destination);
}

static void again(struct span in, enum mpconvert_m_bit m)
{
    uint8_t buf[MPCONVERT_REQUEST_MAX];
    struct wr w = {.buf = buf, .cap = sizeof buf};
    struct mpconvert_request req, req2;
    struct decode d = mpconvert_decode(in, m, &req);

    if (d.status != DECODE_DONE)
        return;
    ASSERT(d.bytes <= MPCONVERT_REQUEST_MAX && (req.has_source || req.has_destination));
    bool silent_first = req.no_answer && req.no_answer_at == 0;
    bool source_first = (in.ptr[silent_first ? 15 : 7] & 2) != 0;
    bool both = req.has_source && req.has_destination;
    bool silent_last = req.no_answer && d.bytes - req.no_answer_at == MPCONVERT_NO_ANSWER_LEN;
    if (silent_first)
        mpconvert_encode_no_answer(&w, false, m);
    encode(&w, &req, source_first, !both && !silent_last, m);
    if (req.no_answer && !silent_first && !silent_last)
        mpconvert_encode_no_answer(&w, false, m);
    if (both)
        encode(&w, &req, !source_first, !silent_last, m);
    if (silent_last)
        mpconvert_encode_no_answer(&w, true, m);
    ASSERT(!w.overflow && w.pos <= d.bytes); /* mapped prefixes go */
    struct decode d2 = mpconvert_decode(wr_done(&w), m, &req2);
    ASSERT(d2.status == DECODE_DONE && d2.bytes == w.pos);
    ASSERT(same(&req, &req2));
    if (w.pos < d.bytes)
        return;
    d2 = mpconvert_match_echo(in, wr_done(&w));
    ASSERT(d2.status == DECODE_DONE && d2.bytes == d.bytes);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    struct span in = span_of(data, size < INPUT_MAX ? size : INPUT_MAX);

    property_verdict(draft, in);
    property_verdict(inverted, in);
    property_verdict(echo, in);
    again(in, MPCONVERT_M_DRAFT);
    again(in, MPCONVERT_M_INVERTED);
    return 0;
}
