/* SPDX-License-Identifier: MIT */
/* The rules of acl.h as JSON:
 * {"action": "deny", "source": ["192.0.2.0/24"], "user": ["alice"], "target": ["2001:db8::/32",
 * "*.example.net"], "port": [25, "6000-6100"]}. Absent or empty lists match everything; only
 * "action" is required. */
#include "acl.h"
#include <string.h>

enum { RULES_MAX = 1024, TARGETS_MAX = 4096, PORTS_MAX = 256 };

/* --- target --- */

/* "example.net" or "*.example.net"; nothing whose last label is a number: that is an address
 * with a typing error. */
static bool is_pattern(const char *text)
{
    struct target t;
    const char *host = strncmp(text, "*.", 2) == 0 ? text + 2 : text,
               *label = strrchr(host, '.');
    size_t len = strlen(host);

    label = label == NULL ? host : label + 1;
    return len > 0 && host[len - 1] != '.' && strspn(label, "0123456789") < strlen(label) &&
           target_from_host(span_of(host, len), 0, &t) && target_is_name(&t);
}

static bool parse_one_target(struct conf_parse *p, const json_t *value, struct acl_rule *rule)
{
    const char *text = json_string_value(value);

    if (text != NULL && prefix_parse(text, &rule->target.item[rule->target.count])) {
        rule->target.count++;
        return true;
    }
    if (text == NULL || !is_pattern(text))
        return conf_fail(p, "expected a prefix without host bits such as \"192.0.2.0/24\", or "
                            "a host name such as "
                            "\"example.net\" or \"*.example.net\"");
    rule->names.item[rule->names.count] = strdup(text);
    if (rule->names.item[rule->names.count] == NULL)
        return conf_fail(p, "out of memory");
    rule->names.count++;
    return true;
}

/* Both lists get room for all entries: which is which shows only while reading. */
static bool parse_target(struct conf_parse *p, const json_t *value, void *field)
{
    struct acl_rule *rule = field;
    size_t count = json_array_size(value);

    if (!json_is_array(value))
        return conf_fail(p, "expected an array of prefixes and host names");
    if (count > TARGETS_MAX)
        return conf_fail(p, "has more than %d entries", TARGETS_MAX);
    if (count == 0)
        return true;
    rule->target.item = calloc(count, sizeof *rule->target.item);
    rule->names.item = calloc(count, sizeof(char *));
    if (rule->target.item == NULL || rule->names.item == NULL)
        return conf_fail(p, "out of memory");
    for (size_t i = 0; i < count; i++) {
        conf_enter(p, NULL, i);
        if (!parse_one_target(p, json_array_get(value, i), rule))
            return false;
        conf_leave(p);
    }
    return true;
}

static void clear_target(void *field)
{
    struct acl_rule *rule = field;

    for (size_t i = 0; i < rule->names.count; i++)
        free(rule->names.item[i]);
    free(rule->names.item);
    free(rule->target.item);
    rule->names = (struct conf_strings){0};
    rule->target = (struct conf_prefixes){0};
}

/* Appends `value` (a new reference, may be NULL); drops `array` and returns NULL when out of
 * memory. */
static json_t *append(json_t *array, json_t *value)
{
    if (array != NULL && json_array_append_new(array, value) == 0)
        return array;
    if (array == NULL)
        json_decref(value);
    json_decref(array);
    return NULL;
}

static json_t *dump_target(const void *field)
{
    const struct acl_rule *rule = field;
    json_t *out = json_array();
    char text[ADDR_TEXT_MAX];

    for (size_t i = 0; i < rule->target.count; i++) {
        const struct prefix *prefix = &rule->target.item[i];

        out = append(out, json_sprintf("%s/%u", addr_print_ip(&prefix->base, text, sizeof text),
                                       prefix->bits));
    }
    for (size_t i = 0; i < rule->names.count; i++)
        out = append(out, json_string(rule->names.item[i]));
    return out;
}

/* --- port --- */

/* 1..65535 from 1..5 digits; 0 when it is not. *end is behind the digits. */
static uint16_t parse_port(const char *text, const char **end)
{
    size_t digits = strspn(text, "0123456789");
    unsigned n = 0;

    *end = text + digits;
    if (digits == 0 || digits > 5)
        return 0;
    for (size_t i = 0; i < digits; i++)
        n = n * 10 + (unsigned)(text[i] - '0');
    return n <= UINT16_MAX ? (uint16_t)n : 0;
}

