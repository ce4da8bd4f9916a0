/* SPDX-License-Identifier: MIT */
/* confvalue - one value of each conf_type: from JSON, to JSON, freed. Part of conffile. */
#ifndef BASE_CONFVALUE_H
#define BASE_CONFVALUE_H
#include "base/conffile.h"

/* `field` is zeroed; on failure (reported) it may hold a part, for confvalue_clear(). */
bool confvalue_parse(struct conf_parse *p, const struct conf_key *key, const json_t *value,
                     void *field) MUST_CHECK;
void confvalue_clear(const struct conf_key *key, void *field); /* idempotent */
json_t *confvalue_dump(const struct conf_key *key,
                       const void *field); /* new reference; NULL: out of memory */

#endif
