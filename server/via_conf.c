/* SPDX-License-Identifier: MIT */
#include "via_conf.h"
#include "acl.h"
#include <stdlib.h>
#include <string.h>

#define OFF(field) offsetof(struct via_concentrator, field)

enum { COOKIE_DIGITS_MAX = 2 * VIA_COOKIE_MAX };

static const char *const dialect_names[] = {
    [VIA_MP_CONVERT] = "mp_convert", [VIA_CONVERT] = "convert", [VIA_SOCKS5] = "socks5", NULL};
static const char *const exact_names[] = {
    [VIA_EXACT_AUTO] = "auto", [VIA_EXACT_ON] = "on", [VIA_EXACT_OFF] = "off", NULL};

/* ---- ports ---- */

static bool parse_ports(struct conf_parse *p, const json_t *value, void *field)
{
    struct via_ports *ports = field;
    size_t count = json_array_size(value);

    if (!json_is_array(value))
        return conf_fail(p, "expected an array of ports and port ranges");
    if (count > VIA_PORTS_MAX)
        return conf_fail(p, "has more than %d entries", VIA_PORTS_MAX);
    if (count == 0)
        return true;
    ports->item = calloc(count, sizeof *ports->item);
    if (ports->item == NULL)
        return conf_fail(p, "out of memory");
    for (size_t i = 0; i < count; i++) {
        struct via_port_range *r = &ports->item[i];
        if (!acl_parse_range(json_array_get(value, i), &r->first, &r->last))
            return conf_fail(p, "expected a port such as 25, or a range such as \"6000-6100\"");
        ports->count++;
    }
    return true;
}

static void clear_ports(void *field)
{
    struct via_ports *ports = field;

    free(ports->item);
    *ports = (struct via_ports){0};
}

static json_t *dump_ports(const void *field)
{
    const struct via_ports *ports = field;
    json_t *out = json_array();

    for (size_t i = 0; out != NULL && i < ports->count; i++) {
        unsigned first = ports->item[i].first, last = ports->item[i].last;
        json_t *one = first == last ? json_integer(first) : json_sprintf("%u-%u", first, last);
        if (json_array_append_new(out, one) == 0)
            continue;
        json_decref(out);
        return NULL;
    }
    return out;
}

bool via_serves(const struct via_concentrator *c, const struct target *t)
{
    bool inside = c->targets.count == 0, port = c->ports.count == 0;

    for (size_t i = 0; !inside && !target_is_name(t) && i < c->targets.count; i++)
        inside = prefix_contains(&c->targets.item[i], &t->addr);
    for (size_t i = 0; !port && i < c->ports.count; i++)
        port = t->port >= c->ports.item[i].first && t->port <= c->ports.item[i].last;
    return inside && port;
}

/* clang-format off */
static const struct conf_key keys[] = {
    {"address", CONF_ADDR, OFF(address), NULL,
     .help = "Address and port of the concentrator; required."},
    {"dialect", CONF_ENUM, OFF(dialect), "\"mp_convert\"", .choices = dialect_names,
     .help = "How it is asked."},
    {"priority", CONF_U32, OFF(priority), "1", .min = 0, .max = 1000,
     .help = "Lower ones are tried first; those with the same share the clients between them."},
    {"fastopen", CONF_BOOL, OFF(fastopen), "true",
     .help = "Send the request in the SYN, without a cookie (TCP Fast Open)."},
    {"tell_source", CONF_BOOL, OFF(tell_source), "false",
     .help = "Tell it the client's address and port beside the target, for mp_convert: what preserve_address in its egress needs, others log it."},
    {"exact", CONF_ENUM, OFF(exact), "\"auto\"", .choices = exact_names,
     .help = "Whether its listener answers the SYN when the target has; auto: via.probe tells."},
    {"targets", CONF_PREFIXES, OFF(targets), "[]", .min = 0, .max = VIA_TARGETS_MAX, .unit = "prefixes",
     .help = "Addresses it is asked for; none: all, and names."},
    {"ports", CONF_CUSTOM, OFF(ports), "[]", .parse = parse_ports, .clear = clear_ports, .dump = dump_ports,
     .help = "Ports of targets it is asked for: numbers, or ranges such as \"6000-6100\"; none: all."},
    {"user", CONF_STRING, OFF(user), "null",
     .help = "User name for socks5."},
    {"password", CONF_STRING, OFF(password), "null", .secret = true,
     .help = "Password for socks5."},
    {"cookie", CONF_STRING, OFF(cookie), "null", .secret = true,
     .help = "Static cookie for convert, in hexadecimal digits."},
    {.path = NULL},
};
/* clang-format on */

const struct conf_key *via_keys(void)
{
    return keys;
}

