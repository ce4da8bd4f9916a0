/* SPDX-License-Identifier: MIT */
/* Reads header after header with a bounded cursor; the first length that does not fit makes the
 * packet FOREIGN. What takes its place is written octet by octet into a small buffer, checksums
 * last, and handed over whole. */
#include "synack_packet.h"

enum {
    IPV4_HEADER = 20,
    IPV6_HEADER = 40,
    TCP_HEADER = 20,
    ICMP_HEADER = 8,

    PROTOCOL_ICMP = 1,
    PROTOCOL_TCP = 6,
    PROTOCOL_ICMPV6 = 58,

    FRAGMENT_DF = 0x4000, /* RFC 791 s3.1 */
    FRAGMENT_MASK = 0x3FFF,
    ECN_MASK = 3, /* of the traffic class: RFC 3168 s5 */

    FLAG_FIN = 0x01, /* RFC 9293 s3.1 */
    FLAG_SYN = 0x02,
    FLAG_RST = 0x04,
    FLAG_ACK = 0x10,

    OPTION_END = 0,
    OPTION_NOP = 1,
    OPTION_MPTCP = 30,
    MPTCP_CAPABLE = 0, /* subtypes: RFC 8684 s8.2 */
    MPTCP_JOIN = 1,

    ICMP_UNREACHABLE = 3,   /* RFC 792, RFC 1812 s5.2.7.1 */
    ICMPV6_UNREACHABLE = 1, /* RFC 4443 s3.1 */
};

/* What is reused of an IP header. */
struct ip_header {
    bool ipv6;
    uint8_t hops, class; /* the latter without ECN */
    struct span source, destination;
};

/* --- reading --- */

/* The TCP segment of an IPv4 packet; empty: none, or not whole. */
static struct span open_ipv4(struct rd *r, struct ip_header *ip)
{
    struct span none = {.ptr = NULL, .len = 0};
    size_t header = (size_t)(rd_u8(r) & 0x0F) * 4;

    ip->class = (uint8_t)(rd_u8(r) & ~ECN_MASK);
    size_t total = rd_be16(r);
    (void)rd_be16(r); /* identification */
    unsigned fragment = rd_be16(r);
    ip->hops = rd_u8(r);
    uint8_t protocol = rd_u8(r);
    (void)rd_be16(r); /* checksum */
    ip->source = rd_span(r, 4);
    ip->destination = rd_span(r, 4);
    if (r->want != 0 || header < IPV4_HEADER || total < header || r->in.len < header ||
        (fragment & FRAGMENT_MASK) != 0 || protocol != PROTOCOL_TCP)
        return none;
    if (total > r->in.len && r->in.len < SYNACK_PACKET_MAX)
        return none;
    return span_of(r->in.ptr + header, (total < r->in.len ? total : r->in.len) - header);
}

static struct span open_ipv6(struct rd *r, struct ip_header *ip)
{
    struct span none = {.ptr = NULL, .len = 0};
    uint32_t first = rd_be32(r);
    size_t payload = rd_be16(r);
    uint8_t next = rd_u8(r);

    ip->class = (uint8_t)((first >> 20 & 0xFF) & ~(unsigned)ECN_MASK);
    ip->hops = rd_u8(r);
    ip->source = rd_span(r, 16);
    ip->destination = rd_span(r, 16);
    if (r->want != 0 || next != PROTOCOL_TCP)
        return none;
    if (payload > rd_left(r) && r->in.len < SYNACK_PACKET_MAX)
        return none;
    return rd_span(r, payload < rd_left(r) ? payload : rd_left(r));
}

static struct span open_ip(struct span packet, struct ip_header *ip)
{
    struct rd r = {.in = packet};
    unsigned version = packet.len == 0 ? 0 : packet.ptr[0] >> 4;

    ip->ipv6 = version == 6;
    if (version == 4)
        return open_ipv4(&r, ip);
    return version == 6 ? open_ipv6(&r, ip) : (struct span){.ptr = NULL, .len = 0};
}

