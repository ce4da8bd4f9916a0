/* SPDX-License-Identifier: MIT */
/* main - which command, and how it ends; nothing else. See mpconvert(1). */
#include "cli.h"
#include "cli_config.h"
#include "cli_daemon.h"
#include "keeper.h"
#include "probe.h"
#include "run.h"
#include <stdlib.h>

static const char *from_environment(const char *name)
{
    return getenv(name);
}

static int complain(const struct settings_error *err)
{
    (void)fprintf(stderr, "mpconvert: %s\n", err->text);
    return CLI_EXIT_OURS;
}

int main(int argc, char **argv)
{
    struct settings_error err = {.text = ""};
    struct settings settings;
    enum cli_mode mode;
    struct cli cli;

    if (!cli_parse(&cli, argc, argv, &err))
        return complain(&err);
    if (cli.command == CLI_HELP) {
        cli_help(stdout);
        return fflush(stdout) == 0 ? 0 : CLI_EXIT_OURS;
    }
    if (cli.command == CLI_VERSION)
        return printf("mpconvert %s\n", MPCONVERT_VERSION) > 0 && fflush(stdout) == 0
                   ? 0
                   : CLI_EXIT_OURS;
    if (cli.command == CLI_DOCTOR)
        return cli_daemon("--doctor", cli.rest);
    if (cli.command == CLI_CTL)
        return cli_daemon("--ctl", cli.rest);
    if (!cli_config_resolve(&cli, from_environment, &settings, &mode, &err))
        return complain(&err);
    if (cli.command == CLI_PROBE)
        return probe_command(&cli, &settings);
    keeper_exit(run_program(&cli, &settings, mode));
}
