/* SPDX-License-Identifier: MIT */
/* Every case has a network namespace of its own, where iptables sends packets to queue 7. */
#include "rawnet.h"
#include "runner.h"
#include "scripted.h"
#include "synack_diag.h"
#include "synack_packet.h"
#include "synack_queue.h"
#include "synack_table.h"
#include <linux/capability.h>
#include <linux/netfilter/nfnetlink.h>
#include <linux/netfilter/nfnetlink_queue.h>
#include <linux/netlink.h>
#include <pthread.h>
#include <sys/resource.h>
#include <sys/syscall.h>
#include <sys/wait.h>

enum { QUEUE = 7, SEEN_MAX = 512, ROOM = 2 * SEEN_MAX };

/* Set-up. */

/* A plain user becomes the root of a user namespace, so that iptables keeps its capabilities.
 */
static bool become_root(void)
{
    char map[64];
    uid_t uid = geteuid();

    if (unshare(CLONE_NEWNET) == 0)
        return true;
    (void)snprintf(map, sizeof map, "0 %u 1", uid);
    return unshare(CLONE_NEWUSER) == 0 && scripted_write("/proc/self/uid_map", map);
}

/* Runs iptables or ip6tables; its complaints are seen in the test's output. */
static bool rule(const char *program, const char *arguments)
{
    char command[512];
    char lock[] = "/tmp/synack_queue_test.XXXXXX"; /* /run is root's */
    int fd = mkstemp(lock);

    if (fd < 0)
        return false;
    (void)close(fd);
    (void)snprintf(command, sizeof command,
                   "PATH=$PATH:/usr/sbin:/sbin XTABLES_LOCKFILE=%s %s -A OUTPUT %s -j NFQUEUE "
                   "--queue-num %u --queue-bypass",
                   lock, program, arguments, (unsigned)QUEUE);
    int rc = system(command); /* NOLINT(cert-env33-c,bugprone-command-processor): a test's */
    (void)unlink(lock);
    return rc == 0;
}

#define SYNACKS "-p tcp --tcp-flags SYN,ACK SYN,ACK"
#define DATAGRAMS "-p udp"

static bool lab(void)
{
    return become_root() && rawnet_own_namespace() && rule("iptables", SYNACKS) &&
           rule("ip6tables", SYNACKS) && rule("iptables", DATAGRAMS);
}

static bool lab_is_possible(void)
{
    pid_t child = fork();
    int status;

    if (child == 0) {
        struct synack_queue q;
        _exit(lab() && synack_queue_open(&q, QUEUE, ROOM) == 0 ? 0 : 1);
    }
    return child > 0 && waitpid(child, &status, 0) == child && status == 0;
}

static struct synack_queue q;

static void set_up(void)
{
    ck_assert(lab());
    ck_assert_int_eq(synack_queue_open(&q, QUEUE, ROOM), 0);
}

static void tear_down(void)
{
    synack_queue_close(&q);
}

/* What came. */

static struct seen {
    unsigned count;
    uint32_t id[SEEN_MAX], mark;       /* the last one's */
    uint8_t packet[SYNACK_PACKET_MAX]; /* the last one */
    size_t len;
} seen;

static void on_packet(void *arg, struct synack_arrival a, struct span packet)
{
    struct seen *s = arg;

    ck_assert_uint_lt(s->count, SEEN_MAX);
    ck_assert_uint_le(packet.len, sizeof s->packet);
    s->id[s->count++] = a.id;
    s->mark = a.mark;
    s->len = packet.len;
    memcpy(s->packet, packet.ptr, packet.len);
}

static uint64_t foreign;

static int read_some(unsigned budget)
{
    return synack_queue_read(&q, budget, on_packet, &seen, &foreign);
}

/* Of a packet the kernel queues while it sends: it is there already. */
static uint32_t one_packet(void)
{
    unsigned before = seen.count;

    ck_assert_int_eq(read_some(100), 0);
    ck_assert_uint_eq(seen.count, before + 1);
    return seen.id[before];
}

