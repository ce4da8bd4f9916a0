/* SPDX-License-Identifier: MIT */
#include "fds.h"
#include "reach.h"
#include "runner.h"
#include "scripted.h"
#include "sys.h"
#include "tempfile.h"
#include <pthread.h>
#include <signal.h>
#include <sys/resource.h>
#include <sys/time.h>

static struct settings settings;
static struct reach_env env;
static struct plan plan;
static struct reach reach;
static int model, listener[2];
static unsigned fds_before;
static volatile sig_atomic_t signals_seen;

static void use_model(int family, bool v6only)
{
    int one = 1;

    if (model >= 0)
        ck_assert_int_eq(close(model), 0);
    model = socket(family, SOCK_STREAM | SOCK_CLOEXEC, 0);
    ck_assert_int_ge(model, 0);
    if (v6only)
        ck_assert_int_eq(setsockopt(model, IPPROTO_IPV6, IPV6_V6ONLY, &one, sizeof one), 0);
    plan.family = family;
    plan.v6only = v6only;
}

/* Two concentrators that listen with MPTCP and Fast Open; no signal handlers but the test's. */
static void set_up(void)
{
    static const int handled[] = {SIGALRM, SIGINT, SIGTERM}; /* by the test library */

    for (size_t i = 0; i < 3; i++)
        (void)signal(handled[i], SIG_DFL);
    settings_default(&settings);
    settings.proxies = 2;
    for (int i = 0; i < 2; i++)
        listener[i] = scripted_listen(AF_INET, true, true, &settings.proxy[i]);
    env = (struct reach_env){
        .settings = &settings, .proxies = proxies_map(NULL), .shared = shared_map(NULL)};
    ck_assert_ptr_nonnull(env.proxies);
    ck_assert(addr_parse("198.51.100.7:80", &plan.peer));
    plan.kind = PLAN_PROXY;
    plan.target = target_from_addr(&plan.peer);
    model = -1;
    use_model(AF_INET, false);
    fds_before = open_fds();
}

static void expect_no_fd_left(void)
{
    ck_assert_uint_eq(open_fds(), fds_before);
}

static uint64_t counted(enum shared_count which)
{
    return shared_get(env.shared, which);
}

static void kill_concentrator(int i)
{
    struct addr unused;

    ck_assert_int_eq(close(listener[i]), 0);
    listener[i] = scripted_listen(AF_INET, true, true, &unused); /* another port */
}

/* Its accept queue is full: SYNs are dropped. Returns what fills it. */
static int silence_concentrator(int i)
{
    struct sockaddr_storage ss;
    socklen_t len = addr_to_sockaddr(&settings.proxy[i], &ss);
    int fill = scripted_socket(AF_INET, false);

    ck_assert_int_eq(listen(listener[i], 0), 0);
    (void)connect(fill, (struct sockaddr *)&ss, len); /* EINPROGRESS */
    ck_assert(scripted_ready(fill, POLLOUT, SCRIPTED_PATIENCE_MS));
    return fill;
}

static enum dial_step start(void)
{
    return reach_start(&reach, &env, &plan, model, 0);
}

static enum dial_step run(void)
{
    while (reach.step == DIAL_WAIT) {
        ck_assert(scripted_ready(reach.dial.fd, reach.dial.events, SCRIPTED_PATIENCE_MS));
        (void)reach_run(&reach, sys_now_ms());
    }
    return reach.step;
}

/* Until the concentrator of `listener[i]` has the request. */
static int meet(int i, uint8_t request[16])
{
    while (!scripted_ready(listener[i], POLLIN, 0)) {
        ck_assert_int_eq(reach.step, DIAL_WAIT);
        ck_assert(scripted_ready(reach.dial.fd, reach.dial.events, SCRIPTED_PATIENCE_MS));
        (void)reach_run(&reach, sys_now_ms());
    }
    int peer = scripted_accept(listener[i]);

    (void)reach_run(&reach, sys_now_ms());
    scripted_request(peer, request, 16);
    return peer;
}

static void agree(int i)
{
    uint8_t request[16];
    int peer = meet(i, request);

    scripted_send(peer, request, sizeof request);
    ck_assert_int_eq(run(), DIAL_READY);
    ck_assert_int_eq(close(peer), 0);
}

