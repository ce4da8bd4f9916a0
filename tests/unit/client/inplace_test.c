/* SPDX-License-Identifier: MIT */
#include "fds.h"
#include "inplace.h"
#include "runner.h"
#include "scripted.h"
#include "sys.h"
#include "towards.h"

static struct settings settings;
static struct reach_env env;
static struct plan plan;
static int listener, model;

static void use_model(int family, int flags)
{
    if (model >= 0)
        ck_assert_int_eq(close(model), 0);
    model = socket(family, SOCK_STREAM | SOCK_CLOEXEC | (flags & SOCK_NONBLOCK), 0);
    ck_assert_int_ge(model, 0);
    plan.family = family;
    plan.flags = fcntl(model, F_GETFL);
    plan.cookie = sys_cookie(model);
}

static void learn(enum proxies_exact is)
{
    proxies_exact_learn(env.proxies, &settings.proxy[0], settings.dialect, is, sys_now_ms());
}

static enum proxies_exact known(void)
{
    return proxies_exact(env.proxies, &settings.proxy[0], settings.dialect, sys_now_ms(), NULL);
}

static void set_up(void)
{
    settings_default(&settings);
    settings.proxies = 1;
    listener = scripted_listen(AF_INET, true, true, &settings.proxy[0]);
    env = (struct reach_env){
        .settings = &settings, .proxies = proxies_map(NULL), .shared = shared_map(NULL)};
    ck_assert_ptr_nonnull(env.proxies);
    plan = (struct plan){.kind = PLAN_PROXY};
    ck_assert(addr_parse("198.51.100.7:80", &plan.peer));
    plan.target = target_from_addr(&plan.peer);
    model = -1;
    use_model(AF_INET, SOCK_NONBLOCK);
    learn(PROXIES_EXACT_YES);
}

static uint64_t counted(enum shared_count which)
{
    return shared_get(env.shared, which);
}

/* Another port of ours, where nobody listens. */
static void kill_concentrator(void)
{
    ck_assert_int_eq(close(listener), 0);
}

/* Its accept queue is full: SYNs are dropped. */
static void silence_concentrator(void)
{
    struct sockaddr_storage ss;
    socklen_t len = addr_to_sockaddr(&settings.proxy[0], &ss);

    ck_assert_int_eq(listen(listener, 0), 0);
    for (int i = 0; i < 2; i++) {
        int fill = scripted_socket(AF_INET, false);
        struct pollfd p = {.fd = fill, .events = POLLOUT};

        (void)connect(fill, (struct sockaddr *)&ss, len);
        (void)poll(&p, 1, 100); /* the second may wait for ever; it is only in the way */
    }
}

static int accepted(void)
{
    struct pollfd p = {.fd = listener, .events = POLLIN};

    ck_assert_int_eq(poll(&p, 1, SCRIPTED_PATIENCE_MS), 1);
    int fd = accept4(listener, NULL, NULL, SOCK_CLOEXEC);
    ck_assert_int_ge(fd, 0);
    return fd;
}

START_TEST(what_is_not_known_goes_the_ordinary_way_and_is_wished_for)
{
    unsigned before = open_fds();

    learn(PROXIES_EXACT_UNKNOWN);
    ck_assert_int_eq(inplace_connect(&env, &plan, model), INPLACE_NOT);
    shared_await_wish(env.shared); /* returns: there is one */
    learn(PROXIES_EXACT_NO);
    ck_assert_int_eq(inplace_connect(&env, &plan, model), INPLACE_NOT);
    ck_assert_uint_eq(counted(SHARED_CONNECTS), 0);
    ck_assert_uint_eq(sys_cookie(model), plan.cookie);
    ck_assert_uint_eq(open_fds(), before);
}
END_TEST

START_TEST(a_nonblocking_socket_is_replaced_at_once)
{
    static const uint8_t no_answer[] = {0xfa, 0xa8, 0xfa, 0xa8, 0xf3, 4};
    uint8_t request[64];
    struct truth t;
    unsigned before = open_fds();

    ck_assert_int_eq(inplace_connect(&env, &plan, model), -EINPROGRESS);
    ck_assert_uint_eq(open_fds(), before);
    ck_assert_uint_ne(sys_cookie(model), plan.cookie);
    ck_assert((fcntl(model, F_GETFL) & O_NONBLOCK) != 0);
    ck_assert(truth_get(env.shared, sys_cookie(model), &t));
    ck_assert_int_eq(t.state, TRUTH_KERNEL);
    ck_assert(addr_equal(&t.peer, &plan.peer));
    int there = accepted();
    ck_assert_int_eq(recv(there, request, sizeof request, 0), 24);
    ck_assert_int_eq(memcmp(request, no_answer, sizeof no_answer), 0);
    struct pollfd p = {.fd = model, .events = POLLOUT};
    ck_assert_int_eq(poll(&p, 1, SCRIPTED_PATIENCE_MS), 1);
    ck_assert_int_eq(inplace_again(&env, model, sys_cookie(model)), 0);
    ck_assert_int_eq(inplace_again(&env, model, sys_cookie(model)), -EISCONN);
    ck_assert_uint_eq(counted(SHARED_CONNECTS), 1);
    ck_assert_uint_eq(counted(SHARED_EXACT), 1);
    ck_assert_uint_eq(counted(SHARED_SUCCEEDED), 1);
    ck_assert_uint_eq(counted(SHARED_TFO), 1);
    ck_assert_uint_eq(counted(SHARED_MPTCP), 1);
    ck_assert_int_eq(close(there), 0);
}
END_TEST

