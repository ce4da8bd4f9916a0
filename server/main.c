/* SPDX-License-Identifier: MIT */
/* main - command line, start-up order, exit status; nothing else. See docs/operations.md.
 * Exit status: 0 after an orderly stop (or a good --check or --doctor), 1 when the
 * configuration or the start failed, 2 for a wrong command line. */
#include "ctl.h"
#include "doctor.h"
#include "privileges.h"
#include "server.h"
#include "signals.h"
#include <ares.h>
#include <errno.h>
#include <getopt.h>
#include <jansson.h>
#include <openssl/crypto.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/resource.h>
#include <unistd.h>

enum mode { MODE_RUN, MODE_CHECK, MODE_DUMP, MODE_DOCTOR };

static int usage(FILE *to, int status)
{
    (void)fprintf(
        to,
        "usage: mpconvertd [-c FILE] [--check | --dump | --doctor [--json]]\n"
        "       mpconvertd --ctl [--socket PATH] [--json] COMMAND...\n"
        "  -c, --config FILE  configuration; without it every key has its default\n"
        "      --check        read the configuration, say what is wrong with it, and end\n"
        "      --dump         print the effective configuration, secrets hidden, and end\n"
        "      --doctor       say whether this machine is fit for the configuration, and end\n"
        "      --json         what the doctor finds as JSON\n"
        "      --version      print the versions of the program and its libraries\n"
        "  -h, --help         print this\n");
    return status;
}

static int version(void)
{
    (void)printf("mpconvertd %s\nlibuv %s\nOpenSSL %s\njansson %s\nc-ares %s\n",
                 MPCONVERT_VERSION, uv_version_string(),
                 OpenSSL_version(OPENSSL_VERSION_STRING), jansson_version_str(),
                 ares_version(NULL));
    return 0;
}

static int dump(const struct config *c)
{
    char *text = options_dump_text(c, true);

    if (text == NULL) {
        (void)fprintf(stderr, "mpconvertd: out of memory\n");
        return 1;
    }
    bool printed = puts(text) >= 0;
    free(text);
    return printed ? 0 : 1;
}

/* Held back until somebody listens to them, and again when nobody does any more; in all threads
 * but this one for ever. `before` may be NULL. */
static void hold_signals(sigset_t *before)
{
    sigset_t ours;

    (void)sigemptyset(&ours);
    (void)sigaddset(&ours, SIGTERM);
    (void)sigaddset(&ours, SIGINT);
    (void)sigaddset(&ours, SIGHUP);
    (void)pthread_sigmask(SIG_BLOCK, &ours,
                          before); /* valid arguments: none of these can fail */
}

static int serve(struct config *c)
{
    sigset_t before;
    struct conf_error err = {.text = ""};
    int dropped = privileges_drop(privileges_needed(c, privileges_low_ports()));

    if (dropped != 0) {
        (void)fprintf(stderr, "mpconvertd: cannot drop privileges: %s\n", strerror(-dropped));
        config_unref(c);
        return 1;
    }
    struct signals signals;
    uv_loop_t loop;
    struct log *log =
        log_new(STDERR_FILENO, (enum log_format)c->log.format, (enum log_level)c->log.level);

    if (log == NULL || uv_loop_init(&loop) != 0) {
        (void)fprintf(stderr, "mpconvertd: out of memory\n");
        config_unref(c);
        log_free(log);
        return 1;
    }
    hold_signals(&before);
    struct server *s = server_start(&loop, c, log, &err);
    if (s == NULL) {
        log_message(log, LOG_LEVEL_ERROR, "start_failed", "%s", err.text);
    } else {
        int rc = signals_start(&signals, &loop, s, log);
        (void)pthread_sigmask(SIG_SETMASK, &before, NULL); /* cannot fail */
        if (rc != 0) {
            log_message(log, LOG_LEVEL_ERROR, "start_failed", "signals: %s", uv_strerror(rc));
            server_drain(s);
            server_drain(s); /* at once */
        } else {
            log_message(log, LOG_LEVEL_INFO, "started", "mpconvertd %s", MPCONVERT_VERSION);
        }
        (void)uv_run(&loop, UV_RUN_DEFAULT);
        hold_signals(NULL); /* one that comes now does not kill a daemon that is ending */
        signals_stop(&signals);
        (void)uv_run(&loop, UV_RUN_DEFAULT);
        server_free(s);
        log_message(log, LOG_LEVEL_INFO, "stopped", "mpconvertd %s", MPCONVERT_VERSION);
    }
    (void)uv_loop_close(&loop);
    log_free(log);
    return s == NULL;
}

/* As many fds as we may have: a session needs two. */
static void raise_fd_limit(void)
{
    struct rlimit lim;

    if (getrlimit(RLIMIT_NOFILE, &lim) != 0 || lim.rlim_cur >= lim.rlim_max)
        return;
    lim.rlim_cur = lim.rlim_max;
    (void)setrlimit(RLIMIT_NOFILE,
                    &lim); /* then the old limit is what the session limit is cut to */
}

static int run(struct config *c)
{
    raise_fd_limit();
    (void)signal(SIGPIPE,
                 SIG_IGN); /* splice() has no MSG_NOSIGNAL; cannot fail for this signal */
    if (ares_library_init(ARES_LIB_INIT_ALL) != ARES_SUCCESS) {
        config_unref(c);
        (void)fprintf(stderr, "mpconvertd: c-ares does not start\n");
        return 1;
    }
    int status = serve(c);
    ares_library_cleanup();
    return status;
}

static int carry_out(enum mode mode, const char *path, bool json)
{
    struct conf_error err = {.text = ""};

    if (mode == MODE_DOCTOR)
        return doctor_run(path, json, stdout);
    struct config *c = options_load(path, &err);
    if (c == NULL) {
        (void)fprintf(stderr, "mpconvertd: %s\n", err.text);
        return 1;
    }
    if (mode == MODE_RUN)
        return run(c);
    int status = mode == MODE_DUMP ? dump(c) : 0;
    if (mode == MODE_CHECK)
        (void)printf("%s: good\n", path != NULL ? path : "defaults");
    config_unref(c);
    return status;
}

int main(int argc, char **argv)
{
    if (argc > 1 && strcmp(argv[1], "--ctl") == 0)
        return ctl_main(argc - 1, argv + 1);

    static const struct option options[] = {
        {"config", required_argument, NULL, 'c'}, {"check", no_argument, NULL, 'k'},
        {"dump", no_argument, NULL, 'd'},         {"doctor", no_argument, NULL, 'o'},
        {"json", no_argument, NULL, 'j'},         {"version", no_argument, NULL, 'v'},
        {"help", no_argument, NULL, 'h'},         {NULL, 0, NULL, 0},
    };
    const char *path = NULL;
    enum mode mode = MODE_RUN;
    bool json = false;

    for (int opt; (opt = getopt_long(argc, argv, "c:h", options, NULL)) != -1;) {
        switch (opt) {
        case 'c':
            path = optarg;
            break;
        case 'k':
            mode = MODE_CHECK;
            break;
        case 'd':
            mode = MODE_DUMP;
            break;
        case 'o':
            mode = MODE_DOCTOR;
            break;
        case 'j':
            json = true;
            break;
        case 'v':
            return version();
        case 'h':
            return usage(stdout, 0);
        default:
            return usage(stderr, 2);
        }
    }
    if (optind < argc || (json && mode != MODE_DOCTOR))
        return usage(stderr, 2);
    return carry_out(mode, path, json);
}
