/* SPDX-License-Identifier: MIT */
#include "prober.h"
#include "cli.h"
#include "journal.h"
#include "keeper_fds.h"
#include "probe.h"
#include "sys.h"
#include "towards.h"
#include <errno.h>
#include <signal.h>
#include <sys/prctl.h>
#include <time.h>
#include <unistd.h>

enum { PAUSE_S = 5 }; /* a concentrator that does not answer is not asked without end */

static void log_answer(const struct settings *s, const struct addr *proxy,
                       enum proxies_exact is, const struct probe_result *r)
{
    static const char *const word[] = {"unknown", "no", "yes", "doubtful"};
    struct journal j;

    journal_begin(&j, "exact");
    journal_addr(&j, "concentrator", proxy);
    journal_text(&j, "exact", word[is]);
    if (r->error != 0)
        journal_errno(&j, "error", r->error);
    journal_end(&j, s->log);
}

/* The SYN's fate is learnt along with the answer: what it tells holds for a connect, too. */
static void ask(const struct reach_env *env, const struct addr *proxy)
{
    struct settings s = *env->settings;
    struct probe_result r;

    s.tfo = proxies_tfo(env->proxies, proxy, s.tfo, sys_now_ms()) ? SETTINGS_TFO_ON
                                                                  : SETTINGS_TFO_OFF;
    enum proxies_exact is = probe_exact(&s, proxy, s.dialect, &r);
    uint64_t now_ms = sys_now_ms();
    struct proxies_report report = {.reached = r.connect_ms >= 0,
                                    .tfo_asked = r.tfo_asked,
                                    .tfo_taken = r.tfo_taken,
                                    .mptcp_asked = s.mptcp,
                                    .mptcp = r.mptcp};

    /* Whether it was MPTCP cannot always be told any more: it closes behind its answer. */
    report.mptcp_asked = report.mptcp_asked && r.mptcp;
    if (r.verdict == PROBE_WORKS)
        proxies_learn(env->proxies, proxy, &report, now_ms);
    if (is != PROXIES_EXACT_UNKNOWN)
        proxies_exact_learn(env->proxies, proxy, s.dialect, is, now_ms);
    log_answer(env->settings, proxy, is, &r);
}

static bool is_due(const struct reach_env *env, const struct addr *proxy)
{
    uint64_t left_ms;
    enum proxies_exact is =
        proxies_exact(env->proxies, proxy, env->settings->dialect, sys_now_ms(), &left_ms);

    return is == PROXIES_EXACT_DOUBTFUL || left_ms < PROXIES_EXACT_LATE_MS;
}

static _Noreturn void probe_for_ever(const struct reach_env *env)
{
    const struct timespec pause = {.tv_sec = PAUSE_S};

    for (;;) {
        for (unsigned i = 0; i < env->settings->proxies; i++)
            if (is_due(env, &env->settings->proxy[i]))
                ask(env, &env->settings->proxy[i]);
        (void)nanosleep(&pause, NULL);
        shared_await_wish(env->shared);
    }
}

pid_t prober_start(const struct reach_env *env)
{
    pid_t parent = getpid();

    if (!towards_may_be_exact(env->settings))
        return 0;
    pid_t pid = fork();

    if (pid != 0)
        return pid < 0 ? -errno : pid;
    (void)prctl(PR_SET_PDEATHSIG, SIGKILL); /* cannot fail for a signal */
    if (getppid() != parent)
        _exit(CLI_EXIT_OURS);
    (void)setsid(); /* no signals of the terminal's */
    keeper_fds_drop(NULL, 0, false);
    probe_for_ever(env);
}
