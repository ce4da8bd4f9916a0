/* SPDX-License-Identifier: MIT */
#include "pending.h"
#include "sys.h"
#include <sys/mman.h>
#include <sys/syscall.h>

enum { CHUNK = 64, CHUNKS = PENDING_MAX / CHUNK };

struct chunk {
    struct pending slot[CHUNK];
};

/* Chunks are mapped when first needed and stay; one bit for each slot that is taken. */
static _Atomic(struct chunk *) chunks[CHUNKS];
static _Atomic uint64_t taken[CHUNKS];

/* Private memory: sys_map() gives shared memory, which a forked child would scribble on. */
static struct chunk *map_chunk(_Atomic(struct chunk *) *at)
{
    long rc = sys_call(SYS_mmap, 0, sizeof(struct chunk), PROT_READ | PROT_WRITE,
                       MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);

    if (rc < 0 && rc > -4096)
        return NULL;
    struct chunk *fresh = (struct chunk *)rc; /* NOLINT(performance-no-int-to-ptr) */
    struct chunk *there = NULL;

    if (atomic_compare_exchange_strong(at, &there, fresh))
        return fresh;
    sys_unmap(fresh, sizeof *fresh); /* another thread was faster */
    return there;
}

struct pending *pending_take(void)
{
    for (unsigned c = 0; c < CHUNKS; c++) {
        struct chunk *k = atomic_load(&chunks[c]);
        uint64_t bits = atomic_load(&taken[c]);

        if (k == NULL)
            k = map_chunk(&chunks[c]);
        if (k == NULL)
            return NULL;
        while (bits != UINT64_MAX) {
            unsigned i = (unsigned)__builtin_ctzll(~bits);

            if (!atomic_compare_exchange_weak(&taken[c], &bits, bits | (uint64_t)1 << i))
                continue;
            struct pending *p = &k->slot[i];

            p->index = c * CHUNK + i;
            atomic_store(&p->done, 0);
            atomic_store(&p->refs, 1);
            return p;
        }
    }
    return NULL;
}

static bool hold(struct pending *p)
{
    uint32_t n = atomic_load(&p->refs);

    while (n != 0)
        if (atomic_compare_exchange_weak(&p->refs, &n, n + 1))
            return true;
    return false;
}

struct pending *pending_next(const struct pending *p)
{
    unsigned from = p == NULL ? 0 : p->index + 1;

    for (unsigned c = from / CHUNK; c < CHUNKS; c++, from = 0) {
        uint64_t bits = atomic_load(&taken[c]) & (UINT64_MAX << from % CHUNK);

        if (bits != 0)
            return &atomic_load(&chunks[c])->slot[__builtin_ctzll(bits)];
    }
    return NULL;
}

struct pending *pending_find(uint64_t cookie)
{
    struct pending *p = NULL;

    while ((p = pending_next(p)) != NULL) {
        if (atomic_load(&p->cookie) != cookie || !hold(p))
            continue;
        if (atomic_load(&p->cookie) == cookie)
            return p;
        pending_release(p); /* it was given to another meanwhile */
    }
    return NULL;
}

void pending_release(struct pending *p)
{
    unsigned i = p->index;

    if (atomic_load(&p->refs) == 1)
        atomic_store(&p->cookie, 0);
    if (atomic_fetch_sub(&p->refs, 1) == 1)
        (void)atomic_fetch_and(&taken[i / CHUNK], ~((uint64_t)1 << i % CHUNK));
}
