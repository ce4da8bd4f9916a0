/* SPDX-License-Identifier: MIT */
/* The exact lookup finds an established socket, a request, or, when there is neither, whoever
 * listens on the port: never to be taken for the connection, and never to be cancelled. The
 * cookie sees to that: it is the request's own, and its socket's later on. */
#include "synack_diag.h"
#include "synack_table.h"
#include <arpa/inet.h>
#include <errno.h>
#include <libmnl/libmnl.h>
/* after libmnl.h */
#include <linux/inet_diag.h>
#include <linux/sock_diag.h>
#include <netinet/tcp.h>
#include <stdalign.h>
#include <string.h>
#include <unistd.h>

enum { DIAG_ANSWER = 2048 };

int synack_diag_open(void)
{
    struct sockaddr_nl self = {.nl_family = AF_NETLINK};
    int fd = socket(AF_NETLINK, SOCK_RAW | SOCK_CLOEXEC, NETLINK_SOCK_DIAG);

    if (fd < 0)
        return -errno;
    if (bind(fd, (const struct sockaddr *)&self, sizeof self) != 0) {
        int rc = -errno;
        (void)close(fd); /* nothing was written */
        return rc;
    }
    return fd;
}

static bool fill(const struct synack_key *k, struct inet_diag_req_v2 *r)
{
    if (k->local.family != k->peer.family || k->local.family == ADDR_NONE)
        return false;
    *r = (struct inet_diag_req_v2){
        /* Also for an IPv4 connection of a [::] listener: its socket is found by its IPv4
         * addresses. */
        .sdiag_family = k->local.family == ADDR_IPV4 ? AF_INET : AF_INET6,
        .sdiag_protocol = IPPROTO_TCP, /* the subflow's, where the connection is MPTCP */
        .idiag_ext = 1 << (INET_DIAG_INFO - 1),
        .idiag_states = 1 << TCP_SYN_RECV,
        .id = {.idiag_sport = htons(k->local.port),
               .idiag_dport = htons(k->peer.port),
               .idiag_if = k->local.scope,
               .idiag_cookie = {INET_DIAG_NOCOOKIE, INET_DIAG_NOCOOKIE}},
    };
    size_t len = k->local.family == ADDR_IPV4 ? 4 : 16;
    memcpy(r->id.idiag_src, k->local.ip, len);
    memcpy(r->id.idiag_dst, k->peer.ip, len);
    return true;
}

/* Sends the request in `buf` and leaves the answer there. Its length, or -errno. */
static ssize_t ask(int fd, char *buf, size_t cap)
{
    const struct nlmsghdr *nlh = (const struct nlmsghdr *)(const void *)buf;
    struct sockaddr_nl from = {0};
    socklen_t from_len = sizeof from;

    if (send(fd, buf, nlh->nlmsg_len, 0) < 0)
        return -errno;
    /* The answer came before send() returned; without one (no memory) waiting would not help.
     */
    ssize_t n = recvfrom(fd, buf, cap, MSG_DONTWAIT, (struct sockaddr *)&from, &from_len);
    if (n < 0)
        return -errno;
    return from.nl_pid == 0 && mnl_nlmsg_ok(nlh, (int)n) ? n : -EBADMSG;
}

/* 0 or -errno, of an NLMSG_ERROR. */
static int error_of(const struct nlmsghdr *nlh)
{
    const struct nlmsgerr *e = mnl_nlmsg_get_payload(nlh);

    if (mnl_nlmsg_get_payload_len(nlh) < sizeof *e || e->error > 0)
        return -EBADMSG;
    return e->error;
}

static int note_tcp_info(const struct nlattr *a, void *full)
{
    if (mnl_attr_get_type(a) == INET_DIAG_INFO)
        *(bool *)full = true;
    return MNL_CB_OK;
}

/* A request socket is SYN_RECV too, but it is no socket and has no tcp_info. */
static int judge(const struct nlmsghdr *nlh, uint64_t *cookie)
{
    if (nlh->nlmsg_type == NLMSG_ERROR) {
        int rc = error_of(nlh);
        return rc == -ENOENT ? SYNACK_WHOSE_NOBODY : rc < 0 ? rc : -EBADMSG;
    }
    const struct inet_diag_msg *m = mnl_nlmsg_get_payload(nlh);
    bool full = false;
    if (nlh->nlmsg_type != SOCK_DIAG_BY_FAMILY || mnl_nlmsg_get_payload_len(nlh) < sizeof *m ||
        mnl_attr_parse(nlh, sizeof *m, note_tcp_info, &full) < 0)
        return -EBADMSG;
    if (m->idiag_state == TCP_LISTEN)
        return SYNACK_WHOSE_NOBODY;
    if (m->idiag_state != TCP_SYN_RECV)
        return SYNACK_WHOSE_SOCKET;
    if (full)
        return SYNACK_WHOSE_CHILD;
    if (cookie != NULL)
        *cookie = (uint64_t)m->id.idiag_cookie[1] << 32 | m->id.idiag_cookie[0];
    return SYNACK_WHOSE_REQUEST;
}

int synack_diag_whose(int fd, const struct synack_key *k, uint64_t *cookie)
{
    alignas(struct nlmsghdr) char buf[DIAG_ANSWER];
    struct nlmsghdr *nlh = mnl_nlmsg_put_header(buf);

    nlh->nlmsg_type = SOCK_DIAG_BY_FAMILY;
    nlh->nlmsg_flags = NLM_F_REQUEST;
    struct inet_diag_req_v2 *request = mnl_nlmsg_put_extra_header(nlh, sizeof *request);
    if (!fill(k, request))
        return -EINVAL;
    ssize_t n = ask(fd, buf, sizeof buf);
    return n < 0 ? (int)n : judge(nlh, cookie);
}

int synack_diag_cancel(int fd, const struct synack_key *k, uint64_t cookie)
{
    alignas(struct nlmsghdr) char buf[DIAG_ANSWER];
    struct nlmsghdr *nlh = mnl_nlmsg_put_header(buf);

    nlh->nlmsg_type = SOCK_DESTROY;
    nlh->nlmsg_flags = NLM_F_REQUEST | NLM_F_ACK;
    struct inet_diag_req_v2 *request = mnl_nlmsg_put_extra_header(nlh, sizeof *request);
    if (!fill(k, request))
        return -EINVAL;
    request->id.idiag_cookie[0] = (uint32_t)cookie;
    request->id.idiag_cookie[1] = (uint32_t)(cookie >> 32);
    ssize_t n = ask(fd, buf, sizeof buf);
    if (n < 0)
        return (int)n;
    return nlh->nlmsg_type == NLMSG_ERROR ? error_of(nlh) : -EBADMSG;
}
