/* SPDX-License-Identifier: MIT */
#include "dnsd.h"
#include <arpa/inet.h>
#include <check.h>
#include <string.h>

enum { HEADER = 12, MESSAGE_MAX = 4096, ANCOUNT_AT = 6, NSCOUNT_AT = 8, FLAGS_AT = 2 };

/* ---- Messages ---- */

static void put_be32(struct wr *w, uint32_t v)
{
    wr_be16(w, (uint16_t)(v >> 16));
    wr_be16(w, (uint16_t)v);
}

/* A dotted name, uncompressed. */
static void put_name(struct wr *w, const char *name)
{
    while (*name != 0) {
        size_t len = strcspn(name, ".");
        wr_u8(w, (uint8_t)len);
        wr_bytes(w, name, len);
        name += len;
        name += *name == '.';
    }
    wr_u8(w, 0);
}

static void bump(struct dnsd_reply *r, size_t at)
{
    r->w.buf[at + 1]++;
}

static void put_record(struct dnsd_reply *r, const char *name, uint16_t type, uint32_t ttl_s)
{
    put_name(&r->w, name);
    wr_be16(&r->w, type);
    wr_be16(&r->w, 1); /* IN */
    put_be32(&r->w, ttl_s);
}

void dnsd_begin(struct dnsd_reply *r, uint8_t *buf, size_t cap, uint16_t id,
                const struct dnsd_question *q)
{
    memset(r, 0, sizeof *r);
    r->w.buf = buf;
    r->w.cap = cap;
    wr_be16(&r->w, id);
    wr_be16(&r->w, 0x8180); /* a reply; recursion desired and available */
    wr_be16(&r->w, 1);
    wr_zero(&r->w, 6);
    put_name(&r->w, q->name);
    wr_be16(&r->w, q->type);
    wr_be16(&r->w, 1);
}

void dnsd_rcode(struct dnsd_reply *r, unsigned rcode)
{
    r->w.buf[FLAGS_AT + 1] = (uint8_t)((r->w.buf[FLAGS_AT + 1] & 0xF0) | rcode);
}

void dnsd_truncated(struct dnsd_reply *r)
{
    r->w.buf[FLAGS_AT] |= 2;
}

void dnsd_a(struct dnsd_reply *r, const char *name, uint32_t ttl_s, uint8_t last)
{
    put_record(r, name, DNSD_A, ttl_s);
    wr_be16(&r->w, 4);
    wr_bytes(&r->w, (const uint8_t[4]){192, 0, 2, last}, 4);
    bump(r, ANCOUNT_AT);
}

void dnsd_aaaa(struct dnsd_reply *r, const char *name, uint32_t ttl_s, uint8_t last)
{
    put_record(r, name, DNSD_AAAA, ttl_s);
    wr_be16(&r->w, 16);
    wr_bytes(&r->w, (const uint8_t[16]){0x20, 0x01, 0x0d, 0xb8, [15] = last}, 16);
    bump(r, ANCOUNT_AT);
}

void dnsd_name(struct dnsd_reply *r, const char *name, uint16_t type, uint32_t ttl_s,
               const char *value)
{
    uint8_t buf[256];
    struct wr w = {.buf = buf, .cap = sizeof buf};

    put_name(&w, value);
    put_record(r, name, type, ttl_s);
    wr_be16(&r->w, (uint16_t)w.pos);
    wr_bytes(&r->w, buf, w.pos);
    bump(r, ANCOUNT_AT);
}

void dnsd_soa(struct dnsd_reply *r, const char *name, uint32_t ttl_s, uint32_t minimum_s)
{
    uint8_t buf[512];
    struct wr w = {.buf = buf, .cap = sizeof buf};

    put_name(&w, "ns.example.net");
    put_name(&w, "admin.example.net");
    for (uint32_t i = 1; i <= 4; i++)
        put_be32(&w, i * 1000000); /* serial, refresh, retry, expire */
    put_be32(&w, minimum_s);
    put_record(r, name, DNSD_SOA, ttl_s);
    wr_be16(&r->w, (uint16_t)w.pos);
    wr_bytes(&r->w, buf, w.pos);
    bump(r, NSCOUNT_AT);
}

/* The one question of a query. */
static bool read_question(struct span msg, uint16_t *id, struct dnsd_question *q)
{
    struct rd r = {.in = msg};
    struct wr name = {.buf = (uint8_t *)q->name, .cap = sizeof q->name - 1};

    *id = rd_be16(&r);
    (void)rd_span(&r, HEADER - 2);
    for (uint8_t len = rd_u8(&r); len != 0 && r.want == 0; len = rd_u8(&r)) {
        struct span label = rd_span(&r, len);
        if (name.pos > 0)
            wr_u8(&name, '.');
        wr_bytes(&name, label.ptr, label.len);
    }
    q->name[name.pos] = 0;
    q->type = rd_be16(&r);
    return r.want == 0 && !name.overflow;
}

