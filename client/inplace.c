/* SPDX-License-Identifier: MIT */
/* Happy path: a socket like the program's, TCP_FASTOPEN_NO_COOKIE, sendmsg(MSG_FASTOPEN): the
 * SYN leaves with the request. Only then the program's number is given to it: a socket that
 * did nothing yet would say POLLHUP to who is registered with epoll. What waits, waits by a
 * connect() that can only ask (inplace_ask).
 *
 * Failure path: whatever goes wrong before the SYN has left is the ordinary way's to judge. A
 * SYN that left with a part of the request, or with nothing (the kernel wants a cookie first
 * and drops the payload), is given up. */
#include "inplace.h"
#include "seat.h"
#include "sockopts_bind.h"
#include "sys.h"
#include "towards.h"
#include <errno.h>
#include <fcntl.h>
#include <linux/tcp.h> /* not netinet/tcp.h: the two clash */
#include <string.h>

static struct inplace_watch watched;

/* An MPTCP socket sends no SIGIO when it is connected. The first concentrator in order, if it
 * is exact; -1 if not. What is not known, or soon will not be, is wished for. */
static int choose(const struct reach_env *env, const struct plan *p, uint64_t now_ms)
{
    const struct settings *s = env->settings;
    uint8_t order[SETTINGS_PROXIES_MAX];
    uint64_t left_ms = 0;

    if (!towards_may_be_exact(s) || target_is_name(&p->target) || (p->flags & O_ASYNC) != 0 ||
        natives_way(env->natives, s, &p->target, now_ms) != NATIVES_ASK ||
        proxies_order(env->proxies, s, now_ms, order) == 0)
        return -1;
    const struct addr *proxy = &s->proxy[order[0]];

    if (!proxies_tfo(env->proxies, proxy, s->tfo, now_ms))
        return -1;
    enum proxies_exact is = proxies_exact(env->proxies, proxy, s->dialect, now_ms, &left_ms);

    if (left_ms < PROXIES_EXACT_LATE_MS || is == PROXIES_EXACT_DOUBTFUL)
        shared_wish(env->shared);
    return is == PROXIES_EXACT_YES ? order[0] : -1;
}

/* True: all of the request is in the SYN. */
static bool send_syn(const struct settings *s, const struct plan *p, const struct towards *t)
{
    struct initiator_options o = towards_request(s);
    struct sockaddr_storage to;
    struct initiator request;
    int error;

    o.no_answer = true;
    if (!initiator_init(&request, &o, &p->target, &error) ||
        sys_set_int(t->fd, IPPROTO_TCP, TCP_FASTOPEN_NO_COOKIE, 1) < 0)
        return false;
    sockopts_bind_mark(t->fd);
    struct span out = initiator_output(&request);
    struct iovec piece = {.iov_len = out.len};
    struct msghdr m = {.msg_name = &to,
                       .msg_namelen = addr_to_sockaddr(&t->proxy, &to),
                       .msg_iov = &piece,
                       .msg_iovlen = 1};

    memcpy(&piece.iov_base, &out.ptr, sizeof out.ptr); /* the kernel only reads */
    return sys_sendmsg(t->fd, &m, MSG_FASTOPEN | MSG_DONTWAIT | MSG_NOSIGNAL) ==
           (ssize_t)out.len;
}

int inplace_start(struct inplace_seen *out, const struct reach_env *env, const struct plan *p,
                  int model)
{
    uint64_t now_ms = sys_now_ms();
    int which = choose(env, p, now_ms);
    struct towards t;

    if (which < 0 ||
        towards_open(&t, env->settings, p, &env->settings->proxy[which], model, true) < 0)
        return INPLACE_NOT;
    if (!send_syn(env->settings, p, &t)) {
        (void)sys_close(t.fd);
        return INPLACE_NOT;
    }
    *out = (struct inplace_seen){
        .cookie = sys_cookie(t.fd), .fd = t.fd, .proxy = (uint8_t)which, .began_ms = now_ms};
    shared_add(env->shared, SHARED_CONNECTS, 1);
    shared_add(env->shared, SHARED_EXACT, 1);
    shared_add(env->shared, SHARED_OPTION_LOST, t.lost);
    return 0;
}

/* connect() on a socket whose connect is under way, or has ended and was not told, does not
 * look at the address; on any other one of the wrong family is refused. */
int inplace_ask(int fd)
{
    union {
        struct sockaddr any;
        struct sockaddr_in v4;
        struct sockaddr_in6 v6;
    } wrong;
    int family = AF_INET;

    (void)sys_get_int(fd, SOL_SOCKET, SO_DOMAIN, &family);
    memset(&wrong, 0, sizeof wrong);
    wrong.any.sa_family = family == AF_INET6 ? AF_INET : AF_INET6;
    return sys_connect(fd, &wrong.any, sizeof wrong);
}

void inplace_forget(uint64_t cookie)
{
    for (unsigned i = 0; i < INPLACE_WATCHED; i++)
        (void)inplace_watch_take(&watched, i, cookie);
}

static bool is_open(int rc)
{
    return rc == -EALREADY || rc == -EINPROGRESS || rc == -EINTR;
}

int inplace_connect(const struct reach_env *env, const struct plan *p, int fd)
{
    struct inplace_seen s;
    int rc = inplace_start(&s, env, p, fd);

    if (rc != 0)
        return rc;
    rc = seat_take(env, p, fd, s.fd, TRUTH_KERNEL);
    if (rc != 0)
        return rc;
    s.fd = fd;
    inplace_watch_add(&watched, &s);
    if ((p->flags & O_NONBLOCK) != 0)
        return -EINPROGRESS;
    rc = inplace_again(env, fd, s.cookie);
    return rc == -EALREADY ? -EINPROGRESS : rc; /* SO_SNDTIMEO: socket(7) */
}

int inplace_again(const struct reach_env *env, int fd, uint64_t cookie)
{
    int rc = inplace_ask(fd);

    if (is_open(rc) || rc == -EISCONN)
        return rc;
    if (rc == -EAFNOSUPPORT) {
        inplace_forget(cookie);
        truth_forget(env->shared, cookie);
        return INPLACE_NOT;
    }
    inplace_told(env, fd, cookie, -rc);
    if (rc != 0)
        truth_forget(env->shared, cookie); /* from here on it is a new socket */
    return rc;
}

/* Takes, judges, and puts back what is not over. */
static void judge(const struct reach_env *env, unsigned i, struct inplace_seen *s, int fd,
                  int error)
{
    if (inplace_watch_take(&watched, i, s->cookie) && inplace_judge(env, s, fd, error))
        inplace_watch_put(&watched, i, s);
}

void inplace_told(const struct reach_env *env, int fd, uint64_t cookie, int error)
{
    struct inplace_seen s;

    for (unsigned i = 0; i < INPLACE_WATCHED; i++)
        if (inplace_watch_get(&watched, i, &s) && s.cookie == cookie) {
            judge(env, i, &s, fd, error);
            return;
        }
}

void inplace_look(const struct reach_env *env)
{
    struct inplace_seen s;

    for (unsigned i = 0; i < INPLACE_WATCHED; i++) {
        if (!inplace_watch_get(&watched, i, &s))
            continue;
        if (sys_cookie(s.fd) == s.cookie)
            judge(env, i, &s, s.fd, 0);
        else
            (void)inplace_watch_take(&watched, i, s.cookie); /* closed, or moved */
    }
}

void inplace_forked(void)
{
    inplace_watch_clear(&watched);
}
