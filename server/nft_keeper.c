/* SPDX-License-Identifier: MIT */
#include "nft_keeper.h"
#include "nft_set.h"
#include "token_table.h"
#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <uv.h>

/* What the log has been told of a set. */
struct state {
    bool failing;
    struct log_limit limit;
};

struct nft_tokens {
    struct nft_keeper *keeper;
    struct nft_set_name name;
    struct token_table table; /* under the keeper's lock */
    /* The thread's: */
    struct state state;
    bool lost;                  /* what the set holds is not known, or not ours */
    uint64_t next_ms, probe_ms; /* not before: a request after a failure; a probe */
    uint64_t present;
    struct token_changes change; /* being told */
};
struct life {
    struct nft_set_name name;
    bool used; /* under the lock */
    struct state state;
};

struct nft_keeper {
    struct log *log;
    struct stats *stats;  /* the thread writes */
    struct nft_link link; /* the thread's */
    uv_thread_t thread;
    uv_mutex_t lock; /* guards what follows, and the tables */
    uv_cond_t wake;
    struct nft_tokens *tokens[NFT_KEEPER_SETS_MAX];
    struct life *life[NFT_KEEPER_SETS_MAX];
    size_t token_sets, lives;
    bool work, alive, leave, stop;
};

static uint64_t now_ms(void)
{
    return uv_hrtime() / 1000000;
}

/* ---- what the thread does ---- */

/* The end of a request. */
static void report(struct nft_keeper *k, struct state *st, const struct nft_set_name *n, int rc)
{
    char why[64];
    uint32_t suppressed;

    if (rc != 0)
        stats_add(k->stats, STAT_NFT_ERRORS, 1);
    if (st->failing == (rc != 0))
        return;
    st->failing = rc != 0;
    if (!log_limit_take(&st->limit, 2, now_ms(), &suppressed))
        return;
    if (rc != 0)
        log_message(
            k->log, LOG_LEVEL_WARNING, "nft_set",
            "%s %s cannot be kept: %s; tried again every second", n->table, n->set,
            uv_strerror_r(rc, why, sizeof why)); /* which keeps nothing, uv_strerror() may */
    else
        log_message(k->log, LOG_LEVEL_INFO, "nft_set", "%s %s is kept again", n->table, n->set);
}

/* Something is missing that should be there, or nobody knows: the set starts anew. Anything
 * else (no memory, a full set, no permission) has changed nothing. */
static bool is_loss(int rc)
{
    return rc == -ENOENT || rc == -ENODATA || rc == -ENOBUFS;
}

/* How many tokens the set has. */
static void count_present(struct nft_keeper *k, struct nft_tokens *t, uint64_t present)
{
    stats_add(k->stats, STAT_NFT_TOKENS, present - t->present);
    t->present = present;
}

static void failed(struct nft_tokens *t, int rc, uint64_t now)
{
    t->next_ms = now + NFT_KEEPER_TURN_MS;
    if (!is_loss(rc))
        return;
    if (!t->lost) /* the first attempt to mend it is made at once */
        t->next_ms = now;
    t->lost = true;
}

/* Empties the set, and makes all tokens changes. */
static bool start_anew(struct nft_keeper *k, struct nft_tokens *t, uint64_t now)
{
    int rc = nft_set_flush(&k->link, &t->name);

    report(k, &t->state, &t->name, rc);
    if (rc != 0) {
        t->next_ms = now + NFT_KEEPER_TURN_MS;
        return false;
    }
    uv_mutex_lock(&k->lock);
    token_table_forget(&t->table);
    uv_mutex_unlock(&k->lock);
    t->lost = false;
    count_present(k, t, 0);
    stats_add(k->stats, STAT_NFT_REFILLS, 1);
    return true;
}

/* One request of one kind. */
static bool tell(struct nft_keeper *k, struct nft_tokens *t, bool add, uint64_t now)
{
    const uint32_t *tokens = add ? t->change.add : t->change.del;
    size_t count = add ? t->change.add_count : t->change.del_count;

    if (count == 0)
        return true;
    int rc = add ? nft_set_add(&k->link, &t->name, tokens, count)
                 : nft_set_remove(&k->link, &t->name, tokens, count);
    report(k, &t->state, &t->name, rc);
    uv_mutex_lock(&k->lock);
    if (rc == 0)
        token_table_settle(&t->table, tokens, count, add);
    else
        token_table_again(&t->table, tokens, count);
    uv_mutex_unlock(&k->lock);
    if (rc != 0) {
        failed(t, rc, now);
        return false;
    }
    stats_add(k->stats, add ? STAT_NFT_ADDED : STAT_NFT_REMOVED, count);
    count_present(k, t, add ? t->present + count : t->present - count);
    return true;
}

