/* SPDX-License-Identifier: MIT */
/* Every golden message of MP_CONVERT (both dialects) and of RFC 8803: it decodes to what the
 * documents say, and what they say encodes to the same octets. */
#include "decoders.h"
#include "runner.h"
#include "vectors.h"
#include "verdict.h"
#include <netinet/in.h>

#define SPAN(text) span_of(text, sizeof(text) - 1)
#define COUNT(a) ((int)(sizeof(a) / sizeof((a)[0])))
#define COOKIE "\xa0\xa1\xa2\xa3\xa4\xa5\xa6\xa7\xa8\xa9\xaa\xab\xac\xad\xae\xaf"

static struct vectors mp_convert, pm08, convert;

static void load(void)
{
    vectors_load("mp_convert.hex", &mp_convert);
    vectors_load("pm08.hex", &pm08);
    vectors_load("convert.hex", &convert);
}

/* NULL: no address. */
static struct addr address(const char *text)
{
    struct addr a = {.family = ADDR_NONE};

    if (text != NULL)
        ck_assert_msg(addr_parse(text, &a), "%s", text);
    return a;
}

static void ck_message(verdict_decode_fn *decode, const struct vector *v)
{
    const char *flaw = verdict_message_flaw(decode, vector_span(v), v->message);

    ck_assert_msg(flaw == NULL, "%s: %s", v->id, flaw);
}

static void ck_rejected(verdict_decode_fn *decode, const struct vector *v)
{
    struct decode d = verdict_prefix(decode, vector_span(v), v->len);
    const char *flaw = verdict_flaw(decode, vector_span(v));

    ck_assert_msg(flaw == NULL, "%s: %s", v->id, flaw);
    ck_assert_msg(d.status == DECODE_BAD, "%s", v->id);
    ck_assert_msg(d.why == v->why, "%s: %s", v->id, reject_text(d.why));
}

/* `w` holds the octets of the vector's message. */
static void ck_encoded(const struct wr *w, const struct vector *v)
{
    ck_assert(!w->overflow);
    ck_assert_msg(span_equal(wr_done(w), span_of(v->octets, v->message)), "%s", v->id);
}

/* --- MP_CONVERT */

enum shape {
    TARGET,
    SOURCE,
    TARGET_THEN_SOURCE,
    SOURCE_THEN_TARGET,
};

struct element_case {
    const char *id, *target, *source;
    enum shape shape;
    bool without_port;
    uint8_t protocol;
};

static const struct element_case elements[] = {
    {"MC01", "192.0.2.10:443", NULL, TARGET, false, IPPROTO_TCP},
    {"MC02", "192.0.2.10:0", NULL, TARGET, true, IPPROTO_TCP},
    {"MC03", "[2001:db8::1:2]:8443", NULL, TARGET, false, IPPROTO_TCP},
    {"MC04", "[2001:db8::1:2]:0", NULL, TARGET, true, IPPROTO_TCP},
    {"MC05", NULL, NULL, TARGET, true, IPPROTO_TCP},
    {"MC06", "[2001:db8::1:2]:443", "[2001:db8:5::7]:50000", TARGET_THEN_SOURCE, false,
     IPPROTO_TCP},
    {"MC07", "192.0.2.10:80", NULL, TARGET, false, IPPROTO_TCP},
    {"MC08", NULL, "198.51.100.77:40001", SOURCE, false, IPPROTO_TCP},
    {"MC09", "192.0.2.10:443", NULL, TARGET, false, IPPROTO_TCP},
};

static const struct element_case options[] = {
    {"LO01", "192.0.2.10:443", NULL, TARGET, false, IPPROTO_TCP},
    {"LO02", "[2001:db8::1:2]:443", "[2001:db8:5::7]:50000", SOURCE_THEN_TARGET, false,
     IPPROTO_TCP},
    {"LO03", "192.0.2.53:53", NULL, TARGET, false, IPPROTO_UDP},
    {"LO04", NULL, NULL, TARGET, true, IPPROTO_TCP},
};

