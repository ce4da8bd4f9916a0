/* SPDX-License-Identifier: MIT */
#include "wire/outcome.h"
#include "wire/decode.h"
#include <errno.h>

struct outcome_row {
    const char *name;
    const char *text;
    int err;
    uint8_t rep;
    uint8_t convert;
    uint8_t reason;
    uint8_t rank;
};

static const struct outcome_row outcome_rows[OUTCOME_COUNT] = {
#define X(id, rep_, conv_, reason_, err_, rank_, text_) \
    [OUTCOME_##id] = {.name = #id,                      \
                      .text = (text_),                  \
                      .err = (err_),                    \
                      .rep = SOCKS5_REP_##rep_,         \
                      .convert = CONVERT_ERROR_##conv_, \
                      .reason = REASON_##reason_,       \
                      .rank = (rank_)},
    OUTCOME_MAP(X)
#undef X
};

static const char *const reason_names[REASON_COUNT] = {
#define X(id, text) [REASON_##id] = (text),
    REASON_MAP(X)
#undef X
};

static const char *const reject_texts[REJECT_COUNT] = {
#define X(id, text) [REJECT_##id] = (text),
    REJECT_MAP(X)
#undef X
};

/* What the kernel makes of an ICMP destination-unreachable while it connects. The codes are
 * those of RFC 792, RFC 1122 s3.2.2.1 and RFC 1812 s5.2.7.1 (IPv4, type 3) and of RFC 4443 s3.1
 * (IPv6, type 1). */
static const int icmp4_errno[] = {
    [0] = ENETUNREACH,   [1] = EHOSTUNREACH,  [2] = ENOPROTOOPT,   [3] = ECONNREFUSED,
    [4] = EHOSTUNREACH,  [5] = EHOSTUNREACH,  [6] = ENETUNREACH,   [7] = EHOSTUNREACH,
    [8] = EHOSTUNREACH,  [9] = ENETUNREACH,   [10] = EHOSTUNREACH, [11] = ENETUNREACH,
    [12] = EHOSTUNREACH, [13] = EHOSTUNREACH,
};
static const int icmp6_errno[] = {
    [0] = ENETUNREACH,  [1] = EACCES, [2] = EHOSTUNREACH, [3] = EHOSTUNREACH,
    [4] = ECONNREFUSED, [5] = EACCES, [6] = EACCES,
};

enum {
    ICMP_TYPE_UNREACHABLE = 3,
    ICMP_CODE_HOST = 1,
    ICMP_CODE_PROTOCOL = 2,
    ICMP_CODE_FRAGMENTATION_NEEDED = 4, /* news about the path's MTU, not a refusal */
    ICMP6_TYPE_UNREACHABLE = 1,
    ICMP6_CODE_PROHIBITED = 1,
};

static const struct outcome_row *row(enum outcome o)
{
    return &outcome_rows[(unsigned)o < OUTCOME_COUNT ? o : OUTCOME_INTERNAL];
}

const char *reject_text(enum reject why)
{
    return (unsigned)why < REJECT_COUNT ? reject_texts[why] : "unknown";
}

const char *outcome_name(enum outcome o)
{
    return row(o)->name;
}

const char *outcome_text(enum outcome o)
{
    return row(o)->text;
}

enum reason outcome_reason(enum outcome o)
{
    return (enum reason)row(o)->reason;
}

const char *reason_name(enum reason r)
{
    return reason_names[(unsigned)r < REASON_COUNT ? r : REASON_INTERNAL_ERROR];
}

unsigned outcome_rank(enum outcome o)
{
    return row(o)->rank;
}

struct failure failure_worse(struct failure a, struct failure b)
{
    return outcome_rank(b.why) > outcome_rank(a.why) ? b : a;
}

static int unreachable_errno(uint8_t code, bool icmp6)
{
    if (icmp6)
        return code < sizeof icmp6_errno / sizeof icmp6_errno[0] ? icmp6_errno[code]
                                                                 : EHOSTUNREACH;
    return code < sizeof icmp4_errno / sizeof icmp4_errno[0] ? icmp4_errno[code] : EHOSTUNREACH;
}

enum socks5_rep failure_socks5_rep(struct failure f)
{
    if (f.why != OUTCOME_UNREACHABLE)
        return (enum socks5_rep)row(f.why)->rep;
    switch (unreachable_errno(f.detail, f.icmp6)) {
    case ENETUNREACH:
        return SOCKS5_REP_NET_UNREACHABLE;
    case ECONNREFUSED:
        return SOCKS5_REP_REFUSED;
    case EACCES:
        return SOCKS5_REP_NOT_ALLOWED;
    case ENOPROTOOPT: /* RFC 1928 s6 has no code for it */
        return SOCKS5_REP_GENERAL;
    default:
        return SOCKS5_REP_HOST_UNREACHABLE;
    }
}

enum convert_error failure_convert_code(struct failure f)
{
    return (enum convert_error)row(f.why)->convert;
}

