/* SPDX-License-Identifier: MIT */
/* ideal_relay - a bare relay loop, the yardstick for what one core can do; no request, no
 * policy, no time-outs, no counters.
 *
 *     ideal_relay LISTEN TARGET [-m] [-M] [-s]  IPv4:port each; -m: MPTCP listener, -M: MPTCP
 * towards TARGET, -s: a SOCKS5 client that takes one step after the other is answered first:
 * what the dialect costs when nothing is parsed
 *
 * One thread, edge-triggered epoll registered once per socket. From MPTCP it copies through a
 * 256 KiB buffer (splice would copy too); from TCP it copies until two reads in a row were
 * full, then splices through a 256 KiB pipe, and goes back to copying when 16 splices in a row
 * moved less than 16 KiB each. A dry pipe goes back to the pool at once. A pump that used its
 * budget waits behind the others. Ends on SIGTERM. */
#include "net.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/socket.h>
#include <unistd.h>

enum {
    EVENTS = 256,
    TCP_READ = 65536,
    MPTCP_READ = 262144,
    PIPE_SIZE = 262144,
    SMALL = 16384,
    SMALL_IN_A_ROW = 16,
    BUDGET = 524288,
    POOL = 512
};
enum {
    MPTCP_RCVBUF = 4 << 20
}; /* smaller ones make a back-pressured MPTCP leg wait for timers */

struct pipe_pair {
    int rd, wr;
};

struct side {
    struct pair *pair;
    int fd;
    bool readable, writable, mptcp;
};

struct pump {
    struct side *from, *to;
    struct pipe_pair pipe; /* rd < 0: none borrowed */
    size_t piped;
    unsigned full, small; /* full reads, small splices in a row */
    bool splicing;
    uint8_t *kept;
    size_t kept_off, kept_len;
    bool eof, done;
};

enum stage { STAGE_RELAY, STAGE_GREETING, STAGE_REQUEST, STAGE_DIAL };

struct pair {
    struct side side[2];
    enum stage stage;
    struct pump pump[2];
    struct pair *next; /* in the list of those with more to do */
    bool queued, dead;
};

struct relay {
    int ep, listen_fd;
    struct sockaddr_in target;
    bool mptcp_in, mptcp_out, socks;
    struct pair *more;
    struct pair *buried; /* freed after the batch: events may still name them */
    struct pipe_pair pool[POOL];
    size_t pooled;
    uint8_t scratch[MPTCP_READ];
};

enum step { STEP_AGAIN, STEP_WAIT, STEP_EOF, STEP_ERROR };

static bool borrow(struct relay *r, struct pump *p)
{
    int fd[2];

    if (p->pipe.rd >= 0)
        return true;
    if (r->pooled > 0) {
        p->pipe = r->pool[--r->pooled];
        return true;
    }
    if (pipe2(fd, O_NONBLOCK | O_CLOEXEC) < 0)
        return false;
    (void)fcntl(fd[1], F_SETPIPE_SZ, PIPE_SIZE); /* refused: the default size works too */
    p->pipe = (struct pipe_pair){fd[0], fd[1]};
    return true;
}

static void give_back(struct relay *r, struct pump *p)
{
    if (p->pipe.rd < 0)
        return;
    if (p->piped == 0 && r->pooled < POOL) {
        r->pool[r->pooled++] = p->pipe;
    } else {
        close(p->pipe.rd);
        close(p->pipe.wr);
    }
    p->pipe.rd = -1;
}

static enum step judge(ssize_t n, bool *ready)
{
    if (n == 0)
        return STEP_EOF;
    if (errno != EAGAIN)
        return STEP_ERROR;
    *ready = false;
    return STEP_WAIT;
}

static enum step write_kept(struct pump *p)
{
    ssize_t n = send(p->to->fd, p->kept + p->kept_off, p->kept_len - p->kept_off, MSG_NOSIGNAL);

    if (n < 0)
        return judge(n, &p->to->writable);
    p->kept_off += (size_t)n;
    if (p->kept_off < p->kept_len) {
        p->to->writable = false;
        return STEP_WAIT;
    }
    free(p->kept);
    p->kept = NULL;
    return STEP_AGAIN;
}

static enum step copy_step(struct relay *r, struct pump *p, size_t *moved)
{
    size_t room = p->from->mptcp ? MPTCP_READ : TCP_READ;
    ssize_t n = recv(p->from->fd, r->scratch, room, 0), sent;

