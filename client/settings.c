/* SPDX-License-Identifier: MIT */
#include "settings_text.h"
#include <stddef.h>
#include <string.h>

#define FIELD(f) offsetof(struct settings, f)

static const char *const dialects[] = {"mp_convert", "convert", "socks5", NULL};
static const char *const failures[] = {"fail", "direct", NULL};
static const char *const nonblocks[] = {"swap", "block", NULL};
static const char *const tfos[] = {"auto", "on", "off", NULL};
static const char *const udps[] = {"pass", "refuse", NULL};
static const char *const sockopts[] = {"lenient", "strict", NULL};

/* clang-format off */
static const struct setting table[] = {
    {"MPCONVERT_PROXY",           SETTING_PROXIES, FIELD(proxy),          0, 0, NULL, "", false,
     "Concentrators in order of preference: ADDRESS:PORT, comma-separated"},
    {"MPCONVERT_DIALECT",         SETTING_DIALECT, FIELD(dialect),        0, 0, dialects, "mp_convert", false,
     "How they are asked: mp_convert, convert (RFC 8803) or socks5"},
    {"MPCONVERT_USER",            SETTING_CREDENTIAL, FIELD(user),        FIELD(user_len), 0, NULL, "", false,
     "SOCKS5 user, 1 to 255 octets"},
    {"MPCONVERT_PASSWORD",        SETTING_CREDENTIAL, FIELD(password),    FIELD(password_len), 0, NULL, "", true,
     "SOCKS5 password, 1 to 255 octets"},
    {"MPCONVERT_COOKIE",          SETTING_HEX,     FIELD(cookie),         FIELD(cookie_len), 0, NULL, "", true,
     "Convert cookie in hexadecimal"},
    {"MPCONVERT_BYPASS",          SETTING_BYPASS,  FIELD(bypass),         0, 0, NULL, "", false,
     "Destinations left alone: CIDR or CIDR:PORT, comma-separated; default loopback and link-local"},
    {"MPCONVERT_BYPASS_LOCAL",    SETTING_BOOL,    FIELD(bypass_local),   0, 0, NULL, "0", false,
     "1: leave the networks of this host's interfaces alone, too"},
    {"MPCONVERT_ON_FAILURE",      SETTING_CHOICE,  FIELD(on_failure),     0, 0, failures, "fail", false,
     "When no concentrator can be reached: fail or direct"},
    {"MPCONVERT_NONBLOCK",        SETTING_CHOICE,  FIELD(nonblock),       0, 0, nonblocks, "swap", false,
     "Non-blocking sockets: swap (a placeholder until the answer) or block"},
    {"MPCONVERT_TFO",             SETTING_CHOICE,  FIELD(tfo),            0, 0, tfos, "auto", false,
     "The request in the SYN: auto, on or off"},
    {"MPCONVERT_MPTCP",           SETTING_BOOL,    FIELD(mptcp),          0, 0, NULL, "1", false,
     "0: plain TCP towards the concentrator"},
    {"MPCONVERT_RECEIVE_BUFFER",  SETTING_SIZE,    FIELD(receive_buffer), 0, 1U << 30, NULL, "4M", false,
     "Receive buffer in octets, with k, M or G; 0 leaves it alone"},
    {"MPCONVERT_CONNECT_SECONDS", SETTING_SECONDS, FIELD(connect_ms),     1, 600, NULL, "30", false,
     "How long a connect() may take in all, in seconds"},
    {"MPCONVERT_UDP443",          SETTING_CHOICE,  FIELD(udp443),         0, 0, udps, "pass", false,
     "QUIC (UDP port 443): pass or refuse"},
    {"MPCONVERT_REMOTE_DNS",      SETTING_BOOL,    FIELD(remote_dns),     0, 0, NULL, "0", false,
     "1: names are resolved by the concentrator (socks5 only)"},
    {"MPCONVERT_LOCAL_NAMES",     SETTING_TEXT,    FIELD(local_names),    0, SETTINGS_NAMES_MAX, NULL, "", false,
     "With remote DNS: suffixes resolved here, comma-separated"},
    {"MPCONVERT_SOCKOPT",         SETTING_CHOICE,  FIELD(sockopt),        0, 0, sockopts, "lenient", false,
     "Socket options that MPTCP lacks: lenient (ignored when harmless) or strict"},
    {"MPCONVERT_LOG",             SETTING_TEXT,    FIELD(log),            0, SETTINGS_NAMES_MAX, NULL, "", false,
     "File to append to; none: silent"},
    {"MPCONVERT_RUN",             SETTING_TEXT,    FIELD(run),            0, SETTINGS_NAMES_MAX, NULL, "", false,
     "What the programs of one run share; set by mpconvert run"},
    {"MPCONVERT_CACHE",           SETTING_TEXT,    FIELD(cache),          0, SETTINGS_NAMES_MAX, NULL, "auto", false,
     "What is known of the concentrators: a file, auto or none"},
};
/* clang-format on */

