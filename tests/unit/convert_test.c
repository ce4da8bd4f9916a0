/* SPDX-License-Identifier: MIT */
/* Decoders, both roles. Vectors CV are in vectors_convert_test.c; here is what the header says
 * beyond them. */
#include "decoders.h"
#include "runner.h"
#include "verdict_check.h"
#include "wire/convert.h"

#define MAGIC 0x22, 0x63
#define MAPPED 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0xff, 0xff
#define V4 192, 0, 2, 10
#define V6 0x20, 0x01, 0x0d, 0xb8, 0, 0, 0, 0, 0, 0, 0, 0, 0, 1, 0, 2

enum { EARLY = 2 };

struct sample {
    const char *what;
    size_t len; /* with the early data */
    uint8_t octets[64];
};

static const struct sample requests[] = {
    {"Base Connect, s6.2.5", 24 + EARLY, {1, 6, MAGIC, 10, 5, 1, 0xbb, MAPPED, V4, 'x', 'y'}},
    {"Info and Connect, s6.2.3",
     28 + EARLY,
     {1, 7, MAGIC, 1, 1, 0, 0, 10, 5, 1, 0xbb, MAPPED, V4, 'x', 'y'}},
    {"Extended Connect and Cookie, s6.2.5, s6.2.7",
     36 + EARLY,
     {1, 9,  MAGIC, 10, 6, 1,   0xbb, V6,  30,  2,   34,
      2, 22, 2,     0,  0, 'c', 'o',  'o', 'k', 'x', 'y'}},
    {"bare header, s6.1", 4 + EARLY, {1, 1, MAGIC, 1, 1}},
};

static const struct sample answers[] = {
    {"Extended TCP Header, s6.2.6",
     16 + EARLY,
     {1, 4, MAGIC, 0x14, 3, 0, 0, 2, 4, 5, 0xb4, 4, 2, 1, 1, 'x', 'y'}},
    {"Error, s6.2.8", 8 + EARLY, {1, 2, MAGIC, 0x1e, 1, 96, 0, 'x', 'y'}},
    {"Supported and Extended TCP Header, s6.2.4",
     24 + EARLY,
     {1, 6, MAGIC, 0x15, 2, 0, 0,    30, 34, 0, 0, 0x14,
      3, 0, 0,     2,    4, 5, 0xb4, 30, 2,  1, 1, 'x'}},
    {"bare header, s6.1", 4 + EARLY, {1, 1, MAGIC, 0x1e, 1}},
};

/* Views point into the heap copy, so what they show is copied out before it is freed. */
struct seen_request {
    struct convert_request req;
    uint8_t options[CONVERT_MESSAGE_MAX], cookie[CONVERT_MESSAGE_MAX];
};
struct seen_answer {
    struct convert_answer answer;
    uint8_t options[CONVERT_MESSAGE_MAX], value[CONVERT_MESSAGE_MAX];
    uint8_t supported[CONVERT_MESSAGE_MAX];
};

static void keep(struct span *view, uint8_t *store)
{
    if (view->len > 0)
        memcpy(store, view->ptr, view->len);
    view->ptr = store;
}

static uint8_t *exact_copy(const uint8_t *msg, size_t n)
{
    uint8_t *copy = malloc(n > 0 ? n : 1);

    ck_assert_ptr_nonnull(copy);
    memcpy(copy, msg, n);
    return copy;
}

/* From an exact-size heap copy, so that a read past the end is seen; the output must be
 * untouched unless DONE. */
static struct decode request_prefix(const uint8_t *msg, size_t n, struct seen_request *out)
{
    uint8_t *copy = exact_copy(msg, n);
    struct convert_request before;

    memset(&before, 0xA5, sizeof before);
    out->req = before;
    struct decode d = convert_decode_request(span_of(n > 0 ? copy : NULL, n), &out->req);
    ck_assert_int_eq(d.status == DECODE_BAD, d.why != REJECT_NONE);
    if (d.status == DECODE_DONE) {
        keep(&out->req.options, out->options);
        keep(&out->req.cookie, out->cookie);
    } else {
        ck_assert_mem_eq(&out->req, &before, sizeof before);
    }
    free(copy);
    return d;
}

