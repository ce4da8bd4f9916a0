/* SPDX-License-Identifier: MIT */
/* Connections that are claimed before they are accepted: who waits for them, and what is
 * remembered of those that ended before. */
#include "runner.h"
#include "synack_play.h"

static int session; /* stands for one */

/* Held, and waited for by `session` of worker 3. */
static struct synack_key conceived(struct synack_table *t, struct synack_key k, uint32_t id)
{
    ck_assert_int_eq(arrive(t, k, id), SYNACK_ASK);
    ck_assert_int_eq(orphan(t, k, id), SYNACK_HOLD);
    k = claimed(t, k);
    synack_table_own(t, &k, (struct synack_owner){.session = &session, .worker = 3});
    return k;
}

static enum synack_found find(struct synack_table *t, struct synack_key k)
{
    struct synack_owner owner = {.session = NULL};
    enum synack_found found = synack_table_find(t, &k, &owner);

    if (found == SYNACK_FOUND_OWNER) {
        ck_assert_ptr_eq(owner.session, &session);
        ck_assert_uint_eq(owner.worker, 3);
        ck_assert_uint_ne(k.claim, 0);
    } else {
        ck_assert_ptr_null(owner.session);
    }
    return found;
}

/* bury() has nothing to hand out. */
static void bury(struct synack_table *t, struct synack_key k, uint64_t now_ms)
{
    struct synack_held out = {.id = 77};

    ck_assert(!synack_table_bury(t, &k, now_ms, &out));
    ck_assert_uint_eq(out.id, 77);
}

START_TEST(an_unknown_connection_is_nobodys)
{
    struct synack_table *t = make(10);
    struct synack_key k = nth(1);

    ck_assert_int_eq(find(t, k), SYNACK_FOUND_NOTHING);
    (void)claimed(t, k); /* as on a listener that is not transparent */
    ck_assert_int_eq(find(t, k), SYNACK_FOUND_NOTHING);
    synack_table_free(t);
}
END_TEST

START_TEST(an_accepted_connection_finds_who_waits_for_it)
{
    struct synack_table *t = make(10);
    struct synack_key k = conceived(t, nth(1), 5);

    owes(t, k, SYNACK_DECIDE_PASS, 5);
    ck_assert_int_eq(find(t, nth(1)), SYNACK_FOUND_OWNER);
    ck_assert_int_eq(find(t, k), SYNACK_FOUND_OWNER);
    ck_assert_int_eq(find(t, nth(2)), SYNACK_FOUND_NOTHING);
    forget(t, k);
    ck_assert_int_eq(find(t, nth(1)), SYNACK_FOUND_NOTHING);
    ck_assert_int_eq(find(t, k), SYNACK_FOUND_GONE);
    synack_table_free(t);
}
END_TEST

START_TEST(one_that_was_held_too_long_is_found_as_well)
{
    struct synack_table *t = make(10);
    struct synack_key k = conceived(t, nth(1), 5);

    expires(t, NOW + TCP_MS, 5, false);
    ck_assert_int_eq(find(t, k), SYNACK_FOUND_OWNER);
    owes_nothing(t, k, SYNACK_DECIDE_REFUSE, true);
    ck_assert_int_eq(find(t, k), SYNACK_FOUND_OWNER);
    synack_table_free(t);
}
END_TEST

/* Whoever was accepted from there is an older connection. */
START_TEST(nobody_is_accepted_whose_syn_ack_is_held)
{
    struct synack_table *t = make(10);
    struct synack_key k = conceived(t, nth(1), 5);

    ck_assert_int_eq(find(t, nth(1)), SYNACK_FOUND_GONE);
    owes(t, k, SYNACK_DECIDE_REFUSE, 5);
    ck_assert_int_eq(find(t, nth(1)), SYNACK_FOUND_GONE);
    synack_table_free(t);
}
END_TEST

