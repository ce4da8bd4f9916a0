/* SPDX-License-Identifier: MIT */
#include "refusal.h"

enum { TCP = 20, ICMP = 8 };

/* A packet taken apart: where its headers are. */
struct parts {
    bool ipv6;
    size_t header; /* of IP */
    const uint8_t *ip, *payload;
    size_t len; /* of the payload */
};

static unsigned be16(const uint8_t *p)
{
    return (unsigned)p[0] << 8 | p[1];
}

static uint32_t be32(const uint8_t *p)
{
    return (uint32_t)be16(p) << 16 | be16(p + 2);
}

/* One's complement addition, with the carry brought round at every step (RFC 1071 s1). */
static unsigned add(unsigned sum, unsigned word)
{
    sum += word;
    return sum > 0xFFFF ? sum - 0xFFFF : sum;
}

static unsigned add_octets(unsigned sum, const uint8_t *p, size_t len)
{
    for (; len > 1; p += 2, len -= 2)
        sum = add(sum, be16(p));
    return len == 0 ? sum : add(sum, (unsigned)*p << 8);
}

/* Right when the sum with the checksum in it is all ones. */
static bool sums_up(const struct parts *p, unsigned protocol, bool pseudo)
{
    unsigned sum = 0;

    if (pseudo && p->ipv6)
        sum = add_octets(add(add(sum, protocol), (unsigned)p->len), p->ip + 8, 32);
    else if (pseudo)
        sum = add_octets(add(add(sum, protocol), (unsigned)p->len), p->ip + 12, 8);
    return add_octets(sum, p->payload, p->len) == 0xFFFF;
}

/* An IP packet of ours: no options, not a fragment, exactly `len` octets. */
static bool take_apart(const uint8_t *ip, size_t len, unsigned protocol, struct parts *out)
{
    bool ipv6 = len > 0 && ip[0] == 0x60;
    size_t header = ipv6 ? 40 : 20;

    if (len < header)
        return false;
    *out = (struct parts){
        .ipv6 = ipv6, .header = header, .ip = ip, .payload = ip + header, .len = len - header};
    if (ipv6)
        return (ip[1] & 0xF) == 0 && be16(ip + 2) == 0 && be16(ip + 4) == out->len &&
               ip[6] == protocol;
    return ip[0] == 0x45 && be16(ip + 2) == len && (be16(ip + 6) & 0x3FFF) == 0 &&
           ip[9] == protocol && add_octets(0, ip, header) == 0xFFFF;
}

static const uint8_t *source(const struct parts *p)
{
    return p->ip + (p->ipv6 ? 8 : 12);
}

static bool between(const struct parts *p, const struct addr *from, const struct addr *to)
{
    size_t len = p->ipv6 ? 16 : 4;

    return from->family == (p->ipv6 ? ADDR_IPV6 : ADDR_IPV4) &&
           memcmp(source(p), from->ip, len) == 0 && memcmp(source(p) + len, to->ip, len) == 0;
}

static const char *tcp_flaw(const struct parts *p, const struct addr *from,
                            const struct addr *to, uint32_t seq, uint32_t ack, unsigned flags)
{
    const uint8_t *t = p->payload;

    if (p->len != TCP || t[12] != 0x50)
        return "not a TCP header without options";
    if (!between(p, from, to) || be16(t) != from->port || be16(t + 2) != to->port)
        return "from or to somebody else";
    if (be32(t + 4) != seq || be32(t + 8) != ack || t[13] != flags)
        return "other sequence numbers or flags";
    return sums_up(p, 6, true) ? NULL : "TCP checksum";
}

static const char *icmp_flaw(struct parts *p, const struct synack_packet *s,
                             struct synack_refusal how)
{
    const uint8_t *m = p->payload;

    if (!between(p, &s->local, &s->peer))
        return "ICMP from or to somebody else";
    if (p->len < ICMP || m[0] != how.type || m[1] != how.code || be32(m + 4) != 0)
        return "another ICMP message";
    if (!sums_up(p, 58, p->ipv6))
        return "ICMP checksum";
    if (!take_apart(m + ICMP, p->len - ICMP, 6, p))
        return "what the ICMP message is about is not an IP packet";
    return tcp_flaw(p, &s->peer, &s->local, s->ack - 1, 0, 0x02);
}

static const char *whole_flaw(struct span synack, const struct synack_packet *s,
                              struct synack_refusal how, struct span refusal)
{
    bool ipv6 = s->local.family == ADDR_IPV6;
    size_t hops = ipv6 ? 7 : 8;
    unsigned protocol = !how.icmp ? 6 : ipv6 ? 58 : 1;
    struct parts p;

    if (refusal.len == 0)
        return "no refusal of what is not FOREIGN";
    if (refusal.len > SYNACK_REFUSAL_MAX)
        return "a refusal that is too long";
    uint8_t plain[SYNACK_REFUSAL_MAX]; /* without the traffic class, which is the original's */
    memcpy(plain, refusal.ptr, refusal.len);
    if (ipv6) {
        plain[0] &= 0xF0;
        plain[1] &= 0x0F;
    }
    if (!take_apart(plain, refusal.len, protocol, &p) || p.ipv6 != ipv6)
        return "not an IP packet of that family and protocol";
    if (refusal.ptr[hops] != synack.ptr[hops])
        return "another hop limit";
    return how.icmp ? icmp_flaw(&p, s, how)
                    : tcp_flaw(&p, &s->local, &s->peer, 0, s->ack, 0x14);
}

const char *refusal_flaw(struct span synack, struct synack_refusal how)
{
    static const struct synack_packet untouched = {
        .local = {.port = 1}, .peer = {.port = 2}, .ack = 3, .mptcp = true};
    struct synack_packet s = untouched;
    uint8_t buf[SYNACK_REFUSAL_MAX];
    struct wr w = {.buf = buf, .cap = sizeof buf};

    enum synack_kind kind = synack_parse(synack, &s);
    synack_refuse_packet(synack, how, &w);
    if (kind != SYNACK_FOREIGN)
        return whole_flaw(synack, &s, how, wr_done(&w));
    if (!addr_equal(&s.local, &untouched.local) || !addr_equal(&s.peer, &untouched.peer) ||
        s.ack != untouched.ack || s.mptcp != untouched.mptcp)
        return "output of what is FOREIGN";
    return w.overflow && w.pos == 0 ? NULL : "a refusal of what is FOREIGN";
}
