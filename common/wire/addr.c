/* SPDX-License-Identifier: MIT */
#include "wire/addr.h"
#include "wire/bytes.h"
#include <arpa/inet.h>

enum {
    IPV4_LEN = 4,
    IPV6_LEN = 16,
    MAPPED_LEN = 12, /* of ::ffff:0:0/96 */
};

static const uint8_t mapped_prefix[MAPPED_LEN] = {0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0xFF, 0xFF};

static unsigned family_bits(uint8_t family)
{
    return family == ADDR_IPV4 ? 32 : family == ADDR_IPV6 ? 128 : 0;
}

bool addr_from_sockaddr(const struct sockaddr *sa, socklen_t len, struct addr *out)
{
    if (sa == NULL || len < sizeof(sa_family_t))
        return false;
    if (sa->sa_family == AF_INET && len >= sizeof(struct sockaddr_in)) {
        struct sockaddr_in in4;

        memcpy(&in4, sa, sizeof in4); /* the caller's storage may be a byte buffer */
        *out = addr_ipv4((const uint8_t *)&in4.sin_addr, ntohs(in4.sin_port));
        return true;
    }
    if (sa->sa_family == AF_INET6 && len >= sizeof(struct sockaddr_in6)) {
        struct sockaddr_in6 in6;

        memcpy(&in6, sa, sizeof in6);
        *out = addr_ipv6((const uint8_t *)&in6.sin6_addr, ntohs(in6.sin6_port));
        out->scope = in6.sin6_scope_id;
        return true;
    }
    return false;
}

socklen_t addr_to_sockaddr(const struct addr *a, struct sockaddr_storage *out)
{
    memset(out, 0, sizeof *out);
    if (a->family == ADDR_IPV4) {
        struct sockaddr_in in4 = {.sin_family = AF_INET, .sin_port = htons(a->port)};

        memcpy(&in4.sin_addr, a->ip, IPV4_LEN);
        memcpy(out, &in4, sizeof in4);
        return sizeof in4;
    }
    if (a->family == ADDR_IPV6) {
        struct sockaddr_in6 in6 = {
            .sin6_family = AF_INET6, .sin6_port = htons(a->port), .sin6_scope_id = a->scope};

        memcpy(&in6.sin6_addr, a->ip, IPV6_LEN);
        memcpy(out, &in6, sizeof in6);
        return sizeof in6;
    }
    return 0;
}

struct addr addr_ipv4(const uint8_t ip[4], uint16_t port)
{
    struct addr a = {.family = ADDR_IPV4, .port = port};

    memcpy(a.ip, ip, IPV4_LEN);
    return a;
}

struct addr addr_ipv6(const uint8_t ip[16], uint16_t port)
{
    struct addr a = {.family = ADDR_IPV6, .port = port};

    memcpy(a.ip, ip, IPV6_LEN);
    return a;
}

/* All of text[0..len) is a decimal number, at most `max`. */
static bool parse_number(const char *text, size_t len, uint32_t max, uint32_t *out)
{
    uint64_t value = 0;

    if (len == 0 || len > 10)
        return false;
    for (size_t i = 0; i < len; i++) {
        if (text[i] < '0' || text[i] > '9')
            return false;
        value = value * 10 + (uint64_t)(text[i] - '0');
    }
    if (value > max)
        return false;
    *out = (uint32_t)value;
    return true;
}

/* inet_pton() for text without a NUL. */
static bool parse_octets(int af, const char *text, size_t len, uint8_t *out)
{
    char copy[INET6_ADDRSTRLEN];

    if (len >= sizeof copy || memchr(text, 0, len) != NULL)
        return false;
    memcpy(copy, text, len);
    copy[len] = 0;
    return inet_pton(af, copy, out) == 1;
}

bool addr_parse_ip(const char *text, size_t len, struct addr *out)
{
    uint8_t ip[IPV6_LEN];
    uint32_t scope = 0;

    if (len == 0)
        return false;
    if (memchr(text, ':', len) == NULL) {
        if (!parse_octets(AF_INET, text, len, ip))
            return false;
        *out = addr_ipv4(ip, 0);
        return true;
    }
    if (text[0] == '[') {
        if (text[len - 1] != ']')
            return false;
        text++;
        len -= 2; /* a ':' is in it, so there were two brackets */
    }
    const char *percent = memchr(text, '%', len);
    if (percent != NULL) {
        size_t before = (size_t)(percent - text);

        if (!parse_number(percent + 1, len - before - 1, UINT32_MAX, &scope))
            return false;
        len = before;
    }
    if (!parse_octets(AF_INET6, text, len, ip))
        return false;
    *out = addr_ipv6(ip, 0);
    out->scope = scope;
    return true;
}

