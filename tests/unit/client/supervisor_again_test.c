/* SPDX-License-Identifier: MIT */
/* A socket whose connect failed under the library, and that a program without it has got. */
#include "runner.h"
#include "supervised.h"
#include "sys.h"
#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <string.h>
#include <unistd.h>

static int cookies[2], answers[2]; /* pipes: the guest tells its socket, the test what it is */

static int connect_loopback(int fd, uint16_t port)
{
    struct sockaddr_in to = {
        .sin_family = AF_INET, .sin_port = port, .sin_addr = {htonl(INADDR_LOOPBACK)}};

    return connect(fd, (struct sockaddr *)&to, sizeof to);
}

/* As the library leaves a placeholder that failed: an attempt on the loopback that is over. */
static int failed_socket(void)
{
    int fd = socket(AF_INET, SOCK_STREAM | SOCK_NONBLOCK, 0), error = 0;
    struct pollfd p = {.fd = fd, .events = POLLOUT};
    socklen_t len = sizeof error;
    uint64_t cookie = sys_cookie(fd);
    char c = 0;

    GUEST(connect_loopback(fd, htons(1)) == -1 && errno == EINPROGRESS);
    GUEST(poll(&p, 1, SOON) == 1);
    GUEST(getsockopt(fd, SOL_SOCKET, SO_ERROR, &error, &len) == 0 && error == ECONNREFUSED);
    GUEST(write(cookies[1], &cookie, sizeof cookie) == sizeof cookie);
    GUEST(read(answers[0], &c, 1) == 1);
    return fd;
}

static int guest(void)
{
    struct sockaddr_in at = {.sin_family = AF_INET, .sin_addr = {htonl(INADDR_LOOPBACK)}};
    socklen_t len = sizeof at;
    int listener = socket(AF_INET, SOCK_STREAM, 0), fd = -1;

    GUEST(bind(listener, (struct sockaddr *)&at, len) == 0 && listen(listener, 4) == 0);
    GUEST(getsockname(listener, (struct sockaddr *)&at, &len) == 0);

    fd = failed_socket(); /* nobody was told */
    GUEST(connect_loopback(fd, at.sin_port) == -1 && errno == EHOSTUNREACH);
    GUEST(connect_loopback(fd, at.sin_port) == 0 || errno == EINPROGRESS);
    GUEST(accept(listener, NULL, NULL) >= 0);

    fd = failed_socket(); /* SO_ERROR has told */
    GUEST(connect_loopback(fd, at.sin_port) == 0 || errno == EINPROGRESS);
    GUEST(accept(listener, NULL, NULL) >= 0);
    return 0;
}

START_TEST(a_failed_socket_can_be_connected_again)
{
    struct supervised s;
    struct truth t = {
        .state = TRUTH_FAILED, .family = AF_INET, .error = EHOSTUNREACH, .unreported = true};
    uint64_t cookie = 0;

    ck_assert_int_eq(pipe2(cookies, O_CLOEXEC) | pipe2(answers, O_CLOEXEC), 0);
    supervised_start(&s, guest);
    s.settings.proxy[0].port = 1; /* nobody there */
    s.settings.bypass.count = 0;
    s.settings.on_failure = SETTINGS_DIRECT;
    supervised_go(&s);
    struct pollfd p = {.fd = cookies[0], .events = POLLIN};
    for (int i = 0; i < 2 && poll(&p, 1, SOON) == 1; i++) { /* no more when the guest ended */
        ck_assert_int_eq(read(cookies[0], &cookie, sizeof cookie), sizeof cookie);
        truth_set(s.env.shared, cookie, &t);
        t.unreported = false;
        ck_assert_int_eq(write(answers[1], "", 1), 1);
    }
    ck_assert_int_eq(supervised_wait(&s), 0);
    supervised_end(&s);
}
END_TEST

int main(void)
{
    Suite *s = suite_create("supervisor_again");
    TCase *t = tcase_create("supervisor_again");

    tcase_set_timeout(t, 60);
    tcase_add_test(t, a_failed_socket_can_be_connected_again);
    suite_add_tcase(s, t);
    return runner_main(s);
}
