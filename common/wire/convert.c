/* SPDX-License-Identifier: MIT */
/* Both directions share the fixed header and the walk over TLVs; they differ in which types
 * they know and in what an unknown one means.
 *
 * Happy path: header judged from its 4 octets, then the whole message awaited, then its TLVs
 * read in order. Failure path: magic, Total Length 0 and version are judged at once; everything
 * else with the whole message at hand, because a converter echoes what it refuses (RFC 8803
 * s6.2.8). */
#include "wire/convert.h"
#include "wire/forbidden.h"

enum {
    WORD = 4,
    TOTAL_WORDS_MAX = 255,
    CONNECT_WORDS = 5,
    ECHO_MAX = 1012, /* header 4, TLV header 2, code 1, zero octet 1 */
    SEEN_OCTETS = 256 / 8,
};

struct tlv {
    uint8_t type;
    size_t words;
    struct span value; /* behind Type and Length: 4 * words - 2 octets */
};

/* RFC 8803 s6.1. DONE: `bytes` is the whole message, and it is there. */
static struct decode read_header(struct span in)
{
    if (in.len > 2 && in.ptr[2] != CONVERT_MAGIC >> 8)
        return decode_bad(REJECT_MAGIC);
    if (in.len > 3 && in.ptr[3] != (CONVERT_MAGIC & 0xFF))
        return decode_bad(REJECT_MAGIC);
    if (in.len < CONVERT_HEADER_LEN)
        return decode_more(CONVERT_HEADER_LEN);
    size_t total = (size_t)WORD * in.ptr[1];
    if (total == 0)
        return decode_bad(REJECT_TOTAL_LENGTH_ZERO);
    if (in.ptr[0] != CONVERT_VERSION)
        return decode_bad(REJECT_VERSION);
    return in.len < total ? decode_more(total) : decode_done(total);
}

/* RFC 8803 s6.2.1: a type may occur once. REJECT_NONE: *out is the next TLV. */
static enum reject next_tlv(struct rd *r, uint8_t seen[SEEN_OCTETS], struct tlv *out)
{
    uint8_t type = rd_u8(r);
    size_t words = rd_u8(r);

    if (r->want != 0 || words == 0)
        return REJECT_FRAMING;
    struct span value = rd_span(r, WORD * words - 2);
    if (r->want != 0)
        return REJECT_FRAMING;
    if (type == 0)
        return REJECT_TYPE_ZERO;
    uint8_t bit = (uint8_t)(1u << (type % 8));
    if ((seen[type / 8] & bit) != 0)
        return REJECT_DUPLICATE;
    seen[type / 8] |= bit;
    *out = (struct tlv){.type = type, .words = words, .value = value};
    return REJECT_NONE;
}

static enum reject take_connect(const struct tlv *t, struct convert_request *req)
{
    struct rd r = {.in = t->value};

    if (t->words < CONNECT_WORDS)
        return REJECT_CONNECT_LENGTH;
    uint16_t port = rd_be16(&r);
    struct span ip = rd_span(&r, 16);
    req->connect = true;
    req->target = addr_unmap(addr_ipv6(ip.ptr, port));
    req->options = rd_span(&r, rd_left(&r));
    return forbidden_target(&req->target) ? REJECT_FORBIDDEN : REJECT_NONE;
}

static enum reject take_request_tlv(const struct tlv *t, struct convert_request *req)
{
    switch (t->type) {
    case CONVERT_TLV_INFO:
        req->info = true;
        return t->words == 1 ? REJECT_NONE : REJECT_INFO_LENGTH;
    case CONVERT_TLV_CONNECT:
        return take_connect(t, req);
    case CONVERT_TLV_NO_ANSWER:
        req->no_answer = true;
        return t->words == 1 ? REJECT_NONE : REJECT_LENGTH;
    case CONVERT_TLV_COOKIE:
        req->has_cookie = true;
        req->cookie = span_skip(t->value, 2);
        return REJECT_NONE;
    default: /* also the types only a converter may send */
        return REJECT_TYPE;
    }
}

struct decode convert_decode_request(struct span in, struct convert_request *out)
{
    struct decode d = read_header(in);
    struct convert_request req = {.info = false};
    uint8_t seen[SEEN_OCTETS] = {0};

