/* SPDX-License-Identifier: MIT */
/* filter - the seccomp program: which system calls of a supervised program become
 * notifications. connect; sendto, sendmsg and sendmmsg with MSG_FASTOPEN; getpeername;
 * socketcall where the ABI has it; io_uring_setup is ENOSYS, so that programs fall back. In
 * every ABI of the machine (x86-64, x32 and i386; aarch64 and arm). Calls that carry
 * SYS_CLAIMED pass. */
#ifndef CLIENT_FILTER_H
#define CLIENT_FILTER_H
#include <linux/filter.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

enum { FILTER_MAX = 128 };
size_t filter_build(struct sock_filter out[FILTER_MAX]); /* instructions */
/* For this process and all it becomes. NO_NEW_PRIVS only when the privilege is missing.
 * WAIT_KILLABLE_RECV where the kernel has it (6.0). The listener's fd (close-on-exec), or
 * -errno. */
int filter_install(void);

/* What a notification is about; for socketcall the call it carries. */
enum filter_call {
    FILTER_NONE, /* a call the filter does not hand over */
    FILTER_CONNECT,
    FILTER_GETPEERNAME,
    FILTER_SENDTO,
    FILTER_SENDMSG,
    FILTER_SENDMMSG,
    FILTER_SOCKETCALL,
};
/* `arch`, `nr` as in struct seccomp_data. *narrow: pointers and sizes in the caller's memory
 * are 32 bits wide; untouched for NONE. */
enum filter_call filter_call(uint32_t arch, int nr, bool *narrow);
/* The first argument of socketcall(2), SYS_CONNECT and its kin. */
enum filter_call filter_socketcall(uint64_t which);

#endif
