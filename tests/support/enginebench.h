/* SPDX-License-Identifier: MIT */
/* enginebench - one worker on a real loop, driven by the test's own thread, with clients and
 * servers on loopback and names that the test answers. Nothing sleeps: the loop's own tick ends
 * every wait after 50 ms, and every wait for something has a bounded number of turns. */
#ifndef SUPPORT_ENGINEBENCH_H
#define SUPPORT_ENGINEBENCH_H
#include "rawnet.h"
#include "session.h"
#include "tempfile.h"
#include "worker.h"

enum { ENGINEBENCH_TURNS = 100 };

struct enginebench {
    struct shared shared;
    struct config *config;
    struct worker *worker;
    _Atomic uint64_t accepted;
    uint16_t port; /* of the worker's listener */
    struct resolver names;
    struct list asked;       /* lookups not answered */
    const char *answer;      /* an IPv4 address: every name has it, told in the next turn */
    struct resolver *c_ares; /* the worker's own */
    struct worker_message stop;
    bool told_stop;
    unsigned fds; /* open before */
};

/* `changes`: JSON laid over a configuration with one listener of every dialect on 127.0.0.1,
 * any port, that may dial loopback; NULL: none. */
void enginebench_start(struct enginebench *b, const char *changes);
/* The same with a log; borrowed. */
void enginebench_start_logged(struct enginebench *b, const char *changes, struct log *log);
struct config *enginebench_config(const char *changes); /* that configuration alone */
/* Stops the worker in order and checks that nothing is left: sessions, gauges, limits, fds. */
void enginebench_end(struct enginebench *b);
void enginebench_stop(struct enginebench *b); /* WORKER_STOP, carried out */

void enginebench_turn(struct enginebench *b); /* one turn; waits for an event or the tick */
typedef bool enginebench_condition(void *arg);
void enginebench_until(struct enginebench *b, enginebench_condition *holds, void *arg);
void enginebench_until_idle(struct enginebench *b); /* until no session is left */
void enginebench_idle(const struct enginebench *b); /* no session, and no gauge counts one */

struct session *enginebench_session(const struct enginebench *b); /* the oldest, or NULL */
unsigned enginebench_sessions(const struct enginebench *b);
void enginebench_until_state(struct enginebench *b, enum session_state state);
uint64_t enginebench_stat(const struct enginebench *b, enum stat_id id);
uint64_t enginebench_outcome(const struct enginebench *b, enum outcome why);
/* Answers all lookups: `text` NULL: `why`. Addresses of the other family are not found. */
void enginebench_tell(struct enginebench *b, enum outcome why, const char *text);

/* A session that relays: both its ends. */
struct enginepair {
    int client, origin;
};
void enginebench_pair(struct enginebench *b, struct enginepair *p, bool mptcp);
/* An octet each way. */
void enginebench_ping(struct enginebench *b, const struct enginepair *p);
/* Until `len` octets or the end of stream came; what came. */
size_t enginebench_recv(struct enginebench *b, int fd, void *buf, size_t len);
void enginebench_until_end(struct enginebench *b, int fd, int want); /* 0: EOF, or -errno */

/* A SOCKS5 request for 127.0.0.1:`port`. */
enum { ENGINEBENCH_REQUEST_LEN = 10 };
void enginebench_request(uint8_t out[ENGINEBENCH_REQUEST_LEN], uint16_t port);

#endif
