/* SPDX-License-Identifier: MIT */
/* The table of configuration keys, and the two values that are more than a scalar or a list:
 * listeners and their protocols. Every default is written as it would be in the file, because
 * it is parsed like that. */
#include "cookie.h"
#include "native.h"
#include "options.h"
#include "policy_conf.h"
#include <stdlib.h>
#include <string.h>

#define OFF(field) offsetof(struct config, field)
#define LISTENER_OFF(field) offsetof(struct listener_options, field)

/* Ranges of customers: without them the default would be an open proxy. */
#define CUSTOMER_RANGES                                                                      \
    "[\"127.0.0.0/8\", \"::1/128\", \"10.0.0.0/8\", \"172.16.0.0/12\", \"192.168.0.0/16\", " \
    "\"100.64.0.0/10\", \"169.254.0.0/16\", \"fc00::/7\", \"fe80::/10\"]"

static const char *const action_names[] = {[ACL_ALLOW] = "allow", [ACL_DENY] = "deny", NULL};
static const char *const cookie_names[] = {[COOKIE_OFF] = "off",
                                           [COOKIE_STATIC] = "static",
                                           [COOKIE_COMPUTED] = "computed",
                                           [COOKIE_BOTH] = "both",
                                           NULL};
static const char *const m_bit_names[] = {
    [MPCONVERT_M_DRAFT] = "draft", [MPCONVERT_M_INVERTED] = "inverted", NULL};
static const char *const offer_names[] = {
    [OFFER_MODE_OFF] = "off", [OFFER_MODE_ON] = "on", [OFFER_MODE_AUTO] = "auto", NULL};
static const char *const direct_names[] = {
    [VIA_DIRECT_NEVER] = "never", [VIA_DIRECT_LAST] = "last", NULL};
static const char *const bypass_names[] = {
    [VIA_BYPASS_NEVER] = "never", [VIA_BYPASS_LEARNED] = "learned", NULL};
static const char *const proxy_header_names[] = {"v1", "v2", NULL};
static const char *const prefer_names[] = {
    [PREFER_IPV6] = "ipv6", [PREFER_IPV4] = "ipv4", NULL};
static const char *const format_names[] = {
    [LOG_FORMAT_LOGFMT] = "logfmt", [LOG_FORMAT_JSON] = "json", NULL};
static const char *const level_names[] = {[LOG_LEVEL_ERROR] = "error",
                                          [LOG_LEVEL_WARNING] = "warning",
                                          [LOG_LEVEL_INFO] = "info",
                                          [LOG_LEVEL_DEBUG] = "debug",
                                          NULL};
static const char *const destination_names[] = {[LOG_DESTINATION_NONE] = "none",
                                                [LOG_DESTINATION_ADDRESS] = "address",
                                                [LOG_DESTINATION_HOST] = "host",
                                                NULL};

/* ---- listeners ---- */

/* What a listener may speak; HTTP is only recognised to be turned away. */
static const enum protocol speakable[] = {PROTOCOL_SOCKS5, PROTOCOL_SOCKS4, PROTOCOL_MP_CONVERT,
                                          PROTOCOL_PM08, PROTOCOL_CONVERT};

static unsigned protocol_bit(const char *name)
{
    for (size_t i = 0; name != NULL && i < ARRAY_LEN(speakable); i++)
        if (strcmp(name, protocol_name(speakable[i])) == 0)
            return PROTOCOL_BIT(speakable[i]);
    return 0;
}

static bool parse_protocols(struct conf_parse *p, const json_t *value, void *field)
{
    unsigned *out = field;

    if (!json_is_array(value) || json_array_size(value) == 0)
        return conf_fail(p, "expected an array of protocols");
    for (size_t i = 0; i < json_array_size(value); i++) {
        unsigned bit = protocol_bit(json_string_value(json_array_get(value, i)));

        conf_enter(p, NULL, i);
        if (bit == 0)
            return conf_fail(
                p,
                "must be one of \"socks5\", \"socks4\", \"mp_convert\", \"pm08\", \"convert\"");
        if ((*out & bit) != 0)
            return conf_fail(p, "is there twice");
        conf_leave(p);
        *out |= bit;
    }
    return true;
}

