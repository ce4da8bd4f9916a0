/* SPDX-License-Identifier: MIT */
/* Structures and numbers are those of the Linux uAPI (include/uapi/linux/mptcp.h up to 6.18),
 * declared here under our own names because distributions ship older headers and newer ones
 * must not clash. A kernel may fill less than we ask for: everything is zeroed first, and a
 * field that a kernel does not know stays zero. */
#include "base/mptcp.h"
#include <errno.h>
#include <linux/tcp.h> /* not netinet/tcp.h: that one has no tcpi_snd_wnd, and the two clash */
#include <stddef.h>
#include <string.h>
#include <unistd.h>

enum {
    LEVEL_MPTCP = 284, /* SOL_MPTCP */
    /* Options of that level, with the kernel they came with. */
    OPTION_INFO = 1,    /* 5.16; grew in 6.5 and 6.10 */
    OPTION_TCPINFO = 2, /* 5.16 */
    WINDOW_SLACK_MAX_MS = 10000,
    CLOCK_TICK_MS = 10,       /* the kernel counts such times in ticks */
    OPTION_SUBFLOW_ADDRS = 3, /* 5.16 */
    OPTION_FULL_INFO = 4,     /* 6.5 */
    FLAG_FALLBACK = 1,        /* MPTCP_INFO_FLAG_FALLBACK */
    IDS_MAX = 64,
};

struct kernel_info {  /* struct mptcp_info */
    uint8_t subflows; /* without the initial one */
    uint8_t add_addr_signal, add_addr_accepted, subflows_max, add_addr_signal_max,
        add_addr_accepted_max;
    uint32_t flags, token;
    uint64_t write_seq, snd_una, rcv_nxt;
    uint8_t local_addr_used, local_addr_max, csum_enabled;
    uint32_t retransmits; /* from here on 6.5 */
    uint64_t bytes_retrans, bytes_sent, bytes_received, bytes_acked;
    uint8_t subflows_total; /* with the initial one; 6.10 */
    uint8_t reserved[3];
    uint32_t last_data_sent, last_data_recv, last_ack_recv;
};
struct kernel_subflow_data { /* struct mptcp_subflow_data: how long an element of the array
                                behind it is, for both sides */
    uint32_t size_subflow_data, num_subflows, size_kernel, size_user;
} __attribute__((aligned(8)));
struct kernel_subflow_addrs { /* struct mptcp_subflow_addrs */
    struct sockaddr_storage local, remote;
};
struct kernel_subflow_info { /* struct mptcp_subflow_info */
    uint32_t id;
    struct kernel_subflow_addrs addrs;
};
struct kernel_full_info { /* struct mptcp_full_info */
    uint32_t size_tcpinfo_kernel, size_tcpinfo_user, size_sfinfo_kernel, size_sfinfo_user;
    uint32_t num_subflows, size_arrays_user;
    uint64_t subflow_info, tcp_info; /* user addresses of two arrays */
    struct kernel_info info;
};
_Static_assert(sizeof(struct kernel_info) == 96, "struct mptcp_info");
_Static_assert(offsetof(struct kernel_info, write_seq) == 16, "struct mptcp_info");
_Static_assert(offsetof(struct kernel_info, retransmits) == 44, "struct mptcp_info");
_Static_assert(offsetof(struct kernel_info, subflows_total) == 80, "struct mptcp_info");
_Static_assert(sizeof(struct kernel_subflow_data) == 16, "struct mptcp_subflow_data");
_Static_assert(sizeof(struct kernel_subflow_info) == 264, "struct mptcp_subflow_info");
_Static_assert(offsetof(struct kernel_full_info, info) == 40, "struct mptcp_full_info");

/* Asks for `size` octets, gets *len of them; the rest of `out` is as it was. 0 or -errno. */
static int get_option(int fd, int level, int option, void *out, size_t size, size_t *len)
{
    socklen_t n = (socklen_t)size;

    *len = 0;
    if (getsockopt(fd, level, option, out, &n) != 0)
        return -errno;
    *len = n;
    return 0;
}

/* The socket is not MPTCP (any more), or the kernel does not know the option. */
static bool is_unsupported(int error)
{
    return error == -EOPNOTSUPP || error == -ENOPROTOOPT || error == -EPROTONOSUPPORT;
}

static int open_socket(int family, int protocol)
{
    int fd = socket(family, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, protocol);

    return fd >= 0 ? fd : -errno;
}

