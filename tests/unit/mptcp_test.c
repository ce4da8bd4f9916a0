/* SPDX-License-Identifier: MIT */
/* On loopback sockets. What needs other system settings or a second subflow runs in a network
 * namespace of its own; what needs an older kernel takes calls away from this one by seccomp.
 * check runs each test in a process of its own, so neither outlives it. */
#include "base/mptcp.h"
#include "runner.h"
#include <errno.h>
#include <fcntl.h>
#include <linux/filter.h>
#include <linux/seccomp.h>
#include <net/if.h>
#include <netinet/tcp.h>
#include <poll.h>
#include <sched.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/prctl.h>
#include <sys/resource.h>
#include <sys/syscall.h>
#include <time.h>
#include <unistd.h>

enum { LEVEL_MPTCP = 284, FULL_INFO = 4, ANY_OPTION = -1 };

/* ---- stage ---- */

/* Where a test cannot run it says why; CI looks for that word. */
#define SKIP_UNLESS(cond, why)                             \
    do {                                                   \
        if (!(cond)) {                                     \
            (void)printf("SKIP: %s: %s\n", __func__, why); \
            return;                                        \
        }                                                  \
    } while (0)
#define NO_MPTCP "the kernel has no MPTCP, or it is switched off"
#define NO_NAMESPACE "no network namespace can be made"

static bool write_file(const char *path, const char *text)
{
    int fd = open(path, O_WRONLY | O_CLOEXEC);
    bool done = fd >= 0 && write(fd, text, strlen(text)) == (ssize_t)strlen(text);

    if (fd >= 0)
        (void)close(fd);
    return done;
}

/* An empty network with loopback up; as an ordinary user inside a user namespace. */
static bool enter_network(void)
{
    struct ifreq lo = {.ifr_name = "lo", .ifr_flags = IFF_UP};
    char map[64];
    uid_t uid = geteuid();
    int fd;
    bool up;

    if (unshare(CLONE_NEWNET) != 0) {
        (void)snprintf(map, sizeof map, "0 %u 1", uid);
        if (unshare(CLONE_NEWUSER | CLONE_NEWNET) != 0 ||
            !write_file("/proc/self/uid_map", map))
            return false;
    }
    fd = socket(AF_INET, SOCK_DGRAM | SOCK_CLOEXEC, 0);
    up = fd >= 0 && ioctl(fd, SIOCSIFFLAGS, &lo) == 0;
    if (fd >= 0)
        (void)close(fd);
    return up;
}

/* From now on system call `nr` fails with `error` when its arguments 1 and 2 (from 0) are
 * these; ANY_OPTION fits any. */
static void forbid(long nr, int arg1, int arg2, int error)
{
    struct sock_filter code[] = {
        BPF_STMT(BPF_LD | BPF_W | BPF_ABS, offsetof(struct seccomp_data, nr)),
        BPF_JUMP(BPF_JMP | BPF_JEQ | BPF_K, (uint32_t)nr, 0, 5),
        BPF_STMT(BPF_LD | BPF_W | BPF_ABS, offsetof(struct seccomp_data, args[1])),
        BPF_JUMP(BPF_JMP | BPF_JEQ | BPF_K, (uint32_t)arg1, 0, arg1 == ANY_OPTION ? 0 : 3),
        BPF_STMT(BPF_LD | BPF_W | BPF_ABS, offsetof(struct seccomp_data, args[2])),
        BPF_JUMP(BPF_JMP | BPF_JEQ | BPF_K, (uint32_t)arg2, 0, arg2 == ANY_OPTION ? 0 : 1),
        BPF_STMT(BPF_RET | BPF_K, SECCOMP_RET_ERRNO | (uint32_t)error),
        BPF_STMT(BPF_RET | BPF_K, SECCOMP_RET_ALLOW),
    };
    struct sock_fprog program = {.len = ARRAY_LEN(code), .filter = code};

    ck_assert_int_eq(prctl(PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0), 0);
    ck_assert_int_eq(prctl(PR_SET_SECCOMP, SECCOMP_MODE_FILTER, &program), 0);
}

