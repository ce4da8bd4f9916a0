/* SPDX-License-Identifier: MIT */
/* The whole daemon in this process: two workers with threads, the main loop turned by the test.
 */
#include "fault.h"
#include "rawnet.h"
#include "runner.h"
#include "server_impl.h"
#include "tempfile.h"
#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

enum { TURNS = 400 };

static uv_loop_t loop;
static struct log *server_log;
static int sink;
static struct server *server;
static struct tempfile file;
static uint16_t port, origin_port; /* of the daemon; of an origin */
static int origin;
static unsigned fds;

/* ---- Set-up ---- */

static void free_port(uint16_t *p)
{
    *p = 0;
    rawnet_close(rawnet_listen(p, false));
}

/* `more` ends with a comma or is empty. */
static void write_config(const char *more, const char *more_listeners)
{
    char text[1024];
    FILE *f = fopen(file.path, "w");

    ck_assert_ptr_nonnull(f);
    (void)snprintf(text, sizeof text,
                   "{%s \"listeners\": [{\"name\": \"main\", \"address\": \"127.0.0.1:%u\","
                   " \"protocols\": [\"socks5\"], \"mptcp\": false}%s],"
                   " \"stats\": {\"address\": null},"
                   " \"acl\": {\"rules\": [{\"action\": \"allow\", \"target\":"
                   " [\"127.0.0.0/8\"]}]}}",
                   more, port, more_listeners);
    ck_assert_int_ge(fputs(text, f), 0);
    ck_assert_int_eq(fclose(f), 0);
}

#define BASE "\"workers\": 2,"

static void setup(void)
{
    (void)signal(SIGPIPE, SIG_IGN); /* as the daemon */
    ck_assert_int_eq(uv_loop_init(&loop), 0);
    sink = open("/dev/null", O_WRONLY | O_CLOEXEC);
    server_log = log_new(sink, LOG_FORMAT_LOGFMT, LOG_LEVEL_DEBUG);
    ck_assert_ptr_nonnull(server_log);
    free_port(&port);
    origin_port = 0;
    origin = rawnet_listen(&origin_port, false);
    file = tempfile_text("{}");
    fds = rawnet_fds();
}

static void teardown(void)
{
    ck_assert_uint_eq(rawnet_fds(), fds);
    ck_assert_int_eq(uv_loop_close(&loop), 0);
    log_free(server_log);
    rawnet_close(sink);
    rawnet_close(origin);
    tempfile_done(&file);
}

static struct server *try_start(struct conf_error *err)
{
    struct config *c = options_load(file.path, err);

    ck_assert_msg(c != NULL, "%s", err->text);
    return server_start(&loop, c, server_log, err);
}

static void start(const char *more)
{
    struct conf_error err;

    write_config(more, "");
    server = try_start(&err);
    ck_assert_msg(server != NULL, "%s", err.text);
}

static void until_gone(void)
{
    ck_assert_int_eq(uv_run(&loop, UV_RUN_DEFAULT), 0);
    server_free(server);
}

static void stop(void)
{
    server_drain(server);
    server_drain(server);
    until_gone();
}

/* ---- Clients ---- */

static size_t hear(int fd, uint8_t *buf, size_t len, ssize_t *end)
{
    size_t got = 0;

    *end = -EAGAIN;
    for (int i = 0; i < TURNS && got < len; i++) {
        ssize_t n = rawnet_recv(fd, buf + got, len - got);
        if (n > 0) {
            got += (size_t)n;
            continue;
        }
        *end = n;
        if (n != -EAGAIN)
            break;
        (void)uv_run(&loop, UV_RUN_ONCE); /* its tick ends every wait */
    }
    return got;
}

/* The reply code; -1: none. */
static int ask(int *fd, uint16_t to)
{
    const uint8_t opening[] = {5,          1, 0, 5, 1, 0, 1, 127, 0, 0, 1, (uint8_t)(to >> 8),
                               (uint8_t)to};
    uint8_t answer[12];
    ssize_t end;

    *fd = rawnet_connect(port, false);
    rawnet_send_all(*fd, opening, sizeof opening);
    return hear(*fd, answer, sizeof answer, &end) == sizeof answer ? answer[3] : -1;
}

static void open_session(int *client, int *upstream)
{
    ck_assert_int_eq(ask(client, origin_port), 0);
    *upstream = rawnet_accept(origin);
    ck_assert_int_ge(*upstream, 0);
}

