/* SPDX-License-Identifier: MIT */
/* stormer - non-blocking connects of many threads, and whether every one of them was told the
 * truth. A program like any other: it knows nothing of concentrators, and what it counts must
 * be the same with and without one.
 *
 *   stormer [--mode poll|select|epoll-lt|epoll-et|epoll-oneshot] [--before] [--threads N]
 *           [--connects N] [--window N] [--early PERCENT] [--refused PERCENT] [--seed N]
 *           [--patience-ms N] [--address IP]
 *
 * Each connection is made to a server of our own (a child process, one octet per connection)
 * or, for PERCENT of them, to a port that is bound and does not listen. PERCENT are closed
 * before their verdict. --before registers with epoll before connect(), as nginx does. One line
 * of JSON; exit status 1 when an event was lost, a result was wrong, or a descriptor is left.
 */
#include <arpa/inet.h>
#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <pthread.h>
#include <signal.h>
#include <stdbool.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/prctl.h>
#include <sys/select.h>
#include <sys/socket.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

enum { WINDOW_MAX = 256, THREADS_MAX = 64, EVENTS = 64, OCTET = 'k' };
enum mode { MODE_POLL, MODE_SELECT, MODE_LT, MODE_ET, MODE_ONESHOT, MODES };
static const char *const mode_names[MODES] = {"poll", "select", "epoll-lt", "epoll-et",
                                              "epoll-oneshot"};

struct endpoint {
    struct sockaddr_storage sa;
    socklen_t len;
};

static struct options {
    enum mode mode;
    bool before;
    unsigned threads, connects, window, early, refused, patience_ms;
    uint64_t seed;
    struct endpoint open, closed;
} opt = {.threads = 8, .connects = 1000, .window = 16, .patience_ms = 10000, .seed = 1};

struct tally {
    unsigned long started, connected, refused, early, lost, late, wrong, spurious;
};

struct flight { /* one connection */
    int fd;     /* -1: none */
    bool expects_refusal, connected, close_early;
    uint64_t deadline_ms;
};

struct thread {
    pthread_t id;
    uint64_t random;
    int ep;
    unsigned quota;
    struct tally tally;
    struct flight flight[WINDOW_MAX];
};

static void die(const char *what)
{
    perror(what);
    exit(2);
}

static uint64_t now_ms(void)
{
    struct timespec t;

    if (clock_gettime(CLOCK_MONOTONIC, &t) != 0)
        die("clock_gettime");
    return (uint64_t)t.tv_sec * 1000 + (uint64_t)t.tv_nsec / 1000000;
}

static bool chance(struct thread *t, unsigned percent)
{
    t->random ^= t->random << 13;
    t->random ^= t->random >> 7;
    t->random ^= t->random << 17;
    return t->random % 100 < percent;
}

static void complain(struct thread *t, const char *what, int value)
{
    if (t->tally.wrong++ < 5)
        (void)fprintf(stderr, "stormer: %s: %s\n", what, value < 0 ? "?" : strerror(value));
}

/* ---- the server ---- */

static int bound_socket(const char *address, struct endpoint *at)
{
    struct sockaddr_in v4 = {.sin_family = AF_INET};
    struct sockaddr_in6 v6 = {.sin6_family = AF_INET6};
    bool is_v4 = inet_pton(AF_INET, address, &v4.sin_addr) == 1;

    if (!is_v4 && inet_pton(AF_INET6, address, &v6.sin6_addr) != 1)
        die(address);
    at->len = is_v4 ? sizeof v4 : sizeof v6;
    memcpy(&at->sa, is_v4 ? (const void *)&v4 : (const void *)&v6, at->len);
    int fd = socket(at->sa.ss_family, SOCK_STREAM | SOCK_CLOEXEC, 0);

    if (fd < 0 || bind(fd, (const struct sockaddr *)&at->sa, at->len) != 0 ||
        getsockname(fd, (struct sockaddr *)&at->sa, &at->len) != 0)
        die("bind");
    return fd;
}

static void serve(int listener)
{
    if (prctl(PR_SET_PDEATHSIG, SIGKILL) != 0)
        die("prctl");
    for (;;) {
        int fd = accept(listener, NULL, NULL);

        if (fd < 0)
            continue;
        (void)send(fd, &(char){OCTET}, 1, MSG_NOSIGNAL); /* the client may be gone already */
        (void)close(fd);
    }
}

