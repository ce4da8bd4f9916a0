/* SPDX-License-Identifier: MIT */
#include "plan.h"
#include "runner.h"
#include "scripted.h"
#include <stdlib.h>

static struct settings settings;
static struct shared *shared;

static void set_up(void)
{
    settings_default(&settings);
    settings.proxies = 2;
    ck_assert(addr_parse("192.0.2.1:1080", &settings.proxy[0]));
    ck_assert(addr_parse("[2001:db8::1]:1081", &settings.proxy[1]));
    shared = shared_map(NULL);
    ck_assert_ptr_nonnull(shared);
}

/* From an exact-size copy at an odd address, for ASan and UBSan. */
static struct plan ask_raw(int fd, const void *sa, socklen_t len)
{
    char *copy = malloc((size_t)len + 1);

    ck_assert_ptr_nonnull(copy);
    memcpy(copy + 1, sa, len);
    struct plan p =
        plan_connect(&settings, shared, fd, (const struct sockaddr *)(void *)(copy + 1), len);
    free(copy);
    return p;
}

static struct plan ask(int fd, const char *text)
{
    struct sockaddr_storage ss = {0};
    struct addr a;

    ck_assert(addr_parse(text, &a));
    socklen_t len = addr_to_sockaddr(&a, &ss);
    return ask_raw(fd, &ss, len);
}

/* A fresh socket of the family and protocol. */
static struct plan ask_new(int family, int type, int protocol, const char *text)
{
    int fd = socket(family, type | SOCK_CLOEXEC, protocol);

    ck_assert_int_ge(fd, 0);
    struct plan p = ask(fd, text);
    ck_assert_int_eq(close(fd), 0);
    return p;
}

static enum plan_kind kind4(const char *text)
{
    return ask_new(AF_INET, SOCK_STREAM, 0, text).kind;
}

static enum plan_kind kind6(const char *text)
{
    return ask_new(AF_INET6, SOCK_STREAM, 0, text).kind;
}

START_TEST(a_tcp_or_mptcp_socket_is_asked_of_a_concentrator)
{
    static const int protocols[] = {0, IPPROTO_TCP, IPPROTO_MPTCP};

    for (int i = 0; i < 3; i++) {
        int fd = socket(AF_INET, SOCK_STREAM | SOCK_NONBLOCK, protocols[i]);
        struct plan p = ask(fd, "198.51.100.7:80");

        ck_assert_int_eq(p.kind, PLAN_PROXY);
        ck_assert_int_eq(p.target.addr.family, ADDR_IPV4);
        ck_assert_uint_eq(p.target.port, 80);
        ck_assert_uint_eq(p.peer.port, 80);
        ck_assert_int_eq(p.family, AF_INET);
        ck_assert(!p.v6only);
        ck_assert_int_eq(p.flags & O_NONBLOCK, O_NONBLOCK);
        ck_assert_uint_ne(p.cookie, 0);
        ck_assert_int_eq(close(fd), 0);
    }
    ck_assert_int_eq(kind6("[2001:db8::7]:80"), PLAN_PROXY);
}
END_TEST

START_TEST(a_mapped_address_stays_as_written_and_is_asked_for_as_ipv4)
{
    struct plan p = ask_new(AF_INET6, SOCK_STREAM, 0, "[::ffff:198.51.100.7]:80");

    ck_assert_int_eq(p.kind, PLAN_PROXY);
    ck_assert_int_eq(p.peer.family, ADDR_IPV6);
    ck_assert_int_eq(p.target.addr.family, ADDR_IPV4);
    ck_assert_int_eq(p.family, AF_INET6);
}
END_TEST

START_TEST(other_sockets_are_the_kernels)
{
    int pipes[2];
    int pair[2];

    ck_assert_int_eq(ask_new(AF_INET, SOCK_DGRAM, 0, "198.51.100.7:80").kind, PLAN_PASS);
    ck_assert_int_eq(ask_new(AF_INET6, SOCK_DGRAM, 0, "[2001:db8::7]:53").kind, PLAN_PASS);
    ck_assert_int_eq(pipe2(pipes, O_CLOEXEC), 0);
    ck_assert_int_eq(ask(pipes[0], "198.51.100.7:80").kind, PLAN_PASS);
    ck_assert_int_eq(ask(-1, "198.51.100.7:80").kind, PLAN_PASS);
    ck_assert_int_eq(socketpair(AF_UNIX, SOCK_STREAM, 0, pair), 0);
    ck_assert_int_eq(ask(pair[0], "198.51.100.7:80").kind, PLAN_PASS);
    for (int i = 0; i < 2; i++) {
        ck_assert_int_eq(close(pipes[i]), 0);
        ck_assert_int_eq(close(pair[i]), 0);
    }
}
END_TEST

