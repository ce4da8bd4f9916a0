/* SPDX-License-Identifier: MIT */
/* Threads take turns: who has the turn waits for a notification and, with one in hand, passes
 * the turn on, to a new thread if nobody waits for it. So there are as many threads as calls
 * were under way at once, up to a limit, and one call costs no switch between threads of ours;
 * what comes when all are busy waits in the kernel.
 *
 * Each thread has a descriptor table of its own (supervisor_place.c) with nothing of the
 * launcher's in it: a pipe's end kept open here for ever would keep others waiting. A new
 * thread copies its maker's table, so the maker begins no work before that has happened. */
#include "supervisor.h"
#include "supervisor_call.h"
#include "sys.h"
#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <sched.h>
#include <semaphore.h>
#include <signal.h>
#include <stdatomic.h>
#include <stdlib.h>
#include <string.h>
#include <sys/eventfd.h>
#include <sys/ioctl.h>
#include <sys/resource.h>
#include <sys/syscall.h>
#include <unistd.h>

#ifndef SECCOMP_IOCTL_NOTIF_SET_FLAGS
#define SECCOMP_IOCTL_NOTIF_SET_FLAGS SECCOMP_IOW(4, uint64_t)
#define SECCOMP_USER_NOTIF_FD_SYNC_WAKE_UP 1UL
#endif

enum {
    STACK = 256 * 1024,
    CALL_CLOSE_RANGE = 436,
    KEPT = 3, /* listener, stop, done */
};

struct supervisor {
    struct reach_env env;
    struct supervisor_parking parking;
    struct inplace_watch watch;
    int listener, stop, done; /* in the launcher's table */
    pthread_mutex_t turn;
    atomic_uint waiting; /* for the turn */
    unsigned threads;    /* started; of who has the turn */
    pthread_t thread[SUPERVISOR_THREADS_MAX];
};

/* What a new thread gets; its maker waits for `ready`. */
struct start {
    struct supervisor *s;
    struct supervisor_desk desk;
    sem_t ready;
    int rc;
};

/* A thread's own view. */
struct clerk {
    struct supervisor *s;
    struct supervisor_desk desk;
};

union notification {
    struct seccomp_notif n;
    uint8_t room[512]; /* a later kernel's may be longer */
};

static int grow(struct clerk *from);

/* Leaves the shared table, and in the copy keeps only what a clerk needs. */
static int own_table(struct clerk *c)
{
    int kept[KEPT] = {c->desk.listener, c->desk.stop, c->desk.done};
    unsigned next = 0;

    if (unshare(CLONE_FILES) != 0)
        return -errno;
    for (int i = 0; i < KEPT; i++) { /* ascending */
        for (int k = i + 1; k < KEPT; k++) {
            if (kept[k] < kept[i]) {
                int low = kept[k];
                kept[k] = kept[i];
                kept[i] = low;
            }
        }
    }
    for (int i = 0; i <= KEPT; i++) {
        unsigned end = i < KEPT ? (unsigned)kept[i] : UINT_MAX;

        if (next < end)
            (void)sys_call(CALL_CLOSE_RANGE, next, i < KEPT ? (long)end - 1 : (long)end, 0, 0,
                           0, 0);
        next = end + 1;
    }
    return 0;
}

/* With the turn: the next notification. False: the end. */
static bool receive(struct clerk *c, union notification *n)
{
    static const uint64_t one = 1;

    for (;;) {
        struct pollfd p[] = {{.fd = c->desk.listener, .events = POLLIN},
                             {.fd = c->desk.stop, .events = POLLIN}};

        (void)sys_poll(p, 2, -1);
        if (p[1].revents != 0)
            return false;
        if ((p[0].revents & POLLIN) != 0) {
            memset(n, 0, sizeof *n);
            /* Does not block: nobody else receives. ENOENT: killed before we came. */
            if (ioctl(c->desk.listener, SECCOMP_IOCTL_NOTIF_RECV, &n->n) == 0)
                return true;
        } else if ((p[0].revents & (POLLHUP | POLLERR | POLLNVAL)) != 0) {
            (void)sys_write(c->desk.done, &one, sizeof one);
            return false;
        }
    }
}

static void work(struct clerk *c)
{
    union notification n;

    for (;;) {
        (void)atomic_fetch_add(&c->s->waiting, 1);
        (void)pthread_mutex_lock(&c->s->turn);
        (void)atomic_fetch_sub(&c->s->waiting, 1);
        bool more = receive(c, &n);
        if (more && atomic_load(&c->s->waiting) == 0 && c->s->threads < SUPERVISOR_THREADS_MAX)
            (void)grow(c); /* else what comes waits for this one */
        (void)pthread_mutex_unlock(&c->s->turn);
        if (!more)
            return;
        supervisor_serve(&c->desk, &n.n);
    }
}

static void *run(void *arg)
{
    struct start *start = arg;
    struct clerk c = {start->s, start->desk};

    int rc = own_table(&c);
    start->rc = rc;
    (void)sem_post(&start->ready); /* *start may be gone from here on */
    if (rc == 0)
        work(&c);
    return NULL;
}

