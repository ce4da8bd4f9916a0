/* SPDX-License-Identifier: MIT */
/* One chain of comparisons per ABI, each a block that jumps over itself when the number is
 * another: all jumps are short and forward, nothing has to be patched. The program is plain
 * data in the kernel; what it lets pass by number alone the kernel remembers in a bitmap and
 * does not ask again (5.11).
 *
 * The fourth argument of connect, getpeername and sendmsg is ignored by the kernel: the shim
 * marks calls it has dealt with there. sendto and sendmmsg have their flags in that place. */
#include "filter.h"
#include "sys.h"
#include <errno.h>
#include <linux/audit.h>
#include <linux/seccomp.h>
#include <sys/prctl.h>
#include <sys/syscall.h>
#include <unistd.h>

#ifndef SECCOMP_FILTER_FLAG_WAIT_KILLABLE_RECV
#define SECCOMP_FILTER_FLAG_WAIT_KILLABLE_RECV (1UL << 5)
#endif

enum {
    FASTOPEN = 0x20000000,  /* MSG_FASTOPEN */
    X32_BIT = 0x40000000,   /* __X32_SYSCALL_BIT */
    NONE = -1,              /* the ABI has no such call */
    URING_SETUP = 425,      /* one number for all */
    SOCKETCALL_CONNECT = 3, /* <linux/net.h>: SYS_CONNECT and so on */
    SOCKETCALL_GETPEERNAME = 7,
    SOCKETCALL_SENDTO = 11,
    SOCKETCALL_SENDMSG = 16,
    SOCKETCALL_SENDMMSG = 20,
};

/* clang-format off */
static const struct abi {
    uint32_t arch;
    bool narrow;
    int connect, getpeername, sendto, sendmsg, sendmmsg, uring_setup, socketcall;
} abis[] = {
#if defined(__x86_64__)
    {AUDIT_ARCH_X86_64, false, 42, 52, 44, 46, 307, URING_SETUP, NONE},
    {AUDIT_ARCH_X86_64, true, X32_BIT + 42, X32_BIT + 52, X32_BIT + 44, X32_BIT + 518,
     X32_BIT + 538, X32_BIT + URING_SETUP, NONE},
    {AUDIT_ARCH_I386, true, 362, 368, 369, 370, 345, URING_SETUP, 102},
#elif defined(__aarch64__)
    {AUDIT_ARCH_AARCH64, false, 203, 205, 206, 211, 269, URING_SETUP, NONE},
    {AUDIT_ARCH_ARM, true, 283, 287, 290, 296, 374, URING_SETUP, NONE},
#else
#error "the filter knows x86-64 and aarch64 and their 32-bit ABIs"
#endif
};
/* clang-format on */
enum { ABIS = sizeof abis / sizeof abis[0] };

struct program {
    struct sock_filter *out;
    size_t len;
};

static void put(struct program *p, uint16_t code, uint32_t k, uint8_t yes, uint8_t no)
{
    if (p->len < FILTER_MAX)
        p->out[p->len] = (struct sock_filter){code, yes, no, k};
    p->len++;
}

static void give(struct program *p, uint32_t verdict)
{
    put(p, BPF_RET | BPF_K, verdict, 0, 0);
}

static void load(struct program *p, size_t offset)
{
    put(p, BPF_LD | BPF_W | BPF_ABS, (uint32_t)offset, 0, 0);
}

/* The low half of an argument: descriptors, flags and our mark are 32 bits wide. */
static void load_argument(struct program *p, unsigned i)
{
    size_t at = offsetof(struct seccomp_data, args) + sizeof(uint64_t) * i;

#if __BYTE_ORDER__ == __ORDER_BIG_ENDIAN__
    at += 4;
#endif
    load(p, at);
}

/* `skip` instructions further unless the number, which is loaded, is `nr`. */
static void only(struct program *p, int nr, uint8_t skip)
{
    put(p, BPF_JMP | BPF_JEQ | BPF_K, (uint32_t)nr, 0, skip);
}

enum { TEST = 3 }; /* instructions of each of the two that follow */

/* A call that carries our mark passes. */
static void pass_claimed(struct program *p)
{
    load_argument(p, 3);
    put(p, BPF_JMP | BPF_JEQ | BPF_K, SYS_CLAIMED, 0, 1);
    give(p, SECCOMP_RET_ALLOW);
}

/* A call without MSG_FASTOPEN in argument `i` passes. */
static void pass_plain(struct program *p, unsigned i)
{
    load_argument(p, i);
    put(p, BPF_JMP | BPF_JSET | BPF_K, FASTOPEN, 1, 0);
    give(p, SECCOMP_RET_ALLOW);
}

static void put_claimable(struct program *p, int nr)
{
    only(p, nr, TEST + 1);
    pass_claimed(p);
    give(p, SECCOMP_RET_USER_NOTIF);
}

static void put_flagged(struct program *p, int nr)
{
    only(p, nr, TEST + 1);
    pass_plain(p, 3);
    give(p, SECCOMP_RET_USER_NOTIF);
}

