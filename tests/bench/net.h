/* SPDX-License-Identifier: MIT */
/* net - what the bench programs share: end points, sockets, clock, the octet pattern both ends
 * know, latency samples. */
#ifndef BENCH_NET_H
#define BENCH_NET_H
#include <netinet/in.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#ifndef IPPROTO_MPTCP
#define IPPROTO_MPTCP 262
#endif
#ifndef TCP_IS_MPTCP
#define TCP_IS_MPTCP 43
#endif

/* A bulk stream is the pattern repeated: octet number n is pattern[n % PATTERN_PERIOD]. The
 * period is prime, so a piece that is lost, doubled or moved shows at the next check unless its
 * length is a multiple of it. */
enum {
    PATTERN_PERIOD = 65521,
    PATTERN_CHUNK = 262144,
    PATTERN_LEN = PATTERN_PERIOD + PATTERN_CHUNK,
    PATTERN_PROBE = 64
};

/* Ports of bench_origin, counted from its base port. */
enum origin_service {
    ORIGIN_ECHO,
    ORIGIN_SINK,
    ORIGIN_SOURCE,
    ORIGIN_CONTROL,
    ORIGIN_SERVICES
};

/* bench_origin's answer to every octet written to its control port; host byte order, both ends
 * are one machine. */
struct origin_totals {
    uint64_t sunk, sourced, bad, accepted;
};

/* False: not "IPv4:port". */
bool net_endpoint(const char *text, struct sockaddr_in *out);

/* PATTERN_LEN octets on the heap; the program ends when there is no memory. */
uint8_t *net_pattern(void);

/* Sockets are non-blocking. `rcvbuf` 0 leaves autotuning alone. -1 with errno set on failure.
 */
int net_listen(const struct sockaddr_in *at, bool mptcp, int rcvbuf);
int net_dial(const struct sockaddr_in *to, bool mptcp, int rcvbuf);

uint64_t net_now_ns(void);
void net_raise_nofile(void);
_Noreturn void net_die(const char *what);

/* Latencies in ns. Grows; a sample that finds no memory is dropped. */
struct samples {
    uint32_t *ns;
    size_t count, room;
};
void samples_add(struct samples *s, uint64_t ns);
double samples_us(struct samples *s, double quantile); /* sorts; -1 when empty */

#endif
