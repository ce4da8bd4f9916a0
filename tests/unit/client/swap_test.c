/* SPDX-License-Identifier: MIT */
#include "fds.h"
#include "install.h"
#include "placeholder.h"
#include "runner.h"
#include "socksd.h"
#include "swap.h"
#include "sys.h"
#include <errno.h>
#include <fcntl.h>
#include <netinet/tcp.h>
#include <pthread.h>
#include <string.h>
#include <sys/resource.h>
#include <sys/syscall.h>
#include <sys/wait.h>

#ifndef IPPROTO_MPTCP
#define IPPROTO_MPTCP 262
#endif
enum { MINIMAL_TTL = 21 /* IP_MINTTL */ };

static struct settings settings;
static struct reach_env env;
static struct socksd socksd;
static const uint8_t target_ip[4] = {192, 0, 2, 1};

static void setup(void)
{
    static const uint8_t loopback[4] = {127, 0, 0, 1};

    socksd = socksd_open();
    settings_default(&settings);
    settings.proxy[0] = addr_ipv4(loopback, socksd.port);
    settings.proxies = 1;
    settings.dialect = PROTOCOL_SOCKS5;
    settings.mptcp = false;
    settings.tfo = SETTINGS_TFO_OFF;
    settings.connect_ms = SOCKSD_PATIENCE_MS;
    settings.bypass.count = 0;
    env = (struct reach_env){
        .settings = &settings, .proxies = proxies_map(NULL), .shared = shared_map(NULL)};
    ck_assert_ptr_nonnull(env.proxies);
    ck_assert_ptr_nonnull(env.shared);
}

static int new_socket(void)
{
    int fd = socket(AF_INET, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0);

    ck_assert_int_ge(fd, 0);
    return fd;
}

static struct plan plan_to(int fd, const struct addr *a)
{
    struct sockaddr_storage to;
    socklen_t len = addr_to_sockaddr(a, &to);
    struct plan p = plan_connect(&settings, env.shared, fd, (const struct sockaddr *)&to, len);

    ck_assert_int_eq(p.kind, PLAN_PROXY);
    return p;
}

static struct plan plan_for(int fd)
{
    struct addr a = addr_ipv4(target_ip, 80);

    return plan_to(fd, &a);
}

static void begin(int fd)
{
    struct plan p = plan_for(fd);

    ck_assert_int_eq(swap_begin(&env, &p, fd), -EINPROGRESS);
}

static short ready(int fd)
{
    struct pollfd p = {.fd = fd, .events = POLLIN | POLLOUT | POLLRDHUP};

    ck_assert_int_ge(poll(&p, 1, 0), 0);
    return p.revents;
}

static void wait_until_idle(void)
{
    for (int i = 0; i < SOCKSD_PATIENCE_MS && swap_pending() > 0; i++)
        (void)poll(NULL, 0, 1); /* the helper has no other event to give */
    ck_assert_uint_eq(swap_pending(), 0);
}

static struct truth truth_of(int fd)
{
    struct truth t;

    ck_assert(truth_get(env.shared, sys_cookie(fd), &t));
    return t;
}

static int so_error(int fd)
{
    int error = -1;

    ck_assert_int_eq(sys_get_int(fd, SOL_SOCKET, SO_ERROR, &error), 0);
    return error;
}

/* What a connect() that the kernel refuses shows; the same for ours. */
static void is_refused_like_any(int fd)
{
    struct sockaddr_in to = {.sin_family = AF_INET, .sin_addr.s_addr = htonl(INADDR_LOOPBACK)};
    int other = new_socket();
    char c;

    ck_assert_int_eq(sys_connect(other, (struct sockaddr *)&to, sizeof to), -EINPROGRESS);
    socksd_wait(other, POLLOUT);
    ck_assert_int_eq(ready(fd), ready(other));
    ck_assert_int_eq(sys_recv(fd, &c, 1, 0), sys_recv(other, &c, 1, 0));
    ck_assert_int_eq(ready(fd), ready(other));
    ck_assert_int_eq(sys_recv(fd, &c, 1, 0), sys_recv(other, &c, 1, 0));
    ck_assert_int_eq(sys_send(fd, "", 1, MSG_NOSIGNAL), sys_send(other, "", 1, MSG_NOSIGNAL));
    ck_assert_int_eq(close(other), 0);
}

