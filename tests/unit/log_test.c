/* SPDX-License-Identifier: MIT */
#include "base/check.h"
#include "base/log.h"
#include "fault.h"
#include "runner.h"
#include <check.h>
#include <errno.h>
#include <fcntl.h>
#include <jansson.h>
#include <pthread.h>
#include <regex.h>
#include <sched.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/resource.h>
#include <sys/socket.h>
#include <time.h>
#include <unistd.h>

static uint64_t clock_ms(clockid_t id)
{
    struct timespec t;

    ck_assert_int_eq(clock_gettime(id, &t), 0);
    return (uint64_t)t.tv_sec * 1000 + (uint64_t)t.tv_nsec / 1000000;
}

/* A log into a memory file; close_log() flushes it and returns all it wrote. */
struct sink {
    int fd;
    struct log *log;
};

static struct sink open_log(enum log_format format, enum log_level level)
{
    struct sink s = {.fd = memfd_create("log", MFD_CLOEXEC)};

    ck_assert_int_ge(s.fd, 0);
    s.log = log_new(s.fd, format, level);
    ck_assert_ptr_nonnull(s.log);
    return s;
}

static char *read_file(int fd)
{
    off_t size = lseek(fd, 0, SEEK_END);
    char *text;

    ck_assert_int_ge(size, 0);
    text = malloc((size_t)size + 1);
    ck_assert_ptr_nonnull(text);
    ck_assert_int_eq(pread(fd, text, (size_t)size, 0), size);
    text[size] = '\0';
    return text;
}

static char *close_log(struct sink *s)
{
    char *text;

    log_free(s->log);
    text = read_file(s->fd);
    ck_assert_int_eq(close(s->fd), 0);
    return text;
}

/* What follows "event=e", without the newline; in place. */
static char *fields(char *text)
{
    char *at = strstr(text, "event");

    ck_assert_ptr_nonnull(at);
    at += strcspn(at, " ,\n");
    at[strcspn(at, "\n")] = '\0';
    return at;
}

START_TEST(line_begins_with_time_level_and_event)
{
    struct sink s = open_log(LOG_FORMAT_LOGFMT, LOG_LEVEL_INFO);
    uint64_t before = clock_ms(CLOCK_REALTIME) / 1000;
    struct log_line line;
    struct tm tm = {0};
    regex_t shape;
    uint64_t seconds;
    char *text;

    log_begin(&line, s.log, LOG_LEVEL_WARNING, "session_end");
    log_end(&line);
    text = close_log(&s);
    ck_assert_int_eq(
        regcomp(&shape,
                "^time=[0-9]{4}-[0-9]{2}-[0-9]{2}T[0-9]{2}:[0-9]{2}:[0-9]{2}\\.[0-9]{6}Z "
                "level=warning event=session_end\n$",
                REG_EXTENDED | REG_NOSUB),
        0);
    ck_assert_msg(regexec(&shape, text, 0, NULL, 0) == 0, "%s", text);
    regfree(&shape);
    ck_assert_ptr_nonnull(strptime(text, "time=%Y-%m-%dT%H:%M:%S", &tm));
    seconds = (uint64_t)timegm(&tm);
    ck_assert_uint_ge(seconds, before);
    ck_assert_uint_le(seconds, clock_ms(CLOCK_REALTIME) / 1000);
    free(text);
}
END_TEST

static void all_kinds(struct log *log)
{
    struct log_line line;

    log_begin(&line, log, LOG_LEVEL_INFO, "e");
    log_u64(&line, "session", 17);
    log_str(&line, "client", "192.0.2.7:5021");
    log_text(&line, "target", "a b", 3);
    log_str(&line, "user", NULL);
    log_i64(&line, "delta", -5);
    log_seconds(&line, "seconds", 1234567);
    log_end(&line);
}

START_TEST(logfmt_line_holds_the_fields_in_order)
{
    struct sink s = open_log(LOG_FORMAT_LOGFMT, LOG_LEVEL_INFO);
    char *text;

    all_kinds(s.log);
    text = close_log(&s);
    ck_assert_str_eq(
        fields(text),
        " session=17 client=192.0.2.7:5021 target=\"a b\" user=- delta=-5 seconds=1.234567");
    free(text);
}
END_TEST

