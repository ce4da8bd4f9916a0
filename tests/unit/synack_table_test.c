/* SPDX-License-Identifier: MIT */
#include "runner.h"
#include "synack_play.h"

enum { MANY = 20000 };

START_TEST(free_of_null_is_fine)
{
    synack_table_free(NULL);
}
END_TEST

START_TEST(unknown_connections_are_asked_about_and_leave_nothing)
{
    struct synack_table *t = make(4);

    ck_assert_int_eq(arrive(t, nth(1), 1), SYNACK_ASK);
    done(t);
}
END_TEST

START_TEST(claimed_then_held_then_passed)
{
    struct synack_table *t = make(4);
    struct synack_key k = claimed(t, nth(1));

    counts(t, 1, 0);
    ck_assert_int_eq(arrive(t, k, 1), SYNACK_HOLD);
    counts(t, 1, 1);
    ck_assert_int_eq(arrive(t, k, 2), SYNACK_DROP);
    owes(t, k, SYNACK_DECIDE_PASS, 1);
    counts(t, 1, 0);
    ck_assert_int_eq(arrive(t, k, 3), SYNACK_PASS);
    forget(t, k);
    ck_assert_int_eq(arrive(t, k, 4), SYNACK_ASK);
    done(t);
}
END_TEST

START_TEST(orphan_then_claimed_then_refused)
{
    struct synack_table *t = make(4);

    ck_assert_int_eq(orphan(t, nth(1), 1), SYNACK_HOLD);
    counts(t, 1, 1);
    ck_assert_int_eq(arrive(t, nth(1), 2), SYNACK_DROP);
    struct synack_key k = claimed(t, nth(1));
    ck_assert_int_eq(arrive(t, k, 3), SYNACK_DROP);
    owes(t, k, SYNACK_DECIDE_REFUSE, 1);
    ck_assert_int_eq(arrive(t, k, 4), SYNACK_DROP);
    forget(t, k);
    done(t);
}
END_TEST

START_TEST(orphan_is_held_when_claimed_meanwhile)
{
    struct synack_table *t = make(4);

    ck_assert_int_eq(arrive(t, nth(1), 1), SYNACK_ASK);
    struct synack_key k = claimed(t, nth(1));
    ck_assert_int_eq(orphan(t, k, 1), SYNACK_HOLD);
    counts(t, 1, 1);
    owes(t, k, SYNACK_DECIDE_PASS, 1);
    forget(t, k);
    done(t);
}
END_TEST

/* With the claim, the decision or both between the question and its answer. */
START_TEST(orphan_follows_a_decision_made_meanwhile)
{
    static const enum synack_verdict want[] = {
        [SYNACK_DECIDE_PASS] = SYNACK_PASS,
        [SYNACK_DECIDE_REFUSE] = SYNACK_DROP,
    };

    for (unsigned d = 0; d < ARRAY_LEN(want); d++) {
        struct synack_table *t = make(4);

        ck_assert_int_eq(arrive(t, nth(1), 1), SYNACK_ASK);
        struct synack_key k = claimed(t, nth(1));
        owes_nothing(t, k, (enum synack_decision)d, false);
        ck_assert_int_eq(orphan(t, k, 1), want[d]);
        counts(t, 1, 0);
        forget(t, k);
        done(t);
    }
}
END_TEST

START_TEST(decided_before_the_packet_came)
{
    struct synack_table *t = make(4);
    struct synack_key pass = claimed(t, nth(1)), refuse = claimed(t, nth(2));

    owes_nothing(t, pass, SYNACK_DECIDE_PASS, false);
    owes_nothing(t, refuse, SYNACK_DECIDE_REFUSE, false);
    ck_assert_int_eq(arrive(t, pass, 1), SYNACK_PASS);
    ck_assert_int_eq(arrive(t, refuse, 2), SYNACK_DROP);
    forget(t, pass);
    forget(t, refuse);
    done(t);
}
END_TEST