START_TEST(a_pending_socket_is_one_in_syn_sent)
{
    struct sockaddr_in peer = {.sin_family = AF_INET};
    socklen_t len = sizeof peer;
    int fd = new_socket();
    char c;

    begin(fd);
    int client = socksd_accept(&socksd);

    ck_assert_int_eq(ready(fd), 0);
    ck_assert_int_eq(so_error(fd), 0);
    ck_assert_int_eq(sys_getpeername(fd, (struct sockaddr *)&peer, &len), -ENOTCONN);
    ck_assert_int_eq(sys_connect(fd, (struct sockaddr *)&peer, sizeof peer), -EALREADY);
    ck_assert_int_eq(sys_recv(fd, &c, 1, 0), -EAGAIN);
    ck_assert_int_eq(sys_send(fd, "", 1, MSG_NOSIGNAL), -EAGAIN);
    ck_assert_int_eq(truth_of(fd).state, TRUTH_PENDING);
    ck_assert(install_busy());
    ck_assert_uint_eq(swap_pending(), 1);
    ck_assert_int_eq(swap_again(sys_cookie(fd), 1), -EALREADY);
    ck_assert_int_eq(close(client), 0);
}
END_TEST

START_TEST(an_answered_socket_takes_the_place)
{
    int fd = new_socket(), on = 1, idle = 0;
    uint8_t octets[4];

    begin(fd);
    int client = socksd_accept(&socksd);
    /* set while pending */
    ck_assert_int_eq(setsockopt(fd, IPPROTO_TCP, TCP_NODELAY, &on, sizeof on), 0);
    on = 77;
    ck_assert_int_eq(setsockopt(fd, IPPROTO_TCP, TCP_KEEPIDLE, &on, sizeof on), 0);
    socksd_answer(client, 0);
    socksd_wait(fd, POLLOUT);
    ck_assert_int_eq(ready(fd), POLLOUT);
    ck_assert_int_eq(so_error(fd), 0);
    ck_assert_int_eq(fcntl(fd, F_GETFD), FD_CLOEXEC);
    ck_assert_int_ne(fcntl(fd, F_GETFL) & O_NONBLOCK, 0);
    ck_assert_int_eq(sys_get_int(fd, IPPROTO_TCP, TCP_NODELAY, &on), 0);
    ck_assert_int_eq(on, 1);
    ck_assert_int_eq(sys_get_int(fd, IPPROTO_TCP, TCP_KEEPIDLE, &idle), 0);
    ck_assert_int_eq(idle, 77);
    ck_assert_int_eq(sys_get_int(fd, IPPROTO_IP, MINIMAL_TTL, &on), 0);
    ck_assert_int_eq(on, 0);

    struct truth t = truth_of(fd);
    struct addr asked = addr_ipv4(target_ip, 80);

    ck_assert_int_eq(t.state, TRUTH_CONNECTED);
    ck_assert(t.unreported);
    ck_assert(addr_equal(&t.peer, &asked));
    ck_assert_int_eq(send(client, "data", 4, 0), 4);
    socksd_read(fd, octets, 4);
    ck_assert_mem_eq(octets, "data", 4);
    wait_until_idle();
    ck_assert(!install_busy());
    ck_assert_int_eq(close(fd), 0);
    socksd_gone(client);
}
END_TEST

static const uint8_t codes[] = {SOCKSD_REFUSED, SOCKSD_UNREACHABLE};
static const int errors[] = {ECONNREFUSED, EHOSTUNREACH};

