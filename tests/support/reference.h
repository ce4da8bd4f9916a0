/* SPDX-License-Identifier: MIT */
/* reference - the tables of docs/operations.md, made from the tables of keys. The test of
 * options compares them with the document, and prints them for it: options_test --reference. */
#ifndef SUPPORT_REFERENCE_H
#define SUPPORT_REFERENCE_H
#include "base/conffile.h"
#include <stdio.h>

/* `prefix` stands before each key. `reload`: with a column that tells whether the key can be
 * reloaded. */
void reference_print(FILE *to, const struct conf_key *keys, const char *prefix, bool reload);

#endif
