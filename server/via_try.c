/* SPDX-License-Identifier: MIT */
/* The socket is edge-triggered: everything that is there is read, to the last octet of the
 * answer and not one further, by looking before taking. */
#include "via_try.h"
#include "base/mptcp.h"
#include "stats.h"
#include "wire/forbidden.h"
#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>

enum {
    RACE_MOST_MS = 3000,
    VERIFY_MS = 1000, /* for a probe's answer, when the verdict waits for it */
    ECHO_MS = 1500,   /* implicit mode, path not proven */
    ECHO_PROVEN_MS = 5000,
};

static uint64_t now_ms(const struct via_try *t)
{
    return uv_now(t->how.base.env->loop);
}

static const struct via_concentrator *to(const struct via_try *t)
{
    return t->how.implicit ? &t->target : t->how.base.to;
}

static uint32_t relearn_ms(const struct via_try *t)
{
    return t->how.base.options->relearn_ms;
}

/* Where nobody asks beforehand, "auto" is no. */
static enum via_known_exact exact(const struct via_try *t)
{
    if (to(t)->exact == VIA_EXACT_AUTO && !t->how.base.options->probe)
        return VIA_KNOWN_EXACT_NO;
    return via_known_exact(t->how.base.health, to(t), now_ms(t));
}

/* ---- The end ---- */

void via_try_stop(struct via_try *t)
{
    if (t->probe != NULL)
        via_probe_stop(t->probe);
    if (t->how.implicit && !t->over)
        via_path_undecided(t->how.path, &t->target.address);
    t->over = true;
    attempt_abort(&t->attempt, t->how.base.env->poller);
}

void via_try_free(struct via_try *t)
{
    free(t->probe);
}

/* READY: the owner takes the fd. */
static void conclude(struct via_try *t, enum via_try_end end)
{
    t->over = true;
    if (t->probe != NULL)
        via_probe_stop(t->probe);
    if (end != VIA_TRY_READY)
        attempt_abort(&t->attempt, t->how.base.env->poller);
    t->done(t, end);
}

static void refuse(struct via_try *t, struct failure why)
{
    t->failure = why;
    conclude(t, VIA_TRY_REFUSED);
}

/* This concentrator is of no use now. */
static void fail(struct via_try *t, enum via_failure how)
{
    via_health_failed(t->how.base.health, to(t), how, t->started_ms, now_ms(t));
    stats_add(t->how.base.env->stats, STAT_VIA_FAILED, 1);
    conclude(t, VIA_TRY_FAILED);
}

/* It never said a word. Nothing when it is proven. */
static void note_mute(struct via_try *t)
{
    if (via_known_mute(t->how.base.health, to(t), t->how.target, relearn_ms(t), now_ms(t)))
        stats_add(t->how.base.env->stats, STAT_VIA_LISTED, 1);
}

/* No concentrator on the path, or none that takes this target. A reset: whoever has the
 * element must not answer it. */
static void absent(struct via_try *t)
{
    via_path_absent(t->how.path, &t->target.address, relearn_ms(t), now_ms(t));
    stats_add(t->how.base.env->stats, STAT_VIA_IMPLICIT_ABSENT, 1);
    conclude(t, VIA_TRY_FAILED);
}

static void foreign(struct via_try *t)
{
    if (t->how.implicit) {
        absent(t);
        return;
    }
    via_known_foreign(t->how.base.health, to(t), relearn_ms(t), now_ms(t));
    stats_add(t->how.base.env->stats, STAT_VIA_LISTED, 1);
    fail(t, VIA_FAILURE_CERTAIN);
}

static void ready(struct via_try *t)
{
    struct via_health *health = t->how.base.health;

    if (t->how.implicit) {
        via_path_taken(t->how.path, &t->target.address);
        stats_add(t->how.base.env->stats, STAT_VIA_IMPLICIT, 1);
    } else if (t->no_answer) {
        via_health_good(health, to(t), now_ms(t));
        stats_add(t->how.base.env->stats, STAT_VIA_EXACT, 1);
    } else {
        via_known_answered(health, to(t), now_ms(t));
    }
    conclude(t, VIA_TRY_READY);
}

/* ---- Probes ---- */

