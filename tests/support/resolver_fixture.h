/* SPDX-License-Identifier: MIT */
/* resolver_fixture - the resolver and the DNS server it asks, in one loop, for the two programs
 * that test it. One state per program: a test forks. */
#ifndef SUPPORT_RESOLVER_FIXTURE_H
#define SUPPORT_RESOLVER_FIXTURE_H
#include "dnsd.h"
#include "fakeclock.h"
#include "fault.h"
#include "fault_calls.h"
#include "resolver.h"
#include "runner.h"
#include "stats.h"
#include <stdio.h>
#include <string.h>

enum { ASKERS_MAX = 8, TTL_S = 100, SOA_S = 30 };

struct asker {
    struct lookup *lookup;
    unsigned calls;
    struct resolver_answer answer;
    char name[256]; /* PTR */
};

static struct {
    uv_loop_t loop;
    struct dnsd dnsd, next;
    struct resolver *resolver;
    struct stats *stats;
    char server[64];
    char *servers[2];
    struct conf_strings list;
    struct resolver_config cfg;
    struct asker asker[ASKERS_MAX];
    bool inside_start; /* no callback may run now */
} t;

/* ---- The server: what a name's first label says ---- */

static inline void answer_addresses(const struct dnsd_question *q, struct dnsd_reply *r,
                                    const char *owner, unsigned n)
{
    for (unsigned i = 1; i <= n; i++) {
        if (q->type == DNSD_A)
            dnsd_a(r, owner, TTL_S, (uint8_t)i);
        else if (q->type == DNSD_AAAA)
            dnsd_aaaa(r, owner, TTL_S, (uint8_t)i);
    }
}

static inline void answer_negative(const struct dnsd_question *q, struct dnsd_reply *r)
{
    if (strstr(q->name, "nxdomain") != NULL || strstr(q->name, "nosoa") != NULL)
        dnsd_rcode(r, DNSD_NXDOMAIN);
    if (strstr(q->name, "nosoa") == NULL)
        dnsd_soa(r, "example.net", SOA_S, SOA_S);
}

static inline bool starts(const struct dnsd_question *q, const char *label)
{
    return strncmp(q->name, label, strlen(label)) == 0;
}

static inline void on_question(void *arg, const struct dnsd_question *q, struct dnsd_reply *r)
{
    (void)arg;
    if (q->type == DNSD_PTR) {
        if (strstr(q->name, ".7.") != NULL || q->name[0] == '7') /* 192.0.2.7, 2001:db8::7 */
            dnsd_name(r, q->name, DNSD_PTR, TTL_S, "Seven.example.net");
        else if (q->name[0] == '8')
            dnsd_name(r, q->name, DNSD_PTR, TTL_S, "not a host name");
        else
            dnsd_rcode(r, DNSD_NXDOMAIN);
    } else if (starts(q, "silent")) {
        r->drop = true;
    } else if (starts(q, "servfail")) {
        dnsd_rcode(r, DNSD_SERVFAIL);
    } else if (starts(q, "nxdomain") || starts(q, "nodata") || starts(q, "nosoa")) {
        answer_negative(q, r);
    } else if (starts(q, "alias")) {
        dnsd_name(r, q->name, DNSD_CNAME, TTL_S / 2, "canonical.example.net");
        answer_addresses(q, r, "canonical.example.net", 1);
    } else if (starts(q, "many")) {
        answer_addresses(q, r, q->name, RESOLVER_ADDRS_MAX + 4);
    } else if (starts(q, "big") && !q->tcp) {
        dnsd_truncated(r);
    } else if (starts(q, "garbage")) {
        r->w.pos = 5; /* not even a header */
    } else if (starts(q, "badrecord")) {
        answer_addresses(q, r, q->name, 1);
        r->w.pos -= 3; /* the record claims more than there is */
    } else if (starts(q, "stranger")) {
        r->w.buf[14] ^= 1; /* another question than was asked */
        answer_addresses(q, r, q->name, 1);
    } else {
        answer_addresses(q, r, q->name, starts(q, "two") ? 2 : 1);
    }
}

