/* SPDX-License-Identifier: MIT */
#include "duel.h"
#include "base/mptcp.h"
#include "stats.h"

void duel_init(struct duel *d)
{
    *d = (struct duel){
        .first.watch.fd = -1, .second.watch.fd = -1, .due_ms = UINT64_MAX, .offer = OFFER_NONE};
}

void duel_close(struct duel *d, struct poller *poller)
{
    attempt_close(&d->first, poller);
    attempt_close(&d->second, poller);
    d->due_ms = UINT64_MAX;
}

static bool is_watched(const struct duel *d)
{
    return d->first.mptcp && (d->offer == OFFER_WATCHED || d->offer == OFFER_PROVEN);
}

struct failure duel_start(struct duel *d, const struct duel_env *e, const struct addr *to,
                          bool wanted, struct span *early)
{
    d->offer = offer_decide(e->offers, e->policy, to, wanted, e->now_ms);
    if (d->offer == OFFER_SLOW)
        stats_add(e->stats, STAT_WITHHELD_SLOW, 1);
    else if (d->offer == OFFER_PLAIN)
        stats_add(e->stats, STAT_WITHHELD_PLAIN, 1);
    struct failure why = attempt_start(&d->first, e->poller, e->stats, e->client, to,
                                       d->offer >= OFFER_ALWAYS, early, e->first_ready);
    if (why.why == OUTCOME_OK && is_watched(d))
        d->due_ms = e->now_ms + e->policy->slow_after_ms;
    return why;
}

/* False: it has failed at once, or has had its turn. Octets in the first one's SYN stay there:
 * two servers must not both get the request. */
static bool start_second(struct duel *d, const struct duel_env *e)
{
    struct span none = {.ptr = NULL, .len = 0};
    struct addr to = d->first.remote;

    if (d->due_ms == UINT64_MAX)
        return false;
    d->due_ms = UINT64_MAX;
    stats_add(e->stats, STAT_SECOND_ATTEMPTS, 1);
    return attempt_start(&d->second, e->poller, e->stats, e->client, &to, false, &none,
                         e->second_ready)
               .why == OUTCOME_OK;
}

uint64_t duel_tick(struct duel *d, const struct duel_env *e)
{
    if (e->now_ms >= d->due_ms)
        (void)start_second(d, e); /* without it the first goes on alone */
    return d->due_ms;
}

bool duel_lost(struct duel *d, const struct duel_env *e, struct attempt *a)
{
    attempt_close(a, e->poller);
    if (a == &d->second) { /* what plain TCP hears, the other would hear later */
        duel_close(d, e->poller);
        return true;
    }
    if (d->second.watch.fd >= 0)
        return false;
    if (d->offer == OFFER_WATCHED && start_second(d, e))
        return false;
    d->due_ms = UINT64_MAX;
    return true;
}

void duel_won(struct duel *d, const struct duel_env *e, const struct attempt *a)
{
    bool first = a == &d->first;
    bool mptcp = attempt_connected(a, e->stats);

    if (is_watched(d) && first)
        offer_answered(e->offers, e->policy, &a->remote, mptcp, e->now_ms);
    else if (!first && offer_unanswered(e->offers, e->policy, &a->remote, e->now_ms))
        stats_add(e->stats, STAT_SLOW_ADDED, 1);
    attempt_close(first ? &d->second : &d->first, e->poller);
    d->due_ms = UINT64_MAX;
}
