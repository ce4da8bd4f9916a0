/* SPDX-License-Identifier: MIT */
/* A target that is an address: one attempt, over loopback. Names are in connector_names_test.c.
 */
#include "connector_fixture.h"
#include "fault.h"
#include "fault_calls.h"
#include "runner.h"
#include <net/if.h>
#include <sched.h>
#include <sys/ioctl.h>

/* ---- Addresses ---- */

START_TEST(an_address_is_connected_to)
{
    ck_assert(start("127.0.0.1"));
    wait_done();
    ck_assert_int_eq(t.why.why, OUTCOME_OK);
    ck_assert_int_ne(fcntl(t.up.fd, F_GETFL) & O_NONBLOCK, 0);
    ck_assert_int_ne(fcntl(t.up.fd, F_GETFD) & FD_CLOEXEC, 0);
    ck_assert(!t.up.mptcp);
    ck_assert_uint_eq(t.up.early_sent, 0);
    ck_assert_int_eq(send(t.up.fd, "x", 1, 0), 1);
    int peer = accept4(t.listener, NULL, NULL, 0);
    char octet;
    ck_assert_int_ge(peer, 0);
    ck_assert_int_eq(recv(peer, &octet, 1, 0), 1);
    (void)close(peer);
    drop_connection();
    ck_assert_uint_eq(count(STAT_CONNECT_ATTEMPTS), 1);
    ck_assert_uint_eq(count(STAT_CONNECT_SUCCESS), 1);
    ck_assert_uint_eq(count(STAT_UPSTREAM_IPV4), 1);
    ck_assert_uint_eq(atomic_load(&t.stats->histogram[HISTOGRAM_CONNECT].count), 1);
    ck_assert_str_eq(t.checked_user, "alice");
    ck_assert_str_eq(t.checked_name, "-");
}
END_TEST

START_TEST(an_address_costs_three_calls_and_one_allocation)
{
    ck_assert(start("127.0.0.1")); /* once, so that the poller has its table */
    expect_connected("127.0.0.1");
    fault_calls_reset();
    fault_after(0);
    ck_assert(start("127.0.0.1"));
    ck_assert_uint_eq(fault_allocations(), 1);
    wait_done();
    ck_assert_uint_eq(fault_call_count(FAULT_socket), 1);
    ck_assert_uint_eq(fault_call_count(FAULT_setsockopt), 0);
    ck_assert_uint_eq(fault_call_count(FAULT_connect), 1);
    ck_assert_uint_eq(fault_call_count(FAULT_epoll_ctl), 1);
    ck_assert_uint_eq(fault_call_count(FAULT_getsockopt), 0);
    ck_assert_uint_eq(fault_call_count(FAULT_recvmsg), 0);
    ck_assert_uint_eq(fault_call_count(FAULT_uv_timer_init), 0);
    drop_connection();
}
END_TEST

START_TEST(an_ipv6_address_is_connected_to)
{
    int listener = listen_on("::1", &t.port, 4, 0);

    ck_assert(start("::1"));
    wait_done();
    ck_assert_int_eq(t.why.why, OUTCOME_OK);
    ck_assert_int_eq(option(t.up.fd, IPPROTO_IPV6, IPV6_RECVERR), 1);
    ck_assert_uint_eq(count(STAT_UPSTREAM_IPV6), 1);
    drop_connection();
    (void)close(listener);
}
END_TEST

START_TEST(a_refusal_is_told)
{
    static const char *const host[] = {"127.0.0.1", "::1"};

    (void)shutdown(t.listener,
                   SHUT_RDWR); /* nobody listens any more, and nobody else gets the port */
    for (size_t i = 0; i < ARRAY_LEN(host); i++) {
        ck_assert(start(host[i]));
        expect_failure(OUTCOME_REFUSED);
    }
    ck_assert_uint_eq(count(STAT_CONNECT_ATTEMPTS), 2);
    ck_assert_uint_eq(count(STAT_CONNECT_SUCCESS), 0);
}
END_TEST

START_TEST(a_denied_address_is_never_contacted)
{
    deny("127.0.0.1");
    fault_calls_reset();
    ck_assert(start("127.0.0.1"));
    expect_failure(OUTCOME_DENIED);
    ck_assert_int_eq(t.denied_by, ACL_CAUSE_DEFAULT_PRIVATE);
    ck_assert_uint_eq(fault_call_count(FAULT_socket), 0);
    ck_assert_uint_eq(count(STAT_ACL_DEFAULT_PRIVATE), 1);
    ck_assert_uint_eq(count(STAT_CONNECT_ATTEMPTS), 0);
    ck_assert(nothing_arrived(t.listener));
}
END_TEST

