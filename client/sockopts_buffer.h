/* SPDX-License-Identifier: MIT */
/* sockopts_buffer - a receive buffer of our choice (trap T2). Behind sockopts.h only. No
 * allocation, no errno; any thread. */
#ifndef CLIENT_SOCKOPTS_BUFFER_H
#define CLIENT_SOCKOPTS_BUFFER_H
#include <stdint.h>

/* At least `octets`, never smaller than it was, or nothing: where net.core.rmem_max would cut
 * it and there is no CAP_NET_ADMIN, the kernel's own sizing is left alone. 0: nothing. */
void sockopts_buffer_raise(int fd, uint32_t octets);

#endif
