/* SPDX-License-Identifier: MIT */
/* Happy path: log_queue_put() copies a finished line into one ring under a mutex that is only
 * ever held for such a copy. The writer sleeps until there is something, naps a few
 * milliseconds so that a busy process pays one write(2) and one wake-up for many lines, and
 * writes straight from the ring, unlocked.
 *
 * Failure paths. Ring full (the sink is slower than we are): the line is dropped and counted.
 * EAGAIN: the writer polls, callers never notice. EPIPE, ENOSPC, ...: what was to be written is
 * dropped and counted, the next batch tries again; a line torn by that is ended first. Sink
 * stuck inside write(2) at log_queue_free(): after one second the thread is left there with the
 * memory, which it frees when the kernel lets go of it. */
#include "base/log_queue.h"
#include "base/check.h"
#include <errno.h>
#include <poll.h>
#include <pthread.h>
#include <signal.h>
#include <stdatomic.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

enum {
    NAP_MS = 5,
    WRITE_MAX = 1 << 16,       /* a slow sink frees the ring bit by bit */
    BATCH = LOG_QUEUE_MAX / 4, /* ends a nap early */
    POLL_MS = 100,
    FLUSH_MS = 1000,
};

struct log_queue {
    int fd;
    atomic_uint_fast64_t written, dropped;

    pthread_t writer;
    pthread_mutex_t lock;
    pthread_cond_t work, finished;
    size_t wake_at; /* signal `work` when this much is queued; SIZE_MAX: the writer is awake */
    size_t head;
    atomic_size_t used; /* changed under the lock; read anywhere */
    bool stop, done;
    bool orphaned; /* log_queue_free() gave up waiting: the writer frees */
    uint64_t give_up_ms;
    bool mid_line; /* the last octet written did not end its line */
    bool torn;     /* ... and the rest of that line was dropped */
    char ring[LOG_QUEUE_MAX];
};

static uint64_t monotonic_ms(void)
{
    struct timespec t;

    (void)clock_gettime(CLOCK_MONOTONIC, &t); /* cannot fail for this clock */
    return (uint64_t)t.tv_sec * 1000 + (uint64_t)t.tv_nsec / 1000000;
}

static struct timespec timespec_ms(uint64_t ms)
{
    return (struct timespec){.tv_sec = (time_t)(ms / 1000),
                             .tv_nsec = (long)(ms % 1000) * 1000000};
}

static uint64_t count_lines(const char *text, size_t len)
{
    const char *end = text + len;
    uint64_t lines = 0;

    for (const char *at = text; at < end && (at = memchr(at, '\n', (size_t)(end - at))) != NULL;
         at++)
        lines++; /* a newline only ever ends a line: those of the text are escaped */
    return lines;
}

/* Waits under the lock for `bytes` queued, log_queue_free() or the deadline (0: none). */
static void wait_for(struct log_queue *q, size_t bytes, uint64_t deadline_ms)
{
    struct timespec until = timespec_ms(deadline_ms);

    while (!q->stop && atomic_load_explicit(&q->used, memory_order_relaxed) < bytes) {
        q->wake_at = bytes;
        if (deadline_ms == 0)
            (void)pthread_cond_wait(&q->work,
                                    &q->lock); /* fails only for a mutex we do not own */
        else if (pthread_cond_timedwait(&q->work, &q->lock, &until) == ETIMEDOUT)
            break;
    }
    q->wake_at = SIZE_MAX;
}

/* The first `len` octets of the ring are done with. Lock held. */
static void consume(struct log_queue *q, size_t len, atomic_uint_fast64_t *lines)
{
    while (len > 0) {
        size_t n = LOG_QUEUE_MAX - q->head;

        if (n > len)
            n = len;
        atomic_fetch_add_explicit(lines, count_lines(q->ring + q->head, n),
                                  memory_order_relaxed);
        q->head = (q->head + n) % LOG_QUEUE_MAX;
        atomic_fetch_sub_explicit(&q->used, n, memory_order_relaxed);
        len -= n;
    }
}

/* One write(2) of at most `todo` octets; returns what was consumed. Lock held, but not during
 * I/O. */
static size_t drain_some(struct log_queue *q, size_t todo)
{
    const char *text = q->torn ? "\n" : q->ring + q->head;
    size_t room = LOG_QUEUE_MAX - q->head;
    size_t len = todo < room ? todo : room;
    bool late = q->stop && monotonic_ms() >= q->give_up_ms;
    bool blocked;
    ssize_t n;

    if (len > WRITE_MAX)
        len = WRITE_MAX;
    if (q->torn)
        len = 1;
    (void)pthread_mutex_unlock(&q->lock); /* ours: cannot fail */
    n = write(q->fd, text, len);
    if (n < 0)
        n = -errno;
    blocked = n == -EAGAIN || n == -EWOULDBLOCK;
    if (blocked && !late)
        (void)poll(&(struct pollfd){.fd = q->fd, .events = POLLOUT}, 1,
                   POLL_MS); /* write(2) will tell */
    (void)pthread_mutex_lock(&q->lock);

    if (n == -EINTR || (blocked && !late))
        return 0;
    if (n <= 0) {
        q->torn = q->torn || q->mid_line;
        consume(q, todo, &q->dropped);
        return todo;
    }
    q->mid_line = text[n - 1] != '\n';
    if (q->torn) {
        q->torn = false;
        return 0;
    }
    consume(q, (size_t)n, &q->written);
    return (size_t)n;
}

