/* SPDX-License-Identifier: MIT */
/* The initiator's SOCKS5 dialect: flights, answers, verdicts. */
#include "dialogue_check.h"
#include "runner.h"
#include <errno.h>

#define GREETING_NONE 5, 1, 0
#define GREETING_BOTH 5, 2, 0, 2
#define GREETING_USERPASS 5, 1, 2
#define USERPASS 1, 4, 'u', 's', 'e', 'r', 4, 'p', 'a', 's', 's'
#define REQUEST 5, 1, 0, 1, 192, 0, 2, 10, 1, 0xbb
#define REPLY_OK 5, 0, 0, 1, 203, 0, 113, 5, 0x9c, 0x40
#define DATA 'h', 'e', 'l', 'l', 'o'

enum { DATA_LEN = 5 };

static struct initiator_options options(bool with_user, bool pipeline)
{
    struct initiator_options opt = {.dialect = PROTOCOL_SOCKS5, .pipeline = pipeline};

    if (with_user) {
        opt.user = SPAN("user");
        opt.pass = SPAN("pass");
    }
    return opt;
}

struct talk {
    const char *what;
    bool with_user, pipeline;
    size_t sent_len, stream_len; /* the stream ends with DATA */
    uint8_t sent[32], stream[32];
};

/* RFC 1928 s3..s6, RFC 1929 s2 */
static const struct talk talks[] = {
    {"no credentials",
     false,
     false,
     13,
     12 + DATA_LEN,
     {GREETING_NONE, REQUEST},
     {5, 0, REPLY_OK, DATA}},
    {"no credentials, pipelined",
     false,
     true,
     13,
     12 + DATA_LEN,
     {GREETING_NONE, REQUEST},
     {5, 0, REPLY_OK, DATA}},
    {"credentials, asked for",
     true,
     false,
     25,
     14 + DATA_LEN,
     {GREETING_BOTH, USERPASS, REQUEST},
     {5, 2, 1, 0, REPLY_OK, DATA}},
    {"credentials, not asked for",
     true,
     false,
     14,
     12 + DATA_LEN,
     {GREETING_BOTH, REQUEST},
     {5, 0, REPLY_OK, DATA}},
    {"credentials, pipelined",
     true,
     true,
     24,
     14 + DATA_LEN,
     {GREETING_USERPASS, USERPASS, REQUEST},
     {5, 2, 1, 0, REPLY_OK, DATA}},
    {"credentials, answered with version 5",
     true,
     false,
     25,
     14 + DATA_LEN,
     {GREETING_BOTH, USERPASS, REQUEST},
     {5, 2, 5, 0, REPLY_OK, DATA}},
    {"a name as bound address",
     false,
     false,
     13,
     11 + DATA_LEN,
     {GREETING_NONE, REQUEST},
     {5, 0, 5, 0, 0, 3, 2, 'a', 'b', 0, 1, DATA}},
};

START_TEST(ready_after_the_reply_and_not_an_octet_later)
{
    const struct talk *t = &talks[_i];

    for (size_t piece = 0; piece <= t->stream_len; piece++) {
        struct dialogue d;

        ck_begin(&d, options(t->with_user, t->pipeline), "192.0.2.10:443");
        ck_play(&d, span_of(t->stream, t->stream_len), piece);
        ck_assert_msg(d.in.step == INITIATOR_READY, "%s, pieces of %zu", t->what, piece);
        ck_assert_uint_eq(d.consumed, t->stream_len - DATA_LEN);
        ck_sent(&d, t->sent, t->sent_len);
    }
}
END_TEST

