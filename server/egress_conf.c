/* SPDX-License-Identifier: MIT */
#include "egress_conf.h"
#include <stdlib.h>
#include <string.h>

#define OFF(field) offsetof(struct egress_policy, field)

enum {
    ROWS_MAX = 65536,
    PREFIXES_MAX = 4096,
    POOL_MAX = 256, /* each is weighed for each connection */
};

static const char *const ipv4_names[] = {[EGRESS_SHARE] = "share",
                                         [EGRESS_ONE_TO_ONE] = "one_to_one",
                                         [EGRESS_PRESERVE] = "preserve",
                                         NULL};
static const char *const ipv6_names[] = {[EGRESS_SHARE] = "share",
                                         [EGRESS_ONE_TO_ONE] = "one_to_one",
                                         [EGRESS_PRESERVE] = "preserve",
                                         [EGRESS_PRESERVE_ADDRESS] = "preserve_address",
                                         NULL};
static const char *const otherwise_names[] = {
    [EGRESS_REFUSE] = "refuse", [EGRESS_OR_SHARE] = "share", NULL};

static bool parse_prefix(struct conf_parse *p, const json_t *value, void *field)
{
    const char *text = json_string_value(value);

    if (text == NULL || !prefix_parse(text, field))
        return conf_fail(
            p, "expected an address or a prefix without host bits, such as \"192.0.2.0/24\"");
    return true;
}

static json_t *dump_prefix(const void *field)
{
    const struct prefix *prefix = field;
    char text[ADDR_TEXT_MAX];

    return json_sprintf("%s/%u", addr_print_ip(&prefix->base, text, sizeof text), prefix->bits);
}

/* clang-format off */
static const struct conf_key row_keys[] = {
    {"client", CONF_CUSTOM, offsetof(struct egress_row, client), NULL, .parse = parse_prefix, .dump = dump_prefix,
     .help = "Clients' addresses: an address or a prefix; the longest around a client counts; required."},
    {"egress", CONF_CUSTOM, offsetof(struct egress_row, egress), NULL, .parse = parse_prefix, .dump = dump_prefix,
     .help = "One address for all of them, of any family, or a prefix of the same family and length, in which each keeps its host bits; required."},
    {.path = NULL},
};

static const struct conf_key assignment_keys[] = {
    {"client", CONF_CUSTOM, offsetof(struct egress_assignment, client), NULL, .parse = parse_prefix, .dump = dump_prefix,
     .help = "Clients' addresses: an address or a prefix; the longest around a client counts; required."},
    {"prefixes", CONF_PREFIXES, offsetof(struct egress_assignment, prefixes), NULL, .min = 0, .max = PREFIXES_MAX, .unit = "prefixes",
     .help = "What was assigned to each of them, and nothing else is theirs; required."},
    {.path = NULL},
};
/* clang-format on */

/* ---- Arrays of objects ---- */

struct array {
    const struct conf_key *keys;
    size_t size, max;
};
static const struct array row_array = {row_keys, sizeof(struct egress_row), ROWS_MAX};
static const struct array assignment_array = {assignment_keys, sizeof(struct egress_assignment),
                                              ROWS_MAX};

/* *count entries are to be cleared, also after a failure. NULL: failed, or empty. */
static bool parse_array(struct conf_parse *p, const json_t *value, const struct array *of,
                        void **item, size_t *count)
{
    size_t n = json_array_size(value);

    if (!json_is_array(value))
        return conf_fail(p, "expected an array of objects");
    if (n > of->max)
        return conf_fail(p, "has more than %zu entries", of->max);
    if (n == 0)
        return true;
    *item = calloc(n, of->size);
    if (*item == NULL)
        return conf_fail(p, "out of memory");
    for (size_t i = 0; i < n; i++) {
        conf_enter(p, NULL, i);
        *count = i + 1;
        if (!conf_object(p, json_array_get(value, i), of->keys, (char *)*item + i * of->size,
                         of->size))
            return false;
        conf_leave(p);
    }
    return true;
}

static void clear_array(const struct array *of, void *item, size_t count)
{
    for (size_t i = 0; i < count; i++)
        conf_clear(of->keys, (char *)item + i * of->size);
    free(item);
}

static json_t *dump_array(const struct array *of, const void *item, size_t count)
{
    json_t *out = json_array();

    for (size_t i = 0; out != NULL && i < count; i++) {
        const char *at = (const char *)item + i * of->size;
        if (json_array_append_new(out, conf_dump(of->keys, at, false)) == 0)
            continue;
        json_decref(out);
        return NULL;
    }
    return out;
}

