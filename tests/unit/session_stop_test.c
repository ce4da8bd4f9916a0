/* SPDX-License-Identifier: MIT */
/* A session is brought into each state and ended there, in each way there is. */
#include "engineplay.h"
#include "fakeclock.h"
#include "runner.h"
#include <errno.h>
#include <string.h>

static struct enginebench b;
static struct enginepair other;      /* a session that must not notice */
static int client, listener, filler; /* of the session that is ended; -1: not open */
static uint16_t port;
static uv_sem_t gate;
static uv_work_t blocker[8];

/* ---- Into each state ---- */

static void greet(const void *more, size_t len)
{
    static const uint8_t greeting[] = {5, 1, 0};

    client = rawnet_connect(b.port, false);
    rawnet_send_all(client, greeting, sizeof greeting);
    rawnet_send_all(client, more, len);
}

static void into_negotiate(void)
{
    greet("\5", 1);
}

static void on_block(uv_work_t *req)
{
    (void)req;
    uv_sem_wait(&gate);
}

static void on_unblocked(uv_work_t *req, int status)
{
    (void)req;
    (void)status;
}

/* With every thread of the pool busy the password waits in the queue. */
static void block_pool(void)
{
    ck_assert_int_eq(uv_sem_init(&gate, 0), 0);
    for (size_t i = 0; i < 8; i++)
        ck_assert_int_eq(uv_queue_work(&b.worker->loop, &blocker[i], on_block, on_unblocked),
                         0);
}

static void unblock_pool(void)
{
    for (size_t i = 0; i < 8; i++)
        uv_sem_post(&gate);
}

static void into_verify(void)
{
    static const uint8_t opening[] = {5,   1, 2,   1,   5,   'a', 'l', 'i', 'c',
                                      'e', 6, 's', 'e', 'c', 'r', 'e', 't'};

    client = rawnet_connect(b.port, false);
    rawnet_send_all(client, opening, sizeof opening);
}

static void into_resolve(void)
{
    static const uint8_t request[] = {5, SOCKS5_RESOLVE, 0, 3, 3, 'a', '.', 'b', 0, 80};
    greet(request, sizeof request);
}

static void into_resolve_ptr(void)
{
    static const uint8_t request[] = {5, SOCKS5_RESOLVE_PTR, 0, 1, 192, 0, 2, 7, 0, 80};
    greet(request, sizeof request);
}

static void into_connect_name(void)
{
    static const uint8_t request[] = {5, 1, 0, 3, 3, 'a', '.', 'b', 0, 80};
    greet(request, sizeof request);
}

/* A listener whose queue is full does not answer. */
static void into_connect(void)
{
    uint8_t request[ENGINEBENCH_REQUEST_LEN];

    listener = rawnet_listen_full(&port, &filler);
    enginebench_request(request, port);
    greet(request, sizeof request);
}

static void into_relay(void)
{
    uint8_t request[ENGINEBENCH_REQUEST_LEN];

    listener = rawnet_listen(&port, false);
    enginebench_request(request, port);
    greet(request, sizeof request);
}

/* A command that is not served; the client does not close. */
static void into_linger(void)
{
    static const uint8_t request[] = {5, 9, 0, 1, 192, 0, 2, 7, 0, 80};
    greet(request, sizeof request);
}

static const struct {
    const char *name;
    void (*enter)(void);
    enum session_state state;
    enum outcome late; /* what its deadline ends it with */
    bool answers;      /* the deadline first brings LINGER */
} row[] = {
    {"negotiate", into_negotiate, SESSION_NEGOTIATE, OUTCOME_HANDSHAKE_TIMEOUT, false},
    {"verify", into_verify, SESSION_VERIFY, OUTCOME_HANDSHAKE_TIMEOUT, false},
    {"resolve", into_resolve, SESSION_RESOLVE, OUTCOME_CONNECT_TIMEOUT, true},
    {"resolve backwards", into_resolve_ptr, SESSION_RESOLVE, OUTCOME_CONNECT_TIMEOUT, true},
    {"connect, name", into_connect_name, SESSION_CONNECT, OUTCOME_CONNECT_TIMEOUT, true},
    {"connect", into_connect, SESSION_CONNECT, OUTCOME_CONNECT_TIMEOUT, true},
    {"relay", into_relay, SESSION_RELAY, OUTCOME_IDLE_TIMEOUT, false},
    {"linger", into_linger, SESSION_LINGER, OUTCOME_UNSUPPORTED_COMMAND, false},
};
enum { ROWS = sizeof row / sizeof row[0] };

