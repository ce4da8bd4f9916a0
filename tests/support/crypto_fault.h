/* SPDX-License-Identifier: MIT */
/* crypto_fault - makes every allocation inside OpenSSL fail while a switch is on. Install in
 * main(), before anything else: the library refuses new allocators after its first allocation.
 * One thread while the switch is on. */
#ifndef SUPPORT_CRYPTO_FAULT_H
#define SUPPORT_CRYPTO_FAULT_H
#include <check.h>
#include <openssl/crypto.h>
#include <openssl/evp.h>
#include <openssl/rand.h>
#include <stdatomic.h>
#include <stdlib.h>

static atomic_bool crypto_fault;

static void *crypto_fault_malloc(size_t size, const char *file, int line)
{
    (void)file;
    (void)line;
    return atomic_load(&crypto_fault) ? NULL : malloc(size);
}

static void *crypto_fault_realloc(void *old, size_t size, const char *file, int line)
{
    (void)file;
    (void)line;
    return atomic_load(&crypto_fault) ? NULL : realloc(old, size);
}

static void crypto_fault_free(void *ptr, const char *file, int line)
{
    (void)file;
    (void)line;
    free(ptr);
}

static inline void crypto_fault_install(void)
{
    unsigned char octet;

    if (CRYPTO_set_mem_functions(crypto_fault_malloc, crypto_fault_realloc,
                                 crypto_fault_free) != 1)
        abort();
    /* OpenSSL 3.0 crashes when its very first steps find no memory: have them behind us. */
    EVP_MAC *method = EVP_MAC_fetch(NULL, "HMAC", NULL);
    if (method == NULL || RAND_bytes(&octet, 1) != 1)
        abort();
    EVP_MAC_free(method);
}

static inline void crypto_fault_set(bool on)
{
    atomic_store(&crypto_fault, on);
}

#endif