static void put_sendmsg(struct program *p, int nr)
{
    only(p, nr, 2 * TEST + 1);
    pass_plain(p, 2);
    pass_claimed(p);
    give(p, SECCOMP_RET_USER_NOTIF);
}

/* The arguments are in memory, where a filter cannot look: every one of the calls that could
 * concern us comes along. */
static void put_socketcall(struct program *p, int nr)
{
    only(p, nr, 8);
    load_argument(p, 0);
    put(p, BPF_JMP | BPF_JEQ | BPF_K, SOCKETCALL_CONNECT, 5, 0);
    put(p, BPF_JMP | BPF_JEQ | BPF_K, SOCKETCALL_GETPEERNAME, 4, 0);
    put(p, BPF_JMP | BPF_JEQ | BPF_K, SOCKETCALL_SENDTO, 3, 0);
    put(p, BPF_JMP | BPF_JEQ | BPF_K, SOCKETCALL_SENDMSG, 2, 0);
    put(p, BPF_JMP | BPF_JEQ | BPF_K, SOCKETCALL_SENDMMSG, 1, 0);
    give(p, SECCOMP_RET_ALLOW);
    give(p, SECCOMP_RET_USER_NOTIF);
}

static void put_abi(struct program *p, const struct abi *a)
{
    put_claimable(p, a->connect);
    put_claimable(p, a->getpeername);
    put_sendmsg(p, a->sendmsg);
    put_flagged(p, a->sendto);
    put_flagged(p, a->sendmmsg);
    only(p, a->uring_setup, 1);
    give(p, SECCOMP_RET_ERRNO | ENOSYS);
    if (a->socketcall != NONE)
        put_socketcall(p, a->socketcall);
}

size_t filter_build(struct sock_filter out[FILTER_MAX])
{
    struct program p = {out, 0};

    for (size_t i = 0; i < ABIS;) {
        uint32_t arch = abis[i].arch;

        load(&p, offsetof(struct seccomp_data, arch));
        size_t jump = p.len;
        put(&p, BPF_JMP | BPF_JEQ | BPF_K, arch, 0, 0);
        load(&p, offsetof(struct seccomp_data, nr));
        for (; i < ABIS && abis[i].arch == arch; i++)
            put_abi(&p, &abis[i]);
        give(&p, SECCOMP_RET_ALLOW);
        out[jump].jf = (uint8_t)(p.len - jump - 1);
    }
    give(&p, SECCOMP_RET_ALLOW);
    return p.len;
}

enum filter_call filter_call(uint32_t arch, int nr, bool *narrow)
{
    for (size_t i = 0; i < ABIS; i++) {
        const struct abi *a = &abis[i];
        const struct {
            int nr;
            enum filter_call call;
        } row[] = {
            {a->connect, FILTER_CONNECT},   {a->getpeername, FILTER_GETPEERNAME},
            {a->sendto, FILTER_SENDTO},     {a->sendmsg, FILTER_SENDMSG},
            {a->sendmmsg, FILTER_SENDMMSG}, {a->socketcall, FILTER_SOCKETCALL},
        };

        for (size_t k = 0; a->arch == arch && k < sizeof row / sizeof row[0]; k++) {
            if (row[k].nr == nr && nr != NONE) {
                *narrow = a->narrow;
                return row[k].call;
            }
        }
    }
    return FILTER_NONE;
}

enum filter_call filter_socketcall(uint64_t which)
{
    switch ((uint32_t)which) {
    case SOCKETCALL_CONNECT:
        return FILTER_CONNECT;
    case SOCKETCALL_GETPEERNAME:
        return FILTER_GETPEERNAME;
    case SOCKETCALL_SENDTO:
        return FILTER_SENDTO;
    case SOCKETCALL_SENDMSG:
        return FILTER_SENDMSG;
    case SOCKETCALL_SENDMMSG:
        return FILTER_SENDMMSG;
    default:
        return FILTER_NONE;
    }
}

int filter_install(void)
{
    struct sock_filter code[FILTER_MAX];
    struct sock_fprog program = {.len = (unsigned short)filter_build(code), .filter = code};
    unsigned long flags =
        SECCOMP_FILTER_FLAG_NEW_LISTENER | SECCOMP_FILTER_FLAG_WAIT_KILLABLE_RECV;
    bool bare = false;

    for (;;) {
        long rc = sys_call(SYS_seccomp, SECCOMP_SET_MODE_FILTER, (long)flags, (long)&program, 0,
                           0, 0);

        if (rc >= 0)
            return (int)rc;
        if (rc == -EINVAL && (flags & SECCOMP_FILTER_FLAG_WAIT_KILLABLE_RECV) != 0) {
            flags &= ~(unsigned long)SECCOMP_FILTER_FLAG_WAIT_KILLABLE_RECV;
        } else if (rc == -EACCES && !bare) {
            /* No CAP_SYS_ADMIN here: the other way the kernel offers, at the price that
             * set-user-ID programs below run without what they are set to. */
            bare = true;
            if (prctl(PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0) != 0)
                return (int)rc;
        } else {
            return (int)rc;
        }
    }
}
