/* SPDX-License-Identifier: MIT */
/* Do the rules do what they should? Asked by doing it: a connection over loopback to each exact
 * listener, whose SYN-ACK must come to one of the queues. Beside a running daemon the queues'
 * packet counts tell; otherwise the queues are ours meanwhile, and so is the listener. The
 * connections bring no data in their SYNs: the daemon lets their SYN-ACKs go at once. Hosts of
 * a transparent listener are answered from any port; for them stands a socket of ours that has
 * its mark and some port. */
#include "doctor_checks.h"
#include "synack.h"
#include "synack_packet.h"
#include "synack_queue.h"
#include <errno.h>
#include <poll.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <time.h>
#include <unistd.h>

enum {
    /* Rules share packets out by address: with more queues in the rule than there are, some of
     * these are missed. */
    SOURCES = 32,
    PATIENCE_MS = 2500,
    PACKETS = 64,
};

struct trial {
    const struct doctor *doctor;
    unsigned first, count;
    struct synack_queue *own; /* NULL: a daemon has the queues */
    struct addr client;       /* of the connection that is tried */
    uint16_t port;
    bool seen;
};

/* The queues. */

static uint32_t sequences(const struct trial *t)
{
    uint32_t sum = 0;

    for (unsigned i = 0; i < t->count; i++)
        sum += doctor_queue_look(t->first + i).sequence;
    return sum;
}

struct reading {
    struct trial *trial;
    const struct synack_queue *queue;
};

static void on_packet(void *arg, struct synack_arrival a, struct span packet)
{
    const struct reading *r = arg;
    struct synack_packet p;

    if (synack_parse(packet, &p) != SYNACK_FOREIGN && p.local.port == r->trial->port &&
        addr_equal_ip(&p.peer, &r->trial->client) && p.peer.port == r->trial->client.port)
        r->trial->seen = true;
    (void)synack_queue_accept(r->queue, a.id); /* anybody's */
}

static void serve(struct trial *t)
{
    uint64_t foreign = 0;

    for (unsigned i = 0; t->own != NULL && i < t->count; i++) {
        struct reading r = {.trial = t, .queue = &t->own[i]};
        int rc = synack_queue_read(&t->own[i], PACKETS, on_packet, &r, &foreign);
        (void)rc; /* more, or what was lost: the next call reads on */
    }
}

static void give_back(struct trial *t)
{
    for (unsigned i = 0; t->own != NULL && i < t->count; i++)
        synack_queue_close(&t->own[i]);
    free(t->own);
    t->own = NULL;
}

/* 0 or -errno. Nothing to do beside a daemon. */
static int take_queues(struct trial *t)
{
    for (unsigned i = 0; i < t->count; i++)
        if (doctor_queue_look(t->first + i).bound)
            return 0;
    ASSERT(t->count > 0);
    t->own = calloc(t->count, sizeof *t->own);
    if (t->own == NULL)
        return -ENOMEM;
    for (unsigned i = 0; i < t->count; i++)
        t->own[i].fd = t->own[i].diag_fd = -1;
    for (unsigned i = 0; i < t->count; i++) {
        int rc = synack_queue_open(&t->own[i], (uint16_t)(t->first + i), PACKETS);
        if (rc != 0) {
            give_back(t);
            return rc;
        }
    }
    return 0;
}

/* Connections. */

static uint64_t now_ms(void)
{
    struct timespec now;

    (void)clock_gettime(CLOCK_MONOTONIC, &now); /* cannot fail */
    return (uint64_t)now.tv_sec * 1000 + (uint64_t)now.tv_nsec / 1000000;
}

/* 0 once the connection is there, else -errno. */
static int connected(struct trial *t, int fd)
{
    uint64_t deadline = now_ms() + PATIENCE_MS;
    int error = 0;
    socklen_t len = sizeof error;

    for (;;) {
        struct pollfd p = {.fd = fd, .events = POLLOUT};
        serve(t);
        int n = poll(&p, 1, 10);
        if (n < 0 && errno != EINTR)
            return -errno;
        if (n > 0)
            break;
        if (now_ms() > deadline)
            return -ETIMEDOUT;
    }
    if (getsockopt(fd, SOL_SOCKET, SO_ERROR, &error, &len) != 0)
        return -errno;
    return -error;
}