static struct decode answer_prefix(const uint8_t *msg, size_t n, struct seen_answer *out)
{
    uint8_t *copy = exact_copy(msg, n);
    struct convert_answer before;

    memset(&before, 0xA5, sizeof before);
    out->answer = before;
    struct decode d = convert_decode_answer(span_of(n > 0 ? copy : NULL, n), &out->answer);
    ck_assert_int_eq(d.status == DECODE_BAD, d.why != REJECT_NONE);
    if (d.status == DECODE_DONE) {
        keep(&out->answer.options, out->options);
        keep(&out->answer.error_value, out->value);
        keep(&out->answer.supported, out->supported);
    } else {
        ck_assert_mem_eq(&out->answer, &before, sizeof before);
    }
    free(copy);
    return d;
}

START_TEST(every_prefix_wants_more)
{
    const struct sample *q = &requests[_i], *a = &answers[_i];

    ck_flawless(q->what, verdict_message_flaw(decoder_convert_request,
                                              span_of(q->octets, q->len), q->len - EARLY));
    ck_flawless(a->what, verdict_message_flaw(decoder_convert_answer,
                                              span_of(a->octets, a->len), a->len - EARLY));
}
END_TEST

START_TEST(verdict_on_a_mutated_message_never_changes)
{
    const struct sample *q = &requests[_i], *a = &answers[_i];

    ck_flawless(q->what,
                verdict_mutation_flaw(decoder_convert_request, span_of(q->octets, q->len)));
    ck_flawless(a->what,
                verdict_mutation_flaw(decoder_convert_answer, span_of(a->octets, a->len)));
}
END_TEST

static enum reject type_in_request(size_t at, unsigned v)
{
    switch (v) {
    case 0:
        return REJECT_TYPE_ZERO;
    case CONVERT_TLV_INFO: /* only the second TLV is mutated to this */
        return REJECT_DUPLICATE;
    case CONVERT_TLV_CONNECT: /* the first TLV has one word */
        return REJECT_CONNECT_LENGTH;
    case CONVERT_TLV_COOKIE:
        return REJECT_NONE;
    case CONVERT_TLV_NO_ANSWER: /* fits the first TLV only */
        return at == 4 ? REJECT_NONE : REJECT_LENGTH;
    default:
        return REJECT_TYPE;
    }
}

/* What octet `at` of requests[1] (Info at 4, Connect at 8, address at 12) means when it is `v`:
 * RFC 8803 s6.1, s6.2. */
static enum reject expected_reject(size_t at, unsigned v, size_t *more)
{
    *more = 0;
    if (at == 0)
        return REJECT_VERSION;
    if (at == 1 && v == 0)
        return REJECT_TOTAL_LENGTH_ZERO;
    if (at == 1 && v > 7)
        *more = 4 * (size_t)v;
    if (at == 1 && v > 2 && v < 7)
        return REJECT_FRAMING;
    if (at == 2 || at == 3)
        return REJECT_MAGIC;
    if (at == 4 || at == 8)
        return type_in_request(at, v);
    if (at == 5 && (v == 0 || v > 6))
        return REJECT_FRAMING;
    if (at == 5)
        return REJECT_INFO_LENGTH;
    if (at == 9 && (v == 0 || v > 5))
        return REJECT_FRAMING;
    if (at == 9)
        return REJECT_CONNECT_LENGTH;
    if (at == 12 && v == 0xff)
        return REJECT_FORBIDDEN; /* ff00::/8 */
    if (at == 24 && (v == 0 || v == 127 || v >= 224))
        return REJECT_FORBIDDEN;
    return REJECT_NONE;
}

