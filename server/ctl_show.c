/* SPDX-License-Identifier: MIT */
/* Answers for people: sessions as a table, everything else as "path value" lines. */
#include "base/check.h"
#include "ctl.h"
#include "doc_walk.h"
#include <stdlib.h>
#include <string.h>

enum { CELL_MAX = 80 };

/* A session's members by column. */
static const struct column {
    const char *title, *member;
    bool right; /* numbers stand at the right */
} columns[] = {
    {"ID", "id", true},          {"AGE", "age_seconds", true},    {"USER", "user", false},
    {"CLIENT", "client", false}, {"PROTOCOL", "protocol", false}, {"TO", "destination", false},
    {"UP", "up_bytes", true},    {"DOWN", "down_bytes", true},    {"PATHS", "mptcp", true},
    {"STATE", "state", false},
};

static void print_octets(char out[CELL_MAX], double n)
{
    static const char unit[] = " kMGTP";
    size_t u = 0;

    while (n >= 9999.5 && u < sizeof unit - 2) {
        n /= 1000;
        u++;
    }
    (void)snprintf(out, CELL_MAX, u == 0 ? "%.0f" : "%.0f%c", n, unit[u]);
}

static void print_destination(char out[CELL_MAX], const json_t *d)
{
    const char *host = json_string_value(json_object_get(d, "host"));
    const char *address = json_string_value(json_object_get(d, "address"));
    const char *name = host != NULL ? host : address;

    if (name == NULL)
        (void)snprintf(out, CELL_MAX, "-");
    else
        (void)snprintf(out, CELL_MAX, strchr(name, ':') != NULL ? "[%.60s]:%d" : "%.60s:%d",
                       name, (int)json_integer_value(json_object_get(d, "port")));
}

static void print_cell(char out[CELL_MAX], const json_t *session, const char *member)
{
    const json_t *v = json_object_get(session, member);

    if (strcmp(member, "destination") == 0)
        print_destination(out, v);
    else if (strcmp(member, "mptcp") == 0 && json_is_object(v))
        (void)snprintf(out, CELL_MAX, "%d",
                       (int)json_integer_value(json_object_get(v, "subflows")));
    else if (json_is_string(v))
        (void)snprintf(out, CELL_MAX, "%s", json_string_value(v)); /* cut at worst */
    else if (json_is_real(v))
        (void)snprintf(out, CELL_MAX, "%.0fs", json_real_value(v));
    else if (json_is_integer(v))
        print_octets(out, (double)json_integer_value(v));
    else
        (void)snprintf(out, CELL_MAX, "-");
}

/* What a terminal would take as a command does not get there. */
static void print_safely(FILE *to, const char *text, int width)
{
    int len = (int)strlen(text);

    for (int pad = width - len; pad > 0; pad--)
        (void)fputc(' ', to);
    for (; *text != '\0'; text++)
        (void)fputc((unsigned char)*text < ' ' || *text == 0x7f ? '?' : *text, to);
    for (int pad = -width - len; pad > 0; pad--)
        (void)fputc(' ', to);
}

static void show_row(FILE *to, const json_t *session, const int width[])
{
    char cell[CELL_MAX];

    for (size_t i = 0; i < ARRAY_LEN(columns); i++) {
        if (session != NULL)
            print_cell(cell, session, columns[i].member);
        else
            (void)snprintf(cell, sizeof cell, "%s", columns[i].title);
        bool last = i + 1 == ARRAY_LEN(columns);
        print_safely(to, cell, columns[i].right ? width[i] : last ? 0 : -width[i]);
        (void)fputs(last ? "\n" : "  ", to);
    }
}

static void show_table(FILE *to, const json_t *result)
{
    const json_t *list = json_object_get(result, "sessions");
    const char *cursor = json_string_value(json_object_get(result, "next_cursor"));
    int width[ARRAY_LEN(columns)];
    char cell[CELL_MAX];

    for (size_t i = 0; i < ARRAY_LEN(columns); i++) {
        width[i] = (int)strlen(columns[i].title);
        for (size_t k = 0; k < json_array_size(list); k++) {
            print_cell(cell, json_array_get(list, k), columns[i].member);
            if ((int)strlen(cell) > width[i])
                width[i] = (int)strlen(cell);
        }
    }
    show_row(to, NULL, width);
    for (size_t k = 0; k < json_array_size(list); k++)
        show_row(to, json_array_get(list, k), width);
    if (cursor != NULL)
        (void)fprintf(to, "more: --cursor %s\n", cursor);
}

static void show_figure(void *arg, const char *path, const json_t *value)
{
    FILE *to = arg;
    char *text = json_is_string(value)
                     ? NULL
                     : json_dumps(value, JSON_ENCODE_ANY | JSON_REAL_PRECISION(6));

    (void)fprintf(to, "%-48s ", path);
    print_safely(to,
                 json_is_string(value) ? json_string_value(value)
                 : text != NULL        ? text
                                       : "",
                 0);
    (void)fputc('\n', to);
    free(text);
}

bool ctl_show(FILE *to, const char *command, json_t *result)
{
    if (strcmp(command, "sessions") == 0)
        show_table(to, result);
    else if (strcmp(command, "config") == 0)
        (void)json_dumpf(result, to, JSON_INDENT(2)); /* the file's own form; ferror tells */
    else
        doc_walk(result, show_figure, to);
    if (strcmp(command, "config") == 0)
        (void)fputc('\n', to);
    return ferror(to) == 0;
}
