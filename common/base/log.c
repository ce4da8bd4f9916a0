/* SPDX-License-Identifier: MIT */
/* A line is formatted into the caller's log_line without a lock, without printf and without a
 * system call (the clock is read through the vDSO); log_end() hands it to the queue. A field
 * that does not fit cuts the line there: what follows is left out and the line still ends in
 * proper form. */
#include "base/log.h"
#include "base/check.h"
#include "base/log_queue.h"
#include <stdarg.h>
#include <stdatomic.h>
#include <string.h>
#include <time.h>

enum {
    TAIL_MAX = 16, /* ,"cut":1}\n */
    TEXT_LIMIT = LOG_LINE_MAX - TAIL_MAX,
    MESSAGE_MAX = 1024,
};

struct log {
    struct log_queue *queue;
    atomic_int level, format;
    atomic_uint_fast64_t
        date; /* days since 1970, year, month, day of the last line: see civil_date() */
};

struct log *log_new(int fd, enum log_format format, enum log_level level)
{
    struct log *l = malloc(sizeof *l);

    if (l == NULL)
        return NULL;
    l->queue = log_queue_new(fd);
    if (l->queue == NULL) {
        free(l);
        return NULL;
    }
    atomic_init(&l->level, (int)level);
    atomic_init(&l->format, (int)format);
    atomic_init(&l->date, 0);
    return l;
}

void log_free(struct log *l)
{
    if (l == NULL)
        return;
    log_queue_free(l->queue);
    free(l);
}

struct log_counts log_counts(const struct log *l)
{
    return log_queue_counts(l->queue);
}

void log_set_level(struct log *l, enum log_level level)
{
    atomic_store_explicit(&l->level, (int)level, memory_order_relaxed);
}

void log_set_format(struct log *l, enum log_format format)
{
    atomic_store_explicit(&l->format, (int)format, memory_order_relaxed);
}

const char *log_level_name(enum log_level level)
{
    static const char *const names[LOG_LEVEL_COUNT] = {
        [LOG_LEVEL_ERROR] = "error",
        [LOG_LEVEL_WARNING] = "warning",
        [LOG_LEVEL_INFO] = "info",
        [LOG_LEVEL_DEBUG] = "debug",
    };

    return level < LOG_LEVEL_COUNT ? names[level] : "unknown";
}

bool log_enabled(const struct log *log, enum log_level level)
{
    return log != NULL && (int)level <= atomic_load_explicit(&log->level, memory_order_relaxed);
}

/* False, and the line is cut here, when `len` more octets do not fit. */
static bool fits(struct log_line *line, size_t len)
{
    if (!line->cut && len > TEXT_LIMIT - line->len)
        line->cut = true;
    return !line->cut;
}

static void put(struct log_line *line, const char *text, size_t len)
{
    memcpy(line->text + line->len, text, len);
    line->len += len;
}

static void put_char(struct log_line *line, char c)
{
    line->text[line->len++] = c;
}

static size_t key_space(const struct log_line *line, size_t key_len)
{
    return key_len + (line->json ? strlen(",\"\":") : strlen(" ="));
}

static void put_key(struct log_line *line, const char *key, size_t key_len)
{
    if (line->json)
        put(line, ",\"", 2);
    else
        put_char(line, ' ');
    put(line, key, key_len);
    if (line->json)
        put(line, "\":", 2);
    else
        put_char(line, '=');
}

/* A value that is all or nothing: a number, a word of ours. */
static void put_plain(struct log_line *line, const char *key, const char *value, size_t len)
{
    size_t key_len;

    if (line->log == NULL)
        return;
    key_len = strlen(key);
    if (!fits(line, key_space(line, key_len) + len))
        return;
    put_key(line, key, key_len);
    put(line, value, len);
}

/* Decimal digits, right-aligned before `end`; returns the first. */
static char *digits(char *end, uint64_t value)
{
    do {
        *--end = (char)('0' + value % 10);
        value /= 10;
    } while (value != 0);
    return end;
}

