/* SPDX-License-Identifier: MIT */
#include "dial.h"
#include "runner.h"
#include "scripted.h"
#include <sys/wait.h>

/* One dial and the concentrator's end of it, both driven by the test. */
struct scene {
    struct dial dial;
    struct dial_options options;
    struct target target;
    int listener, peer, fd;
    uint8_t request[CONVERT_MESSAGE_MAX];
    size_t request_len;
};

static const uint8_t target_ip[4] = {192, 0, 2, 7};
static const char after[] = "220 the program's";

static void set_up(struct scene *s, enum protocol dialect, bool mptcp, bool tfo,
                   bool listener_tfo)
{
    struct addr to = addr_ipv4(target_ip, 80);

    memset(s, 0, sizeof *s);
    s->peer = -1;
    s->target = target_from_addr(&to);
    s->options.request.dialect = dialect;
    s->options.tfo = tfo;
    s->options.mptcp = mptcp;
    s->listener = scripted_listen(AF_INET, mptcp, listener_tfo, &s->options.proxy);
    s->fd = scripted_socket(AF_INET, mptcp);
}

static void take_down(struct scene *s)
{
    if (s->peer >= 0)
        ck_assert_int_eq(close(s->peer), 0);
    ck_assert_int_eq(close(s->listener), 0);
    ck_assert_int_eq(close(s->fd), 0);
}

static void start(struct scene *s)
{
    (void)dial_start(&s->dial, s->fd, &s->options, &s->target);
    ck_assert_int_eq(s->dial.fd, s->fd);
}

/* What a program's event loop does. */
static enum dial_step run(struct scene *s)
{
    while (s->dial.step == DIAL_WAIT) {
        ck_assert(scripted_ready(s->fd, s->dial.events, SCRIPTED_PATIENCE_MS));
        (void)dial_run(&s->dial);
    }
    return s->dial.step;
}

/* The octets that each dialect's first flight has, without authentication. */
static size_t first_flight(const struct scene *s)
{
    if (s->options.request.dialect == PROTOCOL_SOCKS5)
        return s->options.request.pipeline ? 13 : 3;
    return s->options.request.dialect == PROTOCOL_MP_CONVERT ? 16 : 24;
}

/* Until the concentrator has the first flight, and the client waits for its answer. */
static void meet(struct scene *s)
{
    start(s);
    s->peer = scripted_accept(s->listener);
    while (s->dial.step == DIAL_WAIT && s->dial.events == POLLOUT) {
        ck_assert(scripted_ready(s->fd, POLLOUT, SCRIPTED_PATIENCE_MS));
        (void)dial_run(&s->dial);
    }
    ck_assert_int_eq(s->dial.step, DIAL_WAIT);
    ck_assert_int_eq(s->dial.events, POLLIN);
    ck_assert(s->dial.reached);
    s->request_len = first_flight(s);
    scripted_request(s->peer, s->request, s->request_len);
}

/* A yes to the request, as many octets as it takes. */
static size_t answer_of(const struct scene *s, uint8_t out[CONVERT_MESSAGE_MAX])
{
    struct convert_synack synack = {.mss = 1460, .sack = true, .mptcp = true};
    uint8_t options[40];
    struct wr o = {.buf = options, .cap = sizeof options};
    struct wr w = {.buf = out, .cap = CONVERT_MESSAGE_MAX};
    struct addr bound = addr_ipv4(target_ip, 9);

    if (s->options.request.dialect == PROTOCOL_MP_CONVERT) {
        memcpy(out, s->request, s->request_len);
        return s->request_len;
    }
    if (s->options.request.dialect == PROTOCOL_CONVERT) {
        convert_encode_synack_options(&o, &synack);
        convert_encode_answer(&w, wr_done(&o), span_of("\x1e\x22", 2));
        return wr_done(&w).len;
    }
    socks5_encode_method(&w, SOCKS5_METHOD_NONE);
    socks5_encode_reply(&w, SOCKS5_REP_OK, &bound);
    return wr_done(&w).len;
}

