/* SPDX-License-Identifier: MIT */
#include "relay.h"
#include <errno.h>
#include <stdlib.h>
#include <string.h>

enum {
    TCP_READ_BYTES =
        64 * 1024, /* more brings nothing from a TCP socket, docs/architecture.md "Data path" */
    MPTCP_READ_BYTES = 256 * 1024,
    FULL_READS_FOR_SPLICE = 2,
    SMALL_SPLICES = 16,             /* in a row */
    COPY_COST = 4,                  /* an octet copied takes as long as this many spliced */
    SPLICE_LEAST_BYTES = 16 * 1024, /* a splice that moves less costs more than it saves */
};

struct kept {
    size_t off, len;  /* what is left: data[off .. len) */
    size_t uncounted; /* of those, leading octets that are ours, not the session's */
    uint8_t data[];
};

/* What one step of a pump came to. */
enum step {
    STEP_MOVED,  /* look again */
    STEP_IDLE,   /* wait for an edge */
    STEP_BUDGET, /* others first */
    STEP_WINDOW,
    STEP_FROM_FAILED,
    STEP_TO_FAILED,
    STEP_NO_MEMORY,
};

void relay_init(struct relay *r, struct leg *client, struct leg *upstream, bool splice)
{
    /* Reading an MPTCP socket by splice copies all the same, and twice. */
    r->up = (struct pump){.from = client, .to = upstream, .splice = splice && !client->mptcp};
    r->down =
        (struct pump){.from = upstream, .to = client, .splice = splice && !upstream->mptcp};
}

static bool keep(struct pump *p, const uint8_t *data, size_t len, struct relay_env *env)
{
    struct kept *k = malloc(sizeof *k + len);

    if (k == NULL) {
        stats_add(env->stats, STAT_NOMEM, 1);
        return false;
    }
    *k = (struct kept){.len = len};
    memcpy(k->data, data, len);
    p->kept = k;
    stats_add(env->stats, STAT_BUFFERED_BYTES, len);
    return true;
}

bool relay_preload(struct pump *p, struct span octets, bool counted, struct relay_env *env)
{
    if (octets.len == 0)
        return true;
    if (!keep(p, octets.ptr, octets.len, env))
        return false;
    p->kept->uncounted = counted ? 0 : octets.len;
    return true;
}

static void count(struct pump *p, size_t n, struct relay_env *env, const struct relay *r)
{
    p->bytes += n;
    stats_add(env->stats, p == &r->up ? STAT_UP_BYTES : STAT_DOWN_BYTES, n);
}

static enum step failed(ssize_t rc, enum step otherwise)
{
    return rc == -EAGAIN ? STEP_MOVED : otherwise; /* the cleared flag is looked at next */
}

static enum step flush_kept(struct pump *p, struct relay_env *env, const struct relay *r)
{
    struct kept *k = p->kept;
    size_t allowed = leg_allowance(p->to, env->stats);

    if (allowed == 0)
        return STEP_WINDOW;
    size_t len = k->len - k->off;
    ssize_t n = leg_send(p->to, k->data + k->off, len < allowed ? len : allowed);
    if (n < 0)
        return failed(n, STEP_TO_FAILED);
    size_t ours = (size_t)n < k->uncounted ? (size_t)n : k->uncounted;
    k->uncounted -= ours;
    count(p, (size_t)n - ours, env, r);
    stats_sub(env->stats, STAT_BUFFERED_BYTES, (size_t)n);
    k->off += (size_t)n;
    if (k->off == k->len) {
        free(k);
        p->kept = NULL;
    }
    return STEP_MOVED;
}

static enum step flush_pipe(struct pump *p, struct relay_env *env, const struct relay *r)
{
    size_t allowed = leg_allowance(p->to, env->stats);

    if (allowed == 0)
        return STEP_WINDOW;
    ssize_t n = leg_splice_out(p->to, p->pipe->out, p->piped < allowed ? p->piped : allowed);
    if (n < 0)
        return failed(n, STEP_TO_FAILED);
    count(p, (size_t)n, env, r);
    stats_add(env->stats, STAT_SPLICED_BYTES, (size_t)n);
    p->piped -= (uint32_t)n;
    return STEP_MOVED;
}

static void spend(size_t *budget, size_t n)
{
    *budget -= n < *budget ? n : *budget;
}

static void give_back(struct pump *p, struct relay_env *env)
{
    if (p->pipe == NULL)
        return;
    pipes_return(env->pipes, p->pipe, p->piped == 0);
    p->pipe = NULL;
    p->piped = 0;
}

static enum step fill_pipe(struct pump *p, size_t *budget)
{
    ssize_t n = leg_splice_in(p->from, p->pipe->in, PIPE_BYTES);

    if (n < 0)
        return failed(n, STEP_FROM_FAILED);
    if (n == 0) {
        p->eof = true;
        return STEP_MOVED;
    }
    p->piped = (uint32_t)n;
    spend(budget, (size_t)n);
    p->small = n < SPLICE_LEAST_BYTES ? (uint8_t)(p->small + 1) : 0;
    if (p->small >= SMALL_SPLICES) { /* back to copying when this is written */
        p->full = 0;
        p->small = 0;
    }
    return STEP_MOVED;
}

