/* SPDX-License-Identifier: MIT */
#include "wire/proxy_header.h"
#include <stdio.h>

static const uint8_t signature[12] = {0x0D, 0x0A, 0x0D, 0x0A, 0x00, 0x0D,
                                      0x0A, 0x51, 0x55, 0x49, 0x54, 0x0A};
enum {
    FIXED_LEN = 16, /* of version 2 */
    COMMAND_LOCAL = 0,
    COMMAND_PROXY = 1,
    TCP4 = 0x11, /* family and transport */
    TCP6 = 0x21,
    TCP4_LEN = 12,
    TCP6_LEN = 36,
    FIELDS = 4, /* source, destination, their ports */
};

/* Whether `in` begins like `whole`, as far as both go. */
static bool begins(struct span in, const void *whole, size_t len)
{
    return in.len == 0 || memcmp(in.ptr, whole, in.len < len ? in.len : len) == 0;
}

/* ---- Version 2, s2.2 ---- */

static struct decode decode_v2(struct span in, struct proxy_header *out)
{
    struct rd r = {.in = in};
    struct proxy_header h = {.source.family = ADDR_NONE, .destination.family = ADDR_NONE};

    (void)rd_span(&r, sizeof signature);
    uint8_t command = rd_u8(&r), family = rd_u8(&r);
    uint16_t len = rd_be16(&r);

    if (in.len > sizeof signature && command >> 4 != 2)
        return decode_bad(REJECT_VERSION);
    if (in.len > sizeof signature && (command & 0x0F) > COMMAND_PROXY)
        return decode_bad(REJECT_COMMAND);
    if (r.want != 0)
        return decode_more(r.want);
    if (len > PROXY_HEADER_V2_MAX - FIXED_LEN)
        return decode_bad(REJECT_LENGTH);
    bool proxied = (command & 0x0F) == COMMAND_PROXY, v4 = family == TCP4, v6 = family == TCP6;
    if (proxied && ((v4 && len < TCP4_LEN) || (v6 && len < TCP6_LEN)))
        return decode_bad(REJECT_LENGTH);
    struct span body = rd_span(&r, len);
    if (r.want != 0)
        return decode_more(r.want);

    struct rd b = {.in = body};
    if (proxied && (v4 || v6)) {
        size_t size = v4 ? 4 : 16;
        const uint8_t *source = rd_span(&b, size).ptr, *to = rd_span(&b, size).ptr;
        uint16_t source_port = rd_be16(&b), port = rd_be16(&b);
        h.source = v4 ? addr_ipv4(source, source_port) : addr_ipv6(source, source_port);
        h.destination = v4 ? addr_ipv4(to, port) : addr_ipv6(to, port);
    }
    *out = h;
    return decode_done(r.pos);
}

/* ---- Version 1, s2.1 ---- */

/* Cuts the next word off; there is exactly one blank between two. False: it is empty. */
static bool next_word(struct span *line, struct span *word)
{
    const uint8_t *blank = line->len > 0 ? memchr(line->ptr, ' ', line->len) : NULL;
    size_t len = blank != NULL ? (size_t)(blank - line->ptr) : line->len;

    *word = span_of(line->ptr, len);
    *line = span_skip(*line, blank != NULL ? len + 1 : len);
    return len > 0;
}

/* Decimal, no leading zeros, 0 to 65535. */
static bool read_port(struct span word, uint16_t *out)
{
    uint32_t n = 0;

    if (word.len == 0 || word.len > 5 || (word.ptr[0] == '0' && word.len > 1))
        return false;
    for (size_t i = 0; i < word.len; i++) {
        if (word.ptr[i] < '0' || word.ptr[i] > '9')
            return false;
        n = n * 10 + (uint32_t)(word.ptr[i] - '0');
    }
    *out = (uint16_t)n;
    return n <= UINT16_MAX;
}

static bool read_address(struct span word, enum addr_family family, struct addr *out)
{
    return word.ptr[0] != '[' && addr_parse_ip((const char *)word.ptr, word.len, out) &&
           out->family == family && out->scope == 0;
}

