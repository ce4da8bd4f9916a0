/* SPDX-License-Identifier: MIT */
#include "settings_text.h"

_Static_assert(sizeof(enum protocol) == sizeof(unsigned), "choices are read as unsigned");
_Static_assert(sizeof(enum settings_tfo) == sizeof(unsigned), "choices are read as unsigned");

void *settings_field(const struct settings_row *row, struct settings *s)
{
    return (char *)s + row->offset;
}

static const void *const_field(const struct settings_row *row, const struct settings *s)
{
    return (const char *)s + row->offset;
}

bool settings_complain(struct settings_complaint *out, struct span bad, const char *why)
{
    *out = (struct settings_complaint){.bad = bad, .why = why};
    return false;
}

static struct span span_text(const char *text)
{
    return span_of(text, strlen(text));
}

char *settings_append(char *at, const char *text)
{
    size_t len = strlen(text);

    memcpy(at, text, len + 1);
    return at + len;
}

static char *append_number(char *at, uint32_t value)
{
    char digits[11];
    size_t first = sizeof digits - 1;

    digits[first] = '\0';
    do {
        digits[--first] = (char)('0' + value % 10);
        value /= 10;
    } while (value > 0);
    return settings_append(at, digits + first);
}

/* --- one of a few words */

static bool parse_choice(const struct settings_row *row, struct settings *s, const char *value,
                         struct settings_complaint *why)
{
    for (const struct settings_choice *c = row->choices; c->text != NULL; c++) {
        if (strcmp(c->text, value) == 0) {
            memcpy(settings_field(row, s), &c->value, sizeof c->value);
            return true;
        }
    }
    return settings_complain(why, span_text(value), NULL); /* the caller lists the choices */
}

static void print_choice(const struct settings_row *row, const struct settings *s, char *text)
{
    unsigned value;

    memcpy(&value, const_field(row, s), sizeof value);
    *text = '\0';
    for (const struct settings_choice *c = row->choices; c->text != NULL; c++) {
        if (c->value == value)
            (void)settings_append(text, c->text);
    }
}

const struct settings_kind settings_kind_choice = {parse_choice, print_choice};

/* --- octets with their number */

static void keep_octets(const struct settings_row *row, struct settings *s, const void *octets,
                        size_t len)
{
    char *to = settings_field(row, s);

    memset(to, 0, SETTINGS_TEXT_MAX);
    memcpy(to, octets, len);
    *((uint8_t *)s + row->len_offset) = (uint8_t)len;
}

static uint8_t octets_len(const struct settings_row *row, const struct settings *s)
{
    return *((const uint8_t *)s + row->len_offset);
}

static bool parse_text(const struct settings_row *row, struct settings *s, const char *value,
                       struct settings_complaint *why)
{
    size_t len = strlen(value);

    if (len >= SETTINGS_TEXT_MAX)
        return settings_complain(why, span_of(value, len), "longer than 255 octets");
    keep_octets(row, s, value, len);
    return true;
}

static void print_text(const struct settings_row *row, const struct settings *s, char *text)
{
    memcpy(text, const_field(row, s), octets_len(row, s));
    text[octets_len(row, s)] = '\0';
}

const struct settings_kind settings_kind_text = {parse_text, print_text};

static int hex_digit(char c)
{
    if (c >= '0' && c <= '9')
        return c - '0';
    if (c >= 'a' && c <= 'f')
        return c - 'a' + 10;
    if (c >= 'A' && c <= 'F')
        return c - 'A' + 10;
    return -1;
}

static bool parse_hex(const struct settings_row *row, struct settings *s, const char *value,
                      struct settings_complaint *why)
{
    uint8_t octets[SETTINGS_TEXT_MAX];
    size_t len = strlen(value);

