/* SPDX-License-Identifier: MIT */
/* flow - one client connection of the load generator: dial, SOCKS5 when asked (strict: each
 * step waits for its answer), first octet through the whole path. What comes after is the
 * mode's business (modes.c). */
#ifndef BENCH_FLOW_H
#define BENCH_FLOW_H
#include "net.h"

#include <sys/epoll.h>

enum mode { MODE_RATE, MODE_PINGPONG, MODE_DOWN, MODE_UP, MODE_IDLE };
enum flow_stage { FLOW_NONE, FLOW_CONNECT, FLOW_METHOD, FLOW_REPLY, FLOW_FIRST, FLOW_READY };
enum flow_verdict { FLOW_WAIT, FLOW_DONE, FLOW_FAILED };

enum { MESSAGE_MAX = 16384 };

struct flow {
    int fd;
    enum flow_stage stage;
    uint8_t answer[32]; /* of the proxy; a SOCKS5 reply with an IPv6 address has 22 octets */
    size_t got;         /* of `answer`, or of the message on its way back */
    uint64_t began;     /* connect, or last ping */
    uint64_t pos;       /* bulk: octets moved */
    uint64_t serial;    /* ping-pong: number of the message */
    unsigned turns;
};

struct load {
    enum mode mode;
    struct sockaddr_in proxy, target, control;
    bool socks, mptcp;
    int rcvbuf;
    size_t flows, message;
    double seconds;

    int ep, control_fd;
    struct flow *flow;
    size_t started, ready;
    uint8_t *pattern;
    uint8_t scratch[65536];

    bool stopping;
    uint64_t ops, octets, failures, mptcp_flows;
    const char *why; /* of the first failure */
    struct samples latency;
};

/* Opens f's connection. False: counted as a failure, f->stage is FLOW_NONE. */
bool flow_open(struct load *l, struct flow *f);
void flow_close(struct flow *f);
void flow_fail(struct load *l, struct flow *f, const char *why); /* counts, closes */

/* Carries the set-up on; FLOW_DONE once when f->stage has become FLOW_READY. FLOW_FAILED:
 * counted and closed. */
enum flow_verdict flow_advance(struct load *l, struct flow *f);

void flow_watch(const struct load *l, struct flow *f, int op, uint32_t events);

#endif
