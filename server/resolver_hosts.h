/* SPDX-License-Identifier: MIT */
/* resolver_hosts - /etc/hosts in memory (hosts(5)). The file is looked at no more than once a second and read again when it has
 * changed; a missing or unreadable file is an empty one. Owned by one resolver, its thread only. Time is the caller's.
 * Bounded: RESOLVER_HOSTS_BYTES_MAX octets of the file, what follows is ignored. */
#ifndef SERVER_RESOLVER_HOSTS_H
#define SERVER_RESOLVER_HOSTS_H
#include "resolver.h"

enum { RESOLVER_HOSTS_BYTES_MAX = 1 << 20 };

struct resolver_hosts;
/* Copies `path`. NULL: out of memory. */
struct resolver_hosts *resolver_hosts_new(const char *path) MUST_CHECK;
void resolver_hosts_free(struct resolver_hosts *h); /* NULL is fine */

/* True: the file knows the (lower-case) name; *out has its addresses of this family, or NAME_NOT_FOUND when it has only others:
 * an override for one family is not undone by asking the DNS for the other. */
bool resolver_hosts_find(struct resolver_hosts *h, const char *name, enum addr_family family, uint64_t now_ms,
                         struct resolver_answer *out);
/* The first name of an address, or NULL; valid until the next call. Never longer than RESOLVER_NAME_MAX. */
const char *resolver_hosts_name(struct resolver_hosts *h, const struct addr *a, uint64_t now_ms);

#endif
