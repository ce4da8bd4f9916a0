/* SPDX-License-Identifier: MIT */
/* Encoders, both roles: what they write decodes to what they were given. */
#include "runner.h"
#include "wire/convert.h"

#define V4 192, 0, 2, 10
#define V6 0x20, 0x01, 0x0d, 0xb8, 0, 0, 0, 0, 0, 0, 0, 0, 0, 1, 0, 2

/* `got` is these octets, zero padded to a multiple of 4. */
static void ck_padded(struct span got, const uint8_t *octets, size_t len)
{
    uint8_t want[64] = {0};

    ck_assert_uint_le(len, sizeof want);
    memcpy(want, octets, len);
    ck_assert(span_equal(got, span_of(want, (len + 3) / 4 * 4)));
}

/* _i bits: IPv6, info; then option and cookie octets */
START_TEST(what_is_asked_is_decoded)
{
    static const uint8_t v4[] = {V4}, v6[] = {V6};
    static const uint8_t octets[] = {30, 2, 34, 2, 4, 2, 8, 2, 1};
    unsigned i = (unsigned)_i;
    struct addr a = (i & 1) != 0 ? addr_ipv6(v6, 8443) : addr_ipv4(v4, 8443);
    bool info = (i & 2) != 0;
    size_t options_len = i / 4 % 10, cookie_len = i / 40 % 10;
    size_t options_padded = (options_len + 3) / 4 * 4, cookie_padded = (cookie_len + 3) / 4 * 4;
    uint8_t buf[CONVERT_MESSAGE_MAX];
    struct wr w = {.buf = buf, .cap = sizeof buf};
    struct convert_request req;

    convert_encode_connect(&w, &a, span_of(octets, options_len), span_of(octets, cookie_len),
                           info);
    ck_assert(!w.overflow);
    ck_assert_int_eq(convert_decode_request(span_of(buf, w.pos), &req).status, DECODE_DONE);
    ck_assert_uint_eq(w.pos, 24 + (info ? 4u : 0u) + options_padded +
                                 (cookie_len > 0 ? 4 + cookie_padded : 0));
    ck_assert(req.connect && req.info == info && req.has_cookie == (cookie_len > 0));
    ck_assert(addr_equal(&req.target, &a));
    ck_padded(req.options, octets, options_len);
    ck_padded(req.cookie, octets, cookie_len);
}
END_TEST

START_TEST(what_is_answered_is_decoded)
{
    static const uint8_t options[] = {2, 4, 5, 0xb4, 30, 4, 0, 1}, kinds[] = {30, 34, 4, 8, 3};
    uint8_t buf[64];
    struct convert_answer answer;

    for (size_t o = 0; o <= sizeof options; o += 4) {
        for (size_t k = 0; k <= sizeof kinds; k++) {
            struct wr w = {.buf = buf, .cap = sizeof buf};

            convert_encode_answer(&w, span_of(options, o), span_of(kinds, k));
            ck_assert(!w.overflow);
            ck_assert_int_eq(convert_decode_answer(span_of(buf, w.pos), &answer).status,
                             DECODE_DONE);
            ck_assert(!answer.is_error);
            ck_assert(span_equal(answer.options, span_of(options, o)));
            ck_padded(answer.supported, kinds, k);
            ck_assert(answer.server_mptcp == (o == sizeof options));
            if (o == 0 && k == 0)
                ck_assert_uint_eq(w.pos, CONVERT_HEADER_LEN); /* L3 */
            if (k > 0)
                ck_assert_uint_eq(buf[4], CONVERT_TLV_SUPPORTED); /* first */
        }
    }
}
END_TEST

START_TEST(every_error_is_decoded)
{
    static const uint8_t codes[] = {0, 1, 2, 3, 32, 33, 64, 65, 96, 97};
    static const uint8_t value[] = {11, 12, 13, 14, 15, 16, 17};
    uint8_t buf[64];
    struct convert_answer answer;

    for (size_t c = 0; c < sizeof codes; c++) {
        bool zero_first = codes[c] >= 1 && codes[c] <= 3;

        for (size_t n = 0; n <= sizeof value; n++) {
            struct wr w = {.buf = buf, .cap = sizeof buf};
            struct span v = span_of(value, n);

            convert_encode_error(&w, (enum convert_error)codes[c], v);
            ck_assert(!w.overflow);
            ck_assert_int_eq(convert_decode_answer(span_of(buf, w.pos), &answer).status,
                             DECODE_DONE);
            ck_assert(answer.is_error);
            ck_assert_uint_eq(answer.error_code, codes[c]);
            size_t lead = zero_first || n == 0 ? 1 : 0;
            ck_assert_uint_ge(answer.error_value.len, 1);
            ck_assert_uint_eq(w.pos, 4 + (3 + lead + n + 3) / 4 * 4);
            if (lead == 1)
                ck_assert_uint_eq(answer.error_value.ptr[0], 0);
            ck_assert_mem_eq(answer.error_value.ptr + lead, value, n);
            for (size_t i = lead + n; i < answer.error_value.len; i++)
                ck_assert_uint_eq(answer.error_value.ptr[i], 0);
        }
    }
}
END_TEST

