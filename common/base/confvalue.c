/* SPDX-License-Identifier: MIT */
#include "base/confvalue.h"
#include <errno.h>
#include <stdlib.h>
#include <string.h>

enum { ENTRIES_MAX = 4096 };

static bool no_memory(struct conf_parse *p)
{
    return conf_fail(p, "out of memory");
}

static const char *print_seconds(uint64_t ms, char buf[CONF_VALUE_MAX])
{
    int n = snprintf(buf, CONF_VALUE_MAX, "%llu.%03u", (unsigned long long)(ms / 1000),
                     (unsigned)(ms % 1000));

    while (n > 0 && buf[n - 1] == '0')
        buf[--n] = '\0';
    if (n > 0 && buf[n - 1] == '.')
        buf[--n] = '\0';
    return buf;
}

const char *conf_print(enum conf_type type, uint64_t value, char buf[CONF_VALUE_MAX])
{
    static const char suffixes[] = "kMG";
    size_t steps = 0;

    if (type == CONF_MS)
        return print_seconds(value, buf);
    while (type == CONF_U64 && value != 0 && value % 1024 == 0 && steps < strlen(suffixes)) {
        value /= 1024;
        steps++;
    }
    (void)snprintf(buf, CONF_VALUE_MAX, "%llu%.1s", (unsigned long long)value,
                   steps == 0 ? "" : suffixes + steps - 1);
    return buf;
}

const char *conf_unit(const struct conf_key *key)
{
    if (key->unit != NULL)
        return key->unit;
    if (key->type == CONF_MS)
        return "seconds";
    return key->type == CONF_U64 ? "octets" : "";
}

static bool check_range(struct conf_parse *p, const struct conf_key *key, uint64_t value,
                        uint64_t type_max)
{
    uint64_t max = key->max == 0 ? type_max : key->max;
    char low[CONF_VALUE_MAX], high[CONF_VALUE_MAX];
    const char *unit = conf_unit(key);

    if (value >= key->min && value <= max)
        return true;
    return conf_fail(p, "must be %s to %s%s%s", conf_print(key->type, key->min, low),
                     conf_print(key->type, max, high), *unit == '\0' ? "" : " ", unit);
}

static bool parse_bool(struct conf_parse *p, const struct conf_key *key, const json_t *value,
                       void *field)
{
    bool *out = field;

    (void)key; /* has no range */
    if (!json_is_boolean(value))
        return conf_fail(p, "expected true or false");
    *out = json_is_true(value);
    return true;
}

static bool parse_u32(struct conf_parse *p, const struct conf_key *key, const json_t *value,
                      void *field)
{
    uint32_t *out = field;
    json_int_t n = json_integer_value(value);

    if (!json_is_integer(value))
        return conf_fail(p, "expected a whole number");
    if (!check_range(p, key, n < 0 ? UINT64_MAX : (uint64_t)n, UINT32_MAX))
        return false;
    *out = (uint32_t)n;
    return true;
}

/* "64k": digits and one of k, M, G, which count 1024, 1024^2, 1024^3. */
static bool read_size(const char *text, uint64_t *out)
{
    static const char suffixes[] = "kKmMgG";
    char *end;
    const char *suffix;
    unsigned shift = 0;
    unsigned long long n;

    if (*text < '0' || *text > '9')
        return false;
    errno = 0;
    n = strtoull(text, &end, 10);
    if (errno != 0)
        return false;
    if (*end != '\0') {
        suffix = strchr(suffixes, *end);
        if (suffix == NULL || end[1] != '\0')
            return false;
        shift = 10 * (unsigned)((suffix - suffixes) / 2 + 1);
    }
    if (n > UINT64_MAX >> shift)
        return false;
    *out = (uint64_t)n << shift;
    return true;
}

static bool parse_u64(struct conf_parse *p, const struct conf_key *key, const json_t *value,
                      void *field)
{
    uint64_t *out = field, n = 0;

    if (json_is_integer(value))
        n = json_integer_value(value) < 0 ? UINT64_MAX : (uint64_t)json_integer_value(value);
    else if (!json_is_string(value) || !read_size(json_string_value(value), &n))
        return conf_fail(p, "expected a number of octets such as 65536, \"64k\" or \"4M\"");
    if (!check_range(p, key, n, (uint64_t)INT64_MAX))
        return false;
    *out = n;
    return true;
}

