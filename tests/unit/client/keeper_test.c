/* SPDX-License-Identifier: MIT */
/* The program is this file again, or sh. Nothing is timed: a program that lives holds the write
 * end of a pipe, and what the launcher leaves behind is adopted and waited for. */
#include "keeper.h"
#include "runner.h"
#include <errno.h>
#include <fcntl.h>
#include <pty.h>
#include <signal.h>
#include <stdio.h>
#include <string.h>
#include <sys/prctl.h>
#include <sys/stat.h>
#include <sys/time.h>
#include <sys/wait.h>
#include <unistd.h>

static char runtime[] = "/tmp/mpconvert-test-XXXXXX";
static struct runfile run_file;
static struct settings settings;
static bool ignores_children;               /* the launcher does, when it is started */
static int from_program = -1, to_test = -1; /* a pipe; the program has the second end as 9 */

static void begin(void)
{
    struct settings_error err = {.text = ""};
    int pipe_fds[2];

    memset(runtime + sizeof runtime - 7, 'X', 6);
    ck_assert_ptr_nonnull(mkdtemp(runtime));
    ck_assert_msg(runfile_create(&run_file, runtime, &err), "%s", err.text);
    settings_default(&settings);
    ck_assert_int_eq(prctl(PR_SET_CHILD_SUBREAPER, 1), 0);
    ck_assert_int_eq(pipe2(pipe_fds, O_CLOEXEC), 0);
    from_program = pipe_fds[0];
    to_test = pipe_fds[1];
}

static bool run_file_exists(void)
{
    return access(run_file.path, F_OK) == 0;
}

/* Everybody has ended, and left nothing behind. */
static void end(void)
{
    char folder[64];

    while (waitpid(-1, NULL, 0) > 0 || errno == EINTR) {
    }
    ck_assert_int_eq(errno, ECHILD);
    ck_assert(!run_file_exists());
    (void)snprintf(folder, sizeof folder, "%s/mpconvert", runtime);
    ck_assert_int_eq(rmdir(folder), 0);
    ck_assert_int_eq(rmdir(runtime), 0);
    ck_assert_int_eq(close(from_program), 0);
    if (to_test >= 0)
        ck_assert_int_eq(close(to_test), 0);
}

static _Noreturn void be_launcher(char *const *program, bool filter)
{
    struct keeper k = {.program = program,
                       .filter = filter,
                       .env = {.settings = &settings,
                               .shared = shared_map(run_file.path),
                               .proxies = proxies_map(NULL)},
                       .run_file = &run_file};

    ck_assert_int_eq(fcntl(9, F_GETFD), -1); /* nobody's */
    ck_assert_int_eq(dup2(to_test, 9), 9);
    if (ignores_children)
        ck_assert(signal(SIGCHLD, SIG_IGN) != SIG_ERR);
    keeper_exit(keeper_run(&k));
}

static pid_t start(char *const *program, bool filter)
{
    pid_t launcher = fork();

    ck_assert_int_ge(launcher, 0);
    if (launcher == 0)
        be_launcher(program, filter);
    ck_assert_int_eq(close(to_test), 0); /* from now on the program's */
    to_test = -1;
    return launcher;
}
#define START(...) start((char *[]){__VA_ARGS__, NULL}, false)
#define SH(script) START((char[]){"sh"}, (char[]){"-c"}, (char[]){script})
#define MYSELF(what) START((char[]){"/proc/self/exe"}, (char[]){what})

static int end_of(pid_t launcher)
{
    int status = -1;

    ck_assert_int_eq(waitpid(launcher, &status, 0), launcher);
    return status;
}

/* What the program wrote, up to the end of a line. */
static const char *line(void)
{
    static char text[256];
    size_t n = 0;

    while (n + 1 < sizeof text && read(from_program, text + n, 1) == 1 && text[n] != '\n')
        n++;
    text[n] = '\0';
    return text;
}

/* The program's end of the pipe is gone, and with it the program. */
static void assert_program_ends(void)
{
    char octet;

    ck_assert_int_eq(read(from_program, &octet, 1), 0);
}

/* ---- what this file is when it is the program ---- */