START_TEST(lack_of_resources_is_told)
{
    static const struct {
        enum fault_call call;
        int error;
        enum stat_id counter;
    } row[] = {
        {FAULT_socket, EMFILE, STAT_EMFILE},
        {FAULT_socket, ENFILE, STAT_EMFILE},
        {FAULT_socket, ENOBUFS, STAT_COUNT},
        {FAULT_connect, EADDRNOTAVAIL, STAT_PORTS_EXHAUSTED},
        {FAULT_connect, ENOBUFS, STAT_COUNT},
        {FAULT_epoll_ctl, ENOSPC, STAT_COUNT},
    };

    for (size_t i = 0; i < ARRAY_LEN(row); i++) {
        uint64_t before = row[i].counter == STAT_COUNT ? 0 : count(row[i].counter);
        fault_call_after(row[i].call, 1, row[i].error);
        ck_assert(start("127.0.0.1"));
        expect_failure(OUTCOME_NO_RESOURCES);
        if (row[i].counter != STAT_COUNT)
            ck_assert_uint_eq(count(row[i].counter), before + 1);
    }
}
END_TEST

START_TEST(a_host_without_ipv6_is_no_lack_of_ports)
{
    fault_call_always(FAULT_connect, EADDRNOTAVAIL);
    ck_assert(start("2001:db8::1"));
    expect_failure(OUTCOME_NO_ROUTE);
    fault_call_after(FAULT_connect, 1, EADDRNOTAVAIL); /* but ::1 has a source address */
    ck_assert(start("::1"));
    expect_failure(OUTCOME_NO_RESOURCES);
    ck_assert_uint_eq(count(STAT_PORTS_EXHAUSTED), 1);
}
END_TEST

START_TEST(a_missing_route_is_told)
{
    fault_call_after(FAULT_connect, 1, ENETUNREACH);
    ck_assert(start("127.0.0.1"));
    expect_failure(OUTCOME_NO_ROUTE);
}
END_TEST

START_TEST(a_reset_right_after_the_handshake_is_a_failure_or_an_edge)
{
    static const struct linger hard = {.l_onoff = 1};

    ck_assert(start("127.0.0.1"));
    int peer = accept4(t.listener, NULL, NULL, 0);
    ck_assert_int_ge(peer, 0);
    ck_assert_int_eq(setsockopt(peer, SOL_SOCKET, SO_LINGER, &hard, sizeof hard), 0);
    (void)close(peer); /* RST before we looked */
    expect_failure(OUTCOME_REFUSED);
}
END_TEST

START_TEST(mptcp_is_offered_when_asked_for)
{
    struct target target = target_of("127.0.0.1", t.port);
    struct connector_request req = request_of(&target);

    if (!mptcp_enabled())
        return; /* then there is only TCP, and every other test is about that */
    req.want_mptcp = true;
    ck_assert(start_request(&req)); /* a TCP server: falls back */
    wait_done();
    ck_assert_int_eq(t.why.why, OUTCOME_OK);
    ck_assert(t.up.mptcp);
    ck_assert_int_eq(option(t.up.fd, SOL_SOCKET, SO_PROTOCOL), IPPROTO_MPTCP);
    ck_assert_uint_eq(count(STAT_UPSTREAM_MPTCP), 0);
    drop_connection();

    uint16_t port = 0;
    int listener = listen_on("127.0.0.1", &port, 4, IPPROTO_MPTCP);
    target.port = port;
    ck_assert(start_request(&req));
    wait_done();
    ck_assert_int_eq(t.why.why, OUTCOME_OK);
    ck_assert_uint_eq(count(STAT_UPSTREAM_MPTCP), 1);
    drop_connection();
    (void)close(listener);
}
END_TEST

/* ---- Early data ---- */

START_TEST(early_data_is_kept_when_the_kernel_does_not_take_it)
{
    static const int error[] = {EOPNOTSUPP, EINPROGRESS};

    for (size_t i = 0; i < ARRAY_LEN(error); i++) {
        struct target target = target_of("127.0.0.1", t.port);
        struct connector_request req = request_of(&target);
        req.fastopen = true;
        req.early = span_of("hello", 5);
        if (error[i] == EOPNOTSUPP) /* switched off: a plain connect */
            fault_call_after(FAULT_sendto, 1, error[i]);
        ck_assert(start_request(&req)); /* else: no cookie from this server, ever */
        wait_done();
        ck_assert_int_eq(t.why.why, OUTCOME_OK);
        ck_assert_uint_eq(t.up.early_sent, 0);
        int peer = accept4(t.listener, NULL, NULL, SOCK_NONBLOCK);
        char octet;
        ck_assert_int_ge(peer, 0);
        ck_assert_int_eq(recv(peer, &octet, 1, 0), -1);
        (void)close(peer);
        drop_connection();
    }
}
END_TEST