static int begin(struct trial *t, int fd, const struct addr *source, const struct addr *to)
{
    struct sockaddr_storage ss;
    socklen_t len = addr_to_sockaddr(source, &ss);

    if (source->family != ADDR_NONE && bind(fd, (const struct sockaddr *)&ss, len) != 0)
        return -errno;
    len = addr_to_sockaddr(to, &ss);
    bool begun = connect(fd, (const struct sockaddr *)&ss, len) == 0 || errno == EINPROGRESS;
    if (!begun)
        return -errno;
    len = sizeof ss;
    if (getsockname(fd, (struct sockaddr *)&ss, &len) != 0)
        return -errno;
    return addr_from_sockaddr((const struct sockaddr *)&ss, len, &t->client) ? 0 : -EINVAL;
}

/* One connection: 1 when its SYN-ACK was queued, 0 when it was not, else -errno. */
static int attempt(struct trial *t, const struct addr *source, const struct addr *to)
{
    struct linger now = {.l_onoff = 1}; /* leave no TIME_WAIT */
    int family = to->family == ADDR_IPV4 ? AF_INET : AF_INET6;
    int fd = socket(family, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0);

    if (fd < 0)
        return -errno;
    uint32_t before = sequences(t);
    t->seen = false;
    t->port = to->port;
    int rc = begin(t, fd, source, to);
    if (rc == 0)
        rc = connected(t, fd);
    if (rc == 0)
        rc = t->own != NULL ? t->seen : sequences(t) != before;
    (void)setsockopt(fd, SOL_SOCKET, SO_LINGER, &now, sizeof now);
    (void)close(fd); /* reset */
    return rc;
}

/* A listener of our own, where nobody listens; else -1. With a mark: at any port, which *to is
 * told. */
static int stand_in(const struct addr *at, uint32_t mark, struct addr *to)
{
    struct addr bound = *at;
    struct sockaddr_storage ss;

    if (mark != 0)
        bound.port = 0;
    socklen_t len = addr_to_sockaddr(&bound, &ss);
    int fd = socket(ss.ss_family, SOCK_STREAM | SOCK_CLOEXEC, 0), on = 1;

    if (fd < 0)
        return -1;
    (void)setsockopt(fd, SOL_SOCKET, SO_REUSEADDR, &on, sizeof on); /* bind will tell */
    if (mark != 0)
        (void)setsockopt(fd, SOL_SOCKET, SO_MARK, &mark, sizeof mark); /* the trial will */
    if (bind(fd, (const struct sockaddr *)&ss, len) == 0 && listen(fd, SOURCES) == 0) {
        len = sizeof ss;
        if (mark == 0 || (getsockname(fd, (struct sockaddr *)&ss, &len) == 0 &&
                          addr_from_sockaddr((struct sockaddr *)&ss, len, to)))
            return fd;
    }
    (void)close(fd);
    return -1;
}

/* Where a listener at `at` is reached from this machine over `family`. */
static bool reachable(const struct addr *at, enum addr_family family, struct addr *out)
{
    static const uint8_t loopback4[4] = {127, 0, 0, 1}, loopback6[16] = {[15] = 1};
    bool any = addr_class(at) == ADDR_CLASS_UNSPECIFIED;

    if (at->port == 0 || (at->family != family && !(any && at->family == ADDR_IPV6)))
        return false;
    *out = !any                  ? *at
           : family == ADDR_IPV4 ? addr_ipv4(loopback4, at->port)
                                 : addr_ipv6(loopback6, at->port);
    return true;
}

static const char *leaving(const struct trial *t)
{
    return t->own != NULL ? "" : ", and the daemon lets them go";
}

static struct doctor_finding judge(const struct trial *t, const struct addr *to, unsigned seen,
                                   unsigned tried)
{
    char text[ADDR_TEXT_MAX], command[DOCTOR_TEXT_MAX];

    (void)addr_print(to, text, sizeof text);
    doctor_rules_command(t->doctor->config, command);
    if (seen == tried)
        return doctor_good("SYN-ACKs of %s come to the queues%s", text, leaving(t));
    if (seen == 0)
        return doctor_bad(command, "SYN-ACKs of %s are not queued: no rule, or another queue",
                          text);
    return doctor_bad(
        command,
        "only %u of %u SYN-ACKs of %s come to queues %u to %u: the rule has others "
        "as well",
        seen, tried, text, t->first, t->first + t->count - 1);
}

