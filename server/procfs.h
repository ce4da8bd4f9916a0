/* SPDX-License-Identifier: MIT */
/* procfs - what the kernel tells of this process and of MPTCP in this network namespace, from /proc. Any thread. No uv.h.
 * Every figure that cannot be read is 0 (or its member is missing): an old kernel or a sandbox is no failure. */
#ifndef SERVER_PROCFS_H
#define SERVER_PROCFS_H
#include "base/check.h"
#include <jansson.h>
#include <stdint.h>

struct procfs_process {
    uint64_t open_fds, max_fds, resident_bytes;
    double cpu_seconds;
};
void procfs_process(struct procfs_process *out);

/* Counters of the network namespace, since it exists; which of the kernel's they are: docs/stats.md, "Kernel counters". */
struct procfs_mptcp {
    uint64_t joins, joins_rejected, joins_no_token, add_addr_sent, retransmits;
    uint64_t listen_overflows; /* TcpExt: all listening sockets together */
};
void procfs_mptcp(struct procfs_mptcp *out);
/* The same from the text of /proc/net/netstat: pairs of lines, names then values. Tolerates anything. */
void procfs_mptcp_parse(const char *text, struct procfs_mptcp *out);

/* net.mptcp.*: numbers as numbers, names as strings. New reference; NULL: out of memory. */
json_t *procfs_mptcp_sysctls(void);

#endif
