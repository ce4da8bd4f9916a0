/* SPDX-License-Identifier: MIT */
/* Happy path: the first flight goes with the SYN (or after it), the time to the SYN-ACK is the
 * time until the socket can be written to, then what comes is judged octet for octet. One
 * deadline for all of it. */
#include "probe.h"
#include "base/mptcp.h"
#include "probe_dialogue.h"
#include "report.h"
#include "sys.h"
#include <errno.h>
#include <netdb.h>
#include <netinet/tcp.h>
#include <poll.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

enum { ADDRESSES_MAX = 16, DIALECTS = 3 };
static const enum protocol dialects[DIALECTS] = {PROTOCOL_MP_CONVERT, PROTOCOL_CONVERT,
                                                 PROTOCOL_SOCKS5};

struct probing {
    const struct settings *settings;
    struct probe_dialogue dialogue;
    struct probe_result *result;
    struct timespec began;
    int fd;
    size_t have;
    uint8_t answer[CONVERT_MESSAGE_MAX];
};

static double elapsed_ms(const struct probing *p)
{
    struct timespec now;

    (void)clock_gettime(CLOCK_MONOTONIC, &now); /* cannot fail */
    return (double)(now.tv_sec - p->began.tv_sec) * 1e3 +
           (double)(now.tv_nsec - p->began.tv_nsec) / 1e6;
}

/* 0 or errno, ETIMEDOUT with the deadline. */
static int wait_for(const struct probing *p, short events)
{
    struct pollfd fd = {.fd = p->fd, .events = events};
    int rc;

    do {
        double left = (double)p->settings->connect_ms - elapsed_ms(p);

        if (left <= 0)
            return ETIMEDOUT;
        rc = poll(&fd, 1, (int)left + 1);
    } while (rc == 0 || (rc < 0 && errno == EINTR));
    return rc < 0 ? errno : 0;
}

/* Sends the SYN, with the first flight where that is possible. 0 or errno. */
static int send_syn(struct probing *p, const struct addr *proxy)
{
    struct span first = probe_output(&p->dialogue);
    struct sockaddr_storage to;
    socklen_t len = addr_to_sockaddr(proxy, &to);
    const struct sockaddr *sa = (const struct sockaddr *)(const void *)&to;
    int on = 1;

    if (p->settings->tfo != SETTINGS_TFO_OFF) {
        ssize_t n;

        (void)setsockopt(p->fd, IPPROTO_TCP, TCP_FASTOPEN_NO_COOKIE, &on,
                         sizeof on); /* without, the kernel asks for a cookie */
        n = sendto(p->fd, first.ptr, first.len, MSG_FASTOPEN | MSG_NOSIGNAL, sa, len);
        if (n >= 0) {
            p->result->tfo_asked = true;
            probe_sent(&p->dialogue, (size_t)n);
            return 0;
        }
        if (errno != EOPNOTSUPP) /* by sysctl; EINPROGRESS: the SYN went without */
            return errno == EINPROGRESS ? 0 : errno;
    }
    return connect(p->fd, sa, len) == 0 || errno == EINPROGRESS ? 0 : errno;
}

/* 0 or errno. */
static int await_connection(struct probing *p)
{
    int error = wait_for(p, POLLOUT);
    socklen_t len = sizeof error;

    if (error == 0 && getsockopt(p->fd, SOL_SOCKET, SO_ERROR, &error, &len) != 0)
        error = errno;
    if (error == 0 || error == ECONNRESET) /* a SYN that is answered with a reset is refused */
        p->result->connect_ms = elapsed_ms(p);
    if (error != 0)
        return error;
    p->result->tfo_taken = p->result->tfo_asked && mptcp_syn_data(p->fd);
    p->result->mptcp = mptcp_active(p->fd);
    return 0;
}

/* 0 or errno; EAGAIN: later. */
static int send_more(struct probing *p)
{
    struct span out = probe_output(&p->dialogue);
    ssize_t n = 0;

    if (out.len > 0)
        n = send(p->fd, out.ptr, out.len, MSG_NOSIGNAL);
    if (n < 0)
        return errno;
    probe_sent(&p->dialogue, (size_t)n);
    return 0;
}