static enum step copy(struct pump *p, size_t *budget, struct relay_env *env,
                      const struct relay *r)
{
    size_t size = p->from->mptcp ? MPTCP_READ_BYTES : TCP_READ_BYTES;
    size_t allowed = leg_allowance(p->to, env->stats);

    if (allowed == 0)
        return STEP_WINDOW;
    if (size > allowed)
        size = allowed;
    ssize_t n = leg_recv(p->from, env->scratch, size);
    if (n < 0)
        return failed(n, STEP_FROM_FAILED);
    if (n == 0) {
        p->eof = true;
        return STEP_MOVED;
    }
    size_t got = (size_t)n;
    spend(budget, got * COPY_COST);
    if (got < TCP_READ_BYTES)
        p->full = 0;
    else if (p->full < FULL_READS_FOR_SPLICE)
        p->full++;
    ssize_t sent = p->to->writable ? leg_send(p->to, env->scratch, got) : -EAGAIN;
    if (sent < 0) {
        if (sent != -EAGAIN)
            return STEP_TO_FAILED;
        sent = 0;
    }
    count(p, (size_t)sent, env, r);
    if ((size_t)sent == got)
        return STEP_MOVED;
    return keep(p, env->scratch + sent, got - (size_t)sent, env) ? STEP_MOVED : STEP_NO_MEMORY;
}

static enum step pump_step(struct pump *p, size_t *budget, struct relay_env *env,
                           const struct relay *r)
{
    if (p->finished)
        return STEP_IDLE;
    if (p->kept != NULL || p->piped > 0) {
        if (!p->to->writable)
            return STEP_IDLE;
        return p->kept != NULL ? flush_kept(p, env, r) : flush_pipe(p, env, r);
    }
    if (p->eof || !p->from->readable || p->full < FULL_READS_FOR_SPLICE)
        give_back(p, env);
    if (p->eof) {
        p->finished = true;
        return STEP_IDLE;
    }
    if (!p->from->readable)
        return STEP_IDLE;
    if (*budget == 0)
        return STEP_BUDGET;
    if (p->splice && !p->from->urgent && p->full >= FULL_READS_FOR_SPLICE) {
        if (p->pipe == NULL)
            p->pipe = pipes_borrow(env->pipes);
        if (p->pipe != NULL)
            return fill_pipe(p, budget);
    }
    return copy(p, budget, env, r);
}

/* Every segment that arrives for a flow that cannot be written on would wake us for nothing. */
static void mute(struct pump *p, bool muted, struct relay_env *env)
{
    if (p->muted == muted)
        return;
    p->muted = muted;
    if (leg_open(p->from))
        poller_mute(env->poller, &p->from->watch, muted);
}

static enum step pump_run(struct pump *p, struct relay_env *env, const struct relay *r)
{
    size_t budget = RELAY_TURN_BYTES;
    enum step s;

    do
        s = pump_step(p, &budget, env, r);
    while (s == STEP_MOVED);
    bool blocked = s == STEP_IDLE && (p->kept != NULL || p->piped > 0) && !p->finished;
    mute(p, blocked && p->full >= FULL_READS_FOR_SPLICE && p->from->readable, env);
    return s;
}

static enum relay_verdict verdict(enum step up, enum step down)
{
    if (up == STEP_NO_MEMORY || down == STEP_NO_MEMORY)
        return RELAY_NO_MEMORY;
    if (up == STEP_FROM_FAILED || down == STEP_TO_FAILED)
        return RELAY_CLIENT_FAILED;
    if (up == STEP_TO_FAILED || down == STEP_FROM_FAILED)
        return RELAY_UPSTREAM_FAILED;
    if (up == STEP_BUDGET || down == STEP_BUDGET)
        return RELAY_AGAIN;
    if (up == STEP_WINDOW || down == STEP_WINDOW)
        return RELAY_WAIT_WINDOW;
    return RELAY_OPEN;
}

enum relay_verdict relay_run(struct relay *r, struct relay_env *env)
{
    enum step up = pump_run(&r->up, env, r);
    enum step down = STEP_IDLE;

    /* A failure ends the session; what the other pump still holds could not be told apart from
     * a complete stream. */
    if (up != STEP_FROM_FAILED && up != STEP_TO_FAILED && up != STEP_NO_MEMORY)
        down = pump_run(&r->down, env, r);
    if (r->up.finished && r->down.finished)
        return RELAY_DONE; /* closing the sockets sends the FINs */
    if (r->up.finished)
        leg_shutdown(r->up.to);
    if (r->down.finished)
        leg_shutdown(r->down.to);
    return verdict(up, down);
}

static void pump_done(struct pump *p, struct relay_env *env)
{
    if (p->kept != NULL)
        stats_sub(env->stats, STAT_BUFFERED_BYTES, p->kept->len - p->kept->off);
    free(p->kept);
    p->kept = NULL;
    give_back(p, env);
}

void relay_done(struct relay *r, struct relay_env *env)
{
    pump_done(&r->up, env);
    pump_done(&r->down, env);
}

uint64_t relay_buffered(const struct pump *p)
{
    return p->piped + (p->kept != NULL ? p->kept->len - p->kept->off : 0);
}