static void ck_request(const struct element_case *c, const struct mpconvert_request *req)
{
    struct addr target = address(c->target), source = address(c->source);

    ck_assert_msg(req->has_destination == (c->shape != SOURCE), "%s", c->id);
    ck_assert_msg(req->has_source == (c->shape != TARGET), "%s", c->id);
    ck_assert_msg(addr_equal(&req->destination, &target), "%s", c->id);
    ck_assert_msg(addr_equal(&req->source, &source), "%s", c->id);
    ck_assert_msg(req->destination_port == (c->target != NULL && !c->without_port), "%s",
                  c->id);
    ck_assert_msg(req->source_port == (c->source != NULL && !c->without_port), "%s", c->id);
    ck_assert_uint_eq(req->protocol, c->protocol);
}

START_TEST(elements_decode_and_encode)
{
    const struct element_case *c = &elements[_i];
    const struct vector *v = vectors_find(&mp_convert, c->id);
    struct addr target = address(c->target), source = address(c->source);
    uint8_t buf[MPCONVERT_REQUEST_MAX];
    struct wr w = {.buf = buf, .cap = sizeof buf};
    struct mpconvert_request req;

    ck_message(decoder_mpconvert, v);
    ck_assert_int_eq(mpconvert_decode(vector_span(v), MPCONVERT_M_DRAFT, &req).status,
                     DECODE_DONE);
    ck_request(c, &req);
    ck_assert(!req.no_answer);
    if (v->field != 0)
        ck_assert_uint_eq(v->octets[5], v->field);
    if (c->shape != SOURCE)
        mpconvert_encode(&w, &target, !c->without_port, false, c->shape == TARGET,
                         MPCONVERT_M_DRAFT);
    if (c->shape != TARGET)
        mpconvert_encode(&w, &source, !c->without_port, true, true, MPCONVERT_M_DRAFT);
    if (strcmp(c->id, "MC09") == 0) /* reserved bits set by a foreign sender: no encoder does */
        ck_assert_int_eq(mpconvert_match_echo(vector_span(v), wr_done(&w)).status, DECODE_DONE);
    else
        ck_encoded(&w, v);
}
END_TEST

/* docs/protocol.md, "No answer wanted" */
START_TEST(no_answer_elements_decode_and_encode)
{
    static const struct {
        struct element_case c;
        size_t at;
    } rows[] = {
        {{"MC10", "192.0.2.10:443", NULL, TARGET, false, IPPROTO_TCP}, 0},
        {{"MC11", "192.0.2.10:443", NULL, TARGET, false, IPPROTO_TCP}, 16},
        {{"MC12", "[2001:db8::1:2]:443", "[2001:db8:5::7]:50000", TARGET_THEN_SOURCE, false,
          IPPROTO_TCP},
         28},
        {{"MC13", NULL, NULL, TARGET, true, IPPROTO_TCP}, 0},
    };
    const struct element_case *c = &rows[_i].c;
    const struct vector *v = vectors_find(&mp_convert, c->id);
    struct addr target = address(c->target), source = address(c->source);
    uint8_t buf[MPCONVERT_REQUEST_MAX];
    struct wr w = {.buf = buf, .cap = sizeof buf};
    struct mpconvert_request req;

    ck_message(decoder_mpconvert, v);
    ck_assert_int_eq(mpconvert_decode(vector_span(v), MPCONVERT_M_DRAFT, &req).status,
                     DECODE_DONE);
    ck_request(c, &req);
    ck_assert(req.no_answer);
    ck_assert_uint_eq(req.no_answer_at, rows[_i].at);
    bool first = rows[_i].at == 0, both = c->shape != TARGET;
    if (c->target == NULL) {
        mpconvert_encode_probe(&w, MPCONVERT_M_DRAFT);
    } else {
        if (first)
            mpconvert_encode_no_answer(&w, false, MPCONVERT_M_DRAFT);
        mpconvert_encode(&w, &target, true, false, first, MPCONVERT_M_DRAFT);
        if (!first)
            mpconvert_encode_no_answer(&w, !both, MPCONVERT_M_DRAFT);
        if (both)
            mpconvert_encode(&w, &source, true, true, true, MPCONVERT_M_DRAFT);
    }
    ck_encoded(&w, v);
}
END_TEST

