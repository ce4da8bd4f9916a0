/* SPDX-License-Identifier: MIT */
/* A worker's messages, its life and its failures to start. */
#include "enginebench.h"
#include "fault.h"
#include "fault_calls.h"
#include "runner.h"
#include <errno.h>
#include <string.h>
#include <sys/stat.h>

static struct enginebench b;

static void on_done(struct worker_message *m)
{
    *(bool *)m->arg = true;
}

static bool is_set(void *arg)
{
    return *(bool *)arg;
}

static void carry_out(struct worker_message *m)
{
    static bool done;

    done = false;
    m->done = on_done;
    m->arg = &done;
    worker_post(b.worker, m);
    enginebench_until(&b, is_set, &done);
}

static void close_pair(const struct enginepair *p)
{
    rawnet_close(p->client);
    rawnet_close(p->origin);
}

static ino_t inode(int fd)
{
    struct stat st;

    ck_assert_int_eq(fstat(fd, &st), 0);
    return st.st_ino;
}

/* ---- Query ---- */

START_TEST(a_query_copies_what_is_asked_for)
{
    struct enginepair p[3];
    struct session_view views[4];
    struct worker_message m = {.order = WORKER_QUERY, .views = views};

    enginebench_start(&b, NULL);
    for (int i = 0; i < 3; i++)
        enginebench_pair(&b, &p[i], i == 1);
    m.query = (struct session_query){.limit = 4, .protocol = -1};
    carry_out(&m);
    ck_assert_uint_eq(m.view_count, 3);
    for (uint64_t i = 0; i < 3; i++) {
        ck_assert_uint_eq(views[i].id, i + 1);
        ck_assert_str_eq(views[i].state, "relaying");
        ck_assert_str_eq(views[i].protocol, "socks5");
        ck_assert_str_eq(views[i].listener, "bench");
        ck_assert(views[i].client_mptcp == (i == 1));
    }
    m.query.limit = 2;
    carry_out(&m);
    ck_assert_uint_eq(m.view_count, 2);
    m.query = (struct session_query){.limit = 4, .protocol = -1, .after = 2};
    carry_out(&m);
    ck_assert_uint_eq(m.view_count, 1);
    ck_assert_uint_eq(views[0].id, 3);
    m.query = (struct session_query){.limit = 4, .protocol = PROTOCOL_CONVERT};
    carry_out(&m);
    ck_assert_uint_eq(m.view_count, 0);
    m.query = (struct session_query){.limit = 4, .protocol = -1, .user = "nobody"};
    carry_out(&m);
    ck_assert_uint_eq(m.view_count, 0);
    m.query = (struct session_query){.limit = 4, .protocol = -1, .min_age_us = UINT64_MAX};
    carry_out(&m);
    ck_assert_uint_eq(m.view_count, 0);
    m.query = (struct session_query){.id = 2, .limit = 1};
    carry_out(&m);
    ck_assert_uint_eq(m.view_count, 1);
    ck_assert(views[0].has_mptcp && views[0].mptcp.active);
    for (int i = 0; i < 3; i++)
        close_pair(&p[i]);
    enginebench_until_idle(&b);
    enginebench_end(&b);
}
END_TEST

/* ---- Reload ---- */

/* `fd` -1: keep the running socket. */
static void reload(const char *changes, int fd)
{
    int fds[1] = {fd};
    _Atomic uint64_t *counter[1] = {&b.accepted};
    struct worker_message m = {.order = WORKER_RELOAD,
                               .config = enginebench_config(changes),
                               .fds = fds,
                               .counters = counter};

    b.worker->resolver = b.c_ares; /* the one that is configured */
    carry_out(&m);
    b.worker->resolver = &b.names;
}

START_TEST(a_reload_keeps_a_listeners_socket_and_its_sessions)
{
    struct enginepair before, after;

    enginebench_start(&b, NULL);
    enginebench_pair(&b, &before, false);
    int fd = b.worker->listeners[0].watch.fd;
    ino_t same = inode(fd);
    reload("{\"relay\": {\"splice\": false}}", -1);
    ck_assert_int_eq(b.worker->listeners[0].watch.fd, fd);
    ck_assert_uint_eq(inode(fd), same);
    enginebench_pair(&b, &after, false);
    enginebench_ping(&b, &before);
    ck_assert(enginebench_session(&b)->config->relay.splice); /* what it was born with */
    ck_assert(!b.worker->config->relay.splice);
    ck_assert_uint_eq(atomic_load(&b.accepted), 2);
    close_pair(&before);
    close_pair(&after);
    enginebench_until_idle(&b);
    enginebench_end(&b);
}
END_TEST

/* 127.0.0.2 is another address, so another listener: the old socket goes. */
#define ELSEWHERE                                                                          \
    "{\"listeners\": [{\"name\": \"other\", \"address\": \"127.0.0.2:0\", \"protocols\": " \
    "[\"socks5\"]}]}"

START_TEST(a_reload_opens_and_closes_listeners_and_leaves_their_sessions)
{
    struct enginepair p;
    struct config *c = enginebench_config(ELSEWHERE);

    enginebench_start(&b, NULL);
    unsigned fds = rawnet_fds();
    enginebench_pair(&b, &p, false);
    int fd = listener_open(&c->listeners.item[0], c);
    ck_assert_int_ge(fd, 0);
    config_unref(c);
    reload(ELSEWHERE, fd);
    ck_assert_int_eq(b.worker->listeners[0].watch.fd, fd);
    ck_assert_str_eq(b.worker->listeners[0].options->name, "other");
    enginebench_ping(&b, &p);
    close_pair(&p);
    enginebench_until_idle(&b);
    ck_assert_uint_eq(rawnet_fds(), fds);
    enginebench_end(&b);
}
END_TEST