START_TEST(only_the_first_decision_counts)
{
    struct synack_table *t = make(4);
    struct synack_key k = claimed(t, nth(1));

    ck_assert_int_eq(arrive(t, k, 1), SYNACK_HOLD);
    owes(t, k, SYNACK_DECIDE_PASS, 1);
    owes_nothing(t, k, SYNACK_DECIDE_REFUSE, false);
    ck_assert_int_eq(arrive(t, k, 2), SYNACK_PASS);
    forget(t, k);
    done(t);
}
END_TEST

START_TEST(decisions_about_what_is_not_claimed_change_nothing)
{
    struct synack_table *t = make(4);
    struct synack_held out;

    owes_nothing(t, nth(1), SYNACK_DECIDE_PASS, false);
    ck_assert_int_eq(orphan(t, nth(1), 1), SYNACK_HOLD);
    owes_nothing(t, nth(1), SYNACK_DECIDE_REFUSE, false);
    ck_assert(!synack_table_forget(t, &(struct synack_key){.claim = 0}, &out));
    forget(t, nth(1));
    counts(t, 1, 1);
    expires(t, NOW + ORPHAN_MS, 1, false);
    expires(t, NOW + ORPHAN_MS + LATE_MS, 0, false);
    done(t);
}
END_TEST

START_TEST(forget_hands_out_an_undecided_packet_once)
{
    struct synack_table *t = make(4);
    struct synack_key k = claimed(t, nth(1));
    struct synack_held out = {.id = 0};

    ck_assert_int_eq(arrive(t, k, 5), SYNACK_HOLD);
    ck_assert(synack_table_forget(t, &k, &out));
    ck_assert_uint_eq(out.id, 5);
    forget(t, k);
    owes_nothing(t, k, SYNACK_DECIDE_PASS, false);
    done(t);
}
END_TEST

START_TEST(full_table_holds_nothing_more)
{
    struct synack_table *t = make(2);
    struct synack_key k = nth(3), a = claimed(t, nth(1));

    ck_assert_int_eq(orphan(t, nth(2), 2), SYNACK_HOLD);
    ck_assert_int_eq(arrive(t, k, 3), SYNACK_PASS);
    ck_assert_int_eq(orphan(t, k, 3), SYNACK_PASS);
    ck_assert(!synack_table_claim(t, &k, NOW));
    ck_assert_uint_eq(k.claim, 0);
    counts(t, 2, 1);
    ck_assert_int_eq(arrive(t, a, 1), SYNACK_HOLD); /* what is in the table goes on */
    owes(t, a, SYNACK_DECIDE_PASS, 1);
    forget(t, a);
    k = claimed(t, k);
    forget(t, k);
    k = claimed(t, nth(2));
    owes(t, k, SYNACK_DECIDE_PASS, 2);
    forget(t, k);
    done(t);
}
END_TEST

START_TEST(table_of_none_is_always_full)
{
    struct synack_table *t = make(0);
    struct synack_key k = nth(1);

    ck_assert_int_eq(arrive(t, k, 1), SYNACK_PASS);
    ck_assert_int_eq(orphan(t, k, 1), SYNACK_PASS);
    ck_assert(!synack_table_claim(t, &k, NOW));
    done(t);
}
END_TEST

START_TEST(mapped_addresses_and_scopes_are_the_same_connection)
{
    struct synack_table *t = make(8);
    struct synack_key plain = {.local = at("192.0.2.1:1080"), .peer = at("198.51.100.7:4000")};
    struct synack_key mapped = {.local = at("[::ffff:192.0.2.1]:1080"),
                                .peer = at("[::ffff:198.51.100.7]:4000")};
    struct synack_key six = nth(1), scoped = nth(1);

    scoped.peer.scope = 3;
    mapped = claimed(t, mapped);
    ck_assert_int_eq(arrive(t, plain, 1), SYNACK_HOLD);
    six = claimed(t, six);
    ck_assert_int_eq(arrive(t, scoped, 2), SYNACK_HOLD);
    owes(t, mapped, SYNACK_DECIDE_PASS, 1);
    owes(t, six, SYNACK_DECIDE_PASS, 2);
    forget(t, mapped);
    forget(t, six);
    done(t);
}
END_TEST

