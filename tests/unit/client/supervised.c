/* SPDX-License-Identifier: MIT */
#include "supervised.h"
#include "fds.h"
#include "sys.h"
#include <check.h>
#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/wait.h>
#include <unistd.h>

enum { CLIENTS = 512, REQUEST = 24 };

struct client {
    int fd;
    size_t have;
    uint8_t request[REQUEST];
    uint64_t answer_at; /* LATE */
    bool open, deaf;
};

static void answer(struct client *k, int code)
{
    static const uint8_t yes[] = {1, 1, 0x22, 0x63, 'h', 'i'};
    const uint8_t no[] = {1, 2, 0x22, 0x63, 30, 1, (uint8_t)code, 1}; /* ICMP code 1: host */

    k->open = code == 0;
    (void)!write(k->fd, code == 0 ? yes : no, code == 0 ? sizeof yes : sizeof no);
    if (code != 0)
        (void)shutdown(k->fd, SHUT_WR);
}

static void judge(struct client *k)
{
    int port = k->request[6] * 256 + k->request[7];

    if (port == PORT_LATE)
        k->answer_at = sys_now_ms() + LATE_MS;
    else if (port >= PORT_ERROR)
        answer(k, port - PORT_ERROR);
    else if (port == PORT_ECHO || port == PORT_DEAF || port == PORT_RESET)
        answer(k, 0);
    k->deaf = port == PORT_DEAF;
}

/* True: it is to be closed, which is a reset then. */
static bool resets(const struct client *k)
{
    struct linger now = {.l_onoff = 1};

    return k->have == REQUEST && k->request[6] * 256 + k->request[7] == PORT_RESET &&
           poll(NULL, 0, LATE_MS) == 0 &&
           setsockopt(k->fd, SOL_SOCKET, SO_LINGER, &now, sizeof now) == 0;
}

/* False: the client has gone. */
static bool hear(struct concentrator *c, struct client *k)
{
    uint8_t data[4096];
    bool whole = k->have == REQUEST;
    ssize_t n = whole ? read(k->fd, data, sizeof data)
                      : read(k->fd, k->request + k->have, REQUEST - k->have);

    if (n <= 0)
        return false;
    if (whole) {
        if (k->open)
            (void)!write(k->fd, data, (size_t)n);
        return true;
    }
    k->have += (size_t)n;
    if (k->have == REQUEST) {
        atomic_fetch_add(&c->requests, 1);
        judge(k);
    }
    return !resets(k);
}

static void drop(struct concentrator *c, struct client *k)
{
    (void)close(k->fd);
    k->fd = -1;
    atomic_fetch_sub(&c->open, 1);
}

static void admit(struct concentrator *c, struct client *k)
{
    int fd = accept4(c->listener, NULL, NULL, SOCK_CLOEXEC);

    for (size_t i = 0; fd >= 0 && i < CLIENTS; i++) {
        if (k[i].fd < 0) {
            k[i] = (struct client){.fd = fd};
            atomic_fetch_add(&c->open, 1);
            return;
        }
    }
    (void)close(fd);
}

static void *concentrate(void *arg)
{
    struct concentrator *c = arg;
    struct client *k = calloc(CLIENTS, sizeof *k);
    struct pollfd *p = calloc(CLIENTS + 2, sizeof *p);

    for (size_t i = 0; i < CLIENTS; i++)
        k[i].fd = -1;
    for (;;) {
        p[CLIENTS] = (struct pollfd){.fd = c->listener, .events = POLLIN};
        p[CLIENTS + 1] = (struct pollfd){.fd = c->stop[0], .events = POLLIN};
        for (size_t i = 0; i < CLIENTS; i++)
            p[i] = (struct pollfd){.fd = k[i].fd, .events = k[i].deaf ? 0 : POLLIN};
        (void)poll(p, CLIENTS + 2, 10);
        if (p[CLIENTS + 1].revents != 0)
            break;
        for (size_t i = 0; i < CLIENTS; i++) {
            if (k[i].answer_at != 0 && sys_now_ms() >= k[i].answer_at) {
                k[i].answer_at = 0;
                answer(&k[i], 0);
            }
            if (p[i].revents != 0 && !hear(c, &k[i]))
                drop(c, &k[i]);
        }
        if (p[CLIENTS].revents != 0)
            admit(c, k);
    }
    for (size_t i = 0; i < CLIENTS; i++) {
        if (k[i].fd >= 0)
            drop(c, &k[i]);
    }
    free(k);
    free(p);
    return NULL;
}

void concentrator_start(struct concentrator *c)
{
    struct sockaddr_in at = {.sin_family = AF_INET, .sin_addr = {htonl(INADDR_LOOPBACK)}};
    socklen_t len = sizeof at;

    atomic_init(&c->requests, 0);
    atomic_init(&c->open, 0);
    c->listener = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
    ck_assert_int_eq(bind(c->listener, (struct sockaddr *)&at, len), 0);
    ck_assert_int_eq(listen(c->listener, CLIENTS), 0);
    ck_assert_int_eq(getsockname(c->listener, (struct sockaddr *)&at, &len), 0);
    ck_assert(addr_from_sockaddr((struct sockaddr *)&at, len, &c->addr));
    ck_assert_int_eq(pipe2(c->stop, O_CLOEXEC), 0);
    ck_assert_int_eq(pthread_create(&c->thread, NULL, concentrate, c), 0);
}