START_TEST(info_alone_is_eight_octets)
{
    uint8_t buf[8];
    struct wr w = {.buf = buf, .cap = sizeof buf};
    struct convert_request req;

    convert_encode_info(&w);
    ck_assert_int_eq(convert_decode_request(span_of(buf, w.pos), &req).status, DECODE_DONE);
    ck_assert(req.info && !req.connect);
    for (size_t cap = 0; cap < 8; cap++) {
        w = (struct wr){.buf = buf, .cap = cap};
        convert_encode_info(&w);
        ck_assert(w.overflow);
    }
}
END_TEST

START_TEST(a_message_over_255_words_latches_overflow)
{
    static const uint8_t big[2000];
    uint8_t buf[2000];
    struct addr a = addr_ipv4((const uint8_t[]){V4}, 1);
    struct span none = span_of(NULL, 0);
    struct wr w = {.buf = buf, .cap = sizeof buf};

    convert_encode_connect(&w, &a, none, span_of(big, CONVERT_COOKIE_MAX - 20), false);
    ck_assert(!w.overflow && w.pos == CONVERT_MESSAGE_MAX);
    w = (struct wr){.buf = buf, .cap = sizeof buf};
    convert_encode_connect(&w, &a, none, span_of(big, CONVERT_COOKIE_MAX - 19), false);
    ck_assert(w.overflow && wr_done(&w).len == 0);
    w = (struct wr){.buf = buf, .cap = sizeof buf};
    convert_encode_connect(&w, &a, span_of(big, sizeof big), none, false);
    ck_assert(w.overflow);
    w = (struct wr){.buf = buf, .cap = sizeof buf};
    convert_encode_answer(&w, span_of(big, 1012), none);
    ck_assert(!w.overflow && w.pos == CONVERT_MESSAGE_MAX);
    w = (struct wr){.buf = buf, .cap = sizeof buf};
    convert_encode_answer(&w, span_of(big, 1013), none);
    ck_assert(w.overflow);
    w = (struct wr){.buf = buf, .cap = sizeof buf};
    convert_encode_error(&w, CONVERT_ERROR_MISSING_COOKIE, span_of(big, CONVERT_COOKIE_MAX));
    ck_assert(!w.overflow && w.pos == CONVERT_MESSAGE_MAX);
    w = (struct wr){.buf = buf, .cap = sizeof buf};
    convert_encode_error(&w, CONVERT_ERROR_MISSING_COOKIE,
                         span_of(big, CONVERT_COOKIE_MAX + 1));
    ck_assert(w.overflow);
}
END_TEST

START_TEST(an_echoed_message_is_cut_to_1012_octets)
{
    uint8_t offending[CONVERT_MESSAGE_MAX], buf[CONVERT_MESSAGE_MAX];
    struct convert_answer answer;
    static const enum convert_error codes[] = {CONVERT_ERROR_MALFORMED,
                                               CONVERT_ERROR_UNSUPPORTED_MESSAGE};

    for (size_t i = 0; i < sizeof offending; i++)
        offending[i] = (uint8_t)(i * 7);
    for (size_t c = 0; c < 2; c++) {
        struct wr w = {.buf = buf, .cap = sizeof buf};
        convert_encode_error(&w, codes[c], span_of(offending, sizeof offending));
        ck_assert(!w.overflow && w.pos == CONVERT_MESSAGE_MAX);
        ck_assert_int_eq(convert_decode_answer(span_of(buf, w.pos), &answer).status,
                         DECODE_DONE);
        ck_assert_uint_eq(answer.error_value.len, 1013);
        ck_assert_mem_eq(answer.error_value.ptr + 1, offending, 1012);
    }
}
END_TEST

