/* SPDX-License-Identifier: MIT */
#include "fakeresolver.h"
#include <stdio.h>
#include <string.h>

struct lookup {
    unsigned slot;
    resolver_done_fn *done;
    void *arg;
};

static struct fakeresolver *fake_of(struct resolver *r)
{
    return CONTAINER_OF(r, struct fakeresolver, base);
}

static unsigned slot_of(enum addr_family family)
{
    return family == ADDR_IPV6 ? 0 : 1;
}

static bool cached(struct resolver *r, const char *name, enum addr_family family,
                   struct resolver_answer *out)
{
    struct fakeresolver *f = fake_of(r);

    (void)snprintf(f->name, sizeof f->name, "%s", name);
    if (!f->knows[slot_of(family)])
        return false;
    *out = f->answer[slot_of(family)];
    return true;
}

static struct lookup *start(struct resolver *r, const char *name, enum addr_family family,
                            resolver_done_fn *done, void *arg)
{
    struct fakeresolver *f = fake_of(r);
    unsigned slot = slot_of(family);

    (void)snprintf(f->name, sizeof f->name, "%s", name);
    ASSERT(f->pending[slot] == NULL);
    struct lookup *l = f->full ? NULL : malloc(sizeof *l);
    if (l == NULL)
        return NULL;
    *l = (struct lookup){.slot = slot, .done = done, .arg = arg};
    f->pending[slot] = l;
    f->started++;
    return l;
}

static void cancel(struct resolver *r, struct lookup *l)
{
    struct fakeresolver *f = fake_of(r);

    ASSERT(f->pending[l->slot] == l);
    f->pending[l->slot] = NULL;
    f->cancelled++;
    free(l);
}

static struct lookup *start_ptr(struct resolver *r, const struct addr *a,
                                void (*done)(void *arg, enum outcome why, const char *name),
                                void *arg)
{
    (void)r;
    (void)a;
    (void)done;
    (void)arg;
    return NULL;
}

void fakeresolver_init(struct fakeresolver *f)
{
    static const struct resolver_ops ops = {
        .cached = cached, .start = start, .cancel = cancel, .start_ptr = start_ptr};

    memset(f, 0, sizeof *f);
    f->base.ops = &ops;
}

struct resolver_answer fakeresolver_answer(enum outcome why, const char *const *text, size_t n)
{
    struct resolver_answer a = {.why = n > 0 ? OUTCOME_OK : why, .count = n};

    ASSERT(n <= RESOLVER_ADDRS_MAX);
    for (size_t i = 0; i < n; i++)
        ASSERT(addr_parse_ip(text[i], strlen(text[i]), &a.addr[i]));
    return a;
}

void fakeresolver_know(struct fakeresolver *f, enum addr_family family,
                       const struct resolver_answer *a)
{
    f->knows[slot_of(family)] = true;
    f->answer[slot_of(family)] = *a;
}

bool fakeresolver_tell(struct fakeresolver *f, enum addr_family family,
                       const struct resolver_answer *a)
{
    struct lookup *l = f->pending[slot_of(family)];

    if (l == NULL)
        return false;
    struct lookup asker = *l;
    f->pending[asker.slot] = NULL;
    free(l);
    asker.done(asker.arg, a);
    return true;
}