int mptcp_socket(int family, bool want_mptcp, bool *is_mptcp)
{
    int fd = -EPROTONOSUPPORT;
    bool multipath = want_mptcp;

    if (want_mptcp)
        fd = open_socket(family, IPPROTO_MPTCP);
    /* Not built in, switched off by net.mptcp.enabled, or older than 5.6 (which only knows
     * protocols up to 255). */
    if (is_unsupported(fd) || fd == -EINVAL) {
        multipath = false;
        fd = open_socket(family, IPPROTO_TCP);
    }
    if (fd >= 0 && is_mptcp != NULL)
        *is_mptcp = multipath;
    return fd;
}

/* Asks by trying, which needs no /proc: with net.mptcp.enabled=0 the kernel refuses the socket.
 */
bool mptcp_enabled(void)
{
    int fd = open_socket(AF_INET, IPPROTO_MPTCP);

    if (fd == -EAFNOSUPPORT)
        fd = open_socket(AF_INET6, IPPROTO_MPTCP);
    if (fd < 0)
        return false;
    (void)close(fd); /* never used: nothing to lose */
    return true;
}

bool mptcp_accepted(int fd)
{
    int protocol = 0;
    size_t len;

    return get_option(fd, SOL_SOCKET, SO_PROTOCOL, &protocol, sizeof protocol, &len) == 0 &&
           protocol == IPPROTO_MPTCP;
}

bool mptcp_active(int fd)
{
    struct kernel_info info = {0};
    size_t len;

    return get_option(fd, LEVEL_MPTCP, OPTION_INFO, &info, sizeof info, &len) == 0 &&
           (info.flags & FLAG_FALLBACK) == 0;
}

bool mptcp_token(int fd, uint32_t *token)
{
    struct kernel_info info = {0};
    size_t len;

    if (get_option(fd, LEVEL_MPTCP, OPTION_INFO, &info, sizeof info, &len) != 0 ||
        (info.flags & FLAG_FALLBACK) != 0)
        return false;
    *token = info.token;
    return true;
}

static int get_tcp_info(int fd, struct tcp_info *out, size_t *len)
{
    memset(out, 0, sizeof *out);
    return get_option(fd, IPPROTO_TCP, TCP_INFO, out, sizeof *out, len);
}

int mptcp_tcp_state(int fd)
{
    struct tcp_info info;
    size_t len;
    int error = get_tcp_info(fd, &info, &len);

    return error != 0 ? error : info.tcpi_state;
}

bool mptcp_syn_data(int fd)
{
    struct tcp_info info;
    size_t len;

    return get_tcp_info(fd, &info, &len) == 0 && (info.tcpi_options & TCPI_OPT_SYN_DATA) != 0;
}

static bool has_window(uint32_t size)
{
    return size >= offsetof(struct tcp_info, tcpi_snd_wnd) + sizeof(uint32_t);
}

/* Every subflow carries the connection's window, relative to the DATA_ACK beside it. An idle
 * subflow's is out of date; of those heard of within the same round trip nobody knows which
 * came first at the peer, so the smallest counts. */
static uint32_t smallest_recent(const struct tcp_info *item, size_t count)
{
    uint32_t newest_ms = UINT32_MAX, slack_ms = 0, window = UINT32_MAX;

    for (size_t i = 0; i < count; i++) {
        uint32_t rtt_ms = item[i].tcpi_rtt / 1000;
        if (item[i].tcpi_last_ack_recv < newest_ms)
            newest_ms = item[i].tcpi_last_ack_recv;
        if (rtt_ms > slack_ms && rtt_ms < WINDOW_SLACK_MAX_MS)
            slack_ms = rtt_ms;
    }
    slack_ms += CLOCK_TICK_MS;
    for (size_t i = 0; i < count; i++)
        if (item[i].tcpi_last_ack_recv - newest_ms <= slack_ms && item[i].tcpi_snd_wnd < window)
            window = item[i].tcpi_snd_wnd;
    return window;
}

int64_t mptcp_send_window(int fd)
{
    struct {
        struct kernel_subflow_data head;
        struct tcp_info item[MPTCP_SUBFLOWS_MAX];
    } all = {.head = {.size_subflow_data = sizeof all.head, .size_user = sizeof all.item[0]}};
    size_t len;

    if (get_option(fd, LEVEL_MPTCP, OPTION_TCPINFO, &all, sizeof all, &len) == 0 &&
        all.head.num_subflows > 0 && has_window(all.head.size_user)) {
        uint32_t count = all.head.num_subflows;
        return smallest_recent(all.item,
                               count < MPTCP_SUBFLOWS_MAX ? count : MPTCP_SUBFLOWS_MAX);
    }
    int error = get_tcp_info(fd, &all.item[0], &len);
    if (error != 0)
        return error;
    return has_window((uint32_t)len) ? (int64_t)all.item[0].tcpi_snd_wnd : -ENOPROTOOPT;
}