static bool parse_ms(struct conf_parse *p, const struct conf_key *key, const json_t *value,
                     void *field)
{
    uint32_t *out = field;
    double ms = json_number_value(value) * 1000;
    uint64_t n;

    if (!json_is_number(value))
        return conf_fail(p, "expected a number of seconds");
    n = ms < 0 || ms > UINT32_MAX ? UINT64_MAX : (uint64_t)(ms + 0.5);
    if (!check_range(p, key, n, UINT32_MAX))
        return false;
    *out = (uint32_t)n;
    return true;
}

static bool parse_string(struct conf_parse *p, const struct conf_key *key, const json_t *value,
                         void *field)
{
    char **out = field;

    (void)key;
    if (json_is_null(value))
        return true;
    if (!json_is_string(value))
        return conf_fail(p, "expected a string");
    *out = strdup(json_string_value(value));
    return *out != NULL || no_memory(p);
}

static bool parse_enum(struct conf_parse *p, const struct conf_key *key, const json_t *value,
                       void *field)
{
    const char *text = json_string_value(value);
    char all[256] = "";
    size_t len = 0;
    int *out = field;

    for (int i = 0; key->choices[i] != NULL; i++) {
        int n;

        if (text != NULL && strcmp(text, key->choices[i]) == 0) {
            *out = i;
            return true;
        }
        n = snprintf(all + len, sizeof all - len, "%s\"%s\"", i == 0 ? "" : ", ",
                     key->choices[i]);
        if (n > 0 && (size_t)n < sizeof all - len)
            len += (size_t)n;
    }
    return conf_fail(p, "must be one of %s", all);
}

static bool parse_addr(struct conf_parse *p, const struct conf_key *key, const json_t *value,
                       void *field)
{
    (void)key;
    if (json_is_null(value))
        return true;
    if (!json_is_string(value) || !addr_parse(json_string_value(value), field))
        return conf_fail(
            p, "expected an address and port such as \"192.0.2.1:80\" or \"[2001:db8::1]:80\"");
    return true;
}

static bool check_array(struct conf_parse *p, const struct conf_key *key, const json_t *value,
                        const char *of)
{
    size_t max = key->max == 0 ? ENTRIES_MAX : (size_t)key->max;

    if (!json_is_array(value))
        return conf_fail(p, "expected an array of %s", of);
    return json_array_size(value) <= max || conf_fail(p, "has more than %zu entries", max);
}

static bool parse_strings(struct conf_parse *p, const struct conf_key *key, const json_t *value,
                          void *field)
{
    struct conf_strings *out = field;
    size_t count = json_array_size(value); /* 0 for what is not an array */

    if (!check_array(p, key, value, "strings"))
        return false;
    if (count == 0)
        return true;
    out->item = calloc(count, sizeof *out->item);
    if (out->item == NULL)
        return no_memory(p);
    for (size_t i = 0; i < count; i++) {
        const char *text = json_string_value(json_array_get(value, i));

        conf_enter(p, NULL, i);
        if (text == NULL)
            return conf_fail(p, "expected a string");
        out->item[i] = strdup(text);
        if (out->item[i] == NULL)
            return no_memory(p);
        out->count++;
        conf_leave(p);
    }
    return true;
}

static bool parse_prefixes(struct conf_parse *p, const struct conf_key *key,
                           const json_t *value, void *field)
{
    struct conf_prefixes *out = field;
    size_t count = json_array_size(value); /* 0 for what is not an array */

    if (!check_array(p, key, value, "prefixes"))
        return false;
    if (count == 0)
        return true;
    out->item = calloc(count, sizeof *out->item);
    if (out->item == NULL)
        return no_memory(p);
    for (size_t i = 0; i < count; i++) {
        const char *text = json_string_value(json_array_get(value, i));

        conf_enter(p, NULL, i);
        if (text == NULL || !prefix_parse(text, &out->item[i]))
            return conf_fail(p, "expected a prefix such as \"192.0.2.0/24\" or "
                                "\"2001:db8::/32\", without host bits");
        out->count++;
        conf_leave(p);
    }
    return true;
}

