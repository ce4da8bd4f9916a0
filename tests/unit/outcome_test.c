/* SPDX-License-Identifier: MIT */
#include "runner.h"
#include "wire/decode.h"
#include "wire/outcome.h"
#include <errno.h>
#include <string.h>

static const struct failure none = {.why = OUTCOME_OK};

static struct failure failure(enum outcome why)
{
    struct failure f = none;

    f.why = why;
    return f;
}

START_TEST(every_outcome_has_its_words)
{
    for (unsigned o = 0; o < OUTCOME_COUNT; o++) {
        ck_assert_uint_gt(strlen(outcome_name((enum outcome)o)), 0);
        ck_assert_uint_gt(strlen(outcome_text((enum outcome)o)), 0);
        ck_assert_uint_lt(outcome_reason((enum outcome)o), REASON_COUNT);
        for (unsigned other = 0; other < o; other++)
            ck_assert_str_ne(outcome_name((enum outcome)o), outcome_name((enum outcome)other));
    }
    ck_assert_str_eq(outcome_name(OUTCOME_REFUSED), "REFUSED");
    ck_assert_str_eq(outcome_text(OUTCOME_REFUSED), "connection refused");
    ck_assert_int_eq(outcome_reason(OUTCOME_REFUSED), REASON_CONNECT_FAILED);
}
END_TEST

START_TEST(every_reason_and_reject_has_its_word)
{
    for (unsigned r = 0; r < REASON_COUNT; r++)
        ck_assert_uint_gt(strlen(reason_name((enum reason)r)), 0);
    for (unsigned r = 0; r < REJECT_COUNT; r++)
        ck_assert_uint_gt(strlen(reject_text((enum reject)r)), 0);
    ck_assert_str_eq(reason_name(REASON_LIMIT_USER), "limit_user");
    ck_assert_str_eq(reject_text(REJECT_FRAMING), "tlv framing");
}
END_TEST

START_TEST(values_outside_the_tables_have_words_too)
{
    ck_assert_ptr_nonnull(reject_text(REJECT_COUNT));
    ck_assert_str_eq(outcome_name(OUTCOME_COUNT), "INTERNAL");
    ck_assert_str_eq(outcome_text(OUTCOME_COUNT), "internal error");
    ck_assert_str_eq(reason_name(REASON_COUNT), "internal_error");
}
END_TEST

/* The order of the table: policy > limits > resources > refusal > unreachable > timeout > route
 * > name resolution. */
START_TEST(the_more_telling_failure_wins)
{
    static const enum outcome falling[] = {
        OUTCOME_DENIED,   OUTCOME_RATE_LIMITED,        OUTCOME_NO_RESOURCES,
        OUTCOME_REFUSED,  OUTCOME_UNREACHABLE,         OUTCOME_CONNECT_TIMEOUT,
        OUTCOME_NO_ROUTE, OUTCOME_UNSUPPORTED_ADDRESS, OUTCOME_RESOLVER_FAILED,
        OUTCOME_OK,
    };

    for (size_t i = 0; i + 1 < sizeof falling / sizeof falling[0]; i++) {
        struct failure high = failure(falling[i]), low = failure(falling[i + 1]);

        ck_assert_uint_gt(outcome_rank(falling[i]), outcome_rank(falling[i + 1]));
        ck_assert_int_eq(failure_worse(high, low).why, falling[i]);
        ck_assert_int_eq(failure_worse(low, high).why, falling[i]);
    }
}
END_TEST

START_TEST(the_first_wins_when_they_rank_alike)
{
    struct failure a = {.why = OUTCOME_UNREACHABLE, .detail = 1};
    struct failure b = {.why = OUTCOME_UNREACHABLE, .detail = 2};

    ck_assert_uint_eq(failure_worse(a, b).detail, 1);
    ck_assert_uint_eq(failure_worse(b, a).detail, 2);
}
END_TEST

