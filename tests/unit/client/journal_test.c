/* SPDX-License-Identifier: MIT */
#include "journal.h"
#include "runner.h"
#include "tempfile.h"
#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <signal.h>
#include <stdio.h>
#include <sys/prctl.h>
#include <sys/resource.h>
#include <sys/wait.h>
#include <time.h>

enum { WRITERS = 8, LINES = 200, FILE_MAX = 1 << 20 };

/* What the file holds; the caller frees it. */
static char *content(const char *path, size_t *len)
{
    char *text = calloc(1, FILE_MAX);
    FILE *f = fopen(path, "r");

    ck_assert(text != NULL && f != NULL);
    *len = fread(text, 1, FILE_MAX - 1, f);
    ck_assert_int_eq(fclose(f), 0);
    return text;
}

/* What one text field looks like in a line. */
static const char *shown(struct journal *j, const char *value)
{
    journal_begin(j, "e");
    size_t before = j->len;
    journal_text(j, "k", value);
    j->text[j->len] = '\0';
    return j->text + before;
}

START_TEST(a_line_begins_with_time_pid_comm_event)
{
    struct journal j;
    char expected[128];
    struct tm tm = {0};
    const char *rest;

    ck_assert_int_eq(prctl(PR_SET_NAME, "a \"guest\""), 0);
    time_t before = time(NULL);
    journal_begin(&j, "dial");
    time_t after = time(NULL);
    j.text[j.len] = '\0';
    rest = strptime(j.text, "time=%Y-%m-%dT%H:%M:%S", &tm);
    ck_assert_ptr_nonnull(rest);
    time_t said = timegm(&tm);
    ck_assert(said >= before && said <= after);
    ck_assert_msg(rest[0] == '.' && rest[4] == 'Z' && strspn(rest + 1, "0123456789") == 3, "%s",
                  rest);
    (void)snprintf(expected, sizeof expected, "Z pid=%d comm=\"a \\\"guest\\\"\" event=dial",
                   (int)getpid());
    ck_assert_str_eq(rest + 4, expected);
}
END_TEST

START_TEST(text_is_escaped)
{
    struct journal j;

    ck_assert_str_eq(shown(&j, "plain-1.2:3/[x]"), " k=plain-1.2:3/[x]");
    ck_assert_str_eq(shown(&j, ""), " k=\"\"");
    ck_assert_str_eq(shown(&j, NULL), " k=-");
    ck_assert_str_eq(shown(&j, "a b"), " k=\"a b\"");
    ck_assert_str_eq(shown(&j, "a=b"), " k=\"a=b\"");
    ck_assert_str_eq(shown(&j, "\"\\"), " k=\"\\\"\\\\\"");
    ck_assert_str_eq(shown(&j, "x\nevent=y"), " k=\"x\\x0aevent=y\"");
    ck_assert_str_eq(shown(&j, "\x1b[2J\x7f\xff"), " k=\"\\x1b[2J\\x7f\\xff\"");
}
END_TEST

START_TEST(no_octet_gets_through_as_a_control)
{
    struct journal j;

    for (int c = 1; c < 256; c++) {
        char value[2] = {(char)c, '\0'};
        const char *text = shown(&j, value);

        for (size_t i = 0; text[i] != '\0'; i++)
            ck_assert_msg(text[i] >= 0x20 && text[i] < 0x7F, "octet %d", c);
    }
}
END_TEST

