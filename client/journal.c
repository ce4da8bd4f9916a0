/* SPDX-License-Identifier: MIT */
#include "journal.h"
#include "settings_text.h"
#include "sys.h"
#include <errno.h>
#include <fcntl.h>
#include <time.h>

enum { COMM_MAX = 17, LINE_ROOM = 508 }; /* the mark of a cut line and its end fit behind */

static struct text tail(struct journal *j)
{
    return (struct text){.buf = j->text, .cap = LINE_ROOM, .len = j->len};
}

static void key(struct text *t, const char *name)
{
    text_add_octet(t, ' ');
    text_add(t, name);
    text_add_octet(t, '=');
}

static void padded(struct text *t, long n, long from)
{
    for (; from > 0; from /= 10)
        text_add_octet(t, (char)('0' + n / from % 10));
}

static void program_name(struct text *t)
{
    char comm[COMM_MAX];
    int fd = sys_open("/proc/self/comm", O_RDONLY | O_CLOEXEC, 0);
    ssize_t n = fd < 0 ? 0 : sys_read(fd, comm, sizeof comm - 1);

    if (fd >= 0)
        (void)sys_close(fd);
    if (n > 0 && comm[n - 1] == '\n')
        n--;
    comm[n > 0 ? n : 0] = '\0';
    text_add_octet(t, '"');
    for (char *c = comm; *c != '\0'; c++) {
        if (*c == '"' || *c == '\\')
            text_add_octet(t, '\\');
        char one[2] = {*c, '\0'};
        text_add_printable(t, one);
    }
    text_add_octet(t, '"');
}

void journal_begin(struct journal *j, const char *event)
{
    struct timespec now = {0};
    struct text t = text_into(j->text, LINE_ROOM);

    (void)clock_gettime(CLOCK_REALTIME, &now);
    text_add(&t, "ts=");
    text_add_number(&t, (unsigned long)now.tv_sec);
    text_add_octet(&t, '.');
    padded(&t, now.tv_nsec / 1000, 100000);
    key(&t, "pid");
    text_add_number(&t, (unsigned long)sys_pid());
    key(&t, "program");
    program_name(&t);
    key(&t, "event");
    text_add(&t, event);
    j->len = t.len;
}

void journal_text(struct journal *j, const char *name, const char *value)
{
    struct text t = tail(j);

    key(&t, name);
    text_add_octet(&t, '"');
    for (; *value != '\0'; value++) {
        char one[2] = {*value, '\0'};
        if (*value == '"' || *value == '\\')
            text_add_octet(&t, '\\');
        text_add_printable(&t, one);
    }
    text_add_octet(&t, '"');
    j->len = t.len;
}

void journal_number(struct journal *j, const char *name, long value)
{
    struct text t = tail(j);

    key(&t, name);
    if (value < 0)
        text_add_octet(&t, '-');
    text_add_number(&t, value < 0 ? 0UL - (unsigned long)value : (unsigned long)value);
    j->len = t.len;
}

void journal_addr(struct journal *j, const char *name, const struct addr *a)
{
    char text[ADDR_TEXT_MAX];
    struct text t = tail(j);

    key(&t, name);
    text_add(&t, addr_print(a, text, sizeof text));
    j->len = t.len;
}

/* strerrorname_np() would do, but glibc has it only since 2.32 and musl not at all. */
void journal_errno(struct journal *j, const char *name, int error)
{
    static const struct {
        int error;
        const char *name;
    } names[] = {
        {0, "0"},
        {EACCES, "EACCES"},
        {EADDRINUSE, "EADDRINUSE"},
        {EADDRNOTAVAIL, "EADDRNOTAVAIL"},
        {EAFNOSUPPORT, "EAFNOSUPPORT"},
        {EAGAIN, "EAGAIN"},
        {EBADF, "EBADF"},
        {ECONNABORTED, "ECONNABORTED"},
        {ECONNREFUSED, "ECONNREFUSED"},
        {ECONNRESET, "ECONNRESET"},
        {EHOSTDOWN, "EHOSTDOWN"},
        {EHOSTUNREACH, "EHOSTUNREACH"},
        {EINTR, "EINTR"},
        {EINVAL, "EINVAL"},
        {EMFILE, "EMFILE"},
        {ENETDOWN, "ENETDOWN"},
        {ENETUNREACH, "ENETUNREACH"},
        {ENFILE, "ENFILE"},
        {ENOBUFS, "ENOBUFS"},
        {ENOMEM, "ENOMEM"},
        {ENOPROTOOPT, "ENOPROTOOPT"},
        {EOPNOTSUPP, "EOPNOTSUPP"},
        {EPERM, "EPERM"},
        {EPIPE, "EPIPE"},
        {EPROTO, "EPROTO"},
        {ESTALE, "ESTALE"},
        {ETIMEDOUT, "ETIMEDOUT"},
    };

    for (size_t i = 0; i < sizeof names / sizeof names[0]; i++) {
        if (names[i].error == error) {
            struct text t = tail(j);
            key(&t, name);
            text_add(&t, names[i].name);
            j->len = t.len;
            return;
        }
    }
    journal_number(j, name, error);
}

void journal_end(struct journal *j, const char *path)
{
    int fd;

    if (*path == '\0')
        return;
    if (j->len >= LINE_ROOM - 1) {
        j->text[j->len++] = '.';
        j->text[j->len++] = '.';
    }
    j->text[j->len++] = '\n';
    fd =
        sys_open(path, O_WRONLY | O_CREAT | O_APPEND | O_CLOEXEC | O_NOCTTY | O_NONBLOCK, 0600);
    if (fd < 0)
        return;
    (void)sys_write(fd, j->text, j->len);
    (void)sys_close(fd);
}
