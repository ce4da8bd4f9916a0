/* SPDX-License-Identifier: MIT */
#include "cli_config.h"
#include "runner.h"
#include "tempfile.h"
#include <limits.h>
#include <string.h>

#define PROXY "\"proxy\": [\"192.0.2.1:1080\"]"

/* ---- an environment of its own for each test; check forks ---- */
enum { VARIABLES_MAX = 16 };
static struct {
    const char *name, *value;
} variables[VARIABLES_MAX];
static unsigned variable_count;

static const char *get(const char *name)
{
    for (unsigned i = 0; i < variable_count; i++)
        if (strcmp(variables[i].name, name) == 0)
            return variables[i].value;
    return NULL;
}

static void set(const char *name, const char *value)
{
    ck_assert_uint_lt(variable_count, VARIABLES_MAX);
    variables[variable_count].name = name;
    variables[variable_count++].value = value;
}

/* A home without a configuration, so that the host's does not count. */
static char home[] = "/tmp/mpconvert-test-XXXXXX";

static void begin(void)
{
    memset(home + sizeof home - 7, 'X', 6);
    variable_count = 0;
    ck_assert_ptr_nonnull(mkdtemp(home));
    set("HOME", home);
}

static void end(void)
{
    char path[PATH_MAX];

    static const char *const made[] = {"/.config/mpconvert/mpconvert.json",
                                       "/.config/mpconvert", "/.config",
                                       "/mpconvert/mpconvert.json", "/mpconvert"};
    for (size_t i = 0; i < sizeof made / sizeof made[0]; i++) {
        (void)snprintf(path, sizeof path, "%s%s", home, made[i]);
        (void)remove(path);
    }
    ck_assert_int_eq(rmdir(home), 0);
}

static struct cli command(const char *config)
{
    static char word[] = "true";
    static char *rest[] = {word, NULL};

    return (struct cli){.command = CLI_RUN, .config = config, .rest = rest};
}

static void give(struct cli *c, const char *name, const char *option, const char *value)
{
    c->setting[c->settings++] =
        (struct cli_setting){.name = name, .option = option, .value = value};
}

static struct settings resolved(const struct cli *c, enum cli_mode *mode)
{
    struct settings_error err = {.text = ""};
    struct settings s;
    enum cli_mode m = CLI_MODE_UNSET;

    ck_assert_msg(cli_config_resolve(c, get, &s, &m, &err), "%s", err.text);
    if (mode != NULL)
        *mode = m;
    return s;
}

static void assert_refused(const struct cli *c, const char *named)
{
    struct settings_error err = {.text = ""};
    struct settings s;
    enum cli_mode m;

    ck_assert(!cli_config_resolve(c, get, &s, &m, &err));
    ck_assert_msg(strstr(err.text, named) != NULL, "'%s' does not say '%s'", err.text, named);
}

/* The text of a file is refused, and the message says file, line and key as `named` does. */
static void assert_file_refused(const char *text, const char *named)
{
    struct tempfile f = tempfile_text(text);
    struct settings_error err = {.text = ""};
    struct settings s;
    enum cli_mode m = CLI_MODE_UNSET;

    settings_default(&s);
    ck_assert(!cli_config_load(f.path, &s, &m, &err));
    ck_assert_int_eq(strncmp(err.text, f.path, strlen(f.path)), 0);
    ck_assert_msg(strstr(err.text, named) != NULL, "'%s' does not say '%s'", err.text, named);
    tempfile_done(&f);
}

static void write_file(const char *folder, const char *text)
{
    char path[PATH_MAX];
    FILE *f;

    (void)snprintf(path, sizeof path, "%s/mpconvert", folder);
    ck_assert_int_eq(mkdir(path, 0700), 0);
    (void)snprintf(path, sizeof path, "%s/mpconvert/mpconvert.json", folder);
    f = fopen(path, "we");
    ck_assert_ptr_nonnull(f);
    ck_assert_int_ge(fputs(text, f), 0);
    ck_assert_int_eq(fclose(f), 0);
}

