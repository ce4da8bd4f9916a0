/* SPDX-License-Identifier: MIT */
/* policy_conf - the configuration's list of policies, and whether this system grants them. No
 * uv.h. */
#ifndef SERVER_POLICY_CONF_H
#define SERVER_POLICY_CONF_H
#include "policy.h"

/* For the table in options_keys.c: conf_key.parse, .clear and .dump of a struct policy_list. */
bool policy_parse(struct conf_parse *p, const json_t *value, void *field);
void policy_clear(void *field);
json_t *policy_dump(const void *field);
const struct conf_key *policy_keys(void); /* of one entry; for the reference */

/* Asks the kernel for each congestion control and each mark, on sockets of its own, with the
 * privileges this thread has now. False with *err filled: `name` is the file's, `text` its
 * contents. */
bool policy_check(const struct policy_list *all, const char *name, const char *text,
                  struct conf_error *err) MUST_CHECK;

/* A congestion control that net.ipv4.tcp_allowed_congestion_control does not grant everybody.
 */
bool policy_needs_net_admin(const struct policy_list *all);
/* SO_MARK: CAP_NET_ADMIN or, since Linux 5.17, CAP_NET_RAW. */
bool policy_needs_mark(const struct policy_list *all);

#endif
