/* SPDX-License-Identifier: MIT */
#include "refusal.h"
#include "runner.h"
#include "synack_packet.h"
#include <string.h>

enum { IP4 = 20, IP6 = 40, OPTIONS4 = IP4 + 20 };

struct octets {
    size_t len;
    uint8_t o[256];
};

/* Two digits an octet, spaces as you like. */
static struct octets octets_of(const char *hex)
{
    struct octets s = {.len = 0};

    while (*hex != 0) {
        char pair[3] = {hex[0], hex[1], 0}, *end;

        if (*hex == ' ') {
            hex++;
            continue;
        }
        s.o[s.len++] = (uint8_t)strtoul(pair, &end, 16);
        ck_assert(end == pair + 2 && s.len < sizeof s.o);
        hex += 2;
    }
    return s;
}

/* SYN-ACKs of Fast Open children as Linux 6.18 sent them (tcpdump), with other addresses and
 * IPv4 header checksums; those of the transport are left to the network card. MP_JOIN: by hand,
 * RFC 8684 s3.2, figure 6. */
static const struct golden {
    const char *packet;
    enum synack_kind kind;
    const char *local, *peer;
    uint32_t ack;
    bool mptcp;
} golden[] = {
    {"4500003c 00004000 40064e80 c0000201 c6336407 043896b2 0fc17c00 f8fc4248 a012ffcb 84310000"
     "0204ffd7 0402080a 517a4b89 1581daca 0103030a",
     SYNACK_FIRST, "192.0.2.1:1080", "198.51.100.7:38578", 0xf8fc4248, false},
    {"45000048 00004000 40064e74 c0000201 c6336407 0439c428 6463caa5 7e8d26e0 d012ffcb 843d0000"
     "0204ffd7 0402080a 086c5572 cf9f265a 0103030a 1e0c0101 50137fda 255e5e78",
     SYNACK_FIRST, "192.0.2.1:1081", "198.51.100.7:50216", 0x7e8d26e0, true},
    {"4500004c 00004000 40064e70 c0000201 c6336407 0439c428 6463caa5 7e8d26e0 e012ffcb 843d0000"
     "0204ffd7 0402080a 086c5572 cf9f265a 0103030a 1e101102 10111213 14151617 18191a1b",
     SYNACK_JOIN, "192.0.2.1:1081", "198.51.100.7:50216", 0x7e8d26e0, false},
    {"60035f2a 00280640 20010db8 00000000 00000000 00000001 20010db8 00010000 00000000 00000007"
     "0438b240 9b2c881d 7caae3c3 a012ffb8 5ba20000 0204ffc4 0402080a b4904d03 4da47fbd "
     "0103030a",
     SYNACK_FIRST, "[2001:db8::1]:1080", "[2001:db8:1::7]:45632", 0x7caae3c3, false},
    {"60077fc8 00340640 20010db8 00000000 00000000 00000001 20010db8 00010000 00000000 00000007"
     "0439b008 82f57363 382b7997 d012ffb8 5bae0000 0204ffc4 0402080a 066a6ad9 adaf1b7a 0103030a"
     "1e0c0101 ee7bf4cc 14b605ad",
     SYNACK_FIRST, "[2001:db8::1]:1081", "[2001:db8:1::7]:45064", 0x382b7997, true},
    {"60077fc8 00380640 20010db8 00000000 00000000 00000001 20010db8 00010000 00000000 00000007"
     "0439b008 82f57363 382b7997 e012ffb8 5bae0000 0204ffc4 0402080a 066a6ad9 adaf1b7a 0103030a"
     "1e101102 10111213 14151617 18191a1b",
     SYNACK_JOIN, "[2001:db8::1]:1081", "[2001:db8:1::7]:45064", 0x382b7997, false},
};
enum { TCP4 = 0, TCP6 = 3 };

static const struct synack_refusal rst = {.icmp = false};
static const struct synack_refusal host4 = {.icmp = true, .type = 3, .code = 1};
static const struct synack_refusal prohibited6 = {.icmp = true, .type = 1, .code = 1};

/* From an exact-size heap copy. */
static enum synack_kind parse(const uint8_t *p, size_t len, struct synack_packet *out)
{
    uint8_t *copy = malloc(len > 0 ? len : 1);