static void expect_ready(void)
{
    ck_assert_int_ge(reach.fd, 0);
    ck_assert_int_eq(fcntl(reach.fd, F_GETFL) & O_NONBLOCK, O_NONBLOCK);
    ck_assert_int_eq(fcntl(reach.fd, F_GETFD), FD_CLOEXEC);
    reach_drop(&reach); /* not for a READY fd */
    ck_assert_int_eq(close(reach.fd), 0);
    expect_no_fd_left();
}

START_TEST(the_first_concentrator_serves)
{
    ck_assert_int_eq(start(), DIAL_WAIT);
    agree(0);
    ck_assert(reach.dial.mptcp);
    ck_assert(!scripted_ready(listener[1], POLLIN, 0));
    expect_ready();
    ck_assert_uint_eq(counted(SHARED_CONNECTS), 1);
    ck_assert_uint_eq(counted(SHARED_SUCCEEDED), 1);
    ck_assert_uint_eq(counted(SHARED_MPTCP), 1);
    ck_assert_uint_eq(counted(SHARED_TFO), 1);
    ck_assert_uint_eq(counted(SHARED_FALLBACK), 0);
    ck_assert_uint_eq(counted(SHARED_FAILED) + counted(SHARED_REFUSED), 0);
}
END_TEST

START_TEST(a_dead_one_is_followed_by_the_next_and_rests)
{
    struct tempfile log = tempfile_text("");
    struct proxies_known known;
    char line[1024] = "";

    memcpy(settings.log, log.path, sizeof log.path);
    kill_concentrator(0);
    (void)start();
    agree(1);
    expect_ready();
    ck_assert(proxies_look(env.proxies, &settings.proxy[0], sys_now_ms(), &known));
    ck_assert_uint_eq(known.failures, 1);
    ck_assert_uint_gt(known.backoff_left_ms, 0);
    (void)start();
    ck_assert_int_eq(reach.order[0], 1);
    agree(1);
    expect_ready();
    ck_assert_uint_eq(counted(SHARED_SUCCEEDED), 2);
    ck_assert_uint_eq(counted(SHARED_FAILED), 0);

    int fd = open(log.path, O_RDONLY);
    ssize_t n = read(fd, line, sizeof line - 1);
    ck_assert_int_gt(n, 0);
    ck_assert_ptr_eq(strchr(line, '\n'), line + n - 1); /* one line: one failed dial */
    ck_assert_ptr_nonnull(strstr(line, "dial_failed"));
    ck_assert_ptr_nonnull(strstr(line, "198.51.100.7:80"));
    ck_assert_int_eq(close(fd), 0);
    tempfile_done(&log);
}
END_TEST

START_TEST(a_broken_one_is_followed_by_the_next)
{
    uint8_t request[16];

    (void)start();
    int peer = meet(0, request);
    scripted_send(peer, "HTTP/1.0 400 no\r\n\r\n", 19);
    agree(1);
    ck_assert_int_eq(close(peer), 0);
    expect_ready();
    ck_assert_uint_eq(counted(SHARED_CONNECTS), 1);
    ck_assert_uint_eq(counted(SHARED_SUCCEEDED), 1);
}
END_TEST

START_TEST(one_that_says_no_is_the_last_that_is_asked)
{
    uint8_t request[16];

    settings.on_failure = SETTINGS_DIRECT;
    (void)start();
    scripted_reset(meet(0, request)); /* MP_CONVERT's way */
    ck_assert_int_eq(run(), DIAL_FAILED);
    ck_assert_int_eq(reach.error, ECONNREFUSED);
    ck_assert(!reach.direct);
    ck_assert(!scripted_ready(listener[1], POLLIN, 0));
    ck_assert_uint_eq(counted(SHARED_REFUSED), 1);
    ck_assert_uint_eq(counted(SHARED_FAILED), 0);
    expect_no_fd_left();
}
END_TEST

