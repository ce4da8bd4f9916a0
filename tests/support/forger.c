/* SPDX-License-Identifier: MIT */
#include "forger.h"
#include <arpa/inet.h>
#include <check.h>
#include <errno.h>
#include <net/ethernet.h>
#include <net/if.h>
#include <net/route.h>
#include <netinet/ip.h>
#include <netinet/tcp.h>
#include <netpacket/packet.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/socket.h>
#include <unistd.h>

#define FORGED "203.0.113.99"
enum {
    PORT = 40404,
    FIRST_SEQ = 1000000,
    PACKET_MAX = 2048,
    MP_CAPABLE_SYN = 4,
    MP_CAPABLE_ACK = 20
};

struct packet {
    struct iphdr ip;
    struct tcphdr tcp;
    uint8_t rest[256]; /* options, then data */
};

static uint32_t address(const char *text)
{
    struct in_addr a = {0};

    (void)inet_pton(AF_INET, text, &a); /* our own literals */
    return a.s_addr;
}

/* RFC 1071 over the pseudo-header and the segment. */
static uint16_t checksum(const struct packet *p, size_t len)
{
    uint8_t all[12 + sizeof(struct tcphdr) + sizeof p->rest + 1] = {0};
    uint32_t sum = 0;

    memcpy(all, &p->ip.saddr, 4);
    memcpy(all + 4, &p->ip.daddr, 4);
    all[9] = IPPROTO_TCP;
    all[10] = (uint8_t)(len >> 8);
    all[11] = (uint8_t)len;
    memcpy(all + 12, &p->tcp, sizeof p->tcp);
    memcpy(all + 12 + sizeof p->tcp, p->rest, len - sizeof p->tcp);
    for (size_t i = 0; i < 12 + len; i += 2)
        sum += (uint32_t)all[i] << 8 | all[i + 1];
    while (sum >> 16 != 0)
        sum = (sum & 0xffff) + (sum >> 16);
    return htons((uint16_t)~sum);
}

static void emit(struct forger *f, struct tcphdr flags, const uint8_t *options,
                 size_t options_len, const void *data, size_t len)
{
    struct packet p = {.tcp = flags};
    size_t segment = sizeof p.tcp + options_len + len;

    ck_assert_uint_le(options_len + len, sizeof p.rest);
    p.ip.version = 4;
    p.ip.ihl = 5;
    p.ip.ttl = 64;
    p.ip.protocol = IPPROTO_TCP;
    p.ip.saddr = address(FORGED);
    p.ip.daddr = htonl(INADDR_LOOPBACK);
    p.ip.tot_len = htons((uint16_t)(sizeof p.ip + segment));
    p.tcp.source = htons(f->port);
    p.tcp.dest = htons(f->server_port);
    p.tcp.seq = htonl(f->seq);
    p.tcp.window = htons(UINT16_MAX);
    p.tcp.doff = (unsigned)((sizeof p.tcp + options_len) / 4) & 0xfU;
    if (options_len > 0)
        memcpy(p.rest, options, options_len);
    if (len > 0)
        memcpy(p.rest + options_len, data, len);
    p.tcp.check = checksum(&p, segment);
    struct sockaddr_in to = {.sin_family = AF_INET, .sin_addr.s_addr = p.ip.daddr};
    ck_assert_int_eq(
        sendto(f->raw, &p, sizeof p.ip + segment, 0, (struct sockaddr *)&to, sizeof to),
        (ssize_t)(sizeof p.ip + segment));
}

/* A way to the forged address: what is sent there appears on loopback and goes nowhere. */
static bool add_route(void)
{
    char lo[] = "lo";
    struct rtentry rt = {.rt_flags = RTF_UP | RTF_HOST, .rt_dev = lo};
    struct sockaddr_in to = {.sin_family = AF_INET, .sin_addr.s_addr = address(FORGED)};
    int fd = socket(AF_INET, SOCK_DGRAM | SOCK_CLOEXEC, 0);

    memcpy(&rt.rt_dst, &to, sizeof to);
    bool ok = fd >= 0 && (ioctl(fd, SIOCADDRT, &rt) == 0 || errno == EEXIST);
    if (fd >= 0)
        (void)close(fd);
    return ok;
}

