/* SPDX-License-Identifier: MIT */
/* connector_fixture - loopback sockets, a resolver that answers when the test says so, and an
 * ACL that denies what the test says, for the programs that test the connector. One state per
 * program: a test forks. */
#ifndef SUPPORT_CONNECTOR_FIXTURE_H
#define SUPPORT_CONNECTOR_FIXTURE_H
#include "base/mptcp.h"
#include "connector.h"
#include "fakeresolver.h"
#include "fault.h"
#include "fault_calls.h"
#include "fds.h"
#include "runner.h"
#include "stats.h"
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
    struct offer_policy offer;
    struct offer_table *offers;
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

static inline struct addr literal(const char *text)
{
    struct addr a;

    ck_assert(addr_parse_ip(text, strlen(text), &a));
    return a;
}

static inline void deny(const char *text)
{
    t.denied[t.denied_count++] = literal(text);
}

/* ---- Set-up ---- */

/* A listener on a free port of `text`; `protocol` 0 or IPPROTO_MPTCP. */
static inline int listen_on(const char *text, uint16_t *port, int backlog, int protocol)
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

static inline void setup(void)
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

static inline void teardown(void)
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
    offer_free(t.offers);
}

/* ---- Connecting ---- */

static inline void on_ready(struct watch *w, uint32_t events)
{
    (void)w;
    (void)events;
}

static inline void on_done(void *arg, struct connection *c, struct failure why)
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

static inline struct connector_request request_of(const struct target *target)
{
    static const struct addr source = {
        .family = ADDR_IPV4, .ip = {192, 0, 2, 77}, .port = 4321};

    return (struct connector_request){
        .target = target,
        .source = &source,
        .user = "alice",
        .offer = &t.offer,
        .offers = t.offers,
        .eyeballs = {.attempt_delay_ms = 20, .resolution_delay_ms = 5, .prefer = ADDR_IPV6},
    };
}

static inline bool start_request(const struct connector_request *req)
{
    t.calls = 0;
    t.inside_start = true;
    t.connector = connector_start(&t.env, req, on_done, &t);
    t.inside_start = false;
    return t.connector != NULL;
}

static inline struct target target_of(const char *host, uint16_t port)
{
    struct target target;

    ck_assert(target_from_host(span_of(host, strlen(host)), port, &target));
    return target;
}

static inline bool start(const char *host)
{
    struct target target = target_of(host, t.port);
    struct connector_request req = request_of(&target);

    return start_request(&req);
}

static inline void wait_done(void)
{
    while (t.calls == 0)
        poller_run(&t.poller, UV_RUN_ONCE);
    ck_assert_uint_eq(t.calls, 1);
}

/* Ours, and the listener's end when it has one: its queue must not fill up. */
static inline void drop_connection(void)
{
    int peer = accept4(t.listener, NULL, NULL, SOCK_NONBLOCK);

    if (peer >= 0)
        (void)close(peer);
    poller_remove(&t.poller, &t.watch);
    (void)close(t.up.fd);
}

static inline void expect_connected(const char *text)
{
    struct addr want = literal(text);

    want.port = t.port;
    wait_done();
    ck_assert_int_eq(t.why.why, OUTCOME_OK);
    ck_assert(addr_equal(&t.up.remote, &want));
    ck_assert_uint_ne(t.up.events & EPOLLOUT, 0);
    drop_connection();
}

static inline void expect_failure(enum outcome why)
{
    wait_done();
    ck_assert_int_eq(t.why.why, why);
}

static inline void know(const char *const *ipv6, size_t n6, const char *const *ipv4, size_t n4)
{
    struct resolver_answer a6 = fakeresolver_answer(OUTCOME_NAME_NOT_FOUND, ipv6, n6);
    struct resolver_answer a4 = fakeresolver_answer(OUTCOME_NAME_NOT_FOUND, ipv4, n4);

    fakeresolver_know(&t.resolver, ADDR_IPV6, &a6);
    fakeresolver_know(&t.resolver, ADDR_IPV4, &a4);
}

static inline uint64_t count(enum stat_id which)
{
    return atomic_load(&t.stats->value[which]);
}

static inline int option(int fd, int level, int name)
{
    int value = -1;
    socklen_t len = sizeof value;

    ck_assert_int_eq(getsockopt(fd, level, name, &value, &len), 0);
    return value;
}

static inline bool nothing_arrived(int listener)
{
    int fd = accept4(listener, NULL, NULL, SOCK_NONBLOCK);

    if (fd >= 0)
        (void)close(fd);
    return fd < 0 && errno == EAGAIN;
}

/* A listener on 127.0.0.3 whose queue is full: further SYNs get no answer. *filler keeps it so.
 */
static inline int black_hole(int filler[4])
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

static inline void fill_in(int fd, const int filler[4])
{
    (void)close(fd);
    for (int i = 0; i < 4; i++)
        (void)close(filler[i]);
}

#endif
