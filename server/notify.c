/* SPDX-License-Identifier: MIT */
#include "notify.h"
#include <errno.h>
#include <inttypes.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <unistd.h>

enum { LAST_WORDS_US = 5000000 }; /* to close everything after the deadline */

/* A connected socket; -1: no such socket, or none of a kind that is defined. */
static int connect_to(const char *path)
{
    struct sockaddr_un to = {.sun_family = AF_UNIX};
    size_t len = strlen(path);

    if ((path[0] != '/' && path[0] != '@') || len < 2 || len >= sizeof to.sun_path)
        return -1;
    memcpy(to.sun_path, path, len);
    if (path[0] == '@')
        to.sun_path[0] = '\0'; /* abstract: as long as it is, without an end */
    socklen_t size = (socklen_t)(offsetof(struct sockaddr_un, sun_path) + len);
    int fd = socket(AF_UNIX, SOCK_DGRAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);
    if (fd >= 0 && connect(fd, (struct sockaddr *)&to, size) != 0) {
        (void)close(fd);
        fd = -1;
    }
    return fd;
}

/* 0: absent, or not a number. */
static uint64_t number(const char *name)
{
    const char *text = getenv(name); // NOLINT(concurrency-mt-unsafe): before the first thread
    char *end;

    if (text == NULL || text[0] < '0' || text[0] > '9')
        return 0;
    errno = 0;
    unsigned long long value = strtoull(text, &end, 10);
    return errno != 0 || *end != '\0' ? 0 : value;
}

void notify_open(struct notify *n)
{
    // NOLINTBEGIN(concurrency-mt-unsafe): before the first thread
    const char *path = getenv("NOTIFY_SOCKET");
    uint64_t pid = number("WATCHDOG_PID");

    *n = (struct notify){.fd = path != NULL ? connect_to(path) : -1};
    if (n->fd >= 0 && (pid == 0 || pid == (uint64_t)getpid()))
        n->watchdog_us = number("WATCHDOG_USEC");
    (void)unsetenv("NOTIFY_SOCKET"); /* valid names: cannot fail */
    (void)unsetenv("WATCHDOG_USEC");
    (void)unsetenv("WATCHDOG_PID");
    // NOLINTEND(concurrency-mt-unsafe)
}

void notify_close(struct notify *n)
{
    if (n->fd >= 0)
        (void)close(n->fd);
    n->fd = -1;
}

__attribute__((format(printf, 2, 3))) static void tell(const struct notify *n,
                                                       const char *format, ...)
{
    char text[512];
    va_list args;

    if (n->fd < 0)
        return;
    va_start(args, format);
    int len = vsnprintf(text, sizeof text, format, args);
    va_end(args);
    if (len < 0)
        return;
    size_t size = (size_t)len < sizeof text ? (size_t)len : sizeof text - 1;
    (void)send(n->fd, text, size, MSG_NOSIGNAL); /* a full or vanished socket: not told */
}

void notify_ready(const struct notify *n)
{
    tell(n, "READY=1\nSTATUS=serving");
}

void notify_reloading(const struct notify *n, uint64_t now_us)
{
    tell(n, "RELOADING=1\nMONOTONIC_USEC=%" PRIu64 "\nSTATUS=reloading", now_us);
}

void notify_reload_failed(const struct notify *n, const char *why)
{
    tell(n, "READY=1\nSTATUS=serving; the last reload failed: %s", why);
}

void notify_stopping(const struct notify *n, uint32_t sessions, uint64_t left_us)
{
    tell(n, "STOPPING=1\nEXTEND_TIMEOUT_USEC=%" PRIu64 "\nSTATUS=draining %" PRIu32 " sessions",
         left_us + LAST_WORDS_US, sessions);
}

void notify_alive(struct notify *n, uint64_t now_us)
{
    if (n->watchdog_us == 0 || now_us - n->alive_us < n->watchdog_us / 2)
        return;
    n->alive_us = now_us;
    tell(n, "WATCHDOG=1");
}
