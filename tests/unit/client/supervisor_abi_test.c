/* SPDX-License-Identifier: MIT */
/* Ways into the kernel other than libc's connect() of this process: programs compiled here and
 * executed, 32-bit system calls, sends that connect, and calls that a signal or another thread
 * gets in the way of. */
#include "runner.h"
#include "supervised.h"
#include "sys.h"
#include "tempfile.h"
#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <pthread.h>
#include <signal.h>
#include <stdio.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/mman.h>
#include <sys/time.h>
#include <sys/wait.h>
#include <unistd.h>

enum { FASTOPEN = 0x20000000, PAYLOAD = 200 * 1024 };

/* One program for both widths; its exit status is the line of what did not hold. */
static const char program[] =
    "#define _GNU_SOURCE\n"
    "#include <arpa/inet.h>\n#include <errno.h>\n#include <string.h>\n"
    "#include <sys/epoll.h>\n#include <sys/socket.h>\n#include <unistd.h>\n"
    "#define NEED(x) do { if (!(x)) return __LINE__; } while (0)\n"
    "static struct sockaddr_in to = {AF_INET};\n"
    "static int hears(int fd, const char *what) {\n"
    " char b[8] = \"\"; size_t n = strlen(what);\n"
    " return recv(fd, b, n, MSG_WAITALL) == (ssize_t)n && !memcmp(b, what, n); }\n"
    "int main(void) {\n"
    " struct sockaddr_in peer; socklen_t len = sizeof peer;\n"
    " struct epoll_event e = {EPOLLIN, {.u64 = 0x1122334455667788}}, got;\n"
    " int fd = socket(AF_INET, SOCK_STREAM, 0), ep = epoll_create1(0);\n"
    " to.sin_port = htons(80); inet_pton(AF_INET, \"192.0.2.1\", &to.sin_addr);\n"
    " NEED(!epoll_ctl(ep, EPOLL_CTL_ADD, fd, &e));\n"
    " NEED(!connect(fd, (void *)&to, sizeof to));\n"
    " NEED(epoll_wait(ep, &got, 1, 3000) == 1 && got.data.u64 == e.data.u64);\n"
    " NEED(!getpeername(fd, (void *)&peer, &len) && len == sizeof peer);\n"
    " NEED(peer.sin_port == to.sin_port && peer.sin_addr.s_addr == to.sin_addr.s_addr);\n"
    " NEED(hears(fd, \"hi\"));\n"
    " NEED(send(fd, \"ping\", 4, 0) == 4 && hears(fd, \"ping\"));\n"
    " NEED(connect(fd, (void *)&to, sizeof to) == -1 && errno == EISCONN);\n"
    " fd = socket(AF_INET, SOCK_STREAM, 0);\n"
    " NEED(sendto(fd, \"abc\", 3, MSG_FASTOPEN, (void *)&to, sizeof to) == 3);\n"
    " NEED(hears(fd, \"hiabc\"));\n"
    " fd = socket(AF_INET, SOCK_STREAM, 0);\n"
    " struct iovec v[2] = {{\"ab\", 2}, {\"cde\", 3}};\n"
    " struct mmsghdr m = {{.msg_name = &to, .msg_namelen = sizeof to, .msg_iov = v,\n"
    "                      .msg_iovlen = 2}, 0};\n"
    " NEED(sendmsg(fd, &m.msg_hdr, MSG_FASTOPEN) == 5 && hears(fd, \"hiabcde\"));\n"
    " NEED(send(fd, \"x\", 1, 0) == 1 && hears(fd, \"x\"));\n"
    " fd = socket(AF_INET, SOCK_STREAM, 0);\n"
    " NEED(sendmmsg(fd, &m, 1, MSG_FASTOPEN) == 1 && m.msg_len == 5);\n"
    " NEED(hears(fd, \"hiabcde\"));\n"
    " NEED(sendto(-1, \"abc\", 3, MSG_FASTOPEN, (void *)&to, sizeof to) == -1 &&\n"
    "      errno == EBADF);\n"
    " return 0; }\n";

static char compiled[96];

/* False: this machine's compiler cannot. */
static bool compile(const char *options)
{
    struct tempfile f = tempfile_text(program);
    char command[256];

    (void)snprintf(compiled, sizeof compiled, "%s.bin", f.path);
    (void)snprintf(command, sizeof command, "cc %s -x c -o %s %s 2>/dev/null", options,
                   compiled, f.path);
    bool done = system(command) == 0; /* NOLINT(cert-env33-c): a test's own command */
    tempfile_done(&f);
    return done;
}

static int guest_executes(void)
{
    (void)execl(compiled, "guest", (char *)NULL);
    GUEST(false);
    return 1;
}