    ck_assert_ptr_nonnull(copy);
    memcpy(copy, p, len);
    enum synack_kind kind = synack_parse(span_of(copy, len), out);
    const char *flaw = refusal_flaw(span_of(copy, len), rst);
    if (flaw == NULL)
        flaw = refusal_flaw(span_of(copy, len), host4);
    free(copy);
    ck_assert_msg(flaw == NULL, "%s", flaw);
    return kind;
}

static enum synack_kind kind_of(struct octets p)
{
    struct synack_packet out;

    return parse(p.o, p.len, &out);
}

static struct octets tcp4(void)
{
    return octets_of(golden[TCP4].packet);
}

static struct octets tcp6(void)
{
    return octets_of(golden[TCP6].packet);
}

/* --- reading --- */

START_TEST(golden_packets_are_read)
{
    for (size_t i = 0; i < ARRAY_LEN(golden); i++) {
        const struct golden *g = &golden[i];
        struct octets p = octets_of(g->packet);
        struct synack_packet out;
        struct addr local, peer;

        ck_assert(addr_parse(g->local, &local) && addr_parse(g->peer, &peer));
        ck_assert_int_eq(parse(p.o, p.len, &out), g->kind);
        ck_assert(addr_equal(&out.local, &local) && addr_equal(&out.peer, &peer));
        ck_assert_uint_eq(out.ack, g->ack);
        ck_assert_int_eq(out.mptcp, g->mptcp);
    }
}
END_TEST

START_TEST(every_prefix_is_foreign)
{
    for (size_t i = 0; i < ARRAY_LEN(golden); i++) {
        struct octets p = octets_of(golden[i].packet);
        struct synack_packet out;

        for (size_t n = 0; n < p.len; n++)
            ck_assert_int_eq(parse(p.o, n, &out), SYNACK_FOREIGN);
    }
}
END_TEST

/* parse() checks what is true of any packet; which octets matter is told by the kinds. */
START_TEST(every_mutation_is_read_or_foreign)
{
    for (size_t i = 0; i < ARRAY_LEN(golden); i++) {
        struct octets p = octets_of(golden[i].packet);
        size_t ip = p.o[0] >> 4 == 4 ? IP4 : IP6;
        struct synack_packet out;

        for (size_t at = 0; at < p.len; at++) {
            uint8_t was = p.o[at];

            for (unsigned v = 0; v < 256; v++) {
                p.o[at] = (uint8_t)v;
                enum synack_kind kind = parse(p.o, p.len, &out);
                /* Addresses, ports, numbers, window, checksum, urgent pointer: any will do. */
                if ((at >= (ip == IP4 ? 12U : 8U) && at < ip + 12) ||
                    (at >= ip + 14 && at < ip + 20))
                    ck_assert_int_eq(kind, golden[i].kind);
                if (at >= ip + 20) /* options never make it foreign */
                    ck_assert_int_ne(kind, SYNACK_FOREIGN);
                if (at == 0 && v >> 4 != was >> 4)
                    ck_assert_int_eq(kind, SYNACK_FOREIGN);
            }
            p.o[at] = was;
        }
    }
}
END_TEST

START_TEST(fields_are_read_where_they_are)
{
    struct octets p = tcp6();
    struct synack_packet out;

    for (size_t i = 8; i < IP6 + 12; i++)
        p.o[i] = (uint8_t)i;
    ck_assert_int_eq(parse(p.o, p.len, &out), SYNACK_FIRST);
    ck_assert_int_eq(memcmp(out.local.ip, p.o + 8, 16), 0);
    ck_assert_int_eq(memcmp(out.peer.ip, p.o + 24, 16), 0);
    ck_assert_uint_eq(out.local.port, 40 << 8 | 41);
    ck_assert_uint_eq(out.peer.port, 42 << 8 | 43);
    ck_assert_uint_eq(out.ack, 48 << 24 | 49 << 16 | 50 << 8 | 51);
    ck_assert(out.local.scope == 0 && out.peer.scope == 0);
}
END_TEST

START_TEST(only_syn_and_ack_without_fin_and_rst_is_one)
{
    for (unsigned flags = 0; flags < 256; flags++) {
        struct octets p = tcp4();

        p.o[IP4 + 13] = (uint8_t)flags;
        ck_assert_int_eq(kind_of(p), (flags & 0x17) == 0x12 ? SYNACK_FIRST : SYNACK_FOREIGN);
    }
}
END_TEST

