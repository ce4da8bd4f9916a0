/* SPDX-License-Identifier: MIT */
/* The mc10 dialect. Vectors MC are in vectors_convert_test.c; here is what the header says
 * beyond them. */
#include "decoders.h"
#include "mpconvert_check.h"
#include "runner.h"
#include "verdict_check.h"
#include <netinet/in.h>

#define MAGIC 0xfa, 0xa8, 0xfa, 0xa8

enum { EARLY = 2 }; /* octets of application data behind each message */

struct sample {
    const char *what;
    size_t len; /* with the early data */
    uint8_t octets[72];
};

/* draft -10 s5.1, s5.2 */
static const struct sample samples[] = {
    {"IPv4 and port", 16 + EARLY, {MAGIC, 0, 10, 0, 1, V4, 1, 0xbb, 0, 0, 'x', 'y'}},
    {"IPv4", 12 + EARLY, {MAGIC, 0, 8, 0, 1, V4, 'x', 'y'}},
    {"IPv6 and port", 28 + EARLY, {MAGIC, 0, 22, 0, 1, V6, 1, 0xbb, 0, 0, 'x', 'y'}},
    {"IPv6", 24 + EARLY, {MAGIC, 0, 20, 0, 1, V6, 'x', 'y'}},
    {"no address", 8 + EARLY, {MAGIC, 0, 4, 0, 1, 'x', 'y'}},
    {"two elements",
     28 + EARLY,
     {MAGIC, 0, 10, 0, 0, V4, 1, 0xbb, 0, 0, MAGIC, 0, 8, 0, 3, V4, 'x', 'y'}},
    {"no answer first",
     24 + EARLY,
     {MAGIC, 0xf3, 4, 0, 0, MAGIC, 0, 10, 0, 1, V4, 1, 0xbb, 0, 0, 'x', 'y'}},
    {"no answer last", 36 + EARLY, {MAGIC, 0, 10, 0,  0,     V4,   1, 0xbb, 0, 0,   MAGIC, 0,
                                    8,     0, 2,  V4, MAGIC, 0xf3, 4, 0,    1, 'x', 'y'}},
    {"data that looks like an element", 8 + EARLY, {MAGIC, 0, 4, 0, 1, 0xfa, 0xa8}},
};

static struct decode decode_draft(struct span in, struct mpconvert_request *out)
{
    return mpconvert_decode(in, MPCONVERT_M_DRAFT, out);
}

START_TEST(every_prefix_of_elements_wants_more)
{
    const struct sample *s = &samples[_i];

    ck_flawless(s->what, verdict_message_flaw(decoder_mpconvert, span_of(s->octets, s->len),
                                              s->len - EARLY));
}
END_TEST

START_TEST(verdict_on_mutated_elements_never_changes)
{
    const struct sample *s = &samples[_i];

    ck_flawless(s->what, verdict_mutation_flaw(decoder_mpconvert, span_of(s->octets, s->len)));
}
END_TEST

/* What octet `at` of samples[0] means when it is `v` instead, from draft -10 s5.1 and s5.2. */
static void check_mutated_element(size_t at, uint8_t v)
{
    uint8_t msg[16];
    struct mpconvert_request req;
    enum reject why = REJECT_NONE;
    size_t more = 0, end = sizeof msg;

    memcpy(msg, samples[0].octets, sizeof msg);
    msg[at] = v;
    if (at < 4)
        why = REJECT_MAGIC;
    else if (at == 4)
        why = v == MPCONVERT_TYPE_NO_ANSWER ? REJECT_LENGTH : REJECT_TYPE;
    else if (at == 5 && !legal_length(v))
        why = REJECT_LENGTH;
    else if (at == 5 && v > 10)
        more = v == 20 ? 24 : 28;
    else if (at == 5)
        end = v == 4 ? 8 : 12;
    else if (at == 7 && (v & 1) == 0)
        more = 24; /* not the last one: the next needs 8 octets at least */
    else if (at == 8 && forbidden_first_octet(v))
        why = REJECT_FORBIDDEN;
    struct decode d = ck_decode_copy(decode_draft, msg, sizeof msg, &req);
    ck_assert_int_eq(d.why, why);
    ck_assert_int_eq(d.status, why != REJECT_NONE ? DECODE_BAD
                               : more != 0        ? DECODE_MORE
                                                  : DECODE_DONE);
    if (d.status == DECODE_MORE)
        ck_assert_uint_eq(d.bytes, more);
    if (d.status != DECODE_DONE)
        return;
    ck_assert_uint_eq(d.bytes, end);
    bool is_source = at == 7 && (v & 2) != 0;
    struct addr a = addr_ipv4(msg + 8, (uint16_t)(msg[12] << 8 | msg[13]));
    if (at == 5 && v == 8)
        a.port = 0;
    if (at == 5 && v == 4)
        a = (struct addr){.family = ADDR_NONE};
    ck_assert(req.has_source == is_source && req.has_destination == !is_source);
    ck_assert(addr_equal(is_source ? &req.source : &req.destination, &a));
    ck_assert((is_source ? req.source_port : req.destination_port) == (end == 16));
}

