/* SPDX-License-Identifier: MIT */
#include "native.h"
#include "nft_counter.h"
#include <errno.h>
#include <stdlib.h>
#include <string.h>

enum { FRESH_MS = 1000 };

struct native {
    struct log *log;
    struct nft_link link; /* opened when first needed */
    bool read;
    uint64_t read_ms;
    size_t count;
    struct native_counter counter[NATIVE_COUNTERS_MAX];
};

struct native *native_new(struct log *log)
{
    struct native *n = calloc(1, sizeof *n);

    if (n == NULL)
        return NULL;
    n->log = log;
    n->link.fd = -1;
    return n;
}

void native_free(struct native *n)
{
    if (n == NULL)
        return;
    nft_link_close(&n->link);
    free(n);
}

static bool same(const struct native *n, const struct conf_strings *names)
{
    bool equal = n->count == names->count;

    for (size_t i = 0; equal && i < n->count; i++)
        equal = strcmp(n->counter[i].name, names->item[i]) == 0;
    return equal;
}

static void rename_all(struct native *n, const struct conf_strings *names)
{
    n->read = false;
    n->count = names->count < NATIVE_COUNTERS_MAX ? names->count : NATIVE_COUNTERS_MAX;
    for (size_t i = 0; i < n->count; i++) {
        n->counter[i] = (struct native_counter){.known = false};
        (void)snprintf(n->counter[i].name, sizeof n->counter[i].name, "%s", names->item[i]);
    }
}

static int ask(struct native *n, struct native_counter *c)
{
    struct nft_set_name name;
    int rc = n->link.fd >= 0 ? 0 : nft_link_open(&n->link);

    if (rc != 0)
        return rc;
    if (!nft_set_parse(c->name, &name))
        return -EINVAL; /* loading the configuration has looked */
    return nft_counter_read(&n->link, &name, &c->connections);
}

static const char *reason(int error)
{
    switch (error) {
    case -ENOENT:
        return "there is none";
    case -EPERM:
        return "CAP_NET_ADMIN is not there: it needs a restart";
    default:
        return strerror(-error);
    }
}

static void read_one(struct native *n, struct native_counter *c)
{
    int error = ask(n, c);

    c->known = error == 0;
    if (error != 0 && error != c->error)
        log_message(n->log, LOG_LEVEL_WARNING, "native", "counter \"%s\" cannot be read: %s",
                    c->name, reason(error));
    else if (error == 0 && c->error != 0)
        log_message(n->log, LOG_LEVEL_INFO, "native", "counter \"%s\" is there", c->name);
    c->error = error;
}

const struct native_counter *native_look(struct native *n, const struct conf_strings *names,
                                         uint64_t now_ms, size_t *count)
{
    *count = 0;
    if (n == NULL)
        return NULL;
    if (!same(n, names))
        rename_all(n, names);
    if (!n->read || now_ms - n->read_ms >= FRESH_MS) {
        n->read = true;
        n->read_ms = now_ms;
        for (size_t i = 0; i < n->count; i++)
            read_one(n, &n->counter[i]);
    }
    *count = n->count;
    return n->counter;
}
