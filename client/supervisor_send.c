/* SPDX-License-Identifier: MIT */
/* Sends with MSG_FASTOPEN connect and send in one call. The request of the dialect takes the
 * payload's place in the SYN; the payload follows once the connection stands, so a program that
 * counts on the return value has sent what it says. Ancillary data and what does not fit our
 * arrays is answered like a kernel without Fast Open would (EOPNOTSUPP): programs then
 * connect() and send. */
#include "supervisor_call.h"
#include "sys.h"
#include <errno.h>
#include <stdlib.h>
#include <string.h>

enum {
    FASTOPEN = 0x20000000, /* MSG_FASTOPEN */
    CHUNK = 65536,
    WAIT_MS = 100,
    WIDE_HEADER = 56, /* struct msghdr; in an mmsghdr msg_len follows */
    NARROW_HEADER = 28,
    PIECES_MAX = sizeof((struct supervisor_payload *)NULL)->piece /
                 sizeof((struct supervisor_payload *)NULL)->piece[0],
};

/* The i-th word of a structure of longs, little endian as all our machines' ABIs that differ in
 * width are. */
static uint64_t word(const uint8_t *p, size_t i, bool narrow)
{
    uint32_t half = 0;
    uint64_t whole = 0;

    if (narrow) {
        memcpy(&half, p + 4 * i, sizeof half);
        return half;
    }
    memcpy(&whole, p + 8 * i, sizeof whole);
    return whole;
}

static int64_t failed(int rc)
{
    if (rc == -EPERM || rc == -EACCES)
        return -EACCES;
    return rc == -ESRCH ? SUPERVISOR_GONE : rc;
}

/* msg_name, msg_namelen (an int), msg_iov, msg_iovlen, msg_control, msg_controllen */
static int64_t read_header(struct supervisor_call *c, uint64_t at, uint64_t field[6])
{
    uint8_t raw[WIDE_HEADER];
    int rc = tracee_read(&c->who, at, raw, c->narrow ? NARROW_HEADER : WIDE_HEADER);

    if (rc != 0)
        return failed(rc);
    for (unsigned i = 0; i < 6; i++)
        field[i] = word(raw, i, c->narrow);
    field[1] = (uint32_t)field[1];
    return 0;
}

static int64_t read_pieces(struct supervisor_call *c, uint64_t count,
                           struct supervisor_payload *out)
{
    uint8_t raw[PIECES_MAX * 16];
    size_t each = c->narrow ? 8 : 16;

    if (count > PIECES_MAX)
        return -EOPNOTSUPP;
    int rc = tracee_read(&c->who, out->iov, raw, each * count);
    if (rc != 0)
        return failed(rc);
    for (size_t i = 0; i < count; i++) {
        out->piece[i].at = word(raw, 2 * i, c->narrow);
        out->piece[i].len = word(raw, 2 * i + 1, c->narrow);
    }
    out->pieces = (unsigned)count;
    return 0;
}

int64_t supervisor_payload(struct supervisor_call *c, struct supervisor_payload *out)
{
    uint64_t field[6], header = c->arg[1];
    bool many = c->kind == FILTER_SENDMMSG;
    uint64_t flags = c->kind == FILTER_SENDMSG ? c->arg[2] : c->arg[3];

    *out = (struct supervisor_payload){.flags = (int)((uint32_t)flags & ~(uint32_t)FASTOPEN)};
    if ((flags & FASTOPEN) == 0)
        return SUPERVISOR_PASS; /* socketcall: comes along with every send */
    if (c->kind == FILTER_SENDTO) {
        out->piece[0].at = c->arg[1];
        out->piece[0].len = c->arg[2];
        out->pieces = 1;
        return 0;
    }
    if (many && (uint32_t)c->arg[2] == 0)
        return SUPERVISOR_PASS;
    int64_t rc = read_header(c, header, field);
    if (rc != 0)
        return rc;
    c->arg[4] = field[0];
    c->arg[5] = field[0] != 0 ? field[1] : 0;
    if (c->arg[5] <= INT32_MAX && c->arg[5] > sizeof c->peer)
        c->arg[5] = sizeof c->peer; /* as sendmsg(2) cuts it, unlike connect(2) */
    out->iov = field[2];
    if (many)
        out->length_at = header + (c->narrow ? NARROW_HEADER : WIDE_HEADER);
    if (field[4] != 0 && field[5] != 0)
        return -EOPNOTSUPP;
    return read_pieces(c, field[3], out);
}

/* Sends `len` octets; how many, or -errno. Waits for room while the program does. */
static ssize_t send_all(const struct supervisor_call *c, int fd, const uint8_t *in, size_t len,
                        int flags, bool block)
{
    size_t sent = 0;

    while (sent < len) {
        ssize_t n = sys_send(fd, in + sent, len - sent, flags | MSG_DONTWAIT | MSG_NOSIGNAL);

        if (n > 0) {
            sent += (size_t)n;
            continue;
        }
        if (n != -EAGAIN || !block)
            return sent > 0 ? (ssize_t)sent : n;
        struct pollfd p[] = {{.fd = fd, .events = POLLOUT},
                             {.fd = c->desk->stop, .events = POLLIN}};
        int ready = sys_poll(p, 2, WAIT_MS);
        if (p[1].revents != 0 || !supervisor_waits(c))
            return sent > 0 ? (ssize_t)sent : -ECONNABORTED;
        if (ready == 0 && tracee_signalled(&c->who))
            return sent > 0 ? (ssize_t)sent : -EINTR;
    }
    return (ssize_t)sent;
}

static int64_t send_pieces(const struct supervisor_call *c, const struct supervisor_payload *p,
                           int fd, bool block, uint8_t *chunk)
{
    int64_t total = 0;

    for (unsigned i = 0; i < p->pieces; i++) {
        for (uint64_t done = 0; done < p->piece[i].len;) {
            uint64_t left = p->piece[i].len - done;
            size_t want = left < CHUNK ? (size_t)left : CHUNK;
            ssize_t n = tracee_read_some(&c->who, p->piece[i].at + done, chunk, want);

            if (n <= 0)
                return total > 0 ? total : -EFAULT;
            if (!supervisor_waits(c)) /* what was read may be another's, with the same id */
                return SUPERVISOR_GONE;
            bool last = i + 1 == p->pieces && done + (uint64_t)n == p->piece[i].len;
            ssize_t sent =
                send_all(c, fd, chunk, (size_t)n, p->flags | (last ? 0 : MSG_MORE), block);
            if (sent < 0)
                return total > 0 ? total : sent;
            total += sent;
            done += (uint64_t)sent;
            if (sent < n)
                return total;
        }
    }
    return total;
}

int64_t supervisor_send(struct supervisor_call *c, const struct supervisor_payload *p, int fd,
                        bool block)
{
    uint8_t *chunk = malloc(CHUNK);

    if (chunk == NULL)
        return -ENOBUFS;
    int64_t rc = send_pieces(c, p, fd, block && (p->flags & MSG_DONTWAIT) == 0, chunk);
    free(chunk);
    if (rc < 0 || p->length_at == 0)
        return rc;
    uint32_t len = (uint32_t)rc;
    if (!supervisor_waits(c))
        return SUPERVISOR_GONE;
    return tracee_write(&c->who, p->length_at, &len, sizeof len) == 0 ? 1 : -EFAULT;
}
