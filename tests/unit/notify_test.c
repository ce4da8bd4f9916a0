/* SPDX-License-Identifier: MIT */
/* notify: the datagrams of sd_notify(3), to a socket of the test's in the abstract name space
 * or in a file. */
#include "notify.h"
#include <check.h>
#include <inttypes.h>
#include <stddef.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <unistd.h>

static int manager = -1;
static char name[64];
static struct notify n;

static void listen_at(const char *path)
{
    struct sockaddr_un a = {.sun_family = AF_UNIX};

    manager = socket(AF_UNIX, SOCK_DGRAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);
    ck_assert_int_ge(manager, 0);
    memcpy(a.sun_path, path, strlen(path));
    if (path[0] == '@')
        a.sun_path[0] = '\0';
    socklen_t len = (socklen_t)(offsetof(struct sockaddr_un, sun_path) + strlen(path));
    ck_assert_int_eq(bind(manager, (struct sockaddr *)&a, len), 0);
    ck_assert_int_eq(setenv("NOTIFY_SOCKET", path, 1), 0);
}

static void setup(void)
{
    (void)snprintf(name, sizeof name, "@mpconvert-notify-%d", (int)getpid());
    listen_at(name);
}

static void teardown(void)
{
    notify_close(&n);
    (void)close(manager);
}

static void open_with(const char *watchdog_us, const char *pid)
{
    if (watchdog_us != NULL)
        ck_assert_int_eq(setenv("WATCHDOG_USEC", watchdog_us, 1), 0);
    if (pid != NULL)
        ck_assert_int_eq(setenv("WATCHDOG_PID", pid, 1), 0);
    notify_open(&n);
}

/* What was told last; "" if nothing. */
static const char *told(void)
{
    static char text[1024];
    ssize_t len = recv(manager, text, sizeof text - 1, 0);

    text[len > 0 ? len : 0] = '\0';
    return text;
}

START_TEST(each_state_is_one_datagram)
{
    open_with(NULL, NULL);
    notify_ready(&n);
    ck_assert_str_eq(told(), "READY=1\nSTATUS=serving");
    notify_reloading(&n, 123456);
    ck_assert_str_eq(told(), "RELOADING=1\nMONOTONIC_USEC=123456\nSTATUS=reloading");
    notify_reload_failed(&n, "a.json:3: no such key");
    ck_assert_str_eq(told(),
                     "READY=1\nSTATUS=serving; the last reload failed: a.json:3: no such key");
    notify_stopping(&n, 12, 30000000);
    ck_assert_str_eq(told(),
                     "STOPPING=1\nEXTEND_TIMEOUT_USEC=35000000\nSTATUS=draining 12 sessions");
    ck_assert_str_eq(told(), "");
}
END_TEST

START_TEST(a_long_reason_is_cut)
{
    char why[2000];

    memset(why, 'x', sizeof why - 1);
    why[sizeof why - 1] = '\0';
    open_with(NULL, NULL);
    notify_reload_failed(&n, why);
    ck_assert_uint_eq(strlen(told()), 511);
}
END_TEST

START_TEST(the_environment_is_cleared)
{
    open_with("1000", "1");
    ck_assert_ptr_null(getenv("NOTIFY_SOCKET"));
    ck_assert_ptr_null(getenv("WATCHDOG_USEC"));
    ck_assert_ptr_null(getenv("WATCHDOG_PID"));
}
END_TEST

START_TEST(a_socket_in_a_file_is_found)
{
    char path[64];

    (void)close(manager);
    (void)snprintf(path, sizeof path, "/tmp/mpconvert-notify-%d", (int)getpid());
    listen_at(path);
    open_with(NULL, NULL);
    (void)unlink(path);
    notify_ready(&n);
    ck_assert_str_eq(told(), "READY=1\nSTATUS=serving");
}
END_TEST