START_TEST(each_octet_of_a_request_means_what_the_rfc_says)
{
    uint8_t msg[28];
    struct seen_request s;

    for (size_t at = 0; at < sizeof msg; at++) {
        for (unsigned v = 0; v < 256; v++) {
            size_t more;
            enum reject why = expected_reject(at, v, &more);

            memcpy(msg, requests[1].octets, sizeof msg);
            if (v == msg[at])
                continue;
            msg[at] = (uint8_t)v;
            struct decode d = request_prefix(msg, sizeof msg, &s);
            ck_assert_msg(d.why == why, "octet %zu = %u: %s", at, v, reject_text(d.why));
            ck_assert((d.status == DECODE_MORE) == (more != 0));
            if (d.status != DECODE_BAD)
                ck_assert_uint_eq(d.bytes, more != 0 ? more : at == 1 ? 4 * (size_t)v : 28);
        }
    }
}
END_TEST

START_TEST(a_request_is_decoded_into_its_parts)
{
    struct seen_request s;
    static const uint8_t v6[] = {V6}, v4[] = {V4};
    struct addr a6 = addr_ipv6(v6, 443), a4 = addr_ipv4(v4, 443);

    ck_assert_int_eq(request_prefix(requests[2].octets, 38, &s).status, DECODE_DONE);
    ck_assert(s.req.connect && s.req.has_cookie && !s.req.info);
    ck_assert(addr_equal(&s.req.target, &a6));
    ck_assert(span_equal(s.req.options, span_of("\x1e\x02\x22\x02", 4)));
    ck_assert(span_equal(s.req.cookie, span_of("cook", 4)));
    ck_assert_int_eq(request_prefix(requests[1].octets, 28, &s).status, DECODE_DONE);
    ck_assert(s.req.connect && !s.req.has_cookie && s.req.info);
    ck_assert(addr_equal(&s.req.target, &a4)); /* mapped becomes IPv4 */
    ck_assert_uint_eq(s.req.options.len, 0);
    ck_assert_int_eq(request_prefix(requests[3].octets, 4, &s).status, DECODE_DONE);
    ck_assert(!s.req.connect && !s.req.has_cookie && !s.req.info);
}
END_TEST

struct bad {
    enum reject why;
    size_t len;
    uint8_t octets[32];
};

/* RFC 8803 s6.2.1: types a converter sends mean nothing from a client. */
static const struct bad bad_requests[] = {
    {REJECT_TYPE, 8, {1, 2, MAGIC, 0x14, 1, 0, 0}},
    {REJECT_TYPE, 8, {1, 2, MAGIC, 0x15, 1, 0, 0}},
    {REJECT_TYPE, 8, {1, 2, MAGIC, 0x1e, 1, 0, 1}},
    {REJECT_TYPE, 8, {1, 2, MAGIC, 0xff, 1, 0, 0}},
    {REJECT_TYPE_ZERO, 8, {1, 2, MAGIC, 0, 1, 0, 0}},
    {REJECT_FRAMING, 8, {1, 2, MAGIC, 1, 0, 0, 0}},
    {REJECT_FRAMING, 8, {1, 2, MAGIC, 1, 2, 0, 0}},
    {REJECT_INFO_LENGTH, 12, {1, 3, MAGIC, 1, 2, 0, 0, 0, 0, 0, 0}},
    {REJECT_DUPLICATE, 12, {1, 3, MAGIC, 0x16, 1, 0, 0, 0x16, 1, 0, 0}},
    {REJECT_CONNECT_LENGTH, 20, {1, 5, MAGIC, 10, 4, 0, 80}},
    {REJECT_LENGTH, 12, {1, 3, MAGIC, 0xc0, 2, 0, 0, 0, 0, 0, 0}},
    {REJECT_DUPLICATE, 12, {1, 3, MAGIC, 0xc0, 1, 0, 0, 0xc0, 1, 0, 0}},
    {REJECT_FORBIDDEN, 24, {1, 6, MAGIC, 10, 5, 0, 80, MAPPED, 127, 0, 0, 1}},
    {REJECT_FORBIDDEN, 24, {1, 6, MAGIC, 10, 5, 0, 80, MAPPED, 255, 255, 255, 255}},
    {REJECT_FORBIDDEN, 24, {1, 6, MAGIC, 10, 5, 0, 80, 0xff, 2}},
    {REJECT_FORBIDDEN, 24, {1, 6, MAGIC, 10, 5, 0, 80}}, /* :: */
};