/* RFC 1928 s6, RFC 8803 s6.2.8 and errno of the outcomes that clients see most. */
static const struct {
    enum outcome why;
    enum socks5_rep rep;
    enum convert_error convert;
    int err;
} codes[] = {
    {OUTCOME_REFUSED, SOCKS5_REP_REFUSED, CONVERT_ERROR_CONNECTION_RESET, ECONNREFUSED},
    {OUTCOME_NO_ROUTE, SOCKS5_REP_NET_UNREACHABLE, CONVERT_ERROR_NETWORK_FAILURE, ENETUNREACH},
    {OUTCOME_CONNECT_TIMEOUT, SOCKS5_REP_TTL_EXPIRED, CONVERT_ERROR_NETWORK_FAILURE, ETIMEDOUT},
    {OUTCOME_NAME_NOT_FOUND, SOCKS5_REP_HOST_UNREACHABLE, CONVERT_ERROR_UNREACHABLE,
     EHOSTUNREACH},
    {OUTCOME_RESOLVER_FAILED, SOCKS5_REP_GENERAL, CONVERT_ERROR_NETWORK_FAILURE, EHOSTUNREACH},
    {OUTCOME_DENIED, SOCKS5_REP_NOT_ALLOWED, CONVERT_ERROR_NOT_AUTHORIZED, EACCES},
    {OUTCOME_FORBIDDEN_ADDRESS, SOCKS5_REP_NOT_ALLOWED, CONVERT_ERROR_MALFORMED, EACCES},
    {OUTCOME_MISSING_COOKIE, SOCKS5_REP_NOT_ALLOWED, CONVERT_ERROR_MISSING_COOKIE, EACCES},
    {OUTCOME_UNSUPPORTED_COMMAND, SOCKS5_REP_COMMAND, CONVERT_ERROR_UNSUPPORTED_MESSAGE,
     EOPNOTSUPP},
    {OUTCOME_UNSUPPORTED_ADDRESS, SOCKS5_REP_ADDRESS_TYPE, CONVERT_ERROR_MALFORMED,
     EAFNOSUPPORT},
    {OUTCOME_UNSUPPORTED_VERSION, SOCKS5_REP_GENERAL, CONVERT_ERROR_UNSUPPORTED_VERSION,
     EPROTO},
    {OUTCOME_NO_RESOURCES, SOCKS5_REP_GENERAL, CONVERT_ERROR_RESOURCE_EXCEEDED, EAGAIN},
    {OUTCOME_OK, SOCKS5_REP_OK, CONVERT_ERROR_CONNECTION_RESET, 0},
};

START_TEST(outcomes_have_their_codes_in_every_dialect)
{
    struct failure f = failure(codes[_i].why);

    ck_assert_int_eq(failure_socks5_rep(f), codes[_i].rep);
    ck_assert_int_eq(failure_convert_code(f), codes[_i].convert);
    ck_assert_int_eq(failure_errno(f), codes[_i].err);
}
END_TEST