/* The program's octets, all of them, and nothing before. */
static void expect_stream(struct scene *s)
{
    char got[sizeof after];

    scripted_read(s->fd, got, sizeof got);
    ck_assert_mem_eq(got, after, sizeof after);
    scripted_send(s->fd, "hello", 5);
    scripted_request(s->peer, (uint8_t *)got, 5);
    ck_assert_mem_eq(got, "hello", 5);
}

static const enum protocol dialects[] = {PROTOCOL_MP_CONVERT, PROTOCOL_CONVERT,
                                         PROTOCOL_SOCKS5};

/* _i: dialect, MPTCP, TFO */
static void set_up_i(struct scene *s, int i)
{
    set_up(s, dialects[i % 3], (i / 3) % 2 != 0, (i / 6) % 2 != 0, (i / 6) % 2 != 0);
    s->options.request.pipeline = s->options.request.dialect == PROTOCOL_SOCKS5;
}

START_TEST(every_split_of_the_answer_leaves_the_stream_to_the_program)
{
    uint8_t answer[CONVERT_MESSAGE_MAX];
    size_t len = 1;

    for (size_t cut = 0; cut <= len; cut++) {
        struct scene s;
        set_up_i(&s, _i);
        meet(&s);
        len = answer_of(&s, answer);
        if (cut > 0 && cut < len) {
            scripted_send(s.peer, answer, cut);
            ck_assert(scripted_ready(s.fd, POLLIN, SCRIPTED_PATIENCE_MS));
            ck_assert_int_eq(dial_run(&s.dial), DIAL_WAIT);
            ck_assert_int_eq(s.dial.events, POLLIN);
            ck_assert(!scripted_ready(s.fd, POLLIN, 0)); /* poll() does not spin */
        }
        size_t from = cut < len ? cut : 0;
        memcpy(answer + len, after, sizeof after);
        scripted_send(s.peer, answer + from, len - from + sizeof after);
        ck_assert_int_eq(run(&s), DIAL_READY);
        expect_stream(&s);
        take_down(&s);
    }
}
END_TEST

START_TEST(an_answer_octet_by_octet_is_put_together)
{
    uint8_t answer[CONVERT_MESSAGE_MAX];
    struct scene s;

    set_up_i(&s, _i);
    meet(&s);
    size_t len = answer_of(&s, answer);
    for (size_t i = 0; i + 1 < len; i++) {
        scripted_send(s.peer, answer + i, 1);
        ck_assert(scripted_ready(s.fd, POLLIN, SCRIPTED_PATIENCE_MS));
        ck_assert_int_eq(dial_run(&s.dial), DIAL_WAIT);
    }
    scripted_send(s.peer, answer + len - 1, 1);
    ck_assert_int_eq(run(&s), DIAL_READY);
    scripted_send(s.peer, after, sizeof after);
    expect_stream(&s);
    take_down(&s);
}
END_TEST

START_TEST(socks5_in_several_flights)
{
    uint8_t greeting[] = {5, 2, 0, 2}, login[] = {1, 1, 'u', 2, 'p', 'w'}, got[64];
    uint8_t request[] = {5, 1, 0, 1, 192, 0, 2, 7, 0, 80};
    struct scene s;

    set_up(&s, PROTOCOL_SOCKS5, _i % 2 != 0, _i / 2 != 0, _i / 2 != 0);
    s.options.request.user = span_of("u", 1);
    s.options.request.pass = span_of("pw", 2);
    start(&s);
    s.peer = scripted_accept(s.listener);
    (void)dial_run(&s.dial);
    scripted_request(s.peer, got, sizeof greeting);
    ck_assert_mem_eq(got, greeting, sizeof greeting);
    scripted_send(s.peer, "\5\2", 2);
    ck_assert(scripted_ready(s.fd, POLLIN, SCRIPTED_PATIENCE_MS));
    ck_assert_int_eq(dial_run(&s.dial), DIAL_WAIT);
    scripted_request(s.peer, got, sizeof login);
    ck_assert_mem_eq(got, login, sizeof login);
    scripted_send(s.peer, "\1\0", 2);
    ck_assert(scripted_ready(s.fd, POLLIN, SCRIPTED_PATIENCE_MS));
    ck_assert_int_eq(dial_run(&s.dial), DIAL_WAIT);
    scripted_request(s.peer, got, sizeof request);
    ck_assert_mem_eq(got, request, sizeof request);
    scripted_send(s.peer, "\5\0\0\1\0\0\0\0\0\0", 10);
    scripted_send(s.peer, after, sizeof after);
    ck_assert_int_eq(run(&s), DIAL_READY);
    expect_stream(&s);
    take_down(&s);
}
END_TEST

