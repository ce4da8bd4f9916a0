/* SPDX-License-Identifier: MIT */
/* The part of synack_table that is about connections which are claimed before they are
 * accepted: who waits for them. A buried entry lies in the list of those that have passed
 * unclaimed, and ends with its time. */
#include "synack_entry.h"

static bool is_mine(const struct synack_entry *e, const struct synack_key *k)
{
    return e != NULL && e->claim != 0 && (k->claim == 0 || k->claim == e->claim);
}

void synack_table_own(struct synack_table *t, const struct synack_key *k,
                      struct synack_owner owner)
{
    struct synack_place p = synack_entry_lock(t, k);

    if (is_mine(*p.link, k))
        (*p.link)->owner = owner;
    synack_entry_unlock(&p);
}

enum synack_found synack_table_find(struct synack_table *t, struct synack_key *k,
                                    struct synack_owner *owner)
{
    struct synack_place p = synack_entry_lock(t, k);
    const struct synack_entry *e = *p.link;
    enum synack_found found = SYNACK_FOUND_NOTHING;

    /* Who was accepted has had its SYN-ACK. */
    if (e != NULL && e->owner.session != NULL && is_mine(e, k) &&
        e->state == SYNACK_STATE_PASSED)
        found = SYNACK_FOUND_OWNER;
    else if (k->claim != 0 || (e != NULL && (e->buried || e->owner.session != NULL)))
        found = SYNACK_FOUND_GONE;
    if (found == SYNACK_FOUND_OWNER) {
        *owner = e->owner;
        k->claim = e->claim;
    }
    synack_entry_unlock(&p);
    return found;
}

bool synack_table_bury(struct synack_table *t, const struct synack_key *k, uint64_t now_ms,
                       struct synack_held *out)
{
    struct synack_place p = synack_entry_lock(t, k);
    struct synack_entry *e = *p.link;
    bool undecided = false;

    if (is_mine(e, k)) {
        undecided = synack_entry_holds(e);
        if (undecided)
            synack_entry_take(t, p.shard, e, out);
        if (undecided || e->state == SYNACK_STATE_EXPECTED)
            e->state = SYNACK_STATE_REFUSED;
        e->claim = 0;
        e->owner = (struct synack_owner){.session = NULL};
        e->buried = true;
        synack_entry_wait_no_more(p.shard, e);
        synack_entry_wait(p.shard, e, SYNACK_WAIT_LATE, now_ms);
    }
    synack_entry_unlock(&p);
    return undecided;
}
