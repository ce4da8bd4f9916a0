/* SPDX-License-Identifier: MIT */
/* addr - an IPv4 or IPv6 address with a port, as a value. Parse, print, compare, prefixes and address classes.
 * Pure functions; no allocation. Ports are host order everywhere, addresses are octets in network order. */
#ifndef WIRE_ADDR_H
#define WIRE_ADDR_H
#include <netinet/in.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <sys/socket.h>

enum addr_family {
    ADDR_NONE = 0,
    ADDR_IPV4 = 4,
    ADDR_IPV6 = 6,
};

struct addr {
    uint8_t family;  /* enum addr_family */
    uint8_t ip[16];  /* IPv4 uses ip[0..3], the rest is zero */
    uint16_t port;   /* host order */
    uint32_t scope;  /* IPv6 scope id (interface index), else 0 */
};

/* "[2001:db8::1]:65535%4294967295" and its NUL fit. */
enum { ADDR_TEXT_MAX = 80 };

/* The kinds the ACL treats specially, most specific first. */
/* clang-format off */
#define ADDR_CLASS_MAP(X)          \
    X(GLOBAL,      "global")       \
    X(UNSPECIFIED, "unspecified")  /* 0.0.0.0/8, :: */                                     \
    X(LOOPBACK,    "loopback")     /* 127.0.0.0/8, ::1 */                                  \
    X(PRIVATE,     "private")      /* RFC 1918, fc00::/7, fec0::/10 */                     \
    X(SHARED,      "shared")       /* 100.64.0.0/10, RFC 6598 */                           \
    X(LINK_LOCAL,  "link_local")   /* 169.254.0.0/16, fe80::/10 */                         \
    X(METADATA,    "metadata")     /* 169.254.169.254, fd00:ec2::254, and their like */    \
    X(MULTICAST,   "multicast")    /* 224.0.0.0/4, ff00::/8 */                             \
    X(BROADCAST,   "broadcast")    /* 255.255.255.255 and 240.0.0.0/4 */
/* clang-format on */
enum addr_class {
#define X(name, text) ADDR_CLASS_##name,
    ADDR_CLASS_MAP(X)
#undef X
    ADDR_CLASS_COUNT
};

struct prefix {
    struct addr base; /* port and scope are zero, host bits are zero */
    uint8_t bits;     /* 0..32 or 0..128 */
};

/* False for families other than AF_INET and AF_INET6 or a too short `len`; then `out` is untouched. */
bool addr_from_sockaddr(const struct sockaddr *sa, socklen_t len, struct addr *out);

/* Returns the length to pass to the kernel; 0 when a->family is ADDR_NONE. */
socklen_t addr_to_sockaddr(const struct addr *a, struct sockaddr_storage *out);

struct addr addr_ipv4(const uint8_t ip[4], uint16_t port);
struct addr addr_ipv6(const uint8_t ip[16], uint16_t port);

/* A literal without port: "192.0.2.1", "2001:db8::1", "[2001:db8::1]", "fe80::1%2" (numeric scope). The text need not be
 * NUL-terminated. port in *out becomes 0. False: not a literal, *out untouched. */
bool addr_parse_ip(const char *text, size_t len, struct addr *out);

/* "192.0.2.1:80", "[2001:db8::1]:80"; NUL-terminated. The port is required and may be 0. False: *out untouched. */
bool addr_parse(const char *text, struct addr *out);

/* Writes "192.0.2.1:80" / "[2001:db8::1]:80" (addr_print) or the bare address (addr_print_ip); always NUL-terminates when
 * cap > 0. "-" for ADDR_NONE. Returns `buf`. */
const char *addr_print(const struct addr *a, char *buf, size_t cap);
const char *addr_print_ip(const struct addr *a, char *buf, size_t cap);

bool addr_equal(const struct addr *a, const struct addr *b);    /* address, port and scope */
bool addr_equal_ip(const struct addr *a, const struct addr *b); /* address only */

/* ::ffff:0:0/96 becomes IPv4 (port kept); anything else is returned unchanged. */
struct addr addr_unmap(struct addr a);
/* The reverse: IPv4 becomes ::ffff:a.b.c.d; anything else is returned unchanged. */
struct addr addr_map(struct addr a);

/* The IPv4 address that packets to `a` may end up at: v4-mapped, v4-compatible, 6to4 (2002::/16), NAT64 (64:ff9b::/96 and
 * 64:ff9b:1::/48, RFC 6052 and RFC 8215), Teredo (2001::/32; `n` 0 = server, 1 = client). False when there is no n-th one. */
bool addr_embedded_ipv4(const struct addr *a, unsigned n, struct addr *out);

/* The class of the address itself (v4-mapped counts as IPv4). Does not unwrap tunnels: see addr_embedded_ipv4. */
enum addr_class addr_class(const struct addr *a);
const char *addr_class_name(enum addr_class c);

/* "192.0.2.0/24", "2001:db8::/32", or a bare address for a full-length prefix. Host bits must be zero. False: *out untouched. */
bool prefix_parse(const char *text, struct prefix *out);
/* A v4-mapped address matches IPv4 prefixes. */
bool prefix_contains(const struct prefix *p, const struct addr *a);
/* `a` cut to `bits`; port and scope zero. bits above the family's length count as the full length. */
struct addr addr_mask(const struct addr *a, unsigned bits);

#endif
