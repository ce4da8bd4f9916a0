/* SPDX-License-Identifier: MIT */
/* What a configuration's source addresses need of this machine: told when it is loaded, because
 * later it shows only as connections that fail. */
#include "egress_socket.h"
#include "server_impl.h"

enum { WARNINGS_MAX = 8 }; /* of one policy */

int server_check_egress(const struct config *c, struct conf_error *err)
{
    for (size_t i = 0; i < c->listeners.count; i++) {
        const struct listener_options *o = &c->listeners.item[i];

        if (!egress_is_transparent(o->egress))
            continue;
        int rc = egress_may_be_transparent();
        if (rc == 0)
            return 0;
        (void)snprintf(err->text, sizeof err->text,
                       "listener %s: egress \"%s\" preserves clients' addresses, which needs "
                       "CAP_NET_ADMIN: %s",
                       o->name, o->egress->name, uv_strerror(rc));
        return -1;
    }
    return 0;
}

static void warn_policy(const struct server *s, const struct egress_policy *e)
{
    const struct prefix *p;
    const char *key;
    size_t at = 0, said = 0;
    char text[ADDR_TEXT_MAX];

    while ((p = egress_not_local(e, &at, &key)) != NULL && said++ < WARNINGS_MAX)
        log_message(s->log, LOG_LEVEL_WARNING, "egress",
                    "policy \"%s\": %s %s/%u is not this machine's: connections from there "
                    "fail; ip route add local %s/%u dev lo",
                    e->name, key, addr_print_ip(&p->base, text, sizeof text), p->bits, text,
                    p->bits);
    if (p != NULL)
        log_message(s->log, LOG_LEVEL_WARNING, "egress",
                    "policy \"%s\": more addresses that are not this machine's", e->name);
}

void server_warn_egress(const struct server *s, const struct config *c)
{
    for (size_t i = 0; i < c->egress.count; i++)
        warn_policy(s, &c->egress.item[i]);
}
