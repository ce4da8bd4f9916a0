/* SPDX-License-Identifier: MIT */
/* Loopback sockets, a resolver that answers when the test says so, and an ACL that denies what
 * the test says. */
#include "base/mptcp.h"
#include "connector.h"
#include "fakeresolver.h"
#include "fault.h"
#include "fault_calls.h"
#include "runner.h"
#include "stats.h"
#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <string.h>
#include <unistd.h>

static struct {
    uv_loop_t loop;
    struct poller poller;
    struct fakeresolver resolver;
    struct stats *stats;
    struct connector_env env;
    struct connector *connector;
    bool inside_start;
    int listener;
    uint16_t port; /* of the listener */
    size_t fds;    /* open when all was set up */
    /* What `done` said. */
    unsigned calls;
    struct connection up;
    struct watch watch;
    struct failure why;
    enum acl_cause denied_by;
    /* The ACL. */
    struct addr denied[4];
    size_t denied_count;
    unsigned checks;
    const char *checked_user;
    char checked_name[256];
} t;

/* ---- The ACL ---- */

struct acl_verdict acl_check(const struct acl *a, const struct addr *source, const char *user,
                             const struct addr *to, const char *name)
{
    (void)a;
    ck_assert_uint_eq(source->port, 4321);
    t.checks++;
    t.checked_user = user;
    (void)snprintf(t.checked_name, sizeof t.checked_name, "%s", name == NULL ? "-" : name);
    for (size_t i = 0; i < t.denied_count; i++) {
        if (addr_equal_ip(&t.denied[i], to))
            return (struct acl_verdict){
                .action = ACL_DENY, .cause = ACL_CAUSE_DEFAULT_PRIVATE, .rule = -1};
    }
    return (struct acl_verdict){.action = ACL_ALLOW, .cause = ACL_CAUSE_DEFAULT, .rule = -1};
}

static struct addr literal(const char *text)
{
    struct addr a;

    ck_assert(addr_parse_ip(text, strlen(text), &a));
    return a;
}

static void deny(const char *text)
{
    t.denied[t.denied_count++] = literal(text);
}

/* ---- Set-up ---- */

static size_t open_fds(void)
{
    DIR *dir = opendir("/proc/self/fd");
    size_t n = 0;

    ck_assert_ptr_nonnull(dir);
    while (readdir(dir) != NULL)
        n++;
    (void)closedir(dir);
    return n;
}

/* A listener on a free port of `text`; `protocol` 0 or IPPROTO_MPTCP. */
static int listen_on(const char *text, uint16_t *port, int backlog, int protocol)
{
    struct addr at = literal(text);
    struct sockaddr_storage ss;

    at.port = *port;
    socklen_t len = addr_to_sockaddr(&at, &ss);
    int fd = socket(ss.ss_family, SOCK_STREAM | SOCK_NONBLOCK, protocol);
    ck_assert_int_ge(fd, 0);
    ck_assert_int_eq(bind(fd, (const struct sockaddr *)&ss, len), 0);
    ck_assert_int_eq(listen(fd, backlog), 0);
    ck_assert_int_eq(getsockname(fd, (struct sockaddr *)&ss, &len), 0);
    ck_assert(addr_from_sockaddr((const struct sockaddr *)&ss, len, &at));
    *port = at.port;
    return fd;
}

static void setup(void)
{
    memset(&t, 0, sizeof t);
    ck_assert_int_eq(uv_loop_init(&t.loop), 0);
    ck_assert_int_eq(poller_init(&t.poller, &t.loop, NULL, NULL), 0);
    fakeresolver_init(&t.resolver);
    t.stats = stats_new();
    ck_assert_ptr_nonnull(t.stats);
    t.env = (struct connector_env){
        .loop = &t.loop, .poller = &t.poller, .resolver = &t.resolver.base, .stats = t.stats};
    t.listener = listen_on("127.0.0.1", &t.port, 16, 0);
    t.fds = open_fds();
}

static void teardown(void)
{
    fault_reset();
    fault_calls_reset();
    ck_assert_ptr_null(t.resolver.pending[0]);
    ck_assert_ptr_null(t.resolver.pending[1]);
    ck_assert_uint_eq(open_fds(), t.fds);
    (void)close(t.listener);
    poller_run(&t.poller, UV_RUN_DEFAULT);
    poller_done(&t.poller);
    ck_assert_int_eq(uv_loop_close(&t.loop), 0);
    stats_free(t.stats);
}

