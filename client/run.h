/* SPDX-License-Identifier: MIT */
/* run - `mpconvert run`: makes the run file, hands the settings on as environment, preloads the
 * library, has the program run by a keeper (keeper.h), and ends as the program ended. */
#ifndef CLIENT_RUN_H
#define CLIENT_RUN_H
#include "cli.h"
#include "settings.h"

/* Where the libraries are: beside this program, as in a build; ../lib/mpconvert from there;
 * where they were to be installed. False: nowhere. */
bool run_find_library(const char *file, char *out, size_t cap);
/* `ours` first, then what was there (NULL: nothing), as LD_PRELOAD wants it. False: no room, or
 * a space or a colon in one of `ours`, which would part it there. */
bool run_preload_list(const char *const *ours, size_t count, const char *before, char *out,
                      size_t cap);
/* Into this process's environment: every setting that is not at its default; the others are
 * taken out of it. */
bool run_export(const struct settings *s, struct settings_error *err);

/* The program's wait status; 125, 126 or 127 as exit status when it did not run, which was said
 * on standard error. Takes over the process as keeper_run() does. */
int run_program(const struct cli *c, const struct settings *s, enum cli_mode mode);

#endif
