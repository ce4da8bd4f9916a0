/* SPDX-License-Identifier: MIT */
/* fakeresolver - a resolver whose answers the test gives, when it likes: from the "cache" or
 * later by fakeresolver_tell(). One name at a time: questions are told apart by family only. */
#ifndef SUPPORT_FAKERESOLVER_H
#define SUPPORT_FAKERESOLVER_H
#include "resolver.h"

struct fakeresolver {
    struct resolver base;
    bool full;                        /* start() says NULL */
    bool knows[2];                    /* [0] IPv6, [1] IPv4: cached() answers */
    struct resolver_answer answer[2]; /* what it knows */
    struct lookup *pending[2];        /* asked and neither told nor cancelled */
    unsigned started, cancelled;
    char name[256]; /* the latest asked for */
};

void fakeresolver_init(struct fakeresolver *f);
/* An answer of `n` literals ("192.0.2.1"); none: `why`. */
struct resolver_answer fakeresolver_answer(enum outcome why, const char *const *text, size_t n);
void fakeresolver_know(struct fakeresolver *f, enum addr_family family,
                       const struct resolver_answer *a);
/* Ends the lookup under way; false: there is none. */
bool fakeresolver_tell(struct fakeresolver *f, enum addr_family family,
                       const struct resolver_answer *a);

#endif
