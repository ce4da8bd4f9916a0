/* SPDX-License-Identifier: MIT */
/* mpconvert_check - what the tests of the two dialects of wire/mpconvert.h share: both carry
 * the same addresses, ports and lengths. */
#ifndef SUPPORT_MPCONVERT_CHECK_H
#define SUPPORT_MPCONVERT_CHECK_H
#include "wire/mpconvert.h"
#include <check.h>
#include <stdlib.h>

/* Octets of an initializer. */
#define V4 192, 0, 2, 10
#define V6 0x20, 0x01, 0x0d, 0xb8, 0, 0, 0, 0, 0, 0, 0, 0, 0, 1, 0, 2

typedef struct decode mpconvert_decode_fn(struct span in, struct mpconvert_request *out);

/* From an exact-size heap copy, so that a read past the end is seen; *out must be untouched
 * unless DONE. */
static inline struct decode ck_decode_copy(mpconvert_decode_fn *decode, const uint8_t *msg,
                                           size_t n, struct mpconvert_request *out)
{
    struct mpconvert_request before;
    uint8_t *copy = malloc(n);

    ck_assert_ptr_nonnull(copy);
    memcpy(copy, msg, n);
    memset(&before, 0xA5, sizeof before);
    *out = before;
    struct decode d = decode(span_of(copy, n), out);
    free(copy);
    if (d.status != DECODE_DONE)
        ck_assert_mem_eq(out, &before, sizeof before);
    return d;
}

static inline bool forbidden_first_octet(unsigned v)
{
    return v == 0 || v == 127 || v >= 224;
}

static inline bool legal_length(unsigned v)
{
    return v == 4 || v == 8 || v == 10 || v == 20 || v == 22;
}

/* `kind` 0: none, 1: IPv4, 2: IPv6 */
static inline struct addr sample_addr(unsigned kind)
{
    static const uint8_t v4[] = {V4}, v6[] = {V6};

    if (kind == 0)
        return (struct addr){.family = ADDR_NONE};
    return kind == 1 ? addr_ipv4(v4, 8443) : addr_ipv6(v6, 8443);
}

/* What was sent is what was understood; a port that was not sent is 0. */
static inline void ck_same_addr(const struct addr *sent, bool with_port, const struct addr *got,
                                bool got_port)
{
    struct addr want = *sent;
    bool has_port = with_port && sent->family != ADDR_NONE;

    if (!has_port)
        want.port = 0;
    ck_assert(addr_equal(&want, got));
    ck_assert(got_port == has_port);
}

#endif
