/* SPDX-License-Identifier: MIT */
/* Registrations live on however the program came by its epoll instance, and whenever. */
#include "runner.h"
#include "supervised.h"
#include "sys.h"
#include "under_tsan.h"
#include <arpa/inet.h>
#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <pthread.h>
#include <sched.h>
#include <signal.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/mman.h>
#include <sys/time.h>
#include <sys/wait.h>
#include <unistd.h>

enum { TOLD = 77, STACK = 65536, MANY = 300 };

static int new_socket(void)
{
    return socket(AF_INET, SOCK_STREAM, 0);
}

static bool watch(int ep, int fd)
{
    struct epoll_event e = {.events = EPOLLIN, .data = {.u64 = TOLD}};

    return epoll_ctl(ep, EPOLL_CTL_ADD, fd, &e) == 0;
}

/* The registration is the connected socket's: it tells of "hi", and can be taken out. */
static bool lives(int ep, int fd)
{
    struct epoll_event got = {0};

    return epoll_wait(ep, &got, 1, SOON) == 1 && got.data.u64 == TOLD &&
           got.events == EPOLLIN && epoll_ctl(ep, EPOLL_CTL_DEL, fd, NULL) == 0 &&
           epoll_wait(ep, &got, 1, 0) == 0;
}

static int guest_duplicates(void)
{
    int made = epoll_create1(0), fd = new_socket(), ep = 0;

    GUEST(watch(made, fd));
    GUEST((ep = fcntl(made, F_DUPFD, 900)) == 900 && close(made) == 0);
    GUEST(connect_port(fd, PORT_ECHO) == 0 && lives(ep, fd));
    fd = new_socket();
    GUEST(watch(ep, fd) && dup2(ep, 3) == 3 && close(ep) == 0);
    GUEST(connect_port(fd, PORT_ECHO) == 0 && lives(3, fd));
    return 0;
}

static int guest_inherits(void)
{
    int ep = epoll_create1(0), fd = new_socket(), status = 0;

    GUEST(watch(ep, fd));
    pid_t child = fork();
    if (child == 0) {
        GUEST(connect_port(fd, PORT_ECHO) == 0 && lives(ep, fd));
        _exit(0);
    }
    GUEST(waitpid(child, &status, 0) == child && status == 0);
    return 0;
}

static int pass(int through, int fd, bool take)
{
    union {
        struct cmsghdr h;
        char room[CMSG_SPACE(sizeof(int))];
    } u = {.h = {CMSG_LEN(sizeof fd), SOL_SOCKET, SCM_RIGHTS}};
    char c = 0;
    struct iovec v = {&c, 1};
    struct msghdr m = {
        .msg_iov = &v, .msg_iovlen = 1, .msg_control = &u, .msg_controllen = sizeof u};

    memcpy(CMSG_DATA(&u.h), &fd, sizeof fd);
    GUEST((take ? recvmsg(through, &m, 0) : sendmsg(through, &m, 0)) == 1);
    memcpy(&fd, CMSG_DATA(&u.h), sizeof fd);
    return fd;
}

static int guest_receives(void)
{
    int pair[2], status = 0;

    GUEST(socketpair(AF_UNIX, SOCK_STREAM, 0, pair) == 0);
    pid_t child = fork();
    if (child == 0) {
        int early = new_socket(); /* what was seen for this one is old by then */
        GUEST(connect_port(early, PORT_ECHO) == 0 && close(early) == 0);
        int ep = pass(pair[0], -1, true), fd = new_socket();
        GUEST(watch(ep, fd) && connect_port(fd, PORT_ECHO) == 0 && lives(ep, fd));
        _exit(0);
    }
    (void)pass(pair[1], epoll_create1(0), false);
    GUEST(waitpid(child, &status, 0) == child && status == 0);
    return 0;
}