void concentrator_end(struct concentrator *c)
{
    ck_assert_int_eq(write(c->stop[1], "", 1), 1);
    ck_assert_int_eq(pthread_join(c->thread, NULL), 0);
    (void)close(c->stop[0]);
    (void)close(c->stop[1]);
    (void)close(c->listener);
}

static void give_fd(int through, int fd)
{
    union {
        struct cmsghdr h;
        char room[CMSG_SPACE(sizeof(int))];
    } u = {0};
    struct iovec v = {&fd, sizeof fd};
    struct msghdr m = {
        .msg_iov = &v, .msg_iovlen = 1, .msg_control = &u, .msg_controllen = sizeof u};

    u.h = (struct cmsghdr){
        .cmsg_len = CMSG_LEN(sizeof fd), .cmsg_level = SOL_SOCKET, .cmsg_type = SCM_RIGHTS};
    memcpy(CMSG_DATA(&u.h), &fd, sizeof fd);
    (void)sendmsg(through, &m, 0);
}

static int take_fd(int through)
{
    union {
        struct cmsghdr h;
        char room[CMSG_SPACE(sizeof(int))];
    } u = {0};
    int fd = -1;
    struct iovec v = {&fd, sizeof fd};
    struct msghdr m = {
        .msg_iov = &v, .msg_iovlen = 1, .msg_control = &u, .msg_controllen = sizeof u};

    ck_assert_int_gt(recvmsg(through, &m, MSG_CMSG_CLOEXEC), 0);
    ck_assert_int_eq(u.h.cmsg_type, SCM_RIGHTS);
    memcpy(&fd, CMSG_DATA(&u.h), sizeof fd);
    return fd;
}

static _Noreturn void be_guest(int channel, guest_fn *guest)
{
    char c = 0;
    int listener = filter_install();

    GUEST(listener >= 0);
    give_fd(channel, listener);
    (void)close(listener);
    if (read(channel, &c, 1) != 1)
        _exit(2);
    (void)close(channel);
    int rc = guest();
    (void)fflush(NULL);
    _exit(rc);
}

struct sockaddr_in ipv4(int port)
{
    return (struct sockaddr_in){.sin_family = AF_INET,
                                .sin_port = htons((uint16_t)port),
                                .sin_addr = {htonl(0xc0000201)}}; /* 192.0.2.1 */
}

int connect_port(int fd, int port)
{
    struct sockaddr_in to = ipv4(port);

    return connect(fd, (struct sockaddr *)&to, sizeof to);
}

bool says_hi(int fd)
{
    char hi[2];
    struct pollfd p = {.fd = fd, .events = POLLIN};

    return poll(&p, 1, SOON) == 1 && recv(fd, hi, 2, 0) == 2 && memcmp(hi, "hi", 2) == 0;
}

static unsigned fds_before;

void supervised_start(struct supervised *s, guest_fn *guest)
{
    int channel[2];

    memset(s, 0, sizeof *s);
    fds_before = open_fds();
    ck_assert_int_eq(socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0, channel), 0);
    s->pid = fork();
    ck_assert_int_ge(s->pid, 0);
    if (s->pid == 0) {
        (void)close(channel[0]);
        be_guest(channel[1], guest);
    }
    (void)close(channel[1]);
    s->go = channel[0];
    s->listener = take_fd(s->go);
    concentrator_start(&s->concentrator);
    settings_default(&s->settings);
    s->settings.proxy[0] = s->concentrator.addr;
    s->settings.proxies = 1;
    s->settings.dialect = PROTOCOL_CONVERT;
    s->settings.tfo = SETTINGS_TFO_OFF;
    s->env = (struct reach_env){
        .settings = &s->settings, .proxies = proxies_map(NULL), .shared = shared_map(NULL)};
}

void supervised_go(struct supervised *s)
{
    int rc = 0;

    s->supervisor = supervisor_start(&s->env, s->listener, &rc);
    ck_assert_msg(s->supervisor != NULL, "supervisor_start: %d", rc);
    ck_assert_int_eq(write(s->go, "", 1), 1);
}

int supervised_wait(struct supervised *s)
{
    int status = 0;

    ck_assert_int_eq(waitpid(s->pid, &status, 0), s->pid);
    return WIFEXITED(status) ? WEXITSTATUS(status) : -WTERMSIG(status);
}

void supervised_sleep_ms(unsigned ms)
{
    (void)poll(NULL, 0, (int)ms);
}

void supervised_end(struct supervised *s)
{
    struct pollfd p = {.fd = supervisor_fd(s->supervisor), .events = POLLIN};

    ck_assert_int_eq(poll(&p, 1, SOON), 1);
    supervisor_end(s->supervisor);
    concentrator_end(&s->concentrator);
    (void)close(s->go);
    ck_assert_uint_eq(open_fds(), fds_before);
}

void supervised_run(guest_fn *guest)
{
    struct supervised s;

    supervised_start(&s, guest);
    supervised_go(&s);
    ck_assert_int_eq(supervised_wait(&s), 0);
    supervised_end(&s);
}