/* False: over. */
static bool read_more(struct probing *p, enum probe_step *step)
{
    size_t consumed;
    ssize_t n = recv(p->fd, p->answer + p->have, sizeof p->answer - p->have, 0);

    if (n < 0 && (errno == EAGAIN || errno == EINTR))
        return true;
    if (n <= 0) {
        probe_closed(&p->dialogue, n < 0 ? errno : 0, p->result);
        return false;
    }
    p->have += (size_t)n;
    *step = probe_input(&p->dialogue, span_of(p->answer, p->have), &consumed, p->result);
    p->have -= consumed;
    memmove(p->answer, p->answer + consumed, p->have);
    return *step != PROBE_OVER;
}

static void converse(struct probing *p)
{
    size_t consumed;
    enum probe_step step = probe_input(&p->dialogue, span_of(NULL, 0), &consumed, p->result);
    bool goes_on = step != PROBE_OVER;

    while (goes_on) {
        int error;

        if (step == PROBE_SEND || probe_output(&p->dialogue).len > 0) {
            error = send_more(p);
            if (error != 0 && error != EAGAIN && error != EINTR) {
                probe_closed(&p->dialogue, error, p->result);
                return;
            }
        }
        error = wait_for(p, probe_output(&p->dialogue).len > 0 ? POLLIN | POLLOUT : POLLIN);
        if (error != 0) {
            p->result->verdict = PROBE_SILENT;
            p->result->error = error;
            return;
        }
        goes_on = read_more(p, &step);
    }
    if (p->result->verdict != PROBE_SILENT)
        p->result->answer_ms = elapsed_ms(p);
    if (p->result->verdict == PROBE_WORKS)
        p->result->mptcp = mptcp_active(p->fd); /* it may have fallen back since */
}

/* With a dialogue that has begun. */
static void run(struct probing *p, const struct addr *proxy)
{
    struct probe_result *out = p->result;
    int family = proxy->family == ADDR_IPV6 ? AF_INET6 : AF_INET;
    int error;

    p->fd = mptcp_socket(family, p->settings->mptcp, NULL);
    if (p->fd < 0) {
        out->error = -p->fd;
        return;
    }
    (void)clock_gettime(CLOCK_MONOTONIC, &p->began); /* cannot fail */
    error = send_syn(p, proxy);
    if (error == 0)
        error = await_connection(p);
    if (error == 0)
        converse(p);
    else if (out->connect_ms >= 0)
        probe_closed(&p->dialogue, error, out);
    else
        out->error = error;
    (void)close(p->fd); /* nothing to lose */
}

static const struct probe_result nothing_seen = {
    .verdict = PROBE_UNREACHED, .connect_ms = -1, .answer_ms = -1};

void probe_once(const struct settings *s, const struct addr *proxy, enum protocol dialect,
                const struct target *target, struct probe_result *out)
{
    struct probing p = {.settings = s, .result = out};

    *out = nothing_seen;
    if (probe_begin(&p.dialogue, s, dialect, target, out))
        run(&p, proxy);
}

enum proxies_exact probe_exact(const struct settings *s, const struct addr *proxy,
                               enum protocol dialect, struct probe_result *out)
{
    struct probing p = {.settings = s, .result = out};

    *out = nothing_seen;
    if (!probe_begin_exact(&p.dialogue, s, dialect, out))
        return PROXIES_EXACT_NO;
    run(&p, proxy);
    switch (out->verdict) {
    case PROBE_WORKS:
        return p.dialogue.initiator.exact ? PROXIES_EXACT_YES : PROXIES_EXACT_NO;
    case PROBE_FOREIGN:
        return PROXIES_EXACT_NO;
    case PROBE_REFUSED: /* MP_CONVERT's who do not know the question abort */
        return out->connect_ms >= 0 ? PROXIES_EXACT_NO : PROXIES_EXACT_UNKNOWN;
    case PROBE_UNREACHED:
    case PROBE_SILENT:
        break;
    }
    return PROXIES_EXACT_UNKNOWN;
}

/* ---- the command ---- */

static int complain(const char *what, const char *why)
{
    (void)fprintf(stderr, "mpconvert: %s: %s\n", what, why);
    return CLI_EXIT_OURS;
}

/* "host:port", "[2001:db8::1]:443". */
static bool parse_target(const char *text, struct target *out)
{
    const char *colon = strrchr(text, ':');
    char *end = NULL;
    long port;

    if (colon == NULL || colon[1] < '0' || colon[1] > '9')
        return false;
    port = strtol(colon + 1, &end, 10);
    return *end == '\0' && port > 0 && port <= UINT16_MAX &&
           target_from_host(span_of(text, (size_t)(colon - text)), (uint16_t)port, out);
}

