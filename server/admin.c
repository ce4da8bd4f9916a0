/* SPDX-License-Identifier: MIT */
/* libmicrohttpd answers; it brings an epoll fd of its own, which hangs in our loop as one
 * uv_poll_t, with one uv_timer_t for its timeouts and ours. We accept, because libmicrohttpd
 * would spin when accept() runs out of fds, and we look at each head before it does, because it
 * is too lenient for us and its timeout is about silence: a peer that sends an octet now and
 * then would stay.
 *
 * Happy path: on_listen -> slot, watched by `gate` -> on_gate until the head is complete and
 * good -> MHD_add_connection -> on_request. Every answer closes the connection, so a slot sees
 * one request. Failure path: exchange.h. No slot free: the listening socket is not polled until
 * one is; who waits stays in the kernel's queue. */
#include "admin.h"
#include "exchange.h"
#include <errno.h>
#include <sys/epoll.h>
#include <sys/socket.h>
#include <unistd.h>

enum {
    CONNECTION_MEMORY = 32 * 1024, /* head, parsed fields, header of the answer */
    SILENCE_S = 5,
    ACCEPTS_PER_TURN = 8,
};

struct admin {
    struct exchange_env env;
    struct MHD_Daemon *daemon;
    int listen_fd,
        gate_fd; /* gate: an epoll set, edge-triggered, of who has not sent a whole head */
    uv_poll_t listener, poll, gate;
    uv_timer_t timer;
    unsigned handles; /* not yet closed */
    bool stopping, accepting;
    bool resumed;             /* a connection was, since libmicrohttpd ran */
    uint64_t accept_again_ms; /* 0: when a slot is free */
    struct exchange *adding;  /* while inside MHD_add_connection */
    struct exchange exchange[ADMIN_CONNECTIONS];
};

static struct exchange *exchange_of(struct MHD_Connection *connection)
{
    const union MHD_ConnectionInfo *info =
        MHD_get_connection_info(connection, MHD_CONNECTION_INFO_SOCKET_CONTEXT);

    return info != NULL ? info->socket_context : NULL;
}

static enum MHD_Result on_request(void *arg, struct MHD_Connection *connection,
                                  const char *path, const char *method, const char *version,
                                  const char *upload, size_t *upload_size, void **context)
{
    struct exchange *x = exchange_of(connection);

    (void)arg;
    (void)method;
    (void)version;
    (void)upload;
    (void)context;
    if (x == NULL)
        return MHD_NO;
    *upload_size = 0; /* a body was refused before it came */
    return exchange_request(x, path);
}

static void on_connection(void *arg, struct MHD_Connection *connection, void **context,
                          enum MHD_ConnectionNotificationCode code)
{
    struct admin *a = arg;

    if (code == MHD_CONNECTION_NOTIFY_STARTED) {
        a->adding->connection = connection;
        *context = a->adding;
    } else if (*context != NULL) {
        exchange_end(*context);
    }
}

static struct exchange *free_slot(struct admin *a)
{
    for (size_t i = 0; i < ADMIN_CONNECTIONS; i++) {
        if (a->exchange[i].phase == EXCHANGE_FREE)
            return &a->exchange[i];
    }
    return NULL;
}

/* ---- the loop ---- */

static void on_listen(uv_poll_t *p, int status, int events);
static void on_timer(uv_timer_t *t);

static void set_accepting(struct admin *a, bool on)
{
    if (on == a->accepting)
        return;
    if (on) {
        a->accepting = uv_poll_start(&a->listener, UV_READABLE, on_listen) ==
                       0; /* else: at the next turn */
    } else {
        (void)uv_poll_stop(&a->listener); /* always 0 */
        a->accepting = false;
    }
}

static void pause_accepting(struct admin *a)
{
    set_accepting(a, false);
    a->accept_again_ms = uv_now(a->env.loop) + a->env.timing.accept_ms;
}

static void arm(struct admin *a)
{
    uint64_t now = uv_now(a->env.loop),
             next = a->accept_again_ms != 0 ? a->accept_again_ms : UINT64_MAX;
    MHD_UNSIGNED_LONG_LONG wait_ms;

    if (MHD_get_timeout(a->daemon, &wait_ms) == MHD_YES && now + wait_ms < next)
        next = now + wait_ms;
    for (size_t i = 0; i < ADMIN_CONNECTIONS; i++) {
        if (a->exchange[i].phase != EXCHANGE_FREE && a->exchange[i].deadline_ms < next)
            next = a->exchange[i].deadline_ms;
    }
    if (a->resumed)
        next = now;
    if (next == UINT64_MAX)
        (void)uv_timer_stop(&a->timer); /* always 0 */
    else
        (void)uv_timer_start(&a->timer, on_timer, next > now ? next - now : 0,
                             0); /* fails on a closing handle only */
}