/* ---- Connecting ---- */

static void on_ready(struct watch *w, uint32_t events)
{
    (void)w;
    (void)events;
}

static void on_done(void *arg, struct connection *c, struct failure why)
{
    ck_assert_ptr_eq(arg, &t);
    ck_assert(!t.inside_start);
    ck_assert_int_eq(c != NULL, why.why == OUTCOME_OK);
    t.calls++;
    t.why = why;
    t.denied_by = connector_denied_by(t.connector);
    t.connector = NULL;
    if (c == NULL)
        return;
    t.up = *c;
    ck_assert_int_eq(c->from->fd, c->fd);
    poller_move(&t.poller, c->from, &t.watch, on_ready);
}

static struct connector_request request_of(const struct target *target)
{
    static const struct addr source = {
        .family = ADDR_IPV4, .ip = {192, 0, 2, 77}, .port = 4321};

    return (struct connector_request){
        .target = target,
        .source = &source,
        .user = "alice",
        .eyeballs = {.attempt_delay_ms = 20, .resolution_delay_ms = 5, .prefer = ADDR_IPV6},
    };
}

static bool start_request(const struct connector_request *req)
{
    t.calls = 0;
    t.inside_start = true;
    t.connector = connector_start(&t.env, req, on_done, &t);
    t.inside_start = false;
    return t.connector != NULL;
}

static struct target target_of(const char *host, uint16_t port)
{
    struct target target;

    ck_assert(target_from_host(span_of(host, strlen(host)), port, &target));
    return target;
}

static bool start(const char *host)
{
    struct target target = target_of(host, t.port);
    struct connector_request req = request_of(&target);

    return start_request(&req);
}

static void wait_done(void)
{
    while (t.calls == 0)
        poller_run(&t.poller, UV_RUN_ONCE);
    ck_assert_uint_eq(t.calls, 1);
}

/* Ours, and the listener's end when it has one: its queue must not fill up. */
static void drop_connection(void)
{
    int peer = accept4(t.listener, NULL, NULL, SOCK_NONBLOCK);

    if (peer >= 0)
        (void)close(peer);
    poller_remove(&t.poller, &t.watch);
    (void)close(t.up.fd);
}

static void expect_connected(const char *text)
{
    struct addr want = literal(text);

    want.port = t.port;
    wait_done();
    ck_assert_int_eq(t.why.why, OUTCOME_OK);
    ck_assert(addr_equal(&t.up.remote, &want));
    ck_assert_uint_ne(t.up.events & EPOLLOUT, 0);
    drop_connection();
}

static void expect_failure(enum outcome why)
{
    wait_done();
    ck_assert_int_eq(t.why.why, why);
}

static void know(const char *const *ipv6, size_t n6, const char *const *ipv4, size_t n4)
{
    struct resolver_answer a6 = fakeresolver_answer(OUTCOME_NAME_NOT_FOUND, ipv6, n6);
    struct resolver_answer a4 = fakeresolver_answer(OUTCOME_NAME_NOT_FOUND, ipv4, n4);

    fakeresolver_know(&t.resolver, ADDR_IPV6, &a6);
    fakeresolver_know(&t.resolver, ADDR_IPV4, &a4);
}

static uint64_t count(enum stat_id which)
{
    return atomic_load(&t.stats->value[which]);
}

static int option(int fd, int level, int name)
{
    int value = -1;
    socklen_t len = sizeof value;

    ck_assert_int_eq(getsockopt(fd, level, name, &value, &len), 0);
    return value;
}

static bool nothing_arrived(int listener)
{
    int fd = accept4(listener, NULL, NULL, SOCK_NONBLOCK);

    if (fd >= 0)
        (void)close(fd);
    return fd < 0 && errno == EAGAIN;
}

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
    req.mptcp = true;
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

/* ---- Names ---- */

START_TEST(a_known_name_is_connected_to)
{
    static const char *const addr[] = {"127.0.0.1"};

    know(NULL, 0, addr, 1);
    ck_assert(start("Example.net"));
    expect_connected("127.0.0.1");
    ck_assert_str_eq(t.resolver.name, "Example.net");
    ck_assert_str_eq(t.checked_name, "Example.net");
    ck_assert_uint_eq(t.resolver.started, 0);
}
END_TEST

