/* SPDX-License-Identifier: MIT */
#include "bypass.h"
#include "settings_text.h"
#include <string.h>

enum { ENTRY_TEXT_MAX = 96 };

static bool add(struct bypass *b, const struct prefix *net, uint16_t port)
{
    if (b->count == BYPASS_MAX)
        return false;
    b->entry[b->count].net = *net;
    b->entry[b->count].port = port;
    b->count++;
    return true;
}

void bypass_default(struct bypass *b)
{
    static const char *const nets[] = {"127.0.0.0/8", "::1",       "169.254.0.0/16",
                                       "fe80::/10",   "0.0.0.0/8", "::"};

    b->count = 0;
    for (size_t i = 0; i < sizeof nets / sizeof nets[0]; i++)
        (void)bypass_add(b, nets[i], strlen(nets[i])); /* there is room, and they are right */
}

/* 1..65535 in decimal digits and nothing else. */
static bool parse_port(const char *text, uint16_t *port)
{
    uint32_t n = 0;

    if (*text == '\0' || strlen(text) > 5)
        return false;
    for (; *text >= '0' && *text <= '9'; text++)
        n = n * 10 + (uint32_t)(*text - '0');
    if (*text != '\0' || n == 0 || n > UINT16_MAX)
        return false;
    *port = (uint16_t)n;
    return true;
}

bool bypass_add(struct bypass *b, const char *text, size_t len)
{
    char buf[ENTRY_TEXT_MAX], *net = buf, *port = NULL;
    struct prefix p;
    uint16_t number = 0;

    if (len == 0 || len >= sizeof buf || memchr(text, '\0', len) != NULL)
        return false;
    memcpy(buf, text, len);
    buf[len] = '\0';
    if (buf[0] == '[') { /* "[CIDR]" or "[CIDR]:port" */
        char *end = strchr(buf, ']');
        if (end == NULL || (end[1] != '\0' && end[1] != ':'))
            return false;
        port = end[1] == ':' ? end + 2 : NULL;
        *end = '\0';
        net = buf + 1;
    } else if (strchr(buf, '.') != NULL && strchr(buf, ':') == strrchr(buf, ':')) {
        port = strchr(buf, ':'); /* IPv4: its only colon is before the port */
        if (port != NULL)
            *port++ = '\0';
    }
    if (!prefix_parse(net, &p) || (port != NULL && !parse_port(port, &number)))
        return false;
    return add(b, &p, number);
}

bool bypass_add_address(struct bypass *b, const struct addr *a)
{
    struct addr plain = addr_unmap(*a);
    struct prefix p = {.base = plain, .bits = plain.family == ADDR_IPV4 ? 32 : 128};

    if (plain.family == ADDR_NONE)
        return false;
    p.base.port = 0;
    p.base.scope = 0;
    return add(b, &p, plain.port);
}

bool bypass_has(const struct bypass *b, const struct addr *a)
{
    for (uint16_t i = 0; i < b->count; i++) {
        uint16_t port = b->entry[i].port;
        if ((port == 0 || port == a->port) && prefix_contains(&b->entry[i].net, a))
            return true;
    }
    return false;
}

const char *bypass_print(const struct bypass *b, char *text, size_t cap)
{
    char ip[ADDR_TEXT_MAX];
    struct text t;

    if (cap == 0)
        return text;
    t = text_into(text, cap);
    for (uint16_t i = 0; i < b->count; i++) {
        const struct prefix *p = &b->entry[i].net;
        bool bracket = p->base.family == ADDR_IPV6 && b->entry[i].port != 0;

        text_add(&t, i > 0 ? "," : "");
        text_add(&t, bracket ? "[" : "");
        text_add(&t, addr_print_ip(&p->base, ip, sizeof ip));
        text_add(&t, "/");
        text_add_number(&t, p->bits);
        text_add(&t, bracket ? "]" : "");
        if (b->entry[i].port != 0) {
            text_add(&t, ":");
            text_add_number(&t, b->entry[i].port);
        }
    }
    return text;
}