static void on_wake(struct exchange_env *env)
{
    struct admin *a = CONTAINER_OF(env, struct admin, env);

    a->resumed = true;
    arm(a);
}

/* After anything happened: let libmicrohttpd work, take up accepting again when there is room,
 * set the timer. */
static void turn(struct admin *a)
{
    a->resumed = false;
    (void)MHD_run(a->daemon); /* its failures are those of single connections */
    if (!a->accepting && a->accept_again_ms == 0 && free_slot(a) != NULL)
        set_accepting(a, true);
    arm(a);
}

static void on_timer(uv_timer_t *t)
{
    struct admin *a = t->data;
    uint64_t now = uv_now(a->env.loop);

    for (size_t i = 0; i < ADMIN_CONNECTIONS; i++) {
        if (a->exchange[i].phase != EXCHANGE_FREE && a->exchange[i].deadline_ms <= now)
            exchange_expire(&a->exchange[i]);
    }
    if (a->accept_again_ms != 0 && a->accept_again_ms <= now)
        a->accept_again_ms = 0;
    turn(a);
}

static void on_epoll(uv_poll_t *p, int status, int events)
{
    (void)status;
    (void)events;
    turn(p->data);
}

static void admit(struct admin *a, struct exchange *x, int fd)
{
    struct epoll_event ev = {.events = EPOLLIN | EPOLLRDHUP | EPOLLET, .data.ptr = x};

    if (epoll_ctl(a->gate_fd, EPOLL_CTL_ADD, fd, &ev) == 0)
        exchange_begin(x, &a->env, fd);
    else
        (void)close(fd); /* out of memory */
}

static void hand_over(struct admin *a, struct exchange *x)
{
    struct sockaddr_storage from;
    socklen_t len = sizeof from;

    (void)epoll_ctl(a->gate_fd, EPOLL_CTL_DEL, x->fd, NULL);       /* it is there */
    if (getpeername(x->fd, (struct sockaddr *)&from, &len) != 0) { /* reset in the meantime */
        exchange_expire(x);
        return;
    }
    exchange_pass(x);
    a->adding = x;
    enum MHD_Result added =
        MHD_add_connection(a->daemon, x->fd, (const struct sockaddr *)&from, len);
    a->adding = NULL;
    if (added != MHD_YES) /* out of memory; it has closed the fd */
        exchange_end(x);
}

static void on_gate(uv_poll_t *p, int status, int events)
{
    struct admin *a = p->data;
    struct epoll_event ev[ADMIN_CONNECTIONS];
    int n = epoll_wait(a->gate_fd, ev, ADMIN_CONNECTIONS, 0);

    (void)status;
    (void)events;
    for (int i = 0; i < n; i++) {
        struct exchange *x = ev[i].data.ptr;

        if (x->phase == EXCHANGE_HEAD &&
            exchange_peek(x, (ev[i].events & (EPOLLRDHUP | EPOLLHUP | EPOLLERR)) != 0))
            hand_over(a, x);
    }
    turn(a);
}

static void on_listen(uv_poll_t *p, int status, int events)
{
    struct admin *a = p->data;

    (void)events;
    if (status < 0) /* libuv has stopped the handle */
        pause_accepting(a);
    for (int i = 0; status == 0 && i < ACCEPTS_PER_TURN; i++) {
        struct exchange *x = free_slot(a);

        if (x == NULL) {
            set_accepting(a, false);
            break;
        }
        int fd = accept4(a->listen_fd, NULL, NULL, SOCK_NONBLOCK | SOCK_CLOEXEC);
        int err = errno;
        if (fd >= 0) {
            admit(a, x, fd);
        } else if (err == EAGAIN) {
            break;
        } else if (err != EINTR &&
                   err !=
                       ECONNABORTED) { /* out of fds or memory: it would fail at once again */
            pause_accepting(a);
            break;
        }
    }
    turn(a);
}

/* ---- life ---- */

static void on_closed(uv_handle_t *h)
{
    struct admin *a = h->data;

    if (--a->handles > 0)
        return;
    if (a->listen_fd >= 0)
        (void)close(a->listen_fd); /* nothing to do about a failure, of either */
    if (a->gate_fd >= 0)
        (void)close(a->gate_fd);
    free(a);
}