/* What each connect() result becomes. icmp -1: none was seen. */
static const struct {
    int err, type, code;
    bool local, icmp6;
    enum outcome why;
    unsigned detail;
    enum socks5_rep rep;
    enum convert_error convert;
} connects[] = {
    {ECONNREFUSED, -1, 0, false, false, OUTCOME_REFUSED, 0, SOCKS5_REP_REFUSED,
     CONVERT_ERROR_CONNECTION_RESET},
    {ECONNRESET, -1, 0, false, false, OUTCOME_REFUSED, 0, SOCKS5_REP_REFUSED,
     CONVERT_ERROR_CONNECTION_RESET},
    {ECONNREFUSED, 3, 3, false, false, OUTCOME_UNREACHABLE, 3, SOCKS5_REP_REFUSED,
     CONVERT_ERROR_UNREACHABLE},
    {ENETUNREACH, 3, 0, false, false, OUTCOME_UNREACHABLE, 0, SOCKS5_REP_NET_UNREACHABLE,
     CONVERT_ERROR_UNREACHABLE},
    {EHOSTUNREACH, 3, 1, false, false, OUTCOME_UNREACHABLE, 1, SOCKS5_REP_HOST_UNREACHABLE,
     CONVERT_ERROR_UNREACHABLE},
    {ENOPROTOOPT, 3, 2, false, false, OUTCOME_UNREACHABLE, 2, SOCKS5_REP_GENERAL,
     CONVERT_ERROR_UNREACHABLE},
    {ENETUNREACH, 3, 9, false, false, OUTCOME_UNREACHABLE, 9, SOCKS5_REP_NET_UNREACHABLE,
     CONVERT_ERROR_UNREACHABLE},
    {EHOSTUNREACH, 3, 10, false, false, OUTCOME_UNREACHABLE, 10, SOCKS5_REP_HOST_UNREACHABLE,
     CONVERT_ERROR_UNREACHABLE},
    {EHOSTUNREACH, 3, 13, false, false, OUTCOME_UNREACHABLE, 13, SOCKS5_REP_HOST_UNREACHABLE,
     CONVERT_ERROR_UNREACHABLE},
    {EHOSTUNREACH, 3, 200, false, false, OUTCOME_UNREACHABLE, 200, SOCKS5_REP_HOST_UNREACHABLE,
     CONVERT_ERROR_UNREACHABLE},
    {ENETUNREACH, 1, 0, false, true, OUTCOME_UNREACHABLE, 0, SOCKS5_REP_NET_UNREACHABLE,
     CONVERT_ERROR_UNREACHABLE},
    {EACCES, 1, 1, false, true, OUTCOME_UNREACHABLE, 1, SOCKS5_REP_NOT_ALLOWED,
     CONVERT_ERROR_UNREACHABLE},
    {ECONNREFUSED, 1, 4, false, true, OUTCOME_UNREACHABLE, 4, SOCKS5_REP_REFUSED,
     CONVERT_ERROR_UNREACHABLE},
    {EHOSTUNREACH, 1, 200, false, true, OUTCOME_UNREACHABLE, 200, SOCKS5_REP_HOST_UNREACHABLE,
     CONVERT_ERROR_UNREACHABLE},
    {ETIMEDOUT, -1, 0, false, false, OUTCOME_CONNECT_TIMEOUT, 0, SOCKS5_REP_TTL_EXPIRED,
     CONVERT_ERROR_NETWORK_FAILURE},
    /* news about the path's MTU does not make a timeout an ICMP failure */
    {ETIMEDOUT, 3, 4, false, false, OUTCOME_CONNECT_TIMEOUT, 0, SOCKS5_REP_TTL_EXPIRED,
     CONVERT_ERROR_NETWORK_FAILURE},
    /* an ICMP type of the other family, or another type, does not count */
    {EHOSTUNREACH, 11, 0, false, false, OUTCOME_UNREACHABLE, 1, SOCKS5_REP_HOST_UNREACHABLE,
     CONVERT_ERROR_UNREACHABLE},
    {ETIMEDOUT, 3, 0, false, true, OUTCOME_CONNECT_TIMEOUT, 0, SOCKS5_REP_TTL_EXPIRED,
     CONVERT_ERROR_NETWORK_FAILURE},
    /* nor does a code that is not one octet */
    {EHOSTUNREACH, 3, 300, false, false, OUTCOME_UNREACHABLE, 1, SOCKS5_REP_HOST_UNREACHABLE,
     CONVERT_ERROR_UNREACHABLE},
    {ETIMEDOUT, 3, -1, false, false, OUTCOME_CONNECT_TIMEOUT, 0, SOCKS5_REP_TTL_EXPIRED,
     CONVERT_ERROR_NETWORK_FAILURE},
    /* no message to read, as on an MPTCP leg: the errno alone */
    {ENETUNREACH, -1, 0, false, false, OUTCOME_UNREACHABLE, 0, SOCKS5_REP_NET_UNREACHABLE,
     CONVERT_ERROR_UNREACHABLE},
    {EHOSTUNREACH, -1, 0, false, false, OUTCOME_UNREACHABLE, 1, SOCKS5_REP_HOST_UNREACHABLE,
     CONVERT_ERROR_UNREACHABLE},
    {EHOSTUNREACH, -1, 0, false, true, OUTCOME_UNREACHABLE, 3, SOCKS5_REP_HOST_UNREACHABLE,
     CONVERT_ERROR_UNREACHABLE},
    {ENOPROTOOPT, -1, 0, false, false, OUTCOME_UNREACHABLE, 2, SOCKS5_REP_GENERAL,
     CONVERT_ERROR_UNREACHABLE},
    {EACCES, -1, 0, false, true, OUTCOME_UNREACHABLE, 1, SOCKS5_REP_NOT_ALLOWED,
     CONVERT_ERROR_UNREACHABLE},
    {ENETUNREACH, -1, 0, true, false, OUTCOME_NO_ROUTE, 0, SOCKS5_REP_NET_UNREACHABLE,
     CONVERT_ERROR_NETWORK_FAILURE},
    {EHOSTUNREACH, -1, 0, true, false, OUTCOME_UNREACHABLE, 1, SOCKS5_REP_HOST_UNREACHABLE,
     CONVERT_ERROR_UNREACHABLE}, /* an "unreachable" route, or no answer to ARP */
    {EHOSTUNREACH, -1, 0, true, true, OUTCOME_UNREACHABLE, 3, SOCKS5_REP_HOST_UNREACHABLE,
     CONVERT_ERROR_UNREACHABLE},
    {ENETDOWN, -1, 0, false, false, OUTCOME_NO_ROUTE, 0, SOCKS5_REP_NET_UNREACHABLE,
     CONVERT_ERROR_NETWORK_FAILURE},
    {EACCES, -1, 0, true, false, OUTCOME_DENIED, 0, SOCKS5_REP_NOT_ALLOWED,
     CONVERT_ERROR_NOT_AUTHORIZED},
    {EPERM, -1, 0, false, false, OUTCOME_DENIED, 0, SOCKS5_REP_NOT_ALLOWED,
     CONVERT_ERROR_NOT_AUTHORIZED},
    {EMFILE, -1, 0, true, false, OUTCOME_NO_RESOURCES, 0, SOCKS5_REP_GENERAL,
     CONVERT_ERROR_RESOURCE_EXCEEDED},
    {ENFILE, -1, 0, true, false, OUTCOME_NO_RESOURCES, 0, SOCKS5_REP_GENERAL,
     CONVERT_ERROR_RESOURCE_EXCEEDED},
    {ENOMEM, -1, 0, true, false, OUTCOME_NO_RESOURCES, 0, SOCKS5_REP_GENERAL,
     CONVERT_ERROR_RESOURCE_EXCEEDED},
    {ENOBUFS, -1, 0, true, false, OUTCOME_NO_RESOURCES, 0, SOCKS5_REP_GENERAL,
     CONVERT_ERROR_RESOURCE_EXCEEDED},
    {EADDRNOTAVAIL, -1, 0, true, false, OUTCOME_NO_RESOURCES, 0, SOCKS5_REP_GENERAL,
     CONVERT_ERROR_RESOURCE_EXCEEDED},
    {EAFNOSUPPORT, -1, 0, true, false, OUTCOME_UNSUPPORTED_ADDRESS, 0, SOCKS5_REP_ADDRESS_TYPE,
     CONVERT_ERROR_MALFORMED},
    {EPROTONOSUPPORT, -1, 0, true, false, OUTCOME_UNSUPPORTED_ADDRESS, 0,
     SOCKS5_REP_ADDRESS_TYPE, CONVERT_ERROR_MALFORMED},
    {EBADF, -1, 0, true, false, OUTCOME_INTERNAL, 0, SOCKS5_REP_GENERAL,
     CONVERT_ERROR_RESOURCE_EXCEEDED},
    {0, -1, 0, false, false, OUTCOME_OK, 0, SOCKS5_REP_OK, CONVERT_ERROR_CONNECTION_RESET},
};