/* ---- one connection ---- */

static void arm(struct thread *t, unsigned i, int op)
{
    static const uint32_t flags[MODES] = {[MODE_ET] = EPOLLET, [MODE_ONESHOT] = EPOLLONESHOT};
    const struct flight *f = &t->flight[i];
    struct epoll_event ev = {.events = EPOLLIN | flags[opt.mode], .data.u32 = i};

    if (opt.mode < MODE_LT)
        return;
    if (!f->connected || opt.mode == MODE_ET)
        ev.events |= EPOLLOUT;
    if (epoll_ctl(t->ep, op, f->fd, &ev) != 0)
        complain(t, "epoll_ctl", errno);
}

static void finish(struct flight *f)
{
    (void)close(f->fd);
    f->fd = -1;
}

static void begin(struct thread *t, unsigned i)
{
    struct flight *f = &t->flight[i];
    bool refused = chance(t, opt.refused);
    const struct endpoint *to = refused ? &opt.closed : &opt.open;

    *f = (struct flight){.fd = socket(to->sa.ss_family, SOCK_STREAM | SOCK_NONBLOCK, 0),
                         .expects_refusal = refused,
                         .close_early = chance(t, opt.early),
                         .deadline_ms = now_ms() + opt.patience_ms};
    if (f->fd < 0)
        die("socket");
    t->quota--;
    t->tally.started++;
    if (opt.before)
        arm(t, i, EPOLL_CTL_ADD);
    if (connect(f->fd, (const struct sockaddr *)&to->sa, to->len) != 0 &&
        errno != EINPROGRESS) {
        if (!refused || errno != ECONNREFUSED)
            complain(t, "connect", errno);
        t->tally.refused++;
        finish(f);
        return;
    }
    if (!opt.before)
        arm(t, i, EPOLL_CTL_ADD);
    if (f->close_early && chance(t, 50)) {
        t->tally.early++;
        finish(f);
    }
}

static bool peer_is_right(const struct flight *f)
{
    struct endpoint peer = {.len = sizeof peer.sa};

    return getpeername(f->fd, (struct sockaddr *)&peer.sa, &peer.len) == 0 &&
           peer.len == opt.open.len && memcmp(&peer.sa, &opt.open.sa, peer.len) == 0;
}

/* SO_ERROR, connect() again and getpeername() must agree. */
static void verdict(struct thread *t, struct flight *f)
{
    int error = -1;
    socklen_t len = sizeof error;

    if (getsockopt(f->fd, SOL_SOCKET, SO_ERROR, &error, &len) != 0)
        complain(t, "SO_ERROR", errno);
    if (f->expects_refusal) {
        if (error != ECONNREFUSED)
            complain(t, "not refused", error);
        t->tally.refused++;
        finish(f);
        return;
    }
    if (error != 0) {
        complain(t, "not connected", error);
        finish(f);
        return;
    }
    if (!peer_is_right(f))
        complain(t, "getpeername", errno);
    int rc = connect(f->fd, (const struct sockaddr *)&opt.open.sa, opt.open.len);

    if (rc != 0 && errno != EISCONN)
        complain(t, "connect again", errno);
    f->connected = true;
    t->tally.connected++;
}

static void read_octet(struct thread *t, struct flight *f)
{
    char c[8] = {0};
    ssize_t n = recv(f->fd, c, sizeof c, 0);

    if (n < 0 && errno == EAGAIN)
        return;
    if (n != 1 || c[0] != OCTET)
        complain(t, n == 0 ? "end of stream" : "wrong octets", n < 0 ? errno : -1);
    finish(f);
}

static void on_event(struct thread *t, unsigned i)
{
    struct flight *f = &t->flight[i];

    if (f->fd < 0)
        return;
    if (f->close_early) {
        t->tally.early++;
        finish(f);
        return;
    }
    if (!f->connected)
        verdict(t, f);
    if (f->fd >= 0)
        read_octet(t, f);
    if (f->fd >= 0 && opt.mode != MODE_ET && opt.mode >= MODE_LT)
        arm(t, i, EPOLL_CTL_MOD);
}

/* ---- waiting ---- */

