/* SPDX-License-Identifier: MIT */
/* Records of answers are c-ares' to parse. Only the SOA of a negative answer is read here:
 * c-ares 1.18 looks for it among the answers, where it never is (RFC 2308 s3: it is in the
 * authority section). */
#include "resolver_reply.h"
#include "wire/target.h"
#include <ares.h>
#include <netdb.h>

enum {
    TYPE_SOA = 6,
    HEADER_COUNTS_AT = 4,
    RECORDS_MAX = 256, /* looked at in one message */
    SOA_NUMBERS = 16,  /* octets of serial, refresh, retry and expire, before MINIMUM */
};

static enum outcome outcome_of(int status)
{
    switch (status) {
    case ARES_SUCCESS:
        return OUTCOME_OK;
    case ARES_ENODATA:
    case ARES_ENOTFOUND:
    case ARES_EBADNAME:
        return OUTCOME_NAME_NOT_FOUND;
    case ARES_ENOMEM:
    case ARES_EFILE:
        return OUTCOME_NO_RESOURCES;
    default:
        return OUTCOME_RESOLVER_FAILED;
    }
}

/* RFC 2181 s8: with the top bit set it counts as zero. */
static uint32_t ttl_of(uint32_t wire)
{
    return wire > INT32_MAX ? 0 : wire;
}

/* RFC 1035 s4.1.4; a pointer ends a name, so it is never followed. */
static void skip_name(struct rd *r)
{
    for (;;) {
        uint8_t len = rd_u8(r);
        if (r->want != 0 || len == 0)
            return;
        if (len >= 0xC0) {
            (void)rd_u8(r);
            return;
        }
        (void)rd_span(r, len);
    }
}

static bool soa_minimum(struct span data, uint32_t *minimum)
{
    struct rd r = {.in = data};

    skip_name(&r); /* MNAME and RNAME may end in pointers out of `data`: skipped unread */
    skip_name(&r);
    (void)rd_span(&r, SOA_NUMBERS);
    *minimum = ttl_of(rd_be32(&r));
    return r.want == 0;
}

static bool negative_ttl(struct span msg, uint32_t *ttl_s)
{
    struct rd r = {.in = msg};

    (void)rd_span(&r, HEADER_COUNTS_AT);
    unsigned questions = rd_be16(&r), answers = rd_be16(&r), authority = rd_be16(&r);
    (void)rd_be16(&r);
    for (unsigned i = 0; i < questions && r.want == 0; i++) {
        skip_name(&r);
        (void)rd_be32(&r);
    }
    for (unsigned i = 0; i < answers + authority && i < RECORDS_MAX && r.want == 0; i++) {
        uint32_t minimum;
        skip_name(&r);
        uint16_t type = rd_be16(&r);
        (void)rd_be16(&r);
        uint32_t ttl = ttl_of(rd_be32(&r));
        struct span data = rd_span(&r, rd_be16(&r));
        if (i >= answers && type == TYPE_SOA && r.want == 0 && soa_minimum(data, &minimum)) {
            *ttl_s = ttl < minimum ? ttl : minimum;
            return true;
        }
    }
    return false;
}

static void least(struct resolver_reply *out, int ttl)
{
    uint32_t ttl_s = ttl < 0 ? 0 : (uint32_t)ttl;

    if (!out->has_ttl || ttl_s < out->ttl_s)
        out->ttl_s = ttl_s;
    out->has_ttl = true;
}

static int parse_ipv4(struct span msg, struct resolver_reply *out)
{
    struct ares_addrttl rr[RESOLVER_ADDRS_MAX];
    int n = RESOLVER_ADDRS_MAX;
    int status = ares_parse_a_reply(msg.ptr, (int)msg.len, NULL, rr, &n);

    if (status != ARES_SUCCESS)
        return status;
    for (int i = 0; i < n; i++) {
        uint8_t ip[4];
        memcpy(ip, &rr[i].ipaddr, sizeof ip);
        out->answer.addr[out->answer.count++] = addr_ipv4(ip, 0);
        least(out, rr[i].ttl);
    }
    return status;
}

static int parse_ipv6(struct span msg, struct resolver_reply *out)
{
    struct ares_addr6ttl rr[RESOLVER_ADDRS_MAX];
    int n = RESOLVER_ADDRS_MAX;
    int status = ares_parse_aaaa_reply(msg.ptr, (int)msg.len, NULL, rr, &n);

    if (status != ARES_SUCCESS)
        return status;
    for (int i = 0; i < n; i++) {
        uint8_t ip[16];
        memcpy(ip, &rr[i].ip6addr, sizeof ip);
        out->answer.addr[out->answer.count++] = addr_ipv6(ip, 0);
        least(out, rr[i].ttl);
    }
    return status;
}

void resolver_reply_addrs(int status, struct span msg, enum addr_family family,
                          struct resolver_reply *out)
{
    out->answer.count = 0;
    out->has_ttl = false;
    out->ttl_s = 0;
    if (msg.len > INT32_MAX)
        status = ARES_EBADRESP;
    if (status == ARES_SUCCESS)
        status = family == ADDR_IPV6 ? parse_ipv6(msg, out) : parse_ipv4(msg, out);
    if (status == ARES_SUCCESS && out->answer.count == 0)
        status = ARES_ENODATA;
    out->answer.why = outcome_of(status);
    if (out->answer.why == OUTCOME_NAME_NOT_FOUND)
        out->has_ttl = negative_ttl(msg, &out->ttl_s);
}

enum outcome resolver_reply_name(int status, struct span msg, const struct addr *a,
                                 struct resolver_name *name)
{
    struct hostent *host = NULL;
    struct target t;
    bool ipv6 = a->family == ADDR_IPV6;

    if (msg.len > INT32_MAX)
        status = ARES_EBADRESP;
    if (status == ARES_SUCCESS)
        status = ares_parse_ptr_reply(msg.ptr, (int)msg.len, a->ip, ipv6 ? 16 : 4,
                                      ipv6 ? AF_INET6 : AF_INET, &host);
    if (status != ARES_SUCCESS)
        return outcome_of(status);
    bool good = target_from_host(span_of(host->h_name, strlen(host->h_name)), 0, &t) &&
                target_is_name(&t) && t.name_len <= RESOLVER_NAME_MAX;
    ares_free_hostent(host);
    if (!good) /* a peer's text: nobody is to see anything but a host name */
        return OUTCOME_NAME_NOT_FOUND;
    memcpy(name->text, t.name, (size_t)t.name_len + 1);
    return OUTCOME_OK;
}