START_TEST(json_line_is_one_object_with_the_fields_in_order)
{
    struct sink s = open_log(LOG_FORMAT_JSON, LOG_LEVEL_INFO);
    char *text;
    json_t *o;

    all_kinds(s.log);
    text = close_log(&s);
    o = json_loads(text, JSON_REJECT_DUPLICATES, NULL);
    ck_assert_ptr_nonnull(o);
    ck_assert_uint_eq(strlen(json_string_value(json_object_get(o, "time"))), 27);
    ck_assert_str_eq(json_string_value(json_object_get(o, "level")), "info");
    json_decref(o);
    ck_assert_str_eq(
        fields(text),
        ",\"session\":17,\"client\":\"192.0.2.7:5021\",\"target\":\"a b\",\"user\":null,"
        "\"delta\":-5,\"seconds\":1.234567}");
    free(text);
}
END_TEST

START_TEST(numbers_print_at_their_limits)
{
    struct sink s = open_log(LOG_FORMAT_LOGFMT, LOG_LEVEL_INFO);
    struct log_line line;
    char *text;

    log_begin(&line, s.log, LOG_LEVEL_INFO, "e");
    log_u64(&line, "a", 0);
    log_u64(&line, "b", UINT64_MAX);
    log_i64(&line, "c", INT64_MIN);
    log_i64(&line, "d", INT64_MAX);
    log_seconds(&line, "e", 0);
    log_seconds(&line, "f", 9);
    log_seconds(&line, "g", UINT64_MAX);
    log_end(&line);
    text = close_log(&s);
    ck_assert_str_eq(fields(text),
                     " a=0 b=18446744073709551615 c=-9223372036854775808 d=9223372036854775807"
                     " e=0.000000 f=0.000009 g=18446744073709.551615");
    free(text);
}
END_TEST

/* Undoes the logfmt quoting; returns the length. */
static size_t unquote(const char *in, unsigned char *out)
{
    size_t n = 0;

    ck_assert_int_eq(*in++, '"');
    while (*in != '"') {
        ck_assert_msg(*in >= 0x20 && *in < 0x7f, "raw octet %d", *in);
        if (*in != '\\') {
            out[n++] = (unsigned char)*in++;
        } else if (in[1] == 'x') {
            const char hex[3] = {in[2], in[3], '\0'};

            out[n++] = (unsigned char)strtoul(hex, NULL, 16);
            in += 4;
        } else {
            out[n++] = (unsigned char)in[1];
            in += 2;
        }
    }
    ck_assert_int_eq(in[1], '\0');
    return n;
}

START_TEST(logfmt_escapes_every_octet_reversibly)
{
    struct sink s = open_log(LOG_FORMAT_LOGFMT, LOG_LEVEL_INFO);
    unsigned char octets[256], back[1024];
    struct log_line line;
    char *text, *value;

    for (unsigned i = 0; i < sizeof octets; i++)
        octets[i] = (unsigned char)i;
    log_begin(&line, s.log, LOG_LEVEL_INFO, "e");
    log_text(&line, "t", octets, sizeof octets);
    log_end(&line);
    text = close_log(&s);
    value = fields(text);
    ck_assert_ptr_nonnull(strstr(value, "\\x00\\x01"));
    ck_assert_ptr_nonnull(strstr(value, "!\\\"#"));
    ck_assert_ptr_nonnull(strstr(value, "[\\\\]"));
    ck_assert_ptr_nonnull(strstr(value, "~\\x7f\\x80"));
    ck_assert_uint_eq(unquote(value + 3, back), sizeof octets);
    ck_assert_mem_eq(back, octets, sizeof octets);
    free(text);
}
END_TEST

