/* SPDX-License-Identifier: MIT */
/* target - what a client asked for: an address or a validated host name, and a port. A value; no allocation. */
#ifndef WIRE_TARGET_H
#define WIRE_TARGET_H
#include "wire/addr.h"
#include "wire/bytes.h"

enum { TARGET_NAME_MAX = 255 };
/* "name:65535" and its NUL fit, and every addr_print() output. */
enum { TARGET_TEXT_MAX = TARGET_NAME_MAX + 7 };

struct target {
    struct addr addr;               /* family ADDR_NONE: the name counts. Carries no port. */
    uint16_t port;                  /* host order; may be 0 where the protocol allows it */
    uint8_t name_len;               /* 0: the address counts */
    char name[TARGET_NAME_MAX + 1]; /* NUL-terminated, no NUL inside, no trailing dot, only [0-9A-Za-z._-] */
};

struct target target_from_addr(const struct addr *a); /* v4-mapped addresses become IPv4; the port is a->port */

/* `host` as peers send it: a literal (also in []) becomes an address, a trailing dot is cut. False: empty, longer than 255, a
 * NUL or any octet outside [0-9A-Za-z._-] (and not a literal), a label empty or over 63; *out untouched. */
bool target_from_host(struct span host, uint16_t port, struct target *out);

bool target_is_name(const struct target *t);
bool target_equal(const struct target *a, const struct target *b); /* names compare without case */

/* "192.0.2.1:80", "[2001:db8::1]:80", "name:80". NUL-terminated when cap > 0. Returns buf. */
const char *target_print(const struct target *t, char *buf, size_t cap);

#endif