static json_t *dump_protocols(const void *field)
{
    const unsigned *bits = field;
    json_t *out = json_array();

    for (size_t i = 0; out != NULL && i < ARRAY_LEN(speakable); i++) {
        if ((*bits & PROTOCOL_BIT(speakable[i])) == 0)
            continue;
        if (json_array_append_new(out, json_string(protocol_name(speakable[i]))) == 0)
            continue;
        json_decref(out);
        return NULL;
    }
    return out;
}

/* clang-format off */
static const struct conf_key listener_keys[] = {
    {"name", CONF_STRING, LISTENER_OFF(name), NULL,
     .help = "Name in statistics and logs: letters, digits, dash and underscore; required."},
    {"address", CONF_ADDR, LISTENER_OFF(address), NULL,
     .help = "Address and port to listen on, \"[::]:1080\" serves IPv4 as well; required."},
    {"protocols", CONF_CUSTOM, LISTENER_OFF(protocols), "[\"socks5\", \"mp_convert\", \"convert\"]",
     .parse = parse_protocols, .dump = dump_protocols,
     .help = "Protocols told apart by a connection's first octets: socks5, socks4, mp_convert, pm08, convert."},
    {"mptcp", CONF_BOOL, LISTENER_OFF(mptcp), "true",
     .help = "Accept Multipath TCP; a plain TCP client is served as well."},
    {"fastopen", CONF_BOOL, LISTENER_OFF(fastopen), "true",
     .help = "Accept data in the SYN without a cookie (TCP Fast Open)."},
    {"via", CONF_BOOL, LISTENER_OFF(via), "false",
     .help = "Reach targets through via.concentrators."},
    {"transparent", CONF_BOOL, LISTENER_OFF(transparent), "false",
     .help = "Serve connections that a TPROXY rule diverts here; the address a client connected to is its target, and protocols are not looked at."},
    {"implicit", CONF_BOOL, LISTENER_OFF(implicit), "false",
     .help = "Serve diverted connections that begin with an MP_CONVERT element without address; needs transparent and no protocol but mp_convert."},
    {"join_tokens", CONF_STRING, LISTENER_OFF(join_tokens), "null",
     .help = "nftables set, \"inet TABLE SET\", that is given the MPTCP tokens of this implicit listener's connections, so that a rule can divert their MP_JOINs; null: none."},
    {"alive_set", CONF_STRING, LISTENER_OFF(alive_set), "null",
     .help = "nftables set, \"inet TABLE SET\", that has the element tcp while the daemon lives and wants connections, so that a rule can stop diverting them; null: none."},
    {"exact", CONF_BOOL, LISTENER_OFF(exact), "false",
     .help = "Answer the client's SYN when the target has accepted; needs a firewall rule and CAP_NET_ADMIN, see exact-connect.md. A transparent one holds the SYN-ACKs of diverted hosts."},
    {"backlog", CONF_U32, LISTENER_OFF(backlog), "4096", .min = 1, .max = 65535, .unit = "connections",
     .help = "Connections that may wait to be accepted, and Fast Open requests that may be pending."},
    {"egress", CONF_STRING, LISTENER_OFF(egress_name), "\"default\"",
     .help = "Name of the policy in egress that chooses source addresses towards targets; \"default\", and there is none: the kernel does."},
    {"policy", CONF_STRING, LISTENER_OFF(policy), "null",
     .help = "Name of the policy of the connections it accepts, one of policies; null: none."},
    {.path = NULL},
};
/* clang-format on */

static bool is_name(const char *text)
{
    size_t len =
        strspn(text, "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789-_");

    return len > 0 && len <= OPTIONS_NAME_MAX && text[len] == '\0';
}

static bool parse_listener(struct conf_parse *p, const json_t *value,
                           struct listener_options *out)
{
    if (!conf_object(p, value, listener_keys, out, sizeof *out))
        return false;
    if (!is_name(out->name)) {
        conf_enter(p, "name", 0);
        return conf_fail(p, "expected 1 to %d letters, digits, '-' or '_'", OPTIONS_NAME_MAX);
    }
    if (out->address.family == ADDR_NONE) {
        conf_enter(p, "address", 0);
        return conf_fail(p, "is required");
    }
    return true;
}

