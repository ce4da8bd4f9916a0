/* SPDX-License-Identifier: MIT */
/* cli_config - where the launcher's settings come from: command line over environment over file
 * over default. The file is mpconvert.json(5): the first there is of --config,
 * $XDG_CONFIG_HOME/mpconvert/mpconvert.json (or ~/.config/...), /etc/mpconvert/mpconvert.json.
 * Its keys are the settings in small letters, and "mode".
 *
 * Failure: *err says which file and key (with the line), variable or option, and why. A file
 * with a password or a cookie must not be open to others. */
#ifndef CLIENT_CLI_CONFIG_H
#define CLIENT_CLI_CONFIG_H
#include "cli.h"
#include "settings.h"
#include <stdbool.h>

typedef const char *cli_config_get_fn(const char *name); /* getenv() or a test's */

/* What is used: --config, or the first file of the others that exists. False: none of them. */
bool cli_config_path(const struct cli *c, cli_config_get_fn *get, char *out, size_t cap);

/* One file into *s and, where it has the key, *mode; no check across settings. */
bool cli_config_load(const char *path, struct settings *s, enum cli_mode *mode,
                     struct settings_error *err);

/* All of it: *s is checked, relative paths are made absolute, *mode is never UNSET. A probe
 * asks in every dialect: for it nothing is a contradiction, as long as a concentrator is named.
 */
bool cli_config_resolve(const struct cli *c, cli_config_get_fn *get, struct settings *s,
                        enum cli_mode *mode, struct settings_error *err);

#endif