bool addr_parse(const char *text, struct addr *out)
{
    const char *colon = strrchr(text, ':');
    uint32_t port;
    struct addr a;

    if (colon == NULL || colon == text || strlen(colon + 1) > 5 ||
        !parse_number(colon + 1, strlen(colon + 1), UINT16_MAX, &port) ||
        !addr_parse_ip(text, (size_t)(colon - text), &a))
        return false;
    if (a.family == ADDR_IPV6 && text[0] != '[')
        return false; /* where would the address end? */
    a.port = (uint16_t)port;
    *out = a;
    return true;
}

static void put_text(struct wr *w, const char *text)
{
    wr_bytes(w, text, strlen(text));
}

static void put_number(struct wr *w, uint32_t value)
{
    char digits[10];
    size_t at = sizeof digits;

    do {
        digits[--at] = (char)('0' + value % 10);
        value /= 10;
    } while (value > 0);
    wr_bytes(w, digits + at, sizeof digits - at);
}

static void put_ip(struct wr *w, const struct addr *a)
{
    char text[INET6_ADDRSTRLEN];

    if (inet_ntop(a->family == ADDR_IPV4 ? AF_INET : AF_INET6, a->ip, text, sizeof text) ==
        NULL)
        return; /* cannot happen: the buffer fits both families */
    put_text(w, text);
    if (a->scope != 0) {
        wr_u8(w, '%');
        put_number(w, a->scope);
    }
}

/* Copies what fits, so that even a cut text is terminated. */
static const char *finish(const struct wr *w, char *buf, size_t cap)
{
    struct span text = wr_done(w);

    if (cap == 0)
        return buf;
    size_t n = text.len < cap ? text.len : cap - 1;
    memcpy(buf, text.ptr, n);
    buf[n] = 0;
    return buf;
}

const char *addr_print(const struct addr *a, char *buf, size_t cap)
{
    uint8_t text[ADDR_TEXT_MAX];
    struct wr w = {.buf = text, .cap = sizeof text};

    if (family_bits(a->family) == 0) {
        put_text(&w, "-");
        return finish(&w, buf, cap);
    }
    if (a->family == ADDR_IPV6)
        wr_u8(&w, '[');
    put_ip(&w, a);
    if (a->family == ADDR_IPV6)
        wr_u8(&w, ']');
    wr_u8(&w, ':');
    put_number(&w, a->port);
    return finish(&w, buf, cap);
}

const char *addr_print_ip(const struct addr *a, char *buf, size_t cap)
{
    uint8_t text[ADDR_TEXT_MAX];
    struct wr w = {.buf = text, .cap = sizeof text};

    if (family_bits(a->family) == 0)
        put_text(&w, "-");
    else
        put_ip(&w, a);
    return finish(&w, buf, cap);
}

bool addr_equal(const struct addr *a, const struct addr *b)
{
    return addr_equal_ip(a, b) && a->port == b->port && a->scope == b->scope;
}

bool addr_equal_ip(const struct addr *a, const struct addr *b)
{
    return a->family == b->family && memcmp(a->ip, b->ip, family_bits(a->family) / 8) == 0;
}

static bool is_mapped(const struct addr *a)
{
    return a->family == ADDR_IPV6 && memcmp(a->ip, mapped_prefix, MAPPED_LEN) == 0;
}

struct addr addr_unmap(struct addr a)
{
    return is_mapped(&a) ? addr_ipv4(a.ip + MAPPED_LEN, a.port) : a;
}

struct addr addr_map(struct addr a)
{
    uint8_t ip[16];

    if (a.family != ADDR_IPV4)
        return a;
    memcpy(ip, mapped_prefix, MAPPED_LEN);
    memcpy(ip + MAPPED_LEN, a.ip, 4);
    return addr_ipv6(ip, a.port);
}

struct addr addr_mask(const struct addr *a, unsigned bits)
{
    struct addr cut = {.family = a->family};
    unsigned max = family_bits(a->family);

    if (bits > max)
        bits = max;
    memcpy(cut.ip, a->ip, bits / 8);
    if (bits % 8 != 0)
        cut.ip[bits / 8] = (uint8_t)(a->ip[bits / 8] & 0xFF00u >> bits % 8);
    return cut;
}

