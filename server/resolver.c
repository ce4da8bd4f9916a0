/* SPDX-License-Identifier: MIT */
/* Happy path: a question is new -> a query goes to c-ares -> its reply fills the query's answer
 * and the cache, and puts it on the ready list -> outside c-ares, everybody who asked is told.
 * Failure path: a failed query is told the same way. A cancelled lookup leaves its query
 * running, for the others and for the cache. inflight_max bounds queries; sharing one is free.
 */
#include "resolver.h"
#include "resolver_cache.h"
#include "resolver_channel.h"
#include "resolver_hosts.h"
#include "resolver_name.h"
#include "resolver_reply.h"
#include "stats.h"
#include <ares.h>
#include <search.h>
#include <string.h>

enum {
    TYPE_A = 1,
    TYPE_PTR = 12,
    TYPE_AAAA = 28,
    SHORT_TTL_MS = 1000, /* RFC 9520 s3.2: failures are remembered for at least a second; nobody
                            said how long */
};

typedef void ptr_done_fn(void *arg, enum outcome why, const char *name);

/* What the tree of running queries compares; the first member of a query. */
struct key {
    int type;
    struct resolver_name name;
};

struct query {
    struct key key;
    struct resolver_question question;
    struct dns *owner;
    struct query *next_ready; /* once answered */
    struct lookup *lookups;   /* who asked; NULL: nobody any more */
    uint64_t start_us;
    struct addr ptr_addr;
    struct resolver_name ptr_name; /* the answer of TYPE_PTR */
    struct resolver_answer answer;
};

struct lookup {
    struct lookup *next, **link; /* of query.lookups; what points at us */
    resolver_done_fn *done;
    ptr_done_fn *ptr_done;
    void *arg;
};

struct retired { /* a channel of an earlier configuration, until its questions are answered */
    struct list link;
    struct resolver_channel *channel;
};

struct dns {
    struct resolver base;
    uv_loop_t *loop;
    struct stats *stats;
    struct resolver_config cfg; /* servers is NULL: they are the channel's */
    struct resolver_cache *cache;
    struct resolver_hosts *hosts;
    struct resolver_channel *channel;
    struct list retired;
    struct query *ready, **ready_end;
    void *running; /* tree of queries that can still be shared */
    size_t inflight;
    bool delivering, closing;
};

static void deliver(void *arg);

static struct dns *dns_of(struct resolver *r)
{
    return CONTAINER_OF(r, struct dns, base);
}

static int compare(const void *a, const void *b)
{
    const struct key *x = a, *y = b;

    if (x->type != y->type)
        return x->type < y->type ? -1 : 1;
    return strcmp(x->name.text, y->name.text);
}

static int type_of(enum addr_family family)
{
    return family == ADDR_IPV6 ? TYPE_AAAA : TYPE_A;
}

/* True: *out is the answer. False: key->name is to be asked for. */
static bool known(struct dns *d, const char *name, enum addr_family family, struct key *key,
                  struct resolver_answer *out)
{
    uint64_t now_ms = uv_now(d->loop);
    const char *text = key->name.text;

    return resolver_name_settled(name, family, &key->name, out) ||
           resolver_hosts_find(d->hosts, text, family, now_ms, out) ||
           resolver_cache_find(d->cache, text, family, now_ms, out);
}

static bool cached(struct resolver *r, const char *name, enum addr_family family,
                   struct resolver_answer *out)
{
    struct dns *d = dns_of(r);
    struct resolver_answer answer;
    struct key key = {.type = type_of(family)};

    if (!known(d, name, family, &key, &answer))
        return false;
    *out = answer;
    stats_add(d->stats, STAT_DNS_QUERIES, 1);
    stats_add(d->stats, STAT_DNS_CACHE_HITS, 1);
    return true;
}

/* ---- Queries ---- */

static uint64_t ttl_ms(const struct resolver_config *cfg, const struct resolver_reply *reply)
{
    uint64_t ms = reply->has_ttl ? (uint64_t)reply->ttl_s * 1000 : SHORT_TTL_MS;

    if (reply->answer.why == OUTCOME_NO_RESOURCES)
        return 0;
    if (reply->answer.why != OUTCOME_OK)
        return ms < cfg->negative_ttl_ms ? ms : cfg->negative_ttl_ms;
    if (ms < cfg->ttl_min_ms)
        ms = cfg->ttl_min_ms;
    return ms < cfg->ttl_max_ms ? ms : cfg->ttl_max_ms;
}