START_TEST(answers_that_come_before_their_questions_are_not_lost)
{
    uint8_t answer[CONVERT_MESSAGE_MAX], got[16];
    struct scene s;

    set_up(&s, PROTOCOL_SOCKS5, _i != 0, false, false);
    meet(&s);
    size_t len = answer_of(&s, answer);
    memcpy(answer + len, after, sizeof after);
    scripted_send(s.peer, answer, len + sizeof after);
    ck_assert_int_eq(run(&s), DIAL_READY);
    scripted_request(s.peer, got, 10);
    expect_stream(&s);
    take_down(&s);
}
END_TEST

START_TEST(a_reset_or_end_behind_the_answer_is_the_programs)
{
    uint8_t answer[CONVERT_MESSAGE_MAX];
    struct scene s;
    char octet;

    set_up_i(&s, _i);
    meet(&s);
    scripted_send(s.peer, answer, answer_of(&s, answer));
    ck_assert_int_eq(shutdown(s.peer, SHUT_WR), 0);
    ck_assert_int_eq(run(&s), DIAL_READY);
    ck_assert(scripted_ready(s.fd, POLLIN, SCRIPTED_PATIENCE_MS));
    ck_assert_int_eq(recv(s.fd, &octet, 1, 0), 0);
    take_down(&s);
}
END_TEST

/* ---- Fast Open ---- */

START_TEST(the_request_rides_in_the_syn_and_is_sent_once)
{
    uint8_t answer[CONVERT_MESSAGE_MAX];
    struct scene s;

    set_up_i(&s, 6 + _i);
    meet(&s);
    ck_assert(s.dial.tfo_asked);
    ck_assert(s.dial.tfo_taken);
    ck_assert_uint_gt(s.dial.reached_ms, 0);
    scripted_send(s.peer, answer, answer_of(&s, answer));
    scripted_send(s.peer, after, sizeof after);
    ck_assert_int_eq(run(&s), DIAL_READY);
    ck_assert_int_eq(s.dial.mptcp, s.options.mptcp);
    expect_stream(&s);
    take_down(&s);
}
END_TEST

/* T3: the kernel sends the request again, and the connection is TCP. */
START_TEST(a_listener_without_fast_open_gets_the_request_once)
{
    uint8_t answer[CONVERT_MESSAGE_MAX];
    struct scene s;

    set_up(&s, dialects[_i % 3], _i / 3 != 0, true, false);
    s.options.request.pipeline = s.options.request.dialect == PROTOCOL_SOCKS5;
    meet(&s);
    ck_assert(s.dial.tfo_asked);
    ck_assert(!s.dial.tfo_taken);
    ck_assert(!s.dial.mptcp);
    scripted_send(s.peer, answer, answer_of(&s, answer));
    scripted_send(s.peer, after, sizeof after);
    ck_assert_int_eq(run(&s), DIAL_READY);
    expect_stream(&s);
    take_down(&s);
}
END_TEST

START_TEST(without_fast_open_here_the_request_follows_the_syn)
{
    uint8_t answer[CONVERT_MESSAGE_MAX];
    struct scene s;

    ck_assert(scripted_tfo("2"));
    set_up(&s, PROTOCOL_MP_CONVERT, _i != 0, true, true);
    meet(&s);
    ck_assert(scripted_tfo("3"));
    ck_assert(!s.dial.tfo_asked);
    ck_assert(!s.dial.tfo_taken);
    ck_assert_int_eq(s.dial.mptcp, _i != 0);
    scripted_send(s.peer, answer, answer_of(&s, answer));
    ck_assert_int_eq(run(&s), DIAL_READY);
    ck_assert_int_eq(s.dial.mptcp, _i != 0);
    take_down(&s);
}
END_TEST