/* Octet n is code point U+00nn, which UTF-8 writes in two octets from U+0080 on. */
START_TEST(json_escapes_every_octet_reversibly)
{
    struct sink s = open_log(LOG_FORMAT_JSON, LOG_LEVEL_INFO);
    char octets[256], utf8[512], *text;
    struct log_line line;
    size_t n = 0;
    json_t *o;

    for (unsigned i = 0; i < sizeof octets; i++) {
        octets[i] = (char)i;
        if (i >= 0x80)
            utf8[n++] = (char)(0xc0 | i >> 6);
        utf8[n++] = (char)(i < 0x80 ? i : 0x80 | (i & 0x3f));
    }
    log_begin(&line, s.log, LOG_LEVEL_INFO, "e");
    log_text(&line, "t", octets, sizeof octets);
    log_end(&line);
    text = close_log(&s);
    for (size_t i = 0; i + 1 < strlen(text); i++)
        ck_assert(text[i] >= 0x20 && text[i] < 0x7f);
    o = json_loads(text, JSON_ALLOW_NUL, NULL);
    ck_assert_ptr_nonnull(o);
    ck_assert_uint_eq(json_string_length(json_object_get(o, "t")), n);
    ck_assert_mem_eq(json_string_value(json_object_get(o, "t")), utf8, n);
    json_decref(o);
    free(text);
}
END_TEST

START_TEST(values_that_could_be_misread_are_quoted)
{
    static const char *const pairs[][2] = {
        {"-", "\"-\""}, {"", "\"\""},           {"a b", "\"a b\""},     {"a=b", "\"a=b\""},
        {"--", "--"},   {"[::1]:5", "[::1]:5"}, {"a\"b", "\"a\\\"b\""}, {"a\nb", "\"a\\x0ab\""},
    };

    for (size_t i = 0; i < ARRAY_LEN(pairs); i++) {
        struct sink s = open_log(LOG_FORMAT_LOGFMT, LOG_LEVEL_INFO);
        struct log_line line;
        char *text;

        log_begin(&line, s.log, LOG_LEVEL_INFO, "e");
        log_str(&line, "k", pairs[i][0]);
        log_end(&line);
        text = close_log(&s);
        ck_assert_str_eq(fields(text) + strlen(" k="), pairs[i][1]);
        free(text);
    }
}
END_TEST

/* Every length around the limit, plain and escaped, in both formats. */
START_TEST(long_line_is_cut_whole_and_says_so)
{
    static char value[LOG_LINE_MAX + 64];
    enum log_format format = _i & 1 ? LOG_FORMAT_JSON : LOG_FORMAT_LOGFMT;
    bool seen_whole = false, seen_cut = false;

    memset(value, _i & 2 ? '\x01' : 'v', sizeof value);
    for (size_t len = _i & 2 ? 200 : 1850; len < sizeof value; len++) {
        struct sink s = open_log(format, LOG_LEVEL_INFO);
        struct log_line line;
        char *text;
        bool cut;

        log_begin(&line, s.log, LOG_LEVEL_INFO, "e");
        log_text(&line, "k", value, len);
        log_u64(&line, "after", 12345);
        log_end(&line);
        text = close_log(&s);
        ck_assert_uint_le(strlen(text), LOG_LINE_MAX);
        ck_assert_ptr_eq(strchr(text, '\n'), text + strlen(text) - 1);
        cut = strstr(text, format == LOG_FORMAT_JSON ? ",\"cut\":1}\n" : " cut=1\n") != NULL;
        ck_assert(cut || strstr(text, "12345") != NULL);
        if (format == LOG_FORMAT_JSON) {
            json_t *o = json_loads(text, 0, NULL);

            ck_assert_ptr_nonnull(o);
            json_decref(o);
        }
        seen_cut = seen_cut || cut;
        seen_whole = seen_whole || !cut;
        free(text);
        if (seen_cut && len > 1200 && (_i & 2))
            break;
    }
    ck_assert(seen_cut && seen_whole);
}
END_TEST

START_TEST(many_fields_are_cut_at_a_field)
{
    struct sink s = open_log(LOG_FORMAT_LOGFMT, LOG_LEVEL_INFO);
    struct log_line line;
    char *text;

    log_begin(&line, s.log, LOG_LEVEL_INFO, "e");
    for (unsigned i = 0; i < 1000; i++)
        log_u64(&line, "field", 1234567890);
    log_end(&line);
    text = close_log(&s);
    ck_assert_uint_le(strlen(text), LOG_LINE_MAX);
    ck_assert_ptr_nonnull(strstr(text, " field=1234567890 cut=1\n"));
    free(text);
}
END_TEST

