/* SPDX-License-Identifier: MIT */
/* relay - two one-way pumps over two legs. Loop thread only.
 *
 * A pump moves octets by the cheapest way its legs allow: small traffic by one read into the
 * worker's scratch buffer and one write in the same callback; a bulk flow from a TCP leg
 * through a borrowed pipe (splice), until a splice moves little; from an MPTCP leg always by
 * copying, in larger pieces. Only what the kernel did not take is kept, and only that long: an
 * idle relay owns no buffer and no pipe. A pump does not read while it holds unwritten octets,
 * so memory is bounded by construction.
 *
 * End of stream is a half-close: the other side is shut down when everything before it was
 * written; the reverse pump goes on. Fairness: at most RELAY_TURN_BYTES per pump and loop turn,
 * then everybody else has a turn (RELAY_AGAIN). */
#ifndef SERVER_RELAY_H
#define SERVER_RELAY_H
#include "leg.h"
#include "pipes.h"
#include "wire/bytes.h"

enum {
    RELAY_SCRATCH_BYTES = 256 * 1024,
    RELAY_TURN_BYTES = 1024 * 1024, /* spliced; a quarter of it copied, which takes as long */
};

/* What relays need of their worker; borrowed. */
struct relay_env {
    struct poller *poller;
    struct pipes *pipes;
    struct stats *stats;
    uint8_t *scratch; /* RELAY_SCRATCH_BYTES; used within one call only */
};

struct kept; /* octets that wait for the kernel */
struct pump {
    struct leg *from, *to;
    struct kept *kept;
    struct pipe *pipe;
    uint64_t bytes; /* accepted by the kernel of `to`; what relay_preload() did not count is not
                       in it */
    uint32_t piped; /* octets in the pipe */
    uint8_t full;   /* reads in a row that filled the buffer */
    uint8_t small;  /* splices in a row that moved little */
    bool splice;    /* allowed here */
    bool muted;     /* `from` raises no edges for what arrives: a bulk flow waits for `to` */
    bool eof, finished;
};
struct relay {
    struct pump up, down; /* client to upstream, upstream to client */
};

enum relay_verdict {
    RELAY_OPEN,        /* everything that could be moved was */
    RELAY_AGAIN,       /* the turn's share is used up */
    RELAY_WAIT_WINDOW, /* a leg waits for its peer's window (T2): try again in a millisecond */
    RELAY_DONE,        /* both directions ended in order */
    RELAY_CLIENT_FAILED, /* reset, or its kernel gave up */
    RELAY_UPSTREAM_FAILED,
    RELAY_NO_MEMORY,
};

void relay_init(struct relay *r, struct leg *client, struct leg *upstream, bool splice);
/* Octets that go first (the handshake's answer, early data); call before relay_run. `counted`:
 * they are the session's payload. False: out of memory. */
bool relay_preload(struct pump *p, struct span octets, bool counted,
                   struct relay_env *env) MUST_CHECK;
enum relay_verdict relay_run(struct relay *r, struct relay_env *env);
/* Gives up buffers and pipes. Idempotent. */
void relay_done(struct relay *r, struct relay_env *env);
/* Octets read but not yet taken by the other side's kernel. */
uint64_t relay_buffered(const struct pump *p);

#endif
