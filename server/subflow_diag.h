/* SPDX-License-Identifier: MIT */
/* subflow_diag - what sock_diag tells of an MPTCP connection's subflows and no socket option
 * does: which of them stand by, and the token at the other end. Needs no privilege since Linux
 * 6.15, before it CAP_NET_ADMIN. A few system calls that do not wait: for one session that
 * somebody looks at, not for all. Any thread. No uv.h. */
#ifndef SERVER_SUBFLOW_DIAG_H
#define SERVER_SUBFLOW_DIAG_H
#include "base/mptcp.h"
#include "wire/bytes.h"

struct subflow_told {
    uint32_t remote_token; /* 0: not known; the kernel keeps it where this end has joined */
    bool backup;           /* either end has asked for it (RFC 8684 s3.3.8) */
};

/* Fills `remote_token` and `list[].backup`; what cannot be had stays as it is. */
void subflow_diag(struct mptcp_snapshot *m);

/* One message of the kernel's; for tests, too. 0, or -errno: *out untouched. */
int subflow_diag_parse(struct span message, struct subflow_told *out) MUST_CHECK;

#endif
