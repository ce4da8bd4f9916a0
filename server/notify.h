/* SPDX-License-Identifier: MIT */
/* notify - tells the service manager how the daemon is: the datagrams of sd_notify(3), to the
 * socket that $NOTIFY_SOCKET names. Main thread only. No I/O but that socket's; it never
 * blocks, and what cannot be told is not.
 *
 * Not libsystemd: the protocol is one promised to be stable, and hosts without systemd
 * (OpenWrt) have no such library, while their supervisors may speak it. */
#ifndef SERVER_NOTIFY_H
#define SERVER_NOTIFY_H
#include <stdbool.h>
#include <stdint.h>

struct notify {
    int fd;               /* -1: nobody wants to know */
    uint64_t watchdog_us; /* a sign of life is wanted as often; 0: none is */
    uint64_t alive_us;    /* the last one, monotonic */
};

/* Reads NOTIFY_SOCKET, WATCHDOG_USEC and WATCHDOG_PID and takes them out of the environment:
 * before the first thread. A value that does not hold counts as none. */
void notify_open(struct notify *n);
void notify_close(struct notify *n);

void notify_ready(const struct notify *n); /* after the start, and after each reload */
/* `now_us`: CLOCK_MONOTONIC, which notify-reload(systemd.service(5)) wants to see. */
void notify_reloading(const struct notify *n, uint64_t now_us);
/* No reload after all: `why` in one line. */
void notify_reload_failed(const struct notify *n, const char *why);
/* `sessions` still live; the end is at most `left_us` away. */
void notify_stopping(const struct notify *n, uint32_t sessions, uint64_t left_us);
/* A sign of life when one is due, which is at half of the time. To be called often, and only
 * while all is well. */
void notify_alive(struct notify *n, uint64_t now_us);

#endif
