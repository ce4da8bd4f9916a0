/* SPDX-License-Identifier: MIT */
/* What belongs to no dialect or to a small one: octets nobody knows, HTTP, SOCKS4 and 4a. Whole
 * conversations, each cut at every octet. */
#include "interview_check.h"
#include "runner.h"

#define HTTP_501                       \
    "HTTP/1.1 501 Not Implemented\r\n" \
    "Content-Type: text/plain\r\n"     \
    "Content-Length: 42\r\n"           \
    "Connection: close\r\n"            \
    "\r\n"
#define REJECTED "005b 0000 00000000"

static void ck_text(struct interview *v, const struct handshake_policy *p, const char *text)
{
    ck_interview(v, p, true, span_of(text, strlen(text)));
}

START_TEST(nothing_is_answered_to_nothing)
{
    struct handshake_policy p = policy_open();
    struct interview v;
    const char *flaw = NULL;

    interview_begin(&v, &p, true);
    flaw = interview_hear(&v, (struct span){.ptr = NULL, .len = 0});
    ck_assert_msg(flaw == NULL, "%s", flaw);
    ck_assert_int_eq(v.step.action, HANDSHAKE_MORE);
    ck_assert_uint_eq(v.consumed, 0);
    ck_assert_int_eq(v.h.protocol, PROTOCOL_UNKNOWN);
    ck_fail(&v, (struct failure){.why = OUTCOME_LIMIT_GLOBAL}, HANDSHAKE_ABORT, "");
}
END_TEST

/* Nobody asks, and nobody is answered. */
START_TEST(a_transparent_client_is_told_nothing)
{
    static const uint8_t ip[4] = {192, 0, 2, 7};
    const struct addr target = addr_ipv4(ip, 443);
    uint8_t buf[HANDSHAKE_REPLY_MAX];
    struct wr reply = {.buf = buf, .cap = sizeof buf};
    struct handshake_success ok = {.bound = target};
    struct handshake h;

    for (int failed = 0; failed < 2; failed++) {
        handshake_init(&h);
        handshake_transparent(&h, &target);
        ck_assert_int_eq(h.protocol, PROTOCOL_TRANSPARENT);
        ck_assert(addr_equal_ip(&h.target.addr, &target) && h.target.port == 443);
        ck_assert(!handshake_wants_bound(&h) && !handshake_wants_synack(&h));
        if (failed == 0)
            handshake_success(&h, &ok, &reply);
        else
            ck_assert_int_eq(
                handshake_failure(&h, (struct failure){.why = OUTCOME_REFUSED}, &reply),
                HANDSHAKE_ABORT);
        ck_assert_uint_eq(reply.pos, 0);
    }
}
END_TEST

/* Wrong octets are reset and never passed on. */
START_TEST(octets_of_no_dialect_are_reset_in_silence)
{
    static const char *const c[] = {
        "1603010200",       /* TLS */
        "5353482d322e30",   /* SSH */
        "00000000",         /* nothing */
        "06010001",         /* SOCKS6 */
        "faa8faa9000a0001", /* MCX1 */
        "01020000",         /* CVX3 */
        "1e09e006",         /* pm08 with a length that is none */
        "1e0ad006",         /* and with another subtype */
    };
    struct handshake_policy p = policy_open();

    for (size_t i = 0; i < sizeof c / sizeof c[0]; i++) {
        struct interview v;

        ck_talk(&v, &p, c[i]);
        ck_refused(&v, OUTCOME_UNKNOWN_PROTOCOL, REJECT_MAGIC, HANDSHAKE_ABORT, "");
        ck_assert_uint_eq(v.consumed, 0);
    }
}
END_TEST

/* Each dialect alone: the other ones' first flights are garbage to it. */
START_TEST(a_listener_speaks_only_what_it_is_told_to)
{
    static const struct {
        enum protocol p;
        const char *octets;
    } c[] = {
        {PROTOCOL_SOCKS5, "050100 05010001c000020a01bb"},
        {PROTOCOL_SOCKS4, "040101bb c000020a 00"},
        {PROTOCOL_MP_CONVERT, "faa8faa8 000a0001 c000020a 01bb0000"},
        {PROTOCOL_PM08, "1e0ae006 c000020a 01bb 00"},
        {PROTOCOL_CONVERT, "01062263 0a0501bb 00000000 00000000 0000ffff c000020a"},
    };

    for (size_t i = 0; i < sizeof c / sizeof c[0]; i++) {
        for (size_t j = 0; j < sizeof c / sizeof c[0]; j++) {
            struct handshake_policy p = policy_open();
            struct interview v;

            p.protocols = PROTOCOL_BIT(c[i].p);
            ck_talk(&v, &p, c[j].octets);
            if (i != j) {
                ck_refused(&v, OUTCOME_UNKNOWN_PROTOCOL, REJECT_MAGIC, HANDSHAKE_ABORT, "");
                continue;
            }
            ck_requested(&v, HANDSHAKE_CONNECT, "192.0.2.10:443", i == 0 ? "0500" : "");
            ck_assert_int_eq(v.h.protocol, c[i].p);
        }
    }
}
END_TEST

