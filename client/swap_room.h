/* SPDX-License-Identifier: MIT */
/* swap_room - descriptors for a moment where RLIMIT_NOFILE leaves none: the soft limit is
 * raised to the hard one meanwhile, and then as it was, unless another thread changed it. It
 * counts for the whole process, so only when the call has failed without. No errno; any thread.
 */
#ifndef CLIENT_SWAP_ROOM_H
#define CLIENT_SWAP_ROOM_H
#include <stdint.h>

int swap_room_dup(int fd); /* close-on-exec, or -errno */
/* As install_at(). The kernel gives no number at or above the soft limit to anybody, open or
 * not: where the hard limit is as low, -EMFILE. */
int swap_room_install(int fd, uint64_t cookie, int with, int *old);

#endif