START_TEST(numbers_addresses_and_errors_are_plain)
{
    struct journal j;
    struct addr a, none = {0};
    char min[64];

    ck_assert(addr_parse("[2001:db8::1]:443", &a));
    journal_begin(&j, "e");
    size_t at = j.len;
    journal_number(&j, "n", 0);
    journal_number(&j, "n", -17);
    journal_number(&j, "n", LONG_MIN);
    journal_addr(&j, "a", &a);
    journal_addr(&j, "a", &none);
    journal_errno(&j, "x", ECONNREFUSED);
    journal_errno(&j, "x", -ETIMEDOUT);
    journal_errno(&j, "x", 0);
    journal_errno(&j, "x", 4000);
    journal_errno(&j, "x", INT_MIN);
    j.text[j.len] = '\0';
    (void)snprintf(min, sizeof min, " n=0 n=-17 n=%ld", LONG_MIN);
    ck_assert_int_eq(strncmp(j.text + at, min, strlen(min)), 0);
    ck_assert_str_eq(j.text + at + strlen(min), " a=[2001:db8::1]:443 a=- x=ECONNREFUSED "
                                                "x=ETIMEDOUT x=0 x=4000 x=-2147483648");
}
END_TEST

START_TEST(what_does_not_fit_is_cut_and_marked)
{
    char value[600];

    /* Every length, plain, quoted and escaped, with more fields behind it. */
    for (size_t len = 0; len < sizeof value; len++) {
        for (size_t kind = 0; kind < 3; kind++) {
            struct journal j;

            memset(value, "a \n"[kind], len);
            value[len < sizeof value ? len : sizeof value - 1] = '\0';
            journal_begin(&j, "e");
            journal_text(&j, "k", value);
            journal_number(&j, "behind", 123456);
            journal_text(&j, "and", "more of it");
            ck_assert_uint_lt(j.len, sizeof j.text);
            j.text[j.len] = '\0';
            const char *mark = strstr(j.text, " cut=1");
            const char *last = strstr(j.text, " and=\"more of it\"");
            ck_assert_msg((mark == NULL) == (last != NULL), "%s", j.text);
            ck_assert(mark == NULL || mark[6] == '\0');
            size_t quotes = 0;
            for (const char *c = j.text; *c != '\0'; c++)
                quotes += *c == '"';
            ck_assert_uint_eq(quotes % 2, 0);
        }
    }
}
END_TEST

START_TEST(without_a_file_nothing_happens)
{
    struct journal j;

    journal_begin(&j, "e");
    errno = EXDEV;
    int next = dup(0);
    journal_end(&j, "");
    journal_end(&j, NULL);
    journal_end(&j, "/nonexistent/log");
    journal_end(&j, "/");
    ck_assert_int_eq(close(next), 0);
    ck_assert_int_eq(dup(0), next); /* no fd was left open */
    ck_assert_int_eq(errno, EXDEV);
}
END_TEST

START_TEST(a_line_is_appended_and_no_fd_is_kept)
{
    struct tempfile f = tempfile_text("first\n");
    struct journal j;
    size_t len;
    int next = dup(0);

    ck_assert_int_eq(close(next), 0);
    errno = EXDEV;
    journal_begin(&j, "e");
    journal_number(&j, "n", 1);
    journal_end(&j, f.path);
    ck_assert_int_eq(errno, EXDEV);
    int again = dup(0);
    ck_assert_int_eq(again, next);
    char *text = content(f.path, &len);
    ck_assert_int_eq(strncmp(text, "first\ntime=", 11), 0);
    ck_assert_str_eq(text + len - 13, " event=e n=1\n");
    free(text);
    tempfile_done(&f);
}
END_TEST

/* Set before the fork. */
static void write_lines(const char *path, long writer)
{
    char filler[300];

    memset(filler, 'a' + (int)writer, sizeof filler - 1);
    filler[sizeof filler - 1] = '\0';
    for (long i = 0; i < LINES; i++) {
        struct journal j;

        journal_begin(&j, "line");
        journal_number(&j, "writer", writer);
        journal_number(&j, "line", i);
        journal_text(&j, "filler", filler);
        journal_end(&j, path);
    }
}

