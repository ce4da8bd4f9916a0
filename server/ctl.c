/* SPDX-License-Identifier: MIT */
#include "ctl.h"
#include "base/check.h"
#include <errno.h>
#include <getopt.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/time.h>
#include <sys/un.h>
#include <unistd.h>

enum { PATIENCE_S = 10 };

/* A command and what may follow it: members of the request by position. */
static const struct command {
    const char *name;
    const char *positional[2]; /* NULL: none */
    unsigned required;
    const char *options; /* those of `option_names` that it takes, by their letters */
    const char *help;
} commands[] = {
    {"stats", {NULL, NULL}, 0, "", "every figure of /v1/stats"},
    {"config", {NULL, NULL}, 0, "", "the configuration in force, secrets hidden"},
    {"sessions",
     {NULL, NULL},
     0,
     "uspln",
     "live sessions [--user --source --protocol --limit --cursor]"},
    {"session", {"id", NULL}, 1, "", "ID: one of them, with its subflows"},
    {"kill", {"id", NULL}, 0, "us", "[ID] [--user --source]: ends them"},
    {"acl",
     {"source", "target"},
     2,
     "um",
     "SOURCE TARGET [--user --name]: may this client go there"},
    {"reload", {NULL, NULL}, 0, "", "read the configuration anew, whole or not at all"},
    {"drain",
     {NULL, NULL},
     0,
     "t",
     "refuse new sessions, end with the last [--timeout SECONDS]"},
    {"undrain", {NULL, NULL}, 0, "", "serve new sessions again"},
    {"stop", {NULL, NULL}, 0, "", "end now"},
    {"log",
     {"level", NULL},
     1,
     "",
     "LEVEL: error, warning, info or debug, until the next reload"},
};

static const struct option option_names[] = {
    {"socket", required_argument, NULL, 'S'},
    {"json", no_argument, NULL, 'j'},
    {"help", no_argument, NULL, 'h'},
    {"user", required_argument, NULL, 'u'},
    {"source", required_argument, NULL, 's'},
    {"protocol", required_argument, NULL, 'p'},
    {"limit", required_argument, NULL, 'l'},
    {"cursor", required_argument, NULL, 'n'},
    {"timeout", required_argument, NULL, 't'},
    {"name", required_argument, NULL, 'm'},
    {NULL, 0, NULL, 0},
};

static const char default_socket[] = "/run/mpconvert/control.sock";

static int usage(FILE *to, int status)
{
    (void)fprintf(to,
                  "usage: mpconvert ctl [--socket PATH] [--json] COMMAND...\n"
                  "  --socket PATH  default: $MPCONVERT_CONTROL or %s\n",
                  default_socket);
    for (size_t i = 0; i < ARRAY_LEN(commands); i++)
        (void)fprintf(to, "  %-9s %s\n", commands[i].name, commands[i].help);
    return status;
}

static int complain(int status, const char *what, const char *why)
{
    (void)fprintf(stderr, "mpconvert: %s: %s\n", what, why);
    return status;
}

/* ---- The request ---- */

struct asked {
    const char *socket;
    bool json;
    const struct command *command;
    json_t *request; /* owned */
};

static bool put(json_t *request, const char *key, json_t *value)
{
    return json_object_set_new(request, key, value) == 0;
}

/* Options that are numbers. False: it is none, or out of memory. */
static bool put_number(json_t *request, const char *key, const char *text)
{
    char *end;

    errno = 0;
    long long n = strtoll(text, &end, 10);
    return errno == 0 && end != text && *end == '\0' && n >= 0 &&
           put(request, key, json_integer(n));
}

static bool put_option(json_t *request, int letter, const char *value)
{
    switch (letter) {
    case 'u':
        return put(request, "user", json_string(value));
    case 's':
        return put(request, "source", json_string(value));
    case 'p':
        return put(request, "protocol", json_string(value));
    case 'n':
        return put(request, "cursor", json_string(value));
    case 'm':
        return put(request, "name", json_string(value));
    case 'l':
        return put_number(request, "limit", value);
    default:
        return put_number(request, "seconds", value);
    }
}

static const struct command *find(const char *name)
{
    for (size_t i = 0; i < ARRAY_LEN(commands); i++)
        if (strcmp(commands[i].name, name) == 0)
            return &commands[i];
    return NULL;
}

/* What stands behind the options: the command and its arguments. */
static bool take_words(struct asked *a, char *const *word, unsigned count)
{
    if (count == 0)
        return false;
    a->command = find(word[0]);
    if (a->command == NULL || count - 1 < a->command->required)
        return false;
    /* "session" is "sessions" for one. */
    const char *name = strcmp(word[0], "session") == 0 ? "sessions" : word[0];
    if (!put(a->request, "command", json_string(name)))
        return false;
    for (unsigned i = 1; i < count; i++)
        if (i > ARRAY_LEN(a->command->positional) || a->command->positional[i - 1] == NULL ||
            !put(a->request, a->command->positional[i - 1], json_string(word[i])))
            return false;
    return true;
}