/* Connections. */

static const struct way {
    int family; /* of the client */
    bool mptcp, mapped;
} ways[] = {
    {AF_INET, false, false}, {AF_INET, true, false}, {AF_INET6, false, false},
    {AF_INET6, true, false}, {AF_INET, false, true}, {AF_INET, true, true},
};

/* One that the client has begun and whose SYN-ACK is in the queue. */
struct attempt {
    int listener, client;
    struct synack_key key;
};

static struct addr name_of(int fd)
{
    struct sockaddr_storage ss;
    socklen_t len = sizeof ss;
    struct addr a;

    ck_assert_int_eq(getsockname(fd, (struct sockaddr *)&ss, &len), 0);
    ck_assert(addr_from_sockaddr((struct sockaddr *)&ss, len, &a));
    return a;
}

static int listen_anywhere6(bool mptcp, struct addr *at)
{
    static const uint8_t loopback[4] = {127, 0, 0, 1};
    struct sockaddr_in6 any = {.sin6_family = AF_INET6};
    int fd = scripted_socket(AF_INET6, mptcp), queue = 64, one = 1, off = 0;

    ck_assert_int_eq(setsockopt(fd, IPPROTO_IPV6, IPV6_V6ONLY, &off, sizeof off), 0);
    ck_assert_int_eq(setsockopt(fd, IPPROTO_TCP, TCP_FASTOPEN_NO_COOKIE, &one, sizeof one), 0);
    ck_assert_int_eq(setsockopt(fd, IPPROTO_TCP, TCP_FASTOPEN, &queue, sizeof queue), 0);
    ck_assert_int_eq(bind(fd, (struct sockaddr *)&any, sizeof any), 0);
    ck_assert_int_eq(listen(fd, 64), 0);
    *at = addr_ipv4(loopback, name_of(fd).port);
    return fd;
}

static struct attempt attempt(struct way w, bool syn_data)
{
    struct attempt a;
    struct sockaddr_storage ss;
    int one = 1;

    a.listener = w.mapped ? listen_anywhere6(w.mptcp, &a.key.local)
                          : scripted_listen(w.family, w.mptcp, true, &a.key.local);
    a.client = scripted_socket(w.family, w.mptcp);
    socklen_t len = addr_to_sockaddr(&a.key.local, &ss);
    if (syn_data) {
        ck_assert_int_eq(
            setsockopt(a.client, IPPROTO_TCP, TCP_FASTOPEN_NO_COOKIE, &one, sizeof one), 0);
        ck_assert_int_eq(sendto(a.client, "hello", 5, MSG_FASTOPEN | MSG_NOSIGNAL,
                                (struct sockaddr *)&ss, len),
                         5);
    } else {
        ck_assert_int_ne(connect(a.client, (struct sockaddr *)&ss, len), 0);
        ck_assert_int_eq(errno, EINPROGRESS);
    }
    a.key.peer = name_of(a.client);
    return a;
}

static void end(struct attempt *a)
{
    ck_assert_int_eq(close(a->client), 0);
    ck_assert_int_eq(close(a->listener), 0);
}

static int error_of(int fd)
{
    int error = -1;
    socklen_t len = sizeof error;

    ck_assert_int_eq(getsockopt(fd, SOL_SOCKET, SO_ERROR, &error, &len), 0);
    return error;
}

/* Datagrams to a socket of ours, each through the queue. */

struct mailbox {
    int fd;
    struct addr at;
};

static struct mailbox mailbox(void)
{
    struct sockaddr_in sa = {.sin_family = AF_INET, .sin_addr.s_addr = htonl(INADDR_LOOPBACK)};
    struct mailbox m = {.fd = socket(AF_INET, SOCK_DGRAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0)};

