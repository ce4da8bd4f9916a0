/* SPDX-License-Identifier: MIT */
/* options - the daemon's configuration: one table drives defaults, ranges, reload, --dump and
 * docs/operations.md. A loaded config is immutable and reference-counted: reload builds a new
 * one completely or not at all; a session keeps the one it was born with. Any thread; the count
 * is atomic. No uv.h. */
#ifndef SERVER_OPTIONS_H
#define SERVER_OPTIONS_H
#include "acl.h"
#include "base/conffile.h"
#include "base/log.h"
#include "egress_conf.h"
#include "offer.h"
#include "policy.h"
#include "via_conf.h"
#include "wire/detect.h"
#include "wire/mpconvert.h"
#include <stdatomic.h>

struct auth_users;
struct cookie_keys;

enum { OPTIONS_LISTENERS_MAX = 32, OPTIONS_NAME_MAX = 64 };

struct listener_options {
    char *name;
    struct addr address;
    unsigned protocols; /* PROTOCOL_BITs, from "protocols": ["socks5", "mp_convert", "convert",
                           "socks4", "pm08"] */
    bool mptcp;         /* accept MPTCP (a TCP client is served as well) */
    bool fastopen;      /* TCP_FASTOPEN with NO_COOKIE */
    bool via;           /* targets are reached through via.concentrators */
    bool transparent;   /* clients did not ask for us: a rule diverts them (TPROXY) */
    bool implicit;      /* a diverted client asks for its own destination (MP_CONVERT without address) */
    char *join_tokens;  /* "inet TABLE SET" for tokens of its connections; NULL: none */
    char *alive_set;    /* the same for a sign of life */
    bool exact;         /* answer the client's SYN when the target has accepted */
    uint32_t backlog;
    char *egress_name;                  /* "egress" in the file */
    const struct egress_policy *egress; /* into config.egress; NULL: the kernel's choice */
    char *policy;                 /* name of one of `policies`; NULL: none */
    const struct policy *applied; /* that one; options_load finds it */
};
struct listener_list {
    struct listener_options *item;
    size_t count;
};
enum log_destination { LOG_DESTINATION_NONE, LOG_DESTINATION_ADDRESS, LOG_DESTINATION_HOST };
enum prefer_family { PREFER_IPV6, PREFER_IPV4 };

struct config {
    atomic_uint refs; /* config_ref(), config_unref() */
    char *path;       /* file it came from, or the name given to options_load_text */
    char sha256[65];  /* of the effective configuration's dump; lower-case hex */

    char *node;       /* name in stats and logs; default: host name */
    uint32_t workers; /* 0: one per core; not reloadable */
    struct listener_list listeners;
    struct policy_list policies;
    struct {
        struct addr address;       /* ADDR_NONE: no endpoint */
        struct conf_strings hosts; /* further names allowed in Host */
        bool status_page;
    } stats;
    struct {
        char *path; /* NULL: no control socket */
    } control;
    struct {
        struct conf_prefixes
            allow; /* who may use the service; customer-facing ranges by default */
        struct conf_prefixes trusted; /* SYN data from here starts a connect at once (Q1) */
    } clients;
    struct {
        char *users_file;            /* NULL: no users */
        struct conf_prefixes exempt; /* sources that need no credentials */
        uint32_t cache_ttl_ms;
        uint32_t failures_max; /* per source and minute before answers are refused unasked */
        bool empty_fields;     /* A7 */
    } auth;
    struct {
        int fallback; /* enum acl_action: "acl.default" */
        struct acl_rules rules;
    } access;
    struct {
        int mode; /* enum cookie_mode: off, static, computed, both */
        char *static_file;
        char *keys_file;
        bool bind_prefix64; /* IPv6 clients: bind to the /64 */
    } cookie;
    struct {
        uint32_t sessions, sessions_per_source, connects_per_source;
        uint32_t errors_per_second; /* R19: Convert Error TLVs per source */
        uint32_t source_prefix6;    /* bits of an IPv6 source that count as one */
    } limits;
    struct {
        uint32_t header_ms, socks_header_ms, connect_ms, attempt_delay_ms, resolution_delay_ms,
            idle_ms, half_closed_ms;
        uint32_t linger_ms, drain_ms, keepalive_ms;
    } timeouts;
    struct via_options via;
    struct egress_list egress;
    struct {
        struct conf_strings counters; /* nftables counters: "inet TABLE COUNTER" */
    } native;
    struct {
        uint32_t queue;    /* first netfilter queue; one per worker */
        uint32_t held_max; /* connections whose SYN-ACK may be held at a time */
        uint32_t mptcp_hold_ms;
        uint32_t mark; /* of transparent exact listeners' sockets; the low octet is 0 */
    } exact;
    struct {
        int m_bit; /* enum mpconvert_m_bit */
        bool require_syn_data, require_mptcp;
    } mp_convert;
    struct {
        bool strict_reserved; /* A11 */
        bool resolve;         /* Tor RESOLVE, RESOLVE_PTR: E1, E2 */
    } socks5;
    struct {
        struct offer_policy offer; /* of Multipath TCP */
        uint32_t servers_max;
        bool forget_on_reload;
        bool fastopen; /* early data in the upstream SYN (S9) */
        int prefer;    /* enum prefer_family */
        bool hairpin;  /* R25 */
        struct conf_prefixes proxy_header_to; /* targets that are told who the client is */
        int proxy_header;                     /* enum proxy_header_version, less 1 */
    } upstream;
    struct {
        struct conf_strings servers; /* empty: /etc/resolv.conf */
        uint32_t timeout_ms, tries, cache_entries, ttl_min_ms, ttl_max_ms, negative_ttl_ms,
            inflight_max;
    } dns;
    struct {
        uint64_t early_max;      /* P6: octets kept of early data */
        uint64_t receive_buffer; /* SO_RCVBUF of relaying MPTCP clients (T5); 0: leave
                                    autotuning alone */
        uint64_t send_queue_max; /* octets queued in the kernel towards an MPTCP client (T5); 0:
                                    no cap */
        bool tfo_wait, tfo_window; /* cures of T1 and T2; off only for a kernel that is cured */
        bool splice;
        uint32_t pipes_max; /* per process */
    } relay;
    struct {
        int format;      /* enum log_format */
        int level;       /* enum log_level */
        int destination; /* enum log_destination */
    } log;

    /* Built from the above by options_load; owned. */
    struct acl *acl;
    struct auth_users *users;    /* NULL: none configured */
    struct cookie_keys *cookies; /* NULL: off */
};

/* The table: for --dump, the reference and tests. Ends with path NULL. */
const struct conf_key *options_keys(void);
const struct conf_key *options_listener_keys(void); /* of one entry of "listeners" */

/* Count 1. NULL with *err filled. Also loads the files it names (users, cookies) and lists the
 * interfaces' addresses for the acl. `path` NULL: all defaults. */
struct config *options_load(const char *path, struct conf_error *err) MUST_CHECK;
struct config *options_load_text(const char *text, const char *name,
                                 struct conf_error *err) MUST_CHECK;
struct config *config_ref(struct config *c);
void config_unref(struct config *c); /* NULL is fine */

/* False when a key that needs a restart differs: *err names it. */
bool options_reloadable(const struct config *now, const struct config *next,
                        struct conf_error *err);

json_t *options_dump(const struct config *c,
                     bool redact); /* new reference; NULL: out of memory */
/* The same as indented text that options_load_text() reads back; to be freed; NULL: out of
 * memory. */
char *options_dump_text(const struct config *c, bool redact) MUST_CHECK;

#endif
