/* SPDX-License-Identifier: MIT */
/* origin - the server of the tests. The first line a client sends says how the connection shall
 * behave:
 *
 *   ECHO            gives every octet back; FIN after the client's FIN
 *   SINK            takes all until the client's FIN, then answers "<octets> <crc32>\n" and FIN
 *   PACE KIB        as SINK, reading no faster than KIB KiB per second
 *   SOURCE N SEED   sends N pseudo-random octets and FIN, and takes what the client sends
 * meanwhile and later RESET N SEED    sends N octets, then resets the connection SILENT takes
 * all, never answers STALL           never reads again, never answers WAIT MS COMMAND waits,
 * then does COMMAND GET /N/SEED ... HTTP: answers with N octets of that stream, closes
 *
 * Usage: origin [-m] [-f] [-g GREETING] PORT      listens on [::]:PORT, IPv4 as well. -m:
 * MPTCP, -f: TCP Fast Open without cookie, -g: speaks first origin stream N SEED writes that
 * stream to standard output
 *
 * Says {"ready":PORT} when it listens and one line of JSON for each connection that ended. Ends
 * with its standard input. */
#include <arpa/inet.h>
#include <errno.h>
#include <netinet/tcp.h>
#include <poll.h>
#include <pthread.h>
#include <stdbool.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <time.h>
#include <unistd.h>

#ifndef IPPROTO_MPTCP
#define IPPROTO_MPTCP 262
#endif
#ifndef TCP_FASTOPEN_NO_COOKIE
#define TCP_FASTOPEN_NO_COOKIE 34
#endif

enum { BLOCK = 65536, LINE_MAX_LEN = 1024, BACKLOG = 1024 };

struct stream {
    uint64_t state;
};

struct crc_tables;

struct talk {
    int fd;
    const struct crc_tables *tables;
    const char *greeting;
    char command[16];
    uint64_t in, out;
    uint32_t crc; /* of everything after the command line */
    int error;    /* errno that ended it, 0 for an orderly end */
    bool reset;
};

/* Octets of xorshift64*, eight per step, least significant first. */
static void stream_fill(struct stream *s, uint8_t *out, size_t len)
{
    for (size_t at = 0; at < len; at += 8) {
        s->state ^= s->state >> 12;
        s->state ^= s->state << 25;
        s->state ^= s->state >> 27;
        uint64_t v = s->state * 0x2545f4914f6cdd1dU;

        for (size_t i = 0; i < 8 && at + i < len; i++)
            out[at + i] = (uint8_t)(v >> (8 * i));
    }
}

static struct stream stream_of(uint64_t seed)
{
    return (struct stream){seed * 2 + 1}; /* never zero */
}

/* CRC-32 (ISO 3309) four octets at a time: at one octet a step the sum would slow the test
 * down. */
struct crc_tables {
    uint32_t slice[4][256];
};

static struct crc_tables crc_tables_make(void)
{
    struct crc_tables t;

    for (uint32_t i = 0; i < 256; i++) {
        uint32_t c = i;

        for (int bit = 0; bit < 8; bit++)
            c = (c & 1) != 0 ? (c >> 1) ^ 0xedb88320U : c >> 1;
        t.slice[0][i] = c;
    }
    for (uint32_t i = 0; i < 256; i++)
        for (int s = 1; s < 4; s++)
            t.slice[s][i] = (t.slice[s - 1][i] >> 8) ^ t.slice[0][t.slice[s - 1][i] & 255];
    return t;
}

static uint32_t crc32_add(const struct crc_tables *t, uint32_t crc, const uint8_t *p,
                          size_t len)
{
    crc = ~crc;
    for (; len >= 4; p += 4, len -= 4) {
        crc ^=
            (uint32_t)p[0] | (uint32_t)p[1] << 8 | (uint32_t)p[2] << 16 | (uint32_t)p[3] << 24;
        crc = t->slice[3][crc & 255] ^ t->slice[2][(crc >> 8) & 255] ^
              t->slice[1][(crc >> 16) & 255] ^ t->slice[0][crc >> 24];
    }
    for (; len > 0; p++, len--)
        crc = (crc >> 8) ^ t->slice[0][(crc ^ *p) & 255];
    return ~crc;
}