    if (len / 2 >= SETTINGS_TEXT_MAX)
        return settings_complain(why, span_of(value, len), "longer than 255 octets");
    if (len % 2 != 0)
        return settings_complain(why, span_of(value, len),
                                 "an odd number of hexadecimal digits");
    for (size_t i = 0; i < len; i += 2) {
        int high = hex_digit(value[i]), low = hex_digit(value[i + 1]);

        if (high < 0 || low < 0)
            return settings_complain(why, span_of(value, len), "not hexadecimal");
        octets[i / 2] = (uint8_t)(high << 4 | low);
    }
    keep_octets(row, s, octets, len / 2);
    return true;
}

static void print_hex(const struct settings_row *row, const struct settings *s, char *text)
{
    static const char hex[] = "0123456789abcdef";
    const uint8_t *octets = const_field(row, s);

    for (size_t i = 0; i < octets_len(row, s); i++) {
        *text++ = hex[octets[i] >> 4];
        *text++ = hex[octets[i] & 15];
    }
    *text = '\0';
}

const struct settings_kind settings_kind_hex = {parse_hex, print_hex};

/* --- numbers */

/* Digits, and for octets (scale 1) one of K, M, G behind them. */
static bool parse_amount(const char *text, bool units, uint64_t *out)
{
    size_t digits = strspn(text, "0123456789");
    uint64_t value = 0, unit = 1;

    if (digits == 0 || digits > 10)
        return false;
    for (size_t i = 0; i < digits; i++)
        value = value * 10 + (uint64_t)(text[i] - '0');
    text += digits;
    if (units && *text != '\0') {
        switch (*text++) {
        case 'K':
        case 'k':
            unit = UINT64_C(1) << 10;
            break;
        case 'M':
        case 'm':
            unit = UINT64_C(1) << 20;
            break;
        case 'G':
        case 'g':
            unit = UINT64_C(1) << 30;
            break;
        default:
            return false;
        }
    }
    *out = value * unit;
    return *text == '\0';
}

static bool parse_number(const struct settings_row *row, struct settings *s, const char *value,
                         struct settings_complaint *why)
{
    uint64_t number;

    if (!parse_amount(value, row->scale == 1, &number) || number < row->min ||
        number > row->max)
        return settings_complain(why, span_text(value), NULL); /* the caller knows the range */
    uint32_t scaled = (uint32_t)(number * row->scale);
    memcpy(settings_field(row, s), &scaled, sizeof scaled);
    return true;
}

static void print_number(const struct settings_row *row, const struct settings *s, char *text)
{
    uint32_t value;
    unsigned unit = 0;

    memcpy(&value, const_field(row, s), sizeof value);
    value /= row->scale;
    while (row->scale == 1 && unit < 3 && value > 0 && value % 1024 == 0) {
        value /= 1024;
        unit++;
    }
    text = append_number(text, value);
    if (unit > 0) {
        *text++ = "KMG"[unit - 1];
        *text = '\0';
    }
}

const struct settings_kind settings_kind_number = {parse_number, print_number};

static bool parse_flag(const struct settings_row *row, struct settings *s, const char *value,
                       struct settings_complaint *why)
{
    if (strcmp(value, "0") != 0 && strcmp(value, "1") != 0)
        return settings_complain(why, span_text(value), "not 0 or 1");
    *(bool *)settings_field(row, s) = value[0] == '1';
    return true;
}

static void print_flag(const struct settings_row *row, const struct settings *s, char *text)
{
    (void)settings_append(text, *(const bool *)const_field(row, s) ? "1" : "0");
}

const struct settings_kind settings_kind_flag = {parse_flag, print_flag};

/* --- paths */

void settings_print_string(const struct settings_row *row, const struct settings *s, char *text)
{
    (void)settings_append(text, const_field(row, s));
}

static bool parse_path(const struct settings_row *row, struct settings *s, const char *value,
                       struct settings_complaint *why)
{
    size_t len = strlen(value);

    if (len >= SETTINGS_NAMES_MAX)
        return settings_complain(why, span_of(value, len), "longer than 511 octets");
    memset(settings_field(row, s), 0, SETTINGS_NAMES_MAX);
    memcpy(settings_field(row, s), value, len);
    return true;
}

const struct settings_kind settings_kind_path = {parse_path, settings_print_string};
