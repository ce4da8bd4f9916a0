/* SPDX-License-Identifier: MIT */
/* On sockets of loopback. What the kernel here does not have, or needs a privilege for, is
 * left out by asking a plain socket first. */
#include "runner.h"
#include "sockopts.h"
#include <errno.h>
#include <fcntl.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <signal.h>
#include <stdio.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

static int tcp(int family)
{
    int fd = socket(family, SOCK_STREAM | SOCK_CLOEXEC, IPPROTO_TCP);

    ck_assert_int_ge(fd, 0);
    return fd;
}

static int get(int fd, int level, int name)
{
    int value = -77;
    socklen_t len = sizeof value;

    return getsockopt(fd, level, name, &value, &len) == 0 ? value : -1000 - errno;
}

static bool set(int fd, int level, int name, int value)
{
    return setsockopt(fd, level, name, &value, sizeof value) == 0;
}

static int like(int model, int family, bool mptcp, struct sockopts_report *r)
{
    bool is = false;

    memset(r, 0, sizeof *r);
    int fd = sockopts_socket_like(model, family, mptcp, 0, &is, r);
    ck_assert_int_ge(fd, 0);
    ck_assert_int_eq(get(fd, SOL_SOCKET, SO_PROTOCOL), is ? IPPROTO_MPTCP : IPPROTO_TCP);
    ck_assert(mptcp || !is);
    return fd;
}

static bool have_mptcp(void)
{
    int fd = socket(AF_INET, SOCK_STREAM, IPPROTO_MPTCP);

    if (fd >= 0)
        (void)close(fd);
    else
        (void)printf("SKIP: the kernel has no MPTCP\n");
    return fd >= 0;
}

static struct sockaddr_in v4_at(uint32_t host, in_port_t port)
{
    return (struct sockaddr_in){
        .sin_family = AF_INET, .sin_addr.s_addr = htonl(host), .sin_port = port};
}

static struct sockaddr_in v4_name(int fd)
{
    struct sockaddr_in a;
    socklen_t len = sizeof a;

    ck_assert_int_eq(getsockname(fd, (struct sockaddr *)&a, &len), 0);
    return a;
}

/* ---- options ---- */

/* `mptcp`: MPTCP has it. */
static const struct {
    int family, level, name, value;
    bool mptcp;
} carried[] = {
    {AF_INET, SOL_SOCKET, SO_REUSEADDR, 1, true},
    {AF_INET, SOL_SOCKET, SO_REUSEPORT, 1, true},
    {AF_INET, SOL_SOCKET, SO_KEEPALIVE, 1, true},
    {AF_INET, SOL_SOCKET, SO_PRIORITY, 5, true},
    {AF_INET, SOL_SOCKET, SO_RCVLOWAT, 100, true},
    {AF_INET, SOL_SOCKET, SO_MARK, 77, true},
    {AF_INET, SOL_SOCKET, SO_BINDTOIFINDEX, 1, true},
    {AF_INET, SOL_SOCKET, SO_TIMESTAMPNS, 1, true},
    {AF_INET, SOL_SOCKET, SO_OOBINLINE, 1, false},
    {AF_INET, SOL_SOCKET, SO_ZEROCOPY, 1, false},
    {AF_INET, IPPROTO_IP, IP_TOS, 16, true},
    {AF_INET, IPPROTO_IP, IP_TTL, 33, false},
    {AF_INET, IPPROTO_IP, IP_FREEBIND, 1, true},
    {AF_INET, IPPROTO_IP, IP_TRANSPARENT, 1, true},
    {AF_INET, IPPROTO_IP, IP_BIND_ADDRESS_NO_PORT, 1, true},
    {AF_INET, IPPROTO_IP, IP_RECVERR, 1, false},
    {AF_INET, IPPROTO_IP, IP_MTU_DISCOVER, IP_PMTUDISC_PROBE, false},
    {AF_INET, IPPROTO_TCP, TCP_NODELAY, 1, true},
    {AF_INET, IPPROTO_TCP, TCP_CORK, 1, true},
    {AF_INET, IPPROTO_TCP, TCP_KEEPIDLE, 31, true},
    {AF_INET, IPPROTO_TCP, TCP_KEEPINTVL, 7, true},
    {AF_INET, IPPROTO_TCP, TCP_KEEPCNT, 3, true},
    {AF_INET, IPPROTO_TCP, TCP_MAXSEG, 1200, true},
    {AF_INET, IPPROTO_TCP, TCP_NOTSENT_LOWAT, 16384, true},
    {AF_INET, IPPROTO_TCP, TCP_SYNCNT, 3, false},
    {AF_INET, IPPROTO_TCP, TCP_LINGER2, 5, false},
    {AF_INET, IPPROTO_TCP, TCP_USER_TIMEOUT, 5000, false},
    {AF_INET, IPPROTO_TCP, TCP_QUICKACK, 0, false},
    {AF_INET6, IPPROTO_IPV6, IPV6_V6ONLY, 1, true},
    {AF_INET6, IPPROTO_IPV6, IPV6_TCLASS, 16, false},
    {AF_INET6, IPPROTO_IPV6, IPV6_UNICAST_HOPS, 33, false},
    {AF_INET6, IPPROTO_IP, IP_TOS, 16, true},
};
enum { CARRIED = sizeof carried / sizeof carried[0] };

