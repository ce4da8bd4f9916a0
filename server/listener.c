/* SPDX-License-Identifier: MIT */
#include "listener.h"
#include "base/mptcp.h"
#include "embryo.h"
#include "session.h"
#include "worker.h"
#include <errno.h>
#include <fcntl.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

enum {
    ACCEPTS_PER_TURN = 64,
    FULL_TURNS = 3,

};

static int option(int fd, int level, int name, int value)
{
    return setsockopt(fd, level, name, &value, sizeof value);
}

/* What accepted sockets inherit: nothing of it costs a system call per connection. All of it is
 * advice the service works without. */
static void set_inherited(int fd, bool is_mptcp, const struct listener_options *o,
                          const struct config *c)
{
    (void)option(fd, IPPROTO_TCP, TCP_NODELAY, 1);
    (void)option(fd, SOL_SOCKET, SO_OOBINLINE, 1); /* urgent octets are relayed in line */
    if (is_mptcp && c->relay.send_queue_max != 0)
        (void)option(fd, SOL_SOCKET, SO_SNDBUF,
                     c->relay.send_queue_max > INT32_MAX ? INT32_MAX
                                                         : (int)c->relay.send_queue_max);
    if (o->fastopen) { /* a queue as long as the backlog: what does not fit loses MPTCP (trap
                          T3) */
        (void)option(fd, IPPROTO_TCP, TCP_FASTOPEN, (int)o->backlog);
        (void)option(fd, IPPROTO_TCP, TCP_FASTOPEN_NO_COOKIE, 1);
    }
}

/* Accepts connections to any address. Needs CAP_NET_ADMIN. */
static bool be_transparent(int fd, sa_family_t family)
{
    if (family == AF_INET6)
        return option(fd, IPPROTO_IPV6, IPV6_TRANSPARENT, 1) == 0;
    return option(fd, IPPROTO_IP, IP_TRANSPARENT, 1) == 0;
}

/* By this its SYN-ACKs are known. Needs CAP_NET_ADMIN or CAP_NET_RAW. */
static bool mark(int fd, const struct listener_options *o, const struct config *c)
{
    uint32_t value = synack_mark(c, o);

    return !o->transparent || setsockopt(fd, SOL_SOCKET, SO_MARK, &value, sizeof value) == 0;
}

static const struct policy_leg *client_policy(const struct listener_options *o)
{
    return o != NULL && o->applied != NULL ? &o->applied->client : NULL;
}

/* Accepted sockets inherit this too, and so do the subflows that join them. */
static int follow_policy(int fd, const struct addr *address,
                         const struct listener_options *before,
                         const struct listener_options *o)
{
    bool ipv6 = address->family == ADDR_IPV6;
    int rc = policy_replace(fd, (struct policy_families){.ipv4 = true, .ipv6 = ipv6},
                            client_policy(before), client_policy(o));

    errno = -rc;
    return rc;
}

static int open_at(const struct addr *address, const struct listener_options *o,
                   const struct config *c)
{
    struct sockaddr_storage sa;
    socklen_t len = addr_to_sockaddr(address, &sa);
    bool is_mptcp = false;
    int fd = mptcp_socket(sa.ss_family, o->mptcp, &is_mptcp);

    if (fd < 0)
        return fd;
    if (option(fd, SOL_SOCKET, SO_REUSEADDR, 1) != 0 ||
        option(fd, SOL_SOCKET, SO_REUSEPORT, 1) != 0)
        goto fail;
    if (sa.ss_family == AF_INET6 && option(fd, IPPROTO_IPV6, IPV6_V6ONLY, 0) != 0)
        goto fail;
    if (o->transparent && !be_transparent(fd, sa.ss_family))
        goto fail;
    set_inherited(fd, is_mptcp, o, c);
    if (follow_policy(fd, address, NULL, o) != 0)
        goto fail;
    if (bind(fd, (struct sockaddr *)&sa, len) != 0 || !mark(fd, o, c) ||
        listen(fd, (int)o->backlog) != 0)
        goto fail;
    if (!o->fastopen) /* with bit 0x400 of net.ipv4.tcp_fastopen listen() has switched it on */
        (void)option(fd, IPPROTO_TCP, TCP_FASTOPEN, 0);
    return fd;

fail:;
    int rc = -errno;
    (void)close(fd);
    return rc;
}

