/* SPDX-License-Identifier: MIT */
#include "probe.h"
#include "probe_dialogue.h"
#include "report.h"
#include "runner.h"
#include <errno.h>
#include <poll.h>
#include <signal.h>
#include <string.h>
#include <sys/prctl.h>
#include <sys/wait.h>
#include <unistd.h>

static struct settings defaults(void)
{
    struct settings s;

    settings_default(&s);
    s.connect_ms = 5000;
    return s;
}

/* ---- without a network ---- */

static struct probe_dialogue begun(const struct settings *s, enum protocol dialect,
                                   const struct target *t, struct probe_result *r)
{
    struct probe_dialogue d = {.out_len = 0};

    *r = (struct probe_result){.verdict = PROBE_UNREACHED};
    ck_assert(probe_begin(&d, s, dialect, t, r));
    return d;
}

/* What is said must be `said`; every proper prefix of `answer` waits, all of it is `verdict`.
 */
static void assert_dialogue(const struct settings *s, enum protocol dialect, struct span said,
                            struct span answer, enum probe_verdict verdict, int error)
{
    struct probe_result r;
    struct probe_dialogue d = begun(s, dialect, NULL, &r);
    size_t consumed;

    ck_assert(span_equal(probe_output(&d), said));
    probe_sent(&d, 1);
    ck_assert_uint_eq(probe_output(&d).len, said.len - 1);
    probe_sent(&d, said.len - 1);
    ck_assert_uint_eq(probe_output(&d).len, 0);
    for (size_t n = 0; n < answer.len; n++) {
        uint8_t *copy = malloc(n + 1);

        ck_assert_ptr_nonnull(copy);
        memcpy(copy, answer.ptr, n);
        ck_assert_int_eq(probe_input(&d, span_of(copy, n), &consumed, &r), PROBE_WAIT);
        free(copy);
    }
    ck_assert_int_eq(probe_input(&d, answer, &consumed, &r), PROBE_OVER);
    ck_assert_int_eq(r.verdict, verdict);
    ck_assert_int_eq(r.error, error);
}
#define OCTETS(...) \
    span_of((const uint8_t[]){__VA_ARGS__}, sizeof(const uint8_t[]){__VA_ARGS__})

START_TEST(mp_convert_is_asked_with_an_element_without_address)
{
    struct settings s = defaults();
    struct span element = OCTETS(0xfa, 0xa8, 0xfa, 0xa8, 0x00, 0x04, 0x00, 0x01);
    struct probe_result r;
    struct probe_dialogue d = begun(&s, PROTOCOL_MP_CONVERT, NULL, &r);

    ck_assert_uint_eq(probe_output(&d).len, 8);
    ck_assert_int_eq(memcmp(probe_output(&d).ptr, element.ptr, 4), 0);
    ck_assert_uint_eq(probe_output(&d).ptr[4], 0);
    ck_assert_uint_eq(probe_output(&d).ptr[5] & 0x0f, 4); /* Length 4: no address */
    assert_dialogue(&s, PROTOCOL_MP_CONVERT, probe_output(&d), probe_output(&d), PROBE_WORKS,
                    0);
}
END_TEST

START_TEST(convert_is_asked_for_its_extensions)
{
    struct settings s = defaults();
    struct span asked = OCTETS(1, 2, 0x22, 0x63, 1, 1, 0, 0);

    /* RFC 8803 s6.2.3, s6.2.4; Error s6.2.8 */
    assert_dialogue(&s, PROTOCOL_CONVERT, asked, OCTETS(1, 2, 0x22, 0x63, 0x15, 1, 30, 0),
                    PROBE_WORKS, 0);
    assert_dialogue(&s, PROTOCOL_CONVERT, asked, OCTETS(1, 2, 0x22, 0x63, 0x1e, 1, 3, 0),
                    PROBE_REFUSED, EACCES);
}
END_TEST

START_TEST(socks5_is_asked_with_its_greeting)
{
    struct settings s = defaults();

    assert_dialogue(&s, PROTOCOL_SOCKS5, OCTETS(5, 1, 0), OCTETS(5, 0), PROBE_WORKS, 0);
    assert_dialogue(&s, PROTOCOL_SOCKS5, OCTETS(5, 1, 0), OCTETS(5, 0xff), PROBE_REFUSED,
                    EACCES);
    memcpy(s.user, "me", 3);
    s.user_len = 2;
    assert_dialogue(&s, PROTOCOL_SOCKS5, OCTETS(5, 2, 0, 2), OCTETS(5, 2), PROBE_WORKS, 0);
}
END_TEST

