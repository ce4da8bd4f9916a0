/* SPDX-License-Identifier: MIT */
/* initiator - the client's side of every dialect, sans-IO: first flight out, answers in, verdict. Used by whoever asks a
 * concentrator for a connection. No allocation; a value owned by the caller; any thread, one at a time.
 *
 * Happy path: initiator_init(), send initiator_output() (it may ride in a SYN), feed what arrives to initiator_input() until
 * READY; whatever follows `consumed` belongs to the application.
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
    struct addr source;        /* MP_CONVERT: a D=1 element; ADDR_NONE: none */
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
    uint8_t state;              /* private */
    uint8_t out_len, out_sent;  /* private; pending output, octets. Never more than 255 pending except the first flight */
    uint16_t first_len;         /* private */
    uint8_t retry_after;        /* seconds, from Error 64/65 (0 there: 30); else 0 */
    uint8_t cookie_len;         /* a cookie the converter handed out with Error 3 (Y4) */
    uint8_t cookie[255];
    bool server_mptcp;          /* L6 */
    uint8_t sent[CONVERT_MESSAGE_MAX]; /* private; first flight, also what an echo is compared with */
};

/* Copies `t` and the options (their spans stay borrowed). False: this dialect cannot express the target or credentials
 * (a name in MP_CONVERT or CONVERT, over-long or empty fields): errno-style reason in *error. */
bool initiator_init(struct initiator *in, const struct initiator_options *opt, const struct target *t, int *error);

/* What is to be sent now; empty when nothing is. Valid until the next call. */
struct span initiator_output(const struct initiator *in);
void initiator_sent(struct initiator *in, size_t n); /* the first n octets of the output were taken */

/* `data` is everything received and not yet consumed. *consumed octets are done with (never more than data.len); keep the
 * rest and pass it again in front of what comes next. */
enum initiator_step initiator_input(struct initiator *in, struct span data, size_t *consumed);

/* The stream ended (`err` 0) or failed (errno) before READY: fills failure and error; K4(b). */
enum initiator_step initiator_closed(struct initiator *in, int err);

#endif