START_TEST(options_decode_and_encode)
{
    const struct element_case *c = &options[_i];
    const struct vector *v = vectors_find(&pm08, c->id);
    struct addr target = address(c->target), source = address(c->source);
    uint8_t buf[PM08_HEADER_MAX];
    struct wr w = {.buf = buf, .cap = sizeof buf};
    struct mpconvert_request req;

    ck_message(decoder_pm08, v);
    ck_assert_int_eq(pm08_decode(vector_span(v), &req).status, DECODE_DONE);
    ck_request(c, &req);
    if (c->shape == SOURCE_THEN_TARGET)
        pm08_encode_option(&w, &source, !c->without_port, true, c->protocol);
    pm08_encode_option(&w, &target, !c->without_port, false, c->protocol);
    pm08_encode_end(&w);
    ck_encoded(&w, v);
}
END_TEST

/* The encoder writes what it is told; these are the rejects it can be told to write. */
START_TEST(forbidden_elements_are_those_the_encoder_would_write)
{
    static const char *const rows[][2] = {{"MCX5", "127.0.0.1:22"},
                                          {"MCX6", "[::ffff:127.0.0.1]:22"},
                                          {"MCX7", "224.0.0.251:5353"},
                                          {"MCX8", "255.255.255.255:67"},
                                          {"MCX9", "[ff02::1]:80"}};
    struct addr a = address(rows[_i][1]);
    uint8_t buf[28];
    struct wr w = {.buf = buf, .cap = sizeof buf};

    mpconvert_encode(&w, &a, true, false, true, MPCONVERT_M_DRAFT);
    ck_assert(span_equal(wr_done(&w), vector_span(vectors_find(&mp_convert, rows[_i][0]))));
}
END_TEST

/* --- RFC 8803, requests */

struct request_case {
    const char *id, *target;
    struct span options, cookie;
    bool info, no_answer;
};

#define NONE span_of(NULL, 0)
static struct request_case request_case(int i)
{
    const struct request_case rows[] = {
        {"CV01", "192.0.2.10:443", NONE, NONE, false, false},
        {"CV02", "[2001:db8::1:2]:8443", NONE, NONE, false, false},
        {"CV03", "192.0.2.10:443", NONE, SPAN(COOKIE), false, false},
        {"CV04", NULL, NONE, NONE, true, false},
        {"CV05", "192.0.2.10:443", NONE, NONE, true, false},
        {"CV06", "192.0.2.10:443", SPAN("\x1e\x02\x22\x02"), NONE, false, false},
        {"CV07", "192.0.2.10:80", NONE, NONE, false, false},
        {"CV40", "198.51.100.9:80", NONE,
         SPAN("\x01\x00\x00\x07\x43\x2e\xf8\xda\xb0\x98\xac\xb0\xdc\xf1\x91\x7e"), false,
         false},
        {"CV50", "192.0.2.10:443", NONE, NONE, false, true},
        {"CV51", NULL, NONE, NONE, true, true},
    };

    ck_assert_int_lt(i, COUNT(rows));
    return rows[i];
}

START_TEST(requests_decode_and_encode)
{
    struct request_case c = request_case(_i);
    const struct vector *v = vectors_find(&convert, c.id);
    struct addr target = address(c.target);
    uint8_t buf[VECTOR_OCTETS_MAX];
    struct wr w = {.buf = buf, .cap = sizeof buf};
    struct convert_request req;

    ck_message(decoder_convert_request, v);
    ck_assert_int_eq(convert_decode_request(vector_span(v), &req).status, DECODE_DONE);
    ck_assert(req.info == c.info && req.connect == (c.target != NULL));
    ck_assert(addr_equal(&req.target, &target));
    ck_assert(span_equal(req.options, c.options));
    ck_assert(req.has_cookie == (c.cookie.len > 0) && span_equal(req.cookie, c.cookie));
    ck_assert_uint_eq(v->octets[1], v->field);
    ck_assert(req.no_answer == c.no_answer);
    if (c.no_answer)
        convert_encode_request(&w, &req);
    else if (c.target == NULL)
        convert_encode_info(&w);
    else
        convert_encode_connect(&w, &target, c.options, c.cookie, c.info);
    ck_encoded(&w, v);
}
END_TEST