START_TEST(an_option_is_carried_or_counted_as_lost)
{
    const bool to_mptcp = _i >= CARRIED;
    const int i = _i % CARRIED, level = carried[i].level, name = carried[i].name;
    struct sockopts_report r;

    if (to_mptcp && !have_mptcp())
        return;
    int model = tcp(carried[i].family), fd;
    if (!set(model, level, name, carried[i].value)) {
        (void)printf("SKIP: option %d/%d: %s\n", level, name, strerror(errno));
        return;
    }
    fd = like(model, carried[i].family, to_mptcp, &r);
    if (to_mptcp && !carried[i].mptcp && r.lost != 0) {
        ck_assert_uint_eq(r.lost, 1);
        ck_assert_int_eq(r.lost_level, level);
        ck_assert_int_eq(r.lost_name, name);
        ck_assert_uint_eq(r.copied, 0);
    } else { /* newer kernels' MPTCP may have it */
        ck_assert_int_eq(get(fd, level, name), get(model, level, name));
        ck_assert_uint_ge(r.copied, 1);
        ck_assert_uint_eq(r.lost, 0);
    }
    (void)close(fd);
    (void)close(model);
}
END_TEST

START_TEST(nothing_is_copied_from_an_untouched_socket)
{
    static const int families[] = {AF_INET, AF_INET6};
    struct sockopts_report r;
    int model = tcp(families[_i % 2]);
    int fd = like(model, families[_i % 2], _i >= 2 && have_mptcp(), &r);

    ck_assert_uint_eq(r.copied, 0);
    ck_assert_uint_eq(r.lost, 0);
    ck_assert(!r.buffer_locked);
    ck_assert_int_eq(fcntl(fd, F_GETFL) & O_NONBLOCK, O_NONBLOCK);
    ck_assert_int_eq(fcntl(fd, F_GETFD), FD_CLOEXEC);
    (void)close(fd);
    (void)close(model);
}
END_TEST

START_TEST(structures_and_text_are_carried)
{
    struct linger linger = {1, 9}, linger_got;
    struct timeval limit = {3, 500000}, limit_got;
    char name[16] = "", want[] = "reno";
    struct sockopts_report r;
    int model = tcp(AF_INET);
    socklen_t len = sizeof linger;

    ck_assert_int_eq(setsockopt(model, SOL_SOCKET, SO_LINGER, &linger, sizeof linger), 0);
    ck_assert_int_eq(setsockopt(model, SOL_SOCKET, SO_SNDTIMEO, &limit, sizeof limit), 0);
    ck_assert_int_eq(setsockopt(model, IPPROTO_TCP, TCP_CONGESTION, want, 4), 0);
    int fd = like(model, AF_INET, _i == 1 && have_mptcp(), &r);
    ck_assert_int_eq(getsockopt(fd, SOL_SOCKET, SO_LINGER, &linger_got, &len), 0);
    ck_assert_int_eq(linger_got.l_onoff, 1);
    ck_assert_int_eq(linger_got.l_linger, 9);
    len = sizeof limit_got;
    ck_assert_int_eq(getsockopt(fd, SOL_SOCKET, SO_SNDTIMEO, &limit_got, &len), 0);
    ck_assert_int_eq(limit_got.tv_sec, 3);
    ck_assert_int_eq(limit_got.tv_usec / 10000, 50);
    len = sizeof name;
    ck_assert_int_eq(getsockopt(fd, IPPROTO_TCP, TCP_CONGESTION, name, &len), 0);
    ck_assert_str_eq(name, "reno");
    (void)close(fd);
    (void)close(model);
}
END_TEST

