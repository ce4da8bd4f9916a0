/* SPDX-License-Identifier: MIT */
/* Happy path: the first word is the command, the options of that command follow, the rest is
 * the program's or the probe's. Failure path: one message that names the option; nothing is
 * printed here but the help. */
#include "cli.h"
#include <ctype.h>
#include <getopt.h>
#include <stdarg.h>
#include <string.h>

enum {
    OPTION_AUTO = 1,
    OPTION_PRELOAD,
    OPTION_SECCOMP,
    OPTION_CONFIG,
    OPTION_PASSWORD_FILE,
    OPTION_COOKIE_FILE,
    OPTION_STATS,
    OPTION_TARGET,
    OPTION_JSON,
    OPTION_HELP,
    OPTION_PASSWORD, /* these two are there to be refused */
    OPTION_COOKIE,
    OPTION_SETTING, /* and one for each setting from here */
    OWN_OPTIONS = OPTION_SETTING - 1,
    OPTIONS_MAX = CLI_SETTINGS_MAX + OWN_OPTIONS + 1,
};

static const char prefix[] = "MPCONVERT_";

static bool fail(struct settings_error *err, const char *format, ...)
    __attribute__((format(printf, 2, 3)));
static bool fail(struct settings_error *err, const char *format, ...)
{
    va_list args;

    va_start(args, format);
    (void)vsnprintf(err->text, sizeof err->text, format, args); /* cut, if anything */
    va_end(args);
    return false;
}

const char *cli_option_name(const char *setting, char separator, char out[32])
{
    size_t n = 0;

    if (strncmp(setting, prefix, sizeof prefix - 1) != 0)
        return NULL;
    for (const char *c = setting + sizeof prefix - 1; *c != '\0'; c++) {
        if (n == 31)
            return NULL;
        out[n++] = (char)(*c == '_' ? separator : tolower((unsigned char)*c));
    }
    out[n] = '\0';
    return out;
}

bool cli_mode_from(const char *text, enum cli_mode *out)
{
    if (strcmp(text, "auto") == 0)
        *out = CLI_AUTO;
    else if (strcmp(text, "preload") == 0)
        *out = CLI_PRELOAD;
    else if (strcmp(text, "seccomp") == 0)
        *out = CLI_SECCOMP;
    else
        return false;
    return true;
}

/* Switches may stand alone. */
static bool is_switch(const char *setting)
{
    static const char *const switches[] = {"MPCONVERT_BYPASS_LOCAL", "MPCONVERT_MPTCP",
                                           "MPCONVERT_REMOTE_DNS"};

    for (size_t i = 0; i < sizeof switches / sizeof switches[0]; i++)
        if (strcmp(setting, switches[i]) == 0)
            return true;
    return false;
}

/* Secrets do not belong on a command line, which everybody can read; the run file is ours. */
static bool has_option(unsigned setting)
{
    return !settings_secret(setting) && strcmp(settings_name(setting), "MPCONVERT_RUN") != 0;
}

static void add(struct option *options, size_t *n, const char *name, int argument, int value)
{
    options[(*n)++] = (struct option){.name = name, .has_arg = argument, .val = value};
}

static void list_options(struct cli *c, struct option options[OPTIONS_MAX])
{
    size_t n = 0;

    if (c->command == CLI_RUN) {
        add(options, &n, "auto", no_argument, OPTION_AUTO);
        add(options, &n, "preload", no_argument, OPTION_PRELOAD);
        add(options, &n, "seccomp", no_argument, OPTION_SECCOMP);
        add(options, &n, "stats", no_argument, OPTION_STATS);
    } else {
        add(options, &n, "target", required_argument, OPTION_TARGET);
        add(options, &n, "json", no_argument, OPTION_JSON);
    }
    add(options, &n, "config", required_argument, OPTION_CONFIG);
    add(options, &n, "password-file", required_argument, OPTION_PASSWORD_FILE);
    add(options, &n, "cookie-file", required_argument, OPTION_COOKIE_FILE);
    add(options, &n, "help", no_argument, OPTION_HELP);
    add(options, &n, "password", optional_argument, OPTION_PASSWORD);
    add(options, &n, "cookie", optional_argument, OPTION_COOKIE);
    for (unsigned i = 0; i < settings_count() && i < CLI_SETTINGS_MAX; i++) {
        if (!has_option(i) || cli_option_name(settings_name(i), '-', c->names[i]) == NULL)
            continue;
        add(options, &n, c->names[i],
            is_switch(settings_name(i)) ? optional_argument : required_argument,
            OPTION_SETTING + (int)i);
    }
    options[n] = (struct option){.name = NULL};
}

static bool set_mode(struct cli *c, enum cli_mode mode, struct settings_error *err)
{
    if (c->mode != CLI_MODE_UNSET && c->mode != mode)
        return fail(err, "--auto, --preload and --seccomp: only one of them can be");
    c->mode = mode;
    return true;
}

static bool set_setting(struct cli *c, unsigned i, const char *value,
                        struct settings_error *err)
{
    if (c->settings == CLI_SETTINGS_MAX)
        return fail(err, "--%s: too many options", c->names[i]);
    c->setting[c->settings++] = (struct cli_setting){
        .name = settings_name(i), .option = c->names[i], .value = value != NULL ? value : "1"};
    return true;
}

