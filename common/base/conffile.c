/* SPDX-License-Identifier: MIT */
/* Loading: jansson parses the text; every object that the table knows is searched for keys that
 * it does not know; then each row takes its value, or its default as if it had been written in
 * the file. The first failure is recorded with file, line and key path, everything read so far
 * is freed, and the caller's struct is left zeroed. */
#include "base/conffile.h"
#include "base/conftext.h"
#include "base/confvalue.h"
#include <errno.h>
#include <stdarg.h>
#include <stdlib.h>
#include <string.h>

enum {
    PATH_MAX_LEN = 256,
    DEPTH_MAX = 16,
    FILE_MAX = 1 << 20, /* octets */
};

struct conf_parse {
    const char *name, *text;
    size_t text_len;
    struct conf_error *err;
    bool failed;
    unsigned depth; /* may exceed DEPTH_MAX: then the path shows the outer part only */
    size_t mark[DEPTH_MAX];
    size_t path_len;
    char path[PATH_MAX_LEN];
};

void conf_enter(struct conf_parse *p, const char *key, size_t index)
{
    char *at = p->path + p->path_len;
    size_t room = sizeof p->path - p->path_len;
    int n;

    if (p->depth < DEPTH_MAX) {
        p->mark[p->depth] = p->path_len;
        if (key == NULL)
            n = snprintf(at, room, "[%zu]", index);
        else
            n = snprintf(at, room, "%s%s", p->path_len == 0 ? "" : ".", key);
        if (n > 0)
            p->path_len += (size_t)n < room ? (size_t)n : room - 1;
    }
    p->depth++;
}

void conf_leave(struct conf_parse *p)
{
    ASSERT(p->depth > 0);
    p->depth--;
    if (p->depth < DEPTH_MAX) {
        p->path_len = p->mark[p->depth];
        p->path[p->path_len] = '\0';
    }
}

static bool report(struct conf_error *err, const char *name, unsigned line, const char *path,
                   const char *format, va_list args) __attribute__((format(printf, 5, 0)));

static bool report(struct conf_error *err, const char *name, unsigned line, const char *path,
                   const char *format, va_list args)
{
    char where[16] = "";
    int n;

    if (line > 0)
        (void)snprintf(where, sizeof where, ":%u", line); /* fits */
    n = snprintf(err->text, sizeof err->text, "%s%s: %s%s", name, where, path,
                 *path == '\0' ? "" : ": ");
    if (n >= 0 && (size_t)n < sizeof err->text)
        (void)vsnprintf(err->text + n, sizeof err->text - (size_t)n, format,
                        args); /* cutting it is fine */
    for (char *at = err->text; *at != '\0'; at++)
        if ((unsigned char)*at < 0x20 || *at == 0x7f)
            *at = '?'; /* names come from the file: no escape sequences to the terminal */
    return false;
}

bool conf_report(struct conf_error *err, const char *name, const char *text, const char *key,
                 const char *format, ...)
{
    va_list args;

    va_start(args, format);
    (void)report(err, name, text == NULL ? 0 : conftext_line(text, strlen(text), key), key,
                 format, args);
    va_end(args);
    return false;
}

bool conf_fail(struct conf_parse *p, const char *format, ...)
{
    va_list args;

    if (p->failed)
        return false; /* the first reason is the one that matters */
    p->failed = true;
    va_start(args, format);
    (void)report(p->err, p->name, conftext_line(p->text, p->text_len, p->path), p->path, format,
                 args);
    va_end(args);
    return false;
}

/* ---- objects ---- */

/* The value at a dotted path, or NULL. */
static const json_t *find(const json_t *object, const char *path, size_t len)
{
    while (object != NULL && len > 0) {
        const char *dot = memchr(path, '.', len);
        size_t n = dot == NULL ? len : (size_t)(dot - path);

        object = json_object_getn(object, path, n);
        path += dot == NULL ? n : n + 1;
        len -= dot == NULL ? n : n + 1;
    }
    return object;
}

static bool has_prefix(const char *path, const char *group, size_t len)
{
    return strncmp(path, group, len) == 0 && path[len] == '.';
}

/* Is `path` a key of the table, or a group of keys? */
static bool is_known(const struct conf_key *keys, const char *path)
{
    for (const struct conf_key *k = keys; k->path != NULL; k++)
        if (strcmp(k->path, path) == 0 || has_prefix(k->path, path, strlen(path)))
            return true;
    return false;
}

static const char *last_name(const char *path)
{
    const char *dot = strrchr(path, '.');

    return dot == NULL ? path : dot + 1;
}