START_TEST(disabled_level_does_nothing)
{
    struct sink s = open_log(LOG_FORMAT_LOGFMT, LOG_LEVEL_WARNING);
    struct log_line line;
    char *text;

    ck_assert(log_enabled(s.log, LOG_LEVEL_ERROR));
    ck_assert(log_enabled(s.log, LOG_LEVEL_WARNING));
    ck_assert(!log_enabled(s.log, LOG_LEVEL_INFO));
    log_begin(&line, s.log, LOG_LEVEL_INFO, "e");
    ck_assert_ptr_null(line.log);
    log_str(&line, "k", "v");
    log_str(&line, "k", NULL);
    log_text(&line, "k", "v", 1);
    log_u64(&line, "k", 1);
    log_i64(&line, "k", 1);
    log_seconds(&line, "k", 1);
    log_end(&line);
    log_message(s.log, LOG_LEVEL_DEBUG, "e", "%d", 1);
    text = close_log(&s);
    ck_assert_str_eq(text, "");
    free(text);
}
END_TEST

START_TEST(no_log_is_fine)
{
    struct log_line line;

    ck_assert(!log_enabled(NULL, LOG_LEVEL_ERROR));
    log_begin(&line, NULL, LOG_LEVEL_ERROR, "e");
    ck_assert_ptr_null(line.log);
    log_u64(&line, "k", 1);
    log_end(&line);
    log_message(NULL, LOG_LEVEL_ERROR, "e", "m");
    log_free(NULL);
}
END_TEST

START_TEST(level_and_format_change_for_the_next_line)
{
    struct sink s = open_log(LOG_FORMAT_LOGFMT, LOG_LEVEL_ERROR);
    char *text;

    log_message(s.log, LOG_LEVEL_INFO, "one", "m");
    log_set_level(s.log, LOG_LEVEL_INFO);
    log_message(s.log, LOG_LEVEL_INFO, "two", "m");
    log_set_format(s.log, LOG_FORMAT_JSON);
    log_message(s.log, LOG_LEVEL_INFO, "three", "m");
    text = close_log(&s);
    ck_assert_ptr_null(strstr(text, "one"));
    ck_assert_ptr_nonnull(strstr(text, "event=two message=m\n"));
    ck_assert_ptr_nonnull(strstr(text, "\"event\":\"three\",\"message\":\"m\"}\n"));
    free(text);
}
END_TEST

START_TEST(levels_have_names)
{
    ck_assert_str_eq(log_level_name(LOG_LEVEL_ERROR), "error");
    ck_assert_str_eq(log_level_name(LOG_LEVEL_WARNING), "warning");
    ck_assert_str_eq(log_level_name(LOG_LEVEL_INFO), "info");
    ck_assert_str_eq(log_level_name(LOG_LEVEL_DEBUG), "debug");
    ck_assert_str_eq(log_level_name(LOG_LEVEL_COUNT), "unknown");
}
END_TEST

START_TEST(message_is_formatted_escaped_and_cut)
{
    struct sink s = open_log(LOG_FORMAT_LOGFMT, LOG_LEVEL_INFO);
    char *text;

    log_message(s.log, LOG_LEVEL_INFO, "e", "%s is %d", "a\tb", 7);
    log_message(s.log, LOG_LEVEL_INFO, "e", "%02000d", 7);
    text = close_log(&s);
    ck_assert_ptr_nonnull(strstr(text, "event=e message=\"a\\x09b is 7\"\n"));
    ck_assert_ptr_nonnull(strstr(text, "00000 cut=1\n"));
    free(text);
}
END_TEST

static size_t count(const char *text, char c)
{
    size_t n = 0;

    for (; *text != '\0'; text++)
        n += *text == c;
    return n;
}

/* Busy until `done`, at most 30 seconds. */
static void until(bool (*done)(const struct log *l), const struct log *l)
{
    uint64_t limit = clock_ms(CLOCK_MONOTONIC) + 30000;

    while (!done(l)) {
        ck_assert_uint_lt(clock_ms(CLOCK_MONOTONIC), limit);
        (void)sched_yield();
    }
}

enum { THREADS = 4, LINES = 3000, ALL_LINES = THREADS * LINES };
struct talker {
    pthread_t thread;
    struct log *log;
    uint64_t id;
};

static void *talk(void *arg)
{
    const struct talker *t = arg;
    struct log_line line;

    for (uint64_t i = 0; i < LINES; i++) {
        log_begin(&line, t->log, LOG_LEVEL_INFO, "e");
        log_u64(&line, "thread", t->id);
        log_u64(&line, "n", i);
        log_end(&line);
    }
    return NULL;
}