START_TEST(a_refused_socket_looks_like_any_refused_one)
{
    int fd = new_socket(), error = 0;

    begin(fd);
    int client = socksd_accept(&socksd);

    socksd_answer(client, codes[_i]);
    socksd_wait(fd, POLLOUT);
    wait_until_idle();
    struct truth t = truth_of(fd);

    ck_assert_int_eq(t.state, TRUTH_FAILED);
    ck_assert_int_eq(t.error, errors[_i]);
    ck_assert(truth_report(env.shared, sys_cookie(fd), &error));
    ck_assert_int_eq(error, errors[_i]);
    is_refused_like_any(fd);
    socksd_gone(client);
}
END_TEST

static const struct {
    uint32_t flags;
    bool before;
} registrations[] = {{0, false}, {EPOLLET, false}, {EPOLLONESHOT, false},
                     {0, true},  {EPOLLET, true},  {EPOLLONESHOT, true}};

START_TEST(epoll_tells_of_it_however_it_was_registered)
{
    struct epoll_event ev = {.events = EPOLLIN | EPOLLOUT | registrations[_i / 2].flags,
                             .data.u64 = 4711};
    int fd = new_socket(), ep = epoll_create1(0);
    bool refused = _i % 2 != 0;

    install_saw_epoll(ep, fd);
    if (registrations[_i / 2].before)
        ck_assert_int_eq(epoll_ctl(ep, EPOLL_CTL_ADD, fd, &ev), 0);
    begin(fd);
    if (!registrations[_i / 2].before)
        ck_assert_int_eq(epoll_ctl(ep, EPOLL_CTL_ADD, fd, &ev), 0);
    ck_assert_int_eq(epoll_wait(ep, &ev, 1, 0), 0);
    int client = socksd_accept(&socksd);

    socksd_answer(client, refused ? SOCKSD_REFUSED : 0);
    ck_assert_int_eq(epoll_wait(ep, &ev, 1, SOCKSD_PATIENCE_MS), 1);
    ck_assert_uint_eq(ev.data.u64, 4711);
    /* The kernel publishes an error before the state that goes with it. */
    ck_assert_uint_ne(ev.events & (EPOLLOUT | EPOLLERR), 0);
    wait_until_idle();
    ck_assert_int_eq((ready(fd) & POLLERR) != 0, refused);
    ck_assert_int_eq(truth_of(fd).state, refused ? TRUTH_FAILED : TRUTH_CONNECTED);
}
END_TEST

START_TEST(a_closed_socket_drops_its_request)
{
    int fd = new_socket();

    begin(fd);
    int client = socksd_accept(&socksd);

    ck_assert_int_eq(close(fd), 0);
    swap_closed(fd, fd);
    socksd_gone(client);
    wait_until_idle();
}
END_TEST

START_TEST(what_took_the_number_is_left_alone)
{
    int fd = new_socket(), other = new_socket();

    begin(fd);
    int client = socksd_accept(&socksd);

    ck_assert_int_eq(dup2(other, fd), fd);
    socksd_answer(client, (uint8_t)(_i == 0 ? 0 : SOCKSD_REFUSED));
    socksd_gone(client);
    wait_until_idle();
    ck_assert_uint_eq(sys_cookie(fd), sys_cookie(other));
    ck_assert_int_eq(so_error(other), 0);
}
END_TEST

START_TEST(a_shut_down_socket_stays_so)
{
    int fd = new_socket();

    begin(fd);
    int client = socksd_accept(&socksd);
    uint64_t cookie = sys_cookie(fd);

    ck_assert_int_eq(shutdown(fd, SHUT_RDWR), 0);
    socksd_answer(client, 0);
    socksd_gone(client);
    wait_until_idle();
    ck_assert_uint_eq(sys_cookie(fd), cookie);
    ck_assert_int_ne(ready(fd) & POLLHUP, 0);
}
END_TEST