static void ping(int client, int upstream)
{
    uint8_t octet = 0;
    ssize_t end;

    rawnet_send_all(client, "u", 1);
    ck_assert_uint_eq(hear(upstream, &octet, 1, &end), 1);
    rawnet_send_all(upstream, "d", 1);
    ck_assert_uint_eq(hear(client, &octet, 1, &end), 1);
    ck_assert_uint_eq(octet, 'd');
}

static void until_end(int fd, ssize_t want)
{
    uint8_t octet;
    ssize_t end;

    ck_assert_uint_eq(hear(fd, &octet, 1, &end), 0);
    ck_assert_int_eq(end, want);
}

/* ---- Life ---- */

START_TEST(it_serves_and_stops_and_leaves_nothing)
{
    int client, upstream;

    start(BASE);
    open_session(&client, &upstream);
    ping(client, upstream);
    rawnet_close(client);
    rawnet_close(upstream);
    stop();
}
END_TEST

START_TEST(a_drain_refuses_new_clients_and_ends_with_the_last_session)
{
    int client, upstream, late;

    start(BASE "\"timeouts\": {\"drain_seconds\": 60},");
    open_session(&client, &upstream);
    server_drain(server);
    while (ask(&late, origin_port) == 0) /* until both workers have heard of it */
        rawnet_close(late);
    rawnet_close(late);
    for (int fd; (fd = rawnet_accept(origin)) >= 0;)
        rawnet_close(fd);
    ping(client, upstream);
    rawnet_close(client);
    rawnet_close(upstream);
    until_gone();
}
END_TEST

START_TEST(a_drain_ends_at_its_deadline)
{
    int client, upstream;

    start(BASE "\"timeouts\": {\"drain_seconds\": 0.2},");
    open_session(&client, &upstream);
    server_drain(server);
    until_gone();
    until_end(client, -ECONNRESET);
    until_end(upstream, -ECONNRESET);
    rawnet_close(client);
    rawnet_close(upstream);
}
END_TEST

START_TEST(a_second_drain_ends_at_once)
{
    int client, upstream;

    start(BASE "\"timeouts\": {\"drain_seconds\": 3600},");
    open_session(&client, &upstream);
    stop();
    until_end(upstream, -ECONNRESET);
    rawnet_close(client);
    rawnet_close(upstream);
}
END_TEST

/* ---- Reload ---- */

static ino_t inode(uint32_t worker)
{
    struct stat st;
    int fd = server_listener_stats(server, &server->config->listeners.item[0].address)
                 ->slot[worker]
                 .fd;

    ck_assert_int_eq(fstat(fd, &st), 0);
    return st.st_ino;
}

START_TEST(a_reload_keeps_sockets_and_sessions)
{
    struct conf_error err;
    int client, upstream, late;

    start(BASE);
    ino_t before[2] = {inode(0), inode(1)};
    open_session(&client, &upstream);
    write_config(BASE "\"limits\": {\"sessions\": 1},", "");
    ck_assert_msg(server_reload(server, &err) == 0, "%s", err.text);
    ck_assert_uint_eq(server->config->limits.sessions, 1);
    ck_assert_uint_eq(inode(0), before[0]);
    ck_assert_uint_eq(inode(1), before[1]);
    ck_assert_int_eq(ask(&late, origin_port), 1); /* the new limit is hit */
    rawnet_close(late);
    ping(client, upstream);
    rawnet_close(client);
    rawnet_close(upstream);
    stop();
}
END_TEST

/* Workers close sockets, and read files, in their own time. */
static bool open_fds_are(unsigned want)
{
    for (int i = 0; i < TURNS; i++) {
        if (rawnet_fds() == want)
            return true;
        (void)uv_run(&loop, UV_RUN_ONCE);
    }
    return false;
}

START_TEST(a_reload_opens_and_closes_listeners)
{
    struct conf_error err;
    uint16_t main_port = port;
    char more[128];

    start(BASE);
    unsigned running = rawnet_fds();
    uint16_t extra;
    free_port(&extra);
    (void)snprintf(more, sizeof more,
                   ", {\"name\": \"extra\", \"address\": \"127.0.0.1:%u\", \"mptcp\": false}",
                   extra);
    write_config(BASE, more);
    ck_assert_msg(server_reload(server, &err) == 0, "%s", err.text);
    ck_assert_uint_eq(rawnet_fds(), running + 2); /* one per worker */
    port = extra;
    int client, upstream;
    open_session(&client, &upstream);
    rawnet_close(client);
    rawnet_close(upstream);
    port = main_port;
    write_config(BASE, "");
    ck_assert_msg(server_reload(server, &err) == 0, "%s", err.text);
    ck_assert(open_fds_are(running));
    stop();
}
END_TEST