static int start_thread(pthread_t *out, struct start *start)
{
    pthread_attr_t attr;
    sigset_t all, before;

    if (pthread_attr_init(&attr) != 0)
        return -ENOMEM;
    (void)pthread_attr_setstacksize(&attr, STACK);
    (void)sigfillset(&all); /* signals are for the launcher's own thread */
    (void)pthread_sigmask(SIG_SETMASK, &all, &before);
    int rc = pthread_create(out, &attr, run, start);
    (void)pthread_sigmask(SIG_SETMASK, &before, NULL);
    (void)pthread_attr_destroy(&attr);
    return -rc;
}

/* One more thread, with the turn in the caller's hands. */
static int grow(struct clerk *from)
{
    struct supervisor *s = from->s;
    struct start start = {.s = s, .desk = from->desk};

    start.desk.number = s->threads;
    (void)sem_init(&start.ready, 0, 0);
    int rc = start_thread(&s->thread[s->threads], &start);
    if (rc == 0) {
        while (sem_wait(&start.ready) != 0)
            continue;
        rc = start.rc;
        if (rc == 0)
            s->threads++;
        else
            (void)pthread_join(s->thread[s->threads], NULL);
    }
    (void)sem_destroy(&start.ready);
    return rc;
}

/* A program's descriptor numbers must exist in our tables, too. */
static void raise_limit(void)
{
    struct rlimit l;

    if (getrlimit(RLIMIT_NOFILE, &l) == 0 && l.rlim_cur < l.rlim_max) {
        l.rlim_cur = l.rlim_max;
        (void)setrlimit(RLIMIT_NOFILE, &l);
    }
}

static int sizes_fit(void)
{
    struct seccomp_notif_sizes sizes = {0};

    if (sys_call(SYS_seccomp, SECCOMP_GET_NOTIF_SIZES, 0, (long)(uintptr_t)&sizes, 0, 0, 0) !=
        0)
        return -ENOSYS;
    return sizes.seccomp_notif <= sizeof(union notification) ? 0 : -E2BIG;
}

struct supervisor *supervisor_start(const struct reach_env *env, int listener, int *rc)
{
    struct supervisor *s = calloc(1, sizeof *s);

    *rc = -ENOMEM;
    if (s == NULL)
        goto fail;
    s->env = *env;
    s->listener = listener;
    /* Linux 6.6; without it only slower. */
    (void)ioctl(listener, SECCOMP_IOCTL_NOTIF_SET_FLAGS, SECCOMP_USER_NOTIF_FD_SYNC_WAKE_UP);
    s->stop = eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK);
    s->done = eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK);
    (void)pthread_mutex_init(&s->turn, NULL);
    (void)pthread_mutex_init(&s->parking.lock, NULL);
    atomic_init(&s->waiting, 0);
    struct clerk root = {s,
                         {.env = &s->env,
                          .parking = &s->parking,
                          .watch = &s->watch,
                          .listener = listener,
                          .stop = s->stop,
                          .done = s->done}};
    raise_limit();
    *rc = s->stop < 0 || s->done < 0 ? -EMFILE : sizes_fit();
    if (*rc == 0) {
        (void)pthread_mutex_lock(&s->turn); /* the first thread may make the second at once */
        *rc = grow(&root);
        (void)pthread_mutex_unlock(&s->turn);
    }
    if (*rc == 0)
        return s;
    supervisor_end(s);
    return NULL;
fail:
    (void)sys_close(listener);
    return NULL;
}

int supervisor_fd(const struct supervisor *s)
{
    return s->done;
}

/* What nobody came to. Later calls get ENOSYS from the kernel. */
static void refuse_waiting(int listener)
{
    struct pollfd p = {.fd = listener, .events = POLLIN};
    union notification n;
    union {
        struct seccomp_notif_resp r;
        uint8_t room[256];
    } u;

    while (sys_poll(&p, 1, 0) > 0 && (p.revents & POLLIN) != 0) {
        memset(&n, 0, sizeof n);
        memset(&u, 0, sizeof u);
        if (ioctl(listener, SECCOMP_IOCTL_NOTIF_RECV, &n.n) != 0)
            continue;
        u.r.id = n.n.id;
        u.r.error = -ECONNABORTED;
        (void)ioctl(listener, SECCOMP_IOCTL_NOTIF_SEND, &u.r);
    }
}

void supervisor_end(struct supervisor *s)
{
    if (s == NULL)
        return;
    if (s->stop >= 0)
        (void)eventfd_write(s->stop, 1);
    /* Who has the turn may still make a thread; afterwards nobody gets that far. */
    (void)pthread_mutex_lock(&s->turn);
    unsigned n = s->threads;
    (void)pthread_mutex_unlock(&s->turn);
    for (unsigned i = 0; i < n; i++)
        (void)pthread_join(s->thread[i], NULL);
    refuse_waiting(s->listener);
    if (s->stop >= 0)
        (void)sys_close(s->stop);
    if (s->done >= 0)
        (void)sys_close(s->done);
    (void)sys_close(s->listener);
    (void)pthread_mutex_destroy(&s->turn);
    (void)pthread_mutex_destroy(&s->parking.lock);
    free(s);
}