/* R1, s6.2.8: a converter echoes what it refuses, so it must have it whole. */
START_TEST(a_bad_request_is_judged_when_it_is_whole)
{
    const struct bad *b = &bad_requests[_i];
    struct seen_request s;

    for (size_t n = 0; n < b->len; n++)
        ck_assert_int_eq(request_prefix(b->octets, n, &s).status, DECODE_MORE);
    struct decode d = request_prefix(b->octets, b->len, &s);
    ck_assert_int_eq(d.status, DECODE_BAD);
    ck_assert_msg(d.why == b->why, "%d: %s", _i, reject_text(d.why));
}
END_TEST

START_TEST(the_magic_is_judged_before_the_version)
{
    static const uint8_t http[] = "GET / HTTP/1.0\r\n";
    static const uint8_t version2[] = {2, 9, MAGIC}, version0[] = {0, 9, MAGIC};
    static const uint8_t nothing[] = {2, 0, MAGIC};
    struct seen_request s;

    ck_assert_int_eq(request_prefix(http, 2, &s).status, DECODE_MORE);
    ck_assert_int_eq(request_prefix(http, 3, &s).why, REJECT_MAGIC);
    ck_assert_int_eq(request_prefix(version2, 3, &s).status, DECODE_MORE);
    ck_assert_int_eq(request_prefix(version2, 4, &s).why, REJECT_VERSION);
    ck_assert_int_eq(request_prefix(version0, 4, &s).why, REJECT_VERSION);
    ck_assert_int_eq(request_prefix(nothing, 4, &s).why, REJECT_TOTAL_LENGTH_ZERO);
}
END_TEST

START_TEST(each_reject_has_the_answer_of_the_rfc)
{
    static const struct {
        enum reject why;
        enum outcome outcome;
        enum convert_error code;
        bool reset;
    } rows[] = {
        {REJECT_MAGIC, OUTCOME_MALFORMED, CONVERT_ERROR_MALFORMED, true},             /* R4 */
        {REJECT_TOTAL_LENGTH_ZERO, OUTCOME_MALFORMED, CONVERT_ERROR_MALFORMED, true}, /* s6.1 */
        {REJECT_VERSION, OUTCOME_UNSUPPORTED_VERSION, CONVERT_ERROR_UNSUPPORTED_VERSION, false},
        {REJECT_TYPE, OUTCOME_UNSUPPORTED_MESSAGE, CONVERT_ERROR_UNSUPPORTED_MESSAGE, false},
        {REJECT_TYPE_ZERO, OUTCOME_UNSUPPORTED_MESSAGE, CONVERT_ERROR_UNSUPPORTED_MESSAGE,
         false},
        {REJECT_FRAMING, OUTCOME_MALFORMED, CONVERT_ERROR_MALFORMED, false},
        {REJECT_DUPLICATE, OUTCOME_MALFORMED, CONVERT_ERROR_MALFORMED, false},
        {REJECT_CONNECT_LENGTH, OUTCOME_MALFORMED, CONVERT_ERROR_MALFORMED, false},
        {REJECT_INFO_LENGTH, OUTCOME_MALFORMED, CONVERT_ERROR_MALFORMED, false},
        {REJECT_LENGTH, OUTCOME_MALFORMED, CONVERT_ERROR_MALFORMED, false},
        {REJECT_FORBIDDEN, OUTCOME_FORBIDDEN_ADDRESS, CONVERT_ERROR_MALFORMED,
         false}, /* s6.2.5 */
    };

    for (size_t i = 0; i < sizeof rows / sizeof rows[0]; i++) {
        bool reset = !rows[i].reset;
        struct failure f = convert_failure(rows[i].why, &reset);

        ck_assert_int_eq(f.why, rows[i].outcome);
        ck_assert_int_eq(failure_convert_code(f), rows[i].code);
        ck_assert(reset == rows[i].reset);
    }
}
END_TEST

