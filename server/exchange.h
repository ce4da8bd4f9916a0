/* SPDX-License-Identifier: MIT */
/* exchange - one connection to the endpoint and its one request, from accept to the end of the answer. Main thread only.
 *
 * Happy path: HEAD -> PASSED -> JUDGED -> SENDING; with a question to the workers JUDGED -> ASKED (suspended) -> ANSWERED -> SENDING.
 * While in HEAD the fd is ours, and the head is looked at without being taken (MSG_PEEK); libmicrohttpd gets the connection when the
 * head is complete and nothing is wrong with it.
 * Failure path: a bad head is answered and closed by us. Each phase has a deadline; ASKED ends in 503, the others in CUT: the socket is
 * shut down, libmicrohttpd sees the end of the stream and exchange_end() runs. */
#ifndef SERVER_EXCHANGE_H
#define SERVER_EXCHANGE_H
#include "admin.h"
#include "base/list.h"
#include "http.h"
#include "reply.h"

/* What all exchanges of an endpoint share. */
struct exchange_env {
    uv_loop_t *loop; /* for the time */
    struct admin_source source;
    struct admin_timing timing;
    struct addr bound;  /* for the Host allow-list */
    bool in_source;     /* a function of the source is running */
    void (*wake)(struct exchange_env *env); /* a connection was resumed: libmicrohttpd has to run, its epoll fd does not tell */
    struct list asks;   /* questions the workers have not answered */
    unsigned ask_count; /* in `asks` */
};

enum exchange_phase {
    EXCHANGE_FREE,
    EXCHANGE_HEAD,     /* the head is being waited for */
    EXCHANGE_PASSED,   /* it is good; libmicrohttpd has the connection now */
    EXCHANGE_JUDGED,   /* and has told of the request once: the second time it is to be answered */
    EXCHANGE_ASKED,    /* suspended until the workers answer or their time is over */
    EXCHANGE_ANSWERED, /* resumed: `reply` is to be sent */
    EXCHANGE_SENDING,
    EXCHANGE_CUT, /* shut down; libmicrohttpd will notice */
};

struct exchange {
    struct exchange_env *env;
    struct MHD_Connection *connection;
    int fd; /* ours in EXCHANGE_HEAD; then libmicrohttpd's, ours to shut down until exchange_end() */
    enum exchange_phase phase;
    uint64_t deadline_ms;
    struct exchange_ask *ask; /* EXCHANGE_ASKED */
    struct reply reply;       /* EXCHANGE_ANSWERED */
};

void exchange_begin(struct exchange *x, struct exchange_env *env, int fd);
/* EXCHANGE_HEAD: something came. True: the head is good, hand it over and call exchange_pass(). False: wait, or it was refused and
 * the slot is free. `ended`: nothing more will come. */
bool exchange_peek(struct exchange *x, bool ended) MUST_CHECK;
void exchange_pass(struct exchange *x);
/* libmicrohttpd's access handler for this connection. */
enum MHD_Result exchange_request(struct exchange *x, const char *path);
void exchange_expire(struct exchange *x); /* its deadline has come */
void exchange_stop(struct exchange *x);   /* the endpoint ends: wakes a suspended connection, so that it can be closed */
void exchange_end(struct exchange *x);    /* the connection is closed; the slot is free again */
void exchange_disown(struct exchange_env *env); /* answers still to come find nobody */

#endif