int mptcp_synack(int fd, struct convert_synack *out)
{
    struct tcp_info info;
    size_t len;
    uint32_t mss;
    int error = get_tcp_info(fd, &info, &len);

    if (error != 0)
        return error;
    *out = (struct convert_synack){
        .sack = (info.tcpi_options & TCPI_OPT_SACK) != 0,
        .timestamps = (info.tcpi_options & TCPI_OPT_TIMESTAMPS) != 0,
        .wscale = (info.tcpi_options & TCPI_OPT_WSCALE) != 0,
        .mptcp = mptcp_active(fd),
    };
    if (out->wscale)
        out->wscale_value = info.tcpi_snd_wscale; /* the shift the peer announced */
    /* The MSS option does not count TCP options (RFC 6691), tcpi_snd_mss leaves their room out:
     * 12 octets of timestamps. */
    mss = info.tcpi_snd_mss + (out->timestamps ? 12 : 0);
    out->mss = mss < UINT16_MAX ? (uint16_t)mss : UINT16_MAX;
    return 0;
}

/* ---- snapshot ---- */

static void set_addresses(struct mptcp_subflow *s, const struct kernel_subflow_addrs *a)
{
    /* An address of another family, which cannot be, stays ADDR_NONE. */
    (void)addr_from_sockaddr((const struct sockaddr *)&a->local, sizeof a->local, &s->local);
    (void)addr_from_sockaddr((const struct sockaddr *)&a->remote, sizeof a->remote, &s->remote);
    s->local = addr_unmap(s->local); /* an IPv6 socket may speak IPv4 */
    s->remote = addr_unmap(s->remote);
}

static void set_tcp(struct mptcp_subflow *s, const struct tcp_info *t)
{
    s->tcp_state = t->tcpi_state;
    s->rtt_us = t->tcpi_rtt;
    s->rttvar_us = t->tcpi_rttvar;
    s->cwnd_segments = t->tcpi_snd_cwnd;
    s->retransmits = t->tcpi_total_retrans;
    s->bytes_acked = t->tcpi_bytes_acked;
    s->bytes_received = t->tcpi_bytes_received;
    s->delivery_rate = t->tcpi_delivery_rate;
}

static void set_info(struct mptcp_snapshot *out, const struct kernel_info *info,
                     uint32_t subflows)
{
    out->active = (info->flags & FLAG_FALLBACK) == 0;
    out->token = info->token;
    out->flags = info->flags;
    out->subflows = subflows;
    out->subflows_total = subflows;
    out->bytes_sent = info->bytes_sent;
    out->bytes_received = info->bytes_received;
    out->bytes_retransmitted = info->bytes_retrans;
    out->retransmits = info->retransmits;
}

static uint32_t at_most(uint32_t n, uint32_t limit)
{
    return n < limit ? n : limit;
}

static int snapshot_full(int fd, struct mptcp_snapshot *out)
{
    struct tcp_info tcp[MPTCP_SUBFLOWS_MAX];
    struct kernel_subflow_info subflow[MPTCP_SUBFLOWS_MAX];
    struct kernel_full_info full = {
        .size_tcpinfo_user = sizeof tcp[0],
        .size_sfinfo_user = sizeof subflow[0],
        .size_arrays_user = MPTCP_SUBFLOWS_MAX,
        .subflow_info = (uintptr_t)subflow,
        .tcp_info = (uintptr_t)tcp,
    };
    size_t len;
    int error;

    memset(tcp, 0, sizeof tcp);
    memset(subflow, 0, sizeof subflow);
    error = get_option(fd, LEVEL_MPTCP, OPTION_FULL_INFO, &full, sizeof full, &len);
    if (error != 0)
        return error;
    set_info(out, &full.info, full.num_subflows);
    out->listed = at_most(full.num_subflows, MPTCP_SUBFLOWS_MAX);
    for (uint32_t i = 0; i < out->listed; i++) {
        out->list[i].id = subflow[i].id;
        if (subflow[i].id > out->subflows_total)
            out->subflows_total = subflow[i].id;
        set_addresses(&out->list[i], &subflow[i].addrs);
        set_tcp(&out->list[i], &tcp[i]);
    }
    return 0;
}

