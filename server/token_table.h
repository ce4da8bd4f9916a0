/* SPDX-License-Identifier: MIT */
/* token_table - which MPTCP tokens should be in a set, which are, and the difference. No I/O,
 * no lock: the owner's. No uv.h.
 *
 * Happy path: add() or remove(), take() what is to be changed, settle() when it is. Failure
 * paths: again() what could not be changed; forget() when nobody knows what is in the set. */
#ifndef SERVER_TOKEN_TABLE_H
#define SERVER_TOKEN_TABLE_H
#include "base/check.h"
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

enum {
    TOKEN_TABLE_MAX = 1 << 19, /* tokens: some 10 MB of tables */
    TOKEN_TABLE_TAKE = 1024,   /* changes taken at a time, of both kinds together */
};

struct token_slot {
    uint32_t token;
    uint8_t flags; /* 0: free */
};
struct token_table {
    struct token_slot *slot; /* open addressing; NULL until the first token */
    uint32_t *changed;       /* each token at most once */
    uint32_t room, used;     /* slots; of them taken */
    uint32_t changes;
    uint32_t cursor; /* of probe() */
};
struct token_changes {
    uint32_t add[TOKEN_TABLE_TAKE], del[TOKEN_TABLE_TAKE];
    size_t add_count, del_count;
};

void token_table_init(struct token_table *t);
void token_table_done(struct token_table *t);

/* A token that is there already stays. False: out of memory, or TOKEN_TABLE_MAX; nothing
 * changed. */
bool token_table_add(struct token_table *t, uint32_t token) MUST_CHECK;
/* Cannot fail; one that is not there is no matter. */
void token_table_remove(struct token_table *t, uint32_t token);

/* Some changes that are due, and not again until again() or another change. False: none are. */
bool token_table_take(struct token_table *t, struct token_changes *out) MUST_CHECK;
/* Taken tokens: the set has them now, or has them no more. */
void token_table_settle(struct token_table *t, const uint32_t *tokens, size_t count,
                        bool present);
/* Taken tokens: the set is as it was. */
void token_table_again(struct token_table *t, const uint32_t *tokens, size_t count);
/* The set is empty: whatever should be there is a change. */
void token_table_forget(struct token_table *t);
/* A token the set should have and has; another one each time. False: there is none. */
bool token_table_probe(struct token_table *t, uint32_t *token) MUST_CHECK;

#endif