START_TEST(every_key_of_the_file_is_a_setting)
{
    struct tempfile f = tempfile_text(
        "{\"proxy\": [\"192.0.2.1:1080\", \"[2001:db8::1]:1081\"], \"dialect\": \"socks5\",\n"
        " \"user\": \"me\", \"password\": \"secret\", \"bypass\": [\"198.51.100.0/24\"],\n"
        " \"bypass_local\": true, \"on_failure\": \"direct\", \"nonblock\": \"block\",\n"
        " \"tfo\": \"off\", \"mptcp\": false, \"receive_buffer\": \"1M\",\n"
        " \"connect_seconds\": 7, \"udp443\": \"refuse\", \"remote_dns\": true,\n"
        " \"local_names\": [\"lan\", \"example.net\"], \"sockopt\": \"strict\",\n"
        " \"log\": \"/tmp/l\", \"cache\": \"none\", \"mode\": \"preload\", \"_note\": 1}");
    struct cli c = command(f.path);
    enum cli_mode mode;
    struct settings s = resolved(&c, &mode);

    ck_assert_uint_eq(s.proxies, 2);
    ck_assert_uint_eq(s.proxy[1].port, 1081);
    ck_assert_int_eq(s.dialect, PROTOCOL_SOCKS5);
    ck_assert_int_eq(memcmp(s.user, "me", 2), 0);
    ck_assert_int_eq(memcmp(s.password, "secret", 6), 0);
    ck_assert(s.bypass_local && s.remote_dns && !s.mptcp);
    ck_assert_int_eq(s.on_failure, SETTINGS_DIRECT);
    ck_assert_int_eq(s.nonblock, SETTINGS_BLOCK);
    ck_assert_int_eq(s.tfo, SETTINGS_TFO_OFF);
    ck_assert_uint_eq(s.receive_buffer, 1 << 20);
    ck_assert_uint_eq(s.connect_ms, 7000);
    ck_assert_int_eq(s.udp443, SETTINGS_UDP443_REFUSE);
    ck_assert_str_eq(s.local_names, "lan,example.net");
    ck_assert_int_eq(s.sockopt, SETTINGS_STRICT);
    ck_assert_str_eq(s.log, "/tmp/l");
    ck_assert_str_eq(s.cache, "none");
    ck_assert_int_eq(mode, CLI_PRELOAD);
    tempfile_done(&f);
}
END_TEST

START_TEST(every_setting_is_a_key_but_for_the_run_file)
{
    for (unsigned i = 0; i < settings_count(); i++) {
        char key[32], text[64];
        struct tempfile f;
        struct settings s;
        enum cli_mode m = CLI_MODE_UNSET;
        struct settings_error err = {.text = ""};
        bool known = strcmp(settings_name(i), "MPCONVERT_RUN") != 0;

        (void)snprintf(text, sizeof text, "{\"%s\": null}",
                       cli_option_name(settings_name(i), '_', key));
        f = tempfile_text(text);
        settings_default(&s);
        ck_assert_msg(cli_config_load(f.path, &s, &m, &err) == known, "%s", key);
        tempfile_done(&f);
    }
}
END_TEST