START_TEST(lookups_run_together_and_the_winner_cancels_the_rest)
{
    static const char *const addr[] = {"127.0.0.1"};
    struct resolver_answer a = fakeresolver_answer(OUTCOME_OK, addr, 1);

    ck_assert(start("example.net"));
    ck_assert_uint_eq(t.resolver.started, 2);
    ck_assert(fakeresolver_tell(&t.resolver, ADDR_IPV4, &a)); /* IPv6 stays silent */
    expect_connected("127.0.0.1");
    ck_assert_uint_eq(t.resolver.cancelled, 1);
}
END_TEST

START_TEST(a_mapped_address_counts_as_ipv4)
{
    static const char *const addr[] = {"::ffff:127.0.0.1"};
    struct resolver_answer a = fakeresolver_answer(OUTCOME_OK, addr, 1);

    a.addr[0] = addr_ipv6((const uint8_t[16]){[10] = 0xff, [11] = 0xff, 127, 0, 0, 1}, 0);
    fakeresolver_know(&t.resolver, ADDR_IPV6, &a);
    deny("127.0.0.1");
    a = fakeresolver_answer(OUTCOME_NAME_NOT_FOUND, NULL, 0);
    fakeresolver_know(&t.resolver, ADDR_IPV4, &a);
    ck_assert(start("example.net"));
    expect_failure(OUTCOME_DENIED);
    ck_assert(nothing_arrived(t.listener));
}
END_TEST

START_TEST(a_name_cannot_smuggle_a_denied_address_in)
{
    static const char *const addr[] = {"127.0.0.1"};

    deny("127.0.0.1");
    know(NULL, 0, addr, 1);
    ck_assert(start("example.net"));
    expect_failure(OUTCOME_DENIED);
    ck_assert(nothing_arrived(t.listener));
    ck_assert_int_eq(t.denied_by, ACL_CAUSE_DEFAULT_PRIVATE);
}
END_TEST

START_TEST(after_a_denied_address_the_next_is_tried)
{
    static const char *const addr[] = {"127.0.0.2", "127.0.0.1"};

    deny("127.0.0.2");
    know(NULL, 0, addr, 2);
    ck_assert(start("example.net"));
    expect_connected("127.0.0.1");
    ck_assert_uint_eq(count(STAT_ACL_DEFAULT_PRIVATE), 1);
    ck_assert_uint_eq(t.checks, 2);
}
END_TEST

/* A listener on 127.0.0.3 whose queue is full: further SYNs get no answer. *filler keeps it so.
 */
static int black_hole(int filler[4])
{
    uint16_t port = t.port;
    int fd = listen_on("127.0.0.3", &port, 0, 0);
    struct sockaddr_storage ss;
    struct addr at = literal("127.0.0.3");

    at.port = port;
    socklen_t len = addr_to_sockaddr(&at, &ss);
    for (int i = 0; i < 4; i++) {
        filler[i] = socket(AF_INET, SOCK_STREAM | SOCK_NONBLOCK, 0);
        ck_assert_int_ge(filler[i], 0);
        (void)!connect(filler[i], (const struct sockaddr *)&ss, len);
    }
    return fd;
}

static void fill_in(int fd, const int filler[4])
{
    (void)close(fd);
    for (int i = 0; i < 4; i++)
        (void)close(filler[i]);
}

START_TEST(a_silent_address_is_overtaken_and_closed)
{
    static const char *const addr[] = {"127.0.0.3", "127.0.0.1"};
    int filler[4], hole = black_hole(filler);
    size_t fds = open_fds();

    know(NULL, 0, addr, 2);
    ck_assert(start("example.net"));
    ck_assert_uint_eq(open_fds(), fds + 1);
    expect_connected("127.0.0.1");
    ck_assert_uint_eq(open_fds(), fds);
    ck_assert_uint_eq(count(STAT_CONNECT_ATTEMPTS), 2);
    ck_assert_uint_eq(count(STAT_CONNECT_SUCCESS), 1);
    fill_in(hole, filler);
}
END_TEST

