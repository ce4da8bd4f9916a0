/* SPDX-License-Identifier: MIT */
/* Happy path of the launcher: fork the keeper, hand on signals, wait for its messages; of the
 * keeper: fork the program, start the supervisor with the listener that the program's side
 * sends, wait for the program, tell the launcher, serve what is left.
 * Failure path: what goes wrong before the program runs is said on standard error by the
 * process that sees it, and becomes the program's exit status. A launcher that is gone is the
 * end of its socket: the program is killed, and the keeper cleans up. A keeper that is gone
 * takes the program with it (PR_SET_PDEATHSIG).
 *
 * Signals that a terminal sends go to the whole process group, the program included: they are
 * not handed on. */
#include "keeper.h"
#include "cli.h"
#include "filter.h"
#include "journal.h"
#include "keeper_fds.h"
#include "prober.h"
#include "supervisor.h"
#include <errno.h>
#include <poll.h>
#include <signal.h>
#include <stdio.h>
#include <string.h>
#include <sys/prctl.h>
#include <sys/resource.h>
#include <sys/signalfd.h>
#include <sys/wait.h>
#include <unistd.h>

enum {
    LAST_MS = 100, /* how long the supervisor may take to notice that nobody is left */
};
static const int handed_on[] = {SIGHUP,  SIGINT,  SIGQUIT,  SIGTERM, SIGUSR1,
                                SIGUSR2, SIGALRM, SIGWINCH, SIGTSTP, SIGCONT};

/* Between launcher and keeper, one per datagram. */
enum message_kind {
    MESSAGE_SIGNAL,  /* to the keeper: send the program signal `value` */
    MESSAGE_STOPPED, /* the program was stopped */
    MESSAGE_WENT_ON, /* and goes on again, or has ended */
    MESSAGE_ENDED,   /* `value` is its wait status */
    MESSAGE_STAYS,   /* others are left that need the keeper: do not wait for it */
};
struct message {
    enum message_kind kind;
    int value;
};

/* What the program is to have as if we were not there. */
struct manners {
    sigset_t mask;
    struct sigaction child;
};

static void take_signals(struct manners *before)
{
    struct sigaction normal = {.sa_handler = SIG_DFL};
    sigset_t ours;

    (void)sigemptyset(&ours);
    (void)sigaddset(&ours, SIGCHLD);
    for (size_t i = 0; i < sizeof handed_on / sizeof handed_on[0]; i++)
        (void)sigaddset(&ours, handed_on[i]);
    (void)sigprocmask(SIG_BLOCK, &ours, &before->mask); /* none of these can fail */
    (void)sigaction(SIGCHLD, &normal, &before->child);  /* ignored, waitpid() has nothing */
}

static void give_signals_back(const struct manners *before)
{
    (void)sigaction(SIGCHLD, &before->child, NULL); /* cannot fail: it was in force before */
    (void)sigprocmask(SIG_SETMASK, &before->mask, NULL);
}

static int signal_fd(void)
{
    sigset_t set;

    (void)sigprocmask(SIG_BLOCK, NULL, &set); /* cannot fail */
    return signalfd(-1, &set, SFD_CLOEXEC | SFD_NONBLOCK);
}

static void tell(int link, enum message_kind kind, int value)
{
    struct message m = {.kind = kind, .value = value};

    (void)send(link, &m, sizeof m, MSG_NOSIGNAL); /* the other side may be gone: it will show */
}

/* 1: *m; 0: the other side is gone. ECONNRESET says that it did not read all of ours, once;
 * what it said before is still there. */
static int hear(int link, struct message *m)
{
    ssize_t n;

    do
        n = recv(link, m, sizeof *m, 0);
    while (n < 0 && (errno == EINTR || errno == ECONNRESET));
    return n == (ssize_t)sizeof *m;
}

static int exit_status(int status)
{
    return (int)((unsigned)status << 8); /* as wait() has it */
}

/* ---- the program's side ---- */

/* The filter is installed here, and its listener goes to the keeper; false: do not go on. */
static bool be_filtered(int pair, bool needed)
{
    int rc = filter_install();
    char go = 0;

    if (rc < 0 && needed)
        (void)fprintf(stderr, "mpconvert: --seccomp: not possible here: %s\n", strerror(-rc));
    if (!keeper_fds_send(pair, rc))
        return false;
    if (rc >= 0)
        (void)close(rc); /* the keeper has its own */
    return recv(pair, &go, 1, 0) == 1 && go != 0;
}

