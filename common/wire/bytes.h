/* SPDX-License-Identifier: MIT */
/* bytes - borrowed views, a bounded reader and a bounded writer for wire formats. No allocation, no I/O.
 * Happy path: the caller reads or writes field after field and looks once at the end.
 * Failure path: the first read past the end latches `want` (the input length that read needed); every later read yields
 * zero and moves nothing. The first write past the end latches `overflow`; later writes do nothing. */
#ifndef WIRE_BYTES_H
#define WIRE_BYTES_H
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>

struct span {
    const uint8_t *ptr; /* borrowed; may be NULL when len == 0 */
    size_t len;         /* octets */
};

struct rd {
    struct span in;
    size_t pos;
    size_t want; /* 0 while nothing was missing */
};

struct wr {
    uint8_t *buf; /* the caller's */
    size_t cap;
    size_t pos; /* octets written so far */
    bool overflow;
};

static inline struct span span_of(const void *ptr, size_t len)
{
    return (struct span){.ptr = (const uint8_t *)ptr, .len = len};
}

/* What lies behind the first `n` octets; empty when n >= s.len. */
static inline struct span span_skip(struct span s, size_t n)
{
    if (n >= s.len)
        return (struct span){.ptr = NULL, .len = 0};
    return (struct span){.ptr = s.ptr + n, .len = s.len - n};
}

static inline bool span_equal(struct span a, struct span b)
{
    return a.len == b.len && (a.len == 0 || memcmp(a.ptr, b.ptr, a.len) == 0);
}

static inline size_t rd_left(const struct rd *r)
{
    return r->in.len - r->pos;
}

/* A view of the next `n` octets, or an empty one (and `want` latched) when they are not there. */
static inline struct span rd_span(struct rd *r, size_t n)
{
    if (r->want != 0)
        return (struct span){.ptr = NULL, .len = 0};
    if (n > r->in.len - r->pos) {
        r->want = r->pos + n;
        return (struct span){.ptr = NULL, .len = 0};
    }
    struct span s = {.ptr = n == 0 ? NULL : r->in.ptr + r->pos, .len = n};
    r->pos += n;
    return s;
}

static inline uint8_t rd_u8(struct rd *r)
{
    struct span s = rd_span(r, 1);
    return s.len == 1 ? s.ptr[0] : 0;
}

static inline uint16_t rd_be16(struct rd *r)
{
    struct span s = rd_span(r, 2);
    return s.len == 2 ? (uint16_t)((unsigned)s.ptr[0] << 8 | s.ptr[1]) : 0;
}

static inline uint32_t rd_be32(struct rd *r)
{
    uint32_t hi = rd_be16(r);
    return hi << 16 | rd_be16(r);
}

static inline struct span wr_done(const struct wr *w)
{
    return (struct span){.ptr = w->buf, .len = w->overflow ? 0 : w->pos};
}

static inline void wr_bytes(struct wr *w, const void *src, size_t n)
{
    if (w->overflow || n > w->cap - w->pos) {
        w->overflow = true;
        return;
    }
    if (n > 0)
        memcpy(w->buf + w->pos, src, n);
    w->pos += n;
}

static inline void wr_zero(struct wr *w, size_t n)
{
    if (w->overflow || n > w->cap - w->pos) {
        w->overflow = true;
        return;
    }
    memset(w->buf + w->pos, 0, n);
    w->pos += n;
}

static inline void wr_u8(struct wr *w, uint8_t v)
{
    wr_bytes(w, &v, 1);
}

static inline void wr_be16(struct wr *w, uint16_t v)
{
    wr_bytes(w, (const uint8_t[2]){(uint8_t)(v >> 8), (uint8_t)v}, 2);
}

#endif