/* 0: go on. Else the exit status + 1. */
static int read_command_line(struct asked *a, int argc, char **argv)
{
    char given[16] = "";
    size_t count = 0;

    for (int c; (c = getopt_long(argc, argv, "hj", option_names, NULL)) != -1;) {
        if (c == 'h')
            return usage(stdout, 0) + 1;
        if (c == '?')
            return usage(stderr, CTL_EXIT_USAGE) + 1;
        if (c == 'S')
            a->socket = optarg;
        else if (c == 'j')
            a->json = true;
        else if (count == sizeof given - 1 || !put_option(a->request, c, optarg))
            return complain(CTL_EXIT_USAGE, optarg, "not a good value") + 1;
        else
            given[count++] = (char)c;
    }
    if (!take_words(a, argv + optind, (unsigned)(argc - optind)))
        return usage(stderr, CTL_EXIT_USAGE) + 1;
    if (strspn(given, a->command->options) != count)
        return complain(CTL_EXIT_USAGE, a->command->name, "an option it does not take") + 1;
    return 0;
}

/* ---- The exchange ---- */

static int open_socket(const char *path)
{
    struct sockaddr_un to = {.sun_family = AF_UNIX};
    const struct timeval patience = {.tv_sec = PATIENCE_S};

    if (strlen(path) >= sizeof to.sun_path)
        return -ENAMETOOLONG;
    memcpy(to.sun_path, path, strlen(path) + 1);
    int fd = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0);
    if (fd < 0)
        return -errno;
    if (setsockopt(fd, SOL_SOCKET, SO_RCVTIMEO, &patience, sizeof patience) != 0 ||
        setsockopt(fd, SOL_SOCKET, SO_SNDTIMEO, &patience, sizeof patience) != 0 ||
        connect(fd, (struct sockaddr *)&to, sizeof to) != 0) {
        int error = errno;
        (void)close(fd);
        return -error;
    }
    return fd;
}

static bool send_all(int fd, const char *text, size_t len)
{
    while (len > 0) {
        ssize_t n = send(fd, text, len, MSG_NOSIGNAL);
        if (n < 0 && errno == EINTR)
            continue;
        if (n <= 0)
            return false;
        text += n;
        len -= (size_t)n;
    }
    return true;
}

/* One line; NULL: none, errno says why. */
static char *receive_line(int fd)
{
    size_t len = 0, cap = 1 << 16;
    char *text = malloc(cap);

    while (text != NULL) {
        if (len == cap) {
            char *larger = cap >= CTL_ANSWER_MAX ? NULL : realloc(text, cap * 2);
            if (larger == NULL)
                break;
            text = larger;
            cap *= 2;
        }
        ssize_t n = recv(fd, text + len, cap - len, 0);
        if (n < 0 && errno == EINTR)
            continue;
        if (n <= 0) {
            errno = n == 0 ? ECONNRESET : errno;
            break;
        }
        len += (size_t)n;
        if (text[len - 1] == '\n') { /* one line is all that is sent */
            text[len - 1] = '\0';
            return text;
        }
    }
    free(text);
    return NULL;
}

/* The daemon's answer; NULL: there is none, and standard error says why. */
static json_t *ask(const struct asked *a)
{
    char *line = json_dumps(a->request, JSON_COMPACT);
    int fd = line == NULL ? -ENOMEM : open_socket(a->socket);
    char *text = NULL;

    if (fd >= 0 && send_all(fd, line, strlen(line)) && send_all(fd, "\n", 1))
        text = receive_line(fd);
    int error = fd < 0 ? -fd : errno;
    if (fd >= 0)
        (void)close(fd);
    free(line);
    json_t *answer = text != NULL ? json_loads(text, 0, NULL) : NULL;
    if (text == NULL)
        (void)complain(0, a->socket, strerror(error == EAGAIN ? ETIMEDOUT : error));
    else if (answer == NULL)
        (void)complain(0, a->socket, "the answer is not JSON");
    free(text);
    return answer;
}

/* The exit status. */
static int tell(const struct asked *a, json_t *answer)
{
    bool good = json_is_true(json_object_get(answer, "ok"));
    json_t *result = json_object_get(answer, "result");
    const char *name = a->command != NULL ? a->command->name : "ctl";
    bool written = true;

    if (a->json)
        written = json_dumpf(answer, stdout, JSON_INDENT(2) | JSON_REAL_PRECISION(15)) == 0 &&
                  putchar('\n') >= 0;
    else if (!good)
        (void)complain(0, name, json_string_value(json_object_get(answer, "error")));
    else if (result != NULL)
        written = ctl_show(stdout, name, result);
    if (!written || fflush(stdout) != 0)
        return complain(CTL_EXIT_NO, "standard output", strerror(errno));
    return good ? 0 : CTL_EXIT_NO;
}

int ctl_main(int argc, char **argv)
{
    const char *socket =
        getenv("MPCONVERT_CONTROL"); // NOLINT(concurrency-mt-unsafe): one thread
    struct asked a = {.socket = socket != NULL ? socket : default_socket,
                      .request = json_object()};
    int status = a.request == NULL ? complain(CTL_EXIT_NO, "ctl", "out of memory") + 1
                                   : read_command_line(&a, argc, argv);

    if (status == 0) {
        json_t *answer = ask(&a);
        status = answer == NULL ? CTL_EXIT_NOBODY + 1 : tell(&a, answer) + 1;
        json_decref(answer);
    }
    json_decref(a.request);
    return status - 1;
}
