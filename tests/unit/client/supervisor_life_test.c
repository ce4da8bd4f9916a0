/* SPDX-License-Identifier: MIT */
/* Many at once, and ends: of processes, of the supervisor, of patience. */
#include "runner.h"
#include "supervised.h"
#include "sys.h"
#include <arpa/inet.h>
#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <netinet/tcp.h>
#include <poll.h>
#include <pthread.h>
#include <signal.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/prctl.h>
#include <sys/time.h>
#include <sys/un.h>
#include <sys/wait.h>
#include <unistd.h>

enum { PLAIN_USER = 65534 };

static void *connect_many(void *arg)
{
    for (int i = 0; i < 25; i++) {
        int fd = socket(AF_INET, SOCK_STREAM, 0);

        if (connect_port(fd, PORT_ECHO) != 0 || !says_hi(fd) || close(fd) != 0)
            *(bool *)arg = false;
    }
    return NULL;
}

static int guest_storm(void)
{
    enum { THREADS = 8 };
    pthread_t t[THREADS];
    bool good[THREADS];
    int before = dup(0), after = 0;

    for (int i = 0; i < THREADS; i++) {
        good[i] = true;
        GUEST(pthread_create(&t[i], NULL, connect_many, &good[i]) == 0);
    }
    for (int i = 0; i < THREADS; i++)
        GUEST(pthread_join(t[i], NULL) == 0 && good[i]);
    after = dup(0);
    GUEST(after == before + 1); /* nothing left behind in the program */
    return 0;
}

START_TEST(threads_connect_at_once)
{
    supervised_run(guest_storm);
}
END_TEST

static void wait_for(atomic_int *what, int value)
{
    for (int i = 0; i < 300 && atomic_load(what) != value; i++)
        supervised_sleep_ms(10);
    ck_assert_int_eq(atomic_load(what), value);
}

static int guest_pauses(void)
{
    GUEST(guest_storm() == 0);
    return pause();
}

static int count_entries(const char *path)
{
    DIR *d = opendir(path);
    int n = -2; /* "." and ".." */

    while (d != NULL && readdir(d) != NULL)
        n++;
    if (d != NULL)
        (void)closedir(d);
    return n;
}

/* Threads that have a descriptor table of their own, and how many of them hold more than the
 * three descriptors they need. */
static int overfull(int *threads)
{
    DIR *d = opendir("/proc/self/task");
    struct dirent *e = NULL;
    int over = 0, shared = count_entries("/proc/self/fd");

    *threads = 0;
    ck_assert_ptr_nonnull(d);
    while ((e = readdir(d)) != NULL) {
        char path[300];
        (void)snprintf(path, sizeof path, "/proc/self/task/%s/fd", e->d_name);
        int n = count_entries(path);
        if (n < 0 || n >= shared)
            continue;
        ++*threads;
        over += n != 3;
    }
    (void)closedir(d);
    return over;
}

START_TEST(the_supervisors_threads_keep_no_descriptor_of_a_call)
{
    struct supervised s;
    int threads = 0, over = 1;

    supervised_start(&s, guest_pauses);
    supervised_go(&s);
    wait_for(&s.concentrator.requests, 200);
    wait_for(&s.concentrator.open, 0);
    for (int i = 0; i < 300 && over != 0; i++) {
        over = overfull(&threads);
        supervised_sleep_ms(over != 0 ? 10 : 0);
    }
    ck_assert_int_eq(over, 0);
    ck_assert_int_ge(threads, 1);
    ck_assert_int_eq(kill(s.pid, SIGKILL), 0);
    ck_assert_int_eq(supervised_wait(&s), -SIGKILL);
    supervised_end(&s);
}
END_TEST

static void *connect_late(void *arg)
{
    int fd = socket(AF_INET, SOCK_STREAM, 0);

    *(bool *)arg = connect_port(fd, PORT_LATE) == 0 && says_hi(fd) && close(fd) == 0;
    return NULL;
}

static int guest_late(void)
{
    enum { THREADS = 96 }; /* more than the supervisor serves at once */
    pthread_t t[THREADS];
    bool good[THREADS];
    uint64_t began = sys_now_ms();

    for (int i = 0; i < THREADS; i++)
        GUEST(pthread_create(&t[i], NULL, connect_late, &good[i]) == 0);
    for (int i = 0; i < THREADS; i++)
        GUEST(pthread_join(t[i], NULL) == 0 && good[i]);
    GUEST(sys_now_ms() - began < (uint64_t)THREADS * LATE_MS / 4);
    return 0;
}

