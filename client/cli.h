/* SPDX-License-Identifier: MIT */
/* cli - the command line of mpconvert, as a value. Every setting (settings.h) but the secret
 * ones is an option of the same name: MPCONVERT_CONNECT_SECONDS is --connect-seconds. Options
 * end at the program's name or at "--". Reads nothing but argv; the strings stay argv's. One
 * thread (getopt). */
#ifndef CLIENT_CLI_H
#define CLIENT_CLI_H
#include "settings.h"
#include <stdbool.h>
#include <stddef.h>
#include <stdio.h>

/* Exit statuses as env(1) has them: something is wrong with mpconvert's own command line or
 * settings, the program cannot be run, there is no such program. */
enum { CLI_EXIT_OURS = 125, CLI_EXIT_CANNOT = 126, CLI_EXIT_NONE = 127 };

enum cli_command { CLI_RUN, CLI_PROBE, CLI_DOCTOR, CLI_CTL, CLI_HELP, CLI_VERSION };
enum cli_mode {
    CLI_MODE_UNSET, /* the file's or, failing that, auto */
    CLI_AUTO,       /* both; preload alone where seccomp is not to be had */
    CLI_PRELOAD,
    CLI_SECCOMP,
};
enum { CLI_SETTINGS_MAX = 64 };

struct cli_setting {
    const char *name;   /* as in the environment */
    const char *option; /* without dashes, for messages; settings_* tables' or cli's own */
    const char *value;
};
struct cli {
    enum cli_command command;
    enum cli_mode mode;
    bool stats, json;
    const char *config, *password_file, *cookie_file; /* NULL: not given */
    const char *target;                               /* PROBE */
    struct cli_setting setting[CLI_SETTINGS_MAX];     /* in the order given */
    unsigned settings;
    char *const *rest; /* RUN: the program's argv; PROBE: concentrators; DOCTOR, CTL: options, not
                          looked at; NULL-terminated */
    char names[CLI_SETTINGS_MAX][32]; /* private: what `option` points to */
};

/* False: *err names the option, *out is of no use. An option given twice: the last one counts;
 * two different modes, or --proxy beside addresses of a probe, contradict each other. */
bool cli_parse(struct cli *out, int argc, char **argv, struct settings_error *err);

bool cli_mode_from(const char *text, enum cli_mode *out); /* "auto", "preload", "seccomp" */
/* "MPCONVERT_ON_FAILURE" with separator '-' is "on-failure"; NULL when it does not fit. */
const char *cli_option_name(const char *setting, char separator, char out[32]);
void cli_help(FILE *to);

#endif