/* Ends with the number of the signal that comes. */
static int be_waiting(void)
{
    sigset_t all;
    int got = 0;

    (void)sigfillset(&all);
    (void)sigprocmask(SIG_BLOCK, &all, NULL);
    (void)dprintf(9, "ready\n");
    (void)sigwait(&all, &got);
    return got;
}

/* Ends with 100 when SIGINT came twice before SIGTERM, else with 50. */
static int be_counting(void)
{
    sigset_t set, pending;
    int got = 0;

    (void)sigemptyset(&set);
    (void)sigaddset(&set, SIGINT);
    (void)sigprocmask(SIG_BLOCK, &set, NULL);
    (void)dprintf(9, "ready\n");
    (void)sigwait(&set, &got);
    (void)sigaddset(&set, SIGTERM);
    (void)sigprocmask(SIG_BLOCK, &set, NULL);
    (void)sigdelset(&set, SIGINT);
    (void)dprintf(9, "interrupted\n");
    (void)sigwait(&set, &got);
    (void)sigpending(&pending);
    return sigismember(&pending, SIGINT) ? 100 : 50;
}

/* ---- the tests ---- */

START_TEST(exit_statuses_are_handed_on)
{
    char script[16];

    (void)snprintf(script, sizeof script, "exit %d", _i);
    int status = end_of(START((char[]){"sh"}, (char[]){"-c"}, script));
    ck_assert(WIFEXITED(status));
    ck_assert_int_eq(WEXITSTATUS(status), _i);
}
END_TEST

static const int deaths[] = {SIGHUP,  SIGINT,  SIGQUIT, SIGILL,  SIGABRT, SIGFPE, SIGKILL,
                             SIGSEGV, SIGPIPE, SIGALRM, SIGTERM, SIGUSR1, SIGUSR2};

START_TEST(death_by_signal_is_reproduced)
{
    char script[32];

    (void)snprintf(script, sizeof script, "ulimit -c 0; kill -%d $$", deaths[_i]);
    int status = end_of(START((char[]){"sh"}, (char[]){"-c"}, script));
    ck_assert(WIFSIGNALED(status));
    ck_assert_int_eq(WTERMSIG(status), deaths[_i]);
    ck_assert(!WCOREDUMP(status));
}
END_TEST

START_TEST(a_program_that_is_not_there_is_127)
{
    int status = end_of(START((char[]){"/nonexistent/program"}));

    ck_assert(WIFEXITED(status));
    ck_assert_int_eq(WEXITSTATUS(status), 127);
}
END_TEST

START_TEST(a_program_that_cannot_be_run_is_126)
{
    int status = end_of(START((char[]){"/tmp"}));

    ck_assert(WIFEXITED(status));
    ck_assert_int_eq(WEXITSTATUS(status), 126);
}
END_TEST

static const int handed_on[] = {SIGHUP,  SIGINT,  SIGQUIT,  SIGTERM, SIGUSR1,
                                SIGUSR2, SIGALRM, SIGWINCH, SIGTSTP, SIGCONT};

START_TEST(signals_to_the_launcher_are_the_programs)
{
    pid_t launcher = MYSELF("--wait");

    ck_assert_str_eq(line(), "ready");
    ck_assert_int_eq(kill(launcher, handed_on[_i]), 0);
    int status = end_of(launcher);
    ck_assert(WIFEXITED(status));
    ck_assert_int_eq(WEXITSTATUS(status), handed_on[_i]);
}
END_TEST

START_TEST(an_alarm_that_was_set_before_is_the_programs)
{
    const struct itimerval soon = {.it_value = {.tv_usec = 1000}};
    sigset_t alarm_only;
    int status;
    pid_t launcher = fork();

    ck_assert_int_ge(launcher, 0);
    if (launcher == 0) {
        (void)sigemptyset(&alarm_only);
        (void)sigaddset(&alarm_only, SIGALRM);
        (void)sigprocmask(SIG_BLOCK, &alarm_only, NULL); /* for the program, until it waits */
        ck_assert_int_eq(setitimer(ITIMER_REAL, &soon, NULL), 0);
        be_launcher((char *[]){(char[]){"/proc/self/exe"}, (char[]){"--wait"}, NULL}, false);
    }
    status = end_of(launcher);
    ck_assert(WIFEXITED(status));
    ck_assert_int_eq(WEXITSTATUS(status), SIGALRM);
}
END_TEST