/* A network namespace of our own (only this test's process is in it) with loopback up and Fast
 * Open without cookies, in both directions: net.ipv4.tcp_fastopen bits 1, 2, 4, 0x200, 0x400.
 */
static bool enter_fastopen_lab(void)
{
    static const char value[] = "1543";
    struct ifreq lo = {.ifr_name = "lo", .ifr_flags = IFF_UP};

    if (unshare(CLONE_NEWNET) != 0 && unshare(CLONE_NEWUSER | CLONE_NEWNET) != 0)
        return false;
    int fd = socket(AF_INET, SOCK_DGRAM, 0);
    bool up = fd >= 0 && ioctl(fd, SIOCSIFFLAGS, &lo) == 0;
    (void)close(fd);
    fd = open("/proc/sys/net/ipv4/tcp_fastopen", O_WRONLY);
    bool set = fd >= 0 && write(fd, value, sizeof value - 1) == sizeof value - 1;
    (void)close(fd);
    return up && set;
}

START_TEST(early_data_goes_with_the_syn)
{
    uint16_t port = 0;

    if (!enter_fastopen_lab()) {
        (void)fprintf(stderr,
                      "skipped: early_data_goes_with_the_syn needs a network namespace\n");
        return;
    }
    int listener = listen_on("127.0.0.1", &port, 4, 0);
    struct target target = target_of("127.0.0.1", port);
    struct connector_request req = request_of(&target);
    char got[8];

    req.fastopen = true;
    req.early = span_of("hello", 5);
    ck_assert(start_request(&req));
    wait_done();
    ck_assert_int_eq(t.why.why, OUTCOME_OK);
    ck_assert_uint_eq(t.up.early_sent, 5);
    int peer = accept4(listener, NULL, NULL, SOCK_NONBLOCK);
    ck_assert_int_ge(peer, 0);
    ck_assert_int_eq(recv(peer, got, sizeof got, 0), 5); /* once, and it is there already */
    (void)close(peer);
    (void)close(listener);
    drop_connection();
}
END_TEST

START_TEST(early_data_goes_with_one_attempt_only)
{
    static const char *const addr[] = {"127.0.0.2", "127.0.0.1"}; /* the first one refuses */
    struct target target = target_of("example.net", t.port);
    struct connector_request req = request_of(&target);

    req.fastopen = true;
    req.early = span_of("hello", 5);
    know(NULL, 0, addr, 2);
    fault_calls_reset();
    ck_assert(start_request(&req));
    wait_done();
    ck_assert_int_eq(t.why.why, OUTCOME_OK);
    ck_assert_uint_eq(fault_call_count(FAULT_sendto), 1);
    ck_assert_uint_eq(t.up.early_sent, 0);
    drop_connection();
}
END_TEST

START_TEST(early_data_without_fastopen_stays)
{
    struct target target = target_of("127.0.0.1", t.port);
    struct connector_request req = request_of(&target);

    req.early = span_of("hello", 5);
    fault_calls_reset();
    ck_assert(start_request(&req));
    expect_connected("127.0.0.1");
    ck_assert_uint_eq(fault_call_count(FAULT_sendto), 0);
}
END_TEST

int main(void)
{
    Suite *s = suite_create("connector");
    TCase *c = tcase_create("connector");

    tcase_add_checked_fixture(c, setup, teardown);
    tcase_add_test(c, an_address_is_connected_to);
    tcase_add_test(c, an_address_costs_three_calls_and_one_allocation);
    tcase_add_test(c, an_ipv6_address_is_connected_to);
    tcase_add_test(c, a_refusal_is_told);
    tcase_add_test(c, a_denied_address_is_never_contacted);
    tcase_add_test(c, lack_of_resources_is_told);
    tcase_add_test(c, a_host_without_ipv6_is_no_lack_of_ports);
    tcase_add_test(c, a_missing_route_is_told);
    tcase_add_test(c, a_reset_right_after_the_handshake_is_a_failure_or_an_edge);
    tcase_add_test(c, mptcp_is_offered_when_asked_for);
    tcase_add_test(c, early_data_is_kept_when_the_kernel_does_not_take_it);
    tcase_add_test(c, early_data_goes_with_the_syn);
    tcase_add_test(c, early_data_goes_with_one_attempt_only);
    tcase_add_test(c, early_data_without_fastopen_stays);
    suite_add_tcase(s, c);
    return runner_main(s);
}
