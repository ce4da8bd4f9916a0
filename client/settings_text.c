/* SPDX-License-Identifier: MIT */
#include "settings_text.h"
#include <string.h>

static const char hex_digits[] = "0123456789abcdef";

struct text text_into(char *buf, size_t cap)
{
    buf[0] = '\0';
    return (struct text){.buf = buf, .cap = cap};
}

void text_add_octet(struct text *t, char c)
{
    if (t->len + 1 >= t->cap)
        return;
    t->buf[t->len++] = c;
    t->buf[t->len] = '\0';
}

void text_add(struct text *t, const char *s)
{
    for (; *s != '\0'; s++)
        text_add_octet(t, *s);
}

void text_add_number(struct text *t, unsigned long n)
{
    char digits[24];
    size_t at = sizeof digits;

    digits[--at] = '\0';
    do
        digits[--at] = (char)('0' + n % 10);
    while ((n /= 10) != 0);
    text_add(t, digits + at);
}

void text_add_printable(struct text *t, const char *s)
{
    for (; *s != '\0'; s++) {
        unsigned char c = (unsigned char)*s;
        if (c >= ' ' && c < 0x7f) {
            text_add_octet(t, *s);
            continue;
        }
        text_add(t, "\\x");
        text_add_octet(t, hex_digits[c >> 4]);
        text_add_octet(t, hex_digits[c & 15]);
    }
}

/* Calls `each` for the parts between commas; false: one of them was refused, or is empty. */
static bool for_each_part(const char *list,
                          bool (*each)(void *arg, const char *part, size_t len), void *arg)
{
    for (;;) {
        size_t len = strcspn(list, ",");
        if (len == 0 || !each(arg, list, len))
            return false;
        if (list[len] == '\0')
            return true;
        list += len + 1;
    }
}

struct proxy_list {
    struct addr item[SETTINGS_PROXIES_MAX];
    uint8_t count;
    bool full;
};

static bool add_proxy(void *arg, const char *part, size_t len)
{
    struct proxy_list *list = arg;
    char text[ADDR_TEXT_MAX];
    struct addr a;

    if (list->count == SETTINGS_PROXIES_MAX) {
        list->full = true;
        return false;
    }
    if (len >= sizeof text)
        return false;
    memcpy(text, part, len);
    text[len] = '\0';
    if (!addr_parse(text, &a) || a.port == 0)
        return false;
    list->item[list->count++] = a;
    return true;
}

static const char *parse_proxies(const char *value, struct settings *s)
{
    struct proxy_list list = {.count = 0};

    if (*value != '\0' && !for_each_part(value, add_proxy, &list))
        return list.full ? "more than 8 concentrators" : "not a list of addresses with a port";
    memcpy(s->proxy, list.item, sizeof s->proxy);
    s->proxies = list.count;
    return NULL;
}

static bool add_bypass(void *arg, const char *part, size_t len)
{
    return bypass_add(arg, part, len);
}

static const char *parse_bypass(const char *value, struct settings *s)
{
    struct bypass list = {.count = 0};

    if (*value == '\0')
        bypass_default(&list);
    else if (strcmp(value, "none") != 0 && !for_each_part(value, add_bypass, &list))
        return list.count == BYPASS_MAX ? "more than 128 networks"
                                        : "not a list of CIDR or CIDR:port";
    s->bypass = list;
    return NULL;
}

static int nibble(char c)
{
    const char *at = strchr(hex_digits, c >= 'A' && c <= 'F' ? c - 'A' + 'a' : c);

    return c == '\0' || at == NULL ? -1 : (int)(at - hex_digits);
}

static const char *parse_hex(const char *value, uint8_t *field, uint8_t *len)
{
    uint8_t octets[SETTINGS_TEXT_MAX] = {0};
    size_t n = strlen(value);

    if (n % 2 != 0 || n / 2 >= sizeof octets)
        return "not an even number of up to 510 hexadecimal digits";
    for (size_t i = 0; i < n / 2; i++) {
        int high = nibble(value[2 * i]), low = nibble(value[2 * i + 1]);
        if (high < 0 || low < 0)
            return "not an even number of up to 510 hexadecimal digits";
        octets[i] = (uint8_t)(high << 4 | low);
    }
    memcpy(field, octets, sizeof octets);
    *len = (uint8_t)(n / 2);
    return NULL;
}

/* A decimal number of at most `high`, the octets behind it in *rest; false: none. */
static bool parse_number(const char *value, uint64_t high, uint64_t *out, const char **rest)
{
    uint64_t n = 0;
    const char *at = value;

    for (; *at >= '0' && *at <= '9'; at++) {
        n = n * 10 + (uint64_t)(*at - '0');
        if (n > high)
            return false;
    }
    *out = n;
    *rest = at;
    return at != value;
}

static const char *parse_size(const char *value, uint32_t high, uint32_t *field)
{
    static const char units[] = "kMG";
    const char *rest, *unit;
    uint64_t n;

    if (!parse_number(value, high, &n, &rest))
        return "not a number of octets up to 1G";
    unit = *rest != '\0' ? strchr(units, *rest) : NULL;
    if (unit != NULL) {
        n <<= 10 * (unit - units + 1);
        rest++;
    }
    if (*rest != '\0' || n > high)
        return "not a number of octets up to 1G";
    *field = (uint32_t)n;
    return NULL;
}