START_TEST(errors_name_file_line_and_key)
{
    assert_file_refused("{\n \"tfo\": \"maybe\"}", ":2: tfo: ");
    assert_file_refused("{\n\n \"proxy\": [\"192.0.2.1:1\", \"here\"]}", ":3: proxy");
    assert_file_refused("{\n \"proxy\": [\"192.0.2.1:1\",\n 7]}", ": proxy[1]: ");
    assert_file_refused("{\"proxy\": \"192.0.2.1:1\"}", "proxy: expected an array");
    assert_file_refused("{\"proxy\": [\"192.0.2.1:1,192.0.2.2:1\"]}", "proxy[0]: has a comma");
    assert_file_refused("{\"mptcp\": 1}", "mptcp: expected true or false");
    assert_file_refused("{\"connect_seconds\": 0}", "connect_seconds: ");
    assert_file_refused("{\"connect_seconds\": 1.5}", "connect_seconds: ");
    assert_file_refused("{\"connect_seconds\": true}", "connect_seconds: ");
    assert_file_refused("{\"mode\": \"both\"}", "mode: 'both'");
    assert_file_refused("{\"dialect\": 5}", "dialect: expected a string");
    assert_file_refused("{\"user\": \"a\\u0000b\"}", "u0000");
    assert_file_refused("{\"tf0\": \"on\"}", "tf0: unknown key; did you mean \"tfo\"?");
    assert_file_refused("{\"run\": \"/tmp/x\"}", "run: unknown key");
    assert_file_refused("{\n\n", ":3: ");
    assert_file_refused("[]", "expected an object");
}
END_TEST

START_TEST(a_file_with_a_secret_is_not_open_to_others)
{
    static const char *const secrets[] = {"{\"user\": \"u\", \"password\": \"p\"}",
                                          "{\"cookie\": \"00ff\"}"};

    for (size_t i = 0; i < 2; i++)
        for (mode_t mode = 0; mode <= 07; mode++) {
            struct tempfile f = tempfile_make(secrets[i], strlen(secrets[i]), 0640 | mode);
            struct settings_error err = {.text = ""};
            struct settings s;
            enum cli_mode m = CLI_MODE_UNSET;

            settings_default(&s);
            ck_assert_int_eq(cli_config_load(f.path, &s, &m, &err), mode == 0);
            ck_assert(mode == 0 || strstr(err.text, "others may read") != NULL);
            tempfile_done(&f);
        }
    struct tempfile f = tempfile_make("{" PROXY "}", strlen("{" PROXY "}"), 0644);
    struct cli c = command(f.path);
    ck_assert_uint_eq(resolved(&c, NULL).proxies, 1);
    tempfile_done(&f);
}
END_TEST

START_TEST(command_line_over_environment_over_file_over_default)
{
    struct tempfile f = tempfile_text("{" PROXY ", \"tfo\": \"on\", \"connect_seconds\": 5}");
    struct cli c = command(f.path);

    ck_assert_int_eq(resolved(&c, NULL).tfo, SETTINGS_TFO_ON);
    ck_assert_int_eq(resolved(&c, NULL).on_failure, SETTINGS_FAIL);
    set("MPCONVERT_TFO", "off");
    ck_assert_int_eq(resolved(&c, NULL).tfo, SETTINGS_TFO_OFF);
    give(&c, "MPCONVERT_TFO", "tfo", "on");
    ck_assert_int_eq(resolved(&c, NULL).tfo, SETTINGS_TFO_ON);
    give(&c, "MPCONVERT_TFO", "tfo", "auto");
    ck_assert_int_eq(resolved(&c, NULL).tfo, SETTINGS_TFO_AUTO);
    ck_assert_uint_eq(resolved(&c, NULL).connect_ms, 5000);
    tempfile_done(&f);
}
END_TEST

START_TEST(the_mode_is_the_options_or_the_files_or_auto)
{
    struct tempfile f = tempfile_text("{" PROXY ", \"mode\": \"seccomp\"}");
    struct cli c = command(f.path);
    enum cli_mode mode;

    (void)resolved(&c, &mode);
    ck_assert_int_eq(mode, CLI_SECCOMP);
    c.mode = CLI_PRELOAD;
    (void)resolved(&c, &mode);
    ck_assert_int_eq(mode, CLI_PRELOAD);
    c = command(NULL);
    give(&c, "MPCONVERT_PROXY", "proxy", "192.0.2.1:1");
    (void)resolved(&c, &mode);
    ck_assert_int_eq(mode, CLI_AUTO);
    tempfile_done(&f);
}
END_TEST