static void forbid_option(int option)
{
    forbid(SYS_getsockopt, LEVEL_MPTCP, option, EOPNOTSUPP);
}

static void forbid_mptcp(int error)
{
    forbid(SYS_socket, ANY_OPTION, IPPROTO_MPTCP, error);
}

struct pair {
    int listener, client, server;
    struct sockaddr_storage to;
    socklen_t to_len;
};

static void wait_for(int fd, short events)
{
    struct pollfd p = {.fd = fd, .events = events};

    ck_assert_int_eq(poll(&p, 1, 10000), 1);
}

static void start_listening(struct pair *p, int family, bool mptcp)
{
    struct addr any = family == AF_INET ? addr_ipv4((const uint8_t[4]){127, 0, 0, 1}, 0)
                                        : addr_ipv6((const uint8_t[16]){[15] = 1}, 0);
    bool is_mptcp;

    p->listener = mptcp_socket(family, mptcp, &is_mptcp);
    ck_assert_int_ge(p->listener, 0);
    ck_assert_int_eq(is_mptcp, mptcp);
    p->to_len = addr_to_sockaddr(&any, &p->to);
    ck_assert_int_eq(bind(p->listener, (struct sockaddr *)&p->to, p->to_len), 0);
    ck_assert_int_eq(getsockname(p->listener, (struct sockaddr *)&p->to, &p->to_len), 0);
    ck_assert_int_eq(listen(p->listener, 16), 0);
}

static void accept_client(struct pair *p)
{
    wait_for(p->listener, POLLIN);
    p->server = accept4(p->listener, NULL, NULL, SOCK_CLOEXEC | SOCK_NONBLOCK);
    ck_assert_int_ge(p->server, 0);
}

static void connect_client(struct pair *p, bool mptcp)
{
    bool is_mptcp;

    p->client = mptcp_socket(p->to.ss_family, mptcp, &is_mptcp);
    ck_assert_int_ge(p->client, 0);
    ck_assert_int_eq(is_mptcp, mptcp);
    if (connect(p->client, (struct sockaddr *)&p->to, p->to_len) != 0)
        ck_assert_int_eq(errno, EINPROGRESS);
    wait_for(p->client, POLLOUT);
    accept_client(p);
}

static void transfer(int from, int to, size_t len)
{
    char buf[4096] = {0};

    ck_assert_uint_le(len, sizeof buf);
    ck_assert_int_eq(write(from, buf, len), (ssize_t)len);
    for (size_t got = 0; got < len;) {
        ssize_t n;

        wait_for(to, POLLIN);
        n = read(to, buf, sizeof buf);
        ck_assert_int_gt(n, 0);
        got += (size_t)n;
    }
}

/* Connected, and some octets each way, so that both ends know all about each other. */
static struct pair make_pair(int family, bool client_mptcp, bool server_mptcp)
{
    struct pair p = {0};

    start_listening(&p, family, server_mptcp);
    connect_client(&p, client_mptcp);
    transfer(p.client, p.server, 1000);
    transfer(p.server, p.client, 500);
    return p;
}

static void close_pair(const struct pair *p)
{
    ck_assert_int_eq(close(p->client), 0);
    ck_assert_int_eq(close(p->server), 0);
    ck_assert_int_eq(close(p->listener), 0);
}

static struct addr name_of(int fd, bool peer)
{
    struct sockaddr_storage sa;
    socklen_t len = sizeof sa;
    struct addr a = {0};

    ck_assert_int_eq(peer ? getpeername(fd, (struct sockaddr *)&sa, &len)
                          : getsockname(fd, (struct sockaddr *)&sa, &len),
                     0);
    ck_assert(addr_from_sockaddr((struct sockaddr *)&sa, len, &a));
    return a;
}

/* ---- opening ---- */