START_TEST(fragments_are_foreign)
{
    static const struct {
        uint8_t octet[2];
        enum synack_kind kind;
    } field[] = {
        {{0x00, 0x00}, SYNACK_FIRST},   {{0x40, 0x00}, SYNACK_FIRST},
        {{0x80, 0x00}, SYNACK_FIRST},   {{0x20, 0x00}, SYNACK_FOREIGN},
        {{0x00, 0x01}, SYNACK_FOREIGN}, {{0x10, 0x00}, SYNACK_FOREIGN},
    };

    for (size_t i = 0; i < ARRAY_LEN(field); i++) {
        struct octets p = tcp4();

        memcpy(p.o + 6, field[i].octet, 2);
        ck_assert_int_eq(kind_of(p), field[i].kind);
    }
}
END_TEST

START_TEST(other_protocols_and_extension_headers_are_foreign)
{
    for (unsigned v = 0; v < 256; v++) {
        struct octets p4 = tcp4(), p6 = tcp6();

        p4.o[9] = p6.o[6] = (uint8_t)v;
        ck_assert_int_eq(kind_of(p4), v == 6 ? SYNACK_FIRST : SYNACK_FOREIGN);
        ck_assert_int_eq(kind_of(p6), v == 6 ? SYNACK_FIRST : SYNACK_FOREIGN);
    }
}
END_TEST

/* An IPv4 header of each length, with a TCP header of each length: 120 octets are the most. */
START_TEST(headers_of_every_length)
{
    for (size_t ip = 0; ip <= 60; ip += 4) {
        for (size_t tcp = 0; tcp <= 60; tcp += 4) {
            struct octets g = tcp4(), p = {.len = 120};
            struct synack_packet out;

            memcpy(p.o, g.o, IP4);
            p.o[0] = (uint8_t)(0x40 | ip / 4);
            p.o[3] = (uint8_t)(ip + tcp);
            memset(p.o + IP4, 1, 100);
            memcpy(p.o + ip, g.o + IP4, 20);
            p.o[ip + 12] = (uint8_t)(tcp / 4 << 4);
            if (ip < 20) /* it overlaps: what matters is that the header is too short */
                memcpy(p.o + 1, g.o + 1, IP4 - 1);
            bool good = ip >= 20 && tcp >= 20;
            ck_assert_int_eq(parse(p.o, ip + tcp < 20 ? 20 : ip + tcp, &out),
                             good ? SYNACK_FIRST : SYNACK_FOREIGN);
        }
    }
}
END_TEST

START_TEST(lengths_that_contradict_are_foreign)
{
    struct octets p = tcp4();

    p.o[3]++; /* more than there is */
    ck_assert_int_eq(kind_of(p), SYNACK_FOREIGN);
    p.o[3] = IP4 + 20 + 19; /* the TCP header says 40 */
    ck_assert_int_eq(kind_of(p), SYNACK_FOREIGN);
    p.o[3] = IP4 - 1;
    ck_assert_int_eq(kind_of(p), SYNACK_FOREIGN);
    p = tcp6();
    p.o[5]++;
    ck_assert_int_eq(kind_of(p), SYNACK_FOREIGN);
    p.o[5] = 0; /* RFC 2675: a jumbogram, or nothing at all */
    ck_assert_int_eq(kind_of(p), SYNACK_FOREIGN);
}
END_TEST

START_TEST(data_offsets_below_the_header_are_foreign)
{
    for (unsigned words = 0; words < 16; words++) {
        struct octets p = tcp4();

        p.o[IP4 + 12] = (uint8_t)(words << 4);
        ck_assert_int_eq(kind_of(p), words >= 5 && words <= 10 ? SYNACK_FIRST : SYNACK_FOREIGN);
    }
}
END_TEST

START_TEST(what_follows_the_packet_does_not_count)
{
    struct octets p = tcp4();

    p.o[3] = IP4 + 20; /* what were options is no more in it */
    p.o[IP4 + 12] = 0x50;
    ck_assert_int_eq(kind_of(p), SYNACK_FIRST);
    p.o[IP4 + 12] = 0x60;
    ck_assert_int_eq(kind_of(p), SYNACK_FOREIGN);
}
END_TEST