START_TEST(without_a_concentrator_everything_passes)
{
    settings.proxies = 0;
    settings.udp443 = SETTINGS_UDP443_REFUSE;
    ck_assert_int_eq(kind4("198.51.100.7:80"), PLAN_PASS);
    ck_assert_int_eq(ask_new(AF_INET, SOCK_DGRAM, 0, "198.51.100.7:443").kind, PLAN_PASS);
}
END_TEST

START_TEST(what_the_bypass_list_has_passes_mapped_or_not)
{
    ck_assert(bypass_add(&settings.bypass, "203.0.113.0/24", 14));
    ck_assert_int_eq(kind4("203.0.113.9:80"), PLAN_PASS);
    ck_assert_int_eq(kind6("[::ffff:203.0.113.9]:80"), PLAN_PASS);
    ck_assert_int_eq(kind4("127.0.0.1:80"), PLAN_PASS);
    ck_assert_int_eq(kind6("[::1]:80"), PLAN_PASS);
    settings.bypass.count = 0;
    ck_assert_int_eq(kind4("203.0.113.9:80"), PLAN_PROXY);
    ck_assert_int_eq(kind4("127.0.0.1:80"), PLAN_PROXY); /* asked for */
}
END_TEST

START_TEST(the_concentrators_themselves_pass_at_their_port)
{
    ck_assert_int_eq(kind4("192.0.2.1:1080"), PLAN_PASS);
    ck_assert_int_eq(kind6("[::ffff:192.0.2.1]:1080"), PLAN_PASS);
    ck_assert_int_eq(kind6("[2001:db8::1]:1081"), PLAN_PASS);
    ck_assert_int_eq(kind4("192.0.2.1:80"), PLAN_PROXY);
    ck_assert_int_eq(kind6("[2001:db8::1]:1080"), PLAN_PROXY);
}
END_TEST

/* Also when the program's user replaced the default bypass list. */
START_TEST(what_has_no_meaning_elsewhere_passes)
{
    settings.bypass.count = 0;
    ck_assert_int_eq(kind4("0.0.0.0:80"), PLAN_PASS);
    ck_assert_int_eq(kind6("[::]:80"), PLAN_PASS);
    ck_assert_int_eq(kind4("224.0.0.1:80"), PLAN_PASS);
    ck_assert_int_eq(kind4("255.255.255.255:80"), PLAN_PASS);
    ck_assert_int_eq(kind6("[ff02::1]:80"), PLAN_PASS);
    ck_assert_int_eq(kind6("[fe80::1]:80"), PLAN_PASS);
    ck_assert_int_eq(kind4("198.51.100.7:0"), PLAN_PASS);
}
END_TEST

START_TEST(a_scope_id_makes_a_link_local_address_ours_and_is_dropped_elsewhere)
{
    struct sockaddr_in6 to = {.sin6_family = AF_INET6, .sin6_port = htons(80)};
    int fd = socket(AF_INET6, SOCK_STREAM, 0);

    settings.bypass.count = 0;
    to.sin6_scope_id = 1;
    to.sin6_addr = (struct in6_addr){.s6_addr = {0xfe, 0x80, [15] = 9}};
    ck_assert_int_eq(ask_raw(fd, &to, sizeof to).kind, PLAN_PASS);
    to.sin6_addr = (struct in6_addr){.s6_addr = {0x20, 1, 0x0d, 0xb8, [15] = 9}};
    struct plan p = ask_raw(fd, &to, sizeof to);
    ck_assert_int_eq(p.kind, PLAN_PROXY);
    ck_assert_uint_eq(p.target.addr.scope, 0);
    ck_assert_int_eq(close(fd), 0);
}
END_TEST