START_TEST(mptcp_that_was_asked_for_and_not_had_is_told)
{
    uint8_t answer[CONVERT_MESSAGE_MAX];
    struct scene s;

    set_up(&s, PROTOCOL_MP_CONVERT, false, _i != 0, _i != 0);
    s.options.mptcp = true;
    ck_assert_int_eq(close(s.fd), 0);
    s.fd = scripted_socket(AF_INET, true);
    meet(&s);
    ck_assert(s.dial.mptcp_asked);
    ck_assert(!s.dial.mptcp);
    ck_assert_int_eq(s.dial.tfo_taken, _i != 0);
    scripted_send(s.peer, answer, answer_of(&s, answer));
    ck_assert_int_eq(run(&s), DIAL_READY);
    ck_assert(!s.dial.mptcp);
    take_down(&s);
}
END_TEST

/* The program asked for TCP_FASTOPEN_CONNECT, with which a connect() sends no SYN. */
START_TEST(a_program_with_fastopen_connect_is_dialled_all_the_same)
{
    uint8_t answer[CONVERT_MESSAGE_MAX];
    struct scene s;
    int one = 1;

    set_up_i(&s, _i);
    ck_assert_int_eq(setsockopt(s.fd, IPPROTO_TCP, TCP_FASTOPEN_CONNECT, &one, sizeof one), 0);
    ck_assert_int_eq(setsockopt(s.fd, IPPROTO_TCP, TCP_FASTOPEN_NO_COOKIE, &one, sizeof one),
                     0); /* else the kernel sends a SYN, to ask for a cookie */
    meet(&s);
    ck_assert_int_eq(s.dial.tfo_taken, s.options.tfo);
    scripted_send(s.peer, answer, answer_of(&s, answer));
    ck_assert_int_eq(run(&s), DIAL_READY);
    take_down(&s);
}
END_TEST

START_TEST(the_programs_low_water_mark_does_not_hide_the_answer)
{
    uint8_t answer[CONVERT_MESSAGE_MAX];
    struct scene s;
    int lowat = 4000;
    socklen_t len = sizeof lowat;

    set_up_i(&s, _i);
    ck_assert_int_eq(setsockopt(s.fd, SOL_SOCKET, SO_RCVLOWAT, &lowat, sizeof lowat), 0);
    meet(&s);
    scripted_send(s.peer, answer, answer_of(&s, answer));
    ck_assert_int_eq(run(&s), DIAL_READY);
    lowat = 0;
    ck_assert_int_eq(getsockopt(s.fd, SOL_SOCKET, SO_RCVLOWAT, &lowat, &len), 0);
    ck_assert_int_eq(lowat, 4000);
    take_down(&s);
}
END_TEST

/* ---- failures ---- */

START_TEST(nobody_at_the_port_is_refused_and_not_reached)
{
    struct scene s;

    set_up_i(&s, _i);
    ck_assert_int_eq(close(s.listener), 0);
    start(&s);
    ck_assert_int_eq(run(&s), DIAL_FAILED);
    ck_assert_int_eq(s.dial.error, ECONNREFUSED);
    ck_assert(!s.dial.reached);
    ck_assert(!s.dial.broken);
    ck_assert(!s.dial.mptcp);
    ck_assert_int_eq(dial_run(&s.dial), DIAL_FAILED);
    s.listener = scripted_socket(AF_INET, false);
    take_down(&s);
}
END_TEST

START_TEST(no_way_to_the_concentrator_is_not_reached)
{
    struct scene s;

    set_up_i(&s, _i);
    s.options.proxy = addr_ipv4(target_ip, 1080);
    start(&s);
    ck_assert_int_eq(s.dial.step, DIAL_FAILED);
    ck_assert_int_eq(s.dial.error, ENETUNREACH);
    ck_assert(!s.dial.reached);
    take_down(&s);
}
END_TEST

