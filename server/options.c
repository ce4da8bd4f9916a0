/* SPDX-License-Identifier: MIT */
/* Loading, in this order: the file by the table, checks that span keys, the files it names, the
 * access list, the hash. Whatever fails leaves one message and frees the half-built config
 * through the same config_unref() as a finished one. */
#include "options.h"
#include "auth.h"
#include "cookie.h"
#include "nft_set.h"
#include "ownaddr.h"
#include "policy_conf.h"
#include <errno.h>
#include <openssl/evp.h>
#include <stdarg.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

enum { DUMP_FLAGS = JSON_INDENT(2) | JSON_REAL_PRECISION(10) };

/* What the checks need to blame a key. */
struct loading {
    struct config *c;
    const char *name, *text;
    struct conf_error *err;
};

static bool no_memory(const struct loading *l)
{
    return conf_report(l->err, l->name, NULL, "", "out of memory");
}

/* ---- checks across keys ---- */

/* One of the two sets the daemon keeps for the firewall's rules. */
static bool check_set(const struct loading *l, const char *key, const char *text)
{
    struct nft_set_name name;

    return text == NULL || nft_set_parse(text, &name) ||
           conf_report(l->err, l->name, l->text, key,
                       "expected an nftables set such as \"inet mpconvert_onpath tokens\"");
}

/* What listeners for diverted connections need. */
static bool check_diversion(const struct loading *l, const struct listener_options *a, size_t i)
{
    char key[64];

    (void)snprintf(key, sizeof key, "listeners[%zu].transparent", i); /* fits */
    if (a->transparent && addr_class(&a->address) != ADDR_CLASS_LOOPBACK)
        return conf_report(l->err, l->name, l->text, key,
                           "needs a loopback address: on any other it would take native "
                           "traffic to its port");
    (void)snprintf(key, sizeof key, "listeners[%zu].implicit", i);
    if (a->implicit && (!a->transparent || !a->fastopen))
        return conf_report(l->err, l->name, l->text, key,
                           "needs transparent and fastopen: the request is in a diverted SYN");
    if (a->implicit && a->protocols != PROTOCOL_BIT(PROTOCOL_MP_CONVERT))
        return conf_report(l->err, l->name, l->text, key,
                           "needs the protocol mp_convert and no other");
    if (a->implicit && a->exact)
        return conf_report(l->err, l->name, l->text, key, "cannot be exact");
    (void)snprintf(key, sizeof key, "listeners[%zu].join_tokens", i);
    if (a->join_tokens != NULL && (!a->implicit || !a->mptcp))
        return conf_report(l->err, l->name, l->text, key, "needs implicit and mptcp");
    if (!check_set(l, key, a->join_tokens))
        return false;
    (void)snprintf(key, sizeof key, "listeners[%zu].alive_set", i);
    if (a->alive_set != NULL && !a->transparent)
        return conf_report(l->err, l->name, l->text, key, "needs transparent");
    return check_set(l, key, a->alive_set);
}

static bool check_listeners(const struct loading *l)
{
    const struct listener_list *list = &l->c->listeners;
    const struct addr *stats = &l->c->stats.address;

    for (size_t i = 0; i < list->count; i++) {
        const struct listener_options *a = &list->item[i];
        char key[64];

        for (size_t j = 0; j < i; j++) {
            const struct listener_options *b = &list->item[j];

            (void)snprintf(key, sizeof key, "listeners[%zu].name", i); /* fits */
            if (strcmp(a->name, b->name) == 0)
                return conf_report(l->err, l->name, l->text, key,
                                   "listener %zu has the same name", j);
            (void)snprintf(key, sizeof key, "listeners[%zu].address", i);
            if (a->address.port != 0 && addr_equal(&a->address, &b->address))
                return conf_report(l->err, l->name, l->text, key, "\"%s\" has the same address",
                                   b->name);
        }
        (void)snprintf(key, sizeof key, "listeners[%zu].via", i);
        if (a->via && l->c->via.concentrators.count == 0 && !l->c->via.implicit)
            return conf_report(l->err, l->name, l->text, key, "needs via.concentrators");
        if (!check_diversion(l, a, i))
            return false;
        (void)snprintf(key, sizeof key, "listeners[%zu].exact", i);
        if (a->exact && !a->transparent && !a->fastopen)
            return conf_report(l->err, l->name, l->text, key,
                               "needs fastopen: the request must come in the SYN");
        if (a->exact && a->address.port == 0)
            return conf_report(l->err, l->name, l->text, key, "needs a port of its own");
        if (a->exact && !a->transparent &&
            (a->protocols &
             (PROTOCOL_BIT(PROTOCOL_MP_CONVERT) | PROTOCOL_BIT(PROTOCOL_CONVERT))) == 0)
            return conf_report(l->err, l->name, l->text, key,
                               "needs the protocol mp_convert or convert");
        if (a->exact && a->transparent && (l->c->exact.mark & 0xff) != 0)
            return conf_report(l->err, l->name, l->text, "exact.mark",
                               "must be a multiple of 256");
        if (a->address.port != 0 && addr_equal(&a->address, stats))
            return conf_report(l->err, l->name, l->text, "stats.address",
                               "listener \"%s\" has the same address", a->name);
    }
    return true;
}