static bool parse_listeners(struct conf_parse *p, const json_t *value, void *field)
{
    struct listener_list *list = field;
    size_t count = json_array_size(value);

    if (!json_is_array(value) || count == 0)
        return conf_fail(p, "expected an array of at least one listener");
    if (count > OPTIONS_LISTENERS_MAX)
        return conf_fail(p, "has more than %d listeners", OPTIONS_LISTENERS_MAX);
    list->item = calloc(count, sizeof *list->item);
    if (list->item == NULL)
        return conf_fail(p, "out of memory");
    for (size_t i = 0; i < count; i++) {
        list->count = i + 1; /* also a half-parsed one is freed */
        conf_enter(p, NULL, i);
        if (!parse_listener(p, json_array_get(value, i), &list->item[i]))
            return false;
        conf_leave(p);
    }
    return true;
}

static void clear_listeners(void *field)
{
    struct listener_list *list = field;

    for (size_t i = 0; i < list->count; i++)
        conf_clear(listener_keys, &list->item[i]);
    free(list->item);
    *list = (struct listener_list){0};
}

static json_t *dump_listeners(const void *field)
{
    const struct listener_list *list = field;
    json_t *out = json_array();

    for (size_t i = 0; out != NULL && i < list->count; i++) {
        if (json_array_append_new(out, conf_dump(listener_keys, &list->item[i], false)) == 0)
            continue;
        json_decref(out);
        return NULL;
    }
    return out;
}

const struct conf_key *options_listener_keys(void)
{
    return listener_keys;
}

/* ---- the table ---- */

