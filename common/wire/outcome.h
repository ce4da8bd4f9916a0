/* SPDX-License-Identifier: MIT */
/* outcome - why a session ended. One row per outcome gives its name, every dialect's code for it, its stats key and errno,
 * so that logs, wire and counters cannot drift apart. Sources: RFC 1928 s6; RFC 8803 s6.2.8; RFC 1929; SOCKS4 memo. */
#ifndef WIRE_OUTCOME_H
#define WIRE_OUTCOME_H
#include <stdbool.h>
#include <stdint.h>

/* SOCKS5 reply codes, RFC 1928 s6. */
enum socks5_rep {
    SOCKS5_REP_OK = 0x00,
    SOCKS5_REP_GENERAL = 0x01,
    SOCKS5_REP_NOT_ALLOWED = 0x02,
    SOCKS5_REP_NET_UNREACHABLE = 0x03,
    SOCKS5_REP_HOST_UNREACHABLE = 0x04,
    SOCKS5_REP_REFUSED = 0x05,
    SOCKS5_REP_TTL_EXPIRED = 0x06,
    SOCKS5_REP_COMMAND = 0x07,
    SOCKS5_REP_ADDRESS_TYPE = 0x08,
};

/* Convert error codes, RFC 8803 s6.2.8. */
enum convert_error {
    CONVERT_ERROR_UNSUPPORTED_VERSION = 0,
    CONVERT_ERROR_MALFORMED = 1,
    CONVERT_ERROR_UNSUPPORTED_MESSAGE = 2,
    CONVERT_ERROR_MISSING_COOKIE = 3,
    CONVERT_ERROR_NOT_AUTHORIZED = 32,
    CONVERT_ERROR_UNSUPPORTED_OPTION = 33,
    CONVERT_ERROR_RESOURCE_EXCEEDED = 64,
    CONVERT_ERROR_NETWORK_FAILURE = 65,
    CONVERT_ERROR_CONNECTION_RESET = 96,
    CONVERT_ERROR_UNREACHABLE = 97,
};

/* The closed vocabulary of closed_total in the stats document. */
/* clang-format off */
#define REASON_MAP(X)                                                                                  \
    X(CLIENT_EOF, "client_eof") X(ORIGIN_EOF, "origin_eof") X(CLIENT_RESET, "client_reset")            \
    X(ORIGIN_RESET, "origin_reset") X(IDLE_TIMEOUT, "idle_timeout")                                    \
    X(HANDSHAKE_TIMEOUT, "handshake_timeout") X(CONNECT_TIMEOUT, "connect_timeout")                    \
    X(CONNECT_FAILED, "connect_failed") X(DNS_FAILED, "dns_failed") X(ACL_DENIED, "acl_denied")        \
    X(AUTH_FAILED, "auth_failed") X(LIMIT_USER, "limit_user") X(LIMIT_GLOBAL, "limit_global")          \
    X(RATE_LIMITED, "rate_limited") X(DRAIN, "drain") X(ADMIN, "admin")                                \
    X(PROTOCOL_ERROR, "protocol_error") X(INTERNAL_ERROR, "internal_error")
/* clang-format on */
enum reason {
#define X(name, text) REASON_##name,
    REASON_MAP(X)
#undef X
    REASON_COUNT
};

/* rank: when several attempts of one session fail, the highest rank is reported (policy > connect > name resolution, and a
 * refusal beats unreachable and silence).
 *   name                 REP            Convert             reason             errno         rank text */