/* For those who took the SOCKS port for an HTTP proxy. */
START_TEST(http_is_told_501_on_a_socks_port)
{
    static const char *const c[] = {
        "GET http://192.0.2.10/ HTTP/1.1\r\n\r\n",
        "CONNECT 192.0.2.10:443 HTTP/1.1\r\n\r\n",
        "POST / HTTP/1.1\r\n",
        "HEAD / HTTP/1.1\r\n",
        "PUT / HTTP/1.1\r\n",
        "DELETE / HTTP/1.1\r\n",
        "OPTIONS * HTTP/1.1\r\n",
        "TRACE / HTTP/1.1\r\n",
        "PATCH / HTTP/1.1\r\n",
    };
    struct handshake_policy p = policy_open();

    for (unsigned only_socks = 0; only_socks < 2; only_socks++) {
        p.protocols = only_socks ? PROTOCOL_BIT(PROTOCOL_SOCKS5) : p.protocols;
        for (size_t i = 0; i < sizeof c / sizeof c[0]; i++) {
            struct interview v;
            const size_t head = sizeof HTTP_501 - 1;

            ck_text(&v, &p, c[i]);
            ck_assert_int_eq(v.step.action, HANDSHAKE_REFUSE);
            ck_assert_int_eq(v.step.failure.why, OUTCOME_UNKNOWN_PROTOCOL);
            ck_assert_int_eq(v.step.close, HANDSHAKE_LINGER);
            ck_assert_int_eq(v.h.protocol, PROTOCOL_HTTP);
            ck_assert_uint_eq(v.reply_len, head + 42);
            ck_assert_mem_eq(v.reply, HTTP_501, head);
            ck_assert_int_eq(v.reply[v.reply_len - 1], '\n');
        }
    }
}
END_TEST

START_TEST(http_is_reset_where_there_is_no_socks)
{
    struct handshake_policy p = policy_open();
    struct interview v;

    p.protocols &= ~PROTOCOL_BIT(PROTOCOL_SOCKS5);
    ck_text(&v, &p, "GET / HTTP/1.1\r\n\r\n");
    ck_refused(&v, OUTCOME_UNKNOWN_PROTOCOL, REJECT_MAGIC, HANDSHAKE_ABORT, "");
    ck_assert_int_eq(v.h.protocol, PROTOCOL_HTTP);
}
END_TEST

/* One verdict for "GETX", in one segment or in four. */
START_TEST(what_only_begins_like_http_is_reset)
{
    static const char *const c[] = {"GETX", "GE\x22\x63", "PX", "CONNECTED"};

    for (unsigned only_socks = 0; only_socks < 2; only_socks++) {
        struct handshake_policy p = policy_open();
        struct interview v;

        p.protocols =
            PROTOCOL_BIT(PROTOCOL_SOCKS5) |
            (only_socks ? 0 : PROTOCOL_BIT(PROTOCOL_SOCKS4) | PROTOCOL_BIT(PROTOCOL_PM08));
        for (size_t i = 0; i < sizeof c / sizeof c[0]; i++) {
            ck_text(&v, &p, c[i]);
            ck_refused(&v, OUTCOME_UNKNOWN_PROTOCOL, REJECT_MAGIC, HANDSHAKE_ABORT, "");
        }
        ck_text(&v, &p, "GE");
        ck_assert_int_eq(v.step.action, HANDSHAKE_MORE);
    }
}
END_TEST

/* SOCKS4 and 4a. */

START_TEST(socks4_requests_name_their_target)
{
    static const struct {
        const char *octets, *target;
    } c[] = {
        {"04010050 c000020a 6672656400", "192.0.2.10:80"}, /* S401 */
        {"040101bb c000020a 00", "192.0.2.10:443"},
        {"04010050 00000001 00 6578616d706c652e636f6d00", "example.com:80"}, /* S402 */
        {"04010050 000000ff 6672656400 3139322e302e322e313000", "192.0.2.10:80"},
    };
    struct handshake_policy p = policy_open();

    for (size_t i = 0; i < sizeof c / sizeof c[0]; i++) {
        struct interview v;
        struct octets s = octets_of(c[i].octets);
        const struct handshake_success ok = {.bound = {.family = ADDR_NONE}};

        s.o[s.len++] = 0x41;
        ck_interview(&v, &p, true, span_of(s.o, s.len));
        ck_requested(&v, HANDSHAKE_CONNECT, c[i].target, "");
        ck_assert_int_eq(v.h.protocol, PROTOCOL_SOCKS4);
        ck_early(&v, "41");
        ck_assert(!handshake_wants_bound(&v.h) && !handshake_wants_synack(&v.h));
        ck_succeed(&v, &ok, "005a 0000 00000000");
    }
}
END_TEST