/* Three calls, between which subflows may come and go: what one of them misses stays zero. */
static int snapshot_parts(int fd, struct mptcp_snapshot *out)
{
    struct {
        struct kernel_subflow_data head;
        struct tcp_info item[MPTCP_SUBFLOWS_MAX];
    } tcp = {.head = {.size_subflow_data = sizeof tcp.head, .size_user = sizeof tcp.item[0]}};
    struct {
        struct kernel_subflow_data head;
        struct kernel_subflow_addrs item[MPTCP_SUBFLOWS_MAX];
    } addrs = {
        .head = {.size_subflow_data = sizeof addrs.head, .size_user = sizeof addrs.item[0]}};
    struct kernel_info info = {0};
    size_t len;
    int error = get_option(fd, LEVEL_MPTCP, OPTION_INFO, &info, sizeof info, &len);

    if (error == 0)
        error = get_option(fd, LEVEL_MPTCP, OPTION_SUBFLOW_ADDRS, &addrs, sizeof addrs, &len);
    if (error == 0)
        error = get_option(fd, LEVEL_MPTCP, OPTION_TCPINFO, &tcp, sizeof tcp, &len);
    if (error != 0)
        return error;
    set_info(out, &info, addrs.head.num_subflows);
    out->listed = at_most(addrs.head.num_subflows, MPTCP_SUBFLOWS_MAX);
    for (uint32_t i = 0; i < out->listed; i++) {
        set_addresses(&out->list[i], &addrs.item[i]);
        if (i < tcp.head.num_subflows)
            set_tcp(&out->list[i], &tcp.item[i]);
    }
    return 0;
}

static int snapshot_tcp(int fd, struct mptcp_snapshot *out)
{
    struct kernel_subflow_addrs addrs = {0};
    socklen_t local_len = sizeof addrs.local, remote_len = sizeof addrs.remote;
    struct tcp_info tcp;
    size_t len;
    int error = get_tcp_info(fd, &tcp, &len);

    if (error != 0)
        return error;
    /* Either fails on a socket that is not connected: the address then stays ADDR_NONE. */
    (void)getsockname(fd, (struct sockaddr *)&addrs.local, &local_len);
    (void)getpeername(fd, (struct sockaddr *)&addrs.remote, &remote_len);
    out->subflows = out->subflows_total = out->listed = 1;
    out->bytes_sent = tcp.tcpi_bytes_sent;
    out->bytes_received = tcp.tcpi_bytes_received;
    out->bytes_retransmitted = tcp.tcpi_bytes_retrans;
    out->retransmits = tcp.tcpi_total_retrans;
    set_addresses(&out->list[0], &addrs);
    set_tcp(&out->list[0], &tcp);
    return 0;
}

int mptcp_snapshot(int fd, struct mptcp_snapshot *out)
{
    int error;

    memset(out, 0, sizeof *out);
    error = snapshot_full(fd, out);
    if (is_unsupported(error))
        error = snapshot_parts(fd, out);
    if (is_unsupported(error))
        error = snapshot_tcp(fd, out);
    return error;
}

/* The kernel numbers the subflows of a connection from 1 on (6.5): the highest number alive is
 * how many there have been, but for later ones that are gone again. */
static int count_full(int fd, uint32_t *now, uint32_t *total)
{
    uint32_t ids[IDS_MAX] = {0};
    struct kernel_full_info full = {
        .size_sfinfo_user = sizeof ids[0], /* the number comes first: no more is needed */
        .size_arrays_user = IDS_MAX,
        .subflow_info = (uintptr_t)ids,
    };
    size_t len;
    int error = get_option(fd, LEVEL_MPTCP, OPTION_FULL_INFO, &full, sizeof full, &len);

    if (error != 0)
        return error;
    *now = *total = full.num_subflows;
    for (uint32_t i = 0; i < at_most(full.num_subflows, IDS_MAX); i++)
        if (ids[i] > *total)
            *total = ids[i];
    return 0;
}

int mptcp_subflow_count(int fd, uint32_t *now, uint32_t *total)
{
    struct kernel_info info = {0};
    int state, error = count_full(fd, now, total);
    size_t len;

    if (!is_unsupported(error))
        return error;
    if (get_option(fd, LEVEL_MPTCP, OPTION_INFO, &info, sizeof info, &len) == 0) {
        *now = *total = (uint32_t)info.subflows + 1;
        return 0;
    }
    state = mptcp_tcp_state(fd); /* also tells a socket that is not TCP at all */
    if (state < 0)
        return state;
    *now = *total = 1;
    return 0;
}