/* clang-format off */
#define OUTCOME_MAP(X)                                                                                                        \
    X(OK,                  OK,               CONNECTION_RESET,    CLIENT_EOF,        0,             0, "ok")                  \
    X(CLIENT_EOF,          GENERAL,          CONNECTION_RESET,    CLIENT_EOF,        ECONNABORTED,  0, "client closed")       \
    X(UPSTREAM_EOF,        GENERAL,          CONNECTION_RESET,    ORIGIN_EOF,        ECONNRESET,    0, "upstream closed")     \
    X(CLIENT_RESET,        GENERAL,          CONNECTION_RESET,    CLIENT_RESET,      ECONNRESET,    0, "client reset")        \
    X(UPSTREAM_RESET,      REFUSED,          CONNECTION_RESET,    ORIGIN_RESET,      ECONNRESET,    4, "upstream reset")      \
    X(IDLE_TIMEOUT,        TTL_EXPIRED,      NETWORK_FAILURE,     IDLE_TIMEOUT,      ETIMEDOUT,     0, "idle too long")       \
    X(HALF_CLOSED_TIMEOUT, TTL_EXPIRED,      NETWORK_FAILURE,     IDLE_TIMEOUT,      ETIMEDOUT,     0, "half-closed too long")\
    X(HANDSHAKE_TIMEOUT,   TTL_EXPIRED,      NETWORK_FAILURE,     HANDSHAKE_TIMEOUT, ETIMEDOUT,     0, "handshake too slow")  \
    X(MALFORMED,           GENERAL,          MALFORMED,           PROTOCOL_ERROR,    EPROTO,        0, "malformed message")   \
    X(UNKNOWN_PROTOCOL,    GENERAL,          MALFORMED,           PROTOCOL_ERROR,    EPROTO,        0, "unknown protocol")    \
    X(UNSUPPORTED_VERSION, GENERAL,          UNSUPPORTED_VERSION, PROTOCOL_ERROR,    EPROTO,        0, "unsupported version") \
    X(UNSUPPORTED_MESSAGE, GENERAL,          UNSUPPORTED_MESSAGE, PROTOCOL_ERROR,    EPROTO,        0, "unsupported message") \
    X(UNSUPPORTED_OPTION,  GENERAL,          UNSUPPORTED_OPTION,  PROTOCOL_ERROR,    EOPNOTSUPP,    0, "unsupported TCP option") \
    X(UNSUPPORTED_COMMAND, COMMAND,          UNSUPPORTED_MESSAGE, PROTOCOL_ERROR,    EOPNOTSUPP,    0, "unsupported command") \
    X(UNSUPPORTED_ADDRESS, ADDRESS_TYPE,     MALFORMED,           PROTOCOL_ERROR,    EAFNOSUPPORT,  2, "unsupported address type") \
    X(FORBIDDEN_ADDRESS,   NOT_ALLOWED,      MALFORMED,           ACL_DENIED,        EACCES,        9, "forbidden address")   \
    X(DENIED,              NOT_ALLOWED,      NOT_AUTHORIZED,      ACL_DENIED,        EACCES,        9, "not authorized")      \
    X(EGRESS_DENIED,       NOT_ALLOWED,      NOT_AUTHORIZED,      ACL_DENIED,        EACCES,        9, "no source address for this client") \
    X(SOURCE_DENIED,       NOT_ALLOWED,      NOT_AUTHORIZED,      ACL_DENIED,        EACCES,        9, "source address of another") \
    X(EGRESS_FAILED,       GENERAL,          NETWORK_FAILURE,     INTERNAL_ERROR,    EADDRNOTAVAIL, 7, "source address not available") \
    X(MISSING_COOKIE,      NOT_ALLOWED,      MISSING_COOKIE,      AUTH_FAILED,       EACCES,        9, "missing cookie")      \
    X(BAD_COOKIE,          NOT_ALLOWED,      NOT_AUTHORIZED,      AUTH_FAILED,       EACCES,        9, "bad cookie")          \
    X(NO_METHOD,           NOT_ALLOWED,      NOT_AUTHORIZED,      AUTH_FAILED,       EACCES,        9, "no acceptable method")\
    X(AUTH_FAILED,         NOT_ALLOWED,      NOT_AUTHORIZED,      AUTH_FAILED,       EACCES,        9, "bad credentials")     \
    X(LIMIT_GLOBAL,        GENERAL,          RESOURCE_EXCEEDED,   LIMIT_GLOBAL,      EAGAIN,        8, "session limit")       \
    X(LIMIT_SOURCE,        GENERAL,          RESOURCE_EXCEEDED,   LIMIT_USER,        EAGAIN,        8, "source limit")        \
    X(RATE_LIMITED,        GENERAL,          RESOURCE_EXCEEDED,   RATE_LIMITED,      EAGAIN,        8, "rate limit")          \
    X(NO_RESOURCES,        GENERAL,          RESOURCE_EXCEEDED,   INTERNAL_ERROR,    EAGAIN,        7, "out of resources")    \
    X(REFUSED,             REFUSED,          CONNECTION_RESET,    CONNECT_FAILED,    ECONNREFUSED,  6, "connection refused")  \
    X(UNREACHABLE,         HOST_UNREACHABLE, UNREACHABLE,         CONNECT_FAILED,    EHOSTUNREACH,  5, "destination unreachable") \
    X(NO_ROUTE,            NET_UNREACHABLE,  NETWORK_FAILURE,     CONNECT_FAILED,    ENETUNREACH,   3, "no route")            \
    X(NO_CONCENTRATOR,     NET_UNREACHABLE,  NETWORK_FAILURE,     CONNECT_FAILED,    ENETUNREACH,   3, "no concentrator")     \
    X(CONNECT_TIMEOUT,     TTL_EXPIRED,      NETWORK_FAILURE,     CONNECT_TIMEOUT,   ETIMEDOUT,     4, "connect timeout")     \
    X(NAME_NOT_FOUND,      HOST_UNREACHABLE, UNREACHABLE,         DNS_FAILED,        EHOSTUNREACH,  1, "name not found")      \
    X(RESOLVER_FAILED,     GENERAL,          NETWORK_FAILURE,     DNS_FAILED,        EHOSTUNREACH,  1, "resolver failed")     \
    X(DRAINED,             GENERAL,          RESOURCE_EXCEEDED,   DRAIN,             ECONNABORTED,  8, "draining")            \
    X(KILLED,              GENERAL,          RESOURCE_EXCEEDED,   ADMIN,             ECONNABORTED,  8, "ended by operator")   \
    X(INTERNAL,            GENERAL,          RESOURCE_EXCEEDED,   INTERNAL_ERROR,    EIO,           7, "internal error")
