/* SPDX-License-Identifier: MIT */
#include "runner.h"
#include "sys.h"
#include "tempfile.h"
#include <arpa/inet.h>
#include <errno.h>
#include <fcntl.h>
#include <linux/filter.h>
#include <linux/seccomp.h>
#include <netinet/in.h>
#include <stddef.h>
#include <stdio.h>
#include <sys/prctl.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <time.h>

static struct sockaddr *sa(struct sockaddr_in *in)
{
    return (struct sockaddr *)in;
}

static int listener(struct sockaddr_in *at)
{
    socklen_t len = sizeof *at;
    int fd = sys_socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);

    *at = (struct sockaddr_in){.sin_family = AF_INET,
                               .sin_addr = {.s_addr = htonl(INADDR_LOOPBACK)}};
    ck_assert_int_ge(fd, 0);
    ck_assert_int_eq(sys_bind(fd, sa(at), sizeof *at), 0);
    ck_assert_int_eq(sys_listen(fd, 4), 0);
    ck_assert_int_eq(sys_getsockname(fd, sa(at), &len), 0);
    ck_assert_uint_eq(len, sizeof *at);
    ck_assert_uint_ne(at->sin_port, 0);
    return fd;
}

START_TEST(a_connection_carries_octets_and_ends)
{
    struct sockaddr_in at, peer;
    socklen_t len = sizeof peer;
    int l = listener(&at), c = sys_socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
    char buf[8] = "";
    struct iovec part = {.iov_base = buf, .iov_len = 2};
    struct msghdr m = {.msg_iov = &part, .msg_iovlen = 1};

    ck_assert_int_eq(sys_connect(c, sa(&at), sizeof at), 0);
    ck_assert_int_eq(sys_getpeername(c, sa(&peer), &len), 0);
    ck_assert_uint_eq(peer.sin_port, at.sin_port);
    int a = sys_accept(l, SOCK_NONBLOCK | SOCK_CLOEXEC);
    ck_assert_int_ge(a, 0);
    ck_assert_int_ne(sys_fcntl(a, F_GETFL, 0) & O_NONBLOCK, 0);
    ck_assert_int_eq(sys_fcntl(a, F_GETFD, 0), FD_CLOEXEC);
    ck_assert_int_eq(sys_recv(a, buf, sizeof buf, 0), -EAGAIN);
    ck_assert_int_eq(sys_send(c, "abc", 3, MSG_NOSIGNAL), 3);
    struct pollfd wait = {.fd = a, .events = POLLIN};
    ck_assert_int_eq(sys_poll(&wait, 1, -1), 1);
    ck_assert_int_eq(sys_recv(a, buf, sizeof buf, MSG_PEEK), 3);
    ck_assert_int_eq(sys_read(a, buf, sizeof buf), 3);
    ck_assert_int_eq(memcmp(buf, "abc", 3), 0);
    ck_assert_int_eq(sys_sendmsg(c, &m, MSG_NOSIGNAL), 2);
    ck_assert_int_eq(sys_write(c, "z", 1), 1);
    ck_assert_int_eq(sys_shutdown(c, SHUT_WR), 0);
    ck_assert_int_eq(sys_recv(a, buf, 3, MSG_WAITALL), 3);
    ck_assert_int_eq(memcmp(buf, "abz", 3), 0);
    ck_assert_int_eq(sys_recv(a, buf, 3, 0), 0);
    ck_assert_int_eq(sys_close(a), 0);
    ck_assert_int_eq(sys_close(c), 0);
    ck_assert_int_eq(sys_close(l), 0);
}
END_TEST

START_TEST(errors_are_negative_and_errno_stays)
{
    struct sockaddr_in at;
    socklen_t len = sizeof at;
    uint64_t inode = 7;
    int l = listener(&at), c = sys_socket(AF_INET, SOCK_STREAM, 0), value = 7;
    char buf[4];

    ck_assert_int_eq(sys_close(l), 0);
    errno = EXDEV;
    ck_assert_int_eq(sys_connect(c, sa(&at), sizeof at), -ECONNREFUSED);
    ck_assert_int_eq(sys_close(c), 0);
    ck_assert_int_eq(sys_socket(AF_INET, 77, 0), -EINVAL);
    ck_assert_int_eq(sys_bind(-1, sa(&at), len), -EBADF);
    ck_assert_int_eq(sys_listen(-1, 1), -EBADF);
    ck_assert_int_eq(sys_accept(-1, 0), -EBADF);
    ck_assert_int_eq(sys_shutdown(-1, SHUT_RD), -EBADF);
    ck_assert_int_eq(sys_getsockname(-1, sa(&at), &len), -EBADF);
    ck_assert_int_eq(sys_getpeername(-1, sa(&at), &len), -EBADF);
    ck_assert_int_eq(sys_get_int(-1, SOL_SOCKET, SO_ERROR, &value), -EBADF);
    ck_assert_int_eq(value, 7);
    ck_assert_int_eq(sys_set_int(-1, SOL_SOCKET, SO_KEEPALIVE, 1), -EBADF);
    ck_assert_int_eq(sys_recv(-1, buf, 1, 0), -EBADF);
    ck_assert_int_eq(sys_send(-1, buf, 0, 0), -EBADF);
    ck_assert_int_eq(sys_read(-1, buf, 1), -EBADF);
    ck_assert_int_eq(sys_write(-1, buf, 0), -EBADF);
    ck_assert_int_eq(sys_readlink("/nonexistent", buf, sizeof buf), -ENOENT);
    ck_assert_int_eq(sys_open("/nonexistent", O_RDONLY, 0), -ENOENT);
    ck_assert_int_eq(sys_close(-1), -EBADF);
    ck_assert_int_eq(sys_dup3(-1, 5, 0), -EBADF);
    ck_assert_int_eq(sys_fcntl(-1, F_GETFL, 0), -EBADF);
    ck_assert_int_eq(sys_epoll_ctl(-1, EPOLL_CTL_DEL, 0, NULL), -EBADF);
    ck_assert_int_eq(sys_inode(-1, &inode), -EBADF);
    ck_assert_uint_eq(inode, 7);
    ck_assert_ptr_null(sys_map(0, -1));
    ck_assert_uint_eq(sys_cookie(-1), 0);
    ck_assert_int_eq(errno, EXDEV);
}
END_TEST

