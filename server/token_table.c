/* SPDX-License-Identifier: MIT */
#include "token_table.h"
#include <stdlib.h>
#include <string.h>

enum {
    USED = 1,
    WANTED = 2,  /* a connection has it */
    PRESENT = 4, /* the set has it */
    CHANGED = 8, /* it is in changed[] */
    ROOM_FIRST = 256,
};

/* Tokens are random already (RFC 8684 s3.2): bits of a hash. */
static uint32_t home(const struct token_table *t, uint32_t token)
{
    return token & (t->room - 1);
}

static struct token_slot *find(const struct token_table *t, uint32_t token)
{
    if (t->room == 0)
        return NULL;
    for (uint32_t i = home(t, token);; i = (i + 1) & (t->room - 1)) {
        if (t->slot[i].flags == 0)
            return NULL;
        if (t->slot[i].token == token)
            return &t->slot[i];
    }
}

static struct token_slot *insert(struct token_table *t, uint32_t token, uint8_t flags)
{
    uint32_t i = home(t, token);

    while (t->slot[i].flags != 0)
        i = (i + 1) & (t->room - 1);
    t->slot[i] = (struct token_slot){.token = token, .flags = flags};
    t->used++;
    return &t->slot[i];
}

/* Closes the gap, so that every token is found from its home without passing a free slot. */
static void erase(struct token_table *t, struct token_slot *slot)
{
    uint32_t mask = t->room - 1, gap = (uint32_t)(slot - t->slot);

    for (uint32_t i = (gap + 1) & mask; t->slot[i].flags != 0; i = (i + 1) & mask) {
        uint32_t from = home(t, t->slot[i].token);
        if (((i - from) & mask) < ((i - gap) & mask))
            continue; /* its home is behind the gap */
        t->slot[gap] = t->slot[i];
        gap = i;
    }
    t->slot[gap].flags = 0;
    t->used--;
}

/* Room for one more, at most three quarters full; changed[] has room for all. */
static bool grow(struct token_table *t)
{
    struct token_table next = *t;

    if (t->used >= TOKEN_TABLE_MAX)
        return false;
    if ((uint64_t)(t->used + 1) * 4 <= (uint64_t)t->room * 3)
        return true;
    next.room = t->room == 0 ? ROOM_FIRST : t->room * 2;
    next.slot = calloc(next.room, sizeof *next.slot);
    next.changed = calloc(next.room, sizeof *next.changed);
    if (next.slot == NULL || next.changed == NULL) {
        free(next.slot);
        free(next.changed);
        return false;
    }
    next.used = 0;
    next.cursor = 0;
    for (uint32_t i = 0; i < t->room; i++)
        if (t->slot[i].flags != 0)
            (void)insert(&next, t->slot[i].token, t->slot[i].flags);
    for (uint32_t i = 0; i < t->changes; i++)
        next.changed[i] = t->changed[i];
    token_table_done(t);
    *t = next;
    return true;
}

static void note_change(struct token_table *t, struct token_slot *s)
{
    if ((s->flags & CHANGED) != 0)
        return;
    s->flags |= CHANGED;
    t->changed[t->changes++] = s->token;
}

void token_table_init(struct token_table *t)
{
    memset(t, 0, sizeof *t);
}

void token_table_done(struct token_table *t)
{
    free(t->slot);
    free(t->changed);
    token_table_init(t);
}

bool token_table_add(struct token_table *t, uint32_t token)
{
    struct token_slot *s = find(t, token);

    if (s == NULL && !grow(t))
        return false;
    if (s == NULL)
        s = insert(t, token, USED);
    if ((s->flags & WANTED) != 0)
        return true;
    s->flags |= WANTED;
    note_change(t, s);
    return true;
}

void token_table_remove(struct token_table *t, uint32_t token)
{
    struct token_slot *s = find(t, token);

    if (s == NULL || (s->flags & WANTED) == 0)
        return;
    s->flags &= (uint8_t)~WANTED;
    note_change(t, s);
}

bool token_table_take(struct token_table *t, struct token_changes *out)
{
    out->add_count = out->del_count = 0;
    while (t->changes > 0 && out->add_count + out->del_count < TOKEN_TABLE_TAKE) {
        struct token_slot *s = find(t, t->changed[--t->changes]);

        ASSERT(s != NULL);
        s->flags &= (uint8_t)~CHANGED;
        switch (s->flags & (WANTED | PRESENT)) {
        case WANTED:
            out->add[out->add_count++] = s->token;
            break;
        case PRESENT:
            out->del[out->del_count++] = s->token;
            break;
        case 0: /* it came and went before anybody looked */
            erase(t, s);
            break;
        default: /* it went and came back */
            break;
        }
    }
    return out->add_count + out->del_count > 0;
}

void token_table_settle(struct token_table *t, const uint32_t *tokens, size_t count,
                        bool present)
{
    for (size_t i = 0; i < count; i++) {
        struct token_slot *s = find(t, tokens[i]);

        ASSERT(s != NULL);
        s->flags = (uint8_t)(present ? s->flags | PRESENT : s->flags & (uint8_t)~PRESENT);
        if ((s->flags & (WANTED | PRESENT | CHANGED)) == 0)
            erase(t, s);
    }
}

void token_table_again(struct token_table *t, const uint32_t *tokens, size_t count)
{
    for (size_t i = 0; i < count; i++) {
        struct token_slot *s = find(t, tokens[i]);

        ASSERT(s != NULL);
        note_change(t, s);
    }
}

void token_table_forget(struct token_table *t)
{
    t->changes = 0;
    for (uint32_t i = 0; i < t->room; i++) {
        struct token_slot *s = &t->slot[i];
        if (s->flags == 0)
            continue;
        s->flags &= (uint8_t) ~(PRESENT | CHANGED);
        note_change(t, s);
    }
}

bool token_table_probe(struct token_table *t, uint32_t *token)
{
    for (uint32_t i = 0; i < t->room; i++) {
        const struct token_slot *s = &t->slot[t->cursor++ & (t->room - 1)];
        if ((s->flags & (WANTED | PRESENT)) != (WANTED | PRESENT))
            continue;
        *token = s->token;
        return true;
    }
    return false;
}
