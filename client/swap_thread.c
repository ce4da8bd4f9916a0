/* SPDX-License-Identifier: MIT */
/* The thread sleeps in poll() while connects are pending and on a futex while none are. In
 * poll() it is woken by a descriptor (swap_bell.h), which a program may close as it closes all
 * that it does not know. Should that happen in the middle of a poll(), the thread looks up by
 * itself after LOOK_MS. */
#include "swap_thread.h"
#include "swap_bell.h"
#include "swap_step.h"
#include "sys.h"
#include <errno.h>
#include <linux/futex.h>
#include <pthread.h>
#include <signal.h>
#include <sys/syscall.h>
#include <time.h>

enum {
    LOOK_MS = 250,
    REST_S = 2, /* after so long without work the thread ends: programs count their threads */
    STACK = 128 * 1024,
};

/* NONE: no thread; only submit() leaves this. RUNS: it will look at the inbox before it sleeps.
 */
enum phase { NONE, RUNS, POLLS, RESTS };

static _Atomic uint32_t phase;
static _Atomic(struct pending *) inbox;
static _Atomic bool look;

/* The thread's own. */
static struct pending *active[PENDING_MAX];
static struct pollfd polls[PENDING_MAX + 1];
static uint64_t until[PENDING_MAX];
static unsigned count;

static void wake(void)
{
    uint32_t rests = RESTS;

    if (atomic_load(&phase) == POLLS)
        (void)swap_bell_ring(); /* without one the thread looks often */
    else if (atomic_compare_exchange_strong(&phase, &rests, RUNS))
        (void)sys_call(SYS_futex, (long)&phase, FUTEX_WAKE_PRIVATE, 1, 0, 0, 0);
}

static void watch(unsigned i)
{
    short events;

    polls[i].fd = swap_step_fd(active[i], &events, &until[i]);
    polls[i].events = events;
    polls[i].revents = 0;
}

static void drop(unsigned i)
{
    count--;
    active[i] = active[count];
    polls[i] = polls[count];
    until[i] = until[count];
}

static void take_new(void)
{
    struct pending *p = atomic_exchange(&inbox, NULL), *in_order = NULL;

    while (p != NULL) { /* the last one came first */
        struct pending *next = p->next;

        p->next = in_order;
        in_order = p;
        p = next;
    }
    while (in_order != NULL) {
        p = in_order;
        in_order = p->next;
        if (swap_step(p, sys_now_ms()))
            continue;
        active[count] = p; /* there are no more records than places */
        watch(count);
        count++;
    }
}

static int timeout(uint64_t now_ms)
{
    uint64_t first = now_ms + LOOK_MS;

    for (unsigned i = 0; i < count; i++)
        if (until[i] < first)
            first = until[i];
    return first > now_ms ? (int)(first - now_ms) : 0;
}

static void wait_and_step(void)
{
    int left_ms = timeout(sys_now_ms());

    polls[count] = (struct pollfd){.fd = swap_bell_fd(), .events = POLLIN};
    atomic_store(&phase, POLLS);
    if (atomic_load(&inbox) != NULL || atomic_load(&look))
        left_ms = 0;
    if (polls[count].fd < 0 && left_ms > 1)
        left_ms = 1; /* no bell to be had: look often */
    int rc = sys_poll(polls, count + 1, left_ms);
    /* EINVAL: the program lowered RLIMIT_NOFILE below what there is. Look at all, often. */
    bool blind = rc < 0 && sys_poll(NULL, 0, 1) == 0;

    atomic_store(&phase, RUNS);
    if (rc > 0 && polls[count].revents != 0)
        swap_bell_silence();
    bool all = atomic_exchange(&look, false) || blind;
    uint64_t now = sys_now_ms();

    for (unsigned i = count; i-- > 0;) { /* backwards: drop() moves the last one */
        if (!all && (rc <= 0 || polls[i].revents == 0) && now < until[i])
            continue;
        if (swap_step(active[i], now))
            drop(i);
        else
            watch(i);
    }
}

/* False: nothing came, and the thread is to end. */
static bool rest(void)
{
    struct timespec limit = {.tv_sec = REST_S};
    uint32_t runs = RUNS, none = NONE;

    if (!atomic_compare_exchange_strong(&phase, &runs, RESTS))
        return true;
    if (atomic_load(&inbox) == NULL)
        (void)sys_call(SYS_futex, (long)&phase, FUTEX_WAIT_PRIVATE, RESTS, (long)&limit, 0, 0);
    if (atomic_load(&phase) == RESTS)
        swap_bell_drop();
    if (atomic_exchange(&phase, NONE) == RUNS || atomic_load(&inbox) != NULL)
        return atomic_compare_exchange_strong(&phase, &none, RUNS);
    return false;
}

static void *serve(void *unused)
{
    for (;;) {
        take_new();
        if (count > 0)
            wait_and_step();
        else if (!rest())
            return unused;
    }
}

static bool spawn(void)
{
    pthread_attr_t attr;
    pthread_t id;
    sigset_t all, before;

    if (pthread_attr_init(&attr) != 0)
        return false;
    (void)sigfillset(&all);
    (void)pthread_sigmask(SIG_SETMASK, &all, &before);
    (void)pthread_attr_setdetachstate(&attr, PTHREAD_CREATE_DETACHED);
    (void)pthread_attr_setstacksize(&attr, STACK);
    int rc = pthread_create(&id, &attr, serve, NULL);

    (void)pthread_attr_destroy(&attr);
    if (rc == EINVAL) /* large thread-local storage needs a large stack */
        rc = pthread_create(&id, NULL, serve, NULL) == 0 ? pthread_detach(id) : EINVAL;
    (void)pthread_sigmask(SIG_SETMASK, &before, NULL);
    return rc == 0;
}

/* No thread: `p` is taken back, and others who came meanwhile are told no. */
static void take_back(const struct pending *p)
{
    struct pending *q = atomic_exchange(&inbox, NULL), *next;

    for (; q != NULL; q = next) {
        next = q->next;
        if (q != p)
            swap_step_fail(q, ENOMEM);
    }
}

bool swap_thread_submit(struct pending *p)
{
    uint32_t none = NONE;

    p->next = atomic_load(&inbox);
    while (!atomic_compare_exchange_weak(&inbox, &p->next, p))
        ;
    if (!atomic_compare_exchange_strong(&phase, &none, RUNS)) {
        wake();
        return true;
    }
    if (spawn())
        return true;
    do {
        take_back(p);
        atomic_store(&phase, NONE);
        none = NONE; /* who came before that store believes in a thread */
    } while (atomic_load(&inbox) != NULL &&
             atomic_compare_exchange_strong(&phase, &none, RUNS));
    return false;
}

void swap_thread_look(void)
{
    atomic_store(&look, true);
    wake();
}

void swap_thread_forked(void)
{
    struct pending *p = NULL;

    swap_bell_drop(); /* it is the parent's, too */
    atomic_store(&phase, NONE);
    atomic_store(&inbox, NULL);
    atomic_store(&look, false);
    count = 0;
    while ((p = pending_next(p)) != NULL)
        swap_step_abandon(p);
}
