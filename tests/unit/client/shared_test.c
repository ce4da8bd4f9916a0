/* SPDX-License-Identifier: MIT */
#include "runner.h"
#include "shared.h"
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>

static char dir[64], path[96], other[96];

static void setup(void)
{
    memcpy(dir, "/tmp/mpconvert-shared-XXXXXX", sizeof "/tmp/mpconvert-shared-XXXXXX");
    ck_assert_ptr_nonnull(mkdtemp(dir));
    ck_assert_int_gt(snprintf(path, sizeof path, "%s/run", dir), 0);
    ck_assert_int_gt(snprintf(other, sizeof other, "%s/other", dir), 0);
}

static void teardown(void)
{
    (void)unlink(path);
    (void)unlink(other);
    ck_assert_int_eq(rmdir(dir), 0);
}

START_TEST(a_new_file_is_private_and_empty)
{
    struct stat st;

    mode_t was = umask(0777);
    ck_assert_int_eq(shared_create(path), 0);
    (void)umask(was);
    ck_assert_int_eq(stat(path, &st), 0);
    ck_assert_uint_eq(st.st_mode & 07777, 0600);
    struct shared *s = shared_map(path);
    ck_assert_ptr_nonnull(s);
    for (unsigned i = 0; i < SHARED_COUNTS; i++)
        ck_assert_uint_eq(shared_get(s, (enum shared_count)i), 0);
}
END_TEST

START_TEST(a_file_that_is_there_is_not_created_again)
{
    ck_assert_int_eq(shared_create(path), 0);
    shared_add(shared_map(path), SHARED_CONNECTS, 3);
    ck_assert_int_eq(shared_create(path), -EEXIST);
    ck_assert_uint_eq(shared_get(shared_map(path), SHARED_CONNECTS), 3);
}
END_TEST

START_TEST(a_place_that_is_not_there_is_an_error)
{
    ck_assert_int_eq(shared_create("/nonexistent/mpconvert/run"), -ENOENT);
    ck_assert_ptr_null(shared_map(path));
    ck_assert_int_eq(access(path, F_OK), -1); /* mapping makes nothing */
}
END_TEST

START_TEST(mappings_of_one_file_are_one_memory)
{
    ck_assert_int_eq(shared_create(path), 0);
    struct shared *a = shared_map(path), *b = shared_map(path);

    ck_assert_ptr_ne(a, b);
    shared_add(a, SHARED_MPTCP, 5);
    shared_add(b, SHARED_MPTCP, 2);
    ck_assert_uint_eq(shared_get(a, SHARED_MPTCP), 7);
    ck_assert_uint_eq(shared_get(b, SHARED_FALLBACK), 0);
}
END_TEST

static const char *anonymous[] = {NULL, ""};

START_TEST(without_a_file_children_share_it)
{
    struct shared *s = shared_map(anonymous[_i]);
    int status;

    ck_assert_ptr_nonnull(s);
    pid_t child = fork();
    if (child == 0) {
        shared_add(s, SHARED_DIRECT, 4);
        _exit(0);
    }
    ck_assert_int_eq(waitpid(child, &status, 0), child);
    ck_assert_uint_eq(shared_get(s, SHARED_DIRECT), 4);
    ck_assert_uint_eq(shared_get(shared_map(anonymous[_i]), SHARED_DIRECT), 0);
}
END_TEST

START_TEST(counting_loses_nothing_between_processes)
{
    enum { CHILDREN = 4, EACH = 20000, ALL = 80000 };
    struct shared *s = shared_map(NULL);

    for (int i = 0; i < CHILDREN; i++)
        if (fork() == 0) {
            for (int n = 0; n < EACH; n++)
                shared_add(s, SHARED_CONNECTS, 1);
            _exit(0);
        }
    for (int i = 0; i < CHILDREN; i++)
        ck_assert_int_gt(wait(NULL), 0);
    ck_assert_uint_eq(shared_get(s, SHARED_CONNECTS), ALL);
}
END_TEST

START_TEST(a_file_of_another_size_is_refused)
{
    static const off_t change[] = {-1, 1};
    struct stat st;

    ck_assert_int_eq(shared_create(path), 0);
    ck_assert_int_eq(stat(path, &st), 0);
    for (size_t i = 0; i < 2; i++) {
        ck_assert_int_eq(truncate(path, st.st_size + change[i]), 0);
        ck_assert_ptr_null(shared_map(path));
    }
    ck_assert_int_eq(truncate(path, 0), 0);
    ck_assert_ptr_null(shared_map(path));
    ck_assert_int_eq(stat(path, &st), 0);
    ck_assert_int_eq(st.st_size, 0); /* and it was left alone */
}
END_TEST