/* The one that is not the bystander. */
static struct session *subject(void)
{
    const struct list *all = &b.worker->sessions;

    for (struct list *at = all->next; at != all; at = at->next)
        if (CONTAINER_OF(at, struct session, link)->id == 2)
            return CONTAINER_OF(at, struct session, link);
    return NULL;
}

static bool arrived(void *arg)
{
    const struct session *s = subject();
    return s != NULL && s->state == *(const enum session_state *)arg;
}

static bool alone(void *arg)
{
    (void)arg;
    return subject() == NULL && list_empty(&b.worker->dead);
}

static void enter(int i)
{
    enum session_state state = row[i].state;

    client = listener = filler = -1;
    engineplay_start(&b, ENGINEPLAY_PASSWORD);
    enginebench_pair(&b, &other, false);
    if (state == SESSION_VERIFY)
        block_pool();
    row[i].enter();
    enginebench_until(&b, arrived, &state);
}

static void close_peers(void)
{
    const int fd[] = {client, listener, filler, other.client, other.origin};

    for (size_t i = 0; i < sizeof fd / sizeof fd[0]; i++)
        if (fd[i] >= 0)
            rawnet_close(fd[i]);
}

static void leave(int i)
{
    if (row[i].state == SESSION_VERIFY)
        unblock_pool();
    enginebench_until(&b, alone, NULL);
    enginebench_ping(&b, &other);
    close_peers();
    enginebench_until_idle(&b);
    enginebench_end(&b);
    if (row[i].state == SESSION_VERIFY)
        uv_sem_destroy(&gate);
}

/* ---- Out of each state ---- */

START_TEST(stopping_ends_it_and_nothing_else)
{
    enter(_i);
    session_stop(subject(), OUTCOME_DRAINED);
    ck_assert_uint_eq(enginebench_outcome(&b, OUTCOME_DRAINED), 1);
    leave(_i);
}
END_TEST

START_TEST(stopping_twice_is_stopping_once)
{
    enter(_i);
    struct session *s = subject();
    session_stop(s, OUTCOME_DRAINED);
    session_stop(s, OUTCOME_OK);
    ck_assert_uint_eq(enginebench_outcome(&b, OUTCOME_DRAINED), 1);
    ck_assert_uint_eq(enginebench_outcome(&b, OUTCOME_OK), 0);
    leave(_i);
}
END_TEST

START_TEST(a_reset_by_the_client_ends_it)
{
    enter(_i);
    rawnet_reset(client);
    client = -1;
    leave(_i);
}
END_TEST

START_TEST(its_deadline_ends_it)
{
    enter(_i);
    fakeclock_advance(UINT64_C(24) * 3600 * 1000);
    if (row[_i].answers) {
        enum session_state linger = SESSION_LINGER;
        enginebench_until(&b, arrived, &linger);
        fakeclock_advance(UINT64_C(24) * 3600 * 1000);
    }
    if (row[_i].state == SESSION_VERIFY)
        unblock_pool();
    enginebench_until_idle(&b); /* the bystander was idle for as long */
    ck_assert_uint_eq(enginebench_outcome(&b, row[_i].late),
                      row[_i].late == OUTCOME_IDLE_TIMEOUT ? 2 : 1);
    close_peers();
    enginebench_end(&b);
}
END_TEST

START_TEST(the_worker_stops_with_it)
{
    enter(_i);
    if (row[_i].state == SESSION_VERIFY)
        unblock_pool(); /* work that runs already cannot be cancelled */
    enginebench_stop(&b);
    ck_assert_uint_eq(enginebench_outcome(&b, OUTCOME_DRAINED), 2);
    close_peers();
    enginebench_end(&b);
}
END_TEST

int main(void)
{
    if (!rawnet_own_namespace()) {
        (void)fprintf(stderr, "session_stop: skipped, no network namespace can be made here\n");
        return 77;
    }
    Suite *s = suite_create("session_stop");
    TCase *c = tcase_create("session_stop");

    tcase_set_timeout(c, 60);
    tcase_add_loop_test(c, stopping_ends_it_and_nothing_else, 0, ROWS);
    tcase_add_loop_test(c, stopping_twice_is_stopping_once, 0, ROWS);
    tcase_add_loop_test(c, a_reset_by_the_client_ends_it, 0, ROWS);
    tcase_add_loop_test(c, its_deadline_ends_it, 0, ROWS);
    tcase_add_loop_test(c, the_worker_stops_with_it, 0, ROWS);
    suite_add_tcase(s, c);
    return runner_main(s);
}
