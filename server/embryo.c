/* SPDX-License-Identifier: MIT */
#include "embryo.h"
#include "negotiation.h"
#include "worker.h"
#include <stdlib.h>
#include <sys/socket.h>
#include <unistd.h>

enum { LOOK_MS = 1000 }; /* a host that has gone resets the request: nobody tells us */

/* A socket that has no session any more. */
static void reset(int fd)
{
    struct linger now = {.l_onoff = 1, .l_linger = 0};

    (void)setsockopt(fd, SOL_SOCKET, SO_LINGER, &now, sizeof now); /* else it ends by FIN */
    (void)close(fd);
}

void embryo_discard(struct embryo_arrival *a)
{
    reset(a->fd);
    free(a);
}

/* --- the beginning --- */

static struct listener *listener_of(struct worker *w, const struct listener_options *o)
{
    for (size_t i = 0; i < w->listener_count; i++)
        if (w->listeners[i].watch.fd >= 0 && w->listeners[i].options == o)
            return &w->listeners[i];
    return NULL;
}

static bool is_link_local(const struct addr *a)
{
    return a->family == ADDR_IPV6 && addr_class(a) == ADDR_CLASS_LINK_LOCAL;
}

/* What is not diverted asks for the listener itself; what comes from a link-local address could
 * not go any further, and two links may have the same one. Such a connection is served, or
 * refused, when it is accepted, as is one whose source has to show its address first, or may
 * not be served at all. */
static bool wanted(void *arg, const struct listener_options *o, const struct synack_key *key)
{
    struct worker *w = arg;
    const struct listener *l = listener_of(w, o);

    return l != NULL && !w->stopping && addr_class(&key->local) != ADDR_CLASS_LOOPBACK &&
           !is_link_local(&key->peer) &&
           worker_source_in(&l->config->clients.trusted, &key->peer) &&
           worker_source_in(&l->config->clients.allow, &key->peer);
}

void embryo_missing(struct session *s)
{
    struct worker *w = s->worker;
    const struct addr *client = &s->client_addr;
    struct sockaddr_storage sa;
    socklen_t len = sizeof sa;
    struct addr local = {.family = ADDR_NONE};

    if (getsockname(s->client.watch.fd, (struct sockaddr *)&sa, &len) == 0 &&
        addr_from_sockaddr((struct sockaddr *)&sa, len, &local))
        local = addr_unmap(local);
    if (!worker_source_in(&s->config->clients.trusted, client))
        stats_add(w->stats, STAT_EXACT_UNTRUSTED, 1);
    else if (is_link_local(client) || addr_class(&local) == ADDR_CLASS_LOOPBACK)
        stats_add(w->stats, STAT_EXACT_NO_DATA, 1);
    else if (synack_full(&w->synack))
        stats_add(w->stats, STAT_EXACT_TABLE_FULL, 1);
    else
        synack_missed(&w->synack, &s->hold);
}

static void turn_away(struct worker *w, const struct synack_key *key, uint64_t cookie,
                      enum outcome why)
{
    struct synack_hold h = {.claimed = false};

    stats_add(w->stats, STAT_REFUSED_UNSERVED, 1);
    if (synack_conceive(&w->synack, &h, key, cookie, w))
        (void)synack_refuse(&w->synack, &h,
                            (struct failure){.why = why}); /* else it has gone */
    synack_forget(&w->synack, &h);
}

static void start(void *arg, const struct listener_options *o, const struct synack_key *key,
                  uint64_t cookie)
{
    struct worker *w = arg;
    struct limits_source *source = NULL;
    enum outcome shed =
        w->draining ? OUTCOME_DRAINED : limits_admit(w->shared->limits, &key->peer, &source);

    if (shed != OUTCOME_OK) {
        turn_away(w, key, cookie, shed);
        return;
    }
    listener_note_peak(w->shared);
    struct session *s = session_begin(listener_of(w, o), &key->peer, source, OUTCOME_OK);
    if (s == NULL) {
        turn_away(w, key, cookie, OUTCOME_NO_RESOURCES);
        return;
    }
    s->hold.listener = o->name;
    if (!synack_conceive(&w->synack, &s->hold, key, cookie, s)) {
        session_stop(s, OUTCOME_NO_RESOURCES); /* what is held passes when its time is up */
        return;
    }
    s->negotiation = negotiation_new(s);
    if (s->negotiation != NULL) {
        negotiation_divert(s, &key->local);
        return;
    }
    stats_add(w->stats, STAT_NOMEM, 1);
    (void)synack_refuse(&w->synack, &s->hold,
                        (struct failure){.why = OUTCOME_NO_RESOURCES}); /* or it has gone */
    session_stop(s, OUTCOME_NO_RESOURCES);
}

