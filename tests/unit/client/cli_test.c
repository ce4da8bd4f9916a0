/* SPDX-License-Identifier: MIT */
#include "cli.h"
#include "runner.h"
#include <string.h>

enum { WORDS_MAX = 80 };

/* argv[0] and NULL are added. */
static bool parse(struct cli *c, struct settings_error *err, char *const *words)
{
    static char program[] = "mpconvert";
    static char *argv[WORDS_MAX + 2];
    int argc = 1;

    argv[0] = program;
    for (; words[argc - 1] != NULL; argc++) {
        ck_assert_int_lt(argc, WORDS_MAX);
        argv[argc] = words[argc - 1];
    }
    argv[argc] = NULL;
    *err = (struct settings_error){.text = ""};
    return cli_parse(c, argc, argv, err);
}

#define PARSE(c, err, ...) parse((c), (err), (char *[]){__VA_ARGS__, NULL})

static struct cli good(char *const *words)
{
    struct settings_error err;
    struct cli c;

    ck_assert_msg(parse(&c, &err, words), "%s", err.text);
    return c;
}
#define GOOD(...) good((char *[]){__VA_ARGS__, NULL})

static void assert_bad(const char *named, char *const *words)
{
    struct settings_error err;
    struct cli c;

    ck_assert(!parse(&c, &err, words));
    ck_assert_msg(strstr(err.text, named) != NULL, "'%s' does not name %s", err.text, named);
}
#define BAD(named, ...) assert_bad(named, (char *[]){__VA_ARGS__, NULL})

START_TEST(the_first_word_is_the_command)
{
    ck_assert_int_eq(GOOD("run", "true").command, CLI_RUN);
    ck_assert_int_eq(GOOD("probe").command, CLI_PROBE);
    ck_assert_int_eq(GOOD("doctor").command, CLI_DOCTOR);
    ck_assert_int_eq(GOOD("--help").command, CLI_HELP);
    ck_assert_int_eq(GOOD("-h").command, CLI_HELP);
    ck_assert_int_eq(GOOD("--version").command, CLI_VERSION);
    ck_assert_int_eq(GOOD("run", "--help").command, CLI_HELP);
    ck_assert_int_eq(GOOD("probe", "-h").command, CLI_HELP);
}
END_TEST

START_TEST(the_doctors_options_are_the_daemons)
{
    struct cli c = GOOD("doctor", "--json", "--bogus", "-c", "x");

    ck_assert_str_eq(c.rest[0], "--json");
    ck_assert_str_eq(c.rest[3], "x");
    ck_assert_ptr_null(c.rest[4]);
    ck_assert_ptr_null(GOOD("doctor").rest[0]);
}
END_TEST

START_TEST(an_unknown_command_or_option_is_named)
{
    BAD("walk", "walk");
    BAD("--bogus", "--bogus");
    BAD("--bogus", "run", "--bogus", "true");
    BAD("--bogus", "run", "--stats", "--bogus=3", "true");
    BAD("-x", "run", "-x", "true");
    BAD("--json", "run", "--json", "true");
    BAD("--stats", "probe", "--stats");
    BAD("--version", "--version", "true");
    BAD("no command", "");
}
END_TEST

START_TEST(a_missing_value_is_named)
{
    BAD("--tfo", "run", "--tfo");
    BAD("--config", "run", "--config");
    BAD("--target", "probe", "--target");
}
END_TEST

START_TEST(a_value_too_many_is_named)
{
    BAD("--stats=yes", "run", "--stats=yes", "true");
}
END_TEST

START_TEST(run_needs_a_program)
{
    BAD("program", "run");
    BAD("program", "run", "--preload");
    BAD("program", "run", "--");
}
END_TEST

START_TEST(a_programs_options_are_its_own)
{
    struct cli c = GOOD("run", "--preload", "ls", "--stats", "--bogus");

    ck_assert(!c.stats);
    ck_assert_str_eq(c.rest[0], "ls");
    ck_assert_str_eq(c.rest[1], "--stats");
    ck_assert_str_eq(c.rest[2], "--bogus");
    ck_assert_ptr_null(c.rest[3]);
    c = GOOD("run", "--", "--preload");
    ck_assert_str_eq(c.rest[0], "--preload");
    ck_assert_int_eq(c.mode, CLI_MODE_UNSET);
}
END_TEST

