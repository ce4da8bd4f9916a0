/* SPDX-License-Identifier: MIT */
#include "wire/detect.h"
#include "wire/socks4.h"
#include "wire/socks5.h"

/* How one protocol sees the octets so far. */
struct match {
    enum {
        MATCH_NO,    /* it cannot begin like this */
        MATCH_MAYBE, /* `octets` are needed to tell */
        MATCH_YES,   /* `octets` were looked at */
    } verdict;
    size_t octets;
};

static struct match no(void)
{
    return (struct match){.verdict = MATCH_NO};
}

static struct match maybe(size_t octets)
{
    return (struct match){.verdict = MATCH_MAYBE, .octets = octets};
}

static struct match yes(size_t octets)
{
    return (struct match){.verdict = MATCH_YES, .octets = octets};
}

static struct match match_text(struct span in, const char *text, size_t len)
{
    size_t both = in.len < len ? in.len : len;

    if (both > 0 && memcmp(in.ptr, text, both) != 0)
        return no();
    return both == len ? yes(len) : maybe(len);
}

static struct match match_http(struct span in)
{
    static const char *const methods[] = {"GET ",     "HEAD ",    "POST ",  "PUT ",  "DELETE ",
                                          "CONNECT ", "OPTIONS ", "TRACE ", "PATCH "};
    struct match best = no();

    for (size_t i = 0; i < sizeof methods / sizeof methods[0]; i++) {
        struct match m = match_text(in, methods[i], strlen(methods[i]));

        if (m.verdict == MATCH_YES)
            return m;
        if (m.verdict == MATCH_MAYBE && (best.verdict == MATCH_NO || m.octets < best.octets))
            best = m;
    }
    return best;
}

/* draft-boucadair-mptcp-plain-mode-08 s4.1: Kind, one of five lengths, subtype 0xE. */
static struct match match_pm08(struct span in)
{
    if (in.len > 0 && in.ptr[0] != 0x1E)
        return no();
    if (in.len > 1 && in.ptr[1] != 4 && in.ptr[1] != 8 && in.ptr[1] != 10 && in.ptr[1] != 20 &&
        in.ptr[1] != 22)
        return no();
    if (in.len > 2 && in.ptr[2] >> 4 != 0xE)
        return no();
    return in.len > 2 ? yes(3) : maybe(3);
}

/* RFC 8803 s6.1. Any version and length: the codec answers the ones it does not know with Error
 * 0. */
static struct match match_convert(struct span in)
{
    if ((in.len > 2 && in.ptr[2] != 0x22) || (in.len > 3 && in.ptr[3] != 0x63))
        return no();
    return in.len > 3 ? yes(4) : maybe(4);
}

static struct match match_first(struct span in, uint8_t octet)
{
    if (in.len == 0)
        return maybe(1);
    return in.ptr[0] == octet ? yes(1) : no();
}

static struct match match(struct span in, enum protocol p)
{
    switch (p) {
    case PROTOCOL_SOCKS5:
        return match_first(in, SOCKS5_VERSION);
    case PROTOCOL_SOCKS4:
        return match_first(in, SOCKS4_VERSION);
    case PROTOCOL_MP_CONVERT: /* draft-boucadair-mptcp-plain-mode-10 s5.1 */
        return match_text(in, "\xFA\xA8\xFA\xA8", 4);
    case PROTOCOL_PM08:
        return match_pm08(in);
    case PROTOCOL_CONVERT:
        return match_convert(in);
    case PROTOCOL_HTTP:
        return match_http(in);
    case PROTOCOL_UNKNOWN:
    case PROTOCOL_TRANSPARENT:
    case PROTOCOL_COUNT:
        break;
    }
    return no();
}

/* For the log only. Two octets of anything might be Convert of another version: not worth a
 * guess. */
static enum protocol guess(struct span in)
{
    enum protocol likely = PROTOCOL_UNKNOWN;

    for (unsigned p = PROTOCOL_UNKNOWN + 1; p < PROTOCOL_COUNT; p++) {
        struct match m = match(in, (enum protocol)p);

        if (m.verdict == MATCH_YES)
            return (enum protocol)p;
        if (m.verdict == MATCH_MAYBE && (p != PROTOCOL_CONVERT || in.ptr[0] == 1))
            likely = (enum protocol)p;
    }
    return likely;
}

const char *protocol_name(enum protocol p)
{
    static const char *const names[PROTOCOL_COUNT] = {
        [PROTOCOL_UNKNOWN] = "unknown", [PROTOCOL_SOCKS5] = "socks5",
        [PROTOCOL_SOCKS4] = "socks4",   [PROTOCOL_MP_CONVERT] = "mp_convert",
        [PROTOCOL_PM08] = "pm08",       [PROTOCOL_CONVERT] = "convert",
        [PROTOCOL_HTTP] = "http",       [PROTOCOL_TRANSPARENT] = "transparent",
    };

    return names[(unsigned)p < PROTOCOL_COUNT ? p : PROTOCOL_UNKNOWN];
}

/* In the order of enum protocol, so that a first octet of 04 or 05 is SOCKS where SOCKS is
 * allowed, whatever octets 2 and 3 are. Other pairs exclude each other. */
struct decode protocol_detect(struct span in, unsigned allowed, enum protocol *out)
{
    size_t want = 0;

    for (unsigned p = PROTOCOL_UNKNOWN + 1; p < PROTOCOL_COUNT; p++) {
        if ((allowed & PROTOCOL_BIT(p)) == 0)
            continue;
        struct match m = match(in, (enum protocol)p);
        if (m.verdict == MATCH_YES) {
            *out = (enum protocol)p;
            return decode_done(m.octets);
        }
        if (m.verdict == MATCH_MAYBE && (want == 0 || m.octets < want))
            want = m.octets;
    }
    if (want != 0)
        return decode_more(want);
    *out = in.len == 0 ? PROTOCOL_UNKNOWN : guess(in);
    return decode_bad(REJECT_MAGIC);
}
