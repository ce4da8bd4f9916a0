/* SPDX-License-Identifier: MIT */
/* nft_link - requests to nftables over one netlink socket, and the kernel's answers. Needs
 * CAP_NET_ADMIN. One thread; the kernel carries a request out inside the call, so a request
 * waits for whoever is loading rules: not for a thread with connections. No uv.h. */
#ifndef SERVER_NFT_LINK_H
#define SERVER_NFT_LINK_H
#include "base/check.h"
#include <stddef.h>
#include <stdint.h>

struct nft_link {
    int fd;       /* netlink, non-blocking; -1: closed */
    uint32_t seq; /* of the last message sent */
};

/* 0 or -errno; then `fd` is -1. */
int nft_link_open(struct nft_link *l) MUST_CHECK;
void nft_link_close(struct nft_link *l);

/* Sends one or several whole messages, of which those numbered first .. first + count - 1 ask
 * for an acknowledgment (NLM_F_ACK); a batch's own message is numbered first - 1. 0 when all of them came and none is an error; else the
 * first error, -ENOENT where a table, a set or an element is missing; -ENODATA when an
 * acknowledgment is missing: what became of the request is not known. What else the socket
 * holds is thrown away. */
int nft_link_ask(struct nft_link *l, const void *messages, size_t len, uint32_t first,
                 uint32_t count) MUST_CHECK;

#endif