static const char *parse_seconds(const struct setting *k, const char *value, uint32_t *field)
{
    const char *rest;
    uint64_t n;

    if (!parse_number(value, k->high, &n, &rest) || *rest != '\0' || n < k->low)
        return "not a number of seconds from 1 to 600";
    *field = (uint32_t)n * 1000;
    return NULL;
}

/* Its number among the choices, or -1. */
static int choice(const struct setting *k, const char *value)
{
    for (int i = 0; k->choices[i] != NULL; i++) {
        if (strcmp(k->choices[i], value) == 0)
            return i;
    }
    return -1;
}

static const char *parse_text(const char *value, char *field, size_t cap, uint8_t *len)
{
    size_t n = strlen(value);

    if (n >= cap)
        return "too long";
    memset(field, 0, cap);
    memcpy(field, value, n);
    if (len != NULL)
        *len = (uint8_t)n;
    return NULL;
}

static const enum protocol dialect_of[] = {PROTOCOL_MP_CONVERT, PROTOCOL_CONVERT,
                                           PROTOCOL_SOCKS5};

const char *setting_parse(const struct setting *k, const char *value, struct settings *s)
{
    char *base = (char *)s;
    void *field = base + k->field;
    uint8_t *len = (uint8_t *)base + k->low;
    int i;

    switch (k->type) {
    case SETTING_PROXIES:
        return parse_proxies(value, s);
    case SETTING_BYPASS:
        return parse_bypass(value, s);
    case SETTING_CREDENTIAL:
        return parse_text(value, field, SETTINGS_TEXT_MAX, len);
    case SETTING_HEX:
        return parse_hex(value, field, len);
    case SETTING_TEXT:
        return parse_text(value, field, k->high, NULL);
    case SETTING_SIZE:
        return parse_size(value, k->high, field);
    case SETTING_SECONDS:
        return parse_seconds(k, value, field);
    case SETTING_BOOL:
        if ((value[0] != '0' && value[0] != '1') || value[1] != '\0')
            return "neither 0 nor 1";
        *(bool *)field = value[0] == '1';
        return NULL;
    case SETTING_DIALECT:
    case SETTING_CHOICE:
        break;
    }
    i = choice(k, value);
    if (i < 0)
        return "not one of the choices";
    if (k->type == SETTING_DIALECT)
        s->dialect = dialect_of[i];
    else
        memcpy(field, &i, sizeof i); /* enums are ints here */
    return NULL;
}

static void print_proxies(const struct settings *s, struct text *t)
{
    char text[ADDR_TEXT_MAX];

    for (unsigned i = 0; i < s->proxies; i++) {
        text_add(t, i > 0 ? "," : "");
        text_add(t, addr_print(&s->proxy[i], text, sizeof text));
    }
}

static void print_size(uint32_t n, struct text *t)
{
    const char *unit = "";

    if (n != 0 && n % (1U << 20) == 0) {
        n >>= 20;
        unit = "M";
    } else if (n != 0 && n % 1024 == 0) {
        n >>= 10;
        unit = "k";
    }
    text_add_number(t, n);
    text_add(t, unit);
}

static void print_dialect(const struct setting *k, const struct settings *s, struct text *t)
{
    for (int i = 0; k->choices[i] != NULL; i++) {
        if (dialect_of[i] == s->dialect)
            text_add(t, k->choices[i]);
    }
}

void setting_print(const struct setting *k, const struct settings *s, char *out)
{
    const char *base = (const char *)s;
    const void *field = base + k->field;
    struct text t = text_into(out, SETTINGS_VALUE_MAX);
    uint32_t number = 0;
    int i = 0;

    switch (k->type) {
    case SETTING_PROXIES:
        print_proxies(s, &t);
        break;
    case SETTING_BYPASS:
        (void)bypass_print(&s->bypass, out, SETTINGS_VALUE_MAX);
        if (s->bypass.count == 0)
            text_add(&t, "none");
        break;
    case SETTING_HEX:
        for (uint8_t n = 0; n < *((const uint8_t *)base + k->low); n++) {
            text_add_octet(&t, hex_digits[((const uint8_t *)field)[n] >> 4]);
            text_add_octet(&t, hex_digits[((const uint8_t *)field)[n] & 15]);
        }
        break;
    case SETTING_CREDENTIAL:
    case SETTING_TEXT:
        text_add(&t, field);
        break;
    case SETTING_BOOL:
        text_add(&t, *(const bool *)field ? "1" : "0");
        break;
    case SETTING_SIZE:
        memcpy(&number, field, sizeof number);
        print_size(number, &t);
        break;
    case SETTING_SECONDS:
        memcpy(&number, field, sizeof number);
        text_add_number(&t, number / 1000);
        break;
    case SETTING_DIALECT:
        print_dialect(k, s, &t);
        break;
    case SETTING_CHOICE:
        memcpy(&i, field, sizeof i);
        text_add(&t, k->choices[i]);
        break;
    }
}