    if (d.status != DECODE_DONE)
        return d;
    struct rd r = {.in = span_of(in.ptr, d.bytes), .pos = CONVERT_HEADER_LEN};
    while (rd_left(&r) > 0) {
        struct tlv t;
        enum reject why = next_tlv(&r, seen, &t);

        if (why == REJECT_NONE)
            why = take_request_tlv(&t, &req);
        if (why != REJECT_NONE)
            return decode_bad(why);
    }
    *out = req;
    return d;
}

bool convert_is_unanswerable(struct span in)
{
    struct decode d = read_header(in);
    uint8_t seen[SEEN_OCTETS] = {0};
    struct tlv t = {.type = 0};

    if (d.status != DECODE_DONE)
        return false;
    struct rd r = {.in = span_of(in.ptr, d.bytes), .pos = CONVERT_HEADER_LEN};
    while (rd_left(&r) > 0 && next_tlv(&r, seen, &t) == REJECT_NONE) {
        if (t.type == CONVERT_TLV_NO_ANSWER)
            return true;
    }
    return false;
}

struct failure convert_failure(enum reject why, bool *reset)
{
    struct failure f = {.why = OUTCOME_MALFORMED};

    if (why == REJECT_VERSION)
        f.why = OUTCOME_UNSUPPORTED_VERSION;
    else if (why == REJECT_TYPE || why == REJECT_TYPE_ZERO)
        f.why = OUTCOME_UNSUPPORTED_MESSAGE;
    else if (why == REJECT_FORBIDDEN)
        f.why = OUTCOME_FORBIDDEN_ADDRESS;
    *reset = why == REJECT_MAGIC || why == REJECT_TOTAL_LENGTH_ZERO;
    return f;
}

enum walk {
    WALK_OPTION,
    WALK_END,
    WALK_MALFORMED,
};

/* RFC 9293 s3.1: NOP and End are one octet, every other option has a length that counts kind
 * and length. */
static enum walk next_option(struct rd *r, uint8_t *kind, struct span *content)
{
    while (rd_left(r) > 0) {
        uint8_t k = rd_u8(r);

        if (k == TCP_OPTION_END)
            return WALK_END; /* zero padding of the TLV, too */
        if (k == TCP_OPTION_NOP)
            continue;
        size_t len = rd_u8(r);
        if (r->want != 0 || len < 2)
            return WALK_MALFORMED;
        struct span c = rd_span(r, len - 2);
        if (r->want != 0)
            return WALK_MALFORMED;
        *kind = k;
        *content = c;
        return WALK_OPTION;
    }
    return WALK_END;
}

static void refuse_option(struct convert_options *o, uint8_t kind)
{
    o->refused = true;
    if (o->kinds_len == CONVERT_OPTIONS_MAX || memchr(o->kinds, kind, o->kinds_len) != NULL)
        return;
    o->kinds[o->kinds_len++] = kind;
}

/* RFC 8803 s6.2.5 and s7; what sockets cannot put into a SYN is refused (R14). */
static void judge_option(struct convert_options *o, uint8_t kind, bool has_content)
{
    switch (kind) {
    case TCP_OPTION_MSS:
    case TCP_OPTION_WSCALE:
    case TCP_OPTION_SACK:
        return; /* ignored, whatever they hold */
    case TCP_OPTION_SACK_PERMITTED:
    case TCP_OPTION_TIMESTAMPS:
        break; /* granted: the kernel offers them anyway */
    case TCP_OPTION_MPTCP:
        o->mptcp = o->mptcp || !has_content;
        break;
    case TCP_OPTION_FASTOPEN:
        o->fastopen = o->fastopen || !has_content;
        break;
    default:
        refuse_option(o, kind);
        return;
    }
    if (has_content)
        refuse_option(o, kind);
}

bool convert_judge_options(struct span options, struct convert_options *out)
{
    struct convert_options o = {.refused = false};
    struct rd r = {.in = options};
    uint8_t kind;
    struct span content;
    enum walk step;

    while ((step = next_option(&r, &kind, &content)) == WALK_OPTION)
        judge_option(&o, kind, content.len > 0);
    if (step == WALK_MALFORMED)
        return false;
    *out = o;
    return true;
}