static void own(struct admin *a, uv_handle_t *h)
{
    h->data = a;
    a->handles++;
}

static void close_all(struct admin *a)
{
    uv_handle_t *all[] = {(uv_handle_t *)&a->timer, (uv_handle_t *)&a->listener,
                          (uv_handle_t *)&a->poll, (uv_handle_t *)&a->gate};

    for (size_t i = 0; i < ARRAY_LEN(all); i++) {
        if (all[i]->data != NULL)
            uv_close(all[i], on_closed);
    }
    /* Its epoll fd goes with it: after the poll handle let go of it. */
    if (a->daemon != NULL)
        MHD_stop_daemon(a->daemon);
}

void admin_stop(struct admin *a)
{
    ASSERT(!a->env.in_source && !a->stopping);
    a->stopping = true;
    /* libmicrohttpd cannot stop with a suspended connection: they wake first. */
    for (size_t i = 0; i < ADMIN_CONNECTIONS; i++)
        exchange_stop(&a->exchange[i]);
    exchange_disown(&a->env);
    close_all(a);
}

static int start_daemon(struct admin *a)
{
    a->daemon = MHD_start_daemon(
        MHD_USE_EPOLL | MHD_ALLOW_SUSPEND_RESUME | MHD_USE_NO_LISTEN_SOCKET, 0, NULL, NULL,
        on_request, a, MHD_OPTION_CONNECTION_LIMIT, (unsigned)ADMIN_CONNECTIONS,
        MHD_OPTION_CONNECTION_TIMEOUT, (unsigned)SILENCE_S, MHD_OPTION_CONNECTION_MEMORY_LIMIT,
        (size_t)CONNECTION_MEMORY, MHD_OPTION_STRICT_FOR_CLIENT, 1,
        MHD_OPTION_NOTIFY_CONNECTION, on_connection, a, MHD_OPTION_END);
    return a->daemon != NULL ? 0 : UV_ENOMEM;
}

static int watch(struct admin *a, uv_poll_t *p, int fd, uv_poll_cb ready)
{
    int err = uv_poll_init(a->env.loop, p, fd);

    if (err != 0)
        return err;
    own(a, (uv_handle_t *)p);
    return uv_poll_start(p, UV_READABLE, ready);
}

static int start_polls(struct admin *a, int listen_fd)
{
    const union MHD_DaemonInfo *info = MHD_get_daemon_info(a->daemon, MHD_DAEMON_INFO_EPOLL_FD);

    a->gate_fd = epoll_create1(EPOLL_CLOEXEC);
    if (info == NULL || a->gate_fd < 0)
        return a->gate_fd < 0 ? -errno : UV_ENOTSUP;
    int err = watch(a, &a->poll, info->epoll_fd, on_epoll);
    if (err == 0)
        err = watch(a, &a->gate, a->gate_fd, on_gate);
    if (err == 0)
        err = watch(a, &a->listener, listen_fd, on_listen);
    a->accepting = err == 0;
    return err;
}

int admin_start_timed(uv_loop_t *loop, int listen_fd, const struct admin_source *source,
                      const struct admin_timing *timing, struct admin **out)
{
    struct admin *a = calloc(1, sizeof *a);
    struct sockaddr_storage bound;
    socklen_t len = sizeof bound;

    if (a == NULL)
        return UV_ENOMEM;
    a->env = (struct exchange_env){
        .loop = loop, .source = *source, .timing = *timing, .wake = on_wake};
    list_init(&a->env.asks);
    a->gate_fd = -1;
    a->listen_fd = -1; /* the caller's until all is well */
    int err = uv_timer_init(loop, &a->timer);
    if (err != 0) {
        free(a);
        return err;
    }
    own(a, (uv_handle_t *)&a->timer);
    if (getsockname(listen_fd, (struct sockaddr *)&bound, &len) != 0)
        err = -errno;
    else if (!addr_from_sockaddr((const struct sockaddr *)&bound, len, &a->env.bound))
        err = UV_EINVAL;
    if (err == 0)
        err = start_daemon(a);
    if (err == 0)
        err = start_polls(a, listen_fd);
    if (err != 0) {
        close_all(a);
        return err;
    }
    a->listen_fd = listen_fd;
    *out = a;
    return 0;
}

int admin_start(uv_loop_t *loop, int listen_fd, const struct admin_source *source,
                struct admin **out)
{
    static const struct admin_timing timing = {
        .head_ms = 5000, .answer_ms = 2000, .send_ms = 30000, .accept_ms = 200};

    return admin_start_timed(loop, listen_fd, source, &timing, out);
}