bool prefix_parse(const char *text, struct prefix *out)
{
    const char *slash = strchr(text, '/');
    size_t len = slash == NULL ? strlen(text) : (size_t)(slash - text);
    struct addr a;
    uint32_t bits;

    if (text[0] == '[' || !addr_parse_ip(text, len, &a) || memchr(text, '%', len) != NULL)
        return false;
    bits = family_bits(a.family);
    if (slash != NULL && !parse_number(slash + 1, strlen(slash + 1), bits, &bits))
        return false;
    if (is_mapped(&a) &&
        bits >= MAPPED_LEN * 8) { /* what is compared with it is unmapped too */
        a = addr_unmap(a);
        bits -= MAPPED_LEN * 8;
    }
    struct addr base = addr_mask(&a, bits);
    if (!addr_equal_ip(&base, &a))
        return false;
    *out = (struct prefix){.base = base, .bits = (uint8_t)bits};
    return true;
}

/* The first `bits` bits of two octet strings that are long enough. */
static bool bits_equal(const uint8_t *a, const uint8_t *b, unsigned bits)
{
    unsigned whole = bits / 8;

    if (memcmp(a, b, whole) != 0)
        return false;
    return bits % 8 == 0 ||
           ((unsigned)(a[whole] ^ b[whole]) & 0xFF00u >> bits % 8 & 0xFFu) == 0;
}

bool prefix_contains(const struct prefix *p, const struct addr *a)
{
    struct addr plain = addr_unmap(*a);

    return p->base.family == plain.family && bits_equal(p->base.ip, plain.ip, p->bits);
}

/* --- address classes
 * ------------------------------------------------------------------------------------------------
 */

struct class_row {
    uint8_t ip[IPV6_LEN];
    uint8_t bits;
    uint8_t class; /* enum addr_class */
};

/* First match counts: the metadata services of well-known clouds stand before the ranges they
 * lie in. */
static const struct class_row ipv4_classes[] = {
    {{169, 254, 169, 254}, 32, ADDR_CLASS_METADATA}, /* AWS, GCP, Azure, OpenStack, Oracle */
    {{169, 254, 170, 2}, 32, ADDR_CLASS_METADATA},   /* AWS ECS task credentials */
    {{169, 254, 170, 23}, 32, ADDR_CLASS_METADATA},  /* AWS EKS pod identity */
    {{100, 100, 100, 200}, 32, ADDR_CLASS_METADATA}, /* Alibaba */
    {{168, 63, 129, 16}, 32, ADDR_CLASS_METADATA},   /* Azure wire server */
    {{192, 0, 0, 192}, 32, ADDR_CLASS_METADATA},     /* Oracle, old */
    {{0}, 8, ADDR_CLASS_UNSPECIFIED},
    {{127}, 8, ADDR_CLASS_LOOPBACK},
    {{10}, 8, ADDR_CLASS_PRIVATE},
    {{172, 16}, 12, ADDR_CLASS_PRIVATE},
    {{192, 168}, 16, ADDR_CLASS_PRIVATE},
    {{100, 64}, 10, ADDR_CLASS_SHARED},
    {{169, 254}, 16, ADDR_CLASS_LINK_LOCAL},
    {{224}, 4, ADDR_CLASS_MULTICAST},
    {{240}, 4, ADDR_CLASS_BROADCAST},
};

static const struct class_row ipv6_classes[] = {
    {{0xFD, 0, 0x0E, 0xC2, [14] = 0x02, [15] = 0x54}, 128, ADDR_CLASS_METADATA}, /* AWS */
    {{0xFD, 0, 0x0E, 0xC2, [15] = 0x23}, 128, ADDR_CLASS_METADATA},              /* AWS EKS */
    {{0xFD, 0x20, 0, 0xCE, [14] = 0x02, [15] = 0x54}, 128, ADDR_CLASS_METADATA}, /* GCP */
    {{0xFE, 0x80, [12] = 0xA9, 0xFE, 0xA9, 0xFE}, 128, ADDR_CLASS_METADATA},     /* OpenStack */
    {{0}, 128, ADDR_CLASS_UNSPECIFIED},
    {{[15] = 1}, 128, ADDR_CLASS_LOOPBACK},
    {{0xFC}, 7, ADDR_CLASS_PRIVATE},
    {{0xFE, 0xC0}, 10, ADDR_CLASS_PRIVATE},
    {{0xFE, 0x80}, 10, ADDR_CLASS_LINK_LOCAL},
    {{0xFF}, 8, ADDR_CLASS_MULTICAST},
};