/* A reset leaves nothing in the socket to tell Fast Open and MPTCP by. */
START_TEST(a_refusal_does_not_count_against_fast_open)
{
    struct proxies_known known;
    uint8_t request[16];

    for (int i = 0; i < 3; i++) {
        (void)start();
        int peer = meet(0, request);
        ck_assert(reach.dial.tfo_asked);
        scripted_reset(peer);
        env.proxies = proxies_map(NULL); /* loopback was too quick: as if it was not seen yet */
        reach.learned = reach.dial.reached = reach.dial.mptcp = reach.dial.tfo_taken = false;
        reach.dial.connecting = true;
        ck_assert_int_eq(run(), DIAL_FAILED);
        ck_assert(reach.dial.gone);
        ck_assert(!proxies_look(env.proxies, &settings.proxy[0], sys_now_ms(), &known) ||
                  !known.tfo_bad);
    }
    ck_assert_uint_eq(counted(SHARED_TFO_MISSED), 0);
    expect_no_fd_left();
}
END_TEST

START_TEST(when_none_is_reached_direct_is_for_who_asked_for_it)
{
    kill_concentrator(0);
    kill_concentrator(1);
    settings.on_failure = _i == 0 ? SETTINGS_FAIL : SETTINGS_DIRECT;
    (void)start();
    ck_assert_int_eq(run(), DIAL_FAILED);
    ck_assert_int_eq(reach.error, ECONNREFUSED);
    ck_assert_int_eq(reach.direct, _i == 1);
    ck_assert_uint_eq(counted(SHARED_FAILED), _i == 0 ? 1 : 0);
    ck_assert_uint_eq(counted(SHARED_DIRECT), _i == 1 ? 1 : 0);
    ck_assert_int_eq(reach_run(&reach, sys_now_ms()), DIAL_FAILED);
    ck_assert_int_eq(reach_wait(&reach), -ECONNREFUSED);
    expect_no_fd_left();
}
END_TEST

START_TEST(a_broken_one_was_reached_and_its_error_is_told)
{
    uint8_t request[16];

    settings.on_failure = SETTINGS_DIRECT;
    kill_concentrator(1);
    (void)start();
    int peer = meet(0, request);
    scripted_send(peer, "nonsense of some length", 23);
    ck_assert_int_eq(run(), DIAL_FAILED);
    ck_assert_int_eq(reach.error, EPROTO);
    ck_assert(!reach.direct);
    ck_assert_uint_eq(counted(SHARED_FAILED), 1);
    ck_assert_int_eq(close(peer), 0);
    expect_no_fd_left();
}
END_TEST

START_TEST(a_silent_one_leaves_time_for_the_next)
{
    struct proxies_known known;
    int fill = silence_concentrator(0);

    settings.connect_ms = _i == 0 ? 4000 : 600000;
    ck_assert_int_eq(start(), DIAL_WAIT);
    uint64_t share_ms = _i == 0 ? 2000 : 5000;
    ck_assert_uint_eq(reach.wake_ms, reach.began_ms + share_ms);
    ck_assert_int_eq(reach_run(&reach, reach.wake_ms - 1), DIAL_WAIT);
    ck_assert_uint_eq(reach.next, 1);
    ck_assert_int_eq(reach_run(&reach, reach.wake_ms), DIAL_WAIT);
    ck_assert_uint_eq(reach.next, 2);
    agree(1);
    ck_assert(proxies_look(env.proxies, &settings.proxy[0], sys_now_ms(), &known));
    ck_assert_uint_eq(known.failures, 1);
    ck_assert_int_eq(close(fill), 0);
    expect_ready();
}
END_TEST

START_TEST(one_that_was_reached_has_all_the_time_there_is)
{
    uint8_t request[16];

    settings.on_failure = SETTINGS_DIRECT;
    (void)start();
    int peer = meet(0, request);
    uint64_t end_ms = reach.began_ms + settings.connect_ms;
    ck_assert_int_eq(reach_run(&reach, end_ms - 1), DIAL_WAIT);
    ck_assert_uint_le(reach.wake_ms, end_ms);
    ck_assert_int_eq(reach_run(&reach, end_ms), DIAL_FAILED);
    ck_assert_int_eq(reach.error, ETIMEDOUT);
    ck_assert(!reach.direct);
    ck_assert(!scripted_ready(listener[1], POLLIN, 0));
    ck_assert_uint_eq(counted(SHARED_FAILED), 1);
    ck_assert_int_eq(close(peer), 0);
    expect_no_fd_left();
}
END_TEST

