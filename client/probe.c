/* SPDX-License-Identifier: MIT */
#include "probe.h"
#include <stdio.h>

int probe_command(const struct cli *c, const struct settings *s)
{
    (void)c;
    (void)s;
    (void)fputs("mpconvert: probe: not in this version\n", stderr);
    return CLI_EXIT_OURS;
}
