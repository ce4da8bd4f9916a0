/* SPDX-License-Identifier: MIT */
/* The pm08 dialect. Vectors LO are in vectors_convert_test.c; here is what the header says
 * beyond them. */
#include "decoders.h"
#include "mpconvert_check.h"
#include "runner.h"
#include "verdict_check.h"
#include <netinet/in.h>

enum { EARLY = 2 }; /* octets of application data behind each message */

struct sample {
    const char *what;
    size_t len; /* with the early data */
    uint8_t octets[40];
};

/* draft -08 s4.1, s4.2 */
static const struct sample samples[] = {
    {"IPv4 and port", 11 + EARLY, {0x1e, 10, 0xe0, 6, V4, 1, 0xbb, 0, 'x', 'y'}},
    {"IPv6", 21 + EARLY, {0x1e, 20, 0xe0, 6, V6, 0, 'x', 'y'}},
    {"no address", 5 + EARLY, {0x1e, 4, 0xe0, 17, 0, 'x', 'y'}},
    {"NOPs around", 14 + EARLY, {1, 1, 0x1e, 10, 0xe0, 6, V4, 1, 0xbb, 1, 0, 'x', 'y'}},
    {"two options", 17 + EARLY, {0x1e, 8, 0xe8, 6, V4, 0x1e, 8, 0xe0, 6, V4, 0, 'x', 'y'}},
};

START_TEST(every_prefix_of_options_wants_more)
{
    const struct sample *s = &samples[_i];

    ck_flawless(s->what,
                verdict_message_flaw(decoder_pm08, span_of(s->octets, s->len), s->len - EARLY));
}
END_TEST

START_TEST(verdict_on_mutated_options_never_changes)
{
    const struct sample *s = &samples[_i];

    ck_flawless(s->what, verdict_mutation_flaw(decoder_pm08, span_of(s->octets, s->len)));
}
END_TEST

static enum reject type_unless(bool fine)
{
    return fine ? REJECT_NONE : REJECT_TYPE;
}

/* What octet `at` of samples[0] means when it is `v` instead, draft -08 s4.1. */
static enum reject expected_reject(size_t at, uint8_t v, bool *more)
{
    *more = false;
    switch (at) {
    case 0: /* a NOP makes Length the next kind, and that is none */
        return REJECT_TYPE;
    case 1:
        *more = v == 20 || v == 22;
        if (!legal_length(v))
            return REJECT_LENGTH;
        return type_unless(*more); /* what follows a shorter option is no kind we know */
    case 2:
        return type_unless(v >> 4 == 0xE);
    case 3:
        return v == IPPROTO_UDP ? REJECT_NONE : REJECT_PROTOCOL;
    case 4:
        return forbidden_first_octet(v) ? REJECT_FORBIDDEN : REJECT_NONE;
    case 10: /* instead of the EOL */
        *more = v == 1 || v == PM08_KIND;
        return type_unless(*more);
    default:
        return REJECT_NONE;
    }
}

static void check_mutated_option(size_t at, uint8_t v)
{
    uint8_t msg[11];
    struct mpconvert_request req;
    bool more;
    enum reject why = expected_reject(at, v, &more);

    memcpy(msg, samples[0].octets, sizeof msg);
    msg[at] = v;
    struct decode d = ck_decode_copy(pm08_decode, msg, sizeof msg, &req);
    ck_assert_msg(d.why == why, "octet %zu = %u: %s", at, v, reject_text(d.why));
    ck_assert((d.status == DECODE_MORE) == more);
    if (d.status != DECODE_DONE)
        return;
    bool is_source = at == 2 && (v & 8) != 0;
    struct addr a = addr_ipv4(msg + 4, (uint16_t)(msg[8] << 8 | msg[9]));
    ck_assert(req.has_source == is_source && req.has_destination == !is_source);
    ck_assert(addr_equal(is_source ? &req.source : &req.destination, &a));
    ck_assert_uint_eq(req.protocol, msg[3]);
}