static bool find_policies(const struct loading *l)
{
    struct listener_list *list = &l->c->listeners;

    for (size_t i = 0; i < list->count; i++) {
        struct listener_options *o = &list->item[i];
        char key[64];

        o->egress = egress_find(&l->c->egress, o->egress_name);
        (void)snprintf(key, sizeof key, "listeners[%zu].egress", i); /* fits */
        if (o->egress == NULL && strcmp(o->egress_name, EGRESS_DEFAULT) != 0)
            return conf_report(l->err, l->name, l->text, key,
                               "there is no policy \"%s\" in egress", o->egress_name);
        if (o->policy == NULL)
            continue;
        o->applied = policy_named(&l->c->policies, o->policy);
        (void)snprintf(key, sizeof key, "listeners[%zu].policy", i);
        if (o->applied == NULL)
            return conf_report(l->err, l->name, l->text, key, "there is no policy \"%s\"",
                               o->policy);
        if (o->transparent && o->applied->client.mark.set)
            return conf_report(l->err, l->name, l->text, key,
                               "cannot have a client.mark: a transparent listener's SYN-ACKs "
                               "are known by a mark of their own");
    }
    return policy_check(&l->c->policies, l->name, l->text, l->err);
}

/* The endpoint has neither TLS nor tokens: on any other address the whole network could read
 * who talks to whom. */
static bool check_stats(const struct loading *l)
{
    const struct addr *a = &l->c->stats.address;

    if (a->family == ADDR_NONE || addr_class(a) == ADDR_CLASS_LOOPBACK)
        return true;
    return conf_report(
        l->err, l->name, l->text, "stats.address",
        "must be a loopback address: the endpoint has no access control of its own");
}

static bool check_cookie(const struct loading *l)
{
    int mode = l->c->cookie.mode;

    if ((mode == COOKIE_STATIC || mode == COOKIE_BOTH) && l->c->cookie.static_file == NULL)
        return conf_report(l->err, l->name, l->text, "cookie.static_file",
                           "is required by cookie.mode \"%s\"",
                           mode == COOKIE_BOTH ? "both" : "static");
    return true;
}

static bool check_native(const struct loading *l)
{
    const struct conf_strings *names = &l->c->native.counters;
    struct nft_set_name name;

    for (size_t i = 0; i < names->count; i++) {
        char key[64];
        bool twice = false;

        (void)snprintf(key, sizeof key, "native.counters[%zu]", i); /* fits */
        if (!nft_set_parse(names->item[i], &name))
            return conf_report(l->err, l->name, l->text, key,
                               "expected a counter of nftables such as \"inet "
                               "mpconvert_transparent native\"");
        for (size_t k = 0; k < i; k++)
            twice |= strcmp(names->item[k], names->item[i]) == 0;
        if (twice)
            return conf_report(l->err, l->name, l->text, key, "is there twice");
    }
    return true;
}

