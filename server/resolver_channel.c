/* SPDX-License-Identifier: MIT */
/* Happy path: ask -> c-ares opens a socket through our functions and says what to poll it for
 * -> readable -> c-ares calls on_reply -> the owner has its turn, outside c-ares. Failure path:
 * whatever fails underneath (no fd, no memory, no route) is a failed send for c-ares, which
 * tries the next server and ends with a status. */
#include "resolver_channel.h"
#include <ares.h>
#include <errno.h>
#include <netinet/tcp.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/uio.h>
#include <unistd.h>

enum { CLASS_IN = 1, DNS_PORT = 53 };

struct resolver_channel {
    ares_channel ares; /* NULL once closed */
    uv_loop_t *loop;
    uv_timer_t timer;
    struct list sockets;
    size_t questions;
    unsigned pins; /* handles not yet closed */
    bool kicked;
    resolver_channel_turn_fn *turn;
    void *arg;
};

struct socket {
    uv_poll_t poll;
    struct list link; /* of channel.sockets until c-ares closes it */
    struct resolver_channel *channel;
    int fd;
    int events; /* what c-ares waits for: UV_READABLE, UV_WRITABLE */
};

static void on_timer(uv_timer_t *t);

/* ---- Memory: the channel goes with its last handle ---- */

static void unpin(struct resolver_channel *c)
{
    ASSERT(c->pins > 0);
    if (--c->pins == 0)
        free(c);
}

static void on_timer_closed(uv_handle_t *h)
{
    unpin(h->data);
}

static void on_socket_closed(uv_handle_t *h)
{
    struct socket *s = CONTAINER_OF(h, struct socket, poll);

    (void)close(s->fd); /* a question's socket: nothing to lose */
    unpin(h->data);
    free(s);
}

/* ---- Timeouts ---- */

static void arm(struct resolver_channel *c)
{
    struct timeval tv;
    uint64_t ms = 0;

    if (c->ares == NULL)
        return;
    if (!c->kicked) {
        if (ares_timeout(c->ares, NULL, &tv) == NULL) {
            (void)uv_timer_stop(&c->timer); /* cannot fail */
            return;
        }
        ms = (uint64_t)tv.tv_sec * 1000 + (uint64_t)tv.tv_usec / 1000 +
             1; /* never early: no spinning */
    }
    (void)uv_timer_start(&c->timer, on_timer, ms, 0); /* an open timer: cannot fail */
}

/* Lets c-ares work, then the owner; the channel may be closed afterwards. */
static void process(struct resolver_channel *c, int readable_fd, int writable_fd)
{
    ares_process_fd(c->ares, readable_fd, writable_fd);
    c->kicked = false;
    arm(c);
    c->turn(c->arg);
}

static void on_timer(uv_timer_t *t)
{
    process(t->data, ARES_SOCKET_BAD, ARES_SOCKET_BAD);
}

static void on_poll(uv_poll_t *h, int status, int events)
{
    struct socket *s = CONTAINER_OF(h, struct socket, poll);
    int fd = s->fd;

    if (status < 0) { /* an error is to be read from the socket: c-ares does, libuv has stopped
                         polling */
        events = UV_READABLE | UV_WRITABLE;
        (void)uv_poll_start(h, s->events, on_poll); /* an open handle: cannot fail */
    }
    process(s->channel, (events & UV_READABLE) != 0 ? fd : ARES_SOCKET_BAD,
            (events & UV_WRITABLE) != 0 ? fd : ARES_SOCKET_BAD);
}

/* ---- Sockets, as c-ares wants them ---- */

static struct socket *find_socket(struct resolver_channel *c, int fd)
{
    for (struct list *at = c->sockets.next; at != &c->sockets; at = at->next) {
        struct socket *s = CONTAINER_OF(at, struct socket, link);
        if (s->fd == fd)
            return s;
    }
    return NULL;
}

static ares_socket_t open_socket(int family, int type, int protocol, void *arg)
{
    static const int on = 1;
    struct resolver_channel *c = arg;
    struct socket *s = calloc(1, sizeof *s);

    if (s == NULL)
        return ARES_SOCKET_BAD;
    s->fd = socket(family, type | SOCK_NONBLOCK | SOCK_CLOEXEC, protocol);
    if (s->fd < 0) {
        free(s);
        return ARES_SOCKET_BAD;
    }
    if (uv_poll_init(c->loop, &s->poll, s->fd) != 0) {
        (void)close(s->fd); /* never used */
        free(s);
        return ARES_SOCKET_BAD;
    }
    if (type == SOCK_STREAM) /* without: only slower */
        (void)setsockopt(s->fd, IPPROTO_TCP, TCP_NODELAY, &on, sizeof on);
    s->poll.data = c;
    s->channel = c;
    c->pins++;
    list_append(&c->sockets, &s->link);
    return s->fd;
}

static int close_socket(ares_socket_t fd, void *arg)
{
    struct socket *s = find_socket(arg, fd);

    ASSERT(s != NULL);
    list_remove(&s->link);
    uv_close((uv_handle_t *)&s->poll, on_socket_closed);
    return 0;
}

static int connect_socket(ares_socket_t fd, const struct sockaddr *to, ares_socklen_t len,
                          void *arg)
{
    (void)arg;
    return connect(fd, to, len);
}

static ares_ssize_t receive(ares_socket_t fd, void *buf, size_t len, int flags,
                            struct sockaddr *from, ares_socklen_t *from_len, void *arg)
{
    (void)arg;
    return recvfrom(fd, buf, len, flags, from, from_len);
}