START_TEST(the_forbidden_connect_is_what_the_encoder_would_write)
{
    struct addr a = address("127.0.0.1:22");
    uint8_t buf[24];
    struct wr w = {.buf = buf, .cap = sizeof buf};

    convert_encode_connect(&w, &a, NONE, NONE, false);
    ck_assert(span_equal(wr_done(&w), vector_span(vectors_find(&convert, "CVX5"))));
}
END_TEST

/* --- RFC 8803, answers */

struct error_case {
    const char *id;
    enum convert_error code;
    struct span given, value; /* what the encoder gets; what the decoder shows */
};

static struct error_case error_case(int i)
{
    const struct error_case rows[] = {
        {"CV20", CONVERT_ERROR_UNSUPPORTED_VERSION, SPAN("\1"), SPAN("\1")},
        {"CV23", CONVERT_ERROR_MISSING_COOKIE, SPAN(COOKIE), SPAN("\0" COOKIE)},
        {"CV24", CONVERT_ERROR_NOT_AUTHORIZED, NONE, SPAN("\0")},
        {"CV25", CONVERT_ERROR_UNSUPPORTED_OPTION, SPAN("\x1d"), SPAN("\x1d")},
        {"CV26", CONVERT_ERROR_RESOURCE_EXCEEDED, SPAN("\x3c"), SPAN("\x3c")},
        {"CV27", CONVERT_ERROR_NETWORK_FAILURE, NONE, SPAN("\0")},
        {"CV28", CONVERT_ERROR_CONNECTION_RESET, NONE, SPAN("\0")},
        {"CV29", CONVERT_ERROR_UNREACHABLE, SPAN("\x0d"), SPAN("\x0d")},
    };

    ck_assert_int_lt(i, COUNT(rows));
    return rows[i];
}

static struct convert_answer decode_answer(const struct vector *v)
{
    struct convert_answer answer;

    ck_message(decoder_convert_answer, v);
    ck_assert_uint_eq(v->octets[1], v->field);
    ck_assert_int_eq(convert_decode_answer(vector_span(v), &answer).status, DECODE_DONE);
    return answer;
}

START_TEST(errors_decode_and_encode)
{
    struct error_case c = error_case(_i);
    const struct vector *v = vectors_find(&convert, c.id);
    struct convert_answer answer = decode_answer(v);
    uint8_t buf[VECTOR_OCTETS_MAX];
    struct wr w = {.buf = buf, .cap = sizeof buf};

    ck_assert(answer.is_error);
    ck_assert_uint_eq(answer.error_code, c.code);
    ck_assert(span_equal(answer.error_value, c.value));
    convert_encode_error(&w, c.code, c.given);
    ck_encoded(&w, v);
}
END_TEST

START_TEST(the_malformed_error_echoes_the_message)
{
    const struct vector *v = vectors_find(&convert, "CV21");
    struct span offending = vector_span(vectors_find(&convert, "CVX5"));
    struct convert_answer answer = decode_answer(v);
    uint8_t buf[VECTOR_OCTETS_MAX];
    struct wr w = {.buf = buf, .cap = sizeof buf};

    ck_assert(answer.is_error);
    ck_assert_uint_eq(answer.error_code, CONVERT_ERROR_MALFORMED);
    ck_assert_uint_eq(answer.error_value.ptr[0], 0);
    ck_assert(span_equal(span_skip(answer.error_value, 1), offending));
    convert_encode_error(&w, CONVERT_ERROR_MALFORMED, offending);
    ck_encoded(&w, v);
}
END_TEST

