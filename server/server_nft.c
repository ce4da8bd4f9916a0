/* SPDX-License-Identifier: MIT */
/* The nftables sets of listeners for diverted connections: when the keeper exists and what it
 * is told. */
#include "nft_keeper.h"
#include "server_impl.h"

static bool needs_nft(const struct config *c)
{
    for (size_t i = 0; i < c->listeners.count; i++)
        if (c->listeners.item[i].join_tokens != NULL || c->listeners.item[i].alive_set != NULL)
            return true;
    return false;
}

/* A set that a failed reload named stays known, and is kept empty. */
int server_open_nft(struct server *s, const struct config *c, struct conf_error *err)
{
    int rc = 0;

    if (s->shared.keeper == NULL && !needs_nft(c))
        return 0;
    if (s->shared.keeper == NULL)
        s->shared.keeper = nft_keeper_new(s->log, &rc);
    if (s->shared.keeper != NULL)
        rc = nft_keeper_learn(s->shared.keeper, &c->listeners);
    return rc == 0 ? 0 : server_fail(err, "listeners' nftables", "sets", rc);
}

void server_use_nft(struct server *s)
{
    if (s->shared.keeper == NULL)
        return;
    nft_keeper_use(s->shared.keeper, &s->config->listeners);
    server_alive_nft(s);
}

void server_alive_nft(struct server *s)
{
    if (s->shared.keeper != NULL && s->state <= SERVER_SERVING &&
        server_loop_age_ms(s) < VIEW_STUCK_MS)
        nft_keeper_alive(s->shared.keeper);
}

void server_leave_nft(struct server *s)
{
    if (s->shared.keeper != NULL)
        nft_keeper_leave(s->shared.keeper);
}
