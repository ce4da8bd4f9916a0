/* SPDX-License-Identifier: MIT */
#include "runfile.h"
#include "runner.h"
#include "shared.h"
#include <fcntl.h>
#include <limits.h>
#include <stdio.h>
#include <string.h>
#include <sys/file.h>
#include <sys/stat.h>
#include <time.h>
#include <unistd.h>

static char runtime[] = "/tmp/mpconvert-test-XXXXXX";
static char folder[64];

static void begin(void)
{
    memset(runtime + sizeof runtime - 7, 'X', 6);
    ck_assert_ptr_nonnull(mkdtemp(runtime));
    (void)snprintf(folder, sizeof folder, "%s/mpconvert", runtime);
}

static void end(void)
{
    (void)rmdir(folder); /* not made by every test */
    ck_assert_int_eq(rmdir(runtime), 0);
}

static struct runfile made(void)
{
    struct settings_error err = {.text = ""};
    struct runfile f;

    ck_assert_msg(runfile_create(&f, runtime, &err), "%s", err.text);
    return f;
}

START_TEST(it_is_made_below_the_runtime_directory_for_us_alone)
{
    struct runfile f = made();
    struct stat st;

    ck_assert_int_eq(strncmp(f.path, folder, strlen(folder)), 0);
    ck_assert_int_eq(stat(folder, &st), 0);
    ck_assert_uint_eq(st.st_mode & 07777, 0700);
    ck_assert_int_eq(stat(f.path, &st), 0);
    ck_assert_uint_eq(st.st_mode & 07777, 0600);
    ck_assert_ptr_nonnull(shared_map(f.path));
    ck_assert_int_eq(fcntl(f.fd, F_GETFD) & FD_CLOEXEC, FD_CLOEXEC);
    runfile_remove(&f);
}
END_TEST

START_TEST(removing_it_twice_is_fine)
{
    struct runfile f = made();
    struct runfile copy = f;

    runfile_remove(&f);
    ck_assert_int_ne(access(copy.path, F_OK), 0);
    ck_assert_int_eq(fcntl(copy.fd, F_GETFD), -1);
    runfile_remove(&f);
}
END_TEST

START_TEST(two_runs_have_two)
{
    struct runfile a = made(), b = made();

    ck_assert_str_ne(a.path, b.path);
    runfile_remove(&a);
    ck_assert_int_eq(access(b.path, F_OK), 0);
    runfile_remove(&b);
}
END_TEST

START_TEST(without_a_runtime_directory_it_is_in_tmp)
{
    static const char *const unusable[] = {NULL, "", "relative", "/nonexistent/runtime"};
    char wanted[64];

    (void)snprintf(wanted, sizeof wanted, "/tmp/mpconvert-%ld/run-", (long)geteuid());
    for (size_t i = 0; i < sizeof unusable / sizeof unusable[0]; i++) {
        struct settings_error err = {.text = ""};
        struct runfile f;

        ck_assert_msg(runfile_create(&f, unusable[i], &err), "%s", err.text);
        ck_assert_int_eq(strncmp(f.path, wanted, strlen(wanted)), 0);
        runfile_remove(&f);
    }
}
END_TEST

START_TEST(a_directory_that_others_may_write_to_is_not_used)
{
    struct settings_error err = {.text = ""};
    struct runfile f;

    ck_assert_int_eq(mkdir(folder, 0700), 0);
    ck_assert_int_eq(chmod(folder, 0770), 0);
    ck_assert_msg(runfile_create(&f, runtime, &err), "%s", err.text);
    ck_assert_int_eq(strncmp(f.path, "/tmp/mpconvert-", 15), 0);
    runfile_remove(&f);
    ck_assert_int_eq(rmdir(folder), 0);
    ck_assert_int_eq(symlink("/tmp", folder), 0);
    ck_assert_msg(runfile_create(&f, runtime, &err), "%s", err.text);
    ck_assert_int_ne(strncmp(f.path, folder, strlen(folder)), 0);
    runfile_remove(&f);
    ck_assert_int_eq(unlink(folder), 0);
}
END_TEST

/* The kernel does not let anybody set st_ctime: a lock alone decides for young files, that they
 * stay. */
START_TEST(what_is_young_or_locked_or_not_ours_stays)
{
    struct runfile first = made(), second;
    char other[PATH_MAX];
    int fd;

    (void)snprintf(other, sizeof other, "%s/other", folder);
    fd = open(other, O_CREAT | O_WRONLY | O_CLOEXEC, 0600);
    ck_assert_int_ge(fd, 0);
    ck_assert_int_eq(close(fd), 0);
    ck_assert_int_eq(close(first.fd), 0); /* as if killed */
    second = made();
    ck_assert_int_eq(access(first.path, F_OK), 0);
    ck_assert_int_eq(access(other, F_OK), 0);
    ck_assert_int_eq(unlink(other), 0);
    ck_assert_int_eq(unlink(first.path), 0);
    runfile_remove(&second);
}
END_TEST

START_TEST(it_is_locked_while_somebody_looks_after_it)
{
    struct runfile f = made();
    int fd = open(f.path, O_RDONLY | O_CLOEXEC);

    ck_assert_int_ge(fd, 0);
    ck_assert_int_ne(flock(fd, LOCK_EX | LOCK_NB), 0);
    ck_assert_int_eq(close(f.fd), 0);
    ck_assert_int_eq(flock(fd, LOCK_EX | LOCK_NB), 0);
    ck_assert_int_eq(close(fd), 0);
    f.fd = -1;
    runfile_remove(&f);
}
END_TEST

START_TEST(a_path_that_is_too_long_is_not_used)
{
    char longer[SETTINGS_NAMES_MAX + 8] = "/";
    struct settings_error err = {.text = ""};
    struct runfile f;

    memset(longer + 1, 'x', sizeof longer - 2);
    longer[sizeof longer - 1] = '\0';
    ck_assert(runfile_create(&f, longer, &err));
    ck_assert_int_eq(strncmp(f.path, "/tmp/mpconvert-", 15), 0);
    runfile_remove(&f);
}
END_TEST

START_TEST(a_fifo_among_the_files_holds_nobody_up)
{
    char path[96];
    struct runfile f = made(); /* the folder */

    (void)snprintf(path, sizeof path, "%s/run-fifo", folder);
    ck_assert_int_eq(mkfifo(path, 0600), 0);
    runfile_remove(&f);
    f = made();
    ck_assert_int_eq(unlink(path), 0); /* young: it is still there */
    runfile_remove(&f);
}
END_TEST

int main(void)
{
    Suite *s = suite_create("runfile");
    TCase *c = tcase_create("all");

    tcase_add_checked_fixture(c, begin, end);
    tcase_add_test(c, it_is_made_below_the_runtime_directory_for_us_alone);
    tcase_add_test(c, removing_it_twice_is_fine);
    tcase_add_test(c, two_runs_have_two);
    tcase_add_test(c, without_a_runtime_directory_it_is_in_tmp);
    tcase_add_test(c, a_directory_that_others_may_write_to_is_not_used);
    tcase_add_test(c, what_is_young_or_locked_or_not_ours_stays);
    tcase_add_test(c, it_is_locked_while_somebody_looks_after_it);
    tcase_add_test(c, a_fifo_among_the_files_holds_nobody_up);
    tcase_add_test(c, a_path_that_is_too_long_is_not_used);
    suite_add_tcase(s, c);
    return runner_main(s);
}
