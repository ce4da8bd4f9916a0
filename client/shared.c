/* SPDX-License-Identifier: MIT */
/* The mapping and the counters; the truth and the names have files of their own. */
#include "shared.h"
#include "mapfile.h"
#include "shared_layout.h"
#include "sys.h"
#include <errno.h>
#include <linux/futex.h>
#include <sys/syscall.h>

struct shared *shared_map(const char *path)
{
    void *at = NULL;

    if (path == NULL || *path == '\0')
        return mapfile_anonymous(sizeof(struct shared));
    if (mapfile_open(path, sizeof(struct shared), MAPFILE_EXISTING, &at) < 0)
        return NULL;
    struct shared *s = at;
    if (atomic_load_explicit(&s->magic, memory_order_acquire) != SHARED_MAGIC) {
        sys_unmap(at, sizeof *s);
        return NULL;
    }
    return s;
}

int shared_create(const char *path)
{
    void *at = NULL;
    int rc = mapfile_open(path, sizeof(struct shared), MAPFILE_NEW, &at);

    if (rc < 0)
        return rc;
    struct shared *s = at;
    atomic_store_explicit(&s->magic, SHARED_MAGIC, memory_order_release);
    sys_unmap(at, sizeof *s);
    return 0;
}

void shared_add(struct shared *s, enum shared_count which, uint64_t n)
{
    if (s != NULL && which < SHARED_COUNTS)
        (void)atomic_fetch_add_explicit(&s->count[which], n, memory_order_relaxed);
}

uint64_t shared_get(const struct shared *s, enum shared_count which)
{
    if (s == NULL || which >= SHARED_COUNTS)
        return 0;
    return atomic_load_explicit(&s->count[which], memory_order_relaxed);
}

const char *shared_count_name(enum shared_count which)
{
    static const char *const name[SHARED_COUNTS] = {
#define X(count, text) [SHARED_##count] = (text),
        SHARED_COUNT_MAP(X)
#undef X
    };

    return which < SHARED_COUNTS ? name[which] : "-";
}

void *shared_page(struct shared *s)
{
    return s != NULL ? s->page : NULL;
}

void *shared_natives(struct shared *s)
{
    return s != NULL ? s->natives : NULL;
}

void shared_wish(struct shared *s)
{
    if (s != NULL && atomic_load_explicit(&s->wish, memory_order_relaxed) == 0 &&
        atomic_exchange(&s->wish, 1) == 0)
        (void)sys_call(SYS_futex, (long)&s->wish, FUTEX_WAKE, 1, 0, 0, 0);
}

void shared_await_wish(struct shared *s)
{
    while (atomic_exchange(&s->wish, 0) == 0)
        (void)sys_call(SYS_futex, (long)&s->wish, FUTEX_WAIT, 0, 0, 0, 0);
}
