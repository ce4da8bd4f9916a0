/* SPDX-License-Identifier: MIT */
/* Admission and its refusals, and a process without fds. */
#include "enginebench.h"
#include "fault_calls.h"
#include "runner.h"
#include <errno.h>
#include <netinet/tcp.h>
#include <string.h>
#include <sys/resource.h>
#include <sys/socket.h>
#include <unistd.h>

static struct enginebench b;

static void say(int fd, uint16_t port)
{
    uint8_t opening[3 + ENGINEBENCH_REQUEST_LEN] = {5, 1, 0};

    enginebench_request(opening + 3, port);
    rawnet_send_all(fd, opening, sizeof opening);
}

START_TEST(who_may_not_use_the_service_is_reset_unserved)
{
    enginebench_start(&b, "{\"clients\": {\"allow\": [\"192.0.2.0/24\"]}}");
    int fd = rawnet_connect(b.port, false);
    enginebench_until_end(&b, fd, -ECONNRESET);
    ck_assert_uint_eq(enginebench_stat(&b, STAT_AUTH_SOURCE), 1);
    ck_assert_uint_eq(enginebench_stat(&b, STAT_REFUSED_UNSERVED), 1);
    ck_assert_uint_eq(enginebench_stat(&b, STAT_ACCEPTED), 0);
    ck_assert_uint_eq(atomic_load(&b.accepted), 1);
    rawnet_close(fd);
    enginebench_end(&b);
}
END_TEST

/* SOCKS5 gets a proper answer, and the session that is there lives on. */
static void ck_refused(struct enginepair *there)
{
    uint8_t answer[12];
    int fd = rawnet_connect(b.port, false);

    say(fd, 9);
    ck_assert_uint_eq(enginebench_recv(&b, fd, answer, sizeof answer), sizeof answer);
    ck_assert_uint_eq(answer[1], 0);
    ck_assert_uint_eq(answer[3], SOCKS5_REP_GENERAL);
    enginebench_until_end(&b, fd, 0);
    rawnet_close(fd);
    enginebench_ping(&b, there);
}

static void end_with(const struct enginepair *there)
{
    rawnet_close(there->client);
    rawnet_close(there->origin);
    enginebench_until_idle(&b);
    enginebench_end(&b);
}

static const char *const limit[] = {"{\"limits\": {\"sessions\": 1}}",
                                    "{\"limits\": {\"sessions_per_source\": 1}}"};

START_TEST(beyond_a_limit_socks5_is_told_a_general_failure)
{
    struct enginepair first;

    enginebench_start(&b, limit[_i]);
    enginebench_pair(&b, &first, false);
    ck_refused(&first);
    ck_assert_uint_eq(enginebench_stat(&b, STAT_REFUSED), 1);
    end_with(&first);
}
END_TEST

START_TEST(beyond_a_limit_convert_is_told_error_64)
{
    static const uint8_t local[4] = {192, 0, 2, 7};
    struct addr target = addr_ipv4(local, 80);
    struct enginepair first;
    struct convert_answer answer;
    uint8_t buf[128];
    struct wr w = {.buf = buf, .cap = sizeof buf};

    enginebench_start(&b, limit[_i]);
    enginebench_pair(&b, &first, false);
    convert_encode_connect(&w, &target, span_of(NULL, 0), span_of(NULL, 0), false);
    int fd = rawnet_connect(b.port, true);
    rawnet_send_all(fd, buf, w.pos);
    size_t n = enginebench_recv(&b, fd, buf, sizeof buf);
    ck_assert_int_eq(convert_decode_answer(span_of(buf, n), &answer).status, DECODE_DONE);
    ck_assert_uint_eq(answer.error_code, CONVERT_ERROR_RESOURCE_EXCEEDED);
    rawnet_close(fd);
    end_with(&first);
}
END_TEST

/* Politeness has a bound too: beyond it a client is reset. */
START_TEST(only_so_many_are_refused_at_a_time)
{
    struct enginepair first;
    int fd[6];

    enginebench_start(&b, limit[0]);
    enginebench_pair(&b, &first, false);
    for (int i = 0; i < 6; i++)
        fd[i] = rawnet_connect(b.port, false); /* and say nothing */
    for (int i = 4; i < 6; i++)
        enginebench_until_end(&b, fd[i], -ECONNRESET);
    ck_assert_uint_eq(b.worker->shed, 4);
    ck_assert_uint_eq(enginebench_stat(&b, STAT_REFUSED_UNSERVED), 2);
    for (int i = 0; i < 6; i++)
        rawnet_close(fd[i]);
    end_with(&first);
}
END_TEST

START_TEST(while_draining_clients_are_refused_and_sessions_go_on)
{
    struct enginepair first;

    enginebench_start(&b, NULL);
    enginebench_pair(&b, &first, false);
    b.worker->draining = true;
    ck_refused(&first);
    ck_assert_uint_eq(enginebench_outcome(&b, OUTCOME_DRAINED), 1);
    end_with(&first);
}
END_TEST

/* ---- No fds ---- */

/* Takes every fd number below `n`. */
static void occupy(int n, int taken[], int *count)
{
    *count = 0;
    for (;;) {
        int fd = dup(0);
        ck_assert_int_ge(fd, 0);
        taken[(*count)++] = fd;
        if (fd >= n)
            return;
    }
}

static void set_fd_limit(rlim_t n)
{
    struct rlimit lim;

    ck_assert_int_eq(getrlimit(RLIMIT_NOFILE, &lim), 0);
    lim.rlim_cur = n;
    ck_assert_int_eq(setrlimit(RLIMIT_NOFILE, &lim), 0);
}