START_TEST(a_request_the_dialect_cannot_carry_fails_at_once)
{
    struct scene s;

    set_up(&s, dialects[_i], true, true, true);
    ck_assert(target_from_host(span_of("host.example", 12), 80, &s.target));
    s.options.request.user = span_of("u", 1); /* without a password, for SOCKS5 */
    start(&s);
    ck_assert_int_eq(s.dial.step, DIAL_FAILED);
    ck_assert_int_eq(s.dial.error, _i == 2 ? EINVAL : EAFNOSUPPORT);
    ck_assert(!s.dial.reached);
    ck_assert(!scripted_ready(s.listener, POLLIN, 0));
    take_down(&s);
}
END_TEST

static void expect_broken(struct scene *s, int error)
{
    ck_assert_int_eq(run(s), DIAL_FAILED);
    ck_assert_int_eq(s->dial.error, error);
    ck_assert(s->dial.reached);
    ck_assert(s->dial.broken);
    take_down(s);
}

START_TEST(silence_is_waited_for)
{
    struct scene s;

    set_up_i(&s, _i);
    meet(&s);
    ck_assert_int_eq(dial_run(&s.dial), DIAL_WAIT);
    ck_assert_int_eq(s.dial.events, POLLIN);
    ck_assert(!scripted_ready(s.fd, POLLIN, 0));
    take_down(&s);
}
END_TEST

START_TEST(another_protocol_is_broken)
{
    struct scene s;

    set_up_i(&s, _i);
    meet(&s);
    scripted_send(s.peer, "HTTP/1.1 400 Bad Request\r\n\r\n", 28);
    expect_broken(&s, EPROTO);
}
END_TEST

/* Every octet that matters: the reserved bits and the padding of an echo do not. */
START_TEST(a_wrong_echo_is_broken)
{
    for (size_t i = 0; i < 16; i++) {
        struct scene s;
        set_up(&s, PROTOCOL_MP_CONVERT, _i != 0, _i != 0, _i != 0);
        meet(&s);
        if (i == 6 || i == 7 || i >= 14) {
            take_down(&s);
            continue;
        }
        s.request[i] ^= 0x40;
        scripted_send(s.peer, s.request, 16);
        expect_broken(&s, EPROTO);
    }
}
END_TEST

START_TEST(garbage_in_a_tlv_is_broken)
{
    static const uint8_t answers[][12] = {
        {1, 3, 0x22, 0x63, 0x14, 9, 0, 0, 0, 0, 0, 0},    /* longer than the message */
        {1, 3, 0x22, 0x63, 0x14, 0, 0, 0, 0, 0, 0, 0},    /* of no length */
        {1, 3, 0x22, 0x63, 0x14, 1, 0, 0, 0x14, 1, 0, 0}, /* twice */
        {1, 0, 0x22, 0x63, 0, 0, 0, 0, 0, 0, 0, 0},       /* no message at all */
    };
    struct scene s;

    set_up(&s, PROTOCOL_CONVERT, true, true, true);
    meet(&s);
    scripted_send(s.peer, answers[_i], sizeof answers[_i]);
    expect_broken(&s, EPROTO);
}
END_TEST

START_TEST(half_an_answer_and_then_the_end_is_broken)
{
    uint8_t answer[CONVERT_MESSAGE_MAX];
    struct scene s;

    set_up_i(&s, _i % 12);
    meet(&s);
    scripted_send(s.peer, answer, answer_of(&s, answer) / 2);
    ck_assert(scripted_ready(s.fd, POLLIN, SCRIPTED_PATIENCE_MS));
    ck_assert_int_eq(dial_run(&s.dial), DIAL_WAIT);
    if (_i < 12)
        ck_assert_int_eq(close(s.peer), 0);
    else
        scripted_reset(s.peer);
    s.peer = -1;
    expect_broken(&s, ECONNRESET);
}
END_TEST

/* Draft -10 s6.2: MP_CONVERT says no in this way, nobody else does. */
START_TEST(closing_without_a_word)
{
    struct scene s;

    set_up_i(&s, _i % 12);
    meet(&s);
    if (_i < 12)
        ck_assert_int_eq(close(s.peer), 0);
    else
        scripted_reset(s.peer);
    s.peer = -1;
    if (s.options.request.dialect != PROTOCOL_MP_CONVERT) {
        expect_broken(&s, ECONNRESET);
        return;
    }
    ck_assert_int_eq(run(&s), DIAL_FAILED);
    ck_assert_int_eq(s.dial.error, ECONNREFUSED);
    ck_assert(s.dial.reached);
    ck_assert(!s.dial.broken);
    take_down(&s);
}
END_TEST

