/* SPDX-License-Identifier: MIT */
/* Happy path: lookups are expected, answers arrive and join the tail of the list, attempts
 * start from its head one after the other. Failure path: a failed attempt makes the next one
 * due at once; when nothing runs, waits or is awaited, the most telling failure so far is the
 * verdict. Addresses already tried keep their index: only the tail is ever reordered. */
#include "eyeballs.h"
#include <string.h>

enum { UNTRIED, RUNNING, ENDED };

static unsigned slot_of(unsigned family)
{
    return family == ADDR_IPV6 ? 0 : 1;
}

void eyeballs_init(struct eyeballs *e, const struct eyeballs_config *cfg)
{
    memset(e, 0, sizeof *e);
    e->cfg = *cfg;
    if (e->cfg.prefer != ADDR_IPV4)
        e->cfg.prefer = ADDR_IPV6; /* RFC 8305 s3: IPv6 unless told otherwise */
}

void eyeballs_expect(struct eyeballs *e, enum addr_family family)
{
    e->pending[slot_of(family)] = true;
}

static void learn_failure(struct eyeballs *e, struct failure why)
{
    /* "There is none" from one family must not hide that the other one could not be asked. */
    if (e->worst.why == OUTCOME_NAME_NOT_FOUND && why.why == OUTCOME_RESOLVER_FAILED)
        e->worst = why;
    else
        e->worst = failure_worse(e->worst, why);
}

static bool known(const struct eyeballs *e, const struct addr *a)
{
    for (unsigned i = 0; i < e->count; i++) {
        if (addr_equal_ip(&e->addr[i], a))
            return true;
    }
    return false;
}

/* RFC 8305 s4 with a First Address Family Count of 1: families take turns, each in the
 * resolver's order. The tail goes on where the attempts already made have left off. */
static void interleave(struct eyeballs *e)
{
    struct addr sorted[EYEBALLS_ADDRS_MAX];
    unsigned turn = slot_of(e->cfg.prefer), next[2] = {e->started, e->started};
    unsigned n = e->started;

    if (e->started > 0)
        turn = 1 - slot_of(e->addr[e->started - 1].family);
    while (n < e->count) {
        unsigned *at = &next[turn];
        while (*at < e->count && slot_of(e->addr[*at].family) != turn)
            (*at)++;
        if (*at < e->count)
            sorted[n++] = e->addr[(*at)++];
        turn = 1 - turn;
    }
    memcpy(e->addr + e->started, sorted + e->started, (n - e->started) * sizeof *sorted);
}

void eyeballs_resolved(struct eyeballs *e, enum addr_family family, const struct addr *addrs,
                       size_t n, struct failure none, uint64_t now_ms)
{
    e->pending[slot_of(family)] = false;
    for (size_t i = 0; i < n && e->count < EYEBALLS_ADDRS_MAX; i++) {
        if (!known(e, &addrs[i]))
            e->addr[e->count++] = addrs[i];
    }
    if (n == 0)
        learn_failure(e, none);
    interleave(e);
    /* RFC 8305 s3: the other family's answer gives the preferred one a little time. Only looked
     * at while that one is pending. */
    e->resolution_ends_ms = now_ms + e->cfg.resolution_delay_ms;
}

void eyeballs_failed(struct eyeballs *e, unsigned index, struct failure why, uint64_t now_ms)
{
    ASSERT(index < e->started && e->state[index] == RUNNING);
    e->state[index] = ENDED;
    e->next_attempt_ms = now_ms;
    learn_failure(e, why);
}

static bool any_running(const struct eyeballs *e)
{
    return memchr(e->state, RUNNING, e->started) != NULL;
}

static struct eyeballs_step wait_until(uint64_t at_ms)
{
    return (struct eyeballs_step){.action = EYEBALLS_WAIT, .at_ms = at_ms};
}

/* When the head of the untried tail is due. */
static uint64_t due_ms(const struct eyeballs *e)
{
    unsigned preferred = slot_of(e->cfg.prefer);

    if (e->started == 0)
        return e->pending[preferred] && slot_of(e->addr[0].family) != preferred
                   ? e->resolution_ends_ms
                   : 0;
    return e->next_attempt_ms; /* past when nothing runs: the last failure set it */
}

struct eyeballs_step eyeballs_next(struct eyeballs *e, uint64_t now_ms)
{
    if (e->started < e->count) {
        uint64_t due = due_ms(e);
        if (now_ms < due)
            return wait_until(due);
        unsigned index = e->started++;
        e->state[index] = RUNNING;
        e->next_attempt_ms = now_ms + e->cfg.attempt_delay_ms;
        return (struct eyeballs_step){.action = EYEBALLS_CONNECT, .index = index};
    }
    if (any_running(e) || e->pending[0] || e->pending[1])
        return wait_until(UINT64_MAX);
    if (e->worst.why == OUTCOME_OK) /* nothing was ever asked for */
        e->worst = (struct failure){.why = OUTCOME_INTERNAL};
    return (struct eyeballs_step){.action = EYEBALLS_FAILED, .failure = e->worst};
}
