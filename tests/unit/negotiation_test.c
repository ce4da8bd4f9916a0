/* SPDX-License-Identifier: MIT */
/* What a session says before its relay, in pieces and in refusals. */
#include "engineplay.h"
#include "runner.h"
#include <errno.h>
#include <string.h>

static struct enginebench b;

static void hear(int fd, const void *want, size_t len)
{
    uint8_t got[256];

    ck_assert_uint_le(len, sizeof got);
    ck_assert_uint_eq(enginebench_recv(&b, fd, got, len), len);
    ck_assert_int_eq(memcmp(got, want, len), 0);
}

static void end(int fd)
{
    rawnet_close(fd);
    enginebench_until_idle(&b);
    enginebench_end(&b);
}

START_TEST(octet_by_octet_is_the_same_as_at_once)
{
    enum engineplay_kind k = (enum engineplay_kind)_i;
    struct engineplay p;

    engineplay_start(&b, k);
    engineplay_begin(&p, &b, k);
    ck_assert_uint_ge(p.flights, 1);
    while (p.flown < p.flights && !p.over) {
        unsigned flown = p.flown;
        size_t len = p.flight_len[flown];
        for (size_t i = 0; i + 1 < len; i++) { /* the step sends the last one */
            rawnet_send_all(p.client, p.flight[flown] + i, 1);
            poller_run(&b.worker->poller, UV_RUN_NOWAIT);
        }
        p.flight[flown][0] = p.flight[flown][len - 1];
        p.flight_len[flown] = 1;
        for (int i = 0; i < ENGINEBENCH_TURNS && p.flown == flown && !p.over; i++) {
            engineplay_step(&p);
            enginebench_turn(&b);
        }
    }
    for (int i = 0; i < ENGINEBENCH_TURNS && !p.over; i++) {
        engineplay_step(&p);
        enginebench_turn(&b);
    }
    ck_assert_msg(p.complete, "%s", engineplay_name(k));
    engineplay_end(&p);
    enginebench_until_idle(&b);
    enginebench_end(&b);
}
END_TEST

START_TEST(a_wrong_password_is_told_and_counted)
{
    static const uint8_t opening[] = {5, 1, 2, 1, 5, 'a', 'l', 'i', 'c', 'e', 2, 'n', 'o'};

    engineplay_start(&b, ENGINEPLAY_PASSWORD);
    int fd = rawnet_connect(b.port, false);
    rawnet_send_all(fd, opening, sizeof opening);
    hear(fd, "\5\2\1\1", 4);
    enginebench_until_end(&b, fd, 0);
    ck_assert_uint_eq(enginebench_stat(&b, STAT_AUTH_BAD_CREDENTIALS), 1);
    end(fd);
}
END_TEST

/* RFC 8803 s6.2.5: errors are rate-limited; in excess the connection is just reset. */
START_TEST(convert_errors_in_excess_are_not_told)
{
    enginebench_start(&b, "{\"limits\": {\"errors_per_second\": 1}}");
    ck_assert(engineplay_run(&b, ENGINEPLAY_MALFORMED));
    enginebench_until_idle(&b);
    ck_assert(!engineplay_run(&b, ENGINEPLAY_MALFORMED));
    enginebench_until_idle(&b);
    ck_assert_uint_eq(enginebench_stat(&b, STAT_ERRORS_SUPPRESSED), 1);
    enginebench_end(&b);
}
END_TEST

/* RFC 8803 s9.3: connects under way are bounded per source. */
START_TEST(connects_under_way_are_bounded_per_source)
{
    uint8_t opening[3 + ENGINEBENCH_REQUEST_LEN] = {5, 1, 0}, answer[12];
    int filler;
    uint16_t port;

    enginebench_start(&b, "{\"limits\": {\"connects_per_source\": 1}}");
    int listener = rawnet_listen_full(&port, &filler);
    enginebench_request(opening + 3, port);
    int first = rawnet_connect(b.port, false), second = rawnet_connect(b.port, false);
    rawnet_send_all(first, opening, sizeof opening);
    enginebench_until_state(&b, SESSION_CONNECT);
    rawnet_send_all(second, opening, sizeof opening);
    ck_assert_uint_eq(enginebench_recv(&b, second, answer, sizeof answer), sizeof answer);
    ck_assert_uint_eq(answer[3], SOCKS5_REP_GENERAL);
    rawnet_reset(first);
    rawnet_close(filler);
    rawnet_close(listener);
    end(second);
}
END_TEST

START_TEST(a_client_that_ends_or_resets_before_its_request_is_let_go)
{
    enginebench_start(&b, NULL);
    int fd = rawnet_connect(b.port, false);
    rawnet_send_all(fd, "\5", 1);
    enginebench_until_state(&b, SESSION_NEGOTIATE);
    if (_i == 0) {
        rawnet_shutdown(fd);
        enginebench_until_idle(&b);
        rawnet_close(fd);
    } else {
        rawnet_reset(fd);
        enginebench_until_idle(&b);
    }
    ck_assert_uint_eq(
        enginebench_outcome(&b, _i == 0 ? OUTCOME_CLIENT_EOF : OUTCOME_CLIENT_RESET), 1);
    enginebench_end(&b);
}
END_TEST

int main(void)
{
    if (!rawnet_own_namespace()) {
        (void)fprintf(stderr, "negotiation: skipped, no network namespace can be made here\n");
        return 77;
    }
    Suite *s = suite_create("negotiation");
    TCase *c = tcase_create("negotiation");

    tcase_set_timeout(c, 60);
    tcase_add_loop_test(c, octet_by_octet_is_the_same_as_at_once, 0, ENGINEPLAY_COUNT);
    tcase_add_test(c, a_wrong_password_is_told_and_counted);
    tcase_add_test(c, convert_errors_in_excess_are_not_told);
    tcase_add_test(c, connects_under_way_are_bounded_per_source);
    tcase_add_loop_test(c, a_client_that_ends_or_resets_before_its_request_is_let_go, 0, 2);
    suite_add_tcase(s, c);
    return runner_main(s);
}
