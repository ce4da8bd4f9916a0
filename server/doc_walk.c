/* SPDX-License-Identifier: MIT */
#include "doc_walk.h"
#include <stdio.h>
#include <string.h>

/* Members and elements in order, without recursion: where we are in each container. */
struct place {
    json_t *node;
    void *iter;      /* of an object */
    size_t index;    /* of an array */
    size_t path_len; /* of its own name */
};

/* The next member's value, its name behind path[at->path_len]; NULL: there is none. */
static json_t *next_member(struct place *at, char path[DOC_WALK_PATH_MAX])
{
    const char *dot = at->path_len > 0 ? "." : "";
    char *end = path + at->path_len;
    size_t room = DOC_WALK_PATH_MAX - at->path_len;

    if (json_is_array(at->node)) {
        json_t *value = json_array_get(at->node, at->index);
        (void)snprintf(end, room, "[%zu]", at->index++);
        return value;
    }
    at->iter = at->iter == NULL ? json_object_iter(at->node)
                                : json_object_iter_next(at->node, at->iter);
    if (at->iter == NULL)
        return NULL;
    (void)snprintf(end, room, "%s%s", dot, json_object_iter_key(at->iter));
    return json_object_iter_value(at->iter);
}

void doc_walk(json_t *doc, doc_walk_fn *each, void *arg)
{
    struct place stack[DOC_WALK_DEPTH] = {{.node = doc}};
    char path[DOC_WALK_PATH_MAX] = "";
    unsigned depth = 1;

    while (depth > 0) {
        struct place *at = &stack[depth - 1];
        json_t *value = next_member(at, path);

        if (value == NULL) {
            depth--;
        } else if ((json_is_object(value) || json_is_array(value)) && depth < DOC_WALK_DEPTH) {
            stack[depth++] = (struct place){.node = value, .path_len = strlen(path)};
        } else {
            each(arg, path, value);
        }
    }
}
