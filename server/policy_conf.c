/* SPDX-License-Identifier: MIT */
/* {"name": "gold", "users": ["alice"], "sources": ["192.0.2.0/24"], "client":
 * {"congestion_control": "bbr", "dscp": "AF41", "mark": "0x10", "mss": 1400}, "upstream":
 * {...}}. Only "name" is required. */
#include "policy_conf.h"
#include <errno.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

#define OFF(field) offsetof(struct policy, field)

enum {
    NAME_MAX_LEN = 64,
    MSS_LEAST = 88, /* the kernel's TCP_MIN_MSS */
    MSS_MOST = 32767,
    LIST_MAX = 256, /* octets shown of a sysctl's list */
};

/* --- one value --- */

static bool parse_dscp(struct conf_parse *p, const json_t *value, void *field)
{
    struct policy_dscp *out = field;
    json_int_t n = json_integer_value(value);

    if (json_is_null(value))
        return true;
    out->set = true;
    if (json_is_integer(value) && n >= 0 && n <= 63) {
        out->value = (uint8_t)n;
        return true;
    }
    if (json_is_string(value) && policy_dscp_parse(json_string_value(value), &out->value))
        return true;
    return conf_fail(p, "expected a number to 63, or a name such as \"EF\", \"AF41\" or "
                        "\"CS1\"");
}

static json_t *dump_dscp(const void *field)
{
    const struct policy_dscp *dscp = field;

    return dscp->set ? json_integer(dscp->value) : json_null();
}

/* Marks are written in hexadecimal wherever else they stand; JSON has no such numbers. */
static bool parse_mark(struct conf_parse *p, const json_t *value, void *field)
{
    struct policy_mark *out = field;
    const char *text = json_string_value(value);
    json_int_t n = json_integer_value(value);

    if (json_is_null(value))
        return true;
    out->set = true;
    if (json_is_integer(value) && n >= 0 && n <= (json_int_t)UINT32_MAX) {
        out->value = (uint32_t)n;
        return true;
    }
    if (text != NULL && strncmp(text, "0x", 2) == 0) {
        size_t digits = strspn(text + 2, "0123456789abcdefABCDEF");
        if (digits > 0 && digits <= 8 && text[2 + digits] == '\0') {
            out->value = (uint32_t)strtoul(text + 2, NULL, 16); /* 8 digits: fits */
            return true;
        }
    }
    return conf_fail(p, "expected a number of 32 bits, or one such as \"0x6d70\"");
}

static json_t *dump_mark(const void *field)
{
    const struct policy_mark *mark = field;

    return mark->set ? json_integer(mark->value) : json_null();
}

/* clang-format off */
static const struct conf_key keys[] = {
    {"name", CONF_STRING, OFF(name), NULL,
     .help = "Name, for listeners[].policy, statistics and logs: letters, digits, dash and underscore; required."},
    {"users", CONF_STRINGS, OFF(users), "[]", .min = 0, .max = POLICY_USERS_MAX, .unit = "names",
     .help = "Users who have this policy wherever they come from; goes before sources."},
    {"sources", CONF_PREFIXES, OFF(sources), "[]", .min = 0, .max = 4096, .unit = "prefixes",
     .help = "Clients who have this policy whichever listener they use; the first policy that has an address counts."},
    {"client.congestion_control", CONF_STRING, OFF(client.congestion_control), "null",
     .help = "Congestion control of the connection to the client; null: the system's."},
    {"client.dscp", CONF_CUSTOM, OFF(client.dscp), "null", .parse = parse_dscp, .dump = dump_dscp,
     .help = "DSCP of what we send to the client: a number, or a name such as EF, AF41 or CS1; null: the system's. The kernel has none for Multipath TCP over IPv6."},
    {"client.mark", CONF_CUSTOM, OFF(client.mark), "null", .parse = parse_mark, .dump = dump_mark,
     .help = "Mark (SO_MARK) of what we send to the client, for routing and packet filters: a number, or text such as 0x10; null: none. Needs CAP_NET_ADMIN or CAP_NET_RAW."},
    {"client.mss", CONF_U32, OFF(client.mss), "0", .min = 0, .max = MSS_MOST, .unit = "octets",
     .help = "Largest segment on the connection to the client; 0: as the path has it. Only in a listener's policy."},
    {"upstream.congestion_control", CONF_STRING, OFF(upstream.congestion_control), "null",
     .help = "Congestion control of the connection to the server; null: the system's."},
    {"upstream.dscp", CONF_CUSTOM, OFF(upstream.dscp), "null", .parse = parse_dscp, .dump = dump_dscp,
     .help = "DSCP of what we send to the server: a number, or a name such as EF, AF41 or CS1; null: the system's. The kernel has none for Multipath TCP over IPv6."},
    {"upstream.mark", CONF_CUSTOM, OFF(upstream.mark), "null", .parse = parse_mark, .dump = dump_mark,
     .help = "Mark (SO_MARK) of what we send to the server, for routing and packet filters: a number, or text such as 0x10; null: none. Needs CAP_NET_ADMIN or CAP_NET_RAW."},
    {"upstream.mss", CONF_U32, OFF(upstream.mss), "0", .min = 0, .max = MSS_MOST, .unit = "octets",
     .help = "Largest segment on the connection to the server; 0: as the path has it."},
    {.path = NULL},
};
/* clang-format on */

