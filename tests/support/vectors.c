/* SPDX-License-Identifier: MIT */
#include "vectors.h"
#include <check.h>
#include <stdio.h>
#include <stdlib.h>

#ifndef VECTORS_DIR
#error "VECTORS_DIR: the folder of the .hex files"
#endif

struct reader {
    const char *file;
    unsigned line;
    struct vectors *all;
};

static struct vector *current(const struct reader *r)
{
    ck_assert_msg(r->all->count > 0, "%s:%u: before the first vector", r->file, r->line);
    return &r->all->v[r->all->count - 1];
}

static int hex_digit(char c)
{
    if (c >= '0' && c <= '9')
        return c - '0';
    return c >= 'a' && c <= 'f' ? c - 'a' + 10 : -1;
}

static void read_hex(const struct reader *r, const char *text)
{
    struct vector *v = current(r);

    while (*text != 0) {
        if (*text == ' ') {
            text++;
            continue;
        }
        int hi = hex_digit(text[0]);
        int lo = hi < 0 ? -1 : hex_digit(text[1]);

        ck_assert_msg(lo >= 0 && v->len < VECTOR_OCTETS_MAX, "%s:%u: hex", r->file, r->line);
        v->octets[v->len++] = (uint8_t)(hi << 4 | lo);
        text += 2;
    }
}

static size_t read_number(const struct reader *r, const char *text)
{
    char *end;
    unsigned long value = strtoul(text, &end, 10);

    ck_assert_msg(end != text && *end == 0 && value <= VECTOR_OCTETS_MAX, "%s:%u: number",
                  r->file, r->line);
    return value;
}

static enum reject read_reject(const struct reader *r, const char *text)
{
    for (unsigned why = REJECT_NONE + 1; why < REJECT_COUNT; why++) {
        if (strcmp(text, reject_text((enum reject)why)) == 0)
            return (enum reject)why;
    }
    ck_abort_msg("%s:%u: no such reason: %s", r->file, r->line, text);
    return REJECT_NONE;
}

static void begin_vector(const struct reader *r, const char *text)
{
    ck_assert_msg(r->all->count < VECTORS_MAX, "%s:%u: too many", r->file, r->line);
    struct vector *v = &r->all->v[r->all->count++];

    ck_assert_msg(sscanf(text, "%7s %63[^\n]", v->id, v->title) == 2, "%s:%u: vector ID title",
                  r->file, r->line);
}

static bool is_key(const char *line, size_t len, const char *key)
{
    return strlen(key) == len && memcmp(line, key, len) == 0;
}

static void read_line(const struct reader *r, const char *line)
{
    const char *space = strchr(line, ' ');

    ck_assert_msg(space != NULL, "%s:%u: key value", r->file, r->line);
    size_t key_len = (size_t)(space - line);
    const char *value = space + 1;

    if (is_key(line, key_len, "vector")) {
        begin_vector(r, value);
    } else if (is_key(line, key_len, "hex")) {
        read_hex(r, value);
    } else if (is_key(line, key_len, "size")) {
        ck_assert_msg(read_number(r, value) == current(r)->len, "%s:%u: size", r->file,
                      r->line);
        current(r)->message = current(r)->len;
    } else if (is_key(line, key_len, "message")) {
        current(r)->message = read_number(r, value);
        ck_assert_msg(current(r)->message < current(r)->len, "%s:%u: message", r->file,
                      r->line);
    } else if (is_key(line, key_len, "length") || is_key(line, key_len, "total")) {
        current(r)->field = (unsigned)read_number(r, value);
    } else if (is_key(line, key_len, "reject")) {
        current(r)->rejected = true;
        current(r)->why = read_reject(r, value);
    } else {
        ck_abort_msg("%s:%u: unknown key", r->file, r->line);
    }
}

void vectors_load(const char *file, struct vectors *out)
{
    struct reader r = {.file = file, .all = out};
    char text[512];

    ck_assert_int_lt(snprintf(text, sizeof text, "%s/%s", VECTORS_DIR, file), (int)sizeof text);
    FILE *f = fopen(text, "re");
    ck_assert_msg(f != NULL, "cannot open %s", text);
    memset(out, 0, sizeof *out);
    while (fgets(text, sizeof text, f) != NULL) {
        r.line++;
        text[strcspn(text, "\n")] = 0;
        if (text[0] != 0 && text[0] != '#')
            read_line(&r, text);
    }
    (void)fclose(f); /* only read from */
    ck_assert_msg(out->count > 0, "%s: no vectors", file);
    for (size_t i = 0; i < out->count; i++)
        ck_assert_msg(out->v[i].len > 0 && (out->v[i].rejected || out->v[i].message > 0),
                      "%s: %s: no hex, or neither size nor reject", file, out->v[i].id);
}

const struct vector *vectors_find(const struct vectors *all, const char *id)
{
    for (size_t i = 0; i < all->count; i++) {
        if (strcmp(all->v[i].id, id) == 0)
            return &all->v[i];
    }
    ck_abort_msg("no vector %s", id);
    return NULL;
}

struct span vector_span(const struct vector *v)
{
    return span_of(v->octets, v->len);
}