static void run_compiled(const char *options)
{
    if (!compile(options)) {
        (void)fprintf(stderr, "not run: cc %s does not work here\n", options);
        return;
    }
    struct supervised s;
    supervised_start(&s, guest_executes);
    supervised_go(&s);
    int rc = supervised_wait(&s);
    ck_assert_int_eq(unlink(compiled), 0);
    ck_assert_msg(rc == 0, "line %d", rc);
    ck_assert_int_eq(atomic_load(&s.concentrator.requests), 4);
    supervised_end(&s);
}

START_TEST(an_executed_dynamic_program_is_served)
{
    run_compiled("");
}
END_TEST

START_TEST(an_executed_static_program_is_served)
{
    run_compiled("-static");
}
END_TEST

START_TEST(an_executed_32_bit_program_is_served)
{
    run_compiled("-m32 -static");
}
END_TEST

#if defined(__x86_64__)
static long int80(long nr, long a, long b, long c)
{
    long rc;

    __asm__ volatile("int $0x80" : "=a"(rc) : "a"(nr), "b"(a), "c"(b), "d"(c) : "memory");
    return (int)rc;
}

static int guest_int80(void)
{
    enum { SOCKETCALL = 102, CONNECT = 362, CALL_CONNECT = 3 };
    struct low {
        struct sockaddr_in to;
        uint32_t words[6];
    } *low = mmap(NULL, sizeof *low, PROT_READ | PROT_WRITE,
                  MAP_PRIVATE | MAP_ANONYMOUS | MAP_32BIT, -1, 0);
    int a = socket(AF_INET, SOCK_STREAM, 0), b = socket(AF_INET, SOCK_STREAM, 0);
    char hi[2];

    GUEST(low != MAP_FAILED);
    low->to = (struct sockaddr_in){
        .sin_family = AF_INET, .sin_port = htons(PORT_ECHO), .sin_addr = {htonl(0xc0000201)}};
    GUEST(int80(CONNECT, a, (long)&low->to, sizeof low->to) == 0);
    GUEST(recv(a, hi, 2, MSG_WAITALL) == 2);
    low->words[0] = (uint32_t)b;
    low->words[1] = (uint32_t)(uintptr_t)&low->to;
    low->words[2] = sizeof low->to;
    GUEST(int80(SOCKETCALL, CALL_CONNECT, (long)low->words, 0) == 0);
    GUEST(recv(b, hi, 2, MSG_WAITALL) == 2);
    GUEST(int80(SOCKETCALL, CALL_CONNECT, 8, 0) == -EFAULT);
    return 0;
}

START_TEST(system_calls_of_the_32_bit_abi_are_seen_in_a_64_bit_program)
{
    supervised_run(guest_int80);
}
END_TEST
#endif

static int guest_sends_much(void)
{
    static char much[PAYLOAD], back[PAYLOAD];
    struct sockaddr_in to = ipv4(PORT_ECHO);
    int fd = socket(AF_INET, SOCK_STREAM, 0);
    char hi[2];

    for (size_t i = 0; i < sizeof much; i++)
        much[i] = (char)(i * 31 + i / 251);
    GUEST(sendto(fd, much, sizeof much, FASTOPEN, (struct sockaddr *)&to, sizeof to) ==
          PAYLOAD);
    GUEST(recv(fd, hi, 2, MSG_WAITALL) == 2);
    GUEST(recv(fd, back, sizeof back, MSG_WAITALL) == PAYLOAD);
    GUEST(memcmp(back, much, sizeof back) == 0);
    to = ipv4(PORT_ERROR + CODE_RESET);
    fd = socket(AF_INET, SOCK_STREAM | SOCK_NONBLOCK, 0);
    GUEST(sendto(fd, much, 5, FASTOPEN, (struct sockaddr *)&to, sizeof to) == -1 &&
          errno == ECONNREFUSED);
    return 0;
}

START_TEST(a_connecting_send_returns_what_it_sent)
{
    supervised_run(guest_sends_much);
}
END_TEST

static volatile sig_atomic_t handled;

static void on_signal(int number)
{
    (void)number;
    handled++;
}

static int timer(int flags, long first_us, long every_us)
{
    struct sigaction a = {.sa_handler = on_signal, .sa_flags = flags};
    struct itimerval t = {{0, every_us}, {0, first_us}};

    return sigaction(SIGALRM, &a, NULL) | setitimer(ITIMER_REAL, &t, NULL);
}

static int guest_interrupted(void)
{
    int fd = socket(AF_INET, SOCK_STREAM, 0);
    uint64_t began = sys_now_ms();

    GUEST(timer(0, 20000, 0) == 0);
    GUEST(connect_port(fd, PORT_SILENT) == -1 && errno == EINTR);
    GUEST(handled == 1 && sys_now_ms() - began < 1000);
    return 0;
}

static int guest_restarts(void)
{
    int fd = socket(AF_INET, SOCK_STREAM, 0);
    char hi[2];

    GUEST(timer(SA_RESTART, 20000, 7000) == 0);
    GUEST(connect_port(fd, PORT_LATE) == 0 && handled > 0);
    GUEST(timer(SA_RESTART, 0, 0) == 0 && recv(fd, hi, 2, MSG_WAITALL) == 2);
    return 0;
}