START_TEST(packets_cut_by_the_queue_count)
{
    struct octets p4 = tcp4(), p6 = tcp6();

    p4.o[2] = p6.o[4] = 2; /* data behind the headers */
    p4.len = p6.len = SYNACK_PACKET_MAX;
    ck_assert_int_eq(kind_of(p4), SYNACK_FIRST);
    ck_assert_int_eq(kind_of(p6), SYNACK_FIRST);
    p4.len = p6.len = SYNACK_PACKET_MAX - 1; /* cut by somebody else */
    ck_assert_int_eq(kind_of(p4), SYNACK_FOREIGN);
    ck_assert_int_eq(kind_of(p6), SYNACK_FOREIGN);
}
END_TEST

/* --- options --- */

/* `hex`: up to 20 octets; the rest of the list is end-of-options. */
static enum synack_kind options(const char *hex, bool *mptcp)
{
    struct octets list = octets_of(hex), p = tcp4();
    struct synack_packet out = {.mptcp = false};

    ck_assert_uint_le(list.len, 20);
    memset(p.o + OPTIONS4, 0, 20);
    memcpy(p.o + OPTIONS4, list.o, list.len);
    enum synack_kind kind = parse(p.o, p.len, &out);
    *mptcp = out.mptcp;
    return kind;
}

START_TEST(option_lists_count_up_to_where_they_are_malformed)
{
    static const struct {
        const char *list;
        enum synack_kind kind;
        bool mptcp;
    } c[] = {
        {"00", SYNACK_FIRST, false},
        {"01010101 01010101 01010101 01010101 01010101", SYNACK_FIRST, false},
        {"02001e04 10000000", SYNACK_FIRST, false},       /* length 0 */
        {"02011e04 10000000", SYNACK_FIRST, false},       /* length 1 */
        {"0215 1e04 10000000", SYNACK_FIRST, false},      /* one octet too long */
        {"02ff", SYNACK_FIRST, false},                    /* far too long */
        {"00 1e04 1000", SYNACK_FIRST, false},            /* behind the end */
        {"0002 1e03 10", SYNACK_FIRST, false},            /* likewise: the end has no length */
        {"1e03 10", SYNACK_JOIN, false},                  /* the subtype is what counts */
        {"1e03 00", SYNACK_FIRST, true},                  /* MP_CAPABLE */
        {"1e03 00 1e03 10", SYNACK_JOIN, false},          /* both: a join */
        {"1e03 10 0200", SYNACK_JOIN, false},             /* malformed behind it */
        {"1e03 00 0200", SYNACK_FIRST, true},             /* likewise */
        {"1e02 1e03 10", SYNACK_JOIN, false},             /* an MPTCP option without subtype */
        {"1e03 80 1e03 20 1e03 f0", SYNACK_FIRST, false}, /* other subtypes */
        {"1d03 10 1f03 00", SYNACK_FIRST, false},         /* other kinds */
        /* At the very end of the list: */
        {"01010101 01010101 01010101 01010101 01 1e03 10", SYNACK_JOIN, false},
        {"01010101 01010101 01010101 01010101 0101 1e03", SYNACK_FIRST, false},
        {"01010101 01010101 01010101 01010101 0101 1e02", SYNACK_FIRST, false},
        {"01010101 01010101 01010101 01010101 010101 1e", SYNACK_FIRST, false},
    };

    for (size_t i = 0; i < ARRAY_LEN(c); i++) {
        bool mptcp;

        ck_assert_msg(options(c[i].list, &mptcp) == c[i].kind, "%s", c[i].list);
        ck_assert_msg(c[i].kind == SYNACK_JOIN || mptcp == c[i].mptcp, "%s", c[i].list);
    }
}
END_TEST

/* --- deciding --- */

static void refuses(struct failure f, bool ipv6, bool icmp, uint8_t code)
{
    struct synack_refusal how = synack_refusal(f, ipv6);

    ck_assert_msg(how.icmp == icmp, "%s detail %u", outcome_name(f.why), f.detail);
    if (!icmp)
        return;
    ck_assert_uint_eq(how.type, ipv6 ? 1 : 3);
    ck_assert_msg(how.code == code, "%s detail %u: %u", outcome_name(f.why), f.detail,
                  how.code);
}