static size_t words_for(size_t octets)
{
    return octets / WORD + (octets % WORD != 0);
}

/* False, and overflow latched: no message can be that long. */
static bool write_header(struct wr *w, size_t words)
{
    if (words > TOTAL_WORDS_MAX) {
        w->overflow = true;
        return false;
    }
    wr_u8(w, CONVERT_VERSION);
    wr_u8(w, (uint8_t)words);
    wr_be16(w, CONVERT_MAGIC);
    return true;
}

static void write_padded(struct wr *w, struct span s)
{
    wr_bytes(w, s.ptr, s.len);
    wr_zero(w, WORD * words_for(s.len) - s.len);
}

/* Info, Cookie, Extended TCP Header, Supported TCP Extensions and No Answer: two zero octets,
 * then the value. */
static void write_tlv(struct wr *w, enum convert_tlv type, struct span value)
{
    wr_u8(w, (uint8_t)type);
    wr_u8(w, (uint8_t)(1 + words_for(value.len)));
    wr_zero(w, 2);
    write_padded(w, value);
}

static void write_connect(struct wr *w, const struct addr *target, struct span options)
{
    wr_u8(w, CONVERT_TLV_CONNECT);
    wr_u8(w, (uint8_t)(CONNECT_WORDS + words_for(options.len)));
    wr_be16(w, target->port);
    if (target->family == ADDR_IPV4) { /* v4-mapped, RFC 8803 s6.2.5 */
        wr_zero(w, 10);
        wr_be16(w, 0xFFFF);
        wr_bytes(w, target->ip, 4);
    } else {
        wr_bytes(w, target->ip, 16);
    }
    write_padded(w, options);
}

void convert_encode_request(struct wr *w, const struct convert_request *r)
{
    const struct span none = {.ptr = NULL, .len = 0};
    size_t words = 1 + (r->no_answer ? 1u : 0u) + (r->info ? 1u : 0u);

    if (r->connect && r->target.family == ADDR_NONE) {
        w->overflow = true; /* the address has no encoding */
        return;
    }
    words += r->connect ? CONNECT_WORDS + words_for(r->options.len) : 0;
    words += r->cookie.len == 0 ? 0 : 1 + words_for(r->cookie.len);
    if (!write_header(w, words))
        return;
    if (r->no_answer)
        write_tlv(w, CONVERT_TLV_NO_ANSWER, none);
    if (r->info)
        write_tlv(w, CONVERT_TLV_INFO, none);
    if (r->connect)
        write_connect(w, &r->target, r->options);
    if (r->cookie.len > 0)
        write_tlv(w, CONVERT_TLV_COOKIE, r->cookie);
}

void convert_encode_connect(struct wr *w, const struct addr *target, struct span options,
                            struct span cookie, bool info)
{
    struct convert_request r = {
        .info = info, .connect = true, .target = *target, .options = options, .cookie = cookie};

    convert_encode_request(w, &r);
}

void convert_encode_info(struct wr *w)
{
    convert_encode_request(w, &(struct convert_request){.info = true});
}

void convert_encode_answer(struct wr *w, struct span options, struct span kinds)
{
    size_t kinds_words = kinds.len == 0 ? 0 : 1 + words_for(kinds.len);
    size_t options_words = options.len == 0 ? 0 : 1 + words_for(options.len);

    if (!write_header(w, 1 + kinds_words + options_words))
        return;
    if (kinds.len > 0)
        write_tlv(w, CONVERT_TLV_SUPPORTED, kinds);
    if (options.len > 0)
        write_tlv(w, CONVERT_TLV_EXTENDED_TCP_HEADER, options);
}

void convert_encode_info_answer(struct wr *w, struct span kinds, bool exact)
{
    size_t kinds_words = kinds.len == 0 ? 0 : 1 + words_for(kinds.len);

    if (!write_header(w, 1 + kinds_words + (exact ? 1u : 0u)))
        return;
    if (kinds.len > 0)
        write_tlv(w, CONVERT_TLV_SUPPORTED, kinds);
    if (exact)
        write_tlv(w, CONVERT_TLV_NO_ANSWER, span_of(NULL, 0));
}