/* The listener knows neither MPTCP nor Fast Open: the client falls back, and its kernel may
 * keep an end to itself that comes while the SYN is still being sent. */
START_TEST(closing_at_once_after_a_fallback)
{
    struct scene s;

    set_up(&s, dialects[_i % 3], true, true, false);
    ck_assert_int_eq(close(s.listener), 0);
    s.listener = scripted_listen(AF_INET, false, false, &s.options.proxy);
    int waits[2];
    char octet = 0;
    ck_assert_int_eq(pipe(waits), 0);
    pid_t concentrator = fork();
    ck_assert_int_ge(concentrator, 0);
    if (concentrator == 0) {
        ck_assert_int_eq(write(waits[1], &octet, 1), 1);
        s.peer = scripted_accept(s.listener);
        (void)shutdown(s.peer, SHUT_WR);
        (void)pause();
    }
    ck_assert_int_eq(read(waits[0], &octet, 1), 1);
    start(&s);
    ck_assert_int_eq(run(&s), DIAL_FAILED);
    ck_assert(s.dial.reached);
    ck_assert_int_eq(s.dial.error, s.options.request.dialect == PROTOCOL_MP_CONVERT
                                       ? ECONNREFUSED
                                       : ECONNRESET);
    ck_assert_int_eq(close(waits[0]), 0);
    ck_assert_int_eq(close(waits[1]), 0);
    ck_assert_int_eq(kill(concentrator, SIGKILL), 0);
    ck_assert_int_eq(waitpid(concentrator, NULL, 0), concentrator);
    take_down(&s);
}
END_TEST

/* All of it happened before we looked once; on loopback dial_start() is too quick for that. */
START_TEST(a_reset_before_we_looked_still_counts_as_reached)
{
    struct scene s;

    set_up(&s, PROTOCOL_MP_CONVERT, _i % 2 != 0, true, true);
    start(&s);
    s.peer = scripted_accept(s.listener);
    scripted_request(s.peer, s.request, 16);
    if (_i / 2 == 0)
        scripted_reset(s.peer);
    else
        ck_assert_int_eq(close(s.peer), 0);
    s.peer = -1;
    s.dial.connecting = true;
    s.dial.reached = false;
    ck_assert_int_eq(run(&s), DIAL_FAILED);
    ck_assert_int_eq(s.dial.error, ECONNREFUSED);
    ck_assert(s.dial.reached);
    ck_assert(!s.dial.broken);
    if (_i / 2 == 0)
        ck_assert(s.dial.gone);
    else
        ck_assert(s.dial.tfo_taken && s.dial.mptcp == s.options.mptcp);
    take_down(&s);
}
END_TEST

/* As by a middlebox: the path manager takes the address away, subflow and all. */
START_TEST(a_lost_subflow_is_noticed_and_broken)
{
    struct scene s;

    set_up(&s, dialects[_i % 3], true, _i / 3 != 0, _i / 3 != 0);
    meet(&s);
    /* NOLINTNEXTLINE(cert-env33-c): a constant, in a namespace of our own */
    if (system("ip mptcp endpoint delete id 0 127.0.0.1 2>/dev/null") == 0) {
        (void)dial_run(&s.dial);
        ck_assert_int_eq(s.dial.step, DIAL_FAILED);
        ck_assert(s.dial.broken);
    } else {
        (void)puts("not tested: a lost subflow, which takes ip-mptcp(8)");
    }
    take_down(&s);
}
END_TEST