START_TEST(every_outcome_has_its_refusal)
{
    for (unsigned o = 0; o < OUTCOME_COUNT; o++) {
        struct failure f = {.why = (enum outcome)o};
        const char *name = outcome_name(f.why);
        int code4 = -1, code6 = -1;

        if (strcmp(name, "UNREACHABLE") == 0)
            continue;
        if (strcmp(name, "NO_ROUTE") == 0) {
            code4 = 0;
            code6 = 0;
        } else if (strcmp(name, "CONNECT_TIMEOUT") == 0 ||
                   strcmp(name, "NAME_NOT_FOUND") == 0 ||
                   strcmp(name, "RESOLVER_FAILED") == 0) {
            code4 = 1;
            code6 = 3;
        } else if (strcmp(name, "DENIED") == 0 || strcmp(name, "FORBIDDEN_ADDRESS") == 0) {
            code4 = 13;
            code6 = 1;
        }
        refuses(f, false, code4 >= 0, (uint8_t)code4);
        refuses(f, true, code6 >= 0, (uint8_t)code6);
    }
    refuses((struct failure){.why = OUTCOME_COUNT}, false, false, 0);
}
END_TEST

/* -1: a RST. */
static void passes_on(uint8_t code, bool icmp6, int code4, int code6)
{
    struct failure f = {.why = OUTCOME_UNREACHABLE, .detail = code, .icmp6 = icmp6};

    refuses(f, false, code4 >= 0, (uint8_t)code4);
    refuses(f, true, code6 >= 0, (uint8_t)code6);
}

START_TEST(unreachable_is_passed_on_by_code_or_meaning)
{
    static const int from4[16] = {0, 3, 3, -1, 3, 3, 0, 3, 3, 1, 1, 0, 3, 1, 1, 1};
    static const int from6[7] = {0, 13, 1, 1, -1, 13, 13};

    for (unsigned code = 0; code < 256; code++) {
        if (code < ARRAY_LEN(from4))
            passes_on((uint8_t)code, false,
                      code == 3   ? -1
                      : code == 4 ? 1 /* fragmentation needed is no refusal */
                                  : (int)code,
                      from4[code]);
        else
            passes_on((uint8_t)code, false, 1, 3);
        if (code < ARRAY_LEN(from6))
            passes_on((uint8_t)code, true, from6[code], code == 4 ? -1 : (int)code);
        else
            passes_on((uint8_t)code, true, 1, 3);
    }
}
END_TEST

/* --- writing --- */

static struct octets refusal_of(struct octets p, struct synack_refusal how)
{
    struct octets out = {.len = 0};
    struct wr w = {.buf = out.o, .cap = SYNACK_REFUSAL_MAX};

    synack_refuse_packet(span_of(p.o, p.len), how, &w);
    ck_assert(!w.overflow);
    out.len = w.pos;
    return out;
}

static void is(struct octets got, const char *hex)
{
    struct octets want = octets_of(hex);

    ck_assert(span_equal(span_of(got.o, got.len), span_of(want.o, want.len)));
}

/* Written by another program, from RFC 791, 792, 4443, 8200 and 9293. */
START_TEST(golden_refusals)
{
    is(refusal_of(tcp4(), rst), "45000028 00004000 40064e94 c0000201 c6336407"
                                "043896b2 00000000 f8fc4248 50140000 ed640000");
    is(refusal_of(tcp4(), host4), "45000044 00004000 40014e7d c0000201 c6336407"
                                  "0301e955 00000000"
                                  "45000028 00004000 40064e94 c6336407 c0000201"
                                  "96b20438 f8fc4247 00000000 50020000 ed770000");
    is(refusal_of(tcp6(), rst), "60000000 00140640 20010db8 00000000 00000000 00000001"
                                "20010db8 00010000 00000000 00000007"
                                "0438b240 00000000 7caae3c3 50140000 3d6f0000");
    is(refusal_of(tcp6(), prohibited6), "60000000 00443a40 20010db8 00000000 00000000 00000001"
                                        "20010db8 00010000 00000000 00000007"
                                        "01013ccb 00000000"
                                        "60000000 00140640 20010db8 00010000 00000000 00000007"
                                        "20010db8 00000000 00000000 00000001"
                                        "b2400438 7caae3c2 00000000 50020000 3d820000");
}
END_TEST

/* Sums that are zero, all ones, or carry more than once are among these. */
START_TEST(refusals_add_up_for_all_numbers)
{
    for (size_t i = TCP4; i <= TCP6; i += TCP6 - TCP4) {
        struct octets p = octets_of(golden[i].packet);
        size_t ip = p.o[0] >> 4 == 4 ? IP4 : IP6;

        for (unsigned n = 0; n < 0x10000; n++) {
            p.o[ip + 10] = (uint8_t)(n >> 8);
            p.o[ip + 11] = (uint8_t)n;
            const char *flaw = refusal_flaw(span_of(p.o, p.len), n % 2 == 0 ? rst : host4);
            ck_assert_msg(flaw == NULL, "%s", flaw);
        }
        memset(p.o + ip + 8, 0, 4); /* ack 0: the SYN's number is all ones */
        ck_assert_ptr_null(refusal_flaw(span_of(p.o, p.len), host4));
    }
}
END_TEST