static void on_verified(struct via_try *t, enum via_probe_end end)
{
    struct via_health *health = t->how.base.health;
    bool alive = end == VIA_PROBE_ALIVE;

    t->verifying = false;
    if (alive && (t->aborted || exact(t) == VIA_KNOWN_EXACT_YES))
        conclude(t, VIA_TRY_REFUSED);
    else if (t->aborted && end == VIA_PROBE_MUTE) {
        note_mute(t);
        conclude(t, VIA_TRY_FAILED);
    } else {
        if (!alive)
            via_known_exact_learn(health, to(t), VIA_KNOWN_EXACT_UNKNOWN, 0, now_ms(t));
        fail(t, VIA_FAILURE_CERTAIN);
    }
}

static void on_probed(struct via_probe *p, enum via_probe_end end)
{
    struct via_try *t = p->arg;

    if (t->verifying) {
        on_verified(t, end);
        return;
    }
    t->alive = end == VIA_PROBE_ALIVE;
    t->dead = !t->alive;
    t->alive_ms = now_ms(t);
}

static bool start_probe(struct via_try *t)
{
    if (t->probe == NULL)
        t->probe = calloc(1, sizeof *t->probe);
    return t->probe != NULL && via_probe_start(t->probe, &t->how.base, on_probed, t);
}

/* Was it the target that said no, or is the concentrator gone? `why` is what to say in the
 * first case. */
static void verify(struct via_try *t, struct failure why)
{
    struct via_health *health = t->how.base.health;

    t->failure = why;
    attempt_close(&t->attempt, t->how.base.env->poller);
    if (!t->aborted && via_health_seen_since(health, to(t), t->started_ms) &&
        exact(t) == VIA_KNOWN_EXACT_YES) {
        conclude(t, VIA_TRY_REFUSED);
        return;
    }
    t->verifying = true;
    if (t->probe != NULL && t->probe->running)
        return; /* it says that as well */
    if (!start_probe(t))
        on_verified(t, VIA_PROBE_UNREACHED);
}

/* ---- The attempt ---- */

/* The SYN was refused, or an ICMP message came instead. */
static void unreached(struct via_try *t, struct failure why)
{
    if (t->how.implicit && t->how.proven)
        refuse(t, why);
    else if (t->how.implicit)
        absent(t);
    else if (t->attempt.early_sent > 0 && exact(t) != VIA_KNOWN_EXACT_NO)
        verify(t, why);
    else
        fail(t, VIA_FAILURE_CERTAIN);
}

/* The stream ended before the answer did. MP_CONVERT says no like that (draft -10 s6.2). */
static void ended(struct via_try *t, int error)
{
    (void)initiator_closed(&t->initiator, error == ENOTCONN ? ECONNRESET : error);
    struct failure why = t->initiator.failure;

    if (t->how.implicit) {
        if (t->how.proven && why.why == OUTCOME_REFUSED)
            refuse(t, why);
        else
            absent(t);
    } else if (why.why != OUTCOME_REFUSED) {
        if (!t->initiator.heard)
            note_mute(t);
        fail(t, VIA_FAILURE_CERTAIN);
    } else if (via_known_proven(t->how.base.health, to(t))) {
        via_known_answered(t->how.base.health, to(t), now_ms(t));
        refuse(t, why);
    } else {
        t->aborted = true;
        verify(t, why);
    }
}

/* What the SYN did not take. False: it is over. */
static bool send_rest(struct via_try *t)
{
    struct span out = initiator_output(&t->initiator);

    while (out.len > 0) {
        ssize_t n = send(t->attempt.watch.fd, out.ptr, out.len, MSG_NOSIGNAL);
        if (n < 0 && errno == EAGAIN)
            return true; /* the next edge */
        if (n < 0 && errno != EINTR) {
            ended(t, errno);
            return false;
        }
        if (n > 0)
            initiator_sent(&t->initiator, (size_t)n);
        out = initiator_output(&t->initiator);
    }
    return true;
}

/* True: look again. */
static bool take_answer(struct via_try *t)
{
    uint8_t buf[CONVERT_MESSAGE_MAX];
    size_t consumed = 0;
    int fd = t->attempt.watch.fd;
    ssize_t n = recv(fd, buf, sizeof buf, MSG_PEEK);

    if (n < 0 && (errno == EAGAIN || errno == EINTR))
        return errno == EINTR;
    if (n <= 0) {
        ended(t, n < 0 ? errno : 0);
        return false;
    }
    enum initiator_step step =
        initiator_input(&t->initiator, span_of(buf, (size_t)n), &consumed);
    if (consumed > 0 && recv(fd, buf, consumed, 0) != (ssize_t)consumed) {
        ended(t, ECONNRESET);
        return false;
    }
    switch (step) {
    case INITIATOR_READY:
        ready(t);
        return false;
    case INITIATOR_REFUSED:
        via_known_answered(t->how.base.health, to(t), now_ms(t));
        refuse(t, t->initiator.failure);
        return false;
    case INITIATOR_BROKEN:
        foreign(t);
        return false;
    case INITIATOR_SEND:
        return send_rest(t);
    case INITIATOR_WAIT:
        break;
    }
    return consumed > 0;
}

