/* SPDX-License-Identifier: MIT */
/* Happy path: the row of a name, its kind's parser, the field. Failure: the parser's complaint
 * becomes "NAME: 'part': why"; a secret's text is never in it. */
#include "settings.h"
#include "settings_text.h"

enum {
    RECEIVE_BUFFER_MAX = 1 << 30, /* the kernel doubles it in an int */
    QUOTED_MAX = 120,             /* of a bad value */
};

/* clang-format off */
static const struct settings_choice dialects[] = {
    {"mp_convert", PROTOCOL_MP_CONVERT}, {"convert", PROTOCOL_CONVERT}, {"socks5", PROTOCOL_SOCKS5}, {NULL, 0}};
static const struct settings_choice failures[] = {{"fail", SETTINGS_FAIL}, {"direct", SETTINGS_DIRECT}, {NULL, 0}};
static const struct settings_choice nonblocks[] = {{"swap", SETTINGS_SWAP}, {"block", SETTINGS_BLOCK}, {NULL, 0}};
static const struct settings_choice tfos[] = {
    {"auto", SETTINGS_TFO_AUTO}, {"on", SETTINGS_TFO_ON}, {"off", SETTINGS_TFO_OFF}, {NULL, 0}};
static const struct settings_choice exacts[] = {{"auto", SETTINGS_EXACT_AUTO}, {"off", SETTINGS_EXACT_OFF}, {NULL, 0}};
static const struct settings_choice learneds[] = {
    {"off", SETTINGS_LEARNED_OFF}, {"auto", SETTINGS_LEARNED_AUTO}, {NULL, 0}};
static const struct settings_choice udp443s[] = {
    {"pass", SETTINGS_UDP443_PASS}, {"refuse", SETTINGS_UDP443_REFUSE}, {NULL, 0}};
static const struct settings_choice sockopts[] = {
    {"lenient", SETTINGS_LENIENT}, {"strict", SETTINGS_STRICT}, {NULL, 0}};

/* NOLINTBEGIN(bugprone-macro-parentheses): designators */
#define AT(member) .offset = offsetof(struct settings, member)
#define KIND(what) .kind = &settings_kind_##what
/* NOLINTEND(bugprone-macro-parentheses) */
static const struct settings_row rows[] = {
    {"MPCONVERT_PROXY", "", "concentrators in order of preference: ADDRESS:PORT[,...]", KIND(proxies), AT(proxy)},
    {"MPCONVERT_DIALECT", "mp_convert", "mp_convert, convert (RFC 8803) or socks5", KIND(choice), AT(dialect),
     .choices = dialects},
    {"MPCONVERT_USER", "", "user name (socks5)", KIND(text), AT(user),
     .len_offset = offsetof(struct settings, user_len)},
    {"MPCONVERT_PASSWORD", "", "password (socks5)", KIND(text), AT(password),
     .len_offset = offsetof(struct settings, password_len), .secret = true},
    {"MPCONVERT_COOKIE", "", "cookie in hexadecimal (convert)", KIND(hex), AT(cookie),
     .len_offset = offsetof(struct settings, cookie_len), .secret = true},
    {"MPCONVERT_BYPASS", "127.0.0.0/8,::1,169.254.0.0/16,fe80::/10,0.0.0.0/8,::",
     "what is left alone: CIDR, CIDR:PORT or [CIDR]:PORT[,...], or none", KIND(bypass), AT(bypass)},
    {"MPCONVERT_BYPASS_LOCAL", "0", "1: leave this host's own networks alone, too", KIND(flag), AT(bypass_local)},
    {"MPCONVERT_NATIVE", "none", "targets that speak Multipath TCP themselves, as in MPCONVERT_BYPASS, or none",
     KIND(bypass), AT(native)},
    {"MPCONVERT_BYPASS_LEARNED", "off", "off or auto: connect directly to targets a converter said it of", KIND(choice),
     AT(bypass_learned), .choices = learneds},
    {"MPCONVERT_LEARNED_SECONDS", "86400", "1 to 604800: how long that is remembered", KIND(number), AT(learned_ms),
     .min = 1, .max = 604800, .scale = 1000},
    {"MPCONVERT_ON_FAILURE", "fail", "fail or direct: when no concentrator can be reached", KIND(choice),
     AT(on_failure), .choices = failures},
    {"MPCONVERT_NONBLOCK", "swap", "swap or block: how a non-blocking connect() waits", KIND(choice), AT(nonblock),
     .choices = nonblocks},
    {"MPCONVERT_TFO", "auto", "auto, on or off: the request in the SYN", KIND(choice), AT(tfo), .choices = tfos},
    {"MPCONVERT_EXACT", "auto", "auto or off: connect in place where the concentrator is exact", KIND(choice),
     AT(exact), .choices = exacts},
    {"MPCONVERT_MPTCP", "1", "0: plain TCP towards the concentrator", KIND(flag), AT(mptcp)},
    {"MPCONVERT_RECEIVE_BUFFER", "4M", "octets (K, M, G), 0 to 1G; 0 leaves it to the kernel", KIND(number),
     AT(receive_buffer), .max = RECEIVE_BUFFER_MAX, .scale = 1},
    {"MPCONVERT_CONNECT_SECONDS", "30", "1 to 600: how long a connect() may take", KIND(number), AT(connect_ms),
     .min = 1, .max = 600, .scale = 1000},
    {"MPCONVERT_UDP443", "pass", "pass or refuse: QUIC", KIND(choice), AT(udp443), .choices = udp443s},
    {"MPCONVERT_REMOTE_DNS", "0", "1: names are resolved by the concentrator (socks5)", KIND(flag), AT(remote_dns)},
    {"MPCONVERT_LOCAL_NAMES", "", "suffixes of names that are resolved here all the same", KIND(suffixes),
     AT(local_names)},
    {"MPCONVERT_SOCKOPT", "lenient", "lenient or strict: socket options that MPTCP lacks", KIND(choice),
     AT(sockopt), .choices = sockopts},
    {"MPCONVERT_LOG", "", "a file to append to", KIND(path), AT(log)},
    {"MPCONVERT_RUN", "", "the file that the programs of a run share", KIND(path), AT(run)},
    {"MPCONVERT_CACHE", "auto", "what is known of concentrators: a file, none, or auto", KIND(path), AT(cache)},
};
/* clang-format on */
enum { ROWS = sizeof rows / sizeof rows[0] };

