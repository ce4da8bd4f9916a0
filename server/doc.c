/* SPDX-License-Identifier: MIT */
#include "doc.h"
#include <math.h>
#include <string.h>
#include <time.h>

enum { US_PER_S = 1000000, TEXT_MAX = 1024 };

struct doc doc_new(void)
{
    struct doc d = {.root = json_object()};

    d.failed = d.root == NULL;
    return d;
}

json_t *doc_finish(struct doc *d)
{
    if (!d->failed)
        return d->root;
    json_decref(d->root);
    d->root = NULL;
    return NULL;
}

/* The object named by the first `len` octets of `key`, made when missing. NULL: out of memory.
 */
static json_t *enter(json_t *at, const char *key, size_t len)
{
    char name[DOC_PATH_MAX];

    ASSERT(len < sizeof name); /* our own literals */
    memcpy(name, key, len);
    name[len] = '\0';
    json_t *next = json_object_get(at, name);
    if (next != NULL)
        return next;
    next = json_object();
    return json_object_set_new(at, name, next) == 0
               ? next
               : NULL; /* it takes NULL, and frees on failure */
}

void doc_put(struct doc *d, const char *path, json_t *value)
{
    json_t *at = d->root;

    if (value == NULL || d->failed)
        goto fail;
    for (const char *dot = strchr(path, '.'); dot != NULL; dot = strchr(path, '.')) {
        at = enter(at, path, (size_t)(dot - path));
        if (at == NULL)
            goto fail;
        path = dot + 1;
    }
    if (json_object_set_new(at, path, value) != 0)
        d->failed = true;
    return;
fail:
    json_decref(value);
    d->failed = true;
}

void doc_put_in(struct doc *d, const char *path, const char *member, json_t *value)
{
    char full[DOC_PATH_MAX];
    int len = snprintf(full, sizeof full, "%s.%s", path, member);

    ASSERT(len > 0 && (size_t)len < sizeof full);
    doc_put(d, full, value);
}

json_t *doc_number(uint64_t v)
{
    return json_integer(v > INT64_MAX ? (json_int_t)INT64_MAX : (json_int_t)v);
}

json_t *doc_gauge(uint64_t v)
{
    return json_integer(v > INT64_MAX ? 0 : (json_int_t)v);
}

json_t *doc_real(double v)
{
    return json_real(isfinite(v) && v > 0 ? v : 0.0);
}

json_t *doc_seconds(uint64_t us)
{
    return doc_real((double)us / US_PER_S);
}

void doc_time_text(uint64_t wall_us, char out[DOC_TIME_MAX])
{
    const uint64_t last_us =
        UINT64_C(253402300799999999); /* the year has four digits: RFC 3339 s1 */
    struct tm tm = {0};

    if (wall_us > last_us)
        wall_us = last_us;
    time_t seconds = (time_t)(wall_us / US_PER_S);
    (void)gmtime_r(&seconds, &tm); /* cannot fail in this range */
    size_t len = strftime(out, DOC_TIME_MAX, "%Y-%m-%dT%H:%M:%S", &tm);
    (void)snprintf(out + len, DOC_TIME_MAX - len, ".%06uZ",
                   (unsigned)(wall_us % US_PER_S)); /* fits: 27 octets */
}

json_t *doc_time(uint64_t wall_us)
{
    char text[DOC_TIME_MAX];

    doc_time_text(wall_us, text);
    return json_string(text);
}

json_t *doc_text(const char *s)
{
    if (s == NULL || *s == '\0')
        return json_null();
    json_t *plain = json_string(s);
    if (plain != NULL)
        return plain;

    char escaped[TEXT_MAX + 1];
    size_t len = 0;
    for (; *s != '\0' && len + 4 <= TEXT_MAX; s++) {
        unsigned char c = (unsigned char)*s;
        if (c < 0x80)
            escaped[len++] = *s;
        else
            len += (size_t)snprintf(escaped + len, sizeof escaped - len, "\\x%02x", c);
    }
    escaped[len] = '\0';
    return json_string(escaped);
}
