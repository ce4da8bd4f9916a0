/* SPDX-License-Identifier: MIT */
/* resolver - names to addresses with c-ares and a TTL cache, positive and negative (RFC 2308). Loop thread only; one per worker.
 * A small vtable, so that tests inject answers. Bounded: lookups in flight, cache entries, addresses per answer. */
#ifndef SERVER_RESOLVER_H
#define SERVER_RESOLVER_H
#include "base/check.h"
#include "base/conffile.h"
#include "wire/addr.h"
#include "wire/outcome.h"
#include <uv.h>

enum { RESOLVER_ADDRS_MAX = 16 };

struct resolver_answer {
    enum outcome why; /* OK (count > 0), NAME_NOT_FOUND (also: no address of this family), RESOLVER_FAILED, NO_RESOURCES */
    size_t count;
    struct addr addr[RESOLVER_ADDRS_MAX]; /* ports are 0 */
};

/* Runs exactly once, never from inside resolver_start(), never after resolver_cancel(). `a` dies with the call. */
typedef void resolver_done_fn(void *arg, const struct resolver_answer *a);

struct lookup; /* one question in flight */
struct resolver;
struct resolver_ops {
    bool (*cached)(struct resolver *r, const char *name, enum addr_family family, struct resolver_answer *out);
    struct lookup *(*start)(struct resolver *r, const char *name, enum addr_family family, resolver_done_fn *done, void *arg);
    void (*cancel)(struct resolver *r, struct lookup *l);
    struct lookup *(*start_ptr)(struct resolver *r, const struct addr *a, void (*done)(void *arg, enum outcome why, const char *name),
                                void *arg);
};
struct resolver {
    const struct resolver_ops *ops;
};

/* True: answered from the cache (or /etc/hosts, or the name is special: "localhost" RFC 6761), *out is filled. */
static inline bool resolver_cached(struct resolver *r, const char *name, enum addr_family family, struct resolver_answer *out)
{
    return r->ops->cached(r, name, family, out);
}
/* NULL: out of memory or too many lookups in flight; then `done` does not run. Equal questions share one query. */
static inline struct lookup *resolver_start(struct resolver *r, const char *name, enum addr_family family, resolver_done_fn *done,
                                            void *arg)
{
    return r->ops->start(r, name, family, done, arg);
}
static inline void resolver_cancel(struct resolver *r, struct lookup *l)
{
    r->ops->cancel(r, l);
}
/* Address to name, for the Tor extension RESOLVE_PTR; `name` is NULL unless why is OK. */
static inline struct lookup *resolver_start_ptr(struct resolver *r, const struct addr *a,
                                                void (*done)(void *arg, enum outcome why, const char *name), void *arg)
{
    return r->ops->start_ptr(r, a, done, arg);
}

struct resolver_config {
    const struct conf_strings *servers; /* "192.0.2.53", "[2001:db8::53]:5353"; empty: /etc/resolv.conf. Copied */
    uint32_t timeout_ms, tries, cache_entries, ttl_min_ms, ttl_max_ms, negative_ttl_ms, inflight_max;
};
struct stats;

/* The c-ares one. 0 or a negative UV_E*; *out is freed by resolver_close. `stats` gets the counters and the duration of each
 * query (server/stats.h); may be NULL. */
int resolver_open(uv_loop_t *loop, const struct resolver_config *cfg, struct stats *stats, struct resolver **out) MUST_CHECK;
int resolver_configure(struct resolver *r, const struct resolver_config *cfg) MUST_CHECK; /* reload; lookups in flight finish */
/* All lookups must be done or cancelled. Its handles close in the next turns of the loop; memory goes with the last. */
void resolver_close(struct resolver *r);

#endif