struct synack_embryos embryo_calls(struct worker *w)
{
    return (struct synack_embryos){.wanted = wanted, .start = start, .arg = w};
}

/* --- waiting for the client --- */

void embryo_connected(struct session *s)
{
    uint64_t now = worker_now_ms(s->worker);

    session_move(s, SESSION_ACCEPT);
    s->negotiation->accept_until_ms = now + s->config->timeouts.header_ms;
    session_deadline(s, now + LOOK_MS);
    synack_release(&s->worker->synack, &s->hold);
}

void embryo_expired(struct session *s)
{
    uint64_t now = worker_now_ms(s->worker);

    if (!synack_waits(&s->worker->synack, &s->hold))
        session_stop(s, OUTCOME_CLIENT_RESET);
    else if (now >= s->negotiation->accept_until_ms)
        session_stop(s, OUTCOME_HANDSHAKE_TIMEOUT);
    else
        session_deadline(s, now + LOOK_MS);
}

/* --- the client --- */

static void adopt(struct session *s, int fd)
{
    struct worker *w = s->worker;
    int rc = leg_accept(&s->client, &w->poller, fd,
                        (struct leg_accept){.mptcp = s->listener->mptcp,
                                            .hold = s->config->relay.tfo_wait,
                                            .window_rule = s->config->relay.tfo_window},
                        session_client_ready);

    synack_born(&w->synack, &s->hold);
    if (rc != 0) {
        reset(fd);
        session_stop(s, OUTCOME_NO_RESOURCES);
        return;
    }
    session_note_transport(s);
    if (s->state == SESSION_ACCEPT)
        negotiation_relay(s, 0);
}

/* The session of a claim that this worker owns; NULL: it has ended. */
static struct session *owned(struct worker *w, struct synack_key *key)
{
    struct synack_owner owner;

    if (synack_meet(&w->synack, key, &owner) != SYNACK_FOUND_OWNER || owner.worker != w->index)
        return NULL;
    return owner.session;
}

void embryo_arrived(struct worker *w, struct embryo_arrival *a)
{
    struct session *s = w->stopping ? NULL : owned(w, &a->key);

    if (s == NULL) {
        stats_add(w->stats, STAT_EXACT_ORPHANED, 1);
        embryo_discard(a);
        return;
    }
    adopt(s, a->fd);
    free(a);
}

static bool send_to(struct worker *to, const struct synack_key *key, int fd)
{
    struct embryo_arrival *a = malloc(sizeof *a);

    if (a == NULL)
        return false;
    a->key = *key;
    a->fd = fd;
    list_init(&a->link);
    if (worker_hand(to, &a->link))
        return true;
    free(a);
    return false;
}

bool embryo_meet(struct listener *l, int fd, const struct addr *client)
{
    struct worker *w = l->worker;
    struct sockaddr_storage sa;
    socklen_t len = sizeof sa;
    struct synack_key key = {.peer = *client};
    struct synack_owner owner;

    if (getsockname(fd, (struct sockaddr *)&sa, &len) != 0 ||
        !addr_from_sockaddr((struct sockaddr *)&sa, len, &key.local))
        return false; /* the session will say so */
    switch (synack_meet(&w->synack, &key, &owner)) {
    case SYNACK_FOUND_NOTHING:
        return false;
    case SYNACK_FOUND_OWNER:
        if (owner.worker == w->index) {
            adopt(owner.session, fd);
            return true;
        }
        if (send_to(w->shared->worker[owner.worker], &key, fd))
            return true;
        break;
    case SYNACK_FOUND_GONE:
        break;
    }
    stats_add(w->stats, STAT_EXACT_ORPHANED, 1);
    reset(fd);
    return true;
}
