/* SPDX-License-Identifier: MIT */
/* Happy path: one RTM_GETADDR dump, every message of it an address with its prefix length
 * (rtnetlink(7)), until NLMSG_DONE. A kernel that says no, says nothing, or never ends gives an
 * error; what was read by then stays in the list, each of it is true by itself. */
#include "bypass.h"
#include "sys.h"
#include <errno.h>
#include <linux/netlink.h>
#include <linux/rtnetlink.h>
#include <string.h>

enum {
    /* A dump is cut into parts of NLMSG_GOODSIZE at most, which is below 8 KiB on any page
     * size. Ours lives on somebody else's stack. */
    PART_MAX = 7936,
    PARTS_MAX = 1024,
    WAIT_MS = 1000,
    SEQUENCE = 1, /* the socket is ours alone */
};

enum progress { GO_ON, FINISHED };

struct dump {
    struct bypass *b;
    int added;
    int error;
};

static uint32_t aligned(uint32_t len)
{
    return (len + NLMSG_ALIGNTO - 1U) & ~(NLMSG_ALIGNTO - 1U);
}

static int ask(void)
{
    struct {
        struct nlmsghdr head;
        struct ifaddrmsg body;
    } request = {.head = {.nlmsg_len = sizeof request,
                          .nlmsg_type = RTM_GETADDR,
                          .nlmsg_flags = NLM_F_REQUEST | NLM_F_DUMP,
                          .nlmsg_seq = SEQUENCE},
                 .body = {.ifa_family = AF_UNSPEC}};
    int fd = sys_socket(AF_NETLINK, SOCK_RAW | SOCK_CLOEXEC, NETLINK_ROUTE);

    if (fd < 0)
        return fd;
    ssize_t n = sys_send(fd, &request, sizeof request, MSG_NOSIGNAL);
    if (n == (ssize_t)sizeof request)
        return fd;
    (void)sys_close(fd); /* nothing was written that could be lost */
    return n < 0 ? (int)n : -EIO;
}

static bool covered(const struct bypass *b, const struct prefix *net)
{
    for (size_t i = 0; i < b->count; i++) {
        if (b->entry[i].port == 0 && b->entry[i].net.bits <= net->bits &&
            prefix_contains(&b->entry[i].net, &net->base))
            return true;
    }
    return false;
}

static void add_net(struct dump *d, const struct addr *a, unsigned bits)
{
    unsigned full = a->family == ADDR_IPV4 ? 32 : 128;
    struct prefix net;

    /* A point-to-point interface can be a /0; that is no reason to leave the world alone. */
    if (bits == 0 || bits > full)
        bits = full;
    net = (struct prefix){.base = addr_mask(a, bits), .bits = (uint8_t)bits};
    if (covered(d->b, &net))
        return;
    if (d->b->count >= BYPASS_MAX) {
        d->error = -ENOSPC;
        return;
    }
    d->b->entry[d->b->count].net = net;
    d->b->entry[d->b->count].port = 0;
    d->b->count++;
    d->added++;
}

static bool take_ip(struct addr *out, uint8_t family, const uint8_t *at, size_t len)
{
    if (family == AF_INET && len == 4)
        *out = addr_ipv4(at, 0);
    else if (family == AF_INET6 && len == 16)
        *out = addr_ipv6(at, 0);
    else
        return false;
    return true;
}

/* One RTM_NEWADDR: `len` octets from its ifaddrmsg on. */
static void take_address(struct dump *d, const uint8_t *at, size_t len)
{
    struct ifaddrmsg head;
    struct addr network = {0}, own = {0};
    size_t pos = aligned(sizeof head);

    if (len < sizeof head)
        return;
    memcpy(&head, at, sizeof head);
    while (pos < len && len - pos >= sizeof(struct rtattr)) {
        struct rtattr attribute;

        memcpy(&attribute, at + pos, sizeof attribute);
        if (attribute.rta_len < sizeof attribute || attribute.rta_len > len - pos)
            break;
        const uint8_t *value = at + pos + sizeof attribute;
        size_t value_len = attribute.rta_len - sizeof attribute;

        if (attribute.rta_type == IFA_ADDRESS)
            (void)take_ip(&network, head.ifa_family, value, value_len); /* else: not IP */
        else if (attribute.rta_type == IFA_LOCAL)
            (void)take_ip(&own, head.ifa_family, value, value_len); /* else: not IP */
        pos += aligned(attribute.rta_len);
    }
    /* IFA_ADDRESS is the far end of a point-to-point link; IFA_LOCAL is then ours. */
    if (network.family != ADDR_NONE)
        add_net(d, &network, head.ifa_prefixlen);
    if (own.family != ADDR_NONE)
        add_net(d, &own, own.family == ADDR_IPV4 ? 32 : 128);
}

static enum progress take_part(struct dump *d, const uint8_t *at, size_t len)
{
    size_t pos = 0;

    while (pos < len && len - pos >= sizeof(struct nlmsghdr)) {
        struct nlmsghdr head;
        int code = 0;

        memcpy(&head, at + pos, sizeof head);
        if (head.nlmsg_len < sizeof head || head.nlmsg_len > len - pos) {
            d->error = -EBADMSG;
            return FINISHED;
        }
        const uint8_t *body = at + pos + sizeof head;
        size_t body_len = head.nlmsg_len - sizeof head;

        pos += aligned(head.nlmsg_len);
        if (head.nlmsg_seq != SEQUENCE)
            continue;
        if (head.nlmsg_type == RTM_NEWADDR) {
            take_address(d, body, body_len);
        } else if (head.nlmsg_type == NLMSG_DONE || head.nlmsg_type == NLMSG_ERROR) {
            if (body_len >= sizeof code)
                memcpy(&code, body, sizeof code);
            if (code < 0)
                d->error = code;
            return FINISHED;
        }
    }
    return GO_ON;
}

int bypass_add_local(struct bypass *b)
{
    uint8_t part[PART_MAX];
    struct dump d = {.b = b};
    enum progress progress = GO_ON;
    int fd = ask();

    if (fd < 0)
        return fd;
    for (unsigned i = 0; progress == GO_ON; i++) {
        struct pollfd wait = {.fd = fd, .events = POLLIN};
        int ready = i < PARTS_MAX ? sys_poll(&wait, 1, WAIT_MS) : 0;

        if (ready == -EINTR)
            continue;
        ssize_t n = ready > 0 ? sys_recv(fd, part, sizeof part, MSG_DONTWAIT | MSG_TRUNC)
                              : (ssize_t)(ready == 0 ? -ETIMEDOUT : ready);
        if (n == -EAGAIN || n == -EINTR)
            continue;
        if (n < 0 || n > (ssize_t)sizeof part) {
            d.error = n < 0 ? (int)n : -EMSGSIZE;
            break;
        }
        progress = take_part(&d, part, (size_t)n);
    }
    (void)sys_close(fd); /* only read from */
    return d.error != 0 ? d.error : d.added;
}