bool forger_open(struct forger *f, uint16_t server_port, bool mptcp)
{
    struct sockaddr_ll lo = {.sll_family = AF_PACKET,
                             .sll_protocol = htons(ETH_P_ALL),
                             .sll_ifindex = (int)if_nametoindex("lo")};

    memset(f, 0, sizeof *f);
    f->port = PORT;
    f->server_port = server_port;
    f->mptcp = mptcp;
    f->seq = FIRST_SEQ;
    f->raw = socket(AF_INET, SOCK_RAW | SOCK_CLOEXEC, IPPROTO_RAW);
    f->tap = socket(AF_PACKET, SOCK_DGRAM | SOCK_CLOEXEC | SOCK_NONBLOCK, htons(ETH_P_ALL));
    if (add_route() && f->raw >= 0 && f->tap >= 0 &&
        bind(f->tap, (struct sockaddr *)&lo, sizeof lo) == 0)
        return true;
    forger_close(f);
    return false;
}

void forger_syn(struct forger *f, const void *data, size_t len)
{
    static const uint8_t mp_capable[MP_CAPABLE_SYN] = {30, 4, 0x01, 0x01};
    struct tcphdr syn = {.syn = 1};

    emit(f, syn, mp_capable, f->mptcp ? sizeof mp_capable : 0, data, len);
    f->seq += 1 + (uint32_t)len;
}

/* The server's key, from the MP_CAPABLE of its SYN-ACK. */
static void note_key(struct forger *f, const uint8_t *option, size_t len)
{
    for (size_t i = 0; i + 1 < len && option[i] != 0;) {
        if (option[i] == 1) {
            i++;
            continue;
        }
        if (option[i] == 30 && option[i + 1] >= 12 && i + 12 <= len)
            memcpy(f->server_key, option + i + 4, 8);
        ck_assert_uint_ge(option[i + 1], 2);
        i += option[i + 1];
    }
}

static void note(struct forger *f, const uint8_t *packet, size_t len)
{
    struct iphdr ip;
    struct tcphdr tcp;

    if (len < sizeof ip + sizeof tcp)
        return;
    memcpy(&ip, packet, sizeof ip);
    memcpy(&tcp, packet + sizeof ip, sizeof tcp);
    if (ip.daddr != address(FORGED) || ntohs(tcp.source) != f->server_port)
        return;
    size_t header = sizeof ip + (size_t)tcp.doff * 4, total = ntohs(ip.tot_len);
    if (tcp.syn) {
        f->server_seq = ntohl(tcp.seq) + 1;
        note_key(f, packet + sizeof ip + sizeof tcp, header - sizeof ip - sizeof tcp);
    }
    f->heard += total - header;
    f->fin |= tcp.fin;
    f->rst |= tcp.rst;
}

bool forger_hear(struct forger *f)
{
    uint8_t packet[PACKET_MAX];
    struct sockaddr_ll from = {0};
    socklen_t len = sizeof from;
    ssize_t n;

    while ((n = recvfrom(f->tap, packet, sizeof packet, 0, (struct sockaddr *)&from, &len)) > 0)
        if (from.sll_pkttype == PACKET_OUTGOING) /* loopback shows each twice */
            note(f, packet, (size_t)n);
    return f->server_seq != 0;
}

void forger_ack(struct forger *f)
{
    uint8_t mp_capable[MP_CAPABLE_ACK] = {
        30, MP_CAPABLE_ACK, 0x01, 0x01, 'o', 'u', 'r', 'k', 'e', 'y', '8', '8'};
    struct tcphdr ack = {.ack = 1, .ack_seq = htonl(f->server_seq)};

    memcpy(mp_capable + 12, f->server_key, 8);
    emit(f, ack, mp_capable, f->mptcp ? sizeof mp_capable : 0, NULL, 0);
}

void forger_reset(struct forger *f)
{
    struct tcphdr rst = {.rst = 1};

    emit(f, rst, NULL, 0, NULL, 0);
}

void forger_close(struct forger *f)
{
    if (f->raw >= 0)
        (void)close(f->raw);
    if (f->tap >= 0)
        (void)close(f->tap);
    f->raw = f->tap = -1;
}