START_TEST(the_shorter_limit_counts_and_has_its_own_errno)
{
    int fill = silence_concentrator(0);

    settings.proxies = 1;
    settings.connect_ms = 1000;
    ck_assert_int_eq(reach_start(&reach, &env, &plan, model, 400), DIAL_WAIT);
    ck_assert_int_eq(reach_run(&reach, reach.began_ms + 399), DIAL_WAIT);
    ck_assert_int_eq(reach_run(&reach, reach.began_ms + 400), DIAL_FAILED);
    ck_assert_int_eq(reach.error, EINPROGRESS);
    struct proxies_known known; /* 400 ms prove nothing */
    ck_assert(!proxies_look(env.proxies, &settings.proxy[0], sys_now_ms(), &known));
    ck_assert_int_eq(reach_start(&reach, &env, &plan, model, 4000), DIAL_WAIT);
    ck_assert_int_eq(reach_run(&reach, reach.began_ms + 1000), DIAL_FAILED);
    ck_assert_int_eq(reach.error, ETIMEDOUT);
    ck_assert_int_eq(close(fill), 0);
    expect_no_fd_left();
}
END_TEST

START_TEST(fast_open_that_was_not_taken_is_not_tried_again)
{
    ck_assert_int_eq(close(listener[0]), 0);
    listener[0] = scripted_listen(AF_INET, true, false, &settings.proxy[0]);
    (void)start();
    agree(0);
    expect_ready();
    ck_assert_uint_eq(counted(SHARED_TFO_MISSED), 1);
    ck_assert_uint_eq(counted(SHARED_FALLBACK), 1);
    (void)start();
    agree(0);
    ck_assert(!reach.dial.tfo_asked);
    expect_ready();
    ck_assert_uint_eq(counted(SHARED_TFO_MISSED), 1);
    ck_assert_uint_eq(counted(SHARED_MPTCP), 1);
}
END_TEST

static int buffer_of(int fd)
{
    int octets = 0;

    ck_assert_int_eq(sys_get_int(fd, SOL_SOCKET, SO_RCVBUF, &octets), 0);
    return octets;
}

/* Trap T2 needs SYN data; otherwise the kernel's own sizing is better. */
START_TEST(the_receive_buffer_is_raised_with_syn_data_only)
{
    int fresh = scripted_socket(AF_INET, true), asked = buffer_of(fresh), doubled = asked * 2;

    settings.receive_buffer = (uint32_t)asked; /* the kernel doubles what is set */
    settings.tfo = _i == 0 ? SETTINGS_TFO_ON : SETTINGS_TFO_OFF;
    (void)start();
    agree(0);
    ck_assert_int_eq(reach.dial.tfo_asked, _i == 0);
    if (_i == 0)
        ck_assert_int_eq(buffer_of(reach.fd), doubled);
    else
        ck_assert_int_lt(buffer_of(reach.fd), doubled);
    ck_assert_int_eq(close(fresh), 0);
    expect_ready();
}
END_TEST

START_TEST(without_mptcp_it_is_plain_tcp_and_no_fallback)
{
    settings.mptcp = false;
    (void)start();
    agree(0);
    int protocol = 0;
    ck_assert_int_eq(sys_get_int(reach.fd, SOL_SOCKET, SO_PROTOCOL, &protocol), 0);
    ck_assert_int_eq(protocol, IPPROTO_TCP);
    expect_ready();
    ck_assert_uint_eq(counted(SHARED_MPTCP) + counted(SHARED_FALLBACK), 0);
}
END_TEST

START_TEST(the_family_is_the_programs_where_it_leads_there)
{
    static const struct {
        int family, proxy, want;
        bool v6only;
    } rows[] = {
        {AF_INET, AF_INET, AF_INET, false},    {AF_INET, AF_INET6, AF_INET6, false},
        {AF_INET6, AF_INET, AF_INET6, false},  {AF_INET6, AF_INET, AF_INET, true},
        {AF_INET6, AF_INET6, AF_INET6, false}, {AF_INET6, AF_INET6, AF_INET6, true},
    };
    int family = 0;

    use_model(rows[_i].family, rows[_i].v6only);
    ck_assert_int_eq(close(listener[0]), 0);
    listener[0] = scripted_listen(rows[_i].proxy, true, true, &settings.proxy[0]);
    (void)start();
    agree(0);
    ck_assert_int_eq(sys_get_int(reach.fd, SOL_SOCKET, SO_DOMAIN, &family), 0);
    ck_assert_int_eq(family, rows[_i].want);
    ck_assert(reach.dial.mptcp);
    expect_ready();
}
END_TEST

