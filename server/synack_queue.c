/* SPDX-License-Identifier: MIT */
/* Happy path: one datagram binds the queue and sets it up, and the kernel acknowledges it;
 * recvmmsg() fetches many packets with one system call; a verdict is one send().
 *
 * Verdicts go out on the queue's own socket: the kernel takes them from nobody else. They ask
 * for no acknowledgment, which would be a message per packet for the reading thread to skip;
 * the kernel then tells failures only, as NLMSG_ERROR among the packets.
 *
 * An overrun (the kernel had a packet for us and found the socket's buffer full) is reported
 * once, as ENOBUFS; fail-open lets such a packet pass. */
#include "synack_queue.h"
#include "synack_diag.h"
#include "synack_packet.h"
#include "synack_table.h"
#include <arpa/inet.h>
#include <errno.h>
#include <libmnl/libmnl.h>
/* after libmnl.h */
#include <libnetfilter_queue/libnetfilter_queue.h>
#include <linux/netfilter.h>
#include <linux/netfilter/nfnetlink.h>
#include <linux/netfilter/nfnetlink_queue.h>
#include <stdalign.h>
#include <unistd.h>

enum {
    BATCH = 32,      /* datagrams per system call */
    DATAGRAM = 512,  /* a packet's message: its SYNACK_PACKET_MAX octets and some 150 more */
    REQUEST = 256,   /* ours; a verdict with a SYNACK_PACKET_MAX packet has 180 octets */
    TRUESIZE = 2048, /* what the kernel charges for a packet's message, rounded up */
};

/* 0 or -errno. Without an address a netlink message goes to the kernel. */
static int send_all(int fd, const struct nlmsghdr *nlh)
{
    return send(fd, nlh, nlh->nlmsg_len, 0) < 0 ? -errno : 0;
}

/* False: it is not a packet. */
static bool deliver(const void *datagram, size_t len, synack_packet_fn *fn, void *arg)
{
    const struct nlmsghdr *nlh = datagram;
    struct nlattr *attr[NFQA_MAX + 1] = {NULL};
    struct nfqnl_msg_packet_hdr h;

    if (!mnl_nlmsg_ok(nlh, (int)len) ||
        nlh->nlmsg_type != (NFNL_SUBSYS_QUEUE << 8 | NFQNL_MSG_PACKET) ||
        mnl_nlmsg_get_payload_len(nlh) < sizeof(struct nfgenmsg) ||
        nfq_nlmsg_parse(nlh, attr) < 0 || attr[NFQA_PACKET_HDR] == NULL ||
        mnl_attr_get_payload_len(attr[NFQA_PACKET_HDR]) < sizeof h)
        return false;
    memcpy(&h, mnl_attr_get_payload(attr[NFQA_PACKET_HDR]), sizeof h);
    struct span packet = span_of(NULL, 0);
    if (attr[NFQA_PAYLOAD] != NULL)
        packet = span_of(mnl_attr_get_payload(attr[NFQA_PAYLOAD]),
                         mnl_attr_get_payload_len(attr[NFQA_PAYLOAD]));
    uint32_t mark = attr[NFQA_MARK] != NULL ? ntohl(mnl_attr_get_u32(attr[NFQA_MARK])) : 0;
    fn(arg, (struct synack_arrival){.id = ntohl(h.packet_id), .mark = mark}, packet);
    return true;
}

/* Life. */

static int netlink_socket(int flags, int protocol)
{
    struct sockaddr_nl self = {.nl_family = AF_NETLINK};
    int fd = socket(AF_NETLINK, SOCK_RAW | SOCK_CLOEXEC | flags, protocol);

    if (fd < 0)
        return -errno;
    if (bind(fd, (const struct sockaddr *)&self, sizeof self) != 0) {
        int rc = -errno;
        (void)close(fd); /* nothing was written */
        return rc;
    }
    return fd;
}

/* For `length` packets. The kernel doubles what it is told. */
static void enlarge_buffer(int fd, uint32_t length)
{
    uint32_t most = INT32_MAX / TRUESIZE;
    int bytes = (int)((length < most ? length : most) * (TRUESIZE / 2));

    if (setsockopt(fd, SOL_SOCKET, SO_RCVBUFFORCE, &bytes, sizeof bytes) != 0)
        (void)setsockopt(fd, SOL_SOCKET, SO_RCVBUF, &bytes,
                         sizeof bytes); /* then rmem_max is the limit */
}

static void pass_early(void *arg, struct synack_arrival a, struct span packet)
{
    const struct synack_queue *q = arg;

    (void)packet;
    (void)synack_queue_accept(q, a.id); /* if it fails, close() will end the packet */
}

/* Until the acknowledgment of `seq`. It is there already, maybe behind a first packet, which
 * nobody can have missed yet: it passes. */
static int acknowledged(struct synack_queue *q, uint32_t seq)
{
    alignas(struct nlmsghdr) char buf[DATAGRAM];

    for (;;) {
        struct sockaddr_nl from = {0};
        socklen_t from_len = sizeof from;
        ssize_t n = recvfrom(q->fd, buf, sizeof buf, 0, (struct sockaddr *)&from, &from_len);
        if (n < 0)
            return -errno;
        const struct nlmsghdr *nlh = (const struct nlmsghdr *)(const void *)buf;
        if (from.nl_pid != 0 || deliver(buf, (size_t)n, pass_early, q) ||
            !mnl_nlmsg_ok(nlh, (int)n) || nlh->nlmsg_type != NLMSG_ERROR ||
            nlh->nlmsg_seq != seq || mnl_nlmsg_get_payload_len(nlh) < sizeof(struct nlmsgerr))
            continue;
        const struct nlmsgerr *e = mnl_nlmsg_get_payload(nlh);
        return e->error;
    }
}