/* Tokens of new connections first: their MP_JOINs are on the way. False: a request failed. */
static bool tell_changes(struct nft_keeper *k, struct nft_tokens *t, uint64_t now)
{
    for (;;) {
        uv_mutex_lock(&k->lock);
        bool some = token_table_take(&t->table, &t->change);
        uv_mutex_unlock(&k->lock);
        if (!some)
            return true;
        bool added = tell(k, t, true, now);
        bool removed = tell(k, t, false, now);
        if (!added || !removed)
            return false;
    }
}

/* Rules that are loaded again may bring an empty set, and nobody says so. */
static void probe(struct nft_keeper *k, struct nft_tokens *t, uint64_t now)
{
    uint32_t token;

    if (now < t->probe_ms)
        return;
    t->probe_ms = now + NFT_KEEPER_TURN_MS;
    uv_mutex_lock(&k->lock);
    bool some = token_table_probe(&t->table, &token);
    uv_mutex_unlock(&k->lock);
    int rc = some ? nft_set_has(&k->link, &t->name, token) : 0;
    if (rc == 0)
        return;
    report(k, &t->state, &t->name, rc);
    failed(t, rc, now);
}

static void tend(struct nft_keeper *k, struct nft_tokens *t)
{
    uint64_t now = now_ms();

    if (!t->lost)
        probe(k, t, now);
    for (int tries = 0; tries < 2 && now >= t->next_ms; tries++) {
        if (t->lost && !start_anew(k, t, now))
            return;
        if (tell_changes(k, t, now))
            return;
    }
}

static void renew(struct nft_keeper *k, struct life *l)
{
    int rc = nft_set_renew(&k->link, &l->name, NFT_KEEPER_LIFE_MS);

    report(k, &l->state, &l->name, rc);
    if (rc == 0)
        stats_add(k->stats, STAT_NFT_RENEWALS, 1);
}

/* Without the set there is nothing to take out. */
static void take_out(struct nft_keeper *k, struct state *st, const struct nft_set_name *n)
{
    int rc = nft_set_flush(&k->link, n);

    if (rc != -ENOENT)
        report(k, st, n, rc);
}

/* A copy of what there is to do. */
struct turn {
    size_t token_sets, lives;
    bool alive, leave, stop;
};

static struct turn next_turn(struct nft_keeper *k, uint64_t until_ms)
{
    uv_mutex_lock(&k->lock);
    while (!k->work && !k->alive && !k->leave && !k->stop) {
        uint64_t now = now_ms();
        if (now >= until_ms ||
            uv_cond_timedwait(&k->wake, &k->lock, (until_ms - now) * 1000000) == UV_ETIMEDOUT)
            break;
    }
    struct turn turn = {.token_sets = k->token_sets,
                        .lives = k->lives,
                        .alive = k->alive,
                        .leave = k->leave,
                        .stop = k->stop};
    k->work = k->alive = k->leave = false;
    uv_mutex_unlock(&k->lock);
    return turn;
}

static bool is_used(struct nft_keeper *k, const struct life *l)
{
    uv_mutex_lock(&k->lock);
    bool used = l->used;
    uv_mutex_unlock(&k->lock);
    return used;
}

static void run(void *arg)
{
    struct nft_keeper *k = arg;
    struct turn turn;

    do {
        turn = next_turn(k, now_ms() + NFT_KEEPER_TURN_MS);
        for (size_t i = 0; i < turn.token_sets; i++)
            tend(k, k->tokens[i]);
        for (size_t i = 0; i < turn.lives; i++) {
            if (turn.alive && !turn.leave && !turn.stop && is_used(k, k->life[i]))
                renew(k, k->life[i]);
            if (turn.leave || turn.stop)
                take_out(k, &k->life[i]->state, &k->life[i]->name);
        }
    } while (!turn.stop);
    for (size_t i = 0; i < turn.token_sets; i++)
        take_out(k, &k->tokens[i]->state, &k->tokens[i]->name);
}

/* ---- the main thread ---- */

struct nft_keeper *nft_keeper_new(struct log *log, int *rc)
{
    struct nft_keeper *k = calloc(1, sizeof *k);

    *rc = -ENOMEM;
    if (k == NULL)
        return NULL;
    k->log = log;
    k->stats = stats_new();
    if (k->stats == NULL)
        goto fail_keeper;
    *rc = nft_link_open(&k->link);
    if (*rc != 0)
        goto fail_stats;
    uv_mutex_init(&k->lock); /* aborts only when the kernel has no futex */
    *rc = uv_cond_init(&k->wake);
    if (*rc != 0)
        goto fail_lock;
    *rc = uv_thread_create(&k->thread, run, k);
    if (*rc == 0)
        return k;
    uv_cond_destroy(&k->wake);
fail_lock:
    uv_mutex_destroy(&k->lock);
    nft_link_close(&k->link);
fail_stats:
    stats_free(k->stats);
fail_keeper:
    free(k);
    return NULL;
}