static void sleep_ms(uint64_t ms)
{
    struct timespec t = {(time_t)(ms / 1000), (long)(ms % 1000) * 1000000};

    while (nanosleep(&t, &t) != 0 && errno == EINTR)
        continue;
}

static bool send_all(struct talk *t, const void *data, size_t len)
{
    const uint8_t *p = data;

    while (len > 0) {
        ssize_t n = send(t->fd, p, len, MSG_NOSIGNAL);

        if (n < 0) {
            t->error = errno;
            return false;
        }
        p += n;
        len -= (size_t)n;
        t->out += (uint64_t)n;
    }
    return true;
}

/* Octets taken, counted and summed; 0 at the end, however it came. */
static size_t take(struct talk *t, uint8_t *buf, size_t cap)
{
    ssize_t n = recv(t->fd, buf, cap, 0);

    if (n < 0)
        t->error = errno;
    if (n <= 0)
        return 0;
    t->in += (uint64_t)n;
    t->crc = crc32_add(t->tables, t->crc, buf, (size_t)n);
    return (size_t)n;
}

static void do_echo(struct talk *t)
{
    uint8_t buf[BLOCK];

    for (size_t n; (n = take(t, buf, sizeof buf)) > 0;)
        if (!send_all(t, buf, n))
            return;
}

static void do_sink(struct talk *t, uint64_t kib_per_second, bool answer)
{
    uint8_t buf[BLOCK];
    size_t cap = kib_per_second > 0 && kib_per_second < sizeof buf / 10 ? 16384 : sizeof buf;
    char report[64];

    for (size_t n; (n = take(t, buf, cap)) > 0;)
        if (kib_per_second > 0)
            sleep_ms(n * 1000 / (kib_per_second * 1024));
    if (t->error != 0 || !answer)
        return;
    int len = snprintf(report, sizeof report, "%llu %08x\n", (unsigned long long)t->in, t->crc);

    (void)send_all(t, report, (size_t)len);
}

/* Sends and takes at the same time, so that neither direction can hold up the other. */
static void do_source(struct talk *t, uint64_t count, struct stream s)
{
    uint8_t out[BLOCK], in[BLOCK];
    size_t have = 0, at = 0;
    bool reading = true, writing = true;

    while (reading || writing) {
        struct pollfd p = {.fd = t->fd,
                           .events = (short)((reading ? POLLIN : 0) | (writing ? POLLOUT : 0))};

        if (poll(&p, 1, -1) < 0)
            return;
        if (reading && (p.revents & (POLLIN | POLLERR | POLLHUP)) != 0 &&
            take(t, in, sizeof in) == 0) {
            if (t->error != 0)
                return;
            reading = false;
        }
        if (!writing || (p.revents & POLLOUT) == 0)
            continue;
        if (at == have && count > 0) {
            have = count < sizeof out ? (size_t)count : sizeof out;
            at = 0;
            stream_fill(&s, out, have);
            count -= have;
        }
        ssize_t n =
            at < have ? send(t->fd, out + at, have - at, MSG_NOSIGNAL | MSG_DONTWAIT) : 0;

        if (n < 0 && errno != EAGAIN) {
            t->error = errno;
            return;
        }
        at += n > 0 ? (size_t)n : 0;
        t->out += n > 0 ? (uint64_t)n : 0;
        if (at == have && count == 0) {
            (void)shutdown(t->fd,
                           SHUT_WR); /* fails only when the peer is gone: recv will tell */
            writing = false;
        }
    }
}

static void do_reset(struct talk *t, uint64_t count, struct stream s)
{
    uint8_t buf[BLOCK];

    while (count > 0) {
        size_t n = count < sizeof buf ? (size_t)count : sizeof buf;

        stream_fill(&s, buf, n);
        if (!send_all(t, buf, n))
            return;
        count -= n;
    }
    sleep_ms(100); /* a RST discards what the peer has not read */
    t->reset = true;
}

static bool read_line(struct talk *t, char *line, size_t cap)
{
    size_t len = 0;

    while (len + 1 < cap && recv(t->fd, line + len, 1, 0) == 1) {
        if (line[len] == '\n') {
            line[len] = '\0';
            line[strcspn(line, "\r")] = '\0';
            return true;
        }
        len++;
    }
    return false;
}