/* FIRST, with *mptcp set when MP_CAPABLE was seen, or JOIN. Every round reads at least one
 * octet. */
static enum synack_kind read_options(struct span options, bool *mptcp)
{
    struct rd r = {.in = options};

    *mptcp = false;
    while (rd_left(&r) > 0) {
        uint8_t kind = rd_u8(&r);

        if (kind == OPTION_END)
            break;
        if (kind == OPTION_NOP)
            continue;
        uint8_t len = rd_u8(&r);
        if (r.want != 0 || len < 2)
            break;
        struct span body = rd_span(&r, len - 2u);
        if (r.want != 0)
            break;
        if (kind != OPTION_MPTCP || body.len == 0)
            continue;
        if (body.ptr[0] >> 4 == MPTCP_JOIN)
            return SYNACK_JOIN;
        if (body.ptr[0] >> 4 == MPTCP_CAPABLE)
            *mptcp = true;
    }
    return SYNACK_FIRST;
}

static enum synack_kind read_packet(struct span packet, struct ip_header *ip,
                                    struct synack_packet *p)
{
    struct rd r = {.in = open_ip(packet, ip)};
    uint16_t local_port = rd_be16(&r), peer_port = rd_be16(&r);

    (void)rd_be32(&r); /* sequence number */
    p->ack = rd_be32(&r);
    size_t header = (size_t)(rd_u8(&r) >> 4) * 4;
    uint8_t flags = rd_u8(&r);
    (void)rd_span(&r, 6); /* window, checksum, urgent pointer */
    if (r.want != 0 || header < TCP_HEADER || header > r.in.len ||
        (flags & (FLAG_SYN | FLAG_ACK | FLAG_FIN | FLAG_RST)) != (FLAG_SYN | FLAG_ACK))
        return SYNACK_FOREIGN;
    p->local = ip->ipv6 ? addr_ipv6(ip->source.ptr, local_port)
                        : addr_ipv4(ip->source.ptr, local_port);
    p->peer = ip->ipv6 ? addr_ipv6(ip->destination.ptr, peer_port)
                       : addr_ipv4(ip->destination.ptr, peer_port);
    return read_options(rd_span(&r, header - TCP_HEADER), &p->mptcp);
}

enum synack_kind synack_parse(struct span packet, struct synack_packet *out)
{
    struct ip_header ip;
    struct synack_packet p;
    enum synack_kind kind = read_packet(packet, &ip, &p);

    if (kind != SYNACK_FOREIGN)
        *out = p;
    return kind;
}

/* --- deciding --- */

enum meaning { MEANING_REFUSED, MEANING_NETWORK, MEANING_HOST, MEANING_PROHIBITED };

/* Without a row: refused. UNREACHABLE has a table for each family. */
static const uint8_t outcome_meaning[OUTCOME_COUNT] = {
    [OUTCOME_NO_ROUTE] = MEANING_NETWORK,    [OUTCOME_CONNECT_TIMEOUT] = MEANING_HOST,
    [OUTCOME_NAME_NOT_FOUND] = MEANING_HOST, [OUTCOME_RESOLVER_FAILED] = MEANING_HOST,
    [OUTCOME_DENIED] = MEANING_PROHIBITED,   [OUTCOME_FORBIDDEN_ADDRESS] = MEANING_PROHIBITED,
};

/* RFC 792, RFC 1122 s3.2.2.1, RFC 1812 s5.2.7.1. Code 4, fragmentation needed, is no refusal:
 * sent on, it would only make the client's path MTU small. */
