/* SPDX-License-Identifier: MIT */
/* A socket is first watched until it stands or has failed. One that stands shows whether the
 * SYN's data was taken (trap T3): if not, the concentrator gets none for a while, and so no
 * connect in place. Then it is watched until octets came: one that ends without any was perhaps
 * refused behind a SYN-ACK that came too early, from a listener that is exact no more. */
#include "inplace_watch.h"
#include "journal.h"
#include "sys.h"
#include <errno.h>
#include <linux/tcp.h> /* not netinet/tcp.h: the two clash */
#include <netinet/in.h>
#include <string.h>

enum {
    STATE_SYN_SENT = 2, /* tcpi_state */
    STATE_SYN_RECV = 3,
    STATE_CLOSE = 7,
    /* `what`: fd (31) | proxy (3) | stood (1) | pid (22) */
    PROXY_SHIFT = 31,
    STOOD_SHIFT = 34,
    PID_SHIFT = 35,
    PID_MAX = 1 << 22, /* the kernel's PID_MAX_LIMIT */
};
_Static_assert(SETTINGS_PROXIES_MAX <= 8, "three bits");

void inplace_watch_put(struct inplace_watch *w, unsigned i, const struct inplace_seen *s)
{
    uint64_t none = 0;

    if (s->fd < 0 || s->pid < 0 || s->pid >= PID_MAX || s->cookie == 0 ||
        atomic_load(&w->place[i].cookie) != 0)
        return;
    atomic_store(&w->place[i].what, (uint64_t)s->fd | (uint64_t)s->proxy << PROXY_SHIFT |
                                        (uint64_t)s->stood << STOOD_SHIFT |
                                        (uint64_t)s->pid << PID_SHIFT);
    atomic_store(&w->place[i].began_ms, s->began_ms);
    (void)atomic_compare_exchange_strong(&w->place[i].cookie, &none, s->cookie);
}

void inplace_watch_add(struct inplace_watch *w, const struct inplace_seen *s)
{
    unsigned i = atomic_fetch_add(&w->next, 1) % INPLACE_WATCHED;

    atomic_store(&w->place[i].cookie, 0);
    inplace_watch_put(w, i, s);
}

bool inplace_watch_get(const struct inplace_watch *w, unsigned i, struct inplace_seen *out)
{
    uint64_t cookie = atomic_load(&w->place[i].cookie), what = atomic_load(&w->place[i].what);

    *out = (struct inplace_seen){
        .cookie = cookie,
        .fd = (int)(what & INT32_MAX),
        .pid = (int)(what >> PID_SHIFT),
        .proxy = (uint8_t)(what >> PROXY_SHIFT & 7),
        .stood = (what >> STOOD_SHIFT & 1) != 0,
        .began_ms = atomic_load(&w->place[i].began_ms),
    };
    return cookie != 0;
}

bool inplace_watch_take(struct inplace_watch *w, unsigned i, uint64_t cookie)
{
    return atomic_compare_exchange_strong(&w->place[i].cookie, &cookie, 0);
}

void inplace_watch_clear(struct inplace_watch *w)
{
    for (unsigned i = 0; i < INPLACE_WATCHED; i++)
        atomic_store(&w->place[i].cookie, 0);
}

/* ---- the verdict ---- */

static void log_end(const struct reach_env *env, const struct addr *proxy, const char *event,
                    int error)
{
    struct journal j;

    if (env->settings->log[0] == '\0')
        return;
    journal_begin(&j, event);
    journal_addr(&j, "concentrator", proxy);
    journal_errno(&j, "error", error);
    journal_end(&j, env->settings->log);
}

/* Refused, by whom is not known. But a reset came behind a SYN-ACK, and so not from who is
 * exact.
 */
static void failed(const struct reach_env *env, const struct addr *proxy, int error)
{
    shared_add(env->shared, SHARED_REFUSED, 1);
    if (error == ECONNRESET)
        proxies_exact_learn(env->proxies, proxy, env->settings->dialect, PROXIES_EXACT_UNKNOWN,
                            sys_now_ms());
    else
        proxies_exact_doubt(env->proxies, proxy, env->settings->dialect, false);
    shared_wish(env->shared);
    log_end(env, proxy, "exact_refused", error);
}

static void stands(const struct reach_env *env, const struct addr *proxy, int fd,
                   const struct tcp_info *info, uint64_t began_ms)
{
    uint64_t now_ms = sys_now_ms();
    struct proxies_report report = {
        .reached = true,
        .tfo_asked = true,
        .tfo_taken = (info->tcpi_options & TCPI_OPT_SYN_DATA) != 0,
    };
    int protocol = IPPROTO_TCP;

    (void)sys_get_int(fd, SOL_SOCKET, SO_PROTOCOL, &protocol);
    report.mptcp_asked = protocol != IPPROTO_TCP;
    report.mptcp = report.mptcp_asked && dial_is_mptcp(fd);
    proxies_learn(env->proxies, proxy, &report, now_ms);
    shared_add(env->shared, SHARED_SUCCEEDED, 1);
    shared_add(env->shared, SHARED_ANSWER_MS, now_ms - began_ms);
    shared_add(env->shared, report.tfo_taken ? SHARED_TFO : SHARED_TFO_MISSED, 1);
    if (report.mptcp)
        shared_add(env->shared, SHARED_MPTCP, 1);
    else if (env->settings->mptcp)
        shared_add(env->shared, SHARED_FALLBACK, 1);
    if (!report.tfo_taken)
        log_end(env, proxy, "exact_syn_data_not_taken", 0);
}

bool inplace_judge(const struct reach_env *env, struct inplace_seen *s, int fd, int error)
{
    const struct addr *proxy = &env->settings->proxy[s->proxy % SETTINGS_PROXIES_MAX];
    struct tcp_info info;
    socklen_t len = sizeof info;

    memset(&info, 0, sizeof info);
    if (sys_getsockopt(fd, IPPROTO_TCP, TCP_INFO, &info, &len) != 0)
        return false;
    bool over = info.tcpi_state == 0 || info.tcpi_state == STATE_CLOSE;

    if (!s->stood) {
        if (info.tcpi_state == STATE_SYN_SENT || info.tcpi_state == STATE_SYN_RECV)
            return true;
        /* One that stood, and is over already, had octets. */
        if (error != 0 || (over && info.tcpi_bytes_received == 0)) {
            failed(env, proxy, error);
            return false;
        }
        stands(env, proxy, fd, &info, s->began_ms);
        s->stood = true;
        return true;
    }
    if (over && info.tcpi_bytes_received == 0) {
        proxies_exact_learn(env->proxies, proxy, env->settings->dialect, PROXIES_EXACT_UNKNOWN,
                            sys_now_ms());
        shared_wish(env->shared);
        log_end(env, proxy, "exact_in_doubt", error);
    }
    return !over && info.tcpi_bytes_received == 0;
}