START_TEST(messages_name_the_variable_or_the_option)
{
    struct cli c = command(NULL);

    assert_refused(&c, "MPCONVERT_PROXY");
    set("MPCONVERT_PROXY", "192.0.2.1:1080");
    set("MPCONVERT_TFO", "sometimes");
    assert_refused(&c, "MPCONVERT_TFO");
    variable_count--;
    give(&c, "MPCONVERT_ON_FAILURE", "on-failure", "panic");
    assert_refused(&c, "--on-failure: ");
    c.settings = 0;
    give(&c, "MPCONVERT_USER", "user", "me");
    assert_refused(&c, "MPCONVERT_"); /* half of a pair, and not a SOCKS5 dialect either */
}
END_TEST

START_TEST(the_run_file_is_nobodys_to_set)
{
    struct cli c = command(NULL);

    set("MPCONVERT_PROXY", "192.0.2.1:1080");
    set("MPCONVERT_RUN", "/tmp/elsewhere");
    ck_assert_str_eq(resolved(&c, NULL).run, "");
}
END_TEST

START_TEST(a_file_that_was_asked_for_must_exist)
{
    struct cli c = command("/nonexistent/mpconvert.json");

    set("MPCONVERT_PROXY", "192.0.2.1:1080");
    assert_refused(&c, "/nonexistent/mpconvert.json: ");
}
END_TEST

START_TEST(files_are_looked_for_in_order)
{
    struct cli c = command("/somewhere.json");
    char path[PATH_MAX], wanted[PATH_MAX], folder[PATH_MAX];

    ck_assert(cli_config_path(&c, get, path, sizeof path));
    ck_assert_str_eq(path, "/somewhere.json");
    ck_assert(!cli_config_path(&c, get, path, 4));
    c.config = NULL;
    (void)snprintf(folder, sizeof folder, "%s/.config", home);
    ck_assert_int_eq(mkdir(folder, 0700), 0);
    write_file(folder, "{" PROXY "}");
    ck_assert(cli_config_path(&c, get, path, sizeof path));
    (void)snprintf(wanted, sizeof wanted, "%s/.config/mpconvert/mpconvert.json", home);
    ck_assert_str_eq(path, wanted);
    ck_assert_uint_eq(resolved(&c, NULL).proxies, 1);

    set("XDG_CONFIG_HOME", "relative"); /* does not count */
    ck_assert(cli_config_path(&c, get, path, sizeof path));
    ck_assert_str_eq(path, wanted);
    variable_count--;
    write_file(home, "{" PROXY "}");
    set("XDG_CONFIG_HOME", home);
    ck_assert(cli_config_path(&c, get, path, sizeof path));
    (void)snprintf(wanted, sizeof wanted, "%s/mpconvert/mpconvert.json", home);
    ck_assert_str_eq(path, wanted);
}
END_TEST

START_TEST(secrets_come_from_the_first_line_of_files)
{
    struct tempfile p = tempfile_text("secret\r\nmore\n");
    struct cli c = command(NULL);
    struct settings s;

    set("MPCONVERT_PROXY", "192.0.2.1:1080");
    give(&c, "MPCONVERT_DIALECT", "dialect", "socks5");
    give(&c, "MPCONVERT_USER", "user", "me");
    c.password_file = p.path;
    s = resolved(&c, NULL);
    ck_assert_uint_eq(s.password_len, 6);
    ck_assert_int_eq(memcmp(s.password, "secret", 6), 0);
    ck_assert_int_eq(chmod(p.path, 0604), 0);
    assert_refused(&c, "--password-file");
    ck_assert_int_eq(chmod(p.path, 0640), 0);
    (void)resolved(&c, NULL);
    c.password_file = "/nonexistent/password";
    assert_refused(&c, "--password-file: /nonexistent/password");
    tempfile_done(&p);

    struct tempfile k = tempfile_text("00a1ff\n");
    c = command(NULL);
    give(&c, "MPCONVERT_DIALECT", "dialect", "convert");
    c.cookie_file = k.path;
    s = resolved(&c, NULL);
    ck_assert_uint_eq(s.cookie_len, 3);
    ck_assert_uint_eq(s.cookie[1], 0xa1);
    tempfile_done(&k);
    k = tempfile_text("not hexadecimal\n");
    c.cookie_file = k.path;
    assert_refused(&c, "--cookie-file: ");
    tempfile_done(&k);
}
END_TEST

