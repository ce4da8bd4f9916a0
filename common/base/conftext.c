/* SPDX-License-Identifier: MIT */
/* The parser of jansson keeps no positions, so the line of a key is found by reading the text
 * again, once there is an error to report. The text is known to be JSON; should it not be, the
 * search ends early, never beyond the text. */
#include "base/conftext.h"
#include <ctype.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

enum { NAME_MAX_LEN = 63 };

struct cursor {
    const char *at, *end;
    unsigned line;
};

static bool more(const struct cursor *c)
{
    return c->at < c->end;
}

static void skip_space(struct cursor *c)
{
    for (; more(c) && strchr(" \t\r\n", *c->at) != NULL && *c->at != '\0'; c->at++)
        c->line += *c->at == '\n';
}

static bool take(struct cursor *c, char expected)
{
    skip_space(c);
    if (!more(c) || *c->at != expected)
        return false;
    c->at++;
    return true;
}

/* From behind the opening quote to behind the closing one; returns the length between them. */
static size_t skip_string(struct cursor *c)
{
    const char *start = c->at;
    size_t len;

    while (more(c) && *c->at != '"')
        c->at += *c->at == '\\' && c->end - c->at > 1 ? 2 : 1;
    len = (size_t)(c->at - start);
    if (more(c))
        c->at++;
    return len;
}

/* Over one value, and for a scalar up to the comma or bracket behind it. */
static void skip_value(struct cursor *c)
{
    size_t depth = 0;

    for (skip_space(c); more(c); skip_space(c)) {
        char first = *c->at;

        if (depth == 0 && (first == ',' || first == ']' || first == '}'))
            return;
        c->at++;
        if (first == '"')
            (void)skip_string(c); /* only its end matters */
        else if (first == '{' || first == '[')
            depth++;
        else if (first == '}' || first == ']')
            depth--;
    }
}

/* To the value of member `key`; *line gets the line of the key. */
static bool enter_member(struct cursor *c, const char *key, size_t key_len, unsigned *line)
{
    if (!take(c, '{'))
        return false;
    while (take(c, '"')) {
        const char *name = c->at;
        unsigned name_line = c->line;
        size_t len = skip_string(c);

        if (!take(c, ':'))
            return false;
        if (len == key_len && memcmp(name, key, len) == 0) {
            *line = name_line;
            return true;
        }
        skip_value(c);
        if (!take(c, ','))
            return false;
    }
    return false;
}

static bool enter_element(struct cursor *c, size_t index, unsigned *line)
{
    if (!take(c, '['))
        return false;
    while (index-- > 0) {
        skip_value(c);
        if (!take(c, ','))
            return false;
    }
    skip_space(c);
    *line = c->line;
    return true;
}

unsigned conftext_line(const char *text, size_t len, const char *path)
{
    struct cursor c = {.at = text, .end = text + len, .line = 1};
    unsigned line = 0;

    if (*path == '\0')
        return 1;
    while (*path != '\0') {
        size_t n;

        if (*path == '[') {
            char *end;
            unsigned long index = strtoul(path + 1, &end, 10);

            if (!enter_element(&c, index, &line) || *end != ']')
                break;
            path = end + 1;
        } else {
            path += *path == '.';
            n = strcspn(path, ".[");
            if (n == 0 || !enter_member(&c, path, n, &line))
                break;
            path += n;
        }
    }
    return line;
}

static size_t min3(size_t a, size_t b, size_t c)
{
    size_t least = a < b ? a : b;

    return least < c ? least : c;
}

size_t conftext_distance(const char *a, const char *b, size_t limit)
{
    size_t row[NAME_MAX_LEN + 1], a_len = strlen(a), b_len = strlen(b);

    if (a_len > NAME_MAX_LEN || b_len > NAME_MAX_LEN)
        return limit + 1;
    for (size_t j = 0; j <= b_len; j++)
        row[j] = j;
    for (size_t i = 1; i <= a_len; i++) {
        size_t diagonal = row[0];

        row[0] = i;
        for (size_t j = 1; j <= b_len; j++) {
            bool same = tolower((unsigned char)a[i - 1]) == tolower((unsigned char)b[j - 1]);
            size_t next = min3(row[j] + 1, row[j - 1] + 1, diagonal + (same ? 0 : 1));

            diagonal = row[j];
            row[j] = next;
        }
    }
    return row[b_len] <= limit ? row[b_len] : limit + 1;
}