int failure_errno(struct failure f)
{
    return f.why == OUTCOME_UNREACHABLE ? unreachable_errno(f.detail, f.icmp6)
                                        : row(f.why)->err;
}

static struct failure failed(enum outcome why)
{
    return (struct failure){.why = why};
}

static struct failure unreachable(int code, bool icmp6)
{
    return (struct failure){
        .why = OUTCOME_UNREACHABLE, .detail = (uint8_t)code, .icmp6 = icmp6};
}

/* Is this the message that makes a connect() fail, with a code that the dialects can carry? */
static bool is_unreachable(int icmp_type, int icmp_code, bool icmp6)
{
    if (icmp_code < 0 || icmp_code > UINT8_MAX)
        return false;
    if (icmp6)
        return icmp_type == ICMP6_TYPE_UNREACHABLE;
    return icmp_type == ICMP_TYPE_UNREACHABLE && icmp_code != ICMP_CODE_FRAGMENTATION_NEEDED;
}

/* Errors that only this host can have caused; OUTCOME_OK: not one of them. */
static enum outcome local_failure(int err, bool local)
{
    switch (err) {
    case EMFILE:
    case ENFILE:
    case ENOMEM:
    case ENOBUFS:
    case EADDRNOTAVAIL:
    case EADDRINUSE:
    case EAGAIN:
        return OUTCOME_NO_RESOURCES;
    case EAFNOSUPPORT:
    case EPROTONOSUPPORT:
        return OUTCOME_UNSUPPORTED_ADDRESS;
    case EPERM: /* a packet filter on this host */
        return OUTCOME_DENIED;
    case ENETDOWN:
        return OUTCOME_NO_ROUTE;
    case EACCES:
        return local ? OUTCOME_DENIED : OUTCOME_OK;
    case ENETUNREACH:
        return local ? OUTCOME_NO_ROUTE : OUTCOME_OK;
    default:
        return OUTCOME_OK;
    }
}

struct failure failure_from_connect(int err, bool local, int icmp_type, int icmp_code,
                                    bool icmp6)
{
    enum outcome mine = local_failure(err, local);

    if (err == 0 || mine != OUTCOME_OK)
        return failed(mine);
    if (is_unreachable(icmp_type, icmp_code, icmp6))
        return unreachable(icmp_code, icmp6);
    switch (err) {
    case ECONNREFUSED:
    case ECONNRESET: /* the RST came after the handshake */
        return failed(OUTCOME_REFUSED);
    case ETIMEDOUT:
        return failed(OUTCOME_CONNECT_TIMEOUT);
    /* No ICMP message to read (an MPTCP leg queues none): the code that leads to the same
     * errno. */
    case ENETUNREACH:
        return unreachable(0, icmp6);
    case EHOSTUNREACH:
    case EHOSTDOWN:
        return icmp6 ? unreachable(3, true) : unreachable(ICMP_CODE_HOST, false);
    case ENOPROTOOPT:
        return unreachable(ICMP_CODE_PROTOCOL, false);
    case EACCES:
        return unreachable(ICMP6_CODE_PROHIBITED, true);
    default:
        return failed(OUTCOME_INTERNAL);
    }
}

int socks5_rep_errno(uint8_t rep)
{
    switch (rep) {
    case SOCKS5_REP_OK:
        return 0;
    case SOCKS5_REP_NOT_ALLOWED:
        return EACCES;
    case SOCKS5_REP_NET_UNREACHABLE:
        return ENETUNREACH;
    case SOCKS5_REP_HOST_UNREACHABLE:
        return EHOSTUNREACH;
    case SOCKS5_REP_TTL_EXPIRED:
        return ETIMEDOUT;
    case SOCKS5_REP_COMMAND:
        return EOPNOTSUPP;
    case SOCKS5_REP_ADDRESS_TYPE:
        return EAFNOSUPPORT;
    default: /* REFUSED; GENERAL and unassigned codes look like it: every program copes with a
                refusal */
        return ECONNREFUSED;
    }
}

/* RFC 8803 s6.2.8, and the classes of its code space do not help: an unassigned code is EPROTO.
 */
int convert_error_errno(uint8_t code, uint8_t detail)
{
    switch (code) {
    case CONVERT_ERROR_MISSING_COOKIE:
    case CONVERT_ERROR_NOT_AUTHORIZED:
        return EACCES;
    case CONVERT_ERROR_UNSUPPORTED_OPTION:
        return EOPNOTSUPP;
    case CONVERT_ERROR_RESOURCE_EXCEEDED:
        return EAGAIN;
    case CONVERT_ERROR_NETWORK_FAILURE:
        return ENETUNREACH;
    case CONVERT_ERROR_CONNECTION_RESET:
        return ECONNREFUSED;
    case CONVERT_ERROR_UNREACHABLE: /* the answer does not say which ICMP: the codes are read as
                                       IPv4's */
        return unreachable_errno(detail, false);
    default:
        return EPROTO;
    }
}