START_TEST(an_option_is_a_whole_int_or_an_error)
{
    int fd = sys_socket(AF_INET, SOCK_STREAM, 0), value = 7;
    struct linger linger = {.l_onoff = 1, .l_linger = 3}, got = {0};
    socklen_t len = sizeof got;

    ck_assert_int_eq(sys_set_int(fd, SOL_SOCKET, SO_KEEPALIVE, 1), 0);
    ck_assert_int_eq(sys_get_int(fd, SOL_SOCKET, SO_KEEPALIVE, &value), 0);
    ck_assert_int_eq(value, 1);
    ck_assert_int_eq(sys_setsockopt(fd, SOL_SOCKET, SO_LINGER, &linger, sizeof linger), 0);
    ck_assert_int_eq(sys_getsockopt(fd, SOL_SOCKET, SO_LINGER, &got, &len), 0);
    ck_assert_int_eq(got.l_linger, 3);
    value = 7;
    /* Bound to no device: the answer has no octets at all. */
    ck_assert_int_lt(sys_get_int(fd, SOL_SOCKET, SO_BINDTODEVICE, &value), 0);
    ck_assert_int_eq(value, 7);
    ck_assert_int_eq(sys_close(fd), 0);
}
END_TEST

START_TEST(a_cookie_names_the_socket_and_not_the_fd)
{
    int a = sys_socket(AF_INET, SOCK_STREAM, 0), b = sys_socket(AF_INET, SOCK_STREAM, 0);
    int null = sys_open("/dev/null", O_RDONLY | O_CLOEXEC, 0);
    uint64_t cookie = sys_cookie(a);

    ck_assert_uint_ne(cookie, 0);
    ck_assert_uint_ne(cookie, sys_cookie(b));
    ck_assert_uint_eq(sys_cookie(null), 0);
    ck_assert_int_eq(sys_dup3(a, b, O_CLOEXEC), b);
    ck_assert_uint_eq(sys_cookie(b), cookie);
    ck_assert_int_eq(sys_fcntl(b, F_GETFD, 0), FD_CLOEXEC);
    ck_assert_int_eq(sys_close(a), 0);
    ck_assert_int_eq(sys_close(b), 0);
    ck_assert_int_eq(sys_close(null), 0);
}
END_TEST

START_TEST(files_are_opened_linked_and_identified)
{
    struct tempfile f = tempfile_text("hello");
    char path[64], got[64] = "";
    struct stat st;
    uint64_t inode = 0;
    int fd = sys_open(f.path, O_RDONLY | O_CLOEXEC, 0);

    ck_assert_int_ge(fd, 0);
    ck_assert_int_eq(stat(f.path, &st), 0);
    ck_assert_int_eq(sys_inode(fd, &inode), 0);
    ck_assert_uint_eq(inode, st.st_ino);
    (void)snprintf(path, sizeof path, "/proc/self/fd/%d", fd);
    ck_assert_int_eq(sys_readlink(path, got, sizeof got), (ssize_t)strlen(f.path));
    ck_assert_str_eq(got, f.path);
    ck_assert_int_eq(sys_close(fd), 0);
    tempfile_done(&f);
}
END_TEST

START_TEST(a_mapping_is_shared_and_zeroed)
{
    struct tempfile f = tempfile_make("", 0, 0600);
    int fd = sys_open(f.path, O_RDWR | O_CLOEXEC, 0);
    unsigned char *anonymous = sys_map(8192, -1), *one, *other;

    ck_assert_int_eq(ftruncate(fd, 4096), 0);
    one = sys_map(4096, fd);
    other = sys_map(4096, fd);
    ck_assert(anonymous != NULL && one != NULL && other != NULL);
    for (size_t i = 0; i < 8192; i++)
        ck_assert_uint_eq(anonymous[i], 0);
    one[17] = 4;
    ck_assert_uint_eq(other[17], 4);
    sys_unmap(anonymous, 8192);
    sys_unmap(one, 4096);
    sys_unmap(other, 4096);
    sys_unmap(NULL, 4096);
    ck_assert_int_eq(sys_close(fd), 0);
    tempfile_done(&f);
}
END_TEST

