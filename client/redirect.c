/* SPDX-License-Identifier: MIT */
/* A blocking connect() waits for the verdict here, and the new socket takes the place of the
 * program's; its own socket is not touched before that, so that after a failure it can be
 * connected again. A non-blocking one is handed to swap.h; should that not be possible, it
 * waits like a blocking one: late, but right. */
#include "redirect.h"
#include "inplace.h"
#include "install.h"
#include "journal.h"
#include "libc.h"
#include "placeholder.h"
#include "redirect_names.h"
#include "seat.h"
#include "sockopts.h"
#include "swap.h"
#include "sys.h"
#include <errno.h>
#include <fcntl.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <pthread.h>
#include <stdatomic.h>
#include <stdlib.h>
#include <string.h>

static struct {
    struct settings settings;
    struct reach_env env;
    _Atomic bool on;
} g;

bool redirect_on(void)
{
    return atomic_load_explicit(&g.on, memory_order_acquire);
}

static void complain(const char *text)
{
    const char *log = libc_variable("MPCONVERT_LOG");
    struct journal j;

    if (log == NULL)
        return;
    journal_begin(&j, "settings");
    journal_text(&j, "error", text);
    journal_end(&j, log);
}

static void forked(void)
{
    install_forked();
    swap_forked();
    inplace_forked();
}

void redirect_init(void)
{
    struct settings_error error;
    char text[SETTINGS_NAMES_MAX];
    const char *proxy = libc_variable("MPCONVERT_PROXY");

    if (proxy == NULL || proxy[0] == 0 || redirect_on())
        return;
    if (!settings_from(&g.settings, libc_variable, &error)) {
        complain(error.text);
        return;
    }
    /* For the count of what is bypassed; where the list is full plan.h knows them all the same.
     */
    for (unsigned i = 0; i < g.settings.proxies; i++)
        (void)bypass_add_address(&g.settings.bypass, &g.settings.proxy[i]);
    if (g.settings.bypass_local)
        (void)bypass_add_local(&g.settings.bypass);
    g.env.settings = &g.settings;
    g.env.shared = shared_map(g.settings.run);
    if (g.env.shared == NULL) /* another run's, or gone: this process for itself */
        g.env.shared = shared_map(NULL);
    const char *cache =
        proxies_file(&g.settings, libc_variable("XDG_RUNTIME_DIR"), text, sizeof text);
    g.env.proxies =
        cache != NULL ? proxies_map(cache) : proxies_within(shared_page(g.env.shared));
    g.env.natives = natives_open(&g.settings, cache, shared_natives(g.env.shared));
    if (g.env.shared == NULL || g.env.proxies == NULL)
        return;
    swap_init();
    libc_at_fork(forked);
    atomic_store_explicit(&g.on, true, memory_order_release);
}

static bool nonblocking(int fd)
{
    int flags = sys_fcntl(fd, F_GETFL, 0);

    return flags >= 0 && (flags & O_NONBLOCK) != 0;
}

static uint64_t send_timeout_ms(int fd)
{
    struct timeval t = {0};
    socklen_t len = sizeof t;

    if (sys_getsockopt(fd, SOL_SOCKET, SO_SNDTIMEO, &t, &len) != 0)
        return 0;
    return (uint64_t)t.tv_sec * 1000 + (uint64_t)((t.tv_usec + 999) / 1000);
}

static int connect_waiting(const struct plan *p, int fd, const struct sockaddr *to,
                           socklen_t len)
{
    struct reach r;
    int rc = 0;

    switch (reach_start(&r, &g.env, p, fd,
                        (p->flags & O_NONBLOCK) != 0 ? 0 : send_timeout_ms(fd))) {
    case DIAL_WAIT:
        rc = reach_wait(&r);
        break;
    case DIAL_READY:
        break;
    case DIAL_FAILED:
        rc = -r.error;
        break;
    }
    if (rc == 0)
        return seat_take(&g.env, p, fd, r.fd, TRUTH_CONNECTED);
    if (rc == -EINTR) { /* it goes on, as in the kernel: connect(2), EINTR */
        rc = swap_adopt(&r, fd);
        if (rc != -EINPROGRESS)
            reach_drop(&r);
        return -EINTR;
    }
    if (r.direct)
        return sys_connect(fd, to, len);
    return rc;
}

/* A pending socket was made blocking: the verdict, which with this is told. */
static int await_pending(int fd, uint64_t cookie, const struct sockaddr *to, socklen_t len)
{
    int rc = swap_again(cookie, send_timeout_ms(fd)), error = 0;
    struct truth t;

    if (rc == -EINTR)
        return rc;
    cookie = sys_cookie(fd); /* another one, if a new socket took the place */
    if (truth_report(g.env.shared, cookie, &error)) {
        if (error != 0) {
            truth_forget(g.env.shared, cookie);
            redirect_reset(fd);
        }
        return -error;
    }
    if ((rc != 0 && rc != -EALREADY) || truth_get(g.env.shared, cookie, &t))
        return rc;
    /* Without a concentrator the kernel tells it once more, and only then EISCONN. */
    int kernel = sys_connect(fd, to, len);

    return rc == 0 ? 0 : kernel;
}

