/* SPDX-License-Identifier: MIT */
/* nft_set - what is done to the elements of one nftables set: a request (libnftnl) and its
 * answer. Requests are transactions: all of one, or nothing. One thread, no memory of its own:
 * what the set should hold is nft_keeper's. Every call: 0, or -errno as nft_link_ask(), -ENOMEM.
 * No uv.h.
 *
 * Two kinds of sets: MPTCP tokens (32 bits, network order, as an MP_JOIN carries them, RFC 8684
 * s3.2), without timeouts; and a sign of life: the element "tcp" (inet_proto) with a timeout. */
#ifndef SERVER_NFT_SET_H
#define SERVER_NFT_SET_H
#include "nft_link.h"
#include <stdbool.h>

enum {
    NFT_SET_NAME_MAX = 63,
    NFT_SET_CHANGE_MAX = 1024, /* elements in one request */
};

struct nft_set_name {
    uint8_t family; /* NFPROTO_INET, ... */
    char table[NFT_SET_NAME_MAX + 1], set[NFT_SET_NAME_MAX + 1];
};

/* "inet TABLE SET" (or ip, ip6), names as nft takes them: a letter, then letters, digits, '_',
 * '-', '.'. False: it is not; *out untouched. */
bool nft_set_parse(const char *text, struct nft_set_name *out) MUST_CHECK;
bool nft_set_same(const struct nft_set_name *a, const struct nft_set_name *b);

/* At most NFT_SET_CHANGE_MAX tokens, host order. Adding what is there is no error. */
int nft_set_add(struct nft_link *l, const struct nft_set_name *n, const uint32_t *tokens,
                size_t count) MUST_CHECK;
/* -ENOENT when one of them was not there: then none was removed. */
int nft_set_remove(struct nft_link *l, const struct nft_set_name *n, const uint32_t *tokens,
                   size_t count) MUST_CHECK;
int nft_set_flush(struct nft_link *l, const struct nft_set_name *n) MUST_CHECK;
/* -ENOENT: it is not there. */
int nft_set_has(struct nft_link *l, const struct nft_set_name *n, uint32_t token) MUST_CHECK;

/* The sign of life for another `timeout_ms`, whatever timeout it had, or none. */
int nft_set_renew(struct nft_link *l, const struct nft_set_name *n,
                  uint64_t timeout_ms) MUST_CHECK;

#endif
