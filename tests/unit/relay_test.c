/* SPDX-License-Identifier: MIT */
/* Sessions that relay, end to end: what comes out is what went in, and nothing else. */
#include "enginebench.h"
#include "runner.h"
#include <errno.h>
#include <string.h>

enum { PIECE_MAX = 512 * 1024, QUIET_TURNS = 4 };

static struct enginebench b;
static struct enginepair pair;
static struct session *s;

static void begin(const char *changes, bool mptcp)
{
    enginebench_start(&b, changes);
    enginebench_pair(&b, &pair, mptcp);
    s = enginebench_session(&b);
    ck_assert_int_eq(s->state, SESSION_RELAY);
    ck_assert(s->client.mptcp == mptcp);
}

static void end(void)
{
    enginebench_until_idle(&b);
    enginebench_end(&b);
}

static void close_both(void)
{
    rawnet_close(pair.client);
    rawnet_close(pair.origin);
    end();
}

/* ---- A stream whose every octet tells where it belongs ---- */

struct flow {
    int from, to;
    uint64_t sent, got, total;
};

/* A prime period: no buffer's size divides it. */
enum { PERIOD = 65521 };
static uint8_t pattern[PERIOD + PIECE_MAX];

static void make_pattern(void)
{
    uint32_t x = 1;

    for (size_t i = 0; i < PERIOD; i++) {
        x = x * 1664525U + 1013904223U;
        pattern[i] = (uint8_t)(x >> 24);
    }
    for (size_t i = PERIOD; i < sizeof pattern; i++)
        pattern[i] = pattern[i - PERIOD];
}

static uint64_t send_some(struct flow *f, size_t most)
{
    uint64_t left = f->total - f->sent;
    size_t len = left < most ? (size_t)left : most;

    ssize_t n = len > 0 ? rawnet_send(f->from, pattern + f->sent % PERIOD, len) : 0;
    ck_assert(n >= 0 || n == -EAGAIN);
    f->sent += n > 0 ? (uint64_t)n : 0;
    return n > 0 ? (uint64_t)n : 0;
}

static uint64_t recv_some(struct flow *f, size_t most)
{
    static uint8_t buf[PIECE_MAX];
    ssize_t n = rawnet_recv(f->to, buf, most);

    ck_assert_msg(n > 0 || n == -EAGAIN, "ended after %llu octets", (unsigned long long)f->got);
    ck_assert_msg(n < 0 || memcmp(buf, pattern + f->got % PERIOD, (size_t)n) == 0,
                  "wrong octets after %llu", (unsigned long long)f->got);
    f->got += n > 0 ? (uint64_t)n : 0;
    return n > 0 ? (uint64_t)n : 0;
}

/* xorshift64*: the seed tells the whole run. */
static uint64_t draw(uint64_t *state, uint64_t below)
{
    *state ^= *state >> 12;
    *state ^= *state << 25;
    *state ^= *state >> 27;
    return (*state * UINT64_C(0x2545F4914F6CDD1D) >> 33) % below;
}

/* Both ways at once, in pieces of any size; phases of small ones and of bulk. */
static void play(struct flow *flow, size_t flows, uint64_t seed)
{
    static const uint64_t size[] = {1, 100, 5000, 70000, PIECE_MAX};
    uint64_t phase = 0, left = 0;
    unsigned idle = 0;

    while (idle < ENGINEBENCH_TURNS) {
        uint64_t moved = 0, missing = 0;
        if (left-- == 0) {
            phase = draw(&seed, 5);
            left = 5 + draw(&seed, 20);
        }
        for (size_t i = 0; i < flows; i++) {
            moved += send_some(&flow[i], (size_t)(1 + draw(&seed, size[phase])));
            moved += recv_some(&flow[i], (size_t)(1 + draw(&seed, PIECE_MAX)));
            missing += flow[i].total - flow[i].got;
        }
        if (missing == 0)
            return;
        idle = moved > 0 ? 0 : idle + 1;
        enginebench_turn(&b);
    }
    ck_abort_msg("it does not move any more");
}

static const struct {
    const char *changes;
    bool mptcp, splices;
} path[] = {
    {"{\"relay\": {\"splice\": false}}", false, false},
    {"{\"relay\": {\"splice\": true}}", false, true},
    {"{\"relay\": {\"splice\": false}}", true, false},
    {"{\"relay\": {\"splice\": true}}", true, true},
};
enum { PATHS = sizeof path / sizeof path[0], SEEDS = 2 };