START_TEST(socket_does_not_block_and_is_closed_on_exec)
{
    for (int mptcp = 0; mptcp < 2; mptcp++) {
        int fd = mptcp_socket(AF_INET6, mptcp != 0, NULL);

        ck_assert_int_ge(fd, 0);
        ck_assert_int_ne(fcntl(fd, F_GETFL) & O_NONBLOCK, 0);
        ck_assert_int_ne(fcntl(fd, F_GETFD) & FD_CLOEXEC, 0);
        ck_assert_int_eq(close(fd), 0);
    }
}
END_TEST

START_TEST(socket_is_mptcp_only_when_wanted)
{
    bool is_mptcp = true;
    int fd = mptcp_socket(AF_INET, false, &is_mptcp);

    ck_assert_int_ge(fd, 0);
    ck_assert(!is_mptcp);
    ck_assert(!mptcp_accepted(fd));
    ck_assert_int_eq(close(fd), 0);
    SKIP_UNLESS(mptcp_enabled(), NO_MPTCP);
    fd = mptcp_socket(AF_INET, true, &is_mptcp);
    ck_assert_int_ge(fd, 0);
    ck_assert(is_mptcp);
    ck_assert(mptcp_accepted(fd));
    ck_assert_int_eq(close(fd), 0);
}
END_TEST

/* What kernels without MPTCP, with MPTCP off, and before 5.6 answer. */
START_TEST(socket_falls_back_to_tcp_where_the_kernel_has_no_mptcp)
{
    static const int errors[] = {EPROTONOSUPPORT, ENOPROTOOPT, EINVAL};
    bool is_mptcp = true;
    int fd;

    forbid_mptcp(errors[_i]);
    ck_assert(!mptcp_enabled());
    fd = mptcp_socket(AF_INET, true, &is_mptcp);
    ck_assert_int_ge(fd, 0);
    ck_assert(!is_mptcp);
    ck_assert(!mptcp_accepted(fd));
    ck_assert_int_eq(close(fd), 0);
}
END_TEST

START_TEST(socket_that_cannot_be_had_is_an_error)
{
    struct rlimit before, none;
    bool is_mptcp = true;

    ck_assert_int_eq(mptcp_socket(-1, false, &is_mptcp), -EAFNOSUPPORT);
    ck_assert_int_eq(mptcp_socket(-1, true, &is_mptcp), -EAFNOSUPPORT);
    ck_assert(is_mptcp); /* untouched */
    ck_assert_int_eq(getrlimit(RLIMIT_NOFILE, &before), 0);
    none = (struct rlimit){.rlim_cur = 0, .rlim_max = before.rlim_max};
    ck_assert_int_eq(setrlimit(RLIMIT_NOFILE, &none), 0);
    ck_assert_int_eq(mptcp_socket(AF_INET, true, &is_mptcp), -EMFILE);
    ck_assert_int_eq(mptcp_socket(AF_INET, false, &is_mptcp), -EMFILE);
    ck_assert_int_eq(setrlimit(RLIMIT_NOFILE, &before), 0);
    ck_assert(is_mptcp);
}
END_TEST

START_TEST(enabled_follows_the_system_setting)
{
    bool is_mptcp = true;
    int fd;

    SKIP_UNLESS(mptcp_enabled(), NO_MPTCP);
    SKIP_UNLESS(enter_network() && write_file("/proc/sys/net/mptcp/enabled", "0"),
                NO_NAMESPACE);
    ck_assert(!mptcp_enabled());
    fd = mptcp_socket(AF_INET, true, &is_mptcp);
    ck_assert_int_ge(fd, 0);
    ck_assert(!is_mptcp);
    ck_assert_int_eq(close(fd), 0);
    ck_assert(write_file("/proc/sys/net/mptcp/enabled", "1"));
    ck_assert(mptcp_enabled());
}
END_TEST

/* ---- what became of a connection ---- */

/* _i: IPv4, IPv6 */
static const int families[] = {AF_INET, AF_INET6};

