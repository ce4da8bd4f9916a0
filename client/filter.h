/* SPDX-License-Identifier: MIT */
/* filter - the seccomp program: which system calls of a supervised program become
 * notifications. connect; sendto, sendmsg and sendmmsg with MSG_FASTOPEN; getpeername;
 * socketcall where the ABI has it; io_uring_setup is ENOSYS, so that programs fall back. In
 * every ABI of the machine (x86-64, x32 and i386; aarch64 and arm). Calls that carry
 * SYS_CLAIMED pass. */
#ifndef CLIENT_FILTER_H
#define CLIENT_FILTER_H
#include <linux/filter.h>
#include <stddef.h>

enum { FILTER_MAX = 128 };
size_t filter_build(struct sock_filter out[FILTER_MAX]); /* instructions */
/* For this process and all it becomes. NO_NEW_PRIVS only when the privilege is missing.
 * WAIT_KILLABLE_RECV where the kernel has it (6.0). The listener's fd (close-on-exec), or
 * -errno. */
int filter_install(void);

#endif