START_TEST(connect_errors_become_failures)
{
    struct failure f =
        failure_from_connect(connects[_i].err, connects[_i].local, connects[_i].type,
                             connects[_i].code, connects[_i].icmp6);

    ck_assert_str_eq(outcome_name(f.why), outcome_name(connects[_i].why));
    ck_assert_uint_eq(f.detail, connects[_i].detail);
    ck_assert_int_eq(failure_socks5_rep(f), connects[_i].rep);
    ck_assert_int_eq(failure_convert_code(f), connects[_i].convert);
}
END_TEST

/* The errno of an ICMP failure is the one the kernel gave. */
START_TEST(unreachable_keeps_the_kernels_errno)
{
    if (connects[_i].why != OUTCOME_UNREACHABLE || connects[_i].err == ECONNRESET)
        return;
    struct failure f =
        failure_from_connect(connects[_i].err, connects[_i].local, connects[_i].type,
                             connects[_i].code, connects[_i].icmp6);

    ck_assert_int_eq(failure_errno(f), connects[_i].err);
}
END_TEST

START_TEST(socks5_replies_become_errnos)
{
    static const int errnos[] = {0,           ECONNREFUSED, EACCES,
                                 ENETUNREACH, EHOSTUNREACH, ECONNREFUSED,
                                 ETIMEDOUT,   EOPNOTSUPP,   EAFNOSUPPORT};

    for (unsigned rep = 0; rep < sizeof errnos / sizeof errnos[0]; rep++)
        ck_assert_int_eq(socks5_rep_errno((uint8_t)rep), errnos[rep]);
    for (unsigned rep = 9; rep <= 0xFF; rep++)
        ck_assert_int_eq(socks5_rep_errno((uint8_t)rep), ECONNREFUSED);
}
END_TEST