START_TEST(malformed_addresses_are_the_kernels)
{
    struct sockaddr_in four = {.sin_family = AF_INET, .sin_port = htons(80)};
    struct sockaddr_in6 six = {.sin6_family = AF_INET6, .sin6_port = htons(80)};
    struct sockaddr_storage other = {.ss_family = AF_UNSPEC};
    int fd4 = socket(AF_INET, SOCK_STREAM, 0), fd6 = socket(AF_INET6, SOCK_STREAM, 0);

    four.sin_addr.s_addr = htonl(0xc6336407);
    six.sin6_addr = (struct in6_addr){.s6_addr = {0x20, 1, 0x0d, 0xb8, [15] = 9}};
    for (socklen_t len = 0; len <= sizeof four; len++)
        ck_assert_int_eq(ask_raw(fd4, &four, len).kind,
                         len < sizeof four ? PLAN_PASS : PLAN_PROXY);
    /* The kernel takes one without a scope id (RFC 2133), so do we. */
    for (socklen_t len = 0; len <= sizeof six; len++)
        ck_assert_int_eq(ask_raw(fd6, &six, len).kind, len < 24 ? PLAN_PASS : PLAN_PROXY);
    ck_assert_int_eq(ask_raw(fd4, &other, sizeof other).kind, PLAN_PASS);
    other.ss_family = AF_UNIX;
    ck_assert_int_eq(ask_raw(fd4, &other, sizeof other).kind, PLAN_PASS);
    ck_assert_int_eq(plan_connect(&settings, shared, fd4, NULL, 16).kind, PLAN_PASS);
    ck_assert_int_eq(close(fd4), 0);
    ck_assert_int_eq(close(fd6), 0);
}
END_TEST

START_TEST(a_family_the_socket_does_not_have_is_the_kernels)
{
    int fd = socket(AF_INET6, SOCK_STREAM, 0), one = 1;

    ck_assert_int_eq(kind4("[2001:db8::7]:80"), PLAN_PASS);
    ck_assert_int_eq(kind6("198.51.100.7:80"), PLAN_PASS);
    ck_assert_int_eq(setsockopt(fd, IPPROTO_IPV6, IPV6_V6ONLY, &one, sizeof one), 0);
    ck_assert_int_eq(ask(fd, "[::ffff:198.51.100.7]:80").kind, PLAN_PASS);
    struct plan p = ask(fd, "[2001:db8::7]:80");
    ck_assert_int_eq(p.kind, PLAN_PROXY);
    ck_assert(p.v6only);
    ck_assert_int_eq(close(fd), 0);
}
END_TEST

START_TEST(connecting_connected_and_listening_sockets_are_the_kernels)
{
    struct addr at;
    struct sockaddr_storage ss = {0};
    int listener = scripted_listen(AF_INET, _i != 0, false, &at);
    int fd = scripted_socket(AF_INET, _i != 0), full = scripted_socket(AF_INET, _i != 0);
    socklen_t len = addr_to_sockaddr(&at, &ss);

    ck_assert_int_eq(ask(listener, "198.51.100.7:80").kind, PLAN_PASS);
    ck_assert_int_eq(ask(fd, "198.51.100.7:80").kind, PLAN_PROXY);
    (void)connect(fd, (struct sockaddr *)&ss, len); /* EINPROGRESS */
    ck_assert(scripted_ready(fd, POLLOUT, SCRIPTED_PATIENCE_MS));
    ck_assert_int_eq(ask(fd, "198.51.100.7:80").kind, PLAN_PASS);

    int other = scripted_accept(listener);
    ck_assert_int_eq(listen(listener, 0), 0); /* room for one, then SYNs are dropped */
    int fill = scripted_socket(AF_INET, false);
    (void)connect(fill, (struct sockaddr *)&ss, len);
    ck_assert(scripted_ready(fill, POLLOUT, SCRIPTED_PATIENCE_MS));
    (void)connect(full, (struct sockaddr *)&ss, len);
    ck_assert(!scripted_ready(full, POLLOUT, 0));
    ck_assert_int_eq(ask(full, "198.51.100.7:80").kind, PLAN_PASS);

    int all[] = {listener, fd, full, other, fill};
    for (int i = 0; i < 5; i++)
        ck_assert_int_eq(close(all[i]), 0);
}
END_TEST