static bool take(struct cli *c, int option, const char *value, struct settings_error *err)
{
    switch (option) {
    case OPTION_AUTO:
        return set_mode(c, CLI_AUTO, err);
    case OPTION_PRELOAD:
        return set_mode(c, CLI_PRELOAD, err);
    case OPTION_SECCOMP:
        return set_mode(c, CLI_SECCOMP, err);
    case OPTION_CONFIG:
        c->config = value;
        return true;
    case OPTION_PASSWORD_FILE:
        c->password_file = value;
        return true;
    case OPTION_COOKIE_FILE:
        c->cookie_file = value;
        return true;
    case OPTION_STATS:
        c->stats = true;
        return true;
    case OPTION_TARGET:
        c->target = value;
        return true;
    case OPTION_JSON:
        c->json = true;
        return true;
    case OPTION_HELP:
        c->command = CLI_HELP;
        return true;
    case OPTION_PASSWORD:
        return fail(err, "--password: everybody could read it there: --password-file");
    case OPTION_COOKIE:
        return fail(err, "--cookie: everybody could read it there: --cookie-file");
    default:
        return set_setting(c, (unsigned)(option - OPTION_SETTING), value, err);
    }
}

/* What getopt did not like: `word` is where it was, `option` a single letter or 0. */
static bool dislike(int verdict, int option, const char *word, struct settings_error *err)
{
    if (verdict == ':')
        return fail(err, "%s: needs a value", word);
    if (option > 0 && option < OPTION_SETTING)
        return fail(err, "%s: takes no value", word);
    if (option != 0)
        return fail(err, "-%c: no such option; try mpconvert --help", option);
    return fail(err, "%s: no such option, or short for several; try mpconvert --help", word);
}

static bool has_setting(const struct cli *c, const char *name)
{
    for (unsigned i = 0; i < c->settings; i++)
        if (strcmp(c->setting[i].name, name) == 0)
            return true;
    return false;
}

static bool parse_command(struct cli *c, int argc, char **argv, struct settings_error *err)
{
    struct option options[OPTIONS_MAX];
    /* A program's options are its own: parsing stops at its name. A probe's may be mixed. */
    const char *letters = c->command == CLI_RUN ? "+:h" : ":h";

    list_options(c, options);
    optind = 0; /* anew */
    opterr = 0;
    for (int opt; (opt = getopt_long(argc, argv, letters, options, NULL)) != -1;) {
        if (opt == '?' || opt == ':')
            return dislike(opt, optopt, argv[optind - 1], err);
        if (!take(c, opt == 'h' ? OPTION_HELP : opt, optarg, err))
            return false;
        if (c->command == CLI_HELP)
            return true;
    }
    c->rest = argv + optind;
    if (c->command == CLI_RUN && c->rest[0] == NULL)
        return fail(err, "run: no program given; try mpconvert --help");
    if (c->command == CLI_PROBE && c->rest[0] != NULL && has_setting(c, "MPCONVERT_PROXY"))
        return fail(err, "--proxy: contradicts the concentrators that follow the options");
    return true;
}

bool cli_parse(struct cli *out, int argc, char **argv, struct settings_error *err)
{
    const char *word = argc > 1 ? argv[1] : "";

    memset(out, 0, sizeof *out);
    if (strcmp(word, "run") == 0)
        out->command = CLI_RUN;
    else if (strcmp(word, "probe") == 0)
        out->command = CLI_PROBE;
    else if (strcmp(word, "doctor") == 0)
        out->command = CLI_DOCTOR;
    else if (strcmp(word, "ctl") == 0)
        out->command = CLI_CTL;
    else if (strcmp(word, "--help") == 0 || strcmp(word, "-h") == 0)
        out->command = CLI_HELP;
    else if (strcmp(word, "--version") == 0)
        out->command = CLI_VERSION;
    else if (word[0] == '\0')
        return fail(err, "no command given; try mpconvert --help");
    else
        return fail(err, "%s: no such command or option; try mpconvert --help", word);
    if (out->command == CLI_DOCTOR || out->command == CLI_CTL) {
        out->rest = argv + 2;
        return true;
    }
    if (out->command != CLI_RUN && out->command != CLI_PROBE)
        return argc == 2 || fail(err, "%s: stands alone", word);
    return parse_command(out, argc - 1, argv + 1, err);
}

void cli_help(FILE *to)
{
    char name[32];

    (void)fputs(
        "usage: mpconvert run [OPTION]... [--] PROGRAM [ARGUMENT]...\n"
        "       mpconvert probe [OPTION]... [ADDRESS]...\n"
        "       mpconvert doctor [-c FILE] [--json]\n"
        "       mpconvert ctl [--socket PATH] [--json] COMMAND...\n"
        "       mpconvert --version | --help\n"
        "run: makes the TCP connections of PROGRAM go over Multipath TCP to a concentrator\n"
        "  --auto                   both of the following (the default)\n"
        "  --preload                by a preloaded library: programs that are linked "
        "dynamically\n"
        "  --seccomp                by watching system calls: static programs, Go\n"
        "  --stats                  print counters at the end, on standard error\n"
        "probe: asks concentrators what they can do from here\n"
        "  --target HOST:PORT       have them connect there, too\n"
        "  --json                   print JSON\n"
        "doctor: checks whether this machine is fit for a concentrator (mpconvertd --doctor)\n"
        "ctl: asks and changes a running mpconvertd; ctl --help lists the commands\n"
        "run and probe, each over the environment, that over the file, that over the default:\n"
        "  --config FILE            mpconvert.json(5)\n"
        "  --password-file FILE     the password for --user\n"
        "  --cookie-file FILE       the Convert cookie, in hexadecimal\n",
        to); /* a closed output is no reason to fail */
    for (unsigned i = 0; i < settings_count(); i++)
        if (has_option(i) && cli_option_name(settings_name(i), '-', name) != NULL)
            (void)fprintf(to, "  --%-22s %s\n", name, settings_help(i));
}