START_TEST(every_shorter_stream_is_no_verdict_and_its_end_a_failure)
{
    const struct talk *t = &talks[_i];

    for (size_t n = 0; n < t->stream_len - DATA_LEN; n++) {
        struct dialogue d;

        ck_begin(&d, options(t->with_user, t->pipeline), "192.0.2.10:443");
        ck_play(&d, span_of(t->stream, n), 1);
        ck_assert_int_eq(d.in.step, INITIATOR_WAIT);
        ck_assert_int_eq(initiator_closed(&d.in, n % 2 == 0 ? 0 : ECONNRESET),
                         INITIATOR_REFUSED);
        ck_assert_int_eq(d.in.failure.why,
                         n % 2 == 0 ? OUTCOME_UPSTREAM_EOF : OUTCOME_UPSTREAM_RESET);
        ck_assert_int_eq(d.in.error, ECONNRESET);
    }
}
END_TEST

static size_t flight(struct initiator *in)
{
    size_t n = initiator_output(in).len;

    initiator_sent(in, n);
    return n;
}

START_TEST(without_pipelining_each_flight_waits_for_its_answer)
{
    struct dialogue d;
    size_t used;

    ck_begin(&d, options(true, false), "192.0.2.10:443");
    ck_assert_uint_eq(flight(&d.in), 4);
    ck_assert_int_eq(initiator_input(&d.in, SPAN("\5\2"), &used), INITIATOR_SEND);
    ck_assert_uint_eq(used, 2);
    ck_assert_uint_eq(flight(&d.in), 11);
    ck_assert_int_eq(initiator_input(&d.in, SPAN("\1\0"), &used), INITIATOR_SEND);
    ck_assert_uint_eq(used, 2);
    ck_assert_uint_eq(flight(&d.in), 10);
    ck_assert_int_eq(d.in.step, INITIATOR_WAIT);
}
END_TEST

START_TEST(with_pipelining_all_is_in_the_first_flight)
{
    struct dialogue d;

    ck_begin(&d, options(true, true), "192.0.2.10:443");
    ck_assert_uint_eq(flight(&d.in), 24);
    ck_assert_int_eq(d.in.step, INITIATOR_WAIT);
}
END_TEST

struct refusal {
    uint8_t rep;
    enum outcome why;
    int error;
};

/* RFC 1928 s6; what is unassigned counts as a general failure */
static const struct refusal refusals[] = {
    {1, OUTCOME_NO_RESOURCES, ECONNREFUSED},
    {2, OUTCOME_DENIED, EACCES},
    {3, OUTCOME_NO_ROUTE, ENETUNREACH},
    {4, OUTCOME_UNREACHABLE, EHOSTUNREACH},
    {5, OUTCOME_REFUSED, ECONNREFUSED},
    {6, OUTCOME_CONNECT_TIMEOUT, ETIMEDOUT},
    {7, OUTCOME_UNSUPPORTED_COMMAND, EOPNOTSUPP},
    {8, OUTCOME_UNSUPPORTED_ADDRESS, EAFNOSUPPORT},
    {9, OUTCOME_NO_RESOURCES, ECONNREFUSED},
    {0xF0, OUTCOME_NO_RESOURCES, ECONNREFUSED}, /* Tor's extended codes, E5 */
    {0xFF, OUTCOME_NO_RESOURCES, ECONNREFUSED},
};

START_TEST(every_reply_code_has_its_outcome_and_errno)
{
    const struct refusal *r = &refusals[_i];
    const uint8_t stream[] = {5, 0, 5, r->rep, 0, 1, 0, 0, 0, 0, 0, 0};

    for (size_t piece = 0; piece <= sizeof stream; piece++) {
        struct dialogue d;

        ck_begin(&d, options(false, piece % 2 == 0), "192.0.2.10:443");
        ck_play(&d, span_of(stream, sizeof stream), piece);
        ck_assert_int_eq(d.in.step, INITIATOR_REFUSED);
        ck_assert_int_eq(d.in.failure.why, r->why);
        ck_assert_int_eq(d.in.error, r->error);
        if (r->rep >= 1 && r->rep <= 8) /* what we pass on is what we were told */
            ck_assert_uint_eq(failure_socks5_rep(d.in.failure), r->rep);
    }
}
END_TEST