START_TEST(a_probes_options_may_follow_its_addresses)
{
    struct cli c = GOOD("probe", "192.0.2.1:1", "--json", "192.0.2.2:2");

    ck_assert(c.json);
    ck_assert_str_eq(c.rest[0], "192.0.2.1:1");
    ck_assert_str_eq(c.rest[1], "192.0.2.2:2");
    ck_assert_ptr_null(c.rest[2]);
}
END_TEST

START_TEST(two_modes_contradict_each_other)
{
    ck_assert_int_eq(GOOD("run", "--auto", "true").mode, CLI_AUTO);
    ck_assert_int_eq(GOOD("run", "--preload", "true").mode, CLI_PRELOAD);
    ck_assert_int_eq(GOOD("run", "--seccomp", "true").mode, CLI_SECCOMP);
    ck_assert_int_eq(GOOD("run", "--seccomp", "--seccomp", "true").mode, CLI_SECCOMP);
    BAD("--preload", "run", "--preload", "--seccomp", "true");
    BAD("--auto", "run", "--auto", "--seccomp", "true");
}
END_TEST

START_TEST(a_proxy_beside_a_probes_addresses_contradicts)
{
    BAD("--proxy", "probe", "--proxy", "192.0.2.1:1", "192.0.2.2:2");
    ck_assert_uint_eq(GOOD("probe", "--proxy", "192.0.2.1:1").settings, 1);
}
END_TEST

START_TEST(every_setting_but_secrets_and_the_run_file_is_an_option)
{
    for (unsigned i = 0; i < settings_count(); i++) {
        const char *name = settings_name(i);
        char option[64] = "--", value[] = "1", run[] = "run", program[] = "true";
        struct settings_error err;
        struct cli c;
        bool own = settings_secret(i) || strcmp(name, "MPCONVERT_RUN") == 0;

        ck_assert_ptr_nonnull(cli_option_name(name, '-', option + 2));
        if (strlen(option) + 3 < sizeof option) /* --name=1 works for switches as well */
            (void)snprintf(option + strlen(option), 3, "=1");
        if (own) {
            ck_assert_msg(!PARSE(&c, &err, run, option, program), "%s", option);
            continue;
        }
        ck_assert_msg(PARSE(&c, &err, run, option, program), "%s: %s", option, err.text);
        ck_assert_uint_eq(c.settings, 1);
        ck_assert_str_eq(c.setting[0].name, name);
        ck_assert_str_eq(c.setting[0].value, value);
        ck_assert_int_eq(strncmp(c.setting[0].option, option + 2, strlen(c.setting[0].option)),
                         0);
    }
}
END_TEST

START_TEST(secrets_do_not_belong_on_a_command_line)
{
    BAD("--password-file", "run", "--password", "x", "true");
    BAD("--password-file", "run", "--password=x", "true");
    BAD("--cookie-file", "run", "--cookie", "00", "true");
    BAD("--passw", "run", "--passw", "x", "true"); /* short for two */
}
END_TEST

START_TEST(a_switch_may_stand_alone)
{
    struct cli c = GOOD("run", "--remote-dns", "--mptcp=0", "--bypass-local", "true");

    ck_assert_uint_eq(c.settings, 3);
    ck_assert_str_eq(c.setting[0].name, "MPCONVERT_REMOTE_DNS");
    ck_assert_str_eq(c.setting[0].value, "1");
    ck_assert_str_eq(c.setting[1].name, "MPCONVERT_MPTCP");
    ck_assert_str_eq(c.setting[1].value, "0");
    ck_assert_str_eq(c.setting[2].value, "1");
}
END_TEST

START_TEST(options_keep_their_order)
{
    struct cli c = GOOD("run", "--tfo", "on", "--tfo", "off", "true");

    ck_assert_uint_eq(c.settings, 2);
    ck_assert_str_eq(c.setting[0].value, "on");
    ck_assert_str_eq(c.setting[1].value, "off");
}
END_TEST

START_TEST(files_are_taken_as_they_are)
{
    struct cli c = GOOD("run", "--config", "c.json", "--password-file=p", "--cookie-file", "k",
                        "--stats", "true");

    ck_assert_str_eq(c.config, "c.json");
    ck_assert_str_eq(c.password_file, "p");
    ck_assert_str_eq(c.cookie_file, "k");
    ck_assert(c.stats);
    ck_assert_str_eq(GOOD("probe", "--target", "example.org:80").target, "example.org:80");
}
END_TEST

