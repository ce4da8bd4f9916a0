/* SPDX-License-Identifier: MIT */
/* fetch [-n] [-6] HOST PORT COUNT SEED: an HTTP GET of /COUNT/SEED, the body on standard
 * output; -n: on a non-blocking socket with poll(). What went wrong is on standard error as the
 * errno's name; exit status 1. Small enough for every libc; linked dynamically, statically and
 * with musl. */
#include <arpa/inet.h>
#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

static int fail(const char *what)
{
    (void)fprintf(stderr, "%s: %d %s\n", what, errno, strerror(errno));
    return EXIT_FAILURE;
}

static int wait_connected(int fd)
{
    struct pollfd p = {.fd = fd, .events = POLLOUT};
    int error = 0;
    socklen_t len = sizeof error;

    if (poll(&p, 1, 20000) != 1)
        return ETIMEDOUT;
    if (getsockopt(fd, SOL_SOCKET, SO_ERROR, &error, &len) != 0)
        return errno;
    return error;
}

static int fetch(int fd, const char *count, const char *seed)
{
    char request[128], block[65536];
    bool head = true;
    size_t kept = 0;
    ssize_t n;
    int len = snprintf(request, sizeof request, "GET /%s/%s HTTP/1.0\r\n\r\n", count, seed);

    if (send(fd, request, (size_t)len, MSG_NOSIGNAL) != len)
        return fail("send");
    while ((n = recv(fd, block + kept, sizeof block - kept, 0)) > 0) {
        char *from = block;
        size_t have = kept + (size_t)n;

        kept = 0;
        if (head) {
            char *end = memmem(block, have, "\r\n\r\n", 4);
            if (end == NULL) {
                kept = have;
                continue;
            }
            head = false;
            from = end + 4;
        }
        if (fwrite(from, 1, have - (size_t)(from - block), stdout) !=
            have - (size_t)(from - block))
            return fail("write");
    }
    return n < 0 ? fail("recv") : EXIT_SUCCESS;
}

int main(int argc, char **argv)
{
    bool later = false;
    int c;

    while ((c = getopt(argc, argv, "n")) != -1)
        later |= c == 'n';
    if (argc - optind != 4)
        return EXIT_FAILURE;
    const char *host = argv[optind];
    struct sockaddr_in6 to6 = {.sin6_family = AF_INET6};
    struct sockaddr_in to4 = {.sin_family = AF_INET};
    bool v6 = inet_pton(AF_INET6, host, &to6.sin6_addr) == 1;

    to6.sin6_port = to4.sin_port = htons((uint16_t)strtoul(argv[optind + 1], NULL, 10));
    if (!v6 && inet_pton(AF_INET, host, &to4.sin_addr) != 1)
        return fail(host);
    int fd = socket(v6 ? AF_INET6 : AF_INET, SOCK_STREAM | (later ? SOCK_NONBLOCK : 0), 0);
    if (fd < 0)
        return fail("socket");
    int rc = connect(fd, v6 ? (struct sockaddr *)&to6 : (struct sockaddr *)&to4,
                     v6 ? sizeof to6 : sizeof to4);
    if (rc != 0 && errno == EINPROGRESS && later) {
        errno = wait_connected(fd);
        rc = errno != 0 ? -1 : 0;
    }
    if (rc != 0)
        return fail("connect");
    if (later)
        (void)fcntl(fd, F_SETFL, 0);
    return fetch(fd, argv[optind + 2], argv[optind + 3]);
}
