/* SPDX-License-Identifier: MIT */
/* A question outlives the connection it came from: `struct asked` is freed when it is answered,
 * and knows whether somebody still waits. While a line is being carried out or its answer
 * written, the next one is not read. */
#include "control.h"
#include "base/check.h"
#include "base/list.h"
#include <errno.h>
#include <stdarg.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/un.h>
#include <unistd.h>

enum { SWEEP_MS = 1000, SOCKET_MODE = 0660, BACKLOG = 128 };

struct control {
    uv_loop_t *loop;
    struct control_handler handler;
    uv_pipe_t listener;
    uv_timer_t sweep;
    struct list connections;
    unsigned count, open_handles;
    struct sockaddr_un address;
    ino_t inode; /* of the socket in the file system: removed only if it is still ours */
};

struct connection {
    struct list link;
    uv_pipe_t pipe;
    uv_write_t write;
    struct control *control;
    struct asked *asked; /* being carried out */
    char *answer;        /* being written; owned */
    bool may_change, closing, last;
    uint64_t active_ms;
    size_t len;
    char line[CONTROL_LINE_MAX];
};

struct asked {
    struct connection *by; /* NULL: nobody waits any more */
};

json_t *control_error(const char *format, ...)
{
    char text[512];
    va_list args;

    va_start(args, format);
    (void)vsnprintf(text, sizeof text, format, args); /* cut at worst */
    va_end(args);
    return json_pack("{s:b, s:s}", "ok", 0, "error", text);
}

/* ---- The end ---- */

static void on_handle_closed(uv_handle_t *h)
{
    struct control *c = h->data;

    if (--c->open_handles == 0 && c->count == 0)
        free(c);
}

static void on_connection_closed(uv_handle_t *h)
{
    struct connection *x = h->data;
    struct control *c = x->control;

    c->count--;
    free(x->answer);
    free(x);
    if (c->open_handles == 0 && c->count == 0)
        free(c);
}

static void hang_up(struct connection *x)
{
    if (x->closing)
        return;
    x->closing = true;
    if (x->asked != NULL)
        x->asked->by = NULL;
    list_remove(&x->link);
    uv_close((uv_handle_t *)&x->pipe, on_connection_closed);
}

/* ---- Lines ---- */

static void next_line(struct connection *x);

static void on_written(uv_write_t *w, int status)
{
    struct connection *x = w->data;

    free(x->answer);
    x->answer = NULL;
    if (x->closing)
        return;
    if (status != 0 || x->last) {
        hang_up(x);
        return;
    }
    next_line(x);
}

static void send_answer(struct connection *x, json_t *answer)
{
    char *text =
        answer != NULL ? json_dumps(answer, JSON_COMPACT | JSON_REAL_PRECISION(15)) : NULL;
    size_t len = text != NULL ? strlen(text) : 0;

    json_decref(answer);
    if (text == NULL) { /* out of memory */
        hang_up(x);
        return;
    }
    x->active_ms = uv_now(x->control->loop);
    x->answer = text;
    text[len] = '\n'; /* in place of the NUL: a length goes with it */
    uv_buf_t buf = uv_buf_init(text, (unsigned)len + 1);
    x->write.data = x;
    if (uv_write(&x->write, (uv_stream_t *)&x->pipe, &buf, 1, on_written) != 0) {
        free(x->answer);
        x->answer = NULL;
        hang_up(x);
    }
}

static void on_answer(void *arg, json_t *answer)
{
    struct asked *q = arg;
    struct connection *x = q->by;

    free(q);
    if (x == NULL) {
        json_decref(answer);
        return;
    }
    x->asked = NULL;
    send_answer(x, answer);
}

static void refuse(struct connection *x, const char *why)
{
    x->last = true;
    send_answer(x, control_error("%s", why));
}

static void carry_out(struct connection *x, size_t len)
{
    json_error_t error;
    json_t *request = json_loadb(x->line, len, JSON_REJECT_DUPLICATES, &error);
    struct asked *q = request != NULL ? malloc(sizeof *q) : NULL;

    memmove(x->line, x->line + len + 1, x->len - len - 1);
    x->len -= len + 1;
    if (!json_is_object(request) || q == NULL) {
        refuse(x, request == NULL ? error.text : q == NULL ? "out of memory" : "not an object");
        free(q);
        json_decref(request);
        return;
    }
    *q = (struct asked){.by = x};
    x->asked = q;
    const struct control_handler *h = &x->control->handler;
    h->carry_out(h->arg, request, x->may_change, on_answer, q);
    json_decref(request);
}

static void next_line(struct connection *x)
{
    const char *end = memchr(x->line, '\n', x->len);

    if (end != NULL)
        carry_out(x, (size_t)(end - x->line));
    else if (x->len == sizeof x->line)
        refuse(x, "the line is too long");
}

static void on_room(uv_handle_t *h, size_t wanted, uv_buf_t *buf)
{
    struct connection *x = h->data;

    (void)wanted;
    *buf = uv_buf_init(x->line + x->len, (unsigned)(sizeof x->line - x->len));
}

static void on_read(uv_stream_t *s, ssize_t n, const uv_buf_t *buf)
{
    struct connection *x = s->data;

    (void)buf;
    if (n < 0) { /* ENOBUFS: lines are sent faster than answers are taken */
        hang_up(x);
        return;
    }
    x->len += (size_t)n;
    x->active_ms = uv_now(x->control->loop);
    if (n > 0 && x->asked == NULL && x->answer == NULL)
        next_line(x);
}