/* clang-format on */
enum outcome {
#define X(name, rep, conv, reason, err, rank, text) OUTCOME_##name,
    OUTCOME_MAP(X)
#undef X
    OUTCOME_COUNT
};

/* An outcome with the one octet some dialects carry beside it. */
struct failure {
    enum outcome why;
    uint8_t detail; /* UNREACHABLE: ICMP code. UNSUPPORTED_OPTION: option kind. RESOURCE_EXCEEDED rows: seconds. Else 0. */
    bool icmp6;     /* UNREACHABLE: detail is an ICMPv6 type 1 code */
};

const char *outcome_name(enum outcome o); /* "REFUSED": the log's why= */
const char *outcome_text(enum outcome o); /* "connection refused" */
enum reason outcome_reason(enum outcome o);
const char *reason_name(enum reason r);
unsigned outcome_rank(enum outcome o);

/* The more telling of two; `a` when they rank alike. */
struct failure failure_worse(struct failure a, struct failure b);

enum socks5_rep failure_socks5_rep(struct failure f); /* UNREACHABLE: by ICMP code, convert_rfc8803 table in docs/protocol.md */
enum convert_error failure_convert_code(struct failure f);
int failure_errno(struct failure f);

/* What a connect() error means (SO_ERROR, or errno at once when `local`). `icmp_type` < 0: no ICMP message was seen. */
struct failure failure_from_connect(int err, bool local, int icmp_type, int icmp_code, bool icmp6);

/* Client role: what an answer means for the program behind. */
int socks5_rep_errno(uint8_t rep);
int convert_error_errno(uint8_t code, uint8_t detail);

#endif