    if (n <= 0)
        return judge(n, &p->from->readable);
    *moved += (size_t)n;
    p->full = (size_t)n == room ? p->full + 1 : 0;
    sent = send(p->to->fd, r->scratch, (size_t)n, MSG_NOSIGNAL);
    if (sent < 0 && errno != EAGAIN)
        return STEP_ERROR;
    if (sent < 0)
        sent = 0;
    if (sent < n) {
        p->to->writable = false;
        p->kept_off = 0;
        p->kept_len = (size_t)(n - sent);
        p->kept = malloc(p->kept_len);
        if (p->kept == NULL)
            return STEP_ERROR;
        memcpy(p->kept, r->scratch + sent, p->kept_len);
        return STEP_WAIT;
    }
    p->splicing = !p->from->mptcp && p->full >= 2;
    if ((size_t)n < room) { /* a short read emptied the queue: what comes later is a new edge */
        p->from->readable = false;
        return STEP_WAIT;
    }
    return STEP_AGAIN;
}

static enum step splice_step(struct relay *r, struct pump *p, size_t *moved)
{
    ssize_t in = 0, out;

    if (!borrow(r, p)) {
        p->splicing = false;
        return STEP_AGAIN;
    }
    if (p->piped < PIPE_SIZE && p->from->readable && !p->eof) {
        in = splice(p->from->fd, NULL, p->pipe.wr, NULL, PIPE_SIZE - p->piped,
                    SPLICE_F_NONBLOCK | SPLICE_F_MOVE);
        if (in > 0)
            p->piped += (size_t)in;
        else if (in == 0)
            p->eof = true;
        else if (errno != EAGAIN)
            return STEP_ERROR;
        else if (p->piped == 0)
            p->from->readable = false;
    }
    if (p->piped == 0) {
        give_back(r, p);
        return p->eof ? STEP_EOF : STEP_WAIT;
    }
    out =
        splice(p->pipe.rd, NULL, p->to->fd, NULL, p->piped, SPLICE_F_NONBLOCK | SPLICE_F_MOVE);
    if (out < 0)
        return judge(out, &p->to->writable);
    p->piped -= (size_t)out;
    *moved += (size_t)out;
    p->small = out < SMALL ? p->small + 1 : 0;
    if (p->piped == 0 && p->small >= SMALL_IN_A_ROW) {
        give_back(r, p);
        p->splicing = false;
        p->full = p->small = 0;
    }
    return STEP_AGAIN;
}

/* True: used its budget, has more to do. */
static bool pump_run(struct relay *r, struct pump *p)
{
    size_t moved = 0;

    while (!p->done && moved < BUDGET) {
        enum step s;

        if (!p->to->writable)
            return false;
        if (p->kept != NULL)
            s = write_kept(p);
        else if (p->splicing && (p->piped > 0 || p->from->readable))
            s = splice_step(r, p, &moved);
        else if (p->from->readable)
            s = copy_step(r, p, &moved);
        else
            return false;
        if (s == STEP_EOF) {
            p->eof = p->done = true;
            (void)shutdown(p->to->fd,
                           SHUT_WR); /* ENOTCONN: it is gone already, the other pump will see */
        } else if (s == STEP_ERROR) {
            p->from->pair->dead = true;
            return false;
        } else if (s == STEP_WAIT) {
            return false;
        }
    }
    return !p->done;
}

static void bury(struct relay *r, struct pair *q)
{
    for (int i = 0; i < 2; i++) {
        give_back(r, &q->pump[i]);
        free(q->pump[i].kept);
        q->pump[i].kept = NULL;
        if (q->side[i].fd >= 0)
            close(q->side[i].fd);
    }
    q->dead = true;
    q->next = r->buried;
    r->buried = q;
}

static void run_pair(struct relay *r, struct pair *q)
{
    bool again = pump_run(r, &q->pump[0]);

    if (!q->dead)
        again |= pump_run(r, &q->pump[1]);
    if (q->dead || (q->pump[0].done && q->pump[1].done)) {
        bury(r, q);
    } else if (again) {
        q->queued = true;
        q->next = r->more;
        r->more = q;
    }
}

static void watch(const struct relay *r, struct side *s)
{
    struct epoll_event e = {.events = EPOLLIN | EPOLLOUT | EPOLLRDHUP | EPOLLET, .data.ptr = s};

    if (epoll_ctl(r->ep, EPOLL_CTL_ADD, s->fd, &e) < 0)
        net_die("epoll_ctl");
}

static bool dial(const struct relay *r, struct pair *q)
{
    q->side[1].fd = net_dial(&r->target, r->mptcp_out, r->mptcp_out ? MPTCP_RCVBUF : 0);
    if (q->side[1].fd < 0)
        return false;
    watch(r, &q->side[1]);
    return true;
}