START_TEST(options_set_and_unset_meanwhile_are_copied)
{
    struct sockopts_report r = {0};
    int from = tcp(AF_INET), to = tcp(AF_INET);

    ck_assert(set(from, IPPROTO_TCP, TCP_KEEPIDLE, 40));
    ck_assert(set(to, IPPROTO_TCP, TCP_NODELAY, 1));
    sockopts_copy(from, to, &r);
    ck_assert_int_eq(get(to, IPPROTO_TCP, TCP_KEEPIDLE), 40);
    ck_assert_int_eq(get(to, IPPROTO_TCP, TCP_NODELAY), 0);
    ck_assert_uint_eq(r.copied, 2);
    ck_assert_uint_eq(r.lost, 0);
    (void)close(from);
    (void)close(to);
}
END_TEST

/* ---- buffers ---- */

/* As another user; the kernel asks for the capability in the first user namespace. */
static void drop_net_admin(void)
{
    if (geteuid() == 0)
        ck_assert_int_eq(setresuid(65534, 65534, 65534), 0);
}

/* Capped, it would be locked at a size that throttles. Twice: what was found is remembered. */
START_TEST(a_receive_buffer_that_would_be_cut_is_left_alone)
{
    struct sockopts_report r = {0};
    uint32_t most = 0;
    int model = tcp(AF_INET), untouched = get(model, SOL_SOCKET, SO_RCVBUF);
    FILE *f = fopen("/proc/sys/net/core/rmem_max", "re");
    bool is;

    if (f == NULL || fscanf(f, "%u", &most) != 1) /* NOLINT(cert-err34-c): the kernel's */
        most = 1 << 28;
    ck_assert(f == NULL || fclose(f) == 0);
    drop_net_admin();
    for (int i = 0; i < 2; i++) {
        int fd = sockopts_socket_like(model, AF_INET, false, most * 2, &is, &r);

        ck_assert_int_eq(get(fd, SOL_SOCKET, SO_RCVBUF), untouched);
        (void)close(fd);
    }
    int fd = sockopts_socket_like(model, AF_INET, false, most, &is, &r);
    ck_assert_int_eq(get(fd, SOL_SOCKET, SO_RCVBUF) / 2, most);
    (void)close(fd);
    (void)close(model);
}
END_TEST

START_TEST(chosen_buffers_are_kept_and_others_are_raised)
{
    const bool mptcp = _i == 1 && have_mptcp();
    struct sockopts_report r = {0};
    bool is;
    int model = tcp(AF_INET), untouched = get(model, SOL_SOCKET, SO_RCVBUF);

    int fd = sockopts_socket_like(model, AF_INET, mptcp, 150000, &is, &r);
    ck_assert_int_eq(get(fd, SOL_SOCKET, SO_RCVBUF), untouched > 300000 ? untouched : 300000);
    (void)close(fd);
    r = (struct sockopts_report){0};
    fd = sockopts_socket_like(model, AF_INET, mptcp, 2000, &is, &r);
    ck_assert_int_ge(get(fd, SOL_SOCKET, SO_RCVBUF), untouched); /* never smaller */
    (void)close(fd);
    ck_assert(set(model, SOL_SOCKET, SO_RCVBUF, 20000));
    ck_assert(set(model, SOL_SOCKET, SO_SNDBUF, 30000));
    r = (struct sockopts_report){0};
    fd = sockopts_socket_like(model, AF_INET, mptcp, 150000, &is, &r);
    ck_assert(r.buffer_locked);
    ck_assert_int_eq(get(fd, SOL_SOCKET, SO_RCVBUF), 40000);
    ck_assert_int_eq(get(fd, SOL_SOCKET, SO_SNDBUF), 60000);
    (void)close(fd);
    (void)close(model);
}
END_TEST

/* ---- the bound address ---- */

START_TEST(the_bound_port_is_kept_and_reuse_is_as_before)
{
    const int reuse = _i & 1;
    const bool mptcp = (_i & 2) != 0 && have_mptcp();
    struct sockopts_report r;
    struct sockaddr_in at = v4_at(0x7f000002, 0);
    int model = tcp(AF_INET);

    ck_assert(set(model, SOL_SOCKET, SO_REUSEADDR, reuse));
    ck_assert_int_eq(bind(model, (struct sockaddr *)&at, sizeof at), 0);
    at = v4_name(model);
    int fd = like(model, AF_INET, mptcp, &r);
    ck_assert_int_eq(v4_name(fd).sin_port, at.sin_port);
    ck_assert_int_eq((int)v4_name(fd).sin_addr.s_addr, (int)at.sin_addr.s_addr);
    ck_assert_int_eq(get(model, SOL_SOCKET, SO_REUSEADDR), reuse);
    ck_assert_int_eq(get(fd, SOL_SOCKET, SO_REUSEADDR), reuse);
    ck_assert_uint_eq(r.lost, 0);
    (void)close(fd);
    (void)close(model);
}
END_TEST