START_TEST(more_options_than_fit_are_an_error)
{
    static char run[] = "run", option[] = "--tfo=on", program[] = "true";
    char *words[CLI_SETTINGS_MAX + 4] = {run};
    struct settings_error err;
    struct cli c;
    int n = 1;

    while (n <= CLI_SETTINGS_MAX)
        words[n++] = option;
    words[n] = program;
    ck_assert(parse(&c, &err, words));
    words[n++] = option;
    words[n] = program;
    ck_assert(!parse(&c, &err, words));
    ck_assert_ptr_nonnull(strstr(err.text, "--tfo"));
}
END_TEST

START_TEST(option_names_are_made_of_variables)
{
    char out[32];

    ck_assert_str_eq(cli_option_name("MPCONVERT_ON_FAILURE", '-', out), "on-failure");
    ck_assert_str_eq(cli_option_name("MPCONVERT_ON_FAILURE", '_', out), "on_failure");
    ck_assert_ptr_null(cli_option_name("OTHER_ON_FAILURE", '-', out));
    ck_assert_ptr_null(
        cli_option_name("MPCONVERT_A_NAME_OF_MORE_THAN_THIRTY_ONE_LETTERS", '-', out));
}
END_TEST

START_TEST(modes_have_names)
{
    enum cli_mode m = CLI_MODE_UNSET;

    ck_assert(cli_mode_from("auto", &m) && m == CLI_AUTO);
    ck_assert(cli_mode_from("preload", &m) && m == CLI_PRELOAD);
    ck_assert(cli_mode_from("seccomp", &m) && m == CLI_SECCOMP);
    ck_assert(!cli_mode_from("", &m) && !cli_mode_from("Auto", &m));
    ck_assert_int_eq(m, CLI_SECCOMP);
}
END_TEST

START_TEST(help_tells_every_option)
{
    char *text = NULL;
    size_t len = 0;
    FILE *to = open_memstream(&text, &len);

    ck_assert_ptr_nonnull(to);
    cli_help(to);
    ck_assert_int_eq(fclose(to), 0);
    for (unsigned i = 0; i < settings_count(); i++) {
        char name[32], option[40];

        (void)cli_option_name(settings_name(i), '-', name);
        (void)snprintf(option, sizeof option, "  --%s ", name);
        ck_assert_int_eq(strstr(text, option) != NULL,
                         !settings_secret(i) && strcmp(settings_name(i), "MPCONVERT_RUN") != 0);
    }
    ck_assert_ptr_nonnull(strstr(text, "--password-file FILE"));
    ck_assert_ptr_nonnull(strstr(text, "--cookie-file FILE"));
    ck_assert_ptr_nonnull(strstr(text, "--config FILE"));
    ck_assert_ptr_nonnull(strstr(text, "--stats"));
    free(text);
}
END_TEST

int main(void)
{
    Suite *s = suite_create("cli");
    TCase *c = tcase_create("all");

    tcase_add_test(c, the_first_word_is_the_command);
    tcase_add_test(c, the_doctors_options_are_the_daemons);
    tcase_add_test(c, an_unknown_command_or_option_is_named);
    tcase_add_test(c, a_missing_value_is_named);
    tcase_add_test(c, a_value_too_many_is_named);
    tcase_add_test(c, run_needs_a_program);
    tcase_add_test(c, a_programs_options_are_its_own);
    tcase_add_test(c, a_probes_options_may_follow_its_addresses);
    tcase_add_test(c, two_modes_contradict_each_other);
    tcase_add_test(c, a_proxy_beside_a_probes_addresses_contradicts);
    tcase_add_test(c, every_setting_but_secrets_and_the_run_file_is_an_option);
    tcase_add_test(c, secrets_do_not_belong_on_a_command_line);
    tcase_add_test(c, a_switch_may_stand_alone);
    tcase_add_test(c, options_keep_their_order);
    tcase_add_test(c, files_are_taken_as_they_are);
    tcase_add_test(c, more_options_than_fit_are_an_error);
    tcase_add_test(c, option_names_are_made_of_variables);
    tcase_add_test(c, modes_have_names);
    tcase_add_test(c, help_tells_every_option);
    suite_add_tcase(s, c);
    return runner_main(s);
}