START_TEST(an_answer_of_another_kind_is_foreign)
{
    static const enum protocol dialects[] = {PROTOCOL_MP_CONVERT, PROTOCOL_CONVERT,
                                             PROTOCOL_SOCKS5};
    static const char http[] = "HTTP/1.1 400 Bad Request\r\n";
    struct settings s = defaults();

    for (size_t i = 0; i < 3; i++) {
        struct probe_result r;
        struct probe_dialogue d = begun(&s, dialects[i], NULL, &r);
        size_t consumed;

        ck_assert_int_eq(probe_input(&d, span_of(http, sizeof http - 1), &consumed, &r),
                         PROBE_OVER);
        ck_assert_int_eq(r.verdict, PROBE_FOREIGN);
    }
}
END_TEST

START_TEST(a_stream_that_ends_is_silent)
{
    struct settings s = defaults();
    struct probe_result r;
    struct probe_dialogue d = begun(&s, PROTOCOL_SOCKS5, NULL, &r);

    probe_closed(&d, 0, &r);
    ck_assert_int_eq(r.verdict, PROBE_SILENT);
    d = begun(&s, PROTOCOL_SOCKS5, NULL, &r);
    probe_closed(&d, ECONNRESET, &r);
    ck_assert_int_eq(r.verdict, PROBE_SILENT);
    ck_assert_int_eq(r.error, ECONNRESET);
}
END_TEST

START_TEST(only_mp_convert_says_no_by_closing)
{
    static const enum protocol dialects[] = {PROTOCOL_CONVERT, PROTOCOL_SOCKS5,
                                             PROTOCOL_MP_CONVERT};
    static const int errors[] = {0, ECONNRESET};
    struct settings s = defaults();
    struct target t;
    struct addr a;

    ck_assert(addr_parse("192.0.2.7:80", &a));
    t = target_from_addr(&a);
    for (size_t i = 0; i < 6; i++) {
        bool says_no = dialects[i / 2] == PROTOCOL_MP_CONVERT;
        struct probe_result r;
        struct probe_dialogue d = begun(&s, dialects[i / 2], &t, &r);

        probe_sent(&d, probe_output(&d).len);
        probe_closed(&d, errors[i % 2], &r);
        ck_assert_int_eq(r.verdict, says_no ? PROBE_REFUSED : PROBE_SILENT);
        ck_assert_int_eq(r.error, says_no ? ECONNREFUSED : errors[i % 2]);
    }
}
END_TEST

START_TEST(a_target_makes_it_a_whole_request)
{
    struct settings s = defaults();
    struct target t, name;
    struct addr a;
    struct probe_result r;
    size_t consumed;

    ck_assert(addr_parse("192.0.2.7:80", &a));
    t = target_from_addr(&a);
    struct probe_dialogue d = begun(&s, PROTOCOL_SOCKS5, &t, &r);
    ck_assert_uint_gt(probe_output(&d).len, 3); /* pipelined: nothing has to be asked for */
    probe_sent(&d, probe_output(&d).len);
    ck_assert_int_eq(probe_input(&d, OCTETS(5, 0, 5, 5, 0, 1, 0, 0, 0, 0, 0, 0), &consumed, &r),
                     PROBE_OVER);
    ck_assert_int_eq(r.verdict, PROBE_REFUSED);
    ck_assert_int_eq(r.error, ECONNREFUSED);

    d = begun(&s, PROTOCOL_MP_CONVERT, &t, &r); /* S10: it refuses by closing */
    probe_sent(&d, probe_output(&d).len);
    probe_closed(&d, 0, &r);
    ck_assert_int_eq(r.verdict, PROBE_REFUSED);
    ck_assert_int_eq(r.error, ECONNREFUSED);

    ck_assert(target_from_host(span_of("example.org", 11), 80, &name));
    ck_assert(!probe_begin(&d, &s, PROTOCOL_CONVERT, &name, &r));
    ck_assert_int_eq(r.verdict, PROBE_REFUSED);
    ck_assert_int_eq(r.error, EAFNOSUPPORT);
}
END_TEST

/* ---- over loopback ---- */

