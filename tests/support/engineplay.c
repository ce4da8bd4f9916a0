/* SPDX-License-Identifier: MIT */
#include "engineplay.h"
#include "wire/convert.h"
#include "wire/mpconvert.h"
#include <check.h>
#include <errno.h>
#include <string.h>

enum { BULK_OCTETS = 3 * 1024 * 1024 };
#define EARLY "early"
/* crypt(3) of "secret". */
#define USER \
    "alice:$5$rounds=1000$hSJr40AaNyATvimU$yOxH4g3J3eix1HePSlAUYfpkbFrB68VZlfWo2.Frun6\n"

const char *engineplay_name(enum engineplay_kind k)
{
    static const char *const name[ENGINEPLAY_COUNT] = {
#define X(id, text) text,
        ENGINEPLAY_MAP(X)
#undef X
    };
    return name[k];
}

enum outcome engineplay_outcome(enum engineplay_kind k)
{
    if (k == ENGINEPLAY_REFUSED)
        return OUTCOME_REFUSED;
    return k == ENGINEPLAY_MALFORMED ? OUTCOME_MALFORMED : OUTCOME_OK;
}

bool engineplay_mptcp(enum engineplay_kind k)
{
    return k == ENGINEPLAY_MP_CONVERT || k == ENGINEPLAY_CONVERT;
}

void engineplay_start(struct enginebench *b, enum engineplay_kind k)
{
    struct tempfile users = tempfile_text(USER);
    char changes[256];

    (void)snprintf(changes, sizeof changes,
                   "{\"auth\": {\"users_file\": \"%s\", \"cache_ttl_seconds\": 0,"
                   " \"exempt\": [\"127.0.0.0/8\"]}}",
                   users.path);
    enginebench_start(b, k == ENGINEPLAY_PASSWORD ? changes : NULL);
    tempfile_done(&users);
}

/* ---- What the client says ---- */

static void fly(struct engineplay *p, const void *data, size_t len, size_t reply)
{
    memcpy(p->flight[p->flights], data, len);
    p->flight_len[p->flights] = len;
    p->reply[p->flights] = reply;
    p->flights++;
}

static void add_early(struct engineplay *p)
{
    uint8_t *at = p->flight[p->flights - 1] + p->flight_len[p->flights - 1];

    memcpy(at, EARLY, sizeof EARLY - 1);
    p->flight_len[p->flights - 1] += sizeof EARLY - 1;
    p->early = sizeof EARLY - 1;
}

static void say_socks5(struct engineplay *p, uint16_t port)
{
    static const uint8_t greeting[] = {5, 1, 0}, greeting_user[] = {5, 1, 2};
    static const uint8_t password[] = {1, 5,   'a', 'l', 'i', 'c', 'e',
                                       6, 's', 'e', 'c', 'r', 'e', 't'};
    uint8_t all[3 + ENGINEBENCH_REQUEST_LEN] = {5, 1, 0}, *request = all + 3;

    enginebench_request(request, port);
    if (p->kind == ENGINEPLAY_PIPELINED) {
        fly(p, all, sizeof all, 12);
        add_early(p);
        return;
    }
    if (p->kind == ENGINEPLAY_PASSWORD) {
        fly(p, greeting_user, sizeof greeting_user, 2);
        fly(p, password, sizeof password, 2);
    } else {
        fly(p, greeting, sizeof greeting, 2);
    }
    if (p->kind == ENGINEPLAY_RESOLVE_PTR) {
        const uint8_t backwards[] = {5, SOCKS5_RESOLVE_PTR, 0, 1, 192, 0, 2, 7};
        memcpy(request, backwards, sizeof backwards);
    }
    if (p->kind == ENGINEPLAY_NAME || p->kind == ENGINEPLAY_RESOLVE) {
        const uint8_t name[] = {5,
                                (uint8_t)(p->kind == ENGINEPLAY_NAME ? 1 : SOCKS5_RESOLVE),
                                0,
                                3,
                                5,
                                'a',
                                '.',
                                'e',
                                'x',
                                'a',
                                (uint8_t)(port >> 8),
                                (uint8_t)port};
        fly(p, name, sizeof name, 10);
        return;
    }
    /* A name of twelve letters comes back, see enginebench.c; else an address. */
    fly(p, request, ENGINEBENCH_REQUEST_LEN,
        p->kind == ENGINEPLAY_RESOLVE_PTR ? 5 + 12 + 2 : 10);
}

