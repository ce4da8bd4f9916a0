/* SPDX-License-Identifier: MIT */
/* acl - one verdict per socket address.
 *
 * The first configured rule that applies decides. An allow rule applies to an ordinary address
 * by matching it, and to an address of a built-in class (loopback, private, ...) only when its
 * `target` has a prefix that means this class: one inside the class's own range. So "allow
 * everything to port 443" and "allow 0.0.0.0/0" never reach the host itself or its neighbours,
 * while "10.0.0.0/8" or "127.0.0.1" do what they say; a rule that does not apply is passed
 * over. Then our own listeners and the classes are refused, then the default action speaks.
 *
 * An IPv6 address that carries IPv4 ones is judged as itself and as each of them, with the same
 * name and port; all must pass. The rules as the file has them live in acl_conf.c. */
#include "acl.h"
#include <string.h>

enum { EMBEDDED_MAX = 2 }; /* addr_embedded_ipv4() knows a first and a second one */

struct pattern {
    char *text; /* owned; of "*.example.net" without the star */
    size_t len;
    bool below; /* any depth below; else exact */
};
struct port_range {
    uint16_t first, last;
};
struct rule {
    enum acl_action action;
    bool any_target;
    struct conf_prefixes source, target;
    struct conf_strings users;
    struct pattern *name;
    size_t name_count;
    struct port_range *port;
    size_t port_count;
};
struct acl {
    struct rule *rule;
    size_t rule_count;
    enum acl_action fallback;
    acl_own_fn *is_own;
    struct addr *self; /* unmapped */
    size_t self_count;
};

/* What is asked, unpacked once. */
struct question {
    const struct addr *source, *to;
    const char *user, *name;
    size_t name_len;
};

const char *acl_cause_name(enum acl_cause c)
{
    static const char *const names[ACL_CAUSE_COUNT] = {
        [ACL_CAUSE_DEFAULT] = "default",
        [ACL_CAUSE_RULE] = "rule",
        [ACL_CAUSE_DEFAULT_PRIVATE] = "default_private",
        [ACL_CAUSE_SELF] = "self",
    };

    return (unsigned)c < ACL_CAUSE_COUNT ? names[c] : "unknown";
}

/* --- making --- */

static void *copy_of(const void *src, size_t count, size_t size)
{
    void *copy = calloc(count > 0 ? count : 1, size);

    if (copy != NULL && count > 0)
        memcpy(copy, src, count * size);
    return copy;
}

static bool copy_prefixes(const struct conf_prefixes *from, struct conf_prefixes *to)
{
    to->item = copy_of(from->item, from->count, sizeof *from->item);
    to->count = from->count;
    return to->item != NULL;
}

static bool copy_users(const struct conf_strings *from, struct conf_strings *to)
{
    to->item = calloc(from->count > 0 ? from->count : 1, sizeof(char *));
    if (to->item == NULL)
        return false;
    for (; to->count < from->count; to->count++) {
        to->item[to->count] = strdup(from->item[to->count]);
        if (to->item[to->count] == NULL)
            return false;
    }
    return true;
}

static bool copy_names(const struct conf_strings *from, struct rule *to)
{
    to->name = calloc(from->count > 0 ? from->count : 1, sizeof *to->name);
    if (to->name == NULL)
        return false;
    for (; to->name_count < from->count; to->name_count++) {
        struct pattern *p = &to->name[to->name_count];

        p->below = from->item[to->name_count][0] == '*';
        p->text = strdup(from->item[to->name_count] + (p->below ? 1 : 0));
        if (p->text == NULL)
            return false;
        p->len = strlen(p->text);
    }
    return true;
}

static bool copy_ports(const struct acl_rule *from, struct rule *to)
{
    to->port = calloc(from->port_count > 0 ? from->port_count : 1, sizeof *to->port);
    if (to->port == NULL)
        return false;
    for (; to->port_count < from->port_count; to->port_count++)
        to->port[to->port_count] = (struct port_range){from->ports[to->port_count].first,
                                                       from->ports[to->port_count].last};
    return true;
}

static bool copy_rule(const struct acl_rule *from, struct rule *to)
{
    to->action = from->action;
    to->any_target = from->target.count == 0 && from->names.count == 0;
    return copy_prefixes(&from->source, &to->source) &&
           copy_prefixes(&from->target, &to->target) && copy_users(&from->users, &to->users) &&
           copy_names(&from->names, to) && copy_ports(from, to);
}