int listener_open(const struct listener_options *o, const struct config *c)
{
    static const uint8_t any[4] = {0};
    int fd = open_at(&o->address, o, c);

    /* "[::]" means every address; on a host without IPv6 these are the IPv4 ones. */
    if ((fd == -EAFNOSUPPORT || fd == -EADDRNOTAVAIL) && o->address.family == ADDR_IPV6 &&
        addr_class(&o->address) == ADDR_CLASS_UNSPECIFIED) {
        struct addr ipv4 = addr_ipv4(any, o->address.port);
        fd = open_at(&ipv4, o, c);
    }
    return fd;
}

/* Resets a connection that gets no answer. */
static void drop(int fd)
{
    struct linger now = {.l_onoff = 1, .l_linger = 0};
    (void)setsockopt(fd, SOL_SOCKET, SO_LINGER, &now, sizeof now);
    (void)close(fd);
}

/* Out of fds: give one up, so that the queue does not fill (a full one drops MP_JOINs of live
 * sessions too) and the listener does not spin. 0; -EAGAIN: nobody was waiting (the kernel
 * looks for an fd before it looks at the queue); else -errno, and nothing more can be done now.
 */
static int drop_one(struct listener *l)
{
    struct worker *w = l->worker;

    if (w->reserve_fd < 0)
        return -EMFILE;
    (void)close(w->reserve_fd);
    int fd = accept4(l->watch.fd, NULL, NULL, SOCK_CLOEXEC);
    int rc = fd < 0 ? -errno : 0;
    if (fd >= 0)
        drop(fd);
    w->reserve_fd = open("/dev/null", O_RDONLY | O_CLOEXEC);
    if (rc == 0) {
        stats_add(w->stats, STAT_EMFILE, 1);
        stats_add(w->stats, STAT_REFUSED_UNSERVED, 1);
    }
    return rc;
}

void listener_note_peak(struct shared *shared)
{
    uint32_t now = limits_sessions(shared->limits);
    uint32_t peak = atomic_load_explicit(&shared->peak, memory_order_relaxed);

    while (now > peak &&
           !atomic_compare_exchange_weak_explicit(&shared->peak, &peak, now,
                                                  memory_order_relaxed, memory_order_relaxed))
        ;
}

static void admit(struct listener *l, int fd, const struct addr *client)
{
    struct worker *w = l->worker;
    struct limits_source *source = NULL;
    enum outcome shed = OUTCOME_OK;

    atomic_store_explicit(l->accepted,
                          atomic_load_explicit(l->accepted, memory_order_relaxed) + 1,
                          memory_order_relaxed);
    if (l->options->exact && l->options->transparent && embryo_meet(l, fd, client))
        return;
    if (!worker_source_in(&l->config->clients.allow, client)) {
        stats_add(w->stats, STAT_AUTH_SOURCE, 1);
        stats_add(w->stats, STAT_REFUSED_UNSERVED, 1);
        drop(fd);
        return;
    }
    if (w->draining)
        shed = OUTCOME_DRAINED;
    else
        shed = limits_admit(w->shared->limits, client, &source);
    if (shed != OUTCOME_OK &&
        w->shed >= atomic_load_explicit(&w->shared->shed_max, memory_order_relaxed)) {
        stats_add(w->stats, STAT_REFUSED_UNSERVED, 1);
        drop(fd);
        return;
    }
    listener_note_peak(w->shared);
    session_start(l, fd, client, source, shed);
}

/* The listener is level-triggered, so accepting one per turn loses nothing and saves the
 * accept() that finds the queue empty. When the queue keeps being fuller than that, take more
 * at a time. */