static void put_padded(char *at, unsigned width, uint64_t value)
{
    while (width-- > 0) {
        at[width] = (char)('0' + value % 10);
        value /= 10;
    }
}

/* Year, month and day, packed. gmtime_r() takes a lock shared by the process, so its answer is
 * kept for the day; two threads that miss at midnight both store the same value. */
static uint64_t civil_date(struct log *l, time_t now)
{
    uint64_t days = (uint64_t)now / 86400;
    uint64_t date = atomic_load_explicit(&l->date, memory_order_relaxed);
    struct tm tm;

    if (date >> 32 == days && date != 0)
        return date;
    if (gmtime_r(&now, &tm) == NULL)
        return 0;
    date = days << 32 | ((uint64_t)tm.tm_year + 1900) << 16 | ((uint64_t)tm.tm_mon + 1) << 8 |
           (uint64_t)tm.tm_mday;
    atomic_store_explicit(&l->date, date, memory_order_relaxed);
    return date;
}

/* RFC 3339 UTC with microseconds: 27 octets. */
static void put_time(struct log_line *line)
{
    static const char shape[] = "0000-00-00T00:00:00.000000Z";
    char *at = line->text + line->len;
    struct timespec now;
    uint64_t date, second;

    (void)clock_gettime(CLOCK_REALTIME, &now); /* cannot fail for this clock */
    date = civil_date(line->log, now.tv_sec);
    second = (uint64_t)now.tv_sec % 86400;
    put(line, shape, sizeof shape - 1);
    put_padded(at, 4, date >> 16 & 0xffff);
    put_padded(at + 5, 2, date >> 8 & 0xff);
    put_padded(at + 8, 2, date & 0xff);
    put_padded(at + 11, 2, second / 3600);
    put_padded(at + 14, 2, second / 60 % 60);
    put_padded(at + 17, 2, second % 60);
    put_padded(at + 20, 6, (uint64_t)now.tv_nsec / 1000);
}

void log_begin(struct log_line *line, struct log *log, enum log_level level, const char *event)
{
    const char *name;

    line->len = 0;
    line->cut = false;
    line->log = log_enabled(log, level) ? log : NULL;
    if (line->log == NULL)
        return;
    line->json = atomic_load_explicit(&log->format, memory_order_relaxed) == LOG_FORMAT_JSON;
    if (line->json)
        put(line, "{\"time\":\"", 9);
    else
        put(line, "time=", 5);
    put_time(line);
    if (line->json)
        put_char(line, '"');
    name = log_level_name(level);
    log_text(line, "level", name, strlen(name));
    log_text(line, "event", event, strlen(event));
}

enum octet { OCTET_PLAIN, OCTET_QUOTED, OCTET_BACKSLASH, OCTET_HEX };

static enum octet classify(unsigned char c)
{
    if (c < 0x20 || c >= 0x7f)
        return OCTET_HEX;
    if (c == '"' || c == '\\')
        return OCTET_BACKSLASH;
    return c == ' ' || c == '=' ? OCTET_QUOTED : OCTET_PLAIN;
}

static size_t escape(char out[6], unsigned char c, bool json)
{
    static const char hex[] = "0123456789abcdef";
    size_t n = 0;

    switch (classify(c)) {
    case OCTET_HEX:
        out[n++] = '\\';
        out[n++] = json ? 'u' : 'x';
        if (json) {
            out[n++] = '0';
            out[n++] = '0';
        }
        out[n++] = hex[c >> 4];
        out[n++] = hex[c & 15];
        break;
    case OCTET_BACKSLASH:
        out[n++] = '\\';
        out[n++] = (char)c;
        break;
    case OCTET_PLAIN:
    case OCTET_QUOTED:
        out[n++] = (char)c;
        break;
    }
    return n;
}

