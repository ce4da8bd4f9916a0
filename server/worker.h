/* SPDX-License-Identifier: MIT */
/* worker - one thread with its own loop: listeners, sessions, resolver, counters. Nothing is
 * shared on the hot path but `shared`. The main thread talks to it by messages (worker_post);
 * everything else here is the worker's own thread's.
 *
 * Life: worker_new -> worker_run (thread) -> messages -> WORKER_STOP -> the loop runs dry ->
 * `gone` is called -> worker_free. Failure path: worker_new cleans up after itself; a message
 * that cannot be allocated is refused by worker_post. */
#ifndef SERVER_WORKER_H
#define SERVER_WORKER_H
#include "auth.h"
#include "connector.h"
#include "deadlines.h"
#include "limits.h"
#include "listener.h"
#include "nft_keeper.h"
#include "options.h"
#include "relay.h"
#include "synack.h"
#include "via.h"
#include "via_prober.h"
#include "view.h"
#include <stdatomic.h>
#include <uv.h>

enum {
    WORKER_SHED_MAX = 64, /* bound of shared.shed_max */
    WORKER_AUTH_CACHE_ENTRIES = 1024,
};

/* What all workers share; borrowed from the server object. Thread-safe. */
struct shared {
    struct log *log;
    struct limits *limits;
    struct via_shared via;
    struct offer_table
        *_Atomic offers; /* of servers; NULL: upstream.mptcp has never been auto; then it stays */
    struct nft_keeper *keeper; /* NULL: no listener names a set */
    struct synack *synack;     /* NULL: no exact listener at the start, nor later */
    _Atomic uint64_t next_id;  /* sessions are numbered over the process's life */
    _Atomic uint32_t peak;     /* most sessions at a time */
    _Atomic uint32_t shed_max; /* per worker: sessions beyond a limit that are answered in their
                                  dialect at a time */
    _Atomic uint32_t pipes_max; /* per process */
    struct worker **worker; /* all of them, before the first has its thread; NULL: only one */
    uint32_t worker_count;
};

enum worker_order {
    WORKER_RELOAD, /* config, listener fds */
    WORKER_DRAIN,  /* refuse new sessions in their dialect, keep listening */
    WORKER_STOP,   /* end all sessions, close everything */
    WORKER_QUERY,  /* copies of sessions */
    WORKER_UNDRAIN, /* serve new ones again */
    WORKER_KILL,   /* end those that `query` wants, but for its limit */
};

/* A message. Owned by the queue until it was carried out; then `done` runs on the worker's
 * thread and owns it. */
struct worker_message {
    struct list link;
    enum worker_order order;
    struct config *config; /* RELOAD: a reference; taken over */
    int *fds; /* RELOAD: one listening fd per listener of `config`, taken over; -1: keep the
                 running one */
    _Atomic uint64_t **counters; /* RELOAD: what each of them counts its accepted connections
                                    in; outlives the worker */
    struct session_query query;
    struct session_view *views; /* QUERY: query.limit entries; the asker's */
    size_t view_count; /* KILL: how many were ended */
    void (*done)(struct worker_message *m);
    void *arg;
    void *server; /* the poster's */
};

struct worker {
    uv_loop_t loop;
    uv_thread_t thread;
    unsigned index;
    struct shared *shared;
    struct config *config; /* for new sessions */
    struct stats *stats;
    struct poller poller;
    struct pipes pipes;
    struct via_prober prober; /* the first worker's runs */
    struct resolver *resolver;
    struct auth_cache *auth_cache;
    struct connector_env connector_env;
    struct relay_env relay_env;
    struct synack_port synack;        /* attached if there was an exact listener at the start */
    struct leg_buffer receive_buffer; /* of MPTCP clients, from RELAY on */
    struct list sessions;             /* struct session, oldest first */
    struct list dead;                 /* ended; freed at the end of the turn */
    struct deadlines deadlines;
    struct list windows; /* sessions that wait for a peer's window (T2) */
    struct listener *listeners;
    size_t listener_count;
    uint32_t shed; /* sessions being refused for a limit */
    bool draining, stopping, poller_open, timers_open, wake_open;
    unsigned paused_ticks;   /* listeners rest: no fds at all */
    int reserve_fd;          /* given up to accept and refuse when fds run out */
    uint64_t wall_offset_us; /* wall clock minus uv_hrtime, microseconds */
    struct log_limit log_limit;
    uv_async_t wake;
    uv_timer_t tick, window_timer;
    uint64_t tick_due_us;
    struct list *sample_next;
    _Atomic uint64_t turned_ms; /* uv_hrtime in ms when the loop last turned; for healthz */
    _Atomic uint64_t
        subflows[MPTCP_SUBFLOWS_MAX + 1]; /* sessions with k subflows on the client leg */
    uv_mutex_t lock;                      /* guards inbox and arrivals */
    struct list inbox;
    struct list arrivals; /* struct embryo_arrival */
    bool closed;          /* guarded by lock: takes no arrivals any more */
    void (*gone)(void *arg, struct worker *w); /* last act on the worker's thread */
    void *gone_arg;
};

/* `fds`: one listening socket per listener of `config` (taken over on success); `counters`:
 * what each counts in. NULL with *rc
 * (-errno or UV_E*). */
struct worker *worker_new(unsigned index, struct shared *shared, struct config *config,
                          const int *fds, _Atomic uint64_t *const *counters,
                          void (*gone)(void *arg, struct worker *w), void *arg,
                          int *rc) MUST_CHECK;
int worker_start(struct worker *w) MUST_CHECK; /* the thread */
void worker_join(struct worker *w);
void worker_abandon(struct worker *w); /* never started: closes everything; then worker_free */
void worker_free(struct worker *w);

/* Any thread. */
void worker_post(struct worker *w, struct worker_message *m);

/* Hands over a struct embryo_arrival. False: the worker ends, and it is still the caller's. */
bool worker_hand(struct worker *w, struct list *link) MUST_CHECK;

/* Worker's thread. */
void worker_reload(struct worker *w, struct worker_message *m);   /* carries out RELOAD */
void worker_query(struct worker *w, struct worker_message *m);    /* carries out QUERY */
void worker_kill(struct worker *w, struct worker_message *m);     /* carries out KILL */
struct resolver_config worker_dns_config(const struct config *c); /* borrows from `c` */
void worker_pause_listeners(
    struct worker *w); /* out of fds, and no reserve: look again in 100 ms */
/* Puts a session's window_link in line for session_window_opened(), in a millisecond. */
void worker_wait_window(struct worker *w, struct list *link);
uint64_t worker_now_ms(const struct worker *w); /* the loop's cached clock */
uint64_t worker_wall_us(const struct worker *w, uint64_t hrtime_us);
bool worker_source_in(const struct conf_prefixes *set, const struct addr *a);

#endif