static bool parse_rows(struct conf_parse *p, const json_t *value, void *field)
{
    struct egress_rows *rows = field;
    void *item = NULL;
    bool ok = parse_array(p, value, &row_array, &item, &rows->count);

    rows->item = item;
    for (size_t i = 0; ok && i < rows->count; i++) {
        const struct prefix *client = &rows->item[i].client, *egress = &rows->item[i].egress;
        bool single = egress->bits == (egress->base.family == ADDR_IPV4 ? 32 : 128);

        conf_enter(p, NULL, i);
        conf_enter(p, "egress", 0);
        if (!egress_usable(&egress->base))
            return conf_fail(p, "nothing can leave from %s addresses",
                             addr_class_name(addr_class(&egress->base)));
        if (!single &&
            (egress->bits != client->bits || egress->base.family != client->base.family))
            return conf_fail(
                p, "must be an address, or a prefix of the client's family and length (/%u)",
                client->bits);
        conf_leave(p);
        conf_leave(p);
    }
    return ok;
}

static void clear_rows(void *field)
{
    struct egress_rows *rows = field;

    clear_array(&row_array, rows->item, rows->count);
    *rows = (struct egress_rows){0};
}

static json_t *dump_rows(const void *field)
{
    const struct egress_rows *rows = field;

    return dump_array(&row_array, rows->item, rows->count);
}

static bool parse_assigned(struct conf_parse *p, const json_t *value, void *field)
{
    struct egress_assignments *list = field;
    void *item = NULL;
    bool ok = parse_array(p, value, &assignment_array, &item, &list->count);

    list->item = item;
    return ok;
}

static void clear_assigned(void *field)
{
    struct egress_assignments *list = field;

    clear_array(&assignment_array, list->item, list->count);
    *list = (struct egress_assignments){0};
}

static json_t *dump_assigned(const void *field)
{
    const struct egress_assignments *list = field;

    return dump_array(&assignment_array, list->item, list->count);
}

/* ---- A policy ---- */

/* clang-format off */
static const struct conf_key keys[] = {
    {"name", CONF_STRING, OFF(name), NULL,
     .help = "What listeners[].egress calls it; \"default\" is for listeners that name none; required."},
    {"ipv4", CONF_ENUM, OFF(ipv4), "\"share\"", .choices = ipv4_names,
     .help = "Source addresses towards IPv4 targets: of the pool, of the map, or the client's own."},
    {"ipv6", CONF_ENUM, OFF(ipv6), "\"share\"", .choices = ipv6_names,
     .help = "The same for IPv6; preserve_address is the address behind the client that MP_CONVERT tells, if assigned to it."},
    {"otherwise", CONF_ENUM, OFF(otherwise), "\"refuse\"", .choices = otherwise_names,
     .help = "What becomes of a client that the mode has no address for: no row, or a target of the other family."},
    {"pool", CONF_PREFIXES, OFF(pool), "[]", .min = 0, .max = POOL_MAX, .unit = "prefixes",
     .help = "Addresses and prefixes that are shared; every address of a prefix is used. None of a family: the kernel chooses."},
    {"subscriber_prefix4", CONF_U32, OFF(subscriber_prefix4), "32", .min = 1, .max = 32, .unit = "bits",
     .help = "Leading bits of an IPv4 client that make one subscriber: all its connections leave from one address of the pool."},
    {"subscriber_prefix6", CONF_U32, OFF(subscriber_prefix6), "56", .min = 1, .max = 128, .unit = "bits",
     .help = "The same for IPv6."},
    {"map", CONF_CUSTOM, OFF(map), "[]", .parse = parse_rows, .clear = clear_rows, .dump = dump_rows,
     .help = "Rows for one_to_one; an array of objects, see below."},
    {"assigned", CONF_CUSTOM, OFF(assigned), "[]", .parse = parse_assigned, .clear = clear_assigned, .dump = dump_assigned,
     .help = "Prefixes assigned to clients, for preserve_address; an array of objects, see below."},
    {"assigned_prefix6", CONF_U32, OFF(assigned_prefix6), "0", .min = 0, .max = 128, .unit = "bits",
     .help = "A client without a row in assigned has what shares so many leading bits with it, such as 56; 0: nothing."},
    {"keep_port", CONF_BOOL, OFF(keep_port), "false",
     .help = "Preserve the client's port as well, or the one told with the address; taken already: the connection is refused."},
    {.path = NULL},
};
/* clang-format on */