/* The SYN-ACK is here. False: it is over. */
static bool note_syn_ack(struct via_try *t)
{
    const struct via_probe_how *base = &t->how.base;
    bool taken = t->attempt.early_sent > 0 && mptcp_syn_data(t->attempt.watch.fd);

    t->connected = true;
    t->connected_ms = now_ms(t);
    if (t->how.implicit) {
        if (taken && mptcp_active(t->attempt.watch.fd))
            return true;
        absent(t); /* the server, or whoever is in between, knows nothing of it */
        return false;
    }
    if (t->attempt.early_sent > 0) {
        via_known_tfo_result(base->health, to(t), taken, base->options->tfo_backoff_ms,
                             now_ms(t));
        stats_add(base->env->stats, STAT_VIA_TFO_LOST, !taken);
    }
    if (!taken || exact(t) == VIA_KNOWN_EXACT_NO)
        via_known_rtt_learn(base->health, to(t), attempt_clock_us() - t->attempt.start_us);
    return true;
}

static void on_edge(struct watch *w, uint32_t events)
{
    struct via_try *t = CONTAINER_OF(w, struct via_try, attempt.watch);

    t->events |= events;
    if (!t->connected && (events & EPOLLERR) != 0) {
        int error;
        struct failure why = attempt_failure_errno(&t->attempt, events, &error);
        /* A reset before the SYN-ACK is ECONNREFUSED, one after it ECONNRESET or EPIPE: there
         * was a connection, and its end may be the answer. */
        if (error != 0 && error != ECONNRESET && error != EPIPE) {
            unreached(t, why);
            return;
        }
    }
    if (!t->connected && (events & (EPOLLOUT | EPOLLHUP)) != 0 && !note_syn_ack(t))
        return;
    if (!t->connected || !send_rest(t))
        return;
    if (t->initiator.step == INITIATOR_READY) {
        ready(t);
        return;
    }
    while (take_answer(t))
        ;
}

/* ---- Begin ---- */

static bool prepare(struct via_try *t)
{
    const struct via_concentrator *c = to(t);
    int error;
    struct initiator_options o = {.dialect = via_protocol((enum via_dialect)c->dialect),
                                  .cookie = via_cookie(c, t->cookie),
                                  .pipeline = true,
                                  .no_answer = t->no_answer,
                                  .anonymous = t->how.implicit,
                                  .m_bit = MPCONVERT_M_DRAFT};

    if (c->user != NULL)
        o.user = span_of(c->user, strlen(c->user));
    if (c->password != NULL)
        o.pass = span_of(c->password, strlen(c->password));
    if (c->tell_source && !forbidden_target(t->how.source)) /* such a one would be refused */
        o.source = addr_unmap(*t->how.source);
    return initiator_init(&t->initiator, &o, t->how.target, &error);
}

/* All of it is in the SYN, or it is another kind of request. False: it is over. */
static bool note_early(struct via_try *t)
{
    size_t taken = t->attempt.early_sent, all = initiator_output(&t->initiator).len;

    if (t->how.implicit && taken < all) /* never behind a handshake: a server would get it */
        return false;
    if (t->no_answer && taken == 0) {
        t->no_answer = false;
        if (!prepare(t))
            return false;
    }
    if (taken > 0)
        initiator_sent(&t->initiator, taken);
    return true;
}

static bool begin(struct via_try *t)
{
    const struct via_probe_how *base = &t->how.base;
    const struct via_concentrator *c = to(t);
    struct attempt_client client = {.source = t->how.source,
                                    .concentrator = true,
                                    .policy = base->policy,
                                    .receive_buffer = t->how.buffer};
    bool tfo = t->how.implicit || via_known_tfo(base->health, c, now_ms(t));

    t->no_answer = tfo && !t->how.implicit && exact(t) == VIA_KNOWN_EXACT_YES;
    if (!prepare(t))
        return false; /* a name, which this dialect cannot carry */
    struct span early = tfo ? initiator_output(&t->initiator) : span_of(NULL, 0);
    struct failure why = attempt_start(&t->attempt, base->env->poller, base->env->stats,
                                       &client, &c->address, true, &early, on_edge);
    if (why.why != OUTCOME_OK)
        return false;
    if (note_early(t))
        return true;
    attempt_abort(&t->attempt, base->env->poller);
    return false;
}