START_TEST(a_redirected_socket_is_asked_again)
{
    int fd = socket(AF_INET, SOCK_STREAM, 0);
    struct truth t = {.state = TRUTH_PENDING, .family = AF_INET};
    struct plan p = ask(fd, "198.51.100.7:80");
    int error = 0;

    truth_set(shared, p.cookie, &t);
    ck_assert_int_eq(ask(fd, "198.51.100.7:80").kind, PLAN_AGAIN);
    ck_assert_uint_eq(ask(fd, "198.51.100.7:80").cookie, p.cookie);
    t.state = TRUTH_CONNECTED;
    truth_set(shared, p.cookie, &t);
    ck_assert_int_eq(ask(fd, "198.51.100.7:80").kind, PLAN_AGAIN);
    t = (struct truth){.state = TRUTH_FAILED, .unreported = true, .error = ECONNREFUSED};
    truth_set(shared, p.cookie, &t);
    ck_assert_int_eq(ask(fd, "198.51.100.7:80").kind, PLAN_AGAIN);
    /* Once it was told, the kernel would let the program try again. */
    ck_assert(truth_report(shared, p.cookie, &error));
    ck_assert_int_eq(ask(fd, "198.51.100.7:80").kind, PLAN_PROXY);
    ck_assert_int_eq(close(fd), 0);
    shared = NULL;
    ck_assert_int_eq(kind4("198.51.100.7:80"), PLAN_PROXY);
}
END_TEST

START_TEST(pool_addresses_become_names)
{
    static const char name[] = "Host.Example";
    char text[ADDR_TEXT_MAX];
    struct addr a, a6;

    settings.remote_dns = true;
    settings.dialect = PROTOCOL_SOCKS5;
    ck_assert(bypass_add(&settings.bypass, "198.18.0.0/15", 13)); /* does not count */
    ck_assert(name_to_addr(shared, name, strlen(name), ADDR_IPV4, &a));
    ck_assert(name_to_addr(shared, name, strlen(name), ADDR_IPV6, &a6));
    a.port = a6.port = 80;
    struct plan p = ask_new(AF_INET, SOCK_STREAM, 0, addr_print(&a, text, sizeof text));
    ck_assert_int_eq(p.kind, PLAN_PROXY);
    ck_assert_str_eq(p.target.name, "host.example");
    ck_assert_uint_eq(p.target.port, 80);
    ck_assert(addr_equal(&p.peer, &a));
    p = ask_new(AF_INET6, SOCK_STREAM, 0, addr_print(&a6, text, sizeof text));
    ck_assert_int_eq(p.kind, PLAN_PROXY);
    ck_assert_str_eq(p.target.name, "host.example");
    memset(a6.ip, 0, 10);
    memset(a6.ip + 10, 0xff, 2);
    memcpy(a6.ip + 12, a.ip, 4); /* the IPv4 one through an IPv6 socket */
    p = ask_new(AF_INET6, SOCK_STREAM, 0, addr_print(&a6, text, sizeof text));
    ck_assert_int_eq(p.kind, PLAN_PROXY);
    ck_assert_str_eq(p.target.name, "host.example");
}
END_TEST

START_TEST(unknown_pool_addresses_are_refused)
{
    settings.remote_dns = true;
    settings.dialect = PROTOCOL_SOCKS5;
    struct plan p = ask_new(AF_INET, SOCK_STREAM, 0, "198.19.255.200:80");
    ck_assert_int_eq(p.kind, PLAN_REFUSE);
    ck_assert_int_eq(p.error, EHOSTUNREACH);
    settings.remote_dns = false; /* then they are addresses like others */
    ck_assert_int_eq(kind4("198.19.255.200:80"), PLAN_PROXY);
}
END_TEST

static enum plan_kind send_kind(int family, int type, const char *text)
{
    struct sockaddr_storage ss = {0};
    struct addr a;
    int fd = socket(family, type, 0);

    ck_assert(addr_parse(text, &a));
    socklen_t len = addr_to_sockaddr(&a, &ss);
    struct plan p = plan_datagram(&settings, fd, (struct sockaddr *)&ss, len);
    ck_assert_int_eq(close(fd), 0);
    if (p.kind == PLAN_REFUSE)
        ck_assert_int_eq(p.error, ECONNREFUSED);
    return p.kind;
}