START_TEST(unspec_makes_it_as_it_was)
{
    struct sockaddr_in to = {.sin_family = AF_INET, .sin_addr.s_addr = htonl(INADDR_LOOPBACK)};
    int fd = new_socket(), ttl = -1;

    begin(fd);
    int client = socksd_accept(&socksd);

    swap_forget(sys_cookie(fd));
    socksd_gone(client);
    wait_until_idle();
    ck_assert_int_eq(sys_get_int(fd, IPPROTO_IP, MINIMAL_TTL, &ttl), 0);
    ck_assert_int_eq(ttl, 0);
    to.sin_port = htons(socksd.port);
    ck_assert_int_eq(sys_connect(fd, (struct sockaddr *)&to, sizeof to), -EINPROGRESS);
    socksd_wait(fd, POLLOUT);
    ck_assert_int_eq(so_error(fd), 0);
}
END_TEST

START_TEST(a_bound_socket_keeps_its_port)
{
    struct sockaddr_in at = {.sin_family = AF_INET, .sin_addr.s_addr = htonl(INADDR_LOOPBACK)};
    struct sockaddr_in peer;
    socklen_t len = sizeof at;
    int fd = new_socket(), on = 1;

    ck_assert_int_eq(setsockopt(fd, SOL_SOCKET, SO_REUSEADDR, &on, sizeof on), 0);
    ck_assert_int_eq(bind(fd, (struct sockaddr *)&at, sizeof at), 0);
    ck_assert_int_eq(getsockname(fd, (struct sockaddr *)&at, &len), 0);
    begin(fd);
    ck_assert_int_eq(ready(fd), 0);
    int client = socksd_accept(&socksd);

    len = sizeof peer;
    ck_assert_int_eq(getpeername(client, (struct sockaddr *)&peer, &len), 0);
    ck_assert_int_eq(peer.sin_port, at.sin_port);
    socksd_answer(client, 0);
    socksd_wait(fd, POLLOUT);
    wait_until_idle();
    ck_assert_int_eq(truth_of(fd).state, TRUTH_CONNECTED);
}
END_TEST

START_TEST(an_mptcp_socket_of_the_program_works_as_well)
{
    int fd = socket(AF_INET, SOCK_STREAM | SOCK_NONBLOCK, IPPROTO_MPTCP);

    if (fd < 0)
        return; /* this kernel has none */
    begin(fd);
    ck_assert_int_eq(ready(fd), 0);
    int client = socksd_accept(&socksd);

    socksd_answer(client, (uint8_t)(_i == 0 ? 0 : SOCKSD_REFUSED));
    socksd_wait(fd, POLLOUT);
    wait_until_idle();
    ck_assert_int_eq(truth_of(fd).state, _i == 0 ? TRUTH_CONNECTED : TRUTH_FAILED);
    if (_i != 0)
        is_refused_like_any(fd);
}
END_TEST

START_TEST(an_option_mptcp_lacks_is_lost_once)
{
    struct sockaddr_in at = {.sin_family = AF_INET, .sin_addr.s_addr = htonl(INADDR_LOOPBACK)};
    int fd = new_socket(),
        listener = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, IPPROTO_MPTCP);

    if (listener < 0)
        return; /* this kernel has none */
    /* After a fallback to TCP no option is lost. */
    at.sin_port = htons(socksd.port);
    ck_assert_int_eq(close(socksd.listener), 0);
    ck_assert_int_eq(sys_set_int(listener, SOL_SOCKET, SO_REUSEADDR, 1), 0);
    ck_assert_int_eq(bind(listener, (const struct sockaddr *)&at, sizeof at), 0);
    ck_assert_int_eq(listen(listener, 1), 0);
    socksd.listener = listener;
    settings.mptcp = true;
    ck_assert_int_eq(sys_set_int(fd, IPPROTO_TCP, TCP_USER_TIMEOUT, 5000), 0);
    begin(fd);
    if (_i != 0) /* while it is pending */
        ck_assert_int_eq(sys_set_int(fd, IPPROTO_TCP, TCP_SYNCNT, 3), 0);
    socksd_answer(socksd_accept(&socksd), 0);
    socksd_wait(fd, POLLOUT);
    wait_until_idle();
    ck_assert_uint_eq(shared_get(env.shared, SHARED_MPTCP), 1);
    ck_assert_uint_eq(shared_get(env.shared, SHARED_OPTION_LOST), _i == 0 ? 1 : 2);
}
END_TEST

