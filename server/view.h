/* SPDX-License-Identifier: MIT */
/* view - plain copies of live things for the stats endpoint: no pointers into workers, safe on any thread. */
#ifndef SERVER_VIEW_H
#define SERVER_VIEW_H
#include "base/mptcp.h"
#include "wire/target.h"
#include <stdbool.h>
#include <stdint.h>

enum { VIEW_USER_MAX = 255, VIEW_NAME_MAX = 63, VIEW_SESSIONS_MAX = 1000 };
enum { VIEW_STUCK_MS = 5000 }; /* a worker that did not turn its loop for so long is stuck */

struct session_view {
    uint64_t id;
    char user[VIEW_USER_MAX + 1]; /* escaped by whoever prints it; "" none */
    const char *protocol, *state; /* literals */
    char policy[VIEW_NAME_MAX + 1]; /* "" none */
    char listener[VIEW_NAME_MAX + 1];
    uint64_t start_wall_us;       /* microseconds since 1970 */
    uint64_t age_us, idle_us;
    const char *ingress, *route;  /* literals; route NULL: not known yet */
    uint64_t expires_us;          /* from now, if nothing happens */
    struct addr client, local;    /* the client's connection: its end, ours */
    struct addr egress, remote;   /* the server's: our end, its; through a concentrator the
                                     connection ends there, and `remote` is the target */
    struct addr concentrator, told_source;
    char host[TARGET_NAME_MAX + 1];     /* the name asked for, or "" */
    uint16_t port;
    uint64_t up_bytes, down_bytes, buffered_up_bytes, buffered_down_bytes;
    bool client_mptcp; /* accepted as MPTCP */
    bool has_mptcp;    /* `mptcp` is filled: asked for one session only, or cheap counts for a page */
    struct mptcp_snapshot mptcp;
    bool upstream_mptcp, has_upstream; /* the same of the connection towards the server */
    struct mptcp_snapshot upstream;
};

struct session_query {
    uint64_t id;         /* != 0: this session only, with subflows */
    uint64_t after;      /* cursor: ids greater than this */
    uint32_t limit;      /* 1..VIEW_SESSIONS_MAX */
    char user[VIEW_USER_MAX + 1]; /* "" any */
    int protocol;        /* enum protocol, or -1 */
    bool by_source;      /* only those whose client is in `source` */
    struct prefix source;
    uint64_t min_age_us;
};

struct listener_view {
    char name[VIEW_NAME_MAX + 1];
    struct addr address;
    unsigned protocols; /* PROTOCOL_BITs */
    bool mptcp, tls, exact;
    const char *state;  /* accepting, shedding, draining, closed */
    uint64_t accepted;
    uint32_t backlog;
    struct view_fds {   /* to ask the kernel for the accept queue; borrowed, valid during the call */
        const int *fd;
        uint32_t count;
    } fds;
};

#endif