/* "TCP4 192.0.2.1 203.0.113.10 56324 443", what stands behind "PROXY ". */
static bool read_line(struct span line, struct proxy_header *out)
{
    struct span word[FIELDS], protocol;
    const uint8_t *end = line.ptr + line.len; /* nothing, not even a blank, behind the last */
    struct proxy_header h = {.source.family = ADDR_NONE, .destination.family = ADDR_NONE};

    if (!next_word(&line, &protocol))
        return false;
    if (span_equal(protocol, span_of("UNKNOWN", 7))) { /* the rest is to be ignored */
        *out = h;
        return true;
    }
    bool v4 = span_equal(protocol, span_of("TCP4", 4));
    enum addr_family family = v4 ? ADDR_IPV4 : ADDR_IPV6;
    if (!v4 && !span_equal(protocol, span_of("TCP6", 4)))
        return false;
    for (size_t i = 0; i < FIELDS; i++)
        if (!next_word(&line, &word[i]))
            return false;
    if (word[FIELDS - 1].ptr + word[FIELDS - 1].len != end ||
        !read_address(word[0], family, &h.source) ||
        !read_address(word[1], family, &h.destination) || !read_port(word[2], &h.source.port) ||
        !read_port(word[3], &h.destination.port))
        return false;
    *out = h;
    return true;
}

static struct decode decode_v1(struct span in, struct proxy_header *out)
{
    size_t look = in.len < PROXY_HEADER_V1_MAX ? in.len : PROXY_HEADER_V1_MAX;
    const uint8_t *end = memchr(in.ptr, '\n', look);

    if (end == NULL)
        return look == PROXY_HEADER_V1_MAX ? decode_bad(REJECT_UNTERMINATED)
                                           : decode_more(in.len + 1);
    size_t len = (size_t)(end - in.ptr) + 1, begin = strlen("PROXY ");
    if (len < begin + 2 || end[-1] != '\r' ||
        !read_line(span_of(in.ptr + begin, len - begin - 2), out))
        return decode_bad(REJECT_FRAMING);
    return decode_done(len);
}

struct decode proxy_header_decode(struct span in, struct proxy_header *out)
{
    if (in.len > 0 && begins(in, signature, sizeof signature))
        return decode_v2(in, out);
    if (in.len > 0 && begins(in, "PROXY ", strlen("PROXY ")))
        return decode_v1(in, out);
    return in.len == 0 ? decode_more(1) : decode_bad(REJECT_MAGIC);
}

/* ---- The other role ---- */

static void encode_v1(struct wr *w, const struct proxy_header *h)
{
    char source[ADDR_TEXT_MAX], to[ADDR_TEXT_MAX], line[PROXY_HEADER_V1_MAX + 1];
    int len;

    if (h->source.family == ADDR_NONE)
        len = snprintf(line, sizeof line, "PROXY UNKNOWN\r\n");
    else
        len = snprintf(line, sizeof line, "PROXY TCP%c %s %s %u %u\r\n",
                       h->source.family == ADDR_IPV4 ? '4' : '6',
                       addr_print_ip(&h->source, source, sizeof source),
                       addr_print_ip(&h->destination, to, sizeof to), h->source.port,
                       h->destination.port);
    if (len > 0 && (size_t)len < sizeof line)
        wr_bytes(w, line, (size_t)len);
    else
        w->overflow = true; /* never: an address has no scope here */
}

static void encode_v2(struct wr *w, const struct proxy_header *h)
{
    bool none = h->source.family == ADDR_NONE, v4 = h->source.family == ADDR_IPV4;
    size_t size = v4 ? 4 : 16;

    wr_bytes(w, signature, sizeof signature);
    wr_u8(w, 0x20 | (none ? COMMAND_LOCAL : COMMAND_PROXY));
    wr_u8(w, none ? 0 : v4 ? TCP4 : TCP6);
    wr_be16(w, none ? 0 : v4 ? TCP4_LEN : TCP6_LEN);
    if (none)
        return;
    wr_bytes(w, h->source.ip, size);
    wr_bytes(w, h->destination.ip, size);
    wr_be16(w, h->source.port);
    wr_be16(w, h->destination.port);
}

void proxy_header_encode(struct wr *w, enum proxy_header_version version,
                         const struct proxy_header *h)
{
    struct proxy_header same = *h;

    same.source.scope = same.destination.scope = 0;
    if (same.source.family == ADDR_NONE || same.destination.family == ADDR_NONE) {
        same.source.family = same.destination.family = ADDR_NONE;
    } else if (same.source.family != same.destination.family) {
        same.source = addr_map(same.source);
        same.destination = addr_map(same.destination);
    }
    if (version == PROXY_HEADER_V1)
        encode_v1(w, &same);
    else
        encode_v2(w, &same);
}