static const uint8_t icmp_meaning[] = {
    [0] = MEANING_NETWORK,     [1] = MEANING_HOST,        [2] = MEANING_HOST,
    [3] = MEANING_REFUSED,     [4] = MEANING_HOST,        [5] = MEANING_HOST,
    [6] = MEANING_NETWORK,     [7] = MEANING_HOST,        [8] = MEANING_HOST,
    [9] = MEANING_PROHIBITED,  [10] = MEANING_PROHIBITED, [11] = MEANING_NETWORK,
    [12] = MEANING_HOST,       [13] = MEANING_PROHIBITED, [14] = MEANING_PROHIBITED,
    [15] = MEANING_PROHIBITED,
};
enum { ICMP_CODE_FRAGMENTATION_NEEDED = 4 };

/* RFC 4443 s3.1. */
static const uint8_t icmpv6_meaning[] = {
    [0] = MEANING_NETWORK,    [1] = MEANING_PROHIBITED, [2] = MEANING_HOST,
    [3] = MEANING_HOST,       [4] = MEANING_REFUSED,    [5] = MEANING_PROHIBITED,
    [6] = MEANING_PROHIBITED,
};

static const struct synack_refusal answers[][2] = {
    [MEANING_REFUSED] = {{.icmp = false}, {.icmp = false}},
    [MEANING_NETWORK] = {{true, ICMP_UNREACHABLE, 0}, {true, ICMPV6_UNREACHABLE, 0}},
    [MEANING_HOST] = {{true, ICMP_UNREACHABLE, 1}, {true, ICMPV6_UNREACHABLE, 3}},
    [MEANING_PROHIBITED] = {{true, ICMP_UNREACHABLE, 13}, {true, ICMPV6_UNREACHABLE, 1}},
};

struct synack_refusal synack_refusal(struct failure f, bool ipv6)
{
    const uint8_t *table = f.icmp6 ? icmpv6_meaning : icmp_meaning;
    size_t count = f.icmp6 ? sizeof icmpv6_meaning : sizeof icmp_meaning;

    if (f.why != OUTCOME_UNREACHABLE) {
        bool known = (unsigned)f.why < OUTCOME_COUNT;

        return answers[known ? outcome_meaning[f.why] : MEANING_REFUSED][ipv6];
    }
    if (f.detail >= count)
        return answers[MEANING_HOST][ipv6];
    struct synack_refusal how = answers[table[f.detail]][ipv6];
    if (how.icmp && f.icmp6 == ipv6 && (ipv6 || f.detail != ICMP_CODE_FRAGMENTATION_NEEDED))
        how.code = f.detail;
    return how;
}

/* --- writing --- */

/* RFC 1071, in network order: words are added as they stand. */
static uint32_t sum_add(uint32_t sum, struct span s)
{
    for (size_t i = 0; i < s.len; i++)
        sum += i % 2 == 0 ? (uint32_t)s.ptr[i] << 8 : s.ptr[i];
    return sum;
}

static void sum_store(uint32_t sum, uint8_t at[2])
{
    while (sum >> 16 != 0)
        sum = (sum & 0xFFFF) + (sum >> 16);
    at[0] = (uint8_t)(~sum >> 8);
    at[1] = (uint8_t)~sum;
}

/* RFC 9293 s3.1, RFC 8200 s8.1: both families' pseudo headers have the same sum. */
static uint32_t sum_pseudo(const struct ip_header *ip, uint8_t protocol, size_t len)
{
    return sum_add(sum_add((uint32_t)(protocol + len), ip->source), ip->destination);
}

static void put_be32(struct wr *w, uint32_t v)
{
    wr_be16(w, (uint16_t)(v >> 16));
    wr_be16(w, (uint16_t)v);
}