START_TEST(each_octet_of_an_option_means_what_the_draft_says)
{
    for (size_t at = 0; at < 11; at++) {
        for (unsigned v = 0; v < 256; v++) {
            if (v != samples[0].octets[at])
                check_mutated_option(at, (uint8_t)v);
        }
    }
}
END_TEST

START_TEST(what_is_encoded_as_options_is_decoded)
{
    unsigned i = (unsigned)_i;
    struct addr first = sample_addr(i % 3), second = sample_addr(i / 3 % 3);
    bool with_port = (i / 9 & 1) != 0;
    uint8_t protocol = (i / 18 & 1) != 0 ? IPPROTO_UDP : IPPROTO_TCP;
    uint8_t buf[PM08_HEADER_MAX];
    struct wr w = {.buf = buf, .cap = sizeof buf};
    struct mpconvert_request req;

    pm08_encode_option(&w, &first, with_port, true, protocol);
    pm08_encode_option(&w, &second, with_port, false, protocol);
    pm08_encode_end(&w);
    ck_assert(!w.overflow);
    struct decode d = pm08_decode(wr_done(&w), &req);
    ck_assert_int_eq(d.status, DECODE_DONE);
    ck_assert_uint_eq(d.bytes, w.pos);
    ck_assert_uint_eq(req.protocol, protocol);
    ck_same_addr(&first, with_port, &req.source, req.source_port);
    ck_same_addr(&second, with_port, &req.destination, req.destination_port);
}
END_TEST

struct bad {
    enum reject why;
    size_t len;
    uint8_t octets[40];
};

static const struct bad pm08_bad[] = {
    {REJECT_TYPE, 1, {0}},                      /* an end without any option */
    {REJECT_TYPE, 2, {1, 0}},                   /* nor with NOPs only */
    {REJECT_TYPE, 1, {8}},                      /* -08 s4.2: another kind */
    {REJECT_LENGTH, 2, {0x1e, 0}},              /* must not stall the loop */
    {REJECT_LENGTH, 2, {0x1e, 12}},             /* MP_CAPABLE's length */
    {REJECT_TYPE, 3, {0x1e, 4, 0x00}},          /* MP_CAPABLE's subtype */
    {REJECT_PROTOCOL, 4, {0x1e, 4, 0xe0, 0}},   /* L4 */
    {REJECT_PROTOCOL, 4, {0x1e, 4, 0xe0, 132}}, /* L4 */
    {REJECT_SAME_D, 9, {0x1e, 4, 0xe0, 6, 0x1e, 4, 0xe0, 6, 0}},
    {REJECT_SAME_D, 9, {0x1e, 4, 0xe8, 6, 0x1e, 4, 0xe8, 6, 0}},
    {REJECT_PROTOCOL, 9, {0x1e, 4, 0xe8, 6, 0x1e, 4, 0xe0, 17, 0}}, /* cannot be both */
};

START_TEST(bad_options_are_rejected_for_the_stated_reason)
{
    struct mpconvert_request req;
    const struct bad *b = &pm08_bad[_i];
    struct decode d = ck_decode_copy(pm08_decode, b->octets, b->len, &req);

    ck_assert_int_eq(d.status, DECODE_BAD);
    ck_assert_msg(d.why == b->why, "%d: %s", _i, reject_text(d.why));
}
END_TEST

START_TEST(options_end_within_64_octets)
{
    uint8_t msg[PM08_HEADER_MAX + 12];
    struct mpconvert_request req;

    for (size_t nops = 0; nops <= PM08_HEADER_MAX; nops++) {
        bool fits = nops + 10 + 1 <= PM08_HEADER_MAX;

        memset(msg, 1, sizeof msg);
        memcpy(msg + nops, samples[0].octets, 11);
        struct decode d = ck_decode_copy(pm08_decode, msg, nops + 11, &req);
        ck_assert_int_eq(d.status, fits ? DECODE_DONE : DECODE_BAD);
        ck_assert_int_eq(d.why, fits ? REJECT_NONE : REJECT_TOO_MANY);
    }
    memset(msg, 1, sizeof msg);
    ck_assert_int_eq(ck_decode_copy(pm08_decode, msg, PM08_HEADER_MAX - 1, &req).status,
                     DECODE_MORE);
    ck_assert_int_eq(ck_decode_copy(pm08_decode, msg, PM08_HEADER_MAX, &req).why,
                     REJECT_TOO_MANY);
}
END_TEST