const struct conf_key *policy_keys(void)
{
    return keys;
}

/* --- one policy --- */

static bool fail_at(struct conf_parse *p, const char *key, const char *why)
{
    conf_enter(p, key, 0);
    return conf_fail(p, "%s", why);
}

static bool is_name(const char *text, size_t max)
{
    size_t len =
        strspn(text, "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789-_");

    return len > 0 && len <= max && text[len] == '\0';
}

static bool check_leg(struct conf_parse *p, const char *side, const struct policy_leg *leg)
{
    conf_enter(p, side, 0);
    if (leg->congestion_control != NULL &&
        !is_name(leg->congestion_control, POLICY_CONGESTION_MAX))
        return fail_at(p, "congestion_control", "is no name of a congestion control");
    if (leg->mss != 0 && leg->mss < MSS_LEAST)
        return fail_at(p, "mss", "must be 0, or 88 to 32767 octets");
    conf_leave(p);
    return true;
}

static bool check(struct conf_parse *p, const struct policy_list *list,
                  const struct policy *new)
{
    if (!is_name(new->name, NAME_MAX_LEN))
        return fail_at(p, "name", "expected 1 to 64 letters, digits, '-' or '_'");
    for (const struct policy *other = list->item; other != new; other++)
        if (strcmp(other->name, new->name) == 0)
            return fail_at(p, "name", "another policy has the same name");
    if (!check_leg(p, "client", &new->client) || !check_leg(p, "upstream", &new->upstream))
        return false;
    if (new->client.mss == 0 || (new->users.count == 0 && new->sources.count == 0))
        return true;
    conf_enter(p, "client", 0);
    return fail_at(p, "mss",
                   "cannot be a user's or source's: the SYN-ACK has told the client "
                   "its size before anybody knows who that is");
}

/* --- all --- */

static int compare(const void *a, const void *b)
{
    const struct policy_user *x = a, *y = b;

    return strcmp(x->name, y->name);
}

static bool index_users(struct conf_parse *p, struct policy_list *list)
{
    size_t total = 0;

    for (size_t i = 0; i < list->count; i++)
        total += list->item[i].users.count;
    list->user = total == 0 ? NULL : calloc(total, sizeof *list->user);
    if (list->user == NULL)
        return total == 0 || conf_fail(p, "out of memory");
    for (size_t i = 0; i < list->count; i++)
        for (size_t k = 0; k < list->item[i].users.count; k++)
            list->user[list->user_count++] = (struct policy_user){
                .name = list->item[i].users.item[k], .policy = &list->item[i]};
    qsort(list->user, list->user_count, sizeof *list->user, compare);
    for (size_t i = 1; i < list->user_count; i++)
        if (strcmp(list->user[i - 1].name, list->user[i].name) == 0)
            return conf_fail(p, "user \"%s\" is named twice, in \"%s\" and \"%s\"",
                             list->user[i].name, list->user[i - 1].policy->name,
                             list->user[i].policy->name);
    return true;
}

bool policy_parse(struct conf_parse *p, const json_t *value, void *field)
{
    struct policy_list *list = field;
    size_t count = json_array_size(value);

    if (!json_is_array(value))
        return conf_fail(p, "expected an array of policies");
    if (count > POLICIES_MAX)
        return conf_fail(p, "has more than %d policies", POLICIES_MAX);
    if (count == 0)
        return true;
    list->item = calloc(count, sizeof *list->item);
    if (list->item == NULL)
        return conf_fail(p, "out of memory");
    for (size_t i = 0; i < count; i++) {
        struct policy *new = &list->item[i];

        conf_enter(p, NULL, i);
        list->count++; /* what a failed parse leaves is cleared */
        if (!conf_object(p, json_array_get(value, i), keys, new, sizeof *new) ||
            !check(p, list, new))
            return false;
        conf_leave(p);
    }
    return index_users(p, list);
}

void policy_clear(void *field)
{
    struct policy_list *list = field;

    for (size_t i = 0; i < list->count; i++)
        conf_clear(keys, &list->item[i]);
    free(list->item);
    free(list->user);
    *list = (struct policy_list){0};
}

