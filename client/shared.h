/* SPDX-License-Identifier: MIT */
/* shared - what the processes of one run share: counters, the truth about redirected sockets,
 * names behind addresses. One mapping of fixed size, lock-free, usable from signal handlers; a
 * process that dies in the middle of an update leaves nothing locked. Any thread, any process.
 *
 * With the launcher it is a file that every program maps, so that it survives execve();
 * without, it is memory shared with forked children only. */
#ifndef CLIENT_SHARED_H
#define CLIENT_SHARED_H
#include "wire/addr.h"
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

/* clang-format off */
#define SHARED_COUNT_MAP(X)                                                                       \
    X(CONNECTS,    "connects")      /* connect() calls redirected */                              \
    X(BYPASSED,    "bypassed")      /* left alone by the bypass list */                           \
    X(SUCCEEDED,   "succeeded")                                                                   \
    X(REFUSED,     "refused")       /* the concentrator or the target said no */                  \
    X(FAILED,      "failed")        /* no concentrator could be reached, or it broke the dialect */ \
    X(DIRECT,      "direct")        /* connected without, by on_failure = direct */               \
    X(NATIVE,      "native")        /* directly, to a target that speaks Multipath TCP */         \
    X(PENDING,     "pending")       /* placeholders used */                                       \
    X(MPTCP,       "mptcp")         /* connected, and MPTCP */                                    \
    X(FALLBACK,    "fallback")      /* connected, MPTCP wanted, but plain TCP */                  \
    X(EXACT,       "exact")         /* in place: the kernel's own connect() tells the truth */    \
    X(TFO,         "tfo")           /* the request went in the SYN and was taken */               \
    X(TFO_MISSED,  "tfo_missed")    /* it went in the SYN and was not taken */                    \
    X(EPOLL_MOVED, "epoll_moved")   /* epoll registrations carried over */                        \
    X(OPTION_LOST, "option_lost")   /* socket options MPTCP does not have */                      \
    X(UDP_REFUSED, "udp_refused")                                                                 \
    X(SUPERVISED,  "supervised")    /* connect() calls that came by seccomp */                    \
    X(ANSWER_MS,   "answer_ms_sum") /* time of successful connects, sum in milliseconds */
/* clang-format on */
enum shared_count {
#define X(name, text) SHARED_##name,
    SHARED_COUNT_MAP(X)
#undef X
        SHARED_COUNTS
};

struct shared;

/* `path` NULL or "": anonymous. The file must exist and be ours (shared_create() made it):
 * another owner, size or version is an error. NULL on failure. Never unmapped: signal handlers
 * and other threads may be inside. */
struct shared *shared_map(const char *path);
int shared_create(const char *path); /* launcher: a new file, 0600; 0 or -errno */

void shared_add(struct shared *s, enum shared_count which, uint64_t n);
uint64_t shared_get(const struct shared *s, enum shared_count which);
const char *shared_count_name(enum shared_count which);

/* One page, zeroed at first, for proxies.h: where no file of the user's holds it, what is known
 * of concentrators is the run's. NULL for `s` NULL. */
enum { SHARED_PAGE = 4096 };
void *shared_page(struct shared *s);

/* SHARED_NATIVES octets, likewise, for natives.h. */
enum { SHARED_NATIVES = 16384 };
void *shared_natives(struct shared *s);

/* Somebody would like to know whether a concentrator is exact (prober.h). Cheap when said
 * before and not heard yet. */
void shared_wish(struct shared *s);
/* Takes the wish; without one, sleeps until there is. */
void shared_await_wish(struct shared *s);

/* The truth about one socket, by its SO_COOKIE, which no other socket in the life of the kernel
 * has: survives dup(), fork(), passing by SCM_RIGHTS, and cannot be confused by fd reuse. */
enum truth_state {
    TRUTH_PENDING,   /* a placeholder; the answer is awaited */
    TRUTH_CONNECTED, /* redirected and connected */
    TRUTH_FAILED,    /* `error` is what SO_ERROR and connect() are to tell */
    TRUTH_KERNEL,    /* redirected in place (inplace.h): how it goes is what the kernel says */
};
struct truth {
    enum truth_state state;
    struct addr peer; /* what the program asked for */
    uint8_t family;   /* of the program's socket: AF_INET or AF_INET6 */
    bool unreported;  /* CONNECTED: no second connect() has been told yet; FAILED: nobody has
                         been told `error` yet */
    int error;        /* errno */
};
/* Replaces what was there. The table is finite; the oldest entries of a full bucket make way,
 * pending ones last. Cookie 0 (not a socket) and `s` NULL: nothing is kept, nothing is known.
 */
void truth_set(struct shared *s, uint64_t cookie, const struct truth *t);
bool truth_get(const struct shared *s, uint64_t cookie, struct truth *out);
/* True once only: clears `unreported`, and hands out the error of a FAILED socket (else 0). */
bool truth_report(struct shared *s, uint64_t cookie, int *error);
void truth_forget(struct shared *s, uint64_t cookie);

/* Names behind addresses: 198.18.0.0/15 (RFC 2544) and fd6d:7063:6e76::/64, one number for
 * both. The same name gives the same address for the whole run. */
bool name_to_addr(struct shared *s, const char *name, size_t len, uint8_t family,
                  struct addr *out); /* ADDR_IPV4, ADDR_IPV6; false: not a name, or the pool is
                                        full. Port 0 */
bool name_from_addr(const struct shared *s, const struct addr *a,
                    char out[256]);      /* in lower case, without a trailing dot */
bool name_is_addr(const struct addr *a); /* an address of the pool, given out or not */

#endif
