/* SPDX-License-Identifier: MIT */
/* eyeballs - RFC 8305 (Happy Eyeballs v2) as a pure schedule: events and time in, the next action out. No uv.h, no clock.
 * The caller reports what happened with eyeballs_* and then calls eyeballs_next() until it says WAIT or a verdict. */
#ifndef SERVER_EYEBALLS_H
#define SERVER_EYEBALLS_H
#include "base/check.h"
#include "wire/addr.h"
#include "wire/outcome.h"
#include <stdbool.h>
#include <stdint.h>

enum { EYEBALLS_ADDRS_MAX = 32 };

struct eyeballs_config {
    uint32_t attempt_delay_ms;    /* s8: 250 */
    uint32_t resolution_delay_ms; /* s8: 50 */
    enum addr_family prefer;
};

enum eyeballs_action {
    EYEBALLS_CONNECT, /* start an attempt to `index` */
    EYEBALLS_WAIT,    /* nothing to do until `at_ms` (UINT64_MAX: until an event) */
    EYEBALLS_FAILED,  /* all attempts failed: `failure` is the most telling */
};
struct eyeballs_step {
    enum eyeballs_action action;
    unsigned index;
    uint64_t at_ms;
    struct failure failure;
};

struct eyeballs {
    struct eyeballs_config cfg;
    struct addr addr[EYEBALLS_ADDRS_MAX]; /* in order of attempts (s4: families interleaved) */
    uint8_t state[EYEBALLS_ADDRS_MAX];    /* private: not tried, running, failed */
    unsigned count, started;
    bool pending[2];      /* a family's lookup is under way: [0] IPv6, [1] IPv4 */
    uint64_t resolution_ends_ms, next_attempt_ms;
    struct failure worst; /* so far */
};

void eyeballs_init(struct eyeballs *e, const struct eyeballs_config *cfg);
/* Before lookups start: which families will be asked. A target that is an address calls eyeballs_resolved() only. */
void eyeballs_expect(struct eyeballs *e, enum addr_family family);
/* A family's lookup ended: addresses (port already set by the caller), or why there are none. Ports and duplicates: first wins;
 * addresses beyond the bound are dropped. */
void eyeballs_resolved(struct eyeballs *e, enum addr_family family, const struct addr *addrs, size_t n, struct failure none,
                       uint64_t now_ms);
void eyeballs_failed(struct eyeballs *e, unsigned index, struct failure why, uint64_t now_ms); /* an attempt ended badly */
struct eyeballs_step eyeballs_next(struct eyeballs *e, uint64_t now_ms);

#endif