/* --- answers, client role */

static const struct bad bad_answers[] = {
    {REJECT_MAGIC, 4, {'H', 'T', 'T', 'P'}},
    {REJECT_VERSION, 4, {2, 1, MAGIC}},
    {REJECT_TOTAL_LENGTH_ZERO, 4, {1, 0, MAGIC}},
    {REJECT_TYPE_ZERO, 8, {1, 2, MAGIC, 0, 1, 0, 0}},
    {REJECT_FRAMING, 8, {1, 2, MAGIC, 0x14, 0, 0, 0}},
    {REJECT_FRAMING, 8, {1, 2, MAGIC, 0x14, 2, 0, 0}},
    {REJECT_DUPLICATE, 12, {1, 3, MAGIC, 0x1e, 1, 1, 0, 0x1e, 1, 1, 0}},
    {REJECT_DUPLICATE, 12, {1, 3, MAGIC, 0xC8, 1, 1, 0, 0xC8, 1, 1, 0}}, /* unknown, twice */
};

START_TEST(bad_answers_are_rejected_for_the_stated_reason)
{
    const struct bad *b = &bad_answers[_i];
    struct seen_answer s;
    struct decode d = answer_prefix(b->octets, b->len, &s);

    ck_assert_int_eq(d.status, DECODE_BAD);
    ck_assert_msg(d.why == b->why, "%d: %s", _i, reject_text(d.why));
}
END_TEST

START_TEST(unknown_types_in_an_answer_are_skipped)
{
    static const uint8_t msg[] = {1, 5,    MAGIC, 0xC8, 2, 1,    2, 3, 4, 5,
                                  6, 0x16, 1,     0,    0, 0x14, 1, 0, 0};
    struct seen_answer s;

    ck_assert_int_eq(answer_prefix(msg, sizeof msg, &s).status, DECODE_DONE);
    ck_assert(!s.answer.is_error && s.answer.options.len == 0 && s.answer.supported.len == 0);
}
END_TEST

START_TEST(an_unreadable_option_list_says_nothing_about_mptcp)
{
    static const uint8_t broken[] = {1, 3, MAGIC, 0x14, 2, 0, 0, 2, 0, 30, 2};
    static const uint8_t behind_end[] = {1, 3, MAGIC, 0x14, 2, 0, 0, 0, 0, 30, 2};
    struct seen_answer s;

    ck_assert_int_eq(answer_prefix(broken, sizeof broken, &s).status, DECODE_DONE);
    ck_assert(!s.answer.server_mptcp);
    ck_assert_int_eq(answer_prefix(behind_end, sizeof behind_end, &s).status, DECODE_DONE);
    ck_assert(!s.answer.server_mptcp);
}
END_TEST

#define COUNT(a) ((int)(sizeof(a) / sizeof((a)[0])))

int main(void)
{
    Suite *s = suite_create("convert");
    TCase *t = tcase_create("decode");

    tcase_add_loop_test(t, every_prefix_wants_more, 0, COUNT(requests));
    tcase_add_loop_test(t, verdict_on_a_mutated_message_never_changes, 0, COUNT(requests));
    tcase_add_test(t, each_octet_of_a_request_means_what_the_rfc_says);
    tcase_add_test(t, a_request_is_decoded_into_its_parts);
    tcase_add_loop_test(t, a_bad_request_is_judged_when_it_is_whole, 0, COUNT(bad_requests));
    tcase_add_test(t, the_magic_is_judged_before_the_version);
    tcase_add_test(t, each_reject_has_the_answer_of_the_rfc);
    tcase_add_loop_test(t, bad_answers_are_rejected_for_the_stated_reason, 0,
                        COUNT(bad_answers));
    tcase_add_test(t, unknown_types_in_an_answer_are_skipped);
    tcase_add_test(t, an_unreadable_option_list_says_nothing_about_mptcp);
    suite_add_tcase(s, t);
    return runner_main(s);
}