/* What is queued now, and no more: lines that come meanwhile wait for the next batch. */
static void drain(struct log_queue *q)
{
    size_t todo = atomic_load_explicit(&q->used, memory_order_relaxed);

    while (todo > 0)
        todo -= drain_some(q, todo);
}

static void destroy(struct log_queue *q)
{
    (void)pthread_cond_destroy(&q->finished);
    (void)pthread_cond_destroy(&q->work);
    (void)pthread_mutex_destroy(&q->lock);
    free(q);
}

static void *run_writer(void *arg)
{
    struct log_queue *q = arg;
    bool orphaned;

    (void)pthread_mutex_lock(&q->lock);
    for (;;) {
        wait_for(q, 1, 0);
        if (atomic_load_explicit(&q->used, memory_order_relaxed) == 0)
            break;
        wait_for(q, BATCH, monotonic_ms() + NAP_MS);
        drain(q);
    }
    q->done = true;
    orphaned = q->orphaned;
    (void)pthread_cond_signal(&q->finished);
    (void)pthread_mutex_unlock(&q->lock);
    if (orphaned)
        destroy(q);
    return NULL;
}

static bool start_writer(struct log_queue *q)
{
    sigset_t all, before;
    int failed;

    /* Signals are the main thread's; a SIGPIPE of ours stays pending here and shows as EPIPE.
     */
    (void)sigfillset(&all);
    if (pthread_sigmask(SIG_SETMASK, &all, &before) != 0)
        return false;
    failed = pthread_create(&q->writer, NULL, run_writer, q);
    (void)pthread_sigmask(SIG_SETMASK, &before, NULL); /* it was the mask a moment ago */
    return failed == 0;
}

static bool init_condition(pthread_cond_t *cond)
{
    pthread_condattr_t attr;
    bool done;

    if (pthread_condattr_init(&attr) != 0)
        return false;
    done = pthread_condattr_setclock(&attr, CLOCK_MONOTONIC) == 0 &&
           pthread_cond_init(cond, &attr) == 0;
    (void)pthread_condattr_destroy(&attr);
    return done;
}

struct log_queue *log_queue_new(int fd)
{
    struct log_queue *q = malloc(sizeof *q);

    if (q == NULL)
        return NULL;
    memset(q, 0,
           offsetof(struct log_queue, ring)); /* the ring's pages come when they are used */
    q->fd = fd;
    q->wake_at = SIZE_MAX;
    atomic_init(&q->written, 0);
    atomic_init(&q->dropped, 0);
    atomic_init(&q->used, 0);
    if (pthread_mutex_init(&q->lock, NULL) != 0)
        goto fail_malloc;
    if (!init_condition(&q->work))
        goto fail_lock;
    if (!init_condition(&q->finished))
        goto fail_work;
    if (!start_writer(q))
        goto fail_finished;
    return q;

fail_finished:
    (void)pthread_cond_destroy(&q->finished);
fail_work:
    (void)pthread_cond_destroy(&q->work);
fail_lock:
    (void)pthread_mutex_destroy(&q->lock);
fail_malloc:
    free(q);
    return NULL;
}

void log_queue_free(struct log_queue *q)
{
    struct timespec until;
    pthread_t writer;
    bool orphaned;

    if (q == NULL)
        return;
    (void)pthread_mutex_lock(&q->lock);
    q->stop = true;
    q->give_up_ms = monotonic_ms() + FLUSH_MS - POLL_MS;
    until = timespec_ms(q->give_up_ms + POLL_MS);
    (void)pthread_cond_signal(&q->work);
    while (!q->done && pthread_cond_timedwait(&q->finished, &q->lock, &until) != ETIMEDOUT)
        continue;
    q->orphaned = orphaned = !q->done;
    writer = q->writer;
    (void)pthread_mutex_unlock(&q->lock);
    if (orphaned) {
        (void)pthread_detach(writer); /* ours and not joined: cannot fail */
        return;
    }
    (void)pthread_join(writer, NULL);
    destroy(q);
}

void log_queue_put(struct log_queue *q, const char *text, size_t len)
{
    size_t used;
    bool wake = false;

    (void)pthread_mutex_lock(&q->lock); /* not recursive, not ours yet: cannot fail */
    used = atomic_load_explicit(&q->used, memory_order_relaxed);
    if (len > LOG_QUEUE_MAX - used) {
        atomic_fetch_add_explicit(&q->dropped, 1, memory_order_relaxed);
    } else {
        size_t at = (q->head + used) % LOG_QUEUE_MAX;
        size_t first = LOG_QUEUE_MAX - at < len ? LOG_QUEUE_MAX - at : len;

        memcpy(q->ring + at, text, first);
        memcpy(q->ring, text + first, len - first);
        atomic_store_explicit(&q->used, used + len, memory_order_relaxed);
        wake = used + len >= q->wake_at;
        if (wake)
            q->wake_at = SIZE_MAX; /* once is enough */
    }
    (void)pthread_mutex_unlock(&q->lock);
    if (wake)
        (void)pthread_cond_signal(&q->work);
}

struct log_counts log_queue_counts(const struct log_queue *q)
{
    return (struct log_counts){
        .written = atomic_load_explicit(&q->written, memory_order_relaxed),
        .dropped = atomic_load_explicit(&q->dropped, memory_order_relaxed),
        .queued_bytes = atomic_load_explicit(&q->used, memory_order_relaxed),
    };
}