static void *answer_next(void *code)
{
    socksd_answer(socksd_accept(&socksd), *(const uint8_t *)code);
    return NULL;
}

START_TEST(a_wait_gets_the_verdict)
{
    uint8_t code = _i == 0 ? 0 : SOCKSD_REFUSED;
    int fd = new_socket();
    pthread_t id;

    begin(fd);
    ck_assert_int_eq(pthread_create(&id, NULL, answer_next, &code), 0);
    int rc = swap_again(sys_cookie(fd), 0);

    /* EALREADY: the verdict came first, and the placeholder is no more. */
    ck_assert(rc == -EALREADY || rc == (_i == 0 ? 0 : -ECONNREFUSED));
    ck_assert_int_eq(pthread_join(id, NULL), 0);
}
END_TEST

START_TEST(an_interrupted_wait_is_taken_over)
{
    int fd = new_socket();
    struct plan p = plan_for(fd);
    struct reach r;

    ck_assert_int_eq(reach_start(&r, &env, &p, fd, 0), DIAL_WAIT);
    ck_assert_int_eq(swap_adopt(&r, fd), -EINPROGRESS);
    memset(&r, 0xee, sizeof r); /* it was copied */
    int client = socksd_accept(&socksd);

    socksd_answer(client, 0);
    socksd_wait(fd, POLLOUT);
    wait_until_idle();
    ck_assert_int_eq(truth_of(fd).state, TRUTH_CONNECTED);
}
END_TEST

START_TEST(garbage_and_silence_end_with_an_errno)
{
    int fd = new_socket();

    settings.connect_ms = 300;
    begin(fd);
    int client = socksd_accept(&socksd);

    if (_i == 0)
        ck_assert_int_eq(send(client, "garbage", 7, 0), 7);
    else if (_i == 1)
        ck_assert_int_eq(close(client), 0);
    socksd_wait(fd, POLLOUT);
    wait_until_idle();
    ck_assert_int_eq(truth_of(fd).state, TRUTH_FAILED);
    ck_assert_int_ne(truth_of(fd).error, 0);
    if (_i == 2)
        ck_assert_int_eq(truth_of(fd).error, ETIMEDOUT);
}
END_TEST

/* No concentrator, and the target is there. */
START_TEST(direct_only_when_asked_for)
{
    struct socksd target = socksd_open();
    struct addr a = settings.proxy[0];
    int fd = new_socket();

    a.port = target.port;
    ck_assert_int_eq(close(socksd.listener), 0);
    settings.on_failure = _i == 0 ? SETTINGS_DIRECT : SETTINGS_FAIL;
    struct plan p = plan_to(fd, &a);

    ck_assert_int_eq(swap_begin(&env, &p, fd), -EINPROGRESS);
    socksd_wait(fd, POLLOUT);
    wait_until_idle();
    if (_i == 0) {
        ck_assert_int_eq(so_error(fd), 0);
        ck_assert_int_eq(ready(fd), POLLOUT);
        socksd_wait(target.listener, POLLIN);
    } else {
        ck_assert_int_eq(truth_of(fd).error, ECONNREFUSED);
        is_refused_like_any(fd);
    }
}
END_TEST

static void limit_fds(rlim_t soft, rlim_t hard)
{
    struct rlimit l = {soft, hard};

    ck_assert_int_eq(setrlimit(RLIMIT_NOFILE, &l), 0);
}

/* Lowered while it is pending: the number of the socket lies above the limit, or every number
 * below is taken. The soft limit can be raised for the moment, the hard one is the kernel's. */