/* For the dialects that carry addresses only. False, and why. */
static bool resolve(const struct target *name, struct target *out, const char **why)
{
    struct addrinfo hints = {.ai_socktype = SOCK_STREAM}, *list = NULL;
    struct addr a;
    int rc = getaddrinfo(name->name, NULL, &hints, &list);
    bool good = rc == 0 && addr_from_sockaddr(list->ai_addr, list->ai_addrlen, &a);

    if (good) {
        a.port = name->port;
        *out = target_from_addr(&a);
    } else {
        *why = rc != 0 ? gai_strerror(rc) : "no address";
    }
    if (rc == 0)
        freeaddrinfo(list);
    return good;
}

/* Of the command line, else of the settings. False: the text of *bad is not an address. */
static bool list_proxies(const struct cli *c, const struct settings *s,
                         struct addr out[ADDRESSES_MAX], size_t *count, const char **bad)
{
    size_t n = 0;

    for (; c->rest[n] != NULL; n++) {
        *bad = c->rest[n];
        if (n == ADDRESSES_MAX || !addr_parse(c->rest[n], &out[n]) || out[n].port == 0)
            return false;
    }
    for (size_t i = 0; n == 0 && i < s->proxies; i++)
        out[i] = s->proxy[i];
    *count = n == 0 ? s->proxies : n;
    return true;
}

static bool names_dialect(const struct cli *c)
{
    for (unsigned i = 0; i < c->settings; i++)
        if (strcmp(c->setting[i].name, "MPCONVERT_DIALECT") == 0)
            return true;
    return false;
}

static struct proxies *open_cache(const struct settings *s)
{
    char text[SETTINGS_NAMES_MAX];
    const char *path = proxies_file(s, getenv("XDG_RUNTIME_DIR"), text, sizeof text);

    return path != NULL ? proxies_map(path) : NULL;
}

/* What was found is kept for `mpconvert run`. */
static void look_whether_exact(const struct settings *s, struct proxies *cache,
                               struct report_probe *row)
{
    struct probe_result r;
    bool asks = s->exact == SETTINGS_EXACT_AUTO && row->dialect != PROTOCOL_SOCKS5;

    if (!asks || row->result.verdict == PROBE_UNREACHED || row->result.verdict == PROBE_FOREIGN)
        return;
    row->result.exact = probe_exact(s, &row->proxy, row->dialect, &r);
    if (row->result.exact != PROXIES_EXACT_UNKNOWN)
        proxies_exact_learn(cache, &row->proxy, row->dialect, row->result.exact, sys_now_ms());
}

int probe_command(const struct cli *c, const struct settings *s)
{
    struct report_probe rows[ADDRESSES_MAX * DIALECTS];
    struct proxies *cache = open_cache(s);
    struct target asked = {.port = 0}, address;
    struct addr proxy[ADDRESSES_MAX];
    const char *bad = NULL;
    size_t proxies = 0, n = 0;
    bool all = true;

    if (!list_proxies(c, s, proxy, &proxies, &bad))
        return complain(bad, "not an address with a port, or one too many");
    if (c->target != NULL && !parse_target(c->target, &asked))
        return complain("--target", "not HOST:PORT");
    address = asked;
    if (c->target != NULL && target_is_name(&asked) && !resolve(&asked, &address, &bad))
        return complain("--target", bad);
    for (size_t i = 0; i < proxies; i++) {
        for (size_t d = 0; d < DIALECTS; d++) {
            const struct target *t = dialects[d] == PROTOCOL_SOCKS5 ? &asked : &address;

            if (names_dialect(c) && dialects[d] != s->dialect)
                continue;
            rows[n].proxy = proxy[i];
            rows[n].dialect = dialects[d];
            probe_once(s, &proxy[i], dialects[d], c->target != NULL ? t : NULL,
                       &rows[n].result);
            look_whether_exact(s, cache, &rows[n]);
            all = all && rows[n].result.verdict == PROBE_WORKS;
            n++;
        }
    }
    report_probes(rows, n, c->json, stdout);
    return fflush(stdout) == 0 && all ? 0 : 1;
}