/* A caller with a buffer of PM08_HEADER_MAX octets must never be told to wait for one more. */
START_TEST(nobody_waits_beyond_64_octets)
{
    uint8_t msg[PM08_HEADER_MAX];
    struct mpconvert_request req;

    for (size_t at = 0; at < sizeof msg; at++) {
        for (size_t len = at + 1; len <= sizeof msg; len++) {
            memset(msg, 1, sizeof msg);
            memcpy(msg + at, samples[0].octets, sizeof msg - at < 11 ? sizeof msg - at : 11);
            struct decode d = ck_decode_copy(pm08_decode, msg, len, &req);
            ck_assert_msg(d.status != DECODE_MORE || d.bytes <= PM08_HEADER_MAX,
                          "option at %zu of %zu", at, len);
        }
    }
}
END_TEST

START_TEST(forbidden_addresses_are_rejected)
{
    static const char *const forbidden[] = {
        "0.0.0.0", "127.0.0.1", "224.0.0.1", "255.255.255.255",
        "::",      "::1",       "ff02::1",   "::ffff:127.0.0.1"};
    uint8_t buf[28];
    struct mpconvert_request req;
    struct wr w = {.buf = buf, .cap = sizeof buf};
    struct addr a;

    ck_assert(addr_parse_ip(forbidden[_i], strlen(forbidden[_i]), &a));
    pm08_encode_option(&w, &a, true, false, IPPROTO_TCP);
    pm08_encode_end(&w);
    ck_assert_int_eq(ck_decode_copy(pm08_decode, buf, w.pos, &req).why, REJECT_FORBIDDEN);
    buf[2] |= 8; /* as a source, too */
    ck_assert_int_eq(ck_decode_copy(pm08_decode, buf, w.pos, &req).why, REJECT_FORBIDDEN);
}
END_TEST

START_TEST(a_buffer_too_small_latches_overflow)
{
    struct addr a = sample_addr(2);
    uint8_t buf[23];

    for (size_t cap = 0; cap <= sizeof buf; cap++) {
        struct wr w = {.buf = buf, .cap = cap};

        pm08_encode_option(&w, &a, true, false, IPPROTO_TCP);
        pm08_encode_end(&w);
        ck_assert(w.overflow == (cap < sizeof buf));
    }
}
END_TEST

int main(void)
{
    Suite *s = suite_create("mpconvert_pm08");
    TCase *t = tcase_create("pm08");
    int n = (int)(sizeof samples / sizeof samples[0]);

    tcase_add_loop_test(t, every_prefix_of_options_wants_more, 0, n);
    tcase_add_loop_test(t, verdict_on_mutated_options_never_changes, 0, n);
    tcase_add_test(t, each_octet_of_an_option_means_what_the_draft_says);
    tcase_add_loop_test(t, what_is_encoded_as_options_is_decoded, 0, 36);
    tcase_add_loop_test(t, bad_options_are_rejected_for_the_stated_reason, 0,
                        (int)(sizeof pm08_bad / sizeof pm08_bad[0]));
    tcase_add_test(t, options_end_within_64_octets);
    tcase_add_test(t, nobody_waits_beyond_64_octets);
    tcase_add_loop_test(t, forbidden_addresses_are_rejected, 0, 8);
    tcase_add_test(t, a_buffer_too_small_latches_overflow);
    suite_add_tcase(s, t);
    return runner_main(s);
}