static int guest_has_many(void)
{
    int ep[MANY], fd = new_socket();

    for (int i = 0; i < MANY; i++)
        GUEST((ep[i] = epoll_create1(0)) >= 0);
    GUEST(watch(ep[MANY - 1], fd) && watch(ep[0], fd));
    GUEST(connect_port(fd, PORT_ECHO) == 0 && lives(ep[MANY - 1], fd) && lives(ep[0], fd));
    return 0;
}

static int guest_watches_many(void)
{
    int ep = epoll_create1(0), fd = new_socket();

    GUEST(watch(ep, fd));
    for (int i = 0; i < MANY; i++) {
        int other = new_socket();
        struct epoll_event e = {.events = EPOLLIN | EPOLLONESHOT};
        GUEST(other >= 0 && epoll_ctl(ep, EPOLL_CTL_ADD, other, &e) == 0);
    }
    GUEST(epoll_wait(ep, (struct epoll_event[MANY + 1]){{0}}, MANY + 1, 0) > 0);
    GUEST(connect_port(fd, PORT_ECHO) == 0 && lives(ep, fd));
    return 0;
}

/* ---- while the call is under way ---- */

static int late_fd, late_ep, spare;

static void make_and_watch(void)
{
    late_ep = epoll_create1(0);
    GUEST(late_ep >= 0 && watch(late_ep, late_fd));
}

static void *watch_soon(void *arg)
{
    GUEST(poll(NULL, 0, LATE_MS / 3) == 0); /* the other is in its call, or proves nothing */
    make_and_watch();
    return arg;
}

static int guest_has_threads(void)
{
    pthread_t t;

    late_fd = new_socket();
    GUEST(pthread_create(&t, NULL, watch_soon, NULL) == 0);
    GUEST(connect_port(late_fd, PORT_LATE) == 0 && pthread_join(t, NULL) == 0);
    GUEST(lives(late_ep, late_fd));
    return 0;
}

static int sharer(void *arg)
{
    (void)watch_soon(arg);
    _exit(0);
}

static int guest_shares_its_table(void)
{
    char *stack = mmap(NULL, STACK, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
    int status = 0;

    late_fd = new_socket();
    GUEST(stack != MAP_FAILED);
    pid_t child = clone(sharer, stack + STACK, CLONE_FILES | CLONE_VM | SIGCHLD, NULL);
    GUEST(child > 0 && connect_port(late_fd, PORT_LATE) == 0);
    GUEST(waitpid(child, &status, 0) == child && status == 0);
    GUEST(lives(late_ep, late_fd));
    return 0;
}

static void on_alarm(int number)
{
    (void)number;
    GUEST(close(spare) == 0); /* as many as before */
    make_and_watch();
}

static int guest_handles_a_signal(void)
{
    struct sigaction a = {.sa_handler = on_alarm, .sa_flags = SA_RESTART};
    struct itimerval t = {{0, 0}, {0, LATE_MS * 1000 / 5}};

    late_fd = new_socket();
    spare = new_socket();
    GUEST(sigaction(SIGALRM, &a, NULL) == 0 && setitimer(ITIMER_REAL, &t, NULL) == 0);
    GUEST(connect_port(late_fd, PORT_LATE) == 0 && late_ep > 0);
    GUEST(lives(late_ep, late_fd));
    return 0;
}

static guest_fn *const guests[] = {
    guest_duplicates,   guest_inherits,    guest_receives,         guest_has_many,
    guest_watches_many, guest_has_threads, guest_handles_a_signal, guest_shares_its_table,
};
enum { GUESTS = sizeof guests / sizeof guests[0] };

START_TEST(a_registration_lives_on_wherever_its_instance_came_from)
{
    supervised_run(guests[_i]);
}
END_TEST

int main(void)
{
    Suite *s = suite_create("supervisor_epoll");
    TCase *t = tcase_create("supervisor_epoll");

    tcase_set_timeout(t, 60);
    tcase_add_loop_test(t, a_registration_lives_on_wherever_its_instance_came_from, 0,
                        GUESTS - UNDER_TSAN); /* the last one shares its memory */
    suite_add_tcase(s, t);
    return runner_main(s);
}