START_TEST(no_acceptable_method_is_a_refusal)
{
    struct dialogue d;

    for (int i = 0; i < 4; i++) {
        ck_begin(&d, options((i & 1) != 0, (i & 2) != 0), "192.0.2.10:443");
        ck_play(&d, SPAN("\5\xff"), 1);
        ck_assert_int_eq(d.in.step, INITIATOR_REFUSED);
        ck_assert_int_eq(d.in.failure.why, OUTCOME_NO_METHOD);
        ck_assert_int_eq(d.in.error, EACCES);
    }
}
END_TEST

START_TEST(bad_credentials_are_a_refusal)
{
    struct dialogue d;

    for (int i = 0; i < 2; i++) {
        ck_begin(&d, options(true, i != 0), "192.0.2.10:443");
        ck_play(&d, SPAN("\5\2\1\1"), 1);
        ck_assert_int_eq(d.in.step, INITIATOR_REFUSED);
        ck_assert_int_eq(d.in.failure.why, OUTCOME_AUTH_FAILED);
        ck_assert_int_eq(d.in.error, EACCES);
        ck_assert_uint_eq(d.consumed, 4);
    }
}
END_TEST

struct stranger {
    const char *what;
    bool with_user, pipeline;
    uint8_t consumed; /* of the messages before the wrong one */
    uint8_t len, stream[16];
    enum outcome why;
};

static const struct stranger strangers[] = {
    {"HTTP", false, false, 0, 4, "HTTP", OUTCOME_UNKNOWN_PROTOCOL},
    {"SOCKS4", false, false, 0, 2, {0, 0x5A}, OUTCOME_UNKNOWN_PROTOCOL},
    {"a method that was not offered", false, false, 0, 2, {5, 2}, OUTCOME_UNKNOWN_PROTOCOL},
    {"GSSAPI", true, false, 0, 2, {5, 1}, OUTCOME_UNKNOWN_PROTOCOL},
    {"no method where only a password was offered",
     true,
     true,
     0,
     2,
     {5, 0},
     OUTCOME_UNKNOWN_PROTOCOL},
    {"a status of another version", true, false, 2, 4, {5, 2, 2, 0}, OUTCOME_UNKNOWN_PROTOCOL},
    {"a reply of another version", false, false, 2, 4, {5, 0, 4, 0}, OUTCOME_UNKNOWN_PROTOCOL},
    {"a reply of unknown length", false, false, 2, 6, {5, 0, 5, 0, 0, 9}, OUTCOME_MALFORMED},
};

START_TEST(a_peer_that_speaks_otherwise_is_broken)
{
    const struct stranger *p = &strangers[_i];

    for (size_t piece = 0; piece <= p->len; piece++) {
        struct dialogue d;

        ck_begin(&d, options(p->with_user, p->pipeline), "192.0.2.10:443");
        ck_play(&d, span_of(p->stream, p->len), piece);
        ck_assert_msg(d.in.step == INITIATOR_BROKEN, "%s", p->what);
        ck_assert_int_eq(d.in.failure.why, p->why);
        ck_assert_int_eq(d.in.error, EPROTO);
        ck_assert_uint_eq(d.consumed, p->consumed);
    }
}
END_TEST

START_TEST(a_name_is_sent_as_a_name)
{
    static const uint8_t want[] = {5,   1,   0,   5,   1,   0,   3,   11,  'e', 'x', 'a',
                                   'm', 'p', 'l', 'e', '.', 'n', 'e', 't', 1,   0xbb};
    struct initiator_options opt = options(false, true);
    struct target t;
    struct initiator in;
    int error = 0;

    ck_assert(target_from_host(SPAN("example.net"), 443, &t));
    ck_assert(initiator_init(&in, &opt, &t, &error));
    ck_assert(span_equal(initiator_output(&in), span_of(want, sizeof want)));
}
END_TEST

