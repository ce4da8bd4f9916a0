/* SPDX-License-Identifier: MIT */
/* log - one line per event, logfmt or JSON, to stderr or a file descriptor. Any thread.
 * A line is built in the caller's `struct log_line`, then queued; a writer thread does the I/O,
 * so a blocked sink never blocks a loop. The queue is bounded: what does not fit is dropped and
 * counted. What a peer can trigger goes through a `struct log_limit`. Peer text is quoted and
 * escaped (control octets, quotes, backslash, non-ASCII as \xNN). */
#ifndef BASE_LOG_H
#define BASE_LOG_H
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

enum log_level {
    LOG_LEVEL_ERROR,
    LOG_LEVEL_WARNING,
    LOG_LEVEL_INFO,
    LOG_LEVEL_DEBUG,
    LOG_LEVEL_COUNT
};
enum log_format { LOG_FORMAT_LOGFMT, LOG_FORMAT_JSON };
enum {
    LOG_LINE_MAX = 2048,
    LOG_QUEUE_MAX = 1 << 20
}; /* octets; a longer line is cut, and says so with cut=1 */

struct log;
struct log_counts {
    uint64_t written, dropped, queued_bytes;
};

/* `fd` is borrowed. Starts the writer thread. NULL: out of memory or no thread. */
struct log *log_new(int fd, enum log_format format, enum log_level level);
void log_free(struct log *l); /* flushes for at most one second; NULL is fine */
void log_set_level(struct log *l, enum log_level level); /* any thread */
void log_set_format(struct log *l, enum log_format format);
struct log_counts log_counts(const struct log *l);
const char *log_level_name(enum log_level level);

struct log_line {
    struct log *log; /* NULL: this level is off, every call below does nothing */
    size_t len;
    bool json, cut;
    char text[LOG_LINE_MAX];
};

/* `log` may be NULL. Keys are our own literals: [a-z_]+. Writes time=, level= and event= first.
 */
void log_begin(struct log_line *line, struct log *log, enum log_level level, const char *event);
bool log_enabled(const struct log *log, enum log_level level);
void log_str(struct log_line *line, const char *key,
             const char *value); /* escaped; NULL prints as - (JSON null) */
void log_text(struct log_line *line, const char *key, const void *ptr,
              size_t len); /* the same for counted text */
void log_u64(struct log_line *line, const char *key, uint64_t value);
void log_i64(struct log_line *line, const char *key, int64_t value);
void log_seconds(struct log_line *line, const char *key,
                 uint64_t us); /* microseconds as 1.234567 */
void log_end(struct log_line *line);

/* A whole line: event and one message. */
void log_message(struct log *log, enum log_level level, const char *event, const char *format,
                 ...) __attribute__((format(printf, 4, 5)));

/* At most `burst` lines per second; false: skip it. After a quiet second *suppressed says how
 * many were skipped (the caller logs that number with the line it was allowed). One thread per
 * limit. `now_ms` is any monotonic clock. */
struct log_limit {
    uint64_t window_start_ms;
    uint32_t used, suppressed;
};
bool log_limit_take(struct log_limit *lim, uint32_t burst, uint64_t now_ms,
                    uint32_t *suppressed);

#endif