static ares_ssize_t send_vector(ares_socket_t fd, const struct iovec *vec, int count, void *arg)
{
    struct iovec copy[8];
    struct msghdr msg = {.msg_iov = copy};

    (void)arg;
    while (msg.msg_iovlen < (size_t)count && msg.msg_iovlen < ARRAY_LEN(copy)) {
        copy[msg.msg_iovlen] = vec[msg.msg_iovlen];
        msg.msg_iovlen++;
    }
    return sendmsg(fd, &msg, MSG_NOSIGNAL);
}

static void on_interest(void *arg, ares_socket_t fd, int readable, int writable)
{
    struct socket *s = find_socket(arg, fd);

    if (s == NULL)
        return;
    s->events = (readable ? UV_READABLE : 0) | (writable ? UV_WRITABLE : 0);
    if (s->events == 0)
        (void)uv_poll_stop(&s->poll); /* cannot fail */
    else
        (void)uv_poll_start(&s->poll, s->events, on_poll); /* an open handle: cannot fail */
}

/* ---- Questions ---- */

static void on_reply(void *arg, int status, int timeouts, unsigned char *msg, int len)
{
    struct resolver_question *q = arg;

    (void)timeouts;
    q->channel->questions--;
    q->reply(q, status, span_of(msg, msg == NULL || len < 0 ? 0 : (size_t)len));
}

void resolver_channel_ask(struct resolver_channel *c, const char *name, int type,
                          struct resolver_question *q, resolver_channel_reply_fn *reply)
{
    q->channel = c;
    q->reply = reply;
    c->questions++;
    /* Of all ways to ask, the one that knows no search list, no HOSTALIASES and no hosts file.
     */
    ares_query(c->ares, name, CLASS_IN, type, on_reply, q);
    arm(c);
}

void resolver_channel_kick(struct resolver_channel *c)
{
    c->kicked = true;
    arm(c);
}

size_t resolver_channel_open_questions(const struct resolver_channel *c)
{
    return c->questions;
}

/* ---- Life ---- */

/* "192.0.2.53", "[2001:db8::53]:5353" */
static bool parse_server(const char *text, struct ares_addr_port_node *out)
{
    struct addr a;

    if (!addr_parse_ip(text, strlen(text), &a) && !addr_parse(text, &a))
        return false;
    if (a.scope != 0) /* c-ares 1.18 takes none from us, only from /etc/resolv.conf */
        return false;
    memset(out, 0, sizeof *out);
    out->family = a.family == ADDR_IPV6 ? AF_INET6 : AF_INET;
    memcpy(&out->addr, a.ip, a.family == ADDR_IPV6 ? 16 : 4);
    out->udp_port = out->tcp_port = a.port == 0 ? DNS_PORT : a.port;
    return true;
}

static int error_of(int status)
{
    if (status == ARES_SUCCESS)
        return 0;
    return status == ARES_ENOMEM ? UV_ENOMEM : UV_EIO;
}

static int set_servers(ares_channel ares, const struct conf_strings *servers)
{
    int rc = UV_EINVAL;

    if (servers == NULL || servers->count == 0)
        return 0;
    struct ares_addr_port_node *node = calloc(servers->count, sizeof *node);
    if (node == NULL)
        return UV_ENOMEM;
    for (size_t i = 0; i < servers->count; i++) {
        if (!parse_server(servers->item[i], &node[i]))
            goto fail_parse;
        if (i > 0)
            node[i - 1].next = &node[i];
    }
    rc = error_of(ares_set_servers_ports(ares, node));
fail_parse:
    free(node);
    return rc;
}

/* No EDNS: 1.18 can be made to shorten a question again and again by servers that answer
 * FORMERR; big answers come over TCP. ares_library_init() is not called: on POSIX it only
 * counts, and does so without a lock. */
static int open_ares(struct resolver_channel *c, const struct resolver_config *cfg)
{
    static const struct ares_socket_functions functions = {
        .asocket = open_socket,
        .aclose = close_socket,
        .aconnect = connect_socket,
        .arecvfrom = receive,
        .asendv = send_vector,
    };
    struct ares_options options = {
        .timeout = cfg->timeout_ms > INT32_MAX ? INT32_MAX : (int)cfg->timeout_ms,
        .tries = cfg->tries > INT32_MAX ? INT32_MAX : (int)cfg->tries,
        .sock_state_cb = on_interest,
        .sock_state_cb_data = c,
    };

    int status = ares_init_options(
        &c->ares, &options, ARES_OPT_TIMEOUTMS | ARES_OPT_TRIES | ARES_OPT_SOCK_STATE_CB);
    if (status != ARES_SUCCESS)
        return error_of(status);
    ares_set_socket_functions(c->ares, &functions, c);
    int rc = set_servers(c->ares, cfg->servers);
    if (rc != 0)
        ares_destroy(c->ares);
    return rc;
}

int resolver_channel_open(uv_loop_t *loop, const struct resolver_config *cfg,
                          resolver_channel_turn_fn *turn, void *arg,
                          struct resolver_channel **out)
{
    struct resolver_channel *c = calloc(1, sizeof *c);

    if (c == NULL)
        return UV_ENOMEM;
    list_init(&c->sockets);
    c->loop = loop;
    c->turn = turn;
    c->arg = arg;
    int rc = open_ares(c, cfg);
    if (rc != 0)
        goto fail_ares;
    rc = uv_timer_init(loop, &c->timer);
    if (rc != 0)
        goto fail_timer;
    c->timer.data = c;
    c->pins = 1;
    *out = c;
    return 0;
fail_timer:
    ares_destroy(c->ares);
fail_ares:
    free(c);
    return rc;
}

void resolver_channel_close(struct resolver_channel *c)
{
    ares_channel ares = c->ares;

    c->ares = NULL;
    ares_destroy(ares);
    uv_close((uv_handle_t *)&c->timer, on_timer_closed);
}
