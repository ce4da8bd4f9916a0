/* SPDX-License-Identifier: MIT */
/* dns_local - which names are for this host's own resolver although names are resolved by the
 * concentrator. Looks; asks nobody. No allocation, no errno but uname()'s; any thread. */
#ifndef CLIENT_DNS_LOCAL_H
#define CLIENT_DNS_LOCAL_H
#include <stdbool.h>

/* True for
 *  - "localhost" and below it (RFC 6761 s6.3);
 *  - this host's own name;
 *  - names that are or end in one of `suffixes` ("lan, example.net"; a leading dot is the
 * same);
 *  - names in the first 64 KiB of /etc/hosts. It is read for each lookup: a few microseconds
 *    beside a connect(), and never out of date. Larger files are lists of blocked names.
 * Without regard to case or a trailing dot of the name. */
bool dns_local(const char *name, const char *suffixes);

#endif