static void wait_epoll(struct thread *t, int timeout_ms)
{
    struct epoll_event ev[EVENTS];
    int n = epoll_wait(t->ep, ev, EVENTS, timeout_ms);

    for (int i = 0; i < n; i++) {
        if (t->flight[ev[i].data.u32].fd < 0)
            t->tally.spurious++; /* of a descriptor that is closed */
        on_event(t, ev[i].data.u32);
    }
}

static short wanted(const struct flight *f)
{
    return f->connected ? POLLIN : POLLIN | POLLOUT;
}

static void wait_poll(struct thread *t, int timeout_ms)
{
    struct pollfd p[WINDOW_MAX];

    for (unsigned i = 0; i < opt.window; i++)
        p[i] = (struct pollfd){.fd = t->flight[i].fd, .events = wanted(&t->flight[i])};
    if (poll(p, opt.window, timeout_ms) <= 0)
        return;
    for (unsigned i = 0; i < opt.window; i++)
        if (p[i].revents != 0)
            on_event(t, i);
}

static void wait_select(struct thread *t, int timeout_ms)
{
    struct timeval limit = {.tv_sec = timeout_ms / 1000,
                            .tv_usec = (suseconds_t)(timeout_ms % 1000) * 1000};
    fd_set in, out;
    int top = -1;

    FD_ZERO(&in);
    FD_ZERO(&out);
    for (unsigned i = 0; i < opt.window; i++) {
        const struct flight *f = &t->flight[i];

        if (f->fd < 0)
            continue;
        if (f->fd >= FD_SETSIZE)
            die("select");
        FD_SET(f->fd, &in);
        if (!f->connected)
            FD_SET(f->fd, &out);
        top = f->fd > top ? f->fd : top;
    }
    if (select(top + 1, &in, &out, NULL, &limit) <= 0)
        return;
    for (unsigned i = 0; i < opt.window; i++) {
        int fd = t->flight[i].fd;

        if (fd >= 0 && (FD_ISSET(fd, &in) || FD_ISSET(fd, &out)))
            on_event(t, i);
    }
}

/* Nothing came in time. Is there something to be told? Then it was lost. */
static void judge_late(struct thread *t)
{
    for (unsigned i = 0; i < opt.window; i++) {
        struct flight *f = &t->flight[i];
        struct pollfd p = {.fd = f->fd, .events = wanted(f)};

        if (f->fd < 0 || now_ms() < f->deadline_ms)
            continue;
        if (poll(&p, 1, 0) > 0)
            t->tally.lost++;
        else
            t->tally.late++;
        finish(f);
    }
}

static unsigned in_flight(const struct thread *t)
{
    unsigned n = 0;

    for (unsigned i = 0; i < opt.window; i++)
        n += t->flight[i].fd >= 0;
    return n;
}

static void *storm(void *arg)
{
    struct thread *t = arg;

    for (unsigned i = 0; i < opt.window; i++)
        t->flight[i].fd = -1;
    if (opt.mode >= MODE_LT && (t->ep = epoll_create1(EPOLL_CLOEXEC)) < 0)
        die("epoll_create1");
    while (t->quota > 0 || in_flight(t) > 0) {
        for (unsigned i = 0; i < opt.window; i++)
            if (t->flight[i].fd < 0 && t->quota > 0)
                begin(t, i);
        if (opt.mode == MODE_POLL)
            wait_poll(t, 100);
        else if (opt.mode == MODE_SELECT)
            wait_select(t, 100);
        else
            wait_epoll(t, 100);
        judge_late(t);
    }
    if (opt.mode >= MODE_LT)
        (void)close(t->ep);
    return NULL;
}

/* ---- all of them ---- */

static unsigned open_fds(void)
{
    DIR *d = opendir("/proc/self/fd");
    unsigned n = 0;

    if (d == NULL)
        die("/proc/self/fd");
    while (readdir(d) != NULL)
        n++;
    (void)closedir(d);
    return n;
}

/* What works for this process in the background may take a moment to let go. */
static int fds_left(unsigned before)
{
    uint64_t until = now_ms() + 5000;
    unsigned now = open_fds();

    while (now > before && now_ms() < until) {
        (void)poll(NULL, 0, 20);
        now = open_fds();
    }
    return (int)now - (int)before;
}