START_TEST(polls_and_epolls_tell_what_is_ready)
{
    int pair[2], ep = epoll_create1(EPOLL_CLOEXEC);
    struct epoll_event ev = {.events = EPOLLIN, .data = {.u64 = 9}}, got;

    ck_assert_int_eq(pipe(pair), 0);
    struct pollfd wait = {.fd = pair[0], .events = POLLIN};
    ck_assert_int_eq(sys_poll(&wait, 1, 0), 0);
    ck_assert_int_eq(sys_poll(NULL, 0, 1), 0);
    ck_assert_int_eq(sys_epoll_ctl(ep, EPOLL_CTL_ADD, pair[0], &ev), 0);
    ck_assert_int_eq(sys_epoll_ctl(ep, EPOLL_CTL_ADD, pair[0], &ev), -EEXIST);
    ck_assert_int_eq(sys_write(pair[1], "x", 1), 1);
    ck_assert_int_eq(sys_poll(&wait, 1, 1500), 1);
    ck_assert_int_eq(epoll_wait(ep, &got, 1, 0), 1);
    ck_assert_uint_eq(got.data.u64, 9);
    ck_assert_int_eq(sys_close(pair[0]), 0);
    ck_assert_int_eq(sys_close(pair[1]), 0);
    ck_assert_int_eq(sys_close(ep), 0);
}
END_TEST

START_TEST(time_and_ids_are_the_kernels)
{
    struct timespec t;
    uint64_t before = sys_now_ms();

    ck_assert_int_eq(clock_gettime(CLOCK_MONOTONIC, &t), 0);
    uint64_t now = (uint64_t)t.tv_sec * 1000 + (uint64_t)t.tv_nsec / 1000000;
    ck_assert_uint_le(before, now);
    ck_assert_uint_le(now, sys_now_ms());
    ck_assert_int_eq(sys_pid(), getpid());
    ck_assert_int_eq(sys_tid(), gettid());
}
END_TEST

/* A filter that answers what is not marked: the supervisor would be asked for those. */
START_TEST(calls_the_filter_hands_over_are_marked)
{
    static struct sock_filter code[] = {
        BPF_STMT(BPF_LD | BPF_W | BPF_ABS, offsetof(struct seccomp_data, nr)),
        BPF_JUMP(BPF_JMP | BPF_JEQ | BPF_K, SYS_connect, 2, 0),
        BPF_JUMP(BPF_JMP | BPF_JEQ | BPF_K, SYS_sendmsg, 1, 0),
        BPF_JUMP(BPF_JMP | BPF_JEQ | BPF_K, SYS_getpeername, 0, 3),
        BPF_STMT(BPF_LD | BPF_W | BPF_ABS, offsetof(struct seccomp_data, args[3])),
        BPF_JUMP(BPF_JMP | BPF_JEQ | BPF_K, SYS_CLAIMED, 1, 0),
        BPF_STMT(BPF_RET | BPF_K, SECCOMP_RET_ERRNO | EXDEV),
        BPF_STMT(BPF_RET | BPF_K, SECCOMP_RET_ALLOW),
    };
    struct sock_fprog program = {.len = sizeof code / sizeof code[0], .filter = code};
    struct sockaddr_in at;
    struct msghdr none = {0};
    socklen_t len = sizeof at;

    ck_assert_int_eq(prctl(PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0), 0);
    ck_assert_int_eq(prctl(PR_SET_SECCOMP, SECCOMP_MODE_FILTER, &program), 0);
    ck_assert_int_eq(getpeername(-1, sa(&at), &len), -1);
    ck_assert_int_eq(errno, EXDEV);
    ck_assert_int_eq(sys_getpeername(-1, sa(&at), &len), -EBADF);
    ck_assert_int_eq(sys_connect(-1, sa(&at), len), -EBADF);
    ck_assert_int_eq(sys_sendmsg(-1, &none, 0), -EBADF);
}
END_TEST

int main(void)
{
    Suite *s = suite_create("sys");
    TCase *t = tcase_create("sys");

    tcase_add_test(t, a_connection_carries_octets_and_ends);
    tcase_add_test(t, errors_are_negative_and_errno_stays);
    tcase_add_test(t, an_option_is_a_whole_int_or_an_error);
    tcase_add_test(t, a_cookie_names_the_socket_and_not_the_fd);
    tcase_add_test(t, files_are_opened_linked_and_identified);
    tcase_add_test(t, a_mapping_is_shared_and_zeroed);
    tcase_add_test(t, polls_and_epolls_tell_what_is_ready);
    tcase_add_test(t, time_and_ids_are_the_kernels);
    tcase_add_test(t, calls_the_filter_hands_over_are_marked);
    suite_add_tcase(s, t);
    return runner_main(s);
}