/* In quotes; what does not fit is left out, never half an escape. */
static void put_quoted(struct log_line *line, const unsigned char *text, size_t len)
{
    put_char(line, '"');
    for (size_t i = 0; i < len; i++) {
        char out[6];
        size_t n = escape(out, text[i], line->json);

        if (!fits(line, n + 1))
            break;
        put(line, out, n);
    }
    put_char(line, '"');
}

void log_text(struct log_line *line, const char *key, const void *ptr, size_t len)
{
    const unsigned char *text = ptr;
    size_t key_len, plain = 0;

    if (line->log == NULL)
        return;
    key_len = strlen(key);
    if (!fits(line, key_space(line, key_len) + 2))
        return;
    while (plain < len && classify(text[plain]) == OCTET_PLAIN)
        plain++;
    put_key(line, key, key_len);
    /* A bare "-" is the absent value. */
    if (!line->json && plain == len && len > 0 && len <= TEXT_LIMIT - line->len &&
        !(len == 1 && text[0] == '-'))
        put(line, ptr, len);
    else
        put_quoted(line, text, len);
}

void log_str(struct log_line *line, const char *key, const char *value)
{
    if (line->log == NULL)
        return;
    if (value != NULL)
        log_text(line, key, value, strlen(value));
    else if (line->json)
        put_plain(line, key, "null", 4);
    else
        put_plain(line, key, "-", 1);
}

void log_u64(struct log_line *line, const char *key, uint64_t value)
{
    char buf[20];
    char *at = digits(buf + sizeof buf, value);

    put_plain(line, key, at, (size_t)(buf + sizeof buf - at));
}

void log_i64(struct log_line *line, const char *key, int64_t value)
{
    char buf[20];
    char *at = digits(buf + sizeof buf, value < 0 ? 0 - (uint64_t)value : (uint64_t)value);

    if (value < 0)
        *--at = '-';
    put_plain(line, key, at, (size_t)(buf + sizeof buf - at));
}

void log_seconds(struct log_line *line, const char *key, uint64_t us)
{
    char buf[21];
    char *at = digits(buf + sizeof buf - 7, us / 1000000);

    buf[sizeof buf - 7] = '.';
    put_padded(buf + sizeof buf - 6, 6, us % 1000000);
    put_plain(line, key, at, (size_t)(buf + sizeof buf - at));
}

void log_end(struct log_line *line)
{
    struct log *l = line->log;

    if (l == NULL)
        return;
    if (line->cut && line->json)
        put(line, ",\"cut\":1", 8);
    else if (line->cut)
        put(line, " cut=1", 6);
    if (line->json)
        put_char(line, '}');
    put_char(line, '\n');
    log_queue_put(l->queue, line->text, line->len);
    line->log = NULL; /* a second log_end() does nothing */
}

void log_message(struct log *log, enum log_level level, const char *event, const char *format,
                 ...)
{
    struct log_line line;
    char text[MESSAGE_MAX];
    va_list args;
    int n;

    log_begin(&line, log, level, event);
    if (line.log == NULL)
        return;
    va_start(args, format);
    n = vsnprintf(text, sizeof text, format, args);
    va_end(args);
    log_text(&line, "message", text, n < 0 ? 0 : strlen(text));
    if (n >= (int)sizeof text)
        line.cut = true;
    log_end(&line);
}

bool log_limit_take(struct log_limit *lim, uint32_t burst, uint64_t now_ms,
                    uint32_t *suppressed)
{
    *suppressed = 0;
    if (now_ms - lim->window_start_ms >= 1000) {
        lim->window_start_ms = now_ms;
        lim->used = 0;
    }
    if (lim->used >= burst) {
        if (lim->suppressed < UINT32_MAX)
            lim->suppressed++;
        return false;
    }
    lim->used++;
    *suppressed = lim->suppressed;
    lim->suppressed = 0;
    return true;
}