START_TEST(every_octet_arrives_once_in_order_and_is_counted)
{
    int p = _i / SEEDS;
    uint64_t seed = (uint64_t)(_i % SEEDS) + 1;

    begin(path[p].changes, path[p].mptcp);
    struct flow flow[] = {
        {pair.client, pair.origin, 0, 0, 4345678},
        {pair.origin, pair.client, 0, 0, 7456789},
    };
    play(flow, 2, seed);
    ck_assert_uint_eq(s->relay.up.bytes, flow[0].total);
    ck_assert_uint_eq(s->relay.down.bytes, flow[1].total);
    ck_assert_uint_eq(enginebench_stat(&b, STAT_UP_BYTES), flow[0].total);
    ck_assert_uint_eq(enginebench_stat(&b, STAT_DOWN_BYTES), flow[1].total);
    ck_assert((enginebench_stat(&b, STAT_SPLICED_BYTES) > 0) == path[p].splices);
    close_both();
}
END_TEST

START_TEST(without_a_pipe_a_bulk_flow_is_copied)
{
    begin(NULL, false);
    b.worker->pipes.max = 0;
    struct flow flow = {pair.origin, pair.client, 0, 0, 10000000};
    play(&flow, 1, 7);
    ck_assert_uint_gt(enginebench_stat(&b, STAT_PIPES_EXHAUSTED), 0);
    ck_assert_uint_eq(enginebench_stat(&b, STAT_SPLICED_BYTES), 0);
    ck_assert_uint_eq(enginebench_stat(&b, STAT_PIPES), 0);
    close_both();
}
END_TEST

START_TEST(an_idle_relay_owns_no_buffer_and_no_pipe)
{
    begin(NULL, _i != 0);
    struct flow flow[] = {
        {pair.client, pair.origin, 0, 0, 5000000},
        {pair.origin, pair.client, 0, 0, 5000000},
    };
    play(flow, 2, 3);
    enginebench_turn(&b);
    ck_assert_ptr_null(s->relay.up.kept);
    ck_assert_ptr_null(s->relay.down.kept);
    ck_assert_ptr_null(s->relay.up.pipe);
    ck_assert_ptr_null(s->relay.down.pipe);
    ck_assert_uint_eq(b.worker->pipes.free_count, b.worker->pipes.made);
    close_both();
}
END_TEST

/* ---- Back-pressure ---- */

/* Pours until nobody takes any more. */
static void fill(struct flow *f)
{
    for (unsigned quiet = 0; quiet < QUIET_TURNS;) {
        quiet = send_some(f, PIECE_MAX) > 0 ? 0 : quiet + 1;
        enginebench_turn(&b);
    }
}

START_TEST(a_receiver_that_does_not_read_costs_a_bounded_buffer)
{
    begin(path[_i / 2].changes, path[_i / 2].mptcp);
    bool up = _i % 2 == 0;
    struct pump *p = up ? &s->relay.up : &s->relay.down;
    struct flow f = {up ? pair.client : pair.origin, up ? pair.origin : pair.client, 0, 0,
                     UINT64_MAX / 2};
    fill(&f);
    uint64_t held = relay_buffered(p);
    ck_assert_uint_gt(held, 0);
    ck_assert_uint_le(held, RELAY_SCRATCH_BYTES); /* and no less than a pipe holds */
    ck_assert_uint_eq(enginebench_stat(&b, STAT_BUFFERED_BYTES),
                      p->piped > 0 ? held - p->piped : held);
    close_both();
}
END_TEST

/* ---- The ends ---- */

START_TEST(a_half_close_lets_the_other_half_go_on)
{
    begin(path[_i / 2].changes, path[_i / 2].mptcp);
    bool up = _i % 2 == 0; /* whose end comes first */
    int first = up ? pair.client : pair.origin, second = up ? pair.origin : pair.client;
    struct flow a = {first, second, 0, 0, 700000}, z = {second, first, 0, 0, 300000};

    play(&a, 1, 1);
    rawnet_shutdown(first);
    enginebench_until_end(&b, second, 0);
    ck_assert_uint_eq(enginebench_sessions(&b), 1);
    play(&z, 1, 2);
    z.total += 2000000; /* and later more */
    play(&z, 1, 3);
    rawnet_shutdown(second);
    enginebench_until_end(&b, first, 0);
    rawnet_close(pair.client);
    rawnet_close(pair.origin);
    enginebench_until_idle(&b);
    ck_assert_uint_eq(enginebench_outcome(&b, OUTCOME_OK) +
                          (up ? 0 : enginebench_outcome(&b, OUTCOME_UPSTREAM_EOF)),
                      1);
    end();
}
END_TEST

START_TEST(an_end_waits_for_the_octets_before_it)
{
    begin(path[_i / 2].changes, path[_i / 2].mptcp);
    bool up = _i % 2 == 0;
    int from = up ? pair.client : pair.origin, to = up ? pair.origin : pair.client;
    struct flow f = {from, to, 0, 0, UINT64_MAX / 2};

    rawnet_buffers(to, 1024 * 1024);
    fill(&f);
    f.total = f.sent;
    rawnet_shutdown(from);
    enginebench_turn(&b);
    play(&f, 1, 5);
    enginebench_until_end(&b, to, 0);
    ck_assert_uint_eq(up ? s->relay.up.bytes : s->relay.down.bytes, f.total);
    close_both();
}
END_TEST

