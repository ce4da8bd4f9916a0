/* SPDX-License-Identifier: MIT */
#include "signals.h"
#include "base/log.h"
#include <signal.h>
#include <string.h>

static void on_signal(uv_signal_t *handle, int signum)
{
    struct signals *s = handle->data;
    struct conf_error err;

    if (signum != SIGHUP) {
        server_drain(s->server);
        return;
    }
    if (server_reload(s->server, &err) != 0)
        log_message(s->log, LOG_LEVEL_ERROR, "reload_failed",
                    "%s; the running configuration stays", err.text);
}

int signals_start(struct signals *s, uv_loop_t *loop, struct server *server, struct log *log)
{
    static const int wanted[] = {SIGTERM, SIGINT, SIGHUP};

    memset(s, 0, sizeof *s);
    s->server = server;
    s->log = log;
    for (size_t i = 0; i < ARRAY_LEN(wanted); i++) {
        int rc = uv_signal_init(loop, &s->handle[i]);
        if (rc != 0)
            return rc;
        s->handle[i].data = s;
        rc = uv_signal_start(&s->handle[i], on_signal, wanted[i]);
        if (rc != 0)
            return rc;
        uv_unref((uv_handle_t *)&s->handle[i]);
    }
    return 0;
}

void signals_stop(struct signals *s)
{
    for (size_t i = 0; i < ARRAY_LEN(s->handle); i++)
        if (s->handle[i].type == UV_SIGNAL) /* was initialised */
            uv_close((uv_handle_t *)&s->handle[i], NULL);
}
