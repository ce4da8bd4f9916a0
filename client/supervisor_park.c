/* SPDX-License-Identifier: MIT */
/* The thread that began a call holds the reach and its socket in a descriptor table that no
 * other thread sees. So it is not the reach that moves to the call made again, but that call's
 * notification that moves to the thread. */
#include "supervisor_call.h"
#include <string.h>

static struct addr asked(const struct supervisor_call *c)
{
    struct addr a = {.family = ADDR_NONE};

    (void)addr_from_sockaddr((const struct sockaddr *)&c->peer, c->peer_len, &a);
    return a;
}

void supervisor_park(const struct supervisor_call *c, uint64_t cookie)
{
    struct supervisor_parking *p = c->desk->parking;
    unsigned i = c->desk->number;

    (void)pthread_mutex_lock(&p->lock);
    p->place[i].cookie = cookie;
    p->place[i].taken = false;
    p->place[i].fd = c->fd;
    p->place[i].peer = asked(c);
    (void)pthread_mutex_unlock(&p->lock);
}

bool supervisor_unpark(struct supervisor_call *c, bool only_if_taken)
{
    struct supervisor_parking *p = c->desk->parking;
    unsigned i = c->desk->number;
    pid_t tid = 0;

    (void)pthread_mutex_lock(&p->lock);
    bool taken = p->place[i].taken;
    if (taken) {
        c->id = p->place[i].id;
        c->kind = p->place[i].kind; /* a send may be made again as a connect(), or as another */
        c->narrow = p->place[i].narrow;
        memcpy(c->arg, p->place[i].arg, sizeof c->arg);
        tid = p->place[i].tid;
    }
    if (taken || !only_if_taken) {
        p->place[i].cookie = 0;
        p->place[i].taken = false;
    }
    (void)pthread_mutex_unlock(&p->lock);
    if (taken) {
        tracee_close(&c->who);
        if (tracee_open(&c->who, tid) != 0)
            c->who = (struct tracee){tid, -1}; /* has just died: the id tells */
    }
    return taken;
}

bool supervisor_resume(const struct supervisor_call *c, uint64_t cookie)
{
    struct supervisor_parking *p = c->desk->parking;
    struct addr peer = asked(c);
    bool found = false;

    (void)pthread_mutex_lock(&p->lock);
    for (unsigned i = 0; i < SUPERVISOR_THREADS_MAX && !found; i++) {
        found = p->place[i].cookie == cookie && cookie != 0 && !p->place[i].taken &&
                p->place[i].fd == c->fd && addr_equal(&p->place[i].peer, &peer);
        if (found) {
            p->place[i].id = c->id;
            p->place[i].kind = c->kind;
            p->place[i].narrow = c->narrow;
            memcpy(p->place[i].arg, c->arg, sizeof c->arg);
            p->place[i].tid = c->who.tid;
            p->place[i].taken = true;
        }
    }
    (void)pthread_mutex_unlock(&p->lock);
    return found;
}
