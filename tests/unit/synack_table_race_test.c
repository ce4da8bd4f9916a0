/* SPDX-License-Identifier: MIT */
#include "runner.h"
#include "synack_play.h"
#include <pthread.h>
#include <stdatomic.h>

enum { THREADS = 4, ROUNDS = 60000, TUPLES = 24, PACKETS = THREADS * ROUNDS };

struct race {
    struct synack_table *table;
    atomic_bool *out_once; /* [PACKETS] */
    atomic_uint next_id, clock, twice, held, out, full;
};

struct racer {
    struct race *race;
    uint64_t random;
    struct synack_key mine[TUPLES]; /* claim 0: none */
};

static uint32_t draw(struct racer *r, uint32_t n)
{
    r->random ^= r->random << 13; /* xorshift64 */
    r->random ^= r->random >> 7;
    r->random ^= r->random << 17;
    return (uint32_t)(r->random >> 32) % n;
}

static void handed_out(struct race *race, const struct synack_held *h)
{
    if (atomic_exchange(&race->out_once[h->id], true))
        atomic_fetch_add(&race->twice, 1);
    atomic_fetch_add(&race->out, 1);
}

static void race_packet(struct racer *r, struct synack_key k, uint64_t now_ms)
{
    struct race *race = r->race;
    uint32_t id = atomic_fetch_add(&race->next_id, 1);
    struct synack_held h = packet_of(id, draw(r, 2) == 0, (uint8_t)(1 + draw(r, 2)));

    enum synack_verdict v = synack_table_packet(race->table, &k, &h, now_ms);
    if (v == SYNACK_ASK && draw(r, 4) > 0)
        v = synack_table_orphan(race->table, &k, &h, now_ms);
    if (v == SYNACK_HOLD)
        atomic_fetch_add(&race->held, 1);
}

static void race_decide(struct racer *r, const struct synack_key *k)
{
    struct synack_held out;
    bool expired;
    enum synack_decision d = draw(r, 2) == 0 ? SYNACK_DECIDE_PASS : SYNACK_DECIDE_REFUSE;

    if (synack_table_decide(r->race->table, k, d, &out, &expired) == SYNACK_OWED_VERDICT)
        handed_out(r->race, &out);
}

static void race_forget(struct racer *r, struct synack_key *k)
{
    struct synack_held out;

    if (synack_table_forget(r->race->table, k, &out))
        handed_out(r->race, &out);
    k->claim = 0;
}

static void race_expire(struct racer *r, uint64_t now_ms)
{
    struct synack_held out;

    while (synack_table_expire(r->race->table, draw(r, 2), 2, now_ms, &out))
        handed_out(r->race, &out);
}

static void *race_thread(void *arg)
{
    struct racer *r = arg;
    struct race *race = r->race;

    for (unsigned i = 0; i < ROUNDS; i++) {
        uint64_t now_ms = NOW + atomic_fetch_add(&race->clock, 1) / 16;
        struct synack_key *k = &r->mine[draw(r, TUPLES)];

        switch (draw(r, 8)) {
        case 0:
        case 1:
            if (k->claim == 0 && !synack_table_claim(race->table, k, now_ms))
                atomic_fetch_add(&race->full, 1);
            break;
        case 2:
            if (k->claim != 0)
                race_decide(r, k);
            break;
        case 3:
            if (k->claim != 0)
                race_forget(r, k);
            break;
        case 4:
            race_expire(r, now_ms);
            break;
        default:
            race_packet(r, *k, now_ms);
        }
    }
    for (size_t i = 0; i < TUPLES; i++) {
        if (r->mine[i].claim != 0)
            race_forget(r, &r->mine[i]);
    }
    return NULL;
}

START_TEST(no_packet_is_lost_or_handed_out_twice_by_threads)
{
    static const struct synack_times short_times = {
        .tcp_ms = 40, .mptcp_ms = 20, .orphan_ms = 10};
    struct race race = {.table = synack_table_new(TUPLES - 4, short_times)};
    struct racer racer[THREADS];
    pthread_t thread[THREADS];

    race.out_once = calloc(PACKETS, sizeof race.out_once[0]);
    ck_assert(race.table != NULL && race.out_once != NULL);
    for (size_t i = 0; i < THREADS; i++) {
        racer[i] = (struct racer){.race = &race, .random = 0x9E3779B97F4A7C15U * (i + 1)};
        for (uint32_t n = 0; n < TUPLES; n++)
            racer[i].mine[n] = nth(n); /* all race for the same ones */
        ck_assert_int_eq(pthread_create(&thread[i], NULL, race_thread, &racer[i]), 0);
    }
    for (size_t i = 0; i < THREADS; i++)
        ck_assert_int_eq(pthread_join(thread[i], NULL), 0);
    ck_assert_uint_le(synack_table_count(race.table), TUPLES - 4);
    for (uint64_t later = 1; later <= 3; later++) { /* hold, then what is remembered of it */
        struct synack_held out;

        while (synack_table_expire(race.table, 0, 1, NOW + later * 1000000, &out))
            handed_out(&race, &out);
    }
    ck_assert_uint_eq(race.twice, 0);
    ck_assert_uint_gt(race.held, 1000);
    ck_assert_uint_gt(race.full, 0);
    ck_assert_uint_eq(race.held, race.out);
    free(race.out_once);
    done(race.table);
}
END_TEST

int main(void)
{
    Suite *s = suite_create("synack_table_race");
    TCase *c = tcase_create("synack_table_race");

    tcase_set_timeout(c, 120); /* under a sanitizer */
    tcase_add_test(c, no_packet_is_lost_or_handed_out_twice_by_threads);
    suite_add_tcase(s, c);
    return runner_main(s);
}