    ck_assert_int_ge(m.fd, 0);
    ck_assert_int_eq(bind(m.fd, (struct sockaddr *)&sa, sizeof sa), 0);
    m.at = name_of(m.fd);
    return m;
}

/* From a socket for every hundred: what waits in the queue uses up the sender's buffer. */
static void post(const struct mailbox *m, unsigned count, size_t len)
{
    static const uint8_t octets[1000];
    struct sockaddr_storage ss;
    socklen_t sa_len = addr_to_sockaddr(&m->at, &ss);
    int from = -1;

    for (unsigned i = 0; i < count; i++) {
        if (i % 100 == 0) {
            ck_assert(from < 0 || close(from) == 0);
            from = socket(AF_INET, SOCK_DGRAM | SOCK_CLOEXEC, 0);
            ck_assert_int_ge(from, 0);
        }
        ck_assert_int_eq(sendto(from, octets, len, 0, (const struct sockaddr *)&ss, sa_len),
                         (int)len);
    }
    ck_assert_int_eq(close(from), 0);
}

static unsigned arrived(const struct mailbox *m)
{
    uint8_t buf[1000];
    unsigned n = 0;

    while (recv(m->fd, buf, sizeof buf, 0) >= 0)
        n++;
    return n;
}

/* Opening and closing. */

START_TEST(a_queue_has_one_owner)
{
    struct synack_queue other = {.fd = 12345, .diag_fd = 12345};
    unsigned fds = rawnet_fds();

    ck_assert_int_eq(synack_queue_open(&other, QUEUE, ROOM), -EPERM);
    ck_assert_int_eq(other.fd, -1);
    ck_assert_int_eq(other.diag_fd, -1);
    ck_assert_uint_eq(rawnet_fds(), fds);
    ck_assert_int_eq(synack_queue_open(&other, QUEUE + 1, ROOM), 0);
    ck_assert_uint_eq(other.number, QUEUE + 1);
    synack_queue_close(&other);
    ck_assert_uint_eq(rawnet_fds(), fds);
}
END_TEST

START_TEST(opening_needs_cap_net_admin)
{
    struct __user_cap_header_struct head = {.version = _LINUX_CAPABILITY_VERSION_3};
    struct __user_cap_data_struct none[2] = {{0}};
    struct synack_queue other;
    unsigned fds = rawnet_fds();

    ck_assert_int_eq(syscall(SYS_capset, &head, none), 0);
    ck_assert_int_eq(synack_queue_open(&other, QUEUE + 1, ROOM), -EPERM);
    ck_assert_uint_eq(rawnet_fds(), fds);
}
END_TEST

START_TEST(opening_fails_where_there_are_no_fds)
{
    struct rlimit none = {.rlim_cur = 0}, was;
    struct synack_queue other;

    ck_assert_int_eq(getrlimit(RLIMIT_NOFILE, &was), 0);
    none.rlim_max = was.rlim_max;
    for (rlim_t more = 0; more < 2; more++) { /* none; one, which is not enough */
        int next = dup(0);
        ck_assert_int_eq(close(next), 0);
        none.rlim_cur = (rlim_t)next + more;
        ck_assert_int_eq(setrlimit(RLIMIT_NOFILE, &none), 0);
        ck_assert_int_eq(synack_queue_open(&other, QUEUE + 1, ROOM), -EMFILE);
        ck_assert_int_eq(setrlimit(RLIMIT_NOFILE, &was), 0);
        ck_assert_int_eq(dup(0), next); /* nothing was left behind */
        ck_assert_int_eq(close(next), 0);
    }
}
END_TEST