START_TEST(each_octet_of_an_element_means_what_the_draft_says)
{
    for (size_t at = 0; at < 16; at++) {
        for (unsigned v = 0; v < 256; v++) {
            if (v != samples[0].octets[at])
                check_mutated_element(at, (uint8_t)v);
        }
    }
}
END_TEST

/* _i: first address kind, second address kind (or none), ports, m bit, order. */
START_TEST(what_is_encoded_is_decoded)
{
    unsigned i = (unsigned)_i;
    struct addr first = sample_addr(i % 3), second = sample_addr(i / 3 % 3);
    bool with_port = (i / 9 & 1) != 0, alone = (i / 18 & 1) != 0;
    bool source_first = (i / 36 & 1) != 0;
    enum mpconvert_m_bit m = (i / 72 & 1) != 0 ? MPCONVERT_M_INVERTED : MPCONVERT_M_DRAFT;
    uint8_t buf[MPCONVERT_REQUEST_MAX];
    struct wr w = {.buf = buf, .cap = sizeof buf};
    struct mpconvert_request req;

    mpconvert_encode(&w, &first, with_port, source_first, alone, m);
    if (!alone)
        mpconvert_encode(&w, &second, with_port, !source_first, true, m);
    ck_assert(!w.overflow);
    struct decode d = mpconvert_decode(wr_done(&w), m, &req);
    ck_assert_int_eq(d.status, DECODE_DONE);
    ck_assert_uint_eq(d.bytes, w.pos);
    ck_assert_uint_eq(req.protocol, IPPROTO_TCP);
    ck_assert(req.has_source == (source_first || !alone));
    ck_assert(req.has_destination == (!source_first || !alone));
    if (source_first)
        ck_same_addr(&first, with_port, &req.source, req.source_port);
    else
        ck_same_addr(&first, with_port, &req.destination, req.destination_port);
    if (!alone && source_first)
        ck_same_addr(&second, with_port, &req.destination, req.destination_port);
    else if (!alone)
        ck_same_addr(&second, with_port, &req.source, req.source_port);
}
END_TEST

/* _i: where the No Answer stands among target and source. */
START_TEST(no_answer_may_stand_anywhere)
{
    struct addr a = sample_addr(2);
    uint8_t buf[MPCONVERT_REQUEST_MAX];
    struct wr w = {.buf = buf, .cap = sizeof buf};
    struct mpconvert_request req;

    for (int i = 0; i < 3; i++) {
        if (i == _i)
            mpconvert_encode_no_answer(&w, i == 2, MPCONVERT_M_DRAFT);
        else
            mpconvert_encode(&w, &a, true, w.pos >= 28, i == 2, MPCONVERT_M_DRAFT);
    }
    struct decode d = ck_decode_copy(decode_draft, buf, w.pos, &req);
    ck_assert_int_eq(d.status, DECODE_DONE);
    ck_assert_uint_eq(d.bytes, 64);
    ck_assert(req.no_answer && req.has_source && req.has_destination);
    ck_assert_uint_eq(req.no_answer_at, 28 * (unsigned)_i);
}
END_TEST

/* Type, length, D and count are judged as soon as their octet is there. */
START_TEST(each_octet_of_a_no_answer_is_judged)
{
    static const uint8_t good[] = {MAGIC, 0xf3, 4, 0, 0, MAGIC, 0, 8, 0, 1, V4};
    struct mpconvert_request req;

    for (size_t at = 4; at < 8; at++) {
        for (unsigned v = 0; v < 256; v++) {
            uint8_t msg[sizeof good];
            enum reject why = REJECT_NONE;

            memcpy(msg, good, sizeof msg);
            msg[at] = (uint8_t)v;
            if (at == 4 && v != 0xf3 && v != 0)
                why = REJECT_TYPE;
            else if (at == 5 && v != 4)
                why = REJECT_LENGTH;
            else if (at == 7 && (v & 2) != 0)
                why = REJECT_RESERVED;
            else if (at == 7 && (v & 1) != 0)
                why = REJECT_TYPE; /* nothing but it */
            else if (at == 4 && v == 0)
                why = REJECT_SAME_D;
            ck_assert_int_eq(ck_decode_copy(decode_draft, msg, sizeof msg, &req).why, why);
            if (why != REJECT_NONE && why != REJECT_SAME_D && at < 6)
                ck_assert_int_eq(ck_decode_copy(decode_draft, msg, at + 1, &req).why, why);
        }
    }
}
END_TEST