/* ---- Set-up ---- */

static inline void point_at(uint16_t port)
{
    (void)snprintf(t.server, sizeof t.server, "127.0.0.1:%u", port);
    t.servers[0] = t.server;
    t.list = (struct conf_strings){.item = t.servers, .count = 1};
}

static inline void begin(void)
{
    ck_assert_int_eq(uv_loop_init(&t.loop), 0);
    dnsd_start(&t.dnsd, &t.loop, on_question, NULL);
    t.stats = stats_new();
    ck_assert_ptr_nonnull(t.stats);
    point_at(t.dnsd.port);
    t.cfg = (struct resolver_config){
        .servers = &t.list,
        .timeout_ms = 5000,
        .tries = 1,
        .cache_entries = 100,
        .ttl_min_ms = 0,
        .ttl_max_ms = 86400000,
        .negative_ttl_ms = 20000,
        .inflight_max = 8,
    };
}

static inline void open_resolver(void)
{
    ck_assert_int_eq(resolver_open(&t.loop, &t.cfg, t.stats, &t.resolver), 0);
}

static inline void setup(void)
{
    begin();
    open_resolver();
}

static inline void end(void)
{
    fault_reset();
    fault_calls_reset();
    dnsd_stop(&t.dnsd);
    ck_assert_int_eq(uv_run(&t.loop, UV_RUN_DEFAULT), 0);
    ck_assert_int_eq(uv_loop_close(&t.loop), 0);
    stats_free(t.stats);
}

static inline void teardown(void)
{
    resolver_close(t.resolver);
    end();
}

/* ---- Asking ---- */

static inline void on_answer(void *arg, const struct resolver_answer *a)
{
    struct asker *k = arg;

    ck_assert(!t.inside_start);
    k->calls++;
    k->answer = *a;
    k->lookup = NULL;
}

static inline void on_name(void *arg, enum outcome why, const char *name)
{
    struct asker *k = arg;

    ck_assert(!t.inside_start);
    ck_assert_int_eq(name != NULL, why == OUTCOME_OK);
    k->calls++;
    k->answer.why = why;
    (void)snprintf(k->name, sizeof k->name, "%s", name == NULL ? "" : name);
    k->lookup = NULL;
}

/* Waits for an event; there must be one to wait for. */
static inline void turn(void)
{
    ck_assert(uv_loop_alive(&t.loop));
    (void)uv_run(&t.loop, UV_RUN_ONCE);
}

static inline bool ask(struct asker *k, const char *name, enum addr_family family)
{
    *k = (struct asker){0};
    t.inside_start = true;
    k->lookup = resolver_start(t.resolver, name, family, on_answer, k);
    t.inside_start = false;
    return k->lookup != NULL;
}

static inline bool ask_ptr(struct asker *k, const char *text)
{
    struct addr a;

    *k = (struct asker){0};
    ck_assert(addr_parse_ip(text, strlen(text), &a));
    t.inside_start = true;
    k->lookup = resolver_start_ptr(t.resolver, &a, on_name, k);
    t.inside_start = false;
    return k->lookup != NULL;
}

static inline void wait_for(const struct asker *k)
{
    while (k->calls == 0)
        turn();
    ck_assert_uint_eq(k->calls, 1);
}

static inline const struct resolver_answer *resolve(const char *name, enum addr_family family)
{
    struct asker *k = &t.asker[ASKERS_MAX - 1];

    ck_assert(ask(k, name, family));
    wait_for(k);
    return &k->answer;
}

static inline bool known(const char *name, enum addr_family family)
{
    struct resolver_answer a;

    return resolver_cached(t.resolver, name, family, &a);
}

static inline uint64_t count(enum stat_id which)
{
    return atomic_load(&t.stats->value[which]);
}

static inline void expect_addr(const struct addr *a, const char *text)
{
    struct addr want;

    ck_assert(addr_parse_ip(text, strlen(text), &want));
    ck_assert(addr_equal(a, &want)); /* ports are 0 */
}

#endif