static void say_mp_convert(struct engineplay *p, uint16_t port)
{
    const uint8_t connect[] = {
        0xfa,          0xa8, 0xfa, 0xa8, 0, 10, 0, 1, 192, 0, 2, 7, (uint8_t)(port >> 8),
        (uint8_t)port, 0,    0};
    static const uint8_t probe[] = {0xfa, 0xa8, 0xfa, 0xa8, 0, 4, 0, 1};

    if (p->kind == ENGINEPLAY_PROBE) {
        fly(p, probe, sizeof probe, sizeof probe);
        return;
    }
    fly(p, connect, sizeof connect, sizeof connect);
    add_early(p);
}

static void say_convert(struct engineplay *p, uint16_t port)
{
    uint8_t buf[64];
    struct wr w = {.buf = buf, .cap = sizeof buf};
    static const uint8_t local[4] = {192, 0, 2, 7};
    struct addr target = addr_ipv4(local, port);

    convert_encode_connect(&w, &target, span_of(NULL, 0), span_of(NULL, 0), false);
    ck_assert(!w.overflow);
    if (p->kind == ENGINEPLAY_MALFORMED)
        buf[5] = 0;        /* a TLV of no length */
    fly(p, buf, w.pos, 4); /* at least a header */
    if (p->kind == ENGINEPLAY_CONVERT)
        add_early(p);
}

static void say_socks4(struct engineplay *p, uint16_t port)
{
    const uint8_t request[] = {4, 1, (uint8_t)(port >> 8), (uint8_t)port, 127, 0, 0, 1, 'u', 0};

    fly(p, request, sizeof request, 8);
}

static void say(struct engineplay *p, uint16_t port)
{
    switch (p->kind) {
    case ENGINEPLAY_SOCKS4:
        say_socks4(p, port);
        break;
    case ENGINEPLAY_MP_CONVERT:
    case ENGINEPLAY_PROBE:
        say_mp_convert(p, port);
        break;
    case ENGINEPLAY_CONVERT:
    case ENGINEPLAY_CONVERT_TCP:
    case ENGINEPLAY_MALFORMED:
        say_convert(p, port);
        break;
    case ENGINEPLAY_SOCKS5:
    case ENGINEPLAY_PIPELINED:
    case ENGINEPLAY_NAME:
    case ENGINEPLAY_PASSWORD:
    case ENGINEPLAY_BULK:
    case ENGINEPLAY_RESOLVE:
    case ENGINEPLAY_RESOLVE_PTR:
    case ENGINEPLAY_REFUSED:
    case ENGINEPLAY_COUNT:
        say_socks5(p, port);
        break;
    }
}

static bool dials(enum engineplay_kind k)
{
    return k < ENGINEPLAY_RESOLVE;
}

void engineplay_begin(struct engineplay *p, struct enginebench *b, enum engineplay_kind k)
{
    uint16_t port = 0;

    memset(p, 0, sizeof *p);
    p->bench = b;
    p->kind = k;
    p->dials = dials(k);
    p->bulk = k == ENGINEPLAY_BULK ? BULK_OCTETS : 2;
    p->origin = -1;
    p->listener = rawnet_listen(&port, false);
    if (!p->dials) {
        rawnet_close(p->listener); /* nobody there */
        p->listener = -1;
    }
    say(p, port);
    b->answer = k == ENGINEPLAY_RESOLVE ? RAWNET_OWN : "127.0.0.1";
    p->client = rawnet_connect(b->port, engineplay_mptcp(k));
}

/* ---- What happens then ---- */

static void over(struct engineplay *p, bool complete)
{
    p->over = true;
    p->complete = complete;
}

/* The answers: a Convert message tells its length, in words. */
static bool hear(struct engineplay *p)
{
    bool convert = p->kind == ENGINEPLAY_CONVERT || p->kind == ENGINEPLAY_CONVERT_TCP ||
                   p->kind == ENGINEPLAY_MALFORMED;
    size_t want = p->answers + p->reply[p->flown - 1];

    if (convert && p->heard >= 2)
        want = 4 * (size_t)p->in[1];
    ck_assert_uint_le(want, sizeof p->in);
    while (p->heard < want) {
        ssize_t n = rawnet_recv(p->client, p->in + p->heard, want - p->heard);
        if (n == -EAGAIN)
            return false;
        if (n <= 0) {
            over(p, false);
            return false;
        }
        p->heard += (size_t)n;
        if (convert && p->heard >= 2)
            want = 4 * (size_t)p->in[1];
    }
    p->answers = want;
    return true;
}