START_TEST(a_blocking_socket_waits_and_blocks_on)
{
    use_model(AF_INET, 0);
    ck_assert_int_eq(inplace_connect(&env, &plan, model), 0);
    ck_assert_int_eq(fcntl(model, F_GETFL) & O_NONBLOCK, 0);
    ck_assert_int_eq(inplace_ask(model), -EISCONN);
    ck_assert_int_eq(known(), PROXIES_EXACT_YES);
    ck_assert_int_eq(close(accepted()), 0);
}
END_TEST

START_TEST(a_refusal_is_told_and_makes_doubtful)
{
    kill_concentrator();
    use_model(AF_INET, 0);
    ck_assert_int_eq(inplace_connect(&env, &plan, model), -ECONNREFUSED);
    ck_assert_int_eq(known(), PROXIES_EXACT_DOUBTFUL);
    ck_assert_uint_eq(counted(SHARED_REFUSED), 1);
    struct truth t;
    ck_assert(!truth_get(env.shared, sys_cookie(model), &t));
    plan.cookie = sys_cookie(model);
    ck_assert_int_eq(inplace_connect(&env, &plan, model), INPLACE_NOT);
    proxies_exact_doubt(env.proxies, &settings.proxy[0], settings.dialect, true);
    ck_assert_int_eq(inplace_connect(&env, &plan, model), -ECONNREFUSED);
    listener = scripted_listen(AF_INET, true, true, &settings.proxy[0]);
}
END_TEST

START_TEST(what_so_error_tells_is_learnt)
{
    int error = 0;

    kill_concentrator();
    ck_assert_int_eq(inplace_connect(&env, &plan, model), -EINPROGRESS);
    struct pollfd p = {.fd = model, .events = POLLOUT};
    ck_assert_int_eq(poll(&p, 1, SCRIPTED_PATIENCE_MS), 1);
    ck_assert_int_eq(sys_get_int(model, SOL_SOCKET, SO_ERROR, &error), 0);
    ck_assert_int_eq(error, ECONNREFUSED);
    inplace_told(&env, model, sys_cookie(model), error);
    ck_assert_int_eq(known(), PROXIES_EXACT_DOUBTFUL);
    ck_assert_int_eq(inplace_again(&env, model, sys_cookie(model)), -ECONNABORTED);
    ck_assert_uint_eq(counted(SHARED_REFUSED), 1); /* once */
    listener = scripted_listen(AF_INET, true, true, &settings.proxy[0]);
}
END_TEST

START_TEST(a_later_look_learns_too)
{
    kill_concentrator();
    ck_assert_int_eq(inplace_connect(&env, &plan, model), -EINPROGRESS);
    struct pollfd p = {.fd = model, .events = POLLOUT};
    ck_assert_int_eq(poll(&p, 1, SCRIPTED_PATIENCE_MS), 1);
    inplace_look(&env);
    ck_assert_int_eq(known(), PROXIES_EXACT_DOUBTFUL);
    listener = scripted_listen(AF_INET, true, true, &settings.proxy[0]);
}
END_TEST

START_TEST(one_that_ends_without_an_octet_is_perhaps_not_exact)
{
    struct linger hard = {.l_onoff = 1};

    use_model(AF_INET, 0);
    ck_assert_int_eq(inplace_connect(&env, &plan, model), 0);
    int there = accepted();
    ck_assert_int_eq(setsockopt(there, SOL_SOCKET, SO_LINGER, &hard, sizeof hard), 0);
    ck_assert_int_eq(close(there), 0);
    struct pollfd p = {.fd = model, .events = POLLIN};
    ck_assert_int_eq(poll(&p, 1, SCRIPTED_PATIENCE_MS), 1);
    inplace_look(&env);
    ck_assert_int_eq(known(), PROXIES_EXACT_UNKNOWN);
}
END_TEST