static void refused(const char *why, unsigned settled)
{
    const struct config *before = server->config;
    struct conf_error err = {.text = ""};
    int client, upstream;

    ck_assert(open_fds_are(settled)); /* the session before is gone */
    ck_assert_msg(server_reload(server, &err) == -1, "%s", why);
    ck_assert_msg(err.text[0] != '\0', "%s: no reason told", why);
    ck_assert_ptr_eq(server->config, before);
    ck_assert_uint_eq(rawnet_fds(), settled);
    ck_assert(!server->last_reload_ok);
    open_session(&client, &upstream);
    ping(client, upstream);
    rawnet_close(client);
    rawnet_close(upstream);
}

START_TEST(a_bad_reload_changes_nothing)
{
    uint16_t taken = 0;
    int holder = rawnet_listen(&taken, false);
    char more[128];

    start(BASE);
    unsigned settled = rawnet_fds();
    write_config("\"workers\": 2, \"no_such_key\": 1,", "");
    refused("unknown key", settled);
    write_config("\"workers\": 1,", "");
    refused("a key that needs a restart", settled);
    (void)snprintf(more, sizeof more,
                   ", {\"name\": \"taken\", \"address\": \"127.0.0.1:%u\", \"mptcp\": false}",
                   taken);
    write_config(BASE, more);
    refused("a port in use", settled);
    ck_assert_int_eq(truncate(file.path, 10), 0);
    refused("half a file", settled);
    ck_assert_uint_eq(server->reload_failure, 4);
    ck_assert_uint_eq(server->reload_success, 0);
    ck_assert_msg(open_fds_are(settled), "%u fds, %u before", rawnet_fds(), settled);
    rawnet_close(holder);
    stop();
}
END_TEST

START_TEST(a_reload_without_memory_changes_nothing)
{
    struct conf_error err;
    unsigned n = 0;
    int rc;

    start(BASE);
    unsigned settled = rawnet_fds();
    do {
        const struct config *before = server->config;
        fault_after(++n);
        rc = server_reload(server, &err);
        bool hit = fault_hit();
        fault_reset();
        ck_assert(rc == 0 || (hit && server->config == before));
        ck_assert_msg(open_fds_are(settled), "%u fds, %u before", rawnet_fds(), settled);
        if (!hit)
            break;
    } while (n < 5000);
    ck_assert_uint_lt(n, 5000);
    ck_assert_int_eq(rc, 0);
    stop();
}
END_TEST

/* ---- Starting ---- */

START_TEST(a_start_without_memory_leaves_nothing)
{
    struct conf_error err;
    unsigned n = 0;
    bool hit;

    write_config(BASE, "");
    do {
        struct config *c = options_load(file.path, &err);
        ck_assert_ptr_nonnull(c);
        fault_after(++n);
        server = server_start(&loop, c, server_log, &err);
        hit = fault_hit();
        fault_reset();
        ck_assert(server != NULL || hit);
        if (server != NULL)
            stop();
        ck_assert_uint_eq(rawnet_fds(), fds);
    } while (hit && n < 500);
    ck_assert_uint_gt(n, 10);
    ck_assert_uint_lt(n, 500);
}
END_TEST

START_TEST(a_start_on_a_port_in_use_says_so)
{
    struct conf_error err = {.text = ""};
    int holder = rawnet_listen(&port, false);

    write_config(BASE, "");
    ck_assert_ptr_null(try_start(&err));
    ck_assert_ptr_nonnull(strstr(err.text, "main"));
    rawnet_close(holder);
}
END_TEST

int main(void)
{
    Suite *s = suite_create("server");
    TCase *c = tcase_create("server");

    tcase_set_timeout(c, 60);
    tcase_add_checked_fixture(c, setup, teardown);
    tcase_add_test(c, it_serves_and_stops_and_leaves_nothing);
    tcase_add_test(c, a_drain_refuses_new_clients_and_ends_with_the_last_session);
    tcase_add_test(c, a_drain_ends_at_its_deadline);
    tcase_add_test(c, a_second_drain_ends_at_once);
    tcase_add_test(c, a_reload_keeps_sockets_and_sessions);
    tcase_add_test(c, a_reload_opens_and_closes_listeners);
    tcase_add_test(c, a_bad_reload_changes_nothing);
    tcase_add_test(c, a_reload_without_memory_changes_nothing);
    tcase_add_test(c, a_start_without_memory_leaves_nothing);
    tcase_add_test(c, a_start_on_a_port_in_use_says_so);
    suite_add_tcase(s, c);
    return runner_main(s);
}
