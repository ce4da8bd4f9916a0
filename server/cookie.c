/* SPDX-License-Identifier: MIT */
/* cookie - loading turns every secret into a keyed HMAC context or digest and wipes the text;
 * checking then never sees one.
 *
 * A computed cookie carries its key's id and its epoch in clear, so only the right key is
 * tried, once: what an observer can time is what the cookie says anyway. Static cookies are
 * compared by digest under a random key, all of them, whether an earlier one matched or not:
 * neither length nor place nor a common prefix shows in the time taken. When the HMAC fails
 * (out of memory) a made cookie is zeros, which no check accepts, and a check says INVALID. */
#include "cookie.h"
#include "mac.h"
#include "secretfile.h"

enum {
    HEAD_LEN = 4, /* key id, 0, epoch */
    KEY_MIN = 16,
    KEY_MAX = 64,
    LIVE_KEYS = 2,
    VALUE_MAX =
        1012, /* what fits a Cookie TLV beside the fixed header, RFC 8803 s6.1 and s6.2.7 */
    DIGEST_LEN = 16,   /* of the MAC: nobody can search for a second cookie without the key */
    STATIC_MAX = 4096, /* each costs every check some 7 ns */
};
static const char label[] = "mcp-convert-cookie-v1"; /* with its NUL */

struct live_key {
    EVP_MAC_CTX *mac;
    uint8_t id;
};
struct static_cookie {
    uint8_t digest[DIGEST_LEN];
    char *name; /* NULL: none */
};
struct cookie_keys {
    struct live_key key[LIVE_KEYS];
    size_t key_count;
    struct static_cookie *item;
    size_t item_count;
    EVP_MAC_CTX *static_mac; /* under a random key; NULL when there are no static cookies */
    bool bind_prefix64;
};

/* Cookies that differ only in the padding a TLV needs are one cookie: the wire cannot tell them
 * apart. */
static bool static_digest(const EVP_MAC_CTX *keyed, struct span cookie, uint8_t out[DIGEST_LEN])
{
    uint8_t padded[VALUE_MAX] = {0}, mac[MAC_LEN];

    if (cookie.len == 0 || cookie.len > sizeof padded)
        return false;
    memcpy(padded, cookie.ptr, cookie.len);
    bool ok = mac_of(keyed, span_of(padded, (cookie.len + 3) / 4 * 4), mac);
    OPENSSL_cleanse(padded, cookie.len);
    if (ok)
        memcpy(out, mac, DIGEST_LEN);
    return ok;
}

/* --- files --- */

static int hex_value(char c)
{
    static const char digits[] = "0123456789abcdef";
    const char *at =
        c == '\0' ? NULL : strchr(digits, c >= 'A' && c <= 'F' ? c - 'A' + 'a' : c);

    return at == NULL ? -1 : (int)(at - digits);
}

/* Number of octets, or 0 when it is not hex or does not fit. */
static size_t parse_hex(const char *text, uint8_t *out, size_t cap)
{
    size_t n = strlen(text);

    if (n % 2 != 0 || n / 2 > cap)
        return 0;
    for (size_t i = 0; i < n / 2; i++) {
        int hi = hex_value(text[2 * i]), lo = hex_value(text[2 * i + 1]);

        if (hi < 0 || lo < 0)
            return 0;
        out[i] = (uint8_t)(hi << 4 | lo);
    }
    return n / 2;
}

/* Cuts `line` into at most `max` words; returns how many there are (max + 1 for more). */
static size_t split(char *line, char **word, size_t max)
{
    static const char blank[] = " \t";
    size_t count = 0;

    for (line += strspn(line, blank); *line != '\0'; line += strspn(line, blank)) {
        if (count == max)
            return max + 1;
        word[count++] = line;
        line += strcspn(line, blank);
        if (*line != '\0')
            *line++ = '\0';
    }
    return count;
}

static bool parse_key_id(const char *text, uint8_t *id)
{
    unsigned v = 0;

    if (text[0] == '\0' || strlen(text) > 3)
        return false;
    for (; *text != '\0'; text++) {
        if (*text < '0' || *text > '9')
            return false;
        v = v * 10 + (unsigned)(*text - '0');
    }
    *id = (uint8_t)v;
    return v <= UINT8_MAX;
}

/* Only the first two keys live; further ones are checked, and wait for their turn. */
static bool add_key(struct cookie_keys *k, uint8_t id, struct span key)
{
    struct live_key *live = &k->key[k->key_count];

    if (k->key_count == LIVE_KEYS)
        return true;
    *live = (struct live_key){.mac = mac_new(key), .id = id};
    if (live->mac == NULL)
        return false;
    k->key_count++;
    return true;
}