/* What was perhaps meant by `path`: the same name elsewhere, or a name that is nearly the same.
 */
static bool suggest(const struct conf_key *keys, const char *path, char *out, size_t size)
{
    size_t best = strlen(path) / 4 + 2;
    bool found = false;

    for (const struct conf_key *k = keys; k->path != NULL; k++) {
        const char *end = k->path;

        if (strcmp(last_name(k->path), last_name(path)) == 0) {
            (void)snprintf(out, size, "%s", k->path); /* cut is good enough */
            return true;
        }
        do { /* each group that the key is in, then the key */
            char candidate[PATH_MAX_LEN];
            size_t distance;

            end += strcspn(end + 1, ".") + 1;
            (void)snprintf(candidate, sizeof candidate, "%.*s", (int)(end - k->path), k->path);
            distance = conftext_distance(path, candidate, best);
            if (distance < best) {
                best = distance;
                found = true;
                (void)snprintf(out, size, "%s", candidate);
            }
        } while (*end != '\0');
    }
    return found;
}

static bool fail_unknown(struct conf_parse *p, const struct conf_key *keys, const char *path)
{
    char meant[PATH_MAX_LEN];

    conf_enter(p, path, 0);
    if (suggest(keys, path, meant, sizeof meant))
        return conf_fail(p, "unknown key; did you mean \"%s\"?", meant);
    return conf_fail(p, "unknown key");
}

/* jansson's iterators want a non-const object, and only read it. */
static json_t *for_iteration(const json_t *object)
{
    /* NOLINTNEXTLINE(performance-no-int-to-ptr): a cast that drops const, no more */
    return (json_t *)(uintptr_t)object;
}

static void enter_group(struct conf_parse *p, const char *path, size_t len)
{
    char group[PATH_MAX_LEN];

    (void)snprintf(group, sizeof group, "%.*s", (int)len, path); /* from the table: fits */
    if (len > 0)
        conf_enter(p, group, 0);
}

/* Checks the names in one object: the top one (len 0) or the group `path`. */
static bool check_names(struct conf_parse *p, const struct conf_key *keys, const json_t *top,
                        const char *path, size_t len)
{
    const json_t *object = find(top, path, len);
    void *iter;

    if (object == NULL)
        return true;
    if (!json_is_object(object)) {
        enter_group(p, path, len);
        return conf_fail(p, "expected an object");
    }
    for (iter = json_object_iter(for_iteration(object)); iter != NULL;
         iter = json_object_iter_next(for_iteration(object), iter)) {
        const char *name = json_object_iter_key(iter);
        char full[PATH_MAX_LEN];
        int n;

        if (*name == '_')
            continue; /* a comment */
        if (strchr(name, '.') != NULL) {
            enter_group(p, path, len);
            return conf_fail(p, "\"%s\": a dot stands for an object in an object", name);
        }
        n = snprintf(full, sizeof full, "%.*s%s%s", (int)len, path, len == 0 ? "" : ".", name);
        if (n < 0 || (size_t)n >= sizeof full || !is_known(keys, full))
            return fail_unknown(p, keys, full);
    }
    return true;
}

static bool check_all_names(struct conf_parse *p, const struct conf_key *keys,
                            const json_t *top)
{
    if (!check_names(p, keys, top, "", 0))
        return false;
    for (const struct conf_key *k = keys; k->path != NULL; k++)
        for (const char *dot = strchr(k->path, '.'); dot != NULL; dot = strchr(dot + 1, '.')) {
            size_t len = (size_t)(dot - k->path);
            /* Tables keep groups together. */
            bool seen = k > keys && has_prefix(k[-1].path, k->path, len);

            if (!seen && !check_names(p, keys, top, k->path, len))
                return false;
        }
    return true;
}

static bool parse_default(struct conf_parse *p, const struct conf_key *key, void *field)
{
    json_t *value;
    bool good;

    if (key->fallback == NULL)
        return conf_fail(p, "is required");
    value = json_loads(key->fallback, JSON_DECODE_ANY, NULL);
    if (value == NULL)
        return conf_fail(p, "out of memory"); /* tests see to it that defaults are JSON */
    good = confvalue_parse(p, key, value, field);
    json_decref(value);
    return good;
}

static bool parse_key(struct conf_parse *p, const struct conf_key *key, const json_t *top,
                      void *out)
{
    const json_t *value = find(top, key->path, strlen(key->path));
    void *field = (char *)out + key->offset;
    bool good;

    conf_enter(p, key->path, 0);
    if (value == NULL || (key->type == CONF_STRING && json_is_null(value)))
        good = parse_default(p, key, field);
    else
        good = confvalue_parse(p, key, value, field);
    conf_leave(p);
    return good;
}

