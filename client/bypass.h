/* SPDX-License-Identifier: MIT */
/* bypass - destinations that are left alone: networks, each with a port or with all. A value;
 * no allocation, no errno; any thread. */
#ifndef CLIENT_BYPASS_H
#define CLIENT_BYPASS_H
#include "wire/addr.h"
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

enum { BYPASS_MAX = 128 };

struct bypass {
    struct {
        struct prefix net;
        uint16_t port; /* 0: every port */
    } entry[BYPASS_MAX];
    uint16_t count;
};

/* 127.0.0.0/8, ::1, 169.254.0.0/16, fe80::/10, and what can only be this host: 0.0.0.0/8, ::.
 */
void bypass_default(struct bypass *b);
/* One "CIDR", "CIDR:port", "[CIDR]:port" or bare address. False: not one, or no room; *b
 * untouched. */
bool bypass_add(struct bypass *b, const char *text, size_t len);
bool bypass_add_address(struct bypass *b, const struct addr *a); /* that address and port */
/* The networks of this host's interfaces (rtnetlink through raw system calls). Number added, or
 * -errno. */
int bypass_add_local(struct bypass *b);
/* A v4-mapped address matches IPv4 networks. */
bool bypass_has(const struct bypass *b, const struct addr *a);
/* Comma-separated, as bypass_add() takes it; returns `text`, NUL-terminated, cut at `cap`. */
const char *bypass_print(const struct bypass *b, char *text, size_t cap);

#endif