/* A server that answers one connection with `answer` after `wanted` octets, and ends. */
static struct addr serve(size_t wanted, struct span answer, bool lingers, pid_t *child)
{
    struct sockaddr_in at = {.sin_family = AF_INET,
                             .sin_addr = {.s_addr = htonl(INADDR_LOOPBACK)}};
    socklen_t len = sizeof at;
    struct addr a;
    int fd = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);

    ck_assert_int_ge(fd, 0);
    ck_assert_int_eq(bind(fd, (struct sockaddr *)&at, len), 0);
    ck_assert_int_eq(listen(fd, 4), 0);
    ck_assert_int_eq(getsockname(fd, (struct sockaddr *)&at, &len), 0);
    ck_assert(addr_from_sockaddr((struct sockaddr *)&at, len, &a));
    *child = fork();
    ck_assert_int_ge(*child, 0);
    if (*child == 0) {
        uint8_t in[64];
        size_t have = 0;
        int client = accept(fd, NULL, NULL);

        (void)prctl(PR_SET_PDEATHSIG, SIGKILL);
        while (have < wanted) {
            ssize_t n = recv(client, in, sizeof in, 0);

            if (n <= 0)
                _exit(1);
            have += (size_t)n;
        }
        (void)send(client, answer.ptr, answer.len, MSG_NOSIGNAL);
        if (lingers)
            (void)pause();
        _exit(0);
    }
    ck_assert_int_eq(close(fd), 0);
    return a;
}

static void reap(pid_t child)
{
    (void)kill(child, SIGKILL);
    ck_assert_int_eq(waitpid(child, NULL, 0), child);
}

START_TEST(a_closed_port_is_unreached)
{
    struct settings s = defaults();
    pid_t child;
    struct addr a = serve(0, span_of(NULL, 0), false, &child);
    struct probe_result r;

    reap(child); /* and with it the port */
    probe_once(&s, &a, PROTOCOL_SOCKS5, NULL, &r);
    ck_assert_int_eq(r.verdict, PROBE_UNREACHED);
    ck_assert_int_eq(r.error, ECONNREFUSED);
    ck_assert(r.connect_ms < 0 && r.answer_ms < 0);
}
END_TEST

START_TEST(an_answer_is_measured)
{
    static const enum settings_tfo ways[] = {SETTINGS_TFO_AUTO, SETTINGS_TFO_OFF};
    struct settings s = defaults();

    for (size_t i = 0; i < 2; i++) {
        struct probe_result r;
        pid_t child;
        struct addr a = serve(3, OCTETS(5, 0), false, &child);

        s.tfo = ways[i];
        probe_once(&s, &a, PROTOCOL_SOCKS5, NULL, &r);
        reap(child);
        ck_assert_int_eq(r.verdict, PROBE_WORKS);
        ck_assert(r.connect_ms >= 0 && r.answer_ms >= r.connect_ms);
        ck_assert(!r.mptcp);     /* it is a TCP server */
        ck_assert(!r.tfo_taken); /* and takes no data in SYNs */
        ck_assert(i == 0 || !r.tfo_asked);
    }
}
END_TEST

START_TEST(silence_ends_with_the_time_limit)
{
    struct settings s = defaults();
    struct probe_result r;
    pid_t child;
    struct addr a = serve(3, OCTETS(5), true, &child); /* half an answer */

    s.connect_ms = 100;
    probe_once(&s, &a, PROTOCOL_SOCKS5, NULL, &r);
    reap(child);
    ck_assert_int_eq(r.verdict, PROBE_SILENT);
    ck_assert_int_eq(r.error, ETIMEDOUT);
    ck_assert(r.answer_ms < 0);
}
END_TEST

/* ---- what is printed ---- */

static char *printed(bool json)
{
    struct report_probe rows[2] = {{.dialect = PROTOCOL_CONVERT,
                                    .result = {.verdict = PROBE_WORKS,
                                               .tfo_asked = true,
                                               .tfo_taken = true,
                                               .mptcp = true,
                                               .connect_ms = 1.25,
                                               .exact = PROXIES_EXACT_YES,
                                               .answer_ms = 2.5,
                                               .detail = "supports MPTCP"}},
                                   {.dialect = PROTOCOL_SOCKS5,
                                    .result = {.verdict = PROBE_UNREACHED,
                                               .error = ECONNREFUSED,
                                               .connect_ms = -1,
                                               .answer_ms = -1}}};
    char *text = NULL;
    size_t len = 0;
    FILE *to = open_memstream(&text, &len);

    ck_assert_ptr_nonnull(to);
    ck_assert(addr_parse("192.0.2.1:1080", &rows[0].proxy));
    ck_assert(addr_parse("[2001:db8::1]:1080", &rows[1].proxy));
    report_probes(rows, 2, json, to);
    ck_assert_int_eq(fclose(to), 0);
    return text;
}