/* RFC 1929 s2: 1 to 255 octets each */
START_TEST(credentials_that_cannot_be_sent_are_refused)
{
    static const uint8_t text[256] = {'x'};
    static const struct {
        size_t user, pass;
        int error;
    } rows[] = {{255, 255, 0},  {1, 1, 0},        {256, 1, EINVAL}, {1, 256, EINVAL},
                {1, 0, EINVAL}, {0, 256, EINVAL}, {0, 0, 0},        {0, 5, 0}};
    struct addr a;
    struct initiator in;

    ck_assert(addr_parse("[2001:db8::1]:443", &a));
    struct target t = target_from_addr(&a);
    for (size_t i = 0; i < sizeof rows / sizeof rows[0]; i++) {
        for (int pipeline = 0; pipeline < 2; pipeline++) {
            struct initiator_options opt = {.dialect = PROTOCOL_SOCKS5,
                                            .user = span_of(text, rows[i].user),
                                            .pass = span_of(text, rows[i].pass),
                                            .pipeline = pipeline != 0};
            int error = 0;

            ck_assert(initiator_init(&in, &opt, &t, &error) == (rows[i].error == 0));
            ck_assert_int_eq(error, rows[i].error);
        }
    }
}
END_TEST

START_TEST(the_longest_flight_fits)
{
    static const uint8_t text[255] = {'x'};
    char host[TARGET_NAME_MAX + 1];
    struct initiator_options opt = {.dialect = PROTOCOL_SOCKS5,
                                    .user = span_of(text, 255),
                                    .pass = span_of(text, 255),
                                    .pipeline = true};
    struct target t;
    struct initiator in;
    int error = 0;

    for (size_t i = 0; i < TARGET_NAME_MAX; i++)
        host[i] = i % 64 == 63 ? '.' : 'a';
    ck_assert(target_from_host(span_of(host, TARGET_NAME_MAX), 443, &t));
    ck_assert(initiator_init(&in, &opt, &t, &error));
    ck_assert_uint_eq(initiator_output(&in).len, 3 + 513 + 262);
}
END_TEST

/* The password is gone as soon as the next flight or the verdict is there. */
START_TEST(the_password_does_not_linger)
{
    struct dialogue d;
    size_t used;

    ck_begin(&d, options(true, false), "192.0.2.10:443");
    (void)flight(&d.in);
    (void)initiator_input(&d.in, SPAN("\5\2"), &used);
    ck_assert_ptr_nonnull(memmem(d.in.sent, sizeof d.in.sent, "pass", 4));
    (void)flight(&d.in);
    (void)initiator_input(&d.in, SPAN("\1\0"), &used);
    ck_assert_ptr_null(memmem(d.in.sent, sizeof d.in.sent, "pass", 4));
    ck_begin(&d, options(true, true), "192.0.2.10:443");
    ck_play(&d, SPAN("\5\xff"), 0);
    ck_assert_ptr_null(memmem(d.in.sent, sizeof d.in.sent, "pass", 4));
}
END_TEST

#define COUNT(a) ((int)(sizeof(a) / sizeof((a)[0])))

int main(void)
{
    Suite *s = suite_create("initiator_socks5");
    TCase *t = tcase_create("socks5");

    tcase_add_loop_test(t, ready_after_the_reply_and_not_an_octet_later, 0, COUNT(talks));
    tcase_add_loop_test(t, every_shorter_stream_is_no_verdict_and_its_end_a_failure, 0,
                        COUNT(talks));
    tcase_add_test(t, without_pipelining_each_flight_waits_for_its_answer);
    tcase_add_test(t, with_pipelining_all_is_in_the_first_flight);
    tcase_add_loop_test(t, every_reply_code_has_its_outcome_and_errno, 0, COUNT(refusals));
    tcase_add_test(t, no_acceptable_method_is_a_refusal);
    tcase_add_test(t, bad_credentials_are_a_refusal);
    tcase_add_loop_test(t, a_peer_that_speaks_otherwise_is_broken, 0, COUNT(strangers));
    tcase_add_test(t, a_name_is_sent_as_a_name);
    tcase_add_test(t, credentials_that_cannot_be_sent_are_refused);
    tcase_add_test(t, the_longest_flight_fits);
    tcase_add_test(t, the_password_does_not_linger);
    suite_add_tcase(s, t);
    return runner_main(s);
}