START_TEST(accepted_socket_tells_what_the_client_is)
{
    struct pair p;

    SKIP_UNLESS(mptcp_enabled(), NO_MPTCP);
    p = make_pair(families[_i], true, true);
    ck_assert(mptcp_accepted(p.server));
    close_pair(&p);
    p = make_pair(families[_i], false, true);
    ck_assert(!mptcp_accepted(p.server));
    close_pair(&p);
    ck_assert(!mptcp_accepted(-1));
}
END_TEST

START_TEST(active_means_mptcp_on_the_wire)
{
    struct pair p;

    SKIP_UNLESS(mptcp_enabled(), NO_MPTCP);
    p = make_pair(families[_i], true, true);
    ck_assert(mptcp_active(p.client));
    ck_assert(mptcp_active(p.server));
    close_pair(&p);
    p = make_pair(families[_i], false, true);
    ck_assert(!mptcp_active(p.client));
    ck_assert(!mptcp_active(p.server));
    close_pair(&p);
    p = make_pair(families[_i], true,
                  false); /* the client's socket is MPTCP still, the connection is not */
    ck_assert(mptcp_accepted(p.client));
    ck_assert(!mptcp_active(p.client));
    close_pair(&p);
    ck_assert(!mptcp_active(-1));
}
END_TEST

START_TEST(a_token_is_that_of_the_connections_own_end)
{
    struct mptcp_snapshot s;
    uint32_t client = 7, server = 7;
    struct pair p;

    SKIP_UNLESS(mptcp_enabled(), NO_MPTCP);
    p = make_pair(families[_i], true, true);
    ck_assert(mptcp_token(p.client, &client) && mptcp_token(p.server, &server));
    ck_assert_uint_ne(client, server);
    ck_assert_int_eq(mptcp_snapshot(p.server, &s), 0);
    ck_assert_uint_eq(server, s.token);
    close_pair(&p);
    client = 7;
    p = make_pair(families[_i], true, false); /* fallen back */
    ck_assert(!mptcp_token(p.client, &client) && !mptcp_token(p.server, &client));
    close_pair(&p);
    ck_assert(!mptcp_token(-1, &client));
    ck_assert_uint_eq(client, 7);
}
END_TEST

START_TEST(tcp_state_follows_the_connection)
{
    bool mptcp = _i == 1;
    struct pair p;

    SKIP_UNLESS(!mptcp || mptcp_enabled(), NO_MPTCP);
    p = make_pair(AF_INET, mptcp, mptcp);
    ck_assert_int_eq(mptcp_tcp_state(p.listener), TCP_LISTEN);
    ck_assert_int_eq(mptcp_tcp_state(p.client), TCP_ESTABLISHED);
    ck_assert_int_eq(mptcp_tcp_state(p.server), TCP_ESTABLISHED);
    close_pair(&p);
}
END_TEST

START_TEST(a_fd_that_is_no_tcp_socket_is_an_error)
{
    struct mptcp_snapshot snapshot;
    struct convert_synack synack;
    uint32_t now, total;
    int udp = socket(AF_INET, SOCK_DGRAM | SOCK_CLOEXEC, 0);

    ck_assert_int_ge(udp, 0);
    ck_assert_int_eq(mptcp_tcp_state(-1), -EBADF);
    ck_assert_int_eq(mptcp_send_window(-1), -EBADF);
    ck_assert_int_eq(mptcp_synack(-1, &synack), -EBADF);
    ck_assert_int_eq(mptcp_snapshot(-1, &snapshot), -EBADF);
    ck_assert_int_eq(mptcp_subflow_count(-1, &now, &total), -EBADF);
    ck_assert_int_lt(mptcp_tcp_state(udp), 0);
    ck_assert_int_lt(mptcp_send_window(udp), 0);
    ck_assert_int_lt(mptcp_synack(udp, &synack), 0);
    ck_assert_int_lt(mptcp_snapshot(udp, &snapshot), 0);
    ck_assert_int_lt(mptcp_subflow_count(udp, &now, &total), 0);
    ck_assert(!mptcp_syn_data(udp));
    ck_assert(!mptcp_active(udp));
    ck_assert(!mptcp_accepted(udp));
    ck_assert_int_eq(close(udp), 0);
}
END_TEST

