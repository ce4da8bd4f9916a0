/* SPDX-License-Identifier: MIT */
#include "middlebox.h"
#include <string.h>

enum {
    ETHERNET_LEN = 14,
    IPV4_MIN = 20,
    IPV6_LEN = 40,
    TCP_MIN = 20,
    PROTOCOL_TCP = 6,
    FLAG_SYN = 0x02,
    FLAG_ACK = 0x10,
    OPTION_END = 0,
    OPTION_NOP = 1,
    OPTION_MPTCP = 30,
};

struct segment {
    uint8_t *ip, *tcp;
    size_t ip_len;     /* IP header */
    size_t tcp_len;    /* TCP header and payload */
    size_t header_len; /* TCP header with options */
    bool v6;
};

static uint16_t load_be16(const uint8_t *p)
{
    return (uint16_t)(p[0] << 8 | p[1]);
}

static void store_be16(uint8_t *p, uint16_t v)
{
    p[0] = (uint8_t)(v >> 8);
    p[1] = (uint8_t)v;
}

static uint32_t sum_words(const uint8_t *p, size_t len, uint32_t sum)
{
    for (; len > 1; p += 2, len -= 2)
        sum += load_be16(p);
    return len == 1 ? sum + (uint32_t)(p[0] << 8) : sum;
}

static uint16_t fold(uint32_t sum)
{
    while (sum >> 16 != 0)
        sum = (sum & 0xffff) + (sum >> 16);
    return (uint16_t)~sum;
}

static bool find_ip(uint8_t *frame, size_t len, struct segment *s)
{
    if (len < ETHERNET_LEN + IPV4_MIN)
        return false;
    s->ip = frame + ETHERNET_LEN;
    switch (load_be16(frame + 12)) {
    case 0x0800:
        s->v6 = false;
        s->ip_len = (size_t)(s->ip[0] & 15) * 4;
        if (s->ip_len < IPV4_MIN || s->ip[9] != PROTOCOL_TCP ||
            (load_be16(s->ip + 6) & 0x3fff) != 0)
            return false; /* fragments pass */
        if (load_be16(s->ip + 2) < s->ip_len)
            return false;
        s->tcp_len = load_be16(s->ip + 2) - s->ip_len;
        return true;
    case 0x86dd:
        s->v6 = true;
        s->ip_len = IPV6_LEN;
        if (len < ETHERNET_LEN + IPV6_LEN || s->ip[6] != PROTOCOL_TCP)
            return false;
        s->tcp_len = load_be16(s->ip + 4);
        return true;
    default:
        return false;
    }
}

static bool find_segment(uint8_t *frame, size_t len, struct segment *s)
{
    if (!find_ip(frame, len, s))
        return false;
    if (s->tcp_len < TCP_MIN || len < ETHERNET_LEN + s->ip_len + s->tcp_len)
        return false;
    s->tcp = s->ip + s->ip_len;
    s->header_len = (size_t)(s->tcp[12] >> 4) * 4;
    return s->header_len >= TCP_MIN && s->header_len <= s->tcp_len;
}

/* Finishes the checksum in software; the frame's header then no longer asks the kernel for it.
 */
static void fill_checksum(const struct segment *s, struct virtio_net_hdr *vh)
{
    uint32_t sum = PROTOCOL_TCP + (uint32_t)s->tcp_len;

    sum = s->v6 ? sum_words(s->ip + 8, 32, sum) : sum_words(s->ip + 12, 8, sum);
    store_be16(s->tcp + 16, 0);
    store_be16(s->tcp + 16, fold(sum_words(s->tcp, s->tcp_len, sum)));
    vh->flags = 0;
}

static bool blank_mptcp(const struct segment *s)
{
    size_t at = TCP_MIN;
    bool found = false;

    while (at < s->header_len && s->tcp[at] != OPTION_END) {
        size_t size = 1;

        if (s->tcp[at] != OPTION_NOP) {
            if (at + 1 >= s->header_len || s->tcp[at + 1] < 2 ||
                s->tcp[at + 1] > s->header_len - at)
                break;
            size = s->tcp[at + 1];
        }
        if (s->tcp[at] == OPTION_MPTCP) {
            memset(s->tcp + at, OPTION_NOP, size);
            found = true;
        }
        at += size;
    }
    return found;
}

static void cut_payload(struct segment *s, struct virtio_net_hdr *vh, size_t *len)
{
    s->tcp_len = s->header_len;
    if (s->v6) {
        store_be16(s->ip + 4, (uint16_t)s->tcp_len);
    } else {
        store_be16(s->ip + 2, (uint16_t)(s->ip_len + s->tcp_len));
        store_be16(s->ip + 10, 0);
        store_be16(s->ip + 10, fold(sum_words(s->ip, s->ip_len, 0)));
    }
    *len = ETHERNET_LEN + s->ip_len + s->tcp_len;
    fill_checksum(s, vh);
}

enum middlebox_verdict middlebox_apply(struct middlebox_rules *rules, struct virtio_net_hdr *vh,
                                       uint8_t *frame, size_t *len)
{
    struct segment s;
    enum middlebox_verdict verdict = MIDDLEBOX_PASS;

    if (!find_segment(frame, *len, &s))
        return MIDDLEBOX_PASS;
    bool initial_syn = (s.tcp[13] & (FLAG_SYN | FLAG_ACK)) == FLAG_SYN;
    bool syn_data = initial_syn && s.tcp_len > s.header_len;

    if (initial_syn && rules->drop_syn > 0 && --rules->drop_syn == 0)
        return MIDDLEBOX_DROP;
    if (syn_data && rules->drop_syn_data)
        return MIDDLEBOX_DROP;
    if (rules->strip_mptcp && blank_mptcp(&s)) {
        /* A partial checksum covers only the pseudo header so far: options do not matter to it.
         */
        if ((vh->flags & VIRTIO_NET_HDR_F_NEEDS_CSUM) == 0)
            fill_checksum(&s, vh);
        verdict = MIDDLEBOX_EDITED;
    }
    if (syn_data && rules->strip_syn_data) {
        cut_payload(&s, vh, len);
        verdict = MIDDLEBOX_EDITED;
    }
    return verdict;
}
