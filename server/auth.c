/* SPDX-License-Identifier: MIT */
/* auth - the users file, sorted by name; and the cache of good answers.
 *
 * Verifying hashes exactly once for every question, whoever it is about: unknown and disabled
 * users are hashed against the file's first hash, so they cost what a known user costs (as long
 * as the file uses one method and cost). Whatever crypt(3) cannot hash - a NUL inside, too
 * long, out of memory - is a wrong password.
 *
 * The cache keeps no password and no name: an entry is found by an HMAC over the loaded file's
 * random id, the name and the password, under a key that never leaves the process. A reloaded
 * file has a new id, so its answers are asked anew. When an HMAC fails the cache knows nothing
 * and keeps nothing. */
#include "auth.h"
#include "base/list.h"
#include "mac.h"
#include "secretfile.h"
#include <crypt.h>
#include <stdatomic.h>

enum {
    FIELD_MAX = 255,   /* RFC 1929 s2: one length octet each */
    USERS_MAX = 65536, /* lines */
    TAIL_MIN = 22, /* octets behind the last '$' of the shortest hash (MD5); less is a setting
                      without a hash */
    USERS_ID_LEN = 16,
    CACHE_MAX = 1 << 20,
};

struct user {
    char *name;       /* owned; the hash lies behind its NUL */
    const char *hash; /* NULL: disabled */
    size_t line;
};
struct auth_users {
    atomic_uint refs;
    uint8_t id[USERS_ID_LEN]; /* random: tells this load from every other, even at the same
                                 address */
    struct user *item;        /* sorted by name */
    size_t count, room;
    const char *first_hash; /* of any user; NULL: the file has none */
};

const char *auth_verdict_name(enum auth_verdict v)
{
    static const char *const names[AUTH_VERDICT_COUNT] = {
        [AUTH_OK] = "ok",
        [AUTH_BAD_CREDENTIALS] = "bad_credentials",
        [AUTH_UNKNOWN_USER] = "unknown_user",
        [AUTH_DISABLED] = "disabled",
        [AUTH_ASK] = "ask",
    };

    return (unsigned)v < AUTH_VERDICT_COUNT ? names[v] : "unknown";
}

/* --- users file --- */

/* The hash is one that crypt(3) could have written. Traditional DES hashes have no '$' and are
 * not taken: they see eight characters of the password only, and a password in clear would pass
 * for one. */
static bool plausible_hash(const char *hash)
{
    const char *last = strrchr(hash, '$');

    if (hash[0] != '$' || last == NULL || strlen(last + 1) < TAIL_MIN ||
        strlen(hash) >= CRYPT_OUTPUT_SIZE || strpbrk(hash, ":;*!\\ \t") != NULL)
        return false;
    int salt = crypt_checksalt(hash);
    return salt != CRYPT_SALT_INVALID && salt != CRYPT_SALT_METHOD_DISABLED;
}

static bool make_room(struct auth_users *u)
{
    size_t room = u->room == 0 ? 16 : 2 * u->room;
    struct user *item;

    if (u->count < u->room)
        return true;
    item = realloc(u->item, room * sizeof *item);
    if (item == NULL)
        return false;
    u->item = item;
    u->room = room;
    return true;
}

static bool add_user(struct auth_users *u, const char *line, size_t name_len, bool disabled,
                     size_t line_number)
{
    char *name = make_room(u) ? strdup(line) : NULL;

    if (name == NULL)
        return false;
    const char *hash = name + name_len + 1;
    name[name_len] = '\0';
    u->item[u->count++] =
        (struct user){.name = name, .hash = disabled ? NULL : hash, .line = line_number};
    hash += strspn(hash, "!*"); /* "name:!hash" still says how this file hashes */
    if (u->first_hash == NULL && plausible_hash(hash))
        u->first_hash = hash;
    return true;
}

static bool load_user(struct auth_users *u, const struct secretfile *f, const char *line,
                      struct conf_error *err)
{
    size_t name_len = strcspn(line, ":");

    if (line[name_len] == '\0' || name_len == 0 || name_len > FIELD_MAX)
        return secretfile_fail(f, err, "expected: name (1..%d octets), a colon, hash",
                               FIELD_MAX);
    const char *hash = line + name_len + 1;
    bool disabled = hash[0] == '!' || hash[0] == '*';
    if (!disabled && !plausible_hash(hash))
        return secretfile_fail(f, err, "not a hash of a method that crypt(3) knows here");
    if (u->count == USERS_MAX)
        return secretfile_fail(f, err, "more than %d users", USERS_MAX);
    return add_user(u, line, name_len, disabled, f->line) ||
           secretfile_fail(f, err, "out of memory");
}