START_TEST(what_is_buried_is_remembered_for_a_while)
{
    struct synack_table *t = make(10);
    struct synack_key k = conceived(t, nth(1), 5);

    owes(t, k, SYNACK_DECIDE_PASS, 5);
    bury(t, k, NOW + 10);
    ck_assert_int_eq(find(t, nth(1)), SYNACK_FOUND_GONE);
    ck_assert_int_eq(arrive(t, nth(1), 6), SYNACK_PASS); /* sent again */
    expires(t, NOW + 10 + LATE_MS - 1, 0, false);
    ck_assert_int_eq(find(t, nth(1)), SYNACK_FOUND_GONE);
    expires(t, NOW + 10 + LATE_MS, 0, false);
    counts(t, 0, 0);
    ck_assert_int_eq(find(t, nth(1)), SYNACK_FOUND_NOTHING);
    synack_table_free(t);
}
END_TEST

START_TEST(what_is_buried_undecided_is_handed_out_and_stays_away)
{
    struct synack_table *t = make(10);
    struct synack_key k = conceived(t, nth(1), 5);
    struct synack_held out = {.id = 77};

    ck_assert(synack_table_bury(t, &k, NOW, &out));
    ck_assert_uint_eq(out.id, 5);
    counts(t, 1, 0);
    ck_assert_int_eq(arrive(t, nth(1), 6), SYNACK_DROP);
    bury(t, k, NOW); /* once */
    synack_table_free(t);
}
END_TEST

START_TEST(a_refused_connection_stays_refused_and_a_new_one_is_new)
{
    struct synack_table *t = make(10);
    struct synack_key k = conceived(t, nth(1), 5);

    owes(t, k, SYNACK_DECIDE_REFUSE, 5);
    bury(t, k, NOW);
    ck_assert_int_eq(arrive(t, nth(1), 6), SYNACK_DROP);
    ck_assert_int_eq(arrive_at(t, nth(1), packet_of(7, false, 2), NOW), SYNACK_ASK);
    ck_assert_int_eq(find(t, nth(1)), SYNACK_FOUND_NOTHING);
    synack_table_free(t);
}
END_TEST

START_TEST(a_claim_of_a_buried_connection_starts_anew)
{
    struct synack_table *t = make(10);
    struct synack_key k = conceived(t, nth(1), 5);

    owes(t, k, SYNACK_DECIDE_PASS, 5);
    bury(t, k, NOW);
    struct synack_key other = claimed(t, nth(1));
    ck_assert_int_eq(arrive(t, nth(1), 6), SYNACK_HOLD);
    ck_assert_int_eq(find(t, nth(1)), SYNACK_FOUND_NOTHING);
    owes(t, other, SYNACK_DECIDE_PASS, 6);
    expires(t, NOW + LATE_MS, 0, false);
    counts(t, 1, 0);
    synack_table_free(t);
}
END_TEST

START_TEST(only_a_claim_can_own_and_bury)
{
    struct synack_table *t = make(10);
    struct synack_key k = conceived(t, nth(1), 5), older = k;

    older.claim ^= 0x80000000;
    synack_table_own(t, &older, (struct synack_owner){.session = t});
    bury(t, older, NOW);
    owes(t, k, SYNACK_DECIDE_PASS, 5);
    ck_assert_int_eq(find(t, k), SYNACK_FOUND_OWNER);
    ck_assert_int_eq(find(t, older), SYNACK_FOUND_GONE);
    synack_table_free(t);
}
END_TEST

int main(void)
{
    Suite *s = suite_create("synack_owner");
    TCase *c = tcase_create("synack_owner");

    tcase_add_test(c, an_unknown_connection_is_nobodys);
    tcase_add_test(c, an_accepted_connection_finds_who_waits_for_it);
    tcase_add_test(c, one_that_was_held_too_long_is_found_as_well);
    tcase_add_test(c, nobody_is_accepted_whose_syn_ack_is_held);
    tcase_add_test(c, what_is_buried_is_remembered_for_a_while);
    tcase_add_test(c, what_is_buried_undecided_is_handed_out_and_stays_away);
    tcase_add_test(c, a_refused_connection_stays_refused_and_a_new_one_is_new);
    tcase_add_test(c, a_claim_of_a_buried_connection_starts_anew);
    tcase_add_test(c, only_a_claim_can_own_and_bury);
    suite_add_tcase(s, c);
    return runner_main(s);
}