enum protocol via_protocol(enum via_dialect d)
{
    static const enum protocol protocol[] = {[VIA_MP_CONVERT] = PROTOCOL_MP_CONVERT,
                                             [VIA_CONVERT] = PROTOCOL_CONVERT,
                                             [VIA_SOCKS5] = PROTOCOL_SOCKS5};

    return protocol[d];
}

struct span via_cookie(const struct via_concentrator *c, uint8_t buf[VIA_COOKIE_MAX])
{
    size_t n = c->cookie == NULL ? 0 : strlen(c->cookie) / 2;

    for (size_t i = 0; i < n; i++) {
        const char pair[3] = {c->cookie[2 * i], c->cookie[2 * i + 1], '\0'};
        buf[i] = (uint8_t)strtoul(pair, NULL, 16); /* checked when it was read */
    }
    return span_of(buf, n);
}

static bool check(struct conf_parse *p, const struct via_concentrator *c)
{
    if (c->address.family == ADDR_NONE || c->address.port == 0) {
        conf_enter(p, "address", 0);
        return conf_fail(p, "needs an address and a port");
    }
    if ((c->user != NULL || c->password != NULL) && c->dialect != VIA_SOCKS5) {
        conf_enter(p, "user", 0);
        return conf_fail(p, "only socks5 has users");
    }
    if ((c->user == NULL) != (c->password == NULL)) {
        conf_enter(p, "password", 0);
        return conf_fail(p, "user and password go together");
    }
    if (c->tell_source && c->dialect != VIA_MP_CONVERT) {
        conf_enter(p, "tell_source", 0);
        return conf_fail(p, "only mp_convert can");
    }
    if (c->cookie != NULL &&
        (c->dialect != VIA_CONVERT || strlen(c->cookie) % 2 != 0 || c->cookie[0] == '\0' ||
         strlen(c->cookie) > COOKIE_DIGITS_MAX ||
         strspn(c->cookie, "0123456789abcdefABCDEF") != strlen(c->cookie))) {
        conf_enter(p, "cookie", 0);
        return conf_fail(p,
                         "an even number of hexadecimal digits, %d at most, for convert only",
                         COOKIE_DIGITS_MAX);
    }
    if (c->exact == VIA_EXACT_ON && (c->dialect == VIA_SOCKS5 || !c->fastopen)) {
        conf_enter(p, "exact", 0);
        return conf_fail(p, "needs mp_convert or convert, and fastopen");
    }
    return true;
}

static bool text_equal(const char *a, const char *b)
{
    return a == NULL || b == NULL ? a == b : strcmp(a, b) == 0;
}

bool via_list_equal(const struct via_list *a, const struct via_list *b)
{
    if (a->count != b->count)
        return false;
    for (size_t i = 0; i < a->count; i++) {
        const struct via_concentrator *x = &a->item[i], *y = &b->item[i];
        if (!addr_equal(&x->address, &y->address) || x->dialect != y->dialect ||
            x->exact != y->exact || x->fastopen != y->fastopen ||
            !text_equal(x->user, y->user) || !text_equal(x->password, y->password) ||
            !text_equal(x->cookie, y->cookie))
            return false;
    }
    return true;
}

bool via_parse(struct conf_parse *p, const json_t *value, void *field)
{
    struct via_list *list = field;
    size_t count = json_array_size(value);

    if (!json_is_array(value))
        return conf_fail(p, "expected an array of concentrators");
    if (count > VIA_CONCENTRATORS_MAX)
        return conf_fail(p, "has more than %d concentrators", VIA_CONCENTRATORS_MAX);
    if (count == 0)
        return true;
    list->item = calloc(count, sizeof *list->item);
    if (list->item == NULL)
        return conf_fail(p, "out of memory");
    for (size_t i = 0; i < count; i++) {
        conf_enter(p, NULL, i);
        list->count++; /* what a failed parse leaves is cleared */
        if (!conf_object(p, json_array_get(value, i), keys, &list->item[i],
                         sizeof list->item[i]) ||
            !check(p, &list->item[i]))
            return false;
        conf_leave(p);
    }
    return true;
}

void via_clear(void *field)
{
    struct via_list *list = field;

    for (size_t i = 0; i < list->count; i++)
        conf_clear(keys, &list->item[i]);
    free(list->item);
    *list = (struct via_list){0};
}

json_t *via_dump(const void *field)
{
    const struct via_list *list = field;
    json_t *out = json_array();

    for (size_t i = 0; out != NULL && i < list->count; i++) {
        if (json_array_append_new(out, conf_dump(keys, &list->item[i], true)) == 0)
            continue;
        json_decref(out);
        return NULL;
    }
    return out;
}
