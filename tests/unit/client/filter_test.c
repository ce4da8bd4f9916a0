/* SPDX-License-Identifier: MIT */
/* The program runs through an interpreter of the few instructions it may consist of, for every
 * number of every ABI; and through the kernel, in children. */
#include "filter.h"
#include "runner.h"
#include "sys.h"
#include <errno.h>
#include <fcntl.h>
#include <linux/audit.h>
#include <linux/seccomp.h>
#include <stdbool.h>
#include <string.h>
#include <sys/prctl.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <unistd.h>

enum { FASTOPEN = 0x20000000, X32 = 0x40000000, NUMBERS = 1024, PLAIN_USER = 65534 };
#define PASS SECCOMP_RET_ALLOW
#define TELL SECCOMP_RET_USER_NOTIF
#define MISSING (SECCOMP_RET_ERRNO | ENOSYS)
#define BROKEN 0xffffffffU

static struct sock_filter code[FILTER_MAX];
static size_t code_len;

static void build(void)
{
    code_len = filter_build(code);
    ck_assert_uint_le(code_len, FILTER_MAX);
}

/* What the kernel would make of it; BROKEN for a program it would not take. */
static uint32_t judge(const struct seccomp_data *d)
{
    uint32_t a = 0;

    for (size_t pc = 0; pc < code_len; pc++) {
        const struct sock_filter *f = &code[pc];

        switch (f->code) {
        case BPF_LD | BPF_W | BPF_ABS:
            if (f->k % 4 != 0 || f->k > sizeof *d - 4)
                return BROKEN;
            memcpy(&a, (const char *)d + f->k, sizeof a);
            break;
        case BPF_JMP | BPF_JEQ | BPF_K:
            pc += a == f->k ? f->jt : f->jf;
            break;
        case BPF_JMP | BPF_JSET | BPF_K:
            pc += (a & f->k) != 0 ? f->jt : f->jf;
            break;
        case BPF_RET | BPF_K:
            return f->k;
        default:
            return BROKEN;
        }
    }
    return BROKEN;
}

static uint32_t ask(uint32_t arch, int nr, uint64_t a0, uint64_t a2, uint64_t a3)
{
    struct seccomp_data d = {.arch = arch, .nr = nr, .args = {a0, 1, a2, a3, 5, 6}};

    return judge(&d);
}

/* Numbers as the kernel's tables have them, written down a second time. */
static const struct abi {
    const char *name;
    uint32_t arch;
    bool narrow;
    int connect, getpeername, sendto, sendmsg, sendmmsg, uring, socketcall;
} abis[] = {
#if defined(__x86_64__)
    {"x86-64", AUDIT_ARCH_X86_64, false, SYS_connect, SYS_getpeername, SYS_sendto, SYS_sendmsg,
     SYS_sendmmsg, 425, -1},
    {"x32", AUDIT_ARCH_X86_64, true, X32 | 42, X32 | 52, X32 | 44, X32 | 518, X32 | 538,
     X32 | 425, -1},
    {"i386", AUDIT_ARCH_I386, true, 362, 368, 369, 370, 345, 425, 102},
#elif defined(__aarch64__)
    {"aarch64", AUDIT_ARCH_AARCH64, false, SYS_connect, SYS_getpeername, SYS_sendto,
     SYS_sendmsg, SYS_sendmmsg, 425, -1},
    {"arm", AUDIT_ARCH_ARM, true, 283, 287, 290, 296, 374, 425, -1},
#endif
};
enum { ABIS = sizeof abis / sizeof abis[0] };

START_TEST(connect_and_getpeername_are_handed_over_unless_claimed)
{
    const struct abi *a = &abis[_i];
    const int nr[] = {a->connect, a->getpeername};

    for (size_t i = 0; i < 2; i++) {
        ck_assert_uint_eq(ask(a->arch, nr[i], 3, 16, 0), TELL);
        ck_assert_uint_eq(ask(a->arch, nr[i], 3, 16, 0xdeadbeef), TELL);
        ck_assert_uint_eq(ask(a->arch, nr[i], 3, SYS_CLAIMED, 0), TELL);
        ck_assert_uint_eq(ask(a->arch, nr[i], 3, 16, SYS_CLAIMED), PASS);
        ck_assert_uint_eq(ask(a->arch, nr[i], 3, 16, SYS_CLAIMED ^ 1), TELL);
    }
}
END_TEST

