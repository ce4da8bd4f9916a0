/* SPDX-License-Identifier: MIT */
/* room - descriptors of ours where RLIMIT_NOFILE leaves none: the kernel's own connect() needs
 * no further one, so a program at its limit expects it to go well. The soft limit is raised to
 * the hard one for a system call, and then is as it was, unless another thread changed it. It
 * counts for the whole process (a fork() in that moment would inherit it), so only when the
 * call has failed without. No errno; any thread. */
#ifndef CLIENT_ROOM_H
#define CLIENT_ROOM_H
#include <stdbool.h>
#include <stdint.h>

struct room {
    uint64_t soft, hard; /* private */
};

bool room_widen(struct room *was); /* false: there is no more */
void room_narrow(const struct room *was);

int room_socket(int family); /* TCP, non-blocking, close-on-exec; or -errno */
int room_dup(int fd);        /* close-on-exec, or -errno */
/* As install_at(). The kernel gives no number at or above the soft limit to anybody, open or
 * not: where the hard limit is as low, -EMFILE. */
int room_install(int fd, uint64_t cookie, int with, int *old);

#endif