/* False: the pair is to be given up. Takes each message as one piece, as loadgen sends it. */
static bool negotiate(struct relay *r, struct pair *q)
{
    uint8_t reply[10] = {5, 0, 0, 1};
    struct sockaddr_in bound;
    socklen_t len = sizeof bound;
    int fd = q->side[0].fd;

    if (q->stage == STAGE_DIAL) {
        if (!q->side[1].writable)
            return true;
        if (getsockname(q->side[1].fd, (struct sockaddr *)&bound, &len) < 0)
            return false;
        memcpy(reply + 4, &bound.sin_addr, 4);
        memcpy(reply + 8, &bound.sin_port, 2);
        q->stage = STAGE_RELAY;
        return send(fd, reply, 10, MSG_NOSIGNAL) == 10;
    }
    if (!q->side[0].readable)
        return true;
    q->side[0].readable = false;
    if (recv(fd, r->scratch, TCP_READ, 0) <= 0)
        return false;
    if (q->stage++ == STAGE_REQUEST)
        return dial(r, q);
    return send(fd, reply, 2, MSG_NOSIGNAL) == 2;
}

static void admit(struct relay *r)
{
    for (int n = 0; n < 64; n++) {
        int fd = accept4(r->listen_fd, NULL, NULL, SOCK_NONBLOCK | SOCK_CLOEXEC);
        struct pair *q;

        if (fd < 0)
            return;
        q = calloc(1, sizeof *q);
        if (q == NULL)
            net_die("calloc");
        q->side[0] = (struct side){.pair = q, .fd = fd, .mptcp = r->mptcp_in};
        q->side[1] = (struct side){.pair = q, .fd = -1, .mptcp = r->mptcp_out};
        q->stage = r->socks ? STAGE_GREETING : STAGE_RELAY;
        for (int i = 0; i < 2; i++)
            q->pump[i] =
                (struct pump){.from = &q->side[i], .to = &q->side[1 - i], .pipe = {-1, -1}};
        watch(r, &q->side[0]);
        if (!r->socks && !dial(r, q))
            bury(r, q);
    }
}

static void dispatch(struct relay *r, const struct epoll_event *e)
{
    struct side *s = e->data.ptr;

    if (s == NULL) {
        admit(r);
        return;
    }
    if (s->pair->dead)
        return;
    if (e->events & (EPOLLIN | EPOLLRDHUP | EPOLLHUP | EPOLLERR))
        s->readable = true;
    if (e->events & (EPOLLOUT | EPOLLERR))
        s->writable = true;
    if (s->pair->stage != STAGE_RELAY) {
        if (!negotiate(r, s->pair))
            bury(r, s->pair);
    } else if (!s->pair->queued) {
        run_pair(r, s->pair);
    }
}

static void loop(struct relay *r)
{
    struct epoll_event ev[EVENTS];

    for (;;) {
        int n = epoll_wait(r->ep, ev, EVENTS, r->more != NULL ? 0 : -1);
        struct pair *more = r->more;

        r->more = NULL;
        for (int i = 0; i < n; i++)
            dispatch(r, &ev[i]);
        while (more != NULL) {
            struct pair *q = more;

            more = q->next;
            q->queued = false;
            run_pair(r, q);
        }
        while (r->buried != NULL) {
            struct pair *q = r->buried;

            r->buried = q->next;
            free(q);
        }
    }
}

int main(int argc, char **argv)
{
    static struct relay r;
    struct epoll_event e = {.events = EPOLLIN};
    struct sockaddr_in at;
    int c;

    if (argc < 3 || !net_endpoint(argv[1], &at) || !net_endpoint(argv[2], &r.target)) {
        (void)fputs("usage: ideal_relay LISTEN TARGET [-m] [-M] [-s]\n", stderr);
        return EXIT_FAILURE;
    }
    optind = 3;
    while ((c = getopt(argc, argv, "mMs")) != -1) {
        r.mptcp_in |= c == 'm';
        r.mptcp_out |= c == 'M';
        r.socks |= c == 's';
    }
    net_raise_nofile();
    r.ep = epoll_create1(EPOLL_CLOEXEC);
    r.listen_fd = net_listen(&at, r.mptcp_in, r.mptcp_in ? MPTCP_RCVBUF : 0);
    if (r.ep < 0 || r.listen_fd < 0 || epoll_ctl(r.ep, EPOLL_CTL_ADD, r.listen_fd, &e) < 0)
        net_die(argv[1]);
    if (puts("ready") < 0 || fflush(stdout) != 0)
        return EXIT_FAILURE;
    loop(&r);
}