START_TEST(a_reload_without_memory_keeps_the_listeners)
{
    struct config *c = enginebench_config(ELSEWHERE);
    struct enginepair p;

    enginebench_start(&b, NULL);
    unsigned fds = rawnet_fds();
    int fd = listener_open(&c->listeners.item[0], c), fds_of[1] = {fd};
    bool done = false;
    _Atomic uint64_t *counter[1] = {&b.accepted};
    struct worker_message m = {.order = WORKER_RELOAD,
                               .config = c,
                               .fds = fds_of,
                               .counters = counter,
                               .done = on_done,
                               .arg = &done};

    b.worker->resolver = b.c_ares;
    worker_post(b.worker, &m);
    fault_after(1);
    enginebench_until(&b, is_set, &done);
    ck_assert(fault_hit());
    fault_reset();
    b.worker->resolver = &b.names;
    ck_assert_uint_eq(rawnet_fds(), fds);
    enginebench_pair(&b, &p, false);
    close_pair(&p);
    enginebench_until_idle(&b);
    enginebench_end(&b);
}
END_TEST

/* ---- Drain, stop ---- */

START_TEST(draining_keeps_listening_and_serving)
{
    struct enginepair p;
    struct worker_message m = {.order = WORKER_DRAIN};

    enginebench_start(&b, NULL);
    enginebench_pair(&b, &p, true);
    carry_out(&m);
    enginebench_ping(&b, &p);
    ck_assert_int_ge(b.worker->listeners[0].watch.fd, 0);
    int fd = rawnet_connect(b.port, false);
    rawnet_send_all(fd, "\5\1\0", 3);
    uint8_t method[2];
    ck_assert_uint_eq(enginebench_recv(&b, fd, method, 2), 2);
    rawnet_close(fd);
    close_pair(&p);
    enginebench_until_idle(&b);
    enginebench_end(&b);
}
END_TEST

START_TEST(stopping_resets_live_sessions_and_runs_dry)
{
    struct enginepair p[8];

    enginebench_start(&b, NULL);
    for (int i = 0; i < 8; i++)
        enginebench_pair(&b, &p[i], i % 2 == 0);
    enginebench_stop(&b);
    ck_assert_uint_eq(enginebench_outcome(&b, OUTCOME_DRAINED), 8);
    for (int i = 0; i < 8; i++) {
        uint8_t octet;
        ck_assert_int_eq(rawnet_recv(p[i].origin, &octet, 1), -ECONNRESET);
        close_pair(&p[i]);
    }
    enginebench_end(&b);
}
END_TEST

/* ---- Starting ---- */

static bool start(struct shared *shared, struct config *c)
{
    _Atomic uint64_t accepted = 0, *counter = &accepted;
    int rc = 0, fd = rawnet_listen(&(uint16_t){0}, false);
    struct worker *w = worker_new(0, shared, c, &fd, &counter, NULL, NULL, &rc);

    if (w == NULL) {
        ck_assert_int_lt(rc, 0);
        rawnet_close(fd); /* still the caller's */
        return false;
    }
    worker_abandon(w);
    worker_free(w);
    return true;
}

START_TEST(a_start_that_fails_leaves_nothing)
{
    static const enum fault_call call[] = {FAULT_uv_loop_init,  FAULT_uv_async_init,
                                           FAULT_epoll_create1, FAULT_epoll_ctl,
                                           FAULT_open,          FAULT_eventfd};
    struct config *c = enginebench_config(NULL);
    struct shared shared = {.worker_count = 1};
    bool ok = start(&shared, c);
    unsigned fds = rawnet_fds(), n = 0;

    ck_assert(ok);
    do {
        fault_after(++n);
        ok = start(&shared, c);
        ck_assert(ok || fault_hit());
        ok = !fault_hit();
        fault_reset();
        ck_assert_uint_eq(rawnet_fds(), fds);
    } while (!ok);
    ck_assert_uint_gt(n, 5);
    for (size_t i = 0; i < sizeof call / sizeof call[0]; i++) {
        bool hit = true;
        for (n = 1; hit; n++) {
            fault_call_after(call[i], n, EMFILE);
            (void)start(&shared, c);
            hit = fault_call_hit(call[i]);
            fault_calls_reset();
            ck_assert_uint_eq(rawnet_fds(), fds);
        }
    }
    config_unref(c);
}
END_TEST

int main(void)
{
    Suite *s = suite_create("worker");
    TCase *c = tcase_create("worker");

    tcase_set_timeout(c, 60);
    tcase_add_test(c, a_query_copies_what_is_asked_for);
    tcase_add_test(c, a_reload_keeps_a_listeners_socket_and_its_sessions);
    tcase_add_test(c, a_reload_opens_and_closes_listeners_and_leaves_their_sessions);
    tcase_add_test(c, a_reload_without_memory_keeps_the_listeners);
    tcase_add_test(c, draining_keeps_listening_and_serving);
    tcase_add_test(c, stopping_resets_live_sessions_and_runs_dry);
    tcase_add_test(c, a_start_that_fails_leaves_nothing);
    suite_add_tcase(s, c);
    return runner_main(s);
}
