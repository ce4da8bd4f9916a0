/* SPDX-License-Identifier: MIT */
/* Targets that speak Multipath TCP themselves: the target is tried before the concentrator. */
#include "fds.h"
#include "reach.h"
#include "runner.h"
#include "scripted.h"
#include "sys.h"

static struct settings settings;
static struct reach_env env;
static struct plan plan;
static struct reach reach;
static _Alignas(64) unsigned char memory[NATIVES_SIZE];
static int model, concentrator, target;
static unsigned fds_before;

/* A concentrator, and a target that listens with MPTCP or without. */
static void arrange(bool mptcp)
{
    settings_default(&settings);
    settings.proxies = 1;
    settings.tfo = SETTINGS_TFO_OFF;
    concentrator = scripted_listen(AF_INET, true, false, &settings.proxy[0]);
    target = scripted_listen(AF_INET, mptcp, false, &plan.peer);
    plan.kind = PLAN_PROXY;
    plan.family = AF_INET;
    plan.target = target_from_addr(&plan.peer);
    ck_assert(bypass_add_address(&settings.native, &plan.peer));
    env = (struct reach_env){.settings = &settings,
                             .proxies = proxies_map(NULL),
                             .shared = shared_map(NULL),
                             .natives = natives_open(&settings, NULL, memory)};
    ck_assert_ptr_nonnull(env.natives);
    model = scripted_socket(AF_INET, false);
    fds_before = open_fds();
}

static void learn_instead(void)
{
    settings.native.count = 0;
    settings.bypass_learned = SETTINGS_LEARNED_AUTO;
    settings.dialect = PROTOCOL_CONVERT;
}

static uint64_t counted(enum shared_count which)
{
    return shared_get(env.shared, which);
}

static enum natives_is known(void)
{
    return natives_look(env.natives, &plan.peer, sys_now_ms());
}

static enum dial_step start(void)
{
    return reach_start(&reach, &env, &plan, model, 0);
}

/* As the callers do it: until the verdict, or until the concentrator has a connection. */
static enum dial_step run(void)
{
    while (reach.step == DIAL_WAIT && !scripted_ready(concentrator, POLLIN, 0)) {
        uint64_t now_ms = sys_now_ms();
        int wait = reach.wake_ms > now_ms ? (int)(reach.wake_ms - now_ms) : 0;

        (void)scripted_ready(reach.dial.fd, reach.dial.events, wait);
        (void)reach_run(&reach, sys_now_ms());
    }
    return reach.step;
}

static void expect_direct(void)
{
    ck_assert_int_eq(run(), DIAL_READY);
    ck_assert(reach.native && dial_is_mptcp(reach.fd));
    ck_assert_uint_eq(counted(SHARED_NATIVE), 1);
    ck_assert_uint_eq(counted(SHARED_MPTCP), counted(SHARED_SUCCEEDED));
    ck_assert(!scripted_ready(concentrator, POLLIN, 0));
    int peer = scripted_accept(target);
    scripted_send(reach.fd, "direct", 6);
    char got[6];
    scripted_read(peer, got, sizeof got);
    ck_assert_mem_eq(got, "direct", 6);
    ck_assert_int_eq(close(peer), 0);
    ck_assert_int_eq(close(reach.fd), 0);
    ck_assert_uint_eq(open_fds(), fds_before);
}

/* The request is at the concentrator, which says yes; `mptcp`: of the server, in Convert. */
static void expect_concentrator(bool mptcp)
{
    struct convert_synack synack = {.mss = 1460, .mptcp = mptcp};
    uint8_t request[64], options[40], answer[64];
    struct wr o = {.buf = options, .cap = sizeof options};
    struct wr w = {.buf = answer, .cap = sizeof answer};

    ck_assert_int_eq(run(), DIAL_WAIT);
    ck_assert(!reach.native);
    int peer = scripted_accept(concentrator);
    (void)reach_run(&reach, sys_now_ms());
    size_t len = settings.dialect == PROTOCOL_CONVERT ? 24 : 16;
    scripted_request(peer, request, len);
    if (settings.dialect == PROTOCOL_CONVERT) {
        convert_encode_synack_options(&o, &synack);
        convert_encode_answer(&w, wr_done(&o), span_of(NULL, 0));
        scripted_send(peer, wr_done(&w).ptr, wr_done(&w).len);
    } else {
        scripted_send(peer, request, len);
    }
    ck_assert_int_eq(run(), DIAL_READY);
    ck_assert_uint_eq(counted(SHARED_NATIVE), 0);
    ck_assert_uint_eq(counted(SHARED_CONNECTS), 1);
    ck_assert_uint_eq(counted(SHARED_SUCCEEDED), 1);
    ck_assert_int_eq(close(peer), 0);
    ck_assert_int_eq(close(reach.fd), 0);
    ck_assert_uint_eq(open_fds(), fds_before);
}

START_TEST(a_native_target_is_connected_to)
{
    arrange(true);
    (void)start();
    expect_direct();
    ck_assert_int_eq(known(), NATIVES_UNKNOWN); /* the setting says enough */
}
END_TEST