START_TEST(dropping_leaves_no_descriptor)
{
    uint8_t request[16];
    int fill = silence_concentrator(1);

    settings.proxies = 1;
    (void)start(); /* reached */
    int peer = meet(0, request);
    ck_assert_int_eq(close(peer), 0);
    reach_drop(&reach);
    reach_drop(&reach);
    ck_assert_int_eq(reach_run(&reach, sys_now_ms()), DIAL_FAILED);
    settings.proxy[0] = settings.proxy[1]; /* not reached */
    ck_assert_int_eq(start(), DIAL_WAIT);
    reach_drop(&reach);
    ck_assert_int_eq(close(fill), 0);
    expect_no_fd_left();
}
END_TEST

START_TEST(a_descriptor_that_became_somebody_elses_is_not_closed)
{
    int fill = silence_concentrator(0);

    ck_assert_int_eq(start(), DIAL_WAIT);
    int number = reach.dial.fd;
    ck_assert_int_eq(close(number), 0);
    ck_assert_int_eq(fcntl(model, F_DUPFD_CLOEXEC, number), number);
    reach_drop(&reach);
    ck_assert_int_ge(fcntl(number, F_GETFD), 0);
    ck_assert_int_eq(close(number), 0);
    ck_assert_int_eq(close(fill), 0);
}
END_TEST

/* The program's own connect() would need no further descriptor. */
START_TEST(the_soft_limit_of_descriptors_is_no_limit)
{
    struct rlimit was, now;
    int next = dup(model); /* the lowest number that is free */

    ck_assert_int_eq(getrlimit(RLIMIT_NOFILE, &was), 0);
    struct rlimit low = {(rlim_t)next, was.rlim_max};
    ck_assert_int_eq(close(next), 0);
    ck_assert_int_eq(setrlimit(RLIMIT_NOFILE, &low), 0);
    ck_assert_int_eq(start(), DIAL_WAIT);
    ck_assert_int_eq(getrlimit(RLIMIT_NOFILE, &now), 0);
    ck_assert_uint_eq(now.rlim_cur, low.rlim_cur);
    ck_assert_uint_eq(now.rlim_max, was.rlim_max);
    ck_assert_int_eq(setrlimit(RLIMIT_NOFILE, &was), 0);
    agree(0);
    expect_ready();
}
END_TEST

START_TEST(no_socket_is_the_programs_error)
{
    int next = dup(model); /* the lowest number that is free */
    struct rlimit low = {(rlim_t)next, (rlim_t)next};

    ck_assert_int_eq(close(next), 0);
    ck_assert_int_eq(setrlimit(RLIMIT_NOFILE, &low), 0);
    ck_assert_int_eq(start(), DIAL_FAILED);
    ck_assert_int_eq(reach.error, EMFILE);
    ck_assert(!scripted_ready(listener[1], POLLIN, 0));
    ck_assert_int_eq(dup(model), -1); /* none was left free, nor made */
    ck_assert_int_eq(close(model), 0);
    ck_assert_int_eq(dup(listener[0]), model);
    for (int i = 0; i < 2; i++) /* memory checkers want some at the end */
        ck_assert_int_eq(close(listener[i]), 0);
}
END_TEST

/* ---- waiting ---- */

static void *serve(void *arg)
{
    int peer = scripted_accept(listener[0]);
    uint8_t request[16];

    scripted_read(peer, request, sizeof request);
    scripted_send(peer, request, sizeof request);
    *(int *)arg = peer;
    return NULL;
}

START_TEST(waiting_ends_with_the_answer)
{
    pthread_t thread;
    int peer = -1;

    ck_assert_int_eq(pthread_create(&thread, NULL, serve, &peer), 0);
    (void)start();
    ck_assert_int_eq(reach_wait(&reach), 0);
    ck_assert_int_eq(pthread_join(thread, NULL), 0);
    ck_assert_int_eq(close(peer), 0);
    expect_ready();
}
END_TEST

static void on_signal(int sig)
{
    (void)sig;
    signals_seen++;
}

static void ring(int flags)
{
    struct sigaction a = {.sa_handler = on_signal, .sa_flags = flags};
    struct itimerval soon = {.it_value = {.tv_usec = 30000}};

    ck_assert_int_eq(sigaction(SIGALRM, &a, NULL), 0);
    ck_assert_int_eq(setitimer(ITIMER_REAL, &soon, NULL), 0);
}