START_TEST(a_file_of_another_version_is_refused)
{
    ck_assert_int_eq(shared_create(path), 0);
    for (int bit = 0; bit < 64; bit++) {
        unsigned char head[8], changed[8];
        int fd = open(path, O_RDWR);

        ck_assert_int_eq(pread(fd, head, 8, 0), 8);
        memcpy(changed, head, 8);
        changed[bit / 8] = (unsigned char)(changed[bit / 8] ^ 1u << bit % 8);
        ck_assert_int_eq(pwrite(fd, changed, 8, 0), 8);
        ck_assert_ptr_null(shared_map(path));
        ck_assert_int_eq(pwrite(fd, head, 8, 0), 8);
        ck_assert_int_eq(close(fd), 0);
    }
    ck_assert_ptr_nonnull(shared_map(path));
}
END_TEST

START_TEST(a_file_that_others_may_write_is_refused)
{
    ck_assert_int_eq(shared_create(path), 0);
    ck_assert_int_eq(chmod(path, 0620), 0);
    ck_assert_ptr_null(shared_map(path));
    ck_assert_int_eq(chmod(path, 0602), 0);
    ck_assert_ptr_null(shared_map(path));
    ck_assert_int_eq(chmod(path, 0600), 0);
    ck_assert_ptr_nonnull(shared_map(path));
}
END_TEST

START_TEST(a_file_of_another_owner_is_refused)
{
    ck_assert_int_eq(shared_create(path), 0);
    if (geteuid() == 0) {
        ck_assert_int_eq(chown(path, 65534, 65534), 0);
        ck_assert_ptr_null(shared_map(path));
    } else {
        ck_assert_ptr_null(shared_map("/etc/passwd"));
    }
}
END_TEST

START_TEST(links_and_other_things_are_refused)
{
    ck_assert_int_eq(shared_create(other), 0);
    ck_assert_int_eq(symlink(other, path), 0);
    ck_assert_ptr_null(shared_map(path));
    ck_assert_int_eq(shared_create(path), -EEXIST);
    ck_assert_int_eq(unlink(path), 0);
    ck_assert_int_eq(mkfifo(path, 0600), 0);
    ck_assert_ptr_null(shared_map(path)); /* and does not wait for a writer */
    ck_assert_int_eq(unlink(path), 0);
    ck_assert_ptr_null(shared_map(dir));
}
END_TEST

START_TEST(no_descriptor_is_kept_and_errno_is_left_alone)
{
    int before = dup(0);

    ck_assert_int_eq(close(before), 0);
    errno = ENOTTY;
    ck_assert_int_eq(shared_create(path), 0);
    ck_assert_ptr_nonnull(shared_map(path));
    ck_assert_ptr_null(shared_map("/nonexistent"));
    ck_assert_ptr_null(shared_map("/etc"));
    ck_assert_int_eq(errno, ENOTTY);
    int after = dup(0);
    ck_assert_int_eq(after, before);
    ck_assert_int_eq(close(after), 0);
}
END_TEST

START_TEST(every_count_has_a_name_of_its_own)
{
    for (unsigned i = 0; i < SHARED_COUNTS; i++) {
        ck_assert_str_ne(shared_count_name((enum shared_count)i), "-");
        for (unsigned k = 0; k < i; k++)
            ck_assert_str_ne(shared_count_name((enum shared_count)i),
                             shared_count_name((enum shared_count)k));
    }
    ck_assert_str_eq(shared_count_name(SHARED_ANSWER_MS), "answer_ms_sum");
    ck_assert_str_eq(shared_count_name(SHARED_COUNTS), "-");
}
END_TEST

START_TEST(without_memory_nothing_is_counted)
{
    shared_add(NULL, SHARED_CONNECTS, 1);
    ck_assert_uint_eq(shared_get(NULL, SHARED_CONNECTS), 0);
}
END_TEST

int main(void)
{
    Suite *s = suite_create("shared");
    TCase *tc = tcase_create("shared");

    tcase_add_checked_fixture(tc, setup, teardown);
    tcase_add_test(tc, a_new_file_is_private_and_empty);
    tcase_add_test(tc, a_file_that_is_there_is_not_created_again);
    tcase_add_test(tc, a_place_that_is_not_there_is_an_error);
    tcase_add_test(tc, mappings_of_one_file_are_one_memory);
    tcase_add_loop_test(tc, without_a_file_children_share_it, 0, 2);
    tcase_add_test(tc, counting_loses_nothing_between_processes);
    tcase_add_test(tc, a_file_of_another_size_is_refused);
    tcase_add_test(tc, a_file_of_another_version_is_refused);
    tcase_add_test(tc, a_file_that_others_may_write_is_refused);
    tcase_add_test(tc, a_file_of_another_owner_is_refused);
    tcase_add_test(tc, links_and_other_things_are_refused);
    tcase_add_test(tc, no_descriptor_is_kept_and_errno_is_left_alone);
    tcase_add_test(tc, every_count_has_a_name_of_its_own);
    tcase_add_test(tc, without_memory_nothing_is_counted);
    suite_add_tcase(s, tc);
    return runner_main(s);
}