static void adapt(struct listener *l, bool emptied)
{
    if (emptied) {
        l->quota = 1;
        l->full = 0;
    } else if (++l->full >= FULL_TURNS && l->quota < ACCEPTS_PER_TURN) {
        l->quota = (uint8_t)(l->quota * 2);
        l->full = 0;
    }
}

/* At most `most` connections. True: nobody waits any more, or can be served now. */
static bool accept_some(struct listener *l, unsigned most)
{
    for (unsigned i = 0; i < most && l->watch.fd >= 0; i++) {
        struct sockaddr_storage sa;
        socklen_t len = sizeof sa;
        struct addr client;
        int fd =
            accept4(l->watch.fd, (struct sockaddr *)&sa, &len, SOCK_NONBLOCK | SOCK_CLOEXEC);
        if (fd < 0 && errno == EAGAIN) {
            adapt(l, true);
            return true;
        }
        if (fd < 0 &&
            (errno == EMFILE || errno == ENFILE || errno == ENOBUFS || errno == ENOMEM)) {
            int rc = drop_one(l);
            if (rc == 0)
                continue;
            if (rc == -EAGAIN)
                adapt(l, true);
            else
                worker_pause_listeners(l->worker);
            return true;
        }
        if (fd < 0)
            continue; /* that connection is gone already (accept(2), "Error handling") */
        if (!addr_from_sockaddr((struct sockaddr *)&sa, len, &client)) {
            drop(fd);
            continue;
        }
        client = addr_unmap(client);
        admit(l, fd, &client);
    }
    return false;
}

static void on_acceptable(struct watch *watch, uint32_t events)
{
    struct listener *l = CONTAINER_OF(watch, struct listener, watch);

    (void)events;
    if (!accept_some(l, l->quota))
        adapt(l, false);
}

void listener_drain(struct listener *l)
{
    if (l->watch.fd >= 0)
        (void)accept_some(l, ACCEPTS_PER_TURN); /* what is left raises the next turn */
}

static void find_tokens(struct listener *l)
{
    const char *name = l->options->join_tokens;

    l->tokens = name == NULL ? NULL : nft_keeper_tokens(l->worker->shared->keeper, name);
}

int listener_start(struct listener *l, struct worker *w, struct config *c,
                   const struct listener_options *o, int fd, _Atomic uint64_t *accepted)
{
    struct sockaddr_storage sa;
    socklen_t len = sizeof sa;
    struct addr bound;

    l->worker = w;
    l->accepted = accepted;
    l->port = o->address.port;
    l->mptcp = mptcp_accepted(fd);
    if (getsockname(fd, (struct sockaddr *)&sa, &len) == 0 &&
        addr_from_sockaddr((struct sockaddr *)&sa, len, &bound))
        l->port = bound.port;
    int rc = poller_add_listener(&w->poller, &l->watch, fd, on_acceptable);
    if (rc != 0)
        return rc;
    l->config = config_ref(c);
    l->options = o;
    l->quota = 1;
    find_tokens(l);
    return 0;
}

void listener_configure(struct listener *l, struct config *c, const struct listener_options *o)
{
    /* Loading `c` has tried all of it on a socket. */
    if (follow_policy(l->watch.fd, &o->address, l->options, o) != 0)
        log_message(l->worker->shared->log, LOG_LEVEL_ERROR, "policy",
                    "listener %s does not take its new policy: %s", o->name, strerror(errno));
    config_unref(l->config);
    l->config = config_ref(c);
    l->options = o;
    find_tokens(l);
    if (!mark(l->watch.fd, o, c))
        log_message(l->worker->shared->log, LOG_LEVEL_ERROR, "reload",
                    "listener %s cannot have its mark, and is not exact", o->name);
}

void listener_release(struct listener *l)
{
    poller_remove(&l->worker->poller, &l->watch);
    config_unref(l->config);
    l->config = NULL;
}

void listener_stop(struct listener *l)
{
    int fd = l->watch.fd;

    if (fd < 0)
        return; /* moved to its successor, or released */
    listener_release(l);
    (void)close(fd);
}
