/* SPDX-License-Identifier: MIT */
#include "fault.h"
#include "fault_calls.h"
#include "poller.h"
#include "rawnet.h"
#include "runner.h"
#include <errno.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

struct end {
    struct watch watch;
    int peer;
    unsigned runs;
    uint32_t seen; /* all events */
    uint32_t last;
    struct end *removes; /* is removed when this one runs */
    unsigned runs_again; /* asks for so many further runs */
};

static uv_loop_t loop;
static struct poller poller;
static struct end end[4];
static unsigned turns_ended, fds;

static void on_turn(void *arg)
{
    ck_assert_ptr_eq(arg, &turns_ended);
    turns_ended++;
}

static void on_ready(struct watch *w, uint32_t events)
{
    struct end *e = CONTAINER_OF(w, struct end, watch);

    e->runs++;
    e->seen |= events;
    e->last = events;
    if (e->removes != NULL)
        poller_remove(&poller, &e->removes->watch);
    if (e->runs_again > 0) {
        e->runs_again--;
        poller_again(&poller, w);
        poller_again(&poller, w); /* twice is once */
    }
}

static void setup(void)
{
    fds = rawnet_fds();
    memset(end, 0, sizeof end);
    turns_ended = 0;
    ck_assert_int_eq(uv_loop_init(&loop), 0);
    ck_assert_int_eq(poller_init(&poller, &loop, on_turn, &turns_ended), 0);
    for (size_t i = 0; i < 4; i++) {
        int pair[2];
        ck_assert_int_eq(
            socketpair(AF_UNIX, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0, pair), 0);
        ck_assert_int_eq(poller_add(&poller, &end[i].watch, pair[0], on_ready), 0);
        end[i].peer = pair[1];
    }
}

static void teardown(void)
{
    for (size_t i = 0; i < 4; i++) {
        if (end[i].watch.fd >= 0) {
            int fd = end[i].watch.fd;
            poller_remove(&poller, &end[i].watch);
            rawnet_close(fd);
        }
        rawnet_close(end[i].peer);
    }
    poller_done(&poller);
    ck_assert_int_eq(uv_loop_close(&loop), 0);
    ck_assert_uint_eq(rawnet_fds(), fds);
}

static void turn(void)
{
    poller_run(&poller, UV_RUN_NOWAIT);
}

static void forget(void)
{
    turn(); /* the first edge: writable */
    for (size_t i = 0; i < 4; i++)
        end[i].runs = end[i].seen = end[i].last = 0;
}

START_TEST(ready_runs_once_per_edge)
{
    turn();
    ck_assert_uint_eq(end[0].runs, 1);
    ck_assert_uint_eq(end[0].seen, EPOLLOUT);
    turn();
    ck_assert_uint_eq(end[0].runs, 1);
    ck_assert_int_eq(write(end[0].peer, "x", 1), 1);
    turn();
    turn();
    ck_assert_uint_eq(end[0].runs, 2);
    ck_assert_uint_ne(end[0].last & EPOLLIN, 0);
    ck_assert_int_eq(shutdown(end[0].peer, SHUT_WR), 0);
    turn();
    ck_assert_uint_eq(end[0].runs, 3);
    ck_assert_uint_ne(end[0].last & EPOLLRDHUP, 0);
}
END_TEST

START_TEST(after_runs_at_the_end_of_every_turn)
{
    turn();
    turn();
    ck_assert_uint_eq(turns_ended, 2);
}
END_TEST

START_TEST(again_runs_once_more_in_the_next_turn)
{
    forget();
    end[0].runs_again = 2;
    ck_assert_int_eq(write(end[0].peer, "x", 1), 1);
    turn();
    ck_assert_uint_eq(end[0].runs, 1);
    turn();
    ck_assert_uint_eq(end[0].runs, 2);
    ck_assert_uint_eq(end[0].last, 0);
    turn();
    turn();
    ck_assert_uint_eq(end[0].runs, 3);
}
END_TEST