START_TEST(no_room_for_another_descriptor)
{
    enum { ROOM = 96 };
    struct rlimit was, now;
    bool high = _i < 2, soft = _i % 2 == 0, fails = high && !soft;
    int fd = new_socket();

    ck_assert_int_eq(getrlimit(RLIMIT_NOFILE, &was), 0);
    if (high) {
        ck_assert_int_eq(dup2(fd, ROOM), ROOM);
        ck_assert_int_eq(close(fd), 0);
        fd = ROOM;
    }
    begin(fd);
    int client = socksd_accept(&socksd);

    limit_fds(ROOM, soft ? was.rlim_max : ROOM);
    if (!high)
        while (dup(client) >= 0)
            ;
    socksd_answer(client, 0);
    socksd_wait(fd, POLLOUT);
    wait_until_idle();
    ck_assert_int_eq(getrlimit(RLIMIT_NOFILE, &now), 0);
    ck_assert_uint_eq(now.rlim_cur, ROOM);
    ck_assert_uint_eq(now.rlim_max, soft ? was.rlim_max : ROOM);
    ck_assert_int_eq(truth_of(fd).state, fails ? TRUTH_FAILED : TRUTH_CONNECTED);
    if (fails)
        ck_assert_int_eq(truth_of(fd).error, EMFILE);
    else
        ck_assert_int_eq(ready(fd), POLLOUT);
}
END_TEST

/* Nor for the descriptor that keeps the placeholder meanwhile. */
START_TEST(a_refusal_needs_no_descriptor)
{
    enum { ROOM = 96 };
    int filler = dup(0);

    while (dup(filler) < ROOM - 1)
        ;
    int fd = new_socket();

    begin(fd);
    int client = socksd_accept(&socksd);

    limit_fds(ROOM, ROOM); /* whatever is closed now is above it */
    socksd_answer(client, SOCKSD_REFUSED);
    socksd_wait(fd, POLLOUT);
    wait_until_idle();
    ck_assert_int_eq(truth_of(fd).state, TRUTH_FAILED);
    ck_assert_int_eq(truth_of(fd).error, ECONNREFUSED);
    ck_assert_int_eq(so_error(fd), ECONNREFUSED);
    for (int i = filler; i < ROOM; i++) /* memory checkers want some at the end */
        ck_assert_int_eq(close(i), 0);
}
END_TEST

/* The kernel sends the SYN again after a second, and then the loopback answers. */
START_TEST(a_sealed_placeholder_waits_on)
{
    enum { SECOND_SYN_MS = 1500 };
    struct placeholder p;
    int fd = new_socket(), ttl = -1;
    struct pollfd w = {.fd = fd, .events = POLLIN | POLLOUT};

    ck_assert_int_eq(placeholder_park(fd, AF_INET, &p), 0);
    placeholder_seal(fd, &p);
    ck_assert_int_eq(sys_get_int(fd, IPPROTO_IP, MINIMAL_TTL, &ttl), 0);
    ck_assert_int_eq(ttl, 0);
    ck_assert_int_eq(poll(&w, 1, SECOND_SYN_MS), 0);
    ck_assert(placeholder_waits(fd));
    placeholder_fail(fd, &p);
    socksd_wait(fd, POLLOUT);
    ck_assert_int_eq(so_error(fd), ECONNREFUSED);
}
END_TEST

START_TEST(a_forked_child_begins_anew)
{
    int fd = new_socket(), status = 0;

    begin(fd);
    int client = socksd_accept(&socksd);
    pid_t child = fork();

    ck_assert_int_ge(child, 0);
    if (child == 0) {
        install_forked();
        swap_forked();
        int own = new_socket();
        bool ok = swap_pending() == 0 && !install_busy();
        struct plan p = plan_for(own);

        ok = ok && swap_begin(&env, &p, own) == -EINPROGRESS;
        socksd_answer(socksd_accept(&socksd), 0);
        socksd_wait(own, POLLOUT);
        _exit(ok && so_error(own) == 0 ? 0 : 1);
    }
    ck_assert_int_eq(waitpid(child, &status, 0), child);
    ck_assert_int_eq(status, 0);
    socksd_answer(client, 0); /* the parent's is as it was */
    socksd_wait(fd, POLLOUT);
    wait_until_idle();
    ck_assert_int_eq(truth_of(fd).state, TRUTH_CONNECTED);
}
END_TEST