/* Octets of the reply in `out`; 0: none. */
static size_t handle(struct dnsd *d, struct span msg, bool tcp, uint8_t *out, size_t cap)
{
    struct dnsd_reply r;
    uint16_t id;

    if (!read_question(msg, &id, &d->last))
        return 0;
    d->last.tcp = tcp;
    d->asked++;
    dnsd_begin(&r, out, cap, id, &d->last);
    d->answer(d->arg, &d->last, &r);
    ck_assert(!r.w.overflow);
    return r.drop ? 0 : r.w.pos;
}

/* ---- Sockets ---- */

static void on_alloc(uv_handle_t *h, size_t suggested, uv_buf_t *buf)
{
    struct dnsd *d = h->data;

    (void)suggested;
    *buf = uv_buf_init(d->in, sizeof d->in);
}

static void on_datagram(uv_udp_t *h, ssize_t n, const uv_buf_t *buf,
                        const struct sockaddr *from, unsigned flags)
{
    struct dnsd *d = h->data;
    uint8_t reply[MESSAGE_MAX];

    (void)flags;
    if (n > 0 && from != NULL) {
        size_t len = handle(d, span_of(buf->base, (size_t)n), false, reply, sizeof reply);
        uv_buf_t out = uv_buf_init((char *)reply, (unsigned)len);
        if (len > 0)
            ck_assert_int_eq(uv_udp_try_send(h, &out, 1, from), (int)len);
    }
}

/* A query arrives whole: it is small, and one write of the client's. */
static void on_stream(uv_stream_t *h, ssize_t n, const uv_buf_t *buf)
{
    struct dnsd *d = h->data;
    uint8_t reply[MESSAGE_MAX + 2];

    if (n < 0) {
        uv_close((uv_handle_t *)h, NULL);
    } else if (n > 2) {
        size_t len =
            handle(d, span_of(buf->base + 2, (size_t)n - 2), true, reply + 2, sizeof reply - 2);
        reply[0] = (uint8_t)(len >> 8);
        reply[1] = (uint8_t)len;
        uv_buf_t out = uv_buf_init((char *)reply, (unsigned)len + 2);
        if (len > 0)
            ck_assert_int_eq(uv_try_write(h, &out, 1), (int)len + 2);
    }
}

static void on_connection(uv_stream_t *listener, int status)
{
    struct dnsd *d = listener->data;

    ck_assert_int_eq(status, 0);
    ck_assert_uint_lt(d->peers, sizeof d->peer / sizeof d->peer[0]);
    uv_tcp_t *peer = &d->peer[d->peers++];
    ck_assert_int_eq(uv_tcp_init(listener->loop, peer), 0);
    peer->data = d;
    ck_assert_int_eq(uv_accept(listener, (uv_stream_t *)peer), 0);
    ck_assert_int_eq(uv_read_start((uv_stream_t *)peer, on_alloc, on_stream), 0);
}

static bool bind_both(struct dnsd *d, uv_loop_t *loop)
{
    struct sockaddr_in at = {.sin_family = AF_INET, .sin_addr.s_addr = htonl(INADDR_LOOPBACK)};
    int len = sizeof at;

    ck_assert_int_eq(uv_udp_init(loop, &d->udp), 0);
    ck_assert_int_eq(uv_tcp_init(loop, &d->tcp), 0);
    ck_assert_int_eq(uv_udp_bind(&d->udp, (const struct sockaddr *)&at, 0), 0);
    ck_assert_int_eq(uv_udp_getsockname(&d->udp, (struct sockaddr *)&at, &len), 0);
    d->port = ntohs(at.sin_port);
    return uv_tcp_bind(&d->tcp, (const struct sockaddr *)&at, 0) == 0 &&
           uv_listen((uv_stream_t *)&d->tcp, 8, on_connection) == 0;
}

void dnsd_start(struct dnsd *d, uv_loop_t *loop, dnsd_answer_fn *answer, void *arg)
{
    memset(d, 0, sizeof *d);
    d->answer = answer;
    d->arg = arg;
    while (!bind_both(d, loop)) { /* a UDP port was free, the TCP one was not */
        dnsd_stop(d);
        (void)uv_run(loop, UV_RUN_NOWAIT);
    }
    d->udp.data = d->tcp.data = d;
    ck_assert_int_eq(uv_udp_recv_start(&d->udp, on_alloc, on_datagram), 0);
    uv_unref((uv_handle_t *)&d
                 ->udp); /* a test's loop ends when the module under test has nothing left */
    uv_unref((uv_handle_t *)&d->tcp);
}

void dnsd_stop(struct dnsd *d)
{
    uv_close((uv_handle_t *)&d->udp, NULL);
    uv_close((uv_handle_t *)&d->tcp, NULL);
}
