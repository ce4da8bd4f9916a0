/* SPDX-License-Identifier: MIT */
#include "via_probe.h"
#include "base/mptcp.h"
#include "stats.h"
#include <errno.h>
#include <string.h>
#include <sys/socket.h>

static uint64_t now_ms(const struct via_probe *p)
{
    return uv_now(p->how.env->loop);
}

void via_probe_stop(struct via_probe *p)
{
    if (!p->running)
        return;
    p->running = false;
    attempt_close(&p->attempt, p->how.env->poller);
}

static void conclude(struct via_probe *p, enum via_probe_end end)
{
    const struct via_probe_how *how = &p->how;
    uint32_t relearn = how->options->relearn_ms;

    via_probe_stop(p);
    if (end == VIA_PROBE_ALIVE) {
        via_known_answered(how->health, how->to, now_ms(p));
        via_known_exact_learn(how->health, how->to,
                              p->initiator.exact ? VIA_KNOWN_EXACT_YES : VIA_KNOWN_EXACT_NO,
                              relearn, now_ms(p));
    } else if (end == VIA_PROBE_FOREIGN && via_known_proven(how->health, how->to)) {
        end = VIA_PROBE_MUTE; /* it has answered requests: the question is what it dislikes */
    } else if (end == VIA_PROBE_FOREIGN) {
        via_known_foreign(how->health, how->to, relearn, now_ms(p));
        stats_add(how->env->stats, STAT_VIA_LISTED, 1);
    }
    p->done(p, end);
}

/* SOCKS5 is as far as it goes without a target when the request is due. */
static bool prepare(struct via_probe *p)
{
    static const struct target nowhere = {.addr = {.family = ADDR_IPV4, .ip = {192, 0, 2, 1}},
                                          .port = 9};
    const struct via_concentrator *c = p->how.to;
    enum protocol dialect = via_protocol((enum via_dialect)c->dialect);
    int error;
    struct initiator_options o = {
        .dialect = dialect, .anonymous = true, .m_bit = MPCONVERT_M_DRAFT};

    if (!p->plain && dialect != PROTOCOL_SOCKS5)
        return initiator_init_probe(&p->initiator, dialect, via_cookie(c, p->cookie), &error);
    if (c->user != NULL) {
        o.user = span_of(c->user, strlen(c->user));
        o.pass = span_of(c->password, strlen(c->password));
    }
    return initiator_init(&p->initiator, &o, &nowhere, &error);
}

static bool begin(struct via_probe *p);

/* The stream is over, and the answer was not there. */
static void ended(struct via_probe *p, int error)
{
    (void)initiator_closed(&p->initiator, error);
    attempt_close(&p->attempt, p->how.env->poller);
    if (p->initiator.heard)
        conclude(p, VIA_PROBE_FOREIGN);
    else if (p->plain || p->how.to->dialect != VIA_MP_CONVERT)
        conclude(p, VIA_PROBE_MUTE);
    else {
        p->plain = true;
        if (!begin(p))
            conclude(p, VIA_PROBE_UNREACHED);
    }
}

/* False: it is over. */
static bool send_rest(struct via_probe *p)
{
    struct span out = initiator_output(&p->initiator);

    while (out.len > 0) {
        ssize_t n = send(p->attempt.watch.fd, out.ptr, out.len, MSG_NOSIGNAL);
        if (n < 0 && errno == EAGAIN)
            return true;
        if (n < 0 && errno != EINTR) {
            ended(p, errno);
            return false;
        }
        if (n > 0)
            initiator_sent(&p->initiator, (size_t)n);
        out = initiator_output(&p->initiator);
    }
    return true;
}

static void take_answer(struct via_probe *p)
{
    uint8_t buf[CONVERT_MESSAGE_MAX];
    size_t consumed = 0;
    ssize_t n;

    do
        n = recv(p->attempt.watch.fd, buf, sizeof buf, MSG_PEEK);
    while (n < 0 && errno == EINTR);
    if (n < 0 && errno == EAGAIN)
        return;
    if (n <= 0) {
        ended(p, n < 0 ? errno : 0);
        return;
    }
    switch (initiator_input(&p->initiator, span_of(buf, (size_t)n), &consumed)) {
    case INITIATOR_BROKEN:
        conclude(p, VIA_PROBE_FOREIGN);
        break;
    case INITIATOR_WAIT: /* half an answer stays in the kernel */
        break;
    case INITIATOR_SEND: /* SOCKS5: the greeting was answered */
    case INITIATOR_READY:
    case INITIATOR_REFUSED: /* in its dialect */
        conclude(p, VIA_PROBE_ALIVE);
        break;
    }
}

static void note_syn_ack(struct via_probe *p)
{
    via_known_rtt_learn(p->how.health, p->how.to, attempt_clock_us() - p->attempt.start_us);
    if (p->attempt.early_sent > 0)
        via_known_tfo_result(p->how.health, p->how.to, mptcp_syn_data(p->attempt.watch.fd),
                             p->how.options->tfo_backoff_ms, now_ms(p));
}

static void on_edge(struct watch *w, uint32_t events)
{
    struct via_probe *p = CONTAINER_OF(w, struct via_probe, attempt.watch);
    int error = 0;

    if (!p->connected && (events & EPOLLERR) != 0) {
        (void)attempt_failure_errno(&p->attempt, events, &error);
        if (error != 0 && error != ECONNRESET && error != EPIPE) {
            conclude(p, VIA_PROBE_UNREACHED);
            return;
        }
    }
    if (!p->connected && (events & (EPOLLOUT | EPOLLHUP)) != 0) {
        p->connected = true;
        note_syn_ack(p);
    }
    if (p->connected && send_rest(p))
        take_answer(p);
}

void via_probe_look(struct via_probe *p)
{
    if (p->running && p->connected && attempt_has_ended(&p->attempt))
        take_answer(p);
    if (p->running && p->connected && attempt_has_ended(&p->attempt))
        ended(p, ECONNRESET);
}

static bool begin(struct via_probe *p)
{
    const struct via_concentrator *c = p->how.to;
    struct attempt_client client = {.concentrator = true, .policy = p->how.policy};

    if (!prepare(p))
        return false;
    struct span out = initiator_output(&p->initiator);
    struct span early = via_known_tfo(p->how.health, c, now_ms(p)) ? out : span_of(NULL, 0);
    p->connected = false;
    /* Its attempts are not those of clients: they are counted here. */
    struct failure why = attempt_start(&p->attempt, p->how.env->poller, NULL, &client,
                                       &c->address, true, &early, on_edge);
    if (why.why == OUTCOME_OK && p->attempt.early_sent > 0)
        initiator_sent(&p->initiator, p->attempt.early_sent);
    if (why.why == OUTCOME_OK)
        stats_add(p->how.env->stats, STAT_VIA_PROBES, 1);
    return why.why == OUTCOME_OK;
}

bool via_probe_start(struct via_probe *p, const struct via_probe_how *how,
                     via_probe_done_fn *done, void *arg)
{
    *p = (struct via_probe){.how = *how, .done = done, .arg = arg};
    p->attempt.watch.fd = -1;
    p->started_ms = now_ms(p);
    p->running = begin(p);
    return p->running;
}