START_TEST(a_second_no_answer_and_a_third_address_are_judged_by_their_type)
{
    static const uint8_t twice[] = {MAGIC, 0xf3, 4, 0, 0, MAGIC, 0xf3};
    static const uint8_t third[] = {MAGIC, 0, 8, 0, 0, V4, MAGIC, 0, 8, 0, 2, V4, MAGIC, 0};
    struct mpconvert_request req;

    ck_assert_int_eq(ck_decode_copy(decode_draft, twice, sizeof twice, &req).why,
                     REJECT_DUPLICATE);
    ck_assert_int_eq(ck_decode_copy(decode_draft, twice, sizeof twice - 1, &req).status,
                     DECODE_MORE);
    ck_assert_int_eq(ck_decode_copy(decode_draft, third, sizeof third, &req).why,
                     REJECT_TOO_MANY);
    ck_assert_int_eq(ck_decode_copy(decode_draft, third, sizeof third - 1, &req).status,
                     DECODE_MORE);
}
END_TEST

START_TEST(a_buffer_too_small_latches_overflow)
{
    struct addr a = sample_addr(2);
    uint8_t buf[28];

    for (size_t cap = 0; cap <= sizeof buf; cap++) {
        struct wr w = {.buf = buf, .cap = cap};
        mpconvert_encode(&w, &a, true, false, true, MPCONVERT_M_DRAFT);
        ck_assert(w.overflow == (cap < 28));
    }
}
END_TEST

START_TEST(the_longest_legal_header_has_64_octets)
{
    struct addr a = sample_addr(2);
    uint8_t buf[MPCONVERT_REQUEST_MAX];
    struct wr w = {.buf = buf, .cap = sizeof buf};

    mpconvert_encode(&w, &a, true, false, false, MPCONVERT_M_DRAFT);
    mpconvert_encode(&w, &a, true, true, false, MPCONVERT_M_DRAFT);
    mpconvert_encode_no_answer(&w, true, MPCONVERT_M_DRAFT);
    ck_assert(!w.overflow);
    ck_assert_uint_eq(w.pos, MPCONVERT_REQUEST_MAX);
}
END_TEST

START_TEST(nobody_waits_for_a_fourth_element)
{
    uint8_t msg[MPCONVERT_REQUEST_MAX] = {0};
    struct wr w = {.buf = msg, .cap = sizeof msg};
    struct addr a = sample_addr(2);
    struct mpconvert_request req;

    mpconvert_encode(&w, &a, true, false, false, MPCONVERT_M_DRAFT);
    mpconvert_encode(&w, &a, true, true, false, MPCONVERT_M_DRAFT);
    mpconvert_encode_no_answer(&w, false, MPCONVERT_M_DRAFT);
    for (size_t n = 0; n < sizeof msg; n++) {
        struct decode d = ck_decode_copy(decode_draft, msg, n, &req);

        ck_assert_int_eq(d.status, DECODE_MORE);
        ck_assert_uint_le(d.bytes, sizeof msg);
    }
    ck_assert_int_eq(ck_decode_copy(decode_draft, msg, sizeof msg, &req).why, REJECT_TOO_MANY);
}
END_TEST

/* draft -10 s5.1 prose against the name of the bit: see MPCONVERT_M_INVERTED. */
START_TEST(the_inverted_bit_marks_an_element_that_others_follow)
{
    uint8_t msg[16];
    struct mpconvert_request req;

    memcpy(msg, samples[0].octets, sizeof msg);
    ck_assert_int_eq(mpconvert_decode(span_of(msg, 16), MPCONVERT_M_INVERTED, &req).status,
                     DECODE_MORE);
    msg[7] = 0;
    ck_assert_int_eq(mpconvert_decode(span_of(msg, 16), MPCONVERT_M_INVERTED, &req).status,
                     DECODE_DONE);
    ck_assert_int_eq(mpconvert_decode(span_of(msg, 16), MPCONVERT_M_DRAFT, &req).status,
                     DECODE_MORE);
}
END_TEST