static int guest_tries_again(void)
{
    int fd = socket(AF_INET, SOCK_STREAM, 0), rc = -1;
    char hi[2];

    GUEST(timer(0, 20000, 0) == 0);
    GUEST(connect_port(fd, PORT_LATE) == -1 && errno == EINTR && handled == 1);
    rc = connect_port(fd, PORT_LATE);
    GUEST(rc == 0 && recv(fd, hi, 2, MSG_WAITALL) == 2);
    return 0;
}

START_TEST(a_signal_handler_interrupts_and_the_call_made_again_goes_on)
{
    static guest_fn *const guests[] = {guest_interrupted, guest_restarts, guest_tries_again};
    struct supervised s;

    supervised_start(&s, guests[_i]);
    supervised_go(&s);
    ck_assert_int_eq(supervised_wait(&s), 0);
    ck_assert_int_eq(atomic_load(&s.concentrator.requests), 1);
    supervised_end(&s);
}
END_TEST

static void *connect_late(void *arg)
{
    static int error;

    error = connect_port(*(int *)arg, PORT_LATE) == 0 ? 0 : errno;
    return &error;
}

static int guest_closes(void)
{
    int fd = socket(AF_INET, SOCK_STREAM, 0), null = open("/dev/null", O_WRONLY);
    void *error = NULL;
    pthread_t t;

    GUEST(pthread_create(&t, NULL, connect_late, &fd) == 0);
    GUEST(poll(NULL, 0, LATE_MS / 3) == 0); /* the other thread is in its call, or will fail */
    GUEST(dup2(null, fd) == fd);
    GUEST(pthread_join(t, &error) == 0 &&
          (*(int *)error == EBADF || *(int *)error == ENOTSOCK));
    GUEST(write(fd, "x", 1) == 1); /* not replaced */
    return 0;
}

START_TEST(a_number_that_was_closed_meanwhile_is_left_alone)
{
    supervised_run(guest_closes);
}
END_TEST

static int guest_goes_direct(void)
{
    struct sockaddr_in to = {.sin_family = AF_INET, .sin_addr = {htonl(INADDR_LOOPBACK)}};
    socklen_t len = sizeof to;
    int listener = socket(AF_INET, SOCK_STREAM, 0), fd = socket(AF_INET, SOCK_STREAM, 0);

    GUEST(bind(listener, (struct sockaddr *)&to, sizeof to) == 0 && listen(listener, 1) == 0);
    GUEST(getsockname(listener, (struct sockaddr *)&to, &len) == 0);
    GUEST(connect(fd, (struct sockaddr *)&to, sizeof to) == 0);
    GUEST(accept(listener, NULL, NULL) >= 0);
    return 0;
}

static int guest_fails(void)
{
    int fd = socket(AF_INET, SOCK_STREAM, 0);

    GUEST(connect_port(fd, PORT_ECHO) == -1 && errno == ECONNREFUSED);
    return 0;
}

static void run_without_concentrator(guest_fn *guest, enum settings_failure policy)
{
    struct supervised s;

    supervised_start(&s, guest);
    s.settings.proxy[0].port = 1; /* nobody there */
    s.settings.bypass.count = 0;
    s.settings.on_failure = policy;
    supervised_go(&s);
    ck_assert_int_eq(supervised_wait(&s), 0);
    ck_assert_uint_eq(shared_get(s.env.shared, SHARED_SUPERVISED), 1);
    supervised_end(&s);
}

START_TEST(without_a_concentrator_direct_means_the_programs_own_call)
{
    run_without_concentrator(guest_goes_direct, SETTINGS_DIRECT);
}
END_TEST

START_TEST(without_a_concentrator_the_call_fails_by_default)
{
    run_without_concentrator(guest_fails, SETTINGS_FAIL);
}
END_TEST

int main(void)
{
    Suite *s = suite_create("supervisor_abi");
    TCase *t = tcase_create("supervisor_abi");

    tcase_set_timeout(t, 60);
    tcase_add_test(t, an_executed_dynamic_program_is_served);
    tcase_add_test(t, an_executed_static_program_is_served);
    tcase_add_test(t, an_executed_32_bit_program_is_served);
#if defined(__x86_64__)
    tcase_add_test(t, system_calls_of_the_32_bit_abi_are_seen_in_a_64_bit_program);
#endif
    tcase_add_test(t, a_connecting_send_returns_what_it_sent);
    tcase_add_loop_test(t, a_signal_handler_interrupts_and_the_call_made_again_goes_on, 0, 3);
    tcase_add_test(t, a_number_that_was_closed_meanwhile_is_left_alone);
    tcase_add_test(t, without_a_concentrator_direct_means_the_programs_own_call);
    tcase_add_test(t, without_a_concentrator_the_call_fails_by_default);
    suite_add_tcase(s, t);
    return runner_main(s);
}