bool conf_object(struct conf_parse *p, const json_t *value, const struct conf_key *keys,
                 void *out, size_t size)
{
    bool good = check_all_names(p, keys, value);

    memset(out, 0, size);
    for (const struct conf_key *k = keys; good && k->path != NULL; k++)
        good = parse_key(p, k, value, out);
    if (!good) {
        conf_clear(keys, out);
        memset(out, 0, size);
    }
    return good;
}

void conf_clear(const struct conf_key *keys, void *out)
{
    for (const struct conf_key *k = keys; k->path != NULL; k++)
        confvalue_clear(k, (char *)out + k->offset);
}

/* The object that holds the last name of `path`, made as needed. Borrowed; NULL: out of memory.
 */
static json_t *make_group(json_t *object, const char *path)
{
    for (const char *dot; object != NULL && (dot = strchr(path, '.')) != NULL; path = dot + 1) {
        size_t n = (size_t)(dot - path);
        json_t *group = json_object_getn(object, path, n);

        if (group == NULL && json_object_setn_new(object, path, n, json_object()) == 0)
            group = json_object_getn(object, path, n);
        object = group;
    }
    return object;
}

json_t *conf_dump(const struct conf_key *keys, const void *in, bool redact)
{
    json_t *top = json_object();

    for (const struct conf_key *k = keys; top != NULL && k->path != NULL; k++) {
        json_t *group = make_group(top, k->path);
        json_t *value = confvalue_dump(k, (const char *)in + k->offset);

        if (redact && k->secret && value != NULL && !json_is_null(value)) {
            json_decref(value);
            value = json_string("***");
        }
        if (group == NULL || json_object_set_new(group, last_name(k->path), value) != 0) {
            if (group == NULL)
                json_decref(value);
            json_decref(top);
            return NULL;
        }
    }
    return top;
}

/* ---- files ---- */

static bool load(const char *text, size_t len, const char *name, const struct conf_key *keys,
                 void *out, size_t size, struct conf_error *err)
{
    struct conf_parse p = {.name = name, .text = text, .text_len = len, .err = err};
    json_error_t error;
    json_t *top = json_loadb(text, len, JSON_REJECT_DUPLICATES, &error);
    bool good;

    if (top == NULL) {
        memset(out, 0, size);
        (void)snprintf(err->text, sizeof err->text, "%s:%d: %s", name, error.line, error.text);
        return false;
    }
    good = conf_object(&p, top, keys, out, size);
    json_decref(top);
    return good;
}

bool conf_load_text(const char *text, const char *name, const struct conf_key *keys, void *out,
                    size_t size, struct conf_error *err)
{
    return load(text, strlen(text), name, keys, out, size, err);
}

static char *read_stream(FILE *file, size_t *len)
{
    char *text = malloc(FILE_MAX + 2); /* one more to see that there is more, and a NUL */

    if (text == NULL)
        return NULL;
    *len = fread(text, 1, FILE_MAX + 1, file);
    if (ferror(file) != 0 || *len > FILE_MAX) {
        int code = *len > FILE_MAX ? EFBIG : errno;

        free(text);
        errno = code;
        return NULL;
    }
    text[*len] = '\0';
    return text;
}

static char *read_file(const char *path, size_t *len, struct conf_error *err)
{
    FILE *file = fopen(path, "re");
    char *text = file == NULL ? NULL : read_stream(file, len);
    int code = errno;

    if (file != NULL)
        (void)fclose(file); /* only read from */
    if (text == NULL)
        (void)snprintf(err->text, sizeof err->text, "%s: cannot be read: %s", path,
                       strerror(code));
    return text;
}

char *conf_read(const char *path, struct conf_error *err)
{
    size_t len;
    char *text = read_file(path, &len, err);

    if (text != NULL && strlen(text) != len) {
        (void)snprintf(err->text, sizeof err->text, "%s: has a NUL in it", path);
        free(text);
        return NULL;
    }
    return text;
}

bool conf_load(const char *path, const struct conf_key *keys, void *out, size_t size,
               struct conf_error *err)
{
    char *text = conf_read(path, err);
    bool good;

    if (text == NULL) {
        memset(out, 0, size);
        return false;
    }
    good = conf_load_text(text, path, keys, out, size, err);
    free(text);
    return good;
}