START_TEST(successes_decode_and_encode)
{
    const struct convert_synack synack = {
        .mss = 1460, .sack = true, .timestamps = true, .wscale = true, .wscale_value = 10};
    uint8_t list[CONVERT_OPTIONS_MAX], buf[VECTOR_OCTETS_MAX];
    struct wr options_w = {.buf = list, .cap = sizeof list};
    struct wr w = {.buf = buf, .cap = sizeof buf};
    struct span kinds = SPAN("\x1e\x22\x04\x08");
    struct convert_answer answer = decode_answer(vectors_find(&convert, "CV10"));

    ck_assert(!answer.is_error && !answer.exact && answer.options.len == 0 &&
              span_equal(answer.supported, kinds));
    convert_encode_answer(&w, NONE, kinds);
    ck_encoded(&w, vectors_find(&convert, "CV10"));
    convert_encode_synack_options(&options_w, &synack);
    answer = decode_answer(vectors_find(&convert, "CV11"));
    ck_assert(!answer.is_error && !answer.server_mptcp && answer.supported.len == 0);
    ck_assert(span_equal(answer.options, wr_done(&options_w)));
    w = (struct wr){.buf = buf, .cap = sizeof buf};
    convert_encode_answer(&w, wr_done(&options_w), NONE);
    ck_encoded(&w, vectors_find(&convert, "CV11"));
    answer = decode_answer(vectors_find(&convert, "CV12"));
    ck_assert(!answer.is_error && answer.options.len == 0 && answer.supported.len == 0);
    w = (struct wr){.buf = buf, .cap = sizeof buf};
    convert_encode_answer(&w, NONE, NONE);
    ck_encoded(&w, vectors_find(&convert, "CV12"));
    answer = decode_answer(vectors_find(&convert, "CV52"));
    ck_assert(!answer.is_error && answer.exact && span_equal(answer.supported, kinds));
    w = (struct wr){.buf = buf, .cap = sizeof buf};
    convert_encode_info_answer(&w, kinds, true);
    ck_encoded(&w, vectors_find(&convert, "CV52"));
    w = (struct wr){.buf = buf, .cap = sizeof buf};
    convert_encode_info_answer(&w, kinds, false);
    ck_encoded(&w, vectors_find(&convert, "CV10"));
}
END_TEST

/* --- all */

/* 13 + 4 + 10 + 13 messages above, and every reject. */
START_TEST(no_vector_is_left_out)
{
    size_t good = 0, bad = 0;

    for (size_t i = 0; i < mp_convert.count; i++) {
        if (!mp_convert.v[i].rejected) {
            good++;
            continue;
        }
        ck_rejected(decoder_mpconvert, &mp_convert.v[i]);
        bad++;
    }
    for (size_t i = 0; i < convert.count; i++) {
        if (!convert.v[i].rejected) {
            good++;
            continue;
        }
        ck_rejected(decoder_convert_request, &convert.v[i]);
        bad++;
    }
    ck_assert_uint_eq(good + pm08.count, 40);
    ck_assert_uint_eq(bad, 24);
}
END_TEST

int main(void)
{
    Suite *s = suite_create("vectors_convert");
    TCase *t = tcase_create("vectors");

    tcase_add_checked_fixture(t, load, NULL);
    tcase_add_loop_test(t, elements_decode_and_encode, 0, COUNT(elements));
    tcase_add_loop_test(t, no_answer_elements_decode_and_encode, 0, 4);
    tcase_add_loop_test(t, options_decode_and_encode, 0, COUNT(options));
    tcase_add_loop_test(t, forbidden_elements_are_those_the_encoder_would_write, 0, 5);
    tcase_add_loop_test(t, requests_decode_and_encode, 0, 10);
    tcase_add_test(t, the_forbidden_connect_is_what_the_encoder_would_write);
    tcase_add_loop_test(t, errors_decode_and_encode, 0, 8);
    tcase_add_test(t, the_malformed_error_echoes_the_message);
    tcase_add_test(t, successes_decode_and_encode);
    tcase_add_test(t, no_vector_is_left_out);
    suite_add_tcase(s, t);
    return runner_main(s);
}
