/* SPDX-License-Identifier: MIT */
/* Happy path: defaults; every key of the file as the text that the environment would have; the
 * environment; the options; the files that options name; then the check across settings. The
 * settings' own table judges every value, so that a file and a variable cannot differ. */
#include "cli_config.h"
#include "base/conffile.h"
#include <errno.h>
#include <fcntl.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

enum { PATH_TEXT_MAX = 1024 };

/* The file's values as text; NULL: the key is not there, or null. */
struct file_text {
    char *proxy, *dialect, *user, *password, *cookie, *bypass, *bypass_local, *native,
        *bypass_learned, *learned_seconds, *on_failure, *nonblock, *tfo, *exact, *mptcp,
        *receive_buffer, *connect_seconds, *udp443, *remote_dns, *local_names, *sockopt, *log,
        *cache, *mode;
};

static bool keep(struct conf_parse *p, char *text, char **field)
{
    *field = text;
    return text != NULL || conf_fail(p, "out of memory");
}

static bool parse_text(struct conf_parse *p, const json_t *value, void *field)
{
    if (json_is_null(value))
        return true;
    if (!json_is_string(value))
        return conf_fail(p, "expected a string");
    return keep(p, strdup(json_string_value(value)), field);
}

static bool parse_switch(struct conf_parse *p, const json_t *value, void *field)
{
    if (json_is_null(value))
        return true;
    if (!json_is_boolean(value))
        return conf_fail(p, "expected true or false");
    return keep(p, strdup(json_is_true(value) ? "1" : "0"), field);
}

/* A number, or text such as "4M". */
static bool parse_amount(struct conf_parse *p, const json_t *value, void *field)
{
    char text[32];

    if (!json_is_integer(value))
        return json_is_number(value) ? conf_fail(p, "expected a whole number")
                                     : parse_text(p, value, field);
    (void)snprintf(text, sizeof text, "%" JSON_INTEGER_FORMAT, json_integer_value(value));
    return keep(p, strdup(text), field);
}

/* One more item behind a comma. */
static bool append(struct conf_parse *p, char **list, const char *item)
{
    size_t had = *list == NULL ? 0 : strlen(*list), size = had + strlen(item) + 2;
    char *longer = realloc(*list, size);

    if (longer == NULL)
        return conf_fail(p, "out of memory");
    (void)snprintf(longer + had, size - had, "%s%s", had == 0 ? "" : ",", item);
    *list = longer;
    return true;
}

/* An array of strings; no items is the same as no key. */
static bool parse_list(struct conf_parse *p, const json_t *value, void *field)
{
    bool good = true;

    if (json_is_null(value))
        return true;
    if (!json_is_array(value))
        return conf_fail(p, "expected an array of strings");
    for (size_t i = 0; good && i < json_array_size(value); i++) {
        const json_t *item = json_array_get(value, i);
        const char *text = json_string_value(item);

        conf_enter(p, NULL, i);
        if (text == NULL || *text == '\0')
            good = conf_fail(p, "expected a string");
        else if (strchr(text, ',') != NULL)
            good = conf_fail(p, "has a comma: one item is one string");
        else
            good = append(p, field, text);
        conf_leave(p);
    }
    return good;
}

static void clear_text(void *field)
{
    char **text = field;

    free(*text);
    *text = NULL;
}

#define KEY(name, parser)                                                               \
    {                                                                                   \
        .path = #name, .type = CONF_CUSTOM, .offset = offsetof(struct file_text, name), \
        .fallback = "null", .parse = (parser), .clear = clear_text                      \
    }
static const struct conf_key keys[] = {
    KEY(proxy, parse_list),
    KEY(dialect, parse_text),
    KEY(user, parse_text),
    KEY(password, parse_text),
    KEY(cookie, parse_text),
    KEY(bypass, parse_list),
    KEY(bypass_local, parse_switch),
    KEY(native, parse_list),
    KEY(bypass_learned, parse_text),
    KEY(learned_seconds, parse_amount),
    KEY(on_failure, parse_text),
    KEY(nonblock, parse_text),
    KEY(tfo, parse_text),
    KEY(exact, parse_text),
    KEY(mptcp, parse_switch),
    KEY(receive_buffer, parse_amount),
    KEY(connect_seconds, parse_amount),
    KEY(udp443, parse_text),
    KEY(remote_dns, parse_switch),
    KEY(local_names, parse_list),
    KEY(sockopt, parse_text),
    KEY(log, parse_text),
    KEY(cache, parse_text),
    KEY(mode, parse_text),
    {.path = NULL},
};