/* clang-format off */
static const struct conf_key keys[] = {
    {"node", CONF_STRING, OFF(node), "null", .reloadable = true,
     .help = "Name of this node in statistics and logs; null: the host name."},
    {"workers", CONF_U32, OFF(workers), "0", .min = 0, .max = 256, .unit = "threads",
     .help = "Worker threads; 0: one per core."},
    {"listeners", CONF_CUSTOM, OFF(listeners), "[{\"name\": \"main\", \"address\": \"[::]:1080\"}]", .parse = parse_listeners, .clear = clear_listeners, .dump = dump_listeners, .reloadable = true,
     .help = "Where clients connect; an array of objects, see below."},
    {"policies", CONF_CUSTOM, OFF(policies), "[]", .parse = policy_parse, .clear = policy_clear, .dump = policy_dump, .reloadable = true,
     .help = "Congestion control, DSCP, mark and segment size of connections; an array of objects, see below."},
    {"stats.address", CONF_ADDR, OFF(stats.address), "\"127.0.0.1:9180\"",
     .help = "Address and port of the read-only HTTP endpoint, loopback only; null: none."},
    {"stats.hosts", CONF_STRINGS, OFF(stats.hosts), "[]", .min = 0, .max = 64, .unit = "names", .reloadable = true,
     .help = "Names that the Host header of a request may carry besides localhost and the address itself."},
    {"stats.status_page", CONF_BOOL, OFF(stats.status_page), "true", .reloadable = true,
     .help = "Serve a page for people at /."},
    {"control.path", CONF_STRING, OFF(control.path), "null",
     .help = "Where the Unix control socket is made; null: there is none."},
    {"clients.allow", CONF_PREFIXES, OFF(clients.allow), CUSTOMER_RANGES, .min = 0, .max = 4096, .unit = "prefixes", .reloadable = true,
     .help = "Sources that may use the service; others are turned away."},
    {"clients.trusted", CONF_PREFIXES, OFF(clients.trusted), CUSTOMER_RANGES, .min = 0, .max = 4096, .unit = "prefixes", .reloadable = true,
     .help = "Sources whose addresses count as genuine: a request in their SYN is acted on before the handshake ends."},
    {"auth.users_file", CONF_STRING, OFF(auth.users_file), "null", .reloadable = true,
     .help = "File of \"name:crypt(3) hash\" lines; null: no user names are asked for. With it, only auth.exempt sources are served without credentials, in every dialect (RFC 8803: a static cookie)."},
    {"auth.exempt", CONF_PREFIXES, OFF(auth.exempt), "[]", .min = 0, .max = 4096, .unit = "prefixes", .reloadable = true,
     .help = "Sources that need no credentials although there are users."},
    {"auth.cache_ttl_seconds", CONF_MS, OFF(auth.cache_ttl_ms), "300", .min = 0, .max = 86400000, .reloadable = true,
     .help = "How long a verified password is remembered, under a keyed hash."},
    {"auth.failures_per_minute", CONF_U32, OFF(auth.failures_max), "10", .min = 1, .max = 1000000, .unit = "failures", .reloadable = true,
     .help = "Wrong passwords of one source before its answers are refused unasked."},
    {"auth.empty_fields", CONF_BOOL, OFF(auth.empty_fields), "false", .reloadable = true,
     .help = "Take an empty user name or password to the users file instead of refusing it."},
    {"acl.default", CONF_ENUM, OFF(access.fallback), "\"allow\"", .choices = action_names, .reloadable = true,
     .help = "What becomes of a target that no rule and no built-in class decides."},
    {"acl.rules", CONF_CUSTOM, OFF(access.rules), "[]", .parse = acl_parse_rules, .clear = acl_clear_rules, .dump = acl_dump_rules, .reloadable = true,
     .help = "Ordered rules about sources, users and targets; an array of objects, see below."},
    {"cookie.mode", CONF_ENUM, OFF(cookie.mode), "\"off\"", .choices = cookie_names, .reloadable = true,
     .help = "Whether RFC 8803 clients must show a cookie, and of which kind."},
    {"cookie.static_file", CONF_STRING, OFF(cookie.static_file), "null", .reloadable = true,
     .help = "File of the subscribers' cookies, for the modes static and both."},
    {"cookie.keys_file", CONF_STRING, OFF(cookie.keys_file), "null", .reloadable = true,
     .help = "File of the keys of computed cookies; null: a random key, forgotten at exit."},
    {"cookie.bind_prefix64", CONF_BOOL, OFF(cookie.bind_prefix64), "false", .reloadable = true,
     .help = "Bind the computed cookie of an IPv6 client to its /64 instead of its address."},
    {"limits.sessions", CONF_U32, OFF(limits.sessions), "50000", .min = 1, .max = 10000000, .unit = "sessions", .reloadable = true,
     .help = "Sessions at the same time."},
    {"limits.sessions_per_source", CONF_U32, OFF(limits.sessions_per_source), "4096", .min = 1, .max = 10000000, .unit = "sessions", .reloadable = true,
     .help = "Sessions of one source at the same time."},
    {"limits.connects_per_source", CONF_U32, OFF(limits.connects_per_source), "256", .min = 1, .max = 10000000, .unit = "attempts", .reloadable = true,
     .help = "Connection attempts to targets of one source at the same time."},
    {"limits.errors_per_second", CONF_U32, OFF(limits.errors_per_second), "50", .min = 0, .max = 1000000, .unit = "errors", .reloadable = true,
     .help = "RFC 8803 errors that one source is told; beyond it the connection is closed silently."},
    {"limits.source_prefix6", CONF_U32, OFF(limits.source_prefix6), "64", .min = 1, .max = 128, .unit = "bits", .reloadable = true,
     .help = "Leading bits of an IPv6 address that make one source."},
    {"timeouts.header_seconds", CONF_MS, OFF(timeouts.header_ms), "5", .min = 100, .max = 300000, .reloadable = true,
     .help = "From accepting a connection to a whole MP_CONVERT or RFC 8803 request."},
    {"timeouts.socks_header_seconds", CONF_MS, OFF(timeouts.socks_header_ms), "10", .min = 100, .max = 300000, .reloadable = true,
     .help = "From accepting a connection to a whole SOCKS request."},
    {"timeouts.connect_seconds", CONF_MS, OFF(timeouts.connect_ms), "30", .min = 100, .max = 600000, .reloadable = true,
     .help = "From a request to a connection to its target, name resolution included."},
    {"timeouts.attempt_delay_seconds", CONF_MS, OFF(timeouts.attempt_delay_ms), "0.25", .min = 10, .max = 2000, .reloadable = true,
     .help = "Before the next address of a target is tried beside the first (RFC 8305 s5)."},
    {"timeouts.resolution_delay_seconds", CONF_MS, OFF(timeouts.resolution_delay_ms), "0.05", .min = 0, .max = 2000, .reloadable = true,
     .help = "For the preferred family's addresses when the other's are there (RFC 8305 s3)."},
    {"timeouts.idle_seconds", CONF_MS, OFF(timeouts.idle_ms), "7440", .min = 1000, .max = 604800000, .reloadable = true,
     .help = "Without an octet either way (RFC 5382 REQ-5 asks for 2 h 4 min)."},
    {"timeouts.half_closed_seconds", CONF_MS, OFF(timeouts.half_closed_ms), "240", .min = 1000, .max = 604800000, .reloadable = true,
     .help = "Without an octet after one side has ended its direction (RFC 7857)."},
    {"timeouts.linger_seconds", CONF_MS, OFF(timeouts.linger_ms), "10", .min = 100, .max = 60000, .reloadable = true,
     .help = "For a client to take an error answer and close."},
    {"timeouts.drain_seconds", CONF_MS, OFF(timeouts.drain_ms), "30", .min = 0, .max = 86400000, .reloadable = true,
     .help = "For sessions to end by themselves after SIGTERM."},
    {"timeouts.keepalive_seconds", CONF_MS, OFF(timeouts.keepalive_ms), "300", .min = 0, .max = 7200000, .reloadable = true,
     .help = "Idle time before TCP keepalive probes on both legs; 0: none."},
    {"via.concentrators", CONF_CUSTOM, OFF(via.concentrators), "[]", .parse = via_parse, .clear = via_clear, .dump = via_dump, .reloadable = true,
     .help = "Concentrators that listeners with via go through; an array of objects, see below."},
    {"via.direct", CONF_ENUM, OFF(via.direct), "\"never\"", .choices = direct_names, .reloadable = true,
     .help = "Whether a target is connected to without, when no concentrator can be reached."},
    {"via.probe", CONF_BOOL, OFF(via.probe), "true", .reloadable = true,
     .help = "Ask concentrators what they are, beside the connections of clients; nothing is dialled for it."},
    {"via.relearn_seconds", CONF_MS, OFF(via.relearn_ms), "600", .min = 1000, .max = 86400000, .reloadable = true,
     .help = "For how long what was learnt of a concentrator holds, that it is none included (draft -10 section 5.2)."},
    {"via.tfo_backoff_seconds", CONF_MS, OFF(via.tfo_backoff_ms), "600", .min = 1000, .max = 86400000, .reloadable = true,
     .help = "For how long requests go behind the handshake when the data of three SYNs in a row was not taken."},
    {"via.implicit", CONF_BOOL, OFF(via.implicit), "false", .reloadable = true,
     .help = "Dial targets themselves and ask a concentrator on the path to take the connection; see below."},
    {"via.native", CONF_PREFIXES, OFF(via.native), "[]", .min = 0, .max = 256, .unit = "prefixes", .reloadable = true,
     .help = "Targets that are connected to directly, with Multipath TCP."},
    {"via.bypass", CONF_ENUM, OFF(via.bypass), "\"never\"", .choices = bypass_names, .reloadable = true,
     .help = "Whether servers that a convert concentrator found to speak Multipath TCP are connected to directly, for a day."},
    {"egress", CONF_CUSTOM, OFF(egress), "[]", .parse = egress_parse, .clear = egress_clear, .dump = egress_dump, .reloadable = true,
     .help = "Policies for source addresses towards targets; an array of objects, see below."},
    {"native.counters", CONF_STRINGS, OFF(native.counters), "[]", .min = 0, .max = NATIVE_COUNTERS_MAX, .unit = "counters", .reloadable = true,
     .help = "Named counters of nftables, \"inet TABLE COUNTER\", of connections that pass by, such as native Multipath TCP: for the statistics."},
    {"exact.queue", CONF_U32, OFF(exact.queue), "8803", .min = 0, .max = 65535, .unit = "number",
     .help = "First netfilter queue of exact listeners' SYN-ACKs; each worker has one, numbered from here."},
    {"exact.held_max", CONF_U32, OFF(exact.held_max), "8192", .min = 1, .max = 1000000, .unit = "connections",
     .help = "Connections whose SYN-ACK may be held at the same time; beyond it they are not exact."},
    {"exact.mptcp_hold_seconds", CONF_MS, OFF(exact.mptcp_hold_ms), "2.5", .min = 10, .max = 600000, .reloadable = true,
     .help = "Longest hold of a Multipath TCP SYN-ACK; a client's kernel gives MPTCP up at its third SYN, after 3 s. TCP: timeouts.connect_seconds."},
    {"exact.mark", CONF_U32, OFF(exact.mark), "1836122112", .min = 256, .max = 4294967040, .unit = "number",
     .help = "SO_MARK of transparent exact listeners' sockets, by which the firewall's rule knows their SYN-ACKs; the low octet is 0, and the daemon's to use. The default is 0x6d710000."},
    {"mp_convert.m_bit", CONF_ENUM, OFF(mp_convert.m_bit), "\"draft\"", .choices = m_bit_names, .reloadable = true,
     .help = "Meaning of the M bit: set on the last element as the draft's prose says, or inverted."},
    {"mp_convert.require_syn_data", CONF_BOOL, OFF(mp_convert.require_syn_data), "false", .reloadable = true,
     .help = "Take MP_CONVERT only from the SYN."},
    {"mp_convert.require_mptcp", CONF_BOOL, OFF(mp_convert.require_mptcp), "false", .reloadable = true,
     .help = "Take MP_CONVERT only from Multipath TCP connections."},
    {"socks5.strict_reserved", CONF_BOOL, OFF(socks5.strict_reserved), "false", .reloadable = true,
     .help = "Refuse SOCKS5 requests whose reserved octet is not zero."},
    {"socks5.resolve", CONF_BOOL, OFF(socks5.resolve), "false", .reloadable = true,
     .help = "Serve the RESOLVE and RESOLVE_PTR commands of Tor."},
    {"upstream.mptcp", CONF_ENUM, OFF(upstream.offer.mode), "\"off\"", .choices = offer_names, .reloadable = true,
     .help = "Offer Multipath TCP to targets, which may fall back to TCP; auto: not to those of which it is remembered that they do not answer it, or not in time, or do not take it up."},
    {"upstream.native", CONF_PREFIXES, OFF(upstream.offer.native), "[]", .min = 0, .max = 4096, .unit = "prefixes", .reloadable = true,
     .help = "Targets known to speak Multipath TCP: it is offered to them always, whatever upstream.mptcp says."},
    {"upstream.slow_after_seconds", CONF_MS, OFF(upstream.offer.slow_after_ms), "0.3", .min = 50, .max = 10000, .reloadable = true,
     .help = "With auto: how long a target may leave MP_CAPABLE unanswered before plain TCP is tried beside it."},
    {"upstream.slow_ttl_seconds", CONF_MS, OFF(upstream.offer.slow_ttl_ms), "86400", .min = 1000, .max = UINT64_C(2592000000), .reloadable = true,
     .help = "With auto: how long a network is spared Multipath TCP after plain TCP was answered sooner."},
    {"upstream.answer_ttl_seconds", CONF_MS, OFF(upstream.offer.answer_ttl_ms), "3600", .min = 0, .max = UINT64_C(2592000000), .reloadable = true,
     .help = "With auto: how long it is remembered whether a target took Multipath TCP up; 0: not at all."},
    {"upstream.slow_prefix4", CONF_U32, OFF(upstream.offer.slow_prefix4), "24", .min = 8, .max = 32, .unit = "bits", .reloadable = true,
     .help = "Leading bits of an IPv4 target that make a network."},
    {"upstream.slow_prefix6", CONF_U32, OFF(upstream.offer.slow_prefix6), "56", .min = 16, .max = 128, .unit = "bits", .reloadable = true,
     .help = "Leading bits of an IPv6 target that make a network."},
    {"upstream.servers_max", CONF_U32, OFF(upstream.servers_max), "16384", .min = 64, .max = 4194304, .unit = "entries",
     .help = "With auto: networks and targets remembered, all workers together."},
    {"upstream.forget_on_reload", CONF_BOOL, OFF(upstream.forget_on_reload), "false", .reloadable = true,
     .help = "Whether a reload ends what is remembered of targets."},
    {"upstream.fastopen", CONF_BOOL, OFF(upstream.fastopen), "false", .reloadable = true,
     .help = "Send the client's first octets in the SYN to the target."},
    {"upstream.prefer", CONF_ENUM, OFF(upstream.prefer), "\"ipv6\"", .choices = prefer_names, .reloadable = true,
     .help = "Address family tried first."},
    {"upstream.hairpin", CONF_BOOL, OFF(upstream.hairpin), "true", .reloadable = true,
     .help = "Whether targets inside clients.allow may be reached (RFC 8803 section 9.2); if not, they are denied before all rules."},
    {"upstream.proxy_header_to", CONF_PREFIXES, OFF(upstream.proxy_header_to), "[]", .min = 0, .max = 4096, .unit = "prefixes", .reloadable = true,
     .help = "Targets that get a PROXY protocol header in front of the client's octets: servers of the operator that expect one."},
    {"upstream.proxy_header", CONF_ENUM, OFF(upstream.proxy_header), "\"v2\"", .choices = proxy_header_names, .reloadable = true,
     .help = "Version of that header."},
    {"dns.servers", CONF_STRINGS, OFF(dns.servers), "[]", .min = 0, .max = 8, .unit = "servers", .reloadable = true,
     .help = "Name servers, with or without port; none: those of /etc/resolv.conf."},
    {"dns.timeout_seconds", CONF_MS, OFF(dns.timeout_ms), "2", .min = 100, .max = 60000, .reloadable = true,
     .help = "For one try of one server."},
    {"dns.tries", CONF_U32, OFF(dns.tries), "3", .min = 1, .max = 10, .unit = "tries", .reloadable = true,
     .help = "Tries per server."},
    {"dns.cache_entries", CONF_U32, OFF(dns.cache_entries), "4096", .min = 0, .max = 1000000, .unit = "entries", .reloadable = true,
     .help = "Answers kept per worker; 0: none."},
    {"dns.ttl_min_seconds", CONF_MS, OFF(dns.ttl_min_ms), "1", .min = 0, .max = 86400000, .reloadable = true,
     .help = "An answer is kept at least so long."},
    {"dns.ttl_max_seconds", CONF_MS, OFF(dns.ttl_max_ms), "3600", .min = 0, .max = 604800000, .reloadable = true,
     .help = "An answer is kept at most so long."},
    {"dns.negative_ttl_seconds", CONF_MS, OFF(dns.negative_ttl_ms), "10", .min = 0, .max = 86400000, .reloadable = true,
     .help = "A name that does not exist is remembered at most so long."},
    {"dns.inflight_max", CONF_U32, OFF(dns.inflight_max), "1024", .min = 1, .max = 65536, .unit = "questions", .reloadable = true,
     .help = "Questions waiting for an answer, per worker."},
    {"relay.early_max", CONF_U64, OFF(relay.early_max), "\"64k\"", .min = UINT64_C(1) << 10, .max = UINT64_C(1) << 17, .reloadable = true,
     .help = "Octets kept of what a client sends before its target is connected."},
    {"relay.receive_buffer", CONF_U64, OFF(relay.receive_buffer), "\"4M\"", .min = 0, .max = UINT64_C(1) << 30, .reloadable = true,
     .help = "SO_RCVBUF of Multipath TCP clients while relaying, where the system allows that much; 0: leave it to the kernel."},
    {"relay.send_queue_max", CONF_U64, OFF(relay.send_queue_max), "0", .min = 0, .max = UINT64_C(1) << 30, .reloadable = false,
     .help = "Octets queued in the kernel towards a Multipath TCP client; 0: no limit of ours."},
    {"relay.tfo_wait", CONF_BOOL, OFF(relay.tfo_wait), "true", .reloadable = true,
     .help = "Write to an MPTCP connection accepted by Fast Open only when its handshake has ended; off only for a kernel that delivers what was written before."},
    {"relay.tfo_window", CONF_BOOL, OFF(relay.tfo_window), "true", .reloadable = true,
     .help = "Keep to the peer's real window on Fast Open connections; off only for a kernel that does."},
    {"relay.splice", CONF_BOOL, OFF(relay.splice), "true", .reloadable = true,
     .help = "Move bulk octets inside the kernel."},
    {"relay.pipes_max", CONF_U32, OFF(relay.pipes_max), "512", .min = 0, .max = 16384, .unit = "pipes", .reloadable = true,
     .help = "Pipes that splicing may hold, all workers together."},
    {"log.format", CONF_ENUM, OFF(log.format), "\"logfmt\"", .choices = format_names, .reloadable = true,
     .help = "Form of log lines."},
    {"log.level", CONF_ENUM, OFF(log.level), "\"info\"", .choices = level_names, .reloadable = true,
     .help = "Least important lines that are written."},
    {"log.destination", CONF_ENUM, OFF(log.destination), "\"none\"", .choices = destination_names, .reloadable = true,
     .help = "What log lines tell of targets: nothing, the address, or the host name as well."},
    {.path = NULL},
};
/* clang-format on */

const struct conf_key *options_keys(void)
{
    return keys;
}