static void do_http(struct talk *t, const char *path)
{
    char line[LINE_MAX_LEN];
    char *slash = NULL, *end = NULL;
    unsigned long long count = path[0] == '/' ? strtoull(path + 1, &slash, 10) : 0;
    unsigned long long seed =
        slash != NULL && *slash == '/' ? strtoull(slash + 1, &end, 10) : 0;
    bool found = end != NULL && *end == '\0';

    while (read_line(t, line, sizeof line) && line[0] != '\0')
        continue;
    int len = snprintf(
        line, sizeof line,
        "HTTP/1.1 %s\r\nContent-Length: %llu\r\nContent-Type: application/octet-stream\r\n"
        "Connection: close\r\n\r\n",
        found ? "200 OK" : "404 Not Found", found ? count : 0ULL);

    if (send_all(t, line, (size_t)len))
        do_source(t, found ? count : 0, stream_of(seed));
}

static void do_command(struct talk *t, char *line)
{
    char *rest = NULL, *verb = strtok_r(line, " ", &rest);
    char *one = strtok_r(NULL, " ", &rest), *two = strtok_r(NULL, " ", &rest);
    uint64_t a = one != NULL ? strtoull(one, NULL, 10) : 0,
             b = two != NULL ? strtoull(two, NULL, 10) : 0;

    (void)snprintf(t->command, sizeof t->command, "%s", verb != NULL ? verb : "");
    if (strcmp(t->command, "ECHO") == 0)
        do_echo(t);
    else if (strcmp(t->command, "SINK") == 0)
        do_sink(t, 0, true);
    else if (strcmp(t->command, "PACE") == 0)
        do_sink(t, a, true);
    else if (strcmp(t->command, "SILENT") == 0)
        do_sink(t, 0, false);
    else if (strcmp(t->command, "STALL") == 0)
        (void)poll(NULL, 0, 600000);
    else if (strcmp(t->command, "SOURCE") == 0)
        do_source(t, a, stream_of(b));
    else if (strcmp(t->command, "RESET") == 0)
        do_reset(t, a, stream_of(b));
    else if (strcmp(t->command, "GET") == 0 && one != NULL)
        do_http(t, one);
    else
        t->error = EPROTO;
}

static void run_command(struct talk *t, char *line)
{
    while (strncmp(line, "WAIT ", 5) == 0) {
        sleep_ms(strtoull(line + 5, &line, 10));
        line += strspn(line, " ");
    }
    do_command(t, line);
}

static void report(const struct talk *t, const char *peer)
{
    int protocol = 0;
    socklen_t len = sizeof protocol;
    const char *end = t->reset                 ? "reset-by-us"
                      : t->error == 0          ? "eof"
                      : t->error == ECONNRESET ? "reset"
                      : t->error == EPIPE      ? "reset"
                                               : "error";

    (void)getsockopt(t->fd, SOL_SOCKET, SO_PROTOCOL, &protocol, &len);
    printf("{\"peer\":\"%s\",\"command\":\"%s\",\"in\":%llu,\"out\":%llu,\"crc\":\"%08x\","
           "\"end\":\"%s\",\"mptcp\":%s}\n",
           peer, t->command, (unsigned long long)t->in, (unsigned long long)t->out, t->crc, end,
           protocol == IPPROTO_MPTCP ? "true" : "false");
}

static void peer_text(int fd, char *out, size_t cap)
{
    struct sockaddr_in6 a = {.sin6_family = AF_UNSPEC};
    socklen_t len = sizeof a;
    char ip[INET6_ADDRSTRLEN] = "-";

    (void)getpeername(fd, (struct sockaddr *)&a, &len);
    if (inet_ntop(AF_INET6, &a.sin6_addr, ip, sizeof ip) == NULL)
        ip[0] = '\0';
    (void)snprintf(out, cap, "[%s]:%u", ip, ntohs(a.sin6_port));
}

