/* SPDX-License-Identifier: MIT */
/* resolver_channel - one c-ares channel in a libuv loop: its sockets under uv_poll_t, its timeouts under one uv_timer_t. Loop
 * thread only. c-ares 1.18 cannot take back one question, nor change its servers while one is open: so an asker who lost
 * interest just ignores the reply, and a reload opens a new channel beside the old one. */
#ifndef SERVER_RESOLVER_CHANNEL_H
#define SERVER_RESOLVER_CHANNEL_H
#include "base/list.h"
#include "resolver.h"
#include "wire/bytes.h"

struct resolver_channel;
struct resolver_question;
/* `status` is an ARES_*; `msg` dies with the call. May run inside resolver_channel_ask() and resolver_channel_close() (then with
 * ARES_EDESTRUCTION); must not call this module. */
typedef void resolver_channel_reply_fn(struct resolver_question *q, int status, struct span msg);
/* Runs from the loop after replies may have come, and after resolver_channel_kick(); may do anything, close the channel too. */
typedef void resolver_channel_turn_fn(void *arg);

struct resolver_question { /* the asker's; stays until the reply */
    struct resolver_channel *channel;
    resolver_channel_reply_fn *reply;
};

/* Uses servers, timeout_ms and tries of `cfg`. 0 or a negative UV_E*: UV_EINVAL for a server that is no address. */
int resolver_channel_open(uv_loop_t *loop, const struct resolver_config *cfg, resolver_channel_turn_fn *turn, void *arg,
                          struct resolver_channel **out) MUST_CHECK;
/* Handles close in the next turns of the loop, then memory goes. */
void resolver_channel_close(struct resolver_channel *c);

/* `type` is a DNS record type; the name is asked as it is: no search list, no /etc/hosts. */
void resolver_channel_ask(struct resolver_channel *c, const char *name, int type, struct resolver_question *q,
                          resolver_channel_reply_fn *reply);
void resolver_channel_kick(struct resolver_channel *c); /* asks for a turn */
size_t resolver_channel_open_questions(const struct resolver_channel *c);

#endif