static struct doctor_finding judge_error(const struct trial *t, const struct addr *to, int rc)
{
    char text[ADDR_TEXT_MAX];

    (void)addr_print(to, text, sizeof text);
    if (to->family == ADDR_IPV6 && (rc == -EADDRNOTAVAIL || rc == -EAFNOSUPPORT))
        return doctor_skipped("%s: this machine has no IPv6", text);
    if (rc == -ETIMEDOUT && t->own == NULL)
        return doctor_bad("look at its log, or restart it",
                          "a connection to %s waits for ever: the daemon that has the queues "
                          "does not answer",
                          text);
    return doctor_bad("see that the address is this machine's and that no rule is in the way",
                      "cannot connect to %s: %s", text, strerror(-rc));
}

static struct doctor_finding try_listener(struct trial *t, const struct listener_options *o,
                                          struct addr *to)
{
    unsigned seen = 0, tried = to->family == ADDR_IPV4 ? SOURCES : 1;
    int listener = stand_in(&o->address, synack_mark(t->doctor->config, o), to), rc = 0;

    for (unsigned i = 0; i < tried && rc >= 0; i++) {
        struct addr source = {.family = ADDR_NONE}; /* IPv6 loopback has but one */
        if (to->family == ADDR_IPV4)
            source = addr_ipv4((const uint8_t[4]){127, 0, 0, (uint8_t)(i + 1)}, 0);
        rc = attempt(t, &source, to);
        seen += rc == 1;
    }
    if (listener >= 0)
        (void)close(listener);
    if (o->transparent)
        to->port = o->address.port;
    return rc < 0 ? judge_error(t, to, rc) : judge(t, to, seen, tried);
}

static struct doctor_finding check_family(const struct doctor *d, enum addr_family family)
{
    struct trial t = {
        .doctor = d, .first = d->config->exact.queue, .count = doctor_queue_count(d->config)};
    struct doctor_finding f =
        doctor_skipped("no exact listener has %s", family == ADDR_IPV4 ? "IPv4" : "IPv6");
    unsigned tried = 0;
    int rc = take_queues(&t);

    if (rc != 0)
        return doctor_bad("see the checks above", "cannot take queues %u to %u: %s", t.first,
                          t.first + t.count - 1, strerror(-rc));
    for (size_t i = 0; i < d->config->listeners.count && f.verdict != DOCTOR_BAD; i++) {
        const struct listener_options *o = &d->config->listeners.item[i];
        struct addr to;
        if (o->exact && reachable(&o->address, family, &to)) {
            f = try_listener(&t, o, &to);
            tried++;
        }
    }
    if (f.verdict == DOCTOR_GOOD && tried > 1)
        f = doctor_good("SYN-ACKs of %u listeners come to the queues%s", tried, leaving(&t));
    give_back(&t);
    return f;
}

struct doctor_finding doctor_check_rules4(const struct doctor *d)
{
    return check_family(d, ADDR_IPV4);
}

struct doctor_finding doctor_check_rules6(const struct doctor *d)
{
    return check_family(d, ADDR_IPV6);
}

void doctor_rules_command(const struct config *c, char out[DOCTOR_TEXT_MAX])
{
    unsigned last = c->exact.queue + doctor_queue_count(c) - 1;
    size_t n = (size_t)snprintf(out, DOCTOR_TEXT_MAX, "conf/exact-rules.sh add");

    /* OPTIONS_LISTENERS_MAX times 13 octets fit. */
    bool transparent = false;
    for (size_t i = 0; i < c->listeners.count; i++) {
        const struct listener_options *o = &c->listeners.item[i];
        if (o->exact && !o->transparent)
            n += (size_t)snprintf(out + n, DOCTOR_TEXT_MAX - n, " --port %u", o->address.port);
        transparent |= o->exact && o->transparent;
    }
    if (transparent)
        n += (size_t)snprintf(out + n, DOCTOR_TEXT_MAX - n, " --mark 0x%x",
                              (unsigned)c->exact.mark);
    (void)snprintf(out + n, DOCTOR_TEXT_MAX - n, " --queues %u:%u", c->exact.queue, last);
}