static bool load_key(struct cookie_keys *k, const struct secretfile *f, char *line,
                     bool seen[UINT8_MAX + 1], struct conf_error *err)
{
    uint8_t key[KEY_MAX], id = 0;
    char *word[2];

    if (split(line, word, 2) != 2 || !parse_key_id(word[0], &id))
        return secretfile_fail(f, err, "expected: id (0..255), a blank, the key in hex");
    if (seen[id])
        return secretfile_fail(f, err, "key id %u again", id);
    seen[id] = true;
    size_t len = parse_hex(word[1], key, sizeof key);
    bool added = len >= KEY_MIN && add_key(k, id, span_of(key, len));
    OPENSSL_cleanse(key, sizeof key);
    if (len < KEY_MIN)
        return secretfile_fail(f, err, "a key is %d..%d octets in hex", KEY_MIN, KEY_MAX);
    return added || secretfile_fail(f, err, "out of memory");
}

static bool load_keys(struct cookie_keys *k, const char *path, struct conf_error *err)
{
    bool seen[UINT8_MAX + 1] = {false};
    struct secretfile f;
    bool ok = secretfile_read(&f, path, S_IRWXO, err);
    char *line;

    if (!ok)
        return false;
    while (ok && (line = secretfile_next(&f)) != NULL)
        ok = load_key(k, &f, line, seen, err);
    if (ok && k->key_count == 0)
        ok = secretfile_fail(&f, err, "no key");
    secretfile_done(&f);
    return ok;
}

static bool make_key(struct cookie_keys *k, struct conf_error *err)
{
    k->key[0] = (struct live_key){.mac = mac_new_random(), .id = 0};
    if (k->key[0].mac == NULL) {
        (void)snprintf(err->text, sizeof err->text, "cookie: no randomness or out of memory");
        return false;
    }
    k->key_count = 1;
    return true;
}

/* False: out of memory. */
static bool add_static(struct cookie_keys *k, struct span value, const char *name)
{
    struct static_cookie *c = &k->item[k->item_count++];

    c->name = name == NULL ? NULL : strdup(name);
    return static_digest(k->static_mac, value, c->digest) && (name == NULL || c->name != NULL);
}

static bool load_static(struct cookie_keys *k, const struct secretfile *f, char *line,
                        struct conf_error *err)
{
    static const char hex[] = "hex:";
    uint8_t value[VALUE_MAX];
    char *word[2];
    size_t words = split(line, word, 2), len;

    if (words == 0)
        return true; /* blanks only */
    if (words > 2)
        return secretfile_fail(f, err, "expected: a cookie, or a name and a cookie");
    const char *text = word[words - 1];
    bool is_hex = strncmp(text, hex, strlen(hex)) == 0;
    len = is_hex ? parse_hex(text + strlen(hex), value, sizeof value) : strlen(text);
    if (len == 0 || len > sizeof value)
        return secretfile_fail(f, err, "a cookie is 1..%d octets, as text or as hex:...",
                               VALUE_MAX);
    if (k->item_count == STATIC_MAX)
        return secretfile_fail(f, err, "more than %d cookies", STATIC_MAX);
    bool added = add_static(k, span_of(is_hex ? (const void *)value : text, len),
                            words == 2 ? word[0] : NULL);
    OPENSSL_cleanse(value, sizeof value);
    if (!added)
        return secretfile_fail(f, err, "out of memory");
    for (size_t i = 0; i + 1 < k->item_count; i++) {
        if (memcmp(k->item[i].digest, k->item[k->item_count - 1].digest, DIGEST_LEN) == 0)
            return secretfile_fail(f, err, "this cookie stands in the file twice");
    }
    return true;
}

static bool load_statics(struct cookie_keys *k, const char *path, struct conf_error *err)
{
    struct secretfile f;
    char *line;
    bool ok = secretfile_read(&f, path, S_IRWXO, err);

    if (!ok)
        return false;
    k->static_mac = mac_new_random();
    k->item = calloc(STATIC_MAX, sizeof *k->item);
    if (k->static_mac == NULL || k->item == NULL)
        ok = secretfile_fail(&f, err, "no randomness or out of memory");
    while (ok && (line = secretfile_next(&f)) != NULL)
        ok = load_static(k, &f, line, err);
    secretfile_done(&f);
    return ok;
}

struct cookie_keys *cookie_keys_load(enum cookie_mode mode, const char *static_file,
                                     const char *keys_file, bool bind_prefix64,
                                     struct conf_error *err)
{
    struct cookie_keys *k = calloc(1, sizeof *k);
    bool ok = true;

