/* SPDX-License-Identifier: MIT */
/* A line is logfmt. A text that is not plain is quoted, its quotes, backslashes, control octets
 * and what is not ASCII escaped, so that nobody's name for a thing can forge a line. */
#include "journal.h"
#include "sys.h"
#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <string.h>
#include <sys/prctl.h>
#include <sys/syscall.h>
#include <time.h>

#define CUT_MARK " cut=1"
enum {
    MARK_LEN = sizeof CUT_MARK - 1,
    BODY_MAX = sizeof((struct journal *)0)->text - MARK_LEN - 2, /* '"' and '\n' */
    NUMBER_MAX = 24,
    DAY_S = 86400,
};

static void put(struct journal *j, const char *text, size_t len)
{
    memcpy(j->text + j->len, text, len);
    j->len += len;
}

static void mark(struct journal *j)
{
    put(j, CUT_MARK, MARK_LEN);
    j->cut = true;
}

/* " key=" and room for `more`; false: the line is full, and says so. */
static bool begin_field(struct journal *j, const char *key, size_t more)
{
    size_t key_len = strlen(key), space = j->len > 0 ? 1 : 0;
    size_t left = j->len < BODY_MAX ? BODY_MAX - j->len : 0;

    if (j->cut)
        return false;
    if (space + key_len + 1 + more > left) {
        mark(j);
        return false;
    }
    if (space != 0)
        put(j, " ", 1);
    put(j, key, key_len);
    put(j, "=", 1);
    return true;
}

static void put_field(struct journal *j, const char *key, const char *value)
{
    if (begin_field(j, key, strlen(value)))
        put(j, value, strlen(value));
}

static bool is_plain(const char *value)
{
    static const char plain[] = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789"
                                "._:/@%+,[]-";

    return *value != '\0' && value[strspn(value, plain)] == '\0';
}

static size_t escape(unsigned char c, char out[4])
{
    static const char hex[] = "0123456789abcdef";

    if (c >= 0x20 && c < 0x7F && c != '"' && c != '\\') {
        out[0] = (char)c;
        return 1;
    }
    out[0] = '\\';
    if (c == '"' || c == '\\') {
        out[1] = (char)c;
        return 2;
    }
    out[1] = 'x';
    out[2] = hex[c >> 4];
    out[3] = hex[c & 15];
    return 4;
}

void journal_text(struct journal *j, const char *key, const char *value)
{
    bool quoted = value != NULL && !is_plain(value);

    if (value == NULL)
        value = "-";
    if (!begin_field(j, key, quoted ? 1 : 0))
        return;
    if (quoted)
        put(j, "\"", 1);
    for (; *value != '\0'; value++) {
        char unit[4];
        size_t len = escape((unsigned char)*value, unit);

        if (len > BODY_MAX - j->len)
            break;
        put(j, unit, len);
    }
    if (quoted)
        put(j, "\"", 1); /* has its own octet behind BODY_MAX */
    if (*value != '\0')
        mark(j);
}

/* At least `width` digits; returns where they begin. */
static const char *digits(unsigned long value, unsigned width, char buf[NUMBER_MAX])
{
    size_t at = NUMBER_MAX;

    buf[--at] = '\0';
    do {
        buf[--at] = (char)('0' + value % 10);
        value /= 10;
    } while (value > 0 || NUMBER_MAX - 1 - at < width);
    return buf + at;
}

void journal_number(struct journal *j, const char *key, long value)
{
    char buf[NUMBER_MAX], text[NUMBER_MAX + 1];
    unsigned long size = value < 0 ? 0UL - (unsigned long)value : (unsigned long)value;
    const char *number = digits(size, 1, buf);
    size_t len = strlen(number);

    text[0] = '-';
    memcpy(text + 1, number, len);
    text[1 + len] = '\0';
    put_field(j, key, value < 0 ? text : text + 1);
}

void journal_addr(struct journal *j, const char *key, const struct addr *a)
{
    char text[ADDR_TEXT_MAX];

    put_field(j, key, addr_print(a, text, sizeof text));
}

/* What sockets, files and the shim itself give. strerrorname_np() is glibc's alone. */
static const char *errno_name(int error)
{
    static const struct {
        int number;
        const char *name;
    } names[] = {
#define ROW(name) {name, #name},
        ROW(EPERM) ROW(ENOENT) ROW(EINTR) ROW(EIO) ROW(ENXIO) ROW(EBADF) ROW(EAGAIN) ROW(ENOMEM)
            ROW(EACCES) ROW(EFAULT) ROW(EBUSY) ROW(EEXIST) ROW(ENODEV) ROW(ENOTDIR) ROW(EISDIR)
                ROW(EINVAL) ROW(ENFILE) ROW(EMFILE) ROW(EFBIG) ROW(ENOSPC) ROW(EROFS) ROW(EPIPE)
                    ROW(ERANGE) ROW(ENOSYS) ROW(ELOOP) ROW(EPROTO) ROW(EBADMSG) ROW(EOVERFLOW)
                        ROW(ENOTSOCK) ROW(EDESTADDRREQ) ROW(EMSGSIZE) ROW(EPROTOTYPE)
                            ROW(ENOPROTOOPT) ROW(EPROTONOSUPPORT) ROW(ESOCKTNOSUPPORT) ROW(
                                EOPNOTSUPP) ROW(EPFNOSUPPORT) ROW(EAFNOSUPPORT) ROW(EADDRINUSE)
                                ROW(EADDRNOTAVAIL) ROW(ENETDOWN) ROW(ENETUNREACH) ROW(ENETRESET)
                                    ROW(ECONNABORTED) ROW(ECONNRESET) ROW(ENOBUFS) ROW(EISCONN)
                                        ROW(ENOTCONN) ROW(ESHUTDOWN) ROW(ETIMEDOUT)
                                            ROW(ECONNREFUSED) ROW(EHOSTDOWN) ROW(EHOSTUNREACH)
                                                ROW(EALREADY) ROW(EINPROGRESS) ROW(ECANCELED)
#undef ROW
    };

    for (size_t i = 0; i < sizeof names / sizeof names[0]; i++) {
        if (names[i].number == error)
            return names[i].name;
    }
    return NULL;
}