START_TEST(a_handler_that_wants_calls_interrupted_interrupts)
{
    uint8_t request[16];

    (void)start();
    int peer = meet(0, request);
    ring(0);
    ck_assert_int_eq(reach_wait(&reach), -EINTR);
    ck_assert_int_eq(signals_seen, 1);
    ck_assert_int_eq(reach.step, DIAL_WAIT); /* still under way */
    scripted_send(peer, request, sizeof request);
    ck_assert_int_eq(reach_wait(&reach), 0);
    ck_assert_int_eq(close(peer), 0);
    expect_ready();
}
END_TEST

START_TEST(a_handler_that_wants_calls_restarted_does_not)
{
    struct sigaction other = {.sa_handler = on_signal}; /* of a signal that does not come */
    int fill = silence_concentrator(0);

    settings.proxies = 1;
    settings.connect_ms = 100;
    (void)signal(SIGCHLD, SIG_IGN); /* not a handler */
    ck_assert_int_eq(sigaction(SIGSEGV, &other, NULL), 0);
    ck_assert_int_eq(sigaction(SIGUSR1, &other, NULL), 0);
    (void)start();
    ring(SA_RESTART);
    ck_assert_int_eq(reach_wait(&reach), -ETIMEDOUT);
    ck_assert_int_eq(signals_seen, 1);
    ck_assert_int_eq(close(fill), 0);
    expect_no_fd_left();
}
END_TEST

/* signal(7): with SO_SNDTIMEO a connect() is never restarted. */
START_TEST(with_a_limit_of_its_own_it_is_always_interrupted)
{
    int fill = silence_concentrator(0);

    settings.proxies = 1;
    (void)reach_start(&reach, &env, &plan, model, 2000);
    ring(SA_RESTART);
    ck_assert_int_eq(reach_wait(&reach), -EINTR);
    reach_drop(&reach);
    ck_assert_int_eq(close(fill), 0);
    expect_no_fd_left();
}
END_TEST

START_TEST(errno_is_left_alone)
{
    kill_concentrator(0);
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
    Suite *suite = suite_create("reach");
    TCase *c = tcase_create("reach");
    tcase_set_timeout(c, 60);
    tcase_add_checked_fixture(c, set_up, NULL);
    tcase_add_test(c, the_first_concentrator_serves);
    tcase_add_test(c, a_dead_one_is_followed_by_the_next_and_rests);
    tcase_add_test(c, a_broken_one_is_followed_by_the_next);
    tcase_add_test(c, one_that_says_no_is_the_last_that_is_asked);
    tcase_add_test(c, a_refusal_does_not_count_against_fast_open);
    tcase_add_loop_test(c, when_none_is_reached_direct_is_for_who_asked_for_it, 0, 2);
    tcase_add_test(c, a_broken_one_was_reached_and_its_error_is_told);
    tcase_add_loop_test(c, a_silent_one_leaves_time_for_the_next, 0, 2);
    tcase_add_test(c, one_that_was_reached_has_all_the_time_there_is);
    tcase_add_test(c, the_shorter_limit_counts_and_has_its_own_errno);
    tcase_add_test(c, fast_open_that_was_not_taken_is_not_tried_again);
    tcase_add_loop_test(c, the_receive_buffer_is_raised_with_syn_data_only, 0, 2);
    tcase_add_test(c, without_mptcp_it_is_plain_tcp_and_no_fallback);
    tcase_add_loop_test(c, the_family_is_the_programs_where_it_leads_there, 0, 6);
    tcase_add_test(c, dropping_leaves_no_descriptor);
    tcase_add_test(c, a_descriptor_that_became_somebody_elses_is_not_closed);
    tcase_add_test(c, the_soft_limit_of_descriptors_is_no_limit);
    tcase_add_test(c, no_socket_is_the_programs_error);
    tcase_add_test(c, waiting_ends_with_the_answer);
    tcase_add_test(c, a_handler_that_wants_calls_interrupted_interrupts);
    tcase_add_test(c, a_handler_that_wants_calls_restarted_does_not);
    tcase_add_test(c, with_a_limit_of_its_own_it_is_always_interrupted);
    tcase_add_test(c, errno_is_left_alone);
    suite_add_tcase(suite, c);
    return runner_main(suite);
}
