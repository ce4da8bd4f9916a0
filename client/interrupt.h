/* SPDX-License-Identifier: MIT */
/* interrupt - a wait that signals interrupt as they do a blocking connect(): only a handler
 * without SA_RESTART does (connect(2), signal(7)). Installs no handler, changes none. No
 * allocation, no errno; any thread. */
#ifndef CLIENT_INTERRUPT_H
#define CLIENT_INTERRUPT_H
#include <poll.h>

/* As poll() of one descriptor for so long. 0: the time is up, or a handler ran that wants calls
 * restarted: look what time it is. -EINTR: another one ran. */
int interrupt_poll(struct pollfd *fd, int timeout_ms);

#endif