static rlim_t fd_limit(void)
{
    struct rlimit lim;

    ck_assert_int_eq(getrlimit(RLIMIT_NOFILE, &lim), 0);
    return lim.rlim_cur;
}

/* With the reserve each connection is taken off the queue and reset. */
START_TEST(without_fds_a_client_is_reset_and_the_loop_rests)
{
    struct enginepair first;
    rlim_t before = fd_limit();
    int fd[5], taken[256], count;

    enginebench_start(&b, NULL);
    enginebench_pair(&b, &first, false);
    for (int i = 0; i < 5; i++)
        fd[i] = rawnet_connect(b.port, false);
    occupy(200, taken, &count);
    set_fd_limit(200);
    for (int i = 0; i < 5; i++)
        enginebench_until_end(&b, fd[i], -ECONNRESET);
    ck_assert_uint_eq(enginebench_stat(&b, STAT_REFUSED_UNSERVED), 5);
    ck_assert_uint_ge(enginebench_stat(&b, STAT_EMFILE), 5);
    fault_calls_reset();
    for (int i = 0; i < 3; i++)
        enginebench_turn(&b);
    ck_assert_uint_le(fault_call_count(FAULT_accept4), 1); /* nothing to do: nothing is done */
    set_fd_limit(before);
    for (int i = 0; i < count; i++)
        rawnet_close(taken[i]);
    enginebench_ping(&b, &first);
    for (int i = 0; i < 5; i++)
        rawnet_close(fd[i]);
    end_with(&first);
}
END_TEST

/* Not even the reserve: another part of the process took it. */
static bool has_reserve(void *arg)
{
    (void)arg;
    return b.worker->reserve_fd >= 0;
}

START_TEST(without_the_reserve_the_listener_pauses_and_recovers)
{
    struct enginepair after;

    enginebench_start(&b, NULL);
    rawnet_close(b.worker->reserve_fd);
    b.worker->reserve_fd = -1;
    int fd = rawnet_connect(b.port, false);
    fault_call_always(FAULT_accept4, EMFILE);
    fault_call_always(FAULT_open, EMFILE);
    for (int i = 0; i < 8; i++)
        enginebench_turn(&b); /* of 50 ms each but the first */
    ck_assert_uint_le(fault_call_count(FAULT_accept4), 5);
    ck_assert_uint_gt(fault_call_count(FAULT_accept4), 1);
    fault_calls_reset();
    rawnet_close(fd);
    enginebench_pair(&b, &after, false);
    enginebench_until(&b, has_reserve, NULL);
    rawnet_close(after.client);
    rawnet_close(after.origin);
    enginebench_until_idle(&b);
    enginebench_end(&b);
}
END_TEST

/* ---- The socket ---- */

static int option_of(int fd, int level, int name)
{
    int value = 0;
    socklen_t len = sizeof value;

    ck_assert_int_eq(getsockopt(fd, level, name, &value, &len), 0);
    return value;
}

START_TEST(accepted_sockets_inherit_what_they_need)
{
    struct enginepair p;

    enginebench_start(&b, NULL);
    enginebench_pair(&b, &p, false);
    int fd = enginebench_session(&b)->client.watch.fd;
    ck_assert_int_eq(option_of(fd, IPPROTO_TCP, TCP_NODELAY), 1);
    ck_assert_int_eq(option_of(b.worker->listeners[0].watch.fd, SOL_SOCKET, SO_REUSEPORT), 1);
    rawnet_close(p.client);
    rawnet_close(p.origin);
    enginebench_until_idle(&b);
    enginebench_end(&b);
}
END_TEST

START_TEST(opening_fails_cleanly_at_every_call)
{
    static const enum fault_call call[] = {FAULT_socket, FAULT_bind, FAULT_listen};
    struct config *c = enginebench_config(NULL);
    unsigned fds = rawnet_fds();

    for (size_t i = 0; i < sizeof call / sizeof call[0]; i++) {
        fault_call_always(call[i], EACCES);
        ck_assert_int_eq(listener_open(&c->listeners.item[0], c), -EACCES);
        fault_calls_reset();
        ck_assert_uint_eq(rawnet_fds(), fds);
    }
    fault_call_always(FAULT_setsockopt, EINVAL); /* of these only REUSEADDR must work */
    ck_assert_int_eq(listener_open(&c->listeners.item[0], c), -EINVAL);
    fault_calls_reset();
    ck_assert_uint_eq(rawnet_fds(), fds);
    config_unref(c);
}
END_TEST

int main(void)
{
    Suite *s = suite_create("listener");
    TCase *c = tcase_create("listener");

    tcase_set_timeout(c, 60);
    tcase_add_test(c, who_may_not_use_the_service_is_reset_unserved);
    tcase_add_loop_test(c, beyond_a_limit_socks5_is_told_a_general_failure, 0, 2);
    tcase_add_loop_test(c, beyond_a_limit_convert_is_told_error_64, 0, 2);
    tcase_add_test(c, only_so_many_are_refused_at_a_time);
    tcase_add_test(c, while_draining_clients_are_refused_and_sessions_go_on);
    tcase_add_test(c, without_fds_a_client_is_reset_and_the_loop_rests);
    tcase_add_test(c, without_the_reserve_the_listener_pauses_and_recovers);
    tcase_add_test(c, accepted_sockets_inherit_what_they_need);
    tcase_add_test(c, opening_fails_cleanly_at_every_call);
    suite_add_tcase(s, c);
    return runner_main(s);
}
