/* SPDX-License-Identifier: MIT */
#include "keeper.h"
#include "run.h"
#include "runner.h"
#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <string.h>
#include <sys/wait.h>
#include <unistd.h>

static char runtime[] = "/tmp/mpconvert-test-XXXXXX";
static char beside[PATH_MAX]; /* a "library" beside this program, as in a build */

static void begin(void)
{
    ssize_t n = readlink("/proc/self/exe", beside, sizeof beside - 32);

    ck_assert_int_gt(n, 0);
    beside[n] = '\0';
    (void)snprintf(strrchr(beside, '/'), 32, "/librun_test-%d.so", (int)getpid());
    memset(runtime + sizeof runtime - 7, 'X', 6);
    ck_assert_ptr_nonnull(mkdtemp(runtime));
    ck_assert_int_eq(setenv("XDG_RUNTIME_DIR", runtime, 1), 0);
}

static void end(void)
{
    char folder[64];

    (void)unlink(beside);
    (void)snprintf(folder, sizeof folder, "%s/mpconvert/proxies", runtime);
    (void)unlink(folder);
    *strrchr(folder, '/') = '\0';
    (void)rmdir(folder);                 /* not made by every test */
    ck_assert_int_eq(rmdir(runtime), 0); /* so no run file is left */
}

static struct settings settings(void)
{
    struct settings s;
    struct settings_error err = {.text = ""};

    settings_default(&s);
    ck_assert_msg(settings_set(&s, "MPCONVERT_PROXY", "192.0.2.1:1080", &err), "%s", err.text);
    return s;
}

START_TEST(a_library_beside_the_program_is_found)
{
    char found[PATH_MAX];
    int fd;

    ck_assert(!run_find_library(strrchr(beside, '/') + 1, found, sizeof found));
    fd = open(beside, O_CREAT | O_WRONLY | O_CLOEXEC, 0600);
    ck_assert_int_ge(fd, 0);
    ck_assert_int_eq(close(fd), 0);
    ck_assert(run_find_library(strrchr(beside, '/') + 1, found, sizeof found));
    ck_assert_str_eq(found, beside);
    ck_assert(!run_find_library(strrchr(beside, '/') + 1, found, 8));
}
END_TEST

START_TEST(our_library_is_preloaded_before_what_was_there)
{
    static const char *const two[] = {"/lib/a.so", "/lib/b.so"};
    char list[64];

    ck_assert(run_preload_list(two, 1, NULL, list, sizeof list));
    ck_assert_str_eq(list, "/lib/a.so");
    ck_assert(run_preload_list(two, 2, "", list, sizeof list));
    ck_assert_str_eq(list, "/lib/a.so:/lib/b.so");
    ck_assert(run_preload_list(two, 2, "/x.so /y.so:z.so", list, sizeof list));
    ck_assert_str_eq(list, "/lib/a.so:/lib/b.so:/x.so /y.so:z.so");
}
END_TEST

START_TEST(a_list_that_the_loader_would_misread_is_refused)
{
    static const char *const space[] = {"/a b.so"}, *const colon[] = {"/a:b.so"},
                             *const fine[] = {"/a.so"};
    char list[16];

    ck_assert(!run_preload_list(space, 1, NULL, list, sizeof list));
    ck_assert(!run_preload_list(colon, 1, NULL, list, sizeof list));
    ck_assert(!run_preload_list(fine, 1, "/0123456789.so", list, sizeof list));
    ck_assert(run_preload_list(fine, 1, "/01234567", list, sizeof list)); /* 16 with the NUL */
    ck_assert(!run_preload_list(fine, 1, "/012345678", list, sizeof list));
}
END_TEST

START_TEST(settings_are_handed_on_as_environment)
{
    struct settings s = settings();
    struct settings_error err = {.text = ""};

    ck_assert(settings_set(&s, "MPCONVERT_TFO", "off", &err));
    ck_assert_int_eq(setenv("MPCONVERT_CONNECT_SECONDS", "7", 1), 0); /* the file said 30 */
    ck_assert_msg(run_export(&s, &err), "%s", err.text);
    ck_assert_str_eq(getenv("MPCONVERT_PROXY"), "192.0.2.1:1080");
    ck_assert_str_eq(getenv("MPCONVERT_TFO"), "off");
    ck_assert_ptr_null(getenv("MPCONVERT_CONNECT_SECONDS"));
    ck_assert_ptr_null(getenv("MPCONVERT_DIALECT"));
}
END_TEST

static const char *from_environment(const char *name)
{
    return getenv(name);
}

