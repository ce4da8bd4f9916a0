/* SPDX-License-Identifier: MIT */
/* Happy path: the first concentrator in order is dialled with a socket like the program's; its
 * answer is READY. A concentrator that was not reached, or that broke the dialect, is followed
 * by the next one, with a new socket; one that said no ends it. While others remain, one that
 * is silent has a few seconds only. One deadline for everything. A target that speaks Multipath
 * TCP itself (natives.h) is tried before all of them; whatever goes wrong there, they follow.
 *
 * Failure paths end in fail(), success in succeed(); both once. What was learnt about the
 * concentrator is told as soon as its SYN-ACK came, so that other connections know. */
#include "reach.h"
#include "interrupt.h"
#include "journal.h"
#include "sys.h"
#include "towards.h"
#include <errno.h>
#include <string.h>

enum {
    SILENCE_MAX_MS = 5000, /* two SYNs lost; then another concentrator is worth a try */
    FAIR_MS = 1000,        /* a program that waits less than that proves nothing */
    NATIVE_MAX_MS = 1500,  /* one SYN lost; a concentrator is there in any case */
    PROBE_MS = 1000,       /* how often to look for a lost subflow, of which no event tells */
};

static const struct settings *settings_of(const struct reach *r)
{
    return r->env->settings;
}

static const struct addr *proxy_of(const struct reach *r)
{
    return &settings_of(r)->proxy[r->order[r->next - 1]];
}

static void count(const struct reach *r, enum shared_count which, uint64_t n)
{
    if (r->env->shared != NULL && n > 0)
        shared_add(r->env->shared, which, n);
}

/* Programs close descriptors they do not know: only what is still ours is closed. */
static void close_socket(struct reach *r)
{
    if (r->dial.fd >= 0 && sys_cookie(r->dial.fd) == r->socket_cookie)
        (void)sys_close(r->dial.fd);
    r->dial.fd = -1;
}

static void log_failure(const struct reach *r, int error)
{
    char target[TARGET_TEXT_MAX];
    struct journal j;

    if (settings_of(r)->log[0] == '\0')
        return;
    journal_begin(&j, r->native ? "native_failed" : "dial_failed");
    if (!r->native)
        journal_addr(&j, "concentrator", proxy_of(r));
    journal_text(&j, "target", target_print(&r->plan.target, target, sizeof target));
    journal_errno(&j, "error", error);
    journal_number(&j, "reached", r->dial.reached);
    journal_number(&j, "broken", r->dial.broken);
    journal_number(&j, "ms", (long)(sys_now_ms() - r->attempt_ms));
    journal_end(&j, settings_of(r)->log);
}

/* ---- what is learnt ---- */

static void learn(struct reach *r, uint64_t now_ms)
{
    const struct dial *d = &r->dial;
    /* What a connection that is over does not tell any more was not necessarily so. */
    bool unknown = d->gone && !(d->tfo_taken && (d->mptcp || !d->mptcp_asked));
    struct proxies_report report = {
        .reached = d->reached,
        .tfo_asked = d->tfo_asked && !unknown,
        .tfo_taken = d->tfo_taken,
        .mptcp_asked = d->mptcp_asked,
        .mptcp = d->mptcp,
    };

    if (r->learned)
        return;
    r->learned = true;
    proxies_learn(r->env->proxies, proxy_of(r), &report, now_ms);
    if (d->reached) /* a doubt was whether it is there */
        proxies_exact_doubt(r->env->proxies, proxy_of(r), settings_of(r)->dialect, true);
    if (d->reached && d->tfo_taken)
        count(r, SHARED_TFO, 1);
    else if (d->reached && report.tfo_asked)
        count(r, SHARED_TFO_MISSED, 1);
}

/* Errors that say nothing about the concentrator: the program's address, our means, our rules.
 */
static bool is_our_own(int error)
{
    return error == EADDRNOTAVAIL || error == EADDRINUSE || error == EINVAL ||
           error == EAFNOSUPPORT || error == EACCES || error == EPERM || error == ENOMEM ||
           error == ENOBUFS || error == EAGAIN;
}

/* What the converter said of the target, RFC 8803 s5.1. */
static void learn_target(const struct reach *r, uint64_t now_ms)
{
    const struct settings *s = settings_of(r);
    bool is = r->dial.initiator.server_mptcp;

    if (natives_way(r->env->natives, s, &r->plan.target, now_ms) != NATIVES_LEARN)
        return;
    struct addr a = r->plan.target.addr;
    a.port = r->plan.target.port;
    natives_learn(r->env->natives, &a, is ? NATIVES_YES : NATIVES_NO,
                  is ? s->learned_ms : NATIVES_FELL_BACK_MS, now_ms);
}

/* ---- ends ---- */