static bool queue_is_empty(const struct log *l)
{
    return log_counts(l).queued_bytes == 0;
}

START_TEST(lines_of_many_threads_arrive_whole_and_in_order)
{
    struct sink s = open_log(LOG_FORMAT_LOGFMT, LOG_LEVEL_INFO);
    struct talker talkers[THREADS];
    uint64_t next[THREADS] = {0}, id, n;
    struct log_counts counts;
    char *text, *rest, *at;

    for (uint64_t i = 0; i < THREADS; i++) {
        talkers[i] = (struct talker){.log = s.log, .id = i};
        ck_assert_int_eq(pthread_create(&talkers[i].thread, NULL, talk, &talkers[i]), 0);
    }
    for (size_t i = 0; i < THREADS; i++)
        ck_assert_int_eq(pthread_join(talkers[i].thread, NULL), 0);
    until(queue_is_empty, s.log);
    counts = log_counts(s.log);
    ck_assert_uint_eq(counts.dropped, 0);
    ck_assert_uint_eq(counts.written, ALL_LINES);
    rest = text = close_log(&s);
    while ((at = strsep(&rest, "\n")) != NULL && *at != '\0') {
        at = strstr(at, " thread=");
        ck_assert_ptr_nonnull(at);
        id = strtoul(at + strlen(" thread="), &at, 10);
        ck_assert_mem_eq(at, " n=", 3);
        n = strtoul(at + 3, &at, 10);
        ck_assert_int_eq(*at, '\0');
        ck_assert_uint_lt(id, THREADS);
        ck_assert_uint_eq(n, next[id]++);
    }
    for (size_t i = 0; i < THREADS; i++)
        ck_assert_uint_eq(next[i], LINES);
    free(text);
}
END_TEST

/* A pipe as sink: write end in fd[1]. */
static struct log *open_pipe_log(int fd[2], int flags)
{
    struct log *log;

    ck_assert_int_eq(pipe2(fd, O_CLOEXEC), 0);
    ck_assert_int_eq(fcntl(fd[1], F_SETFL, flags), 0);
    log = log_new(fd[1], LOG_FORMAT_LOGFMT, LOG_LEVEL_INFO);
    ck_assert_ptr_nonnull(log);
    return log;
}

static uint64_t fill(struct log *log)
{
    uint64_t lines = 0;

    for (; log_counts(log).dropped < 10; lines++) {
        log_message(log, LOG_LEVEL_INFO, "fill", "line %lu", lines);
        ck_assert_uint_le(log_counts(log).queued_bytes, LOG_QUEUE_MAX);
    }
    return lines;
}

/* _i 0: non-blocking pipe, 1: blocking. */
START_TEST(blocked_sink_blocks_nobody_and_loses_only_what_is_counted)
{
    int fd[2];
    struct log *log = open_pipe_log(fd, _i == 0 ? O_NONBLOCK : 0);
    uint64_t total = fill(log), lines = 0;
    struct log_counts counts;
    char buf[65536];
    ssize_t n;

    ck_assert_uint_gt(log_counts(log).queued_bytes, LOG_QUEUE_MAX - LOG_LINE_MAX);
    ck_assert_int_eq(fcntl(fd[0], F_SETFL, O_NONBLOCK), 0);
    while (!queue_is_empty(log)) {
        n = read(fd[0], buf, sizeof buf - 1);
        if (n < 0) {
            ck_assert_int_eq(errno, EAGAIN);
            (void)sched_yield();
            continue;
        }
        buf[n] = '\0';
        lines += count(buf, '\n');
    }
    counts = log_counts(log);
    ck_assert_uint_eq(counts.written + counts.dropped, total);
    ck_assert_uint_eq(counts.dropped, 10);
    log_free(log);
    ck_assert_int_eq(close(fd[1]), 0);
    while ((n = read(fd[0], buf, sizeof buf - 1)) > 0) {
        buf[n] = '\0';
        lines += count(buf, '\n');
    }
    ck_assert_uint_eq(lines, counts.written);
    ck_assert_int_eq(close(fd[0]), 0);
}
END_TEST