START_TEST(plain_tcp_is_given_up)
{
    arrange(false);
    (void)start();
    expect_concentrator(false);
    ck_assert_int_eq(known(), NATIVES_NO);
    char octet;
    int peer = scripted_accept(target); /* it was there, and ended without an octet */
    ck_assert(scripted_ready(peer, POLLIN, SCRIPTED_PATIENCE_MS));
    ck_assert_int_le(recv(peer, &octet, 1, 0), 0);
    ck_assert_int_eq(close(peer), 0);
    ck_assert_int_eq(close(concentrator), 0);
    concentrator = scripted_listen(AF_INET, true, false, &settings.proxy[0]);
    (void)start();
    ck_assert(!reach.native); /* it is not tried again */
    reach_drop(&reach);
}
END_TEST

START_TEST(a_refusal_is_the_concentrators_to_tell)
{
    arrange(true);
    ck_assert_int_eq(close(target), 0);
    fds_before--;
    (void)start();
    expect_concentrator(false);
    ck_assert_int_eq(known(), NATIVES_NO);
}
END_TEST

static int silence_target(void)
{
    struct sockaddr_storage ss;
    socklen_t len = addr_to_sockaddr(&plan.peer, &ss);
    int fill = scripted_socket(AF_INET, false);

    ck_assert_int_eq(listen(target, 0), 0);
    (void)connect(fill, (struct sockaddr *)&ss, len); /* EINPROGRESS */
    ck_assert(scripted_ready(fill, POLLOUT, SCRIPTED_PATIENCE_MS));
    fds_before++;
    return fill;
}

START_TEST(silence_is_given_up_soon)
{
    arrange(true);
    (void)silence_target();
    uint64_t began_ms = sys_now_ms();
    (void)start();
    expect_concentrator(false);
    ck_assert_uint_ge(sys_now_ms() - began_ms, 1500);
    ck_assert_int_eq(known(), NATIVES_NO);
}
END_TEST

START_TEST(a_program_in_a_hurry_proves_nothing)
{
    arrange(true);
    (void)silence_target();
    (void)reach_start(&reach, &env, &plan, model, 100);
    ck_assert(reach.native);
    while (reach.step == DIAL_WAIT) {
        (void)scripted_ready(reach.dial.fd, reach.dial.events, 20);
        (void)reach_run(&reach, sys_now_ms());
    }
    ck_assert_int_eq(reach.step, DIAL_FAILED);
    ck_assert_int_eq(reach.error, EINPROGRESS);
    ck_assert_int_eq(known(), NATIVES_UNKNOWN);
    ck_assert_uint_eq(open_fds(), fds_before);
}
END_TEST

START_TEST(giving_up_midway_leaves_nothing)
{
    arrange(true);
    (void)silence_target();
    ck_assert_int_eq(start(), DIAL_WAIT);
    reach_drop(&reach);
    ck_assert_uint_eq(open_fds(), fds_before);
    ck_assert_int_eq(known(), NATIVES_UNKNOWN);
}
END_TEST

START_TEST(a_converters_answer_is_learned_from)
{
    arrange(true);
    learn_instead();
    (void)start();
    ck_assert(!reach.native);
    expect_concentrator(_i != 0);
    ck_assert_int_eq(known(), _i != 0 ? NATIVES_YES : NATIVES_NO);
    if (_i != 0) {
        (void)start();
        expect_direct();
    }
}
END_TEST

START_TEST(nothing_is_learned_unless_asked_for)
{
    arrange(true);
    learn_instead();
    settings.bypass_learned = SETTINGS_LEARNED_OFF;
    (void)start();
    expect_concentrator(true);
    ck_assert_int_eq(known(), NATIVES_UNKNOWN);
}
END_TEST

START_TEST(without_multipath_tcp_there_is_no_direct_way)
{
    arrange(true);
    ck_assert(scripted_write("/proc/sys/net/mptcp/enabled", "0"));
    (void)start();
    ck_assert(!reach.native);
    ck_assert_int_eq(known(), NATIVES_UNKNOWN);
    reach_drop(&reach);
    ck_assert_uint_eq(open_fds(), fds_before);
    ck_assert(scripted_write("/proc/sys/net/mptcp/enabled", "1"));
}
END_TEST

START_TEST(errno_is_left_alone)
{
    arrange(false);
    errno = 4711;
    (void)start();
    reach_drop(&reach);
    ck_assert_int_eq(errno, 4711);
}
END_TEST

int main(void)
{
    if (!scripted_enter()) {
        (void)puts("skipped: no network namespace of our own, or no MPTCP");
        return 77;
    }
    Suite *suite = suite_create("reach_native");
    TCase *c = tcase_create("reach_native");
    tcase_set_timeout(c, 60);
    tcase_add_test(c, a_native_target_is_connected_to);
    tcase_add_test(c, plain_tcp_is_given_up);
    tcase_add_test(c, a_refusal_is_the_concentrators_to_tell);
    tcase_add_test(c, silence_is_given_up_soon);
    tcase_add_test(c, a_program_in_a_hurry_proves_nothing);
    tcase_add_test(c, giving_up_midway_leaves_nothing);
    tcase_add_loop_test(c, a_converters_answer_is_learned_from, 0, 2);
    tcase_add_test(c, nothing_is_learned_unless_asked_for);
    tcase_add_test(c, without_multipath_tcp_there_is_no_direct_way);
    tcase_add_test(c, errno_is_left_alone);
    suite_add_tcase(suite, c);
    return runner_main(suite);
}