START_TEST(the_most_telling_failure_of_all_attempts_is_told)
{
    static const char *const addr[] = {"127.0.0.2", "127.0.0.4", "127.0.0.5"};

    know(NULL, 0, addr, 3); /* nobody listens there */
    fault_call_after(FAULT_connect, 1, ENETUNREACH);
    ck_assert(start("example.net"));
    expect_failure(OUTCOME_REFUSED);
    ck_assert_uint_eq(count(STAT_CONNECT_ATTEMPTS), 3);
}
END_TEST

START_TEST(a_name_without_addresses_is_told_from_the_loop)
{
    know(NULL, 0, NULL, 0);
    ck_assert(start("example.net"));
    expect_failure(OUTCOME_NAME_NOT_FOUND);
}
END_TEST

START_TEST(late_failures_of_lookups_are_told)
{
    struct resolver_answer none = fakeresolver_answer(OUTCOME_NAME_NOT_FOUND, NULL, 0);
    struct resolver_answer broken = fakeresolver_answer(OUTCOME_RESOLVER_FAILED, NULL, 0);

    ck_assert(start("example.net"));
    ck_assert(fakeresolver_tell(&t.resolver, ADDR_IPV6, &none));
    ck_assert_uint_eq(t.calls, 0);
    ck_assert(fakeresolver_tell(&t.resolver, ADDR_IPV4, &broken));
    expect_failure(OUTCOME_RESOLVER_FAILED);
}
END_TEST

START_TEST(a_resolver_that_is_full_is_lack_of_resources)
{
    t.resolver.full = true;
    ck_assert(start("example.net"));
    expect_failure(OUTCOME_NO_RESOURCES);
}
END_TEST

/* ---- Cancelling ---- */

/* Stops after _i turns of the loop, for every kind of wait there is. */
static void cancel_after(int turns)
{
    for (int i = 0; i < turns && t.calls == 0; i++)
        poller_run(&t.poller, UV_RUN_NOWAIT);
    if (t.calls == 0) {
        connector_cancel(t.connector);
        for (int i = 0; i < 3; i++)
            poller_run(&t.poller, UV_RUN_NOWAIT);
        ck_assert_uint_eq(t.calls, 0);
    } else if (t.why.why == OUTCOME_OK) {
        drop_connection();
    }
    ck_assert(!uv_loop_alive(&t.loop)); /* no timer is left */
}

START_TEST(an_address_can_be_cancelled)
{
    ck_assert(start("127.0.0.1"));
    cancel_after(_i);
}
END_TEST

START_TEST(a_failure_not_told_yet_can_be_cancelled)
{
    deny("127.0.0.1");
    ck_assert(start("127.0.0.1"));
    cancel_after(_i);
    know(NULL, 0, NULL, 0);
    ck_assert(start("example.net"));
    cancel_after(_i);
}
END_TEST

START_TEST(lookups_can_be_cancelled)
{
    struct resolver_answer none = fakeresolver_answer(OUTCOME_NAME_NOT_FOUND, NULL, 0);

    ck_assert(start("example.net"));
    cancel_after(_i);
    ck_assert_uint_eq(t.resolver.cancelled, 2);
    ck_assert(start("example.net"));
    ck_assert(fakeresolver_tell(&t.resolver, ADDR_IPV4, &none));
    cancel_after(_i);
    ck_assert_uint_eq(t.resolver.cancelled, 3);
}
END_TEST

START_TEST(the_resolution_delay_can_be_cancelled)
{
    static const char *const addr[] = {"127.0.0.1"};
    struct resolver_answer a = fakeresolver_answer(OUTCOME_OK, addr, 1);

    ck_assert(start("example.net"));
    ck_assert(fakeresolver_tell(&t.resolver, ADDR_IPV4, &a));
    cancel_after(_i);
}
END_TEST

START_TEST(running_attempts_can_be_cancelled)
{
    static const char *const addr[] = {"127.0.0.3", "::ffff:127.0.0.3", "127.0.0.1"};
    int filler[4], hole = black_hole(filler);
    struct target target = target_of("example.net", t.port);
    struct connector_request req = request_of(&target);

    req.eyeballs.attempt_delay_ms = (uint32_t)(_i % 2) * 1000; /* 0: all at once */
    know(NULL, 0, addr, 3);
    ck_assert(start_request(&req));
    cancel_after(_i / 2);
    fill_in(hole, filler);
}
END_TEST

