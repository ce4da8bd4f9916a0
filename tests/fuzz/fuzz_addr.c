/* SPDX-License-Identifier: MIT */
/* The input is tried as text: an address, an endpoint, a host name, a prefix. What parses,
 * prints; what printed, parses to the same value. */
#include "property.h"
#include "wire/target.h"

enum { INPUT_MAX = 300 };

static void class_holds(const struct addr *a)
{
    struct addr inner;
    unsigned n = 0;

    ASSERT(addr_class(a) < ADDR_CLASS_COUNT);
    while (addr_embedded_ipv4(a, n, &inner)) {
        ASSERT(inner.family == ADDR_IPV4 && inner.port == a->port);
        ASSERT(++n < 8);
    }
}

static void ip_holds(struct span in)
{
    char text[ADDR_TEXT_MAX];
    struct addr a, again;

    if (!addr_parse_ip((const char *)in.ptr, in.len, &a))
        return;
    ASSERT(a.port == 0 && (a.family == ADDR_IPV4 || a.family == ADDR_IPV6));
    (void)addr_print_ip(&a, text, sizeof text);
    ASSERT(addr_parse_ip(text, strlen(text), &again) && addr_equal(&a, &again));
    class_holds(&a);

    struct sockaddr_storage ss;
    socklen_t len = addr_to_sockaddr(&a, &ss);
    ASSERT(addr_from_sockaddr((const struct sockaddr *)&ss, len, &again) &&
           addr_equal(&a, &again));

    struct addr plain = addr_unmap(a);
    struct addr twice = addr_unmap(plain);
    ASSERT(addr_equal(&plain, &twice) && addr_class(&plain) == addr_class(&a));
}

static void endpoint_holds(const char *in)
{
    char text[ADDR_TEXT_MAX];
    struct addr a, again;

    if (!addr_parse(in, &a))
        return;
    (void)addr_print(&a, text, sizeof text);
    ASSERT(addr_parse(text, &again) && addr_equal(&a, &again));
}

static void prefix_holds(const char *in)
{
    struct prefix p;
    struct addr a;

    if (!prefix_parse(in, &p))
        return;
    a = addr_mask(&p.base, p.bits);
    ASSERT(addr_equal(&a, &p.base)); /* no host bits, no port, no scope */
    ASSERT(p.bits <= (p.base.family == ADDR_IPV4 ? 32 : 128));
    a = addr_unmap(p.base);
    /* ::/0 and the like do not hold the mapped addresses, which count as IPv4 */
    ASSERT(prefix_contains(&p, &p.base) || !addr_equal_ip(&a, &p.base));
}

static void host_holds(struct span in)
{
    char text[TARGET_TEXT_MAX];
    struct target t, again;

    if (!target_from_host(in, 443, &t))
        return;
    ASSERT(t.port == 443 && t.addr.port == 0);
    ASSERT(target_is_name(&t) == (t.addr.family == ADDR_NONE));
    (void)target_print(&t, text, sizeof text);
    ASSERT(strlen(text) >= 5 && strcmp(text + strlen(text) - 4, ":443") == 0);
    ASSERT(target_from_host(span_of(text, strlen(text) - 4), 443, &again));
    ASSERT(target_equal(&t, &again));
    if (target_is_name(&t))
        ASSERT(strlen(t.name) == t.name_len && t.name[t.name_len - 1] != '.');
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    char text[INPUT_MAX + 1];
    struct span in = span_of(data, size < INPUT_MAX ? size : INPUT_MAX);

    if (in.len > 0)
        memcpy(text, in.ptr, in.len);
    text[in.len] = 0;
    if (in.len > 0)
        ip_holds(in);
    host_holds(in);
    endpoint_holds(text);
    prefix_holds(text);
    return 0;
}