START_TEST(secret_files_are_bounded_text)
{
    char text[600];
    struct tempfile f;
    struct cli c = command(NULL);

    set("MPCONVERT_PROXY", "192.0.2.1:1080");
    memset(text, 'x', sizeof text);
    f = tempfile_make(text, sizeof text, 0600);
    c.password_file = f.path;
    assert_refused(&c, "too long");
    tempfile_done(&f);
    f = tempfile_make("a\0b\n", 4, 0600);
    c.password_file = f.path;
    assert_refused(&c, "NUL");
    tempfile_done(&f);
    f = tempfile_text("\nsecret\n");
    c.password_file = f.path;
    assert_refused(&c, "empty");
    tempfile_done(&f);
}
END_TEST

START_TEST(relative_paths_are_made_absolute)
{
    struct cli c = command(NULL);
    char here[PATH_MAX], wanted[PATH_MAX + 8];
    struct settings s;

    set("MPCONVERT_PROXY", "192.0.2.1:1080");
    give(&c, "MPCONVERT_LOG", "log", "a.log");
    give(&c, "MPCONVERT_CACHE", "cache", "known");
    s = resolved(&c, NULL);
    ck_assert_ptr_nonnull(getcwd(here, sizeof here));
    (void)snprintf(wanted, sizeof wanted, "%s/a.log", here);
    ck_assert_str_eq(s.log, wanted);
    (void)snprintf(wanted, sizeof wanted, "%s/known", here);
    ck_assert_str_eq(s.cache, wanted);
    give(&c, "MPCONVERT_CACHE", "cache", "auto");
    ck_assert_str_eq(resolved(&c, NULL).cache, "auto");
}
END_TEST

START_TEST(a_probe_needs_a_concentrator_and_no_more)
{
    static char address[] = "192.0.2.1:1080";
    static char *some[] = {address, NULL}, *none[] = {NULL};
    struct cli c = {.command = CLI_PROBE, .rest = none};

    assert_refused(&c, "probe");
    c.rest = some;
    give(&c, "MPCONVERT_USER", "user", "me"); /* for the one dialect that has users */
    (void)resolved(&c, NULL);
    c.rest = none;
    set("MPCONVERT_PROXY", "192.0.2.1:1080");
    ck_assert_uint_eq(resolved(&c, NULL).proxies, 1);
}
END_TEST

int main(void)
{
    Suite *s = suite_create("cli_config");
    TCase *c = tcase_create("all");

    tcase_add_checked_fixture(c, begin, end);
    tcase_add_test(c, every_key_of_the_file_is_a_setting);
    tcase_add_test(c, every_setting_is_a_key_but_for_the_run_file);
    tcase_add_test(c, errors_name_file_line_and_key);
    tcase_add_test(c, a_file_with_a_secret_is_not_open_to_others);
    tcase_add_test(c, command_line_over_environment_over_file_over_default);
    tcase_add_test(c, the_mode_is_the_options_or_the_files_or_auto);
    tcase_add_test(c, messages_name_the_variable_or_the_option);
    tcase_add_test(c, the_run_file_is_nobodys_to_set);
    tcase_add_test(c, a_file_that_was_asked_for_must_exist);
    tcase_add_test(c, files_are_looked_for_in_order);
    tcase_add_test(c, secrets_come_from_the_first_line_of_files);
    tcase_add_test(c, secret_files_are_bounded_text);
    tcase_add_test(c, relative_paths_are_made_absolute);
    tcase_add_test(c, a_probe_needs_a_concentrator_and_no_more);
    suite_add_tcase(s, c);
    return runner_main(s);
}