/* ---- Connections ---- */

static bool may_change(const uv_pipe_t *pipe)
{
    struct ucred peer;
    socklen_t len = sizeof peer;
    uv_os_fd_t fd;

    if (uv_fileno((const uv_handle_t *)pipe, &fd) != 0 ||
        getsockopt(fd, SOL_SOCKET, SO_PEERCRED, &peer, &len) != 0)
        return false;
    return peer.uid == 0 || peer.uid == geteuid();
}

static void on_connection(uv_stream_t *listener, int status)
{
    struct control *c = listener->data;
    struct connection *x = status == 0 ? calloc(1, sizeof *x) : NULL;

    if (x == NULL)
        return; /* libuv keeps it, and asks again when the next one comes */
    x->control = c;
    x->active_ms = uv_now(c->loop);
    (void)uv_pipe_init(c->loop, &x->pipe, 0); /* cannot fail */
    x->pipe.data = x;
    c->count++;
    list_append(&c->connections, &x->link);
    if (uv_accept(listener, (uv_stream_t *)&x->pipe) != 0) {
        hang_up(x);
        return;
    }
    if (c->count > CONTROL_CONNECTIONS) {
        refuse(x, "too many connections");
        return;
    }
    x->may_change = may_change(&x->pipe);
    if (uv_read_start((uv_stream_t *)&x->pipe, on_room, on_read) != 0)
        hang_up(x);
}

static void on_sweep(uv_timer_t *timer)
{
    struct control *c = timer->data;

    for (struct list *at = c->connections.next; at != &c->connections;) {
        struct connection *x = CONTAINER_OF(at, struct connection, link);
        at = at->next;
        if (x->asked == NULL && uv_now(c->loop) - x->active_ms >= CONTROL_IDLE_MS)
            hang_up(x);
    }
}

/* ---- Begin ---- */

/* Whether somebody serves the socket at `a`. */
static bool is_served(const struct sockaddr_un *a)
{
    int fd = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);
    bool served = fd < 0 || connect(fd, (const struct sockaddr *)a, sizeof *a) == 0 ||
                  errno != ECONNREFUSED;

    if (fd >= 0)
        (void)close(fd);
    return served;
}

/* A listening socket, or -errno. */
static int listen_at(struct sockaddr_un *a)
{
    struct stat st;
    int fd = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);

    if (fd < 0)
        return -errno;
    if (lstat(a->sun_path, &st) == 0 && S_ISSOCK(st.st_mode) && !is_served(a))
        (void)unlink(a->sun_path); /* of one that was killed; else bind says why not */
    mode_t before = umask(0777 & ~SOCKET_MODE);
    int rc = bind(fd, (struct sockaddr *)a, sizeof *a) != 0 ? -errno : 0;
    (void)umask(before);
    if (rc == 0 && listen(fd, BACKLOG) == 0)
        return fd;
    if (rc == 0)
        rc = -errno;
    (void)close(fd);
    return rc;
}

static int fail(struct conf_error *err, const char *path, int rc)
{
    (void)snprintf(err->text, sizeof err->text, "control socket %s: %s", path, uv_strerror(rc));
    return -1;
}

int control_start(uv_loop_t *loop, const char *path, const struct control_handler *handler,
                  struct control **out, struct conf_error *err)
{
    struct control *c = calloc(1, sizeof *c);
    struct stat st;

    if (c == NULL)
        return fail(err, path, UV_ENOMEM);
    c->address.sun_family = AF_UNIX;
    if (strlen(path) >= sizeof c->address.sun_path) {
        free(c);
        return fail(err, path, UV_ENAMETOOLONG);
    }
    memcpy(c->address.sun_path, path, strlen(path) + 1);
    int fd = listen_at(&c->address);
    if (fd < 0) {
        free(c);
        return fail(err, path, fd);
    }
    c->inode = lstat(path, &st) == 0 ? st.st_ino : 0;
    c->loop = loop;
    c->handler = *handler;
    list_init(&c->connections);
    (void)uv_pipe_init(loop, &c->listener, 0); /* neither can fail */
    (void)uv_timer_init(loop, &c->sweep);
    c->listener.data = c->sweep.data = c;
    c->open_handles = 2;
    int rc = uv_pipe_open(&c->listener, fd);
    if (rc != 0)
        (void)close(fd);
    else
        rc = uv_listen((uv_stream_t *)&c->listener, BACKLOG, on_connection);
    (void)uv_timer_start(&c->sweep, on_sweep, SWEEP_MS, SWEEP_MS); /* cannot fail */
    if (rc != 0) {
        control_stop(c);
        return fail(err, path, rc);
    }
    *out = c;
    return 0;
}

void control_stop(struct control *c)
{
    struct stat st;

    if (lstat(c->address.sun_path, &st) == 0 && st.st_ino == c->inode)
        (void)unlink(c->address.sun_path); /* a stale one is replaced at the next start */
    while (!list_empty(&c->connections))
        hang_up(CONTAINER_OF(c->connections.next, struct connection, link));
    uv_close((uv_handle_t *)&c->listener, on_handle_closed);
    uv_close((uv_handle_t *)&c->sweep, on_handle_closed);
}