/* ---- Faults ---- */

/* A name with a denied, a refusing and a good address, and an address: whoever was started is
 * told. */
static void whole_life(void)
{
    static const char *const addr[] = {"127.0.0.9", "127.0.0.2", "127.0.0.1"};
    static const char *const host[] = {"127.0.0.1", "::1", "127.0.0.9", "example.net"};
    struct resolver_answer a = fakeresolver_answer(OUTCOME_OK, addr, 3);
    struct resolver_answer none = fakeresolver_answer(OUTCOME_NAME_NOT_FOUND, NULL, 0);

    t.denied_count = 0;
    deny("127.0.0.9");
    fakeresolver_know(&t.resolver, ADDR_IPV6, &none);
    for (size_t i = 0; i < ARRAY_LEN(host); i++) {
        if (!start(host[i]))
            continue;
        (void)fakeresolver_tell(&t.resolver, ADDR_IPV4, &a);
        wait_done();
        if (t.why.why == OUTCOME_OK)
            drop_connection();
    }
    poller_run(&t.poller, UV_RUN_DEFAULT);
}

START_TEST(any_allocation_may_fail)
{
    unsigned n = 1;

    for (;; n++) {
        fault_after(n);
        whole_life();
        if (!fault_hit())
            break;
        fault_reset();
        ck_assert_uint_eq(open_fds(), t.fds);
    }
    ck_assert_uint_gt(n, 6);
}
END_TEST

START_TEST(any_call_may_fail)
{
    static const enum fault_call call[] = {
        FAULT_socket,  FAULT_setsockopt, FAULT_connect,      FAULT_epoll_ctl,
        FAULT_recvmsg, FAULT_getsockopt, FAULT_uv_timer_init};

    for (size_t i = 0; i < ARRAY_LEN(call); i++) {
        unsigned n = 1;
        for (;; n++) {
            fault_call_after(call[i], n, ENOMEM);
            whole_life();
            if (!fault_call_hit(call[i]))
                break;
            fault_calls_reset();
            ck_assert_uint_eq(open_fds(), t.fds);
        }
        ck_assert_uint_gt(n, 1);
    }
}
END_TEST

static void add_connects(Suite *s)
{
    TCase *c = tcase_create("connects");

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
    tcase_add_test(c, early_data_goes_with_one_attempt_only);
    tcase_add_test(c, early_data_without_fastopen_stays);
    suite_add_tcase(s, c);
}

static void add_names(Suite *s)
{
    TCase *c = tcase_create("names");

    tcase_add_checked_fixture(c, setup, teardown);
    tcase_add_test(c, a_known_name_is_connected_to);
    tcase_add_test(c, lookups_run_together_and_the_winner_cancels_the_rest);
    tcase_add_test(c, a_mapped_address_counts_as_ipv4);
    tcase_add_test(c, a_name_cannot_smuggle_a_denied_address_in);
    tcase_add_test(c, after_a_denied_address_the_next_is_tried);
    tcase_add_test(c, a_silent_address_is_overtaken_and_closed);
    tcase_add_test(c, the_most_telling_failure_of_all_attempts_is_told);
    tcase_add_test(c, a_name_without_addresses_is_told_from_the_loop);
    tcase_add_test(c, late_failures_of_lookups_are_told);
    tcase_add_test(c, a_resolver_that_is_full_is_lack_of_resources);
    tcase_add_loop_test(c, an_address_can_be_cancelled, 0, 4);
    tcase_add_loop_test(c, a_failure_not_told_yet_can_be_cancelled, 0, 4);
    tcase_add_loop_test(c, lookups_can_be_cancelled, 0, 4);
    tcase_add_loop_test(c, the_resolution_delay_can_be_cancelled, 0, 4);
    tcase_add_loop_test(c, running_attempts_can_be_cancelled, 0, 8);
    tcase_add_test(c, any_allocation_may_fail);
    tcase_add_test(c, any_call_may_fail);
    suite_add_tcase(s, c);
}

int main(void)
{
    Suite *s = suite_create("connector");

    add_connects(s);
    add_names(s);
    return runner_main(s);
}