static void keep_answer(struct dns *d, struct query *q, int status, struct span msg)
{
    enum addr_family family = q->key.type == TYPE_AAAA ? ADDR_IPV6 : ADDR_IPV4;
    struct resolver_reply reply;

    if (q->key.type == TYPE_PTR) {
        q->answer.why = resolver_reply_name(status, msg, &q->ptr_addr, &q->ptr_name);
        return;
    }
    resolver_reply_addrs(status, msg, family, &reply);
    q->answer = reply.answer;
    if (q->question.channel == d->channel) /* else from the servers of an old configuration */
        resolver_cache_store(d->cache, q->key.name.text, family, &reply.answer,
                             ttl_ms(&d->cfg, &reply), uv_now(d->loop));
}

static void append_ready(struct dns *d, struct query *q)
{
    *d->ready_end = q;
    d->ready_end = &q->next_ready;
}

/* From inside c-ares: nobody is told yet. */
static void on_reply(struct resolver_question *question, int status, struct span msg)
{
    struct query *q = CONTAINER_OF(question, struct query, question);
    struct dns *d = q->owner;

    d->inflight--;
    stats_sub(d->stats, STAT_DNS_INFLIGHT, 1);
    (void)tdelete(&q->key, &d->running, compare); /* it was there since it was asked */
    if (status == ARES_EDESTRUCTION) {
        ASSERT(q->lookups == NULL);
        free(q);
        return;
    }
    keep_answer(d, q, status, msg);
    if (q->answer.why == OUTCOME_RESOLVER_FAILED || q->answer.why == OUTCOME_NO_RESOURCES)
        stats_add(d->stats, STAT_DNS_FAILURES, 1);
    if (status == ARES_ETIMEOUT)
        stats_add(d->stats, STAT_DNS_TIMEOUTS, 1);
    if (d->stats != NULL)
        stats_duration(d->stats, HISTOGRAM_DNS, uv_hrtime() / 1000 - q->start_us);
    append_ready(d, q);
}

static void cancel(struct resolver *r, struct lookup *l)
{
    (void)r;
    /* The query goes on: for others, for the cache, and because c-ares cannot stop it. */
    *l->link = l->next;
    if (l->next != NULL)
        l->next->link = l->link;
    free(l);
}

/* Tells everybody who asked, then forgets the query. They may start, cancel and close as they
 * like. */
static void tell(struct query *q)
{
    while (q->lookups != NULL) {
        struct lookup *l = q->lookups, asker = *l;
        q->lookups = l->next;
        if (l->next != NULL)
            l->next->link = &q->lookups;
        free(l);
        if (asker.ptr_done == NULL)
            asker.done(asker.arg, &q->answer);
        else
            asker.ptr_done(asker.arg, q->answer.why,
                           q->answer.why == OUTCOME_OK ? q->ptr_name.text : NULL);
    }
    free(q);
}

static void retire(struct dns *d)
{
    for (struct list *at = d->retired.next; at != &d->retired;) {
        struct retired *old = CONTAINER_OF(at, struct retired, link);
        at = at->next;
        if (d->closing || resolver_channel_open_questions(old->channel) == 0) {
            list_remove(&old->link);
            resolver_channel_close(old->channel);
            free(old);
        }
    }
}

static void dns_free(struct dns *d)
{
    resolver_cache_free(d->cache);
    resolver_hosts_free(d->hosts);
    free(d);
}

/* Outside c-ares: answers that have come are told. */
static void deliver(void *arg)
{
    struct dns *d = arg;

    d->delivering = true;
    while (d->ready != NULL) {
        struct query *q = d->ready;
        d->ready = q->next_ready;
        if (d->ready == NULL)
            d->ready_end = &d->ready;
        tell(q);
    }
    d->delivering = false;
    if (d->closing)
        dns_free(d);
    else
        retire(d);
}

static struct query *query_new(struct dns *d, const struct key *key)
{
    struct query *q = calloc(1, sizeof *q);

    if (q == NULL)
        return NULL;
    q->key = *key;
    q->owner = d;
    return q;
}

/* The running query for this key, or a new one that is not asked yet (*is_new). NULL: no room,
 * no memory. */
static struct query *query_for(struct dns *d, const struct key *key, bool *is_new)
{
    struct key *const *node = tfind(key, &d->running, compare);

    *is_new = node == NULL;
    if (node != NULL)
        return CONTAINER_OF(*node, struct query, key);
    if (d->inflight >= d->cfg.inflight_max)
        return NULL;
    struct query *q = query_new(d, key);
    if (q != NULL && tsearch(&q->key, &d->running, compare) == NULL) {
        free(q);
        return NULL;
    }
    return q;
}

static void ask(struct dns *d, struct query *q)
{
    d->inflight++;
    stats_add(d->stats, STAT_DNS_INFLIGHT, 1);
    q->start_us = uv_hrtime() / 1000;
    resolver_channel_ask(d->channel, q->key.name.text, q->key.type, &q->question, on_reply);
    if (d->ready != NULL) /* failed at once, or c-ares found another one failed */
        resolver_channel_kick(d->channel);
}