START_TEST(closing_drops_what_the_kernel_keeps_and_frees_the_number)
{
    struct mailbox m = mailbox();

    post(&m, 3, 10);
    ck_assert_uint_eq(arrived(&m), 0);
    synack_queue_close(&q);
    ck_assert_int_eq(q.fd, -1);
    ck_assert_int_eq(q.diag_fd, -1);
    post(&m, 1, 10);
    ck_assert_uint_eq(arrived(&m), 1); /* nobody is bound: --queue-bypass */
    synack_queue_close(&q);            /* once more is harmless */
    ck_assert_int_eq(synack_queue_open(&q, QUEUE, ROOM), 0);
    ck_assert_int_eq(read_some(10), 0);
    ck_assert_uint_eq(seen.count, 0);
    ck_assert_int_eq(close(m.fd), 0);
}
END_TEST

START_TEST(what_does_not_fit_passes)
{
    struct mailbox m = mailbox();
    struct synack_queue small;

    synack_queue_close(&q);
    ck_assert_int_eq(synack_queue_open(&small, QUEUE, 2), 0);
    post(&m, 5, 10);
    ck_assert_uint_eq(arrived(&m), 3);
    ck_assert_int_eq(synack_queue_read(&small, 10, on_packet, &seen, &foreign), 0);
    ck_assert_uint_eq(seen.count, 2);
    synack_queue_close(&small);
    ck_assert_int_eq(close(m.fd), 0);
}
END_TEST

START_TEST(length_packets_fit_unread)
{
    struct mailbox m = mailbox();

    post(&m, ROOM, 200);
    ck_assert_uint_eq(arrived(&m), 0);
    for (unsigned i = 0; i < 2; i++) {
        seen.count = 0;
        ck_assert_int_eq(read_some(SEEN_MAX), 1);
        ck_assert_uint_eq(seen.count, SEEN_MAX);
    }
    ck_assert_int_eq(read_some(1), 0);
    ck_assert_int_eq(close(m.fd), 0);
}
END_TEST

/* Reading. */

START_TEST(an_empty_queue_has_nothing_left)
{
    ck_assert_int_eq(read_some(10), 0);
    ck_assert_int_eq(read_some(0), 1);
    ck_assert_uint_eq(seen.count, 0);
    ck_assert_uint_eq(foreign, 0);
}
END_TEST

START_TEST(reading_stops_at_the_budget)
{
    struct mailbox m = mailbox();

    post(&m, 100, 10);
    ck_assert_int_eq(read_some(3), 1);
    ck_assert_uint_eq(seen.count, 3);
    ck_assert_int_eq(read_some(64), 1);
    ck_assert_uint_eq(seen.count, 67);
    ck_assert_int_eq(read_some(34), 0);
    ck_assert_uint_eq(seen.count, 100);
    for (unsigned i = 1; i < seen.count; i++)
        ck_assert_uint_gt(seen.id[i], seen.id[i - 1]);
    ck_assert_int_eq(close(m.fd), 0);
}
END_TEST

START_TEST(packets_are_cut)
{
    struct mailbox m = mailbox();

    post(&m, 1, 400);
    (void)one_packet();
    ck_assert_uint_eq(seen.len, SYNACK_PACKET_MAX);
    post(&m, 1, 30);
    (void)one_packet();
    ck_assert_uint_eq(seen.len, 20 + 8 + 30);
    ck_assert_uint_eq(seen.packet[0], 0x45);
    ck_assert_uint_eq(seen.packet[9], IPPROTO_UDP);
    ck_assert_int_eq(seen.packet[22] << 8 | seen.packet[23], m.at.port);
    ck_assert_int_eq(close(m.fd), 0);
}
END_TEST

