/* SPDX-License-Identifier: MIT */
#include "subflow_diag.h"
#include <arpa/inet.h>
#include <errno.h>
#include <ifaddrs.h>
#include <libmnl/libmnl.h>
#include <linux/inet_diag.h>
#include <linux/mptcp.h>
#include <linux/sock_diag.h>
#include <net/if.h>
#include <netinet/in.h>
#include <stdalign.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

enum { REQUEST = 256, ANSWER = 8192 };

/* --- the answer --- */

static int note_subflow(const struct nlattr *a, void *arg)
{
    struct subflow_told *t = arg;

    if (mnl_attr_validate(a, MNL_TYPE_U32) < 0)
        return MNL_CB_OK; /* the others are of other types */
    if (mnl_attr_get_type(a) == MPTCP_SUBFLOW_ATTR_TOKEN_REM)
        t->remote_token = mnl_attr_get_u32(a);
    else if (mnl_attr_get_type(a) == MPTCP_SUBFLOW_ATTR_FLAGS)
        t->backup = (mnl_attr_get_u32(a) &
                     (MPTCP_SUBFLOW_FLAG_BKUP_REM | MPTCP_SUBFLOW_FLAG_BKUP_LOC)) != 0;
    return MNL_CB_OK;
}

static int note_protocol(const struct nlattr *a, void *arg)
{
    if (mnl_attr_get_type(a) != INET_ULP_INFO_MPTCP)
        return MNL_CB_OK;
    return mnl_attr_validate(a, MNL_TYPE_NESTED) < 0
               ? MNL_CB_ERROR
               : mnl_attr_parse_nested(a, note_subflow, arg);
}

static int note_socket(const struct nlattr *a, void *arg)
{
    if (mnl_attr_get_type(a) != INET_DIAG_ULP_INFO)
        return MNL_CB_OK;
    return mnl_attr_validate(a, MNL_TYPE_NESTED) < 0
               ? MNL_CB_ERROR
               : mnl_attr_parse_nested(a, note_protocol, arg);
}

int subflow_diag_parse(struct span message, struct subflow_told *out)
{
    const struct nlmsghdr *nlh = (const struct nlmsghdr *)(const void *)message.ptr;
    struct subflow_told told = {.remote_token = 0};

    if (!mnl_nlmsg_ok(nlh, (int)message.len))
        return -EBADMSG;
    if (nlh->nlmsg_type == NLMSG_ERROR) /* the subflow has gone */
        return -ENOENT;
    if (nlh->nlmsg_type != SOCK_DIAG_BY_FAMILY ||
        nlh->nlmsg_len % NLMSG_ALIGNTO != 0 || /* libmnl would read up to the next multiple */
        mnl_nlmsg_get_payload_len(nlh) < sizeof(struct inet_diag_msg) ||
        mnl_attr_parse(nlh, sizeof(struct inet_diag_msg), note_socket, &told) < 0)
        return -EBADMSG;
    *out = told;
    return 0;
}

/* --- the question --- */

static void put_addresses(struct inet_diag_req_v2 *r, const struct mptcp_subflow *f,
                          unsigned interface)
{
    size_t len = f->local.family == ADDR_IPV4 ? 4 : 16;

    *r = (struct inet_diag_req_v2){
        /* IPv4 also where the socket is an IPv6 one. */
        .sdiag_family = f->local.family == ADDR_IPV4 ? AF_INET : AF_INET6,
        .sdiag_protocol = IPPROTO_TCP,
        .idiag_ext = 1 << (INET_DIAG_INFO - 1),
        .idiag_states = UINT32_MAX,
        .id = {.idiag_sport = htons(f->local.port),
               .idiag_dport = htons(f->remote.port),
               .idiag_if = interface,
               .idiag_cookie = {INET_DIAG_NOCOOKIE, INET_DIAG_NOCOOKIE}},
    };
    memcpy(r->id.idiag_src, f->local.ip, len);
    memcpy(r->id.idiag_dst, f->remote.ip, len);
}

static int ask_at(int fd, const struct mptcp_subflow *f, unsigned interface,
                  struct subflow_told *out)
{
    alignas(struct nlmsghdr) uint8_t buf[ANSWER];
    struct sockaddr_nl from = {0};
    socklen_t from_len = sizeof from;
    struct nlmsghdr *nlh = mnl_nlmsg_put_header(buf);

    nlh->nlmsg_type = SOCK_DIAG_BY_FAMILY;
    nlh->nlmsg_flags = NLM_F_REQUEST;
    put_addresses(mnl_nlmsg_put_extra_header(nlh, sizeof(struct inet_diag_req_v2)), f,
                  interface);
    if (send(fd, buf, nlh->nlmsg_len, MSG_NOSIGNAL) < 0)
        return -errno;
    /* The answer came before send() returned. */
    ssize_t n =
        recvfrom(fd, buf, sizeof buf, MSG_DONTWAIT, (struct sockaddr *)&from, &from_len);
    if (n < 0)
        return -errno;
    return from.nl_pid != 0 ? -EBADMSG : subflow_diag_parse(span_of(buf, (size_t)n), out);
}

/* The one that has the address; 0: none. */
static unsigned interface_of(const struct addr *a)
{
    struct ifaddrs *all;
    unsigned found = 0;

    if (getifaddrs(&all) != 0)
        return 0;
    for (const struct ifaddrs *i = all; i != NULL && found == 0; i = i->ifa_next) {
        struct addr own;
        socklen_t len = i->ifa_addr != NULL && i->ifa_addr->sa_family == AF_INET6
                            ? sizeof(struct sockaddr_in6)
                            : sizeof(struct sockaddr_in);

        if (i->ifa_addr == NULL || !addr_from_sockaddr(i->ifa_addr, len, &own) ||
            own.family != a->family)
            continue;
        own.port = a->port;
        own.scope = a->scope;
        if (addr_equal(&own, a))
            found = if_nametoindex(i->ifa_name);
    }
    freeifaddrs(all);
    return found;
}

/* A subflow that an endpoint with a device has made is bound to it, and found by it only. */
static int ask(int fd, const struct mptcp_subflow *f, struct subflow_told *out)
{
    int rc = ask_at(fd, f, f->local.scope, out);

    return rc == -ENOENT ? ask_at(fd, f, interface_of(&f->local), out) : rc;
}

void subflow_diag(struct mptcp_snapshot *m)
{
    if (!m->active)
        return;
    int fd = socket(AF_NETLINK, SOCK_RAW | SOCK_CLOEXEC | SOCK_NONBLOCK, NETLINK_SOCK_DIAG);
    if (fd < 0)
        return;
    for (uint32_t i = 0; i < m->listed && i < MPTCP_SUBFLOWS_MAX; i++) {
        struct mptcp_subflow *f = &m->list[i];
        struct subflow_told told = {.remote_token = 0};

        if (f->local.family == ADDR_NONE || f->local.family != f->remote.family ||
            ask(fd, f, &told) != 0)
            continue;
        f->backup = told.backup;
        if (told.remote_token != 0)
            m->remote_token = told.remote_token;
    }
    (void)close(fd); /* nothing was written */
}