/* Not to be asked for: an answer is there, but `done` must come from the loop. */
static struct query *query_ready(struct dns *d, const struct key *key)
{
    struct query *q = query_new(d, key);

    if (q == NULL)
        return NULL;
    append_ready(d, q);
    resolver_channel_kick(d->channel);
    return q;
}

static void attach(struct query *q, struct lookup *l, void *arg)
{
    l->arg = arg;
    l->next = q->lookups;
    l->link = &q->lookups;
    if (l->next != NULL)
        l->next->link = &l->next;
    q->lookups = l;
}

static struct lookup *start(struct resolver *r, const char *name, enum addr_family family,
                            resolver_done_fn *done, void *arg)
{
    struct dns *d = dns_of(r);
    struct lookup *l = calloc(1, sizeof *l);
    struct resolver_answer answer;
    struct key key = {.type = type_of(family)};
    bool is_new = false;

    if (l == NULL)
        return NULL;
    l->done = done;
    bool have = known(d, name, family, &key, &answer);
    struct query *q = have ? query_ready(d, &key) : query_for(d, &key, &is_new);
    if (q == NULL) {
        free(l);
        return NULL;
    }
    stats_add(d->stats, STAT_DNS_QUERIES, 1);
    stats_add(d->stats, STAT_DNS_CACHE_HITS, have);
    attach(q, l, arg);
    if (have)
        q->answer = answer;
    else if (is_new)
        ask(d, q);
    return l;
}

static struct lookup *start_ptr(struct resolver *r, const struct addr *a, ptr_done_fn *done,
                                void *arg)
{
    struct dns *d = dns_of(r);
    struct addr of = addr_unmap(*a);
    struct lookup *l = calloc(1, sizeof *l);
    struct key key = {.type = TYPE_PTR};
    bool is_new = false;

    if (l == NULL)
        return NULL;
    l->ptr_done = done;
    resolver_name_reverse(&of, &key.name);
    const char *name = resolver_hosts_name(d->hosts, &of, uv_now(d->loop));
    struct query *q = name != NULL ? query_ready(d, &key) : query_for(d, &key, &is_new);
    if (q == NULL) {
        free(l);
        return NULL;
    }
    stats_add(d->stats, STAT_DNS_QUERIES, 1);
    attach(q, l, arg);
    q->ptr_addr = of;
    if (name != NULL)
        memcpy(q->ptr_name.text, name, strlen(name) + 1); /* fits: resolver_hosts.h */
    else if (is_new)
        ask(d, q);
    return l;
}

/* ---- Life ---- */

static const struct resolver_ops ops = {
    .cached = cached, .start = start, .cancel = cancel, .start_ptr = start_ptr};

int resolver_open(uv_loop_t *loop, const struct resolver_config *cfg, struct stats *stats,
                  struct resolver **out)
{
    int rc = UV_ENOMEM;
    struct dns *d = calloc(1, sizeof *d);

    if (d == NULL)
        return rc;
    d->base.ops = &ops;
    d->loop = loop;
    d->stats = stats;
    d->cfg = *cfg;
    d->cfg.servers = NULL;
    list_init(&d->retired);
    d->ready_end = &d->ready;
    d->cache = resolver_cache_new(cfg->cache_entries);
    d->hosts = resolver_hosts_new("/etc/hosts");
    if (d->cache != NULL && d->hosts != NULL)
        rc = resolver_channel_open(loop, cfg, deliver, d, &d->channel);
    if (rc != 0) {
        dns_free(d);
        return rc;
    }
    *out = &d->base;
    return 0;
}

/* The cache starts empty: other servers may know other answers. */
int resolver_configure(struct resolver *r, const struct resolver_config *cfg)
{
    struct dns *d = dns_of(r);
    struct retired *old = calloc(1, sizeof *old);
    struct resolver_cache *cache = resolver_cache_new(cfg->cache_entries);
    int rc = UV_ENOMEM;

    if (old == NULL || cache == NULL)
        goto fail;
    old->channel = d->channel;
    rc = resolver_channel_open(d->loop, cfg, deliver, d, &d->channel);
    if (rc != 0)
        goto fail;
    resolver_cache_free(d->cache);
    d->cache = cache;
    d->cfg = *cfg;
    d->cfg.servers = NULL;
    list_append(&d->retired, &old->link);
    resolver_channel_kick(
        d->channel); /* retires the old one when it is idle; ready answers go on */
    return 0;
fail:
    resolver_cache_free(cache);
    free(old);
    return rc;
}

void resolver_close(struct resolver *r)
{
    struct dns *d = dns_of(r);

    d->closing = true;
    retire(d);
    resolver_channel_close(d->channel);
    if (!d->delivering)
        deliver(d);
}