static enum dial_step fail(struct reach *r, int error, bool refused)
{
    close_socket(r);
    r->step = DIAL_FAILED;
    r->error = error;
    r->direct = settings_of(r)->on_failure == SETTINGS_DIRECT && !r->reached_one && !refused;
    if (refused)
        count(r, SHARED_REFUSED, 1);
    else
        count(r, r->direct ? SHARED_DIRECT : SHARED_FAILED, 1);
    return r->step;
}

static enum dial_step succeed(struct reach *r, uint64_t now_ms)
{
    r->fd = r->dial.fd;
    r->dial.fd = -1;
    r->step = DIAL_READY;
    count(r, SHARED_SUCCEEDED, 1);
    count(r, SHARED_OPTION_LOST, r->lost);
    count(r, SHARED_ANSWER_MS, now_ms - r->began_ms);
    if (r->native)
        count(r, SHARED_NATIVE, 1);
    else
        learn_target(r, now_ms);
    if (r->dial.mptcp)
        count(r, SHARED_MPTCP, 1);
    else if (settings_of(r)->mptcp)
        count(r, SHARED_FALLBACK, 1);
    return r->step;
}

/* ---- one concentrator ---- */

/* A share of what is left for each one that remains, and not too much for a silent one. */
static uint64_t silence_until(const struct reach *r, uint64_t now_ms)
{
    unsigned remain = (unsigned)r->count - r->next;

    if (remain == 0 || now_ms >= r->deadline_ms)
        return r->deadline_ms;
    uint64_t share = (r->deadline_ms - now_ms) / (remain + 1);
    return now_ms + (share < SILENCE_MAX_MS ? share : SILENCE_MAX_MS);
}

/* Dials the next one. -errno: no socket for it, which another concentrator cannot mend. */
static int attempt(struct reach *r, uint64_t now_ms)
{
    const struct settings *s = settings_of(r);
    struct towards t;

    r->next++;
    bool tfo = proxies_tfo(r->env->proxies, proxy_of(r), s->tfo, now_ms);
    int rc = towards_open(&t, s, &r->plan, proxy_of(r), r->model, tfo);
    if (rc < 0)
        return rc;
    struct dial_options o = {
        .request = towards_request(s), .proxy = t.proxy, .tfo = tfo, .mptcp = t.is_mptcp};
    r->lost = t.lost;
    r->learned = false;
    r->socket_cookie = sys_cookie(t.fd);
    r->attempt_ms = now_ms;
    r->attempt_until_ms = silence_until(r, now_ms);
    (void)dial_start(&r->dial, t.fd, &o, &r->plan.target);
    return 0;
}

/* Dials the target itself. False: no Multipath TCP socket for it. */
static bool attempt_native(struct reach *r, uint64_t now_ms)
{
    struct addr to = r->plan.target.addr;
    struct towards t;

    to.port = r->plan.target.port;
    if (towards_open(&t, settings_of(r), &r->plan, &to, r->model, false) < 0)
        return false;
    if (!t.is_mptcp) {
        (void)sys_close(t.fd);
        return false;
    }
    struct dial_options o = {.proxy = t.proxy, .mptcp = true, .native = true};
    r->native = r->learned = true; /* nothing about concentrators */
    r->lost = t.lost;
    r->socket_cookie = sys_cookie(t.fd);
    r->attempt_ms = now_ms;
    r->attempt_until_ms = now_ms + NATIVE_MAX_MS;
    if (r->attempt_until_ms > r->deadline_ms)
        r->attempt_until_ms = r->deadline_ms;
    (void)dial_start(&r->dial, t.fd, &o, &r->plan.target);
    return true;
}

/* Not Multipath TCP, refused, or silent: for a while the target is one like all others. */
static void give_native_up(struct reach *r, uint64_t now_ms)
{
    struct addr to = r->plan.target.addr;
    int error = r->dial.step == DIAL_WAIT ? ETIMEDOUT : r->dial.error;
    bool fair = error != ETIMEDOUT || now_ms - r->attempt_ms >= FAIR_MS;

    to.port = r->plan.target.port;
    log_failure(r, error);
    if (!is_our_own(error) && fair)
        natives_learn(r->env->natives, &to, NATIVES_NO,
                      r->dial.reached ? NATIVES_FELL_BACK_MS : NATIVES_FAILED_MS, now_ms);
    close_socket(r);
    r->native = false;
}

/* The attempt failed with `error`: remembers the more telling one, that of a concentrator that
 * could be reached, or else of the first in order. */
