/* SPDX-License-Identifier: MIT */
/* acl_fixture - rules as the configuration has them, for tests that read them from a text. */
#ifndef SUPPORT_ACL_FIXTURE_H
#define SUPPORT_ACL_FIXTURE_H
#include "acl.h"

struct holder {
    struct acl_rules rules;
};
static const struct conf_key keys[] = {
    {.path = "rules",
     .type = CONF_CUSTOM,
     .fallback = "[]",
     .parse = acl_parse_rules,
     .clear = acl_clear_rules,
     .dump = acl_dump_rules},
    {.path = NULL},
};

#endif
