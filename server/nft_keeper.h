/* SPDX-License-Identifier: MIT */
/* nft_keeper - keeps nftables sets as the diversion rules need them: the MPTCP tokens of live
 * connections, so that their MP_JOINs find them (listeners[].join_tokens), and a sign of life,
 * without which the rules divert nobody (listeners[].alive_set). It has a thread of its own:
 * a request to nftables waits for whoever loads rules, and no connection is to wait with it.
 *
 * Happy path: the workers note tokens, the thread tells the kernel at once, many in one request
 * when there are many. Once a second it asks whether a token is still there, and, when the main
 * loop has said that all is well, renews the signs of life. Failure path: what could not be
 * told is told again a second later; a set that is missing, or has lost a token (its rules were
 * loaded again), gets all of them once it is back. No connection hears of any of it. The log
 * says when a set begins to fail and when it is kept again; stats: nft. */
#ifndef SERVER_NFT_KEEPER_H
#define SERVER_NFT_KEEPER_H
#include "base/log.h"
#include "options.h"
#include "stats.h"

enum {
    NFT_KEEPER_SETS_MAX = 2 * OPTIONS_LISTENERS_MAX, /* of each kind, over the process's life */
    NFT_KEEPER_LIFE_MS = 3000,                       /* how long a sign of life lasts */
    NFT_KEEPER_TURN_MS = 1000,
};

struct nft_keeper;
struct nft_tokens; /* one set; lives as long as the keeper */

/* Main thread. NULL with *rc (-errno): no socket, no memory, no thread. */
struct nft_keeper *nft_keeper_new(struct log *log, int *rc) MUST_CHECK;
/* After the workers' end: takes out what it put in, and ends. NULL is fine. */
void nft_keeper_free(struct nft_keeper *k);

/* Main thread: the sets that these listeners name become known; token sets are emptied before
 * their first use. 0; -ENOMEM; -E2BIG: more than NFT_KEEPER_SETS_MAX. */
int nft_keeper_learn(struct nft_keeper *k, const struct listener_list *list) MUST_CHECK;
/* Main thread, after nft_keeper_learn(): only the signs of life they name are renewed from now
 * on. */
void nft_keeper_use(struct nft_keeper *k, const struct listener_list *list);
/* Main thread: all is well; renews the signs of life. To be called every NFT_KEEPER_TURN_MS. */
void nft_keeper_alive(struct nft_keeper *k);
/* Main thread: no more connections are wanted; takes the signs of life away. */
void nft_keeper_leave(struct nft_keeper *k);

/* Any thread. NULL: nft_keeper_learn() has not seen it. */
struct nft_tokens *nft_keeper_tokens(struct nft_keeper *k, const char *name);
/* False: it is not noted (out of memory, too many), and not to be removed. */
bool nft_tokens_add(struct nft_tokens *t, uint32_t token) MUST_CHECK;
void nft_tokens_remove(struct nft_tokens *t, uint32_t token);

const struct stats *nft_keeper_stats(const struct nft_keeper *k); /* any thread reads */

#endif
