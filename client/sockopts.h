/* SPDX-License-Identifier: MIT */
/* sockopts - carries a program's socket over to another one: every option that differs from a
 * new socket's, flags, owner, bound address and device, buffer sizes the program set. No
 * allocation, no errno; any thread. */
#ifndef CLIENT_SOCKOPTS_H
#define CLIENT_SOCKOPTS_H
#include <stdbool.h>
#include <stdint.h>

struct sockopts_report {
    unsigned copied;
    unsigned lost;             /* the new socket does not have them (MPTCP lacks some) */
    int lost_level, lost_name; /* the last of these */
    bool buffer_locked;        /* the program chose SO_RCVBUF itself */
};

/* A new, non-blocking, close-on-exec stream socket of `family`, as much like `model` as can be.
 * `mptcp`: MPTCP when the kernel has it (*is_mptcp tells). `receive_buffer`: octets to set
 * unless the program chose (trap T2) or the system does not allow so many; 0: none. The model's bound address is bound again where
 * the family allows it (it gets SO_REUSEADDR for that, in any case given back). Returns the fd
 * or -errno. */
int sockopts_socket_like(int model, int family, bool mptcp, uint32_t receive_buffer,
                         bool *is_mptcp, struct sockopts_report *r);
/* Options only, of two sockets that exist: what a program set on a placeholder meanwhile. */
void sockopts_copy(int from, int to, struct sockopts_report *r);
/* O_NONBLOCK, O_ASYNC, owner and signal: last, just before `to` takes the place of `from`. */
void sockopts_copy_flags(int from, int to);

/* setsockopt() of the program on a redirected socket failed with `error`: true when it is one
 * of the options that only tune and that MPTCP lacks, so that "lenient" may say 0. */
bool sockopts_benign(int level, int name, int error);

#endif