static int compare_users(const void *a, const void *b)
{
    const struct user *x = a, *y = b;
    int by_name = strcmp(x->name, y->name);

    return by_name != 0 ? by_name : x->line < y->line ? -1 : 1;
}

static bool sort_users(struct auth_users *u, struct secretfile *f, struct conf_error *err)
{
    if (u->count == 0)
        return true;
    qsort(u->item, u->count, sizeof *u->item, compare_users);
    for (size_t i = 1; i < u->count; i++) {
        if (strcmp(u->item[i - 1].name, u->item[i].name) == 0) {
            f->line = u->item[i].line;
            return secretfile_fail(f, err, "this user stands in line %zu already",
                                   u->item[i - 1].line);
        }
    }
    return true;
}

struct auth_users *auth_users_load(const char *path, struct conf_error *err)
{
    struct secretfile f;
    const char *line;

    /* Hashes are made to be seen by the few; but that nobody else may add a user is what
     * matters here. */
    if (!secretfile_read(&f, path, S_IWOTH, err))
        return NULL;
    struct auth_users *u = calloc(1, sizeof *u);
    bool ok = u != NULL && RAND_bytes(u->id, sizeof u->id) == 1;
    if (!ok)
        (void)secretfile_fail(&f, err, "no randomness or out of memory");
    else
        atomic_init(&u->refs, 1);
    while (ok && (line = secretfile_next(&f)) != NULL)
        ok = load_user(u, &f, line, err);
    ok = ok && sort_users(u, &f, err);
    secretfile_done(&f);
    if (ok)
        return u;
    auth_users_free(u);
    return NULL;
}

struct auth_users *auth_users_ref(struct auth_users *u)
{
    (void)atomic_fetch_add_explicit(&u->refs, 1, memory_order_relaxed);
    return u;
}

void auth_users_free(struct auth_users *u)
{
    /* A load that failed before its first reference has refs == 0. */
    if (u == NULL || atomic_fetch_sub_explicit(&u->refs, 1, memory_order_acq_rel) > 1)
        return;
    for (size_t i = 0; i < u->count; i++) {
        char *name = u->item[i].name;
        size_t name_len = strlen(name);

        OPENSSL_cleanse(name, name_len + 1 + strlen(name + name_len + 1));
        free(name);
    }
    free(u->item);
    free(u);
}

size_t auth_users_count(const struct auth_users *u)
{
    return u->count;
}

/* --- verify --- */

static const struct user *find_user(const struct auth_users *u, struct span name)
{
    size_t low = 0, high = u->count;

    while (low < high) {
        size_t mid = low + (high - low) / 2, len = strlen(u->item[mid].name);
        int order = memcmp(u->item[mid].name, name.ptr, len < name.len ? len : name.len);

        if (order == 0 && len == name.len)
            return &u->item[mid];
        if (order < 0 || (order == 0 && len < name.len))
            low = mid + 1;
        else
            high = mid;
    }
    return NULL;
}

static bool hash_matches(const char *hash, struct span pass)
{
    bool sane =
        pass.len <= FIELD_MAX && (pass.len == 0 || memchr(pass.ptr, 0, pass.len) == NULL);
    char text[FIELD_MAX + 1] = "";
    struct crypt_data scratch; /* 32 KiB */

    if (sane && pass.len > 0)
        memcpy(text, pass.ptr, pass.len);
    memset(&scratch, 0, sizeof scratch);
    const char *made =
        crypt_r(text, hash, &scratch); /* takes its time for insane ones as well */
    size_t len = strlen(hash);
    bool match = made != NULL && strlen(made) == len && CRYPTO_memcmp(made, hash, len) == 0;

    OPENSSL_cleanse(&scratch, sizeof scratch);
    OPENSSL_cleanse(text, sizeof text);
    return match && sane;
}

enum auth_verdict auth_verify(const struct auth_users *u, struct span user, struct span pass)
{
    const struct user *found = user.len == 0 ? NULL : find_user(u, user);
    const char *hash = found != NULL && found->hash != NULL ? found->hash : u->first_hash;
    bool match = hash != NULL && hash_matches(hash, pass);

    if (found == NULL)
        return AUTH_UNKNOWN_USER;
    if (found->hash == NULL)
        return AUTH_DISABLED;
    return match ? AUTH_OK : AUTH_BAD_CREDENTIALS;
}

/* --- cache --- */

