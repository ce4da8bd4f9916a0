/* SPDX-License-Identifier: MIT */
/* The networks of this host's interfaces: RTM_GETADDR of rtnetlink(7), answered with one
 * RTM_NEWADDR for each address. */
#include "bypass.h"
#include "sys.h"
#include <errno.h>
#include <linux/netlink.h>
#include <linux/rtnetlink.h>
#include <string.h>

enum { ANSWERS_MAX = 256, ANSWER_BYTES = 8192 - 512 };

static int ask(int fd)
{
    struct {
        struct nlmsghdr head;
        struct ifaddrmsg body;
    } request = {.head = {.nlmsg_len = sizeof request,
                          .nlmsg_type = RTM_GETADDR,
                          .nlmsg_flags = NLM_F_REQUEST | NLM_F_DUMP}};
    ssize_t n = sys_send(fd, &request, sizeof request, 0);

    return n < 0 ? (int)n : 0;
}

static void take_address(struct bypass *b, const struct nlmsghdr *h, int *added)
{
    const struct ifaddrmsg *m = NLMSG_DATA(h);
    size_t left = h->nlmsg_len - NLMSG_LENGTH(sizeof *m);
    struct addr a;

    if (h->nlmsg_len < NLMSG_LENGTH(sizeof *m))
        return;
    for (const struct rtattr *r = IFA_RTA(m); RTA_OK(r, left); r = RTA_NEXT(r, left)) {
        struct prefix p;
        if (r->rta_type != IFA_ADDRESS)
            continue;
        if (m->ifa_family == AF_INET && RTA_PAYLOAD(r) == 4)
            a = addr_ipv4(RTA_DATA(r), 0);
        else if (m->ifa_family == AF_INET6 && RTA_PAYLOAD(r) == 16)
            a = addr_ipv6(RTA_DATA(r), 0);
        else
            continue;
        p = (struct prefix){.base = addr_mask(&a, m->ifa_prefixlen), .bits = m->ifa_prefixlen};
        if (b->count < BYPASS_MAX) {
            b->entry[b->count].net = p;
            b->entry[b->count].port = 0;
            b->count++;
            (*added)++;
        }
    }
}

/* True: that was the last one; *rc is then 0 or the error the kernel told. */
static bool take_answer(struct bypass *b, const void *answer, size_t len, int *added, int *rc)
{
    for (const struct nlmsghdr *h = answer; NLMSG_OK(h, len); h = NLMSG_NEXT(h, len)) {
        if (h->nlmsg_type == NLMSG_DONE)
            return true;
        if (h->nlmsg_type == NLMSG_ERROR) {
            *rc = ((const struct nlmsgerr *)NLMSG_DATA(h))->error;
            return true;
        }
        if (h->nlmsg_type == RTM_NEWADDR)
            take_address(b, h, added);
    }
    return false;
}

int bypass_add_local(struct bypass *b)
{
    _Alignas(struct nlmsghdr) char answer[ANSWER_BYTES];
    int fd = sys_socket(AF_NETLINK, SOCK_RAW | SOCK_CLOEXEC, NETLINK_ROUTE), added = 0;

    if (fd < 0)
        return fd;
    int rc = ask(fd);
    for (int i = 0; rc == 0 && i < ANSWERS_MAX; i++) {
        ssize_t n = sys_recv(fd, answer, sizeof answer, 0);
        if (n == -EINTR)
            continue;
        if (n <= 0)
            rc = n == 0 ? -EIO : (int)n;
        else if (take_answer(b, answer, (size_t)n, &added, &rc))
            break;
    }
    (void)sys_close(fd);
    return rc < 0 ? rc : added;
}
