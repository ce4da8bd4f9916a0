/* SPDX-License-Identifier: MIT */
/* settings_text - settings as text: one parser and one printer for each kind of value. Both
 * work on the field itself. No allocation, no stdio, no errno; any thread. */
#ifndef CLIENT_SETTINGS_TEXT_H
#define CLIENT_SETTINGS_TEXT_H
#include "settings.h"
#include "wire/bytes.h"
#include <stddef.h>

struct settings_choice {
    const char *text; /* NULL ends the list */
    unsigned value;
};

struct settings_row {
    const char *name, *fallback, *help;
    const struct settings_kind *kind;
    size_t offset, len_offset; /* len_offset: of an uint8_t, where the kind has one */
    const struct settings_choice *choices; /* CHOICE */
    uint32_t min, max, scale;              /* NUMBER: the field is the text's number * scale */
    bool secret;
};

/* Why a value is none: `bad` is the part of it (never printed of a secret), `why` a constant.
 */
struct settings_complaint {
    struct span bad;
    const char *why;
};

struct settings_kind {
    /* False: *why says what is wrong, the settings are untouched. `value` is not empty. */
    bool (*parse)(const struct settings_row *row, struct settings *s, const char *value,
                  struct settings_complaint *why);
    void (*print)(const struct settings_row *row, const struct settings *s, char *text);
};

extern const struct settings_kind settings_kind_proxies, settings_kind_choice,
    settings_kind_text,   /* up to 255 octets with their number, NUL-terminated */
    settings_kind_hex,    /* as many octets */
    settings_kind_bypass, /* a list, or "none" */
    settings_kind_number, settings_kind_flag, settings_kind_suffixes, settings_kind_path;

/* What the parsers and printers share. */
void *settings_field(const struct settings_row *row, struct settings *s);
bool settings_complain(struct settings_complaint *out, struct span bad, const char *why);
char *settings_append(char *at, const char *text); /* with its NUL; returns where that is */
void settings_print_string(const struct settings_row *row, const struct settings *s,
                           char *text);

#endif