static void order(struct nft_keeper *k, bool *what)
{
    uv_mutex_lock(&k->lock);
    *what = true;
    uv_cond_signal(&k->wake);
    uv_mutex_unlock(&k->lock);
}

void nft_keeper_free(struct nft_keeper *k)
{
    if (k == NULL)
        return;
    order(k, &k->stop);
    (void)uv_thread_join(&k->thread); /* started and not joined: cannot fail */
    for (size_t i = 0; i < k->token_sets; i++) {
        token_table_done(&k->tokens[i]->table);
        free(k->tokens[i]);
    }
    for (size_t i = 0; i < k->lives; i++)
        free(k->life[i]);
    uv_cond_destroy(&k->wake);
    uv_mutex_destroy(&k->lock);
    nft_link_close(&k->link);
    stats_free(k->stats);
    free(k);
}

/* Under the lock; NULL: there is none. */
static struct nft_tokens *find_tokens(const struct nft_keeper *k, const struct nft_set_name *n)
{
    for (size_t i = 0; i < k->token_sets; i++)
        if (nft_set_same(&k->tokens[i]->name, n))
            return k->tokens[i];
    return NULL;
}

static struct life *find_life(const struct nft_keeper *k, const struct nft_set_name *n)
{
    for (size_t i = 0; i < k->lives; i++)
        if (nft_set_same(&k->life[i]->name, n))
            return k->life[i];
    return NULL;
}

static int learn_tokens(struct nft_keeper *k, const char *text)
{
    struct nft_set_name n;

    if (text == NULL || !nft_set_parse(text, &n) || find_tokens(k, &n) != NULL)
        return 0;
    if (k->token_sets == NFT_KEEPER_SETS_MAX)
        return -E2BIG;
    struct nft_tokens *t = calloc(1, sizeof *t);
    if (t == NULL)
        return -ENOMEM;
    t->keeper = k;
    t->name = n;
    t->lost = true;
    token_table_init(&t->table);
    k->tokens[k->token_sets++] = t;
    k->work = true;
    return 0;
}

static int learn_life(struct nft_keeper *k, const char *text)
{
    struct nft_set_name n;

    if (text == NULL || !nft_set_parse(text, &n) || find_life(k, &n) != NULL)
        return 0;
    if (k->lives == NFT_KEEPER_SETS_MAX)
        return -E2BIG;
    struct life *l = calloc(1, sizeof *l);
    if (l == NULL)
        return -ENOMEM;
    l->name = n;
    k->life[k->lives++] = l;
    return 0;
}

int nft_keeper_learn(struct nft_keeper *k, const struct listener_list *list)
{
    int rc = 0;

    uv_mutex_lock(&k->lock);
    for (size_t i = 0; i < list->count && rc == 0; i++) {
        rc = learn_tokens(k, list->item[i].join_tokens);
        if (rc == 0)
            rc = learn_life(k, list->item[i].alive_set);
    }
    uv_cond_signal(&k->wake);
    uv_mutex_unlock(&k->lock);
    return rc;
}

void nft_keeper_use(struct nft_keeper *k, const struct listener_list *list)
{
    uv_mutex_lock(&k->lock);
    for (size_t i = 0; i < k->lives; i++)
        k->life[i]->used = false;
    for (size_t i = 0; i < list->count; i++) {
        struct nft_set_name n;
        const char *text = list->item[i].alive_set;
        struct life *l = text != NULL && nft_set_parse(text, &n) ? find_life(k, &n) : NULL;
        if (l != NULL)
            l->used = true;
    }
    uv_mutex_unlock(&k->lock);
}

void nft_keeper_alive(struct nft_keeper *k)
{
    order(k, &k->alive);
}

void nft_keeper_leave(struct nft_keeper *k)
{
    order(k, &k->leave);
}

/* ---- the workers ---- */

struct nft_tokens *nft_keeper_tokens(struct nft_keeper *k, const char *name)
{
    struct nft_set_name n;

    if (!nft_set_parse(name, &n))
        return NULL;
    uv_mutex_lock(&k->lock);
    struct nft_tokens *t = find_tokens(k, &n);
    uv_mutex_unlock(&k->lock);
    return t;
}

bool nft_tokens_add(struct nft_tokens *t, uint32_t token)
{
    struct nft_keeper *k = t->keeper;

    uv_mutex_lock(&k->lock);
    bool added = token_table_add(&t->table, token);
    k->work = true;
    uv_cond_signal(&k->wake);
    uv_mutex_unlock(&k->lock);
    return added;
}

void nft_tokens_remove(struct nft_tokens *t, uint32_t token)
{
    struct nft_keeper *k = t->keeper;

    uv_mutex_lock(&k->lock);
    token_table_remove(&t->table, token);
    k->work = true;
    uv_cond_signal(&k->wake);
    uv_mutex_unlock(&k->lock);
}

const struct stats *nft_keeper_stats(const struct nft_keeper *k)
{
    return k->stats;
}
