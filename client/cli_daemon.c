/* SPDX-License-Identifier: MIT */
#include "cli_daemon.h"
#include "cli.h"
#include <errno.h>
#include <limits.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

static char daemon_name[] = "mpconvertd";

/* "" when it cannot be told. */
static void own_folder(char out[PATH_MAX])
{
    ssize_t n = readlink("/proc/self/exe", out, PATH_MAX - 1);

    out[n > 0 ? n : 0] = '\0';
    char *slash = strrchr(out, '/');
    if (slash != NULL)
        *slash = '\0';
}

/* Returns when it is not there. */
static void try_place(const char *folder, const char *place, char *const *argv)
{
    char path[PATH_MAX + 32];

    (void)snprintf(path, sizeof path, "%s/%s%s", folder, place, daemon_name);
    (void)execv(path, argv); /* errno tells */
}

int cli_daemon(const char *what, char *const *options)
{
    static const char *const places[] = {"", "../sbin/",
                                         "../server/"}; /* the last: a build tree */
    char folder[PATH_MAX];
    size_t count = 0;

    while (options[count] != NULL)
        count++;
    char **argv = calloc(count + 3, sizeof *argv);
    if (argv == NULL) {
        (void)fprintf(stderr, "mpconvert: out of memory\n");
        return CLI_EXIT_OURS;
    }
    argv[0] = daemon_name;
    memcpy(&argv[1], &what, sizeof what); /* exec only reads */
    memcpy(argv + 2, options, count * sizeof *argv);
    own_folder(folder);
    errno = ENOENT;
    if (folder[0] != '\0') {
        for (size_t i = 0;
             i < sizeof places / sizeof *places && (errno == ENOENT || errno == ENOTDIR); i++)
            try_place(folder, places[i], argv);
    }
    if (errno == ENOENT || errno == ENOTDIR)
        (void)execvp(daemon_name, argv);
    int error = errno;
    free(argv);
    (void)fprintf(stderr, "mpconvert: cannot run %s: %s\n", daemon_name, strerror(error));
    return error == ENOENT ? CLI_EXIT_NONE : CLI_EXIT_CANNOT;
}