static void set_int(int fd, int level, int option, int value)
{
    ck_assert_int_eq(setsockopt(fd, level, option, &value, sizeof value), 0);
}

/* _i: TCP, MPTCP */
START_TEST(syn_data_is_seen_on_both_ends)
{
    bool mptcp = _i == 1;
    struct pair p = {0};
    char buf[8];

    SKIP_UNLESS(!mptcp || mptcp_enabled(), NO_MPTCP);
    SKIP_UNLESS(enter_network() && write_file("/proc/sys/net/ipv4/tcp_fastopen", "3"),
                NO_NAMESPACE);
    start_listening(&p, AF_INET, mptcp);
    set_int(p.listener, IPPROTO_TCP, TCP_FASTOPEN_NO_COOKIE, 1);
    set_int(p.listener, IPPROTO_TCP, TCP_FASTOPEN, 16);

    connect_client(&p, mptcp); /* no data in the SYN */
    ck_assert(!mptcp_syn_data(p.client));
    ck_assert(!mptcp_syn_data(p.server));
    ck_assert_int_eq(close(p.client), 0);
    ck_assert_int_eq(close(p.server), 0);

    p.client = mptcp_socket(AF_INET, mptcp, NULL);
    ck_assert_int_ge(p.client, 0);
    set_int(p.client, IPPROTO_TCP, TCP_FASTOPEN_NO_COOKIE, 1);
    ck_assert_int_eq(
        sendto(p.client, "syn data", 8, MSG_FASTOPEN, (struct sockaddr *)&p.to, p.to_len), 8);
    accept_client(&p);
    ck_assert_int_eq(recv(p.server, buf, sizeof buf, 0), 8);
    ck_assert(mptcp_syn_data(p.server));
    wait_for(p.client, POLLOUT);
    ck_assert(mptcp_syn_data(p.client));
    ck_assert_int_eq(mptcp_active(p.client), mptcp);
    close_pair(&p);
}
END_TEST

/* The receiver does not read, so what it offers shrinks. */
START_TEST(send_window_is_what_the_peer_offers)
{
    static const char buf[16384];
    struct pair p = {0};
    int64_t before;
    bool mptcp = _i == 1;

    SKIP_UNLESS(!mptcp || mptcp_enabled(), NO_MPTCP);
    start_listening(&p, AF_INET, mptcp);
    set_int(p.listener, SOL_SOCKET, SO_RCVBUF, 65536);
    connect_client(&p, mptcp);
    transfer(p.client, p.server, 100);
    before = mptcp_send_window(p.client);
    ck_assert_int_gt(before, 0);
    ck_assert_int_lt(before, 1 << 20);
    for (int i = 0; i < 4; i++)
        ck_assert_int_gt(write(p.client, buf, sizeof buf), 0);
    for (time_t limit = time(NULL) + 10; mptcp_send_window(p.client) >= before;) {
        ck_assert_int_lt(time(NULL), limit);
        (void)sched_yield();
    }
    close_pair(&p);
}
END_TEST

START_TEST(synack_tells_what_the_peer_announced)
{
    struct convert_synack s;
    struct pair p = {0};
    bool mptcp = _i == 1;

    SKIP_UNLESS(!mptcp || mptcp_enabled(), NO_MPTCP);
    SKIP_UNLESS(enter_network(), NO_NAMESPACE);
    start_listening(&p, AF_INET, mptcp);
    set_int(p.listener, IPPROTO_TCP, TCP_MAXSEG, 1000);
    connect_client(&p, mptcp);
    ck_assert_int_eq(mptcp_synack(p.client, &s), 0);
    ck_assert(s.sack && s.timestamps && s.wscale);
    ck_assert_int_eq(s.mptcp, mptcp);
    ck_assert_uint_gt(s.wscale_value, 0);
    ck_assert_uint_le(s.wscale_value, 14);
    ck_assert_uint_eq(s.mss, 1000);
    close_pair(&p);
}
END_TEST