static struct addr *copy_addrs(const struct addr *from, size_t count)
{
    struct addr *to = calloc(count > 0 ? count : 1, sizeof *to);

    for (size_t i = 0; to != NULL && i < count; i++)
        to[i] = addr_unmap(from[i]);
    return to;
}

struct acl *acl_new(const struct acl_rules *rules, enum acl_action fallback,
                    const struct addr *self, size_t self_count, acl_own_fn *is_own)
{
    struct acl *a = calloc(1, sizeof *a);
    bool ok = true;

    if (a == NULL)
        return NULL;
    a->fallback = fallback;
    a->self = copy_addrs(self, self_count);
    a->is_own = is_own;
    a->rule = calloc(rules->count > 0 ? rules->count : 1, sizeof *a->rule);
    ok = a->self != NULL && a->rule != NULL;
    for (; ok && a->rule_count < rules->count; a->rule_count++)
        ok = copy_rule(&rules->item[a->rule_count], &a->rule[a->rule_count]);
    if (!ok) {
        acl_free(a);
        return NULL;
    }
    a->self_count = self_count;
    return a;
}

static void rule_done(struct rule *r)
{
    for (size_t i = 0; i < r->users.count; i++)
        free(r->users.item[i]);
    for (size_t i = 0; i < r->name_count; i++)
        free(r->name[i].text);
    free(r->users.item);
    free(r->name);
    free(r->port);
    free(r->source.item);
    free(r->target.item);
}

void acl_free(struct acl *a)
{
    if (a == NULL)
        return;
    for (size_t i = 0; i < a->rule_count; i++)
        rule_done(&a->rule[i]);
    free(a->rule);
    free(a->self);
    free(a);
}

/* --- matching --- */

static bool in_prefixes(const struct conf_prefixes *list, const struct addr *a)
{
    for (size_t i = 0; i < list->count; i++) {
        if (prefix_contains(&list->item[i], a))
            return true;
    }
    return false;
}

static bool has_user(const struct conf_strings *list, const char *user)
{
    for (size_t i = 0; user != NULL && i < list->count; i++) {
        if (strcmp(list->item[i], user) == 0)
            return true;
    }
    return false;
}

/* ASCII, whatever the locale: host names have no other letters. */
static unsigned lower(char c)
{
    return c >= 'A' && c <= 'Z' ? (unsigned char)c + 0x20u : (unsigned char)c;
}

static bool pattern_matches(const struct pattern *p, const char *name, size_t len)
{
    if (p->below ? len <= p->len : len != p->len)
        return false;
    name +=
        len - p->len; /* a pattern below ".example.net" brings its dot: no "badexample.net" */
    for (size_t i = 0; i < p->len; i++) {
        if (lower(name[i]) != lower(p->text[i]))
            return false;
    }
    return true;
}

static bool has_target(const struct rule *r, const struct question *q)
{
    if (r->any_target || in_prefixes(&r->target, q->to))
        return true;
    for (size_t i = 0; q->name != NULL && i < r->name_count; i++) {
        if (pattern_matches(&r->name[i], q->name, q->name_len))
            return true;
    }
    return false;
}

static bool has_port(const struct rule *r, uint16_t port)
{
    for (size_t i = 0; i < r->port_count; i++) {
        if (port >= r->port[i].first && port <= r->port[i].last)
            return true;
    }
    return r->port_count == 0;
}

static bool matches(const struct rule *r, const struct question *q)
{
    return has_port(r, q->to->port) && has_target(r, q) &&
           (r->source.count == 0 || in_prefixes(&r->source, q->source)) &&
           (r->users.count == 0 || has_user(&r->users, q->user));
}

/* --- built-in classes --- */

/* The ranges of the classes that a rule can open. Metadata services lie inside others' ranges
 * and need to be meant one by one; what has no row here never opens. */
