/* SPDX-License-Identifier: MIT */
/* probe_dialogue - what is said to a concentrator to find out whether it speaks a dialect, and
 * the judgement of what it answers. Sans-IO; a value of the caller's; no allocation. */
#ifndef CLIENT_PROBE_DIALOGUE_H
#define CLIENT_PROBE_DIALOGUE_H
#include "probe.h"
#include "wire/initiator.h"

enum probe_step {
    PROBE_SEND, /* send probe_output(), then tell probe_sent() */
    PROBE_WAIT, /* more input is wanted */
    PROBE_OVER, /* the result's verdict, error and detail are set */
};
struct probe_dialogue { /* private */
    enum protocol dialect;
    bool whole; /* a request with a target, by `initiator` */
    struct initiator initiator;
    uint8_t out[64];
    size_t out_len, out_sent;
};

/* False: the dialect cannot carry it; verdict REFUSED and the error are in *r. Borrows *s. */
bool probe_begin(struct probe_dialogue *d, const struct settings *s, enum protocol dialect,
                 const struct target *target, struct probe_result *r);
/* The question whether the listener is exact; without a target. False as above. */
bool probe_begin_exact(struct probe_dialogue *d, const struct settings *s,
                       enum protocol dialect, struct probe_result *r);
struct span probe_output(const struct probe_dialogue *d);
void probe_sent(struct probe_dialogue *d, size_t n);
/* `data` is what was received and not consumed yet. */
enum probe_step probe_input(struct probe_dialogue *d, struct span data, size_t *consumed,
                            struct probe_result *r);
/* The stream ended (0) or failed (errno) before the end of the answer. */
void probe_closed(struct probe_dialogue *d, int error, struct probe_result *r);

#endif
