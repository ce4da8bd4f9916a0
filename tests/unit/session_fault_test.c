/* SPDX-License-Identifier: MIT */
/* Every allocation and every call of a whole session fails once, in each dialect: that session
 * may end, nothing else does, and nothing is left. */
#include "engineplay.h"
#include "fault.h"
#include "fault_calls.h"
#include "runner.h"
#include <errno.h>

enum { FAULTS_MAX = 500 };

static struct enginebench b;
static struct enginepair other; /* a session that must not notice */

static void begin(enum engineplay_kind k)
{
    engineplay_start(&b, k);
    enginebench_pair(&b, &other, false);
}

static bool only_other(void *arg)
{
    (void)arg;
    return enginebench_sessions(&b) == 1 && list_empty(&b.worker->dead);
}

/* After a session that a fault has hit. */
static void others_go_on(void)
{
    enginebench_until(&b, only_other, NULL);
    ck_assert_uint_eq(limits_sessions(b.shared.limits), 1);
    ck_assert_uint_eq(enginebench_stat(&b, STAT_CURRENT), 1);
    ck_assert_uint_eq(enginebench_stat(&b, STAT_HANDSHAKING), 0);
    ck_assert_uint_eq(enginebench_stat(&b, STAT_CONNECTING), 0);
    ck_assert_uint_eq(enginebench_stat(&b, STAT_DRAINING), 0);
    ck_assert_uint_eq(enginebench_stat(&b, STAT_BUFFERED_BYTES), 0);
    enginebench_ping(&b, &other);
}

static void end(enum engineplay_kind k)
{
    ck_assert_msg(engineplay_run(&b, k), "%s: not even without a fault", engineplay_name(k));
    rawnet_close(other.client);
    rawnet_close(other.origin);
    enginebench_until_idle(&b);
    enginebench_end(&b);
}

START_TEST(every_allocation_may_fail)
{
    enum engineplay_kind k = (enum engineplay_kind)_i;
    unsigned n = 0;
    bool hit;

    begin(k);
    do {
        fault_after(++n);
        (void)engineplay_run(&b, k);
        hit = fault_hit();
        fault_reset();
        others_go_on();
    } while (hit && n < FAULTS_MAX);
    ck_assert_uint_gt(n, 2);
    ck_assert_uint_lt(n, FAULTS_MAX);
    end(k);
}
END_TEST

/* What the kernel really answers when it will not. Not shutdown(): it fails only when the peer
 * has reset, and then an edge tells. No EINTR from send() and recv(): on a non-blocking socket
 * they do not wait, so nothing interrupts them. */
/* clang-format off */
static const struct {
    enum fault_call call;
    int error;
} row[] = {
    {FAULT_socket, EMFILE}, {FAULT_socket, ENOBUFS},
    {FAULT_connect, ENETUNREACH}, {FAULT_connect, EADDRNOTAVAIL},
    {FAULT_accept4, ECONNABORTED}, {FAULT_accept4, EMFILE}, {FAULT_accept4, ENOMEM}, {FAULT_accept4, EINTR},
    {FAULT_setsockopt, EINVAL}, {FAULT_getsockopt, EINVAL},
    {FAULT_send, EPIPE}, {FAULT_send, ENOBUFS},
    {FAULT_recv, ECONNRESET}, {FAULT_recv, ETIMEDOUT}, {FAULT_recv, ENOMEM},
    {FAULT_splice, ECONNRESET}, {FAULT_splice, ENOMEM}, {FAULT_splice, EINTR},
    {FAULT_pipe2, EMFILE}, {FAULT_fcntl, EPERM}, {FAULT_open, EMFILE},
    {FAULT_epoll_ctl, ENOMEM}, {FAULT_epoll_wait, EINTR},
    {FAULT_uv_queue_work, ENOMEM}, {FAULT_uv_timer_init, ENOMEM},
};
/* clang-format on */
enum { ROWS = sizeof row / sizeof row[0] };

START_TEST(every_call_may_fail)
{
    enum engineplay_kind k = (enum engineplay_kind)(_i % ENGINEPLAY_COUNT);
    enum fault_call call = row[_i / ENGINEPLAY_COUNT].call;
    unsigned n = 0;
    bool hit;

    begin(k);
    do {
        fault_call_after(call, ++n, row[_i / ENGINEPLAY_COUNT].error);
        (void)engineplay_run(&b, k);
        hit = fault_call_hit(call);
        fault_calls_reset();
        others_go_on();
    } while (hit && n < FAULTS_MAX);
    ck_assert_uint_lt(n, FAULTS_MAX);
    end(k);
}
END_TEST

int main(void)
{
    if (!rawnet_own_namespace()) {
        (void)fprintf(stderr,
                      "session_fault: skipped, no network namespace can be made here\n");
        return 77;
    }
    Suite *s = suite_create("session_fault");
    TCase *c = tcase_create("session_fault");

    tcase_set_timeout(c, 60);
    tcase_add_loop_test(c, every_allocation_may_fail, 0, ENGINEPLAY_COUNT);
    tcase_add_loop_test(c, every_call_may_fail, 0, ROWS * ENGINEPLAY_COUNT);
    suite_add_tcase(s, c);
    return runner_main(s);
}