START_TEST(lines_of_many_processes_do_not_mix)
{
    struct tempfile f = tempfile_text("");
    pid_t child[WRITERS];
    long seen[WRITERS] = {0};
    size_t len;

    for (long w = 0; w < WRITERS; w++) {
        child[w] = fork();
        ck_assert_int_ge(child[w], 0);
        if (child[w] == 0) {
            write_lines(f.path, w);
            _exit(0);
        }
    }
    for (size_t w = 0; w < WRITERS; w++) {
        int status = 1;

        ck_assert_int_eq(waitpid(child[w], &status, 0), child[w]);
        ck_assert_int_eq(status, 0);
    }
    char *text = content(f.path, &len), *save = NULL;
    for (char *line = strtok_r(text, "\n", &save); line; line = strtok_r(NULL, "\n", &save)) {
        long writer, number;
        char *end;
        const char *at = strstr(line, " event=line ");

        ck_assert_msg(at != NULL && strncmp(line, "time=", 5) == 0, "%s", line);
        const char *digit = strstr(at, "writer=");
        ck_assert_ptr_nonnull(digit);
        writer = strtol(digit + 7, &end, 10);
        ck_assert_int_eq(strncmp(end, " line=", 6), 0);
        number = strtol(end + 6, &end, 10);
        ck_assert(writer >= 0 && writer < WRITERS);
        ck_assert_int_eq(number, seen[writer]++); /* whole, each once, in order */
        at = strstr(at, "filler=");
        ck_assert_ptr_nonnull(at);
        const char letter[2] = {(char)('a' + writer), '\0'};
        ck_assert_uint_eq(strlen(at + 7), 299);
        ck_assert_uint_eq(strspn(at + 7, letter), 299);
    }
    for (size_t w = 0; w < WRITERS; w++)
        ck_assert_int_eq(seen[w], LINES);
    free(text);
    tempfile_done(&f);
}
END_TEST

/* Neither a signal nor a changed mask is left; in a child, since check writes files, too. */
static int write_to_full_file(const char *path)
{
    const struct rlimit limit = {.rlim_cur = 4, .rlim_max = 4};
    struct journal j;
    sigset_t mask, pending;

    if (setrlimit(RLIMIT_FSIZE, &limit) != 0)
        return 1;
    journal_begin(&j, "e");
    journal_end(&j, path);
    if (sigprocmask(SIG_SETMASK, NULL, &mask) != 0 || sigpending(&pending) != 0)
        return 2;
    if (sigismember(&mask, SIGXFSZ) != 0 || sigismember(&mask, SIGPIPE) != 0)
        return 3;
    return sigismember(&pending, SIGXFSZ) != 0 ? 4 : 0;
}

START_TEST(a_full_file_does_not_end_the_program)
{
    struct tempfile f = tempfile_text("full");
    int status = 1;
    pid_t child = fork();

    if (child == 0)
        _exit(write_to_full_file(f.path));
    ck_assert_int_eq(waitpid(child, &status, 0), child);
    ck_assert_int_eq(status, 0);
    tempfile_done(&f);
}
END_TEST

START_TEST(a_fifo_without_a_reader_is_no_log)
{
    struct tempfile f = tempfile_text("");
    struct journal j;

    ck_assert_int_eq(unlink(f.path), 0);
    ck_assert_int_eq(mkfifo(f.path, 0600), 0);
    journal_begin(&j, "e");
    journal_end(&j, f.path); /* must not wait for one */
    tempfile_done(&f);
}
END_TEST

int main(void)
{
    Suite *s = suite_create("journal");
    TCase *t = tcase_create("journal");

    tcase_add_test(t, a_line_begins_with_time_pid_comm_event);
    tcase_add_test(t, text_is_escaped);
    tcase_add_test(t, no_octet_gets_through_as_a_control);
    tcase_add_test(t, numbers_addresses_and_errors_are_plain);
    tcase_add_test(t, what_does_not_fit_is_cut_and_marked);
    tcase_add_test(t, without_a_file_nothing_happens);
    tcase_add_test(t, a_line_is_appended_and_no_fd_is_kept);
    tcase_add_test(t, lines_of_many_processes_do_not_mix);
    tcase_add_test(t, a_full_file_does_not_end_the_program);
    tcase_add_test(t, a_fifo_without_a_reader_is_no_log);
    suite_add_tcase(s, t);
    return runner_main(s);
}
