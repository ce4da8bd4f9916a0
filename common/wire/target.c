/* SPDX-License-Identifier: MIT */
#include "wire/target.h"

enum { LABEL_MAX = 63 }; /* RFC 1035 s2.3.4 */

struct target target_from_addr(const struct addr *a)
{
    struct target t = {.addr = addr_unmap(*a), .port = a->port};

    t.addr.port = 0;
    return t;
}

static bool is_name_octet(uint8_t c)
{
    return (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') || (c >= '0' && c <= '9') ||
           c == '-' || c == '_';
}

static bool is_name(struct span host)
{
    size_t label = 0;

    for (size_t i = 0; i < host.len; i++) {
        if (host.ptr[i] == '.') {
            if (label == 0)
                return false;
            label = 0;
        } else if (!is_name_octet(host.ptr[i]) || ++label > LABEL_MAX) {
            return false;
        }
    }
    return label > 0;
}

bool target_from_host(struct span host, uint16_t port, struct target *out)
{
    struct addr literal;

    if (host.len == 0 || host.len > TARGET_NAME_MAX)
        return false;
    if (host.ptr[host.len - 1] == '.')
        host.len--;
    if (addr_parse_ip((const char *)host.ptr, host.len, &literal)) {
        *out = target_from_addr(&literal);
        out->port = port;
        return true;
    }
    if (!is_name(host))
        return false;
    *out = (struct target){.port = port, .name_len = (uint8_t)host.len};
    memcpy(out->name, host.ptr, host.len);
    return true;
}

bool target_is_name(const struct target *t)
{
    return t->addr.family == ADDR_NONE && t->name_len > 0;
}

/* ASCII only and without the locale: host names have no other letters. */
static unsigned lower(char c)
{
    return c >= 'A' && c <= 'Z' ? (unsigned char)c + 0x20u : (unsigned char)c;
}

bool target_equal(const struct target *a, const struct target *b)
{
    if (a->port != b->port || target_is_name(a) != target_is_name(b))
        return false;
    if (!target_is_name(a))
        return addr_equal_ip(&a->addr, &b->addr) && a->addr.scope == b->addr.scope;
    if (a->name_len != b->name_len)
        return false;
    for (size_t i = 0; i < a->name_len; i++) {
        if (lower(a->name[i]) != lower(b->name[i]))
            return false;
    }
    return true;
}

const char *target_print(const struct target *t, char *buf, size_t cap)
{
    struct addr a = t->addr;

    if (!target_is_name(t)) {
        a.port = t->port;
        return addr_print(&a, buf, cap);
    }
    if (cap == 0)
        return buf;

    char port[5];
    size_t at = sizeof port;
    uint16_t rest = t->port;
    struct wr w = {.buf = (uint8_t *)buf, .cap = cap - 1};

    do {
        port[--at] = (char)('0' + rest % 10);
        rest = (uint16_t)(rest / 10);
    } while (rest > 0);
    wr_bytes(&w, t->name, t->name_len < w.cap ? t->name_len : w.cap);
    wr_bytes(&w, ":", w.cap > w.pos);
    wr_bytes(&w, port + at,
             sizeof port - at < w.cap - w.pos ? sizeof port - at : w.cap - w.pos);
    buf[w.pos] = 0;
    return buf;
}