START_TEST(what_a_terminal_sends_comes_once)
{
    int terminal, status;
    pid_t launcher = forkpty(&terminal, NULL, NULL, NULL);

    ck_assert_int_ge(launcher, 0);
    if (launcher == 0)
        be_launcher((char *[]){(char[]){"/proc/self/exe"}, (char[]){"--count"}, NULL}, false);
    ck_assert_int_eq(close(to_test), 0);
    to_test = -1;
    ck_assert_str_eq(line(), "ready");
    ck_assert_int_eq(write(terminal, "\x03", 1), 1);
    ck_assert_str_eq(line(), "interrupted");
    ck_assert_int_eq(kill(launcher, SIGTERM), 0);
    status = end_of(launcher);
    ck_assert(WIFEXITED(status));
    ck_assert_int_eq(WEXITSTATUS(status), 50);
    ck_assert_int_eq(close(terminal), 0);
}
END_TEST

START_TEST(the_launcher_stops_and_goes_on_with_the_program)
{
    int status = 0;
    pid_t launcher = SH("kill -STOP $$; exit 9");

    ck_assert_int_eq(waitpid(launcher, &status, WUNTRACED), launcher);
    ck_assert(WIFSTOPPED(status));
    ck_assert_int_eq(kill(launcher, SIGCONT), 0);
    status = end_of(launcher);
    ck_assert(WIFEXITED(status));
    ck_assert_int_eq(WEXITSTATUS(status), 9);
}
END_TEST

START_TEST(a_program_that_is_made_to_go_on_takes_the_launcher_along)
{
    int status = 0;
    pid_t program, launcher = SH("echo $$ >&9; kill -STOP $$; exit 9");

    program = (pid_t)strtol(line(), NULL, 10);
    ck_assert_int_eq(waitpid(launcher, &status, WUNTRACED), launcher);
    ck_assert(WIFSTOPPED(status));
    ck_assert_int_eq(kill(program, SIGCONT), 0);
    status = end_of(launcher);
    ck_assert(WIFEXITED(status));
    ck_assert_int_eq(WEXITSTATUS(status), 9);
}
END_TEST

START_TEST(the_program_has_our_mask_and_dispositions)
{
    sigset_t mask;
    char before[64];

    (void)sigemptyset(&mask);
    (void)sigaddset(&mask, SIGUSR2);
    ck_assert_int_eq(sigprocmask(SIG_BLOCK, &mask, NULL), 0);
    ignores_children = true;
    ck_assert(signal(SIGHUP, SIG_IGN) != SIG_ERR);
    (void)snprintf(before, sizeof before, "%016llx %016llx", 1ULL << (SIGUSR2 - 1),
                   1ULL << (SIGCHLD - 1) | 1ULL << (SIGHUP - 1));
    pid_t launcher =
        START((char[]){"awk"},
              (char[]){"/^SigBlk/ { b = $2 } /^SigIgn/ { print b, $2 > \"/dev/fd/9\" }"},
              (char[]){"/proc/self/status"});
    ck_assert_str_eq(line(), before);
    ck_assert_int_eq(end_of(launcher), 0);
}
END_TEST

START_TEST(a_killed_launcher_takes_the_program_with_it)
{
    pid_t launcher = MYSELF("--wait");

    ck_assert_str_eq(line(), "ready");
    ck_assert_int_eq(kill(launcher, SIGKILL), 0);
    assert_program_ends();
    ck_assert(WIFSIGNALED(end_of(launcher)));
    /* end(): the keeper removes the run file */
}
END_TEST

START_TEST(a_killed_keeper_takes_both_with_it)
{
    int status;
    pid_t launcher = SH("echo $PPID >&9; exec sleep 600");
    pid_t keeper = (pid_t)strtol(line(), NULL, 10);

    ck_assert_int_gt(keeper, 1);
    ck_assert_int_ne(keeper, launcher);
    ck_assert_int_eq(kill(keeper, SIGKILL), 0);
    assert_program_ends();
    status = end_of(launcher);
    ck_assert(WIFSIGNALED(status));
    ck_assert_int_eq(WTERMSIG(status), SIGKILL);
    ck_assert(!run_file_exists());
}
END_TEST

