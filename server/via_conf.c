/* SPDX-License-Identifier: MIT */
#include "via_conf.h"
#include <stdlib.h>
#include <string.h>

#define OFF(field) offsetof(struct via_concentrator, field)

enum { COOKIE_DIGITS_MAX = 2 * 255 };

static const char *const dialect_names[] = {
    [VIA_MP_CONVERT] = "mp_convert", [VIA_CONVERT] = "convert", [VIA_SOCKS5] = "socks5", NULL};

/* clang-format off */
static const struct conf_key keys[] = {
    {"address", CONF_ADDR, OFF(address), NULL,
     .help = "Address and port of the concentrator; required."},
    {"dialect", CONF_ENUM, OFF(dialect), "\"mp_convert\"", .choices = dialect_names,
     .help = "How it is asked."},
    {"priority", CONF_U32, OFF(priority), "1", .min = 0, .max = 1000,
     .help = "Lower ones are tried first; those with the same share the clients between them."},
    {"fastopen", CONF_BOOL, OFF(fastopen), "true",
     .help = "Send the request in the SYN, without a cookie (TCP Fast Open)."},
    {"tell_source", CONF_BOOL, OFF(tell_source), "false",
     .help = "Tell it the client's address and port beside the target, for mp_convert: what preserve_address in its egress needs, others log it."},
    {"user", CONF_STRING, OFF(user), "null",
     .help = "User name for socks5."},
    {"password", CONF_STRING, OFF(password), "null", .secret = true,
     .help = "Password for socks5."},
    {"cookie", CONF_STRING, OFF(cookie), "null", .secret = true,
     .help = "Static cookie for convert, in hexadecimal digits."},
    {.path = NULL},
};
/* clang-format on */

const struct conf_key *via_keys(void)
{
    return keys;
}

enum protocol via_protocol(enum via_dialect d)
{
    static const enum protocol protocol[] = {[VIA_MP_CONVERT] = PROTOCOL_MP_CONVERT,
                                             [VIA_CONVERT] = PROTOCOL_CONVERT,
                                             [VIA_SOCKS5] = PROTOCOL_SOCKS5};

    return protocol[d];
}

static bool check(struct conf_parse *p, const struct via_concentrator *c)
{
    if (c->address.family == ADDR_NONE || c->address.port == 0) {
        conf_enter(p, "address", 0);
        return conf_fail(p, "needs an address and a port");
    }
    if ((c->user != NULL || c->password != NULL) && c->dialect != VIA_SOCKS5) {
        conf_enter(p, "user", 0);
        return conf_fail(p, "only socks5 has users");
    }
    if ((c->user == NULL) != (c->password == NULL)) {
        conf_enter(p, "password", 0);
        return conf_fail(p, "user and password go together");
    }
    if (c->tell_source && c->dialect != VIA_MP_CONVERT) {
        conf_enter(p, "tell_source", 0);
        return conf_fail(p, "only mp_convert can");
    }
    if (c->cookie != NULL &&
        (c->dialect != VIA_CONVERT || strlen(c->cookie) % 2 != 0 || c->cookie[0] == '\0' ||
         strlen(c->cookie) > COOKIE_DIGITS_MAX ||
         strspn(c->cookie, "0123456789abcdefABCDEF") != strlen(c->cookie))) {
        conf_enter(p, "cookie", 0);
        return conf_fail(p,
                         "an even number of hexadecimal digits, %d at most, for convert only",
                         COOKIE_DIGITS_MAX);
    }
    return true;
}

bool via_parse(struct conf_parse *p, const json_t *value, void *field)
{
    struct via_list *list = field;
    size_t count = json_array_size(value);

    if (!json_is_array(value))
        return conf_fail(p, "expected an array of concentrators");
    if (count > VIA_CONCENTRATORS_MAX)
        return conf_fail(p, "has more than %d concentrators", VIA_CONCENTRATORS_MAX);
    if (count == 0)
        return true;
    list->item = calloc(count, sizeof *list->item);
    if (list->item == NULL)
        return conf_fail(p, "out of memory");
    for (size_t i = 0; i < count; i++) {
        conf_enter(p, NULL, i);
        list->count++; /* what a failed parse leaves is cleared */
        if (!conf_object(p, json_array_get(value, i), keys, &list->item[i],
                         sizeof list->item[i]) ||
            !check(p, &list->item[i]))
            return false;
        conf_leave(p);
    }
    return true;
}

void via_clear(void *field)
{
    struct via_list *list = field;

    for (size_t i = 0; i < list->count; i++)
        conf_clear(keys, &list->item[i]);
    free(list->item);
    *list = (struct via_list){0};
}

json_t *via_dump(const void *field)
{
    const struct via_list *list = field;
    json_t *out = json_array();

    for (size_t i = 0; out != NULL && i < list->count; i++) {
        if (json_array_append_new(out, conf_dump(keys, &list->item[i], true)) == 0)
            continue;
        json_decref(out);
        return NULL;
    }
    return out;
}
