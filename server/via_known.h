/* SPDX-License-Identifier: MIT */
/* via_known - what has been learnt of each concentrator: is it one (draft -10 s5.2, rules K3 to
 * K7 of docs/protocol.md), is its listener exact, does the data of a SYN reach it (K9). Beside
 * via_health, in the same memory: shared by all workers; any thread; lock-free. Knowledge is
 * advice: a lost update costs a round trip. No I/O, no clock, no uv.h. */
#ifndef SERVER_VIA_KNOWN_H
#define SERVER_VIA_KNOWN_H
#include "via_health.h"

enum {
    VIA_KNOWN_MUTE_MAX = 3, /* ends without an octet, for different targets, of one that never
                               answered: it is listed (K4 c, d) */
    VIA_KNOWN_TFO_LOST_MAX = 3,      /* SYNs in a row whose data was not taken (K9) */
    VIA_KNOWN_LATE_MS = 60000,       /* with so little left it should be asked anew */
    VIA_KNOWN_PROBE_PAUSE_MS = 5000, /* from one probe to the next */
};

/* It answered in its dialect: it is one (K2). */
void via_known_answered(struct via_health *h, const struct via_concentrator *c,
                        uint64_t now_ms);
/* It said something else: it is none (K4 a). Listed for `relearn_ms`. */
void via_known_foreign(struct via_health *h, const struct via_concentrator *c,
                       uint32_t relearn_ms, uint64_t now_ms);
/* It ended without an octet, or said nothing in time, when asked for `target` (K4 c, d).
 * Nothing when it is proven (b). True: it is listed now. */
bool via_known_mute(struct via_health *h, const struct via_concentrator *c,
                    const struct target *target, uint32_t relearn_ms, uint64_t now_ms);
bool via_known_proven(struct via_health *h, const struct via_concentrator *c);
/* K5: everything learnt is forgotten, but not who is down. */
void via_known_flush(struct via_health *h);

enum via_known_exact { VIA_KNOWN_EXACT_UNKNOWN, VIA_KNOWN_EXACT_NO, VIA_KNOWN_EXACT_YES };
/* By configuration, or by what a probe said. */
enum via_known_exact via_known_exact(struct via_health *h, const struct via_concentrator *c,
                                     uint64_t now_ms);
/* UNKNOWN forgets. */
void via_known_exact_learn(struct via_health *h, const struct via_concentrator *c,
                           enum via_known_exact is, uint32_t relearn_ms, uint64_t now_ms);
/* Is it time for a probe: something is not known, or it was down and may be back? True for one
 * who asks: the next in VIA_KNOWN_PROBE_PAUSE_MS, or when its back-off is over again. */
bool via_known_probe_due(struct via_health *h, const struct via_concentrator *c,
                         uint64_t now_ms);

/* May the request go in the SYN? By configuration and K9. */
bool via_known_tfo(struct via_health *h, const struct via_concentrator *c, uint64_t now_ms);
/* Data went in a SYN that was answered, and was taken or not. */
void via_known_tfo_result(struct via_health *h, const struct via_concentrator *c, bool taken,
                          uint32_t backoff_ms, uint64_t now_ms);
/* Microseconds from the SYN to a SYN-ACK that waited for no target; 0: not known. */
void via_known_rtt_learn(struct via_health *h, const struct via_concentrator *c,
                         uint64_t rtt_us);
uint32_t via_known_rtt(struct via_health *h, const struct via_concentrator *c);

/* For the statistics. */
struct via_known {
    bool proven, listed, down, tfo_off;
    enum via_known_exact exact;
    uint32_t rtt_us;
    uint64_t failures, seen_ago_ms; /* UINT64_MAX: never */
};
struct via_known via_known_look(struct via_health *h, const struct via_concentrator *c,
                                uint64_t now_ms);

#endif
