/* SPDX-License-Identifier: MIT */
/* keyed_hash - SipHash-1-3 (Aumasson, Bernstein) of whole words, for hash tables whose keys a
 * peer may choose. Header only. Words are in host order: values never leave this process. */
#ifndef SERVER_KEYED_HASH_H
#define SERVER_KEYED_HASH_H
#include <stddef.h>
#include <stdint.h>

static inline uint64_t keyed_hash_rotl(uint64_t v, unsigned n)
{
    return v << n | v >> (64 - n);
}

static inline void keyed_hash_round(uint64_t v[4])
{
    v[0] += v[1];
    v[2] += v[3];
    v[1] = keyed_hash_rotl(v[1], 13) ^ v[0];
    v[3] = keyed_hash_rotl(v[3], 16) ^ v[2];
    v[0] = keyed_hash_rotl(v[0], 32);
    v[2] += v[1];
    v[0] += v[3];
    v[1] = keyed_hash_rotl(v[1], 17) ^ v[2];
    v[3] = keyed_hash_rotl(v[3], 21) ^ v[0];
    v[2] = keyed_hash_rotl(v[2], 32);
}

static inline void keyed_hash_word(uint64_t v[4], uint64_t m)
{
    v[3] ^= m;
    keyed_hash_round(v);
    v[0] ^= m;
}

static inline uint64_t keyed_hash(const uint64_t key[2], const uint64_t *word, size_t count)
{
    uint64_t v[4] = {key[0] ^ 0x736f6d6570736575U, key[1] ^ 0x646f72616e646f6dU,
                     key[0] ^ 0x6c7967656e657261U, key[1] ^ 0x7465646279746573U};

    for (size_t i = 0; i < count; i++)
        keyed_hash_word(v, word[i]);
    keyed_hash_word(v, (uint64_t)(count * 8) << 56); /* the length in octets, modulo 256 */
    v[2] ^= 0xff;
    for (int i = 0; i < 3; i++)
        keyed_hash_round(v);
    return v[0] ^ v[1] ^ v[2] ^ v[3];
}

#endif