struct answer {
    struct list lru;     /* in cache->lru, or in cache->spare */
    struct answer *next; /* same bucket */
    uint64_t until_ms;
    uint8_t mac[MAC_LEN];
};
struct auth_cache {
    EVP_MAC_CTX *mac;
    uint32_t ttl_ms;
    struct list lru, spare; /* lru: longest unused first */
    struct answer *item;
    struct answer **bucket;
    size_t bucket_mask;
};

struct auth_cache *auth_cache_new(size_t entries, uint32_t ttl_ms)
{
    struct auth_cache *c = calloc(1, sizeof *c);
    size_t buckets = 1;

    if (c == NULL)
        return NULL;
    entries = entries < CACHE_MAX ? entries : CACHE_MAX;
    while (buckets < entries)
        buckets *= 2;
    list_init(&c->lru);
    list_init(&c->spare);
    c->ttl_ms = ttl_ms;
    c->bucket_mask = buckets - 1;
    c->mac = mac_new_random();
    c->item = calloc(entries > 0 ? entries : 1, sizeof *c->item);
    c->bucket = calloc(buckets, sizeof(struct answer *));
    if (c->mac == NULL || c->item == NULL || c->bucket == NULL) {
        auth_cache_free(c);
        return NULL;
    }
    for (size_t i = 0; i < entries; i++)
        list_append(&c->spare, &c->item[i].lru);
    return c;
}

void auth_cache_free(struct auth_cache *c)
{
    if (c == NULL)
        return;
    EVP_MAC_CTX_free(c->mac);
    free(c->item);
    free(c->bucket);
    free(c);
}

static bool question(const struct auth_cache *c, const struct auth_users *u, struct span user,
                     struct span pass, uint8_t mac[MAC_LEN])
{
    uint8_t text[USERS_ID_LEN + 1 + FIELD_MAX + FIELD_MAX];
    struct wr w = {.buf = text, .cap = sizeof text};

    if (user.len > FIELD_MAX || pass.len > FIELD_MAX)
        return false;
    wr_bytes(&w, u->id, sizeof u->id);
    wr_u8(&w, (uint8_t)user.len);
    wr_bytes(&w, user.ptr, user.len);
    wr_bytes(&w, pass.ptr, pass.len);
    bool ok = mac_of(c->mac, wr_done(&w), mac);
    OPENSSL_cleanse(text, sizeof text);
    return ok;
}

/* Where the link to the answer is, or the end of its bucket. */
static struct answer **locate(const struct auth_cache *c, const uint8_t mac[MAC_LEN])
{
    uint64_t hash;

    memcpy(&hash, mac, sizeof hash);
    struct answer **link = &c->bucket[hash & c->bucket_mask];
    while (*link != NULL && CRYPTO_memcmp((*link)->mac, mac, MAC_LEN) != 0)
        link = &(*link)->next;
    return link;
}

static void forget(struct auth_cache *c, struct answer **link)
{
    struct answer *a = *link;

    if (a == NULL)
        return;
    *link = a->next;
    list_remove(&a->lru);
    list_append(&c->spare, &a->lru);
}

enum auth_verdict auth_cache_find(struct auth_cache *c, const struct auth_users *u,
                                  struct span user, struct span pass, uint64_t now_ms)
{
    uint8_t mac[MAC_LEN];

    if (!question(c, u, user, pass, mac))
        return AUTH_ASK;
    struct answer **link = locate(c, mac);
    struct answer *a = *link;
    if (a == NULL)
        return AUTH_ASK;
    if (now_ms >= a->until_ms) {
        forget(c, link);
        return AUTH_ASK;
    }
    list_remove(&a->lru);
    list_append(&c->lru, &a->lru);
    return AUTH_OK;
}

void auth_cache_store(struct auth_cache *c, const struct auth_users *u, struct span user,
                      struct span pass, enum auth_verdict v, uint64_t now_ms)
{
    uint8_t mac[MAC_LEN];

    if (v != AUTH_OK || c->ttl_ms == 0 || !question(c, u, user, pass, mac))
        return;
    forget(c, locate(c, mac));
    if (list_empty(&c->spare) && !list_empty(&c->lru))
        forget(c, locate(c, CONTAINER_OF(c->lru.next, struct answer, lru)->mac));
    if (list_empty(&c->spare))
        return; /* a cache of no entries */

    struct answer *a = CONTAINER_OF(c->spare.next, struct answer, lru);
    struct answer **end = locate(c, mac); /* forgetting may have moved it */
    list_remove(&a->lru);
    list_append(&c->lru, &a->lru);
    memcpy(a->mac, mac, MAC_LEN);
    a->until_ms = now_ms + c->ttl_ms;
    a->next = NULL;
    *end = a;
}