/* Told already; the kernel's socket still has the address of its failed attempt. */
static void begin_anew(int fd, uint64_t cookie)
{
    struct truth t;

    if (!truth_get(g.env.shared, cookie, &t))
        return;
    truth_forget(g.env.shared, cookie);
    redirect_reset(fd);
}

/* A pending socket that waits no longer, but not by an answer. Positive: the program shut it
 * down, which ends a connect, and it can connect again; -errno: the kernel's own SYNs were in
 * vain. The truth is looked at once more: a failure is published before it happens. */
static int ended_early(int fd, uint64_t cookie)
{
    struct truth t;
    int error = 0;

    if (placeholder_waits(fd) || !truth_get(g.env.shared, cookie, &t) ||
        t.state != TRUTH_PENDING || sys_cookie(fd) != cookie)
        return 0;
    (void)sys_get_int(fd, SOL_SOCKET, SO_ERROR, &error);
    swap_forget(cookie);
    begin_anew(fd, cookie);
    return error != 0 && error != ECONNRESET /* of shutdown() */ ? -error : 1;
}

/* connect() on a socket that was redirected before. */
static int connect_again(int fd, const struct plan *p, const struct sockaddr *to, socklen_t len)
{
    uint64_t cookie = p->cookie != 0 ? p->cookie : sys_cookie(fd);
    struct truth t;
    int error = 0;

    if (!truth_get(g.env.shared, cookie, &t))
        return REDIRECT_PASS;
    switch (t.state) {
    case TRUTH_PENDING:
        return nonblocking(fd) ? -EALREADY : await_pending(fd, cookie, to, len);
    case TRUTH_CONNECTED:
        return truth_report(g.env.shared, cookie, &error) ? 0 : -EISCONN;
    case TRUTH_FAILED:
        /* Told by SO_ERROR already: the kernel says ECONNABORTED once, then begins anew. */
        if (!truth_report(g.env.shared, cookie, &error) || error == 0)
            error = ECONNABORTED;
        truth_forget(g.env.shared, cookie);
        redirect_reset(fd);
        return -error;
    case TRUTH_KERNEL: /* by another thread, in this moment */
        return -EALREADY;
    }
    return REDIRECT_PASS;
}

static void count_bypassed(int fd, const struct sockaddr *to, socklen_t len)
{
    struct sockaddr_storage copy = {.ss_family = AF_UNSPEC};
    struct addr a;
    int protocol = 0;

    if (to == NULL || len > sizeof copy)
        return;
    memcpy(&copy, to, len); /* it may lie anywhere */
    if (addr_from_sockaddr((const struct sockaddr *)&copy, len, &a) &&
        bypass_has(&g.settings.bypass, &a) &&
        sys_get_int(fd, SOL_SOCKET, SO_PROTOCOL, &protocol) == 0 && protocol != IPPROTO_UDP)
        shared_add(g.env.shared, SHARED_BYPASSED, 1);
}

static bool in_place(uint64_t cookie)
{
    struct truth t;

    return truth_get(g.env.shared, cookie, &t) && t.state == TRUTH_KERNEL;
}

static bool forgets(const struct sockaddr *to, socklen_t len)
{
    return to != NULL && len >= sizeof to->sa_family && to->sa_family == AF_UNSPEC;
}

int redirect_connect(int fd, const struct sockaddr *to, socklen_t len)
{
    if (!redirect_on())
        return REDIRECT_PASS;
    if (forgets(to, len)) {
        uint64_t cookie = sys_cookie(fd);

        if (swap_pending() != 0)
            swap_forget(cookie);
        inplace_forget(cookie);
        truth_forget(g.env.shared, cookie);
        return REDIRECT_PASS;
    }
    struct plan p = plan_connect(&g.settings, g.env.shared, fd, to, len);

    if (p.kind == PLAN_AGAIN && in_place(p.cookie)) {
        int rc = inplace_again(&g.env, fd, p.cookie);

        if (rc != INPLACE_NOT)
            return rc;
        p = plan_connect(&g.settings, g.env.shared, fd, to, len);
    }
    int ended = p.kind == PLAN_AGAIN ? ended_early(fd, p.cookie) : 0;

    if (ended < 0)
        return ended;
    if (ended > 0)
        p = plan_connect(&g.settings, g.env.shared, fd, to, len);
    switch (p.kind) {
    case PLAN_PASS:
        count_bypassed(fd, to, len);
        return REDIRECT_PASS;
    case PLAN_REFUSE:
        shared_add(g.env.shared, SHARED_UDP_REFUSED, p.error == ECONNREFUSED);
        return -p.error;
    case PLAN_AGAIN:
        return connect_again(fd, &p, to, len);
    case PLAN_PROXY:
        break;
    }
    begin_anew(fd, p.cookie);
    inplace_look(&g.env);
    int rc = inplace_connect(&g.env, &p, fd);

    if (rc != INPLACE_NOT)
        return rc;
    if ((p.flags & O_NONBLOCK) != 0 && g.settings.nonblock == SETTINGS_SWAP) {
        rc = swap_begin(&g.env, &p, fd);
        if (rc == -EINPROGRESS)
            return rc;
    }
    return connect_waiting(&p, fd, to, len);
}

