/* SPDX-License-Identifier: MIT */
/* The settings that are lists with commas between the items: concentrators, networks, names. */
#include "settings_text.h"

/* The next item of a comma-separated list without the blanks around it; false after the last.
 */
static bool next_item(const char **at, struct span *out)
{
    const char *from = *at;

    if (from == NULL)
        return false;
    size_t len = strcspn(from, ",");
    *at = from[len] == ',' ? from + len + 1 : NULL;
    while (len > 0 && *from == ' ') {
        from++;
        len--;
    }
    while (len > 0 && from[len - 1] == ' ')
        len--;
    *out = span_of(from, len);
    return true;
}

/* --- concentrators */

static bool parse_proxy(struct span item, struct addr *out, struct settings_complaint *why)
{
    char copy[ADDR_TEXT_MAX];

    if (item.len >= sizeof copy)
        return settings_complain(why, item, "not an address with a port");
    memcpy(copy, item.ptr, item.len);
    copy[item.len] = '\0';
    if (!addr_parse(copy, out) || out->port == 0)
        return settings_complain(why, item, "not an address with a port");
    *out = addr_unmap(*out);
    return true;
}

static bool parse_proxies(const struct settings_row *row, struct settings *s, const char *value,
                          struct settings_complaint *why)
{
    struct addr list[SETTINGS_PROXIES_MAX] = {{0}};
    uint8_t count = 0;
    struct span item;

    (void)row;
    while (next_item(&value, &item)) {
        struct addr a;

        if (!parse_proxy(item, &a, why))
            return false;
        if (count == SETTINGS_PROXIES_MAX)
            return settings_complain(why, item, "more than 8 concentrators");
        list[count++] = a;
    }
    memcpy(s->proxy, list, sizeof list);
    s->proxies = count;
    return true;
}

static void print_proxies(const struct settings_row *row, const struct settings *s, char *text)
{
    (void)row;
    *text = '\0';
    for (size_t i = 0; i < s->proxies && i < SETTINGS_PROXIES_MAX; i++) {
        char one[ADDR_TEXT_MAX];

        if (i > 0)
            text = settings_append(text, ",");
        text = settings_append(text, addr_print(&s->proxy[i], one, sizeof one));
    }
}

const struct settings_kind settings_kind_proxies = {parse_proxies, print_proxies};

/* --- networks */

static bool parse_bypass(const struct settings_row *row, struct settings *s, const char *value,
                         struct settings_complaint *why)
{
    struct bypass b = {.count = 0};
    const char *at = strcmp(value, "none") == 0 ? NULL : value;
    struct span item;

    while (next_item(&at, &item)) {
        if (bypass_add(&b, (const char *)item.ptr, item.len))
            continue;
        return settings_complain(why, item,
                                 b.count == BYPASS_MAX ? "more than 128 networks"
                                                       : "not a network, nor one with a port");
    }
    memcpy(settings_field(row, s), &b, sizeof b);
    return true;
}

static void print_bypass(const struct settings_row *row, const struct settings *s, char *text)
{
    const struct bypass *b =
        (const struct bypass *)(const void *)((const char *)s + row->offset);

    if (b->count == 0)
        (void)settings_append(text, "none");
    else
        (void)bypass_print(b, text, SETTINGS_VALUE_MAX);
}

const struct settings_kind settings_kind_bypass = {parse_bypass, print_bypass};

/* --- names */

static bool is_suffix(struct span item)
{
    enum { NAME_MAX_LEN = 254 }; /* RFC 1035 s2.3.4, and a leading dot */

    if (item.len == 0 || item.len > NAME_MAX_LEN || span_equal(item, span_of(".", 1)))
        return false;
    for (size_t i = 0; i < item.len; i++) {
        uint8_t c = item.ptr[i];
        bool letter = (c | 0x20) >= 'a' && (c | 0x20) <= 'z';

        if (!letter && (c < '0' || c > '9') && c != '-' && c != '_' && c != '.')
            return false;
    }
    return true;
}

static bool parse_suffixes(const struct settings_row *row, struct settings *s,
                           const char *value, struct settings_complaint *why)
{
    uint8_t list[SETTINGS_NAMES_MAX];
    struct wr w = {.buf = list, .cap = sizeof list - 1};
    struct span item;

    while (next_item(&value, &item)) {
        if (!is_suffix(item))
            return settings_complain(why, item, "not a name's suffix");
        if (w.pos > 0)
            wr_u8(&w, ',');
        wr_bytes(&w, item.ptr, item.len);
        if (w.overflow)
            return settings_complain(why, item, "more than 511 octets of names");
    }
    memset(settings_field(row, s), 0, SETTINGS_NAMES_MAX);
    memcpy(settings_field(row, s), list, w.pos);
    return true;
}

const struct settings_kind settings_kind_suffixes = {parse_suffixes, settings_print_string};