/* Each part of the key on its own, and the two ends swapped. */
START_TEST(other_addresses_and_ports_are_other_connections)
{
    struct synack_table *t = make(8);
    struct synack_key k = claimed(t, nth(1)), other[5];

    for (size_t i = 0; i < ARRAY_LEN(other); i++)
        other[i] = k;
    other[0].local.ip[15]++;
    other[1].local.port++;
    other[2].peer.ip[15]++;
    other[3].peer.port++;
    other[4] = (struct synack_key){.local = k.peer, .peer = k.local};
    for (size_t i = 0; i < ARRAY_LEN(other); i++)
        ck_assert_int_eq(arrive(t, other[i], 1), SYNACK_ASK);
    forget(t, k);
    done(t);
}
END_TEST

START_TEST(second_claim_starts_anew_and_the_first_has_no_say)
{
    struct synack_table *t = make(4);
    struct synack_key old = claimed(t, nth(1)), new;
    struct synack_held out;

    ck_assert_int_eq(arrive(t, old, 1), SYNACK_HOLD);
    new = claimed(t, nth(1));
    ck_assert_uint_ne(new.claim, old.claim);
    counts(t, 2, 1);
    owes_nothing(t, old, SYNACK_DECIDE_REFUSE, false);
    forget(t, old);
    expires(t, NOW, 1, true); /* the old one's, to be dropped, and at once */
    counts(t, 1, 0);
    ck_assert_int_eq(arrive_at(t, new, packet_of(2, false, 9), NOW), SYNACK_HOLD);
    forget(t, old);
    ck_assert(synack_table_forget(t, &new, &out));
    ck_assert_uint_eq(out.id, 2);
    done(t);
}
END_TEST

START_TEST(second_claim_of_a_decided_connection_starts_anew)
{
    for (unsigned d = SYNACK_DECIDE_PASS; d <= SYNACK_DECIDE_REFUSE; d++) {
        struct synack_table *t = make(4);
        struct synack_key old = claimed(t, nth(1)), new;

        owes_nothing(t, old, (enum synack_decision)d, false);
        new = claimed(t, nth(1));
        counts(t, 1, 0);
        ck_assert_int_eq(arrive(t, new, 1), SYNACK_HOLD);
        owes(t, new, SYNACK_DECIDE_PASS, 1);
        forget(t, old);
        counts(t, 1, 0);
        forget(t, new);
        done(t);
    }
}
END_TEST

START_TEST(stale_is_for_expire_to_say)
{
    struct synack_table *t = make(4);
    struct synack_key k = claimed(t, nth(1));
    struct synack_held h = packet(1, false);

    h.stale = true;
    ck_assert_int_eq(arrive_at(t, k, h, NOW), SYNACK_HOLD);
    owes(t, k, SYNACK_DECIDE_PASS, 1);
    forget(t, k);
    done(t);
}
END_TEST

START_TEST(key_without_a_claim_means_whichever_there_is)
{
    struct synack_table *t = make(4);
    struct synack_key k = claimed(t, nth(1));

    ck_assert_int_eq(arrive(t, k, 1), SYNACK_HOLD);
    owes(t, nth(1), SYNACK_DECIDE_PASS, 1);
    forget(t, nth(1));
    done(t);
}
END_TEST

/* Reached in each state of the old connection, as its SYN-ACK shows first. */
START_TEST(another_ack_is_another_connection)
{
    for (unsigned state = 0; state < 4; state++) {
        struct synack_table *t = make(4);
        struct synack_key old = nth(1);
        struct synack_held out;
        bool held = state < 2;

        if (state == 0)
            ck_assert_int_eq(orphan(t, old, 1), SYNACK_HOLD);
        if (state > 0) {
            old = claimed(t, old);
            ck_assert_int_eq(arrive(t, old, 1), SYNACK_HOLD);
        }
        if (state > 1)
            owes(t, old, state == 2 ? SYNACK_DECIDE_PASS : SYNACK_DECIDE_REFUSE, 1);
        ck_assert_int_eq(arrive_at(t, nth(1), packet_of(2, false, 9), NOW), SYNACK_ASK);
        ck_assert_int_eq(orphan_at(t, nth(1), packet_of(2, false, 9), NOW), SYNACK_HOLD);
        if (old.claim != 0)
            forget(t, old);
        expires(t, NOW, held ? 1 : 0, true);
        struct synack_key new = claimed(t, nth(1));
        ck_assert(synack_table_forget(t, &new, &out));
        ck_assert_uint_eq(out.id, 2);
        done(t);
    }
}
END_TEST