START_TEST(syn_data_that_was_not_taken_is_not_tried_again)
{
    ck_assert_int_eq(close(listener), 0);
    listener = scripted_listen(AF_INET, true, false, &settings.proxy[0]);
    ck_assert(scripted_tfo("1"));
    learn(PROXIES_EXACT_YES);
    use_model(AF_INET, 0);
    ck_assert_int_eq(inplace_connect(&env, &plan, model), 0);
    ck_assert_uint_eq(counted(SHARED_TFO_MISSED), 1);
    use_model(AF_INET, 0);
    ck_assert_int_eq(inplace_connect(&env, &plan, model), INPLACE_NOT);
    ck_assert(scripted_tfo("3"));
}
END_TEST

START_TEST(without_fast_open_it_is_the_ordinary_way)
{
    ck_assert(scripted_tfo("0"));
    ck_assert_int_eq(inplace_connect(&env, &plan, model), INPLACE_NOT);
    ck_assert_uint_eq(counted(SHARED_CONNECTS), 0);
    ck_assert(scripted_tfo("3"));
}
END_TEST

/* Each alone, where all else would allow it. */
static void forbid(int i)
{
    struct proxies_report away = {.reached = false};

    switch (i) {
    case 0:
        settings.exact = SETTINGS_EXACT_OFF;
        break;
    case 1:
        settings.tfo = SETTINGS_TFO_OFF;
        break;
    case 2:
        settings.on_failure = SETTINGS_DIRECT;
        break;
    case 3:
        ck_assert(target_from_host(span_of("example.net", 11), 80, &plan.target));
        break;
    case 4:
        plan.flags |= O_ASYNC;
        break;
    case 5: /* only the first in order is asked */
        settings.proxies = 2;
        settings.proxy[1] = settings.proxy[0];
        settings.proxy[1].port = 9;
        proxies_learn(env.proxies, &settings.proxy[0], &away, sys_now_ms());
        break;
    default:
        settings.dialect = PROTOCOL_SOCKS5;
        learn(PROXIES_EXACT_YES);
        break;
    }
}

START_TEST(it_is_made_only_where_it_can_be_true)
{
    forbid(_i);
    ck_assert_int_eq(inplace_connect(&env, &plan, model), INPLACE_NOT);
    ck_assert_uint_eq(counted(SHARED_EXACT), 0);
}
END_TEST

START_TEST(convert_has_its_own_request_and_knowledge)
{
    uint8_t request[64];

    settings.dialect = PROTOCOL_CONVERT;
    ck_assert_int_eq(inplace_connect(&env, &plan, model), INPLACE_NOT);
    learn(PROXIES_EXACT_YES);
    ck_assert_int_eq(inplace_connect(&env, &plan, model), -EINPROGRESS);
    int there = accepted();
    ck_assert_int_eq(recv(there, request, sizeof request, 0), 28);
    ck_assert_int_eq(close(there), 0);
}
END_TEST

/* 0, 1: IPv4; 2, 3: IPv6, to an IPv4 concentrator; TCP and MPTCP. */
START_TEST(asking_connects_to_nothing)
{
    settings.mptcp = _i % 2 != 0;
    use_model(_i < 2 ? AF_INET : AF_INET6, SOCK_NONBLOCK);
    silence_concentrator();
    ck_assert_int_eq(inplace_ask(model), -EAFNOSUPPORT);
    ck_assert_int_eq(inplace_connect(&env, &plan, model), -EINPROGRESS);
    ck_assert_int_eq(inplace_ask(model), -EALREADY);
    uint64_t cookie = sys_cookie(model);
    ck_assert_int_eq(inplace_again(&env, model, cookie), -EALREADY);
    ck_assert_int_eq(shutdown(model, SHUT_RDWR), 0);
    ck_assert_int_eq(inplace_again(&env, model, cookie), INPLACE_NOT);
    inplace_look(&env); /* forgotten: nothing is learnt of it */
    ck_assert_int_eq(known(), PROXIES_EXACT_YES);
}
END_TEST

START_TEST(a_former_port_is_not_bound_again)
{
    struct sockaddr_in at;
    socklen_t len = sizeof at;
    struct towards next;

    silence_concentrator();
    ck_assert_int_eq(inplace_connect(&env, &plan, model), -EINPROGRESS);
    ck_assert_int_eq(shutdown(model, SHUT_RDWR), 0);
    ck_assert_int_eq(towards_open(&next, &settings, &plan, &settings.proxy[0], model, true), 0);
    ck_assert_int_eq(getsockname(next.fd, (struct sockaddr *)&at, &len), 0);
    ck_assert_uint_eq(at.sin_port, 0);
    ck_assert_int_eq(close(next.fd), 0);
}
END_TEST