START_TEST(sends_are_handed_over_with_fastopen_only)
{
    const struct abi *a = &abis[_i];
    const int flags_third[] = {a->sendmsg}, flags_fourth[] = {a->sendto, a->sendmmsg};

    for (unsigned bit = 0; bit < 32; bit++) {
        uint64_t flag = (uint64_t)1 << bit;
        uint32_t want = flag == FASTOPEN ? TELL : PASS;

        for (size_t i = 0; i < 2; i++) {
            ck_assert_uint_eq(ask(a->arch, flags_fourth[i], 3, FASTOPEN, flag), want);
            ck_assert_uint_eq(ask(a->arch, flags_fourth[i], 3, 0, flag | 0x4000),
                              want); /* among others */
        }
        ck_assert_uint_eq(ask(a->arch, flags_third[0], 3, flag, FASTOPEN), want);
    }
    ck_assert_uint_eq(ask(a->arch, a->sendmsg, 3, FASTOPEN, SYS_CLAIMED), PASS);
}
END_TEST

START_TEST(io_uring_is_missing)
{
    const struct abi *a = &abis[_i];

    ck_assert_uint_eq(ask(a->arch, a->uring, 8, 0, 0), MISSING);
    ck_assert_uint_eq(ask(a->arch, a->uring, 8, 0, SYS_CLAIMED), MISSING);
}
END_TEST

START_TEST(socketcall_is_handed_over_for_the_calls_that_concern_us)
{
    const struct abi *a = &abis[_i];

    if (a->socketcall < 0)
        return;
    for (unsigned call = 0; call < 64; call++) {
        bool ours = call == 3 || call == 7 || call == 11 || call == 16 || call == 20;

        ck_assert_uint_eq(ask(a->arch, a->socketcall, call, 0, 0), ours ? TELL : PASS);
        ck_assert_int_eq(filter_socketcall(call) != FILTER_NONE, ours);
        ck_assert_int_eq(filter_socketcall(call) == FILTER_CONNECT, call == 3);
    }
}
END_TEST

START_TEST(every_other_number_passes)
{
    const struct abi *a = &abis[_i];
    int base = (a->connect & X32) != 0 ? X32 : 0;

    for (int nr = base; nr < base + NUMBERS; nr++) {
        bool known = nr == a->connect || nr == a->getpeername || nr == a->sendto ||
                     nr == a->sendmsg || nr == a->sendmmsg || nr == a->uring ||
                     nr == a->socketcall;

        if (!known)
            ck_assert_uint_eq(ask(a->arch, nr, 3, FASTOPEN, FASTOPEN), PASS);
    }
}
END_TEST

START_TEST(another_architecture_passes)
{
    ck_assert_uint_eq(ask(0, SYS_connect, 3, 16, 0), PASS);
    ck_assert_uint_eq(ask(AUDIT_ARCH_S390X, 362, 3, 16, 0), PASS);
    ck_assert_uint_eq(ask(abis[0].arch ^ 1, SYS_connect, 3, 16, 0), PASS);
}
END_TEST

START_TEST(what_is_handed_over_is_known_by_name_and_width)
{
    const struct abi *a = &abis[_i];
    const struct {
        int nr;
        enum filter_call call;
    } row[] = {{a->connect, FILTER_CONNECT},   {a->getpeername, FILTER_GETPEERNAME},
               {a->sendto, FILTER_SENDTO},     {a->sendmsg, FILTER_SENDMSG},
               {a->sendmmsg, FILTER_SENDMMSG}, {a->socketcall, FILTER_SOCKETCALL}};

    for (size_t i = 0; i < sizeof row / sizeof row[0]; i++) {
        bool narrow = !a->narrow;

        if (row[i].nr < 0)
            continue;
        ck_assert_int_eq(filter_call(a->arch, row[i].nr, &narrow), row[i].call);
        ck_assert_int_eq(narrow, a->narrow);
    }
    bool untouched = true;
    ck_assert_int_eq(filter_call(a->arch, a->uring, &untouched), FILTER_NONE);
    ck_assert_int_eq(filter_call(a->arch, -1, &untouched), FILTER_NONE);
    ck_assert_int_eq(filter_call(0, a->connect, &untouched), FILTER_NONE);
    ck_assert(untouched);
}
END_TEST