START_TEST(a_reset_becomes_a_reset)
{
    begin(path[_i / 2].changes, path[_i / 2].mptcp);
    bool up = _i % 2 == 0;
    int from = up ? pair.client : pair.origin, to = up ? pair.origin : pair.client;

    enginebench_ping(&b, &pair);
    rawnet_reset(from);
    enginebench_until_end(&b, to, -ECONNRESET);
    rawnet_close(to);
    enginebench_until_idle(&b);
    ck_assert_uint_eq(
        enginebench_outcome(&b, up ? OUTCOME_CLIENT_RESET : OUTCOME_UPSTREAM_RESET), 1);
    end();
}
END_TEST

static bool failed(void *arg)
{
    static uint8_t sink[PIECE_MAX];
    const int *fd = arg;
    ssize_t n;

    do
        n = rawnet_recv(*fd, sink, sizeof sink);
    while (n > 0);
    ck_assert_msg(n == -EAGAIN || n == -ECONNRESET, "an orderly end of a torn stream");
    return n == -ECONNRESET;
}

START_TEST(a_torn_stream_never_looks_complete)
{
    begin(path[_i / 2].changes, path[_i / 2].mptcp);
    bool up = _i % 2 == 0;
    int from = up ? pair.client : pair.origin, to = up ? pair.origin : pair.client;
    struct flow f = {from, to, 0, 0, UINT64_MAX / 2};

    fill(&f);
    rawnet_reset(from);
    enginebench_turn(&b);
    enginebench_until(&b, failed, &to);
    enginebench_until_idle(&b);
    ck_assert_uint_eq(
        enginebench_outcome(&b, up ? OUTCOME_CLIENT_RESET : OUTCOME_UPSTREAM_RESET), 1);
    rawnet_close(to);
    end();
}
END_TEST

/* ---- Fairness ---- */

START_TEST(a_bulk_flow_gives_others_a_turn_after_its_share)
{
    struct enginepair small;

    begin(path[_i].changes, false);
    enginebench_pair(&b, &small, false);
    struct flow bulk = {pair.origin, pair.client, 0, 0, UINT64_MAX / 2};
    for (int i = 0; i < 200; i++) {
        uint8_t octet;
        uint64_t before = s->relay.down.bytes;
        (void)send_some(&bulk, PIECE_MAX);
        (void)recv_some(&bulk, PIECE_MAX);
        rawnet_send_all(small.client, "u", 1);
        int turns = 0;
        do { /* one must do, whatever the bulk flow brought; loopback may be late */
            ck_assert_int_lt(turns++, 4);
            poller_run(&b.worker->poller, UV_RUN_NOWAIT);
        } while (rawnet_recv(small.origin, &octet, 1) != 1);
        ck_assert_uint_le(s->relay.down.bytes - before,
                          (uint64_t)turns * (RELAY_TURN_BYTES + 0U) * 2);
    }
    ck_assert_uint_gt(s->relay.down.bytes, UINT64_C(200) * 16 * 1024);
    rawnet_close(small.client);
    rawnet_close(small.origin);
    close_both();
}
END_TEST

int main(void)
{
    if (!rawnet_own_namespace()) {
        (void)fprintf(stderr, "relay: skipped, no network namespace can be made here\n");
        return 77;
    }
    make_pattern();
    Suite *suite = suite_create("relay");
    TCase *c = tcase_create("relay");

    tcase_set_timeout(c, 60);
    tcase_add_loop_test(c, every_octet_arrives_once_in_order_and_is_counted, 0, PATHS * SEEDS);
    tcase_add_test(c, without_a_pipe_a_bulk_flow_is_copied);
    tcase_add_loop_test(c, an_idle_relay_owns_no_buffer_and_no_pipe, 0, 2);
    tcase_add_loop_test(c, a_receiver_that_does_not_read_costs_a_bounded_buffer, 0, 2 * PATHS);
    tcase_add_loop_test(c, a_half_close_lets_the_other_half_go_on, 0, 2 * PATHS);
    tcase_add_loop_test(c, an_end_waits_for_the_octets_before_it, 0, 2 * PATHS);
    tcase_add_loop_test(c, a_reset_becomes_a_reset, 0, 2 * PATHS);
    tcase_add_loop_test(c, a_torn_stream_never_looks_complete, 0, 2 * PATHS);
    tcase_add_loop_test(c, a_bulk_flow_gives_others_a_turn_after_its_share, 0, 2);
    suite_add_tcase(suite, c);
    return runner_main(suite);
}