void journal_errno(struct journal *j, const char *key, int error)
{
    const char *name = errno_name(error < 0 && error > -4096 ? -error : error);

    if (name != NULL)
        put_field(j, key, name);
    else
        journal_number(j, key, error);
}

static char *put_digits(char *at, unsigned long value, unsigned width)
{
    char buf[NUMBER_MAX];

    for (const char *c = digits(value, width, buf); *c != '\0'; c++)
        *at++ = *c;
    return at;
}

/* "2026-02-28T12:34:56.789Z"; gmtime() may take locks. Years are counted from March on, so that
 * a leap day is a year's last one. */
static void print_time(const struct timespec *now, char out[40])
{
    unsigned long seconds = now->tv_sec > 0 ? (unsigned long)now->tv_sec : 0;
    unsigned long day = seconds / DAY_S + 719468, second = seconds % DAY_S;
    unsigned long era = day / 146097, of_era = day % 146097;
    unsigned long year = (of_era - of_era / 1460 + of_era / 36524 - of_era / 146096) / 365;
    unsigned long of_year = of_era - (365 * year + year / 4 - year / 100);
    unsigned long from_march = (5 * of_year + 2) / 153;
    unsigned long month = from_march < 10 ? from_march + 3 : from_march - 9;
    const struct {
        unsigned long value;
        unsigned width;
        char after;
    } parts[] = {
        {year + era * 400 + (month <= 2 ? 1 : 0), 4, '-'},
        {month, 2, '-'},
        {of_year - (153 * from_march + 2) / 5 + 1, 2, 'T'},
        {second / 3600, 2, ':'},
        {second / 60 % 60, 2, ':'},
        {second % 60, 2, '.'},
        {(unsigned long)now->tv_nsec / 1000000, 3, 'Z'},
    };

    for (size_t i = 0; i < sizeof parts / sizeof parts[0]; i++) {
        out = put_digits(out, parts[i].value, parts[i].width);
        *out++ = parts[i].after;
    }
    *out = '\0';
}

void journal_begin(struct journal *j, const char *event)
{
    struct timespec now = {0, 0};
    char when[40], comm[17] = "";

    (void)sys_call(SYS_clock_gettime, CLOCK_REALTIME, (long)(uintptr_t)&now, 0, 0, 0, 0);
    (void)sys_call(SYS_prctl, PR_GET_NAME, (long)(uintptr_t)comm, 0, 0, 0, 0);
    j->len = 0;
    j->cut = false;
    print_time(&now, when);
    put_field(j, "time", when);
    journal_number(j, "pid", sys_pid());
    journal_text(j, "comm", comm);
    journal_text(j, "event", event);
}

/* The kernel's: one bit per signal from 1 on. */
static uint64_t signal_bit(int number)
{
    return UINT64_C(1) << (number - 1);
}

static long mask_signals(int how, const uint64_t *set, uint64_t *old)
{
    return sys_call(SYS_rt_sigprocmask, how, (long)(uintptr_t)set, (long)(uintptr_t)old,
                    sizeof *set, 0, 0);
}

/* A pipe whose reader left and a file at its limit send the thread a signal that would end the
 * program: it is held back, and taken away again unless it was there before. */
static void write_quietly(int fd, const char *text, size_t len)
{
    const uint64_t ours = signal_bit(SIGPIPE) | signal_bit(SIGXFSZ);
    uint64_t before = 0, pending = 0;

    if (mask_signals(SIG_BLOCK, &ours, &before) < 0)
        return;
    (void)sys_call(SYS_rt_sigpending, (long)(uintptr_t)&pending, sizeof pending, 0, 0, 0, 0);
    long n =
        sys_write(fd, text, len); /* once: the rest of a cut write would be a line itself */
    uint64_t raised = n == -EPIPE ? signal_bit(SIGPIPE) : n == -EFBIG ? signal_bit(SIGXFSZ) : 0;

    if (raised != 0 && (pending & raised) == 0) {
        struct timespec none = {0, 0};

        (void)sys_call(SYS_rt_sigtimedwait, (long)(uintptr_t)&raised, 0, (long)(uintptr_t)&none,
                       sizeof raised, 0, 0);
    }
    (void)mask_signals(SIG_SETMASK, &before, NULL);
}

void journal_end(struct journal *j, const char *path)
{
    /* O_NONBLOCK: a FIFO without a reader is no log. */
    const int flags = O_WRONLY | O_APPEND | O_CREAT | O_CLOEXEC | O_NOCTTY | O_NONBLOCK;

    if (path == NULL || path[0] == '\0')
        return;
    int fd = sys_open(path, flags, 0600);
    if (fd < 0)
        return;
    j->text[j->len] = '\n';
    write_quietly(fd, j->text, j->len + 1);
    (void)sys_close(fd); /* it is a log */
}