START_TEST(a_pipe_ends_when_the_program_closes_it)
{
    pid_t launcher = SH("exec 9>&-; kill -STOP $$");
    int status = 0;

    assert_program_ends(); /* it lives, and so do launcher and keeper: none of them has it */
    ck_assert_int_eq(waitpid(launcher, &status, WUNTRACED), launcher);
    ck_assert(WIFSTOPPED(status));
    ck_assert_int_eq(kill(launcher, SIGCONT), 0);
    ck_assert_int_eq(end_of(launcher), 0);
}
END_TEST

START_TEST(the_run_file_is_there_for_the_program_and_gone_after)
{
    char script[SETTINGS_NAMES_MAX + 16];

    (void)snprintf(script, sizeof script, "test -s %s", run_file.path);
    int status = end_of(START((char[]){"sh"}, (char[]){"-c"}, script));
    ck_assert_int_eq(status, 0);
    ck_assert(!run_file_exists());
}
END_TEST

/* Not where the kernel has no user notification. */
START_TEST(descendants_that_outlive_the_program_keep_the_keeper)
{
    char script[] = "sleep 600 >&- 9>&- & echo $! >&9";
    pid_t left,
        launcher = start((char *[]){(char[]){"sh"}, (char[]){"-c"}, script, NULL}, true);

    left = (pid_t)strtol(line(), NULL, 10);
    ck_assert_int_gt(left, 1);
    ck_assert_int_eq(end_of(launcher), 0); /* it does not wait */
    ck_assert(run_file_exists());
    ck_assert_int_eq(kill(left, SIGKILL), 0);
    /* end(): the keeper ends, and removes the run file */
}
END_TEST

START_TEST(a_filtered_program_ends_like_any_other)
{
    int status = end_of(
        start((char *[]){(char[]){"sh"}, (char[]){"-c"}, (char[]){"exit 33"}, NULL}, true));

    ck_assert(WIFEXITED(status));
    ck_assert_int_eq(WEXITSTATUS(status), 33);
    ck_assert(!run_file_exists());
}
END_TEST

int main(int argc, char **argv)
{
    if (argc == 2 && strcmp(argv[1], "--wait") == 0)
        return be_waiting();
    if (argc == 2 && strcmp(argv[1], "--count") == 0)
        return be_counting();
    Suite *s = suite_create("keeper");
    TCase *c = tcase_create("all");

    tcase_add_checked_fixture(c, begin, end);
    tcase_set_timeout(c, 60);
    tcase_add_loop_test(c, exit_statuses_are_handed_on, 0, 256);
    tcase_add_loop_test(c, death_by_signal_is_reproduced, 0,
                        (int)(sizeof deaths / sizeof deaths[0]));
    tcase_add_test(c, a_program_that_is_not_there_is_127);
    tcase_add_test(c, a_program_that_cannot_be_run_is_126);
    tcase_add_loop_test(c, signals_to_the_launcher_are_the_programs, 0,
                        (int)(sizeof handed_on / sizeof handed_on[0]));
    tcase_add_test(c, an_alarm_that_was_set_before_is_the_programs);
    tcase_add_test(c, what_a_terminal_sends_comes_once);
    tcase_add_test(c, the_launcher_stops_and_goes_on_with_the_program);
    tcase_add_test(c, a_program_that_is_made_to_go_on_takes_the_launcher_along);
    tcase_add_test(c, the_program_has_our_mask_and_dispositions);
    tcase_add_test(c, a_killed_launcher_takes_the_program_with_it);
    tcase_add_test(c, a_killed_keeper_takes_both_with_it);
    tcase_add_test(c, a_pipe_ends_when_the_program_closes_it);
    tcase_add_test(c, the_run_file_is_there_for_the_program_and_gone_after);
    tcase_add_test(c, descendants_that_outlive_the_program_keep_the_keeper);
    tcase_add_test(c, a_filtered_program_ends_like_any_other);
    suite_add_tcase(s, c);
    return runner_main(s);
}
