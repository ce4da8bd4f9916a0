/* SPDX-License-Identifier: MIT */
/* egress_conf - the configuration's list of egress policies (egress.h). No uv.h. */
#ifndef SERVER_EGRESS_CONF_H
#define SERVER_EGRESS_CONF_H
#include "egress.h"

enum { EGRESS_POLICIES_MAX = 64 };

struct egress_list {
    struct egress_policy *item;
    size_t count;
};

/* What a listener that names none uses, if there is one; it may be named all the same. */
#define EGRESS_DEFAULT "default"

/* For the table in options_keys.c: conf_key.parse, .clear and .dump of a struct egress_list.
 * What was parsed is built. */
bool egress_parse(struct conf_parse *p, const json_t *value, void *field);
void egress_clear(void *field);
json_t *egress_dump(const void *field);

/* Of one entry, of one row of its map, and of its assigned; for the reference. */
const struct conf_key *egress_keys(void);
const struct conf_key *egress_row_keys(void);
const struct conf_key *egress_assignment_keys(void);

const struct egress_policy *egress_find(const struct egress_list *list, const char *name);

#endif
