/* SPDX-License-Identifier: MIT */
/* doctor_checks - what doctor.c's table is made of. Each check stands alone: it may be run in
 * any order, and what it needs to be meaningful is in its row. */
#ifndef SERVER_DOCTOR_CHECKS_H
#define SERVER_DOCTOR_CHECKS_H
#include "options.h"

enum doctor_verdict { DOCTOR_GOOD, DOCTOR_BAD, DOCTOR_SKIPPED };
enum { DOCTOR_TEXT_MAX = 512 };

struct doctor_finding {
    enum doctor_verdict verdict;
    char found[DOCTOR_TEXT_MAX];
    char advice[DOCTOR_TEXT_MAX]; /* BAD only; else "" */
};

/* What a check needs; without it it is skipped, and the reason told. */
enum doctor_need {
    DOCTOR_NEEDS_NOTHING = 0,
    DOCTOR_NEEDS_CONFIG = 1,
    DOCTOR_NEEDS_EXACT = 2 | DOCTOR_NEEDS_CONFIG,      /* an exact listener */
    DOCTOR_NEEDS_PRIVILEGED = 8 | DOCTOR_NEEDS_CONFIG, /* a listener for CAP_NET_ADMIN */
    DOCTOR_NEEDS_ADMIN = 4,                            /* CAP_NET_ADMIN */
};

struct doctor {
    const char *path;        /* NULL: defaults */
    struct config *config;   /* NULL: does not load */
    struct conf_error error; /* then why */
};

typedef struct doctor_finding doctor_check_fn(const struct doctor *d);

struct doctor_finding doctor_good(const char *format, ...)
    __attribute__((format(printf, 1, 2)));
struct doctor_finding doctor_skipped(const char *format, ...)
    __attribute__((format(printf, 1, 2)));
struct doctor_finding doctor_bad(const char *advice, const char *format, ...)
    __attribute__((format(printf, 2, 3)));

/* doctor_host.c */
doctor_check_fn doctor_check_config, doctor_check_mptcp, doctor_check_fastopen,
    doctor_check_privilege, doctor_check_nfqueue;
/* doctor_egress.c */
doctor_check_fn doctor_check_egress;
/* doctor_queues.c */
doctor_check_fn doctor_check_queues;
/* doctor_rules.c */
doctor_check_fn doctor_check_rules4, doctor_check_rules6;

/* The queues of exact listeners: doctor_queues.c. */
unsigned doctor_queue_count(const struct config *c);
/* What the kernel tells of queue `number`, from /proc/net/netfilter/nfnetlink_queue. */
struct doctor_queue {
    bool bound;
    uint32_t portid;   /* of who has it, see netlink(7) */
    uint32_t sequence; /* packets that came, from bind on */
};
struct doctor_queue doctor_queue_look(unsigned number);
/* "conf/exact-rules.sh add --port 1080 --queues 8803:8806", for every exact port. */
void doctor_rules_command(const struct config *c, char out[DOCTOR_TEXT_MAX]);

#endif