START_TEST(what_socks5_refuses_with_becomes_an_errno)
{
    static const int errors[] = {ECONNREFUSED, EACCES,    ENETUNREACH, EHOSTUNREACH,
                                 ECONNREFUSED, ETIMEDOUT, EOPNOTSUPP,  EAFNOSUPPORT};
    uint8_t reply[] = {5, 0, 5, (uint8_t)(_i + 1), 0, 1, 0, 0, 0, 0, 0, 0};
    struct scene s;

    set_up(&s, PROTOCOL_SOCKS5, true, true, true);
    s.options.request.pipeline = true;
    meet(&s);
    scripted_send(s.peer, reply, sizeof reply);
    ck_assert_int_eq(run(&s), DIAL_FAILED);
    ck_assert_int_eq(s.dial.error, errors[_i]);
    ck_assert(s.dial.reached);
    ck_assert(!s.dial.broken);
    take_down(&s);
}
END_TEST

START_TEST(no_acceptable_method_and_a_wrong_password_are_eacces)
{
    struct scene s;
    uint8_t got[16];

    set_up(&s, PROTOCOL_SOCKS5, true, true, true);
    s.options.request.user = span_of("u", 1);
    s.options.request.pass = span_of("p", 1);
    start(&s);
    s.peer = scripted_accept(s.listener);
    scripted_read(s.peer, got, 4);
    scripted_send(s.peer, _i == 0 ? "\5\xff" : "\5\2", 2);
    if (_i == 1) {
        while (s.dial.step == DIAL_WAIT && !scripted_ready(s.peer, POLLIN, 0)) {
            ck_assert(scripted_ready(s.fd, s.dial.events, SCRIPTED_PATIENCE_MS));
            (void)dial_run(&s.dial);
        }
        scripted_read(s.peer, got, 5);
        scripted_send(s.peer, "\1\1", 2);
    }
    ck_assert_int_eq(run(&s), DIAL_FAILED);
    ck_assert_int_eq(s.dial.error, EACCES);
    ck_assert(!s.dial.broken);
    take_down(&s);
}
END_TEST

START_TEST(what_convert_refuses_with_becomes_an_errno)
{
    static const struct {
        enum convert_error code;
        int error;
    } rows[] = {
        {CONVERT_ERROR_UNSUPPORTED_VERSION, EPROTO},
        {CONVERT_ERROR_MALFORMED, EPROTO},
        {CONVERT_ERROR_UNSUPPORTED_MESSAGE, EPROTO},
        {CONVERT_ERROR_MISSING_COOKIE, EACCES},
        {CONVERT_ERROR_NOT_AUTHORIZED, EACCES},
        {CONVERT_ERROR_UNSUPPORTED_OPTION, EOPNOTSUPP},
        {CONVERT_ERROR_RESOURCE_EXCEEDED, EAGAIN},
        {CONVERT_ERROR_NETWORK_FAILURE, ENETUNREACH},
        {CONVERT_ERROR_CONNECTION_RESET, ECONNREFUSED},
        {CONVERT_ERROR_UNREACHABLE, EHOSTUNREACH},
    };
    uint8_t answer[CONVERT_MESSAGE_MAX];
    struct wr w = {.buf = answer, .cap = sizeof answer};
    struct scene s;

    set_up(&s, PROTOCOL_CONVERT, true, true, true);
    meet(&s);
    convert_encode_error(&w, rows[_i].code, span_of("\1", 1));
    scripted_send(s.peer, answer, wr_done(&w).len);
    ck_assert_int_eq(run(&s), DIAL_FAILED);
    ck_assert_int_eq(s.dial.error, rows[_i].error);
    ck_assert(s.dial.reached);
    ck_assert(!s.dial.broken);
    take_down(&s);
}
END_TEST

START_TEST(an_ipv4_concentrator_is_dialled_with_an_ipv6_socket)
{
    uint8_t answer[CONVERT_MESSAGE_MAX], mapped[16] = {[10] = 0xff, [11] = 0xff};
    struct scene s;

    set_up(&s, PROTOCOL_MP_CONVERT, _i % 2 != 0, _i / 2 != 0, _i / 2 != 0);
    memcpy(mapped + 12, s.options.proxy.ip, 4);
    s.options.proxy = addr_ipv6(mapped, s.options.proxy.port);
    ck_assert_int_eq(close(s.fd), 0);
    s.fd = scripted_socket(AF_INET6, _i % 2 != 0);
    meet(&s);
    scripted_send(s.peer, answer, answer_of(&s, answer));
    ck_assert_int_eq(run(&s), DIAL_READY);
    ck_assert_int_eq(s.dial.mptcp, _i % 2 != 0);
    ck_assert_int_eq(s.dial.tfo_taken, _i / 2 != 0);
    take_down(&s);
}
END_TEST