/* It has no way to prove who one is. */
START_TEST(socks4_is_for_sources_that_need_no_credentials)
{
    struct handshake_policy p = policy_users();
    struct interview v;

    ck_talk(&v, &p, "04010050 c000020a 6672656400");
    ck_refused(&v, OUTCOME_NO_METHOD, REJECT_NONE, HANDSHAKE_LINGER, REJECTED);
    p.none_allowed = true;
    ck_talk(&v, &p, "04010050 c000020a 6672656400");
    ck_requested(&v, HANDSHAKE_CONNECT, "192.0.2.10:80", "");
}
END_TEST

START_TEST(bad_socks4_requests_are_rejected)
{
    static const struct {
        const char *octets;
        enum outcome why;
        enum reject reject;
    } c[] = {
        {"04020050 c000020a 00", OUTCOME_UNSUPPORTED_COMMAND, REJECT_COMMAND},
        {"04030050 c000020a 00", OUTCOME_UNSUPPORTED_COMMAND, REJECT_COMMAND},
        {"04010000 c000020a 00", OUTCOME_MALFORMED, REJECT_PORT},
        {"04010050 00000001 00 00", OUTCOME_MALFORMED, REJECT_NAME},
        {"04010050 00000001 00 2f00", OUTCOME_MALFORMED, REJECT_NAME},
    };
    struct handshake_policy p = policy_open();

    for (size_t i = 0; i < sizeof c / sizeof c[0]; i++) {
        struct interview v;

        ck_talk(&v, &p, c[i].octets);
        ck_refused(&v, c[i].why, c[i].reject, HANDSHAKE_LINGER, REJECTED);
    }
}
END_TEST

START_TEST(a_socks4_field_without_end_is_rejected)
{
    struct handshake_policy p = policy_open();
    struct interview v;
    struct octets s = octets_of("04010050 c000020a");

    memset(s.o + s.len, 'u', 255);
    s.len += 255;
    ck_interview(&v, &p, true, span_of(s.o, s.len));
    ck_assert_int_eq(v.step.action, HANDSHAKE_MORE);
    s.o[s.len++] = 'u';
    ck_interview(&v, &p, true, span_of(s.o, s.len));
    ck_refused(&v, OUTCOME_MALFORMED, REJECT_UNTERMINATED, HANDSHAKE_LINGER, REJECTED);
    s.o[s.len - 1] = 0;
    ck_interview(&v, &p, true, span_of(s.o, s.len));
    ck_requested(&v, HANDSHAKE_CONNECT, "192.0.2.10:80", "");
}
END_TEST

START_TEST(socks4_failures_are_5b)
{
    struct handshake_policy p = policy_open();

    for (unsigned why = OUTCOME_OK + 1; why < OUTCOME_COUNT; why++) {
        struct interview v;
        const struct failure f = {.why = (enum outcome)why};

        ck_talk(&v, &p, "04010050 c000020a");
        ck_fail(&v, f, HANDSHAKE_LINGER, ""); /* the request is not complete */
        ck_talk(&v, &p, "04010050 c000020a 00");
        ck_fail(&v, f, HANDSHAKE_LINGER, REJECTED);
        ck_fail(&v, f, HANDSHAKE_LINGER, ""); /* once */
    }
}
END_TEST

static Suite *suite(void)
{
    Suite *s = suite_create("handshake");
    TCase *first = tcase_create("first octets"), *socks4 = tcase_create("socks4");

    tcase_add_test(first, nothing_is_answered_to_nothing);
    tcase_add_test(first, octets_of_no_dialect_are_reset_in_silence);
    tcase_add_test(first, a_transparent_client_is_told_nothing);
    tcase_add_test(first, a_listener_speaks_only_what_it_is_told_to);
    tcase_add_test(first, http_is_told_501_on_a_socks_port);
    tcase_add_test(first, http_is_reset_where_there_is_no_socks);
    tcase_add_test(first, what_only_begins_like_http_is_reset);
    suite_add_tcase(s, first);
    tcase_add_test(socks4, socks4_requests_name_their_target);
    tcase_add_test(socks4, socks4_is_for_sources_that_need_no_credentials);
    tcase_add_test(socks4, bad_socks4_requests_are_rejected);
    tcase_add_test(socks4, a_socks4_field_without_end_is_rejected);
    tcase_add_test(socks4, socks4_failures_are_5b);
    suite_add_tcase(s, socks4);
    return s;
}

int main(void)
{
    return runner_main(suite());
}