START_TEST(a_slow_connect_holds_nobody_else_up)
{
    supervised_run(guest_late);
}
END_TEST

static int guest_family(void)
{
    enum { CHILDREN = 10 };
    int status = 0;

    for (int i = 0; i < CHILDREN; i++) {
        if (fork() == 0) {
            if (fork() != 0) /* and grandchildren that are nobody's */
                _exit(0);
            bool good = true;
            (void)connect_many(&good);
            _exit(good ? 0 : 1);
        }
    }
    while (wait(&status) > 0)
        GUEST(WIFEXITED(status) && WEXITSTATUS(status) == 0);
    return 0;
}

START_TEST(orphans_are_served_until_the_last_has_ended)
{
    struct supervised s;

    supervised_start(&s, guest_family);
    supervised_go(&s);
    ck_assert_int_eq(supervised_wait(&s), 0);
    struct pollfd p = {.fd = supervisor_fd(s.supervisor), .events = POLLIN};
    ck_assert_int_eq(poll(&p, 1, 30000), 1);
    ck_assert_int_eq(atomic_load(&s.concentrator.requests), 250);
    supervised_end(&s);
}
END_TEST

static int guest_silent(void)
{
    int fd = socket(AF_INET, SOCK_STREAM, 0);

    GUEST(connect_port(fd, PORT_SILENT) == -1 && errno == ECONNABORTED);
    return 0;
}

START_TEST(a_killed_process_leaves_no_connection_behind)
{
    struct supervised s;

    supervised_start(&s, guest_silent);
    supervised_go(&s);
    wait_for(&s.concentrator.requests, 1);
    ck_assert_int_eq(kill(s.pid, SIGKILL), 0);
    ck_assert_int_eq(supervised_wait(&s), -SIGKILL);
    wait_for(&s.concentrator.open, 0);
    supervised_end(&s);
}
END_TEST

START_TEST(the_end_of_the_supervisor_aborts_what_waits)
{
    struct supervised s;

    supervised_start(&s, guest_silent);
    supervised_go(&s);
    wait_for(&s.concentrator.requests, 1);
    supervisor_end(s.supervisor);
    ck_assert_int_eq(supervised_wait(&s), 0);
    concentrator_end(&s.concentrator);
    (void)close(s.go);
}
END_TEST

static int guest_timeout(void)
{
    int fd = socket(AF_INET, SOCK_STREAM, 0);
    struct timeval t = {.tv_usec = 200000};
    uint64_t began = sys_now_ms();

    GUEST(setsockopt(fd, SOL_SOCKET, SO_SNDTIMEO, &t, sizeof t) == 0);
    GUEST(connect_port(fd, PORT_SILENT) == -1 && errno == EINPROGRESS);
    GUEST(sys_now_ms() - began >= 190 && sys_now_ms() - began < 2000);
    return 0;
}

START_TEST(the_send_timeout_bounds_a_blocking_connect)
{
    supervised_run(guest_timeout);
}
END_TEST

static int guest_hidden(void)
{
    int fd = socket(AF_INET, SOCK_STREAM, 0);

    GUEST(prctl(PR_SET_DUMPABLE, 0, 0, 0, 0) == 0);
    GUEST(connect_port(fd, PORT_ECHO) == -1 && errno == EACCES);
    return 0;
}

START_TEST(a_process_that_must_not_be_inspected_is_refused)
{
    if (geteuid() == 0) /* who may inspect everything */
        ck_assert(setgid(PLAIN_USER) == 0 && setuid(PLAIN_USER) == 0 &&
                  prctl(PR_SET_DUMPABLE, 1, 0, 0, 0) == 0);
    supervised_run(guest_hidden);
}
END_TEST

int main(void)
{
    Suite *s = suite_create("supervisor_life");
    TCase *t = tcase_create("supervisor_life");

    tcase_set_timeout(t, 60);
    tcase_add_test(t, threads_connect_at_once);
    tcase_add_test(t, the_supervisors_threads_keep_no_descriptor_of_a_call);
    tcase_add_test(t, a_slow_connect_holds_nobody_else_up);
    tcase_add_test(t, orphans_are_served_until_the_last_has_ended);
    tcase_add_test(t, a_killed_process_leaves_no_connection_behind);
    tcase_add_test(t, the_end_of_the_supervisor_aborts_what_waits);
    tcase_add_test(t, the_send_timeout_bounds_a_blocking_connect);
    tcase_add_test(t, a_process_that_must_not_be_inspected_is_refused);
    suite_add_tcase(s, t);
    return runner_main(s);
}