START_TEST(synack_tells_what_the_peer_did_not_agree_to)
{
    struct convert_synack s;
    struct pair p = {0};

    SKIP_UNLESS(enter_network() && write_file("/proc/sys/net/ipv4/tcp_sack", "0") &&
                    write_file("/proc/sys/net/ipv4/tcp_timestamps", "0") &&
                    write_file("/proc/sys/net/ipv4/tcp_window_scaling", "0"),
                NO_NAMESPACE);
    start_listening(&p, AF_INET, false);
    set_int(p.listener, IPPROTO_TCP, TCP_MAXSEG, 1000);
    connect_client(&p, false);
    ck_assert_int_eq(mptcp_synack(p.client, &s), 0);
    ck_assert(!s.sack && !s.timestamps && !s.wscale && !s.mptcp);
    ck_assert_uint_eq(s.wscale_value, 0);
    ck_assert_uint_eq(s.mss, 1000);
    close_pair(&p);
}
END_TEST

/* ---- snapshot ---- */

static struct mptcp_snapshot snapshot_of(int fd)
{
    struct mptcp_snapshot s;

    memset(&s, 0xff, sizeof s);
    ck_assert_int_eq(mptcp_snapshot(fd, &s), 0);
    for (uint32_t i = s.listed; i < MPTCP_SUBFLOWS_MAX; i++)
        ck_assert_uint_eq(s.list[i].remote.family, ADDR_NONE); /* *out was zeroed */
    return s;
}

static void check_subflow(const struct mptcp_subflow *s, int fd)
{
    struct addr local = name_of(fd, false), remote = name_of(fd, true);

    ck_assert(addr_equal(&s->local, &local));
    ck_assert(addr_equal(&s->remote, &remote));
    ck_assert_uint_eq(s->tcp_state, TCP_ESTABLISHED);
    ck_assert_uint_gt(s->rtt_us, 0);
    ck_assert_uint_gt(s->cwnd_segments, 0);
    ck_assert_uint_ge(s->bytes_received, 500);
}

static void check_tcp_snapshot(int fd)
{
    struct mptcp_snapshot s = snapshot_of(fd);

    ck_assert(!s.active);
    ck_assert_uint_eq(s.token, 0);
    ck_assert_uint_eq(s.subflows, 1);
    ck_assert_uint_eq(s.subflows_total, 1);
    ck_assert_uint_eq(s.listed, 1);
    ck_assert_uint_ge(s.bytes_sent, 1000);
    ck_assert_uint_ge(s.bytes_received, 500);
    check_subflow(&s.list[0], fd);
}

START_TEST(snapshot_of_tcp_describes_the_connection_as_one_subflow)
{
    struct pair p = make_pair(families[_i], false, false);

    check_tcp_snapshot(p.client);
    close_pair(&p);
}
END_TEST

START_TEST(snapshot_after_a_fallback_is_that_of_tcp)
{
    struct pair p;

    SKIP_UNLESS(mptcp_enabled(), NO_MPTCP);
    p = make_pair(families[_i], true, false);
    check_tcp_snapshot(p.client);
    close_pair(&p);
}
END_TEST

START_TEST(snapshot_of_mptcp_has_token_counters_and_subflows)
{
    struct mptcp_snapshot c, s;
    struct pair p;

    SKIP_UNLESS(mptcp_enabled(), NO_MPTCP);
    p = make_pair(families[_i], true, true);
    c = snapshot_of(p.client);
    s = snapshot_of(p.server);
    ck_assert(c.active && s.active);
    ck_assert_uint_ne(c.token, 0);
    ck_assert_uint_ne(c.token, s.token);
    ck_assert_uint_eq(c.subflows, 1);
    ck_assert_uint_eq(c.listed, 1);
    ck_assert_uint_eq(c.list[0].id, 1);
    ck_assert_uint_eq(c.bytes_sent, 1000);
    ck_assert_uint_eq(c.bytes_received, 500);
    ck_assert_uint_eq(s.bytes_sent, 500);
    ck_assert_uint_eq(s.bytes_received, 1000);
    check_subflow(&c.list[0], p.client);
    check_subflow(&s.list[0], p.server);
    close_pair(&p);
}
END_TEST

