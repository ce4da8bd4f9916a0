/* SPDX-License-Identifier: MIT */
/* nft_play - nftables for tests: a network namespace of the test's own with some sets in it, or
 * a kernel that is only played, which sees requests and answers as the test likes. Link
 * nft_play.c and pass @tests/support/nft_play.wrap when linking. */
#ifndef SUPPORT_NFT_PLAY_H
#define SUPPORT_NFT_PLAY_H
#include "nft_link.h"
#include <check.h>
#include <linux/netlink.h>
#include <stdbool.h>
#include <sys/socket.h>
#include <unistd.h>

/* The played kernel: what send() returns, with answers written to `peer` before. */
typedef ssize_t nft_play_fn(int peer, const void *request, size_t len);
/* A link to it, until the test ends. */
void nft_play_kernel(struct nft_link *l, nft_play_fn *answer);
void nft_play_ack(int peer, uint32_t seq, int error); /* 0 or -errno */

bool nft_play_is_possible(void);
/* A namespace of one's own; a plain user becomes its root. */
bool nft_play_begin(void);
/* The sets "inet t tokens", "inet t small" (room for two), "inet t life". Their tokens are
 * marks, which nft prints, but in the byte order of the host. */
bool nft_play_rules(void);
bool nft_play(const char *command); /* of nft; its complaints are seen in the test's output */
bool nft_play_lists(const char *set, const char *element);

#endif
