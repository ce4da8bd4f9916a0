/* SPDX-License-Identifier: MIT */
/* Do answers to the source addresses of the configuration's policies come back to here? */
#include "doctor_checks.h"
#include "egress_socket.h"
#include <stdio.h>

#define PRESERVE_MARK 0x6d70 /* of conf/nft/preserve.nft */

static struct doctor_finding not_local(const struct egress_policy *e, const struct prefix *p,
                                       const char *key)
{
    char text[ADDR_TEXT_MAX], advice[ADDR_TEXT_MAX + 64];

    (void)addr_print_ip(&p->base, text, sizeof text);
    (void)snprintf(advice, sizeof advice, "ip route add local %s/%u dev lo", text, p->bits);
    return doctor_bad(advice, "policy \"%s\": %s %s/%u is not this machine's", e->name, key,
                      text, p->bits);
}

static struct doctor_finding no_way_back(const struct egress_policy *e, const char *option)
{
    char advice[192];

    (void)snprintf(advice, sizeof advice,
                   "ip%s rule add fwmark 0x%x lookup 7374 && ip%s route add local default dev "
                   "lo table 7374, and load conf/nft/preserve.nft",
                   option, PRESERVE_MARK, option);
    return doctor_bad(advice,
                      "policy \"%s\" preserves addresses, but answers marked 0x%x are not "
                      "taken in",
                      e->name, PRESERVE_MARK);
}

static struct doctor_finding examine(const struct egress_policy *e)
{
    size_t at = 0;
    const char *key;
    const struct prefix *p = egress_not_local(e, &at, &key);

    if (p != NULL)
        return not_local(e, p, key);
    if (e->ipv4 >= EGRESS_PRESERVE && !egress_mark_is_local(PRESERVE_MARK, ADDR_IPV4))
        return no_way_back(e, "");
    if (e->ipv6 >= EGRESS_PRESERVE && !egress_mark_is_local(PRESERVE_MARK, ADDR_IPV6))
        return no_way_back(e, " -6");
    return doctor_good("policy \"%s\": answers to its addresses come back", e->name);
}

struct doctor_finding doctor_check_egress(const struct doctor *d)
{
    const struct egress_list *list = &d->config->egress;

    if (list->count == 0)
        return doctor_good("the kernel chooses source addresses");
    for (size_t i = 0; i < list->count; i++) {
        struct doctor_finding f = examine(&list->item[i]);
        if (f.verdict != DOCTOR_GOOD)
            return f;
    }
    return doctor_good("%zu policies: answers to their addresses come back", list->count);
}