START_TEST(a_send_timeout_ends_the_wait)
{
    struct timeval soon = {.tv_usec = 20000};

    silence_concentrator();
    use_model(AF_INET, 0);
    ck_assert_int_eq(setsockopt(model, SOL_SOCKET, SO_SNDTIMEO, &soon, sizeof soon), 0);
    ck_assert_int_eq(inplace_connect(&env, &plan, model), -EINPROGRESS);
    ck_assert_int_eq(inplace_again(&env, model, sys_cookie(model)), -EALREADY);
    ck_assert_int_eq(known(), PROXIES_EXACT_YES);
}
END_TEST

START_TEST(a_socket_that_was_closed_is_not_judged)
{
    kill_concentrator();
    ck_assert_int_eq(inplace_connect(&env, &plan, model), -EINPROGRESS);
    use_model(AF_INET, 0); /* the same number, most likely */
    inplace_look(&env);
    ck_assert_int_eq(known(), PROXIES_EXACT_YES);
    listener = scripted_listen(AF_INET, true, true, &settings.proxy[0]);
}
END_TEST

START_TEST(the_watch_keeps_what_it_is_told)
{
    static struct inplace_watch w;
    struct inplace_seen got,
        s = {.cookie = 7, .fd = 1000, .pid = 4194303, .proxy = 7, .stood = true, .began_ms = 5};

    inplace_watch_add(&w, &s);
    ck_assert(inplace_watch_get(&w, 0, &got));
    ck_assert_uint_eq(got.cookie, 7);
    ck_assert_int_eq(got.fd, 1000);
    ck_assert_int_eq(got.pid, 4194303);
    ck_assert_uint_eq(got.proxy, 7);
    ck_assert(got.stood);
    ck_assert_uint_eq(got.began_ms, 5);
    ck_assert(!inplace_watch_get(&w, 1, &got));
    ck_assert(!inplace_watch_take(&w, 0, 8));
    ck_assert(inplace_watch_take(&w, 0, 7));
    ck_assert(!inplace_watch_take(&w, 0, 7));
    inplace_watch_put(&w, 0, &s);
    s.cookie = 9;
    inplace_watch_put(&w, 0, &s); /* there is another one */
    ck_assert(inplace_watch_get(&w, 0, &got));
    ck_assert_uint_eq(got.cookie, 7);
    for (uint64_t i = 0; i < INPLACE_WATCHED; i++) { /* the oldest makes way */
        s.cookie = 100 + i;
        inplace_watch_add(&w, &s);
    }
    ck_assert(inplace_watch_get(&w, 0, &got));
    ck_assert_uint_ne(got.cookie, 7);
    inplace_watch_clear(&w);
    for (unsigned i = 0; i < INPLACE_WATCHED; i++)
        ck_assert(!inplace_watch_get(&w, i, &got));
}
END_TEST

int main(void)
{
    Suite *s = suite_create("inplace");
    TCase *tc = tcase_create("inplace");

    if (!scripted_enter()) {
        (void)puts("needs a network namespace of its own, and MPTCP");
        return 77;
    }
    tcase_set_timeout(tc, 30);
    tcase_add_checked_fixture(tc, set_up, NULL);
    tcase_add_test(tc, what_is_not_known_goes_the_ordinary_way_and_is_wished_for);
    tcase_add_test(tc, a_nonblocking_socket_is_replaced_at_once);
    tcase_add_test(tc, a_blocking_socket_waits_and_blocks_on);
    tcase_add_test(tc, a_refusal_is_told_and_makes_doubtful);
    tcase_add_test(tc, what_so_error_tells_is_learnt);
    tcase_add_test(tc, a_later_look_learns_too);
    tcase_add_test(tc, one_that_ends_without_an_octet_is_perhaps_not_exact);
    tcase_add_test(tc, syn_data_that_was_not_taken_is_not_tried_again);
    tcase_add_test(tc, without_fast_open_it_is_the_ordinary_way);
    tcase_add_loop_test(tc, it_is_made_only_where_it_can_be_true, 0, 7);
    tcase_add_test(tc, convert_has_its_own_request_and_knowledge);
    tcase_add_loop_test(tc, asking_connects_to_nothing, 0, 4);
    tcase_add_test(tc, a_former_port_is_not_bound_again);
    tcase_add_test(tc, a_send_timeout_ends_the_wait);
    tcase_add_test(tc, a_socket_that_was_closed_is_not_judged);
    tcase_add_test(tc, the_watch_keeps_what_it_is_told);
    suite_add_tcase(s, tc);
    return runner_main(s);
}