static _Noreturn void become_program(const struct keeper *k, const struct manners *before,
                                     pid_t keeper, int pair)
{
    int code;

    (void)prctl(PR_SET_PDEATHSIG, SIGKILL); /* cannot fail for a signal */
    if (getppid() != keeper)
        _exit(CLI_EXIT_OURS); /* it went before we could ask */
    if (pair >= 0 && !be_filtered(pair, k->filter_needed))
        _exit(CLI_EXIT_OURS);
    give_signals_back(before);
    (void)execvp(k->program[0], k->program); /* returns only to fail */
    code = errno;
    (void)fprintf(stderr, "mpconvert: '%s': %s\n", k->program[0], strerror(code));
    _exit(code == ENOENT ? CLI_EXIT_NONE : CLI_EXIT_CANNOT);
}

/* ---- the keeper ---- */

struct keeping {
    struct keeper *k;
    int link, signals;
    pid_t launcher, program;
    bool stopped;
    int status; /* of the program, once it has ended */
    struct supervisor *supervisor;
};

static void note_no_filter(const struct settings *s, int error)
{
    struct journal j;

    journal_begin(&j, "seccomp_unavailable");
    journal_errno(&j, "error", error);
    journal_text(&j, "mode", "preload alone");
    journal_end(&j, s->log);
}

/* The program's side waits for one octet: 1, go on. Its standard error is the one that users
 * see. */
static void start_supervisor(struct keeping *g, int pair)
{
    int listener = -1, rc = keeper_fds_receive(pair, &listener);
    char go = 1;

    if (rc == 0) {
        g->supervisor = supervisor_start(&g->k->env, listener, &rc);
        go = g->supervisor != NULL ? 1 : 0;
        if (go == 0)
            (void)dprintf(STDERR_FILENO, "mpconvert: cannot serve the program: %s\n",
                          strerror(-rc));
    } else if (g->k->filter_needed) {
        go = 0;
    } else {
        note_no_filter(g->k->env.settings, -rc);
    }
    (void)send(pair, &go, 1, MSG_NOSIGNAL); /* gone already: waitpid() will tell */
}

/* False: it has ended. */
static bool look_after_program(struct keeping *g)
{
    int status = 0;

    while (waitpid(g->program, &status, WNOHANG | WUNTRACED | WCONTINUED) == g->program) {
        if (WIFSTOPPED(status)) {
            tell(g->link, MESSAGE_STOPPED, WSTOPSIG(status));
            g->stopped = true;
            continue;
        }
        if (g->stopped) { /* somebody made the program alone go on */
            tell(g->link, MESSAGE_WENT_ON, 0);
            (void)kill(g->launcher, SIGCONT);
        }
        g->stopped = false;
        if (!WIFCONTINUED(status)) {
            g->status = status;
            return false;
        }
    }
    return true;
}

static void drain_signals(int fd)
{
    struct signalfd_siginfo info;

    while (read(fd, &info, sizeof info) == (ssize_t)sizeof info) {
    }
}

static void wait_for_program(struct keeping *g)
{
    struct pollfd fds[] = {{.fd = g->signals, .events = POLLIN},
                           {.fd = g->link, .events = POLLIN}};
    struct message m;

    while (look_after_program(g)) {
        if (poll(fds, 2, -1) < 0)
            continue; /* interrupted */
        drain_signals(g->signals);
        if (fds[1].revents == 0)
            continue;
        if (hear(g->link, &m)) {
            (void)kill(g->program, m.value); /* not waited for yet: it is the program */
        } else {
            (void)kill(g->program, SIGKILL); /* as the launcher was */
            fds[1].fd = -1;
        }
    }
}

/* Is anybody left under the filter? */
static bool is_needed(const struct keeping *g)
{
    struct pollfd end = {.events = POLLIN};

    if (g->supervisor == NULL)
        return false;
    end.fd = supervisor_fd(g->supervisor);
    return poll(&end, 1, LAST_MS) != 1;
}

/* The launcher has gone on; so may our terminal. SIGTERM ends it, and with it the connections
 * that descendants want to make. */
static void serve_the_rest(struct keeping *g)
{
    struct pollfd fds[] = {{.fd = supervisor_fd(g->supervisor), .events = POLLIN},
                           {.fd = g->signals, .events = POLLIN}};
    struct signalfd_siginfo info;

    (void)setsid();
    if (chdir("/") != 0) {
        /* then a file system stays busy for longer */
    }
    drain_signals(g->signals);
    while (poll(fds, 2, -1) < 0 || fds[0].revents == 0)
        if (read(g->signals, &info, sizeof info) == (ssize_t)sizeof info &&
            info.ssi_signo == SIGTERM)
            break;
}