/* 5.16 to 6.4 */
START_TEST(snapshot_without_full_info_is_put_together)
{
    struct mptcp_snapshot full, parts;
    struct pair p;

    SKIP_UNLESS(mptcp_enabled(), NO_MPTCP);
    p = make_pair(families[_i], true, true);
    full = snapshot_of(p.client);
    forbid_option(FULL_INFO);
    parts = snapshot_of(p.client);
    ck_assert(parts.active);
    ck_assert_uint_eq(parts.token, full.token);
    ck_assert_uint_eq(parts.flags, full.flags);
    ck_assert_uint_eq(parts.subflows, 1);
    ck_assert_uint_eq(parts.listed, 1);
    ck_assert_uint_eq(parts.list[0].id, 0);
    ck_assert_uint_eq(parts.bytes_sent, full.bytes_sent);
    check_subflow(&parts.list[0], p.client);
    close_pair(&p);
}
END_TEST

/* Up to 5.15 */
START_TEST(snapshot_without_any_mptcp_option_is_that_of_the_first_subflow)
{
    uint32_t now, total;
    struct pair p;

    SKIP_UNLESS(mptcp_enabled(), NO_MPTCP);
    p = make_pair(families[_i], true, true);
    forbid_option(ANY_OPTION);
    check_tcp_snapshot(p.client);
    ck_assert_int_eq(mptcp_subflow_count(p.client, &now, &total), 0);
    ck_assert_uint_eq(now, 1);
    ck_assert_uint_eq(total, 1);
    close_pair(&p);
}
END_TEST

START_TEST(subflow_count_is_one_for_tcp_and_for_a_lone_subflow)
{
    uint32_t now = 9, total = 9;
    struct pair p = make_pair(AF_INET, false, false);

    ck_assert_int_eq(mptcp_subflow_count(p.client, &now, &total), 0);
    ck_assert_uint_eq(now, 1);
    ck_assert_uint_eq(total, 1);
    close_pair(&p);
    SKIP_UNLESS(mptcp_enabled(), NO_MPTCP);
    p = make_pair(AF_INET, true, true);
    now = total = 9;
    ck_assert_int_eq(mptcp_subflow_count(p.server, &now, &total), 0);
    ck_assert_uint_eq(now, 1);
    ck_assert_uint_eq(total, 1);
    close_pair(&p);
}
END_TEST

static bool run(const char *command)
{
    return system(command) == 0;
}

static bool has_subflows(int fd, uint32_t wanted, time_t seconds)
{
    uint32_t now = 0, total = 0;

    for (time_t limit = time(NULL) + seconds; now != wanted && time(NULL) <= limit;) {
        (void)sched_yield();
        ck_assert_int_eq(mptcp_subflow_count(fd, &now, &total), 0);
        ck_assert_uint_ge(total, now);
    }
    return now == wanted;
}

/* The n-th, from 127.0.0.n. With both ends in one place a join is now and then refused (seen
 * on 6.18, near the limit); the kernel does not try it again, so we do. */
static void add_subflow(const struct pair *p, unsigned n)
{
    char add[80], del[80];

    (void)snprintf(add, sizeof add, "ip mptcp endpoint add 127.0.0.%u id %u dev lo subflow", n,
                   n);
    (void)snprintf(del, sizeof del, "ip mptcp endpoint del id %u", n);
    ck_assert(run(add));
    for (int tries = 0; !has_subflows(p->client, n, 2); tries++) {
        ck_assert_int_lt(tries, 10);
        ck_assert(run(del));
        ck_assert(run(add));
    }
    ck_assert(has_subflows(p->server, n, 20));
}

