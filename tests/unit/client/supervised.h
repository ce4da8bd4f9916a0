/* SPDX-License-Identifier: MIT */
/* supervised - for tests of the supervisor: a child under the filter, served by a supervisor in
 * this process, and a concentrator that speaks RFC 8803 by a script which the target's port
 * selects. Aborts the test on failure. */
#ifndef TESTS_SUPERVISED_H
#define TESTS_SUPERVISED_H
#include "filter.h"
#include "reach.h"
#include "supervisor.h"
#include <errno.h>
#include <netinet/in.h>
#include <pthread.h>
#include <stdatomic.h>
#include <stdbool.h>
#include <stdio.h>
#include <string.h>
#include <sys/types.h>
#include <unistd.h>

enum { SOON = 3000 }; /* ms: what must happen has happened by then */

/* Ports: what the concentrator does with a request for one. */
enum {
    PORT_ECHO = 80,    /* yes, "hi", and then back what comes */
    PORT_SILENT = 82,  /* nothing */
    PORT_LATE = 83,    /* as ECHO, after LATE_MS */
    PORT_RESET = 84,   /* yes, and then a reset */
    PORT_DEAF = 85,    /* yes, "hi", and reads no more */
    PORT_ERROR = 1000, /* PORT_ERROR + n: an Error TLV with code n (RFC 8803 s4.2.8) */
    LATE_MS = 150,
    CODE_DENIED = 32,
    CODE_RESET = 96,
    CODE_UNREACHABLE = 97,
};

struct concentrator {
    struct addr addr;
    atomic_int requests, open; /* whole requests seen; connections that have not ended */
    int listener, stop[2];
    pthread_t thread;
};
void concentrator_start(struct concentrator *c);
void concentrator_end(struct concentrator *c);

struct supervised {
    struct concentrator concentrator;
    struct settings settings;
    struct reach_env env;
    struct supervisor *supervisor;
    pid_t pid;
    int go, listener;
};

/* In the child: false ends it as a failure of the test, told with the line. */
typedef int guest_fn(void);
#define GUEST(claim) guest_claim((claim), __FILE__, __LINE__, #claim)
static inline void guest_claim(bool holds, const char *file, int line, const char *claim)
{
    int error = errno;

    if (holds)
        return;
    (void)fprintf(stderr, "%s:%d: %s (%s)\n", file, line, claim, strerror(error));
    _exit(1);
}

/* For guests: the target behind the concentrator, connect() to it, and whether it says "hi"
 * soon.
 */
struct sockaddr_in ipv4(int port);
int connect_port(int fd, int port);
bool says_hi(int fd);

/* Begins: the child is forked and under the filter. The settings may be changed until
 * supervised_go(): then the supervisor serves, and `guest` runs. */
void supervised_start(struct supervised *s, guest_fn *guest);
void supervised_go(struct supervised *s);
/* The child's exit status, -signal when it was killed. */
int supervised_wait(struct supervised *s);
/* No process is left: supervisor_fd() must say so soon; then everything is taken down, and no
 * descriptor may be left. */
void supervised_end(struct supervised *s);
/* All of it: `guest` must return 0. */
void supervised_run(guest_fn *guest);
void supervised_sleep_ms(unsigned ms); /* for waiting on another process only */

#endif
