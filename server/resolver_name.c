/* SPDX-License-Identifier: MIT */
#include "resolver_name.h"
#include "wire/target.h"
#include <stdio.h>
#include <string.h>

static void answer_with(struct resolver_answer *out, const struct addr *a,
                        enum addr_family family)
{
    out->why = OUTCOME_NAME_NOT_FOUND;
    out->count = 0;
    if (a == NULL || a->family != family)
        return;
    out->why = OUTCOME_OK;
    out->addr[out->count++] = *a;
}

static bool in_zone(const char *name, const char *zone)
{
    size_t len = strlen(name), n = strlen(zone);

    return len >= n && strcmp(name + len - n, zone) == 0 &&
           (len == n || name[len - n - 1] == '.');
}

bool resolver_name_settled(const char *name, enum addr_family family, struct resolver_name *out,
                           struct resolver_answer *answer)
{
    static const uint8_t ip4[4] = {127, 0, 0, 1}, ip6[16] = {[15] = 1};
    struct target t;

    if (!target_from_host(span_of(name, strlen(name)), 0, &t) ||
        t.name_len > RESOLVER_NAME_MAX) {
        answer_with(answer, NULL, family);
        return true;
    }
    if (!target_is_name(&t)) {
        answer_with(answer, &t.addr, family);
        return true;
    }
    memcpy(out->text, t.name, (size_t)t.name_len + 1);
    for (char *p = out->text; *p != 0; p++) {
        if (*p >= 'A' && *p <= 'Z')
            *p = (char)(*p - 'A' + 'a');
    }
    if (in_zone(out->text, "localhost")) {
        struct addr a = family == ADDR_IPV6 ? addr_ipv6(ip6, 0) : addr_ipv4(ip4, 0);
        answer_with(answer, &a, family);
        return true;
    }
    if (in_zone(out->text, "invalid") || in_zone(out->text, "onion")) {
        answer_with(answer, NULL, family);
        return true;
    }
    return false;
}

void resolver_name_reverse(const struct addr *a, struct resolver_name *out)
{
    static const char hex[] = "0123456789abcdef";
    char *p = out->text;

    if (a->family == ADDR_IPV4) {
        (void)snprintf(p, sizeof out->text, "%u.%u.%u.%u.in-addr.arpa", a->ip[3], a->ip[2],
                       a->ip[1], a->ip[0]);
        return;
    }
    for (size_t i = 16; i-- > 0;) {
        *p++ = hex[a->ip[i] & 15];
        *p++ = '.';
        *p++ = hex[a->ip[i] >> 4];
        *p++ = '.';
    }
    memcpy(p, "ip6.arpa", sizeof "ip6.arpa");
}