/* Two subflows first, then all nine that the kernel allows, one more than a snapshot lists. */
START_TEST(subflows_are_counted_and_listed)
{
    struct mptcp_snapshot s;
    struct pair p;
    uint32_t now, total;

    SKIP_UNLESS(mptcp_enabled(), NO_MPTCP);
    SKIP_UNLESS(enter_network(), NO_NAMESPACE);
    SKIP_UNLESS(run("ip mptcp limits set subflow 8 add_addr_accepted 8"),
                "ip(8) cannot set MPTCP limits");
    p = make_pair(AF_INET, true, true); /* joins are for established connections: only then */
    add_subflow(&p, 2);
    s = snapshot_of(p.client);
    ck_assert_uint_eq(s.subflows, 2);
    ck_assert_uint_eq(s.listed, 2);
    ck_assert_uint_eq(s.list[0].id, 1);
    ck_assert_uint_ge(s.list[1].id, 2);
    ck_assert_uint_eq(s.list[0].local.ip[3], 1);
    ck_assert_uint_eq(s.list[1].local.ip[3], 2);
    for (unsigned i = 3; i <= 9; i++)
        add_subflow(&p, i);
    s = snapshot_of(p.client);
    ck_assert_uint_eq(s.subflows, 9);
    ck_assert_uint_ge(s.subflows_total, 9);
    ck_assert_uint_eq(s.listed, MPTCP_SUBFLOWS_MAX);
    ck_assert(run(
        "ip mptcp endpoint flush")); /* the last numbers are gone, and so is what they told */
    ck_assert(has_subflows(p.client, 1, 20));
    forbid_option(FULL_INFO);
    ck_assert_int_eq(mptcp_subflow_count(p.client, &now, &total), 0);
    ck_assert_uint_eq(now, 1);
    close_pair(&p);
}
END_TEST

static Suite *mptcp_suite(void)
{
    Suite *s = suite_create("mptcp");
    TCase *tc = tcase_create("mptcp");

    tcase_add_test(tc, socket_does_not_block_and_is_closed_on_exec);
    tcase_add_test(tc, socket_is_mptcp_only_when_wanted);
    tcase_add_loop_test(tc, socket_falls_back_to_tcp_where_the_kernel_has_no_mptcp, 0, 3);
    tcase_add_test(tc, socket_that_cannot_be_had_is_an_error);
    tcase_add_test(tc, enabled_follows_the_system_setting);
    tcase_add_loop_test(tc, accepted_socket_tells_what_the_client_is, 0, 2);
    tcase_add_loop_test(tc, active_means_mptcp_on_the_wire, 0, 2);
    tcase_add_loop_test(tc, a_token_is_that_of_the_connections_own_end, 0, 2);
    tcase_add_loop_test(tc, tcp_state_follows_the_connection, 0, 2);
    tcase_add_test(tc, a_fd_that_is_no_tcp_socket_is_an_error);
    tcase_add_loop_test(tc, syn_data_is_seen_on_both_ends, 0, 2);
    tcase_add_loop_test(tc, send_window_is_what_the_peer_offers, 0, 2);
    tcase_add_loop_test(tc, synack_tells_what_the_peer_announced, 0, 2);
    tcase_add_test(tc, synack_tells_what_the_peer_did_not_agree_to);
    tcase_add_loop_test(tc, snapshot_of_tcp_describes_the_connection_as_one_subflow, 0, 2);
    tcase_add_loop_test(tc, snapshot_after_a_fallback_is_that_of_tcp, 0, 2);
    tcase_add_loop_test(tc, snapshot_of_mptcp_has_token_counters_and_subflows, 0, 2);
    tcase_add_loop_test(tc, snapshot_without_full_info_is_put_together, 0, 2);
    tcase_add_loop_test(tc, snapshot_without_any_mptcp_option_is_that_of_the_first_subflow, 0,
                        2);
    tcase_add_test(tc, subflow_count_is_one_for_tcp_and_for_a_lone_subflow);
    tcase_add_test(tc, subflows_are_counted_and_listed);
    tcase_set_timeout(tc, 60);
    suite_add_tcase(s, tc);
    return s;
}

int main(void)
{
    return runner_main(mptcp_suite());
}
