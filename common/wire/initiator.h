/* SPDX-License-Identifier: MIT */
/* initiator - the client's side of every dialect, sans-IO: first flight out, answers in, verdict. Used by whoever asks a
 * concentrator for a connection. No allocation; a value owned by the caller; any thread, one at a time.
 *
 * Happy path: initiator_init(), send initiator_output() (it may ride in a SYN) and tell initiator_sent(), feed what arrives to
 * initiator_input() until READY; whatever follows `consumed` belongs to the application. PM08 has no answer: it is READY when
 * its octets were sent (docs/protocol.md, pm08 L3); so is a request that wants no answer.
 * Failure path: REFUSED with a failure and errno (the concentrator's answer); BROKEN when the peer does not speak the
 * dialect. The end of the stream or a reset before READY is the caller's to report with initiator_closed(). */
#ifndef WIRE_INITIATOR_H
#define WIRE_INITIATOR_H
#include "wire/convert.h"
#include "wire/detect.h"
#include "wire/mpconvert.h"
#include "wire/socks5.h"

struct initiator_options {
    enum protocol dialect;     /* SOCKS5, MP_CONVERT, PM08 or CONVERT */
    struct span user, pass;    /* SOCKS5; user empty: offer method 0 only. Borrowed until the verdict */
    struct span cookie;        /* CONVERT; empty: none. Borrowed until the verdict */
    bool pipeline;             /* SOCKS5: request in the first flight; needs a single method (P8) */
    bool want_info;            /* CONVERT: ask for Supported TCP Extensions */
    bool no_answer;            /* MP_CONVERT, CONVERT: want no answer; only where a probe said that the listener is exact. Then the
                                  last octet's initiator_sent() is READY, server_mptcp stays false and want_info is moot; a
                                  refusal is a reset, the application's to see. Other dialects ignore it */
    struct addr source;        /* MP_CONVERT, PM08: a D=1 element; ADDR_NONE: none; port 0: without port */
    bool anonymous;            /* MP_CONVERT: an element without address: "take me to whom I dialled" from a concentrator on the
                                  path, "are you one" to one that was dialled itself (S17). The target is not looked at */
    enum mpconvert_m_bit m_bit;
};

enum initiator_step {
    INITIATOR_SEND,    /* output is waiting to be sent; then feed more input */
    INITIATOR_WAIT,    /* nothing to send; feed more input */
    INITIATOR_READY,   /* connected; the stream is the application's */
    INITIATOR_REFUSED, /* the concentrator answered no: see `failure`, `error` */
    INITIATOR_BROKEN,  /* not this dialect: K4(a) */
};

struct initiator {
    struct initiator_options opt;
    struct target target;
    enum initiator_step step;
    struct failure failure;     /* REFUSED, BROKEN */
    int error;                  /* errno for the application; 0 until a verdict */
    uint8_t retry_after;        /* REFUSED: seconds, from Error 64/65 (0 there: 30); else 0 */
    uint8_t cookie_len;         /* REFUSED: a cookie the converter handed out with Error 3 (Y4) */
    uint8_t cookie[255];
    bool server_mptcp;          /* READY: L6 */
    bool exact;                 /* READY, of a probe: the listener answers a SYN when the target has accepted, and knows no_answer */
    bool heard;                 /* private: an octet of an answer arrived */
    uint8_t state;              /* private */
    uint16_t out_len, out_sent; /* private: octets in `sent`, and how many of them were taken */
    uint8_t sent[CONVERT_MESSAGE_MAX]; /* private: this flight; wiped with the verdict, it may hold a password or cookie */
};

/* Copies `t` and the options (their spans stay borrowed). False, *in untouched and an errno in *error: EAFNOSUPPORT (a name,
 * which MP_CONVERT, PM08 and CONVERT cannot carry), EINVAL (an empty target; over-long credentials or cookie; a user without a
 * password), EPROTONOSUPPORT (no such dialect). */
bool initiator_init(struct initiator *in, const struct initiator_options *opt, const struct target *t, int *error);

/* Instead of initiator_init(): asks whether a listener is exact; nothing is dialled, the concentrator closes behind its answer.
 * `dialect` MP_CONVERT or CONVERT; `cookie` (CONVERT; empty: none) stays borrowed; `m_bit` draft's. READY: it speaks the
 * dialect; `exact` tells (a Convert server that answers Error 2 does not know the question: READY, not exact). Exactly the
 * answer is consumed. REFUSED: Convert's other errors, with the cookie of Error 3. A foreign MP_CONVERT peer aborts:
 * initiator_closed(), REFUSED. False, *in untouched: EPROTONOSUPPORT (another dialect), EINVAL (over-long cookie). */
bool initiator_init_probe(struct initiator *in, enum protocol dialect, struct span cookie, int *error);

/* What is to be sent now; empty when nothing is. Valid until the next call. */
struct span initiator_output(const struct initiator *in);
void initiator_sent(struct initiator *in, size_t n); /* the first n octets of the output were taken */

/* `data` is everything received and not yet consumed. *consumed octets are done with (never more than data.len); keep the
 * rest and pass it again in front of what comes next. While output is waiting nothing is looked at: the step is SEND and
 * *consumed 0. After a verdict the step stays and *consumed is 0. */
enum initiator_step initiator_input(struct initiator *in, struct span data, size_t *consumed);

/* The stream ended (`err` 0) or failed (errno) before READY: fills failure and error and returns REFUSED. MP_CONVERT refuses by
 * closing without an octet (S10): REFUSED, ECONNREFUSED; whether this concentrator ever proved itself is the caller's to
 * weigh (K4). Nothing changes after a verdict. */
enum initiator_step initiator_closed(struct initiator *in, int err);

#endif