bool via_try_start(struct via_try *t, const struct via_try_how *how, via_try_done_fn *done,
                   void *arg)
{
    *t = (struct via_try){.how = *how, .done = done, .arg = arg};
    t->attempt.watch.fd = -1;
    t->started_ms = now_ms(t);
    if (how->implicit) {
        t->target = (struct via_concentrator){
            .address = how->target->addr, .fastopen = true, .exact = VIA_EXACT_OFF};
        t->target.address.port = how->target->port;
    }
    if (begin(t))
        return true;
    t->over = true;
    if (how->implicit)
        via_path_absent(how->path, &t->target.address, relearn_ms(t), now_ms(t));
    else if (!target_is_name(how->target))
        via_health_failed(how->base.health, how->base.to, VIA_FAILURE_CERTAIN, t->started_ms,
                          now_ms(t));
    return false;
}

/* ---- Silence ---- */

static uint64_t race_ms(const struct via_try *t)
{
    uint64_t rtt = t->how.implicit ? 0 : via_known_rtt(t->how.base.health, to(t)) / 1000;
    uint64_t ms = 2 * rtt + 100;

    ms = ms < VIA_TRY_RACE_MS ? VIA_TRY_RACE_MS : ms;
    return ms < RACE_MOST_MS ? ms : RACE_MOST_MS;
}

/* It is silent: has it reason to be? True: no, as far as a probe can tell. Takes several looks.
 */
static bool is_gone(struct via_try *t)
{
    uint64_t now = now_ms(t);

    if (t->alive && now - t->alive_ms < VIA_TRY_SILENCE_MS)
        return false;
    if (t->dead)
        return true;
    if (t->probe == NULL || !t->probe->running) {
        t->alive = false;
        t->dead = !start_probe(t);
        return t->dead;
    }
    if (now - t->probe->started_ms < race_ms(t) - VIA_TRY_RACE_MS + VIA_TRY_PROBE_MS)
        return false;
    via_probe_stop(t->probe);
    t->dead = true;
    return true;
}

static bool look_implicit(struct via_try *t)
{
    uint64_t now = now_ms(t);
    uint64_t patience = t->how.proven ? ECHO_PROVEN_MS : ECHO_MS;

    if (!t->connected)
        return now - t->started_ms >= race_ms(t);
    if (now - t->connected_ms >= patience)
        absent(t);
    return false;
}

bool via_try_look(struct via_try *t, bool alternative)
{
    uint64_t now = now_ms(t);

    if (!t->over && t->probe != NULL)
        via_probe_look(t->probe);
    if (t->over)
        return false;
    if (t->verifying) {
        if (t->probe != NULL && now - t->probe->started_ms >= VERIFY_MS + race_ms(t)) {
            via_probe_stop(t->probe);
            on_verified(t, VIA_PROBE_UNREACHED);
        }
        return false;
    }
    if (attempt_has_ended(&t->attempt)) {
        on_edge(&t->attempt.watch, EPOLLERR | EPOLLHUP); /* one may have got lost */
        if (!t->over && !t->verifying && attempt_has_ended(&t->attempt))
            ended(t, ECONNRESET);
        return false;
    }
    if (t->how.implicit)
        return look_implicit(t);
    if (!alternative)
        return false;
    if (t->connected) {
        if (now - t->connected_ms >= VIA_TRY_SILENCE_MS && is_gone(t)) {
            note_mute(t);
            fail(t, VIA_FAILURE_SILENT);
        }
        return false;
    }
    if (now - t->started_ms < race_ms(t))
        return false;
    bool held = t->attempt.early_sent > 0 && exact(t) != VIA_KNOWN_EXACT_NO;
    return !held || is_gone(t);
}

void via_try_timed_out(struct via_try *t)
{
    if (!t->over && !t->how.implicit && t->connected &&
        now_ms(t) - t->connected_ms >= VIA_TRY_SILENCE_MS && !t->alive)
        note_mute(t);
}