START_TEST(data_after_the_last_element_is_never_another_element)
{
    static const uint8_t msg[] = {MAGIC, 0, 4, 0, 1, MAGIC, 0, 8, 0, 3, V4};
    struct mpconvert_request req;
    struct decode d = ck_decode_copy(decode_draft, msg, sizeof msg, &req);

    ck_assert_int_eq(d.status, DECODE_DONE);
    ck_assert_uint_eq(d.bytes, 8);
    ck_assert(!req.has_source);
}
END_TEST

START_TEST(a_mapped_address_becomes_ipv4)
{
    static const uint8_t msg[] = {MAGIC, 0, 22, 0, 1,    0,    0,  0, 0,  0, 0,
                                  0,     0, 0,  0, 0xff, 0xff, V4, 0, 80, 0, 0};
    struct mpconvert_request req;

    ck_assert_int_eq(ck_decode_copy(decode_draft, msg, sizeof msg, &req).status, DECODE_DONE);
    ck_assert_uint_eq(req.destination.family, ADDR_IPV4);
    ck_assert_uint_eq(req.destination.port, 80);
}
END_TEST

/* draft -10 s5.2; unspecified is our addition (S2). Both directions count. */
START_TEST(forbidden_addresses_are_rejected)
{
    static const char *const forbidden[] = {"0.0.0.0",
                                            "0.1.2.3",
                                            "127.0.0.1",
                                            "127.255.255.255",
                                            "224.0.0.1",
                                            "239.1.1.1",
                                            "255.255.255.255",
                                            "::",
                                            "::1",
                                            "ff02::1",
                                            "ff0e::1",
                                            "::ffff:127.0.0.1",
                                            "::ffff:224.0.0.1",
                                            "::ffff:0.0.0.0"};
    uint8_t buf[28];
    struct mpconvert_request req;

    for (size_t i = 0; i < sizeof forbidden / sizeof forbidden[0]; i++) {
        for (int is_source = 0; is_source < 2; is_source++) {
            struct wr w = {.buf = buf, .cap = sizeof buf};
            struct addr a;

            ck_assert(addr_parse_ip(forbidden[i], strlen(forbidden[i]), &a));
            mpconvert_encode(&w, &a, true, is_source != 0, true, MPCONVERT_M_DRAFT);
            struct decode d = ck_decode_copy(decode_draft, buf, w.pos, &req);
            ck_assert_msg(d.why == REJECT_FORBIDDEN, "%s", forbidden[i]);
        }
    }
}
END_TEST

/* --- echo */

static const uint8_t sent_two[] = {MAGIC, 0, 10,    0, 0, V4, 1, 0xbb,
                                   0,     0, MAGIC, 0, 8, 0,  3, V4};

static struct decode match_prefix(const uint8_t *answer, size_t n)
{
    uint8_t *copy = malloc(n > 0 ? n : 1);

    ck_assert_ptr_nonnull(copy);
    memcpy(copy, answer, n);
    struct decode d = mpconvert_match_echo(span_of(n > 0 ? copy : NULL, n),
                                           span_of(sent_two, sizeof sent_two));
    free(copy);
    return d;
}

START_TEST(every_prefix_of_the_echo_wants_more)
{
    uint8_t answer[sizeof sent_two + 3] = {0};

    memcpy(answer, sent_two, sizeof sent_two); /* server data follows */
    for (size_t n = 0; n <= sizeof answer; n++) {
        struct decode d = match_prefix(answer, n);

        ck_assert_int_eq(d.status, n < sizeof sent_two ? DECODE_MORE : DECODE_DONE);
        ck_assert_uint_eq(d.bytes, sizeof sent_two);
    }
}
END_TEST

/* K2: reserved bits and padding do not count, everything else does, and from the first octet
 * that differs. */