/* Programs close what they do not know: closefrom(3). */
START_TEST(descriptors_closed_under_it_do_no_harm)
{
    int fd = new_socket(), later = new_socket();

    begin(fd);
    int client = socksd_accept(&socksd);
    int mine = client > later ? client : later;

    ck_assert_int_eq((int)sys_call(SYS_close_range, mine + 1, INT32_MAX, 0, 0, 0, 0), 0);
    (void)fcntl(later, F_DUPFD, mine + 1); /* somebody else's now */
    swap_closed(mine + 1, INT32_MAX);
    wait_until_idle();
    ck_assert_int_eq(fcntl(later, F_GETFD), FD_CLOEXEC);
    begin(later);
    int other = socksd_accept(&socksd);

    socksd_answer(other, 0);
    socksd_wait(later, POLLOUT);
}
END_TEST

START_TEST(no_descriptor_is_left)
{
    unsigned before = open_fds();

    for (int i = 0; i < 60; i++) {
        int fd = new_socket();

        begin(fd);
        int client = socksd_accept(&socksd);

        if (i % 3 != 0)
            socksd_answer(client, (uint8_t)(i % 3 == 1 ? 0 : SOCKSD_REFUSED));
        if (i % 3 != 0)
            socksd_wait(fd, POLLOUT);
        ck_assert_int_eq(close(fd), 0);
        swap_closed(fd, fd);
        socksd_gone(client);
        ck_assert_int_eq(close(client), 0);
    }
    wait_until_idle();
    /* The helper keeps one while it rests, and gives it back when it ends. */
    for (int i = 0; i < SOCKSD_PATIENCE_MS && open_fds() > before; i++)
        (void)poll(NULL, 0, 1);
    ck_assert_uint_eq(open_fds(), before);
}
END_TEST

int main(void)
{
    Suite *s = suite_create("swap");
    TCase *c = tcase_create("swap");

    tcase_set_timeout(c, 60);
    tcase_add_checked_fixture(c, setup, NULL);
    tcase_add_test(c, a_pending_socket_is_one_in_syn_sent);
    tcase_add_test(c, an_answered_socket_takes_the_place);
    tcase_add_loop_test(c, a_refused_socket_looks_like_any_refused_one, 0, 2);
    tcase_add_loop_test(c, epoll_tells_of_it_however_it_was_registered, 0, 12);
    tcase_add_test(c, a_closed_socket_drops_its_request);
    tcase_add_loop_test(c, what_took_the_number_is_left_alone, 0, 2);
    tcase_add_test(c, a_shut_down_socket_stays_so);
    tcase_add_test(c, unspec_makes_it_as_it_was);
    tcase_add_test(c, a_bound_socket_keeps_its_port);
    tcase_add_loop_test(c, an_mptcp_socket_of_the_program_works_as_well, 0, 2);
    tcase_add_loop_test(c, an_option_mptcp_lacks_is_lost_once, 0, 2);
    tcase_add_loop_test(c, a_wait_gets_the_verdict, 0, 2);
    tcase_add_test(c, an_interrupted_wait_is_taken_over);
    tcase_add_loop_test(c, garbage_and_silence_end_with_an_errno, 0, 3);
    tcase_add_loop_test(c, direct_only_when_asked_for, 0, 2);
    tcase_add_loop_test(c, no_room_for_another_descriptor, 0, 4);
    tcase_add_test(c, a_refusal_needs_no_descriptor);
    tcase_add_test(c, a_sealed_placeholder_waits_on);
    tcase_add_test(c, a_forked_child_begins_anew);
    tcase_add_test(c, descriptors_closed_under_it_do_no_harm);
    tcase_add_test(c, no_descriptor_is_left);
    suite_add_tcase(s, c);
    return runner_main(s);
}
