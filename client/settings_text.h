/* SPDX-License-Identifier: MIT */
/* settings_text - one setting as text: parse and print, and the small text buffer that messages
 * and the journal are made in. Internal to front. No allocation, no stdio, no errno. */
#ifndef CLIENT_SETTINGS_TEXT_H
#define CLIENT_SETTINGS_TEXT_H
#include "settings.h"

/* Text of bounded length, always NUL-terminated; what does not fit is cut. */
struct text {
    char *buf;
    size_t cap, len;
};
struct text text_into(char *buf, size_t cap); /* cap > 0 */
void text_add(struct text *t, const char *s);
void text_add_octet(struct text *t, char c);
void text_add_number(struct text *t, unsigned long n);
void text_add_printable(struct text *t, const char *s); /* other octets become "\xNN" */

enum setting_type {
    SETTING_PROXIES,
    SETTING_DIALECT,
    SETTING_CREDENTIAL, /* char[SETTINGS_TEXT_MAX], its length at `low` */
    SETTING_HEX,        /* uint8_t[SETTINGS_TEXT_MAX], its length at `low` */
    SETTING_BYPASS,
    SETTING_BOOL,
    SETTING_CHOICE,  /* an enum */
    SETTING_SIZE,    /* uint32_t octets, up to `high` */
    SETTING_SECONDS, /* uint32_t milliseconds; low..high seconds */
    SETTING_TEXT,    /* char[high] */
};
struct setting {
    const char *name;
    enum setting_type type;
    size_t field, low;
    uint32_t high;
    const char *const *choices; /* ends with NULL */
    const char *fallback;
    bool secret;
    const char *help;
};

/* NULL, or why not; then *s is as before. */
const char *setting_parse(const struct setting *k, const char *value, struct settings *s);
void setting_print(const struct setting *k, const struct settings *s, char *text);

#endif