START_TEST(an_address_without_a_port_is_kept)
{
    struct sockopts_report r;
    struct sockaddr_in at = v4_at(0x7f000002, 0);
    int model = tcp(AF_INET);

    ck_assert(set(model, IPPROTO_IP, IP_BIND_ADDRESS_NO_PORT, 1));
    ck_assert_int_eq(bind(model, (struct sockaddr *)&at, sizeof at), 0);
    ck_assert_int_eq(v4_name(model).sin_port, 0);
    int fd = like(model, AF_INET, _i == 1 && have_mptcp(), &r);
    ck_assert_int_eq(v4_name(fd).sin_port, 0);
    ck_assert_uint_eq(v4_name(fd).sin_addr.s_addr, at.sin_addr.s_addr);
    ck_assert_uint_eq(r.lost, 0);
    (void)close(fd);
    (void)close(model);
}
END_TEST

static void bind_v6(int fd, const char *last4, uint16_t mapped)
{
    struct sockaddr_in6 at = {.sin6_family = AF_INET6};

    memset(at.sin6_addr.s6_addr + 10, mapped, 2);
    memcpy(at.sin6_addr.s6_addr + 12, last4, 4);
    ck_assert_int_eq(bind(fd, (struct sockaddr *)&at, sizeof at), 0);
}

START_TEST(a_mapped_address_goes_to_an_ipv4_socket)
{
    struct sockopts_report r;
    struct sockaddr_in6 was;
    socklen_t len = sizeof was;
    int model = tcp(AF_INET6);

    ck_assert(set(model, IPPROTO_IPV6, IPV6_V6ONLY, 0));
    bind_v6(model, "\x7f\0\0\x2", 0xff);
    ck_assert_int_eq(getsockname(model, (struct sockaddr *)&was, &len), 0);
    int fd = like(model, AF_INET, false, &r);
    ck_assert_uint_eq(v4_name(fd).sin_addr.s_addr, htonl(0x7f000002));
    ck_assert_int_eq(v4_name(fd).sin_port, was.sin6_port);
    ck_assert_uint_eq(r.lost, 0);
    (void)close(fd);
    (void)close(model);
}
END_TEST

START_TEST(an_address_of_the_other_family_is_lost_but_its_port_kept)
{
    struct sockopts_report r;
    int model = tcp(AF_INET6);
    struct sockaddr_in6 was;
    socklen_t len = sizeof was;

    bind_v6(model, "\0\0\0\x1", 0); /* ::1 */
    ck_assert_int_eq(getsockname(model, (struct sockaddr *)&was, &len), 0);
    int fd = like(model, AF_INET, false, &r);
    ck_assert_uint_eq(v4_name(fd).sin_addr.s_addr, htonl(INADDR_ANY));
    ck_assert_int_eq(v4_name(fd).sin_port, was.sin6_port);
    ck_assert_uint_eq(r.lost, 1);
    ck_assert_int_eq(r.lost_name, 0);
    (void)close(fd);
    (void)close(model);
}
END_TEST

START_TEST(a_port_that_another_socket_listens_on_is_lost_but_its_address_kept)
{
    struct sockopts_report r;
    struct sockaddr_in at = v4_at(0x7f000002, 0);
    int model = tcp(AF_INET);

    ck_assert_int_eq(bind(model, (struct sockaddr *)&at, sizeof at), 0);
    at = v4_name(model);
    ck_assert_int_eq(listen(model, 1), 0); /* a listener does not share */
    int fd = like(model, AF_INET, _i == 1 && have_mptcp(), &r);
    ck_assert_uint_eq(v4_name(fd).sin_addr.s_addr, at.sin_addr.s_addr);
    ck_assert_int_ne(v4_name(fd).sin_port, at.sin_port);
    ck_assert_uint_eq(r.lost, 1);
    (void)close(fd);
    (void)close(model);
}
END_TEST