static ssize_t fast_open(int fd, const struct msghdr *m, int flags)
{
    int rc = redirect_connect(fd, (const struct sockaddr *)m->msg_name, m->msg_namelen);
    struct msghdr rest = *m;

    if (rc != 0 && rc != -EISCONN) /* REDIRECT_PASS, too */
        return rc;
    rest.msg_name = NULL;
    rest.msg_namelen = 0;
    return sys_sendmsg(fd, &rest, flags & ~MSG_FASTOPEN);
}

ssize_t redirect_sendmsg(int fd, const struct msghdr *m, int flags)
{
    if (!redirect_on() || m == NULL || m->msg_name == NULL)
        return REDIRECT_PASS;
    if ((flags & MSG_FASTOPEN) != 0)
        return fast_open(fd, m, flags);
    if (g.settings.udp443 != SETTINGS_UDP443_REFUSE)
        return REDIRECT_PASS;
    struct plan p =
        plan_datagram(&g.settings, fd, (const struct sockaddr *)m->msg_name, m->msg_namelen);

    if (p.kind != PLAN_REFUSE)
        return REDIRECT_PASS;
    shared_add(g.env.shared, SHARED_UDP_REFUSED, 1);
    return -p.error;
}

static bool is_connected(const struct truth *t)
{
    return t->state == TRUTH_CONNECTED || t->state == TRUTH_KERNEL; /* as the kernel says */
}

static bool known(int fd, struct truth *t)
{
    uint64_t cookie = sys_cookie(fd);

    return cookie != 0 && truth_get(g.env.shared, cookie, t);
}

int redirect_getpeername(int fd, struct sockaddr *out, socklen_t *len)
{
    struct truth t;

    if (!redirect_on() || len == NULL || !known(fd, &t) || !is_connected(&t))
        return REDIRECT_PASS;
    struct sockaddr_storage real;
    socklen_t real_len = sizeof real;
    int rc = sys_getpeername(fd, (struct sockaddr *)&real, &real_len);

    return rc != 0 ? rc : redirect_name_peer(&t, out, len);
}

int redirect_getsockname(int fd, struct sockaddr *out, socklen_t *len)
{
    struct truth t;

    if (!redirect_on() || len == NULL || !known(fd, &t) || t.state == TRUTH_FAILED)
        return REDIRECT_PASS;
    struct sockaddr_storage real;
    socklen_t real_len = sizeof real;
    int rc = sys_getsockname(fd, (struct sockaddr *)&real, &real_len);

    if (rc != 0)
        return rc;
    if (is_connected(&t) && real.ss_family == t.family)
        return REDIRECT_PASS;
    return redirect_name_own(&t, &real, real_len, out, len);
}

int redirect_getsockopt(int fd, int level, int name, void *out, socklen_t *len)
{
    struct truth t;
    int error = 0;

    if (level != SOL_SOCKET || name != SO_ERROR || !redirect_on() || out == NULL || len == NULL)
        return REDIRECT_PASS;
    int rc = sys_getsockopt(fd, level, name, out, len); /* clears the kernel's */

    if (rc != 0 || *len < sizeof error || !known(fd, &t))
        return rc;
    if (t.state == TRUTH_KERNEL) {
        memcpy(&error, out, sizeof error);
        inplace_told(&g.env, fd, sys_cookie(fd), error);
    }
    if (t.state != TRUTH_FAILED)
        return rc;
    if (!truth_report(g.env.shared, sys_cookie(fd), &error))
        error = 0;
    memcpy(out, &error, sizeof error);
    return 0;
}

int redirect_setsockopt(int fd, int level, int name, const void *in, socklen_t len)
{
    struct truth t;

    if (!redirect_on() || g.settings.sockopt != SETTINGS_LENIENT)
        return REDIRECT_PASS;
    int rc = sys_setsockopt(fd, level, name, in, len);

    if (rc < 0 && sockopts_benign(level, name, -rc) && known(fd, &t) && is_connected(&t))
        return 0;
    return rc;
}