static void put_ip(struct wr *w, const struct ip_header *ip, uint8_t protocol, size_t payload)
{
    size_t start = w->pos;

    if (ip->ipv6) {
        put_be32(w, (uint32_t)6 << 28 | (uint32_t)ip->class << 20);
        wr_be16(w, (uint16_t)payload);
        wr_u8(w, protocol);
        wr_u8(w, ip->hops);
    } else {
        wr_u8(w, 4 << 4 | IPV4_HEADER / 4);
        wr_u8(w, ip->class);
        wr_be16(w, (uint16_t)(IPV4_HEADER + payload));
        wr_be16(w, 0); /* identification: none is needed with DF, RFC 6864 s4.1 */
        wr_be16(w, FRAGMENT_DF);
        wr_u8(w, ip->hops);
        wr_u8(w, protocol);
        wr_be16(w, 0);
    }
    wr_bytes(w, ip->source.ptr, ip->source.len);
    wr_bytes(w, ip->destination.ptr, ip->destination.len);
    if (!ip->ipv6)
        sum_store(sum_add(0, span_of(w->buf + start, IPV4_HEADER)), w->buf + start + 10);
}

struct segment {
    uint16_t source, destination;
    uint32_t seq, ack;
    uint8_t flags;
};

static void put_tcp(struct wr *w, const struct ip_header *ip, struct segment s)
{
    size_t start = w->pos;

    wr_be16(w, s.source);
    wr_be16(w, s.destination);
    put_be32(w, s.seq);
    put_be32(w, s.ack);
    wr_u8(w, TCP_HEADER / 4 << 4);
    wr_u8(w, s.flags);
    wr_zero(w, 6); /* window, checksum, urgent pointer */
    sum_store(
        sum_add(sum_pseudo(ip, PROTOCOL_TCP, TCP_HEADER), span_of(w->buf + start, TCP_HEADER)),
        w->buf + start + 16);
}

static void put_icmp(struct wr *w, const struct ip_header *ip, const struct synack_packet *p,
                     struct synack_refusal how)
{
    size_t len = ICMP_HEADER + (ip->ipv6 ? IPV6_HEADER : IPV4_HEADER) + TCP_HEADER;
    uint8_t protocol = ip->ipv6 ? PROTOCOL_ICMPV6 : PROTOCOL_ICMP;
    struct ip_header from = *ip;

    from.source = ip->destination;
    from.destination = ip->source;
    from.class = 0; /* the client's is not known */
    put_ip(w, ip, protocol, len);
    size_t start = w->pos;
    wr_u8(w, how.type);
    wr_u8(w, how.code);
    wr_zero(w, ICMP_HEADER - 2); /* checksum, unused */
    put_ip(w, &from, PROTOCOL_TCP, TCP_HEADER);
    put_tcp(w, &from,
            (struct segment){.source = p->peer.port,
                             .destination = p->local.port,
                             .seq = p->ack - 1, /* the SYN itself, or the last of its data */
                             .flags = FLAG_SYN});
    uint32_t sum = ip->ipv6 ? sum_pseudo(ip, protocol, len) : 0; /* RFC 792, RFC 4443 s2.3 */
    sum_store(sum_add(sum, span_of(w->buf + start, len)), w->buf + start + 2);
}

void synack_refuse_packet(struct span packet, struct synack_refusal how, struct wr *out)
{
    uint8_t buf[SYNACK_REFUSAL_MAX];
    struct wr w = {.buf = buf, .cap = sizeof buf};
    struct ip_header ip;
    struct synack_packet p;

    if (read_packet(packet, &ip, &p) == SYNACK_FOREIGN ||
        out->cap - out->pos < SYNACK_REFUSAL_MAX) {
        out->overflow = true;
        return;
    }
    if (how.icmp) {
        put_icmp(&w, &ip, &p, how);
    } else {
        /* As a closed port answers (RFC 9293 s3.10.7.1). */
        put_ip(&w, &ip, PROTOCOL_TCP, TCP_HEADER);
        put_tcp(&w, &ip,
                (struct segment){.source = p.local.port,
                                 .destination = p.peer.port,
                                 .ack = p.ack,
                                 .flags = FLAG_RST | FLAG_ACK});
    }
    ASSERT(!w.overflow);
    wr_bytes(out, buf, w.pos);
}
