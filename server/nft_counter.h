/* SPDX-License-Identifier: MIT */
/* nft_counter - what a named counter of nftables has counted. Needs CAP_NET_ADMIN. Reading is
 * no transaction: it waits for nobody who is loading rules, and the answer is there when the
 * request was taken. One thread; any thread but one with connections. No uv.h. */
#ifndef SERVER_NFT_COUNTER_H
#define SERVER_NFT_COUNTER_H
#include "nft_set.h"
#include "wire/bytes.h"

/* `n->set` is the counter's name. 0; -ENOENT: there is no such counter; -EPERM; -ENODATA: no
 * answer; -EBADMSG: one that makes no sense; else -errno. *packets untouched on failure. */
int nft_counter_read(struct nft_link *l, const struct nft_set_name *n,
                     uint64_t *packets) MUST_CHECK;

/* One datagram of the kernel's as the answer to the request numbered `seq`; for tests, too.
 * -EAGAIN: it is not in there. */
int nft_counter_parse(struct span datagram, uint32_t seq, const struct nft_set_name *n,
                      uint64_t *packets) MUST_CHECK;

#endif