START_TEST(a_strangers_datagrams_are_skipped_and_counted)
{
    struct sockaddr_nl to = {.nl_family = AF_NETLINK};
    socklen_t len = sizeof to;
    struct mailbox m = mailbox();
    struct {
        struct nlmsghdr nlh;
        struct nfgenmsg gen;
        struct nlattr attr;
        struct nfqnl_msg_packet_hdr packet;
    } forged = {.nlh = {.nlmsg_len = sizeof forged - 1,
                        .nlmsg_type = NFNL_SUBSYS_QUEUE << 8 | NFQNL_MSG_PACKET},
                .attr = {.nla_len = 4 + 7, .nla_type = NFQA_PACKET_HDR}};
    int stranger = socket(AF_NETLINK, SOCK_RAW | SOCK_CLOEXEC, NETLINK_NETFILTER);

    ck_assert_int_ge(stranger, 0);
    ck_assert_int_eq(getsockname(q.fd, (struct sockaddr *)&to, &len), 0);
    post(&m, 1, 10);
    for (unsigned i = 0; i < 2; i++)
        ck_assert_int_eq(
            sendto(stranger, &forged, sizeof forged, 0, (const struct sockaddr *)&to, len),
            (int)sizeof forged);
    post(&m, 1, 10);
    ck_assert_int_eq(read_some(10), 0);
    ck_assert_uint_eq(seen.count, 2);
    ck_assert_uint_eq(foreign, 2);
    ck_assert_int_eq(close(stranger), 0);
    ck_assert_int_eq(close(m.fd), 0);
}
END_TEST

START_TEST(a_failed_verdict_is_no_packet)
{
    struct mailbox m = mailbox();

    ck_assert_int_eq(synack_queue_accept(&q, 99), 0);
    post(&m, 1, 10);
    ck_assert_int_eq(read_some(10), 0);
    ck_assert_uint_eq(seen.count, 1);
    ck_assert_uint_eq(foreign, 1);
    ck_assert_int_eq(synack_queue_accept(&q, seen.id[0]), 0);
    ck_assert_int_eq(read_some(10), 0);
    ck_assert_uint_eq(foreign, 1); /* a good one says nothing */
    ck_assert_int_eq(close(m.fd), 0);
}
END_TEST

START_TEST(an_overrun_is_told_once_and_the_rest_is_read)
{
    struct mailbox m = mailbox();
    int little = 8192;

    ck_assert_int_eq(setsockopt(q.fd, SOL_SOCKET, SO_RCVBUF, &little, sizeof little), 0);
    post(&m, 100, 10);
    unsigned passed = arrived(&m); /* fail-open */
    ck_assert_uint_gt(passed, 0);
    ck_assert_uint_lt(passed, 100);
    ck_assert_int_eq(read_some(200), -ENOBUFS);
    ck_assert_int_eq(read_some(200), 0);
    ck_assert_uint_eq(seen.count, 100 - passed);
    post(&m, 1, 10);
    (void)one_packet();
    ck_assert_int_eq(close(m.fd), 0);
}
END_TEST

START_TEST(a_closed_queue_cannot_be_read)
{
    synack_queue_close(&q);
    ck_assert_int_eq(read_some(10), -EBADF);
    ck_assert_int_eq(synack_queue_accept(&q, 1), -EBADF);
    struct synack_key k = {.local = {.family = ADDR_IPV4}, .peer = {.family = ADDR_IPV4}};
    ck_assert_int_eq(synack_diag_whose(q.diag_fd, &k, NULL), -EBADF);
    ck_assert_int_eq(synack_diag_cancel(q.diag_fd, &k, 1), -EBADF);
}
END_TEST

/* Verdicts. */

START_TEST(a_synack_waits_in_the_queue_until_it_may_go)
{
    struct way w = ways[_i];
    struct attempt a = attempt(w, true);
    uint32_t id = one_packet();
    int served = scripted_accept(a.listener);
    char got[5];

    scripted_read(served, got, sizeof got); /* before the handshake's end */
    ck_assert_int_eq(memcmp(got, "hello", 5), 0);
    ck_assert_uint_eq(seen.packet[0] >> 4, w.family == AF_INET ? 4 : 6);
    ck_assert(!scripted_ready(a.client, POLLOUT, 20));
    ck_assert_int_eq(synack_queue_accept(&q, id), 0);
    ck_assert(scripted_ready(a.client, POLLOUT, SCRIPTED_PATIENCE_MS));
    ck_assert_int_eq(error_of(a.client), 0);
    ck_assert_int_eq(close(served), 0);
    end(&a);
}
END_TEST