static bool parse_custom(struct conf_parse *p, const struct conf_key *key, const json_t *value,
                         void *field)
{
    return key->parse(p, value, field);
}

bool confvalue_parse(struct conf_parse *p, const struct conf_key *key, const json_t *value,
                     void *field)
{
    static bool (*const parse[])(struct conf_parse *, const struct conf_key *, const json_t *,
                                 void *) = {
        [CONF_BOOL] = parse_bool,         [CONF_U32] = parse_u32,
        [CONF_U64] = parse_u64,           [CONF_MS] = parse_ms,
        [CONF_STRING] = parse_string,     [CONF_ENUM] = parse_enum,
        [CONF_ADDR] = parse_addr,         [CONF_STRINGS] = parse_strings,
        [CONF_PREFIXES] = parse_prefixes, [CONF_CUSTOM] = parse_custom,
    };

    return parse[key->type](p, key, value, field);
}

static void clear_strings(struct conf_strings *list)
{
    for (size_t i = 0; i < list->count; i++)
        free(list->item[i]);
    free(list->item);
    *list = (struct conf_strings){0};
}

void confvalue_clear(const struct conf_key *key, void *field)
{
    char **string = field;
    struct conf_prefixes *prefixes = field;

    switch (key->type) {
    case CONF_STRING:
        free(*string);
        *string = NULL;
        break;
    case CONF_STRINGS:
        clear_strings(field);
        break;
    case CONF_PREFIXES:
        free(prefixes->item);
        *prefixes = (struct conf_prefixes){0};
        break;
    case CONF_CUSTOM:
        if (key->clear != NULL)
            key->clear(field);
        break;
    case CONF_BOOL:
    case CONF_U32:
    case CONF_U64:
    case CONF_MS:
    case CONF_ENUM:
    case CONF_ADDR:
        break;
    }
}

static json_t *dump_size(uint64_t value)
{
    char text[CONF_VALUE_MAX];

    if (value == 0 || value % 1024 != 0)
        return json_integer((json_int_t)value);
    return json_string(conf_print(CONF_U64, value, text));
}

static json_t *dump_seconds(uint32_t ms)
{
    return ms % 1000 == 0 ? json_integer(ms / 1000) : json_real(ms / 1000.0);
}

static json_t *dump_addr(const struct addr *a)
{
    char text[ADDR_TEXT_MAX];

    return a->family == ADDR_NONE ? json_null() : json_string(addr_print(a, text, sizeof text));
}

static json_t *dump_strings(const struct conf_strings *list)
{
    json_t *out = json_array();

    for (size_t i = 0; out != NULL && i < list->count; i++) {
        if (json_array_append_new(out, json_string(list->item[i])) == 0)
            continue;
        json_decref(out);
        return NULL;
    }
    return out;
}

static json_t *dump_prefixes(const struct conf_prefixes *list)
{
    json_t *out = json_array();

    for (size_t i = 0; out != NULL && i < list->count; i++) {
        char text[ADDR_TEXT_MAX];

        (void)addr_print_ip(&list->item[i].base, text, sizeof text); /* returns its argument */
        if (json_array_append_new(out, json_sprintf("%s/%u", text, list->item[i].bits)) == 0)
            continue;
        json_decref(out);
        return NULL;
    }
    return out;
}

json_t *confvalue_dump(const struct conf_key *key, const void *field)
{
    char *const *string = field;

    switch (key->type) {
    case CONF_BOOL:
        return json_boolean(*(const bool *)field);
    case CONF_U32:
        return json_integer(*(const uint32_t *)field);
    case CONF_U64:
        return dump_size(*(const uint64_t *)field);
    case CONF_MS:
        return dump_seconds(*(const uint32_t *)field);
    case CONF_STRING:
        return *string == NULL ? json_null() : json_string(*string);
    case CONF_ENUM:
        return json_string(key->choices[*(const int *)field]);
    case CONF_ADDR:
        return dump_addr(field);
    case CONF_STRINGS:
        return dump_strings(field);
    case CONF_PREFIXES:
        return dump_prefixes(field);
    case CONF_CUSTOM:
        return key->dump(field);
    }
    return NULL;
}