bool acl_parse_range(const json_t *value, uint16_t *first, uint16_t *last)
{
    const char *text = json_string_value(value), *end;

    if (json_is_integer(value)) {
        json_int_t n = json_integer_value(value);

        *first = *last = n > 0 && n <= UINT16_MAX ? (uint16_t)n : 0;
        return *first != 0;
    }
    if (text == NULL)
        return false;
    *first = *last = parse_port(text, &end);
    if (*first != 0 && *end == '-')
        *last = parse_port(end + 1, &end);
    return *first != 0 && *last >= *first && *end == '\0';
}

static bool parse_ports(struct conf_parse *p, const json_t *value, void *field)
{
    struct acl_rule *rule = field;
    size_t count = json_array_size(value);

    if (!json_is_array(value))
        return conf_fail(p, "expected an array of ports and port ranges");
    if (count > PORTS_MAX)
        return conf_fail(p, "has more than %d entries", PORTS_MAX);
    if (count == 0)
        return true;
    rule->ports = calloc(count, sizeof *rule->ports);
    if (rule->ports == NULL)
        return conf_fail(p, "out of memory");
    for (size_t i = 0; i < count; i++) {
        conf_enter(p, NULL, i);
        if (!acl_parse_range(json_array_get(value, i), &rule->ports[i].first,
                             &rule->ports[i].last))
            return conf_fail(p, "expected a port such as 25, or a range such as \"6000-6100\"");
        rule->port_count++;
        conf_leave(p);
    }
    return true;
}

static void clear_ports(void *field)
{
    struct acl_rule *rule = field;

    free(rule->ports);
    rule->ports = NULL;
    rule->port_count = 0;
}

static json_t *dump_ports(const void *field)
{
    const struct acl_rule *rule = field;
    json_t *out = json_array();

    for (size_t i = 0; i < rule->port_count; i++) {
        unsigned first = rule->ports[i].first, last = rule->ports[i].last;

        out = append(out,
                     first == last ? json_integer(first) : json_sprintf("%u-%u", first, last));
    }
    return out;
}

/* --- rules --- */

static const char *const actions[] = {[ACL_ALLOW] = "allow", [ACL_DENY] = "deny", NULL};

/* clang-format off */
static const struct conf_key rule_keys[] = {
    {.path = "action", .type = CONF_ENUM,     .offset = offsetof(struct acl_rule, action), .choices = actions,
     .help = "What happens when the rule applies."},
    {.path = "source", .type = CONF_PREFIXES, .offset = offsetof(struct acl_rule, source), .fallback = "[]",
     .help = "Client addresses."},
    {.path = "user",   .type = CONF_STRINGS,  .offset = offsetof(struct acl_rule, users),  .fallback = "[]",
     .help = "Names of authenticated users."},
    /* These two fill two fields each, so they get the whole rule. */
    {.path = "target", .type = CONF_CUSTOM,   .offset = 0, .fallback = "[]",
     .parse = parse_target, .clear = clear_target, .dump = dump_target,
     .help = "Prefixes of the address connected to, and patterns of the host name asked for."},
    {.path = "port",   .type = CONF_CUSTOM,   .offset = 0, .fallback = "[]",
     .parse = parse_ports,  .clear = clear_ports,  .dump = dump_ports,
     .help = "Target ports and port ranges."},
    {.path = NULL},
};
/* clang-format on */

bool acl_parse_rules(struct conf_parse *p, const json_t *value, void *field)
{
    struct acl_rules *rules = field;
    size_t count = json_array_size(value);

    if (!json_is_array(value))
        return conf_fail(p, "expected an array of rules");
    if (count > RULES_MAX)
        return conf_fail(p, "has more than %d rules", RULES_MAX);
    if (count == 0)
        return true;
    rules->item = calloc(count, sizeof *rules->item);
    if (rules->item == NULL)
        return conf_fail(p, "out of memory");
    for (size_t i = 0; i < count; i++) {
        conf_enter(p, NULL, i);
        if (!conf_object(p, json_array_get(value, i), rule_keys, &rules->item[i],
                         sizeof rules->item[i]))
            return false;
        rules->count++;
        conf_leave(p);
    }
    return true;
}

void acl_clear_rules(void *field)
{
    struct acl_rules *rules = field;

    for (size_t i = 0; i < rules->count; i++)
        conf_clear(rule_keys, &rules->item[i]);
    free(rules->item);
    *rules = (struct acl_rules){0};
}

json_t *acl_dump_rules(const void *field)
{
    const struct acl_rules *rules = field;
    json_t *out = json_array();

    for (size_t i = 0; i < rules->count; i++)
        out = append(out, conf_dump(rule_keys, &rules->item[i], false));
    return out;
}