const struct conf_key *egress_keys(void)
{
    return keys;
}

const struct conf_key *egress_row_keys(void)
{
    return row_keys;
}

const struct conf_key *egress_assignment_keys(void)
{
    return assignment_keys;
}

static bool fail_at(struct conf_parse *p, const char *key, const char *reason)
{
    conf_enter(p, key, 0);
    return conf_fail(p, "%s", reason);
}

static bool check_pool(struct conf_parse *p, const struct conf_prefixes *pool)
{
    conf_enter(p, "pool", 0);
    for (size_t i = 0; i < pool->count; i++) {
        conf_enter(p, NULL, i);
        if (!egress_usable(&pool->item[i].base))
            return conf_fail(p, "nothing can leave from %s addresses",
                             addr_class_name(addr_class(&pool->item[i].base)));
        conf_leave(p);
    }
    conf_leave(p);
    return true;
}

static bool fail_duplicate(struct conf_parse *p, const char *key, uint32_t at)
{
    conf_enter(p, key, 0);
    conf_enter(p, NULL, at);
    conf_enter(p, "client", 0);
    return conf_fail(p, "has a row already");
}

static bool check_tables(struct conf_parse *p, const struct egress_policy *e)
{
    uint32_t at = prefix_table_duplicate(e->map4);

    if (at == PREFIX_TABLE_NONE)
        at = prefix_table_duplicate(e->map6);
    if (at != PREFIX_TABLE_NONE)
        return fail_duplicate(p, "map", at);
    at = prefix_table_duplicate(e->assignment);
    if (at != PREFIX_TABLE_NONE)
        return fail_duplicate(p, "assigned", at);
    if ((e->ipv4 == EGRESS_ONE_TO_ONE && prefix_table_count(e->map4) == 0) ||
        (e->ipv6 == EGRESS_ONE_TO_ONE && prefix_table_count(e->map6) == 0))
        return fail_at(p, "map", "one_to_one needs rows with an egress of its family");
    if (e->ipv6 == EGRESS_PRESERVE_ADDRESS && e->assigned.count == 0 &&
        e->assigned_prefix6 == 0)
        return fail_at(p, "assigned", "preserve_address needs rows here or assigned_prefix6");
    if (e->keep_port && !egress_is_transparent(e))
        return fail_at(p, "keep_port", "needs a preserving mode");
    return true;
}

static bool parse_policy(struct conf_parse *p, const json_t *value, struct egress_policy *out)
{
    if (!conf_object(p, value, keys, out, sizeof *out))
        return false;
    if (out->name[0] == '\0')
        return fail_at(p, "name", "must not be empty");
    if (!check_pool(p, &out->pool))
        return false;
    if (!egress_build(out))
        return conf_fail(p, "out of memory");
    return check_tables(p, out);
}

const struct egress_policy *egress_find(const struct egress_list *list, const char *name)
{
    for (size_t i = 0; i < list->count; i++) {
        if (strcmp(list->item[i].name, name) == 0)
            return &list->item[i];
    }
    return NULL;
}

bool egress_parse(struct conf_parse *p, const json_t *value, void *field)
{
    struct egress_list *list = field;
    size_t count = json_array_size(value);

    if (!json_is_array(value))
        return conf_fail(p, "expected an array of egress policies");
    if (count > EGRESS_POLICIES_MAX)
        return conf_fail(p, "has more than %d policies", EGRESS_POLICIES_MAX);
    if (count == 0)
        return true;
    list->item = calloc(count, sizeof *list->item);
    if (list->item == NULL)
        return conf_fail(p, "out of memory");
    for (size_t i = 0; i < count; i++) {
        struct egress_policy *e = &list->item[i];

        conf_enter(p, NULL, i);
        list->count = i + 1; /* also a half-parsed one is freed */
        if (!parse_policy(p, json_array_get(value, i), e))
            return false;
        if (egress_find(list, e->name) != e)
            return fail_at(p, "name", "another policy has it");
        conf_leave(p);
    }
    return true;
}

void egress_clear(void *field)
{
    struct egress_list *list = field;

    for (size_t i = 0; i < list->count; i++) {
        egress_unbuild(&list->item[i]);
        conf_clear(keys, &list->item[i]);
    }
    free(list->item);
    *list = (struct egress_list){0};
}

json_t *egress_dump(const void *field)
{
    static const struct array policies = {keys, sizeof(struct egress_policy),
                                          EGRESS_POLICIES_MAX};
    const struct egress_list *list = field;

    return dump_array(&policies, list->item, list->count);
}