START_TEST(refusals_keep_hop_limit_and_class_but_not_ecn)
{
    struct octets p = tcp4();

    p.o[1] = 0xFF;
    p.o[8] = 17;
    struct octets r = refusal_of(p, rst);
    ck_assert(r.o[1] == 0xFC && r.o[8] == 17);
    p = tcp6();
    p.o[0] = 0x6A;
    p.o[1] = 0x70;
    p.o[7] = 3;
    r = refusal_of(p, prohibited6);
    ck_assert(r.o[0] == 0x6A && r.o[1] == 0x40 && r.o[7] == 3);
}
END_TEST

START_TEST(refusals_need_the_room_that_is_promised)
{
    uint8_t buf[SYNACK_REFUSAL_MAX] = {0}, zero[SYNACK_REFUSAL_MAX] = {0};
    struct octets p = tcp6(), foreign = tcp6();
    struct wr w = {.buf = buf, .cap = sizeof buf - 1};

    ck_assert_uint_eq(refusal_of(p, prohibited6).len, SYNACK_REFUSAL_MAX);
    synack_refuse_packet(span_of(p.o, p.len), prohibited6, &w);
    ck_assert(w.overflow && w.pos == 0);
    foreign.o[IP6 + 13] = 0x02;
    w = (struct wr){.buf = buf, .cap = sizeof buf};
    synack_refuse_packet(span_of(foreign.o, foreign.len), prohibited6, &w);
    ck_assert(w.overflow && w.pos == 0);
    ck_assert_int_eq(memcmp(buf, zero, sizeof buf), 0);
    w = (struct wr){.buf = buf, .cap = sizeof buf, .pos = 1}; /* not all of it is left */
    synack_refuse_packet(span_of(p.o, p.len), rst, &w);
    ck_assert(w.overflow && w.pos == 1);
}
END_TEST

/* Who was told so tells nobody else: a refusal is not taken for a SYN-ACK. */
START_TEST(refusals_are_foreign)
{
    for (size_t i = 0; i < ARRAY_LEN(golden); i++) {
        struct octets p = octets_of(golden[i].packet);

        ck_assert_int_eq(kind_of(refusal_of(p, rst)), SYNACK_FOREIGN);
        ck_assert_int_eq(kind_of(refusal_of(p, host4)), SYNACK_FOREIGN);
    }
}
END_TEST

int main(void)
{
    Suite *s = suite_create("synack_packet");
    TCase *c = tcase_create("synack_packet");

    tcase_set_timeout(c, 60); /* under a sanitizer */
    tcase_add_test(c, golden_packets_are_read);
    tcase_add_test(c, every_prefix_is_foreign);
    tcase_add_test(c, every_mutation_is_read_or_foreign);
    tcase_add_test(c, fields_are_read_where_they_are);
    tcase_add_test(c, only_syn_and_ack_without_fin_and_rst_is_one);
    tcase_add_test(c, fragments_are_foreign);
    tcase_add_test(c, other_protocols_and_extension_headers_are_foreign);
    tcase_add_test(c, headers_of_every_length);
    tcase_add_test(c, lengths_that_contradict_are_foreign);
    tcase_add_test(c, data_offsets_below_the_header_are_foreign);
    tcase_add_test(c, what_follows_the_packet_does_not_count);
    tcase_add_test(c, packets_cut_by_the_queue_count);
    tcase_add_test(c, option_lists_count_up_to_where_they_are_malformed);
    tcase_add_test(c, every_outcome_has_its_refusal);
    tcase_add_test(c, unreachable_is_passed_on_by_code_or_meaning);
    tcase_add_test(c, golden_refusals);
    tcase_add_test(c, refusals_add_up_for_all_numbers);
    tcase_add_test(c, refusals_keep_hop_limit_and_class_but_not_ecn);
    tcase_add_test(c, refusals_need_the_room_that_is_promised);
    tcase_add_test(c, refusals_are_foreign);
    suite_add_tcase(s, c);
    return runner_main(s);
}
