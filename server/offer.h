/* SPDX-License-Identifier: MIT */
/* offer - whether a server is offered Multipath TCP, and what is remembered of servers
 * (draft-nam-mptcp-deployment-considerations-01 s5.6.1). One table for all workers: any thread;
 * every set of eight entries has a mutex of its own. Time is the caller's: milliseconds of one
 * monotonic clock. No I/O, no uv.h.
 *
 * Remembered are networks that left an MP_CAPABLE unanswered, or answered it (by prefix), and
 * servers that took it up or did not (by address and port). The table never grows: in a full
 * set the entry used longest ago makes way, one of a slow network last. The hash is keyed:
 * nobody can aim at a set. */
#ifndef SERVER_OFFER_H
#define SERVER_OFFER_H
#include "base/check.h"
#include "base/conffile.h"
#include "wire/addr.h"
#include <stdbool.h>
#include <stdint.h>

enum offer_mode { OFFER_MODE_OFF, OFFER_MODE_ON, OFFER_MODE_AUTO };

/* Part of the configuration; keys "upstream.*". */
struct offer_policy {
    int mode;                    /* enum offer_mode */
    struct conf_prefixes native; /* known to speak MPTCP: always offered, nothing remembered */
    uint32_t slow_after_ms;      /* silence before plain TCP is tried beside it */
    uint32_t slow_ttl_ms;        /* a slow network is spared MP_CAPABLE for so long */
    uint32_t answer_ttl_ms;      /* an answer is remembered for so long; 0: not at all */
    uint32_t slow_prefix4, slow_prefix6; /* bits that make a network */
};

enum offer {
    OFFER_NONE,    /* plain TCP */
    OFFER_SLOW,    /* plain TCP: its network does not answer MP_CAPABLE, or too late */
    OFFER_PLAIN,   /* plain TCP: it answers without MPTCP */
    OFFER_ALWAYS,  /* MP_CAPABLE, whatever comes of it */
    OFFER_WATCHED, /* MP_CAPABLE; silence and refusal may be its fault */
    OFFER_PROVEN,  /* MP_CAPABLE; only silence may be: its network has answered one before */
};

struct offer_table;

/* Room for about `entries`. NULL: out of memory, or no random numbers for the hash. */
struct offer_table *offer_new(uint32_t entries) MUST_CHECK;
void offer_free(struct offer_table *t); /* NULL is fine */

/* What `server` (address and port) is to be offered. `wanted`: the client asks for MPTCP
 * (RFC 8803 s7): offered in mode off, too, and to a server that did not take it up lately.
 * `t` may be NULL unless the mode is auto. */
enum offer offer_decide(struct offer_table *t, const struct offer_policy *p,
                        const struct addr *server, bool wanted, uint64_t now_ms);
/* A SYN with MP_CAPABLE was answered; `mptcp`: with MP_CAPABLE. */
void offer_answered(struct offer_table *t, const struct offer_policy *p,
                    const struct addr *server, bool mptcp, uint64_t now_ms);
/* Plain TCP was answered where MP_CAPABLE was not. True: the network is slow from now on. One
 * that has answered before is so at the second time in a row: a SYN can get lost. */
bool offer_unanswered(struct offer_table *t, const struct offer_policy *p,
                      const struct addr *server, uint64_t now_ms);
void offer_forget(struct offer_table *t); /* everything; NULL is fine */

struct offer_counts {
    uint64_t slow;         /* networks */
    uint64_t plain, mptcp; /* servers */
};
/* What holds at `now_ms`; all zero for NULL. Looks at every entry. */
struct offer_counts offer_count(struct offer_table *t, uint64_t now_ms);

#endif
