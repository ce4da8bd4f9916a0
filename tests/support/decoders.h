/* SPDX-License-Identifier: MIT */
/* decoders - the decoders of common/wire as verdict.h takes them, without their outputs. For
 * unit tests and fuzzers alike. */
#ifndef SUPPORT_DECODERS_H
#define SUPPORT_DECODERS_H
#include "wire/convert.h"
#include "wire/mpconvert.h"
#include "wire/proxy_header.h"
#include "wire/socks4.h"
#include "wire/socks5.h"

static inline struct decode decoder_convert_request(struct span in)
{
    struct convert_request out;

    return convert_decode_request(in, &out);
}

static inline struct decode decoder_convert_answer(struct span in)
{
    struct convert_answer out;

    return convert_decode_answer(in, &out);
}

static inline struct decode decoder_mpconvert(struct span in) /* the bit as in draft -10 */
{
    struct mpconvert_request out;

    return mpconvert_decode(in, MPCONVERT_M_DRAFT, &out);
}

static inline struct decode decoder_pm08(struct span in)
{
    struct mpconvert_request out;

    return pm08_decode(in, &out);
}

static inline struct decode decoder_proxy_header(struct span in)
{
    struct proxy_header out;

    return proxy_header_decode(in, &out);
}

static inline struct decode decoder_socks4_request(struct span in)
{
    struct socks4_request out;

    return socks4_decode_request(in, &out);
}

static inline struct decode decoder_socks5_greeting(struct span in)
{
    struct socks5_greeting out;

    return socks5_decode_greeting(in, &out);
}

static inline struct decode decoder_socks5_userpass(struct span in)
{
    struct socks5_userpass out;

    return socks5_decode_userpass(in, &out);
}

static inline struct decode decoder_socks5_request(struct span in)
{
    struct socks5_request out;

    return socks5_decode_request(in, &out);
}

static inline struct decode decoder_socks5_method(struct span in)
{
    uint8_t out;

    return socks5_decode_method(in, &out);
}

static inline struct decode decoder_socks5_status(struct span in)
{
    bool out;

    return socks5_decode_userpass_status(in, &out);
}

static inline struct decode decoder_socks5_reply(struct span in)
{
    struct socks5_reply out;

    return socks5_decode_reply(in, &out);
}

static inline struct decode decoder_socks5_udp(struct span in)
{
    struct socks5_udp out;

    return socks5_decode_udp(in, &out);
}

static inline struct decode decoder_socks5_fwd_udp(struct span in)
{
    struct target out;
    uint16_t data_len;

    return socks5_decode_fwd_udp(in, &out, &data_len);
}

#endif
