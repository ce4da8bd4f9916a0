/* SPDX-License-Identifier: MIT */
/* runfile - the file that the programs of one run map (shared.h): in
 * $XDG_RUNTIME_DIR/mpconvert, or /tmp/mpconvert-UID. It is locked as long as somebody looks
 * after it; what a killed launcher left behind is removed by the next one. */
#ifndef CLIENT_RUNFILE_H
#define CLIENT_RUNFILE_H
#include "settings.h"

struct runfile {
    char path[SETTINGS_NAMES_MAX];
    int fd; /* holds the lock; close-on-exec; forked children may keep it */
};

/* `runtime_dir`: $XDG_RUNTIME_DIR; NULL, relative or unusable: /tmp. The directory is made
 * (0700); one that is not ours alone is an error. */
bool runfile_create(struct runfile *out, const char *runtime_dir, struct settings_error *err);
void runfile_remove(struct runfile *f); /* idempotent */

#endif