START_TEST(without_a_manager_nothing_is_open_and_nothing_happens)
{
    static const char *const wrong[] = {"",         "@",         "/",
                                        "relative", "vsock:2:1", "/no/such/place"};
    char long_path[200];

    for (size_t i = 0; i <= sizeof wrong / sizeof *wrong; i++) {
        memset(long_path, '/', sizeof long_path - 1);
        long_path[sizeof long_path - 1] = '\0';
        const char *path = i < sizeof wrong / sizeof *wrong ? wrong[i] : long_path;
        ck_assert_int_eq(setenv("NOTIFY_SOCKET", path, 1), 0);
        open_with("1000", NULL);
        ck_assert_int_eq(n.fd, -1);
        ck_assert_uint_eq(n.watchdog_us, 0);
        notify_ready(&n);
        notify_alive(&n, 1000000);
    }
    (void)unsetenv("NOTIFY_SOCKET");
    open_with(NULL, NULL);
    ck_assert_int_eq(n.fd, -1);
    ck_assert_str_eq(told(), "");
}
END_TEST

START_TEST(signs_of_life_come_at_half_of_the_time)
{
    open_with("1000000", NULL);
    unsigned signs = 0;

    for (uint64_t now = 5000000; now < 10000000; now += 50000) {
        notify_alive(&n, now);
        const char *text = told();
        if (text[0] != '\0') {
            ck_assert_str_eq(text, "WATCHDOG=1");
            signs++;
        }
    }
    ck_assert_uint_eq(signs, 10);
}
END_TEST

START_TEST(another_process_s_watchdog_is_not_ours)
{
    char pid[24];

    open_with("1000000", "1");
    notify_alive(&n, 5000000);
    ck_assert_str_eq(told(), "");
    notify_close(&n);
    ck_assert_int_eq(setenv("NOTIFY_SOCKET", name, 1), 0);
    (void)snprintf(pid, sizeof pid, "%d", (int)getpid());
    open_with("1000000", pid);
    notify_alive(&n, 5000000);
    ck_assert_str_eq(told(), "WATCHDOG=1");
}
END_TEST

START_TEST(a_watchdog_time_that_is_none_is_none)
{
    static const char *const wrong[] = {"", "x", "12x", "-1", " 5", "99999999999999999999999"};

    for (size_t i = 0; i < sizeof wrong / sizeof *wrong; i++) {
        ck_assert_int_eq(setenv("NOTIFY_SOCKET", name, 1), 0);
        open_with(wrong[i], NULL);
        ck_assert_int_ge(n.fd, 0);
        ck_assert_uint_eq(n.watchdog_us, 0);
        notify_close(&n);
    }
}
END_TEST

START_TEST(a_manager_that_does_not_read_or_is_gone_holds_nobody_up)
{
    open_with(NULL, NULL);
    for (int i = 0; i < 10000; i++)
        notify_ready(&n);
    (void)close(manager);
    notify_ready(&n);
    notify_close(&n);
    notify_close(&n);
    notify_ready(&n);
}
END_TEST

int main(void)
{
    Suite *s = suite_create("notify");
    TCase *c = tcase_create("notify");

    tcase_add_checked_fixture(c, setup, teardown);
    tcase_add_test(c, each_state_is_one_datagram);
    tcase_add_test(c, a_long_reason_is_cut);
    tcase_add_test(c, the_environment_is_cleared);
    tcase_add_test(c, a_socket_in_a_file_is_found);
    tcase_add_test(c, without_a_manager_nothing_is_open_and_nothing_happens);
    tcase_add_test(c, signs_of_life_come_at_half_of_the_time);
    tcase_add_test(c, another_process_s_watchdog_is_not_ours);
    tcase_add_test(c, a_watchdog_time_that_is_none_is_none);
    tcase_add_test(c, a_manager_that_does_not_read_or_is_gone_holds_nobody_up);
    suite_add_tcase(s, c);
    SRunner *r = srunner_create(s);
    srunner_run_all(r, CK_ENV);
    int failed = srunner_ntests_failed(r);
    srunner_free(r);
    return failed == 0 ? EXIT_SUCCESS : EXIT_FAILURE;
}
