/* SPDX-License-Identifier: MIT */
/* mapfile - memory that processes share through a file, or only with forked children. Raw
 * system calls, no errno, no descriptor kept, close-on-exec meanwhile.
 *
 * A file is mapped only when it is a regular one of this effective user that nobody else may
 * write, of exactly the size asked for; the last component of its path is never a symbolic
 * link. Its space is allocated beforehand: a full file system is an error here and no SIGBUS
 * later. New memory is zeroes, which must be a valid first state: a creator that dies half-way
 * leaves an empty file, and the next one goes on where it stopped. */
#ifndef CLIENT_MAPFILE_H
#define CLIENT_MAPFILE_H
#include <stddef.h>

enum mapfile_mode {
    MAPFILE_EXISTING, /* must be there, in full size */
    MAPFILE_ANY,      /* made when missing */
    MAPFILE_NEW,      /* must not be there */
};

/* 0 and *out, or -errno: -EPERM when it is not ours, -EINVAL for another size. */
int mapfile_open(const char *path, size_t size, enum mapfile_mode mode, void **out);
/* Shared with forked children. NULL: no memory. */
void *mapfile_anonymous(size_t size);

#endif