static bool fail(struct settings_error *err, const char *what, const char *why)
{
    (void)snprintf(err->text, sizeof err->text, "%.180s: %.180s", what,
                   why); /* cut there, if anything */
    return false;
}

/* "MPCONVERT_TFO: 'x': no" without the variable. */
static const char *reason(const struct settings_error *err, const char *variable)
{
    size_t n = strlen(variable);

    if (strncmp(err->text, variable, n) == 0 && strncmp(err->text + n, ": ", 2) == 0)
        return err->text + n + 2;
    return err->text;
}

/* The variable of a key of the file; NULL: it is none ("mode"). */
static const char *variable_of(const char *key)
{
    char name[32];

    for (unsigned i = 0; i < settings_count(); i++)
        if (cli_option_name(settings_name(i), '_', name) != NULL && strcmp(name, key) == 0)
            return settings_name(i);
    return NULL;
}

static bool apply_file(const char *path, const char *text, const struct file_text *values,
                       struct settings *s, enum cli_mode *mode, struct conf_error *err)
{
    for (const struct conf_key *k = keys; k->path != NULL; k++) {
        const char *value =
            *(char *const *)(const void *)((const char *)(const void *)values + k->offset);
        const char *variable = variable_of(k->path);
        struct settings_error why = {.text = ""};

        if (value == NULL)
            continue;
        if (variable != NULL) {
            if (!settings_set(s, variable, value, &why))
                return conf_report(err, path, text, k->path, "%s", reason(&why, variable));
        } else if (!cli_mode_from(value, mode)) {
            return conf_report(err, path, text, k->path, "'%s': not auto, preload or seccomp",
                               value);
        }
    }
    return true;
}

/* 0 or errno. */
static int is_open_to_others(const char *path, bool *open)
{
    struct stat st;

    if (stat(path, &st) != 0)
        return errno;
    *open = (st.st_mode & S_IRWXO) != 0;
    return 0;
}

bool cli_config_load(const char *path, struct settings *s, enum cli_mode *mode,
                     struct settings_error *err)
{
    struct conf_error why = {.text = ""};
    struct file_text values;
    char *text = conf_read(path, &why);
    bool open = false;
    bool good = text != NULL && conf_load_text(text, path, keys, &values, sizeof values, &why);

    if (good) {
        const char *secret = values.password != NULL ? "password" : "cookie";

        if ((values.password != NULL || values.cookie != NULL) &&
            (is_open_to_others(path, &open) != 0 || open))
            good =
                conf_report(&why, path, text, secret, "others may read the file: chmod o= it");
        else
            good = apply_file(path, text, &values, s, mode, &why);
        if (values.password != NULL)
            explicit_bzero(values.password, strlen(values.password));
        conf_clear(keys, &values);
    }
    if (text != NULL)
        explicit_bzero(text, strlen(text));
    free(text);
    if (!good)
        (void)snprintf(err->text, sizeof err->text, "%.*s", (int)sizeof err->text - 1,
                       why.text);
    return good;
}

static bool place(char *out, size_t cap, const char *folder, const char *rest)
{
    int n;

    if (folder == NULL || folder[0] != '/') /* unset; relative ones do not count, as XDG says */
        return false;
    n = snprintf(out, cap, "%s%s", folder, rest);
    return n > 0 && (size_t)n < cap && (access(out, F_OK) == 0 || errno == EACCES);
}

bool cli_config_path(const struct cli *c, cli_config_get_fn *get, char *out, size_t cap)
{
    const char *config_home = get("XDG_CONFIG_HOME");

    if (c->config != NULL) {
        int n = snprintf(out, cap, "%s", c->config);

        return n >= 0 && (size_t)n < cap;
    }
    if (config_home != NULL && config_home[0] == '/') {
        if (place(out, cap, config_home, "/mpconvert/mpconvert.json"))
            return true;
    } else if (place(out, cap, get("HOME"), "/.config/mpconvert/mpconvert.json")) {
        return true;
    }
    return place(out, cap, "/etc", "/mpconvert/mpconvert.json");
}

/* Up to `cap` octets of a file that only we and our group may read. NULL and their number, or
 * what is wrong. */
static const char *read_private(const char *path, char *out, size_t cap, size_t *len)
{
    const char *wrong = NULL;
    struct stat st;
    ssize_t n = -1;
    int fd = open(path, O_RDONLY | O_CLOEXEC | O_NOCTTY);

    if (fd < 0)
        return strerror(errno);
    bool known = fstat(fd, &st) == 0;
    if (known && (st.st_mode & S_IRWXO) != 0)
        wrong = "others may read it: chmod o= it";
    else if (!known || (n = read(fd, out, cap)) < 0)
        wrong = strerror(errno);
    (void)close(fd); /* only read from */
    *len = n > 0 ? (size_t)n : 0;
    return wrong;
}