START_TEST(who_runs_again_does_not_keep_others_waiting)
{
    forget();
    end[0].runs_again = 1000;
    ck_assert_int_eq(write(end[0].peer, "x", 1), 1);
    turn();
    for (unsigned i = 1; i <= 10; i++) {
        ck_assert_int_eq(write(end[1].peer, "x", 1), 1);
        poller_run(&poller, UV_RUN_ONCE); /* does not wait: a run is due */
        ck_assert_uint_eq(end[1].runs, i);
        ck_assert_uint_eq(end[0].runs, i + 1);
    }
    end[0].runs_again = 0;
    turn();
}
END_TEST

/* Both edges were fetched by one call already. */
START_TEST(a_removed_watch_never_runs)
{
    forget();
    for (int i = 0; i < 4; i++)
        ck_assert_int_eq(write(end[i].peer, "x", 1), 1);
    int fd[4] = {end[0].watch.fd, end[1].watch.fd, end[2].watch.fd, end[3].watch.fd};
    end[0].removes = &end[1];
    end[1].removes = &end[0];
    end[2].removes = &end[2]; /* itself */
    turn();
    ck_assert_uint_eq(end[0].runs + end[1].runs, 1);
    ck_assert_uint_eq(end[2].runs, 1);
    ck_assert_uint_eq(end[3].runs, 1);
    turn();
    ck_assert_uint_eq(end[2].runs, 1);
    for (int i = 0; i < 3; i++)
        if (end[i].watch.fd < 0)
            rawnet_close(fd[i]);
}
END_TEST

START_TEST(removing_takes_back_a_further_run)
{
    forget();
    int fd = end[0].watch.fd;
    poller_again(&poller, &end[0].watch);
    poller_remove(&poller, &end[0].watch);
    poller_remove(&poller, &end[0].watch); /* harmless */
    rawnet_close(fd);
    turn();
    ck_assert_uint_eq(end[0].runs, 0);
}
END_TEST

static struct end *old, *young;

/* Closes `old` and gives its number to `young`, whose edge is not among those fetched. */
static void on_swap(struct watch *w, uint32_t events)
{
    (void)w;
    (void)events;
    int fd = old->watch.fd, pair[2];
    if (fd < 0)
        return;
    poller_remove(&poller, &old->watch);
    rawnet_close(fd);
    ck_assert_int_eq(socketpair(AF_UNIX, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0, pair),
                     0);
    ck_assert_int_eq(pair[0], fd);
    ck_assert_int_eq(poller_add(&poller, &young->watch, fd, on_ready), 0);
    young->peer = pair[1];
}

START_TEST(an_edge_of_an_earlier_owner_of_the_number_is_dropped)
{
    forget();
    int fd = end[3].watch.fd;
    poller_remove(&poller, &end[3].watch);
    rawnet_close(fd);
    rawnet_close(end[3].peer);
    end[0].watch.ready = on_swap;
    old = &end[1];
    young = &end[3];
    ck_assert_int_eq(write(end[0].peer, "x", 1), 1); /* its edge comes first */
    ck_assert_int_eq(write(end[1].peer, "x", 1), 1);
    /* The lowest number must be the one that is closed. */
    int low;
    int hold[64], held = 0;
    while ((low = dup(0)) < end[1].watch.fd)
        hold[held++] = low;
    rawnet_close(low);
    turn();
    ck_assert_uint_eq(end[3].runs, 0); /* what was fetched was not for it */
    turn();
    ck_assert_uint_eq(end[3].runs, 1); /* its own: writable */
    ck_assert_uint_eq(end[3].seen, EPOLLOUT);
    while (held > 0)
        rawnet_close(hold[--held]);
}
END_TEST

START_TEST(moving_loses_no_edge_and_repeats_none)
{
    struct end to = {.peer = -1};

    forget();
    ck_assert_int_eq(write(end[0].peer, "x", 1), 1);
    poller_again(&poller, &end[0].watch);
    fault_calls_reset();
    poller_move(&poller, &end[0].watch, &to.watch, on_ready);
    ck_assert_uint_eq(fault_call_count(FAULT_epoll_ctl), 0);
    ck_assert_int_eq(end[0].watch.fd, -1);
    turn();
    ck_assert_uint_eq(to.runs, 2); /* the run asked for, and the edge */
    turn();
    ck_assert_uint_eq(to.runs, 2);
    ck_assert_uint_eq(end[0].runs, 0);
    poller_move(&poller, &to.watch, &end[0].watch, on_ready);
}
END_TEST