START_TEST(a_buffer_too_small_latches_overflow)
{
    static const uint8_t cookie[] = {1, 2, 3, 4, 5}, options[] = {30, 2};
    uint8_t buf[44];
    struct addr a = addr_ipv4((const uint8_t[]){V4}, 1);

    for (size_t cap = 0; cap <= sizeof buf; cap++) {
        struct wr w = {.buf = buf, .cap = cap};
        convert_encode_connect(&w, &a, span_of(options, 2), span_of(cookie, 5), true);
        ck_assert(w.overflow == (cap < 44));
        w = (struct wr){.buf = buf, .cap = cap};
        convert_encode_answer(&w, span_of(cookie, 5), span_of(options, 2));
        ck_assert(w.overflow == (cap < 24));
        w = (struct wr){.buf = buf, .cap = cap};
        convert_encode_error(&w, CONVERT_ERROR_UNREACHABLE, span_of(cookie, 1));
        ck_assert(w.overflow == (cap < 8));
    }
}
END_TEST

START_TEST(a_target_without_an_address_latches_overflow)
{
    uint8_t buf[64];
    struct wr w = {.buf = buf, .cap = sizeof buf};
    struct addr none = {.family = ADDR_NONE};

    convert_encode_connect(&w, &none, span_of(NULL, 0), span_of(NULL, 0), false);
    ck_assert(w.overflow);
}
END_TEST

/* R16: whatever is granted, the list is readable, a multiple of 4 and holds exactly that. */
START_TEST(a_synthesised_synack_holds_what_was_granted)
{
    struct convert_synack in = {.mss = 1460,
                                .sack = (_i & 1) != 0,
                                .timestamps = (_i & 2) != 0,
                                .wscale = (_i & 4) != 0,
                                .mptcp = (_i & 8) != 0,
                                .wscale_value = 10};
    uint8_t buf[CONVERT_OPTIONS_MAX];
    struct wr w = {.buf = buf, .cap = sizeof buf};
    bool seen[256] = {false};

    convert_encode_synack_options(&w, &in);
    ck_assert(!w.overflow);
    ck_assert_uint_eq(w.pos % 4, 0);
    for (size_t i = 0; i < w.pos;) {
        uint8_t kind = buf[i], len = buf[i + 1];

        if (kind == TCP_OPTION_NOP) {
            i++;
            continue;
        }
        ck_assert(!seen[kind] && len >= 2 && len <= w.pos - i);
        seen[kind] = true;
        if (kind == TCP_OPTION_MSS)
            ck_assert(len == 4 && buf[i + 2] == 0x05 && buf[i + 3] == 0xb4);
        if (kind == TCP_OPTION_WSCALE)
            ck_assert(len == 3 && buf[i + 2] == 10);
        if (kind == TCP_OPTION_SACK_PERMITTED)
            ck_assert_uint_eq(len, 2);
        if (kind == TCP_OPTION_TIMESTAMPS)
            ck_assert_uint_eq(len, 10);
        if (kind == TCP_OPTION_MPTCP)
            ck_assert(len == 12 && buf[i + 2] == 1 && buf[i + 3] == 1);
        i += len;
    }
    ck_assert(seen[TCP_OPTION_MSS]);
    ck_assert(seen[TCP_OPTION_SACK_PERMITTED] == in.sack);
    ck_assert(seen[TCP_OPTION_TIMESTAMPS] == in.timestamps);
    ck_assert(seen[TCP_OPTION_WSCALE] == in.wscale);
    ck_assert(seen[TCP_OPTION_MPTCP] == in.mptcp);
}
END_TEST

int main(void)
{
    Suite *s = suite_create("convert_encode");
    TCase *t = tcase_create("encode");

    tcase_add_loop_test(t, what_is_asked_is_decoded, 0, 400);
    tcase_add_test(t, what_is_answered_is_decoded);
    tcase_add_test(t, every_error_is_decoded);
    tcase_add_test(t, info_alone_is_eight_octets);
    tcase_add_test(t, a_message_over_255_words_latches_overflow);
    tcase_add_test(t, an_echoed_message_is_cut_to_1012_octets);
    tcase_add_test(t, a_buffer_too_small_latches_overflow);
    tcase_add_test(t, a_target_without_an_address_latches_overflow);
    tcase_add_loop_test(t, a_synthesised_synack_holds_what_was_granted, 0, 16);
    suite_add_tcase(s, t);
    return runner_main(s);
}
