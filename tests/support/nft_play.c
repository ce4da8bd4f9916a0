/* SPDX-License-Identifier: MIT */
#include "nft_play.h"
#include "scripted.h"
#include <fcntl.h>
#include <sched.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/wait.h>

static struct {
    nft_play_fn *answer;
    int peer;
} kernel;

ssize_t __wrap_send(int fd, const void *buf, size_t len,
                    int flags); /* NOLINT(bugprone-reserved-identifier): the linker's name */
ssize_t __real_send(int fd, const void *buf, size_t len,
                    int flags); /* NOLINT(bugprone-reserved-identifier): the linker's name */

ssize_t __wrap_send(int fd, const void *buf, size_t len,
                    int flags) /* NOLINT(bugprone-reserved-identifier): the linker's name */
{
    if (kernel.answer == NULL)
        return __real_send(fd, buf, len, flags);
    return kernel.answer(kernel.peer, buf, len);
}

void nft_play_kernel(struct nft_link *l, nft_play_fn *answer)
{
    int pair[2];

    ck_assert_int_eq(socketpair(AF_UNIX, SOCK_DGRAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0, pair),
                     0);
    *l = (struct nft_link){.fd = pair[0]};
    kernel.answer = answer;
    kernel.peer = pair[1];
}

void nft_play_ack(int peer, uint32_t seq, int error)
{
    struct {
        struct nlmsghdr head;
        struct nlmsgerr e;
    } m = {.head = {.nlmsg_len = sizeof m, .nlmsg_type = NLMSG_ERROR, .nlmsg_seq = seq},
           .e = {.error = error}};

    ck_assert_int_eq(write(peer, &m, sizeof m), sizeof m);
}

static bool shell(const char *line)
{
    return system(line) == 0; /* NOLINT(cert-env33-c,bugprone-command-processor): a test's */
}

bool nft_play(const char *command)
{
    char line[512];

    (void)snprintf(line, sizeof line, "PATH=$PATH:/usr/sbin:/sbin nft '%s'", command);
    return shell(line);
}

bool nft_play_lists(const char *set, const char *element)
{
    char line[512];

    (void)snprintf(line, sizeof line,
                   "PATH=$PATH:/usr/sbin:/sbin nft list set %s 2>&1 | tr \"\\n\\t\" \"  \" | "
                   "grep -q \"elements = .* %s[ ,]\"",
                   set, element);
    return shell(line);
}

bool nft_play_rules(void)
{
    return nft_play(
        "table inet t { set tokens { type mark; } ; set small { type mark; size 2; } ; "
        "set life { type inet_proto; flags timeout; } ; }");
}

bool nft_play_begin(void)
{
    char map[64];
    uid_t uid = geteuid();

    (void)snprintf(map, sizeof map, "0 %u 1", uid);
    return unshare(CLONE_NEWNET) == 0 || (unshare(CLONE_NEWUSER | CLONE_NEWNET) == 0 &&
                                          scripted_write("/proc/self/uid_map", map));
}

bool nft_play_is_possible(void)
{
    pid_t child = fork();
    int status;

    if (child == 0)
        _exit(nft_play_begin() && nft_play_rules() ? 0 : 1);
    return child > 0 && waitpid(child, &status, 0) == child && status == 0;
}
