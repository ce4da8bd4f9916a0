/* SPDX-License-Identifier: MIT */
/* probe - what a concentrator can do from here: which dialects it speaks, whether it takes the
 * request in the SYN, whether the connection is Multipath TCP, and how long it takes.
 *
 * Without a target nothing is connected to behind it: MP_CONVERT is asked with an element that
 * names no address (Length 4), Convert with an Info TLV (RFC 8803 s6.2.3), SOCKS5 with its
 * greeting. With a target each dialect makes a whole request. */
#ifndef CLIENT_PROBE_H
#define CLIENT_PROBE_H
#include "cli.h"
#include "proxies.h"
#include "settings.h"
#include "wire/target.h"

enum probe_verdict {
    PROBE_WORKS,
    PROBE_UNREACHED, /* no connection: `error` */
    PROBE_SILENT,    /* connected; no whole answer in time, or closed without one */
    PROBE_FOREIGN,   /* answered something that is not this dialect */
    PROBE_REFUSED,   /* speaks it, and said no: `error` */
};

struct probe_result {
    enum probe_verdict verdict;
    int error;                        /* errno, or 0 */
    bool tfo_asked, tfo_taken, mptcp; /* once connected */
    double connect_ms, answer_ms; /* SYN to SYN-ACK, SYN to the whole answer; < 0: not seen */
    enum proxies_exact exact; /* its listener is; UNKNOWN: it did not say, or was not asked */
    char detail[96];          /* one line of what it said; "" for nothing worth saying */
};

/* One dialect of one concentrator. `target` NULL: none. `s`: credentials, cookie, time-out,
 * tfo, mptcp. Blocks for at most connect_seconds. */
void probe_once(const struct settings *s, const struct addr *proxy, enum protocol dialect,
                const struct target *target, struct probe_result *out);

/* Asks whether its listener is exact (docs/protocol.md, "No answer wanted"). UNKNOWN: it did
 * not answer. *out is that dialogue's. */
enum proxies_exact probe_exact(const struct settings *s, const struct addr *proxy,
                               enum protocol dialect, struct probe_result *out);

/* `mpconvert probe`: every concentrator, every dialect (or the one of --dialect). Prints.
 * 0: all that was asked works; 1: not all; 125: the command line is wrong. */
int probe_command(const struct cli *c, const struct settings *s);

#endif