static uint32_t add_words(uint32_t sum, const uint8_t *p, size_t len)
{
    for (size_t i = 0; i + 1 < len; i += 2)
        sum += (uint32_t)p[i] << 8 | p[i + 1];
    return sum;
}

static void put_checksum(uint8_t *at, uint32_t sum)
{
    sum = (sum & 0xffff) + (sum >> 16);
    sum = ~((sum & 0xffff) + (sum >> 16));
    at[0] = (uint8_t)(sum >> 8);
    at[1] = (uint8_t)sum;
}

START_TEST(another_packet_goes_in_its_place)
{
    struct attempt a = attempt(ways[0], true);
    uint32_t id = one_packet();
    uint8_t rst[40];

    memcpy(rst, seen.packet, sizeof rst); /* the SYN-ACK without its options */
    rst[3] = sizeof rst;
    rst[10] = rst[11] = 0;
    put_checksum(rst + 10, add_words(0, rst, 20));
    rst[32] = 5 << 4;
    rst[33] = 0x14; /* RST, ACK */
    rst[36] = rst[37] = 0;
    put_checksum(rst + 36, add_words(add_words(IPPROTO_TCP + 20, rst + 12, 8), rst + 20, 20));
    ck_assert_int_eq(synack_queue_replace(&q, id, span_of(rst, sizeof rst)), 0);
    ck_assert(scripted_ready(a.client, POLLOUT, SCRIPTED_PATIENCE_MS));
    ck_assert_int_eq(error_of(a.client), ECONNREFUSED);
    ck_assert_int_eq(read_some(10), 0);
    ck_assert_uint_eq(foreign, 0);
    end(&a);
}
END_TEST

START_TEST(a_replacement_has_a_limit)
{
    static const uint8_t big[SYNACK_PACKET_MAX + 1];
    struct mailbox m = mailbox();

    post(&m, 1, 10);
    uint32_t id = one_packet();
    ck_assert_int_eq(synack_queue_replace(&q, id, span_of(big, sizeof big)), -EMSGSIZE);
    ck_assert_uint_eq(arrived(&m), 0);
    ck_assert_int_eq(synack_queue_replace(&q, id, span_of(NULL, 0)), 0); /* as accept */
    ck_assert_uint_eq(arrived(&m), 1);
    ck_assert_int_eq(close(m.fd), 0);
}
END_TEST

START_TEST(a_dropped_packet_is_gone)
{
    struct mailbox m = mailbox();

    post(&m, 1, 10);
    uint32_t id = one_packet();
    ck_assert_int_eq(synack_queue_drop(&q, id), 0);
    ck_assert_int_eq(read_some(10), 0);
    ck_assert_uint_eq(foreign, 0);
    ck_assert_int_eq(synack_queue_accept(&q, id), 0); /* too late: */
    ck_assert_int_eq(read_some(10), 0);
    ck_assert_uint_eq(foreign, 1);
    ck_assert_uint_eq(arrived(&m), 0);
    ck_assert_int_eq(close(m.fd), 0);
}
END_TEST

static void *accept_all(void *arg)
{
    const struct seen *s = arg;

    for (unsigned i = 0; i < s->count; i++)
        if (synack_queue_accept(&q, s->id[i]) != 0)
            return NULL;
    return arg;
}

START_TEST(another_thread_may_decide)
{
    struct mailbox m = mailbox();
    pthread_t thread;
    void *result;

    post(&m, 20, 10);
    ck_assert_int_eq(read_some(100), 0);
    ck_assert_int_eq(pthread_create(&thread, NULL, accept_all, &seen), 0);
    ck_assert_int_eq(pthread_join(thread, &result), 0);
    ck_assert_ptr_eq(result, &seen);
    ck_assert_uint_eq(arrived(&m), 20);
    ck_assert_int_eq(close(m.fd), 0);
}
END_TEST

