/* SPDX-License-Identifier: MIT */
/* mac - HMAC-SHA-256 under a fixed key. Header only. The keyed context is never changed after
 * mac_new: each computation works on a copy, so any thread may use it. */
#ifndef SERVER_MAC_H
#define SERVER_MAC_H
#include "base/check.h"
#include "wire/bytes.h"
#include <openssl/core_names.h>
#include <openssl/crypto.h>
#include <openssl/evp.h>
#include <openssl/params.h>
#include <openssl/rand.h>

enum { MAC_LEN = 32 };

/* Free with EVP_MAC_CTX_free(), which wipes the key. NULL: out of memory. */
static inline MUST_CHECK EVP_MAC_CTX *mac_new(struct span key)
{
    char digest[] = "SHA256";
    const OSSL_PARAM params[] = {
        OSSL_PARAM_construct_utf8_string(OSSL_MAC_PARAM_DIGEST, digest, 0),
        OSSL_PARAM_construct_end()};
    EVP_MAC *method = EVP_MAC_fetch(NULL, "HMAC", NULL);
    EVP_MAC_CTX *ctx = method == NULL ? NULL : EVP_MAC_CTX_new(method);

    EVP_MAC_free(method);
    if (ctx != NULL && EVP_MAC_init(ctx, key.ptr, key.len, params) == 1)
        return ctx;
    EVP_MAC_CTX_free(ctx);
    return NULL;
}

/* NULL also when there is no randomness. */
static inline MUST_CHECK EVP_MAC_CTX *mac_new_random(void)
{
    uint8_t key[MAC_LEN];

    if (RAND_bytes(key, sizeof key) != 1)
        return NULL;
    EVP_MAC_CTX *ctx = mac_new(span_of(key, sizeof key));
    OPENSSL_cleanse(key, sizeof key);
    return ctx;
}

/* False: out of memory; `out` is then undefined. */
static inline MUST_CHECK bool mac_of(const EVP_MAC_CTX *keyed, struct span in,
                                     uint8_t out[MAC_LEN])
{
    EVP_MAC_CTX *ctx = EVP_MAC_CTX_dup(keyed);
    size_t len = 0;
    bool ok = ctx != NULL && EVP_MAC_update(ctx, in.ptr, in.len) == 1 &&
              EVP_MAC_final(ctx, out, &len, MAC_LEN) == 1 && len == MAC_LEN;

    EVP_MAC_CTX_free(ctx);
    return ok;
}

#endif