START_TEST(freeing_waits_a_second_for_a_stuck_sink_and_no_longer)
{
    int fd[2];
    struct log *log = open_pipe_log(fd, _i == 0 ? O_NONBLOCK : 0);
    uint64_t start, ms;

    (void)fill(log);
    start = clock_ms(CLOCK_MONOTONIC);
    log_free(log);
    ms = clock_ms(CLOCK_MONOTONIC) - start;
    ck_assert_uint_ge(ms, 900);
    ck_assert_uint_le(ms, 5000);
    ck_assert_int_eq(close(fd[0]),
                     0); /* frees the writer; it may still be using the other end */
}
END_TEST

START_TEST(freeing_flushes_what_is_queued)
{
    struct sink s = open_log(LOG_FORMAT_LOGFMT, LOG_LEVEL_INFO);
    char *text;

    for (int i = 0; i < 1000; i++)
        log_message(s.log, LOG_LEVEL_INFO, "e", "%d", i);
    text = close_log(&s);
    ck_assert_uint_eq(count(text, '\n'), 1000);
    free(text);
}
END_TEST

static bool something_dropped(const struct log *l)
{
    return log_counts(l).dropped > 0;
}

START_TEST(closed_sink_costs_the_lines_and_nothing_else)
{
    int fd[2];
    struct log *log = open_pipe_log(fd, 0);

    ck_assert_int_eq(close(fd[0]), 0);
    log_message(log, LOG_LEVEL_INFO, "e", "nobody reads"); /* SIGPIPE would end this test */
    until(something_dropped, log);
    ck_assert_uint_eq(log_counts(log).dropped, 1);
    ck_assert_uint_eq(log_counts(log).written, 0);
    ck_assert_uint_eq(log_counts(log).queued_bytes, 0);
    log_free(log);
    ck_assert_int_eq(close(fd[1]), 0);
}
END_TEST

/* A full disk in the middle of a line, then room again. */
START_TEST(torn_line_is_ended_before_the_next_one)
{
    struct sink s = open_log(LOG_FORMAT_LOGFMT, LOG_LEVEL_INFO);
    enum {
        LIMIT = 1 << 20,
        ROOM = 20
    }; /* the limit is the whole process's: leave the framework some */
    struct rlimit before, small;
    char *file, *text;

    ck_assert_int_eq(lseek(s.fd, LIMIT - ROOM, SEEK_SET), LIMIT - ROOM);
    ck_assert_int_eq(getrlimit(RLIMIT_FSIZE, &before), 0);
    small = (struct rlimit){.rlim_cur = LIMIT, .rlim_max = before.rlim_max};
    ck_assert_int_eq(setrlimit(RLIMIT_FSIZE, &small), 0);
    log_message(s.log, LOG_LEVEL_INFO, "lost", "x");
    until(something_dropped, s.log);
    ck_assert_int_eq(setrlimit(RLIMIT_FSIZE, &before), 0);
    log_message(s.log, LOG_LEVEL_INFO, "kept", "y");
    file = close_log(&s);
    text = file + LIMIT - ROOM;
    ck_assert_uint_eq(count(text, '\n'), 2);
    ck_assert_uint_eq(strcspn(text, "\n"), ROOM);
    ck_assert_mem_eq(text + ROOM + 1, "time=", 5);
    ck_assert_ptr_nonnull(strstr(text, "event=kept message=y\n"));
    free(file);
}
END_TEST

/* Each write(2) is one message of a seqpacket socket. */
START_TEST(busy_writer_batches_lines)
{
    int fd[2];
    struct log *log;
    char buf[65536];
    size_t writes = 0;

    ck_assert_int_eq(socketpair(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC, 0, fd), 0);
    log = log_new(fd[1], LOG_FORMAT_LOGFMT, LOG_LEVEL_INFO);
    ck_assert_ptr_nonnull(log);
    for (int i = 0; i < 1000; i++)
        log_message(log, LOG_LEVEL_INFO, "e", "%d", i);
    log_free(log);
    ck_assert_int_eq(close(fd[1]), 0);
    while (recv(fd[0], buf, sizeof buf, 0) > 0)
        writes++;
    ck_assert_uint_ge(writes, 1);
    ck_assert_uint_le(writes, 100);
    ck_assert_int_eq(close(fd[0]), 0);
}
END_TEST