unsigned settings_count(void)
{
    return ROWS;
}

const char *settings_name(unsigned i)
{
    return i < ROWS ? rows[i].name : NULL;
}

const char *settings_help(unsigned i)
{
    return i < ROWS ? rows[i].help : NULL;
}

bool settings_secret(unsigned i)
{
    return i < ROWS && rows[i].secret;
}

const char *settings_value(const struct settings *s, unsigned i, char *text)
{
    text[0] = '\0';
    if (i < ROWS)
        rows[i].kind->print(&rows[i], s, text);
    return text;
}

/* --- errors */

struct message {
    struct settings_error *err;
    size_t len;
};

static void say(struct message *m, const char *text)
{
    size_t len = strlen(text), left = sizeof m->err->text - 1 - m->len;

    if (len > left)
        len = left;
    memcpy(m->err->text + m->len, text, len);
    m->len += len;
    m->err->text[m->len] = '\0';
}

/* 'text' with '?' for what a terminal might obey. */
static void quote(struct message *m, struct span text)
{
    char copy[QUOTED_MAX + 1];
    size_t len = text.len < QUOTED_MAX ? text.len : QUOTED_MAX;

    for (size_t i = 0; i < len; i++) {
        uint8_t c = text.ptr[i];

        copy[i] = (char)(c < 0x20 || c == 0x7F ? '?' : c);
    }
    copy[len] = '\0';
    say(m, "'");
    say(m, copy);
    say(m, len < text.len ? "...'" : "'");
}

static struct message message_of(struct settings_error *err, const char *name)
{
    struct message m = {.err = err};

    err->text[0] = '\0';
    say(&m, name);
    say(&m, ": ");
    return m;
}

static void say_choices(struct message *m, const struct settings_choice *c)
{
    say(m, "not ");
    for (size_t i = 0; c[i].text != NULL; i++) {
        if (i > 0)
            say(m, c[i + 1].text == NULL ? " or " : ", ");
        say(m, c[i].text);
    }
}

static void say_number(struct message *m, uint32_t value)
{
    char digits[11];
    size_t first = sizeof digits - 1;
    bool whole = value != 0 && value % (1U << 30) == 0;

    if (whole)
        value >>= 30;
    digits[first] = '\0';
    do {
        digits[--first] = (char)('0' + value % 10);
        value /= 10;
    } while (value > 0);
    say(m, digits + first);
    if (whole)
        say(m, "G");
}

static bool fail_row(const struct settings_row *row, const struct settings_complaint *why,
                     struct settings_error *err)
{
    struct message m = message_of(err, row->name);