START_TEST(errno_is_left_alone)
{
    struct scene s;

    set_up(&s, PROTOCOL_MP_CONVERT, true, true, false);
    ck_assert_int_eq(close(s.listener), 0);
    errno = 4711;
    (void)dial_start(&s.dial, s.fd, &s.options, &s.target);
    (void)dial_run(&s.dial);
    ck_assert_int_eq(errno, 4711);
    s.listener = scripted_socket(AF_INET, false);
    take_down(&s);
}
END_TEST

int main(void)
{
    if (!scripted_enter()) {
        (void)puts("skipped: no network namespace of our own, or no MPTCP");
        return 77;
    }
    Suite *suite = suite_create("dial");
    TCase *c = tcase_create("dial");
    tcase_set_timeout(c, 60);
    tcase_add_loop_test(c, every_split_of_the_answer_leaves_the_stream_to_the_program, 0, 12);
    tcase_add_loop_test(c, an_answer_octet_by_octet_is_put_together, 0, 12);
    tcase_add_loop_test(c, socks5_in_several_flights, 0, 4);
    tcase_add_loop_test(c, answers_that_come_before_their_questions_are_not_lost, 0, 2);
    tcase_add_loop_test(c, a_reset_or_end_behind_the_answer_is_the_programs, 0, 12);
    tcase_add_loop_test(c, the_request_rides_in_the_syn_and_is_sent_once, 0, 6);
    tcase_add_loop_test(c, a_listener_without_fast_open_gets_the_request_once, 0, 6);
    tcase_add_loop_test(c, without_fast_open_here_the_request_follows_the_syn, 0, 2);
    tcase_add_loop_test(c, mptcp_that_was_asked_for_and_not_had_is_told, 0, 2);
    tcase_add_loop_test(c, a_program_with_fastopen_connect_is_dialled_all_the_same, 0, 12);
    tcase_add_loop_test(c, the_programs_low_water_mark_does_not_hide_the_answer, 0, 12);
    tcase_add_loop_test(c, nobody_at_the_port_is_refused_and_not_reached, 0, 12);
    tcase_add_loop_test(c, no_way_to_the_concentrator_is_not_reached, 0, 12);
    tcase_add_loop_test(c, a_request_the_dialect_cannot_carry_fails_at_once, 0, 3);
    tcase_add_loop_test(c, silence_is_waited_for, 0, 12);
    tcase_add_loop_test(c, another_protocol_is_broken, 0, 12);
    tcase_add_loop_test(c, a_wrong_echo_is_broken, 0, 2);
    tcase_add_loop_test(c, garbage_in_a_tlv_is_broken, 0, 4);
    tcase_add_loop_test(c, half_an_answer_and_then_the_end_is_broken, 0, 24);
    tcase_add_loop_test(c, closing_without_a_word, 0, 24);
    tcase_add_loop_test(c, closing_at_once_after_a_fallback, 0, 60);
    tcase_add_loop_test(c, a_reset_before_we_looked_still_counts_as_reached, 0, 4);
    tcase_add_loop_test(c, a_lost_subflow_is_noticed_and_broken, 0, 6);
    tcase_add_loop_test(c, what_socks5_refuses_with_becomes_an_errno, 0, 8);
    tcase_add_loop_test(c, no_acceptable_method_and_a_wrong_password_are_eacces, 0, 2);
    tcase_add_loop_test(c, what_convert_refuses_with_becomes_an_errno, 0, 10);
    tcase_add_loop_test(c, an_ipv4_concentrator_is_dialled_with_an_ipv6_socket, 0, 4);
    tcase_add_test(c, errno_is_left_alone);
    suite_add_tcase(suite, c);
    return runner_main(suite);
}
