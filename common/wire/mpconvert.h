/* SPDX-License-Identifier: MIT */
/* mpconvert - the MP_CONVERT Information Element of draft-boucadair-mptcp-plain-mode-10 s5 ("mc10") and the option bytes of
 * -08/-09 ("pm08"); both roles. Stateless prefix decoders; see decode.h. */
#ifndef WIRE_MPCONVERT_H
#define WIRE_MPCONVERT_H
#include "wire/decode.h"
#include "wire/target.h"

#define MPCONVERT_MAGIC 0xFAA8FAA8u /* no enumerator: it does not fit an int */
enum {
    MPCONVERT_REQUEST_MAX = 64, /* two type-0 IEs with IPv6 address and port and a No Answer: the longest legal header (C7 allows
                                   us 512) */
    MPCONVERT_TYPE_NO_ANSWER = 0xF3, /* private: nothing is to be sent before the target's octets */
    MPCONVERT_NO_ANSWER_LEN = 8,     /* octets of such an element */
    PM08_KIND = 0x1E,
    PM08_HEADER_MAX = 64,       /* options and NOPs up to and including EOL; our cap */
};

/* -10 s5.1: the prose says M=1 marks the last IE; the name suggests the opposite. */
enum mpconvert_m_bit {
    MPCONVERT_M_DRAFT,
    MPCONVERT_M_INVERTED,
};

struct mpconvert_request {
    bool has_destination;  /* a D=0 element was present (perhaps without an address) */
    bool has_source;       /* a D=1 element was present */
    struct addr destination; /* family ADDR_NONE: Length 4, no address. v4-mapped addresses become IPv4 */
    struct addr source;
    bool destination_port; /* the D=0 element carried a port (else destination.port is 0) */
    bool source_port;
    uint8_t protocol;      /* IPPROTO_TCP for mc10; pm08: as sent (6 or 17) */
    bool no_answer;        /* a No Answer element was present; never in pm08 */
    uint8_t no_answer_at;  /* its offset in the input */
};

/* Writes *out on DONE only; `bytes` is where application data starts. The echo (S6) is those octets, verbatim.
 * BAD: MAGIC, TYPE (neither 0 nor No Answer; No Answer and nothing else), LENGTH, SAME_D, DUPLICATE (a second No Answer),
 * RESERVED (a No Answer with D=1), TOO_MANY (a third type-0 element, or M promises more than can come), FORBIDDEN (multicast,
 * broadcast, loopback, unspecified; s5.2 and S2). MORE never asks for more than MPCONVERT_REQUEST_MAX. */
struct decode mpconvert_decode(struct span in, enum mpconvert_m_bit m, struct mpconvert_request *out);

/* One type-0 element. `a->family` ADDR_NONE: Length 4. `with_port` needs an address. */
void mpconvert_encode(struct wr *w, const struct addr *a, bool with_port, bool is_source, bool last, enum mpconvert_m_bit m);

/* A No Answer element; beside at least one of type 0, before or behind it. */
void mpconvert_encode_no_answer(struct wr *w, bool last, enum mpconvert_m_bit m);
/* Is the listener exact? No Answer, then an element without address. */
void mpconvert_encode_probe(struct wr *w, enum mpconvert_m_bit m);

/* Client role, K2: is `in` the copy of the elements `sent`? Reserved bits and padding are ignored. DONE with bytes =
 * sent.len; MORE while `in` is a prefix of such a copy; BAD MISMATCH. `sent` must be what the encoders above wrote. */
struct decode mpconvert_match_echo(struct span in, struct span sent);
/* The same for the answer to what mpconvert_encode_probe() wrote. DONE with *exact and bytes 16: both elements came back; with
 * !*exact and bytes 8: only the second one, from a listener that is not exact. */
struct decode mpconvert_match_probe(struct span in, struct span sent, bool *exact);

/* pm08: options, NOPs, EOL. BAD: TYPE (also an EOL without any option), LENGTH, SAME_D, PROTOCOL (neither 6 nor 17, or both),
 * FORBIDDEN, TOO_MANY (over PM08_HEADER_MAX octets). MORE never asks for more than PM08_HEADER_MAX. */
struct decode pm08_decode(struct span in, struct mpconvert_request *out);
void pm08_encode_option(struct wr *w, const struct addr *a, bool with_port, bool is_source, uint8_t protocol);
void pm08_encode_end(struct wr *w); /* EOL */

#endif