    if (k == NULL) {
        (void)snprintf(err->text, sizeof err->text, "cookie: out of memory");
        return NULL;
    }
    k->bind_prefix64 = bind_prefix64;
    if (mode == COOKIE_STATIC || mode == COOKIE_BOTH) {
        ok = static_file != NULL;
        if (!ok)
            (void)snprintf(err->text, sizeof err->text,
                           "cookie.static_file: needed for static cookies");
        ok = ok && load_statics(k, static_file, err);
    }
    if (ok && (mode == COOKIE_COMPUTED || mode == COOKIE_BOTH))
        ok = keys_file != NULL ? load_keys(k, keys_file, err) : make_key(k, err);
    if (ok)
        return k;
    cookie_keys_free(k);
    return NULL;
}

void cookie_keys_free(struct cookie_keys *k)
{
    if (k == NULL)
        return;
    for (size_t i = 0; i < k->key_count; i++)
        EVP_MAC_CTX_free(k->key[i].mac); /* wipes the key */
    EVP_MAC_CTX_free(k->static_mac);
    for (size_t i = 0; i < k->item_count; i++)
        free(k->item[i].name);
    if (k->item != NULL)
        OPENSSL_cleanse(k->item, STATIC_MAX * sizeof *k->item);
    free(k->item);
    OPENSSL_cleanse(k, sizeof *k);
    free(k);
}

/* --- cookies --- */

bool cookie_computes(const struct cookie_keys *k)
{
    return k->key_count > 0;
}

static bool compute(const struct cookie_keys *k, const struct live_key *key,
                    const struct addr *client, uint16_t epoch, uint8_t out[COOKIE_LEN])
{
    static const uint8_t mapped[12] = {[10] = 0xff, [11] = 0xff};
    uint8_t text[sizeof label + HEAD_LEN + 16], mac[MAC_LEN];
    struct wr w = {.buf = text, .cap = sizeof text};
    struct addr a = addr_unmap(*client);

    wr_bytes(&w, label, sizeof label);
    wr_u8(&w, key->id);
    wr_u8(&w, 0);
    wr_be16(&w, epoch);
    if (a.family == ADDR_IPV6) {
        a = addr_mask(&a, k->bind_prefix64 ? 64 : 128);
        wr_bytes(&w, a.ip, 16);
    } else {
        wr_bytes(&w, mapped, sizeof mapped);
        wr_bytes(&w, a.ip, 4);
    }
    if (!mac_of(key->mac, wr_done(&w), mac))
        return false;
    memcpy(out, text + sizeof label, HEAD_LEN);
    memcpy(out + HEAD_LEN, mac, COOKIE_LEN - HEAD_LEN);
    return true;
}

static uint16_t epoch_at(uint64_t wall_s)
{
    return (uint16_t)(wall_s / COOKIE_EPOCH_SECONDS);
}

void cookie_make(const struct cookie_keys *k, const struct addr *client, uint64_t wall_s,
                 uint8_t out[COOKIE_LEN])
{
    ASSERT(cookie_computes(k));
    if (!compute(k, &k->key[0], client, epoch_at(wall_s), out))
        memset(out, 0, COOKIE_LEN);
}

static bool computed_matches(const struct cookie_keys *k, const struct addr *client,
                             struct span cookie, uint64_t wall_s)
{
    uint8_t given[COOKIE_LEN] = {0}, right[COOKIE_LEN];

    if (cookie.len == 0 || (cookie.len + 3) / 4 * 4 != COOKIE_LEN)
        return false;
    memcpy(given, cookie.ptr, cookie.len);
    uint16_t epoch = (uint16_t)((unsigned)given[2] << 8 | given[3]);
    uint16_t age = (uint16_t)(epoch_at(wall_s) - epoch);
    if (age > 1)
        return false;
    for (size_t i = 0; i < k->key_count; i++) {
        if (k->key[i].id == given[0])
            return compute(k, &k->key[i], client, epoch, right) &&
                   CRYPTO_memcmp(given, right, COOKIE_LEN) == 0;
    }
    return false;
}

static const struct static_cookie *static_match(const struct cookie_keys *k, struct span cookie)
{
    const struct static_cookie *match = NULL;
    uint8_t digest[DIGEST_LEN];

    if (k->static_mac == NULL || !static_digest(k->static_mac, cookie, digest))
        return NULL;
    for (size_t i = 0; i < k->item_count; i++) {
        if (CRYPTO_memcmp(k->item[i].digest, digest, DIGEST_LEN) == 0)
            match = &k->item[i];
    }
    return match;
}

enum cookie_verdict cookie_check(const struct cookie_keys *k, const struct addr *client,
                                 struct span cookie, uint64_t wall_s, const char **name)
{
    const struct static_cookie *match = static_match(k, cookie);
    bool computed = computed_matches(k, client, cookie, wall_s);

    if (name != NULL)
        *name = match == NULL || computed ? NULL : match->name;
    if (computed)
        return COOKIE_VALID_COMPUTED;
    return match != NULL ? COOKIE_VALID_STATIC : COOKIE_INVALID;
}