START_TEST(what_is_handed_on_reads_back_the_same)
{
    static const struct {
        const char *name, *value;
    } given[] = {{"MPCONVERT_DIALECT", "socks5"},
                 {"MPCONVERT_USER", "me"},
                 {"MPCONVERT_PASSWORD", "p w"},
                 {"MPCONVERT_BYPASS", "198.51.100.0/24,[2001:db8::/32]:443"},
                 {"MPCONVERT_RECEIVE_BUFFER", "1M"},
                 {"MPCONVERT_REMOTE_DNS", "1"},
                 {"MPCONVERT_LOG", "/tmp/a log"}};
    struct settings s = settings(), back;
    struct settings_error err = {.text = ""};
    char first[SETTINGS_VALUE_MAX], second[SETTINGS_VALUE_MAX];

    for (size_t i = 0; i < sizeof given / sizeof given[0]; i++)
        ck_assert_msg(settings_set(&s, given[i].name, given[i].value, &err), "%s", err.text);
    ck_assert(run_export(&s, &err));
    ck_assert_msg(settings_from(&back, from_environment, &err), "%s", err.text);
    for (unsigned i = 0; i < settings_count(); i++)
        ck_assert_str_eq(settings_value(&s, i, first), settings_value(&back, i, second));
}
END_TEST

/* In a process of its own: run_program() takes it over. */
static int status_of(char *const *program, enum cli_mode mode, const char *runtime_dir)
{
    int status = 0;
    pid_t pid = fork();

    ck_assert_int_ge(pid, 0);
    if (pid == 0) {
        struct cli c = {.command = CLI_RUN, .rest = program};
        struct settings s = settings();

        if (runtime_dir != NULL)
            (void)setenv("XDG_RUNTIME_DIR", runtime_dir, 1);
        keeper_exit(run_program(&c, &s, mode));
    }
    ck_assert_int_eq(waitpid(pid, &status, 0), pid);
    ck_assert(WIFEXITED(status));
    return WEXITSTATUS(status);
}
#define STATUS_OF(mode, script) \
    status_of((char *[]){(char[]){"sh"}, (char[]){"-c"}, (char[]){script}, NULL}, mode, NULL)

START_TEST(without_the_library_preload_is_our_failure)
{
    char found[PATH_MAX];

    if (run_find_library("libmpconvert_preload.so", found, sizeof found))
        return; /* a build that has it beside the tests */
    ck_assert_int_eq(STATUS_OF(CLI_PRELOAD, "exit 3"), CLI_EXIT_OURS);
    ck_assert_int_eq(STATUS_OF(CLI_AUTO, "exit 3"), CLI_EXIT_OURS);
}
END_TEST

START_TEST(the_program_sees_the_run_and_the_settings)
{
    ck_assert_int_eq(STATUS_OF(CLI_SECCOMP, "test \"$MPCONVERT_PROXY\" = 192.0.2.1:1080 && "
                                            "test -s \"$MPCONVERT_RUN\" && "
                                            "test \"${MPCONVERT_RUN%/run-*}\" = "
                                            "\"$XDG_RUNTIME_DIR/mpconvert\" && "
                                            "test -z \"$LD_PRELOAD\" && exit 77"),
                     77);
}
END_TEST

START_TEST(statuses_are_the_programs_or_those_of_env)
{
    static char none[] = "/nonexistent/program", cannot[] = "/tmp";

    ck_assert_int_eq(STATUS_OF(CLI_SECCOMP, "exit 0"), 0);
    ck_assert_int_eq(STATUS_OF(CLI_SECCOMP, "exit 255"), 255);
    ck_assert_int_eq(status_of((char *[]){cannot, NULL}, CLI_SECCOMP, NULL), 126);
    ck_assert_int_eq(status_of((char *[]){none, NULL}, CLI_SECCOMP, NULL), 127);
}
END_TEST

int main(void)
{
    Suite *s = suite_create("run");
    TCase *c = tcase_create("all");

    tcase_add_checked_fixture(c, begin, end);
    tcase_add_test(c, a_library_beside_the_program_is_found);
    tcase_add_test(c, our_library_is_preloaded_before_what_was_there);
    tcase_add_test(c, a_list_that_the_loader_would_misread_is_refused);
    tcase_add_test(c, settings_are_handed_on_as_environment);
    tcase_add_test(c, what_is_handed_on_reads_back_the_same);
    tcase_add_test(c, without_the_library_preload_is_our_failure);
    tcase_add_test(c, the_program_sees_the_run_and_the_settings);
    tcase_add_test(c, statuses_are_the_programs_or_those_of_env);
    suite_add_tcase(s, c);
    return runner_main(s);
}
