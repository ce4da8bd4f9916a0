/* SPDX-License-Identifier: MIT */
/* shared_layout - what lies where in the memory of a run; for shared*.c only. All zeroes is the
 * empty state. Only plain words that the machine loads and stores in one piece: no pointer
 * (every process maps it elsewhere), no lock. Change SHARED_MAGIC with the layout. */
#ifndef CLIENT_SHARED_LAYOUT_H
#define CLIENT_SHARED_LAYOUT_H
#include "shared.h"
#include <stdatomic.h>
#include <stdint.h>

_Static_assert(ATOMIC_LLONG_LOCK_FREE == 2 && ATOMIC_INT_LOCK_FREE == 2,
               "a lock inside an atomic would not work between processes");
_Static_assert(sizeof(_Atomic uint64_t) == 8 && sizeof(_Atomic uint32_t) == 4,
               "no hidden lock");

#define SHARED_MAGIC UINT64_C(0x4d50435652550003)

enum {
    TRUTH_BUCKETS = 4096,
    TRUTH_SLOTS = 8, /* their heads fill one cache line */
    TRUTH_WORDS = 8,
    NAMES_SLOTS = 131072,  /* the addresses of 198.18.0.0/15 */
    NAMES_TEXT = 1u << 20, /* some 40,000 names */
};

struct truth_bucket {
    _Atomic uint64_t head[TRUTH_SLOTS];
    _Atomic uint64_t word[TRUTH_SLOTS][TRUTH_WORDS];
};

struct shared {
    _Atomic uint64_t magic;
    _Atomic uint64_t count[SHARED_COUNTS];
    _Atomic uint32_t truth_version; /* of the latest write to any entry */
    _Atomic uint32_t text_used;
    _Atomic uint32_t wish; /* a futex: 1 when there is one */
    _Alignas(64) unsigned char page[SHARED_PAGE];
    _Alignas(64) unsigned char natives[SHARED_NATIVES];
    _Alignas(64) struct truth_bucket truth[TRUTH_BUCKETS];
    _Atomic uint32_t name[NAMES_SLOTS]; /* 0, or 1 + where in `text` its record begins */
    char text[NAMES_TEXT];              /* records: one length octet, the name in lower case */
};

#endif
