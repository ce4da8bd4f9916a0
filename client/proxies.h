/* SPDX-License-Identifier: MIT */
/* proxies - what is known of each concentrator from here, shared by all programs of a user
 * through a small mapped file ($XDG_RUNTIME_DIR/mpconvert/proxies, or none): does it take SYN
 * data, is it reachable. Lock-free; any thread, any process. Knowledge is advice: a lost update
 * costs a round trip, never a connection.
 *
 * TFO policy (traps T3 and T4 of the kernel): a concentrator that is not known gets SYN data,
 * and what became of it is verified after the connect; one that did not take it (or where MPTCP
 * was lost with it) gets none until the entry expires, so that MPTCP is kept. */
#ifndef CLIENT_PROXIES_H
#define CLIENT_PROXIES_H
#include "settings.h"
#include "wire/addr.h"
#include <stdbool.h>
#include <stdint.h>

enum {
    PROXIES_TFO_BAD_MS = 10 * 60 * 1000, /* no SYN data for so long after it was not taken;
                                            doubles with each time in a row, up to a day */
    PROXIES_BACKOFF_MIN_MS = 1000, /* after a failure to reach it; doubles up to the maximum */
    PROXIES_BACKOFF_MAX_MS = 60000,
};

struct proxies; /* the mapping */

/* NULL or "": for this process and its forked children only. A file that is not ours, or of
 * another size or version, counts as none. NULL: no memory. Never unmapped. */
struct proxies *proxies_map(const char *path);
/* "$XDG_RUNTIME_DIR/mpconvert/proxies" (directories made, 0700); false: no such directory. */
bool proxies_path(char *out, size_t cap, const char *runtime_dir);

/* The file that the settings name, if any: NULL for none. `text` is for the call to fill. */
const char *proxies_file(const struct settings *s, const char *runtime_dir, char *text,
                         size_t cap);
/* In memory of 4096 octets, zeroed at first, that others hold, too. NULL for NULL. */
struct proxies *proxies_within(void *page);

/* What is known of settings.proxy[i]; in order to try, those in back-off last. `now_ms` is
 * sys_now_ms(). Returns s->proxies. */
unsigned proxies_order(const struct proxies *p, const struct settings *s, uint64_t now_ms,
                       uint8_t order[SETTINGS_PROXIES_MAX]);
bool proxies_tfo(const struct proxies *p, const struct addr *proxy, enum settings_tfo policy,
                 uint64_t now_ms);

struct proxies_report {
    bool reached;            /* its SYN-ACK came */
    bool tfo_asked;          /* SYN data was sent */
    bool tfo_taken;          /* TCP_INFO: the SYN's data was acknowledged by the SYN-ACK */
    bool mptcp_asked, mptcp; /* MPTCP_INFO */
};
void proxies_learn(struct proxies *p, const struct addr *proxy, const struct proxies_report *r,
                   uint64_t now_ms);

/* Whether a listener is exact (docs/exact-connect.md) for a dialect, as a probe has said. */
enum proxies_exact {
    PROXIES_EXACT_UNKNOWN,
    PROXIES_EXACT_NO,
    PROXIES_EXACT_YES,
    PROXIES_EXACT_DOUBTFUL, /* it said yes, but is perhaps no longer there */
};
enum {
    PROXIES_EXACT_MS = 10 * 60 * 1000, /* then it is unknown again */
    PROXIES_EXACT_LATE_MS = 60 * 1000, /* with so little left it should be asked anew */
};
/* `left_ms` (or NULL): for how long that holds; 0 for UNKNOWN. */
enum proxies_exact proxies_exact(const struct proxies *p, const struct addr *proxy,
                                 enum protocol dialect, uint64_t now_ms, uint64_t *left_ms);
/* What a probe said: NO and YES hold from now on; UNKNOWN forgets. */
void proxies_exact_learn(struct proxies *p, const struct addr *proxy, enum protocol dialect,
                         enum proxies_exact is, uint64_t now_ms);
/* YES becomes DOUBTFUL, or with `sure` DOUBTFUL becomes YES: it was reached. Nothing else is
 * changed, nor for how long that holds. */
void proxies_exact_doubt(struct proxies *p, const struct addr *proxy, enum protocol dialect,
                         bool sure);

/* For `mpconvert probe` and the end of a run: false when nothing is known. */
struct proxies_known {
    bool tfo_good, tfo_bad;
    uint64_t tfo_bad_left_ms, backoff_left_ms;
    uint32_t failures;
};
bool proxies_look(const struct proxies *p, const struct addr *proxy, uint64_t now_ms,
                  struct proxies_known *out);

#endif