/* Its first line. */
static bool read_secret(const char *path, char *out, size_t cap, const char *option,
                        struct settings_error *err)
{
    char what[PATH_TEXT_MAX];
    size_t len = 0;
    const char *wrong = read_private(path, out, cap, &len);

    (void)snprintf(what, sizeof what, "--%s: %s", option, path); /* cut is good enough */
    if (wrong != NULL)
        return fail(err, what, wrong);
    if (len >= cap)
        return fail(err, what, "too long");
    out[len] = '\0';
    if (strlen(out) != len)
        return fail(err, what, "has a NUL in it");
    out[strcspn(out, "\r\n")] = '\0';
    return out[0] != '\0' || fail(err, what, "its first line is empty");
}

static bool apply_secret(struct settings *s, const char *path, const char *option,
                         const char *variable, struct settings_error *err)
{
    char text[SETTINGS_TEXT_MAX * 2 + 2];
    struct settings_error why = {.text = ""};
    bool good = true;

    if (path == NULL)
        return true;
    if (!read_secret(path, text, sizeof text, option, err))
        return false;
    if (!settings_set(s, variable, text, &why)) {
        char what[64];

        (void)snprintf(what, sizeof what, "--%s", option); /* fits */
        good = fail(err, what, reason(&why, variable));
    }
    explicit_bzero(text, sizeof text);
    return good;
}

static bool apply_environment(struct settings *s, cli_config_get_fn *get,
                              struct settings_error *err)
{
    for (unsigned i = 0; i < settings_count(); i++) {
        const char *value = get(settings_name(i));

        if (value != NULL && strcmp(settings_name(i), "MPCONVERT_RUN") != 0 &&
            !settings_set(s, settings_name(i), value, err))
            return false;
    }
    return true;
}

static bool apply_options(const struct cli *c, struct settings *s, struct settings_error *err)
{
    for (unsigned i = 0; i < c->settings; i++) {
        const struct cli_setting *o = &c->setting[i];
        struct settings_error why = {.text = ""};
        char what[64];

        (void)snprintf(what, sizeof what, "--%s", o->option); /* fits */
        if (!settings_set(s, o->name, o->value, &why))
            return fail(err, what, reason(&why, o->name));
    }
    return apply_secret(s, c->password_file, "password-file", "MPCONVERT_PASSWORD", err) &&
           apply_secret(s, c->cookie_file, "cookie-file", "MPCONVERT_COOKIE", err);
}

/* Programs change their directory. */
static bool make_absolute(char path[SETTINGS_NAMES_MAX], const char *option,
                          struct settings_error *err)
{
    char whole[PATH_TEXT_MAX];
    size_t n, len = strlen(path);

    if (len == 0 || path[0] == '/')
        return true;
    if (getcwd(whole, sizeof whole) == NULL)
        return fail(err, option, strerror(errno));
    n = strlen(whole);
    if (n + 1 + len + 1 > SETTINGS_NAMES_MAX)
        return fail(err, option, "the path is too long");
    whole[n] = '/';
    memcpy(whole + n + 1, path, len + 1);
    memcpy(path, whole, n + 1 + len + 1);
    return true;
}

static bool is_a_path(const char *cache)
{
    return strcmp(cache, "none") != 0 && strcmp(cache, "auto") != 0;
}

bool cli_config_resolve(const struct cli *c, cli_config_get_fn *get, struct settings *s,
                        enum cli_mode *mode, struct settings_error *err)
{
    struct settings made;
    enum cli_mode chosen = CLI_MODE_UNSET;
    char path[PATH_TEXT_MAX];

    settings_default(&made);
    if (cli_config_path(c, get, path, sizeof path)) {
        if (!cli_config_load(path, &made, &chosen, err))
            return false;
    } else if (c->config != NULL) {
        return fail(err, "--config", "the path is too long");
    }
    if (!apply_environment(&made, get, err) || !apply_options(c, &made, err))
        return false;
    if (!make_absolute(made.log, "--log", err) ||
        (is_a_path(made.cache) && !make_absolute(made.cache, "--cache", err)))
        return false;
    if (c->command != CLI_PROBE) {
        if (!settings_check(&made, err))
            return false;
    } else if (c->rest[0] == NULL && made.proxies == 0) {
        return fail(err, "probe", "no concentrator: neither an address nor MPCONVERT_PROXY");
    }
    if (c->mode != CLI_MODE_UNSET)
        chosen = c->mode;
    *mode = chosen == CLI_MODE_UNSET ? CLI_AUTO : chosen;
    *s = made;
    return true;
}