    if (!row->secret) {
        quote(&m, why->bad);
        say(&m, ": ");
    }
    if (why->why != NULL) {
        say(&m, why->why);
    } else if (row->choices != NULL) {
        say_choices(&m, row->choices);
    } else {
        say(&m, "not a number from ");
        say_number(&m, row->min);
        say(&m, " to ");
        say_number(&m, row->max);
    }
    return false;
}

static bool fail(struct settings_error *err, const char *name, const char *why,
                 const char *more)
{
    struct message m = message_of(err, name);

    say(&m, why);
    say(&m, more);
    return false;
}

/* --- values */

static void empty(const struct settings_row *row, struct settings *s)
{
    char *at = (char *)s + row->offset;

    if (row->kind == &settings_kind_proxies) {
        memset(s->proxy, 0, sizeof s->proxy);
        s->proxies = 0;
    } else if (row->kind == &settings_kind_text || row->kind == &settings_kind_hex) {
        memset(at, 0, SETTINGS_TEXT_MAX);
        *((uint8_t *)s + row->len_offset) = 0;
    } else {
        memset(at, 0, SETTINGS_NAMES_MAX); /* suffixes and paths: nothing else has no text */
    }
}

static bool apply(const struct settings_row *row, struct settings *s, const char *value,
                  struct settings_complaint *why)
{
    if (*value == '\0')
        value = row->fallback;
    if (*value == '\0') {
        empty(row, s);
        return true;
    }
    return row->kind->parse(row, s, value, why);
}

void settings_default(struct settings *s)
{
    struct settings_complaint none;

    memset(s, 0, sizeof *s);
    for (size_t i = 0; i < ROWS; i++)
        (void)apply(&rows[i], s, "", &none); /* the table's own texts are good: see the test */
}

bool settings_set(struct settings *s, const char *name, const char *value,
                  struct settings_error *err)
{
    struct settings_complaint why = {.why = NULL};

    for (size_t i = 0; i < ROWS; i++) {
        if (strcmp(rows[i].name, name) == 0)
            return apply(&rows[i], s, value, &why) || fail_row(&rows[i], &why, err);
    }
    err->text[0] = '\0';
    struct message m = {.err = err};
    quote(&m, span_of(name, strlen(name)));
    say(&m, ": no such setting");
    return false;
}

static const char *dialect_text(const struct settings *s)
{
    for (const struct settings_choice *c = dialects; c->text != NULL; c++) {
        if (c->value == (unsigned)s->dialect)
            return c->text;
    }
    return "this dialect";
}

bool settings_check(const struct settings *s, struct settings_error *err)
{
    const char *dialect = dialect_text(s);

    if (s->user_len > 0 && s->dialect != PROTOCOL_SOCKS5)
        return fail(err, "MPCONVERT_USER", "only socks5 carries it, not ", dialect);
    if (s->password_len > 0 && s->dialect != PROTOCOL_SOCKS5)
        return fail(err, "MPCONVERT_PASSWORD", "only socks5 carries it, not ", dialect);
    if (s->cookie_len > 0 && s->dialect != PROTOCOL_CONVERT)
        return fail(err, "MPCONVERT_COOKIE", "only convert carries it, not ", dialect);
    if (s->user_len > 0 && s->password_len == 0)
        return fail(err, "MPCONVERT_USER", "needs ", "MPCONVERT_PASSWORD");
    if (s->password_len > 0 && s->user_len == 0)
        return fail(err, "MPCONVERT_PASSWORD", "needs ", "MPCONVERT_USER");
    if (s->remote_dns && s->dialect != PROTOCOL_SOCKS5)
        return fail(err, "MPCONVERT_REMOTE_DNS", "only socks5 carries names, not ", dialect);
    if (s->proxies == 0)
        return fail(err, "MPCONVERT_PROXY", "not set: ", "no concentrator");
    return true;
}

static bool set_all(struct settings *s, const char *(*get)(const char *name),
                    struct settings_error *err)
{
    for (size_t i = 0; i < ROWS; i++) {
        const char *value = get(rows[i].name);

        if (value != NULL && !settings_set(s, rows[i].name, value, err))
            return false;
    }
    return settings_check(s, err);
}

bool settings_from(struct settings *s, const char *(*get)(const char *name),
                   struct settings_error *err)
{
    struct settings_error ignored;

    settings_default(s);
    if (set_all(s, get, err))
        return true;
    /* Everything is left alone then; what is wrong can be told to the log all the same. */
    settings_default(s);
    const char *log = get("MPCONVERT_LOG");
    if (log != NULL)
        (void)settings_set(s, "MPCONVERT_LOG", log, &ignored); /* or it stays silent */
    return false;
}