enum { SETTINGS = sizeof table / sizeof table[0] };

unsigned settings_count(void)
{
    return SETTINGS;
}

const char *settings_name(unsigned i)
{
    return table[i].name;
}

const char *settings_help(unsigned i)
{
    return table[i].help;
}

bool settings_secret(unsigned i)
{
    return table[i].secret;
}

const char *settings_value(const struct settings *s, unsigned i, char *text)
{
    setting_print(&table[i], s, text);
    return text;
}

void settings_default(struct settings *s)
{
    memset(s, 0, sizeof *s);
    for (unsigned i = 0; i < SETTINGS; i++)
        (void)setting_parse(&table[i], table[i].fallback, s); /* the table is right: tested */
}

static bool complain(struct settings_error *err, const struct setting *k, const char *value,
                     const char *why)
{
    struct text t = text_into(err->text, sizeof err->text);

    text_add(&t, k->name);
    if (value != NULL) {
        text_add(&t, ": '");
        text_add_printable(&t, k->secret ? "..." : value);
        text_add(&t, "'");
    }
    text_add(&t, ": ");
    text_add(&t, why);
    return false;
}

bool settings_set(struct settings *s, const char *name, const char *value,
                  struct settings_error *err)
{
    for (unsigned i = 0; i < SETTINGS; i++) {
        if (strcmp(table[i].name, name) != 0)
            continue;
        const char *why =
            setting_parse(&table[i], *value == '\0' ? table[i].fallback : value, s);
        return why == NULL || complain(err, &table[i], value, why);
    }
    struct text t = text_into(err->text, sizeof err->text);
    text_add_printable(&t, name);
    text_add(&t, ": no such setting");
    return false;
}

static const struct setting *key(size_t field)
{
    unsigned i = 0;

    while (table[i].field != field)
        i++;
    return &table[i];
}

bool settings_check(const struct settings *s, struct settings_error *err)
{
    bool socks = s->dialect == PROTOCOL_SOCKS5;

    if (s->proxies == 0)
        return complain(err, key(FIELD(proxy)), NULL, "no concentrator is given");
    if (s->user_len != 0 && s->password_len == 0)
        return complain(err, key(FIELD(password)), NULL, "a user without a password");
    if (s->user_len == 0 && s->password_len != 0)
        return complain(err, key(FIELD(user)), NULL, "a password without a user");
    if (s->user_len != 0 && !socks)
        return complain(err, key(FIELD(user)), NULL, "only the dialect socks5 carries it");
    if (s->cookie_len != 0 && s->dialect != PROTOCOL_CONVERT)
        return complain(err, key(FIELD(cookie)), NULL, "only the dialect convert carries it");
    if (s->remote_dns && !socks)
        return complain(err, key(FIELD(remote_dns)), NULL,
                        "only the dialect socks5 carries names");
    return true;
}

bool settings_from(struct settings *s, const char *(*get)(const char *name),
                   struct settings_error *err)
{
    settings_default(s);
    for (unsigned i = 0; i < SETTINGS; i++) {
        const char *value = get(table[i].name);
        if (value != NULL && !settings_set(s, table[i].name, value, err))
            return false;
    }
    return settings_check(s, err);
}