START_TEST(table_can_be_freed_with_entries_in_every_state)
{
    struct synack_table *t = make(16);

    ck_assert_int_eq(orphan(t, nth(1), 1), SYNACK_HOLD);
    expires(t, NOW + ORPHAN_MS, 1, false); /* passed unclaimed */
    (void)claimed(t, nth(2));              /* expected */
    ck_assert_int_eq(orphan(t, nth(3), 3), SYNACK_HOLD);
    for (uint32_t i = 4; i < 8; i++) { /* held, passed, refused, replaced */
        struct synack_key k = claimed(t, nth(i));

        ck_assert_int_eq(arrive(t, k, i), SYNACK_HOLD);
        if (i == 5)
            owes(t, k, SYNACK_DECIDE_PASS, i);
        if (i == 6)
            owes(t, k, SYNACK_DECIDE_REFUSE, i);
        if (i == 7)
            (void)claimed(t, nth(i));
    }
    counts(t, 8, 3);
    synack_table_free(t);
}
END_TEST

START_TEST(many_entries_are_found_again)
{
    struct synack_table *t = make(MANY);

    for (uint32_t i = 0; i < MANY; i++)
        ck_assert_int_eq(orphan(t, nth(i), i), SYNACK_HOLD);
    ck_assert_int_eq(orphan(t, nth(MANY), MANY), SYNACK_PASS);
    counts(t, MANY, MANY);
    for (uint32_t i = 0; i < MANY; i++) {
        struct synack_key k = claimed(t, nth(i));

        owes(t, k, SYNACK_DECIDE_PASS, i);
        forget(t, k);
    }
    done(t);
}
END_TEST

int main(void)
{
    Suite *s = suite_create("synack_table");
    TCase *c = tcase_create("synack_table");

    tcase_set_timeout(c, 120); /* under a sanitizer */
    tcase_add_test(c, free_of_null_is_fine);
    tcase_add_test(c, unknown_connections_are_asked_about_and_leave_nothing);
    tcase_add_test(c, claimed_then_held_then_passed);
    tcase_add_test(c, orphan_then_claimed_then_refused);
    tcase_add_test(c, orphan_is_held_when_claimed_meanwhile);
    tcase_add_test(c, orphan_follows_a_decision_made_meanwhile);
    tcase_add_test(c, decided_before_the_packet_came);
    tcase_add_test(c, only_the_first_decision_counts);
    tcase_add_test(c, decisions_about_what_is_not_claimed_change_nothing);
    tcase_add_test(c, forget_hands_out_an_undecided_packet_once);
    tcase_add_test(c, full_table_holds_nothing_more);
    tcase_add_test(c, table_of_none_is_always_full);
    tcase_add_test(c, mapped_addresses_and_scopes_are_the_same_connection);
    tcase_add_test(c, other_addresses_and_ports_are_other_connections);
    tcase_add_test(c, second_claim_starts_anew_and_the_first_has_no_say);
    tcase_add_test(c, second_claim_of_a_decided_connection_starts_anew);
    tcase_add_test(c, stale_is_for_expire_to_say);
    tcase_add_test(c, key_without_a_claim_means_whichever_there_is);
    tcase_add_test(c, another_ack_is_another_connection);
    tcase_add_test(c, table_can_be_freed_with_entries_in_every_state);
    tcase_add_test(c, many_entries_are_found_again);
    suite_add_tcase(s, c);
    return runner_main(s);
}