/* In children: a filter is for life. Exit status 0 when what the child claims holds. */
static int in_child(int (*claim)(void))
{
    int status = 0;
    pid_t pid = fork();

    ck_assert_int_ge(pid, 0);
    if (pid == 0)
        _exit(claim());
    ck_assert_int_eq(waitpid(pid, &status, 0), pid);
    return WIFEXITED(status) ? WEXITSTATUS(status) : -1;
}

static int privileged(void)
{
    int fd = filter_install();

    if (fd < 0)
        return 1;
    if ((fcntl(fd, F_GETFD) & FD_CLOEXEC) == 0)
        return 2;
    return prctl(PR_GET_NO_NEW_PRIVS, 0, 0, 0, 0) == 0 ? 0 : 3;
}

static int plain(void)
{
    if (geteuid() == 0 && (setgid(PLAIN_USER) != 0 || setuid(PLAIN_USER) != 0))
        return 1;
    int fd = filter_install();
    if (fd < 0)
        return 2;
    if ((fcntl(fd, F_GETFD) & FD_CLOEXEC) == 0)
        return 3;
    return prctl(PR_GET_NO_NEW_PRIVS, 0, 0, 0, 0) == 1 ? 0 : 4;
}

static int twice(void)
{
    int first = filter_install(), second = filter_install();

    return first >= 0 && second == -EBUSY ? 0 : 1;
}

static int without_listener(void) /* the kernel's answer when the supervisor is gone */
{
    int fd = filter_install();
    struct sockaddr any = {0};

    if (fd < 0 || close(fd) != 0)
        return 1;
    if (sys_call(SYS_connect, -1, (long)&any, sizeof any, 0, 0, 0) != -ENOSYS)
        return 2;
    if (sys_call(SYS_connect, -1, (long)&any, sizeof any, SYS_CLAIMED, 0, 0) != -EBADF)
        return 3;
    if (sys_call(425, 8, 0, 0, 0, 0, 0) != -ENOSYS)
        return 4;
    return sys_call(SYS_sendto, -1, 0, 0, 0, 0, 0) == -EBADF ? 0 : 5;
}

START_TEST(the_kernel_takes_it_without_no_new_privs_from_the_privileged)
{
    if (geteuid() != 0)
        return; /* the plain user's way is the next test */
    ck_assert_int_eq(in_child(privileged), 0);
}
END_TEST

START_TEST(the_kernel_takes_it_with_no_new_privs_from_a_plain_user)
{
    ck_assert_int_eq(in_child(plain), 0);
}
END_TEST

START_TEST(a_second_listener_is_an_error)
{
    ck_assert_int_eq(in_child(twice), 0);
}
END_TEST

START_TEST(claimed_calls_reach_the_kernel)
{
    ck_assert_int_eq(in_child(without_listener), 0);
}
END_TEST

int main(void)
{
    Suite *s = suite_create("filter");
    TCase *t = tcase_create("filter");

    tcase_add_checked_fixture(t, build, NULL);
    tcase_add_loop_test(t, connect_and_getpeername_are_handed_over_unless_claimed, 0, ABIS);
    tcase_add_loop_test(t, sends_are_handed_over_with_fastopen_only, 0, ABIS);
    tcase_add_loop_test(t, io_uring_is_missing, 0, ABIS);
    tcase_add_loop_test(t, socketcall_is_handed_over_for_the_calls_that_concern_us, 0, ABIS);
    tcase_add_loop_test(t, every_other_number_passes, 0, ABIS);
    tcase_add_test(t, another_architecture_passes);
    tcase_add_loop_test(t, what_is_handed_over_is_known_by_name_and_width, 0, ABIS);
    tcase_add_test(t, the_kernel_takes_it_without_no_new_privs_from_the_privileged);
    tcase_add_test(t, the_kernel_takes_it_with_no_new_privs_from_a_plain_user);
    tcase_add_test(t, a_second_listener_is_an_error);
    tcase_add_test(t, claimed_calls_reach_the_kernel);
    suite_add_tcase(s, t);
    return runner_main(s);
}