START_TEST(quic_is_refused_where_that_was_asked_for)
{
    ck_assert_int_eq(send_kind(AF_INET, SOCK_DGRAM, "198.51.100.7:443"), PLAN_PASS);
    ck_assert_int_eq(ask_new(AF_INET, SOCK_DGRAM, 0, "198.51.100.7:443").kind, PLAN_PASS);
    settings.udp443 = SETTINGS_UDP443_REFUSE;
    ck_assert_int_eq(send_kind(AF_INET, SOCK_DGRAM, "198.51.100.7:443"), PLAN_REFUSE);
    ck_assert_int_eq(send_kind(AF_INET6, SOCK_DGRAM, "[::ffff:198.51.100.7]:443"), PLAN_REFUSE);
    ck_assert_int_eq(send_kind(AF_INET6, SOCK_DGRAM, "[2001:db8::7]:443"), PLAN_REFUSE);
    ck_assert_int_eq(send_kind(AF_INET, SOCK_DGRAM, "198.51.100.7:53"), PLAN_PASS);
    ck_assert_int_eq(send_kind(AF_INET, SOCK_DGRAM, "127.0.0.1:443"), PLAN_PASS);
    ck_assert_int_eq(send_kind(AF_INET, SOCK_STREAM, "198.51.100.7:443"), PLAN_PASS);
    struct plan p = ask_new(AF_INET, SOCK_DGRAM, 0, "198.51.100.7:443");
    ck_assert_int_eq(p.kind, PLAN_REFUSE);
    ck_assert_int_eq(p.error, ECONNREFUSED);
    ck_assert_int_eq(ask_new(AF_INET, SOCK_DGRAM, 0, "127.0.0.1:443").kind, PLAN_PASS);
    ck_assert_int_eq(ask_new(AF_INET, SOCK_DGRAM, 0, "198.51.100.7:80").kind, PLAN_PASS);
    ck_assert_int_eq(kind4("198.51.100.7:443"), PLAN_PROXY);
}
END_TEST

START_TEST(nothing_is_changed_and_errno_is_left_alone)
{
    int fd = socket(AF_INET, SOCK_STREAM, 0);

    errno = 4711;
    struct plan p = ask(fd, "198.51.100.7:80");
    ck_assert_int_eq(p.kind, PLAN_PROXY);
    ck_assert_int_eq(ask(-1, "198.51.100.7:80").kind, PLAN_PASS);
    ck_assert_int_eq(errno, 4711);
    for (int i = 0; i < SHARED_COUNTS; i++)
        ck_assert_uint_eq(shared_get(shared, (enum shared_count)i), 0);
    ck_assert_int_eq(close(fd), 0);
}
END_TEST

int main(void)
{
    if (!scripted_enter()) {
        (void)puts("skipped: no network namespace of our own, or no MPTCP");
        return 77;
    }
    Suite *suite = suite_create("plan");
    TCase *c = tcase_create("plan");
    tcase_add_checked_fixture(c, set_up, NULL);
    tcase_add_test(c, a_tcp_or_mptcp_socket_is_asked_of_a_concentrator);
    tcase_add_test(c, a_mapped_address_stays_as_written_and_is_asked_for_as_ipv4);
    tcase_add_test(c, other_sockets_are_the_kernels);
    tcase_add_test(c, without_a_concentrator_everything_passes);
    tcase_add_test(c, what_the_bypass_list_has_passes_mapped_or_not);
    tcase_add_test(c, the_concentrators_themselves_pass_at_their_port);
    tcase_add_test(c, what_has_no_meaning_elsewhere_passes);
    tcase_add_test(c, a_scope_id_makes_a_link_local_address_ours_and_is_dropped_elsewhere);
    tcase_add_test(c, malformed_addresses_are_the_kernels);
    tcase_add_test(c, a_family_the_socket_does_not_have_is_the_kernels);
    tcase_add_loop_test(c, connecting_connected_and_listening_sockets_are_the_kernels, 0, 2);
    tcase_add_test(c, a_redirected_socket_is_asked_again);
    tcase_add_test(c, pool_addresses_become_names);
    tcase_add_test(c, unknown_pool_addresses_are_refused);
    tcase_add_test(c, quic_is_refused_where_that_was_asked_for);
    tcase_add_test(c, nothing_is_changed_and_errno_is_left_alone);
    suite_add_tcase(suite, c);
    return runner_main(suite);
}