/* ---- flags, and what may be taken for done ---- */

START_TEST(flags_owner_and_signal_are_copied)
{
    int from = tcp(AF_INET), to = tcp(AF_INET);

    ck_assert_int_eq(fcntl(to, F_SETFL, O_NONBLOCK), 0);
    ck_assert_int_eq(fcntl(from, F_SETOWN, getpid()), 0);
    ck_assert_int_eq(fcntl(from, F_SETSIG, SIGRTMIN), 0);
    ck_assert_int_eq(fcntl(from, F_SETFL, O_ASYNC), 0);
    (void)signal(SIGRTMIN, SIG_IGN);
    sockopts_copy_flags(from, to);
    ck_assert_int_eq(fcntl(to, F_GETFL) & (O_NONBLOCK | O_ASYNC), O_ASYNC);
    ck_assert_int_eq(fcntl(to, F_GETOWN), getpid());
    ck_assert_int_eq(fcntl(to, F_GETSIG), SIGRTMIN);
    (void)close(from);
    (void)close(to);
}
END_TEST

START_TEST(only_missing_tuning_is_benign)
{
    ck_assert(sockopts_benign(IPPROTO_TCP, TCP_USER_TIMEOUT, ENOPROTOOPT));
    ck_assert(sockopts_benign(IPPROTO_TCP, TCP_QUICKACK, EOPNOTSUPP));
    ck_assert(sockopts_benign(IPPROTO_IPV6, IPV6_TCLASS, EOPNOTSUPP));
    ck_assert(!sockopts_benign(IPPROTO_TCP, TCP_USER_TIMEOUT, EINVAL));
    ck_assert(!sockopts_benign(SOL_SOCKET, SO_ZEROCOPY, EOPNOTSUPP));
    ck_assert(!sockopts_benign(IPPROTO_IP, IP_MINTTL, EOPNOTSUPP));
    ck_assert(!sockopts_benign(IPPROTO_TCP, TCP_ULP, ENOPROTOOPT));
    ck_assert(!sockopts_benign(SOL_SOCKET, SO_ATTACH_FILTER, EOPNOTSUPP));
}
END_TEST

START_TEST(no_descriptor_is_left_behind_and_errno_is_untouched)
{
    struct sockopts_report r = {0};
    bool is;
    int model = tcp(AF_INET), next = dup(model);

    (void)close(next);
    ck_assert(set(model, IPPROTO_TCP, TCP_USER_TIMEOUT, 5000));
    errno = 12345;
    int fd = sockopts_socket_like(model, AF_INET, true, 0, &is, &r);
    ck_assert_int_eq(errno, 12345);
    ck_assert_int_eq(fd, next);
    (void)close(fd);
    fd = dup(model);
    ck_assert_int_eq(fd, next);
    ck_assert_int_eq(sockopts_socket_like(model, 255, true, 0, &is, &r), -EAFNOSUPPORT);
    (void)close(fd);
    (void)close(model);
}
END_TEST

int main(void)
{
    Suite *s = suite_create("sockopts");
    TCase *t = tcase_create("sockopts");

    tcase_add_loop_test(t, an_option_is_carried_or_counted_as_lost, 0, 2 * CARRIED);
    tcase_add_loop_test(t, nothing_is_copied_from_an_untouched_socket, 0, 4);
    tcase_add_loop_test(t, structures_and_text_are_carried, 0, 2);
    tcase_add_test(t, options_set_and_unset_meanwhile_are_copied);
    tcase_add_test(t, a_receive_buffer_that_would_be_cut_is_left_alone);
    tcase_add_loop_test(t, chosen_buffers_are_kept_and_others_are_raised, 0, 2);
    tcase_add_loop_test(t, the_bound_port_is_kept_and_reuse_is_as_before, 0, 4);
    tcase_add_loop_test(t, an_address_without_a_port_is_kept, 0, 2);
    tcase_add_test(t, a_mapped_address_goes_to_an_ipv4_socket);
    tcase_add_test(t, an_address_of_the_other_family_is_lost_but_its_port_kept);
    tcase_add_loop_test(t, a_port_that_another_socket_listens_on_is_lost_but_its_address_kept,
                        0, 2);
    tcase_add_test(t, flags_owner_and_signal_are_copied);
    tcase_add_test(t, only_missing_tuning_is_benign);
    tcase_add_test(t, no_descriptor_is_left_behind_and_errno_is_untouched);
    suite_add_tcase(s, t);
    return runner_main(s);
}
