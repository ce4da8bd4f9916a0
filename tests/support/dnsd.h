/* SPDX-License-Identifier: MIT */
/* dnsd - a small DNS server on 127.0.0.1 (UDP and TCP on one free port) inside a test's loop.
 * The test writes each reply. */
#ifndef SUPPORT_DNSD_H
#define SUPPORT_DNSD_H
#include "wire/bytes.h"
#include <stdbool.h>
#include <uv.h>

enum { DNSD_A = 1, DNSD_CNAME = 5, DNSD_SOA = 6, DNSD_PTR = 12, DNSD_AAAA = 28 };
enum {
    DNSD_NOERROR = 0,
    DNSD_FORMERR = 1,
    DNSD_SERVFAIL = 2,
    DNSD_NXDOMAIN = 3,
    DNSD_REFUSED = 5
};

struct dnsd_question {
    char name[256]; /* as asked, dotted */
    uint16_t type;
    bool tcp;
};
struct dnsd_reply {
    struct wr w; /* header and question are written: counts follow the records */
    bool drop;   /* say nothing */
};
/* Adds records to `r`, NOERROR unless dnsd_rcode() says otherwise. */
typedef void dnsd_answer_fn(void *arg, const struct dnsd_question *q, struct dnsd_reply *r);

struct dnsd {
    uv_udp_t udp;
    uv_tcp_t tcp, peer[8]; /* no more TCP connections than that in one life */
    unsigned peers;
    uint16_t port;
    char in[4096];
    dnsd_answer_fn *answer;
    void *arg;
    unsigned asked;            /* questions so far */
    struct dnsd_question last; /* the latest */
};

void dnsd_start(struct dnsd *d, uv_loop_t *loop, dnsd_answer_fn *answer,
                void *arg);     /* aborts the test on failure */
void dnsd_stop(struct dnsd *d); /* closes its handles; run the loop */

/* A bare reply, to test parsers without a server: `buf` holds 64 KiB at most. */
void dnsd_begin(struct dnsd_reply *r, uint8_t *buf, size_t cap, uint16_t id,
                const struct dnsd_question *q);

void dnsd_rcode(struct dnsd_reply *r, unsigned rcode);
void dnsd_truncated(struct dnsd_reply *r);
/* Records of `name` in the answer section. */
void dnsd_a(struct dnsd_reply *r, const char *name, uint32_t ttl_s,
            uint8_t last); /* 192.0.2.last */
void dnsd_aaaa(struct dnsd_reply *r, const char *name, uint32_t ttl_s,
               uint8_t last); /* 2001:db8::last */
void dnsd_name(struct dnsd_reply *r, const char *name, uint16_t type, uint32_t ttl_s,
               const char *value); /* CNAME, PTR */
/* In the authority section: after all answers. */
void dnsd_soa(struct dnsd_reply *r, const char *name, uint32_t ttl_s, uint32_t minimum_s);

#endif