static int set_up(struct synack_queue *q, uint32_t length)
{
    alignas(struct nlmsghdr) char buf[REQUEST];
    struct nlmsghdr *nlh = nfq_nlmsg_put(buf, NFQNL_MSG_CONFIG, q->number);
    const uint32_t off = NFQA_CFG_F_GSO | NFQA_CFG_F_CONNTRACK | NFQA_CFG_F_UID_GID;

    nlh->nlmsg_flags |= NLM_F_ACK;
    nlh->nlmsg_seq = 1;
    nfq_nlmsg_cfg_put_cmd(nlh, AF_UNSPEC, NFQNL_CFG_CMD_BIND);
    nfq_nlmsg_cfg_put_params(nlh, NFQNL_COPY_PACKET, SYNACK_PACKET_MAX);
    nfq_nlmsg_cfg_put_qmaxlen(nlh, length);
    mnl_attr_put_u32(nlh, NFQA_CFG_FLAGS, htonl(NFQA_CFG_F_FAIL_OPEN));
    mnl_attr_put_u32(nlh, NFQA_CFG_MASK, htonl(NFQA_CFG_F_FAIL_OPEN | off));
    int rc = send_all(q->fd, nlh);
    return rc != 0 ? rc : acknowledged(q, 1);
}

int synack_queue_open(struct synack_queue *q, uint16_t number, uint32_t length)
{
    struct synack_queue new = {.fd = netlink_socket(SOCK_NONBLOCK, NETLINK_NETFILTER),
                               .diag_fd = -1,
                               .number = number};
    int rc;

    q->fd = q->diag_fd = -1;
    if (new.fd < 0)
        return new.fd;
    new.diag_fd = synack_diag_open();
    if (new.diag_fd < 0) {
        rc = new.diag_fd;
        goto fail_fd;
    }
    enlarge_buffer(new.fd, length);
    rc = set_up(&new, length);
    if (rc != 0)
        goto fail_diag_fd;
    *q = new;
    return 0;
fail_diag_fd:
    (void)close(new.diag_fd);
fail_fd:
    (void)close(new.fd);
    return rc;
}

void synack_queue_close(struct synack_queue *q)
{
    if (q->fd >= 0)
        (void)close(q->fd); /* nothing is buffered */
    if (q->diag_fd >= 0)
        (void)close(q->diag_fd);
    q->fd = q->diag_fd = -1;
}

/* Packets. */

struct batch {
    struct mmsghdr msg[BATCH];
    struct iovec iov[BATCH];
    struct sockaddr_nl from[BATCH];
    alignas(struct nlmsghdr) char buf[BATCH][DATAGRAM];
};

static void prepare(struct batch *b, unsigned count)
{
    for (unsigned i = 0; i < count; i++) {
        b->iov[i] = (struct iovec){.iov_base = b->buf[i], .iov_len = DATAGRAM};
        b->msg[i].msg_hdr = (struct msghdr){.msg_name = &b->from[i],
                                            .msg_namelen = sizeof b->from[i],
                                            .msg_iov = &b->iov[i],
                                            .msg_iovlen = 1};
    }
}

static bool from_kernel(const struct batch *b, unsigned i)
{
    const struct msghdr *h = &b->msg[i].msg_hdr;

    return h->msg_namelen == sizeof b->from[i] && b->from[i].nl_pid == 0 &&
           (h->msg_flags & MSG_TRUNC) == 0;
}

/* A short batch may have ended at an overrun instead of an empty socket, and the edge that told
 * of either is gone: only EAGAIN says that nothing is left. */
int synack_queue_read(struct synack_queue *q, unsigned budget, synack_packet_fn *fn, void *arg,
                      uint64_t *foreign)
{
    struct batch b;

    while (budget > 0) {
        unsigned count = budget < BATCH ? budget : BATCH;
        prepare(&b, count);
        int n = recvmmsg(q->fd, b.msg, count, MSG_DONTWAIT, NULL);
        if (n < 0 && errno == EINTR)
            continue;
        if (n < 0)
            return errno == EAGAIN ? 0 : -errno;
        for (unsigned i = 0; i < (unsigned)n; i++)
            if (!from_kernel(&b, i) || !deliver(b.buf[i], b.msg[i].msg_len, fn, arg))
                ++*foreign;
        budget -= (unsigned)n;
    }
    return 1;
}

/* Verdicts. */

static int verdict(const struct synack_queue *q, uint32_t id, int what, struct span packet)
{
    alignas(struct nlmsghdr) char buf[REQUEST];
    struct nlmsghdr *nlh;

    if (packet.len > SYNACK_PACKET_MAX)
        return -EMSGSIZE;
    nlh = nfq_nlmsg_put(buf, NFQNL_MSG_VERDICT, q->number);
    nfq_nlmsg_verdict_put(nlh, (int)id, what);
    if (packet.len > 0)
        nfq_nlmsg_verdict_put_pkt(nlh, packet.ptr, (uint32_t)packet.len);
    return send_all(q->fd, nlh);
}

int synack_queue_accept(const struct synack_queue *q, uint32_t id)
{
    return verdict(q, id, NF_ACCEPT, span_of(NULL, 0));
}

int synack_queue_replace(const struct synack_queue *q, uint32_t id, struct span packet)
{
    return verdict(q, id, NF_ACCEPT, packet);
}

int synack_queue_drop(const struct synack_queue *q, uint32_t id)
{
    return verdict(q, id, NF_DROP, span_of(NULL, 0));
}
