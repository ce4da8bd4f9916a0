/* SPDX-License-Identifier: MIT */
/* conffile - a JSON file into a struct, by table. One row per key drives parsing, range,
 * default, reload, dump and reference. Every error names file, key path
 * ("listeners[1].address"), line where the parser knows it, and the reason. Unknown keys are
 * errors. Nothing outside the given struct is touched; on failure the caller frees it and
 * nothing has changed. */
#ifndef BASE_CONFFILE_H
#define BASE_CONFFILE_H
#include "base/check.h"
#include "wire/addr.h"
#include <jansson.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

enum conf_type {
    CONF_BOOL, /* bool */
    CONF_U32,  /* uint32_t, min..max */
    CONF_U64,  /* uint64_t, min..max; also "64k", "4M", "1G" strings for sizes in octets */
    CONF_MS,   /* uint32_t milliseconds; JSON number of seconds, fractions allowed; min..max in
                  milliseconds */
    CONF_STRING,   /* char *, owned; JSON null or absent: the default (which may be NULL) */
    CONF_ENUM,     /* int; names in `choices` */
    CONF_ADDR,     /* struct addr; "192.0.2.1:80", "[::]:80"; JSON null: ADDR_NONE */
    CONF_STRINGS,  /* struct conf_strings */
    CONF_PREFIXES, /* struct conf_prefixes */
    CONF_CUSTOM,   /* `parse` does it (arrays of objects, sets of names) */
};
struct conf_strings {
    char **item;
    size_t count;
};
struct conf_prefixes {
    struct prefix *item;
    size_t count;
};

struct conf_error {
    char text[512]; /* "FILE:LINE: key.path: reason" */
};

struct conf_parse; /* where we are: file name and key path, for messages */

/* A row of a table, written as {path, type, offset, fallback, ...}: the order is for the
 * reader. */
struct conf_key {     // NOLINT(clang-analyzer-optin.performance.Padding)
    const char *path; /* "timeouts.connect_seconds" */
    enum conf_type type;
    size_t offset;        /* into the struct */
    const char *fallback; /* the default as JSON text, e.g. "30", "\"info\"", "[]"; NULL: the
                             key is required */
    uint64_t min, max; /* U32, U64, MS; STRINGS and PREFIXES: max entries. max 0: what the type
                          holds, or 4096 entries */
    const char *const *choices; /* ENUM: NULL-terminated */
    bool (*parse)(struct conf_parse *p, const json_t *value,
                  void *field); /* CUSTOM; false after conf_fail() */
    void (*clear)(void *field); /* CUSTOM; frees what parse made; also after a failed parse, and
                                   on zeroes; may be NULL */
    json_t *(*dump)(const void *field); /* CUSTOM; new reference */
    bool reloadable;
    bool secret;      /* dumped as "***" when redacting */
    const char *help; /* one sentence, with unit */
    const char
        *unit; /* in messages and the reference; NULL: MS "seconds", U64 "octets", else none */
};

/* Keys that begin with '_' are comments. Reads `path`, fills *out (zeroed first) from `keys`
 * (ends with path NULL). True, or false with *err filled and *out cleared. `text` variant
 * parses a string; `name` stands for the file in messages. */
bool conf_load(const char *path, const struct conf_key *keys, void *out, size_t size,
               struct conf_error *err) MUST_CHECK;
bool conf_load_text(const char *text, const char *name, const struct conf_key *keys, void *out,
                    size_t size, struct conf_error *err) MUST_CHECK;
void conf_clear(const struct conf_key *keys,
                void *out); /* frees what the values own; idempotent */
json_t *conf_dump(const struct conf_key *keys, const void *in,
                  bool redact); /* new reference; NULL: out of memory */

/* For checks across keys: the file's text (NUL-terminated, to be freed by the caller; NULL with
 * *err filled), and a message about `key` in it ("FILE:LINE: key.path: reason"; `text` may be
 * NULL). conf_report returns false. */
char *conf_read(const char *path, struct conf_error *err) MUST_CHECK;
bool conf_report(struct conf_error *err, const char *name, const char *text, const char *key,
                 const char *format, ...) __attribute__((format(printf, 5, 6)));

/* A value as messages and the reference show it: seconds for MS, "64k" for U64. Returns buf. */
enum { CONF_VALUE_MAX = 32 };
const char *conf_print(enum conf_type type, uint64_t value, char buf[CONF_VALUE_MAX]);
const char *conf_unit(const struct conf_key *key); /* "" for none */

/* For CUSTOM parsers: report, and parse an object by a table of its own (paths are relative;
 * one level). */
bool conf_fail(struct conf_parse *p, const char *format, ...)
    __attribute__((format(printf, 2, 3))); /* returns false */
bool conf_object(struct conf_parse *p, const json_t *value, const struct conf_key *keys,
                 void *out, size_t size) MUST_CHECK;
void conf_enter(struct conf_parse *p, const char *key,
                size_t index); /* key or, when NULL, [index] */
void conf_leave(struct conf_parse *p);

#endif