/* Whose is it? */

static int whose(const struct synack_key *k)
{
    return synack_diag_whose(q.diag_fd, k, NULL);
}

START_TEST(a_fast_open_child_is_known)
{
    struct attempt a = attempt(ways[_i], true);
    uint32_t id = one_packet();

    ck_assert_int_eq(whose(&a.key), SYNACK_WHOSE_CHILD);
    int served = scripted_accept(a.listener);
    ck_assert_int_eq(whose(&a.key), SYNACK_WHOSE_CHILD);
    ck_assert_int_eq(synack_queue_accept(&q, id), 0);
    ck_assert(scripted_ready(a.client, POLLOUT, SCRIPTED_PATIENCE_MS));
    ck_assert_int_eq(whose(&a.key), SYNACK_WHOSE_SOCKET);
    ck_assert_int_eq(close(served), 0);
    end(&a);
}
END_TEST

START_TEST(a_request_is_no_child_but_a_socket_in_the_end)
{
    struct attempt a = attempt(ways[_i], false);
    uint32_t id = one_packet();
    uint64_t cookie = 0;

    ck_assert_int_eq(synack_diag_whose(q.diag_fd, &a.key, &cookie), SYNACK_WHOSE_REQUEST);
    ck_assert_uint_ne(cookie, 0);
    ck_assert_int_eq(synack_queue_accept(&q, id), 0);
    ck_assert(scripted_ready(a.client, POLLOUT, SCRIPTED_PATIENCE_MS));
    ck_assert_int_eq(whose(&a.key), SYNACK_WHOSE_SOCKET);
    ck_assert_int_eq(synack_diag_cancel(q.diag_fd, &a.key, cookie), 0);
    ck_assert(scripted_ready(a.client, POLLHUP, SCRIPTED_PATIENCE_MS));
    ck_assert_int_eq(whose(&a.key), SYNACK_WHOSE_NOBODY);
    end(&a);
}
END_TEST

/* The kernel answers the client's next SYN as that of a new connection. */
START_TEST(a_cancelled_request_is_gone_and_its_listener_is_not)
{
    struct attempt a = attempt(ways[_i], false);
    uint64_t cookie = 0;

    (void)one_packet();
    ck_assert_int_eq(synack_diag_whose(q.diag_fd, &a.key, &cookie), SYNACK_WHOSE_REQUEST);
    ck_assert_int_eq(synack_diag_cancel(q.diag_fd, &a.key, cookie ^ 1), -ENOENT);
    ck_assert_int_eq(whose(&a.key), SYNACK_WHOSE_REQUEST);
    ck_assert_int_eq(synack_diag_cancel(q.diag_fd, &a.key, cookie), 0);
    ck_assert_int_eq(whose(&a.key), SYNACK_WHOSE_NOBODY);
    ck_assert_int_eq(synack_diag_cancel(q.diag_fd, &a.key, cookie), -ENOENT); /* the listener */
    int listening = 0;
    socklen_t len = sizeof listening;
    ck_assert_int_eq(getsockopt(a.listener, SOL_SOCKET, SO_ACCEPTCONN, &listening, &len), 0);
    ck_assert_int_eq(listening, 1);
    end(&a);
}
END_TEST

