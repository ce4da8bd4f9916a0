/* SPDX-License-Identifier: MIT */
/* interview - plays a client towards a handshake, as a session does: what was not consumed is
 * given again, behind it what came since. For unit tests and fuzzers alike: no test library;
 * malloc only for exact-size copies, so that AddressSanitizer sees a read past the end. */
#ifndef SUPPORT_INTERVIEW_H
#define SUPPORT_INTERVIEW_H
#include "handshake.h"

enum {
    INTERVIEW_PENDING_MAX = 8192,
    INTERVIEW_REPLY_MAX = 2 * HANDSHAKE_REPLY_MAX,
};

struct interview {
    struct handshake h;
    const struct handshake_policy *policy; /* borrowed */
    bool accept;                           /* what AUTH is answered with */
    struct handshake_step step;            /* the last one; its views are dead */
    bool over;                             /* neither MORE nor AUTH */
    size_t consumed;                       /* octets of the stream */
    uint8_t reply[INTERVIEW_REPLY_MAX];    /* all answers */
    size_t reply_len;
    uint8_t pending[INTERVIEW_PENDING_MAX]; /* not consumed; when over: early data */
    size_t pending_len;
    unsigned asked; /* how often AUTH was asked for */
    uint8_t user[255], pass[255];
    size_t user_len, pass_len;
};

void interview_begin(struct interview *v, const struct handshake_policy *p, bool accept);

/* The next octets of the stream. NULL, or which rule of handshake.h was broken. */
const char *interview_hear(struct interview *v, struct span octets);

/* interview_begin, then the whole stream in pieces of `piece` octets (0: all at once). */
const char *interview_run(struct interview *v, const struct handshake_policy *p, bool accept,
                          struct span stream, size_t piece);

/* Do two interviews about the same stream agree: answers, consumed octets, early data, verdict,
 * target? NULL, or in what they differ. The protocol and the log's reason are left out where
 * the octets were none of ours: they are guesses. */
const char *interview_differ(const struct interview *a, const struct interview *b);

/* The answers that follow CONNECT, RESOLVE and RESOLVE_PTR, appended to v->reply. NULL, or
 * which rule was broken. */
const char *interview_succeed(struct interview *v, const struct handshake_success *s);
const char *interview_resolve(struct interview *v, const struct addr *a, const char *name);
const char *interview_fail(struct interview *v, struct failure f, enum handshake_close *close);

#endif