static void negotiate(struct engineplay *p)
{
    if (p->flown > 0 && !hear(p))
        return;
    if (p->flown < p->flights) {
        (void)rawnet_send(p->client, p->flight[p->flown], p->flight_len[p->flown]);
        p->flown++;
        return;
    }
    p->act = 1;
    p->flown++;
}

/* What `to` gets is read and thrown away; the number of octets is what counts here. */
static ssize_t drain(int fd)
{
    static uint8_t sink[256 * 1024];
    return rawnet_recv(fd, sink, sizeof sink);
}

static void pour(int fd, size_t *sent, size_t len)
{
    static const uint8_t source[256 * 1024];

    while (*sent < len) {
        size_t most = len - *sent < sizeof source ? len - *sent : sizeof source;
        ssize_t n = rawnet_send(fd, source, most);
        if (n <= 0)
            return;
        *sent += (size_t)n;
    }
}

/* One way: `from` sends p->bulk octets, `to` hears them all. */
static bool carry(struct engineplay *p, int from, int to, size_t extra)
{
    pour(from, &p->sent, p->bulk);
    for (;;) {
        if (p->arrived == p->bulk + extra) {
            p->arrived = p->sent = 0;
            return true;
        }
        ssize_t n = drain(to);
        if (n == -EAGAIN)
            return false;
        if (n <= 0) {
            over(p, false);
            return false;
        }
        p->arrived += (size_t)n;
    }
}

static bool ended(struct engineplay *p, int fd)
{
    ssize_t n = drain(fd);

    if (n < 0 && n != -EAGAIN)
        over(p, false);
    ck_assert_int_le(n, 0);
    return n == 0;
}

/* The client may be gone while the origin still waits. */
static bool client_gone(struct engineplay *p)
{
    uint8_t octet;
    long n = recv(p->client, &octet, 1, MSG_PEEK | MSG_DONTWAIT);
    return n == 0 || (n < 0 && errno != EAGAIN);
}

static void relay(struct engineplay *p)
{
    switch (p->act) {
    case 1:
        p->origin = rawnet_accept(p->listener);
        if (p->origin < 0) {
            if (client_gone(p))
                over(p, false);
            return;
        }
        p->act++;
        break;
    case 2:
        if (carry(p, p->client, p->origin, p->early))
            p->act++;
        break;
    case 3:
        if (carry(p, p->origin, p->client, 0)) {
            rawnet_shutdown(p->client);
            p->act++;
        }
        break;
    case 4:
        if (ended(p, p->origin)) {
            p->bulk = 2;
            p->act++;
        }
        break;
    case 5: /* the other half goes on */
        if (carry(p, p->origin, p->client, 0)) {
            rawnet_shutdown(p->origin);
            p->act++;
        }
        break;
    default:
        if (ended(p, p->client))
            over(p, true);
        break;
    }
}

static void one_step(struct engineplay *p)
{
    if (p->act == 0)
        negotiate(p);
    else if (p->dials)
        relay(p);
    else if (ended(p, p->client))
        over(p, true);
}

void engineplay_step(struct engineplay *p)
{
    unsigned act, flown;

    do {
        act = p->act;
        flown = p->flown;
        if (!p->over)
            one_step(p);
    } while (!p->over && (act != p->act || flown != p->flown));
}

void engineplay_end(struct engineplay *p)
{
    if (p->client >= 0)
        rawnet_close(p->client);
    if (p->origin >= 0)
        rawnet_close(p->origin);
    if (p->listener >= 0)
        rawnet_close(p->listener);
}

bool engineplay_run(struct enginebench *b, enum engineplay_kind k)
{
    struct engineplay p;

    engineplay_begin(&p, b, k);
    engineplay_step(&p);
    for (int i = 0; i < ENGINEBENCH_TURNS && !p.over; i++) {
        enginebench_turn(b);
        engineplay_step(&p);
    }
    ck_assert_msg(p.over, "%s: hangs in act %u after %zu octets of answer", engineplay_name(k),
                  p.act, p.heard);
    engineplay_end(&p);
    return p.complete;
}
