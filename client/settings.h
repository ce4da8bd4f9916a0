/* SPDX-License-Identifier: MIT */
/* clang-format off */
/* settings - what the shim is to do, as a value: from environment variables in every program, from a file and the
 * command line in the launcher, which hands each setting on as environment. One table of names, texts and ranges
 * (settings.c) serves all of them. No allocation, no stdio, no errno; any thread.
 *
 *   variable                  default      meaning
 *   MPCONVERT_PROXY           (required)   concentrators in order: "192.0.2.1:1080,[2001:db8::1]:1080"
 *   MPCONVERT_DIALECT         mp_convert   mp_convert | convert | socks5
 *   MPCONVERT_USER, _PASSWORD              SOCKS5, RFC 1929: 1..255 octets, both or none
 *   MPCONVERT_COOKIE                       convert: the Cookie TLV's octets in hexadecimal
 *   MPCONVERT_BYPASS          loopback,    "CIDR" or "CIDR:port", IPv6 with a port as "[CIDR]:port"; replaces the
 *                             link-local   default list; "none": no network. The concentrators themselves are always
 *                                          left alone
 *   MPCONVERT_BYPASS_LOCAL    0            1: the networks this host is connected to, too
 *   MPCONVERT_NATIVE          none         targets, as in BYPASS, that speak Multipath TCP themselves: connected to
 *                                          directly, and only if that gives Multipath TCP (natives.h)
 *   MPCONVERT_BYPASS_LEARNED  off          auto: so are those of which a converter said it (RFC 8803)
 *   MPCONVERT_LEARNED_SECONDS 86400        1..604800: for how long
 *   MPCONVERT_ON_FAILURE      fail         direct: when no concentrator could be reached (never when one said no),
 *                                          connect without it
 *   MPCONVERT_NONBLOCK        swap         block: wait in connect() even on a non-blocking socket
 *   MPCONVERT_TFO             auto         auto | on | off: the request in the SYN
 *   MPCONVERT_EXACT           auto         auto | off: ask concentrators whether they are exact, and if so leave the
 *                                          program's connect() to the kernel (inplace.h)
 *   MPCONVERT_MPTCP           1            0: plain TCP towards the concentrator
 *   MPCONVERT_RECEIVE_BUFFER  4M           octets, 0 leaves it alone (trap T2)
 *   MPCONVERT_CONNECT_SECONDS 30           1..600: how long a connect() may take in all
 *   MPCONVERT_UDP443          pass         refuse: QUIC is told ECONNREFUSED, so that it falls back
 *   MPCONVERT_REMOTE_DNS      0            1: names are resolved by the concentrator (socks5 only)
 *   MPCONVERT_LOCAL_NAMES                  with it: suffixes resolved here, comma-separated
 *   MPCONVERT_SOCKOPT         lenient      strict: options MPTCP lacks fail as the kernel says
 *   MPCONVERT_LOG                          a file to append to; none: silent
 *   MPCONVERT_RUN                          the run's shared file (shared.h); set by the launcher
 *   MPCONVERT_CACHE           auto         what is known of concentrators (proxies.h): a file, "none", or "auto":
 *                                          under XDG_RUNTIME_DIR */
/* clang-format on */
#ifndef CLIENT_SETTINGS_H
#define CLIENT_SETTINGS_H
#include "bypass.h"
#include "wire/addr.h"
#include "wire/detect.h"
#include <stdbool.h>
#include <stdint.h>

enum {
    SETTINGS_PROXIES_MAX = 8,
    SETTINGS_TEXT_MAX = 256,
    SETTINGS_NAMES_MAX = 512,
    SETTINGS_VALUE_MAX = 8192, /* the longest text of one setting, its NUL included */
};
enum settings_failure { SETTINGS_FAIL, SETTINGS_DIRECT };
enum settings_nonblock { SETTINGS_SWAP, SETTINGS_BLOCK };
enum settings_tfo { SETTINGS_TFO_AUTO, SETTINGS_TFO_ON, SETTINGS_TFO_OFF };
enum settings_exact { SETTINGS_EXACT_AUTO, SETTINGS_EXACT_OFF };
enum settings_learned { SETTINGS_LEARNED_OFF, SETTINGS_LEARNED_AUTO };
enum settings_udp443 { SETTINGS_UDP443_PASS, SETTINGS_UDP443_REFUSE };
enum settings_sockopt { SETTINGS_LENIENT, SETTINGS_STRICT };

struct settings {
    struct addr proxy[SETTINGS_PROXIES_MAX];
    uint8_t proxies; /* 0: not set up, everything is left alone */
    enum protocol dialect;
    uint8_t user_len, password_len, cookie_len;
    char user[SETTINGS_TEXT_MAX], password[SETTINGS_TEXT_MAX];
    uint8_t cookie[SETTINGS_TEXT_MAX];
    struct bypass bypass;
    bool bypass_local;
    struct bypass native;
    enum settings_learned bypass_learned;
    uint32_t learned_ms;
    enum settings_failure on_failure;
    enum settings_nonblock nonblock;
    enum settings_tfo tfo;
    enum settings_exact exact;
    bool mptcp;
    uint32_t receive_buffer; /* octets */
    uint32_t connect_ms;
    enum settings_udp443 udp443;
    bool remote_dns;
    char local_names[SETTINGS_NAMES_MAX];
    enum settings_sockopt sockopt;
    char log[SETTINGS_NAMES_MAX], run[SETTINGS_NAMES_MAX], cache[SETTINGS_NAMES_MAX];
};

struct settings_error {
    char text[384]; /* "MPCONVERT_PROXY: 'here:x': not an address with a port" */
};

void settings_default(struct settings *s);
/* `name` as in the environment ("MPCONVERT_TFO"). False: unknown name or bad value, *err says
 * which, *s untouched. An empty value is the default. */
bool settings_set(struct settings *s, const char *name, const char *value,
                  struct settings_error *err);
/* Contradictions: credentials that the dialect does not carry, half of a pair, remote_dns with
 * another dialect than socks5, no concentrator. */
bool settings_check(const struct settings *s, struct settings_error *err);
/* Defaults, then every variable that `get` knows, then the check. `get` returns NULL for a
 * variable that is not set. */
bool settings_from(struct settings *s, const char *(*get)(const char *name),
                   struct settings_error *err);
/* Every setting as text, in table order; `text` is SETTINGS_VALUE_MAX octets for the call. */
unsigned settings_count(void);
const char *settings_name(unsigned i);
const char *settings_value(const struct settings *s, unsigned i, char *text);
const char *settings_help(unsigned i); /* one line, for --help and the man page */
bool settings_secret(unsigned i);

#endif