static bool check_dns(const struct loading *l)
{
    const struct conf_strings *servers = &l->c->dns.servers;

    for (size_t i = 0; i < servers->count; i++) {
        struct addr a;
        char key[64];

        if (addr_parse_ip(servers->item[i], strlen(servers->item[i]), &a) ||
            (addr_parse(servers->item[i], &a) && a.port != 0))
            continue;
        (void)snprintf(key, sizeof key, "dns.servers[%zu]", i); /* fits */
        return conf_report(l->err, l->name, l->text, key,
                           "expected an address, with or without port, such as \"192.0.2.53\" "
                           "or \"[2001:db8::53]:5353\"");
    }
    if (l->c->dns.ttl_min_ms > l->c->dns.ttl_max_ms)
        return conf_report(l->err, l->name, l->text, "dns.ttl_min_seconds",
                           "must not be above dns.ttl_max_seconds");
    return true;
}

/* ---- what is built from the values ---- */

static bool set_names(const struct loading *l)
{
    char host[256];

    l->c->path = strdup(l->name);
    if (l->c->path == NULL)
        return no_memory(l);
    if (l->c->node != NULL)
        return true;
    if (gethostname(host, sizeof host) != 0)
        return conf_report(l->err, l->name, NULL, "node",
                           "is needed: the host name cannot be had: %s", strerror(errno));
    host[sizeof host - 1] = '\0'; /* POSIX does not promise it */
    l->c->node = strdup(host);
    return l->c->node != NULL || no_memory(l);
}

/* The file that a key names was not good: says so of the key. */
static bool blame_file(const struct loading *l, const char *key, const struct conf_error *why)
{
    return conf_report(l->err, l->name, l->text, key, "%s", why->text);
}

static bool load_files(const struct loading *l)
{
    struct config *c = l->c;
    struct conf_error why;

    if (c->auth.users_file != NULL) {
        c->users = auth_users_load(c->auth.users_file, &why);
        if (c->users == NULL)
            return blame_file(l, "auth.users_file", &why);
    }
    if (c->cookie.mode != COOKIE_OFF) {
        c->cookies = cookie_keys_load((enum cookie_mode)c->cookie.mode, c->cookie.static_file,
                                      c->cookie.keys_file, c->cookie.bind_prefix64, &why);
        if (c->cookies == NULL)
            return blame_file(l, "cookie.mode", &why);
    }
    return true;
}

/* Without hairpinning (RFC 8803 s9.2) a client is nobody's target: one more rule, before all
 * others. */
static struct acl *build_rules(const struct config *c, const struct addr *self,
                               size_t self_count)
{
    size_t extra = c->upstream.hairpin ? 0 : 1, count = c->access.rules.count;
    struct acl_rule *item = calloc(count + 1, sizeof *item);

    if (item == NULL)
        return NULL;
    if (extra == 1)
        item[0] = (struct acl_rule){.action = ACL_DENY, .target = c->clients.allow};
    if (count > 0)
        memcpy(item + extra, c->access.rules.item, count * sizeof *item);
    struct acl_rules rules = {.item = item, .count = count + extra};
    struct acl *acl =
        acl_new(&rules, (enum acl_action)c->access.fallback, self, self_count, ownaddr_is);
    free(item);
    return acl;
}

static bool build_acl(const struct loading *l)
{
    struct config *c = l->c;
    struct addr self[OPTIONS_LISTENERS_MAX + 1];
    size_t self_count = 0;

    for (size_t i = 0; i < c->listeners.count; i++)
        self[self_count++] = c->listeners.item[i].address;
    if (c->stats.address.family != ADDR_NONE)
        self[self_count++] = c->stats.address;
    c->acl = build_rules(c, self, self_count);
    return c->acl != NULL || no_memory(l);
}

static bool set_hash(const struct loading *l)
{
    static const char hex[] = "0123456789abcdef";
    unsigned char digest[EVP_MAX_MD_SIZE];
    char *text = options_dump_text(l->c, false);
    unsigned len = 0;
    bool done = text != NULL &&
                EVP_Digest(text, strlen(text), digest, &len, EVP_sha256(), NULL) == 1 &&
                2 * (size_t)len + 1 == sizeof l->c->sha256;

    free(text);
    if (!done)
        return no_memory(l);
    for (unsigned i = 0; i < len; i++) {
        l->c->sha256[2 * (size_t)i] = hex[digest[i] >> 4];
        l->c->sha256[2 * (size_t)i + 1] = hex[digest[i] & 15];
    }
    return true;
}