static void add(struct tally *to, const struct tally *t)
{
    to->started += t->started;
    to->connected += t->connected;
    to->refused += t->refused;
    to->early += t->early;
    to->lost += t->lost;
    to->late += t->late;
    to->wrong += t->wrong;
    to->spurious += t->spurious;
}

static unsigned long number(const char *text, unsigned long most)
{
    char *end;
    unsigned long n = strtoul(text, &end, 10);

    if (*end != 0 || *text == 0 || n > most) {
        (void)fprintf(stderr, "stormer: not a number up to %lu: %s\n", most, text);
        exit(2);
    }
    return n;
}

static enum mode mode_of(const char *text)
{
    for (unsigned m = 0; m < MODES; m++)
        if (strcmp(mode_names[m], text) == 0)
            return (enum mode)m;
    (void)fprintf(stderr, "stormer: no such mode: %s\n", text);
    exit(2);
}

static const char *parse(int argc, char **argv)
{
    const char *address = "127.0.0.1";
    struct {
        const char *name;
        unsigned *value;
        unsigned most;
    } numbers[] = {
        {"--threads", &opt.threads, THREADS_MAX}, {"--connects", &opt.connects, 1000000},
        {"--window", &opt.window, WINDOW_MAX},    {"--early", &opt.early, 100},
        {"--refused", &opt.refused, 100},         {"--patience-ms", &opt.patience_ms, 600000}};

    for (int i = 1; i < argc; i++) {
        const char *value = i + 1 < argc ? argv[i + 1] : "";
        unsigned n = 0;

        if (strcmp(argv[i], "--before") == 0) {
            opt.before = true;
            continue;
        }
        while (n < 6 && strcmp(numbers[n].name, argv[i]) != 0)
            n++;
        if (n < 6)
            *numbers[n].value = (unsigned)number(value, numbers[n].most);
        else if (strcmp(argv[i], "--seed") == 0)
            opt.seed = number(value, UINT32_MAX);
        else if (strcmp(argv[i], "--mode") == 0)
            opt.mode = mode_of(value);
        else if (strcmp(argv[i], "--address") == 0)
            address = value;
        else
            die(argv[i]);
        i++;
    }
    return address;
}

int main(int argc, char **argv)
{
    static struct thread thread[THREADS_MAX];
    const char *address = parse(argc, argv);
    struct tally all = {0};
    int listener = bound_socket(address, &opt.open),
        closed = bound_socket(address, &opt.closed);

    if (listen(listener, SOMAXCONN) != 0)
        die("listen");
    pid_t server = fork();

    if (server < 0)
        die("fork");
    if (server == 0)
        serve(listener);
    (void)close(listener);
    unsigned before = open_fds();
    uint64_t began = now_ms();

    for (unsigned i = 0; i < opt.threads; i++) {
        thread[i].random = (opt.seed + 1) * 0x9e3779b97f4a7c15U + i;
        thread[i].quota = opt.connects / opt.threads + (i < opt.connects % opt.threads);
        if (pthread_create(&thread[i].id, NULL, storm, &thread[i]) != 0)
            die("pthread_create");
    }
    for (unsigned i = 0; i < opt.threads; i++) {
        if (pthread_join(thread[i].id, NULL) != 0)
            die("pthread_join");
        add(&all, &thread[i].tally);
    }
    uint64_t ms = now_ms() - began;
    int left = fds_left(before);

    (void)close(closed);
    (void)kill(server, SIGKILL);
    (void)waitpid(server, NULL, 0);
    (void)printf(
        "{\"mode\": \"%s\", \"before\": %s, \"seed\": %llu, \"threads\": %u, \"connects\": "
        "%lu, "
        "\"connected\": %lu, \"refused\": %lu, \"early\": %lu, \"lost\": %lu, \"late\": %lu, "
        "\"wrong\": %lu, \"spurious\": %lu, \"fds_left\": %d, \"ms\": %llu}\n",
        mode_names[opt.mode], opt.before ? "true" : "false", (unsigned long long)opt.seed,
        opt.threads, all.started, all.connected, all.refused, all.early, all.lost, all.late,
        all.wrong, all.spurious, left, (unsigned long long)ms);
    return all.lost + all.late + all.wrong != 0 || left > 0;
}