START_TEST(convert_errors_become_errnos)
{
    ck_assert_int_eq(convert_error_errno(0, 1), EPROTO);
    ck_assert_int_eq(convert_error_errno(1, 0), EPROTO);
    ck_assert_int_eq(convert_error_errno(2, 0), EPROTO);
    ck_assert_int_eq(convert_error_errno(3, 0), EACCES);
    ck_assert_int_eq(convert_error_errno(32, 0), EACCES);
    ck_assert_int_eq(convert_error_errno(33, 29), EOPNOTSUPP);
    ck_assert_int_eq(convert_error_errno(64, 60), EAGAIN);
    ck_assert_int_eq(convert_error_errno(65, 0), ENETUNREACH);
    ck_assert_int_eq(convert_error_errno(96, 0), ECONNREFUSED);
    ck_assert_int_eq(convert_error_errno(97, 0), ENETUNREACH);
    ck_assert_int_eq(convert_error_errno(97, 1), EHOSTUNREACH);
    ck_assert_int_eq(convert_error_errno(97, 2), ENOPROTOOPT);
    ck_assert_int_eq(convert_error_errno(97, 3), ECONNREFUSED);
    ck_assert_int_eq(convert_error_errno(97, 9), ENETUNREACH);
    ck_assert_int_eq(convert_error_errno(97, 13), EHOSTUNREACH);
    ck_assert_int_eq(convert_error_errno(97, 255), EHOSTUNREACH);
    ck_assert_int_eq(convert_error_errno(200, 0), EPROTO);
    for (unsigned code = 0; code <= 0xFF; code++) /* no error looks like success */
        ck_assert_int_ne(convert_error_errno((uint8_t)code, 0), 0);
}
END_TEST

int main(void)
{
    Suite *s = suite_create("outcome");
    TCase *tc = tcase_create("outcome");

    tcase_add_test(tc, every_outcome_has_its_words);
    tcase_add_test(tc, every_reason_and_reject_has_its_word);
    tcase_add_test(tc, values_outside_the_tables_have_words_too);
    tcase_add_test(tc, the_more_telling_failure_wins);
    tcase_add_test(tc, the_first_wins_when_they_rank_alike);
    tcase_add_loop_test(tc, outcomes_have_their_codes_in_every_dialect, 0,
                        sizeof codes / sizeof codes[0]);
    tcase_add_loop_test(tc, connect_errors_become_failures, 0,
                        sizeof connects / sizeof connects[0]);
    tcase_add_loop_test(tc, unreachable_keeps_the_kernels_errno, 0,
                        sizeof connects / sizeof connects[0]);
    tcase_add_test(tc, socks5_replies_become_errnos);
    tcase_add_test(tc, convert_errors_become_errnos);
    suite_add_tcase(s, tc);
    return runner_main(s);
}