static int keep(struct keeper *k, const struct manners *before, int link)
{
    struct keeping g = {.k = k, .link = link, .signals = signal_fd(), .launcher = getppid()};
    int pair[2] = {-1, -1};
    pid_t self = getpid();

    if (g.signals < 0 ||
        (k->filter && socketpair(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC, 0, pair) != 0) ||
        (g.program = fork()) < 0) {
        (void)fprintf(stderr, "mpconvert: %s\n", strerror(errno));
        tell(link, MESSAGE_ENDED, exit_status(CLI_EXIT_OURS));
        return 1;
    }
    if (g.program == 0)
        become_program(k, before, self, pair[1]);
    (void)close(pair[1]);        /* -1 at worst */
    (void)prober_start(&k->env); /* without it, connections are made in the ordinary way */
    keeper_fds_drop((const int[]){link, g.signals, pair[0], k->run_file->fd}, 4, k->filter);
    if (k->filter) {
        start_supervisor(&g, pair[0]);
        (void)close(pair[0]); /* said all there is to say */
        keeper_fds_quiet(false);
    }
    wait_for_program(&g);
    tell(link, MESSAGE_ENDED, g.status);
    if (is_needed(&g)) {
        tell(link, MESSAGE_STAYS, 0);
        (void)close(link); /* nobody listens any more */
        serve_the_rest(&g);
    }
    if (g.supervisor != NULL)
        supervisor_end(g.supervisor);
    runfile_remove(k->run_file);
    return 0;
}

/* ---- the launcher ---- */

static void hand_on_signals(int signals, int link)
{
    struct signalfd_siginfo info;

    while (read(signals, &info, sizeof info) == (ssize_t)sizeof info) {
        bool terminals = info.ssi_code == SI_KERNEL && info.ssi_signo != SIGALRM;

        if (info.ssi_signo == SIGCHLD || terminals)
            continue; /* the program got it, too; but not our alarm(2), from before execve() */
        tell(link, MESSAGE_SIGNAL, (int)info.ssi_signo);
    }
}

/* The program was stopped: so are we, until somebody wants both to go on; unless that was so
 * short that there is news already. */
static void stop_with_program(int link)
{
    struct message news;

    if (recv(link, &news, sizeof news, MSG_PEEK | MSG_DONTWAIT) >= 0)
        return;
    (void)raise(SIGSTOP);
    tell(link, MESSAGE_SIGNAL, SIGCONT);
}

/* True: the keeper stays. */
static bool wait_for_keeper(int link, int signals, int *status)
{
    struct pollfd fds[] = {{.fd = signals, .events = POLLIN}, {.fd = link, .events = POLLIN}};
    struct message m;

    for (;;) {
        if (poll(fds, 2, -1) < 0)
            continue; /* interrupted */
        hand_on_signals(signals, link);
        if (fds[1].revents == 0)
            continue;
        if (!hear(link, &m))
            return false;
        switch (m.kind) {
        case MESSAGE_STOPPED:
            stop_with_program(link);
            break;
        case MESSAGE_ENDED:
            *status = m.value;
            break;
        case MESSAGE_STAYS:
            return true;
        case MESSAGE_WENT_ON: /* so do we */
        case MESSAGE_SIGNAL:  /* ours to send */
            break;
        }
    }
}

int keeper_run(struct keeper *k)
{
    struct manners before;
    int link[2], status = -1, signals, code;
    pid_t keeper;

    take_signals(&before);
    if (socketpair(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC, 0, link) != 0 ||
        (keeper = fork()) < 0) {
        code = errno;
        (void)fprintf(stderr, "mpconvert: %s\n", strerror(code));
        runfile_remove(k->run_file);
        return exit_status(CLI_EXIT_OURS);
    }
    if (keeper == 0) {
        (void)close(link[0]); /* the launcher's */
        _exit(keep(k, &before, link[1]));
    }
    (void)close(link[1]); /* the keeper's */
    signals = signal_fd();
    keeper_fds_drop((const int[]){link[0], signals}, 2, k->keep_stderr);
    if (!wait_for_keeper(link[0], signals, &status))
        (void)waitpid(keeper, NULL, 0); /* what it did is known */
    if (status >= 0)
        return status;
    /* Killed, and with it the program. */
    (void)unlink(k->run_file->path); /* may never have been reached */
    return SIGKILL;
}

void keeper_exit(int wait_status)
{
    static const struct rlimit no_core = {0, 0};
    sigset_t all;

    if (!WIFSIGNALED(wait_status))
        _exit(WEXITSTATUS(wait_status));
    (void)setrlimit(RLIMIT_CORE, &no_core);       /* one dump is enough */
    (void)signal(WTERMSIG(wait_status), SIG_DFL); /* none of these can fail, but for SIGKILL */
    (void)sigfillset(&all);
    (void)kill(getpid(), WTERMSIG(wait_status));
    (void)sigprocmask(SIG_UNBLOCK, &all, NULL);
    _exit(128 + WTERMSIG(wait_status)); /* as a shell says it */
}