void convert_encode_error(struct wr *w, enum convert_error code, struct span value)
{
    bool is_echo = code == CONVERT_ERROR_MALFORMED || code == CONVERT_ERROR_UNSUPPORTED_MESSAGE;
    bool zero_first = is_echo || code == CONVERT_ERROR_MISSING_COOKIE;

    if (is_echo && value.len > ECHO_MAX)
        value.len = ECHO_MAX;
    size_t head = zero_first || value.len == 0 ? 4 : 3;
    size_t words = words_for(head + value.len);
    if (!write_header(w, 1 + words))
        return;
    wr_u8(w, CONVERT_TLV_ERROR);
    wr_u8(w, (uint8_t)words);
    wr_u8(w, (uint8_t)code);
    wr_zero(w, head - 3);
    wr_bytes(w, value.ptr, value.len);
    wr_zero(w, WORD * words - head - value.len);
}

/* L6: did the server's SYN+ACK carry an MPTCP option? A list we cannot read to the end says no.
 */
static bool has_mptcp(struct span options)
{
    struct rd r = {.in = options};
    uint8_t kind;
    struct span content;

    while (next_option(&r, &kind, &content) == WALK_OPTION) {
        if (kind == TCP_OPTION_MPTCP)
            return true;
    }
    return false;
}

static void take_answer_tlv(const struct tlv *t, struct convert_answer *a)
{
    struct rd r = {.in = t->value};

    switch (t->type) {
    case CONVERT_TLV_ERROR:
        a->is_error = true;
        a->error_code = rd_u8(&r);
        a->error_value = rd_span(&r, rd_left(&r));
        break;
    case CONVERT_TLV_EXTENDED_TCP_HEADER:
        a->options = span_skip(t->value, 2);
        a->server_mptcp = has_mptcp(a->options);
        break;
    case CONVERT_TLV_SUPPORTED:
        a->supported = span_skip(t->value, 2);
        break;
    case CONVERT_TLV_NO_ANSWER:
        a->exact = true;
        break;
    default:
        break;
    }
}

struct decode convert_decode_answer(struct span in, struct convert_answer *out)
{
    struct decode d = read_header(in);
    struct convert_answer answer = {.is_error = false};
    uint8_t seen[SEEN_OCTETS] = {0};

    if (d.status != DECODE_DONE)
        return d;
    struct rd r = {.in = span_of(in.ptr, d.bytes), .pos = CONVERT_HEADER_LEN};
    while (rd_left(&r) > 0) {
        struct tlv t;
        enum reject why = next_tlv(&r, seen, &t);

        if (why != REJECT_NONE)
            return decode_bad(why);
        take_answer_tlv(&t, &answer);
    }
    *out = answer;
    return d;
}

/* Laid out as Linux lays out its own SYN+ACK: each group is NOP padded to 4 octets. */
void convert_encode_synack_options(struct wr *w, const struct convert_synack *s)
{
    wr_u8(w, TCP_OPTION_MSS);
    wr_u8(w, 4);
    wr_be16(w, s->mss);
    if (s->sack || s->timestamps) {
        if (s->sack)
            wr_bytes(w, (const uint8_t[]){TCP_OPTION_SACK_PERMITTED, 2}, 2);
        else
            wr_bytes(w, (const uint8_t[]){TCP_OPTION_NOP, TCP_OPTION_NOP}, 2);
        if (s->timestamps) {
            wr_bytes(w, (const uint8_t[]){TCP_OPTION_TIMESTAMPS, 10}, 2);
            wr_zero(w, 8);
        } else {
            wr_bytes(w, (const uint8_t[]){TCP_OPTION_NOP, TCP_OPTION_NOP}, 2);
        }
    }
    if (s->wscale) {
        wr_bytes(w, (const uint8_t[]){TCP_OPTION_NOP, TCP_OPTION_WSCALE, 3}, 3);
        wr_u8(w, s->wscale_value);
    }
    if (s->mptcp) { /* MP_CAPABLE, version 1, HMAC-SHA256 flag, RFC 8684 s3.1; the key is not
                       ours to show */
        wr_bytes(w, (const uint8_t[]){TCP_OPTION_MPTCP, 12, 0x01, 0x01}, 4);
        wr_zero(w, 8);
    }
}