struct range {
    enum addr_class class;
    struct prefix prefix;
};
/* clang-format off */
static const struct range ranges[] = {
    {ADDR_CLASS_LOOPBACK,   {{.family = ADDR_IPV4, .ip = {127}}, 8}},
    {ADDR_CLASS_LOOPBACK,   {{.family = ADDR_IPV6, .ip = {[15] = 1}}, 128}},
    {ADDR_CLASS_PRIVATE,    {{.family = ADDR_IPV4, .ip = {10}}, 8}},
    {ADDR_CLASS_PRIVATE,    {{.family = ADDR_IPV4, .ip = {172, 16}}, 12}},
    {ADDR_CLASS_PRIVATE,    {{.family = ADDR_IPV4, .ip = {192, 168}}, 16}},
    {ADDR_CLASS_PRIVATE,    {{.family = ADDR_IPV6, .ip = {0xfc}}, 7}},
    {ADDR_CLASS_PRIVATE,    {{.family = ADDR_IPV6, .ip = {0xfe, 0xc0}}, 10}},
    {ADDR_CLASS_SHARED,     {{.family = ADDR_IPV4, .ip = {100, 64}}, 10}},
    {ADDR_CLASS_LINK_LOCAL, {{.family = ADDR_IPV4, .ip = {169, 254}}, 16}},
    {ADDR_CLASS_LINK_LOCAL, {{.family = ADDR_IPV6, .ip = {0xfe, 0x80}}, 10}},
};
/* clang-format on */

/* How long a prefix must be to mean the class of `a`; more than any for what never opens. */
static unsigned meant_bits(const struct addr *a, enum addr_class class)
{
    if (class == ADDR_CLASS_METADATA)
        return a->family == ADDR_IPV4 ? 32 : 128;
    for (size_t i = 0; i < ARRAY_LEN(ranges); i++) {
        if (ranges[i].class == class && prefix_contains(&ranges[i].prefix, a))
            return ranges[i].prefix.bits;
    }
    return UINT8_MAX + 1;
}

static bool opens(const struct rule *r, const struct addr *to, enum addr_class class)
{
    struct addr plain = addr_unmap(*to);
    unsigned bits = meant_bits(&plain, class);

    for (size_t i = 0; i < r->target.count; i++) {
        const struct prefix *p = &r->target.item[i];

        if (p->base.family == plain.family && p->bits >= bits && prefix_contains(p, &plain))
            return true;
    }
    return false;
}

static bool is_wildcard(const struct addr *a)
{
    static const uint8_t zero[16] = {0};

    return memcmp(a->ip, zero, sizeof zero) == 0;
}

/* An address of this host; all of 127.0.0.0/8 is, listed or not. */
static bool is_local(const struct acl *a, const struct addr *to)
{
    return addr_class(to) == ADDR_CLASS_LOOPBACK || is_wildcard(to) || a->is_own(to);
}

static bool is_self(const struct acl *a, const struct addr *to)
{
    struct addr plain = addr_unmap(*to);

    for (size_t i = 0; i < a->self_count; i++) {
        const struct addr *s = &a->self[i];

        if (s->family == ADDR_NONE || s->port != plain.port)
            continue;
        if (is_wildcard(s) ? is_local(a, &plain) : addr_equal_ip(s, &plain))
            return true;
    }
    return false;
}

/* --- verdict --- */

static struct acl_verdict judge(const struct acl *a, const struct question *q)
{
    enum addr_class class = addr_class(q->to);
    bool self = is_self(a, q->to);

    for (size_t i = 0; i < a->rule_count; i++) {
        const struct rule *r = &a->rule[i];

        if (!matches(r, q))
            continue;
        if (r->action == ACL_DENY ||
            (!self && (class == ADDR_CLASS_GLOBAL || opens(r, q->to, class))))
            return (struct acl_verdict){r->action, ACL_CAUSE_RULE, (int)i};
    }
    if (self)
        return (struct acl_verdict){ACL_DENY, ACL_CAUSE_SELF, -1};
    if (class != ADDR_CLASS_GLOBAL)
        return (struct acl_verdict){ACL_DENY, ACL_CAUSE_DEFAULT_PRIVATE, -1};
    return (struct acl_verdict){a->fallback, ACL_CAUSE_DEFAULT, -1};
}

struct acl_verdict acl_check(const struct acl *a, const struct addr *source, const char *user,
                             const struct addr *to, const char *name)
{
    struct addr inner;
    struct question q = {.source = source,
                         .to = to,
                         .user = user,
                         .name = name,
                         .name_len = name == NULL ? 0 : strlen(name)};
    struct acl_verdict outer = judge(a, &q);

    for (unsigned n = 0; n < EMBEDDED_MAX && outer.action == ACL_ALLOW; n++) {
        if (!addr_embedded_ipv4(to, n, &inner))
            break;
        q.to = &inner;
        struct acl_verdict v = judge(a, &q);
        if (v.action == ACL_DENY)
            return v;
    }
    return outer;
}