json_t *policy_dump(const void *field)
{
    const struct policy_list *list = field;
    json_t *out = json_array();

    for (size_t i = 0; out != NULL && i < list->count; i++) {
        if (json_array_append_new(out, conf_dump(keys, &list->item[i], false)) == 0)
            continue;
        json_decref(out);
        return NULL;
    }
    return out;
}

/* --- what the system grants --- */

/* The words of net.ipv4.NAME, as they stand there. */
static void read_list(const char *name, char out[LIST_MAX])
{
    char path[64];
    FILE *f;

    out[0] = '\0';
    (void)snprintf(path, sizeof path, "/proc/sys/net/ipv4/%s", name); /* fits */
    f = fopen(path, "re");
    if (f == NULL)
        return;
    if (fgets(out, LIST_MAX, f) == NULL)
        out[0] = '\0';
    (void)fclose(f); /* only read */
    out[strcspn(out, "\n")] = '\0';
}

static bool listed(const char *list, const char *word)
{
    size_t len = strlen(word);

    while (*list != '\0') {
        size_t n = strcspn(list, " ");
        if (n == len && strncmp(list, word, len) == 0)
            return true;
        list += n;
        list += strspn(list, " ");
    }
    return false;
}

static int try_on_a_socket(const struct policy_leg *leg)
{
    int fd = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0), rc;

    if (fd < 0)
        return -errno;
    rc = policy_apply(fd, (struct policy_families){.ipv4 = true}, leg);
    (void)close(fd);
    return rc;
}

struct place {
    const char *name, *text;
    struct conf_error *err;
    size_t index;
    const char *side;
};

static bool check_congestion(const struct place *at, const char *wanted)
{
    char key[64], list[LIST_MAX], copy[POLICY_CONGESTION_MAX + 1];

    (void)snprintf(copy, sizeof copy, "%s", wanted); /* fits: see check_leg() */
    int rc = try_on_a_socket(&(struct policy_leg){.congestion_control = copy});
    if (rc == 0)
        return true;
    (void)snprintf(key, sizeof key, "policies[%zu].%s.congestion_control", at->index, at->side);
    if (rc == -ENOENT) {
        read_list("tcp_available_congestion_control", list);
        return conf_report(
            at->err, at->name, at->text, key,
            "the kernel has no \"%s\"; net.ipv4.tcp_available_congestion_control: %s", wanted,
            list);
    }
    if (rc == -EPERM) {
        read_list("tcp_allowed_congestion_control", list);
        return conf_report(at->err, at->name, at->text, key,
                           "\"%s\" needs CAP_NET_ADMIN; without, "
                           "net.ipv4.tcp_allowed_congestion_control: %s",
                           wanted, list);
    }
    return conf_report(at->err, at->name, at->text, key, "\"%s\" cannot be tried: %s", wanted,
                       strerror(-rc));
}

static bool check_mark(const struct place *at, const struct policy_mark *mark)
{
    char key[64];
    int rc = try_on_a_socket(&(struct policy_leg){.mark = *mark});

    if (rc == 0)
        return true;
    (void)snprintf(key, sizeof key, "policies[%zu].%s.mark", at->index, at->side);
    if (rc == -EPERM)
        return conf_report(at->err, at->name, at->text, key,
                           "needs CAP_NET_ADMIN or CAP_NET_RAW");
    return conf_report(at->err, at->name, at->text, key, "cannot be tried: %s", strerror(-rc));
}

static bool check_granted(const struct place *at, const struct policy_leg *leg)
{
    return (leg->congestion_control == NULL || check_congestion(at, leg->congestion_control)) &&
           (!leg->mark.set || check_mark(at, &leg->mark));
}

bool policy_check(const struct policy_list *all, const char *name, const char *text,
                  struct conf_error *err)
{
    for (size_t i = 0; i < all->count; i++) {
        struct place at = {
            .name = name, .text = text, .err = err, .index = i, .side = "client"};

        if (!check_granted(&at, &all->item[i].client))
            return false;
        at.side = "upstream";
        if (!check_granted(&at, &all->item[i].upstream))
            return false;
    }
    return true;
}

static bool restricted(const char *allowed, const struct policy_leg *leg)
{
    return leg->congestion_control != NULL && !listed(allowed, leg->congestion_control);
}

bool policy_needs_net_admin(const struct policy_list *all)
{
    char allowed[LIST_MAX];

    if (all->count == 0)
        return false;
    read_list("tcp_allowed_congestion_control", allowed);
    for (size_t i = 0; i < all->count; i++)
        if (restricted(allowed, &all->item[i].client) ||
            restricted(allowed, &all->item[i].upstream))
            return true;
    return false;
}

bool policy_needs_mark(const struct policy_list *all)
{
    for (size_t i = 0; i < all->count; i++)
        if (all->item[i].client.mark.set || all->item[i].upstream.mark.set)
            return true;
    return false;
}