static const char *const class_names[ADDR_CLASS_COUNT] = {
#define X(id, text) [ADDR_CLASS_##id] = (text),
    ADDR_CLASS_MAP(X)
#undef X
};

static enum addr_class find_class(const struct class_row *rows, size_t count, const uint8_t *ip)
{
    for (size_t i = 0; i < count; i++) {
        if (bits_equal(rows[i].ip, ip, rows[i].bits))
            return (enum addr_class)rows[i].class;
    }
    return ADDR_CLASS_GLOBAL;
}

enum addr_class addr_class(const struct addr *a)
{
    struct addr plain = addr_unmap(*a);

    if (plain.family == ADDR_IPV4)
        return find_class(ipv4_classes, sizeof ipv4_classes / sizeof ipv4_classes[0], plain.ip);
    if (plain.family == ADDR_IPV6)
        return find_class(ipv6_classes, sizeof ipv6_classes / sizeof ipv6_classes[0], plain.ip);
    return ADDR_CLASS_UNSPECIFIED; /* no address at all: never a legal target */
}

const char *addr_class_name(enum addr_class c)
{
    return (unsigned)c < ADDR_CLASS_COUNT ? class_names[c] : "unknown";
}

/* --- IPv4 inside IPv6
 * -----------------------------------------------------------------------------------------------
 */

static const uint8_t nat64_prefix[12] = {0, 0x64, 0xFF, 0x9B};            /* RFC 6052 s2.1 */
static const uint8_t nat64_local_prefix[6] = {0, 0x64, 0xFF, 0x9B, 0, 1}; /* RFC 8215 */

/* RFC 8215 leaves the operator the choice of the prefix length inside its /48, and the address
 * does not show it: the /96 form comes first, then the /48 form of RFC 6052 s2.2, unless that
 * reads as nothing (which it does for most /96 ones). */
static bool nat64_local(const uint8_t ip[16], unsigned n, uint8_t out[4])
{
    if (n == 0) {
        memcpy(out, ip + 12, IPV4_LEN);
        return true;
    }
    if (n != 1 || ip[6] == 0)
        return false;
    memcpy(out, (const uint8_t[]){ip[6], ip[7], ip[9], ip[10]},
           IPV4_LEN); /* octet 8 is the "u" octet */
    return true;
}

/* ::/96 without :: and ::1, RFC 4291 s2.5.5.1; deprecated, but kernels still route it into sit
 * tunnels. */
static bool is_compatible(const uint8_t ip[16])
{
    static const uint8_t zero[12] = {0};

    return memcmp(ip, zero, sizeof zero) == 0 && (ip[12] | ip[13] | ip[14]) != 0;
}

static bool embedded(const uint8_t ip[16], unsigned n, uint8_t out[4])
{
    if (memcmp(ip, nat64_local_prefix, sizeof nat64_local_prefix) == 0)
        return nat64_local(ip, n, out);
    if (ip[0] == 0x20 && ip[1] == 0x01 && ip[2] == 0 && ip[3] == 0) { /* Teredo, RFC 4380 s4 */
        if (n == 0)
            memcpy(out, ip + 4, IPV4_LEN);
        for (size_t i = 0; n == 1 && i < IPV4_LEN; i++)
            out[i] = (uint8_t)~ip[12 + i]; /* the client's address is stored inverted */
        return n <= 1;
    }
    if (n != 0)
        return false;
    if (ip[0] == 0x20 && ip[1] == 0x02) { /* 6to4, RFC 3056 s2 */
        memcpy(out, ip + 2, IPV4_LEN);
        return true;
    }
    if (memcmp(ip, mapped_prefix, MAPPED_LEN) != 0 && !is_compatible(ip) &&
        memcmp(ip, nat64_prefix, sizeof nat64_prefix) != 0)
        return false;
    memcpy(out, ip + 12, IPV4_LEN);
    return true;
}

bool addr_embedded_ipv4(const struct addr *a, unsigned n, struct addr *out)
{
    uint8_t ip[IPV4_LEN];

    if (a->family != ADDR_IPV6 || !embedded(a->ip, n, ip))
        return false;
    *out = addr_ipv4(ip, a->port);
    return true;
}
