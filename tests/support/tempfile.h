/* SPDX-License-Identifier: MIT */
/* tempfile - a file with given text and mode, for tests of loaders; removed by tempfile_done().
 * Aborts the test on failure. */
#ifndef SUPPORT_TEMPFILE_H
#define SUPPORT_TEMPFILE_H
#include <check.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

struct tempfile {
    char path[64];
};

static inline struct tempfile tempfile_make(const void *text, size_t len, mode_t mode)
{
    struct tempfile f = {.path = "/tmp/mpconvert-test-XXXXXX"};
    int fd = mkstemp(f.path);

    ck_assert_int_ge(fd, 0);
    ck_assert_int_eq(write(fd, text, len), (ssize_t)len);
    ck_assert_int_eq(fchmod(fd, mode), 0);
    ck_assert_int_eq(close(fd), 0);
    return f;
}

static inline struct tempfile tempfile_text(const char *text)
{
    return tempfile_make(text, strlen(text), 0600);
}

static inline void tempfile_done(const struct tempfile *f)
{
    ck_assert_int_eq(unlink(f->path), 0);
}

#endif
