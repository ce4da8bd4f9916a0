/* SPDX-License-Identifier: MIT */
#include "bypass.h"
#include "wire/bytes.h"

enum {
    TEXT_MAX = 80, /* "[ffff:...:255.255.255.255/128]:65535" and to spare */
    IPV4_BITS = 32,
    IPV6_BITS = 128,
};

static uint8_t full_length(const struct addr *a)
{
    return a->family == ADDR_IPV4 ? IPV4_BITS : IPV6_BITS;
}

/* The same network and port twice is one entry. */
static bool add(struct bypass *b, const struct prefix *net, uint16_t port)
{
    for (size_t i = 0; i < b->count; i++) {
        if (b->entry[i].port == port && b->entry[i].net.bits == net->bits &&
            addr_equal_ip(&b->entry[i].net.base, &net->base))
            return true;
    }
    if (b->count >= BYPASS_MAX)
        return false;
    b->entry[b->count].net = *net;
    b->entry[b->count].port = port;
    b->count++;
    return true;
}

void bypass_default(struct bypass *b)
{
    static const struct prefix nets[] = {
        {.base = {.family = ADDR_IPV4, .ip = {127}}, .bits = 8},
        {.base = {.family = ADDR_IPV6, .ip = {[15] = 1}}, .bits = IPV6_BITS},
        {.base = {.family = ADDR_IPV4, .ip = {169, 254}}, .bits = 16},
        {.base = {.family = ADDR_IPV6, .ip = {0xFE, 0x80}}, .bits = 10},
        {.base = {.family = ADDR_IPV4}, .bits = 8},
        {.base = {.family = ADDR_IPV6}, .bits = IPV6_BITS},
    };

    memset(b, 0, sizeof *b);
    for (size_t i = 0; i < sizeof nets / sizeof nets[0]; i++)
        (void)add(b, &nets[i], 0); /* fits */
}

/* 1..65535: port 0 would mean every port here and none to whoever wrote it. */
static bool parse_port(const char *text, size_t len, uint16_t *out)
{
    uint32_t value = 0;

    if (len == 0 || len > 5)
        return false;
    for (size_t i = 0; i < len; i++) {
        if (text[i] < '0' || text[i] > '9')
            return false;
        value = value * 10 + (uint32_t)(text[i] - '0');
    }
    if (value == 0 || value > UINT16_MAX)
        return false;
    *out = (uint16_t)value;
    return true;
}

static bool parse_net(const char *text, size_t len, struct prefix *out)
{
    char copy[TEXT_MAX];

    if (len == 0 || len >= sizeof copy || memchr(text, 0, len) != NULL)
        return false;
    memcpy(copy, text, len);
    copy[len] = '\0';
    return prefix_parse(copy, out);
}

/* "[CIDR]:port", where CIDR is IPv6. */
static bool parse_bracketed(const char *text, size_t len, struct prefix *net, uint16_t *port)
{
    const char *close = memchr(text, ']', len);

    if (close == NULL)
        return false;
    size_t inner = (size_t)(close - text) - 1, rest = len - inner - 2;

    return memchr(text + 1, ':', inner) != NULL && rest > 1 && close[1] == ':' &&
           parse_port(close + 2, rest - 1, port) && parse_net(text + 1, inner, net);
}

bool bypass_add(struct bypass *b, const char *text, size_t len)
{
    const char *colon = len == 0 ? NULL : memchr(text, ':', len);
    struct prefix net;
    uint16_t port = 0;
    size_t net_len = len;

    if (len > 0 && text[0] == '[')
        return parse_bracketed(text, len, &net, &port) && add(b, &net, port);
    if (colon != NULL) {
        size_t before = (size_t)(colon - text), after = len - before - 1;

        /* One colon ends an IPv4 network; more of them are IPv6. */
        if (memchr(colon + 1, ':', after) == NULL) {
            if (!parse_port(colon + 1, after, &port))
                return false;
            net_len = before;
        }
    }
    return parse_net(text, net_len, &net) && add(b, &net, port);
}

bool bypass_add_address(struct bypass *b, const struct addr *a)
{
    struct addr plain = addr_unmap(*a);
    struct prefix net = {.bits = full_length(&plain)};

    if (plain.family != ADDR_IPV4 && plain.family != ADDR_IPV6)
        return false;
    net.base = addr_mask(&plain, net.bits);
    return add(b, &net, plain.port);
}

bool bypass_has(const struct bypass *b, const struct addr *a)
{
    for (size_t i = 0; i < b->count && i < BYPASS_MAX; i++) {
        if ((b->entry[i].port == 0 || b->entry[i].port == a->port) &&
            prefix_contains(&b->entry[i].net, a))
            return true;
    }
    return false;
}

static void put_text(struct wr *w, const char *text)
{
    wr_bytes(w, text, strlen(text));
}

static void put_number(struct wr *w, unsigned value)
{
    char digits[10];
    size_t at = sizeof digits;

    do {
        digits[--at] = (char)('0' + value % 10);
        value /= 10;
    } while (value > 0);
    wr_bytes(w, digits + at, sizeof digits - at);
}

/* NOLINTNEXTLINE(readability-non-const-parameter): it is written to through `w` */
static struct span print_entry(const struct prefix *net, uint16_t port, uint8_t *buf,
                               size_t cap)
{
    struct wr w = {.buf = buf, .cap = cap};
    bool brackets = net->base.family == ADDR_IPV6 && port != 0;
    char ip[ADDR_TEXT_MAX];

    if (brackets)
        wr_u8(&w, '[');
    put_text(&w, addr_print_ip(&net->base, ip, sizeof ip));
    if (net->bits != full_length(&net->base)) {
        wr_u8(&w, '/');
        put_number(&w, net->bits);
    }
    if (brackets)
        wr_u8(&w, ']');
    if (port != 0) {
        wr_u8(&w, ':');
        put_number(&w, port);
    }
    return wr_done(&w);
}

const char *bypass_print(const struct bypass *b, char *text, size_t cap)
{
    size_t len = 0;

    if (cap == 0)
        return text;
    for (size_t i = 0; i < b->count && i < BYPASS_MAX; i++) {
        uint8_t buf[ADDR_TEXT_MAX + TEXT_MAX];
        struct span one = print_entry(&b->entry[i].net, b->entry[i].port, buf, sizeof buf);
        size_t comma = len > 0 ? 1 : 0;

        /* Between entries only: half of "10.0.0.0/24" is another network. */
        if (comma + one.len >= cap - len)
            break;
        if (comma != 0)
            text[len++] = ',';
        memcpy(text + len, one.ptr, one.len);
        len += one.len;
    }
    text[len] = '\0';
    return text;
}