START_TEST(every_other_octet_in_the_echo_is_judged_at_once)
{
    for (size_t at = 0; at < sizeof sent_two; at++) {
        for (unsigned flip = 1; flip < 256; flip++) {
            uint8_t answer[sizeof sent_two], ignored = 0;

            if (at == 6 || at == 22 || at == 14 || at == 15)
                ignored = 0xFF; /* reserved; padding of the first element */
            if (at == 7 || at == 23)
                ignored = 0xFC; /* reserved, not D and M */
            memcpy(answer, sent_two, sizeof answer);
            answer[at] ^= (uint8_t)flip;
            bool same = (flip & ~(unsigned)ignored) == 0;
            struct decode d = match_prefix(answer, sizeof answer);
            ck_assert_int_eq(d.status, same ? DECODE_DONE : DECODE_BAD);
            ck_assert_int_eq(d.why, same ? REJECT_NONE : REJECT_MISMATCH);
            d = match_prefix(answer, at);
            ck_assert_int_eq(d.status, DECODE_MORE);
            d = match_prefix(answer, at + 1);
            ck_assert(same ? d.status != DECODE_BAD : d.status == DECODE_BAD);
        }
    }
}
END_TEST

START_TEST(an_echo_of_what_was_not_encoded_never_matches_beyond_it)
{
    static const uint8_t odd[] = {MAGIC, 0, 4, 0, 0, MAGIC};
    static const uint8_t zero_length[] = {MAGIC, 0, 0, 0, 0, MAGIC, 0, 0, 0, 1};

    ck_assert_int_eq(
        mpconvert_match_echo(span_of(odd, sizeof odd), span_of(odd, sizeof odd)).why,
        REJECT_MISMATCH);
    ck_assert_int_eq(mpconvert_match_echo(span_of(zero_length, sizeof zero_length),
                                          span_of(zero_length, sizeof zero_length))
                         .status,
                     DECODE_DONE);
}
END_TEST

static struct decode probe_answer(struct span in)
{
    uint8_t buf[16];
    struct wr w = {.buf = buf, .cap = sizeof buf};
    bool exact;

    mpconvert_encode_probe(&w, MPCONVERT_M_DRAFT);
    return mpconvert_match_probe(in, wr_done(&w), &exact);
}

START_TEST(both_answers_to_a_probe_are_whole_messages)
{
    static const uint8_t both[] = {MAGIC, 0xf3, 4, 0, 0, MAGIC, 0, 4, 0, 1, 'x'};
    static const uint8_t one[] = {MAGIC, 0, 4, 0, 1, MAGIC};

    ck_flawless("prefixes", verdict_flaw(probe_answer, span_of(both, sizeof both)));
    ck_flawless("one", verdict_message_flaw(probe_answer, span_of(one, sizeof one), 8));
    ck_flawless("both", verdict_mutation_flaw(probe_answer, span_of(both, sizeof both)));
    ck_flawless("one", verdict_mutation_flaw(probe_answer, span_of(one, sizeof one)));
    ck_assert_uint_eq(probe_answer(span_of(both, sizeof both)).bytes, 16);
    ck_assert_uint_eq(probe_answer(span_of(one, sizeof one)).bytes, 8);
}
END_TEST

int main(void)
{
    Suite *s = suite_create("mpconvert");
    TCase *t = tcase_create("mc10");
    int n = (int)(sizeof samples / sizeof samples[0]);

    tcase_add_loop_test(t, every_prefix_of_elements_wants_more, 0, n);
    tcase_add_loop_test(t, verdict_on_mutated_elements_never_changes, 0, n);
    tcase_add_test(t, each_octet_of_an_element_means_what_the_draft_says);
    tcase_add_loop_test(t, what_is_encoded_is_decoded, 0, 144);
    tcase_add_loop_test(t, no_answer_may_stand_anywhere, 0, 3);
    tcase_add_test(t, each_octet_of_a_no_answer_is_judged);
    tcase_add_test(t, a_second_no_answer_and_a_third_address_are_judged_by_their_type);
    tcase_add_test(t, a_buffer_too_small_latches_overflow);
    tcase_add_test(t, the_longest_legal_header_has_64_octets);
    tcase_add_test(t, nobody_waits_for_a_fourth_element);
    tcase_add_test(t, the_inverted_bit_marks_an_element_that_others_follow);
    tcase_add_test(t, data_after_the_last_element_is_never_another_element);
    tcase_add_test(t, a_mapped_address_becomes_ipv4);
    tcase_add_test(t, forbidden_addresses_are_rejected);
    tcase_add_test(t, every_prefix_of_the_echo_wants_more);
    tcase_add_test(t, every_other_octet_in_the_echo_is_judged_at_once);
    tcase_add_test(t, an_echo_of_what_was_not_encoded_never_matches_beyond_it);
    tcase_add_test(t, both_answers_to_a_probe_are_whole_messages);
    suite_add_tcase(s, t);
    return runner_main(s);
}