static void *serve(void *arg)
{
    struct talk *t = arg;
    char line[LINE_MAX_LEN], peer[INET6_ADDRSTRLEN + 10];
    struct linger abort_now = {.l_onoff = 1, .l_linger = 0};

    peer_text(t->fd, peer, sizeof peer);
    if (t->greeting == NULL ||
        (send_all(t, t->greeting, strlen(t->greeting)) && send_all(t, "\r\n", 2))) {
        if (read_line(t, line, sizeof line))
            run_command(t, line);
        else
            t->error = errno;
    }
    if (t->reset)
        (void)setsockopt(t->fd, SOL_SOCKET, SO_LINGER, &abort_now, sizeof abort_now);
    report(t, peer);
    (void)close(t->fd);
    free(t);
    return NULL;
}

static int listen_on(uint16_t port, bool mptcp, bool fastopen)
{
    int on = 1, off = 0, queue = BACKLOG;
    struct sockaddr_in6 at = {.sin6_family = AF_INET6, .sin6_port = htons(port)};
    int fd = socket(AF_INET6, SOCK_STREAM | SOCK_CLOEXEC, mptcp ? IPPROTO_MPTCP : IPPROTO_TCP);

    if (fd < 0 || setsockopt(fd, SOL_SOCKET, SO_REUSEADDR, &on, sizeof on) != 0 ||
        setsockopt(fd, IPPROTO_IPV6, IPV6_V6ONLY, &off, sizeof off) != 0 ||
        (fastopen &&
         (setsockopt(fd, IPPROTO_TCP, TCP_FASTOPEN, &queue, sizeof queue) != 0 ||
          setsockopt(fd, IPPROTO_TCP, TCP_FASTOPEN_NO_COOKIE, &on, sizeof on) != 0)) ||
        bind(fd, (struct sockaddr *)&at, sizeof at) != 0 || listen(fd, BACKLOG) != 0) {
        perror("origin");
        exit(EXIT_FAILURE);
    }
    return fd;
}

static void accept_one(int listener, const char *greeting, const struct crc_tables *tables)
{
    struct talk *t = calloc(1, sizeof *t);
    pthread_t thread;

    if (t == NULL)
        return;
    t->greeting = greeting;
    t->tables = tables;
    t->fd = accept4(listener, NULL, NULL, SOCK_CLOEXEC);
    if (t->fd < 0 || pthread_create(&thread, NULL, serve, t) != 0) {
        if (t->fd >= 0)
            (void)close(t->fd);
        free(t);
        return;
    }
    (void)pthread_detach(thread);
}

static int print_stream(uint64_t count, uint64_t seed)
{
    struct stream s = stream_of(seed);
    uint8_t buf[BLOCK];

    while (count > 0) {
        size_t n = count < sizeof buf ? (size_t)count : sizeof buf;

        stream_fill(&s, buf, n);
        if (fwrite(buf, 1, n, stdout) != n)
            return EXIT_FAILURE;
        count -= n;
    }
    return EXIT_SUCCESS;
}

int main(int argc, char **argv)
{
    bool mptcp = false, fastopen = false;
    const char *greeting = NULL;

    if (argc == 4 && strcmp(argv[1], "stream") == 0)
        return print_stream(strtoull(argv[2], NULL, 10), strtoull(argv[3], NULL, 10));
    for (int c; (c = getopt(argc, argv, "mfg:")) != -1;) {
        if (c == 'm')
            mptcp = true;
        else if (c == 'f')
            fastopen = true;
        else if (c == 'g')
            greeting = optarg;
        else
            return EXIT_FAILURE;
    }
    uint16_t port = (uint16_t)(optind < argc ? strtoul(argv[optind], NULL, 10) : 0);
    struct pollfd fds[] = {{.fd = STDIN_FILENO, .events = POLLIN},
                           {.fd = listen_on(port, mptcp, fastopen), .events = POLLIN}};

    struct crc_tables tables = crc_tables_make();

    (void)setvbuf(stdout, NULL, _IOLBF, 0);
    printf("{\"ready\":%u}\n", port);
    for (char c; poll(fds, 2, -1) > 0;) {
        if ((fds[0].revents & (POLLIN | POLLHUP)) != 0 && read(STDIN_FILENO, &c, 1) <= 0)
            return EXIT_SUCCESS;
        if ((fds[1].revents & POLLIN) != 0)
            accept_one(fds[1].fd, greeting, &tables);
    }
    return EXIT_FAILURE;
}