static void note_failure(struct reach *r, int error, uint64_t now_ms)
{
    bool telling = r->dial.reached && !r->reached_one;

    log_failure(r, error);
    if (!r->dial.reached &&
        (is_our_own(error) || (error == ETIMEDOUT && now_ms - r->attempt_ms < FAIR_MS)))
        r->learned = true; /* that is, nothing */
    learn(r, now_ms);
    if (telling || r->error == 0)
        r->error = error;
    r->reached_one = r->reached_one || r->dial.reached;
    close_socket(r);
}

static enum dial_step expire(struct reach *r, uint64_t now_ms)
{
    note_failure(r, ETIMEDOUT, now_ms);
    return fail(r, r->limited ? EINPROGRESS : ETIMEDOUT, false);
}

static enum dial_step waiting(struct reach *r, uint64_t now_ms)
{
    r->wake_ms = r->dial.reached ? r->deadline_ms : r->attempt_until_ms;
    if (r->dial.reached && r->dial.mptcp && now_ms + PROBE_MS < r->wake_ms)
        r->wake_ms = now_ms + PROBE_MS;
    return DIAL_WAIT;
}

/* Judges the dial; goes on to the next concentrator as often as needed. */
static enum dial_step judge(struct reach *r, uint64_t now_ms)
{
    if (r->native) {
        if (r->dial.step == DIAL_READY)
            return succeed(r, now_ms);
        if (r->dial.step == DIAL_WAIT && now_ms < r->attempt_until_ms)
            return waiting(r, now_ms);
        give_native_up(r, now_ms);
        int rc = attempt(r, now_ms);
        if (rc < 0)
            return fail(r, -rc, false);
    }
    for (;;) {
        int error = r->dial.error;

        if (r->dial.reached)
            learn(r, now_ms);
        if (r->dial.step == DIAL_READY)
            return succeed(r, now_ms);
        if (r->dial.step == DIAL_WAIT) {
            if (now_ms >= r->deadline_ms)
                return expire(r, now_ms);
            if (r->dial.reached || now_ms < r->attempt_until_ms)
                return waiting(r, now_ms);
            error = ETIMEDOUT; /* silent, and there are others */
        }
        bool refused = r->dial.reached && !r->dial.broken && r->dial.step == DIAL_FAILED;

        note_failure(r, error, now_ms);
        if (refused)
            return fail(r, error, true);
        if (r->next == r->count || now_ms >= r->deadline_ms)
            return fail(r, r->error, false);
        int rc = attempt(r, now_ms);
        if (rc < 0)
            return fail(r, -rc, false);
    }
}

enum dial_step reach_start(struct reach *r, const struct reach_env *env, const struct plan *p,
                           int model, uint64_t limit_ms)
{
    uint64_t now_ms = sys_now_ms(), most_ms = env->settings->connect_ms;

    memset(r, 0, sizeof *r);
    r->env = env;
    r->fd = r->dial.fd = -1;
    r->plan = *p;
    r->model = model;
    r->limited = limit_ms != 0 && limit_ms < most_ms;
    r->began_ms = now_ms;
    r->deadline_ms = now_ms + (r->limited ? limit_ms : most_ms);
    r->count = (uint8_t)proxies_order(env->proxies, env->settings, now_ms, r->order);
    count(r, SHARED_CONNECTS, 1);
    if (r->count == 0)
        return fail(r, ENETUNREACH, false);
    if (natives_way(env->natives, env->settings, &p->target, now_ms) == NATIVES_DIRECT &&
        attempt_native(r, now_ms))
        return judge(r, now_ms);
    int rc = attempt(r, now_ms);
    return rc < 0 ? fail(r, -rc, false) : judge(r, now_ms);
}

enum dial_step reach_run(struct reach *r, uint64_t now_ms)
{
    if (r->step != DIAL_WAIT)
        return r->step;
    (void)dial_run(&r->dial);
    return judge(r, now_ms);
}

/* ---- waiting ---- */

int reach_wait(struct reach *r)
{
    while (r->step == DIAL_WAIT) {
        struct pollfd ready = {.fd = r->dial.fd, .events = r->dial.events};
        uint64_t now_ms = sys_now_ms();
        uint64_t left = r->wake_ms > now_ms ? r->wake_ms - now_ms : 0;
        int most = left < INT32_MAX ? (int)left : INT32_MAX;

        /* connect(2) with SO_SNDTIMEO is never restarted (signal(7)). */
        int rc = r->limited ? sys_poll(&ready, 1, most) : interrupt_poll(&ready, most);
        if (rc == -EINTR)
            return -EINTR;
        (void)reach_run(r, sys_now_ms());
    }
    return r->step == DIAL_READY ? 0 : -r->error;
}

void reach_drop(struct reach *r)
{
    if (r->step == DIAL_READY)
        return;
    close_socket(r);
    if (r->step == DIAL_WAIT) {
        r->step = DIAL_FAILED;
        r->error = ECONNABORTED;
    }
}
