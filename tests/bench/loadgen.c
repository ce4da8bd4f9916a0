/* SPDX-License-Identifier: MIT */
/* loadgen - the client behind which a proxy is measured.
 *
 *     loadgen MODE PROXY ORIGIN [options]       MODE: rate pingpong down up idle; PROXY,
 * ORIGIN: IPv4:port -n FLOWS  -t SECONDS  -b OCTETS   connections at a time; how long; size of
 * a message -s                                speak SOCKS5 to PROXY (else it is a bare relay to
 * the right service) -m  -r OCTETS                     MPTCP sockets; their SO_RCVBUF
 *
 * ORIGIN is bench_origin's base port. It sets its flows up, prints "ready" and waits for a line
 * on stdin, so that the caller can read the proxy's CPU clock while all is quiet; runs, drains,
 * prints one JSON line; holds the flows until stdin ends. Every octet is accounted for: a
 * result with failures > 0 is void. */
#include "modes.h"

#include <arpa/inet.h>
#include <errno.h>
#include <fcntl.h>
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

static const char *const MODES[] = {"rate", "pingpong", "down", "up", "idle"};

static void usage(void)
{
    (void)fputs(
        "usage: loadgen rate|pingpong|down|up|idle PROXY ORIGIN [-n flows] [-t seconds] [-b "
        "octets] [-s] [-m] [-r rcvbuf]\n",
        stderr);
    exit(EXIT_FAILURE);
}

static double number(const char *text, double most)
{
    char *end;
    double v = strtod(text, &end);

    if (end == text || *end != '\0' || !(v >= 0 && v <= most))
        usage();
    return v;
}

static struct sockaddr_in service(struct sockaddr_in base, enum origin_service which)
{
    base.sin_port = htons((uint16_t)(ntohs(base.sin_port) + which));
    return base;
}

static void parse(struct load *l, int argc, char **argv)
{
    static const enum origin_service TARGET[] = {ORIGIN_ECHO, ORIGIN_ECHO, ORIGIN_SOURCE,
                                                 ORIGIN_SINK, ORIGIN_ECHO};
    struct sockaddr_in origin;
    size_t mode = 0;
    int c;

    if (argc < 4 || !net_endpoint(argv[2], &l->proxy) || !net_endpoint(argv[3], &origin))
        usage();
    while (mode < sizeof MODES / sizeof MODES[0] && strcmp(argv[1], MODES[mode]) != 0)
        mode++;
    if (mode == sizeof MODES / sizeof MODES[0])
        usage();
    l->mode = (enum mode)mode;
    l->target = service(origin, TARGET[mode]);
    l->control = service(origin, ORIGIN_CONTROL);
    optind = 4;
    while ((c = getopt(argc, argv, "n:t:b:smr:")) != -1) {
        switch (c) {
        case 'n':
            l->flows = (size_t)number(optarg, 65536);
            break;
        case 't':
            l->seconds = number(optarg, 3600);
            break;
        case 'b':
            l->message = (size_t)number(optarg, MESSAGE_MAX);
            break;
        case 's':
            l->socks = true;
            break;
        case 'm':
            l->mptcp = true;
            break;
        case 'r':
            l->rcvbuf = (int)number(optarg, 1 << 30);
            break;
        default:
            usage();
        }
    }
    if (optind != argc || l->flows == 0 || l->message == 0)
        usage();
}

static int dial_control(const struct load *l)
{
    int fd = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC,
                    0); /* blocking: questions are asked outside the loop's waits */

    if (fd < 0 || connect(fd, (const struct sockaddr *)&l->control, sizeof l->control) < 0)
        net_die("control port of the origin");
    return fd;
}

static void wait_line(void)
{
    int c;

    do
        c = getchar();
    while (c != '\n' && c != EOF);
}

static void report(struct load *l, double seconds)
{
    double p50 = samples_us(&l->latency, 0.50), p99 = samples_us(&l->latency, 0.99),
           top = samples_us(&l->latency, 1.0);

    printf("{\"mode\": \"%s\", \"flows\": %zu, \"seconds\": %.6f, \"ops\": %" PRIu64
           ", \"octets\": %" PRIu64 ", \"failures\": %" PRIu64
           ", \"why\": \"%s\", \"mptcp\": %" PRIu64
           ", \"p50_us\": %.2f, \"p99_us\": %.2f, \"max_us\": %.2f}\n",
           MODES[l->mode], l->flows, seconds, l->ops, l->octets, l->failures,
           l->why != NULL ? l->why : "", l->mptcp_flows, p50, p99, top);
    if (fflush(stdout) != 0)
        exit(EXIT_FAILURE);
}

int main(int argc, char **argv)
{
    static struct load l = {.flows = 64, .message = 100, .seconds = 1.0};

    parse(&l, argc, argv);
    net_raise_nofile();
    l.pattern = net_pattern();
    l.ep = epoll_create1(EPOLL_CLOEXEC);
    l.flow = calloc(l.flows, sizeof *l.flow);
    if (l.ep < 0 || l.flow == NULL)
        net_die("loadgen");
    l.control_fd = dial_control(&l);
    if (l.mode != MODE_RATE && !modes_set_up(&l)) {
        report(&l, 0);
        return EXIT_FAILURE;
    }
    if (puts("ready") < 0 || fflush(stdout) != 0)
        return EXIT_FAILURE;
    wait_line();
    double seconds = modes_run(&l);

    report(&l, seconds);
    wait_line();
    return l.failures == 0 ? EXIT_SUCCESS : EXIT_FAILURE;
}