START_TEST(a_listener_reports_until_it_is_served_and_not_while_paused)
{
    struct end l = {.peer = -1};
    uint16_t port = 0;
    int fd = rawnet_listen(&port, false);

    forget();
    ck_assert_int_eq(poller_add_listener(&poller, &l.watch, fd, on_ready), 0);
    int client = rawnet_connect(port, false);
    turn();
    turn();
    ck_assert_uint_eq(l.runs, 2);
    poller_pause(&poller, &l.watch, true);
    turn();
    ck_assert_uint_eq(l.runs, 2);
    poller_pause(&poller, &l.watch, false);
    turn();
    ck_assert_uint_eq(l.runs, 3);
    poller_remove(&poller, &l.watch);
    rawnet_close(fd);
    rawnet_close(client);
}
END_TEST

static void on_timer(uv_timer_t *t)
{
    unsigned *fired = t->data;
    if (++*fired == 3)
        uv_close((uv_handle_t *)t, NULL);
}

START_TEST(libuv_is_served_and_ends_the_default_run)
{
    unsigned fired = 0;
    uv_timer_t timer = {.data = &fired};

    ck_assert_int_eq(uv_timer_init(&loop, &timer), 0);
    ck_assert_int_eq(uv_timer_start(&timer, on_timer, 1, 1), 0);
    poller_run(&poller, UV_RUN_DEFAULT); /* watches do not keep it */
    ck_assert_uint_eq(fired, 3);
}
END_TEST

START_TEST(failures_leave_nothing_registered)
{
    struct poller other;
    struct end e = {.peer = -1};
    unsigned before = rawnet_fds();

    fault_call_after(FAULT_epoll_create1, 1, EMFILE);
    ck_assert_int_eq(poller_init(&other, &loop, NULL, NULL), -EMFILE);
    fault_calls_reset();
    fault_call_after(FAULT_epoll_ctl, 1, ENOMEM);
    ck_assert_int_eq(poller_init(&other, &loop, NULL, NULL), -ENOMEM);
    fault_calls_reset();
    ck_assert_uint_eq(rawnet_fds(), before);
    int fd = dup(end[0].peer);
    fault_call_after(FAULT_epoll_ctl, 1, ENOSPC);
    ck_assert_int_eq(poller_add(&poller, &e.watch, fd, on_ready), -ENOSPC);
    fault_calls_reset();
    rawnet_close(fd);
    fd = dup2(end[0].peer, 3000); /* beyond the table, which has to grow */
    ck_assert_int_eq(fd, 3000);
    fault_after(1);
    ck_assert_int_eq(poller_add(&poller, &e.watch, fd, on_ready), -ENOMEM);
    fault_reset();
    ck_assert_int_eq(poller_add(&poller, &e.watch, fd, on_ready), 0);
    turn();
    ck_assert_uint_eq(e.runs, 1);
    poller_remove(&poller, &e.watch);
    rawnet_close(fd);
}
END_TEST

int main(void)
{
    /* libuv opens some things once per process. */
    if (uv_loop_init(&loop) != 0 || uv_loop_close(&loop) != 0)
        return EXIT_FAILURE;
    Suite *s = suite_create("poller");
    TCase *c = tcase_create("poller");

    tcase_add_checked_fixture(c, setup, teardown);
    tcase_add_test(c, ready_runs_once_per_edge);
    tcase_add_test(c, after_runs_at_the_end_of_every_turn);
    tcase_add_test(c, again_runs_once_more_in_the_next_turn);
    tcase_add_test(c, who_runs_again_does_not_keep_others_waiting);
    tcase_add_test(c, a_removed_watch_never_runs);
    tcase_add_test(c, removing_takes_back_a_further_run);
    tcase_add_test(c, an_edge_of_an_earlier_owner_of_the_number_is_dropped);
    tcase_add_test(c, moving_loses_no_edge_and_repeats_none);
    tcase_add_test(c, a_listener_reports_until_it_is_served_and_not_while_paused);
    tcase_add_test(c, libuv_is_served_and_ends_the_default_run);
    tcase_add_test(c, failures_leave_nothing_registered);
    suite_add_tcase(s, c);
    return runner_main(s);
}