START_TEST(nothing_and_a_listener_are_no_children)
{
    struct attempt a = attempt(ways[_i], true);
    struct synack_key other = a.key;

    (void)one_packet();
    other.peer.port ^= 1;
    ck_assert_int_eq(whose(&other), SYNACK_WHOSE_NOBODY);
    other.local.port ^= 1;
    ck_assert_int_eq(whose(&other), SYNACK_WHOSE_NOBODY);
    ck_assert_int_eq(synack_diag_cancel(q.diag_fd, &other, 1), -ENOENT);
    other.local.family = ADDR_NONE;
    ck_assert_int_eq(whose(&other), -EINVAL);
    ck_assert_int_eq(synack_diag_cancel(q.diag_fd, &other, 1), -EINVAL);
    other.peer.family = ADDR_NONE;
    ck_assert_int_eq(whose(&other), -EINVAL);
    ck_assert_int_eq(whose(&a.key), SYNACK_WHOSE_CHILD);
    end(&a);
}
END_TEST

START_TEST(a_packet_has_the_mark_of_its_socket)
{
    struct attempt a = attempt(ways[_i], false);
    uint32_t mark = 0x6d710003;

    (void)one_packet();
    ck_assert_uint_eq(seen.mark, 0);
    ck_assert_int_eq(close(a.client), 0);
    ck_assert_int_eq(setsockopt(a.listener, SOL_SOCKET, SO_MARK, &mark, sizeof mark), 0);
    struct sockaddr_storage ss;
    socklen_t len = addr_to_sockaddr(&a.key.local, &ss);
    a.client = scripted_socket(ways[_i].family, ways[_i].mptcp);
    ck_assert_int_ne(connect(a.client, (struct sockaddr *)&ss, len), 0);
    (void)one_packet();
    ck_assert_uint_eq(seen.mark, mark);
    end(&a);
}
END_TEST

int main(void)
{
    if (!lab_is_possible()) {
        (void)fprintf(stderr,
                      "skipped: needs iptables, nfnetlink_queue, and a network namespace "
                      "(root, or user namespaces)\n");
        return 77;
    }
    Suite *s = suite_create("synack_queue");
    TCase *t = tcase_create("synack_queue");

    tcase_add_checked_fixture(t, set_up, tear_down);
    tcase_set_timeout(t, 30);
    tcase_add_test(t, a_queue_has_one_owner);
    tcase_add_test(t, opening_needs_cap_net_admin);
    tcase_add_test(t, opening_fails_where_there_are_no_fds);
    tcase_add_test(t, closing_drops_what_the_kernel_keeps_and_frees_the_number);
    tcase_add_test(t, what_does_not_fit_passes);
    tcase_add_test(t, length_packets_fit_unread);
    tcase_add_test(t, an_empty_queue_has_nothing_left);
    tcase_add_test(t, reading_stops_at_the_budget);
    tcase_add_test(t, packets_are_cut);
    tcase_add_test(t, a_strangers_datagrams_are_skipped_and_counted);
    tcase_add_test(t, a_failed_verdict_is_no_packet);
    tcase_add_test(t, an_overrun_is_told_once_and_the_rest_is_read);
    tcase_add_test(t, a_closed_queue_cannot_be_read);
    tcase_add_loop_test(t, a_synack_waits_in_the_queue_until_it_may_go, 0, ARRAY_LEN(ways));
    tcase_add_test(t, another_packet_goes_in_its_place);
    tcase_add_test(t, a_replacement_has_a_limit);
    tcase_add_test(t, a_dropped_packet_is_gone);
    tcase_add_test(t, another_thread_may_decide);
    tcase_add_loop_test(t, a_fast_open_child_is_known, 0, ARRAY_LEN(ways));
    tcase_add_loop_test(t, a_request_is_no_child_but_a_socket_in_the_end, 0, ARRAY_LEN(ways));
    tcase_add_loop_test(t, a_cancelled_request_is_gone_and_its_listener_is_not, 0,
                        ARRAY_LEN(ways));
    tcase_add_loop_test(t, nothing_and_a_listener_are_no_children, 0, ARRAY_LEN(ways));
    tcase_add_loop_test(t, a_packet_has_the_mark_of_its_socket, 0, ARRAY_LEN(ways));
    suite_add_tcase(s, t);
    return runner_main(s);
}
