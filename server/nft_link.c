/* SPDX-License-Identifier: MIT */
/* The kernel has answered before send() returns, so reading never waits: what is not there then
 * will not come. An answer in the way of the buffer's limit is lost (ENOBUFS), and with it
 * whether its request was carried out. */
#include "nft_link.h"
#include <errno.h>
#include <libmnl/libmnl.h>
#include <linux/netfilter/nfnetlink.h>
#include <stdalign.h>
#include <sys/socket.h>
#include <unistd.h>

enum { ANSWER = 8192, ANSWERS_MAX = 4096 /* datagrams read after one request */ };

int nft_link_open(struct nft_link *l)
{
    const struct sockaddr_nl self = {.nl_family = AF_NETLINK};
    int on = 1;

    *l = (struct nft_link){.fd = -1};
    int fd = socket(AF_NETLINK, SOCK_RAW | SOCK_CLOEXEC | SOCK_NONBLOCK, NETLINK_NETFILTER);
    if (fd < 0)
        return -errno;
    /* Errors come back without the request they are about; one that does not fit is cut. */
    (void)setsockopt(fd, SOL_NETLINK, NETLINK_CAP_ACK, &on, sizeof on);
    if (bind(fd, (const struct sockaddr *)&self, sizeof self) != 0) {
        int rc = -errno;
        (void)close(fd); /* nothing was written */
        return rc;
    }
    l->fd = fd;
    return 0;
}

void nft_link_close(struct nft_link *l)
{
    if (l->fd >= 0)
        (void)close(l->fd); /* nothing is buffered */
    l->fd = -1;
}

/* What is being waited for, and what came of it. */
struct waiting {
    uint32_t first, count, acked;
    int error;
};

/* What concerns a batch as a whole (no permission) is said of its first message, in front of
 * the numbered ones. */
static void note(struct waiting *w, const struct nlmsghdr *nlh)
{
    uint32_t n = nlh->nlmsg_seq - (w->first - 1); /* 0: the batch */

    if (nlh->nlmsg_type != NLMSG_ERROR || n > w->count ||
        mnl_nlmsg_get_payload_len(nlh) < sizeof(struct nlmsgerr))
        return;
    const struct nlmsgerr *e = mnl_nlmsg_get_payload(nlh);
    if (e->error == 0)
        w->acked += n > 0;
    else if (w->error == 0)
        w->error = e->error < 0 ? e->error : -EBADMSG;
}

/* One datagram. 0, -EAGAIN: there is none; else -errno. */
static int take(const struct nft_link *l, struct waiting *w)
{
    alignas(struct nlmsghdr) char buf[ANSWER];
    struct sockaddr_nl from = {0};
    socklen_t from_len = sizeof from;
    ssize_t n =
        recvfrom(l->fd, buf, sizeof buf, MSG_DONTWAIT, (struct sockaddr *)&from, &from_len);

    if (n < 0)
        return -errno;
    if (from.nl_pid != 0) /* somebody else's */
        return 0;
    const struct nlmsghdr *nlh = (const struct nlmsghdr *)(const void *)buf;
    for (int left = (int)n; mnl_nlmsg_ok(nlh, left); nlh = mnl_nlmsg_next(nlh, &left))
        note(w, nlh);
    return 0;
}

static void throw_away(const struct nft_link *l)
{
    struct waiting nothing = {.count = 0};

    for (int i = 0; i < ANSWERS_MAX && take(l, &nothing) != -EAGAIN; i++)
        ;
}

int nft_link_ask(struct nft_link *l, const void *messages, size_t len, uint32_t first,
                 uint32_t count)
{
    struct waiting w = {.first = first, .count = count};

    throw_away(l);
    if (send(l->fd, messages, len, MSG_NOSIGNAL) < 0)
        return -errno;
    int rc = 0;
    for (int i = 0; i < ANSWERS_MAX && rc == 0 && w.acked < count; i++)
        rc = take(l, &w);
    if (w.error != 0)
        return w.error;
    if (w.acked == count)
        return 0;
    return rc == 0 || rc == -EAGAIN ? -ENODATA : rc;
}
