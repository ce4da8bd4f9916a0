/* SPDX-License-Identifier: MIT */
/* control: the life of connections and questions. What the commands do is told by
 * tests/integration/test_control.py. */
#include "base/check.h"
#include "control.h"
#include "runner.h"
#include <string.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/un.h>
#include <unistd.h>

static uv_loop_t loop;
static struct control *control;
static char path[64];
static struct {
    unsigned count;
    bool may_change, later;
    control_answer_fn *answer;
    void *arg;
} asked;

static void carry_out(void *arg, const json_t *request, bool may_change,
                      control_answer_fn *answer, void *answer_arg)
{
    (void)arg;
    ck_assert(json_is_object(request));
    asked.count++;
    asked.may_change = may_change;
    asked.answer = answer;
    asked.arg = answer_arg;
    if (!asked.later)
        answer(answer_arg, json_pack("{s:b}", "ok", 1));
}

static void setup(void)
{
    struct control_handler h = {.carry_out = carry_out};
    struct conf_error err;

    memset(&asked, 0, sizeof asked);
    (void)snprintf(path, sizeof path, "/tmp/mpconvert-control-%d", (int)getpid());
    ck_assert_int_eq(uv_loop_init(&loop), 0);
    ck_assert_int_eq(control_start(&loop, path, &h, &control, &err), 0);
}

static void stop(void)
{
    control_stop(control);
    (void)uv_run(&loop, UV_RUN_DEFAULT);
    ck_assert_int_eq(uv_loop_close(&loop), 0);
    ck_assert_int_ne(access(path, F_OK), 0);
}

static int dial(void)
{
    struct sockaddr_un to = {.sun_family = AF_UNIX};
    int fd = socket(AF_UNIX, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0);

    memcpy(to.sun_path, path, strlen(path) + 1);
    ck_assert_int_eq(connect(fd, (struct sockaddr *)&to, sizeof to), 0);
    return fd;
}

static void say(int fd, const char *text)
{
    ck_assert_int_eq(send(fd, text, strlen(text), MSG_NOSIGNAL), (ssize_t)strlen(text));
}

static void turn(void)
{
    for (int i = 0; i < 10; i++)
        (void)uv_run(&loop, UV_RUN_NOWAIT);
}

/* "" when there is nothing, "end" at the end. */
static const char *heard(int fd)
{
    static char text[8192];

    turn();
    ssize_t n = recv(fd, text, sizeof text - 1, 0);
    if (n == 0)
        return "end";
    text[n > 0 ? n : 0] = '\0';
    return text;
}

START_TEST(each_line_has_its_answer_in_order)
{
    int fd = dial();

    say(fd, "{\"a\": 1}\n{\"b\": 2}\n{\"c\"");
    ck_assert_str_eq(heard(fd), "{\"ok\":true}\n{\"ok\":true}\n");
    ck_assert_uint_eq(asked.count, 2);
    ck_assert(asked.may_change); /* our own user */
    say(fd, ": 3}\n");
    ck_assert_str_eq(heard(fd), "{\"ok\":true}\n");
    (void)close(fd);
    turn();
    stop();
}
END_TEST

START_TEST(the_next_line_waits_for_the_answer_to_the_first)
{
    int fd = dial();

    asked.later = true;
    say(fd, "{}\n{}\n");
    ck_assert_str_eq(heard(fd), "");
    ck_assert_uint_eq(asked.count, 1);
    asked.answer(asked.arg, json_pack("{s:i}", "n", 1));
    ck_assert_str_eq(heard(fd), "{\"n\":1}\n");
    ck_assert_uint_eq(asked.count, 2);
    asked.answer(asked.arg, NULL); /* out of memory: no answer, the end */
    ck_assert_str_eq(heard(fd), "end");
    (void)close(fd);
    stop();
}
END_TEST

START_TEST(an_answer_may_come_when_nobody_waits_any_more)
{
    int fd = dial();

    asked.later = true;
    say(fd, "{}\n");
    turn();
    (void)close(fd);
    turn();
    asked.answer(asked.arg, json_pack("{s:i}", "n", 1));
    fd = dial();
    say(fd, "{}\n");
    turn();
    stop(); /* and after the end of it all */
    asked.answer(asked.arg, json_pack("{s:i}", "n", 2));
    char octet;
    ck_assert_int_eq(recv(fd, &octet, 1, 0), 0);
    (void)close(fd);
}
END_TEST

START_TEST(more_lines_than_answers_taken_end_it)
{
    int fd = dial();

    asked.later = true;
    for (int i = 0; i < 4 * CONTROL_LINE_MAX / 3; i++)
        (void)send(fd, "{}\n", 3, MSG_NOSIGNAL);
    ck_assert_str_eq(heard(fd), "");
    (void)close(fd);
    turn();
    asked.answer(asked.arg, json_object());
    stop();
}
END_TEST

START_TEST(a_socket_is_for_its_group_and_not_for_others)
{
    struct stat st;

    ck_assert_int_eq(stat(path, &st), 0);
    ck_assert_uint_eq(st.st_mode & 0777, 0660);
    stop();
}
END_TEST

START_TEST(bad_paths_are_told)
{
    struct control_handler h = {.carry_out = carry_out};
    struct control *other = NULL;
    struct conf_error err;
    char long_path[200];

    memset(long_path, 'x', sizeof long_path - 1);
    long_path[sizeof long_path - 1] = '\0';
    ck_assert_int_eq(control_start(&loop, long_path, &h, &other, &err), -1);
    ck_assert_ptr_nonnull(strstr(err.text, "name too long"));
    ck_assert_int_eq(control_start(&loop, "/no/such/folder/s", &h, &other, &err), -1);
    ck_assert_ptr_nonnull(strstr(err.text, "no such file"));
    ck_assert_int_eq(control_start(&loop, path, &h, &other, &err), -1);
    ck_assert_ptr_nonnull(strstr(err.text, "address already in use"));
    ck_assert_int_eq(control_start(&loop, "/dev/null", &h, &other, &err), -1);
    ck_assert_int_eq(access("/dev/null", F_OK), 0);
    ck_assert_ptr_null(other);
    stop();
}
END_TEST

int main(void)
{
    Suite *s = suite_create("control");
    TCase *c = tcase_create("control");

    tcase_add_checked_fixture(c, setup, NULL);
    tcase_add_test(c, each_line_has_its_answer_in_order);
    tcase_add_test(c, the_next_line_waits_for_the_answer_to_the_first);
    tcase_add_test(c, an_answer_may_come_when_nobody_waits_any_more);
    tcase_add_test(c, more_lines_than_answers_taken_end_it);
    tcase_add_test(c, a_socket_is_for_its_group_and_not_for_others);
    tcase_add_test(c, bad_paths_are_told);
    suite_add_tcase(s, c);
    return runner_main(s);
}