START_TEST(log_without_memory_is_null)
{
    struct log *log = NULL;
    unsigned n = 0;

    while (log == NULL) {
        fault_after(++n);
        log = log_new(STDERR_FILENO, LOG_FORMAT_LOGFMT, LOG_LEVEL_INFO);
        ck_assert_int_eq(log == NULL, fault_hit());
        fault_reset();
    }
    ck_assert_uint_eq(n, 3); /* the log, its queue, and then all is there */
    log_free(log);
}
END_TEST

START_TEST(limit_allows_burst_lines_per_second_and_tells_what_it_skipped)
{
    struct log_limit lim = {0};
    uint32_t suppressed = 99;

    for (int i = 0; i < 3; i++) {
        ck_assert(log_limit_take(&lim, 3, 5000, &suppressed));
        ck_assert_uint_eq(suppressed, 0);
    }
    for (int i = 0; i < 7; i++)
        ck_assert(!log_limit_take(&lim, 3, 5999, &suppressed));
    ck_assert(log_limit_take(&lim, 3, 6000, &suppressed));
    ck_assert_uint_eq(suppressed, 7);
    ck_assert(log_limit_take(&lim, 3, 6000, &suppressed));
    ck_assert_uint_eq(suppressed, 0);
}
END_TEST

START_TEST(limit_of_zero_allows_nothing_and_keeps_counting)
{
    struct log_limit lim = {0};
    uint32_t suppressed;

    for (uint64_t s = 0; s < 5; s++)
        ck_assert(!log_limit_take(&lim, 0, s * 1000, &suppressed));
    ck_assert(log_limit_take(&lim, 1, 5000, &suppressed));
    ck_assert_uint_eq(suppressed, 5);
    lim.suppressed = UINT32_MAX;
    ck_assert(!log_limit_take(&lim, 1, 5000, &suppressed));
    ck_assert_uint_eq(lim.suppressed, UINT32_MAX);
}
END_TEST

static Suite *log_suite(void)
{
    Suite *s = suite_create("log");
    TCase *line = tcase_create("line"), *sink = tcase_create("sink"),
          *limit = tcase_create("limit");

    tcase_add_test(line, line_begins_with_time_level_and_event);
    tcase_add_test(line, logfmt_line_holds_the_fields_in_order);
    tcase_add_test(line, json_line_is_one_object_with_the_fields_in_order);
    tcase_add_test(line, numbers_print_at_their_limits);
    tcase_add_test(line, logfmt_escapes_every_octet_reversibly);
    tcase_add_test(line, json_escapes_every_octet_reversibly);
    tcase_add_test(line, values_that_could_be_misread_are_quoted);
    tcase_add_loop_test(line, long_line_is_cut_whole_and_says_so, 0, 4);
    tcase_add_test(line, many_fields_are_cut_at_a_field);
    tcase_add_test(line, disabled_level_does_nothing);
    tcase_add_test(line, no_log_is_fine);
    tcase_add_test(line, level_and_format_change_for_the_next_line);
    tcase_add_test(line, levels_have_names);
    tcase_add_test(line, message_is_formatted_escaped_and_cut);
    tcase_set_timeout(line, 60);
    tcase_add_test(sink, lines_of_many_threads_arrive_whole_and_in_order);
    tcase_add_loop_test(sink, blocked_sink_blocks_nobody_and_loses_only_what_is_counted, 0, 2);
    tcase_add_loop_test(sink, freeing_waits_a_second_for_a_stuck_sink_and_no_longer, 0, 2);
    tcase_add_test(sink, freeing_flushes_what_is_queued);
    tcase_add_test(sink, log_without_memory_is_null);
    tcase_add_test(sink, closed_sink_costs_the_lines_and_nothing_else);
    tcase_add_test(sink, torn_line_is_ended_before_the_next_one);
    tcase_add_test(sink, busy_writer_batches_lines);
    tcase_set_timeout(sink, 60);
    tcase_add_test(limit, limit_allows_burst_lines_per_second_and_tells_what_it_skipped);
    tcase_add_test(limit, limit_of_zero_allows_nothing_and_keeps_counting);
    suite_add_tcase(s, line);
    suite_add_tcase(s, sink);
    suite_add_tcase(s, limit);
    return s;
}

int main(void)
{
    return runner_main(log_suite());
}