static bool finish(const struct loading *l)
{
    return set_names(l) && check_listeners(l) && find_policies(l) && check_stats(l) &&
           check_cookie(l) && check_dns(l) && check_native(l) && load_files(l) &&
           build_acl(l) && set_hash(l);
}

struct config *options_load_text(const char *text, const char *name, struct conf_error *err)
{
    struct config *c = malloc(sizeof *c);
    struct loading l = {.c = c, .name = name, .text = text, .err = err};

    if (c == NULL) {
        (void)no_memory(&l);
        return NULL;
    }
    if (!conf_load_text(text, name, options_keys(), c, sizeof *c, err)) {
        free(c);
        return NULL;
    }
    atomic_init(&c->refs, 1);
    if (!finish(&l)) {
        config_unref(c);
        return NULL;
    }
    return c;
}

struct config *options_load(const char *path, struct conf_error *err)
{
    struct config *c;
    char *text;

    if (path == NULL)
        return options_load_text("{}", "defaults", err);
    text = conf_read(path, err);
    if (text == NULL)
        return NULL;
    c = options_load_text(text, path, err);
    free(text);
    return c;
}

struct config *config_ref(struct config *c)
{
    atomic_fetch_add_explicit(&c->refs, 1, memory_order_relaxed);
    return c;
}

void config_unref(struct config *c)
{
    if (c == NULL || atomic_fetch_sub_explicit(&c->refs, 1, memory_order_acq_rel) > 1)
        return;
    acl_free(c->acl);
    auth_users_free(c->users);
    cookie_keys_free(c->cookies);
    conf_clear(options_keys(), c);
    free(c->path);
    free(c);
}

/* 1: the values of one key are equal, 0: they differ, -1: out of memory. */
static int compare(const struct conf_key *key, const struct config *a, const struct config *b)
{
    const struct conf_key table[] = {*key, {.path = NULL}};
    json_t *left = conf_dump(table, a, false), *right = conf_dump(table, b, false);
    int equal = left == NULL || right == NULL ? -1 : json_equal(left, right);

    json_decref(left);
    json_decref(right);
    return equal;
}

/* What a socket was opened with cannot change under it. */
static const struct listener_options *listener_at(const struct config *c,
                                                  const struct addr *address)
{
    for (size_t i = 0; i < c->listeners.count; i++)
        if (addr_equal(&c->listeners.item[i].address, address))
            return &c->listeners.item[i];
    return NULL;
}

bool options_reloadable(const struct config *now, const struct config *next,
                        struct conf_error *err)
{
    for (const struct conf_key *k = options_keys(); k->path != NULL; k++) {
        int equal = k->reloadable ? 1 : compare(k, now, next);

        if (equal < 0)
            return conf_report(err, next->path, NULL, k->path, "out of memory");
        if (equal == 0)
            return conf_report(err, next->path, NULL, k->path, "needs a restart to change");
    }
    for (size_t i = 0; i < next->listeners.count; i++) {
        const struct listener_options *to = &next->listeners.item[i];
        const struct listener_options *from = listener_at(now, &to->address);
        if (from != NULL &&
            (from->mptcp != to->mptcp || from->fastopen != to->fastopen ||
             from->backlog != to->backlog || from->transparent != to->transparent))
            return conf_report(
                err, next->path, NULL, "listeners",
                "mptcp, fastopen, transparent and backlog of a listener that stays need a "
                "restart to change");
    }
    return true;
}

json_t *options_dump(const struct config *c, bool redact)
{
    return conf_dump(options_keys(), c, redact);
}

char *options_dump_text(const struct config *c, bool redact)
{
    json_t *dump = options_dump(c, redact);
    /* Into memory of ours: json_dumps() does not notice when it cannot grow its own. */
    size_t len = dump == NULL ? 0 : json_dumpb(dump, NULL, 0, DUMP_FLAGS);
    char *text = len == 0 ? NULL : malloc(len + 1);

    if (text != NULL && json_dumpb(dump, text, len, DUMP_FLAGS) != len) {
        free(text);
        text = NULL;
    }
    if (text != NULL)
        text[len] = '\0';
    json_decref(dump);
    return text;
}