START_TEST(a_table_has_a_line_for_each_dialect)
{
    char *text = printed(false);

    ck_assert_ptr_nonnull(strstr(
        text,
        "192.0.2.1:1080           convert     works      yes   yes   yes        1.2      2.5"));
    ck_assert_ptr_nonnull(strstr(text, "supports MPTCP"));
    ck_assert_ptr_nonnull(strstr(
        text, "[2001:db8::1]:1080       socks5      unreached  -     -     -            -"));
    ck_assert_ptr_nonnull(strstr(text, strerror(ECONNREFUSED)));
    free(text);
}
END_TEST

START_TEST(json_says_the_same)
{
    char *text = printed(true);

    ck_assert_str_eq(
        text, "[\n"
              "  {\"proxy\": \"192.0.2.1:1080\", \"dialect\": \"convert\", "
              "\"verdict\": \"works\", \"syn_data\": true, \"mptcp\": true, "
              "\"connect_ms\": 1.2, \"exact\": true, \"answer_ms\": 2.5, \"error\": null, "
              "\"detail\": \"supports MPTCP\"},\n"
              "  {\"proxy\": \"[2001:db8::1]:1080\", \"dialect\": \"socks5\", "
              "\"verdict\": \"unreached\", \"syn_data\": null, \"mptcp\": null, "
              "\"connect_ms\": null, \"exact\": null, \"answer_ms\": null, "
              "\"error\": \"ECONNREFUSED\", \"detail\": \"\"}\n"
              "]\n");
    free(text);
}
END_TEST

/* What report_stats() says of the counters. */
static char *stats_of(const struct shared *s)
{
    char *text = NULL;
    size_t len = 0;
    FILE *to = open_memstream(&text, &len);

    ck_assert_ptr_nonnull(to);
    report_stats(s, to);
    ck_assert_int_eq(fclose(to), 0);
    return text;
}

START_TEST(a_mean_below_the_clocks_grain_is_not_made_up)
{
    struct shared *s = shared_map(NULL);

    ck_assert_ptr_nonnull(s);
    shared_add(s, SHARED_SUCCEEDED, 2);
    shared_add(s, SHARED_ANSWER_MS, 1);
    char *text = stats_of(s);
    ck_assert_ptr_nonnull(strstr(text, "mpconvert:   under 1  ms for a connection"));
    free(text);
}
END_TEST

START_TEST(counters_that_are_zero_are_not_printed)
{
    struct shared *s = shared_map(NULL);

    ck_assert_ptr_nonnull(s);
    shared_add(s, SHARED_CONNECTS, 3);
    shared_add(s, SHARED_SUCCEEDED, 2);
    shared_add(s, SHARED_ANSWER_MS, 5);
    char *text = stats_of(s);
    ck_assert_str_eq(text, "mpconvert:         3  connections redirected\n"
                           "mpconvert:         2  connected\n"
                           "mpconvert:       2.5  ms for a connection, on average\n");
    free(text);
}
END_TEST

int main(void)
{
    Suite *s = suite_create("probe");
    TCase *c = tcase_create("all");

    tcase_add_test(c, mp_convert_is_asked_with_an_element_without_address);
    tcase_add_test(c, convert_is_asked_for_its_extensions);
    tcase_add_test(c, socks5_is_asked_with_its_greeting);
    tcase_add_test(c, an_answer_of_another_kind_is_foreign);
    tcase_add_test(c, a_stream_that_ends_is_silent);
    tcase_add_test(c, only_mp_convert_says_no_by_closing);
    tcase_add_test(c, a_target_makes_it_a_whole_request);
    tcase_add_test(c, a_closed_port_is_unreached);
    tcase_add_test(c, an_answer_is_measured);
    tcase_add_test(c, silence_ends_with_the_time_limit);
    tcase_add_test(c, a_table_has_a_line_for_each_dialect);
    tcase_add_test(c, json_says_the_same);
    tcase_add_test(c, a_mean_below_the_clocks_grain_is_not_made_up);
    tcase_add_test(c, counters_that_are_zero_are_not_printed);
    suite_add_tcase(s, c);
    return runner_main(s);
}
